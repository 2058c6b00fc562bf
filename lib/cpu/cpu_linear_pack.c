/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cpu/cpu_linear_int.h"

#define FILL_UNIT 32u               /* values of k: what filling is shared out by */
#define FILL_ITEM 4096u             /* values that are worth another thread */

typedef struct fill_job {
    const linear_job_t *j;
    uint32_t            form, n_steps;
    uint32_t            first;          /* row of the chunk */
    uint64_t            begin, end;     /* units of this item: by rows, FILL_UNIT values each */
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

void lls_linear_pack_row(const lls_linear_isa_t *isa, uint32_t form, const float *x, uint32_t n,
                         uint32_t mr, uint32_t m, uint8_t *acts)
{
    if (lls_form_planes(form) == 2)
        fill_planes(isa, x, n, mr, m, acts);
    else
        isa->fill[form](x, n, mr, m, acts);
}

/* acts: of the block of `row`. */
static void fill_row(const fill_job_t *f, uint32_t row, uint32_t m0, uint32_t mr, uint8_t *acts)
{
    const linear_job_t *j = f->j;
    uint32_t     in = j->p->in, n_units = lls_ceil_div(in, FILL_UNIT), k0, k1;
    uint64_t     first = (uint64_t)(row - f->first) * n_units;
    uint64_t     b = lls_max_u64(f->begin, first), e = lls_min_u64(f->end, first + n_units);
    const float *x = lls_row_f32(j->in, lls_linear_out_row(j, row) / j->in_share);

    if (b >= e)
        return;
    k0 = (uint32_t)(b - first) * FILL_UNIT;
    k1 = lls_min_u32((uint32_t)(e - first) * FILL_UNIT, in);
    acts += lls_acts_at(f->form, f->n_steps, 0, mr, k0);
    lls_linear_pack_row(&j->isa, f->form, x + k0, k1 - k0, mr, row - m0, acts);
}

static void fill_run(const chunk_t *c, const run_t *r, fill_job_t *f)
{
    cut_t    cut = lls_linear_cut(r, c->first, c->end, lls_linear_max_rows(f->j, f->form));
    uint8_t *acts = lls_linear_acts(f->j, c->first, &cut);

    f->n_steps = lls_linear_n_acts(f->j, f->form);
    for (uint32_t i = 0; i < cut.n; i++) {
        uint32_t m0 = lls_block_start(&cut, i), mr = lls_block_start(&cut, i + 1) - m0;
        size_t   at = lls_acts_at(f->form, f->n_steps, m0 - cut.begin, mr, 0);

        for (uint32_t row = m0; row < m0 + mr; row++)
            fill_row(f, row, m0, mr, acts + at);
    }
}

/* LLS_N_FORMS: its rows are not packed. */
static uint32_t form_of(const chunk_t *c, const run_t *r)
{
    uint32_t form = c->form;

    if (form == LLS_N_FORMS) {
        form = lls_linear_form_at(c->j, r->expert, c->column);
        if (c->column > 0 && form == lls_linear_form_at(c->j, r->expert, 0))
            return LLS_N_FORMS;
    }
    return form;
}

static void fill_item(void *arg, uint32_t item, uint32_t ith)
{
    const chunk_t *c = arg;
    uint64_t   units = (uint64_t)(c->end - c->first) * lls_ceil_div(c->j->p->in, FILL_UNIT);
    fill_job_t f = { .j = c->j, .first = c->first, .begin = units * item / c->n_items,
                     .end = units * (item + 1) / c->n_items };

    for (uint32_t r = 0; r < c->j->n_runs; r++) {
        f.form = form_of(c, &c->j->runs[r]);
        if (f.form != LLS_N_FORMS)
            fill_run(c, &c->j->runs[r], &f);
    }
}

static bool packs_any(const chunk_t *c)
{
    for (uint32_t r = 0; r < c->j->n_runs; r++)
        if (form_of(c, &c->j->runs[r]) != LLS_N_FORMS)
            return true;
    return false;
}

void lls_linear_pack(chunk_t *c)
{
    const lls_cpu_t *cpu = c->j->cpu;
    uint64_t         values = (uint64_t)(c->end - c->first) * c->j->p->in;

    if (!packs_any(c))
        return;
    c->n_items = (uint32_t)lls_min_u64(values / FILL_ITEM + 1, 4 * cpu->n_threads);
    lls_pool_run(cpu->pool, c->n_items, fill_item, c);
}
