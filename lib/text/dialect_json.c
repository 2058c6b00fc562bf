/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are JSON: arguments passed on as they stand, objects with a name and arguments. */
#include "text/dialect_int.h"

#include <stdio.h>

#include "text/jscan.h"

typedef enum dp_scanned { DP_BLANK, DP_INSIDE, DP_LAST, DP_BEHIND } dp_scanned_t;

static dp_scanned_t scan(dp_scan_t *s, char c)
{
    if (!s->begun) {
        if (lls_dp_is_blank(c))
            return DP_BLANK;
        if (c == ',' || c == '}' || c == ']')
            return DP_BEHIND;       /* no value at all */
        s->begun = true;
        s->in_string = c == '"';
        s->depth = c == '{' || c == '[';
        s->scalar = !s->in_string && s->depth == 0;
        return DP_INSIDE;
    }
    if (s->in_string) {
        if (!s->escaped && c == '"') {
            s->in_string = false;
            return s->depth == 0 ? DP_LAST : DP_INSIDE;
        }
        s->escaped = !s->escaped && c == '\\';
        return DP_INSIDE;
    }
    if (s->scalar)
        return lls_dp_is_blank(c) || c == ',' || c == '}' || c == ']' ? DP_BEHIND : DP_INSIDE;
    if (c == '"')
        s->in_string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if ((c == '}' || c == ']') && --s->depth == 0)
        return DP_LAST;
    return DP_INSIDE;
}

/* ---- Arguments that stand alone -------------------------------------------------------------- */

size_t lls_dp_read_json(lls_dparse_t *p, const char *text, size_t n)
{
    size_t from = 0, i = 0;
    bool   was_string;

    while (i < n) {
        dp_scanned_t r;

        was_string = p->scan.in_string;
        r = scan(&p->scan, text[i]);
        if (r == DP_BEHIND)
            break;
        i++;
        if (r == DP_BLANK)
            from = i;
        if (r == DP_LAST)
            break;
        if (was_string && !p->scan.in_string) {
            lls_dp_args(p, text + from, i - from);
            return i;               /* markers count again */
        }
        if (i == n) {
            lls_dp_args(p, text + from, i - from);
            return i;
        }
    }
    lls_dp_args(p, text + from, i - from);
    lls_dp_end(p);
    p->state = DP_BETWEEN;
    return i;
}

/* ---- Lists of objects ------------------------------------------------------------------------ */

static void object_begin(lls_dparse_t *p)
{
    p->state = DP_OBJECT;
    p->obj = DO_KEY_OR_END;
    p->name.len = p->late.len = p->key.len = 0;
    p->have_name = p->have_args = false;
    p->scan = (dp_scan_t){ 0 };
}

size_t lls_dp_read_list(lls_dparse_t *p, const char *text, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        char c = text[i];
        bool first = p->obj == DO_BEGIN;

        if (c == '{') {
            lls_dp_note(p, text, i + 1);
            object_begin(p);
            return i + 1;
        }
        if (c == '[' && first)
            p->obj = DO_COMMA;
        else if (!lls_dp_is_blank(c) && (p->n_section == 0 || (c != ',' && c != ';' && c != ']')))
            break;
        if (c == ']') {             /* the list is complete */
            p->undo.len = 0;
            p->drop_blank = true;
            p->state = lls_dp_has_mark(p, LLS_MARK_CLOSE) ? DP_LIST : DP_CONTENT;
            return i + 1;
        }
    }
    lls_dp_note(p, text, i);
    if (i < n)
        lls_dp_fail(p);
    return i;
}

/* Name and arguments are there: the call begins. */
static void object_start(lls_dparse_t *p)
{
    if (p->in_call || !p->have_name || !p->have_args)
        return;
    lls_dp_start(p);
    lls_dp_args(p, p->late.data, p->late.len);
    p->late.len = 0;
}

static void object_end(lls_dparse_t *p)
{
    if (!p->in_call && !(p->tools->flags & LLS_DIALECT_NAME_IS_KEY)) {
        lls_dp_fail(p);
        return;
    }
    if (p->n_section == 0) {
        lls_dp_fail(p);
        return;
    }
    lls_dp_end(p);
    p->undo.len = 0;
    p->state = DP_LIST;
    p->obj = DO_COMMA;
}

/* The bytes of a string of JSON, quotes included, become its characters in b. */
static bool unquote(lls_dparse_t *p, lls_buf_t *b)
{
    lls_buf_t   out = { .mem = p->mem };
    lls_jscan_t s = { b->data, b->len, 0, false };
    bool        ok = lls_jscan_string(&s, &out);

    p->no_memory |= s.no_memory;
    if (ok) {
        b->len = 0;
        ok = lls_dp_put(p, b, out.data, out.len);
    }
    lls_buf_deinit(&out);
    return ok;
}

static bool key_is(const lls_dparse_t *p, const char *name)
{
    return p->key.len == strlen(name) && memcmp(p->key.data, name, p->key.len) == 0;
}

static bool key_done(lls_dparse_t *p)
{
    const char *name = p->tools->flags & LLS_DIALECT_TOOL_NAME ? "tool_name" : "name";

    if (!unquote(p, &p->key))
        return false;
    p->obj = DO_COLON;
    p->value_is = 0;
    if (p->tools->flags & LLS_DIALECT_NAME_IS_KEY) {
        lls_dp_end(p);
        p->name.len = 0;
        p->have_name = lls_dp_put(p, &p->name, p->key.data, p->key.len);
        p->value_is = 'a';
    } else if (key_is(p, name) && !p->have_name) {
        p->value_is = 'n';
    } else if ((key_is(p, "arguments") || key_is(p, "parameters") ||
                (key_is(p, "args") && (p->tools->flags & LLS_DIALECT_ARGS))) && !p->have_args) {
        p->value_is = 'a';
    }
    return true;
}

/* The inside of a long string at once. */
static size_t string_run(const char *text, size_t n)
{
    size_t i = 0;

    while (i < n && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

static void args_out(lls_dparse_t *p, const char *text, size_t n)
{
    if (p->in_call)
        lls_dp_args(p, text, n);
    else
        lls_dp_put(p, &p->late, text, n);
}

/* The escape in p->escape; those of other characters mean the same in the strings inside. */
static void escape_out(lls_dparse_t *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char              c = p->escape[1];
    const char       *at = c == '\0' ? NULL : strchr(from, c);

    if (at != NULL)
        args_out(p, &to[at - from], 1);
    else if (c == 'u' && memcmp(p->escape + 2, "0022", 4) == 0)
        args_out(p, "\"", 1);
    else if (c == 'u' && strncasecmp(p->escape + 2, "005c", 4) == 0)
        args_out(p, "\\", 1);
    else
        args_out(p, p->escape, p->n_escape);
    p->n_escape = 0;
}

/* Part of a string that holds the arguments. */
static void unwrap(lls_dparse_t *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t run = p->n_escape == 0 ? string_run(text + i, n - i) : 0;

        if (run > 0) {
            args_out(p, text + i, run);
            i += run - 1;
        } else if (p->n_escape > 0 || text[i] == '\\') {
            p->escape[p->n_escape++] = text[i];
            if (p->n_escape == (p->escape[1] == 'u' ? 6 : 2))
                escape_out(p);
        }                           /* otherwise the string's end */
    }
}

static void args_bytes(lls_dparse_t *p, const char *text, size_t n)
{
    if (p->wrap == DW_UNKNOWN && text[0] == '"') {
        p->wrap = DW_QUOTE;         /* n is 1: no string has begun before */
        return;
    }
    if (p->wrap == DW_QUOTE && text[0] != '{')
        args_out(p, "\"", 1);
    if (p->wrap <= DW_QUOTE)
        p->wrap = p->wrap == DW_QUOTE && text[0] == '{' ? DW_STRING : DW_NONE;
    if (p->wrap == DW_STRING)
        unwrap(p, text, n);
    else
        args_out(p, text, n);
}

static void value_bytes(lls_dparse_t *p, const char *text, size_t n)
{
    if (n == 0)
        return;
    if (p->value_is == 'n') {
        lls_dp_put(p, &p->name, text, n);
    } else if (p->value_is == 'a') {
        p->have_args = true;
        object_start(p);
        args_bytes(p, text, n);
    }
}

static bool value_done(lls_dparse_t *p)
{
    if (p->value_is == 'n') {
        if (!unquote(p, &p->name) || p->name.len == 0 || p->name.len > DP_MAX_NAME)
            return false;
        p->have_name = true;
        object_start(p);
    }
    if ((p->tools->flags & LLS_DIALECT_NAME_IS_KEY) && p->in_call) {
        lls_dp_end(p);
        p->have_args = p->have_name = false;
    }
    p->obj = DO_COMMA;
    return true;
}

/* One byte inside keys and values.  *took is false where it stands behind the value. */
static bool object_string(lls_dparse_t *p, const char *c, bool *took)
{
    dp_scanned_t r = scan(&p->scan, *c);

    *took = r != DP_BEHIND;
    if (p->obj == DO_KEY) {
        lls_dp_put(p, &p->key, c, 1);
        return (p->key.len <= DP_MAX_NAME * 6 || lls_dp_is_tail(*c)) &&
               (r != DP_LAST || key_done(p));
    }
    if (r == DP_INSIDE || r == DP_LAST)
        value_bytes(p, c, 1);
    return r == DP_INSIDE || r == DP_BLANK || value_done(p);
}

/* One byte between keys and values; false = this is no object. */
static bool object_mark(lls_dparse_t *p, char c)
{
    if (lls_dp_is_blank(c))
        return true;
    switch (p->obj) {
    case DO_KEY_OR_END:
        if (c != '"')
            return false;
        p->key.len = 0;
        p->scan = (dp_scan_t){ .begun = true, .in_string = true };
        p->obj = DO_KEY;
        return lls_dp_put(p, &p->key, "\"", 1);
    case DO_COLON:
        p->obj = DO_VALUE;
        p->scan = (dp_scan_t){ 0 };
        p->wrap = DW_UNKNOWN;
        p->n_escape = 0;
        return c == ':';
    default:                        /* DO_COMMA */
        p->obj = DO_KEY_OR_END;
        return c == ',';
    }
}

/* At the i'th byte: what was read of a call stays, what was none becomes content. */
static size_t no_object(lls_dparse_t *p, size_t i)
{
    p->broken = true;
    if (!p->in_call) {
        lls_dp_fail(p);
        return i + 1;
    }
    lls_dp_end(p);
    p->state = DP_CONTENT;
    return i;
}

size_t lls_dp_read_object(lls_dparse_t *p, const char *text, size_t n)
{
    bool took = true, ok;

    for (size_t i = 0; i < n; i++) {
        bool   was_string = p->scan.in_string;
        size_t run = p->obj == DO_VALUE && was_string && !p->scan.escaped
                         ? string_run(text + i, n - i) : 0;

        if (run > 0) {
            lls_dp_note(p, text + i, run);
            value_bytes(p, text + i, run);
            i += run - 1;
            continue;
        }
        lls_dp_note(p, text + i, 1);
        if ((p->obj == DO_COMMA || p->obj == DO_KEY_OR_END) && text[i] == '}') {
            object_end(p);
            return i + 1;
        }
        if (p->obj == DO_KEY || p->obj == DO_VALUE) {
            ok = object_string(p, text + i, &took);
            if (ok && !took) {      /* the byte behind a number is read again */
                if (!p->in_call && p->undo.len > 0)     /* a call's end has forgotten it */
                    p->undo.len--;
                i--;
            }
        } else {
            ok = object_mark(p, text[i]);
        }
        if (!ok)
            return no_object(p, i);
        if (was_string && !p->scan.in_string)
            return i + 1;
    }
    return n;
}

/* ---- Strings of JSON ------------------------------------------------------------------------- */

void lls_dp_escape(lls_dparse_t *p, const char *text, size_t n)
{
    static const char short_of[] = "btn\0fr";
    size_t            from = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        char          out[8];

        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        lls_dp_args(p, text + from, i - from);
        from = i + 1;
        if (c >= 8 && c <= 13 && c != 11)
            snprintf(out, sizeof out, "\\%c", short_of[c - 8]);
        else if (c < 0x20)
            snprintf(out, sizeof out, "\\u%04x", c);
        else
            snprintf(out, sizeof out, "\\%c", c);
        lls_dp_args(p, out, strlen(out));
    }
    if (n > from) /* no text may be NULL */
        lls_dp_args(p, text + from, n - from);
}

void lls_dp_quote(lls_dparse_t *p, const char *text, size_t n)
{
    lls_dp_args(p, "\"", 1);
    lls_dp_escape(p, text, n);
    lls_dp_args(p, "\"", 1);
}
