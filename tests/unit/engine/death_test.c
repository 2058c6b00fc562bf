/* SPDX-License-Identifier: Apache-2.0 */
/* A runner that fails in a step: the engine is dead, and nobody waits for it. */
#include "unit/test.h"

#include "unit/engine/hooked.h"

#define N 6

enum { EXECUTE, SAMPLE, WAIT, N_PLACES };

static int place, steps_left;

static llm_status_t spoil(int at, llm_status_t st)
{
    return at == place && steps_left <= 0 ? LLM_ERR_NO_DEVMEM : st;
}

static llm_status_t execute(lls_runner_t *r, const lls_step_plan_t *plan)
{
    steps_left--;
    return spoil(EXECUTE, real->execute(r, plan));
}

static llm_status_t sample(lls_runner_t *r, const lls_step_mask_t *mask)
{
    return spoil(SAMPLE, real->sample(r, mask));
}

static llm_status_t wait(lls_runner_t *r, int64_t timeout_us, const lls_step_result_t **result)
{
    return spoil(WAIT, real->wait(r, timeout_us, result));
}

/* Steps before the failing one are good. */
static llm_engine_t *begin(lls_runner_ops_t *ops, int where, int n_good)
{
    static const llm_option_t options[] = { { "skip-tokenizer-init", "true" },
                                            { "cpu-threads", "1" }, { "max-num-seqs", "2" },
                                            { "max-num-batched-tokens", "16" } };
    llm_engine_t *e = open_hooked(options, LLS_ARRAY_LEN(options), ops);
    ops->execute = execute;
    ops->sample = sample;
    ops->wait = wait;
    place = where;
    steps_left = n_good + 1;
    return e;
}

typedef struct ask {
    int32_t               tokens[60];
    llm_sampling_params_t sp;
    llm_request_t         r;
} ask_t;

static void make(ask_t *a, uint32_t n_prompt)
{
    *a = (ask_t){ .sp = { .struct_size = sizeof a->sp, .max_tokens = 30,
                          .flags = LLM_SAMPLE_IGNORE_EOS },
                  .r = { .struct_size = sizeof a->r, .tokens = a->tokens, .n_tokens = n_prompt,
                         .user_data = a, .output_kind = LLM_OUTPUT_CUMULATIVE } };
    for (uint32_t i = 0; i < n_prompt; i++)
        a->tokens[i] = (int32_t)(i * 7 % 90);
}

static void must_be_dead(llm_engine_t *e, const ask_t *a)
{
    llm_stats_t      stats;
    llm_error_t      err;
    llm_request_id_t id = 1;

    lls_engine_stats(e, &stats);
    assert_int_equal(stats.dead, 1);
    assert_int_equal(lls_engine_unfinished(e), 0);
    assert_int_equal(lls_engine_step(e, &err), LLM_ERR_DEVICE);
    assert_non_null(strstr(err.message, "LLM_ERR_NO_DEVMEM"));
    assert_int_equal(lls_engine_add(e, &a->r, &a->sp, &id, &err), LLM_ERR_DEVICE);
    assert_int_equal(id, 0);
    assert_int_equal(lls_engine_pause(e, LLM_PAUSE_KEEP, &err), LLM_ERR_DEVICE);
    assert_int_equal(lls_engine_resume(e, &err), LLM_ERR_DEVICE);
    lls_engine_abort_all(e);
    for (int i = 0; i < 5; i++)             /* wake-ups that are left, then nothing more comes */
        lls_engine_wait(e, 0);
    assert_int_equal(lls_engine_wait(e, 1000), LLM_ERR_TIMEOUT);
}

/* Running, in prefill, waiting, in the inbox: all have a last record with why, and what they had. */
static void every_request_ends_with_a_status(void **state)
{
    for (int where = 0; where < N_PLACES; where++)
        for (int paused = 0; paused < 2; paused++) {
            lls_runner_ops_t    ops;
            llm_engine_t       *e = begin(&ops, where, 3);
            const llm_output_t *o;
            llm_error_t         err;
            ask_t               a[N];
            uint32_t            n_last = 0;
            for (uint32_t i = 0; i < N; i++)
                make(&a[i], i == 1 ? 60 : 4 + i);
            for (uint32_t i = 0; i < 3; i++)
                assert_int_equal(lls_engine_add(e, &a[i].r, &a[i].sp, NULL, &err), LLM_OK);
            for (int i = 0; i < 3; i++)
                assert_int_equal(lls_engine_step(e, &err), LLM_OK);
            if (paused)
                assert_int_equal(lls_engine_pause(e, LLM_PAUSE_WAIT, &err), LLM_OK);
            for (uint32_t i = 3; i < N; i++)
                assert_int_equal(lls_engine_add(e, &a[i].r, &a[i].sp, NULL, &err), LLM_OK);
            assert_int_equal(lls_engine_step(e, &err), LLM_ERR_DEVICE);
            assert_int_equal(lls_engine_wait(e, -1), LLM_OK);   /* records are due */
            while ((o = lls_engine_next_output(e)) != NULL) {
                assert_int_equal(o->last, 1);
                assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
                assert_int_equal(o->error->status, LLM_ERR_DEVICE);
                assert_int_equal(o->n_tokens, o->user_data == &a[0] ? 3 : 0);
                n_last++;
            }
            assert_int_equal(n_last, N);
            must_be_dead(e, &a[0]);
            close_hooked(e);
        }
}

static void input(void *user, size_t i, lls_batch_input_t *in)
{
    const ask_t *a = user;

    *in = (lls_batch_input_t){ .request = a[i].r, .sampling = a[i].sp, .has_sampling = true };
}

static void a_batch_keeps_what_had_finished(void **state)
{
    lls_runner_ops_t    ops;
    llm_engine_t       *e = begin(&ops, EXECUTE, 8);
    lls_batch_result_t *b;
    llm_error_t         err;
    ask_t               a[N];

    for (uint32_t i = 0; i < N; i++)
        make(&a[i], 5);
    a[0].sp.max_tokens = 2;
    assert_int_equal(lls_engine_generate_batch(e, input, a, N, NULL, NULL, &b, &err),
                     LLM_ERR_DEVICE);
    assert_non_null(b);
    for (size_t i = 0; i < N; i++) {
        const llm_output_t *o = lls_batch_result_output(b, i, 0);
        assert_int_equal(o->finish_reason, i == 0 ? LLM_FINISH_LENGTH : LLM_FINISH_ERROR);
        assert_int_equal(o->error == NULL ? 0 : o->error->status, i == 0 ? 0 : LLM_ERR_DEVICE);
        assert_ptr_equal(o->user_data, &a[i]);
        assert_true(i != 1 || o->n_tokens > 3);
    }
    must_be_dead(e, &a[0]);
    close_hooked(e);
    lls_batch_result_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_ends_with_a_status),
        cmocka_unit_test(a_batch_keeps_what_had_finished),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
