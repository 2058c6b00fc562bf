/* SPDX-License-Identifier: Apache-2.0 */
/* llm.h, tool calls and reasoning.  An llm_parser_t is an lls_dparse_t. */
#include <string.h>

#include "api/sized.h"
#include "text/dialect.h"

#define PROMPT_TAIL 16u             /* tokens that say whether reasoning is open */

static const lls_tokenizer_t *inner(const llm_tokenizer_t *t) { return (const void *)t; }

LLM_API const char *llm_parser_name(int32_t kind, size_t index)
{
    const lls_dialect_t  *d = kind == LLM_PARSER_TOOLS ? lls_dialect_at(index) : NULL;
    const lls_thinking_t *k = kind == LLM_PARSER_REASONING ? lls_thinking_at(index) : NULL;

    return d != NULL ? d->name : k != NULL ? k->name : NULL;
}

static llm_status_t check_config(const llm_parser_config_t *c, llm_error_t *err)
{
    if ((c->flags & ~(uint32_t)LLM_PARSER_WHOLE) != 0)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "flags",
                              "flags %#x has bits that are not known here", c->flags);
    if (c->prompt_ids == NULL && c->n_prompt_ids > 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "prompt_ids",
                              "prompt_ids is NULL and n_prompt_ids is %zu", c->n_prompt_ids);
    return LLM_OK;
}

static size_t len_of(const char *text, size_t len)
{
    return text == NULL ? 0 : len == LLM_CSTR ? strlen(text) : len;
}

/* The end of the prompt as text: *text is the caller's to free, NULL if there is none. */
static llm_status_t prompt_tail(const lls_tokenizer_t *t, const llm_parser_config_t *c,
                                char **text, size_t *len, llm_error_t *err)
{
    size_t n = c->n_prompt_ids < PROMPT_TAIL ? c->n_prompt_ids : PROMPT_TAIL;

    *text = NULL;
    *len = 0;
    if (n == 0 || c->prompt != NULL)
        return LLM_OK;
    return lls_tokenizer_decode(t, lls_tokenizer_mem(t), c->prompt_ids + c->n_prompt_ids - n, n,
                                LLM_DECODE_KEEP_SPECIAL, text, len, err);
}

static llm_status_t create(const lls_tokenizer_t *t, const llm_parser_config_t *c,
                           lls_dparse_t **out, llm_error_t *err)
{
    lls_dparse_config_t inside = { .chat = c->chat, .chat_len = len_of(c->chat, c->chat_len),
                                   .seed = c->seed, .whole = c->flags & LLM_PARSER_WHOLE };
    char               *tail = NULL;
    size_t              tail_len = 0;
    llm_status_t        st = lls_dialect_find(t, c->tool_parser, &inside.tools, err);

    if (st == LLM_OK)
        st = lls_thinking_find(t, c->reasoning_parser, &inside.thinking, err);
    if (st == LLM_OK)
        st = prompt_tail(t, c, &tail, &tail_len, err);
    inside.prompt = c->prompt != NULL ? c->prompt : tail;
    inside.prompt_len = c->prompt != NULL ? len_of(c->prompt, c->prompt_len) : tail_len;
    if (st == LLM_OK)
        st = lls_dparse_create(lls_tokenizer_mem(t), t, &inside, out, err);
    lls_free(lls_tokenizer_mem(t), tail);
    return st;
}

LLM_API llm_status_t llm_parser_create(const llm_tokenizer_t *tokenizer,
                                       const llm_parser_config_t *config, llm_parser_t **parser,
                                       llm_error_t *err)
{
    llm_parser_config_t c;
    lls_dparse_t       *p = NULL;
    llm_status_t        st;

    if (parser == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "parser", "parser is NULL");
    *parser = NULL;
    if (tokenizer == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "tokenizer", "tokenizer is NULL");
    if (config == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "config", "config is NULL");
    st = lls_sized_take(&c, sizeof c, sizeof c, config, "llm_parser_config_t", err);
    if (st == LLM_OK)
        st = check_config(&c, err);
    if (st == LLM_OK)
        st = create(inner(tokenizer), &c, &p, err);
    *parser = (llm_parser_t *)p;
    return st;
}

LLM_API llm_status_t llm_parser_feed(llm_parser_t *parser, const char *text, size_t len,
                                     const int32_t *tokens, size_t n_tokens, uint32_t last,
                                     llm_error_t *err)
{
    if (parser == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "parser", "parser is NULL");
    if (text == NULL && len > 0 && len != LLM_CSTR)
        return lls_fail_param(err, LLM_ERR_INVALID, "text", "text is NULL");
    if (tokens == NULL && n_tokens > 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "tokens", "tokens is NULL");
    return lls_dparse_feed((lls_dparse_t *)parser, text, len_of(text, len), tokens, n_tokens,
                           last != 0, err);
}

LLM_API const llm_event_t *llm_parser_next(llm_parser_t *parser)
{
    return parser == NULL ? NULL : lls_dparse_next((lls_dparse_t *)parser);
}

LLM_API void llm_parser_destroy(llm_parser_t *parser)
{
    lls_dparse_destroy((lls_dparse_t *)parser);
}
