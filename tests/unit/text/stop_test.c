/* SPDX-License-Identifier: Apache-2.0 */
#include "text_test.h"

#include "text/stop.h"

static lls_stop_t make(const char *const *strings, size_t n, bool include, uint32_t min_tokens)
{
    lls_stop_t  s;
    llm_error_t err;

    assert_int_equal(lls_stop_init(&s, plain_mem(), strings, n, include, min_tokens, &err), LLM_OK);
    return s;
}

static void the_match_that_ends_first_wins(void **state)
{
    const char *const strings[] = { "cdefg", "de", "e" };
    lls_stop_t        s = make(strings, 3, false, 0);
    size_t            keep, which;

    (void)state;
    assert_true(lls_stop_find(&s, "abcdefgh", 0, 8, 1, &keep, &which));
    assert_int_equal(which, 1);                 /* "de" and "e" end together: the first of them */
    assert_int_equal(keep, 3);
    assert_false(lls_stop_find(&s, "abcd", 0, 4, 1, &keep, &which));
    lls_stop_deinit(&s);
}

static void only_matches_with_new_text_count(void **state)
{
    const char *const strings[] = { "ab" };
    lls_stop_t        s = make(strings, 1, false, 0);
    size_t            keep, which;

    (void)state;
    assert_false(lls_stop_find(&s, "abx", 2, 3, 1, &keep, &which));
    assert_true(lls_stop_find(&s, "xab", 2, 3, 1, &keep, &which));
    assert_int_equal(keep, 1);
    assert_false(lls_stop_find(&s, "ab", 2, 2, 1, &keep, &which));
    lls_stop_deinit(&s);
}

static void min_tokens_and_include(void **state)
{
    const char *const strings[] = { "b" };
    lls_stop_t        s = make(strings, 1, true, 3);
    size_t            keep, which;

    (void)state;
    assert_false(lls_stop_find(&s, "ab", 0, 2, 3, &keep, &which));
    assert_true(lls_stop_find(&s, "abc", 1, 3, 4, &keep, &which));
    assert_int_equal(keep, 2);
    assert_int_equal(lls_stop_visible(&s, "abc", 3), 3);        /* nothing is held back */
    lls_stop_deinit(&s);
}

static void characters_are_held_back(void **state)
{
    const char *const strings[] = { "\xc3\xa9\xc3\xa9\xc3\xa9", "x" };
    lls_stop_t        s = make(strings, 2, false, 0);

    (void)state;
    assert_int_equal(s.hold_chars, 2);
    assert_int_equal(lls_stop_visible(&s, "ab\xe6\x97\xa5z", 6), 2);
    assert_int_equal(lls_stop_visible(&s, "a", 1), 0);
    lls_stop_deinit(&s);
}

static void bad_strings_are_refused(void **state)
{
    const char *const empty[] = { "a", "" }, *const bad[] = { "\xff" };
    lls_stop_t        s;
    llm_error_t       err;

    (void)state;
    assert_int_equal(lls_stop_init(&s, plain_mem(), empty, 2, false, 0, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "stop");
    assert_int_equal(lls_stop_init(&s, plain_mem(), bad, 1, false, 0, &err), LLM_ERR_INVALID);
    assert_int_equal(plain_mem()->held, 0);
}

static void failed_allocations_lose_nothing(void **state)
{
    const char *const strings[] = { "a", "b" };
    llm_status_t      st = LLM_ERR_NO_MEMORY;

    (void)state;
    for (uint64_t n = 1; st != LLM_OK; n++) {
        test_alloc_t    a = { .fail_at = n };
        llm_allocator_t hook = test_allocator(&a);
        lls_mem_t       mem;
        lls_stop_t      s;
        llm_error_t     err;

        lls_mem_init(&mem, &hook);
        st = lls_stop_init(&s, &mem, strings, 2, false, 0, &err);
        lls_stop_deinit(&s);
        assert_int_equal(a.live_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_match_that_ends_first_wins),
        cmocka_unit_test(only_matches_with_new_text_count),
        cmocka_unit_test(min_tokens_and_include),
        cmocka_unit_test(characters_are_held_back),
        cmocka_unit_test(bad_strings_are_refused),
        cmocka_unit_test(failed_allocations_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
