/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder against transformers, one folder a family (made by make_models.py): log-probabilities
 * at every position in float32, divergence in bfloat16, greedy continuations; the same bits
 * whatever the chunks and the threads; on every instruction set that this machine has.
 */
#include "golden/drive.h"

#include <stdio.h>
#include <time.h>

#include "base/io.h"
#include "base/json.h"
#include "model/safetensors.h"

#define GOLDEN TEST_DIR "/golden/"
#define BOUND 2e-4
#define N_GREEDY 24u

typedef struct golden {             /* one prompt of one case */
    const char *family, *isa, *path;    /* path of the model, below GOLDEN */
    char       *overrides;          /* JSON */
    int32_t    *ids;
    uint32_t    n, n_columns;
    uint32_t   *columns;            /* NULL: all */
    const float *want;              /* [n, n_columns] */
    json_t     *greedy;             /* NULL: none for this prompt */
    bool         brief; /* a variant of a config: chunks and bfloat16 are seen elsewhere */
} golden_t;

static void open_model(const golden_t *g, const char *dtype, uint32_t n_threads, drive_t *d)
{
    char                path[512];
    lls_model_options_t o = { .path = path, .dtype = dtype, .hf_overrides = g->overrides };

    snprintf(path, sizeof path, GOLDEN "%s", g->path);
    o.max_model_len = g->n + (g->greedy != NULL ? N_GREEDY : 0);
    drive_open(d, &o, g->n, g->isa, n_threads);
}

/* Log-probabilities at all positions. */
static float *run(drive_t *d, const golden_t *g, uint32_t chunk)
{
    float *out = malloc((size_t)g->n * d->n_vocab * sizeof *out);

    drive_restart(d);
    drive_run(d, g->ids, 0, g->n, chunk, g->n, out);
    for (uint32_t i = 0; i < g->n; i++)
        drive_logprobs(out + (size_t)i * d->n_vocab, d->n_vocab);
    return out;
}

static void same_bits(drive_t *d, const golden_t *g, const float *whole, uint32_t chunk)
{
    float *again = run(d, g, chunk);

    for (size_t i = 0; i < (size_t)g->n * d->n_vocab; i++)
        if (memcmp(&again[i], &whole[i], sizeof *again) != 0)
            fail_msg("%s %s, chunks of %u: position %zu token %zu: %.9g, whole %.9g", g->family,
                     g->isa, chunk, i / d->n_vocab, i % d->n_vocab, again[i], whole[i]);
    free(again);
}

static double close_to_reference(const drive_t *d, const golden_t *g, const float *got)
{
    double worst = 0;

    for (uint32_t i = 0; i < g->n; i++)
        for (uint32_t j = 0; j < g->n_columns; j++) {
            uint32_t column = g->columns != NULL ? g->columns[j] : j;
            double   a = got[(size_t)i * d->n_vocab + column];
            double   b = g->want[(size_t)i * g->n_columns + j];

            worst = fmax(worst, fabs(a - b));
            if (!(fabs(a - b) <= BOUND))
                fail_msg("%s %s %s: position %u token %u: %.6f, transformers %.6f", g->family,
                         g->isa, g->overrides, i, column, a, b);
        }
    return worst;
}

static void greedy_is_equal(drive_t *d, const golden_t *g)
{
    float  *row = malloc(d->n_vocab * sizeof *row);
    int32_t id;

    drive_restart(d);
    drive_run(d, g->ids, 0, g->n, g->n, 1, row);
    for (uint32_t i = 0; i < json_array_size(g->greedy); i++) {
        id = drive_argmax(row, d->n_vocab);
        assert_int_equal(id, json_integer_value(json_array_get(g->greedy, i)));
        drive_run(d, &id, g->n + i, 1, 1, 1, row);
    }
    free(row);
}

static float *check_dtype(const golden_t *g, const char *dtype, double *worst)
{
    static const uint32_t chunks[] = { 64, 7, 1 };
    uint32_t              n_chunks = g->n > 100 ? 2 : 3;    /* single tokens are slow */
    drive_t               one, two;
    float                *whole;

    open_model(g, dtype, 1, &one);
    whole = run(&one, g, g->n);
    if (worst != NULL)
        *worst = close_to_reference(&one, g, whole);
    for (uint32_t i = 0; i < n_chunks && !g->brief; i++)
        same_bits(&one, g, whole, chunks[i]);
    if (worst != NULL && g->greedy != NULL)
        greedy_is_equal(&one, g);
    drive_close(&one);
    if (g->brief)
        return whole;
    open_model(g, dtype, 2, &two);
    same_bits(&two, g, whole, g->n);
    same_bits(&two, g, whole, 7);
    drive_close(&two);
    return whole;
}

/* Adds to *kl the divergence of bfloat16 over the positions of the prompt. */
static void check_prompt(const golden_t *g, uint32_t n_vocab, double *worst, double *kl)
{
    float *exact = check_dtype(g, "float32", worst);

    if (!g->brief) {
        float *rounded = check_dtype(g, "bfloat16", NULL);

        *kl += drive_kl(exact, rounded, g->n, n_vocab);
        free(rounded);
    }
    free(exact);
}

/* ---- What make_models.py wrote -------------------------------------------------------------- */

static void read_prompt(golden_t *g, const json_t *p, const lls_safetensors_t *file,
                        const char *tensor)
{
    const json_t *ids = json_object_get(p, "ids"), *columns = json_object_get(p, "columns");

    g->n = (uint32_t)json_array_size(ids);
    g->ids = calloc(g->n, sizeof *g->ids);
    for (uint32_t i = 0; i < g->n; i++)
        g->ids[i] = (int32_t)json_integer_value(json_array_get(ids, i));
    g->columns =
        json_is_array(columns) ? calloc(json_array_size(columns), sizeof *g->columns) : NULL;
    for (uint32_t i = 0; i < json_array_size(columns); i++)
        g->columns[i] = (uint32_t)json_integer_value(json_array_get(columns, i));
    for (uint32_t i = 0; i < file->n; i++)
        if (strcmp(file->items[i].name, tensor) == 0) {
            assert_int_equal(file->items[i].scheme, LLS_W_F32);
            assert_int_equal(file->items[i].shape[0], g->n);
            g->n_columns = (uint32_t)file->items[i].shape[1];
            g->want = (const float *)file->items[i].data;
            return;
        }
    fail_msg("%s: no tensor %s", g->family, tensor);
}

static void check_case(const char *family, const char *isa, const json_t *c, const char *gguf,
                       const lls_safetensors_t *file)
{
    bool          brief = gguf != NULL || json_is_true(json_object_get(c, "brief"));
    const char   *name = json_string_value(json_object_get(c, "name"));
    const json_t *prompts = json_object_get(c, "prompts");
    double        kl = 0, worst = 0, theirs = json_real_value(json_object_get(c, "bf16_kl"));
    uint32_t      n = 0;
    clock_t       start = clock();

    for (uint32_t i = 0; i < json_array_size(prompts); i++) {
        golden_t g = { .family = family, .isa = isa, .path = family, .brief = brief };
        char     tensor[64], path[64];
        double   here = 0;

        snprintf(tensor, sizeof tensor, "%s.%u", name, i);
        snprintf(path, sizeof path, "gguf/%s.gguf", family);
        g.path = gguf != NULL ? path : family;
        g.overrides = gguf != NULL ? strdup(gguf)
                                   : json_dumps(json_object_get(c, "overrides"), JSON_COMPACT);
        read_prompt(&g, json_array_get(prompts, i), file, tensor);
        if (i == 0 && json_array_size(json_object_get(c, "greedy")) != 0)
            g.greedy = json_object_get(c, "greedy");
        check_prompt(&g, (uint32_t)json_integer_value(json_object_get(c, "vocab")), &here, &kl);
        worst = fmax(worst, here);
        n += g.n;
        free(g.overrides);
        free(g.ids);
        free(g.columns);
    }
    printf("%-10s %-10s %-10s float32 off by %.1e", family, name, isa, worst);
    if (!brief)
        printf(", bfloat16 KL %.2e (transformers' own %.2e)", kl / n, theirs);
    printf(", %.1f s\n", (double)(clock() - start) / CLOCKS_PER_SEC);
    if (!brief)
        assert_true(kl / n <= fmax(1.5 * theirs, 1e-4));
}

/* gguf: overrides for the same model as GGUF, whose plain case is checked; NULL: the folder. */
static void check_family(const char *family, const char *gguf)
{
    lls_mem_t         mem;
    lls_map_t         map;
    lls_safetensors_t file;
    llm_error_t       err;
    char              path[512];
    json_t           *expected;

    lls_mem_init(&mem, NULL);
    snprintf(path, sizeof path, GOLDEN "%s/expected.json", family);
    assert_int_equal(lls_json_load(&mem, path, 1 << 20, &expected, &err), LLM_OK);
    snprintf(path, sizeof path, GOLDEN "%s/expected.safetensors", family);
    assert_int_equal(lls_map_file(path, &map, &err), LLM_OK);
    assert_int_equal(lls_safetensors_init(&mem, &file, map.data, map.size, path, &err), LLM_OK);
    for (uint32_t isa = 0; isa < LLS_N_ISAS; isa++) {
        const json_t *cases = json_object_get(expected, "cases");

        for (uint32_t i = 0; i < json_array_size(cases) && lls_cpu_has_isa(isa); i++) {
            const json_t *c = json_array_get(cases, i);

            if (gguf == NULL || json_object_size(json_object_get(c, "overrides")) == 0)
                check_case(family, lls_cpu_isa_name(isa), c, gguf, &file);
        }
    }
    lls_safetensors_deinit(&mem, &file);
    lls_unmap_file(&map);
    json_decref(expected);
}

#define FAMILIES(X)                                                                               \
    X(llama) X(llama_bias) X(mistral) X(qwen2) X(qwen3) X(gemma2) X(gemma3) X(phi3) X(gpt2)        \
    X(opt) X(opt_post) X(mixtral) X(qwen3_moe)

#define FAMILY_TEST(name) static void name(void **state) { (void)state; check_family(#name, NULL); }
FAMILIES(FAMILY_TEST)

/* What GGUF cannot say of these models comes as overrides. */
static void models_as_gguf(void **state)
{
    (void)state;
    check_family("llama", "{}");
    check_family("mixtral", "{}");
    check_family("qwen2",
                 "{\"use_sliding_window\":true,\"sliding_window\":48,\"max_window_layers\":1}");
    check_family("qwen3", "{}");
    check_family("gpt2", "{}");
    check_family("gemma2", "{\"query_pre_attn_scalar\":24}");
    check_family("phi3", "{}");
}

/* The hidden states that forward() hands out make the same logits once more. */
static void hidden_states_and_cancelling(void **state)
{
    static const int32_t ids[] = { 5, 6, 7, 8 };
    lls_model_options_t  o = { .path = GOLDEN "gemma2", .dtype = "float32", .max_model_len = 4 };
    _Atomic uint32_t     cancel = 0;
    drive_t              d;
    lls_exec_t           plan, x;
    lls_tensor_t         logits, hidden, again;
    size_t               cap;

    (void)state;
    drive_open(&d, &o, 4, "auto", 1);
    drive_plan(&d, &plan, 4);
    cap = lls_align_up(plan.peak, 64) + (1 << 16);
    d.arena = drive_memory(cap + plan.scratch_peak);
    x = (lls_exec_t){ .ops = d.ops, .backend = d.cpu, .arena = d.arena, .cap = cap,
                      .scratch_cap = plan.scratch_peak, .invariant = true, .cancel = &cancel };
    drive_forward_hidden(&d, &x, ids, 0, 4, 4, &logits, &hidden);
    lls_model_head(&x, d.model, &hidden, &again, NULL);
    assert_int_equal(x.status, LLM_OK);
    assert_memory_equal(logits.data, again.data, 4 * d.n_vocab * sizeof(float));
    x.used = 0;
    atomic_store(&cancel, 1);
    drive_forward(&d, &x, ids, 0, 4, 4, &logits);
    assert_int_equal(x.status, LLM_ERR_CANCELLED);
    free(d.arena);
    drive_close(&d);
}

/* ---- Quantised at load ---------------------------------------------------------------------- */

enum { N_RANDOM = 48 };

static void open_quantised(const char *family, const char *quantization, drive_t *d)
{
    char                path[512];
    lls_model_options_t o = { .path = path, .dtype = "float32", .quantization = quantization,
                              .max_model_len = N_RANDOM };

    snprintf(path, sizeof path, GOLDEN "%s", family);
    drive_open(d, &o, N_RANDOM, "auto", 2);
}

static float *run_random(drive_t *d, uint32_t chunk)
{
    int32_t  ids[N_RANDOM];
    golden_t g = { .ids = ids, .n = N_RANDOM };

    for (uint32_t i = 0; i < N_RANDOM; i++)
        ids[i] = (int32_t)(lls_mix64(5, i) % d->n_vocab);
    return run(d, &g, chunk);
}

/* Fewer bytes, results near to those of float32 (where a router turns elsewhere, not so near), and
 * the same bits whatever the chunks. */
static void check_quantised(const char *family, const char *quantization, double bound)
{
    drive_t exact, quick;
    float  *p, *q, *again;
    double  kl;

    open_quantised(family, "none", &exact);
    open_quantised(family, quantization, &quick);
    assert_true(lls_model_weight_bytes(quick.model, quick.ops) <
                lls_model_weight_bytes(exact.model, exact.ops));
    p = run_random(&exact, N_RANDOM);
    q = run_random(&quick, N_RANDOM);
    again = run_random(&quick, 7);
    assert_memory_equal(q, again, (size_t)N_RANDOM * quick.n_vocab * sizeof *q);
    kl = drive_kl(p, q, N_RANDOM, quick.n_vocab) / N_RANDOM;
    printf("%-10s %s: mean KL to float32 %.5f\n", family, quantization, kl);
    if (!(kl > 0 && kl <= bound))
        fail_msg("%s %s: %g, at most %g", family, quantization, kl, bound);
    free(p);
    free(q);
    free(again);
    drive_close(&exact);
    drive_close(&quick);
}

static void every_family_can_be_quantised_at_load(void **state)
{
#define FAMILY_QUANTISED(name) check_quantised(#name, "int8", 0.03); \
                               check_quantised(#name, "int4", 1.0);
    FAMILIES(FAMILY_QUANTISED)
    (void)state;
}

int main(int argc, char **argv)
{
#define FAMILY_ROW(name) cmocka_unit_test(name),
    const struct CMUnitTest tests[] = { FAMILIES(FAMILY_ROW) cmocka_unit_test(models_as_gguf),
        cmocka_unit_test(hidden_states_and_cancelling),
        cmocka_unit_test(every_family_can_be_quantised_at_load) };

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
