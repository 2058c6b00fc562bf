/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The linear kernels of Q2_K and Q3_K for AVX-512 with VNNI.  A value of these times its small
 * scale is still a byte, so 32 values of k have one scale as in Q8_0, and the exact integers of
 * the two bytes of an activation are one sum before it becomes a float:
 *
 *   Q2_K   q scale, 0 to 45
 *   Q3_K   128 - (q - 4) scale, 0 to 252: what it means is negative, and so is its d here
 *
 * A product of words of 16 bits makes two such bytes at a time: neither leaves its byte.
 */
#include "cpu/cpu_linear.h"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)

#include <string.h>

#include "cpu/cpu_linear_avx512.h"

#define MAX_ROWS 8u
#define A_WORDS  20u                /* of a row of activations in 32 values of k */

/* The kinds as they are packed, and with their products as bytes. */
#define WIDE_Q2_K FORM_K(false, true, 0, 2)
#define WIDE_Q3_K FORM_K(false, false, 7, 0)

/* ---- Activations ----------------------------------------------------------------------------- */

/* 32 values less their int8, to int8; what is no number becomes 0. */
INLINE __m256i quantise_rest(const float *x, __m256i q, __m512 scale, __m512 inverse)
{
    const __m512i most = _mm512_set1_epi32(127);
    __m512        a = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(q)));
    __m512        b = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(q, 1)));
    __m512i       c, d;

    a = _mm512_sub_ps(_mm512_loadu_ps(x), _mm512_mul_ps(scale, a));
    b = _mm512_sub_ps(_mm512_loadu_ps(x + 16), _mm512_mul_ps(scale, b));
    c = _mm512_min_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(a, inverse)), most);
    d = _mm512_min_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(b, inverse)), most);
    return _mm256_set_m128i(_mm512_cvtepi32_epi8(d), _mm512_cvtepi32_epi8(c));
}

INLINE void put_words(__m256i q, uint32_t mr, uint8_t *dst)
{
    uint32_t words[8];

    _mm256_storeu_si256((__m256i *)words, q);
    for (uint32_t i = 0; i < 8; i++)
        memcpy(dst + 4 * (size_t)i * mr, &words[i], 4);
}

static void fill_q15(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst)
{
    for (dst += 4 * m; n > 0; n -= LLS_GROUP, x += LLS_GROUP, dst += 4 * A_WORDS * (size_t)mr) {
        float   max = max_abs(x), scale = max * (1.0f / 127.0f), step = scale * (1.0f / 256.0f);
        __m256i high = quantise(x, _mm512_set1_ps(lls_q8_inverse(max)));
        __m256i low = quantise_rest(x, high, _mm512_set1_ps(scale),
                                    _mm512_set1_ps(lls_q15_inverse(scale)));
        int32_t first = 256 * sum_bytes(_mm256_castsi256_si128(high)) +
                        sum_bytes(_mm256_castsi256_si128(low));
        int32_t second = 256 * sum_bytes(_mm256_extracti128_si256(high, 1)) +
                         sum_bytes(_mm256_extracti128_si256(low, 1));
        int32_t minus = -128 * (first + second);
        float   sums[2] = { step * (float)first, step * (float)second };

        put_words(high, mr, dst);
        put_words(low, mr, dst + 32 * mr);
        memcpy(dst + 64 * mr, &step, 4);
        memcpy(dst + 68 * mr, &minus, 4);
        memcpy(dst + 72 * mr, &sums[0], 4);
        memcpy(dst + 76 * mr, &sums[1], 4);
    }
}

/* ---- Products -------------------------------------------------------------------------------- */

/* 16 small scales of half h of a part: what words of 16 bits are multiplied with, and what is then
 * added to both bytes. */
INLINE void load_factors(const form_t f, const uint8_t *small, __m512i *times, __m512i *plus)
{
    const __m512i words = _mm512_set4_epi32(0x0d0c0d0c, 0x09080908, 0x05040504, 0x01000100);
    const __m512i bytes = _mm512_set4_epi32(0x0c0c0c0c, 0x08080808, 0x04040404, 0);
    __m512i       n = _mm512_cvtepi8_epi32(_mm_load_si128((const __m128i *)small));

    *times = _mm512_shuffle_epi8(n, words);
    if (f.min)
        return;
    *times = _mm512_sub_epi16(_mm512_setzero_si512(), *times);
    n = _mm512_add_epi32(_mm512_slli_epi32(n, 2), _mm512_set1_epi32(128));
    *plus = _mm512_shuffle_epi8(n, bytes);
}

/* The bytes of 32 values: [8][2] vectors. */
INLINE void make_products(const form_t f, const uint8_t *w, __m512i (*b)[2])
{
    const __m512i low = _mm512_set1_epi8(15);

    UNROLL
    for (uint32_t h = 0; h < 2; h++)
        UNROLL
        for (uint32_t i = 0; i < 2; i++) {
            const uint8_t *q = w + 64 * i;
            __m512i        times, plus;

            load_factors(f, w + 512 + h * LLS_PANEL + 16 * i, &times, &plus);
            UNROLL
            for (uint32_t k = 0; k < 4; k++) {
                __m512i v = _mm512_load_si512(q + 128 * k);

                v = _mm512_and_si512(h == 0 ? v : _mm512_srli_epi16(v, 4), low);
                v = _mm512_mullo_epi16(v, times);
                b[4 * h + k][i] = f.min ? v : _mm512_add_epi16(v, plus);
            }
        }
}

INLINE void prefetch_part(const form_t f, const uint8_t *w)
{
    UNROLL
    for (uint32_t i = 0; i < form_value_bytes(f) + 64; i += 128)
        prefetch_line_pair(w + i);
}

/* ---- Multiplying ----------------------------------------------------------------------------- */

INLINE void dot_words(const uint32_t rows, const uint32_t *a, const __m512i (*b)[2],
                      __m512i (*c)[2])
{
    UNROLL
    for (uint32_t i = 0; i < 8; i++)
        UNROLL
        for (uint32_t m = 0; m < rows; m++) {
            __m512i v = _mm512_set1_epi32((int)a[i * rows + m]);

            DOT(c[m][0], b[i][0], v);
            DOT(c[m][1], b[i][1], v);
        }
}

/* The integer sums of 32 values of k. */
INLINE void dot_part(const form_t f, const uint32_t rows, const uint32_t *a,
                     const __m512i (*b)[2], __m512i (*c)[2])
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        c[m][0] = c[m][1] = _mm512_setzero_si512();
    dot_words(rows, a, b, c);
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        for (uint32_t i = 0; i < 2; i++) {
            c[m][i] = _mm512_slli_epi32(c[m][i], 8);
            if (!f.min)
                c[m][i] = _mm512_add_epi32(c[m][i], _mm512_set1_epi32((int)a[17 * rows + m]));
        }
    dot_words(rows, a + 8 * rows, b, c);
}

/* mins: small ones of 32 values, if there are any. */
INLINE void scale_part(const form_t f, const uint32_t rows, const float *s, const uint8_t *mins,
                       const __m512 head[4], __m512i (*c)[2], __m512 (*sums)[2])
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        for (uint32_t i = 0; i < 2; i++)
            sums[m][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(c[m][i]),
                                         _mm512_mul_ps(head[i], _mm512_set1_ps(s[m])), sums[m][i]);
    if (!f.min)
        return;
    UNROLL
    for (uint32_t k = 0; k < 4; k++) {
        uint32_t h = k / 2, i = k % 2;
        __m512   min = scale_small(f, head[2 + i], mins + h * LLS_PANEL + 16 * i);

        UNROLL
        for (uint32_t m = 0; m < rows; m++)
            sums[m][i] = _mm512_fmadd_ps(min, _mm512_set1_ps(s[(2 + h) * rows + m]), sums[m][i]);
    }
}

INLINE uint32_t part_bytes(const form_t f)
{
    return form_value_bytes(f) + (f.nibbles ? 64 : 0) + (f.min ? 64 : 0);
}

INLINE void multiply_products(const form_t f, const uint32_t rows, const uint8_t *acts,
                              const uint8_t *w, uint32_t n, bool first, float *tile)
{
    const uint32_t *a = (const uint32_t *)acts;
    __m512i         c[MAX_ROWS][2], made[8][2];
    __m512          sums[MAX_ROWS][2], head[4];

    load_tile(rows, first, tile, sums);
    for (uint32_t s = 0; s < n; s++) {
        load_head(f, w, head);
        for (uint32_t i = 0; i < 2 && !f.min; i++)
            head[i] = _mm512_xor_ps(head[i], _mm512_set1_ps(-0.0f));
        w += form_head_bytes(f);
        for (uint32_t g = 0; g < 8; g++, a += A_WORDS * rows, w += part_bytes(f)) {
            const __m512i(*b)[2] = (const __m512i(*)[2])w;

            prefetch_part(f, w);
            if (f.nibbles) {
                make_products(f, w, made);
                b = (const __m512i(*)[2])made;
            }
            dot_part(f, rows, a, b, c);
            scale_part(f, rows, (const float *)a + 16 * rows, w + part_bytes(f) - 64, head, c,
                       sums);
        }
    }
    store_tile(rows, sums, tile);
}

KERNEL(multiply_q2_k, multiply_products, FORM_Q2_K, ROWS_8)
KERNEL(multiply_q3_k, multiply_products, FORM_Q3_K, ROWS_8)
KERNEL(multiply_wide_q2_k, multiply_products, WIDE_Q2_K, ROWS_8)
KERNEL(multiply_wide_q3_k, multiply_products, WIDE_Q3_K, ROWS_8)

/* ---- Widening -------------------------------------------------------------------------------- */

INLINE size_t widen(const form_t f, const form_t to, const uint8_t *w, uint32_t n, uint8_t *dst)
{
    for (uint32_t s = 0; s < n; s++) {
        memcpy(dst, w, form_head_bytes(f));
        w += form_head_bytes(f);
        dst += form_head_bytes(f);
        for (uint32_t g = 0; g < 8; g++, w += part_bytes(f), dst += part_bytes(to)) {
            prefetch_part(f, w);
            make_products(f, w, (__m512i(*)[2])dst);
            if (f.min)
                memcpy(dst + 1024, w + 576, 64);
        }
    }
    return form_head_bytes(f) + 8 * part_bytes(to);
}

static size_t widen_q2_k(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    return widen(FORM_Q2_K, WIDE_Q2_K, w, n, dst);
}

static size_t widen_q3_k(const uint8_t *w, uint32_t n, uint8_t *dst)
{
    return widen(FORM_Q3_K, WIDE_Q3_K, w, n, dst);
}

void lls_linear_use_products(lls_linear_isa_t *k)
{
    k->max_rows[LLS_FORM_Q15] = MAX_ROWS;
    k->fill[LLS_FORM_Q15] = fill_q15;
    k->form[LLS_W_Q2_K] = k->form[LLS_W_Q3_K] = LLS_FORM_Q15;
    k->multiply[LLS_W_Q2_K] = multiply_q2_k;
    k->multiply[LLS_W_Q3_K] = multiply_q3_k;
    k->widen[LLS_W_Q2_K] = widen_q2_k;
    k->widen[LLS_W_Q3_K] = widen_q3_k;
    k->multiply_wide[LLS_W_Q2_K] = multiply_wide_q2_k;
    k->multiply_wide[LLS_W_Q3_K] = multiply_wide_q3_k;
}

#endif
