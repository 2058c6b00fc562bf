/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>

#include "sample/params.h"

static const lls_sample_limits_t limits = {
    .n_vocab = 100, .max_model_len = 512, .max_logprobs = 20};

static llm_sampling_params_t valid(void)
{
    return (llm_sampling_params_t){.struct_size = sizeof(llm_sampling_params_t), .temperature = 1};
}

static void expect(const llm_sampling_params_t *in, llm_status_t status, const char *param,
                   const char *message)
{
    lls_sample_params_t out;
    llm_error_t         err = { 0 };

    assert_int_equal(lls_sample_params_check(in, &limits, &out, &err), status);
    assert_string_equal(err.param, param);
    if (message != NULL && strstr(err.message, message) == NULL)
        fail_msg("\"%s\" has no \"%s\"", err.message, message);
    assert_int_equal(lls_sample_params_check(in, &limits, &out, NULL), status);
}

#define REFUSE(field, value, message)                                                              \
    do {                                                                                           \
        llm_sampling_params_t p_ = valid();                                                        \
        p_.field = value;                                                                          \
        expect(&p_, LLM_ERR_INVALID, #field, message);                                             \
    } while (0)

#define ACCEPT(field, value)                                                                       \
    do {                                                                                           \
        llm_sampling_params_t p_ = valid();                                                        \
        p_.field = value;                                                                          \
        expect(&p_, LLM_OK, "", NULL);                                                             \
    } while (0)

static void zero_means_the_default(void **state)
{
    llm_sampling_params_t in = { .struct_size = sizeof in };
    lls_sample_params_t   p;

    assert_int_equal(lls_sample_params_check(&in, &limits, &p, NULL), LLM_OK);
    assert_true(p.temperature == 0 && p.top_p == 1 && p.min_p == 0 && p.repetition == 1);
    assert_true(p.presence == 0 && p.frequency == 0);
    assert_int_equal(p.top_k, 0);
    assert_int_equal(p.n, 1);
    assert_int_equal(p.max_tokens, 16);
    assert_int_equal(p.min_tokens, 0);
    assert_int_equal(p.n_logprobs + p.n_prompt_logprobs, 0);
}

static void scalars_have_vllms_ranges(void **state)
{
    ACCEPT(temperature, 0);
    ACCEPT(temperature, 2);
    REFUSE(temperature, 2.01f, "temperature must be in [0, 2], got 2.01");
    REFUSE(temperature, -0.1f, "temperature must be non-negative, got -0.1");
    REFUSE(temperature, NAN, "temperature must be a finite number, got");
    REFUSE(temperature, INFINITY, "temperature must be a finite number, got inf");
    ACCEPT(top_p, 1);
    ACCEPT(top_p, 1e-9f);
    REFUSE(top_p, 1.5f, "top_p must be in (0, 1], got 1.5");
    REFUSE(top_p, -1e-9f, "got -1e-09");
    REFUSE(top_p, NAN, NULL);
    ACCEPT(min_p, 1);
    REFUSE(min_p, 1.01f, "min_p must be in [0, 1]");
    REFUSE(min_p, -0.5f, NULL);
    REFUSE(min_p, NAN, NULL);
    ACCEPT(presence_penalty, -2);
    ACCEPT(presence_penalty, 2);
    REFUSE(presence_penalty, 2.5f, "presence_penalty must be in [-2, 2], got 2.5");
    REFUSE(presence_penalty, -2.5f, NULL);
    REFUSE(presence_penalty, NAN, NULL);
    ACCEPT(frequency_penalty, -2);
    REFUSE(frequency_penalty, 2.5f, NULL);
    REFUSE(frequency_penalty, -INFINITY, NULL);
    ACCEPT(repetition_penalty, 0.01f);
    ACCEPT(repetition_penalty, 50);
    REFUSE(repetition_penalty, -1, "repetition_penalty must be greater than zero, got -1");
    REFUSE(repetition_penalty, INFINITY, "repetition_penalty must be a finite number, got inf");
    REFUSE(repetition_penalty, -INFINITY, "a finite number");
    REFUSE(repetition_penalty, NAN, "a finite number");
    ACCEPT(n, 16384);
    REFUSE(n, 16385, "n must be at most 16384, got 16385");
    ACCEPT(min_tokens, 16);
    REFUSE(min_tokens, 17, "min_tokens must be less than or equal to max_tokens=16, got 17");
    ACCEPT(n_logprobs, 21);
    REFUSE(n_logprobs, 22,
           "Requested sample logprobs of 21, which is greater than max allowed: 20");
    REFUSE(n_logprobs, -1,
           "Requested sample logprobs of 100, which is greater than max allowed: 20");
    REFUSE(n_logprobs, -2, "n_logprobs must be non-negative or -1, got -2");
    ACCEPT(n_prompt_logprobs, 1);
    REFUSE(n_prompt_logprobs, 22,
           "Requested prompt logprobs of 21, which is greater than max allowed: 20");
    REFUSE(n_prompt_logprobs, INT32_MIN, NULL);
    ACCEPT(flags, 31);
    REFUSE(guide, "x", "guide_kind");
}

static void what_is_not_known_is_unsupported(void **state)
{
    llm_sampling_params_t p = valid();

    p.flags = 32;
    expect(&p, LLM_ERR_UNSUPPORTED, "flags", "0x20");
    p = valid();
    p.reserved0 = 1;
    expect(&p, LLM_ERR_UNSUPPORTED, "reserved0", "must be 0");
    p = valid();
    p.guide_kind = 7;
    expect(&p, LLM_ERR_UNSUPPORTED, "guide_kind", "not known");
    p.guide_kind = -1;
    expect(&p, LLM_ERR_UNSUPPORTED, "guide_kind", "not known");
}

static void guides_come_later(void **state)
{
    llm_sampling_params_t p = valid();

    for (p.guide_kind = 1; p.guide_kind <= 6; p.guide_kind++)
        expect(&p, LLM_ERR_UNSUPPORTED, "guide_kind", "not in this version");
}

static void greedy_is_one_completion_and_ignores_truncation(void **state)
{
    llm_sampling_params_t in = valid();
    lls_sample_params_t   p;

    in.temperature = 0;
    in.top_k = 5;
    in.top_p = 0.5f;
    in.min_p = 0.1f;
    assert_int_equal(lls_sample_params_check(&in, &limits, &p, NULL), LLM_OK);
    assert_true(p.temperature == 0 && p.top_k == 0 && p.top_p == 1 && p.min_p == 0);
    in.n = 2;
    expect(&in, LLM_ERR_INVALID, "n", "n must be 1 when using greedy sampling, got 2");
    in.temperature = 1e-7f;
    assert_int_equal(lls_sample_params_check(&in, &limits, &p, NULL), LLM_OK);
    assert_true(p.temperature == 0.01f && p.top_p == 0.5f);
    in.top_k = 100;                         /* as many as there are */
    assert_int_equal(lls_sample_params_check(&in, &limits, &p, NULL), LLM_OK);
    assert_int_equal(p.top_k, 0);
}

static void lengths_end_with_the_context(void **state)
{
    llm_sampling_params_t in = valid();
    lls_sample_params_t   p;

    in.max_tokens = UINT32_MAX;
    in.min_tokens = 100000;
    assert_int_equal(lls_sample_params_check(&in, &limits, &p, NULL), LLM_OK);
    assert_int_equal(p.max_tokens, 512);
    assert_int_equal(p.min_tokens, 512);
}

static void all_logprobs_need_room_in_the_option(void **state)
{
    lls_sample_limits_t   lim = limits;
    llm_sampling_params_t in = valid();
    lls_sample_params_t   p;

    lim.max_logprobs = -1;
    in.n_logprobs = -1;
    in.n_prompt_logprobs = 1;
    assert_int_equal(lls_sample_params_check(&in, &lim, &p, NULL), LLM_OK);
    assert_int_equal(p.n_logprobs, 101);
    assert_int_equal(p.n_prompt_logprobs, 1);
}

static void lists_are_checked_entry_by_entry(void **state)
{
    static const char *const      empty[] = { "a", "" }, *const null[] = { NULL };
    static const char *const      not_utf8[] = { "ok", "\xff" };
    static const int32_t          ids[] = { 0, 99 }, below[] = { -1 }, beyond[] = { 100 };
    static const llm_logit_bias_t bias[] = { { 3, NAN } }, out[] = { { 100, 1 } };
    static const llm_logit_bias_t endless[] = { { 3, INFINITY }, { 4, -INFINITY } };
    llm_sampling_params_t         p = valid();

#define LIST(field, count, items, number, status, message)                                         \
    do {                                                                                           \
        p = valid();                                                                               \
        p.field = items;                                                                           \
        p.count = number;                                                                          \
        expect(&p, status, status == LLM_OK ? "" : #field, message);                               \
    } while (0)
    LIST(stop, n_stop, empty, 1, LLM_OK, NULL);
    LIST(stop, n_stop, empty, 2, LLM_ERR_INVALID, "cannot contain an empty string");
    LIST(stop, n_stop, null, 1, LLM_ERR_INVALID, NULL);
    LIST(stop, n_stop, not_utf8, 2, LLM_ERR_INVALID, "not UTF-8");
    LIST(stop, n_stop, NULL, 1, LLM_ERR_INVALID, "NULL");
    LIST(bad_words, n_bad_words, empty, 2, LLM_ERR_INVALID, NULL);
    LIST(bad_words, n_bad_words, empty, 129, LLM_ERR_INVALID, "at most 128");
    LIST(stop_token_ids, n_stop_token_ids, ids, 2, LLM_OK, NULL);
    LIST(stop_token_ids, n_stop_token_ids, below, 1, LLM_ERR_INVALID, "token id -1");
    LIST(stop_token_ids, n_stop_token_ids, NULL, 1, LLM_ERR_INVALID, NULL);
    LIST(allowed_token_ids, n_allowed_token_ids, ids, 2, LLM_OK, NULL);
    LIST(allowed_token_ids, n_allowed_token_ids, beyond, 1, LLM_ERR_INVALID, "vocabulary of 100");
    LIST(allowed_token_ids, n_allowed_token_ids, ids, 1025, LLM_ERR_INVALID, "at most 1024");
    LIST(logit_bias, n_logit_bias, bias, 1, LLM_ERR_INVALID, "must be a number");
    LIST(logit_bias, n_logit_bias, endless, 2, LLM_OK, NULL);
    LIST(logit_bias, n_logit_bias, out, 1, LLM_ERR_INVALID, "token id 100");
    LIST(logit_bias, n_logit_bias, bias, SIZE_MAX, LLM_ERR_INVALID, "at most 1024");
    p = valid();
    p.stop = empty;
    p.n_stop = 1;
    p.flags = LLM_SAMPLE_NO_TEXT;
    expect(&p, LLM_ERR_INVALID, "stop", "need text");
}

/* ---- Options -------------------------------------------------------------------------------- */

static int32_t many_ids[200];

static void expect_options(const lls_sample_options_t *o, const lls_sample_limits_t *lim,
                           uint32_t n_logprobs, llm_status_t status, const char *param,
                           const char *message)
{
    lls_sample_params_t p = { .n_logprobs = n_logprobs, .n_prompt_logprobs = n_logprobs }, was = p;
    llm_error_t         err = { 0 };

    assert_int_equal(lls_sample_options_check(o, lim, &p, &err), status);
    assert_string_equal(err.param, param);
    if (message != NULL && strstr(err.message, message) == NULL)
        fail_msg("\"%s\" has no \"%s\"", err.message, message);
    if (status == LLM_OK && o->n_logprob_ids > 0)
        assert_int_equal(p.n_logprobs, 1 + o->n_logprob_ids);
    if (status == LLM_OK && o->n_logprob_ids == 0)
        assert_int_equal(p.n_logprobs, was.n_logprobs);
}

static void chosen_ids_take_the_place_of_the_likeliest(void **state)
{
    static const char     ids[] = "logprob_token_ids";
    static const int32_t  beyond[] = { 3, 100 };
    lls_sample_options_t  none = { 0 }, o = { .logprob_ids = many_ids, .n_logprob_ids = 128 };

    expect_options(&none, &limits, 0, LLM_OK, "", NULL);
    expect_options(&o, &limits, 0, LLM_OK, "", NULL);       /* more than max-logprobs, as vLLM */
    expect_options(&o, &limits, 129, LLM_OK, "", NULL);
    expect_options(&o, &limits, 6, LLM_ERR_INVALID, ids, "logprobs must equal the length: it is 5");
    o.n_logprob_ids = 129;
    expect_options(&o, &limits, 0, LLM_ERR_INVALID, ids,
                   "Requested logprob_token_ids of length 129, which is greater than max allowed: "
                   "128");
    o.n_logprob_ids = 0;
    expect_options(&o, &limits, 0, LLM_OK, "", NULL);
    expect_options(&o, &limits, 1, LLM_OK, "", NULL);
    expect_options(&o, &limits, 2, LLM_ERR_INVALID, ids, NULL);
    o = (lls_sample_options_t){ .logprob_ids = beyond, .n_logprob_ids = 2 };
    expect_options(&o, &limits, 0, LLM_ERR_INVALID, ids, "token id 100");
}

static void chosen_ids_of_the_prompt_are_few_and_distinct(void **state)
{
    static const char     ids[] = "prompt_logprob_token_ids";
    lls_sample_options_t  o = { .prompt_logprob_ids = many_ids, .n_prompt_logprob_ids = 20,
                                .prompt_logprob_start = 7 };
    lls_sample_limits_t   all = limits;
    lls_sample_params_t   p = { 0 };

    for (int32_t i = 0; i < 200; i++)
        many_ids[i] = i % 100;
    assert_int_equal(lls_sample_options_check(&o, &limits, &p, NULL), LLM_OK);
    assert_int_equal(p.n_prompt_logprobs, 21);
    assert_int_equal(p.prompt_logprob_start, 7);
    assert_int_equal(p.n_logprobs, 0);
    expect_options(&o, &limits, 21, LLM_OK, "", NULL);
    expect_options(&o, &limits, 20, LLM_ERR_INVALID, ids, "prompt_logprobs must equal the length");
    o.n_prompt_logprob_ids = 21;
    expect_options(&o, &limits, 0, LLM_ERR_INVALID, ids, "greater than max allowed: 20");
    all.max_logprobs = -1;
    expect_options(&o, &all, 0, LLM_OK, "", NULL);
    o.n_prompt_logprob_ids = 101;
    expect_options(&o, &all, 0, LLM_ERR_INVALID, ids, "greater than max allowed: 100");
    o.n_prompt_logprob_ids = 0;
    expect_options(&o, &limits, 0, LLM_ERR_INVALID, ids, "must not be empty");
    many_ids[4] = 2;
    o.n_prompt_logprob_ids = 5;
    expect_options(&o, &limits, 0, LLM_ERR_INVALID, ids, "duplicates");
    many_ids[4] = 4;
}

static void a_budget_needs_to_know_what_a_thought_is(void **state)
{
    lls_sample_options_t  o = { .think_limit = 1 };
    lls_sample_limits_t   thinks = limits;

    thinks.has_think = true;
    expect_options(&o, &thinks, 0, LLM_OK, "", NULL);
    expect_options(&o, &limits, 0, LLM_ERR_INVALID, "thinking_token_budget",
                   "thinking_token_budget is set but reasoning-config is not configured");
}

/* ---- Packing ----------------------------------------------------------------------------------
 */

static const int32_t          eos[] = { 7, 8 }, stop_ids[] = { 8, 9 }, allowed[] = { 1, 2, 3 };
static const int32_t          bad_tokens[] = { 4, 5, 6 };
static const int32_t          ids_of_sample[] = { 11, 12, 13, 14, 15 }, ids_of_prompt[] = { 16 };
static const int32_t          think_start[] = { 21, 22 }, think_end[] = { 23, 24, 25 };
static const uint32_t         bad_lens[] = { 2, 1 };
static const llm_logit_bias_t biases[] = { { 10, -500 }, { 11, 0.5f } };

static uint32_t packed(uint32_t *words, lls_sample_params_t *p)
{
    llm_sampling_params_t in = valid();
    lls_sample_extra_t    extra = {.seed = 0x123456789abcdefu,
                                   .callback = 3,
                                   .eos = eos,
                                   .n_eos = 2,
                                   .bad_tokens = bad_tokens,
                                   .bad_lens = bad_lens,
                                   .n_bad = 2,
                                   .think_start = think_start,
                                   .n_think_start = 2,
                                   .think_end = think_end,
                                   .n_think_end = 3};
    lls_sample_options_t  options = {.logprob_ids = ids_of_sample,
                                     .n_logprob_ids = 5,
                                     .prompt_logprob_ids = ids_of_prompt,
                                     .n_prompt_logprob_ids = 1,
                                     .prompt_logprob_start = 3,
                                     .think_limit = 9};
    lls_sample_limits_t   lim = limits;
    uint32_t              n;

    in.temperature = 0.5f;
    in.top_p = 0.25f;
    in.top_k = 11;
    in.min_tokens = 4;
    in.n_logprobs = 6;
    in.stop_token_ids = stop_ids;
    in.n_stop_token_ids = 2;
    in.allowed_token_ids = allowed;
    in.n_allowed_token_ids = 3;
    in.logit_bias = biases;
    in.n_logit_bias = 2;
    assert_int_equal(lls_sample_params_check(&in, &limits, p, NULL), LLM_OK);
    lim.has_think = true;
    assert_int_equal(lls_sample_options_check(&options, &lim, p, NULL), LLM_OK);
    assert_int_equal(lls_sample_extra_check(p, &extra, NULL), LLM_OK);
    n = lls_sample_pack_words(p, &extra);
    assert_true(n <= LLS_SAMPLE_MAX_WORDS);
    lls_sample_pack(p, &extra, words);
    return n;
}

static void what_is_packed_is_unpacked(void **state)
{
    uint32_t            words[LLS_SAMPLE_MAX_WORDS], n;
    lls_sample_params_t p;
    lls_sample_view_t   v;

    n = packed(words, &p);
    assert_true(lls_sample_unpack(words, n, 100, &v));
    assert_true(v.temperature == 0.5f && v.top_p == 0.25f && v.top_k == 11 && v.min_tokens == 4);
    assert_true(v.n_logprobs == 6 && v.n_prompt_logprobs == 2 && v.callback == 3);
    assert_true(v.seed == 0x123456789abcdefu && v.repetition == 1);
    assert_true(v.n_banned == 3 && v.banned[0] == 7 && v.banned[2] == 9);
    assert_true(v.n_allowed == 3 && v.allowed[2] == 3);
    assert_true(v.n_bias == 2 && v.bias[0].token == 10 && v.bias[0].bias == -100);
    assert_true(v.bias[1].bias == 0.5f);
    assert_true(v.n_bad == 2 && v.bad_lens[0] == 2 && v.bad_tokens[2] == 6);
    assert_true(v.n_logprob_ids == 5 && v.logprob_ids[0] == 11 && v.logprob_ids[4] == 15);
    assert_true(v.n_prompt_logprob_ids == 1 && v.prompt_logprob_ids[0] == 16);
    assert_true(v.prompt_logprob_start == 3 && v.think_limit == 9);
    assert_true(v.n_think_start == 2 && v.think_start[1] == 22);
    assert_true(v.n_think_end == 3 && v.think_end[0] == 23 && v.think_end[2] == 25);
    assert_true(lls_sample_wants_history(&v));
}

/* Words may come from another process. */
static void damaged_words_are_refused_or_harmless(void **state)
{
    uint32_t            good[LLS_SAMPLE_MAX_WORDS], words[LLS_SAMPLE_MAX_WORDS], n;
    lls_sample_params_t p;
    lls_sample_view_t   v;

    n = packed(good, &p);
    for (uint32_t cut = 0; cut < n; cut++)
        assert_false(lls_sample_unpack(good, cut, 100, &v));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t bit = 0; bit < 32; bit++) {
            memcpy(words, good, n * sizeof *words);
            words[i] ^= 1u << bit;
            if (!lls_sample_unpack(words, n, 100, &v))
                continue;
            for (uint32_t j = 0; j < v.n_banned + v.n_allowed; j++)
                assert_in_range(v.banned[j], 0, 99);
            for (uint32_t j = 0; j < v.n_logprob_ids + v.n_prompt_logprob_ids; j++)
                assert_in_range(v.logprob_ids[j], 0, 99);
            for (uint32_t j = 0; j < v.n_think_start + v.n_think_end; j++)
                assert_in_range(v.think_start[j], 0, 99);
            assert_ptr_equal(v.think_end + v.n_think_end, words + n);
            assert_int_equal(v.n_logprobs, v.n_logprob_ids > 0 ? 1 + v.n_logprob_ids
                                                               : v.n_logprobs);
            assert_int_equal(v.think_limit > 0, v.n_think_end > 0);
            for (uint32_t j = 0; j < v.n_bias; j++)
                assert_in_range(v.bias[j].token, 0, 99);
            assert_true((const uint32_t *)v.bad_tokens <= words + n);
        }
    words[0] = good[0];
    assert_false(lls_sample_unpack(good, n, 5, &v));    /* ids beyond a smaller vocabulary */
}

static void limits_that_need_the_tokenizer(void **state)
{
    static uint32_t     lens[LLS_SAMPLE_MAX_BAD + 1];
    static int32_t      stops[128], no_stop = 999;
    lls_sample_params_t p = { .min_tokens = 1, .stop_token_ids = stops, .n_stop_token_ids = 128 };
    lls_sample_extra_t  extra = { .eos = &no_stop, .n_eos = 1, .bad_lens = lens };
    llm_error_t         err;

    for (int32_t i = 0; i < 128; i++)
        stops[i] = i;
    assert_int_equal(lls_sample_extra_check(&p, &extra, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "stop_token_ids");
    extra.eos = &stops[5];          /* one of the stop ids counts once */
    assert_int_equal(lls_sample_extra_check(&p, &extra, &err), LLM_OK);
    extra.eos = &no_stop;
    p.min_tokens = 0;
    assert_int_equal(lls_sample_extra_check(&p, &extra, &err), LLM_OK);
    lens[0] = 1025;
    extra.n_bad = 1;
    assert_int_equal(lls_sample_extra_check(&p, &extra, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "bad_words");
    lens[0] = 1;
    extra.n_bad = LLS_SAMPLE_MAX_BAD + 1;
    assert_int_equal(lls_sample_extra_check(&p, &extra, &err), LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "129 sequences after tokenization, at most 128"));
}

static void seeds_of_completions(void **state)
{
    lls_sample_params_t p = { .seed = 5, .flags = LLM_SAMPLE_SEEDED };

    assert_true(lls_sample_seed(&p, 1000, 7, 2) == 7);
    p.flags = 0;
    assert_true(lls_sample_seed(&p, 1000, 7, 0) == 1007);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_means_the_default),
        cmocka_unit_test(scalars_have_vllms_ranges),
        cmocka_unit_test(what_is_not_known_is_unsupported),
        cmocka_unit_test(guides_come_later),
        cmocka_unit_test(greedy_is_one_completion_and_ignores_truncation),
        cmocka_unit_test(lengths_end_with_the_context),
        cmocka_unit_test(all_logprobs_need_room_in_the_option),
        cmocka_unit_test(lists_are_checked_entry_by_entry),
        cmocka_unit_test(chosen_ids_take_the_place_of_the_likeliest),
        cmocka_unit_test(chosen_ids_of_the_prompt_are_few_and_distinct),
        cmocka_unit_test(a_budget_needs_to_know_what_a_thought_is),
        cmocka_unit_test(what_is_packed_is_unpacked),
        cmocka_unit_test(damaged_words_are_refused_or_harmless),
        cmocka_unit_test(limits_that_need_the_tokenizer),
        cmocka_unit_test(seeds_of_completions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
