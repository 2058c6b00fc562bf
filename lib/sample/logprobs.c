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
    lls_sample_scale_t scale = { .max = max, .inv_t = 1 };
    uint32_t           n_groups = lls_sample_n_blocks(s->n_vocab) * 16, n;
    float              low = -INFINITY;

    if (k <= n_groups) {
        lls_sample_list_t groups = { .x = s->peaks, .w = NULL, .n = n_groups };
        low = lls_sample_threshold(&groups, k, &scale, s);
    }
    n = s->k->gather(x, s->n_vocab, s->peaks, low, s->x, s->id);
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

/* As V2 does it: an elementwise division, so that logits equal its own. */
static const float *over_temperature(const lls_logprob_job_t *job, lls_sample_scratch_t *s)
{
    if (job->temperature == 0 || job->temperature == 1)
        return job->logits;
    for (uint32_t i = 0; i < s->n_vocab; i++)
        s->w[i] = job->logits[i] / job->temperature;
    return s->w;
}

static lls_logprob_t entry_of(const float *x, int32_t token, uint32_t rank, double log_sum)
{
    return (lls_logprob_t){ .token = token, .rank = (int32_t)rank,
                            .logprob = (float)((double)x[token] - log_sum) };
}

void lls_logprobs_row(lls_logprob_job_t *job, lls_sample_scratch_t *s)
{
    const float *x = over_temperature(job, s);
    double       log_sum = 0;
    float        max;
    uint32_t     k = job->n_entries - 1;

    lls_assert(job->n_entries >= 1 && (job->ids != NULL || k <= s->n_vocab) &&
               (uint32_t)job->token < s->n_vocab);
    if (!s->k->scan(x, s->n_vocab, s->peaks, &max) || max == -INFINITY) {
        no_entries(job);
        return;
    }
    job->status = LLS_ROW_OK;
    if (!job->of_logits)
        log_sum = (double)max + log(s->k->sum_exp(x, s->n_vocab, max));
    job->out[0] = entry_of(x, job->token, s->k->count_from(x, s->n_vocab, x[job->token]), log_sum);
    if (job->ids == NULL && k > 0)
        find_likeliest(x, k, max, s);
    for (uint32_t i = 0; i < k; i++) {
        int32_t  token = job->ids != NULL ? job->ids[i] : (int32_t)s->id[i];
        uint32_t rank = job->ids != NULL ? s->k->count_from(x, s->n_vocab, x[token]) : i + 1;
        job->out[1 + i] = entry_of(x, token, rank, log_sum);
    }
}
