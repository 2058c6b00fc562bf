/* SPDX-License-Identifier: Apache-2.0 */
#include "run/model_runner.h"

#include <string.h>

#include "base/carve.h"
#include "base/clock.h"
#include "sample/logprobs.h"
#include "sample/think.h"
#include "tensor/rows.h"

#define ALIGN 64u
/* Rows of logits worked on at once where log-probabilities are wanted. */
#define CHUNK 16u

typedef struct runner_row {
    uint64_t          request;
    uint32_t          flags;        /* LLS_ROW_* */
    uint32_t          n_prompt, n_words;
    uint32_t          n_history;    /* tokens kept; 0 if the row wants none */
    lls_think_t       think;
    lls_sample_view_t view;         /* points into the row's words */
} runner_row_t;

typedef struct model_runner {
    lls_runner_t              base;
    lls_mem_t                *mem;
    lls_model_runner_config_t cfg;
    lls_exec_t                x;
    lls_rows_t                rows;
    lls_batch_t               batch;
    runner_row_t             *row;          /* [max_rows] */
    uint32_t                 *words;        /* [max_rows][max_params] */
    int32_t                  *history;      /* [max_rows][max_seq_tokens] */
    lls_sample_row_t         *sample_rows;  /* [max_rows] */
    lls_sample_out_t         *sample_outs;  /* [max_rows] */
    uint32_t                 *sample_run;   /* [max_rows]: the run that a sample row belongs to */
    lls_logprob_job_t        *jobs;         /* [CHUNK] */
    const lls_step_plan_t    *plan;         /* executed, not sampled */
    lls_step_result_t        *result;
    lls_tensor_t              logits, peaks;
    uint64_t                  began_ns;
    bool                      has_result;
} model_runner_t;

/* ---- Memory ---------------------------------------------------------------------------------- */

static lls_rows_limits_t rows_limits(const lls_model_runner_config_t *cfg)
{
    const lls_step_limits_t *l = &cfg->limits;
    lls_rows_limits_t        r = { .max_rows = l->max_rows, .max_tokens = l->max_tokens,
                                   .max_logits = l->max_rows, .max_context = l->max_seq_tokens,
                                   .n_groups = cfg->kv.n_groups };

    for (uint32_t g = 0; g < cfg->kv.n_groups; g++)
        r.max_blocks[g] = lls_ceil_div(l->max_seq_tokens, cfg->kv.group[g].block_tokens) + 1;
    return r;
}

static uint32_t n_vocab(const model_runner_t *r) { return lls_model_traits(r->cfg.model)->n_vocab; }
static bool     is_processed(const model_runner_t *r) { return (r->cfg.logprobs_mode & 1) != 0; }
static bool     is_of_logits(const model_runner_t *r) { return (r->cfg.logprobs_mode & 2) != 0; }

/* What sampling takes behind the forward pass; while planning it stands for the largest case. */
static void sample_rows(model_runner_t *r, uint32_t first, uint32_t n, bool with_logprobs);
static void prompt_logprob_chunk(model_runner_t *r, const lls_tensor_t *hidden,
                                 const uint32_t *tokens, uint32_t n);

static void plan_arena(model_runner_t *r)
{
    lls_rows_limits_t lim = rows_limits(&r->cfg);
    lls_tensor_t      hidden;

    r->x.planning = true;
    lls_batch_bound(&r->batch, &lim);
    lls_model_forward(&r->x, r->cfg.model, &r->batch, &r->logits, &r->peaks, &hidden);
    prompt_logprob_chunk(r, &hidden, NULL, CHUNK);
    sample_rows(r, 0, lim.max_rows, false);
    sample_rows(r, 0, lls_min_u32(lim.max_rows, CHUNK), true);
    r->x.planning = false;
    r->x.cap = lls_align_up(r->x.peak, ALIGN);
    r->x.scratch_cap = lls_align_up(r->x.scratch_peak, ALIGN);
    r->x.used = 0;
}

/* Lays the workspace out; the same code counts it. */
static size_t lay_out(model_runner_t *r, uint8_t *base)
{
    const lls_step_limits_t *l = &r->cfg.limits;
    lls_rows_limits_t        lim = rows_limits(&r->cfg);
    lls_carver_t             c = { .base = base, .align = ALIGN };
    void                    *rows, *batch, *result;

    r->x = (lls_exec_t){ .ops = r->cfg.ops, .backend = r->cfg.backend, .invariant = true,
                         .cancel = r->cfg.cancel };
    plan_arena(r);
    rows = lls_carve(&c, 1, lls_rows_bytes(&lim));
    batch = lls_carve(&c, 1, lls_batch_bytes(&lim));
    result = lls_carve(&c, 1, lls_result_size(l));
    r->row = lls_carve(&c, l->max_rows, sizeof *r->row);
    r->words = lls_carve(&c, (size_t)l->max_rows * l->max_params, sizeof *r->words);
    r->history = lls_carve(&c, (size_t)l->max_rows * l->max_seq_tokens, sizeof *r->history);
    r->sample_rows = lls_carve(&c, l->max_rows, sizeof *r->sample_rows);
    r->sample_outs = lls_carve(&c, l->max_rows, sizeof *r->sample_outs);
    r->sample_run = lls_carve(&c, l->max_rows, sizeof *r->sample_run);
    r->jobs = lls_carve(&c, CHUNK, sizeof *r->jobs);
    r->x.arena = lls_carve(&c, 1, r->x.cap + r->x.scratch_cap);
    if (base != NULL) {
        lls_rows_init(&r->rows, rows, &lim);
        lls_batch_init(&r->batch, batch, &r->rows);
        r->result = lls_result_init(result, l);
    }
    return c.used;
}

size_t lls_model_runner_bytes(const lls_model_runner_config_t *config)
{
    model_runner_t r = { .cfg = *config };

    return lls_result_size(&config->limits) == 0 ? 0 : lay_out(&r, NULL);
}

/* ---- Rows ------------------------------------------------------------------------------------ */

static int32_t *history_of(const model_runner_t *r, uint32_t row)
{
    return r->history + (size_t)row * r->cfg.limits.max_seq_tokens;
}

static bool begin_row(model_runner_t *r, const lls_step_plan_t *plan, const lls_new_row_t *a)
{
    runner_row_t *row = &r->row[a->row];
    uint32_t     *words = r->words + (size_t)a->row * r->cfg.limits.max_params;

    *row = (runner_row_t){ .request = a->request, .flags = a->flags, .n_prompt = a->n_prompt,
                           .n_words = a->params.n };
    if (a->params.n > r->cfg.limits.max_params || a->history.n > r->cfg.limits.max_seq_tokens)
        return false;
    memcpy(words, lls_plan_words(plan) + a->params.off, a->params.n * sizeof *words);
    row->n_history = a->history.n;
    memcpy(history_of(r, a->row), lls_plan_words(plan) + a->history.off,
           a->history.n * sizeof(uint32_t));
    return row->n_words == 0 || lls_sample_unpack(words, row->n_words, n_vocab(r), &row->view);
}

static bool begin_rows(model_runner_t *r, const lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < lls_plan_n_added(plan); i++)
        if (!begin_row(r, plan, &lls_plan_added(plan)[i]))
            return false;
    return true;
}

static void copy_blocks(model_runner_t *r, const lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < lls_plan_n_copies(plan); i++) {
        const lls_block_copy_t *c = &lls_plan_copies(plan)[i];
        uint32_t                pool = r->cfg.kv.group[c->group].pool;
        LLS_OP(&r->x, copy_blocks, r->cfg.pool_base[pool], r->cfg.block_bytes[pool], c->src,
               c->dst);
    }
}

/* ---- Prompt log-probabilities ---------------------------------------------------------------- */

/* Logits of n hidden states, and the jobs that look at them.  tokens names rows of hidden. */
static void prompt_logprob_chunk(model_runner_t *r, const lls_tensor_t *hidden,
                                 const uint32_t *tokens, uint32_t n)
{
    size_t       mark = r->x.used;
    lls_tensor_t some = lls_tmp(&r->x, LLS_F32, n, hidden->shape[1]), logits;

    LLS_OP(&r->x, gather, &some, hidden, tokens, n);
    lls_model_head(&r->x, r->cfg.model, &some, &logits, NULL);
    for (uint32_t i = 0; !r->x.planning && i < n; i++)
        r->jobs[i].logits = (const float *)logits.data + i * logits.stride[0];
    LLS_OP(&r->x, logprobs, n_vocab(r), r->jobs, n);
    r->x.used = mark;
}

/* The job for position run->pos + k, if the token behind it belongs to the prompt. */
static bool next_job(model_runner_t *r, uint32_t i, uint32_t k, lls_logprob_job_t *job)
{
    const lls_run_row_t *run = &lls_plan_runs(r->plan)[i];
    const runner_row_t  *row = &r->row[run->row];
    int32_t              next = k + 1 < run->n ? lls_plan_tokens(r->plan)[run->tok + k + 1]
                                               : run->next;
    uint32_t             width = row->view.n_prompt_logprobs;
    lls_prompt_logprob_t *out;

    if (next < 0 || run->pos + k + 1 >= row->n_prompt ||
        run->pos + k < row->view.prompt_logprob_start)
        return false;
    out = lls_result_push_plps(r->result, 1);
    *out = (lls_prompt_logprob_t){ i, run->pos + k, { lls_result_n_logprobs(r->result), width } };
    *job = (lls_logprob_job_t){ .token = next, .n_entries = width, .of_logits = is_of_logits(r),
                                .ids = row->view.n_prompt_logprob_ids > 0
                                           ? row->view.prompt_logprob_ids : NULL,
                                .out = lls_result_push_logprobs(r->result, width) };
    return true;
}

static void prompt_logprobs(model_runner_t *r, const lls_tensor_t *hidden)
{
    uint32_t tokens[CHUNK], n = 0;

    for (uint32_t i = 0; i < lls_plan_n_runs(r->plan); i++) {
        const lls_run_row_t *run = &lls_plan_runs(r->plan)[i];
        for (uint32_t k = 0; (run->flags & LLS_RUN_PROMPT_LOGPROBS) && k < run->n; k++) {
            if (!next_job(r, i, k, &r->jobs[n]))
                continue;
            tokens[n++] = r->batch.row_start[i] + k;
            if (n == CHUNK) {
                prompt_logprob_chunk(r, hidden, tokens, n);
                n = 0;
            }
        }
    }
    if (n > 0)
        prompt_logprob_chunk(r, hidden, tokens, n);
}

/* ---- Execute --------------------------------------------------------------------------------- */

static bool wants_hidden(const lls_step_plan_t *plan)
{
    uint32_t flags = 0;

    for (uint32_t i = 0; i < lls_plan_n_runs(plan); i++)
        flags |= lls_plan_runs(plan)[i].flags;
    return (flags & LLS_RUN_PROMPT_LOGPROBS) != 0;
}

static llm_status_t runner_execute(lls_runner_t *base, const lls_step_plan_t *plan)
{
    model_runner_t *r = (model_runner_t *)base;
    bool            hidden_wanted = wants_hidden(plan);
    lls_tensor_t    hidden;

    r->plan = plan;
    r->began_ns = lls_clock_ns();
    r->has_result = false;
    r->x.status = LLM_OK;
    r->x.used = 0;
    lls_result_reset(r->result, plan->step);
    copy_blocks(r, plan);
    if (!begin_rows(r, plan))
        return LLM_ERR_INTERNAL;
    LLS_OP(&r->x, build_inputs, plan, &r->rows, &r->batch);
    if (r->batch.n_tokens > 0)
        lls_model_forward(&r->x, r->cfg.model, &r->batch, &r->logits, &r->peaks,
                          hidden_wanted ? &hidden : NULL);
    if (hidden_wanted && r->x.status == LLM_OK)
        prompt_logprobs(r, &hidden);
    return r->x.status;
}

/* ---- Sample ---------------------------------------------------------------------------------- */

/* Copies the rows' raw logits, which sampling is about to change. */
static void keep_raw(model_runner_t *r, uint32_t first, uint32_t n, lls_tensor_t *raw)
{
    uint32_t rows[CHUNK];

    *raw = lls_tmp(&r->x, LLS_F32, n, n_vocab(r));
    for (uint32_t i = 0; !r->x.planning && i < n; i++)
        rows[i] = r->sample_rows[first + i].logit;
    LLS_OP(&r->x, gather, raw, &r->logits, rows, n);
}

/* Lets the host change the logits of rows that have a callback. */
static void call_hooks(model_runner_t *r, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        const lls_sample_row_t *s = &r->sample_rows[i];
        const lls_run_row_t    *run = &lls_plan_runs(r->plan)[r->sample_run[i]];
        const runner_row_t     *row = &r->row[run->row];
        float                  *logits = (float *)r->logits.data + s->logit * r->logits.stride[0];
        if ((row->flags & LLS_ROW_PROCESSOR) &&
            r->cfg.hook(r->cfg.hook_user, row->request, s->tokens, s->n_tokens, s->n_prompt, logits,
                        n_vocab(r)) != 0)
            lls_result_rows(r->result)[r->sample_run[i]].status = LLS_ROW_FAILED;
    }
}

static bool any_hook(const model_runner_t *r, uint32_t first, uint32_t n)
{
    uint32_t flags = 0;

    for (uint32_t i = first; i < first + n; i++)
        flags |= r->row[lls_plan_runs(r->plan)[r->sample_run[i]].row].flags;
    return (flags & LLS_ROW_PROCESSOR) != 0;
}

static void penalise(model_runner_t *r, lls_sample_rows_t *rows, uint32_t first)
{
    if (!r->x.planning && any_hook(r, first, rows->n_rows)) {
        rows->stages = LLS_SAMPLE_CONSTRAIN;
        LLS_OP(&r->x, penalise, &r->logits, rows);
        call_hooks(r, first, rows->n_rows);
        rows->stages = LLS_SAMPLE_PENALISE;
    }
    if (r->x.planning || lls_sample_needs_penalise(rows))
        LLS_OP(&r->x, penalise, &r->logits, rows);
}

/* Token and status of sample rows [first, first + n) into the result. */
static void take_tokens(model_runner_t *r, uint32_t first, uint32_t n, const lls_tensor_t *ids)
{
    for (uint32_t i = 0; i < n; i++) {
        const lls_sample_row_t *s = &r->sample_rows[first + i];
        lls_row_result_t       *out = &lls_result_rows(r->result)[r->sample_run[first + i]];
        uint32_t                row = lls_plan_runs(r->plan)[r->sample_run[first + i]].row;
        int32_t                 token = ((const int32_t *)ids->data)[i * ids->stride[0]];
        if (out->status == LLS_ROW_OK)
            out->status = r->sample_outs[first + i].status;
        out->tokens = (lls_span_t){ lls_result_n_tokens(r->result), 1 };
        *lls_result_push_tokens(r->result, 1) = token;
        r->rows.last_token[row] = token;
        if (r->row[row].n_history > 0 && s->n_tokens < r->cfg.limits.max_seq_tokens) {
            history_of(r, row)[s->n_tokens] = token;
            r->row[row].n_history = s->n_tokens + 1;
        }
    }
}

/* raw NULL = processed: the rows as they were drawn from. */
static void take_logprobs(model_runner_t *r, uint32_t first, uint32_t n, const lls_tensor_t *raw,
                          const lls_tensor_t *ids)
{
    for (uint32_t i = 0; !r->x.planning && i < n; i++) {
        const lls_sample_row_t  *row = &r->sample_rows[first + i];
        const lls_sample_view_t *p = &row->params;
        lls_row_result_t        *out = &lls_result_rows(r->result)[r->sample_run[first + i]];
        const lls_tensor_t      *from = raw != NULL ? raw : &r->logits;
        out->logprobs = (lls_span_t){ lls_result_n_logprobs(r->result), p->n_logprobs };
        r->jobs[i] = (lls_logprob_job_t){
            .logits = (const float *)from->data + (raw != NULL ? i : row->logit) * from->stride[0],
            .temperature = raw != NULL ? 0 : p->temperature, .of_logits = is_of_logits(r),
            .n_entries = p->n_logprobs, .ids = p->n_logprob_ids > 0 ? p->logprob_ids : NULL,
            .token = ((const int32_t *)ids->data)[i * ids->stride[0]],
            .out = lls_result_push_logprobs(r->result, p->n_logprobs) };
    }
    LLS_OP(&r->x, logprobs, n_vocab(r), r->jobs, n);
}

static void sample_rows(model_runner_t *r, uint32_t first, uint32_t n, bool with_logprobs)
{
    size_t            mark = r->x.used;
    bool              keeps = with_logprobs && !is_processed(r);
    lls_sample_rows_t rows = { .n_rows = n, .n_vocab = n_vocab(r), .row = r->sample_rows + first,
                               .out = r->sample_outs + first, .dense = with_logprobs && !keeps };
    lls_tensor_t      ids = lls_tmp(&r->x, LLS_I32, n, 1), raw;

    if (n == 0)
        return;
    if (keeps)
        keep_raw(r, first, n, &raw);
    penalise(r, &rows, first);
    if (r->x.planning || lls_sample_needs_truncate(&rows))
        LLS_OP(&r->x, truncate, &r->logits, &rows);
    LLS_OP(&r->x, draw, &ids, &r->logits, &rows);
    if (!r->x.planning)
        take_tokens(r, first, n, &ids);
    if (with_logprobs)
        take_logprobs(r, first, n, keeps ? &raw : NULL, &ids);
    r->x.used = mark;
}

static float *peaks_of(const model_runner_t *r, const runner_row_t *row, uint32_t logit)
{
    if (r->peaks.n_dims == 0 || (row->flags & LLS_ROW_PROCESSOR))
        return NULL;
    return (float *)r->peaks.data + logit * r->peaks.stride[0];
}

static void fill_sample_row(model_runner_t *r, uint32_t i, uint32_t to)
{
    const lls_run_row_t *run = &lls_plan_runs(r->plan)[i];
    runner_row_t        *row = &r->row[run->row];
    const int32_t       *tokens = row->n_history > 0 ? history_of(r, run->row) : NULL;
    uint32_t             n = run->pos + run->n;

    r->sample_run[to] = i;
    r->sample_outs[to] = (lls_sample_out_t){ LLS_ROW_OK, LLS_NONE };
    r->sample_rows[to] = (lls_sample_row_t){
        .params = row->view, .tokens = tokens, .n_prompt = row->n_prompt, .n_tokens = n,
        .position = n, .logit = run->logit,
        .forced = lls_think_next(&row->think, &row->view, tokens, n),
        .peaks = peaks_of(r, row, run->logit) };
}

/* Rows without log-probabilities first, then those with; returns how many of each. */
static void collect_sample_rows(model_runner_t *r, uint32_t *n_plain, uint32_t *n_logprobs)
{
    uint32_t n = 0;

    for (uint32_t pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < lls_plan_n_runs(r->plan); i++) {
            const lls_run_row_t *run = &lls_plan_runs(r->plan)[i];
            bool                 with = r->row[run->row].view.n_logprobs > 0;
            if ((run->flags & LLS_RUN_SAMPLE) && with == (pass == 1))
                fill_sample_row(r, i, n++);
        }
        *n_plain = pass == 0 ? n : *n_plain;
    }
    *n_logprobs = n - *n_plain;
}

static llm_status_t runner_sample(lls_runner_t *base, const lls_step_mask_t *mask)
{
    model_runner_t *r = (model_runner_t *)base;
    uint32_t        n_runs = lls_plan_n_runs(r->plan), n_plain, n_logprobs;

    (void)mask;                     /* guides come with lib/grammar; nobody else masks */
    memset(lls_result_push_rows(r->result, n_runs), 0, n_runs * sizeof(lls_row_result_t));
    collect_sample_rows(r, &n_plain, &n_logprobs);
    sample_rows(r, 0, n_plain, false);
    for (uint32_t at = n_plain, end = n_plain + n_logprobs; at < end; at += CHUNK)
        sample_rows(r, at, lls_min_u32(CHUNK, end - at), true);
    r->result->device_ns = lls_clock_ns() - r->began_ns;
    r->has_result = true;
    return r->x.status;
}

static llm_status_t runner_wait(lls_runner_t *base, int64_t timeout_us,
                                const lls_step_result_t **result)
{
    model_runner_t *r = (model_runner_t *)base;

    (void)timeout_us;               /* the work was done in execute and sample */
    if (!r->has_result)
        lls_result_reset(r->result, 0);
    r->has_result = false;
    *result = r->result;
    return LLM_OK;
}

/* ---- The rest of the table ------------------------------------------------------------------- */

static void runner_caps(const lls_runner_t *base, lls_runner_caps_t *caps)
{
    const model_runner_t *r = (const model_runner_t *)base;

    *caps = (lls_runner_caps_t){ .kv = r->cfg.kv, .n_vocab = n_vocab(r),
                                 .hidden = lls_model_traits(r->cfg.model)->hidden };
}

static llm_status_t runner_put_blob(lls_runner_t *r, uint32_t blob, uint32_t kind, const void *data,
                                    size_t bytes)
{
    (void)r, (void)blob, (void)kind, (void)data, (void)bytes;
    return LLM_ERR_UNSUPPORTED;
}

static void runner_drop_blob(lls_runner_t *r, uint32_t blob) { (void)r, (void)blob; }

static llm_status_t runner_control(lls_runner_t *r, uint32_t what, uint32_t arg)
{
    (void)r, (void)what, (void)arg;
    return LLM_ERR_UNSUPPORTED;
}

static void runner_destroy(lls_runner_t *base)
{
    model_runner_t *r = (model_runner_t *)base;

    if (r != NULL)
        lls_free(r->mem, r);
}

static const lls_runner_ops_t runner_ops = {
    .struct_size = sizeof(lls_runner_ops_t), .caps = runner_caps, .put_blob = runner_put_blob,
    .drop_blob = runner_drop_blob, .execute = runner_execute, .sample = runner_sample,
    .wait = runner_wait, .control = runner_control, .destroy = runner_destroy,
};

llm_status_t lls_model_runner_create(lls_mem_t *mem, const lls_model_runner_config_t *config,
                                     void *workspace, lls_runner_t **out, llm_error_t *err)
{
    model_runner_t *r = lls_zalloc(mem, sizeof *r);

    *out = NULL;
    if (r == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "model runner");
    r->base.ops = &runner_ops;
    r->mem = mem;
    r->cfg = *config;
    lay_out(r, workspace);
    *out = &r->base;
    return LLM_OK;
}
