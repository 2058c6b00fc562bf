/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_view - which tokens of a tile the rows of an item see, where these lie, and how a tile
 * joins what was there before.  Part of the kernels' files, whose ROWS is the most rows of a block.
 */
#include "cpu/cpu_attend_int.h"
#include "cpu/cpu_vec.h"

#define MAX_BLOCKS (LLS_ATTEND_TILE / 16)   /* of the cache in a tile */

typedef struct row_block {          /* rows [row, row + n) see tokens [lo, hi) of the tile */
    uint32_t row, n, lo, hi;
} row_block_t;

typedef struct row_facts {          /* of each row of the item, whole vectors of them */
    float    *max, *sum;            /* of the tile */
    float    *keep, *add;           /* factors of what there was and of the tile */
    float    *q_scale, *step;       /* int8: of q, of weights */
    int32_t  *bias;                 /* int8: -128 times the sum of q, as K has 128 added */
    uint32_t *token;                /* of the item's */
} row_facts_t;
#define N_FACTS 8u

typedef struct view {
    row_facts_t    row;
    row_block_t   *blocks;
    const uint8_t *page[MAX_BLOCKS];    /* of the tile */
    const uint8_t *next[MAX_BLOCKS];    /* of the tile that comes next */
    uint32_t       rows, n_blocks;
    uint32_t       lo, hi;          /* tokens of the tile that some row sees */
} view_t;

static void lay_facts(row_facts_t *f, float *at, size_t pitch)
{
    *f = (row_facts_t){ at, at + pitch, at + 2 * pitch, at + 3 * pitch, at + 4 * pitch,
                        at + 5 * pitch, (int32_t *)(at + 6 * pitch),
                        (uint32_t *)(at + 7 * pitch) };
}

static void fill_facts(view_t *v, uint32_t group)
{
    for (uint32_t m = 0; m < v->rows; m++)
        v->row.token[m] = m / group;
    for (uint32_t m = v->rows; m < lls_align_up(v->rows, LLS_ATTEND_ALIGN); m++) {
        v->row.max[m] = -INFINITY;
        v->row.sum[m] = 0.0f;
    }
}

/* ---- What is seen --------------------------------------------------------------------------- */

/* What the token at position pos sees of the tile that begins at base: [*lo, *hi). */
static void seen(const lls_attend_job_t *j, uint32_t pos, uint32_t base, uint32_t *lo, uint32_t *hi)
{
    *lo = lls_min_u32(lls_sub_u32(lls_kv_first_needed(&j->mask, pos), base), LLS_ATTEND_TILE);
    *hi = lls_min_u32(lls_sub_u32(pos + 1, base), LLS_ATTEND_TILE);
}

static void look(const lls_attend_job_t *j, view_t *v, uint32_t pos, uint32_t base)
{
    v->lo = LLS_ATTEND_TILE;
    v->hi = 0;
    for (uint32_t i = 0; i < v->n_blocks; i++) {
        row_block_t *b = &v->blocks[i];
        uint32_t     unused;
        seen(j, pos + v->row.token[b->row], base, &b->lo, &unused);
        seen(j, pos + v->row.token[b->row + b->n - 1], base, &unused, &b->hi);
        if (b->lo >= b->hi)
            continue;
        v->lo = lls_min_u32(v->lo, b->lo);
        v->hi = lls_max_u32(v->hi, b->hi);
    }
}

static void find_pages(const lls_attend_job_t *j, view_t *v, const lls_attend_item_t *item,
                       uint32_t tile)
{
    uint32_t bt = j->kv.block_tokens, per_tile = LLS_ATTEND_TILE / bt;

    for (uint32_t i = v->lo / bt; i * bt < v->hi; i++)
        v->next[i] = v->page[i] = lls_attend_block(j, item->row, item->head, tile * per_tile + i);
}

/* Where to fetch ahead: the next tile of this item, or the first of `after`. */
static void find_next(const lls_attend_job_t *j, view_t *v, const lls_attend_item_t *item,
                      uint32_t tile, const lls_attend_item_t *after)
{
    uint32_t bt = j->kv.block_tokens, row = item->row, head = item->head, first;

    if (tile + 1 < item->tile_end) {
        tile++;
    } else if (after != NULL) {
        row = after->row;
        head = after->head;
        tile = after->tile;
    } else {
        return;
    }
    first = lls_kv_first_needed(&j->mask, j->batch->context[row] - 1) / bt;
    for (uint32_t i = v->lo / bt; i * bt < v->hi; i++) {
        uint32_t e = tile * (LLS_ATTEND_TILE / bt) + i;
        if (e >= first && (uint64_t)e * bt < j->batch->context[row])
            v->next[i] = lls_attend_block(j, row, head, e);
    }
}

/* ---- NaN and infinity ----------------------------------------------------------------------- */

/* Whether V of tokens [begin, end), and of those in pairs with them, has NaNs or infinities: these
 * have all bits of the exponent, and one more carries into the bit above. */
static bool has_nonfinite(const lls_attend_job_t *j, const view_t *v, uint32_t begin, uint32_t end)
{
    static const struct { uint32_t exponent, one; } kinds[LLS_N_DTYPES] = {
        [LLS_F32] = { 0x7f800000, 0x00800000 }, [LLS_F16] = { 0x7c007c00, 0x04000400 },
        [LLS_BF16] = { 0x7f807f80, 0x00800080 },
    };
    const lls_kv_layout_t *l = &j->kv;
    uint32_t               exponent = kinds[l->dtype].exponent, one = kinds[l->dtype].one;
    uint32_t               bt = l->block_tokens, any = 0, n;

    for (uint32_t t = begin / l->v_pack * l->v_pack; t < end; t += l->v_pack)
        for (uint32_t d = 0; d < l->head_dim; d += LLS_KV_V_DIMS) {
            const uint32_t *words = (const uint32_t *)(v->page[t / bt] + lls_kv_v_at(l, t % bt, d));
            n = lls_min_u32(LLS_KV_V_DIMS, l->head_dim - d) * l->v_pack * l->size / 4;
            for (uint32_t i = 0; i < n; i++)
                any |= (words[i] & exponent) + one;
        }
    return (any & (exponent + one)) != 0;
}

/* Rows are multiplied with tokens that they do not see, by weights of 0: with those that others of
 * the item see, and neighbours in pairs.  Where V of these is not finite that gives NaN, and
 * each token must take in only what it sees.  Integers are always finite. */
static bool is_spoilt(const lls_attend_job_t *j, const view_t *v, const lls_attend_item_t *item,
                      uint32_t pos, uint32_t base)
{
    uint32_t lo, hi, unused;

    if (j->kv.dtype == LLS_I8)
        return false;
    seen(j, pos, base, &unused, &hi);
    seen(j, pos + item->n_tokens - 1, base, &lo, &unused);
    return has_nonfinite(j, v, v->lo, lls_min_u32(lo, v->hi)) ||
           has_nonfinite(j, v, lls_max_u32(hi, v->lo), v->hi);
}

/* Rows from `row` on of one query token, up to `most`, and what they see. */
static row_block_t rows_of_token(const lls_attend_job_t *j, const view_t *v, uint32_t row,
                                 uint32_t most, uint32_t pos, uint32_t base)
{
    row_block_t b = { .row = row, .n = lls_min_u32(most, j->group - row % j->group) };

    seen(j, pos + v->row.token[row], base, &b.lo, &b.hi);
    return b;
}

/* ---- Joining -------------------------------------------------------------------------------- */

/* Maxima and sums take in (max2, sum2); what was there before counts keep times from here on, the
 * rest add times.  Before the first tile the maximum is -inf, and nothing may become inf - inf. */
static void merge_sums(uint32_t rows, float *max, float *sum, const float *max2, const float *sum2,
                       float *keep, float *add)
{
    for (uint32_t m = 0; m < rows; m += LLS_VL) {
        lls_v_t a = lls_v_load(max + m), b = lls_v_load(max2 + m), top = lls_v_max(a, b);
        lls_v_t zero = lls_v_max(top, lls_v_set(-3e38f));
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(a, zero)), y = lls_v_exp2_cut(lls_v_sub(b, zero));
        lls_v_store(max + m, top);
        lls_v_store(sum + m, lls_v_fma(lls_v_mul(x, lls_v_load(sum + m)), y, lls_v_load(sum2 + m)));
        lls_v_store(keep + m, x);
        lls_v_store(add + m, y);
    }
}

/* The same for rows [begin, begin + n) of the item; begin is a multiple of LLS_ATTEND_ALIGN. */
static void take_in(const view_t *v, uint32_t begin, uint32_t n, float *total)
{
    const row_facts_t *r = &v->row;

    merge_sums(n, total + begin, lls_attend_sum(total, v->rows) + begin, r->max + begin,
               r->sum + begin, r->keep + begin, r->add + begin);
}

static void merge(const lls_kv_layout_t *l, uint32_t rows, float *total, float *part)
{
    float *sum = lls_attend_sum(total, rows), *sum2 = lls_attend_sum(part, rows);
    float *o = lls_attend_o(total, rows), *o2 = lls_attend_o(part, rows);
    float  keep[LLS_ATTEND_ALIGN], add[LLS_ATTEND_ALIGN];

    for (uint32_t m = 0; m < rows; m++, o += l->padded_dim, o2 += l->padded_dim) {
        uint32_t i = m % LLS_ATTEND_ALIGN;
        if (i == 0)
            merge_sums(LLS_ATTEND_ALIGN, total + m, sum + m, part + m, sum2 + m, keep, add);
        for (uint32_t d = 0; d < l->padded_dim; d += LLS_VL) {
            lls_v_t x = lls_v_mul(lls_v_set(keep[i]), lls_v_load(o + d));
            lls_v_store(o + d, lls_v_fma(x, lls_v_set(add[i]), lls_v_load(o2 + d)));
        }
    }
}

static void scale(float *to, const float *o, float factor, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] = o[i] * factor;
}
