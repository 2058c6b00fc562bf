/* SPDX-License-Identifier: Apache-2.0 */
/*
 * num - small integers that every layer needs: bounds, rounding, overflow, the bits of a float,
 * mixing.
 */
#ifndef LLS_BASE_NUM_H
#define LLS_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LLS_NONE 0xffffffffu        /* no index */
#define LLS_ARRAY_LEN(a) (sizeof(a) / sizeof *(a))

static inline uint32_t lls_min_u32(uint32_t a, uint32_t b) { return a < b ? a : b; }
static inline uint32_t lls_max_u32(uint32_t a, uint32_t b) { return a > b ? a : b; }
static inline uint64_t lls_min_u64(uint64_t a, uint64_t b) { return a < b ? a : b; }
static inline uint64_t lls_max_u64(uint64_t a, uint64_t b) { return a > b ? a : b; }
static inline uint32_t lls_ceil_div(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
/* a - b, or 0 */
static inline uint32_t lls_sub_u32(uint32_t a, uint32_t b) { return a > b ? a - b : 0; }
static inline uint64_t lls_sub_u64(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }
/* n rounded up to a multiple of align, a power of two */
static inline size_t lls_align_up(size_t n, size_t align) { return (n + align - 1) & ~(align - 1); }

/* *out = a * b; false if it does not fit. */
static inline bool lls_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

static inline bool lls_add_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline uint32_t lls_bits_of(float f)
{
    union { float f; uint32_t u; } v = { f };

    return v.u;
}

static inline float lls_float_of(uint32_t u)
{
    union { uint32_t u; float f; } v = { u };

    return v.f;
}

/* Good mixing of two words, for tests and digests; not for keys of untrusted data. */
static inline uint64_t lls_mix64(uint64_t a, uint64_t b)
{
    uint64_t x = a ^ (b * 0x9e3779b97f4a7c15u);

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

#endif
