/* SPDX-License-Identifier: Apache-2.0 */
/* Packing and the linear ops, on every instruction set of this machine, against float64. */
#include "unit/test.h"

#include <math.h>

#include "base/philox.h"
#include "cpu/cpu_int.h"
#include "cpu/cpu_wmat.h"
#include "tensor/quantise.h"

#define GUARD 64u

/* ---- Fixture --------------------------------------------------------------------------------- */

static lls_mem_t mem;

typedef struct fixture {
    lls_cpu_t *cpu;
    lls_exec_t x;
} fixture_t;

static fixture_t fixture_of(uint32_t isa, uint32_t n_threads)
{
    fixture_t f = { 0 };

    assert_int_equal(lls_cpu_create(&mem, n_threads, lls_cpu_isa_name(isa), &f.cpu, NULL), LLM_OK);
    f.x.backend = f.cpu;
    f.x.invariant = true;
    return f;
}

static void close_fixture(fixture_t *f)
{
    free(f->x.arena);
    lls_cpu_destroy(f->cpu);
}

/* Scratch as planned, full of NaNs. */
static void end_planning(lls_exec_t *x)
{
    x->planning = false;
    x->scratch_cap = x->scratch_peak;
    free(x->arena);
    x->arena = aligned_alloc(64, lls_align_up(x->scratch_cap, 64) + 64);
    memset(x->arena, 0xff, x->scratch_cap);
}

static float random_float(uint64_t seed, uint64_t i)
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
static void put_halves(uint32_t scheme, uint16_t d, uint16_t min, uint8_t *block)
{
    uint32_t at = scheme == LLS_W_Q2_K   ? 80
                  : scheme == LLS_W_Q3_K ? 108
                  : scheme == LLS_W_Q6_K ? 208
                                         : 0;

    memcpy(block + at, &d, 2);
    if (lls_kind_has_min(scheme))
        memcpy(block + at + 2, &min, 2);
}

static void random_row(uint32_t scheme, uint32_t n, uint64_t seed, uint8_t *row)
{
    uint32_t bytes = lls_scheme_block_bytes(scheme);

    for (uint32_t i = 0; i < n / lls_scheme_block(scheme); i++, row += bytes) {
        float    f = random_float(seed, i);
        uint16_t d = lls_f32_to_f16(f * 0.01f), h = lls_f32_to_f16(f), b = lls_f32_to_bf16(f);

        for (uint32_t k = 0; k < bytes; k++)
            row[k] = (uint8_t)lls_mix64(seed + 1, i * 64 + k);
        if (scheme >= LLS_W_Q4_0)
            put_halves(scheme, d, h, row);
        if (scheme < LLS_W_Q4_0)
            memcpy(row, scheme == LLS_W_F32 ? (void *)&f : scheme == LLS_W_F16 ? &h : &b, bytes);
    }
}

static source_t source_of(uint32_t scheme, uint32_t out, uint32_t in, uint64_t seed)
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

static void free_source(source_t *s)
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

static packed_t packed_of(lls_cpu_t *cpu, const lls_wspec_t *spec)
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
static uint32_t dtype_of(uint32_t scheme)
{
    return scheme == LLS_W_F32 ? LLS_F32 : scheme == LLS_W_F16 ? LLS_F16 : LLS_BF16;
}

static packed_t packed_one(lls_cpu_t *cpu, const source_t *s, uint32_t dtype)
{
    lls_wspec_t spec = { .parts = &s->part, .n_parts = 1, .dtype = dtype };

    return packed_of(cpu, &spec);
}

static lls_tensor_t tensor_of(uint32_t rows, uint32_t cols, uint32_t ld)
{
    return (lls_tensor_t){ .data = malloc((size_t)rows * ld * sizeof(float) + 1), .n_dims = 2,
                           .shape = { rows, cols, 1, 1 }, .stride = { ld } };
}

/* Random rows; what lies between them is NaN. */
static lls_tensor_t random_rows(uint32_t rows, uint32_t cols, uint64_t seed)
{
    lls_tensor_t t = tensor_of(rows, cols, cols + 3);

    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols + 3; c++)
            lls_row_f32(&t, r)[c] = c < cols ? random_float(seed + r, c) * (1.0f + (float)(c % 7))
                                             : NAN;
    return t;
}

static void run_linear(fixture_t *f, lls_tensor_t *out, const lls_tensor_t *in,
                       const lls_linear_t *p)
{
    f->x.planning = true;
    f->x.scratch_peak = 0;
    lls_cpu_linear(&f->x, out, in, p);
    end_planning(&f->x);
    lls_cpu_linear(&f->x, out, in, p);
}

/* ---- Against float64 ------------------------------------------------------------------------- */

/* How far a kernel may be from the exact product with the weights it was given. */
typedef struct bound {
    double relative;                /* of sum |x| |w|: rounding of sums and by the form */
    double step;                    /* and of the largest of 32 for each activation */
} bound_t;

/* Of pairs of bfloat16. */
static bool has_dots(uint32_t isa) { return isa == LLS_ISA_AVX512BF16 || isa == LLS_ISA_AMX; }

static bound_t bound_of(uint32_t isa, uint32_t scheme, uint32_t dtype)
{
    bound_t b = { .relative = 1e-6 };

    if (dtype == LLS_F32 && scheme != LLS_W_F32 && scheme != LLS_W_F16 && scheme != LLS_W_BF16)
        return b;
    if (scheme == LLS_W_Q2_K || scheme == LLS_W_Q3_K)   /* half a step of 15 bits */
        b.step = 1 / 254.0 / 250;
    else if (scheme >= LLS_W_Q4_0)                      /* of int8 */
        b.step = 1 / 254.0;
    else if (dtype == LLS_BF16)         /* weights to 8 bits, and activations if the CPU has dots */
        b.relative = (scheme == LLS_W_BF16 ? 1e-6 : 4e-3) + (has_dots(isa) ? 4e-3 : 0);
    else if (dtype == LLS_F16 && scheme != LLS_W_F16)   /* to 11 bits */
        b.relative = 5e-4;
    return b;
}

static double exact(const float *x, const float *w, uint32_t n, bound_t b, double *allowed)
{
    double sum = 0, magnitude = 0;
    float  max = 0;

    *allowed = 0;
    for (uint32_t k = 0; k < n; k++) {
        for (uint32_t i = k; k % 32 == 0 && b.step > 0 && i < k + 32; i++)
            max = i == k ? fabsf(x[i]) : fmaxf(max, fabsf(x[i]));
        sum += (double)x[k] * w[k];
        magnitude += fabs((double)x[k] * w[k]);
        *allowed += max * b.step * fabs((double)w[k]);
    }
    *allowed += b.relative * magnitude + 1e-30;
    return sum;
}

static void check_rows(const lls_tensor_t *out, const lls_tensor_t *in, const float *values,
                       bound_t b)
{
    for (uint32_t r = 0; r < out->shape[0]; r++)
        for (uint32_t c = 0; c < out->shape[1]; c++) {
            uint32_t n = in->shape[1];
            double   allowed, want, got = lls_row_f32(out, r)[c];

            want = exact(lls_row_f32(in, r), values + (size_t)c * n, n, b, &allowed);
            if (!(fabs(got - want) <= allowed))
                fail_msg("row %u column %u of %u x %u: %.9g, not %.9g +- %.3g", r, c, n,
                         out->shape[1], got, want, allowed);
        }
}

static void check_linear(fixture_t *f, uint32_t scheme, uint32_t dtype, uint32_t m, uint32_t out,
                         uint32_t least_in)
{
    uint32_t     in = lls_ceil_div(least_in, lls_scheme_block(scheme)) * lls_scheme_block(scheme);
    source_t     s = source_of(scheme, out, in, scheme + 7 * in);
    packed_t     w = packed_one(f->cpu, &s, dtype);
    lls_tensor_t x = random_rows(m, in, 5), y = tensor_of(m, out, out + 1);
    lls_linear_t p = { .w = w.w, .in = in, .out = out };

    run_linear(f, &y, &x, &p);
    check_rows(&y, &x, s.values, bound_of(lls_cpu_isa(f->cpu), scheme, dtype));
    free(x.data);
    free(y.data);
    free(w.block);
    free_source(&s);
}

/* Odd widths, panels that are not full, blocks of every number of rows, several blocks along k. */
static void linear_is_close_to_float64(void **state)
{
    static const struct { uint32_t m, out, in; } shapes[] = {
        { 1, 48, 64 }, { 2, 100, 32 }, { 3, 31, 96 }, { 5, 1, 64 }, { 7, 33, 2208 },
        { 11, 64, 160 }, { 13, 65, 64 }, { 29, 34, 96 }, { 43, 40, 2112 }, { 270, 36, 64 },
    };
    static const uint32_t dtypes[] = { LLS_F32, LLS_F16, LLS_BF16 };
    uint32_t n_shapes = EMULATED ? 4 : LLS_ARRAY_LEN(shapes);

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;

        if (!lls_cpu_has_isa(isa))
            continue;
        f = fixture_of(isa, 2);
        for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++)
            for (uint32_t d = 0; d < 3; d++)
                for (uint32_t i = 0; i < n_shapes; i++) {
                    if (scheme >= LLS_W_Q4_0 && dtypes[d] == LLS_F16)
                        continue;               /* blocks stay blocks, as with bfloat16 */
                    check_linear(&f, scheme, dtypes[d], shapes[i].m, shapes[i].out, shapes[i].in);
                    if (scheme < LLS_W_Q4_0)
                        check_linear(&f, scheme, dtypes[d], shapes[i].m, shapes[i].out,
                                     shapes[i].in % 60 + 1);
                }
        close_fixture(&f);
    }
}

/* ---- Bits ------------------------------------------------------------------------------------ */

static void check_same_bits(const lls_tensor_t *y, uint32_t row, const float *want)
{
    const float *got = lls_row_f32(y, row);

    for (uint32_t c = 0; c < y->shape[1]; c++)
        if (memcmp(&got[c], &want[c], 4) != 0)
            fail_msg("%u rows, row %u, column %u: %.9g alone, %.9g here", y->shape[0], row, c,
                     (double)want[c], (double)got[c]);
}

/* Row 0 among m - 1 others, at place `at`. */
static void check_row_among(fixture_t *f, const lls_linear_t *p, const lls_tensor_t *all,
                            uint32_t m,
                            const float *alone)
{
    lls_tensor_t x = *all, y = tensor_of(m, p->out, p->out);

    x.shape[0] = m;
    run_linear(f, &y, &x, p);
    for (uint32_t r = 0; r < m; r++)
        check_same_bits(&y, r, alone + (size_t)r * p->out);
    free(y.data);
}

/* Every row alone, with one thread: out[n][p->out]. */
static void run_rows_alone(fixture_t *f, const lls_linear_t *p, const lls_tensor_t *x, float *out)
{
    for (uint32_t r = 0; r < x->shape[0]; r++) {
        lls_tensor_t one = *x, y = { .data = out + (size_t)r * p->out, .n_dims = 2,
                                     .shape = { 1, p->out, 1, 1 }, .stride = { p->out } };

        one.shape[0] = 1;
        one.data = lls_row_f32(x, r);
        run_linear(f, &y, &one, p);
    }
}

static void check_bits(uint32_t isa, uint32_t scheme, uint32_t out, const lls_tensor_t *x,
                       const uint32_t *counts, uint32_t n_counts)
{
    source_t s = source_of(scheme, out, x->shape[1], scheme);
    uint32_t dtype = dtype_of(scheme);
    float   *alone = malloc(sizeof *alone * x->shape[0] * out);

    for (uint32_t n = 1; n <= 3; n++) {
        fixture_t    f = fixture_of(isa, n);
        packed_t     w = packed_one(f.cpu, &s, dtype);
        lls_linear_t p = { .w = w.w, .in = x->shape[1], .out = out };

        if (n == 1)
            run_rows_alone(&f, &p, x, alone);
        for (uint32_t i = 0; i < n_counts; i++)
            if (n == 2 || i % 5 == n)
                check_row_among(&f, &p, x, counts[i], alone);
        free(w.block);
        close_fixture(&f);
    }
    free(alone);
    free_source(&s);
}

/* K is never split and every row is summed in one order: all sizes of blocks, two blocks along k,
 * several chunks of rows. */
static void bits_do_not_depend_on_rows_or_threads(void **state)
{
    static const uint32_t few[] = { 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 26, 31 };
    static const uint32_t many[] = { 65, 257, 300 };
    lls_tensor_t deep = random_rows(31, 2304, 9), tall = random_rows(300, 256, 10), thin = tall;

    thin.shape[1] = 64;
    if (EMULATED) {
        deep.shape[0] = 9;
        deep.shape[1] = 256;
    }

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++)
        for (uint32_t scheme = 0; lls_cpu_has_isa(isa) && scheme < LLS_N_SCHEMES; scheme++) {
            check_bits(isa, scheme, 37, &deep, few, EMULATED ? 8 : LLS_ARRAY_LEN(few));
            if (EMULATED)
                continue;
            check_bits(isa, scheme, 66, lls_scheme_is_k(scheme) ? &tall : &thin, many,
                       LLS_ARRAY_LEN(many));
        }
    free(deep.data);
    free(tall.data);
}

/* The same int8 whatever the instruction set: results differ by the rounding of a few sums. */
static void instruction_sets_agree(void **state)
{
    enum { M = 9, OUT = 40, IN = 768 };
    lls_tensor_t x = random_rows(M, IN, 3),
                 y[2] = { tensor_of(M, OUT, OUT), tensor_of(M, OUT, OUT) };

    lls_row_f32(&x, 4)[77] = 3e30f;             /* the others of its group become 0 */
    lls_row_f32(&x, 5)[0] = 1e-38f;
    for (uint32_t isa = 1; isa < LLS_N_ISAS; isa++)
        for (uint32_t scheme = LLS_W_Q4_0; lls_cpu_has_isa(isa) && scheme < LLS_N_SCHEMES;
             scheme++) {
            source_t s = source_of(scheme, OUT, IN, scheme);

            for (uint32_t i = 0; i < 2; i++) {
                fixture_t    f = fixture_of(i == 0 ? LLS_ISA_PLAIN : isa, 2);
                packed_t     w = packed_one(f.cpu, &s, LLS_BF16);
                lls_linear_t p = { .w = w.w, .in = IN, .out = OUT };

                run_linear(&f, &y[i], &x, &p);
                free(w.block);
                close_fixture(&f);
            }
            for (uint32_t r = 0; r < M; r++)
                for (uint32_t c = 0; c < OUT; c++) {
                    double allowed, a = lls_row_f32(&y[0], r)[c], b = lls_row_f32(&y[1], r)[c];

                    exact(lls_row_f32(&x, r), s.values + (size_t)c * IN, IN, (bound_t){ 4e-6, 0 },
                          &allowed);
                    if (!(fabs(a - b) <= allowed))
                        fail_msg("%s of %s: %.9g, plain %.9g", lls_scheme_name(scheme),
                                 lls_cpu_isa_name(isa), b, a);
                }
            free_source(&s);
        }
    free(x.data);
    free(y[0].data);
    free(y[1].data);
}

/* One matrix with two instruction sets: the same int8 and the same bfloat16, so that only the
 * rounding of sums differs. */
static void check_same_as_plain(fixture_t *plain, fixture_t *f, uint32_t scheme, uint32_t m,
                                uint32_t out, uint32_t in)
{
    source_t     s = source_of(scheme, out, in, m);
    packed_t     w = packed_one(f->cpu, &s, dtype_of(scheme));
    lls_tensor_t x = random_rows(m, in, m), y = tensor_of(m, out, out), z = tensor_of(m, out, out);
    lls_linear_t p = { .w = w.w, .in = in, .out = out };
    bound_t      b = { .relative = 4e-6 };

    if (scheme == LLS_W_BF16 && has_dots(lls_cpu_isa(f->cpu)))
        b.relative = 4e-3;                      /* these round activations too */
    run_linear(plain, &y, &x, &p);
    run_linear(f, &z, &x, &p);
    for (uint32_t r = 0; r < m; r++)
        for (uint32_t c = 0; c < out; c++) {
            double allowed, a = lls_row_f32(&y, r)[c], b2 = lls_row_f32(&z, r)[c];

            exact(lls_row_f32(&x, r), s.values + (size_t)c * in, in, b, &allowed);
            if (!(fabs(a - b2) <= allowed))
                fail_msg("%s of %s, %u x %u x %u: %.9g, plain %.9g", lls_scheme_name(scheme),
                         lls_cpu_isa_name(lls_cpu_isa(f->cpu)), m, out, in, b2, a);
        }
    free(x.data);
    free(y.data);
    free(z.data);
    free(w.block);
    free_source(&s);
}

/* Every number of rows that a block may have, beside columns and depths that are multiples of
 * nothing, or of the scheme's block alone. */
static void every_remainder_agrees_with_plain(void **state)
{
    fixture_t plain = fixture_of(LLS_ISA_PLAIN, 1);

    for (uint32_t isa = LLS_ISA_PLAIN + 1; isa < LLS_N_ISAS; isa++) {
        fixture_t f;

        if (!lls_cpu_has_isa(isa))
            continue;
        f = fixture_of(isa, 2);
        for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++)
            for (uint32_t m = 1; m <= 70; m++) {
                uint32_t block = lls_scheme_block(scheme), out = 1 + m * 29 % 67;

                check_same_as_plain(&plain, &f, scheme, m, out,
                                    block == 1 ? 1 + m * 31 % 97 : block * (1 + m % 3));
            }
        close_fixture(&f);
    }
    close_fixture(&plain);
}

/* All bytes of some rows of blocks are the same: the largest sums of products that there are. */
static void make_rows_extreme(uint32_t scheme, source_t *s)
{
    static const uint8_t bytes[] = { 0xff, 0x80, 0x7f, 0x00 };
    uint32_t n = lls_scheme_block_bytes(scheme);
    size_t   row = lls_scheme_row_bytes(scheme, s->part.in);

    for (uint32_t r = 0; r < LLS_ARRAY_LEN(bytes); r++)
        for (uint8_t *p = s->block + 1 + r * row; p < s->block + 1 + (r + 1) * row; p += n) {
            memset(p, bytes[r], n);
            put_halves(scheme, lls_f32_to_f16(0.01f), lls_f32_to_f16(-0.3f), p);
        }
}

/* Both are exact in integers and then do the same with floats.  Saturation would show: activations
 * of 127 and of both signs meet the extreme bytes. */
static void avxvnni_has_the_bits_of_avx2(void **state)
{
    enum { M = 13, OUT = 41, IN = 512 };
    lls_tensor_t x = random_rows(M, IN, 8),
                 y[2] = { tensor_of(M, OUT, OUT), tensor_of(M, OUT, OUT) };

    if (!lls_cpu_has_isa(LLS_ISA_AVXVNNI)) {
        print_message("this CPU has no AVX-VNNI\n");
        skip();
    }
    for (uint32_t c = 0; c < IN; c++) {
        lls_row_f32(&x, 1)[c] = 1;
        lls_row_f32(&x, 2)[c] = -1;
        lls_row_f32(&x, 8)[c] = c % 2 == 0 ? 1 : -1;
        lls_row_f32(&x, 9)[c] = c % 4 < 2 ? 1 : -1;
    }
    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++)
        for (uint32_t m = 1; m <= M; m++) {
            source_t s = source_of(scheme, OUT, IN, scheme);

            if (scheme >= LLS_W_Q4_0)
                make_rows_extreme(scheme, &s);
            for (uint32_t i = 0; i < 2; i++) {
                fixture_t    f = fixture_of(i == 0 ? LLS_ISA_AVX2 : LLS_ISA_AVXVNNI, 1);
                packed_t     w = packed_one(f.cpu, &s, dtype_of(scheme));
                lls_linear_t p = { .w = w.w, .in = IN, .out = OUT };

                x.shape[0] = y[i].shape[0] = m;
                run_linear(&f, &y[i], &x, &p);
                free(w.block);
                close_fixture(&f);
            }
            if (memcmp(y[0].data, y[1].data, sizeof(float) * m * OUT) != 0)
                fail_msg("%s, %u rows: bits differ", lls_scheme_name(scheme), m);
            free_source(&s);
        }
    free(x.data);
    free(y[0].data);
    free(y[1].data);
}

/* ---- Tiles ----------------------------------------------------------------------------------- */

static void check_equal(const lls_tensor_t *y, const lls_tensor_t *z, uint32_t scheme, uint32_t in)
{
    for (uint32_t r = 0; r < y->shape[0]; r++)
        for (uint32_t c = 0; c < y->shape[1]; c++) {
            const float *a = &lls_row_f32(y, r)[c], *b = &lls_row_f32(z, r)[c];

            if (memcmp(a, b, sizeof *a) != 0)
                fail_msg("%s, %u rows of %u, row %u column %u: amx %.9g, avx512 %.9g",
                         lls_scheme_name(scheme), y->shape[0], in, r, c, (double)*b, (double)*a);
        }
}

/* m rows with one matrix, or the first `few` with one expert and the others with another. */
static void check_tiles(fixture_t f[2], uint32_t scheme, uint32_t m, uint32_t few, uint32_t out,
                        uint32_t in)
{
    source_t     s[2] = { source_of(scheme, out, in, m), source_of(scheme, out, in, m + 1) };
    lls_wpart_t  parts[2] = { s[0].part, s[1].part };
    lls_wspec_t  spec = { .parts = parts, .n_parts = 1, .n_experts = few > 0 ? 2 : 0,
                          .dtype = LLS_BF16 };
    packed_t     w = packed_of(f[0].cpu, &spec);
    int32_t     *ids = calloc(m, sizeof *ids);
    lls_tensor_t ids_of = { .data = ids, .n_dims = 2, .shape = { m, 1, 1, 1 }, .stride = { 1 } };
    lls_tensor_t x = random_rows(m, in, m);
    lls_tensor_t y[2] = { tensor_of(m, out, out), tensor_of(m, out, out) };
    lls_linear_t p = { .w = w.w, .in = in, .out = out };

    for (uint32_t i = 0; i < few; i++)
        ids[i] = 1;
    for (uint32_t i = 0; i < 2; i++) {
        if (few == 0) {
            run_linear(&f[i], &y[i], &x, &p);
            continue;
        }
        f[i].x.planning = true;
        f[i].x.scratch_peak = 0;
        lls_cpu_expert_linear(&f[i].x, &y[i], &x, &ids_of, &p);
        end_planning(&f[i].x);
        lls_cpu_expert_linear(&f[i].x, &y[i], &x, &ids_of, &p);
    }
    check_equal(&y[0], &y[1], scheme, in);
    for (uint32_t i = 0; i < 2; i++) {
        free_source(&s[i]);
        free(y[i].data);
    }
    free(x.data);
    free(ids);
    free(w.block);
}

/* Integers are exact and float32 goes in one order, so that a row may pass through tiles or not as
 * its neighbours have it.  Blocks of 1 to 32 rows, which only experts have beside many others. */
static void tiles_give_the_bits_of_avx512(void **state)
{
    fixture_t f[2];

    if (!lls_cpu_has_isa(LLS_ISA_AMX)) {
        print_message("no AMX on this machine\n");
        skip();
    }
    f[0] = fixture_of(LLS_ISA_AVX512, 1);
    f[1] = fixture_of(LLS_ISA_AMX, 2);
    for (uint32_t scheme = LLS_W_Q4_0; scheme < LLS_N_SCHEMES; scheme++) {
        uint32_t block = lls_scheme_block(scheme);

        for (uint32_t m = 1; m <= 70; m++)
            check_tiles(f, scheme, m, 0, 1 + m * 29 % 67, block * (1 + m % (block == 32 ? 9 : 2)));
        for (uint32_t few = 1; few <= 33; few++)
            check_tiles(f, scheme, 120 + few, few, 1 + few * 29 % 67, block * (1 + few % 2));
        check_tiles(f, scheme, 197, 0, 33, 2304);
    }
    close_fixture(&f[0]);
    close_fixture(&f[1]);
}

/* ---- What is added, what is stacked ---------------------------------------------------------- */

static void bias_and_sum_are_added_last(void **state)
{
    enum { M = 6, OUT = 50, IN = 64 };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        lls_tensor_t x = random_rows(M, IN, 1), z = random_rows(M, OUT, 2);
        lls_tensor_t y = tensor_of(M, OUT, OUT);
        lls_tensor_t bias = random_rows(1, OUT, 4), old = random_rows(M, OUT, 2);
        source_t     s = source_of(LLS_W_Q4_1, OUT, IN, 11);
        fixture_t    f;
        packed_t     w;
        lls_linear_t p = { .in = IN, .out = OUT };

        if (lls_cpu_has_isa(isa)) {
            f = fixture_of(isa, 2);
            w = packed_one(f.cpu, &s, LLS_BF16);
            p.w = w.w;
            run_linear(&f, &y, &x, &p);
            p.bias = bias.data;
            p.accumulate = true;
            run_linear(&f, &z, &x, &p);
            for (uint32_t i = 0; i < M * OUT; i++) {
                uint32_t r = i / OUT, c = i % OUT;
                float    sum = lls_row_f32(&y, r)[c] + lls_row_f32(&bias, 0)[c];

                assert_true(lls_row_f32(&z, r)[c] == sum + lls_row_f32(&old, r)[c]);
            }
            assert_true(isnan(lls_row_f32(&z, 0)[OUT]));    /* between the rows */
            free(w.block);
            close_fixture(&f);
        }
        free_source(&s);
        free(x.data);
        free(y.data);
        free(z.data);
        free(old.data);
        free(bias.data);
    }
}

/* Rows by a permutation, as Llama's q and k in GGUF. */
static source_t permuted(uint32_t scheme, uint32_t out, uint32_t in, uint64_t seed)
{
    source_t  s = source_of(scheme, out, in, seed);
    uint32_t *row_of = malloc(out * sizeof *row_of);

    for (uint32_t i = 0; i < out; i++) {
        row_of[i] = i * 7 % out;                /* out is no multiple of 7 */
        lls_dequantise(scheme, s.block + 1 + row_of[i] * lls_scheme_row_bytes(scheme, in), 0, in,
                       s.values + (size_t)i * in);
    }
    s.part.row_of = row_of;
    return s;
}

/* Stored [in, out]. */
static source_t transposed(uint32_t scheme, uint32_t out, uint32_t in, uint64_t seed)
{
    source_t s = source_of(scheme, in, out, seed);
    float   *values = malloc((size_t)out * in * sizeof *values);

    for (uint32_t o = 0; o < out; o++)
        for (uint32_t k = 0; k < in; k++)
            values[(size_t)o * in + k] = s.values[(size_t)k * out + o];
    free(s.values);
    s.values = values;
    s.part.out = out;
    s.part.in = in;
    s.part.transposed = true;
    return s;
}

/* Parts of several kinds in one matrix, borders inside panels: the bits of each part alone. */
static void check_stack(fixture_t *f, source_t *parts, uint32_t n, uint32_t in)
{
    enum { M = 17 };
    lls_wpart_t  list[16];
    lls_wspec_t  spec = { .parts = list, .n_parts = n, .dtype = LLS_BF16 };
    lls_tensor_t x = random_rows(M, in, 21), y;
    uint32_t     out = 0, first = 0;
    packed_t     w;

    for (uint32_t i = 0; i < n; i++) {
        list[i] = parts[i].part;
        out += list[i].out;
    }
    w = packed_of(f->cpu, &spec);
    y = tensor_of(M, out, out);
    run_linear(f, &y, &x, &(lls_linear_t){ .w = w.w, .in = in, .out = out });
    for (uint32_t i = 0; i < n; first += list[i].out, i++) {
        lls_tensor_t part = lls_columns(&y, first, list[i].out);

        check_rows(&part, &x, parts[i].values,
                   bound_of(lls_cpu_isa(f->cpu), list[i].scheme, LLS_BF16));
    }
    free(x.data);
    free(y.data);
    free(w.block);
}

static void parts_are_stacked_permuted_and_transposed(void **state)
{
    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;
        source_t  parts[] = {
            permuted(LLS_W_Q4_1, 40, 64, 1), source_of(LLS_W_Q4_1, 30, 64, 2),
            source_of(LLS_W_Q8_0, 10, 64, 3), permuted(LLS_W_Q5_0, 33, 64, 4),
            source_of(LLS_W_BF16, 20, 64, 5), transposed(LLS_W_F32, 37, 64, 6),
            permuted(LLS_W_F16, 33, 64, 7), source_of(LLS_W_IQ4_NL, 40, 64, 8),
            source_of(LLS_W_Q8_0, 50, 64, 9),
        };
        source_t  wide[] = {
            source_of(LLS_W_Q6_K, 40, 256, 1), permuted(LLS_W_Q4_K, 33, 256, 2),
            source_of(LLS_W_Q4_K, 20, 256, 3), source_of(LLS_W_Q5_0, 30, 256, 4),
            source_of(LLS_W_BF16, 20, 256, 5),
        };

        if (lls_cpu_has_isa(isa)) {
            f = fixture_of(isa, 2);
            check_stack(&f, parts, LLS_ARRAY_LEN(parts), 64);
            check_stack(&f, wide, LLS_ARRAY_LEN(wide), 256);
            close_fixture(&f);
        }
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(wide); i++)
            free_source(&wide[i]);
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(parts); i++)
            free_source(&parts[i]);
    }
}

/* ---- Quantised while packing ----------------------------------------------------------------- */

/* The values of a source as blocks. */
static source_t quantised(const source_t *s, uint32_t scheme)
{
    uint32_t n = s->part.out * s->part.in, bytes = lls_scheme_block_bytes(scheme);
    source_t q = { .part = { .scheme = scheme, .out = s->part.out, .in = s->part.in } };

    q.block = malloc(n / LLS_QUANT_BLOCK * bytes);
    q.part.data = q.block;
    for (uint32_t i = 0; i < n / LLS_QUANT_BLOCK; i++)
        lls_quantise_block(scheme, s->values + i * LLS_QUANT_BLOCK, q.block + i * bytes);
    return q;
}

/* Plain parts of any type and order beside blocks: the bytes of a checkpoint of such blocks. */
static void check_quantised(fixture_t *f, uint32_t quant, uint32_t dtype)
{
    uint32_t    scheme = quant == LLS_QUANT_INT8 ? LLS_W_Q8_0 : LLS_W_Q4_1;
    source_t    plain[] = { source_of(LLS_W_F32, 40, 64, 1), permuted(LLS_W_BF16, 33, 64, 2),
                            transposed(LLS_W_F16, 37, 64, 3), source_of(scheme, 30, 64, 4) };
    source_t    blocks[4];
    lls_wpart_t parts[2][4];
    packed_t    w[2];
    size_t      size[2];

    for (uint32_t i = 0; i < 4; i++) {
        blocks[i] = i < 3 ? quantised(&plain[i], scheme) : source_of(scheme, 30, 64, 4);
        parts[0][i] = plain[i].part;
        parts[1][i] = blocks[i].part;
    }
    for (uint32_t i = 0; i < 2; i++) {
        /* with float32 blocks of the file are written out */
        lls_wspec_t spec = { .parts = parts[i], .n_parts = dtype == LLS_F32 ? 3 : 4,
                             .dtype = i == 0 ? dtype : LLS_BF16, .quant = i == 0 ? quant : 0 };

        size[i] = lls_cpu_pack_size(&spec);
        w[i] = packed_of(f->cpu, &spec);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(w[0].w, w[1].w, size[0]);
    for (uint32_t i = 0; i < 4; i++) {
        free_source(&plain[i]);
        free_source(&blocks[i]);
    }
    free(w[0].block);
    free(w[1].block);
}

static void plain_parts_are_quantised_as_asked(void **state)
{
    fixture_t f = fixture_of(LLS_ISA_PLAIN, 2);
    source_t  odd = source_of(LLS_W_BF16, 20, 52, 1);

    for (uint32_t quant = LLS_QUANT_INT8; quant <= LLS_QUANT_INT4; quant++) {
        lls_wspec_t spec = { .parts = &odd.part, .n_parts = 1, .dtype = LLS_BF16 };
        size_t      size = lls_cpu_pack_size(&spec);

        check_quantised(&f, quant, LLS_BF16);
        check_quantised(&f, quant, LLS_F32);
        spec.quant = quant;
        assert_int_equal(lls_cpu_pack_size(&spec), size);   /* rows of no whole blocks */
    }
    free_source(&odd);
    close_fixture(&f);
}

/* ---- Embeddings ------------------------------------------------------------------------------ */

static void check_embed(fixture_t *f, uint32_t scheme, uint32_t in)
{
    enum { OUT = 75, M = 5 };
    source_t     s = source_of(scheme, OUT, in, scheme + 40);
    packed_t     w = packed_one(f->cpu, &s, dtype_of(scheme));
    lls_tensor_t y = tensor_of(M, in, in + 2);
    int32_t      ids[M] = { 74, 0, 31, 32, 0 }, positions[M] = { 0, 1, 2, 72, 3 };
    lls_batch_t  b = { .n_tokens = M, .ids = ids, .positions = positions };

    lls_cpu_embed(&f->x, &y, &b, w.w, 3.0f);
    for (uint32_t r = 0; r < M; r++)
        for (uint32_t k = 0; k < in; k++)
            assert_true(lls_row_f32(&y, r)[k] == 3.0f * s.values[(size_t)ids[r] * in + k]);
    lls_cpu_embed_pos(&f->x, &y, &b, w.w, 2);
    for (uint32_t r = 0; r < M; r++)
        for (uint32_t k = 0; k < in; k++)
            assert_true(lls_row_f32(&y, r)[k] == 3.0f * s.values[(size_t)ids[r] * in + k] +
                                                     s.values[(size_t)(positions[r] + 2) * in + k]);
    free(y.data);
    free(w.block);
    free_source(&s);
}

static void embed_gives_the_values_of_the_file(void **state)
{
    fixture_t f = fixture_of(LLS_ISA_PLAIN, 2);

    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++) {
        check_embed(&f, scheme, lls_scheme_block(scheme) == 256 ? 768 : 96);
        if (scheme < LLS_W_Q4_0)
            check_embed(&f, scheme, 51);
    }
    close_fixture(&f);
}

/* ---- Experts --------------------------------------------------------------------------------- */

enum { N_EXPERTS = 5, TOP_K = 2, TOKENS = 23, E_OUT = 44, E_IN = 256 };

/* Each pair must have the bits that `linear` gives with its expert alone. */
static void check_pairs(fixture_t *f, const lls_tensor_t *y, const lls_tensor_t *x,
                        const int32_t *ids,
                        const source_t *experts)
{
    for (uint32_t i = 0; i < TOKENS * TOP_K; i++) {
        packed_t     w = packed_one(f->cpu, &experts[ids[i]], LLS_BF16);
        lls_tensor_t one = *x, z = tensor_of(1, E_OUT, E_OUT);

        one.shape[0] = 1;
        one.data = lls_row_f32(x, i / (TOKENS * TOP_K / x->shape[0]));
        run_linear(f, &z, &one, &(lls_linear_t){ .w = w.w, .in = E_IN, .out = E_OUT });
        check_same_bits(y, i, z.data);
        free(z.data);
        free(w.block);
    }
}

static void check_experts(fixture_t *f, uint32_t scheme, uint32_t in_rows)
{
    source_t     experts[N_EXPERTS];
    lls_wpart_t  parts[N_EXPERTS];
    int32_t      ids[TOKENS * TOP_K];
    lls_wspec_t  spec = { .parts = parts, .n_parts = 1, .n_experts = N_EXPERTS, .dtype = LLS_BF16 };
    lls_tensor_t x = random_rows(in_rows, E_IN, 8), y = tensor_of(TOKENS * TOP_K, E_OUT, E_OUT);
    lls_tensor_t ids_of = { .data = ids, .dtype = LLS_I32, .n_dims = 2,
                            .shape = { TOKENS, TOP_K, 1, 1 }, .stride = { TOP_K } };
    packed_t     w;
    lls_linear_t p = { .in = E_IN, .out = E_OUT };

    for (uint32_t e = 0; e < N_EXPERTS; e++) {
        experts[e] = source_of(scheme, E_OUT, E_IN, e);
        parts[e] = experts[e].part;
    }
    for (uint32_t i = 0; i < TOKENS * TOP_K; i++)           /* expert 3 serves nobody */
        ids[i] = (int32_t[]){ 1, 0, 1, 4, 2, 1, 1 }[lls_mix64(3, i) % 7];
    w = packed_of(f->cpu, &spec);
    f->x.planning = true;
    f->x.scratch_peak = 0;
    lls_cpu_expert_linear(&f->x, &y, &x, &ids_of, &p);      /* before there are weights */
    end_planning(&f->x);
    p.w = w.w;
    lls_cpu_expert_linear(&f->x, &y, &x, &ids_of, &p);
    check_pairs(f, &y, &x, ids, experts);
    for (uint32_t e = 0; e < N_EXPERTS; e++)
        free_source(&experts[e]);
    free(x.data);
    free(y.data);
    free(w.block);
}

static void experts_have_the_bits_of_linear(void **state)
{
    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;

        if (!lls_cpu_has_isa(isa))
            continue;
        f = fixture_of(isa, 2);
        check_experts(&f, LLS_W_Q4_1, TOKENS);
        check_experts(&f, LLS_W_Q4_K, TOKENS);
        check_experts(&f, LLS_W_Q3_K, TOKENS);
        check_experts(&f, LLS_W_BF16, TOKENS * TOP_K);
        close_fixture(&f);
    }
}

/* ---- Odd input ------------------------------------------------------------------------------- */

/* A NaN or an infinity shows in its own row and in no other. */
static void a_nan_stays_in_its_row(void **state)
{
    enum { M = 15, OUT = 40, IN = 256 };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++)
        for (uint32_t i = 0; lls_cpu_has_isa(isa) && i < LLS_N_SCHEMES; i++) {
            fixture_t    f = fixture_of(isa, 2);
            source_t     s = source_of(i, OUT, IN, 6);
            packed_t     w = packed_one(f.cpu, &s, dtype_of(i));
            lls_tensor_t x = random_rows(M, IN, 2), y = tensor_of(M, OUT, OUT);

            lls_row_f32(&x, 3)[40] = NAN;
            lls_row_f32(&x, 8)[1] = INFINITY;
            run_linear(&f, &y, &x, &(lls_linear_t){ .w = w.w, .in = IN, .out = OUT });
            for (uint32_t r = 0; r < M; r++)
                for (uint32_t c = 0; c < OUT; c++)
                    assert_true(isfinite(lls_row_f32(&y, r)[c]) == (r != 3 && r != 8));
            free(x.data);
            free(y.data);
            free(w.block);
            free_source(&s);
            close_fixture(&f);
        }
}

/* Sums in 16 bits saturate: the largest integers there can be, of both signs. */
static void the_largest_integers_are_exact(void **state)
{
    enum { M = 4, OUT = 32, IN = 512 };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++)
        for (uint32_t scheme = LLS_W_Q4_0; lls_cpu_has_isa(isa) && scheme < LLS_N_SCHEMES; scheme++)
            for (uint32_t fill = 0; fill < 3; fill++) {
                fixture_t    f = fixture_of(isa, 1);
                source_t     s = source_of(scheme, OUT, IN, 6);
                lls_tensor_t x = random_rows(M, IN, 2), y = tensor_of(M, OUT, OUT);
                uint32_t     bytes = lls_scheme_block_bytes(scheme);
                uint32_t     row = (uint32_t)lls_scheme_row_bytes(scheme, IN);
                packed_t     w;

                for (uint32_t i = 0; i < OUT * row; i += bytes) {
                    memset(s.block + 1 + i, (const int[]){ 0xff, 0x80, 0x7f }[fill], bytes);
                    put_halves(scheme, 0x2000, 0x1c00, s.block + 1 + i);
                }
                for (uint32_t i = 0; i < OUT; i++)
                    lls_dequantise(scheme, s.block + 1 + i * row, 0, IN, s.values + i * IN);
                for (uint32_t i = 0; i < M * IN; i++)
                    lls_row_f32(&x, i / IN)[i % IN] =
                        i / IN == 0 ? 1 : i / IN == 1 ? -1 : i % 2 ? 1 : -1;
                w = packed_one(f.cpu, &s, LLS_BF16);
                run_linear(&f, &y, &x, &(lls_linear_t){ .w = w.w, .in = IN, .out = OUT });
                check_rows(&y, &x, s.values, (bound_t){ 1e-6, 0 });
                free(x.data);
                free(y.data);
                free(w.block);
                free_source(&s);
                close_fixture(&f);
            }
}

/* A step of fewer rows than planned fits, and one without rows is nothing. */
static void scratch_grows_with_the_rows(void **state)
{
    fixture_t f = fixture_of(LLS_ISA_PLAIN, 3);
    size_t    last = 0;

    f.x.planning = true;
    for (uint32_t m = 0; m < 600; m++) {
        lls_tensor_t x = { .shape = { m, 9000, 1, 1 } }, y = { .shape = { m, 64, 1, 1 } };

        f.x.scratch_peak = 0;
        lls_cpu_linear(&f.x, &y, &x, &(lls_linear_t){ .in = 9000, .out = 64 });
        assert_true(f.x.scratch_peak >= last);
        last = f.x.scratch_peak;
    }
    close_fixture(&f);
}

/* What README says of bytes per weight: of 32 columns and 256 values of k. */
static void panels_have_the_sizes_of_the_table(void **state)
{
    /* ORDER scheme */
    static const uint32_t bytes[LLS_N_SCHEMES] = {
        32768, 16384, 16384, 4608, 5120, 8704, 9216, 8704, 8704, 5248, 4672, 4736, 8832, 8768, 8768
    };

    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++) {
        lls_wpart_t part = { .scheme = scheme, .out = 31, .in = 256 };
        lls_wspec_t spec = { .parts = &part, .n_parts = 1, .dtype = dtype_of(scheme) };
        size_t      header = lls_align_up(sizeof(lls_wmat_t) + sizeof(lls_wseg_t), 64);

        assert_int_equal(lls_cpu_pack_size(&spec), header + bytes[scheme]);
        print_message("%s: %.3f bytes per weight, %.3f in the file\n", lls_scheme_name(scheme),
                      bytes[scheme] / 8192.0, lls_scheme_row_bytes(scheme, 256) / 256.0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_close_to_float64),
        cmocka_unit_test(bits_do_not_depend_on_rows_or_threads),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(every_remainder_agrees_with_plain),
        cmocka_unit_test(avxvnni_has_the_bits_of_avx2),
        cmocka_unit_test(tiles_give_the_bits_of_avx512),
        cmocka_unit_test(bias_and_sum_are_added_last),
        cmocka_unit_test(parts_are_stacked_permuted_and_transposed),
        cmocka_unit_test(plain_parts_are_quantised_as_asked),
        cmocka_unit_test(embed_gives_the_values_of_the_file),
        cmocka_unit_test(experts_have_the_bits_of_linear),
        cmocka_unit_test(a_nan_stays_in_its_row),
        cmocka_unit_test(the_largest_integers_are_exact),
        cmocka_unit_test(scratch_grows_with_the_rows),
        cmocka_unit_test(panels_have_the_sizes_of_the_table),
    };

    lls_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
