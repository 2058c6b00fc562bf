/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.json: model and added tokens, and the files beside it.
 */
#include "text/load_int.h"

#include <stdio.h>

#include "base/io.h"
#include "base/sort.h"

#define MAX_FILE (256u << 20)
#define MAX_CONFIG (16u << 20)
#define FREE_IDS 65536u             /* ids of a vocabulary may leave so many gaps */

/* ---- Model ----------------------------------------------------------------------------------- */

static llm_status_t vocab_size(const lls_load_t *l, const json_t *vocab, uint32_t *n, size_t *bytes)
{
    json_int_t  max = -1, limit = (json_int_t)json_object_size(vocab) * 4 + FREE_IDS;
    const char *key;
    json_t     *v;

    *bytes = 0;
    json_object_foreach((json_t *)vocab, key, v) {
        json_int_t id = json_is_integer(v) ? json_integer_value(v) : -1;

        if (id < 0 || id >= limit)
            return lls_fail(l->err, LLM_ERR_FORMAT,
                            "%s: model.vocab: the id of \"%.40s\" is not in [0, %lld)", l->path,
                            key, (long long)limit);
        max = id > max ? id : max;
        *bytes += strlen(key);
    }
    *n = (uint32_t)(max + 1);
    return LLM_OK;
}

static llm_status_t load_vocab(lls_load_t *l, const json_t *vocab)
{
    const char  *key;
    size_t       len, bytes = 0;
    json_t      *v;
    uint32_t     n = 0;
    llm_status_t st;

    if (!json_is_object(vocab))
        return lls_load_fail(l, LLM_ERR_FORMAT, "vocab", "must be an object");
    st = vocab_size(l, vocab, &n, &bytes);
    if (st != LLM_OK)
        return st;
    if (!lls_vocab_init(&l->t->vocab, l->t->mem, n, bytes, l->t->byte_level))
        return lls_load_no_memory(l);
    json_object_keylen_foreach((json_t *)vocab, key, len, v) {
        uint32_t id = (uint32_t)json_integer_value(v);

        if (l->t->vocab.entries[id].used)
            return lls_fail(l->err, LLM_ERR_FORMAT,
                            "%s: model.vocab: id %u is given twice, to \"%.40s\"", l->path, id,
                            key);
        if (!lls_vocab_add(&l->t->vocab, id, key, len))
            return lls_load_no_memory(l);
    }
    return LLM_OK;
}

static llm_status_t bad_merge(const lls_load_t *l, size_t i, const char *why)
{
    return lls_fail(l->err, LLM_ERR_FORMAT, "%s: model.merges[%zu]: %s", l->path, i, why);
}

static llm_status_t add_merge(lls_load_t *l, size_t i, uint32_t rank, const char *a, size_t a_len,
                              const char *b, size_t b_len, lls_buf_t *both)
{
    const lls_vocab_t *v = &l->t->vocab;
    int32_t            left, right, merged;

    both->len = 0;
    if (!lls_buf_put(both, a, a_len) || !lls_buf_put(both, b, b_len))
        return lls_load_no_memory(l);
    left = lls_vocab_find_spelling(v, a, a_len);
    right = lls_vocab_find_spelling(v, b, b_len);
    merged = lls_vocab_find_spelling(v, both->data, both->len);
    if (left < 0 || right < 0 || merged < 0)
        return bad_merge(l, i, left < 0 || right < 0 ? "a part is not in the vocabulary"
                                                     : "the result is not in the vocabulary");
    lls_bpe_add_merge(&l->t->bpe, left, right, rank, merged);
    return LLM_OK;
}

/* "a b" or ["a", "b"] */
static llm_status_t load_merge(lls_load_t *l, const json_t *m, size_t i, uint32_t rank,
                               lls_buf_t *both)
{
    const json_t *a = json_array_get(m, 0), *b = json_array_get(m, 1);
    const char   *text, *space;
    size_t        len;

    if (json_is_string(m)) {
        text = json_string_value(m);
        len = json_string_length(m);
        space = memchr(text, ' ', len);
        if (space == NULL || memchr(space + 1, ' ', len - (size_t)(space + 1 - text)) != NULL)
            return bad_merge(l, i, "must be two parts with a space between");
        return add_merge(l, i, rank, text, (size_t)(space - text), space + 1,
                         len - (size_t)(space + 1 - text), both);
    }
    if (json_array_size(m) != 2 || !json_is_string(a) || !json_is_string(b))
        return bad_merge(l, i, "must be a string or two strings");
    return add_merge(l, i, rank, json_string_value(a), json_string_length(a), json_string_value(b),
                     json_string_length(b), both);
}

static llm_status_t load_merges(lls_load_t *l, const json_t *merges)
{
    lls_buf_t    both = { l->t->mem, NULL, 0, 0 };
    size_t       n = json_array_size(merges);
    uint32_t     rank = 0;
    llm_status_t st = LLM_OK;

    if (!json_is_array(merges) || n > UINT32_MAX / 4)
        return lls_load_fail(l, LLM_ERR_FORMAT, "merges", "must be an array");
    if (!lls_bpe_init(&l->t->bpe, l->t->mem, &l->t->vocab, (uint32_t)n))
        return lls_load_no_memory(l);
    for (size_t i = 0; st == LLM_OK && i < n; i++) {
        const json_t *m = json_array_get(merges, i);

        if (json_is_string(m) && strncmp(json_string_value(m), "#version", 8) == 0)
            continue;
        st = load_merge(l, m, i, rank++, &both);
    }
    lls_buf_deinit(&both);
    return st;
}

static llm_status_t load_unk(lls_load_t *l, const json_t *o)
{
    const char  *unk;
    size_t       len;
    llm_status_t st = lls_load_str(l, o, "unk_token", &unk, &len);

    if (st != LLM_OK || unk == NULL)
        return st;
    l->t->bpe.unk_id = lls_vocab_find_spelling(&l->t->vocab, unk, len);
    return l->t->bpe.unk_id >= 0 ? LLM_OK : lls_load_fail(l, LLM_ERR_FORMAT, "unk_token",
                                                          "is not in the vocabulary");
}

static llm_status_t no_affix(const lls_load_t *l, const json_t *o, const char *key)
{
    const char  *text;
    size_t       len;
    llm_status_t st = lls_load_str(l, o, key, &text, &len);

    return st == LLM_OK && len != 0 ? lls_load_fail(l, LLM_ERR_UNSUPPORTED, key, "is not supported")
                                    : st;
}

static llm_status_t load_flags(lls_load_t *l, const json_t *o)
{
    lls_bpe_t    *b = &l->t->bpe;
    const json_t *dropout = json_object_get(o, "dropout");
    llm_status_t  st = lls_load_bool(l, o, "byte_fallback", false, &b->byte_fallback);

    if (st == LLM_OK)
        st = lls_load_bool(l, o, "fuse_unk", false, &b->fuse_unk);
    if (st == LLM_OK)
        st = lls_load_bool(l, o, "ignore_merges", false, &b->ignore_merges);
    if (st == LLM_OK)
        st = no_affix(l, o, "continuing_subword_prefix");
    if (st == LLM_OK)
        st = no_affix(l, o, "end_of_word_suffix");
    if (st == LLM_OK && json_is_number(dropout) && json_number_value(dropout) > 0)
        st = lls_load_fail(l, LLM_ERR_UNSUPPORTED, "dropout", "is for training only");
    return st;
}

llm_status_t lls_load_model(lls_load_t *l, const json_t *o)
{
    const char  *type;
    size_t       len;
    llm_status_t st;

    if (!json_is_object(o))
        return lls_load_fail(l, LLM_ERR_FORMAT, "", "must be an object");
    st = lls_load_str(l, o, "type", &type, &len);
    if (st != LLM_OK)
        return st;
    if (type == NULL)                   /* files before the key came */
        type = json_object_get(o, "merges") != NULL ? "BPE"
               : json_is_array(json_object_get(o, "vocab")) ? "Unigram" : "WordPiece or WordLevel";
    if (strcmp(type, "BPE") != 0)
        return lls_fail(l->err, LLM_ERR_UNSUPPORTED, "%s: model.type: %.60s is not supported",
                        l->path, type);
    st = load_vocab(l, json_object_get(o, "vocab"));
    if (st == LLM_OK)
        st = load_merges(l, json_object_get(o, "merges"));
    if (st == LLM_OK)
        st = load_unk(l, o);
    return st == LLM_OK ? load_flags(l, o) : st;
}

/* ---- Added tokens ---------------------------------------------------------------------------- */

static llm_status_t load_added_token(lls_load_t *l, const json_t *o)
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
        st = load_added_token(l, json_array_get(list, i));
        lls_load_leave(l, outer);
    }
    return st;
}

static llm_status_t load_part(lls_load_t *l, const json_t *root, const char *key,
                              llm_status_t (*load)(lls_load_t *l, const json_t *o))
{
    size_t       outer = lls_load_enter(l, key, 0);
    llm_status_t st = load(l, json_object_get(root, key));

    lls_load_leave(l, outer);
    return st;
}

llm_status_t lls_tokenizer_load_json(lls_tokenizer_t *t, const char *path, llm_error_t *err)
{
    lls_load_t   l = { t, path, err, "", 0 };
    json_t      *root;
    llm_status_t st = lls_json_load(t->mem, path, MAX_FILE, &root, err);

    if (st != LLM_OK)
        return st;
    if (!json_is_object(root))
        st = lls_fail(err, LLM_ERR_FORMAT, "%s: must be a JSON object", path);
    if (st == LLM_OK)
        st = load_part(&l, root, "normalizer", lls_load_normalizer);
    if (st == LLM_OK) /* before the model, which must know whether it is byte-level */
        st = load_part(&l, root, "pre_tokenizer", lls_load_pre_tokenizer);
    if (st == LLM_OK)
        st = load_part(&l, root, "model", lls_load_model);
    if (st == LLM_OK)
        st = load_part(&l, root, "post_processor", lls_load_post_processor);
    if (st == LLM_OK)
        st = load_part(&l, root, "decoder", lls_load_decoder);
    if (st == LLM_OK)
        st = load_added_tokens(&l, json_object_get(root, "added_tokens"));
    json_decref(root);
    return st;
}

/* ---- The files beside it --------------------------------------------------------------------- */

/* *out is NULL where the file is not there. */
static llm_status_t load_beside(const lls_tokenizer_t *t, const char *dir, const char *name,
                                json_t **out, llm_error_t *err)
{
    char        *path = lls_path_join(t->mem, dir, name);
    llm_status_t st = LLM_OK;

    *out = NULL;
    if (path == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a path");
    if (lls_path_exists(path))
        st = lls_json_load(t->mem, path, MAX_CONFIG, out, err);
    if (st == LLM_OK && *out != NULL && !json_is_object(*out))
        st = lls_fail(err, LLM_ERR_FORMAT, "%s: must be a JSON object", path);
    if (st != LLM_OK) {
        json_decref(*out);
        *out = NULL;
    }
    lls_free(t->mem, path);
    return st;
}

static int by_number(const void *ctx, uint32_t a, uint32_t b)
{
    const char *const *keys = ctx;
    long long          x = strtoll(keys[a], NULL, 10), y = strtoll(keys[b], NULL, 10);

    return (x > y) - (x < y);
}

static llm_status_t merge_sorted(lls_load_t *l, const json_t *map, const char **keys,
                                 uint32_t *order)
{
    uint32_t     n = 0;
    llm_status_t st = LLM_OK;
    const char  *key;
    json_t      *v;

    json_object_foreach((json_t *)map, key, v) {
        keys[n] = key;
        order[n] = n;
        n++;
    }
    lls_sort_ids(order, n, by_number, keys);
    for (uint32_t i = 0; st == LLM_OK && i < n; i++) {
        const json_t *content;

        v = json_object_get(map, keys[order[i]]);
        content = json_object_get(v, "content");
        if (json_is_string(content) &&
            lls_added_by_content(&l->t->added, json_string_value(content),
                                 json_string_length(content)) == NULL)
            st = load_added_token(l, v);
    }
    return st;
}

/* Those that tokenizer.json lacks, by ascending id. */
static llm_status_t merge_added(lls_load_t *l, const json_t *map)
{
    size_t       n = json_object_size(map) + 1;
    const char **keys = lls_calloc(l->t->mem, n, sizeof *keys);
    uint32_t    *order = lls_calloc(l->t->mem, n, sizeof *order);
    llm_status_t st = keys == NULL || order == NULL ? lls_load_no_memory(l)
                                                    : merge_sorted(l, map, keys, order);

    lls_free(l->t->mem, keys);
    lls_free(l->t->mem, order);
    return st;
}

llm_status_t lls_tokenizer_load_added(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    lls_load_t   l = { t, dir, err, "tokenizer_config.json added_tokens_decoder", 0 };
    json_t      *config;
    llm_status_t st = load_beside(t, dir, "tokenizer_config.json", &config, err);

    if (st == LLM_OK && json_is_object(json_object_get(config, "added_tokens_decoder")))
        st = merge_added(&l, json_object_get(config, "added_tokens_decoder"));
    json_decref(config);
    return st;
}

/* A token of tokenizer_config.json is a string or an object with content. */
static int32_t named_token(const lls_tokenizer_t *t, const json_t *config, const char *key)
{
    const json_t *v = json_object_get(config, key);

    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_is_string(v) ? lls_tokenizer_find(t, json_string_value(v), json_string_length(v))
                             : -1;
}

static bool add_eos_value(lls_tokenizer_t *t, const json_t *v)
{
    bool ok = true;

    if (json_is_integer(v) && json_integer_value(v) >= 0 && json_integer_value(v) <= INT32_MAX)
        return lls_tokenizer_add_eos(t, (int32_t)json_integer_value(v));
    for (size_t i = 0; ok && i < json_array_size(v); i++)
        if (json_is_integer(json_array_get(v, i)))
            ok = add_eos_value(t, json_array_get(v, i));
    return ok;
}

/* A string, or a list of {name, template} of which "default" counts. */
static bool take_template(lls_tokenizer_t *t, const json_t *v)
{
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *name = json_object_get(json_array_get(v, i), "name");

        if (json_is_string(name) && strcmp(json_string_value(name), "default") == 0)
            return take_template(t, json_object_get(json_array_get(v, i), "template"));
    }
    if (!json_is_string(v) || t->chat_template != NULL)
        return true;
    t->chat_template_len = json_string_length(v);
    t->chat_template = lls_strndup(t->mem, json_string_value(v), t->chat_template_len);
    return t->chat_template != NULL;
}

static llm_status_t template_file(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    char        *path = lls_path_join(t->mem, dir, "chat_template.jinja");
    llm_status_t st = LLM_OK;

    if (path == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a path");
    if (lls_path_exists(path))
        st = lls_read_file(t->mem, path, MAX_CONFIG, &t->chat_template, &t->chat_template_len, err);
    lls_free(t->mem, path);
    return st;
}

static llm_status_t take_config(lls_tokenizer_t *t, const json_t *config, llm_error_t *err)
{
    t->bos = named_token(t, config, "bos_token");
    t->eos = named_token(t, config, "eos_token");
    if (!lls_tokenizer_add_eos(t, t->eos) ||
        !take_template(t, json_object_get(config, "chat_template")))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the chat template");
    return LLM_OK;
}

static llm_status_t take_eos_of(lls_tokenizer_t *t, const char *dir, const char *name,
                                llm_error_t *err)
{
    json_t      *config;
    llm_status_t st = load_beside(t, dir, name, &config, err);

    if (st == LLM_OK && !add_eos_value(t, json_object_get(config, "eos_token_id")))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for token ids");
    json_decref(config);
    return st;
}

llm_status_t lls_tokenizer_load_config(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    json_t      *config, *template;
    llm_status_t st = template_file(t, dir, err);

    if (st != LLM_OK)
        return st;
    st = load_beside(t, dir, "chat_template.json", &template, err);
    if (st == LLM_OK && !take_template(t, json_object_get(template, "chat_template")))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the chat template");
    json_decref(template);
    if (st == LLM_OK)
        st = load_beside(t, dir, "tokenizer_config.json", &config, err);
    if (st != LLM_OK)
        return st;
    st = take_config(t, config, err);
    json_decref(config);
    if (st == LLM_OK)
        st = take_eos_of(t, dir, "generation_config.json", err);
    if (st == LLM_OK && t->eos_ids.n == 0)
        st = take_eos_of(t, dir, "config.json", err);
    return st;
}
