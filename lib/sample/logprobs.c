/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/logprobs.h"

#include <math.h>

#include "base/sort.h"
#include "sample/sample_kernels.h"
#include "sample/sample_threshold.h"

/* Descending logits, ascending ids. */
static int cmp_likelier(const void *ctx, uint32_t a, uint32_t b)
{
    const float *x = ctx;

    if (x[a] != x[b])
        return x[a] > x[b] ? -1 : 1;
    return a < b ? -1 : a > b;
}

static void no_entries(lls_logprob_job_t *job)
{
    for (uint32_t i = 0; i < job->n_entries; i++)
        job->out[i] = (lls_logprob_t){ .token = -1, .rank = 0, .logprob = 0 };
    job->status = LLS_ROW_NAN;
}

/* Ids of at least k likeliest tokens in s->id, sorted. */
static void find_likeliest(const float *x, uint32_t k, float max, lls_sample_scratch_t *s)
{
    lls_sample_scale_t scale = { .max = max, .inv_t = 1, .y_min = -INFINITY };
    uint32_t           n_groups = lls_sample_n_blocks(s->n_vocab) * 16, n;
    float              low = -INFINITY;

    if (k <= n_groups) {
        lls_sample_list_t groups = { .x = s->peaks, .w = NULL, .n = n_groups };
        low = lls_sample_threshold(&groups, k, &scale, s);
    }
    n = s->k->gather(x, s->n_vocab, s->peaks, low, &scale, s->x, s->id);
    if (n > k) {
        lls_sample_list_t list = { .x = s->x, .w = NULL, .n = n };
        uint32_t          m = 0;

        low = lls_sample_threshold(&list, k, &scale, s);
        for (uint32_t i = 0; i < n; i++) {
            s->id[m] = s->id[i];
            m += s->x[i] >= low;
        }
        n = m;
    }
    if (n < k)                      /* tokens at -inf follow by id */
        for (uint32_t i = 0; i < s->n_vocab; i++)
            if (x[i] == -INFINITY)
                s->id[n++] = i;
    lls_sort_ids(s->id, n, cmp_likelier, x);
}

void lls_logprobs_row(lls_logprob_job_t *job, lls_sample_scratch_t *s)
{
    const float *x = job->logits;
    double       log_sum;
    float        max;
    uint32_t     k = job->n_entries - 1;

    lls_assert(job->n_entries >= 1 && k <= s->n_vocab && (uint32_t)job->token < s->n_vocab);
    if (!s->k->scan(x, s->n_vocab, s->peaks, &max) || max == -INFINITY) {
        no_entries(job);
        return;
    }
    job->status = LLS_ROW_OK;
    log_sum = (double)max + log(s->k->sum_exp(x, s->n_vocab, max));
    job->out[0] = (lls_logprob_t){
        .token = job->token, .logprob = (float)((double)x[job->token] - log_sum),
        .rank = (int32_t)s->k->count_from(x, s->n_vocab, x[job->token])
    };
    if (k > 0)
        find_likeliest(x, k, max, s);
    for (uint32_t i = 0; i < k; i++)
        job->out[1 + i] = (lls_logprob_t){ .token = (int32_t)s->id[i], .rank = (int32_t)i + 1,
                                           .logprob = (float)((double)x[s->id[i]] - log_sum) };
}
