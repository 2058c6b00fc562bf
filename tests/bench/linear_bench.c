/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast the linear ops are, beside what the machine can do: arithmetic peak and read bandwidth are
 * measured in the same run.  Shapes are those of a 135M-parameter Llama.  Every figure is the best of
 * several samples, as other processes may run.
 *
 *   linear_bench [isa] [threads] [scheme] [samples]     linear_bench avx512 2 Q4_1
 *   linear_bench pack [threads]                         packing a model of Q4_1
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "cpu/cpu_int.h"
#include "cpu/cpu_wmat.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef COPIES_BYTES
#define COPIES_BYTES (128u << 20)   /* of weights: more than caches hold */
#endif

typedef struct shape { uint32_t in, out; } shape_t;

static const shape_t  shapes[] = { { 576, 960 }, { 576, 576 }, { 576, 3072 }, { 1536, 576 }, { 576, 49152 } };
static const uint32_t row_counts[] = { 1, 8, 32, 64, 512 };
static uint32_t       n_samples = 30;

static double now_s(void) { return (double)lls_clock_ns() * 1e-9; }

/* Huge pages, as the engine asks for its weights. */
static uint8_t *big_alloc(size_t bytes)
{
    size_t   huge = (size_t)2 << 20;
    uint8_t *p = aligned_alloc(huge, lls_align_up(bytes, huge));

    madvise(p, lls_align_up(bytes, huge), MADV_HUGEPAGE);
    return p;
}

/* ---- Ceilings -------------------------------------------------------------------------------- */

enum { FMA, DOT_U8 };

typedef struct ceiling_job {
    uint32_t kind, isa;
    uint64_t n;
    const uint8_t *data;            /* of each member: where its next sample of n bytes is read */
    size_t    stride;
    float   *sink;
} ceiling_job_t;

#if defined(__x86_64__)
/* Independent sums, enough to fill the pipes. */
#define N_SUMS 16
#define R4(X, a) X(a##0) X(a##1) X(a##2) X(a##3)
#define R16(X) R4(X, s0) R4(X, s1) R4(X, s2) R4(X, s3)
#define DECLARE(s)  sum_t s = { 0 };
#define ADD(s)      total += s;
#define STEP_FMA(s) __asm__ volatile("vfmadd231ps %0, %0, %0" : "+v"(s));
#define STEP_DOT(s) __asm__ volatile("vpdpbusd %0, %0, %0" : "+v"(s));
#define PEAK(name, STEP)                                                                          \
    __attribute__((target("avx512f,avx512vnni"))) static void name(uint64_t n, float *sink)       \
    {                                                                                             \
        typedef __m512 sum_t;                                                                     \
        sum_t total = { 0 };                                                                      \
        R16(DECLARE)                                                                              \
        while (n-- > 0) {                                                                         \
            R16(STEP)                                                                             \
        }                                                                                         \
        R16(ADD)                                                                                  \
        *sink = total[0];                                                                         \
    }
PEAK(peak_fma, STEP_FMA)
PEAK(peak_dot, STEP_DOT)

/* Reads one stream an item. */
__attribute__((target("avx512f"))) static void read_512(const ceiling_job_t *j, uint32_t item, float *sink)
{
    const uint8_t *p = j->data + item * j->stride;
    __m512i        a = _mm512_setzero_si512(), b = a;

    for (uint64_t i = 0; i < j->n; i += 128) {
        _mm_prefetch((const char *)p + i + 2048, _MM_HINT_T0);
        _mm_prefetch((const char *)p + i + 2112, _MM_HINT_T0);
        a = _mm512_or_si512(a, _mm512_loadu_si512(p + i));
        b = _mm512_xor_si512(b, _mm512_loadu_si512(p + i + 64));
    }
    *sink += (float)_mm512_reduce_add_epi32(_mm512_or_si512(a, b));
}
#endif

static void ceiling_item(void *arg, uint32_t item, uint32_t ith)
{
    ceiling_job_t *j = arg;

#if defined(__x86_64__)
    if (j->data != NULL)
        read_512(j, item, j->sink + ith * 16);
    else
        (j->kind == FMA ? peak_fma : peak_dot)(j->n, j->sink + ith * 16);
#endif
}

static double once(lls_pool_t *pool, lls_pool_fn fn, void *arg)
{
    double t = now_s();

    lls_pool_run(pool, lls_pool_n(pool), fn, arg);
    return now_s() - t;
}

/* Seconds of the best sample. */
static double best_of(lls_pool_t *pool, lls_pool_fn fn, void *arg)
{
    double best = 1e9;

    for (uint32_t i = 0; i < n_samples; i++) {
        double t = once(pool, fn, arg);

        best = t < best ? t : best;
    }
    return best;
}

typedef struct ceilings { double gflops, gops, gbytes; } ceilings_t;

static ceilings_t measure_ceilings(lls_cpu_t *cpu)
{
    ceilings_t c = { 0 };
#if defined(__x86_64__)
    lls_pool_t   *pool = lls_cpu_pool(cpu);
    uint32_t      nth = lls_pool_n(pool);
    float        *sink = calloc(nth, 64);
    uint8_t      *data = big_alloc((size_t)COPIES_BYTES * 2);
    ceiling_job_t j = { .kind = FMA, .n = 200000, .sink = sink };

    if (!lls_cpu_has_isa(LLS_ISA_AVX512))
        return c;
    memset(data, 1, (size_t)COPIES_BYTES * 2);
    c.gflops = 2.0 * 16 * N_SUMS * nth * (double)j.n / best_of(pool, ceiling_item, &j) * 1e-9;
    j.kind = DOT_U8;
    c.gops = 2.0 * 64 * N_SUMS * nth * (double)j.n / best_of(pool, ceiling_item, &j) * 1e-9;
    j.stride = (size_t)COPIES_BYTES * 2 / nth / 128 * 128;
    j.n = 8u << 20;
    for (size_t at = 0; at + j.n <= j.stride; at += j.n) {
        double rate;

        j.data = data + at;
        rate = (double)(j.n * nth) / once(pool, ceiling_item, &j) * 1e-9;
        c.gbytes = rate > c.gbytes ? rate : c.gbytes;
    }
    free(data);
    free(sink);
#endif
    return c;
}

/* ---- Weights --------------------------------------------------------------------------------- */

static uint32_t scheme_of(const char *name)
{
    for (uint32_t s = 0; s < LLS_N_SCHEMES; s++)
        if (strcasecmp(name, lls_scheme_name(s)) == 0)
            return s;
    return LLS_N_SCHEMES;
}

/* Where a block has its scale, followed by the minimum of the formats that have one. */
static uint32_t scale_at(uint32_t scheme)
{
    return scheme == LLS_W_Q2_K ? 80 : scheme == LLS_W_Q3_K ? 108 : scheme == LLS_W_Q6_K ? 208 : 0;
}

/* A matrix as a checkpoint has it: scales are 1/256, values anything. */
static uint8_t *checkpoint(uint32_t scheme, shape_t s)
{
    uint64_t n = s.out * lls_scheme_row_bytes(scheme, s.in);
    uint32_t block = lls_scheme_block_bytes(scheme);
    uint8_t *data = malloc(n);

    for (uint64_t i = 0; i < n; i++)
        data[i] = (uint8_t)(i * 2654435761u >> 16);
    for (uint64_t i = 0; i < n; i += block) {
        if (block > 4)
            memcpy(data + i + scale_at(scheme), "\x00\x1c\x00\x20", lls_kind_has_min(scheme) ? 4 : 2);
        else
            data[i + block - 1] &= 0x3b;
    }
    return data;
}

typedef struct copies {
    uint8_t          *block;
    const lls_wmat_t *w[4096];
    uint32_t          n;
    size_t            bytes;        /* of one */
} copies_t;

static void pack_copies(lls_cpu_t *cpu, uint32_t scheme, shape_t s, copies_t *c)
{
    uint8_t    *data = checkpoint(scheme, s);
    lls_wpart_t part = { .scheme = scheme, .out = s.out, .in = s.in, .data = data };
    lls_wspec_t spec = { .parts = &part, .n_parts = 1,
                         .dtype = scheme == LLS_W_F32 ? LLS_F32 : scheme == LLS_W_F16 ? LLS_F16 : LLS_BF16 };

    c->bytes = lls_align_up(lls_cpu_pack_size(&spec), 64);
    c->n = (uint32_t)lls_min_u64(4096, COPIES_BYTES / c->bytes + 1);
    c->block = big_alloc(c->n * c->bytes);
    for (uint32_t i = 0; i < c->n; i++)
        c->w[i] = lls_cpu_pack(cpu, &spec, c->block + i * c->bytes);
    free(data);
}

/* ---- One figure ------------------------------------------------------------------------------ */

static lls_tensor_t tensor_of(uint32_t rows, uint32_t cols)
{
    lls_tensor_t t = { .data = big_alloc((size_t)rows * cols * 4), .n_dims = 2,
                       .shape = { rows, cols, 1, 1 }, .stride = { cols } };

    for (uint32_t i = 0; i < rows * cols; i++)
        ((float *)t.data)[i] = (float)((int)(i * 2654435761u >> 8) % 2001 - 1000) * 1e-3f;
    return t;
}

/* Seconds of one call; the copies take turns. */
static double time_linear(lls_exec_t *x, const copies_t *c, shape_t s, uint32_t m)
{
    lls_tensor_t in = tensor_of(m, s.in), out = tensor_of(m, s.out);
    lls_linear_t p = { .in = s.in, .out = s.out };
    double       best = 1e9;
    uint32_t     n = 1, at = 0;

    x->planning = true;
    lls_cpu_linear(x, &out, &in, &p);
    x->planning = false;
    x->scratch_cap = x->scratch_peak;
    x->arena = big_alloc(x->scratch_cap + 64);
    for (uint32_t i = 0; i < n_samples + 3; i++) {
        double t = now_s();

        for (uint32_t k = 0; k < n; k++, at++) {
            p.w = c->w[at % c->n];
            lls_cpu_linear(x, &out, &in, &p);
        }
        t = (now_s() - t) / n;
        if (i < 3)                      /* short samples: the best is one that nobody disturbed */
            n = (uint32_t)(1e-3 / t) + 1;
        else
            best = t < best ? t : best;
    }
    free(x->arena);
    free(in.data);
    free(out.data);
    return best;
}

static void bench_scheme(lls_cpu_t *cpu, uint32_t scheme, ceilings_t top)
{
    double     peak = scheme < LLS_W_Q4_0 ? top.gflops : top.gops;
    double     seconds[LLS_ARRAY_LEN(row_counts)][LLS_ARRAY_LEN(shapes)];
    lls_exec_t x = { .backend = cpu };
    copies_t  *c = malloc(sizeof *c);

    for (uint32_t s = 0; s < LLS_ARRAY_LEN(shapes); s++) {
        pack_copies(cpu, scheme, shapes[s], c);
        for (uint32_t m = 0; m < LLS_ARRAY_LEN(row_counts); m++)
            seconds[m][s] = time_linear(&x, c, shapes[s], row_counts[m]);
        free(c->block);
    }
    free(c);
    for (uint32_t m = 0; m < LLS_ARRAY_LEN(row_counts); m++) {
        double layers = 0, step;

        printf("%-5s M %3u |", lls_scheme_name(scheme), row_counts[m]);
        for (uint32_t s = 0; s < LLS_ARRAY_LEN(shapes); s++) {
            double values = (double)shapes[s].in * shapes[s].out;
            double bytes = values / lls_scheme_block(scheme) * lls_scheme_block_bytes(scheme);

            printf(" %ux%u %6.1f %5.1f |", shapes[s].in, shapes[s].out,
                   2e-9 * row_counts[m] * values / seconds[m][s], bytes / seconds[m][s] * 1e-9);
            layers += s < 4 ? 30 * seconds[m][s] : 0;
        }
        step = layers + seconds[m][4];
        printf(" 30 layers %.2f ms, with head %.2f ms: %.0f tok/s, %.0f %% of the peak\n", layers * 1e3,
               step * 1e3, row_counts[m] / step,
               2e-9 * row_counts[m] * (30 * 3538944.0 + 28311552.0) / step / peak * 100);
    }
}

/* A whole model of Q4_1 from warm memory to panels. */
static void bench_pack(lls_cpu_t *cpu)
{
    uint8_t *data[5], *dst;
    size_t   bytes = 0, at = 0;
    double   t, best = 1e9;

    for (uint32_t s = 0; s < 5; s++) {
        lls_wpart_t part = { .scheme = LLS_W_Q4_1, .out = shapes[s].out, .in = shapes[s].in };
        lls_wspec_t spec = { .parts = &part, .n_parts = 1, .dtype = LLS_BF16 };

        data[s] = checkpoint(LLS_W_Q4_1, shapes[s]);
        bytes += (s < 4 ? 30 : 1) * lls_align_up(lls_cpu_pack_size(&spec), 64);
    }
    for (uint32_t i = 0; i < n_samples; i++, at = 0) {
        dst = big_alloc(bytes);         /* pages are touched by packing, as at load */
        t = now_s();
        for (uint32_t k = 0; k < 4 * 30 + 1; k++) {
            uint32_t    s = k < 120 ? k % 4 : 4;
            lls_wpart_t part = { .scheme = LLS_W_Q4_1, .out = shapes[s].out, .in = shapes[s].in,
                                 .data = data[s] };
            lls_wspec_t spec = { .parts = &part, .n_parts = 1, .dtype = LLS_BF16 };

            lls_cpu_pack(cpu, &spec, dst + at);
            at += lls_align_up(lls_cpu_pack_size(&spec), 64);
        }
        t = now_s() - t;
        best = t < best ? t : best;
        free(dst);
    }
    printf("packing %.1f MB of Q4_1: %.1f ms\n", (double)bytes * 1e-6, best * 1e3);
}

int main(int argc, char **argv)
{
    bool        pack = argc > 1 && strcmp(argv[1], "pack") == 0;
    const char *isa = argc > 1 && !pack ? argv[1] : "auto";
    uint32_t    scheme = argc > 3 ? scheme_of(argv[3]) : LLS_N_SCHEMES;
    llm_error_t err = { 0 };
    lls_mem_t   mem;
    lls_cpu_t  *cpu;
    ceilings_t  top;

    lls_mem_init(&mem, NULL);
    n_samples = argc > 4 ? (uint32_t)atoi(argv[4]) : n_samples;
    if (lls_cpu_create(&mem, argc > 2 ? (uint32_t)atoi(argv[2]) : 0, isa, &cpu, &err) != LLM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    if (pack) {
        bench_pack(cpu);
    } else {
        top = measure_ceilings(cpu);
        printf("%s, %u threads; peak %.0f GFLOP/s FMA, %.0f GOP/s int8, %.1f GB/s read; columns: GFLOP/s GB/s\n",
               lls_cpu_isa_name(lls_cpu_isa(cpu)), lls_pool_n(lls_cpu_pool(cpu)), top.gflops, top.gops,
               top.gbytes);
        for (uint32_t s = 0; s < LLS_N_SCHEMES; s++)
            if (scheme == LLS_N_SCHEMES || s == scheme)
                bench_scheme(cpu, s, top);
    }
    lls_cpu_destroy(cpu);
    return 0;
}
