/* SPDX-License-Identifier: Apache-2.0 */
/* llm.h, the tokenizer.  An llm_tokenizer_t is an lls_tokenizer_t; one that the caller has made
 * lies behind its own accounting of memory. */
#include <string.h>

#include "api/sized.h"
#include "base/utf8.h"
#include "text/chat.h"
#include "text/tokenizer.h"

static const lls_tokenizer_t *inner(const llm_tokenizer_t *t) { return (const void *)t; }

LLM_API llm_status_t llm_tokenizer_create(const char *path, const llm_allocator_t *allocator,
                                          llm_tokenizer_t **tokenizer, llm_error_t *err)
{
    lls_mem_t        boot, *mem;
    lls_tokenizer_t *t;
    llm_status_t     st;

    if (tokenizer == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "tokenizer", "tokenizer is NULL");
    *tokenizer = NULL;
    if (path == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "path", "path is NULL");
    if (allocator != NULL && allocator->realloc_fn == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "allocator", "allocator->realloc_fn is NULL");
    lls_mem_init(&boot, allocator);
    mem = lls_alloc_raw(&boot, sizeof *mem);
    if (mem == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "tokenizer");
    lls_mem_init(mem, allocator);
    st = lls_tokenizer_open(mem, path, &t, err);
    if (st == LLM_OK)
        *tokenizer = (llm_tokenizer_t *)t;
    else
        lls_free_raw(&boot, mem, sizeof *mem);
    return st;
}

LLM_API void llm_tokenizer_destroy(llm_tokenizer_t *tokenizer)
{
    lls_mem_t  last, *mem;

    if (tokenizer == NULL)
        return;
    mem = lls_tokenizer_mem(inner(tokenizer));
    lls_tokenizer_close((lls_tokenizer_t *)tokenizer);
    lls_mem_init(&last, &mem->hook);
    lls_free_raw(&last, mem, sizeof *mem);
}

/* ---- Arguments and answers ------------------------------------------------------------------- */

static llm_status_t check_text(const llm_tokenizer_t *t, const char *name, const char *text,
                               size_t *len, const size_t *n, llm_error_t *err)
{
    if (t == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "tokenizer", "tokenizer is NULL");
    if (n == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "n", "n is NULL");
    if (text == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, name, "%s is NULL", name);
    if (*len == LLM_CSTR)
        *len = strlen(text);
    return LLM_OK;
}

/* Hands n units of `size` bytes over, as llm.h promises of buffers. */
static llm_status_t give(const void *from, size_t n_from, size_t size, void *to, size_t cap,
                         size_t *n, llm_error_t *err)
{
    *n = n_from;
    if (to == NULL)
        return LLM_OK;
    memcpy(to, from, (n_from < cap ? n_from : cap) * size);
    if (n_from <= cap)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_NO_SPACE, "cap", "%zu are needed, cap is %zu", n_from, cap);
}

static llm_status_t give_text(char *from, size_t len, char *to, size_t cap, size_t *n,
                              llm_error_t *err)
{
    llm_status_t st = give(from, len, 1, to, cap, n, err);

    if (to != NULL && len < cap)
        to[len] = '\0';
    return st;
}

/* ---- The calls ------------------------------------------------------------------------------- */

LLM_API llm_status_t llm_tokenizer_encode(const llm_tokenizer_t *tokenizer, const char *text,
                                          size_t len, uint32_t flags, int32_t *tokens, size_t cap,
                                          size_t *n, llm_error_t *err)
{
    llm_status_t st = check_text(tokenizer, "text", text, &len, n, err);
    int32_t     *ids;
    size_t       n_ids;

    if (n != NULL)
        *n = 0;
    if (st == LLM_OK)
        st = lls_sized_check_flags(flags, LLM_ENCODE_NO_SPECIAL, err);
    if (st == LLM_OK)
        st = lls_tokenizer_encode(inner(tokenizer), lls_tokenizer_mem(inner(tokenizer)), text, len,
                                  flags, &ids, &n_ids, err);
    if (st != LLM_OK)
        return st;
    st = give(ids, n_ids, sizeof *ids, tokens, cap, n, err);
    lls_free(lls_tokenizer_mem(inner(tokenizer)), ids);
    return st;
}

LLM_API llm_status_t llm_tokenizer_encode_chat(const llm_tokenizer_t *tokenizer, const char *chat,
                                               size_t len, int32_t *tokens, size_t cap, size_t *n,
                                               llm_error_t *err)
{
    llm_status_t st = check_text(tokenizer, "chat", chat, &len, n, err);
    int32_t     *ids;
    size_t       n_ids;

    if (n != NULL)
        *n = 0;
    if (st == LLM_OK)
        st = lls_chat_encode(inner(tokenizer), lls_tokenizer_mem(inner(tokenizer)), chat, len, &ids,
                             &n_ids, err);
    if (st != LLM_OK)
        return st;
    st = give(ids, n_ids, sizeof *ids, tokens, cap, n, err);
    lls_free(lls_tokenizer_mem(inner(tokenizer)), ids);
    return st;
}

LLM_API llm_status_t llm_tokenizer_render_chat(const llm_tokenizer_t *tokenizer, const char *chat,
                                               size_t len, char *text, size_t cap, size_t *n,
                                               llm_error_t *err)
{
    llm_status_t st = check_text(tokenizer, "chat", chat, &len, n, err);
    char        *out;
    size_t       n_out;

    if (n != NULL)
        *n = 0;
    if (st == LLM_OK)
        st = lls_chat_render(inner(tokenizer), lls_tokenizer_mem(inner(tokenizer)), chat, len, &out,
                             &n_out, err);
    if (st != LLM_OK)
        return st;
    st = give_text(out, n_out, text, cap, n, err);
    lls_free(lls_tokenizer_mem(inner(tokenizer)), out);
    return st;
}

LLM_API llm_status_t llm_tokenizer_decode(const llm_tokenizer_t *tokenizer, const int32_t *tokens,
                                          size_t n_tokens, uint32_t flags, char *text, size_t cap,
                                          size_t *n, llm_error_t *err)
{
    size_t       none = 0, n_out;
    llm_status_t st = check_text(tokenizer, "tokens", n_tokens > 0 ? (const void *)tokens : "",
                                 &none, n, err);
    char        *out;

    if (n != NULL)
        *n = 0;
    if (st == LLM_OK)
        st = lls_sized_check_flags(flags, LLM_DECODE_KEEP_SPECIAL, err);
    if (st == LLM_OK)
        st = lls_tokenizer_decode(inner(tokenizer), lls_tokenizer_mem(inner(tokenizer)), tokens,
                                  n_tokens, flags, &out, &n_out, err);
    if (st != LLM_OK)
        return st;
    st = give_text(out, n_out, text, cap, n, err);
    lls_free(lls_tokenizer_mem(inner(tokenizer)), out);
    return st;
}

LLM_API const char *llm_tokenizer_token(const llm_tokenizer_t *tokenizer, int32_t id, size_t *len)
{
    size_t n = 0;

    if (len == NULL)
        len = &n;
    *len = 0;
    return tokenizer == NULL ? NULL : lls_tokenizer_token(inner(tokenizer), id, len);
}

LLM_API size_t llm_tokenizer_size(const llm_tokenizer_t *tokenizer)
{
    return tokenizer == NULL ? 0 : lls_tokenizer_n_vocab(inner(tokenizer));
}

LLM_API int32_t llm_tokenizer_special(const llm_tokenizer_t *tokenizer, int32_t which)
{
    if (tokenizer == NULL)
        return -1;
    switch (which) {
    case LLM_TOKEN_BOS: return lls_tokenizer_bos(inner(tokenizer));
    case LLM_TOKEN_EOS: return lls_tokenizer_eos(inner(tokenizer));
    default:            return -1;
    }
}

LLM_API int32_t llm_tokenizer_find(const llm_tokenizer_t *tokenizer, const char *token, size_t len)
{
    if (tokenizer == NULL || token == NULL)
        return -1;
    return lls_tokenizer_find(inner(tokenizer), token, len == LLM_CSTR ? strlen(token) : len);
}
