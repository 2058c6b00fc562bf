/* SPDX-License-Identifier: Apache-2.0 */
#include "text/jscan.h"

#include <math.h>
#include <stdlib.h>

#include "base/utf8.h"

#define EACH(byte) ((byte) * 0x0101010101010101u)

static inline uint64_t load_8(const char *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

char lls_jscan_peek(lls_jscan_t *s)
{
    size_t at = s->at;

    while (at < s->len && (s->text[at] == ' ' || s->text[at] == '\n' || s->text[at] == '\r' ||
                           s->text[at] == '\t')) {
        at++;
        if (s->len - at >= 8) {                 /* an indent */
            uint64_t other = load_8(s->text + at) ^ EACH(' ');
            at += other != 0 ? (unsigned)__builtin_ctzll(other) / 8 : 8;
        }
    }
    s->at = at;
    return at < s->len ? s->text[at] : '\0';
}

bool lls_jscan_take(lls_jscan_t *s, char c)
{
    if (lls_jscan_peek(s) != c || s->at >= s->len)
        return false;
    s->at++;
    return true;
}

/* ---- Strings --------------------------------------------------------------------------------- */

static bool put(lls_jscan_t *s, lls_buf_t *out, const char *p, size_t n)
{
    s->no_memory = !lls_buf_put(out, p, n);
    return !s->no_memory;
}

static bool hex4(lls_jscan_t *s, uint32_t *out)
{
    *out = 0;
    if (s->len - s->at < 4)
        return false;
    for (int i = 0; i < 4; i++, s->at++) {
        char c = s->text[s->at], low = (char)(c | 32);

        if (c >= '0' && c <= '9')
            *out = *out * 16 + (uint32_t)(c - '0');
        else if (low >= 'a' && low <= 'f')
            *out = *out * 16 + (uint32_t)(low - 'a' + 10);
        else
            return false;
    }
    return true;
}

static bool unicode_escape(lls_jscan_t *s, lls_buf_t *out)
{
    uint32_t cp, low;
    char     bytes[4];

    if (!hex4(s, &cp))
        return false;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (s->len - s->at < 6 || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
            return false;
        s->at += 2;
        if (!hex4(s, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    } else if (cp >= 0xdc00 && cp < 0xe000) {
        return false;
    }
    return put(s, out, bytes, lls_utf8_encode(cp, bytes));
}

static bool escape(lls_jscan_t *s, lls_buf_t *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char       *p;

    if (s->at >= s->len)
        return false;
    if (s->text[s->at] == 'u') {
        s->at++;
        return unicode_escape(s, out);
    }
    p = memchr(from, s->text[s->at], sizeof from - 1);
    if (p == NULL)
        return false;
    s->at++;
    return put(s, out, to + (p - from), 1);
}

/* The top bit of each byte of v that is 0, and perhaps of bytes above such a one. */
static inline uint64_t zero_bytes(uint64_t v)
{
    return (v - EACH(1)) & ~v & EACH(0x80);
}

/* Goes to the next quote, backslash or control character; *high: bytes above ASCII were passed. */
static inline void pass_plain(lls_jscan_t *s, bool *high)
{
    uint64_t stop = 0;

    *high = false;
    for (; stop == 0 && s->len - s->at >= 8; s->at += 8) {
        uint64_t eight = load_8(s->text + s->at);

        stop = zero_bytes(eight ^ EACH('"')) | zero_bytes(eight ^ EACH('\\')) |
               ((eight - EACH(0x20)) & ~eight & EACH(0x80));
        if (stop != 0) {
            unsigned n = (unsigned)__builtin_ctzll(stop) / 8;

            *high = *high || (eight & EACH(0x80) & ((1ull << 8 * n) - 1)) != 0;
            s->at += n;
            return;
        }
        *high = *high || (eight & EACH(0x80)) != 0;
    }
    for (; s->at < s->len && s->text[s->at] != '"' && s->text[s->at] != '\\' &&
           (uint8_t)s->text[s->at] >= 0x20; s->at++)
        *high = *high || (uint8_t)s->text[s->at] >= 0x80;
}

/* out NULL: only the end is looked for, and what is between is not checked. */
static bool string(lls_jscan_t *s, lls_buf_t *out)
{
    if (!lls_jscan_take(s, '"'))
        return false;
    while (s->at < s->len) {
        size_t begin = s->at;
        bool   high;

        pass_plain(s, &high);
        if (out != NULL) {
            size_t len = s->at - begin, good = high ? lls_utf8_valid(s->text + begin, len) : len;

            if (good != s->at - begin) {
                s->at = begin + good;
                return false;
            }
            if (!put(s, out, s->text + begin, good))
                return false;
        }
        if (s->at >= s->len || (uint8_t)s->text[s->at] < 0x20)
            return false;
        if (s->text[s->at++] == '"')
            return true;
        if (out == NULL)
            s->at += s->at < s->len;
        else if (!escape(s, out))
            return false;
    }
    return false;
}

bool lls_jscan_string(lls_jscan_t *s, lls_buf_t *out)
{
    out->len = 0;
    return string(s, out);
}

/* ---- Numbers --------------------------------------------------------------------------------- */

static bool is_digit(const lls_jscan_t *s)
{
    return s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9';
}

bool lls_jscan_integer(lls_jscan_t *s, int64_t *out)
{
    bool     minus = lls_jscan_peek(s) == '-';
    uint64_t v = 0;

    s->at += minus;
    if (!is_digit(s))
        return false;
    for (; is_digit(s); s->at++)
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s->text[s->at] - '0'), &v) || v > INT64_MAX)
            return false;
    if (s->at < s->len && (s->text[s->at] == '.' || (s->text[s->at] | 32) == 'e'))
        return false;
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

/* The digits at the scan behind those of *v; *exponent counts those that are left out, and with
 * `fraction` those that are taken, down. */
static void digits(lls_jscan_t *s, uint64_t *v, int64_t *exponent, bool fraction)
{
    bool full = false;

    for (; is_digit(s); s->at++) {
        uint64_t d = (uint64_t)(s->text[s->at] - '0');

        full = full || *v > (UINT64_MAX - d) / 10;
        if (!full)
            *v = *v * 10 + d;
        *exponent += full ? !fraction : fraction ? -1 : 0;
    }
}

/* What serde_json does: the digits as an integer, divided by or times a power of ten. */
static bool scale(double v, int64_t exponent, double *out)
{
    for (; exponent < -308 && v != 0; exponent += 308)
        v /= 1e308;
    if (v == 0)
        exponent = 0;
    if (exponent > 308)
        return false;
    /* 1e0 to 1e308 as the C library reads them, correctly rounded. */
    if (exponent != 0) {
        char   text[8];
        size_t n = 0;
        int    e = (int)(exponent < 0 ? -exponent : exponent);

        text[n++] = '1';
        text[n++] = 'e';
        if (e >= 100)
            text[n++] = (char)('0' + e / 100);
        if (e >= 10)
            text[n++] = (char)('0' + e / 10 % 10);
        text[n++] = (char)('0' + e % 10);
        text[n] = '\0';
        v = exponent < 0 ? v / strtod(text, NULL) : v * strtod(text, NULL);
    }
    *out = v;
    return isfinite(v);
}

bool lls_jscan_double(lls_jscan_t *s, double *out)
{
    bool     minus = lls_jscan_peek(s) == '-', down = false;
    uint64_t v = 0;
    int64_t  exponent = 0, written = 0;

    s->at += minus;
    if (!is_digit(s))
        return false;
    digits(s, &v, &exponent, false);
    if (s->at < s->len && s->text[s->at] == '.') {
        s->at++;
        if (!is_digit(s))
            return false;
        digits(s, &v, &exponent, true);
    }
    if (s->at < s->len && (s->text[s->at] | 32) == 'e') {
        s->at++;
        down = s->at < s->len && s->text[s->at] == '-';
        s->at += down || (s->at < s->len && s->text[s->at] == '+');
        if (!is_digit(s))
            return false;
        for (; is_digit(s); s->at++)
            written = written < 100000 ? written * 10 + (s->text[s->at] - '0') : written;
    }
    if (!scale((double)v, exponent + (down ? -written : written), out))
        return false;
    *out = minus ? -*out : *out;
    return true;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool skip_plain(lls_jscan_t *s)          /* a number, true, false, null */
{
    size_t begin = s->at;

    while (s->at < s->len && (is_digit(s) || strchr("+-.", s->text[s->at]) != NULL ||
                              (s->text[s->at] | 32) >= 'a') && (s->text[s->at] | 32) <= 'z' &&
           s->text[s->at] != '\0')
        s->at++;
    return s->at != begin;
}

bool lls_jscan_skip(lls_jscan_t *s)
{
    uint64_t n;

    return lls_jscan_count(s, &n);
}

bool lls_jscan_count(lls_jscan_t *s, uint64_t *n)
{
    uint32_t depth = 0;
    bool     any = false;

    *n = 0;
    do {
        char c = lls_jscan_peek(s);

        any = any || (depth == 1 && c != '}' && c != ']');
        if (c == '{' || c == '[') {
            s->at++;
            if (++depth > LLS_JSCAN_MAX_DEPTH)
                return false;
        } else if (depth != 0 && (c == '}' || c == ']')) {
            s->at++;
            depth--;
        } else if (depth != 0 && (c == ',' || c == ':')) {
            *n += depth == 1 && c == ',';
            s->at++;
        } else if (c == '"' ? !string(s, NULL) : !skip_plain(s)) {
            return false;
        }
    } while (depth != 0);
    *n += any;
    return true;
}

bool lls_jscan_next(lls_jscan_t *s, char open, bool *first, lls_buf_t *key, bool *end)
{
    char close = open == '{' ? '}' : ']';

    *end = false;
    if (*first && !lls_jscan_take(s, open))
        return false;
    if (lls_jscan_peek(s) == close) {
        s->at++;
        *end = true;
        return false;
    }
    if (!*first && !lls_jscan_take(s, ','))
        return false;
    *first = false;
    if (open == '[')
        return lls_jscan_peek(s) != close;
    return lls_jscan_string(s, key) && lls_jscan_take(s, ':');
}
