/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/completion.h"

#include <string.h>

#include "engine/beam.h"

void lls_request_destroy(lls_request_t *req)
{
    if (req == NULL)
        return;
    for (uint32_t i = 0; i < req->n_slots; i++) {
        lls_completion_t *c = &req->c[i];
        lls_detok_deinit(&c->detok);
        lls_repetition_deinit(&c->repetition, req->mem);
        lls_free(req->mem, c->tokens);
        lls_free(req->mem, c->logprobs);
        lls_req_discard(req->mem, c->prepared);
    }
    lls_beam_destroy(req->search);
    lls_stop_deinit(&req->stop);
    lls_free(req->mem, req->prompt_ids);
    lls_free(req->mem, req->prompt);
    lls_free(req->mem, req->prompt_logprobs);
    lls_free(req->mem, req->stop_ids);
    lls_free(req->mem, req->extra_args);
    lls_free(req->mem, req);
}

/* ---- What comes out -------------------------------------------------------------------------- */

/* Lent text has a NUL behind it, though more may be held back there. */
static void seal(lls_completion_t *c)
{
    if (c->detok.text == NULL)
        return;
    c->sealed = true;
    c->sealed_at = c->visible;
    c->sealed_byte = c->detok.text[c->visible];
    c->detok.text[c->visible] = '\0';
}

static void unseal(lls_completion_t *c)
{
    if (c->sealed)
        c->detok.text[c->sealed_at] = c->sealed_byte;
    c->sealed = false;
}

static bool reserve(lls_completion_t *c)
{
    lls_mem_t *mem = c->req->mem;
    size_t     entries = (c->n_tokens + 1) * c->req->n_logprobs;

    return lls_reserve(mem, (void **)&c->tokens, &c->cap_tokens, c->n_tokens + 1,
                       sizeof *c->tokens) &&
           (entries == 0 || lls_reserve(mem, (void **)&c->logprobs, &c->cap_logprobs, entries,
                                        sizeof *c->logprobs));
}

bool lls_completion_push(lls_completion_t *c, int32_t token, bool silent,
                         const lls_logprob_t *logprobs)
{
    uint32_t width = c->req->n_logprobs;

    unseal(c);
    if (!reserve(c) || (c->req->has_text && !silent &&
                        lls_detok_push(&c->detok, token, NULL) != LLM_OK))
        return false;
    c->tokens[c->n_tokens] = token;
    if (width > 0) {
        llm_logprob_t *to = c->logprobs + c->n_tokens * width;
        for (uint32_t i = 0; i < width; i++)
            to[i] = (llm_logprob_t){ logprobs[i].token, logprobs[i].rank, logprobs[i].logprob };
        c->cumulative += (double)to[0].logprob;
    }
    c->n_tokens++;
    return true;
}

void lls_completion_take_totals(lls_completion_t *c, const lls_req_t *r)
{
    c->n_cached = r->n_cached;
    c->n_preempted = r->n_preempted;
    c->block_steps = r->block_steps;
}

void lls_completion_copy_times(lls_completion_t *c, const lls_completion_t *from)
{
    c->queue_us = from->queue_us;
    c->first_token_us = from->first_token_us;
    c->last_us = from->last_us;
    c->itl_sum_us = from->itl_sum_us;
    c->itl_max_us = from->itl_max_us;
    c->first_step = from->first_step;
    c->last_step = from->last_step;
}

void lls_completion_end(lls_completion_t *c, uint32_t finish)
{
    c->finish = finish;
    c->live = false;
    if (c->stop_string == NULL)
        c->visible = c->detok.len;  /* nothing more can become a stop string */
    c->req->n_ended++;
}

/* ---- What is handed over --------------------------------------------------------------------- */

/* It ended before its time: what the prompt lacks then is not waited for. */
static bool failed(const lls_completion_t *c)
{
    return c->finish == LLM_FINISH_ABORT || c->finish == LLM_FINISH_ERROR ||
           c->finish == LLM_FINISH_DEADLINE;
}

bool lls_completion_is_due(const lls_completion_t *c)
{
    const lls_request_t *req = c->req;

    if (!req->plps_done && !failed(c))
        return false;
    if (c->finish != LLM_FINISH_NONE)
        return true;
    if (req->output_kind == LLM_OUTPUT_FINAL || c->n_tokens == c->sent_tokens)
        return false;
    return !c->sent_any || c->n_tokens - c->sent_tokens >= req->stream_interval;
}

static void record_totals(llm_output_t *r, const lls_completion_t *c)
{
    const lls_request_t *req = c->req;

    r->struct_size = sizeof *r;
    r->index = c->index;
    r->id = req->id;
    r->user_data = req->user_data;
    r->finish_reason = (int32_t)c->finish;
    r->last = c->finish != LLM_FINISH_NONE && req->n_handed + 1 == req->n;
    r->cumulative_logprob = c->cumulative;
    r->stop_string = c->stop_string;
    r->stop_token = c->finish == LLM_FINISH_STOP ? c->stop_token : -1;
    r->error = c->finish == LLM_FINISH_ERROR ? &c->error : NULL;
    r->prompt_tokens = req->n_prompt;
    r->cached_tokens = c->n_cached;
    r->completion_tokens = (uint32_t)c->n_tokens;
    r->preemptions = c->n_preempted;
    r->arrived_us = req->arrived_us;
    r->queue_us = c->queue_us;
    r->first_token_us = c->first_token_us;
    r->elapsed_us = c->last_us;
    r->itl_sum_us = c->itl_sum_us;
    r->itl_max_us = c->itl_max_us;
    r->kv_block_steps = c->block_steps;
    r->device_us = c->device_ns / 1000;
    r->first_token_step = c->first_step;
    r->last_token_step = c->last_step;
}

/* What only the first record carries. */
static void record_prompt(llm_output_t *r, const lls_completion_t *c)
{
    const lls_request_t *req = c->req;

    if (req->n_plps == req->n_prompt) {
        r->prompt_logprobs = req->prompt_logprobs;
        r->n_prompt_logprobs = req->n_prompt_logprobs;
    }
    if ((req->flags & LLM_REQUEST_ECHO) == 0)
        return;
    r->prompt = req->prompt;
    r->prompt_len = req->prompt_len;
    r->prompt_ids = req->prompt_ids;
}

const llm_output_t *lls_completion_record(lls_completion_t *c)
{
    const lls_request_t *req = c->req;
    bool                 delta = req->output_kind == LLM_OUTPUT_DELTA;
    size_t               text = delta ? c->sent_text : 0, token = delta ? c->sent_tokens : 0;
    llm_output_t        *r = &c->record;

    unseal(c);
    memset(r, 0, sizeof *r);
    record_totals(r, c);
    if (!c->sent_any)
        record_prompt(r, c);
    seal(c);
    r->text = c->visible > text ? c->detok.text + text : "";
    r->text_len = c->visible - text;
    r->tokens = c->tokens + token;
    r->n_tokens = c->n_tokens - token;
    r->n_logprobs = req->n_logprobs;
    if (req->n_logprobs > 0 && r->n_tokens > 0)
        r->logprobs = c->logprobs + token * req->n_logprobs;
    if (c->finish != LLM_FINISH_NONE)
        c->req->n_handed++;
    c->sent_any = true;
    c->sent_text = c->visible;
    c->sent_tokens = c->n_tokens;
    return r;
}
