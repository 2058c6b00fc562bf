/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include <string.h>

typedef struct sip { uint64_t v0, v1, v2, v3; } sip_t;

static uint64_t rotl(uint64_t x, int b) { return x << b | x >> (64 - b); }

static void sip_round(sip_t *s)
{
    s->v0 += s->v1; s->v1 = rotl(s->v1, 13); s->v1 ^= s->v0; s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3; s->v3 = rotl(s->v3, 16); s->v3 ^= s->v2;
    s->v0 += s->v3; s->v3 = rotl(s->v3, 21); s->v3 ^= s->v0;
    s->v2 += s->v1; s->v1 = rotl(s->v1, 17); s->v1 ^= s->v2; s->v2 = rotl(s->v2, 32);
}

static void sip_word(sip_t *s, uint64_t m)
{
    s->v3 ^= m;
    sip_round(s);
    sip_round(s);
    s->v0 ^= m;
}

static uint64_t sip_finish(sip_t *s)
{
    for (int i = 0; i < 4; i++)
        sip_round(s);
    return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

/* Everything but the finalisation; the 128-bit variant starts from another v1. */
static sip_t sip_absorb(const uint64_t key[2], const void *data, size_t n, uint64_t v1_twist)
{
    sip_t s = { key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ v1_twist,
                key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
    const unsigned char *p = data;
    uint64_t             last = (uint64_t)n << 56, word;
    size_t               tail = n % 8;

    for (; n >= 8; n -= 8, p += 8) {
        memcpy(&word, p, 8);
        sip_word(&s, word);
    }
    for (size_t i = 0; i < tail; i++)
        last |= (uint64_t)p[i] << (8 * i);
    sip_word(&s, last);
    return s;
}

uint64_t lls_hash64(const uint64_t key[2], const void *data, size_t n)
{
    sip_t s = sip_absorb(key, data, n, 0);

    s.v2 ^= 0xff;
    return sip_finish(&s);
}

lls_hash128_t lls_hash128(const uint64_t key[2], const void *data, size_t n)
{
    sip_t         s = sip_absorb(key, data, n, 0xee);
    lls_hash128_t h;

    s.v2 ^= 0xee;
    h.lo = sip_finish(&s);
    s.v1 ^= 0xdd;
    h.hi = sip_finish(&s);
    return h;
}
