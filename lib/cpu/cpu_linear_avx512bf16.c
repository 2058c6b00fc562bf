/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear kernel of bfloat16 weights for AVX512-BF16: activations are rounded to bfloat16 and
 * multiplied in pairs.  All other kinds are those of AVX-512.
 */
#include "cpu/cpu_linear.h"

#if defined(__AVX512BF16__)

#include <immintrin.h>
#include <string.h>

#include "cpu/cpu_linear_kernels.h"

#define DOT_ROWS 14u                /* 28 sums, 2 vectors of weights, a row's pair */
#define AHEAD    2048u              /* bytes: one stream a thread reads fastest so */

static void fill_bf16(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    uint32_t pairs[16], k = 0;

    for (dst += 4 * (size_t)m; k < n; k += 32) {
        uint32_t  here = lls_min_u32(32, n - k);
        uint32_t  mask = here == 32 ? 0xffffffffu : (1u << here) - 1;
        __m512    a = _mm512_maskz_loadu_ps((__mmask16)mask, x + k);
        __m512    b = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), x + k + 16);
        __m512bh  both = _mm512_cvtne2ps_pbh(b, a);

        memcpy(pairs, &both, sizeof pairs);
        for (uint32_t i = 0; i < (here + 1) / 2; i++, dst += 4 * (size_t)mr)
            memcpy(dst, &pairs[i], 4);
    }
}

INLINE __m512bh as_pairs(__m512i v)
{
    __m512bh pairs;

    memcpy(&pairs, &v, sizeof pairs);
    return pairs;
}

/* The first argument only fits the kernel macro. */
INLINE void multiply_pairs(uint32_t kind, const uint32_t rows, const uint8_t *acts,
                           const uint8_t *w,
                           uint32_t n, bool first, float *tile)
{
    const uint32_t *a = (const uint32_t *)acts;
    __m512          c[DOT_ROWS][2];

    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        c[m][0] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(tile + m * LLS_PANEL);
        c[m][1] = first ? _mm512_setzero_ps() : _mm512_loadu_ps(tile + m * LLS_PANEL + 16);
    }
    for (uint32_t s = 0; s < n; s++, a += rows, w += 128) {
        __m512bh b0 = as_pairs(_mm512_load_si512(w)), b1 = as_pairs(_mm512_load_si512(w + 64));

        _mm_prefetch((const char *)w + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)w + AHEAD + 64, _MM_HINT_T0);
        UNROLL
        for (uint32_t m = 0; m < rows; m++) {
            __m512bh v = as_pairs(_mm512_set1_epi32((int)a[m]));

            c[m][0] = _mm512_dpbf16_ps(c[m][0], v, b0);
            c[m][1] = _mm512_dpbf16_ps(c[m][1], v, b1);
        }
    }
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        _mm512_storeu_ps(tile + m * LLS_PANEL, c[m][0]);
        _mm512_storeu_ps(tile + m * LLS_PANEL + 16, c[m][1]);
    }
}

KERNEL(multiply_dots, multiply_pairs, LLS_W_BF16, ROWS_14)

const lls_bf16_kernels_t lls_linear_avx512bf16 = { DOT_ROWS, fill_bf16, multiply_dots };

#endif
