/* SPDX-License-Identifier: Apache-2.0 */
/* glu against the plain ops, bit by bit, on every instruction set of this machine. */
#include "unit/test.h"

#include "unit/cpu/linear_rig.h"

enum { IN = 256, WIDTH = 256, N_EXPERTS = 4, TOP_K = 2 };

/* One feed-forward block, or one for each expert, with the schemes of gate, up and down. */
typedef struct block {
    source_t     source[N_EXPERTS][3];
    uint32_t     n_experts;             /* 0: linear */
    packed_t     packed[2];
    lls_tensor_t bias[2];
    lls_linear_t gate_up, down;
    lls_glu_t    glu;
} block_t;

static packed_t pack_parts(const block_t *b, lls_cpu_t *cpu, uint32_t first, uint32_t n)
{
    lls_wpart_t parts[N_EXPERTS * 2];
    lls_wspec_t spec = { .parts = parts, .n_parts = n, .n_experts = b->n_experts,
                         .dtype = LLS_BF16 };

    for (uint32_t i = 0; i < lls_max_u32(b->n_experts, 1) * n; i++)
        parts[i] = b->source[i / n][first + i % n].part;
    return packed_of(cpu, &spec);
}

/* schemes: [3] for each expert. */
static void make_block(block_t *b, lls_cpu_t *cpu, const uint32_t *schemes, uint32_t n_experts,
                       uint32_t width, uint32_t act)
{
    *b = (block_t){ .n_experts = n_experts };
    for (uint32_t e = 0; e < lls_max_u32(n_experts, 1); e++)
        for (uint32_t i = 0; i < 3; i++)
            b->source[e][i] = source_of(schemes[3 * e + i], i < 2 ? width : IN, i < 2 ? IN : width,
                                        10 * e + i);
    b->packed[0] = pack_parts(b, cpu, 0, 2);
    b->packed[1] = pack_parts(b, cpu, 2, 1);
    b->bias[0] = random_rows(1, 2 * width, 70);
    b->bias[1] = random_rows(1, IN, 71);
    b->gate_up = (lls_linear_t){ .w = b->packed[0].w, .in = IN, .out = 2 * width };
    b->down = (lls_linear_t){ .w = b->packed[1].w, .in = width, .out = IN };
    b->glu = (lls_glu_t){ &b->gate_up, &b->down, act };
}

static void free_block(block_t *b)
{
    for (uint32_t i = 0; i < N_EXPERTS * 3; i++)
        free_source(&b->source[i / 3][i % 3]);
    for (uint32_t i = 0; i < 2; i++) {
        free(b->packed[i].block);
        free(b->bias[i].data);
    }
}

typedef void glu_fn(lls_exec_t *x, lls_out_t out, lls_in_t in, lls_in_t ids, const lls_glu_t *p);

static void run_glu(fixture_t *f, glu_fn *glu, lls_tensor_t *out, const lls_tensor_t *in,
                    const lls_tensor_t *ids, const block_t *b)
{
    lls_linear_t gate_up = b->gate_up, down = b->down;
    lls_glu_t    unpacked = { &gate_up, &down, b->glu.act };

    gate_up.w = down.w = NULL;
    f->x.planning = true;
    f->x.peak = f->x.scratch_peak = 0;
    glu(&f->x, out, in, ids, &unpacked);
    end_planning(&f->x);
    glu(&f->x, out, in, ids, &b->glu);
    assert_int_equal(f->x.used, 0);
}

/* Rows that differ much in size, so that a scale of the wrong row shows. */
static void check_rows(fixture_t *f, const block_t *b, uint32_t m)
{
    static int32_t id[1024];
    uint32_t       share = b->n_experts > 0 ? TOP_K : 1;
    lls_tensor_t   x = random_rows(m, IN, m), want = tensor_of(m * share, IN, IN);
    lls_tensor_t   y = tensor_of(m * share, IN, IN);
    lls_tensor_t   ids = { .data = id, .dtype = LLS_I32, .n_dims = 2,
                           .shape = { m, TOP_K, 1, 1 }, .stride = { TOP_K } };

    assert_true(m * TOP_K <= LLS_ARRAY_LEN(id));
    for (uint32_t i = 0; i < m * TOP_K; i++)                /* expert 2 serves nobody */
        id[i] = (int32_t[]){ 1, 0, 1, 3, 1 }[lls_mix64(3, i) % 5];
    for (uint32_t i = 0; i < m * IN; i++)
        lls_row_f32(&x, i / IN)[i % IN] *= 0.01f * (float)(1 + i / IN % 13);
    run_glu(f, lls_glu_by_parts, &want, &x, b->n_experts > 0 ? &ids : NULL, b);
    run_glu(f, lls_cpu_glu, &y, &x, b->n_experts > 0 ? &ids : NULL, b);
    for (uint32_t i = 0; i < m * share * IN; i++)
        if (memcmp((float *)y.data + i, (float *)want.data + i, 4) != 0)
            fail_msg("isa %s, schemes %u %u %u, %u rows, row %u column %u: %.9g, not %.9g",
                     lls_cpu_isa_name(lls_cpu_isa(f->cpu)), b->source[0][0].part.scheme,
                     b->source[0][1].part.scheme, b->source[0][2].part.scheme, m, i / IN, i % IN,
                     (double)((float *)y.data)[i], (double)((float *)want.data)[i]);
    free(x.data);
    free(y.data);
    free(want.data);
}

static void check_block(fixture_t *f, const uint32_t *schemes, uint32_t n_experts, uint32_t width,
                        const uint32_t *rows, uint32_t n)
{
    block_t b;

    for (uint32_t with_bias = 0; with_bias < (n_experts > 0 ? 1 : 2); with_bias++) {
        make_block(&b, f->cpu, schemes, n_experts, width, with_bias ? LLS_ACT_GELU : LLS_ACT_SILU);
        if (with_bias) {
            b.gate_up.bias = b.bias[0].data;
            b.down.bias = b.bias[1].data;
        }
        for (uint32_t i = 0; i < n; i++)
            check_rows(f, &b, rows[i]);
        free_block(&b);
    }
}

/* Every scheme, and such whose gate, up and down want their rows in different forms. */
static void glu_has_the_bits_of_the_plain_ops(void **state)
{
    static const uint32_t rows[] = { 1, 6, 40, 67 };
    static const uint32_t mixed[][3] = {
        { LLS_W_Q6_K, LLS_W_Q4_K, LLS_W_Q2_K }, { LLS_W_F32, LLS_W_Q4_0, LLS_W_Q8_0 },
        { LLS_W_Q4_1, LLS_W_Q4_1, LLS_W_Q6_K }, { LLS_W_Q3_K, LLS_W_Q5_K, LLS_W_F16 },
        { LLS_W_BF16, LLS_W_Q2_K, LLS_W_BF16 }, { LLS_W_Q4_0, LLS_W_Q5_1, LLS_W_Q3_K },
    };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;

        if (!lls_cpu_has_isa(isa))
            continue;
        f = fixture_of(isa, 1 + isa % 3);
        for (uint32_t s = 0; s < LLS_N_SCHEMES; s++)
            check_block(&f, (uint32_t[]){ s, s, s }, 0, WIDTH, rows, EMULATED ? 2 : 4);
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(mixed); i++)
            check_block(&f, mixed[i], 0, WIDTH, rows, EMULATED ? 2 : 4);
        close_fixture(&f);
    }
}

/* Chunks of both ops that do not end together: rows of 7,000 values go through in smaller ones. */
static void chunks_of_the_two_may_differ(void **state)
{
    static const uint32_t schemes[] = { LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0 }, rows[] = { 150 };
    fixture_t             f = fixture_of(LLS_N_ISAS, 2);

    check_block(&f, schemes, 0, 224 * 32, rows, 1);
    close_fixture(&f);
}

/* A width that ends within a panel is left to the plain ops. */
static void any_width_is_served(void **state)
{
    static const uint32_t schemes[] = { LLS_W_F32, LLS_W_F32, LLS_W_F32 }, rows[] = { 3, 67 };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;

        if (!lls_cpu_has_isa(isa))
            continue;
        f = fixture_of(isa, 2);
        check_block(&f, schemes, 0, 31, rows, 2);
        check_block(&f, schemes, 0, 72, rows, 2);
        close_fixture(&f);
    }
}

static void experts_may_differ_in_all_schemes(void **state)
{
    static const uint32_t rows[] = { 1, 23, 150, 300 };
    static const uint32_t schemes[][3 * N_EXPERTS] = {
        { LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0,
          LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q4_0 },
        { LLS_W_Q4_0, LLS_W_F32, LLS_W_Q6_K, LLS_W_F32, LLS_W_Q4_1, LLS_W_F32, LLS_W_Q4_0,
          LLS_W_Q4_0, LLS_W_Q4_0, LLS_W_Q3_K, LLS_W_Q6_K, LLS_W_Q4_K },
    };

    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        fixture_t f;

        if (!lls_cpu_has_isa(isa))
            continue;
        f = fixture_of(isa, 2);
        for (uint32_t i = 0; i < LLS_ARRAY_LEN(schemes); i++)
            check_block(&f, schemes[i], N_EXPERTS, WIDTH, rows, EMULATED ? 2 : 4);
        close_fixture(&f);
    }
}

/* The stream's buffer is both: gate and up have read it when down writes. */
static void out_may_be_in(void **state)
{
    static const uint32_t schemes[] = { LLS_W_Q4_1, LLS_W_Q4_1, LLS_W_Q4_1 };
    fixture_t             f = fixture_of(LLS_N_ISAS, 2);
    lls_tensor_t          x = random_rows(530, IN, 4), y = tensor_of(530, IN, IN);
    block_t               b;

    make_block(&b, f.cpu, schemes, 0, WIDTH, LLS_ACT_SILU);
    run_glu(&f, lls_glu_by_parts, &y, &x, NULL, &b);
    f.x.planning = true;
    lls_cpu_glu(&f.x, &x, &x, NULL, &b.glu);
    end_planning(&f.x);
    lls_cpu_glu(&f.x, &x, &x, NULL, &b.glu);
    for (uint32_t r = 0; r < 530; r++)
        assert_memory_equal(lls_row_f32(&x, r), lls_row_f32(&y, r), IN * sizeof(float));
    free_block(&b);
    free(x.data);
    free(y.data);
    close_fixture(&f);
}

/* A step of fewer rows than planned fits, and one without rows is nothing. */
static void scratch_grows_with_the_rows(void **state)
{
    fixture_t    f = fixture_of(LLS_ISA_PLAIN, 3);
    lls_linear_t gate_up = { .in = 9000, .out = 1024 }, down = { .in = 512, .out = 9000 };
    lls_glu_t    glu = { &gate_up, &down, LLS_ACT_SILU };
    size_t       last = 0;

    f.x.planning = true;
    for (uint32_t m = 0; m < 600; m++) {
        lls_tensor_t x = { .shape = { m, 9000, 1, 1 } };

        f.x.scratch_peak = 0;
        lls_cpu_glu(&f.x, &x, &x, NULL, &glu);
        assert_true(f.x.scratch_peak >= last);
        last = f.x.scratch_peak;
    }
    f.x.planning = false;
    f.x.scratch_cap = last;
    lls_cpu_glu(&f.x, &(lls_tensor_t){ 0 }, &(lls_tensor_t){ 0 }, NULL, &glu);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(glu_has_the_bits_of_the_plain_ops),
        cmocka_unit_test(chunks_of_the_two_may_differ),
        cmocka_unit_test(any_width_is_served),
        cmocka_unit_test(experts_may_differ_in_all_schemes),
        cmocka_unit_test(out_may_be_in),
        cmocka_unit_test(scratch_grows_with_the_rows),
    };

    lls_mem_init(&mem, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
