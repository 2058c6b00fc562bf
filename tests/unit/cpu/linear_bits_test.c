/* SPDX-License-Identifier: Apache-2.0 */
/* What has the same bits: rows in any batch, with any threads, tiles, experts. */
#include "unit/test.h"

#include "unit/cpu/linear_rig.h"

/* ---- Rows and threads ------------------------------------------------------------------------ */

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
            check_bits(isa, scheme, 66, lls_scheme_block(scheme) > 32 ? &tall : &thin, many,
                       LLS_ARRAY_LEN(many));
        }
    free(deep.data);
    free(tall.data);
}

/* ---- The bits of AVX2 ------------------------------------------------------------------------ */

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

/* Both are exact in integers and then do the same with floats.  Saturation would show, and sums
 * too large to be floats as they stand: activations of 127 and of both signs meet the extreme
 * bytes. */
static void check_against_avx2(uint32_t isa, const bool *has_scheme)
{
    enum { M = 13, OUT = 41, IN = 512 };
    lls_tensor_t x = random_rows(M, IN, 8),
                 y[2] = { tensor_of(M, OUT, OUT), tensor_of(M, OUT, OUT) };

    if (!lls_cpu_has_isa(isa)) {
        print_message("this CPU has no %s\n", lls_cpu_isa_name(isa));
        skip();
    }
    for (uint32_t c = 0; c < IN; c++) {
        lls_row_f32(&x, 1)[c] = 1;
        lls_row_f32(&x, 2)[c] = -1;
        lls_row_f32(&x, 8)[c] = c % 2 == 0 ? 1 : -1;
        lls_row_f32(&x, 9)[c] = c % 4 < 2 ? 1 : -1;
    }
    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++)
        for (uint32_t m = 1; has_scheme[scheme] && m <= M; m++) {
            source_t s = source_of(scheme, OUT, IN, scheme);

            if (scheme >= LLS_W_Q4_0)
                make_rows_extreme(scheme, &s);
            for (uint32_t i = 0; i < 2; i++) {
                fixture_t    f = fixture_of(i == 0 ? LLS_ISA_AVX2 : isa, 1);
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

static void avxvnni_has_the_bits_of_avx2(void **state)
{
    bool all[LLS_N_SCHEMES];

    memset(all, true, sizeof all);
    check_against_avx2(LLS_ISA_AVXVNNI, all);
}

/* Of Q2_K and Q3_K it sums both bytes of an activation before they become a float. */
static void avx512_has_the_bits_of_avx2(void **state)
{
    bool blocks[LLS_N_SCHEMES];

    for (uint32_t scheme = 0; scheme < LLS_N_SCHEMES; scheme++)
        blocks[scheme] = scheme >= LLS_W_Q4_0 && scheme != LLS_W_Q2_K && scheme != LLS_W_Q3_K;
    check_against_avx2(LLS_ISA_AVX512, blocks);
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

    if (!lls_cpu_has_isa(LLS_ISA_AMXINT8)) {
        print_message("no AMX on this machine\n");
        skip();
    }
    f[0] = fixture_of(LLS_ISA_AVX512, 1);
    f[1] = fixture_of(LLS_ISA_AMXINT8, 2);
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

/* ---- Widened weights ------------------------------------------------------------------------- */

static float f16_of(double x) { return lls_f16_to_f32(lls_f32_to_f16((float)x)); }

/* Value i of a group as cpu_linear_amx.c makes it: 2^-102 of what it stands for. */
static float widened(const lls_group_t *g, uint32_t i)
{
    float    d = f16_of(1024.0 * g->d[i / 16]), m = f16_of(1024.0 * g->m[i / 16]);
    uint16_t bits = lls_f32_to_f16((float)((double)d * g->q[i] + m));

    return lls_bf16_to_f32((uint16_t)(((int16_t)bits * 4096 + 0x4000) >> 15 & 0x8fff));
}

/* Of 32 values: tiles sum the first and the second of all pairs apart. */
static float add_tile_group(float sum, const float *x, const lls_group_t *g)
{
    float part[2] = { 0, 0 };

    for (uint32_t i = 0; i < LLS_GROUP; i++) {
        uint32_t k = i / 4 * 4 + (uint32_t[]){ 0, 2, 1, 3 }[i % 4];
        float    a = lls_bf16_to_f32(lls_f32_to_bf16(x[k] * 0x1p102f));

        part[i % 2] = fmaf(a, widened(g, k), part[i % 2]);
    }
    return sum + (part[0] + part[1]);
}

static float sum_by_tiles(const lls_wmat_t *w, const float *x, uint32_t column)
{
    const lls_wseg_t *seg = lls_wmat_segs(w, 0);
    const uint8_t    *panel = lls_wmat_panel(w, seg, column / LLS_PANEL);
    uint32_t          step = lls_kind_step(seg->kind);
    float             sum = 0;

    for (uint32_t k = 0; k < w->in; k += LLS_GROUP) {
        lls_group_t g;

        lls_wmat_read_group(seg->kind, panel + k / step * lls_kind_step_bytes(seg->kind),
                            k % step / LLS_GROUP, column % LLS_PANEL, &g);
        sum = add_tile_group(sum, x + k, &g);
    }
    return sum;
}

/* Few rows, which are widened for themselves, and many. */
static void amx_sums_widened_weights_as_it_says(void **state)
{
    fixture_t f;

    if (!lls_cpu_has_isa(LLS_ISA_AMX)) {
        print_message("no AMX on this machine\n");
        skip();
    }
    f = fixture_of(LLS_ISA_AMX, 1);
    for (uint32_t scheme = LLS_W_Q4_0; scheme < LLS_N_SCHEMES; scheme++)
        for (uint32_t m = 1; m < 50; m += 16) {
            enum { OUT = 35, IN = 512 };
            source_t     s = source_of(scheme, OUT, IN, m);
            packed_t     w = packed_one(f.cpu, &s, LLS_BF16);
            lls_tensor_t x = random_rows(m, IN, m), y = tensor_of(m, OUT, OUT);

            run_linear(&f, &y, &x, &(lls_linear_t){ .w = w.w, .in = IN, .out = OUT });
            for (uint32_t i = 0; i < m * OUT; i++)
                if (lls_row_f32(&y, i / OUT)[i % OUT] !=
                    sum_by_tiles(w.w, lls_row_f32(&x, i / OUT), i % OUT))
                    fail_msg("%s, row %u of %u, column %u: %.9g, not %.9g", lls_scheme_name(scheme),
                             i / OUT, m, i % OUT, (double)lls_row_f32(&y, i / OUT)[i % OUT],
                             (double)sum_by_tiles(w.w, lls_row_f32(&x, i / OUT), i % OUT));
            free(x.data);
            free(y.data);
            free(w.block);
            free_source(&s);
        }
    close_fixture(&f);
}

/* Of weights that are no f16 any more amx leaves the matrix to int8. */
static void amx_leaves_large_weights_to_int8(void **state)
{
    enum { M = 3, OUT = 35, IN = 512 };
    static const uint32_t isas[] = { LLS_ISA_AMX, LLS_ISA_AMXINT8 };

    if (!lls_cpu_has_isa(LLS_ISA_AMX)) {
        print_message("no AMX on this machine\n");
        skip();
    }
    for (uint32_t scheme = LLS_W_Q4_0; scheme < LLS_N_SCHEMES; scheme++) {
        source_t     s = source_of(scheme, OUT, IN, scheme);
        lls_tensor_t x = random_rows(M, IN, 1), y[2];

        put_halves(scheme, lls_f32_to_f16(4100), lls_f32_to_f16(-300),
                   s.block + 1 + 34 * lls_scheme_row_bytes(scheme, IN));
        for (uint32_t i = 0; i < 2; i++) {
            fixture_t f = fixture_of(isas[i], 1);
            packed_t  w = packed_one(f.cpu, &s, LLS_BF16);

            assert_false(w.w->fits_f16);
            y[i] = tensor_of(M, OUT, OUT);
            run_linear(&f, &y[i], &x, &(lls_linear_t){ .w = w.w, .in = IN, .out = OUT });
            free(w.block);
            close_fixture(&f);
        }
        assert_memory_equal(y[0].data, y[1].data, M * OUT * sizeof(float));
        free(x.data);
        free(y[0].data);
        free(y[1].data);
        free_source(&s);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_do_not_depend_on_rows_or_threads),
        cmocka_unit_test(avxvnni_has_the_bits_of_avx2),
        cmocka_unit_test(avx512_has_the_bits_of_avx2),
        cmocka_unit_test(tiles_give_the_bits_of_avx512),
        cmocka_unit_test(amx_sums_widened_weights_as_it_says),
        cmocka_unit_test(amx_leaves_large_weights_to_int8),
        cmocka_unit_test(experts_have_the_bits_of_linear),
    };

    lls_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
