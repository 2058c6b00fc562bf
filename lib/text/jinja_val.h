/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_val - values of a render and what Python does with them.
 *
 * All values live in the arena of their render and none is changed once others can see it, but for
 * namespaces, loops, generators, cyclers and joiners.  A failure sets r->st, once; whoever may have
 * failed gives MISSING or false then, and callers look at r->st before they use a pointer in a
 * value.
 */
#ifndef LLS_TEXT_JINJA_VAL_H
#define LLS_TEXT_JINJA_VAL_H

#include "text/jinja_int.h"

#define LLS_JINJA_MACROS 100   /* macro calls inside each other */
#define LLS_JINJA_NESTING 1000 /* expressions, statements and data inside each other */
#define LLS_JINJA_RANGE 100000

/* ORDER jtype */
enum lls_jtype {
    JV_MISSING,
    JV_UNDEFINED,
    JV_NONE,
    JV_BOOL,
    JV_INT,
    JV_BIG,
    JV_FLOAT,
    JV_STRING,
    JV_LIST,
    JV_TUPLE,
    JV_DICT,
    JV_VIEW,
    JV_RANGE,
    JV_GEN,
    JV_NAMESPACE,
    JV_LOOP,
    JV_MACRO,
    JV_FUNC,
    JV_METHOD,
    JV_CYCLER,
    JV_JOINER
};

enum lls_jundef_kind { JU_NAME, JU_ATTR, JU_UNSAFE, JU_OTHER }; /* sub of UNDEFINED */
enum lls_jview_kind { JVIEW_KEYS, JVIEW_VALUES, JVIEW_ITEMS };  /* sub of VIEW */

typedef struct lls_jval {
    uint8_t type; /* enum lls_jtype */
    uint8_t sub;
    union {
        bool                      b;
        int64_t                   i;
        double                    f;
        const struct lls_jbig    *big;
        const lls_jstr_t         *str;  /* also what an UNDEFINED was asked for, or NULL */
        struct lls_jlist         *list; /* also TUPLE */
        struct lls_jdict         *dict; /* also VIEW and NAMESPACE */
        const struct lls_jrange  *range;
        struct lls_jgen          *gen;
        struct lls_jloop         *loop;
        const struct lls_jmacro  *macro;
        const struct lls_jfunc   *func;
        const struct lls_jmethod *method;
        struct lls_jcycler       *cycler; /* also JOINER */
    } u;
} lls_jval_t;

typedef struct lls_jbig { /* an integer beyond 64 bits */
    bool        minus;
    size_t      n;
    const char *digits; /* decimal, and a NUL */
    double      f;      /* the nearest, perhaps infinity */
} lls_jbig_t;

typedef struct lls_jlist {
    lls_jval_t *items;
    size_t      n;
} lls_jlist_t;

typedef struct lls_jdict { /* in the order of insertion */
    lls_jval_t *keys;
    lls_jval_t *values;
    size_t      n, cap;
    uint32_t   *index; /* open addressing over keys, NULL = not made */
    size_t      index_cap;
} lls_jdict_t;

typedef struct lls_jrange {
    int64_t start, stop, step;
    size_t  n;
} lls_jrange_t;

typedef struct lls_jiter { /* a walk over something */
    lls_jval_t of;
    size_t     at;
} lls_jiter_t;

typedef struct lls_jargs { /* of a call, evaluated */
    const lls_jval_t        *pos;
    size_t                   n_pos;
    const lls_jstr_t *const *kw_name;
    const lls_jval_t        *kw;
    size_t                   n_kw;
} lls_jargs_t;

/* ORDER lls_jgen_kind */
enum lls_jgen_kind { JG_MAP, JG_SELECT, JG_ITEMS, JG_UNIQUE, JG_BATCH, JG_SLICE, JG_REVERSED };

typedef struct lls_jgen {         /* what Python would work out bit by bit */
    uint8_t                 kind; /* enum lls_jgen_kind */
    bool                    started, done, keep, case_sensitive;
    lls_jval_t              of;
    lls_jiter_t             it;
    const struct lls_jfunc *fn;        /* filter or test of MAP and SELECT; NULL = truth */
    lls_jval_t              attribute; /* MISSING = none */
    lls_jval_t              fill;      /* default of MAP, fill_with of BATCH and SLICE */
    lls_jargs_t             args;
    size_t                  n, at; /* of BATCH and SLICE */
    lls_jlist_t            *list;  /* of SLICE and REVERSED */
    lls_jdict_t            *seen;  /* of UNIQUE */
} lls_jgen_t;

typedef struct lls_jact { /* a function that runs */
    lls_jval_t      *slots;
    struct lls_jact *outer;
} lls_jact_t;

typedef struct lls_jloop {
    lls_jiter_t        it;
    const lls_jnode_t *node;   /* of a recursive loop */
    lls_jact_t        *outer;  /* of a recursive loop: what encloses its function */
    lls_jact_t        *act;    /* where its variables are */
    bool               tested; /* elements have passed the test, or there is none */
    lls_jval_t         before, current, after, changed; /* MISSING = none */
    int64_t            index0, depth0;
    int64_t            length; /* -1 = not known */
} lls_jloop_t;

typedef struct lls_jmacro {
    const lls_jnode_t *node;
    lls_jact_t        *outer;
    uint32_t           params;
    const lls_jstr_t  *name;
} lls_jmacro_t;

typedef struct lls_jcycler {
    const lls_jval_t *items;
    size_t            n, at;
} lls_jcycler_t;

typedef struct lls_jrun lls_jrun_t;

/* A filter, test, method or global function.  `params` names its parameters behind self, with a
 * blank between them; '/' before a name: cannot be given by keyword.  a[i] is then the i-th,
 * MISSING if not given.  params NULL: it takes args as they are. */
typedef struct lls_jfunc {
    const char *name;
    const char *params;
    uint8_t     n_needed;
    uint8_t     code; /* for functions that share fn */
    lls_jval_t (*fn)(lls_jrun_t *r, const struct lls_jfunc *f, lls_jval_t self, const lls_jval_t *a,
                     const lls_jargs_t *args);
} lls_jfunc_t;

typedef struct lls_jmethod {
    lls_jval_t         self;
    const lls_jfunc_t *func;
} lls_jmethod_t;

struct lls_jrun {               /* one render */
    const lls_jinja_t       *j; /* NULL = values are made only */
    lls_mem_t               *mem;
    llm_error_t             *err;
    llm_status_t             st;
    uint32_t                 line; /* of what is being evaluated */
    uint64_t                 steps;
    int                      depth, macros;
    struct lls_jchunk       *chunks; /* the arena, newest first */
    char                    *free;   /* in the newest, n_free bytes, 16-aligned */
    size_t                   n_free, arena_bytes;
    const lls_jinja_input_t *in;
    lls_jval_t              *context; /* by index in strs; MISSING with sub 0 = not looked for */
    lls_jact_t              *act;
    lls_buf_t                out, mark;
    lls_buf_t                scratch;  /* of whoever writes a text; its data NULL while in use */
    lls_jval_t               captured; /* what the filters of a block get */
    int                      flow;     /* 0, JN_BREAK or JN_CONTINUE */
    bool                     folding;
};

/* ---- jinja_value: memory, making, dictionaries ----------------------------------------------- */

/* The first failure stays; gives MISSING, to be returned. */
lls_jval_t lls_jraise(lls_jrun_t *r, llm_status_t status, const char *fmt, ...) LLS_PRINTF(3, 4);
/* Raises what using something undefined raises. */
lls_jval_t lls_jraise_undefined(lls_jrun_t *r, lls_jval_t v);
void      *lls_jalloc_chunk(lls_jrun_t *r, size_t n);
/* NULL and raised without memory; n may be 0. */
static inline void *lls_jalloc(lls_jrun_t *r, size_t n)
{
    size_t room = (n + 16 - (n != 0)) & ~(size_t)15;

    if (n > r->n_free || room > r->n_free)
        return lls_jalloc_chunk(r, n);
    r->free += room;
    r->n_free -= room;
    return r->free - room;
}
void lls_jarena_free(lls_jrun_t *r);
bool lls_jraise_steps(lls_jrun_t *r);
bool lls_jraise_depth(lls_jrun_t *r);
/* Counts n more steps; false and raised when there are too many. */
static inline bool lls_jcharge(lls_jrun_t *r, size_t n)
{
    r->steps += n;
    return r->steps <= LLS_JINJA_STEPS ? r->st == LLM_OK : lls_jraise_steps(r);
}
/* One level deeper; false and raised when that is too deep.  lls_jleave() in both cases. */
static inline bool lls_jenter(lls_jrun_t *r)
{
    return ++r->depth <= LLS_JINJA_NESTING ? r->st == LLM_OK : lls_jraise_depth(r);
}
static inline void lls_jleave(lls_jrun_t *r) { r->depth--; }

static inline lls_jval_t lls_jmissing(void) { return (lls_jval_t){.type = JV_MISSING}; }
static inline lls_jval_t lls_jnone(void) { return (lls_jval_t){.type = JV_NONE}; }
static inline lls_jval_t lls_jbool(bool b) { return (lls_jval_t){.type = JV_BOOL, .u.b = b}; }
static inline lls_jval_t lls_jint(int64_t i) { return (lls_jval_t){.type = JV_INT, .u.i = i}; }
static inline lls_jval_t lls_jfloat(double f) { return (lls_jval_t){.type = JV_FLOAT, .u.f = f}; }
static inline lls_jval_t lls_jstrval(const lls_jstr_t *s)
{
    return (lls_jval_t){.type = JV_STRING, .u.str = s};
}
static inline lls_jval_t lls_jundefined(uint8_t kind, const lls_jstr_t *name)
{
    return (lls_jval_t){.type = JV_UNDEFINED, .sub = kind, .u.str = name};
}
static inline bool lls_jis_int(lls_jval_t v) { return v.type == JV_INT || v.type == JV_BOOL; }
static inline bool lls_jis_number(lls_jval_t v)
{
    return lls_jis_int(v) || v.type == JV_FLOAT || v.type == JV_BIG;
}
static inline bool    lls_jis_seq(lls_jval_t v) { return v.type == JV_LIST || v.type == JV_TUPLE; }
static inline int64_t lls_jint_of(lls_jval_t v) { return v.type == JV_BOOL ? v.u.b : v.u.i; }
static inline double  lls_jdouble_of(lls_jval_t v)
{
    return v.type == JV_FLOAT ? v.u.f : v.type == JV_BIG ? v.u.big->f : (double)lls_jint_of(v);
}

/* A string that points at text. */
lls_jval_t lls_jstring(lls_jrun_t *r, const char *text, size_t len, bool user);
lls_jval_t lls_jcstr(lls_jrun_t *r, const char *text);
/* len bytes of s from off. */
lls_jval_t lls_jsubstr(lls_jrun_t *r, const lls_jstr_t *s, size_t off, size_t len);
lls_jval_t lls_jconcat(lls_jrun_t *r, const lls_jstr_t *const *parts, size_t n);
/* s, as Markup or as a plain string. */
lls_jval_t lls_jmark_safe(lls_jrun_t *r, const lls_jstr_t *s, bool safe);
/* Elements are MISSING and to be set. */
lls_jval_t lls_jlist(lls_jrun_t *r, uint8_t type, size_t n);
lls_jval_t lls_jpair(lls_jrun_t *r, lls_jval_t a, lls_jval_t b);
/* A list that grows. */
bool       lls_jpush(lls_jrun_t *r, lls_jlist_t *list, size_t *cap, lls_jval_t v);
lls_jval_t lls_jdict(lls_jrun_t *r, size_t cap);
/* Raises if the key cannot be hashed. */
bool              lls_jdict_put(lls_jrun_t *r, lls_jdict_t *d, lls_jval_t key, lls_jval_t value);
const lls_jval_t *lls_jdict_get(lls_jrun_t *r, lls_jdict_t *d, lls_jval_t key);
const lls_jval_t *lls_jdict_text(lls_jrun_t *r, lls_jdict_t *d, const lls_jstr_t *key);
/* A dictionary of n keys, which are strings, each with its value behind it; of equal keys the last
 * value stays.  To look something up changes nothing in it. */
lls_jval_t lls_jdict_of(lls_jrun_t *r, const lls_jval_t *pairs, size_t n);
/* The value of a key; NULL: there is none, or v is no dictionary. */
static inline const lls_jval_t *lls_jdict_named(lls_jrun_t *r, lls_jval_t v, const char *name)
{
    const lls_jstr_t key = {.text = name, .len = strlen(name)};

    return v.type == JV_DICT ? lls_jdict_text(r, v.u.dict, &key) : NULL;
}
size_t lls_jchars(const char *text, size_t len); /* code points */

/* ---- jinja_json ------------------------------------------------------------------------------ */

struct lls_jdata {
    lls_jrun_t run; /* its arena holds the values */
    lls_jval_t root;
    lls_jval_t vars; /* root, or what the owner has made of it */
};

/* What json.loads() gives; the text must outlive it.  False: the text is no JSON, and nothing is
 * raised, or something is.  */
bool lls_jread_json(lls_jrun_t *r, const char *text, size_t len, lls_jval_t *out);

/* ---- jinja_compare --------------------------------------------------------------------------- */

const char *lls_jtype_name(lls_jval_t v);
bool        lls_jtrue(lls_jval_t v);
bool        lls_jequal(lls_jrun_t *r, lls_jval_t a, lls_jval_t b);
/* Whether a op b holds, op one of JO_LT to JO_GE. */
bool     lls_jless(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b);
bool     lls_jcontains(lls_jrun_t *r, lls_jval_t in, lls_jval_t what);
bool     lls_jhashable(lls_jval_t v);
uint64_t lls_jhash(lls_jval_t v);
/* Sorts in place, stable, by the order of keys[i]. */
void lls_jsort(lls_jrun_t *r, lls_jval_t *items, lls_jval_t *keys, size_t n, bool reverse);
/* A new dictionary with the pairs of d in the order of their keys. */
lls_jval_t lls_jdict_sorted(lls_jrun_t *r, const lls_jdict_t *d);

/* ---- jinja_text: str(), repr(), json.dumps() ------------------------------------------------- */

lls_jval_t lls_jtext(lls_jrun_t *r, lls_jval_t v);
lls_jval_t lls_jrepr(lls_jrun_t *r, lls_jval_t v, bool ascii);
/* The text is that of a string or of what str() gives: NULL and raised. */
const lls_jstr_t *lls_jstr(lls_jrun_t *r, lls_jval_t v);

typedef struct lls_jjson {    /* how to write JSON */
    const lls_jstr_t *indent; /* NULL = one line */
    const lls_jstr_t *item_sep, *key_sep;
    bool              ascii, sort_keys;
} lls_jjson_t;

lls_jval_t lls_jtojson(lls_jrun_t *r, lls_jval_t v, const lls_jjson_t *how);
/* HTML's five characters as entities; Markup stays. */
lls_jval_t lls_jescape(lls_jrun_t *r, lls_jval_t v);

/* ---- jinja_number ---------------------------------------------------------------------------- */

/* Python's repr of a float. */
void lls_jfloat_text(double f, char text[40]);
/* int(text, base) and float(text): false if Python raises ValueError, or raised. */
bool lls_jparse_int(lls_jrun_t *r, const lls_jstr_t *s, int64_t base, lls_jval_t *out);
bool lls_jparse_float(lls_jrun_t *r, const lls_jstr_t *s, double *out);
/* int(f): raises for infinities and NaN. */
lls_jval_t lls_jtruncate(lls_jrun_t *r, double f);
lls_jval_t lls_jround(lls_jrun_t *r, lls_jval_t v, int64_t digits);
lls_jval_t lls_jbinary(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b);
lls_jval_t lls_jnegate(lls_jrun_t *r, lls_jval_t v, bool minus);

/* ---- jinja_big: integers of any size --------------------------------------------------------- */

/* From n decimal digits, or digits of a base up to 36. */
lls_jval_t lls_jinteger(lls_jrun_t *r, const char *digits, size_t n, bool minus);
lls_jval_t lls_jinteger_in(lls_jrun_t *r, const char *digits, size_t n, uint32_t base, bool minus);
/* The digits of its magnitude in lower case; NULL and raised without memory. */
const char *lls_jinteger_digits(lls_jrun_t *r, lls_jval_t v, uint32_t base, size_t *len);
/* a op b of integers; for POW b >= 0. */
lls_jval_t lls_jbig_math(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b);
/* Below, equal or above 0 as a is below, equal or above b; one is a JV_BIG, none a NaN. */
int lls_jbig_order(lls_jrun_t *r, lls_jval_t a, lls_jval_t b);

/* ---- jinja_iter ------------------------------------------------------------------------------ */

bool lls_jiter_begin(lls_jrun_t *r, lls_jval_t v, lls_jiter_t *it); /* false and raised */
bool lls_jiter_next(lls_jrun_t *r, lls_jiter_t *it, lls_jval_t *out);
bool lls_jiterable(lls_jval_t v);
/* list(v), new. */
lls_jval_t lls_jlist_of(lls_jrun_t *r, lls_jval_t v);
/* len(v): -1 if it has none. */
int64_t    lls_jlength(lls_jval_t v);
lls_jval_t lls_jitem_at(lls_jrun_t *r, lls_jval_t v, size_t i); /* of something with a length */
bool       lls_jgen_next(lls_jrun_t *r, lls_jgen_t *g, lls_jval_t *out);

/* ---- jinja_attr ------------------------------------------------------------------------------ */

lls_jval_t lls_jget_attr(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *name);
lls_jval_t lls_jget_item(lls_jrun_t *r, lls_jval_t v, lls_jval_t key);
/* v[start:stop:step]; MISSING or None = not given. */
lls_jval_t lls_jslice(lls_jrun_t *r, lls_jval_t v, lls_jval_t start, lls_jval_t stop,
                      lls_jval_t step);
/* Follows "a.b.0" from v as filters do; fallback, unless MISSING, replaces what is undefined. */
lls_jval_t lls_jfollow(lls_jrun_t *r, lls_jval_t v, lls_jval_t path, lls_jval_t fallback);
size_t     lls_jchar_offset(const lls_jstr_t *s, int64_t i);

/* ---- jinja_call ------------------------------------------------------------------------------ */

lls_jval_t lls_jcall(lls_jrun_t *r, lls_jval_t callee, const lls_jargs_t *args);
lls_jval_t lls_jcall_func(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,
                          const lls_jargs_t *args);
bool       lls_jcallable(lls_jval_t v);
static inline const lls_jfunc_t *lls_jfind(const lls_jfunc_t *list, size_t n, const char *name,
                                           size_t len)
{
    for (size_t i = 0; i < n; i++)
        if (lls_jis(name, len, list[i].name))
            return &list[i];
    return NULL;
}

/* The method of v, NULL if it has none of the name.  *known: Python has it. */
const lls_jfunc_t *lls_jfind_method(lls_jval_t v, const lls_jstr_t *name, bool *known);
bool               lls_jname_allowed(lls_jrun_t *r, const lls_jstr_t *name); /* in a namespace */

/* An argument as a string; NULL if it is MISSING or None, or raised if it is none. */
const lls_jstr_t *lls_jstr_arg(lls_jrun_t *r, lls_jval_t v);
/* An argument as an integer, other if MISSING. */
int64_t            lls_jint_arg(lls_jrun_t *r, lls_jval_t v, int64_t other);
static inline bool lls_jflag(lls_jval_t v, bool other)
{
    return v.type == JV_MISSING ? other : lls_jtrue(v);
}

/* ---- jinja_string, jinja_case, jinja_format -------------------------------------------------- */

enum lls_jcase { LLS_JUPPER, LLS_JLOWER, LLS_JTITLE, LLS_JCAPITALIZE, LLS_JSWAP, LLS_JFOLD };

/* set NULL = blanks */
lls_jval_t lls_jstrip(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *set, bool left,
                      bool right);
lls_jval_t lls_jcased(lls_jrun_t *r, const lls_jstr_t *s, enum lls_jcase how);
bool       lls_jhas_case(lls_jrun_t *r, const lls_jstr_t *s, bool upper); /* isupper, islower */
lls_jval_t lls_jreplace(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *from,
                        const lls_jstr_t *to, int64_t max);
lls_jval_t lls_jsplitlines(lls_jrun_t *r, const lls_jstr_t *s, bool keep);
/* sep.join(str(x) for x in v) if as_text, else each must be a string. */
lls_jval_t lls_jjoin(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *sep, bool as_text);
lls_jval_t lls_jblanks(lls_jrun_t *r, int64_t n); /* "" for n <= 0 */
lls_jval_t lls_jpad(lls_jrun_t *r, const lls_jstr_t *s, int64_t width, char fill, int align);
lls_jval_t lls_jpercent(lls_jrun_t *r, const lls_jstr_t *format, lls_jval_t args);
lls_jval_t lls_jformat(lls_jrun_t *r, const lls_jstr_t *format, const lls_jargs_t *args);

/* ---- jinja_run ------------------------------------------------------------------------------- */

lls_jval_t lls_jeval(lls_jrun_t *r, uint32_t at);
/* Works a constant with slices out as Jinja2 does while it compiles; false: evaluate it. */
bool       lls_jfold(lls_jrun_t *r, uint32_t at, bool output, lls_jval_t *out);
void       lls_jassign(lls_jrun_t *r, uint32_t target, lls_jval_t v);
void       lls_jrun_body(lls_jrun_t *r, uint32_t first);
void       lls_jenter_scope(lls_jrun_t *r, uint32_t scope);
lls_jval_t lls_jcall_macro(lls_jrun_t *r, const lls_jmacro_t *m, const lls_jargs_t *args);
lls_jval_t lls_jcall_loop(lls_jrun_t *r, lls_jloop_t *loop, lls_jval_t over);
bool       lls_jloop_next(lls_jrun_t *r, lls_jloop_t *loop, lls_jval_t *out);
lls_jval_t lls_jloop_attr(lls_jrun_t *r, lls_jloop_t *loop, const lls_jstr_t *name);
void lls_jeval_args(lls_jrun_t *r, uint32_t first, lls_jargs_t *args, const lls_jval_t *caller);
void lls_jput(lls_jrun_t *r, const lls_jstr_t *s);

#endif
