/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/prompt.h"

#include <inttypes.h>
#include <string.h>

#include "text/chat.h"

/* A prompt on its way in. */
typedef struct taking {
    lls_engine_t                *e;
    const llm_request_t         *in;
    const lls_request_options_t *o;
    llm_error_t                 *err;
    int32_t                     *ids;
    size_t                       n;
} taking_t;

static llm_status_t check_kind(const taking_t *t)
{
    const llm_request_t *r = t->in;
    int                  n = (r->text != NULL) + (r->tokens != NULL) + (r->chat != NULL);

    if (n != 1)
        return lls_fail_param(t->err, LLM_ERR_INVALID, "text",
                              "%d of text, tokens and chat are set; set exactly one", n);
    if (r->tokens == NULL && t->e->tokenizer == NULL)
        return lls_fail_param(t->err, LLM_ERR_INVALID, r->text != NULL ? "text" : "chat",
                              "there is no tokenizer under skip-tokenizer-init; give tokens");
    return LLM_OK;
}

static llm_status_t copy_tokens(taking_t *t)
{
    size_t n = t->in->n_tokens;

    if (n > UINT32_MAX / sizeof *t->ids)
        return lls_fail_param(t->err, LLM_ERR_TOO_LONG, "n_tokens", "%zu tokens are too many", n);
    t->ids = lls_alloc(&t->e->mem, n * sizeof *t->ids);
    if (t->ids == NULL)
        return lls_fail(t->err, LLM_ERR_NO_MEMORY, "%zu prompt tokens", n);
    memcpy(t->ids, t->in->tokens, n * sizeof *t->ids);
    t->n = n;
    return LLM_OK;
}

static llm_status_t tokenise(taking_t *t)
{
    lls_engine_t        *e = t->e;
    const llm_request_t *r = t->in;
    uint32_t             flags = r->flags & LLM_REQUEST_NO_SPECIAL ? LLM_ENCODE_NO_SPECIAL : 0;

    if (r->tokens != NULL)
        return copy_tokens(t);
    if (r->text != NULL)
        return lls_tokenizer_encode(e->tokenizer, &e->mem, r->text, r->text_len, flags, &t->ids,
                                    &t->n, t->err);
    return lls_chat_encode(e->tokenizer, &e->mem, r->chat, r->chat_len, &t->ids, &t->n, t->err);
}

/* A tokenizer may know ids that the model does not. */
static llm_status_t check_ids(const taking_t *t)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->ids[i] < 0 || (uint32_t)t->ids[i] >= t->e->plan.vocab_size)
            return lls_fail_param(t->err, LLM_ERR_INVALID,
                                  t->in->tokens != NULL ? "tokens" : "text",
                                  "token %zu of the prompt is %" PRId32 ", the model knows 0 to %u",
                                  i, t->ids[i], t->e->plan.vocab_size - 1);
    return LLM_OK;
}

/* ---- Truncation ------------------------------------------------------------------------------ */

/* How many tokens the tokenizer put before and behind those of the text itself. */
static llm_status_t find_edges(const taking_t *t, size_t *before, size_t *behind)
{
    lls_engine_t *e = t->e;
    int32_t      *plain = NULL;
    size_t        n = 0, at = 0;
    llm_status_t  st;

    *before = *behind = 0;
    if (t->in->text == NULL || (t->in->flags & LLM_REQUEST_NO_SPECIAL))
        return LLM_OK;
    st = lls_tokenizer_encode(e->tokenizer, &e->mem, t->in->text, t->in->text_len,
                              LLM_ENCODE_NO_SPECIAL, &plain, &n, t->err);
    if (st != LLM_OK)
        return st;
    while (at + n <= t->n && memcmp(t->ids + at, plain, n * sizeof *plain) != 0)
        at++;
    if (at + n <= t->n) {
        *before = at;
        *behind = t->n - n - at;
    }
    lls_free(&e->mem, plain);
    return LLM_OK;
}

/* Text loses tokens of its own and not those that the tokenizer adds, as in HF's tokenizers. */
static llm_status_t truncate_to(taking_t *t, size_t most)
{
    size_t       before, behind, room;
    llm_status_t st = find_edges(t, &before, &behind);

    if (st != LLM_OK)
        return st;
    if (before + behind > most)
        return lls_fail_param(t->err, LLM_ERR_INVALID, "truncate_prompt_tokens",
                              "truncate_prompt_tokens %zu is less than the %zu tokens that the "
                              "tokenizer adds to a text", most, before + behind);
    room = most - before - behind;
    if (t->o->truncate_right)
        memmove(t->ids + before + room, t->ids + t->n - behind, behind * sizeof *t->ids);
    else
        memmove(t->ids + before, t->ids + t->n - behind - room,
                (room + behind) * sizeof *t->ids);
    t->n = most;
    return LLM_OK;
}

static size_t most_tokens(const taking_t *t)
{
    uint32_t len = t->e->plan.max_model_len;

    return t->in->flags & LLM_REQUEST_PREFILL_ONLY ? len : len - 1;     /* one for the answer */
}

static llm_status_t truncate_prompt(taking_t *t)
{
    int64_t keep = t->o->truncate_prompt_tokens;
    size_t  most = keep < 0 ? most_tokens(t) : (size_t)keep;

    if (keep == LLS_NO_TRUNCATION)
        return LLM_OK;
    if (keep == 0)
        return lls_fail_param(t->err, LLM_ERR_INVALID, "truncate_prompt_tokens",
                              "truncate_prompt_tokens must be -1 or at least 1, got 0");
    return t->n > most ? truncate_to(t, most) : LLM_OK;
}

/* ---- All of it ------------------------------------------------------------------------------- */

static llm_status_t check_length(const taking_t *t)
{
    size_t most = most_tokens(t);

    if (t->n == 0)
        return lls_fail_param(t->err, LLM_ERR_INVALID, "text",
                              "the prompt is empty; give one token or more");
    if (t->n > most)
        return lls_fail_param(t->err, LLM_ERR_TOO_LONG, "text",
                              "the prompt has %zu tokens, at most %zu fit max-model-len %u; "
                              "shorten it", t->n, most, t->e->plan.max_model_len);
    return LLM_OK;
}

static llm_status_t keep_echo(const taking_t *t, lls_request_t *req)
{
    const llm_request_t *r = t->in;

    if ((r->flags & LLM_REQUEST_ECHO) == 0 || r->tokens != NULL)
        return LLM_OK;
    if (r->chat != NULL)
        return lls_chat_render(t->e->tokenizer, req->mem, r->chat, r->chat_len, &req->prompt,
                               &req->prompt_len, t->err);
    req->prompt = lls_strndup(req->mem, r->text, r->text_len);
    req->prompt_len = r->text_len;
    return req->prompt != NULL ? LLM_OK : lls_fail(t->err, LLM_ERR_NO_MEMORY, "echo of the prompt");
}

llm_status_t lls_prompt_take(lls_engine_t *e, const llm_request_t *in,
                             const lls_request_options_t *o, lls_request_t *req, llm_error_t *err)
{
    taking_t     t = { .e = e, .in = in, .o = o, .err = err };
    llm_status_t st = check_kind(&t);

    if (st == LLM_OK)
        st = tokenise(&t);
    if (st == LLM_OK)
        st = check_ids(&t);
    if (st == LLM_OK)
        st = truncate_prompt(&t);
    if (st == LLM_OK)
        st = check_length(&t);
    req->prompt_ids = t.ids;        /* the request frees it, whatever happened */
    req->n_prompt = (uint32_t)t.n;
    return st == LLM_OK ? keep_echo(&t, req) : st;
}
