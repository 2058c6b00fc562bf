/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters for web pages: striptags, urlencode, urlize, xmlattr.
 */
#include "text/jinja_filter.h"

#include "base/utf8.h"
#include "text/jinja_case.h"

typedef struct pieces { /* of a text */
    lls_jrun_t *r;
    lls_jval_t  list;
    size_t      cap;
} pieces_t;

static pieces_t pieces_of(lls_jrun_t *r) { return (pieces_t){r, lls_jlist(r, JV_LIST, 0), 0}; }

static void put(pieces_t *p, lls_jval_t v)
{
    if (p->r->st == LLM_OK)
        lls_jpush(p->r, p->list.u.list, &p->cap, v);
}

static void put_c(pieces_t *p, const char *text) { put(p, lls_jcstr(p->r, text)); }

static void put_part(pieces_t *p, const lls_jstr_t *s, size_t from, size_t to)
{
    if (to > from)
        put(p, lls_jsubstr(p->r, s, from, to - from));
}

/* The text, no Markup. */
static lls_jval_t joined(pieces_t *p)
{
    static const lls_jstr_t nothing = {.text = ""};
    lls_jval_t out = p->r->st == LLM_OK ? lls_jjoin(p->r, p->list, &nothing, true) : p->list;

    return p->r->st == LLM_OK ? lls_jmark_safe(p->r, out.u.str, false) : lls_jmissing();
}

/* ---- urlencode ------------------------------------------------------------------------------- */

static void put_quoted(pieces_t *p, lls_jval_t v, bool query)
{
    const lls_jstr_t *s = p->r->st == LLM_OK ? lls_jstr(p->r, v) : NULL;
    size_t            from = 0;

    if (s == NULL || !lls_jcharge(p->r, s->len / 16))
        return;
    for (size_t i = 0; i < s->len && p->r->st == LLM_OK; i++) {
        uint8_t c = (uint8_t)s->text[i];
        char   *code;

        if (c < 0x80 && ((lls_jclass_of(c) & LLS_JALNUM) != 0 || memchr("_.-~", c, 4) != NULL ||
                         (c == '/' && !query)))
            continue;
        put_part(p, s, from, i);
        from = i + 1;
        code = c == ' ' && query ? NULL : lls_jalloc(p->r, 3);
        if (code == NULL) {
            put_c(p, "+");
            continue;
        }
        code[0] = '%';
        code[1] = "0123456789ABCDEF"[c >> 4];
        code[2] = "0123456789ABCDEF"[c & 15];
        put(p, lls_jstring(p->r, code, 3, s->user));
    }
    put_part(p, s, from, s->len);
}

FILTER_OF(lls_jf_urlencode)
{
    pieces_t   p = pieces_of(r);
    lls_jval_t items = self;

    UNUSED;
    if (self.type == JV_STRING || (!lls_jiterable(self) && self.type != JV_UNDEFINED)) {
        put_quoted(&p, self, false);
        return joined(&p);
    }
    if (self.type == JV_DICT)
        items = (lls_jval_t){.type = JV_VIEW, .sub = JVIEW_ITEMS, .u.dict = self.u.dict};
    items = lls_jlist_of(r, items);
    for (size_t i = 0; r->st == LLM_OK && i < items.u.list->n; i++) {
        lls_jval_t pair = lls_jlist_of(r, items.u.list->items[i]);

        if (r->st == LLM_OK && pair.u.list->n != 2)
            lls_jraise(r, LLM_ERR_INVALID, "urlencode needs pairs");
        if (r->st != LLM_OK)
            break;
        put_c(&p, i != 0 ? "&" : "");
        put_quoted(&p, pair.u.list->items[0], true);
        put_c(&p, "=");
        put_quoted(&p, pair.u.list->items[1], true);
    }
    return joined(&p);
}

/* ---- xmlattr --------------------------------------------------------------------------------- */

FILTER_OF(lls_jf_xmlattr)
{
    pieces_t p = pieces_of(r);
    bool     space = lls_jflag(a[0], true);

    UNUSED;
    if (self.type != JV_DICT)
        return lls_jraise(r, LLM_ERR_INVALID, "xmlattr needs a mapping, not %s",
                          lls_jtype_name(self));
    for (size_t i = 0; r->st == LLM_OK && i < self.u.dict->n; i++) {
        lls_jval_t key = self.u.dict->keys[i], value = self.u.dict->values[i];

        if (value.type == JV_NONE || value.type == JV_UNDEFINED)
            continue;
        if (key.type != JV_STRING)
            return lls_jraise(r, LLM_ERR_INVALID, "the name of an attribute must be a string");
        for (size_t k = 0; k < key.u.str->len; k++)
            if (memchr(" \t\n\r\f\v/>=", key.u.str->text[k], 9) != NULL)
                return lls_jraise(r, LLM_ERR_INVALID, "a wrong name of an attribute");
        put_c(&p, p.list.u.list->n != 0 || space ? " " : "");
        put(&p, lls_jescape(r, key));
        put_c(&p, "=\"");
        put(&p, lls_jescape(r, value));
        put_c(&p, "\"");
    }
    return joined(&p);
}

/* ---- striptags ------------------------------------------------------------------------------- */

/* The character that a reference to `cp` means in HTML; 0 = none. */
static uint32_t meant_by(uint32_t cp)
{
    static const uint16_t windows[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};

    if (cp >= 0x80 && cp < 0xa0)
        return windows[cp - 0x80];
    if (cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        return 0xfffd;
    if ((cp < 0x20 && cp != '\t' && cp != '\n' && cp != '\f' && cp != '\r') || cp == 0x7f ||
        (cp >= 0xfdd0 && cp <= 0xfdef) || (cp & 0xfffe) == 0xfffe)
        return 0;
    return cp;
}

/* The end of the reference by number at i, its character put; i if there is none. */
static size_t numeric_reference(pieces_t *p, const lls_jstr_t *s, size_t i)
{
    bool     hex = i + 2 < s->len && (s->text[i + 2] | 32) == 'x';
    size_t   at = i + 2 + hex, first = at;
    uint32_t cp = 0;
    char    *text;

    for (; at < s->len; at++) {
        char c = s->text[at], low = (char)(c | 32);
        int  digit = c >= '0' && c <= '9'              ? c - '0'
                     : hex && low >= 'a' && low <= 'f' ? low - 'a' + 10
                                                       : -1;

        if (digit < 0)
            break;
        cp = cp > 0x110000 ? cp : cp * (hex ? 16 : 10) + (uint32_t)digit;
    }
    if (at == first)
        return i;
    at += at < s->len && s->text[at] == ';';
    cp = meant_by(cp);
    text = lls_jalloc(p->r, 4);
    if (text != NULL && cp != 0)
        put(p, lls_jstring(p->r, text, lls_utf8_encode(cp, text), s->user));
    return at;
}

static const char *entity(const char *name, size_t len)
{
    size_t low = 0, high = lls_jentities_n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        int    order = strncmp(lls_jentities[mid].name, name, len);

        if (order == 0 && lls_jentities[mid].name[len] == '\0')
            return lls_jentities[mid].to;
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

/* The same for a name, or the longest start of it that is one. */
static size_t named_reference(pieces_t *p, const lls_jstr_t *s, size_t i)
{
    size_t begin = i + 1, at = begin;

    for (size_t n = 0; n < 32 && at < s->len && memchr("\t\n\f <&#;", s->text[at], 9) == NULL; n++)
        at += lls_jchar_offset(&(lls_jstr_t){.text = s->text + at, .len = s->len - at}, 1);
    if (at > begin && at < s->len && s->text[at] == ';')
        at++;
    for (; at > begin + 1; at--) {
        const char *to = entity(s->text + begin, at - begin);

        if (to != NULL) {
            put_c(p, to);
            return at;
        }
    }
    return i;
}

static lls_jval_t unescaped(lls_jrun_t *r, const lls_jstr_t *s)
{
    pieces_t p = pieces_of(r);
    size_t   from = 0;

    for (size_t i = 0; i < s->len && r->st == LLM_OK && lls_jcharge(r, 1);) {
        const char *amp = memchr(s->text + i, '&', s->len - i);
        size_t      at = amp != NULL ? (size_t)(amp - s->text) : s->len, end = at;

        if (amp == NULL)
            break;
        put_part(&p, s, from, at);
        end = at + 1 < s->len && s->text[at + 1] == '#' ? numeric_reference(&p, s, at)
                                                        : named_reference(&p, s, at);
        from = end;
        i = end > at ? end : at + 1;
    }
    put_part(&p, s, from, s->len);
    return joined(&p);
}

/* Whether a tag or comment begins at i; *end is behind it, s->len + 1 if it has no end. */
static void end_of_tag(const lls_jstr_t *s, size_t i, size_t *end)
{
    bool        comment = s->len - i >= 4 && memcmp(s->text + i, "<!--", 4) == 0;
    size_t      from = i + (comment ? 4 : 0);
    const char *p = comment ? memmem(s->text + from, s->len - from, "-->", 3)
                            : memchr(s->text + from, '>', s->len - from);

    *end = p != NULL ? (size_t)(p - s->text) + (comment ? 3 : 1) : s->len + 1;
}

FILTER_OF(lls_jf_striptags)
{
    const lls_jstr_t *s = lls_jstr(r, self);
    pieces_t          p = pieces_of(r), words = pieces_of(r);
    size_t            from = 0, end;
    lls_jval_t        text;

    UNUSED;
    while (r->st == LLM_OK && from < s->len && lls_jcharge(r, 1)) {
        const char *open = memchr(s->text + from, '<', s->len - from);

        end = s->len + 1;
        if (open != NULL)
            end_of_tag(s, (size_t)(open - s->text), &end);
        put_part(&p, s, from, end <= s->len ? (size_t)(open - s->text) : s->len);
        from = end;
    }
    text = joined(&p);
    for (size_t i = 0, n; r->st == LLM_OK && i < text.u.str->len;) {
        const lls_jstr_t *t = text.u.str;

        if ((n = lls_jinja_blank(t->text + i, t->len - i)) != 0) {
            i += n;
            continue;
        }
        for (end = i; end < t->len && lls_jinja_blank(t->text + end, t->len - end) == 0;)
            end++;
        put_c(&words, words.list.u.list->n != 0 ? " " : "");
        put_part(&words, t, i, end);
        i = end;
    }
    text = joined(&words);
    return r->st == LLM_OK ? unescaped(r, text.u.str) : lls_jmissing();
}
