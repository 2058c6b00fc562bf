/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What sampling parameters do, seen through llm.h on a small model of random weights.
 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#define N_PROMPT 6

static llm_engine_t *engine;
static uint32_t      n_vocab;
static const int32_t prompt[N_PROMPT] = { 3, 14, 15, 9, 2, 6 };

static int set_up(void **state)
{
    static const llm_option_t options[] = { { "skip-tokenizer-init", "true" },
                                            { "dtype", "float32" }, { "max-logprobs", "-1" } };
    llm_engine_config_t       c = LLM_INIT(llm_engine_config_t);
    llm_plan_t                plan = LLM_INIT(llm_plan_t);
    llm_error_t               err;

    c.model = TEST_DIR "/golden/llama";
    c.n_threads = 2;
    c.max_model_len = 64;
    c.max_num_seqs = 8;
    c.options = options;
    c.n_options = 3;
    if (llm_engine_create(&c, &engine, &err) != LLM_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    llm_engine_plan(engine, &plan);
    n_vocab = plan.vocab_size;
    return 0;
}

static int tear_down(void **state)
{
    llm_engine_destroy(engine);
    return 0;
}

static llm_sampling_params_t params(float temperature, uint32_t max_tokens)
{
    llm_sampling_params_t s = LLM_INIT(llm_sampling_params_t);

    s.temperature = temperature;
    s.max_tokens = max_tokens;
    s.flags = LLM_SAMPLE_SEEDED | LLM_SAMPLE_IGNORE_EOS;
    s.seed = 11;
    return s;
}

/* One request for each of the parameters; the caller destroys the batch. */
static llm_batch_t *generate(const llm_sampling_params_t *s, size_t n)
{
    llm_request_t        r[8];
    const llm_request_t *rs[8];
    llm_batch_t         *batch;
    llm_error_t          err;

    for (size_t i = 0; i < n; i++) {
        r[i] = (llm_request_t)LLM_INIT(llm_request_t);
        r[i].tokens = prompt;
        r[i].n_tokens = N_PROMPT;
        r[i].sampling = &s[i];
        rs[i] = &r[i];
    }
    if (llm_generate_batch(engine, rs, n, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return batch;
}

static void assert_same_tokens(const llm_output_t *a, const llm_output_t *b)
{
    assert_int_equal(a->n_tokens, b->n_tokens);
    assert_memory_equal(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens);
}

/* ---- Draws ----------------------------------------------------------------------------------- */

static void a_seed_repeats_alone_and_among_others(void **state)
{
    llm_sampling_params_t s[8];
    llm_batch_t          *all, *one;

    for (uint32_t i = 0; i < 8; i++) {
        s[i] = params(i % 2 ? 1 : 0.7f, 12);
        s[i].seed = i * 5;
        s[i].top_k = i % 3 ? 20 : 0;
        s[i].top_p = i % 4 ? 0.9f : 1;
        s[i].min_p = i == 5 ? 0.05f : 0;
        s[i].repetition_penalty = i == 6 ? 1.5f : 1;
    }
    all = generate(s, 8);
    for (uint32_t i = 0; i < 8; i++) {
        one = generate(&s[i], 1);
        assert_int_equal(llm_batch_output(one, 0, 0)->n_tokens, 12);
        assert_same_tokens(llm_batch_output(one, 0, 0), llm_batch_output(all, i, 0));
        llm_batch_destroy(one);
    }
    llm_batch_destroy(all);
}

static void completion_i_has_seed_plus_i(void **state)
{
    llm_sampling_params_t s[4] = { params(1, 8), params(1, 8), params(1, 8), params(1, 8) };
    llm_batch_t          *b;

    s[0].n = 3;
    for (uint32_t i = 1; i < 4; i++)
        s[i].seed = s[0].seed + i - 1;
    b = generate(s, 4);
    for (uint32_t i = 0; i < 3; i++)
        assert_same_tokens(llm_batch_output(b, 0, i), llm_batch_output(b, 1 + i, 0));
    assert_null(llm_batch_output(b, 0, 3));
    llm_batch_destroy(b);
}

static void the_likeliest_only_is_greedy(void **state)
{
    llm_sampling_params_t s[4] = { params(0, 10), params(1, 10), params(1.5f, 10), params(1, 10) };
    llm_batch_t          *b;

    s[1].top_k = 1;
    s[2].top_p = 1e-6f;
    s[3].min_p = 1;
    b = generate(s, 4);
    for (uint32_t i = 1; i < 4; i++)
        assert_same_tokens(llm_batch_output(b, 0, 0), llm_batch_output(b, i, 0));
    llm_batch_destroy(b);
}

/* ---- Constraints ----------------------------------------------------------------------------- */

static void biases_and_allowed_tokens_decide(void **state)
{
    static const llm_logit_bias_t bias[] = { { 21, 100 } };
    static const int32_t          allowed[] = { 5, 9 };
    llm_sampling_params_t         s[3] = { params(0, 6), params(1, 20), params(1, 6) };
    const llm_output_t           *o;
    llm_batch_t                  *b;

    s[0].logit_bias = s[2].logit_bias = bias;
    s[0].n_logit_bias = s[2].n_logit_bias = 1;
    s[1].allowed_token_ids = s[2].allowed_token_ids = allowed;
    s[1].n_allowed_token_ids = s[2].n_allowed_token_ids = 2;
    b = generate(s, 3);
    o = llm_batch_output(b, 0, 0);
    for (size_t i = 0; i < o->n_tokens; i++)
        assert_int_equal(o->tokens[i], 21);
    for (uint32_t r = 1; r < 3; r++) {      /* a bias does not bring back what is not allowed */
        o = llm_batch_output(b, r, 0);
        for (size_t i = 0; i < o->n_tokens; i++)
            assert_true(o->tokens[i] == 5 || o->tokens[i] == 9);
    }
    llm_batch_destroy(b);
}

static void stop_tokens_wait_for_min_tokens(void **state)
{
    static const llm_logit_bias_t bias[] = { { 21, 100 } };
    static const int32_t          stop[] = { 21 };
    llm_sampling_params_t         s[2] = { params(0, 10), params(0, 10) };
    const llm_output_t           *o;
    llm_batch_t                  *b;

    for (uint32_t i = 0; i < 2; i++) {
        s[i].logit_bias = bias;
        s[i].n_logit_bias = 1;
        s[i].stop_token_ids = stop;
        s[i].n_stop_token_ids = 1;
    }
    s[1].min_tokens = 3;
    b = generate(s, 2);
    o = llm_batch_output(b, 0, 0);
    assert_int_equal(o->n_tokens, 1);
    assert_int_equal(o->finish_reason, LLM_FINISH_STOP);
    assert_int_equal(o->stop_token, 21);
    o = llm_batch_output(b, 1, 0);
    assert_int_equal(o->n_tokens, 4);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_not_equal(o->tokens[i], 21);
    assert_int_equal(o->tokens[3], 21);
    llm_batch_destroy(b);
}

static void a_strong_penalty_never_repeats(void **state)
{
    llm_sampling_params_t s = params(0, 30);
    const llm_output_t   *o;
    llm_batch_t          *b;

    s.repetition_penalty = 1e6f;
    b = generate(&s, 1);
    o = llm_batch_output(b, 0, 0);
    for (size_t i = 0; i < o->n_tokens; i++)
        for (size_t j = i + 1; j < o->n_tokens; j++)
            assert_int_not_equal(o->tokens[i], o->tokens[j]);
    llm_batch_destroy(b);
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static int32_t only_fours(void *user, llm_logits_t *row)
{
    size_t *calls = user;

    assert_int_equal(row->n_vocab, n_vocab);
    assert_int_equal(row->n_prompt, N_PROMPT);
    assert_int_equal(row->n_tokens, N_PROMPT + *calls);
    assert_memory_equal(row->tokens, prompt, sizeof prompt);
    for (size_t i = 0; i < row->n_vocab; i++)
        row->logits[i] = i == 4 ? 0 : -INFINITY;
    ++*calls;
    return 0;
}

static int32_t no_numbers(void *user, llm_logits_t *row)
{
    row->logits[1] = NAN;
    return 0;
}

static int32_t enough(void *user, llm_logits_t *row) { return row->n_tokens == N_PROMPT + 2; }

static void callbacks_are_contained(void **state)
{
    llm_sampling_params_t s[4] = { params(1, 5), params(1, 5), params(1, 5), params(1, 5) };
    const llm_output_t   *o;
    llm_batch_t          *b, *alone;
    size_t                calls = 0;

    s[0].logits_fn = only_fours;
    s[0].logits_user = &calls;
    s[1].logits_fn = no_numbers;
    s[2].logits_fn = enough;
    b = generate(s, 4);
    o = llm_batch_output(b, 0, 0);
    assert_int_equal(calls, 5);
    assert_int_equal(o->n_tokens, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(o->tokens[i], 4);
    o = llm_batch_output(b, 1, 0);
    assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
    assert_non_null(o->error);
    o = llm_batch_output(b, 2, 0);
    assert_int_equal(o->finish_reason, LLM_FINISH_ABORT);
    assert_int_equal(o->n_tokens, 2);
    alone = generate(&s[3], 1);
    assert_same_tokens(llm_batch_output(b, 3, 0), llm_batch_output(alone, 0, 0));
    llm_batch_destroy(alone);
    llm_batch_destroy(b);
}

/* ---- Log-probabilities ----------------------------------------------------------------------- */

static void check_row(const llm_logprob_t *row, uint32_t n, int32_t token)
{
    assert_int_equal(row[0].token, token);
    assert_in_range(row[0].rank, 1, n_vocab);
    for (uint32_t k = 1; k < n; k++) {
        assert_int_equal(row[k].rank, k);
        assert_true(k == 1 || row[k].logprob <= row[k - 1].logprob);
        if (row[k].token == token)
            assert_true(row[k].logprob == row[0].logprob);
    }
}

static void logprobs_have_their_shape(void **state)
{
    llm_sampling_params_t s[3] = { params(1, 6), params(0.5f, 6), params(0, 3) };
    const llm_output_t   *o;
    llm_batch_t          *b;
    double                sum = 0;

    s[0].n_logprobs = 1;
    s[1].n_logprobs = 5;
    s[1].n_prompt_logprobs = 3;
    s[2].n_logprobs = -1;
    b = generate(s, 3);
    for (uint32_t r = 0; r < 3; r++) {
        double total = 0;
        o = llm_batch_output(b, r, 0);
        assert_int_equal(o->n_logprobs, r == 0 ? 1 : r == 1 ? 5 : 1 + n_vocab);
        for (size_t i = 0; i < o->n_tokens; i++) {
            check_row(o->logprobs + i * o->n_logprobs, o->n_logprobs, o->tokens[i]);
            total += (double)o->logprobs[i * o->n_logprobs].logprob;
        }
        assert_true(fabs(total - o->cumulative_logprob) < 1e-4);
    }
    for (uint32_t k = 1; k <= n_vocab; k++)
        sum += exp((double)o->logprobs[k].logprob);
    assert_true(fabs(sum - 1) < 1e-5);
    assert_int_equal(o->logprobs[0].rank, 1);       /* greedy */
    o = llm_batch_output(b, 1, 0);
    assert_int_equal(o->n_prompt_logprobs, 3);
    assert_int_equal(o->prompt_logprobs[0].token, -1);
    assert_int_equal(o->prompt_logprobs[0].rank, 0);
    for (uint32_t i = 1; i < N_PROMPT; i++)
        check_row(o->prompt_logprobs + i * 3, 3, prompt[i]);
    assert_null(llm_batch_output(b, 0, 0)->prompt_logprobs);
    llm_batch_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_repeats_alone_and_among_others),
        cmocka_unit_test(completion_i_has_seed_plus_i),
        cmocka_unit_test(the_likeliest_only_is_greedy),
        cmocka_unit_test(biases_and_allowed_tokens_decide),
        cmocka_unit_test(stop_tokens_wait_for_min_tokens),
        cmocka_unit_test(a_strong_penalty_never_repeats),
        cmocka_unit_test(callbacks_are_contained),
        cmocka_unit_test(logprobs_have_their_shape),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
