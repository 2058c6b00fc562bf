/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sim/sim.h"

/* ---- The oracle: a request alone ------------------------------------------------------------ */

void sim_grammar_mask(const sim_req_t *r, uint32_t n, const int32_t *more, uint32_t n_more,
                      uint32_t *bits)
{
    uint32_t state = 0;

    for (uint32_t i = r->n_prompt; i < n; i++)
        state += (uint32_t)r->tokens[i];
    for (uint32_t i = 0; i < n_more; i++)
        state += (uint32_t)more[i];
    bits[0] = bits[1] = 0;
    for (uint32_t t = 0; t < FAKE_VOCAB; t++)
        if ((t + state) % 5 > 1)
            bits[t / 32] |= 1u << t % 32;
}

bool sim_matches_pattern(const sim_req_t *r, uint32_t n)
{
    return r->pattern && n >= r->n_prompt + 2 &&
           (r->tokens[n - 1] + 3 * r->tokens[n - 2]) % 40 == 5;
}

static uint64_t input_at(const sim_req_t *r, uint32_t i)
{
    for (uint32_t k = 0; k < r->d.n_media; k++)
        if (i >= r->media[k].at.first && i < r->media[k].at.first + r->media[k].at.n)
            return lls_fake_media(r->media[k].blob, i - r->media[k].at.first);
    return (uint32_t)r->tokens[i];
}

static uint32_t why_end(const sim_req_t *r, uint32_t n)
{
    if (sim_matches_pattern(r, n))
        return LLS_FINISH_STOP;
    if (n - r->n_prompt >= r->d.min_tokens)
        for (uint32_t i = 0; i < r->d.n_stop_ids; i++)
            if (r->tokens[n - 1] == r->stop[i])
                return LLS_FINISH_STOP;
    return n >= r->len_cap ? LLS_FINISH_LENGTH : LLS_FINISH_NONE;
}

/* Goes on behind the end: tokens found behind a stop string may have been cached and saved. */
static void run_alone(sim_req_t *r)
{
    uint64_t history = 0;
    uint32_t bits[2], n_max = r->len_cap;

    r->hash[0] = lls_fake_start(r->d.adapter);
    r->expected = LLS_FINISH_NONE;
    for (uint32_t n = 0; n < n_max;) {
        r->hash[n + 1] = lls_fake_step(r->hash[n], input_at(r, n), r->d.adapter);
        if (r->d.row_flags & LLS_ROW_HISTORY)
            history = lls_fake_history(history, r->tokens[n]);
        if (++n < r->n_prompt)
            continue;
        sim_grammar_mask(r, n, NULL, 0, bits);
        r->tokens[n] = lls_fake_token(r->hash[n], r->params, history,
                                      r->d.row_flags & LLS_ROW_GRAMMAR ? bits : NULL);
        if (r->expected != LLS_FINISH_NONE)
            continue;
        r->expected = r->d.row_flags & LLS_ROW_POOL ? LLS_FINISH_POOLED : why_end(r, n + 1);
        r->n_all = n + !(r->d.row_flags & LLS_ROW_POOL);
    }
}

uint64_t sim_truth(void *user, uint64_t request, uint32_t n)
{
    sim_t *m = user;

    MUST(request < m->n_reqs && n <= m->reqs[request].len_cap, "transfer of unknown tokens");
    return m->reqs[request].hash[n];
}

/* ---- Workload ------------------------------------------------------------------------------- */

static void choose_media(sim_t *m, sim_req_t *r)
{
    uint32_t at = rnd(m, 6);

    r->d.n_media = 0;
    while (r->d.n_media < 3 && chance(m, 60)) {
        uint32_t blob = rnd(m, 5), n = 3 + blob * 2;
        if (at + n + 1 >= r->n_prompt || n > m->sc.enc_budget || n > m->sc.enc_cache)
            break;
        for (uint32_t i = 0; i < n; i++)
            r->tokens[at + i] = 1;
        r->media[r->d.n_media++] = (lls_media_t){ { blob + 77, at, n }, blob, LLS_NONE };
        at += n + rnd(m, 8);
    }
    r->d.media = r->media;
}

static void choose_prompt(sim_t *m, sim_req_t *r)
{
    uint32_t max = m->sc.max_model_len - 1, b = rnd(m, N_BASES);
    uint32_t shared = rnd(m, 60), n = 1 + shared + (chance(m, 60) ? rnd(m, 30) : 0);

    if (chance(m, 5))
        n = max - rnd(m, 2);
    if (m->sc.no_chunks || m->kvc.n_groups == 0)
        n = lls_min_u32(n, lls_sub_u32(m->sc.max_tokens, 20));
    r->n_prompt = lls_min_u32(lls_max_u32(n, 1), max);
    for (uint32_t i = 0; i < r->n_prompt; i++)
        r->tokens[i] = i < shared ? m->base[b][i] : (int32_t)rnd(m, FAKE_VOCAB);
}

static void choose_flags(sim_t *m, sim_req_t *r)
{
    lls_req_desc_t *d = &r->d;

    if (m->kvc.n_groups == 0 || chance(m, 5))
        d->row_flags |= LLS_ROW_POOL;
    if (m->kvc.n_groups == 0)
        d->options |= LLS_REQ_WHOLE;
    if (chance(m, 30))
        d->row_flags |= LLS_ROW_HISTORY;
    if (chance(m, 25) && !(d->row_flags & LLS_ROW_POOL))
        d->row_flags |= LLS_ROW_GRAMMAR;
    if (chance(m, 8) && d->n_media == 0) {
        d->row_flags |= LLS_ROW_PROMPT_LOGPROBS;
        d->options |= LLS_REQ_NO_CACHE_READ;
    }
    if (chance(m, 70))
        d->options |= LLS_REQ_DRAFTS;
    if (chance(m, 15) && m->sc.connector.matched != NULL)
        d->options |= LLS_REQ_SAVE;
    if (chance(m, 10))
        d->blocked = LLS_BLOCKED_GRAMMAR;
}

static void finish_desc(sim_t *m, sim_req_t *r, uint32_t index)
{
    lls_req_desc_t *d = &r->d;

    d->id = index;
    d->tokens = r->tokens;
    d->n_tokens = r->n_prompt;
    r->stop[0] = 0;
    r->stop[1] = (int32_t)rnd(m, FAKE_VOCAB);
    d->stop_ids = r->stop;
    d->n_stop_ids = rnd(m, 3);
    d->max_tokens = chance(m, 3) ? UINT32_MAX : between(m, 1, 40);
    d->min_tokens = chance(m, 30) ? rnd(m, 10) : 0;
    r->params[0] = rnd(m, 1000);
    r->params[1] = index;
    d->params = r->params;
    d->n_params = 2;
    d->positions = d->embeds = LLS_NONE;
    if (m->priorities)
        d->priority = (int32_t)rnd(m, 4);
    r->pattern = chance(m, 30);
    r->abort_at = chance(m, 12) ? (uint32_t)m->turns + rnd(m, 60) : LLS_NONE;
    r->unblock_at = (uint32_t)m->turns + rnd(m, 30);
    r->len_cap = r->n_prompt + 1;
    if (!(d->row_flags & LLS_ROW_POOL))
        r->len_cap = r->n_prompt +
                     lls_min_u32(d->max_tokens, m->sc.max_model_len - r->n_prompt);
}

void sim_arrive(sim_t *m)
{
    sim_req_t     *r = &m->reqs[m->n_reqs];
    lls_req_mem_t *prepared = NULL;
    llm_status_t   st;

    memset(r, 0, sizeof *r);
    choose_prompt(m, r);
    if (m->sc.enc_budget > 0 && chance(m, 40))
        choose_media(m, r);
    choose_flags(m, r);
    if (m->sc.max_loras > 0 && chance(m, 60))
        r->d.adapter = between(m, 1, 5);
    r->d.adapter_gen = r->d.adapter * 10;
    r->d.salt = chance(m, 20) ? 9 : 0;
    finish_desc(m, r, m->n_reqs);
    r->arrival = m->n_reqs;
    run_alone(r);
    st = lls_req_prepare(&m->mem, &m->sc, &m->kvc, &r->d, &prepared, NULL);
    if (st == LLM_OK)
        st = lls_sched_add(m->sched, prepared, &r->handle);
    if (st != LLM_OK) {
        MUST(st == LLM_ERR_TOO_LONG || st == LLM_ERR_BUSY, "a good request was refused");
        lls_req_discard(&m->mem, prepared);
        m->n_total--;
        return;
    }
    m->n_reqs++;
}

void sim_fork_one(sim_t *m)
{
    sim_req_t     *p = &m->reqs[rnd(m, m->n_reqs)], *r = &m->reqs[m->n_reqs];
    lls_req_t     *q = lls_sched_get(m->sched, p->handle);
    lls_req_mem_t *prepared;

    if (p->ended || q == NULL || q->state == LLS_REQ_FINISHED || (p->d.row_flags & LLS_ROW_POOL) ||
        q->n_tokens + 1 >= m->sc.max_model_len)
        return;
    memset(r, 0, sizeof *r);
    r->n_prompt = q->n_tokens;      /* a beam; or only the beginning: n > 1 */
    if (p->d.n_media == 0 && chance(m, 40))
        r->n_prompt = between(m, 1, q->n_tokens);
    memcpy(r->tokens, p->tokens, r->n_prompt * sizeof(int32_t));
    memcpy(r->media, p->media, sizeof r->media);
    r->d.n_media = p->d.n_media;
    r->d.media = r->media;
    choose_flags(m, r);
    r->d.row_flags &= ~(uint32_t)LLS_ROW_POOL;
    r->d.blocked = chance(m, 30) ? LLS_BLOCKED_GRAMMAR : 0;     /* a snapshot, used later */
    r->d.adapter = p->d.adapter;
    r->d.adapter_gen = p->d.adapter_gen;
    r->d.salt = p->d.salt;
    finish_desc(m, r, m->n_reqs);
    r->arrival = p->arrival;
    run_alone(r);
    if (lls_req_prepare(&m->mem, &m->sc, &m->kvc, &r->d, &prepared, NULL) != LLM_OK)
        return;
    if (lls_sched_fork(m->sched, p->handle, prepared, &r->handle) != LLM_OK) {
        lls_req_discard(&m->mem, prepared);
        return;
    }
    m->n_reqs++;
    sim_total.shared += lls_sched_get(m->sched, r->handle)->n_computed > 0;
    sim_total.forked++;
    if (chance(m, 20)) {            /* its source goes before the copy is made */
        p->aborted |= !p->ended;
        lls_sched_finish(m->sched, p->handle, LLS_FINISH_ABORT);
    }
}

/* One that runs stands still for a while, and may be forked or lose its blocks meanwhile. */
void sim_hold_one(sim_t *m)
{
    sim_req_t *r = &m->reqs[rnd(m, m->n_reqs)];
    lls_req_t *q = lls_sched_get(m->sched, r->handle);

    if (q == NULL || q->state != LLS_REQ_RUNNING)
        return;
    lls_sched_hold(m->sched, r->handle, LLS_BLOCKED_GRAMMAR);
    r->unblock_at = (uint32_t)m->turns + rnd(m, 30);
    sim_total.held++;
    sim_total.held_full += q->n_computed > 0;
}

static uint32_t remote_match(void *user, const lls_req_t *req, uint32_t n_local, uint32_t limit)
{
    sim_t     *m = user;
    sim_req_t *r = &m->reqs[req->id];
    uint32_t   align = 1, end;

    if (r->d.n_media > 0 || r->asked++ > 1)
        return 0;
    if (r->asked == 1 && req->id % 3 == 0)
        return LLS_NONE;
    r->asked = 9;
    for (uint32_t g = 0; g < m->kvc.n_groups; g++)
        align = lls_max_u32(align, m->kvc.group[g].block_tokens);
    end = (uint32_t)(lls_mix64(m->seed, req->id) % (limit + 1)) / align * align;
    return lls_sub_u32(end, n_local);
}

/* ---- Configurations ------------------------------------------------------------------------- */

static lls_kv_group_config_t group(uint8_t kind, uint8_t pool, uint32_t bt, uint32_t window)
{
    return (lls_kv_group_config_t){ .kind = kind, .pool = pool, .block_tokens = bt,
                                    .window = window };
}

static void choose_groups(sim_t *m)
{
    lls_kv_config_t *k = &m->kvc;
    uint32_t         bt = chance(m, 50) ? 4 : 8, w = between(m, 2, 30);

    k->group[0] = group(LLS_KV_FULL, 0, bt, 0);
    k->n_groups = 2;
    switch (rnd(m, 9)) {
    case 0: k->group[1] = group(LLS_KV_SLIDING, 0, bt, w); break;
    case 1:
        k->group[chance(m, 50)] = group(LLS_KV_SLIDING, 1, bt * 2, w);
        if (k->group[0].kind == LLS_KV_SLIDING)
            k->group[1] = group(LLS_KV_FULL, 0, bt, 0);
        break;
    case 2: k->group[1] = group(LLS_KV_CHUNKED, 0, bt, 16 + rnd(m, 10)); break;
    case 3: k->group[1] = group(LLS_KV_STATE, 1, bt * 4, 0); break;
    case 4: k->group[0] = group(LLS_KV_SLIDING, 0, bt, w); k->n_groups = 1; break;
    case 5: k->group[0] = group(LLS_KV_STATE, 0, 8, 0); k->n_groups = 1; break;
    case 6:
        k->group[1] = group(LLS_KV_SLIDING, 0, bt, w);
        k->group[2] = group(LLS_KV_SLIDING, 1, bt, w / 2 + 2);
        k->n_groups = 3;
        break;
    default: k->n_groups = 1; break;
    }
    if (chance(m, 4))
        k->n_groups = 0;
}

static bool has_state(const lls_kv_config_t *k)
{
    for (uint32_t g = 0; g < k->n_groups; g++)
        if (k->group[g].kind == LLS_KV_STATE)
            return true;
    return false;
}

static void choose_kv(sim_t *m)
{
    lls_kv_config_t *k = &m->kvc;
    bool             tiny = chance(m, 60);

    choose_groups(m);
    k->n_pools = 0;
    for (uint32_t g = 0; g < k->n_groups; g++)
        k->n_pools = lls_max_u32(k->n_pools, k->group[g].pool + 1u);
    for (uint32_t i = 0; i < k->n_pools; i++)
        k->pool_blocks[i] = tiny ? between(m, 26, 60) : between(m, 100, 400);
    k->caching = chance(m, 85);
    k->drop_last = chance(m, 10);
    k->key[0] = 11;
    k->key[1] = 22;
}

static void choose_sched(sim_t *m)
{
    lls_sched_config_t *c = &m->sc;
    bool                async = chance(m, 50);

    *c = (lls_sched_config_t){ .max_reqs = 64, .max_rows = between(m, 1, 10),
                               .max_tokens = between(m, 24, 64),
                               .max_model_len = between(m, 64, 160), .max_params = 8,
                               .max_jobs = 64, .max_logprobs = 1, .max_plp_logprobs = 1,
                               .max_floats = 16,
                               .max_skips = 50, .enc_entries = 8, .cascade = chance(m, 30),
                               .lockstep = chance(m, 8) };
    c->max_in_flight = async ? between(m, 2, 4) : 1;
    c->run_ahead = async && chance(m, 70) ? between(m, 1, c->max_in_flight - 1) : 0;
    c->max_drafts = chance(m, 50) && !has_state(&m->kvc) ? between(m, 1, 4) : 0;
    c->drafts_on_device = c->run_ahead > 0 && chance(m, 70);
    c->no_chunks = chance(m, 8);
    if (c->no_chunks)
        c->max_tokens = c->max_model_len;
    c->long_prefill = !c->no_chunks && chance(m, 30) ? between(m, 4, 20) : 0;
    c->max_partial = chance(m, 20) ? between(m, 1, 3) : 0;
    c->max_plps = chance(m, 30) ? between(m, 4, c->max_tokens) : 0;
    c->watermark = chance(m, 40) ? rnd(m, 5) : 0;
    c->lookahead = c->max_drafts > 0 && chance(m, 30) ? c->max_drafts : 0;
    c->max_loras = chance(m, 40) ? between(m, 1, 3) : 0;
    if (chance(m, 40)) {
        c->enc_budget = between(m, 8, 24);
        c->enc_cache = between(m, 12, 40);
    }
    if (chance(m, 15)) {            /* thrash: many small chunks, far too few blocks */
        c->max_rows = 10;
        c->max_tokens = 64;
        c->no_chunks = false;
        c->long_prefill = between(m, 4, 9);
        c->watermark = c->max_partial = 0;
        m->thrash = true;
    }
    if (chance(m, 35) && m->kvc.n_groups > 0)
        c->connector = (lls_sched_connector_t){ m, remote_match };
}

void sim_choose(sim_t *m)
{
    for (uint32_t b = 0; b < N_BASES; b++)
        for (uint32_t i = 0; i < MAX_LEN; i++)
            m->base[b][i] = b == 0 ? 1 : (int32_t)rnd(m, FAKE_VOCAB);  /* the placeholder too */
    choose_kv(m);
    choose_sched(m);
    m->priorities = chance(m, 50) || m->thrash;
    m->forks = chance(m, 40) && m->kvc.n_groups > 0;
    m->resets = chance(m, 15);
    m->budgets = chance(m, 25);
    m->cancels = chance(m, 25) && m->sc.max_in_flight == 1;
    m->arrival_gap = chance(m, 50) && !m->thrash ? 20 : 70;
    m->n_total = between(m, 10, 60);
}
