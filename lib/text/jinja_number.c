/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers: their text, parsing, rounding, arithmetic; and the operators on strings and lists that
 * share its signs.  Integers have 64 bits; what Python makes longer is refused.
 */
#include "text/jinja_val.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

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

/* The text without blanks around it and without '_' between digits, which *valid says are well
 * placed; NULL if it does not fit. */
static const char *tidy(const lls_jstr_t *s, char text[400], bool *valid)
{
    size_t from = 0, to = s->len, n = 0, k;

    *valid = true;
    while (from < to && (n = lls_jinja_blank(s->text + from, to - from)) != 0)
        from += n;
    while (to > from) {
        for (k = to - 1; k > from && ((uint8_t)s->text[k] & 0xc0) == 0x80; k--)
            ;
        if (lls_jinja_blank(s->text + k, to - k) != to - k)
            break;
        to = k;
    }
    if (to - from >= 400)
        return NULL;
    for (n = 0, k = from; k < to; k++) {
        char c = s->text[k];

        if (c == '_') {
            bool between = k > from && k + 1 < to && s->text[k - 1] != '_' && s->text[k + 1] != '_';

            *valid = *valid && between;
            continue;
        }
        text[n++] = c;
    }
    text[n] = '\0';
    *valid = *valid && n != 0 && memchr(text, 0, n) == NULL;
    return text;
}

static bool alnum(char c) { return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z'); }

static int prefix_base(const char *p)
{
    char c = p[0] == '0' ? (char)(p[1] | 32) : '\0';

    return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
}

/* Whether the underscores of s, which tidy() took out, stood between digits. */
static bool good_underscores(const lls_jstr_t *s)
{
    for (size_t i = 0; i < s->len; i++)
        if (s->text[i] == '_' &&
            (i == 0 || i + 1 == s->len || !alnum(s->text[i - 1]) || !alnum(s->text[i + 1])))
            return false;
    return true;
}

bool lls_jparse_int(lls_jrun_t *r, const lls_jstr_t *s, int64_t base, int64_t *out)
{
    char        text[400];
    bool        valid, minus;
    const char *p = tidy(s, text, &valid);
    uint64_t    value = 0, most;

    if (base != 0 && (base < 2 || base > 36)) {
        return false;
    }
    for (size_t i = 0; i < s->len; i++)
        if ((uint8_t)s->text[i] >= 0xc3 && lls_jinja_blank(s->text + i, s->len - i) == 0) {
            /* Digits of other scripts are numbers for Python; letters are not. */
            return false;
        }
    if (p == NULL) {
        lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of more than 64 bits");
        return false;
    }
    if (!valid || !good_underscores(s))
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
    most = (uint64_t)INT64_MAX + minus;
    if (*p == '\0')
        return false;
    for (; *p != '\0'; p++) {
        uint64_t digit = *p >= '0' && *p <= '9' ? (uint64_t)(*p - '0')
                         : alnum(*p)            ? (uint64_t)((*p | 32) - 'a' + 10)
                                                : 99;

        if (digit >= (uint64_t)base)
            return false;
        if (value > (most - digit) / (uint64_t)base) {
            lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of more than 64 bits");
            return false;
        }
        value = value * (uint64_t)base + digit;
    }
    *out = minus ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static bool is_word(const char *p, const char *word)
{
    for (; *word != '\0'; p++, word++)
        if ((*p | 32) != *word)
            return false;
    return *p == '\0';
}

bool lls_jparse_float(const lls_jstr_t *s, double *out)
{
    char        text[400], *end;
    bool        valid;
    const char *p = tidy(s, text, &valid), *body;

    if (p == NULL || !valid || !good_underscores(s))
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
    if (!isfinite(f))
        return lls_jraise(r, LLM_ERR_INVALID, "there is no integer for %s",
                          isnan(f) ? "NaN" : "infinity");
    if (f >= 9223372036854775808.0 || f < -9223372036854775808.0)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of more than 64 bits");
    return lls_jint((int64_t)f);
}

/* ---- Rounding -------------------------------------------------------------------------------- */

static lls_jval_t round_int(lls_jrun_t *r, int64_t i, int64_t digits)
{
    int64_t unit = 1, rest, down;

    if (digits >= 0)
        return lls_jint(i);
    if (digits < -18)
        return lls_jint(0);
    for (; digits < 0; digits++)
        unit *= 10;
    rest = i % unit + (i % unit < 0 ? unit : 0);
    down = i - rest;
    if (rest * 2 > unit || (rest * 2 == unit && (down / unit) % 2 != 0)) {
        if (down > INT64_MAX - unit)
            return lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of more than 64 bits");
        down += unit;
    }
    return lls_jint(down);
}

lls_jval_t lls_jround(lls_jrun_t *r, lls_jval_t v, int64_t digits)
{
    char text[400];

    if (v.type == JV_UNDEFINED)
        return lls_jraise(r, LLM_ERR_INVALID, "something undefined cannot be rounded");
    if (!lls_jis_number(v))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be rounded", lls_jtype_name(v));
    if (v.type != JV_FLOAT)
        return round_int(r, lls_jint_of(v), digits);
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

static lls_jval_t too_long(lls_jrun_t *r)
{
    return lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of more than 64 bits");
}

static lls_jval_t power_of_ints(lls_jrun_t *r, int64_t base, int64_t exp)
{
    int64_t out = 1;

    if (exp < 0)
        return base == 0 ? lls_jraise(r, LLM_ERR_INVALID, "0 to a negative power")
                         : lls_jfloat(pow((double)base, (double)exp));
    while (exp > 0) {
        if ((exp & 1) != 0 && __builtin_mul_overflow(out, base, &out))
            return too_long(r);
        exp >>= 1;
        if (exp > 0 && __builtin_mul_overflow(base, base, &base))
            return too_long(r);
    }
    return lls_jint(out);
}

static lls_jval_t int_math(lls_jrun_t *r, uint8_t op, int64_t a, int64_t b)
{
    int64_t out = 0, rest;

    switch (op) {
    case JO_ADD:
        return __builtin_add_overflow(a, b, &out) ? too_long(r) : lls_jint(out);
    case JO_SUB:
        return __builtin_sub_overflow(a, b, &out) ? too_long(r) : lls_jint(out);
    case JO_MUL:
        return __builtin_mul_overflow(a, b, &out) ? too_long(r) : lls_jint(out);
    case JO_POW:
        return power_of_ints(r, a, b);
    default:
        break;
    }
    if (b == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "division by zero");
    if (op == JO_DIV) /* a long double holds both; it is rounded once more */
        return lls_jfloat((double)((long double)a / (long double)b));
    if (b == -1) /* INT64_MIN / -1 overflows */
        return op == JO_MOD                                  ? lls_jint(0)
               : __builtin_sub_overflow((int64_t)0, a, &out) ? too_long(r)
                                                             : lls_jint(out);
    rest = a % b;
    rest += rest != 0 && (rest < 0) != (b < 0) ? b : 0;
    return lls_jint(op == JO_MOD ? rest : (a - rest) / b);
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
        return lls_jraise(r, LLM_ERR_INVALID, "the template needs more than 256 MiB");
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
        return lls_jraise(r, LLM_ERR_INVALID, "the template needs more than 256 MiB");
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
                   ? float_math(r, op, lls_jdouble_of(a), lls_jdouble_of(b))
                   : int_math(r, op, lls_jint_of(a), lls_jint_of(b));
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
    if (lls_jis_int(v))
        return minus ? int_math(r, JO_SUB, 0, lls_jint_of(v)) : lls_jint(lls_jint_of(v));
    if (v.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, v);
    return lls_jraise(r, LLM_ERR_INVALID, "a %s has no sign", lls_jtype_name(v));
}
