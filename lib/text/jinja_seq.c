/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters about sequences: those that sort, pick, and make generators.
 */
#include "text/jinja_filter.h"

static lls_jval_t optional(lls_jval_t v) { return v.type == JV_MISSING ? lls_jnone() : v; }

/* ---- Keys ------------------------------------------------------------------------------------ */

static lls_jval_t ignore_case(lls_jrun_t *r, lls_jval_t v, bool case_sensitive)
{
    return r->st == LLM_OK && v.type == JV_STRING && !case_sensitive
               ? lls_jcased(r, v.u.str, LLS_JLOWER)
               : v;
}

/* "a,b" of an element, as a list. */
static lls_jval_t multi_key(lls_jrun_t *r, lls_jval_t item, lls_jval_t attribute, bool sensitive)
{
    lls_jval_t out = lls_jlist(r, JV_LIST, 0), v;
    size_t     cap = 0;

    if (attribute.type != JV_STRING) {
        v = ignore_case(r, lls_jfollow(r, item, attribute, lls_jmissing()), sensitive);
        if (r->st == LLM_OK)
            lls_jpush(r, out.u.list, &cap, v);
        return out;
    }
    for (size_t at = 0; r->st == LLM_OK && at <= attribute.u.str->len;) {
        const lls_jstr_t *s = attribute.u.str;
        const char       *comma = memchr(s->text + at, ',', s->len - at);
        size_t            end = comma != NULL ? (size_t)(comma - s->text) : s->len;
        lls_jval_t        path = lls_jsubstr(r, s, at, end - at);

        if (r->st == LLM_OK)
            v = ignore_case(r, lls_jfollow(r, item, path, lls_jmissing()), sensitive);
        if (r->st == LLM_OK)
            lls_jpush(r, out.u.list, &cap, v);
        at = end + 1;
    }
    return out;
}

static lls_jval_t sort_by(lls_jrun_t *r, lls_jval_t list, lls_jval_t keys, bool reverse)
{
    if (r->st == LLM_OK)
        lls_jsort(r, list.u.list->items, keys.u.list->items, list.u.list->n, reverse);
    return r->st == LLM_OK ? list : lls_jmissing();
}

FILTER_OF(lls_jf_sort)
{
    lls_jval_t list = lls_jlist_of(r, self), keys = lls_jmissing();

    UNUSED;
    if (r->st == LLM_OK)
        keys = lls_jlist(r, JV_LIST, list.u.list->n);
    for (size_t i = 0; r->st == LLM_OK && lls_jcharge(r, 1) && i < list.u.list->n; i++)
        keys.u.list->items[i] =
            multi_key(r, list.u.list->items[i], optional(a[2]), lls_jflag(a[1], false));
    return sort_by(r, list, keys, lls_jflag(a[0], false));
}

FILTER_OF(lls_jf_dictsort)
{
    const lls_jstr_t *by = lls_jstr_arg(r, a[1]);
    bool              value = by != NULL && lls_jstr_is(by, "value");
    lls_jval_t        list, keys = lls_jmissing();

    UNUSED;
    if (r->st == LLM_OK && a[1].type != JV_MISSING && !value &&
        (by == NULL || !lls_jstr_is(by, "key")))
        lls_jraise(r, LLM_ERR_INVALID, "dictsort takes key or value");
    if (r->st == LLM_OK && self.type == JV_UNDEFINED)
        lls_jraise_undefined(r, self);
    if (r->st == LLM_OK && self.type != JV_DICT)
        lls_jraise(r, LLM_ERR_INVALID, "a %s has no items", lls_jtype_name(self));
    if (r->st != LLM_OK)
        return lls_jmissing();
    list =
        lls_jlist_of(r, (lls_jval_t){.type = JV_VIEW, .sub = JVIEW_ITEMS, .u.dict = self.u.dict});
    if (r->st == LLM_OK)
        keys = lls_jlist(r, JV_LIST, list.u.list->n);
    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++)
        keys.u.list->items[i] =
            ignore_case(r, list.u.list->items[i].u.list->items[value], lls_jflag(a[0], false));
    return sort_by(r, list, keys, lls_jflag(a[2], false));
}

/* Elements in the order of a key, those with equal ones together. */
FILTER_OF(lls_jf_groupby)
{
    bool       sensitive = lls_jflag(a[2], false);
    lls_jval_t list = lls_jlist_of(r, self), keys = lls_jmissing(), plain, out;
    size_t     cap = 0, from = 0;

    UNUSED;
    if (r->st == LLM_OK)
        keys = lls_jlist(r, JV_LIST, list.u.list->n);
    for (size_t i = 0; r->st == LLM_OK && lls_jcharge(r, 1) && i < list.u.list->n; i++)
        keys.u.list->items[i] =
            ignore_case(r, lls_jfollow(r, list.u.list->items[i], a[0], a[1]), sensitive);
    list = sort_by(r, list, keys, false);
    out = lls_jlist(r, JV_LIST, 0);
    for (size_t i = 0; r->st == LLM_OK && i <= list.u.list->n; i++) {
        lls_jval_t key = lls_jmissing(), first = lls_jmissing(), group;

        if (i < list.u.list->n)
            key = ignore_case(r, lls_jfollow(r, list.u.list->items[i], a[0], a[1]), sensitive);
        if (r->st == LLM_OK && i != 0)
            first = ignore_case(r, lls_jfollow(r, list.u.list->items[from], a[0], a[1]), sensitive);
        if (r->st != LLM_OK || i == 0 || (i < list.u.list->n && lls_jequal(r, key, first)))
            continue;
        plain = lls_jfollow(r, list.u.list->items[from], a[0], a[1]);
        group = lls_jlist(r, JV_LIST, i - from);
        if (r->st != LLM_OK)
            break;
        memcpy(group.u.list->items, list.u.list->items + from, (i - from) * sizeof group);
        group = lls_jpair(r, plain, group);
        group.sub = 1; /* has the names grouper and list */
        lls_jpush(r, out.u.list, &cap, group);
        from = i;
    }
    return r->st == LLM_OK ? out : lls_jmissing();
}

FILTER_OF(lls_jf_extreme)
{
    bool        sensitive = lls_jflag(a[0], false);
    lls_jval_t  best = lls_jmissing(), best_key = best, v, key;
    lls_jiter_t it;

    UNUSED;
    if (!lls_jiter_begin(r, self, &it))
        return lls_jmissing();
    while (lls_jcharge(r, 1) && lls_jiter_next(r, &it, &v)) {
        key = ignore_case(r, lls_jfollow(r, v, optional(a[1]), lls_jmissing()), sensitive);
        if (r->st == LLM_OK && (best.type == JV_MISSING ||
                                lls_jless(r, f->code != 0 ? JO_GT : JO_LT, key, best_key))) {
            best = v;
            best_key = key;
        }
    }
    if (r->st == LLM_OK && best.type == JV_MISSING)
        return lls_jundefined(JU_OTHER, NULL);
    return best;
}

FILTER_OF(lls_jf_sum)
{
    lls_jval_t  out = a[1].type != JV_MISSING ? a[1] : lls_jint(0), v;
    lls_jiter_t it;

    UNUSED;
    if (out.type == JV_STRING)
        return lls_jraise(r, LLM_ERR_INVALID, "strings are joined, not summed");
    if (!lls_jiter_begin(r, self, &it))
        return lls_jmissing();
    while (lls_jcharge(r, 1) && lls_jiter_next(r, &it, &v)) {
        v = lls_jfollow(r, v, optional(a[0]), lls_jmissing());
        if (r->st == LLM_OK)
            out = lls_jbinary(r, JO_ADD, out, v);
    }
    return r->st == LLM_OK ? out : lls_jmissing();
}

/* ---- Whole sequences ------------------------------------------------------------------------- */

FILTER_OF(lls_jf_list)
{
    UNUSED;
    return lls_jlist_of(r, self);
}

static bool reversible(lls_jval_t v)
{
    return v.type == JV_STRING || lls_jis_seq(v) || v.type == JV_DICT || v.type == JV_VIEW ||
           v.type == JV_RANGE || v.type == JV_UNDEFINED;
}

/* first and last */
FILTER_OF(lls_jf_end)
{
    lls_jval_t  v;
    lls_jiter_t it;

    UNUSED;
    if (f->code == 0) {
        if (!lls_jiter_begin(r, self, &it))
            return lls_jmissing();
        if (!lls_jiter_next(r, &it, &v))
            return r->st == LLM_OK ? lls_jundefined(JU_OTHER, NULL) : lls_jmissing();
        return v;
    }
    if (!reversible(self))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s has no last element", lls_jtype_name(self));
    if (lls_jlength(self) == 0)
        return lls_jundefined(JU_OTHER, NULL);
    v = lls_jitem_at(r, self, (size_t)lls_jlength(self) - 1);
    return r->st == LLM_OK && v.type == JV_STRING && self.type == JV_STRING
               ? lls_jmark_safe(r, v.u.str, self.u.str->safe)
               : v;
}

FILTER_OF(lls_jf_join)
{
    lls_jval_t        out, sep_v = a[0].type != JV_MISSING ? lls_jtext(r, a[0]) : lls_jcstr(r, "");
    const lls_jstr_t *sep = r->st == LLM_OK ? sep_v.u.str : NULL;
    lls_jval_t        list = self;

    UNUSED;
    if (r->st == LLM_OK && a[1].type != JV_MISSING && a[1].type != JV_NONE) {
        list = lls_jlist_of(r, self);
        for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++)
            list.u.list->items[i] = lls_jfollow(r, list.u.list->items[i], a[1], lls_jmissing());
    }
    out = r->st == LLM_OK ? lls_jjoin(r, list, sep, true) : lls_jmissing();
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, false) : out;
}

/* ---- Generators ------------------------------------------------------------------------------ */

static lls_jgen_t *new_gen(lls_jrun_t *r, uint8_t kind, lls_jval_t of, lls_jval_t *out)
{
    lls_jgen_t *g = lls_jalloc(r, sizeof *g);

    *out = lls_jmissing();
    if (g == NULL)
        return NULL;
    *g = (lls_jgen_t){.kind = kind, .of = of, .fill = lls_jnone(), .keep = true};
    *out = (lls_jval_t){.type = JV_GEN, .u.gen = g};
    return g;
}

FILTER_OF(lls_jf_items)
{
    lls_jval_t out;

    UNUSED;
    new_gen(r, JG_ITEMS, self, &out);
    return out;
}

FILTER_OF(lls_jf_reverse)
{
    lls_jval_t out;

    UNUSED;
    if (self.type == JV_STRING)
        return lls_jslice(r, self, lls_jnone(), lls_jnone(), lls_jint(-1));
    if (reversible(self)) {
        new_gen(r, JG_REVERSED, self, &out);
        return out;
    }
    out = lls_jlist_of(r, self);
    return r->st == LLM_OK ? lls_jslice(r, out, lls_jnone(), lls_jnone(), lls_jint(-1)) : out;
}

/* batch and slice */
FILTER_OF(lls_jf_batch)
{
    lls_jval_t  out;
    lls_jgen_t *g = new_gen(r, f->code, self, &out);
    int64_t     n = lls_jint_arg(r, a[0], 0);

    UNUSED;
    if (g == NULL || r->st != LLM_OK)
        return lls_jmissing();
    g->fill = optional(a[1]);
    if (n <= 0 && f->code == JG_SLICE)
        return lls_jraise(r, n == 0 ? LLM_ERR_INVALID : LLM_ERR_UNSUPPORTED,
                          "slice needs a positive number");
    g->n = n < 0 ? SIZE_MAX : (size_t)n;
    return out;
}

FILTER_OF(lls_jf_unique)
{
    lls_jval_t  out, seen = lls_jdict(r, 4);
    lls_jgen_t *g = new_gen(r, JG_UNIQUE, self, &out);

    UNUSED;
    if (g == NULL || r->st != LLM_OK)
        return lls_jmissing();
    g->case_sensitive = lls_jflag(a[0], false);
    g->attribute = optional(a[1]);
    g->seen = seen.u.dict;
    return out;
}

/* The arguments behind the first n. */
static lls_jargs_t rest_of(const lls_jargs_t *args, size_t n)
{
    lls_jargs_t rest = *args;

    rest.pos += n;
    rest.n_pos -= n;
    return rest;
}

static bool find_by_value(lls_jrun_t *r, lls_jval_t name, bool filter, const lls_jfunc_t **out)
{
    const lls_jstr_t *s = name.type == JV_STRING ? name.u.str : NULL;

    *out = s == NULL ? NULL
           : filter  ? lls_jfind_filter(s->text, s->len)
                     : lls_jfind_test(s->text, s->len);
    return r->st == LLM_OK;
}

/* map(name, ...) or map(attribute = path, default = value).  Mistakes come out when it is walked.
 */
FILTER_OF(lls_jf_map)
{
    lls_jval_t  out;
    lls_jgen_t *g = new_gen(r, JG_MAP, self, &out);
    bool        wrong = false;

    UNUSED;
    if (g == NULL)
        return lls_jmissing();
    for (size_t i = 0; args->n_pos == 0 && i < args->n_kw; i++) {
        if (lls_jstr_is(args->kw_name[i], "attribute"))
            g->attribute = args->kw[i];
        else if (lls_jstr_is(args->kw_name[i], "default"))
            g->fill = args->kw[i];
        else
            wrong = true;
    }
    if (args->n_pos != 0) {
        if (!find_by_value(r, args->pos[0], true, &g->fn))
            return lls_jmissing();
        g->args = rest_of(args, 1);
        wrong = g->fn == NULL;
    }
    if (wrong || (args->n_pos == 0 && g->attribute.type == JV_MISSING)) {
        static const lls_jfunc_t no_filter = {"map", "", 99, 0, NULL};

        g->fn = &no_filter; /* fails for want of 99 arguments when it is called */
    }
    return out;
}

/* select, reject, selectattr, rejectattr */
FILTER_OF(lls_jf_select)
{
    lls_jval_t               out;
    lls_jgen_t              *g = new_gen(r, JG_SELECT, self, &out);
    size_t                   n = (f->code & LLS_JSELECT_ATTR) != 0;
    static const lls_jfunc_t no_test = {"select", "", 99, 0, NULL};

    UNUSED;
    if (g == NULL)
        return lls_jmissing();
    g->keep = (f->code & LLS_JSELECT_REJECT) == 0;
    if (n != 0 && args->n_pos == 0)
        g->fn = &no_test;
    else if (n != 0)
        g->attribute = args->pos[0];
    if (args->n_pos > n) {
        if (!find_by_value(r, args->pos[n], false, &g->fn))
            return lls_jmissing();
        g->args = rest_of(args, n + 1);
        if (g->fn == NULL)
            g->fn = &no_test;
    }
    return out;
}
