/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of an embedding, read back out of packed panels: exactly the values of the checkpoint.
 */
#include <string.h>

#include "cpu/cpu_row_kernels.h"
#include "cpu/cpu_wmat.h"

#define COST_OF_VALUE 4u            /* in additions */

static uint16_t load_u16(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return h;
}

/* One step of a plain panel: n = 1 or 2 values of one lane. */
static void plain_step(uint32_t kind, const uint8_t *step, uint32_t lane, uint32_t n, float *out)
{
    for (uint32_t i = 0; i < n; i++)
        switch (kind) {
        case LLS_W_F32: memcpy(out + i, step + (i * LLS_PANEL + lane) * 4, 4); break;
        case LLS_W_F16: out[i] = lls_f16_to_f32(load_u16(step + (i * LLS_PANEL + lane) * 2)); break;
        default:        out[i] = lls_bf16_to_f32(load_u16(step + (lane * 2 + i) * 2));
        }
}

/* The values of one lane in a step of a block panel: n, a multiple of 32. */
static void block_step(uint32_t kind, const uint8_t *step, uint32_t lane, uint32_t n, float *out)
{
    lls_group_t group;

    for (uint32_t g = 0; g < n / LLS_GROUP; g++, out += LLS_GROUP) {
        lls_wmat_read_group(kind, step, g, lane, &group);
        for (uint32_t i = 0; i < LLS_GROUP; i++)
            out[i] = group.d[i / 16] * (float)group.q[i] + group.m[i / 16];
    }
}

static void read_step(const lls_wmat_t *w, const lls_wseg_t *s, uint32_t column, uint32_t step,
                      float *out)
{
    const uint8_t *p = lls_wmat_panel(w, s, column / LLS_PANEL) +
                       (size_t)step * lls_kind_step_bytes(s->kind);

    if (lls_kind_is_float(s->kind))
        plain_step(s->kind, p, column % LLS_PANEL, lls_min_u32(2, w->in - 2 * step), out);
    else
        block_step(s->kind, p, column % LLS_PANEL, lls_kind_step(s->kind), out);
}

typedef struct embed_job {
    const lls_wmat_t *w;
    lls_tensor_t     *out;
    const int32_t    *index;        /* [rows]: row of the table, less offset */
    uint32_t          offset;
    float             scale;
    bool              add;
} embed_job_t;

static void embed_row(const embed_job_t *j, uint32_t row, float *out)
{
    const lls_wseg_t *s = lls_wmat_segs(j->w, 0);
    uint32_t          column = (uint32_t)j->index[row] + j->offset, n;
    float             values[LLS_K_BLOCK];

    lls_assert(column < j->w->out);
    for (; column >= s->first + s->n; s++)
        continue;
    for (uint32_t step = 0, k = 0; step < s->n_steps; step++, k += n) {
        n = lls_min_u32(lls_kind_step(s->kind), j->w->in - k);
        read_step(j->w, s, column - s->first, step, values);
        for (uint32_t i = 0; i < n; i++)
            out[k + i] = j->add ? out[k + i] + values[i] : j->scale * values[i];
    }
}

static void embed_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const embed_job_t *j = arg;

    for (uint32_t row = begin; row < end; row++)
        embed_row(j, row, lls_row_f32(j->out, row));
}

static void embed(const lls_exec_t *x, const embed_job_t *j)
{
    if (!x->planning)
        lls_cpu_each_rows(x, j->out->shape[0], COST_OF_VALUE * (uint64_t)j->w->in, embed_rows, j);
}

void lls_cpu_embed(lls_exec_t *x, lls_out_t out, const lls_batch_t *b, const lls_wmat_t *w,
                   float scale)
{
    embed_job_t j = { .w = w, .out = out, .index = b->ids, .scale = scale };

    embed(x, &j);
}

void lls_cpu_embed_pos(lls_exec_t *x, lls_out_t out, const lls_batch_t *b, const lls_wmat_t *w,
                       uint32_t offset)
{
    embed_job_t j = { .w = w, .out = out, .index = b->positions, .offset = offset, .add = true };

    embed(x, &j);
}
