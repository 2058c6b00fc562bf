/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_dot - the two products of attention: q k and p v, for up to ROWS rows at a time.
 *
 * Accumulators of all rows and columns stay in registers.  Each sum runs over dimensions (q k) or
 * tokens (p v) in rising order, whatever the rows, the columns and the source: pages as they are,
 * or widened to float32 beforehand.  Part of cpu_attend_body.h.
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
#define V_ROW 128u                  /* bytes of 32 values in float32, or 32 pairs in bfloat16 */

/* Columns of tokens: first bytes, bytes from one dimension (or pair) to the next, and how far ahead
 * the V panel lies, which is fetched line by line meanwhile. */
typedef struct k_panel {
    const uint8_t *at[4];
    size_t         step, ahead;
    uint32_t       dims;
} k_panel_t;

/* Columns of dimensions of tokens [begin, end): blocks of block_tokens tokens, offset of each
 * column, and the same for keys that are needed next, to be fetched meanwhile. */
typedef struct v_panel {
    const uint8_t *const *block, *const *next;
    size_t                at[4], next_at[4];
    uint32_t              block_tokens, begin, end, o_pitch;
} v_panel_t;

typedef void (*qk_fn)(const float *q, const k_panel_t *k, float *s);
typedef void (*pv_fn)(const float *p, const v_panel_t *v, float *o);

#define EACH(i, n) LLS_UNROLL for (uint32_t i = 0; i < n; i++)
#define FETCH(p) __builtin_prefetch(p, 0, 2)

LLS_INLINE void multiply(const uint32_t rows, const uint32_t cols, lls_v_t (*c)[4], const float *a,
                         const uint32_t pitch, const lls_v_t *b)
{
    EACH(m, rows) {
        lls_v_t x = lls_v_set(a[m * pitch]);
        EACH(n, cols) c[m][n] = lls_v_fma(c[m][n], x, b[n]);
    }
}

LLS_INLINE void store_columns(const uint32_t rows, const uint32_t cols, lls_v_t (*c)[4], float *to,
                              uint32_t pitch)
{
    EACH(m, rows)
        EACH(n, cols) lls_v_store(to + (size_t)m * pitch + n * LLS_VL, c[m][n]);
}

LLS_INLINE void qk_f32(const uint32_t rows, const uint32_t cols, const float *q, const k_panel_t *k,
                       float *s)
{
    lls_v_t c[ROWS][4], b[4];
    size_t  at = 0;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_v_zero();
    for (uint32_t d = 0; d < k->dims; d++, at += k->step) {
        EACH(n, cols) {
            b[n] = lls_v_load(k->at[n] + at);
            FETCH(k->at[n] + at + k->ahead);
        }
        multiply(rows, cols, c, q + d * Q_PITCH, 1, b);
    }
    store_columns(rows, cols, c, s, S_PITCH);
}

LLS_INLINE void qk_bf16(const uint32_t rows, const uint32_t cols, const float *q,
                        const k_panel_t *k, float *s)
{
    lls_v_t c[ROWS][4], pair[4], b[4];
    size_t  at = 0;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_v_zero();
    for (uint32_t d = 0; d < k->dims; d += 2, at += k->step) {
        EACH(n, cols) {
            pair[n] = lls_v_load(k->at[n] + at);
            FETCH(k->at[n] + at + k->ahead);
            b[n] = lls_v_low(pair[n]);
        }
        multiply(rows, cols, c, q + d * Q_PITCH, 1, b);
        EACH(n, cols) b[n] = lls_v_high(pair[n]);
        multiply(rows, cols, c, q + (d + 1) * Q_PITCH, 1, b);
    }
    store_columns(rows, cols, c, s, S_PITCH);
}

LLS_INLINE void pv_f32(const uint32_t rows, const uint32_t cols, const float *p, const v_panel_t *v,
                       float *o)
{
    lls_v_t  c[ROWS][4], b[4];
    uint32_t bt = v->block_tokens, end;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_v_zero();
    for (uint32_t t = v->begin; t < v->end; t = end) {
        const uint8_t *block = v->block[t / bt] + t % bt * V_ROW;
        const uint8_t *next = v->next[t / bt] + t % bt * V_ROW;
        end = lls_min_u32(t / bt * bt + bt, v->end);
        for (; t < end; t++, block += V_ROW, next += V_ROW) {
            EACH(n, cols) {
                b[n] = lls_v_load(block + v->at[n]);
                FETCH(next + v->next_at[n]);
            }
            multiply(rows, cols, c, p + t, S_PITCH, b);
        }
    }
    store_columns(rows, cols, c, o, v->o_pitch);
}

/* begin is even; the odd token behind an odd end has weight 0. */
LLS_INLINE void pv_bf16(const uint32_t rows, const uint32_t cols, const float *p,
                        const v_panel_t *v, float *o)
{
    lls_v_t  c[ROWS][4], pair[4], b[4];
    uint32_t bt = v->block_tokens, end;

    EACH(m, rows) EACH(n, cols) c[m][n] = lls_v_zero();
    for (uint32_t t = v->begin; t < v->end; t = end) {
        const uint8_t *block = v->block[t / bt] + t % bt / 2 * V_ROW;
        const uint8_t *next = v->next[t / bt] + t % bt / 2 * V_ROW;
        end = lls_min_u32(t / bt * bt + bt, v->end);
        for (; t < end; t += 2, block += V_ROW, next += V_ROW) {
            EACH(n, cols) {
                pair[n] = lls_v_load(block + v->at[n]);
                FETCH(next + v->next_at[n]);
                b[n] = lls_v_low(pair[n]);
            }
            multiply(rows, cols, c, p + t, S_PITCH, b);
            EACH(n, cols) b[n] = lls_v_high(pair[n]);
            multiply(rows, cols, c, p + t + 1, S_PITCH, b);
        }
    }
    store_columns(rows, cols, c, o, v->o_pitch);
}

/* ---- A function for each number of rows ----------------------------------------------------- */

#define MAKE_QK(kind, rows, cols)                                                               \
    static void qk_##kind##_##rows##x##cols(const float *q, const k_panel_t *k, float *s)       \
    { qk_##kind(rows, cols, q, k, s); }
#define MAKE_PV(kind, rows, cols)                                                               \
    static void pv_##kind##_##rows##x##cols(const float *p, const v_panel_t *v, float *o)       \
    { pv_##kind(rows, cols, p, v, o); }

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

FOR_ROWS(MAKE_QK, f32, 2) FOR_ROWS4(MAKE_QK, f32, 4)
FOR_ROWS(MAKE_QK, bf16, 2) FOR_ROWS4(MAKE_QK, bf16, 4)
FOR_ROWS(MAKE_PV, f32, 2) FOR_ROWS4(MAKE_PV, f32, 4)
FOR_ROWS(MAKE_PV, bf16, 2) FOR_ROWS4(MAKE_PV, bf16, 4)

/* By what the panel holds, and the number of rows; *4: of 4 columns. */
enum { HOLDS_F32, HOLDS_BF16 };
static const qk_fn qk2[2][ROWS + 1] = { { FOR_ROWS(NAME_QK, f32, 2) },
                                        { FOR_ROWS(NAME_QK, bf16, 2) } };
static const qk_fn qk4[2][ROWS4 + 1] = { { FOR_ROWS4(NAME_QK, f32, 4) },
                                         { FOR_ROWS4(NAME_QK, bf16, 4) } };
static const pv_fn pv2[2][ROWS + 1] = { { FOR_ROWS(NAME_PV, f32, 2) },
                                        { FOR_ROWS(NAME_PV, bf16, 2) } };
static const pv_fn pv4[2][ROWS4 + 1] = { { FOR_ROWS4(NAME_PV, f32, 4) },
                                         { FOR_ROWS4(NAME_PV, bf16, 4) } };
