/* SPDX-License-Identifier: Apache-2.0 */
/*
 * a.b, a[b] and a[b:c:d].  Of a name both exist: a.b prefers the attribute, a['b'] the item.
 */
#include "text/jinja_val.h"

/* The byte offset of character i of s; s->len for the end. */
size_t lls_jchar_offset(const lls_jstr_t *s, int64_t i)
{
    size_t at = 0;

    for (; i > 0 && at < s->len; i--) {
        at++;
        while (at < s->len && ((uint8_t)s->text[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

/* ---- Attributes and items -------------------------------------------------------------------- */

static lls_jval_t strings_of_params(lls_jrun_t *r, const lls_jmacro_t *m)
{
    lls_jval_t out = lls_jlist(r, JV_TUPLE, 0);
    size_t     cap = 0;

    for (uint32_t at = m->params; r->st == LLM_OK && at != LLS_NONE; at = r->j->nodes[at].next)
        lls_jpush(r, out.u.list, &cap, lls_jstrval(&r->j->strs[r->j->nodes[at].str]));
    return out;
}

static lls_jval_t macro_attr(lls_jrun_t *r, const lls_jmacro_t *m, const lls_jstr_t *name)
{
    if (lls_jstr_is(name, "name"))
        return m->name != NULL ? lls_jstrval(m->name) : lls_jnone();
    if (lls_jstr_is(name, "arguments"))
        return strings_of_params(r, m);
    if (lls_jstr_is(name, "catch_kwargs"))
        return lls_jbool(m->node->kwargs != LLS_NONE);
    if (lls_jstr_is(name, "catch_varargs"))
        return lls_jbool(m->node->varargs != LLS_NONE);
    if (lls_jstr_is(name, "caller"))
        return lls_jbool(m->node->caller != LLS_NONE);
    return lls_jmissing();
}

static lls_jval_t number_attr(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *name)
{
    bool is_float = v.type == JV_FLOAT;

    if (lls_jstr_is(name, "real") || (!is_float && lls_jstr_is(name, "numerator")))
        return v.type == JV_BOOL ? lls_jint(lls_jint_of(v)) : v;
    if (lls_jstr_is(name, "imag"))
        return is_float ? lls_jfloat(0) : lls_jint(0);
    if (!is_float && lls_jstr_is(name, "denominator"))
        return lls_jint(1);
    (void)r;
    return lls_jmissing();
}

static lls_jval_t method_of(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *name)
{
    bool               known = false;
    const lls_jfunc_t *f = lls_jfind_method(v, name, &known);
    lls_jmethod_t     *m;

    if (f == NULL)
        return known ? lls_jundefined(JU_UNSAFE, name) : lls_jmissing();
    if (f->fn == NULL)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "the method '%s' of %s", f->name,
                          lls_jtype_name(v));
    m = lls_jalloc(r, sizeof *m);
    if (m == NULL)
        return lls_jmissing();
    *m = (lls_jmethod_t){v, f};
    return (lls_jval_t){.type = JV_METHOD, .u.method = m};
}

/* What getattr() gives; MISSING if there is no such attribute. */
static lls_jval_t attribute(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *name)
{
    const lls_jval_t *item;

    if (name->len >= 4 && memcmp(name->text, "__", 2) == 0)
        return lls_jmissing();
    switch (v.type) {
    case JV_NAMESPACE:
        item = lls_jdict_text(r, v.u.dict, name);
        return item != NULL ? *item : lls_jmissing();
    case JV_LOOP:
        return lls_jloop_attr(r, v.u.loop, name);
    case JV_MACRO:
        return macro_attr(r, v.u.macro, name);
    case JV_TUPLE:
        if (v.sub != 0 && (lls_jstr_is(name, "grouper") || lls_jstr_is(name, "list")))
            return v.u.list->items[lls_jstr_is(name, "list")];
        break;
    case JV_CYCLER:
        if (lls_jstr_is(name, "current"))
            return v.u.cycler->items[v.u.cycler->at];
        break;
    case JV_RANGE:
        if (lls_jstr_is(name, "start"))
            return lls_jint(v.u.range->start);
        if (lls_jstr_is(name, "stop"))
            return lls_jint(v.u.range->stop);
        if (lls_jstr_is(name, "step"))
            return lls_jint(v.u.range->step);
        break;
    case JV_BOOL:
    case JV_INT:
    case JV_BIG:
    case JV_FLOAT: {
        lls_jval_t number = number_attr(r, v, name);

        if (number.type != JV_MISSING)
            return number;
        break;
    }
    default:
        break;
    }
    return method_of(r, v, name);
}

static lls_jval_t get_index(lls_jrun_t *r, lls_jval_t v, int64_t i)
{
    int64_t n = lls_jlength(v);

    i += i < 0 ? n : 0;
    return i < 0 || i >= n ? lls_jmissing() : lls_jitem_at(r, v, (size_t)i);
}

/* What v[key] gives; MISSING if that raises. */
static lls_jval_t item(lls_jrun_t *r, lls_jval_t v, lls_jval_t key)
{
    const lls_jval_t *found;
    lls_jval_t        out;

    if (v.type == JV_DICT) {
        found = lls_jhashable(key) ? lls_jdict_get(r, v.u.dict, key) : NULL;
        return found != NULL ? *found : lls_jmissing();
    }
    if (!lls_jis_int(key) || !(v.type == JV_STRING || lls_jis_seq(v) || v.type == JV_RANGE))
        return lls_jmissing();
    out = get_index(r, v, lls_jint_of(key));
    return out;
}

/* What Python's object of something undefined has itself; the sandbox hides it. */
static bool is_own_to_undefined(const lls_jstr_t *name)
{
    static const char *const names[] = {"__class__", "__doc__",  "__eq__",   "__hash__",
                                        "__init__",  "__iter__", "__len__",  "__module__",
                                        "__repr__",  "__str__",  "__bool__", "__call__"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(names); i++)
        if (lls_jstr_is(name, names[i]))
            return true;
    return false;
}

lls_jval_t lls_jget_attr(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *name)
{
    lls_jval_t out;

    if (v.type == JV_UNDEFINED && is_own_to_undefined(name))
        return lls_jundefined(JU_UNSAFE, name);
    if (v.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, v);
    out = attribute(r, v, name);
    if (out.type == JV_MISSING && r->st == LLM_OK)
        out = item(r, v, lls_jstrval(name));
    return out.type == JV_MISSING && r->st == LLM_OK ? lls_jundefined(JU_ATTR, name) : out;
}

lls_jval_t lls_jget_item(lls_jrun_t *r, lls_jval_t v, lls_jval_t key)
{
    lls_jval_t out;

    if (v.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, v);
    out = item(r, v, key);
    if (out.type == JV_MISSING && r->st == LLM_OK && key.type == JV_STRING)
        out = attribute(r, v, key.u.str);
    return out.type == JV_MISSING && r->st == LLM_OK
               ? lls_jundefined(JU_ATTR, key.type == JV_STRING ? key.u.str : NULL)
               : out;
}

/* ---- Paths ----------------------------------------------------------------------------------- */

static lls_jval_t part_of_path(lls_jrun_t *r, const lls_jstr_t *path, size_t from, size_t len)
{
    lls_jstr_t part = {.text = path->text + from, .len = len};
    lls_jval_t i;

    for (size_t k = 0; k < len; k++)
        if (part.text[k] < '0' || part.text[k] > '9')
            return lls_jsubstr(r, path, from, len);
    if (len == 0)
        return lls_jcstr(r, "");
    return lls_jparse_int(r, &part, 10, &i) ? i : lls_jmissing();
}

static lls_jval_t follow_one(lls_jrun_t *r, lls_jval_t v, lls_jval_t key, lls_jval_t fallback)
{
    if (r->st != LLM_OK)
        return lls_jmissing();
    v = lls_jget_item(r, v, key);
    return v.type == JV_UNDEFINED && fallback.type != JV_MISSING && fallback.type != JV_NONE
               ? fallback
               : v;
}

lls_jval_t lls_jfollow(lls_jrun_t *r, lls_jval_t v, lls_jval_t path, lls_jval_t fallback)
{
    if (path.type == JV_NONE)
        return v;
    if (path.type != JV_STRING)
        return follow_one(r, v, path, fallback);
    for (size_t at = 0; r->st == LLM_OK && at <= path.u.str->len;) {
        const lls_jstr_t *s = path.u.str;
        const char       *dot = memchr(s->text + at, '.', s->len - at);
        size_t            end = dot != NULL ? (size_t)(dot - s->text) : s->len;

        v = follow_one(r, v, part_of_path(r, s, at, end - at), fallback);
        at = end + 1;
    }
    return v;
}

/* ---- Slices ---------------------------------------------------------------------------------- */

static int64_t bound(lls_jrun_t *r, lls_jval_t v, int64_t n, int64_t other, bool backwards)
{
    int64_t i;

    if (v.type == JV_MISSING || v.type == JV_NONE)
        return other;
    if (v.type == JV_BIG)
        v = lls_jint(v.u.big->minus ? INT64_MIN + n : INT64_MAX);
    if (!lls_jis_int(v)) {
        lls_jraise(r, LLM_ERR_INVALID, "a slice needs integers, not %s", lls_jtype_name(v));
        return other;
    }
    i = lls_jint_of(v);
    if (i < 0)
        i = i < -n ? -1 - n : i;
    i += i < 0 ? n : 0;
    if (i < 0)
        return backwards ? -1 : 0;
    return i >= n ? (backwards ? n - 1 : n) : i;
}

static lls_jval_t slice_list(lls_jrun_t *r, lls_jval_t v, int64_t start, int64_t step, int64_t n)
{
    lls_jval_t out = lls_jlist(r, v.type, (size_t)n);

    if (!lls_jcharge(r, (size_t)n / 16))
        return lls_jmissing();
    for (int64_t i = 0; r->st == LLM_OK && i < n; i++)
        out.u.list->items[i] = v.u.list->items[start + i * step];
    return out;
}

static lls_jval_t slice_range(lls_jrun_t *r, const lls_jrange_t *of, int64_t start, int64_t stop,
                              int64_t step, int64_t n)
{
    lls_jrange_t *range = lls_jalloc(r, sizeof *range);

    if (range == NULL)
        return lls_jmissing();
    *range = (lls_jrange_t){of->start + start * of->step, of->start + stop * of->step,
                            of->step * step, (size_t)n};
    return (lls_jval_t){.type = JV_RANGE, .u.range = range};
}

/* Offsets of the characters, so that any step finds them. */
static lls_jval_t slice_string(lls_jrun_t *r, const lls_jstr_t *s, int64_t start, int64_t step,
                               int64_t n)
{
    const lls_jstr_t **parts;
    lls_jstr_t        *chars;
    size_t             at = 0, count = lls_jchars(s->text, s->len);
    lls_jval_t         out;

    if (step == 1) {
        size_t     from = lls_jchar_offset(s, start);
        lls_jstr_t rest = {.text = s->text + from, .len = s->len - from};

        return lls_jsubstr(r, s, from, lls_jchar_offset(&rest, n));
    }
    chars = lls_jalloc(r, count * sizeof *chars);
    parts = lls_jalloc(r, (size_t)n * sizeof *parts);
    if (chars == NULL || parts == NULL || !lls_jcharge(r, count / 64))
        return lls_jmissing();
    for (size_t i = 0; i < count; i++) {
        lls_jstr_t rest = {.text = s->text + at, .len = s->len - at};

        chars[i] = *s;
        chars[i].text = s->text + at;
        chars[i].mark = s->mark != NULL ? s->mark + at : NULL;
        chars[i].len = lls_jchar_offset(&rest, 1);
        at += chars[i].len;
    }
    for (int64_t i = 0; i < n; i++)
        parts[i] = &chars[start + i * step];
    out = lls_jconcat(r, parts, (size_t)n);
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, s->safe) : out;
}

lls_jval_t lls_jslice(lls_jrun_t *r, lls_jval_t v, lls_jval_t start_v, lls_jval_t stop_v,
                      lls_jval_t step_v)
{
    int64_t step = 1, len, start, stop, n = 0;

    if (v.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, v);
    if (v.type != JV_STRING && !lls_jis_seq(v) && v.type != JV_RANGE)
        return lls_jraise(r, LLM_ERR_INVALID, "a %s has no slices", lls_jtype_name(v));
    if (step_v.type == JV_BIG)
        step = step_v.u.big->minus ? -INT32_MAX : INT32_MAX;
    else if (step_v.type != JV_MISSING && step_v.type != JV_NONE)
        step = lls_jis_int(step_v) ? lls_jint_of(step_v) : 0;
    if (step == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "the step of a slice must be an integer, not 0");
    step = step > INT32_MAX ? INT32_MAX : step < -INT32_MAX ? -INT32_MAX : step;
    len = lls_jlength(v);
    start = bound(r, start_v, len, step > 0 ? 0 : len - 1, step < 0);
    stop = bound(r, stop_v, len, step > 0 ? len : -1, step < 0);
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (step > 0 && start < stop)
        n = (stop - start + step - 1) / step;
    else if (step < 0 && start > stop)
        n = (start - stop - step - 1) / -step;
    if (v.type == JV_STRING)
        return slice_string(r, v.u.str, start, step, n);
    return v.type == JV_RANGE ? slice_range(r, v.u.range, start, stop, step, n)
                              : slice_list(r, v, start, step, n);
}
