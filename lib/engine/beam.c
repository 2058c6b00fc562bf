/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/beam.h"

#include <math.h>
#include <string.h>

#include "engine/options_int.h"

typedef struct node {               /* a token of the tree */
    uint32_t parent;                /* node, or LLS_NONE = the prompt */
    uint32_t row, entry;            /* the proposal that it was */
} node_t;

typedef struct beam {
    node_t   last;                  /* its newest token; a node of the tree once it has children */
    uint32_t n;                     /* tokens behind the prompt */
    uint32_t from;                  /* the live beam of the last round that it continues */
    uint32_t row;                   /* what it proposes, or LLS_NONE */
    bool     stopped;
    double   cumulative, score;
} beam_t;

struct lls_beam_search {
    lls_mem_t      *mem;
    uint32_t        flags, width, max_tokens;
    uint32_t        n_entries;      /* of a row: one that is left free, then the proposals */
    double          length_penalty;
    int32_t         eos;
    lls_req_desc_t  desc;           /* of each beam but for id and tokens */
    uint32_t       *params;         /* of desc */
    int32_t        *tokens;         /* the prompt, then room for those of one beam */
    size_t          cap_tokens;
    uint32_t        n_prompt;
    node_t         *nodes;
    size_t          n_nodes, cap_nodes;
    lls_logprob_t  *rows;           /* [n_rows][n_entries] */
    size_t          n_rows, cap_rows;
    beam_t         *beams;          /* [3][width]: the memory of the next three */
    beam_t         *live, *next, *completed;        /* best first; next is being chosen */
    uint32_t        n_live, n_next, n_completed;
    uint32_t        n_proposed;     /* live beams that have */
    uint64_t       *handles;        /* [width]: forks being made */
    uint32_t        n_cached, n_preempted;
    uint64_t        block_steps, device_ns;
    bool            closed;
};

/* ---- What is asked --------------------------------------------------------------------------- */

static uint32_t n_proposals(const lls_engine_t *e, const llm_beam_params_t *p)
{
    return lls_min_u32(2 * p->beam_width, e->plan.vocab_size);
}

static llm_status_t check_numbers(const llm_beam_params_t *p, llm_error_t *err)
{
    if (p->beam_width < 1 || p->beam_width > LLS_BEAM_MAX_WIDTH)
        return lls_fail_param(err, LLM_ERR_INVALID, "beam_width",
                              "beam_width must be in [1, %d], got %u", LLS_BEAM_MAX_WIDTH,
                              p->beam_width);
    if (p->max_tokens < 1)
        return lls_fail_param(err, LLM_ERR_INVALID, "max_tokens",
                              "max_tokens must be at least 1, got 0");
    if (!(p->temperature >= 0 && p->temperature <= 2))
        return lls_fail_param(err, LLM_ERR_INVALID, "temperature",
                              "temperature must be in [0, 2], got %g", (double)p->temperature);
    if (!isfinite(p->length_penalty))
        return lls_fail_param(err, LLM_ERR_INVALID, "length_penalty",
                              "length_penalty must be a finite number, got %g",
                              (double)p->length_penalty);
    if ((p->flags & LLM_BEAM_NO_PENALTY) && p->length_penalty != 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "length_penalty",
                              "length_penalty is %g and LLM_BEAM_NO_PENALTY is set; choose one",
                              (double)p->length_penalty);
    return LLM_OK;
}

llm_status_t lls_beam_check(const lls_engine_t *e, const llm_beam_params_t *p, llm_error_t *err)
{
    const lls_engine_options_t *o = &e->options;
    llm_status_t                st = check_numbers(p, err);

    if (st != LLM_OK)
        return st;
    if (o->max_logprobs >= 0 && n_proposals(e, p) > (uint32_t)o->max_logprobs)
        return lls_fail_param(err, LLM_ERR_INVALID, "beam_width",
                              "beam_width %u needs %u logprobs a token, max-logprobs is %d; raise "
                              "it", p->beam_width, n_proposals(e, p), o->max_logprobs);
    if (2 * p->beam_width > o->max_num_queued_reqs)
        return lls_fail_param(err, LLM_ERR_INVALID, "beam_width",
                              "beam_width %u needs %u places in the queue, max-num-queued-reqs is "
                              "%u; raise it", p->beam_width, 2 * p->beam_width,
                              o->max_num_queued_reqs);
    return LLM_OK;
}

static bool counts_here(const lls_option_def_t *option)
{
    static const char *const names[] = { "cache_salt", "priority", "request_id",
                                         "truncate_prompt_tokens", "truncation_side",
                                         "skip_reading_prefix_cache" };

    for (size_t i = 0; i < LLS_ARRAY_LEN(names); i++)
        if (option == lls_option_find(LLM_SCOPE_REQUEST, names[i]))
            return true;
    return false;
}

llm_status_t lls_beam_check_request(const llm_request_t *r, llm_error_t *err)
{
    if (r->sampling != NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "sampling",
                              "sampling must be NULL; beam search has parameters of its own");
    if (r->flags & LLM_REQUEST_PREFILL_ONLY)
        return lls_fail_param(err, LLM_ERR_INVALID, "flags",
                              "LLM_REQUEST_PREFILL_ONLY is not for beam search");
    for (size_t i = 0; i < r->n_options; i++) {
        const char             *name = r->options[i].name;
        const lls_option_def_t *def = lls_option_find(LLM_SCOPE_REQUEST, name);
        if (def != NULL && !counts_here(def))       /* unknown names are refused where all are */
            return lls_fail_param(err, LLM_ERR_INVALID, name,
                                  "%s is not for beam search, which has parameters of its own",
                                  name);
    }
    return LLM_OK;
}

/* Its own token is thrown away, and room for a second keeps the scheduler from ending it. */
void lls_beam_sampling(const lls_engine_t *e, const llm_beam_params_t *p,
                       llm_sampling_params_t *sampling)
{
    *sampling = (llm_sampling_params_t){
        .struct_size = sizeof *sampling, .flags = LLM_SAMPLE_IGNORE_EOS | LLM_SAMPLE_KEEP_SPECIAL,
        .temperature = p->temperature, .max_tokens = 2,
        .n_logprobs = 1 + (int32_t)n_proposals(e, p) };
}

/* ---- Made and freed -------------------------------------------------------------------------- */

static bool allocate(struct lls_beam_search *s, const lls_req_desc_t *root)
{
    s->params = lls_calloc(s->mem, root->n_params + 1, sizeof *s->params);
    s->beams = lls_calloc(s->mem, 3 * (size_t)s->width, sizeof *s->beams);
    s->handles = lls_calloc(s->mem, s->width, sizeof *s->handles);
    return s->params != NULL && s->beams != NULL && s->handles != NULL &&
           lls_reserve(s->mem, (void **)&s->tokens, &s->cap_tokens, root->n_tokens,
                       sizeof *s->tokens);
}

static void begin(struct lls_beam_search *s, const lls_req_desc_t *root)
{
    memcpy(s->params, root->params, root->n_params * sizeof *s->params);
    memcpy(s->tokens, root->tokens, root->n_tokens * sizeof *s->tokens);
    s->desc = *root;
    s->desc.params = s->params;
    s->n_prompt = root->n_tokens;
    s->live = s->beams;
    s->next = s->beams + s->width;
    s->completed = s->beams + 2 * s->width;
    s->live[0].row = LLS_NONE;
    s->n_live = 1;
}

llm_status_t lls_beam_create(const lls_engine_t *e, lls_request_t *req, const llm_beam_params_t *p,
                             const lls_req_desc_t *root, llm_error_t *err)
{
    struct lls_beam_search *s = req->search = lls_zalloc(req->mem, sizeof *s);

    lls_assert(root->n_stop_ids == 0 && root->n_media == 0);
    if (s == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "beam search");
    s->mem = req->mem;
    s->flags = p->flags;
    s->width = p->beam_width;
    s->max_tokens = lls_min_u32(p->max_tokens, e->plan.max_model_len - root->n_tokens);
    s->n_entries = 1 + n_proposals(e, p);
    s->length_penalty = p->length_penalty != 0 ? (double)p->length_penalty
                                               : (p->flags & LLM_BEAM_NO_PENALTY) ? 0 : 1;
    s->eos = e->eos_id;
    if (!allocate(s, root))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "beam search of width %u", p->beam_width);
    begin(s, root);
    return LLM_OK;
}

void lls_beam_destroy(struct lls_beam_search *s)
{
    if (s == NULL)
        return;
    lls_free(s->mem, s->params);
    lls_free(s->mem, s->tokens);
    lls_free(s->mem, s->nodes);
    lls_free(s->mem, s->rows);
    lls_free(s->mem, s->beams);
    lls_free(s->mem, s->handles);
    lls_free(s->mem, s);
}

uint64_t lls_beam_n_tokens(const struct lls_beam_search *s)
{
    return s->n_live == 0 ? 0 : (uint64_t)s->n_live * s->live[0].n;
}

/* ---- The tree -------------------------------------------------------------------------------- */

static lls_logprob_t *row_at(const struct lls_beam_search *s, uint32_t row)
{
    return s->rows + (size_t)row * s->n_entries;
}

static bool keep_row(struct lls_beam_search *s, const lls_logprob_t *entries, uint32_t *row)
{
    if (!lls_reserve(s->mem, (void **)&s->rows, &s->cap_rows, (s->n_rows + 1) * s->n_entries,
                     sizeof *s->rows))
        return false;
    *row = (uint32_t)s->n_rows++;
    memcpy(row_at(s, *row), entries, s->n_entries * sizeof *entries);
    return true;
}

/* A beam's nodes from the prompt on, written behind the tree; NULL = no memory. */
static const node_t *path_of(struct lls_beam_search *s, const beam_t *b)
{
    const node_t *node = &b->last;
    node_t       *path;

    if (!lls_reserve(s->mem, (void **)&s->nodes, &s->cap_nodes, s->n_nodes + b->n + 1,
                     sizeof *s->nodes))
        return NULL;
    path = s->nodes + s->n_nodes;
    for (uint32_t i = b->n; i > 0; i--, node = &s->nodes[node->parent])
        path[i - 1] = *node;
    return path;
}

static llm_status_t spell(struct lls_beam_search *s, const beam_t *b, llm_error_t *err)
{
    const node_t *path = path_of(s, b);

    if (path == NULL || !lls_reserve(s->mem, (void **)&s->tokens, &s->cap_tokens,
                                     (size_t)s->n_prompt + b->n, sizeof *s->tokens))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "a beam of %u tokens", b->n);
    for (uint32_t i = 0; i < b->n; i++)
        s->tokens[s->n_prompt + i] = row_at(s, path[i].row)[path[i].entry].token;
    return LLM_OK;
}

/* ---- Who goes on ----------------------------------------------------------------------------- */

static double score_of(const struct lls_beam_search *s, const beam_t *b, int32_t last)
{
    uint32_t len = s->n_prompt + b->n - (last == s->eos);

    return b->cumulative / pow(len, s->length_penalty);
}

/* Among the best `width`; who came first goes before its equals. */
static void rank(const struct lls_beam_search *s, beam_t *list, uint32_t *n, const beam_t *b)
{
    uint32_t at = *n;

    while (at > 0 && list[at - 1].score < b->score)
        at--;
    if (at == s->width)
        return;
    *n += *n < s->width;
    memmove(&list[at + 1], &list[at], (*n - 1 - at) * sizeof *list);
    list[at] = *b;
}

static void compete(struct lls_beam_search *s, uint32_t i, uint32_t parent)
{
    const beam_t        *b = &s->live[i];
    const lls_logprob_t *row = row_at(s, b->row);

    for (uint32_t k = 1; k < s->n_entries; k++) {
        beam_t c = { .last = { parent, b->row, k }, .n = b->n + 1, .from = i, .row = LLS_NONE,
                     .cumulative = b->cumulative + (double)row[k].logprob };
        c.score = score_of(s, &c, row[k].token);
        c.stopped = row[k].token == s->eos && (s->flags & LLM_BEAM_IGNORE_EOS) == 0;
        if (c.stopped)
            rank(s, s->completed, &s->n_completed, &c);
        else
            rank(s, s->next, &s->n_next, &c);
    }
}

/* False if memory is out; then nothing has changed. */
static bool choose(struct lls_beam_search *s)
{
    beam_t *chosen = s->next;

    if (!lls_reserve(s->mem, (void **)&s->nodes, &s->cap_nodes, s->n_nodes + s->n_live,
                     sizeof *s->nodes))
        return false;
    s->n_next = 0;
    for (uint32_t i = 0; i < s->n_live; i++) {
        bool is_prompt = s->live[i].n == 0;
        if (!is_prompt)
            s->nodes[s->n_nodes++] = s->live[i].last;
        compete(s, i, is_prompt ? LLS_NONE : (uint32_t)s->n_nodes - 1);
    }
    s->next = s->live;
    s->live = chosen;
    s->n_live = s->n_next;
    s->n_proposed = 0;
    return true;
}

/* ---- A round --------------------------------------------------------------------------------- */

static void drop_run(lls_engine_t *e, lls_completion_t *c)
{
    const lls_req_t *r = lls_sched_get(e->sched, c->handle);

    if (r != NULL) {
        c->req->search->n_preempted += r->n_preempted;
        c->req->search->block_steps += r->block_steps;
    }
    lls_sched_finish(e->sched, c->handle, LLS_FINISH_STOP);
    e->by_slot[(uint32_t)c->handle] = NULL;
    c->handle = LLS_NO_HANDLE;
    c->live = false;
}

static llm_status_t fork_one(lls_engine_t *e, lls_request_t *req, uint32_t i, llm_error_t *err)
{
    struct lls_beam_search *s = req->search;
    const beam_t           *b = &s->live[i];
    lls_req_mem_t          *prepared;
    llm_status_t            st = spell(s, b, err);

    if (st != LLM_OK)
        return st;
    s->desc.id = lls_engine_id(e, req->c[i].slot);
    s->desc.tokens = s->tokens;
    s->desc.n_tokens = s->n_prompt + b->n;
    st = lls_req_prepare(&e->mem, &e->sched_config, &e->kv_config, &s->desc, &prepared, err);
    if (st != LLM_OK)
        return st;
    st = lls_sched_fork(e->sched, req->c[b->from].handle, prepared, &s->handles[i]);
    lls_assert(st == LLM_OK);       /* a search has two places for every beam */
    return st;
}

static llm_status_t fork_all(lls_engine_t *e, lls_request_t *req, llm_error_t *err)
{
    struct lls_beam_search *s = req->search;
    llm_status_t            st = LLM_OK;
    uint32_t                n = 0;

    while (st == LLM_OK && n < s->n_live)
        if ((st = fork_one(e, req, n, err)) == LLM_OK)
            n++;
    for (uint32_t i = 0; st != LLM_OK && i < n; i++)
        lls_sched_finish(e->sched, s->handles[i], LLS_FINISH_ABORT);
    return st;
}

/* Forks take the places of those that they came from. */
static void take_places(lls_engine_t *e, lls_request_t *req)
{
    struct lls_beam_search *s = req->search;

    for (uint32_t i = 0; i < req->n; i++)
        if (req->c[i].live)
            drop_run(e, &req->c[i]);
    for (uint32_t i = 0; i < s->n_live; i++) {
        lls_completion_t *c = &req->c[i];
        c->handle = s->handles[i];
        c->live = true;
        e->by_slot[(uint32_t)c->handle] = c;
        lls_completion_copy_times(c, &req->c[0]);
    }
}

static void fail(lls_engine_t *e, lls_completion_t *c, const llm_error_t *why)
{
    c->error = *why;
    lls_engine_end(e, c, LLM_FINISH_ERROR);
}

static void next_round(lls_engine_t *e, lls_request_t *req)
{
    struct lls_beam_search *s = req->search;
    llm_error_t             err;

    if (!choose(s)) {
        lls_fail(&err, LLM_ERR_NO_MEMORY, "no memory for more than %zu tokens of beams",
                 s->n_nodes);
        fail(e, &req->c[0], &err);
    } else if (s->n_live == 0 || s->live[0].n == s->max_tokens) {
        lls_engine_end(e, &req->c[0], LLM_FINISH_LENGTH);
    } else if (fork_all(e, req, &err) != LLM_OK) {
        fail(e, &req->c[0], &err);
    } else {
        take_places(e, req);
    }
}

void lls_beam_propose(lls_engine_t *e, lls_completion_t *c, const lls_logprob_t *entries)
{
    struct lls_beam_search *s = c->req->search;
    beam_t                 *b = &s->live[c->index];
    llm_error_t             err;

    lls_assert(c->index < s->n_live && b->row == LLS_NONE);
    if (!keep_row(s, entries, &b->row)) {
        lls_fail(&err, LLM_ERR_NO_MEMORY, "no memory for the proposals of %u beams", s->n_live);
        fail(e, c, &err);
        return;
    }
    if (b->n == 0)
        s->n_cached = lls_sched_get(e->sched, c->handle)->n_cached;
    lls_sched_hold(e->sched, c->handle, LLS_BLOCKED_INPUT);
    if (++s->n_proposed == s->n_live)
        next_round(e, c->req);
}

/* ---- The end --------------------------------------------------------------------------------- */

/* The EOS that a beam ends with is no text, unless that is wanted. */
static bool write_tokens(struct lls_beam_search *s, lls_completion_t *c, const beam_t *b)
{
    const node_t *path = path_of(s, b);
    bool          ok = path != NULL, keep = (s->flags & LLM_BEAM_KEEP_STOP) != 0;

    for (uint32_t i = 0; ok && i < b->n; i++) {
        lls_logprob_t *row = row_at(s, path[i].row);
        row[0] = row[path[i].entry];
        ok = lls_completion_push(c, row[0].token, b->stopped && !keep && i + 1 == b->n, row);
    }
    return ok;
}

static void end_one(lls_engine_t *e, lls_completion_t *c, const beam_t *b, uint32_t finish)
{
    struct lls_beam_search *s = c->req->search;

    if (b->stopped)
        finish = LLM_FINISH_STOP;
    if (finish != LLM_FINISH_ERROR && !write_tokens(s, c, b)) {
        lls_fail(&c->error, LLM_ERR_NO_MEMORY, "no memory for a beam of %u tokens", b->n);
        finish = LLM_FINISH_ERROR;
    }
    lls_completion_copy_times(c, &c->req->c[0]);
    c->n_cached = s->n_cached;
    c->n_preempted = c->index == 0 ? s->n_preempted : 0;    /* costs are of the search */
    c->block_steps = c->index == 0 ? s->block_steps : 0;
    c->device_ns = c->index == 0 ? s->device_ns : 0;
    c->live = true;
    lls_engine_end(e, c, finish);
}

bool lls_beam_close(lls_engine_t *e, lls_completion_t *c, uint32_t finish)
{
    lls_request_t          *req = c->req;
    struct lls_beam_search *s = req->search;
    uint32_t                n;

    if (s == NULL || s->closed)
        return false;
    s->closed = true;
    for (uint32_t i = 0; i < req->n; i++) {
        s->device_ns += req->c[i].device_ns;
        if (req->c[i].live)
            drop_run(e, &req->c[i]);
    }
    for (uint32_t i = 0; i < s->n_live; i++)
        rank(s, s->completed, &s->n_completed, &s->live[i]);
    n = finish == LLM_FINISH_ERROR ? 1 : s->n_completed;
    if (finish == LLM_FINISH_ERROR) {
        s->completed[0] = (beam_t){ .n = 0 };
        req->c[0].error = c->error;
    }
    lls_engine_shrink(e, req, n);
    for (uint32_t i = 0; i < n; i++)
        end_one(e, &req->c[i], &s->completed[i], finish);
    return true;
}
