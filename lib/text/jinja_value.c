/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of a render, and what Python does with them: truth, equality, order, str() and
 * json.dumps().
 */
#include "text/jinja_int.h"

#include <math.h>
#include <stdio.h>

#include "base/utf8.h"

#define MAX_ARENA ((size_t)256 << 20)
#define CHUNK ((size_t)32 << 10)
#define MAX_NESTING 100                 /* of data, when it is printed or compared */

typedef struct lls_jchunk {
    struct lls_jchunk *next;
    size_t             used, size;
} lls_jchunk_t;

lls_jval_t lls_jraise(lls_jrun_t *r, llm_status_t status, const char *fmt, ...)
{
    char    text[400];
    va_list ap;

    if (r->st != LLM_OK)
        return lls_jundefined();
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    r->st = lls_jinja_fail(r->err, status, r->line, "%s", text);
    return lls_jundefined();
}

void *lls_jalloc(lls_jrun_t *r, size_t n)
{
    lls_jchunk_t *c = r->chunks;
    size_t        size;
    void         *p;

    n = lls_align_up(n == 0 ? 1 : n, 16);
    if (c == NULL || c->size - c->used < n) {
        size = (n > CHUNK ? n : CHUNK) + lls_align_up(sizeof *c, 16);
        if (r->st != LLM_OK)
            return NULL;
        if (size > MAX_ARENA - r->arena_bytes) {
            lls_jraise(r, LLM_ERR_INVALID, "the template needs more than 256 MiB");
            return NULL;
        }
        c = lls_alloc(r->mem, size);
        if (c == NULL) {
            lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to render");
            return NULL;
        }
        *c = (lls_jchunk_t){ r->chunks, lls_align_up(sizeof *c, 16), size };
        r->chunks = c;
        r->arena_bytes += size;
    }
    p = (char *)c + c->used;
    c->used += n;
    return p;
}

void lls_jarena_free(lls_jrun_t *r)
{
    while (r->chunks != NULL) {
        lls_jchunk_t *next = r->chunks->next;
        lls_free(r->mem, r->chunks);
        r->chunks = next;
    }
}

/* ---- Making values --------------------------------------------------------------------------- */

lls_jval_t lls_jbool(bool b)
{
    return (lls_jval_t){ .type = JV_BOOL, .u.b = b };
}

lls_jval_t lls_jint(int64_t i)
{
    return (lls_jval_t){ .type = JV_INT, .u.i = i };
}

lls_jval_t lls_jfloat(double f)
{
    return (lls_jval_t){ .type = JV_FLOAT, .u.f = f };
}

lls_jval_t lls_jnone(void)
{
    return (lls_jval_t){ .type = JV_NONE };
}

lls_jval_t lls_jundefined(void)
{
    return (lls_jval_t){ .type = JV_UNDEFINED };
}

static lls_jval_t new_string(lls_jrun_t *r, const char *text, const uint8_t *mark, size_t len,
                             bool user)
{
    lls_jstr_t *s = lls_jalloc(r, sizeof *s);

    if (s == NULL)
        return lls_jundefined();
    *s = (lls_jstr_t){ text, mark, len, user };
    return (lls_jval_t){ .type = JV_STRING, .u.str = s };
}

lls_jval_t lls_jstring(lls_jrun_t *r, const char *text, size_t len, bool user)
{
    return new_string(r, text, NULL, len, user);
}

lls_jval_t lls_jcstr(lls_jrun_t *r, const char *text)
{
    return lls_jstring(r, text, strlen(text), false);
}

lls_jval_t lls_jsubstr(lls_jrun_t *r, const lls_jstr_t *s, size_t off, size_t len)
{
    return new_string(r, s->text + off, s->mark != NULL ? s->mark + off : NULL, len, s->user);
}

lls_jval_t lls_jconcat(lls_jrun_t *r, const lls_jstr_t *const *parts, size_t n)
{
    size_t   len = 0, at = 0;
    char    *text;
    uint8_t *mark;

    for (size_t i = 0; i < n; i++)
        len += parts[i]->len;
    text = lls_jalloc(r, len);
    mark = lls_jalloc(r, len);
    if (text == NULL || mark == NULL)
        return lls_jundefined();
    for (size_t i = 0; i < n; i++) {
        const lls_jstr_t *s = parts[i];

        if (s->len == 0)
            continue;
        memcpy(text + at, s->text, s->len);
        if (s->mark != NULL)
            memcpy(mark + at, s->mark, s->len);
        else
            memset(mark + at, s->user, s->len);
        at += s->len;
    }
    return new_string(r, text, mark, len, false);
}

lls_jval_t lls_jlist(lls_jrun_t *r, size_t n)
{
    lls_jlist_t *list = lls_jalloc(r, sizeof *list);
    lls_jval_t  *items = n <= MAX_ARENA / sizeof *items ? lls_jalloc(r, n * sizeof *items) : NULL;

    if (list == NULL || items == NULL)
        return n <= MAX_ARENA / sizeof *items
                   ? lls_jundefined() : lls_jraise(r, LLM_ERR_INVALID, "a list of %zu elements", n);
    memset(items, 0, n * sizeof *items);
    *list = (lls_jlist_t){ items, n };
    return (lls_jval_t){ .type = JV_LIST, .u.list = list };
}

lls_jval_t lls_jdict(lls_jrun_t *r, size_t cap)
{
    lls_jdict_t *d = lls_jalloc(r, sizeof *d);
    lls_jval_t  *keys = lls_jalloc(r, cap * sizeof *keys),
               *values = lls_jalloc(r, cap * sizeof *values);

    if (d == NULL || keys == NULL || values == NULL)
        return lls_jundefined();
    *d = (lls_jdict_t){ keys, values, 0, cap };
    return (lls_jval_t){ .type = JV_DICT, .u.dict = d };
}

static bool grow_dict(lls_jrun_t *r, lls_jdict_t *d)
{
    lls_jval_t grown = lls_jdict(r, d->cap * 2 + 4);

    if (r->st != LLM_OK)
        return false;
    memcpy(grown.u.dict->keys, d->keys, d->n * sizeof *d->keys);
    memcpy(grown.u.dict->values, d->values, d->n * sizeof *d->values);
    grown.u.dict->n = d->n;
    *d = *grown.u.dict;
    return true;
}

bool lls_jdict_put(lls_jrun_t *r, lls_jdict_t *d, lls_jval_t key, lls_jval_t value)
{
    for (size_t i = 0; i < d->n; i++) {
        if (!lls_jequal(d->keys[i], key, 0))
            continue;
        d->values[i] = value;
        return true;
    }
    if (d->n == d->cap && !grow_dict(r, d))
        return false;
    d->keys[d->n] = key;
    d->values[d->n++] = value;
    return true;
}

const lls_jval_t *lls_jdict_get(const lls_jdict_t *d, const char *key, size_t len)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->keys[i].u.str->len == len && memcmp(d->keys[i].u.str->text, key, len) == 0)
            return &d->values[i];
    return NULL;
}

static lls_jval_t from_object(lls_jrun_t *r, const json_t *v, int depth)
{
    lls_jval_t  out = lls_jdict(r, json_object_size(v));
    const char *key;
    size_t      len;
    json_t     *item;

    if (r->st != LLM_OK)
        return out;
    json_object_keylen_foreach((json_t *)v, key, len, item) {
        lls_jdict_t *d = out.u.dict;

        /* Keys of an object differ, so there is no need to look for them. */
        d->keys[d->n] = lls_jstring(r, key, len, true);
        d->values[d->n] = lls_jfrom_json(r, item, depth + 1);
        if (r->st != LLM_OK)
            return lls_jundefined();
        d->n++;
    }
    return out;
}

lls_jval_t lls_jfrom_json(lls_jrun_t *r, const json_t *v, int depth)
{
    lls_jval_t out;

    if (depth > MAX_NESTING)
        return lls_jraise(r, LLM_ERR_INVALID, "the data is nested more than %d deep", MAX_NESTING);
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return from_object(r, v, depth);
    case JSON_ARRAY:
        out = lls_jlist(r, json_array_size(v));
        for (size_t i = 0; r->st == LLM_OK && i < json_array_size(v); i++)
            out.u.list->items[i] = lls_jfrom_json(r, json_array_get(v, i), depth + 1);
        return out;
    case JSON_STRING:
        return lls_jstring(r, json_string_value(v), json_string_length(v), true);
    case JSON_INTEGER:
        return lls_jint(json_integer_value(v));
    case JSON_REAL:
        return lls_jfloat(json_real_value(v));
    case JSON_TRUE:
    case JSON_FALSE:
        return lls_jbool(json_is_true(v));
    default:
        return lls_jnone();
    }
}

/* ---- Truth, equality, order ------------------------------------------------------------------ */

bool lls_jtrue(lls_jval_t v)
{
    switch (v.type) {
    case JV_UNDEFINED:
    case JV_NONE:
        return false;
    case JV_BOOL:
        return v.u.b;
    case JV_INT:
        return v.u.i != 0;
    case JV_FLOAT:
        return v.u.f != 0;
    case JV_STRING:
        return v.u.str->len != 0;
    case JV_LIST:
        return v.u.list->n != 0;
    case JV_DICT:
        return v.u.dict->n != 0;
    default:
        return true;
    }
}

static bool is_number(lls_jval_t v)
{
    return v.type == JV_BOOL || v.type == JV_INT || v.type == JV_FLOAT;
}

static double to_double(lls_jval_t v)
{
    return v.type == JV_FLOAT ? v.u.f : v.type == JV_INT ? (double)v.u.i : (double)v.u.b;
}

static int64_t to_int(lls_jval_t v)
{
    return v.type == JV_INT ? v.u.i : (int64_t)v.u.b;
}

static bool equal_lists(const lls_jlist_t *a, const lls_jlist_t *b, int depth)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!lls_jequal(a->items[i], b->items[i], depth + 1))
            return false;
    return true;
}

static bool equal_dicts(const lls_jdict_t *a, const lls_jdict_t *b, int depth)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const lls_jval_t *v = lls_jdict_get(b, a->keys[i].u.str->text, a->keys[i].u.str->len);
        if (v == NULL || !lls_jequal(a->values[i], *v, depth + 1))
            return false;
    }
    return true;
}

bool lls_jequal(lls_jval_t a, lls_jval_t b, int depth)
{
    if (depth > MAX_NESTING)
        return false;
    if (is_number(a) && is_number(b))
        return a.type == JV_FLOAT || b.type == JV_FLOAT ? to_double(a) == to_double(b)
                                                        : to_int(a) == to_int(b);
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case JV_STRING:
        return a.u.str->len == b.u.str->len &&
               memcmp(a.u.str->text, b.u.str->text, a.u.str->len) == 0;
    case JV_LIST:
        return equal_lists(a.u.list, b.u.list, depth);
    case JV_DICT:
        return equal_dicts(a.u.dict, b.u.dict, depth);
    case JV_NAMESPACE:
    case JV_LOOP:
        return a.u.dict == b.u.dict;
    case JV_FUNCTION:
        return false;
    default:
        return true;
    }
}

const char *lls_jtype_name(lls_jval_t v)
{
    /* ORDER jtype */
    static const char *const names[] = { "undefined", "None", "bool", "int", "float", "str", "list",
                                         "dict", "namespace", "loop", "function" };

    return names[v.type];
}

int lls_jcompare(lls_jrun_t *r, lls_jval_t a, lls_jval_t b)
{
    if (is_number(a) && is_number(b)) {
        if (a.type == JV_FLOAT || b.type == JV_FLOAT)
            return (to_double(a) > to_double(b)) - (to_double(a) < to_double(b));
        return (to_int(a) > to_int(b)) - (to_int(a) < to_int(b));
    }
    if (a.type == JV_STRING && b.type == JV_STRING) {
        size_t n = a.u.str->len < b.u.str->len ? a.u.str->len : b.u.str->len;
        int    c = n != 0 ? memcmp(a.u.str->text, b.u.str->text, n) : 0;
        return c != 0 ? (c > 0) - (c < 0)
                      : (a.u.str->len > b.u.str->len) - (a.u.str->len < b.u.str->len);
    }
    lls_jraise(r, LLM_ERR_INVALID, "%s and %s have no order", lls_jtype_name(a), lls_jtype_name(b));
    return 0;
}

bool lls_jcontains(lls_jrun_t *r, lls_jval_t in, lls_jval_t what)
{
    switch (in.type) {
    case JV_STRING:
        if (what.type != JV_STRING) {
            lls_jraise(r, LLM_ERR_INVALID, "'in <string>' needs a string, not %s",
                       lls_jtype_name(what));
            return false;
        }
        return what.u.str->len == 0 || memmem(in.u.str->text, in.u.str->len, what.u.str->text,
                                              what.u.str->len) != NULL;
    case JV_LIST:
        for (size_t i = 0; i < in.u.list->n; i++)
            if (lls_jequal(in.u.list->items[i], what, 0))
                return true;
        return false;
    case JV_DICT:
        return what.type == JV_STRING &&
               lls_jdict_get(in.u.dict, what.u.str->text, what.u.str->len) != NULL;
    case JV_UNDEFINED:
        return false;
    default:
        lls_jraise(r, LLM_ERR_INVALID, "%s holds no elements", lls_jtype_name(in));
        return false;
    }
}

/* ---- Text ------------------------------------------------------------------------------------ */

size_t lls_jchars(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    return n;
}

typedef struct writer {
    lls_jrun_t *r;
    lls_buf_t   b;
    int         indent;                 /* JSON: < 0 = one line */
    bool        json, ascii;
} writer_t;

static void put(writer_t *w, const char *text, size_t len)
{
    if (w->r->st == LLM_OK && !lls_buf_put(&w->b, text, len))
        lls_jraise(w->r, LLM_ERR_NO_MEMORY, "no memory to render");
}

static void puts_(writer_t *w, const char *text)
{
    put(w, text, strlen(text));
}

/* Python's repr: the fewest digits that give the same number. */
static void put_float(writer_t *w, double f)
{
    char text[40];
    int  digits = 1, exp10;

    if (isnan(f) || isinf(f)) {
        puts_(w, w->json ? (isnan(f) ? "NaN" : f > 0 ? "Infinity" : "-Infinity")
                         : (isnan(f) ? "nan" : f > 0 ? "inf" : "-inf"));
        return;
    }
    do
        snprintf(text, sizeof text, "%.*e", digits - 1, f);
    while (strtod(text, NULL) != f && digits++ < 17);
    exp10 = f == 0 ? 0 : atoi(strchr(text, 'e') + 1);
    if (exp10 < -4 || exp10 >= 16) {
        puts_(w, text); /* C writes at least two digits of the exponent, as Python does */
        return;
    }
    snprintf(text, sizeof text, "%.*f", digits - 1 - exp10 > 1 ? digits - 1 - exp10 : 1, f);
    puts_(w, text);
}

static void put_unit(writer_t *w, uint32_t unit)
{
    char text[12];

    snprintf(text, sizeof text, "\\u%04x", unit);
    puts_(w, text);
}

static void put_json_string(writer_t *w, const lls_jstr_t *s)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";

    puts_(w, "\"");
    for (size_t i = 0, n; i < s->len; i += n) {
        const char *at = memchr(from, s->text[i], sizeof from - 1);
        uint32_t    cp = 0xfffd;
        char        esc[2] = { '\\', 0 };

        n = lls_utf8_decode(s->text + i, s->len - i, &cp);
        n = n == 0 ? 1 : n;
        if (at != NULL) {
            esc[1] = to[at - from];
            put(w, esc, 2);
        } else if (cp < 0x20) {
            put_unit(w, cp);
        } else if (w->ascii && cp >= 0x10000) {
            put_unit(w, 0xd800 + ((cp - 0x10000) >> 10));
            put_unit(w, 0xdc00 + ((cp - 0x10000) & 0x3ff));
        } else if (w->ascii && cp >= 0x7f) {
            put_unit(w, cp);
        } else {
            put(w, s->text + i, n);
        }
    }
    puts_(w, "\"");
}

static void put_repr_string(writer_t *w, const lls_jstr_t *s)
{
    bool has_single = memchr(s->text, '\'', s->len) != NULL;
    char quote = has_single && memchr(s->text, '"', s->len) == NULL ? '"' : '\'', text[12];

    put(w, &quote, 1);
    for (size_t i = 0, n; i < s->len; i += n) {
        uint32_t cp = 0xfffd;
        char     c = s->text[i];

        n = lls_utf8_decode(s->text + i, s->len - i, &cp);
        n = n == 0 ? 1 : n;
        if (c == quote || c == '\\') {
            put(w, "\\", 1);
            put(w, &c, 1);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            puts_(w, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        } else if (cp < 0x20 || (cp >= 0x7f && cp <= 0xa0) || cp == 0xad) {
            snprintf(text, sizeof text, "\\x%02x", cp);
            puts_(w, text);
        } else {
            put(w, s->text + i, n);
        }
    }
    put(w, &quote, 1);
}

static void put_value(writer_t *w, lls_jval_t v, int depth);

static void new_line(writer_t *w, int depth)
{
    if (w->indent < 0)
        return;
    puts_(w, "\n");
    for (int i = 0; i < w->indent * depth && w->r->st == LLM_OK; i++)
        puts_(w, " ");
}

static void put_comma(writer_t *w, size_t i, int depth)
{
    if (i != 0)
        puts_(w, w->indent < 0 ? ", " : ",");
    new_line(w, depth);
}

static void put_list(writer_t *w, const lls_jlist_t *list, int depth)
{
    puts_(w, "[");
    for (size_t i = 0; i < list->n && w->r->st == LLM_OK; i++) {
        put_comma(w, i, depth + 1);
        put_value(w, list->items[i], depth + 1);
    }
    if (list->n != 0)
        new_line(w, depth);
    puts_(w, "]");
}

static void put_dict(writer_t *w, const lls_jdict_t *d, int depth)
{
    puts_(w, "{");
    for (size_t i = 0; i < d->n && w->r->st == LLM_OK; i++) {
        put_comma(w, i, depth + 1);
        put_value(w, d->keys[i], depth + 1);
        puts_(w, ": ");
        put_value(w, d->values[i], depth + 1);
    }
    if (d->n != 0)
        new_line(w, depth);
    puts_(w, "}");
}

static void put_value(writer_t *w, lls_jval_t v, int depth)
{
    char text[32];

    if (depth > MAX_NESTING) {
        lls_jraise(w->r, LLM_ERR_INVALID, "the data is nested more than %d deep", MAX_NESTING);
        return;
    }
    switch (v.type) {
    case JV_NONE:
        puts_(w, w->json ? "null" : "None");
        break;
    case JV_BOOL:
        puts_(w, w->json ? (v.u.b ? "true" : "false") : (v.u.b ? "True" : "False"));
        break;
    case JV_INT:
        snprintf(text, sizeof text, "%lld", (long long)v.u.i);
        puts_(w, text);
        break;
    case JV_FLOAT:
        put_float(w, v.u.f);
        break;
    case JV_STRING:
        if (w->json)
            put_json_string(w, v.u.str);
        else
            put_repr_string(w, v.u.str);
        break;
    case JV_LIST:
        put_list(w, v.u.list, depth);
        break;
    case JV_DICT:
        put_dict(w, v.u.dict, depth);
        break;
    default:
        if (w->json || v.type != JV_UNDEFINED)
            lls_jraise(w->r, w->json ? LLM_ERR_INVALID : LLM_ERR_UNSUPPORTED, "%s has no text",
                       lls_jtype_name(v));
        else
            puts_(w, "Undefined");
        break;
    }
}

/* What was written, moved into the arena; data of a request is in it, so all of it counts as such.
 */
static lls_jval_t take_written(writer_t *w, bool user)
{
    lls_jrun_t *r = w->r;
    char       *text = r->st == LLM_OK ? lls_jalloc(r, w->b.len) : NULL;
    lls_jval_t  out = lls_jundefined();

    if (text != NULL) {
        memcpy(text, w->b.data != NULL ? w->b.data : "", w->b.len);
        out = lls_jstring(r, text, w->b.len, user);
    }
    lls_buf_deinit(&w->b);
    return out;
}

lls_jval_t lls_jtext(lls_jrun_t *r, lls_jval_t v)
{
    writer_t w = { r, { r->mem, NULL, 0, 0 }, -1, false, false };

    if (v.type == JV_STRING)
        return v;
    if (v.type == JV_UNDEFINED)
        return lls_jcstr(r, "");
    put_value(&w, v, 0);
    return take_written(&w, v.type == JV_LIST || v.type == JV_DICT);
}

lls_jval_t lls_jtojson(lls_jrun_t *r, lls_jval_t v, int indent, bool ascii)
{
    writer_t w = { r, { r->mem, NULL, 0, 0 }, indent, true, ascii };

    put_value(&w, v, 0);
    return take_written(&w, true);
}

/* ---- Elements -------------------------------------------------------------------------------- */

static lls_jval_t chars_of(lls_jrun_t *r, const lls_jstr_t *s)
{
    lls_jval_t out = lls_jlist(r, lls_jchars(s->text, s->len));

    for (size_t i = 0, k = 0; r->st == LLM_OK && i < s->len; k++) {
        uint32_t cp;
        size_t   n = lls_utf8_decode(s->text + i, s->len - i, &cp);

        n = n == 0 ? 1 : n;
        out.u.list->items[k] = lls_jsubstr(r, s, i, n);
        i += n;
    }
    return out;
}

lls_jval_t lls_jiter(lls_jrun_t *r, lls_jval_t v)
{
    lls_jval_t out;

    switch (v.type) {
    case JV_LIST:
        return v;
    case JV_UNDEFINED:
        return lls_jlist(r, 0);
    case JV_STRING:
        return chars_of(r, v.u.str);
    case JV_DICT:
        out = lls_jlist(r, v.u.dict->n);
        if (r->st == LLM_OK)
            memcpy(out.u.list->items, v.u.dict->keys, v.u.dict->n * sizeof v);
        return out;
    default:
        return lls_jraise(r, LLM_ERR_INVALID, "%s cannot be iterated", lls_jtype_name(v));
    }
}

int64_t lls_jlength(lls_jrun_t *r, lls_jval_t v)
{
    switch (v.type) {
    case JV_STRING:
        return (int64_t)lls_jchars(v.u.str->text, v.u.str->len);
    case JV_LIST:
        return (int64_t)v.u.list->n;
    case JV_DICT:
        return (int64_t)v.u.dict->n;
    case JV_UNDEFINED:
        return 0;
    default:
        lls_jraise(r, LLM_ERR_INVALID, "%s has no length", lls_jtype_name(v));
        return 0;
    }
}
