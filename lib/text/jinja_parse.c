/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens to nodes, by recursive descent with Jinja2's precedence: cond, or, and, not, compare, + -,
 * ~,
 * * / // %, unary, postfix, filters and tests.
 */
#include "text/jinja_int.h"

#include <stdio.h>

typedef struct parser {
    lls_jinja_t *j;
    llm_error_t *err;
    size_t       at;
    int          depth;
    int          loops;             /* open for blocks */
    llm_status_t st;
} parser_t;

static uint32_t parse_expr(parser_t *p);
static uint32_t parse_unary(parser_t *p, bool with_filter);
static uint32_t parse_body(parser_t *p, const char *const *ends, size_t n_ends);

/* ---- Helpers --------------------------------------------------------------------------------- */

static const lls_jtok_t *tok(const parser_t *p)
{
    return &p->j->toks[p->at];
}

static uint32_t fail(parser_t *p, llm_status_t status, const char *what)
{
    if (p->st == LLM_OK)
        p->st = lls_jinja_fail(p->err, status, tok(p)->line, "%s", what);
    return LLS_NONE;
}

static bool is_op(const parser_t *p, const char *op)
{
    return tok(p)->kind == JT_OP && strcmp(tok(p)->op, op) == 0;
}

static bool is_name(const parser_t *p, const char *name)
{
    return tok(p)->kind == JT_NAME && lls_jis(p->j->text.data + tok(p)->off, tok(p)->len, name);
}

static bool take_op(parser_t *p, const char *op)
{
    if (!is_op(p, op))
        return false;
    p->at++;
    return true;
}

static bool take_name(parser_t *p, const char *name)
{
    if (!is_name(p, name))
        return false;
    p->at++;
    return true;
}

static void need_op(parser_t *p, const char *op)
{
    char text[48];

    if (p->st != LLM_OK || take_op(p, op))
        return;
    snprintf(text, sizeof text, "'%s' is missing", op);
    fail(p, LLM_ERR_FORMAT, text);
}

static void need_end(parser_t *p, uint8_t kind)
{
    if (p->st != LLM_OK)
        return;
    if (tok(p)->kind == kind)
        p->at++;
    else
        fail(p, LLM_ERR_FORMAT, "the end of the tag is expected here");
}

static uint16_t depth_of(const parser_t *p, uint32_t node)
{
    return node == LLS_NONE ? 0 : p->j->nodes[node].depth;
}

/* The node's depth is one more than that of a, b, c, d and e. */
static uint32_t new_node(parser_t *p, lls_jnode_t n)
{
    lls_jinja_t *j = p->j;
    uint32_t     kids[] = { n.a, n.b, n.c, n.d, n.e };

    if (p->st != LLM_OK)
        return LLS_NONE;
    for (size_t i = 0; i < LLS_ARRAY_LEN(kids); i++)
        if (depth_of(p, kids[i]) > n.depth)
            n.depth = depth_of(p, kids[i]);
    if (++n.depth > LLS_JINJA_DEPTH)
        return fail(p, LLM_ERR_UNSUPPORTED, "expressions or blocks are nested too deeply");
    if (!lls_reserve(j->mem, (void **)&j->nodes, &j->nodes_cap, j->n_nodes + 1, sizeof *j->nodes)) {
        p->st = lls_fail(p->err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
        return LLS_NONE;
    }
    n.next = LLS_NONE;
    j->nodes[j->n_nodes] = n;
    return (uint32_t)j->n_nodes++;
}

static lls_jnode_t blank(const parser_t *p, uint8_t kind)
{
    return (lls_jnode_t){ .kind = kind, .line = tok(p)->line, .a = LLS_NONE, .b = LLS_NONE,
                          .c = LLS_NONE, .d = LLS_NONE, .e = LLS_NONE };
}

typedef struct chain {
    uint32_t first, last;
    uint16_t depth;
} chain_t;

static void chain_put(parser_t *p, chain_t *c, uint32_t node)
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
    p->j->nodes[c->first].depth = c->depth;         /* a chain is as deep as its deepest member */
}

static bool enter(parser_t *p)
{
    if (++p->depth > LLS_JINJA_DEPTH)
        fail(p, LLM_ERR_UNSUPPORTED, "expressions or blocks are nested too deeply");
    return p->st == LLM_OK;
}

static uint32_t leave(parser_t *p, uint32_t node)
{
    p->depth--;
    return p->st == LLM_OK ? node : LLS_NONE;
}

/* ---- Primary expressions --------------------------------------------------------------------- */

static uint32_t named(parser_t *p, lls_jnode_t n)
{
    n.off = tok(p)->off;
    n.len = tok(p)->len;
    p->at++;
    return new_node(p, n);
}

static uint32_t parse_string(parser_t *p)
{
    uint32_t left = named(p, blank(p, JN_STRING));

    while (p->st == LLM_OK && tok(p)->kind == JT_STRING) {       /* "a" "b" is "ab" */
        lls_jnode_t n = blank(p, JN_BINARY);
        n.op = JO_CONCAT;
        n.a = left;
        n.b = named(p, blank(p, JN_STRING));
        left = new_node(p, n);
    }
    return left;
}

static uint32_t parse_number(parser_t *p)
{
    lls_jnode_t n = blank(p, tok(p)->kind == JT_INT ? JN_INT : JN_FLOAT);
    char        text[40];
    size_t      k = 0;

    for (uint32_t i = 0; i < tok(p)->len && k + 1 < sizeof text; i++)
        if (p->j->text.data[tok(p)->off + i] != '_')
            text[k++] = p->j->text.data[tok(p)->off + i];
    text[k] = '\0';
    if (k > 18)
        return fail(p, LLM_ERR_UNSUPPORTED, "a number of more than 18 digits");
    if (n.kind == JN_INT)
        n.num.i = strtoll(text, NULL, 10);
    else
        n.num.f = strtod(text, NULL);
    p->at++;
    return new_node(p, n);
}

static uint32_t parse_list(parser_t *p, const char *end)
{
    lls_jnode_t n = blank(p, JN_LIST);
    chain_t     items = { LLS_NONE, LLS_NONE, 0 };

    p->at++;
    while (p->st == LLM_OK && !is_op(p, end)) {
        chain_put(p, &items, parse_expr(p));
        if (!take_op(p, ","))
            break;
    }
    need_op(p, end);
    n.a = items.first;
    return new_node(p, n);
}

static uint32_t parse_dict(parser_t *p)
{
    lls_jnode_t n = blank(p, JN_DICT);
    chain_t     items = { LLS_NONE, LLS_NONE, 0 };

    p->at++;
    while (p->st == LLM_OK && !is_op(p, "}")) {
        chain_put(p, &items, parse_expr(p));
        need_op(p, ":");
        chain_put(p, &items, parse_expr(p));
        if (!take_op(p, ","))
            break;
    }
    need_op(p, "}");
    n.a = items.first;
    return new_node(p, n);
}

/* ( expr ) or a tuple, which is a list here. */
static uint32_t parse_paren(parser_t *p)
{
    lls_jnode_t n = blank(p, JN_LIST);
    chain_t     items = { LLS_NONE, LLS_NONE, 0 };
    uint32_t    first;

    p->at++;
    if (take_op(p, ")"))
        return new_node(p, n);
    first = parse_expr(p);
    if (take_op(p, ")"))
        return first;
    chain_put(p, &items, first);
    while (p->st == LLM_OK && take_op(p, ",") && !is_op(p, ")"))
        chain_put(p, &items, parse_expr(p));
    need_op(p, ")");
    n.a = items.first;
    return new_node(p, n);
}

static uint32_t parse_word(parser_t *p)
{
    static const struct word {
        const char *name;
        uint8_t     kind;
        int64_t     value;
    } words[] = {
        {"true", JN_BOOL, 1},  {"True", JN_BOOL, 1}, {"false", JN_BOOL, 0},
        {"False", JN_BOOL, 0}, {"none", JN_NONE, 0}, {"None", JN_NONE, 0},
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(words); i++) {
        lls_jnode_t n = blank(p, words[i].kind);

        if (!take_name(p, words[i].name))
            continue;
        n.num.i = words[i].value;
        return new_node(p, n);
    }
    return named(p, blank(p, JN_NAME));
}

static uint32_t parse_primary(parser_t *p)
{
    switch (tok(p)->kind) {
    case JT_NAME:
        return parse_word(p);
    case JT_STRING:
        return parse_string(p);
    case JT_INT:
    case JT_FLOAT:
        return parse_number(p);
    default:
        if (is_op(p, "("))
            return parse_paren(p);
        if (is_op(p, "["))
            return parse_list(p, "]");
        if (is_op(p, "{"))
            return parse_dict(p);
        return fail(p, LLM_ERR_FORMAT, "an expression is expected here");
    }
}

/* ---- Postfix --------------------------------------------------------------------------------- */

/* ( value, name = value, ... ) */
static uint32_t parse_args(parser_t *p)
{
    chain_t args = { LLS_NONE, LLS_NONE, 0 };

    need_op(p, "(");
    while (p->st == LLM_OK && !is_op(p, ")")) {
        lls_jnode_t n = blank(p, JN_ARG);

        if (is_op(p, "*") || is_op(p, "**"))
            return fail(p, LLM_ERR_UNSUPPORTED, "* and ** arguments");
        if (tok(p)->kind == JT_NAME && tok(p)[1].kind == JT_OP && strcmp(tok(p)[1].op, "=") == 0) {
            n.off = tok(p)->off;
            n.len = tok(p)->len;
            p->at += 2;
        }
        n.a = parse_expr(p);
        chain_put(p, &args, new_node(p, n));
        if (!take_op(p, ","))
            break;
    }
    need_op(p, ")");
    return args.first;
}

static uint32_t parse_subscript(parser_t *p, uint32_t of)
{
    lls_jnode_t n = blank(p, JN_ITEM);

    p->at++;
    n.a = of;
    if (!is_op(p, ":"))
        n.b = parse_expr(p);
    if (take_op(p, ":")) {
        n.kind = JN_SLICE;
        if (!is_op(p, ":") && !is_op(p, "]"))
            n.c = parse_expr(p);
        if (take_op(p, ":") && !is_op(p, "]"))
            n.d = parse_expr(p);
    }
    need_op(p, "]");
    return new_node(p, n);
}

static uint32_t parse_attr(parser_t *p, uint32_t of)
{
    lls_jnode_t n = blank(p, JN_ATTR);

    p->at++;
    n.a = of;
    if (tok(p)->kind == JT_INT) {
        n.kind = JN_ITEM;
        n.b = parse_number(p);
        return new_node(p, n);
    }
    if (tok(p)->kind != JT_NAME)
        return fail(p, LLM_ERR_FORMAT, "a name is expected behind '.'");
    return named(p, n);
}

static uint32_t parse_postfix(parser_t *p, uint32_t node)
{
    while (p->st == LLM_OK) {
        lls_jnode_t n = blank(p, JN_CALL);

        if (is_op(p, ".")) {
            node = parse_attr(p, node);
        } else if (is_op(p, "[")) {
            node = parse_subscript(p, node);
        } else if (is_op(p, "(")) {
            n.a = node;
            n.b = parse_args(p);
            node = new_node(p, n);
        } else {
            break;
        }
    }
    return node;
}

static uint32_t parse_filter(parser_t *p, uint32_t node)
{
    lls_jnode_t n = blank(p, JN_FILTER);

    p->at++;
    if (tok(p)->kind != JT_NAME)
        return fail(p, LLM_ERR_FORMAT, "the name of a filter is expected behind '|'");
    n.a = node;
    n.off = tok(p)->off;
    n.len = tok(p)->len;
    p->at++;
    if (is_op(p, "("))
        n.b = parse_args(p);
    return new_node(p, n);
}

static bool starts_test_argument(const parser_t *p)
{
    static const char *const stop[] = { "else", "or", "and", "is", "not", "if", "in" };

    for (size_t i = 0; i < LLS_ARRAY_LEN(stop); i++)
        if (is_name(p, stop[i]))
            return false;
    return tok(p)->kind == JT_NAME || tok(p)->kind == JT_STRING || tok(p)->kind == JT_INT ||
           tok(p)->kind == JT_FLOAT || is_op(p, "[") || is_op(p, "{");
}

static uint32_t parse_test(parser_t *p, uint32_t node)
{
    lls_jnode_t n = blank(p, JN_TEST), arg;

    p->at++;
    n.op = take_name(p, "not");
    if (tok(p)->kind != JT_NAME)
        return fail(p, LLM_ERR_FORMAT, "the name of a test is expected behind 'is'");
    n.a = node;
    n.off = tok(p)->off;
    n.len = tok(p)->len;
    p->at++;
    if (is_op(p, "(")) {
        n.b = parse_args(p);
    } else if (starts_test_argument(p)) {
        arg = blank(p, JN_ARG);
        arg.a = parse_postfix(p, parse_primary(p));
        n.b = new_node(p, arg);
    }
    return new_node(p, n);
}

static uint32_t parse_filters(parser_t *p, uint32_t node)
{
    while (p->st == LLM_OK) {
        lls_jnode_t n = blank(p, JN_CALL);

        if (is_op(p, "|")) {
            node = parse_filter(p, node);
        } else if (is_name(p, "is")) {
            node = parse_test(p, node);
        } else if (is_op(p, "(")) {
            n.a = node;
            n.b = parse_args(p);
            node = new_node(p, n);
        } else {
            break;
        }
    }
    return node;
}

/* ---- Operators ------------------------------------------------------------------------------- */

static uint32_t parse_unary(parser_t *p, bool with_filter)
{
    lls_jnode_t n = blank(p, JN_NEG);
    uint32_t    node;

    if (!enter(p))
        return leave(p, LLS_NONE);
    if (take_op(p, "-")) {
        n.a = parse_unary(p, false);
        node = new_node(p, n);
    } else if (take_op(p, "+")) {
        node = parse_unary(p, false);
    } else {
        node = parse_primary(p);
    }
    node = parse_postfix(p, node);
    if (is_op(p, "**"))
        fail(p, LLM_ERR_UNSUPPORTED, "the operator **");
    return leave(p, with_filter ? parse_filters(p, node) : node);
}

typedef struct op_name {
    const char *op;
    uint8_t     code;
} op_name_t;

static uint32_t parse_left(parser_t *p, const op_name_t *ops, size_t n_ops,
                           uint32_t (*operand)(parser_t *p))
{
    uint32_t left = operand(p);

    for (size_t i = 0; p->st == LLM_OK && i < n_ops;) {
        lls_jnode_t n = blank(p, JN_BINARY);

        if (!take_op(p, ops[i].op)) {
            i++;
            continue;
        }
        n.op = ops[i].code;
        n.a = left;
        n.b = operand(p);
        left = new_node(p, n);
        i = 0;
    }
    return left;
}

static uint32_t operand_unary(parser_t *p)
{
    return parse_unary(p, true);
}

static uint32_t parse_product(parser_t *p)
{
    static const op_name_t ops[] = {
        {"*", JO_MUL}, {"/", JO_DIV}, {"//", JO_FLOORDIV}, {"%", JO_MOD}};

    return parse_left(p, ops, LLS_ARRAY_LEN(ops), operand_unary);
}

static uint32_t parse_concat(parser_t *p)
{
    static const op_name_t ops[] = { { "~", JO_CONCAT } };

    return parse_left(p, ops, LLS_ARRAY_LEN(ops), parse_product);
}

static uint32_t parse_sum(parser_t *p)
{
    static const op_name_t ops[] = { { "+", JO_ADD }, { "-", JO_SUB } };

    return parse_left(p, ops, LLS_ARRAY_LEN(ops), parse_concat);
}

static bool take_comparison(parser_t *p, uint8_t *op)
{
    static const op_name_t ops[] = {{"==", JO_EQ}, {"!=", JO_NE}, {"<=", JO_LE},
                                    {">=", JO_GE}, {"<", JO_LT},  {">", JO_GT}};

    for (size_t i = 0; i < LLS_ARRAY_LEN(ops); i++) {
        *op = ops[i].code;
        if (take_op(p, ops[i].op))
            return true;
    }
    *op = JO_IN;
    if (take_name(p, "in"))
        return true;
    *op = JO_NOT_IN;
    if (!is_name(p, "not") || tok(p)[1].kind != JT_NAME ||
        !lls_jis(p->j->text.data + tok(p)[1].off, tok(p)[1].len, "in"))
        return false;
    p->at += 2;
    return true;
}

static uint32_t parse_compare(parser_t *p)
{
    lls_jnode_t n = blank(p, JN_COMPARE);
    chain_t     rest = { LLS_NONE, LLS_NONE, 0 };
    uint8_t     op;

    n.a = parse_sum(p);
    while (p->st == LLM_OK && take_comparison(p, &op)) {
        lls_jnode_t arg = blank(p, JN_ARG);
        arg.op = op;
        arg.a = parse_sum(p);
        chain_put(p, &rest, new_node(p, arg));
    }
    n.b = rest.first;
    return n.b == LLS_NONE ? n.a : new_node(p, n);
}

static uint32_t parse_not(parser_t *p)
{
    lls_jnode_t n = blank(p, JN_NOT);
    uint32_t    node;

    if (!is_name(p, "not"))
        return parse_compare(p);
    if (!enter(p))
        return leave(p, LLS_NONE);
    p->at++;
    n.a = parse_not(p);
    node = new_node(p, n);
    return leave(p, node);
}

static uint32_t parse_logic(parser_t *p, const char *word, uint8_t kind,
                            uint32_t (*operand)(parser_t *p))
{
    uint32_t left = operand(p);

    while (p->st == LLM_OK && is_name(p, word)) {
        lls_jnode_t n = blank(p, kind);
        p->at++;
        n.a = left;
        n.b = operand(p);
        left = new_node(p, n);
    }
    return left;
}

static uint32_t parse_and(parser_t *p)
{
    return parse_logic(p, "and", JN_AND, parse_not);
}

static uint32_t parse_or(parser_t *p)
{
    return parse_logic(p, "or", JN_OR, parse_and);
}

static uint32_t parse_expr(parser_t *p)
{
    uint32_t node;

    if (!enter(p))
        return leave(p, LLS_NONE);
    node = parse_or(p);
    while (p->st == LLM_OK && is_name(p, "if")) {
        lls_jnode_t n = blank(p, JN_COND);
        p->at++;
        n.a = node;
        n.b = parse_or(p);
        if (take_name(p, "else"))
            n.c = parse_expr(p);
        node = new_node(p, n);
    }
    return leave(p, node);
}

/* expr, or expr, expr, ... which is a list */
static uint32_t parse_tuple(parser_t *p)
{
    lls_jnode_t n = blank(p, JN_LIST);
    chain_t     items = { LLS_NONE, LLS_NONE, 0 };
    uint32_t    first = parse_expr(p);

    if (!is_op(p, ","))
        return first;
    chain_put(p, &items, first);
    while (p->st == LLM_OK && take_op(p, ",") && tok(p)->kind != JT_BLOCK_END)
        chain_put(p, &items, parse_expr(p));
    n.a = items.first;
    return new_node(p, n);
}

/* ---- Statements ------------------------------------------------------------------------------ */

/* A name, a list of names, or namespace.name. */
static uint32_t parse_target(parser_t *p, bool with_attr)
{
    lls_jnode_t n = blank(p, JN_LIST);
    chain_t     names = { LLS_NONE, LLS_NONE, 0 };
    bool        paren = take_op(p, "(");

    do {
        if (tok(p)->kind != JT_NAME)
            return fail(p, LLM_ERR_FORMAT, "a name to assign to is expected here");
        chain_put(p, &names, named(p, blank(p, JN_NAME)));
    } while (p->st == LLM_OK && take_op(p, ",") && tok(p)->kind == JT_NAME && !is_name(p, "in"));
    if (paren)
        need_op(p, ")");
    if (names.first == names.last && with_attr && is_op(p, "."))
        return parse_attr(p, names.first);
    if (names.first == names.last && !paren)
        return names.first;
    n.a = names.first;
    return new_node(p, n);
}

static uint32_t parse_if(parser_t *p)
{
    static const char *const ends[] = { "elif", "else", "endif" };
    lls_jnode_t n = blank(p, JN_IF);

    n.a = parse_tuple(p);
    need_end(p, JT_BLOCK_END);
    n.b = parse_body(p, ends, 3);
    if (p->st != LLM_OK)
        return LLS_NONE;
    if (take_name(p, "elif")) {
        if (!enter(p))
            return leave(p, LLS_NONE);
        n.c = parse_if(p);
        p->depth--;
        return new_node(p, n);
    }
    if (take_name(p, "else")) {
        need_end(p, JT_BLOCK_END);
        n.c = parse_body(p, ends + 2, 1);
    }
    if (p->st == LLM_OK && !take_name(p, "endif"))
        return fail(p, LLM_ERR_FORMAT, "'endif' is expected here");
    need_end(p, JT_BLOCK_END);
    return new_node(p, n);
}

static uint32_t parse_for(parser_t *p)
{
    static const char *const ends[] = { "else", "endfor" };
    lls_jnode_t n = blank(p, JN_FOR);

    n.a = parse_target(p, false);
    if (p->st == LLM_OK && !take_name(p, "in"))
        return fail(p, LLM_ERR_FORMAT, "'in' is expected here");
    n.b = parse_or(p);
    if (is_op(p, ","))
        return fail(p, LLM_ERR_UNSUPPORTED, "a loop over a tuple without brackets");
    if (take_name(p, "if"))
        n.e = parse_expr(p);
    if (is_name(p, "recursive"))
        return fail(p, LLM_ERR_UNSUPPORTED, "recursive loops");
    need_end(p, JT_BLOCK_END);
    p->loops++;
    n.c = parse_body(p, ends, 2);
    p->loops--;
    if (p->st == LLM_OK && take_name(p, "else")) {
        need_end(p, JT_BLOCK_END);
        n.d = parse_body(p, ends + 1, 1);
    }
    if (p->st == LLM_OK && !take_name(p, "endfor"))
        return fail(p, LLM_ERR_FORMAT, "'endfor' is expected here");
    need_end(p, JT_BLOCK_END);
    return new_node(p, n);
}

static uint32_t parse_set(parser_t *p)
{
    static const char *const ends[] = { "endset" };
    lls_jnode_t n = blank(p, JN_SET);

    n.a = parse_target(p, true);
    if (take_op(p, "=")) {
        n.b = parse_tuple(p);
        need_end(p, JT_BLOCK_END);
        return new_node(p, n);
    }
    n.kind = JN_SET_BLOCK;
    if (is_op(p, "|"))
        return fail(p, LLM_ERR_UNSUPPORTED, "a set block with a filter");
    need_end(p, JT_BLOCK_END);
    n.b = parse_body(p, ends, 1);
    p->at += p->st == LLM_OK;
    need_end(p, JT_BLOCK_END);
    return new_node(p, n);
}

/* {% generation %} marks training data; what is inside is put out. */
static uint32_t parse_generation(parser_t *p)
{
    static const char *const ends[] = { "endgeneration" };
    lls_jnode_t n = blank(p, JN_IF), cond = blank(p, JN_BOOL);

    need_end(p, JT_BLOCK_END);
    cond.num.i = 1;
    n.a = new_node(p, cond);
    n.b = parse_body(p, ends, 1);
    p->at += p->st == LLM_OK;
    need_end(p, JT_BLOCK_END);
    return new_node(p, n);
}

static uint32_t parse_jump(parser_t *p, uint8_t kind)
{
    lls_jnode_t n = blank(p, kind);

    if (p->loops == 0)
        return fail(p, LLM_ERR_FORMAT, "break or continue outside of a loop");
    need_end(p, JT_BLOCK_END);
    return new_node(p, n);
}

static uint32_t parse_statement(parser_t *p)
{
    char text[96];

    if (take_name(p, "if"))
        return parse_if(p);
    if (take_name(p, "for"))
        return parse_for(p);
    if (take_name(p, "set"))
        return parse_set(p);
    if (take_name(p, "generation"))
        return parse_generation(p);
    if (take_name(p, "break"))
        return parse_jump(p, JN_BREAK);
    if (take_name(p, "continue"))
        return parse_jump(p, JN_CONTINUE);
    if (tok(p)->kind != JT_NAME)
        return fail(p, LLM_ERR_FORMAT, "the name of a statement is expected here");
    snprintf(text, sizeof text, "the statement '%.*s'", (int)(tok(p)->len > 40 ? 40 : tok(p)->len),
             p->j->text.data + tok(p)->off);
    if (tok(p)->len > 3 && memcmp(p->j->text.data + tok(p)->off, "end", 3) == 0)
        return fail(p, LLM_ERR_FORMAT, "an end without a beginning");
    return fail(p, LLM_ERR_UNSUPPORTED, text);
}

static bool is_end(const parser_t *p, const char *const *ends, size_t n_ends)
{
    for (size_t i = 0; i < n_ends; i++)
        if (is_name(p, ends[i]))
            return true;
    return false;
}

static uint32_t parse_output(parser_t *p)
{
    lls_jnode_t n = blank(p, JN_OUTPUT);

    p->at++;
    n.a = parse_tuple(p);
    need_end(p, JT_OUTPUT_END);
    return new_node(p, n);
}

/* Statements up to one of ends, whose name is the next token then; without ends up to the end. */
static uint32_t parse_body(parser_t *p, const char *const *ends, size_t n_ends)
{
    chain_t body = { LLS_NONE, LLS_NONE, 0 };

    if (!enter(p))
        return leave(p, LLS_NONE);
    while (p->st == LLM_OK && tok(p)->kind != JT_EOF) {
        if (tok(p)->kind == JT_TEXT) {
            chain_put(p, &body, named(p, blank(p, JN_TEXT)));
        } else if (tok(p)->kind == JT_OUTPUT) {
            chain_put(p, &body, parse_output(p));
        } else {
            p->at++;
            if (is_end(p, ends, n_ends))
                return leave(p, body.first);
            chain_put(p, &body, parse_statement(p));
        }
    }
    if (p->st == LLM_OK && n_ends != 0)
        fail(p, LLM_ERR_FORMAT, "the template ends inside a block");
    return leave(p, body.first);
}

llm_status_t lls_jinja_parse(lls_jinja_t *j, llm_error_t *err)
{
    parser_t p = { j, err, 0, 0, 0, LLM_OK };

    j->root = parse_body(&p, NULL, 0);
    return p.st;
}
