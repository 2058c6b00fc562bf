/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels of the linear ops for AVX-512 with VNNI.  A tile of mr rows and 32 columns stays in
 * registers: two vectors a row.  Kernels are written once with the number of rows as a constant and
 * compiled for each number.
 */
#include "cpu/cpu_linear.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <math.h>
#include <string.h>

#include "cpu/cpu_linear_avx512.h"

#define FLOAT_ROWS 12u              /* 24 sums, 4 vectors of weights, a row's value */
#define INT_ROWS   8u               /* sums of integers and of floats: 32, of which few spill */
#define HALF_ROWS  6u               /* those beside the scales of halves: few spill */

/* ---- Activations ----------------------------------------------------------------------------- */

INLINE void fill_groups(uint32_t form, const float *x, uint32_t n, uint32_t mr, uint32_t m,
                        uint8_t *dst)
{
    for (; n > 0; n -= LLS_GROUP, x += LLS_GROUP, dst += lls_form_bytes(form) * (size_t)mr) {
        float    max = max_abs(x);
        __m256i  q = quantise(x, _mm512_set1_ps(lls_q8_inverse(max)));
        uint32_t words[8];

        _mm256_storeu_si256((__m256i *)(form == LLS_FORM_TILE8 ? dst + 32 * m : (void *)words), q);
        for (uint32_t i = 0; form != LLS_FORM_TILE8 && i < 8; i++)
            memcpy(dst + (i * mr + m) * 4, &words[i], 4);
        lls_put_q8_row(dst, form == LLS_FORM_Q8H, mr, m, max * (1.0f / 127.0f),
                       sum_bytes(_mm256_castsi256_si128(q)),
                       sum_bytes(_mm256_extracti128_si256(q, 1)));
    }
}

static void fill_q8(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    fill_groups(LLS_FORM_Q8, x, n, mr, m, dst);
}

static void fill_q8h(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    fill_groups(LLS_FORM_Q8H, x, n, mr, m, dst);
}

static void fill_tile8(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    fill_groups(LLS_FORM_TILE8, x, n, mr, m, dst);
}

/* ---- Plain weights --------------------------------------------------------------------------- */

/* One value of k: weights of 32 columns in two vectors. */
INLINE void load_weights(uint32_t kind, const uint8_t *w, uint32_t odd, __m512 b[2])
{
    const __m512i high = _mm512_set1_epi32((int)0xffff0000);

    for (uint32_t h = 0; h < 2; h++) {
        if (kind == LLS_W_F32) {
            b[h] = _mm512_load_ps(w + odd * 128 + h * 64);
        } else if (kind == LLS_W_F16) {
            b[h] = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(w + odd * 64 + h * 32)));
        } else {
            __m512i pair = _mm512_load_si512(w + h * 64);

            pair = odd ? _mm512_and_si512(pair, high) : _mm512_slli_epi32(pair, 16);
            b[h] = _mm512_castsi512_ps(pair);
        }
    }
}

INLINE void multiply_plain(uint32_t kind, const uint32_t rows, const uint8_t *acts,
                           const uint8_t *w,
                           uint32_t n, bool first, float *tile)
{
    const float *a = (const float *)acts;
    __m512       c[FLOAT_ROWS][2], b[2];

    load_tile(rows, first, tile, c);
    for (uint32_t s = 0; s < n; s++, a += 2 * rows, w += lls_kind_step_bytes(kind)) {
        prefetch_line_pair(w);
        if (kind == LLS_W_F32)
            prefetch_line_pair(w + 128);
        for (uint32_t odd = 0; odd < 2; odd++) {
            load_weights(kind, w, odd, b);
            UNROLL
            for (uint32_t m = 0; m < rows; m++) {
                __m512 v = _mm512_set1_ps(a[2 * m + odd]);

                c[m][0] = _mm512_fmadd_ps(v, b[0], c[m][0]);
                c[m][1] = _mm512_fmadd_ps(v, b[1], c[m][1]);
            }
        }
    }
    store_tile(rows, c, tile);
}

/* ---- Weights in blocks ----------------------------------------------------------------------- */

/* Words i of all rows with two vectors of weights. */
INLINE void dot_words(const uint32_t rows, const uint32_t *a, __m512i b0, __m512i b1,
                      __m512i (*c)[2])
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        __m512i v = _mm512_set1_epi32((int)a[m]);

        DOT(c[m][0], b0, v);
        DOT(c[m][1], b1, v);
    }
}

/* What the sums of a row begin with; minus: the negative sum of its int8. */
INLINE __m512i first_sum(const form_t f, uint32_t minus)
{
    const __m512i start = _mm512_set1_epi32(BITS_OF_0);

    return f.min ? start : _mm512_dpwssd_epi32(start, _mm512_set1_epi32(1 << f.zero_shift),
                                               _mm512_set1_epi32((int)minus));
}

/* The integer sums of one step. */
INLINE void dot_step(const form_t f, const uint32_t rows, const uint32_t *a, const uint8_t *w,
                     __m512i (*c)[2])
{
    const __m512i low = _mm512_set1_epi8(15);

    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        c[m][0] = c[m][1] = first_sum(f, a[9 * rows + m]);
    UNROLL
    for (uint32_t i = 0; i < form_value_bytes(f) / 128; i++) {
        __m512i b0 = _mm512_load_si512(w + i * 128), b1 = _mm512_load_si512(w + i * 128 + 64);

        prefetch_line_pair(w + i * 128);
        if (!f.nibbles) {
            dot_words(rows, a + i * rows, b0, b1, c);
            continue;
        }
        dot_words(rows, a + i * rows, _mm512_and_si512(b0, low), _mm512_and_si512(b1, low), c);
        b0 = _mm512_and_si512(_mm512_srli_epi16(b0, 4), low);
        b1 = _mm512_and_si512(_mm512_srli_epi16(b1, 4), low);
        dot_words(rows, a + (i + 4) * rows, b0, b1, c);
    }
}

INLINE void scale_rows(const form_t f, const uint32_t rows, const scales_t g[2], const float *s,
                       const float *a_sums, __m512i (*c)[2], __m512 (*sums)[2])
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        sums[m][0] = add_scaled(f.min, sums[m][0], c[m][0], &g[0], s[m], a_sums[m]);
        sums[m][1] = add_scaled(f.min, sums[m][1], c[m][1], &g[1], s[m], a_sums[m]);
    }
}

INLINE void scale_step(const form_t f, const uint32_t rows, const float *s, const uint8_t *scales,
                       __m512i (*c)[2], __m512 (*sums)[2])
{
    scales_t g[2];

    _mm_prefetch((const char *)scales + AHEAD, _MM_HINT_T0);
    if (f.min)
        _mm_prefetch((const char *)scales + AHEAD + 64, _MM_HINT_T0);
    for (uint32_t i = 0; i < 2; i++)
        g[i] = make_scales(load_scales(scales + 32 * i),
                           f.min ? load_scales(scales + 64 + 32 * i) : _mm512_setzero_ps());
    scale_rows(f, rows, g, s, s + 2 * rows, c, sums);
}

INLINE void multiply_blocks(const form_t f, const uint32_t rows, const uint8_t *acts,
                            const uint8_t *w,
                            uint32_t n, bool first, float *tile)
{
    const uint32_t *a = (const uint32_t *)acts;
    __m512i         c[INT_ROWS][2];
    __m512          sums[INT_ROWS][2];

    load_tile(rows, first, tile, sums);
    for (uint32_t s = 0; s < n; s++, a += 11 * rows, w += form_step_bytes(f)) {
        dot_step(f, rows, a, w, c);
        scale_step(f, rows, (const float *)a + 8 * rows, w + form_value_bytes(f), c, sums);
    }
    store_tile(rows, sums, tile);
}

/* ---- In parts ------------------------------------------------------------------------------- */

/* The integer sums of half h of a part. */
INLINE void dot_half(const form_t f, const uint32_t rows, const uint32_t *a, const uint8_t *w,
                     uint32_t h, __m512i (*c)[2])
{
    const __m512i low = _mm512_set1_epi8(15);

    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        c[m][0] = c[m][1] = first_sum(f, a[(9 + h) * rows + m]);
    w += f.nibbles ? 0 : h * 512;
    UNROLL
    for (uint32_t i = 0; i < 4; i++) {
        __m512i b0 = _mm512_load_si512(w + i * 128), b1 = _mm512_load_si512(w + i * 128 + 64);

        if (!f.nibbles || h == 0)
            prefetch_line_pair(w + i * 128);
        if (f.nibbles && h == 1) {
            b0 = _mm512_srli_epi16(b0, 4);
            b1 = _mm512_srli_epi16(b1, 4);
        }
        if (f.nibbles) {
            b0 = _mm512_and_si512(b0, low);
            b1 = _mm512_and_si512(b1, low);
        }
        dot_words(rows, a + (i + 4 * h) * rows, b0, b1, c);
    }
}

/* head: scales of the step and, with minima, their negatives. */
INLINE void scale_part(const form_t f, const uint32_t rows, const uint32_t *a, const uint8_t *small,
                       const __m512 head[4], uint32_t h, __m512i (*c)[2], __m512 (*sums)[2])
{
    const float *row = (const float *)a;
    scales_t     g[2];

    UNROLL
    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *mins = small + (f.n_small + h) * LLS_PANEL + 16 * i;

        g[i] = make_scales(scale_small(f, head[i], small + h * LLS_PANEL + 16 * i),
                           f.min ? scale_small(f, head[2 + i], mins) : _mm512_setzero_ps());
    }
    scale_rows(f, rows, g, row + 8 * rows, row + form_acts_sum(f, h) * rows, c, sums);
}

INLINE void multiply_k(const form_t f, const uint32_t rows, const uint8_t *acts, const uint8_t *w,
                       uint32_t n, bool first, float *tile)
{
    const uint32_t *a = (const uint32_t *)acts;
    __m512i         c[INT_ROWS][2];
    __m512          sums[INT_ROWS][2], head[4];

    load_tile(rows, first, tile, sums);
    for (uint32_t s = 0; s < n; s++) {
        load_head(f, w, head);
        w += form_head_bytes(f);
        for (uint32_t g = 0; g < form_parts(f); g++) {
            const uint8_t *small = w + form_value_bytes(f);

            if (f.n_small > 0)
                prefetch_line_pair(small);
            UNROLL
            for (uint32_t h = 0; h < form_sums(f); h++) {
                if (f.n_small == 2)
                    dot_half(f, rows, a, w, h, c);
                else
                    dot_step(f, rows, a, w, c);
                scale_part(f, rows, a, small, head, h, c, sums);
            }
            a += form_acts(f) * rows;
            w += form_part_bytes(f);
        }
    }
    store_tile(rows, sums, tile);
}

/* ---- One function for each number of rows ---------------------------------------------------- */

KERNEL(multiply_f32, multiply_plain, LLS_W_F32, ROWS_12)
KERNEL(multiply_f16, multiply_plain, LLS_W_F16, ROWS_12)
KERNEL(multiply_bf16, multiply_plain, LLS_W_BF16, ROWS_12)
KERNEL(multiply_q4_0, multiply_blocks, FORM_Q4_0, ROWS_8)
KERNEL(multiply_q4_1, multiply_blocks, FORM_Q4_1, ROWS_8)
KERNEL(multiply_q5_0, multiply_blocks, FORM_Q5_0, ROWS_8)
KERNEL(multiply_q5_1, multiply_blocks, FORM_Q5_1, ROWS_8)
KERNEL(multiply_q8_0, multiply_blocks, FORM_Q8_0, ROWS_8)
KERNEL(multiply_w4_0, multiply_blocks, FORM_W4_0, ROWS_8)
KERNEL(multiply_q2_k, multiply_k, FORM_Q2_K, ROWS_6)
KERNEL(multiply_q3_k, multiply_k, FORM_Q3_K, ROWS_6)
KERNEL(multiply_q4_k, multiply_k, FORM_Q4_K, ROWS_8)
KERNEL(multiply_q5_k, multiply_k, FORM_Q5_K, ROWS_8)
KERNEL(multiply_q6_k, multiply_k, FORM_Q6_K, ROWS_6)
KERNEL(multiply_iq4_xs, multiply_k, FORM_IQ4_XS, ROWS_8)
KERNEL(multiply_int4_g128, multiply_k, FORM_INT4_G128, ROWS_8)

/* ---- Widening -------------------------------------------------------------------------------- */

INLINE void widen_values(const uint8_t *w, uint8_t *dst)
{
    const __m512i low = _mm512_set1_epi8(15);

    for (uint32_t i = 0; i < 512; i += 64) {
        __m512i b = _mm512_load_si512(w + i);

        _mm_prefetch((const char *)w + i + AHEAD, _MM_HINT_T0);
        _mm512_store_si512(dst + i, _mm512_and_si512(b, low));
        _mm512_store_si512(dst + 512 + i, _mm512_and_si512(_mm512_srli_epi16(b, 4), low));
    }
}

INLINE size_t widen(const form_t f, const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (uint32_t s = 0; s < n; s++, w += form_step_bytes(f), dst += form_step_bytes(f) + 512) {
        widen_values(w, dst);
        _mm_prefetch((const char *)w + 512 + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)w + 576 + AHEAD, _MM_HINT_T0);
        memcpy(dst + 1024, w + 512, f.min ? 128 : 64);
    }
    return form_step_bytes(f) + 512;
}

static size_t widen_q4_k(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (uint32_t s = 0; s < n; s++) {
        memcpy(dst, w, 128);
        w += 128;
        dst += 128;
        for (uint32_t g = 0; g < 8; g++, w += 576, dst += 1088) {
            widen_values(w, dst);
            _mm_prefetch((const char *)w + 512 + AHEAD, _MM_HINT_T0);
            memcpy(dst + 1024, w + 512, 64);
        }
    }
    return lls_kind_step_bytes(LLS_W_Q5_K);
}

/* To groups of Q4_1, widened. */
static size_t widen_int4_g128(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (; n > 0; n--, w += 128 + 4 * 512) {
        prefetch_line_pair(w);
        for (uint32_t g = 0; g < 4; g++, dst += 1152) {
            widen_values(w + 128 + 512 * g, dst);
            memcpy(dst + 1024, w, 128);
        }
    }
    return 4 * 1152;
}

static void multiply_wide_128(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                              bool first, float *tile)
{
    multiply_q5_1(acts, w, 4 * n, mr, first, tile);
}

static size_t widen_q4_0(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    return widen(FORM_Q4_0, w, n, dst);
}

static size_t widen_q4_1(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    return widen(FORM_Q4_1, w, n, dst);
}

/* ---- Results --------------------------------------------------------------------------------- */

/* Whole lines: a core holds few stores that wait for memory. */
static void store_row(const float *tile, const float *bias, bool accumulate, float *out)
{
    for (uint32_t i = 0; i < LLS_PANEL; i += 16) {
        __m512 v = _mm512_loadu_ps(tile + i);

        if (bias != NULL)
            v = _mm512_add_ps(v, _mm512_loadu_ps(bias + i));
        if (accumulate)
            v = _mm512_add_ps(v, _mm512_loadu_ps(out + i));
        _mm512_storeu_ps(out + i, v);
    }
}

const lls_linear_isa_t lls_linear_avx512 = {
    .max_rows = { FLOAT_ROWS, FLOAT_ROWS, INT_ROWS, HALF_ROWS },
    .fill = { lls_fill_f32_rows, NULL, fill_q8, fill_q8h, [LLS_FORM_TILE8] = fill_tile8 },
    .form = LLS_FORMS_OF_KINDS,
    .multiply = LLS_KERNELS_OF_KINDS,
    .widen = { [LLS_W_Q4_0] = widen_q4_0, [LLS_W_Q4_1] = widen_q4_1, [LLS_W_Q4_K] = widen_q4_k,
               [LLS_W_INT4_G128] = widen_int4_g128 },
    .multiply_wide = { [LLS_W_Q4_0] = multiply_w4_0, [LLS_W_Q4_1] = multiply_q5_1,
                       [LLS_W_Q4_K] = multiply_q5_k, [LLS_W_INT4_G128] = multiply_wide_128 },
    .widen_from = 3,
    .store = store_row,
};

#endif
