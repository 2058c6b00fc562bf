/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear and expert_linear: rows are packed in chunks, then multiplied with the panels, both by
 * the whole team.  K is never split, and an item is whole columns, so neither the number of threads
 * nor the cut into chunks and blocks shows in the result.
 */
#include <math.h>
#include <string.h>

#include "base/carve.h"
#include "cpu/cpu_int.h"
#include "cpu/cpu_linear.h"

#define CHUNK_BYTES (3u << 19)      /* of packed float32: rows of int8 stay in a core's L2 */
#define MIN_CHUNK   64u
#define MAX_CHUNK   512u
/* values of k that go through all rows before the next: widened, they stay in the nearest cache */
#define K_BLOCK     768u
#define TILE_K      2048u           /* the same of tiles, whose turns are too short to notice */
#define OVER_BYTES  1024u           /* behind the packed rows, for kernels that read 16 at a time */
#define TILES_FROM  56u             /* rows that are worth tiles of int8 */
#define SLICE       256u            /* values of widened k between two times of asking for lines */
#define FILL_UNIT   32u             /* values of k: what filling is shared out by */
#define FILL_ITEM   4096u           /* values that are worth another thread */
#define WIDE_BYTES  (TILE_K / LLS_GROUP * 1280u)   /* of the kind that takes most */

/* Rows [begin, end) that meet one expert. */
typedef struct run {
    uint32_t expert, begin, end;
} run_t;

typedef struct linear_job {
    lls_linear_isa_t        isa;
    const lls_cpu_t        *cpu;
    const lls_linear_t     *p;
    const lls_tensor_t     *in;
    lls_tensor_t           *out;
    const uint32_t         *order;      /* [n_rows]: row of `out`; NULL = as they come */
    uint32_t                in_share;   /* rows of `out` that one row of `in` serves */
    const run_t            *runs;
    uint32_t                n_runs, n_rows, chunk;
    uint8_t                *acts;       /* packed rows of a chunk */
    uint8_t                *wide;       /* WIDE_BYTES a member */
    float                  *tiles;      /* [2 chunk][32] a member */
} linear_job_t;

/* Rows that are packed together, in a form. */
typedef struct chunk {
    const linear_job_t *j;
    uint32_t            form, first, end;
    uint32_t            n_items, n_panels;
} chunk_t;

/* The rows of a run that lie in a chunk, cut into n blocks of equal size or nearly. */
typedef struct cut {
    uint32_t expert, begin, end, n;
} cut_t;

static cut_t cut_run(const run_t *r, uint32_t first, uint32_t end, uint32_t max_rows)
{
    cut_t c = { .expert = r->expert, .begin = lls_max_u32(r->begin, first),
                .end = lls_min_u32(r->end, end) };

    c.n = c.begin < c.end ? lls_ceil_div(c.end - c.begin, max_rows) : 0;
    return c;
}

static uint32_t block_start(const cut_t *c, uint32_t i)
{
    return c->begin + (c->end - c->begin) * i / c->n;
}

static uint32_t out_row(const linear_job_t *j, uint32_t row)
{
    return j->order != NULL ? j->order[row] : row;
}

/* ---- Packing rows ---------------------------------------------------------------------------- */

/* Where block [m0, m0 + mr) of a chunk has its step at k. */
static size_t acts_at(uint32_t form, uint32_t n_steps, uint32_t m0, uint32_t mr, uint32_t k)
{
    return ((size_t)m0 * n_steps + (size_t)(k / lls_form_step(form)) * mr) *
           lls_form_bytes(form) * lls_form_planes(form);
}

static uint32_t max_rows_of(const linear_job_t *j, uint32_t form)
{
    return j->isa.max_rows[lls_form_of_kernel(form)] / lls_form_planes(form);
}

typedef struct fill_job {
    const chunk_t *c;
    uint32_t       n_steps;
    uint64_t       begin, end;      /* units of this item: by rows, FILL_UNIT values each */
} fill_job_t;

/* What the int8 of row m in a group leave of x becomes row mr + m of the block of 2 mr. */
static void fill_rest(bool pairs, const float *x, uint32_t mr, uint32_t m, uint8_t *group)
{
    int32_t sums[2] = { 0, 0 };
    float   scale, inverse;

    memcpy(&scale, group + (64 * mr + 4 * m), sizeof scale);
    inverse = lls_q15_inverse(scale);
    for (uint32_t i = 0; i < LLS_GROUP; i++) {
        size_t  at = 4 * lls_q8_word_at(pairs, 2 * mr, i / 4, m) + i % 4;
        float   rest = inverse != 0 ? x[i] - scale * (float)(int8_t)group[at] : 0.0f;
        int32_t q = (int32_t)lrintf(rest * inverse);

        q = q < 127 ? q : 127;
        group[4 * lls_q8_word_at(pairs, 2 * mr, i / 4, mr + m) + i % 4] = (uint8_t)q;
        sums[i / 16] += q;
    }
    lls_put_q8_row(group, true, 2 * mr, mr + m, scale * (1.0f / 256.0f), sums[0], sums[1]);
}

/* Rows m and mr + m of a block of 2 mr. */
static void fill_planes(const lls_linear_isa_t *isa, const float *x, uint32_t n, uint32_t mr,
                        uint32_t m, uint8_t *acts)
{
    for (; n > 0; n -= LLS_GROUP, x += LLS_GROUP) {
        isa->fill[LLS_FORM_Q8H](x, LLS_GROUP, 2 * mr, m, acts);
        fill_rest(isa->word_pairs, x, mr, m, acts);
        acts += (size_t)lls_form_bytes(LLS_FORM_Q8H2) * 2 * mr;
    }
}

static void fill_row(const fill_job_t *f, uint32_t row, uint32_t m0, uint32_t mr)
{
    const linear_job_t *j = f->c->j;
    uint32_t     in = j->p->in, n_units = lls_ceil_div(in, FILL_UNIT), form = f->c->form;
    uint64_t     first = (uint64_t)(row - f->c->first) * n_units;
    uint64_t     b = lls_max_u64(f->begin, first), e = lls_min_u64(f->end, first + n_units);
    uint32_t     k0, k1;
    const float *x = lls_row_f32(j->in, out_row(j, row) / j->in_share);
    lls_fill_fn  fill = j->isa.fill[lls_form_of_kernel(form)];
    uint8_t     *acts = j->acts;

    if (b >= e)
        return;
    k0 = (uint32_t)(b - first) * FILL_UNIT;
    k1 = lls_min_u32((uint32_t)(e - first) * FILL_UNIT, in);
    acts += acts_at(form, f->n_steps, m0 - f->c->first, mr, k0);
    if (lls_form_planes(form) == 2)
        fill_planes(&j->isa, x + k0, k1 - k0, mr, row - m0, acts);
    else
        fill(x + k0, k1 - k0, mr, row - m0, acts);
}

static void fill_item(void *arg, uint32_t item, uint32_t ith)
{
    const chunk_t      *c = arg;
    const linear_job_t *j = c->j;
    uint64_t   units = (uint64_t)(c->end - c->first) * lls_ceil_div(j->p->in, FILL_UNIT);
    fill_job_t f = { .c = c, .n_steps = lls_ceil_div(j->p->in, lls_form_step(c->form)),
                     .begin = units * item / c->n_items, .end = units * (item + 1) / c->n_items };

    for (uint32_t r = 0; r < j->n_runs; r++) {
        cut_t cut = cut_run(&j->runs[r], c->first, c->end, max_rows_of(j, c->form));

        for (uint32_t i = 0; i < cut.n; i++) {
            uint32_t m0 = block_start(&cut, i), mr = block_start(&cut, i + 1) - m0;

            for (uint32_t row = m0; row < m0 + mr; row++)
                fill_row(&f, row, m0, mr);
        }
    }
}

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

/* Adds what belongs to the result beside the product. */
static void store_row(const linear_job_t *j, const float *tile, uint32_t column, uint32_t n,
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

typedef struct panel_job {
    const linear_job_t *j;
    const lls_wseg_t   *seg;
    const uint8_t      *acts;       /* of the chunk's first row */
    uint32_t            form, chunk_first;
    uint32_t            n_acts;     /* steps of a row of acts */
    cut_t               cut;
    float              *tile;       /* of the cut's first row */
    uint8_t            *wide;
} panel_job_t;

/* Onto the tile's first mr rows those that follow. */
static void add_planes(uint32_t mr, float *tile)
{
    for (uint32_t i = 0; i < mr * LLS_PANEL; i++)
        tile[i] += tile[mr * LLS_PANEL + i];
}

/* Rows [m0, m0 + mr) of a panel that is complete, while they are still in a near cache: the stores
 * then drain beside the products of the next block. */
static void store_rows(const panel_job_t *p, uint32_t panel, uint32_t m0, uint32_t mr,
                       const float *tile)
{
    uint32_t column = panel * LLS_PANEL, n = lls_min_u32(LLS_PANEL, p->seg->n - column);

    column += p->seg->first;
    for (uint32_t i = 0; i < mr; i++)
        store_row(p->j, tile + (size_t)i * LLS_PANEL, column, n,
                  lls_row_f32(p->j->out, out_row(p->j, m0 + i)) + column);
}

/* Rows that store_rows() will write.  Inlined, for gcc drops calls that do nothing but this. */
static inline __attribute__((always_inline)) void
prefetch_rows(const panel_job_t *p, uint32_t panel, uint32_t begin, uint32_t end)
{
    uint32_t column = p->seg->first + panel * LLS_PANEL;

    for (uint32_t m = begin; m < end; m++) {
        const float *out = lls_row_f32(p->j->out, out_row(p->j, m)) + column;

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

    acts += acts_at(p->form, p->n_acts, m0 - p->chunk_first, mr, t->s * step);
    for (uint32_t k = 0, n; k < t->n; k += n) {
        n = lls_min_u32(t->slice, t->n - k);
        prefetch_weights(t);
        if (t->s + t->n == p->seg->n_steps)
            prefetch_rows(p, t->panel, m0 + mr * k / t->n, m0 + mr * (k + n) / t->n);
        t->multiply(acts, t->w + k * t->w_bytes, n, n_rows, t->s + k == 0, tile);
        acts += acts_at(p->form, 0, 0, mr, n * step);
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

    t.w += s * t.w_bytes;
    if (isa->widen[kind] != NULL && p->cut.n >= isa->widen_from) {
        t.next = t.w + n * t.w_bytes;
        t.w_bytes = isa->widen[kind](t.w, n, p->wide);
        t.w = p->wide;
        t.multiply = isa->multiply_wide[kind];
        slice_steps(&t, kind, p->cut.n);
    }
    for (uint32_t i = 0; i < p->cut.n; i++) {
        uint32_t m0 = block_start(&p->cut, i), mr = block_start(&p->cut, i + 1) - m0;
        float   *tile = p->tile + (size_t)(m0 - p->cut.begin) * planes * LLS_PANEL;

        multiply_block(p, &t, m0, mr, tile);
        if (s + n < p->seg->n_steps)
            continue;
        if (planes == 2)
            add_planes(mr, tile);
        store_rows(p, panel, m0, mr, tile);
    }
}

static void multiply_panel(const panel_job_t *p, uint32_t panel)
{
    uint32_t step = (lls_form_is_tiles(p->form) ? TILE_K : K_BLOCK) / lls_kind_step(p->seg->kind);

    for (uint32_t s = 0; s < p->seg->n_steps; s += step)
        multiply_steps(p, panel, s, lls_min_u32(step, p->seg->n_steps - s));
}

/* Panels of segment i that meet the chunk's rows of a run. */
static uint32_t n_panels_of(const chunk_t *c, const lls_wseg_t *seg)
{
    return c->j->isa.form[seg->kind] == c->form ? lls_wseg_n_panels(seg) : 0;
}

static void multiply_item(void *arg, uint32_t item, uint32_t ith)
{
    const chunk_t      *c = arg;
    const linear_job_t *j = c->j;
    panel_job_t         p = { .j = j, .acts = j->acts, .form = c->form, .chunk_first = c->first,
                              .n_acts = lls_ceil_div(j->p->in, lls_form_step(c->form)),
                              .tile = j->tiles + (size_t)ith * 2 * j->chunk * LLS_PANEL,
                              .wide = j->wide + (size_t)ith * WIDE_BYTES };
    uint32_t            at = 0, begin, end;

    lls_share(c->n_panels, 1, item, c->n_items, &begin, &end);
    if (lls_form_is_tiles(c->form))
        j->isa.begin_tiles(c->form);
    for (uint32_t r = 0; r < j->n_runs && at < end; r++) {
        p.cut = cut_run(&j->runs[r], c->first, c->end, max_rows_of(j, c->form));
        p.seg = lls_wmat_segs(j->p->w, j->runs[r].expert);
        for (uint32_t i = 0; p.cut.n > 0 && i < j->p->w->n_segs && at < end; i++, p.seg++) {
            uint32_t n = n_panels_of(c, p.seg), stop = lls_min_u32(end - at, n);

            for (uint32_t panel = lls_sub_u32(begin, at); panel < stop; panel++)
                multiply_panel(&p, panel);
            at += n;
        }
    }
    if (lls_form_is_tiles(c->form))
        j->isa.end_tiles();
}

/* ---- The op ---------------------------------------------------------------------------------- */

/* Panels of all runs with rows in the chunk. */
static uint32_t count_panels(const chunk_t *c)
{
    const linear_job_t *j = c->j;
    uint32_t            n = 0;

    for (uint32_t r = 0; r < j->n_runs; r++) {
        const lls_wseg_t *seg = lls_wmat_segs(j->p->w, j->runs[r].expert);
        bool              meets = j->runs[r].begin < c->end && j->runs[r].end > c->first;

        for (uint32_t i = 0; meets && i < j->p->w->n_segs; i++)
            n += n_panels_of(c, &seg[i]);
    }
    return n;
}

static void run_chunk(chunk_t *c)
{
    const lls_cpu_t *cpu = c->j->cpu;
    uint64_t         values = (uint64_t)(c->end - c->first) * c->j->p->in;

    c->n_panels = count_panels(c);
    if (c->n_panels == 0)
        return;
    c->n_items = (uint32_t)lls_min_u64(values / FILL_ITEM + 1, 4 * cpu->n_threads);
    lls_pool_run(cpu->pool, c->n_items, fill_item, c);
    c->n_items = lls_cpu_n_panel_items(cpu, c->n_panels);
    lls_pool_run(cpu->pool, c->n_items, multiply_item, c);
}

static void run_job(const linear_job_t *j)
{
    chunk_t c = { .j = j };

    for (c.form = 0; c.form < LLS_N_FORMS; c.form++)
        for (c.first = 0; c.first < j->n_rows; c.first = c.end) {
            c.end = c.first + lls_min_u32(j->chunk, j->n_rows - c.first);
            run_chunk(&c);
        }
}

static uint32_t chunk_rows(uint32_t in, uint32_t n_rows)
{
    uint32_t n = CHUNK_BYTES / (4 * lls_max_u32(in, 1));

    /* Whole blocks of tiles. */
    return lls_min_u32(n_rows, n < MIN_CHUNK ? MIN_CHUNK : lls_min_u32(n, MAX_CHUNK) / 32 * 32);
}

/* Lays the job's buffers out from `base`; returns their size.  The weights are not looked at: they
 * do not exist while memory is planned. */
static size_t place(linear_job_t *j, uint32_t in, uint32_t nth, uint8_t *base)
{
    lls_carver_t c = { .base = base, .align = 64 };
    size_t       values = lls_align_up(in, LLS_GROUP);

    j->chunk = chunk_rows(in, j->n_rows);
    j->acts = lls_carve(&c, j->chunk * values + OVER_BYTES / 4, 4);
    j->tiles = lls_carve(&c, (size_t)nth * 2 * j->chunk * LLS_PANEL, sizeof *j->tiles);
    j->wide = lls_carve(&c, nth, WIDE_BYTES);
    return c.used;
}

/* n_rows: that meet one matrix, on average. */
static lls_linear_isa_t kernels_of(uint32_t isa, uint32_t n_rows)
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
    if (isa == LLS_ISA_AMX)
        lls_linear_use_tiles(&k);
    if (isa == LLS_ISA_AMX && n_rows >= TILES_FROM)
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

static linear_job_t job_of(lls_exec_t *x, lls_out_t out, lls_in_t in, const lls_linear_t *p)
{
    const lls_cpu_t *cpu = lls_cpu_of(x);

    return (linear_job_t){ .isa = kernels_of(cpu->isa, out->shape[0]), .cpu = cpu, .p = p, .in = in,
                           .out = out, .in_share = 1, .n_rows = out->shape[0] };
}

void lls_cpu_linear(lls_exec_t *x, lls_out_t out, lls_in_t in, const lls_linear_t *p)
{
    linear_job_t j = job_of(x, out, in, p);
    uint32_t     nth = lls_cpu_of(x)->n_threads;
    run_t        run = { .end = j.n_rows };
    uint8_t     *base = lls_scratch(x, place(&j, p->in, nth, NULL));

    if (x->planning || j.n_rows == 0)
        return;
    lls_assert(p->w->in == p->in && p->w->out == p->out && in->shape[0] == out->shape[0]);
    place(&j, p->in, nth, base);
    j.runs = &run;
    j.n_runs = 1;
    run_job(&j);
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

void lls_cpu_expert_linear(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids,
                           const lls_linear_t *p)
{
    linear_job_t j = job_of(x, out, in, p);
    uint32_t     nth = lls_cpu_of(x)->n_threads, n = j.n_rows, *order, *tmp;
    size_t       list = lls_align_up((size_t)n * (sizeof(run_t) + 2 * sizeof *order), 64);
    uint8_t     *base = lls_scratch(x, list + place(&j, p->in, nth, NULL));
    run_t       *runs = (run_t *)base;

    if (x->planning || n == 0)
        return;
    lls_assert(p->w->in == p->in && p->w->out == p->out);
    lls_assert(ids->shape[0] * ids->shape[1] == n && n % in->shape[0] == 0);
    lls_assert(ids->stride[0] == ids->shape[1]);
    order = (uint32_t *)(runs + n);
    tmp = order + n;
    place(&j, p->in, nth, base + list);
    j.in_share = n / in->shape[0];
    j.order = order;
    j.runs = runs;
    j.n_runs = group_by_expert(ids->data, n, order, tmp, runs);
    j.isa = kernels_of(j.cpu->isa, n / j.n_runs);
    run_job(&j);
}
