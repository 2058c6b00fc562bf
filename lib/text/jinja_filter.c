/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters about one value, and the table of all filters.  Those about sequences are in jinja_seq.c.
 */
#include "text/jinja_filter.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "text/jinja_case.h"

/* ---- Text ------------------------------------------------------------------------------------ */

/* soft_str(): a string as it is, anything else as str() has it. */
static const lls_jstr_t *soft(lls_jrun_t *r, lls_jval_t v) { return lls_jstr(r, v); }

FILTER(f_trim)
{
    const lls_jstr_t *s = soft(r, self), *set = lls_jstr_arg(r, a[0]);

    UNUSED;
    return r->st == LLM_OK ? lls_jstrip(r, s, set, true, true) : lls_jmissing();
}

FILTER(f_string)
{
    const lls_jstr_t *s = soft(r, self);

    UNUSED;
    return s != NULL ? lls_jstrval(s) : lls_jmissing();
}

FILTER(f_safe)
{
    const lls_jstr_t *s = soft(r, self);

    UNUSED;
    return s != NULL ? lls_jmark_safe(r, s, true) : lls_jmissing();
}

FILTER(f_escape)
{
    lls_jval_t text = self;

    UNUSED;
    if (f->code != 0) /* forceescape */
        text = lls_jtext(r, self);
    return r->st == LLM_OK ? lls_jescape(r, text) : text;
}

FILTER(f_case)
{
    const lls_jstr_t *s = soft(r, self);

    UNUSED;
    return s != NULL ? lls_jcased(r, s, (enum lls_jcase)f->code) : lls_jmissing();
}

/* Words begin behind blanks, '-', and opening brackets here, unlike in str.title(). */
FILTER(f_title)
{
    const lls_jstr_t  *s = soft(r, self);
    const lls_jstr_t **parts = s != NULL ? lls_jalloc(r, (2 * s->len + 1) * sizeof *parts) : NULL;
    size_t             n = 0, at = 0;
    lls_jval_t         joined;

    UNUSED;
    while (parts != NULL && r->st == LLM_OK && at < s->len) {
        size_t     end = at, first, gap = 0;
        lls_jval_t piece;

        while (end < s->len && (strchr("-({[<", s->text[end]) != NULL ||
                                (gap = lls_jinja_blank(s->text + end, s->len - end)) != 0)) {
            end += gap != 0 ? gap : 1;
            gap = 0;
        }
        if (end == at) {
            lls_jstr_t rest = {.text = s->text + at, .len = s->len - at};

            first = lls_jchar_offset(&rest, 1);
            piece = lls_jsubstr(r, s, at, first);
            if (r->st == LLM_OK)
                piece = lls_jcased(r, piece.u.str, LLS_JUPPER);
            if (r->st != LLM_OK)
                break;
            parts[n++] = piece.u.str;
            for (end = at + first; end < s->len && strchr("-({[<", s->text[end]) == NULL &&
                                   lls_jinja_blank(s->text + end, s->len - end) == 0;)
                end++;
            at += first;
        }
        piece = lls_jsubstr(r, s, at, end - at);
        if (r->st == LLM_OK)
            piece = lls_jcased(r, piece.u.str, LLS_JLOWER);
        if (r->st != LLM_OK || !lls_jcharge(r, 1))
            break;
        parts[n++] = piece.u.str;
        at = end;
    }
    if (r->st != LLM_OK)
        return lls_jmissing();
    joined = lls_jconcat(r, parts, n);
    return r->st == LLM_OK ? lls_jmark_safe(r, joined.u.str, false) : lls_jmissing();
}

FILTER(f_replace)
{
    const lls_jstr_t *s = soft(r, self), *from = soft(r, a[0]), *to = soft(r, a[1]);
    lls_jval_t        out = lls_jmissing();
    int64_t           max = a[2].type == JV_NONE ? -1 : lls_jint_arg(r, a[2], -1);

    UNUSED;
    if (r->st == LLM_OK)
        out = lls_jreplace(r, s, from, to, max);
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, false) : lls_jmissing();
}

FILTER(f_format)
{
    const lls_jstr_t *s = soft(r, self);
    lls_jval_t        with;

    UNUSED;
    if (s == NULL)
        return lls_jmissing();
    if (args->n_pos != 0 && args->n_kw != 0)
        return lls_jraise(r, LLM_ERR_INVALID,
                          "format takes values with or without names, not both");
    if (args->n_kw == 0) {
        with = lls_jlist(r, JV_TUPLE, args->n_pos);
        for (size_t i = 0; r->st == LLM_OK && i < args->n_pos; i++)
            with.u.list->items[i] = args->pos[i];
    } else {
        with = lls_jdict(r, args->n_kw);
        for (size_t i = 0; r->st == LLM_OK && i < args->n_kw; i++)
            lls_jdict_put(r, with.u.dict, lls_jstrval(args->kw_name[i]), args->kw[i]);
    }
    return r->st == LLM_OK ? lls_jpercent(r, s, with) : lls_jmissing();
}

FILTER(f_center)
{
    const lls_jstr_t *s = soft(r, self);

    UNUSED;
    return s != NULL ? lls_jpad(r, s, lls_jint_arg(r, a[0], 80), ' ', 0) : lls_jmissing();
}

static lls_jval_t indention(lls_jrun_t *r, lls_jval_t width)
{
    if (width.type == JV_STRING)
        return width;
    return lls_jblanks(r, lls_jint_arg(r, width, 4));
}

/* Lines behind the first get the indention; blank: empty ones too. */
FILTER(f_indent)
{
    lls_jval_t         lines, by, newline = lls_jcstr(r, "\n");
    const lls_jstr_t **parts;
    size_t             n = 0;
    bool               first = lls_jflag(a[1], false), blank = lls_jflag(a[2], false);

    UNUSED;
    if (self.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, self);
    if (self.type != JV_STRING)
        return lls_jraise(r, LLM_ERR_INVALID, "indent needs a string, not %s",
                          lls_jtype_name(self));
    by = indention(r, a[0]);
    if (r->st == LLM_OK)
        self = lls_jbinary(r, JO_ADD, self, newline);
    if (r->st != LLM_OK)
        return lls_jmissing();
    lines = lls_jsplitlines(r, self.u.str, false);
    parts = r->st == LLM_OK ? lls_jalloc(r, (lines.u.list->n * 3 + 1) * sizeof *parts) : NULL;
    for (size_t i = 0; parts != NULL && i < lines.u.list->n; i++) {
        const lls_jstr_t *line = lines.u.list->items[i].u.str;

        if (i != 0)
            parts[n++] = newline.u.str;
        if (i == 0 ? first : blank || line->len != 0)
            parts[n++] = by.u.str;
        parts[n++] = line;
    }
    lines = parts != NULL ? lls_jconcat(r, parts, n) : lls_jmissing();
    return r->st == LLM_OK ? lls_jmark_safe(r, lines.u.str, self.u.str->safe) : lls_jmissing();
}

FILTER(f_truncate)
{
    int64_t           length = lls_jint_arg(r, a[0], 255), leeway = 5, keep;
    const lls_jstr_t *end, *parts[2];
    lls_jval_t        tail = a[2].type != JV_MISSING ? a[2] : lls_jcstr(r, "..."), cut;

    UNUSED;
    if (a[3].type != JV_MISSING && a[3].type != JV_NONE)
        leeway = lls_jint_arg(r, a[3], 5);
    end = lls_jstr_arg(r, tail);
    if (r->st == LLM_OK && (lls_jlength(self) < 0 || end == NULL))
        return lls_jraise(r, LLM_ERR_INVALID, "truncate needs a string");
    if (r->st != LLM_OK)
        return lls_jmissing();
    keep = length - (int64_t)lls_jchars(end->text, end->len);
    if (keep < 0 || leeway < 0)
        return lls_jraise(r, LLM_ERR_INVALID, "truncate to less than its end");
    if (lls_jlength(self) - leeway <= length)
        return self;
    if (self.type != JV_STRING)
        return lls_jraise(r, LLM_ERR_INVALID, "truncate needs a string");
    cut = lls_jsubstr(r, self.u.str, 0, lls_jchar_offset(self.u.str, keep));
    if (r->st == LLM_OK && !lls_jflag(a[1], false)) {
        const char *blank = memrchr(cut.u.str->text, ' ', cut.u.str->len);

        if (blank != NULL)
            cut = lls_jsubstr(r, cut.u.str, 0, (size_t)(blank - cut.u.str->text));
    }
    if (r->st != LLM_OK)
        return lls_jmissing();
    parts[0] = cut.u.str;
    parts[1] = end;
    return lls_jconcat(r, parts, 2);
}

FILTER(f_wordcount)
{
    const lls_jstr_t *s = soft(r, self);
    int64_t           count = 0;
    bool              in_word = false;

    UNUSED;
    for (size_t at = 0, n; s != NULL && at < s->len; at += n) {
        uint32_t cp = 0xfffd;
        bool     word;

        n = lls_utf8_decode(s->text + at, s->len - at, &cp);
        n = n == 0 ? 1 : n;
        word = cp == '_' || (lls_jclass_of(cp) & LLS_JALNUM) != 0;
        count += word && !in_word;
        in_word = word;
    }
    return s != NULL && lls_jcharge(r, s->len / 256) ? lls_jint(count) : lls_jmissing();
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* indent: a string, or a number of blanks. */
static const lls_jstr_t *json_indent(lls_jrun_t *r, lls_jval_t v)
{
    if (v.type == JV_MISSING || v.type == JV_NONE)
        return NULL;
    if (v.type == JV_STRING)
        return v.u.str;
    v = lls_jblanks(r, lls_jint_arg(r, v, 0));
    return r->st == LLM_OK ? v.u.str : NULL;
}

FILTER(f_tojson)
{
    lls_jjson_t how = {.ascii = lls_jflag(a[0], false), .sort_keys = lls_jflag(a[3], false)};
    lls_jval_t  seps;

    UNUSED;
    how.indent = json_indent(r, a[1]);
    how.item_sep = lls_jcstr(r, how.indent != NULL ? "," : ", ").u.str;
    how.key_sep = lls_jcstr(r, ": ").u.str;
    if (r->st == LLM_OK && a[2].type != JV_MISSING && a[2].type != JV_NONE) {
        seps = lls_jlist_of(r, a[2]);
        if (r->st == LLM_OK && seps.u.list->n != 2)
            lls_jraise(r, LLM_ERR_INVALID, "separators are two");
        if (r->st == LLM_OK) {
            how.item_sep = lls_jstr_arg(r, seps.u.list->items[0]);
            how.key_sep = lls_jstr_arg(r, seps.u.list->items[1]);
        }
        if (r->st == LLM_OK && (how.item_sep == NULL || how.key_sep == NULL))
            lls_jraise(r, LLM_ERR_INVALID, "separators are strings");
    }
    return r->st == LLM_OK ? lls_jtojson(r, self, &how) : lls_jmissing();
}

/* ---- Numbers --------------------------------------------------------------------------------- */

FILTER(f_int)
{
    lls_jval_t other = a[0].type != JV_MISSING ? a[0] : lls_jint(0), i;
    int64_t    base = lls_jint_arg(r, a[1], 10);
    double     d;

    UNUSED;
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (lls_jis_int(self) || self.type == JV_BIG)
        return lls_jnegate(r, self, false);
    if (self.type == JV_FLOAT)
        return isnan(self.u.f) ? other : lls_jtruncate(r, self.u.f);
    if (self.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, self);
    if (self.type != JV_STRING)
        return other;
    if (lls_jparse_int(r, self.u.str, base, &i))
        return i;
    if (r->st == LLM_OK && lls_jparse_float(r, self.u.str, &d) && isfinite(d))
        return lls_jtruncate(r, d);
    return r->st == LLM_OK ? other : lls_jmissing();
}

FILTER(f_float)
{
    double d;

    UNUSED;
    if (self.type == JV_BIG && isinf(self.u.big->f))
        return lls_jraise(r, LLM_ERR_INVALID, "an integer is too large for a float");
    if (lls_jis_number(self))
        return lls_jfloat(lls_jdouble_of(self));
    if (self.type == JV_UNDEFINED)
        return lls_jraise_undefined(r, self);
    if (self.type == JV_STRING && lls_jparse_float(r, self.u.str, &d))
        return lls_jfloat(d);
    return a[0].type != JV_MISSING ? a[0] : lls_jfloat(0);
}

FILTER(f_abs)
{
    UNUSED;
    if (self.type == JV_FLOAT)
        return lls_jfloat(fabs(self.u.f));
    if (!lls_jis_number(self))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s has no abs", lls_jtype_name(self));
    return lls_jnegate(r, self, lls_jless(r, JO_LT, self, lls_jint(0)));
}

/* ceil or floor of so many digits */
static lls_jval_t round_to(lls_jrun_t *r, lls_jval_t v, int64_t digits, bool up)
{
    lls_jval_t unit = lls_jbinary(r, JO_POW, lls_jint(10), lls_jint(digits)), x;

    x = r->st == LLM_OK ? lls_jbinary(r, JO_MUL, v, unit) : unit;
    if (r->st == LLM_OK && x.type == JV_FLOAT)
        x = lls_jtruncate(r, up ? ceil(x.u.f) : floor(x.u.f));
    return r->st == LLM_OK ? lls_jbinary(r, JO_DIV, x, unit) : x;
}

FILTER(f_round)
{
    int64_t           digits = lls_jint_arg(r, a[0], 0);
    const lls_jstr_t *how = lls_jstr_arg(r, a[1]);

    UNUSED;
    if (r->st != LLM_OK)
        return lls_jmissing();
    if (a[1].type == JV_MISSING || (how != NULL && lls_jstr_is(how, "common")))
        return lls_jround(r, self, digits);
    if (how == NULL || (!lls_jstr_is(how, "ceil") && !lls_jstr_is(how, "floor")))
        return lls_jraise(r, LLM_ERR_INVALID, "round takes common, ceil or floor");
    if (!lls_jis_number(self))
        return lls_jraise(r, LLM_ERR_INVALID, "a %s cannot be rounded", lls_jtype_name(self));
    return round_to(r, self, digits, lls_jstr_is(how, "ceil"));
}

FILTER(f_filesizeformat)
{
    static const char units[] = "kMGTPEZY";
    double            base = lls_jflag(a[0], false) ? 1024 : 1000, bytes = 0, unit = base * base;
    char              text[400], *copy;
    int               i = 0, n;

    UNUSED;
    if (lls_jis_number(self))
        bytes = lls_jdouble_of(self);
    else if (self.type != JV_STRING || !lls_jparse_float(r, self.u.str, &bytes))
        lls_jraise(r, LLM_ERR_INVALID, "filesizeformat needs a number");
    if (r->st == LLM_OK && (isnan(bytes) || (isinf(bytes) && bytes < 0)))
        lls_jraise(r, LLM_ERR_INVALID, "filesizeformat needs a number");
    if (bytes == 1 || bytes < base) {
        n = bytes == 1 ? snprintf(text, sizeof text, "1 Byte")
                       : snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes) + 0.0);
    } else {
        for (; i < 7 && bytes >= unit; i++)
            unit *= base;
        n = snprintf(text, sizeof text, "%.1f %c%sB", base * bytes / unit,
                     base == 1024 && i == 0 ? 'K' : units[i], base == 1024 ? "i" : "");
    }
    copy = r->st == LLM_OK ? lls_jalloc(r, (size_t)n) : NULL;
    if (copy == NULL)
        return lls_jmissing();
    memcpy(copy, text, (size_t)n);
    return lls_jstring(r, copy, (size_t)n, false);
}

/* ---- Anything -------------------------------------------------------------------------------- */

FILTER(f_default)
{
    UNUSED;
    if (self.type != JV_UNDEFINED && !(lls_jflag(a[1], false) && !lls_jtrue(self)))
        return self;
    return a[0].type != JV_MISSING ? a[0] : lls_jcstr(r, "");
}

FILTER(f_length)
{
    lls_jval_t loop_length;

    UNUSED;
    if (self.type == JV_LOOP) {
        loop_length = lls_jloop_attr(r, self.u.loop, &(lls_jstr_t){.text = "length", .len = 6});
        return loop_length;
    }
    if (lls_jlength(self) < 0)
        return lls_jraise(r, LLM_ERR_INVALID, "a %s has no length", lls_jtype_name(self));
    return lls_jint(lls_jlength(self));
}

FILTER(f_attr)
{
    const lls_jstr_t *name = lls_jstr_arg(r, a[0]);
    bool              known = false;
    lls_jval_t        v;

    UNUSED;
    if (r->st == LLM_OK && name == NULL)
        lls_jraise(r, LLM_ERR_INVALID, "attr needs a name");
    if (r->st != LLM_OK || self.type == JV_UNDEFINED)
        return r->st == LLM_OK ? lls_jraise_undefined(r, self) : lls_jmissing();
    if (self.type == JV_DICT && lls_jfind_method(self, name, &known) == NULL && !known)
        return lls_jundefined(JU_ATTR, name);
    v = lls_jget_attr(r, self, name);
    return v;
}

/* One of a sequence; which one depends on how many values the render has made and the clock. */
FILTER(f_random)
{
    int64_t  n = lls_jlength(self);
    uint64_t x = (uint64_t)lls_clock_us() * 0x9e3779b97f4a7c15u + r->steps + r->arena_bytes;

    UNUSED;
    if (n < 0 || self.type == JV_DICT || self.type == JV_VIEW)
        return lls_jraise(r, LLM_ERR_INVALID, "random needs a sequence, not %s",
                          lls_jtype_name(self));
    x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9u;
    return n == 0 ? lls_jundefined(JU_OTHER, NULL)
                  : lls_jitem_at(r, self, (size_t)((x ^ x >> 29) % (uint64_t)n));
}

/* ---- Table ----------------------------------------------------------------------------------- */

static const lls_jfunc_t filters[] = {
    {"abs", "", 0, 0, f_abs},
    {"attr", "name", 1, 0, f_attr},
    {"batch", "linecount fill_with", 1, JG_BATCH, lls_jf_batch},
    {"capitalize", "", 0, LLS_JCAPITALIZE, f_case},
    {"center", "width", 0, 0, f_center},
    {"count", "", 0, 0, f_length},
    {"d", "default_value boolean", 0, 0, f_default},
    {"default", "default_value boolean", 0, 0, f_default},
    {"dictsort", "case_sensitive by reverse", 0, 0, lls_jf_dictsort},
    {"e", "", 0, 0, f_escape},
    {"escape", "", 0, 0, f_escape},
    {"filesizeformat", "binary", 0, 0, f_filesizeformat},
    {"first", "", 0, 0, lls_jf_end},
    {"float", "default", 0, 0, f_float},
    {"forceescape", "", 0, 1, f_escape},
    {"format", NULL, 0, 0, f_format},
    {"groupby", "attribute default case_sensitive", 1, 0, lls_jf_groupby},
    {"indent", "width first blank", 0, 0, f_indent},
    {"int", "default base", 0, 0, f_int},
    {"items", "", 0, JG_ITEMS, lls_jf_items},
    {"join", "d attribute", 0, 0, lls_jf_join},
    {"last", "", 0, 1, lls_jf_end},
    {"length", "", 0, 0, f_length},
    {"list", "", 0, 0, lls_jf_list},
    {"lower", "", 0, LLS_JLOWER, f_case},
    {"map", NULL, 0, 0, lls_jf_map},
    {"max", "case_sensitive attribute", 0, 1, lls_jf_extreme},
    {"min", "case_sensitive attribute", 0, 0, lls_jf_extreme},
    {"pprint", "", 0, 0, lls_jf_pprint},
    {"random", "", 0, 0, f_random},
    {"reject", NULL, 0, LLS_JSELECT_REJECT, lls_jf_select},
    {"rejectattr", NULL, 0, LLS_JSELECT_REJECT | LLS_JSELECT_ATTR, lls_jf_select},
    {"replace", "old new count", 2, 0, f_replace},
    {"reverse", "", 0, 0, lls_jf_reverse},
    {"round", "precision method", 0, 0, f_round},
    {"safe", "", 0, 0, f_safe},
    {"select", NULL, 0, 0, lls_jf_select},
    {"selectattr", NULL, 0, LLS_JSELECT_ATTR, lls_jf_select},
    {"slice", "slices fill_with", 1, JG_SLICE, lls_jf_batch},
    {"sort", "reverse case_sensitive attribute", 0, 0, lls_jf_sort},
    {"string", "", 0, 0, f_string},
    {"striptags", "", 0, 0, lls_jf_striptags},
    {"sum", "attribute start", 0, 0, lls_jf_sum},
    {"title", "", 0, 0, f_title},
    {"tojson", "ensure_ascii indent separators sort_keys", 0, 0, f_tojson},
    {"trim", "chars", 0, 0, f_trim},
    {"truncate", "length killwords end leeway", 0, 0, f_truncate},
    {"unique", "case_sensitive attribute", 0, 0, lls_jf_unique},
    {"upper", "", 0, LLS_JUPPER, f_case},
    {"urlencode", "", 0, 0, lls_jf_urlencode},
    {"urlize", "trim_url_limit nofollow target rel extra_schemes", 0, 0, lls_jf_urlize},
    {"wordcount", "", 0, 0, f_wordcount},
    {"wordwrap", "width break_long_words wrapstring break_on_hyphens", 0, 0, lls_jf_wordwrap},
    {"xmlattr", "autospace", 0, 0, lls_jf_xmlattr},
};

const lls_jfunc_t *lls_jfind_filter(const char *name, size_t len)
{
    return lls_jfind(filters, LLS_ARRAY_LEN(filters), name, len);
}
