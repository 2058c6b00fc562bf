/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attend_test - attention over the paged cache: close to float64, and the same bits however a
 * sequence is cut into chunks, batches and threads, over shuffled blocks full of old NaNs.
 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "cpu/cpu_attend_int.h"
#include "cpu/cpu_math.h"

#define MAX_SEQS 32u
#define MAX_TOTAL 800u

typedef struct shape {
    uint32_t n_q, n_kv, dim, bt, kind, window;
    float    softcap;
    uint32_t dtype;
} shape_t;

typedef struct world {              /* one cache with some sequences in it */
    shape_t      z;
    lls_cpu_t   *cpu;
    lls_exec_t   x;
    lls_batch_t  batch;
    lls_pages_t  pages;
    lls_attend_t attend;
    uint32_t     n_seqs, total, n_blocks;
    uint8_t     *mem, *arena;
    float       *qkv, *out;
    uint32_t     row_start[MAX_SEQS + 1], context[MAX_SEQS], row[MAX_SEQS], at[MAX_SEQS];
    uint32_t    *table;
} world_t;

typedef struct spoil {              /* value `at` of a token's q, k and v, if there is one */
    uint32_t token, at;
    float    value;
} spoil_t;

static lls_mem_t  mem;
static uint32_t   stale = 0xffffffff;   /* what lies in blocks before they are written: NaNs */
static spoil_t    spoil;
static lls_cpu_t *cpus[LLS_N_ISAS][4];  /* by threads */

/* About normal, with a few large dimensions. */
static float value(uint64_t s, uint64_t h, uint64_t t, uint64_t d)
{
    uint64_t x = lls_mix64(s * 1000003 + h, t * 8191 + d);
    float    v = (float)(x & 0xffff) + (float)(x >> 16 & 0xffff) + (float)(x >> 32 & 0xffff) +
              (float)(x >> 48);

    return (v / 65536.0f - 2.0f) * (d % 37 == 5 ? 3.0f : 1.2f);
}

static float query(uint64_t s, uint64_t h, uint64_t t, uint64_t d)
{
    return 1.5f * value(s + 100, h, t, d);
}

/* int8 is compared with what it was made from. */
static float stored(const shape_t *z, float v)
{
    switch (z->dtype) {
    case LLS_F16:
        return lls_f16_to_f32(lls_f32_to_f16(v));
    case LLS_BF16:
        return lls_bf16_to_f32(lls_f32_to_bf16(v));
    default:
        return v;
    }
}

static void *aligned(size_t n)
{
    void *p = aligned_alloc(64, lls_align_up(n, 64));

    assert_non_null(p);
    return p;
}

static void fill_stale(uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof stale)
        memcpy(p + i, &stale, sizeof stale);
}

static uint32_t width_of(const shape_t *z) { return (z->n_q + 2 * z->n_kv) * z->dim; }

static lls_tensor_t matrix(float *data, uint32_t rows, uint32_t cols)
{
    return (lls_tensor_t){ .data = data, .dtype = LLS_F32, .n_dims = 2,
                           .shape = { rows, cols, 1, 1 }, .stride = { cols } };
}

static void plan_scratch(world_t *w)
{
    lls_tensor_t qkv = matrix(NULL, 0, width_of(&w->z)), out = matrix(NULL, 0, w->z.n_q * w->z.dim);

    w->batch.n_rows = w->n_seqs;
    w->batch.n_tokens = w->batch.max_n = w->n_seqs * w->total;
    w->batch.max_context = w->total;
    w->x.planning = true;
    lls_cpu_attend(&w->x, &out, &qkv, &w->batch, &w->pages, &w->attend);
    w->x.planning = false;
    w->x.scratch_cap = w->x.scratch_peak;
    w->arena = w->x.arena = aligned(w->x.scratch_cap);
}

static void world_init(world_t *w, const shape_t *z, lls_cpu_t *cpu, uint32_t n_seqs,
                       uint32_t total)
{
    uint32_t blocks = (total + z->bt - 1) / z->bt;
    size_t   bytes = lls_cpu_page_bytes(z->dtype, z->bt, z->n_kv, z->dim);

    *w = (world_t){ .z = *z, .cpu = cpu, .n_seqs = n_seqs, .total = total };
    w->n_blocks = n_seqs * blocks + 1;
    w->x = (lls_exec_t){ .backend = cpu, .invariant = true };
    w->attend = (lls_attend_t){ .n_q = z->n_q, .n_kv = z->n_kv, .head_dim = z->dim, .kind = z->kind,
                                .window = z->window, .scale = 1.0f / sqrtf((float)z->dim),
                                .softcap = z->softcap };
    w->mem = aligned(w->n_blocks * bytes);
    fill_stale(w->mem, w->n_blocks * bytes);
    w->pages = (lls_pages_t){ w->mem, bytes, z->dtype, z->bt, z->n_kv, z->dim };
    w->table = calloc((size_t)n_seqs * blocks, sizeof *w->table);
    for (uint32_t i = 0; i < n_seqs * blocks; i++)
        w->table[i] = 1 + (uint32_t)((uint64_t)i * 7919 % (n_seqs * blocks));   /* 7919: a prime */
    w->batch = (lls_batch_t){ .n_groups = 1, .max_blocks = { blocks }, .row_start = w->row_start,
                              .context = w->context, .row = w->row, .table = { w->table } };
    w->qkv = aligned((size_t)n_seqs * total * width_of(z) * sizeof(float));
    w->out = aligned((size_t)n_seqs * total * z->n_q * z->dim * sizeof(float));
    plan_scratch(w);
}

static void world_deinit(world_t *w)
{
    free(w->mem);
    free(w->table);
    free(w->qkv);
    free(w->out);
    free(w->arena);
}

/* Blocks that no token from position `at` on needs become the null block, their contents stale. */
static void leave_blocks(world_t *w, uint32_t seq, uint32_t at)
{
    lls_kv_group_config_t g = { .kind = (uint8_t)w->z.kind, .window = w->z.window };
    uint32_t              n = lls_kv_first_needed(&g, at) / w->z.bt;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t *e = &w->table[seq * w->batch.max_blocks[0] + i];
        if (*e != 0)
            fill_stale(w->mem + *e * w->pages.block_bytes, w->pages.block_bytes);
        *e = 0;
    }
}

static void fill_token(const world_t *w, uint32_t seq, uint32_t t, float *qkv)
{
    const shape_t *z = &w->z;

    float         *row = qkv;

    for (uint32_t h = 0; h < z->n_q; h++)
        for (uint32_t d = 0; d < z->dim; d++)
            *qkv++ = query(seq % 3, h, t, d);
    for (uint32_t h = 0; h < 2 * z->n_kv; h++)
        for (uint32_t d = 0; d < z->dim; d++)
            *qkv++ = value(seq % 3, h, t, d);
    if (t == spoil.token && spoil.at != 0)
        row[spoil.at] = spoil.value;
}

/* One step: n[i] tokens of each sequence (0 = it does not run); results into all[seq][token]. */
static void step(world_t *w, const uint32_t *n, float *all)
{
    uint32_t     row_floats = w->z.n_q * w->z.dim, t = 0;
    lls_tensor_t qkv, out;

    w->batch.n_rows = w->batch.max_n = w->batch.max_context = 0;
    for (uint32_t s = w->n_seqs; s-- > 0;) {        /* rows of the batch in another order */
        if (n[s] == 0)
            continue;
        leave_blocks(w, s, w->at[s]);
        w->row[w->batch.n_rows] = s;
        w->row_start[w->batch.n_rows] = t;
        for (uint32_t i = 0; i < n[s]; i++)
            fill_token(w, s, w->at[s] + i, w->qkv + (size_t)t++ * width_of(&w->z));
        w->at[s] += n[s];
        w->context[w->batch.n_rows++] = w->at[s];
        w->batch.max_n = lls_max_u32(w->batch.max_n, n[s]);
        w->batch.max_context = lls_max_u32(w->batch.max_context, w->at[s]);
    }
    w->row_start[w->batch.n_rows] = w->batch.n_tokens = t;
    qkv = matrix(w->qkv, t, width_of(&w->z));
    out = matrix(w->out, t, row_floats);
    lls_cpu_kv_write(&w->x, &qkv, &w->batch, &w->pages, &w->attend);
    lls_cpu_attend(&w->x, &out, &qkv, &w->batch, &w->pages, &w->attend);
    for (uint32_t i = 0; i < w->batch.n_rows; i++) {
        uint32_t s = w->row[i];
        memcpy(all + ((size_t)s * w->total + w->at[s] - n[s]) * row_floats,
               w->out + (size_t)w->row_start[i] * row_floats,
               (size_t)n[s] * row_floats * sizeof(float));
    }
}

/* All sequences up to `total`; the first `whole` tokens at once, then `chunk` at a time; chunk 0:
 * every sequence at a pace of its own. */
static void run(world_t *w, uint32_t whole, uint32_t chunk, float *all)
{
    uint32_t n[MAX_SEQS];

    for (bool more = true; more;) {
        more = false;
        for (uint32_t s = 0; s < w->n_seqs; s++) {
            uint32_t pace = chunk != 0 ? chunk : 1 + s * 29 % 71;
            n[s] = lls_min_u32(w->at[s] < whole ? whole - w->at[s] : pace, w->total - w->at[s]);
            more = more || n[s] > 0;
        }
        if (more)
            step(w, n, all);
    }
}

/* ---- Against float64 ------------------------------------------------------------------------ */

static void reference_row(const shape_t *z, uint32_t seq, uint32_t t, uint32_t h, double *o)
{
    lls_kv_group_config_t g = { .kind = (uint8_t)z->kind, .window = z->window };
    uint32_t              lo = lls_kv_first_needed(&g, t), kv = h / (z->n_q / z->n_kv);
    double                score[MAX_TOTAL], max = -1e300, sum = 0;

    for (uint32_t k = lo; k <= t; k++) {
        double s = 0;
        for (uint32_t d = 0; d < z->dim; d++)
            s += (double)query(seq, h, t, d) * stored(z, value(seq, kv, k, d));
        s /= sqrt(z->dim);
        score[k] = z->softcap == 0 ? s : z->softcap * tanh(s / z->softcap);
        max = fmax(max, score[k]);
    }
    memset(o, 0, z->dim * sizeof *o);
    for (uint32_t k = lo; k <= t; k++)
        sum += score[k] = exp(score[k] - max);
    for (uint32_t k = lo; k <= t; k++)
        for (uint32_t d = 0; d < z->dim; d++)
            o[d] += score[k] / sum * stored(z, value(seq, z->n_kv + kv, k, d));
}

/* Norm of the error over norm of the result, of tokens [from, total) of sequence 0. */
static double error_of(const shape_t *z, uint32_t from, uint32_t total, const float *all)
{
    double num = 0, den = 0, o[512];

    for (uint32_t t = from; t < total; t++)
        for (uint32_t h = 0; h < z->n_q; h++) {
            reference_row(z, 0, t, h, o);
            for (uint32_t d = 0; d < z->dim; d++) {
                double e = o[d] - all[((size_t)t * z->n_q + h) * z->dim + d];
                num += e * e;
                den += o[d] * o[d];
            }
        }
    return sqrt(num / den);
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static const shape_t shapes[] = {
    { 9, 3, 64, 32, LLS_KV_FULL, 0, 0, LLS_BF16 },
    { 9, 3, 64, 16, LLS_KV_FULL, 0, 0, LLS_F32 },
    { 8, 1, 64, 16, LLS_KV_FULL, 0, 0, LLS_BF16 },
    { 4, 4, 128, 32, LLS_KV_FULL, 0, 0, LLS_BF16 },
    { 4, 2, 128, 16, LLS_KV_SLIDING, 100, 0, LLS_BF16 },
    { 14, 2, 64, 32, LLS_KV_SLIDING, 300, 0, LLS_F32 },
    { 10, 2, 64, 16, LLS_KV_SLIDING, 33, 0, LLS_BF16 },
    { 4, 1, 256, 32, LLS_KV_SLIDING, 40, 50, LLS_BF16 },
    { 4, 2, 96, 16, LLS_KV_CHUNKED, 64, 0, LLS_F32 },
    { 2, 2, 80, 64, LLS_KV_CHUNKED, 50, 30, LLS_BF16 },
    { 4, 2, 16, 16, LLS_KV_FULL, 0, 0, LLS_F32 },
    { 2, 1, 10, 16, LLS_KV_SLIDING, 1, 0, LLS_BF16 },
    { 3, 1, 64, 8, LLS_KV_FULL, 0, 0, LLS_BF16 },
    { 16, 1, 32, 256, LLS_KV_FULL, 0, 20, LLS_F32 },
    { 9, 3, 64, 16, LLS_KV_FULL, 0, 0, LLS_I8 },
    { 8, 1, 64, 32, LLS_KV_FULL, 0, 0, LLS_F16 },
    { 8, 1, 32, 16, LLS_KV_SLIDING, 33, 0, LLS_I8 },
    { 4, 2, 128, 16, LLS_KV_SLIDING, 300, 0, LLS_I8 },
    { 4, 2, 96, 16, LLS_KV_SLIDING, 33, 0, LLS_F16 },
    { 4, 1, 256, 32, LLS_KV_FULL, 0, 50, LLS_I8 },
    { 2, 2, 80, 64, LLS_KV_CHUNKED, 50, 30, LLS_F16 },
    { 4, 2, 10, 16, LLS_KV_CHUNKED, 64, 0, LLS_I8 },
    { 2, 1, 6, 16, LLS_KV_SLIDING, 1, 0, LLS_F16 },
    { 3, 1, 64, 8, LLS_KV_FULL, 0, 0, LLS_I8 },
    { 14, 2, 128, 16, LLS_KV_FULL, 0, 0, LLS_F16 },
    { 17, 1, 48, 256, LLS_KV_SLIDING, 130, 0, LLS_BF16 },
};

static bool is_slow(uint32_t isa) { return EMULATED || isa == LLS_ISA_PLAIN; }

/* What float32 arithmetic loses, or two bfloat16 numbers for one of float32, or the rounding of q, K
 * and V to bytes: the more dimensions share a scale, the more. */
static double bound_of(uint32_t isa, const shape_t *z)
{
    if (z->dtype == LLS_I8)
        return z->dim <= 128 ? 1.4e-2 : 2e-2;
    return lls_isa_has_tiles(isa) && z->dtype == LLS_BF16 ? 4e-6 : 6e-7;
}

static void check_close(uint32_t isa)
{
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(shapes); i += EMULATED ? 2 : 1) {
        const shape_t *z = &shapes[i];
        uint32_t       total = is_slow(isa) ? 280 : 600 + i * 7, from = total - 6;
        float         *all = aligned((size_t)total * z->n_q * z->dim * sizeof(float));
        world_t        w;
        double         e;
        world_init(&w, z, cpus[isa][1], 1, total);
        run(&w, total, 1, all);
        e = fmax(error_of(z, 0, 6, all), error_of(z, from, total, all));
        if (!(e < bound_of(isa, z)))
            fail_msg("isa %s shape %u (%s): error %g", lls_cpu_isa_name(isa), i,
                     lls_dtype_name(z->dtype), e);
        world_deinit(&w);
        free(all);
    }
}

typedef struct variant {
    const char *name;
    uint32_t    whole, chunk, n_seqs, threads;
} variant_t;

static const variant_t variants[] = {
    { "whole, 2 threads", MAX_TOTAL, 1, 1, 2 },
    { "chunks of 350", 0, 350, 1, 3 },
    { "chunks of 37", 0, 37, 1, 2 },
    { "chunks of 7", 0, 7, 1, 1 },
    { "one by one", 240, 1, 1, 3 },
    { "one by one, 1 thread", 250, 1, 1, 1 },
    { "4 at paces of their own", 0, 0, 4, 2 },
    { "batch of 32", 0, 350, 32, 2 },
    { "batch of 32, one by one", 265, 1, 32, 3 },
};

static void check_variant(uint32_t isa, const shape_t *z, const variant_t *v, uint32_t total,
                          const float *ref)
{
    size_t  floats = (size_t)total * z->n_q * z->dim;
    float  *all = aligned(v->n_seqs * floats * sizeof *all);
    world_t w;

    world_init(&w, z, cpus[isa][v->threads], v->n_seqs, total);
    run(&w, v->whole, v->chunk, all);
    for (uint32_t s = 0; s < v->n_seqs; s++)
        if (memcmp(all + s * floats, ref + s % 3 * floats, floats * sizeof *all) != 0)
            fail_msg("isa %s shape %u, %s: bits of sequence %u differ", lls_cpu_isa_name(isa),
                     (unsigned)(z - shapes), v->name, s);
    world_deinit(&w);
    free(all);
}

/* Big batches of some shapes only: the test should take seconds. */
static bool worth(uint32_t isa, uint32_t shape, uint32_t n_seqs)
{
    if (EMULATED)
        return n_seqs == 1;
    if (n_seqs > 4)
        return isa == LLS_ISA_PLAIN ? shape == 10 : shape == 0 || shape == 6;
    return n_seqs == 1 || isa != LLS_ISA_PLAIN || shape % 4 == 2;
}

static void check_bits(uint32_t isa)
{
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(shapes); i += EMULATED ? 4 : 1) {
        const shape_t *z = &shapes[i];
        uint32_t       total = 266 + (i == 0 && !is_slow(isa) ? 300 : i);
        float         *ref = aligned(3ull * total * z->n_q * z->dim * sizeof(float));
        world_t        w;
        world_init(&w, z, cpus[isa][1], 3, total);
        run(&w, total, 1, ref);
        world_deinit(&w);
        for (uint32_t v = 0; v < LLS_ARRAY_LEN(variants); v++) {
            if (worth(isa, i, variants[v].n_seqs))
                check_variant(isa, z, &variants[v], total, ref);
        }
        free(ref);
    }
}

/* The others have the kernels of one of these: avx512bf16 those of avx512, which
 * no_other_kernels_with_bf16() holds it to. */
static void on_each_isa(void (*check)(uint32_t isa))
{
    static const uint32_t isas[] = { LLS_ISA_PLAIN, LLS_ISA_AVX2, LLS_ISA_AVX512, LLS_ISA_NEON,
                                     LLS_ISA_AMX };

    for (uint32_t i = EMULATED ? 3 : 0; i < LLS_ARRAY_LEN(isas); i++)
        if (lls_cpu_has_isa(isas[i]))
            check(isas[i]);
}

static void close_to_float64(void **state) { on_each_isa(check_close); }
static void bits_do_not_depend_on_the_cut(void **state) { on_each_isa(check_bits); }

static void no_other_kernels_with_bf16(void **state)
{
    float  *all[2];
    world_t w;

    for (uint32_t i = 0; i < 2; i++) {
        if (!lls_cpu_has_isa(LLS_ISA_AVX512 + i)) {
            print_message("this CPU has no %s\n", lls_cpu_isa_name(LLS_ISA_AVX512 + i));
            skip();
        }
        all[i] = aligned(300 * 9 * 64 * sizeof(float));
        world_init(&w, &shapes[0], cpus[LLS_ISA_AVX512 + i][1], 1, 300);
        run(&w, 290, 1, all[i]);
        world_deinit(&w);
    }
    assert_memory_equal(all[0], all[1], 300 * 9 * 64 * sizeof(float));
    free(all[0]);
    free(all[1]);
}

/* ---- Numbers that are none ------------------------------------------------------------------- */

enum place { IN_Q, IN_K, IN_V };

typedef struct spoilt {             /* what is checked */
    uint32_t   isa, threads, total, chunk, at;
    shape_t    z;
    enum place place;
    float      bad;
} spoilt_t;

/* Whether value i of token t is made from the one spoilt; int8 spreads it over a token and head. */
static bool is_touched(const spoilt_t *c, uint32_t t, uint32_t i)
{
    const shape_t        *z = &c->z;
    lls_kv_group_config_t g = { .kind = (uint8_t)z->kind, .window = z->window };

    if (c->place == IN_Q)
        return t == c->at && i < z->dim;
    return t >= c->at && lls_kv_first_needed(&g, t) <= c->at && i / z->dim < z->n_q / z->n_kv &&
           (c->place == IN_K || z->dtype == LLS_I8 || i % z->dim == 3);
}

/* Infinite scores may be a weight of 0, and float16 stores no infinities. */
static bool comes_out_as_none(const spoilt_t *c, float got)
{
    if (isnan(c->bad) || c->z.dtype == LLS_I8 || c->place == IN_Q)
        return isnan(got);
    return c->place == IN_K || c->z.dtype == LLS_F16 || !isfinite(got);
}

/* Token `at` has a NaN or an infinity: what is made from it says so, and nothing else comes out
 * other than without it. */
static void check_spoilt(const spoilt_t *c, const float *good)
{
    const shape_t *z = &c->z;
    uint32_t       head = z->n_q * z->dim;
    uint32_t       first = c->place == IN_Q ? 0 : z->n_q + (c->place - 1) * z->n_kv;
    float         *all = aligned((size_t)c->total * head * sizeof *all);
    world_t        w;

    world_init(&w, z, cpus[c->isa][c->threads], 1, c->total);
    spoil = (spoil_t){ c->at, first * z->dim + 3, c->bad };
    run(&w, 0, c->chunk, all);
    spoil = (spoil_t){ 0 };
    for (uint32_t t = 0; t < c->total; t++)
        for (uint32_t i = 0; i < head; i++) {
            float got = all[(size_t)t * head + i], want = good[(size_t)t * head + i];
            if (is_touched(c, t, i) ? !comes_out_as_none(c, got)
                                    : lls_bits_of(got) != lls_bits_of(want))
                fail_msg("isa %s %s, blocks of %u, head_dim %u, kind %u, chunks of %u, %g in %s of "
                         "token %u: value %u of token %u is %g, %g without",
                         lls_cpu_isa_name(c->isa), lls_dtype_name(z->dtype), z->bt, z->dim,
                         z->kind, c->chunk, c->bad, &"Q\0K\0V"[2 * c->place], c->at, i, t, got,
                         want);
        }
    world_deinit(&w);
    free(all);
}

static void check_everything_spoilt(spoilt_t *c, const uint32_t *at, uint32_t n_at)
{
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float             *good = aligned((size_t)c->total * c->z.n_q * c->z.dim * sizeof *good);
    world_t            w;

    world_init(&w, &c->z, cpus[c->isa][c->threads], 1, c->total);
    run(&w, 0, c->chunk, good);
    world_deinit(&w);
    for (uint32_t i = 0; i < n_at; i++)
        for (c->place = IN_Q; c->place <= IN_V; c->place++)
            for (uint32_t k = 0; k < LLS_ARRAY_LEN(bad); k++) {
                c->at = at[i];
                c->bad = bad[(k + i) % LLS_ARRAY_LEN(bad)];
                check_spoilt(c, good);
            }
    free(good);
}

/* Items of many rows, and of few, which are read as they lie; tokens next to the borders of pairs,
 * vectors, items and tiles. */
static void check_nans(uint32_t isa)
{
    static const uint32_t dtypes[] = { LLS_F32, LLS_F16, LLS_BF16, LLS_I8 };
    static const uint32_t at[] = { 1, 8, 21, 30 }, far[] = { 255, 256, 271 };
    static const struct { shape_t z; uint32_t chunk; } some[] = {
        { { 4, 2, 48, 16, LLS_KV_FULL, 0, 0, 0 }, 3 },
        { { 4, 2, 64, 32, LLS_KV_SLIDING, 11, 0, 0 }, 5 },
        { { 6, 2, 128, 64, LLS_KV_FULL, 0, 0, 0 }, 1 },
        { { 9, 3, 32, 16, LLS_KV_CHUNKED, 12, 0, 0 }, 7 },
        { { 17, 1, 10, 256, LLS_KV_FULL, 0, 0, 0 }, 9 },
        { { 2, 2, 16, 32, LLS_KV_SLIDING, 10, 0, 0 }, 11 },
        { { 2, 1, 32, 16, LLS_KV_FULL, 0, 0, 0 }, 24 },     /* tokens 14 to 20 are an item */
        { { 2, 1, 32, 8, LLS_KV_SLIDING, 7, 0, 0 }, 40 },
    };

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(dtypes); i++)
        for (uint32_t k = 0; k < LLS_ARRAY_LEN(some); k += EMULATED ? 3 : 1) {
            spoilt_t c = { .isa = isa, .threads = 1, .total = 40, .chunk = 40, .z = some[k].z };
            c.z.dtype = dtypes[i];
            check_everything_spoilt(&c, at, LLS_ARRAY_LEN(at));
            c.threads = 3;
            c.chunk = some[k].chunk;
            check_everything_spoilt(&c, at, LLS_ARRAY_LEN(at));
            if (k > 1 || is_slow(isa))
                continue;
            c.total = 300;
            c.chunk = 280;
            check_everything_spoilt(&c, far, LLS_ARRAY_LEN(far));
        }
}

static void nans_stay_where_they_are(void **state) { on_each_isa(check_nans); }

/* Bits do not depend on what unwritten places hold. */
static void check_stale(uint32_t isa)
{
    static const struct { uint32_t dtype, values[4]; } kinds[] = {
        { LLS_F32, { 0, 0xffffffff, 0x7f800000, 0xff7fffff } },
        { LLS_F16, { 0, 0xffffffff, 0x7c007c00, 0xfbfffbff } },
        { LLS_BF16, { 0, 0xffffffff, 0x7f807f80, 0xff7fff7f } },
        { LLS_I8, { 0, 0xffffffff, 0x7f800000, 0xff7fffff } },
    };
    static float all[2][45 * 4 * 48];

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(kinds) * 2; i++)
        for (uint32_t k = 0; k < LLS_ARRAY_LEN(kinds[0].values); k++) {
            shape_t z = { 4, 2, 48, i % 2 == 0 ? 16 : 32, LLS_KV_SLIDING, 27, 0,
                          kinds[i / 2].dtype };
            world_t w;
            stale = kinds[i / 2].values[k];
            world_init(&w, &z, cpus[isa][1], 1, 45);
            run(&w, 37, 1, all[k > 0]);
            world_deinit(&w);
            if (k > 0 && memcmp(all[0], all[1], sizeof all[0]) != 0)
                fail_msg("isa %s %s: old %08x in the cache matters", lls_cpu_isa_name(isa),
                         lls_dtype_name(z.dtype), stale);
        }
    stale = 0xffffffff;
}

static void old_contents_of_blocks_do_not_matter(void **state) { on_each_isa(check_stale); }

/* ---- The cut -------------------------------------------------------------------------------- */

#define MAX_CUT 4096u

/* A job of n_rows rows of n new tokens each, for the functions that cut only. */
static uint32_t cut(lls_attend_job_t *j, lls_batch_t *b, uint32_t n_threads, uint32_t n_rows,
                    uint32_t n, uint32_t context, lls_attend_item_t *items)
{
    static uint32_t          row_start[65], contexts[64];
    static lls_attend_span_t spans[65];
    static _Atomic uint32_t  left[64];
    uint32_t                 n_items = 0;

    for (uint32_t i = 0; i < n_rows; i++) {
        row_start[i + 1] = row_start[i] + n;
        contexts[i] = context;
    }
    *b = (lls_batch_t){ .n_tokens = n_rows * n, .n_rows = n_rows, .max_n = n,
                        .max_context = context, .row_start = row_start, .context = contexts };
    *j = (lls_attend_job_t){ .batch = b, .n_q = 9, .n_kv = 3, .group = 3, .n_threads = n_threads,
                             .mask = { .kind = LLS_KV_FULL }, .spans = spans, .left = left,
                             .kv = lls_kv_layout(LLS_BF16, 16, 64) };
    lls_attend_cut(j);
    while (lls_attend_take(j, &items[n_items]))
        assert_true(++n_items < MAX_CUT);
    assert_int_equal(n_items, j->n_items);
    return n_items;
}

/* One query over a long context is work for all threads, in shares of about one size: no item has
 * more than half a thread's share, and each tile of each head is in one item. */
static void one_long_row_is_cut_for_all_threads(void **state)
{
    static lls_attend_item_t items[MAX_CUT];
    lls_attend_job_t         j;
    lls_batch_t              b;

    for (uint32_t n_threads = 2; n_threads <= 64; n_threads *= 2) {
        const uint32_t tiles = 128;
        uint32_t       n = cut(&j, &b, n_threads, 1, 1, tiles * LLS_ATTEND_TILE, items);
        uint8_t        done[3][128] = { 0 };
        assert_true(n >= 2 * n_threads);
        for (uint32_t i = 0; i < n; i++) {
            assert_true(items[i].tile_end - items[i].tile <= 3 * tiles / n_threads / 2 + 1);
            for (uint32_t t = items[i].tile; t < items[i].tile_end; t++)
                assert_int_equal(done[items[i].head][t]++, 0);
        }
        for (uint32_t i = 0; i < 3 * tiles; i++)
            assert_int_equal(done[i / tiles][i % tiles], 1);
    }
}

/* Enough rows are not cut into tiles, which would have to be joined; nor is anything for one
 * thread. */
static void many_rows_are_cut_between_rows(void **state)
{
    static lls_attend_item_t items[MAX_CUT];
    lls_attend_job_t         j;
    lls_batch_t              b;

    assert_int_equal(cut(&j, &b, 4, 32, 1, 2048, items), 32 * 3);
    assert_int_equal(j.tiles_per_item, 0);
    assert_int_equal(cut(&j, &b, 1, 1, 1, 32768, items), 3);
    assert_int_equal(j.n_slots, 0);
    cut(&j, &b, 4, 1, 512, 2560, items);
    assert_int_equal(j.tiles_per_item, 0);
    assert_true(j.n_items >= 16);
}

/* The layers' pages hold what the plan counts: K, V and two scales a token. */
static void pages_have_no_slack(void **state)
{
    static const struct { uint32_t dtype; size_t bytes; } kinds[] = {
        { LLS_F32, 8 * 64 }, { LLS_F16, 4 * 64 }, { LLS_BF16, 4 * 64 }, { LLS_I8, 2 * 64 + 8 } };

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(kinds); i++)
        assert_int_equal(lls_cpu_page_bytes(kinds[i].dtype, 16, 3, 64), 16 * 3 * kinds[i].bytes);
}

static int setup(void **state)
{
    lls_mem_init(&mem, NULL);
    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++)
        for (uint32_t n = 1; n <= 3 && lls_cpu_has_isa(isa); n++)
            if (lls_cpu_create(&mem, n, lls_cpu_isa_name(isa), &cpus[isa][n], NULL) != LLM_OK)
                return -1;
    return 0;
}

static int teardown(void **state)
{
    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++)
        for (uint32_t n = 1; n <= 3; n++)
            lls_cpu_destroy(cpus[isa][n]);
    return mem.held == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(close_to_float64),
        cmocka_unit_test(bits_do_not_depend_on_the_cut),
        cmocka_unit_test(no_other_kernels_with_bf16),
        cmocka_unit_test(nans_stay_where_they_are),
        cmocka_unit_test(old_contents_of_blocks_do_not_matter),
        cmocka_unit_test(one_long_row_is_cut_for_all_threads),
        cmocka_unit_test(many_rows_are_cut_between_rows),
        cmocka_unit_test(pages_have_no_slack),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
