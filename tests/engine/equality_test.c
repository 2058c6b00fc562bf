/* SPDX-License-Identifier: Apache-2.0 */
/* A request's tokens and log-probabilities are the same bits alone, in company, in chunks, after a
 * prefix hit, after preemptions and with other numbers of threads, on every instruction set of this
 * machine: for every family in float32 and bfloat16, and, in company of 256, for every type of the
 * cache, every block format and matrices quantised at load; and for the demonstration model. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "golden/block_model.h"

#define N_PROMPTS 6
#define N_CROWD   64
#define N_WIDE    256
#define N_NEW     10
#define WIDTH     3
#define MAX_PROMPT 96

typedef struct answer {
    int32_t       tokens[N_NEW];
    llm_logprob_t logprobs[N_NEW * WIDTH], prompt_logprobs[MAX_PROMPT * WIDTH];
    size_t        n, n_prompt;
} answer_t;

typedef struct scene {
    const char *model, *dtype, *isa;
    const char *name, *value;           /* one more option */
    bool        wide;
    uint32_t    n_vocab;
    answer_t    alone[N_PROMPTS];
} scene_t;

static size_t prompt_len(uint32_t i) { return 5 + (i * 37) % (MAX_PROMPT - 5); }

static void fill_request(const scene_t *s, uint32_t i, int32_t *tokens, llm_sampling_params_t *sp,
                         llm_request_t *r)
{
    *sp = (llm_sampling_params_t)LLM_INIT(llm_sampling_params_t);
    *r = (llm_request_t)LLM_INIT(llm_request_t);
    make_prompt(tokens, prompt_len(i), s->n_vocab, i % N_PROMPTS);
    sp->max_tokens = N_NEW;
    sp->flags = LLM_SAMPLE_IGNORE_EOS | LLM_SAMPLE_SEEDED;
    sp->seed = 7 + i;
    sp->temperature = i % 2 == 0 ? 0 : 1;
    sp->top_p = 0.9f;
    sp->repetition_penalty = i % 3 == 0 ? 1.2f : 0;
    sp->n_logprobs = WIDTH;
    sp->n_prompt_logprobs = i == 1 ? WIDTH : 0;
    r->tokens = tokens;
    r->n_tokens = prompt_len(i);
    r->sampling = sp;
}

static void keep(answer_t *a, const llm_output_t *o)
{
    assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
    assert_int_equal(o->n_tokens, N_NEW);
    assert_int_equal(o->n_logprobs, WIDTH);
    memset(a, 0, sizeof *a);
    a->n = o->n_tokens;
    memcpy(a->tokens, o->tokens, o->n_tokens * sizeof *o->tokens);
    memcpy(a->logprobs, o->logprobs, o->n_tokens * WIDTH * sizeof *o->logprobs);
    if (o->prompt_logprobs == NULL)
        return;
    a->n_prompt = o->prompt_tokens;
    memcpy(a->prompt_logprobs, o->prompt_logprobs,
           a->n_prompt * WIDTH * sizeof *a->prompt_logprobs);
}

static void same(const scene_t *s, const char *how, uint32_t i, const answer_t *a)
{
    if (memcmp(a, &s->alone[i], sizeof *a) == 0)
        return;
    for (size_t k = 0; k < a->n; k++)
        if (a->tokens[k] != s->alone[i].tokens[k] ||
            a->logprobs[k * WIDTH].logprob != s->alone[i].logprobs[k * WIDTH].logprob)
            fail_msg("%s %s %s %s: prompt %u %s differs from alone at token %zu: %d %.9g, alone %d "
                     "%.9g", s->model, s->dtype, s->isa, s->value, i, how, k, a->tokens[k],
                     (double)a->logprobs[k * WIDTH].logprob, s->alone[i].tokens[k],
                     (double)s->alone[i].logprobs[k * WIDTH].logprob);
    fail_msg("%s %s %s %s: prompt %u %s: log-probabilities differ", s->model, s->dtype, s->isa,
             s->value, i, how);
}

/* The number of the request in row `at` of n: those that are compared lie apart. */
static uint32_t number_at(uint32_t at, uint32_t n) { return (5 * at + 3) % n; }

/* n requests at once (the first N_PROMPTS of each kind are compared); returns preemptions. */
static uint64_t crowd(scene_t *s, llm_engine_t *e, const char *how, uint32_t n)
{
    static int32_t               tokens[N_WIDE][MAX_PROMPT];
    static llm_sampling_params_t sp[N_WIDE];
    static llm_request_t         r[N_WIDE];
    const llm_request_t         *list[N_WIDE] = { NULL };
    llm_batch_t                 *batch;
    llm_error_t                  err;
    llm_stats_t                  stats = LLM_INIT(llm_stats_t);

    for (uint32_t i = 0; i < n; i++) {
        fill_request(s, number_at(i, n), tokens[i], &sp[i], &r[i]);
        list[i] = &r[i];
    }
    if (llm_generate_batch(e, list, n, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s %s: %s", s->model, how, err.message);
    for (uint32_t at = 0; at < n; at++) {
        const llm_output_t *o = llm_batch_output(batch, at, 0);
        uint32_t            i = number_at(at, n);
        answer_t            a;
        if (o->error != NULL)
            fail_msg("%s %s: %s", s->model, how, o->error->message);
        if (i >= N_PROMPTS)
            continue;
        keep(&a, o);
        same(s, how, i, &a);
    }
    llm_batch_destroy(batch);
    assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
    return stats.preemptions;
}

static void alone(scene_t *s, llm_engine_t *e)
{
    for (uint32_t i = 0; i < N_PROMPTS; i++) {
        int32_t               tokens[MAX_PROMPT];
        llm_sampling_params_t sp;
        llm_request_t         r;
        const llm_request_t  *list[1] = { &r };
        llm_batch_t          *batch;
        llm_error_t           err;
        fill_request(s, i, tokens, &sp, &r);
        if (llm_generate_batch(e, list, 1, NULL, NULL, &batch, &err) != LLM_OK)
            fail_msg("%s: %s", s->model, err.message);
        if (llm_batch_output(batch, 0, 0)->error != NULL)
            fail_msg("%s: %s", s->model, llm_batch_output(batch, 0, 0)->error->message);
        keep(&s->alone[i], llm_batch_output(batch, 0, 0));
        llm_batch_destroy(batch);
    }
}

static llm_engine_t *engine_of(const scene_t *s, const char *threads, const char *name,
                               const char *value)
{
    return make_engine(s->model, s->dtype,
                       OPTIONS("skip-tokenizer-init", "true", "cpu-isa", s->isa,
                               "cpu-threads", threads, "max-model-len", "160", "block-size", "16",
                               "enable-prefix-caching",
                               strcmp(name, "enable-prefix-caching") == 0 ? value : "true",
                               s->name, s->value, name, value),
                       NULL);
}

/* A cache that holds one and a half of the longest sequences: several have to give way. */
static void tight_cache(const scene_t *s, char value[16])
{
    llm_plan_t    plan = LLM_INIT(llm_plan_t);
    llm_engine_t *e = engine_of(s, "1", "num-gpu-blocks-override", "1000");

    assert_int_equal(llm_engine_plan(e, &plan), LLM_OK);
    snprintf(value, 16, "%u", 1500 / plan.max_concurrency + 2);
    llm_engine_destroy(e);
}

static void scene(scene_t like)
{
    static const struct { const char *n, *threads; } chunks[] = {
        { "1", "2" }, { "7", "3" }, { "64", "4" } };
    scene_t      *s = calloc(1, sizeof *s);
    llm_plan_t    plan = LLM_INIT(llm_plan_t);
    llm_engine_t *e;
    char          blocks[16];

    *s = like;
    e = engine_of(s, "1", "enable-prefix-caching", "false");
    assert_int_equal(llm_engine_plan(e, &plan), LLM_OK);
    s->n_vocab = plan.vocab_size;
    alone(s, e);
    llm_engine_destroy(e);

    e = engine_of(s, "2", "max-num-seqs", "64");
    crowd(s, e, "among 63 others, two threads", N_CROWD);
    crowd(s, e, "after a prefix hit", N_PROMPTS);
    llm_engine_destroy(e);
    if (s->wide) {
        e = engine_of(s, "3", "max-num-seqs", "256");
        crowd(s, e, "among 255 others, three threads", N_WIDE);
        llm_engine_destroy(e);
    }
    for (size_t i = 0; i < 3; i++) {
        e = engine_of(s, chunks[i].threads, "max-num-batched-tokens", chunks[i].n);
        crowd(s, e, "in chunks", N_PROMPTS);
        llm_engine_destroy(e);
    }
    tight_cache(s, blocks);
    e = engine_of(s, "1", "num-gpu-blocks-override", blocks);
    if (crowd(s, e, "after preemptions", 24) == 0)
        fail_msg("%s: %s blocks made nobody give way", s->model, blocks);
    llm_engine_destroy(e);
    free(s);
}

static bool has_isa(const char *model, const char *isa)
{
    llm_engine_t *e;
    llm_error_t   err;
    llm_status_t  st = try_engine(model, NULL,
                                  OPTIONS("cpu-isa", isa, "skip-tokenizer-init", "true",
                                          "max-model-len", "160"), NULL, &e, &err);

    llm_engine_destroy(e);
    if (st != LLM_OK && st != LLM_ERR_UNSUPPORTED)
        fail_msg("%s %s: %s", model, isa, err.message);
    return st == LLM_OK;
}

static const char *const isas[] = { "plain", "avx2", "avxvnni", "avx512", "avx512bf16",
                                    "amxint8", "amx", "neon", "neondotprod", "neoni8mm" };
#define N_ISAS (sizeof isas / sizeof *isas)

#define FEW (SANITIZED || EMULATED)

static scene_t of(const char *model, const char *dtype, const char *isa)
{
    return (scene_t){ .model = model, .dtype = dtype, .isa = isa, .name = "seed", .value = "0" };
}

static void every_family_keeps_its_bits(void **state)
{
    static char models[MAX_MODELS][256];
    size_t      n = find_models(models);

    assert_true(n >= 10);
    for (size_t i = EMULATED ? N_ISAS - 2 : 0; i < N_ISAS; i++)
        for (size_t m = FEW ? n - (EMULATED ? 1 : 2) : 0; has_isa(models[0], isas[i]) && m < n;
             m++) {
            scene(of(models[m], "float32", isas[i]));
            scene(of(models[m], "bfloat16", isas[i]));
        }
}

static void the_quantised_model_keeps_its_bits(void **state)
{
    if (demo_model() == NULL || FEW) {
        print_message(FEW ? "left to the builds without sanitizers and emulators\n"
                          : "LLM_DEMO_MODEL names no model\n");
        skip();
    }
    for (size_t i = 1; i < N_ISAS; i++)     /* plain takes minutes here; families cover it */
        if (has_isa(demo_model(), isas[i]))
            scene(of(demo_model(), "auto", isas[i]));
}

/* What one scene's requests give with max-num-seqs of n, each alone. */
static scene_t *alone_of(const char *isa, const char *n)
{
    scene_t      *s = calloc(1, sizeof *s);
    llm_plan_t    plan = LLM_INIT(llm_plan_t);
    llm_engine_t *e;

    *s = of(TEST_DIR "/golden/llama", "bfloat16", isa);
    s->name = "quantization";
    s->value = "int8";
    e = engine_of(s, "1", "max-num-seqs", n);
    assert_int_equal(llm_engine_plan(e, &plan), LLM_OK);
    s->n_vocab = plan.vocab_size;
    alone(s, e);
    llm_engine_destroy(e);
    return s;
}

/* Blocks of weights tell the two apart by their bits. */
static void auto_has_amxint8_for_few_streams_alone(void **state)
{
    scene_t *int8, *bf16, *few, *many;

    if (!has_isa(TEST_DIR "/golden/llama", "amx")) {
        print_message("no AMX on this machine\n");
        skip();
    }
    int8 = alone_of("amxint8", "4");
    bf16 = alone_of("amx", "4");
    few = alone_of("auto", "4");
    many = alone_of("auto", "5");
    assert_memory_not_equal(int8->alone, bf16->alone, sizeof int8->alone);
    assert_memory_equal(few->alone, int8->alone, sizeof few->alone);
    assert_memory_equal(many->alone, bf16->alone, sizeof many->alone);
    free(int8);
    free(bf16);
    free(few);
    free(many);
}

static bool runs_here(size_t i)
{
    return (!EMULATED || i + 1 == N_ISAS) && has_isa(TEST_DIR "/golden/llama", isas[i]);
}

static void every_type_of_cache_keeps_its_bits(void **state)
{
    static const char *const types[] = { "float32", "float16", "bfloat16", "int8_per_token_head" };

    for (size_t i = 0; i < N_ISAS; i++)
        for (size_t k = EMULATED ? 3 : 0; runs_here(i) && k < 4; k++) {
            scene_t s = of(TEST_DIR "/golden/gemma3", k % 2 == 0 ? "bfloat16" : "float32", isas[i]);
            s.name = "kv-cache-dtype";
            s.value = types[k];
            s.wide = !FEW;
            scene(s);
        }
}

static const char *written_model(bool written_out)
{
    static char path[32];
    int         fd;

    strcpy(path, "/tmp/lls_equality.XXXXXX.gguf");
    fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    block_model_write(path, BLOCK_MODEL_MIXED, written_out);
    return path;
}

static void what_is_quantised_at_load_keeps_its_bits(void **state)
{
    const char *path = written_model(true);     /* rows that 128 divides */

    for (size_t i = 0; i < N_ISAS; i++)
        for (size_t k = EMULATED ? 1 : 0; runs_here(i) && k < (EMULATED ? 2 : 3); k++) {
            static const char *const values[] = { "int8", "int4", "int4_g128" };
            scene_t s = of(k < 2 ? TEST_DIR "/golden/llama" : path, "bfloat16", isas[i]);
            s.name = "quantization";
            s.value = values[k];
            s.wide = !FEW;
            scene(s);
        }
    unlink(path);
}

/* A file in which each matrix is of another format. */
static void every_block_format_keeps_its_bits(void **state)
{
    const char *path;

    if (EMULATED) {
        print_message("takes minutes in an emulator; kernels of each format are tested there\n");
        skip();
    }
    path = written_model(false);
    for (size_t i = 0; i < N_ISAS; i++)
        if (runs_here(i)) {
            scene_t s = of(path, "bfloat16", isas[i]);
            s.wide = !FEW && i > 0;
            scene(s);
        }
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_keeps_its_bits),
        cmocka_unit_test(auto_has_amxint8_for_few_streams_alone),
        cmocka_unit_test(every_type_of_cache_keeps_its_bits),
        cmocka_unit_test(what_is_quantised_at_load_keeps_its_bits),
        cmocka_unit_test(every_block_format_keeps_its_bits),
        cmocka_unit_test(the_quantised_model_keeps_its_bits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
