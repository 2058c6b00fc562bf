/* SPDX-License-Identifier: Apache-2.0 */
/* thinking_token_budget through llm.h: what is forced, when, and that nothing but the row's own
 * tokens decides it. */
#include "engine/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#define MODEL    TEST_DIR "/golden/llama"
#define V        128
#define N_NEW    60
#define N_PROMPT 20
#define REASONING "{\"reasoning_start_token_ids\": [11], \"reasoning_end_token_ids\": [21, 22, 23]}"

static const int32_t end_ids[] = { 21, 22, 23 };

static llm_engine_t *begin(const char *blocks, const char *budget, const char *prefix)
{
    return make_engine(MODEL, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "128",
                               "cpu-threads", "1", "reasoning-config", REASONING, "block-size", "4",
                               "num-gpu-blocks-override", blocks, "max-num-batched-tokens", budget,
                               "max-num-seqs", "7", "enable-prefix-caching", prefix), NULL);
}

/* Samples with enough heat that starts and ends come by themselves too. */
static void make_request(ask_t *a, uint32_t i, const llm_option_t *option)
{
    static const llm_logit_bias_t to_think[] = { { 11, 7 }, { 21, 3 } };
    static const int32_t          allowed[] = { 5, 6, 7, 8, 11 };

    make_ask(a, V, N_PROMPT, i, N_NEW);
    for (uint32_t k = 0; k < N_PROMPT; k++)
        a->tokens[k] = a->tokens[k] % 100 + 24;         /* markers only where they are put */
    if (i % 3 == 0)
        a->tokens[10] = 11;                             /* the prompt opens a thought, */
    if (i % 6 == 0)
        memcpy(a->tokens + 15, end_ids, sizeof end_ids);            /* and ends it, */
    if (i % 9 == 3)
        memcpy(a->tokens + 18, end_ids, 2 * sizeof *end_ids);       /* or nearly */
    a->sp.flags |= LLM_SAMPLE_SEEDED;
    a->sp.seed = i;
    a->sp.temperature = i % 4 == 3 ? 0 : 1.5f;
    a->sp.top_k = i % 5 == 4 ? 40 : 0;
    a->sp.top_p = i % 5 == 2 ? 0.98f : 0;
    a->sp.n_logprobs = i % 4 == 1 ? 3 : 0;
    a->sp.logit_bias = to_think;
    a->sp.n_logit_bias = 2;
    if (i % 7 == 5) {                                   /* 21, 22 and 23 are not among them */
        a->sp.allowed_token_ids = allowed;
        a->sp.n_allowed_token_ids = 5;
    }
    a->r.options = option;
    a->r.n_options = option == NULL ? 0 : 1;
}

#define N_ASKS 28

static void make_requests(ask_t asks[N_ASKS], llm_option_t options[N_ASKS], char text[N_ASKS][8])
{
    for (uint32_t i = 0; i < N_ASKS; i++) {
        snprintf(text[i], sizeof text[i], "%d", i % 8 == 7 ? -1 : (int)(i % 8) * 3);
        options[i] = (llm_option_t){ "thinking_token_budget", text[i] };
        make_request(&asks[i], i, &options[i]);
    }
}

/* The token that must follow tokens[0 .. n), or -1: vLLM's rule, searched from the beginning. */
static int32_t forced_next(const int32_t *tokens, size_t n, uint32_t budget)
{
    size_t start = 0, end = 0, k = 2;

    for (size_t i = 0; i < n; i++) {
        if (tokens[i] == 11)
            start = i + 1;
        if (i + 3 <= n && memcmp(tokens + i, end_ids, sizeof end_ids) == 0)
            end = i + 1;
    }
    if (start <= end || n - start < budget)
        return -1;
    while (k > 0 && memcmp(tokens + n - k, end_ids, k * sizeof *tokens) != 0)
        k--;
    return end_ids[k];
}

static void thoughts_end_with_their_budget(void **state)
{
    llm_engine_t *e = begin("400", "512", "true");
    ask_t         asks[N_ASKS], plain[N_ASKS];
    llm_option_t  options[N_ASKS];
    char          text[N_ASKS][8];
    llm_batch_t  *b, *without;
    uint32_t      n_forced = 0, n_free = 0;

    make_requests(asks, options, text);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        plain[i] = asks[i];
        plain[i].r.tokens = plain[i].tokens;
        plain[i].r.sampling = &plain[i].sp;
        plain[i].r.n_options = 0;
    }
    b = generate_all(e, asks, N_ASKS);
    without = generate_all(e, plain, N_ASKS);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0), *p = llm_batch_output(without, i, 0);
        int32_t             tokens[N_PROMPT + N_NEW];
        bool                is_same = true;

        assert_int_equal(o->n_tokens, N_NEW);
        memcpy(tokens, asks[i].tokens, N_PROMPT * sizeof *tokens);
        memcpy(tokens + N_PROMPT, o->tokens, N_NEW * sizeof *tokens);
        for (size_t t = 0; t < N_NEW; t++) {
            int32_t must = i % 8 == 7 ? -1 : forced_next(tokens, N_PROMPT + t, i % 8 * 3);
            if (must >= 0)
                assert_int_equal(o->tokens[t], must);
            n_forced += must >= 0;
            n_free += must < 0;
            is_same = is_same && must < 0;              /* until then nothing else is different */
            if (is_same)
                assert_int_equal(o->tokens[t], p->tokens[t]);
        }
    }
    assert_true(n_forced > 100 && n_free > 300);
    llm_batch_destroy(b);
    llm_batch_destroy(without);
    llm_engine_destroy(e);
}

static void nothing_else_decides(void **state)
{
    static const char *const worlds[][3] = {            /* blocks, budget, prefix cache */
        { "400", "512", "false" }, { "400", "7", "true" }, { "400", "13", "false" },
        { "36", "64", "true" },                         /* preempting */
        { "40", "7", "false" },
    };
    llm_engine_t *e = begin("400", "512", "true");
    ask_t         asks[N_ASKS];
    llm_option_t  options[N_ASKS];
    char          text[N_ASKS][8];
    llm_batch_t  *b;
    int32_t       alone[N_ASKS][N_NEW];
    uint32_t      n_preempted = 0;

    make_requests(asks, options, text);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        b = generate_all(e, &asks[i], 1);
        memcpy(alone[i], llm_batch_output(b, 0, 0)->tokens, sizeof alone[i]);
        llm_batch_destroy(b);
    }
    llm_engine_destroy(e);
    for (uint32_t w = 0; w < sizeof worlds / sizeof *worlds; w++) {
        e = begin(worlds[w][0], worlds[w][1], worlds[w][2]);
        b = generate_all(e, asks, N_ASKS);
        for (uint32_t i = 0; i < N_ASKS; i++) {
            const llm_output_t *o = llm_batch_output(b, i, 0);
            assert_int_equal(o->n_tokens, N_NEW);
            assert_memory_equal(o->tokens, alone[i], sizeof alone[i]);
            n_preempted += o->preemptions;
        }
        llm_batch_destroy(b);
        llm_engine_destroy(e);
    }
    assert_true(n_preempted > 3);
}

static int32_t leave_nothing(void *user, llm_logits_t *row)
{
    for (size_t i = 0; i < row->n_vocab; i++)
        row->logits[i] = -INFINITY;
    return 0;
}

/* A token that is forced afterwards does not make good what a callback has spoilt. */
static void a_spoilt_row_has_no_token_to_force(void **state)
{
    static const llm_option_t budget = { "thinking_token_budget", "0" };
    llm_engine_t             *e = begin("400", "512", "true");
    llm_batch_t              *b;
    const llm_output_t       *o;
    ask_t                     a;

    make_request(&a, 3, &budget);
    a.sp.logits_fn = leave_nothing;
    b = generate_all(e, &a, 1);
    o = llm_batch_output(b, 0, 0);
    assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
    assert_int_equal(o->n_tokens, 0);
    assert_string_equal(o->error->param, "logits_fn");
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

static void a_budget_needs_reasoning_config(void **state)
{
    static const llm_option_t budget[] = { { "thinking_token_budget", "5" },
                                           { "thinking_token_budget", "-1" } };
    llm_engine_t *e = make_engine(MODEL, "float32",
                                  OPTIONS("skip-tokenizer-init", "true", "max-model-len", "128",
                                          "cpu-threads", "1", "max-num-seqs", "2"), NULL);
    llm_error_t   err;
    ask_t         a;

    make_request(&a, 1, &budget[0]);
    assert_int_equal(llm_engine_add_request(e, &a.r, NULL, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "thinking_token_budget");
    assert_non_null(strstr(err.message, "reasoning-config is not configured"));
    a.r.options = &budget[1];
    assert_int_equal(llm_engine_add_request(e, &a.r, NULL, &err), LLM_OK);
    run_dry(e);
    llm_engine_destroy(e);
}

static void engines_refuse_a_reasoning_config_that_says_nothing_of_use(void **state)
{
    static const struct { const char *text; llm_status_t status; } bad[] = {
        { "{\"reasoning_start_str\": \"<think>\", \"reasoning_end_str\": \"</think>\"}",
          LLM_ERR_INVALID },                            /* there is no tokenizer */
        { "{\"reasoning_start_token_ids\": [128], \"reasoning_end_token_ids\": [1]}",
          LLM_ERR_INVALID },
        { "{\"reasoning_start_token_ids\": [1]}", LLM_ERR_INVALID },
        { "{\"reasoning_parser\": \"qwen3\"}", LLM_ERR_UNSUPPORTED },
        { "[]", LLM_ERR_INVALID },
        { "{", LLM_ERR_INVALID },
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        llm_engine_t *e;
        llm_error_t   err;
        assert_int_equal(try_engine(MODEL, "float32",
                                    OPTIONS("skip-tokenizer-init", "true", "max-model-len", "128",
                                            "cpu-threads", "1", "reasoning-config", bad[i].text),
                                    NULL, &e, &err), bad[i].status);
        assert_null(e);
        assert_string_equal(err.param, "reasoning-config");
    }
}

/* With a tokenizer the strings are what counts. */
static void strings_of_a_real_tokenizer(void **state)
{
    static const llm_option_t options[] = { { "thinking_token_budget", "4" } };
    const char               *model = demo_model();
    llm_sampling_params_t     s = LLM_INIT(llm_sampling_params_t);
    llm_request_t             r = LLM_INIT(llm_request_t);
    const llm_request_t      *list[] = { &r };
    const llm_output_t       *o;
    llm_engine_t             *e;
    llm_batch_t              *b;
    llm_error_t               err;
    char                     *at;

    if (model == NULL || SANITIZED) {
        print_message(SANITIZED ? "left to the builds without sanitizers\n"
                                : "LLM_DEMO_MODEL names no model\n");
        skip();
    }
    e = make_engine(model, NULL,
                    OPTIONS("max-model-len", "256", "max-num-seqs", "2", "reasoning-config",
                            "{\"reasoning_start_str\": \"<think>\", \"reasoning_end_str\": "
                            "\" Enough of that.</think>\"}"), NULL);
    s.max_tokens = 40;
    s.flags = LLM_SAMPLE_IGNORE_EOS;
    r.sampling = &s;
    r.text = "<think> The sky is blue because";
    r.text_len = LLM_CSTR;
    r.options = options;
    r.n_options = 1;
    if (llm_generate_batch(e, list, 1, NULL, NULL, &b, &err) != LLM_OK)
        fail_msg("%s", err.message);
    o = llm_batch_output(b, 0, 0);
    at = strstr(o->text, " Enough of that.</think>");
    if (at == NULL)
        fail_msg("\"%s\"", o->text);
    assert_null(strstr(at + 2, "Enough of that.</think>"));         /* and only once */
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thoughts_end_with_their_budget),
        cmocka_unit_test(nothing_else_decides),
        cmocka_unit_test(a_spoilt_row_has_no_token_to_force),
        cmocka_unit_test(a_budget_needs_reasoning_config),
        cmocka_unit_test(engines_refuse_a_reasoning_config_that_says_nothing_of_use),
        cmocka_unit_test(strings_of_a_real_tokenizer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
