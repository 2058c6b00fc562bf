/* SPDX-License-Identifier: Apache-2.0 */
/* The types that tools declare for their arguments, and texts made into values of them. */
#include "text/dialect_int.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "text/jinja_val.h"

#define MAX_SCHEMA_DEPTH 10

/* ---- From the request ------------------------------------------------------------------------ */

static const struct { const char *name; uint32_t type; } type_names[] = {   /* ORDER schema types */
    { "null", DP_NULL },        { "integer", DP_INTEGER }, { "int", DP_INTEGER },
    { "int32", DP_INTEGER },    { "int64", DP_INTEGER },   { "uint", DP_INTEGER },
    { "uint32", DP_INTEGER },   { "uint64", DP_INTEGER },  { "unsigned", DP_INTEGER },
    { "long", DP_INTEGER },     { "short", DP_INTEGER },   { "number", DP_NUMBER },
    { "float", DP_NUMBER },     { "float32", DP_NUMBER },  { "float64", DP_NUMBER },
    { "double", DP_NUMBER },    { "boolean", DP_BOOLEAN }, { "bool", DP_BOOLEAN },
    { "object", DP_OBJECT_TYPE }, { "dict", DP_OBJECT_TYPE }, { "array", DP_ARRAY },
    { "list", DP_ARRAY },       { "arr", DP_ARRAY },       { "sequence", DP_ARRAY },
    { "string", DP_STRING },    { "str", DP_STRING },      { "text", DP_STRING },
    { "varchar", DP_STRING },   { "char", DP_STRING },     { "enum", DP_STRING },
};

static uint32_t type_of_name(const char *name)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(type_names); i++)
        if (strcasecmp(name, type_names[i].name) == 0)
            return type_names[i].type;
    return DP_ANY;
}

static uint32_t type_of_value(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT:  return DP_OBJECT_TYPE;
    case JSON_ARRAY:   return DP_ARRAY;
    case JSON_STRING:  return DP_STRING;
    case JSON_INTEGER: return DP_INTEGER;
    case JSON_REAL:    return DP_NUMBER;
    case JSON_NULL:    return DP_NULL;
    default:           return DP_BOOLEAN;
    }
}

/* "#/$defs/x" or "#/definitions/x" of the tool's parameters. */
static const json_t *deref(const json_t *root, const char *ref)
{
    const char *name = strrchr(ref, '/');

    if (name == NULL)
        return NULL;
    if (strncmp(ref, "#/$defs/", 8) == 0)
        return json_object_get(json_object_get(root, "$defs"), name + 1);
    if (strncmp(ref, "#/definitions/", 14) == 0)
        return json_object_get(json_object_get(root, "definitions"), name + 1);
    return NULL;
}

static uint32_t types_of_schema(const json_t *root, const json_t *schema, int depth)
{
    static const char *const unions[] = { "anyOf", "oneOf", "allOf" };
    const json_t            *type = json_object_get(schema, "type");
    const char              *ref = json_string_value(json_object_get(schema, "$ref"));
    uint32_t                 types = 0;
    size_t                   i;
    json_t                  *v;

    if (depth > MAX_SCHEMA_DEPTH)
        return 0;
    if (json_is_string(type))
        types |= type_of_name(json_string_value(type));
    json_array_foreach(type, i, v)
        types |= json_is_string(v) ? type_of_name(json_string_value(v)) : 0;
    json_array_foreach(json_object_get(schema, "enum"), i, v)
        types |= type_of_value(v);
    for (size_t k = 0; k < LLS_ARRAY_LEN(unions); k++)
        json_array_foreach(json_object_get(schema, unions[k]), i, v)
            types |= types_of_schema(root, v, depth + 1);
    if (ref != NULL)
        types |= types_of_schema(root, deref(root, ref), depth + 1);
    return types;
}

static bool add_type(dp_types_t *t, const char *tool, const char *key, uint32_t types)
{
    dp_type_t *item;

    if (t->n == t->cap &&
        !lls_reserve(t->mem, (void **)&t->items, &t->cap, t->n + 1, sizeof *t->items))
        return false;
    item = &t->items[t->n];
    *item = (dp_type_t){ lls_strdup(t->mem, tool), lls_strdup(t->mem, key), types };
    t->n++;
    return item->tool != NULL && item->key != NULL;
}

static bool add_tool(dp_types_t *t, const json_t *tool)
{
    const json_t *function = json_object_get(tool, "function"), *parameters, *v;
    const char   *name, *key;

    if (!json_is_object(function))
        function = tool;
    name = json_string_value(json_object_get(function, "name"));
    parameters = json_object_get(function, "parameters");
    if (name == NULL)
        return true;
    json_object_foreach((json_t *)json_object_get(parameters, "properties"), key, v) {
        uint32_t types = types_of_schema(parameters, v, 0);

        if (types != 0 && types != DP_STRING && !add_type(t, name, key, types))
            return false;
    }
    return true;
}

/* Whether the template was told to think: 0, 1, -1 = nothing was said. */
static int told_to_think(const json_t *chat)
{
    const json_t *told = json_object_get(chat, "chat_template_kwargs");
    const json_t *a = json_object_get(told, "enable_thinking");
    const json_t *b = json_object_get(told, "thinking");

    if (json_is_true(a) || json_is_true(b))
        return 1;
    return json_is_boolean(a) || json_is_boolean(b) ? 0 : -1;
}

llm_status_t lls_dp_types_open(dp_types_t *t, const char *chat, size_t len, bool *no_tools,
                               int *thinking, llm_error_t *err)
{
    json_t      *root, *tools, *tool;
    const char  *choice;
    size_t       i;
    bool         ok = true;
    llm_status_t st = lls_json_parse("chat", chat, len, &root, err);

    if (st != LLM_OK)
        return st;
    if (!json_is_object(root)) {
        json_decref(root);
        return lls_fail_param(err, LLM_ERR_FORMAT, "chat", "chat is no JSON object");
    }
    tools = json_object_get(root, "tools");
    choice = json_string_value(json_object_get(root, "tool_choice"));
    *no_tools |= json_array_size(tools) == 0 || (choice != NULL && strcmp(choice, "none") == 0);
    *thinking = told_to_think(root);
    json_array_foreach(tools, i, tool)
        ok = ok && add_tool(t, tool);
    json_decref(root);
    return ok ? LLM_OK : lls_fail(err, LLM_ERR_NO_MEMORY, "types of %zu tools", i);
}

void lls_dp_types_deinit(dp_types_t *t)
{
    for (size_t i = 0; i < t->n; i++) {
        lls_free(t->mem, t->items[i].tool);
        lls_free(t->mem, t->items[i].key);
    }
    lls_free(t->mem, t->items);
}

static bool same(const char *a, const char *b, size_t n)
{
    return strlen(a) == n && (n == 0 || memcmp(a, b, n) == 0);
}

uint32_t lls_dp_types_of(const dp_types_t *t, const char *tool, size_t tool_len, const char *key,
                         size_t key_len)
{
    for (size_t i = 0; i < t->n; i++)
        if (same(t->items[i].tool, tool, tool_len) && same(t->items[i].key, key, key_len))
            return t->items[i].types;
    return DP_STRING;
}

/* ---- Texts into values ----------------------------------------------------------------------- */

static bool is_word(const char *text, size_t n, const char *word)
{
    return n == strlen(word) && strncasecmp(text, word, n) == 0;
}

/* Python's int(): digits with a sign, any number of them.  The digits without leading zeros. */
static bool as_integer(lls_dparse_t *p, const char *text, size_t n)
{
    bool   minus = n > 0 && text[0] == '-';
    size_t from = n > 0 && (text[0] == '-' || text[0] == '+'), i;

    for (i = from; i < n && text[i] >= '0' && text[i] <= '9'; i++)
        ;
    if (i != n || i == from)
        return false;
    while (from + 1 < n && text[from] == '0')
        from++;
    if (minus && text[from] != '0')
        lls_dp_args(p, "-", 1);
    lls_dp_args(p, text + from, n - from);
    return true;
}

/* A finite number as Python prints it; 5.0 is 5. */
static bool as_number(lls_dparse_t *p, const char *text, size_t n)
{
    char   copy[64], out[40];
    char  *end;
    double v;

    if (n == 0 || n >= sizeof copy)
        return false;
    memcpy(copy, text, n);
    copy[n] = '\0';
    v = strtod(copy, &end);
    if (strcspn(copy, "xXpPnN \t") < n || end != copy + n || !isfinite(v))
        return false;
    if (v == floor(v) && fabs(v) < 1e15)
        snprintf(out, sizeof out, "%.0f", v == 0 ? 0.0 : v);
    else
        lls_jfloat_text(v, out);
    lls_dp_args(p, out, strlen(out));
    return true;
}

static bool as_boolean(lls_dparse_t *p, const char *text, size_t n)
{
    if (is_word(text, n, "true") || is_word(text, n, "1"))
        lls_dp_args(p, "true", 4);
    else if (is_word(text, n, "false") || is_word(text, n, "0"))
        lls_dp_args(p, "false", 5);
    else
        return false;
    return true;
}

/* JSON of any type, or only an object or an array. */
static bool as_json(lls_dparse_t *p, const char *text, size_t n, uint32_t types)
{
    lls_buf_t out = { .mem = p->mem };
    bool      ok = lls_dp_normalize(&out, text, n);

    if (ok && !(types & DP_ANY))
        ok = (out.data[0] == '{' && (types & DP_OBJECT_TYPE)) ||
             (out.data[0] == '[' && (types & DP_ARRAY));
    if (ok)
        lls_dp_args(p, out.data, out.len);
    lls_buf_deinit(&out);
    return ok;
}

/* vLLM's order, whatever the schema's is. */
void lls_dp_coerce(lls_dparse_t *p, const char *text, size_t n, uint32_t types)
{
    const char *s = text;
    size_t      len = n;

    while (len > 0 && lls_dp_is_blank(*s))
        s++, len--;
    while (len > 0 && lls_dp_is_blank(s[len - 1]))
        len--;
    if ((types & DP_NULL) && is_word(s, len, "null"))
        lls_dp_args(p, "null", 4);
    else if (!((types & DP_INTEGER) && as_integer(p, s, len)) &&
             !((types & DP_NUMBER) && as_number(p, s, len)) &&
             !((types & DP_BOOLEAN) && as_boolean(p, s, len)) &&
             !((types & (DP_OBJECT_TYPE | DP_ARRAY | DP_ANY)) && as_json(p, s, len, types)))
        lls_dp_quote(p, text, n);
}
