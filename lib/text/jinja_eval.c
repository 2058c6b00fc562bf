/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Running a compiled template: statements, expressions, variables.
 */
#include "text/jinja_int.h"

#include <math.h>

#include "base/utf8.h"

#define MAX_STEPS 1000000u
#define MAX_OUTPUT ((size_t)64 << 20)

static lls_jval_t eval(lls_jrun_t *r, uint32_t at);
static void       run_body(lls_jrun_t *r, uint32_t first);

static const lls_jnode_t *node(const lls_jrun_t *r, uint32_t at)
{
    return &r->j->nodes[at];
}

static const char *name_of(const lls_jrun_t *r, const lls_jnode_t *n)
{
    return r->j->text.data + n->off;
}

/* ---- Variables ------------------------------------------------------------------------------- */

static const lls_jval_t *find_var(const lls_jrun_t *r, const char *name, size_t len)
{
    for (size_t i = r->n_vars; i > 0; i--)
        if (r->vars[i - 1].len == len && memcmp(r->vars[i - 1].name, name, len) == 0)
            return &r->vars[i - 1].value;
    return NULL;
}

static void set_var(lls_jrun_t *r, const char *name, size_t len, lls_jval_t v)
{
    for (size_t i = r->frame; i < r->n_vars; i++) {
        if (r->vars[i].len != len || memcmp(r->vars[i].name, name, len) != 0)
            continue;
        r->vars[i].value = v;
        return;
    }
    if (!lls_reserve(r->mem, (void **)&r->vars, &r->vars_cap, r->n_vars + 1, sizeof *r->vars)) {
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
        return;
    }
    r->vars[r->n_vars++] = (lls_jvar_t){ name, len, v };
}

static void set_namespace(lls_jrun_t *r, const lls_jnode_t *n, lls_jval_t v)
{
    lls_jval_t ns = eval(r, n->a), key;

    if (r->st != LLM_OK)
        return;
    if (ns.type != JV_NAMESPACE) {
        lls_jraise(r, LLM_ERR_INVALID, "only attributes of a namespace can be set");
        return;
    }
    key = lls_jstring(r, name_of(r, n), n->len, false);
    if (r->st == LLM_OK)
        lls_jdict_put(r, ns.u.dict, key, v);
}

static void assign(lls_jrun_t *r, uint32_t target, lls_jval_t v)
{
    const lls_jnode_t *n = node(r, target);
    lls_jval_t         list;
    size_t             i = 0;

    if (n->kind == JN_NAME) {
        set_var(r, name_of(r, n), n->len, v);
        return;
    }
    if (n->kind == JN_ATTR) {
        set_namespace(r, n, v);
        return;
    }
    list = lls_jiter(r, v);
    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next, i++) {
        if (i < list.u.list->n)
            assign(r, at, list.u.list->items[i]);
        else
            lls_jraise(r, LLM_ERR_INVALID, "not enough values to unpack");
    }
    if (r->st == LLM_OK && i != list.u.list->n)
        lls_jraise(r, LLM_ERR_INVALID, "too many values to unpack");
}

/* ---- Items and attributes -------------------------------------------------------------------- */

static lls_jval_t undefined_of(lls_jrun_t *r, lls_jval_t v)
{
    if (v.type == JV_UNDEFINED)
        return lls_jraise(r, LLM_ERR_INVALID, "something undefined has no attributes or items");
    return lls_jundefined();
}

lls_jval_t lls_jget(lls_jrun_t *r, lls_jval_t v, const char *name, size_t len)
{
    if (v.type == JV_DICT || v.type == JV_NAMESPACE || v.type == JV_LOOP) {
        const lls_jval_t *item = lls_jdict_get(v.u.dict, name, len);
        if (item != NULL)
            return *item;
    }
    return undefined_of(r, v);
}

/* a.b: a method hides an item. */
static lls_jval_t get_attr(lls_jrun_t *r, lls_jval_t v, const char *name, size_t len)
{
    lls_jval_t out;

    if (!lls_jhas_method(v, name, len))
        return lls_jget(r, v, name, len);
    out = lls_jstring(r, name, len, false);
    if (r->st == LLM_OK)
        out.type = JV_FUNCTION;
    return out;
}

/* The byte offset of character i of s; s->len for the end. */
static size_t char_offset(const lls_jstr_t *s, int64_t i)
{
    size_t at = 0;

    for (; i > 0 && at < s->len; i--) {
        at++;
        while (at < s->len && ((uint8_t)s->text[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

static lls_jval_t get_index(lls_jrun_t *r, lls_jval_t v, int64_t i)
{
    int64_t n = v.type == JV_LIST || v.type == JV_STRING ? lls_jlength(r, v) : 0;
    size_t  from;

    i += i < 0 ? n : 0;
    if (i < 0 || i >= n)
        return undefined_of(r, v);
    if (v.type == JV_LIST)
        return v.u.list->items[i];
    from = char_offset(v.u.str, i);
    return lls_jsubstr(r, v.u.str, from, char_offset(v.u.str, i + 1) - from);
}

/* a[b]: an item hides a method. */
static lls_jval_t get_item(lls_jrun_t *r, lls_jval_t v, lls_jval_t key)
{
    if (key.type == JV_INT || key.type == JV_BOOL)
        return get_index(r, v, key.type == JV_INT ? key.u.i : key.u.b);
    if (key.type != JV_STRING)
        return undefined_of(r, v);
    if (v.type == JV_DICT && lls_jdict_get(v.u.dict, key.u.str->text, key.u.str->len) != NULL)
        return lls_jget(r, v, key.u.str->text, key.u.str->len);
    return get_attr(r, v, key.u.str->text, key.u.str->len);
}

static int64_t bound(lls_jrun_t *r, uint32_t at, int64_t n, int64_t def, int64_t low)
{
    lls_jval_t v = at != LLS_NONE ? eval(r, at) : lls_jnone();

    if (v.type == JV_NONE)
        return def;
    if (v.type != JV_INT) {
        lls_jraise(r, LLM_ERR_INVALID, "slices need integers");
        return def;
    }
    if (v.u.i < 0)
        return v.u.i + n < low ? low : v.u.i + n;
    return v.u.i > n + low ? n + low : v.u.i;
}

static lls_jval_t slice_list(lls_jrun_t *r, const lls_jlist_t *list, int64_t start, int64_t stop,
                             int64_t step)
{
    int64_t    n = step > 0 ? (stop - start + step - 1) / step : (start - stop - step - 1) / -step;
    lls_jval_t out = lls_jlist(r, n > 0 ? (size_t)n : 0);

    for (int64_t i = 0; r->st == LLM_OK && i < n; i++)
        out.u.list->items[i] = list->items[start + i * step];
    return out;
}

static lls_jval_t join_chars(lls_jrun_t *r, lls_jval_t list)
{
    const lls_jstr_t **parts = lls_jalloc(r, (list.u.list->n + 1) * sizeof *parts);

    for (size_t i = 0; parts != NULL && i < list.u.list->n; i++)
        parts[i] = list.u.list->items[i].u.str;
    return parts != NULL ? lls_jconcat(r, parts, list.u.list->n) : lls_jundefined();
}

static lls_jval_t eval_slice(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = eval(r, n->a), step_v = n->d != LLS_NONE ? eval(r, n->d) : lls_jint(1), list;
    int64_t    step = step_v.type == JV_INT    ? step_v.u.i
                      : step_v.type == JV_NONE ? 1
                                               : 0,
            len, start, stop;

    if (r->st != LLM_OK)
        return lls_jundefined();
    if (step == 0 || step > INT32_MAX || step < -INT32_MAX)
        return lls_jraise(r, LLM_ERR_INVALID, "the step of a slice must be an integer and not 0");
    if (v.type != JV_LIST && v.type != JV_STRING)
        return undefined_of(r, v);
    len = lls_jlength(r, v);
    start = bound(r, n->b, len, step > 0 ? 0 : len - 1, step > 0 ? 0 : -1);
    stop = bound(r, n->c, len, step > 0 ? len : -1, step > 0 ? 0 : -1);
    if (r->st != LLM_OK)
        return lls_jundefined();
    if (v.type == JV_STRING && step == 1) {
        size_t from = char_offset(v.u.str, start), to = char_offset(v.u.str, stop);
        return lls_jsubstr(r, v.u.str, from, to > from ? to - from : 0);
    }
    list = lls_jiter(r, v);
    list = r->st == LLM_OK ? slice_list(r, list.u.list, start, stop, step) : list;
    return v.type == JV_STRING && r->st == LLM_OK ? join_chars(r, list) : list;
}

/* ---- Operators ------------------------------------------------------------------------------- */

static bool is_number(lls_jval_t v)
{
    return v.type == JV_INT || v.type == JV_FLOAT || v.type == JV_BOOL;
}

static int64_t int_of(lls_jval_t v)
{
    return v.type == JV_BOOL ? v.u.b : v.u.i;
}

static double double_of(lls_jval_t v)
{
    return v.type == JV_FLOAT ? v.u.f : (double)int_of(v);
}

static lls_jval_t zero_division(lls_jrun_t *r)
{
    return lls_jraise(r, LLM_ERR_INVALID, "division by zero");
}

static lls_jval_t int_math(lls_jrun_t *r, uint8_t op, int64_t a, int64_t b)
{
    int64_t out = 0;
    bool    over = false;

    if ((op == JO_FLOORDIV || op == JO_MOD) && b == 0)
        return zero_division(r);
    if ((op == JO_FLOORDIV || op == JO_MOD) && b == -1) {           /* INT64_MIN / -1 overflows */
        over = op == JO_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &out);
    } else {
        switch (op) {
        case JO_ADD:
            over = __builtin_add_overflow(a, b, &out);
            break;
        case JO_SUB:
            over = __builtin_sub_overflow(a, b, &out);
            break;
        case JO_MUL:
            over = __builtin_mul_overflow(a, b, &out);
            break;
        case JO_FLOORDIV:
            out = a / b - (a % b != 0 && (a < 0) != (b < 0));
            break;
        default:
            out = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
            break;
        }
    }
    return over ? lls_jraise(r, LLM_ERR_UNSUPPORTED, "integers of more than 64 bits")
                : lls_jint(out);
}

static lls_jval_t float_math(lls_jrun_t *r, uint8_t op, double a, double b)
{
    double m;

    switch (op) {
    case JO_ADD:
        return lls_jfloat(a + b);
    case JO_SUB:
        return lls_jfloat(a - b);
    case JO_MUL:
        return lls_jfloat(a * b);
    default:
        if (b == 0)
            return zero_division(r);
        if (op == JO_DIV)
            return lls_jfloat(a / b);
        m = fmod(a, b);
        if (op == JO_FLOORDIV)
            return lls_jfloat(floor(a / b));
        return lls_jfloat(m != 0 && (m < 0) != (b < 0) ? m + b : m);
    }
}

static lls_jval_t concat2(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    const lls_jstr_t *parts[2];

    a = lls_jtext(r, a);
    b = lls_jtext(r, b);
    if (r->st != LLM_OK)
        return lls_jundefined();
    parts[0] = a.u.str;
    parts[1] = b.u.str;
    return lls_jconcat(r, parts, 2);
}

static lls_jval_t add_lists(lls_jrun_t *r, const lls_jlist_t *a, const lls_jlist_t *b)
{
    lls_jval_t out = lls_jlist(r, a->n + b->n);

    if (r->st != LLM_OK)
        return out;
    if (a->n != 0)
        memcpy(out.u.list->items, a->items, a->n * sizeof *a->items);
    if (b->n != 0)
        memcpy(out.u.list->items + a->n, b->items, b->n * sizeof *b->items);
    return out;
}

static lls_jval_t repeat(lls_jrun_t *r, lls_jval_t s, int64_t times)
{
    lls_jval_t         n = lls_jint(times < 0 ? 0 : times);
    const lls_jstr_t **parts;

    if (n.u.i > 100000)
        return lls_jraise(r, LLM_ERR_INVALID, "a string repeated more than 100,000 times");
    parts = lls_jalloc(r, (size_t)n.u.i * sizeof *parts);
    for (int64_t i = 0; parts != NULL && i < n.u.i; i++)
        parts[i] = s.u.str;
    return parts != NULL ? lls_jconcat(r, parts, (size_t)n.u.i) : lls_jundefined();
}

static lls_jval_t eval_binary(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t a = eval(r, n->a), b = eval(r, n->b);

    r->line = n->line;
    if (r->st != LLM_OK)
        return lls_jundefined();
    if (n->op == JO_CONCAT || (n->op == JO_ADD && a.type == JV_STRING && b.type == JV_STRING))
        return concat2(r, a, b);
    if (n->op == JO_ADD && a.type == JV_LIST && b.type == JV_LIST)
        return add_lists(r, a.u.list, b.u.list);
    if (n->op == JO_MUL && a.type == JV_STRING && b.type == JV_INT)
        return repeat(r, a, b.u.i);
    if (!is_number(a) || !is_number(b))
        return lls_jraise(
            r, n->op == JO_MOD && a.type == JV_STRING ? LLM_ERR_UNSUPPORTED : LLM_ERR_INVALID,
            "the operator has no meaning for %s and %s", lls_jtype_name(a), lls_jtype_name(b));
    if (a.type == JV_FLOAT || b.type == JV_FLOAT || n->op == JO_DIV)
        return float_math(r, n->op, double_of(a), double_of(b));
    return int_math(r, n->op, int_of(a), int_of(b));
}

static bool holds(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    switch (op) {
    case JO_EQ:
        return lls_jequal(a, b, 0);
    case JO_NE:
        return !lls_jequal(a, b, 0);
    case JO_IN:
        return lls_jcontains(r, b, a);
    case JO_NOT_IN:
        return !lls_jcontains(r, b, a);
    case JO_LT:
        return lls_jcompare(r, a, b) < 0;
    case JO_LE:
        return lls_jcompare(r, a, b) <= 0;
    case JO_GT:
        return lls_jcompare(r, a, b) > 0;
    default:
        return lls_jcompare(r, a, b) >= 0;
    }
}

static lls_jval_t eval_compare(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t left = eval(r, n->a);

    for (uint32_t at = n->b; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        lls_jval_t right = eval(r, node(r, at)->a);

        r->line = n->line;
        if (r->st != LLM_OK || !holds(r, node(r, at)->op, left, right))
            return lls_jbool(false);
        left = right;
    }
    return lls_jbool(true);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static void eval_args(lls_jrun_t *r, uint32_t first, lls_jargs_t *args)
{
    memset(args, 0, sizeof *args);
    for (uint32_t at = first; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next) {
        const lls_jnode_t *n = node(r, at);
        lls_jval_t         v = eval(r, n->a);

        if (n->len == 0 && args->n_pos < LLS_ARRAY_LEN(args->pos)) {
            args->pos[args->n_pos++] = v;
        } else if (n->len != 0 && args->n_kw < LLS_ARRAY_LEN(args->kw)) {
            args->kw_name[args->n_kw] = name_of(r, n);
            args->kw_len[args->n_kw] = n->len;
            args->kw[args->n_kw++] = v;
        } else {
            lls_jraise(r, LLM_ERR_UNSUPPORTED, "a call with so many arguments");
        }
    }
}

static lls_jval_t eval_call(lls_jrun_t *r, const lls_jnode_t *n)
{
    const lls_jnode_t *callee = node(r, n->a);
    lls_jval_t         self;
    lls_jargs_t        args;

    if (callee->kind == JN_ATTR) {
        self = eval(r, callee->a);
        eval_args(r, n->b, &args);
        r->line = n->line;
        if (r->st != LLM_OK)
            return lls_jundefined();
        if (self.type == JV_UNDEFINED)
            return undefined_of(r, self);
        return lls_jmethod(r, self, name_of(r, callee), callee->len, &args);
    }
    if (callee->kind != JN_NAME || find_var(r, name_of(r, callee), callee->len) != NULL)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED,
                          "a call of something that is no function by name");
    eval_args(r, n->b, &args);
    r->line = n->line;
    return r->st == LLM_OK ? lls_jcall_global(r, name_of(r, callee), callee->len, &args)
                           : lls_jundefined();
}

/* ---- Expressions ----------------------------------------------------------------------------- */

static lls_jval_t eval_list(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t out;
    size_t     count = 0;

    for (uint32_t at = n->a; at != LLS_NONE; at = node(r, at)->next)
        count++;
    out = lls_jlist(r, count);
    count = 0;
    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE; at = node(r, at)->next)
        out.u.list->items[count++] = eval(r, at);
    return out;
}

static lls_jval_t eval_dict(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t out = lls_jdict(r, 4);

    for (uint32_t at = n->a; r->st == LLM_OK && at != LLS_NONE;
         at = node(r, node(r, at)->next)->next) {
        lls_jval_t key = eval(r, at), value = eval(r, node(r, at)->next);

        if (r->st == LLM_OK && key.type != JV_STRING)
            return lls_jraise(r, LLM_ERR_UNSUPPORTED, "keys that are no strings");
        if (r->st == LLM_OK)
            lls_jdict_put(r, out.u.dict, key, value);
    }
    return out;
}

static lls_jval_t eval_name(lls_jrun_t *r, const lls_jnode_t *n)
{
    const lls_jval_t *v = find_var(r, name_of(r, n), n->len);
    lls_jval_t        out;

    if (v != NULL)
        return *v;
    if (!lls_jis_global(name_of(r, n), n->len))
        return lls_jundefined();
    out = lls_jstring(r, name_of(r, n), n->len, false);
    if (r->st == LLM_OK)
        out.type = JV_FUNCTION;
    return out;
}

static lls_jval_t eval_neg(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = eval(r, n->a);

    if (v.type == JV_FLOAT)
        return lls_jfloat(-v.u.f);
    if (v.type == JV_INT || v.type == JV_BOOL)
        return int_math(r, JO_SUB, 0, int_of(v));
    return lls_jraise(r, LLM_ERR_INVALID, "%s has no negative", lls_jtype_name(v));
}

static lls_jval_t eval_cond(lls_jrun_t *r, const lls_jnode_t *n)
{
    if (lls_jtrue(eval(r, n->b)))
        return eval(r, n->a);
    return n->c != LLS_NONE ? eval(r, n->c) : lls_jundefined();
}

static lls_jval_t eval_filter(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t  v = eval(r, n->a);
    lls_jargs_t args;

    eval_args(r, n->b, &args);
    r->line = n->line;
    return r->st == LLM_OK ? lls_jfilter(r, name_of(r, n), n->len, v, &args) : lls_jundefined();
}

static lls_jval_t eval_test(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t  v = eval(r, n->a);
    lls_jargs_t args;

    eval_args(r, n->b, &args);
    r->line = n->line;
    return lls_jbool(r->st == LLM_OK &&
                     lls_jtest(r, name_of(r, n), n->len, v, &args) != (n->op != 0));
}

static lls_jval_t eval_logic(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = eval(r, n->a);

    if (r->st != LLM_OK || lls_jtrue(v) == (n->kind == JN_OR))
        return v;
    return eval(r, n->b);
}

static lls_jval_t eval_lookup(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t v = eval(r, n->a), key = n->kind == JN_ITEM ? eval(r, n->b) : lls_jnone();

    r->line = n->line;
    if (r->st != LLM_OK)
        return lls_jundefined();
    return n->kind == JN_ITEM ? get_item(r, v, key) : get_attr(r, v, name_of(r, n), n->len);
}

static lls_jval_t eval_kind(lls_jrun_t *r, const lls_jnode_t *n)
{
    switch (n->kind) {
    case JN_STRING:
        return lls_jstring(r, name_of(r, n), n->len, false);
    case JN_INT:
        return lls_jint(n->num.i);
    case JN_FLOAT:
        return lls_jfloat(n->num.f);
    case JN_BOOL:
        return lls_jbool(n->num.i != 0);
    case JN_NAME:
        return eval_name(r, n);
    case JN_LIST:
        return eval_list(r, n);
    case JN_DICT:
        return eval_dict(r, n);
    case JN_NOT:
        return lls_jbool(!lls_jtrue(eval(r, n->a)));
    case JN_NEG:
        return eval_neg(r, n);
    case JN_BINARY:
        return eval_binary(r, n);
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
    case JN_FILTER:
        return eval_filter(r, n);
    case JN_TEST:
        return eval_test(r, n);
    default:
        return lls_jnone();
    }
}

static bool step(lls_jrun_t *r, const lls_jnode_t *n)
{
    r->line = n->line;
    if (r->st == LLM_OK && ++r->steps > MAX_STEPS)
        lls_jraise(r, LLM_ERR_INVALID, "the template needs more than %u steps", MAX_STEPS);
    return r->st == LLM_OK;
}

static lls_jval_t eval(lls_jrun_t *r, uint32_t at)
{
    const lls_jnode_t *n = node(r, at);

    return step(r, n) ? eval_kind(r, n) : lls_jundefined();
}

/* ---- Statements ------------------------------------------------------------------------------ */

static void put_str(lls_jrun_t *r, const lls_jstr_t *s)
{
    lls_buf_t *out = r->out, *mark = r->mark;

    if (s->len > MAX_OUTPUT - out->len) {
        lls_jraise(r, LLM_ERR_INVALID, "the template puts out more than 64 MiB");
        return;
    }
    if (s->len == 0)
        return;
    if (!lls_buf_put(out, s->text, s->len) || !lls_buf_room(mark, s->len)) {
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
        return;
    }
    if (s->mark != NULL)
        memcpy(mark->data + mark->len, s->mark, s->len);
    else
        memset(mark->data + mark->len, s->user, s->len);
    mark->len += s->len;
}

static void put_value(lls_jrun_t *r, lls_jval_t v)
{
    v = lls_jtext(r, v);
    if (r->st == LLM_OK)
        put_str(r, v.u.str);
}

static void loop_put(lls_jrun_t *r, lls_jdict_t *d, const char *name, lls_jval_t v)
{
    lls_jval_t key = lls_jcstr(r, name);

    if (r->st == LLM_OK)
        lls_jdict_put(r, d, key, v);
}

static lls_jval_t make_loop(lls_jrun_t *r, const lls_jlist_t *list, size_t i)
{
    lls_jval_t   out = lls_jdict(r, 12);
    lls_jdict_t *d = out.u.dict;
    int64_t      n = (int64_t)list->n, at = (int64_t)i;

    if (r->st != LLM_OK)
        return out;
    loop_put(r, d, "index", lls_jint(at + 1));
    loop_put(r, d, "index0", lls_jint(at));
    loop_put(r, d, "revindex", lls_jint(n - at));
    loop_put(r, d, "revindex0", lls_jint(n - at - 1));
    loop_put(r, d, "first", lls_jbool(i == 0));
    loop_put(r, d, "last", lls_jbool(at + 1 == n));
    loop_put(r, d, "length", lls_jint(n));
    if (i > 0)
        loop_put(r, d, "previtem", list->items[i - 1]);
    if (at + 1 < n)
        loop_put(r, d, "nextitem", list->items[i + 1]);
    out.type = r->st == LLM_OK ? JV_LOOP : JV_UNDEFINED;
    return out;
}

/* A block of its own: what is set in it is gone behind it. */
static size_t open_frame(lls_jrun_t *r)
{
    size_t outer = r->frame;

    r->frame = r->n_vars;
    return outer;
}

static void close_frame(lls_jrun_t *r, size_t outer)
{
    r->n_vars = r->frame;
    r->frame = outer;
}

static lls_jval_t filter_items(lls_jrun_t *r, const lls_jnode_t *n, lls_jval_t list)
{
    lls_jval_t out = lls_jlist(r, list.u.list->n);
    size_t     k = 0;

    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++) {
        size_t outer = open_frame(r);

        assign(r, n->a, list.u.list->items[i]);
        if (r->st == LLM_OK && lls_jtrue(eval(r, n->e)))
            out.u.list->items[k++] = list.u.list->items[i];
        close_frame(r, outer);
    }
    if (r->st == LLM_OK)
        out.u.list->n = k;
    return out;
}

static void run_for(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jval_t list = lls_jiter(r, eval(r, n->b));

    if (r->st == LLM_OK && n->e != LLS_NONE)
        list = filter_items(r, n, list);
    if (r->st != LLM_OK)
        return;
    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++) {
        size_t     outer = open_frame(r);
        lls_jval_t loop = make_loop(r, list.u.list, i);

        set_var(r, "loop", 4, loop);
        assign(r, n->a, list.u.list->items[i]);
        if (step(r, n))
            run_body(r, n->c);
        close_frame(r, outer);
        if (r->flow == JN_BREAK)
            i = list.u.list->n - 1;
        r->flow = 0;
    }
    if (list.u.list->n == 0 && n->d != LLS_NONE)
        run_body(r, n->d);
}

static void run_set_block(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_buf_t  out = { r->mem, NULL, 0, 0 }, mark = { r->mem, NULL, 0, 0 }, *outer_out = r->out;
    lls_buf_t *outer_mark = r->mark;
    lls_jstr_t text;
    size_t     outer = open_frame(r);

    r->out = &out;
    r->mark = &mark;
    run_body(r, n->b);
    r->out = outer_out;
    r->mark = outer_mark;
    close_frame(r, outer);
    text = (lls_jstr_t){ out.data, (uint8_t *)mark.data, out.len, false };
    if (r->st == LLM_OK) {
        const lls_jstr_t *part = &text;
        lls_jval_t        v = lls_jconcat(r, &part, 1);
        if (r->st == LLM_OK)
            assign(r, n->a, v);
    }
    lls_buf_deinit(&out);
    lls_buf_deinit(&mark);
}

static void run_statement(lls_jrun_t *r, const lls_jnode_t *n)
{
    lls_jstr_t text;
    lls_jval_t v;

    switch (n->kind) {
    case JN_TEXT:
        text = (lls_jstr_t){ name_of(r, n), NULL, n->len, false };
        put_str(r, &text);
        break;
    case JN_OUTPUT:
        v = eval(r, n->a);
        if (r->st == LLM_OK)
            put_value(r, v);
        break;
    case JN_IF:
        v = eval(r, n->a);
        if (r->st == LLM_OK && (lls_jtrue(v) ? n->b : n->c) != LLS_NONE)
            run_body(r, lls_jtrue(v) ? n->b : n->c);
        break;
    case JN_FOR:
        run_for(r, n);
        break;
    case JN_SET:
        v = eval(r, n->b);
        if (r->st == LLM_OK)
            assign(r, n->a, v);
        break;
    case JN_SET_BLOCK:
        run_set_block(r, n);
        break;
    default:
        r->flow = n->kind;
        break;
    }
}

static void run_body(lls_jrun_t *r, uint32_t first)
{
    for (uint32_t at = first; at != LLS_NONE && r->flow == 0; at = node(r, at)->next) {
        if (!step(r, node(r, at)))
            return;
        run_statement(r, node(r, at));
    }
}

/* ---- The outside ----------------------------------------------------------------------------- */

static void set_globals(lls_jrun_t *r, const json_t *vars, const lls_jinja_const_t *consts,
                        size_t n_consts)
{
    const char *key;
    size_t      len;
    json_t     *v;

    for (size_t i = 0; r->st == LLM_OK && i < n_consts; i++)
        set_var(r, consts[i].name, strlen(consts[i].name),
                lls_jstring(r, consts[i].text, consts[i].len, false));
    json_object_keylen_foreach((json_t *)vars, key, len, v) {
        lls_jval_t value = r->st == LLM_OK ? lls_jfrom_json(r, v, 0) : lls_jundefined();

        if (r->st == LLM_OK)
            set_var(r, key, len, value);
    }
}

llm_status_t lls_jinja_render(const lls_jinja_t *j, lls_mem_t *mem, const json_t *vars,
                              const lls_jinja_const_t *consts, size_t n_consts,
                              lls_jinja_text_t *out, llm_error_t *err)
{
    lls_buf_t  text = { mem, NULL, 0, 0 }, mark = { mem, NULL, 0, 0 };
    lls_jrun_t r = { .j = j, .mem = mem, .err = err, .line = 1, .out = &text, .mark = &mark };

    memset(out, 0, sizeof *out);
    set_globals(&r, vars, consts, n_consts);
    if (r.st == LLM_OK)
        run_body(&r, j->root);
    if (r.st == LLM_OK && (!lls_buf_end(&text) || !lls_buf_room(&mark, 1)))
        lls_jraise(&r, LLM_ERR_NO_MEMORY, "no memory to render");
    lls_jarena_free(&r);
    lls_free(mem, r.vars);
    if (r.st != LLM_OK) {
        lls_buf_deinit(&text);
        lls_buf_deinit(&mark);
        return r.st;
    }
    *out = (lls_jinja_text_t){ text.data, (uint8_t *)mark.data, text.len };
    return LLM_OK;
}

void lls_jinja_text_free(lls_mem_t *mem, lls_jinja_text_t *text)
{
    lls_free(mem, text->text);
    lls_free(mem, text->mark);
    memset(text, 0, sizeof *text);
}
