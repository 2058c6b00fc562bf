/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key decoder of a tokenizer.json.
 */
#include "text/load_int.h"

#include "base/utf8.h"

static llm_status_t add_step(lls_load_t *l, uint8_t kind, lls_dec_step_t **out)
{
    *out = lls_decoder_add(&l->t->decoder, kind);
    return *out != NULL ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t plain(lls_load_t *l, uint8_t kind)
{
    lls_dec_step_t *s;

    return add_step(l, kind, &s);
}

static llm_status_t dec_bytelevel(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_DSTEP_BYTE_LEVEL);
}

static llm_status_t dec_fallback(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_DSTEP_BYTE_FALLBACK);
}

static llm_status_t dec_fuse(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_DSTEP_FUSE);
}

static llm_status_t dec_replace(lls_load_t *l, const json_t *o)
{
    lls_dec_step_t *s;
    llm_status_t    st = add_step(l, LLS_DSTEP_REPLACE, &s);

    if (st == LLM_OK)
        st = lls_load_copy(l, o, "content", &s->a, &s->a_len);
    return st == LLM_OK ? lls_load_pattern(l, o, false, &s->pattern) : st;
}

/* A copy of o.key or of def, not empty. */
static llm_status_t take_text(const lls_load_t *l, const json_t *o, const char *key,
                              const char *def, char **text, size_t *len)
{
    const char  *p;
    llm_status_t st = lls_load_str(l, o, key, &p, len);

    if (st == LLM_OK && p == NULL) {
        p = def;
        *len = strlen(def);
    }
    if (st == LLM_OK && *len == 0)
        st = lls_load_fail(l, LLM_ERR_FORMAT, key, "must not be empty");
    if (st != LLM_OK)
        return st;
    *text = lls_strndup(l->t->mem, p, *len);
    return *text != NULL ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t one_char(const lls_load_t *l, const lls_dec_step_t *s, const char *key)
{
    uint32_t cp;

    return lls_utf8_decode(s->a, s->a_len, &cp) == s->a_len
               ? LLM_OK : lls_load_fail(l, LLM_ERR_FORMAT, key, "must be one character");
}

static llm_status_t dec_strip(lls_load_t *l, const json_t *o)
{
    lls_dec_step_t *s;
    uint64_t        start = 0, stop = 0;
    llm_status_t    st = add_step(l, LLS_DSTEP_STRIP, &s);

    if (st == LLM_OK)
        st = take_text(l, o, "content", "", &s->a, &s->a_len);
    if (st == LLM_OK)
        st = one_char(l, s, "content");
    if (st == LLM_OK)
        st = lls_load_count(l, o, "start", -1, UINT32_MAX, &start);
    if (st == LLM_OK)
        st = lls_load_count(l, o, "stop", -1, UINT32_MAX, &stop);
    if (st == LLM_OK) {
        s->start = (uint32_t)start;
        s->stop = (uint32_t)stop;
    }
    return st;
}

static llm_status_t dec_metaspace(lls_load_t *l, const json_t *o)
{
    lls_dec_step_t *s;
    uint8_t         scheme = LLS_PREPEND_ALWAYS;
    llm_status_t    st = add_step(l, LLS_DSTEP_METASPACE, &s);

    if (st == LLM_OK)
        st = take_text(l, o, "replacement", "", &s->a, &s->a_len);
    if (st == LLM_OK)
        st = one_char(l, s, "replacement");
    if (st == LLM_OK)
        st = lls_load_scheme(l, o, &scheme);
    if (st == LLM_OK)
        s->flag = scheme != LLS_PREPEND_NEVER;
    return st;
}

static llm_status_t dec_wordpiece(lls_load_t *l, const json_t *o)
{
    lls_dec_step_t *s;
    llm_status_t    st = add_step(l, LLS_DSTEP_WORDPIECE, &s);

    if (st == LLM_OK)
        st = lls_load_copy(l, o, "prefix", &s->a, &s->a_len);
    return st == LLM_OK ? lls_load_bool(l, o, "cleanup", true, &s->flag) : st;
}

static llm_status_t dec_bpe(lls_load_t *l, const json_t *o)
{
    lls_dec_step_t *s;
    llm_status_t    st = add_step(l, LLS_DSTEP_BPE, &s);

    return st == LLM_OK ? take_text(l, o, "suffix", "</w>", &s->a, &s->a_len) : st;
}

static llm_status_t dec_ctc(lls_load_t *l, const json_t *o)
{
    lls_dec_step_t *s;
    llm_status_t    st = add_step(l, LLS_DSTEP_CTC, &s);

    if (st == LLM_OK)
        st = take_text(l, o, "pad_token", "<pad>", &s->a, &s->a_len);
    if (st == LLM_OK)
        st = take_text(l, o, "word_delimiter_token", "|", &s->b, &s->b_len);
    return st == LLM_OK ? lls_load_bool(l, o, "cleanup", true, &s->flag) : st;
}

static llm_status_t dec_sequence(lls_load_t *l, const json_t *o)
{
    return lls_load_sequence(l, o, "decoders", lls_load_decoder);
}

llm_status_t lls_load_decoder(lls_load_t *l, const json_t *o)
{
    static const lls_load_kind_t kinds[] = {
        { "ByteLevel", dec_bytelevel }, { "Replace", dec_replace },
        { "ByteFallback", dec_fallback }, { "Fuse", dec_fuse }, { "Strip", dec_strip },
        { "Metaspace", dec_metaspace }, { "WordPiece", dec_wordpiece },
        { "BPEDecoder", dec_bpe }, { "CTC", dec_ctc }, { "Sequence", dec_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK
                                        : lls_load_dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}
