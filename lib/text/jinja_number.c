/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: their text, parsing, rounding, arithmetic; and the operators on strings and lists that
 * share its signs.  Integers have 64 bits; what Python makes longer is refused.
 */
#include "text/jinja_val.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* The fewest digits that give the same number; an exponent where Python writes one. */
void lls_jfloat_text(double f, char text[40])
{
    int digits = 1, exp10;

    if (!isfinite(f)) {
        snprintf(text, 40, "%s", isnan(f) ? "nan" : f > 0 ? "inf" : "-inf");
        return;
    }
    do
        snprintf(text, 40, "%.*e", digits - 1, f);
    while (strtod(text, NULL) != f && digits++ < 17);
    exp10 = f == 0 ? 0 : atoi(strchr(text, 'e') + 1);
    if (exp10 < -4 || exp10 >= 16)
        return; /* C writes two digits of the exponent at least, too */
    snprintf(text, 40, "%.*f", digits - 1 - exp10 > 1 ? digits - 1 - exp10 : 1, f);
}

/* ---- Parsing --------------------------------------------------------------------------------- */

/* s without blanks around it. */
static lls_jstr_t stripped(const lls_jstr_t *s)
{
    size_t from = 0, to = s->len, n, k;

    while (from < to && (n = lls_jinja_blank(s->text + from, to - from)) != 0)
        from += n;
    while (to > from) {
        for (k = to - 1; k > from && ((uint8_t)s->text[k] & 0xc0) == 0x80; k--)
            ;
        if (lls_jinja_blank(s->text + k, to - k) != to - k)
            break;
        to = k;
    }
    return (lls_jstr_t){.text = s->text + from, .len = to - from};
}

static bool alnum(char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

static int prefix_base(const char *p)
{
    char c = p[0] == '0' ? (char)(p[1] | 32) : '\0';

    return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
}

/* The text of a number without its underscores, each of which must be between digits; NULL if one
 * is not, if there is no text, or raised. */
static char *tidy(lls_jrun_t *r, const lls_jstr_t *s)
{
    lls_jstr_t bare = stripped(s);
    char      *text = lls_jalloc(r, bare.len + 1);
    size_t     n = 0;

    for (size_t i = 0; text != NULL && i < bare.len; i++) {
        char c = bare.text[i];

        if (c == '\0' || (c == '_' && (i == 0 || i + 1 == bare.len || !alnum(bare.text[i - 1]) ||
                                       !alnum(bare.text[i + 1]))))
            return NULL;
        if (c != '_')
            text[n++] = c;
    }
    if (text != NULL)
        text[n] = '\0';
    return n != 0 ? text : NULL;
}

bool lls_jparse_int(lls_jrun_t *r, const lls_jstr_t *s, int64_t base, lls_jval_t *out)
{
    const char *p = tidy(r, s);
    bool        minus;
    size_t      n;

    if (p == NULL || (base != 0 && (base < 2 || base > 36)))
        return false;
    minus = *p == '-';
    p += *p == '-' || *p == '+';
    if (prefix_base(p) != 0 && (base == 0 || base == prefix_base(p))) {
        base = prefix_base(p);
        p += 2;
    } else if (base == 0) {
        if (p[0] == '0' && p[strspn(p, "0")] != '\0')
            return false;
        base = 10;
    }
    n = strlen(p);
    for (size_t i = 0; i < n; i++) {
        int digit = p[i] >= '0' && p[i] <= '9' ? p[i] - '0'
                    : alnum(p[i])              ? (p[i] | 32) - 'a' + 10
                                               : 99;

        if (digit >= base)
            return false;
    }
    /* Python reads no more digits where that takes time. */
    if (n == 0 || (n > 4300 && (base & (base - 1)) != 0))
        return false;
    *out =
        base == 10 ? lls_jinteger(r, p, n, minus) : lls_jinteger_in(r, p, n, (uint32_t)base, minus);
    return r->st == LLM_OK;
}

static bool is_word(const char *p, const char *word)
{
    for (; *word != '\0'; p++, word++)
        if ((*p | 32) != *word)
            return false;
    return *p == '\0';
}

bool lls_jparse_float(lls_jrun_t *r, const lls_jstr_t *s, double *out)
{
    char       *end;
    const char *p = tidy(r, s), *body;

    if (p == NULL)
        return false;
    body = p + (*p == '-' || *p == '+');
    if (is_word(body, "inf") || is_word(body, "infinity") || is_word(body, "nan")) {
        *out = (body[0] | 32) == 'n' ? (double)NAN : *p == '-' ? -INFINITY : INFINITY;
        return true;
    }
    if (body[strspn(body, "0123456789.eE+-")] != '\0' || (*body == '-' || *body == '+'))
        return false;
    *out = strtod(p, &end);
    return *end == '\0' && end != p;
}

lls_jval_t lls_jtruncate(lls_jrun_t *r, double f)
{
    char text[400];

    if (!isfinite(f))
        return lls_jraise(r, LLM_ERR_INVALID, "there is no integer for %s",
                          isnan(f) ? "NaN" : "infinity");
    if (f < 9223372036854775808.0 && f >= -9223372036854775808.0)
        return lls_jint((int64_t)f);
    return lls_jinteger(r, text, (size_t)snprintf(text, sizeof text, "%.0f", fabs(f)), f < 0);
}

/* ---- Rounding -------------------------------------------------------------------------------- */

/* To a multiple of a power of ten, half to even. */
static lls_jval_t round_int(lls_jrun_t *r, lls_jval_t v, int64_t digits)
{
    lls_jval_t unit, rest, down, order;
    bool       up;

    if (digits >= 0)
        return v.type == JV_BOOL ? lls_jint(v.u.b) : v;
    if (digits < -25000)
        return lls_jint(0);
    unit = lls_jbinary(r, JO_POW, lls_jint(10), lls_jint(-digits));
    rest = r->st == LLM_OK ? lls_jbinary(r, JO_MOD, v, unit) : unit;
    down = r->st == LLM_OK ? lls_jbinary(r, JO_SUB, v, rest) : rest;
    order = r->st == LLM_OK ? lls_jbinary(r, JO_MUL, rest, lls_jint(2)) : down;
    if (r->st != LLM_OK)
        return lls_jmissing();
    up = lls_jless(r, JO_GT, order, unit);
    if (!up && lls_jequal(r, order, unit)) {
        rest = lls_jbinary(r, JO_FLOORDIV, down, unit);
        rest = r->st == LLM_OK ? lls_jbinary(r, JO_MOD, rest, lls_jint(2)) : rest;
        up = r->st == LLM_OK && lls_jtrue(rest);
    }
    return r->st == LLM_OK && up ? lls_jbinary(r, JO_ADD, down, unit) : down;
}

lls_jval_t lls_jround(lls_jrun_t *r, lls_jval_t v, int64_t digits)
{
    char text[400];

    if (v.type == JV_UNDEFINED)
        return lls_jraise(r, LLM_ERR_INVALID, "something undefined cannot be rounded");
    if (!lls_jis_number(v))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be rounded", lls_jtype_name(v));
    if (v.type != JV_FLOAT)
        return round_int(r, v, digits);
    if (!isfinite(v.u.f) || digits > 300)
        return v;
    if (digits < -308)
        return lls_jfloat(copysign(0.0, v.u.f));
    if (digits >= 0) { /* the C library rounds the exact value, half to even */
        if (fabs(v.u.f) > 1e22 && digits == 0)
            return v;
        char big[720];
        snprintf(big, sizeof big, "%.*f", (int)digits, v.u.f);
        return lls_jfloat(strtod(big, NULL));
    }
    /* Digits before the point: as many significant ones as are left. */
    int exp10;
    snprintf(text, sizeof text, "%.17e", v.u.f);
    exp10 = atoi(strchr(text, 'e') + 1);
    if (exp10 + digits < -1)
        return lls_jfloat(copysign(0.0, v.u.f));
    if (exp10 + digits == -1) {
        double half = 5 * pow(10, exp10);
        return lls_jfloat(fabs(v.u.f) > half ? copysign(pow(10, (double)-digits), v.u.f)
                                             : copysign(0.0, v.u.f));
    }
    snprintf(text, sizeof text, "%.*e", (int)(exp10 + digits), v.u.f);
    return lls_jfloat(strtod(text, NULL));
}

/* ---- Arithmetic ------------------------------------------------------------------------------ */

static double nearest(lls_jrun_t *r, lls_jval_t v)
{
    double f = lls_jdouble_of(v);

    if (v.type == JV_BIG && isinf(f))
        lls_jraise(r, LLM_ERR_INVALID, "an integer of %zu digits is too large for a float",
                   v.u.big->n);
    return f;
}

static lls_jval_t float_power(lls_jrun_t *r, double a, double b);

static lls_jval_t power_of_ints(lls_jrun_t *r, lls_jval_t base, lls_jval_t exp)
{
    int64_t out = 1, b, e;

    if (exp.type == JV_BIG ? exp.u.big->minus : lls_jint_of(exp) < 0)
        return float_power(r, nearest(r, base), nearest(r, exp));
    if (base.type == JV_BIG || exp.type == JV_BIG)
        return lls_jbig_math(r, JO_POW, base, exp);
    b = lls_jint_of(base);
    e = lls_jint_of(exp);
    while (e > 0) {
        if ((e & 1) != 0 && __builtin_mul_overflow(out, b, &out))
            return lls_jbig_math(r, JO_POW, base, exp);
        e >>= 1;
        if (e > 0 && __builtin_mul_overflow(b, b, &b))
            return lls_jbig_math(r, JO_POW, base, exp);
    }
    return lls_jint(out);
}

static lls_jval_t small_division(lls_jrun_t *r, uint8_t op, int64_t a, int64_t b)
{
    const int64_t exact = (int64_t)1 << 53;
    int64_t       rest;

    if (b == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "division by zero");
    if (op == JO_DIV)
        return a >= -exact && a <= exact && b >= -exact && b <= exact
                   ? lls_jfloat((double)a / (double)b)
                   : lls_jbig_math(r, op, lls_jint(a), lls_jint(b));
    if (b == -1) /* INT64_MIN / -1 overflows */
        return op == JO_MOD ? lls_jint(0) : lls_jbig_math(r, JO_SUB, lls_jint(0), lls_jint(a));
    rest = a % b;
    rest += rest != 0 && (rest < 0) != (b < 0) ? b : 0;
    return lls_jint(op == JO_MOD ? rest : (a - rest) / b);
}

static lls_jval_t int_math(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    int64_t x, y, out = 0;
    bool    big = a.type == JV_BIG || b.type == JV_BIG;

    if (op == JO_POW)
        return power_of_ints(r, a, b);
    if (big)
        return lls_jbig_math(r, op, a, b);
    x = lls_jint_of(a);
    y = lls_jint_of(b);
    switch (op) {
    case JO_ADD:
        big = __builtin_add_overflow(x, y, &out);
        break;
    case JO_SUB:
        big = __builtin_sub_overflow(x, y, &out);
        break;
    case JO_MUL:
        big = __builtin_mul_overflow(x, y, &out);
        break;
    default:
        return small_division(r, op, x, y);
    }
    return big ? lls_jbig_math(r, op, a, b) : lls_jint(out);
}

/* float.__floordiv__ and __mod__, which agree with each other. */
static lls_jval_t float_divmod(uint8_t op, double a, double b)
{
    double mod = fmod(a, b), div = (a - mod) / b, down;

    if (mod != 0) {
        if ((b < 0) != (mod < 0)) {
            mod += b;
            div -= 1;
        }
    } else {
        mod = copysign(0.0, b);
    }
    if (op == JO_MOD)
        return lls_jfloat(mod);
    if (div == 0)
        return lls_jfloat(copysign(0.0, a / b));
    down = floor(div);
    return lls_jfloat(div - down > 0.5 ? down + 1 : down);
}

static lls_jval_t float_power(lls_jrun_t *r, double a, double b)
{
    double out = pow(a, b);

    if (r->st != LLM_OK)
        return lls_jmissing();
    if (a == 0 && b < 0)
        return lls_jraise(r, LLM_ERR_INVALID, "0 to a negative power");
    if (isnan(out) && !isnan(a) && !isnan(b))
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "complex numbers");
    if (isinf(out) && isfinite(a) && isfinite(b))
        return lls_jraise(r, LLM_ERR_INVALID, "the result is too large");
    return lls_jfloat(out);
}

static lls_jval_t float_math(lls_jrun_t *r, uint8_t op, double a, double b)
{
    if (r->st != LLM_OK)
        return lls_jmissing();
    switch (op) {
    case JO_ADD:
        return lls_jfloat(a + b);
    case JO_SUB:
        return lls_jfloat(a - b);
    case JO_MUL:
        return lls_jfloat(a * b);
    case JO_POW:
        return float_power(r, a, b);
    default:
        break;
    }
    if (b == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "division by zero");
    return op == JO_DIV ? lls_jfloat(a / b) : float_divmod(op, a, b);
}

/* ---- Strings and lists ----------------------------------------------------------------------- */

static lls_jval_t add_strings(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    bool              safe = a.u.str->safe || b.u.str->safe;
    const lls_jstr_t *parts[2];
    lls_jval_t        out;

    if (safe) {
        a = lls_jescape(r, a);
        b = lls_jescape(r, b);
    }
    if (r->st != LLM_OK)
        return lls_jmissing();
    parts[0] = a.u.str;
    parts[1] = b.u.str;
    out = lls_jconcat(r, parts, 2);
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, safe) : out;
}

static lls_jval_t add_lists(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    const lls_jlist_t *x = a.u.list, *y = b.u.list;
    lls_jval_t         out = lls_jlist(r, a.type, x->n + y->n);

    if (r->st != LLM_OK || !lls_jcharge(r, (x->n + y->n) / 16))
        return out;
    if (x->n != 0)
        memcpy(out.u.list->items, x->items, x->n * sizeof *x->items);
    if (y->n != 0)
        memcpy(out.u.list->items + x->n, y->items, y->n * sizeof *y->items);
    return out;
}

static lls_jval_t repeat_string(lls_jrun_t *r, const lls_jstr_t *s, size_t times)
{
    const lls_jstr_t **parts;
    lls_jval_t         out;

    if (s->len == 0)
        times = 0;
    if (s->len != 0 && times > LLS_JINJA_ARENA / s->len / sizeof *parts)
        return lls_jraise(r, LLM_ERR_INVALID, "more than 256 MiB are needed");
    parts = lls_jalloc(r, times * sizeof *parts);
    for (size_t i = 0; parts != NULL && i < times; i++)
        parts[i] = s;
    out = parts != NULL ? lls_jconcat(r, parts, times) : lls_jmissing();
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, s->safe) : out;
}

static lls_jval_t repeat(lls_jrun_t *r, lls_jval_t v, int64_t count)
{
    size_t     times = count > 0 ? (size_t)count : 0, n;
    lls_jval_t out;

    if (v.type == JV_STRING)
        return repeat_string(r, v.u.str, times);
    n = v.u.list->n;
    if (n == 0)
        times = 0;
    if (n != 0 && times > LLS_JINJA_ARENA / n)
        return lls_jraise(r, LLM_ERR_INVALID, "more than 256 MiB are needed");
    out = lls_jlist(r, v.type, n * times);
    for (size_t i = 0; r->st == LLM_OK && lls_jcharge(r, n / 16) && i < times; i++)
        memcpy(out.u.list->items + i * n, v.u.list->items, n * sizeof *v.u.list->items);
    return out;
}

lls_jval_t lls_jbinary(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    bool a_seq = a.type == JV_STRING || lls_jis_seq(a),
         b_seq = b.type == JV_STRING || lls_jis_seq(b);

    if (lls_jis_number(a) && lls_jis_number(b))
        return a.type == JV_FLOAT || b.type == JV_FLOAT
                   ? float_math(r, op, nearest(r, a), nearest(r, b))
                   : int_math(r, op, a, b);
    if (op == JO_MOD && a.type == JV_STRING)
        return lls_jpercent(r, a.u.str, b);
    if (a.type == JV_UNDEFINED || b.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, a.type == JV_UNDEFINED ? a : b);
    if (op == JO_ADD && a.type == JV_STRING && b.type == JV_STRING)
        return add_strings(r, a, b);
    if (op == JO_ADD && lls_jis_seq(a) && a.type == b.type)
        return add_lists(r, a, b);
    if (op == JO_MUL && a_seq && lls_jis_int(b))
        return repeat(r, a, lls_jint_of(b));
    if (op == JO_MUL && b_seq && lls_jis_int(a))
        return repeat(r, b, lls_jint_of(a));
    if (op == JO_SUB && a.type == JV_VIEW && b.type == JV_VIEW)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "sets");
    return lls_jraise(r, LLM_ERR_INVALID, "the operator has no meaning for %s and %s",
                      lls_jtype_name(a), lls_jtype_name(b));
}

lls_jval_t lls_jnegate(lls_jrun_t *r, lls_jval_t v, bool minus)
{
    if (v.type == JV_FLOAT)
        return minus ? lls_jfloat(-v.u.f) : v;
    if (lls_jis_number(v))
        return int_math(r, minus ? JO_SUB : JO_ADD, lls_jint(0), v);
    if (v.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, v);
    return lls_jraise(r, LLM_ERR_INVALID, "a %s has no sign", lls_jtype_name(v));
}
