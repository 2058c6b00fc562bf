/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_int.h"
#include "sample/logprobs.h"
#include "sample/sample_kernels.h"
#include "sample/sampler.h"

typedef struct sample_job sample_job_t;

typedef void (*sample_fn)(const sample_job_t *job, uint32_t i, lls_sample_scratch_t *s);

struct sample_job {
    sample_fn                fn;
    uint32_t                 n, n_vocab;
    const lls_sample_rows_t *rows;
    const lls_tensor_t      *logits;
    int32_t                 *ids;
    size_t                   ids_stride;
    lls_logprob_job_t       *logprobs;
    const lls_sample_kernels_t *k;
    uint8_t                 *scratch;   /* of member ith at ith * scratch_bytes */
    size_t                   scratch_bytes;
};

static const lls_sample_kernels_t *kernels_of(uint32_t isa)
{
#if defined(__x86_64__)
    if (isa >= LLS_ISA_AVX512)
        return &lls_sample_kernels_avx512;
    if (isa >= LLS_ISA_AVX2)
        return &lls_sample_kernels_avx2;
#endif
    return &lls_sample_kernels_plain;
}

static void run_row(void *arg, uint32_t row, uint32_t ith)
{
    const sample_job_t  *job = arg;
    lls_sample_scratch_t s;

    lls_sample_scratch_init(&s, job->scratch + ith * job->scratch_bytes, job->n_vocab, job->k);
    job->fn(job, row, &s);
}

static void run(lls_exec_t *x, sample_job_t *job)
{
    const lls_cpu_t *cpu = lls_cpu_of(x);

    job->scratch_bytes = lls_align_up(lls_sample_scratch_bytes(job->n_vocab), 64);
    job->scratch = lls_scratch(x, cpu->n_threads * job->scratch_bytes);
    job->k = kernels_of(cpu->isa);
    if (!x->planning && x->status == LLM_OK)
        lls_pool_run(cpu->pool, job->n, run_row, job);
}

static float *logits_of(const sample_job_t *job, uint32_t i)
{
    return lls_row_f32(job->logits, job->rows->row[i].logit);
}

static void penalise_row(const sample_job_t *job, uint32_t i, lls_sample_scratch_t *s)
{
    const lls_sample_row_t *row = &job->rows->row[i];
    uint32_t                stages = job->rows->stages;

    if (stages == 0 || (stages & LLS_SAMPLE_CONSTRAIN))
        lls_sample_row_constrain(row, logits_of(job, i), s);
    if (stages == 0 || (stages & LLS_SAMPLE_PENALISE))
        lls_sample_row_penalise(row, logits_of(job, i), s);
}

static void truncate_row(const sample_job_t *job, uint32_t i, lls_sample_scratch_t *s)
{
    lls_sample_row_truncate(&job->rows->row[i], logits_of(job, i), &job->rows->out[i], s);
}

static void draw_row(const sample_job_t *job, uint32_t i, lls_sample_scratch_t *s)
{
    s->next = i + 1 < job->n ? logits_of(job, i + 1) : NULL;
    job->ids[i * job->ids_stride] = lls_sample_row_draw(&job->rows->row[i], logits_of(job, i),
                                                        &job->rows->out[i], s);
}

static void logprobs_row(const sample_job_t *job, uint32_t i, lls_sample_scratch_t *s)
{
    lls_logprobs_row(&job->logprobs[i], s);
}

static void run_rows(lls_exec_t *x, sample_fn fn, const lls_tensor_t *logits, lls_tensor_t *ids,
                     const lls_sample_rows_t *rows)
{
    sample_job_t job = { .fn = fn, .n = rows->n_rows, .n_vocab = rows->n_vocab, .rows = rows,
                         .logits = logits };

    if (ids != NULL && !x->planning) {
        job.ids = (int32_t *)ids->data;
        job.ids_stride = ids->stride[0];
    }
    run(x, &job);
}

void lls_cpu_penalise(lls_exec_t *x, lls_out_t logits, const lls_sample_rows_t *rows)
{
    run_rows(x, penalise_row, logits, NULL, rows);
}

void lls_cpu_truncate(lls_exec_t *x, lls_out_t logits, const lls_sample_rows_t *rows)
{
    if (rows->dense || x->planning)
        run_rows(x, truncate_row, logits, NULL, rows);
}

void lls_cpu_draw(lls_exec_t *x, lls_out_t ids, lls_in_t logits, const lls_sample_rows_t *rows)
{
    run_rows(x, draw_row, logits, ids, rows);
}

void lls_cpu_logprobs(lls_exec_t *x, uint32_t n_vocab, lls_logprob_job_t *jobs, uint32_t n_jobs)
{
    sample_job_t job = { .fn = logprobs_row, .n = n_jobs, .n_vocab = n_vocab, .logprobs = jobs };

    run(x, &job);
}
