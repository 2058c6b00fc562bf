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
    lls_words_t            words;
    lls_bpe_work_t        *bpe;
    lls_unigram_work_t     unigram;
    lls_spm_work_t         spm;
    lls_pattern_ctx_t      ctx;
    lls_ids_t              ids, types;
    llm_error_t           *err;
} encoder_t;

typedef struct source {
    const char    *text;
    const uint8_t *mark;
    size_t         len;
} source_t;

static llm_status_t no_memory(const encoder_t *e)
{
    return lls_fail(e->err, LLM_ERR_NO_MEMORY, "no memory to encode a text");
}

static llm_status_t run_model(encoder_t *e, const char *text, size_t len)
{
    switch (e->t->model) {
    case LLS_MODEL_BPE:
        return lls_bpe_encode(&e->t->bpe, e->bpe, &e->words, text, len, &e->ids) ? LLM_OK
                                                                                 : no_memory(e);
    case LLS_MODEL_UNIGRAM:
        return lls_unigram_encode(&e->t->unigram, &e->unigram, text, len, &e->ids, e->err);
    case LLS_MODEL_SPM:
        return lls_spm_encode(&e->t->spm, &e->spm, &e->words, text, len, &e->ids) ? LLM_OK
                                                                                  : no_memory(e);
    default:
        return lls_wordpiece_encode(&e->t->wordpiece, text, len, &e->ids, e->err);
    }
}

static llm_status_t encode_piece(encoder_t *e, const char *text, size_t len)
{
    size_t         from = e->ids.n;
    lls_word_key_t key;
    llm_status_t   st;

    if (lls_words_find(&e->words, text, len, false, &key, &e->ids))
        return LLM_OK;
    st = run_model(e, text, len);
    if (st == LLM_OK)
        lls_words_keep(&e->words, &key, e->ids.data + from, e->ids.n - from);
    return st;
}

static llm_status_t encode_model(encoder_t *e, const char *text, size_t len, size_t lead)
{
    llm_status_t st = lls_pretok_run(e->t->pretoks, e->t->n_pretoks, &e->ctx, &e->pieces, text, len,
                                     lead);

    for (size_t i = 0; st == LLM_OK && i < e->pieces.spans.n; i++) {
        lls_span_t s = e->pieces.spans.data[i];

        st = encode_piece(e, e->pieces.text + s.begin, s.end - s.begin);
    }
    return st;
}

/* at_zero: the stretch is the beginning of what the user gave. */
static llm_status_t encode_stretch(encoder_t *e, lls_normed_t text, bool at_zero)
{
    const lls_added_t *a = &e->t->added;
    lls_added_match_t  m;
    size_t             done = 0, from = 0;
    llm_status_t       st = lls_norm_run(e->t->norms, e->t->n_norms, &e->ctx, &e->norm, &text);

    if (!at_zero)
        text.lead = 0;
    while (st == LLM_OK && lls_added_find(a, &a->normal, &e->t->classes, text.text, text.mark,
                                          text.len, done, from, &m)) {
        if (m.begin > done)
            st = encode_model(e, text.text + done, m.begin - done,
                              text.lead > done ? text.lead - done : 0);
        if (st == LLM_OK && !lls_ids_put(&e->ids, a->tokens[m.token].id))
            st = no_memory(e);
        done = m.end;
        from = m.next;
    }
    if (st == LLM_OK && done < text.len)
        st = encode_model(e, text.text + done, text.len - done,
                          text.lead > done ? text.lead - done : 0);
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
        if (m.begin > done)
            st = encode_stretch(e, lls_normed(text + done, mark != NULL ? mark + done : NULL,
                                              m.begin - done), done == 0);
        if (st == LLM_OK && !lls_ids_put(&e->ids, a->tokens[m.token].id))
            st = no_memory(e);
        done = m.end;
        from = m.next;
    }
    if (st == LLM_OK && done < len)
        st = encode_stretch(e, lls_normed(text + done, mark != NULL ? mark + done : NULL,
                                          len - done), done == 0);
    return st;
}

static llm_status_t encoder_init(encoder_t *e, const lls_tokenizer_t *t, lls_mem_t *scratch,
                                 llm_error_t *err)
{
    memset(e, 0, sizeof *e);
    e->t = t;
    e->err = e->ctx.err = err;
    e->ids.mem = e->types.mem = scratch;
    e->ctx.classes = &t->classes;
    e->ctx.cats = &t->cats;
    e->unigram.mem = e->spm.mem = scratch;
    lls_words_begin(&e->words, t->words);
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
    lls_words_end(&e->words);
    lls_norm_work_deinit(&e->norm);
    lls_pieces_deinit(&e->pieces);
    lls_bpe_work_destroy(e->bpe);
    lls_free(e->ids.mem, e->unigram.nodes);
    lls_spm_work_deinit(&e->spm);
    lls_free(e->ids.mem, e->types.data);
    lls_regex_match_destroy(e->ctx.match);
    lls_free(e->ids.mem, e->ids.data);
}

/* Marks for a text of which no byte is trusted. */
static uint8_t *all_marked(lls_mem_t *scratch, size_t len)
{
    uint8_t *mark = lls_alloc(scratch, len);

    return mark == NULL ? NULL : memset(mark, 1, len);
}

static llm_status_t check_text(const char *text, size_t len, llm_error_t *err)
{
    size_t valid = lls_utf8_valid(text, len);

    if (valid != len)
        return lls_fail(err, LLM_ERR_INVALID, "the text is not UTF-8 at byte %zu", valid);
    if (len > MAX_TEXT)
        return lls_fail(err, LLM_ERR_TOO_LONG,
                        "a text of %zu bytes; at most %u are encoded at once", len, MAX_TEXT);
    return LLM_OK;
}

static llm_status_t put_type(encoder_t *e, int32_t type)
{
    while (e->types.n < e->ids.n)
        if (!lls_ids_put(&e->types, type))
            return no_memory(e);
    return LLM_OK;
}

/* The texts and special tokens in the order of the template; types only where they are wanted. */
static llm_status_t encode_template(encoder_t *e, const lls_template_t *t, const source_t *sources,
                                    bool special, bool types)
{
    llm_status_t st = LLM_OK;

    for (size_t i = 0; st == LLM_OK && i < t->items.n; i++) {
        int32_t item = t->items.data[i];

        if (item < 0) {
            const source_t *s = &sources[item == LLS_POST_B];
            st = encode_text(e, s->text, s->mark, s->len);
        } else if (special && !lls_ids_put(&e->ids, item)) {
            st = no_memory(e);
        }
        if (st == LLM_OK && types)
            st = put_type(e, t->types.data[i]);
    }
    return st;
}

static llm_status_t encode_sources(encoder_t *e, const source_t *sources, size_t n, uint32_t flags,
                                   bool types)
{
    const lls_postproc_t *p = &e->t->post;
    bool                  special = (flags & LLM_ENCODE_NO_SPECIAL) == 0;
    llm_status_t          st = LLM_OK;

    if (p->set)
        return encode_template(e, n == 1 ? &p->single : &p->pair, sources, special, types);
    for (size_t i = 0; st == LLM_OK && i < n; i++) {
        st = encode_text(e, sources[i].text, sources[i].mark, sources[i].len);
        if (st == LLM_OK && types)
            st = put_type(e, (int32_t)i);
    }
    return st;
}

static llm_status_t encode(const lls_tokenizer_t *t, lls_mem_t *scratch, const source_t *sources,
                           size_t n_sources, uint32_t flags, int32_t **ids, int32_t **types,
                           size_t *n, llm_error_t *err)
{
    encoder_t    e;
    llm_status_t st = encoder_init(&e, t, scratch, err);

    if (st == LLM_OK && types != NULL && !lls_ids_room(&e.types, 1))
        st = no_memory(&e);
    if (st == LLM_OK)
        st = encode_sources(&e, sources, n_sources, flags, types != NULL);
    if (st == LLM_OK) {
        *ids = e.ids.data;
        *n = e.ids.n;
        e.ids.data = NULL;
        if (types != NULL) {
            *types = e.types.data;
            e.types.data = NULL;
        }
    }
    encoder_deinit(&e);
    return st;
}

llm_status_t lls_tokenizer_encode_marked(const lls_tokenizer_t *t, lls_mem_t *scratch,
                                         const char *text, const uint8_t *mark, size_t len,
                                         uint32_t flags, int32_t **ids, size_t *n, llm_error_t *err)
{
    source_t     source = { text, mark, len };
    llm_status_t st = check_text(text, len, err);

    *ids = NULL;
    *n = 0;
    return st == LLM_OK ? encode(t, scratch, &source, 1, flags, ids, NULL, n, err) : st;
}

llm_status_t lls_tokenizer_encode_pair(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *a,
                                       size_t a_len, const char *b, size_t b_len, uint32_t flags,
                                       int32_t **ids, int32_t **types, size_t *n, llm_error_t *err)
{
    source_t     sources[] = { { a, NULL, a_len }, { b, NULL, b_len } };
    llm_status_t st = check_text(a, a_len, err);

    *ids = NULL;
    *n = 0;
    if (types != NULL)
        *types = NULL;
    if (st == LLM_OK)
        st = check_text(b, b_len, err);
    return st == LLM_OK ? encode(t, scratch, sources, 2, flags, ids, types, n, err) : st;
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
