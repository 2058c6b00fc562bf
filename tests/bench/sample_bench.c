/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_bench - time of the sampler beside one plain pass (a streamed maximum) over the same
 * logits, the two in turn; a case is given as the median of its passes.
 *
 * usage: sample_bench [rows] [vocabulary] [threads] [instruction set] [repeats]; a table in
 * Markdown on stdout.  Nothing is asserted.  Time is CPU time of all threads, so that neighbours
 * matter less.
 * With WRITE=<file> in the environment the logits of "normal, sd 2" go there first, as float32.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cpu/cpu_int.h"
#include "sample/logprobs.h"
#include "sample/sample_kernels.h"

#include "median.h"

#define MAX_REPEATS 99u

typedef struct bench {
    uint32_t          n_rows, n_vocab, n_threads, n_repeats;
    float            *logits;
    lls_sample_row_t *row;
    lls_sample_out_t *out;
    int32_t          *ids;
    lls_cpu_t        *cpu;
    lls_exec_t        x;
    const lls_sample_kernels_t *k;
    lls_sample_view_t params;
} bench_t;

typedef void (*bench_fn)(bench_t *b);

static void *must(void *p)
{
    if (p == NULL)
        exit(1);
    return p;
}

static double cpu_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

/* ---- Logits ---------------------------------------------------------------------------------- */

typedef struct kind {
    const char *name;
    float       sd;                 /* of normal noise; 0 = flat */
    float       peaks;              /* what one token in a thousand has more, at most */
    bool        coarse;             /* rounded to bfloat16: many ties */
} kind_t;

static const kind_t kinds[] = {
    { "peaked", 1, 14, false },
    { "peaked, bfloat16", 1, 14, true },
    { "normal, sd 1", 1, 0, false },
    { "normal, sd 2", 2, 0, false },
    { "normal, sd 2, bfloat16", 2, 0, true },
    { "normal, sd 5", 5, 0, false },
    { "flat", 0, 0, false },
};

static uint64_t rng = 9;

static uint32_t rnd(void)
{
    rng = rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(rng >> 32);
}

static float rnd_normal(void)
{
    float u = ((float)rnd() + 0.5f) * 0x1p-32f, v = ((float)rnd() + 0.5f) * 0x1p-32f;

    return sqrtf(-2 * logf(u)) * cosf(6.2831853f * v);
}

static float to_bfloat16(float x)
{
    uint32_t b;

    memcpy(&b, &x, sizeof b);
    b = (b + 0x7fffu + ((b >> 16) & 1)) & 0xffff0000u;
    memcpy(&x, &b, sizeof x);
    return x;
}

static void make_logits(bench_t *b, const kind_t *kind)
{
    for (size_t i = 0; i < (size_t)b->n_rows * b->n_vocab; i++) {
        float v = kind->sd > 0 ? kind->sd * rnd_normal() : 1.25f;
        if (kind->peaks > 0 && rnd() % 1000 == 0)
            v += kind->peaks * ((float)rnd() * 0x1p-32f);
        b->logits[i] = kind->coarse ? to_bfloat16(v) : v;
    }
}

static void write_logits(const bench_t *b, const char *path)
{
    FILE *f = must(fopen(path, "wb"));

    if (fwrite(b->logits, b->n_vocab * sizeof(float), b->n_rows, f) != b->n_rows || fclose(f) != 0)
        exit(1);
}

/* ---- What is timed --------------------------------------------------------------------------- */

static void pass_row(void *arg, uint32_t row, uint32_t ith)
{
    bench_t *b = arg;
    float    peaks[16 * 1024], max;

    b->k->scan(b->logits + (size_t)row * b->n_vocab, b->n_vocab, peaks, &max);
}

static void pass(bench_t *b)
{
    lls_pool_run(lls_cpu_pool(b->cpu), b->n_rows, pass_row, b);
}

static void draw(bench_t *b)
{
    lls_tensor_t      logits = { .data = b->logits, .shape = { b->n_rows, b->n_vocab },
                                 .stride = { b->n_vocab } };
    lls_tensor_t      ids = { .data = b->ids, .stride = { 1 } };
    lls_sample_rows_t rows = { .n_rows = b->n_rows, .n_vocab = b->n_vocab, .row = b->row,
                               .out = b->out };

    for (uint32_t r = 0; r < b->n_rows; r++) {
        b->row[r] = (lls_sample_row_t){ .params = b->params, .position = r, .logit = r };
        b->out[r].n_kept = LLS_NONE;
    }
    lls_cpu_draw(&b->x, &ids, &logits, &rows);
}

static double time_of(bench_t *b, bench_fn fn)
{
    double t0 = cpu_ms();

    fn(b);
    return cpu_ms() - t0;
}

/* Of fn, in units of a pass taken just before. */
static double passes(bench_t *b, bench_fn fn)
{
    double ratio[MAX_REPEATS];

    for (uint32_t i = 0; i < b->n_repeats; i++) {
        double one = time_of(b, pass);
        ratio[i] = time_of(b, fn) / one;
    }
    return median(ratio, b->n_repeats);
}

/* ---- The table ------------------------------------------------------------------------------- */

typedef struct sampling {
    const char       *name;
    lls_sample_view_t p;
} sampling_t;

static const sampling_t cases[] = {
    { "greedy", { .temperature = 0, .top_p = 1 } },
    { "temperature 1", { .temperature = 1, .top_p = 1 } },
    { "top_k 50", { .temperature = 1, .top_p = 1, .top_k = 50 } },
    { "top_k 1000", { .temperature = 1, .top_p = 1, .top_k = 1000 } },
    { "top_p 0.9", { .temperature = 1, .top_p = 0.9f } },
    { "top_p 0.95", { .temperature = 1, .top_p = 0.95f } },
    { "top_k 50, top_p 0.9", { .temperature = 1, .top_p = 0.9f, .top_k = 50 } },
    { "top_k 1000, top_p 0.95", { .temperature = 1, .top_p = 0.95f, .top_k = 1000 } },
    { "min_p 0.05", { .temperature = 1, .top_p = 1, .min_p = 0.05f } },
    { "top_p 0.5", { .temperature = 1, .top_p = 0.5f } },
    { "top_k 20000", { .temperature = 1, .top_p = 1, .top_k = 20000 } },
};

static void print_header(void)
{
    printf("| passes |");
    for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++)
        printf(" %s |", kinds[k].name);
    printf("\n| --- |");
    for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++)
        printf(" --- |");
    printf("\n");
}

static void print_table(bench_t *b)
{
    double cell[LLS_ARRAY_LEN(cases)][LLS_ARRAY_LEN(kinds)], ms[LLS_ARRAY_LEN(kinds)];

    for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++) {
        make_logits(b, &kinds[k]);
        if (k == 3 && getenv("WRITE") != NULL)
            write_logits(b, getenv("WRITE"));
        pass(b);
        ms[k] = time_of(b, pass);
        for (size_t c = 0; c < LLS_ARRAY_LEN(cases); c++) {
            b->params = cases[c].p;
            cell[c][k] = passes(b, draw);
        }
    }
    print_header();
    for (size_t c = 0; c < LLS_ARRAY_LEN(cases); c++) {
        printf("| %s |", cases[c].name);
        for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++)
            printf(" %.2f |", cell[c][k]);
        printf("\n");
    }
    printf("| (ms of the pass) |");
    for (size_t k = 0; k < LLS_ARRAY_LEN(kinds); k++)
        printf(" %.2f |", ms[k]);
    printf("\n");
}

static const lls_sample_kernels_t *kernels_of(const lls_cpu_t *cpu)
{
#if defined(__x86_64__)
    if (lls_cpu_isa(cpu) >= LLS_ISA_AVX512)
        return &lls_sample_kernels_avx512;
    if (lls_cpu_isa(cpu) >= LLS_ISA_AVX2)
        return &lls_sample_kernels_avx2;
#endif
    return &lls_sample_kernels_plain;
}

static void set_up(bench_t *b, lls_mem_t *mem, const char *isa)
{
    if (lls_cpu_create(mem, b->n_threads, isa, &b->cpu, NULL) != LLM_OK)
        exit(1);
    b->k = kernels_of(b->cpu);
    b->logits = must(malloc((size_t)b->n_rows * b->n_vocab * sizeof *b->logits));
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
    bench_t   b = { .n_rows = argc > 1 ? (uint32_t)atoi(argv[1]) : 256,
                    .n_vocab = argc > 2 ? (uint32_t)atoi(argv[2]) : 128000,
                    .n_threads = argc > 3 ? (uint32_t)atoi(argv[3]) : 1,
                    .n_repeats = lls_min_u32(MAX_REPEATS, argc > 5 ? (uint32_t)atoi(argv[5]) : 5) };
    lls_mem_t mem;

    lls_mem_init(&mem, NULL);
    set_up(&b, &mem, argc > 4 && argv[4][0] != 0 ? argv[4] : NULL);
    printf("%u rows of %u, threads %u, %s\n\n", b.n_rows, b.n_vocab,
           lls_pool_n(lls_cpu_pool(b.cpu)), lls_cpu_isa_name(lls_cpu_isa(b.cpu)));
    print_table(&b);
    lls_cpu_destroy(b.cpu);
    free(b.logits);
    free(b.row);
    free(b.out);
    free(b.ids);
    free(b.x.arena);
    return 0;
}
