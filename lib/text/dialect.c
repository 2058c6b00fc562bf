/* SPDX-License-Identifier: Apache-2.0 */
/* The engine of the dialects: markers in the text, content and reasoning, the events made. */
#include "text/dialect_int.h"

#include <stdio.h>

#include "base/philox.h"

#define BIT(mark) (1u << LLS_MARK_##mark)

/* ---- Events ---------------------------------------------------------------------------------- */

bool lls_dp_put(lls_dparse_t *p, lls_buf_t *b, const void *data, size_t n)
{
    if (!p->no_memory && lls_buf_put(b, data, n))
        return true;
    p->no_memory = true;
    return false;
}

static dp_event_t *add_event(lls_dparse_t *p, int32_t kind)
{
    dp_event_t *e;

    if (p->n_events > 0 && !lls_dp_put(p, &p->out, "", 1))
        return NULL;
    if (p->no_memory || (p->n_events == p->cap_events &&
                         !lls_reserve(p->mem, (void **)&p->events, &p->cap_events, p->n_events + 1,
                                      sizeof *p->events))) {
        p->no_memory = true;
        return NULL;
    }
    e = &p->events[p->n_events++];
    *e = (dp_event_t){ .kind = kind, .call = p->n_calls > 0 ? p->n_calls - 1 : 0,
                       .at = p->out.len };
    return e;
}

void lls_dp_emit(lls_dparse_t *p, int32_t kind, const char *text, size_t n)
{
    dp_event_t *e = p->n_events > 0 ? &p->events[p->n_events - 1] : NULL;
    uint32_t    call = p->n_calls > 0 ? p->n_calls - 1 : 0;

    if (n == 0)
        return;
    if (e == NULL || e->kind != kind || e->at + e->n != p->out.len ||
        (kind == LLM_EVENT_ARGUMENTS && e->call != call) || p->next_event == p->n_events)
        e = add_event(p, kind);
    if (e == NULL || !lls_dp_put(p, &p->out, text, n))
        return;
    e->n += n;
    if (kind == LLM_EVENT_CONTENT || kind == LLM_EVENT_REASONING)
        e->call = 0;
}

void lls_dp_args(lls_dparse_t *p, const char *text, size_t n)
{
    p->has_args |= n > 0;
    lls_dp_emit(p, LLM_EVENT_ARGUMENTS, text, n);
}

static void put_id(lls_dparse_t *p)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char              text[64];
    lls_philox_t      r = lls_philox(p->seed, (lls_philox_t){ { p->n_calls, 0, 0, 0x746f6f6cu } });
    uint64_t          bits = (uint64_t)r.w[0] << 32 | r.w[1];

    if (p->tools->flags & LLS_DIALECT_SHORT_ID) {
        for (size_t i = 0; i < 9; i++, bits /= 62)
            text[i] = letters[bits % 62];
        text[9] = '\0';
    } else {
        snprintf(text, sizeof text, "chatcmpl-tool-%08x%08x%08x%08x", r.w[0], r.w[1], r.w[2],
                 r.w[3]);
    }
    if (p->id.len > 0)
        lls_dp_put(p, &p->out, p->id.data, p->id.len);
    else
        lls_dp_put(p, &p->out, text, strlen(text));
}

void lls_dp_start(lls_dparse_t *p)
{
    dp_event_t *e;

    p->blank.len = p->undo.len = 0;
    p->n_calls++;
    p->n_section++;
    p->in_call = true;
    p->has_args = p->at_start = false;
    e = add_event(p, LLM_EVENT_TOOL_START);
    if (e == NULL || !lls_dp_put(p, &p->out, p->name.data, p->name.len) ||
        !lls_dp_put(p, &p->out, "", 1))
        return;
    e->n = p->name.len;
    e->id_at = p->out.len;
    put_id(p);
}

void lls_dp_end(lls_dparse_t *p)
{
    if (!p->in_call)
        return;
    if (!p->has_args)
        lls_dp_args(p, "{}", 2);
    p->in_call = false;
    p->drop_blank = true;
    p->id.len = p->undo.len = 0;
    add_event(p, LLM_EVENT_TOOL_END);
}

/* ---- Content --------------------------------------------------------------------------------- */

static void flush_blank(lls_dparse_t *p)
{
    if (!p->drop_blank)
        lls_dp_emit(p, LLM_EVENT_CONTENT, p->blank.data, p->blank.len);
    p->blank.len = 0;
}

/* Blank space that may turn out to stand before markup. */
static void hold_blank(lls_dparse_t *p, char c)
{
    if (p->drop_blank)
        return;
    if (p->blank.len >= DP_MAX_BLANK)
        flush_blank(p);
    lls_dp_put(p, &p->blank, &c, 1);
}

/* Messages of harmony are what they are, with the blank space in them. */
static bool holds_blank(const lls_dparse_t *p)
{
    if (p->tools != NULL && (p->tools->reader != LLS_READ_HARMONY || p->drop_blank))
        return true;
    return p->thinking != NULL && p->at_start;
}

static void section_begin(lls_dparse_t *p, dp_state_t state)
{
    p->state = state;
    p->n_section = 0;
    p->obj = DO_BEGIN;
    p->name.len = p->id.len = 0;
}

/* A call without a marker, at the start of the content. */
static bool begins_unmarked(lls_dparse_t *p, char c)
{
    if (!p->at_start || p->tools == NULL || !(p->tools->flags & LLS_DIALECT_UNMARKED) ||
        p->n_calls > 0)
        return false;
    if (p->tools->reader == LLS_READ_PYTHON && c == '[') {
        section_begin(p, DP_PYTHON);
        lls_dp_python_begin(p);
        return true;
    }
    if (p->tools->reader == LLS_READ_OBJECTS && (c == '{' || c == '[')) {
        section_begin(p, DP_LIST);
        return true;
    }
    return false;
}

static size_t read_content(lls_dparse_t *p, const char *text, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t from = i;

        if (lls_dp_is_blank(text[i]) && holds_blank(p)) {
            hold_blank(p, text[i++]);
            continue;
        }
        if (begins_unmarked(p, text[i]))
            return i;
        flush_blank(p);
        p->at_start = p->drop_blank = false;
        while (i < n && !(lls_dp_is_blank(text[i]) && holds_blank(p)))
            i++;
        lls_dp_emit(p, LLM_EVENT_CONTENT, text + from, i - from);
    }
    return n;
}

void lls_dp_note(lls_dparse_t *p, const char *text, size_t n)
{
    if (!p->in_call)
        lls_dp_put(p, &p->undo, text, n);
}

void lls_dp_fail(lls_dparse_t *p)
{
    bool between = p->state == DP_BETWEEN || p->state == DP_LIST;

    if (!between || p->n_section == 0)
        p->broken |= p->undo.len > 0;
    p->state = DP_CONTENT;
    p->at_start = false;
    read_content(p, p->undo.data, p->undo.len);
    p->undo.len = 0;
}

/* ---- Markers --------------------------------------------------------------------------------- */

bool lls_dp_has_mark(const lls_dparse_t *p, uint32_t mark)
{
    for (uint32_t i = 0; i < p->n_marks; i++)
        if (p->marks[i].mark == mark)
            return true;
    return false;
}

static uint32_t opening(const lls_dparse_t *p)
{
    if (p->tools == NULL)
        return 0;
    if (p->tools->reader == LLS_READ_HARMONY)
        return BIT(OPEN) | BIT(CHANNEL) | BIT(STOP);
    return BIT(OPEN) | (p->tools->flags & LLS_DIALECT_NO_SECTION ? BIT(CALL) : 0);
}

static uint32_t marks_of_content(const lls_dparse_t *p)
{
    uint32_t marks = BIT(SPECIAL) | BIT(HEAD) | opening(p);

    if (p->tools != NULL && p->tools->reader == LLS_READ_OBJECTS)
        marks |= BIT(DROP);
    if (p->thinking == NULL)
        return marks;
    if ((p->at_start && !p->left_reasoning) || (p->thinking->flags & LLS_THINK_AGAIN))
        marks |= BIT(THINK);
    return marks | BIT(THINK_END);
}

static uint32_t marks_of_reasoning(const lls_dparse_t *p)
{
    uint32_t marks = BIT(SPECIAL) | BIT(THINK) | BIT(THINK_END);

    if (p->tools != NULL && p->tools->reader == LLS_READ_HARMONY)
        return BIT(SPECIAL) | opening(p);
    return p->thinking->flags & LLS_THINK_TOOL_ENDS ? marks | opening(p) : marks;
}

/* What counts as a marker here and now. */
static uint32_t marks_of(const lls_dparse_t *p)
{
    switch (p->state) {
    case DP_CONTENT:   return marks_of_content(p);
    case DP_REASONING: return marks_of_reasoning(p);
    case DP_BETWEEN:
        return BIT(OPEN) | BIT(CALL) | BIT(CALL_END) | BIT(CLOSE) | BIT(DROP) | BIT(SPECIAL);
    case DP_LIST:      return BIT(OPEN) | BIT(CLOSE) | BIT(SPECIAL);
    case DP_OBJECT:    return p->scan.in_string ? 0 : BIT(OPEN) | BIT(CLOSE);
    case DP_SKIP:
    case DP_NAME:
        return BIT(SKIP) | BIT(NAME_END) | BIT(PARAM) | BIT(CALL_END) | BIT(CLOSE) | BIT(OPEN);
    case DP_JSON:
        return p->scan.in_string ? 0 : BIT(CALL) | BIT(CALL_END) | BIT(CLOSE) | opening(p);
    case DP_TAG_NAME:  return BIT(CALL_END) | BIT(CLOSE);
    case DP_PARAMS:    return BIT(PARAM) | BIT(VALUE) | BIT(CALL_END) | BIT(CLOSE) | BIT(CALL);
    case DP_KEY:       return BIT(KEY_END) | BIT(CALL_END);
    case DP_VALUE:
        if (p->quoted)
            return BIT(QUOTE_END);
        return BIT(PARAM_END) | BIT(PARAM) | BIT(CALL_END) | (p->value_begun ? 0 : BIT(QUOTE));
    case DP_PYTHON:
        return p->py >= PY_OPEN1 && p->py <= PY_ESCAPE ? 0 : BIT(OPEN) | BIT(CLOSE);
    case DP_BARE:
        return p->bare == BK_STRING ? BIT(QUOTE) : BIT(QUOTE) | BIT(OPEN) | BIT(CLOSE);
    case DP_HEADER:
        return BIT(CHANNEL) | BIT(MESSAGE) | BIT(STOP) | BIT(OPEN) | BIT(DROP) | BIT(HEAD) |
               BIT(CLOSE) | BIT(THINK);
    default:           return 0;
    }
}

enum { NO_MARK = -1, MAYBE = -2 };

static bool counts(const lls_dparse_t *p, const dp_mark_t *m)
{
    return m->token < 0 || !p->has_tokens || m->seen > 0;
}

/* The longest marker that text begins with, or MAYBE if more text may make one. */
static int match(const lls_dparse_t *p, const char *text, size_t n, uint32_t marks, bool last)
{
    int    best = NO_MARK;
    size_t len = 0;
    bool   wait = false;

    for (uint32_t i = 0; i < p->n_marks; i++) {
        const dp_mark_t *m = &p->marks[i];
        size_t           common = m->len < n ? m->len : n;

        if (!(marks & 1u << m->mark) || memcmp(m->text, text, common) != 0 || !counts(p, m))
            continue;
        if (m->len > n)
            wait = true;
        else if (m->len > len)
            len = m->len, best = (int)i;
    }
    return wait && !last ? MAYBE : best;
}

/* ---- States ---------------------------------------------------------------------------------- */

void lls_dp_reasoning_end(lls_dparse_t *p, size_t at)
{
    if (!p->left_reasoning && p->n_calls == 0) {
        p->whole_events = p->n_events;
        p->whole_at = at;
    }
    p->left_reasoning = true;
}

static void leave_reasoning(lls_dparse_t *p, size_t at)
{
    lls_dp_reasoning_end(p, at);
    p->state = DP_CONTENT;
    p->at_start = true;
}

static void section_end(lls_dparse_t *p, const dp_mark_t *m)
{
    lls_dp_note(p, m->text, m->len);
    if (p->n_section == 0) {
        lls_dp_fail(p);
        return;
    }
    p->undo.len = 0;
    p->state = DP_CONTENT;
    p->drop_blank = true;
}

/* The marker that makes content or reasoning into calls. */
static void open_section(lls_dparse_t *p, const dp_mark_t *m)
{
    static const dp_state_t next[] = {
        [LLS_READ_OBJECTS] = DP_LIST,  [LLS_READ_NAMED] = DP_BETWEEN,
        [LLS_READ_TAGS] = DP_BETWEEN,  [LLS_READ_KEYS] = DP_BETWEEN,
        [LLS_READ_PYTHON] = DP_PYTHON, [LLS_READ_BARE_KEYS] = DP_BETWEEN,
    };

    lls_dp_note(p, m->text, m->len);
    section_begin(p, next[p->tools->reader]);
    if (p->state == DP_BETWEEN && !lls_dp_has_mark(p, LLS_MARK_CALL))
        p->state = DP_NAME;
    if (p->tools->reader == LLS_READ_PYTHON)
        lls_dp_python_begin(p);
    if (m->mark == LLS_MARK_CALL)
        lls_dp_tags_begin(p);
}

static void content_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    switch (m->mark) {
    case LLS_MARK_OPEN:
    case LLS_MARK_CALL:
        open_section(p, m);
        break;
    case LLS_MARK_THINK:
        p->state = DP_REASONING;
        p->blank.len = 0;
        break;
    case LLS_MARK_HEAD:
        p->state = DP_HEADER;
        p->header.len = 0;
        break;
    default:                        /* THINK_END that nothing began, DROP */
        break;
    }
}

static void reasoning_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (m->mark == LLS_MARK_THINK_END) {
        leave_reasoning(p, p->taken);
    } else if (m->mark == LLS_MARK_OPEN || m->mark == LLS_MARK_CALL) {
        leave_reasoning(p, p->taken - m->len);
        content_mark(p, m);
    }
}

/* What is open in the arguments is closed, so that they are JSON where the text is not. */
static void close_args(lls_dparse_t *p)
{
    if (p->state == DP_PYTHON)
        lls_dp_python_close(p);
    else if (p->state == DP_BARE)
        lls_dp_bare_close(p);
    else if (p->state >= DP_TAG_NAME && p->state <= DP_VALUE)
        lls_dp_tags_close(p);
}

/* A marker where only part of a call was read. */
static void cut_call(lls_dparse_t *p, const dp_mark_t *m)
{
    p->broken = true;
    if (!p->in_call) {
        lls_dp_note(p, m->text, m->len);
        lls_dp_fail(p);
        return;
    }
    close_args(p);
    lls_dp_end(p);
    p->state = DP_CONTENT;
    if (m->mark == LLS_MARK_OPEN)
        open_section(p, m);
}

static void list_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (m->mark == LLS_MARK_OPEN) {
        lls_dp_note(p, m->text, m->len);
        p->obj = DO_BEGIN;
    } else {
        section_end(p, m);
    }
}

static void python_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (p->py == PY_CALLS && m->mark == LLS_MARK_CLOSE)
        section_end(p, m);
    else if (p->py == PY_CALLS && p->n_section == 0)
        lls_dp_note(p, m->text, m->len);
    else
        cut_call(p, m);
}

static void call_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (p->tools->reader == LLS_READ_NAMED || p->tools->reader == LLS_READ_BARE_KEYS)
        lls_dp_named_mark(p, m);
    else
        lls_dp_tags_mark(p, m);
}

/* The token of a marker is in the text: of all markers that are this token. */
static void met(lls_dparse_t *p, int32_t token)
{
    for (uint32_t i = 0; i < p->n_marks; i++)
        if (p->marks[i].token == token && p->marks[i].seen > 0)
            p->marks[i].seen--;
}

static void on_mark(lls_dparse_t *p, const dp_mark_t *m)
{
    if (m->mark == LLS_MARK_SPECIAL)
        return;
    if (p->tools != NULL && p->tools->reader == LLS_READ_HARMONY && m->mark != LLS_MARK_THINK &&
        m->mark != LLS_MARK_THINK_END) {
        lls_dp_harmony_mark(p, m);
        return;
    }
    switch (p->state) {
    case DP_CONTENT:   content_mark(p, m); break;
    case DP_REASONING: reasoning_mark(p, m); break;
    case DP_HEADER:
        p->undo.len = 0;
        p->state = DP_CONTENT;
        content_mark(p, m);
        break;
    case DP_LIST:      list_mark(p, m); break;
    case DP_OBJECT:    cut_call(p, m); break;
    case DP_PYTHON:    python_mark(p, m); break;
    case DP_BARE:
        if (m->mark == LLS_MARK_QUOTE)
            lls_dp_bare_quote(p);
        else
            cut_call(p, m);
        break;
    case DP_BETWEEN:
        if (m->mark == LLS_MARK_CLOSE)
            section_end(p, m);
        else
            call_mark(p, m);
        break;
    case DP_JSON:
        if (p->scan.begun && !p->scan.scalar)
            p->broken = true;
        lls_dp_end(p);
        p->state = DP_BETWEEN;
        on_mark(p, m);
        break;
    default:
        call_mark(p, m);
        break;
    }
}

static size_t read_reasoning(lls_dparse_t *p, const char *text, size_t n)
{
    lls_dp_emit(p, LLM_EVENT_REASONING, text, n);
    return n;
}

/* Only blank space stands between calls; other text ends the section. */
static size_t read_between(lls_dparse_t *p, const char *text, size_t n)
{
    size_t i = 0;

    while (i < n && lls_dp_is_blank(text[i]))
        i++;
    lls_dp_note(p, text, i);
    if (i < n)
        lls_dp_fail(p);
    return i;
}

static size_t read_params(lls_dparse_t *p, const char *text, size_t n)
{
    (void)p, (void)text;
    return n;
}

static size_t (*const readers[DP_N_STATES])(lls_dparse_t *, const char *, size_t) = {
    [DP_CONTENT] = read_content,      [DP_REASONING] = read_reasoning,
    [DP_BETWEEN] = read_between,        [DP_LIST] = lls_dp_read_list,
    [DP_OBJECT] = lls_dp_read_object,   [DP_SKIP] = lls_dp_read_name,
    [DP_NAME] = lls_dp_read_name,       [DP_JSON] = lls_dp_read_json,
    [DP_TAG_NAME] = lls_dp_read_tag_name, [DP_PARAMS] = read_params,
    [DP_KEY] = lls_dp_read_key,         [DP_VALUE] = lls_dp_read_value,
    [DP_PYTHON] = lls_dp_read_python,   [DP_BARE] = lls_dp_read_bare,
    [DP_HEADER] = lls_dp_read_header,
};

/* ---- Driving --------------------------------------------------------------------------------- */

/* Text up to the next byte that may begin a marker; at least one character, or a byte of one that
 * a reader gave up in the middle of: content goes on with the rest in the same event. */
static size_t plain_run(const lls_dparse_t *p, const char *text, size_t n, uint32_t marks)
{
    size_t i = 1;

    while (i < n && lls_dp_is_tail(text[i]))
        i++;
    while (i < n && !(p->first[(unsigned char)text[i]] & marks))
        i++;
    return i;
}

void lls_dp_drive(lls_dparse_t *p, bool last)
{
    size_t   run_end = 0;           /* no marker of run_marks begins before it: readers that take */
    uint32_t run_marks = 0;         /* little at a time do not have it searched again */

    while (p->at < p->in.len && !p->no_memory) {
        const char *text = p->in.data + p->at;
        size_t      n = p->in.len - p->at, took;
        uint32_t    marks = marks_of(p);
        int         found = NO_MARK;

        if (p->first[(unsigned char)text[0]] & marks)
            found = match(p, text, n, marks, last);
        if (found == MAYBE)
            break;
        if (found < 0 && (run_end <= p->at || run_marks != marks)) {
            run_end = p->at + plain_run(p, text, n, marks);
            run_marks = marks;
            p->steps += run_end - p->at;
        }
        took = found >= 0 ? p->marks[found].len : run_end - p->at;
        p->steps += found >= 0 ? took + 1 : 1;
        if (found >= 0) {
            p->taken += took;
            p->at += took;
            met(p, p->marks[found].token);
            on_mark(p, &p->marks[found]);
            continue;
        }
        took = readers[p->state](p, text, took);
        p->taken += took;
        p->at += took;
        if (p->undo.len > DP_MAX_HELD || p->late.len > DP_MAX_HELD)
            lls_dp_fail(p);
    }
    if (p->at > 0 && !p->no_memory) {
        memmove(p->in.data, p->in.data + p->at, p->in.len - p->at);
        p->in.len -= p->at;
        p->at = 0;
    }
}

void lls_dp_finish(lls_dparse_t *p)
{
    bool between = p->state == DP_BETWEEN || p->state == DP_LIST ||
                   (p->state == DP_PYTHON && p->py == PY_CALLS);

    if (p->in_call) {
        p->broken = true;
        close_args(p);
        lls_dp_end(p);
    } else if (p->state == DP_HEADER && p->headed) {
        p->undo.len = 0;
    } else if (p->state > DP_REASONING && !(between && p->n_section > 0)) {
        lls_dp_fail(p);
    }
    if (p->n_calls == 0)
        flush_blank(p);
}
