/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a turn of the engine must do, worked out beside it: who arrives, is aborted, expires, gets a
 * token, ends and why; then the engine's numbers are compared.
 *
 * The first half of a turn is done when the runner is called, or at its end if it was not; the
 * clock stands still until then.
 */
#include <string.h>

#include "simengine/esim.h"

/* ---- Ends ------------------------------------------------------------------------------------ */

static void end_comp(esim_t *m, es_comp_t *c, uint32_t finish, llm_status_t error)
{
    es_req_t *q = c->req;

    c->finish = finish;
    c->error = error;
    m->by_finish[finish]++;
    esim_total.completions++;
    if (++q->n_ended < q->s.n)
        return;
    m->n_unfinished--;
    m->finished++;
}

static void note_due(const esim_t *m, es_req_t *q)
{
    for (uint32_t i = 0; i < q->s.n; i++) {
        es_comp_t *c = &q->c[i];
        if (!c->due && !c->over && esim_is_due(m, c)) {
            c->due = true;
            c->plps_at_due = q->n_plps;
        }
    }
}

static void end_request(esim_t *m, es_req_t *q, uint32_t finish, llm_status_t error)
{
    for (uint32_t i = 0; i < q->s.n; i++)
        if (q->c[i].finish == LLM_FINISH_NONE)
            end_comp(m, &q->c[i], finish, error);
}

/* ---- The first half -------------------------------------------------------------------------- */

void esim_accept(esim_t *m, es_req_t *q)
{
    for (uint32_t i = 0; i < m->n_reqs; i++)
        MUST(m->reqs[i] == q || m->reqs[i]->engine != m->n_engines || m->reqs[i]->id != q->id,
             "an id comes again");
    q->accepted = true;
    q->engine = m->n_engines;
    q->added_us = m->now;
    q->wall_us = (int64_t)(m->now + m->wall_ahead);
    q->n_plps = q->prompt_wide > 0;
    q->pause_no = m->pause_mode >= 0 && !q->in_batch ? m->pause_no : 0;
    m->live[m->n_live++] = q->number;
    m->n_unfinished++;
    m->n_slots += q->s.n;
    esim_total.requests++;
}

/* Those that the batch has queued since: the engine lists the newest first. */
static void find_batch_requests(esim_t *m, const lls_request_t *req)
{
    es_req_t *q;

    if (req == NULL)
        return;
    find_batch_requests(m, req->next);
    q = req->user_data;
    if (q->accepted)
        return;
    MUST(req->batch != NULL, "a request that nobody has added");
    q->id = req->id;
    esim_accept(m, q);
}

static void expire(esim_t *m, es_req_t *q)
{
    uint64_t age = m->now - q->added_us;
    bool     total = q->r.timeout_ms > 0 && age >= q->r.timeout_ms * 1000ull;
    bool     queue = q->r.queue_timeout_ms > 0 && age >= q->r.queue_timeout_ms * 1000ull;

    for (uint32_t i = 0; i < q->s.n; i++)
        if (q->c[i].finish == LLM_FINISH_NONE && (total || (queue && q->c[i].n_adds == 0))) {
            end_comp(m, &q->c[i], LLM_FINISH_DEADLINE, LLM_OK);
            esim_total.expired++;
        }
}

void esim_turn_begin(esim_t *m)
{
    uint32_t kept = 0;

    if (m->turn_open)
        return;
    m->turn_open = true;
    m->executed = m->cancelled = m->dying = false;
    m->turn_pause_mode = m->pause_mode;
    m->turn_pause_no = m->pause_no;
    find_batch_requests(m, m->e->alive);
    for (uint32_t i = 0; i < m->n_live; i++) {
        es_req_t *q = m->reqs[m->live[i]];
        if (!q->submitted)
            q->order = (m->n_orders += MAX_N);
        q->submitted = true;
        if (q->abort_asked)
            end_request(m, q, LLM_FINISH_ABORT, LLM_OK);
        note_due(m, q);
        q->gone |= q->in_batch && q->n_ended == q->s.n;
        if (q->gone) {
            m->n_slots -= q->s.n;
            continue;
        }
        m->live[kept++] = q->number;
        expire(m, q);
        note_due(m, q);
    }
    m->n_live = kept;
}

/* ---- The second half ------------------------------------------------------------------------- */

static void note_token(esim_t *m, es_comp_t *c)
{
    uint64_t since = lls_max_u64(1, m->now - c->req->added_us);

    if (c->first_us == 0) {
        c->first_us = since;
        c->last_us = since;
        c->first_step = m->steps;
        m->prompt_tokens += c->req->n_prompt;
    }
    c->itl_max = lls_max_u64(c->itl_max, since - c->last_us);
    c->last_us = since;
    c->last_step = m->steps;
    c->adds_at_token = c->n_adds;
    m->completion_tokens++;
    esim_total.tokens++;
}

/* Output that found no memory: one completion's trouble, only when an allocation has failed. */
static bool lost_its_memory(const esim_t *m, const es_comp_t *c)
{
    const lls_completion_t *have = m->e->slots[(uint32_t)c->label - 1].c;

    return m->n_failed > m->failed_before && have->finish == LLM_FINISH_ERROR &&
           have->error.status == LLM_ERR_NO_MEMORY;
}

static void take_result(esim_t *m, es_comp_t *c)
{
    if (c->got_token) {
        note_token(m, c);
        MUST(c->made <= c->n_solo, "I6 it ran past its end");
    }
    if (c->got_token && lost_its_memory(m, c)) {
        c->made--;
        end_comp(m, c, LLM_FINISH_ERROR, LLM_ERR_NO_MEMORY);
        esim_total.oom++;
    } else if (c->refused) {
        MUST(c->made == c->n_solo && c->solo_finish == LLM_FINISH_ABORT, "refused elsewhere");
        end_comp(m, c, LLM_FINISH_ABORT, LLM_OK);
    } else if (c->row_status != LLS_ROW_OK) {
        end_comp(m, c, LLM_FINISH_ERROR, c->row_status == LLS_ROW_NAN && c->req->hooked
                                             ? LLM_ERR_INVALID : LLM_ERR_INTERNAL);
        esim_total.row_faults++;
    } else if (c->pooled || (c->got_token && c->made == c->n_solo &&
                             c->solo_finish != LLM_FINISH_ABORT)) {
        end_comp(m, c, c->solo_finish, LLM_OK);
    }
    c->ran = c->refused = c->got_token = c->pooled = false;
}

/* A dead engine: what had not ended has the engine's error, or what was asked of it before. */
static void take_death(esim_t *m)
{
    esim_total.deaths++;
    for (uint32_t i = 0; i < m->n_live; i++) {
        es_req_t *q = m->reqs[m->live[i]];
        q->submitted = true;
        end_request(m, q, q->abort_asked ? LLM_FINISH_ABORT : LLM_FINISH_ERROR,
                    q->abort_asked ? LLM_OK : LLM_ERR_DEVICE);
    }
}

uint64_t esim_queued_tokens(const esim_t *m)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < m->n_live; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        for (uint32_t k = 0; k < q->s.n; k++)
            if (!q->c[k].prefilled && q->c[k].finish == LLM_FINISH_NONE)
                n += q->n_prompt;
    }
    return n;
}

bool esim_is_held(const esim_t *m, const es_req_t *q)
{
    return m->turn_pause_mode >= 0 && q->pause_no == m->turn_pause_no && q->pause_no != 0;
}

/* Who came before a pause counts as running until its end, unless all stands still. */
static void check_running(const esim_t *m, const llm_stats_t *s)
{
    uint64_t n = lls_metrics_gauge(&m->e->metrics, LLS_GAUGE_RUNNING);
    uint32_t earlier = 0;

    for (uint32_t i = 0; i < m->n_live; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        earlier += q->n_ended < q->s.n && q->pause_no != m->pause_no;
    }
    if (m->pause_mode >= 0 && m->pause_mode != LLM_PAUSE_KEEP)
        n = lls_max_u64(n, earlier);
    MUST(s->paused == (m->pause_mode >= 0) && s->requests_running == n, "running in a pause");
}

static void check_numbers(esim_t *m, bool dead)
{
    llm_stats_t s = LLM_INIT(llm_stats_t);
    uint32_t    n = 0;

    llm_engine_stats(m->e, &s);
    for (uint32_t i = 0; i < m->n_live; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        n += q->submitted ? q->s.n - q->n_ended : 0;
    }
    MUST(llm_engine_unfinished(m->e) == m->n_unfinished, "unfinished");
    MUST(lls_metrics_gauge(&m->e->metrics, LLS_GAUGE_RUNNING) + s.requests_waiting == n,
         "I10 running and waiting");
    MUST(atomic_load(&m->e->admission.queued) == esim_queued_tokens(m), "queued tokens");
    check_running(m, &s);
    MUST(s.steps == m->steps && s.requests_finished == m->finished, "I10 steps or finished");
    MUST(s.prompt_tokens == m->prompt_tokens, "I10 prompt tokens");
    MUST(s.cached_tokens == m->cached_tokens, "I10 cached tokens");
    MUST(s.completion_tokens == m->completion_tokens, "I12 completion tokens");
    MUST(s.kv_blocks_used <= s.kv_blocks_total && s.dead == dead && s.step_age_us == 0, "stats");
    MUST(n > 0 || s.kv_blocks_used == 0, "I9 blocks held for nobody");
}

static bool anybody_can_run(const esim_t *m)
{
    for (uint32_t i = 0; i < m->n_live && m->turn_pause_mode != LLM_PAUSE_KEEP; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        if (q->submitted && q->n_ended < q->s.n && !esim_is_held(m, q))
            return true;
    }
    return false;
}

static void check_liveness(esim_t *m)
{
    bool moves = m->executed || m->cancelled || !anybody_can_run(m);

    m->idle_turns = moves ? 0 : m->idle_turns + 1;
    MUST(m->idle_turns < 4, "S8 nothing moves");
    MUST(m->turns < 60000, "I5 it never ends");
}

void esim_turn_end(esim_t *m, llm_status_t st)
{
    const char *bad;

    esim_turn_begin(m);
    MUST((st == LLM_ERR_DEVICE) == m->dying && (st == LLM_OK || m->dying), "status of a step");
    m->steps += m->executed && !m->dying;
    for (uint32_t i = 0; i < m->n_live; i++) {
        es_req_t *q = m->reqs[m->live[i]];
        for (uint32_t k = 0; k < q->s.n; k++)
            if (q->c[k].ran)
                take_result(m, &q->c[k]);
    }
    if (m->dying)
        take_death(m);
    for (uint32_t i = 0; i < m->n_live; i++)
        note_due(m, m->reqs[m->live[i]]);
    m->turn_open = false;
    m->turns++;
    m->failed_before = m->n_failed;
    esim_total.turns++;
    esim_total.steps += m->executed;
    esim_total.cancelled += m->cancelled;
    check_numbers(m, m->dying);
    MUST(m->e->n_free_slots + m->n_slots == m->queued, "places");
    check_liveness(m);
    bad = m->dying ? NULL : lls_sched_check(m->e->sched);
    if (bad != NULL)
        lls_panic(__FILE__, __LINE__, bad);
}

/* ---- At rest --------------------------------------------------------------------------------- */

void esim_check_idle(esim_t *m)
{
    llm_stats_t s = LLM_INIT(llm_stats_t);
    const char *bad;

    MUST(m->n_unfinished == 0 && m->n_live == 0 && m->n_slots == 0, "I8 still there");
    MUST(m->e->n_free_slots == m->queued, "I8 places are lost");
    llm_engine_stats(m->e, &s);
    MUST(s.host_bytes == m->idle_host_bytes, "I8 memory held at rest");
    for (uint32_t i = 0; i < LLS_PRIORITY_CLASSES; i++)
        MUST(atomic_load(&m->e->admission.awaited[i]) == 0, "I8 tokens awaited of nobody");
    MUST(s.preemptions == m->preemptions || m->lost_counts, "I10 preemptions");
    for (uint32_t i = 0; i < LLS_N_FINISH; i++)
        MUST(m->e->metrics.finished[i] == m->by_finish[i], "I10 reasons in the metrics");
    bad = lls_sched_check_idle(m->e->sched);
    if (bad != NULL)
        lls_panic(__FILE__, __LINE__, bad);
}
