/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "sim/sim.h"

/* ---- Reading outputs ------------------------------------------------------------------------ */

static void end_req(sim_req_t *r, uint32_t finish)
{
    MUST(!r->ended, "S6 a second end");
    r->ended = true;
    sim_total.finished++;
    if (r->aborted) {
        sim_total.aborted++;
        return;
    }
    MUST(finish == r->expected, "S12 another finish reason than alone");
    MUST(r->n_prompt + r->n_got == r->n_all, "S12 another number of tokens than alone");
    for (uint32_t i = 0; (r->d.row_flags & LLS_ROW_PROMPT_LOGPROBS) && i + 1 < r->n_prompt; i++)
        MUST(r->plp[i] > 0, "a prompt logprob is missing");
}

static void take_line(sim_t *m, const lls_sched_out_t *o)
{
    sim_req_t *r = &m->reqs[o->id];
    lls_req_t *q = lls_sched_get(m->sched, r->handle);

    MUST(q != NULL, "a line for a request that is gone");
    r->n_finishes += o->finish != LLS_FINISH_NONE;
    MUST(r->n_finishes <= 1, "S6 a second finish line");
    if (r->ended)
        return;
    MUST(o->n == 0 || o->first == r->n_prompt + r->n_got, "tokens out of order");
    for (uint32_t i = 0; i < o->n && !r->ended; i++) {
        uint32_t at = r->n_prompt + r->n_got++;
        MUST(at < r->n_all && q->tokens[o->first + i] == r->tokens[at],
             "S12 another token than alone");
        m->n_tokens++;
        if (sim_matches_pattern(r, at + 1)) {
            end_req(r, LLS_FINISH_STOP);
            if (o->finish == LLS_FINISH_NONE)
                lls_sched_finish(m->sched, r->handle, LLS_FINISH_STOP);
        }
    }
    if (o->finish != LLS_FINISH_NONE && !r->ended) {
        sim_total.cached += q->n_cached;
        sim_total.preempted += q->n_preempted;
        end_req(r, o->finish);
    }
}

void sim_take_lines(sim_t *m)
{
    const lls_sched_out_t *o;
    uint32_t               n;

    do {
        o = lls_sched_outs(m->sched, &n);
        while (m->n_outs_seen < n)
            take_line(m, &o[m->n_outs_seen++]);
        o = lls_sched_outs(m->sched, &n);
    } while (m->n_outs_seen < n);
}

void sim_take_prompt_logprobs(sim_t *m, const lls_step_result_t *res)
{
    const uint64_t *ids = m->run_ids[res->step % 8];

    for (uint32_t i = 0; i < lls_result_n_plps(res); i++) {
        const lls_prompt_logprob_t *p = &lls_result_plps(res)[i];
        const lls_logprob_t        *lp = &lls_result_logprobs(res)[p->logprobs.off];
        sim_req_t                  *r = &m->reqs[ids[p->run]];
        float want = lls_fake_logprob(r->hash[p->pos + 1], r->tokens[p->pos + 1]);
        if (p->pos + 1 >= r->n_prompt)
            continue;               /* outputs recomputed after a preemption */
        MUST(lp->token == r->tokens[p->pos + 1] && lp->logprob == want, "wrong prompt logprob");
        r->plp[p->pos] = want + 1;
        sim_total.plps++;
    }
}

sim_req_t *sim_req_of_run(sim_t *m, const lls_run_row_t *run)
{
    for (uint32_t i = 0; i < m->n_reqs; i++) {
        lls_req_t *q = m->reqs[i].ended ? NULL : lls_sched_get(m->sched, m->reqs[i].handle);
        if (q != NULL && q->row == run->row)
            return &m->reqs[i];
    }
    return NULL;
}

/* ---- Checks on a plan ----------------------------------------------------------------------- */

static uint32_t n_distinct_loras(sim_t *m)
{
    uint32_t n = 0;
    bool     seen[16] = { false };

    for (uint32_t i = 0; i < m->n_reqs; i++) {
        lls_req_t *q = lls_sched_get(m->sched, m->reqs[i].handle);
        if (q == NULL || q->state != LLS_REQ_RUNNING || q->adapter == 0)
            continue;
        n += !seen[q->adapter];
        seen[q->adapter] = true;
    }
    return n;
}

static void check_encoder(sim_t *m)
{
    uint32_t spent = 0;

    for (uint32_t i = 0; i < lls_plan_n_enc_free(m->plan); i++) {
        m->enc_filled -= m->enc_len[lls_plan_enc_free(m->plan)[i]];
        m->enc_len[lls_plan_enc_free(m->plan)[i]] = 0;
    }
    for (uint32_t i = 0; i < lls_plan_n_encs(m->plan); i++) {
        const lls_enc_run_t *e = &lls_plan_encs(m->plan)[i];
        spent += e->len;
        m->enc_filled += e->len;
        m->enc_len[e->entry] = e->len;
    }
    MUST(spent <= m->sc.enc_budget, "S1 encoder budget");
    MUST(m->enc_filled <= m->sc.enc_cache, "E1 encoder cache overfull");
    sim_total.encs += lls_plan_n_encs(m->plan);
}

/* FCFS and priority: whoever starts, nobody in the same position was before him. */
static void check_order(sim_t *m)
{
    const lls_new_row_t *a = lls_plan_added(m->plan);

    for (uint32_t i = 0; i < lls_plan_n_added(m->plan); i++) {
        const sim_req_t *r = &m->reqs[a[i].request];
        for (uint32_t k = 0; k < m->n_reqs; k++) {
            const sim_req_t *w = &m->reqs[k];
            lls_req_t       *q = w->ended ? NULL : lls_sched_get(m->sched, w->handle);
            bool before = w->d.priority < r->d.priority ||
                          (w->d.priority == r->d.priority && w->arrival < r->arrival);
            if (q == NULL || q->state != LLS_REQ_WAITING || !before || w->d.adapter != 0)
                continue;
            MUST(m->sc.connector.matched != NULL, "S9/S10 somebody was overtaken");
        }
    }
}

static void check_runs(sim_t *m)
{
    const lls_step_plan_t *p = m->plan;
    uint32_t               n = 0, logits = 0, plps = 0, least;

    memset(m->row_seen, 0, sizeof m->row_seen);
    for (uint32_t i = 0; i < lls_plan_n_runs(p); i++) {
        const lls_run_row_t *r = &lls_plan_runs(p)[i];
        MUST(!m->row_seen[r->row], "a row runs twice");
        m->row_seen[r->row] = true;
        MUST(r->n >= 1 && r->tok == n, "S1 an empty run");
        MUST(r->n_draft <= m->sc.max_drafts, "too many drafts");
        MUST(r->pos + r->n < m->sc.max_model_len + 1, "S5 position beyond max_model_len");
        MUST(m->sc.long_prefill == 0 || m->kvc.n_groups == 0 || r->n <= m->sc.long_prefill,
             "long_prefill ignored");
        n += r->n;
        plps += r->flags & LLS_RUN_PROMPT_LOGPROBS ? r->n : 0;
        sim_total.drafts += r->n_draft;
        sim_total.async_rows += r->slack > 0 || (r->n == 1 && lls_plan_tokens(p)[r->tok] < 0);
        if (r->flags & LLS_RUN_SAMPLE) {
            MUST(r->logit == logits, "logits rows misnumbered");
            logits += 1 + r->n_draft;
        }
        sim_total.pooled += (r->flags & LLS_RUN_POOL) != 0;
        sim_total.masked += (r->flags & LLS_RUN_MASKED) != 0;
    }
    MUST(n == p->n_tokens && n <= m->sc.max_tokens, "S1 token budget");
    least = m->n_ran * (1 + m->sc.max_drafts) + 1;
    MUST(m->budget == 0 || m->sc.no_chunks || m->kvc.n_groups == 0 ||
             n <= lls_max_u32(m->budget, least), "S1 the lowered token budget");
    MUST(m->sc.max_plps == 0 || plps <= m->sc.max_plps, "P5 too many prompt logprobs in a step");
    MUST(logits == p->n_logits, "R8 logits rows");
}

static bool is_worse(const sim_req_t *a, const sim_req_t *b)
{
    if (a->d.priority != b->d.priority)
        return a->d.priority > b->d.priority;
    return a->arrival > b->arrival;
}

static bool runs(sim_t *m, const sim_req_t *r)
{
    lls_req_t *q = r->ended ? NULL : lls_sched_get(m->sched, r->handle);

    return q != NULL && q->state == LLS_REQ_RUNNING;
}

/* Whoever lost his row in this step, nobody worse who had something to give kept his. */
static void check_victims(sim_t *m)
{
    for (uint32_t i = 0; i < m->n_reqs; i++)
        for (uint32_t k = 0; k < m->n_reqs && m->reqs[i].ran && !runs(m, &m->reqs[i]); k++)
            MUST(!m->reqs[k].could_give || !runs(m, &m->reqs[k]) ||
                     !is_worse(&m->reqs[k], &m->reqs[i]),
                 "S10 a victim although a worse one was there");
}

void sim_note_running(sim_t *m)
{
    m->n_ran = 0;
    for (uint32_t i = 0; i < m->n_reqs; i++) {
        sim_req_t *r = &m->reqs[i];
        r->ran = runs(m, r);
        m->n_ran += r->ran;
        r->could_give = r->ran &&
                        lls_kv_would_free(m->kv, &lls_sched_get(m->sched, r->handle)->kv);
    }
}

static void check_ahead(sim_t *m)
{
    for (uint32_t i = 0; i < lls_plan_n_added(m->plan); i++) {
        m->reqs[lls_plan_added(m->plan)[i].request].row_step = m->plan->step;
        m->reqs[lls_plan_added(m->plan)[i].request].n_flying = 0;
    }
    for (uint32_t i = 0; i < lls_plan_n_runs(m->plan); i++) {
        sim_req_t *r = sim_req_of_run(m, &lls_plan_runs(m->plan)[i]);
        MUST(r != NULL, "a run of nobody");
        m->run_ids[m->plan->step % 8][i] = r->d.id;
        if (!(lls_plan_runs(m->plan)[i].flags & LLS_RUN_SAMPLE))
            continue;
        MUST(++r->n_flying <= m->sc.run_ahead + 1, "runs further ahead than allowed");
    }
}

void sim_check_plan(sim_t *m)
{
    check_victims(m);
    check_ahead(m);
    check_runs(m);
    check_encoder(m);
    check_order(m);
    MUST(n_distinct_loras(m) <= m->sc.max_loras, "too many adapters at once");
    for (uint32_t i = 0; i < lls_plan_n_loras(m->plan); i++)
        MUST(lls_plan_loras(m->plan)[i].slot < m->sc.max_loras, "adapter slot out of range");
    for (uint32_t i = 0; i < lls_plan_n_xfers(m->plan); i++) {
        sim_total.loads += lls_plan_xfers(m->plan)[i].op == LLS_XFER_LOAD;
        sim_total.saves += lls_plan_xfers(m->plan)[i].op == LLS_XFER_SAVE;
    }
    sim_total.copies += lls_plan_n_copies(m->plan);
    sim_total.lora_loads += lls_plan_n_loras(m->plan);
}

/* Tenants with different salts never hold the same block. */
static void check_salts(sim_t *m)
{
    uint8_t tenant[512] = { 0 };

    for (uint32_t i = 0; i < m->n_reqs && m->kvc.n_groups > 0; i++) {
        lls_req_t *q = lls_sched_get(m->sched, m->reqs[i].handle);
        for (uint32_t j = 0; q != NULL && j < q->kv.n_blocks[0]; j++) {
            uint32_t b = q->kv.table[0][j], salt = q->salt == 0 ? 1 : 2;
            MUST(b == 0 || tenant[b] == 0 || tenant[b] == salt, "K5 tenants share a block");
            tenant[b] = b == 0 ? 0 : (uint8_t)salt;
        }
    }
}

void sim_check_all(sim_t *m)
{
    const char *bad = lls_sched_check(m->sched);

    check_salts(m);
    if (bad != NULL)
        lls_panic(__FILE__, __LINE__, bad);
}
