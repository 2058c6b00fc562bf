/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON to values, with what json.loads() of Python takes beside the standard: NaN, Infinity, and
 * numbers of any size.  Strings without escapes stay where they are in the text.
 */
#include "text/jinja_val.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/utf8.h"

#define MAX_JSON_NESTING 100

typedef struct reader {
    lls_jrun_t *r;
    const char *text;
    size_t      len, at;
    int         depth;
    lls_jval_t *stack; /* elements of what is open */
    size_t      n, cap;
} reader_t;

/* ---- Strings --------------------------------------------------------------------------------- */

/* The end of the characters from `at` that stand for themselves. */
static size_t end_of_plain(const reader_t *d, size_t at)
{
    return at + lls_jplain(d->text + at, d->len - at);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool hex4(reader_t *d, uint32_t *out)
{
    *out = 0;
    if (d->len - d->at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(d->text[d->at++]);

        if (digit < 0)
            return false;
        *out = *out * 16 + (uint32_t)digit;
    }
    return true;
}

/* Behind \u; half a pair of surrogates is no character. */
static bool unicode_escape(reader_t *d, char **to)
{
    uint32_t cp, low;

    if (!hex4(d, &cp) || (cp >= 0xdc00 && cp < 0xe000))
        return false;
    if (cp >= 0xd800 && cp < 0xdc00) {
        if (d->len - d->at < 6 || memcmp(d->text + d->at, "\\u", 2) != 0)
            return false;
        d->at += 2;
        if (!hex4(d, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    }
    *to += lls_utf8_encode(cp, *to);
    return true;
}

static bool escape(reader_t *d, char **to)
{
    static const char from[] = "\"\\/bfnrt", what[] = "\"\\/\b\f\n\r\t";
    const char       *p;

    if (++d->at >= d->len)
        return false;
    if (d->text[d->at] == 'u') {
        d->at++;
        return unicode_escape(d, to);
    }
    p = memchr(from, d->text[d->at++], sizeof from - 1);
    if (p != NULL)
        *(*to)++ = what[p - from];
    return p != NULL;
}

/* The string from `begin` has an escape at `at`; unescaped it is shorter than before. */
static bool unescape(reader_t *d, size_t begin, lls_jval_t *out)
{
    size_t end = end_of_plain(d, d->at);
    char  *text, *to;

    while (end < d->len && d->text[end] == '\\')
        end = d->len - end > 2 ? end_of_plain(d, end + 2) : d->len;
    if (end >= d->len)
        return false;
    text = to = lls_jalloc(d->r, end - begin);
    if (text == NULL)
        return false;
    for (;;) {
        size_t n = end_of_plain(d, begin) - begin;

        memcpy(to, d->text + begin, n);
        to += n;
        d->at = begin + n;
        if (d->at >= d->len || (uint8_t)d->text[d->at] < 0x20)
            return false;
        if (d->text[d->at] == '"')
            break;
        if (!escape(d, &to))
            return false;
        begin = d->at;
    }
    d->at++;
    *out = lls_jstring(d->r, text, (size_t)(to - text), true);
    return d->r->st == LLM_OK;
}

static bool read_string(reader_t *d, lls_jval_t *out)
{
    size_t begin = ++d->at;

    d->at = end_of_plain(d, begin);
    if (d->at < d->len && d->text[d->at] == '\\')
        return unescape(d, begin, out);
    if (d->at >= d->len || d->text[d->at] != '"')
        return false;
    *out = lls_jstring(d->r, d->text + begin, d->at++ - begin, true);
    return d->r->st == LLM_OK;
}

/* ---- Numbers and words ----------------------------------------------------------------------- */

static bool take_word(reader_t *d, const char *word)
{
    size_t n = strlen(word);

    if (d->len - d->at < n || memcmp(d->text + d->at, word, n) != 0)
        return false;
    d->at += n;
    return true;
}

static size_t count_digits(const reader_t *d, size_t at)
{
    size_t from = at;

    while (at < d->len && d->text[at] >= '0' && d->text[at] <= '9')
        at++;
    return at - from;
}

/* Behind the digits before a point: the end of the number, 0 if it is none. */
static size_t end_of_fraction(const reader_t *d, size_t at)
{
    size_t n;

    if (at < d->len && d->text[at] == '.') {
        n = count_digits(d, at + 1);
        if (n == 0)
            return 0;
        at += 1 + n;
    }
    if (at < d->len && (d->text[at] | 32) == 'e') {
        at++;
        at += at < d->len && (d->text[at] == '-' || d->text[at] == '+');
        n = count_digits(d, at);
        at = n != 0 ? at + n : 0;
    }
    return at;
}

static bool read_float(reader_t *d, size_t end, lls_jval_t *out)
{
    char    *copy = lls_jalloc(d->r, end - d->at + 1);         /* a NUL must be behind it */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* and '.' be the point */

    if (plain == (locale_t)0)
        lls_jraise(d->r, LLM_ERR_NO_MEMORY, "no memory for a locale");
    if (copy == NULL || plain == (locale_t)0)
        return false;
    memcpy(copy, d->text + d->at, end - d->at);
    copy[end - d->at] = '\0';
    *out = lls_jfloat(strtod_l(copy, NULL, plain));
    freelocale(plain);
    d->at = end;
    return true;
}

static bool read_number(reader_t *d, lls_jval_t *out)
{
    bool    minus = d->text[d->at] == '-';
    size_t  from = d->at + minus, n = count_digits(d, from), end;
    int64_t v = 0;

    if (n == 0 || (n > 1 && d->text[from] == '0'))
        return false;
    end = end_of_fraction(d, from + n);
    if (end == 0)
        return false;
    if (end != from + n)
        return read_float(d, end, out);
    if (n > 18) {
        *out = lls_jinteger(d->r, d->text + from, n, minus);
    } else {
        for (size_t i = from; i < end; i++)
            v = v * 10 + (d->text[i] - '0');
        *out = lls_jint(minus ? -v : v);
    }
    d->at = end;
    return d->r->st == LLM_OK;
}

static bool read_word(reader_t *d, lls_jval_t *out)
{
    static const struct word {
        const char *text;
        lls_jval_t  value;
    } words[] = {{"true", {.type = JV_BOOL, .u.b = true}},
                 {"false", {.type = JV_BOOL}},
                 {"null", {.type = JV_NONE}},
                 {"NaN", {.type = JV_FLOAT, .u.f = (double)NAN}},
                 {"Infinity", {.type = JV_FLOAT, .u.f = (double)INFINITY}},
                 {"-Infinity", {.type = JV_FLOAT, .u.f = -(double)INFINITY}}};

    for (size_t i = 0; i < LLS_ARRAY_LEN(words); i++) {
        *out = words[i].value;
        if (take_word(d, words[i].text))
            return true;
    }
    return false;
}

/* ---- Values ---------------------------------------------------------------------------------- */

static char peek_blank(reader_t *d)
{
    while (d->at < d->len && (d->text[d->at] == ' ' || d->text[d->at] == '\n' ||
                              d->text[d->at] == '\r' || d->text[d->at] == '\t'))
        d->at++;
    return d->at < d->len ? d->text[d->at] : '\0';
}

/* The next character that is no blank; NUL at the end. */
static inline char peek(reader_t *d)
{
    return d->at < d->len && d->text[d->at] > ' ' ? d->text[d->at] : peek_blank(d);
}

static bool push(reader_t *d, lls_jval_t v)
{
    if (d->n == d->cap &&
        !lls_reserve(d->r->mem, (void **)&d->stack, &d->cap, d->n + 1, sizeof *d->stack)) {
        lls_jraise(d->r, LLM_ERR_NO_MEMORY, "no memory to read JSON");
        return false;
    }
    d->stack[d->n++] = v;
    return true;
}

static bool read_value(reader_t *d, lls_jval_t *out);

static bool read_key(reader_t *d)
{
    lls_jval_t key;

    if (peek(d) != '"' || !read_string(d, &key) || !push(d, key) || peek(d) != ':')
        return false;
    d->at++;
    return true;
}

/* The elements of an object or a list, keys and values alternating, on the stack. */
static bool read_elements(reader_t *d, char close)
{
    lls_jval_t v;
    char       c;

    d->at++;
    c = peek(d);
    while (c != close) {
        if ((close == '}' && !read_key(d)) || !read_value(d, &v) || !push(d, v))
            return false;
        c = peek(d);
        if (c != ',')
            break;
        d->at++; /* and a value must come */
    }
    d->at += c == close;
    return c == close;
}

static bool read_container(reader_t *d, lls_jval_t *out)
{
    const lls_jval_t *items;
    size_t            from = d->n, n;
    bool              object = d->text[d->at] == '{';

    if (++d->depth > MAX_JSON_NESTING) {
        lls_jraise(d->r, LLM_ERR_INVALID, "the data is nested more than %d deep", MAX_JSON_NESTING);
        return false;
    }
    if (!read_elements(d, object ? '}' : ']'))
        return false;
    n = d->n - from;
    items = n == 0 ? NULL : d->stack + from; /* the stack may be NULL still */
    *out = object ? lls_jdict_of(d->r, items, n / 2) : lls_jlist(d->r, JV_LIST, n);
    if (d->r->st != LLM_OK)
        return false;
    if (!object && n != 0)
        memcpy(out->u.list->items, items, n * sizeof *items);
    d->n = from;
    d->depth--;
    return true;
}

static bool read_value(reader_t *d, lls_jval_t *out)
{
    char c = peek(d);

    if (c == '{' || c == '[')
        return read_container(d, out);
    if (c == '"')
        return read_string(d, out);
    if ((c >= '0' && c <= '9') || (c == '-' && d->at + 1 < d->len && d->text[d->at + 1] != 'I'))
        return read_number(d, out);
    return read_word(d, out);
}

static bool is_ascii(const char *text, size_t len)
{
    uint64_t all = 0;
    size_t   at = 0;

    for (; len - at >= 32; at += 32)
        all |= lls_jword(text + at) | lls_jword(text + at + 8) | lls_jword(text + at + 16) |
               lls_jword(text + at + 24);
    for (; at < len; at++)
        all |= (uint8_t)text[at];
    return (all & 0x8080808080808080u) == 0;
}

bool lls_jread_json(lls_jrun_t *r, const char *text, size_t len, lls_jval_t *out)
{
    reader_t d = {.r = r, .text = text, .len = len};
    bool     ok = r->st == LLM_OK && (is_ascii(text, len) || lls_utf8_valid(text, len) == len);

    if (ok && !lls_reserve(r->mem, (void **)&d.stack, &d.cap, len / 64 + 16, sizeof *d.stack)) {
        lls_jraise(r, LLM_ERR_NO_MEMORY, "no memory to read JSON");
        return false;
    }
    ok = ok && read_value(&d, out) && peek(&d) == '\0' && d.at == len;
    lls_free(r->mem, d.stack);
    return ok;
}

/* ---- Data ------------------------------------------------------------------------------------ */

/* jansson finds the words for what is no JSON. */
static llm_status_t say_why(const char *name, const char *text, size_t len, llm_error_t *err)
{
    json_t      *v;
    llm_status_t st = lls_json_parse(name, text, len, &v, err);

    if (st != LLM_OK)
        return st;
    json_decref(v);
    return lls_fail(err, LLM_ERR_FORMAT, "%s: this is no JSON", name);
}

llm_status_t lls_jdata_read(lls_mem_t *mem, const char *name, const char *text, size_t len,
                            lls_jdata_t **out, llm_error_t *err)
{
    lls_jdata_t *data = lls_zalloc(mem, sizeof *data);
    bool         read;

    *out = NULL;
    if (data == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory to read JSON");
    data->run = (lls_jrun_t){.mem = mem, .err = err};
    read = lls_jread_json(&data->run, text, len, &data->root);
    if (!read) {
        llm_status_t st = data->run.st != LLM_OK ? data->run.st : say_why(name, text, len, err);

        lls_jdata_free(data);
        return st;
    }
    data->vars = data->root;
    *out = data;
    return LLM_OK;
}

void lls_jdata_free(lls_jdata_t *data)
{
    if (data == NULL)
        return;
    lls_jarena_free(&data->run);
    lls_buf_deinit(&data->run.scratch);
    lls_free(data->run.mem, data);
}
