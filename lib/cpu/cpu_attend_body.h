/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_attend_body - a tile of attention with vectors; included once by the file of each instruction
 * set, which defines LLS_ATTEND_KERNELS, the name of the table.
 *
 * The rows of an item are worked on in blocks of up to ROWS rows.  With many rows a panel of 16
 * bits is widened to float32, of V in int8 to 16 bits, once for all of them, which stays in L1;
 * with few the products widen in registers and take 4 columns at a time, and lines that are needed
 * soon are fetched meanwhile.
 *
 * Only tokens that some row of the item sees are read from V; in K the columns of a vector may
 * reach beyond them, into a live block, and what comes out is masked.
 */
#include <string.h>

#include "cpu/cpu_attend_dot.h"
#include "cpu/cpu_attend_softmax.h"
#include "cpu/cpu_attend_view.h"

#define WIDEN_ROWS 24u              /* from here on widening pays */

typedef struct workspace {          /* at the start of a thread's working memory */
    view_t         view;
    float         *q;               /* [n_blocks][padded_dim][Q_PITCH], scaled; int8: bytes */
    float         *s;               /* [rows][S_PITCH]: scores, then weights */
    float         *k;               /* [head_dim][PANEL], widened */
    float         *v;               /* [LLS_ATTEND_TILE][32], widened */
    float         *v_scale;         /* int8: [LLS_ATTEND_TILE] of the tile's tokens */
    float         *up, *row_up;     /* int8: what weights are multiplied with; of one row */
    float          step;            /* int8: of these integers */
    uint32_t       k_holds, v_holds;    /* enum holds, of what the products get */
    bool           widen, four;
} workspace_t;

static size_t lay_out(const lls_kv_layout_t *l, uint32_t rows, uint8_t *at, workspace_t *w)
{
    size_t pitch = lls_align_up(rows, LLS_ATTEND_ALIGN);
    size_t q = lls_align_up(sizeof *w, 64) / sizeof(float);
    size_t s = q + (size_t)lls_ceil_div(rows, ROWS) * l->padded_dim * Q_PITCH;
    size_t k = s + (size_t)rows * S_PITCH, v = k + (size_t)l->padded_dim * PANEL;
    size_t v_scale = v + LLS_ATTEND_TILE * LLS_KV_V_DIMS, facts = v_scale + 3 * LLS_ATTEND_TILE;
    size_t blocks = (facts + N_FACTS * pitch) * sizeof(float);
    float *base = (float *)at;

    if (at != NULL) {
        w->q = base + q;
        w->s = base + s;
        w->k = base + k;
        w->v = base + v;
        w->v_scale = base + v_scale;
        w->up = w->v_scale + LLS_ATTEND_TILE;
        w->row_up = w->up + LLS_ATTEND_TILE;
        lay_facts(&w->view.row, base + facts, pitch);
        w->view.blocks = (row_block_t *)(at + blocks);
    }
    return lls_align_up(blocks + (rows / ROWS + 1) * sizeof *w->view.blocks, 64);
}

static size_t work_bytes(const lls_kv_layout_t *l, uint32_t rows)
{
    return lay_out(l, rows, NULL, NULL);
}

static float *queries_of(const lls_attend_job_t *j, const workspace_t *w, uint32_t block)
{
    return w->q + (size_t)block * j->kv.padded_dim * Q_PITCH;
}

typedef float four_t __attribute__((vector_size(16)));

/* 4 rows x 4 dimensions become 4 x 4 the other way round, scaled. */
static inline void turn_4x4(const float *const *src, uint32_t d, float scale, float *q)
{
    four_t r[4], lo, hi, lo2, hi2;

    for (uint32_t i = 0; i < 4; i++) {
        memcpy(&r[i], src[i] + d, sizeof r[i]);
        r[i] *= scale;
    }
    lo = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    hi = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    lo2 = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    hi2 = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(lo, lo2, 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(lo, lo2, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(hi, hi2, 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(hi, hi2, 2, 3, 6, 7);
    for (uint32_t i = 0; i < 4; i++)
        memcpy(q + i * Q_PITCH, &r[i], sizeof r[i]);
}

/* Rows of a block, scaled: [head_dim][Q_PITCH].  Rows beyond the last are copies of it. */
static void load_block(const lls_attend_job_t *j, const lls_attend_item_t *item,
                       const row_block_t *b, float *q)
{
    for (uint32_t m = 0; m < b->n; m += 4, q += 4) {
        const float *src[4];
        uint32_t     d = 0;
        for (uint32_t i = 0; i < 4; i++)
            src[i] = lls_attend_query(j, item, b->row + lls_min_u32(m + i, b->n - 1));
        for (; d + 4 <= j->kv.head_dim; d += 4)
            turn_4x4(src, d, j->q_scale, q + d * Q_PITCH);
        for (; d < j->kv.head_dim; d++)
            for (uint32_t i = 0; i < 4; i++)
                q[d * Q_PITCH + i] = src[i][d] * j->q_scale;
    }
}

/* In fours of dimensions; those behind head_dim are 0. */
static void load_row_i8(const lls_attend_job_t *j, const float *src, float *q, float *scale,
                        int32_t *bias)
{
    int8_t  row[LLS_KV_MAX_DIM + 4];
    int32_t sum = 0;

    *scale = lls_quantise_row(src, j->kv.head_dim, row) * j->q_scale;
    memset(row + j->kv.head_dim, 0, 4);
    for (uint32_t d = 0; d < j->kv.head_dim; d++)
        sum += row[d];
    *bias = -128 * sum;
    for (uint32_t d = 0; d < j->kv.head_dim; d += 4)
        for (uint32_t part = 0; part < LLS_VI_PARTS; part++, q += Q_PITCH) {
            uint32_t word = lls_vi_q(row + d, part);
            memcpy(q, &word, sizeof word);
        }
}

static void choose_kernels(const lls_attend_job_t *j, workspace_t *w)
{
    static const uint8_t holds[LLS_N_DTYPES] = { [LLS_F32] = HOLDS_F32, [LLS_F16] = HOLDS_F16,
                                                 [LLS_BF16] = HOLDS_BF16, [LLS_I8] = HOLDS_I8 };

    w->widen = j->kv.dtype != LLS_F32 && w->view.rows >= WIDEN_ROWS;
    w->four = !w->widen && w->view.rows <= ROWS4;
    w->k_holds = w->v_holds = holds[j->kv.dtype];
    if (!w->widen)
        return;
    w->v_holds = w->k_holds == HOLDS_I8 ? HOLDS_WIDE_I16 : HOLDS_WIDE;
    if (w->k_holds != HOLDS_I8)
        w->k_holds = HOLDS_WIDE;
}

static void load(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item)
{
    workspace_t *w = work;

    w->view.rows = item->n_tokens * j->group;
    w->view.n_blocks = lls_ceil_div(w->view.rows, ROWS);
    lay_out(&j->kv, w->view.rows, work, w);
    choose_kernels(j, w);
    for (uint32_t i = 0; i < w->view.n_blocks; i++) {
        row_block_t *b = &w->view.blocks[i];
        b->row = w->view.rows * i / w->view.n_blocks;
        b->n = w->view.rows * (i + 1) / w->view.n_blocks - b->row;
        if (j->kv.dtype == LLS_I8)
            for (uint32_t m = b->row; m < b->row + b->n; m++)
                load_row_i8(j, lls_attend_query(j, item, m), queries_of(j, w, i) + (m - b->row),
                            &w->view.row.q_scale[m], &w->view.row.bias[m]);
        else
            load_block(j, item, b, queries_of(j, w, i));
    }
    fill_facts(&w->view, j->group);
}

/* ---- Scores --------------------------------------------------------------------------------- */

static void widen_k(const lls_attend_job_t *j, workspace_t *w, k_panel_t *k)
{
    float *to = w->k;

    for (uint32_t d = 0; d < k->dims; d += j->kv.k_pack, to += j->kv.k_pack * PANEL)
        for (uint32_t n = 0; n < 2; n++) {
            const uint8_t *at = k->at[n] + d / j->kv.k_pack * k->step;
            if (j->kv.dtype == LLS_F16) {
                lls_v_store(to + n * LLS_VL, lls_v_load_f16(at));
            } else {
                lls_v_store(to + n * LLS_VL, lls_v_low(lls_v_load(at)));
                lls_v_store(to + PANEL + n * LLS_VL, lls_v_high(lls_v_load(at)));
            }
        }
    k->at[0] = (const uint8_t *)w->k;
    k->at[1] = (const uint8_t *)(w->k + LLS_VL);
    k->step = PANEL * sizeof(float);
}

/* Columns that lie outside the tokens seen are taken from the nearest block that is. */
static k_panel_t panel_at(const lls_attend_job_t *j, const workspace_t *w, uint32_t t,
                          uint32_t cols)
{
    uint32_t  bt = j->kv.block_tokens, first = w->view.lo / bt, last = (w->view.hi - 1) / bt;
    uint32_t  unit = j->kv.k_pack * j->kv.size;
    k_panel_t k = { .step = (size_t)bt * unit, .ahead = j->kv.v_offset, .dims = j->kv.head_dim };

    for (uint32_t n = 0; n < cols; n++, t += LLS_VL) {
        uint32_t i = lls_max_u32(first, lls_min_u32(last, t / bt));
        k.at[n] = w->view.page[i] + (size_t)(t % bt) * unit;
        k.scale[n] = lls_kv_scales(&j->kv, w->view.page[i]) + t % bt;
    }
    return k;
}

static void scores(const lls_attend_job_t *j, workspace_t *w)
{
    const struct dot_fns *fns = &dot_fns[w->k_holds];
    uint32_t              cols;

    for (uint32_t t = w->view.lo / PANEL * PANEL; t < w->view.hi; t += cols * LLS_VL) {
        k_panel_t k;
        cols = w->four && w->view.hi - t > PANEL ? 4 : 2;
        k = panel_at(j, w, t, cols);
        if (w->k_holds == HOLDS_WIDE)
            widen_k(j, w, &k);
        for (uint32_t i = 0; i < w->view.n_blocks; i++) {
            const row_block_t *b = &w->view.blocks[i];
            if (t >= b->hi || t + cols * LLS_VL <= b->lo)
                continue;
            k.q_scale = w->view.row.q_scale + b->row;
            k.bias = w->view.row.bias + b->row;
            (cols == 4 ? fns->qk4 : fns->qk2)[b->n](queries_of(j, w, i), &k,
                                                    w->s + (size_t)b->row * S_PITCH + t);
        }
    }
}

/* ---- Softmax -------------------------------------------------------------------------------- */

/* Scores to weights; their sum. */
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

/* int8: bits of the largest scale of V of tokens [lo, hi): as integers these are in order, -inf is
 * less, and a NaN is more than all. */
static uint32_t top_scale(const float *scale, uint32_t lo, uint32_t hi)
{
    lls_vi_t top = lls_vi_set(0);

    for (uint32_t t = lo / LLS_VL * LLS_VL; t < hi; t += LLS_VL)
        top = lls_vi_max(top, lls_vi_of_bits(lls_v_within(lls_v_load(scale + t), (int)t, (int)lo,
                                                          (int)hi)));
    return (uint32_t)lls_vi_top(top);
}

/* What the weights of [begin, end) are multiplied with to be integers, where a row sees [lo, hi): 0
 * outside.  Returns the step of these integers. */
static float scale_up(const float *scale, uint32_t begin, uint32_t end, uint32_t lo, uint32_t hi,
                      float *to)
{
    float   up, step = lls_weight_step(top_scale(scale, lo, hi), &up);
    lls_v_t f = lls_v_set(up);

    for (uint32_t t = begin; t < end; t += LLS_VL) {
        lls_v_t x = lls_v_within(lls_v_load(scale + t), (int)t, (int)lo, (int)hi);
        lls_v_store(to + t, lls_v_max(lls_v_mul(x, f), lls_v_zero()));
    }
    return step;
}

/* weigh(), with weights times `up` as integers of 16 bits: in place, behind the scores read. */
static float weigh_i8(float *s, uint32_t begin, uint32_t end, float top, const float *up)
{
    lls_v_t  m = lls_v_set(top == -INFINITY ? 0.0f : top), a = lls_v_zero(), b = a;
    int16_t *to = (int16_t *)s;

    for (uint32_t t = begin; t < end; t += PANEL) {
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t), m));
        lls_v_t y = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t + LLS_VL), m));
        a = lls_v_add(a, x);
        b = lls_v_add(b, y);
        lls_v_store_s16(to + t, lls_v_mul(x, lls_v_load(up + t)));
        lls_v_store_s16(to + t + LLS_VL, lls_v_mul(y, lls_v_load(up + t + LLS_VL)));
    }
    return lls_v_sum(lls_v_add(a, b));
}

/* The scales of V of the tile. */
static void load_v_scales(const lls_attend_job_t *j, workspace_t *w)
{
    uint32_t bt = j->kv.block_tokens;

    for (uint32_t t = w->view.lo / 16 * 16; t < w->view.hi; t += 16)
        memcpy(w->v_scale + t, lls_kv_scales(&j->kv, w->view.page[t / bt]) + bt + t % bt,
               16 * sizeof *w->v_scale);
}

/* A row that sees [lo, hi).  Rows that see all there is of the tile share the factors. */
static float weigh_row_i8(workspace_t *w, uint32_t m, uint32_t begin, uint32_t end, uint32_t lo,
                          uint32_t hi)
{
    const float *up = w->up;

    w->view.row.step[m] = w->step;
    if (lo > w->view.lo || hi < w->view.hi) {
        w->view.row.step[m] = scale_up(w->v_scale, begin, end, lo, hi, w->row_up);
        up = w->row_up;
    }
    return weigh_i8(w->s + (size_t)m * S_PITCH, begin, end, w->view.row.max[m], up);
}

/* Rows of one block: maxima of all before the weights of one, which wait for the maximum. */
static void weights_of_block(const lls_attend_job_t *j, workspace_t *w, const row_block_t *b,
                             uint32_t pos, uint32_t base)
{
    uint32_t begin = b->lo / PANEL * PANEL, end = lls_ceil_div(b->hi, PANEL) * PANEL;
    uint32_t lo[ROWS], hi[ROWS];

    for (uint32_t i = 0; i < b->n; i++) {
        float *s = w->s + (size_t)(b->row + i) * S_PITCH;
        seen(j, pos + w->view.row.token[b->row + i], base, &lo[i], &hi[i]);
        if (j->cap != 0.0f)
            cap_scores(s, begin, end, j->cap);
        mask(s, begin, end, lo[i], hi[i]);
        w->view.row.max[b->row + i] = top_of(s, begin, end);
    }
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t m = b->row + i;
        w->view.row.sum[m] = j->kv.dtype == LLS_I8
                            ? weigh_row_i8(w, m, begin, end, lo[i], hi[i])
                            : weigh(w->s + (size_t)m * S_PITCH, begin, end, w->view.row.max[m]);
    }
}

static void weights(const lls_attend_job_t *j, workspace_t *w, uint32_t pos, uint32_t base)
{
    if (j->kv.dtype == LLS_I8) {
        load_v_scales(j, w);
        w->step = scale_up(w->v_scale, w->view.lo / PANEL * PANEL,
                           lls_ceil_div(w->view.hi, PANEL) * PANEL, w->view.lo, w->view.hi, w->up);
    }
    for (uint32_t i = 0; i < w->view.n_blocks; i++) {
        const row_block_t *b = &w->view.blocks[i];
        if (b->lo < b->hi) {
            weights_of_block(j, w, b, pos, base);
            continue;
        }
        for (uint32_t m = b->row; m < b->row + b->n; m++) {
            w->view.row.max[m] = -INFINITY;
            w->view.row.sum[m] = 0.0f;
        }
    }
}

/* ---- Values --------------------------------------------------------------------------------- */

/* 32 values of a token, or of a pair. */
static void widen_v_line(uint32_t dtype, const uint8_t *v, float *to)
{
    for (uint32_t d = 0; d < LLS_KV_V_DIMS; d += LLS_VL)
        if (dtype == LLS_F16) {
            lls_v_store(to + d, lls_v_load_f16(v + d * 2));
        } else if (dtype == LLS_I8) {
            lls_v_store(to + d, lls_vi_to_bits(lls_vi_load_s8(v + d * 2)));
        } else {
            lls_v_t pair = lls_v_load(v + d * 4);
            lls_v_store(to + d, lls_v_low(pair));
            lls_v_store(to + LLS_KV_V_DIMS + d, lls_v_high(pair));
        }
}

static void widen_v(const lls_attend_job_t *j, workspace_t *w, uint32_t dim)
{
    uint32_t bt = j->kv.block_tokens, pack = j->kv.v_pack, each = w->v_holds == HOLDS_WIDE ? 1 : 2;

    for (uint32_t t = w->view.lo & ~1u; t < w->view.hi; t += pack)
        widen_v_line(j->kv.dtype, w->view.page[t / bt] + lls_kv_v_at(&j->kv, t % bt, dim),
                     w->v + (size_t)(t / each) * LLS_KV_V_DIMS);
}

static v_panel_t values_at(const lls_attend_job_t *j, const workspace_t *w,
                           const uint8_t *const *widened, uint32_t dim, uint32_t cols)
{
    v_panel_t v = { .block = w->view.page, .next = w->view.next, .o_pitch = j->kv.padded_dim,
                    .shift = (uint32_t)__builtin_ctz(j->kv.block_tokens) };
    size_t    lane = w->widen ? sizeof(float) : j->kv.v_pack * j->kv.size;

    if (w->widen) {
        v.block = v.next = widened;
        v.shift = (uint32_t)__builtin_ctz(LLS_ATTEND_TILE);
    }
    for (uint32_t n = 0; n < cols; n++, dim += LLS_VL) {
        size_t at = dim % LLS_KV_V_DIMS * lane;
        if (!w->widen)
            at += dim / LLS_KV_V_DIMS * j->kv.v_group;
        v.at[n] = w->widen ? at : at + j->kv.v_offset;
        v.next_at[n] = at;
    }
    return v;
}

static void values(const lls_attend_job_t *j, workspace_t *w, float *o)
{
    const struct dot_fns *fns = &dot_fns[w->v_holds];
    const uint8_t        *widened = (const uint8_t *)w->v;
    uint32_t              dims = j->kv.padded_dim, cols;

    for (uint32_t d = 0; d < dims; d += cols * LLS_VL) {
        v_panel_t v;
        cols = w->four && dims - d >= 4 * LLS_VL ? 4 : 2;
        v = values_at(j, w, &widened, d, cols);
        if (w->widen && d % LLS_KV_V_DIMS == 0)
            widen_v(j, w, d);
        for (uint32_t i = 0; i < w->view.n_blocks; i++) {
            const row_block_t *b = &w->view.blocks[i];
            if (b->lo >= b->hi)
                continue;
            v.begin = IS_PAIRS(w->v_holds) ? b->lo & ~1u : b->lo;
            v.end = b->hi;
            v.keep = w->view.row.keep + b->row;
            v.add = w->view.row.add + b->row;
            v.step = w->view.row.step + b->row;
            (cols == 4 ? fns->pv4 : fns->pv2)[b->n](w->s + (size_t)b->row * S_PITCH, &v,
                                                    o + (size_t)b->row * dims + d);
        }
    }
}

/* The same where weights of 0 are not enough: each row sums up what it sees, and from one token at
 * a time, which has the same bits. */
static void values_one_by_one(const lls_attend_job_t *j, const workspace_t *w, uint32_t pos,
                              uint32_t base, float *o)
{
    workspace_t one = *w;
    row_block_t b;

    if (j->kv.dtype != LLS_F32) {
        one.widen = true;
        one.four = false;
        one.v_holds = HOLDS_WIDE;
    }
    one.view.blocks = &b;
    one.view.n_blocks = 1;
    for (uint32_t m = 0; m < w->view.rows; m += b.n) {
        b = rows_of_token(j, &w->view, m, one.four ? ROWS4 : ROWS, pos, base);
        values(j, &one, o);
    }
}

/* ---- A tile --------------------------------------------------------------------------------- */

static void tile(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item,
                 uint32_t tile, const lls_attend_item_t *after, float *total)
{
    workspace_t *w = work;
    uint32_t     pos = lls_attend_position(j, item), base = tile * LLS_ATTEND_TILE;

    look(j, &w->view, pos, base);
    if (w->view.lo >= w->view.hi)
        return;
    find_pages(j, &w->view, item, tile);
    if (!w->widen)
        find_next(j, &w->view, item, tile, after);
    scores(j, w);
    weights(j, w, pos, base);
    take_in(&w->view, 0, w->view.rows, total);
    if (is_spoilt(j, &w->view, item, pos, base))
        values_one_by_one(j, w, pos, base, lls_attend_o(total, w->view.rows));
    else
        values(j, w, lls_attend_o(total, w->view.rows));
}

const lls_attend_kernels_t LLS_ATTEND_KERNELS = { work_bytes, load, tile, merge, scale,
                                                  lls_kv_narrow };
