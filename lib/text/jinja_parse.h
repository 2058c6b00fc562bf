/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_parse - what the parsers of expressions and of statements share.
 *
 * After a failure p->st is set, every function gives LLS_NONE and the tokens stay where they are.
 */
#ifndef LLS_TEXT_JINJA_PARSE_H
#define LLS_TEXT_JINJA_PARSE_H

#include "text/jinja_int.h"

typedef struct lls_jparser {
    lls_jinja_t *j;
    llm_error_t *err;
    size_t       at; /* the next token */
    int          depth;
    int          loops; /* open for blocks that break and continue may mean */
    llm_status_t st;
} lls_jparser_t;

typedef struct lls_jchain {
    uint32_t first, last;
    uint16_t depth;
} lls_jchain_t;

static inline const lls_jtok_t *lls_jtok(const lls_jparser_t *p) { return &p->j->toks[p->at]; }

uint32_t lls_jp_fail(lls_jparser_t *p, llm_status_t status, const char *what);
bool     lls_jp_is_op(const lls_jparser_t *p, const char *op);
bool     lls_jp_is_name(const lls_jparser_t *p, const char *name);
bool     lls_jp_take_op(lls_jparser_t *p, const char *op);
bool     lls_jp_take_name(lls_jparser_t *p, const char *name);
void     lls_jp_need_op(lls_jparser_t *p, const char *op);
void     lls_jp_need_kind(lls_jparser_t *p, uint8_t kind);
/* The text of the next token, interned; takes it. */
uint32_t lls_jp_take_str(lls_jparser_t *p);
uint32_t lls_jp_need_name(lls_jparser_t *p);
/* A node with nothing in it but kind and line; it becomes part of the tree by lls_jp_add(). */
lls_jnode_t lls_jp_node(const lls_jparser_t *p, uint8_t kind);
uint32_t    lls_jp_add(lls_jparser_t *p, lls_jnode_t n);
void        lls_jp_put(lls_jparser_t *p, lls_jchain_t *c, uint32_t node);
bool        lls_jp_enter(lls_jparser_t *p);
uint32_t    lls_jp_leave(lls_jparser_t *p, uint32_t node);

enum { LLS_JP_NO_COND = 1, LLS_JP_TARGET = 2, LLS_JP_NAMESPACE = 4, LLS_JP_EMPTY = 8 };

uint32_t lls_jp_expr(lls_jparser_t *p);
/* a or a, b, ...; end: a name that ends it, or NULL. */
uint32_t lls_jp_tuple(lls_jparser_t *p, unsigned flags, const char *end);
/* Filters behind `node`, which may be LLS_NONE; inline: the name of the first comes next. */
uint32_t lls_jp_filters(lls_jparser_t *p, uint32_t node, bool is_inline);

#endif
