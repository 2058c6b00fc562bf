/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_body - a tile of attention with vectors; included once by the file of each instruction
 * set, which defines LLS_ATTEND_KERNELS, the name of the table.
 *
 * The rows of an item are worked on in blocks of up to ROWS rows.  With many rows a panel of
 * bfloat16 is widened to float32 once for all of them, which stays in L1; with few the products
 * widen in registers and take 4 columns at a time, and lines that are needed soon are fetched
 * meanwhile.
 *
 * Only tokens that some row of the item sees are read from V; in K the columns of a vector may
 * reach beyond them, into a live block, and what comes out is masked.
 */
#include <string.h>

#include "cpu/cpu_attend_dot.h"
#include "cpu/cpu_math.h"

#define WIDEN_ROWS 24u              /* from here on widening pays */
#define MAX_BLOCKS (LLS_ATTEND_TILE / 16)   /* of the cache in a tile */

typedef struct row_block {          /* rows [row, row + n) see tokens [lo, hi) of the tile */
    uint32_t row, n, lo, hi;
} row_block_t;

typedef struct workspace {          /* at the start of a thread's working memory */
    float         *q;               /* [n_blocks][head_dim][Q_PITCH], scaled */
    float         *s;               /* [rows][S_PITCH]: scores, then weights */
    float         *k;               /* [head_dim][PANEL], widened */
    float         *v;               /* [LLS_ATTEND_TILE][32], widened */
    row_block_t   *blocks;
    const uint8_t *page[MAX_BLOCKS];    /* of the tile */
    const uint8_t *next[MAX_BLOCKS];    /* of the tile that comes next */
    uint32_t       rows, n_blocks;
    uint32_t       lo, hi;          /* tokens of the tile that some row sees */
    bool           widen, four;
} workspace_t;

static size_t lay_out(const lls_kv_layout_t *l, uint32_t rows, uint8_t *at, workspace_t *w)
{
    size_t q = lls_align_up(sizeof *w, 64);
    size_t s = q + (size_t)lls_ceil_div(rows, ROWS) * l->padded_dim * Q_PITCH * sizeof(float);
    size_t k = s + (size_t)rows * S_PITCH * sizeof(float);
    size_t v = k + (size_t)l->padded_dim * PANEL * sizeof(float);
    size_t blocks = v + LLS_ATTEND_TILE * LLS_KV_V_DIMS * sizeof(float);

    if (at != NULL) {
        w->q = (float *)(at + q);
        w->s = (float *)(at + s);
        w->k = (float *)(at + k);
        w->v = (float *)(at + v);
        w->blocks = (row_block_t *)(at + blocks);
    }
    return lls_align_up(blocks + (rows / ROWS + 1) * sizeof *w->blocks, 64);
}

static size_t work_bytes(const lls_kv_layout_t *l, uint32_t rows)
{
    return lay_out(l, rows, NULL, NULL);
}

static float *queries_of(const lls_attend_job_t *j, const workspace_t *w, uint32_t block)
{
    return w->q + (size_t)block * j->kv.head_dim * Q_PITCH;
}

static void load(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item)
{
    workspace_t *w = work;

    w->rows = item->n_tokens * j->group;
    w->n_blocks = lls_ceil_div(w->rows, ROWS);
    w->widen = j->kv.dtype == LLS_BF16 && w->rows >= WIDEN_ROWS;
    w->four = !w->widen && w->rows <= ROWS4;
    lay_out(&j->kv, w->rows, work, w);
    for (uint32_t i = 0; i < w->n_blocks; i++) {
        row_block_t *b = &w->blocks[i];
        b->row = w->rows * i / w->n_blocks;
        b->n = w->rows * (i + 1) / w->n_blocks - b->row;
        for (uint32_t m = 0; m < b->n; m++) {
            const float *src = lls_attend_query(j, item, b->row + m);
            float       *q = queries_of(j, w, i) + m;
            for (uint32_t d = 0; d < j->kv.head_dim; d++)
                q[d * Q_PITCH] = src[d] * j->q_scale;
        }
    }
}

/* ---- What is seen --------------------------------------------------------------------------- */

/* What the token at position pos sees of the tile that begins at base: [*lo, *hi). */
static void seen(const lls_attend_job_t *j, uint32_t pos, uint32_t base, uint32_t *lo, uint32_t *hi)
{
    *lo = lls_min_u32(lls_sub_u32(lls_kv_first_needed(&j->mask, pos), base), LLS_ATTEND_TILE);
    *hi = lls_min_u32(lls_sub_u32(pos + 1, base), LLS_ATTEND_TILE);
}

static void look(const lls_attend_job_t *j, workspace_t *w, uint32_t pos, uint32_t base)
{
    w->lo = LLS_ATTEND_TILE;
    w->hi = 0;
    for (uint32_t i = 0; i < w->n_blocks; i++) {
        row_block_t *b = &w->blocks[i];
        uint32_t     unused;
        seen(j, pos + b->row / j->group, base, &b->lo, &unused);
        seen(j, pos + (b->row + b->n - 1) / j->group, base, &unused, &b->hi);
        if (b->lo >= b->hi)
            continue;
        w->lo = lls_min_u32(w->lo, b->lo);
        w->hi = lls_max_u32(w->hi, b->hi);
    }
}

/* Pages of the tile, and where to fetch ahead: the next tile of this item, or the first of
 * `after`. */
static void find_pages(const lls_attend_job_t *j, workspace_t *w, const lls_attend_item_t *item,
                       uint32_t tile, const lls_attend_item_t *after)
{
    uint32_t bt = j->kv.block_tokens, per_tile = LLS_ATTEND_TILE / bt, row = item->row;
    uint32_t head = item->head, first;

    for (uint32_t i = w->lo / bt; i * bt < w->hi; i++)
        w->next[i] = w->page[i] = lls_attend_block(j, row, head, tile * per_tile + i);
    if (w->widen)
        return;
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
    for (uint32_t i = w->lo / bt; i * bt < w->hi; i++) {
        uint32_t e = tile * per_tile + i;
        if (e >= first && (uint64_t)e * bt < j->batch->context[row])
            w->next[i] = lls_attend_block(j, row, head, e);
    }
}

/* ---- Scores --------------------------------------------------------------------------------- */

static void widen_k(const lls_attend_job_t *j, workspace_t *w, k_panel_t *k)
{
    float *to = w->k;

    for (uint32_t d = 0; d < k->dims; d += 2, to += 2 * PANEL)
        for (uint32_t n = 0; n < 2; n++) {
            lls_v_t pair = lls_v_load(k->at[n] + d / 2 * k->step);
            lls_v_store(to + n * LLS_VL, lls_v_low(pair));
            lls_v_store(to + PANEL + n * LLS_VL, lls_v_high(pair));
        }
    k->at[0] = (const uint8_t *)w->k;
    k->at[1] = (const uint8_t *)(w->k + LLS_VL);
    k->step = PANEL * sizeof(float);
    k->ahead = 0;
}

/* Columns that lie outside the tokens seen are taken from the nearest block that is. */
static k_panel_t panel_at(const lls_attend_job_t *j, const workspace_t *w, uint32_t t,
                          uint32_t cols)
{
    uint32_t  bt = j->kv.block_tokens, first = w->lo / bt, last = (w->hi - 1) / bt;
    k_panel_t k = { .step = (size_t)bt * 4, .ahead = j->kv.v_offset, .dims = j->kv.head_dim };

    for (uint32_t n = 0; n < cols; n++, t += LLS_VL) {
        uint32_t i = lls_max_u32(first, lls_min_u32(last, t / bt));
        k.at[n] = w->page[i] + (size_t)(t % bt) * 4;
    }
    return k;
}

static void scores(const lls_attend_job_t *j, workspace_t *w)
{
    uint32_t holds = j->kv.dtype == LLS_BF16 && !w->widen ? HOLDS_BF16 : HOLDS_F32, cols;

    for (uint32_t t = w->lo / PANEL * PANEL; t < w->hi; t += cols * LLS_VL) {
        k_panel_t k;
        cols = w->four && w->hi - t > PANEL ? 4 : 2;
        k = panel_at(j, w, t, cols);
        if (w->widen)
            widen_k(j, w, &k);
        for (uint32_t i = 0; i < w->n_blocks; i++) {
            const row_block_t *b = &w->blocks[i];
            const qk_fn       *fn = cols == 4 ? qk4[holds] : qk2[holds];
            if (t < b->hi && t + cols * LLS_VL > b->lo)
                fn[b->n](queries_of(j, w, i), &k, w->s + (size_t)b->row * S_PITCH + t);
        }
    }
}

/* ---- Softmax -------------------------------------------------------------------------------- */

/* Scores of tokens outside [lo, hi) become -inf; begin and end are multiples of PANEL. */
static void mask(float *s, uint32_t begin, uint32_t end, uint32_t lo, uint32_t hi)
{
    for (uint32_t t = begin; t < end; t += LLS_VL)
        if (t < lo || t + LLS_VL > hi)
            lls_v_store(s + t, lls_v_within(lls_v_load(s + t), (int)t, (int)lo, (int)hi));
}

static float top_of(const float *s, uint32_t begin, uint32_t end)
{
    lls_v_t a = lls_v_set(-INFINITY), b = a;

    for (uint32_t t = begin; t < end; t += PANEL) {
        a = lls_v_max(a, lls_v_load(s + t));
        b = lls_v_max(b, lls_v_load(s + t + LLS_VL));
    }
    return lls_v_top(lls_v_max(a, b));
}

/* Scores to weights; their sum.  Lanes are absolute places, so zeros more or less do not matter. */
static float weigh(float *s, uint32_t begin, uint32_t end, float top)
{
    lls_v_t m = lls_v_set(top == -INFINITY ? 0.0f : top), a = lls_v_zero(), b = a;

    for (uint32_t t = begin; t < end; t += PANEL) {
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t), m));
        lls_v_t y = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t + LLS_VL), m));
        a = lls_v_add(a, x);
        b = lls_v_add(b, y);
        lls_v_store(s + t, x);
        lls_v_store(s + t + LLS_VL, y);
    }
    return lls_v_sum(lls_v_add(a, b));
}

static void cap_scores(float *s, uint32_t begin, uint32_t end, float cap)
{
    for (uint32_t t = begin; t < end; t++)
        s[t] = cap * lls_tanh(s[t]);
}

static void weights(const lls_attend_job_t *j, workspace_t *w, uint32_t pos, uint32_t base,
                    float *max, float *sum)
{
    for (uint32_t m = w->rows; m < lls_align_up(w->rows, 16); m++) {
        max[m] = -INFINITY;
        sum[m] = 0.0f;
    }
    for (uint32_t i = 0; i < w->n_blocks; i++) {
        const row_block_t *b = &w->blocks[i];
        uint32_t begin = b->lo / PANEL * PANEL, end = lls_ceil_div(b->hi, PANEL) * PANEL, lo, hi;
        if (b->lo >= b->hi)
            end = begin;
        for (uint32_t m = b->row; m < b->row + b->n; m++) {
            float *s = w->s + (size_t)m * S_PITCH;
            seen(j, pos + m / j->group, base, &lo, &hi);
            if (j->cap != 0.0f)
                cap_scores(s, begin, end, j->cap);
            mask(s, begin, end, lo, hi);
            max[m] = top_of(s, begin, end);
        }
        for (uint32_t m = b->row; m < b->row + b->n; m++)
            sum[m] = weigh(w->s + (size_t)m * S_PITCH, begin, end, max[m]);
    }
}

/* ---- Values --------------------------------------------------------------------------------- */

static void widen_v(const lls_attend_job_t *j, workspace_t *w, uint32_t dim)
{
    uint32_t bt = j->kv.block_tokens;

    for (uint32_t t = w->lo & ~1u; t < w->hi; t += 2) {
        const uint8_t *v = w->page[t / bt] + lls_kv_v_at(&j->kv, t % bt, dim);
        float         *to = w->v + (size_t)t * LLS_KV_V_DIMS;
        for (uint32_t d = 0; d < LLS_KV_V_DIMS; d += LLS_VL) {
            lls_v_t pair = lls_v_load(v + d * 4);
            lls_v_store(to + d, lls_v_low(pair));
            lls_v_store(to + LLS_KV_V_DIMS + d, lls_v_high(pair));
        }
    }
}

static v_panel_t values_at(const lls_attend_job_t *j, const workspace_t *w,
                           const uint8_t *const *widened, uint32_t dim, uint32_t cols)
{
    v_panel_t v = { .block = w->page, .next = w->next, .block_tokens = j->kv.block_tokens,
                    .o_pitch = j->kv.padded_dim };

    if (w->widen) {
        v.block = v.next = widened;
        v.block_tokens = LLS_ATTEND_TILE;
    }
    for (uint32_t n = 0; n < cols; n++, dim += LLS_VL) {
        size_t at = dim / LLS_KV_V_DIMS * j->kv.v_group + dim % LLS_KV_V_DIMS * 4;
        v.at[n] = w->widen ? dim % LLS_KV_V_DIMS * 4 : j->kv.v_offset + at;
        v.next_at[n] = w->widen ? v.at[n] : at;
    }
    return v;
}

static void values(const lls_attend_job_t *j, workspace_t *w, float *o)
{
    const uint8_t *widened = (const uint8_t *)w->v;
    uint32_t       holds = j->kv.dtype == LLS_BF16 && !w->widen ? HOLDS_BF16 : HOLDS_F32, cols;
    uint32_t       dims = j->kv.padded_dim;

    for (uint32_t d = 0; d < dims; d += cols * LLS_VL) {
        v_panel_t v;
        cols = w->four && dims - d >= 4 * LLS_VL ? 4 : 2;
        v = values_at(j, w, &widened, d, cols);
        if (w->widen && d % LLS_KV_V_DIMS == 0)
            widen_v(j, w, d);
        for (uint32_t i = 0; i < w->n_blocks; i++) {
            const row_block_t *b = &w->blocks[i];
            const pv_fn       *fn = cols == 4 ? pv4[holds] : pv2[holds];
            v.begin = b->lo & ~1u;
            v.end = lls_max_u32(b->hi, v.begin);
            fn[b->n](w->s + (size_t)b->row * S_PITCH, &v, o + (size_t)b->row * dims + d);
        }
    }
}

/* ---- A tile --------------------------------------------------------------------------------- */

static void tile(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item,
                 uint32_t tile, const lls_attend_item_t *after, float *part)
{
    workspace_t *w = work;
    uint32_t     pos = lls_attend_position(j, item), base = tile * LLS_ATTEND_TILE;

    look(j, w, pos, base);
    if (w->lo < w->hi) {
        find_pages(j, w, item, tile, after);
        scores(j, w);
    }
    weights(j, w, pos, base, lls_attend_max(&j->kv, part, w->rows),
            lls_attend_sum(&j->kv, part, w->rows));
    values(j, w, part);
}

/* Before the first tile the maximum is -inf, and nothing may become inf - inf. */
static void merge_sums(uint32_t n, float *max, float *sum, const float *max2, const float *sum2,
                       float *f, float *f2)
{
    for (uint32_t m = 0; m < n; m += LLS_VL) {
        lls_v_t a = lls_v_load(max + m), b = lls_v_load(max2 + m), top = lls_v_max(a, b);
        lls_v_t zero = lls_v_max(top, lls_v_set(-3e38f));
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(a, zero)), y = lls_v_exp2_cut(lls_v_sub(b, zero));
        lls_v_store(max + m, top);
        lls_v_store(sum + m, lls_v_fma(lls_v_mul(x, lls_v_load(sum + m)), y, lls_v_load(sum2 + m)));
        lls_v_store(f + m, x);
        lls_v_store(f2 + m, y);
    }
}

static void merge(const lls_kv_layout_t *l, uint32_t rows, float *total, float *part)
{
    float *sum2 = lls_attend_sum(l, part, rows), *max2 = lls_attend_max(l, part, rows);
    float  f[16], f2[16];

    for (uint32_t m = 0; m < rows; m += 16) {
        merge_sums(16, lls_attend_max(l, total, rows) + m, lls_attend_sum(l, total, rows) + m,
                   max2 + m, sum2 + m, f, f2);
        for (uint32_t i = 0; i < 16 && m + i < rows; i++) {
            float  *o = total + (size_t)(m + i) * l->padded_dim;
            float  *o2 = part + (size_t)(m + i) * l->padded_dim;
            lls_v_t x = lls_v_set(f[i]), y = lls_v_set(f2[i]);
            for (uint32_t d = 0; d < l->padded_dim; d += LLS_VL)
                lls_v_store(o + d, lls_v_fma(lls_v_mul(x, lls_v_load(o + d)), y,
                                             lls_v_load(o2 + d)));
        }
    }
}

const lls_attend_kernels_t LLS_ATTEND_KERNELS = { work_bytes, load, tile, merge };
