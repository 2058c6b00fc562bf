/* SPDX-License-Identifier: Apache-2.0 */
/* The door and the clock: bounded queues, admission by deadline, deadlines in every state. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define MODEL   TEST_DIR "/golden/llama"
#define N_VOCAB 96

static llm_engine_t *begin(const char *name, const char *value)
{
    return make_engine(MODEL, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "256",
                               "cpu-threads", "1", name, value), NULL);
}

static llm_status_t try_add(llm_engine_t *e, const ask_t *a, llm_error_t *err)
{
    memset(err, 0, sizeof *err);
    return llm_engine_add_request(e, &a->r, NULL, err);
}

static void nap_ms(uint32_t ms)
{
    struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };

    nanosleep(&t, NULL);
}

/* The last record of the request with this user_data, which must be among those due. */
static const llm_output_t *last_of(llm_engine_t *e, const void *user_data)
{
    const llm_output_t *o, *found = NULL;

    while ((o = llm_engine_next_output(e)) != NULL)
        if (o->user_data == user_data)
            found = o;
    assert_non_null(found);
    assert_int_equal(found->last, 1);
    return found;
}

/* ---- Queues ---------------------------------------------------------------------------------- */

static void queued_tokens_are_bounded(void **state)
{
    llm_engine_t *e = begin("max-num-queued-tokens", "100");
    llm_error_t   err;
    ask_t         a;

    make_ask(&a, N_VOCAB, 150, 1, 2);
    assert_int_equal(try_add(e, &a, &err), LLM_OK);     /* the only one may be larger */
    a.r.n_tokens = 1;
    assert_int_equal(try_add(e, &a, &err), LLM_ERR_BUSY);
    assert_string_equal(err.param, "max-num-queued-tokens");
    assert_true(err.retry_after_ms > 0);
    step_engine(e);                                     /* its prefill is over */
    a.r.n_tokens = 30;
    a.sp.temperature = 1;
    a.sp.n = 2;
    assert_int_equal(try_add(e, &a, &err), LLM_OK);
    a.r.n_tokens = 41;
    a.sp.n = 1;
    assert_int_equal(try_add(e, &a, &err), LLM_ERR_BUSY);
    assert_non_null(strstr(err.message, "60 prompt tokens are queued of at most 100"));
    a.r.n_tokens = 40;
    assert_int_equal(try_add(e, &a, &err), LLM_OK);
    run_dry(e);
    for (int i = 0; i < 3; i++) {                       /* and what is aborted is gone */
        assert_int_equal(try_add(e, &a, &err), LLM_OK);
        assert_int_equal(try_add(e, &a, &err), LLM_OK);
        assert_int_equal(try_add(e, &a, &err), LLM_ERR_BUSY);
        llm_engine_abort_all(e);
        step_engine(e);
    }
    llm_engine_destroy(e);
}

static void a_batch_asks_for_no_room(void **state)
{
    llm_engine_t        *e = begin("max-num-queued-tokens", "10");
    const llm_request_t *list[20];
    llm_batch_t         *b;
    ask_t                a;

    make_ask(&a, N_VOCAB, 20, 2, 3);
    for (int i = 0; i < 20; i++)
        list[i] = &a.r;
    assert_int_equal(llm_generate_batch(e, list, 20, NULL, NULL, &b, NULL), LLM_OK);
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(llm_batch_output(b, i, 0)->finish_reason, LLM_FINISH_LENGTH);
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

/* ---- Admission ------------------------------------------------------------------------------- */

static void who_would_be_late_is_refused_at_the_door(void **state)
{
    llm_engine_t *e = begin("deadline-admission", "true");
    llm_error_t   err;
    llm_status_t  st;
    ask_t         a, b;
    uint32_t      n = 0;

    make_ask(&a, N_VOCAB, 150, 3, 1);
    a.r.timeout_ms = 3600000;
    make_ask(&b, N_VOCAB, 150, 4, 1);
    b.r.timeout_ms = 1;
    b.r.user_data = &b;
    assert_int_equal(try_add(e, &b, &err), LLM_OK);     /* no speed is known */
    run_dry(e);
    for (int i = 0; i < 3; i++) {
        a.tokens[0] = i;                                /* nothing from the cache */
        assert_int_equal(try_add(e, &a, &err), LLM_OK);
        run_dry(e);
    }
    b.r.timeout_ms = 5;
    while ((st = try_add(e, &b, &err)) == LLM_OK && n < 2000) {
        assert_int_equal(try_add(e, &a, &err), LLM_OK); /* a long queue */
        n++;
    }
    assert_int_equal(st, LLM_ERR_BUSY);
    assert_string_equal(err.param, "timeout_ms");
    assert_non_null(strstr(err.message, "prompt tokens at"));
    assert_true(err.retry_after_ms > 0);
    assert_int_equal(try_add(e, &a, &err), LLM_OK);     /* who has time may come */
    b.r.timeout_ms = 0;
    b.r.queue_timeout_ms = 1;
    for (int i = 0; i < 200; i++)
        assert_int_equal(try_add(e, &a, &err), LLM_OK);
    assert_int_equal(try_add(e, &b, &err), LLM_ERR_BUSY);
    assert_string_equal(err.param, "queue_timeout_ms");
    b.r.queue_timeout_ms = 0;
    assert_int_equal(try_add(e, &b, &err), LLM_OK);     /* no deadline, no question */
    llm_engine_destroy(e);
}

static void without_the_option_nobody_is_refused(void **state)
{
    llm_engine_t *e = begin("deadline-admission", "false");
    llm_error_t   err;
    ask_t         a;

    make_ask(&a, N_VOCAB, 150, 5, 1);
    assert_int_equal(try_add(e, &a, &err), LLM_OK);
    run_dry(e);
    a.r.timeout_ms = a.r.queue_timeout_ms = 1;
    for (int i = 0; i < 500; i++)
        assert_int_equal(try_add(e, &a, &err), LLM_OK);
    llm_engine_destroy(e);
}

/* ---- Deadlines ------------------------------------------------------------------------------- */

/* One row, and a cache for one: the second never runs, or is preempted by the first. */
static void deadlines_end_what_waits_and_what_was_preempted(void **state)
{
    llm_engine_t *e = make_engine(MODEL, "float32",
                                  OPTIONS("skip-tokenizer-init", "true", "max-model-len", "128",
                                          "block-size", "4", "num-gpu-blocks-override", "33",
                                          "cpu-threads", "1", "max-num-seqs", "2"), NULL);
    const llm_output_t *o;
    llm_stats_t         s = LLM_INIT(llm_stats_t);
    ask_t               first, second, third;
    uint32_t            had;

    make_ask(&first, N_VOCAB, 40, 6, 87);
    make_ask(&second, N_VOCAB, 41, 7, 80);
    make_ask(&third, N_VOCAB, 42, 8, 80);
    second.r.user_data = &second;
    second.r.output_kind = LLM_OUTPUT_CUMULATIVE;
    third.r.user_data = &third;
    add_ask(e, &first);
    second.r.timeout_ms = 1000;
    add_ask(e, &second);
    third.r.timeout_ms = 1000;
    add_ask(e, &third);
    while (s.preemptions == 0) {            /* decoding fills the cache */
        step_engine(e);
        assert_int_equal(llm_engine_stats(e, &s), LLM_OK);
        assert_true(s.steps < 80);
        while (s.preemptions == 0 && llm_engine_next_output(e) != NULL)
            ;
    }
    had = s.steps - 1;
    nap_ms(1020);
    step_engine(e);
    o = last_of(e, &second);                /* of both, the last is kept by user_data */
    assert_int_equal(o->finish_reason, LLM_FINISH_DEADLINE);
    assert_int_equal(o->preemptions, 1);
    assert_int_equal(o->completion_tokens, had);
    assert_int_equal(o->n_tokens, had);     /* what it had is kept */
    assert_true(o->kv_block_steps > 0 && o->queue_us > 0);
    run_dry(e);
    llm_engine_destroy(e);
}

static void a_queue_deadline_ends_only_what_never_ran(void **state)
{
    llm_engine_t       *e = make_engine(MODEL, "float32",
                                        OPTIONS("skip-tokenizer-init", "true", "max-model-len",
                                                "128", "cpu-threads", "1", "max-num-seqs", "1"),
                                        NULL);
    const llm_output_t *o;
    ask_t               runs, waits;

    make_ask(&runs, N_VOCAB, 10, 9, 100);
    make_ask(&waits, N_VOCAB, 10, 10, 100);
    runs.r.user_data = &runs;
    runs.r.queue_timeout_ms = waits.r.queue_timeout_ms = 300;
    waits.r.user_data = &waits;
    add_ask(e, &runs);
    step_engine(e);
    add_ask(e, &waits);
    step_engine(e);
    nap_ms(320);
    step_engine(e);
    o = last_of(e, &waits);
    assert_int_equal(o->finish_reason, LLM_FINISH_DEADLINE);
    assert_int_equal(o->n_tokens, 0);
    assert_int_equal(o->queue_us, 0);
    assert_int_equal(o->prompt_tokens, 10);
    assert_int_equal(llm_engine_unfinished(e), 1);      /* the other one had begun in time */
    while (llm_engine_unfinished(e) > 0)
        step_engine(e);
    assert_int_equal(last_of(e, &runs)->finish_reason, LLM_FINISH_LENGTH);
    llm_engine_destroy(e);
}

/* ---- Order ----------------------------------------------------------------------------------- */

static void priority_goes_before_arrival(void **state)
{
    static const int32_t priorities[] = { 5, 0, 5, -3, 0, -3 };
    static const int     order[] = { 3, 5, 1, 4, 0, 2 };

    for (int by_priority = 0; by_priority < 2; by_priority++) {
        llm_engine_t *e = make_engine(MODEL, "float32",
                                      OPTIONS("skip-tokenizer-init", "true", "max-num-seqs", "1",
                                              "scheduling-policy",
                                              by_priority ? "priority" : "fcfs"), NULL);
        const llm_output_t *o;
        ask_t               a[6];
        int                 n = 0;
        for (int i = 0; i < 6; i++) {
            make_ask(&a[i], N_VOCAB, 10, (uint32_t)i, 3);
            a[i].r.priority = priorities[i];
            a[i].r.user_data = &a[i];
            a[i].r.output_kind = LLM_OUTPUT_FINAL;
            add_ask(e, &a[i]);
        }
        while (llm_engine_unfinished(e) > 0) {
            step_engine(e);
            while ((o = llm_engine_next_output(e)) != NULL) {
                assert_ptr_equal(o->user_data, &a[by_priority ? order[n] : n]);
                n++;
            }
        }
        assert_int_equal(n, 6);
        llm_engine_destroy(e);
    }
}

/* A host that waits, steps and drains is never told for good that a drained queue is full. */
static void a_drained_place_is_given_back(void **state)
{
    llm_engine_t *e = begin("max-num-queued-reqs", "1");
    llm_error_t   err;
    ask_t         a;

    make_ask(&a, N_VOCAB, 20, 1, 2);
    for (int i = 0; i < 3; i++) {
        while (try_add(e, &a, &err) == LLM_ERR_BUSY) {
            assert_int_equal(llm_engine_wait(e, 1000), LLM_OK);
            step_engine(e);
        }
        while (llm_engine_unfinished(e) > 0)
            step_engine(e);
        while (llm_engine_next_output(e) != NULL)
            continue;
        llm_engine_wait(e, 0);      /* takes what add has signalled */
    }
    llm_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(queued_tokens_are_bounded),
        cmocka_unit_test(a_drained_place_is_given_back),
        cmocka_unit_test(a_batch_asks_for_no_room),
        cmocka_unit_test(who_would_be_late_is_refused_at_the_door),
        cmocka_unit_test(without_the_option_nobody_is_refused),
        cmocka_unit_test(deadlines_end_what_waits_and_what_was_preempted),
        cmocka_unit_test(a_queue_deadline_ends_only_what_never_ran),
        cmocka_unit_test(priority_goes_before_arrival),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
