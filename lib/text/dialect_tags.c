/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls in tags: parameters become the members of a JSON object, their values what the tool's
 * schema says.  A value that can only be a string is passed on as it comes; the others wait for
 * their end.
 */
#include "text/dialect_int.h"

#include "base/utf8.h"

/* ---- The call -------------------------------------------------------------------------------- */

void lls_dp_tags_begin(lls_dparse_t *p)
{
    p->state = p->tools->reader == LLS_READ_KEYS ? DP_NAME : DP_TAG_NAME;
    p->name.len = 0;
}

static void call_begin(lls_dparse_t *p)
{
    lls_dp_start(p);
    p->n_params = 0;
    p->state = DP_PARAMS;
}

/* NAME, "NAME" or 'NAME', and perhaps attributes behind it: the name in place. */
static void unquote_name(lls_buf_t *b)
{
    const char *end = NULL;

    lls_dp_trim(b);
    if (b->len >= 2 && (b->data[0] == '"' || b->data[0] == '\''))
        end = memchr(b->data + 1, b->data[0], b->len - 1);
    if (end == NULL)
        return;
    b->len = (size_t)(end - b->data) - 1;
    memmove(b->data, b->data + 1, b->len);
}

size_t lls_dp_read_tag_name(lls_dparse_t *p, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        lls_dp_note(p, text + i, 1);
        if (text[i] != '>') {
            lls_dp_put(p, &p->name, text + i, 1);
            if (p->name.len <= DP_MAX_NAME)
                continue;
            p->name.len = 0;
        }
        unquote_name(&p->name);
        if (p->name.len > 0)
            call_begin(p);
        else
            lls_dp_fail(p);
        return i + 1;
    }
    return n;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static void key_begin(lls_dparse_t *p)
{
    p->state = DP_KEY;
    p->key.len = 0;
}

/* The member's name goes out; what follows is its value. */
static void value_begin(lls_dparse_t *p)
{
    lls_dp_args(p, p->n_params == 0 ? "{" : ", ", p->n_params == 0 ? 1 : 2);
    p->n_params++;
    lls_dp_quote(p, p->key.data, p->key.len);
    lls_dp_args(p, ": ", 2);
    lls_dp_value_open(p);
    p->value_begun = p->quoted = p->newline = false;
    p->state = DP_VALUE;
}

static bool has(const lls_buf_t *b, const char *piece)
{
    return b->len > 0 && memmem(b->data, b->len, piece, strlen(piece)) != NULL;
}

/* string="true" or type="number" behind the name say more than a schema. */
static uint32_t type_by_attribute(const lls_buf_t *key)
{
    if (has(key, " string=\"true\"") || has(key, " type=\"string\""))
        return DP_STRING;
    return has(key, " string=\"false\"") || has(key, " type=\"") ? DP_ANY : 0;
}

static void key_end(lls_dparse_t *p)
{
    uint32_t by_attribute = type_by_attribute(&p->key);

    if (p->key.len > 0)             /* a long one was cut, perhaps inside a character */
        p->key.len = lls_utf8_valid(p->key.data, p->key.len);
    unquote_name(&p->key);
    p->types_of_value = lls_dp_types_of(&p->types, p->name.data, p->name.len,
                                        p->key.data, p->key.len);
    if (by_attribute != 0)
        p->types_of_value = by_attribute;
}

size_t lls_dp_read_key(lls_dparse_t *p, const char *text, size_t n)
{
    bool tags = p->tools->reader == LLS_READ_TAGS;

    for (size_t i = 0; i < n; i++) {
        if (tags && text[i] == '>') {
            key_end(p);
            value_begin(p);
            return i + 1;
        }
        if (p->key.len < DP_MAX_NAME)
            lls_dp_put(p, &p->key, text + i, 1);
    }
    return n;
}

/* ---- Values ---------------------------------------------------------------------------------- */

void lls_dp_value_open(lls_dparse_t *p)
{
    p->value.len = 0;
    p->streaming = p->types_of_value == DP_STRING;
    if (p->streaming)
        lls_dp_args(p, "\"", 1);
}

void lls_dp_value_close(lls_dparse_t *p)
{
    if (p->streaming)
        lls_dp_args(p, "\"", 1);
    else
        lls_dp_coerce(p, p->value.data, p->value.len, p->types_of_value);
}

void lls_dp_value_text(lls_dparse_t *p, const char *text, size_t n)
{
    if (p->streaming) {
        lls_dp_escape(p, text, n);
        return;
    }
    if (p->value.len + n <= DP_MAX_HELD) {
        lls_dp_put(p, &p->value, text, n);
        return;
    }
    lls_dp_args(p, "\"", 1);        /* too long to be typed: a string from here on */
    lls_dp_escape(p, p->value.data, p->value.len);
    lls_dp_escape(p, text, n);
    p->value.len = 0;
    p->streaming = true;
}

/* Where the dialect writes values in lines of their own, one newline at each end is markup. */
size_t lls_dp_read_value(lls_dparse_t *p, const char *text, size_t n)
{
    bool   lines = (p->tools->flags & LLS_DIALECT_TRIM_LINE) && !p->quoted;
    size_t from = lines && !p->value_begun && text[0] == '\n', to = n;

    p->value_begun = true;
    if (from == n)
        return n;
    if (p->newline)
        lls_dp_value_text(p, "\n", 1);
    p->newline = lines && text[n - 1] == '\n';
    to -= p->newline;
    if (to > from)
        lls_dp_value_text(p, text + from, to - from);
    return n;
}

static void value_end(lls_dparse_t *p)
{
    if (p->state != DP_VALUE)
        return;
    lls_dp_value_close(p);
    p->state = DP_PARAMS;
}

void lls_dp_tags_close(lls_dparse_t *p)
{
    value_end(p);
    lls_dp_args(p, p->n_params == 0 ? "{}" : "}", p->n_params == 0 ? 2 : 1);
}

static void call_end(lls_dparse_t *p)
{
    lls_dp_tags_close(p);
    lls_dp_end(p);
    p->state = DP_BETWEEN;
}

/* ---- Markers --------------------------------------------------------------------------------- */

static void in_call(lls_dparse_t *p, const dp_mark_t *m)
{
    switch (m->mark) {
    case LLS_MARK_PARAM:
        value_end(p);
        key_begin(p);
        break;
    case LLS_MARK_KEY_END:
        key_end(p);
        p->state = DP_PARAMS;
        break;
    case LLS_MARK_VALUE:
        if (p->key.len > 0)
            value_begin(p);
        break;
    case LLS_MARK_PARAM_END:
        value_end(p);
        p->key.len = 0;
        break;
    case LLS_MARK_QUOTE:
        p->quoted = p->value_begun = true;
        break;
    case LLS_MARK_QUOTE_END:
        p->quoted = false;
        break;
    case LLS_MARK_NAME_END:
        break;
    default:                        /* CALL_END, CLOSE, CALL */
        p->broken |= p->state == DP_KEY;
        call_end(p);
        if (m->mark == LLS_MARK_CALL)
            lls_dp_tags_begin(p);
        else if (m->mark == LLS_MARK_CLOSE || !lls_dp_has_mark(p, LLS_MARK_CALL))
            p->state = DP_CONTENT;
        break;
    }
}

/* NAME stands before its own end, the first key or the end of the call. */
static void name_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    unquote_name(&p->name);
    if (p->name.len == 0 || (m->mark != LLS_MARK_PARAM && m->mark != LLS_MARK_NAME_END &&
                             m->mark != LLS_MARK_CALL_END)) {
        lls_dp_note(p, m->text, m->len);
        lls_dp_fail(p);
        return;
    }
    call_begin(p);
    in_call(p, m);
}

void lls_dp_tags_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (p->in_call) {
        in_call(p, m);
    } else if (p->state == DP_NAME) {
        name_mark(p, m);
    } else if (p->state == DP_TAG_NAME) {
        lls_dp_note(p, m->text, m->len);
        lls_dp_fail(p);
    } else {
        lls_dp_note(p, m->text, m->len);
        if (m->mark == LLS_MARK_CALL)
            lls_dp_tags_begin(p);
    }
}
