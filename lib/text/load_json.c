/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.json.  Its two large tables, model.vocab and model.merges, are cut out of the text
 * before jansson sees it: they are most of the file, and their keys may hold NUL.
 */
#include "text/load_int.h"

#include "base/io.h"
#include "text/jscan.h"

#define MAX_FILE (256u << 20)

/* ---- Cutting out ----------------------------------------------------------------------------- */

/* Where vocab and merges of the object at the scan are; of equal keys the last counts. */
static bool find_in_model(lls_jscan_t *s, lls_buf_t *key, lls_tables_t *t)
{
    bool first = true, end = false;

    if (lls_jscan_peek(s) != '{')
        return lls_jscan_skip(s);
    while (lls_jscan_next(s, '{', &first, key, &end)) {
        bool   vocab = key->len == 5 && memcmp(key->data, "vocab", 5) == 0;
        bool   merges = key->len == 6 && memcmp(key->data, "merges", 6) == 0;
        char   c = lls_jscan_peek(s);
        size_t from = s->at;
        uint64_t n;

        if (!lls_jscan_count(s, &n))
            return false;
        if (vocab && (c == '{' || c == '[')) {
            t->vocab = from;
            t->vocab_len = s->at - from;
            t->n_vocab = n;
        } else if (merges && c == '[') {
            t->merges = from;
            t->merges_len = s->at - from;
            t->n_merges = n;
        }
    }
    return end;
}

/* False where the text is no JSON; jansson then says where. */
static bool find_tables(lls_jscan_t *s, lls_buf_t *key, lls_tables_t *t)
{
    bool first = true, end = false;

    while (lls_jscan_next(s, '{', &first, key, &end)) {
        bool model = key->len == 5 && memcmp(key->data, "model", 5) == 0;

        if (model)
            t->vocab_len = t->merges_len = 0;
        if (!(model ? find_in_model(s, key, t) : lls_jscan_skip(s)))
            return false;
    }
    return end;
}

/* A table becomes null and, with lines, its line ends: then jansson counts as the file has them. */
static bool put_hole(lls_buf_t *out, const char *text, size_t len, bool lines)
{
    const char *end = text + len;

    if (!lls_buf_put(out, "null", 4))
        return false;
    while (lines && (text = memchr(text, '\n', (size_t)(end - text))) != NULL) {
        if (!lls_buf_put(out, "\n", 1))
            return false;
        text++;
    }
    return true;
}

static bool without_tables(const lls_tables_t *t, size_t len, bool lines, lls_buf_t *out)
{
    size_t holes[2][2] = { { t->vocab, t->vocab_len }, { t->merges, t->merges_len } };
    size_t at = 0, first = t->vocab_len != 0 && t->merges_len != 0 && t->merges < t->vocab;

    for (size_t k = 0; k < 2; k++) {
        const size_t *hole = holes[k ^ first];

        if (hole[1] == 0)
            continue;
        if (!lls_buf_put(out, t->text + at, hole[0] - at) ||
            !put_hole(out, t->text + hole[0], hole[1], lines))
            return false;
        at = hole[0] + hole[1];
    }
    return lls_buf_put(out, t->text + at, len - at) && lls_buf_end(out);
}

static llm_status_t parse(lls_load_t *l, const char *text, size_t len, lls_tables_t *t,
                          json_t **root)
{
    lls_jscan_t  s = { text, len, 0, false };
    lls_buf_t    key = { l->t->mem, NULL, 0, 0 }, rest = { l->t->mem, NULL, 0, 0 };
    llm_status_t st;

    *t = (lls_tables_t){ .text = text };
    if (!find_tables(&s, &key, t))
        t->vocab_len = t->merges_len = 0;
    if (s.no_memory || !without_tables(t, len, false, &rest))
        st = lls_load_no_memory(l);
    else
        st = lls_json_parse(l->path, rest.data, rest.len, root, l->err);
    rest.len = 0;
    if (st == LLM_ERR_FORMAT)           /* once more, for the line of the error */
        st = without_tables(t, len, true, &rest)
                 ? lls_json_parse(l->path, rest.data, rest.len, root, l->err)
                 : lls_load_no_memory(l);
    lls_buf_deinit(&key);
    lls_buf_deinit(&rest);
    return st;
}

/* ---- Added tokens ---------------------------------------------------------------------------- */

llm_status_t lls_load_added_token(lls_load_t *l, const json_t *o)
{
    lls_added_token_t token = { 0 };
    const char       *text;
    size_t            len;
    llm_status_t      st = lls_load_need_str(l, o, "content", &text, &len);

    if (st != LLM_OK)
        return st;
    if (len > UINT32_MAX / 2)
        return lls_load_fail(l, LLM_ERR_FORMAT, "content", "is too long");
    token.content = (char *)text;
    token.len = (uint32_t)len;
    st = lls_load_bool(l, o, "special", false, &token.special);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "single_word", false, &token.single_word);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "lstrip", false, &token.lstrip);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "rstrip", false, &token.rstrip);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "normalized", !token.special, &token.normalized);
    return st == LLM_OK ? lls_tokenizer_add_token(l->t, token, l->err) : st;
}

static llm_status_t load_added_tokens(lls_load_t *l, const json_t *list)
{
    llm_status_t st = LLM_OK;

    if (list == NULL || json_is_null(list))
        return LLM_OK;
    if (!json_is_array(list))
        return lls_load_fail(l, LLM_ERR_FORMAT, "added_tokens", "must be an array");
    for (size_t i = 0; st == LLM_OK && i < json_array_size(list); i++) {
        size_t outer = lls_load_enter(l, "added_tokens", 0);

        lls_load_enter(l, NULL, i);
        st = lls_load_added_token(l, json_array_get(list, i));
        lls_load_leave(l, outer);
    }
    return st;
}

/* ---- The file -------------------------------------------------------------------------------- */

static llm_status_t load_part(lls_load_t *l, const json_t *root, const char *key, lls_load_fn *load)
{
    size_t       outer = lls_load_enter(l, key, 0);
    llm_status_t st = load(l, json_object_get(root, key));

    lls_load_leave(l, outer);
    return st;
}

/* Only BPE on plain bytes can do without GPT-2's alphabet. */
static bool needs_alphabet(const json_t *root, const lls_tables_t *t)
{
    const json_t *model = json_object_get(root, "model");
    const char   *type = json_string_value(json_object_get(model, "type"));
    bool          bpe = type != NULL ? strcmp(type, "BPE") == 0 : t->merges_len != 0;

    return !bpe || json_is_true(json_object_get(model, "byte_fallback")) ||
           json_string_length(json_object_get(model, "continuing_subword_prefix")) != 0 ||
           json_string_length(json_object_get(model, "end_of_word_suffix")) != 0 ||
           !lls_load_keeps_bytes(json_object_get(root, "pre_tokenizer"));
}

static llm_status_t load_parts(lls_load_t *l, const json_t *root, const lls_tables_t *tables)
{
    size_t       outer;
    llm_status_t st;

    if (!json_is_object(root))
        return lls_fail(l->err, LLM_ERR_FORMAT, "%s: must be a JSON object", l->path);
    l->t->literal_bytes = needs_alphabet(root, tables);
    st = load_part(l, root, "normalizer", lls_load_normalizer);
    if (st == LLM_OK) /* before the model, which must know whether it is byte-level */
        st = load_part(l, root, "pre_tokenizer", lls_load_pre_tokenizer);
    outer = lls_load_enter(l, "model", 0);
    if (st == LLM_OK)
        st = lls_load_model(l, json_object_get(root, "model"), tables);
    lls_load_leave(l, outer);
    if (st == LLM_OK)
        st = load_part(l, root, "post_processor", lls_load_post_processor);
    if (st == LLM_OK)
        st = load_part(l, root, "decoder", lls_load_decoder);
    return st == LLM_OK ? load_added_tokens(l, json_object_get(root, "added_tokens")) : st;
}

llm_status_t lls_tokenizer_load_json(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    lls_load_t   l = { t, path, err, "", 0 };
    lls_tables_t tables;
    char        *text;
    size_t       len;
    json_t      *root = NULL;
    llm_status_t st = lls_read_file(t->mem, path, MAX_FILE, &text, &len, err);

    if (st != LLM_OK)
        return st;
    st = parse(&l, text, len, &tables, &root);
    if (st == LLM_OK)
        st = load_parts(&l, root, &tables);
    json_decref(root);
    lls_free(t->mem, text);
    return st;
}
