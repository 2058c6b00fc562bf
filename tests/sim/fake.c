/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/fake.h"

#include <stdlib.h>
#include <string.h>

#define MAX_JOBS 64

typedef struct slot {               /* one token of one group in the "cache" */
    uint64_t before, after;         /* hash of the prefix without and with the token */
    uint64_t step;                  /* that wrote it */
    uint32_t pos, group;
} slot_t;

typedef struct row {
    bool      live;
    uint32_t  flags, pos, adapter_slot, n_drafts;
    int32_t   last, drafts[LLS_MAX_DRAFTS];
    uint32_t  params[4];
    uint64_t  history, pooled;
    uint32_t *table[LLS_MAX_GROUPS], n_table[LLS_MAX_GROUPS];
} row_t;

typedef struct job {
    uint32_t  id, due, n_parts;
    uint64_t  request, began;
    lls_xfer_t part[LLS_MAX_GROUPS];
    uint32_t *blocks;               /* [LLS_MAX_GROUPS][max_seq_blocks] */
} job_t;

typedef struct entry { bool filled; uint32_t blob, len; } entry_t;

typedef struct fake {
    lls_runner_t       base;
    lls_fake_config_t  cfg;
    slot_t            *slots[LLS_MAX_GROUPS];   /* per pool */
    uint32_t           stride[LLS_MAX_GROUPS];
    row_t             *rows;
    entry_t           *entries;
    uint32_t          *loras;
    job_t              jobs[MAX_JOBS];
    uint32_t          *job_blocks;
    uint32_t           n_jobs, group0;
    uint64_t           step, reset_at, n_results, n_waited;
    lls_step_plan_t   *plan;        /* of the step between execute and sample */
    bool               cancel;
    uint64_t          *hashes;      /* [max_tokens]: prefix hash after each token of the step */
    uint64_t          *embed;       /* [max_tokens] */
    bool              *has_embed;
    uint64_t          *state;       /* [max_rows]: what a recurrent layer read before any write */
    lls_step_result_t **results;    /* ring */
    lls_step_result_t *out;
} fake_t;

/* ---- The model ------------------------------------------------------------------------------ */

uint64_t lls_fake_start(uint32_t adapter) { return lls_mix64(0x6d6f64656cu, adapter); }
uint64_t lls_fake_media(uint32_t blob, uint32_t off) { return lls_mix64(blob + 1000003u, off); }

uint64_t lls_fake_step(uint64_t h, uint64_t input, uint32_t adapter)
{
    return lls_mix64(lls_mix64(h, input), adapter);
}

uint64_t lls_fake_history(uint64_t history, int32_t token)
{
    return history + lls_mix64(7, (uint32_t)token);     /* order does not matter, like counts */
}

int32_t lls_fake_token(uint64_t h, const uint32_t *params, uint64_t history, const uint32_t *mask)
{
    uint32_t t = (uint32_t)(lls_mix64(lls_mix64(h, params[0]), history) % FAKE_VOCAB);

    for (int i = 0; mask != NULL && i < FAKE_VOCAB && !(mask[t / 32] >> t % 32 & 1); i++)
        t = (t + 1) % FAKE_VOCAB;
    return (int32_t)t;
}

float lls_fake_logprob(uint64_t h, int32_t next)
{
    return (float)(lls_mix64(h, (uint32_t)next) % 1000);
}

/* ---- Cache slots ---------------------------------------------------------------------------- */

static slot_t *slot_in(fake_t *f, uint32_t g, uint32_t block, uint32_t pos)
{
    const lls_kv_group_config_t *c = &f->cfg.kv.group[g];
    uint32_t off = c->kind == LLS_KV_STATE ? 0 : pos % c->block_tokens;

    lls_assert(block != 0 && block < f->cfg.kv.pool_blocks[c->pool]);
    return &f->slots[c->pool][(size_t)block * f->stride[c->pool] + off];
}

static slot_t *slot_at(fake_t *f, const row_t *r, uint32_t g, uint32_t pos)
{
    uint32_t j = pos / f->cfg.kv.group[g].block_tokens;

    lls_assert(j < r->n_table[g]);
    return slot_in(f, g, r->table[g][j], pos);
}

static uint64_t read_slot(fake_t *f, const row_t *r, uint32_t g, uint32_t pos)
{
    const slot_t *s = slot_at(f, r, g, pos);

    lls_assert(s->pos == pos && s->group == g && "slot holds another token or group");
    lls_assert(s->step >= f->reset_at && "slot from before the reset");
    return s->after;
}

static void write_slot(fake_t *f, const row_t *r, uint32_t g, uint32_t pos, uint64_t before,
                       uint64_t after)
{
    slot_t *s = slot_at(f, r, g, pos);

    lls_assert(s->step != f->step && "R2 slot written twice in a step");
    *s = (slot_t){ before, after, f->step, pos, g };
}

/* ---- Applying the plan ---------------------------------------------------------------------- */

static void end_rows(fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_freed(p); i++) {
        row_t *r = &f->rows[lls_plan_freed(p)[i]];
        lls_assert(r->live && "a row is freed that does not exist");
        r->live = false;
    }
    for (uint32_t i = 0; i < lls_plan_n_enc_free(p); i++) {
        lls_assert(f->entries[lls_plan_enc_free(p)[i]].filled);
        f->entries[lls_plan_enc_free(p)[i]].filled = false;
    }
}

static void copy_blocks(fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_copies(p); i++) {
        const lls_block_copy_t *c = &lls_plan_copies(p)[i];
        uint32_t pool = f->cfg.kv.group[c->group].pool, n = f->stride[pool];
        for (uint32_t k = 0; k < i; k++) {      /* a kernel does them all at once */
            const lls_block_copy_t *o = &lls_plan_copies(p)[k];
            lls_assert(((o->dst != c->src && o->src != c->dst) ||
                        f->cfg.kv.group[o->group].pool != pool) && "copies depend on each other");
        }
        memcpy(&f->slots[pool][(size_t)c->dst * n], &f->slots[pool][(size_t)c->src * n],
               n * sizeof(slot_t));
    }
}

static void begin_rows(fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_added(p); i++) {
        const lls_new_row_t *a = &lls_plan_added(p)[i];
        row_t               *r = &f->rows[a->row];
        lls_assert(!r->live && "R1 a row is given twice");
        r->live = true;
        r->flags = a->flags;
        r->pos = a->n_computed;
        r->adapter_slot = a->lora;
        r->last = -1;
        r->n_drafts = 0;
        r->history = r->pooled = 0;
        memset(r->n_table, 0, sizeof r->n_table);
        memcpy(r->params, lls_plan_words(p) + a->params.off,
               lls_min_u32(a->params.n, 4) * sizeof(uint32_t));
        lls_assert(!(a->flags & LLS_ROW_HISTORY) || a->history.n == a->n_known);
        for (uint32_t k = 0; k < a->history.n; k++)
            r->history = lls_fake_history(r->history,
                                          (int32_t)lls_plan_words(p)[a->history.off + k]);
    }
}

static void append_tables(fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_tables(p); i++) {
        const lls_table_add_t *t = &lls_plan_tables(p)[i];
        row_t                 *r = &f->rows[t->row];
        lls_assert(r->live && t->first >= r->n_table[t->group]);
        for (uint32_t j = r->n_table[t->group]; j < t->first; j++)
            r->table[t->group][j] = 0;
        memcpy(r->table[t->group] + t->first, lls_plan_blocks(p) + t->ids.off,
               t->ids.n * sizeof(uint32_t));
        r->n_table[t->group] = t->first + t->ids.n;
    }
}

static void encode(fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_encs(p); i++) {
        const lls_enc_run_t *e = &lls_plan_encs(p)[i];
        lls_assert(!f->entries[e->entry].filled && "an entry is encoded over another");
        f->entries[e->entry] = (entry_t){ true, e->blob, e->len };
    }
    memset(f->has_embed, 0, lls_plan_n_tokens(p) * sizeof *f->has_embed);
    for (uint32_t i = 0; i < lls_plan_n_splices(p); i++) {
        const lls_splice_t *s = &lls_plan_splices(p)[i];
        const entry_t      *e = &f->entries[s->entry];
        lls_assert(e->filled && s->off + s->n <= e->len && "splice from an absent entry");
        for (uint32_t k = 0; k < s->n; k++) {
            f->embed[s->tok + k] = lls_fake_media(e->blob, s->off + k);
            f->has_embed[s->tok + k] = true;
        }
    }
}

/* ---- Transfers: out of order, some steps later, sometimes failing half way ------------------- */

static void queue_xfers(fake_t *f, const lls_step_plan_t *p, uint32_t op)
{
    job_t *j = NULL;

    for (uint32_t i = 0; i < lls_plan_n_xfers(p); i++) {
        const lls_xfer_t *x = &lls_plan_xfers(p)[i];
        if (x->op != op)
            continue;
        if (j == NULL || j->id != x->job) {
            lls_assert(f->n_jobs < MAX_JOBS);
            j = &f->jobs[f->n_jobs++];
            j->id = x->job;
            j->n_parts = 0;
            j->request = x->request;
            j->began = f->step;
            j->due = 1 + (uint32_t)(lls_mix64(f->cfg.seed, f->step * 64 + x->job) % 5);
        }
        memcpy(j->blocks + (size_t)j->n_parts * f->cfg.lim.max_seq_blocks,
               lls_plan_blocks(p) + x->ids.off, x->ids.n * sizeof(uint32_t));
        j->part[j->n_parts++] = *x;
    }
}

static void finish_part(fake_t *f, const job_t *j, const lls_xfer_t *x, const uint32_t *blocks,
                        uint32_t good_end)
{
    const lls_kv_group_config_t *c = &f->cfg.kv.group[x->group];

    for (uint32_t q = x->first; q < x->first + x->n_tokens; q++) {
        uint32_t block = blocks[(q - x->first) / c->block_tokens];
        uint64_t before = f->cfg.truth(f->cfg.user, j->request, q);
        uint64_t after = f->cfg.truth(f->cfg.user, j->request, q + 1);
        slot_t  *s;
        if (block == 0 || (c->kind == LLS_KV_STATE && (q + 1) % c->block_tokens != 0))
            continue;
        s = slot_in(f, x->group, block, q);
        if (x->op == LLS_XFER_LOAD)
            *s = q < good_end ? (slot_t){ before, after, j->began, q, x->group } : (slot_t){ 0 };
        else
            lls_assert(s->pos == q && s->group == x->group && s->after == after &&
                       "a saved block changed under the transfer");
    }
}

static void finish_job(fake_t *f, job_t *j)
{
    uint32_t end = j->part[0].first + j->part[0].n_tokens, from = j->part[0].first;
    uint64_t fate = lls_mix64(f->cfg.seed ^ 0x66617465u, f->step * 64 + j->id);

    if (j->part[0].op == LLS_XFER_LOAD && fate % 3 == 0)
        end = from + (uint32_t)(fate / 3 % (end - from + 1));
    for (uint32_t i = 0; i < j->n_parts; i++)
        finish_part(f, j, &j->part[i], j->blocks + (size_t)i * f->cfg.lim.max_seq_blocks, end);
    *lls_result_push_done(f->out, 1) = (lls_xfer_done_t){ j->id, end };
}

static void run_jobs(fake_t *f)
{
    for (uint32_t i = 0; i < f->n_jobs;) {
        job_t *j = &f->jobs[i], tmp;
        if (--j->due > 0) {
            i++;
            continue;
        }
        finish_job(f, j);
        tmp = *j;
        *j = f->jobs[--f->n_jobs];
        f->jobs[f->n_jobs] = tmp;   /* keeps its block storage */
    }
}

/* ---- Forward -------------------------------------------------------------------------------- */

static uint32_t adapter_of(const fake_t *f, const row_t *r)
{
    return r->adapter_slot == LLS_NONE ? 0 : f->loras[r->adapter_slot];
}

/* The token at index k of a run: from the plan, or what this row sampled or drafted. */
static int32_t input_token(const row_t *r, const lls_run_row_t *run, const int32_t *tokens,
                           uint32_t k)
{
    uint32_t last = run->n - 1 - run->n_draft;
    int32_t  t = tokens[run->tok + k];

    if (k == last && r->last >= 0) {
        lls_assert((t == LLS_ON_DEVICE || t == r->last) && "not the token that was sampled");
        return r->last;
    }
    if (k > last && k - last - 1 < r->n_drafts) {
        lls_assert((t == LLS_ON_DEVICE || t == r->drafts[k - last - 1]) && "stale draft");
        return r->drafts[k - last - 1];
    }
    lls_assert((t >= 0) == (k <= last) && "a token nobody knows, or a draft never made");
    return t;
}

static uint64_t context_before(fake_t *f, const row_t *r, uint32_t i)
{
    if (r->pos == 0)
        return lls_fake_start(adapter_of(f, r));
    lls_assert(f->cfg.kv.n_groups > 0 && "context without a cache");
    if (f->cfg.kv.group[f->group0].kind == LLS_KV_STATE)
        return f->state[i];
    return read_slot(f, r, f->group0, r->pos - 1);
}

/* Recurrent layers have no order between rows: all read before any writes. */
static void read_states(fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        const row_t *r = &f->rows[lls_plan_runs(p)[i].row];
        for (uint32_t g = 0; g < f->cfg.kv.n_groups; g++)
            if (f->cfg.kv.group[g].kind == LLS_KV_STATE && r->pos > 0)
                f->state[i] = read_slot(f, r, g, r->pos - 1);
    }
}

static void write_token(fake_t *f, const row_t *r, const lls_run_row_t *run, uint32_t k,
                        uint64_t before, uint64_t after)
{
    for (uint32_t g = 0; g < f->cfg.kv.n_groups; g++)
        if (f->cfg.kv.group[g].kind != LLS_KV_STATE || k + 1 == run->n)
            write_slot(f, r, g, r->pos + k, before, after);
}

static void run_row(fake_t *f, const lls_step_plan_t *p, uint32_t i)
{
    const lls_run_row_t *run = &lls_plan_runs(p)[i];
    row_t               *r = &f->rows[run->row];
    uint64_t             h, before;

    lls_assert(r->live && "a row runs that does not exist");
    lls_assert(r->pos <= run->pos && run->pos - r->pos <= run->slack && "position out of step");
    lls_assert(r->pos + run->n <= f->cfg.lim.max_seq_tokens && "S5 position beyond the model");
    h = context_before(f, r, i);
    for (uint32_t k = 0; k < run->n; k++) {
        int32_t  t = input_token(r, run, lls_plan_tokens(p), k);
        uint64_t in = f->has_embed[run->tok + k] ? f->embed[run->tok + k] : (uint64_t)(uint32_t)t;
        before = h;
        h = lls_fake_step(h, in, adapter_of(f, r));
        f->hashes[run->tok + k] = h;
        write_token(f, r, run, k, before, h);
        if (run->flags & LLS_RUN_PROMPT_LOGPROBS)
            r->pooled += h;
    }
}

/* After all writes: every slot that attention would read continues the one before it. */
static void verify_row(fake_t *f, const lls_step_plan_t *p, uint32_t i, uint32_t g)
{
    const lls_run_row_t *run = &lls_plan_runs(p)[i];
    const row_t         *r = &f->rows[run->row];
    uint32_t             from = lls_kv_first_needed(&f->cfg.kv.group[g], r->pos);
    uint64_t             before = 0;

    if (f->cfg.kv.group[g].kind == LLS_KV_STATE) {
        lls_assert(r->pos == 0 || f->state[i] == context_before(f, r, i));
        return;
    }
    for (uint32_t q = from; q < r->pos + run->n; q++) {
        const slot_t *s = slot_at(f, r, g, q);
        lls_assert(s->pos == q && s->group == g && "stale or foreign slot in the context");
        lls_assert(s->step >= f->reset_at && "slot from before the reset");
        lls_assert((q != 0 || s->before == lls_fake_start(adapter_of(f, r))) && "wrong beginning");
        lls_assert((q == from || s->before == before) && "context does not continue");
        lls_assert((q < r->pos || s->after == f->hashes[run->tok + q - r->pos]) && "overwritten");
        before = s->after;
    }
}

static void prompt_logprobs(fake_t *f, const lls_step_plan_t *p, lls_step_result_t *res, uint32_t i)
{
    const lls_run_row_t *run = &lls_plan_runs(p)[i];
    const row_t         *r = &f->rows[run->row];

    for (uint32_t k = 0; (run->flags & LLS_RUN_PROMPT_LOGPROBS) && k < run->n - run->n_draft; k++) {
        int32_t next = k + 1 < run->n ? lls_plan_tokens(p)[run->tok + k + 1] : run->next;
        lls_prompt_logprob_t *out;
        if (next < 0 || r->last >= 0)
            continue;
        out = lls_result_push_plps(res, 1);
        *out = (lls_prompt_logprob_t){ i, r->pos + k, { lls_result_n_logprobs(res), 1 } };
        *lls_result_push_logprobs(res, 1) =
            (lls_logprob_t){ next, 1, lls_fake_logprob(f->hashes[run->tok + k], next) };
    }
}

static void verify_common(const fake_t *f, const lls_step_plan_t *p)
{
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++)
        for (uint32_t g = 0; g < f->cfg.kv.n_groups; g++) {
            const row_t *a = &f->rows[lls_plan_runs(p)[0].row];
            const row_t *b = &f->rows[lls_plan_runs(p)[i].row];
            lls_assert(p->common[g] * f->cfg.kv.group[g].block_tokens <= b->pos);
            lls_assert(memcmp(a->table[g], b->table[g], p->common[g] * sizeof(uint32_t)) == 0 &&
                       "cascade over blocks that are not common");
        }
}

static void forward(fake_t *f, const lls_step_plan_t *p, lls_step_result_t *res)
{
    verify_common(f, p);
    read_states(f, p);
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++)
        run_row(f, p, i);
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        for (uint32_t g = 0; f->cfg.verify && g < f->cfg.kv.n_groups; g++)
            verify_row(f, p, i, g);
        prompt_logprobs(f, p, res, i);
    }
}

static llm_status_t fake_execute(lls_runner_t *base, const lls_step_plan_t *p)
{
    fake_t            *f = (fake_t *)base;
    lls_step_result_t *res = f->results[f->n_results % f->cfg.max_in_flight];

    lls_assert(f->plan == NULL && p->step == f->step + 1 && "plans out of order");
    lls_assert(f->n_results - f->n_waited < f->cfg.max_in_flight);
    f->step = p->step;
    f->plan = (lls_step_plan_t *)(uintptr_t)p;
    lls_result_reset(res, p->step);
    end_rows(f, p);
    copy_blocks(f, p);
    for (uint32_t i = 0; i < lls_plan_n_loras(p); i++)
        f->loras[lls_plan_loras(p)[i].slot] = lls_plan_loras(p)[i].adapter;
    queue_xfers(f, p, LLS_XFER_LOAD);
    begin_rows(f, p);
    append_tables(f, p);
    encode(f, p);
    if (f->cancel) {
        f->cancel = false;
        queue_xfers(f, p, LLS_XFER_SAVE);
        f->plan = NULL;
        return LLM_ERR_CANCELLED;
    }
    forward(f, p, res);
    return LLM_OK;
}

/* ---- Sample --------------------------------------------------------------------------------- */

/* Right three times in four, and not always as many as there could be. */
static void propose(fake_t *f, row_t *r, uint64_t h)
{
    uint64_t history = r->history;
    int32_t  t = r->last;

    r->n_drafts = (uint32_t)(lls_mix64(f->cfg.seed, h) % (f->cfg.lim.max_drafts + 1));
    for (uint32_t k = 0; k < r->n_drafts; k++) {
        h = lls_fake_step(h, (uint32_t)t, adapter_of(f, r));
        t = lls_fake_token(h, r->params, history, NULL);
        if (lls_mix64(h, f->cfg.seed + 1) % 4 == 0)
            t = (t + 1) % FAKE_VOCAB;
        r->drafts[k] = t;
        if (r->flags & LLS_ROW_HISTORY)
            history = lls_fake_history(history, t);
    }
}

/* Draft acceptance with the coupled rule: the token sampled at a row judges the draft behind it. */
static void sample_row(fake_t *f, const lls_run_row_t *run, const lls_step_mask_t *mask,
                       lls_step_result_t *res, lls_row_result_t *out)
{
    row_t   *r = &f->rows[run->row];
    uint32_t first = run->n - 1 - run->n_draft, j = 0;
    int32_t  t;

    out->tokens.off = lls_result_n_tokens(res);
    for (;; j++) {
        uint64_t        h = f->hashes[run->tok + first + j];
        const uint32_t *bits = NULL;
        if (mask != NULL && (run->flags & LLS_RUN_MASKED))
            bits = lls_mask_row((lls_step_mask_t *)(uintptr_t)mask, run->logit + j);
        t = f->cfg.pick != NULL ? f->cfg.pick(f->cfg.user, run, h, r->history)
                                : lls_fake_token(h, r->params, r->history, bits);
        *lls_result_push_tokens(res, 1) = t;
        if (r->flags & LLS_ROW_HISTORY)
            r->history = lls_fake_history(r->history, t);
        if (j == run->n_draft || input_token(r, run, lls_plan_tokens(f->plan), first + 1 + j) != t)
            break;
    }
    out->tokens.n = j + 1;
    r->pos += first + 1 + j;
    r->last = t;
    propose(f, r, f->hashes[run->tok + first + j]);
    out->drafts = (lls_span_t){ lls_result_n_tokens(res), r->n_drafts };
    memcpy(lls_result_push_tokens(res, r->n_drafts), r->drafts, r->n_drafts * sizeof(int32_t));
}

static llm_status_t fake_sample(lls_runner_t *base, const lls_step_mask_t *mask)
{
    fake_t                *f = (fake_t *)base;
    const lls_step_plan_t *p = f->plan;
    lls_step_result_t     *res = f->results[f->n_results % f->cfg.max_in_flight];

    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        const lls_run_row_t *run = &lls_plan_runs(p)[i];
        lls_row_result_t    *out = lls_result_push_rows(res, 1);
        *out = (lls_row_result_t){ .status = LLS_ROW_OK };
        if (run->flags & LLS_RUN_SAMPLE) {
            sample_row(f, run, mask, res, out);
            continue;
        }
        f->rows[run->row].pos += run->n;
        if (run->flags & LLS_RUN_POOL) {
            out->pooled = (lls_span_t){ lls_result_n_floats(res), 1 };
            *lls_result_push_floats(res, 1) = (float)(f->hashes[run->tok + run->n - 1] % 1000);
        }
    }
    queue_xfers(f, p, LLS_XFER_SAVE);
    f->plan = NULL;
    f->n_results++;
    return LLM_OK;
}

static llm_status_t fake_wait(lls_runner_t *base, int64_t timeout_us,
                              const lls_step_result_t **result)
{
    fake_t *f = (fake_t *)base;

    (void)timeout_us;
    if (f->n_waited == f->n_results) {
        lls_result_reset(f->out, 0);
        run_jobs(f);
    } else {
        lls_step_result_t *res = f->results[f->n_waited++ % f->cfg.max_in_flight], *keep = f->out;
        f->out = res;
        run_jobs(f);
        f->out = keep;
        *result = res;
        return LLM_OK;
    }
    *result = f->out;
    return LLM_OK;
}

/* New weights: what was written before must not be read any more. */
static llm_status_t fake_control(lls_runner_t *base, uint32_t what, uint32_t arg)
{
    fake_t *f = (fake_t *)base;

    (void)arg;
    if (what == LLS_RUNNER_RELOAD_WEIGHTS)
        f->reset_at = f->step + 1;
    f->cancel |= what == FAKE_CANCEL;
    return LLM_OK;
}

/* ---- Create --------------------------------------------------------------------------------- */

static void fake_destroy(lls_runner_t *base)
{
    fake_t *f = (fake_t *)base;

    for (uint32_t i = 0; i < LLS_MAX_GROUPS; i++)
        free(f->slots[i]);
    free(f->rows[0].table[0]);
    free(f->job_blocks);
    for (uint32_t i = 0; i < f->cfg.max_in_flight; i++)
        free(f->results[i]);
    free(f->results);
    free(f->out);
    free(f->rows);
    free(f->entries);
    free(f->loras);
    free(f->hashes);
    free(f->embed);
    free(f->has_embed);
    free(f->state);
    free(f);
}

static const lls_runner_ops_t fake_ops = {
    .struct_size = sizeof fake_ops, .execute = fake_execute, .sample = fake_sample,
    .wait = fake_wait, .control = fake_control, .destroy = fake_destroy
};

static void alloc_cache(fake_t *f)
{
    const lls_kv_config_t *k = &f->cfg.kv;

    for (uint32_t g = 0; g < k->n_groups; g++)
        f->stride[k->group[g].pool] =
            lls_max_u32(f->stride[k->group[g].pool], k->group[g].block_tokens);
    for (uint32_t i = 0; i < k->n_pools; i++)
        f->slots[i] = calloc((size_t)k->pool_blocks[i] * f->stride[i] + 1, sizeof(slot_t));
    while (f->group0 + 1 < k->n_groups && k->group[f->group0].kind == LLS_KV_CHUNKED)
        f->group0++;
}

static void alloc_rows(fake_t *f)
{
    const lls_step_limits_t *l = &f->cfg.lim;
    uint32_t *tables = calloc((size_t)(l->max_rows + 1) * LLS_MAX_GROUPS * l->max_seq_blocks,
                              sizeof *tables);
    uint32_t *blocks = calloc((size_t)MAX_JOBS * LLS_MAX_GROUPS * l->max_seq_blocks,
                              sizeof *blocks);

    f->rows = calloc(l->max_rows + 1, sizeof *f->rows);
    f->job_blocks = blocks;
    for (uint32_t i = 0; i < l->max_rows; i++)
        for (uint32_t g = 0; g < LLS_MAX_GROUPS; g++)
            f->rows[i].table[g] = tables + ((size_t)i * LLS_MAX_GROUPS + g) * l->max_seq_blocks;
    for (uint32_t i = 0; i < MAX_JOBS; i++)
        f->jobs[i].blocks = blocks + (size_t)i * LLS_MAX_GROUPS * l->max_seq_blocks;
    f->rows[0].table[0] = tables;
}

lls_runner_t *lls_fake_create(const lls_fake_config_t *config)
{
    fake_t *f = calloc(1, sizeof *f);

    f->base.ops = &fake_ops;
    f->cfg = *config;
    alloc_cache(f);
    alloc_rows(f);
    f->entries = calloc(config->lim.max_encs + 2, sizeof *f->entries);
    f->loras = calloc(config->max_loras + 1, sizeof *f->loras);
    f->hashes = calloc(config->lim.max_tokens + 1, sizeof *f->hashes);
    f->embed = calloc(config->lim.max_tokens + 1, sizeof *f->embed);
    f->has_embed = calloc(config->lim.max_tokens + 1, sizeof *f->has_embed);
    f->state = calloc(config->lim.max_rows + 1, sizeof *f->state);
    f->results = calloc(config->max_in_flight, sizeof *f->results);
    for (uint32_t i = 0; i < config->max_in_flight; i++)
        f->results[i] = lls_result_init(malloc(lls_result_size(&config->lim)), &config->lim);
    f->out = lls_result_init(malloc(lls_result_size(&config->lim)), &config->lim);
    return &f->base;
}
