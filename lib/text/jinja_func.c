/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters, tests and global functions of templates: one table each.
 */
#include "text/jinja_int.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "text/uniclass.h"

#define MAX_RANGE 100000

static bool bool_arg(const lls_jargs_t *args, size_t pos, const char *name)
{
    const lls_jval_t *v = lls_jarg(args, pos, name);

    return v != NULL && lls_jtrue(*v);
}

/* ---- Filters --------------------------------------------------------------------------------- */

typedef lls_jval_t (*filter_fn)(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args);

static lls_jval_t f_trim(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    lls_jval_t text = lls_jtext(r, v);

    return r->st == LLM_OK
               ? lls_jstrip(r, text.u.str, lls_jstr_arg(r, args, 0, "chars"), true, true)
               : text;
}

static lls_jval_t f_length(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return lls_jint(lls_jlength(r, v));
}

static lls_jval_t f_string(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return lls_jtext(r, v);
}

static lls_jval_t f_tojson(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    const lls_jval_t *indent = lls_jarg(args, 1, "indent");

    if (lls_jarg(args, 2, "separators") != NULL || bool_arg(args, 3, "sort_keys"))
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "tojson with separators or sort_keys");
    return lls_jtojson(r, v, indent != NULL && indent->type == JV_INT ? (int)indent->u.i : -1,
                       bool_arg(args, 0, "ensure_ascii"));
}

static lls_jval_t f_join(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    if (lls_jarg(args, 1, "attribute") != NULL)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "join by an attribute");
    return lls_jjoin(r, v, lls_jstr_arg(r, args, 0, "d"));
}

static lls_jval_t f_list(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return lls_jiter(r, v);
}

static lls_jval_t f_same(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)r, (void)args;
    return v;
}

static lls_jval_t f_default(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    const lls_jval_t *other = lls_jarg(args, 0, "default_value");

    if (v.type != JV_UNDEFINED && !(bool_arg(args, 1, "boolean") && !lls_jtrue(v)))
        return v;
    return other != NULL ? *other : lls_jcstr(r, "");
}

static lls_jval_t end_of(lls_jrun_t *r, lls_jval_t v, bool last)
{
    lls_jval_t list = lls_jiter(r, v);

    if (r->st != LLM_OK || list.u.list->n == 0)
        return lls_jundefined();
    return list.u.list->items[last ? list.u.list->n - 1 : 0];
}

static lls_jval_t f_first(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return end_of(r, v, false);
}

static lls_jval_t f_last(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return end_of(r, v, true);
}

static lls_jval_t f_items(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    if (v.type == JV_UNDEFINED)
        return lls_jlist(r, 0);
    return v.type == JV_DICT ? lls_jpairs(r, v.u.dict)
                             : lls_jraise(r, LLM_ERR_INVALID, "items of %s", lls_jtype_name(v));
}

static lls_jval_t cased(lls_jrun_t *r, lls_jval_t v, enum lls_jcase how)
{
    lls_jval_t text = lls_jtext(r, v);

    return r->st == LLM_OK ? lls_jcase(r, text.u.str, how) : text;
}

static lls_jval_t f_upper(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return cased(r, v, LLS_JUPPER);
}

static lls_jval_t f_lower(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return cased(r, v, LLS_JLOWER);
}

static lls_jval_t f_capitalize(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    (void)args;
    return cased(r, v, LLS_JCAPITALIZE);
}

static lls_jval_t f_replace(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    lls_jval_t text = lls_jtext(r, v);

    return r->st == LLM_OK ? lls_jmethod(r, text, "replace", 7, args) : text;
}

static lls_jval_t f_int(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    char text[24], *end;

    (void)args;
    if (v.type == JV_INT)
        return v;
    if (v.type == JV_BOOL)
        return lls_jint(v.u.b);
    if (v.type == JV_FLOAT && fabs(v.u.f) < 9e18)
        return lls_jint((int64_t)v.u.f);
    if (v.type == JV_STRING && v.u.str->len < 19 && v.u.str->len > 0) {
        memcpy(text, v.u.str->text, v.u.str->len);
        text[v.u.str->len] = '\0';
        int64_t i = strtoll(text, &end, 10);
        return *end == '\0' ? lls_jint(i) : lls_jint(0);
    }
    return v.type == JV_STRING && v.u.str->len >= 19
               ? lls_jraise(r, LLM_ERR_UNSUPPORTED, "numbers of more than 18 digits") : lls_jint(0);
}

static lls_jval_t f_reverse(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    lls_jval_t list = lls_jiter(r, v), out;

    (void)args;
    out = r->st == LLM_OK ? lls_jlist(r, list.u.list->n) : list;
    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++)
        out.u.list->items[i] = list.u.list->items[list.u.list->n - 1 - i];
    return v.type == JV_STRING && r->st == LLM_OK ? lls_jjoin(r, out, NULL) : out;
}

/* item.attr.attr of an element */
static lls_jval_t dotted(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *path)
{
    for (size_t at = 0; r->st == LLM_OK && at <= path->len;) {
        const char *dot = memchr(path->text + at, '.', path->len - at);
        size_t      end = dot != NULL ? (size_t)(dot - path->text) : path->len;

        v = lls_jget(r, v, path->text + at, end - at);
        at = end + 1;
    }
    return v;
}

static lls_jval_t f_map(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    const lls_jstr_t *attr = lls_jstr_arg(r, args, 9, "attribute"),
                     *filter = lls_jstr_arg(r, args, 0, "filter");
    lls_jval_t        list = lls_jiter(r, v), out;
    lls_jargs_t       none = { 0 };

    if (r->st == LLM_OK && attr == NULL && filter == NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "map needs an attribute or a filter");
    out = r->st == LLM_OK ? lls_jlist(r, list.u.list->n) : list;
    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++)
        out.u.list->items[i] = attr != NULL ? dotted(r, list.u.list->items[i], attr)
                                            : lls_jfilter(r, filter->text, filter->len,
                                                          list.u.list->items[i], &none);
    return out;
}

static lls_jval_t select_by(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args, bool attr,
                            bool keep)
{
    const lls_jstr_t *name = attr ? lls_jneed_str(r, args, 0, "attribute") : NULL;
    const lls_jstr_t *test = lls_jstr_arg(r, args, attr, "test");
    lls_jval_t        list = lls_jiter(r, v), *items = NULL;
    lls_jargs_t       rest = { .n_pos = args->n_pos > (size_t)attr + 1 };
    size_t            n = 0, cap = 0;

    if (rest.n_pos != 0)
        rest.pos[0] = args->pos[attr + 1];
    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++) {
        lls_jval_t item = list.u.list->items[i], what = attr ? dotted(r, item, name) : item;
        bool is = test != NULL ? lls_jtest(r, test->text, test->len, what, &rest) : lls_jtrue(what);

        if (is == keep)
            lls_jpush(r, &items, &n, &cap, item);
    }
    return lls_jlist_of(r, items, n);
}

static lls_jval_t f_selectattr(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    return select_by(r, v, args, true, true);
}

static lls_jval_t f_rejectattr(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    return select_by(r, v, args, true, false);
}

static lls_jval_t f_select(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    return select_by(r, v, args, false, true);
}

static lls_jval_t f_reject(lls_jrun_t *r, lls_jval_t v, const lls_jargs_t *args)
{
    return select_by(r, v, args, false, false);
}

lls_jval_t lls_jfilter(lls_jrun_t *r, const char *name, size_t len, lls_jval_t v,
                       const lls_jargs_t *args)
{
    static const struct filter {
        const char *name;
        filter_fn   fn;
    } filters[] = {
        { "trim", f_trim },       { "length", f_length },     { "count", f_length },
        { "string", f_string },   { "tojson", f_tojson },     { "join", f_join },
        { "list", f_list },       { "safe", f_same },         { "default", f_default },
        { "d", f_default },       { "first", f_first },       { "last", f_last },
        { "items", f_items },     { "upper", f_upper },       { "lower", f_lower },
        { "capitalize", f_capitalize }, { "replace", f_replace }, { "int", f_int },
        { "reverse", f_reverse }, { "map", f_map },           { "selectattr", f_selectattr },
        { "rejectattr", f_rejectattr }, { "select", f_select }, { "reject", f_reject },
    };

    if (r->st != LLM_OK)
        return lls_jundefined();
    for (size_t i = 0; i < LLS_ARRAY_LEN(filters); i++)
        if (lls_jis(name, len, filters[i].name))
            return filters[i].fn(r, v, args);
    return lls_jraise(r, LLM_ERR_UNSUPPORTED, "the filter '%.*s'", (int)(len > 40 ? 40 : len),
                      name);
}

/* ---- Tests ----------------------------------------------------------------------------------- */

enum test {
    T_DEFINED, T_UNDEFINED, T_NONE, T_STRING, T_MAPPING, T_ITERABLE, T_SEQUENCE, T_NUMBER,
    T_INTEGER, T_FLOAT, T_BOOLEAN, T_TRUE, T_FALSE, T_ODD, T_EVEN, T_EQ, T_NE, T_LT, T_GT, T_LE,
    T_GE, T_IN
};

static const struct test_name {
    const char *name;
    uint8_t     test;
} test_names[] = {
    { "defined", T_DEFINED },   { "undefined", T_UNDEFINED }, { "none", T_NONE },
    { "string", T_STRING },     { "mapping", T_MAPPING },     { "iterable", T_ITERABLE },
    { "sequence", T_SEQUENCE }, { "number", T_NUMBER },       { "integer", T_INTEGER },
    { "float", T_FLOAT },       { "boolean", T_BOOLEAN },     { "true", T_TRUE },
    { "false", T_FALSE },       { "odd", T_ODD },             { "even", T_EVEN },
    { "eq", T_EQ },             { "equalto", T_EQ },          { "ne", T_NE },
    { "lt", T_LT },             { "gt", T_GT },               { "le", T_LE },
    { "ge", T_GE },             { "in", T_IN },
};

static bool test_with_argument(lls_jrun_t *r, uint8_t test, lls_jval_t v, const lls_jargs_t *args)
{
    if (args->n_pos == 0) {
        lls_jraise(r, LLM_ERR_INVALID, "the test needs an argument");
        return false;
    }
    switch (test) {
    case T_EQ:
        return lls_jequal(v, args->pos[0], 0);
    case T_NE:
        return !lls_jequal(v, args->pos[0], 0);
    case T_LT:
        return lls_jcompare(r, v, args->pos[0]) < 0;
    case T_GT:
        return lls_jcompare(r, v, args->pos[0]) > 0;
    case T_LE:
        return lls_jcompare(r, v, args->pos[0]) <= 0;
    case T_GE:
        return lls_jcompare(r, v, args->pos[0]) >= 0;
    default:
        return lls_jcontains(r, args->pos[0], v);
    }
}

static bool test_parity(lls_jrun_t *r, lls_jval_t v, bool odd)
{
    if (v.type != JV_INT)
        lls_jraise(r, LLM_ERR_INVALID, "%s is neither odd nor even", lls_jtype_name(v));
    return v.type == JV_INT && ((v.u.i & 1) != 0) == odd;
}

static bool test_type(uint8_t test, lls_jval_t v)
{
    bool sized = v.type == JV_STRING || v.type == JV_LIST || v.type == JV_DICT;

    switch (test) {
    case T_DEFINED:
        return v.type != JV_UNDEFINED;
    case T_UNDEFINED:
        return v.type == JV_UNDEFINED;
    case T_NONE:
        return v.type == JV_NONE;
    case T_STRING:
        return v.type == JV_STRING;
    case T_MAPPING:
        return v.type == JV_DICT;
    case T_ITERABLE:
    case T_SEQUENCE:
        return sized || v.type == JV_UNDEFINED;
    case T_NUMBER:
        return v.type == JV_INT || v.type == JV_FLOAT || v.type == JV_BOOL;
    case T_INTEGER:
        return v.type == JV_INT;
    case T_FLOAT:
        return v.type == JV_FLOAT;
    case T_BOOLEAN:
        return v.type == JV_BOOL;
    default:
        return v.type == JV_BOOL && v.u.b == (test == T_TRUE);
    }
}

bool lls_jtest(lls_jrun_t *r, const char *name, size_t len, lls_jval_t v, const lls_jargs_t *args)
{
    for (size_t i = 0; r->st == LLM_OK && i < LLS_ARRAY_LEN(test_names); i++) {
        uint8_t test = test_names[i].test;

        if (!lls_jis(name, len, test_names[i].name))
            continue;
        if (test >= T_EQ)
            return test_with_argument(r, test, v, args);
        return test == T_ODD || test == T_EVEN ? test_parity(r, v, test == T_ODD)
                                               : test_type(test, v);
    }
    lls_jraise(r, LLM_ERR_UNSUPPORTED, "the test '%.*s'", (int)(len > 40 ? 40 : len), name);
    return false;
}

/* ---- Global functions ------------------------------------------------------------------------ */

static lls_jval_t g_raise(lls_jrun_t *r, const lls_jargs_t *args)
{
    lls_jval_t text = args->n_pos != 0 ? lls_jtext(r, args->pos[0]) : lls_jcstr(r, "");

    if (r->st != LLM_OK)
        return text;
    return lls_jraise(r, LLM_ERR_INVALID, "the template refuses: %.*s",
                      (int)(text.u.str->len > 250 ? 250 : text.u.str->len), text.u.str->text);
}

static lls_jval_t g_namespace(lls_jrun_t *r, const lls_jargs_t *args)
{
    lls_jval_t out = lls_jdict(r, args->n_kw + 4);

    for (size_t i = 0; r->st == LLM_OK && i < args->n_kw; i++)
        lls_jdict_put(r, out.u.dict, lls_jstring(r, args->kw_name[i], args->kw_len[i], false),
                      args->kw[i]);
    if (args->n_pos != 0)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "namespace of a dictionary");
    out.type = r->st == LLM_OK ? JV_NAMESPACE : JV_UNDEFINED;
    return out;
}

static lls_jval_t g_range(lls_jrun_t *r, const lls_jargs_t *args)
{
    int64_t    v[3] = { 0, 0, 1 }, n;
    lls_jval_t out;

    if (args->n_pos < 1 || args->n_pos > 3)
        return lls_jraise(r, LLM_ERR_INVALID, "range needs 1 to 3 arguments");
    for (size_t i = 0; i < args->n_pos; i++) {
        if (args->pos[i].type != JV_INT || args->pos[i].u.i > INT32_MAX ||
            args->pos[i].u.i < INT32_MIN)
            return lls_jraise(r, LLM_ERR_INVALID, "range needs small integers");
        v[args->n_pos == 1 ? 1 : i] = args->pos[i].u.i;
    }
    if (v[2] == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "the step of range is 0");
    n = v[2] > 0 ? (v[1] - v[0] + v[2] - 1) / v[2] : (v[0] - v[1] - v[2] - 1) / -v[2];
    n = n < 0 ? 0 : n;
    if (n > MAX_RANGE)
        return lls_jraise(r, LLM_ERR_INVALID, "a range of more than %d", MAX_RANGE);
    out = lls_jlist(r, (size_t)n);
    for (int64_t i = 0; r->st == LLM_OK && i < n; i++)
        out.u.list->items[i] = lls_jint(v[0] + i * v[2]);
    return out;
}

/* In UTC: the library reads no environment, and so no time zone. */
static lls_jval_t g_strftime(lls_jrun_t *r, const lls_jargs_t *args)
{
    const lls_jstr_t *format = lls_jneed_str(r, args, 0, "format");
    time_t            now = (time_t)(lls_clock_wall_us() / 1000000);
    char              text[64], out[256], *copy;
    struct tm         tm;
    size_t            n;

    if (format == NULL)
        return lls_jundefined();
    if (format->len >= sizeof text)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "a time format of more than 63 bytes");
    memcpy(text, format->text, format->len);
    text[format->len] = '\0';
    gmtime_r(&now, &tm);
    n = strftime(out, sizeof out, text, &tm);
    copy = lls_jalloc(r, n);
    if (copy == NULL)
        return lls_jundefined();
    memcpy(copy, out, n);
    return lls_jstring(r, copy, n, false);
}

static const struct global {
    const char *name;
    lls_jval_t (*fn)(lls_jrun_t *r, const lls_jargs_t *args);
} globals[] = {
    { "raise_exception", g_raise }, { "namespace", g_namespace }, { "range", g_range },
    { "strftime_now", g_strftime },
};

bool lls_jis_global(const char *name, size_t len)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(globals); i++)
        if (lls_jis(name, len, globals[i].name))
            return true;
    return false;
}

lls_jval_t lls_jcall_global(lls_jrun_t *r, const char *name, size_t len, const lls_jargs_t *args)
{
    for (size_t i = 0; i < LLS_ARRAY_LEN(globals); i++)
        if (lls_jis(name, len, globals[i].name))
            return globals[i].fn(r, args);
    return lls_jraise(r, LLM_ERR_INVALID, "'%.*s' is undefined", (int)(len > 40 ? 40 : len), name);
}
