/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files beside a tokenizer.json: tokenizer_config.json, generation_config.json, config.json and
 * chat templates.
 */
#include "text/load_int.h"

#include <stdlib.h>

#include "base/io.h"
#include "base/sort.h"

#define MAX_CONFIG (16u << 20)

llm_status_t lls_load_beside(const lls_tokenizer_t *t, const char *dir, const char *name,
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
            st = lls_load_added_token(l, v);
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
    llm_status_t st = lls_load_beside(t, dir, "tokenizer_config.json", &config, err);

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
    llm_status_t st = lls_load_beside(t, dir, name, &config, err);

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
    st = lls_load_beside(t, dir, "chat_template.json", &template, err);
    if (st == LLM_OK && !take_template(t, json_object_get(template, "chat_template")))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the chat template");
    json_decref(template);
    if (st == LLM_OK)
        st = lls_load_beside(t, dir, "tokenizer_config.json", &config, err);
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
