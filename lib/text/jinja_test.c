/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests: what stands behind `is`.
 */
#include "text/jinja_val.h"

#define TEST(name)                                                                                 \
    static lls_jval_t name(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,                   \
                           const lls_jval_t *a, const lls_jargs_t *args)
#define UNUSED (void)r, (void)f, (void)self, (void)a, (void)args

enum kind {
    T_DEFINED,
    T_UNDEFINED,
    T_NONE,
    T_STRING,
    T_MAPPING,
    T_ITERABLE,
    T_SEQUENCE,
    T_NUMBER,
    T_INTEGER,
    T_FLOAT,
    T_BOOLEAN,
    T_TRUE,
    T_FALSE,
    T_CALLABLE,
    T_ESCAPED
};

static bool is_kind(uint8_t kind, lls_jval_t v)
{
    switch (kind) {
    case T_DEFINED:
        return v.type != JV_UNDEFINED;
    case T_UNDEFINED:
        return v.type == JV_UNDEFINED;
    case T_NONE:
        return v.type == JV_NONE;
    case T_STRING:
        return v.type == JV_STRING;
    case T_MAPPING:
        return v.type == JV_DICT;
    case T_ITERABLE:
        return lls_jiterable(v) || v.type == JV_LOOP;
    case T_SEQUENCE:
        return v.type == JV_STRING || lls_jis_seq(v) || v.type == JV_DICT || v.type == JV_RANGE ||
               v.type == JV_UNDEFINED;
    case T_NUMBER:
        return lls_jis_number(v);
    case T_INTEGER:
        return v.type == JV_INT || v.type == JV_BIG;
    case T_FLOAT:
        return v.type == JV_FLOAT;
    case T_BOOLEAN:
        return v.type == JV_BOOL;
    case T_CALLABLE:
        return lls_jcallable(v);
    case T_ESCAPED:
        return v.type == JV_STRING && v.u.str->safe;
    default:
        return v.type == JV_BOOL && v.u.b == (kind == T_TRUE);
    }
}

TEST(t_kind)
{
    UNUSED;
    return lls_jbool(is_kind(f->code, self));
}

/* odd, even and divisibleby; for strings '%' is something else. */
TEST(t_modulo)
{
    lls_jval_t by = f->code == 2 ? a[0] : lls_jint(2), rest;

    UNUSED;
    rest = lls_jbinary(r, JO_MOD, self, by);
    return r->st == LLM_OK ? lls_jbool(lls_jequal(r, rest, lls_jint(f->code == 1))) : rest;
}

TEST(t_compare)
{
    UNUSED;
    if (f->code == JO_EQ || f->code == JO_NE)
        return lls_jbool(lls_jequal(r, self, a[0]) == (f->code == JO_EQ));
    return lls_jbool(lls_jless(r, f->code, self, a[0]));
}

TEST(t_in)
{
    UNUSED;
    return lls_jbool(lls_jcontains(r, a[0], self));
}

/* Which numbers and strings are one object is a matter of Python's caches; those that surely are or
 * are not one have an answer. */
TEST(t_sameas)
{
    bool same;

    UNUSED;
    if (self.type != a[0].type)
        return lls_jbool(false);
    switch (self.type) {
    case JV_NONE:
        return lls_jbool(true);
    case JV_BOOL:
        return lls_jbool(self.u.b == a[0].u.b);
    case JV_UNDEFINED:
    case JV_INT:
    case JV_BIG:
    case JV_FLOAT:
    case JV_STRING:
    case JV_TUPLE:
        if (self.type == JV_INT && self.u.i >= -5 && self.u.i <= 256)
            return lls_jbool(self.u.i == a[0].u.i); /* of these Python has one each */
        same = lls_jequal(r, self, a[0]);
        return same ? lls_jraise(r, LLM_ERR_UNSUPPORTED, "sameas of equal values")
                    : lls_jbool(false);
    default:
        return lls_jbool(self.u.list == a[0].u.list && self.sub == a[0].sub);
    }
}

TEST(t_case)
{
    const lls_jstr_t *s = lls_jstr(r, self);

    UNUSED;
    return s != NULL ? lls_jbool(lls_jhas_case(r, s, f->code != 0)) : lls_jmissing();
}

/* Whether a filter or test of the name exists. */
TEST(t_exists)
{
    const lls_jstr_t *s = self.type == JV_STRING ? self.u.str : NULL;

    UNUSED;
    if (s == NULL)
        return lls_jhashable(self)
                   ? lls_jbool(false)
                   : lls_jraise(r, LLM_ERR_INVALID, "a %s is no name", lls_jtype_name(self));
    return lls_jbool((f->code != 0 ? lls_jfind_test(s->text, s->len)
                                   : lls_jfind_filter(s->text, s->len)) != NULL);
}

static const lls_jfunc_t tests[] = {
    {"defined", "", 0, T_DEFINED, t_kind},
    {"undefined", "", 0, T_UNDEFINED, t_kind},
    {"none", "", 0, T_NONE, t_kind},
    {"string", "", 0, T_STRING, t_kind},
    {"mapping", "", 0, T_MAPPING, t_kind},
    {"iterable", "", 0, T_ITERABLE, t_kind},
    {"sequence", "", 0, T_SEQUENCE, t_kind},
    {"number", "", 0, T_NUMBER, t_kind},
    {"integer", "", 0, T_INTEGER, t_kind},
    {"float", "", 0, T_FLOAT, t_kind},
    {"boolean", "", 0, T_BOOLEAN, t_kind},
    {"true", "", 0, T_TRUE, t_kind},
    {"false", "", 0, T_FALSE, t_kind},
    {"callable", "", 0, T_CALLABLE, t_kind},
    {"escaped", "", 0, T_ESCAPED, t_kind},
    {"odd", "", 0, 1, t_modulo},
    {"even", "", 0, 0, t_modulo},
    {"divisibleby", "num", 1, 2, t_modulo},
    {"==", "/other", 1, JO_EQ, t_compare},
    {"eq", "/other", 1, JO_EQ, t_compare},
    {"equalto", "/other", 1, JO_EQ, t_compare},
    {"!=", "/other", 1, JO_NE, t_compare},
    {"ne", "/other", 1, JO_NE, t_compare},
    {">", "/other", 1, JO_GT, t_compare},
    {"gt", "/other", 1, JO_GT, t_compare},
    {"greaterthan", "/other", 1, JO_GT, t_compare},
    {">=", "/other", 1, JO_GE, t_compare},
    {"ge", "/other", 1, JO_GE, t_compare},
    {"<", "/other", 1, JO_LT, t_compare},
    {"lt", "/other", 1, JO_LT, t_compare},
    {"lessthan", "/other", 1, JO_LT, t_compare},
    {"<=", "/other", 1, JO_LE, t_compare},
    {"le", "/other", 1, JO_LE, t_compare},
    {"in", "seq", 1, 0, t_in},
    {"sameas", "other", 1, 0, t_sameas},
    {"upper", "", 0, 1, t_case},
    {"lower", "", 0, 0, t_case},
    {"filter", "", 0, 0, t_exists},
    {"test", "", 0, 1, t_exists},
};

const lls_jfunc_t *lls_jfind_test(const char *name, size_t len)
{
    return lls_jfind(tests, LLS_ARRAY_LEN(tests), name, len);
}
