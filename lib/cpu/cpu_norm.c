/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_row_kernels.h"

typedef struct norm_job {
    const lls_row_kernels_t *k;
    const lls_tensor_t      *y, *residual, *in;
    const lls_norm_t        *norm;
} norm_job_t;

static void norm_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const norm_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++)
        j->k->norm(lls_row_f32(j->y, i), lls_row_f32(j->in, i), j->norm);
}

static void add_norm_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const norm_job_t *j = arg;

    for (uint32_t i = begin; i < end; i++)
        j->k->add_norm(lls_row_f32(j->y, i), lls_row_f32(j->residual, i), lls_row_f32(j->in, i),
                       j->norm);
}

void lls_cpu_norm(lls_exec_t *x, lls_out_t y, lls_in_t in, const lls_norm_t *norm)
{
    norm_job_t job = { lls_row_kernels(lls_cpu_of(x)->isa), y, NULL, in, norm };

    if (!x->planning)
        lls_cpu_each_rows(x, in->shape[0], 2ull * norm->width, norm_rows, &job);
}

void lls_cpu_add_norm(lls_exec_t *x, lls_out_t y, lls_out_t residual, lls_in_t in,
                      const lls_norm_t *norm)
{
    norm_job_t job = { lls_row_kernels(lls_cpu_of(x)->isa), y, residual, in, norm };

    if (!x->planning)
        lls_cpu_each_rows(x, in->shape[0], 3ull * norm->width, add_norm_rows, &job);
}
