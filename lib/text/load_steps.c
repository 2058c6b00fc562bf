/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a tokenizer.json: normalizer, pre_tokenizer, post_processor, decoder.
 */
#include "text/load_int.h"

#include <stdio.h>

#include "base/utf8.h"

typedef llm_status_t (*load_fn)(lls_load_t *l, const json_t *o);

typedef struct load_kind {
    const char *type;
    load_fn     load;
} load_kind_t;

/* ---- Reading --------------------------------------------------------------------------------- */

llm_status_t lls_load_fail(const lls_load_t *l, llm_status_t status, const char *key,
                           const char *reason)
{
    return lls_fail(l->err, status, "%s: %s%s%s: %s", l->path, l->where,
                    l->where[0] != '\0' && key[0] != '\0' ? "." : "", key, reason);
}

llm_status_t lls_load_no_memory(const lls_load_t *l)
{
    return lls_fail(l->err, LLM_ERR_NO_MEMORY, "%s: no memory for the tokenizer", l->path);
}

size_t lls_load_enter(lls_load_t *l, const char *key, size_t index)
{
    size_t len = strlen(l->where);

    if (key != NULL)
        snprintf(l->where + len, sizeof l->where - len, "%s%s", len != 0 ? "." : "", key);
    else
        snprintf(l->where + len, sizeof l->where - len, "[%zu]", index);
    return len;
}

void lls_load_leave(lls_load_t *l, size_t len)
{
    l->where[len] = '\0';
}

llm_status_t lls_load_bool(const lls_load_t *l, const json_t *o, const char *key, bool def,
                           bool *out)
{
    const json_t *v = json_object_get(o, key);

    *out = def;
    if (v == NULL || json_is_null(v))
        return LLM_OK;
    if (!json_is_boolean(v))
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "must be true or false");
    *out = json_is_true(v);
    return LLM_OK;
}

llm_status_t lls_load_str(const lls_load_t *l, const json_t *o, const char *key, const char **text,
                          size_t *len)
{
    const json_t *v = json_object_get(o, key);

    *text = NULL;
    *len = 0;
    if (v == NULL || json_is_null(v))
        return LLM_OK;
    if (!json_is_string(v))
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "must be a string");
    *text = json_string_value(v);
    *len = json_string_length(v);
    return LLM_OK;
}

llm_status_t lls_load_need_str(const lls_load_t *l, const json_t *o, const char *key,
                               const char **text, size_t *len)
{
    llm_status_t st = lls_load_str(l, o, key, text, len);

    return st == LLM_OK && *text == NULL ? lls_load_fail(l, LLM_ERR_FORMAT, key, "is missing") : st;
}

static llm_status_t dispatch(lls_load_t *l, const json_t *o, const load_kind_t *kinds, size_t n)
{
    const char  *type;
    size_t       len;
    llm_status_t st;

    if (!json_is_object(o))
        return lls_load_fail(l, LLM_ERR_FORMAT, "", "must be an object");
    st = lls_load_need_str(l, o, "type", &type, &len);
    if (st != LLM_OK)
        return st;
    if (l->depth >= LLS_LOAD_MAX_DEPTH)
        return lls_load_fail(l, LLM_ERR_FORMAT, "", "is nested too deeply");
    for (size_t i = 0; i < n; i++) {
        if (strcmp(kinds[i].type, type) != 0)
            continue;
        l->depth++;
        st = kinds[i].load(l, o);
        l->depth--;
        return st;
    }
    return lls_fail(l->err, LLM_ERR_UNSUPPORTED, "%s: %s.type: %.60s is not supported", l->path,
                    l->where, type);
}

static llm_status_t sequence(lls_load_t *l, const json_t *o, const char *key,
                             llm_status_t (*load)(lls_load_t *l, const json_t *o))
{
    const json_t *list = json_object_get(o, key);
    llm_status_t  st = LLM_OK;

    if (!json_is_array(list))
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "must be an array");
    for (size_t i = 0; st == LLM_OK && i < json_array_size(list); i++) {
        size_t outer = lls_load_enter(l, key, 0);

        lls_load_enter(l, NULL, i);
        st = load(l, json_array_get(list, i));
        lls_load_leave(l, outer);
    }
    return st;
}

/* {"String": s} or {"Regex": s} */
static llm_status_t load_pattern(lls_load_t *l, const json_t *o, bool plain, lls_pattern_t *out)
{
    const json_t *p = json_object_get(o, "pattern");
    const json_t *literal = json_object_get(p, "String"), *regex = json_object_get(p, "Regex");
    char          where[256];

    if (json_is_string(literal) && json_string_length(literal) != 0)
        return lls_pattern_literal(out, l->t->mem, json_string_value(literal),
                                   json_string_length(literal), l->err);
    if (!json_is_string(regex))
        return lls_load_fail(l, LLM_ERR_FORMAT, "pattern",
                             "must be {\"String\": ..} or {\"Regex\": ..}");
    snprintf(where, sizeof where, "%.120s: %.100s.pattern", l->path, l->where);
    return lls_pattern_regex(out, l->t->mem, where, json_string_value(regex),
                             json_string_length(regex), plain, l->err);
}

/* ---- Normalizers ----------------------------------------------------------------------------- */

static llm_status_t norm_nfc(lls_load_t *l, const json_t *o)
{
    lls_norm_t *s = lls_tokenizer_new_norm(l->t);

    (void)o;
    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_NORM_NFC;
    return LLM_OK;
}

static llm_status_t norm_text(lls_load_t *l, const json_t *o, const char *key, uint8_t kind,
                              lls_norm_t **out)
{
    lls_norm_t  *s = lls_tokenizer_new_norm(l->t);
    const char  *text;
    size_t       len;
    llm_status_t st;

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = kind;
    *out = s;
    st = lls_load_need_str(l, o, key, &text, &len);
    if (st != LLM_OK)
        return st;
    s->len = len;
    s->text = lls_strndup(l->t->mem, text, len);
    return s->text != NULL ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t norm_replace(lls_load_t *l, const json_t *o)
{
    lls_norm_t  *s = NULL;
    llm_status_t st = norm_text(l, o, "content", LLS_NORM_REPLACE, &s);

    return st == LLM_OK ? load_pattern(l, o, false, &s->pattern) : st;
}

static llm_status_t norm_prepend(lls_load_t *l, const json_t *o)
{
    lls_norm_t *s = NULL;

    return norm_text(l, o, "prepend", LLS_NORM_PREPEND, &s);
}

static llm_status_t norm_sequence(lls_load_t *l, const json_t *o)
{
    return sequence(l, o, "normalizers", lls_load_normalizer);
}

llm_status_t lls_load_normalizer(lls_load_t *l, const json_t *o)
{
    static const load_kind_t kinds[] = {
        { "NFC", norm_nfc }, { "Replace", norm_replace }, { "Prepend", norm_prepend },
        { "Sequence", norm_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK : dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}

/* ---- Pre-tokenizers -------------------------------------------------------------------------- */

static llm_status_t load_behavior(const lls_load_t *l, const json_t *o, const char *def,
                                  uint8_t *out)
{
    /* ORDER split behavior */
    static const char *const names[] = { "Removed", "Isolated", "MergedWithPrevious",
                                         "MergedWithNext", "Contiguous" };
    const char  *name;
    size_t       len;
    llm_status_t st = lls_load_str(l, o, "behavior", &name, &len);

    if (st == LLM_OK && name == NULL)
        name = def;
    for (uint8_t i = 0; st == LLM_OK && name != NULL && i < LLS_ARRAY_LEN(names); i++) {
        if (strcmp(names[i], name) != 0)
            continue;
        *out = i;
        return LLM_OK;
    }
    return st != LLM_OK ? st : lls_load_fail(l, LLM_ERR_FORMAT, "behavior", "is no split behavior");
}

static llm_status_t pre_bytelevel(lls_load_t *l, const json_t *o)
{
    bool         prefix, regex;
    llm_status_t st = lls_load_bool(l, o, "add_prefix_space", true, &prefix);

    if (st == LLM_OK)
        st = lls_load_bool(l, o, "use_regex", true, &regex);
    return st == LLM_OK ? lls_tokenizer_add_bytelevel(l->t, l->path, prefix, regex, l->err) : st;
}

static llm_status_t pre_split(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);
    llm_status_t  st;

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_SPLIT;
    st = load_behavior(l, o, NULL, &s->behavior);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "invert", false, &s->invert);
    return st == LLM_OK ? load_pattern(l, o, s->mapped, &s->pattern) : st;
}

static llm_status_t pre_digits(lls_load_t *l, const json_t *o)
{
    bool         individual;
    llm_status_t st = lls_load_bool(l, o, "individual_digits", false, &individual);

    if (st != LLM_OK)
        return st;
    return lls_tokenizer_add_class(l->t, LLS_UC_NUMERIC,
                                   individual ? LLS_SPLIT_ISOLATED : LLS_SPLIT_CONTIGUOUS, l->err);
}

static llm_status_t pre_punctuation(lls_load_t *l, const json_t *o)
{
    uint8_t      behavior;
    llm_status_t st = load_behavior(l, o, "Isolated", &behavior);

    return st == LLM_OK ? lls_tokenizer_add_class(l->t, LLS_UC_PUNCT, behavior, l->err) : st;
}

static llm_status_t load_scheme(const lls_load_t *l, const json_t *o, uint8_t *out)
{
    /* ORDER prepend scheme */
    static const char *const names[] = { "always", "first", "never" };
    const json_t *legacy = json_object_get(o, "add_prefix_space");
    const char   *name;
    size_t        len;
    llm_status_t  st = lls_load_str(l, o, "prepend_scheme", &name, &len);
    uint8_t       i = 0;

    if (st != LLM_OK)
        return st;
    while (name != NULL && i < LLS_ARRAY_LEN(names) && strcmp(names[i], name) != 0)
        i++;
    if (i == LLS_ARRAY_LEN(names))
        return lls_load_fail(l, LLM_ERR_FORMAT, "prepend_scheme", "is not always, first or never");
    *out = i;
    if (json_is_false(legacy) && name != NULL && i != LLS_PREPEND_NEVER)
        return lls_load_fail(l, LLM_ERR_FORMAT, "add_prefix_space", "contradicts prepend_scheme");
    if (json_is_false(legacy))
        *out = LLS_PREPEND_NEVER;
    return LLM_OK;
}

static llm_status_t pre_metaspace(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);
    const char   *text;
    size_t        len;
    uint32_t      cp;
    llm_status_t  st;

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_METASPACE;
    if (s->mapped)
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "", "Metaspace behind ByteLevel");
    st = lls_load_need_str(l, o, "replacement", &text, &len);
    if (st == LLM_OK && (len == 0 || lls_utf8_decode(text, len, &cp) != len))
        st = lls_load_fail(l, LLM_ERR_FORMAT, "replacement", "must be one character");
    if (st == LLM_OK)
        st = load_scheme(l, o, &s->scheme);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "split", true, &s->split);
    return st == LLM_OK ? lls_pattern_literal(&s->pattern, l->t->mem, text, len, l->err) : st;
}

static llm_status_t pre_sequence(lls_load_t *l, const json_t *o)
{
    return sequence(l, o, "pretokenizers", lls_load_pre_tokenizer);
}

llm_status_t lls_load_pre_tokenizer(lls_load_t *l, const json_t *o)
{
    static const load_kind_t kinds[] = {
        { "ByteLevel", pre_bytelevel }, { "Split", pre_split }, { "Digits", pre_digits },
        { "Punctuation", pre_punctuation }, { "Metaspace", pre_metaspace },
        { "Sequence", pre_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK : dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}

/* ---- Post-processors ------------------------------------------------------------------------- */

static bool prepend_ids(lls_ids_t *to, const lls_ids_t *more)
{
    if (!lls_ids_room(to, more->n))
        return false;
    if (to->n != 0)
        memmove(to->data + more->n, to->data, to->n * sizeof *to->data);
    if (more->n != 0)
        memcpy(to->data, more->data, more->n * sizeof *to->data);
    to->n += more->n;
    return true;
}

static llm_status_t template_ids(const lls_load_t *l, const json_t *tokens, const json_t *special,
                                 lls_ids_t *out)
{
    const json_t *name = json_object_get(special, "id");
    const json_t *ids = json_object_get(
        json_is_string(name) ? json_object_get(tokens, json_string_value(name)) : NULL, "ids");

    if (!json_is_array(ids))
        return lls_load_fail(l, LLM_ERR_FORMAT, "special_tokens", "lacks a token of the template");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const json_t *id = json_array_get(ids, i);
        json_int_t    v = json_is_integer(id) ? json_integer_value(id) : -1;

        if (v < 0 || v > INT32_MAX)
            return lls_load_fail(l, LLM_ERR_FORMAT, "special_tokens", "an id is no token id");
        if (!lls_ids_put(out, (int32_t)v))
            return lls_load_no_memory(l);
    }
    return LLM_OK;
}

static llm_status_t template_items(const lls_load_t *l, const json_t *o, lls_ids_t *before,
                                   lls_ids_t *after)
{
    const json_t *single = json_object_get(o, "single"),
                 *tokens = json_object_get(o, "special_tokens");
    bool          seen = false;

    if (!json_is_array(single))
        return lls_load_fail(l, LLM_ERR_FORMAT, "single", "must be an array");
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *item = json_array_get(single, i);
        const json_t *special = json_object_get(item, "SpecialToken");
        llm_status_t  st;

        if (special == NULL) {
            if (seen || json_object_get(item, "Sequence") == NULL)
                return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "single", "must hold one Sequence");
            seen = true;
            continue;
        }
        st = template_ids(l, tokens, special, seen ? after : before);
        if (st != LLM_OK)
            return st;
    }
    return seen ? LLM_OK
                : lls_load_fail(l, LLM_ERR_UNSUPPORTED, "single", "must hold one Sequence");
}

static llm_status_t post_template(lls_load_t *l, const json_t *o)
{
    lls_ids_t    before = { l->t->mem, NULL, 0, 0 }, after = { l->t->mem, NULL, 0, 0 };
    llm_status_t st = template_items(l, o, &before, &after);

    if (st == LLM_OK && !prepend_ids(&l->t->prefix, &before))
        st = lls_load_no_memory(l);
    for (size_t i = 0; st == LLM_OK && i < after.n; i++)
        if (!lls_ids_put(&l->t->suffix, after.data[i]))
            st = lls_load_no_memory(l);
    lls_free(l->t->mem, before.data);
    lls_free(l->t->mem, after.data);
    return st;
}

static llm_status_t post_bytelevel(lls_load_t *l, const json_t *o)
{
    (void)l, (void)o;                   /* changes offsets only */
    return LLM_OK;
}

static llm_status_t post_sequence(lls_load_t *l, const json_t *o)
{
    return sequence(l, o, "processors", lls_load_post_processor);
}

llm_status_t lls_load_post_processor(lls_load_t *l, const json_t *o)
{
    static const load_kind_t kinds[] = {
        { "TemplateProcessing", post_template }, { "ByteLevel", post_bytelevel },
        { "Sequence", post_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK : dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}

/* ---- Decoders -------------------------------------------------------------------------------- */

/* Steps of a SentencePiece chain come in this order; each is known by how far the chain has got. */
enum { CHAIN_REPLACE, CHAIN_FALLBACK, CHAIN_FUSE, CHAIN_STRIP, CHAIN_END };

static llm_status_t chain_step(const lls_load_t *l, int *at, int step)
{
    if (l->t->decoder.kind == LLS_DECODER_BYTES || *at > step)
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "", "this order of decoders");
    l->t->decoder.kind = LLS_DECODER_FALLBACK;
    *at = step;
    return LLM_OK;
}

static llm_status_t dec_replace(const lls_load_t *l, const json_t *o)
{
    const json_t *pattern = json_object_get(json_object_get(o, "pattern"), "String");
    const char   *text;
    size_t        len;
    llm_status_t  st = lls_load_need_str(l, o, "content", &text, &len);

    if (st != LLM_OK)
        return st;
    if (!json_is_string(pattern) || json_string_length(pattern) == 0)
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "pattern", "must be {\"String\": ..}");
    return lls_decoder_add_replace(&l->t->decoder, json_string_value(pattern),
                                   json_string_length(pattern), text, len)
               ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t dec_strip(const lls_load_t *l, const json_t *o)
{
    const json_t *start = json_object_get(o, "start"), *stop = json_object_get(o, "stop");
    const char   *text;
    size_t        len;
    llm_status_t  st = lls_load_need_str(l, o, "content", &text, &len);

    if (st != LLM_OK)
        return st;
    if (len == 0 || lls_utf8_decode(text, len, &l->t->decoder.strip_char) != len)
        return lls_load_fail(l, LLM_ERR_FORMAT, "content", "must be one character");
    if (!json_is_integer(start) || json_integer_value(start) < 0 || json_integer_value(start) > 1)
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "start", "must be 0 or 1");
    if (!json_is_integer(stop) || json_integer_value(stop) != 0)
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "stop", "must be 0");
    l->t->decoder.strip_n = (uint32_t)json_integer_value(start);
    return LLM_OK;
}

static llm_status_t decoder_step(lls_load_t *l, const json_t *o, int *at)
{
    const char  *type;
    size_t       len;
    llm_status_t st = lls_load_need_str(l, o, "type", &type, &len);

    if (st != LLM_OK)
        return st;
    if (strcmp(type, "ByteLevel") == 0 && l->t->decoder.kind == LLS_DECODER_NONE) {
        l->t->decoder.kind = LLS_DECODER_BYTES;
        return LLM_OK;
    }
    if (strcmp(type, "Replace") == 0) {
        st = chain_step(l, at, CHAIN_REPLACE);
        return st == LLM_OK ? dec_replace(l, o) : st;
    }
    if (strcmp(type, "ByteFallback") == 0) {
        l->t->decoder.byte_fallback = true;
        return chain_step(l, at, CHAIN_FALLBACK);
    }
    if (strcmp(type, "Fuse") == 0)
        return chain_step(l, at, CHAIN_FUSE);
    if (strcmp(type, "Strip") == 0 && *at == CHAIN_FUSE) {
        st = chain_step(l, at, CHAIN_STRIP);
        *at = CHAIN_END;
        return st == LLM_OK ? dec_strip(l, o) : st;
    }
    return lls_fail(l->err, LLM_ERR_UNSUPPORTED, "%s: %s.type: %.60s is not supported here",
                    l->path, l->where, type);
}

llm_status_t lls_load_decoder(lls_load_t *l, const json_t *o)
{
    const json_t *list = json_object_get(o, "decoders");
    const json_t *type = json_object_get(o, "type");
    int           at = CHAIN_REPLACE;
    llm_status_t  st = LLM_OK;

    if (o == NULL || json_is_null(o))
        return lls_load_fail(l, LLM_ERR_UNSUPPORTED, "", "tokenizers without a decoder");
    if (!json_is_string(type) || strcmp(json_string_value(type), "Sequence") != 0)
        return decoder_step(l, o, &at);
    if (!json_is_array(list) || json_array_size(list) == 0)
        return lls_load_fail(l, LLM_ERR_FORMAT, "decoders", "must be an array with steps");
    for (size_t i = 0; st == LLM_OK && i < json_array_size(list); i++) {
        size_t outer = lls_load_enter(l, "decoders", 0);

        lls_load_enter(l, NULL, i);
        st = decoder_step(l, json_array_get(list, i), &at);
        lls_load_leave(l, outer);
    }
    return st;
}
