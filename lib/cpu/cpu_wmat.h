/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_wmat - how a packed matrix lies in memory.
 *
 * A matrix [out, in] is cut along `out` into segments of one kind each, a segment into panels of 32
 * columns (outputs; the last panel is filled with zeros).  A panel is one sequential stream of
 * steps along `in`; the kind, named by the scheme whose values it holds exactly, says what a step
 * is:
 *
 *   F32, F16    2 values of k: [2][32] (k odd at the end: a zero follows)
 *   BF16        2 values of k: [32][2], as a dot product of pairs wants them
 *   Q4_0, Q4_1  32 values: [4][32] words of four bytes; byte t of word i holds value 4 i + t in its
 *               low nibble and value 16 + 4 i + t in its high one, as the checkpoint does; then 32
 *               f16 scales; then, of Q4_1, 32 f16 minima
 *   Q5_0, Q5_1, Q8_0  32 values: [8][32] words of four unsigned bytes, value 4 i + t in byte t of
 *               word i; Q8_0 is stored + 128, so that unsigned weights meet signed activations in
 *               every kind; then scales and, of Q5_1, minima.  IQ4_NL becomes Q8_0
 *   Q2_K ... IQ4_XS  256 values with the two levels of scales of the checkpoint: 32 f16 scales;
 *               with minima, 32 f16 more; then 8 times 32 values, each with its small scales, 32
 *               int8 for each group of 16 or 32, and with minima as many int8.  The values of Q2_K,
 *               Q3_K and Q4_K lie as in Q4_0, those of the others as in Q5_0; IQ4_XS as int8 + 128,
 *               and its small scales are followed by 32 bytes that keep values on 64 bytes
 *   INT4_G128   128 values: 32 f16 scales, 32 f16 minima, then 4 times 32 values as in Q4_1
 *
 * A stack of experts is as many such matrices.  Everything is found by offsets from the header.
 */
#ifndef LLS_CPU_CPU_WMAT_H
#define LLS_CPU_CPU_WMAT_H

#include "tensor/kquant.h"
#include "tensor/ops.h"

#define LLS_CPU_LAYOUT 2u           /* raised with each change of the bytes that pack writes */
#define LLS_PANEL 32u               /* columns of a panel */
#define LLS_GROUP 32u               /* values of k in a step, or in one of the 8 parts of a step */

typedef struct lls_wseg {
    uint32_t kind;                  /* enum lls_scheme */
    uint32_t first, n;              /* columns of the matrix; n == 0: unused */
    uint32_t n_steps;               /* of a panel */
    uint64_t offset;                /* of the first panel, from the header */
} lls_wseg_t;

struct lls_wmat {
    uint32_t   n_experts;           /* at least 1 */
    uint32_t   in, out;             /* of one expert */
    uint32_t   n_segs;              /* for each expert */
    uint32_t   fits_f16;            /* whether 1024 times any weight of a block is an f16 */
    lls_wseg_t segs[];              /* [n_experts][n_segs] */
};

static inline bool lls_kind_is_float(uint32_t kind) { return kind <= LLS_W_BF16; }

static inline bool lls_kind_has_min(uint32_t kind)
{
    return kind == LLS_W_Q4_1 || kind == LLS_W_Q5_1 || kind == LLS_W_Q2_K || kind == LLS_W_Q4_K ||
           kind == LLS_W_Q5_K || kind == LLS_W_INT4_G128;
}

static inline bool lls_kind_is_q4(uint32_t kind)
{
    return kind == LLS_W_Q4_0 || kind == LLS_W_Q4_1 ||
           (kind >= LLS_W_Q2_K && kind <= LLS_W_Q4_K) || kind == LLS_W_INT4_G128;
}

/* Whether a step begins with scales, of several parts of 32 values. */
static inline bool lls_kind_has_head(uint32_t kind)
{
    return lls_scheme_is_k(kind) || kind == LLS_W_INT4_G128;
}

/* Whether a scale holds for 16 values. */
static inline bool lls_kind_has_halves(uint32_t kind)
{
    return kind == LLS_W_Q2_K || kind == LLS_W_Q3_K || kind == LLS_W_Q6_K;
}

/* Values of k in a step. */
static inline uint32_t lls_kind_step(uint32_t kind)
{
    if (lls_kind_is_float(kind))
        return 2;
    if (kind == LLS_W_INT4_G128)
        return 128;
    return lls_scheme_is_k(kind) ? LLS_K_BLOCK : LLS_GROUP;
}

/* Bytes of the values in a step of a panel, or in a part of a step; scales and minima follow. */
static inline uint32_t lls_kind_value_bytes(uint32_t kind)
{
    if (lls_kind_is_float(kind))
        return kind == LLS_W_F32 ? 256 : 128;
    return lls_kind_is_q4(kind) ? 512 : 1024;
}

/* Of steps in parts: bytes before the parts, and of a part. */
static inline uint32_t lls_kind_head_bytes(uint32_t kind)
{
    return lls_kind_has_min(kind) ? 128 : 64;
}
static inline uint32_t lls_kind_part_bytes(uint32_t kind)
{
    uint32_t n = (lls_kind_has_halves(kind) ? 2 : 1) * (lls_kind_has_min(kind) ? 2 : 1);

    if (!lls_scheme_is_k(kind))
        return lls_kind_value_bytes(kind);
    return lls_kind_value_bytes(kind) + (n < 2 ? 2 : n) * LLS_PANEL;
}

static inline uint32_t lls_kind_step_bytes(uint32_t kind)
{
    if (lls_kind_has_head(kind))
        return lls_kind_head_bytes(kind) + lls_kind_step(kind) / LLS_GROUP *
                                               lls_kind_part_bytes(kind);
    if (lls_kind_is_float(kind))
        return lls_kind_value_bytes(kind);
    return lls_kind_value_bytes(kind) + (lls_kind_has_min(kind) ? 128 : 64);
}

/* Where a step of a kind of blocks has its values, and its scales of f16; minima follow these. */
static inline uint32_t lls_kind_values_at(uint32_t kind)
{
    return lls_kind_has_head(kind) ? lls_kind_head_bytes(kind) : 0;
}
static inline uint32_t lls_kind_scales_at(uint32_t kind)
{
    return lls_kind_has_head(kind) ? 0 : lls_kind_value_bytes(kind);
}

/* 32 values of one column: w = d[i / 16] * q[i] + m[i / 16], m -0.0 where there are no minima. */
typedef struct lls_group {
    int16_t q[LLS_GROUP];
    float   d[2], m[2];
} lls_group_t;

/* Whether 1024 times any weight of a panel is surely an f16: by its scales, for less than 48 are
 * sure to be.  Kinds of floats do. */
bool lls_wmat_fits_f16(uint32_t kind, const uint8_t *panel, uint32_t n_steps);

/* Group `g` of a step of a kind that is not of floats. */
void lls_wmat_read_group(uint32_t kind, const uint8_t *step, uint32_t g, uint32_t lane,
                         lls_group_t *out);

static inline const lls_wseg_t *lls_wmat_segs(const lls_wmat_t *w, uint32_t expert)
{
    return w->segs + (size_t)expert * w->n_segs;
}

static inline size_t lls_wseg_panel_bytes(const lls_wseg_t *s)
{
    return (size_t)s->n_steps * lls_kind_step_bytes(s->kind);
}

static inline const uint8_t *lls_wmat_panel(const lls_wmat_t *w, const lls_wseg_t *s,
                                            uint32_t panel)
{
    return (const uint8_t *)w + s->offset + panel * lls_wseg_panel_bytes(s);
}

static inline uint32_t lls_wseg_n_panels(const lls_wseg_t *s)
{
    return lls_ceil_div(s->n, LLS_PANEL);
}

#endif
