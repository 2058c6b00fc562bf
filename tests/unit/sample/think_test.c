/* SPDX-License-Identifier: Apache-2.0 */
/* The budget of thoughts against a search of the whole row for every token. */
#include "unit/test.h"

#include <math.h>

#include "base/philox.h"
#include "sample/sampler.h"
#include "sample/think.h"

#define MAX_N 400

typedef struct markers {
    int32_t  start[4], end[4];
    uint32_t n_start, n_end;
} markers_t;

static const markers_t all_markers[] = {
    { { 1 }, { 2 }, 1, 1 },
    { { 1, 2 }, { 3 }, 2, 1 },
    { { 1 }, { 2, 3, 1 }, 1, 3 },           /* the end ends as the start begins */
    { { 1, 1 }, { 1, 2, 1, 3 }, 2, 4 },     /* overlaps with itself and with the start */
    { { 2, 1 }, { 1, 1, 2 }, 2, 3 },
};

static lls_sample_view_t view_of(const markers_t *m, uint32_t budget)
{
    return (lls_sample_view_t){ .repetition = 1, .top_p = 1, .think_limit = budget + 1,
                                .think_start = m->start, .n_think_start = m->n_start,
                                .think_end = m->end, .n_think_end = m->n_end };
}

/* The last place where the sequence stands, or -1. */
static int64_t last_of(const int32_t *tokens, uint32_t n, const int32_t *s, uint32_t n_s)
{
    for (int64_t i = (int64_t)n - n_s; i >= 0; i--)
        if (memcmp(tokens + i, s, n_s * sizeof *s) == 0)
            return i;
    return -1;
}

static uint32_t slow_next(const markers_t *m, uint32_t budget, const int32_t *tokens, uint32_t n)
{
    int64_t  start = last_of(tokens, n, m->start, m->n_start);
    int64_t  end = last_of(tokens, n, m->end, m->n_end);
    uint32_t k;

    if (start < 0 || start <= end || n - ((uint64_t)start + m->n_start) < budget)
        return 0;
    for (k = m->n_end - 1; k > 0; k--)
        if (k <= n && memcmp(tokens + n - k, m->end, k * sizeof *tokens) == 0)
            break;
    return (uint32_t)m->end[k] + 1;
}

static uint32_t rnd(uint32_t i, uint32_t j)
{
    return lls_philox(1, (lls_philox_t){ { i, j, 0, 0 } }).w[0];
}

static void every_token_equals_the_search_of_the_whole_row(void **state)
{
    int32_t  tokens[MAX_N];
    uint32_t n_forced = 0;

    for (uint32_t round = 0; round < 500; round++) {
        const markers_t  *m = &all_markers[round % 5];
        uint32_t          budget = rnd(round, 1000) % 12, n_prompt = 1 + rnd(round, 1001) % 40;
        lls_sample_view_t v = view_of(m, budget);
        lls_think_t       t = { 0 };

        for (uint32_t n = 0; n < 200; n++) {
            if (n >= n_prompt) {            /* mostly it obeys */
                uint32_t forced = lls_think_next(&t, &v, tokens, n);
                lls_think_t fresh = { 0 };
                assert_int_equal(forced, slow_next(m, budget, tokens, n));
                assert_int_equal(forced, lls_think_next(&fresh, &v, tokens, n));
                n_forced += forced > 0;
                if (forced > 0 && rnd(round, n) % 16 > 0) {
                    tokens[n] = (int32_t)forced - 1;
                    continue;
                }
            }
            tokens[n] = (int32_t)(rnd(n, round) % 5);
        }
    }
    assert_true(n_forced > 5000);
}

static void a_thought_of_the_prompt_counts(void **state)
{
    static const int32_t tokens[] = { 7, 1, 8, 8, 8, 8 };
    lls_sample_view_t    v = view_of(&all_markers[0], 4);
    lls_think_t          t = { 0 };

    for (uint32_t n = 0; n < 6; n++)
        assert_int_equal(lls_think_next(&t, &v, tokens, n), 0);
    assert_int_equal(lls_think_next(&t, &v, tokens, 6), 2 + 1);
    v.think_limit = 0;
    assert_int_equal(lls_think_next(&t, &v, tokens, 6), 0);
}

static void a_budget_of_nothing_ends_at_once(void **state)
{
    static const int32_t tokens[] = { 1, 2, 3, 1 };
    lls_sample_view_t    v = view_of(&all_markers[2], 0);
    lls_think_t          t = { 0 };

    assert_int_equal(lls_think_next(&t, &v, tokens, 1), 2 + 1);
    assert_int_equal(lls_think_next(&t, &v, tokens, 2), 3 + 1);
    assert_int_equal(lls_think_next(&t, &v, tokens, 3), 1 + 1);
    /* the end's last token is a start as well, and it stands behind where the end began */
    assert_int_equal(lls_think_next(&t, &v, tokens, 4), 2 + 1);
}

/* A long output is searched once: this would take hours if each token searched it all. */
static void a_long_row_costs_one_walk(void **state)
{
    enum { N = 1 << 22 };
    int32_t          *tokens = malloc(N * sizeof *tokens);
    lls_sample_view_t v = view_of(&all_markers[3], N);
    lls_think_t       t = { 0 };

    for (uint32_t n = 0; n < N; n++) {
        tokens[n] = n < 2 ? 1 : 5;
        assert_int_equal(lls_think_next(&t, &v, tokens, n), 0);
    }
    v.think_limit = N - 2;
    assert_int_equal(lls_think_next(&t, &v, tokens, N), 1 + 1);
    free(tokens);
}

/* Bans, biases and truncation are no match for it; of the processed values it has all. */
static void a_forced_token_wins(void **state)
{
    enum { V = 300 };
    static const int32_t          allowed[] = { 3, 4 }, banned[] = { 9 }, bad[] = { 9 };
    static const uint32_t         bad_lens[] = { 1 };
    static const llm_logit_bias_t bias[] = { { 9, -100 }, { 4, 100 } };
    static const int32_t          tokens[] = { 1 };
    void                         *mem = aligned_alloc(64, lls_sample_scratch_bytes(V));
    lls_sample_scratch_t          s;
    float                         x[V];

    lls_sample_scratch_init(&s, mem, V, NULL);
    for (uint32_t round = 0; round < 24; round++) {
        lls_sample_row_t row = { .params = view_of(&all_markers[0], 0), .tokens = tokens,
                                 .n_prompt = 1, .n_tokens = 1, .position = 1, .forced = 9 + 1 };
        lls_sample_out_t out = { LLS_ROW_OK, LLS_NONE };

        row.params.temperature = round % 3 == 0 ? 0 : round % 3 == 1 ? 0.01f : 2;
        row.params.top_k = round % 2 && round % 3 > 0 ? 5 : 0;
        row.params.top_p = round % 5 > 2 && round % 3 > 0 ? 0.9f : 1;
        row.params.seed = round;
        row.params.min_tokens = 5;
        row.params.n_banned = row.params.n_bad = 1;
        row.params.banned = banned;
        row.params.bad_tokens = bad;
        row.params.bad_lens = bad_lens;
        row.params.n_allowed = row.params.n_bias = 2;
        row.params.allowed = allowed;
        row.params.bias = bias;
        for (uint32_t i = 0; i < V; i++)
            x[i] = 4 * lls_sample_noise(1, round, i);
        lls_sample_row_constrain(&row, x, &s);
        lls_sample_row_penalise(&row, x, &s);
        assert_true(x[9] == LLS_SAMPLE_FORCED);
        if (round % 4 == 0)
            lls_sample_row_truncate(&row, x, &out, &s);
        assert_int_equal(lls_sample_row_draw(&row, x, &out, &s), 9);
    }
    free(mem);
}

static void usable_logits(void **state)
{
    float x[5] = { -INFINITY, -INFINITY, -3, -INFINITY, -INFINITY };

    assert_true(lls_sample_row_is_usable(x, 5));
    assert_false(lls_sample_row_is_usable(x, 2));
    x[4] = NAN;
    assert_false(lls_sample_row_is_usable(x, 5));
    assert_true(lls_sample_row_is_usable(x, 4));
    x[4] = INFINITY;
    assert_false(lls_sample_row_is_usable(x, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_token_equals_the_search_of_the_whole_row),
        cmocka_unit_test(a_thought_of_the_prompt_counts),
        cmocka_unit_test(a_budget_of_nothing_ends_at_once),
        cmocka_unit_test(a_long_row_costs_one_walk),
        cmocka_unit_test(a_forced_token_wins),
        cmocka_unit_test(usable_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
