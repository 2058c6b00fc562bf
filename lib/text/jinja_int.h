/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_int - the inside of a compiled template: tokens, nodes, scopes.
 *
 * Nodes lie in one array and name each other by index; lists of nodes are chains through `next`.
 * Lexer, parser and scopes run once, in this order; a compiled template is never written to again.
 *
 * Variables are slots.  Jinja2 decides at compile time, scope by scope, whether a name is a
 * parameter, a copy of an outer variable, a variable of the context or not yet there, and this has
 * visible effects; scopes do it the same way.  The body of the template, of each macro, call block
 * and recursive loop is a function with slots of its own; a variable is a slot of the function that
 * is running or of one that encloses it.
 */
#ifndef LLS_TEXT_JINJA_INT_H
#define LLS_TEXT_JINJA_INT_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "text/buf.h"
#include "text/jinja.h"

#define LLS_JINJA_DEPTH 200 /* of nested expressions and blocks in a template */

/* ---- Strings --------------------------------------------------------------------------------- */

typedef struct lls_jstr {
    const char    *text;
    const uint8_t *mark; /* NULL: all bytes are `user` */
    size_t         len;
    bool           user;
    bool           safe; /* Markup: adding to it escapes HTML */
} lls_jstr_t;

static inline bool lls_jis(const char *a, size_t len, const char *b)
{
    return strlen(b) == len && memcmp(a, b, len) == 0;
}

static inline uint64_t lls_jword(const char *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* Names are short: two words that may overlap decide about most. */
static inline bool lls_jsame(const char *a, const char *b, size_t len)
{
    uint32_t x, y;

    if (len > 16)
        return memcmp(a, b, len) == 0;
    if (len >= 8)
        return lls_jword(a) == lls_jword(b) && lls_jword(a + len - 8) == lls_jword(b + len - 8);
    if (len < 4)
        return len == 0 || (a[0] == b[0] && a[len / 2] == b[len / 2] && a[len - 1] == b[len - 1]);
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    if (x != y)
        return false;
    memcpy(&x, a + len - 4, sizeof x);
    memcpy(&y, b + len - 4, sizeof y);
    return x == y;
}

/* How many bytes at the front JSON has between quotes as they are: up to a quote, a backslash or a
 * control character. */
static inline size_t lls_jplain(const char *p, size_t len)
{
    size_t at = 0;

#ifdef __SSE2__
    for (; len - at >= 16; at += 16) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(p + at));
        const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(0x1f)), x);
        const __m128i end = _mm_or_si128(low, _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
                                                           _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));
        const int     bits = _mm_movemask_epi8(end);

        if (bits != 0)
            return at + (size_t)__builtin_ctz((unsigned)bits);
    }
#endif
    while (at < len && (uint8_t)p[at] >= 0x20 && p[at] != '"' && p[at] != '\\')
        at++;
    return at;
}

static inline bool lls_jstr_is(const lls_jstr_t *s, const char *text)
{
    return lls_jis(s->text, s->len, text);
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

enum lls_jtok_kind {
    JT_TEXT,
    JT_BLOCK,
    JT_BLOCK_END,
    JT_OUTPUT,
    JT_OUTPUT_END,
    JT_NAME,
    JT_INT,
    JT_FLOAT,
    JT_STRING,
    JT_OP,
    JT_EOF
};

typedef struct lls_jtok {
    uint8_t  kind; /* enum lls_jtok_kind */
    uint32_t line;
    uint32_t off, len; /* in the template's text; of a string, its unescaped bytes */
    char     op[3];    /* of JT_OP */
} lls_jtok_t;

/* ---- Nodes ----------------------------------------------------------------------------------- */

enum lls_jnode_kind {
    /* statements */
    JN_TEXT,
    JN_OUTPUT,
    JN_IF,
    JN_FOR,
    JN_SET,
    JN_SET_BLOCK,
    JN_MACRO,
    JN_CALL_BLOCK,
    JN_FILTER_BLOCK,
    JN_WITH,
    JN_GENERATION,
    JN_BREAK,
    JN_CONTINUE,
    /* expressions */
    JN_STRING,
    JN_INT,
    JN_FLOAT,
    JN_BOOL,
    JN_NONE,
    JN_NAME,
    JN_NSREF,
    JN_LIST,
    JN_TUPLE,
    JN_DICT,
    JN_NOT,
    JN_NEG,
    JN_POS,
    JN_BINARY,
    JN_CONCAT,
    JN_AND,
    JN_OR,
    JN_COMPARE,
    JN_COND,
    JN_ATTR,
    JN_ITEM,
    JN_SLICE,
    JN_CALL,
    JN_FILTER,
    JN_TEST,
    /* parts of others */
    JN_ARG,
    JN_PARAM
};

enum lls_jop {
    JO_ADD,
    JO_SUB,
    JO_MUL,
    JO_DIV,
    JO_FLOORDIV,
    JO_MOD,
    JO_POW,
    JO_EQ,
    JO_NE,
    JO_LT,
    JO_LE,
    JO_GT,
    JO_GE,
    JO_IN,
    JO_NOT_IN
};

enum lls_jarg_kind { JA_VALUE, JA_NAMED, JA_STAR, JA_STAR_STAR };

/* What a, b, c, d and e are; `str` is the name, text or keyword:
 * TEXT str | OUTPUT a, a, ... | IF a = test, b = body, c = else | SET a = target, b = value
 * FOR a = target, b = iterable, c = body, d = else, e = test, f = target again, for the test;
 *     flag = recursive
 * SET_BLOCK a = target, b = body, c = filters around the text of the block, or LLS_NONE
 * MACRO str, a = params, b = body; NAME of it is d | CALL_BLOCK a = call, b = body, c = params
 * INT flag = of more than 64 bits: str are its digits, op the base
 * NONE flag = stands for the text of a block | FILTER_BLOCK a = filters, b = body | WITH a =
 * targets, b = values, c = body | GENERATION b = body LIST, TUPLE, CONCAT a, a, ... | DICT a = key,
 * value, key, ... | NOT, NEG, POS a | BINARY a op b, flag = the sign of a comes last | AND, OR a, b
 * COMPARE a, then the chain b of ARG with op and a = operand | COND a if b else c
 * ATTR a, str, flag = no method has this name | ITEM a, b | SLICE a [b : c : d] | CALL a, b = args
 * FILTER a, str, b = args, flag = sees variables | TEST a, str, b = args | NSREF str = attribute;
 * the slot is the
 * namespace's | ARG a = value, op = enum lls_jarg_kind, str = keyword | PARAM str, a =
 * default */
typedef struct lls_jnode {
    uint8_t     kind; /* enum lls_jnode_kind */
    uint8_t     op;   /* enum lls_jop and others, as above */
    uint16_t    depth;
    bool        flag;
    bool        store; /* NAME: is assigned to */
    bool        fold;  /* constant, with a slice inside: Jinja2 works it out as it compiles */
    uint16_t    up;    /* NAME, NSREF, PARAM: functions outwards */
    uint32_t    slot;  /* NAME, NSREF, PARAM: the variable; FOR: that of `loop` */
    uint32_t    line;
    uint32_t    a, b, c, d, e, f;        /* nodes, LLS_NONE = none */
    uint32_t    next;                    /* in the chain that this is part of */
    uint32_t    str;                     /* in strs, LLS_NONE = none */
    uint32_t    scope;                   /* of the body */
    uint32_t    scope2, scope3;          /* FOR: of else and test */
    uint32_t    func;                    /* MACRO, CALL_BLOCK, GENERATION, recursive FOR */
    uint32_t    caller, kwargs, varargs; /* their slots in a macro, LLS_NONE = not used */
    const void *fn;                      /* FILTER, TEST: what is called; NULL = unknown */
    union {
        int64_t i;
        double  f;
    } num;
} lls_jnode_t;

enum lls_jload_kind { JL_RESOLVE, JL_ALIAS, JL_MISSING };

/* What a slot of a scope holds when the scope is entered. */
typedef struct lls_jload {
    uint8_t  kind; /* enum lls_jload_kind */
    uint32_t slot;
    uint32_t from; /* RESOLVE: name in strs; ALIAS: a slot, `up` functions out */
    uint16_t up;
} lls_jload_t;

typedef struct lls_jscope {
    uint32_t first_load, n_loads;
} lls_jscope_t;

struct lls_jinja {
    lls_mem_t    *mem;
    lls_buf_t     text; /* the template, newlines made \n, then unescaped strings */
    size_t        source_len;
    lls_jtok_t   *toks; /* while compiling */
    size_t        n_toks, toks_cap;
    lls_jstr_t   *strs; /* each once */
    size_t        n_strs, strs_cap;
    uint32_t     *str_index; /* while compiling: open addressing, LLS_NONE = empty */
    size_t        str_index_cap;
    lls_jnode_t  *nodes;
    size_t        n_nodes, nodes_cap;
    lls_jload_t  *loads;
    size_t        n_loads, loads_cap;
    lls_jscope_t *scopes; /* 0 is the template's */
    size_t        n_scopes, scopes_cap;
    uint32_t     *funcs; /* slots of each function; 0 is the template's */
    size_t        n_funcs, funcs_cap;
    uint32_t      root; /* the first statement */
    bool          wants_parts, knows_developer;
};

llm_status_t lls_jinja_lex(lls_jinja_t *j, llm_error_t *err);
llm_status_t lls_jinja_parse(lls_jinja_t *j, llm_error_t *err);
llm_status_t lls_jinja_scopes(lls_jinja_t *j, llm_error_t *err);
/* Sets j->wants_parts; false without memory. */
bool lls_jinja_find_content_loop(lls_jinja_t *j);

/* The index in strs of these bytes, which are in j->text or constant; LLS_NONE without memory. */
uint32_t     lls_jinja_intern(lls_jinja_t *j, const char *text, size_t len);
llm_status_t lls_jinja_fail(llm_error_t *err, llm_status_t status, uint32_t line, const char *fmt,
                            ...) LLS_PRINTF(4, 5);
/* Bytes of the character at p if it is white space for Python, else 0. */
size_t lls_jinja_blank(const char *p, size_t len);

/* Names of built-in filters, tests and global functions; NULL = there is none. */
const struct lls_jfunc *lls_jfind_filter(const char *name, size_t len);
const struct lls_jfunc *lls_jfind_test(const char *name, size_t len);
const struct lls_jfunc *lls_jfind_global(const char *name, size_t len);
/* Whether Python has a method of this name for some of our types. */
bool lls_jmethod_exists(const lls_jstr_t *name);

#endif
