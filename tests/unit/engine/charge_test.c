/* SPDX-License-Identifier: Apache-2.0 */
/* Device time: each completion pays its share of a step by the tokens that it ran in it. */
#include "unit/test.h"

#include "unit/engine/hooked.h"

#define N 5

static uint64_t ns_of_step, ns_per_token;   /* what the device says a step took */
static uint64_t n_tokens, all_ns;

static llm_status_t execute(lls_runner_t *r, const lls_step_plan_t *plan)
{
    n_tokens = plan->n_tokens;
    return real->execute(r, plan);
}

static llm_status_t wait(lls_runner_t *r, int64_t timeout_us, const lls_step_result_t **result)
{
    llm_status_t st = real->wait(r, timeout_us, result);

    ((lls_step_result_t *)(uintptr_t)*result)->device_ns = ns_of_step + ns_per_token * n_tokens;
    all_ns += (*result)->device_ns;
    return st;
}

static llm_engine_t *begin(lls_runner_ops_t *ops, const char *n_blocks)
{
    const llm_option_t  options[] = { { "skip-tokenizer-init", "true" }, { "cpu-threads", "1" },
                                      { "block-size", "4" }, { "max-model-len", "80" },
                                      { "num-gpu-blocks-override", n_blocks },
                                      { "max-num-batched-tokens", "16" },
                                      { "max-num-seqs", "8" },
                                      { "enable-prefix-caching", "false" } };
    llm_engine_t *e = open_hooked(options, LLS_ARRAY_LEN(options), ops);
    ops->execute = execute;
    ops->wait = wait;
    all_ns = 0;
    return e;
}

/* What each has paid, and how often it was preempted. */
static void run(llm_engine_t *e, uint64_t paid[N], uint32_t preempted[N])
{
    const llm_output_t *o;
    int32_t             tokens[N][40];

    for (uint32_t i = 0; i < N; i++) {
        llm_sampling_params_t sp = { .struct_size = sizeof sp, .max_tokens = 40 - 5 * i,
                                     .flags = LLM_SAMPLE_IGNORE_EOS };
        llm_request_t         r = { .struct_size = sizeof r, .tokens = tokens[i],
                                    .n_tokens = 3 + 8 * i, .user_data = &paid[i],
                                    .output_kind = LLM_OUTPUT_FINAL };
        for (uint32_t k = 0; k < r.n_tokens; k++)
            tokens[i][k] = (int32_t)(i * 17 + k * 7) % 90;
        assert_int_equal(lls_engine_add(e, &r, &sp, NULL, NULL), LLM_OK);
    }
    while (lls_engine_unfinished(e) > 0)
        assert_int_equal(lls_engine_step(e, NULL), LLM_OK);
    while ((o = lls_engine_next_output(e)) != NULL) {
        uint64_t *p = o->user_data;
        *p = o->device_us;
        preempted[p - paid] = o->preemptions;
    }
}

static uint64_t tokens_run(uint32_t i) { return 3 + 8 * i + (40 - 5 * i) - 1; }

static void tokens_pay_alike(void **state)
{
    lls_runner_ops_t ops;
    llm_engine_t    *e = begin(&ops, "120");
    uint64_t         paid[N];
    uint32_t         preempted[N];

    ns_of_step = 0;
    ns_per_token = 1000000;
    run(e, paid, preempted);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(preempted[i], 0);
        assert_int_equal(paid[i], tokens_run(i) * 1000);
    }
    close_hooked(e);
}

/* What is computed again is paid again, and nothing is paid by nobody. */
static void the_preempted_pay_twice(void **state)
{
    lls_runner_ops_t ops;
    llm_engine_t    *e = begin(&ops, "24");
    uint64_t         paid[N], sum = 0;
    uint32_t         preempted[N], n_preempted = 0;

    ns_of_step = 0;
    ns_per_token = 1000000;
    run(e, paid, preempted);
    for (uint32_t i = 0; i < N; i++) {
        sum += paid[i];
        n_preempted += preempted[i];
        if (preempted[i] == 0)
            assert_int_equal(paid[i], tokens_run(i) * 1000);
        else
            assert_true(paid[i] > tokens_run(i) * 1000);
    }
    assert_true(n_preempted > 0);
    assert_int_equal(sum, all_ns / 1000);
    close_hooked(e);
}

static void the_sum_is_not_more_than_the_device_took(void **state)
{
    lls_runner_ops_t ops;
    llm_engine_t    *e = begin(&ops, "120");
    uint64_t         paid[N], sum = 0;
    uint32_t         preempted[N];

    ns_of_step = 100003;            /* nothing divides it */
    ns_per_token = 0;
    run(e, paid, preempted);
    for (uint32_t i = 0; i < N; i++)
        sum += paid[i];
    assert_true(sum <= all_ns / 1000 && sum + N + 1 >= all_ns / 1000);
    close_hooked(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_pay_alike),
        cmocka_unit_test(the_preempted_pay_twice),
        cmocka_unit_test(the_sum_is_not_more_than_the_device_took),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
