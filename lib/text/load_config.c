/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files beside a tokenizer: tokenizer_config.json, special_tokens_map.json, added_tokens.json,
 * generation_config.json, config.json and chat templates.  What the tokenizer's own file says wins;
 * special_tokens_map.json and added_tokens.json only fill gaps.
 */
#include "text/load_int.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/io.h"
#include "base/sort.h"
#include "text/render.h"

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

/* ---- Added tokens ---------------------------------------------------------------------------- */

/* Two forms: {"7": {"content": "<x>", ..}} and {"<x>": 7}. */
static long long id_of(const char *key, const json_t *v)
{
    return json_is_integer(v) ? json_integer_value(v) : strtoll(key, NULL, 10);
}

typedef struct merge_list {
    const char   **keys;
    const json_t **values;
    uint32_t      *order;
} merge_list_t;

static int by_id(const void *ctx, uint32_t a, uint32_t b)
{
    const merge_list_t *m = ctx;
    long long           x = id_of(m->keys[a], m->values[a]), y = id_of(m->keys[b], m->values[b]);

    return (x > y) - (x < y);
}

static llm_status_t put_plain(lls_load_t *l, const char *text, size_t len, bool special)
{
    lls_added_token_t token = { .content = (char *)text, .len = (uint32_t)len,
                                .special = special, .normalized = !special };

    return lls_tokenizer_add_token(l->t, token, l->err);
}

/* Vocabularies of ranks do not know the ids of their special tokens; these are as the file says. */
static llm_status_t put_numbered(lls_load_t *l, const char *key, const json_t *v)
{
    const char       *text = json_string_value(json_object_get(v, "content"));
    lls_added_token_t token = { .content = (char *)text, .id = (int32_t)id_of(key, v),
                                .special = json_is_true(json_object_get(v, "special")) };

    if (text == NULL || token.id < (int32_t)l->t->vocab.n ||
        token.id >= (int32_t)(l->t->vocab.n + l->t->reserved))
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "is no id of a special token");
    token.len = (uint32_t)json_string_length(json_object_get(v, "content"));
    return lls_added_put(&l->t->added, &token) ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t merge_one(lls_load_t *l, const char *key, const json_t *v)
{
    const json_t *content = json_object_get(v, "content");

    if (json_is_integer(v))
        return lls_added_by_content(&l->t->added, key, strlen(key)) == NULL
                   ? put_plain(l, key, strlen(key), false) : LLM_OK;
    if (!json_is_string(content) ||
        lls_added_by_content(&l->t->added, json_string_value(content),
                             json_string_length(content)) != NULL)
        return LLM_OK;
    return l->t->reserved != 0 ? put_numbered(l, key, v) : lls_load_added_token(l, v);
}

/* Those that the tokenizer's file lacks, by ascending id. */
static llm_status_t merge_added(lls_load_t *l, const json_t *map)
{
    size_t       room = json_object_size(map) + 1;
    merge_list_t m = { lls_calloc(l->t->mem, room, sizeof *m.keys),
                       lls_calloc(l->t->mem, room, sizeof *m.values),
                       lls_calloc(l->t->mem, room, sizeof *m.order) };
    uint32_t     n = 0;
    llm_status_t st = LLM_OK;
    const char  *key;
    json_t      *v;

    if (m.keys == NULL || m.values == NULL || m.order == NULL) {
        st = lls_load_no_memory(l);
    } else {
        json_object_foreach((json_t *)map, key, v) {
            m.keys[n] = key;
            m.values[n] = v;
            m.order[n] = n;
            n++;
        }
        lls_sort_ids(m.order, n, by_id, &m);
    }
    for (uint32_t i = 0; st == LLM_OK && i < n; i++)
        st = merge_one(l, m.keys[m.order[i]], m.values[m.order[i]]);
    lls_free(l->t->mem, m.keys);
    lls_free(l->t->mem, m.values);
    lls_free(l->t->mem, m.order);
    return st;
}

/* A named token is a string or an object with content. */
static const json_t *token_text(const json_t *v)
{
    if (json_is_object(v))
        v = json_object_get(v, "content");
    return json_is_string(v) ? v : NULL;
}

/* ORDER as in transformers, which gives ids in this order. */
static const char *const special_names[] = { "bos_token", "eos_token", "unk_token", "sep_token",
                                             "pad_token", "cls_token", "mask_token" };

static llm_status_t merge_special(lls_load_t *l, const json_t *v)
{
    const json_t *text = token_text(v);

    if (text == NULL || lls_added_by_content(&l->t->added, json_string_value(text),
                                             json_string_length(text)) != NULL)
        return LLM_OK;
    if (json_is_object(v)) {
        lls_added_token_t token = {
            .content = (char *)json_string_value(text), .len = (uint32_t)json_string_length(text),
            .special = true, .lstrip = json_is_true(json_object_get(v, "lstrip")),
            .rstrip = json_is_true(json_object_get(v, "rstrip")),
            .single_word = json_is_true(json_object_get(v, "single_word")),
            .normalized = json_is_true(json_object_get(v, "normalized"))
        };
        return lls_tokenizer_add_token(l->t, token, l->err);
    }
    return put_plain(l, json_string_value(text), json_string_length(text), true);
}

/* Special tokens that are named but are no added tokens yet. */
static llm_status_t merge_specials(lls_load_t *l, const json_t *config)
{
    static const char *const lists[] = { "additional_special_tokens", "extra_special_tokens" };
    llm_status_t             st = LLM_OK;

    if (l->t->reserved != 0)                /* whose ids are not ours to give */
        return LLM_OK;
    for (size_t i = 0; st == LLM_OK && i < LLS_ARRAY_LEN(special_names); i++)
        st = merge_special(l, json_object_get(config, special_names[i]));
    for (size_t k = 0; k < LLS_ARRAY_LEN(lists); k++) {
        const json_t *list = json_object_get(config, lists[k]);

        for (size_t i = 0; st == LLM_OK && i < json_array_size(list); i++)
            st = merge_special(l, json_array_get(list, i));
    }
    return st;
}

static llm_status_t from_file(lls_load_t *l, const char *dir, const char *name,
                              llm_status_t (*merge)(lls_load_t *l, const json_t *o))
{
    json_t      *o;
    size_t       outer = lls_load_enter(l, name, 0);
    llm_status_t st = lls_load_beside(l->t, dir, name, &o, l->err);

    if (st == LLM_OK && o != NULL)
        st = merge(l, o);
    json_decref(o);
    lls_load_leave(l, outer);
    return st;
}

static llm_status_t merge_config(lls_load_t *l, const json_t *config)
{
    const json_t *map = json_object_get(config, "added_tokens_decoder");

    return json_is_object(map) ? merge_added(l, map) : LLM_OK;
}

llm_status_t lls_tokenizer_load_added(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    lls_load_t   l = { t, dir, err, "", 0 };
    llm_status_t st = from_file(&l, dir, "tokenizer_config.json", merge_config);

    if (st == LLM_OK)
        st = from_file(&l, dir, "added_tokens.json", merge_added);
    if (st == LLM_OK)
        st = from_file(&l, dir, "tokenizer_config.json", merge_specials);
    return st == LLM_OK ? from_file(&l, dir, "special_tokens_map.json", merge_specials) : st;
}

/* ---- Named tokens, templates, ids that end --------------------------------------------------- */

/* The id of a named token; old where the file does not name it. */
static int32_t named_token(const lls_tokenizer_t *t, const json_t *config, const char *key,
                           int32_t old)
{
    const json_t *v = token_text(json_object_get(config, key));

    return v != NULL ? lls_tokenizer_find(t, json_string_value(v), json_string_length(v)) : old;
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

/* A string, which is the default, or a list of {name, template}; what is there already stays. */
static bool take_template(lls_tokenizer_t *t, const json_t *v)
{
    if (json_is_string(v))
        return lls_templates_add(&t->templates, "default", json_string_value(v),
                                 json_string_length(v));
    for (size_t i = 0; json_is_array(v) && i < json_array_size(v); i++) {
        const json_t *name = json_object_get(json_array_get(v, i), "name");
        const json_t *text = json_object_get(json_array_get(v, i), "template");

        if (json_is_string(name) && json_is_string(text) &&
            !lls_templates_add(&t->templates, json_string_value(name), json_string_value(text),
                               json_string_length(text)))
            return false;
    }
    return true;
}

/* What templates may read beside bos_token and eos_token, whose text their ids have. */
static bool take_specials(lls_tokenizer_t *t, const json_t *config)
{
    for (size_t i = 2; i < LLS_ARRAY_LEN(special_names); i++) {
        const json_t *v = token_text(json_object_get(config, special_names[i]));

        if (v != NULL && !lls_templates_add_special(&t->templates, special_names[i],
                                                    json_string_value(v), json_string_length(v)))
            return false;
    }
    return true;
}

/* The template `name` from dir/file, if there is such a file. */
static llm_status_t template_file(lls_tokenizer_t *t, const char *dir, const char *file,
                                  const char *name, llm_error_t *err)
{
    char        *path = lls_path_join(t->mem, dir, file), *text = NULL;
    size_t       len = 0;
    llm_status_t st = LLM_OK;

    if (path == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a path");
    if (lls_path_exists(path))
        st = lls_read_file(t->mem, path, MAX_CONFIG, &text, &len, err);
    if (st == LLM_OK && text != NULL && !lls_templates_add(&t->templates, name, text, len))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the chat template");
    lls_free(t->mem, text);
    lls_free(t->mem, path);
    return st;
}

/* additional_chat_templates/NAME.jinja */
static llm_status_t more_templates(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    char          *folder = lls_path_join(t->mem, dir, "additional_chat_templates");
    DIR           *d = folder != NULL ? opendir(folder) : NULL;
    struct dirent *e;
    llm_status_t   st = LLM_OK;

    if (folder == NULL)
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a path");
    while (st == LLM_OK && d != NULL && (e = readdir(d)) != NULL) {
        size_t n = strlen(e->d_name);
        char   name[sizeof e->d_name];

        if (n <= 6 || strcmp(e->d_name + n - 6, ".jinja") != 0)
            continue;
        memcpy(name, e->d_name, n - 6);
        name[n - 6] = '\0';
        st = template_file(t, folder, e->d_name, name, err);
    }
    if (d != NULL)
        closedir(d);
    lls_free(t->mem, folder);
    return st;
}

/* Classes of which transformers makes the template anew, from add_bos_token and add_eos_token. */
static bool makes_template(const json_t *config)
{
    static const char *const names[] = { "LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer" };
    const char              *name = json_string_value(json_object_get(config, "tokenizer_class"));

    for (size_t i = 0; name != NULL && i < LLS_ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(name, names[i], n) == 0 && (name[n] == '\0' || strcmp(name + n, "Fast") == 0))
            return true;
    }
    return false;
}

static bool take_post(lls_tokenizer_t *t, const json_t *config)
{
    const json_t *bos = json_object_get(config, "add_bos_token"),
                 *eos = json_object_get(config, "add_eos_token");
    bool          made = makes_template(config);

    /* Without a template of its own a tokenizer has what the file says. */
    if (!made && (t->post.set || !(json_is_true(bos) || json_is_true(eos))))
        return true;
    return lls_postproc_wrap(&t->post, json_is_true(bos) || (made && !json_is_false(bos)) ? t->bos
                                                                                         : -1,
                             json_is_true(eos) ? t->eos : -1, false);
}

static llm_status_t take_config(lls_load_t *l, const json_t *config)
{
    lls_tokenizer_t *t = l->t;

    t->bos = named_token(t, config, "bos_token", t->bos);
    t->eos = named_token(t, config, "eos_token", t->eos);
    return take_post(t, config) && take_specials(t, config) &&
                   take_template(t, json_object_get(config, "chat_template"))
               ? LLM_OK : lls_load_no_memory(l);
}

static llm_status_t take_map(lls_load_t *l, const json_t *map)
{
    lls_tokenizer_t *t = l->t;

    if (t->bos < 0)
        t->bos = named_token(t, map, "bos_token", -1);
    if (t->eos < 0)
        t->eos = named_token(t, map, "eos_token", -1);
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

/* A format that is ours goes before the model's template. */
static llm_status_t take_format(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    json_t      *config;
    llm_status_t st = lls_load_beside(t, dir, "config.json", &config, err);
    const char  *text = lls_render_find(json_string_value(json_object_get(config, "model_type")));

    if (st == LLM_OK && text != NULL &&
        !lls_templates_add(&t->templates, "default", text, strlen(text)))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the chat template");
    json_decref(config);
    return st;
}

llm_status_t lls_tokenizer_load_config(lls_tokenizer_t *t, const char *dir, llm_error_t *err)
{
    lls_load_t   l = { t, dir, err, "", 0 };
    json_t      *template;
    llm_status_t st = take_format(t, dir, err);

    if (st == LLM_OK)
        st = template_file(t, dir, "chat_template.jinja", "default", err);
    if (st == LLM_OK)
        st = more_templates(t, dir, err);
    if (st != LLM_OK)
        return st;
    st = lls_load_beside(t, dir, "chat_template.json", &template, err);
    if (st == LLM_OK && !take_template(t, json_object_get(template, "chat_template")))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for the chat template");
    json_decref(template);
    if (st == LLM_OK)
        st = from_file(&l, dir, "special_tokens_map.json", take_map);
    if (st == LLM_OK)
        st = from_file(&l, dir, "tokenizer_config.json", take_config);
    if (st == LLM_OK && !lls_tokenizer_add_eos(t, t->eos))
        st = lls_load_no_memory(&l);
    if (st == LLM_OK)
        st = take_eos_of(t, dir, "generation_config.json", err);
    if (st == LLM_OK && t->eos_ids.n == 0)
        st = take_eos_of(t, dir, "config.json", err);
    return st;
}
