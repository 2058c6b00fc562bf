/* SPDX-License-Identifier: Apache-2.0 */
#include "text/load_int.h"

#include <stdio.h>

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

llm_status_t lls_load_count(const lls_load_t *l, const json_t *o, const char *key, json_int_t def,
                            json_int_t max, uint64_t *out)
{
    const json_t *v = json_object_get(o, key);
    json_int_t    n = def;

    *out = 0;
    if (v != NULL && !json_is_null(v))
        n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (n < 0 || n > max)
        return lls_load_fail(l, LLM_ERR_FORMAT, key, "is missing or no number in range");
    *out = (uint64_t)n;
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

llm_status_t lls_load_copy(const lls_load_t *l, const json_t *o, const char *key, char **text,
                           size_t *len)
{
    const char  *p;
    llm_status_t st = lls_load_need_str(l, o, key, &p, len);

    if (st != LLM_OK)
        return st;
    *text = lls_strndup(l->t->mem, p, *len);
    return *text != NULL ? LLM_OK : lls_load_no_memory(l);
}

llm_status_t lls_load_dispatch(lls_load_t *l, const json_t *o, const lls_load_kind_t *kinds,
                               size_t n)
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

llm_status_t lls_load_sequence(lls_load_t *l, const json_t *o, const char *key, lls_load_fn *load)
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

llm_status_t lls_load_pattern(lls_load_t *l, const json_t *o, bool plain, lls_pattern_t *out)
{
    const json_t *p = json_object_get(o, "pattern");
    const json_t *literal = json_object_get(p, "String"), *regex = json_object_get(p, "Regex");
    char          where[256];

    if (json_is_string(literal) && json_string_length(literal) == 0)
        regex = literal;                        /* matches everywhere, as an empty regex does */
    else if (json_is_string(literal))
        return lls_pattern_literal(out, l->t->mem, json_string_value(literal),
                                   json_string_length(literal), l->err);
    if (!json_is_string(regex))
        return lls_load_fail(l, LLM_ERR_FORMAT, "pattern",
                             "must be {\"String\": ..} or {\"Regex\": ..}");
    snprintf(where, sizeof where, "%.120s: %.100s.pattern", l->path, l->where);
    return lls_pattern_regex(out, l->t->mem, where, json_string_value(regex),
                             json_string_length(regex), plain, l->err);
}

