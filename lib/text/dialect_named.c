/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that are a name, a separator and JSON; the channels of harmony. */
#include "text/dialect_int.h"

/* ---- A name, then arguments ------------------------------------------------------------------ */

void lls_dp_trim(lls_buf_t *b)
{
    size_t from = 0;

    while (b->len > 0 && lls_dp_is_blank(b->data[b->len - 1]))
        b->len--;
    while (from < b->len && lls_dp_is_blank(b->data[from]))
        from++;
    if (from > 0)
        memmove(b->data, b->data + from, b->len - from);
    b->len -= from;
}

/* functions.NAME:INDEX is an id, and has the name in it.  One with a NUL is none. */
static void name_from_id(lls_dparse_t *p)
{
    static const char prefix[] = "functions.";
    size_t            from = 0, to = p->name.len;

    if (memchr(p->name.data, '\0', p->name.len) == NULL &&
        !lls_dp_put(p, &p->id, p->name.data, p->name.len))
        return;
    if (p->name.len > sizeof prefix - 1 &&
        memcmp(p->name.data, prefix, sizeof prefix - 1) == 0)
        from = sizeof prefix - 1;
    while (to > from && p->name.data[to - 1] >= '0' && p->name.data[to - 1] <= '9')
        to--;
    if (to > from && p->name.data[to - 1] == ':')
        to--;
    else
        to = p->name.len;
    memmove(p->name.data, p->name.data + from, to - from);
    p->name.len = to - from;
}

static void json_begin(lls_dparse_t *p)
{
    p->state = DP_JSON;
    p->scan = (dp_scan_t){ 0 };
}

static void args_begin(lls_dparse_t *p)
{
    lls_dp_trim(&p->name);
    p->id.len = 0;
    if (p->name.len > 0 && (p->tools->flags & LLS_DIALECT_KEEP_ID))
        name_from_id(p);
    if (p->name.len == 0) {
        lls_dp_fail(p);
        return;
    }
    lls_dp_start(p);
    if (p->tools->reader == LLS_READ_BARE_KEYS)
        lls_dp_bare_begin(p);
    else
        json_begin(p);
}

/* A list of objects stands where a name could. */
static bool is_list(const lls_dparse_t *p, char c)
{
    return (p->tools->flags & LLS_DIALECT_ECHO_LIST) && p->name.len == 0 && (c == '[' || c == '{');
}

size_t lls_dp_read_name(lls_dparse_t *p, const char *text, size_t n)
{
    bool keys = p->tools->reader == LLS_READ_KEYS;

    for (size_t i = 0; i < n; i++) {
        if (p->state == DP_NAME && is_list(p, text[i])) {
            p->state = DP_LIST;
            p->obj = DO_BEGIN;
            return i;
        }
        if (text[i] == '{' && !keys) {
            args_begin(p);
            return i;
        }
        lls_dp_note(p, text + i, 1);
        if (p->state == DP_NAME && (p->name.len > 0 || !lls_dp_is_blank(text[i])))
            lls_dp_put(p, &p->name, text + i, 1);
        if (i + 1 < n && lls_dp_is_tail(text[i + 1]))
            continue;               /* what fails becomes content, in whole characters */
        if (p->name.len > DP_MAX_NAME || p->undo.len > 4 * DP_MAX_NAME) {
            lls_dp_fail(p);
            return i + 1;
        }
    }
    return n;
}

void lls_dp_named_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    bool has_calls = lls_dp_has_mark(p, LLS_MARK_CALL);
    bool in_name = p->state == DP_NAME || p->state == DP_SKIP;

    if (m->mark == LLS_MARK_NAME_END && in_name) {
        args_begin(p);
        return;
    }
    lls_dp_note(p, m->text, m->len);
    if (m->mark == LLS_MARK_SKIP && in_name) {
        p->state = has_calls ? DP_NAME : DP_SKIP;
    } else if (in_name) {
        lls_dp_fail(p);
    } else if (m->mark == LLS_MARK_CALL || (m->mark == LLS_MARK_OPEN && !has_calls)) {
        p->name.len = 0;
        p->state = has_calls && lls_dp_has_mark(p, LLS_MARK_SKIP) ? DP_SKIP : DP_NAME;
    }
}

/* ---- Harmony --------------------------------------------------------------------------------- */

/* The word behind `what` in the header, up to a blank or the next marker. */
static size_t word_behind(const lls_buf_t *b, const char *what, size_t *len)
{
    const char *at = b->len == 0 ? NULL : memmem(b->data, b->len, what, strlen(what));
    size_t      from;

    *len = 0;
    if (at == NULL)
        return 0;
    from = (size_t)(at - b->data) + strlen(what);
    while (from + *len < b->len && b->data[from + *len] > ' ')
        ++*len;
    return from;
}

static bool word_is(const lls_dparse_t *p, size_t at, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(p->header.data + at, word, len) == 0;
}

/* In a header a marker is one of these: no text has them there. */
#define CHANNEL "\1"

static void message_begin(lls_dparse_t *p)
{
    static const char functions[] = "functions.";
    size_t            len, to_len, at = word_behind(&p->header, CHANNEL, &len);
    size_t            to = word_behind(&p->header, "to=", &to_len);
    bool              call = to_len > sizeof functions - 1 &&
                memcmp(p->header.data + to, functions, sizeof functions - 1) == 0;

    p->undo.len = p->name.len = 0;
    p->drop_blank = false;
    if (call && !p->calls_off) {
        lls_dp_put(p, &p->name, p->header.data + to + sizeof functions - 1,
                   to_len - (sizeof functions - 1));
        lls_dp_start(p);
        json_begin(p);
    } else if (word_is(p, at, len, "analysis") || (to_len > 0 && !call)) {
        p->state = DP_REASONING;
    } else {
        p->state = DP_CONTENT;
    }
}

static void header_begin(lls_dparse_t *p)
{
    if (p->state == DP_REASONING)
        lls_dp_reasoning_end(p, p->taken);
    if (p->in_call) {
        p->broken |= p->scan.begun && !p->scan.scalar;
        lls_dp_end(p);
    }
    p->state = DP_HEADER;
    p->header.len = p->undo.len = 0;
    p->headed = true;
}

/* Text that comes without a header is not lost, blank space is. */
static void between_messages(lls_dparse_t *p)
{
    p->state = DP_CONTENT;
    p->drop_blank = true;
}

void lls_dp_harmony_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (m->mark == LLS_MARK_DROP) {
        lls_dp_put(p, &p->header, " ", 1);
    } else if (m->mark == LLS_MARK_MESSAGE) {
        message_begin(p);
    } else if (m->mark == LLS_MARK_CHANNEL && p->state == DP_HEADER) {
        p->headed = true;
        lls_dp_put(p, &p->header, CHANNEL, 1);
    } else {
        header_begin(p);
        if (m->mark == LLS_MARK_CHANNEL)
            lls_dp_put(p, &p->header, CHANNEL, 1);
        else if (m->mark == LLS_MARK_STOP)
            between_messages(p);
    }
}

size_t lls_dp_read_header(lls_dparse_t *p, const char *text, size_t n)
{
    lls_dp_note(p, text, n);
    lls_dp_put(p, &p->header, text, n);
    if (p->header.len > 4 * DP_MAX_NAME)
        lls_dp_fail(p);
    return n;
}
