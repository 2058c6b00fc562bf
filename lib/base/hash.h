/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hash - SipHash-2-4 with 64 or 128 bits: a keyed PRF, so that nobody who does not know the key can
 * steer inputs into collisions.  Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012),
 * and the 128-bit variant of the reference implementation.
 */
#ifndef LLS_BASE_HASH_H
#define LLS_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct lls_hash128 { uint64_t lo, hi; } lls_hash128_t;

uint64_t      lls_hash64(const uint64_t key[2], const void *data, size_t n);
lls_hash128_t lls_hash128(const uint64_t key[2], const void *data, size_t n);

/* The 128-bit sponge fed word by word, for keys made of pieces.  There is no length in it: whoever
 * feeds it makes sure that no message is the beginning of another. */
typedef struct lls_sip { uint64_t v0, v1, v2, v3; } lls_sip_t;

static inline uint64_t lls_sip_rotl(uint64_t x, int b) { return x << b | x >> (64 - b); }

static inline void lls_sip_round(lls_sip_t *s)
{
    s->v0 += s->v1;
    s->v1 = lls_sip_rotl(s->v1, 13) ^ s->v0;
    s->v0 = lls_sip_rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = lls_sip_rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = lls_sip_rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = lls_sip_rotl(s->v1, 17) ^ s->v2;
    s->v2 = lls_sip_rotl(s->v2, 32);
}

static inline lls_sip_t lls_sip_begin(const uint64_t key[2])
{
    return (lls_sip_t){ key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du ^ 0xee,
                        key[0] ^ 0x6c7967656e657261u, key[1] ^ 0x7465646279746573u };
}

static inline void lls_sip_word(lls_sip_t *s, uint64_t m)
{
    s->v3 ^= m;
    lls_sip_round(s);
    lls_sip_round(s);
    s->v0 ^= m;
}

lls_hash128_t lls_sip_end(lls_sip_t *s);

#endif
