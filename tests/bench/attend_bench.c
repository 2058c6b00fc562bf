/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend_bench - attention alone: prefill and decode at some depths, in microseconds a call.
 *
 *     attend_bench [threads] [isa] [float32|float16|bfloat16|int8] [n_q n_kv head_dim]
 *                  [GFLOP/s GB/s]
 *
 * With what the machine can do at most, the share of it: of arithmetic for prefill, of reading for
 * decode.  attend.sh measures both.
 *
 * The best of many calls: other processes only make it slower.  With one thread the clock is the
 * thread's own.  Decode walks over many layers' pages, so that these come from memory.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cpu/cpu_int.h"

#define BLOCK 32u
#define MAX_SECONDS 1.5

typedef struct shape {
    uint32_t rows, n, context;      /* batch rows, new tokens of each, tokens with the new ones */
} shape_t;

typedef struct bench {
    lls_cpu_t    *cpu;
    lls_exec_t    x;
    lls_attend_t  attend;
    lls_pages_t   pages;
    lls_batch_t   batch;
    lls_tensor_t  qkv, out;
    double        gflops, gbs;      /* of the machine; 0: not known */
    uint8_t      *cache;
    size_t        cache_bytes, layer_bytes;
    uint32_t      row_start[65], context[64], row[64], *table;
} bench_t;

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float noise(uint64_t i)
{
    return (float)(lls_mix64(i, 7) & 0xffff) / 16384.0f - 2.0f;
}

static lls_tensor_t matrix(uint32_t rows, uint32_t cols)
{
    lls_tensor_t t = { .dtype = LLS_F32, .n_dims = 2, .shape = { rows, cols, 1, 1 },
                       .stride = { cols } };
    float       *p = aligned_alloc(64, lls_align_up((size_t)rows * cols * sizeof *p, 64));

    for (size_t i = 0; i < (size_t)rows * cols; i++)
        p[i] = noise(i);
    t.data = p;
    return t;
}

static void set_up(bench_t *b, const shape_t *s)
{
    uint32_t blocks = lls_ceil_div(s->context, BLOCK), width;

    width = (b->attend.n_q + 2 * b->attend.n_kv) * b->attend.head_dim;
    b->table = malloc((size_t)s->rows * blocks * sizeof *b->table);
    for (uint32_t i = 0; i < s->rows * blocks; i++)
        b->table[i] = i + 1;
    for (uint32_t i = 0; i < s->rows; i++) {
        b->row_start[i + 1] = (i + 1) * s->n;
        b->context[i] = s->context;
        b->row[i] = i;
    }
    b->batch = (lls_batch_t){ .n_tokens = s->rows * s->n, .n_rows = s->rows, .max_n = s->n,
                              .max_context = s->context, .n_groups = 1, .max_blocks = { blocks },
                              .row_start = b->row_start, .context = b->context, .row = b->row,
                              .table = { b->table } };
    b->layer_bytes = (size_t)(s->rows * blocks + 1) * b->pages.block_bytes;
    b->qkv = matrix(s->rows * s->n, width);
    b->out = matrix(s->rows * s->n, b->attend.n_q * b->attend.head_dim);
    b->x = (lls_exec_t){ .backend = b->cpu, .planning = true };
    lls_cpu_attend(&b->x, &b->out, &b->qkv, &b->batch, &b->pages, &b->attend);
    b->x.planning = false;
    b->x.scratch_cap = b->x.scratch_peak;
    b->x.arena = aligned_alloc(2 << 20, lls_align_up(b->x.scratch_cap, 2 << 20));
    madvise(b->x.arena, lls_align_up(b->x.scratch_cap, 2 << 20), MADV_HUGEPAGE);
    memset(b->x.arena, 0, b->x.scratch_cap);
}

static void tear_down(bench_t *b)
{
    free(b->table);
    free(b->qkv.data);
    free(b->out.data);
    free(b->x.arena);
}

static double best_call(bench_t *b)
{
    uint32_t  n_layers = (uint32_t)(b->cache_bytes / b->layer_bytes), layer = 0;
    clockid_t clock = lls_pool_n(lls_cpu_pool(b->cpu)) == 1 ? CLOCK_THREAD_CPUTIME_ID
                                                            : CLOCK_MONOTONIC;
    double    best = 1e9, start = now(CLOCK_MONOTONIC);

    for (int i = 0; i < 3 || now(CLOCK_MONOTONIC) - start < MAX_SECONDS; i++) {
        double t = now(clock);
        b->pages.base = b->cache + layer * b->layer_bytes;
        lls_cpu_attend(&b->x, &b->out, &b->qkv, &b->batch, &b->pages, &b->attend);
        best = fmin(best, now(clock) - t);
        layer = (layer + 1) % n_layers;
    }
    return best;
}

static void measure(bench_t *b, const shape_t *s)
{
    const lls_attend_t *a = &b->attend;
    double              pairs, t, gflops, gbs;

    set_up(b, s);
    if (b->layer_bytes > b->cache_bytes) {
        printf("rows %2u  new %3u  context %5u  does not fit\n", s->rows, s->n, s->context);
        tear_down(b);
        return;
    }
    t = best_call(b);
    pairs = (double)s->n * (s->context - s->n) + 0.5 * s->n * (s->n + 1.0);
    gflops = 4e-9 * s->rows * a->n_q * a->head_dim * pairs / t;
    gbs = 1e-9 * s->rows * s->context * (double)b->pages.block_bytes / BLOCK / t;
    printf("rows %2u  new %3u  context %5u  %9.1f us  %6.1f GFLOP/s  %5.1f GB/s", s->rows, s->n,
           s->context, t * 1e6, gflops, gbs);
    if (b->gflops > 0 && b->gbs > 0)
        printf("  %3.0f %%", 100 * (s->n > 1 ? gflops / b->gflops : gbs / b->gbs));
    printf("\n");
    fflush(stdout);
    tear_down(b);
}

/* Plausible numbers everywhere, written as the engine does. */
static void fill_cache(bench_t *b)
{
    shape_t s = { 1, BLOCK, BLOCK };
    size_t  block = b->pages.block_bytes;

    b->pages.base = b->cache;
    set_up(b, &s);
    lls_cpu_kv_write(&b->x, &b->qkv, &b->batch, &b->pages, &b->attend);
    for (size_t at = 0; at + block <= b->cache_bytes; at += block)
        if (at != block)
            memcpy(b->cache + at, b->cache + block, block);
    tear_down(b);
}

static uint32_t dtype_of(const char *name)
{
    for (uint32_t i = 0; i < LLS_N_DTYPES; i++)
        if (strcmp(name, lls_dtype_name(i)) == 0)
            return i;
    return LLS_BF16;
}

int main(int argc, char **argv)
{
    static const shape_t shapes[] = { { 1, 512, 512 }, { 1, 512, 2560 }, { 1, 1, 2048 },
                                      { 8, 1, 2048 }, { 32, 1, 2048 }, { 1, 512, 8704 },
                                      { 1, 1, 8192 }, { 8, 1, 8192 }, { 1, 512, 33280 },
                                      { 1, 1, 32768 }, { 1, 1, 100000 } };
    uint32_t    threads = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
    bench_t     b = { .cache_bytes = (size_t)512 << 20,
                      .gflops = argc > 8 ? atof(argv[7]) : 0, .gbs = argc > 8 ? atof(argv[8]) : 0 };
    lls_mem_t   mem;
    llm_error_t err;

    b.attend = (lls_attend_t){ .n_q = argc > 4 ? (uint32_t)atoi(argv[4]) : 9,
                               .n_kv = argc > 5 ? (uint32_t)atoi(argv[5]) : 3,
                               .head_dim = argc > 6 ? (uint32_t)atoi(argv[6]) : 64 };
    b.attend.scale = 1.0f / sqrtf((float)b.attend.head_dim);
    b.pages = (lls_pages_t){ .dtype = dtype_of(argc > 3 ? argv[3] : "bfloat16"),
                             .block_tokens = BLOCK, .n_heads = b.attend.n_kv,
                             .head_dim = b.attend.head_dim };
    b.pages.block_bytes = lls_cpu_page_bytes(b.pages.dtype, BLOCK, b.attend.n_kv, b.attend.head_dim);
    lls_mem_init(&mem, NULL);
    if (lls_cpu_create(&mem, threads, argc > 2 ? argv[2] : NULL, &b.cpu, &err) != LLM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    b.cache = aligned_alloc(2 << 20, b.cache_bytes);
    madvise(b.cache, b.cache_bytes, MADV_HUGEPAGE);
    fill_cache(&b);
    printf("%s, %u threads, %s, heads %u/%u, head_dim %u\n", lls_cpu_isa_name(lls_cpu_isa(b.cpu)),
           lls_pool_n(lls_cpu_pool(b.cpu)), lls_dtype_name(b.pages.dtype), b.attend.n_q,
           b.attend.n_kv, b.attend.head_dim);
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(shapes); i++)
        measure(&b, &shapes[i]);
    free(b.cache);
    lls_cpu_destroy(b.cpu);
    return 0;
}
