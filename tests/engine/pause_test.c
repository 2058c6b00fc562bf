/* SPDX-License-Identifier: Apache-2.0 */
/* Pause and resume in every state: who runs, who waits, who ends, and who sleeps meanwhile. */
#include "engine/support.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

#define MODEL   TEST_DIR "/golden/llama"
#define N_VOCAB 96
#define N_ASKS  5
#define MAX_OUT 24

enum { RUNS, PREFILLS, WAITS, LATE, N_ROLES };      /* what a request is doing at the pause */

static const uint32_t prompt_lens[] = { 8, 70, 12, 9, 10 };

typedef struct part {
    int32_t               tokens[128];
    llm_sampling_params_t sp;
    llm_request_t         r;
    llm_request_id_t      id;
    int32_t               out[MAX_OUT];
    size_t                n_out;
    uint32_t              n_last;
    int32_t               finish;
} part_t;

typedef struct rig {
    llm_engine_t *e;
    part_t         ask[N_ASKS];
} rig_t;

/* The outputs of all when nobody disturbs them. */
static int32_t undisturbed[N_ASKS][MAX_OUT];

/* Two rows, 16 tokens a step: the third request waits and the long prompt takes its time. */
static void begin(rig_t *g)
{
    memset(g, 0, sizeof *g);
    g->e = make_engine(MODEL, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "128",
                               "cpu-threads", "1", "max-num-seqs", "2",
                               "max-num-batched-tokens", "16", "enable-prefix-caching", "false"),
                       NULL);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        part_t *a = &g->ask[i];
        make_prompt(a->tokens, prompt_lens[i], N_VOCAB, i + 1);
        a->sp = (llm_sampling_params_t)LLM_INIT(llm_sampling_params_t);
        a->sp.max_tokens = MAX_OUT - i;
        a->sp.flags = LLM_SAMPLE_IGNORE_EOS;
        a->r = (llm_request_t)LLM_INIT(llm_request_t);
        a->r.tokens = a->tokens;
        a->r.n_tokens = prompt_lens[i];
        a->r.sampling = &a->sp;
        a->r.user_data = a;
    }
}

static void add(rig_t *g, uint32_t i)
{
    llm_error_t err;

    if (llm_engine_add_request(g->e, &g->ask[i].r, &g->ask[i].id, &err) != LLM_OK)
        fail_msg("%s", err.message);
}

static void drain(rig_t *g)
{
    const llm_output_t *o;

    while ((o = llm_engine_next_output(g->e)) != NULL) {
        part_t *a = o->user_data;
        assert_int_equal(a->n_last, 0);
        assert_true(a->n_out + o->n_tokens <= MAX_OUT);
        memcpy(a->out + a->n_out, o->tokens, o->n_tokens * sizeof *a->out);
        a->n_out += o->n_tokens;
        a->finish = o->finish_reason;
        a->n_last += o->last;
    }
}

static void step(rig_t *g)
{
    llm_error_t err;

    if (llm_engine_step(g->e, &err) != LLM_OK)
        fail_msg("%s", err.message);
    drain(g);
}

static void steps(rig_t *g, uint32_t n)
{
    while (n-- > 0)
        step(g);
}

static void run_out(rig_t *g)
{
    for (int i = 0; i < 500 && llm_engine_unfinished(g->e) > 0; i++)
        step(g);
    assert_int_equal(llm_engine_unfinished(g->e), 0);
}

static void end(rig_t *g) { llm_engine_destroy(g->e); }

static llm_stats_t stats(rig_t *g)
{
    llm_stats_t s = LLM_INIT(llm_stats_t);

    assert_int_equal(llm_engine_stats(g->e, &s), LLM_OK);
    return s;
}

static void pause_in(rig_t *g, int32_t mode)
{
    assert_int_equal(llm_engine_pause(g->e, mode, NULL), LLM_OK);
    assert_int_equal(stats(g).paused, 1);
}

static void resume(rig_t *g)
{
    assert_int_equal(llm_engine_resume(g->e, NULL), LLM_OK);
    assert_int_equal(stats(g).paused, 0);
}

/* The whole output, as if nothing had happened. */
static void must_be_whole(const rig_t *g, uint32_t i)
{
    const part_t *a = &g->ask[i];

    assert_int_equal(a->n_last, 1);
    assert_int_equal(a->finish, LLM_FINISH_LENGTH);
    assert_int_equal(a->n_out, MAX_OUT - i);
    assert_memory_equal(a->out, undisturbed[i], a->n_out * sizeof *a->out);
}

static void must_be_untouched(const rig_t *g, uint32_t i)
{
    assert_int_equal(g->ask[i].n_last, 0);
    assert_int_equal(g->ask[i].n_out, 0);
}

static void must_be_aborted(const rig_t *g, uint32_t i)
{
    assert_int_equal(g->ask[i].n_last, 1);
    assert_int_equal(g->ask[i].finish, LLM_FINISH_ABORT);
}

static int remember(void **state)
{
    rig_t g;

    begin(&g);
    for (uint32_t i = 0; i < N_ASKS; i++)
        add(&g, i);
    run_out(&g);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        assert_int_equal(g.ask[i].n_out, MAX_OUT - i);
        memcpy(undisturbed[i], g.ask[i].out, sizeof undisturbed[i]);
    }
    end(&g);
    return 0;
}

/* One decodes, one is in the middle of its prompt, one waits for a row. */
static void begin_busy(rig_t *g)
{
    begin(g);
    add(g, RUNS);
    add(g, PREFILLS);
    add(g, WAITS);
    steps(g, 3);
    assert_int_equal(g->ask[RUNS].n_out, 3);
    must_be_untouched(g, PREFILLS);
    assert_int_equal(stats(g).requests_running, 2);
    assert_int_equal(stats(g).requests_waiting, 1);
}

/* ---- The modes ------------------------------------------------------------------------------- */

static void abort_ends_what_is_there_and_holds_what_comes(void **state)
{
    rig_t g;

    begin_busy(&g);
    pause_in(&g, LLM_PAUSE_ABORT);
    assert_int_equal(stats(&g).requests_running, 3);    /* not there yet */
    add(&g, LATE);
    step(&g);
    for (uint32_t i = RUNS; i <= WAITS; i++)
        must_be_aborted(&g, i);
    assert_int_equal(g.ask[RUNS].n_out, 3);
    assert_int_equal(stats(&g).requests_running, 0);
    assert_int_equal(stats(&g).requests_waiting, 1);
    assert_int_equal(stats(&g).kv_blocks_used, 0);
    steps(&g, 5);
    must_be_untouched(&g, LATE);
    resume(&g);
    run_out(&g);
    must_be_whole(&g, LATE);
    end(&g);
}

static void wait_lets_what_is_there_run_to_its_end(void **state)
{
    for (int32_t mode = LLM_PAUSE_WAIT; mode <= LLM_PAUSE_DRAIN; mode += 2) {
        rig_t       g;
        llm_error_t err;
        begin_busy(&g);
        pause_in(&g, mode);
        if (mode == LLM_PAUSE_DRAIN) {
            assert_int_equal(llm_engine_add_request(g.e, &g.ask[LATE].r, NULL, &err),
                             LLM_ERR_STATE);
            assert_non_null(strstr(err.message, "llm_engine_resume"));
        } else {
            add(&g, LATE);
            add(&g, 4);
            assert_int_equal(llm_engine_abort(g.e, g.ask[4].id), LLM_OK);
        }
        step(&g);
        assert_int_equal(stats(&g).requests_running, 3);    /* one of them has not begun */
        for (int i = 0; i < 200 && stats(&g).requests_running > 0; i++) {
            assert_int_equal(llm_engine_wait(g.e, 0), LLM_OK);
            step(&g);
        }
        for (uint32_t i = RUNS; i <= WAITS; i++)
            must_be_whole(&g, i);
        must_be_untouched(&g, LATE);
        assert_int_equal(llm_engine_unfinished(g.e), mode == LLM_PAUSE_WAIT);
        resume(&g);
        if (mode == LLM_PAUSE_DRAIN)
            add(&g, LATE);
        run_out(&g);
        must_be_whole(&g, LATE);
        end(&g);
    }
}

static void keep_stands_still_in_the_middle_of_a_prompt(void **state)
{
    rig_t    g;
    uint32_t held;

    begin_busy(&g);
    held = stats(&g).kv_blocks_used;
    assert_true(held > 0);
    pause_in(&g, LLM_PAUSE_KEEP);
    add(&g, LATE);
    steps(&g, 10);
    assert_int_equal(g.ask[RUNS].n_out, 3);
    must_be_untouched(&g, PREFILLS);
    must_be_untouched(&g, WAITS);
    assert_int_equal(stats(&g).kv_blocks_used, held);
    assert_int_equal(llm_engine_reset_prefix_cache(g.e), LLM_ERR_BUSY);
    resume(&g);
    run_out(&g);
    for (uint32_t i = 0; i < N_ROLES; i++)
        must_be_whole(&g, i);
    end(&g);
}

/* A cache for one long request only: the second is preempted again and again, and under WAIT it
 * must come back by itself. */
static void wait_lets_the_preempted_come_back(void **state)
{
    rig_t    g;
    uint32_t i;

    begin(&g);
    llm_engine_destroy(g.e);
    g.e = make_engine(MODEL, "float32",
                      OPTIONS("skip-tokenizer-init", "true", "max-model-len", "96", "block-size",
                              "4", "num-gpu-blocks-override", "27", "cpu-threads", "1",
                              "max-num-seqs", "4", "max-num-batched-tokens", "16",
                              "enable-prefix-caching", "false"), NULL);
    for (i = 0; i < N_ROLES; i++)
        add(&g, i);
    for (i = 0; i < 300 && stats(&g).preemptions == 0; i++)
        step(&g);
    assert_true(stats(&g).preemptions > 0 && stats(&g).requests_waiting > 0);
    pause_in(&g, LLM_PAUSE_WAIT);
    for (i = 0; i < 500 && stats(&g).requests_running > 0; i++)
        step(&g);
    for (i = 0; i < N_ROLES; i++)
        must_be_whole(&g, i);
    end(&g);
}

/* ---- Any order ------------------------------------------------------------------------------- */

static void resume_of_what_is_not_paused_does_nothing(void **state)
{
    rig_t g;

    begin(&g);
    resume(&g);
    add(&g, RUNS);
    step(&g);
    resume(&g);
    run_out(&g);
    must_be_whole(&g, RUNS);
    resume(&g);
    end(&g);
}

static void a_second_pause_changes_the_mode_for_the_same_requests(void **state)
{
    rig_t g;

    begin_busy(&g);
    pause_in(&g, LLM_PAUSE_KEEP);
    add(&g, LATE);
    steps(&g, 2);
    pause_in(&g, LLM_PAUSE_WAIT);
    pause_in(&g, LLM_PAUSE_WAIT);
    step(&g);
    assert_int_equal(g.ask[RUNS].n_out, 4);
    pause_in(&g, LLM_PAUSE_KEEP);
    steps(&g, 2);
    assert_int_equal(g.ask[RUNS].n_out, 4);
    pause_in(&g, LLM_PAUSE_ABORT);
    step(&g);
    for (uint32_t i = RUNS; i <= WAITS; i++)
        must_be_aborted(&g, i);
    must_be_untouched(&g, LATE);
    pause_in(&g, LLM_PAUSE_DRAIN);          /* it came during the pause: it waits on */
    steps(&g, 3);
    must_be_untouched(&g, LATE);
    assert_int_equal(stats(&g).requests_running, 0);
    resume(&g);
    run_out(&g);
    must_be_whole(&g, LATE);
    end(&g);
}

/* No step sees the first pause, or its end. */
static void pauses_between_two_steps_count(void **state)
{
    rig_t g;

    begin(&g);
    add(&g, 0);
    pause_in(&g, LLM_PAUSE_KEEP);
    add(&g, 1);
    resume(&g);
    add(&g, 2);
    pause_in(&g, LLM_PAUSE_WAIT);           /* 0, 1 and 2 were there */
    add(&g, 3);
    while (stats(&g).requests_running > 0)
        step(&g);
    for (uint32_t i = 0; i < 3; i++)
        must_be_whole(&g, i);
    must_be_untouched(&g, 3);
    resume(&g);
    pause_in(&g, LLM_PAUSE_WAIT);           /* now 3 was there */
    add(&g, 4);
    while (stats(&g).requests_running > 0)
        step(&g);
    must_be_whole(&g, 3);
    must_be_untouched(&g, 4);
    resume(&g);
    run_out(&g);
    must_be_whole(&g, 4);
    end(&g);
}

static void what_is_held_can_be_aborted(void **state)
{
    rig_t g;

    begin_busy(&g);
    pause_in(&g, LLM_PAUSE_KEEP);
    add(&g, LATE);
    add(&g, 4);
    step(&g);
    for (uint32_t i = 0; i < N_ROLES; i++) {    /* running, in prefill, waiting, held */
        assert_int_equal(llm_engine_abort(g.e, g.ask[i].id), LLM_OK);
        step(&g);
        must_be_aborted(&g, i);
        assert_int_equal(llm_engine_abort(g.e, g.ask[i].id), LLM_ERR_NOT_FOUND);
    }
    assert_int_equal(stats(&g).kv_blocks_used, 0);
    llm_engine_abort_all(g.e);
    step(&g);
    must_be_aborted(&g, 4);
    assert_int_equal(llm_engine_unfinished(g.e), 0);
    end(&g);
}

static void deadlines_run_on(void **state)
{
    struct timespec nap = { 0, 320000000 };
    rig_t           g;
    size_t          had;

    begin(&g);
    g.ask[RUNS].r.timeout_ms = 300;
    g.ask[WAITS].r.queue_timeout_ms = 300;
    g.ask[LATE].r.queue_timeout_ms = 300;
    add(&g, RUNS);
    add(&g, PREFILLS);
    add(&g, WAITS);
    steps(&g, 2);
    pause_in(&g, LLM_PAUSE_KEEP);
    add(&g, LATE);
    step(&g);
    had = g.ask[RUNS].n_out;
    nanosleep(&nap, NULL);
    step(&g);
    for (uint32_t i = 0; i < N_ROLES; i++) {
        assert_int_equal(g.ask[i].n_last, i != PREFILLS);
        assert_int_equal(g.ask[i].finish, i != PREFILLS ? LLM_FINISH_DEADLINE : LLM_FINISH_NONE);
    }
    assert_int_equal(g.ask[RUNS].n_out, had);
    resume(&g);
    run_out(&g);
    must_be_whole(&g, PREFILLS);
    end(&g);
}

static void an_engine_may_be_destroyed_while_paused(void **state)
{
    for (int32_t mode = LLM_PAUSE_ABORT; mode <= LLM_PAUSE_DRAIN; mode++)
        for (uint32_t n = 0; n < 2; n++) {
            rig_t g;
            begin_busy(&g);
            pause_in(&g, mode);
            if (mode != LLM_PAUSE_DRAIN)
                add(&g, LATE);
            steps(&g, n);
            end(&g);
        }
}

static void a_mode_that_is_not_known_is_refused(void **state)
{
    llm_error_t err;
    rig_t       g;

    begin(&g);
    assert_int_equal(llm_engine_pause(g.e, 4, &err), LLM_ERR_UNSUPPORTED);
    assert_string_equal(err.param, "mode");
    assert_int_equal(llm_engine_pause(g.e, -1, &err), LLM_ERR_UNSUPPORTED);
    assert_int_equal(stats(&g).paused, 0);
    assert_int_equal(llm_engine_pause(NULL, 0, &err), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_resume(NULL, &err), LLM_ERR_INVALID);
    end(&g);
}

/* ---- Sleep ----------------------------------------------------------------------------------- */

static uint64_t cpu_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* The wake-ups of earlier calls are used up, and a step finds nothing to do. */
static void settle(rig_t *g)
{
    for (int i = 0; i < 20 && llm_engine_wait(g->e, 0) == LLM_OK; i++)
        step(g);
    assert_int_equal(llm_engine_wait(g->e, 0), LLM_ERR_TIMEOUT);
}

static void wait_sleeps_while_everything_stands_still(void **state)
{
    rig_t    g;
    uint64_t before;

    begin_busy(&g);
    pause_in(&g, LLM_PAUSE_KEEP);
    add(&g, LATE);
    assert_int_equal(llm_engine_wait(g.e, -1), LLM_OK);     /* there is news */
    settle(&g);
    before = cpu_us();
    assert_int_equal(llm_engine_wait(g.e, 60000), LLM_ERR_TIMEOUT);
    assert_true(cpu_us() - before < 20000);
    pause_in(&g, LLM_PAUSE_WAIT);
    while (stats(&g).requests_running > 0) {
        assert_int_equal(llm_engine_wait(g.e, -1), LLM_OK);
        step(&g);
    }
    settle(&g);                                             /* only the late one is left */
    assert_int_equal(llm_engine_unfinished(g.e), 1);
    end(&g);
}

static void wait_wakes_for_a_deadline(void **state)
{
    rig_t g;

    begin(&g);
    pause_in(&g, LLM_PAUSE_KEEP);
    g.ask[0].r.timeout_ms = 60;
    add(&g, 0);
    add(&g, 1);
    step(&g);
    for (int i = 0; i < 10 && g.ask[0].n_last == 0; i++) {
        assert_int_equal(llm_engine_wait(g.e, -1), LLM_OK);
        step(&g);
    }
    assert_int_equal(g.ask[0].finish, LLM_FINISH_DEADLINE);
    settle(&g);
    end(&g);
}

typedef struct helper {
    llm_engine_t    *e;
    llm_request_id_t id;
    int              what;
} helper_t;

static void *wake_later(void *arg)
{
    const helper_t *h = arg;
    struct timespec nap = { 0, 20000000 };

    nanosleep(&nap, NULL);
    if (h->what == 0)
        llm_engine_notify(h->e);
    else if (h->what == 1)
        llm_engine_abort(h->e, h->id);
    else
        llm_engine_resume(h->e, NULL);
    return NULL;
}

static void wait_wakes_for_other_threads(void **state)
{
    for (int what = 0; what < 3; what++) {
        rig_t     g;
        helper_t  h;
        pthread_t thread;
        begin(&g);
        pause_in(&g, LLM_PAUSE_KEEP);
        add(&g, 0);
        settle(&g);
        h = (helper_t){ g.e, g.ask[0].id, what };
        assert_int_equal(pthread_create(&thread, NULL, wake_later, &h), 0);
        assert_int_equal(llm_engine_wait(g.e, 10000000), LLM_OK);
        pthread_join(thread, NULL);
        step(&g);
        assert_int_equal(g.ask[0].n_last, what == 1);
        assert_int_equal(g.ask[0].n_out, what == 2);
        end(&g);
    }
}

static int32_t pause_at_three(void *user, llm_logits_t *row)
{
    if (row->n_tokens == row->n_prompt + 3)
        llm_engine_pause(user, LLM_PAUSE_KEEP, NULL);
    return 0;
}

/* The step in which it is called still ends. */
static void a_callback_may_pause(void **state)
{
    rig_t g;

    begin(&g);
    g.ask[0].sp.logits_fn = pause_at_three;
    g.ask[0].sp.logits_user = g.e;
    add(&g, 0);
    steps(&g, 10);
    assert_int_equal(g.ask[0].n_out, 4);
    assert_int_equal(stats(&g).paused, 1);
    resume(&g);
    run_out(&g);
    must_be_whole(&g, 0);
    end(&g);
}

/* ---- Batches --------------------------------------------------------------------------------- */

#define N_BATCH 20

static void batch_of(rig_t *g, part_t asks[N_BATCH], const llm_request_t *list[N_BATCH])
{
    for (uint32_t i = 0; i < N_BATCH; i++) {
        asks[i] = g->ask[i % 3];
        asks[i].r.tokens = asks[i].tokens;
        asks[i].r.sampling = &asks[i].sp;
        list[i] = &asks[i].r;
    }
}

typedef struct pauser {
    rig_t    *g;
    int32_t   mode;
    helper_t  h;
    pthread_t thread;
    bool      paused;
    uint32_t  n_still;              /* reports from a batch that stands still */
} pauser_t;

/* Pauses the engine that it runs in, and lets another thread resume it after a while. */
static int32_t pause_once(void *user, const llm_progress_t *p)
{
    pauser_t *u = user;

    u->n_still += u->mode == LLM_PAUSE_KEEP && stats(u->g).paused;
    if (u->paused || p->done < 4)
        return 0;
    u->paused = true;
    assert_int_equal(llm_engine_pause(u->g->e, u->mode, NULL), LLM_OK);
    if (u->mode != LLM_PAUSE_KEEP)
        return 0;
    u->h = (helper_t){ u->g->e, 0, 2 };
    assert_int_equal(pthread_create(&u->thread, NULL, wake_later, &u->h), 0);
    return 0;
}

static void a_batch_is_one_piece_of_work(void **state)
{
    for (int32_t mode = LLM_PAUSE_ABORT; mode <= LLM_PAUSE_DRAIN; mode++) {
        static part_t         asks[N_BATCH];
        const llm_request_t *list[N_BATCH];
        llm_batch_t         *b;
        llm_error_t          err;
        rig_t                g;
        pauser_t             u = { .g = &g, .mode = mode };
        int                  n_whole = 0;
        begin(&g);
        batch_of(&g, asks, list);
        if (llm_generate_batch(g.e, list, N_BATCH, pause_once, &u, &b, &err) != LLM_OK)
            fail_msg("%s", err.message);
        for (uint32_t i = 0; i < N_BATCH; i++) {
            const llm_output_t *o = llm_batch_output(b, i, 0);
            bool                whole = o->finish_reason == LLM_FINISH_LENGTH;
            n_whole += whole;
            assert_true(whole || (mode == LLM_PAUSE_ABORT && o->finish_reason == LLM_FINISH_ABORT));
            assert_true(!whole || memcmp(o->tokens, undisturbed[i % 3],
                                         o->n_tokens * sizeof *o->tokens) == 0);
        }
        assert_true(mode == LLM_PAUSE_ABORT ? n_whole < N_BATCH : n_whole == N_BATCH);
        llm_batch_destroy(b);
        if (mode == LLM_PAUSE_KEEP) {
            pthread_join(u.thread, NULL);
            assert_true(u.n_still < 20);    /* it sleeps */
        } else {                            /* and a new one must not be begun */
            assert_int_equal(llm_generate_batch(g.e, list, 1, NULL, NULL, &b, &err),
                             LLM_ERR_STATE);
            assert_null(b);
        }
        end(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(abort_ends_what_is_there_and_holds_what_comes),
        cmocka_unit_test(wait_lets_what_is_there_run_to_its_end),
        cmocka_unit_test(keep_stands_still_in_the_middle_of_a_prompt),
        cmocka_unit_test(wait_lets_the_preempted_come_back),
        cmocka_unit_test(resume_of_what_is_not_paused_does_nothing),
        cmocka_unit_test(a_second_pause_changes_the_mode_for_the_same_requests),
        cmocka_unit_test(pauses_between_two_steps_count),
        cmocka_unit_test(what_is_held_can_be_aborted),
        cmocka_unit_test(deadlines_run_on),
        cmocka_unit_test(an_engine_may_be_destroyed_while_paused),
        cmocka_unit_test(a_mode_that_is_not_known_is_refused),
        cmocka_unit_test(wait_sleeps_while_everything_stands_still),
        cmocka_unit_test(wait_wakes_for_a_deadline),
        cmocka_unit_test(wait_wakes_for_other_threads),
        cmocka_unit_test(a_callback_may_pause),
        cmocka_unit_test(a_batch_is_one_piece_of_work),
    };

    return cmocka_run_group_tests(tests, remember, NULL);
}
