/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "cpu/cpu_row_kernels.h"

#define COST_OF_SINCOS 32u          /* in additions */

typedef struct angles_job {
    const lls_tensor_t     *out;
    const int32_t          *positions;
    const lls_rope_table_t *table;
} angles_job_t;

/* The product is rounded to float32 before the cosine, as the reference does. */
static void angle_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const angles_job_t *j = arg;
    uint32_t            n = j->table->rot_dim / 2;

    for (uint32_t t = begin; t < end; t++) {
        float *cos = lls_row_f32(j->out, t), *sin = cos + n;
        for (uint32_t i = 0; i < n; i++) {
            float angle = (float)j->positions[t] * j->table->inv_freq[i];
            cos[i] = cosf(angle) * j->table->factor;
            sin[i] = sinf(angle) * j->table->factor;
        }
    }
}

void lls_cpu_rope_angles(lls_exec_t *x, lls_out_t out, const lls_batch_t *batch,
                         const lls_rope_table_t *table)
{
    angles_job_t job = { out, batch->positions, table };

    if (!x->planning)
        lls_cpu_each_rows(x, batch->n_tokens, (uint64_t)COST_OF_SINCOS * table->rot_dim, angle_rows,
                          &job);
}

static void rope_heads(const lls_rope_job_t *j, float *x, uint32_t n_heads, const float *angles,
                       const lls_norm_t *norm)
{
    uint32_t n_pairs = angles == NULL ? 0 : j->angles->shape[1] / 2;

    for (uint32_t h = 0; h < n_heads; h++, x += j->rope->head_dim) {
        if (norm != NULL)
            j->k->norm(x, x, norm);
        if (n_pairs > 0)
            j->k->rotate(x, angles, angles + n_pairs, n_pairs, j->rope->interleaved);
    }
}

void lls_cpu_rope_token(const lls_rope_job_t *j, uint32_t t)
{
    const lls_rope_t *r = j->rope;
    float            *q = lls_row_f32(j->qkv, t);
    const float      *angles = j->angles == NULL ? NULL : lls_row_f32(j->angles, t);

    rope_heads(j, q, r->n_q, angles, r->q_norm);
    rope_heads(j, q + (size_t)r->n_q * r->head_dim, r->n_k, angles, r->k_norm);
}

static void rope_rows(const void *arg, uint32_t begin, uint32_t end)
{
    for (uint32_t t = begin; t < end; t++)
        lls_cpu_rope_token(arg, t);
}

void lls_cpu_rope(lls_exec_t *x, lls_out_t qkv, lls_in_t angles, const lls_rope_t *rope)
{
    lls_rope_job_t job = { lls_row_kernels(lls_cpu_of(x)->isa), qkv, angles, rope };
    uint64_t       cost = 2ull * (rope->n_q + rope->n_k) * rope->head_dim;

    lls_assert(angles == NULL || angles->shape[1] <= rope->head_dim);
    if (!x->planning)
        lls_cpu_each_rows(x, qkv->shape[0], cost, rope_rows, &job);
}
