/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_bench - time of the sampler beside one plain pass (a vectorised maximum) over the same
 * logits.
 *
 * usage: sample_bench [rows] [vocabulary] [threads]; prints one line a case.  Nothing is asserted.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/philox.h"
#include "cpu/cpu_int.h"
#include "sample/logprobs.h"
#include "sample/sample_kernels.h"

#define REPEATS 5

typedef struct bench {
    uint32_t          n_rows, n_vocab, n_threads;
    float            *made, *logits;
    lls_sample_row_t *row;
    lls_sample_out_t *out;
    int32_t          *ids;
    lls_cpu_t        *cpu;
    lls_exec_t        x;
} bench_t;

static void *must(void *p)
{
    if (p == NULL)
        exit(1);
    return p;
}

/* Peaked like a language model's: most of the mass on a few tokens; or spread like noise. */
static void make_logits(bench_t *b, bool peaked)
{
    for (uint32_t r = 0; r < b->n_rows; r++)
        for (uint32_t i = 0; i < b->n_vocab; i++) {
            float g = lls_sample_noise(9, r, i);
            b->made[(size_t)r * b->n_vocab + i] = peaked ? 1.5f * g : 0.5f * g;
        }
}

static void pass_member(void *arg, uint32_t ith, uint32_t nth)
{
    bench_t *b = arg;
    uint32_t begin, end;
    float    peaks[16 * 1024], max;

    lls_share(b->n_rows, 1, ith, nth, &begin, &end);
    for (uint32_t r = begin; r < end; r++)
#if defined(__x86_64__)
        (lls_cpu_isa(b->cpu) >= LLS_ISA_AVX512 ? lls_sample_kernels_avx512 :
         lls_cpu_isa(b->cpu) == LLS_ISA_AVX2 ? lls_sample_kernels_avx2 : lls_sample_kernels_plain)
#else
        lls_sample_kernels_plain
#endif
            .scan(b->logits + (size_t)r * b->n_vocab, b->n_vocab, peaks, &max);
}

static double time_pass(bench_t *b)
{
    double best = 1e9;

    for (int i = 0; i < REPEATS; i++) {
        uint64_t t0 = lls_clock_ns();
        lls_pool_run(lls_cpu_pool(b->cpu), pass_member, b);
        best = fmin(best, 1e-6 * (double)(lls_clock_ns() - t0));
    }
    return best;
}

static double time_case(bench_t *b, const lls_sample_view_t *p)
{
    lls_tensor_t      logits = { .data = b->logits, .shape = { b->n_rows, b->n_vocab },
                                 .stride = { b->n_vocab } };
    lls_tensor_t      ids = { .data = b->ids, .stride = { 1 } };
    lls_sample_rows_t rows = { .n_rows = b->n_rows, .n_vocab = b->n_vocab, .row = b->row,
                               .out = b->out };
    double            best = 1e9;

    for (uint32_t r = 0; r < b->n_rows; r++)
        b->row[r] = (lls_sample_row_t){ .params = *p, .position = r, .logit = r };
    for (int i = 0; i < REPEATS; i++) {
        uint64_t t0;
        memcpy(b->logits, b->made, (size_t)b->n_rows * b->n_vocab * sizeof(float));
        t0 = lls_clock_ns();
        lls_cpu_truncate(&b->x, &logits, &rows);
        lls_cpu_draw(&b->x, &ids, &logits, &rows);
        best = fmin(best, 1e-6 * (double)(lls_clock_ns() - t0));
    }
    return best;
}

static double time_logprobs(bench_t *b, uint32_t n_entries)
{
    lls_logprob_job_t *jobs = must(calloc(b->n_rows, sizeof *jobs));
    lls_logprob_t     *out = must(calloc((size_t)b->n_rows * n_entries, sizeof *out));
    double             best = 1e9;

    for (uint32_t r = 0; r < b->n_rows; r++)
        jobs[r] = (lls_logprob_job_t){ .logits = b->made + (size_t)r * b->n_vocab, .token = 5,
                                       .n_entries = n_entries, .out = out + (size_t)r * n_entries };
    for (int i = 0; i < REPEATS; i++) {
        uint64_t t0 = lls_clock_ns();
        lls_cpu_logprobs(&b->x, b->n_vocab, jobs, b->n_rows);
        best = fmin(best, 1e-6 * (double)(lls_clock_ns() - t0));
    }
    free(jobs);
    free(out);
    return best;
}

static void set_up(bench_t *b, lls_mem_t *mem)
{
    size_t n = (size_t)b->n_rows * b->n_vocab;

    if (lls_cpu_create(mem, b->n_threads, NULL, &b->cpu, NULL) != LLM_OK)
        exit(1);
    b->made = must(malloc(n * sizeof *b->made));
    b->logits = must(malloc(n * sizeof *b->logits));
    b->row = must(calloc(b->n_rows, sizeof *b->row));
    b->out = must(calloc(b->n_rows, sizeof *b->out));
    b->ids = must(calloc(b->n_rows, sizeof *b->ids));
    b->x = (lls_exec_t){ .backend = b->cpu, .planning = true };
    lls_cpu_logprobs(&b->x, b->n_vocab, NULL, 0);
    b->x.planning = false;
    b->x.scratch_cap = b->x.scratch_peak;
    b->x.arena = must(aligned_alloc(64, b->x.scratch_cap));
}

int main(int argc, char **argv)
{
    static const struct { const char *name; lls_sample_view_t p; } cases[] = {
        { "greedy", { .temperature = 0, .top_p = 1 } },
        { "top_k 50", { .temperature = 1, .top_p = 1, .top_k = 50 } },
        { "top_k 50, top_p 0.9", { .temperature = 1, .top_p = 0.9f, .top_k = 50 } },
        { "top_k 1000, top_p 0.9", { .temperature = 1, .top_p = 0.9f, .top_k = 1000 } },
        { "top_p 0.9", { .temperature = 1, .top_p = 0.9f } },
        { "min_p 0.05", { .temperature = 1, .top_p = 1, .min_p = 0.05f } },
        { "temperature 1", { .temperature = 1, .top_p = 1 } },
    };
    bench_t   b = { .n_rows = argc > 1 ? (uint32_t)atoi(argv[1]) : 256,
                    .n_vocab = argc > 2 ? (uint32_t)atoi(argv[2]) : 128000,
                    .n_threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 0 };
    lls_mem_t mem;

    lls_mem_init(&mem, NULL);
    set_up(&b, &mem);
    printf("%u rows of %u, %u threads, %s\n", b.n_rows, b.n_vocab, lls_pool_n(lls_cpu_pool(b.cpu)),
           lls_cpu_isa_name(lls_cpu_isa(b.cpu)));
    for (int peaked = 1; peaked >= 0; peaked--) {
        double pass;
        make_logits(&b, peaked);
        memcpy(b.logits, b.made, (size_t)b.n_rows * b.n_vocab * sizeof(float));
        pass = time_pass(&b);
        printf("%s logits: one plain pass %.2f ms\n", peaked ? "peaked" : "spread", pass);
        for (size_t i = 0; i < LLS_ARRAY_LEN(cases); i++) {
            double ms = time_case(&b, &cases[i].p);
            printf("  %-24s %8.2f ms  %6.2f passes\n", cases[i].name, ms, ms / pass);
        }
        for (uint32_t k = 1; k <= 21; k += 20) {
            double ms = time_logprobs(&b, k);
            printf("  logprobs, %2u entries     %8.2f ms  %6.2f passes\n", k, ms, ms / pass);
        }
    }
    lls_cpu_destroy(b.cpu);
    free(b.made);
    free(b.logits);
    free(b.row);
    free(b.out);
    free(b.ids);
    free(b.x.arena);
    return 0;
}
