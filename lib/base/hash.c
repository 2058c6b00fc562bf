/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>

static uint64_t sip_finish(lls_sip_t *s)
{
    for (int i = 0; i < 4; i++)
        lls_sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

static void sip_absorb(lls_sip_t *s, const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t             last = (uint64_t)n << 56, word;
    size_t               tail = n % 8;

    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        lls_sip_word(s, word);
    }
    for (size_t i = 0; i < tail; i++)
        last |= (uint64_t)p[i] << (8 * i);
    lls_sip_word(s, last);
}

uint64_t lls_hash64(const uint64_t key[2], const void *data, size_t n)
{
    lls_sip_t s = lls_sip_begin(key);

    s.v1 ^= 0xee;                   /* only the 128-bit variant starts with it */
    sip_absorb(&s, data, n);
    s.v2 ^= 0xff;
    return sip_finish(&s);
}

lls_hash128_t lls_sip_end(lls_sip_t *s)
{
    lls_hash128_t h;

    s->v2 ^= 0xee;
    h.lo = sip_finish(s);
    s->v1 ^= 0xdd;
    h.hi = sip_finish(s);
    return h;
}

lls_hash128_t lls_hash128(const uint64_t key[2], const void *data, size_t n)
{
    lls_sip_t s = lls_sip_begin(key);

    sip_absorb(&s, data, n);
    return lls_sip_end(&s);
}
