/* SPDX-License-Identifier: Apache-2.0 */
#include "text/decoder.h"

#include "base/utf8.h"

#define BLANK "\xe2\x96\x81"
#define SHORT 16u                       /* bytes; so many may be read behind each text */

void lls_decoder_init(lls_decoder_t *d, lls_mem_t *mem)
{
    memset(d, 0, sizeof *d);
    d->mem = d->bytes.mem = mem;
}

void lls_decoder_deinit(lls_decoder_t *d)
{
    if (d->mem == NULL)
        return;
    for (size_t i = 0; i < d->n_steps; i++)
        lls_dec_step_deinit(&d->steps[i], d->mem);
    lls_free(d->mem, d->steps);
    lls_free(d->mem, d->entries);
    lls_free(d->mem, d->firsts);
    lls_buf_deinit(&d->bytes);
    memset(d, 0, sizeof *d);
}

lls_dec_step_t *lls_decoder_add(lls_decoder_t *d, uint8_t kind)
{
    if (!lls_reserve(d->mem, (void **)&d->steps, &d->steps_cap, d->n_steps + 1, sizeof *d->steps))
        return NULL;
    memset(&d->steps[d->n_steps], 0, sizeof *d->steps);
    d->steps[d->n_steps].kind = kind;
    return &d->steps[d->n_steps++];
}

static bool set_text(lls_decoder_t *d, lls_dec_step_t *s, const char *text)
{
    s->a_len = strlen(text);
    s->a = lls_strndup(d->mem, text, s->a_len);
    return s->a != NULL;
}

bool lls_decoder_sentencepiece(lls_decoder_t *d, uint32_t strip_n)
{
    lls_dec_step_t *s = lls_decoder_add(d, LLS_DSTEP_REPLACE);
    llm_error_t     err;

    if (s == NULL || !set_text(d, s, " ") ||
        lls_pattern_literal(&s->pattern, d->mem, BLANK, 3, &err) != LLM_OK ||
        lls_decoder_add(d, LLS_DSTEP_BYTE_FALLBACK) == NULL ||
        lls_decoder_add(d, LLS_DSTEP_FUSE) == NULL)
        return false;
    if (strip_n == 0)
        return true;
    s = lls_decoder_add(d, LLS_DSTEP_STRIP);
    if (s == NULL)
        return false;
    s->start = strip_n;
    return set_text(d, s, " ");
}

/* ---- The kind -------------------------------------------------------------------------------- */

static bool is_step(const lls_decoder_t *d, size_t i, uint8_t kind)
{
    return i < d->n_steps && d->steps[i].kind == kind;
}

static bool is_per_token(const lls_dec_step_t *s)
{
    return s->kind == LLS_DSTEP_REPLACE || s->kind == LLS_DSTEP_STRIP ||
           s->kind == LLS_DSTEP_METASPACE || s->kind == LLS_DSTEP_WORDPIECE;
}

static bool knows_first(const lls_dec_step_t *s)
{
    return s->kind == LLS_DSTEP_WORDPIECE || (s->kind == LLS_DSTEP_METASPACE && s->flag);
}

/* Steps [0, *n_own) are done to each token by itself. */
static uint8_t find_kind(lls_decoder_t *d, bool byte_tokens, size_t *n_own)
{
    bool   first = d->n_steps == 0, fallback, strip;
    size_t i = 0;

    *n_own = 0;
    if (is_step(d, 0, LLS_DSTEP_BYTE_LEVEL) &&
        (d->n_steps == 1 || (d->n_steps == 2 && is_step(d, 1, LLS_DSTEP_FUSE))))
        return LLS_DECODER_BYTES;
    for (; i < d->n_steps && is_per_token(&d->steps[i]); i++)
        first = first || knows_first(&d->steps[i]);
    *n_own = i;
    fallback = is_step(d, i, LLS_DSTEP_BYTE_FALLBACK);
    i += fallback;
    strip = is_step(d, i, LLS_DSTEP_FUSE) && is_step(d, i + 1, LLS_DSTEP_STRIP) &&
            d->steps[i + 1].start == 1 && d->steps[i + 1].stop == 0;
    i += is_step(d, i, LLS_DSTEP_FUSE);
    if (i + strip != d->n_steps || (first && (strip || (fallback && byte_tokens)))) {
        *n_own = 0;
        return LLS_DECODER_CHAIN;
    }
    if (first)
        return LLS_DECODER_PIECES;
    if (strip) {
        d->strip_n = d->steps[i].start;
        d->strip_char = d->steps[i].a;
        d->strip_len = d->steps[i].a_len;
    }
    return LLS_DECODER_FALLBACK;
}

/* ---- What an id gives ------------------------------------------------------------------------ */

typedef struct sealer {
    lls_decoder_t           *d;
    const lls_vocab_t       *vocab;
    const lls_pattern_ctx_t *ctx;
    lls_chain_t              chain;
    lls_buf_t                text;
    size_t                   n_own;
    bool                     fallback;      /* byte tokens are bytes */
} sealer_t;

static llm_status_t no_memory(const lls_pattern_ctx_t *ctx)
{
    return lls_fail(ctx->err, LLM_ERR_NO_MEMORY, "no memory to decode tokens");
}

/* The token as the file spells it. */
static bool spell(sealer_t *s, uint32_t id)
{
    size_t      len;
    const char *bytes = lls_vocab_bytes(s->vocab, id, &len);

    s->text.len = 0;
    if (!s->vocab->byte_level || s->vocab->entries[id].literal)
        return lls_buf_put(&s->text, bytes, len);
    for (size_t i = 0; i < len; i++) {
        char c[4];
        if (!lls_buf_put(&s->text, c, lls_utf8_encode(lls_byte_to_char((uint8_t)bytes[i]), c)))
            return false;
    }
    return true;
}

/* The bytes that s->text gives as a first token, or as a later one. */
static llm_status_t own_steps(sealer_t *s, bool first, const char **text, size_t *len)
{
    lls_chain_t *c = &s->chain;
    lls_span_t   last;
    llm_status_t st;

    *text = s->text.data;
    *len = s->text.len;
    lls_chain_clear(c);
    if (s->d->n_steps == 0 && !first) {             /* no decoder: a blank between tokens */
        if (!lls_buf_put(&c->text[0], " ", 1) ||
            !lls_buf_put(&c->text[0], s->text.data, s->text.len))
            return no_memory(s->ctx);
        *text = c->text[0].data;
        *len = c->text[0].len;
    }
    if (s->n_own == 0)
        return LLM_OK;
    if ((!first && !lls_chain_add(c, "", 0)) || !lls_chain_add(c, s->text.data, s->text.len))
        return no_memory(s->ctx);
    st = lls_chain_run(c, s->d->steps, s->n_own, s->ctx);
    if (st != LLM_OK)
        return st;
    last = c->list[c->at].data[c->list[c->at].n - 1];
    *text = c->text[c->at].data + last.begin;
    *len = last.end - last.begin;
    return LLM_OK;
}

static llm_status_t put_entry(sealer_t *s, lls_dec_entry_t *e, const char *text, size_t len,
                              uint32_t flags)
{
    lls_buf_t *bytes = &s->d->bytes;
    int        byte = s->fallback ? lls_byte_of_token(text, len) : -1;
    char       b = (char)byte;

    if (byte >= 0) {
        flags |= LLS_DEC_BYTE;
        text = &b;
        len = 1;
    }
    *e = (lls_dec_entry_t){ (uint32_t)bytes->len, (uint32_t)len, flags | LLS_DEC_USED };
    return bytes->len <= UINT32_MAX - len && lls_buf_put(bytes, text, len) ? LLM_OK
                                                                           : no_memory(s->ctx);
}

/* A token that the vocabulary has as bytes. */
static bool is_bytes(const sealer_t *s, uint32_t id)
{
    return s->d->kind == LLS_DECODER_BYTES && s->vocab->byte_level &&
           !s->vocab->entries[id].literal && !s->vocab->any_double;
}

static llm_status_t put_bytes(sealer_t *s, uint32_t id, uint32_t flags)
{
    size_t n, len = s->text.len;

    if (!lls_buf_room(&s->text, len))
        return no_memory(s->ctx);
    if (lls_bytes_of_spelling(s->text.data, len, s->text.data + len, &n))
        return put_entry(s, &s->d->entries[id], s->text.data + len, n, flags);
    return put_entry(s, &s->d->entries[id], s->text.data, len, flags);
}

/* The entry of a token whose spelling is in s->text. */
static llm_status_t put_token(sealer_t *s, uint32_t id, uint32_t flags)
{
    lls_decoder_t *d = s->d;
    const char    *text;
    size_t         len;
    llm_status_t   st;

    if (d->kind == LLS_DECODER_BYTES)
        return put_bytes(s, id, flags);
    st = own_steps(s, false, &text, &len);
    if (st == LLM_OK)
        st = put_entry(s, &d->entries[id], text, len, flags);
    if (st != LLM_OK || d->kind != LLS_DECODER_PIECES)
        return st;
    st = own_steps(s, true, &text, &len);
    return st == LLM_OK ? put_entry(s, &d->firsts[id], text, len, flags) : st;
}

/* HF asks for the content: of a token that is in the vocabulary twice, both are special. */
static uint32_t flags_of_double(const sealer_t *s, const lls_added_t *added, uint32_t id)
{
    const lls_added_token_t *a = NULL;

    if (s->vocab->any_double &&
        lls_vocab_find_spelling(s->vocab, s->text.data, s->text.len) != (int32_t)id)
        a = lls_added_by_content(added, s->text.data, s->text.len);
    return a != NULL && a->special ? LLS_DEC_SPECIAL : 0;
}

static llm_status_t seal_tokens(sealer_t *s, const lls_added_t *added)
{
    llm_status_t st = LLM_OK;

    for (uint32_t id = 0; st == LLM_OK && id < s->vocab->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(s->vocab, id, &len);

        if (!s->vocab->entries[id].used)
            continue;
        st = is_bytes(s, id) ? put_entry(s, &s->d->entries[id], text, len, 0)
             : spell(s, id) ? put_token(s, id, flags_of_double(s, added, id)) : no_memory(s->ctx);
    }
    for (size_t i = 0; st == LLM_OK && i < added->n; i++) {
        const lls_added_token_t *t = &added->tokens[i];

        s->text.len = 0;
        st = lls_buf_put(&s->text, t->content, t->len)
                 ? put_token(s, (uint32_t)t->id, t->special ? LLS_DEC_SPECIAL : 0)
                 : no_memory(s->ctx);
    }
    return st;
}

static bool has_byte_tokens(const lls_vocab_t *vocab)
{
    for (uint32_t id = 0; id < vocab->n; id++) {
        size_t      len;
        const char *text = lls_vocab_bytes(vocab, id, &len);

        if (vocab->entries[id].used && lls_byte_of_token(text, len) >= 0)
            return true;
    }
    return false;
}

static llm_status_t make_room(sealer_t *s)
{
    lls_decoder_t *d = s->d;
    size_t         n = d->n == 0 ? 1 : d->n;

    d->entries = lls_calloc(d->mem, n, sizeof *d->entries);
    if (d->kind == LLS_DECODER_PIECES)
        d->firsts = lls_calloc(d->mem, n, sizeof *d->firsts);
    return d->entries != NULL && (d->kind != LLS_DECODER_PIECES || d->firsts != NULL) &&
           lls_buf_room(&s->text, 16) && lls_buf_room(&d->bytes, s->vocab->bytes.len)
               ? LLM_OK : no_memory(s->ctx);
}

/* What put_text() may read behind the last text. */
static bool end_bytes(lls_buf_t *bytes)
{
    if (!lls_buf_room(bytes, SHORT))
        return false;
    memset(bytes->data + bytes->len, 0, SHORT);
    return true;
}

llm_status_t lls_decoder_seal(lls_decoder_t *d, const lls_vocab_t *vocab, const lls_added_t *added,
                              const lls_pattern_ctx_t *ctx)
{
    sealer_t     s = { .d = d, .vocab = vocab, .ctx = ctx, .text.mem = d->mem };
    llm_status_t st;

    lls_chain_init(&s.chain, d->mem);
    d->kind = find_kind(d, has_byte_tokens(vocab), &s.n_own);
    for (size_t i = 0; d->kind == LLS_DECODER_FALLBACK && i < d->n_steps; i++)
        s.fallback = s.fallback || d->steps[i].kind == LLS_DSTEP_BYTE_FALLBACK;
    d->n = vocab->n;
    for (size_t i = 0; i < added->n; i++)
        if ((uint32_t)added->tokens[i].id >= d->n)
            d->n = (uint32_t)added->tokens[i].id + 1;
    st = make_room(&s);
    if (st == LLM_OK)
        st = seal_tokens(&s, added);
    if (st == LLM_OK)
        st = end_bytes(&d->bytes) ? LLM_OK : no_memory(ctx);
    lls_buf_deinit(&s.text);
    lls_chain_deinit(&s.chain);
    return st;
}

/* ---- Decoding -------------------------------------------------------------------------------- */

size_t lls_ill_formed_len(const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    uint8_t        lo = 0x80, hi = 0xbf;
    size_t         need = p[0] >= 0xf0 ? 3 : p[0] >= 0xe0 ? 2 : 1, n = 1;

    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 1;
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    while (n < len && n <= need && p[n] >= lo && p[n] <= hi) {
        lo = 0x80;
        hi = 0xbf;
        n++;
    }
    return n;
}

bool lls_put_lossy(lls_buf_t *out, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t good = lls_utf8_valid(bytes, len), bad;

        if (!lls_buf_put(out, bytes, good))
            return false;
        bytes += good;
        len -= good;
        if (len == 0)
            break;
        bad = lls_ill_formed_len(bytes, len);
        if (!lls_buf_put(out, LLS_REPLACEMENT, 3))
            return false;
        bytes += bad;
        len -= bad;
    }
    return true;
}

/* Makes the bytes from out->data + from UTF-8. */
static bool mend(lls_buf_t *out, size_t from)
{
    lls_buf_t tail = { out->mem, NULL, 0, 0 };
    bool      ok;

    if (from < out->len)                    /* without bytes there may be no memory */
        from += lls_utf8_valid(out->data + from, out->len - from);
    if (from == out->len)
        return true;
    ok = lls_buf_put(&tail, out->data + from, out->len - from);
    out->len = from;
    ok = ok && lls_put_lossy(out, tail.data, tail.len);
    lls_buf_deinit(&tail);
    return ok;
}

/* What an id gives.  Most is short, and a copy of SHORT bytes is quicker than one of its length. */
static inline bool put_text(lls_buf_t *out, const lls_decoder_t *d, const lls_dec_entry_t *e)
{
    if (!lls_buf_room(out, e->len + SHORT))
        return false;
    if (e->len <= SHORT)
        memcpy(out->data + out->len, d->bytes.data + e->off, SHORT);
    else
        memcpy(out->data + out->len, d->bytes.data + e->off, e->len);
    out->len += e->len;
    return true;
}

/* The byte tokens from out->data + from: their text, or U+FFFD for each. */
static bool end_run(lls_buf_t *out, size_t from)
{
    size_t n = out->len - from;

    if (lls_utf8_valid(out->data + from, n) == n)
        return true;
    out->len = from;
    for (size_t i = 0; i < n; i++)
        if (!lls_buf_put(out, LLS_REPLACEMENT, 3))
            return false;
    return true;
}

static void strip_start(const lls_decoder_t *d, lls_buf_t *out, size_t from)
{
    size_t n = d->strip_len, at = from;

    for (uint32_t i = 0; i < d->strip_n; i++)
        if (out->len - at >= n && memcmp(out->data + at, d->strip_char, n) == 0)
            at += n;
    if (at != from)
        memmove(out->data + from, out->data + at, out->len - at);
    out->len -= at - from;
}

static bool run_fallback(const lls_decoder_t *d, const int32_t *ids, size_t n, bool skip,
                         lls_buf_t *out)
{
    size_t start = out->len, run = SIZE_MAX;

    for (size_t i = 0; i < n; i++) {
        const lls_dec_entry_t *e = lls_decoder_entry(d, ids[i]);
        bool                   byte;

        if (e == NULL || (skip && (e->flags & LLS_DEC_SPECIAL) != 0))
            continue;
        byte = (e->flags & LLS_DEC_BYTE) != 0;
        if (!byte && run != SIZE_MAX) {
            if (!end_run(out, run))
                return false;
            run = SIZE_MAX;
        } else if (byte && run == SIZE_MAX) {
            run = out->len;
        }
        if (!put_text(out, d, e))
            return false;
    }
    if (run != SIZE_MAX && !end_run(out, run))
        return false;
    if (d->strip_n != 0 && out->len != start)
        strip_start(d, out, start);
    return true;
}

static bool run_bytes(const lls_decoder_t *d, const int32_t *ids, size_t n, bool skip,
                      lls_buf_t *out)
{
    size_t start = out->len;

    for (size_t i = 0; i < n; i++) {
        const lls_dec_entry_t *e = lls_decoder_entry(d, ids[i]);

        if (e != NULL && !(skip && (e->flags & LLS_DEC_SPECIAL) != 0) && !put_text(out, d, e))
            return false;
    }
    return mend(out, start);
}

static bool run_pieces(const lls_decoder_t *d, const int32_t *ids, size_t n, bool skip,
                       lls_buf_t *out)
{
    bool first = true;

    for (size_t i = 0; i < n; i++) {
        const lls_dec_entry_t *e = lls_decoder_entry(d, ids[i]);

        if (e == NULL || (skip && (e->flags & LLS_DEC_SPECIAL) != 0))
            continue;
        if (first)
            e = &d->firsts[ids[i]];
        first = false;
        if (!put_text(out, d, e))
            return false;
    }
    return true;
}

static llm_status_t run_chain(const lls_decoder_t *d, const lls_pattern_ctx_t *ctx,
                              const int32_t *ids, size_t n, bool skip, lls_buf_t *out)
{
    lls_chain_t  c;
    llm_status_t st = LLM_OK;

    lls_chain_init(&c, out->mem);
    for (size_t i = 0; st == LLM_OK && i < n; i++) {
        const lls_dec_entry_t *e = lls_decoder_entry(d, ids[i]);

        if (e != NULL && !(skip && (e->flags & LLS_DEC_SPECIAL) != 0) &&
            !lls_chain_add(&c, d->bytes.data + e->off, e->len))
            st = no_memory(ctx);
    }
    if (st == LLM_OK)
        st = lls_chain_run(&c, d->steps, d->n_steps, ctx);
    if (st == LLM_OK && !lls_buf_put(out, c.text[c.at].data, c.text[c.at].len))
        st = no_memory(ctx);
    lls_chain_deinit(&c);
    return st;
}

llm_status_t lls_decoder_run(const lls_decoder_t *d, const lls_pattern_ctx_t *ctx,
                             const int32_t *ids, size_t n, bool skip_special, lls_buf_t *out)
{
    bool ok;

    switch (d->kind) {
    case LLS_DECODER_BYTES: ok = run_bytes(d, ids, n, skip_special, out); break;
    case LLS_DECODER_FALLBACK: ok = run_fallback(d, ids, n, skip_special, out); break;
    case LLS_DECODER_PIECES: ok = run_pieces(d, ids, n, skip_special, out); break;
    default: return run_chain(d, ctx, ids, n, skip_special, out);
    }
    return ok ? LLM_OK : no_memory(ctx);
}
