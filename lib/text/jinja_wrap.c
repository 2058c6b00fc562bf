/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filters wordwrap and pprint: texts broken into lines as Python's textwrap and pprint do it.
 */
#include "text/jinja_filter.h"

#include "base/utf8.h"
#include "text/jinja_case.h"

/* ---- Words ----------------------------------------------------------------------------------- */

typedef struct chars { /* the characters of a line */
    const lls_jstr_t *s;
    uint32_t         *cp;
    size_t           *at; /* byte offsets, one more than characters */
    size_t            n;
} chars_t;

static bool take_chars(lls_jrun_t *r, const lls_jstr_t *s, chars_t *c)
{
    size_t n = lls_jchars(s->text, s->len), at = 0;

    *c = (chars_t){s, lls_jalloc(r, n * sizeof *c->cp), lls_jalloc(r, (n + 1) * sizeof *c->at), n};
    if (r->st != LLM_OK || !lls_jcharge(r, n / 64))
        return false;
    for (size_t i = 0; i < n; i++) {
        c->at[i] = at;
        at += lls_utf8_decode(s->text + at, s->len - at, &c->cp[i]);
    }
    c->at[n] = at;
    return true;
}

static bool is_blank(const chars_t *c, size_t i)
{
    return c->cp[i] == ' ' || (c->cp[i] >= 9 && c->cp[i] <= 13);
}

static bool is_word(const chars_t *c, size_t i)
{
    return i < c->n && (c->cp[i] == '_' || (lls_jclass_of(c->cp[i]) & LLS_JALNUM) != 0);
}

static bool is_letter(const chars_t *c, size_t i)
{
    return is_word(c, i) && (lls_jclass_of(c->cp[i]) & LLS_JDECIMAL) == 0;
}

static bool is_dash(const chars_t *c, size_t i) { return i < c->n && c->cp[i] == '-'; }

static bool ends_word(const chars_t *c, size_t i) /* a character that may be before a dash */
{
    return is_word(c, i) || (c->cp[i] < 0x80 && memchr("!\"'&.,?", (int)c->cp[i], 7) != NULL);
}

/* The end of two dashes or more between words that begin at i; 0 if there are none. */
static size_t end_of_dashes(const chars_t *c, size_t i)
{
    size_t end = i;

    if (i == 0 || !ends_word(c, i - 1))
        return 0;
    while (is_dash(c, end))
        end++;
    return end - i >= 2 && is_word(c, end) ? end : 0;
}

/* Whether a word may be broken behind the hyphen at i. */
static bool is_hyphen(const chars_t *c, size_t i)
{
    bool before = (i >= 2 && is_letter(c, i - 1) && is_letter(c, i - 2)) ||
                  (i >= 3 && is_letter(c, i - 3) && is_dash(c, i - 2) && ends_word(c, i - 1));

    return is_dash(c, i) && before && is_letter(c, i + 1) &&
           (is_letter(c, i + 2) || (is_dash(c, i + 2) && is_letter(c, i + 3)));
}

/* The end of the piece that begins at i: blanks, dashes, or a word or part of one. */
static size_t end_of_chunk(const chars_t *c, size_t i, bool hyphens)
{
    size_t end = i;

    if (is_blank(c, i)) {
        while (end < c->n && is_blank(c, end))
            end++;
        return end;
    }
    if (hyphens && end_of_dashes(c, i) != 0)
        return end_of_dashes(c, i);
    for (end = i + 1; end < c->n && !is_blank(c, end); end++) {
        if (hyphens && is_hyphen(c, end))
            return end + 1;
        if (hyphens && end_of_dashes(c, end) != 0)
            return end;
    }
    return end;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

typedef struct wrapper {
    lls_jrun_t *r;
    chars_t     c;
    size_t      width;
    bool        break_words, hyphens;
    lls_jval_t  lines;
    size_t      cap;
} wrapper_t;

static bool all_blank(const wrapper_t *w, size_t from, size_t to)
{
    const lls_jstr_t *s = w->c.s;

    for (size_t i = from; i < to; i++)
        if (lls_jinja_blank(s->text + w->c.at[i], w->c.at[i + 1] - w->c.at[i]) == 0)
            return false;
    return true;
}

/* How much of a word that is longer than a line goes onto this one. */
static size_t broken(const wrapper_t *w, size_t from, size_t room)
{
    size_t at = from + room;

    while (w->hyphens && at > from + 1 && !is_dash(&w->c, at - 1))
        at--;
    for (size_t i = from; w->hyphens && i + 1 < at && is_dash(&w->c, at - 1); i++)
        if (!is_dash(&w->c, i))
            return at;
    return from + room;
}

/* One line from *at on. */
static void take_line(wrapper_t *w, size_t *at)
{
    const chars_t *c = &w->c;
    size_t         from, end, last, to;

    end = end_of_chunk(c, *at, w->hyphens);
    if (w->lines.u.list->n != 0 && all_blank(w, *at, end))
        *at = end;
    from = to = last = *at;
    while (to < c->n) {
        end = end_of_chunk(c, to, w->hyphens);
        if (end - from > w->width)
            break;
        last = to;
        to = end;
    }
    if (to < c->n && end - to > w->width && (w->break_words || to == from)) {
        last = to;
        to = w->break_words ? broken(w, to, w->width - (to - from)) : end;
    }
    *at = to;
    if (all_blank(w, last, to))
        to = last;
    if (to > from)
        lls_jpush(w->r, w->lines.u.list, &w->cap,
                  lls_jsubstr(w->r, c->s, c->at[from], c->at[to] - c->at[from]));
}

static lls_jval_t wrap(wrapper_t *w, const lls_jstr_t *line)
{
    w->lines = lls_jlist(w->r, JV_LIST, 0);
    w->cap = 0;
    if (w->r->st == LLM_OK && take_chars(w->r, line, &w->c))
        for (size_t at = 0; at < w->c.n && lls_jcharge(w->r, 1);)
            take_line(w, &at);
    return w->lines;
}

FILTER_OF(lls_jf_wordwrap)
{
    int64_t           width = lls_jint_arg(r, a[0], 79);
    const lls_jstr_t *given = lls_jstr_arg(r, a[2]), *newline;
    wrapper_t         w = {.r = r,
                           .width = (size_t)width,
                           .break_words = lls_jflag(a[1], true),
                           .hyphens = lls_jflag(a[3], true)};
    lls_jval_t        lines;

    UNUSED;
    if (r->st == LLM_OK && self.type != JV_STRING)
        lls_jraise(r, LLM_ERR_INVALID, "wordwrap needs a string, not %s", lls_jtype_name(self));
    newline = given != NULL ? given : lls_jcstr(r, "\n").u.str;
    lines = r->st == LLM_OK ? lls_jsplitlines(r, self.u.str, false) : self;
    for (size_t i = 0; r->st == LLM_OK && i < lines.u.list->n; i++) {
        if (width <= 0)
            return lls_jraise(r, LLM_ERR_INVALID, "wordwrap needs a width above 0");
        lines.u.list->items[i] =
            lls_jjoin(r, wrap(&w, lines.u.list->items[i].u.str), newline, true);
    }
    lines = r->st == LLM_OK ? lls_jjoin(r, lines, newline, true) : lines;
    return r->st == LLM_OK ? lls_jmark_safe(r, lines.u.str, false) : lines;
}

/* ---- pprint ---------------------------------------------------------------------------------- */

#define PRETTY_WIDTH 80

typedef struct pretty {
    lls_jrun_t *r;
    lls_jval_t  out; /* pieces of text */
    size_t      cap;
} pretty_t;

static void put(pretty_t *p, lls_jval_t v) { lls_jpush(p->r, p->out.u.list, &p->cap, v); }

static void put_c(pretty_t *p, const char *text) { put(p, lls_jcstr(p->r, text)); }

static void put_line(pretty_t *p, int64_t indent)
{
    lls_jval_t blanks = lls_jpad(p->r, &(lls_jstr_t){.text = ""}, indent, ' ', 1);

    put_c(p, "\n");
    if (p->r->st == LLM_OK)
        put(p, lls_jmark_safe(p->r, blanks.u.str, false));
}

/* Keys that have no order are told apart by the names of their types. */
static bool key_before(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    bool alike =
        (lls_jis_number(a) && lls_jis_number(b)) || (a.type == JV_STRING && b.type == JV_STRING);
    const char *x = a.type == JV_NONE ? "NoneType" : lls_jtype_name(a);
    const char *y = b.type == JV_NONE ? "NoneType" : lls_jtype_name(b);

    return alike ? lls_jless(r, JO_LT, a, b) : strcmp(x, y) < 0;
}

/* A copy whose dictionaries are in the order of their keys. */
static lls_jval_t sorted(lls_jrun_t *r, lls_jval_t v)
{
    lls_jval_t out = v;

    if (!lls_jenter(r)) {
        lls_jleave(r);
        return v;
    }
    if (lls_jis_seq(v)) {
        out = lls_jlist(r, v.type, v.u.list->n);
        for (size_t i = 0; r->st == LLM_OK && i < v.u.list->n && lls_jcharge(r, 1); i++)
            out.u.list->items[i] = sorted(r, v.u.list->items[i]);
    } else if (v.type == JV_DICT) {
        lls_jdict_t *d;

        out = lls_jdict(r, v.u.dict->n);
        d = out.u.dict;
        for (size_t i = 0; r->st == LLM_OK && i < v.u.dict->n && lls_jcharge(r, i + 1); i++) {
            size_t     at = d->n++;
            lls_jval_t value = sorted(r, v.u.dict->values[i]);

            for (; at > 0 && key_before(r, v.u.dict->keys[i], d->keys[at - 1]); at--) {
                d->keys[at] = d->keys[at - 1];
                d->values[at] = d->values[at - 1];
            }
            d->keys[at] = v.u.dict->keys[i];
            d->values[at] = value;
        }
    }
    lls_jleave(r);
    return out;
}

static int64_t length_of_repr(lls_jrun_t *r, lls_jval_t v, lls_jval_t *repr)
{
    *repr = lls_jrepr(r, v, false);
    return r->st == LLM_OK ? lls_jlength(*repr) : 0;
}

static void format(pretty_t *p, lls_jval_t v, int64_t indent, int64_t allowance, int level);

/* What is before blanks and those, as long as it fits. */
static void break_line(pretty_t *p, const lls_jstr_t *line, int64_t width, int64_t last_width,
                       lls_jval_t chunks, size_t *cap)
{
    lls_jrun_t *r = p->r;
    size_t      from = 0, to = 0;
    lls_jval_t  repr;

    while (r->st == LLM_OK && to < line->len && lls_jcharge(r, 1)) {
        size_t end = to, n;

        while (end < line->len && lls_jinja_blank(line->text + end, line->len - end) == 0)
            end++;
        while (end < line->len && (n = lls_jinja_blank(line->text + end, line->len - end)) != 0)
            end += n;
        if (end == line->len)
            width = last_width;
        if (length_of_repr(r, lls_jsubstr(r, line, from, end - from), &repr) > width) {
            if (to > from && r->st == LLM_OK)
                lls_jpush(r, chunks.u.list, cap,
                          lls_jrepr(r, lls_jsubstr(r, line, from, to - from), false));
            from = to;
        }
        to = end;
    }
    if (r->st == LLM_OK && to > from)
        lls_jpush(r, chunks.u.list, cap,
                  lls_jrepr(r, lls_jsubstr(r, line, from, to - from), false));
}

static void format_string(pretty_t *p, const lls_jstr_t *s, int64_t indent, int64_t allowance,
                          int level)
{
    lls_jrun_t *r = p->r;
    lls_jval_t  lines = lls_jsplitlines(r, s, true), chunks = lls_jlist(r, JV_LIST, 0), repr;
    size_t      cap = 0;
    int64_t     width;

    indent += level == 1;
    allowance += level == 1;
    width = PRETTY_WIDTH - indent;
    for (size_t i = 0; r->st == LLM_OK && i < lines.u.list->n; i++) {
        bool last = i + 1 == lines.u.list->n;

        if (length_of_repr(r, lines.u.list->items[i], &repr) <= width - (last ? allowance : 0))
            lls_jpush(r, chunks.u.list, &cap, repr);
        else if (r->st == LLM_OK)
            break_line(p, lines.u.list->items[i].u.str, width, width - (last ? allowance : 0),
                       chunks, &cap);
    }
    if (r->st != LLM_OK)
        return;
    if (chunks.u.list->n == 1) {
        put(p, repr);
        return;
    }
    put_c(p, level == 1 ? "(" : "");
    for (size_t i = 0; r->st == LLM_OK && i < chunks.u.list->n; i++) {
        if (i != 0)
            put_line(p, indent);
        put(p, chunks.u.list->items[i]);
    }
    put_c(p, level == 1 ? ")" : "");
}

static void format_list(pretty_t *p, lls_jval_t v, int64_t indent, int64_t allowance, int level)
{
    bool        tuple = v.type == JV_TUPLE;
    const char *close = !tuple ? "]" : v.u.list->n == 1 ? ",)" : ")";

    put_c(p, tuple ? "(" : "[");
    for (size_t i = 0; p->r->st == LLM_OK && i < v.u.list->n; i++) {
        bool last = i + 1 == v.u.list->n;

        format(p, v.u.list->items[i], indent + 1, last ? allowance + (int64_t)strlen(close) : 1,
               level);
        put_c(p, last ? "" : ",");
        if (!last)
            put_line(p, indent + 1);
    }
    put_c(p, close);
}

static void format_dict(pretty_t *p, const lls_jdict_t *d, int64_t indent, int64_t allowance,
                        int level)
{
    lls_jval_t key;

    put_c(p, "{");
    for (size_t i = 0; p->r->st == LLM_OK && i < d->n; i++) {
        bool    last = i + 1 == d->n;
        int64_t n = length_of_repr(p->r, d->keys[i], &key);

        put(p, key);
        put_c(p, ": ");
        format(p, d->values[i], indent + 1 + n + 2, last ? allowance + 1 : 1, level);
        put_c(p, last ? "" : ",");
        if (!last)
            put_line(p, indent + 1);
    }
    put_c(p, "}");
}

static void format(pretty_t *p, lls_jval_t v, int64_t indent, int64_t allowance, int level)
{
    lls_jrun_t *r = p->r;
    lls_jval_t  repr;

    if (r->st != LLM_OK || length_of_repr(r, v, &repr) <= PRETTY_WIDTH - indent - allowance)
        put(p, r->st == LLM_OK ? repr : lls_jmissing());
    else if (lls_jis_seq(v) && v.sub == 0)
        format_list(p, v, indent, allowance, level + 1);
    else if (v.type == JV_DICT)
        format_dict(p, v.u.dict, indent, allowance, level + 1);
    else if (v.type == JV_STRING && !v.u.str->safe && v.u.str->len != 0)
        format_string(p, v.u.str, indent, allowance, level + 1);
    else
        put(p, repr);
}

FILTER_OF(lls_jf_pprint)
{
    static const lls_jstr_t nothing = {.text = ""};
    pretty_t                p = {.r = r, .out = lls_jlist(r, JV_LIST, 0)};
    lls_jval_t              v = sorted(r, self);

    UNUSED;
    if (r->st == LLM_OK)
        format(&p, v, 0, 0, 0);
    return r->st == LLM_OK ? lls_jjoin(r, p.out, &nothing, true) : lls_jmissing();
}
