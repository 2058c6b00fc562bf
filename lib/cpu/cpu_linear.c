/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear and expert_linear: rows are packed in chunks, then multiplied with the panels, both by
 * the whole team.  K is never split, and an item is whole columns, so neither the number of threads
 * nor the cut into chunks and blocks shows in the result.
 */
#include <string.h>

#include "base/carve.h"
#include "cpu/cpu_linear_int.h"
#include "sample/sample_kernels.h"

#define CHUNK_BYTES (3u << 19)      /* of packed float32: rows of int8 stay in a core's L2 */
#define MIN_CHUNK   64u
#define MAX_CHUNK   256u
/* values of k that go through all rows before the next: widened, they stay in the nearest cache */
#define K_BLOCK     768u
#define TILE_K      288u            /* the same of tiles of bfloat16 */
#define TILE8_K     2048u           /* and of int8, whose turns are too short to notice */
#define TILES_FROM  56u             /* rows that are worth tiles of int8 */
#define SLICE       256u            /* values of widened k between two times of asking for lines */
#define WIDE_BYTES  (TILE8_K / LLS_GROUP * 1280u)   /* of the kind that takes most */

/* ---- Multiplying ----------------------------------------------------------------------------- */

/* Copies by vectors: a memcpy of this size becomes a string instruction, which is slow to start. */
typedef float quad_t __attribute__((vector_size(16), aligned(4), may_alias));

static inline void store_columns(const float *tile, const float *bias, bool accumulate, uint32_t n,
                                 float *out)
{
    uint32_t i = 0;

    for (; i + 4 <= n; i += 4) {
        quad_t v = *(const quad_t *)(tile + i);

        if (bias != NULL)
            v += *(const quad_t *)(bias + i);
        if (accumulate)
            v += *(const quad_t *)(out + i);
        *(quad_t *)(out + i) = v;
    }
    for (; i < n; i++) {
        float v = bias != NULL ? tile[i] + bias[i] : tile[i];

        out[i] = accumulate ? v + out[i] : v;
    }
}

void lls_linear_store_row(const linear_job_t *j, const float *tile, uint32_t column, uint32_t n,
                          float *out)
{
    const float *bias = j->p->bias != NULL ? j->p->bias + column : NULL;

    if (n == LLS_PANEL && j->isa.store != NULL)
        j->isa.store(tile, bias, j->p->accumulate, out);
    else if (n == LLS_PANEL)
        store_columns(tile, bias, j->p->accumulate, LLS_PANEL, out);
    else
        store_columns(tile, bias, j->p->accumulate, n, out);
}

/* Onto the tile's first mr rows those that follow. */
static void add_planes(uint32_t mr, float *tile)
{
    for (uint32_t i = 0; i < mr * LLS_PANEL; i++)
        tile[i] += tile[mr * LLS_PANEL + i];
}

/* To `out`, where the stores drain beside the products of the next block. */
static void store_rows(const panel_job_t *p, uint32_t panel, uint32_t m0, uint32_t mr, float *tile)
{
    uint32_t column = panel * LLS_PANEL, n = lls_min_u32(LLS_PANEL, p->seg->n - column);

    column += p->seg->first;
    for (uint32_t i = 0; i < mr; i++)
        lls_linear_store_row(p->j, tile + (size_t)i * LLS_PANEL, column, n,
                             lls_row_f32(p->j->out, lls_linear_out_row(p->j, m0 + i)) + column);
}

static void store_rows_and_peaks(const panel_job_t *p, uint32_t panel, uint32_t m0, uint32_t mr,
                                 float *tile)
{
    const linear_job_t *j = p->j;
    uint32_t column = panel * LLS_PANEL, block = column / LLS_SAMPLE_BLOCK;

    store_rows(p, panel, m0, mr, tile);
    j->rows->peaks(lls_row_f32(j->out, m0) + column, j->out->stride[0],
                   lls_min_u32(LLS_PANEL, p->seg->n - column), mr, column % LLS_SAMPLE_BLOCK == 0,
                   lls_row_f32(j->peaks, m0) + block * 16, j->peaks->stride[0]);
}

/* Rows that store_rows() will write.  Inlined, for gcc drops calls that do nothing but this. */
static inline __attribute__((always_inline)) void
prefetch_rows(const panel_job_t *p, uint32_t panel, uint32_t begin, uint32_t end)
{
    uint32_t column = p->seg->first + panel * LLS_PANEL;

    for (uint32_t m = begin; m < end; m++) {
        const float *out = lls_row_f32(p->j->out, lls_linear_out_row(p->j, m)) + column;

        __builtin_prefetch(out, 0, 2);
        __builtin_prefetch(out + LLS_PANEL / 2, 0, 2);
    }
}

/* Steps [s, s + n) of a panel, plain or widened. */
typedef struct steps {
    const uint8_t  *w;
    size_t          w_bytes;        /* of a step */
    lls_multiply_fn multiply;
    uint32_t        panel, s, n, slice;
    const uint8_t  *next;           /* weights that are widened after these */
    uint32_t        n_ahead;        /* lines of them in each slice */
} steps_t;

/* Cuts the products with n_blocks of rows into slices, which bring the weights behind `next`:
 * widening itself would only wait for them. */
static void slice_steps(steps_t *t, uint32_t kind, uint32_t n_blocks)
{
    t->slice = lls_max_u32(SLICE / lls_kind_step(kind), 1);
    t->n_ahead = lls_ceil_div(t->n * lls_kind_step_bytes(kind) / 64,
                              n_blocks * lls_ceil_div(t->n, t->slice));
}

static inline __attribute__((always_inline)) void prefetch_weights(steps_t *t)
{
    for (uint32_t i = 0; i < t->n_ahead; i++, t->next += 64)
        __builtin_prefetch(t->next, 0, 2);
}

/* With the rows from m0.  Before the last steps the lines that the rows go to are asked for, a few
 * in each slice: all at once would make the products wait. */
static void multiply_block(const panel_job_t *p, steps_t *t, uint32_t m0, uint32_t mr, float *tile)
{
    uint32_t       step = lls_kind_step(p->seg->kind), n_rows = mr * lls_form_planes(p->form);
    const uint8_t *acts = p->acts;

    acts += lls_acts_at(p->form, p->n_acts, m0 - p->cut.begin, mr, t->s * step);
    for (uint32_t k = 0, n; k < t->n; k += n) {
        n = lls_min_u32(t->slice, t->n - k);
        prefetch_weights(t);
        if (t->s + t->n == p->seg->n_steps && p->j->out != NULL)
            prefetch_rows(p, t->panel, m0 + mr * k / t->n, m0 + mr * (k + n) / t->n);
        t->multiply(acts, t->w + k * t->w_bytes, n, n_rows, t->s + k == 0, tile);
        acts += lls_acts_at(p->form, 0, 0, mr, n * step);
    }
}

/* Steps [s, s + n) of a panel with all blocks of rows. */
static void multiply_steps(const panel_job_t *p, uint32_t panel, uint32_t s, uint32_t n)
{
    const lls_linear_isa_t *isa = &p->j->isa;
    uint32_t                kind = p->seg->kind, planes = lls_form_planes(p->form);
    steps_t                 t = { .w = lls_wmat_panel(p->j->p->w, p->seg, panel),
                                  .w_bytes = lls_kind_step_bytes(kind),
                                  .multiply = isa->multiply[kind],
                                  .panel = panel, .s = s, .n = n, .slice = n };
    bool                    in_turn = n == p->seg->n_steps && !p->keeps;

    t.w += s * t.w_bytes;
    if (isa->widen[kind] != NULL && p->cut.n >= isa->widen_from) {
        t.next = s + n == p->seg->n_steps && p->next != NULL ? p->next : t.w + n * t.w_bytes;
        t.w_bytes = isa->widen[kind](t.w, n, p->wide);
        t.w = p->wide;
        t.multiply = isa->multiply_wide[kind];
        slice_steps(&t, kind, p->cut.n);
    }
    for (uint32_t i = 0; i < p->cut.n; i++) {
        uint32_t m0 = lls_block_start(&p->cut, i), mr = lls_block_start(&p->cut, i + 1) - m0;
        float   *tile = p->tile;

        if (!in_turn)
            tile += (size_t)i * isa->max_rows[lls_form_of_kernel(p->form)] * LLS_PANEL;
        multiply_block(p, &t, m0, mr, tile);
        if (s + n < p->seg->n_steps)
            continue;
        if (planes == 2)
            add_planes(mr, tile);
        p->store(p, panel, m0, mr, tile);
    }
}

static uint32_t k_block(uint32_t form)
{
    if (form == LLS_FORM_TILE8)
        return TILE8_K;
    return lls_form_is_tiles(form) ? TILE_K : K_BLOCK;
}

void lls_linear_panel(const panel_job_t *p, uint32_t panel)
{
    uint32_t k = lls_kind_step(p->seg->kind), n = p->seg->n_steps;
    uint32_t n_blocks = lls_ceil_div(n * k, lls_max_u32(k_block(p->form), k));
    uint32_t step = lls_align_up(lls_ceil_div(n * k, n_blocks), lls_max_u32(LLS_GROUP, k)) / k;

    for (uint32_t s = 0; s < n; s += step)
        multiply_steps(p, panel, s, lls_min_u32(step, n - s));
}

/* Panels of segment i that meet the chunk's rows of a run. */
static uint32_t n_panels_of(const chunk_t *c, const lls_wseg_t *seg)
{
    return c->j->isa.form[seg->kind] == c->form ? lls_wseg_n_panels(seg) : 0;
}

panel_job_t lls_linear_panel_job(const linear_job_t *j, uint32_t ith)
{
    return (panel_job_t){ .j = j, .form = LLS_N_FORMS,
                          .store = j->peaks != NULL ? store_rows_and_peaks : store_rows,
                          .tile = j->tiles + ith * lls_linear_tile_floats(j),
                          .wide = j->wide + (size_t)ith * WIDE_BYTES };
}

void lls_linear_set_form(panel_job_t *p, uint32_t form)
{
    if (form == p->form)
        return;
    if (lls_form_is_tiles(p->form))
        p->j->isa.end_tiles();
    if (lls_form_is_tiles(form))
        p->j->isa.begin_tiles(form, p->j->n_rows);
    p->form = form;
}

static void multiply_item(void *arg, uint32_t item, uint32_t ith)
{
    const chunk_t      *c = arg;
    const linear_job_t *j = c->j;
    panel_job_t         p = lls_linear_panel_job(j, ith);
    uint32_t            at = 0, begin, end;

    lls_share(c->n_panels, j->peaks != NULL ? LLS_SAMPLE_BLOCK / LLS_PANEL : 1, item, c->n_items,
              &begin, &end);
    lls_linear_set_form(&p, c->form);
    p.n_acts = lls_linear_n_acts(j, c->form);
    for (uint32_t r = 0; r < j->n_runs && at < end; r++) {
        p.cut = lls_linear_cut(&j->runs[r], c->first, c->end, lls_linear_max_rows(j, c->form));
        p.acts = lls_linear_acts(j, c->first, &p.cut);
        p.seg = lls_wmat_segs(j->p->w, j->runs[r].expert);
        for (uint32_t i = 0; p.cut.n > 0 && i < j->p->w->n_segs && at < end; i++, p.seg++) {
            uint32_t n = n_panels_of(c, p.seg), stop = lls_min_u32(end - at, n);

            for (uint32_t panel = lls_sub_u32(begin, at); panel < stop; panel++)
                lls_linear_panel(&p, panel);
            at += n;
        }
    }
    lls_linear_set_form(&p, LLS_N_FORMS);
}

/* ---- The op ---------------------------------------------------------------------------------- */

/* Panels of all runs with rows in the chunk. */
static uint32_t count_panels(const chunk_t *c)
{
    const linear_job_t *j = c->j;
    uint32_t            n = 0;

    for (uint32_t r = 0; r < j->n_runs; r++) {
        const lls_wseg_t *seg = lls_wmat_segs(j->p->w, j->runs[r].expert);
        bool              meets = lls_run_meets(&j->runs[r], c->first, c->end);

        for (uint32_t i = 0; meets && i < j->p->w->n_segs; i++)
            n += n_panels_of(c, &seg[i]);
    }
    return n;
}

static void run_chunk(chunk_t *c)
{
    const lls_cpu_t *cpu = c->j->cpu;

    c->n_panels = count_panels(c);
    if (c->n_panels == 0)
        return;
    if (c->j->in != NULL)
        lls_linear_pack(c);
    c->n_items = lls_cpu_n_panel_items(cpu, c->n_panels);
    lls_pool_run(cpu->pool, c->n_items, multiply_item, c);
}

void lls_linear_run(const linear_job_t *j)
{
    chunk_t c = { .j = j };

    for (c.form = 0; c.form < LLS_N_FORMS; c.form++)
        for (c.first = 0; c.first < j->n_rows; c.first = c.end) {
            c.end = c.first + lls_min_u32(j->chunk, j->n_rows - c.first);
            run_chunk(&c);
        }
}

static uint32_t chunk_rows(const linear_job_t *j, uint32_t in)
{
    uint32_t n = CHUNK_BYTES / (4 * lls_max_u32(in, 1)), most = MAX_CHUNK;

    if (j->isa.begin_tiles != NULL) {       /* of bfloat16 */
        n *= 2;
        most *= 2;
    }
    /* Whole blocks of tiles. */
    return lls_min_u32(j->n_rows, n < MIN_CHUNK ? MIN_CHUNK : lls_min_u32(n, most) / 32 * 32);
}

size_t lls_linear_place(linear_job_t *j, uint32_t in, uint8_t *base)
{
    lls_carver_t c = { .base = base, .align = 64 };
    uint32_t     nth = j->cpu->n_threads;

    j->chunk = chunk_rows(j, in);
    j->acts = lls_carve(&c, lls_linear_acts_bytes(j->chunk, in), 1);
    j->tiles = lls_carve(&c, nth * lls_linear_tile_floats(j), sizeof *j->tiles);
    j->wide = lls_carve(&c, nth, WIDE_BYTES);
    return c.used;
}

/* w: NULL while planning, when all tables are the same.  n_rows: that meet one matrix, on
 * average. */
static lls_linear_isa_t kernels_of(uint32_t isa, const lls_wmat_t *w, uint32_t n_rows)
{
#if defined(__x86_64__)
    lls_linear_isa_t k;

    if (isa == LLS_ISA_AVX2)
        return lls_linear_avx2;
    if (isa == LLS_ISA_AVXVNNI)
        return lls_linear_avxvnni;
    if (isa == LLS_ISA_PLAIN)
        return lls_linear_plain;
    k = lls_linear_avx512;
    lls_linear_use_products(&k);
    if (lls_isa_has_tiles(isa))
        lls_linear_use_tiles(&k);
    if (isa == LLS_ISA_AMX && (w == NULL || w->fits_f16))
        lls_linear_use_wide_tiles(&k);
    else if (lls_isa_has_tiles(isa) && n_rows >= TILES_FROM)
        lls_linear_use_int8_tiles(&k);
    if (isa == LLS_ISA_AVX512BF16) {
        k.max_rows[LLS_FORM_BF16] = lls_linear_avx512bf16.max_rows;
        k.fill[LLS_FORM_BF16] = lls_linear_avx512bf16.fill;
        k.form[LLS_W_BF16] = LLS_FORM_BF16;
        k.multiply[LLS_W_BF16] = lls_linear_avx512bf16.multiply;
    }
    return k;
#elif defined(__aarch64__)
    if (isa == LLS_ISA_NEONI8MM)
        return lls_linear_neoni8mm;
    if (isa == LLS_ISA_NEONDOTPROD)
        return lls_linear_neondotprod;
    return isa == LLS_ISA_NEON ? lls_linear_neon : lls_linear_plain;
#else
    return lls_linear_plain;
#endif
}

void lls_linear_choose(linear_job_t *j)
{
    j->isa = kernels_of(j->cpu->isa, j->p->w, j->n_rows / j->n_runs);
}

linear_job_t lls_linear_job(lls_exec_t *x, lls_out_t out, lls_in_t in, const lls_linear_t *p)
{
    const lls_cpu_t *cpu = lls_cpu_of(x);

    return (linear_job_t){ .isa = kernels_of(cpu->isa, p->w, out->shape[0]), .cpu = cpu, .p = p,
                           .in = in, .out = out, .in_share = 1, .n_rows = out->shape[0] };
}

static void run_linear(lls_exec_t *x, lls_out_t out, lls_tensor_t *peaks, lls_in_t in,
                       const lls_linear_t *p)
{
    linear_job_t j = lls_linear_job(x, out, in, p);
    run_t        run = { .end = j.n_rows };
    uint8_t     *base = lls_scratch(x, lls_linear_place(&j, p->in, NULL));

    if (x->planning || j.n_rows == 0)
        return;
    lls_assert(p->w->in == p->in && p->w->out == p->out && in->shape[0] == out->shape[0]);
    lls_linear_place(&j, p->in, base);
    j.runs = &run;
    j.n_runs = 1;
    j.peaks = peaks;
    j.rows = lls_row_kernels(j.cpu->isa);
    lls_linear_run(&j);
}

void lls_cpu_linear(lls_exec_t *x, lls_out_t out, lls_in_t in, const lls_linear_t *p)
{
    run_linear(x, out, NULL, in, p);
}

/* A block of peaks is made by one thread, panel after panel. */
void lls_cpu_linear_peaks(lls_exec_t *x, lls_out_t out, lls_out_t peaks, lls_in_t in,
                          const lls_linear_t *p)
{
    lls_assert(x->planning || p->w->n_segs == 1);
    run_linear(x, out, peaks, in, p);
}

/* ---- Experts --------------------------------------------------------------------------------- */

/* One stable pass over a byte of the ids. */
static void sort_pass(const int32_t *ids, uint32_t n, uint32_t shift, const uint32_t *from,
                      uint32_t *to)
{
    uint32_t count[257] = { 0 };

    for (uint32_t i = 0; i < n; i++)
        count[(ids[i] >> shift & 255) + 1]++;
    for (uint32_t b = 0; b < 256; b++)
        count[b + 1] += count[b];
    for (uint32_t i = 0; i < n; i++)
        to[count[ids[from[i]] >> shift & 255]++] = from[i];
}

/* order = pairs by expert, within an expert as they come; tmp likewise [n].  Returns the number of
 * runs: at most n, so that the scratch depends on n alone. */
static uint32_t group_by_expert(const int32_t *ids, uint32_t n, uint32_t *order, uint32_t *tmp,
                                run_t *runs)
{
    uint32_t n_runs = 0;

    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    sort_pass(ids, n, 0, order, tmp);
    sort_pass(ids, n, 8, tmp, order);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t expert = (uint32_t)ids[order[i]];

        if (n_runs == 0 || runs[n_runs - 1].expert != expert)
            runs[n_runs++] = (run_t){ .expert = expert, .begin = i };
        runs[n_runs - 1].end = i + 1;
    }
    return n_runs;
}

void lls_linear_order(linear_job_t *j, lls_in_t ids, uint8_t *base)
{
    run_t    *runs = (run_t *)base;
    uint32_t *order = (uint32_t *)(runs + j->n_rows), *tmp = order + j->n_rows;

    lls_assert(ids->shape[0] * ids->shape[1] == j->n_rows && j->n_rows % j->in->shape[0] == 0);
    lls_assert(ids->stride[0] == ids->shape[1]);
    j->in_share = j->n_rows / j->in->shape[0];
    j->order = order;
    j->runs = runs;
    j->n_runs = group_by_expert(ids->data, j->n_rows, order, tmp, runs);
    lls_linear_choose(j);
}

void lls_cpu_expert_linear(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids,
                           const lls_linear_t *p)
{
    linear_job_t j = lls_linear_job(x, out, in, p);
    size_t       list = lls_linear_order_bytes(j.n_rows);
    uint8_t     *base = lls_scratch(x, list + lls_linear_place(&j, p->in, NULL));

    if (x->planning || j.n_rows == 0)
        return;
    lls_assert(p->w->in == p->in && p->w->out == p->out);
    lls_linear_order(&j, ids, base);
    lls_linear_place(&j, p->in, base + list);
    lls_linear_run(&j);
}
