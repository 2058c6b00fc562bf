/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every value of a sampling field that is refused, and what is said: as a member and as an option,
 * from llm_engine_add_request() and from a batch, in which it fails alone.
 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#define MODEL TEST_DIR "/golden/llama"
#define V     128

static llm_engine_t *engine;
static char          last_line[256];
static const int32_t prompt[] = { 3, 4, 5 };

static void keep_line(void *user, int32_t level, const char *module, const char *line)
{
    snprintf(last_line, sizeof last_line, "%s", line);
}

static int set_up(void **state)
{
    static const llm_option_t options[] = { { "skip-tokenizer-init", "true" } };
    llm_engine_config_t       c = LLM_INIT(llm_engine_config_t);
    llm_error_t               err;

    c.model = MODEL;
    c.n_threads = 1;
    c.max_model_len = 64;
    c.max_num_seqs = 4;
    c.log = keep_line;
    c.options = options;
    c.n_options = 1;
    if (llm_engine_create(&c, &engine, &err) == LLM_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static int tear_down(void **state)
{
    llm_engine_destroy(engine);
    return 0;
}

static llm_sampling_params_t valid(void)
{
    llm_sampling_params_t s = LLM_INIT(llm_sampling_params_t);

    s.temperature = 1;
    s.max_tokens = 4;
    return s;
}

static llm_request_t request_of(const llm_sampling_params_t *s)
{
    llm_request_t r = LLM_INIT(llm_request_t);

    r.tokens = prompt;
    r.n_tokens = 3;
    r.sampling = s;
    return r;
}

/* ---- Refused by both doors, with the same words ---------------------------------------------- */

static void expect_error(const llm_error_t *err, llm_status_t status, const char *param,
                         const char *message)
{
    if (err->status != status || strcmp(err->param, param) != 0 ||
        strstr(err->message, message) == NULL)
        fail_msg("%d %s: \"%s\", not %d %s: \"%s\"", err->status, err->param, err->message, status,
                 param, message);
    assert_null(strchr(err->message, '\n'));
    assert_true(err->message[0] != '\0' && err->message[strlen(err->message) - 1] != '.');
}

static void refuse_as(const llm_request_t *r, llm_status_t status, const char *param,
                      const char *message)
{
    llm_sampling_params_t s = valid();
    llm_request_t         good = request_of(&s);
    const llm_request_t  *list[] = { &good, r, &good };
    llm_request_id_t      id = 99;
    llm_error_t           err = { 0 };
    llm_batch_t          *b;

    s.flags = LLM_SAMPLE_IGNORE_EOS;
    assert_int_equal(llm_engine_add_request(engine, r, &id, &err), status);
    assert_true(id == 0);
    assert_int_equal(llm_engine_unfinished(engine), 0);
    expect_error(&err, status, param, message);
    assert_int_equal(llm_generate_batch(engine, list, 3, NULL, NULL, &b, NULL), LLM_OK);
    for (size_t i = 0; i < 3; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0);
        if (i != 1) {
            assert_int_equal(o->n_tokens, 4);
            continue;
        }
        assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
        assert_int_equal(o->last, 1);
        assert_memory_equal(o->error, &err, sizeof err);
    }
    llm_batch_destroy(b);
}

static void refuse(const llm_request_t *r, const char *param, const char *message)
{
    refuse_as(r, LLM_ERR_INVALID, param, message);
}

static void refuse_options(const llm_option_t *options, size_t n, const char *param,
                           const char *message)
{
    llm_sampling_params_t s = valid();
    llm_request_t         r = request_of(&s);

    r.options = options;
    r.n_options = n;
    refuse(&r, param, message);
}

static void accept(const llm_request_t *r)
{
    llm_request_id_t id;
    llm_error_t      err;

    if (llm_engine_add_request(engine, r, &id, &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(llm_engine_abort(engine, id), LLM_OK);
    while (llm_engine_unfinished(engine) > 0)
        assert_int_equal(llm_engine_step(engine, NULL), LLM_OK);
    while (llm_engine_next_output(engine) != NULL)
        ;
}

/* ---- Numbers --------------------------------------------------------------------------------- */

#define MEMBER(field, value, message)                                                              \
    do {                                                                                           \
        llm_sampling_params_t s_ = valid();                                                        \
        llm_request_t         r_ = request_of(&s_);                                                \
        s_.field = value;                                                                          \
        refuse(&r_, #field, message);                                                              \
    } while (0)
#define OPTION(field, text, message)                                                               \
    do {                                                                                           \
        const llm_option_t o_ = { #field, text };                                                  \
        refuse_options(&o_, 1, #field, message);                                                   \
    } while (0)
/* The member and the option say the same. */
#define BOTH(field, value, message)                                                                \
    do {                                                                                           \
        MEMBER(field, value, message);                                                             \
        OPTION(field, #value, message);                                                            \
    } while (0)

static void numbers_out_of_range(void **state)
{
    BOTH(temperature, -0.5, "temperature must be non-negative, got -0.5");
    BOTH(temperature, 2.5, "temperature must be in [0, 2], got 2.5");
    BOTH(top_p, 1.5, "top_p must be in (0, 1], got 1.5");
    BOTH(top_p, -1, "top_p must be in (0, 1], got -1");
    BOTH(min_p, 1.25, "min_p must be in [0, 1], got 1.25");
    BOTH(min_p, -0.25, "min_p must be in [0, 1], got -0.25");
    BOTH(repetition_penalty, -1, "repetition_penalty must be greater than zero, got -1");
    BOTH(presence_penalty, 2.5, "presence_penalty must be in [-2, 2], got 2.5");
    BOTH(presence_penalty, -2.5, "presence_penalty must be in [-2, 2], got -2.5");
    BOTH(frequency_penalty, 3, "frequency_penalty must be in [-2, 2], got 3");
    BOTH(frequency_penalty, -3, "frequency_penalty must be in [-2, 2], got -3");
    BOTH(n, 16385, "n must be at most 16384, got 16385");
    BOTH(min_tokens, 5, "min_tokens must be less than or equal to max_tokens=4, got 5");
}

static void numbers_that_are_none(void **state)
{
    MEMBER(temperature, NAN, "temperature must be a finite number");
    MEMBER(temperature, INFINITY, "temperature must be a finite number, got inf");
    MEMBER(top_p, NAN, "top_p must be in (0, 1]");
    MEMBER(min_p, NAN, "min_p must be in [0, 1]");
    MEMBER(repetition_penalty, NAN, "repetition_penalty must be a finite number");
    MEMBER(repetition_penalty, INFINITY, "repetition_penalty must be a finite number, got inf");
    MEMBER(presence_penalty, NAN, "presence_penalty must be in [-2, 2]");
    MEMBER(frequency_penalty, -INFINITY, "frequency_penalty must be in [-2, 2], got -inf");
    OPTION(temperature, "inf", "temperature must be a finite number");
    OPTION(repetition_penalty, "nan", "repetition_penalty must be a finite number");
    OPTION(top_p, "half", "top_p must be a finite number in (0, 1], got \"half\"");
    OPTION(top_k, "1.5", "top_k must be an integer");
    OPTION(n, "two", "n must be an integer");
    OPTION(max_tokens, "1e3", "max_tokens must be an integer");
    OPTION(seed, "1.5", "seed must be an integer");
    OPTION(ignore_eos, "maybe", "ignore_eos must be true or false");
}

/* As a member 0 is the default; as an option it is what it says. */
static void a_nought_by_option_is_a_nought(void **state)
{
    llm_sampling_params_t s = LLM_INIT(llm_sampling_params_t);
    llm_request_t         r = request_of(&s);

    OPTION(top_p, "0", "top_p must be in (0, 1], got 0");
    OPTION(repetition_penalty, "0", "repetition_penalty must be greater than zero, got 0");
    OPTION(n, "0", "n must be at least 1, got 0");
    OPTION(n, "-1", "n must be at least 1, got -1");
    OPTION(max_tokens, "0", "max_tokens must be at least 1, got 0");
    OPTION(max_tokens, "-5", "max_tokens must be at least 1, got -5");
    OPTION(min_tokens, "-1", "min_tokens must be greater than or equal to 0, got -1");
    OPTION(top_k, "-2", "top_k must be 0 (disable), or at least 1, got -2");
    OPTION(stream_interval, "0", "stream_interval must be at least 1, got 0");
    OPTION(allowed_token_ids, "[]", "allowed_token_ids is not None and empty");
    accept(&r);
}

static void greedy_takes_one_completion(void **state)
{
    static const llm_option_t options[] = { { "temperature", "0" }, { "n", "2" } };
    llm_sampling_params_t     s = valid();
    llm_request_t             r = request_of(&s);

    refuse_options(options, 2, "n", "n must be 1 when using greedy sampling, got 2");
    s.temperature = 0;
    s.n = 2;
    refuse(&r, "n", "n must be 1 when using greedy sampling, got 2");
    s.temperature = 0;
    s.n = 1;
    last_line[0] = '\0';
    accept(&r);
    assert_string_equal(last_line, "");
    s.n = 2;
    s.temperature = 0.001f;             /* raised, and not greedy */
    accept(&r);
    assert_string_equal(last_line, "temperature 0.001 is less than 0.01, raised to it");
}

/* ---- Log-probabilities ----------------------------------------------------------------------- */

static void more_logprobs_than_max_logprobs(void **state)
{
    static const char sample[] = "Requested sample logprobs of 21, which is greater than max "
                                 "allowed: 20";
    static const char prompts[] = "Requested prompt logprobs of 21, which is greater than max "
                                  "allowed: 20";
    const llm_option_t o[] = { { "logprobs", "21" }, { "prompt_logprobs", "21" },
                               { "logprobs", "-1" }, { "prompt_logprobs", "-1" } };

    MEMBER(n_logprobs, 22, sample);
    MEMBER(n_prompt_logprobs, 22, prompts);
    MEMBER(n_logprobs, -1, "Requested sample logprobs of 128, which is greater than max allowed");
    MEMBER(n_logprobs, -2, "n_logprobs must be non-negative or -1, got -2");
    MEMBER(n_prompt_logprobs, INT32_MIN, "n_prompt_logprobs must be non-negative or -1");
    refuse_options(&o[0], 1, "n_logprobs", sample);
    refuse_options(&o[1], 1, "n_prompt_logprobs", prompts);
    refuse_options(&o[2], 1, "n_logprobs", "logprobs of 128");
    refuse_options(&o[3], 1, "n_prompt_logprobs", "logprobs of 128");
    OPTION(logprobs, "-2", "logprobs must be non-negative or -1, got -2");
    OPTION(prompt_logprobs, "-2", "prompt_logprobs must be non-negative or -1, got -2");
    OPTION(logprobs, "false", "logprobs must be an integer");
}

static void chosen_tokens(void **state)
{
    const llm_option_t differ[] = { { "logprob_token_ids", "[1, 2]" }, { "logprobs", "3" } };
    const llm_option_t empty[] = { { "logprob_token_ids", "[]" }, { "logprobs", "1" } };
    const llm_option_t prompts[] = { { "prompt_logprob_token_ids", "[1, 2]" },
                                     { "prompt_logprobs", "0" } };
    char               many[600] = "[0";

    for (int i = 0; i < 128; i++)
        strcat(many, ",1");
    strcat(many, "]");
    OPTION(logprob_token_ids, many, "Requested logprob_token_ids of length 129, which is greater "
                                    "than max allowed: 128");
    OPTION(logprob_token_ids, "[128]", "token id 128, which is out of the vocabulary of 128");
    OPTION(logprob_token_ids, "[-1]", "token id -1, which is out of the vocabulary");
    OPTION(logprob_token_ids, "[\"a\"]", "an array of token ids");
    OPTION(logprob_token_ids, "3", "an array of token ids");
    refuse_options(differ, 2, "logprob_token_ids", "logprobs must equal the length");
    refuse_options(empty, 2, "logprob_token_ids", "logprobs must equal the length");
    OPTION(prompt_logprob_token_ids, "[]", "must not be empty");
    OPTION(prompt_logprob_token_ids, "[5, 5]", "must not contain duplicates");
    OPTION(prompt_logprob_token_ids, "[128]", "token id 128");
    OPTION(prompt_logprob_token_ids, "[0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]",
           "of length 21, which is greater than max allowed: 20");
    refuse_options(prompts, 2, "prompt_logprob_token_ids", "prompt_logprobs must equal the length");
    OPTION(prompt_logprob_start, "-1", "prompt_logprob_start must be non-negative, got -1");
}

/* ---- Lists ----------------------------------------------------------------------------------- */

#define LIST(field, count, items, number, message)                                                 \
    do {                                                                                           \
        llm_sampling_params_t s_ = valid();                                                        \
        llm_request_t         r_ = request_of(&s_);                                                \
        s_.field = items;                                                                          \
        s_.count = number;                                                                         \
        refuse(&r_, #field, message);                                                              \
    } while (0)

static void lists_of_tokens(void **state)
{
    static const int32_t          below[] = { 1, -1 }, beyond[] = { V };
    static int32_t                many[1025];
    static llm_logit_bias_t       biases[1025];
    static const llm_logit_bias_t nan_bias[] = { { 1, NAN } }, beyond_bias[] = { { V, 1 } };
    static const llm_logit_bias_t endless[] = { { 1, INFINITY }, { 2, -INFINITY } };
    llm_sampling_params_t         s = valid();
    llm_request_t                 r = request_of(&s);

    LIST(stop_token_ids, n_stop_token_ids, below, 2, "token id -1");
    LIST(stop_token_ids, n_stop_token_ids, beyond, 1, "token id 128, which is out of the");
    OPTION(stop_token_ids, "[1, -1]", "token id -1");
    OPTION(stop_token_ids, "[128]", "token id 128, which is out of the vocabulary");
    OPTION(stop_token_ids, "\"5\"", "an array of token ids");
    LIST(allowed_token_ids, n_allowed_token_ids, below, 2, "token id -1");
    LIST(allowed_token_ids, n_allowed_token_ids, beyond, 1, "token id 128");
    LIST(allowed_token_ids, n_allowed_token_ids, many, 1025, "at most 1024");
    OPTION(allowed_token_ids, "[-1]", "token id -1");
    LIST(logit_bias, n_logit_bias, beyond_bias, 1, "token id 128");
    LIST(logit_bias, n_logit_bias, nan_bias, 1, "must be a number, got nan");
    LIST(logit_bias, n_logit_bias, biases, 1025, "at most 1024");
    OPTION(logit_bias, "{\"128\": 1}", "token id 128, which is out of the vocabulary");
    OPTION(logit_bias, "{\"-1\": 1}", "token id -1, which is out of the vocabulary");
    OPTION(logit_bias, "{\"one\": 1}", "logit_bias contains \"one\", which is not a token id");
    s.logit_bias = endless;             /* clamped to 100 */
    s.n_logit_bias = 2;
    accept(&r);
}

static void stop_ids_count_once(void **state)
{
    static int32_t        many[129], once[] = { 9, 9, 9 };
    llm_sampling_params_t s = valid();
    llm_request_t         r = request_of(&s);

    s.min_tokens = 1;
    s.stop_token_ids = many;
    s.n_stop_token_ids = 128;
    for (int32_t i = 0; i < 128; i++)
        many[i] = 3 + i % 100;          /* a hundred, however often they are named */
    accept(&r);
    for (int32_t i = 0; i < 128; i++)
        many[i] = i;                    /* the end of sequence is one of them */
    accept(&r);
    s.stop_token_ids = once;
    s.n_stop_token_ids = V + 1;
    refuse(&r, "stop_token_ids", "at most 128");
}

static void lists_of_strings(void **state)
{
    static const char *const empty[] = { "a", "" };
    static const char       *many[129];
    const llm_option_t       silent[] = { { "detokenize", "false" }, { "stop", "\"x\"" } };

    for (size_t i = 0; i < 129; i++)
        many[i] = "word";
    LIST(stop, n_stop, empty, 2, "stop cannot contain an empty string");
    OPTION(stop, "[\"a\", \"\"]", "stop cannot contain an empty string");
    OPTION(stop, "\"\"", "stop cannot contain an empty string");
    OPTION(stop, "[1]", "stop must be strings");
    refuse_options(silent, 2, "stop", "stop strings need text");
    LIST(bad_words, n_bad_words, empty, 2, "bad_words cannot contain an empty string");
    LIST(bad_words, n_bad_words, many, 129, "at most 128");
    OPTION(bad_words, "[\"\"]", "bad_words cannot contain an empty string");
    OPTION(bad_words, "[\"x\"]", "bad_words need a tokenizer");
}

/* A tokenizer that knows more tokens than the model, and words that are none. */
static void bad_words_of_another_tokenizer(void **state)
{
    static const llm_option_t options[] = { { "tokenizer", TEST_DIR "/golden/text/added.json" },
                                            { "hf-overrides", "{\"eos_token_id\": [2, 5000]}" } };
    static const char *const  beyond[] = { "word" }, *const blank[] = { " \n" };
    llm_engine_config_t       c = LLM_INIT(llm_engine_config_t);
    llm_sampling_params_t     s = valid();
    llm_request_t             r = request_of(&s);
    llm_engine_t             *whole = engine;
    llm_error_t               err = { 0 };

    c.model = MODEL;
    c.n_threads = 1;
    c.max_model_len = 64;
    c.options = options;
    c.n_options = 2;
    if (llm_engine_create(&c, &engine, &err) != LLM_OK)
        fail_msg("%s", err.message);
    s.min_tokens = 2;                   /* an end of sequence that cannot come is none */
    accept(&r);
    s.bad_words = beyond;
    s.n_bad_words = 1;
    assert_int_equal(llm_engine_add_request(engine, &r, NULL, &err), LLM_ERR_INVALID);
    expect_error(&err, LLM_ERR_INVALID, "bad_words", "which is out of the vocabulary of 128");
    s.bad_words = blank;
    assert_int_equal(llm_engine_add_request(engine, &r, NULL, &err), LLM_ERR_INVALID);
    expect_error(&err, LLM_ERR_INVALID, "bad_words", "must tokenize to at least one token");
    llm_engine_destroy(engine);
    engine = whole;
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void options_without_a_member(void **state)
{
    OPTION(thinking_token_budget, "-2", "non-negative integer or -1 for unlimited, got -2");
    OPTION(thinking_token_budget, "0",
           "thinking_token_budget is set but reasoning-config is not configured");
    OPTION(extra_args, "[1]", "extra_args must be a JSON object");
    OPTION(extra_args, "{", "extra_args");
    OPTION(output_kind, "all", "output_kind must be one of");
}

static void values_that_mean_none(void **state)
{
    static const llm_option_t none[] = {
        { "seed", "-1" }, { "seed", "none" }, { "top_k", "-1" }, { "top_k", "0" },
        { "max_tokens", "none" }, { "logprobs", "none" }, { "logprobs", "true" },
        { "prompt_logprobs", "True" }, { "logprobs", "20" }, { "logprobs", "0" },
        { "stop", "null" }, { "stop_token_ids", "[]" }, { "allowed_token_ids", "null" },
        { "bad_words", "[]" }, { "logit_bias", "{}" }, { "logprob_token_ids", "[]" },
        { "logprob_token_ids", "null" }, { "prompt_logprob_token_ids", "null" },
        { "thinking_token_budget", "-1" }, { "thinking_token_budget", "none" },
        { "extra_args", "null" }, { "extra_args", "{}" }, { "n", "2" },
    };

    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        llm_sampling_params_t s = valid();
        llm_request_t         r = request_of(&s);
        r.options = &none[i];
        r.n_options = 1;
        accept(&r);
    }
}

/* As long as the context allows, whatever is asked. */
static void lengths_end_with_the_context(void **state)
{
    llm_sampling_params_t s = valid();
    llm_request_t         r = request_of(&s);
    const llm_request_t  *list[] = { &r };
    llm_batch_t          *b;
    const llm_output_t   *o;

    s.max_tokens = UINT32_MAX;
    s.min_tokens = 1000;
    assert_int_equal(llm_generate_batch(engine, list, 1, NULL, NULL, &b, NULL), LLM_OK);
    o = llm_batch_output(b, 0, 0);
    assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
    assert_int_equal(o->n_tokens, 64 - 3);
    for (size_t i = 0; i < o->n_tokens; i++)
        assert_int_not_equal(o->tokens[i], 2);          /* never the end of sequence */
    llm_batch_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(a_nought_by_option_is_a_nought),
        cmocka_unit_test(greedy_takes_one_completion),
        cmocka_unit_test(more_logprobs_than_max_logprobs),
        cmocka_unit_test(chosen_tokens),
        cmocka_unit_test(lists_of_tokens),
        cmocka_unit_test(stop_ids_count_once),
        cmocka_unit_test(lists_of_strings),
        cmocka_unit_test(bad_words_of_another_tokenizer),
        cmocka_unit_test(options_without_a_member),
        cmocka_unit_test(values_that_mean_none),
        cmocka_unit_test(lengths_end_with_the_context),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
