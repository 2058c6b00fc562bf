/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/beam.h"

#include <string.h>

#define STEP_TARGET_NS  500e6       /* a step with prompts is cut to about this long */
#define MIN_BUDGET      128u        /* below it a step of a large model only streams weights */
#define MEASURED_TOKENS 64u         /* steps of fewer tokens say little about prompts' speed */

llm_status_t lls_engine_enter(lls_engine_t *e, llm_error_t *err)
{
    uint32_t idle = 0;

    if (lls_engine_is_here(e) && atomic_compare_exchange_strong(&e->busy, &idle, 1))
        return LLM_OK;
    return lls_fail(err, LLM_ERR_STATE,
                    "another thread, a callback or a process forked off is inside this engine");
}

void lls_engine_leave(lls_engine_t *e)
{
    atomic_store_explicit(&e->busy, 0, memory_order_release);
}

llm_status_t lls_engine_refuse_dead(const lls_engine_t *e, llm_error_t *err)
{
    if (err != NULL)
        *err = e->death;
    return LLM_ERR_DEVICE;
}

/* ---- Requests end ---------------------------------------------------------------------------- */

static void note_end(lls_engine_t *e, const lls_completion_t *c)
{
    const lls_request_t *req = c->req;
    double               whole = (double)(lls_engine_now(e) - req->added_us) * 1e-6;
    double               queue = (double)c->queue_us * 1e-6;
    double               first = (double)c->first_token_us * 1e-6;
    double               last = (double)c->last_us * 1e-6;
    lls_metrics_t       *m = &e->metrics;

    lls_metrics_bump(&m->finished[c->finish], 1);
    lls_metrics_observe(m, LLS_HIST_REQUEST_PROMPT, req->n_prompt);
    lls_metrics_observe(m, LLS_HIST_REQUEST_GENERATION, (double)c->n_tokens);
    lls_metrics_observe(m, LLS_HIST_E2E, whole);
    lls_metrics_observe(m, LLS_HIST_QUEUE, c->queue_us > 0 ? queue : whole);
    if (c->first_token_us == 0)
        return;
    lls_metrics_observe(m, LLS_HIST_INFERENCE, last - queue);
    lls_metrics_observe(m, LLS_HIST_PREFILL, first - queue);
    lls_metrics_observe(m, LLS_HIST_DECODE, last - first);
    if (c->n_tokens > 1)
        lls_metrics_observe(m, LLS_HIST_TPOT, (last - first) / (double)(c->n_tokens - 1));
}

/* What the scheduler counted, before its record of the request goes. */
static void take_totals(lls_engine_t *e, lls_completion_t *c)
{
    const lls_req_t *r = lls_sched_get(e->sched, c->handle);

    if (r != NULL)
        lls_completion_take_totals(c, r);
}

static uint32_t sched_reason(uint32_t finish)
{
    switch (finish) {
    case LLM_FINISH_STOP:       return LLS_FINISH_STOP;
    case LLM_FINISH_REPETITION: return LLS_FINISH_REPETITION;
    case LLM_FINISH_DEADLINE:   return LLS_FINISH_DEADLINE;
    case LLM_FINISH_ERROR:      return LLS_FINISH_ERROR;
    default:                    return LLS_FINISH_ABORT;
    }
}

void lls_engine_end(lls_engine_t *e, lls_completion_t *c, uint32_t finish)
{
    lls_request_t *req = c->req;

    if (!c->live || lls_beam_close(e, c, finish))
        return;
    if (c->handle != LLS_NO_HANDLE) {
        take_totals(e, c);
        lls_sched_finish(e->sched, c->handle, sched_reason(finish));    /* harmless once ended */
        e->by_slot[(uint32_t)c->handle] = NULL;
    }
    lls_admission_forget(&e->admission, c);
    lls_completion_end(c, finish);
    note_end(e, c);
    if (req->n_ended == req->n) {
        pthread_mutex_lock(&e->lock);
        req->done = true;
        if (lls_engine_came_paused(e, req))
            atomic_fetch_sub(&e->n_held, 1);
        pthread_mutex_unlock(&e->lock);
        atomic_fetch_sub(&e->n_unfinished, 1);
        lls_metrics_add(&e->metrics, LLS_COUNT_FINISHED, 1);
    }
    lls_engine_news(e, c);
    if (c->index == 0)              /* the one that scores the prompt */
        lls_engine_end_prompt(e, req);
}

static void end_all(lls_engine_t *e, lls_request_t *req, uint32_t finish, const llm_error_t *why)
{
    for (uint32_t i = 0; i < req->n; i++) {
        if (req->c[i].live && why != NULL)
            req->c[i].error = *why;
        lls_engine_end(e, &req->c[i], finish);
    }
}

static void unlink_request(lls_engine_t *e, lls_request_t *req)
{
    if (req->next != NULL)
        req->next->prev = req->prev;
    if (req->prev != NULL)
        req->prev->next = req->next;
    else
        e->alive = req->next;
}

void lls_engine_shrink(lls_engine_t *e, lls_request_t *req, uint32_t n)
{
    for (uint32_t i = n; i < req->n; i++)
        lls_admission_forget(&e->admission, &req->c[i]);
    pthread_mutex_lock(&e->lock);
    req->n = n;
    pthread_mutex_unlock(&e->lock);
    lls_batch_expect(req->batch, n, NULL);
}

void lls_engine_retire(lls_engine_t *e, lls_request_t *req)
{
    unlink_request(e, req);
    req->next = e->retired;
    e->retired = req;
}

static void free_requests(lls_engine_t *e, lls_request_t *req)
{
    for (lls_request_t *next; req != NULL; req = next) {
        next = req->next;
        pthread_mutex_lock(&e->lock);
        for (uint32_t i = req->n_slots; i > 0; i--) {
            uint32_t slot = req->c[i - 1].slot;
            e->slots[slot].c = NULL;
            e->slots[slot].gen++;
            e->free_slots[e->n_free_slots++] = slot;
        }
        pthread_mutex_unlock(&e->lock);
        lls_request_destroy(req);
    }
}

static void destroy_list(lls_request_t *req)
{
    while (req != NULL) {
        lls_request_t *next = req->next;
        lls_request_destroy(req);
        req = next;
    }
}

void lls_engine_drop_requests(lls_engine_t *e)
{
    destroy_list(e->inbox);
    destroy_list(e->alive);
    destroy_list(e->retired);
    e->inbox = e->alive = e->retired = NULL;
}

/* ---- A turn, first part: what has come in ---------------------------------------------------- */

static void note_deadline(lls_engine_t *e, uint64_t at_us)
{
    if (at_us != 0 && (e->next_deadline_us == 0 || at_us < e->next_deadline_us))
        e->next_deadline_us = at_us;
}

static void submit(lls_engine_t *e, lls_request_t *req)
{
    req->prev = NULL;
    req->next = e->alive;
    if (e->alive != NULL)
        e->alive->prev = req;
    e->alive = req;
    note_deadline(e, req->deadline_us);
    note_deadline(e, req->queue_deadline_us);
    lls_metrics_observe(&e->metrics, LLS_HIST_REQUEST_N, req->n);
    for (uint32_t i = 0; i < req->n; i++) {
        lls_completion_t *c = &req->c[i];
        llm_status_t      st;
        if (c->prepared == NULL) {  /* a beam to come */
            lls_admission_forget(&e->admission, c);
            continue;
        }
        st = lls_sched_add(e->sched, c->prepared, &c->handle);
        lls_assert(st == LLM_OK);   /* the scheduler has a place for every slot of ours */
        (void)st;
        c->prepared = NULL;
        c->live = true;
        e->by_slot[(uint32_t)c->handle] = c;
        if (e->pause.mode != LLS_NOT_PAUSED && req->pause == e->pause.number)
            lls_sched_block(e->sched, c->handle, LLS_BLOCKED_PAUSE);
    }
}

static void take_arrivals(lls_engine_t *e)
{
    lls_request_t *req, *next, *aborts;
    lls_pause_t    pause;

    pthread_mutex_lock(&e->lock);
    req = e->inbox;
    aborts = e->aborts;
    e->inbox = e->aborts = NULL;
    e->inbox_end = &e->inbox;
    pause = (lls_pause_t){ atomic_load(&e->paused), e->pause_number };
    pthread_mutex_unlock(&e->lock);
    lls_engine_follow_pause(e, pause);
    for (; req != NULL; req = next) {
        next = req->next;
        submit(e, req);
    }
    for (; aborts != NULL; aborts = aborts->next_abort)
        end_all(e, aborts, LLM_FINISH_ABORT, NULL);
}

static void expire(lls_engine_t *e, lls_request_t *req, uint64_t now)
{
    bool total = req->deadline_us != 0 && now >= req->deadline_us;
    bool queue = req->queue_deadline_us != 0 && now >= req->queue_deadline_us;

    for (uint32_t i = 0; i < req->n; i++)
        if (total || (queue && req->c[i].queue_us == 0))
            lls_engine_end(e, &req->c[i], LLM_FINISH_DEADLINE);
    note_deadline(e, total ? 0 : req->deadline_us);
    note_deadline(e, queue ? 0 : req->queue_deadline_us);
}

static void expire_deadlines(lls_engine_t *e, uint64_t now)
{
    lls_request_t *next;

    if (e->next_deadline_us == 0 || now < e->next_deadline_us)
        return;
    e->next_deadline_us = 0;
    for (lls_request_t *req = e->alive; req != NULL; req = next) {
        next = req->next;           /* it may retire */
        if (req->n_ended < req->n)
            expire(e, req, now);
    }
}

/* ---- A turn, second part: a step ------------------------------------------------------------- */

static void begin_rows(lls_engine_t *e)
{
    const lls_step_plan_t *plan = e->step_plan;
    uint64_t               now = lls_engine_now(e);

    for (uint32_t i = 0; i < lls_plan_n_added(plan); i++) {
        const lls_new_row_t *a = &lls_plan_added(plan)[i];
        lls_completion_t    *c = e->slots[(uint32_t)a->request - 1].c;
        e->by_row[a->row] = c;
        if (c->queue_us == 0) {
            c->queue_us = lls_max_u64(1, now - c->req->added_us);
            lls_metrics_add(&e->metrics, LLS_COUNT_PREFIX_QUERIES, c->req->n_prompt);
            lls_metrics_add(&e->metrics, LLS_COUNT_PREFIX_HITS, a->n_computed);
            lls_metrics_add(&e->metrics, LLS_COUNT_PROMPT_CACHED, a->n_computed);
        }
        lls_admission_computed(&e->admission, c, a->n_computed);
    }
    pthread_mutex_lock(&e->lock);
    e->n_in_step = e->step_live = lls_plan_n_runs(plan);
    for (uint32_t i = 0; i < e->n_in_step; i++) {
        e->in_step[i] = e->by_row[lls_plan_runs(plan)[i].row];
        e->in_step[i]->in_step = true;
    }
    pthread_mutex_unlock(&e->lock);
}

static void end_rows(lls_engine_t *e)
{
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->n_in_step; i++)
        e->in_step[i]->in_step = false;
    atomic_store(&e->cancel, 0);
    pthread_mutex_unlock(&e->lock);
}

static llm_status_t execute(lls_engine_t *e, const lls_step_result_t **result)
{
    const lls_runner_ops_t *ops = e->runner->ops;
    llm_status_t            st = ops->execute(e->runner, e->step_plan);

    if (st == LLM_OK)
        st = ops->sample(e->runner, NULL);
    if (st == LLM_OK)
        st = ops->wait(e->runner, -1, result);
    return st;
}

/* Every completion's part of the step: of the prompt, and of the device's time. */
static void charge_rows(lls_engine_t *e, uint64_t device_ns)
{
    const lls_step_plan_t *plan = e->step_plan;
    uint64_t               ns_per_token = device_ns / lls_max_u32(1, plan->n_tokens);

    for (uint32_t i = 0; i < e->n_in_step; i++) {
        const lls_run_row_t *run = &lls_plan_runs(plan)[i];
        lls_completion_t    *c = e->in_step[i];
        c->device_ns += ns_per_token * run->n;
        lls_admission_computed(&e->admission, c, run->pos + run->n);
    }
}

/* Tokens of the step that belong to prompts. */
static uint32_t prompt_tokens(const lls_engine_t *e)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < e->n_in_step; i++) {
        const lls_run_row_t *run = &lls_plan_runs(e->step_plan)[i];
        n += lls_min_u32(run->n, lls_sub_u32(e->in_step[i]->req->n_prompt, run->pos));
    }
    return n;
}

static void measure(lls_engine_t *e, const lls_step_result_t *result)
{
    uint32_t n = e->step_plan->n_tokens;
    double   ns;

    lls_metrics_observe(&e->metrics, LLS_HIST_ITERATION_TOKENS, n);
    lls_metrics_add(&e->metrics, LLS_COUNT_STEPS, 1);
    if (n < MEASURED_TOKENS || result->device_ns == 0)
        return;
    ns = (double)result->device_ns / n;
    e->ns_per_token = e->ns_per_token == 0 ? ns : 0.75 * e->ns_per_token + 0.25 * ns;
    lls_sched_set_budget(e->sched, lls_max_u32(MIN_BUDGET, (uint32_t)lls_min_u64(
        e->plan.max_num_batched_tokens, (uint64_t)(STEP_TARGET_NS / e->ns_per_token))));
}

/* Everybody gets a last record, so that nobody waits for a dead engine. */
static llm_status_t die(lls_engine_t *e, llm_status_t st, llm_error_t *err)
{
    lls_request_t *next;

    pthread_mutex_lock(&e->lock);
    lls_fail(&e->death, LLM_ERR_DEVICE, "a step failed with %s: the engine is dead, destroy it",
             llm_status_name(st));
    atomic_store(&e->dead, 1);
    pthread_mutex_unlock(&e->lock);
    lls_log(&e->log, LLM_LOG_ERROR, "engine", "%s", e->death.message);
    take_arrivals(e);
    for (lls_request_t *req = e->alive; req != NULL; req = next) {
        next = req->next;
        end_all(e, req, LLM_FINISH_ERROR, &e->death);
    }
    return lls_engine_refuse_dead(e, err);
}

static llm_status_t run_step(lls_engine_t *e, llm_error_t *err)
{
    const lls_step_result_t *result = NULL;
    uint32_t                 n_prompt;
    llm_status_t             st;

    begin_rows(e);
    st = execute(e, &result);
    end_rows(e);
    if (st == LLM_ERR_CANCELLED) {  /* all its rows have been aborted; the next turn ends them */
        lls_sched_withdraw(e->sched);
        return LLM_OK;
    }
    if (st != LLM_OK)
        return die(e, st, err);
    measure(e, result);
    charge_rows(e, result->device_ns);
    n_prompt = prompt_tokens(e);
    lls_sched_update(e->sched, result);
    lls_engine_take_results(e, result);
    lls_admission_measure(&e->admission, n_prompt, e->step_plan->n_tokens,
                          atomic_load(&e->step_began_us), lls_engine_now(e));
    return LLM_OK;
}

static void refresh_gauges(lls_engine_t *e)
{
    lls_sched_stats_t s;

    lls_sched_stats(e->sched, &s);
    lls_metrics_set(&e->metrics, LLS_GAUGE_RUNNING, s.n_running);
    lls_metrics_set(&e->metrics, LLS_GAUGE_WAITING, s.n_waiting + s.n_blocked);
    lls_metrics_set(&e->metrics, LLS_GAUGE_KV_TOTAL, s.blocks_total);
    lls_metrics_set(&e->metrics, LLS_GAUGE_KV_USED, s.blocks_held);
    lls_metrics_add(&e->metrics, LLS_COUNT_PREEMPTIONS,
                    s.n_preempted - lls_metrics_count(&e->metrics, LLS_COUNT_PREEMPTIONS));
}

llm_status_t lls_engine_turn(lls_engine_t *e, llm_error_t *err)
{
    llm_status_t   st = LLM_OK;
    lls_request_t *retired;
    bool           has_step;

    if (atomic_load(&e->dead))
        return lls_engine_refuse_dead(e, err);
    atomic_store(&e->step_began_us, lls_engine_now(e));
    take_arrivals(e);               /* before memory goes that its list of aborts may name */
    retired = e->retired;
    e->retired = NULL;
    expire_deadlines(e, lls_engine_now(e));
    has_step = lls_sched_schedule(e->sched, e->step_plan);
    free_requests(e, retired);      /* now their places in the scheduler are free as well */
    if (has_step)
        st = run_step(e, err);
    lls_req_discard(&e->mem, lls_sched_take_gone(e->sched));
    refresh_gauges(e);
    atomic_store(&e->step_began_us, 0);
    return st;
}

llm_status_t lls_engine_step(lls_engine_t *e, llm_error_t *err)
{
    llm_status_t st = lls_engine_enter(e, err);

    if (st != LLM_OK)
        return st;
    st = lls_engine_turn(e, err);
    lls_engine_leave(e);
    return st;
}

/* ---- Other threads --------------------------------------------------------------------------- */

/* Tells the step now running when it is for nobody any more. */
bool lls_engine_mark_aborted(lls_engine_t *e, lls_request_t *req)
{
    bool was_in_step = false;

    if (req->aborted || req->done)
        return false;
    req->aborted = true;
    req->next_abort = e->aborts;
    e->aborts = req;
    for (uint32_t i = 0; i < req->n; i++) {
        was_in_step |= req->c[i].in_step;
        e->step_live -= req->c[i].in_step;
        req->c[i].in_step = false;
    }
    if (was_in_step && e->step_live == 0)
        atomic_store(&e->cancel, 1);
    return true;
}

llm_status_t lls_engine_abort(lls_engine_t *e, llm_request_id_t id)
{
    uint32_t     slot = (uint32_t)id - 1;
    llm_status_t st = LLM_ERR_NOT_FOUND;

    pthread_mutex_lock(&e->lock);
    if (slot < e->options.max_num_queued_reqs && e->slots[slot].c != NULL) {
        lls_request_t *req = e->slots[slot].c->req;
        if (req->id == id && lls_engine_mark_aborted(e, req))
            st = LLM_OK;
    }
    pthread_mutex_unlock(&e->lock);
    if (st == LLM_OK)
        lls_engine_notify(e);
    return st;
}

void lls_engine_abort_all(lls_engine_t *e)
{
    pthread_mutex_lock(&e->lock);
    for (uint32_t i = 0; i < e->options.max_num_queued_reqs; i++) {
        lls_completion_t *c = e->slots[i].c;
        if (c != NULL && c->index == 0)
            lls_engine_mark_aborted(e, c->req);
    }
    pthread_mutex_unlock(&e->lock);
    lls_engine_notify(e);
}

size_t lls_engine_unfinished(const lls_engine_t *e) { return atomic_load(&e->n_unfinished); }

/* ---- Care ------------------------------------------------------------------------------------ */

void lls_engine_stats(const lls_engine_t *e, llm_stats_t *s)
{
    const lls_metrics_t *m = &e->metrics;
    uint64_t             began = atomic_load(&e->step_began_us), now = lls_engine_now(e);
    int32_t              mode = atomic_load(&e->paused);

    *s = (llm_stats_t){
        .struct_size = sizeof *s,
        .requests_running = (uint32_t)lls_metrics_gauge(m, LLS_GAUGE_RUNNING),
        .requests_waiting = (uint32_t)lls_metrics_gauge(m, LLS_GAUGE_WAITING),
        .kv_blocks_total = (uint32_t)lls_metrics_gauge(m, LLS_GAUGE_KV_TOTAL),
        .kv_blocks_used = (uint32_t)lls_metrics_gauge(m, LLS_GAUGE_KV_USED),
        .dead = atomic_load(&e->dead), .step_age_us = began == 0 || now < began ? 0 : now - began,
        .device_bytes = lls_engine_device_bytes(e),
        .steps = lls_metrics_count(m, LLS_COUNT_STEPS),
        .requests_finished = lls_metrics_count(m, LLS_COUNT_FINISHED),
        .prompt_tokens = lls_metrics_count(m, LLS_COUNT_PROMPT_TOKENS),
        .cached_tokens = lls_metrics_count(m, LLS_COUNT_PROMPT_CACHED),
        .completion_tokens = lls_metrics_count(m, LLS_COUNT_GENERATION_TOKENS),
        .preemptions = lls_metrics_count(m, LLS_COUNT_PREEMPTIONS),
        .paused = mode != LLS_NOT_PAUSED };
    if (s->paused && mode != LLM_PAUSE_KEEP)    /* who came before counts until its end */
        s->requests_running = lls_max_u32(s->requests_running, (uint32_t)lls_sub_u64(
            atomic_load(&e->n_unfinished), atomic_load(&e->n_held)));
    s->host_bytes = atomic_load(&e->mem.held) - s->device_bytes;
}

size_t lls_engine_metrics(const lls_engine_t *e, char *text, size_t cap)
{
    const lls_engine_options_t *o = &e->options;

    return lls_metrics_text(&e->metrics,
                            o->served_model_name != NULL ? o->served_model_name : o->model,
                            text, cap);
}

llm_status_t lls_engine_reset_prefix_cache(lls_engine_t *e)
{
    bool held;

    if (lls_engine_enter(e, NULL) != LLM_OK)
        return LLM_ERR_STATE;
    held = lls_kv_any_held(e->kv);
    lls_kv_reset(e->kv);
    lls_engine_leave(e);
    return held ? LLM_ERR_BUSY : LLM_OK;
}
