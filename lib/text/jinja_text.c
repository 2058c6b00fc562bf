/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values as text: str(), repr() and json.dumps() of Python, HTML escapes of MarkupSafe.
 */
#include "text/jinja_val.h"

#include <math.h>
#include <stdio.h>

#include "base/utf8.h"
#include "text/jinja_case.h"

typedef struct writer {
    lls_jrun_t        *r;
    lls_buf_t          b;
    const lls_jjson_t *json;  /* NULL = repr() */
    bool               ascii; /* of repr() */
    bool               user;  /* some of it came from the request */
} writer_t;

/* Room for what most values need, in one allocation. */
static writer_t writer_of(lls_jrun_t *r)
{
    writer_t w = {.r = r, .b = r->scratch};

    r->scratch = (lls_buf_t){.mem = r->mem};
    w.b.mem = r->mem;
    w.b.len = 0;
    if (!lls_buf_room(&w.b, 1024))
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
    return w;
}

static void put_more(writer_t *w, const char *text, size_t len)
{
    if (len > LLS_JINJA_ARENA - w->b.len)
        lls_jraise(w->r, LLM_ERR_INVALID, "more than 256 MiB are needed");
    else if (!lls_buf_put(&w->b, text, len))
        lls_jraise(w->r, LLM_ERR_NO_MEMORY, "no memory to render");
}

static inline void put(writer_t *w, const char *text, size_t len)
{
    if (w->r->st != LLM_OK)
        return;
    if (len > w->b.cap - w->b.len) {
        put_more(w, text, len);
        return;
    }
    memcpy(w->b.data + w->b.len, text, len);
    w->b.len += len;
}

static inline void put_text(writer_t *w, const char *text) { put(w, text, strlen(text)); }

static void put_str(writer_t *w, const lls_jstr_t *s) { put(w, s->text, s->len); }

static void put_value(writer_t *w, lls_jval_t v, int depth);

/* ---- Strings --------------------------------------------------------------------------------- */

static void put_code(writer_t *w, const char *format, uint32_t cp)
{
    char text[16];

    snprintf(text, sizeof text, format, cp);
    put_text(w, text);
}

static void put_json_char(writer_t *w, const char *p, size_t n, uint32_t cp)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char       *at = cp < 0x80 ? memchr(from, (int)cp, sizeof from - 1) : NULL;
    char              esc[2] = {'\\', at != NULL ? to[at - from] : '\0'};

    if (at != NULL) {
        put(w, esc, 2);
    } else if (cp < 0x20) {
        put_code(w, "\\u%04x", cp);
    } else if (w->json->ascii && cp >= 0x10000) {
        put_code(w, "\\u%04x", 0xd800 + ((cp - 0x10000) >> 10));
        put_code(w, "\\u%04x", 0xdc00 + ((cp - 0x10000) & 0x3ff));
    } else if (w->json->ascii && cp > 0x7f) {
        put_code(w, "\\u%04x", cp);
    } else {
        put(w, p, n);
    }
}

static bool printable(uint32_t cp)
{
    return cp < 0x7f ? cp >= 0x20 : (lls_jclass_of(cp) & LLS_JPRINTABLE) != 0;
}

static void put_repr_char(writer_t *w, const char *p, size_t n, uint32_t cp, char quote)
{
    if (cp == (uint8_t)quote || cp == '\\') {
        put_text(w, "\\");
        put(w, p, n);
    } else if (cp == '\n' || cp == '\r' || cp == '\t') {
        put_text(w, cp == '\n' ? "\\n" : cp == '\r' ? "\\r" : "\\t");
    } else if (printable(cp) && (cp < 0x80 || !w->ascii)) {
        put(w, p, n);
    } else {
        put_code(w, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", cp);
    }
}

/* Written as it is by repr() and JSON: 0x20 to 0x7e but for both quotes and the backslash. */
static bool is_plain(char c)
{
    static const uint64_t plain[4] = {0xffffff7b00000000u, 0x7fffffffefffffffu};

    return plain[(uint8_t)c >> 6] >> ((uint8_t)c & 63) & 1;
}

/* The quotes around s. */
static char quote_of(const writer_t *w, const lls_jstr_t *s)
{
    if (w->json != NULL)
        return '"';
    return memchr(s->text, '\'', s->len) != NULL && memchr(s->text, '"', s->len) == NULL ? '"'
                                                                                         : '\'';
}

static void put_quoted(writer_t *w, const lls_jstr_t *s)
{
    char quote = quote_of(w, s);

    w->user |= s->user || s->mark != NULL;
    if (w->json == NULL && s->safe)
        put_text(w, "Markup(");
    put(w, &quote, 1);
    for (size_t i = 0, n, plain; i < s->len && w->r->st == LLM_OK; i += n) {
        uint32_t cp = 0xfffd;

        plain = i;
        if (w->json != NULL && !w->json->ascii)
            plain += lls_jplain(s->text + i, s->len - i);
        else
            while (plain < s->len && is_plain(s->text[plain]))
                plain++;
        put(w, s->text + i, plain - i);
        i = plain;
        n = i < s->len ? lls_utf8_decode(s->text + i, s->len - i, &cp) : 0;
        if (i >= s->len)
            break;
        n = n == 0 ? 1 : n;
        if (w->json != NULL)
            put_json_char(w, s->text + i, n, cp);
        else
            put_repr_char(w, s->text + i, n, cp, quote);
    }
    put(w, &quote, 1);
    if (w->json == NULL && s->safe)
        put_text(w, ")");
}

/* ---- Lists and dictionaries ------------------------------------------------------------------ */

static void new_line(writer_t *w, int depth)
{
    if (w->json == NULL || w->json->indent == NULL)
        return;
    put_text(w, "\n");
    for (int i = 0; i < depth && w->r->st == LLM_OK; i++)
        put_str(w, w->json->indent);
}

static void put_comma(writer_t *w, size_t i, int depth)
{
    if (i != 0 && w->json == NULL)
        put_text(w, ", ");
    else if (i != 0)
        put_str(w, w->json->item_sep);
    new_line(w, depth);
}

static void put_items(writer_t *w, const lls_jval_t *items, size_t n, int depth)
{
    lls_jcharge(w->r, n / 4);
    for (size_t i = 0; i < n && w->r->st == LLM_OK; i++) {
        put_comma(w, i, depth + 1);
        put_value(w, items[i], depth + 1);
    }
    if (n != 0)
        new_line(w, depth);
}

static void put_list(writer_t *w, lls_jval_t v, int depth)
{
    bool tuple = v.type == JV_TUPLE && w->json == NULL;

    put_text(w, tuple ? "(" : "[");
    put_items(w, v.u.list->items, v.u.list->n, depth);
    put_text(w, !tuple ? "]" : v.u.list->n == 1 ? ",)" : ")");
}

/* A key of JSON, which is a string; numbers and the like become one. */
static void put_json_key(writer_t *w, lls_jval_t key)
{
    if (key.type == JV_STRING) {
        put_quoted(w, key.u.str);
        return;
    }
    if (!lls_jis_number(key) && key.type != JV_NONE) {
        lls_jraise(w->r, LLM_ERR_INVALID, "a %s cannot be a key of JSON", lls_jtype_name(key));
        return;
    }
    put_text(w, "\"");
    put_value(w, key, 0);
    put_text(w, "\"");
}

static void put_dict(writer_t *w, const lls_jdict_t *d, int depth)
{
    if (w->json != NULL && w->json->sort_keys) {
        lls_jval_t sorted = lls_jdict_sorted(w->r, d);

        d = w->r->st == LLM_OK ? sorted.u.dict : d;
    }
    lls_jcharge(w->r, d->n / 4);
    put_text(w, "{");
    for (size_t i = 0; i < d->n && w->r->st == LLM_OK; i++) {
        put_comma(w, i, depth + 1);
        if (w->json != NULL) {
            put_json_key(w, d->keys[i]);
            put_str(w, w->json->key_sep);
        } else {
            put_value(w, d->keys[i], depth + 1);
            put_text(w, ": ");
        }
        put_value(w, d->values[i], depth + 1);
    }
    if (d->n != 0)
        new_line(w, depth);
    put_text(w, "}");
}

static void put_view(writer_t *w, lls_jval_t v, int depth)
{
    static const char *const names[] = {"dict_keys([", "dict_values([", "dict_items(["};
    const lls_jdict_t       *d = v.u.dict;

    put_text(w, names[v.sub]);
    for (size_t i = 0; i < d->n && w->r->st == LLM_OK; i++) {
        if (i != 0)
            put_text(w, ", ");
        if (v.sub == JVIEW_ITEMS)
            put_value(w, lls_jpair(w->r, d->keys[i], d->values[i]), depth + 1);
        else
            put_value(w, v.sub == JVIEW_KEYS ? d->keys[i] : d->values[i], depth + 1);
    }
    put_text(w, "])");
}

/* ---- Values ---------------------------------------------------------------------------------- */

static void put_int(writer_t *w, int64_t i)
{
    char     text[20], *at = text + sizeof text;
    uint64_t rest = i < 0 ? -(uint64_t)i : (uint64_t)i;

    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) != 0);
    if (i < 0)
        *--at = '-';
    put(w, at, (size_t)(text + sizeof text - at));
}

/* Python writes out no more. */
static void put_big(writer_t *w, const lls_jbig_t *big)
{
    if (big->n > 4300)
        lls_jraise(w->r, LLM_ERR_INVALID, "an integer of %zu digits is too long to be text",
                   big->n);
    if (big->minus)
        put_text(w, "-");
    put(w, big->digits, big->n);
}

static void put_float(writer_t *w, double f)
{
    char text[40];

    if (w->json != NULL && !isfinite(f)) {
        put_text(w, isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity");
        return;
    }
    lls_jfloat_text(f, text);
    put_text(w, text);
}

static void put_loop(writer_t *w, lls_jloop_t *loop)
{
    lls_jval_t length = lls_jloop_attr(w->r, loop, &(lls_jstr_t){.text = "length", .len = 6});
    char       text[64];

    if (w->r->st != LLM_OK)
        return;
    snprintf(text, sizeof text, "<LoopContext %lld/%lld>", (long long)loop->index0 + 1,
             (long long)length.u.i);
    put_text(w, text);
}

/* ---- What has no text of its own ------------------------------------------------------------- */

/* Python shows where such an object lies in memory; no two runs agree, so one place does. */
#define PLACE " at 0x7f0000000000>"

static void put_function(writer_t *w, const lls_jfunc_t *f)
{
    static const char *const known[][2] = {{"dict", "<class 'dict'>"},
                                           {"namespace", "<class 'jinja2.utils.Namespace'>"},
                                           {"cycler", "<class 'jinja2.utils.Cycler'>"},
                                           {"joiner", "<class 'jinja2.utils.Joiner'>"},
                                           {"range", "<function safe_range" PLACE}};

    for (size_t i = 0; i < LLS_ARRAY_LEN(known); i++) {
        if (strcmp(f->name, known[i][0]) == 0) {
            put_text(w, known[i][1]);
            return;
        }
    }
    put_text(w, "<function ");
    put_text(w, f->name);
    put_text(w, PLACE);
}

static void put_method(writer_t *w, const lls_jmethod_t *m)
{
    lls_jval_t self = m->self;

    if (self.type == JV_LOOP) {
        put_text(w, "<bound method LoopContext.");
        put_text(w, m->func->name);
        put_text(w, " of ");
        put_loop(w, self.u.loop);
        put_text(w, ">");
    } else if (self.type == JV_STRING && strcmp(m->func->name, "format") == 0) {
        put_text(w, "<function str.format" PLACE); /* the sandbox has its own */
    } else {
        put_text(w, "<built-in method ");
        put_text(w, m->func->name);
        put_text(w, " of ");
        put_text(w, lls_jtype_name(self));
        put_text(w, " object" PLACE);
    }
}

static const char *iterator_name(const lls_jgen_t *g)
{
    static const char *const names[] = {
        /* ORDER lls_jgen_kind */
        "generator object sync_do_map", "generator object select_or_reject",
        "generator object do_items",    "generator object do_unique",
        "generator object do_batch",    "generator object sync_do_slice"};

    if (g->kind < LLS_ARRAY_LEN(names))
        return names[g->kind];
    return g->of.type == JV_LIST    ? "list_reverseiterator object"
           : g->of.type == JV_DICT  ? "dict_reversekeyiterator object"
           : g->of.type == JV_RANGE ? "range_iterator object"
                                    : "reversed object";
}

/* Methods that are Python's own code show their object. */
static bool is_python_method(const lls_jmethod_t *m)
{
    return m->self.type == JV_CYCLER || m->self.type == JV_VIEW ||
           (m->self.type == JV_STRING && m->self.u.str->safe);
}

static void put_anonymous(writer_t *w, lls_jval_t v)
{
    if (v.type == JV_METHOD && is_python_method(v.u.method)) {
        lls_jraise(w->r, LLM_ERR_UNSUPPORTED, "such a method has no text; call it");
    } else if (v.type == JV_METHOD) {
        put_method(w, v.u.method);
    } else if (v.type == JV_FUNC) {
        put_function(w, v.u.func);
    } else {
        put_text(w, "<");
        put_text(w, v.type == JV_GEN      ? iterator_name(v.u.gen)
                    : v.type == JV_CYCLER ? "jinja2.utils.Cycler object"
                                          : "jinja2.utils.Joiner object");
        put_text(w, PLACE);
    }
}

static void put_object(writer_t *w, lls_jval_t v, int depth)
{
    char text[96];

    switch (v.type) {
    case JV_UNDEFINED:
        put_text(w, "Undefined");
        break;
    case JV_VIEW:
        put_view(w, v, depth);
        break;
    case JV_RANGE:
        snprintf(text, sizeof text,
                 v.u.range->step == 1 ? "range(%lld, %lld)" : "range(%lld, %lld, %lld)",
                 (long long)v.u.range->start, (long long)v.u.range->stop,
                 (long long)v.u.range->step);
        put_text(w, text);
        break;
    case JV_NAMESPACE:
        put_text(w, "<Namespace ");
        put_dict(w, v.u.dict, depth);
        put_text(w, ">");
        break;
    case JV_LOOP:
        put_loop(w, v.u.loop);
        break;
    case JV_MACRO:
        put_text(w, "<Macro ");
        if (v.u.macro->name != NULL)
            put_quoted(w, v.u.macro->name);
        else
            put_text(w, "anonymous");
        put_text(w, ">");
        break;
    default:
        put_anonymous(w, v);
        break;
    }
}

static void put_plain(writer_t *w, lls_jval_t v, int depth)
{
    switch (v.type) {
    case JV_NONE:
        put_text(w, w->json != NULL ? "null" : "None");
        break;
    case JV_BOOL:
        put_text(w, w->json != NULL ? (v.u.b ? "true" : "false") : (v.u.b ? "True" : "False"));
        break;
    case JV_INT:
        put_int(w, v.u.i);
        break;
    case JV_BIG:
        put_big(w, v.u.big);
        break;
    case JV_FLOAT:
        put_float(w, v.u.f);
        break;
    case JV_STRING:
        put_quoted(w, v.u.str);
        break;
    case JV_LIST:
    case JV_TUPLE:
        put_list(w, v, depth);
        break;
    case JV_DICT:
        put_dict(w, v.u.dict, depth);
        break;
    default:
        if (w->json != NULL)
            lls_jraise(w->r, LLM_ERR_INVALID, "a value of type %s is no JSON", lls_jtype_name(v));
        else
            put_object(w, v, depth);
        break;
    }
}

static void put_value(writer_t *w, lls_jval_t v, int depth)
{
    if (lls_jenter(w->r))
        put_plain(w, v, depth);
    lls_jleave(w->r);
}

/* What was written, moved into the arena. */
static lls_jval_t take_written(writer_t *w)
{
    lls_jrun_t *r = w->r;
    char       *text = r->st == LLM_OK ? lls_jalloc(r, w->b.len) : NULL;
    lls_jval_t  out = lls_jmissing();

    if (text != NULL && lls_jcharge(r, w->b.len / 1024)) {
        if (w->b.len != 0)
            memcpy(text, w->b.data, w->b.len);
        out = lls_jstring(r, text, w->b.len, w->user);
    }
    if (r->scratch.data == NULL)
        r->scratch = w->b;
    else
        lls_buf_deinit(&w->b);
    return out;
}

static bool is_container(lls_jval_t v)
{
    return lls_jis_seq(v) || v.type == JV_DICT || v.type == JV_VIEW || v.type == JV_NAMESPACE;
}

lls_jval_t lls_jrepr(lls_jrun_t *r, lls_jval_t v, bool ascii)
{
    writer_t w = writer_of(r);

    w.ascii = ascii;
    w.user = lls_jis_number(v);
    put_value(&w, v, 0);
    return take_written(&w);
}

/* Numbers of a request are no danger, and which they are is not known: they count as the
 * template's. */
lls_jval_t lls_jtext(lls_jrun_t *r, lls_jval_t v)
{
    writer_t w;

    if (v.type == JV_STRING)
        return lls_jmark_safe(r, v.u.str, false);
    if (v.type == JV_UNDEFINED)
        return lls_jcstr(r, "");
    w = writer_of(r);
    w.user = is_container(v);
    put_value(&w, v, 0);
    return take_written(&w);
}

const lls_jstr_t *lls_jstr(lls_jrun_t *r, lls_jval_t v)
{
    if (v.type == JV_STRING)
        return v.u.str;
    v = lls_jtext(r, v);
    return r->st == LLM_OK ? v.u.str : NULL;
}

lls_jval_t lls_jtojson(lls_jrun_t *r, lls_jval_t v, const lls_jjson_t *how)
{
    writer_t w = writer_of(r);

    w.json = how;
    w.user = true;
    put_value(&w, v, 0);
    return take_written(&w);
}

lls_jval_t lls_jescape(lls_jrun_t *r, lls_jval_t v)
{
    static const char        chars[] = "&<>'\"";
    static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    const lls_jstr_t        *s = lls_jstr(r, v);
    writer_t                 w;
    lls_jval_t               out;

    if (s == NULL || s->safe)
        return s == NULL ? lls_jmissing() : v;
    w = writer_of(r);
    w.user = s->user || s->mark != NULL;
    for (size_t i = 0; i < s->len && r->st == LLM_OK; i++) {
        const char *at = memchr(chars, s->text[i], sizeof chars - 1);

        if (at != NULL)
            put_text(&w, entities[at - chars]);
        else
            put(&w, s->text + i, 1);
    }
    out = take_written(&w);
    return r->st == LLM_OK ? lls_jmark_safe(r, out.u.str, true) : out;
}
