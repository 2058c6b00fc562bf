/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What can be done with a string, counted in characters where Python counts them.
 */
#include "text/jinja_val.h"

#include "base/utf8.h"

/* ---- Strip, pad ------------------------------------------------------------------------------ */

static bool stripped(const lls_jstr_t *set, const char *p, size_t n)
{
    if (set == NULL)
        return lls_jinja_blank(p, n) == n;
    for (size_t i = 0, len; i < set->len; i += len) {
        lls_jstr_t rest = {.text = set->text + i, .len = set->len - i};

        len = lls_jchar_offset(&rest, 1);
        if (len == n && memcmp(set->text + i, p, n) == 0)
            return true;
    }
    return false;
}

lls_jval_t lls_jstrip(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *set, bool left,
                      bool right)
{
    size_t begin = 0, end = s->len;

    if (!lls_jcharge(r, s->len / 1024))
        return lls_jmissing();
    while (left && begin < end) {
        lls_jstr_t rest = {.text = s->text + begin, .len = end - begin};
        size_t     n = lls_jchar_offset(&rest, 1);

        if (!stripped(set, s->text + begin, n))
            break;
        begin += n;
    }
    while (right && end > begin) {
        size_t at = end;

        do
            at--;
        while (at > begin && ((uint8_t)s->text[at] & 0xc0) == 0x80);
        if (!stripped(set, s->text + at, end - at))
            break;
        end = at;
    }
    return lls_jsubstr(r, s, begin, end - begin);
}

static lls_jval_t fill_of(lls_jrun_t *r, size_t n, char fill)
{
    char *text = n <= LLS_JINJA_ARENA ? lls_jalloc(r, n) : NULL;

    if (text == NULL)
        return lls_jraise(r, LLM_ERR_INVALID, "more than 256 MiB are needed");
    memset(text, fill, n);
    return lls_jstring(r, text, n, false);
}

lls_jval_t lls_jblanks(lls_jrun_t *r, int64_t n)
{
    return fill_of(r, n > 0 ? (size_t)n : 0, ' ');
}

/* align < 0 left, 0 centre, > 0 right */
lls_jval_t lls_jpad(lls_jrun_t *r, const lls_jstr_t *s, int64_t width, char fill, int align)
{
    int64_t           more = width - (int64_t)lls_jchars(s->text, s->len), left;
    const lls_jstr_t *parts[3];
    lls_jval_t        a, b, out;

    if (more <= 0)
        return lls_jstrval(s);
    left = align < 0 ? 0 : align > 0 ? more : more / 2 + (more & width & 1);
    a = fill_of(r, (size_t)left, fill);
    b = r->st == LLM_OK ? fill_of(r, (size_t)(more - left), fill) : a;
    if (r->st != LLM_OK)
        return lls_jmissing();
    parts[0] = a.u.str;
    parts[1] = s;
    parts[2] = b.u.str;
    out = lls_jconcat(r, parts, 3);
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, s->safe) : out;
}

/* ---- Replace, join, lines -------------------------------------------------------------------- */

/* An empty string is found before each character and at the end. */
static lls_jval_t interleave(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *to, int64_t max)
{
    size_t             chars = lls_jchars(s->text, s->len), n = 0, at = 0;
    const lls_jstr_t **parts = lls_jalloc(r, (2 * chars + 2) * sizeof *parts);

    for (size_t i = 0; parts != NULL && i <= chars && lls_jcharge(r, 1); i++) {
        lls_jstr_t rest = {.text = s->text + at, .len = s->len - at};
        size_t     len = i < chars ? lls_jchar_offset(&rest, 1) : 0;
        lls_jval_t piece;

        if (max < 0 || (int64_t)i < max)
            parts[n++] = to;
        else
            len = s->len - at;
        piece = lls_jsubstr(r, s, at, len);
        if (r->st != LLM_OK)
            break;
        parts[n++] = piece.u.str;
        at += len;
        if (max >= 0 && (int64_t)i >= max)
            break;
    }
    return r->st == LLM_OK ? lls_jconcat(r, parts, n) : lls_jmissing();
}

static size_t count_of(const lls_jstr_t *s, const lls_jstr_t *what, int64_t max)
{
    const char *p = s->text, *end = s->text + s->len;
    size_t      n = 0;

    while ((max < 0 || (int64_t)n < max) &&
           (p = memmem(p, (size_t)(end - p), what->text, what->len)) != NULL) {
        p += what->len;
        n++;
    }
    return n;
}

static lls_jval_t replace_plain(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *from,
                                const lls_jstr_t *to, int64_t max)
{
    size_t             count, n = 0, at = 0;
    const lls_jstr_t **parts;

    if (from->len == 0)
        return interleave(r, s, to, max);
    count = count_of(s, from, max);
    if (count == 0)
        return lls_jstrval(s);
    parts = lls_jalloc(r, (2 * count + 1) * sizeof *parts);
    for (size_t i = 0; parts != NULL && i <= count; i++) {
        const char *p = i < count ? memmem(s->text + at, s->len - at, from->text, from->len) : NULL;
        size_t      end = p != NULL ? (size_t)(p - s->text) : s->len;
        lls_jval_t  piece = lls_jsubstr(r, s, at, end - at);

        if (r->st != LLM_OK)
            return lls_jmissing();
        parts[n++] = piece.u.str;
        if (p != NULL)
            parts[n++] = to;
        at = end + from->len;
    }
    return parts != NULL ? lls_jconcat(r, parts, n) : lls_jmissing();
}

lls_jval_t lls_jreplace(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *from,
                        const lls_jstr_t *to, int64_t max)
{
    lls_jval_t out =
        lls_jcharge(r, s->len / 1024) ? replace_plain(r, s, from, to, max) : lls_jmissing();

    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, s->safe) : out;
}

lls_jval_t lls_jjoin(lls_jrun_t *r, lls_jval_t v, const lls_jstr_t *sep, bool as_text)
{
    lls_jval_t         list = lls_jlist_of(r, v);
    const lls_jstr_t **parts = NULL;
    size_t             n = 0;

    if (r->st == LLM_OK)
        parts = lls_jalloc(r, (list.u.list->n * 2 + 1) * sizeof *parts);
    for (size_t i = 0; r->st == LLM_OK && i < list.u.list->n; i++) {
        lls_jval_t        item = list.u.list->items[i];
        const lls_jstr_t *text;

        if (!as_text && item.type != JV_STRING && !sep->safe)
            lls_jraise(r, LLM_ERR_INVALID, "join needs strings, not %s", lls_jtype_name(item));
        if (r->st == LLM_OK && !as_text && sep->safe)
            item = lls_jescape(r, item);
        text = r->st == LLM_OK ? lls_jstr(r, item) : NULL;
        if (text == NULL)
            break;
        if (i != 0)
            parts[n++] = sep;
        parts[n++] = text;
    }
    return r->st == LLM_OK ? lls_jconcat(r, parts, n) : lls_jmissing();
}

/* Bytes of the line break at p: what str.splitlines() takes for one. */
static size_t line_break(const char *p, size_t len)
{
    uint32_t cp = 0;
    size_t   n = lls_utf8_decode(p, len, &cp);

    if (cp == '\r' && len > 1 && p[1] == '\n')
        return 2;
    return (cp >= 0x0a && cp <= 0x0d) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 ||
                   cp == 0x2029
               ? n
               : 0;
}

lls_jval_t lls_jsplitlines(lls_jrun_t *r, const lls_jstr_t *s, bool keep)
{
    lls_jval_t out = lls_jlist(r, JV_LIST, 0);
    size_t     cap = 0, from = 0;

    lls_jcharge(r, s->len / 256);
    for (size_t at = 0; r->st == LLM_OK && at < s->len;) {
        size_t n = line_break(s->text + at, s->len - at);

        if (n == 0) {
            at++;
            continue;
        }
        lls_jpush(r, out.u.list, &cap, lls_jsubstr(r, s, from, at - from + (keep ? n : 0)));
        at += n;
        from = at;
    }
    if (r->st == LLM_OK && from < s->len)
        lls_jpush(r, out.u.list, &cap, lls_jsubstr(r, s, from, s->len - from));
    return out;
}
