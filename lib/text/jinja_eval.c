/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions.
 */
#include "text/jinja_val.h"

#include <math.h>

static const lls_jnode_t *node(const lls_jrun_t *r, uint32_t at) { return &r->j->nodes[at]; }

static const lls_jstr_t *str_of(const lls_jrun_t *r, const lls_jnode_t *n)
{
    return &r->j->strs[n->str];
}

static size_t length_of(const lls_jrun_t *r, uint32_t first)
{
    size_t n = 0;

    for (uint32_t at = first; at != LLS_NONE; at = node(r, at)->next)
        n++;
    return n;
}

static lls_jval_t eval_or(lls_jrun_t *r, uint32_t at, lls_jval_t other)
{
    return at != LLS_NONE ? lls_jeval(r, at) : other;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static lls_jval_t eval_name(const lls_jrun_t *r, const lls_jnode_t *n)
{
    const lls_jact_t *act = r->act;

    for (uint16_t up = n->up; up > 0; up--)
        act = act->outer;
    if (act->slots[n->slot].type != JV_MISSING)
        return act->slots[n->slot];
    return lls_jundefined(JU_NAME, str_of(r, n));
}

static lls_jval_t eval_list(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t out = lls_jlist(r, n->kind == JN_LIST ? JV_LIST : JV_TUPLE, length_of(r, n->a));
    size_t     i = 0;

    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next)
        out.u.list->items[i++] = lls_jeval(r, at);
    return r->st == LLM_OK ? out : lls_jmissing();
}

static lls_jval_t eval_dict(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t out = lls_jdict(r, 4);

    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE;
         at = node(r, node(r, at)->next)->next) {
        lls_jval_t key = lls_jeval(r, at), value = lls_jeval(r, node(r, at)->next);

        if (r->st == LLM_OK)
            lls_jdict_put(r, out.u.dict, key, value);
    }
    return r->st == LLM_OK ? out : lls_jmissing();
}

static lls_jval_t eval_concat(lls_jrun_t *r, const lls_jnode_t *n)
{
    const lls_jstr_t **parts = lls_jalloc(r, length_of(r, n->a) * sizeof *parts);
    size_t             i = 0;

    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        lls_jval_t v = lls_jeval(r, at);

        parts[i++] = r->st == LLM_OK ? lls_jstr(r, v) : NULL;
    }
    return r->st == LLM_OK ? lls_jconcat(r, parts, i) : lls_jmissing();
}

/* ---- Operators ------------------------------------------------------------------------------- */

static bool is_negative(lls_jval_t v)
{
    if (v.type == JV_BIG)
        return v.u.big->minus;
    return v.type == JV_INT ? v.u.i < 0 : v.type == JV_FLOAT && signbit(v.u.f) != 0;
}

#define MAX_TERMS 16

typedef struct sum { /* of what is added from left to right */
    lls_jval_t        v;
    const lls_jstr_t *texts[MAX_TERMS]; /* strings that are not joined yet; v is not set then */
    size_t            n;
} sum_t;

static void settle(lls_jrun_t *r, sum_t *s)
{
    if (s->n == 1)
        s->v = lls_jstrval(s->texts[0]);
    else if (s->n > 1)
        s->v = lls_jconcat(r, s->texts, s->n);
    s->n = 0;
}

static bool is_plain_text(lls_jval_t v) { return v.type == JV_STRING && !v.u.str->safe; }

/* 'a' + b + 'c' + ...: strings are copied once, not once for each sign. */
static lls_jval_t eval_sum(lls_jrun_t *r, const lls_jnode_t *n)
{
    uint32_t terms[MAX_TERMS];
    size_t   left = MAX_TERMS;
    sum_t    s;

    do {
        terms[--left] = (uint32_t)(n - r->j->nodes);
        n = node(r, n->a);
    } while (left > 1 && n->kind == JN_BINARY && n->op == JO_ADD && !n->fold);
    s.v = lls_jeval(r, (uint32_t)(n - r->j->nodes));
    s.texts[0] = s.v.u.str;
    s.n = is_plain_text(s.v);
    for (; r->st == LLM_OK && left < MAX_TERMS; left++) {
        lls_jval_t b;

        n = node(r, terms[left]);
        b = lls_jeval(r, n->b);
        r->line = n->line;
        if (r->st == LLM_OK && s.n != 0 && is_plain_text(b)) {
            s.texts[s.n++] = b.u.str;
            continue;
        }
        if (r->st == LLM_OK)
            settle(r, &s);
        s.v = r->st == LLM_OK ? lls_jbinary(r, JO_ADD, s.v, b) : lls_jmissing();
        s.texts[0] = s.v.u.str;
        s.n = r->st == LLM_OK && is_plain_text(s.v);
    }
    if (r->st == LLM_OK)
        settle(r, &s);
    return r->st == LLM_OK ? s.v : lls_jmissing();
}

static lls_jval_t eval_binary(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t a = lls_jeval(r, n->a), b = r->st == LLM_OK ? lls_jeval(r, n->b) : a;

    r->line = n->line;
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (!n->flag || !is_negative(a))
        return lls_jbinary(r, n->op, a, b);
    a = lls_jbinary(r, n->op, lls_jnegate(r, a, true), b);
    return r->st == LLM_OK ? lls_jnegate(r, a, true) : a;
}

static bool holds(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    switch (op) {
    case JO_EQ:
        return lls_jequal(r, a, b);
    case JO_NE:
        return !lls_jequal(r, a, b);
    case JO_IN:
        return lls_jcontains(r, b, a);
    case JO_NOT_IN:
        return !lls_jcontains(r, b, a);
    default:
        return lls_jless(r, op, a, b);
    }
}

static lls_jval_t eval_compare(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t left = lls_jeval(r, n->a);

    for (uint32_t at = n->b; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        lls_jval_t right = lls_jeval(r, node(r, at)->a);

        r->line = n->line;
        if (r->st != LLM_OK || !holds(r, node(r, at)->op, left, right))
            return lls_jbool(false);
        left = right;
    }
    return lls_jbool(true);
}

static lls_jval_t eval_logic(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = lls_jeval(r, n->a);

    if (r->st != LLM_OK || lls_jtrue(v) == (n->kind == JN_OR))
        return v;
    return lls_jeval(r, n->b);
}

static lls_jval_t eval_cond(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t test = lls_jeval(r, n->b);

    if (r->st == LLM_OK && r->folding && n->c == LLS_NONE && !lls_jtrue(test))
        return lls_jraise(r, LLM_ERR_INVALID, "this is no constant");
    if (r->st != LLM_OK)
        return lls_jmissing();
    return lls_jtrue(test) ? lls_jeval(r, n->a) : eval_or(r, n->c, lls_jundefined(JU_OTHER, NULL));
}

/* ---- Lookups --------------------------------------------------------------------------------- */

/* message.content: a key that hides behind no method. */
static lls_jval_t get_key(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *name)
{
    const lls_jval_t *found = lls_jdict_text(r, v.u.dict, name);

    if (r->st != LLM_OK)
        return lls_jmissing();
    return found != NULL ? *found : lls_jundefined(JU_ATTR, name);
}

static lls_jval_t eval_lookup(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = lls_jeval(r, n->a);
    lls_jval_t key = r->st == LLM_OK && n->kind == JN_ITEM ? lls_jeval(r, n->b) : lls_jnone();

    r->line = n->line;
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (n->kind == JN_ITEM)
        return lls_jget_item(r, v, key);
    if (n->flag && v.type == JV_DICT)
        return get_key(r, v, str_of(r, n));
    return lls_jget_attr(r, v, str_of(r, n));
}

static bool is_bound(lls_jval_t v)
{
    return v.type == JV_NONE || v.type == JV_BIG || lls_jis_int(v);
}

static bool can_slice(lls_jval_t v, lls_jval_t start, lls_jval_t stop, lls_jval_t step)
{
    return (v.type == JV_STRING || lls_jis_seq(v) || v.type == JV_RANGE) && is_bound(start) &&
           is_bound(stop) && is_bound(step);
}

static lls_jval_t eval_slice(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = lls_jeval(r, n->a), start = eval_or(r, n->b, lls_jnone()),
               stop = eval_or(r, n->c, lls_jnone()), step = eval_or(r, n->d, lls_jnone());

    r->line = n->line;
    if (r->st != LLM_OK)
        return lls_jmissing();
    /* Jinja2 folds v[slice] with a function that forgives what Python's own does not. */
    if (r->folding && v.type != JV_UNDEFINED && !can_slice(v, start, stop, step))
        return lls_jundefined(JU_OTHER, NULL);
    v = lls_jslice(r, v, start, stop, step);
    return v;
}

/* Whether Jinja2 keeps a constant that was worked out: it writes it into Python. */
static bool is_kept(lls_jrun_t *r, lls_jval_t v)
{
    size_t n = lls_jis_seq(v) || v.type == JV_DICT ? (size_t)lls_jlength(v) : 0;
    bool   kept = v.type != JV_UNDEFINED && v.type < JV_VIEW && lls_jenter(r);

    for (size_t i = 0; kept && i < n; i++)
        kept = is_kept(r, v.type == JV_DICT ? v.u.dict->values[i] : v.u.list->items[i]);
    lls_jleave(r);
    return kept;
}

bool lls_jfold(lls_jrun_t *r, uint32_t at, bool output, lls_jval_t *out)
{
    if (!node(r, at)->fold || r->folding || r->st != LLM_OK)
        return false;
    r->folding = true;
    *out = lls_jeval(r, at);
    r->folding = false;
    if (r->st == LLM_OK && (output || is_kept(r, *out)))
        return true;
    if (r->st == LLM_ERR_INVALID)
        r->st = LLM_OK;
    return false;
}

/* ---- Calls ----------------------------------------------------------------------------------- */

typedef struct arg_lists { /* arguments while they are collected */
    lls_jlist_t pos, kw;
    size_t      pos_cap, kw_cap;
} arg_lists_t;

static void spread(lls_jrun_t *r, lls_jval_t v, arg_lists_t *lists)
{
    lls_jval_t list = lls_jlist_of(r, v);

    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++)
        lls_jpush(r, &lists->pos, &lists->pos_cap, list.u.list->items[i]);
}

/* Keywords and values alternate in the list. */
static void add_keyword(lls_jrun_t *r, lls_jval_t name, lls_jval_t value, arg_lists_t *lists)
{
    for (size_t i = 0; i < lists->kw.n; i += 2)
        if (lls_jequal(r, lists->kw.items[i], name))
            lls_jraise(r, LLM_ERR_INVALID, "an argument is given twice");
    lls_jpush(r, &lists->kw, &lists->kw_cap, name);
    lls_jpush(r, &lists->kw, &lists->kw_cap, value);
}

static void spread_keywords(lls_jrun_t *r, lls_jval_t v, arg_lists_t *lists)
{
    if (r->st == LLM_OK && v.type != JV_DICT)
        lls_jraise(r, LLM_ERR_INVALID, "** needs a mapping, not %s", lls_jtype_name(v));
    for (size_t i = 0; r->st == LLM_OK && i < v.u.dict->n; i++) {
        if (v.u.dict->keys[i].type != JV_STRING)
            lls_jraise(r, LLM_ERR_INVALID, "keywords must be strings");
        add_keyword(r, v.u.dict->keys[i], v.u.dict->values[i], lists);
    }
}

static void collect(lls_jrun_t *r, uint32_t first, arg_lists_t *lists)
{
    for (uint32_t at = first; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        const lls_jnode_t *n = node(r, at);
        lls_jval_t         v = lls_jeval(r, n->a);

        if (r->st != LLM_OK)
            return;
        if (n->op == JA_STAR)
            spread(r, v, lists);
        else if (n->op == JA_STAR_STAR)
            spread_keywords(r, v, lists);
        else if (n->op == JA_NAMED)
            add_keyword(r, lls_jstrval(str_of(r, n)), v, lists);
        else
            lls_jpush(r, &lists->pos, &lists->pos_cap, v);
    }
}

void lls_jeval_args(lls_jrun_t *r, uint32_t first, lls_jargs_t *args, const lls_jval_t *caller)
{
    arg_lists_t        lists = {0};
    const lls_jstr_t **names;
    lls_jval_t        *values;

    *args = (lls_jargs_t){0};
    if (first == LLS_NONE && caller == NULL)
        return;
    collect(r, first, &lists);
    if (caller != NULL && r->st == LLM_OK)
        add_keyword(r, lls_jcstr(r, "caller"), *caller, &lists);
    args->pos = lists.pos.items;
    args->n_pos = lists.pos.n;
    if (lists.kw.n == 0 || r->st != LLM_OK)
        return;
    names = lls_jalloc(r, lists.kw.n / 2 * sizeof *names);
    values = lls_jalloc(r, lists.kw.n / 2 * sizeof *values);
    for (size_t i = 0; r->st == LLM_OK && i < lists.kw.n / 2; i++) {
        names[i] = lists.kw.items[2 * i].u.str;
        values[i] = lists.kw.items[2 * i + 1];
    }
    args->kw_name = names;
    args->kw = values;
    args->n_kw = lists.kw.n / 2;
}

static lls_jval_t eval_call(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t  callee = lls_jeval(r, n->a);
    lls_jargs_t args = {0};

    if (r->st == LLM_OK)
        lls_jeval_args(r, n->b, &args, NULL);
    r->line = n->line;
    return r->st == LLM_OK ? lls_jcall(r, callee, &args) : lls_jmissing();
}

/* A filter or a test. */
static lls_jval_t eval_callee(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t        v = lls_jeval(r, n->a);
    lls_jargs_t       args = {0};
    const lls_jstr_t *name = str_of(r, n);

    if (r->st == LLM_OK)
        lls_jeval_args(r, n->b, &args, NULL);
    r->line = n->line;
    if (n->fn == NULL)
        return lls_jraise(r, LLM_ERR_FORMAT, "there is no filter or test named '%.*s'",
                          (int)(name->len > 60 ? 60 : name->len), name->text);
    return lls_jcall_func(r, n->fn, v, &args);
}

/* ---- All ------------------------------------------------------------------------------------- */

static lls_jval_t eval_kind(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v;

    switch (n->kind) {
    case JN_LIST:
    case JN_TUPLE:
        return eval_list(r, n);
    case JN_DICT:
        return eval_dict(r, n);
    case JN_CONCAT:
        return eval_concat(r, n);
    case JN_NOT:
        v = lls_jeval(r, n->a);
        return lls_jbool(!lls_jtrue(v));
    case JN_NEG:
    case JN_POS:
        v = lls_jeval(r, n->a);
        r->line = n->line;
        return r->st == LLM_OK ? lls_jnegate(r, v, n->kind == JN_NEG) : v;
    case JN_BINARY:
        return n->op == JO_ADD ? eval_sum(r, n) : eval_binary(r, n);
    case JN_AND:
    case JN_OR:
        return eval_logic(r, n);
    case JN_COMPARE:
        return eval_compare(r, n);
    case JN_COND:
        return eval_cond(r, n);
    case JN_ATTR:
    case JN_ITEM:
        return eval_lookup(r, n);
    case JN_SLICE:
        return eval_slice(r, n);
    case JN_CALL:
        return eval_call(r, n);
    default:
        return eval_callee(r, n);
    }
}

static lls_jval_t eval_inner(lls_jrun_t *r, const lls_jnode_t *n, uint32_t at)
{
    lls_jval_t v = lls_jmissing();

    r->line = n->line;
    if (r->folding && (n->kind == JN_CALL || (n->kind == JN_FILTER && n->flag)))
        return lls_jraise(r, LLM_ERR_INVALID, "this is no constant");
    if (lls_jenter(r) && lls_jcharge(r, 1) && !(n->fold && lls_jfold(r, at, false, &v)))
        v = eval_kind(r, n);
    lls_jleave(r);
    return r->st == LLM_OK ? v : lls_jmissing();
}

/* Half of all nodes are names and strings: they need no more than this. */
lls_jval_t lls_jeval(lls_jrun_t *r, uint32_t at)
{
    const lls_jnode_t *n = node(r, at);

    switch (n->kind) {
    case JN_STRING:
        return lls_jstrval(str_of(r, n));
    case JN_INT:
        return n->flag ? lls_jinteger_in(r, str_of(r, n)->text, str_of(r, n)->len, n->op, false)
                       : lls_jint(n->num.i);
    case JN_FLOAT:
        return lls_jfloat(n->num.f);
    case JN_BOOL:
        return lls_jbool(n->num.i != 0);
    case JN_NONE:
        return n->flag ? r->captured : lls_jnone();
    case JN_NAME:
        return r->folding ? lls_jraise(r, LLM_ERR_INVALID, "this is no constant") : eval_name(r, n);
    default:
        return eval_inner(r, n, at);
    }
}
