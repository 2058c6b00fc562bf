/* SPDX-License-Identifier: Apache-2.0 */
/*
 * glu: the panels of gate and up that make the same 32 columns are multiplied one after the other,
 * and while both are in a near cache act(gate) * up is packed as down wants its rows.  So the wide
 * rows never exist as floats.  32 columns are one group of values of a packed row, and all is done
 * element by element or within such a group: the bits are those of the plain ops.
 */
#include "base/carve.h"
#include "cpu/cpu_linear_int.h"
#include "cpu/cpu_row_kernels.h"

typedef struct glu_job {
    linear_job_t             up;        /* gate and up, to the packed rows of `down` */
    linear_job_t             apart;     /* the same, rows packed as up wants where gate does not */
    linear_job_t             down;
    const lls_row_kernels_t *rows;
    uint32_t                 act, width;    /* columns of gate */
    float                   *gates;     /* [lls_linear_tile_floats()] a member */
} glu_job_t;

typedef struct glu_chunk {
    const glu_job_t *g;
    uint32_t         first, end, n_items, n_panels;     /* of gate */
} glu_chunk_t;

/* What one member does for a run. */
typedef struct pair {
    const glu_job_t *g;
    const run_t     *run;
    float           *gates;             /* [rows of the cut][32] */
    uint32_t         column;            /* of gate */
} pair_t;

/* ---- Results --------------------------------------------------------------------------------- */

/* Rows of a tile with their bias. */
static void finish_rows(const panel_job_t *p, uint32_t column, uint32_t mr, const float *tile,
                        float *to)
{
    if (to == tile && p->j->p->bias == NULL)
        return;
    for (uint32_t i = 0; i < mr * LLS_PANEL; i += LLS_PANEL)
        lls_linear_store_row(p->j, tile + i, column, LLS_PANEL, to + i);
}

/* Row by row without what lies between blocks of two planes; forwards, for `to` may be in them. */
static void keep_gate(const panel_job_t *p, uint32_t panel, uint32_t m0, uint32_t mr, float *tile)
{
    const pair_t *pair = p->to;

    finish_rows(p, pair->column, mr, tile, pair->gates + (m0 - p->cut.begin) * LLS_PANEL);
}

/* Products of rows from `row`, at most mr, that lie in one block of down.  Returns how many. */
static uint32_t pack_products(const pair_t *pair, uint32_t row, uint32_t mr, const float *h)
{
    const linear_job_t *down = &pair->g->down;
    uint32_t form = lls_linear_form_at(down, pair->run->expert, 0);
    uint32_t first = row / down->chunk * down->chunk;
    cut_t    cut = lls_linear_cut(pair->run, first, first + down->chunk,
                                  lls_linear_max_rows(down, form));
    uint32_t i = lls_block_of(&cut, row), m0 = lls_block_start(&cut, i);
    uint32_t n_rows = lls_block_start(&cut, i + 1) - m0, n = lls_min_u32(mr, m0 + n_rows - row);
    uint8_t *acts = lls_linear_acts(down, first, &cut);

    acts += lls_acts_at(form, lls_linear_n_acts(down, form), m0 - cut.begin, n_rows, pair->column);
    for (uint32_t m = 0; m < n; m++)
        lls_linear_pack_row(&down->isa, form, h + m * LLS_PANEL, LLS_PANEL, n_rows, row - m0 + m,
                            acts);
    return n;
}

static void put_products(const panel_job_t *p, uint32_t panel, uint32_t m0, uint32_t mr,
                         float *tile)
{
    const pair_t    *pair = p->to;
    const glu_job_t *g = pair->g;

    finish_rows(p, g->width + pair->column, mr, tile, tile);
    g->rows->act_mul(tile, pair->gates + (m0 - p->cut.begin) * LLS_PANEL, tile, g->act,
                     mr * LLS_PANEL);
    for (uint32_t m = 0; m < mr;)
        m += pack_products(pair, m0 + m, mr - m, tile + m * LLS_PANEL);
}

/* ---- Multiplying ----------------------------------------------------------------------------- */

static const uint8_t *panel_at(const linear_job_t *j, uint32_t expert, uint32_t column)
{
    const lls_wseg_t *seg = lls_linear_seg_at(j, expert, column);

    return lls_wmat_panel(j->p->w, seg, (column - seg->first) / LLS_PANEL);
}

static void multiply_half(panel_job_t *p, const glu_chunk_t *c, const pair_t *pair, uint32_t column)
{
    const linear_job_t *j = p->j;
    uint32_t            form;

    p->seg = lls_linear_seg_at(j, pair->run->expert, column);
    form = j->isa.form[p->seg->kind];
    lls_linear_set_form(p, form);
    p->n_acts = lls_linear_n_acts(j, form);
    p->cut = lls_linear_cut(pair->run, c->first, c->end, lls_linear_max_rows(j, form));
    if (column >= c->g->width && form != lls_linear_form_at(j, pair->run->expert, 0))
        j = &c->g->apart;
    p->acts = lls_linear_acts(j, c->first, &p->cut);
    lls_linear_panel(p, (column - p->seg->first) / LLS_PANEL);
}

static void multiply_pair(panel_job_t *p, const glu_chunk_t *c, const pair_t *pair)
{
    uint32_t expert = pair->run->expert, width = c->g->width, column = pair->column;
    float   *tile = p->tile;

    p->to = pair;
    p->next = panel_at(p->j, expert, width + column);
    p->store = keep_gate;
    p->keeps = true;
    p->tile = pair->gates;
    multiply_half(p, c, pair, column);
    p->next = column + LLS_PANEL < width ? panel_at(p->j, expert, column + LLS_PANEL) : NULL;
    p->store = put_products;
    p->keeps = false;
    p->tile = tile;
    multiply_half(p, c, pair, width + column);
}

static void multiply_item(void *arg, uint32_t item, uint32_t ith)
{
    const glu_chunk_t *c = arg;
    const glu_job_t   *g = c->g;
    panel_job_t        p = lls_linear_panel_job(&g->up, ith);
    pair_t   pair = { .g = g, .gates = g->gates + ith * lls_linear_tile_floats(&g->up) };
    uint32_t at = 0, n = g->width / LLS_PANEL, begin, end;

    lls_share(c->n_panels, 1, item, c->n_items, &begin, &end);
    for (uint32_t r = 0; r < g->up.n_runs && at < end; r++) {
        pair.run = &g->up.runs[r];
        if (!lls_run_meets(pair.run, c->first, c->end))
            continue;
        for (uint32_t i = lls_sub_u32(begin, at); i < lls_min_u32(end - at, n); i++) {
            pair.column = i * LLS_PANEL;
            multiply_pair(&p, c, &pair);
        }
        at += n;
    }
    lls_linear_set_form(&p, LLS_N_FORMS);
}

/* The rows of a chunk, for gate and, where it wants another form, for up. */
static void pack_chunk(const glu_chunk_t *c)
{
    chunk_t rows = { .j = &c->g->up, .form = LLS_N_FORMS, .first = c->first, .end = c->end };

    lls_linear_pack(&rows);
    rows.j = &c->g->apart;
    rows.column = c->g->width;
    lls_linear_pack(&rows);
}

static void run_chunk(glu_chunk_t *c)
{
    const linear_job_t *j = &c->g->up;

    pack_chunk(c);
    c->n_panels = 0;
    for (uint32_t r = 0; r < j->n_runs; r++)
        if (lls_run_meets(&j->runs[r], c->first, c->end))
            c->n_panels += c->g->width / LLS_PANEL;
    c->n_items = lls_cpu_n_panel_items(j->cpu, c->n_panels);
    lls_pool_run(j->cpu->pool, c->n_items, multiply_item, c);
}

static void run_up(const glu_job_t *g)
{
    glu_chunk_t c = { .g = g };

    for (; c.first < g->up.n_rows; c.first = c.end) {
        c.end = c.first + lls_min_u32(g->up.chunk, g->up.n_rows - c.first);
        run_chunk(&c);
    }
}

/* ---- The op ---------------------------------------------------------------------------------- */

/* Lays the buffers out as lls_linear_place() does: those of one job are free for the next, but for
 * the rows that it takes from it. */
static size_t place(glu_job_t *g, uint8_t *base)
{
    lls_carver_t c = { .base = base, .align = 64 };
    uint32_t     in = g->up.p->in, n_rows = g->up.n_rows, nth = g->up.cpu->n_threads;
    size_t       n = lls_max_u64(lls_linear_place(&g->up, in, NULL),
                                 lls_linear_place(&g->down, g->width, NULL));
    uint8_t     *shared = lls_carve(&c, n, 1);

    lls_linear_place(&g->up, in, shared);
    lls_linear_place(&g->down, g->width, shared);
    g->down.acts = lls_carve(&c, lls_linear_acts_bytes(n_rows, g->width), 1);
    g->gates = lls_carve(&c, nth * lls_linear_tile_floats(&g->up), sizeof *g->gates);
    g->apart = g->up;
    g->apart.acts = lls_carve(&c, lls_linear_acts_bytes(g->up.chunk, in), 1);
    return c.used;
}

static glu_job_t job_of(lls_exec_t *x, lls_out_t out, lls_in_t in, const lls_glu_t *p)
{
    glu_job_t g = { .rows = lls_row_kernels(lls_cpu_of(x)->isa), .act = p->act,
                    .width = p->down->in, .up = lls_linear_job(x, out, in, p->gate_up),
                    .down = lls_linear_job(x, out, in, p->down) };

    lls_assert(p->gate_up->out == 2 * p->down->in);
    lls_assert(!p->gate_up->accumulate);
    g.up.out = NULL;
    g.down.in = NULL;
    return g;
}

/* ids: NULL where all rows meet one matrix. */
static void set_runs(glu_job_t *g, lls_in_t ids, run_t *all, uint8_t *base)
{
    *all = (run_t){ .end = g->up.n_rows };
    g->up.runs = all;
    g->up.n_runs = 1;
    if (ids != NULL)
        lls_linear_order(&g->up, ids, base);
    g->down.order = g->up.order;
    g->down.runs = g->up.runs;
    g->down.n_runs = g->up.n_runs;
    if (ids != NULL)
        lls_linear_choose(&g->down);
}

void lls_cpu_glu(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids, const lls_glu_t *p)
{
    glu_job_t g = job_of(x, out, in, p);
    size_t    list = ids != NULL ? lls_linear_order_bytes(g.up.n_rows) : 0;
    uint8_t  *base;
    run_t     all;

    if (g.width % LLS_PANEL != 0) {     /* panels of up do not begin where those of gate do */
        lls_glu_by_parts(x, out, in, ids, p);
        return;
    }
    base = lls_scratch(x, list + place(&g, NULL));
    if (x->planning || g.up.n_rows == 0)
        return;
    set_runs(&g, ids, &all, base);
    place(&g, base + list);
    run_up(&g);
    lls_linear_run(&g.down);
}
