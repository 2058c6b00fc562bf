/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sched/sched_int.h"

/* ---- Update --------------------------------------------------------------------------------- */

static bool is_stop_id(const lls_req_t *r, int32_t token)
{
    for (uint32_t i = 0; i < r->n_stop_ids; i++)
        if (r->stop_ids[i] == token)
            return true;
    return false;
}

/* min_tokens holds back stop tokens only; the length cap always counts. */
static uint32_t why_stop(const lls_req_t *r)
{
    if (r->n_tokens - r->n_prompt >= r->min_tokens && is_stop_id(r, r->tokens[r->n_tokens - 1]))
        return LLS_FINISH_STOP;
    return r->n_tokens >= r->len_cap ? LLS_FINISH_LENGTH : LLS_FINISH_NONE;
}

static void append_tokens(lls_sched_t *s, lls_req_t *r, const int32_t *tokens, uint32_t n)
{
    for (uint32_t i = 0; i < n && r->finish == LLS_FINISH_NONE; i++) {
        r->tokens[r->n_tokens++] = tokens[i];
        r->finish = (uint8_t)why_stop(r);
    }
    lls_req_hash_tokens(lls_kv_get_config(s->kv), r);
}

static void keep_drafts(const lls_sched_t *s, lls_req_t *r, const int32_t *drafts, uint32_t n)
{
    if (!(r->options & LLS_REQ_DRAFTS) || r->n_hold > 0)
        return;                     /* they were for a token that is no longer the last */
    r->n_drafts = (uint8_t)lls_min_u32(n, s->cfg.max_drafts);
    memcpy(r->drafts, drafts, r->n_drafts * sizeof *drafts);
}

/* Result row i of a live request.  Leaves finish set if it is over. */
static void settle(lls_sched_t *s, lls_req_t *r, const lls_flight_row_t *f,
                   const lls_step_result_t *res, uint32_t i)
{
    const lls_row_result_t *row = &lls_result_rows(res)[i];
    const int32_t          *tokens = lls_result_tokens(res);
    uint32_t                first = r->n_tokens, rejected;

    if (row->status != LLS_ROW_OK) {
        r->finish = LLS_FINISH_ERROR;
    } else if (f->flags & LLS_RUN_POOL) {
        r->finish = LLS_FINISH_POOLED;
    } else if (f->flags & LLS_RUN_SAMPLE) {
        lls_assert(row->tokens.n >= 1 && row->tokens.n <= f->n_draft + 1u);
        rejected = f->n_draft + 1 - row->tokens.n;
        r->n_computed -= rejected;
        r->n_hold -= 1 + f->n_draft;
        r->slack -= f->n_draft;
        r->n_flying--;
        append_tokens(s, r, tokens + row->tokens.off, row->tokens.n);
        keep_drafts(s, r, tokens + row->drafts.off, row->drafts.n);
    } else {
        return;                     /* the middle of a prompt has no news */
    }
    lls_sched_report(s, r, first, i);
}

static void drop_finished(lls_sched_t *s)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < s->n_running; i++) {
        lls_req_t *r = running_at(s, i);
        if (r->finish == LLS_FINISH_NONE)
            s->running[kept++] = s->running[i];
        else
            lls_sched_retire(s, r, r->finish);
    }
    s->n_running = kept;
}

/* What came is good up to a position; the rest is computed here. */
static void end_load(lls_sched_t *s, lls_req_t *r, uint32_t good_end)
{
    const lls_kv_config_t *k = lls_kv_get_config(s->kv);
    uint32_t               end = lls_min_u32(good_end, r->load_to), align = 1;

    for (uint32_t g = 0; g < k->n_groups; g++) {
        align = lls_max_u32(align, k->group[g].block_tokens);
        if (k->group[g].kind != LLS_KV_FULL && end < r->load_to)
            end = 0;                /* a window or state for a shorter end was not asked for */
    }
    end = end / align * align;
    if (end == 0)
        lls_req_forget_progress(s, r);
    r->n_computed = end;
    lls_kv_publish(s->kv, &r->kv, end, end);
    lls_sched_unblock_req(s, r, LLS_BLOCKED_REMOTE);
}

static void end_job(lls_sched_t *s, const lls_xfer_done_t *d)
{
    lls_req_t *r = req_at(s, d->job);

    lls_assert(r->n_jobs > 0);
    r->n_jobs--;
    s->n_jobs--;
    if (r->state != LLS_REQ_FINISHED) {
        end_load(s, r, d->good_end);
    } else if (r->n_jobs == 0) {    /* it was gone already; now its blocks go too */
        lls_kv_release(s->kv, &r->kv);
        s->done[s->n_done++] = r->slot;
    }
}

void lls_sched_update(lls_sched_t *s, const lls_step_result_t *result)
{
    lls_flight_t *f = &s->flights[s->first_flight];
    bool          ended = false;

    for (uint32_t i = 0; i < lls_result_n_done(result); i++)
        end_job(s, &lls_result_done(result)[i]);
    if (result->step == 0)
        return;
    lls_assert(s->n_flights > 0 && result->step == f->step && lls_result_n_rows(result) == f->n);
    for (uint32_t i = 0; i < f->n; i++) {
        lls_req_t *r = req_at(s, f->rows[i].slot);
        if (r->epoch != f->rows[i].epoch)
            continue;               /* finished or preempted since */
        settle(s, r, &f->rows[i], result, i);
        ended |= r->finish != LLS_FINISH_NONE;
    }
    if (ended)
        drop_finished(s);
    s->first_flight = (s->first_flight + 1) % s->cfg.max_in_flight;
    s->n_flights--;
    if (s->n_flights == 0)
        lls_kv_end_copies(s->kv);
}

static uint32_t running_index(const lls_sched_t *s, uint32_t slot)
{
    uint32_t i = 0;

    while (s->running[i] != slot)
        i++;
    return i;
}

/* What is on its way is not taken for good: it begins behind blocks that lost their contents. */
static void distrust_loads(lls_sched_t *s)
{
    for (uint32_t i = 0; s->n_jobs > 0 && i < s->cfg.max_reqs; i++)
        if (s->reqs[i].state == LLS_REQ_BLOCKED)
            s->reqs[i].load_to = 0;
}

void lls_sched_withdraw(lls_sched_t *s)
{
    lls_flight_t *f = &s->flights[s->first_flight];

    lls_assert(s->n_flights == 1);
    for (uint32_t i = 0; i < f->n; i++) {
        lls_req_t *r = req_at(s, f->rows[i].slot);
        if (r->epoch == f->rows[i].epoch)
            lls_kv_unpublish(s->kv, &r->kv, r->n_computed - f->rows[i].n);
    }
    for (uint32_t i = 0; i < f->n; i++)
        if (req_at(s, f->rows[i].slot)->epoch == f->rows[i].epoch)
            lls_sched_preempt(s, running_index(s, f->rows[i].slot));
    distrust_loads(s);              /* a load of this plan may begin behind blocks of this plan */
    s->first_flight = (s->first_flight + 1) % s->cfg.max_in_flight;
    s->n_flights--;
}

const lls_sched_out_t *lls_sched_outs(const lls_sched_t *s, uint32_t *n)
{
    *n = s->n_outs;
    return s->outs;
}

/* ---- Control -------------------------------------------------------------------------------- */

void lls_sched_reset_cache(lls_sched_t *s)
{
    while (s->n_running > 0)
        lls_sched_preempt(s, s->n_running - 1);
    for (uint32_t i = 0; i < s->cfg.max_reqs; i++) {
        lls_req_t *r = &s->reqs[i];
        bool       idle = r->state == LLS_REQ_WAITING || r->state == LLS_REQ_BLOCKED;
        if (idle && r->n_jobs == 0 && r->n_computed > 0)
            lls_req_forget_progress(s, r);
    }
    distrust_loads(s);
    lls_kv_reset(s->kv);
}

void lls_sched_pause(lls_sched_t *s, bool paused) { s->paused = paused; }

uint32_t lls_sched_n_live(const lls_sched_t *s)
{
    return s->n_running + s->n_waiting + s->n_blocked;
}

uint32_t lls_sched_n_in_flight(const lls_sched_t *s) { return s->n_flights; }
uint32_t lls_sched_n_blocked(const lls_sched_t *s) { return s->n_blocked; }
