/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Processed logits equal those of transformers' processors, bit for bit: through the row functions
 * with the kernels of each instruction set, and through the ops.  The cases are made by
 * golden/sample/make_processors.py, which says which rows have one answer.
 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "cpu/cpu_int.h"
#include "sample/sample_kernels.h"
#include "sample/sampler.h"

enum { MAX_V = 128, MAX_LIST = 128, MAX_CASES = 64 };

typedef struct oracle {
    char             name[128];
    lls_sample_row_t row;
    int32_t          tokens[MAX_LIST], allowed[MAX_LIST], banned[MAX_LIST], bad_tokens[MAX_LIST];
    uint32_t         bad_lens[MAX_LIST];
    llm_logit_bias_t bias[MAX_LIST];
    float            x[MAX_V], want[MAX_V];
} oracle_t;

static oracle_t oracles[MAX_CASES];
static uint32_t n_oracles, n_vocab;

/* ---- The file -------------------------------------------------------------------------------- */

static void read_ints(FILE *f, int32_t *out, uint32_t n)
{
    assert_true(n <= MAX_LIST);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(fscanf(f, "%d", &out[i]), 1);
}

static void read_floats(FILE *f, float *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(fscanf(f, "%f", &out[i]), 1);
}

static void read_words(FILE *f, oracle_t *o, uint32_t n)
{
    uint32_t at = 0;

    assert_true(n <= MAX_LIST);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(fscanf(f, "%u", &o->bad_lens[i]), 1);
        assert_true(at + o->bad_lens[i] <= MAX_LIST);
        read_ints(f, o->bad_tokens + at, o->bad_lens[i]);
        at += o->bad_lens[i];
    }
}

static void read_oracle(FILE *f, oracle_t *o)
{
    lls_sample_view_t *p = &o->row.params;

    assert_int_equal(fscanf(f, "%127s", o->name), 1);
    assert_int_equal(fscanf(f, "%u %f %u %f %f %f %f %f %u", &o->row.n_prompt, &p->temperature,
                            &p->top_k, &p->top_p, &p->min_p, &p->repetition, &p->presence,
                            &p->frequency, &p->min_tokens),
                     9);
    assert_int_equal(fscanf(f, "%u %u %u %u %u", &o->row.n_tokens, &p->n_allowed, &p->n_bias,
                            &p->n_banned, &p->n_bad),
                     5);
    read_ints(f, o->tokens, o->row.n_tokens);
    read_ints(f, o->allowed, p->n_allowed);
    assert_true(p->n_bias <= MAX_LIST);
    for (uint32_t i = 0; i < p->n_bias; i++)
        assert_int_equal(fscanf(f, "%d %f", &o->bias[i].token, &o->bias[i].bias), 2);
    read_ints(f, o->banned, p->n_banned);
    read_words(f, o, p->n_bad);
    read_floats(f, o->x, n_vocab);
    read_floats(f, o->want, n_vocab);
    o->row.tokens = o->tokens;
    p->allowed = o->allowed;
    p->bias = o->bias;
    p->banned = o->banned;
    p->bad_lens = o->bad_lens;
    p->bad_tokens = o->bad_tokens;
}

static int read_file(void **state)
{
    FILE *f = fopen(TEST_DIR "/golden/sample/processors.txt", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%u %u", &n_oracles, &n_vocab), 2);
    assert_true(n_oracles > 0 && n_oracles <= MAX_CASES && n_vocab <= MAX_V);
    for (uint32_t i = 0; i < n_oracles; i++)
        read_oracle(f, &oracles[i]);
    fclose(f);
    return 0;
}

/* ---- Comparison ------------------------------------------------------------------------------ */

/* x is a truncated row, not yet over the temperature. */
static void check(const oracle_t *o, const float *x, const char *isa)
{
    for (uint32_t i = 0; i < n_vocab; i++) {
        float got = x[i] / o->row.params.temperature;
        if (got != o->want[i])
            fail_msg("%s, %s: token %u is %.9g, not %.9g", isa, o->name, i, (double)got,
                     (double)o->want[i]);
    }
}

static void row_functions_equal_transformers(void **state)
{
    static const lls_sample_kernels_t *const kernels[] = {
        &lls_sample_kernels_plain,
#if defined(__x86_64__)
        &lls_sample_kernels_avx2, &lls_sample_kernels_avx512,
#endif
    };
    static const char *const names[] = { "plain", "avx2", "avx512" };
    void                    *mem = aligned_alloc(64, lls_sample_scratch_bytes(MAX_V));

    for (uint32_t k = 0; k < LLS_ARRAY_LEN(kernels); k++)
        for (uint32_t i = 0; lls_cpu_has_isa(k) && i < n_oracles; i++) {
            lls_sample_scratch_t s;
            lls_sample_out_t     out;
            float                x[MAX_V];
            memcpy(x, oracles[i].x, sizeof x);
            lls_sample_scratch_init(&s, mem, n_vocab, kernels[k]);
            lls_sample_row_constrain(&oracles[i].row, x, &s);
            lls_sample_row_penalise(&oracles[i].row, x, &s);
            lls_sample_row_truncate(&oracles[i].row, x, &out, &s);
            assert_int_equal(out.status, LLS_ROW_OK);
            check(&oracles[i], x, names[k]);
        }
    free(mem);
}

/* All cases in one batch. */
static void run_ops(const char *isa, float *data)
{
    lls_sample_row_t row[MAX_CASES];
    lls_sample_out_t out[MAX_CASES];
    lls_sample_rows_t rows = { .n_rows = n_oracles, .n_vocab = n_vocab, .row = row, .out = out,
                               .dense = true };
    lls_tensor_t logits = { .data = data, .dtype = LLS_F32, .n_dims = 2,
                            .shape = { n_oracles, n_vocab }, .stride = { MAX_V } };
    lls_mem_t    mem;
    lls_cpu_t   *cpu;
    lls_exec_t   x;

    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_cpu_create(&mem, 2, isa, &cpu, NULL), LLM_OK);
    for (uint32_t i = 0; i < n_oracles; i++) {
        row[i] = oracles[i].row;
        row[i].logit = i;
        memcpy(data + i * MAX_V, oracles[i].x, sizeof oracles[i].x);
    }
    x = (lls_exec_t){ .backend = cpu, .planning = true };
    lls_cpu_penalise(&x, &logits, &rows);
    lls_cpu_truncate(&x, &logits, &rows);
    x.planning = false;
    x.scratch_cap = x.scratch_peak;
    x.arena = aligned_alloc(64, x.scratch_cap);
    lls_cpu_penalise(&x, &logits, &rows);
    lls_cpu_truncate(&x, &logits, &rows);
    assert_int_equal(x.status, LLM_OK);
    free(x.arena);
    lls_cpu_destroy(cpu);
    assert_int_equal(mem.held, 0);
}

static void ops_equal_transformers(void **state)
{
    static float data[MAX_CASES * MAX_V];

    for (uint32_t k = 0; k < LLS_N_ISAS; k++)
        if (lls_cpu_has_isa(k)) {
            run_ops(lls_cpu_isa_name(k), data);
            for (uint32_t i = 0; i < n_oracles; i++)
                check(&oracles[i], data + i * MAX_V, lls_cpu_isa_name(k));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(row_functions_equal_transformers),
                                        cmocka_unit_test(ops_equal_transformers) };

    return cmocka_run_group_tests(tests, read_file, NULL);
}
