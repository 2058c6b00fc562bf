/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens to statements.
 */
#include "text/jinja_parse.h"

#include <stdio.h>

static uint32_t parse_body(lls_jparser_t *p, const char *const *ends, size_t n_ends);

/* ---- Targets --------------------------------------------------------------------------------- */

/* Makes names of an expression that was parsed, where they can be. */
static bool make_target(lls_jparser_t *p, uint32_t at)
{
    lls_jnode_t *n = &p->j->nodes[at];

    if (p->st != LLM_OK)
        return false;
    if (n->kind == JN_NAME)
        return n->store = true;
    if (n->kind == JN_NSREF)
        return true;
    if (n->kind == JN_TUPLE) {
        for (uint32_t kid = n->a; kid != LLS_NONE; kid = p->j->nodes[kid].next)
            if (!make_target(p, kid))
                return false;
        return true;
    }
    lls_jp_fail(p, LLM_ERR_FORMAT, "this cannot be assigned to");
    return false;
}

static uint32_t parse_target(lls_jparser_t *p, unsigned flags, const char *end)
{
    uint32_t node = lls_jp_tuple(p, LLS_JP_TARGET | flags, end);

    return p->st == LLM_OK && make_target(p, node) ? node : LLS_NONE;
}

/* ---- Bodies ---------------------------------------------------------------------------------- */

/* The statements behind a tag that opens a block; the word that ends them is the next token. */
static uint32_t parse_block(lls_jparser_t *p, const char *const *ends, size_t n_ends)
{
    lls_jp_take_op(p, ":");
    lls_jp_need_kind(p, JT_BLOCK_END);
    return p->st == LLM_OK ? parse_body(p, ends, n_ends) : LLS_NONE;
}

/* As above with one end, which is taken. */
static uint32_t parse_until(lls_jparser_t *p, const char *end)
{
    uint32_t body = parse_block(p, &end, 1);

    p->at += p->st == LLM_OK;
    return body;
}

/* What is inside of a function of its own: no loop of the outside can be left from there. */
static uint32_t parse_function(lls_jparser_t *p, const char *end)
{
    int      loops = p->loops;
    uint32_t body;

    p->loops = 0;
    body = parse_until(p, end);
    p->loops = loops;
    return body;
}

/* ---- Statements ------------------------------------------------------------------------------ */

static uint32_t parse_if(lls_jparser_t *p)
{
    static const char *const ends[] = {"elif", "else", "endif"};
    lls_jnode_t              n = lls_jp_node(p, JN_IF);

    n.a = lls_jp_tuple(p, LLS_JP_NO_COND, NULL);
    n.b = parse_block(p, ends, 3);
    if (lls_jp_take_name(p, "elif")) {
        if (!lls_jp_enter(p))
            return lls_jp_leave(p, LLS_NONE);
        n.c = lls_jp_leave(p, parse_if(p));
        n.flag = true; /* c is one more JN_IF, whose end is ours */
    } else if (lls_jp_take_name(p, "else")) {
        n.c = parse_until(p, "endif");
    } else {
        p->at += p->st == LLM_OK;
    }
    return lls_jp_add(p, n);
}

static uint32_t parse_for(lls_jparser_t *p)
{
    static const char *const ends[] = {"endfor", "else"};
    lls_jnode_t              n = lls_jp_node(p, JN_FOR);
    int                      loops = p->loops;
    size_t                   before = p->at, behind;

    n.a = parse_target(p, 0, "in");
    behind = p->at;
    p->at = before;
    n.f = parse_target(p, 0, "in");
    p->at = p->st == LLM_OK ? behind : p->at;
    if (!lls_jp_take_name(p, "in"))
        return lls_jp_fail(p, LLM_ERR_FORMAT, "'in' is expected here");
    n.b = lls_jp_tuple(p, LLS_JP_NO_COND, "recursive");
    if (lls_jp_take_name(p, "if"))
        n.e = lls_jp_expr(p);
    n.flag = lls_jp_take_name(p, "recursive");
    p->loops = n.flag ? 1 : p->loops + 1;
    n.c = parse_block(p, ends, 2);
    p->loops = n.flag ? 0 : loops;
    if (lls_jp_take_name(p, "else"))
        n.d = parse_until(p, "endfor");
    else
        p->at += p->st == LLM_OK;
    p->loops = loops;
    return lls_jp_add(p, n);
}

static uint32_t parse_set(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_SET), body;

    n.a = parse_target(p, LLS_JP_NAMESPACE, NULL);
    if (lls_jp_take_op(p, "=")) {
        n.b = lls_jp_tuple(p, 0, NULL);
        return lls_jp_add(p, n);
    }
    n.kind = JN_SET_BLOCK;
    if (lls_jp_is_op(p, "|")) {
        body = lls_jp_node(p, JN_NONE);
        body.flag = true;
        n.c = lls_jp_filters(p, lls_jp_add(p, body), false);
    }
    n.b = parse_until(p, "endset");
    return lls_jp_add(p, n);
}

/* A name that can be assigned to. */
static uint32_t parse_own_name(lls_jparser_t *p)
{
    static const char *const words[] = {"true", "True", "false", "False", "none", "None"};

    for (size_t i = 0; i < LLS_ARRAY_LEN(words); i++)
        if (lls_jp_is_name(p, words[i]))
            return lls_jp_fail(p, LLM_ERR_FORMAT, "this cannot be assigned to");
    return lls_jp_need_name(p);
}

static bool is_param(const lls_jparser_t *p, uint32_t first, uint32_t str)
{
    for (uint32_t at = first; at != LLS_NONE; at = p->j->nodes[at].next)
        if (p->j->nodes[at].str == str)
            return true;
    return false;
}

/* (name, name = default, ...) */
static uint32_t parse_params(lls_jparser_t *p)
{
    lls_jchain_t params = {LLS_NONE, LLS_NONE, 0};
    bool         defaults = false;

    lls_jp_need_op(p, "(");
    while (p->st == LLM_OK && !lls_jp_is_op(p, ")")) {
        lls_jnode_t n = lls_jp_node(p, JN_PARAM);

        if (params.first != LLS_NONE)
            lls_jp_need_op(p, ",");
        n.str = parse_own_name(p);
        if (lls_jp_take_op(p, "=")) {
            n.a = lls_jp_expr(p);
            defaults = true;
        } else if (defaults) {
            return lls_jp_fail(p, LLM_ERR_FORMAT, "a parameter without a default behind one with");
        }
        if (is_param(p, params.first, n.str))
            return lls_jp_fail(p, LLM_ERR_FORMAT, "a parameter is repeated");
        lls_jp_put(p, &params, lls_jp_add(p, n));
    }
    lls_jp_need_op(p, ")");
    return params.first;
}

static uint32_t parse_macro(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_MACRO), name = lls_jp_node(p, JN_NAME);

    name.str = n.str = parse_own_name(p);
    name.store = true;
    n.d = lls_jp_add(p, name);
    n.a = parse_params(p);
    n.b = parse_function(p, "endmacro");
    return lls_jp_add(p, n);
}

static uint32_t parse_call_block(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_CALL_BLOCK);

    if (lls_jp_is_op(p, "("))
        n.c = parse_params(p);
    n.a = lls_jp_expr(p);
    if (p->st == LLM_OK && p->j->nodes[n.a].kind != JN_CALL)
        return lls_jp_fail(p, LLM_ERR_FORMAT, "a call is expected behind 'call'");
    n.b = parse_function(p, "endcall");
    return lls_jp_add(p, n);
}

static uint32_t parse_filter_block(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_FILTER_BLOCK), body = lls_jp_node(p, JN_NONE);

    body.flag = true;
    n.a = lls_jp_filters(p, lls_jp_add(p, body), true);
    n.b = parse_until(p, "endfilter");
    return lls_jp_add(p, n);
}

static uint32_t parse_with(lls_jparser_t *p)
{
    lls_jnode_t  n = lls_jp_node(p, JN_WITH);
    lls_jchain_t targets = {LLS_NONE, LLS_NONE, 0}, values = targets;

    while (p->st == LLM_OK && lls_jtok(p)->kind != JT_BLOCK_END) {
        if (targets.first != LLS_NONE)
            lls_jp_need_op(p, ",");
        lls_jp_put(p, &targets, parse_target(p, 0, NULL));
        lls_jp_need_op(p, "=");
        lls_jp_put(p, &values, lls_jp_expr(p));
    }
    n.a = targets.first;
    n.b = values.first;
    n.c = parse_until(p, "endwith");
    return lls_jp_add(p, n);
}

/* {% generation %} marks training data; what is inside is put out, in a scope of its own. */
static uint32_t parse_generation(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_GENERATION);

    n.b = parse_function(p, "endgeneration");
    return lls_jp_add(p, n);
}

static uint32_t parse_break(lls_jparser_t *p)
{
    return p->loops == 0 ? lls_jp_fail(p, LLM_ERR_FORMAT, "break outside of a loop")
                         : lls_jp_add(p, lls_jp_node(p, JN_BREAK));
}

static uint32_t parse_continue(lls_jparser_t *p)
{
    return p->loops == 0 ? lls_jp_fail(p, LLM_ERR_FORMAT, "continue outside of a loop")
                         : lls_jp_add(p, lls_jp_node(p, JN_CONTINUE));
}

/* {% print a, b %} */
static uint32_t parse_print(lls_jparser_t *p)
{
    lls_jnode_t  n = lls_jp_node(p, JN_OUTPUT);
    lls_jchain_t items = {LLS_NONE, LLS_NONE, 0};

    while (p->st == LLM_OK && lls_jtok(p)->kind != JT_BLOCK_END) {
        if (items.first != LLS_NONE)
            lls_jp_need_op(p, ",");
        lls_jp_put(p, &items, lls_jp_expr(p));
    }
    n.a = items.first;
    return lls_jp_add(p, n);
}

static uint32_t fail_unknown(lls_jparser_t *p)
{
    static const char *const inherited[] = {"block", "extends",    "include", "import",
                                            "from",  "autoescape", "do",      "trans"};
    const char              *name = p->j->text.data + lls_jtok(p)->off;
    size_t                   len = lls_jtok(p)->len;
    llm_status_t             st = LLM_ERR_FORMAT;

    if (lls_jtok(p)->kind != JT_NAME)
        return lls_jp_fail(p, LLM_ERR_FORMAT, "the name of a statement is expected here");
    for (size_t i = 0; i < 6; i++)
        if (lls_jis(name, len, inherited[i]))
            st = LLM_ERR_UNSUPPORTED;
    if (p->st == LLM_OK)
        p->st = lls_jinja_fail(p->err, st, lls_jtok(p)->line,
                               st == LLM_ERR_FORMAT ? "there is no statement '%.*s'"
                                                    : "the statement '%.*s' is not supported",
                               (int)(len > 60 ? 60 : len), name);
    return LLS_NONE;
}

static uint32_t parse_statement(lls_jparser_t *p)
{
    static const struct statement {
        const char *name;
        uint32_t (*parse)(lls_jparser_t *p);
    } statements[] = {
        {"if", parse_if},           {"for", parse_for},
        {"set", parse_set},         {"macro", parse_macro},
        {"call", parse_call_block}, {"filter", parse_filter_block},
        {"with", parse_with},       {"generation", parse_generation},
        {"break", parse_break},     {"continue", parse_continue},
        {"print", parse_print},
    };

    for (size_t i = 0; i < LLS_ARRAY_LEN(statements); i++) {
        uint32_t node;

        if (!lls_jp_take_name(p, statements[i].name))
            continue;
        node = statements[i].parse(p);
        lls_jp_need_kind(p, JT_BLOCK_END);
        return node;
    }
    return fail_unknown(p);
}

static bool is_end(const lls_jparser_t *p, const char *const *ends, size_t n_ends)
{
    for (size_t i = 0; i < n_ends; i++)
        if (lls_jp_is_name(p, ends[i]))
            return true;
    return false;
}

static uint32_t parse_text(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_TEXT);

    n.str = lls_jp_take_str(p);
    return lls_jp_add(p, n);
}

static uint32_t parse_output(lls_jparser_t *p)
{
    lls_jnode_t n = lls_jp_node(p, JN_OUTPUT);

    p->at++;
    n.a = lls_jp_tuple(p, 0, NULL);
    lls_jp_need_kind(p, JT_OUTPUT_END);
    return lls_jp_add(p, n);
}

/* Statements up to one of ends, whose name is the next token then; without ends up to the end. */
static uint32_t parse_body(lls_jparser_t *p, const char *const *ends, size_t n_ends)
{
    lls_jchain_t body = {LLS_NONE, LLS_NONE, 0};

    if (!lls_jp_enter(p))
        return lls_jp_leave(p, LLS_NONE);
    while (p->st == LLM_OK && lls_jtok(p)->kind != JT_EOF) {
        if (lls_jtok(p)->kind == JT_TEXT) {
            lls_jp_put(p, &body, parse_text(p));
        } else if (lls_jtok(p)->kind == JT_OUTPUT) {
            lls_jp_put(p, &body, parse_output(p));
        } else {
            p->at++;
            if (is_end(p, ends, n_ends))
                return lls_jp_leave(p, body.first);
            lls_jp_put(p, &body, parse_statement(p));
        }
    }
    if (n_ends != 0)
        lls_jp_fail(p, LLM_ERR_FORMAT, "the template ends inside a block");
    return lls_jp_leave(p, body.first);
}

llm_status_t lls_jinja_parse(lls_jinja_t *j, llm_error_t *err)
{
    lls_jparser_t p = {.j = j, .err = err, .st = LLM_OK};

    j->root = parse_body(&p, NULL, 0);
    return p.st;
}
