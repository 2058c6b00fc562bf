/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_int - one attention call, cut into items, and what an instruction set has to bring.
 *
 * The unit of arithmetic is the tile: 256 key tokens at a fixed absolute place.  For a row (one
 * query token and head) a tile gives its largest score, the sum of its weights and their sum of V;
 * tiles are merged from left to right.  Tokens that a row does not see add exact zeros.  So every
 * output has the same bits whatever the chunk, the batch, the threads and the cuts are, and cuts
 * between threads lie between tiles only.
 *
 * An item is some query tokens of one batch row times the query heads of one KV head, over all
 * tiles they see; or, where there are few items, over a part of the tiles: then each tile's result
 * goes to a slot, and who finishes the last part merges them.  Scores are in units of log 2.
 *
 * int8: queries are quantised like K, a scale a row, so q k is a sum of integers.  Weights times
 * the scales of V become integers of 15 bits in steps of a power of two, chosen by the largest
 * scale among the tokens of the tile that the row sees; p v is a sum of integers too.
 */
#ifndef LLS_CPU_ATTEND_INT_H
#define LLS_CPU_ATTEND_INT_H

#include <stdatomic.h>

#include "cpu/cpu_kv.h"

#define LLS_ATTEND_TILE 256u
#define LLS_ATTEND_ROWS 168u        /* rows of an item, unless one token has more heads */

typedef struct lls_attend_item {
    uint32_t row;                   /* of the batch */
    uint32_t head;                  /* of K and V */
    uint32_t token, n_tokens;       /* of the run: query tokens [token, token + n_tokens) */
    uint32_t tile, tile_end;
    uint32_t unit, slot;            /* if tiles are split: whose part it is, slot of tile 0 */
} lls_attend_item_t;

/* The first item, unit and slot of a batch row. */
typedef struct lls_attend_span {
    uint32_t item, unit, slot;
} lls_attend_span_t;

typedef struct lls_attend_job {
    const lls_tensor_t    *q, *out;
    const lls_batch_t     *batch;
    const lls_pages_t     *pages;
    const uint32_t        *table;
    uint32_t               stride;  /* of table */
    uint32_t               n_q, n_kv, group;    /* group: query heads of a KV head */
    lls_kv_group_config_t  mask;
    lls_kv_layout_t        kv;
    float                  q_scale, cap;    /* score = cap * tanh(q_scale q k), or q_scale q k */
    /* the cut */
    const struct lls_attend_kernels *k;
    uint32_t               n_threads, query_tokens, n_items, n_units, n_slots;
    uint32_t               tiles_per_item;      /* 0 = all */
    lls_attend_span_t     *spans;   /* [n_rows + 1] */
    _Atomic uint32_t      *left;    /* [n_units]: parts not done yet */
    float                 *slots;   /* [n_slots][slot_floats] */
    size_t                 slot_floats;
    uint8_t               *work;    /* [n_threads][work_bytes] */
    size_t                 work_bytes, total_floats;
    _Atomic uint32_t       next;    /* item to be taken */
} lls_attend_job_t;

/* Cuts a job into items, whose spans and counters are big enough. */
void lls_attend_cut(lls_attend_job_t *j);

/* The next item for this thread; false: no more. */
bool lls_attend_take(lls_attend_job_t *j, lls_attend_item_t *it);

/* What tiles gave for `rows` rows, merged: the maxima, the sums, then O [rows][padded_dim].  Maxima
 * and sums are there for whole vectors of rows. */
#define LLS_ATTEND_ALIGN 16u

static inline size_t lls_attend_part_floats(const lls_kv_layout_t *l, uint32_t rows)
{
    return 2 * lls_align_up(rows, LLS_ATTEND_ALIGN) + (size_t)rows * l->padded_dim;
}

static inline float *lls_attend_sum(float *part, uint32_t rows)
{
    return part + lls_align_up(rows, LLS_ATTEND_ALIGN);
}

static inline float *lls_attend_o(float *part, uint32_t rows)
{
    return part + 2 * lls_align_up(rows, LLS_ATTEND_ALIGN);
}

/* Rows of an item: token by token, the heads of a token together. */
typedef struct lls_attend_kernels {
    /* Bytes of a thread's working memory for items of up to `rows` rows, a multiple of 64. */
    size_t (*work_bytes)(const lls_kv_layout_t *l, uint32_t rows);
    /* Takes the queries of an item in. */
    void   (*load)(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item);
    /* total takes in one tile of the item loaded.  after: the item that this thread works on next,
     * or NULL: whose first keys may be fetched ahead when this is the last tile. */
    void   (*tile)(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item,
                   uint32_t tile, const lls_attend_item_t *after, float *total);
    /* total takes part in, with the same bits as if the tile of part had been added to it. */
    void   (*merge)(const lls_kv_layout_t *l, uint32_t rows, float *total, float *part);
    /* to[0 .. n) = o * factor */
    void   (*scale)(float *to, const float *o, float factor, uint32_t n);
    /* n floats to what the cache stores, and the scale for int8; NaN, if one is not finite. */
    float  (*narrow)(uint32_t dtype, const float *x, uint32_t n, void *to);
} lls_attend_kernels_t;

extern const lls_attend_kernels_t lls_attend_plain, lls_attend_avx2, lls_attend_avx512;
extern const lls_attend_kernels_t lls_attend_amx, lls_attend_neon;

const lls_attend_kernels_t *lls_attend_kernels(uint32_t isa, const lls_kv_layout_t *l);

/* Position of the item's first query token. */
static inline uint32_t lls_attend_position(const lls_attend_job_t *j, const lls_attend_item_t *item)
{
    const lls_batch_t *b = j->batch;
    uint32_t           n = b->row_start[item->row + 1] - b->row_start[item->row];

    return b->context[item->row] - n + item->token;
}

/* The page of the tokens of entry e of a batch row's table, the panels of a head. */
static inline const uint8_t *lls_attend_block(const lls_attend_job_t *j, uint32_t row,
                                              uint32_t head, uint32_t e)
{
    uint32_t block = j->table[(size_t)j->batch->row[row] * j->stride + e];

    lls_assert(block != 0);
    return lls_kv_head(j->pages, &j->kv, block, head);
}

static inline const float *lls_attend_query(const lls_attend_job_t *j, const lls_attend_item_t *it,
                                            uint32_t row)
{
    uint32_t token = j->batch->row_start[it->row] + it->token + row / j->group;

    return lls_row_f32(j->q, token) +
           (size_t)(it->head * j->group + row % j->group) * j->kv.head_dim;
}

#endif
