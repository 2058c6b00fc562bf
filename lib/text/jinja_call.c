/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calling: arguments to parameters, and the global functions.
 */
#include "text/jinja_val.h"

#include <stdio.h>
#include <time.h>

#include "base/clock.h"

#define MAX_PARAMS 8

/* ---- Arguments ------------------------------------------------------------------------------- */

typedef struct params { /* a walk over the names of lls_jfunc_t.params */
    const char *at;
    const char *name;
    size_t      len;
    bool        positional_only;
} params_t;

static bool next_param(params_t *p)
{
    if (*p->at == '\0')
        return false;
    p->positional_only = *p->at == '/';
    p->name = p->at + p->positional_only;
    p->len = strcspn(p->name, " ");
    p->at = p->name + p->len + (p->name[p->len] == ' ');
    return true;
}

static bool bind_keyword(lls_jrun_t *r, const lls_jfunc_t *f, const lls_jstr_t *name,
                         lls_jval_t value, lls_jval_t *a)
{
    params_t p = {.at = f->params};

    for (size_t i = 0; next_param(&p); i++) {
        if (p.positional_only || p.len != name->len || memcmp(p.name, name->text, p.len) != 0)
            continue;
        if (a[i].type != JV_MISSING)
            break;
        a[i] = value;
        return true;
    }
    lls_jraise(r, LLM_ERR_INVALID, "'%s' takes no argument '%.*s' here", f->name,
               (int)(name->len > 60 ? 60 : name->len), name->text);
    return false;
}

static bool bind(lls_jrun_t *r, const lls_jfunc_t *f, const lls_jargs_t *args, lls_jval_t *a)
{
    size_t n = *f->params != '\0';

    for (const char *p = f->params; *p != '\0'; p++)
        n += *p == ' ';
    lls_assert(n <= MAX_PARAMS);
    for (size_t i = 0; i < n; i++)
        a[i] = i < args->n_pos ? args->pos[i] : lls_jmissing();
    if (args->n_pos > n) {
        lls_jraise(r, LLM_ERR_INVALID, "'%s' takes at most %zu arguments", f->name, n);
        return false;
    }
    for (size_t i = 0; i < args->n_kw; i++)
        if (!bind_keyword(r, f, args->kw_name[i], args->kw[i], a))
            return false;
    for (size_t i = 0; i < f->n_needed; i++)
        if (i >= n || a[i].type == JV_MISSING) {
            lls_jraise(r, LLM_ERR_INVALID, "'%s' needs %u arguments", f->name, f->n_needed);
            return false;
        }
    return true;
}

const lls_jstr_t *lls_jstr_arg(lls_jrun_t *r, lls_jval_t v)
{
    if (v.type == JV_STRING)
        return v.u.str;
    if (v.type != JV_MISSING && v.type != JV_NONE)
        lls_jraise(r, LLM_ERR_INVALID, "a string is needed here, not %s", lls_jtype_name(v));
    return NULL;
}

int64_t lls_jint_arg(lls_jrun_t *r, lls_jval_t v, int64_t other)
{
    if (v.type == JV_MISSING)
        return other;
    if (v.type == JV_BIG)
        lls_jraise(r, LLM_ERR_INVALID, "an integer of %zu digits is too large here", v.u.big->n);
    else if (!lls_jis_int(v))
        lls_jraise(r, LLM_ERR_INVALID, "an integer is needed here, not %s", lls_jtype_name(v));
    return lls_jis_int(v) ? lls_jint_of(v) : other;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

lls_jval_t lls_jcall_func(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                          const lls_jargs_t *args)
{
    lls_jval_t a[MAX_PARAMS];

    if (r->st != LLM_OK || !lls_jcharge(r, 1))
        return lls_jmissing();
    if (f->params != NULL && !bind(r, f, args, a))
        return lls_jmissing();
    return f->fn(r, f, self, a, args);
}

static lls_jval_t call_joiner(lls_jrun_t *r, lls_jcycler_t *joiner, const lls_jargs_t *args)
{
    if (args->n_pos + args->n_kw != 0)
        return lls_jraise(r, LLM_ERR_INVALID, "a joiner takes no arguments");
    if (joiner->at++ == 0)
        return lls_jcstr(r, "");
    return joiner->items[0];
}

bool lls_jcallable(lls_jval_t v)
{
    return v.type == JV_FUNC || v.type == JV_METHOD || v.type == JV_MACRO || v.type == JV_LOOP ||
           v.type == JV_JOINER || v.type == JV_UNDEFINED;
}

lls_jval_t lls_jcall(lls_jrun_t *r, lls_jval_t callee, const lls_jargs_t *args)
{
    switch (callee.type) {
    case JV_FUNC:
        return lls_jcall_func(r, callee.u.func, lls_jmissing(), args);
    case JV_METHOD:
        return lls_jcall_func(r, callee.u.method->func, callee.u.method->self, args);
    case JV_MACRO:
        return lls_jcall_macro(r, callee.u.macro, args);
    case JV_LOOP:
        if (args->n_pos != 1 || args->n_kw != 0)
            return lls_jraise(r, LLM_ERR_INVALID, "loop() takes one argument");
        return lls_jcall_loop(r, callee.u.loop, args->pos[0]);
    case JV_JOINER:
        return call_joiner(r, callee.u.cycler, args);
    case JV_UNDEFINED:
        return lls_jraise_undefined(r, callee);
    default:
        return lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be called", lls_jtype_name(callee));
    }
}

/* ---- Global functions ------------------------------------------------------------------------ */

static lls_jval_t g_raise(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self, const lls_jval_t *a,
                          const lls_jargs_t *args)
{
    const lls_jstr_t *s = lls_jstr(r, a[0]);
    size_t            n = s == NULL ? 0 : s->len > 250 ? 250 : s->len;

    (void)f, (void)self, (void)args;
    while (s != NULL && n < s->len && n > 0 && ((uint8_t)s->text[n] & 0xc0) == 0x80)
        n--;
    return s == NULL
               ? lls_jmissing()
               : lls_jraise(r, LLM_ERR_INVALID, "the template refuses: %.*s", (int)n, s->text);
}

/* What dict(mapping or pairs, name = value, ...) makes. */
static bool fill_dict(lls_jrun_t *r, lls_jdict_t *d, const lls_jargs_t *args)
{
    lls_jiter_t it;
    lls_jval_t  v;

    if (args->n_pos > 1) {
        lls_jraise(r, LLM_ERR_INVALID, "dict takes at most one argument without a name");
        return false;
    }
    v = args->n_pos == 1 ? args->pos[0] : lls_jmissing();
    if (v.type == JV_DICT)
        for (size_t i = 0; i < v.u.dict->n && lls_jcharge(r, 1); i++)
            lls_jdict_put(r, d, v.u.dict->keys[i], v.u.dict->values[i]);
    if (v.type != JV_DICT && v.type != JV_MISSING && lls_jiter_begin(r, v, &it)) {
        while (lls_jcharge(r, 1) && lls_jiter_next(r, &it, &v)) {
            lls_jval_t pair = lls_jlist_of(r, v);

            if (r->st == LLM_OK && pair.u.list->n != 2)
                lls_jraise(r, LLM_ERR_INVALID, "dict needs pairs");
            if (r->st == LLM_OK)
                lls_jdict_put(r, d, pair.u.list->items[0], pair.u.list->items[1]);
        }
    }
    for (size_t i = 0; r->st == LLM_OK && i < args->n_kw; i++)
        lls_jdict_put(r, d, lls_jstrval(args->kw_name[i]), args->kw[i]);
    return r->st == LLM_OK;
}

static lls_jval_t g_dict(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self, const lls_jval_t *a,
                         const lls_jargs_t *args)
{
    lls_jval_t out = lls_jdict(r, args->n_kw + 4);

    (void)f, (void)self, (void)a;
    return r->st == LLM_OK && fill_dict(r, out.u.dict, args) ? out : lls_jmissing();
}

bool lls_jname_allowed(lls_jrun_t *r, const lls_jstr_t *name)
{
    if (name->len != 0 && name->text[0] == '_')
        lls_jraise(r, LLM_ERR_INVALID, "a namespace cannot hold '%.*s', which begins with '_'",
                   (int)(name->len > 60 ? 60 : name->len), name->text);
    return r->st == LLM_OK;
}

static lls_jval_t g_namespace(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                              const lls_jval_t *a, const lls_jargs_t *args)
{
    lls_jval_t out = g_dict(r, f, self, a, args);

    for (size_t i = 0; r->st == LLM_OK && i < out.u.dict->n; i++)
        if (out.u.dict->keys[i].type == JV_STRING)
            lls_jname_allowed(r, out.u.dict->keys[i].u.str);
    out.type = r->st == LLM_OK ? JV_NAMESPACE : JV_MISSING;
    return out;
}

static size_t range_length(int64_t start, int64_t stop, int64_t step)
{
    uint64_t span, by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;

    if (step > 0 ? start >= stop : start <= stop)
        return 0;
    span = step > 0 ? (uint64_t)stop - (uint64_t)start : (uint64_t)start - (uint64_t)stop;
    return (size_t)((span - 1) / by + 1);
}

static lls_jval_t g_range(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self, const lls_jval_t *a,
                          const lls_jargs_t *args)
{
    int64_t       v[3] = {0, 0, 1};
    lls_jrange_t *range;

    (void)f, (void)self;
    for (size_t i = 0; i < args->n_pos; i++)
        v[args->n_pos == 1 ? 1 : i] = lls_jint_arg(r, a[i], 0);
    if (v[2] == 0)
        lls_jraise(r, LLM_ERR_INVALID, "the step of range is 0");
    range = r->st == LLM_OK ? lls_jalloc(r, sizeof *range) : NULL;
    if (range == NULL)
        return lls_jmissing();
    *range = (lls_jrange_t){v[0], v[1], v[2], range_length(v[0], v[1], v[2])};
    if (range->n > LLS_JINJA_RANGE)
        return lls_jraise(r, LLM_ERR_INVALID, "a range of more than %d", LLS_JINJA_RANGE);
    return (lls_jval_t){.type = JV_RANGE, .u.range = range};
}

static lls_jval_t g_cycler(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                           const lls_jval_t *a, const lls_jargs_t *args)
{
    lls_jcycler_t *c = lls_jalloc(r, sizeof *c);

    (void)f, (void)self, (void)a;
    if (c == NULL)
        return lls_jmissing();
    if (args->n_pos == 0 || args->n_kw != 0)
        return lls_jraise(r, LLM_ERR_INVALID, "a cycler needs items");
    *c = (lls_jcycler_t){args->pos, args->n_pos, 0};
    return (lls_jval_t){.type = JV_CYCLER, .u.cycler = c};
}

static lls_jval_t g_joiner(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                           const lls_jval_t *a, const lls_jargs_t *args)
{
    lls_jcycler_t *c = lls_jalloc(r, sizeof *c);
    lls_jval_t    *sep = lls_jalloc(r, sizeof *sep);

    (void)f, (void)self, (void)args;
    if (c == NULL || sep == NULL)
        return lls_jmissing();
    *sep = a[0].type != JV_MISSING ? a[0] : lls_jcstr(r, ", ");
    *c = (lls_jcycler_t){sep, 1, 0};
    return (lls_jval_t){.type = JV_JOINER, .u.cycler = c};
}

/* In UTC: the library reads no environment, and so no time zone. */
static lls_jval_t g_strftime(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                             const lls_jval_t *a, const lls_jargs_t *args)
{
    const lls_jstr_t *format = lls_jstr_arg(r, a[0]);
    int64_t           now = r->in->now >= 0 ? r->in->now : lls_clock_wall_us() / 1000000;
    time_t            t = (time_t)now;
    char              text[128], out[1024], *copy;
    struct tm         tm;
    size_t            n;

    (void)f, (void)self, (void)args;
    if (format == NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "strftime_now needs a format");
    if (format->len >= sizeof text || memchr(format->text, 0, format->len) != NULL)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "a time format of more than %zu bytes",
                          sizeof text - 1);
    memcpy(text, format->text, format->len);
    text[format->len] = '\0';
    if (gmtime_r(&t, &tm) == NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "the time is out of range");
    n = strftime(out, sizeof out, text, &tm);
    copy = lls_jalloc(r, n);
    if (copy == NULL)
        return lls_jmissing();
    memcpy(copy, out, n);
    return lls_jstring(r, copy, n, false);
}

static const lls_jfunc_t globals[] = {
    {"raise_exception", "message", 1, 0, g_raise},
    {"namespace", NULL, 0, 0, g_namespace},
    {"range", "/start /stop /step", 1, 0, g_range},
    {"dict", NULL, 0, 0, g_dict},
    {"strftime_now", "format", 1, 0, g_strftime},
    {"cycler", NULL, 0, 0, g_cycler},
    {"joiner", "sep", 0, 0, g_joiner},
};

const lls_jfunc_t *lls_jfind_global(const char *name, size_t len)
{
    return lls_jfind(globals, LLS_ARRAY_LEN(globals), name, len);
}
