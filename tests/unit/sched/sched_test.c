/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/sched/sched_rig.h"

/* ---- One request ---------------------------------------------------------------------------- */

static void a_request_runs_to_its_length_and_its_memory_comes_back(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    int64_t        before = r->alloc.live_blocks;
    uint64_t       h = add(r, desc(r, 10, 3));
    lls_req_mem_t *gone;

    assert_int_equal(r->alloc.live_blocks, before + 1);     /* one allocation a request */
    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_added(r->plan), 1);
    assert_int_equal(r->plan->n_tokens, 10);
    assert_int_equal(lls_plan_runs(r->plan)->flags, LLS_RUN_SAMPLE);
    answer(r, 1);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_tokens(r->plan)[0], 1000);
    assert_int_equal(lls_plan_runs(r->plan)->pos, 10);
    answer(r, 1);
    assert_true(step(r));
    assert_int_equal(finish_of(r, 0), LLS_FINISH_LENGTH);
    assert_int_equal(lls_sched_get(r->s, h)->n_tokens, 13); /* its lines can still be read */
    assert_null(lls_sched_take_gone(r->s));
    assert_true(schedule(r));                               /* the runner is told of the row */
    assert_int_equal(lls_plan_n_freed(r->plan), 1);
    answer(r, 1);
    assert_null(lls_sched_get(r->s, h));
    gone = lls_sched_take_gone(r->s);
    assert_non_null(gone);
    assert_null(lls_sched_take_gone(r->s));
    lls_req_discard(&r->mem, gone);
    assert_int_equal(r->alloc.live_blocks, before);
    must_be_idle(r);
    end(r);
}

static void a_long_prompt_goes_in_chunks_beside_a_decoding_row(void **state)
{
    rig_t   *r = begin(&(lls_sched_config_t){ .max_tokens = 16 }, NULL);
    uint64_t a = add_own(r, desc(r, 5, 20), 90), b;

    step(r);
    b = add(r, desc(r, 40, 5));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(schedule(r));
        assert_int_equal(run_of(r, a)->n, 1);
        assert_int_equal(run_of(r, b)->n, i < 2 ? 15 : 10);
        assert_int_equal(run_of(r, b)->pos, 15 * i);
        assert_int_equal(run_of(r, b)->flags, i < 2 ? 0 : LLS_RUN_SAMPLE);
        assert_int_equal(run_of(r, b)->next, i < 2 ? 15 * (int)(i + 1) : -1);
        answer(r, 1);
    }
    end(r);
}

static void stop_ids_count_from_min_tokens_on(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    int32_t        stop = 1000;
    lls_req_desc_t d = desc(r, 4, 9);

    d.stop_ids = &stop;
    d.n_stop_ids = 1;
    d.min_tokens = 2;
    add(r, d);
    step(r);
    assert_int_equal(finish_of(r, 0), LLS_FINISH_NONE);
    step(r);
    assert_int_equal(finish_of(r, 0), LLS_FINISH_STOP);
    end(r);
}

static void without_max_tokens_it_ends_with_the_context(void **state)
{
    rig_t   *r = begin(NULL, NULL);
    uint64_t h = add(r, desc(r, 90, UINT32_MAX));
    uint32_t n = 0;

    assert_int_equal(lls_sched_get(r->s, h)->len_cap, 100);
    while (finish_of(r, 0) == LLS_FINISH_NONE && n++ < 50)
        assert_true(step(r));
    assert_int_equal(finish_of(r, 0), LLS_FINISH_LENGTH);
    assert_int_equal(lls_sched_get(r->s, h)->n_tokens, 100);
    end(r);
}

static void a_pooling_request_ends_with_its_prompt(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    lls_req_desc_t d = desc(r, 100, 0);     /* as long as the model: no token will be added */

    d.row_flags = LLS_ROW_POOL;
    add(r, d);
    for (uint32_t i = 0; i < 3; i++)
        step(r);
    assert_int_equal(finish_of(r, 0), LLS_FINISH_NONE);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_runs(r->plan)->flags, LLS_RUN_POOL);
    answer(r, 1);
    assert_int_equal(finish_of(r, 0), LLS_FINISH_POOLED);
    end(r);
}

static void a_row_that_fails_takes_nobody_with_it(void **state)
{
    rig_t   *r = begin(NULL, NULL);
    uint64_t a = add(r, desc(r, 4, 9)), b = add_own(r, desc(r, 4, 9), 80);

    assert_true(schedule(r));
    lls_result_reset(r->res, ++r->n_answered);
    lls_result_push_rows(r->res, 1)[0] = (lls_row_result_t){ .status = LLS_ROW_NAN };
    lls_result_push_rows(r->res, 1)[0] = (lls_row_result_t){ .tokens = { 0, 1 } };
    *lls_result_push_tokens(r->res, 1) = 55;
    lls_sched_update(r->s, r->res);
    check(r);
    assert_int_equal(finish_of(r, 0), LLS_FINISH_ERROR);
    assert_int_equal(lls_sched_get(r->s, a)->state, LLS_REQ_FINISHED);
    assert_int_equal(lls_sched_get(r->s, b)->tokens[4], 55);
    end(r);
}

/* ---- Sharing -------------------------------------------------------------------------------- */

static void a_prefix_is_shared_in_the_very_step_that_computes_it(void **state)
{
    rig_t   *r = begin(NULL, NULL);
    uint64_t a = add(r, desc(r, 14, 9)), b = add(r, desc(r, 15, 9));

    assert_true(schedule(r));
    assert_int_equal(lls_plan_added(r->plan)[0].n_computed, 0);
    assert_int_equal(lls_plan_added(r->plan)[1].n_computed, 12);
    assert_int_equal(run_of(r, b)->n, 3);
    assert_int_equal(lls_sched_get(r->s, b)->n_cached, 12);
    answer(r, 1);
    lls_sched_finish(r->s, a, LLS_FINISH_ABORT);
    lls_sched_finish(r->s, b, LLS_FINISH_ABORT);
    lls_sched_finish(r->s, b, LLS_FINISH_ABORT);
    check(r);
    step(r);
    must_be_idle(r);
    end(r);
}

static void prompt_logprobs_run_every_position_a_few_a_step(void **state)
{
    rig_t         *r = begin(&(lls_sched_config_t){ .max_plps = 6 }, NULL);
    lls_req_desc_t d;
    uint64_t       h, other;

    other = add(r, desc(r, 14, 9));
    step(r);
    d = desc(r, 14, 9);
    d.row_flags = LLS_ROW_PROMPT_LOGPROBS;
    d.options = LLS_REQ_NO_CACHE_READ;
    h = add(r, d);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(schedule(r));
        assert_int_equal(run_of(r, h)->pos, 6 * i);
        assert_int_equal(run_of(r, h)->n, i < 2 ? 6 : 2);
        assert_true(run_of(r, h)->flags & LLS_RUN_PROMPT_LOGPROBS);
        assert_int_equal(run_of(r, other)->n, 1);
        answer(r, 1);
    }
    assert_true(schedule(r));
    assert_int_equal(run_of(r, h)->flags, LLS_RUN_SAMPLE);  /* the answer has none */
    end(r);
}

static void a_window_keeps_few_blocks_however_long_it_runs(void **state)
{
    lls_kv_config_t k = { .n_groups = 1, .n_pools = 1, .pool_blocks = { 9 } };
    rig_t          *r;
    uint64_t        h;
    uint32_t        n;

    k.group[0] = (lls_kv_group_config_t){ .kind = LLS_KV_SLIDING, .block_tokens = BT, .window = 8 };
    r = begin(&(lls_sched_config_t){ .max_tokens = 8 }, &k);
    h = add(r, desc(r, 30, 60));
    for (n = 0; finish_of(r, 0) == LLS_FINISH_NONE && n < 100; n++) {
        assert_true(step(r));
        assert_in_range(lls_kv_n_free(r->kv, 0), 3, 8);
    }
    assert_int_equal(finish_of(r, 0), LLS_FINISH_LENGTH);
    assert_int_equal(lls_sched_get(r->s, h)->n_preempted, 0);
    end(r);
}

/* ---- Order ---------------------------------------------------------------------------------- */

static void the_queue_is_by_priority_then_fairness_then_arrival(void **state)
{
    rig_t         *r = begin(&(lls_sched_config_t){ .max_rows = 1 }, NULL);
    lls_req_desc_t d[5];
    uint64_t       order[5];
    uint32_t       n = 0;

    for (uint32_t i = 0; i < 5; i++)
        d[i] = desc(r, 4, 1);
    d[1].priority = 5;
    d[2].priority = -1;
    d[3].fair_key = 1;
    for (uint32_t i = 0; i < 5; i++)
        add(r, d[i]);
    for (uint32_t i = 0; i < 10 && n < 5; i++) {
        assert_true(schedule(r));
        if (lls_plan_n_added(r->plan) > 0)
            order[n++] = lls_plan_added(r->plan)->request;
        answer(r, 1);
    }
    assert_memory_equal(order, ((uint64_t[]){ 2, 0, 4, 3, 1 }), sizeof order);
    end(r);
}

/* Three rows fill the pool; the least important goes, and comes back with all it had. */
static void the_victim_is_the_worst_by_the_queues_order(void **state)
{
    lls_kv_config_t k = { .pool_blocks = { 10 } };
    rig_t          *r = begin(NULL, &k);
    lls_req_desc_t  d = desc(r, 11, 20);
    uint64_t        h[3];
    lls_req_t      *q[3];
    uint32_t        n = 0;

    for (uint32_t i = 0; i < 3; i++) {
        d.id = i;
        d.priority = i == 1 ? 3 : 0;        /* the one in the middle is the worst */
        d.row_flags = LLS_ROW_HISTORY;
        h[i] = add_own(r, d, 100 + (int32_t)i);
        q[i] = lls_sched_get(r->s, h[i]);
    }
    for (; q[1]->n_preempted == 0 && n < 20; n++)
        assert_true(step(r));
    assert_int_equal(q[1]->n_preempted, 1);
    assert_int_equal(q[0]->n_preempted + q[2]->n_preempted, 0);
    assert_int_equal(q[1]->state, LLS_REQ_WAITING);
    assert_int_equal(q[1]->n_computed, 0);
    n = q[1]->n_tokens;
    assert_int_equal(lls_plan_n_freed(r->plan), 1);
    lls_sched_finish(r->s, h[0], LLS_FINISH_ABORT);
    do
        assert_true(step(r));
    while (lls_plan_n_added(r->plan) == 0);
    assert_int_equal(lls_plan_added(r->plan)->request, 1);
    assert_int_equal(lls_plan_added(r->plan)->n_known, n);
    assert_int_equal(lls_plan_added(r->plan)->history.n, n);
    end(r);
}

/* A row that has its share of the step and then loses it to a better one: its blocks must not be
 * found later, for nobody has computed them. */
static void a_withdrawn_row_leaves_nothing_to_find(void **state)
{
    lls_kv_config_t    k = { .pool_blocks = { 12 } };
    lls_sched_config_t c = { .long_prefill = 8 };
    rig_t             *r = begin(&c, &k);
    lls_req_desc_t     d = desc(r, 38, 2);
    uint64_t           low, high;

    d.priority = 9;
    low = add(r, d);
    for (uint32_t i = 0; i < 3; i++)
        assert_true(step(r));
    high = add_own(r, desc(r, 4, 30), 200);
    assert_true(step(r));
    assert_int_equal(lls_sched_get(r->s, low)->n_computed, 32);
    assert_true(step(r));               /* both want blocks, and there are enough for one */
    assert_int_equal(lls_sched_get(r->s, low)->state, LLS_REQ_WAITING);
    assert_int_equal(r->plan->n_tokens, 1);
    lls_sched_finish(r->s, high, LLS_FINISH_ABORT);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_added(r->plan)->n_computed, 32);
    answer(r, 1);
    end(r);
}

static void a_lowered_budget_holds_prompts_back_and_nothing_else(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    lls_req_desc_t d;
    uint64_t       h;

    for (int32_t i = 0; i < 2; i++)
        add_own(r, desc(r, 4, 30), 100 + i);
    step(r);
    lls_sched_set_budget(r->s, 1);
    add_own(r, desc(r, 20, 5), 120);
    assert_true(schedule(r));
    assert_int_equal(r->plan->n_tokens, 3);     /* two decode, and the prompt moves by a token */
    answer(r, 1);
    lls_sched_set_budget(r->s, 12);
    assert_true(schedule(r));
    assert_int_equal(r->plan->n_tokens, 12);
    answer(r, 1);
    lls_sched_set_budget(r->s, 0);
    assert_true(schedule(r));
    assert_int_equal(r->plan->n_tokens, 11);    /* all that was left */
    answer(r, 1);
    lls_sched_set_budget(r->s, 6);
    d = desc(r, 15, 1);
    d.options = LLS_REQ_WHOLE;
    h = add_own(r, d, 130);
    assert_true(schedule(r));
    assert_int_equal(run_of(r, h)->n, 15);
    end(r);
}

static void a_blocked_request_waits_for_all_its_events(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    lls_req_desc_t d = desc(r, 4, 2);
    uint64_t       h;

    d.blocked = LLS_BLOCKED_GRAMMAR | LLS_BLOCKED_INPUT;
    h = add(r, d);
    assert_false(schedule(r));
    lls_sched_unblock(r->s, h, LLS_BLOCKED_INPUT);
    assert_false(schedule(r));
    lls_sched_unblock(r->s, h, LLS_BLOCKED_GRAMMAR);
    lls_sched_unblock(r->s, h, LLS_BLOCKED_GRAMMAR);
    assert_true(schedule(r));
    end(r);
}

/* ---- Leaving early -------------------------------------------------------------------------- */

static uint32_t match_eight(void *user, const lls_req_t *req, uint32_t n_local, uint32_t limit)
{
    return n_local == 0 && limit >= 8 && req->id == 0 ? 8 : 0;
}

static void aborts_in_each_state(void **state)
{
    lls_sched_config_t c = { .max_rows = 1, .connector.matched = match_eight };
    rig_t             *r = begin(&c, NULL);
    lls_req_desc_t     d = desc(r, 12, 5);
    uint64_t           loading = add(r, d), blocked, waiting, running;

    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_xfers(r->plan), 1);
    answer(r, 1);
    lls_sched_finish(r->s, loading, LLS_FINISH_ABORT);
    assert_int_equal(finish_of(r, 0), LLS_FINISH_ABORT);
    assert_true(lls_kv_any_held(r->kv));        /* the transfer still writes there */
    d = desc(r, 12, 5);
    running = add(r, d);
    d = desc(r, 12, 5);
    waiting = add(r, d);
    d = desc(r, 12, 5);
    d.blocked = LLS_BLOCKED_INPUT;
    blocked = add(r, d);
    step(r);
    assert_int_equal(lls_sched_get(r->s, running)->state, LLS_REQ_RUNNING);
    assert_int_equal(lls_sched_get(r->s, waiting)->state, LLS_REQ_WAITING);
    assert_int_equal(lls_sched_n_live(r->s), 3);
    lls_sched_finish(r->s, waiting, LLS_FINISH_DEADLINE);
    lls_sched_finish(r->s, blocked, LLS_FINISH_ABORT);
    lls_sched_finish(r->s, running, LLS_FINISH_REPETITION);
    lls_sched_finish(r->s, running, LLS_FINISH_ABORT);      /* too late: it has ended */
    check(r);
    assert_int_equal(finish_of(r, 1), LLS_FINISH_REPETITION);
    assert_int_equal(finish_of(r, 2), LLS_FINISH_DEADLINE);
    assert_int_equal(finish_of(r, 3), LLS_FINISH_ABORT);
    assert_int_equal(lls_sched_n_live(r->s), 0);
    step(r);
    assert_null(lls_sched_get(r->s, running));
    lls_sched_finish(r->s, running, LLS_FINISH_ABORT);      /* a stale handle is harmless */
    lls_sched_unblock(r->s, blocked, LLS_BLOCKED_INPUT);
    lls_result_reset(r->res, 0);
    *lls_result_push_done(r->res, 1) = (lls_xfer_done_t){ (uint32_t)loading, 8 };
    lls_sched_update(r->s, r->res);
    check(r);
    must_be_idle(r);
    end(r);
}

/* Two plans in flight; what comes for a former life is not taken for the present one. */
static void results_of_a_former_life_are_dropped(void **state)
{
    rig_t   *r = begin(&(lls_sched_config_t){ .max_in_flight = 2, .run_ahead = 1 }, NULL);
    uint64_t a = add(r, desc(r, 4, 9)), b;
    uint32_t n;

    assert_true(schedule(r));
    assert_true(schedule(r));                   /* runs on a token that only the device has */
    assert_int_equal(lls_plan_tokens(r->plan)[0], LLS_ON_DEVICE);
    assert_int_equal(lls_sched_get(r->s, a)->n_hold, 2);
    lls_sched_finish(r->s, a, LLS_FINISH_ABORT);
    b = add_own(r, desc(r, 4, 9), 70);
    answer(r, 1);
    assert_int_equal(lls_sched_get(r->s, a)->n_tokens, 4);
    assert_true(schedule(r));                   /* b in a's old row; a's slot may be anew in use */
    answer(r, 1);
    assert_int_equal(lls_sched_get(r->s, b)->n_tokens, 4);
    lls_sched_reset_cache(r->s);                /* preempts b with its first result to come */
    check(r);
    answer(r, 1);
    assert_int_equal(lls_sched_get(r->s, b)->n_tokens, 4);
    lls_sched_outs(r->s, &n);
    assert_int_equal(n, 0);
    step(r);
    assert_int_equal(lls_sched_get(r->s, b)->n_tokens, 5);
    end(r);
}

/* What a plan that was not carried out had promised: its blocks cannot be found, its rows begin
 * again, and what earlier plans computed still counts. */
static void a_withdrawn_plan_leaves_nothing_behind(void **state)
{
    rig_t   *r = begin(&(lls_sched_config_t){ .long_prefill = 12 }, NULL);
    uint64_t a = add(r, desc(r, 30, 9)), b;

    assert_true(step(r));
    b = add(r, desc(r, 30, 9));
    assert_true(schedule(r));
    assert_int_equal(lls_plan_added(r->plan)->n_computed, 24);  /* 12 of them in this plan */
    lls_sched_withdraw(r->s);
    r->n_answered++;
    check(r);
    assert_int_equal(lls_sched_n_in_flight(r->s), 0);
    assert_int_equal(lls_sched_get(r->s, a)->n_computed, 0);
    assert_int_equal(lls_sched_get(r->s, b)->state, LLS_REQ_WAITING);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_freed(r->plan), 2);
    assert_int_equal(lls_plan_added(r->plan)[0].request, 0);
    assert_int_equal(lls_plan_added(r->plan)[0].n_computed, 12);
    answer(r, 1);
    end(r);
}

static void resetting_the_prefix_cache_preempts_nobody(void **state)
{
    rig_t   *r = begin(NULL, NULL);
    uint64_t a = add(r, desc(r, 12, 9)), b;

    step(r);
    assert_true(lls_kv_any_held(r->kv));
    lls_kv_reset(r->kv);
    b = add(r, desc(r, 12, 9));
    assert_true(schedule(r));
    assert_int_equal(run_of(r, a)->n, 1);
    assert_int_equal(run_of(r, b)->n, 12);      /* found nothing */
    end(r);
}

static void a_paused_scheduler_ends_requests_but_runs_none(void **state)
{
    rig_t   *r = begin(NULL, NULL);
    uint64_t a = add(r, desc(r, 4, 9));

    step(r);
    lls_sched_pause(r->s, true);
    assert_false(schedule(r));
    lls_sched_finish(r->s, a, LLS_FINISH_ABORT);
    assert_true(schedule(r));                   /* only to free the row */
    assert_int_equal(lls_plan_n_runs(r->plan), 0);
    answer(r, 1);
    must_be_idle(r);
    end(r);
}

/* Arrivals by priority, in arrival order inside a class, with departures from the middle; every
 * change is followed by the check of order and shortcuts. */
static void a_long_queue_keeps_its_order(void **state)
{
    lls_sched_config_t c = { .max_reqs = 300, .max_rows = 1, .max_tokens = 8 };
    rig_t             *r = begin(&c, NULL);
    uint64_t           handles[300], first, before = 0;
    uint32_t           x = 7;
    int32_t            last = INT32_MIN;

    first = add_own(r, desc(r, 4, 2), 999);
    step(r);                                    /* takes the only row */
    for (uint32_t i = 0; i < 299; i++) {
        lls_req_desc_t d = desc(r, 4, 2);
        x = x * 1664525u + 1013904223u;
        d.priority = (int32_t)(x >> 28) - 8;
        handles[i] = add(r, d);
    }
    for (uint32_t i = 0; i < 299; i += 3) {     /* abort, block, unblock */
        lls_sched_finish(r->s, handles[i], LLS_FINISH_ABORT);
        lls_sched_block(r->s, handles[i + 1], LLS_BLOCKED_PAUSE);
        lls_sched_block(r->s, handles[i + 1], LLS_BLOCKED_GRAMMAR);
        check(r);
    }
    lls_sched_block(r->s, first, LLS_BLOCKED_PAUSE);        /* it runs: left alone */
    assert_int_equal(lls_sched_n_blocked(r->s), 100);
    for (uint32_t i = 0; i < 299; i += 3) {
        lls_sched_unblock(r->s, handles[i + 1], LLS_BLOCKED_GRAMMAR);
        lls_sched_unblock(r->s, handles[i + 1], LLS_BLOCKED_PAUSE);
        check(r);
    }
    assert_int_equal(lls_sched_n_blocked(r->s), 0);
    for (uint32_t seen = 0; lls_sched_n_live(r->s) > 0; seen += lls_plan_n_added(r->plan)) {
        step(r);
        for (uint32_t i = 0; i < lls_plan_n_added(r->plan); i++) {
            uint64_t         id = lls_plan_added(r->plan)[i].request;
            const lls_req_t *q = lls_sched_get(r->s, handles[id - 1]);
            assert_true(q != NULL && (q->priority > last || (q->priority == last && id > before)));
            last = q->priority;
            before = id;
        }
        assert_true(seen < 300);
    }
    assert_true(last > 0);
    end(r);
}

/* ---- Refused -------------------------------------------------------------------------------- */

static void refuse(rig_t *r, const lls_req_desc_t *d, llm_status_t status, const char *text)
{
    int64_t        blocks = r->alloc.live_blocks;
    lls_req_mem_t *m;

    assert_int_equal(lls_req_prepare(&r->mem, &r->cfg, &r->kvc, d, &m, &r->err), status);
    assert_null(m);
    if (strstr(r->err.message, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", r->err.message, text);
    assert_int_equal(r->alloc.live_blocks, blocks);
}

static void what_can_never_run_is_refused_with_numbers(void **state)
{
    lls_kv_config_t k = { .pool_blocks = { 11 } };
    rig_t          *r = begin(NULL, &k);
    lls_req_desc_t  d = desc(r, 0, 5);
    lls_media_t     media = { .at = { 1, 0, 3 } };

    refuse(r, &d, LLM_ERR_INVALID, "no tokens");
    d = desc(r, 4, 0);
    refuse(r, &d, LLM_ERR_INVALID, "max_tokens is 0");
    d = desc(r, 100, 5);
    refuse(r, &d, LLM_ERR_TOO_LONG, "the prompt has 100 tokens, max-model-len is 100");
    d = desc(r, 200, UINT32_MAX);
    refuse(r, &d, LLM_ERR_TOO_LONG, "the prompt has 200 tokens");
    d = desc(r, 30, 12);
    refuse(r, &d, LLM_ERR_TOO_LONG, "up to 41 tokens need 11 KV blocks, the cache has 10");
    d.max_tokens = 11;
    lls_req_discard(&r->mem, prepare(r, &d));   /* one less fits */
    d = desc(r, 30, 5);
    d.options = LLS_REQ_WHOLE;
    refuse(r, &d, LLM_ERR_TOO_LONG, "34 tokens must run in one step, max-num-batched-tokens is 32");
    d = desc(r, 3, 5);
    d.n_params = 5;
    refuse(r, &d, LLM_ERR_INVALID, "5 words");
    d = desc(r, 3, 5);
    d.adapter = 1;
    refuse(r, &d, LLM_ERR_INVALID, "max-loras is 0");
    d = desc(r, 9, 5);
    d.media = &media;
    d.n_media = 1;
    refuse(r, &d, LLM_ERR_TOO_LONG, "media of 3 embeddings");
    end(r);
}

static void a_full_house_keeps_the_request_with_the_caller(void **state)
{
    rig_t         *r = begin(&(lls_sched_config_t){ .max_reqs = 2 }, NULL);
    lls_req_desc_t d = desc(r, 4, 5);
    lls_req_mem_t *m = prepare(r, &d);
    uint64_t       h, first = add(r, desc(r, 4, 5));

    add(r, desc(r, 4, 5));
    assert_int_equal(lls_sched_add(r->s, m, &h), LLM_ERR_BUSY);
    assert_int_equal(lls_sched_fork(r->s, first, m, &h), LLM_ERR_BUSY);
    check(r);
    lls_sched_finish(r->s, first, LLS_FINISH_ABORT);
    step(r);
    assert_int_equal(lls_sched_add(r->s, m, &h), LLM_OK);
    check(r);
    end(r);                             /* with requests running, waiting and gone */
}

static void bad_configurations_are_refused(void **state)
{
    const lls_sched_config_t good = { .max_reqs = 1, .max_rows = 1, .max_tokens = 1,
                                      .max_model_len = 2, .max_in_flight = 1 };
    rig_t                   *r = begin(NULL, NULL);
    lls_sched_config_t       c[5] = { good, good, good, good, good };
    lls_sched_t             *s;

    c[0].max_rows = 0;
    c[1].max_in_flight = 0;
    c[2].max_model_len = 1;
    c[3].max_drafts = LLS_MAX_DRAFTS + 1;
    c[4].run_ahead = 300;
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(lls_sched_create(&r->mem, &c[i], r->kv, &s, &r->err), LLM_ERR_INVALID);
        assert_null(s);
    }
    end(r);
}

static void each_failed_allocation(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    lls_req_desc_t d = desc(r, 4, 5);
    int64_t        blocks = r->alloc.live_blocks;
    lls_sched_t   *s;
    lls_req_mem_t *m;
    uint64_t       n;

    for (n = 1;; n++) {
        r->alloc.n_calls = 0;
        r->alloc.fail_at = n;
        if (lls_sched_create(&r->mem, &r->cfg, r->kv, &s, &r->err) == LLM_OK)
            break;
        assert_int_equal(r->err.status, LLM_ERR_NO_MEMORY);
        assert_null(s);
        assert_int_equal(r->alloc.live_blocks, blocks);
    }
    assert_int_equal(n, 14);
    lls_sched_destroy(s);
    lls_sched_destroy(NULL);
    for (n = 1;; n++) {
        r->alloc.n_calls = 0;
        r->alloc.fail_at = n;
        if (lls_req_prepare(&r->mem, &r->cfg, &r->kvc, &d, &m, &r->err) == LLM_OK)
            break;
        assert_int_equal(r->err.status, LLM_ERR_NO_MEMORY);
        assert_null(m);
    }
    assert_int_equal(n, 2);
    lls_req_discard(&r->mem, m);
    lls_req_discard(&r->mem, NULL);
    assert_int_equal(r->alloc.live_blocks, blocks);
    end(r);
}

static void the_numbers_add_up(void **state)
{
    rig_t            *r = begin(&(lls_sched_config_t){ .max_rows = 2 }, NULL);
    lls_sched_stats_t st;

    for (uint32_t i = 0; i < 3; i++)
        add(r, desc(r, 10, 5));
    step(r);
    lls_sched_stats(r->s, &st);
    assert_int_equal(st.n_running, 2);
    assert_int_equal(st.n_waiting, 1);
    assert_int_equal(st.n_steps, 1);
    assert_int_equal(st.n_cached, 8);
    assert_int_equal(st.blocks_total, 60);
    assert_int_equal(st.blocks_held, 4);        /* 3 and 3, of which two are shared */
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_runs_to_its_length_and_its_memory_comes_back),
        cmocka_unit_test(a_long_prompt_goes_in_chunks_beside_a_decoding_row),
        cmocka_unit_test(stop_ids_count_from_min_tokens_on),
        cmocka_unit_test(without_max_tokens_it_ends_with_the_context),
        cmocka_unit_test(a_pooling_request_ends_with_its_prompt),
        cmocka_unit_test(a_row_that_fails_takes_nobody_with_it),
        cmocka_unit_test(a_prefix_is_shared_in_the_very_step_that_computes_it),
        cmocka_unit_test(prompt_logprobs_run_every_position_a_few_a_step),
        cmocka_unit_test(a_window_keeps_few_blocks_however_long_it_runs),
        cmocka_unit_test(the_queue_is_by_priority_then_fairness_then_arrival),
        cmocka_unit_test(the_victim_is_the_worst_by_the_queues_order),
        cmocka_unit_test(a_withdrawn_row_leaves_nothing_to_find),
        cmocka_unit_test(a_lowered_budget_holds_prompts_back_and_nothing_else),
        cmocka_unit_test(a_blocked_request_waits_for_all_its_events),
        cmocka_unit_test(aborts_in_each_state),
        cmocka_unit_test(results_of_a_former_life_are_dropped),
        cmocka_unit_test(a_withdrawn_plan_leaves_nothing_behind),
        cmocka_unit_test(resetting_the_prefix_cache_preempts_nobody),
        cmocka_unit_test(a_paused_scheduler_ends_requests_but_runs_none),
        cmocka_unit_test(a_long_queue_keeps_its_order),
        cmocka_unit_test(what_can_never_run_is_refused_with_numbers),
        cmocka_unit_test(a_full_house_keeps_the_request_with_the_caller),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(each_failed_allocation),
        cmocka_unit_test(the_numbers_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
