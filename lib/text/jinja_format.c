/* SPDX-License-Identifier: Apache-2.0 */
/*
 * '%s' % x and '{}'.format(x).
 */
#include "text/jinja_val.h"

#include <math.h>
#include <stdio.h>

#include "base/utf8.h"

#define MAX_WIDTH 10000

typedef struct spec { /* one conversion, of either kind */
    bool    alternate, sign_plus, sign_blank, comma, zero;
    char    align; /* '<', '>', '^', '=' or 0 */
    char    fill;
    int64_t width, precision; /* -1 = not given */
    char    kind;             /* 0 = not given */
} spec_t;

typedef struct pieces {
    const lls_jstr_t **items;
    size_t             n, cap;
} pieces_t;

static bool add(lls_jrun_t *r, pieces_t *p, const lls_jstr_t *s)
{
    if (r->st != LLM_OK || s == NULL)
        return false;
    if (p->n == p->cap) {
        const lls_jstr_t **grown = lls_jalloc(r, (p->cap * 2 + 8) * sizeof *grown);

        if (grown == NULL)
            return false;
        if (p->n != 0)
            memcpy(grown, p->items, p->n * sizeof *grown);
        p->items = grown;
        p->cap = p->cap * 2 + 8;
    }
    p->items[p->n++] = s;
    return true;
}

static bool add_value(lls_jrun_t *r, pieces_t *p, lls_jval_t v)
{
    return r->st == LLM_OK && add(r, p, v.u.str);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static size_t put_commas(const char *digits, size_t n, char *out)
{
    size_t k = 0;

    for (size_t i = 0; i < n; i++) {
        if (i != 0 && (n - i) % 3 == 0)
            out[k++] = ',';
        out[k++] = digits[i];
    }
    return k;
}

/* sign and prefix, then zeros or blanks up to the width, then the digits */
static lls_jval_t assemble(lls_jrun_t *r, const spec_t *s, const char *head, const char *body,
                           size_t n_body, char align)
{
    size_t n_head = strlen(head), n = n_head + n_body,
           width = align == '=' && s->width > (int64_t)n ? (size_t)s->width : n;
    char      *text = lls_jalloc(r, width);
    lls_jval_t v;

    if (text == NULL)
        return lls_jmissing();
    memcpy(text, head, n_head);
    memset(text + n_head, s->fill, width - n);
    memcpy(text + n_head + width - n, body, n_body);
    v = lls_jstring(r, text, width, false);
    if (r->st != LLM_OK || s->width < 0 || align == '=')
        return v;
    return lls_jpad(r, v.u.str, s->width, s->fill, align == '<' ? -1 : align == '^' ? 0 : 1);
}

/* The first `whole` of n digits in groups; zeros before them make `room` characters of it all. */
static char *with_commas(lls_jrun_t *r, const spec_t *s, const char *digits, size_t whole,
                         size_t *n, size_t n_head, char align)
{
    size_t want = align == '=' && s->fill == '0' && s->width > (int64_t)n_head
                      ? (size_t)s->width - n_head
                      : 0;
    size_t zeros = 0, rest = *n - whole, at;
    char  *padded, *out;

    while (whole + zeros + (whole + zeros - 1) / 3 + rest < want)
        zeros++;
    padded = lls_jalloc(r, zeros + whole);
    out = lls_jalloc(r, 2 * (zeros + whole) + rest);
    if (padded == NULL || out == NULL)
        return NULL;
    memset(padded, '0', zeros);
    memcpy(padded + zeros, digits, whole);
    at = put_commas(padded, zeros + whole, out);
    memcpy(out + at, digits + whole, rest);
    *n = at + rest;
    return out;
}

static const char *sign_of(const spec_t *s, bool negative)
{
    return negative ? "-" : s->sign_plus ? "+" : s->sign_blank ? " " : "";
}

static const char *prefix_of(const spec_t *s, char kind)
{
    if (!s->alternate)
        return "";
    return kind == 'b' ? "0b" : kind == 'o' ? "0o" : kind == 'x' ? "0x" : kind == 'X' ? "0X" : "";
}

/* At least so many digits. */
static const char *with_zeros(lls_jrun_t *r, const char *digits, size_t *n, int64_t least)
{
    size_t zeros = least > (int64_t)*n ? (size_t)least - *n : 0;
    char  *out = lls_jalloc(r, zeros + *n);

    if (out == NULL)
        return NULL;
    memset(out, '0', zeros);
    for (size_t i = 0; i < *n; i++)
        out[zeros + i] = digits[i];
    *n += zeros;
    return out;
}

static lls_jval_t format_int(lls_jrun_t *r, const spec_t *s, lls_jval_t v, char align, bool percent)
{
    char kind = s->kind == 0 || s->kind == 'i' || s->kind == 'u' || s->kind == 'n' ? 'd' : s->kind;
    int  base = kind == 'x' || kind == 'X' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 10;
    bool minus = v.type == JV_BIG ? v.u.big->minus : lls_jint_of(v) < 0;
    char head[8], *own;
    size_t      n;
    const char *digits = lls_jinteger_digits(r, v, (uint32_t)base, &n);

    if (digits == NULL)
        return lls_jmissing();
    if (base == 10 && n > 4300)
        return lls_jraise(r, LLM_ERR_INVALID, "an integer of %zu digits is too long to be text", n);
    if (s->comma && base != 10)
        return lls_jraise(r, LLM_ERR_INVALID, "commas are for decimal digits");
    snprintf(head, sizeof head, "%s%s", sign_of(s, minus), prefix_of(s, kind));
    if (percent)
        digits = with_zeros(r, digits, &n, s->precision);
    if (digits != NULL && s->comma)
        digits = with_commas(r, s, digits, n, &n, strlen(head), align);
    if (digits == NULL || kind != 'X')
        return digits != NULL ? assemble(r, s, head, digits, n, align) : lls_jmissing();
    own = lls_jalloc(r, n);
    for (size_t i = 0; own != NULL && i < n; i++)
        own[i] = digits[i] >= 'a' ? (char)(digits[i] - 32) : digits[i];
    return own != NULL ? assemble(r, s, head, own, n, align) : lls_jmissing();
}

/* Without a kind Python writes a float as repr does, or with so many significant digits. */
static void float_digits(const spec_t *s, double f, char *out, size_t cap)
{
    char format[16], kind = s->kind == 'n' ? 'g' : s->kind == '%' ? 'f' : s->kind;
    int  precision = s->precision < 0 ? 6 : (int)s->precision;

    if (kind == 0 && s->precision < 0) {
        lls_jfloat_text(f, out);
        return;
    }
    if (kind == 0) {
        char *exp;

        snprintf(out, cap, "%.*g", precision == 0 ? 1 : precision, f);
        exp = strchr(out, 'e');
        if (exp == NULL && strchr(out, '.') == NULL && strlen(out) + 2 < cap) {
            /* As many digits before the point as are asked for make it 1e+01. */
            if ((int)strlen(out) >= (precision == 0 ? 1 : precision))
                snprintf(out, cap, "%.*e", (int)strlen(out) - 1, f);
            else
                strcat(out, ".0");
        }
        return;
    }
    snprintf(format, sizeof format, "%%%s.*%c", s->alternate ? "#" : "", kind);
    snprintf(out, cap, format, precision, f);
}

static lls_jval_t format_float(lls_jrun_t *r, const spec_t *s, lls_jval_t v, char align)
{
    double      f = lls_jdouble_of(v);
    size_t      cap = (size_t)(s->precision > 0 ? s->precision : 0) + 400, n;
    char       *digits = lls_jalloc(r, cap);
    const char *sign = sign_of(s, signbit(f) && !isnan(f)), *body = digits;

    if (digits == NULL)
        return lls_jmissing();
    if (v.type == JV_BIG && isinf(f))
        return lls_jraise(r, LLM_ERR_INVALID, "an integer is too large for a float");
    if (!isfinite(f))
        snprintf(digits, cap, "%s", isnan(f) ? "nan" : "inf");
    else
        float_digits(s, fabs(s->kind == '%' ? f * 100 : f), digits, cap);
    if (s->kind >= 'A' && s->kind <= 'Z' && !isfinite(f))
        for (char *p = digits; *p != '\0'; p++)
            *p = (char)(*p - 32);
    if (s->kind == '%')
        strcat(digits, "%");
    n = strlen(digits);
    if (s->comma && isfinite(f))
        body = with_commas(r, s, digits, strspn(digits, "0123456789"), &n, strlen(sign), align);
    return body != NULL ? assemble(r, s, sign, body, n, align) : lls_jmissing();
}

static lls_jval_t format_text(lls_jrun_t *r, const spec_t *s, lls_jval_t v, int align)
{
    const lls_jstr_t *text = lls_jstr(r, v);

    if (text == NULL)
        return lls_jmissing();
    if (s->precision >= 0)
        v = lls_jsubstr(r, text, 0, lls_jchar_offset(text, s->precision));
    else
        v = lls_jstrval(text);
    if (r->st != LLM_OK || s->width < 0)
        return v;
    return lls_jpad(r, v.u.str, s->width, s->fill, align);
}

/* ---- Percent --------------------------------------------------------------------------------- */

typedef struct percent {
    lls_jrun_t       *r;
    const lls_jstr_t *f;
    size_t            at;
    lls_jval_t        args;
    size_t            used;    /* of a tuple of arguments; else 1 when args is used */
    bool              mapping; /* a key was named */
} percent_t;

static char peek(const percent_t *p) { return p->at < p->f->len ? p->f->text[p->at] : '\0'; }

static lls_jval_t next_arg(percent_t *p)
{
    if (p->args.type == JV_TUPLE && !p->mapping) {
        if (p->used < p->args.u.list->n)
            return p->args.u.list->items[p->used++];
    } else if (p->used++ == 0) {
        return p->args;
    }
    return lls_jraise(p->r, LLM_ERR_INVALID, "not enough arguments for the format");
}

static int64_t number_at(percent_t *p)
{
    int64_t n = -1;

    if (peek(p) == '*') {
        p->at++;
        return lls_jint_arg(p->r, next_arg(p), 0);
    }
    for (; peek(p) >= '0' && peek(p) <= '9'; p->at++) {
        n = (n < 0 ? 0 : n) * 10 + peek(p) - '0';
        if (n > MAX_WIDTH) {
            lls_jraise(p->r, LLM_ERR_UNSUPPORTED, "a width of more than %d", MAX_WIDTH);
            return 0;
        }
    }
    return n;
}

/* %(name): its value becomes the only argument. */
static bool take_key(percent_t *p, lls_jval_t *value)
{
    size_t            from = ++p->at, depth = 1;
    lls_jval_t        key;
    const lls_jval_t *v;

    for (; p->at < p->f->len; p->at++) {
        depth += peek(p) == '(';
        depth -= peek(p) == ')';
        if (depth == 0)
            break;
    }
    if (p->args.type != JV_DICT || p->at >= p->f->len) {
        lls_jraise(p->r, LLM_ERR_INVALID, "the format needs a mapping");
        return false;
    }
    key = lls_jsubstr(p->r, p->f, from, p->at++ - from);
    if (p->r->st != LLM_OK)
        return false;
    v = lls_jdict_get(p->r, p->args.u.dict, key);
    if (v == NULL) {
        lls_jraise(p->r, LLM_ERR_INVALID, "the format's key is not in the mapping");
        return false;
    }
    *value = *v;
    return p->mapping = true;
}

static void take_flags(percent_t *p, spec_t *s)
{
    for (;; p->at++) {
        switch (peek(p)) {
        case '-':
            s->align = '<';
            break;
        case '+':
            s->sign_plus = true;
            break;
        case ' ':
            s->sign_blank = true;
            break;
        case '#':
            s->alternate = true;
            break;
        case '0':
            s->zero = true;
            break;
        default:
            return;
        }
    }
}

static lls_jval_t convert_number(lls_jrun_t *r, spec_t *s, lls_jval_t v)
{
    char align = s->align == '<' ? '<' : s->zero ? '=' : '>';

    s->fill = align == '=' ? '0' : ' ';
    if (!lls_jis_number(v)) {
        if (v.type == JV_UNDEFINED && strchr("eEfFgG", s->kind) != NULL)
            return lls_jraise_undefined(r, v);
        return lls_jraise(r, LLM_ERR_INVALID, "%%%c needs a number, not %s", s->kind,
                          lls_jtype_name(v));
    }
    if (strchr("eEfFgG", s->kind) != NULL)
        return format_float(r, s, v, align);
    if (v.type == JV_FLOAT && strchr("xXo", s->kind) != NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "%%%c needs an integer", s->kind);
    if (v.type == JV_FLOAT)
        v = lls_jtruncate(r, v.u.f);
    return r->st == LLM_OK ? format_int(r, s, v, align, true) : v;
}

/* chr(i); half a pair of surrogates cannot be text. */
static lls_jval_t chr_of(lls_jrun_t *r, int64_t i)
{
    char *text = lls_jalloc(r, 4);

    if (text == NULL)
        return lls_jmissing();
    if (i < 0 || i > 0x10ffff || (i >= 0xd800 && i < 0xe000))
        return lls_jraise(r, LLM_ERR_INVALID, "there is no character %lld", (long long)i);
    return lls_jstring(r, text, lls_utf8_encode((uint32_t)i, text), false);
}

static lls_jval_t convert_char(lls_jrun_t *r, const spec_t *s, lls_jval_t v)
{
    if (lls_jis_int(v))
        v = chr_of(r, lls_jint_of(v));
    if (r->st == LLM_OK && (v.type != JV_STRING || lls_jlength(v) != 1))
        lls_jraise(r, LLM_ERR_INVALID, "%%c needs a character");
    if (r->st != LLM_OK)
        return lls_jmissing();
    return format_text(r, s, v, s->align == '<' ? -1 : 1);
}

static lls_jval_t convert(percent_t *p, spec_t *s, lls_jval_t v)
{
    lls_jrun_t *r = p->r;
    lls_jval_t  text = v;

    switch (s->kind) {
    case 's':
        if (p->f->safe)
            text = lls_jescape(r, v);
        break;
    case 'r':
    case 'a':
        text = lls_jrepr(r, v, s->kind == 'a');
        break;
    case 'c':
        return convert_char(r, s, v);
    default:
        if (s->kind == '\0' || strchr("diouxXeEfFgG", s->kind) == NULL)
            return lls_jraise(r, LLM_ERR_INVALID, "the format has an unknown conversion");
        return convert_number(r, s, v);
    }
    return r->st == LLM_OK ? format_text(r, s, text, s->align == '<' ? -1 : 1) : text;
}

/* One conversion; p->at is behind the '%'. */
static lls_jval_t take_conversion(percent_t *p)
{
    spec_t     s = {.width = -1, .precision = -1, .fill = ' '};
    lls_jval_t v = lls_jmissing();

    if (peek(p) == '(' && !take_key(p, &v))
        return lls_jmissing();
    take_flags(p, &s);
    s.width = number_at(p);
    if (s.width < -1) {
        s.align = '<';
        s.width = s.width < -MAX_WIDTH ? MAX_WIDTH + 1 : -s.width;
    }
    if (peek(p) == '.') {
        p->at++;
        s.precision = number_at(p);
        s.precision = s.precision < 0 ? 0 : s.precision;
    }
    if (s.width > MAX_WIDTH || s.precision > MAX_WIDTH)
        lls_jraise(p->r, LLM_ERR_UNSUPPORTED, "a width of more than %d", MAX_WIDTH);
    while (peek(p) == 'h' || peek(p) == 'l' || peek(p) == 'L')
        p->at++;
    if (p->r->st != LLM_OK)
        return lls_jmissing();
    s.kind = peek(p);
    if (p->at >= p->f->len)
        return lls_jraise(p->r, LLM_ERR_INVALID, "the format is incomplete");
    p->at++;
    if (s.kind == '%')
        return lls_jcstr(p->r, "%");
    if (v.type == JV_MISSING)
        v = next_arg(p);
    return p->r->st == LLM_OK ? convert(p, &s, v) : v;
}

static bool all_used(const percent_t *p)
{
    if (p->args.type == JV_TUPLE)
        return p->mapping || p->used == p->args.u.list->n;
    /* A mapping, and everything that has items, may go unused; strings may not. */
    return p->mapping || p->used != 0 || p->args.type == JV_DICT || p->args.type == JV_LIST ||
           p->args.type == JV_RANGE || p->args.type == JV_UNDEFINED;
}

lls_jval_t lls_jpercent(lls_jrun_t *r, const lls_jstr_t *format, lls_jval_t args)
{
    percent_t  p = {.r = r, .f = format, .args = args};
    pieces_t   out = {0};
    lls_jval_t v;

    while (r->st == LLM_OK && p.at < format->len) {
        const char *at = memchr(format->text + p.at, '%', format->len - p.at);
        size_t      end = at != NULL ? (size_t)(at - format->text) : format->len;

        add_value(r, &out, lls_jsubstr(r, format, p.at, end - p.at));
        p.at = end + 1;
        if (at != NULL && lls_jcharge(r, 1))
            add_value(r, &out, take_conversion(&p));
    }
    if (r->st == LLM_OK && !all_used(&p))
        lls_jraise(r, LLM_ERR_INVALID, "not all arguments of the format are used");
    v = r->st == LLM_OK ? lls_jconcat(r, out.items, out.n) : lls_jmissing();
    return r->st == LLM_OK ? lls_jmark_safe(r, v.u.str, format->safe) : v;
}

/* ---- Braces ---------------------------------------------------------------------------------- */

typedef struct braces {
    lls_jrun_t        *r;
    const lls_jstr_t  *f;
    const lls_jargs_t *args;
    int64_t            next; /* of {}; -1 after {0} */
    bool               automatic;
} braces_t;

static lls_jval_t argument(braces_t *b, const char *name, size_t len)
{
    int64_t i = 0;
    bool    digits = len != 0;

    for (size_t k = 0; k < len; k++) {
        digits = digits && name[k] >= '0' && name[k] <= '9' && k < 9;
        i = digits ? i * 10 + name[k] - '0' : 0;
    }
    if (len == 0 || digits) {
        if (len == 0 ? b->next < 0 : b->automatic)
            return lls_jraise(b->r, LLM_ERR_INVALID, "{} and {0} cannot be mixed");
        b->automatic |= len == 0;
        i = len == 0 ? b->next++ : i;
        if (len != 0)
            b->next = -1;
        if ((uint64_t)i >= b->args->n_pos)
            return lls_jraise(b->r, LLM_ERR_INVALID, "not enough arguments for the format");
        return b->args->pos[i];
    }
    for (size_t k = 0; k < b->args->n_kw; k++)
        if (b->args->kw_name[k]->len == len && memcmp(b->args->kw_name[k]->text, name, len) == 0)
            return b->args->kw[k];
    return lls_jraise(b->r, LLM_ERR_INVALID, "the format names an unknown argument");
}

/* name.attr[item]: a field. */
static lls_jval_t field(braces_t *b, const char *p, size_t len)
{
    size_t      at = 0, from;
    lls_jval_t  v, key;
    lls_jrun_t *r = b->r;

    while (at < len && p[at] != '.' && p[at] != '[')
        at++;
    v = argument(b, p, at);
    while (r->st == LLM_OK && at < len) {
        bool item = p[at] == '[';

        from = ++at;
        while (at < len && (item ? p[at] != ']' : p[at] != '.' && p[at] != '['))
            at++;
        key = lls_jstring(r, p + from, at - from, false);
        if (r->st == LLM_OK && (at == from || (item && at >= len)))
            lls_jraise(r, LLM_ERR_INVALID, "the format has an empty attribute");
        if (r->st == LLM_OK && item && p[from] >= '0' && p[from] <= '9') {
            lls_jval_t i;
            if (lls_jparse_int(r, key.u.str, 10, &i))
                key = i;
        }
        if (r->st == LLM_OK)
            v = item ? lls_jget_item(r, v, key) : lls_jget_attr(r, v, key.u.str);
        at += item;
    }
    return v;
}

static bool parse_spec(braces_t *b, const char *p, size_t len, spec_t *s)
{
    size_t at = 0;

    *s = (spec_t){.width = -1, .precision = -1, .fill = ' '};
    if (len > 1 && p[1] != '\0' && strchr("<>=^", p[1]) != NULL && (uint8_t)p[0] < 0x80) {
        s->fill = p[0];
        s->align = p[1];
        at = 2;
    } else if (len > 0 && p[0] != '\0' && strchr("<>=^", p[0]) != NULL) {
        s->align = p[at++];
    }
    if (at < len && (p[at] == '+' || p[at] == '-' || p[at] == ' ')) {
        s->sign_plus = p[at] == '+';
        s->sign_blank = p[at] == ' ';
        at++;
    }
    s->alternate = at < len && p[at] == '#';
    at += s->alternate;
    if (at < len && p[at] == '0') {
        s->zero = true;
        if (s->align == 0)
            s->fill = '0';
        at++;
    }
    for (; at < len && p[at] >= '0' && p[at] <= '9' && s->width <= MAX_WIDTH; at++)
        s->width = (s->width < 0 ? 0 : s->width) * 10 + p[at] - '0';
    s->comma = at < len && p[at] == ',';
    at += s->comma;
    if (at < len && p[at] == '.') {
        for (at++; at < len && p[at] >= '0' && p[at] <= '9' && s->precision <= MAX_WIDTH; at++)
            s->precision = (s->precision < 0 ? 0 : s->precision) * 10 + p[at] - '0';
        if (s->precision < 0)
            at = len + 1;
    }
    if (at < len)
        s->kind = p[at++];
    if (s->width > MAX_WIDTH || s->precision > MAX_WIDTH)
        lls_jraise(b->r, LLM_ERR_UNSUPPORTED, "a width of more than %d", MAX_WIDTH);
    else if (at != len)
        lls_jraise(b->r, LLM_ERR_INVALID, "a wrong format");
    return b->r->st == LLM_OK;
}

static lls_jval_t format_number(lls_jrun_t *r, const spec_t *s, lls_jval_t v)
{
    char align = s->align != 0 ? s->align : s->zero ? '=' : '>';
    bool as_float = v.type == JV_FLOAT || (s->kind != 0 && strchr("eEfFgG%", s->kind) != NULL);

    if (s->kind == 'c' && lls_jis_int(v) && s->precision < 0) {
        v = chr_of(r, lls_jint_of(v));
        return r->st == LLM_OK ? format_text(r, s, v, align == '>' ? 1 : align == '^' ? 0 : -1) : v;
    }
    if (s->kind != 0 && strchr(as_float ? "eEfFgGn%" : "bdoxXn", s->kind) == NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "a %s has no format '%c'", lls_jtype_name(v),
                          s->kind);
    if (as_float)
        return format_float(r, s, v, align);
    if (s->precision >= 0)
        return lls_jraise(r, LLM_ERR_INVALID, "an integer has no precision");
    return format_int(r, s, v, align, false);
}

static lls_jval_t format_value(braces_t *b, lls_jval_t v, const char *p, size_t len)
{
    lls_jrun_t *r = b->r;
    spec_t      s;

    if (len == 0)
        return lls_jtext(r, v);
    if (v.type != JV_STRING && !lls_jis_number(v))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s has no format", lls_jtype_name(v));
    if (!parse_spec(b, p, len, &s))
        return lls_jmissing();
    if (v.type != JV_STRING)
        return format_number(r, &s, v);
    if ((s.kind != 0 && s.kind != 's') || s.align == '=' || s.sign_plus || s.sign_blank ||
        s.alternate || s.comma)
        return lls_jraise(r, LLM_ERR_INVALID, "a str has no such format");
    return format_text(r, &s, v, s.align == '>' ? 1 : s.align == '^' ? 0 : -1);
}

/* What is between { and }. */
static lls_jval_t replacement(braces_t *b, const char *p, size_t len)
{
    size_t     end = 0, spec, depth = 0;
    char       conversion = '\0';
    lls_jval_t v;

    while (end < len && (depth != 0 || (p[end] != ':' && p[end] != '!'))) {
        depth += p[end] == '[';
        depth -= p[end] == ']' && depth != 0;
        end++;
    }
    spec = end;
    if (spec < len && p[spec] == '!') {
        conversion = spec + 1 < len ? p[spec + 1] : '?';
        spec += 2;
        if (spec < len && p[spec] != ':')
            return lls_jraise(b->r, LLM_ERR_INVALID, "a wrong conversion in the format");
        if (strchr("rsa", conversion) == NULL)
            return lls_jraise(b->r, LLM_ERR_INVALID, "a wrong conversion in the format");
    }
    spec += spec < len;
    v = field(b, p, end);
    if (b->r->st == LLM_OK && (conversion == 'r' || conversion == 'a'))
        v = lls_jrepr(b->r, v, conversion == 'a');
    else if (b->r->st == LLM_OK && conversion == 's')
        v = lls_jtext(b->r, v);
    if (b->r->st == LLM_OK && b->f->safe)
        v = lls_jescape(b->r, v);
    return b->r->st == LLM_OK ? format_value(b, v, p + spec, spec < len ? len - spec : 0) : v;
}

lls_jval_t lls_jformat(lls_jrun_t *r, const lls_jstr_t *format, const lls_jargs_t *args)
{
    braces_t    b = {.r = r, .f = format, .args = args};
    pieces_t    out = {0};
    const char *p = format->text;

    for (size_t at = 0, end; r->st == LLM_OK && at < format->len && lls_jcharge(r, 1);) {
        for (end = at; end < format->len && p[end] != '{' && p[end] != '}';)
            end++;
        if (end + 1 < format->len && p[end] == p[end + 1]) { /* {{ or }} */
            add_value(r, &out, lls_jsubstr(r, format, at, end + 1 - at));
            at = end + 2;
            continue;
        }
        add_value(r, &out, lls_jsubstr(r, format, at, end - at));
        at = end + 1;
        if (end >= format->len)
            break;
        for (end = at; end < format->len && p[end] != '}' && p[end] != '{';)
            end++;
        if (p[at - 1] == '}' || end >= format->len)
            lls_jraise(r, LLM_ERR_INVALID, "the braces of the format do not match");
        else if (p[end] == '{')
            lls_jraise(r, LLM_ERR_UNSUPPORTED, "a field inside a field of a format");
        else
            add_value(r, &out, replacement(&b, p + at, end - at));
        at = end + 1;
    }
    return r->st == LLM_OK ? lls_jconcat(r, out.items, out.n) : lls_jmissing();
}
