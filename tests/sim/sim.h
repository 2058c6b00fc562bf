/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sim - what the parts of the simulation share: sim.c (loop), sim_load.c (configurations, requests
 * and what each gives when run alone) and sim_check.c (outputs and plans).
 */
#ifndef LLS_SIM_SIM_H
#define LLS_SIM_SIM_H

#include "sched/sched.h"
#include "sim/fake.h"

#define MAX_LEN  256
#define MAX_REQS 96
#define N_BASES  4

typedef struct sim_req {            /* what the simulation knows of a request */
    lls_req_desc_t d;
    uint64_t    handle;
    uint32_t    n_prompt, n_all, n_got, len_cap;
    uint32_t    expected;           /* finish, when run alone */
    uint32_t    n_finishes, abort_at, unblock_at, asked, arrival;
    uint32_t    n_flying;
    uint64_t    row_step;
    bool        ended, pattern, aborted, ran, could_give;
    int32_t     tokens[MAX_LEN + 2], stop[2], drafts[LLS_MAX_DRAFTS];
    uint32_t    n_drafts;
    uint32_t    params[2];
    lls_media_t media[3];
    uint64_t    hash[MAX_LEN + 2];  /* of the first n tokens */
    float       plp[MAX_LEN];
} sim_req_t;

typedef struct sim {
    uint64_t           seed, rng, digest, turns, idle_turns, n_tokens;
    lls_mem_t          mem;
    lls_kv_config_t    kvc;
    lls_sched_config_t sc;
    lls_step_limits_t  lim;
    lls_kv_t          *kv;
    lls_sched_t       *sched;
    lls_runner_t      *runner, *twin;
    lls_step_plan_t   *plan, *sent;
    void              *sent_result, *twin_result;
    lls_step_mask_t   *mask;
    size_t             plan_bytes, result_bytes;
    sim_req_t         *reqs;
    uint32_t           n_reqs, n_total, n_outs_seen, arrival_gap, budget, n_ran;
    uint32_t           enc_len[64], enc_filled, adapter_at[16];
    bool               forks, priorities, resets, thrash, budgets, cancels, row_seen[64];
    uint64_t           run_ids[8][64];  /* by step % 8, the request of each run */
    int32_t            base[N_BASES][MAX_LEN];
} sim_t;

typedef struct sim_totals {
    uint64_t steps, tokens, finished, cached, preempted, drafts, accepted, aborted, forked, shared,
        loads, copies, pooled, encs, masked, lora_loads, saves, async_rows, plps, resets, flushes,
        withdrawn, held, held_full;
} sim_totals_t;

extern sim_totals_t sim_total;

void lls_panic(const char *file, int line, const char *what);
#define MUST(cond, what) ((cond) ? (void)0 : lls_panic(__FILE__, __LINE__, what))

static inline uint32_t rnd(sim_t *m, uint32_t n)
{
    m->rng += 0x9e3779b97f4a7c15u;
    return (uint32_t)((lls_mix64(m->rng, 1) >> 33) % n);
}

static inline bool chance(sim_t *m, uint32_t percent) { return rnd(m, 100) < percent; }

static inline uint32_t between(sim_t *m, uint32_t lo, uint32_t hi)
{
    return lo + rnd(m, hi - lo + 1);
}

/* ---- sim_load.c ---- */
void     sim_choose(sim_t *m);
void     sim_arrive(sim_t *m);
void     sim_fork_one(sim_t *m);
void     sim_hold_one(sim_t *m);
uint64_t sim_truth(void *user, uint64_t request, uint32_t n);
void     sim_grammar_mask(const sim_req_t *r, uint32_t n, const int32_t *more, uint32_t n_more,
                          uint32_t *bits);
bool     sim_matches_pattern(const sim_req_t *r, uint32_t n);

/* ---- sim_check.c ---- */
void       sim_take_lines(sim_t *m);
void       sim_take_prompt_logprobs(sim_t *m, const lls_step_result_t *res);
sim_req_t *sim_req_of_run(sim_t *m, const lls_run_row_t *run);
void       sim_note_running(sim_t *m);
void       sim_check_plan(sim_t *m);
void       sim_check_all(sim_t *m);

#endif
