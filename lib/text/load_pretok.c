/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key pre_tokenizer of a tokenizer.json.
 */
#include "text/load_int.h"

#include "base/utf8.h"

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
    return st == LLM_OK ? lls_load_pattern(l, o, s->mapped, &s->pattern) : st;
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

llm_status_t lls_load_scheme(const lls_load_t *l, const json_t *o, uint8_t *out)
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

/* The literal o.key, which is one character. */
static llm_status_t load_char(const lls_load_t *l, const json_t *o, const char *key,
                              lls_pattern_t *out)
{
    const char  *text;
    size_t       len;
    uint32_t     cp;
    llm_status_t st = lls_load_need_str(l, o, key, &text, &len);

    if (st == LLM_OK && (len == 0 || lls_utf8_decode(text, len, &cp) != len))
        st = lls_load_fail(l, LLM_ERR_FORMAT, key, "must be one character");
    return st == LLM_OK ? lls_pattern_literal(out, l->t->mem, text, len, l->err) : st;
}

static llm_status_t pre_metaspace(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);
    llm_status_t  st;

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_METASPACE;
    st = load_char(l, o, "replacement", &s->pattern);
    if (st == LLM_OK)
        st = lls_load_scheme(l, o, &s->scheme);
    return st == LLM_OK ? lls_load_bool(l, o, "split", true, &s->split) : st;
}

static llm_status_t pre_whitespace(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);

    (void)o;
    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_SPLIT;
    s->pattern.kind = LLS_PAT_WORDS;
    s->behavior = LLS_SPLIT_REMOVED;
    s->invert = true;
    return LLM_OK;
}

static llm_status_t pre_whitespace_split(lls_load_t *l, const json_t *o)
{
    (void)o;
    return lls_tokenizer_add_class(l->t, LLS_UC_SPACE, LLS_SPLIT_REMOVED, l->err);
}

static llm_status_t pre_bert(lls_load_t *l, const json_t *o)
{
    (void)o;
    return lls_tokenizer_add_bert(l->t, l->err);
}

static llm_status_t pre_delimiter(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_SPLIT;
    s->behavior = LLS_SPLIT_REMOVED;
    return load_char(l, o, "delimiter", &s->pattern);
}

static llm_status_t pre_scripts(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);

    (void)o;
    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_SCRIPTS;
    return LLM_OK;
}

static llm_status_t pre_fixed(lls_load_t *l, const json_t *o)
{
    lls_pretok_t *s = lls_tokenizer_new_pretok(l->t);
    llm_status_t  st;

    if (s == NULL)
        return lls_load_no_memory(l);
    s->kind = LLS_PRETOK_FIXED;
    st = lls_load_count(l, o, "length", 5, INT32_MAX, &s->length);
    return st == LLM_OK && s->length == 0
               ? lls_load_fail(l, LLM_ERR_FORMAT, "length", "must be at least 1") : st;
}

static llm_status_t pre_sequence(lls_load_t *l, const json_t *o)
{
    return lls_load_sequence(l, o, "pretokenizers", lls_load_pre_tokenizer);
}

llm_status_t lls_load_pre_tokenizer(lls_load_t *l, const json_t *o)
{
    static const lls_load_kind_t kinds[] = {
        { "ByteLevel", pre_bytelevel }, { "Split", pre_split }, { "Digits", pre_digits },
        { "Punctuation", pre_punctuation }, { "Metaspace", pre_metaspace },
        { "Whitespace", pre_whitespace }, { "WhitespaceSplit", pre_whitespace_split },
        { "BertPreTokenizer", pre_bert }, { "CharDelimiterSplit", pre_delimiter },
        { "UnicodeScripts", pre_scripts }, { "FixedLength", pre_fixed },
        { "Sequence", pre_sequence },
    };

    return json_is_null(o) || o == NULL ? LLM_OK
                                        : lls_load_dispatch(l, o, kinds, LLS_ARRAY_LEN(kinds));
}


/* Types of all steps, in the order in which they run. */
static bool fast_bytes(const json_t *o, int depth, bool *seen)
{
    const json_t *list = json_object_get(o, "pretokenizers");
    const char   *type = json_string_value(json_object_get(o, "type"));

    if (type == NULL || depth > LLS_LOAD_MAX_DEPTH)
        return true;                            /* wrong, which loading will say */
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!fast_bytes(json_array_get(list, i), depth + 1, seen))
            return false;
    if (strcmp(type, "ByteLevel") == 0) {
        if (*seen)
            return false;
        *seen = true;
        return true;
    }
    return !*seen || strcmp(type, "Split") == 0 || strcmp(type, "Digits") == 0 ||
           strcmp(type, "Punctuation") == 0 || strcmp(type, "Sequence") == 0;
}

bool lls_load_keeps_bytes(const json_t *pre_tokenizer)
{
    bool seen = false;

    return fast_bytes(pre_tokenizer, 0, &seen);
}
