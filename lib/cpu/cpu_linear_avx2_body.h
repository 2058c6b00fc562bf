/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_linear_avx2_body - the kernels of the linear ops for AVX2 with FMA and F16C; included once
 * by the file of each instruction set, which defines LLS_LINEAR_KERNELS, the name of the table.
 * A panel is multiplied in two halves of 16 columns, two vectors a row, so that the sums of six
 * rows stay in registers.
 *
 * The integers are exact in both ways, so both have the same bits:
 *
 *   dots       of AVX-VNNI: vpdpbusd sums four products of bytes to 32 bits
 *   products   are summed in pairs to 16 bits, which saturate: 15 * 127 * 2 eight times and
 *              31 * 127 * 2 four times and 63 * 127 * 2 twice fit.  Bytes of Q8_0 would not, so
 *              their sign moves to the activation: 128 * 127 * 2 fits
 */
#include <immintrin.h>
#include <string.h>

#include "cpu/cpu_linear.h"
#include "cpu/cpu_linear_kernels.h"

#define FLOAT_ROWS 6u               /* 12 sums, 2 vectors of weights, a row's value */
#if defined(__AVXVNNI__)
#  define DOTS     1
#  define INT_ROWS 6u               /* as of floats */
#  define INT_LIST ROWS_6
#else
#  define DOTS     0
#  define INT_ROWS 4u               /* 8 sums in each of two widths, one of them spilling some */
#  define INT_LIST ROWS_4
#endif

/* ---- Activations ----------------------------------------------------------------------------- */

INLINE float max_abs(const float *x)
{
    const __m256i mask = _mm256_set1_epi32(0x7fffffff);
    __m256i       max = _mm256_setzero_si256();
    __m128i       half;

    for (uint32_t i = 0; i < LLS_GROUP; i += 8)
        max = _mm256_max_epu32(
            max, _mm256_and_si256(_mm256_loadu_si256((const __m256i *)(x + i)), mask));
    half = _mm_max_epu32(_mm256_castsi256_si128(max), _mm256_extracti128_si256(max, 1));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
    return lls_float_of((uint32_t)_mm_cvtsi128_si32(half));
}

/* 8 values to int32; what is no number becomes 0 once only its low byte is left. */
INLINE __m256i quantise(const float *x, __m256 inverse)
{
    __m256i q = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), inverse));

    return _mm256_andnot_si256(_mm256_cmpeq_epi32(q, _mm256_set1_epi32(INT32_MIN)), q);
}

INLINE int32_t sum_of(__m256i v)
{
    __m128i half = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));

    half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

INLINE void fill_groups(uint32_t form, const float *x, uint32_t n, uint32_t mr, uint32_t m,
                        uint8_t *dst)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);  /* undoes packing by halves */

    for (; n > 0; n -= LLS_GROUP, x += LLS_GROUP, dst += lls_form_bytes(form) * (size_t)mr) {
        float    max = max_abs(x);
        __m256   inverse = _mm256_set1_ps(lls_q8_inverse(max));
        __m256i  a = quantise(x, inverse), b = quantise(x + 8, inverse);
        __m256i  c = quantise(x + 16, inverse), d = quantise(x + 24, inverse);
        __m256i  q = _mm256_packs_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        uint32_t words[8];

        _mm256_storeu_si256((__m256i *)words, _mm256_permutevar8x32_epi32(q, order));
        for (uint32_t i = 0; i < 8; i++)
            memcpy(dst + (i * mr + m) * 4, &words[i], 4);
        lls_put_q8_row(dst, form == LLS_FORM_Q8H, mr, m, max * (1.0f / 127.0f),
                       sum_of(_mm256_add_epi32(a, b)), sum_of(_mm256_add_epi32(c, d)));
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

/* ---- Plain weights --------------------------------------------------------------------------- */

/* One value of k: weights of 8 columns. */
INLINE __m256 load_weights(uint32_t kind, const uint8_t *w, uint32_t odd, uint32_t column)
{
    __m256i pair;

    if (kind == LLS_W_F32)
        return _mm256_load_ps((const float *)w + odd * LLS_PANEL + column);
    if (kind == LLS_W_F16)
        return _mm256_cvtph_ps(
            _mm_load_si128((const __m128i *)(w + (odd * LLS_PANEL + column) * 2)));
    pair = _mm256_load_si256((const __m256i *)(w + column * 4));
    pair = odd ? _mm256_and_si256(pair, _mm256_set1_epi32((int)0xffff0000))
               : _mm256_slli_epi32(pair, 16);
    return _mm256_castsi256_ps(pair);
}

/* Columns [column, column + 16). */
INLINE void multiply_half(uint32_t kind, const uint32_t rows, const float *a, const uint8_t *w,
                          uint32_t n,
                          bool first, uint32_t column, float *tile)
{
    __m256 c[FLOAT_ROWS][2];

    tile += column;
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        c[m][0] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(tile + m * LLS_PANEL);
        c[m][1] = first ? _mm256_setzero_ps() : _mm256_loadu_ps(tile + m * LLS_PANEL + 8);
    }
    for (uint32_t s = 0; s < n; s++, a += 2 * rows, w += lls_kind_step_bytes(kind))
        for (uint32_t odd = 0; odd < 2; odd++) {
            __m256 b0 = load_weights(kind, w, odd, column);
            __m256 b1 = load_weights(kind, w, odd, column + 8);

            UNROLL
            for (uint32_t m = 0; m < rows; m++) {
                __m256 v = _mm256_broadcast_ss(a + 2 * m + odd);

                c[m][0] = _mm256_fmadd_ps(v, b0, c[m][0]);
                c[m][1] = _mm256_fmadd_ps(v, b1, c[m][1]);
            }
        }
    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        _mm256_storeu_ps(tile + m * LLS_PANEL, c[m][0]);
        _mm256_storeu_ps(tile + m * LLS_PANEL + 8, c[m][1]);
    }
}

INLINE void multiply_plain(uint32_t kind, const uint32_t rows, const uint8_t *acts,
                           const uint8_t *w,
                           uint32_t n, bool first, float *tile)
{
    multiply_half(kind, rows, (const float *)acts, w, n, first, 0, tile);
    multiply_half(kind, rows, (const float *)acts, w, n, first, 16, tile);
}

/* ---- Weights in blocks ----------------------------------------------------------------------- */

/* Word i of the weights of 8 columns. */
INLINE __m256i load_word(const form_t f, const uint8_t *w, uint32_t i, uint32_t column)
{
    const __m256i low = _mm256_set1_epi8(15);
    const __m256i *p = (const __m256i *)(w + ((f.nibbles ? i % 4 : i) * LLS_PANEL + column) * 4);
    __m256i       b = _mm256_load_si256(p);

    if (!f.nibbles)
        return b;
    return _mm256_and_si256(i < 4 ? b : _mm256_srli_epi16(b, 4), low);
}

#if DOTS

/* The compiler's own form spills the sums when many of them are live. */
#define DOT(sum, u8, s8) __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(u8), "x"(s8))

/* Adds the products of words [begin, end) for 16 columns. */
INLINE void add_words(const form_t f, const uint32_t rows, const int32_t *a, const uint8_t *w,
                      uint32_t begin, uint32_t end, uint32_t column, __m256i (*c)[2])
{
    UNROLL
    for (uint32_t i = begin; i < end; i++) {
        __m256i b0 = load_word(f, w, i, column), b1 = load_word(f, w, i, column + 8);

        UNROLL
        for (uint32_t m = 0; m < rows; m++) {
            __m256i v = _mm256_set1_epi32(a[i * rows + m]);

            DOT(c[m][0], b0, v);
            DOT(c[m][1], b1, v);
        }
    }
}

#else

/* Sums of pairs, in 16 bits: bytes of four k times one word of activations. */
INLINE __m256i dot_pairs(const form_t f, __m256i b, __m256i a)
{
    if (f.zero_shift != 7)
        return _mm256_maddubs_epi16(b, a);
    b = _mm256_xor_si256(b, _mm256_set1_epi8((char)0x80));          /* back to signed */
    return _mm256_maddubs_epi16(_mm256_abs_epi8(b), _mm256_sign_epi8(a, b));
}

/* How many sums of pairs fit into 16 bits together. */
INLINE uint32_t form_chain(form_t f)
{
    if (f.nibbles)
        return f.n_small == 2 ? 4 : 8;
    return f.zero_shift == 7 ? 1 : f.zero_shift == 5 ? 2 : 4;
}

/* Adds the products of words [begin, end) for 16 columns. */
INLINE void add_words(const form_t f, const uint32_t rows, const int32_t *a, const uint8_t *w,
                      uint32_t begin, uint32_t end, uint32_t column, __m256i (*c)[2])
{
    const __m256i ones = _mm256_set1_epi16(1);

    UNROLL
    for (uint32_t i = begin; i < end; i += form_chain(f)) {
        __m256i pairs[INT_ROWS][2];

        UNROLL
        for (uint32_t k = i; k < i + form_chain(f); k++) {
            __m256i b0 = load_word(f, w, k, column), b1 = load_word(f, w, k, column + 8);

            UNROLL
            for (uint32_t m = 0; m < rows; m++) {
                __m256i v = _mm256_set1_epi32(a[k * rows + m]);
                __m256i p0 = dot_pairs(f, b0, v), p1 = dot_pairs(f, b1, v);

                pairs[m][0] = k == i ? p0 : _mm256_add_epi16(pairs[m][0], p0);
                pairs[m][1] = k == i ? p1 : _mm256_add_epi16(pairs[m][1], p1);
            }
        }
        UNROLL
        for (uint32_t m = 0; m < rows; m++) {
            c[m][0] = _mm256_add_epi32(c[m][0], _mm256_madd_epi16(pairs[m][0], ones));
            c[m][1] = _mm256_add_epi32(c[m][1], _mm256_madd_epi16(pairs[m][1], ones));
        }
    }
}

#endif

/* The integer sums of words [begin, end) for 16 columns; minus: of each row the negative sum of
 * those int8. */
INLINE void dot_words(const form_t f, const uint32_t rows, const int32_t *a, const int32_t *minus,
                      const uint8_t *w, uint32_t begin, uint32_t end, uint32_t column,
                      __m256i (*c)[2])
{
    bool has_zero = !f.min && (DOTS || f.zero_shift != 7);

    UNROLL
    for (uint32_t m = 0; m < rows; m++) {
        __m256i zero = _mm256_setzero_si256();

        if (has_zero)
            zero = _mm256_slli_epi32(_mm256_set1_epi32(minus[m]), (int)f.zero_shift);
        c[m][0] = c[m][1] = zero;
    }
    add_words(f, rows, a, w, begin, end, column, c);
}

INLINE __m256 load_scales(const uint8_t *p)
{
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)p));
}

/* Adds (d c + min a) s of 8 columns to the tile. */
INLINE void add_scaled(const form_t f, __m256i c, __m256 d, __m256 min, float s, float a,
                       float *tile)
{
    __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(c), d);

    if (f.min)
        v = _mm256_fmadd_ps(min, _mm256_set1_ps(a), v);
    _mm256_storeu_ps(tile, _mm256_fmadd_ps(v, _mm256_set1_ps(s), _mm256_loadu_ps(tile)));
}

/* And of 16; tile begins at the first of them, `sums` are those of the int8. */
INLINE void add_sums(const form_t f, const uint32_t rows, __m256i (*c)[2], const __m256 d[2],
                     const __m256 min[2], const float *s, const float *sums, float *tile)
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++, tile += LLS_PANEL) {
        add_scaled(f, c[m][0], d[0], min[0], s[m], sums[m], tile);
        add_scaled(f, c[m][1], d[1], min[1], s[m], sums[m], tile + 8);
    }
}

INLINE void multiply_blocks(const form_t f, const uint32_t rows, const uint8_t *acts,
                            const uint8_t *w,
                            uint32_t n, bool first, float *tile)
{
    const int32_t *a = (const int32_t *)acts;
    __m256i        c[INT_ROWS][2];

    if (first)
        memset(tile, 0, rows * LLS_PANEL * sizeof *tile);
    for (uint32_t s = 0; s < n; s++, a += 11 * rows, w += form_step_bytes(f))
        for (uint32_t column = 0; column < LLS_PANEL; column += 16) {
            const uint8_t *scales = w + form_value_bytes(f) + column * 2;
            const float   *row = (const float *)a + 8 * rows;
            __m256         d[2] = { load_scales(scales), load_scales(scales + 16) };
            __m256         min[2] = { d[0], d[1] };

            if (f.min) {
                min[0] = load_scales(scales + 64);
                min[1] = load_scales(scales + 80);
            }
            dot_words(f, rows, a, a + 9 * rows, w, 0, 8, column, c);
            add_sums(f, rows, c, d, min, row, row + 2 * rows, tile + column);
        }
}

/* ---- In parts ------------------------------------------------------------------------------- */

/* Exact products of the scales of 8 columns with their small ones, if there are any. */
INLINE __m256 scale_small(const form_t f, const uint8_t *scales, const uint8_t *small)
{
    __m256i v;

    if (f.n_small == 0)
        return load_scales(scales);
    v = _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)small));
    return _mm256_mul_ps(load_scales(scales), _mm256_cvtepi32_ps(v));
}

/* Half h of a part, or all of it, for 16 columns; tile begins at the first of them. */
INLINE void multiply_part(const form_t f, const uint32_t rows, const int32_t *a,
                          const uint8_t *head, const uint8_t *w, uint32_t h, uint32_t column,
                          float *tile)
{
    const uint8_t *small = w + form_value_bytes(f) + h * LLS_PANEL + column;
    const float   *row = (const float *)a;
    uint32_t       n = 8 / form_sums(f);
    __m256i        c[INT_ROWS][2];
    __m256         d[2], min[2];

    UNROLL
    for (uint32_t i = 0; i < 2; i++) {
        const uint8_t *scales = head + 2 * column + 16 * i;

        min[i] = d[i] = scale_small(f, scales, small + 8 * i);
        if (f.min)
            min[i] = _mm256_xor_ps(
                scale_small(f, scales + 64, small + f.n_small * LLS_PANEL + 8 * i),
                _mm256_set1_ps(f.n_small > 0 ? -0.0f : 0.0f));
    }
    dot_words(f, rows, a, a + (9 + h) * rows, w, h * n, h * n + n, column, c);
    add_sums(f, rows, c, d, min, row + 8 * rows, row + form_acts_sum(f, h) * rows, tile);
}

INLINE void multiply_k(const form_t f, const uint32_t rows, const uint8_t *acts, const uint8_t *w,
                       uint32_t n, bool first, float *tile)
{
    const int32_t *a = (const int32_t *)acts;

    if (first)
        memset(tile, 0, rows * LLS_PANEL * sizeof *tile);
    for (uint32_t s = 0; s < n; s++) {
        const uint8_t *head = w;

        w += form_head_bytes(f);
        for (uint32_t g = 0; g < form_parts(f); g++) {
            for (uint32_t column = 0; column < LLS_PANEL; column += 16)
                for (uint32_t h = 0; h < form_sums(f); h++)
                    multiply_part(f, rows, a, head, w, h, column, tile + column);
            a += form_acts(f) * rows;
            w += form_part_bytes(f);
        }
    }
}

KERNEL(multiply_f32, multiply_plain, LLS_W_F32, ROWS_6)
KERNEL(multiply_f16, multiply_plain, LLS_W_F16, ROWS_6)
KERNEL(multiply_bf16, multiply_plain, LLS_W_BF16, ROWS_6)
KERNEL(multiply_q4_0, multiply_blocks, FORM_Q4_0, INT_LIST)
KERNEL(multiply_q4_1, multiply_blocks, FORM_Q4_1, INT_LIST)
KERNEL(multiply_q5_0, multiply_blocks, FORM_Q5_0, INT_LIST)
KERNEL(multiply_q5_1, multiply_blocks, FORM_Q5_1, INT_LIST)
KERNEL(multiply_q8_0, multiply_blocks, FORM_Q8_0, INT_LIST)
KERNEL(multiply_q2_k, multiply_k, FORM_Q2_K, INT_LIST)
KERNEL(multiply_q3_k, multiply_k, FORM_Q3_K, INT_LIST)
KERNEL(multiply_q4_k, multiply_k, FORM_Q4_K, INT_LIST)
KERNEL(multiply_q5_k, multiply_k, FORM_Q5_K, INT_LIST)
KERNEL(multiply_q6_k, multiply_k, FORM_Q6_K, INT_LIST)
KERNEL(multiply_iq4_xs, multiply_k, FORM_IQ4_XS, INT_LIST)
KERNEL(multiply_int4_g128, multiply_k, FORM_INT4_G128, INT_LIST)

const lls_linear_isa_t LLS_LINEAR_KERNELS = {
    .max_rows = { FLOAT_ROWS, FLOAT_ROWS, INT_ROWS, INT_ROWS },
    .fill = { lls_fill_f32_rows, NULL, fill_q8, fill_q8h },
    .form = LLS_FORMS_OF_KINDS,
    .multiply = LLS_KERNELS_OF_KINDS,
};
