/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_linear - what the kernels of the linear ops offer: one table for each instruction set.
 *
 * Activations are packed first, into blocks of at most max_rows rows and in one of eight forms,
 * step by step as the panels of weights are (`mr` = rows of the block):
 *
 *   F32   2 values of k:  [mr][2] float                                          8 mr bytes
 *   BF16  2 values of k:  [mr][2] bfloat16                                       4 mr bytes
 *   Q8    32 values of k: [8][mr] words of four int8, then for each row the      44 mr bytes
 *         scale s, minus the sum of the int8 as int32 and the sum as float
 *   Q8H   the same with the sums of values 0-15 and of 16-31, for weights with a scale for each
 *         16: after the scale two rows of minus the sum, then two of the sum       52 mr bytes
 *   TILE  32 values of k: [mr][32] bfloat16                                     64 mr bytes
 *   TILE8 32 values of k: [mr][32] int8, then as Q8                             44 mr bytes
 *   TILEW as TILE, of 2^102 times the values, of each four the third before the second:
 *         for weights that tiles meet widened                                    64 mr bytes
 *   Q15   32 values of k as 256 high + low, both int8: [8][mr] words of high, [8][mr] of low, then
 *         for each row the scale s, -128 times the sum of its values, and s times the sums of
 *         values 0-15 and of 16-31                                             80 mr bytes
 *   Q8H2  the values of Q15 as Q8H of twice as many rows: first each row's high, whose scale is
 *         256 s, then its low.  Kernels see Q8H
 *
 * The last two are for weights of 2 and 3 bits: such a model is so far from what it learned that 7
 * bits of activation show (SmolLM2 as Q2_K then agrees with its own float32 in 95 of 100 tokens,
 * with these in 98).
 *
 * A kernel multiplies one block with one panel into a tile [mr][32].  Each element of the tile is
 * accumulated along k in one order, whatever mr is, so a row's result does not depend on its
 * neighbours.  Over blocks of weights the integers are exact: for 32 values of k
 *   tile += (d * (sum q a - zero sum a) + m * sum a) * s
 * where the kinds with two levels of scales have d and m as exact products of the two, and those
 * with a scale for 16 values do this for 16.  All instruction sets quantise activations to the same
 * int8; only the rounding of the sums of float32 differs between them.  The exception is TILEW, for
 * which weights become bfloat16 (cpu_linear_amx.c).
 */
#ifndef LLS_CPU_CPU_LINEAR_H
#define LLS_CPU_CPU_LINEAR_H

#include <string.h>

#include "cpu/cpu_wmat.h"

#define LLS_KINDS LLS_N_SCHEMES

enum lls_form {                     /* ORDER form */
    LLS_FORM_F32, LLS_FORM_BF16, LLS_FORM_Q8, LLS_FORM_Q8H, LLS_FORM_TILE, LLS_FORM_Q15,
    LLS_FORM_TILE8, LLS_FORM_TILEW, LLS_N_KERNEL_FORMS,
    LLS_FORM_Q8H2 = LLS_N_KERNEL_FORMS, LLS_N_FORMS
};

/* The form that kernels see, and how many of its rows make one. */
static inline uint32_t lls_form_of_kernel(uint32_t form)
{
    return form == LLS_FORM_Q8H2 ? LLS_FORM_Q8H : form;
}
static inline uint32_t lls_form_planes(uint32_t form) { return form == LLS_FORM_Q8H2 ? 2 : 1; }

/* Bytes of a step of one row, and values of k in it. */
static inline uint32_t lls_form_bytes(uint32_t form)
{
    switch (form) {
    case LLS_FORM_F32:  return 8;
    case LLS_FORM_BF16: return 4;
    case LLS_FORM_TILE8:
    case LLS_FORM_Q8:   return 44;
    case LLS_FORM_TILE:
    case LLS_FORM_TILEW: return 64;
    case LLS_FORM_Q15:  return 80;
    default:            return 52;
    }
}
static inline uint32_t lls_form_step(uint32_t form) { return form >= LLS_FORM_Q8 ? LLS_GROUP : 2; }

static inline bool lls_form_is_tiles(uint32_t form)
{
    return form == LLS_FORM_TILE || form == LLS_FORM_TILE8 || form == LLS_FORM_TILEW;
}

/* Where word i of the int8 of row m lies in a group, in words. */
static inline uint32_t lls_q8_word_at(bool pairs, uint32_t mr, uint32_t i, uint32_t m)
{
    return pairs ? i / 2 * 2 * mr + 2 * m + i % 2 : i * mr + m;
}

/* What turns values into int8: 0 where the largest magnitude is too small to divide by, or no
 * number, for then the scale says it all. */
static inline float lls_q8_inverse(float max) { return max > 1e-30f ? 127.0f / max : 0.0f; }

/* The same for what those int8 of scale s leave, in steps of s / 256. */
static inline float lls_q15_inverse(float s) { return s > 1e-33f && s < 1e33f ? 256.0f / s : 0.0f; }

/* What follows the int8 of row m in a group of 32 values; low and high are the sums of each 16. */
static inline void lls_put_q8_row(uint8_t *group, bool halves, uint32_t mr, uint32_t m, float scale,
                                  int32_t low, int32_t high)
{
    uint32_t n = halves ? 2 : 1;
    int32_t  sums[2] = { halves ? low : low + high, high };

    memcpy(group + (32 * mr + 4 * m), &scale, 4);
    for (uint32_t h = 0; h < n; h++) {
        float   sum = (float)sums[h];
        int32_t minus = -sums[h];

        memcpy(group + ((36 + 4 * h) * mr + 4 * m), &minus, 4);
        memcpy(group + ((36 + 4 * n + 4 * h) * mr + 4 * m), &sum, 4);
    }
}

/* Packs n values of row m into a block of mr rows; dst is the block at the first of them.  A step
 * that n does not fill is filled with zeros. */
typedef void (*lls_fill_fn)(const float *x, uint32_t n, uint32_t mr, uint32_t m, uint8_t *dst);
/* n steps; !first continues the tile. */
typedef void (*lls_multiply_fn)(const uint8_t *acts, const uint8_t *w, uint32_t n, uint32_t mr,
                                bool first,
                                float *tile);
/* n steps of a panel unpacked for multiply_wide: the same bits, and rows share the work.  Returns
 * the bytes of one. */
typedef size_t (*lls_widen_fn)(const uint8_t *w, uint32_t n, uint8_t *dst);

/* A row of a tile, and what belongs to the result beside the product, to 32 columns of `out`; bias
 * may be NULL. */
typedef void (*lls_store_fn)(const float *tile, const float *bias, bool accumulate, float *out);

typedef struct lls_linear_isa {
    bool            word_pairs;     /* Q8 and Q8H have their words as [4][mr][2] */
    uint32_t        max_rows[LLS_N_KERNEL_FORMS];   /* at least 2 where rows may have two planes */
    lls_fill_fn     fill[LLS_N_KERNEL_FORMS];
    uint32_t        form[LLS_KINDS];        /* of the activations that a kind wants */
    lls_multiply_fn multiply[LLS_KINDS];
    lls_widen_fn    widen[LLS_KINDS];       /* NULL: not worth it */
    lls_multiply_fn multiply_wide[LLS_KINDS];
    uint32_t        widen_from;     /* blocks of rows that share a panel */
    lls_store_fn    store;          /* or NULL */
    /* Around multiplying blocks of at most n_rows. */
    void          (*begin_tiles)(uint32_t form, uint32_t n_rows), (*end_tiles)(void);
} lls_linear_isa_t;

/* Tables of an instruction set by kind, whose kernels are named multiply_f32 and so on; of IQ4_NL
 * there are no panels. */
#define LLS_FORMS_OF_KINDS                                                                        \
    {                                                                                             \
        [LLS_W_Q4_0] = LLS_FORM_Q8, [LLS_W_Q4_1] = LLS_FORM_Q8, [LLS_W_Q5_0] = LLS_FORM_Q8,       \
        [LLS_W_Q5_1] = LLS_FORM_Q8, [LLS_W_Q8_0] = LLS_FORM_Q8, [LLS_W_Q2_K] = LLS_FORM_Q8H2,     \
        [LLS_W_Q3_K] = LLS_FORM_Q8H2, [LLS_W_Q4_K] = LLS_FORM_Q8, [LLS_W_Q5_K] = LLS_FORM_Q8,     \
        [LLS_W_Q6_K] = LLS_FORM_Q8H, [LLS_W_IQ4_XS] = LLS_FORM_Q8,                                \
        [LLS_W_INT4_G128] = LLS_FORM_Q8,                                                          \
    }
#define LLS_KERNELS_OF_KINDS                                                                      \
    {                                                                                             \
        [LLS_W_F32] = multiply_f32, [LLS_W_F16] = multiply_f16, [LLS_W_BF16] = multiply_bf16,     \
        [LLS_W_Q4_0] = multiply_q4_0, [LLS_W_Q4_1] = multiply_q4_1, [LLS_W_Q5_0] = multiply_q5_0, \
        [LLS_W_Q5_1] = multiply_q5_1, [LLS_W_Q8_0] = multiply_q8_0, [LLS_W_Q2_K] = multiply_q2_k, \
        [LLS_W_Q3_K] = multiply_q3_k, [LLS_W_Q4_K] = multiply_q4_k, [LLS_W_Q5_K] = multiply_q5_k, \
        [LLS_W_Q6_K] = multiply_q6_k, [LLS_W_IQ4_XS] = multiply_iq4_xs,                           \
        [LLS_W_INT4_G128] = multiply_int4_g128,                                                   \
    }

/* What AVX512-BF16 has instead of AVX-512's kernel of bfloat16. */
typedef struct lls_bf16_kernels {
    uint32_t        max_rows;
    lls_fill_fn     fill;
    lls_multiply_fn multiply;
} lls_bf16_kernels_t;

extern const lls_linear_isa_t   lls_linear_plain, lls_linear_avx2, lls_linear_avxvnni;
extern const lls_linear_isa_t   lls_linear_avx512;
extern const lls_linear_isa_t   lls_linear_neon, lls_linear_neondotprod, lls_linear_neoni8mm;
extern const lls_bf16_kernels_t lls_linear_avx512bf16;
void                            lls_linear_use_products(lls_linear_isa_t *k);

/* All change AVX-512's table: bfloat16 in tiles; weights in blocks too; weights in blocks in tiles
 * of int8, which give AVX-512's bits and are worth it for many rows. */
void lls_linear_use_tiles(lls_linear_isa_t *k);
void lls_linear_use_wide_tiles(lls_linear_isa_t *k);
void lls_linear_use_int8_tiles(lls_linear_isa_t *k);

#endif
