/* SPDX-License-Identifier: Apache-2.0 */
/*
 * linear_rig - matrices of any scheme, packed between guard bytes, rows, and a backend with memory
 * as planned, for the tests of the linear ops.  For one test program; include unit/test.h first.
 */
#ifndef LLS_LINEAR_RIG_H
#define LLS_LINEAR_RIG_H

#include <math.h>

#include "base/philox.h"
#include "cpu/cpu_int.h"
#include "cpu/cpu_wmat.h"

#define GUARD 64u

static lls_mem_t mem;

typedef struct fixture {
    lls_cpu_t *cpu;
    lls_exec_t x;
} fixture_t;

/* LLS_N_ISAS: the one that this machine does best. */
static inline fixture_t fixture_of(uint32_t isa, uint32_t n_threads)
{
    fixture_t   f = { 0 };
    const char *name = isa == LLS_N_ISAS ? NULL : lls_cpu_isa_name(isa);

    assert_int_equal(lls_cpu_create(&mem, n_threads, name, &f.cpu, NULL), LLM_OK);
    f.x.ops = lls_cpu_ops(f.cpu);
    f.x.backend = f.cpu;
    f.x.invariant = true;
    return f;
}

static inline void close_fixture(fixture_t *f)
{
    free(f->x.arena);
    lls_cpu_destroy(f->cpu);
}

/* Memory as planned, full of NaNs. */
static inline void end_planning(lls_exec_t *x)
{
    x->planning = false;
    x->cap = x->peak;
    x->scratch_cap = x->scratch_peak;
    free(x->arena);
    x->arena = aligned_alloc(64, lls_align_up(x->cap + x->scratch_cap, 64) + 64);
    memset(x->arena, 0xff, x->cap + x->scratch_cap);
}

static inline float random_float(uint64_t seed, uint64_t i)
{
    return (float)(lls_mix64(seed, i) >> 40) * 0x1p-23f - 1.0f;
}

/* A matrix of any scheme, at an odd address; its values as the file means them. */
typedef struct source {
    lls_wpart_t part;
    uint8_t    *block;
    float      *values;             /* [out][in], after row_of and transposition */
} source_t;

/* Where a block has its f16 scale and minimum. */
static inline void put_halves(uint32_t scheme, uint16_t d, uint16_t min, uint8_t *block)
{
    uint32_t at = scheme == LLS_W_Q2_K   ? 80
                  : scheme == LLS_W_Q3_K ? 108
                  : scheme == LLS_W_Q6_K ? 208
                                         : 0;

    memcpy(block + at, &d, 2);
    if (lls_kind_has_min(scheme))
        memcpy(block + at + 2, &min, 2);
}

static inline void random_row(uint32_t scheme, uint32_t n, uint64_t seed, uint8_t *row)
{
    uint32_t bytes = lls_scheme_block_bytes(scheme);

    for (uint32_t i = 0; i < n / lls_scheme_block(scheme); i++, row += bytes) {
        float    f = random_float(seed, i);
        uint16_t d = lls_f32_to_f16(f * 0.007f), h = lls_f32_to_f16(f), b = lls_f32_to_bf16(f);

        for (uint32_t k = 0; k < bytes; k++)
            row[k] = (uint8_t)lls_mix64(seed + 1, i * 64 + k);
        if (scheme >= LLS_W_Q4_0)
            put_halves(scheme, d, lls_f32_to_f16(f * 0.2f), row);
        if (scheme < LLS_W_Q4_0)
            memcpy(row, scheme == LLS_W_F32 ? (void *)&f : scheme == LLS_W_F16 ? &h : &b, bytes);
    }
}

static inline source_t source_of(uint32_t scheme, uint32_t out, uint32_t in, uint64_t seed)
{
    size_t   row = lls_scheme_row_bytes(scheme, in);
    source_t s = { .part = { .scheme = scheme, .out = out, .in = in } };

    s.block = malloc(out * row + 1);
    s.values = malloc((size_t)out * in * sizeof *s.values + 1);
    s.part.data = s.block + 1;
    for (uint32_t i = 0; i < out; i++) {
        random_row(scheme, in, seed * 1000 + i, s.block + 1 + i * row);
        lls_dequantise(scheme, s.block + 1 + i * row, 0, in, s.values + (size_t)i * in);
    }
    return s;
}

static inline void free_source(source_t *s)
{
    free(s->block);
    free(s->values);
    free((void *)s->part.row_of);
}

/* Packs between guard bytes. */
typedef struct packed {
    uint8_t    *block;
    lls_wmat_t *w;
} packed_t;

static inline packed_t packed_of(lls_cpu_t *cpu, const lls_wspec_t *spec)
{
    size_t   n = lls_cpu_pack_size(spec);
    packed_t p = { .block = aligned_alloc(64, lls_align_up(n, 64) + 2 * GUARD) };

    memset(p.block, 0xa5, lls_align_up(n, 64) + 2 * GUARD);
    p.w = lls_cpu_pack(cpu, spec, p.block + GUARD);
    for (uint32_t i = 0; i < GUARD; i++) {
        assert_int_equal(p.block[i], 0xa5);
        assert_int_equal(p.block[GUARD + n + i], 0xa5);
    }
    return p;
}

/* What keeps a scheme as it is. */
static inline uint32_t dtype_of(uint32_t scheme)
{
    return scheme == LLS_W_F32 ? LLS_F32 : scheme == LLS_W_F16 ? LLS_F16 : LLS_BF16;
}

static inline packed_t packed_one(lls_cpu_t *cpu, const source_t *s, uint32_t dtype)
{
    lls_wspec_t spec = { .parts = &s->part, .n_parts = 1, .dtype = dtype };

    return packed_of(cpu, &spec);
}

static inline lls_tensor_t tensor_of(uint32_t rows, uint32_t cols, uint32_t ld)
{
    return (lls_tensor_t){ .data = malloc((size_t)rows * ld * sizeof(float) + 1), .n_dims = 2,
                           .shape = { rows, cols, 1, 1 }, .stride = { ld } };
}

/* Random rows; what lies between them is NaN. */
static inline lls_tensor_t random_rows(uint32_t rows, uint32_t cols, uint64_t seed)
{
    lls_tensor_t t = tensor_of(rows, cols, cols + 3);

    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols + 3; c++)
            lls_row_f32(&t, r)[c] = c < cols ? random_float(seed + r, c) * (1.0f + (float)(c % 7))
                                             : NAN;
    return t;
}

static inline void run_linear(fixture_t *f, lls_tensor_t *out, const lls_tensor_t *in,
                       const lls_linear_t *p)
{
    f->x.planning = true;
    f->x.scratch_peak = 0;
    lls_cpu_linear(&f->x, out, in, p);
    end_planning(&f->x);
    lls_cpu_linear(&f->x, out, in, p);
}

#endif
