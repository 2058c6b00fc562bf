/* SPDX-License-Identifier: Apache-2.0 */
/* The linear ops on every instruction set of this machine, against float64 and plain C. */
#include "unit/test.h"

#include "unit/cpu/linear_bound.h"
#include "sample/sample_kernels.h"
#include "unit/cpu/linear_rig.h"

/* ---- Against float64 ------------------------------------------------------------------------- */

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

/* ---- Against plain C ------------------------------------------------------------------------- */

/* The same int8 whatever the instruction set, but for amx, which has bfloat16: results differ by the
 * rounding of a few sums. */
static void instruction_sets_agree(void **state)
{
    enum { M = 9, OUT = 40, IN = 768 };
    lls_tensor_t x = random_rows(M, IN, 3),
                 y[2] = { tensor_of(M, OUT, OUT), tensor_of(M, OUT, OUT) };

    lls_row_f32(&x, 4)[77] = 3e30f;             /* the others of its group become 0 */
    lls_row_f32(&x, 5)[0] = 1e-38f;
    for (uint32_t isa = 1; isa < LLS_N_ISAS; isa++)
        for (uint32_t scheme = LLS_W_Q4_0;
             lls_cpu_has_isa(isa) && isa != LLS_ISA_AMX && scheme < LLS_N_SCHEMES; scheme++) {
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
    if (scheme >= LLS_W_Q4_0 && lls_cpu_isa(f->cpu) == LLS_ISA_AMX)
        b = (bound_t){ 8.5e-3, bound_of(LLS_ISA_PLAIN, scheme, LLS_BF16).step };
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

/* ---- What is added --------------------------------------------------------------------------- */

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
                check_rows(&y, &x, s.values,
                           (bound_t){ isa == LLS_ISA_AMX ? 4.5e-3 : 1e-6, 0 });
                free(x.data);
                free(y.data);
                free(w.block);
                free_source(&s);
                close_fixture(&f);
            }
}

/* ---- Peaks ----------------------------------------------------------------------------------- */

static float peak_of(const float *row, uint32_t n, uint32_t group)
{
    uint32_t first = group / 16 * LLS_SAMPLE_BLOCK + group % 16;
    float    peak = -INFINITY;

    for (uint32_t c = first; c < n && c < first + LLS_SAMPLE_BLOCK; c += 16)
        peak = row[c] > peak ? row[c] : row[c] <= peak ? peak : INFINITY;
    return peak;
}

static void check_peaks(uint32_t isa, uint32_t scheme, uint32_t m, uint32_t out)
{
    enum { IN = 64 };
    fixture_t    f = fixture_of(isa, 3);
    source_t     s = source_of(scheme, out, IN, m);
    packed_t     w = packed_one(f.cpu, &s, LLS_BF16);
    lls_tensor_t x = random_rows(m, IN, m), y = tensor_of(m, out, out + 1), z, peaks;
    uint32_t     n = lls_sample_n_peaks(out);
    float       *bias = calloc(out, sizeof *bias);
    lls_linear_t p = { .w = w.w, .bias = bias, .in = IN, .out = out };

    bias[out / 2] = NAN;
    bias[out / 3] = INFINITY;
    bias[out - 1] = -INFINITY;
    peaks = tensor_of(m, n, n + 3);
    run_linear(&f, &y, &x, &p);
    z = tensor_of(m, out, out + 1);
    lls_cpu_linear_peaks(&f.x, &z, &peaks, &x, &p);
    for (uint32_t r = 0; r < m; r++) {
        assert_memory_equal(lls_row_f32(&y, r), lls_row_f32(&z, r), out * sizeof(float));
        for (uint32_t g = 0; g < n; g++)
            assert_true(lls_row_f32(&peaks, r)[g] == peak_of(lls_row_f32(&y, r), out, g));
    }
    free(x.data);
    free(y.data);
    free(z.data);
    free(peaks.data);
    free(bias);
    free(w.block);
    free_source(&s);
    close_fixture(&f);
}

static void peaks_are_those_of_the_logits(void **state)
{
    static const uint32_t outs[] = { 7, 512, 1100, 3000 };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++)
        for (uint32_t i = 0; lls_cpu_has_isa(isa) && i < LLS_ARRAY_LEN(outs); i++)
            for (uint32_t m = 1; m <= 41; m += 20) {
                check_peaks(isa, LLS_W_BF16, m, outs[i]);
                check_peaks(isa, LLS_W_Q4_0, m, outs[i]);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_is_close_to_float64),
        cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(every_remainder_agrees_with_plain),
        cmocka_unit_test(bias_and_sum_are_added_last),
        cmocka_unit_test(a_nan_stays_in_its_row),
        cmocka_unit_test(the_largest_integers_are_exact),
        cmocka_unit_test(peaks_are_those_of_the_logits),
        cmocka_unit_test(scratch_grows_with_the_rows),
    };

    lls_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
