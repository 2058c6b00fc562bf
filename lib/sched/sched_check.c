/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/sched_int.h"

static const char *check_req(const lls_sched_t *s, const lls_req_t *r)
{
    if (r->state == LLS_REQ_RUNNING) {
        if (r->n_computed > r->n_tokens + r->n_hold)
            return "S3 computed more than known and awaited";
        if (r->n_computed > r->len_cap - 1)
            return "S5 a position beyond the length cap";
        if (r->n_flying == 0 && (r->n_hold != 0 || r->slack != 0))
            return "S4 placeholders without a result to come";
        if (s->n_flights == 0 && r->n_flying != 0)
            return "S4 a token awaited from nowhere";
        if (r->row >= s->cfg.max_rows)
            return "S7 running without a row";
    } else if (r->row != LLS_NONE || r->n_hold != 0) {
        if (r->state != LLS_REQ_FINISHED)
            return "S7 a row or placeholders of a request that does not run";
    }
    if (r->n_computed > 0 && !s->holders &&
        (r->state == LLS_REQ_WAITING || r->state == LLS_REQ_BLOCKED))
        return "S16 blocks that nobody would ask back";
    if (r->state == LLS_REQ_FINISHED && r->n_jobs == 0)
        for (uint32_t g = 0; g < LLS_MAX_GROUPS; g++)
            if (r->kv.n_blocks[g] != 0)
                return "S7 blocks of a finished request";
    return NULL;
}

/* Every level above the first is part of the one below, in its order. */
static const char *check_shortcuts(const lls_sched_t *s)
{
    for (uint32_t level = 1; level < LLS_QUEUE_LEVELS; level++) {
        uint32_t below = s->head[level - 1];
        for (uint32_t i = s->head[level]; i != LLS_NONE; i = req_at(s, i)->next[level]) {
            while (below != LLS_NONE && below != i)
                below = req_at(s, below)->next[level - 1];
            if (below == LLS_NONE)
                return "S10 a shortcut of the waiting queue leads elsewhere";
        }
    }
    return NULL;
}

static const char *check_queues(lls_sched_t *s)
{
    uint32_t n = 0, last = LLS_NONE, holders = 0;

    for (uint32_t i = s->head[0]; i != LLS_NONE; last = i, i = req_at(s, i)->next[0]) {
        if (req_at(s, i)->state != LLS_REQ_WAITING || req_at(s, i)->prev != last ||
            ++n > s->n_waiting)
            return "S2 waiting queue broken";
        if (last != LLS_NONE && !lls_req_goes_before(req_at(s, last), req_at(s, i)))
            return "S10 waiting queue out of order";
    }
    for (uint32_t i = 0; i < s->n_running; i++) {
        if (running_at(s, i)->state != LLS_REQ_RUNNING)
            return "S2 running list holds a stranger";
        holders += running_at(s, i)->lora != LLS_NONE;
    }
    for (uint32_t i = 0; i < s->cfg.max_loras; i++)
        holders -= s->loras[i].holders;
    if (holders != 0)
        return "S7 LoRA slots do not add up";
    if (s->n_free_rows + s->n_running != s->cfg.max_rows)
        return "R1 rows do not add up";
    return n != s->n_waiting ? "S2 waiting count" : check_shortcuts(s);
}

bool lls_sched_charges_add_up(const lls_sched_t *s, const lls_step_plan_t *plan)
{
    uint32_t plps = s->plps, max = s->cfg.max_plps != 0 ? s->cfg.max_plps : s->cfg.max_tokens;

    for (uint32_t i = 0; i < lls_plan_n_runs(plan); i++)
        if (lls_plan_runs(plan)[i].flags & LLS_RUN_PROMPT_LOGPROBS)
            plps += lls_plan_runs(plan)[i].n;
    return s->budget + plan->n_tokens == s->cfg.max_tokens && plps == max;
}

/* Blocks and their holders: every request that exists is counted. */
static const char *check_blocks(lls_sched_t *s)
{
    const char *bad = lls_kv_check_begin(s->kv);

    for (uint32_t i = 0; bad == NULL && i < s->cfg.max_reqs; i++)
        if (s->reqs[i].state != LLS_REQ_FREE)
            bad = lls_kv_check_seq(s->kv, &s->reqs[i].kv);
    return bad != NULL ? bad : lls_kv_check_end(s->kv);
}

const char *lls_sched_check(lls_sched_t *s)
{
    uint32_t    live = 0;
    const char *bad = check_queues(s);

    for (uint32_t i = 0; bad == NULL && i < s->cfg.max_reqs; i++) {
        lls_req_t *r = &s->reqs[i];
        if (r->state == LLS_REQ_FREE)
            continue;
        live += r->state != LLS_REQ_FINISHED;
        bad = check_req(s, r);
    }
    if (bad == NULL && live != lls_sched_n_live(s))
        bad = "S2 a live request is in no queue";
    if (bad == NULL)
        bad = check_blocks(s);
    return bad != NULL ? bad : lls_enc_check(&s->enc);
}

const char *lls_sched_check_idle(lls_sched_t *s)
{
    const char *bad = lls_sched_check(s);

    if (bad == NULL && s->enc.n_held != 0)
        bad = "S14 encoder entries held at idle";
    if (bad == NULL && lls_kv_any_held(s->kv))
        bad = "S14 blocks held at idle";
    return bad;
}
