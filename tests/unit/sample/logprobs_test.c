/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>

#include "base/philox.h"
#include "sample/logprobs.h"

#define V 5003u

static lls_sample_scratch_t scratch;
static float                x[V];
static lls_logprob_t        out[V + 1];

static int set_up(void **state)
{
    *state = aligned_alloc(64, lls_sample_scratch_bytes(V));
    lls_sample_scratch_init(&scratch, *state, V, NULL);
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static float noise(uint32_t i) { return lls_sample_noise(3, i / V, i % V); }

static double log_sum(void)
{
    double max = -INFINITY, sum = 0;

    for (uint32_t i = 0; i < V; i++)
        max = fmax(max, x[i]);
    for (uint32_t i = 0; i < V; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

static void check_entries(int32_t token, uint32_t n)
{
    double   sum = log_sum();
    uint32_t rank = 0;

    for (uint32_t i = 0; i < V; i++)
        rank += x[i] >= x[token];
    assert_int_equal(out[0].token, token);
    assert_int_equal(out[0].rank, rank);
    for (uint32_t i = 0; i < n; i++)
        if (x[out[i].token] == -INFINITY)
            assert_true(out[i].logprob == -INFINITY);
        else
            assert_true(fabs((double)out[i].logprob - ((double)x[out[i].token] - sum)) <
                        2e-6 + 1e-7 * fabs((double)out[i].logprob));
    for (uint32_t i = 1; i < n; i++) {
        uint32_t larger = 0;                /* entry i is the i-th in the order of (logit, id) */
        for (uint32_t j = 0; j < V; j++)
            larger +=
                x[j] > x[out[i].token] || (x[j] == x[out[i].token] && (int32_t)j < out[i].token);
        assert_int_equal(larger, i - 1);
        assert_int_equal(out[i].rank, i);
    }
}

static void entries_equal_the_double_reference(void **state)
{
    static const uint32_t ks[] = { 0, 1, 5, 20, 300, V };

    for (uint32_t round = 0; round < 18; round++) {
        lls_logprob_job_t job = { .logits = x, .token = (int32_t)(round * 271), .out = out,
                                  .n_entries = 1 + ks[round % 6] };
        for (uint32_t i = 0; i < V; i++) {
            x[i] = 2 * noise(round * V + i);
            if (round / 6 == 1)
                x[i] = roundf(x[i]);        /* ties */
            if (round / 6 == 2 && i % 3)
                x[i] = -INFINITY;
        }
        x[job.token] += round % 2;
        lls_logprobs_row(&job, &scratch);
        assert_int_equal(job.status, LLS_ROW_OK);
        check_entries(job.token, lls_min_u32(job.n_entries, 400));
    }
}

static void a_row_without_numbers_has_no_entries(void **state)
{
    lls_logprob_job_t job = { .logits = x, .token = 3, .out = out, .n_entries = 4 };

    for (uint32_t i = 0; i < V; i++)
        x[i] = 1;
    x[V - 1] = NAN;
    lls_logprobs_row(&job, &scratch);
    assert_int_equal(job.status, LLS_ROW_NAN);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(out[i].token == -1 && out[i].rank == 0);
}

static void equal_logits_share_the_probability(void **state)
{
    lls_logprob_job_t job = { .logits = x, .token = 9, .out = out, .n_entries = 3 };

    for (uint32_t i = 0; i < V; i++)
        x[i] = -7.5f;
    lls_logprobs_row(&job, &scratch);
    assert_int_equal(out[0].rank, V);
    assert_int_equal(out[1].token, 0);
    assert_int_equal(out[2].token, 1);
    assert_true(fabs((double)out[2].logprob + log(V)) < 1e-6);
}

/* ---- The other modes and chosen tokens ------------------------------------------------------- */

/* The row that V2 would take its snapshot of: over the temperature, with much cut away. */
static void processed_values_are_of_the_scaled_survivors(void **state)
{
    static const float ts[] = { 0, 1, 0.01f, 0.7f, 2 };
    static float       kept[V];

    for (uint32_t round = 0; round < 10; round++) {
        lls_logprob_job_t job = { .logits = kept, .token = (int32_t)(round * 333), .out = out,
                                  .n_entries = 41, .temperature = ts[round / 2],
                                  .of_logits = round % 2 == 1 };
        float             t = job.temperature == 0 ? 1 : job.temperature;

        for (uint32_t i = 0; i < V; i++) {
            kept[i] = 2 * noise(round * V + i);
            if (i % 200 != 0 && i != (uint32_t)job.token)
                kept[i] = -INFINITY;
            x[i] = kept[i] / t;
        }
        lls_logprobs_row(&job, &scratch);
        assert_int_equal(job.status, LLS_ROW_OK);
        if (!job.of_logits) {
            check_entries(job.token, job.n_entries);
            continue;
        }
        for (uint32_t i = 0; i < job.n_entries; i++)    /* to the bit */
            assert_true(out[i].logprob == x[out[i].token]);
        assert_true(out[40].logprob == -INFINITY);      /* 26 are left */
    }
}

static void chosen_tokens_come_in_their_order_with_their_ranks(void **state)
{
    static int32_t ids[128];

    for (uint32_t round = 0; round < 4; round++) {
        lls_logprob_job_t job = { .logits = x, .token = 17, .out = out, .n_entries = 129,
                                  .ids = ids, .of_logits = round % 2 == 1 };
        double            sum;

        for (uint32_t i = 0; i < V; i++)
            x[i] = round < 2 ? 3 * noise(round * V + i) : roundf(3 * noise(i));
        for (uint32_t i = 0; i < 128; i++)
            ids[i] = (int32_t)(lls_philox(5, (lls_philox_t){ { i, round, 0, 0 } }).w[0] % V);
        ids[3] = ids[9] = 17;                           /* repeats are as good as others */
        x[ids[5]] = -INFINITY;
        sum = job.of_logits ? 0 : log_sum();
        lls_logprobs_row(&job, &scratch);
        for (uint32_t i = 0; i < 129; i++) {
            int32_t  token = i == 0 ? 17 : ids[i - 1];
            uint32_t rank = 0;
            for (uint32_t j = 0; j < V; j++)
                rank += x[j] >= x[token];
            assert_int_equal(out[i].token, token);
            assert_int_equal(out[i].rank, rank);
            if (token == ids[5])
                assert_true(out[i].logprob == -INFINITY && rank == V);
            else
                assert_true(fabs((double)out[i].logprob - ((double)x[token] - sum)) < 2e-6);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_equal_the_double_reference),
        cmocka_unit_test(a_row_without_numbers_has_no_entries),
        cmocka_unit_test(equal_logits_share_the_probability),
        cmocka_unit_test(processed_values_are_of_the_scaled_survivors),
        cmocka_unit_test(chosen_tokens_come_in_their_order_with_their_ranks),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
