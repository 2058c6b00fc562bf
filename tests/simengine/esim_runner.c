/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner below the engine: sim/fake keeps the simulated cache and hands over prefix hashes,
 * which become tokens under the row's real sampling parameters; rows and whole steps fail on
 * purpose, and other threads' calls come in the middle.
 */
#include <stdlib.h>
#include <string.h>

#include "simengine/esim.h"

typedef struct es_row {
    es_comp_t *c;
    uint64_t   label;
    uint32_t   flags, n_prompt, n_words;
    uint32_t   words[LLS_SAMPLE_MAX_WORDS];
    lls_sample_view_t view;
    int32_t    tokens[MAX_LEN + 2]; /* with LLS_ROW_PROCESSOR */
    bool       refused;
} es_row_t;

typedef struct es_runner {
    lls_runner_t       base;
    esim_t            *m;
    lls_runner_t      *inner;
    es_row_t          *rows;
    const lls_step_plan_t *plan;
    lls_step_result_t *result;
    bool               lost;        /* sampling has failed */
} es_runner_t;

es_comp_t *esim_comp_of(esim_t *m, uint64_t label)
{
    const lls_completion_t *c = m->e->slots[(uint32_t)label - 1].c;

    MUST(c != NULL && m->e->slots[(uint32_t)label - 1].gen == label >> 32, "a row without request");
    return &((es_req_t *)c->req->user_data)->c[c->index];
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static uint32_t n_equal(const es_comp_t *a, const es_comp_t *b)
{
    uint32_t n = 0, na = a->req->n_prompt + a->made, nb = b->req->n_prompt + b->made;

    while (n < na && n < nb && a->hash[n + 1] == b->hash[n + 1])
        n++;
    return n;
}

static bool same_salt(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* I7: what was found in the cache is what somebody with the same salt has left there. */
static void check_hit(esim_t *m, const es_comp_t *c, uint32_t n)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < m->n_reqs && most < n; i++) {
        const es_req_t *q = m->reqs[i];
        for (uint32_t k = 0; q->accepted && q->engine == m->n_engines && k < q->s.n && most < n;
             k++)
            if (same_salt(q->salt, c->req->salt) && (&q->c[k] != c || c->n_adds > 0))
                most = lls_max_u32(most, n_equal(c, &q->c[k]));
    }
    MUST(most >= n, "cached tokens that nobody with this salt has computed");
}

/* S6: who comes in goes before all who still wait. */
static void check_order(esim_t *m, const lls_step_plan_t *p)
{
    int64_t  last_priority = INT64_MIN;
    uint64_t last = 0;

    for (uint32_t i = 0; i < lls_plan_n_added(p); i++) {
        const es_comp_t *c = esim_comp_of(m, lls_plan_added(p)[i].request);
        int64_t          priority = m->by_priority ? c->req->r.priority : 0;
        uint64_t         order = c->req->order + c->index;
        MUST(priority > last_priority || (priority == last_priority && order > last),
             "admitted out of order");
        last_priority = priority;
        last = order;
    }
    for (uint32_t i = 0; i < m->n_live && lls_plan_n_added(p) > 0; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        int64_t         priority = m->by_priority ? q->r.priority : 0;
        for (uint32_t k = 0; q->submitted && !esim_is_held(m, q) && k < q->s.n; k++)
            MUST(q->c[k].running || q->c[k].finish != LLM_FINISH_NONE || priority > last_priority ||
                     (priority == last_priority && q->order + k > last),
                 "somebody who waits was passed over");
    }
}

static void begin_row(es_runner_t *r, const lls_new_row_t *a)
{
    esim_t    *m = r->m;
    es_row_t  *row = &r->rows[a->row];
    es_comp_t *c = esim_comp_of(m, a->request);

    MUST(c->finish == LLM_FINISH_NONE, "a row for one that has ended");
    MUST(!esim_is_held(m, c->req), "a row for one that came during a pause");
    MUST(a->n_known == c->req->n_prompt + c->made && a->n_prompt == c->req->n_prompt,
         "a row of other length");
    if (a->n_computed > 0)
        check_hit(m, c, a->n_computed);
    if (c->n_adds++ == 0) {
        c->queue_us = lls_max_u64(1, m->now - c->req->added_us);
        c->cached = a->n_computed;
        m->cached_tokens += a->n_computed;
    }
    c->running = true;
    c->prefilled |= a->n_computed >= a->n_prompt;
    row->c = c;
    row->label = c->label = a->request;
    row->flags = a->flags;
    row->n_prompt = a->n_prompt;
    row->n_words = a->params.n;
    memcpy(row->words, lls_plan_words(r->plan) + a->params.off, a->params.n * 4);
    MUST(lls_sample_unpack(row->words, row->n_words, FAKE_VOCAB, &row->view), "words of a row");
    if (a->flags & LLS_ROW_PROCESSOR)
        memcpy(row->tokens, lls_plan_words(r->plan) + a->history.off, a->history.n * 4);
}

static void take_rows(es_runner_t *r, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_freed(p); i++) {
        es_row_t *row = &r->rows[lls_plan_freed(p)[i]];
        row->c->running = false;
        row->c = NULL;
    }
    for (uint32_t i = 0; i < lls_plan_n_added(p); i++)
        begin_row(r, &lls_plan_added(p)[i]);
    check_order(r->m, p);
}

/* ---- Execute --------------------------------------------------------------------------------- */

static void check_plan(const esim_t *m, const lls_step_plan_t *p)
{
    uint64_t seen = 0;

    MUST(p->n_tokens <= m->max_tokens && lls_plan_n_runs(p) <= m->rows, "I4 more than the budget");
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        uint64_t bit = 1ull << lls_plan_runs(p)[i].row;
        MUST((seen & bit) == 0, "I4 a row twice in a step");
        seen |= bit;
    }
}

static llm_status_t es_execute(lls_runner_t *base, const lls_step_plan_t *p)
{
    es_runner_t *r = (es_runner_t *)base;
    esim_t      *m = r->m;

    r->plan = p;
    esim_turn_begin(m);
    MUST(m->turn_pause_mode != LLM_PAUSE_KEEP || lls_plan_n_runs(p) == 0,
         "a step while all stands still");
    check_plan(m, p);
    take_rows(r, p);
    esim_sneak(m);
    m->now += rnd(m, 4) * rnd(m, 1500);
    if (atomic_load(&m->e->cancel) != 0) {
        for (uint32_t i = 0; i < lls_plan_n_runs(p); i++)
            MUST(r->rows[lls_plan_runs(p)[i].row].c->req->abort_asked,
                 "a step is cancelled that somebody waits for");
        m->cancelled = true;
        r->inner->ops->control(r->inner, FAKE_CANCEL, 0);
        return r->inner->ops->execute(r->inner, p);
    }
    m->dying = m->deaths > 0 && rarely(m, m->deaths);
    if (m->dying && chance(m, 50))
        return LLM_ERR_DEVICE;
    m->executed = true;
    return r->inner->ops->execute(r->inner, p);
}

/* ---- Sample ---------------------------------------------------------------------------------- */

static uint64_t ask_hook(es_runner_t *r, es_row_t *row, uint64_t h, uint32_t n)
{
    float   logits[FAKE_VOCAB] = { 0 };
    int32_t at = 0;

    row->refused = lls_engine_call_hook(r->m->e, row->label, row->tokens, n, row->n_prompt, logits,
                                        FAKE_VOCAB) != 0;
    while (!row->refused && logits[at] == 0)
        at++;
    return lls_mix64(h, (uint64_t)at + 1);
}

static int32_t pick(void *user, const lls_run_row_t *run, uint64_t h, uint64_t history)
{
    es_runner_t *r = user;
    es_row_t    *row = &r->rows[run->row];
    uint32_t     n = run->pos + run->n;
    int32_t      t;

    MUST(h == row->c->hash[n], "I6 the context is not what it would be alone");
    row->refused = false;
    if (row->flags & LLS_ROW_PROCESSOR)
        h = ask_hook(r, row, h, n);
    t = esim_token(h, &row->view, history, n - row->n_prompt);
    if (row->flags & LLS_ROW_PROCESSOR)
        row->tokens[n] = t;
    return t;
}

static lls_span_t push_entries(lls_step_result_t *res, uint64_t h, int32_t token, uint32_t n)
{
    lls_span_t     span = { lls_result_n_logprobs(res), n };
    lls_logprob_t *out = lls_result_push_logprobs(res, n);

    for (uint32_t k = 0; k < n; k++) {
        llm_logprob_t e = esim_entry(h, token, k);
        out[k] = (lls_logprob_t){ e.token, e.rank, e.logprob };
    }
    return span;
}

static void take_row(es_runner_t *r, uint32_t i, const lls_step_result_t *inner)
{
    const lls_run_row_t    *run = &lls_plan_runs(r->plan)[i];
    const lls_row_result_t *in = &lls_result_rows(inner)[i];
    const es_row_t         *row = &r->rows[run->row];
    lls_row_result_t       *out = lls_result_push_rows(r->result, 1);
    int32_t                 t;

    *out = (lls_row_result_t){ .status = LLS_ROW_OK };
    if (r->m->row_faults > 0 && rarely(r->m, r->m->row_faults))
        out->status = chance(r->m, 50) ? LLS_ROW_NAN : LLS_ROW_FAILED;
    if ((run->flags & LLS_RUN_SAMPLE) == 0)
        return;
    if (row->refused)
        out->status = LLS_ROW_FAILED;
    t = lls_result_tokens(inner)[in->tokens.off];
    if (++r->m->n_tokens == esim_spoil)
        t ^= 1;
    out->tokens = (lls_span_t){ lls_result_n_tokens(r->result), 1 };
    *lls_result_push_tokens(r->result, 1) = t;
    out->logprobs = push_entries(r->result, row->c->hash[run->pos + run->n], t,
                                 row->view.n_logprobs);
}

/* The fake gives one entry for each position that it ran, also where the answer is. */
static void take_prompt_logprobs(es_runner_t *r, const lls_step_result_t *inner)
{
    for (uint32_t i = 0; i < lls_result_n_plps(inner); i++) {
        const lls_prompt_logprob_t *in = &lls_result_plps(inner)[i];
        const es_row_t *row = &r->rows[lls_plan_runs(r->plan)[in->run].row];
        uint64_t        h = row->c->hash[in->pos + 1];
        int32_t         next;
        if (in->pos + 1 >= row->n_prompt)
            continue;
        MUST(row->c->index == 0, "a prompt is scored for more than one completion");
        next = row->c->req->prompt[in->pos + 1];
        MUST(lls_result_logprobs(inner)[in->logprobs.off].logprob == lls_fake_logprob(h, next),
             "prompt log-probabilities of another context");
        *lls_result_push_plps(r->result, 1) = (lls_prompt_logprob_t){
            in->run, in->pos, push_entries(r->result, h, next, row->view.n_prompt_logprobs) };
        esim_total.plps++;
    }
}

static llm_status_t es_sample(lls_runner_t *base, const lls_step_mask_t *mask)
{
    es_runner_t             *r = (es_runner_t *)base;
    const lls_step_result_t *inner;

    r->lost = r->m->dying && chance(r->m, 50);
    if (r->lost)
        return LLM_ERR_INTERNAL;
    r->inner->ops->sample(r->inner, mask);
    r->inner->ops->wait(r->inner, -1, &inner);
    lls_result_reset(r->result, r->plan->step);
    take_prompt_logprobs(r, inner);
    for (uint32_t i = 0; i < lls_plan_n_runs(r->plan); i++)
        take_row(r, i, inner);
    r->result->device_ns = (uint64_t)r->m->token_ns * r->plan->n_tokens;
    return LLM_OK;
}

/* The engine will see these. */
static void count_tokens(es_runner_t *r)
{
    for (uint32_t i = 0; i < lls_plan_n_runs(r->plan); i++) {
        const lls_run_row_t *run = &lls_plan_runs(r->plan)[i];
        uint32_t             status = lls_result_rows(r->result)[i].status;
        es_comp_t           *c = r->rows[run->row].c;
        c->ran = true;
        c->prefilled |= run->pos + run->n >= c->req->n_prompt;
        c->device_ns += (uint64_t)r->m->token_ns * run->n;
        for (uint32_t g = 0; g < r->m->traits.n_groups; g++)
            if (r->m->traits.groups[g].kind == LLS_KV_FULL)
                c->min_block_steps += lls_ceil_div(run->pos + run->n, r->m->block);
        c->row_status = status;
        c->refused = r->rows[run->row].refused && (run->flags & LLS_RUN_SAMPLE);
        c->got_token = status == LLS_ROW_OK && (run->flags & LLS_RUN_SAMPLE);
        c->pooled = status == LLS_ROW_OK && (run->flags & LLS_RUN_POOL);
        c->made += c->got_token;
    }
}

static llm_status_t es_wait(lls_runner_t *base, int64_t timeout_us,
                            const lls_step_result_t **result)
{
    es_runner_t *r = (es_runner_t *)base;

    (void)timeout_us;
    MUST(!r->lost, "waited for a step that was not sampled");
    if (r->m->dying)
        return LLM_ERR_DEVICE;
    count_tokens(r);
    for (uint32_t i = 0; i < lls_result_n_plps(r->result); i++) {
        const lls_prompt_logprob_t *p = &lls_result_plps(r->result)[i];
        es_req_t *q = r->rows[lls_plan_runs(r->plan)[p->run].row].c->req;
        q->n_plps = lls_max_u32(q->n_plps, p->pos + 2);
    }
    *result = r->result;
    return LLM_OK;
}

/* ---- Create ---------------------------------------------------------------------------------- */

static void es_destroy(lls_runner_t *base)
{
    es_runner_t *r = (es_runner_t *)base;

    r->inner->ops->destroy(r->inner);
    free(r->rows);
    free(r->result);
    free(r);
}

static const lls_runner_ops_t es_ops = {
    .struct_size = sizeof es_ops, .execute = es_execute, .sample = es_sample, .wait = es_wait,
    .destroy = es_destroy
};

static lls_runner_t *new_runner(esim_t *m, const lls_engine_t *e)
{
    es_runner_t      *r = calloc(1, sizeof *r);
    lls_fake_config_t f = { .kv = e->kv_config, .lim = e->limits, .max_in_flight = 1,
                            .seed = m->seed, .verify = true, .pick = pick, .user = r };

    f.lim.max_floats = f.lim.max_rows;      /* its pooled rows are numbers */
    r->base.ops = &es_ops;
    r->m = m;
    r->inner = lls_fake_create(&f);
    r->rows = calloc(f.lim.max_rows, sizeof *r->rows);
    r->result = lls_result_init(malloc(lls_result_size(&e->limits)), &e->limits);
    return &r->base;
}

/* ---- The parts of an engine ------------------------------------------------------------------ */

static llm_status_t es_open(void *user, lls_engine_t *e, llm_error_t *err)
{
    esim_t *m = user;

    e->traits = &m->traits;
    for (uint32_t g = 0; g < m->traits.n_groups; g++)
        e->group_bytes[g] = m->block * 8ull * (g == 0 ? 1 : m->group_scale);
    return m->has_tokenizer ? lls_tokenizer_open(&e->mem, TEST_DIR "/simengine/tokenizer",
                                                 &e->tokenizer, err)
                            : LLM_OK;
}

static llm_status_t es_measure(void *user, lls_engine_t *e, llm_error_t *err)
{
    (void)user, (void)err;
    e->plan.device_total_bytes = e->plan.device_free_bytes = 1ull << 40;
    return LLM_OK;
}

static llm_status_t es_start(void *user, lls_engine_t *e, llm_error_t *err)
{
    esim_t *m = user;

    for (uint32_t i = 0; i < e->kv_config.n_pools; i++) {
        if (lls_arena_init(&e->cache[i], &e->mem, e->cache_bytes[i], LLS_HUGE_TRANSPARENT,
                           "huge-pages", NULL) != LLM_OK)
            return lls_fail(err, LLM_ERR_NO_DEVMEM, "no memory for the cache");
    }
    e->runner = new_runner(m, e);
    return LLM_OK;
}

const lls_engine_parts_t esim_parts = { .open = es_open, .measure = es_measure, .start = es_start };
