/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs as a whole: arguments in one spacing, or, if a call is broken, the text as it was. */
#include "text/dialect_int.h"

/* Everything but the reasoning that came first is content, as it was written. */
static void as_content(lls_dparse_t *p)
{
    p->n_events = p->whole_events;
    p->n_calls = 0;
    lls_dp_emit(p, LLM_EVENT_CONTENT, p->raw.data + p->whole_at, p->raw.len - p->whole_at);
}

/* The arguments of all calls, normalized, behind what is in out. */
static bool normalize(lls_dparse_t *p)
{
    for (size_t i = 0; i < p->n_events; i++) {
        dp_event_t *e = &p->events[i];
        lls_buf_t   text = { .mem = p->mem };
        bool        ok;

        if (e->kind != LLM_EVENT_ARGUMENTS)
            continue;
        ok = lls_dp_normalize(&text, p->out.data + e->at, e->n) &&
             lls_dp_put(p, &p->out, "", 1);
        e->at = p->out.len;
        e->n = text.len;
        ok = ok && lls_dp_put(p, &p->out, text.data, text.len) && lls_dp_put(p, &p->out, "", 1);
        lls_buf_deinit(&text);
        if (!ok)
            return false;
    }
    return true;
}

void lls_dp_whole(lls_dparse_t *p)
{
    if (p->n_calls == 0 && !p->broken)
        return;
    if (p->broken || !normalize(p))
        as_content(p);
}
