/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_linear_neon_body - the kernels of the linear ops for NEON; included once by the file of each
 * instruction set, which defines LLS_LINEAR_KERNELS, the name of the table.
 *
 * Sums of floats stay in registers; of int8 the integer sums do, for COLUMNS(rows) vectors of four
 * columns, and the float sums of a tile in L1.  The integers are exact in each of three ways:
 *
 *   matrices   smmla: 2 rows times 2 columns over 8 values of k; activations lie as pairs of words
 *   dots       sdot: 4 columns over 4 values of k, a row's word being a lane
 *   products   smull and smlal: sums of 16 bits over CHAIN words, then of 32
 *
 * All want signed weights; Q8_0, stored + 128, is turned back in registers.
 */
#include <arm_neon.h>

#include "cpu/cpu_linear.h"
#include "cpu/cpu_linear_kernels.h"

#define FLOAT_ROWS 6u               /* 24 sums, 4 vectors of weights, of a pair of rows */
#if defined(__ARM_FEATURE_MATMUL_INT8)
#  define MATRICES 1
#else
#  define MATRICES 0
#endif
#if defined(__ARM_FEATURE_DOTPROD)
#  define INT_ROWS 8u
#  define COLUMNS(rows) ((rows) <= 2 ? 8u : (rows) <= 4 ? 4u : 2u)      /* 16 sums */
#else
#  define INT_ROWS 4u
#  define COLUMNS(rows) ((rows) <= 2 ? 4u : 2u)     /* 16 sums of 32 bits, 8 of 16 bits */
#endif

/* ---- Activations ----------------------------------------------------------------------------- */

INLINE float max_abs(const float *x)
{
    const uint32x4_t mask = vdupq_n_u32(0x7fffffffu);
    uint32x4_t       max = vdupq_n_u32(0);

    for (uint32_t i = 0; i < LLS_GROUP; i += 4)
        max = vmaxq_u32(max, vandq_u32(vreinterpretq_u32_f32(vld1q_f32(x + i)), mask));
    return lls_float_of(vmaxvq_u32(max));
}

/* 4 values to integers; what is no number becomes 0. */
INLINE int16x4_t quantise_4(const float *x, float inverse)
{
    return vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), inverse)));
}

INLINE int8x16_t quantise(const float *x, float inverse)
{
    int16x8_t a = vcombine_s16(quantise_4(x, inverse), quantise_4(x + 4, inverse));
    int16x8_t b = vcombine_s16(quantise_4(x + 8, inverse), quantise_4(x + 12, inverse));

    return vcombine_s8(vmovn_s16(a), vmovn_s16(b));
}

INLINE void fill_groups(uint32_t form, const float *x, uint32_t n, uint32_t mr, uint32_t m,
                        uint8_t *dst)
{
    for (; n > 0; n -= LLS_GROUP, x += LLS_GROUP, dst += lls_form_bytes(form) * (size_t)mr) {
        float     max = max_abs(x), inverse = lls_q8_inverse(max);
        int8x16_t q[2] = { quantise(x, inverse), quantise(x + 16, inverse) };

        for (uint32_t i = 0; i < 8; i++)
            memcpy(dst + 4 * lls_q8_word_at(MATRICES, mr, i, m), (const uint8_t *)q + 4 * i, 4);
        lls_put_q8_row(dst, form == LLS_FORM_Q8H, mr, m, max * (1.0f / 127.0f), vaddlvq_s8(q[0]),
                       vaddlvq_s8(q[1]));
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

/* One value of k: weights of 4 columns. */
INLINE float32x4_t load_weights(uint32_t kind, const uint8_t *w, uint32_t odd, uint32_t column)
{
    uint32x4_t pair;

    if (kind == LLS_W_F32)
        return vld1q_f32((const float *)w + odd * LLS_PANEL + column);
    if (kind == LLS_W_F16)
        return vcvt_f32_f16(vld1_f16((const float16_t *)w + odd * LLS_PANEL + column));
    pair = vld1q_u32((const uint32_t *)w + column);
    pair = odd ? vandq_u32(pair, vdupq_n_u32(0xffff0000u)) : vshlq_n_u32(pair, 16);
    return vreinterpretq_f32_u32(pair);
}

/* sum + b * a[lane]; the instruction has the lane as a constant. */
INLINE float32x4_t add_product(float32x4_t sum, float32x4_t b, float32x4_t a, uint32_t lane)
{
    switch (lane) {
    case 0:  return vfmaq_laneq_f32(sum, b, a, 0);
    case 1:  return vfmaq_laneq_f32(sum, b, a, 1);
    case 2:  return vfmaq_laneq_f32(sum, b, a, 2);
    default: return vfmaq_laneq_f32(sum, b, a, 3);
    }
}

/* The pairs of rows m and m + 1, if there is one. */
INLINE float32x4_t load_pairs(const float *a, uint32_t m, const uint32_t rows)
{
    return m + 2 <= rows ? vld1q_f32(a + 2 * m)
                         : vcombine_f32(vld1_f32(a + 2 * m), vdup_n_f32(0.0f));
}

/* Columns [column, column + 4 n). */
INLINE void multiply_columns(uint32_t kind, const uint32_t rows, const float *a, const uint8_t *w,
                             uint32_t n_steps, bool first, uint32_t column, const uint32_t n,
                             float *tile)
{
    float32x4_t c[FLOAT_ROWS][8], b[8], pairs[FLOAT_ROWS / 2];

    tile += column;
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t i = 0; i < n; i++)
            c[m][i] = first ? vdupq_n_f32(0.0f) : vld1q_f32(tile + m * LLS_PANEL + 4 * i);
    for (uint32_t s = 0; s < n_steps; s++, a += 2 * rows, w += lls_kind_step_bytes(kind)) {
        UNROLL
        for (uint32_t m = 0; m < rows; m += 2)
            pairs[m / 2] = load_pairs(a, m, rows);
        UNROLL
        for (uint32_t odd = 0; odd < 2; odd++) {
            UNROLL
            for (uint32_t i = 0; i < n; i++)
                b[i] = load_weights(kind, w, odd, column + 4 * i);
            UNROLL
            for (uint32_t m = 0; m < rows; m++)
                UNROLL
                for (uint32_t i = 0; i < n; i++)
                    c[m][i] = add_product(c[m][i], b[i], pairs[m / 2], m % 2 * 2 + odd);
        }
    }
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t i = 0; i < n; i++)
            vst1q_f32(tile + m * LLS_PANEL + 4 * i, c[m][i]);
}

/* A panel in one stream while the sums of 32 columns fit the registers, else in two. */
INLINE void multiply_plain(uint32_t kind, const uint32_t rows, const uint8_t *acts,
                           const uint8_t *w, uint32_t n, bool first, float *tile)
{
    const float   *a = (const float *)acts;
    const uint32_t columns = rows <= 2 ? 32 : 16;

    for (uint32_t column = 0; column < LLS_PANEL; column += columns)
        multiply_columns(kind, rows, a, w, n, first, column, columns / 4, tile);
}

/* ---- Weights in blocks ----------------------------------------------------------------------- */

/* Word i of the weights of 4 columns. */
INLINE int8x16_t load_word(const form_t f, const uint8_t *w, uint32_t i, uint32_t column)
{
    uint8x16_t b = vld1q_u8(w + ((f.nibbles ? i % 4 : i) * LLS_PANEL + column) * 4);

    if (f.nibbles)
        b = i < 4 ? vandq_u8(b, vdupq_n_u8(15)) : vshrq_n_u8(b, 4);
    else if (f.zero_shift == 7)
        b = veorq_u8(b, vdupq_n_u8(0x80));
    return vreinterpretq_s8_u8(b);
}

/* What a sum begins with: minus zero times the sum of the int8. */
INLINE int32_t first_sum(const form_t f, int32_t minus)
{
    return f.min || f.zero_shift == 7 ? 0 : (int32_t)((uint32_t)minus << f.zero_shift);
}

#if MATRICES

/* Words i and i + 1 of rows m and m + 1, if there is one. */
INLINE int8x16_t load_acts(const int32_t *a, uint32_t i, uint32_t m, const uint32_t rows)
{
    const int32_t *p = a + i * rows + 2 * m;

    return vreinterpretq_s8_s32(m + 2 <= rows ? vld1q_s32(p)
                                              : vcombine_s32(vld1_s32(p), vdup_n_s32(0)));
}

/* Matrices of 2 rows and 2 columns to a vector of 4 columns for each row. */
INLINE void split_rows(const uint32_t rows, const uint32_t n, int32x4_t (*pairs)[16],
                       int32x4_t (*c)[8])
{
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t v = 0; v < n; v++) {
            int64x2_t left = vreinterpretq_s64_s32(pairs[m / 2][2 * v]);
            int64x2_t right = vreinterpretq_s64_s32(pairs[m / 2][2 * v + 1]);

            c[m][v] = vreinterpretq_s32_s64(m % 2 ? vtrn2q_s64(left, right)
                                                  : vtrn1q_s64(left, right));
        }
}

/* As dot_words() below. */
INLINE void dot_matrices(const form_t f, const uint32_t rows, const int32_t *a,
                         const int32_t *minus, const uint8_t *w, uint32_t begin, uint32_t end,
                         uint32_t column, int32x4_t (*c)[8])
{
    const uint32_t n = COLUMNS(rows);
    int32x4_t      pairs[INT_ROWS / 2][16];

    UNROLL
    for (uint32_t m = 0; m < rows; m += 2) {
        int32x2_t even = vdup_n_s32(first_sum(f, minus[m]));
        int32x2_t odd = m + 1 < rows ? vdup_n_s32(first_sum(f, minus[m + 1])) : even;

        UNROLL
        for (uint32_t v = 0; v < 2 * n; v++)
            pairs[m / 2][v] = vcombine_s32(even, odd);
    }
    UNROLL
    for (uint32_t i = begin; i < end; i += 2)
        UNROLL
        for (uint32_t v = 0; v < n; v++) {
            int32x4_t b0 = vreinterpretq_s32_s8(load_word(f, w, i, column + 4 * v));
            int32x4_t b1 = vreinterpretq_s32_s8(load_word(f, w, i + 1, column + 4 * v));
            int8x16_t left = vreinterpretq_s8_s32(vzip1q_s32(b0, b1));
            int8x16_t right = vreinterpretq_s8_s32(vzip2q_s32(b0, b1));

            UNROLL
            for (uint32_t m = 0; m < rows; m += 2) {
                int8x16_t x = load_acts(a, i, m, rows);

                pairs[m / 2][2 * v] = vmmlaq_s32(pairs[m / 2][2 * v], x, left);
                pairs[m / 2][2 * v + 1] = vmmlaq_s32(pairs[m / 2][2 * v + 1], x, right);
            }
        }
    split_rows(rows, n, pairs, c);
}

#endif

#if defined(__ARM_FEATURE_DOTPROD)

/* sum + the dots of b with word a[lane]; the instruction has the lane as a constant. */
INLINE int32x4_t add_dots(int32x4_t sum, int8x16_t b, int32x4_t a, uint32_t lane)
{
    int8x16_t x = vreinterpretq_s8_s32(a);

    switch (lane) {
    case 0:  return vdotq_laneq_s32(sum, b, x, 0);
    case 1:  return vdotq_laneq_s32(sum, b, x, 1);
    case 2:  return vdotq_laneq_s32(sum, b, x, 2);
    default: return vdotq_laneq_s32(sum, b, x, 3);
    }
}

/* Word i of rows m to m + 3: lane m % 4 is row m's.  Behind the last row lie the scales. */
INLINE int32x4_t load_words(const int32_t *a, uint32_t i, uint32_t m, const uint32_t rows)
{
    return vld1q_s32(a + i * rows + m / 4 * 4);
}

INLINE void dot_words(const form_t f, const uint32_t rows, const int32_t *a, const int32_t *minus,
                      const uint8_t *w, uint32_t begin, uint32_t end, uint32_t column,
                      int32x4_t (*c)[8])
{
    const uint32_t n = COLUMNS(rows);

    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t v = 0; v < n; v++)
            c[m][v] = vdupq_n_s32(first_sum(f, minus[m]));
    UNROLL
    for (uint32_t i = begin; i < end; i++)
        UNROLL
        for (uint32_t v = 0; v < n; v++) {
            int8x16_t b = load_word(f, w, i, column + 4 * v);

            UNROLL
            for (uint32_t m = 0; m < rows; m++)
                c[m][v] = add_dots(c[m][v], b, load_words(a, i, m, rows), m % 4);
        }
}

#else

/* How many products of bytes are summed in 16 bits: 31 * 127 fits eight times, 63 * 127 four times,
 * which halves need no more of, 128 * 127 twice. */
INLINE uint32_t form_chain(const form_t f)
{
    if (!f.min && f.zero_shift == 7)
        return 2;
    return f.n_small == 2 ? 4 : 8;
}

/* The integer sums of words [begin, end) for COLUMNS(rows) vectors of columns; minus: of each row
 * the negative sum of those int8. */
INLINE void dot_words(const form_t f, const uint32_t rows, const int32_t *a, const int32_t *minus,
                      const uint8_t *w, uint32_t begin, uint32_t end, uint32_t column,
                      int32x4_t (*c)[8])
{
    const uint32_t n = COLUMNS(rows), chain = form_chain(f);
    int32x4_t      low[INT_ROWS][4], high[INT_ROWS][4];     /* of columns 0, 1 and of 2, 3: pairs */

    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t v = 0; v < n; v++)
            low[m][v] = high[m][v] = vdupq_n_s32(0);
    UNROLL
    for (uint32_t first = begin; first < end; first += chain)
        UNROLL
        for (uint32_t v = 0; v < n; v++) {
            int16x8_t l[INT_ROWS] = { 0 }, h[INT_ROWS] = { 0 };

            UNROLL
            for (uint32_t i = first; i < first + chain; i++) {
                int8x16_t b = load_word(f, w, i, column + 4 * v);

                UNROLL
                for (uint32_t m = 0; m < rows; m++) {
                    int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(a[i * rows + m]));

                    l[m] = vmlal_s8(l[m], vget_low_s8(b), vget_low_s8(x));
                    h[m] = vmlal_high_s8(h[m], b, x);
                }
            }
            UNROLL
            for (uint32_t m = 0; m < rows; m++) {
                low[m][v] = vpadalq_s16(low[m][v], l[m]);
                high[m][v] = vpadalq_s16(high[m][v], h[m]);
            }
        }
    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t v = 0; v < n; v++)
            c[m][v] = vaddq_s32(vpaddq_s32(low[m][v], high[m][v]),
                                vdupq_n_s32(first_sum(f, minus[m])));
}

#endif

/* One row alone has its words in one order for matrices and for dots, and dots need no second. */
INLINE void dot(const form_t f, const uint32_t rows, const int32_t *a, const int32_t *minus,
                const uint8_t *w, uint32_t begin, uint32_t end, uint32_t column, int32x4_t (*c)[8])
{
#if MATRICES
    if (rows > 1) {
        dot_matrices(f, rows, a, minus, w, begin, end, column, c);
        return;
    }
#endif
    dot_words(f, rows, a, minus, w, begin, end, column, c);
}

INLINE float32x4_t load_scales(const uint8_t *p)
{
    return vcvt_f32_f16(vld1_f16((const float16_t *)p));
}

/* Adds COLUMNS(rows) vectors to the tile, which begins at the first column: of row m
 * (d c + min sums[m]) s[m]. */
INLINE void add_sums(const form_t f, const uint32_t rows, int32x4_t (*c)[8], const float32x4_t *d,
                     const float32x4_t *min, const float *s, const float *sums, float *tile)
{
    const uint32_t n = COLUMNS(rows);

    UNROLL
    for (uint32_t m = 0; m < rows; m++)
        UNROLL
        for (uint32_t v = 0; v < n; v++) {
            float      *to = tile + m * LLS_PANEL + 4 * v;
            float32x4_t v4 = vmulq_f32(vcvtq_f32_s32(c[m][v]), d[v]);

            if (f.min)
                v4 = vfmaq_n_f32(v4, min[v], sums[m]);
            vst1q_f32(to, vfmaq_n_f32(vld1q_f32(to), v4, s[m]));
        }
}

INLINE void multiply_blocks(const form_t f, const uint32_t rows, const uint8_t *acts,
                            const uint8_t *w, uint32_t n, bool first, float *tile)
{
    const uint32_t n_columns = COLUMNS(rows);
    const int32_t *a = (const int32_t *)acts;
    int32x4_t      c[INT_ROWS][8];
    float32x4_t    d[8], min[8];

    if (first)
        memset(tile, 0, rows * LLS_PANEL * sizeof *tile);
    for (uint32_t s = 0; s < n; s++, a += 11 * rows, w += form_step_bytes(f))
        for (uint32_t column = 0; column < LLS_PANEL; column += 4 * n_columns) {
            const uint8_t *scales = w + form_value_bytes(f) + column * 2;
            const float   *row = (const float *)a + 8 * rows;

            dot(f, rows, a, a + 9 * rows, w, 0, 8, column, c);
            UNROLL
            for (uint32_t v = 0; v < n_columns; v++) {
                d[v] = load_scales(scales + 8 * v);
                min[v] = f.min ? load_scales(scales + 64 + 8 * v) : d[v];
            }
            add_sums(f, rows, c, d, min, row, row + 2 * rows, tile + column);
        }
}

/* ---- In parts ------------------------------------------------------------------------------- */

/* Exact products of the scales of 4 columns with their small ones, if there are any. */
INLINE float32x4_t scale_small(const form_t f, const uint8_t *scales, const uint8_t *small)
{
    int32_t   four;
    int16x8_t v;

    if (f.n_small == 0)
        return load_scales(scales);
    memcpy(&four, small, 4);
    v = vmovl_s8(vreinterpret_s8_s32(vdup_n_s32(four)));
    return vmulq_f32(load_scales(scales), vcvtq_f32_s32(vmovl_s16(vget_low_s16(v))));
}

/* Half h of a part, or all of it; tile begins at the first column. */
INLINE void multiply_part(const form_t f, const uint32_t rows, const int32_t *a,
                          const uint8_t *head, const uint8_t *w, uint32_t h, uint32_t column,
                          float *tile)
{
    const uint8_t *small = w + form_value_bytes(f) + h * LLS_PANEL + column;
    const uint8_t *scales = head + 2 * column;
    const float   *row = (const float *)a;
    const uint32_t n = 8 / form_sums(f), n_columns = COLUMNS(rows);
    int32x4_t      c[INT_ROWS][8];
    float32x4_t    d[8], min[8];

    dot(f, rows, a, a + (9 + h) * rows, w, h * n, h * n + n, column, c);
    UNROLL
    for (uint32_t v = 0; v < n_columns; v++) {
        min[v] = d[v] = scale_small(f, scales + 8 * v, small + 4 * v);
        if (f.min)
            min[v] = scale_small(f, scales + 64 + 8 * v, small + f.n_small * LLS_PANEL + 4 * v);
        if (f.min && f.n_small > 0)
            min[v] = vnegq_f32(min[v]);
    }
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
            for (uint32_t column = 0; column < LLS_PANEL; column += 4 * COLUMNS(rows))
                for (uint32_t h = 0; h < form_sums(f); h++)
                    multiply_part(f, rows, a, head, w, h, column, tile + column);
            a += form_acts(f) * rows;
            w += form_part_bytes(f);
        }
    }
}

/* ---- One function for each number of rows ---------------------------------------------------- */

#if defined(__ARM_FEATURE_DOTPROD)
#  define INT_LIST ROWS_8
#else
#  define INT_LIST ROWS_4
#endif

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
    .word_pairs = MATRICES,
    .max_rows = { FLOAT_ROWS, FLOAT_ROWS, INT_ROWS, INT_ROWS },
    .fill = { lls_fill_f32_rows, NULL, fill_q8, fill_q8h },
    .form = LLS_FORMS_OF_KINDS,
    .multiply = LLS_KERNELS_OF_KINDS,
};
