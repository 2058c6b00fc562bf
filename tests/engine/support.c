/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/support.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

size_t find_models(char paths[MAX_MODELS][256])
{
    DIR           *dir = opendir(TEST_DIR "/golden");
    struct dirent *entry;
    size_t         n = 0;

    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL && n < MAX_MODELS) {
        char config[600];
        snprintf(config, sizeof config, "%s/golden/%s/config.json", TEST_DIR, entry->d_name);
        if (access(config, R_OK) == 0 && entry->d_name[0] != '.')
            snprintf(paths[n++], sizeof paths[0], "%s/golden/%.60s", TEST_DIR, entry->d_name);
    }
    closedir(dir);
    qsort(paths, n, sizeof paths[0], by_name);
    return n;
}

const char *demo_model(void)
{
    static char path[512];
    const char *home = getenv("HOME"), *cache = getenv("XDG_CACHE_HOME"),
               *set = getenv("LLM_DEMO_MODEL");

    if (set != NULL)
        snprintf(path, sizeof path, "%s", set);
    else if (cache != NULL)
        snprintf(path, sizeof path, "%s/llmserve/SmolLM2-135M-Instruct.Q4_1.gguf", cache);
    else
        snprintf(path, sizeof path, "%s/.cache/llmserve/SmolLM2-135M-Instruct.Q4_1.gguf",
                 home != NULL ? home : "");
    return access(path, R_OK) == 0 ? path : NULL;
}

llm_status_t try_engine(const char *model, const char *dtype, options_t options,
                        const llm_allocator_t *allocator, llm_engine_t **out, llm_error_t *err)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_option_t        opts[32];

    if (getenv("TEST_CPU_ISA") != NULL)     /* valgrind knows avx2 at most */
        opts[cfg.n_options++] = (llm_option_t){ "cpu-isa", getenv("TEST_CPU_ISA") };
    for (; options != NULL && options[0] != NULL; options += 2)
        opts[cfg.n_options++] = (llm_option_t){ options[0], options[1] };
    cfg.model = model;
    cfg.dtype = dtype;
    cfg.options = opts;
    cfg.allocator = allocator;
    return llm_engine_create(&cfg, out, err);
}

llm_engine_t *make_engine(const char *model, const char *dtype, options_t options,
                          const llm_allocator_t *allocator)
{
    llm_engine_t *e;
    llm_error_t   err;

    if (try_engine(model, dtype, options, allocator, &e, &err) != LLM_OK)
        fail_msg("%s: %s", model, err.message);
    return e;
}

void make_prompt(int32_t *tokens, size_t n, uint32_t n_vocab, uint32_t seed)
{
    uint32_t x = seed * 2654435761u + 1;

    for (size_t i = 0; i < n; i++) {
        x = x * 1664525u + 1013904223u;
        tokens[i] = (int32_t)((x >> 8) % n_vocab);
    }
}

void make_ask(ask_t *a, uint32_t n_vocab, uint32_t n_prompt, uint32_t seed, uint32_t max_tokens)
{
    memset(a, 0, sizeof *a);
    make_prompt(a->tokens, n_prompt, n_vocab, seed);
    a->sp.struct_size = sizeof a->sp;
    a->sp.max_tokens = max_tokens;
    a->sp.flags = LLM_SAMPLE_IGNORE_EOS;
    a->r.struct_size = sizeof a->r;
    a->r.tokens = a->tokens;
    a->r.n_tokens = n_prompt;
    a->r.sampling = &a->sp;
}

llm_request_id_t add_ask(llm_engine_t *e, const ask_t *a)
{
    llm_request_id_t id = 0;
    llm_error_t      err;

    if (llm_engine_add_request(e, &a->r, &id, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_true(id != 0);
    return id;
}

void step_engine(llm_engine_t *e)
{
    llm_error_t err;

    if (llm_engine_step(e, &err) != LLM_OK)
        fail_msg("%s", err.message);
}

void run_dry(llm_engine_t *e)
{
    llm_error_t err;

    while (llm_engine_unfinished(e) > 0) {
        if (llm_engine_step(e, &err) != LLM_OK)
            fail_msg("step: %s", err.message);
        while (llm_engine_next_output(e) != NULL)
            ;
    }
}

llm_batch_t *generate_listed(llm_engine_t *e, const ask_t *const *asks, size_t n)
{
    const llm_request_t *list[MAX_BATCH];
    llm_batch_t         *b;
    llm_error_t          err;

    assert_true(n <= MAX_BATCH);
    for (size_t i = 0; i < n; i++)
        list[i] = &asks[i]->r;
    if (llm_generate_batch(e, list, n, NULL, NULL, &b, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return b;
}

llm_batch_t *generate_all(llm_engine_t *e, const ask_t *asks, size_t n)
{
    const ask_t *list[MAX_BATCH];

    assert_true(n <= MAX_BATCH);
    for (size_t i = 0; i < n; i++)
        list[i] = &asks[i];
    return generate_listed(e, list, n);
}

void run_tokens(llm_engine_t *e, uint32_t n, int32_t *tokens)
{
    const llm_output_t *o;
    uint32_t            n_seen = 0;
    ask_t               a;

    make_ask(&a, 64, 20, 7, n);
    add_ask(e, &a);
    while (llm_engine_unfinished(e) > 0) {
        step_engine(e);
        while ((o = llm_engine_next_output(e)) != NULL)
            for (size_t i = 0; i < o->n_tokens; i++) {
                assert_true(n_seen < n);
                tokens[n_seen++] = o->tokens[i];
            }
    }
    assert_int_equal(n_seen, n);
}
