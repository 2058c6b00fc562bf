/* SPDX-License-Identifier: Apache-2.0 */
/* Records and outputs of batches, each against the solo run cut where the completion is. */
#include <string.h>

#include "simengine/esim.h"

#define MAX_HELD 32

static uint32_t kind_of(const es_req_t *q)
{
    return q->in_batch ? LLM_OUTPUT_FINAL : (uint32_t)q->r.output_kind;
}

/* A batch has its copy from when it was due. */
static bool has_prompt_logprobs(const es_comp_t *c)
{
    const es_req_t *q = c->req;

    return q->prompt_wide > 0 && (q->in_batch ? c->plps_at_due : q->n_plps) == q->n_prompt;
}

bool esim_is_due(const esim_t *m, const es_comp_t *c)
{
    const es_req_t *q = c->req;
    uint32_t        interval = lls_max_u32(m->interval, q->r.stream_interval);

    if (c->finish == LLM_FINISH_ABORT || c->finish == LLM_FINISH_ERROR ||
        c->finish == LLM_FINISH_DEADLINE)
        return true;
    if (q->prompt_wide > 0 && q->n_plps < q->n_prompt && q->c[0].finish == LLM_FINISH_NONE)
        return false;               /* the first one scores the prompt for all */
    if (c->finish != LLM_FINISH_NONE || kind_of(q) == LLM_OUTPUT_FINAL)
        return c->finish != LLM_FINISH_NONE;
    return c->made > c->sent && (c->n_records == 0 || c->made - c->sent >= interval);
}

/* Bytes of text that may be shown of what is there. */
static uint32_t shown(const esim_t *m, const es_comp_t *c)
{
    if (!has_text(m, c->req))
        return 0;
    if (c->finish == LLM_FINISH_NONE)
        return esim_visible(c->req, c->text, c->text_at[c->made]);
    return c->finish == c->solo_finish && c->made == c->n_solo ? c->text_end : c->text_at[c->made];
}

/* ---- The parts of a record ------------------------------------------------------------------- */

static void check_entries(const llm_logprob_t *have, uint64_t h, int32_t token, uint32_t n)
{
    for (uint32_t k = 0; k < n; k++) {
        llm_logprob_t want = esim_entry(h, token, k);
        MUST(have[k].token == want.token && have[k].rank == want.rank &&
                 have[k].logprob == want.logprob, "log-probabilities of another token");
    }
}

static void check_tokens(const es_comp_t *c, const llm_output_t *o, uint32_t from)
{
    const es_req_t *q = c->req;
    double          sum = 0;

    MUST(o->n_tokens == c->made - from, "I6 a gap or a duplicate");
    MUST(memcmp(o->tokens, c->tokens + from, o->n_tokens * 4) == 0, "I6 other tokens");
    MUST(o->n_logprobs == q->wide, "entries a token");
    MUST((o->logprobs != NULL) == (q->wide > 0 && o->n_tokens > 0), "log-probabilities or none");
    for (uint32_t i = 0; q->wide > 0 && i < o->n_tokens; i++)
        check_entries(o->logprobs + i * q->wide, c->hash[q->n_prompt + from + i],
                      c->tokens[from + i], q->wide);
    for (uint32_t i = 0; q->wide > 0 && i < c->made; i++)
        sum += (double)esim_entry(c->hash[q->n_prompt + i], c->tokens[i], 0).logprob;
    MUST(o->cumulative_logprob == sum, "cumulative log-probability");
}

static void check_text(const esim_t *m, const es_comp_t *c, const llm_output_t *o, uint32_t from)
{
    uint32_t end = shown(m, c);

    MUST(end >= from && o->text_len == end - from, "text of another length");
    MUST(memcmp(o->text, c->text + from, o->text_len) == 0, "other text");
    MUST(o->text[o->text_len] == '\0', "no NUL behind the text");
}

static void check_end(const es_comp_t *c, const llm_output_t *o)
{
    const es_req_t *q = c->req;
    bool            own = c->finish == LLM_FINISH_STOP && c->made == c->n_solo;
    const char     *string = own && c->stop_which >= 0 ? q->stop[c->stop_which] : NULL;

    MUST((uint32_t)o->finish_reason == c->finish, "finish reason");
    MUST((o->stop_string != NULL) == (string != NULL), "stop string or none");
    MUST(string == NULL || strcmp(o->stop_string, string) == 0, "another stop string");
    MUST(o->stop_token == (own ? c->stop_token : -1), "stop token");
    MUST((o->error != NULL) == (c->finish == LLM_FINISH_ERROR), "an error or none");
    MUST(o->error == NULL || o->error->status == c->error, "another error");
}

static void check_prompt(const es_comp_t *c, const llm_output_t *o, bool first)
{
    const es_req_t *q = c->req;
    bool            echo = first && (q->r.flags & LLM_REQUEST_ECHO);
    bool            plps = first && has_prompt_logprobs(c);
    bool            whole = c->finish == LLM_FINISH_STOP || c->finish == LLM_FINISH_LENGTH;

    MUST((o->prompt_ids != NULL) == echo && (o->prompt != NULL) == (echo && q->is_text), "echo");
    if (echo)
        MUST(memcmp(o->prompt_ids, q->prompt, q->n_prompt * 4) == 0, "another prompt");
    if (o->prompt != NULL)
        MUST(o->prompt_len == q->r.text_len && memcmp(o->prompt, q->text, o->prompt_len) == 0,
             "another text of the prompt");
    MUST((o->prompt_logprobs != NULL) == plps, "prompt log-probabilities or none");
    MUST(plps || !first || !whole || q->prompt_wide == 0 || q->c[0].made == 0,
         "an end without what was asked for");
    for (uint32_t i = 1; plps && i < q->n_prompt; i++)
        check_entries(o->prompt_logprobs + i * q->prompt_wide, c->hash[i], q->prompt[i],
                      q->prompt_wide);
    for (uint32_t k = 0; plps && k < q->prompt_wide; k++)
        MUST(o->prompt_logprobs[k].token == -1, "the first token of a prompt has no probability");
}

static void check_usage(const esim_t *m, const es_comp_t *c, const llm_output_t *o)
{
    const es_req_t *q = c->req;

    MUST(o->prompt_tokens == q->n_prompt && o->completion_tokens == c->made, "I12 usage");
    MUST(o->cached_tokens == c->cached || (m->dying && o->cached_tokens == 0), "cached tokens");
    if (c->finish == LLM_FINISH_NONE)
        MUST(o->preemptions + 1 == c->adds_at_token, "preemptions until the last token");
    else
        MUST(o->preemptions <= c->n_adds && o->preemptions + 1 >= c->n_adds, "preemptions");
    MUST(o->arrived_us == q->wall_us, "arrival");
    MUST(o->queue_us == c->queue_us && o->first_token_us == c->first_us &&
             o->elapsed_us == c->last_us, "times");
    MUST(o->itl_sum_us == c->last_us - c->first_us && o->itl_max_us == c->itl_max, "token times");
    MUST(o->first_token_step == c->first_step && o->last_token_step == c->last_step, "steps");
    MUST(o->device_us == c->device_ns / 1000, "time of the device");
    MUST(o->kv_block_steps >= c->min_block_steps || c->finish == LLM_FINISH_NONE, "KV block steps");
}

/* ---- A record -------------------------------------------------------------------------------- */

static void check_record(esim_t *m, es_comp_t *c, const llm_output_t *o)
{
    const es_req_t *q = c->req;
    bool            delta = kind_of(q) == LLM_OUTPUT_DELTA;

    MUST(o->struct_size == sizeof *o && o->id == q->id && o->index == c->index, "whose record");
    check_end(c, o);
    check_tokens(c, o, delta ? c->sent : 0);
    check_text(m, c, o, delta ? c->sent_text : 0);
    check_prompt(c, o, c->n_records == 0);
    check_usage(m, c, o);
}

static void count_end(esim_t *m, es_comp_t *c, const llm_output_t *o)
{
    MUST(!c->over, "I5 a second end");
    c->over = true;
    c->req->gone = ++c->req->n_over == c->req->s.n;
    m->preemptions += o->preemptions;
    esim_total.preempted += o->preemptions;
    esim_total.cached += o->cached_tokens;
    esim_total.aborted += c->finish == LLM_FINISH_ABORT;
    esim_total.stops += o->stop_string != NULL;
}

void esim_take_record(esim_t *m, const llm_output_t *o)
{
    es_req_t  *q = o->user_data;
    es_comp_t *c = &q->c[o->index];

    MUST(q->accepted && !q->in_batch && o->index < q->s.n && c->due, "a record nobody expects");
    check_record(m, c, o);
    MUST(o->last == (c->finish != LLM_FINISH_NONE && q->n_over + 1 == q->s.n), "I5 last");
    m->digest = lls_mix64(lls_mix64(m->digest, o->n_tokens + 64 * o->text_len), q->number);
    c->sent = c->made;
    c->sent_text = shown(m, c);
    c->n_records++;
    c->due = false;
    esim_total.records++;
    if (c->finish != LLM_FINISH_NONE)
        count_end(m, c, o);
}

static uint64_t sum_of(const llm_output_t *o)
{
    uint64_t h = lls_mix64(o->n_tokens, o->text_len);

    for (size_t i = 0; i <= o->text_len; i++)
        h = lls_mix64(h, (uint8_t)o->text[i]);
    for (size_t i = 0; i < o->n_tokens; i++)
        h = lls_mix64(h, (uint32_t)o->tokens[i]);
    return h;
}

/* What was lent stays as it is until the next step. */
void esim_drain(esim_t *m, uint32_t most)
{
    const llm_output_t *held[MAX_HELD], *o;
    uint64_t            sums[MAX_HELD];
    uint32_t            n = 0;

    for (; most > 0 && (o = llm_engine_next_output(m->e)) != NULL; most--) {
        esim_take_record(m, o);
        if (n == MAX_HELD)
            continue;
        held[n] = o;
        sums[n++] = sum_of(o);
    }
    for (uint32_t i = 0; i < n; i++)
        MUST(sum_of(held[i]) == sums[i], "a record changed while it was lent");
    if (most > 0)
        esim_check_nothing_due(m);
}

void esim_check_nothing_due(esim_t *m)
{
    for (uint32_t i = 0; i < m->n_live; i++) {
        const es_req_t *q = m->reqs[m->live[i]];
        for (uint32_t k = 0; !q->in_batch && k < q->s.n; k++)
            MUST(!q->c[k].due, "I5 a record that does not come");
    }
}

/* ---- Batches --------------------------------------------------------------------------------- */

/* Records of others that nobody drains meanwhile keep their places. */
static bool has_no_place(const esim_t *m, const es_req_t *q)
{
    uint32_t n = lls_max_u32(q->s.n, 1);

    for (uint32_t i = 0; i < m->n_live; i++)
        n += m->reqs[m->live[i]]->in_batch || m->reqs[m->live[i]]->gone ? 0
                                                                        : m->reqs[m->live[i]]->s.n;
    return n > m->queued;
}

static void check_output(esim_t *m, es_req_t *q, const llm_output_t *o, uint32_t index)
{
    es_comp_t *c = &q->c[index];
    bool       no_memory = o->finish_reason == LLM_FINISH_ERROR &&
                           o->error->status == LLM_ERR_NO_MEMORY;

    MUST(o->user_data == q, "a batch's output of another request");
    if (no_memory && o->n_tokens == 0 && m->n_failed > 0) {
        esim_total.oom++;
        m->lost_counts = true;      /* of preemptions: the output is a bare one */
        if (!q->accepted)
            return;
    } else if (!q->accepted) {
        llm_status_t st = o->error == NULL ? LLM_OK : o->error->status;
        MUST(o->last == 1 && o->n_tokens == 0 && o->text_len == 0, "output of what never ran");
        MUST(m->stopping || m->dying || m->refusing || (st != LLM_OK && st == q->refusal) ||
                 (st == LLM_ERR_BUSY && has_no_place(m, q)), "refused for no reason");
        return;
    } else {
        check_record(m, c, o);
    }
    MUST(c->finish != LLM_FINISH_NONE, "a batch has ended before its requests");
    c->due = false;
    count_end(m, c, o);
}

void esim_check_batch(esim_t *m, const llm_batch_t *b, es_req_t **q, uint32_t n)
{
    MUST(llm_batch_output(b, n, 0) == NULL, "an output too many");
    for (uint32_t i = 0; i < n; i++) {
        uint32_t n_last = 0;
        for (uint32_t k = 0; k < (q[i]->accepted ? q[i]->s.n : 1); k++) {
            const llm_output_t *o = llm_batch_output(b, i, k);
            MUST(o != NULL, "a batch without an output");
            check_output(m, q[i], o, k);
            n_last += o->last;
        }
        MUST(n_last >= 1, "I5 a batch without the last output of a request");
    }
}
