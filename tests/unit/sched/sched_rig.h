/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched_rig - a scheduler over a small cache, and a runner that samples the same token always; the
 * scheduler is checked after every call.
 */
#ifndef LLS_TEST_SCHED_RIG_H
#define LLS_TEST_SCHED_RIG_H

#include "unit/test.h"

#include "sched/sched.h"

#define BT 4u

typedef struct rig {
    test_alloc_t       alloc;
    llm_allocator_t    hook;
    lls_mem_t          mem;
    lls_kv_config_t    kvc;
    lls_sched_config_t cfg;
    lls_kv_t          *kv;
    lls_sched_t       *s;
    lls_step_limits_t  lim;
    lls_step_plan_t   *plan;        /* the last one made */
    lls_step_plan_t   *flights[4];  /* packed, by step % 4 */
    uint64_t           n_answered;
    int32_t            next_token;  /* what each row samples */
    lls_step_result_t *res;
    int32_t            tokens[256];
    uint64_t           n_added;
    llm_error_t        err;
} rig_t;

static inline void check(rig_t *r)
{
    const char *bad = lls_sched_check(r->s);

    if (bad != NULL)
        fail_msg("%s", bad);
}

/* Defaults: 8 requests, 4 rows, 32 tokens a step, 100 tokens long, 60 blocks of 4 tokens. */
static inline rig_t *begin(const lls_sched_config_t *cfg, const lls_kv_config_t *kvc)
{
    rig_t *r = calloc(1, sizeof *r);

    r->hook = test_allocator(&r->alloc);
    lls_mem_init(&r->mem, &r->hook);
    if (kvc != NULL)
        r->kvc = *kvc;
    if (r->kvc.n_groups == 0) {
        r->kvc.n_groups = r->kvc.n_pools = 1;
        r->kvc.group[0].block_tokens = BT;
    }
    if (r->kvc.pool_blocks[0] == 0)
        r->kvc.pool_blocks[0] = 61;
    r->kvc.caching = true;
    if (cfg != NULL)
        r->cfg = *cfg;
    r->cfg.max_reqs = r->cfg.max_reqs != 0 ? r->cfg.max_reqs : 8;
    r->cfg.max_rows = r->cfg.max_rows != 0 ? r->cfg.max_rows : 4;
    r->cfg.max_tokens = r->cfg.max_tokens != 0 ? r->cfg.max_tokens : 32;
    r->cfg.max_model_len = 100;
    r->cfg.max_in_flight = r->cfg.max_in_flight != 0 ? r->cfg.max_in_flight : 1;
    r->cfg.max_params = 4;
    r->cfg.max_jobs = 4;
    assert_int_equal(lls_kv_create(&r->mem, &r->kvc, &r->kv, &r->err), LLM_OK);
    assert_int_equal(lls_sched_create(&r->mem, &r->cfg, r->kv, &r->s, &r->err), LLM_OK);
    lls_sched_step_limits(r->s, &r->lim);
    r->plan = lls_plan_init(malloc(lls_plan_size(&r->lim)), &r->lim);
    r->res = lls_result_init(malloc(lls_result_size(&r->lim)), &r->lim);
    for (int32_t i = 0; i < 4; i++)
        r->flights[i] = malloc(r->plan->bytes);
    for (int32_t i = 0; i < 256; i++)
        r->tokens[i] = i;
    r->next_token = 1000;
    return r;
}

static inline void end(rig_t *r)
{
    lls_sched_destroy(r->s);
    lls_kv_destroy(r->kv);
    assert_int_equal(r->alloc.live_blocks, 0);
    assert_int_equal(r->alloc.live_bytes, 0);
    for (int32_t i = 0; i < 4; i++)
        free(r->flights[i]);
    free(r->plan);
    free(r->res);
    free(r);
}

static inline lls_req_desc_t desc(rig_t *r, uint32_t n_tokens, uint32_t max_tokens)
{
    return (lls_req_desc_t){ .id = r->n_added++, .tokens = r->tokens, .n_tokens = n_tokens,
                             .max_tokens = max_tokens, .positions = LLS_NONE, .embeds = LLS_NONE };
}

static inline lls_req_mem_t *prepare(rig_t *r, const lls_req_desc_t *d)
{
    lls_req_mem_t *m;

    assert_int_equal(lls_req_prepare(&r->mem, &r->cfg, &r->kvc, d, &m, &r->err), LLM_OK);
    return m;
}

static inline uint64_t add(rig_t *r, lls_req_desc_t d)
{
    uint64_t handle = 0;

    assert_int_equal(lls_sched_add(r->s, prepare(r, &d), &handle), LLM_OK);
    check(r);
    return handle;
}

/* As add, of a request whose first token is `first`: nothing in common with others. */
static inline uint64_t add_own(rig_t *r, lls_req_desc_t d, int32_t first)
{
    uint64_t h;

    r->tokens[0] = first;
    h = add(r, d);
    r->tokens[0] = 0;
    return h;
}

static inline bool schedule(rig_t *r)
{
    uint64_t calls = r->alloc.n_calls;
    bool     any = lls_sched_schedule(r->s, r->plan);

    assert_int_equal(r->alloc.n_calls, calls);
    check(r);
    if (any) {
        lls_step_plan_t *sent = r->flights[r->plan->step % 4];
        assert_true(lls_plan_pack(r->plan, sent, r->plan->bytes) > 0);
        assert_true(lls_plan_is_sound(sent, sent->bytes));
    }
    return any;
}

/* Every row that samples gives `n` tokens, at most those asked for. */
static inline void answer(rig_t *r, uint32_t n)
{
    const lls_step_plan_t *p = r->flights[++r->n_answered % 4];
    uint64_t               calls = r->alloc.n_calls;

    lls_result_reset(r->res, r->n_answered);
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        const lls_run_row_t *run = &lls_plan_runs(p)[i];
        lls_row_result_t    *row = lls_result_push_rows(r->res, 1);
        *row = (lls_row_result_t){ 0 };
        if (!(run->flags & LLS_RUN_SAMPLE))
            continue;
        row->tokens.off = lls_result_n_tokens(r->res);
        row->tokens.n = lls_min_u32(n, 1u + run->n_draft);
        for (uint32_t k = 0; k < row->tokens.n; k++)
            *lls_result_push_tokens(r->res, 1) = r->next_token;
    }
    lls_sched_update(r->s, r->res);
    assert_int_equal(r->alloc.n_calls, calls);
    check(r);
}

static inline bool step(rig_t *r)
{
    bool any = schedule(r);

    if (any)
        answer(r, 1);
    return any;
}

static inline uint32_t finish_of(rig_t *r, uint64_t id)
{
    uint32_t               n;
    const lls_sched_out_t *o = lls_sched_outs(r->s, &n);

    for (uint32_t i = 0; i < n; i++)
        if (o[i].id == id && o[i].finish != LLS_FINISH_NONE)
            return o[i].finish;
    return LLS_FINISH_NONE;
}

static inline void must_be_idle(rig_t *r)
{
    const char *bad;

    assert_false(schedule(r));
    bad = lls_sched_check_idle(r->s);
    if (bad != NULL)
        fail_msg("%s", bad);
}

static inline const lls_run_row_t *run_of(rig_t *r, uint64_t handle)
{
    const lls_req_t *q = lls_sched_get(r->s, handle);

    for (uint32_t i = 0; i < lls_plan_n_runs(r->plan); i++)
        if (lls_plan_runs(r->plan)[i].row == q->row)
            return &lls_plan_runs(r->plan)[i];
    return NULL;
}

#endif
