/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_int - the inside of a compiled template: tokens, nodes and values.
 *
 * Nodes lie in one array and name each other by index; lists of nodes are chains through `next`.
 * A compiled template is never written to again.  Values live in the arena of one render.
 */
#ifndef LLS_TEXT_JINJA_INT_H
#define LLS_TEXT_JINJA_INT_H

#include "text/buf.h"
#include "text/jinja.h"

#define LLS_JINJA_DEPTH 200             /* of nested expressions and blocks */

/* ---- Tokens ---------------------------------------------------------------------------------- */

enum lls_jtok_kind {
    JT_TEXT, JT_BLOCK, JT_BLOCK_END, JT_OUTPUT, JT_OUTPUT_END, JT_NAME, JT_INT, JT_FLOAT, JT_STRING,
    JT_OP, JT_EOF
};

typedef struct lls_jtok {
    uint8_t  kind;                      /* enum lls_jtok_kind */
    uint32_t line;
    uint32_t off, len; /* in the template's text; of a string, its unescaped bytes */
    char     op[3];                     /* of JT_OP */
} lls_jtok_t;

/* ---- Nodes ----------------------------------------------------------------------------------- */

enum lls_jnode_kind {
    /* statements */
    JN_TEXT, JN_OUTPUT, JN_IF, JN_FOR, JN_SET, JN_SET_BLOCK, JN_BREAK, JN_CONTINUE,
    /* expressions */
    JN_STRING, JN_INT, JN_FLOAT, JN_BOOL, JN_NONE, JN_NAME, JN_LIST, JN_DICT, JN_NOT, JN_NEG,
    JN_BINARY, JN_AND, JN_OR, JN_COMPARE, JN_COND, JN_ATTR, JN_ITEM, JN_SLICE, JN_CALL, JN_FILTER,
    JN_TEST, JN_ARG
};

enum lls_jop {
    JO_ADD, JO_SUB, JO_MUL, JO_DIV, JO_FLOORDIV, JO_MOD, JO_CONCAT, JO_EQ, JO_NE, JO_LT, JO_LE,
    JO_GT, JO_GE, JO_IN, JO_NOT_IN
};

/* What a, b and c are:
 * IF cond, body, else | FOR target, iterable, body; d = else, e = filter | SET target, value
 * SET_BLOCK target, body | LIST first | DICT first: key, value, key, ... | BINARY a op b
 * COMPARE a, then a chain of b: each a JN_ARG with op and a = operand | COND value, cond, else
 * ATTR a, name | ITEM a, b | SLICE a, start, stop; d = step | CALL a, args | FILTER a, name, args
 * TEST a, name, args; op = negated | ARG a = value, name = keyword or empty */
typedef struct lls_jnode {
    uint8_t  kind;                      /* enum lls_jnode_kind */
    uint8_t  op;                        /* enum lls_jop */
    uint16_t depth;
    uint32_t line;
    uint32_t a, b, c, d, e;             /* nodes, LLS_NONE = none */
    uint32_t next;                      /* in the chain that this is part of */
    uint32_t off, len;                  /* of a name or text */
    union {
        int64_t i;
        double  f;
    } num;
} lls_jnode_t;

struct lls_jinja {
    lls_mem_t   *mem;
    lls_buf_t    text; /* the template, with newlines made \n, then unescaped strings */
    size_t       source_len;
    lls_jtok_t  *toks;                  /* while compiling */
    size_t       n_toks, toks_cap;
    lls_jnode_t *nodes;
    size_t       n_nodes, nodes_cap;
    uint32_t     root;                  /* the first statement */
};

llm_status_t lls_jinja_lex(lls_jinja_t *j, llm_error_t *err);
llm_status_t lls_jinja_parse(lls_jinja_t *j, llm_error_t *err);
llm_status_t lls_jinja_fail(llm_error_t *err, llm_status_t status, uint32_t line, const char *fmt,
                            ...) LLS_PRINTF(4, 5);

/* ---- Values ---------------------------------------------------------------------------------- */

enum lls_jtype {
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_FLOAT,
    JV_STRING,
    JV_LIST,
    JV_DICT,
    JV_NAMESPACE,
    JV_LOOP,
    JV_FUNCTION /* a global function or a method, by name */
};

typedef struct lls_jstr {
    const char    *text;
    const uint8_t *mark;                /* NULL: all bytes are `user` */
    size_t         len;
    bool           user;
} lls_jstr_t;

typedef struct lls_jval {
    uint8_t type;                       /* enum lls_jtype */
    union {
        bool              b;
        int64_t           i;
        double            f;
        lls_jstr_t       *str;          /* also the name of UNDEFINED (may be NULL) and FUNCTION */
        struct lls_jlist *list;
        struct lls_jdict *dict;         /* also NAMESPACE, LOOP */
    } u;
} lls_jval_t;

typedef struct lls_jlist {
    lls_jval_t *items;
    size_t      n;
} lls_jlist_t;

typedef struct lls_jdict {              /* in the order of insertion */
    lls_jval_t *keys;                   /* strings */
    lls_jval_t *values;
    size_t      n, cap;
} lls_jdict_t;

typedef struct lls_jvar {
    const char *name;
    size_t      len;
    lls_jval_t  value;
} lls_jvar_t;

/* One render. */
typedef struct lls_jrun {
    const lls_jinja_t *j;
    lls_mem_t         *mem;
    llm_error_t       *err;
    llm_status_t       st;
    uint32_t           line;            /* of what is being evaluated */
    uint32_t           steps;
    struct lls_jchunk *chunks;          /* the arena */
    size_t             arena_bytes;
    lls_jvar_t        *vars;            /* innermost last */
    size_t             n_vars, vars_cap;
    size_t             frame;           /* vars from here belong to the innermost block */
    lls_buf_t         *out, *mark;
    int                flow;            /* 0, JN_BREAK or JN_CONTINUE */
} lls_jrun_t;

typedef struct lls_jargs {              /* of a call, evaluated */
    lls_jval_t  pos[4];
    size_t      n_pos;
    lls_jval_t  kw[8];
    const char *kw_name[8];
    size_t      kw_len[8];
    size_t      n_kw;
} lls_jargs_t;

/* The first failure stays; each gives UNDEFINED, to be returned. */
lls_jval_t lls_jraise(lls_jrun_t *r, llm_status_t status, const char *fmt, ...) LLS_PRINTF(3, 4);
void      *lls_jalloc(lls_jrun_t *r, size_t n);             /* NULL and raised */
void       lls_jarena_free(lls_jrun_t *r);

lls_jval_t lls_jbool(bool b);
lls_jval_t lls_jint(int64_t i);
lls_jval_t lls_jfloat(double f);
lls_jval_t lls_jnone(void);
lls_jval_t lls_jundefined(void);
/* A string that points at text. */
lls_jval_t lls_jstring(lls_jrun_t *r, const char *text, size_t len, bool user);
lls_jval_t lls_jcstr(lls_jrun_t *r, const char *text);
/* len bytes of s from off. */
lls_jval_t lls_jsubstr(lls_jrun_t *r, const lls_jstr_t *s, size_t off, size_t len);
lls_jval_t lls_jconcat(lls_jrun_t *r, const lls_jstr_t *const *parts, size_t n);
lls_jval_t lls_jlist(lls_jrun_t *r, size_t n);
lls_jval_t lls_jdict(lls_jrun_t *r, size_t cap);
bool       lls_jdict_put(lls_jrun_t *r, lls_jdict_t *d, lls_jval_t key, lls_jval_t value);
const lls_jval_t *lls_jdict_get(const lls_jdict_t *d, const char *key, size_t len);
lls_jval_t lls_jfrom_json(lls_jrun_t *r, const json_t *v, int depth);

bool        lls_jtrue(lls_jval_t v);
bool        lls_jequal(lls_jval_t a, lls_jval_t b, int depth);
/* -1, 0, 1; raises where Python would. */
int         lls_jcompare(lls_jrun_t *r, lls_jval_t a, lls_jval_t b);
bool        lls_jcontains(lls_jrun_t *r, lls_jval_t in, lls_jval_t what);
const char *lls_jtype_name(lls_jval_t v);
/* str() */
lls_jval_t  lls_jtext(lls_jrun_t *r, lls_jval_t v);
/* The elements that iterating gives, as a list. */
lls_jval_t  lls_jiter(lls_jrun_t *r, lls_jval_t v);
int64_t     lls_jlength(lls_jrun_t *r, lls_jval_t v);
/* indent < 0 = one line */
lls_jval_t  lls_jtojson(lls_jrun_t *r, lls_jval_t v, int indent, bool ascii);
size_t      lls_jchars(const char *text, size_t len);       /* code points */

const lls_jval_t *lls_jarg(const lls_jargs_t *args, size_t pos, const char *name);
/* A string argument: NULL if absent or none; need raises then. */
const lls_jstr_t *lls_jstr_arg(lls_jrun_t *r, const lls_jargs_t *args, size_t pos,
                               const char *name);
const lls_jstr_t *lls_jneed_str(lls_jrun_t *r, const lls_jargs_t *args, size_t pos,
                                const char *name);

enum lls_jcase { LLS_JUPPER, LLS_JLOWER, LLS_JTITLE, LLS_JCAPITALIZE };

/* set NULL = blanks */
lls_jval_t lls_jstrip(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *set, bool left,
                      bool right);
lls_jval_t lls_jcase(lls_jrun_t *r, const lls_jstr_t *s, enum lls_jcase how);
/* sep may be NULL */
lls_jval_t lls_jjoin(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *sep);
lls_jval_t lls_jpairs(lls_jrun_t *r, const lls_jdict_t *d);
/* A list that grows in the arena. */
bool       lls_jpush(lls_jrun_t *r, lls_jval_t **items, size_t *n, size_t *cap, lls_jval_t v);
lls_jval_t lls_jlist_of(lls_jrun_t *r, lls_jval_t *items, size_t n);

lls_jval_t        lls_jfilter(lls_jrun_t *r, const char *name, size_t len, lls_jval_t v,
                              const lls_jargs_t *args);
bool lls_jtest(lls_jrun_t *r, const char *name, size_t len, lls_jval_t v, const lls_jargs_t *args);
lls_jval_t lls_jmethod(lls_jrun_t *r, lls_jval_t self, const char *name, size_t len,
                       const lls_jargs_t *args);
bool       lls_jhas_method(lls_jval_t self, const char *name, size_t len);
lls_jval_t lls_jcall_global(lls_jrun_t *r, const char *name, size_t len, const lls_jargs_t *args);
bool       lls_jis_global(const char *name, size_t len);
lls_jval_t lls_jget(lls_jrun_t *r, lls_jval_t v, const char *name, size_t len);   /* item by name */

static inline bool lls_jis(const char *a, size_t len, const char *b)
{
    return strlen(b) == len && memcmp(a, b, len) == 0;
}

#endif
