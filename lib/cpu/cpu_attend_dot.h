/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_dot - the two products of attention: q k and p v, for up to ROWS rows at a time.
 *
 * Accumulators of all rows and columns stay in registers.  Each sum runs over dimensions (q k) or
 * tokens (p v) in rising order, whatever the rows, the columns and the source: pages as they are,
 * or widened beforehand.  Part of cpu_attend_body.h.
 */
#include "cpu/cpu_attend_int.h"
#include "cpu/cpu_vec.h"

#if defined(__AVX512F__)
#  define ROWS 14u                  /* rows of 2 columns that fit the registers */
#  define ROWS4 6u                  /* rows of 4 columns */
#  define Q_PITCH 16u               /* queries lie [dims][Q_PITCH]: a line for a dimension's rows */
#else
#  define ROWS 6u
#  define ROWS4 3u
#  define Q_PITCH 8u
#endif
#define PANEL (2 * LLS_VL)          /* tokens of 2 columns */
#define S_PITCH (LLS_ATTEND_TILE + 16)  /* rows of scores must not fall into the same sets of L1 */

/* What a panel holds.  Pages: a value a lane; pairs of bfloat16; fours of bytes (q k) or pairs of
 * them (p v).  Widened: values of 32 bits, or pairs of 16. */
enum holds { HOLDS_F32, HOLDS_F16, HOLDS_BF16, HOLDS_I8, HOLDS_WIDE, HOLDS_WIDE_I16 };
#define IS_WIDE(holds) ((holds) >= HOLDS_WIDE)
#define IS_INT(holds) ((holds) == HOLDS_I8 || (holds) == HOLDS_WIDE_I16)
#define IS_PAIRS(holds) ((holds) == HOLDS_BF16 || IS_INT(holds))

/* Columns of tokens: first bytes, bytes from one line of dimensions to the next, and how far ahead
 * the V panel lies, which is fetched line by line meanwhile.  For int8 the scales of the tokens and
 * the rows, and what the bias of K adds to a row's sums. */
typedef struct k_panel {
    const uint8_t *at[4];
    size_t         step, ahead;
    uint32_t       dims;
    const float   *scale[4], *q_scale;
    const int32_t *bias;
} k_panel_t;

/* Columns of dimensions of tokens [begin, end): blocks of 2^shift tokens, offset of each column,
 * and the same for keys that are needed next, to be fetched meanwhile.  What a row had is
 * multiplied by keep, what the tokens give by add; for int8 by step before. */
typedef struct v_panel {
    const uint8_t *const *block, *const *next;
    size_t                at[4], next_at[4];
    uint32_t              shift, begin, end, o_pitch;
    const float          *keep, *add, *step;
} v_panel_t;

typedef void (*qk_fn)(const float *q, const k_panel_t *k, float *s);
typedef void (*pv_fn)(const float *p, const v_panel_t *v, float *o);

#define EACH(i, n) LLS_UNROLL for (uint32_t i = 0; i < n; i++)
#define FETCH(p) __builtin_prefetch(p, 0, 2)

/* Bytes of a column of dimensions. */
#define V_COLUMN(holds) ((holds) == HOLDS_F16 || (holds) == HOLDS_I8 ? 2u * LLS_VL : 4u * LLS_VL)

LLS_INLINE void multiply(const uint32_t rows, const uint32_t cols, lls_v_t (*c)[4], const float *a,
                         const uint32_t pitch, const lls_v_t *b)
{
    EACH(m, rows) {
        lls_v_t x = lls_v_set(a[m * pitch]);
        EACH(n, cols) c[m][n] = lls_v_fma(c[m][n], x, b[n]);
    }
}

/* Pairs of bfloat16 by two lines of a, the second one `next` floats behind. */
LLS_INLINE void multiply_bf16(const uint32_t rows, const uint32_t cols, lls_v_t (*c)[4],
                              const float *a, const uint32_t pitch, const uint32_t next,
                              const lls_v_t *pair)
{
    lls_v_t b[4];

    EACH(n, cols) b[n] = lls_v_low(pair[n]);
    multiply(rows, cols, c, a, pitch, b);
    EACH(n, cols) b[n] = lls_v_high(pair[n]);
    multiply(rows, cols, c, a + next, pitch, b);
}

/* Pairs of 16 bits; c are integers. */
LLS_INLINE void multiply_i16(const uint32_t rows, const uint32_t cols, lls_v_t (*c)[4],
                             const float *a, const uint32_t pitch, const lls_v_t *b)
{
    EACH(m, rows) {
        lls_vi_t x = lls_vi_of_bits(lls_v_set(a[m * pitch]));
        EACH(n, cols) {
            lls_vi_t sum = lls_vi_dot2(lls_vi_of_bits(c[m][n]), lls_vi_of_bits(b[n]), x);
            c[m][n] = lls_vi_to_bits(sum);
        }
    }
}

/* ---- q k ------------------------------------------------------------------------------------ */

LLS_INLINE void qk(const uint32_t holds, const uint32_t rows, const uint32_t cols, const float *q,
                   const k_panel_t *k, float *s)
{
    const uint32_t dims = holds == HOLDS_BF16 ? 2 : 1;
    lls_v_t        c[ROWS][4], b[4];
    size_t         at = 0;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_v_zero();
    for (uint32_t d = 0; d < k->dims; d += dims, at += k->step, q += dims * Q_PITCH) {
        EACH(n, cols) {
            b[n] = holds == HOLDS_F16 ? lls_v_load_f16(k->at[n] + at) : lls_v_load(k->at[n] + at);
            if (!IS_WIDE(holds))
                FETCH(k->at[n] + at + k->ahead);
        }
        if (holds == HOLDS_BF16)
            multiply_bf16(rows, cols, c, q, 1, Q_PITCH, b);
        else
            multiply(rows, cols, c, q, 1, b);
    }
    EACH(m, rows)
        EACH(n, cols) lls_v_store(s + (size_t)m * S_PITCH + n * LLS_VL, c[m][n]);
}

/* Fours of bytes. */
LLS_INLINE void qk_i8(const uint32_t rows, const uint32_t cols, const float *q, const k_panel_t *k,
                      float *s)
{
    lls_vi_t c[ROWS][4], b[4], four[4];
    size_t   at = 0;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_vi_set(k->bias[m]);
    for (uint32_t d = 0; d < k->dims; d += 4, at += k->step) {
        EACH(n, cols) {
            b[n] = lls_vi_load(k->at[n] + at);
            FETCH(k->at[n] + at + k->ahead);
        }
        EACH(part, LLS_VI_PARTS) {
            EACH(n, cols) four[n] = lls_vi_part(b[n], part);
            EACH(m, rows) {
                lls_vi_t x = lls_vi_of_bits(lls_v_set(q[m]));
                EACH(n, cols) LLS_VI_DOT4(c[m][n], four[n], x);
            }
            q += Q_PITCH;
        }
    }
    EACH(n, cols) {
        lls_v_t scale = lls_v_load(k->scale[n]);
        EACH(m, rows) {
            lls_v_t x = lls_v_mul(lls_vi_to_float(c[m][n]), scale);
            x = lls_v_mul(x, lls_v_set(k->q_scale[m]));
            lls_v_store(s + (size_t)m * S_PITCH + n * LLS_VL, x);
        }
    }
}

/* ---- p v ------------------------------------------------------------------------------------ */

LLS_INLINE lls_v_t load_v(const uint32_t holds, const uint8_t *p)
{
    return holds == HOLDS_F16  ? lls_v_load_f16(p)
           : holds == HOLDS_I8 ? lls_vi_to_bits(lls_vi_load_s8(p))
                               : lls_v_load(p);
}

LLS_INLINE void add_rows(const uint32_t holds, const uint32_t rows, const uint32_t cols,
                         lls_v_t (*c)[4], const v_panel_t *v, float *o)
{
    EACH(m, rows) {
        lls_v_t keep = lls_v_set(v->keep[m]), add = lls_v_set(v->add[m]), step = lls_v_zero();
        if (IS_INT(holds))
            step = lls_v_set(v->step[m]);
        EACH(n, cols) {
            float  *to = o + (size_t)m * v->o_pitch + n * LLS_VL;
            lls_v_t x = c[m][n];
            if (IS_INT(holds))
                x = lls_v_mul(lls_vi_to_float(lls_vi_of_bits(x)), step);
            lls_v_store(to, lls_v_fma(lls_v_mul(keep, lls_v_load(to)), add, x));
        }
    }
}

/* Where tokens lie in pairs, begin is even, and the odd token behind an odd end has weight 0.  p
 * are floats, or for int8 pairs of 16 bits. */
LLS_INLINE void pv(const uint32_t holds, const uint32_t rows, const uint32_t cols, const float *p,
                   const v_panel_t *v, float *o)
{
    const uint32_t tokens = IS_PAIRS(holds) ? 2 : 1;
    const uint32_t line = LLS_KV_V_DIMS / LLS_VL * V_COLUMN(holds);     /* bytes of 32 dimensions */
    lls_v_t        c[ROWS][4], b[4];
    uint32_t       end;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_v_zero();
    for (uint32_t t = v->begin; t < v->end; t = end) {
        uint32_t       i = t >> v->shift, in_block = t - (i << v->shift);
        const uint8_t *block = v->block[i] + in_block / tokens * line;
        const uint8_t *next = v->next[i] + in_block / tokens * line;
        end = lls_min_u32((i + 1) << v->shift, v->end);
        for (; t < end; t += tokens, block += line, next += line) {
            EACH(n, cols) {
                b[n] = load_v(holds, block + v->at[n]);
                if (!IS_WIDE(holds) && n * V_COLUMN(holds) % 64 == 0)
                    FETCH(next + v->next_at[n]);
            }
            if (holds == HOLDS_BF16)
                multiply_bf16(rows, cols, c, p + t, S_PITCH, 1, b);
            else if (IS_INT(holds))
                multiply_i16(rows, cols, c, p + t / 2, S_PITCH, b);
            else
                multiply(rows, cols, c, p + t, S_PITCH, b);
        }
    }
    add_rows(holds, rows, cols, c, v, o);
}

/* ---- A function for each number of rows ----------------------------------------------------- */

#define MAKE_QK(kind, rows, cols)                                                               \
    static void qk_##kind##_##rows##x##cols(const float *q, const k_panel_t *k, float *s)       \
    { if (HOLDS_##kind == HOLDS_I8) qk_i8(rows, cols, q, k, s);                                 \
      else qk(HOLDS_##kind, rows, cols, q, k, s); }
#define MAKE_PV(kind, rows, cols)                                                               \
    static void pv_##kind##_##rows##x##cols(const float *p, const v_panel_t *v, float *o)       \
    { pv(HOLDS_##kind, rows, cols, p, v, o); }

#define NAME_QK(kind, rows, cols) [rows] = qk_##kind##_##rows##x##cols,
#define NAME_PV(kind, rows, cols) [rows] = pv_##kind##_##rows##x##cols,

#define TO_3(X, kind, cols) X(kind, 1, cols) X(kind, 2, cols) X(kind, 3, cols)
#define TO_6(X, kind, cols) TO_3(X, kind, cols) X(kind, 4, cols) X(kind, 5, cols) X(kind, 6, cols)
#define TO_14(X, kind, cols)                                                                    \
    TO_6(X, kind, cols) X(kind, 7, cols) X(kind, 8, cols) X(kind, 9, cols) X(kind, 10, cols)    \
    X(kind, 11, cols) X(kind, 12, cols) X(kind, 13, cols) X(kind, 14, cols)
#if defined(__AVX512F__)
#  define FOR_ROWS TO_14
#  define FOR_ROWS4 TO_6
#else
#  define FOR_ROWS TO_6
#  define FOR_ROWS4 TO_3
#endif

#define MAKE_ALL(kind)                                                                          \
    FOR_ROWS(MAKE_QK, kind, 2) FOR_ROWS4(MAKE_QK, kind, 4)                                      \
    FOR_ROWS(MAKE_PV, kind, 2) FOR_ROWS4(MAKE_PV, kind, 4)
MAKE_ALL(F32) MAKE_ALL(F16) MAKE_ALL(BF16) MAKE_ALL(I8)
FOR_ROWS(MAKE_QK, WIDE, 2) FOR_ROWS(MAKE_PV, WIDE, 2) FOR_ROWS(MAKE_PV, WIDE_I16, 2)

/* By what the panel holds, and the number of rows; *4: of 4 columns. */
static const struct dot_fns {
    qk_fn qk2[ROWS + 1], qk4[ROWS4 + 1];
    pv_fn pv2[ROWS + 1], pv4[ROWS4 + 1];
} dot_fns[] = {
#define NAME_ALL(kind)                                                                          \
    [HOLDS_##kind] = { { FOR_ROWS(NAME_QK, kind, 2) }, { FOR_ROWS4(NAME_QK, kind, 4) },         \
                       { FOR_ROWS(NAME_PV, kind, 2) }, { FOR_ROWS4(NAME_PV, kind, 4) } },
    NAME_ALL(F32) NAME_ALL(F16) NAME_ALL(BF16) NAME_ALL(I8)
    [HOLDS_WIDE] = { .qk2 = { FOR_ROWS(NAME_QK, WIDE, 2) }, .pv2 = { FOR_ROWS(NAME_PV, WIDE, 2) } },
    [HOLDS_WIDE_I16] = { .pv2 = { FOR_ROWS(NAME_PV, WIDE_I16, 2) } },
};
