/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens to expressions, by recursive descent with Jinja2's precedence: cond, or, and, not,
 * compare,
 * + -, ~, * / // %, **, unary, postfix, filters and tests.
 */
#include "text/jinja_parse.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- Tokens and nodes ------------------------------------------------------------------------ */

uint32_t lls_jp_fail(lls_jparser_t *p, llm_status_t status, const char *what)
{
    if (p->st == LLM_OK)
        p->st = lls_jinja_fail(p->err, status, lls_jtok(p)->line, "%s", what);
    return LLS_NONE;
}

static bool token_is_name(const lls_jparser_t *p, const lls_jtok_t *t, const char *name)
{
    return t->kind == JT_NAME && lls_jis(p->j->text.data + t->off, t->len, name);
}

bool lls_jp_is_op(const lls_jparser_t *p, const char *op)
{
    return p->st == LLM_OK && lls_jtok(p)->kind == JT_OP && strcmp(lls_jtok(p)->op, op) == 0;
}

bool lls_jp_is_name(const lls_jparser_t *p, const char *name)
{
    return p->st == LLM_OK && token_is_name(p, lls_jtok(p), name);
}

bool lls_jp_take_op(lls_jparser_t *p, const char *op)
{
    bool is = lls_jp_is_op(p, op);

    p->at += is;
    return is;
}

bool lls_jp_take_name(lls_jparser_t *p, const char *name)
{
    bool is = lls_jp_is_name(p, name);

    p->at += is;
    return is;
}

void lls_jp_need_op(lls_jparser_t *p, const char *op)
{
    char text[48];

    if (p->st != LLM_OK || lls_jp_take_op(p, op))
        return;
    snprintf(text, sizeof text, "'%s' is missing", op);
    lls_jp_fail(p, LLM_ERR_FORMAT, text);
}

void lls_jp_need_kind(lls_jparser_t *p, uint8_t kind)
{
    if (p->st != LLM_OK)
        return;
    if (lls_jtok(p)->kind == kind)
        p->at++;
    else
        lls_jp_fail(p, LLM_ERR_FORMAT, "the end of the tag is expected here");
}

uint32_t lls_jp_take_str(lls_jparser_t *p)
{
    const lls_jtok_t *t = lls_jtok(p);
    uint32_t          str;

    if (p->st != LLM_OK)
        return LLS_NONE;
    str = lls_jinja_intern(p->j, p->j->text.data + t->off, t->len);
    if (str == LLS_NONE)
        p->st = lls_fail(p->err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    p->at++;
    return str;
}

uint32_t lls_jp_need_name(lls_jparser_t *p)
{
    if (p->st == LLM_OK && lls_jtok(p)->kind != JT_NAME)
        return lls_jp_fail(p, LLM_ERR_FORMAT, "a name is expected here");
    return lls_jp_take_str(p);
}

lls_jnode_t lls_jp_node(const lls_jparser_t *p, uint8_t kind)
{
    return (lls_jnode_t){.kind = kind,
                         .line = lls_jtok(p)->line,
                         .a = LLS_NONE,
                         .b = LLS_NONE,
                         .c = LLS_NONE,
                         .d = LLS_NONE,
                         .e = LLS_NONE,
                         .next = LLS_NONE,
                         .str = LLS_NONE,
                         .f = LLS_NONE,
                         .slot = LLS_NONE};
}

static uint16_t depth_of(const lls_jparser_t *p, uint32_t node)
{
    return node == LLS_NONE ? 0 : p->j->nodes[node].depth;
}

/* The node's depth is one more than that of a, b, c, d and e. */
uint32_t lls_jp_add(lls_jparser_t *p, lls_jnode_t n)
{
    lls_jinja_t *j = p->j;
    uint32_t     kids[] = {n.a, n.b, n.c, n.d, n.e};

    if (p->st != LLM_OK)
        return LLS_NONE;
    for (size_t i = 0; i < LLS_ARRAY_LEN(kids); i++)
        if (depth_of(p, kids[i]) > n.depth)
            n.depth = depth_of(p, kids[i]);
    if (++n.depth > LLS_JINJA_DEPTH)
        return lls_jp_fail(p, LLM_ERR_UNSUPPORTED, "expressions or blocks are nested too deeply");
    if (!lls_reserve(j->mem, (void **)&j->nodes, &j->nodes_cap, j->n_nodes + 1, sizeof *j->nodes)) {
        p->st = lls_fail(p->err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
        return LLS_NONE;
    }
    j->nodes[j->n_nodes] = n;
    return (uint32_t)j->n_nodes++;
}

void lls_jp_put(lls_jparser_t *p, lls_jchain_t *c, uint32_t node)
{
    if (p->st != LLM_OK || node == LLS_NONE)
        return;
    if (c->first == LLS_NONE)
        c->first = node;
    else
        p->j->nodes[c->last].next = node;
    c->last = node;
    if (depth_of(p, node) > c->depth)
        c->depth = depth_of(p, node);
    p->j->nodes[c->first].depth = c->depth; /* a chain is as deep as its deepest member */
}

bool lls_jp_enter(lls_jparser_t *p)
{
    if (++p->depth > LLS_JINJA_DEPTH)
        lls_jp_fail(p, LLM_ERR_UNSUPPORTED, "expressions or blocks are nested too deeply");
    return p->st == LLM_OK;
}

uint32_t lls_jp_leave(lls_jparser_t *p, uint32_t node)
{
    p->depth--;
    return p->st == LLM_OK ? node : LLS_NONE;
}

/* ---- Primary expressions --------------------------------------------------------------------- */

/* "a" "b" is "ab": the parts are put behind the template's text as one more string. */
static uint32_t parse_string(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_STRING);
    uint32_t    left;

    n.str = lls_jp_take_str(p);
    left = lls_jp_add(p, n);
    while (p->st == LLM_OK && lls_jtok(p)->kind == JT_STRING) {
        lls_jnode_t  both = lls_jp_node(p, JN_CONCAT), right = lls_jp_node(p, JN_STRING);
        lls_jchain_t parts = {LLS_NONE, LLS_NONE, 0};

        right.str = lls_jp_take_str(p);
        lls_jp_put(p, &parts, left);
        lls_jp_put(p, &parts, lls_jp_add(p, right));
        both.a = parts.first;
        left = lls_jp_add(p, both);
    }
    return left;
}

static uint32_t parse_number(lls_jparser_t *p)
{
    const lls_jtok_t *t = lls_jtok(p);
    lls_jnode_t       n = lls_jp_node(p, t->kind == JT_INT ? JN_INT : JN_FLOAT);
    const char       *from = p->j->text.data + t->off;
    char              text[400];
    size_t            k = 0;
    int               base = 10;

    for (uint32_t i = 0; i < t->len && k + 1 < sizeof text; i++)
        if (from[i] != '_')
            text[k++] = from[i];
    text[k] = '\0';
    if (k + 1 == sizeof text)
        return lls_jp_fail(p, LLM_ERR_UNSUPPORTED, "a number of so many digits");
    p->at++;
    if (n.kind == JN_FLOAT) {
        n.num.f = strtod(text, NULL);
        return lls_jp_add(p, n);
    }
    if (k > 2 && text[0] == '0')
        base = (text[1] | 32) == 'x'   ? 16
               : (text[1] | 32) == 'o' ? 8
               : (text[1] | 32) == 'b' ? 2
                                       : 10;
    errno = 0;
    n.num.i = strtoll(text + (base == 10 ? 0 : 2), NULL, base);
    if (errno == ERANGE && memchr(from, '_', t->len) != NULL)
        return lls_jp_fail(p, LLM_ERR_UNSUPPORTED, "so long an integer with '_'");
    if (errno == ERANGE) {
        n.flag = true;
        n.op = (uint8_t)base;
        n.str = lls_jinja_intern(p->j, from + (base == 10 ? 0 : 2), t->len - (base == 10 ? 0 : 2));
        if (n.str == LLS_NONE)
            return lls_jp_fail(p, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    }
    return lls_jp_add(p, n);
}

static uint32_t parse_list(lls_jparser_t *p)
{
    lls_jnode_t  n = lls_jp_node(p, JN_LIST);
    lls_jchain_t items = {LLS_NONE, LLS_NONE, 0};

    p->at++;
    while (p->st == LLM_OK && !lls_jp_is_op(p, "]")) {
        lls_jp_put(p, &items, lls_jp_expr(p));
        if (!lls_jp_take_op(p, ","))
            break;
    }
    lls_jp_need_op(p, "]");
    n.a = items.first;
    return lls_jp_add(p, n);
}

static uint32_t parse_dict(lls_jparser_t *p)
{
    lls_jnode_t  n = lls_jp_node(p, JN_DICT);
    lls_jchain_t items = {LLS_NONE, LLS_NONE, 0};

    p->at++;
    while (p->st == LLM_OK && !lls_jp_is_op(p, "}")) {
        lls_jp_put(p, &items, lls_jp_expr(p));
        lls_jp_need_op(p, ":");
        lls_jp_put(p, &items, lls_jp_expr(p));
        if (!lls_jp_take_op(p, ","))
            break;
    }
    lls_jp_need_op(p, "}");
    n.a = items.first;
    return lls_jp_add(p, n);
}

static uint32_t parse_word(lls_jparser_t *p, unsigned flags)
{
    static const struct word {
        const char *name;
        uint8_t     kind;
        int64_t     value;
    } words[] = {
        {"true", JN_BOOL, 1},  {"True", JN_BOOL, 1}, {"false", JN_BOOL, 0},
        {"False", JN_BOOL, 0}, {"none", JN_NONE, 0}, {"None", JN_NONE, 0},
    };
    lls_jnode_t n = lls_jp_node(p, JN_NAME), ref;

    for (size_t i = 0; i < LLS_ARRAY_LEN(words); i++) {
        if (!lls_jp_take_name(p, words[i].name))
            continue;
        n.kind = words[i].kind;
        n.num.i = words[i].value;
        return lls_jp_add(p, n);
    }
    n.str = lls_jp_take_str(p);
    if (!(flags & LLS_JP_NAMESPACE) || !lls_jp_take_op(p, "."))
        return lls_jp_add(p, n);
    ref = lls_jp_node(p, JN_NSREF);
    ref.str = lls_jp_need_name(p);
    ref.a = lls_jp_add(p, n);
    return lls_jp_add(p, ref);
}

static uint32_t parse_primary(lls_jparser_t *p, unsigned flags)
{
    uint32_t node;

    if (p->st != LLM_OK)
        return LLS_NONE;
    switch (lls_jtok(p)->kind) {
    case JT_NAME:
        return parse_word(p, flags);
    case JT_STRING:
        return parse_string(p);
    case JT_INT:
    case JT_FLOAT:
        return parse_number(p);
    default:
        break;
    }
    if (lls_jp_take_op(p, "(")) {
        if (!lls_jp_enter(p))
            return lls_jp_leave(p, LLS_NONE);
        node = lls_jp_tuple(p, LLS_JP_EMPTY, NULL);
        lls_jp_need_op(p, ")");
        return lls_jp_leave(p, node);
    }
    if (lls_jp_is_op(p, "["))
        return parse_list(p);
    if (lls_jp_is_op(p, "{"))
        return parse_dict(p);
    return lls_jp_fail(p, LLM_ERR_FORMAT, "an expression is expected here");
}

/* ---- Postfix --------------------------------------------------------------------------------- */

static bool names_value(const lls_jparser_t *p)
{
    const lls_jtok_t *t = lls_jtok(p);

    return t->kind == JT_NAME && t[1].kind == JT_OP && strcmp(t[1].op, "=") == 0;
}

/* One of ( value, name = value, *values, **values ); *stage is the kind of the one before. */
static uint32_t parse_arg(lls_jparser_t *p, uint8_t *stage)
{
    lls_jnode_t n = lls_jp_node(p, JN_ARG);
    bool        wrong;

    if (lls_jp_take_op(p, "*")) {
        n.op = JA_STAR;
        wrong = *stage >= JA_STAR;
    } else if (lls_jp_take_op(p, "**")) {
        n.op = JA_STAR_STAR;
        wrong = *stage == JA_STAR_STAR;
    } else if (names_value(p)) {
        n.op = JA_NAMED;
        n.str = lls_jp_take_str(p);
        p->at++;
        wrong = *stage == JA_STAR_STAR;
    } else {
        wrong = *stage != JA_VALUE;
    }
    if (wrong)
        return lls_jp_fail(p, LLM_ERR_FORMAT, "arguments in a wrong order");
    if (n.op > *stage)
        *stage = n.op;
    n.a = lls_jp_expr(p);
    return lls_jp_add(p, n);
}

static bool repeats_keyword(const lls_jparser_t *p, uint32_t first, uint32_t node)
{
    const lls_jnode_t *nodes = p->j->nodes;

    for (uint32_t at = first; at != LLS_NONE && at != node; at = nodes[at].next)
        if (nodes[at].op == JA_NAMED && nodes[at].str == nodes[node].str)
            return true;
    return false;
}

static uint32_t parse_args(lls_jparser_t *p)
{
    lls_jchain_t args = {LLS_NONE, LLS_NONE, 0};
    uint8_t      stage = JA_VALUE;

    lls_jp_need_op(p, "(");
    while (p->st == LLM_OK && !lls_jp_is_op(p, ")")) {
        uint32_t node = parse_arg(p, &stage);

        lls_jp_put(p, &args, node);
        if (p->st == LLM_OK && p->j->nodes[node].op == JA_NAMED &&
            repeats_keyword(p, args.first, node))
            return lls_jp_fail(p, LLM_ERR_FORMAT, "a keyword argument is repeated");
        if (!lls_jp_take_op(p, ","))
            break;
    }
    lls_jp_need_op(p, ")");
    return args.first;
}

static uint32_t parse_call(lls_jparser_t *p, uint32_t of)
{
    lls_jnode_t n = lls_jp_node(p, JN_CALL);

    n.a = of;
    n.b = parse_args(p);
    return lls_jp_add(p, n);
}

static bool ends_slice(const lls_jparser_t *p)
{
    return lls_jp_is_op(p, ":") || lls_jp_is_op(p, "]") || lls_jp_is_op(p, ",");
}

static uint32_t parse_subscript(lls_jparser_t *p, uint32_t of)
{
    lls_jnode_t  n = lls_jp_node(p, JN_ITEM), tuple = lls_jp_node(p, JN_TUPLE);
    lls_jchain_t items = {LLS_NONE, LLS_NONE, 0};

    p->at++;
    n.a = of;
    if (!lls_jp_is_op(p, ":") && !lls_jp_is_op(p, "]"))
        n.b = lls_jp_expr(p);
    if (lls_jp_take_op(p, ":")) {
        n.kind = JN_SLICE;
        if (!ends_slice(p))
            n.c = lls_jp_expr(p);
        if (lls_jp_take_op(p, ":") && !ends_slice(p))
            n.d = lls_jp_expr(p);
    } else if (lls_jp_is_op(p, ",") || lls_jp_is_op(p, "]")) {
        lls_jp_put(p, &items, n.b);
        while (lls_jp_take_op(p, ",") && !lls_jp_is_op(p, "]"))
            lls_jp_put(p, &items, lls_jp_expr(p));
        if (items.first == LLS_NONE || items.first != items.last) {
            tuple.a = items.first;
            n.b = lls_jp_add(p, tuple);
        }
    }
    lls_jp_need_op(p, "]");
    return lls_jp_add(p, n);
}

static uint32_t parse_attr(lls_jparser_t *p, uint32_t of)
{
    lls_jnode_t n = lls_jp_node(p, JN_ATTR);

    p->at++;
    n.a = of;
    if (lls_jtok(p)->kind == JT_INT) {
        n.kind = JN_ITEM;
        n.b = parse_number(p);
        return lls_jp_add(p, n);
    }
    n.str = lls_jp_need_name(p);
    return lls_jp_add(p, n);
}

static uint32_t parse_postfix(lls_jparser_t *p, uint32_t node)
{
    while (p->st == LLM_OK) {
        if (lls_jp_is_op(p, "."))
            node = parse_attr(p, node);
        else if (lls_jp_is_op(p, "["))
            node = parse_subscript(p, node);
        else if (lls_jp_is_op(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* The name of a filter or test, and what it names; scopes decide whether unknown ones matter. */
static void parse_callee(lls_jparser_t *p, lls_jnode_t *n)
{
    const lls_jstr_t *s;

    n->str = lls_jp_need_name(p);
    if (lls_jp_is_op(p, "."))
        lls_jp_fail(p, LLM_ERR_FORMAT, "there is no filter or test with such a name");
    if (p->st != LLM_OK)
        return;
    s = &p->j->strs[n->str];
    n->fn =
        n->kind == JN_FILTER ? lls_jfind_filter(s->text, s->len) : lls_jfind_test(s->text, s->len);
}

uint32_t lls_jp_filters(lls_jparser_t *p, uint32_t node, bool is_inline)
{
    while (p->st == LLM_OK && (is_inline || lls_jp_is_op(p, "|"))) {
        lls_jnode_t n = lls_jp_node(p, JN_FILTER);

        p->at += !is_inline;
        is_inline = false;
        n.a = node;
        parse_callee(p, &n);
        if (lls_jp_is_op(p, "("))
            n.b = parse_args(p);
        node = lls_jp_add(p, n);
    }
    return node;
}

static bool starts_test_argument(const lls_jparser_t *p)
{
    uint8_t kind = lls_jtok(p)->kind;

    if (kind == JT_OP)
        return lls_jp_is_op(p, "[") || lls_jp_is_op(p, "{");
    return (kind == JT_NAME || kind == JT_STRING || kind == JT_INT || kind == JT_FLOAT) &&
           !lls_jp_is_name(p, "else") && !lls_jp_is_name(p, "or") && !lls_jp_is_name(p, "and");
}

static uint32_t parse_test(lls_jparser_t *p, uint32_t node)
{
    lls_jnode_t n = lls_jp_node(p, JN_TEST), arg, negated = n;
    bool        is_not;

    p->at++;
    is_not = lls_jp_take_name(p, "not");
    n.a = node;
    parse_callee(p, &n);
    if (lls_jp_is_op(p, "(")) {
        n.b = parse_args(p);
    } else if (p->st == LLM_OK && starts_test_argument(p)) {
        if (lls_jp_is_name(p, "is"))
            return lls_jp_fail(p, LLM_ERR_FORMAT, "tests cannot be chained with 'is'");
        arg = lls_jp_node(p, JN_ARG);
        arg.a = parse_postfix(p, parse_primary(p, 0));
        n.b = lls_jp_add(p, arg);
    }
    if (!is_not)
        return lls_jp_add(p, n);
    negated.kind = JN_NOT;
    negated.a = lls_jp_add(p, n);
    return lls_jp_add(p, negated);
}

static uint32_t parse_filters_and_tests(lls_jparser_t *p, uint32_t node)
{
    while (p->st == LLM_OK) {
        if (lls_jp_is_op(p, "|"))
            node = lls_jp_filters(p, node, false);
        else if (lls_jp_is_name(p, "is"))
            node = parse_test(p, node);
        else if (lls_jp_is_op(p, "("))
            node = parse_call(p, node);
        else
            break;
    }
    return node;
}

/* ---- Operators ------------------------------------------------------------------------------- */

static uint32_t parse_unary(lls_jparser_t *p, bool with_filter)
{
    lls_jnode_t n = lls_jp_node(p, JN_NEG);
    uint32_t    node;

    if (!lls_jp_enter(p))
        return lls_jp_leave(p, LLS_NONE);
    if (lls_jp_is_op(p, "-") || lls_jp_is_op(p, "+")) {
        n.kind = lls_jp_is_op(p, "-") ? JN_NEG : JN_POS;
        p->at++;
        n.a = parse_unary(p, false);
        node = lls_jp_add(p, n);
    } else {
        node = parse_primary(p, 0);
    }
    node = parse_postfix(p, node);
    return lls_jp_leave(p, with_filter ? parse_filters_and_tests(p, node) : node);
}

typedef struct op_name {
    const char *op;
    uint8_t     code;
} op_name_t;

/* The nodes from `first` are a constant's, and a variable is among those from `middle`.  Jinja2
 * folds the constant and writes -1 ** x into its code, where Python takes the sign last. */
static bool sign_is_last(const lls_jparser_t *p, size_t first, size_t middle)
{
    bool variable = false;

    for (size_t i = first; i < middle; i++) {
        uint8_t kind = p->j->nodes[i].kind;

        if (!(kind >= JN_STRING && kind <= JN_NONE) && !(kind >= JN_NOT && kind <= JN_BINARY))
            return false;
    }
    for (size_t i = middle; i < p->j->n_nodes; i++)
        variable |= p->j->nodes[i].kind == JN_NAME || p->j->nodes[i].kind == JN_CALL;
    return variable;
}

static uint32_t parse_left(lls_jparser_t *p, const op_name_t *ops, size_t n_ops,
                           uint32_t (*operand)(lls_jparser_t *p))
{
    size_t   first = p->j->n_nodes;
    uint32_t left = operand(p);

    for (size_t i = 0; p->st == LLM_OK && i < n_ops;) {
        lls_jnode_t n = lls_jp_node(p, JN_BINARY);
        size_t      middle = p->j->n_nodes;

        if (!lls_jp_take_op(p, ops[i].op)) {
            i++;
            continue;
        }
        n.op = ops[i].code;
        n.a = left;
        n.b = operand(p);
        n.flag = n.op == JO_POW && sign_is_last(p, first, middle);
        left = lls_jp_add(p, n);
        i = 0;
    }
    return left;
}

static uint32_t operand_unary(lls_jparser_t *p) { return parse_unary(p, true); }

static uint32_t parse_power(lls_jparser_t *p)
{
    static const op_name_t ops[] = {{"**", JO_POW}};

    return parse_left(p, ops, LLS_ARRAY_LEN(ops), operand_unary);
}

static uint32_t parse_product(lls_jparser_t *p)
{
    static const op_name_t ops[] = {
        {"*", JO_MUL}, {"/", JO_DIV}, {"//", JO_FLOORDIV}, {"%", JO_MOD}};

    return parse_left(p, ops, LLS_ARRAY_LEN(ops), parse_power);
}

static uint32_t parse_concat(lls_jparser_t *p)
{
    lls_jnode_t  n = lls_jp_node(p, JN_CONCAT);
    lls_jchain_t parts = {LLS_NONE, LLS_NONE, 0};

    lls_jp_put(p, &parts, parse_product(p));
    while (lls_jp_take_op(p, "~"))
        lls_jp_put(p, &parts, parse_product(p));
    n.a = parts.first;
    return parts.first == parts.last ? parts.first : lls_jp_add(p, n);
}

static uint32_t parse_sum(lls_jparser_t *p)
{
    static const op_name_t ops[] = {{"+", JO_ADD}, {"-", JO_SUB}};

    return parse_left(p, ops, LLS_ARRAY_LEN(ops), parse_concat);
}

static bool take_comparison(lls_jparser_t *p, uint8_t *op)
{
    static const op_name_t ops[] = {{"==", JO_EQ}, {"!=", JO_NE}, {"<=", JO_LE},
                                    {">=", JO_GE}, {"<", JO_LT},  {">", JO_GT}};

    for (size_t i = 0; i < LLS_ARRAY_LEN(ops); i++) {
        *op = ops[i].code;
        if (lls_jp_take_op(p, ops[i].op))
            return true;
    }
    *op = JO_IN;
    if (lls_jp_take_name(p, "in"))
        return true;
    *op = JO_NOT_IN;
    if (!lls_jp_is_name(p, "not") || !token_is_name(p, lls_jtok(p) + 1, "in"))
        return false;
    p->at += 2;
    return true;
}

static uint32_t parse_compare(lls_jparser_t *p)
{
    lls_jnode_t  n = lls_jp_node(p, JN_COMPARE);
    lls_jchain_t rest = {LLS_NONE, LLS_NONE, 0};
    uint8_t      op;

    n.a = parse_sum(p);
    while (p->st == LLM_OK && take_comparison(p, &op)) {
        lls_jnode_t arg = lls_jp_node(p, JN_ARG);

        arg.op = op;
        arg.a = parse_sum(p);
        lls_jp_put(p, &rest, lls_jp_add(p, arg));
    }
    n.b = rest.first;
    return n.b == LLS_NONE ? n.a : lls_jp_add(p, n);
}

static uint32_t parse_not(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_NOT);

    if (!lls_jp_take_name(p, "not"))
        return parse_compare(p);
    if (!lls_jp_enter(p))
        return lls_jp_leave(p, LLS_NONE);
    n.a = parse_not(p);
    return lls_jp_leave(p, lls_jp_add(p, n));
}

static uint32_t parse_logic(lls_jparser_t *p, const char *word, uint8_t kind,
                            uint32_t (*operand)(lls_jparser_t *p))
{
    uint32_t left = operand(p);

    while (lls_jp_is_name(p, word)) {
        lls_jnode_t n = lls_jp_node(p, kind);

        p->at++;
        n.a = left;
        n.b = operand(p);
        left = lls_jp_add(p, n);
    }
    return left;
}

static uint32_t parse_and(lls_jparser_t *p) { return parse_logic(p, "and", JN_AND, parse_not); }

static uint32_t parse_or(lls_jparser_t *p) { return parse_logic(p, "or", JN_OR, parse_and); }

uint32_t lls_jp_expr(lls_jparser_t *p)
{
    uint32_t node;

    if (!lls_jp_enter(p))
        return lls_jp_leave(p, LLS_NONE);
    node = parse_or(p);
    while (lls_jp_is_name(p, "if")) {
        lls_jnode_t n = lls_jp_node(p, JN_COND);

        p->at++;
        n.a = node;
        n.b = parse_or(p);
        if (lls_jp_take_name(p, "else"))
            n.c = lls_jp_expr(p);
        node = lls_jp_add(p, n);
    }
    return lls_jp_leave(p, node);
}

static bool ends_tuple(const lls_jparser_t *p, const char *end)
{
    uint8_t kind = lls_jtok(p)->kind;

    return p->st != LLM_OK || kind == JT_BLOCK_END || kind == JT_OUTPUT_END ||
           lls_jp_is_op(p, ")") || (end != NULL && lls_jp_is_name(p, end));
}

static uint32_t parse_member(lls_jparser_t *p, unsigned flags)
{
    if (flags & LLS_JP_TARGET)
        return parse_primary(p, flags);
    return flags & LLS_JP_NO_COND ? parse_or(p) : lls_jp_expr(p);
}

uint32_t lls_jp_tuple(lls_jparser_t *p, unsigned flags, const char *end)
{
    lls_jnode_t  n = lls_jp_node(p, JN_TUPLE);
    lls_jchain_t items = {LLS_NONE, LLS_NONE, 0};
    bool         is_tuple = false;

    while (p->st == LLM_OK && !ends_tuple(p, end)) {
        lls_jp_put(p, &items, parse_member(p, flags));
        if (!lls_jp_take_op(p, ","))
            break;
        is_tuple = true;
    }
    if (p->st == LLM_OK && !is_tuple && items.first != LLS_NONE)
        return items.first;
    if (p->st == LLM_OK && !is_tuple && !(flags & LLS_JP_EMPTY))
        return lls_jp_fail(p, LLM_ERR_FORMAT, "an expression is expected here");
    n.a = items.first;
    return lls_jp_add(p, n);
}
