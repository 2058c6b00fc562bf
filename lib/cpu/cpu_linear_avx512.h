/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_linear_avx512 - what the files of the linear kernels for AVX-512 with VNNI share.  A tile of
 * mr rows and 32 columns stays in registers: two vectors a row.
 */
#ifndef LLS_CPU_CPU_LINEAR_AVX512_H
#define LLS_CPU_CPU_LINEAR_AVX512_H

#include <immintrin.h>

#include "cpu/cpu_linear_kernels.h"

#define AHEAD      2048u            /* bytes: one stream a thread reads fastest so */

/* The compiler's own form spills the sums when many of them are live. */
#define DOT(sum, u8, s8) __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u8), "v"(s8))

INLINE void prefetch_line_pair(const uint8_t *w)
{
    _mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
    _mm_prefetch((const char *)w + AHEAD + 64, _MM_HINT_T0);
}

/* 32 values to int8, as bytes in order. */
INLINE __m256i quantise(const float *x, __m512 inverse)
{
    __m512i a = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x), inverse));
    __m512i b = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16), inverse));

    return _mm256_set_m128i(_mm512_cvtepi32_epi8(b), _mm512_cvtepi32_epi8(a));
}

/* The largest magnitude as an integer compares, NaN above infinity. */
INLINE float max_abs(const float *x)
{
    const __m512i mask = _mm512_set1_epi32(0x7fffffff);
    __m512i       a = _mm512_and_si512(_mm512_loadu_si512(x), mask);
    __m512i       b = _mm512_and_si512(_mm512_loadu_si512(x + 16), mask);

    return lls_float_of((uint32_t)_mm512_reduce_max_epu32(_mm512_max_epu32(a, b)));
}

INLINE int32_t sum_bytes(__m128i q)
{
    __m128i sum = _mm_dpbusd_epi32(_mm_setzero_si128(), _mm_set1_epi8(1), q);

    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xb1)));
}

INLINE void load_tile(uint32_t rows, bool first, const float *tile, __m512 (*c)[2])
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        c[m][0] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(tile + m * LLS_PANEL);
        c[m][1] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(tile + m * LLS_PANEL + 16);
    }
}

INLINE void store_tile(uint32_t rows, __m512 (*c)[2], float *tile)
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        _mm512_storeu_ps(tile + m * LLS_PANEL, c[m][0]);
        _mm512_storeu_ps(tile + m * LLS_PANEL + 16, c[m][1]);
    }
}

INLINE __m512 load_scales(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)p));
}

/* Sums of integers begin with the bits of 1.5 * 2^23, so they are floats of that plus the sum, and
 * a fused product takes it away again: d * c rounds once, as if c had been converted. */
#define FLOAT_OF_0 12582912.0f
#define BITS_OF_0  0x4b400000

typedef struct scales {             /* of 16 columns */
    __m512 d, less, min;            /* less: d * -FLOAT_OF_0, exact for d of at most 22 bits */
} scales_t;

INLINE scales_t make_scales(__m512 d, __m512 min)
{
    return (scales_t){ .d = d, .min = min,
                       .less = _mm512_mul_ps(d, _mm512_set1_ps(-FLOAT_OF_0)) };
}

/* sum + (d c + min a) s: everywhere in this way, for a result has the same bits whichever kernel
 * made it. */
INLINE __m512 add_scaled(bool has_min, __m512 sum, __m512i c, const scales_t *g, float s, float a)
{
    __m512 v = _mm512_fmadd_ps(_mm512_castsi512_ps(c), g->d, g->less);

    if (has_min)
        v = _mm512_fmadd_ps(g->min, _mm512_set1_ps(a), v);
    return _mm512_fmadd_ps(v, _mm512_set1_ps(s), sum);
}

/* Exact products of the scales of 16 columns with their small ones, if there are any. */
INLINE __m512 scale_small(const form_t f, __m512 scales, const uint8_t *small)
{
    if (f.n_small == 0)
        return scales;
    return _mm512_mul_ps(scales, _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(
                                     _mm_load_si128((const __m128i *)small))));
}

/* Scales of a step in parts and, with minima, those, or with small ones their negatives. */
INLINE void load_head(const form_t f, const uint8_t *w, __m512 head[4])
{
    prefetch_line_pair(w);
    head[0] = head[2] = load_scales(w);
    head[1] = head[3] = load_scales(w + 32);
    if (f.min) {
        const __m512 sign = _mm512_set1_ps(f.n_small > 0 ? -0.0f : 0.0f);

        head[2] = _mm512_xor_ps(load_scales(w + 64), sign);
        head[3] = _mm512_xor_ps(load_scales(w + 96), sign);
    }
}

#endif
