/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "cpu/cpu_math.h"
#include "cpu/cpu_row_kernels.h"

typedef struct route_job {
    const lls_tensor_t *ids, *weights, *scores;
    const lls_route_t  *route;
} route_job_t;

/* The best expert behind `last` in the order of falling scores and rising indices; last LLS_NONE:
 * the best of all.  LLS_NONE if there is none, as in a row of NaNs. */
static uint32_t next_best(const float *scores, uint32_t n, uint32_t last)
{
    uint32_t best = LLS_NONE;

    for (uint32_t i = 0; i < n; i++) {
        bool behind = last == LLS_NONE || scores[i] < scores[last] ||
                      (scores[i] == scores[last] && i > last);
        if (behind && (best == LLS_NONE || scores[i] > scores[best]))
            best = i;
    }
    return best;
}

static void route_row(int32_t *ids, float *weights, const float *scores, const lls_route_t *r)
{
    float    max = scores[0], sum = 0.0f, chosen = 0.0f;
    uint32_t last = LLS_NONE;

    for (uint32_t i = 1; i < r->n_experts; i++)
        max = scores[i] > max ? scores[i] : max;
    for (uint32_t i = 0; i < r->n_experts; i++)
        sum += lls_exp(scores[i] - max);
    for (uint32_t k = 0; k < r->top_k; k++) {
        uint32_t best = next_best(scores, r->n_experts, last);
        last = best != LLS_NONE ? best : k;
        ids[k] = (int32_t)last;
        weights[k] = lls_exp(scores[last] - max) / sum;
        chosen += weights[k];
    }
    for (uint32_t k = 0; k < r->top_k && r->renorm; k++)
        weights[k] /= chosen;
}

static void route_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const route_job_t *j = arg;

    for (uint32_t t = begin; t < end; t++)
        route_row((int32_t *)j->ids->data + t * j->ids->stride[0], lls_row_f32(j->weights, t),
                  lls_row_f32(j->scores, t), j->route);
}

void lls_cpu_route(lls_exec_t *x, lls_out_t ids, lls_out_t weights, lls_in_t scores,
                   const lls_route_t *route)
{
    route_job_t job = { ids, weights, scores, route };

    lls_assert(route->top_k <= route->n_experts && scores->shape[1] == route->n_experts);
    if (!x->planning)
        lls_cpu_each_rows(x, scores->shape[0], (uint64_t)route->n_experts * (route->top_k + 5ull),
                          route_rows, &job);
}

typedef struct sum_job {
    const lls_row_kernels_t *k;
    const lls_tensor_t      *out, *in, *weights;
} sum_job_t;

static void sum_rows(const void *arg, uint32_t begin, uint32_t end)
{
    const sum_job_t *j = arg;
    uint32_t         n = j->out->shape[1], top_k = j->weights->shape[1];

    for (uint32_t t = begin; t < end; t++) {
        float *y = lls_row_f32(j->out, t);
        memset(y, 0, n * sizeof *y);
        for (uint32_t s = 0; s < top_k; s++)
            j->k->add(y, lls_row_f32(j->in, t * top_k + s), lls_row_f32(j->weights, t)[s], n);
    }
}

void lls_cpu_expert_sum(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t weights)
{
    sum_job_t job = { lls_row_kernels(lls_cpu_of(x)->isa), out, in, weights };

    lls_assert(in->shape[0] == out->shape[0] * weights->shape[1]);
    if (!x->planning)
        lls_cpu_each_rows(x, out->shape[0], (uint64_t)weights->shape[1] * out->shape[1], sum_rows,
                          &job);
}
