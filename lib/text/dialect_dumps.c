/* SPDX-License-Identifier: Apache-2.0 */
/* json.dumps(json.loads(text), ensure_ascii=False) without building the value. */
#include "text/dialect_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "text/jinja_val.h"

typedef struct norm {
    const char *s, *end;
    lls_buf_t  *out;
} norm_t;

static bool value(norm_t *w, uint32_t depth);

static void blanks(norm_t *w)
{
    while (w->s < w->end && lls_dp_is_blank(*w->s))
        w->s++;
}

static bool take(norm_t *w, char c)
{
    blanks(w);
    if (w->s == w->end || *w->s != c)
        return false;
    w->s++;
    return true;
}

static bool hex4(const char *s, const char *end, uint32_t *cp)
{
    *cp = 0;
    for (int i = 0; i < 4; i++, s++) {
        char c = s < end ? *s : 'x';
        int  d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f'
                                                      ? (c | 32) - 'a' + 10 : -1;

        if (d < 0)
            return false;
        *cp = *cp << 4 | (uint32_t)d;
    }
    return true;
}

static bool put_char(lls_buf_t *out, uint32_t cp)
{
    static const char names[] = "btn\0fr";
    char              text[8];
    int               n;

    if (cp == '"' || cp == '\\')
        n = snprintf(text, sizeof text, "\\%c", (char)cp);
    else if (cp >= 8 && cp <= 13 && cp != 11)
        n = snprintf(text, sizeof text, "\\%c", names[cp - 8]);
    else if (cp < 0x20 || (cp >= 0xd800 && cp < 0xe000))    /* half a pair has no UTF-8 */
        n = snprintf(text, sizeof text, "\\u%04x", cp);
    else
        n = (int)lls_utf8_encode(cp, text);
    return lls_buf_put(out, text, (size_t)n);
}

/* Behind a backslash. */
static bool escape(norm_t *w)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char       *at;
    uint32_t          cp, low;

    if (w->s == w->end)
        return false;
    if (*w->s != 'u') {
        at = *w->s == '\0' ? NULL : strchr(from, *w->s);
        w->s++;
        return at != NULL && put_char(w->out, (unsigned char)to[at - from]);
    }
    if (!hex4(w->s + 1, w->end, &cp))
        return false;
    w->s += 5;
    if (cp >= 0xd800 && cp < 0xdc00 && w->end - w->s >= 6 && w->s[0] == '\\' && w->s[1] == 'u' &&
        hex4(w->s + 2, w->end, &low) && low >= 0xdc00 && low < 0xe000) {
        w->s += 6;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    }
    return put_char(w->out, cp);
}

static bool string(norm_t *w)
{
    if (!take(w, '"') || !lls_buf_put(w->out, "\"", 1))
        return false;
    while (w->s < w->end && *w->s != '"') {
        const char *from = w->s;

        while (w->s < w->end && (unsigned char)*w->s >= 0x20 && *w->s != '"' && *w->s != '\\')
            w->s++;
        if (!lls_buf_put(w->out, from, (size_t)(w->s - from)))
            return false;
        if (w->s == w->end || (unsigned char)*w->s < 0x20)
            return false;
        if (*w->s == '\\') {
            w->s++;
            if (!escape(w))
                return false;
        }
    }
    return take(w, '"') && lls_buf_put(w->out, "\"", 1);
}

static size_t digits(norm_t *w)
{
    const char *from = w->s;

    while (w->s < w->end && *w->s >= '0' && *w->s <= '9')
        w->s++;
    return (size_t)(w->s - from);
}

static bool number(norm_t *w)
{
    const char *from = w->s;
    char        copy[400], text[40];
    bool        real = false;
    size_t      n;

    if (w->s < w->end && *w->s == '-')
        w->s++;
    n = w->s < w->end && *w->s == '0' ? (w->s++, 1) : digits(w);
    if (n == 0)
        return false;
    if (w->s < w->end && *w->s == '.') {
        real = true;
        w->s++;
        if (digits(w) == 0)
            return false;
    }
    if (w->s < w->end && (*w->s | 32) == 'e') {
        real = true;
        w->s++;
        if (w->s < w->end && (*w->s == '+' || *w->s == '-'))
            w->s++;
        if (digits(w) == 0)
            return false;
    }
    n = (size_t)(w->s - from);
    if (!real)
        return n == 2 && memcmp(from, "-0", 2) == 0 ? lls_buf_put(w->out, "0", 1)
                                                    : lls_buf_put(w->out, from, n);
    if (n >= sizeof copy)
        return false;
    memcpy(copy, from, n);
    copy[n] = '\0';
    if (isinf(strtod(copy, NULL)))
        return false;               /* Python has a word for it, JSON has none */
    lls_jfloat_text(strtod(copy, NULL), text);
    return lls_buf_put(w->out, text, strlen(text));
}

static bool word(norm_t *w, const char *name)
{
    size_t n = strlen(name);

    if ((size_t)(w->end - w->s) < n || memcmp(w->s, name, n) != 0)
        return false;
    w->s += n;
    return lls_buf_put(w->out, name, n);
}

static bool items(norm_t *w, char open, char close, uint32_t depth)
{
    bool first = true;

    if (depth >= DP_MAX_DEPTH || !take(w, open) || !lls_buf_put(w->out, &open, 1))
        return false;
    for (;; first = false) {
        if (take(w, close))
            break;
        if (!first && (!take(w, ',') || !lls_buf_put(w->out, ", ", 2)))
            return false;
        if (open == '{' && (!string(w) || !take(w, ':') || !lls_buf_put(w->out, ": ", 2)))
            return false;
        if (!value(w, depth + 1))
            return false;
    }
    return lls_buf_put(w->out, &close, 1);
}

static bool value(norm_t *w, uint32_t depth)
{
    blanks(w);
    if (w->s == w->end)
        return false;
    switch (*w->s) {
    case '{': return items(w, '{', '}', depth);
    case '[': return items(w, '[', ']', depth);
    case '"': return string(w);
    case 't': return word(w, "true");
    case 'f': return word(w, "false");
    case 'n': return word(w, "null");
    default:  return number(w);
    }
}

bool lls_dp_normalize(lls_buf_t *out, const char *text, size_t n)
{
    norm_t w = { text, text, out };

    if (n == 0)                     /* text may be NULL */
        return false;
    w.end += n;
    if (!value(&w, 0))
        return false;
    blanks(&w);
    return w.s == w.end;
}
