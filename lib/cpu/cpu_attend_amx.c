/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tile of attention by AMX, for bfloat16 pages; other pages are left to AVX-512.
 *
 * A float32 of q or a weight is multiplied as the sum of two numbers of bfloat16, the nearest one
 * and what is left, which keep 16 bits of it; K and V are what tiles read as they lie.  Every
 * number of rows goes through the tiles, one row too, and a sum depends on its own row and column
 * alone, so results do not depend on the cut.
 *
 * Rows are worked on two blocks at a time, whose scores stay in L1 between the products.  V is
 * copied where not all of 32 tokens are seen, with zeros for the rest, or where these are not in
 * one block; K where the dimensions do not fill tiles.
 */
#include "cpu/cpu_attend_int.h"

#if defined(__AVX512BF16__)

#include <immintrin.h>

#define ROWS    16u                 /* of a tile, and of a block */
#define PANEL   32u                 /* tokens or dimensions of two tiles side by side */
#define S_PITCH (LLS_ATTEND_TILE + 16)      /* lines of rows must not fall into the same sets */
#define STEP    2048u               /* bytes of two tiles */
#define PANELS  (LLS_ATTEND_TILE / PANEL)

#include "cpu/cpu_attend_softmax.h"
#include "cpu/cpu_attend_view.h"
#include "cpu/cpu_tiles.h"

typedef struct workspace {          /* at the start of a thread's working memory */
    view_t         view;
    uint8_t       *q;               /* [n_blocks][steps][ROWS][2][32] of bfloat16, scaled */
    float         *s;               /* [2 * ROWS][S_PITCH]: scores, then weights as q is */
    uint8_t       *k;               /* [PANELS][steps][STEP], copied */
    uint8_t       *v;               /* [steps][PANELS][STEP], copied */
    uint32_t       steps;           /* of 32 dimensions */
    bool           few;             /* rows: lines that are needed soon are fetched meanwhile */
    bool           spoilt;          /* the tile, as is_spoilt() has it */
} workspace_t;

/* What tiles multiply, in n steps of 32 values of k: rows of one or two blocks, `pitch` bytes apart
 * and `next` from step to step, by two columns, and what is fetched meanwhile. */
typedef struct product {
    const uint8_t *a[2];
    size_t         pitch, next, b_pitch;
    const uint8_t *b[LLS_KV_MAX_DIM / 32][2], *ahead[LLS_KV_MAX_DIM / 32];
    uint32_t       n, n_ahead;      /* n_ahead: rows of two lines */
    float         *c[2];
    size_t         c_pitch;         /* in bytes, as all are */
} product_t;

static size_t lay_out(const lls_kv_layout_t *l, uint32_t rows, uint8_t *at, workspace_t *w)
{
    size_t pitch = lls_align_up(rows, LLS_ATTEND_ALIGN), steps = l->padded_dim / 32;
    size_t q = lls_align_up(sizeof *w, 64), s = q + pitch / ROWS * steps * STEP;
    size_t k = s + 2 * ROWS * S_PITCH * sizeof(float), v = k + steps * PANELS * STEP;
    size_t facts = v + steps * PANELS * STEP;
    size_t blocks = facts + N_FACTS * pitch * sizeof(float);

    if (at != NULL) {
        w->q = at + q;
        w->s = (float *)(at + s);
        w->k = at + k;
        w->v = at + v;
        w->steps = (uint32_t)steps;
        lay_facts(&w->view.row, (float *)(at + facts), pitch);
        w->view.blocks = (row_block_t *)(at + blocks);
    }
    return lls_align_up(blocks + pitch / ROWS * sizeof *w->view.blocks, 64);
}

static size_t work_bytes(const lls_kv_layout_t *l, uint32_t rows)
{
    return lay_out(l, rows, NULL, NULL);
}

/* ---- Tiles ---------------------------------------------------------------------------------- */

/* Palette 1: four tiles of sums, two of rows, two of columns. */
static void begin_tiles(uint32_t rows)
{
    struct { uint8_t palette, start, reserved[14]; uint16_t bytes[16]; uint8_t rows[16]; } c = {
        .palette = 1
    };

    for (uint32_t i = 0; i < 8; i++) {
        c.bytes[i] = 64;
        c.rows[i] = (uint8_t)(i < 6 ? rows : ROWS);
    }
    __asm__ volatile("ldtilecfg %0" : : "m"(c));
}

static void fetch(const uint8_t *p, size_t pitch, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, p += pitch) {
        _mm_prefetch(p, _MM_HINT_T1);
        _mm_prefetch(p + 64, _MM_HINT_T1);
    }
}

/* Columns change as seldom as can be: a tile of them takes as long to take in as 16 rows. */
static void multiply_one(const product_t *x)
{
    const uint8_t *a = x->a[0];

    TILE_ZERO(0);
    TILE_ZERO(1);
    for (uint32_t i = 0; i < x->n; i++, a += x->next) {
        TILE_LOAD(4, a, x->pitch);
        TILE_LOAD(5, a + 64, x->pitch);
        TILE_LOAD(6, x->b[i][0], x->b_pitch);
        TILE_DOT(0, 4, 6);
        TILE_DOT(0, 5, 6);
        TILE_LOAD(7, x->b[i][1], x->b_pitch);
        TILE_DOT(1, 4, 7);
        TILE_DOT(1, 5, 7);
        if (x->ahead[i] != NULL)
            fetch(x->ahead[i], x->b_pitch, x->n_ahead);
    }
    TILE_STORE(0, x->c[0], x->c_pitch);
    TILE_STORE(1, x->c[0] + 16, x->c_pitch);
}

static void multiply_two(const product_t *x)
{
    const uint8_t *a = x->a[0], *a2 = x->a[1];

    TILE_ZERO(0);
    TILE_ZERO(1);
    TILE_ZERO(2);
    TILE_ZERO(3);
    for (uint32_t i = 0; i < x->n; i++, a += x->next, a2 += x->next) {
        TILE_LOAD(6, x->b[i][0], x->b_pitch);
        TILE_LOAD(7, x->b[i][1], x->b_pitch);
        TILE_LOAD(4, a, x->pitch);
        TILE_LOAD(5, a2, x->pitch);
        TILE_DOT(0, 4, 6);
        TILE_DOT(2, 5, 6);
        TILE_DOT(1, 4, 7);
        TILE_DOT(3, 5, 7);
        TILE_LOAD(4, a + 64, x->pitch);
        TILE_LOAD(5, a2 + 64, x->pitch);
        TILE_DOT(0, 4, 6);
        TILE_DOT(2, 5, 6);
        TILE_DOT(1, 4, 7);
        TILE_DOT(3, 5, 7);
    }
    TILE_STORE(0, x->c[0], x->c_pitch);
    TILE_STORE(1, x->c[0] + 16, x->c_pitch);
    TILE_STORE(2, x->c[1], x->c_pitch);
    TILE_STORE(3, x->c[1] + 16, x->c_pitch);
}

/* ---- Queries -------------------------------------------------------------------------------- */

static __m512 widen(__m256i x)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/* 32 numbers become the 32 nearest of bfloat16, then the 32 nearest to what is left. */
static void split(__m512 x, __m512 y, void *to)
{
    __m512i near = (__m512i)_mm512_cvtne2ps_pbh(y, x);

    x = _mm512_sub_ps(x, widen(_mm512_castsi512_si256(near)));
    y = _mm512_sub_ps(y, widen(_mm512_extracti64x4_epi64(near, 1)));
    _mm512_storeu_si512(to, near);
    _mm512_storeu_si512((uint8_t *)to + 64, (__m512i)_mm512_cvtne2ps_pbh(y, x));
}

static void load_row(const float *src, uint32_t n, float scale, uint8_t *to)
{
    for (uint32_t d = 0; d < n; d += 32, to += STEP) {
        uint32_t mask = n - d >= 32 ? 0xffffffffu : (1u << (n - d)) - 1;
        __m512   x = _mm512_maskz_loadu_ps((__mmask16)mask, src + d);
        __m512   y = _mm512_maskz_loadu_ps((__mmask16)(mask >> 16), src + d + 16);
        split(_mm512_mul_ps(x, _mm512_set1_ps(scale)), _mm512_mul_ps(y, _mm512_set1_ps(scale)), to);
    }
}

static uint8_t *queries_of(const workspace_t *w, uint32_t block)
{
    return w->q + (size_t)block * w->steps * STEP;
}

static void load(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item)
{
    workspace_t *w = work;
    view_t      *v = &w->view;

    v->rows = item->n_tokens * j->group;
    v->n_blocks = lls_ceil_div(v->rows, ROWS);
    w->few = v->n_blocks == 1;
    lay_out(&j->kv, v->rows, work, w);
    for (uint32_t m = 0; m < v->rows; m++)
        load_row(lls_attend_query(j, item, m), j->kv.head_dim, j->q_scale,
                 queries_of(w, m / ROWS) + m % ROWS * 128);
    for (uint32_t i = 0; i < v->n_blocks; i++) {
        v->blocks[i].row = i * ROWS;
        v->blocks[i].n = lls_min_u32(ROWS, v->rows - i * ROWS);
    }
    fill_facts(v, j->group);
}

/* ---- Keys and values ------------------------------------------------------------------------ */

static bool copies_k(const lls_attend_job_t *j) { return j->kv.head_dim % 32 != 0; }

/* Where 16 tokens of K are.  Those outside what is seen are taken from the nearest block that
 * is. */
static const uint8_t *keys_at(const lls_attend_job_t *j, const view_t *v, uint32_t t)
{
    uint32_t bt = j->kv.block_tokens;
    uint32_t i = lls_max_u32(v->lo / bt, lls_min_u32((v->hi - 1) / bt, t / bt));

    return v->page[i] + t % bt * 4;
}

static void copy_k(const lls_attend_job_t *j, workspace_t *w)
{
    size_t pitch = (size_t)j->kv.block_tokens * 4;

    for (uint32_t t = w->view.lo / PANEL * PANEL; t < w->view.hi; t += PANEL) {
        const uint8_t *a = keys_at(j, &w->view, t), *b = keys_at(j, &w->view, t + 16);
        uint8_t       *to = w->k + (size_t)t / PANEL * w->steps * STEP;
        for (uint32_t d = 0; d < j->kv.head_dim; d += 2, a += pitch, b += pitch, to += 128) {
            memcpy(to, a, 64);
            memcpy(to + 64, b, 64);
        }
        memset(to, 0, (j->kv.padded_dim - j->kv.head_dim) / 2 * 128);
    }
}

/* Whether V is read as it lies. */
static bool is_whole(const lls_attend_job_t *j, const view_t *v, uint32_t t)
{
    return j->kv.block_tokens >= PANEL && t >= v->lo && t + PANEL <= v->hi;
}

static uint32_t is_seen(const view_t *v, uint32_t t) { return t >= v->lo && t < v->hi; }

/* 32 dimensions of a pair of tokens, with zeros for one outside [v->lo, v->hi). */
static void copy_pair(const lls_attend_job_t *j, const view_t *v, uint32_t t, uint32_t dim,
                      uint8_t *to)
{
    uint32_t       bt = j->kv.block_tokens;
    uint32_t       bits = is_seen(v, t) * 0xffffu | is_seen(v, t + 1) * 0xffff0000u;
    __m512i        keep = _mm512_set1_epi32((int)bits);
    const uint8_t *from = bits == 0 ? to : v->page[t / bt] + lls_kv_v_at(&j->kv, t % bt, dim);

    for (uint32_t i = 0; i < 128; i += 64)
        _mm512_storeu_si512(to + i, _mm512_and_si512(_mm512_loadu_si512(from + i), keep));
}

/* Those of [v->lo, v->hi) that cannot be read as they lie. */
static void copy_v(const lls_attend_job_t *j, const workspace_t *w, const view_t *v)
{
    for (uint32_t t = v->lo / PANEL * PANEL; t < v->hi; t += PANEL) {
        if (is_whole(j, v, t))
            continue;
        for (uint32_t d = 0; d < w->steps; d++)
            for (uint32_t i = 0; i < PANEL; i += 2)
                copy_pair(j, v, t + i, d * 32,
                          w->v + ((size_t)d * PANELS + t / PANEL) * STEP + i * 64);
    }
}

/* ---- A tile --------------------------------------------------------------------------------- */

/* The rows of both blocks and what they see. */
static row_block_t see_together(const row_block_t *b, uint32_t n)
{
    row_block_t both = { .row = b->row, .lo = LLS_ATTEND_TILE };

    for (uint32_t i = 0; i < n; i++) {
        both.n += b[i].n;
        if (b[i].lo >= b[i].hi)
            continue;
        both.lo = lls_min_u32(both.lo, b[i].lo);
        both.hi = lls_max_u32(both.hi, b[i].hi);
    }
    return both;
}

static void multiply(const product_t *x, uint32_t n)
{
    if (n == 1)
        multiply_one(x);
    else
        multiply_two(x);
}

/* Of n blocks from `first` on, for tokens [lo, hi). */
static void scores(const lls_attend_job_t *j, workspace_t *w, uint32_t first, uint32_t n,
                   uint32_t lo, uint32_t hi)
{
    size_t    step = 16 * (size_t)j->kv.block_tokens * 4;
    product_t x = { .a = { queries_of(w, first), queries_of(w, first + n - 1) }, .pitch = 128,
                    .next = STEP, .b_pitch = step / 16, .n = w->steps,
                    .c_pitch = S_PITCH * sizeof(float) };

    if (copies_k(j))
        x.b_pitch = 128;
    for (uint32_t t = lo / PANEL * PANEL; t < hi; t += PANEL) {
        const uint8_t *a = keys_at(j, &w->view, t);
        const uint8_t *b = t + 16 < hi ? keys_at(j, &w->view, t + 16) : a;  /* any will do */
        if (copies_k(j)) {
            a = w->k + (size_t)t / PANEL * w->steps * STEP;
            b = a + 64;
            step = STEP;
        }
        for (uint32_t i = 0; i < w->steps; i++) {
            x.b[i][0] = a + i * step;
            x.b[i][1] = b + i * step;
            x.ahead[i] = w->few && !copies_k(j) ? x.b[i][0] + j->kv.v_offset : NULL;
        }
        x.n_ahead = lls_min_u32(PANEL, hi - t + 1) / 2;
        x.c[0] = w->s + t;
        x.c[1] = w->s + ROWS * S_PITCH + t;
        multiply(&x, n);
    }
}

/* Scores of [begin, end) to weights; their sum. */
static float weigh(float *s, uint32_t begin, uint32_t end, float top)
{
    lls_v_t m = lls_v_set(top == -INFINITY ? 0.0f : top), a = lls_v_zero(), b = a;

    for (uint32_t t = begin; t < end; t += PANEL) {
        lls_v_t x = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t), m));
        lls_v_t y = lls_v_exp2_cut(lls_v_sub(lls_v_load(s + t + LLS_VL), m));
        a = lls_v_add(a, x);
        b = lls_v_add(b, y);
        split(x, y, s + t);
    }
    return lls_v_sum(lls_v_add(a, b));
}

/* Of a block at s; maxima of all rows before the weights of one, which wait for the maximum. */
static void weights(const lls_attend_job_t *j, workspace_t *w, const row_block_t *b, uint32_t pos,
                    uint32_t base, uint32_t begin, uint32_t end, float *s)
{
    const row_facts_t *r = &w->view.row;

    for (uint32_t i = 0; i < b->n; i++) {
        float   *row = s + (size_t)i * S_PITCH;
        uint32_t lo, hi;
        seen(j, pos + r->token[b->row + i], base, &lo, &hi);
        if (j->cap != 0.0f)
            cap_scores(row, begin, end, j->cap);
        mask(row, begin, end, lo, hi);
        r->max[b->row + i] = top_of(row, begin, end);
    }
    for (uint32_t i = 0; i < b->n; i++)
        r->sum[b->row + i] = weigh(s + (size_t)i * S_PITCH, begin, end, r->max[b->row + i]);
}

/* Sums of rows [begin, end), which follow one another from block to block. */
static void add_rows(const row_facts_t *r, uint32_t begin, uint32_t end, const float *sums,
                     float *o, uint32_t o_pitch)
{
    for (uint32_t m = begin; m < end; m++, sums += PANEL)
        for (uint32_t d = 0; d < PANEL; d += LLS_VL) {
            float  *to = o + (size_t)m * o_pitch + d;
            lls_v_t keep = lls_v_set(r->keep[m]), add = lls_v_set(r->add[m]);
            lls_v_store(to, lls_v_fma(lls_v_mul(keep, lls_v_load(to)), add,
                                      lls_v_load(sums + d)));
        }
}

/* Of rows [begin, end) of n blocks from `first` on, which see tokens [lo, hi), as far as v has
 * them. */
static void values(const lls_attend_job_t *j, const workspace_t *w, const view_t *v,
                   uint32_t first, uint32_t n, const row_block_t *rows, float *o)
{
    uint32_t      bt = j->kv.block_tokens, begin = rows->lo / PANEL;
    float         sums[2 * ROWS * PANEL];
    product_t     x = { .pitch = S_PITCH * sizeof(float), .next = 128, .b_pitch = 128,
                        .n = lls_ceil_div(rows->hi, PANEL) - begin, .n_ahead = PANEL / 2,
                        .c = { sums, sums + ROWS * PANEL }, .c_pitch = 128 };

    x.a[0] = (const uint8_t *)(w->s + begin * PANEL);
    x.a[1] = (const uint8_t *)(w->s + ROWS * S_PITCH + begin * PANEL);
    for (uint32_t d = 0; d < w->steps; d++) {
        for (uint32_t i = 0; i < x.n; i++) {
            uint32_t t = (begin + i) * PANEL;
            size_t   at = lls_kv_v_at(&j->kv, t % bt, d * 32);
            bool     whole = is_whole(j, v, t);
            x.b[i][0] = whole ? v->page[t / bt] + at
                              : w->v + ((size_t)d * PANELS + begin + i) * STEP;
            x.b[i][1] = x.b[i][0] + 64;
            x.ahead[i] = w->few && bt >= PANEL ? v->next[t / bt] + at - j->kv.v_offset : NULL;
        }
        multiply(&x, n);
        add_rows(&v->row, rows->row, rows->row + rows->n,
                 sums + (rows->row - first * ROWS) * PANEL, o + d * 32, j->kv.padded_dim);
    }
}

/* The same where weights of 0 are not enough: with zeros for what a token does not see. */
static void values_one_by_one(const lls_attend_job_t *j, const workspace_t *w, uint32_t first,
                              uint32_t n, const row_block_t *rows, uint32_t pos, uint32_t base,
                              float *o)
{
    view_t      v = w->view;
    row_block_t b;

    for (uint32_t m = rows->row; m < rows->row + rows->n; m += b.n) {
        b = rows_of_token(j, &v, m, rows->row + rows->n - m, pos, base);
        v.lo = b.lo;
        v.hi = b.hi;
        if (b.lo >= b.hi)
            continue;
        copy_v(j, w, &v);
        values(j, w, &v, first, n, &b, o);
    }
}

/* With few rows V is looked at behind the scores, when it has been fetched. */
static void prepare_values(const lls_attend_job_t *j, workspace_t *w, const lls_attend_item_t *item,
                           uint32_t pos, uint32_t base)
{
    w->spoilt = is_spoilt(j, &w->view, item, pos, base);
    if (!w->spoilt)
        copy_v(j, w, &w->view);
}

static void blocks(const lls_attend_job_t *j, workspace_t *w, const lls_attend_item_t *item,
                   uint32_t first, uint32_t pos, uint32_t base, float *total)
{
    view_t      *v = &w->view;
    row_block_t *b = &v->blocks[first], both;
    uint32_t     n = lls_min_u32(2, v->n_blocks - first);
    float       *o = lls_attend_o(total, v->rows);

    both = see_together(b, n);
    if (both.lo >= both.hi)
        return;
    scores(j, w, first, n, both.lo, both.hi);
    for (uint32_t i = 0; i < n; i++)
        weights(j, w, &b[i], pos, base, both.lo / PANEL * PANEL, lls_align_up(both.hi, PANEL),
                w->s + i * ROWS * S_PITCH);
    take_in(v, both.row, both.n, total);
    if (w->few)
        prepare_values(j, w, item, pos, base);
    if (w->spoilt)
        values_one_by_one(j, w, first, n, &both, pos, base, o);
    else
        values(j, w, v, first, n, &both, o);
}

static void tile(const lls_attend_job_t *j, void *work, const lls_attend_item_t *item,
                 uint32_t tile, const lls_attend_item_t *after, float *total)
{
    workspace_t *w = work;
    view_t      *v = &w->view;
    uint32_t     pos = lls_attend_position(j, item), base = tile * LLS_ATTEND_TILE;

    look(j, v, pos, base);
    if (v->lo >= v->hi)
        return;
    find_pages(j, v, item, tile);
    if (w->few)
        find_next(j, v, item, tile, after);
    else
        prepare_values(j, w, item, pos, base);
    if (copies_k(j))
        copy_k(j, w);
    begin_tiles(lls_min_u32(v->rows, ROWS));
    for (uint32_t i = 0; i < v->n_blocks; i += 2)
        blocks(j, w, item, i, pos, base, total);
    end_tiles();
}

const lls_attend_kernels_t lls_attend_amx = { work_bytes, load, tile, merge, scale,
                                              lls_kv_narrow };

#endif
