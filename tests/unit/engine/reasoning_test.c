/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "engine/reasoning.h"
#include "sample/params.h"

#define VOCAB 4600u

static lls_mem_t        mem;
static test_alloc_t     counts;
static lls_tokenizer_t *tokenizer;

static int set_up(void **state)
{
    llm_allocator_t hook = test_allocator(&counts);
    llm_error_t     err;

    lls_mem_init(&mem, &hook);
    if (lls_tokenizer_open(&mem, TEST_DIR "/golden/text/added.json", &tokenizer, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int tear_down(void **state)
{
    lls_tokenizer_close(tokenizer);
    assert_int_equal(counts.live_bytes, 0);
    return 0;
}

static void expect_ids(const char *text, const int32_t *ids, uint32_t n)
{
    int32_t *expected;
    size_t   n_expected;

    assert_int_equal(lls_tokenizer_encode(tokenizer, &mem, text, strlen(text),
                                          LLM_ENCODE_NO_SPECIAL, &expected, &n_expected, NULL),
                     LLM_OK);
    assert_int_equal(n, n_expected);
    assert_memory_equal(ids, expected, n * sizeof *ids);
    lls_free(&mem, expected);
}

static void strings_are_tokenised_without_bos(void **state)
{
    lls_reasoning_t r = { 0 };
    llm_error_t     err;

    if (lls_reasoning_open(&r, &mem, "{\"reasoning_start_str\": \"[W]\", \"reasoning_end_str\": "
                           "\"that is all [R]\", \"reasoning_parser\": null}", tokenizer, VOCAB,
                           &err) != LLM_OK)
        fail_msg("%s", err.message);
    assert_int_equal(r.n_start, 1);
    assert_int_equal(r.start[0], 4508);
    assert_true(r.n_end > 5 && r.end[r.n_end - 1] == 4507);
    expect_ids("that is all [R]", r.end, r.n_end);
    lls_reasoning_deinit(&r);
}

static void ids_need_no_tokenizer(void **state)
{
    lls_reasoning_t r = { 0 };

    assert_int_equal(lls_reasoning_open(&r, &mem, "{\"reasoning_start_token_ids\": [4, 5], "
                                        "\"reasoning_end_token_ids\": [6], "
                                        "\"reasoning_end_str\": \"\"}", NULL, 7, NULL), LLM_OK);
    assert_true(r.n_start == 2 && r.start[1] == 5 && r.n_end == 1 && r.end[0] == 6);
    lls_reasoning_deinit(&r);
}

static void nothing_said_is_nothing_there(void **state)
{
    static const char *const texts[] = { NULL, "{}", "{\"reasoning_parser\": \"\"}",
                                         "{\"reasoning_start_str\": \"\"}" };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lls_reasoning_t r = { 0 };
        assert_int_equal(lls_reasoning_open(&r, &mem, texts[i], tokenizer, VOCAB, NULL), LLM_OK);
        assert_true(r.start == NULL && r.end == NULL && r.n_start == 0 && r.n_end == 0);
        lls_reasoning_deinit(&r);
    }
}

static void what_is_wrong_is_named(void **state)
{
    static const struct { const char *text, *message; llm_status_t status; } cases[] = {
        { "{\"reasoning_begin_str\": \"a\"}", "no key \"reasoning_begin_str\"", LLM_ERR_INVALID },
        { "{\"reasoning_parser\": \"qwen3\"}", "qwen3 is not in this version",
          LLM_ERR_UNSUPPORTED },
        { "{\"reasoning_start_str\": 5}", "reasoning_start_str must be a string", LLM_ERR_INVALID },
        { "{\"reasoning_start_str\": \"[W]\"}", "begins but not how it ends", LLM_ERR_INVALID },
        { "{\"reasoning_end_str\": \"[W]\"}", "ends but not how it begins", LLM_ERR_INVALID },
        { "{\"reasoning_start_token_ids\": 5}", "array of token ids", LLM_ERR_INVALID },
        { "{\"reasoning_start_token_ids\": [1.5]}", "array of token ids", LLM_ERR_INVALID },
        { "{\"reasoning_start_token_ids\": [-1]}", "array of token ids", LLM_ERR_INVALID },
        { "{\"reasoning_start_token_ids\": []}", "is 0 tokens, it must be 1 to 64",
          LLM_ERR_INVALID },
        { "{\"reasoning_start_token_ids\": [4600]}", "token id 4600", LLM_ERR_INVALID },
        { "{\"reasoning_start_str\": \"0123456789012345678901234567890123456789012345678901234567"
          "890123456789\"}", "tokens, it must be 1 to 64", LLM_ERR_INVALID },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lls_reasoning_t r = { 0 };
        llm_error_t     err = { 0 };
        assert_int_equal(lls_reasoning_open(&r, &mem, cases[i].text, tokenizer, VOCAB, &err),
                         cases[i].status);
        assert_string_equal(err.param, "reasoning-config");
        if (strstr(err.message, cases[i].message) == NULL)
            fail_msg("\"%s\" has no \"%s\"", err.message, cases[i].message);
        lls_reasoning_deinit(&r);
    }
}

static void strings_without_a_tokenizer_are_refused(void **state)
{
    lls_reasoning_t r = { 0 };
    llm_error_t     err;

    assert_int_equal(lls_reasoning_open(&r, &mem, "{\"reasoning_start_str\": \"a\", "
                                        "\"reasoning_end_str\": \"b\"}", NULL, VOCAB, &err),
                     LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "skip-tokenizer-init"));
    lls_reasoning_deinit(&r);
}

static void every_failed_allocation_is_survived(void **state)
{
    llm_status_t st = LLM_ERR_NO_MEMORY;
    int64_t      idle = counts.live_bytes;

    for (uint64_t n = 1; st != LLM_OK; n++) {
        lls_reasoning_t r = { 0 };
        counts.n_calls = 0;
        counts.fail_at = n;
        st = lls_reasoning_open(&r, &mem, "{\"reasoning_start_token_ids\": [4], "
                                "\"reasoning_end_str\": \"b\"}", tokenizer, VOCAB, NULL);
        assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
        lls_reasoning_deinit(&r);
        assert_int_equal(counts.live_bytes, idle);
    }
    counts.fail_at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_tokenised_without_bos),
        cmocka_unit_test(ids_need_no_tokenizer),
        cmocka_unit_test(nothing_said_is_nothing_there),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(strings_without_a_tokenizer_are_refused),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
