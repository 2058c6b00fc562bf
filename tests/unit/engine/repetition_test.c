/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include "base/num.h"
#include "engine/repetition.h"

/* As it is defined: the last size tokens stand min_count times at the end. */
static bool repeats(const int32_t *tokens, size_t n, const lls_repetition_params_t *p)
{
    for (size_t size = lls_max_u32(p->min_pattern_size, 1); size <= p->max_pattern_size; size++) {
        size_t i = 0;
        if (size * p->min_count > n)
            continue;
        while (i < size * (p->min_count - 1) && tokens[n - 1 - i] == tokens[n - 1 - i - size])
            i++;
        if (i == size * (p->min_count - 1))
            return true;
    }
    return false;
}

static void it_is_what_the_definition_says_at_every_token(void **state)
{
    lls_mem_t mem;
    uint32_t  x = 5, n_found = 0;

    lls_mem_init(&mem, NULL);
    for (uint32_t round = 0; round < 3000; round++) {
        int32_t                 tokens[60];
        lls_repetition_t        r;
        lls_repetition_params_t p;
        x = x * 1664525u + 1013904223u;
        p = (lls_repetition_params_t){ .max_pattern_size = 1 + (x >> 8) % 9,
                                       .min_pattern_size = (x >> 12) % 4,
                                       .min_count = 2 + (x >> 20) % 4 };
        p.min_pattern_size = lls_min_u32(p.min_pattern_size, p.max_pattern_size);
        assert_int_equal(lls_repetition_init(&r, &mem, &p, 60, NULL), LLM_OK);
        for (size_t n = 1; n <= 60; n++) {
            bool want, got;
            x = x * 1664525u + 1013904223u;
            tokens[n - 1] = (int32_t)((x >> 16) % (2 + round % 3));
            if (n > 7 && (x >> 24) % 4 != 0)
                tokens[n - 1] = tokens[n - 1 - 1 - round % 7];
            want = repeats(tokens, n, &p);
            got = lls_repetition_push(&r, tokens, n);
            if (want != got)
                fail_msg("round %u, token %zu: %d, not %d", round, n, got, want);
            n_found += got;
        }
        lls_repetition_deinit(&r, &mem);
    }
    assert_true(n_found > 1000);
}

static void sizes_that_cannot_repeat_take_no_memory(void **state)
{
    lls_repetition_params_t p = { .max_pattern_size = UINT32_MAX, .min_count = 3 };
    int32_t                 tokens[12] = { 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4 };
    test_alloc_t            t = { 0 };
    llm_allocator_t         hook = test_allocator(&t);
    lls_mem_t               mem;
    lls_repetition_t        r;
    llm_error_t             err;

    lls_mem_init(&mem, &hook);
    assert_int_equal(lls_repetition_init(&r, &mem, &p, 12, &err), LLM_OK);
    assert_int_equal(r.max_size, 4);
    for (size_t n = 1; n <= 12; n++)
        assert_int_equal(lls_repetition_push(&r, tokens, n), n == 12);
    lls_repetition_deinit(&r, &mem);
    p.min_pattern_size = 5;
    assert_int_equal(lls_repetition_init(&r, &mem, &p, 12, &err), LLM_OK);
    assert_null(r.streak);
    assert_false(lls_repetition_push(&r, tokens, 12));
    p = (lls_repetition_params_t){ 0 };
    assert_int_equal(lls_repetition_init(&r, &mem, &p, 12, &err), LLM_OK);
    assert_false(lls_repetition_push(&r, tokens, 12));
    p = (lls_repetition_params_t){ .max_pattern_size = 3, .min_count = 2 };
    t.n_calls = 0;
    t.fail_at = 1;
    assert_int_equal(lls_repetition_init(&r, &mem, &p, 12, &err), LLM_ERR_NO_MEMORY);
    lls_repetition_deinit(&r, &mem);
    assert_int_equal(t.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_what_the_definition_says_at_every_token),
        cmocka_unit_test(sizes_that_cannot_repeat_take_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
