/* SPDX-License-Identifier: Apache-2.0 */
/* What goes into a parser: bytes made into characters, tokens counted; and the events it gives. */
#include "text/dialect_int.h"

#include "base/utf8.h"

/* ---- Bytes ----------------------------------------------------------------------------------- */

static size_t char_len(char c)
{
    unsigned char u = (unsigned char)c;

    return u < 0xc0 ? 1 : u < 0xe0 ? 2 : u < 0xf0 ? 3 : 4;
}

/* Whether n bytes may be the beginning of a character. */
static bool may_grow(const char *bytes, uint32_t n)
{
    const unsigned char *s = (const unsigned char *)bytes;
    unsigned char        low = 0x80, high = 0xbf;

    if (s[0] < 0xc2 || s[0] > 0xf4 || n >= char_len(bytes[0]))
        return false;
    if (n == 1)
        return true;
    low = s[0] == 0xe0 ? 0xa0 : s[0] == 0xf0 ? 0x90 : low;
    high = s[0] == 0xed ? 0x9f : s[0] == 0xf4 ? 0x8f : high;
    return s[1] >= low && s[1] <= high && (n == 2 || (s[2] & 0xc0) == 0x80);
}

/* One byte at the door, behind those that wait there. */
static void enter(lls_dparse_t *p, char c)
{
    uint32_t cp;

    for (;;) {
        p->door[p->n_door++] = c;
        if (lls_utf8_decode(p->door, p->n_door, &cp) == p->n_door) {
            lls_dp_put(p, &p->in, p->door, p->n_door);
            p->n_door = 0;
            return;
        }
        if (may_grow(p->door, p->n_door))
            return;
        lls_dp_put(p, &p->in, "\xef\xbf\xbd", 3);
        if (p->n_door == 1) {
            p->n_door = 0;
            return;
        }
        p->n_door = 0;
    }
}

static void take_text(lls_dparse_t *p, const char *text, size_t len, bool last)
{
    size_t before = p->in.len, i = 0;

    while (i < len && !p->no_memory) {
        size_t run = p->n_door == 0 ? lls_utf8_valid(text + i, len - i) : 0;

        lls_dp_put(p, &p->in, text + i, run);
        i += run;
        if (i < len)
            enter(p, text[i++]);
    }
    if (last && p->n_door > 0) {
        lls_dp_put(p, &p->in, "\xef\xbf\xbd", 3);
        p->n_door = 0;
    }
    if (p->whole && p->in.len > before)
        lls_dp_put(p, &p->raw, p->in.data + before, p->in.len - before);
}

static void take_tokens(lls_dparse_t *p, const int32_t *tokens, size_t n)
{
    p->has_tokens |= n > 0;
    for (uint32_t i = 0; i < p->n_marks; i++)
        for (size_t k = 0; k < n && p->marks[i].token >= 0; k++)
            p->marks[i].seen += tokens[k] == p->marks[i].token;
}

/* ---- Feeding --------------------------------------------------------------------------------- */

static void start_of_feed(lls_dparse_t *p)
{
    if (p->next_event < p->n_events || p->whole)
        return;
    p->n_events = p->next_event = p->out.len = 0;
}

llm_status_t lls_dparse_feed(lls_dparse_t *p, const char *text, size_t len, const int32_t *tokens,
                             size_t n_tokens, bool last, llm_error_t *err)
{
    if (p->finished)
        return lls_fail(err, LLM_ERR_STATE, "the parser has had its last text; create another");
    start_of_feed(p);
    if (p->thinking != NULL && (p->thinking->flags & LLS_THINK_APPEND) && p->at_start) {
        p->at_start = false;
        lls_dp_emit(p, LLM_EVENT_CONTENT, "<think>", 7);
    }
    take_tokens(p, tokens, n_tokens);
    take_text(p, text, len, last);
    lls_dp_drive(p, last);
    if (last && !p->no_memory)
        lls_dp_finish(p);
    if (last && p->whole && !p->no_memory)
        lls_dp_whole(p);
    if (p->n_events > 0 && (last || !p->whole))
        lls_dp_put(p, &p->out, "", 1);
    p->finished = last || p->no_memory;
    if (!p->no_memory)
        return LLM_OK;
    p->n_events = p->next_event = 0;
    return lls_fail(err, LLM_ERR_NO_MEMORY, "parser of tool calls, %llu bytes of text",
                    (unsigned long long)p->taken);
}

const llm_event_t *lls_dparse_next(lls_dparse_t *p)
{
    const dp_event_t *e;

    if (p->next_event >= p->n_events || (p->whole && !p->finished))
        return NULL;
    e = &p->events[p->next_event++];
    p->event = (llm_event_t){ .struct_size = sizeof p->event, .kind = e->kind, .index = e->call,
                              .text = e->kind == LLM_EVENT_TOOL_END ? "" : p->out.data + e->at,
                              .text_len = e->n };
    if (e->kind == LLM_EVENT_TOOL_START)
        p->event.id = p->out.data + e->id_at;
    return &p->event;
}

uint64_t lls_dparse_steps(const lls_dparse_t *p) { return p->steps; }
