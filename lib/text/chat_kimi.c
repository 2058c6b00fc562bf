/* SPDX-License-Identifier: Apache-2.0 */
#include "text/chat_kimi.h"

#include "base/num.h"

#define MAX_SCHEMA_NESTING 100
#define STEP 2 /* of indents */

typedef struct writer {
    lls_jrun_t *r;
    lls_jval_t  out; /* pieces of text */
    size_t      cap;
    lls_jval_t  defs; /* a dictionary: "$defs" of the function */
    bool        self; /* some "$ref" is "#" */
    bool        bad;  /* the schema cannot be written */
    int         depth;
} writer_t;

static const lls_jval_t *get(const writer_t *w, lls_jval_t s, const char *key)
{
    return lls_jdict_named(w->r, s, key);
}

static bool is_text(const lls_jval_t *v, const char *text)
{
    return v != NULL && v->type == JV_STRING && lls_jstr_is(v->u.str, text);
}

static bool is_some(const lls_jval_t *v) { return v != NULL && lls_jtrue(*v); }

/* ---- Sorting --------------------------------------------------------------------------------- */

lls_jval_t lls_kimi_sort(lls_jrun_t *r, lls_jval_t tools)
{
    lls_jval_t out = tools;

    if (tools.type == JV_DICT)
        out = lls_jdict_sorted(r, tools.u.dict);
    else if (tools.type == JV_LIST)
        out = lls_jlist(r, JV_LIST, tools.u.list->n);
    else
        return tools;
    for (size_t i = 0; tools.type == JV_DICT && r->st == LLM_OK && i < out.u.dict->n; i++)
        out.u.dict->values[i] = lls_kimi_sort(r, out.u.dict->values[i]);
    for (size_t i = 0; tools.type == JV_LIST && r->st == LLM_OK && i < tools.u.list->n; i++)
        out.u.list->items[i] = lls_kimi_sort(r, tools.u.list->items[i]);
    return out;
}

/* ---- Writing --------------------------------------------------------------------------------- */

static void put(writer_t *w, lls_jval_t v)
{
    lls_jval_t text = w->r->st == LLM_OK && v.type != JV_STRING ? lls_jtext(w->r, v) : v;

    if (w->r->st == LLM_OK)
        lls_jpush(w->r, w->out.u.list, &w->cap, text);
}

static void put_c(writer_t *w, const char *text)
{
    if (w->r->st == LLM_OK)
        put(w, lls_jcstr(w->r, text));
}

static void put_indent(writer_t *w, int indent)
{
    for (int i = 0; i < indent; i += STEP)
        put_c(w, "  ");
}

static void put_lines(writer_t *w, const lls_jstr_t *s, int indent)
{
    size_t at = 0;

    for (;;) {
        const char *nl = memchr(s->text + at, '\n', s->len - at);
        size_t      end = nl != NULL ? (size_t)(nl - s->text) : s->len;

        if (end > at) {
            put_indent(w, indent);
            put_c(w, "// ");
            put(w, lls_jsubstr(w->r, s, at, end - at));
        }
        put_c(w, "\n");
        if (nl == NULL || w->r->st != LLM_OK)
            return;
        at = end + 1;
    }
}

/* Whether one was there. */
static bool put_description(writer_t *w, lls_jval_t s, int indent)
{
    const lls_jval_t *text = get(w, s, "description");

    if (!is_some(text))
        return false;
    if (text->type == JV_STRING)
        put_lines(w, text->u.str, indent);
    else
        w->bad = true;
    return true;
}

static bool has_constraint(lls_jval_t type, const char *key)
{
    static const char *const of[][2] = {
        {"string", "maxLength"}, {"string", "minLength"}, {"string", "pattern"},
        {"number", "maximum"},   {"number", "minimum"},   {"integer", "maximum"},
        {"integer", "minimum"},  {"array", "maxItems"},   {"array", "minItems"}};

    for (size_t i = 0; i < LLS_ARRAY_LEN(of); i++)
        if (is_text(&type, of[i][0]) && strcmp(key, of[i][1]) == 0)
            return true;
    return false;
}

/* What "type" decides about; a reference, a union or an enumeration goes before it. */
static bool is_plain(const writer_t *w, lls_jval_t s)
{
    return get(w, s, "$ref") == NULL && get(w, s, "anyOf") == NULL && get(w, s, "enum") == NULL;
}

/* The comment above a schema; whether there is one. */
static bool put_comment(writer_t *w, lls_jval_t s, int indent)
{
    static const char *const keys[] = {"maxItems",  "maxLength", "maximum", "minItems",
                                       "minLength", "minimum",   "pattern"};
    const lls_jval_t        *type = get(w, s, "type");
    bool some = s.type == JV_DICT && put_description(w, s, indent), first = true;

    for (size_t i = 0; type != NULL && is_plain(w, s) && i < LLS_ARRAY_LEN(keys); i++) {
        const lls_jval_t *v = get(w, s, keys[i]);

        if (v == NULL || !has_constraint(*type, keys[i]))
            continue;
        if (first)
            put_indent(w, indent);
        put_c(w, first ? "// " : ", ");
        put_c(w, keys[i]);
        put_c(w, ": ");
        put(w, *v);
        first = false;
    }
    put_c(w, first ? "" : "\n");
    return some || !first;
}

/* ---- Types ----------------------------------------------------------------------------------- */

static void put_type(writer_t *w, lls_jval_t s, int indent);

static void put_reference(writer_t *w, lls_jval_t s)
{
    const lls_jval_t *ref = get(w, s, "$ref");
    const char       *slash;
    lls_jval_t        name;

    if (is_text(ref, "#")) {
        w->self = true;
        put_c(w, "parameters");
        return;
    }
    w->bad |= ref->type != JV_STRING || ref->u.str->len < 8 ||
              memcmp(ref->u.str->text, "#/$defs/", 8) != 0;
    if (w->bad)
        return;
    slash = memrchr(ref->u.str->text, '/', ref->u.str->len);
    name = lls_jsubstr(w->r, ref->u.str, (size_t)(slash + 1 - ref->u.str->text),
                       ref->u.str->len - (size_t)(slash + 1 - ref->u.str->text));
    if (w->r->st == LLM_OK && lls_jdict_text(w->r, w->defs.u.dict, name.u.str) == NULL)
        w->bad = true;
    put(w, name);
}

static void put_any_of(writer_t *w, lls_jval_t types, int indent)
{
    w->bad |= types.type != JV_LIST;
    for (size_t i = 0; !w->bad && w->r->st == LLM_OK && i < types.u.list->n; i++) {
        put_c(w, i != 0 ? " | " : "");
        put_type(w, types.u.list->items[i], indent);
    }
}

/* The one type beside "null". */
static const lls_jval_t *type_of_enum(writer_t *w, const lls_jval_t *type)
{
    const lls_jlist_t *list = type != NULL && type->type == JV_LIST ? type->u.list : NULL;

    if (list == NULL)
        return type;
    if (list->n == 1)
        return &list->items[0];
    w->bad |=
        list->n != 2 || (!is_text(&list->items[0], "null") && !is_text(&list->items[1], "null"));
    return w->bad ? NULL : &list->items[is_text(&list->items[0], "null")];
}

static bool fits(const lls_jval_t *type, lls_jval_t v)
{
    bool integer = lls_jis_int(v) || v.type == JV_BIG;

    return v.type == JV_NONE || (is_text(type, "string")    ? v.type == JV_STRING
                                 : is_text(type, "number")  ? lls_jis_number(v)
                                 : is_text(type, "integer") ? integer
                                 : is_text(type, "boolean") ? v.type == JV_BOOL
                                                            : true);
}

static void put_enum(writer_t *w, lls_jval_t s)
{
    const lls_jval_t *all = get(w, s, "enum"), *type = type_of_enum(w, get(w, s, "type"));

    w->bad |= all->type != JV_LIST;
    for (size_t i = 0; !w->bad && w->r->st == LLM_OK && i < all->u.list->n; i++) {
        lls_jval_t v = all->u.list->items[i];

        w->bad = type != NULL && !fits(type, v);
        put_c(w, i != 0 ? " | " : "");
        put_c(w, v.type == JV_STRING ? "\"" : "");
        put(w, v);
        put_c(w, v.type == JV_STRING ? "\"" : "");
    }
}

static void put_union(writer_t *w, const lls_jlist_t *types)
{
    static const char *const names[][2] = {
        {"string", "string"}, {"number", "number"}, {"integer", "number"},  {"boolean", "boolean"},
        {"null", "null"},     {"object", "{}"},     {"array", "Array<any>"}};

    for (size_t i = 0; !w->bad && i < types->n; i++) {
        size_t k = 0;

        while (k < LLS_ARRAY_LEN(names) && !is_text(&types->items[i], names[k][0]))
            k++;
        put_c(w, i != 0 ? " | " : "");
        if (k < LLS_ARRAY_LEN(names))
            put_c(w, names[k][1]);
        else
            w->bad = true;
    }
}

static void put_array(writer_t *w, lls_jval_t s, int indent)
{
    const lls_jval_t *items = get(w, s, "items");
    size_t            before = w->out.u.list->n;

    put_c(w, "Array<");
    if (!is_some(items)) {
        put_c(w, "any>");
        return;
    }
    put_c(w, "\n");
    if (put_comment(w, *items, indent + STEP)) {
        put_indent(w, indent + STEP);
        put_type(w, *items, indent + STEP);
        put_c(w, "\n");
        put_indent(w, indent);
        put_c(w, ">");
        return;
    }
    if (w->r->st == LLM_OK)
        w->out.u.list->n = before + 1;
    put_type(w, *items, indent);
    put_c(w, ">");
}

/* Python's repr of numbers, JSON of all else. */
static void put_default(writer_t *w, lls_jval_t s, int indent)
{
    static const lls_jstr_t comma = {.text = ", ", .len = 2}, colon = {.text = ": ", .len = 2};
    const lls_jjson_t       how = {.item_sep = &comma, .key_sep = &colon};
    const lls_jval_t       *v = get(w, s, "default");

    if (v == NULL || v->type == JV_NONE)
        return;
    put_indent(w, indent);
    put_c(w, "// Default: ");
    if (w->r->st == LLM_OK)
        put(w, lls_jis_number(*v) ? *v : lls_jtojson(w->r, *v, &how));
    put_c(w, "\n");
}

static bool is_required(const lls_jval_t *required, lls_jval_t name)
{
    for (size_t i = 0; required != NULL && i < required->u.list->n; i++)
        if (required->u.list->items[i].type == JV_STRING &&
            required->u.list->items[i].u.str->len == name.u.str->len &&
            lls_jsame(required->u.list->items[i].u.str->text, name.u.str->text, name.u.str->len))
            return true;
    return false;
}

static void put_property(writer_t *w, lls_jval_t name, lls_jval_t s, bool optional, int indent)
{
    put_comment(w, s, indent);
    put_default(w, s, indent);
    put_indent(w, indent);
    put(w, name);
    put_c(w, optional ? "?: " : ": ");
    put_type(w, s, indent);
}

/* Required properties first, each kind by name, which is the order that they have. */
static size_t put_properties(writer_t *w, lls_jval_t s, int indent, bool by_kind)
{
    const lls_jval_t *all = get(w, s, "properties"), *required = get(w, s, "required");
    size_t            n = 0;

    w->bad |= (all != NULL && all->type != JV_DICT) ||
              (all != NULL && required != NULL && required->type != JV_LIST);
    for (int kind = 0; all != NULL && !w->bad && kind < (by_kind ? 2 : 1); kind++) {
        for (size_t i = 0; !w->bad && w->r->st == LLM_OK && i < all->u.dict->n; i++) {
            bool optional = !is_required(required, all->u.dict->keys[i]);

            if (by_kind && optional != (kind == 1))
                continue;
            put_c(w, n++ != 0 ? ",\n" : "\n");
            put_property(w, all->u.dict->keys[i], all->u.dict->values[i], optional, indent);
        }
    }
    return n;
}

static void register_defs(writer_t *w, lls_jval_t s)
{
    const lls_jval_t *defs = get(w, s, "$defs");

    if (!is_some(defs))
        return;
    w->bad |= defs->type != JV_DICT;
    for (size_t i = 0; !w->bad && i < defs->u.dict->n; i++)
        lls_jdict_put(w->r, w->defs.u.dict, defs->u.dict->keys[i], defs->u.dict->values[i]);
}

static void put_object(writer_t *w, lls_jval_t s, int indent)
{
    const lls_jval_t *more = get(w, s, "additionalProperties");
    size_t            n;

    register_defs(w, s);
    put_c(w, "{");
    n = put_properties(w, s, indent + STEP, true);
    if (more != NULL && more->type != JV_NONE) {
        put_c(w, n++ != 0 ? ",\n" : "\n");
        put_indent(w, indent + STEP);
        put_c(w, "[k: string]: ");
        if (more->type == JV_DICT)
            put_type(w, *more, indent + STEP);
        else if (more->type == JV_BOOL)
            put_c(w, more->u.b ? "any" : "never");
        else
            w->bad = true;
    }
    if (n != 0) {
        put_c(w, "\n");
        put_indent(w, indent);
    }
    put_c(w, "}");
}

static void put_kind(writer_t *w, lls_jval_t s, int indent)
{
    const lls_jval_t *type = get(w, s, "type");

    if (get(w, s, "$ref") != NULL)
        put_reference(w, s);
    else if (get(w, s, "anyOf") != NULL)
        put_any_of(w, *get(w, s, "anyOf"), indent);
    else if (get(w, s, "enum") != NULL)
        put_enum(w, s);
    else if (type == NULL)
        w->bad = true;
    else if (type->type == JV_LIST)
        put_union(w, type->u.list);
    else if (is_text(type, "object"))
        put_object(w, s, indent);
    else if (is_text(type, "array"))
        put_array(w, s, indent);
    else if (is_text(type, "integer"))
        put_c(w, "number");
    else
        put(w, *type);
}

static void put_type(writer_t *w, lls_jval_t s, int indent)
{
    if (w->bad || w->r->st != LLM_OK)
        return;
    if (s.type == JV_BOOL || (s.type == JV_DICT && s.u.dict->n == 0)) {
        put_c(w, s.type == JV_BOOL && !s.u.b ? "null" : "any");
        return;
    }
    w->bad = s.type != JV_DICT || ++w->depth > MAX_SCHEMA_NESTING;
    if (!w->bad)
        put_kind(w, s, indent);
    w->depth--;
}

/* ---- Functions ------------------------------------------------------------------------------- */

/* What was written since there were n pieces, as one text; it is taken back. */
static lls_jval_t take(writer_t *w, size_t n)
{
    static const lls_jstr_t nothing = {.text = ""};
    lls_jlist_t             part = {w->out.u.list->items + n, w->out.u.list->n - n};
    const lls_jval_t        list = {.type = JV_LIST, .u.list = &part};
    lls_jval_t text = w->r->st == LLM_OK ? lls_jjoin(w->r, list, &nothing, true) : lls_jmissing();

    if (w->r->st == LLM_OK)
        w->out.u.list->n = n;
    return text;
}

static void put_interfaces(writer_t *w, lls_jval_t parameters)
{
    size_t n = w->defs.u.dict->n; /* those of definitions themselves are not written */

    if (w->self) {
        put_c(w, "interface parameters {");
        put_c(w, put_properties(w, parameters, STEP, false) != 0 ? "\n}\n" : "}\n");
    }
    for (size_t i = 0; !w->bad && w->r->st == LLM_OK && i < n; i++) {
        lls_jval_t s = w->defs.u.dict->values[i];

        w->bad = s.type != JV_DICT;
        if (!w->bad)
            put_description(w, s, 0);
        put_c(w, "interface ");
        put(w, w->defs.u.dict->keys[i]);
        put_c(w, " ");
        put_type(w, s, 0);
        put_c(w, "\n");
    }
}

static void put_function(writer_t *w, lls_jval_t f)
{
    const lls_jval_t *given = get(w, f, "parameters"), *name = get(w, f, "name");
    size_t            from = w->out.u.list->n;
    lls_jval_t        parameters = is_some(given) ? *given : lls_jdict(w->r, 0), text;
    bool              self;

    w->defs = lls_jdict(w->r, 4);
    w->self = false;
    w->bad |= parameters.type != JV_DICT;
    if (w->bad || w->r->st != LLM_OK)
        return;
    put_object(w, parameters, 0);
    text = take(w, from);
    if (w->bad || w->r->st != LLM_OK)
        return;
    self = w->self;
    put_interfaces(w, parameters);
    put_description(w, f, 0);
    put_c(w, "type ");
    if (name != NULL)
        put(w, *name);
    else
        put_c(w, "function");
    put_c(w, " = (_: ");
    if (self)
        put_c(w, "parameters");
    else
        put(w, text);
    put_c(w, ") => any;\n");
}

lls_jval_t lls_kimi_tools(lls_jrun_t *r, lls_jval_t tools)
{
    writer_t w = {.r = r, .out = lls_jlist(r, JV_LIST, 0)};
    size_t   n = 0;

    if (tools.type != JV_LIST)
        return lls_jmissing();
    for (size_t i = 0; !w.bad && r->st == LLM_OK && i < tools.u.list->n; i++) {
        lls_jval_t        tool = tools.u.list->items[i];
        const lls_jval_t *f = get(&w, tool, "function");

        w.bad = tool.type != JV_DICT;
        if (!is_text(get(&w, tool, "type"), "function") || !is_some(f))
            continue;
        put_c(&w, n++ == 0 ? "# Tools\n\n## functions\nnamespace functions {\n" : "");
        w.bad |= f->type != JV_DICT;
        if (!w.bad)
            put_function(&w, *f);
    }
    put_c(&w, n != 0 ? "}\n" : "");
    return w.bad || r->st != LLM_OK ? lls_jmissing() : take(&w, 0);
}
