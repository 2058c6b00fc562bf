/* SPDX-License-Identifier: Apache-2.0 */
/* 10^5 times add, abort, pause, resume, stats, metrics and notify from eight threads beside the one
 * that steps: every request has exactly one last record, and ThreadSanitizer has nothing to say. */
#include "engine/support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define MODEL     TEST_DIR "/golden/llama"
#define N_ADDERS  3
#define N_EACH    60
#define N_ALL     (N_ADDERS * N_EACH)
#define N_OTHERS  3
#define N_PAUSERS 2
#define N_CALLS   (SANITIZED ? 10000 : 100000)  /* from other threads while one steps, at least */

typedef struct shared {
    llm_engine_t    *e;
    _Atomic uint32_t n_added, n_last[N_ALL], done;
    _Atomic uint64_t ids[N_ALL], n_calls;
} shared_t;

typedef struct adder {
    shared_t *s;
    uint32_t  first;
} adder_t;

static void *add_some(void *arg)
{
    adder_t *a = arg;

    for (uint32_t i = 0; i < N_EACH; i++) {
        llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
        llm_request_t         r = LLM_INIT(llm_request_t);
        llm_request_id_t      id = 0;
        int32_t               tokens[30];
        uint32_t              number = a->first + i;
        make_prompt(tokens, 30, 96, number % 5);
        sp.max_tokens = 1 + number % 11;
        r.tokens = tokens;
        r.n_tokens = 30;
        r.sampling = &sp;
        r.user_data = (void *)(uintptr_t)(number + 1);
        r.timeout_ms = number % 7 == 0 ? 60000 : 0;
        for (;;) {
            llm_status_t st = llm_engine_add_request(a->s->e, &r, &id, NULL);
            atomic_fetch_add(&a->s->n_calls, 1);
            if (st == LLM_OK)
                break;
            assert_true(st == LLM_ERR_BUSY || st == LLM_ERR_STATE);     /* full, or draining */
            llm_engine_notify(a->s->e);
            atomic_fetch_add(&a->s->n_calls, 1);
        }
        atomic_store(&a->s->ids[number], id);
        atomic_fetch_add(&a->s->n_added, 1);
    }
    return NULL;
}

static void *disturb(void *arg)
{
    shared_t *s = arg;
    uint32_t  x = 1;
    char      text[4096];
    size_t    n;

    while (!atomic_load(&s->done)) {
        llm_stats_t     stats = LLM_INIT(llm_stats_t);
        struct timespec nap = { 0, 200000 };
        x = x * 1664525u + 1013904223u;
        llm_engine_abort(s->e, atomic_load(&s->ids[(x >> 8) % N_ALL]));
        llm_engine_stats(s->e, &stats);
        llm_engine_metrics(s->e, text, sizeof text, &n);
        llm_engine_unfinished(s->e);
        llm_engine_notify(s->e);
        atomic_fetch_add(&s->n_calls, 5);
        nanosleep(&nap, NULL);
    }
    return NULL;
}

/* Not ABORT: nearly all would end by it. */
static void *pause_and_resume(void *arg)
{
    shared_t *s = arg;
    int32_t   mode = LLM_PAUSE_WAIT;

    while (!atomic_load(&s->done)) {
        struct timespec nap = { 0, 300000 };
        assert_int_equal(llm_engine_pause(s->e, mode, NULL), LLM_OK);
        nanosleep(&nap, NULL);
        assert_int_equal(llm_engine_resume(s->e, NULL), LLM_OK);
        atomic_fetch_add(&s->n_calls, 2);
        nanosleep(&nap, NULL);
        mode = mode == LLM_PAUSE_DRAIN ? LLM_PAUSE_WAIT : mode + 1;
    }
    return NULL;
}

static void every_request_ends_exactly_once(void **state)
{
    static shared_t s;
    pthread_t       adders[N_ADDERS], others[N_OTHERS + N_PAUSERS];
    adder_t         a[N_ADDERS];
    llm_error_t     err;

    s.e = make_engine(MODEL, "float32",
                      OPTIONS("skip-tokenizer-init", "true", "cpu-threads", "2",
                              "max-num-queued-reqs", "40", "max-num-seqs", "8",
                              "max-num-queued-tokens", "900", "deadline-admission", "true"),
                      NULL);
    for (uint32_t i = 0; i < N_ADDERS; i++) {
        a[i] = (adder_t){ &s, i * N_EACH };
        pthread_create(&adders[i], NULL, add_some, &a[i]);
    }
    for (uint32_t i = 0; i < N_OTHERS + N_PAUSERS; i++)
        pthread_create(&others[i], NULL, i < N_OTHERS ? disturb : pause_and_resume, &s);
    while (atomic_load(&s.n_added) < N_ALL || llm_engine_unfinished(s.e) > 0 ||
           atomic_load(&s.n_calls) < N_CALLS) {
        const llm_output_t *o;
        llm_engine_wait(s.e, 1000);
        if (llm_engine_step(s.e, &err) != LLM_OK)
            fail_msg("%s", err.message);
        while ((o = llm_engine_next_output(s.e)) != NULL)
            if (o->last)
                atomic_fetch_add(&s.n_last[(uintptr_t)o->user_data - 1], 1);
    }
    while (llm_engine_next_output(s.e) != NULL)
        ;
    atomic_store(&s.done, 1);
    for (uint32_t i = 0; i < N_ADDERS; i++)
        pthread_join(adders[i], NULL);
    for (uint32_t i = 0; i < N_OTHERS + N_PAUSERS; i++)
        pthread_join(others[i], NULL);
    for (uint32_t i = 0; i < N_ALL; i++)
        assert_int_equal(atomic_load(&s.n_last[i]), 1);
    llm_engine_destroy(s.e);
}

typedef struct late_abort {
    llm_engine_t    *e;
    llm_request_id_t id;
    uint64_t         at_ns;
} late_abort_t;

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *abort_late(void *arg)
{
    late_abort_t   *a = arg;
    struct timespec nap = { 0, 700000000 };

    nanosleep(&nap, NULL);
    a->at_ns = now_ns();
    llm_engine_abort(a->e, a->id);
    return NULL;
}

static void first_tokens(llm_engine_t *e, const int32_t *prompt, size_t n, int32_t out[4])
{
    llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
    llm_request_t         r = LLM_INIT(llm_request_t);
    const llm_request_t  *list[1] = { &r };
    llm_batch_t          *b;

    sp.max_tokens = 4;
    sp.flags = LLM_SAMPLE_IGNORE_EOS;
    r.tokens = prompt;
    r.n_tokens = n;
    r.sampling = &sp;
    assert_int_equal(llm_generate_batch(e, list, 1, NULL, NULL, &b, NULL), LLM_OK);
    memcpy(out, llm_batch_output(b, 0, 0)->tokens, 4 * sizeof *out);
    llm_batch_destroy(b);
}

/* In the middle of a prompt of 8,000 tokens.  The time is printed, not asserted. */
static void an_abort_stops_the_step_that_runs(void **state)
{
    static int32_t        tokens[8000];
    llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
    llm_request_t         r = LLM_INIT(llm_request_t);
    late_abort_t          a = { 0 };
    const llm_output_t   *o = NULL, *last = NULL;
    pthread_t             thread;
    uint64_t              ended;
    int32_t               after[4], fresh[4];
    llm_plan_t            plan = LLM_INIT(llm_plan_t);

    if (demo_model() == NULL)
        skip();
    a.e = make_engine(demo_model(), NULL, OPTIONS("max-num-queued-reqs", "8"), NULL);
    assert_int_equal(llm_engine_plan(a.e, &plan), LLM_OK);
    make_prompt(tokens, 8000, plan.vocab_size, 1);
    r.tokens = tokens;
    r.n_tokens = 8000;
    r.sampling = &sp;
    assert_int_equal(llm_engine_add_request(a.e, &r, &a.id, NULL), LLM_OK);
    pthread_create(&thread, NULL, abort_late, &a);
    while (llm_engine_unfinished(a.e) > 0)
        assert_int_equal(llm_engine_step(a.e, NULL), LLM_OK);
    ended = now_ns();
    pthread_join(thread, NULL);
    while ((o = llm_engine_next_output(a.e)) != NULL)
        last = o;
    assert_non_null(last);
    if (last->finish_reason == LLM_FINISH_ABORT)
        print_message("abort took effect after %.1f ms\n", (double)(ended - a.at_ns) * 1e-6);
    /* Blocks of the step that was given up must not be found by anybody. */
    first_tokens(a.e, tokens, 700, after);
    assert_int_equal(llm_engine_reset_prefix_cache(a.e), LLM_OK);
    first_tokens(a.e, tokens, 700, fresh);
    assert_memory_equal(after, fresh, sizeof fresh);
    llm_engine_destroy(a.e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_request_ends_exactly_once),
        cmocka_unit_test(an_abort_stops_the_step_that_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
