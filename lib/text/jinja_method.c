/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The methods of strings, lists, tuples, dictionaries, ranges and cyclers: one table a type.  What
 * would change a list or dictionary is there with the mark UNSAFE and cannot be had.
 */
#include "text/jinja_val.h"

#include "base/utf8.h"
#include "text/jinja_case.h"

enum { UNSAFE = 255 }; /* code of what the sandbox forbids */

#define METHOD(name)                                                                               \
    static lls_jval_t name(lls_jrun_t *r, const lls_jfunc_t *f, lls_jval_t self,                   \
                           const lls_jval_t *a, const lls_jargs_t *args)
#define UNUSED (void)f, (void)self, (void)a, (void)args

/* Results of methods of Markup are Markup. */
static lls_jval_t like(lls_jrun_t *r, lls_jval_t self, lls_jval_t v)
{
    return r->st == LLM_OK && v.type == JV_STRING ? lls_jmark_safe(r, v.u.str, self.u.str->safe)
                                                  : v;
}

static lls_jval_t list_like(lls_jrun_t *r, lls_jval_t self, lls_jval_t v)
{
    for (size_t i = 0; r->st == LLM_OK && i < v.u.list->n; i++)
        v.u.list->items[i] = like(r, self, v.u.list->items[i]);
    return v;
}

static const lls_jstr_t *need_str(lls_jrun_t *r, lls_jval_t v)
{
    const lls_jstr_t *s = lls_jstr_arg(r, v);

    if (s == NULL)
        lls_jraise(r, LLM_ERR_INVALID, "a string is needed here");
    return s;
}

/* ---- Strings: whole -------------------------------------------------------------------------- */

enum { STRIP_BOTH, STRIP_LEFT, STRIP_RIGHT };

METHOD(s_strip)
{
    const lls_jstr_t *set = lls_jstr_arg(r, a[0]);

    UNUSED;
    return r->st == LLM_OK
               ? lls_jstrip(r, self.u.str, set, f->code != STRIP_RIGHT, f->code != STRIP_LEFT)
               : lls_jmissing();
}

METHOD(s_case)
{
    UNUSED;
    return lls_jcased(r, self.u.str, (enum lls_jcase)f->code);
}

METHOD(s_replace)
{
    const lls_jstr_t *from = need_str(r, a[0]), *to = need_str(r, a[1]);
    lls_jval_t        value = a[1];

    UNUSED;
    if (r->st == LLM_OK && self.u.str->safe) {
        value = lls_jescape(r, a[1]);
        to = value.u.str;
    }
    return r->st == LLM_OK ? lls_jreplace(r, self.u.str, from, to, lls_jint_arg(r, a[2], -1))
                           : lls_jmissing();
}

METHOD(s_join)
{
    UNUSED;
    return like(r, self, lls_jjoin(r, a[0], self.u.str, false));
}

METHOD(s_pad)
{
    const lls_jstr_t *fill = lls_jstr_arg(r, a[1]);
    int64_t           width = lls_jint_arg(r, a[0], 0);

    UNUSED;
    if (r->st == LLM_OK && a[1].type != JV_MISSING && (fill == NULL || fill->len != 1))
        return lls_jraise(r,
                          fill == NULL || lls_jchars(fill->text, fill->len) != 1
                              ? LLM_ERR_INVALID
                              : LLM_ERR_UNSUPPORTED,
                          "the fill must be one character of ASCII");
    return r->st == LLM_OK ? lls_jpad(r, self.u.str, width, fill != NULL ? fill->text[0] : ' ',
                                      (int)f->code - 1)
                           : lls_jmissing();
}

METHOD(s_zfill)
{
    const lls_jstr_t *s = self.u.str;
    bool              sign = s->len != 0 && (s->text[0] == '-' || s->text[0] == '+');
    const lls_jstr_t *parts[2];
    lls_jval_t        head, tail;
    int64_t           width = lls_jint_arg(r, a[0], 0);

    UNUSED;
    head = lls_jsubstr(r, s, 0, sign);
    tail = lls_jsubstr(r, s, sign, s->len - sign);
    if (r->st == LLM_OK)
        tail = lls_jpad(r, tail.u.str, width > INT64_MIN ? width - sign : width, '0', 1);
    if (r->st != LLM_OK)
        return lls_jmissing();
    parts[0] = head.u.str;
    parts[1] = tail.u.str;
    return like(r, self, lls_jconcat(r, parts, 2));
}

METHOD(s_expandtabs)
{
    int64_t            size = lls_jint_arg(r, a[0], 8), column = 0;
    const lls_jstr_t  *s = self.u.str;
    const lls_jstr_t **parts = lls_jalloc(r, (s->len + 1) * sizeof *parts);
    size_t             n = 0;

    UNUSED;
    for (size_t at = 0, len; r->st == LLM_OK && at < s->len && lls_jcharge(r, 1); at += len) {
        lls_jstr_t rest = {.text = s->text + at, .len = s->len - at};
        lls_jval_t piece;
        char       c = s->text[at];

        len = lls_jchar_offset(&rest, 1);
        piece = lls_jsubstr(r, s, at, len);
        if (c == '\t' && size > 0)
            piece = lls_jblanks(r, size - column % size);
        if (r->st != LLM_OK)
            break;
        if (c == '\t' && size > 0)
            column += size - column % size;
        else
            column = c == '\n' || c == '\r' ? 0 : column + 1;
        if (c != '\t' || size > 0)
            parts[n++] = piece.u.str;
    }
    return r->st == LLM_OK ? like(r, self, lls_jconcat(r, parts, n)) : lls_jmissing();
}

static bool affix(const lls_jstr_t *s, const lls_jstr_t *what, bool end)
{
    return what->len <= s->len &&
           (what->len == 0 ||
            memcmp(s->text + (end ? s->len - what->len : 0), what->text, what->len) == 0);
}

METHOD(s_remove)
{
    const lls_jstr_t *s = self.u.str, *what = need_str(r, a[0]);

    UNUSED;
    if (what == NULL)
        return lls_jmissing();
    if (!affix(s, what, f->code != 0))
        return self;
    return lls_jsubstr(r, s, f->code != 0 ? 0 : what->len, s->len - what->len);
}

METHOD(s_format)
{
    UNUSED;
    return like(r, self, lls_jformat(r, self.u.str, args));
}

/* ---- Strings: looking for -------------------------------------------------------------------- */

/* The part that start and end leave; false if start is behind the end, where nothing is found. */
static bool window(lls_jrun_t *r, lls_jval_t self, const lls_jval_t *a, lls_jstr_t *out,
                   int64_t *start)
{
    const lls_jstr_t *s = self.u.str;
    int64_t           n = lls_jlength(self), from = 0, to = n;

    if (a[1].type != JV_MISSING && a[1].type != JV_NONE)
        from = lls_jint_arg(r, a[1], 0);
    if (a[2].type != JV_MISSING && a[2].type != JV_NONE)
        to = lls_jint_arg(r, a[2], n);
    from += from < 0 ? n : 0;
    to += to < 0 ? n : 0;
    from = from < 0 ? 0 : from;
    to = to < 0 ? 0 : to > n ? n : to;
    *start = from;
    *out = *s;
    if (from > to || r->st != LLM_OK || !lls_jcharge(r, s->len / 1024))
        return false;
    out->text = s->text + lls_jchar_offset(s, from);
    out->len = lls_jchar_offset(s, to) - (size_t)(out->text - s->text);
    return true;
}

/* A string or a tuple of them. */
METHOD(s_affix)
{
    lls_jstr_t part;
    int64_t    start;
    bool       end = f->code != 0, in = window(r, self, a, &part, &start);

    UNUSED;
    if (a[0].type == JV_TUPLE) {
        for (size_t i = 0; r->st == LLM_OK && i < a[0].u.list->n; i++) {
            const lls_jstr_t *what = need_str(r, a[0].u.list->items[i]);

            if (what != NULL && in && affix(&part, what, end))
                return lls_jbool(true);
        }
        return lls_jbool(false);
    }
    if (need_str(r, a[0]) == NULL)
        return lls_jmissing();
    return lls_jbool(in && affix(&part, a[0].u.str, end));
}

static const char *last_of(const lls_jstr_t *s, const lls_jstr_t *what)
{
    for (size_t i = s->len + 1; what->len <= s->len && i-- > 0;)
        if (i + what->len <= s->len && memcmp(s->text + i, what->text, what->len) == 0)
            return s->text + i;
    return NULL;
}

enum { FIND = 0, INDEX = 1, RIGHT = 2 };

METHOD(s_find)
{
    const lls_jstr_t *what = need_str(r, a[0]);
    lls_jstr_t        part;
    int64_t           start;
    const char       *p = NULL;

    UNUSED;
    if (what == NULL)
        return lls_jmissing();
    if (window(r, self, a, &part, &start)) {
        if (what->len == 0)
            p = f->code & RIGHT ? part.text + part.len : part.text;
        else
            p = f->code & RIGHT ? last_of(&part, what)
                                : memmem(part.text, part.len, what->text, what->len);
    }
    if (p == NULL && (f->code & INDEX))
        return lls_jraise(r, LLM_ERR_INVALID, "the substring is not there");
    return lls_jint(p == NULL ? -1
                              : start + (int64_t)lls_jchars(part.text, (size_t)(p - part.text)));
}

METHOD(s_count)
{
    const lls_jstr_t *what = need_str(r, a[0]);
    lls_jstr_t        part;
    int64_t           start, n = 0;
    const char       *p;

    UNUSED;
    if (what == NULL || !window(r, self, a, &part, &start))
        return r->st == LLM_OK ? lls_jint(0) : lls_jmissing();
    if (what->len == 0)
        return lls_jint((int64_t)lls_jchars(part.text, part.len) + 1);
    for (p = part.text; (p = memmem(p, part.len - (size_t)(p - part.text), what->text, what->len));
         p += what->len)
        n++;
    return lls_jint(n);
}

/* ---- Strings: splitting ---------------------------------------------------------------------- */

static size_t skip_blanks(const lls_jstr_t *s, size_t at)
{
    size_t n;

    while (at < s->len && (n = lls_jinja_blank(s->text + at, s->len - at)) != 0)
        at += n;
    return at;
}

static size_t skip_word(const lls_jstr_t *s, size_t at)
{
    while (at < s->len && lls_jinja_blank(s->text + at, s->len - at) == 0) {
        lls_jstr_t rest = {.text = s->text + at, .len = s->len - at};

        at += lls_jchar_offset(&rest, 1);
    }
    return at;
}

static void split_words(lls_jrun_t *r, const lls_jstr_t *s, int64_t max, lls_jlist_t *out)
{
    size_t     cap = 0, at = skip_blanks(s, 0), end;
    lls_jval_t rest;

    while (r->st == LLM_OK && at < s->len) {
        if (max >= 0 && (int64_t)out->n >= max) {
            rest = lls_jsubstr(r, s, at, s->len - at);
            if (r->st == LLM_OK)
                lls_jpush(r, out, &cap, lls_jstrip(r, rest.u.str, NULL, false, true));
            return;
        }
        end = skip_word(s, at);
        lls_jpush(r, out, &cap, lls_jsubstr(r, s, at, end - at));
        at = skip_blanks(s, end);
    }
}

static void split_at(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *sep, int64_t max,
                     lls_jlist_t *out)
{
    size_t cap = 0, at = 0;

    while (r->st == LLM_OK) {
        const char *p = max >= 0 && (int64_t)out->n >= max
                            ? NULL
                            : memmem(s->text + at, s->len - at, sep->text, sep->len);
        size_t      end = p != NULL ? (size_t)(p - s->text) : s->len;

        lls_jpush(r, out, &cap, lls_jsubstr(r, s, at, end - at));
        if (p == NULL)
            return;
        at = end + sep->len;
    }
}

/* From the right: the parts come last first and are turned around. */
static void split_right(lls_jrun_t *r, const lls_jstr_t *s, const lls_jstr_t *sep, int64_t max,
                        lls_jlist_t *out)
{
    lls_jstr_t part = *s;
    size_t     cap = 0;

    while (r->st == LLM_OK) {
        const char *p = max >= 0 && (int64_t)out->n >= max ? NULL : last_of(&part, sep);
        size_t      from = p != NULL ? (size_t)(p - part.text) + sep->len : 0;

        lls_jpush(r, out, &cap, lls_jsubstr(r, s, from, part.len - from));
        lls_jcharge(r, part.len / 1024);
        if (p == NULL)
            break;
        part.len = from - sep->len;
    }
    for (size_t i = 0; r->st == LLM_OK && i < out->n / 2; i++) {
        lls_jval_t v = out->items[i];

        out->items[i] = out->items[out->n - 1 - i];
        out->items[out->n - 1 - i] = v;
    }
}

/* The last `max` words, and what is before them. */
static void split_words_right(lls_jrun_t *r, const lls_jstr_t *s, int64_t max, lls_jlist_t *out)
{
    lls_jlist_t words = {0};
    lls_jval_t  rest;
    size_t      cap = 0, skip;
    const char *end;

    split_words(r, s, -1, &words);
    if (r->st != LLM_OK || max < 0 || (int64_t)words.n <= max) {
        *out = words;
        return;
    }
    skip = words.n - (size_t)max;
    end = words.items[skip - 1].u.str->text + words.items[skip - 1].u.str->len;
    rest = lls_jsubstr(r, s, 0, (size_t)(end - s->text));
    if (r->st == LLM_OK)
        lls_jpush(r, out, &cap, lls_jstrip(r, rest.u.str, NULL, false, false));
    for (size_t i = skip; r->st == LLM_OK && i < words.n; i++)
        lls_jpush(r, out, &cap, words.items[i]);
}

METHOD(s_split)
{
    const lls_jstr_t *sep = lls_jstr_arg(r, a[0]);
    int64_t           max = lls_jint_arg(r, a[1], -1);
    lls_jval_t        out = lls_jlist(r, JV_LIST, 0);

    UNUSED;
    if (r->st != LLM_OK || !lls_jcharge(r, self.u.str->len / 256))
        return lls_jmissing();
    if (sep != NULL && sep->len == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "empty separator");
    if (sep == NULL && f->code == RIGHT)
        split_words_right(r, self.u.str, max, out.u.list);
    else if (sep == NULL)
        split_words(r, self.u.str, max, out.u.list);
    else if (f->code == RIGHT)
        split_right(r, self.u.str, sep, max, out.u.list);
    else
        split_at(r, self.u.str, sep, max, out.u.list);
    return out;
}

METHOD(s_splitlines)
{
    UNUSED;
    return list_like(r, self, lls_jsplitlines(r, self.u.str, lls_jflag(a[0], false)));
}

METHOD(s_partition)
{
    const lls_jstr_t *s = self.u.str, *sep = need_str(r, a[0]);
    lls_jval_t        out = lls_jlist(r, JV_TUPLE, 3);
    const char       *p;
    size_t            at, n;

    UNUSED;
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (sep->len == 0)
        return lls_jraise(r, LLM_ERR_INVALID, "empty separator");
    p = f->code == RIGHT ? last_of(s, sep) : memmem(s->text, s->len, sep->text, sep->len);
    at = p != NULL ? (size_t)(p - s->text) : f->code == RIGHT ? 0 : s->len;
    n = p != NULL ? sep->len : 0;
    out.u.list->items[0] = lls_jsubstr(r, s, 0, at);
    out.u.list->items[1] = lls_jsubstr(r, s, at, n);
    out.u.list->items[2] = lls_jsubstr(r, s, at + n, s->len - at - n);
    return r->st == LLM_OK ? out : lls_jmissing();
}

/* ---- Strings: asking ------------------------------------------------------------------------- */

enum { IS_SPACE = 128, IS_ASCII, IS_IDENTIFIER }; /* beside the bits of lls_jclass_of() */

static bool is_kind(uint8_t kind, uint32_t cp, bool first)
{
    char text[4];

    switch (kind) {
    case IS_SPACE:
        return lls_jinja_blank(text, lls_utf8_encode(cp, text)) != 0;
    case IS_ASCII:
        return cp < 0x80;
    case IS_IDENTIFIER:
        return (lls_jclass_of(cp) & (first ? LLS_JNAME_START : LLS_JNAME)) != 0;
    default:
        return (lls_jclass_of(cp) & kind) != 0;
    }
}

METHOD(s_is)
{
    const lls_jstr_t *s = self.u.str;

    UNUSED;
    lls_jcharge(r, s->len / 256);
    for (size_t at = 0, n; r->st == LLM_OK && at < s->len; at += n) {
        uint32_t cp = 0xfffd;

        n = lls_utf8_decode(s->text + at, s->len - at, &cp);
        n = n == 0 ? 1 : n;
        if (!is_kind(f->code, cp, at == 0))
            return lls_jbool(false);
    }
    return lls_jbool(s->len != 0 || f->code == IS_ASCII || f->code == LLS_JPRINTABLE);
}

METHOD(s_is_case)
{
    UNUSED;
    return lls_jbool(lls_jhas_case(r, self.u.str, f->code != 0));
}

/* A title: every word begins with an upper letter and goes on with lower ones. */
METHOD(s_is_title)
{
    lls_jval_t title = lls_jcased(r, self.u.str, LLS_JTITLE), upper, lower;

    UNUSED;
    upper = r->st == LLM_OK ? lls_jcased(r, self.u.str, LLS_JUPPER) : title;
    lower = r->st == LLM_OK ? lls_jcased(r, self.u.str, LLS_JLOWER) : title;
    if (r->st != LLM_OK)
        return lls_jmissing();
    return lls_jbool(lls_jequal(r, title, self) && !lls_jequal(r, upper, lower));
}

/* ---- Lists, dictionaries, cyclers ------------------------------------------------------------ */

METHOD(l_count)
{
    int64_t n = 0;

    UNUSED;
    for (int64_t i = 0; i < lls_jlength(self) && r->st == LLM_OK; i++)
        n += lls_jequal(r, lls_jitem_at(r, self, (size_t)i), a[0]);
    return lls_jint(n);
}

METHOD(l_index)
{
    int64_t n = lls_jlength(self), from = lls_jint_arg(r, a[1], 0), to = lls_jint_arg(r, a[2], n);

    UNUSED;
    from = from < 0 ? (from + n < 0 ? 0 : from + n) : from;
    to = to < 0 ? to + n : to > n ? n : to;
    for (int64_t i = from; i < to && r->st == LLM_OK; i++)
        if (lls_jequal(r, lls_jitem_at(r, self, (size_t)i), a[0]))
            return lls_jint(i);
    return lls_jraise(r, LLM_ERR_INVALID, "the element is not in the list");
}

METHOD(l_copy)
{
    UNUSED;
    return lls_jlist_of(r, self);
}

METHOD(d_get)
{
    const lls_jval_t *v;

    UNUSED;
    if (!lls_jhashable(a[0]))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be a key", lls_jtype_name(a[0]));
    v = lls_jdict_get(r, self.u.dict, a[0]);
    if (v != NULL)
        return *v;
    return a[1].type != JV_MISSING ? a[1] : lls_jnone();
}

METHOD(d_view)
{
    (void)r;
    UNUSED;
    return (lls_jval_t){.type = JV_VIEW, .sub = f->code, .u.dict = self.u.dict};
}

METHOD(d_copy)
{
    lls_jval_t out = lls_jdict(r, self.u.dict->n);

    UNUSED;
    for (size_t i = 0; r->st == LLM_OK && i < self.u.dict->n; i++) {
        out.u.dict->keys[i] = self.u.dict->keys[i];
        out.u.dict->values[i] = self.u.dict->values[i];
        out.u.dict->n++;
    }
    return out;
}

METHOD(c_next)
{
    lls_jcycler_t *c = self.u.cycler;
    lls_jval_t     v = c->items[c->at];

    (void)r;
    UNUSED;
    c->at = (c->at + 1) % c->n;
    return v;
}

METHOD(c_reset)
{
    (void)r;
    UNUSED;
    self.u.cycler->at = 0;
    return lls_jnone();
}

METHOD(n_is_integer)
{
    (void)r;
    UNUSED;
    return lls_jbool(self.u.f == (double)(int64_t)self.u.f || self.u.f > 9e18 || self.u.f < -9e18);
}

/* ---- Tables ---------------------------------------------------------------------------------- */

static const lls_jfunc_t string_methods[] = {
    {"strip", "/chars", 0, STRIP_BOTH, s_strip},
    {"lstrip", "/chars", 0, STRIP_LEFT, s_strip},
    {"rstrip", "/chars", 0, STRIP_RIGHT, s_strip},
    {"upper", "", 0, LLS_JUPPER, s_case},
    {"lower", "", 0, LLS_JLOWER, s_case},
    {"title", "", 0, LLS_JTITLE, s_case},
    {"capitalize", "", 0, LLS_JCAPITALIZE, s_case},
    {"swapcase", "", 0, LLS_JSWAP, s_case},
    {"casefold", "", 0, LLS_JFOLD, s_case},
    {"split", "sep maxsplit", 0, 0, s_split},
    {"rsplit", "sep maxsplit", 0, RIGHT, s_split},
    {"splitlines", "keepends", 0, 0, s_splitlines},
    {"partition", "/sep", 1, 0, s_partition},
    {"rpartition", "/sep", 1, RIGHT, s_partition},
    {"replace", "/old /new /count", 2, 0, s_replace},
    {"join", "/iterable", 1, 0, s_join},
    {"startswith", "/prefix /start /end", 1, 0, s_affix},
    {"endswith", "/suffix /start /end", 1, 1, s_affix},
    {"find", "/sub /start /end", 1, FIND, s_find},
    {"rfind", "/sub /start /end", 1, FIND | RIGHT, s_find},
    {"index", "/sub /start /end", 1, INDEX, s_find},
    {"rindex", "/sub /start /end", 1, INDEX | RIGHT, s_find},
    {"count", "/sub /start /end", 1, 0, s_count},
    {"removeprefix", "/prefix", 1, 0, s_remove},
    {"removesuffix", "/suffix", 1, 1, s_remove},
    {"ljust", "/width /fillchar", 1, 0, s_pad},
    {"center", "/width /fillchar", 1, 1, s_pad},
    {"rjust", "/width /fillchar", 1, 2, s_pad},
    {"zfill", "/width", 1, 0, s_zfill},
    {"expandtabs", "tabsize", 0, 0, s_expandtabs},
    {"format", NULL, 0, 0, s_format},
    {"isalpha", "", 0, LLS_JALPHA, s_is},
    {"isalnum", "", 0, LLS_JALNUM, s_is},
    {"isdigit", "", 0, LLS_JDIGIT, s_is},
    {"isdecimal", "", 0, LLS_JDECIMAL, s_is},
    {"isnumeric", "", 0, LLS_JNUMERIC, s_is},
    {"isspace", "", 0, IS_SPACE, s_is},
    {"isascii", "", 0, IS_ASCII, s_is},
    {"isidentifier", "", 0, IS_IDENTIFIER, s_is},
    {"isupper", "", 0, 1, s_is_case},
    {"islower", "", 0, 0, s_is_case},
    {"istitle", "", 0, 0, s_is_title},
    {"encode", NULL, 0, 0, NULL},
    {"format_map", NULL, 0, 0, NULL},
    {"isprintable", "", 0, LLS_JPRINTABLE, s_is},
    {"maketrans", NULL, 0, 0, NULL},
    {"translate", NULL, 0, 0, NULL},
    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t list_methods[] = {
    {"count", "/value", 1, 0, l_count}, {"index", "/value /start /stop", 1, 0, l_index},
    {"copy", "", 0, 0, l_copy},         {"append", NULL, 0, UNSAFE, NULL},
    {"clear", NULL, 0, UNSAFE, NULL},   {"extend", NULL, 0, UNSAFE, NULL},
    {"insert", NULL, 0, UNSAFE, NULL},  {"pop", NULL, 0, UNSAFE, NULL},
    {"remove", NULL, 0, UNSAFE, NULL},  {"reverse", NULL, 0, UNSAFE, NULL},
    {"sort", NULL, 0, UNSAFE, NULL},    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t tuple_methods[] = {
    {"count", "/value", 1, 0, l_count},
    {"index", "/value /start /stop", 1, 0, l_index},
    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t dict_methods[] = {
    {"get", "/key /default", 1, 0, d_get},
    {"items", "", 0, JVIEW_ITEMS, d_view},
    {"keys", "", 0, JVIEW_KEYS, d_view},
    {"values", "", 0, JVIEW_VALUES, d_view},
    {"copy", "", 0, 0, d_copy},
    {"clear", NULL, 0, UNSAFE, NULL},
    {"pop", NULL, 0, UNSAFE, NULL},
    {"popitem", NULL, 0, UNSAFE, NULL},
    {"setdefault", NULL, 0, UNSAFE, NULL},
    {"update", NULL, 0, UNSAFE, NULL},
    {"fromkeys", NULL, 0, 0, NULL},
    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t cycler_methods[] = {
    {"next", "", 0, 0, c_next}, {"reset", "", 0, 0, c_reset}, {"items", NULL, 0, 0, NULL},
    {"pos", NULL, 0, 0, NULL},  {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t float_methods[] = {
    {"is_integer", "", 0, 0, n_is_integer},
    {"as_integer_ratio", NULL, 0, 0, NULL},
    {"conjugate", NULL, 0, 0, NULL},
    {"fromhex", NULL, 0, 0, NULL},
    {"hex", NULL, 0, 0, NULL},
    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t int_methods[] = {
    {"as_integer_ratio", NULL, 0, 0, NULL},
    {"bit_count", NULL, 0, 0, NULL},
    {"bit_length", NULL, 0, 0, NULL},
    {"conjugate", NULL, 0, 0, NULL},
    {"from_bytes", NULL, 0, 0, NULL},
    {"to_bytes", NULL, 0, 0, NULL},
    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t view_methods[] = {
    {"isdisjoint", NULL, 0, 0, NULL},
    {"mapping", NULL, 0, 0, NULL},
    {NULL, NULL, 0, 0, NULL},
};

static const lls_jfunc_t no_methods[] = {{NULL, NULL, 0, 0, NULL}};

static const lls_jfunc_t *methods_of(lls_jval_t v)
{
    switch (v.type) {
    case JV_STRING:
        return string_methods;
    case JV_LIST:
        return list_methods;
    case JV_TUPLE:
        return tuple_methods;
    case JV_RANGE:
        return tuple_methods;
    case JV_DICT:
        return dict_methods;
    case JV_VIEW:
        return view_methods;
    case JV_CYCLER:
        return cycler_methods;
    case JV_FLOAT:
        return float_methods;
    case JV_INT:
    case JV_BIG:
    case JV_BOOL:
        return int_methods;
    default:
        return no_methods;
    }
}

const lls_jfunc_t *lls_jfind_method(lls_jval_t v, const lls_jstr_t *name, bool *known)
{
    for (const lls_jfunc_t *f = methods_of(v); f->name != NULL; f++) {
        if (!lls_jstr_is(name, f->name))
            continue;
        *known = true;
        return f->fn == NULL && f->code == UNSAFE ? NULL : f;
    }
    return NULL;
}

bool lls_jmethod_exists(const lls_jstr_t *name)
{
    static const lls_jfunc_t *const all[] = {string_methods, list_methods, tuple_methods,
                                             dict_methods,   view_methods, cycler_methods,
                                             float_methods,  int_methods};

    for (size_t i = 0; i < LLS_ARRAY_LEN(all); i++)
        for (const lls_jfunc_t *f = all[i]; f->name != NULL; f++)
            if (lls_jstr_is(name, f->name))
                return true;
    return false;
}
