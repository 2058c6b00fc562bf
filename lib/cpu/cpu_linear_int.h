/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_linear_int - what the files of the linear ops share.
 *
 * A job's rows are packed and multiplied in chunks.  Rows that meet one expert are a run; what of a
 * run lies in a chunk is cut into blocks of equal size or nearly, at most as many rows as a kernel
 * takes.  The packed rows of a cut lie block by block.
 */
#ifndef LLS_CPU_CPU_LINEAR_INT_H
#define LLS_CPU_CPU_LINEAR_INT_H

#include "cpu/cpu_int.h"
#include "cpu/cpu_linear.h"
#include "cpu/cpu_row_kernels.h"

#define LLS_MOST_ROWS  32u          /* of a block, whatever the form */
#define LLS_OVER_BYTES 1024u        /* behind packed rows, for kernels that read 16 at a time */

/* Rows [begin, end) that meet one expert. */
typedef struct run {
    uint32_t expert, begin, end;
} run_t;

typedef struct linear_job {
    lls_linear_isa_t        isa;
    const lls_cpu_t        *cpu;
    const lls_linear_t     *p;
    const lls_tensor_t     *in;         /* NULL: all rows are packed already */
    lls_tensor_t           *out, *peaks;    /* peaks: of logits; or NULL */
    const lls_row_kernels_t *rows;          /* beside peaks */
    const uint32_t         *order;      /* [n_rows]: row of `out`; NULL = as they come */
    uint32_t                in_share;   /* rows of `out` that one row of `in` serves */
    const run_t            *runs;
    uint32_t                n_runs, n_rows, chunk;
    uint8_t                *acts;       /* packed rows of a chunk; without `in` of all */
    uint8_t                *wide;       /* weights of a member, widened */
    float                  *tiles;      /* [lls_linear_tile_floats()] a member */
} linear_job_t;

/* Rows that are packed together, in a form. */
typedef struct chunk {
    const linear_job_t *j;
    uint32_t            form;           /* LLS_N_FORMS: what a column of each run's matrix wants */
    uint32_t            column;         /* where it is not what the first column wants */
    uint32_t            first, end;
    uint32_t            n_items, n_panels;
} chunk_t;

/* The rows of a run that lie in a chunk, cut into n blocks. */
typedef struct cut {
    uint32_t expert, begin, end, n;
} cut_t;

static inline bool lls_run_meets(const run_t *r, uint32_t first, uint32_t end)
{
    return r->begin < end && r->end > first;
}

static inline cut_t lls_linear_cut(const run_t *r, uint32_t first, uint32_t end, uint32_t max_rows)
{
    cut_t c = { .expert = r->expert, .begin = lls_max_u32(r->begin, first),
                .end = lls_min_u32(r->end, end) };

    c.n = c.begin < c.end ? lls_ceil_div(c.end - c.begin, max_rows) : 0;
    return c;
}

static inline uint32_t lls_block_start(const cut_t *c, uint32_t i)
{
    return c->begin + (c->end - c->begin) * i / c->n;
}

/* The block that a row is in: the last that does not start behind it. */
static inline uint32_t lls_block_of(const cut_t *c, uint32_t row)
{
    return ((row - c->begin + 1) * c->n - 1) / (c->end - c->begin);
}

static inline uint32_t lls_linear_out_row(const linear_job_t *j, uint32_t row)
{
    return j->order != NULL ? j->order[row] : row;
}

static inline uint32_t lls_linear_max_rows(const linear_job_t *j, uint32_t form)
{
    return j->isa.max_rows[lls_form_of_kernel(form)] / lls_form_planes(form);
}

/* The sums of a chunk with 32 columns: two planes, and room behind a block that is not as large as
 * can be. */
static inline size_t lls_linear_tile_floats(const linear_job_t *j)
{
    return (2 * (size_t)j->chunk + LLS_MOST_ROWS) * LLS_PANEL;
}

static inline const lls_wseg_t *lls_linear_seg_at(const linear_job_t *j, uint32_t expert,
                                                  uint32_t column)
{
    const lls_wseg_t *seg = lls_wmat_segs(j->p->w, expert);

    while (column - seg->first >= seg->n)
        seg++;
    return seg;
}

static inline uint32_t lls_linear_form_at(const linear_job_t *j, uint32_t expert, uint32_t column)
{
    return j->isa.form[lls_linear_seg_at(j, expert, column)->kind];
}

/* Where block [m0, m0 + mr) of rows, counted from the first of the cut, has its step at k. */
static inline size_t lls_acts_at(uint32_t form, uint32_t n_steps, uint32_t m0, uint32_t mr,
                                 uint32_t k)
{
    return ((size_t)m0 * n_steps + (size_t)(k / lls_form_step(form)) * mr) *
           lls_form_bytes(form) * lls_form_planes(form);
}

/* Steps of a packed row. */
static inline uint32_t lls_linear_n_acts(const linear_job_t *j, uint32_t form)
{
    return lls_ceil_div(j->p->in, lls_form_step(form));
}

/* Bytes of a row of `in` values in the form that takes most. */
static inline size_t lls_packed_bytes(uint32_t in) { return 4 * lls_align_up(in, LLS_GROUP); }
static inline size_t lls_linear_acts_bytes(uint32_t n_rows, uint32_t in)
{
    return n_rows * lls_packed_bytes(in) + LLS_OVER_BYTES;
}

/* Where the packed rows of a cut begin, of a chunk that begins with row `first`: room for any form,
 * for runs may want different ones. */
static inline uint8_t *lls_linear_acts(const linear_job_t *j, uint32_t first, const cut_t *cut)
{
    uint32_t before = j->in != NULL ? cut->begin - first : cut->begin;

    return j->acts + before * lls_packed_bytes(j->p->in);
}

/* ---- Packing --------------------------------------------------------------------------------- */

/* n values of row m of a block of mr into a form; acts is the block at the first of them. */
void lls_linear_pack_row(const lls_linear_isa_t *isa, uint32_t form, const float *x, uint32_t n,
                         uint32_t mr, uint32_t m, uint8_t *acts);
/* The rows of a chunk, by the whole team. */
void lls_linear_pack(chunk_t *c);

/* ---- Multiplying ----------------------------------------------------------------------------- */

typedef struct panel_job panel_job_t;

/* Rows [m0, m0 + mr) of a panel that is complete, while they are still in a near cache. */
typedef void (*lls_panel_store_fn)(const panel_job_t *p, uint32_t panel, uint32_t m0, uint32_t mr,
                                   float *tile);

struct panel_job {
    const linear_job_t *j;
    const lls_wseg_t   *seg;
    const uint8_t      *acts;       /* of the cut's first row */
    uint32_t            form;       /* LLS_N_FORMS: none yet */
    uint32_t            n_acts;     /* steps of a row of acts */
    cut_t               cut;
    float              *tile;       /* of the first block */
    bool                keeps;      /* all blocks; else they take turns where k is whole */
    uint8_t            *wide;
    const uint8_t      *next;       /* panel to come; NULL = the one behind this */
    lls_panel_store_fn  store;
    const void         *to;         /* what store wants to know */
};

/* What member ith begins an item with. */
panel_job_t lls_linear_panel_job(const linear_job_t *j, uint32_t ith);
/* Before panels of another form, and LLS_N_FORMS after the last. */
void lls_linear_set_form(panel_job_t *p, uint32_t form);
/* All blocks of the cut with a panel of the segment. */
void lls_linear_panel(const panel_job_t *p, uint32_t panel);
/* n columns of a row of a tile, and what belongs to the result beside the product. */
void lls_linear_store_row(const linear_job_t *j, const float *tile, uint32_t column, uint32_t n,
                          float *out);

/* ---- The op ---------------------------------------------------------------------------------- */

/* Lays the buffers of a job with rows of `in` values out from `base`; returns their size.  The
 * weights are not looked at: they do not exist while memory is planned. */
size_t lls_linear_place(linear_job_t *j, uint32_t in, uint8_t *base);
linear_job_t lls_linear_job(lls_exec_t *x, lls_out_t out, lls_in_t in, const lls_linear_t *p);
/* The kernels again, when its runs are known. */
void         lls_linear_choose(linear_job_t *j);
void         lls_linear_run(const linear_job_t *j);

/* Scratch of a job whose rows meet experts. */
static inline size_t lls_linear_order_bytes(uint32_t n)
{
    return lls_align_up((size_t)n * (sizeof(run_t) + 2 * sizeof(uint32_t)), 64);
}
/* Rows by expert; base: that scratch. */
void lls_linear_order(linear_job_t *j, lls_in_t ids, uint8_t *base);

#endif
