/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - random workloads on the scheduler and the fake runner, each token checked against the
 * request run alone, all invariants checked after each call.
 *
 *     sim [first seed] [number of seeds] [at least so many steps] [-v]
 *
 * A seed fixes configuration, workload and the fate of drafts and transfers.  Every plan crosses
 * the joint as packed bytes, and a second runner executes the same bytes and must give the same
 * results.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"

sim_totals_t sim_total;

static bool   verbose;
static sim_t *now;

void lls_panic(const char *file, int line, const char *what)
{
    const char *slash = strrchr(file, '/');

    printf("FAIL seed %llu turn %llu total %llu: %s:%d: %s\n", (unsigned long long)now->seed,
           (unsigned long long)now->turns, (unsigned long long)sim_total.steps,
           slash != NULL ? slash + 1 : file, line, what);
    fflush(stdout);
    _Exit(1);
}

/* ---- The engine's loop ---------------------------------------------------------------------- */

static uint64_t digest_bytes(uint64_t d, const void *p, size_t n)
{
    for (size_t i = 0; i + 4 <= n; i += 4) {
        uint32_t w;
        memcpy(&w, (const char *)p + i, 4);
        d = lls_mix64(d, w);
    }
    return d;
}

/* Mask rows are numbered like logits rows; drafts advance the grammar as if they were accepted. */
static void fill_mask(sim_t *m)
{
    m->mask->step = m->sent->step;
    m->mask->n_rows = m->sent->n_logits;
    m->mask->n_words = 2;
    for (uint32_t i = 0; i < lls_plan_n_runs(m->sent); i++) {
        const lls_run_row_t *run = &lls_plan_runs(m->sent)[i];
        sim_req_t           *r = run->flags & LLS_RUN_MASKED ? sim_req_of_run(m, run) : NULL;
        int32_t              drafts[LLS_MAX_DRAFTS];
        for (uint32_t j = 0; r != NULL && j <= run->n_draft; j++) {
            uint32_t at = run->tok + run->n - run->n_draft + j - 1;
            int32_t  t = j == 0 ? 0 : lls_plan_tokens(m->sent)[at];
            if (j > 0)
                drafts[j - 1] = t >= 0 ? t : j <= r->n_drafts ? r->drafts[j - 1] : 0;
            sim_grammar_mask(r, r->n_prompt + r->n_got, drafts, j,
                             lls_mask_row(m->mask, run->logit + j));
        }
    }
}

static void note_drafts(sim_t *m, const lls_step_result_t *res)
{
    for (uint32_t i = 0; i < lls_result_n_rows(res); i++) {
        sim_req_t              *r = &m->reqs[m->run_ids[res->step % 8][i]];
        const lls_row_result_t *row = &lls_result_rows(res)[i];
        r->n_flying -= row->tokens.n > 0 && res->step >= r->row_step;
        r->n_drafts = row->drafts.n;
        memcpy(r->drafts, lls_result_tokens(res) + row->drafts.off,
               row->drafts.n * sizeof(int32_t));
        sim_total.accepted += lls_sub_u32(row->tokens.n, 1);
    }
}

static void collect(sim_t *m)
{
    const lls_step_result_t *res, *twin;
    lls_step_result_t       *copy = m->sent_result;
    uint64_t                 calls;
    size_t                   n;

    m->runner->ops->wait(m->runner, -1, &res);
    n = lls_result_pack(res, copy, m->result_bytes);
    m->twin->ops->wait(m->twin, -1, &twin);
    MUST(n > 0 && lls_result_pack(twin, m->twin_result, m->result_bytes) == n &&
             memcmp(m->twin_result, copy, n) == 0, "replay of the plans gives other results");
    MUST(lls_result_is_sound(copy, n), "result does not pack");
    note_drafts(m, copy);
    calls = m->mem.n_calls;
    lls_sched_update(m->sched, copy);
    MUST(m->mem.n_calls == calls, "A1 update allocates");
    sim_take_prompt_logprobs(m, copy);
    sim_take_lines(m);
    sim_check_all(m);
}

/* The runner stops half way: all that the plan promised is taken back. */
static void cancel(sim_t *m)
{
    m->runner->ops->control(m->runner, FAKE_CANCEL, 0);
    m->twin->ops->control(m->twin, FAKE_CANCEL, 0);
    MUST(m->runner->ops->execute(m->runner, m->sent) == LLM_ERR_CANCELLED, "not cancelled");
    m->twin->ops->execute(m->twin, m->sent);
    lls_sched_withdraw(m->sched);
    sim_total.withdrawn++;
    sim_check_all(m);
}

static void launch(sim_t *m)
{
    size_t n = lls_plan_pack(m->plan, m->sent, m->plan_bytes);

    MUST(n > 0 && lls_plan_is_sound(m->sent, n), "plan does not pack");
    m->digest = digest_bytes(m->digest, m->sent, n);
    sim_total.steps++;
    sim_check_plan(m);
    if (m->cancels && chance(m, 3)) {
        cancel(m);
        return;
    }
    m->runner->ops->execute(m->runner, m->sent);
    m->twin->ops->execute(m->twin, m->sent);
    while ((m->sent->flags & LLS_PLAN_MASK_PENDING) && lls_sched_n_in_flight(m->sched) > 1)
        collect(m);
    fill_mask(m);
    m->runner->ops->sample(m->runner, m->mask);
    m->twin->ops->sample(m->twin, m->mask);
}

static void inputs(sim_t *m)
{
    while (m->n_reqs < m->n_total && chance(m, m->arrival_gap))
        sim_arrive(m);
    for (uint32_t i = 0; i < 4 && m->forks && m->n_reqs > 0 && m->n_reqs < MAX_REQS; i++)
        if (chance(m, 5))
            sim_fork_one(m);
    for (uint32_t i = 0; i < 4 && m->forks && m->n_reqs > 0; i++)
        if (chance(m, 5))
            sim_hold_one(m);
    for (uint32_t i = 0; i < m->n_reqs; i++) {
        sim_req_t *r = &m->reqs[i];
        if (!r->ended && m->turns >= r->unblock_at)
            lls_sched_unblock(m->sched, r->handle, LLS_BLOCKED_GRAMMAR);
        if (m->turns >= r->abort_at) {      /* again and again, also long after: harmless */
            r->aborted |= !r->ended;
            lls_sched_finish(m->sched, r->handle, i % 2 ? LLS_FINISH_ABORT : LLS_FINISH_DEADLINE);
        }
    }
    sim_take_lines(m);
    if (m->resets && chance(m, 3)) {
        lls_sched_reset_cache(m->sched);
        m->runner->ops->control(m->runner, LLS_RUNNER_RELOAD_WEIGHTS, 0);
        m->twin->ops->control(m->twin, LLS_RUNNER_RELOAD_WEIGHTS, 0);
        sim_total.resets++;
    }
    if (m->resets && chance(m, 3)) {
        lls_kv_reset(m->kv);
        sim_total.flushes++;
    }
    if (m->budgets && chance(m, 20)) {
        m->budget = chance(m, 20) ? 0 : between(m, 1, m->sc.max_tokens - 1);
        lls_sched_set_budget(m->sched, m->budget);
    }
    sim_check_all(m);
}

static bool everything_ended(const sim_t *m)
{
    return m->n_reqs >= m->n_total && lls_sched_n_live(m->sched) == 0;
}

/* Each turn something must move, unless all that lives waits for a named event. */
static void check_liveness(sim_t *m, bool launched)
{
    bool excused = launched || lls_sched_n_live(m->sched) == lls_sched_n_blocked(m->sched);

    m->idle_turns = excused ? 0 : m->idle_turns + 1;
    MUST(m->idle_turns < 60, "S8 nothing moves");
    MUST(m->turns < 30000, "S8 it never ends");
}

static void turn(sim_t *m)
{
    bool     launched = false;
    uint64_t calls;

    m->turns++;
    inputs(m);
    if (lls_sched_n_in_flight(m->sched) < m->sc.max_in_flight) {
        m->n_outs_seen = 0;
        sim_note_running(m);
        calls = m->mem.n_calls;
        launched = lls_sched_schedule(m->sched, m->plan);
        MUST(m->mem.n_calls == calls, "A1 schedule allocates");
        if (chance(m, 50))
            lls_req_discard(&m->mem, lls_sched_take_gone(m->sched));
        sim_check_all(m);
        if (launched)
            launch(m);
    }
    check_liveness(m, launched && !(m->plan->flags & LLS_PLAN_DUMMY));
    if (!launched || lls_sched_n_in_flight(m->sched) == m->sc.max_in_flight || chance(m, 30))
        collect(m);
}

/* ---- Main ----------------------------------------------------------------------------------- */

static void create(sim_t *m)
{
    lls_fake_config_t f = { .kv = m->kvc, .max_in_flight = m->sc.max_in_flight,
                            .max_loras = m->sc.max_loras, .seed = m->seed, .verify = true,
                            .truth = sim_truth, .user = m };

    lls_mem_init(&m->mem, NULL);
    MUST(lls_kv_create(&m->mem, &m->kvc, &m->kv, NULL) == LLM_OK, "create");
    MUST(lls_sched_create(&m->mem, &m->sc, m->kv, &m->sched, NULL) == LLM_OK, "create");
    lls_sched_step_limits(m->sched, &m->lim);
    f.lim = m->lim;
    m->runner = lls_fake_create(&f);
    m->twin = lls_fake_create(&f);
    m->plan_bytes = lls_plan_size(&m->lim);
    m->result_bytes = lls_result_size(&m->lim);
    m->plan = lls_plan_init(malloc(m->plan_bytes), &m->lim);
    m->sent = malloc(m->plan_bytes);
    m->sent_result = malloc(m->result_bytes);
    m->twin_result = malloc(m->result_bytes);
    m->mask = calloc(1, sizeof *m->mask + 64 * (1 + LLS_MAX_DRAFTS) * 8);
    m->reqs = calloc(MAX_REQS + 1, sizeof *m->reqs);
}

static void destroy(sim_t *m)
{
    m->runner->ops->destroy(m->runner);
    m->twin->ops->destroy(m->twin);
    lls_sched_destroy(m->sched);
    lls_kv_destroy(m->kv);
    MUST(m->mem.held == 0, "A2 memory is lost");
    free(m->plan);
    free(m->sent);
    free(m->sent_result);
    free(m->twin_result);
    free(m->mask);
    free(m->reqs);
}

static void describe(const sim_t *m)
{
    const lls_sched_config_t *c = &m->sc;

    fprintf(stderr, "seed %llu rows %u tokens %u len %u flight %u ahead %u drafts %u dev %d "
            "nochunk %d long %u partial %u mark %u look %u loras %u enc %u/%u plps %u conn %d "
            "cache %d drop %d fork %d prio %d reset %d budget %d\n",
            (unsigned long long)m->seed, c->max_rows, c->max_tokens, c->max_model_len,
            c->max_in_flight, c->run_ahead, c->max_drafts, c->drafts_on_device, c->no_chunks,
            c->long_prefill, c->max_partial, c->watermark, c->lookahead, c->max_loras,
            c->enc_budget, c->enc_cache, c->max_plps, c->connector.matched != NULL, m->kvc.caching,
            m->kvc.drop_last, m->forks, m->priorities, m->resets, m->budgets);
    for (uint32_t g = 0; g < m->kvc.n_groups; g++)
        fprintf(stderr, "  group kind %u pool %u (%u blocks) of %u tokens, window %u\n",
                m->kvc.group[g].kind, m->kvc.group[g].pool,
                m->kvc.pool_blocks[m->kvc.group[g].pool], m->kvc.group[g].block_tokens,
                m->kvc.group[g].window);
}

static uint64_t simulate(uint64_t seed)
{
    sim_t   *m = calloc(1, sizeof *m);
    uint64_t digest;

    now = m;
    m->seed = seed;
    m->rng = seed * 0x1234567u + 99;
    sim_choose(m);
    create(m);
    if (verbose)
        describe(m);
    while (!everything_ended(m))
        turn(m);
    for (uint32_t i = 0; i < 40; i++)   /* transfers of those already gone, last plans */
        turn(m);
    while (lls_sched_n_in_flight(m->sched) > 0)
        collect(m);
    if (lls_sched_check_idle(m->sched) != NULL)
        lls_panic("sim.c", __LINE__, lls_sched_check_idle(m->sched));
    sim_total.tokens += m->n_tokens;
    digest = m->digest;
    destroy(m);
    free(m);
    return digest;
}

static void print_totals(void)
{
    const sim_totals_t *t = &sim_total;
#define N(x) (unsigned long long)t->x
    printf("steps %llu tokens %llu finished %llu aborted %llu cached %llu preempted %llu\n"
           "forked %llu shared %llu copies %llu drafts %llu accepted %llu async rows %llu\n"
           "masked %llu pooled %llu prompt logprobs %llu encoder runs %llu lora loads %llu\n"
           "loads %llu saves %llu resets %llu flushes %llu withdrawn %llu "
           "held %llu, with blocks %llu\n",
           N(steps), N(tokens), N(finished), N(aborted), N(cached), N(preempted), N(forked),
           N(shared), N(copies), N(drafts), N(accepted), N(async_rows), N(masked), N(pooled),
           N(plps), N(encs), N(lora_loads), N(loads), N(saves), N(resets), N(flushes),
           N(withdrawn), N(held), N(held_full));
#undef N
}

int main(int argc, char **argv)
{
    uint64_t first = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, seed = first, d, all = 0;
    uint64_t n_seeds = argc > 2 ? strtoull(argv[2], NULL, 10) : 200;
    uint64_t n_steps = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;

    verbose = argc > 4;
    for (; seed < first + n_seeds || sim_total.steps < n_steps; seed++) {
        d = simulate(seed);
        if (seed % 8 == 0 && simulate(seed) != d) {
            printf("FAIL seed %llu turn 0 total %llu: sim.c: S15 the same inputs, other plans\n",
                   (unsigned long long)seed, (unsigned long long)sim_total.steps);
            return 1;
        }
        all = lls_mix64(all, d);
    }
    printf("ok seeds %llu..%llu digest %016llx\n", (unsigned long long)first,
           (unsigned long long)(seed - 1), (unsigned long long)all);
    print_totals();
    return 0;
}
