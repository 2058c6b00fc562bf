/* SPDX-License-Identifier: Apache-2.0 */
/*
 * esim - what the parts of the engine's simulation share: esim.c (loop), esim_load.c
 * (configurations and requests), esim_solo.c (what each request gives when run alone),
 * esim_runner.c (a runner on top of sim/fake), esim_turn.c (what the engine must have done after
 * each turn) and esim_record.c (records and batches against that).
 */
#ifndef LLS_SIMENGINE_ESIM_H
#define LLS_SIMENGINE_ESIM_H

#include "engine/assemble.h"
#include "sim/fake.h"

#define MAX_LEN   160               /* tokens of the longest context */
#define MAX_N     4                 /* completions */
#define MAX_REQS  400               /* of one seed */
#define MAX_BATCH 12
#define N_BASES   4                 /* beginnings that prompts share */
#define MAX_WIDE  (1 + FAKE_VOCAB)  /* entries of a log-probability row */

struct es_req;

typedef struct es_comp {
    struct es_req *req;
    uint32_t  index;
    /* run alone */
    uint32_t  n_solo, solo_finish;
    int32_t   stop_which, stop_token;   /* -1 = none */
    int32_t  *tokens;               /* [n_solo] */
    uint64_t *hash;                 /* [n_prompt + n_solo + 1], of the first i tokens */
    uint32_t *text_at;              /* [n_solo + 1], bytes of text that are out after i tokens */
    char     *text;
    uint32_t  text_end;             /* where the end cuts the text */
    /* so far, in the engine */
    uint64_t  label;                /* of its rows */
    uint32_t  made, finish, n_adds, adds_at_token, cached, plps_at_due;
    llm_status_t error;             /* with LLM_FINISH_ERROR */
    bool      running;
    bool      prefilled;            /* all of its prompt was computed once */
    bool      ran, refused, got_token, pooled;      /* in this turn, with: */
    uint32_t  row_status;           /* LLS_ROW_* */
    uint64_t  queue_us, first_us, last_us, itl_max, first_step, last_step, device_ns;
    uint64_t  min_block_steps;      /* of the steps it ran in */
    /* as records told */
    uint32_t  sent, sent_text, n_records;
    bool      due, over;            /* a record must come; the last one came */
} es_comp_t;

typedef struct es_req {
    uint32_t  number;               /* in this simulation */
    llm_request_id_t id;
    bool      accepted, submitted, in_batch, abort_asked, gone;
    bool      hooked, penalised, is_text;
    int32_t   prompt[MAX_LEN + 8], stop_ids[3], allowed[5];
    char      text[MAX_LEN * 2];
    const char *stop[3], *salt;
    llm_logit_bias_t bias;
    uint32_t  n_prompt, n_stop, n_stop_ids, n_allowed, n_bias, n_ended, n_over, n_plps;
    uint32_t  wide, prompt_wide;    /* entries a token */
    uint64_t  added_us, first_seed, order, engine;
    uint32_t  pause_no;             /* the pause that it came in; 0 = none */
    int64_t   wall_us;
    uint32_t  len_cap, min_tokens;
    llm_status_t refusal;           /* LLM_OK = it is good */
    llm_request_t r;
    llm_sampling_params_t s;
    es_comp_t c[MAX_N];
} es_req_t;

typedef struct esim {
    uint64_t        seed, rng, digest, turns, idle_turns, n_tokens;
    /* configuration */
    lls_traits_t    traits;
    uint32_t        group_scale, rows, max_tokens, max_len, block, blocks, queued, interval;
    uint32_t        queued_tokens;  /* at most; 0 = any */
    uint32_t        long_prefill, token_ns;
    int32_t         max_logprobs;
    bool            caching, chunks, by_priority, has_tokenizer;
    int32_t         eos_id;
    /* how often things happen, in percent or in 10,000 */
    uint32_t        arrivals, burst, aborts, batches, resets, deadlines, hooks, drains, row_faults;
    uint32_t        deaths, oom, sneaks, pauses, scores, n_total;
    int32_t         base[N_BASES][MAX_LEN + 8];
    /* the engine and what it stands on */
    llm_engine_t   *e;
    uint64_t        now, wall_ahead, n_engines;
    uint64_t        live_bytes, live_blocks, idle_host_bytes;
    uint32_t        fail_in, n_failed;      /* allocations: the next that fails; failures so far */
    /* the turn */
    bool            turn_open, executed, cancelled, dying, stopping, refusing, lost_counts;
    int32_t         pause_mode, turn_pause_mode;    /* now, and as the turn began; -1 = none */
    uint32_t        pause_no, turn_pause_no;
    uint32_t        failed_before;  /* n_failed at the end of the last turn */
    /* requests */
    es_req_t       *reqs[MAX_REQS];
    uint32_t        n_reqs, live[MAX_REQS], n_live, n_unfinished, n_slots;
    uint64_t        n_orders;
    /* what the engine's counters must say */
    uint64_t        steps, finished, prompt_tokens, cached_tokens, completion_tokens, preemptions;
    uint64_t        by_finish[8];
} esim_t;

typedef struct esim_totals {
    uint64_t turns, steps, tokens, requests, completions, cached, preempted, records, batches,
        aborted, expired, cancelled, stops, hooks, row_faults, deaths, oom, busy, refused, resets,
        plps, engines, sneaks, pauses;
} esim_totals_t;

extern esim_totals_t esim_total;
extern uint64_t esim_spoil;          /* of the token of a seed to make wrong; 0 = none */

void lls_panic(const char *file, int line, const char *what);
#define MUST(cond, what) ((cond) ? (void)0 : lls_panic(__FILE__, __LINE__, what))

static inline uint32_t rnd(esim_t *m, uint32_t n)
{
    m->rng += 0x9e3779b97f4a7c15u;
    return (uint32_t)((lls_mix64(m->rng, 1) >> 33) % n);
}

static inline bool chance(esim_t *m, uint32_t percent) { return rnd(m, 100) < percent; }
static inline bool rarely(esim_t *m, uint32_t of_10000) { return rnd(m, 10000) < of_10000; }

static inline uint32_t between(esim_t *m, uint32_t lo, uint32_t hi)
{
    return lo + rnd(m, hi - lo + 1);
}

static inline bool has_text(const esim_t *m, const es_req_t *q)
{
    return m->has_tokenizer && (q->s.flags & LLM_SAMPLE_NO_TEXT) == 0;
}

/* ---- esim.c ---- */
/* What other threads or callbacks may do at this moment. */
void esim_sneak(esim_t *m);

/* ---- esim_load.c ---- */
void      esim_choose(esim_t *m);
void      esim_options(esim_t *m, llm_engine_config_t *config);
es_req_t *esim_new_request(esim_t *m, bool for_batch);
/* Fixes what depends on the engine's state at add, and works out the solo run. */
void      esim_settle_request(esim_t *m, es_req_t *q, uint64_t number);
void      esim_free_requests(esim_t *m);

/* ---- esim_solo.c ---- */
void     esim_run_alone(const esim_t *m, es_req_t *q, es_comp_t *c);
void     esim_free_solo(es_comp_t *c);
int32_t  esim_token(uint64_t h, const lls_sample_view_t *v, uint64_t history, uint32_t n_out);
/* What a callback does behind a prefix: refuses (-1) or lifts a token. */
int32_t  esim_hook_says(uint64_t h);
llm_logprob_t esim_entry(uint64_t h, int32_t token, uint32_t k);
uint32_t esim_visible(const es_req_t *q, const char *text, uint32_t len);

/* ---- esim_runner.c ---- */
extern const lls_engine_parts_t esim_parts;
es_comp_t *esim_comp_of(esim_t *m, uint64_t label);

/* ---- esim_turn.c ---- */
void esim_accept(esim_t *m, es_req_t *q);
void esim_turn_begin(esim_t *m);
void esim_turn_end(esim_t *m, llm_status_t st);
/* Nothing is unfinished and all is drained. */
void esim_check_idle(esim_t *m);
/* Prompt tokens of completions that have not been through theirs. */
uint64_t esim_queued_tokens(const esim_t *m);
/* It came during the pause that is on. */
bool esim_is_held(const esim_t *m, const es_req_t *q);

/* ---- esim_record.c ---- */
/* A record must come. */
bool esim_is_due(const esim_t *m, const es_comp_t *c);
void esim_take_record(esim_t *m, const llm_output_t *o);
void esim_drain(esim_t *m, uint32_t most);
void esim_check_nothing_due(esim_t *m);
void esim_check_batch(esim_t *m, const llm_batch_t *b, es_req_t **q, uint32_t n);

#endif
