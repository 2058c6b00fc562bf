/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls of Python, [f(a=1, b="x"), g()]: keyword arguments become the members of a JSON object, as
 * they are read.  Literals only; positional arguments have no name and are left out.
 */
#include "text/dialect_int.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/utf8.h"
#include "text/jinja_val.h"

static void out(lls_dparse_t *p, const char *text, size_t n)
{
    if (!p->positional)
        lls_dp_args(p, text, n);
}

static bool is_name(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_word(char c) { return is_name(c) || c == '.' || c == '+' || c == '-'; }

void lls_dp_python_begin(lls_dparse_t *p)
{
    p->py = PY_CALLS;
    p->listed = (p->tools->flags & LLS_DIALECT_NO_LIST) != 0;
    p->n_nest = 0;
}

/* ---- Strings --------------------------------------------------------------------------------- */

static void close_string(lls_dparse_t *p)
{
    if (!p->positional)
        lls_dp_args(p, "\"", 1);
    p->py = PY_AFTER;
}

static void put_cp(lls_dparse_t *p, uint32_t cp)
{
    char text[4];

    if (p->positional)
        return;
    if (cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
        cp = 0xfffd;
    lls_dp_escape(p, text, lls_utf8_encode(cp, text));
}

static uint32_t number_of(const lls_buf_t *b, size_t from, int base)
{
    char text[12] = { 0 };

    memcpy(text, b->data + from, b->len - from < 11 ? b->len - from : 11);
    return (uint32_t)strtoul(text, NULL, base);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

/* The escape in p->key has all it can: its character goes out. */
static void escape_done(lls_dparse_t *p)
{
    static const char from[] = "nrtabfv\\'\"", to[] = "\n\r\t\a\b\f\v\\'\"";
    char              c = p->key.data[0];
    const char       *at = strchr(from, c);

    if (c == 'x' || c == 'u' || c == 'U') {
        put_cp(p, number_of(&p->key, 1, 16));
    } else if (c >= '0' && c <= '7') {
        put_cp(p, number_of(&p->key, 0, 8));
    } else if (at != NULL && c != '\0') {
        put_cp(p, (unsigned char)to[at - from]);
    } else if (c != '\n' && !p->positional) {
        lls_dp_escape(p, "\\", 1);
        lls_dp_escape(p, p->key.data, p->key.len);
    }
    p->key.len = 0;
    p->py = PY_STRING;
}

/* False: c is not part of the escape. */
static bool escape_takes(lls_dparse_t *p, char c)
{
    char   kind = p->key.len > 0 ? p->key.data[0] : c;
    size_t most = kind == 'x' ? 3 : kind == 'u' ? 5 : kind == 'U' ? 9
                  : kind >= '0' && kind <= '7' ? 3 : 1;
    bool   octal = kind >= '0' && kind <= '7';

    if (p->key.len > 0 && !(octal ? c >= '0' && c <= '7' : is_hex(c))) {
        escape_done(p);
        return false;
    }
    lls_dp_put(p, &p->key, &c, 1);
    if (p->key.len == most && !p->no_memory)
        escape_done(p);
    return true;
}

/* One byte of a string; false: it stands behind it. */
static bool string_byte(lls_dparse_t *p, const char *c)
{
    if (p->py == PY_ESCAPE)
        return escape_takes(p, *c);
    if (*c == p->quote) {
        if (!p->triple || ++p->n_quotes == 3)
            p->py = PY_CLOSED;
        return true;
    }
    for (; p->n_quotes > 0; p->n_quotes--)
        put_cp(p, (unsigned char)p->quote);
    if (*c == '\\')
        p->py = PY_ESCAPE;
    else if (!p->positional)
        lls_dp_escape(p, c, 1);
    return true;
}

/* Behind one or two quotes: an empty string, or three of them. */
static bool open_byte(lls_dparse_t *p, char c)
{
    if (c == p->quote) {
        p->triple = p->py == PY_OPEN2;
        p->py = p->triple ? PY_STRING : PY_OPEN2;
        return true;
    }
    p->py = p->py == PY_OPEN1 ? PY_STRING : PY_CLOSED;
    return false;
}

static void string_begin(lls_dparse_t *p, char quote, bool more)
{
    p->quote = quote;
    p->triple = false;
    p->n_quotes = 0;
    p->key.len = 0;
    p->py = PY_OPEN1;
    if (!more)
        out(p, "\"", 1);
}

/* ---- Values ---------------------------------------------------------------------------------- */

static bool nest(lls_dparse_t *p, char c)
{
    if (p->n_nest == DP_MAX_DEPTH) {
        out(p, "null", 4);
        p->py = PY_AFTER;
        return false;
    }
    p->nest[p->n_nest] = c == '{' ? '{' : '[';
    p->nest_first[p->n_nest++] = true;
    out(p, c == '{' ? "{" : "[", 1);
    p->py = PY_VALUE;
    return true;
}

static bool unnest(lls_dparse_t *p, char c)
{
    char open = p->n_nest > 0 ? p->nest[p->n_nest - 1] : 0;

    if (open == 0 || (open == '[' ? c != ']' && c != ')' : c != '}'))
        return false;
    p->n_nest--;
    out(p, open == '[' ? "]" : "}", 1);
    p->py = PY_AFTER;
    return true;
}

/* A value begins, in a list behind a comma. */
static void element(lls_dparse_t *p)
{
    uint32_t d = p->n_nest;

    if (d == 0 || p->nest[d - 1] == ':')
        return;
    if (!p->nest_first[d - 1])
        out(p, ", ", 2);
    p->nest_first[d - 1] = false;
}

static bool value_byte(lls_dparse_t *p, char c)
{
    bool key = p->n_nest > 0 && p->nest[p->n_nest - 1] == '{';

    if (lls_dp_is_blank(c))
        return true;
    if ((c == ']' || c == ')' || c == '}') && p->n_nest > 0 &&
        p->nest[p->n_nest - 1] != ':')
        return unnest(p, c);
    if (key && (c == '[' || c == '{' || c == '('))
        return false;
    if (c == '"' || c == '\'' || is_word(c) || c == '[' || c == '(' || c == '{')
        element(p);
    if (c == '"' || c == '\'') {
        string_begin(p, c, false);
        return true;
    }
    if (c == '[' || c == '(' || c == '{')
        return nest(p, c);
    if (!is_word(c))
        return false;
    p->py = PY_WORD;
    p->key.len = 0;
    return lls_dp_put(p, &p->key, &c, 1);
}

static bool word_is(const lls_buf_t *b, const char *a, const char *c)
{
    return (b->len == strlen(a) && memcmp(b->data, a, b->len) == 0) ||
           (b->len == strlen(c) && memcmp(b->data, c, b->len) == 0);
}

static bool all_digits(const char *s)
{
    return *s != '\0' && strspn(s, "0123456789") == strlen(s);
}

/* A number of Python as JSON, in text of `cap` bytes. */
static bool python_number(const lls_buf_t *b, char *text, size_t cap)
{
    const char *digits = text;
    char       *end;
    double      v;
    size_t      n = 0;

    if (b->len + 2 > cap)
        return false;
    for (size_t i = 0; i < b->len; i++)
        if (b->data[i] != '_' && !(i == 0 && b->data[i] == '+'))
            text[n++] = b->data[i];
    text[n] = '\0';
    digits += *digits == '-';
    if (all_digits(digits)) {
        size_t zeros = strspn(digits, "0");

        zeros -= zeros > 0 && digits[zeros] == '\0';
        memmove((char *)digits, digits + zeros, strlen(digits + zeros) + 1);
        if (*digits == '0')
            memmove(text, digits, strlen(digits) + 1);
        return true;
    }
    if (digits[0] == '0' && strchr("xXoObB", digits[1]) != NULL && digits[1] != '\0') {
        int                base = (digits[1] | 32) == 'x' ? 16 : (digits[1] | 32) == 'o' ? 8 : 2;
        unsigned long long u = strtoull(digits + 2, &end, base);

        if (*end != '\0' || end == digits + 2 || strlen(digits) > 17)
            return false;
        snprintf(text, cap, "%s%llu", digits > text && u != 0 ? "-" : "", u);
        return true;
    }
    if (strpbrk(digits, "nNxXpP") != NULL)
        return false;
    v = strtod(text, &end);
    if (*end != '\0' || end == text || !isfinite(v))
        return false;
    lls_jfloat_text(v, text);
    return true;
}

static bool word_done(lls_dparse_t *p)
{
    bool key = p->n_nest > 0 && p->nest[p->n_nest - 1] == '{';
    char text[512];

    if (word_is(&p->key, "True", "true"))
        memcpy(text, "true", 5);
    else if (word_is(&p->key, "False", "false"))
        memcpy(text, "false", 6);
    else if (word_is(&p->key, "None", "null"))
        memcpy(text, "null", 5);
    else if (!python_number(&p->key, text, sizeof text))
        return false;
    if (key)
        out(p, "\"", 1);
    out(p, text, strlen(text));
    if (key)
        out(p, "\"", 1);
    p->py = PY_AFTER;
    return true;
}

/* What a value lacks that ends where the text does. */
static void close_value(lls_dparse_t *p)
{
    char inner = p->n_nest > 0 ? p->nest[p->n_nest - 1] : 0;

    if (p->py >= PY_OPEN1 && p->py <= PY_CLOSED)
        close_string(p);
    else if (p->py == PY_WORD && !word_done(p))
        out(p, inner == '{' ? "\"\"" : "null", inner == '{' ? 2 : 4);
    else if (p->py == PY_VALUE && (inner == 0 || inner == ':'))
        out(p, "null", 4);
    if (inner == '{' && (p->py == PY_AFTER || p->py == PY_WORD))
        out(p, ": null", 6);
}

/* What is open is closed, so that the arguments are JSON. */
void lls_dp_python_close(lls_dparse_t *p)
{
    if (!p->in_call)
        return;
    close_value(p);
    for (; p->n_nest > 0; p->n_nest--)
        out(p, p->nest[p->n_nest - 1] == '[' ? "]" : "}", 1);
    p->positional = false;
    if (p->has_args)
        lls_dp_args(p, "}", 1);
}

/* ---- Calls ----------------------------------------------------------------------------------- */

static bool end_call(lls_dparse_t *p)
{
    p->positional = false;
    if (p->has_args)
        lls_dp_args(p, "}", 1);
    lls_dp_end(p);
    p->py = PY_CALLS;
    return true;
}

static bool after_byte(lls_dparse_t *p, char c)
{
    uint32_t d = p->n_nest;

    if (lls_dp_is_blank(c))
        return true;
    if (d == 0) {
        p->positional = false;
        p->py = PY_ARG;
        return c == ',' || (c == ')' && end_call(p));
    }
    if (p->nest[d - 1] == '{') {    /* a key was read */
        p->nest[d - 1] = ':';
        out(p, ": ", 2);
        p->py = PY_VALUE;
        return c == ':';
    }
    if (c != ',')
        return unnest(p, c);
    if (p->nest[d - 1] == ':')
        p->nest[d - 1] = '{';
    p->py = PY_VALUE;
    return true;
}

/* Between calls. */
static bool calls_byte(lls_dparse_t *p, char c)
{
    if (lls_dp_is_blank(c) || (c == ',' && p->n_section > 0))
        return true;
    if (c == '[' && !p->listed)
        return p->listed = true;
    if (c == ']' && p->n_section > 0 && !(p->tools->flags & LLS_DIALECT_NO_LIST)) {
        p->undo.len = 0;
        p->drop_blank = true;
        if (!lls_dp_has_mark(p, LLS_MARK_CLOSE))
            p->state = DP_CONTENT;
        return true;
    }
    if (!is_name(c) || !p->listed)
        return false;
    p->name.len = 0;
    p->py = PY_NAME;
    return lls_dp_put(p, &p->name, &c, 1);
}

static bool name_byte(lls_dparse_t *p, char c)
{
    if (p->py == PY_NAME && (is_name(c) || c == '.' || c == '-'))
        return lls_dp_put(p, &p->name, &c, 1) && p->name.len <= DP_MAX_NAME;
    p->py = PY_PAREN;
    if (lls_dp_is_blank(c))
        return true;
    if (c != '(')
        return false;
    lls_dp_start(p);
    p->n_nest = 0;
    p->positional = false;
    p->py = PY_ARG;
    return true;
}

static bool argument_byte(lls_dparse_t *p, char c)
{
    if (lls_dp_is_blank(c) || c == ',')
        return true;
    if (c == ')')
        return end_call(p);
    p->key.len = 0;
    if (is_name(c) && !(c >= '0' && c <= '9')) {
        p->py = PY_KEY;
        return lls_dp_put(p, &p->key, &c, 1);
    }
    p->positional = true;
    return value_byte(p, c);
}

static bool key_byte(lls_dparse_t *p, char c)
{
    if (p->py == PY_KEY && is_name(c))
        return lls_dp_put(p, &p->key, &c, 1) &&
               (p->key.len <= DP_MAX_NAME || lls_dp_is_tail(c));
    p->py = PY_EQUALS;
    if (lls_dp_is_blank(c))
        return true;
    if (c == ',' || c == ')') {     /* True, None: a value without a name */
        p->py = PY_AFTER;
        return after_byte(p, c);
    }
    if (c != '=')
        return false;
    lls_dp_args(p, p->has_args ? ", " : "{", p->has_args ? 2 : 1);
    lls_dp_quote(p, p->key.data, p->key.len);
    lls_dp_args(p, ": ", 2);
    p->py = PY_VALUE;
    return true;
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

/* False: not Python as it is read here.  *took false: the byte is read again. */
static bool byte(lls_dparse_t *p, const char *c, bool *took)
{
    *took = true;
    switch (p->py) {
    case PY_CALLS:  return calls_byte(p, *c);
    case PY_NAME:
    case PY_PAREN:  return name_byte(p, *c);
    case PY_ARG:    return argument_byte(p, *c);
    case PY_KEY:
    case PY_EQUALS: return key_byte(p, *c);
    case PY_VALUE:  return value_byte(p, *c);
    case PY_OPEN1:
    case PY_OPEN2:
        *took = open_byte(p, *c);
        return true;
    case PY_STRING:
    case PY_ESCAPE:
        *took = string_byte(p, c);
        return true;
    case PY_CLOSED:                 /* strings side by side are one */
        if (*c == '"' || *c == '\'')
            string_begin(p, *c, true);
        else if (!lls_dp_is_blank(*c))
            close_string(p), *took = false;
        return true;
    case PY_WORD:
        if (is_word(*c))
            return lls_dp_put(p, &p->key, c, 1) && (p->key.len < 500 || lls_dp_is_tail(*c));
        *took = false;
        return word_done(p);
    default:        return after_byte(p, *c);
    }
}

static bool in_string(const lls_dparse_t *p)
{
    return p->py >= PY_OPEN1 && p->py <= PY_ESCAPE;
}

/* The inside of a string up to what means something. */
static size_t string_run(const lls_dparse_t *p, const char *text, size_t n)
{
    size_t i = 0;

    if (p->py != PY_STRING || p->n_quotes > 0)
        return 0;
    while (i < n && text[i] != p->quote && text[i] != '\\')
        i++;
    return i;
}

size_t lls_dp_read_python(lls_dparse_t *p, const char *text, size_t n)
{
    size_t i = 0;

    while (i < n && p->state == DP_PYTHON && !p->no_memory) {
        size_t run = string_run(p, text + i, n - i);
        bool   took, outside = p->py == PY_CALLS, string = in_string(p);

        if (run > 0) {
            if (!p->positional)
                lls_dp_escape(p, text + i, run);
            i += run;
            continue;
        }
        if (!byte(p, text + i, &took)) {
            p->broken |= !outside || p->n_section == 0;
            lls_dp_python_close(p);
            lls_dp_end(p);
            p->state = outside ? DP_BETWEEN : DP_CONTENT;
            lls_dp_fail(p);
            return i;
        }
        if (took && (p->py != PY_CALLS || p->n_section == 0))
            lls_dp_note(p, text + i, 1);
        i += took;
        if (string && !in_string(p))
            return i;               /* markers count again */
    }
    return i;
}
