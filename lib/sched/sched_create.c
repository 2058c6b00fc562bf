/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sched/sched_int.h"

/* ---- Prepare: on the caller's thread -------------------------------------------------------- */

/* n_tokens at which the request ends; a pooling request runs all its tokens and adds none. */
static uint32_t length_cap(const lls_sched_config_t *c, const lls_req_desc_t *d)
{
    if (d->row_flags & LLS_ROW_POOL)
        return d->n_tokens + 1;
    return d->n_tokens + lls_min_u32(d->max_tokens, c->max_model_len - d->n_tokens);
}

static llm_status_t check_length(const lls_sched_config_t *c, const lls_req_desc_t *d,
                                 llm_error_t *err)
{
    bool pool = (d->row_flags & LLS_ROW_POOL) != 0;

    if (d->n_tokens == 0)
        return lls_fail(err, LLM_ERR_INVALID, "the prompt has no tokens; give at least one");
    if (d->max_tokens == 0 && !pool)
        return lls_fail_param(err, LLM_ERR_INVALID, "max_tokens", "max_tokens is 0; at least 1");
    if (d->n_tokens > c->max_model_len - !pool)
        return lls_fail(err, LLM_ERR_TOO_LONG,
                        "the prompt has %u tokens, max-model-len is %u%s; shorten the prompt",
                        d->n_tokens, c->max_model_len, pool ? "" : " and one is for the answer");
    return LLM_OK;
}

static llm_status_t check_whole(const lls_sched_config_t *c, const lls_req_desc_t *d, uint32_t cap,
                                llm_error_t *err)
{
    if (!is_whole(c, d->options))
        return LLM_OK;
    if (cap - 1 > c->max_tokens)
        return lls_fail(err, LLM_ERR_TOO_LONG,
                        "up to %u tokens must run in one step, max-num-batched-tokens is %u; "
                        "raise it or lower max_tokens", cap - 1, c->max_tokens);
    if ((d->row_flags & LLS_ROW_PROMPT_LOGPROBS) && c->max_plps != 0 && cap - 1 > c->max_plps)
        return lls_fail(err, LLM_ERR_TOO_LONG,
                        "prompt logprobs of up to %u tokens in one step, room is for %u; "
                        "ask for fewer or enable chunked prefill", cap - 1, c->max_plps);
    return LLM_OK;
}

static llm_status_t check_media(const lls_sched_config_t *c, const lls_req_desc_t *d,
                                llm_error_t *err)
{
    uint64_t n = 0;
    uint32_t max = lls_min_u32(c->enc_budget, c->enc_cache);

    for (uint32_t i = 0; i < d->n_media; i++) {
        n = is_whole(c, d->options) ? n + d->media[i].at.n : d->media[i].at.n;
        if (n > max)
            return lls_fail(err, LLM_ERR_TOO_LONG,
                            "media of %llu embeddings, the encoder cache has room for %u",
                            (unsigned long long)n, max);
    }
    return LLM_OK;
}

/* Everything that could keep a request waiting for ever is refused here. */
static llm_status_t check_desc(const lls_sched_config_t *c, const lls_kv_config_t *kv,
                               const lls_req_desc_t *d, llm_error_t *err)
{
    llm_status_t st = check_length(c, d, err);
    uint32_t     cap, need, have;

    if (st != LLM_OK)
        return st;
    cap = length_cap(c, d);
    if (d->n_params > c->max_params)
        return lls_fail(err, LLM_ERR_INVALID, "%u words of parameters, room is for %u", d->n_params,
                        c->max_params);
    if (d->adapter != 0 && c->max_loras == 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-loras", "adapter %u, but max-loras is 0",
                              d->adapter);
    st = check_whole(c, d, cap, err);
    if (st == LLM_OK)
        st = check_media(c, d, err);
    if (st != LLM_OK)
        return st;
    if (!lls_kv_can_ever_fit(kv, cap - 1 + c->lookahead, c->max_tokens, &need, &have))
        return lls_fail(err, LLM_ERR_TOO_LONG,
                        "up to %u tokens need %u KV blocks, the cache has %u; "
                        "lower max_tokens or raise kv-cache-memory-bytes", cap - 1, need, have);
    return LLM_OK;
}

static void *carve(char **at, const void *src, size_t bytes)
{
    void *p = *at;

    if (src != NULL && bytes > 0)
        memcpy(p, src, bytes);
    *at += lls_align_up(bytes, 16);
    return p;
}

/* One allocation holds all that a request needs until it ends. */
static lls_req_mem_t *alloc_req(lls_mem_t *mem, const lls_sched_config_t *c,
                                const lls_kv_config_t *kv, const lls_req_desc_t *d, uint32_t cap)
{
    uint32_t       slots = cap + c->lookahead + c->max_drafts;
    size_t         kv_bytes = lls_kv_seq_bytes(kv, slots), n_media = d->n_media;
    size_t         media = n_media * sizeof *d->media, media_at = n_media * sizeof(lls_kv_media_t);
    size_t         stop = d->n_stop_ids * sizeof(int32_t), params = d->n_params * sizeof(uint32_t);
    size_t         head = lls_align_up(sizeof(lls_req_mem_t), 16);
    lls_req_mem_t *m = lls_alloc(mem, head + kv_bytes + media + media_at + stop + params + 6 * 16 +
                                          cap * sizeof(int32_t));
    char          *at;
    lls_req_t     *r;

    if (m == NULL)
        return NULL;
    memset(m, 0, sizeof *m);
    at = (char *)m + head;
    r = &m->req;
    lls_kv_seq_init(kv, &r->kv, carve(&at, NULL, kv_bytes), slots);
    r->media = carve(&at, d->media, media);
    r->media_at = carve(&at, NULL, media_at);
    r->stop_ids = carve(&at, d->stop_ids, stop);
    r->params = carve(&at, d->params, params);
    r->tokens = carve(&at, NULL, cap * sizeof(int32_t));
    memcpy(r->tokens, d->tokens, d->n_tokens * sizeof(int32_t));
    return m;
}

static void fill_req(lls_req_t *r, const lls_req_desc_t *d, uint32_t cap)
{
    r->row = r->lora = LLS_NONE;
    r->n_prompt = r->n_tokens = d->n_tokens;
    r->len_cap = cap;
    r->min_tokens = d->min_tokens;
    r->options = d->options;
    r->row_flags = d->row_flags;
    r->blocked = (uint8_t)d->blocked;
    r->id = d->id;
    r->fair_key = d->fair_key;
    r->priority = d->priority;
    r->adapter = d->adapter;
    r->adapter_gen = d->adapter_gen;
    r->salt = d->salt;
    r->n_media = d->n_media;
    r->n_stop_ids = d->n_stop_ids;
    r->n_params = d->n_params;
    r->positions = d->positions;
    r->embeds = d->embeds;
    for (uint32_t i = 0; i < d->n_media; i++) {
        r->media[i].entry = LLS_NONE;
        r->media_at[i] = d->media[i].at;
    }
}

llm_status_t lls_req_prepare(lls_mem_t *mem, const lls_sched_config_t *config,
                             const lls_kv_config_t *kv, const lls_req_desc_t *desc,
                             lls_req_mem_t **out, llm_error_t *err)
{
    llm_status_t   st = check_desc(config, kv, desc, err);
    lls_req_mem_t *m;
    uint32_t       cap;

    *out = NULL;
    if (st != LLM_OK)
        return st;
    cap = length_cap(config, desc);
    m = alloc_req(mem, config, kv, desc, cap);
    if (m == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "a request of up to %u tokens", cap);
    fill_req(&m->req, desc, cap);
    lls_req_hash_tokens(kv, &m->req);
    *out = m;
    return LLM_OK;
}

void lls_req_discard(lls_mem_t *mem, lls_req_mem_t *list)
{
    while (list != NULL) {
        lls_req_mem_t *next = list->next;
        lls_free(mem, list);
        list = next;
    }
}

/* ---- Create --------------------------------------------------------------------------------- */

static uint32_t *new_stack(lls_mem_t *mem, size_t n, uint32_t fill)
{
    uint32_t *a = lls_calloc(mem, n + 1, sizeof *a);

    for (uint32_t i = 0; a != NULL && i < fill; i++)
        a[i] = fill - 1 - i;
    return a;
}

static bool alloc_flights(lls_sched_t *s)
{
    size_t            n = s->cfg.max_in_flight;
    lls_flight_row_t *rows;

    s->flights = lls_calloc(s->mem, n, sizeof *s->flights);
    if (s->flights == NULL)
        return false;
    rows = lls_calloc(s->mem, n * s->cfg.max_rows, sizeof *rows);
    for (size_t i = 0; rows != NULL && i < n; i++)
        s->flights[i].rows = rows + i * s->cfg.max_rows;
    return rows != NULL;
}

static bool alloc_lists(lls_sched_t *s)
{
    const lls_sched_config_t *c = &s->cfg;
    size_t                    n_outs = 2 * (size_t)c->max_reqs;

    n_outs += (size_t)c->max_in_flight * c->max_rows;
    s->reqs = lls_calloc(s->mem, c->max_reqs, sizeof *s->reqs);
    s->free_slots = new_stack(s->mem, c->max_reqs, c->max_reqs);
    s->free_rows = new_stack(s->mem, c->max_rows, c->max_rows);
    s->gone_rows = new_stack(s->mem, c->max_rows, 0);
    s->running = new_stack(s->mem, c->max_rows, 0);
    s->done = new_stack(s->mem, c->max_reqs, 0);
    s->saves = new_stack(s->mem, c->max_reqs, 0);
    s->loras = lls_calloc(s->mem, (size_t)c->max_loras + 1, sizeof *s->loras);
    s->outs = lls_calloc(s->mem, n_outs, sizeof *s->outs);
    return s->reqs != NULL && s->free_slots != NULL && s->free_rows != NULL &&
           s->gone_rows != NULL && s->running != NULL && s->done != NULL && s->saves != NULL &&
           s->loras != NULL && s->outs != NULL && alloc_flights(s) &&
           lls_enc_init(&s->enc, s->mem, c->enc_entries, c->enc_cache);
}

static llm_status_t check_config(const lls_sched_config_t *c, llm_error_t *err)
{
    if (c->max_reqs == 0 || c->max_rows == 0 || c->max_tokens == 0 || c->max_in_flight == 0)
        return lls_fail(err, LLM_ERR_INVALID,
                        "scheduler for %u requests, %u rows, %u tokens a step, %u plans; none may "
                        "be 0", c->max_reqs, c->max_rows, c->max_tokens, c->max_in_flight);
    if (c->max_model_len < 2 || c->max_model_len > INT32_MAX)
        return lls_fail_param(err, LLM_ERR_INVALID, "max-model-len",
                              "max-model-len is %u; at least 2 and at most %d", c->max_model_len,
                              INT32_MAX);
    if (c->max_drafts > LLS_MAX_DRAFTS || c->run_ahead >= UINT8_MAX)
        return lls_fail(err, LLM_ERR_INVALID, "%u drafts of at most %d, %u results ahead of %d",
                        c->max_drafts, LLS_MAX_DRAFTS, c->run_ahead, UINT8_MAX - 1);
    return LLM_OK;
}

llm_status_t lls_sched_create(lls_mem_t *mem, const lls_sched_config_t *config, lls_kv_t *kv,
                              lls_sched_t **out, llm_error_t *err)
{
    llm_status_t st = check_config(config, err);
    lls_sched_t *s;

    *out = NULL;
    if (st != LLM_OK)
        return st;
    s = lls_zalloc(mem, sizeof *s);
    if (s != NULL) {
        s->mem = s->enc.mem = mem;
        s->cfg = *config;
        s->kv = kv;
        memset(s->head, 0xff, sizeof s->head);      /* LLS_NONE */
        s->tail = LLS_NONE;
        s->n_free_slots = config->max_reqs;
        s->n_free_rows = config->max_rows;
    }
    if (s == NULL || !alloc_lists(s)) {
        lls_sched_destroy(s);
        return lls_fail(err, LLM_ERR_NO_MEMORY, "scheduler for %u requests", config->max_reqs);
    }
    *out = s;
    return LLM_OK;
}

void lls_sched_destroy(lls_sched_t *s)
{
    if (s == NULL)
        return;
    for (uint32_t i = 0; s->reqs != NULL && i < s->cfg.max_reqs; i++)
        lls_req_discard(s->mem, s->reqs[i].mem);
    lls_req_discard(s->mem, s->gone);
    if (s->flights != NULL)
        lls_free(s->mem, s->flights[0].rows);
    lls_enc_deinit(&s->enc);
    lls_free(s->mem, s->flights);
    lls_free(s->mem, s->reqs);
    lls_free(s->mem, s->free_slots);
    lls_free(s->mem, s->free_rows);
    lls_free(s->mem, s->gone_rows);
    lls_free(s->mem, s->running);
    lls_free(s->mem, s->done);
    lls_free(s->mem, s->saves);
    lls_free(s->mem, s->loras);
    lls_free(s->mem, s->outs);
    lls_free(s->mem, s);
}

const lls_sched_config_t *lls_sched_get_config(const lls_sched_t *s) { return &s->cfg; }

void lls_sched_config_limits(const lls_sched_config_t *c, const lls_kv_config_t *k,
                             lls_step_limits_t *lim)
{
    *lim = (lls_step_limits_t){
        .max_rows = c->max_rows, .max_tokens = c->max_tokens, .max_drafts = c->max_drafts,
        .n_groups = k->n_groups, .max_seq_blocks = c->max_model_len / lls_kv_hash_tokens(k) + 2,
        .max_seq_tokens = c->max_model_len + 1, .max_xfers = c->max_jobs,
        .max_encs = c->enc_entries, .max_params = c->max_params, .max_logprobs = c->max_logprobs,
        .max_plp_logprobs = c->max_plp_logprobs,
        .max_plps = c->max_plps != 0 ? c->max_plps : c->max_tokens, .max_floats = c->max_floats };
}

void lls_sched_step_limits(const lls_sched_t *s, lls_step_limits_t *lim)
{
    lls_sched_config_limits(&s->cfg, lls_kv_get_config(s->kv), lim);
}

void lls_sched_stats(const lls_sched_t *s, lls_sched_stats_t *stats)
{
    const lls_kv_config_t *k = lls_kv_get_config(s->kv);

    *stats = (lls_sched_stats_t){ .n_running = s->n_running, .n_waiting = s->n_waiting,
                                  .n_blocked = s->n_blocked, .n_steps = s->step,
                                  .n_preempted = s->all_preempted, .n_cached = s->all_cached };
    for (uint32_t i = 0; i < k->n_pools; i++) {
        stats->blocks_total += k->pool_blocks[i] - 1;
        stats->blocks_held += k->pool_blocks[i] - 1 - lls_kv_n_free(s->kv, i);
    }
}
