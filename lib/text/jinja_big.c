/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integers beyond 64 bits: kept as decimal digits, worked with in limbs of nine of them.
 */
#include "text/jinja_val.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BASE 1000000000u
#define LIMB_DIGITS 9
#define MAX_LIMBS 2500 /* some 22,000 digits; Python writes out 4,300 */

typedef struct limbs { /* the lowest first; the highest is not 0 */
    uint32_t *d;
    size_t    n;
} limbs_t;

static limbs_t new_limbs(lls_jrun_t *r, size_t n)
{
    limbs_t out = {NULL, n};

    if (n > MAX_LIMBS)
        lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of more than %d digits",
                   MAX_LIMBS * LIMB_DIGITS);
    else if (lls_jcharge(r, n / 16))
        out.d = lls_jalloc(r, (n + 1) * sizeof *out.d);
    if (out.d == NULL)
        out.n = 0;
    else
        memset(out.d, 0, (n + 1) * sizeof *out.d);
    return out;
}

static limbs_t trim(limbs_t a)
{
    while (a.n > 0 && a.d[a.n - 1] == 0)
        a.n--;
    return a;
}

/* ---- Values and limbs ------------------------------------------------------------------------ */

static limbs_t from_digits(lls_jrun_t *r, const char *digits, size_t n)
{
    limbs_t out = new_limbs(r, n / LIMB_DIGITS + 1);

    for (size_t i = 0; out.d != NULL && i < n; i++) {
        uint32_t *limb = &out.d[(n - 1 - i) / LIMB_DIGITS];

        *limb = *limb * 10 + (uint32_t)(digits[i] - '0');
    }
    return trim(out);
}

static limbs_t limbs_of(lls_jrun_t *r, lls_jval_t v, bool *minus)
{
    int64_t  i = v.type != JV_BIG ? lls_jint_of(v) : 0;
    uint64_t rest = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    limbs_t  out;

    *minus = v.type == JV_BIG ? v.u.big->minus : i < 0;
    if (v.type == JV_BIG)
        return from_digits(r, v.u.big->digits, v.u.big->n);
    out = new_limbs(r, 3);
    for (size_t k = 0; out.d != NULL && k < 3; k++, rest /= BASE)
        out.d[k] = (uint32_t)(rest % BASE);
    return trim(out);
}

/* The integer of these digits, which begin with no 0 and have a NUL behind them. */
static lls_jval_t from_text(lls_jrun_t *r, const char *digits, size_t n, bool minus)
{
    static const char most[] = "9223372036854775807";
    lls_jbig_t       *big;
    uint64_t          u = 0;

    if (n < sizeof most - 1 || (n == sizeof most - 1 && memcmp(digits, most, n) <= 0)) {
        for (size_t i = 0; i < n; i++)
            u = u * 10 + (uint64_t)(digits[i] - '0');
        return lls_jint(minus ? -(int64_t)u : (int64_t)u);
    }
    if (minus && strcmp(digits, "9223372036854775808") == 0)
        return lls_jint(INT64_MIN);
    big = lls_jalloc(r, sizeof *big);
    if (big == NULL)
        return lls_jmissing();
    *big = (lls_jbig_t){minus, n, digits, strtod(digits, NULL)};
    big->f = minus ? -big->f : big->f;
    return (lls_jval_t){.type = JV_BIG, .u.big = big};
}

static lls_jval_t value_of(lls_jrun_t *r, limbs_t a, bool minus)
{
    size_t cap = a.n * LIMB_DIGITS + 1, at = 0;
    char  *text = r->st == LLM_OK ? lls_jalloc(r, cap) : NULL;

    if (text == NULL)
        return lls_jmissing();
    for (size_t i = a.n; i-- > 0;) {
        uint32_t limb = a.d[i];

        for (size_t k = LIMB_DIGITS; k-- > 0; limb /= 10)
            text[at + k] = (char)('0' + limb % 10);
        at += LIMB_DIGITS;
    }
    text[at] = '\0';
    while (at > 0 && *text == '0') {
        text++;
        at--;
    }
    return from_text(r, text, at, minus);
}

lls_jval_t lls_jinteger(lls_jrun_t *r, const char *digits, size_t n, bool minus)
{
    char *copy;

    while (n > 0 && *digits == '0') {
        digits++;
        n--;
    }
    copy = lls_jalloc(r, n + 1);
    if (copy == NULL)
        return lls_jmissing();
    memcpy(copy, digits, n);
    copy[n] = '\0';
    if (n > (size_t)MAX_LIMBS * LIMB_DIGITS)
        return lls_jraise(r, LLM_ERR_UNSUPPORTED, "an integer of %zu digits", n);
    return from_text(r, copy, n, minus);
}

/* ---- Magnitudes ------------------------------------------------------------------------------ */

static int compare(limbs_t a, limbs_t b)
{
    if (a.n != b.n)
        return a.n < b.n ? -1 : 1;
    for (size_t i = a.n; i-- > 0;)
        if (a.d[i] != b.d[i])
            return a.d[i] < b.d[i] ? -1 : 1;
    return 0;
}

static limbs_t add(lls_jrun_t *r, limbs_t a, limbs_t b)
{
    limbs_t  out = new_limbs(r, (a.n > b.n ? a.n : b.n) + 1);
    uint32_t carry = 0;

    for (size_t i = 0; i < out.n; i++) {
        carry += (i < a.n ? a.d[i] : 0) + (i < b.n ? b.d[i] : 0);
        out.d[i] = carry % BASE;
        carry /= BASE;
    }
    return trim(out);
}

static limbs_t subtract(lls_jrun_t *r, limbs_t a, limbs_t b) /* a >= b */
{
    limbs_t out = new_limbs(r, a.n);
    int64_t rest = 0;

    for (size_t i = 0; i < out.n; i++) {
        rest += (int64_t)a.d[i] - (i < b.n ? b.d[i] : 0);
        out.d[i] = (uint32_t)(rest < 0 ? rest + BASE : rest);
        rest = rest < 0 ? -1 : 0;
    }
    return trim(out);
}

static limbs_t multiply(lls_jrun_t *r, limbs_t a, limbs_t b)
{
    limbs_t out = new_limbs(r, a.n + b.n);

    if (out.d == NULL || !lls_jcharge(r, a.n * b.n / 256))
        return (limbs_t){NULL, 0};
    for (size_t i = 0; i < a.n; i++) {
        uint64_t carry = 0;

        for (size_t k = 0; k < b.n || carry != 0; k++) {
            carry += out.d[i + k] + (k < b.n ? (uint64_t)a.d[i] * b.d[k] : 0);
            out.d[i + k] = (uint32_t)(carry % BASE);
            carry /= BASE;
        }
    }
    return trim(out);
}

/* *a times ten to the power of a limb, plus one limb. */
static void shift_in(limbs_t *a, uint32_t limb)
{
    memmove(a->d + 1, a->d, a->n * sizeof *a->d);
    a->d[0] = limb;
    a->n++;
    *a = trim(*a);
}

/* The most of b that a holds, which is taken from it; less than BASE. */
static uint32_t take_times(limbs_t *a, limbs_t b)
{
    uint32_t low = 0, high = BASE - 1;
    double   top_a = 0, top_b = 0;

    if (compare(*a, b) < 0)
        return 0;
    for (size_t i = a->n; i-- > 0 && i + 3 >= b.n;)
        top_a = top_a * BASE + a->d[i];
    for (size_t i = b.n; i-- > 0 && i + 3 >= b.n;)
        top_b = top_b * BASE + b.d[i];
    low = (uint32_t)(top_a / top_b * (1 - 1e-12));
    low = low < high ? low : high;
    /* The estimate is not above the truth, and at most a few below. */
    for (size_t k = 0, times = low;; times = 1) {
        int64_t rest = 0;

        for (k = 0; k < a->n; k++) {
            int64_t product = (int64_t)times * (k < b.n ? b.d[k] : 0) + rest;
            int64_t limb = a->d[k] - product % BASE;

            rest = product / BASE + (limb < 0);
            a->d[k] = (uint32_t)(limb < 0 ? limb + BASE : limb);
        }
        *a = trim(*a);
        if (compare(*a, b) < 0)
            return low;
        low++;
    }
}

/* b is not 0. */
static limbs_t divide(lls_jrun_t *r, limbs_t a, limbs_t b, limbs_t *rest)
{
    limbs_t out = new_limbs(r, a.n);

    *rest = new_limbs(r, b.n + 1);
    rest->n = 0;
    if (r->st != LLM_OK || !lls_jcharge(r, a.n * b.n / 256))
        return (limbs_t){NULL, 0};
    for (size_t i = a.n; i-- > 0;) {
        shift_in(rest, a.d[i]);
        out.d[i] = take_times(rest, b);
    }
    return trim(out);
}

/* ---- Arithmetic ------------------------------------------------------------------------------ */

static lls_jval_t add_signed(lls_jrun_t *r, limbs_t a, bool a_minus, limbs_t b, bool b_minus)
{
    if (a_minus == b_minus)
        return value_of(r, add(r, a, b), a_minus);
    return compare(a, b) >= 0 ? value_of(r, subtract(r, a, b), a_minus)
                              : value_of(r, subtract(r, b, a), b_minus);
}

static lls_jval_t floor_divide(lls_jrun_t *r, uint8_t op, limbs_t a, bool a_minus, limbs_t b,
                               bool b_minus)
{
    uint32_t        one_limb[] = {1};
    const limbs_t   one = {one_limb, 1};
    limbs_t         rest, q = divide(r, a, b, &rest);
    bool            down = a_minus != b_minus && rest.n != 0;

    if (r->st != LLM_OK)
        return lls_jmissing();
    if (op == JO_FLOORDIV)
        return value_of(r, down ? add(r, q, one) : q, a_minus != b_minus);
    return value_of(r, down ? subtract(r, b, rest) : rest, b_minus);
}

/* 25 digits of the quotient and whether there are more give the nearest double. */
static lls_jval_t true_divide(lls_jrun_t *r, lls_jval_t a, lls_jval_t b, bool minus)
{
    bool       sign;
    limbs_t    x = limbs_of(r, a, &sign), y = limbs_of(r, b, &sign), q, rest, wide;
    size_t     shift = x.n < y.n + 4 ? y.n + 4 - x.n : 0, room;
    lls_jval_t digits;
    char      *text;
    double     f;

    wide = new_limbs(r, x.n + shift);
    if (r->st != LLM_OK)
        return lls_jmissing();
    memcpy(wide.d + shift, x.d, x.n * sizeof *x.d);
    q = divide(r, trim(wide), y, &rest);
    digits = value_of(r, q, false);
    room = (q.n + 2) * LIMB_DIGITS + 32;
    text = r->st == LLM_OK ? lls_jalloc(r, room) : NULL;
    if (text == NULL)
        return lls_jmissing();
    if (digits.type == JV_BIG)
        snprintf(text, room, "%s%de-%zu", digits.u.big->digits, rest.n != 0,
                 shift * LIMB_DIGITS + 1);
    else
        snprintf(text, room, "%lld%de-%zu", (long long)digits.u.i, rest.n != 0,
                 shift * LIMB_DIGITS + 1);
    f = strtod(text, NULL);
    if (isinf(f))
        return lls_jraise(r, LLM_ERR_INVALID, "the result is too large");
    return lls_jfloat(minus ? -f : f);
}

static lls_jval_t power(lls_jrun_t *r, limbs_t base, bool minus, lls_jval_t exponent)
{
    uint32_t        one_limb[] = {1};
    limbs_t         out = {one_limb, 1};
    int64_t         e = exponent.type == JV_BIG ? INT64_MAX : lls_jint_of(exponent);

    minus =
        minus && (exponent.type == JV_BIG ? (exponent.u.big->digits[exponent.u.big->n - 1] & 1) != 0
                                          : (e & 1) != 0);
    if (base.n == 0 || (base.n == 1 && base.d[0] == 1))
        return value_of(r, e == 0 ? out : base, minus);
    while (e > 0 && r->st == LLM_OK) {
        if ((e & 1) != 0)
            out = multiply(r, out, base);
        e >>= 1;
        if (e > 0 && r->st == LLM_OK)
            base = multiply(r, base, base);
    }
    return value_of(r, out, minus);
}

lls_jval_t lls_jbig_math(lls_jrun_t *r, uint8_t op, lls_jval_t a, lls_jval_t b)
{
    bool    a_minus, b_minus;
    limbs_t x = limbs_of(r, a, &a_minus), y = limbs_of(r, b, &b_minus);

    if (r->st != LLM_OK)
        return lls_jmissing();
    switch (op) {
    case JO_ADD:
        return add_signed(r, x, a_minus, y, b_minus);
    case JO_SUB:
        return add_signed(r, x, a_minus, y, !b_minus);
    case JO_MUL:
        return value_of(r, multiply(r, x, y), a_minus != b_minus);
    case JO_POW:
        return power(r, x, a_minus, b);
    default:
        break;
    }
    if (y.n == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "division by zero");
    return op == JO_DIV ? true_divide(r, a, b, a_minus != b_minus)
                        : floor_divide(r, op, x, a_minus, y, b_minus);
}

/* ---- Order, other bases ---------------------------------------------------------------------- */

static int order_magnitudes(const lls_jbig_t *a, const lls_jbig_t *b)
{
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    return memcmp(a->digits, b->digits, a->n);
}

/* One of them is big; the other is no NaN. */
int lls_jbig_order(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    char text[400];
    int  n;

    if (a.type != JV_BIG)
        return -lls_jbig_order(r, b, a);
    if (b.type == JV_FLOAT && fabs(b.u.f) >= 9223372036854775808.0 && isfinite(b.u.f)) {
        n = snprintf(text, sizeof text, "%.0f", fabs(b.u.f));
        b = lls_jinteger(r, text, (size_t)n, b.u.f < 0);
    }
    if (b.type == JV_FLOAT && isinf(b.u.f))
        return b.u.f > 0 ? -1 : 1;
    if (b.type != JV_BIG || b.u.big->minus != a.u.big->minus)
        return a.u.big->minus ? -1 : 1;
    return a.u.big->minus ? order_magnitudes(b.u.big, a.u.big) : order_magnitudes(a.u.big, b.u.big);
}

/* n digits of a base up to 36, all of them valid. */
lls_jval_t lls_jinteger_in(lls_jrun_t *r, const char *digits, size_t n, uint32_t base, bool minus)
{
    limbs_t out = new_limbs(r, n / 5 + 2); /* five digits of base 36 fit into a limb */

    if (r->st != LLM_OK || !lls_jcharge(r, n * n / 4096))
        return lls_jmissing();
    for (size_t i = 0, used = 1; i < n; i++) {
        char     c = digits[i];
        uint64_t carry = (uint64_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);

        for (size_t k = 0; k < used || carry != 0; k++) {
            carry += (uint64_t)out.d[k] * base;
            out.d[k] = (uint32_t)(carry % BASE);
            carry /= BASE;
            used = k + 1 > used ? k + 1 : used;
        }
    }
    return value_of(r, trim(out), minus);
}

const char *lls_jinteger_digits(lls_jrun_t *r, lls_jval_t v, uint32_t base, size_t *len)
{
    bool    minus;
    limbs_t a = limbs_of(r, v, &minus);
    size_t  room = a.n * 30 + 1, at = room; /* a limb has 30 bits */
    char   *text = r->st == LLM_OK ? lls_jalloc(r, room) : NULL;

    *len = 0;
    if (text == NULL || !lls_jcharge(r, a.n * a.n / 256))
        return NULL;
    do {
        uint64_t rest = 0;

        for (size_t i = a.n; i-- > 0;) {
            rest = rest * BASE + a.d[i];
            a.d[i] = (uint32_t)(rest / base);
            rest %= base;
        }
        text[--at] = "0123456789abcdefghijklmnopqrstuvwxyz"[rest];
        a = trim(a);
    } while (a.n != 0);
    *len = room - at;
    return text + at;
}
