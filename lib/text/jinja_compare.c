/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Truth, equality, order and membership of values, as Python has them.
 */
#include "text/jinja_val.h"

#include <math.h>

const char *lls_jtype_name(lls_jval_t v)
{
    /* ORDER jtype */
    static const char *const names[] = {
        "missing",   "undefined", "None",  "bool",     "int",    "int",    "float",
        "str",       "list",      "tuple", "dict",     "view",   "range",  "generator",
        "namespace", "loop",      "macro", "function", "method", "cycler", "joiner"};

    return names[v.type];
}

bool lls_jtrue(lls_jval_t v)
{
    switch (v.type) {
    case JV_MISSING:
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
        return v.u.b;
    case JV_INT:
        return v.u.i != 0;
    case JV_FLOAT:
        return v.u.f != 0;
    case JV_STRING:
        return v.u.str->len != 0;
    case JV_LIST:
    case JV_TUPLE:
        return v.u.list->n != 0;
    case JV_DICT:
    case JV_VIEW:
        return v.u.dict->n != 0;
    case JV_RANGE:
        return v.u.range->n != 0;
    default:
        return true;
    }
}

/* ---- Equality -------------------------------------------------------------------------------- */

static bool same_text(const lls_jstr_t *a, const lls_jstr_t *b)
{
    return a->len == b->len && (a->text == b->text || lls_jsame(a->text, b->text, a->len));
}

static bool equal_numbers(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    if (a.type == JV_BIG || b.type == JV_BIG)
        return a.type == b.type ? lls_jbig_order(r, a, b) == 0
                                : lls_jdouble_of(a) == lls_jdouble_of(b) &&
                                      isfinite(lls_jdouble_of(a)) && lls_jbig_order(r, a, b) == 0;
    if (a.type != JV_FLOAT && b.type != JV_FLOAT)
        return lls_jint_of(a) == lls_jint_of(b);
    if (a.type == JV_FLOAT && b.type == JV_FLOAT)
        return a.u.f == b.u.f;
    /* A long double holds every 64-bit integer and every double. */
    return a.type == JV_FLOAT ? (long double)a.u.f == (long double)lls_jint_of(b)
                              : (long double)lls_jint_of(a) == (long double)b.u.f;
}

static bool equal_lists(lls_jrun_t *r, const lls_jlist_t *a, const lls_jlist_t *b)
{
    if (a == b)
        return true;
    if (a->n != b->n || !lls_jcharge(r, a->n / 4))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!lls_jequal(r, a->items[i], b->items[i]))
            return false;
    return true;
}

static bool equal_dicts(lls_jrun_t *r, const lls_jdict_t *a, lls_jdict_t *b)
{
    if (a == b)
        return true;
    if (a->n != b->n || !lls_jcharge(r, a->n / 4))
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const lls_jval_t *v = lls_jdict_get(r, b, a->keys[i]);

        if (v == NULL || !lls_jequal(r, a->values[i], *v))
            return false;
    }
    return true;
}

static bool equal_ranges(const lls_jrange_t *a, const lls_jrange_t *b)
{
    return a->n == b->n &&
           (a->n == 0 || (a->start == b->start && (a->n == 1 || a->step == b->step)));
}

/* Views of keys and of items are sets. */
static bool equal_views(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    if (a.sub == JVIEW_VALUES || b.sub == JVIEW_VALUES || a.sub != b.sub)
        return false;
    if (a.u.dict->n != b.u.dict->n)
        return false;
    for (size_t i = 0; i < a.u.dict->n; i++) {
        const lls_jval_t *v = lls_jdict_get(r, b.u.dict, a.u.dict->keys[i]);

        if (v == NULL || (a.sub == JVIEW_ITEMS && !lls_jequal(r, a.u.dict->values[i], *v)))
            return false;
    }
    return true;
}

static bool equal_same_type(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    switch (a.type) {
    case JV_STRING:
        return same_text(a.u.str, b.u.str);
    case JV_LIST:
    case JV_TUPLE:
        return equal_lists(r, a.u.list, b.u.list);
    case JV_DICT:
        return equal_dicts(r, a.u.dict, b.u.dict);
    case JV_VIEW:
        return equal_views(r, a, b);
    case JV_RANGE:
        return equal_ranges(a.u.range, b.u.range);
    case JV_METHOD:
        return a.u.method->func == b.u.method->func &&
               lls_jequal(r, a.u.method->self, b.u.method->self);
    case JV_NONE:
    case JV_UNDEFINED:
    case JV_MISSING:
        return true;
    default:
        return a.u.dict == b.u.dict; /* the same object: every pointer of the union */
    }
}

bool lls_jequal(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    bool equal;

    if (lls_jis_number(a) && lls_jis_number(b))
        return equal_numbers(r, a, b);
    if (a.type != b.type)
        return false;
    if (a.type == JV_STRING)
        return same_text(a.u.str, b.u.str);
    equal = lls_jenter(r) && equal_same_type(r, a, b);
    lls_jleave(r);
    return equal && r->st == LLM_OK;
}

/* ---- Order ----------------------------------------------------------------------------------- */

static bool holds(uint8_t op, int order)
{
    return op == JO_LT   ? order < 0
           : op == JO_LE ? order <= 0
           : op == JO_GT ? order > 0
                         : order >= 0;
}

static bool less_numbers(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    long double x, y;

    if (isnan(lls_jdouble_of(a)) || isnan(lls_jdouble_of(b)))
        return false;
    if (a.type == JV_BIG || b.type == JV_BIG)
        return holds(op, lls_jbig_order(r, a, b));
    x = a.type == JV_FLOAT ? (long double)a.u.f : (long double)lls_jint_of(a);
    y = b.type == JV_FLOAT ? (long double)b.u.f : (long double)lls_jint_of(b);
    return holds(op, (x > y) - (x < y));
}

static int order_texts(const lls_jstr_t *a, const lls_jstr_t *b)
{
    size_t n = a->len < b->len ? a->len : b->len;
    int    c = n != 0 ? memcmp(a->text, b->text, n) : 0;

    return c != 0 ? c : (a->len > b->len) - (a->len < b->len);
}

/* The first elements that differ decide. */
static bool less_lists(lls_jrun_t *r, uint8_t op, const lls_jlist_t *a, const lls_jlist_t *b)
{
    size_t n = a->n < b->n ? a->n : b->n;

    for (size_t i = 0; i < n && lls_jcharge(r, 1); i++)
        if (!lls_jequal(r, a->items[i], b->items[i]))
            return lls_jless(r, op, a->items[i], b->items[i]);
    return r->st == LLM_OK && holds(op, (a->n > b->n) - (a->n < b->n));
}

/* Views of keys and items are sets; `proper`: b has more. */
static bool is_subset(lls_jrun_t *r, bool proper, lls_jval_t a, lls_jval_t b)
{
    if (a.u.dict->n > b.u.dict->n || (proper && a.u.dict->n == b.u.dict->n))
        return false;
    for (size_t i = 0; i < a.u.dict->n && lls_jcharge(r, 1); i++)
        if (!lls_jcontains(r, b, lls_jitem_at(r, a, i)))
            return false;
    return r->st == LLM_OK;
}

bool lls_jless(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    bool less;

    if (lls_jis_number(a) && lls_jis_number(b))
        return less_numbers(r, op, a, b);
    if (a.type == JV_STRING && b.type == JV_STRING)
        return holds(op, order_texts(a.u.str, b.u.str));
    if (a.type == JV_UNDEFINED || b.type == JV_UNDEFINED) {
        lls_jraise_undefined(r, a.type == JV_UNDEFINED ? a : b);
        return false;
    }
    if (a.type == JV_VIEW && b.type == JV_VIEW && a.sub != JVIEW_VALUES && b.sub != JVIEW_VALUES)
        return op == JO_LT || op == JO_LE ? is_subset(r, op == JO_LT, a, b)
                                          : is_subset(r, op == JO_GT, b, a);
    if (a.type != b.type || !lls_jis_seq(a)) {
        lls_jraise(r, LLM_ERR_INVALID, "%s and %s have no order", lls_jtype_name(a),
                   lls_jtype_name(b));
        return false;
    }
    less = lls_jenter(r) && less_lists(r, op, a.u.list, b.u.list);
    lls_jleave(r);
    return less;
}

/* Merges [from, middle) and [middle, to) of a into b.  With `reverse` equal ones stay in order too.
 */
static void merge(lls_jrun_t *r, lls_jval_t *const a[2], lls_jval_t *const b[2], size_t from,
                  size_t middle, size_t to, bool reverse)
{
    size_t i = from, k = middle;

    for (size_t at = from; at < to && r->st == LLM_OK; at++) {
        bool   right = k < to && (i >= middle || lls_jless(r, JO_LT, reverse ? a[1][i] : a[1][k],
                                                         reverse ? a[1][k] : a[1][i]));
        size_t take = right ? k++ : i++;

        b[0][at] = a[0][take];
        b[1][at] = a[1][take];
    }
}

void lls_jsort(lls_jrun_t *r, lls_jval_t *items, lls_jval_t *keys, size_t n, bool reverse)
{
    lls_jval_t *spare = lls_jalloc(r, 2 * n * sizeof *spare);
    lls_jval_t *a[2] = {items, keys}, *b[2] = {spare, spare != NULL ? spare + n : NULL};

    for (size_t width = 1; r->st == LLM_OK && width < n; width *= 2) {
        lls_jval_t *swap[2] = {a[0], a[1]};

        if (!lls_jcharge(r, n / 8 + 1))
            return;
        for (size_t from = 0; from < n; from += 2 * width)
            merge(r, a, b, from, from + width < n ? from + width : n,
                  from + 2 * width < n ? from + 2 * width : n, reverse);
        memcpy(a, b, sizeof a);
        memcpy(b, swap, sizeof b);
    }
    if (r->st == LLM_OK && a[0] != items && n != 0)
        memcpy(items, a[0], n * sizeof *items);
}

lls_jval_t lls_jdict_sorted(lls_jrun_t *r, const lls_jdict_t *d)
{
    lls_jval_t order = lls_jlist(r, JV_LIST, d->n), keys = lls_jlist(r, JV_LIST, d->n),
               out = lls_jdict(r, d->n);

    for (size_t i = 0; r->st == LLM_OK && i < d->n; i++) {
        order.u.list->items[i] = lls_jint((int64_t)i);
        keys.u.list->items[i] = d->keys[i];
    }
    if (r->st == LLM_OK)
        lls_jsort(r, order.u.list->items, keys.u.list->items, d->n, false);
    for (size_t i = 0; r->st == LLM_OK && i < d->n; i++) {
        int64_t from = order.u.list->items[i].u.i;

        lls_jdict_put(r, out.u.dict, d->keys[from], d->values[from]);
    }
    return out;
}

/* ---- Membership ------------------------------------------------------------------------------ */

static bool in_string(lls_jrun_t *r, const lls_jstr_t *s, lls_jval_t what)
{
    if (what.type != JV_STRING) {
        lls_jraise(r, LLM_ERR_INVALID, "'in' a string needs a string, not %s",
                   lls_jtype_name(what));
        return false;
    }
    if (!lls_jcharge(r, s->len / 1024))
        return false;
    return what.u.str->len == 0 ||
           memmem(s->text, s->len, what.u.str->text, what.u.str->len) != NULL;
}

static bool in_dict(lls_jrun_t *r, lls_jval_t d, lls_jval_t what)
{
    const lls_jval_t *v;

    if (d.type == JV_VIEW && d.sub == JVIEW_ITEMS) {
        if (what.type != JV_TUPLE || what.u.list->n != 2)
            return false;
        v = lls_jdict_get(r, d.u.dict, what.u.list->items[0]);
        return v != NULL && lls_jequal(r, *v, what.u.list->items[1]);
    }
    if (!lls_jhashable(what)) {
        lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be a key", lls_jtype_name(what));
        return false;
    }
    return lls_jdict_get(r, d.u.dict, what) != NULL;
}

bool lls_jcontains(lls_jrun_t *r, lls_jval_t in, lls_jval_t what)
{
    lls_jiter_t it;
    lls_jval_t  v;

    if (in.type == JV_STRING)
        return in_string(r, in.u.str, what);
    if (in.type == JV_DICT || (in.type == JV_VIEW && in.sub != JVIEW_VALUES))
        return in_dict(r, in, what);
    if (!lls_jiterable(in)) {
        lls_jraise(r, LLM_ERR_INVALID, "a %s holds no elements", lls_jtype_name(in));
        return false;
    }
    if (!lls_jiter_begin(r, in, &it))
        return false;
    for (size_t n = 0; lls_jiter_next(r, &it, &v); n++)
        if ((n % 16 == 15 && !lls_jcharge(r, 1)) || lls_jequal(r, v, what))
            return r->st == LLM_OK;
    return false;
}

/* ---- Hashing --------------------------------------------------------------------------------- */

bool lls_jhashable(lls_jval_t v)
{
    if (v.type == JV_TUPLE) {
        for (size_t i = 0; i < v.u.list->n; i++)
            if (!lls_jhashable(v.u.list->items[i]))
                return false;
        return true;
    }
    return v.type != JV_LIST && v.type != JV_DICT && v.type != JV_VIEW;
}

static uint64_t hash_bytes(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t       h = 14695981039346656037u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h ^ (h >> 29);
}

uint64_t lls_jhash(lls_jval_t v)
{
    double   f;
    uint64_t h = 3;

    switch (v.type) {
    case JV_BOOL:
    case JV_INT:
    case JV_BIG:
    case JV_FLOAT:
        f = lls_jdouble_of(v); /* equal numbers have equal doubles */
        f = f == 0 ? 0 : f;
        return hash_bytes(&f, sizeof f);
    case JV_STRING:
        return hash_bytes(v.u.str->text, v.u.str->len);
    case JV_TUPLE:
        for (size_t i = 0; i < v.u.list->n; i++)
            h = lls_mix64(h, lls_jhash(v.u.list->items[i]));
        return h;
    default:
        return v.type;
    }
}
