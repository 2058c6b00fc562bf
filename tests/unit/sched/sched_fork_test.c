/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that go on from what another one has computed. */
#include "unit/sched/sched_rig.h"

static void a_fork_shares_what_is_common_and_no_more(void **state)
{
    rig_t         *r = begin(&(lls_sched_config_t){ .max_tokens = 64 }, NULL);
    lls_req_desc_t d[5];
    uint64_t       parent = add(r, desc(r, 14, 20)), h[5];
    uint32_t       want[5] = { 13, 9, 7, 0, 0 };

    step(r);
    for (uint32_t i = 0; i < 5; i++)
        d[i] = desc(r, 14, 5);
    d[1].n_tokens = 10;
    d[3].salt = 1;
    d[4].options = LLS_REQ_NO_CACHE_READ;
    for (uint32_t i = 0; i < 5; i++) {
        r->tokens[7] = i == 2 ? 99 : 7;
        assert_int_equal(lls_sched_fork(r->s, parent, prepare(r, &d[i]), &h[i]), LLM_OK);
        assert_int_equal(lls_sched_get(r->s, h[i])->n_computed, want[i]);
        check(r);
    }
    lls_sched_finish(r->s, parent, LLS_FINISH_ABORT);       /* its blocks stay for the copies */
    check(r);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_copies(r->plan), 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(lls_plan_added(r->plan)[i].n_computed, want[i]);
    answer(r, 1);
    for (uint32_t i = 0; i < 5; i++)
        lls_sched_finish(r->s, h[i], LLS_FINISH_ABORT);
    step(r);
    must_be_idle(r);
    end(r);
}

static void a_fork_of_nobody_is_an_ordinary_request(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    lls_req_desc_t d = desc(r, 6, 2);
    uint64_t       h;

    assert_int_equal(lls_sched_fork(r->s, 12345, prepare(r, &d), &h), LLM_OK);
    assert_true(schedule(r));
    assert_int_equal(run_of(r, h)->n, 6);
    end(r);
}

/* A step of beam search: who is held lends its blocks to forks, or gives them up when asked. */
static void a_held_request_keeps_its_blocks_and_no_row(void **state)
{
    rig_t         *r = begin(NULL, NULL);
    lls_req_desc_t d = desc(r, 15, 5);
    uint64_t       h = add(r, desc(r, 14, 20)), other = add_own(r, desc(r, 4, 20), 50), fork[2];

    lls_sched_hold(r->s, h, LLS_BLOCKED_INPUT);     /* it waits: nothing happens */
    step(r);
    lls_sched_hold(r->s, h, LLS_BLOCKED_INPUT);
    check(r);
    assert_int_equal(lls_sched_get(r->s, h)->state, LLS_REQ_BLOCKED);
    assert_int_equal(lls_sched_get(r->s, h)->n_computed, 14);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_freed(r->plan), 1);
    assert_int_equal(lls_plan_n_runs(r->plan), 1);
    answer(r, 1);
    for (int32_t i = 0; i < 2; i++) {
        r->tokens[14] = 500 + i;
        d.id = r->n_added++;
        assert_int_equal(lls_sched_fork(r->s, h, prepare(r, &d), &fork[i]), LLM_OK);
        assert_int_equal(lls_sched_get(r->s, fork[i])->n_computed, 14);
        check(r);
    }
    lls_sched_unblock(r->s, h, LLS_BLOCKED_INPUT);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_copies(r->plan), 2);
    assert_int_equal(run_of(r, h)->n, 1);
    assert_int_equal(run_of(r, h)->pos, 14);
    assert_int_equal(run_of(r, fork[0])->n, 1);
    assert_int_equal(run_of(r, fork[1])->pos, 14);
    answer(r, 1);
    lls_sched_finish(r->s, other, LLS_FINISH_ABORT);
    check(r);
    end(r);
}

static void a_fork_waits_in_its_parents_place(void **state)
{
    rig_t         *r = begin(&(lls_sched_config_t){ .max_rows = 1 }, NULL);
    lls_req_desc_t d = desc(r, 6, 2);
    uint64_t       parent = add(r, desc(r, 4, 20)), fork;

    step(r);
    add_own(r, desc(r, 4, 20), 60);
    d.id = r->n_added++;
    assert_int_equal(lls_sched_fork(r->s, parent, prepare(r, &d), &fork), LLM_OK);
    check(r);
    lls_sched_finish(r->s, parent, LLS_FINISH_ABORT);
    assert_true(schedule(r));
    assert_int_equal(lls_plan_n_added(r->plan), 1);
    assert_int_equal(lls_plan_added(r->plan)[0].request, d.id);
    answer(r, 1);
    end(r);
}

/* The first of them is gone before it runs, and there is one row. */
static void any_fork_runs_behind_its_copy(void **state)
{
    rig_t         *r = begin(&(lls_sched_config_t){ .max_rows = 1 }, NULL);
    uint64_t       parent = add(r, desc(r, 6, 20)), fork[2];
    lls_req_desc_t d = desc(r, 6, 2);

    step(r);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(lls_sched_fork(r->s, parent, prepare(r, &d), &fork[i]), LLM_OK);
    lls_sched_finish(r->s, parent, LLS_FINISH_ABORT);
    lls_sched_finish(r->s, fork[0], LLS_FINISH_ABORT);
    assert_true(schedule(r));
    assert_int_equal(run_of(r, fork[1])->pos, 5);
    assert_int_equal(lls_plan_n_copies(r->plan), 2);
    answer(r, 1);
    end(r);
}

static void what_is_held_gives_way_to_who_runs(void **state)
{
    lls_kv_config_t k = { .pool_blocks = { 9 } };
    rig_t          *r = begin(NULL, &k);
    uint64_t        h = add(r, desc(r, 14, 10)), other = add_own(r, desc(r, 15, 12), 50);

    step(r);
    lls_sched_hold(r->s, h, LLS_BLOCKED_INPUT);
    for (uint32_t i = 0; i < 6; i++)
        step(r);
    assert_int_equal(lls_sched_get(r->s, h)->n_computed, 0);
    assert_int_equal(lls_sched_get(r->s, other)->n_preempted, 0);
    lls_sched_unblock(r->s, h, LLS_BLOCKED_INPUT);
    for (uint32_t i = 0; i < 40 && lls_sched_n_live(r->s) > 0; i++)
        step(r);
    assert_int_equal(lls_sched_n_live(r->s), 0);
    end(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fork_shares_what_is_common_and_no_more),
        cmocka_unit_test(a_fork_of_nobody_is_an_ordinary_request),
        cmocka_unit_test(a_held_request_keeps_its_blocks_and_no_row),
        cmocka_unit_test(a_fork_waits_in_its_parents_place),
        cmocka_unit_test(any_fork_runs_behind_its_copy),
        cmocka_unit_test(what_is_held_gives_way_to_who_runs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
