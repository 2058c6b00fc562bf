/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The demonstration model: greedy continuations of transformers in float32, token by token, and how
 * far the quantised path is from float32.  Skipped where the model is not on this machine.
 *
 *     LLM_DEMO_MODEL  the .gguf file; else the cache that examples/quickstart.sh fills
 *     LLM_DEMO_HF     the same weights as a Hugging Face directory, if it has been made
 */
#include "golden/closeness.h"

#include "base/io.h"
#include "base/json.h"

#define GGUF "SmolLM2-135M-Instruct.Q4_1.gguf"

static json_t *data;

static const char *gguf_path(void)
{
    static char path[1024];
    const char *env = getenv("LLM_DEMO_MODEL"), *cache = getenv("XDG_CACHE_HOME");

    if (env != NULL)
        snprintf(path, sizeof path, "%s", env);
    else if (cache != NULL)
        snprintf(path, sizeof path, "%s/llmserve/" GGUF, cache);
    else
        snprintf(path, sizeof path, "%s/.cache/llmserve/" GGUF,
                 getenv("HOME") ? getenv("HOME") : "");
    if (lls_path_exists(path) && !lls_path_is_dir(path))
        return path;
    print_message("skipped: %s is not there; LLM_DEMO_MODEL may name it\n", path);
    skip();
    return NULL;
}

static int32_t *ids_of(const json_t *list, uint32_t *n)
{
    int32_t *ids;

    *n = (uint32_t)json_array_size(list);
    ids = calloc(*n, sizeof *ids);
    for (uint32_t i = 0; i < *n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(list, i));
    return ids;
}

static void open_model(drive_t *d, const char *path, const char *dtype, const char *isa,
                       uint32_t max_len)
{
    lls_model_options_t o = { .path = path, .dtype = dtype, .max_model_len = max_len };

    drive_open(d, &o, max_len, isa, 0);
}

/* Greedy from the ids of a case: exactly the first n tokens of its continuation `key`. */
static void continues(drive_t *d, const json_t *c, const char *key, uint32_t n_tokens)
{
    const json_t *want = json_object_get(c, key);
    uint32_t      n;
    int32_t      *ids = ids_of(json_object_get(c, "ids"), &n), id;
    float        *row = malloc(d->n_vocab * sizeof *row);

    drive_restart(d);
    drive_run(d, ids, 0, n, n, 1, row);
    for (uint32_t i = 0; i < json_array_size(want) && i < n_tokens; i++) {
        id = drive_argmax(row, d->n_vocab);
        assert_int_equal(id, json_integer_value(json_array_get(want, i)));
        drive_run(d, &id, n + i, 1, 1, 1, row);
    }
    free(row);
    free(ids);
}

static void continues_all(const char *path, const char *key, const char *isa, uint32_t n_cases,
                          uint32_t n_tokens)
{
    const json_t *cases = json_object_get(data, "cases");
    drive_t       d;

    open_model(&d, path, "float32", isa, 128);
    assert_int_equal(json_array_size(cases), 5);
    for (uint32_t i = 0; i < n_cases; i++)
        continues(&d, json_array_get(cases, i), key, n_tokens);
    drive_close(&d);
}

static void continuations_are_those_of_transformers(void **state)
{
    const char *path = gguf_path();

    (void)state;
    continues_all(path, "gguf", "auto", 5, 24);
    continues_all(path, "gguf", "plain", 1, 2);
}

static void continuations_of_the_directory(void **state)
{
    const char *path = getenv("LLM_DEMO_HF");

    (void)state;
    if (path == NULL) {
        print_message("skipped: LLM_DEMO_HF does not name a directory\n");
        skip();
    }
    continues_all(path, "hf", "auto", 5, 24);
}

static void quantised_is_close_to_float32(void **state)
{
    const char *path = gguf_path();
    drive_t     exact, quick;
    uint32_t    n;
    int32_t    *ids = ids_of(json_object_get(data, "text"), &n);
    closeness_t c;

    (void)state;
    assert_int_equal(n, 2000);
    open_model(&exact, path, "float32", "auto", n);
    open_model(&quick, path, "auto", "auto", n);
    assert_int_equal(lls_model_dtype(quick.model), LLS_BF16);
    c = closeness_of(&exact, &quick, ids, n, "the file");
    assert_true(c.kl <= 0.01 && c.same >= 0.97);
    if (lls_cpu_has_isa(LLS_ISA_AMX))           /* activations of bfloat16 */
        assert_true(c.kl <= 5e-4 && c.same >= 0.99);
    free(ids);
    drive_close(&exact);
    drive_close(&quick);
}

/* Each cache against one of float32, in a model whose activations are not rounded to bytes: that
 * would lose more, by as much as any change of the last bit loses. */
static void the_cache_is_close_to_float32(void **state)
{
    static const struct { uint32_t dtype; double kl, same; } kinds[] = {
        { LLS_F16, 1e-5, 0.995 }, { LLS_BF16, 2e-4, 0.99 }, { LLS_I8, 3e-3, 0.97 } };
    const uint32_t n_run = 1000;
    const char *path = gguf_path();
    drive_t     exact, quick;
    uint32_t    n;
    int32_t    *ids = ids_of(json_object_get(data, "text"), &n);

    (void)state;
    open_model(&exact, path, "float32", "auto", n_run);
    open_model(&quick, path, "float32", "auto", n_run);
    for (size_t i = 0; i < LLS_ARRAY_LEN(kinds); i++) {
        closeness_t c;
        drive_restart(&exact);
        drive_change_kv(&quick, kinds[i].dtype);
        c = closeness_of(&exact, &quick, ids, n_run, lls_dtype_name(kinds[i].dtype));
        assert_true(c.kl <= kinds[i].kl && c.same >= kinds[i].same);
    }
    free(ids);
    drive_close(&exact);
    drive_close(&quick);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(continuations_are_those_of_transformers),
        cmocka_unit_test(continuations_of_the_directory),
        cmocka_unit_test(quantised_is_close_to_float32),
        cmocka_unit_test(the_cache_is_close_to_float32),
    };
    lls_mem_t   mem;
    llm_error_t err;
    int         failed;

    lls_mem_init(&mem, NULL);
    if (lls_json_load(&mem, TEST_DIR "/golden/smollm2.json", 1 << 20, &data, &err) != LLM_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    json_decref(data);
    return failed;
}
