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

#endif
