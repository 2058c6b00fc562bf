/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_int.h"

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

    if (!lls_engine_enter(e))
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
        req->plps_done = req->n_plps == req->n_prompt;
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
    } else {
        lls_metrics_observe(&e->metrics, LLS_HIST_ITL, (double)(since - c->last_us) * 1e-6);
    }
    c->last_us = since;
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

/* False if the completion has ended with this token, for a reason the scheduler does not know. */
static bool take_token(lls_engine_t *e, lls_completion_t *c, int32_t token, bool ends_it,
                       const lls_logprob_t *logprobs)
{
    bool   silent = ends_it && !c->req->stop.include;
    size_t seen = c->detok.len;

    if (!lls_completion_push(c, token, silent, logprobs)) {
        fail_memory(e, c);
        return false;
    }
    if (c->req->has_text && hits_stop_string(c, seen)) {
        lls_engine_end(e, c, LLM_FINISH_STOP);
        return false;
    }
    return true;
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
    lls_fail(&c->error, LLM_ERR_INTERNAL, row_status == LLS_ROW_NAN
             ? "the logits are not finite; the model's weights or a logits callback are at fault"
             : "the row failed in the runner");
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
    for (uint32_t k = 0; k < line->n; k++) {
        bool ends_it = line->finish == LLS_FINISH_STOP && k + 1 == line->n;
        if (!take_token(e, c, r->tokens[line->first + k], ends_it, logprobs_of(result, line, c, k)))
            return;
    }
    if (line->finish != LLS_FINISH_NONE) {
        take_end(e, c, line, result);
        return;
    }
    c->n_cached = r->n_cached;
    c->n_preempted = r->n_preempted;
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
