/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sched/sched_int.h"

/* ---- Handles -------------------------------------------------------------------------------- */

static uint64_t handle_of(const lls_req_t *r) { return (uint64_t)r->gen << 32 | r->slot; }

lls_req_t *lls_sched_get(lls_sched_t *s, uint64_t handle)
{
    uint32_t   slot = (uint32_t)handle;
    lls_req_t *r = slot < s->cfg.max_reqs ? req_at(s, slot) : NULL;

    return r != NULL && r->state != LLS_REQ_FREE && r->gen == handle >> 32 ? r : NULL;
}

void lls_sched_free_slot(lls_sched_t *s, lls_req_t *r)
{
    r->mem->next = s->gone;
    s->gone = r->mem;
    r->mem = NULL;
    r->state = LLS_REQ_FREE;
    r->gen++;
    s->free_slots[s->n_free_slots++] = r->slot;
}

/* ---- Blocked requests: in no queue ----------------------------------------------------------- */

void lls_sched_block_req(lls_sched_t *s, lls_req_t *r, uint32_t reasons)
{
    r->state = LLS_REQ_BLOCKED;
    r->blocked |= (uint8_t)reasons;
    s->n_blocked++;
}

void lls_sched_unblock_req(lls_sched_t *s, lls_req_t *r, uint32_t reasons)
{
    if (r->state != LLS_REQ_BLOCKED)
        return;
    r->blocked &= (uint8_t)~reasons;
    if (r->blocked != 0)
        return;
    s->n_blocked--;
    lls_sched_enqueue(s, r);
}

void lls_sched_unblock(lls_sched_t *s, uint64_t handle, uint32_t reasons)
{
    lls_req_t *r = lls_sched_get(s, handle);

    if (r != NULL)
        lls_sched_unblock_req(s, r, reasons);
}

void lls_sched_block(lls_sched_t *s, uint64_t handle, uint32_t reasons)
{
    lls_req_t *r = lls_sched_get(s, handle);

    if (r == NULL || (r->state != LLS_REQ_WAITING && r->state != LLS_REQ_BLOCKED))
        return;
    if (r->state == LLS_REQ_WAITING) {
        lls_sched_dequeue(s, r);
        s->n_blocked++;
    }
    r->state = LLS_REQ_BLOCKED;
    r->blocked |= (uint8_t)reasons;
}

/* ---- Add ------------------------------------------------------------------------------------ */

void lls_req_hash_tokens(const lls_kv_config_t *kv, lls_req_t *r)
{
    lls_kv_ident_t id = { r->salt, r->adapter_gen, r->media_at, r->n_media };

    lls_kv_extend_hashes(kv, &r->kv, &id, r->tokens, r->n_tokens);
}

static llm_status_t place_req(lls_sched_t *s, lls_req_mem_t *m, lls_req_t **out)
{
    uint32_t   slot, gen, epoch;
    lls_req_t *r;

    if (s->n_free_slots == 0)
        return LLM_ERR_BUSY;
    slot = s->free_slots[--s->n_free_slots];
    r = req_at(s, slot);
    gen = r->gen;
    epoch = r->epoch;
    *r = m->req;
    r->mem = m;
    r->slot = slot;
    r->gen = gen;
    r->epoch = epoch + 1;
    r->seq = ++s->n_added;
    *out = r;
    return LLM_OK;
}

static uint64_t begin_req(lls_sched_t *s, lls_req_t *r)
{
    if (r->blocked != 0)
        lls_sched_block_req(s, r, r->blocked);
    else
        lls_sched_enqueue(s, r);
    return handle_of(r);
}

llm_status_t lls_sched_add(lls_sched_t *s, lls_req_mem_t *prepared, uint64_t *handle)
{
    lls_req_t   *r;
    llm_status_t st = place_req(s, prepared, &r);

    if (st == LLM_OK)
        *handle = begin_req(s, r);
    return st;
}

/* Positions of a running request that any later plan will find computed from known tokens. */
static uint32_t n_settled(const lls_req_t *r)
{
    return lls_min_u32(r->n_computed - r->slack, r->n_tokens - 1);
}

/* What else than tokens goes into the cache's contents is the same for both. */
static bool same_ident(const lls_req_t *a, const lls_req_t *b)
{
    return a->salt == b->salt && a->adapter == b->adapter && a->adapter_gen == b->adapter_gen &&
           a->embeds == b->embeds && a->positions == b->positions && a->n_media == b->n_media &&
           memcmp(a->media_at, b->media_at, a->n_media * sizeof *a->media_at) == 0;
}

/* Its blocks are filled, or will be by plans that exist.  Those of a snapshot that never ran are
 * filled by a copy that may be in the next plan, beside copies from them. */
static bool has_contents(const lls_req_t *p)
{
    return p->state == LLS_REQ_RUNNING ||
           (p->state == LLS_REQ_BLOCKED && p->n_jobs == 0 && p->n_run > 0);
}

/* Tokens of the parent's cache that r may go on from. */
static uint32_t n_shareable(const lls_req_t *p, const lls_req_t *r)
{
    uint32_t i = 0, n;

    if (!has_contents(p) || (p->options & LLS_REQ_WHOLE) ||
        (r->options & (LLS_REQ_WHOLE | LLS_REQ_NO_CACHE_READ)) || !same_ident(p, r))
        return 0;
    n = lls_min_u32(n_settled(p), r->n_tokens - 1);
    while (i < n && p->tokens[i] == r->tokens[i])
        i++;
    return i;
}

llm_status_t lls_sched_fork(lls_sched_t *s, uint64_t parent, lls_req_mem_t *prepared,
                            uint64_t *handle)
{
    const lls_req_t *p = lls_sched_get(s, parent);
    lls_req_t       *r;
    llm_status_t     st = place_req(s, prepared, &r);
    uint32_t         n;

    if (st != LLM_OK)
        return st;
    if (p != NULL)
        r->seq = p->seq;
    n = p == NULL ? 0 : n_shareable(p, r);
    if (n > 0 && lls_kv_fork(s->kv, &r->kv, &p->kv, n)) {
        r->n_computed = n;
        s->holders = true;
    }
    *handle = begin_req(s, r);
    return LLM_OK;
}

/* ---- Leaving: what a request holds goes back ------------------------------------------------ */

void lls_req_drop_media(lls_sched_t *s, lls_req_t *r, uint32_t upto)
{
    for (uint32_t i = 0; i < r->n_media; i++) {
        lls_media_t *m = &r->media[i];
        if (m->entry == LLS_NONE || m->at.first + m->at.n > upto)
            continue;
        lls_enc_drop(&s->enc, m->entry);
        m->entry = LLS_NONE;
    }
}

static void drop_row(lls_sched_t *s, lls_req_t *r)
{
    if (r->row == LLS_NONE)
        return;
    s->gone_rows[s->n_gone_rows++] = r->row;
    s->free_rows[s->n_free_rows++] = r->row;
    r->row = LLS_NONE;
    if (r->lora != LLS_NONE)
        s->loras[r->lora].holders--;
    r->lora = LLS_NONE;
}

/* Back to nothing computed.  The new epoch makes results in flight strangers. */
void lls_req_forget_progress(lls_sched_t *s, lls_req_t *r)
{
    lls_kv_release(s->kv, &r->kv);
    lls_req_drop_media(s, r, UINT32_MAX);
    drop_row(s, r);
    memset(r->n_sent, 0, sizeof r->n_sent);
    r->epoch++;
    r->n_computed = r->n_hold = r->n_sched = 0;
    r->slack = 0;
    r->n_flying = r->n_drafts = 0;
}

static void running_remove(lls_sched_t *s, uint32_t i)
{
    memmove(&s->running[i], &s->running[i + 1], (s->n_running - i - 1) * sizeof *s->running);
    s->n_running--;
}

static uint32_t running_index(const lls_sched_t *s, const lls_req_t *r)
{
    uint32_t i = 0;

    while (s->running[i] != r->slot)
        i++;
    return i;
}

void lls_sched_hold(lls_sched_t *s, uint64_t handle, uint32_t reasons)
{
    lls_req_t *r = lls_sched_get(s, handle);
    bool       keeps = r != NULL && r->n_flying == 0 && r->n_computed + 1 == r->n_tokens;

    if (r == NULL || r->state != LLS_REQ_RUNNING)
        return;
    running_remove(s, running_index(s, r));
    if (keeps) {
        s->holders = true;
        drop_row(s, r);
        memset(r->n_sent, 0, sizeof r->n_sent);
        r->n_drafts = 0;
        r->epoch++;
    } else {
        lls_req_forget_progress(s, r);
    }
    lls_sched_block_req(s, r, reasons);
}

void lls_sched_preempt(lls_sched_t *s, uint32_t i)
{
    lls_req_t *r = running_at(s, i);

    s->budget += r->n_sched;        /* it may be in the step being made */
    if (gives_plps(r, r->n_computed))
        s->plps += r->n_sched;
    running_remove(s, i);
    lls_req_forget_progress(s, r);
    r->n_preempted++;
    s->n_preempted++;
    s->all_preempted++;
    lls_sched_enqueue(s, r);
}

void lls_sched_report(lls_sched_t *s, const lls_req_t *r, uint32_t first, uint32_t run)
{
    s->outs[s->n_outs++] = (lls_sched_out_t){ r->id, r->slot, first, r->n_tokens - first, r->finish,
                                              run };
}

/* The caller has taken r out of its queue.  Blocks stay while a transfer works on them. */
void lls_sched_retire(lls_sched_t *s, lls_req_t *r, uint32_t finish)
{
    bool save = (r->options & LLS_REQ_SAVE) && r->row != LLS_NONE && finish != LLS_FINISH_ERROR;

    r->state = LLS_REQ_FINISHED;
    r->finish = (uint8_t)finish;
    r->epoch++;
    lls_req_drop_media(s, r, UINT32_MAX);
    drop_row(s, r);
    if (save) {
        r->n_computed = n_settled(r);
        r->n_jobs++;
        s->n_jobs++;
        s->saves[s->n_saves++] = r->slot;
    }
    if (r->n_jobs > 0)
        return;
    lls_kv_release(s->kv, &r->kv);
    s->done[s->n_done++] = r->slot;
}

lls_req_mem_t *lls_sched_take_gone(lls_sched_t *s)
{
    lls_req_mem_t *list = s->gone;

    s->gone = NULL;
    return list;
}

void lls_sched_finish(lls_sched_t *s, uint64_t handle, uint32_t finish)
{
    lls_req_t *r = lls_sched_get(s, handle);

    if (r == NULL || r->state == LLS_REQ_FINISHED)
        return;
    if (r->state == LLS_REQ_RUNNING)
        running_remove(s, running_index(s, r));
    else if (r->state == LLS_REQ_WAITING)
        lls_sched_dequeue(s, r);
    else
        s->n_blocked--;
    lls_sched_retire(s, r, finish);
    lls_sched_report(s, r, r->n_tokens, LLS_NONE);
}
