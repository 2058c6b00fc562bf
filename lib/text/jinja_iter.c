/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking over values, and the generators that filters give: their elements are worked out when
 * somebody asks, once.
 */
#include "text/jinja_val.h"

#include "base/utf8.h"

bool lls_jiterable(lls_jval_t v)
{
    return v.type == JV_STRING || lls_jis_seq(v) || v.type == JV_DICT || v.type == JV_VIEW ||
           v.type == JV_RANGE || v.type == JV_GEN || v.type == JV_UNDEFINED;
}

int64_t lls_jlength(lls_jval_t v)
{
    switch (v.type) {
    case JV_STRING:
        return (int64_t)lls_jchars(v.u.str->text, v.u.str->len);
    case JV_LIST:
    case JV_TUPLE:
        return (int64_t)v.u.list->n;
    case JV_DICT:
    case JV_VIEW:
        return (int64_t)v.u.dict->n;
    case JV_RANGE:
        return (int64_t)v.u.range->n;
    case JV_UNDEFINED:
        return 0;
    default:
        return -1;
    }
}

lls_jval_t lls_jitem_at(lls_jrun_t *r, lls_jval_t v, size_t i)
{
    size_t from;

    switch (v.type) {
    case JV_LIST:
    case JV_TUPLE:
        return v.u.list->items[i];
    case JV_DICT:
        return v.u.dict->keys[i];
    case JV_VIEW:
        if (v.sub == JVIEW_ITEMS)
            return lls_jpair(r, v.u.dict->keys[i], v.u.dict->values[i]);
        return v.sub == JVIEW_KEYS ? v.u.dict->keys[i] : v.u.dict->values[i];
    case JV_RANGE:
        return lls_jint(v.u.range->start + (int64_t)i * v.u.range->step);
    default:
        from = lls_jchar_offset(v.u.str, (int64_t)i);
        return lls_jsubstr(
            r, v.u.str, from,
            lls_jchar_offset(
                &(lls_jstr_t){.text = v.u.str->text + from, .len = v.u.str->len - from}, 1));
    }
}

bool lls_jiter_begin(lls_jrun_t *r, lls_jval_t v, lls_jiter_t *it)
{
    *it = (lls_jiter_t){.of = v};
    if (r->st == LLM_OK && v.type != JV_LOOP && !lls_jiterable(v))
        lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be iterated", lls_jtype_name(v));
    return r->st == LLM_OK;
}

static bool next_char(lls_jrun_t *r, lls_jiter_t *it, lls_jval_t *out)
{
    const lls_jstr_t *s = it->of.u.str;
    uint32_t          cp;
    size_t            n;

    if (it->at >= s->len)
        return false;
    n = lls_utf8_decode(s->text + it->at, s->len - it->at, &cp);
    n = n == 0 ? 1 : n;
    *out = lls_jsubstr(r, s, it->at, n);
    if (r->st == LLM_OK && s->safe)
        *out = lls_jmark_safe(r, out->u.str, false);
    it->at += n;
    return r->st == LLM_OK;
}

bool lls_jiter_next(lls_jrun_t *r, lls_jiter_t *it, lls_jval_t *out)
{
    if (r->st != LLM_OK)
        return false;
    if (it->of.type == JV_STRING)
        return next_char(r, it, out);
    if (it->of.type == JV_GEN)
        return lls_jgen_next(r, it->of.u.gen, out);
    if (it->of.type == JV_LOOP) { /* goes on with it: each element and the loop */
        if (!lls_jloop_next(r, it->of.u.loop, out))
            return false;
        *out = lls_jpair(r, *out, it->of);
        return r->st == LLM_OK;
    }
    if ((int64_t)it->at >= lls_jlength(it->of))
        return false;
    *out = lls_jitem_at(r, it->of, it->at++);
    return r->st == LLM_OK;
}

lls_jval_t lls_jlist_of(lls_jrun_t *r, lls_jval_t v)
{
    lls_jval_t  out = lls_jlist(r, JV_LIST, 0), item;
    size_t      cap = 0;
    lls_jiter_t it;

    if (r->st != LLM_OK || !lls_jiter_begin(r, v, &it))
        return lls_jmissing();
    while (lls_jiter_next(r, &it, &item)) {
        if (out.u.list->n % 16 == 15 && !lls_jcharge(r, 1))
            break;
        lls_jpush(r, out.u.list, &cap, item);
    }
    return r->st == LLM_OK ? out : lls_jmissing();
}

/* ---- Generators ------------------------------------------------------------------------------ */

static bool map_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    lls_jval_t item;

    if (!lls_jiter_next(r, &g->it, &item))
        return false;
    *out = g->fn != NULL ? lls_jcall_func(r, g->fn, item, &g->args)
                         : lls_jfollow(r, item, g->attribute, g->fill);
    return r->st == LLM_OK;
}

static bool select_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    while (lls_jcharge(r, 1) && lls_jiter_next(r, &g->it, out)) {
        lls_jval_t what = *out;

        if (g->attribute.type != JV_MISSING)
            what = lls_jfollow(r, what, g->attribute, lls_jmissing());
        if (r->st == LLM_OK && g->fn != NULL)
            what = lls_jcall_func(r, g->fn, what, &g->args);
        if (r->st == LLM_OK && lls_jtrue(what) == g->keep)
            return true;
    }
    return false;
}

static bool unique_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    while (lls_jcharge(r, 1) && lls_jiter_next(r, &g->it, out)) {
        lls_jval_t key = g->attribute.type == JV_NONE
                             ? *out
                             : lls_jfollow(r, *out, g->attribute, lls_jmissing());

        if (r->st == LLM_OK && key.type == JV_STRING && !g->case_sensitive)
            key = lls_jcased(r, key.u.str, LLS_JLOWER);
        if (r->st == LLM_OK && !lls_jhashable(key))
            lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be a key", lls_jtype_name(key));
        if (r->st != LLM_OK)
            return false;
        if (lls_jdict_get(r, g->seen, key) == NULL)
            return lls_jdict_put(r, g->seen, key, lls_jnone());
    }
    return false;
}

static bool batch_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    size_t     cap = 0;
    lls_jval_t item;

    *out = lls_jlist(r, JV_LIST, 0);
    /* The element that did not fit into the batch before opens this one. */
    if (g->list != NULL)
        lls_jpush(r, out->u.list, &cap, g->list->items[0]);
    while (r->st == LLM_OK && lls_jiter_next(r, &g->it, &item)) {
        if (out->u.list->n == g->n) {
            lls_jval_t kept = lls_jlist(r, JV_LIST, 1);

            if (r->st != LLM_OK)
                return false;
            kept.u.list->items[0] = item;
            g->list = kept.u.list;
            return true;
        }
        lls_jpush(r, out->u.list, &cap, item);
    }
    g->done = true;
    while (r->st == LLM_OK && g->fill.type != JV_NONE && out->u.list->n != 0 &&
           out->u.list->n < g->n && lls_jcharge(r, 1))
        lls_jpush(r, out->u.list, &cap, g->fill);
    return r->st == LLM_OK && out->u.list->n != 0;
}

/* The g->at-th of g->n slices; the first ones have one element more. */
static bool slice_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    size_t len = g->list->n, each, more, from, n;
    bool   fill;

    if (g->n == 0 || g->at >= g->n)
        return false;
    each = len / g->n;
    more = len % g->n;
    from = g->at * each + (g->at < more ? g->at : more);
    n = each + (g->at < more);
    fill = g->fill.type != JV_NONE && g->at >= more;
    *out = lls_jlist(r, JV_LIST, n + fill);
    if (r->st != LLM_OK)
        return false;
    memcpy(out->u.list->items, g->list->items + from, n * sizeof *g->list->items);
    if (fill)
        out->u.list->items[n] = g->fill;
    g->at++;
    return lls_jcharge(r, 1);
}

/* What happens when the first element is asked for. */
static bool start(lls_jrun_t *r, lls_jgen_t *g)
{
    lls_jval_t list;

    g->started = true;
    switch (g->kind) {
    case JG_ITEMS:
        if (g->of.type == JV_DICT)
            g->it.of = (lls_jval_t){.type = JV_VIEW, .sub = JVIEW_ITEMS, .u.dict = g->of.u.dict};
        else if (g->of.type == JV_UNDEFINED)
            g->it.of = g->of;
        else
            lls_jraise(r, LLM_ERR_INVALID, "a %s has no items", lls_jtype_name(g->of));
        return r->st == LLM_OK;
    case JG_SLICE:
        list = lls_jlist_of(r, g->of);
        g->list = list.u.list;
        return r->st == LLM_OK;
    case JG_REVERSED:
        g->at = (size_t)lls_jlength(g->of);
        return true;
    case JG_MAP:
    case JG_SELECT:
        if (!lls_jtrue(g->of)) {
            g->done = true;
            return true;
        }
        return lls_jiter_begin(r, g->of, &g->it);
    default:
        return lls_jiter_begin(r, g->of, &g->it);
    }
}

static bool step(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    if (!g->started && !start(r, g))
        return false;
    if (g->done)
        return false;
    switch (g->kind) {
    case JG_MAP:
        return map_next(r, g, out);
    case JG_SELECT:
        return select_next(r, g, out);
    case JG_UNIQUE:
        return unique_next(r, g, out);
    case JG_BATCH:
        return batch_next(r, g, out);
    case JG_SLICE:
        return slice_next(r, g, out);
    case JG_REVERSED:
        if (g->at == 0)
            return false;
        *out = lls_jitem_at(r, g->of, --g->at);
        return r->st == LLM_OK;
    default:
        return lls_jiter_next(r, &g->it, out);
    }
}

bool lls_jgen_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out)
{
    bool more = lls_jenter(r) && step(r, g, out);

    lls_jleave(r);
    return more;
}
