/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sched/sched_int.h"

/* ---- Schedule: how much ---------------------------------------------------------------------- */

static uint32_t drafts_wanted(const lls_sched_t *s, const lls_req_t *r)
{
    if (!(r->options & LLS_REQ_DRAFTS) || r->n_computed + 1 < r->n_tokens + r->n_hold)
        return 0;                   /* none in the middle of a prompt */
    if (r->n_hold == 0)
        return r->n_drafts;
    return s->cfg.drafts_on_device ? s->cfg.max_drafts : 0;
}

/* Tokens to run from position `at`, limits of the step included.  The last token of a request is
 * never run, so position len_cap - 2 is the last one there is. */
static uint32_t tokens_wanted(const lls_sched_t *s, const lls_req_t *r, uint32_t at)
{
    uint32_t end = r->n_tokens + r->n_hold + drafts_wanted(s, r), n;

    if (r->n_flying > s->cfg.run_ahead)
        return 0;                   /* its next token is not known and may not be assumed */
    n = lls_sub_u32(lls_min_u32(end, r->len_cap - 1), at);
    if (is_whole(&s->cfg, r->options))
        return n > s->budget || (gives_plps(r, at) && n > s->plps) ? 0 : n;
    if (s->cfg.long_prefill > 0)
        n = lls_min_u32(n, s->cfg.long_prefill);
    if (gives_plps(r, at))
        n = lls_min_u32(n, s->plps);
    return lls_kv_cut(s->kv, at, lls_min_u32(n, lls_sub_u32(s->budget, s->reserve)));
}

static void charge(lls_sched_t *s, const lls_req_t *r, uint32_t n)
{
    s->budget -= n;
    if (gives_plps(r, r->n_computed))
        s->plps -= n;
}

/* Takes the encoder entries that [at, at + n) reads, or shortens n to end before the first that
 * cannot be had.  Items are never split. */
static uint32_t take_media(lls_sched_t *s, lls_req_t *r, uint32_t at, uint32_t n,
                           lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < r->n_media; i++) {
        lls_media_t *m = &r->media[i];
        if (m->entry != LLS_NONE || m->at.first + m->at.n <= at || m->at.first >= at + n)
            continue;
        m->entry = lls_enc_take(&s->enc, m->at.hash, m->at.n, plan);
        if (m->entry == LLS_NONE)
            return is_whole(&s->cfg, r->options) ? 0 : lls_sub_u32(m->at.first, at);
    }
    return n;
}

/* ---- Schedule: into the plan ---------------------------------------------------------------- */

static void emit_tables(lls_req_t *r, lls_step_plan_t *plan, uint32_t n_groups)
{
    for (uint32_t g = 0; g < n_groups; g++) {
        uint32_t first = lls_max_u32(r->n_sent[g], r->kv.n_gone[g]), n = r->kv.n_blocks[g] - first;
        if (r->kv.n_blocks[g] <= first)
            continue;
        *lls_plan_push_tables(plan, 1) =
            (lls_table_add_t){ r->row, g, first, { lls_plan_n_blocks(plan), n } };
        memcpy(lls_plan_push_blocks(plan, n), r->kv.table[g] + first, n * sizeof(uint32_t));
        r->n_sent[g] = r->kv.n_blocks[g];
    }
}

/* Known tokens, then those only the device knows, then drafts. */
static void emit_tokens(const lls_req_t *r, uint32_t n, lls_step_plan_t *plan)
{
    int32_t *out = lls_plan_push_tokens(plan, n);
    uint32_t known = lls_min_u32(lls_sub_u32(r->n_tokens, r->n_computed), n);

    memcpy(out, r->tokens + r->n_computed, known * sizeof *out);
    for (uint32_t i = known; i < n; i++)
        out[i] = r->n_hold == 0 ? r->drafts[r->n_computed + i - r->n_tokens] : LLS_ON_DEVICE;
}

static void emit_media(lls_sched_t *s, lls_req_t *r, uint32_t n, uint32_t tok,
                       lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < r->n_media; i++) {
        const lls_media_t *m = &r->media[i];
        uint32_t           from = lls_max_u32(m->at.first, r->n_computed);
        uint32_t           end = lls_min_u32(m->at.first + m->at.n, r->n_computed + n);
        if (from >= end)
            continue;
        if (lls_enc_fill(&s->enc, m->entry, plan->step))
            *lls_plan_push_encs(plan, 1) = (lls_enc_run_t){ m->entry, m->blob, m->at.n };
        *lls_plan_push_splices(plan, 1) = (lls_splice_t){ tok + from - r->n_computed, m->entry,
                                                          from - m->at.first, end - from };
    }
}

static uint32_t run_flags(const lls_req_t *r, bool reaches_end)
{
    uint32_t f = 0;

    if (gives_plps(r, r->n_computed))
        f |= LLS_RUN_PROMPT_LOGPROBS;
    if (!reaches_end)
        return f;
    f |= r->row_flags & LLS_ROW_POOL ? LLS_RUN_POOL : LLS_RUN_SAMPLE;
    return r->row_flags & (LLS_ROW_GRAMMAR | LLS_ROW_PROCESSOR) ? f | LLS_RUN_MASKED : f;
}

static void note_flight(lls_sched_t *s, const lls_req_t *r, const lls_run_row_t *run)
{
    lls_flight_t *f = &s->flights[(s->first_flight + s->n_flights) % s->cfg.max_in_flight];

    f->rows[f->n++] = (lls_flight_row_t){ r->slot, r->epoch, run->n, run->n_draft, run->flags };
}

/* From here on the step cannot be withdrawn: counters move, full blocks become findable. */
static void advance(lls_sched_t *s, lls_req_t *r, const lls_run_row_t *run)
{
    uint32_t n_done = r->n_computed;

    r->n_computed += run->n;
    r->n_run += run->n;
    r->n_drafts = 0;
    if (run->flags & (LLS_RUN_SAMPLE | LLS_RUN_POOL)) {
        r->n_hold += 1 + run->n_draft;
        r->slack += run->n_draft;
        r->n_flying++;
    } else {
        s->n_partial++;
    }
    lls_kv_publish(s->kv, &r->kv, lls_min_u32(r->n_computed, r->n_tokens), n_done);
    if (r->n_media > 0)
        lls_req_drop_media(s, r, r->n_computed);
}

static void emit_run(lls_sched_t *s, lls_req_t *r, uint32_t n, lls_step_plan_t *plan)
{
    lls_run_row_t *run = lls_plan_push_runs(plan, 1);
    uint32_t       end = r->n_computed + n, known = r->n_tokens + r->n_hold;
    uint32_t       tok = lls_plan_n_tokens(plan);

    *run = (lls_run_row_t){ .row = r->row, .pos = r->n_computed, .n = n, .tok = tok,
                            .n_draft = (uint16_t)lls_sub_u32(end, known), .slack = r->slack,
                            .flags = (uint16_t)run_flags(r, end >= known), .next = -1 };
    if (end < r->n_tokens)
        run->next = r->tokens[end];
    if (run->flags & LLS_RUN_SAMPLE) {
        run->logit = plan->n_logits;
        plan->n_logits += 1 + run->n_draft;
    }
    if ((run->flags & LLS_RUN_MASKED) && r->n_hold > 0)
        plan->flags |= LLS_PLAN_MASK_PENDING;
    emit_tokens(r, n, plan);
    if (r->n_media > 0)
        emit_media(s, r, n, tok, plan);
    emit_tables(r, plan, lls_kv_get_config(s->kv)->n_groups);
    plan->n_tokens += n;
    plan->max_n = lls_max_u32(plan->max_n, n);
    note_flight(s, r, run);
    advance(s, r, run);
}

/* ---- Schedule: running requests ------------------------------------------------------------- */

/* The worst by the queue's order, among those whose blocks would help at once. */
static uint32_t worst_running(const lls_sched_t *s, bool must_give)
{
    uint32_t worst = LLS_NONE;

    for (uint32_t i = 0; i < s->n_running; i++) {
        const lls_req_t *r = running_at(s, i);
        if (r->n_jobs > 0 || (must_give && !lls_kv_would_free(s->kv, &r->kv)))
            continue;
        if (worst == LLS_NONE || lls_req_goes_before(running_at(s, worst), r))
            worst = i;
    }
    return worst;
}

/* Rows that share all they have with each other give nothing one by one, only together.  While a
 * transfer may be what holds the blocks, waiting for it is better. */
static uint32_t find_victim(const lls_sched_t *s)
{
    uint32_t worst = worst_running(s, true);

    return worst == LLS_NONE && s->n_jobs == 0 ? worst_running(s, false) : worst;
}

static bool strip(lls_sched_t *s, lls_req_t *r)
{
    if (r->n_computed == 0 || r->n_jobs > 0)
        return false;
    lls_req_forget_progress(s, r);
    return true;
}

/* Those who hold blocks and do not run (forked, loaded, snapshots) give them up first: they lose
 * only time, for their tokens are known and most blocks will be found again. */
static bool strip_waiting(lls_sched_t *s)
{
    if (!s->holders)
        return false;
    for (uint32_t i = s->tail; i != LLS_NONE; i = req_at(s, i)->prev)
        if (strip(s, req_at(s, i)))
            return true;
    for (uint32_t i = 0; s->n_blocked > 0 && i < s->cfg.max_reqs; i++)
        if (s->reqs[i].state == LLS_REQ_BLOCKED && strip(s, &s->reqs[i]))
            return true;
    s->holders = s->n_jobs > 0;     /* what is being loaded will be held */
    return false;
}

/* Room for n more tokens of running[*i].  Victims may be before, after or at *i. */
static bool make_room(lls_sched_t *s, uint32_t *i, uint32_t n)
{
    lls_req_t *r = running_at(s, *i);
    uint32_t   victim;

    lls_kv_slide(s->kv, &r->kv, r->n_computed - r->slack);
    while (!lls_kv_alloc(s->kv, &r->kv, 0, r->n_computed + n + s->cfg.lookahead, 0)) {
        if (strip_waiting(s))
            continue;
        victim = find_victim(s);
        if (victim == LLS_NONE)
            return false;
        lls_sched_preempt(s, victim);
        if (victim == *i)
            return false;
        *i -= victim < *i;
    }
    return true;
}

/* Decides only.  Nothing is emitted or published before it is clear that nobody is withdrawn. */
static void decide_running(lls_sched_t *s, lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < s->n_running; i++)
        running_at(s, i)->n_sched = 0;
    for (uint32_t i = 0; i < s->n_running && s->budget > 0; i++) {
        lls_req_t *r = running_at(s, i);
        uint32_t   n = tokens_wanted(s, r, r->n_computed);
        if (n > 0 && r->n_media > 0)
            n = take_media(s, r, r->n_computed, n, plan);
        if (n == 0)
            continue;
        if (!make_room(s, &i, n)) {
            lls_req_drop_media(s, r, UINT32_MAX);
            if (r->state != LLS_REQ_RUNNING)
                break;              /* r itself had to go: the pool is dry */
            continue;               /* what would help is busy in a transfer */
        }
        lls_assert(running_at(s, i) == r);
        r->n_sched = n;
        charge(s, r, n);
    }
}

static void emit_running(lls_sched_t *s, lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < s->n_running; i++)
        if (running_at(s, i)->n_sched > 0)
            emit_run(s, running_at(s, i), running_at(s, i)->n_sched, plan);
}

/* ---- Schedule: waiting requests ------------------------------------------------------------- */

typedef enum verdict { ADMITTED, PASSED_OVER, STOP } verdict_t;

/* The slot that holds the adapter, or one that nobody uses: the longest unused. */
static uint32_t find_lora_slot(const lls_sched_t *s, const lls_req_t *r)
{
    uint32_t best = LLS_NONE;

    for (uint32_t i = 0; i < s->cfg.max_loras; i++) {
        const lls_lora_slot_t *l = &s->loras[i];
        if (l->adapter == r->adapter && l->gen == r->adapter_gen)
            return i;
        if (l->holders == 0 && (best == LLS_NONE || l->used_at < s->loras[best].used_at))
            best = i;
    }
    return best;
}

static void take_lora(lls_sched_t *s, lls_req_t *r, lls_step_plan_t *plan)
{
    uint32_t         i = find_lora_slot(s, r);
    lls_lora_slot_t *l = &s->loras[i];

    if (l->adapter != r->adapter || l->gen != r->adapter_gen) {
        *lls_plan_push_loras(plan, 1) = (lls_lora_load_t){ i, r->adapter };
        l->adapter = r->adapter;
        l->gen = r->adapter_gen;
    }
    l->holders++;
    l->used_at = s->step;
    r->lora = i;
}

static bool plan_has_room(const lls_sched_t *s, const lls_req_t *r, const lls_step_plan_t *plan,
                          uint32_t n_splices)
{
    uint32_t blocks = 0, n_groups = lls_kv_get_config(s->kv)->n_groups;
    uint32_t words = r->n_params + (r->row_flags & LLS_ROW_HISTORY ? r->n_tokens : 0);

    for (uint32_t g = 0; g < n_groups; g++)
        blocks += r->n_tokens / lls_kv_get_config(s->kv)->group[g].block_tokens + 2;
    return lls_sec_has_room(&plan->sec[LLS_PLAN_words], words) &&
           lls_sec_has_room(&plan->sec[LLS_PLAN_blocks], blocks) &&
           lls_sec_has_room(&plan->sec[LLS_PLAN_tables], n_groups) &&
           lls_sec_has_room(&plan->sec[LLS_PLAN_splices], n_splices);
}

static lls_span_t push_words(lls_step_plan_t *plan, const void *src, uint32_t n)
{
    lls_span_t span = { lls_plan_n_words(plan), n };

    memcpy(lls_plan_push_words(plan, n), src, n * sizeof(uint32_t));
    return span;
}

static void emit_row(const lls_req_t *r, lls_step_plan_t *plan)
{
    lls_new_row_t *row = lls_plan_push_added(plan, 1);

    *row = (lls_new_row_t){ .request = r->id, .row = r->row, .flags = r->row_flags,
                            .n_computed = r->n_computed, .n_known = r->n_tokens,
                            .n_prompt = r->n_prompt, .lora = r->lora, .positions = r->positions,
                            .embeds = r->embeds };
    row->params = push_words(plan, r->params, r->n_params);
    if (r->row_flags & LLS_ROW_HISTORY)
        row->history = push_words(plan, r->tokens, r->n_tokens);
}

static void admit(lls_sched_t *s, lls_req_t *r, uint32_t n, lls_step_plan_t *plan)
{
    lls_sched_dequeue(s, r);
    r->state = LLS_REQ_RUNNING;
    r->row = s->free_rows[--s->n_free_rows];
    s->running[s->n_running++] = r->slot;
    charge(s, r, n);
    if (r->adapter != 0)
        take_lora(s, r, plan);
    if (r->n_preempted == 0) {
        r->n_cached = r->n_computed;
        s->all_cached += r->n_cached;
    }
    emit_row(r, plan);
    emit_run(s, r, n, plan);
}

static uint32_t spare_blocks(const lls_sched_t *s)
{
    return s->n_running == 0 ? 0 : s->cfg.watermark;    /* alone it may have all */
}

static uint32_t local_hit(lls_sched_t *s, lls_req_t *r)
{
    if (r->options & (LLS_REQ_NO_CACHE_READ | LLS_REQ_WHOLE))
        return 0;
    return lls_kv_lookup(s->kv, &r->kv, r->n_tokens - 1);   /* one token at least must run */
}

static void emit_load(lls_sched_t *s, const lls_req_t *r, uint32_t from, lls_step_plan_t *plan)
{
    const lls_kv_config_t *k = lls_kv_get_config(s->kv);

    for (uint32_t g = 0; g < k->n_groups; g++) {
        uint32_t bt = k->group[g].block_tokens, end = r->load_to / bt;
        uint32_t j = lls_max_u32(from, lls_kv_first_needed(&k->group[g], r->load_to)) / bt;
        lls_xfer_t *x = lls_plan_push_xfers(plan, 1);
        *x = (lls_xfer_t){ .request = r->id, .job = r->slot, .op = LLS_XFER_LOAD,
                           .group = (uint16_t)g, .first = j * bt, .n_tokens = (end - j) * bt,
                           .ids = { lls_plan_n_blocks(plan), end - j } };
        memcpy(lls_plan_push_blocks(plan, end - j), r->kv.table[g] + j,
               (end - j) * sizeof(uint32_t));
        x->keys = push_words(plan, r->tokens, g == 0 ? r->load_to : 0);
    }
}

/* Room in the plan for a load or save of r's whole sequence. */
static bool xfer_has_room(const lls_sched_t *s, const lls_req_t *r, const lls_step_plan_t *plan)
{
    return plan_has_room(s, r, plan, 0) &&
           lls_sec_has_room(&plan->sec[LLS_PLAN_words], r->n_tokens + r->n_params) &&
           lls_sec_has_room(&plan->sec[LLS_PLAN_xfers], lls_kv_get_config(s->kv)->n_groups);
}

/* Asks the connector for tokens beyond the local hit; r leaves the queue if a load starts. */
static verdict_t try_load(lls_sched_t *s, lls_req_t *r, uint32_t n_hit, lls_step_plan_t *plan)
{
    uint32_t more = s->cfg.connector.matched(s->cfg.connector.user, r, n_hit, r->n_tokens - 1);

    if (more == LLS_NONE)
        return PASSED_OVER;
    if (more == 0)
        return ADMITTED;            /* nothing to load: go on */
    if (!xfer_has_room(s, r, plan) ||
        !lls_kv_fits_whole(s->kv, &r->kv, n_hit, r->n_tokens, s->cfg.max_tokens, spare_blocks(s)) ||
        !lls_kv_alloc(s->kv, &r->kv, n_hit, n_hit + more, spare_blocks(s)))
        return STOP;
    lls_kv_slide(s->kv, &r->kv, n_hit + more);  /* what is not loaded must not be published */
    lls_sched_dequeue(s, r);
    lls_sched_block_req(s, r, LLS_BLOCKED_REMOTE);
    r->n_computed = n_hit;
    r->load_to = n_hit + more;
    r->n_jobs = 1;
    s->n_jobs++;
    s->holders = true;
    emit_load(s, r, n_hit, plan);
    return PASSED_OVER;
}

/* A request that others pass too often becomes a barrier, so that nobody starves. */
static verdict_t pass_over(lls_sched_t *s, lls_req_t *r)
{
    return r->skips++ < s->cfg.max_skips ? PASSED_OVER : STOP;
}

/* Admission asks for the whole known sequence and a margin, so that requests do not thrash. */
static bool take_blocks(lls_sched_t *s, lls_req_t *r, uint32_t n_hit, uint32_t end)
{
    if (lls_kv_fits_whole(s->kv, &r->kv, n_hit, r->n_tokens, s->cfg.max_tokens, spare_blocks(s)) &&
        lls_kv_alloc(s->kv, &r->kv, n_hit, end + s->cfg.lookahead, 0))
        return true;
    r->failed_at = lls_kv_freed(s->kv) + 1;
    return false;
}

/* r holds nothing yet, or blocks up to n_computed (forked, loaded). */
static verdict_t place(lls_sched_t *s, lls_req_t *r, uint32_t n_hit, lls_step_plan_t *plan)
{
    uint32_t at = lls_max_u32(n_hit, r->n_computed), n = tokens_wanted(s, r, at);

    lls_assert(at < r->n_tokens);
    if (n == 0 || !plan_has_room(s, r, plan, r->n_media))
        return STOP;
    if (r->n_media > 0)
        n = take_media(s, r, at, n, plan);
    if (s->cfg.max_partial > 0 && at + n < r->n_tokens && s->n_partial >= s->cfg.max_partial)
        n = 0;
    if (n > 0 && take_blocks(s, r, n_hit, at + n)) {
        r->n_computed = at;
        admit(s, r, n, plan);
        return ADMITTED;
    }
    lls_req_drop_media(s, r, UINT32_MAX);
    return STOP;
}

static verdict_t try_admit(lls_sched_t *s, lls_req_t *r, lls_step_plan_t *plan)
{
    uint32_t  n_hit = 0;
    verdict_t v;

    if (s->n_running == s->cfg.max_rows)
        return STOP;
    if (r->adapter != 0 && find_lora_slot(s, r) == LLS_NONE)
        return pass_over(s, r);
    if (r->failed_at == lls_kv_freed(s->kv) + 1 && s->n_running > 0)
        return STOP;                /* no block came back since it did not fit */
    if (r->n_computed == 0) {
        n_hit = local_hit(s, r);
        if (s->cfg.connector.matched != NULL && !(r->options & LLS_REQ_NO_CACHE_READ)) {
            v = try_load(s, r, n_hit, plan);
            if (v != ADMITTED)
                return v;
        }
    }
    return place(s, r, n_hit, plan);
}

static void admit_waiting(lls_sched_t *s, lls_step_plan_t *plan)
{
    uint32_t slot = s->head[0], next;

    for (; slot != LLS_NONE && s->budget > 0; slot = next) {
        next = req_at(s, slot)->next[0];
        if (try_admit(s, req_at(s, slot), plan) == STOP)
            break;
    }
    /* Nothing runs, the head does not fit, and others in the queue hold blocks: take them back. */
    if (s->n_running == 0 && s->n_waiting > 0 && lls_plan_n_xfers(plan) == 0)
        strip_waiting(s);
}

/* ---- Schedule ------------------------------------------------------------------------------- */

static void emit_saves(lls_sched_t *s, lls_step_plan_t *plan)
{
    const lls_kv_config_t *k = lls_kv_get_config(s->kv);

    while (s->n_saves > 0 && xfer_has_room(s, req_at(s, s->saves[s->n_saves - 1]), plan)) {
        const lls_req_t *r = req_at(s, s->saves[--s->n_saves]);
        for (uint32_t g = 0; g < k->n_groups; g++) {
            uint32_t    bt = k->group[g].block_tokens, n = r->n_computed / bt;
            uint32_t    j = lls_min_u32(r->kv.n_gone[g], n);
            lls_xfer_t *x = lls_plan_push_xfers(plan, 1);
            *x = (lls_xfer_t){ .request = r->id, .job = r->slot, .op = LLS_XFER_SAVE,
                               .group = (uint16_t)g, .first = j * bt, .n_tokens = (n - j) * bt,
                               .ids = { lls_plan_n_blocks(plan), n - j } };
            memcpy(lls_plan_push_blocks(plan, n - j), r->kv.table[g] + j,
                   (n - j) * sizeof(uint32_t));
            x->keys = push_words(plan, r->tokens, g == 0 ? r->n_computed : 0);
        }
    }
}

void lls_sched_set_budget(lls_sched_t *s, uint32_t n_tokens)
{
    s->step_budget = n_tokens < s->cfg.max_tokens ? n_tokens : 0;
}

/* Rows that decode, and one token of a prompt, are let through whatever was asked for. */
static uint32_t reserved(const lls_sched_t *s)
{
    uint32_t least = s->n_running * (1 + s->cfg.max_drafts) + 1;

    return s->step_budget == 0 ? 0 : lls_sub_u32(s->cfg.max_tokens, lls_max_u32(s->step_budget,
                                                                               least));
}

static void begin_step(lls_sched_t *s, lls_step_plan_t *plan)
{
    lls_plan_reset(plan, s->step + 1);
    while (s->n_done > 0)
        lls_sched_free_slot(s, req_at(s, s->done[--s->n_done]));
    s->n_outs = s->n_preempted = s->n_partial = 0;
    s->budget = s->cfg.max_tokens;
    s->reserve = reserved(s);
    s->plps = s->cfg.max_plps != 0 ? s->cfg.max_plps : s->cfg.max_tokens;
    s->enc.budget = s->cfg.enc_budget;
    s->flights[(s->first_flight + s->n_flights) % s->cfg.max_in_flight].n = 0;
}

static void emit_gone_rows(lls_sched_t *s, lls_step_plan_t *plan)
{
    memcpy(lls_plan_push_freed(plan, s->n_gone_rows), s->gone_rows,
           s->n_gone_rows * sizeof *s->gone_rows);
    s->n_gone_rows = 0;
}

/* Blocks that every query of the step sees whole.  Counting references would not do: waiting forks
 * and finished requests hold blocks too. */
static uint32_t common_blocks(const lls_sched_t *s, uint32_t g, const lls_step_plan_t *plan)
{
    uint32_t n = UINT32_MAX, bt = lls_kv_get_config(s->kv)->group[g].block_tokens;

    for (uint32_t i = 0; i < s->n_running && n > 0; i++) {
        const lls_run_row_t *run = &lls_plan_runs(plan)[i];
        n = lls_min_u32(n, (run->pos - run->slack) / bt);
        n = lls_kv_common(&running_at(s, 0)->kv, &running_at(s, i)->kv, g, n);
    }
    return n;
}

static void emit_common(lls_sched_t *s, lls_step_plan_t *plan)
{
    const lls_kv_config_t *k = lls_kv_get_config(s->kv);

    if (!s->cfg.cascade || lls_plan_n_runs(plan) < 2 || lls_plan_n_runs(plan) != s->n_running)
        return;
    for (uint32_t g = 0; g < k->n_groups; g++)
        if (k->group[g].kind == LLS_KV_FULL)
            plan->common[g] = common_blocks(s, g, plan);
}

static bool plan_is_empty(const lls_step_plan_t *plan)
{
    for (uint32_t i = 0; i < LLS_PLAN_N_SECTIONS; i++)
        if (plan->sec[i].n > 0)
            return false;
    return true;
}

static void count_cost(lls_sched_t *s)
{
    uint32_t n_groups = lls_kv_get_config(s->kv)->n_groups;

    for (uint32_t i = 0; i < s->n_running; i++) {
        lls_req_t *r = running_at(s, i);
        for (uint32_t g = 0; g < n_groups; g++)
            r->block_steps += r->kv.n_blocks[g] - r->kv.n_gone[g];
    }
}

bool lls_sched_schedule(lls_sched_t *s, lls_step_plan_t *plan)
{
    lls_flight_t *f = &s->flights[(s->first_flight + s->n_flights) % s->cfg.max_in_flight];

    lls_assert(s->n_flights < s->cfg.max_in_flight);
    begin_step(s, plan);
    lls_kv_emit_copies(s->kv, plan);
    if (!s->paused) {
        decide_running(s, plan);
        emit_running(s, plan);
    }
    emit_saves(s, plan);
    emit_gone_rows(s, plan);
    if (!s->paused && s->n_preempted == 0)
        admit_waiting(s, plan);
    emit_common(s, plan);
    lls_assert(lls_sched_charges_add_up(s, plan));
    if (plan_is_empty(plan)) {
        if (!s->cfg.lockstep)
            return false;
        plan->flags |= LLS_PLAN_DUMMY;
    }
    count_cost(s);
    f->step = plan->step = ++s->step;
    plan->seq_digest = (uint32_t)lls_mix64(s->n_added ^ (uint64_t)s->n_running << 40,
                                           lls_kv_freed(s->kv));
    s->n_flights++;
    return true;
}
