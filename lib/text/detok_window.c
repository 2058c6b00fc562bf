/* SPDX-License-Identifier: Apache-2.0 */
#include "text/detok_window.h"

#include "text/tokenizer_int.h"

struct lls_detok_window {
    lls_mem_t *mem;
    lls_ids_t  ids;
    lls_buf_t  prefix;          /* what the ids before prefix_index gave */
    size_t     prefix_index;
};

static llm_status_t no_memory(llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the text of a request");
}

static llm_status_t decode(const lls_detok_t *d, const lls_ids_t *ids, lls_buf_t *out,
                           llm_error_t *err)
{
    char        *text;
    size_t       len;
    llm_status_t st = lls_tokenizer_decode(d->tokenizer, d->mem, ids->data, ids->n,
                                           d->skip_special ? 0 : LLM_DECODE_KEEP_SPECIAL, &text,
                                           &len, err);

    if (st != LLM_OK)
        return st;
    lls_free(d->mem, out->data);
    *out = (lls_buf_t){ d->mem, text, len, len + 1 };
    return LLM_OK;
}

static bool ends_replaced(const lls_buf_t *text)
{
    return text->len >= 3 && memcmp(text->data + text->len - 3, LLS_REPLACEMENT, 3) == 0;
}

llm_status_t lls_detok_window_init(lls_detok_t *d, const int32_t *prompt, size_t n,
                                   llm_error_t *err)
{
    lls_detok_window_t *w = lls_zalloc(d->mem, sizeof *w);

    if (w == NULL)
        return no_memory(err);
    w->mem = w->ids.mem = w->prefix.mem = d->mem;
    d->window = w;
    for (size_t i = 0; i < n; i++)
        if (!lls_ids_put(&w->ids, prompt[i])) {
            lls_detok_deinit(d);
            return no_memory(err);
        }
    return LLM_OK;
}

/* The text of the window goes out; what came last is the window now. */
static llm_status_t emit(lls_detok_t *d, const lls_buf_t *text, llm_error_t *err)
{
    lls_detok_window_t *w = d->window;
    lls_ids_t           rest = { d->mem, w->ids.data + w->prefix_index, w->ids.n - w->prefix_index,
                                 0 };
    lls_buf_t           prefix = { d->mem, NULL, 0, 0 };
    size_t              n = text->len - w->prefix.len;
    llm_status_t        st = lls_detok_reserve(d, n, err);

    if (st == LLM_OK)
        st = decode(d, &rest, &prefix, err);
    if (st != LLM_OK)
        return st;
    memcpy(d->text + d->len, text->data + w->prefix.len, n);
    d->len += n;
    memmove(w->ids.data, rest.data, rest.n * sizeof *rest.data);
    w->ids.n = w->prefix_index = rest.n;
    lls_buf_deinit(&w->prefix);
    w->prefix = prefix;
    return LLM_OK;
}

/* *invalid: what was put out is no prefix any more. */
static llm_status_t step(lls_detok_t *d, int32_t id, bool *invalid, llm_error_t *err)
{
    lls_detok_window_t *w = d->window;
    lls_buf_t           text = { d->mem, NULL, 0, 0 };
    llm_status_t        st = LLM_OK;

    *invalid = false;
    if (w->prefix.len == 0 && w->ids.n != 0) {
        st = decode(d, &w->ids, &text, err);
        if (st == LLM_OK && !ends_replaced(&text)) {
            lls_buf_t old = w->prefix;
            w->prefix = text;
            text = old;
            w->prefix_index = w->ids.n;
        }
    }
    if (st == LLM_OK && !lls_ids_put(&w->ids, id))
        st = no_memory(err);
    else if (st == LLM_OK) {
        st = decode(d, &w->ids, &text, err);
        if (st == LLM_OK && text.len > w->prefix.len && !ends_replaced(&text)) {
            *invalid = w->prefix.len != 0 &&
                       memcmp(text.data, w->prefix.data, w->prefix.len) != 0;
            st = *invalid ? LLM_OK : emit(d, &text, err);
        }
        w->ids.n -= st != LLM_OK;
    }
    lls_buf_deinit(&text);
    return st;
}

llm_status_t lls_detok_window_push(lls_detok_t *d, int32_t id, llm_error_t *err)
{
    lls_detok_window_t *w = d->window;
    bool                invalid;
    llm_status_t        st = step(d, id, &invalid, err);

    if (st != LLM_OK || !invalid)
        return st;
    w->ids.n = w->prefix_index = w->prefix.len = 0;
    return step(d, id, &invalid, err);
}

lls_detok_window_t *lls_detok_window_copy(const lls_detok_window_t *from)
{
    lls_detok_window_t *w = lls_zalloc(from->mem, sizeof *w);

    if (w == NULL)
        return NULL;
    w->mem = w->ids.mem = w->prefix.mem = from->mem;
    w->prefix_index = from->prefix_index;
    if (lls_ids_room(&w->ids, from->ids.n + 1) &&
        lls_buf_put(&w->prefix, from->prefix.data, from->prefix.len)) {
        if (from->ids.n != 0)
            memcpy(w->ids.data, from->ids.data, from->ids.n * sizeof *w->ids.data);
        w->ids.n = from->ids.n;
        return w;
    }
    lls_detok_window_destroy(w);
    return NULL;
}

void lls_detok_window_destroy(lls_detok_window_t *w)
{
    if (w == NULL)
        return;
    lls_free(w->mem, w->ids.data);
    lls_buf_deinit(&w->prefix);
    lls_free(w->mem, w);
}
