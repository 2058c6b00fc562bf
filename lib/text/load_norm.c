/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key normalizer of a tokenizer.json.
 */
#include "text/load_int.h"

static llm_status_t add_norm(lls_load_t *l, uint8_t kind, lls_norm_t **out)
{
    *out = lls_tokenizer_new_norm(l->t);
    if (*out == NULL)
        return lls_load_no_memory(l);
    (*out)->kind = kind;
    return LLM_OK;
}

/* A step that is nothing but its kind. */
static llm_status_t plain(lls_load_t *l, uint8_t kind)
{
    lls_norm_t *s;

    return add_norm(l, kind, &s);
}

static llm_status_t norm_nfc(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_NFC);
}

static llm_status_t norm_nfd(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_NFD);
}

static llm_status_t norm_nfkc(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_NFKC);
}

static llm_status_t norm_nfkd(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_NFKD);
}

static llm_status_t norm_lowercase(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_LOWER);
}

static llm_status_t norm_strip_accents(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_STRIP_ACCENTS);
}

static llm_status_t norm_nmt(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_NMT);
}

static llm_status_t norm_bytelevel(lls_load_t *l, const json_t *o)
{
    (void)o;
    return plain(l, LLS_NORM_BYTES);
}

static llm_status_t norm_replace(lls_load_t *l, const json_t *o)
{
    lls_norm_t  *s;
    llm_status_t st = add_norm(l, LLS_NORM_REPLACE, &s);

    if (st == LLM_OK)
        st = lls_load_copy(l, o, "content", &s->text, &s->len);
    return st == LLM_OK ? lls_load_pattern(l, o, false, &s->pattern) : st;
}

static llm_status_t norm_prepend(lls_load_t *l, const json_t *o)
{
    lls_norm_t  *s;
    llm_status_t st = add_norm(l, LLS_NORM_PREPEND, &s);

    return st == LLM_OK ? lls_load_copy(l, o, "prepend", &s->text, &s->len) : st;
}

static llm_status_t norm_strip(lls_load_t *l, const json_t *o)
{
    lls_norm_t  *s;
    llm_status_t st = add_norm(l, LLS_NORM_STRIP, &s);

    if (st == LLM_OK)
        st = lls_load_bool(l, o, "strip_left", true, &s->left);
    return st == LLM_OK ? lls_load_bool(l, o, "strip_right", true, &s->right) : st;
}

static llm_status_t norm_bert(lls_load_t *l, const json_t *o)
{
    bool         clean, chinese, accents, lower;
    llm_status_t st = lls_load_bool(l, o, "clean_text", true, &clean);

    if (st == LLM_OK)
        st = lls_load_bool(l, o, "handle_chinese_chars", true, &chinese);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "lowercase", true, &lower);
    if (st == LLM_OK)                           /* null means what lowercase says */
        st = lls_load_bool(l, o, "strip_accents", lower, &accents);
    if (st == LLM_OK && clean)
        st = plain(l, LLS_NORM_BERT_CLEAN);
    if (st == LLM_OK && chinese)
        st = plain(l, LLS_NORM_BERT_CHINESE);
    if (st == LLM_OK && accents)
        st = plain(l, LLS_NORM_NFD);
    if (st == LLM_OK && accents)
        st = plain(l, LLS_NORM_BERT_ACCENTS);
    return st == LLM_OK && lower ? plain(l, LLS_NORM_LOWER) : st;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool lls_base64(const char *text, size_t len, lls_buf_t *out)
{
    uint32_t bits = 0, n = 0;

    while (len > 0 && text[len - 1] == '=')
        len--;
    for (size_t i = 0; i < len; i++) {
        int  v = base64_value(text[i]);
        char byte;

        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
        n += 6;
        if (n < 8)
            continue;
        n -= 8;
        byte = (char)(bits >> n);
        if (!lls_buf_put(out, &byte, 1))
            return false;
    }
    return true;
}

static llm_status_t norm_precompiled(lls_load_t *l, const json_t *o)
{
    lls_buf_t    bytes = { l->t->mem, NULL, 0, 0 };
    const char  *text;
    size_t       len;
    lls_norm_t  *s;
    llm_status_t st = lls_load_str(l, o, "precompiled_charsmap", &text, &len);

    if (st == LLM_OK)
        st = add_norm(l, LLS_NORM_PRECOMPILED, &s);
    if (st == LLM_OK && !lls_buf_room(&bytes, len / 4 * 3 + 4))
        st = lls_load_no_memory(l);
    if (st == LLM_OK && text != NULL && !lls_base64(text, len, &bytes))
        st = lls_load_fail(l, LLM_ERR_FORMAT, "precompiled_charsmap", "is not base64");
    if (st == LLM_OK)
        st = lls_charsmap_init(&s->charsmap, l->t->mem, l->path, (const uint8_t *)bytes.data,
                               bytes.len, l->err);
    lls_buf_deinit(&bytes);
    return st;
}

static llm_status_t norm_sequence(lls_load_t *l, const json_t *o)
{
    return lls_load_sequence(l, o, "normalizers", lls_load_normalizer);
}

llm_status_t lls_load_normalizer(lls_load_t *l, const json_t *o)
{
    static const lls_load_kind_t kinds[] = {
        { "NFC", norm_nfc }, { "NFD", norm_nfd }, { "NFKC", norm_nfkc }, { "NFKD", norm_nfkd },
        { "Replace", norm_replace }, { "Prepend", norm_prepend }, { "Strip", norm_strip },
        { "Lowercase", norm_lowercase }, { "StripAccents", norm_strip_accents },
        { "Nmt", norm_nmt }, { "BertNormalizer", norm_bert }, { "ByteLevel", norm_bytelevel },
        { "Precompiled", norm_precompiled }, { "Sequence", norm_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK
                                        : lls_load_dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}
