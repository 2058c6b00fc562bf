/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_row_kernels.h"

#define COST_OF_EXP 4u              /* in additions */

typedef struct act_job {
    const lls_row_kernels_t *k;
    const lls_tensor_t      *out, *in;
    uint32_t                 kind, n;
    float                    factor, softcap;
} act_job_t;

static void act_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const act_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++)
        j->k->act(lls_row_f32(j->out, i), j->kind, j->n);
}

static void act_mul_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const act_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++) {
        const float *gate = lls_row_f32(j->in, i);
        j->k->act_mul(lls_row_f32(j->out, i), gate, gate + j->n, j->kind, j->n);
    }
}

static void scale_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const act_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++)
        j->k->scale(lls_row_f32(j->out, i), j->factor, j->softcap, j->n);
}

static void add_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const act_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++)
        j->k->add(lls_row_f32(j->out, i), lls_row_f32(j->in, i), j->factor, j->n);
}

static act_job_t job_of(const lls_exec_t *x, lls_out_t out, lls_in_t in)
{
    return (act_job_t){ .k = lls_row_kernels(lls_cpu_of(x)->isa), .out = out, .in = in,
                        .n = out->shape[1] };
}

void lls_cpu_act(lls_exec_t *x, lls_out_t out, uint32_t kind)
{
    act_job_t job = job_of(x, out, NULL);

    job.kind = kind;
    if (!x->planning && kind != LLS_ACT_NONE)
        lls_cpu_each_rows(x, out->shape[0], COST_OF_EXP * (uint64_t)job.n, act_rows, &job);
}

void lls_cpu_act_mul(lls_exec_t *x, lls_out_t out, lls_in_t gate_up, uint32_t kind)
{
    act_job_t job = job_of(x, out, gate_up);

    lls_assert(gate_up->shape[1] == 2 * job.n);
    job.kind = kind;
    if (!x->planning)
        lls_cpu_each_rows(x, out->shape[0], COST_OF_EXP * (uint64_t)job.n, act_mul_rows, &job);
}

void lls_cpu_scale(lls_exec_t *x, lls_out_t out, float factor, float softcap)
{
    act_job_t job = job_of(x, out, NULL);

    job.factor = factor;
    job.softcap = softcap;
    if (!x->planning)
        lls_cpu_each_rows(x, out->shape[0], (softcap == 0.0f ? 1u : COST_OF_EXP) * (uint64_t)job.n,
                          scale_rows, &job);
}

void lls_cpu_add(lls_exec_t *x, lls_out_t out, lls_in_t in, float scale)
{
    act_job_t job = job_of(x, out, in);

    job.factor = scale;
    if (!x->planning)
        lls_cpu_each_rows(x, out->shape[0], job.n, add_rows, &job);
}
