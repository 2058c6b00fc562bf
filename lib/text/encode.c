/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Encoding, in Hugging Face's order: tokens found in the raw text are cut out; each stretch between
 * is normalized; tokens found in that are cut out; the rest is cut into pieces for the model.
 */
#include "text/tokenizer_int.h"

#include "base/utf8.h"

#define MAX_TEXT (1u << 30)

typedef struct encoder {
    const lls_tokenizer_t *t;
    lls_norm_work_t        norm;
    lls_pieces_t           pieces;
    lls_bpe_work_t        *bpe;
    lls_pattern_ctx_t      ctx;
    lls_ids_t              ids;
    llm_error_t           *err;
} encoder_t;

static llm_status_t no_memory(const encoder_t *e)
{
    return lls_fail(e->err, LLM_ERR_NO_MEMORY, "no memory to encode a text");
}

static llm_status_t encode_model(encoder_t *e, const char *text, size_t len, bool at_zero)
{
    llm_status_t st = lls_pretok_run(e->t->pretoks, e->t->n_pretoks, &e->ctx, &e->pieces, text, len,
                                     at_zero);

    for (size_t i = 0; st == LLM_OK && i < e->pieces.spans.n; i++) {
        lls_span_t s = e->pieces.spans.data[i];

        if (!lls_bpe_encode(&e->t->bpe, e->bpe, e->pieces.text + s.begin, s.end - s.begin, &e->ids))
            st = no_memory(e);
    }
    return st;
}

static llm_status_t encode_stretch(encoder_t *e, lls_normed_t text, bool at_zero)
{
    const lls_added_t *a = &e->t->added;
    lls_added_match_t  m;
    size_t             done = 0, from = 0;
    llm_status_t       st = lls_norm_run(e->t->norms, e->t->n_norms, &e->ctx, &e->norm, &text);

    while (st == LLM_OK && lls_added_find(a, &a->normal, &e->t->classes, text.text, text.mark,
                                          text.len, done, from, &m)) {
        if (m.begin > done)
            st = encode_model(e, text.text + done, m.begin - done, at_zero && done == 0);
        if (st == LLM_OK && !lls_ids_put(&e->ids, a->tokens[m.token].id))
            st = no_memory(e);
        done = m.end;
        from = m.next;
    }
    if (st == LLM_OK && done < text.len)
        st = encode_model(e, text.text + done, text.len - done, at_zero && done == 0);
    return st;
}

static llm_status_t encode_text(encoder_t *e, const char *text, const uint8_t *mark, size_t len)
{
    const lls_added_t *a = &e->t->added;
    lls_added_match_t  m;
    size_t             done = 0, from = 0;
    llm_status_t       st = LLM_OK;

    while (st == LLM_OK &&
           lls_added_find(a, &a->raw, &e->t->classes, text, mark, len, done, from, &m)) {
        lls_normed_t part = { text + done, mark != NULL ? mark + done : NULL, m.begin - done };

        if (m.begin > done)
            st = encode_stretch(e, part, done == 0);
        if (st == LLM_OK && !lls_ids_put(&e->ids, a->tokens[m.token].id))
            st = no_memory(e);
        done = m.end;
        from = m.next;
    }
    if (st == LLM_OK && done < len)
        st = encode_stretch(e, (lls_normed_t){ text + done, mark != NULL ? mark + done : NULL,
                                               len - done }, done == 0);
    return st;
}

static llm_status_t put_ids(encoder_t *e, const lls_ids_t *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        if (!lls_ids_put(&e->ids, ids->data[i]))
            return no_memory(e);
    return LLM_OK;
}

static llm_status_t encoder_init(encoder_t *e, const lls_tokenizer_t *t, lls_mem_t *scratch,
                                 llm_error_t *err)
{
    memset(e, 0, sizeof *e);
    e->t = t;
    e->err = e->ctx.err = err;
    e->ids.mem = scratch;
    e->ctx.classes = &t->classes;
    lls_norm_work_init(&e->norm, scratch);
    lls_pieces_init(&e->pieces, scratch);
    e->bpe = lls_bpe_work_create(scratch);
    if (t->has_regex)
        e->ctx.match = lls_regex_match_create(scratch);
    if (e->bpe == NULL || (t->has_regex && e->ctx.match == NULL) || !lls_ids_room(&e->ids, 1))
        return no_memory(e);
    return LLM_OK;
}

static void encoder_deinit(encoder_t *e)
{
    lls_norm_work_deinit(&e->norm);
    lls_pieces_deinit(&e->pieces);
    lls_bpe_work_destroy(e->bpe);
    lls_regex_match_destroy(e->ctx.match);
    lls_free(e->ids.mem, e->ids.data);
}

/* Marks for a text of which no byte is trusted. */
static uint8_t *all_marked(lls_mem_t *scratch, size_t len)
{
    uint8_t *mark = lls_alloc(scratch, len);

    return mark == NULL ? NULL : memset(mark, 1, len);
}

llm_status_t lls_tokenizer_encode_marked(const lls_tokenizer_t *t, lls_mem_t *scratch,
                                         const char *text, const uint8_t *mark, size_t len,
                                         uint32_t flags, int32_t **ids, size_t *n, llm_error_t *err)
{
    size_t       valid = lls_utf8_valid(text, len);
    encoder_t    e;
    llm_status_t st;

    *ids = NULL;
    *n = 0;
    if (valid != len)
        return lls_fail(err, LLM_ERR_INVALID, "the text is not UTF-8 at byte %zu", valid);
    if (len > MAX_TEXT)
        return lls_fail(err, LLM_ERR_TOO_LONG,
                        "a text of %zu bytes; at most %u are encoded at once", len, MAX_TEXT);
    st = encoder_init(&e, t, scratch, err);
    if (st == LLM_OK && (flags & LLM_ENCODE_NO_SPECIAL) == 0)
        st = put_ids(&e, &t->prefix);
    if (st == LLM_OK)
        st = encode_text(&e, text, mark, len);
    if (st == LLM_OK && (flags & LLM_ENCODE_NO_SPECIAL) == 0)
        st = put_ids(&e, &t->suffix);
    if (st == LLM_OK) {
        *ids = e.ids.data;
        *n = e.ids.n;
        e.ids.data = NULL;
    }
    encoder_deinit(&e);
    return st;
}

llm_status_t lls_tokenizer_encode(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *text,
                                  size_t len, uint32_t flags, int32_t **ids, size_t *n,
                                  llm_error_t *err)
{
    uint8_t     *mark = NULL;
    llm_status_t st;

    *ids = NULL;
    *n = 0;
    if ((flags & LLS_ENCODE_PLAIN) != 0 && len <= MAX_TEXT) {
        mark = all_marked(scratch, len);
        if (mark == NULL)
            return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory to encode a text");
    }
    st = lls_tokenizer_encode_marked(t, scratch, text, mark, len, flags, ids, n, err);
    lls_free(scratch, mark);
    return st;
}
