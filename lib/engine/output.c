/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/beam.h"

#include <string.h>

/* ---- Handing over ---------------------------------------------------------------------------- */

void lls_engine_news(lls_engine_t *e, lls_completion_t *c)
{
    lls_request_t *req = c->req;

    if (c->pending || !lls_completion_is_due(c))
        return;
    if (req->batch == NULL) {
        c->pending = true;
        c->next_pending = NULL;
        *e->pending_end = c;
        e->pending_end = &c->next_pending;
        return;
    }
    lls_batch_take(req->batch, c);
    if (req->n_handed == req->n)
        lls_engine_retire(e, req);
}

const llm_output_t *lls_engine_next_output(lls_engine_t *e)
{
    lls_completion_t   *c;
    const llm_output_t *record = NULL;

    if (lls_engine_enter(e, NULL) != LLM_OK)
        return NULL;
    c = e->pending;
    if (c != NULL) {
        e->pending = c->next_pending;
        if (e->pending == NULL)
            e->pending_end = &e->pending;
        c->pending = false;
        record = lls_completion_record(c);
        if (c->req->n_handed == c->req->n)
            lls_engine_retire(e, c->req);
    }
    lls_engine_leave(e);
    return record;
}

/* ---- From results to news -------------------------------------------------------------------- */

void lls_engine_end_prompt(lls_engine_t *e, lls_request_t *req)
{
    if (req->plps_done)
        return;
    req->plps_done = true;
    for (uint32_t i = 0; i < req->n; i++)
        if (!req->c[i].sent_any)    /* it may have overtaken the one that scores the prompt */
            lls_engine_news(e, &req->c[i]);
}

static void take_prompt_logprobs(lls_engine_t *e, const lls_step_result_t *result)
{
    for (uint32_t i = 0; i < lls_result_n_plps(result); i++) {
        const lls_prompt_logprob_t *p = &lls_result_plps(result)[i];
        const lls_logprob_t        *from = lls_result_logprobs(result) + p->logprobs.off;
        lls_request_t              *req = e->in_step[p->run]->req;
        uint32_t                    width = req->n_prompt_logprobs, to = p->pos + 1;
        lls_assert(p->logprobs.n == width && to < req->n_prompt);
        for (uint32_t k = 0; k < width; k++)
            req->prompt_logprobs[(size_t)to * width + k] =
                (llm_logprob_t){ from[k].token, from[k].rank, from[k].logprob };
        req->n_plps = lls_max_u32(req->n_plps, to + 1);
        if (req->n_plps == req->n_prompt)
            lls_engine_end_prompt(e, req);
    }
}

static bool is_stop_id(const lls_completion_t *c, int32_t token)
{
    for (uint32_t i = 0; i < c->req->n_stop_ids; i++)
        if (c->req->stop_ids[i] == token)
            return true;
    return false;
}

static void note_token(lls_engine_t *e, lls_completion_t *c, uint64_t now)
{
    uint64_t since = lls_max_u64(1, now - c->req->added_us);

    if (c->first_token_us == 0) {
        c->first_token_us = since;
        lls_metrics_observe(&e->metrics, LLS_HIST_TTFT, (double)since * 1e-6);
        lls_metrics_add(&e->metrics, LLS_COUNT_PROMPT_TOKENS, c->req->n_prompt);
        c->first_step = lls_metrics_count(&e->metrics, LLS_COUNT_STEPS);
    } else {
        lls_metrics_observe(&e->metrics, LLS_HIST_ITL, (double)(since - c->last_us) * 1e-6);
        c->itl_sum_us += since - c->last_us;
        c->itl_max_us = lls_max_u64(c->itl_max_us, since - c->last_us);
    }
    c->last_us = since;
    c->last_step = lls_metrics_count(&e->metrics, LLS_COUNT_STEPS);
    lls_metrics_add(&e->metrics, LLS_COUNT_GENERATION_TOKENS, 1);
}

static void fail_memory(lls_engine_t *e, lls_completion_t *c)
{
    lls_fail(&c->error, LLM_ERR_NO_MEMORY, "no memory for more output than %zu tokens",
             c->n_tokens);
    lls_engine_end(e, c, LLM_FINISH_ERROR);
}

/* True if a stop string ends the completion with this token. */
static bool hits_stop_string(lls_completion_t *c, size_t seen)
{
    const lls_request_t *req = c->req;
    size_t               keep, which;

    if (req->stop.n == 0 ||
        !lls_stop_find(&req->stop, c->detok.text, seen, c->detok.len, (uint32_t)c->n_tokens, &keep,
                       &which))
        return false;
    c->visible = keep;
    c->stop_string = req->stop.strings[which].text;
    return true;
}

/* min_tokens holds it back as it does stops; an end that the scheduler saw comes first. */
static bool hits_repetition(lls_completion_t *c, uint32_t finish)
{
    bool repeats = lls_repetition_push(&c->repetition, c->tokens, c->n_tokens);

    return repeats && finish == LLS_FINISH_NONE && c->n_tokens >= c->req->min_tokens;
}

/* finish: why the scheduler ended it with this token.  False if it has ended with the token for a
 * reason that the scheduler does not know. */
static bool take_token(lls_engine_t *e, lls_completion_t *c, int32_t token, uint32_t finish,
                       const lls_logprob_t *logprobs)
{
    bool   silent = finish == LLS_FINISH_STOP && !c->req->stop.include, repeats;
    size_t seen = c->detok.len;

    if (!lls_completion_push(c, token, silent, logprobs)) {
        fail_memory(e, c);
        return false;
    }
    repeats = hits_repetition(c, finish);
    if (c->req->has_text && hits_stop_string(c, seen))
        lls_engine_end(e, c, LLM_FINISH_STOP);
    else if (repeats)
        lls_engine_end(e, c, LLM_FINISH_REPETITION);
    return c->live;
}

static const lls_logprob_t *logprobs_of(const lls_step_result_t *result,
                                        const lls_sched_out_t *line, const lls_completion_t *c,
                                        uint32_t k)
{
    if (line->run == LLS_NONE || c->req->n_logprobs == 0)
        return NULL;
    return lls_result_logprobs(result) + lls_result_rows(result)[line->run].logprobs.off +
           (size_t)k * c->req->n_logprobs;
}

/* Why a row has no token. */
static void explain(lls_completion_t *c, uint32_t row_status)
{
    if (c->spoilt)
        lls_fail_param(&c->error, LLM_ERR_INVALID, "logits_fn",
                       "logits_fn left a NaN, +inf or nothing but -inf in the logits of token "
                       "%zu of the completion", c->n_tokens);
    else if (row_status == LLS_ROW_NAN && c->req->logits_fn != NULL)
        lls_fail_param(&c->error, LLM_ERR_INVALID, "logits_fn",
                       "behind logits_fn the penalties and bad words of the request leave no "
                       "token %zu to draw", c->n_tokens);
    else if (row_status == LLS_ROW_NAN)
        lls_fail(&c->error, LLM_ERR_INTERNAL,
                 "the logits of token %zu are not finite, or the request allows none of them; its "
                 "constraints or the model's weights are at fault", c->n_tokens);
    else
        lls_fail(&c->error, LLM_ERR_INTERNAL, "the row failed in the runner");
}

static uint32_t public_reason(lls_completion_t *c, uint32_t finish, uint32_t row_status)
{
    switch (finish) {
    case LLS_FINISH_STOP:
    case LLS_FINISH_POOLED:     return LLM_FINISH_STOP;
    case LLS_FINISH_LENGTH:     return LLM_FINISH_LENGTH;
    case LLS_FINISH_REPETITION: return LLM_FINISH_REPETITION;
    case LLS_FINISH_DEADLINE:   return LLM_FINISH_DEADLINE;
    case LLS_FINISH_ERROR:      break;
    default:                    return LLM_FINISH_ABORT;
    }
    if (c->refused)
        return LLM_FINISH_ABORT;
    explain(c, row_status);
    return LLM_FINISH_ERROR;
}

/* The scheduler has ended it. */
static void take_end(lls_engine_t *e, lls_completion_t *c, const lls_sched_out_t *line,
                     const lls_step_result_t *result)
{
    uint32_t status = line->run == LLS_NONE ? LLS_ROW_OK
                                            : lls_result_rows(result)[line->run].status;
    int32_t  last = c->n_tokens > 0 ? c->tokens[c->n_tokens - 1] : -1;

    if (line->finish == LLS_FINISH_STOP && (is_stop_id(c, last) || last != e->eos_id))
        c->stop_token = last;
    if (status == LLS_ROW_NAN)
        lls_metrics_add(&e->metrics, LLS_COUNT_CORRUPTED, 1);
    lls_engine_end(e, c, public_reason(c, line->finish, status));
}

static void take_line(lls_engine_t *e, const lls_sched_out_t *line, const lls_step_result_t *result,
                      uint64_t now)
{
    lls_completion_t *c = e->by_slot[line->slot];
    const lls_req_t  *r = c == NULL ? NULL : lls_sched_get(e->sched, c->handle);

    if (r == NULL || !c->live)
        return;                     /* it was ended from here */
    if (line->n > 0)
        note_token(e, c, now);
    if (line->n > 0 && c->req->search != NULL) {
        lls_beam_propose(e, c, logprobs_of(result, line, c, 0));
        return;
    }
    for (uint32_t k = 0; k < line->n; k++) {
        uint32_t finish = k + 1 == line->n ? line->finish : LLS_FINISH_NONE;
        if (!take_token(e, c, r->tokens[line->first + k], finish, logprobs_of(result, line, c, k)))
            return;
    }
    if (line->finish != LLS_FINISH_NONE) {
        take_end(e, c, line, result);
        return;
    }
    lls_completion_take_totals(c, r);
    c->visible = c->req->stop.n > 0 ? lls_stop_visible(&c->req->stop, c->detok.text, c->detok.len)
                                    : c->detok.len;
    lls_engine_news(e, c);
}

void lls_engine_take_results(lls_engine_t *e, const lls_step_result_t *result)
{
    uint64_t               now = lls_engine_now(e);
    uint32_t               n;
    const lls_sched_out_t *lines = lls_sched_outs(e->sched, &n);

    take_prompt_logprobs(e, result);
    for (uint32_t i = 0; i < n; i++)
        take_line(e, &lines[i], result, now);
}
