/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_int - what the files of the engine share: assemble.c (an engine is put together), setup.c
 * (with a model), defaults.c (what requests may leave out), input.c (requests come in), engine.c
 * (the loop), output.c (results become news), pause.c (the loop stands still), batch.c.
 *
 * Two kinds of state.  What is marked [lock] is shared between the threads that call [any]
 * functions and the stepping thread; the lock is held for a few instructions, never over a step.
 * Everything else belongs to the thread that steps, of which `busy` admits one at a time.
 */
#ifndef LLS_ENGINE_ENGINE_INT_H
#define LLS_ENGINE_ENGINE_INT_H

#include <pthread.h>

#include "base/arena.h"
#include "base/forked.h"
#include "cpu/cpu.h"
#include "engine/admission.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "engine/options.h"
#include "engine/reasoning.h"
#include "model/model.h"
#include "run/model_runner.h"

typedef struct lls_slot {           /* of the table that ids point into */
    lls_completion_t *c;            /* NULL = free, or reserved by an add that is not done yet */
    uint32_t          gen;
} lls_slot_t;

#define LLS_NOT_PAUSED (-1)

typedef struct lls_pause {
    int32_t  mode;                  /* LLM_PAUSE_*, or LLS_NOT_PAUSED */
    uint32_t number;                /* 1, 2, ...: which pause this is, or the last one was */
} lls_pause_t;

struct llm_engine {
    lls_mem_t            mem;
    lls_log_t            log;
    lls_clock_t          clock;
    lls_forked_t         forked;    /* a child after fork() is refused */
    lls_engine_options_t options;
    llm_plan_t           plan;
    /* parts */
    lls_tokenizer_t *tokenizer;     /* NULL under skip-tokenizer-init */
    lls_model_t     *model;
    lls_cpu_t       *cpu;
    lls_runner_t    *runner;
    lls_kv_t        *kv;
    lls_sched_t     *sched;
    lls_kv_config_t  kv_config;
    lls_sched_config_t sched_config;
    lls_step_limits_t  limits;
    uint32_t         kv_dtype;
    const lls_traits_t *traits;
    uint64_t         group_bytes[LLS_MAX_GROUPS];       /* of a block of each group */
    uint64_t         block_bytes[LLS_MAX_GROUPS];       /* of a block of each pool */
    lls_step_plan_t *step_plan;
    llm_sampling_params_t defaults; /* SamplingParams() under generation_config.json */
    int32_t         *eos_ids;
    uint32_t         n_eos_ids;
    int32_t          eos_id;        /* the one that ends a request without being named; -1 = none */
    lls_reasoning_t  reasoning;
    lls_arena_t      weights, workspace, cache[LLS_MAX_GROUPS];     /* the device's memory */
    size_t           cache_bytes[LLS_MAX_GROUPS];       /* planned; the others are in plan */
    /* shared with the threads that add, abort and ask */
    pthread_mutex_t  lock;
    int              wake_fd;       /* eventfd: llm_engine_notify() and arrivals */
    lls_slot_t      *slots;         /* [lock] [max_num_queued_reqs] */
    uint32_t        *free_slots, n_free_slots;  /* [lock] */
    lls_request_t   *inbox, **inbox_end;        /* [lock] */
    lls_request_t   *aborts;        /* [lock] */
    uint64_t         n_added;       /* [lock] requests so far: the seeds of unseeded ones */
    uint32_t         pause_number;  /* [lock] of the pause that is on, or was last */
    _Atomic int32_t  paused;        /* LLM_PAUSE_* or LLS_NOT_PAUSED; written with the lock */
    _Atomic uint64_t n_held;        /* unfinished requests that came during this pause */
    lls_admission_t  admission;     /* shares its counters */
    uint32_t         step_live;     /* [lock] rows of the step now running that have not ended */
    _Atomic uint32_t cancel;        /* the step now running is for nobody */
    _Atomic uint32_t busy;          /* a thread is inside step or batch */
    _Atomic uint32_t dead;
    _Atomic uint64_t n_unfinished;  /* requests whose last output was not yet made */
    _Atomic uint64_t step_began_us; /* 0 = no step runs */
    llm_error_t      death;         /* why; written before dead is set */
    /* the thread that steps */
    lls_request_t   *alive;         /* all requests that it knows of */
    lls_completion_t **by_slot;     /* of the scheduler's slots */
    lls_completion_t **by_row;      /* of the runner's rows */
    lls_completion_t **in_step;     /* [n_in_step]: who has run i of the step now running */
    uint32_t         n_in_step;
    lls_completion_t *pending, **pending_end;   /* records due, oldest first */
    lls_request_t   *retired;       /* their last record was lent; freed by the next step */
    uint64_t         next_deadline_us;          /* no deadline is earlier; 0 = none */
    lls_pause_t      pause;         /* as the last turn found it */
    double           ns_per_token;  /* of steps with prompts, smoothed; 0 = not known */
    lls_metrics_t    metrics;
};

static inline uint64_t lls_engine_now(const lls_engine_t *e) { return e->clock.us(e->clock.user); }

/* defaults.c: e->defaults, and the tokenizer's template, by files and options. */
llm_status_t lls_engine_lay_defaults(lls_engine_t *e, llm_error_t *err);

/* assemble.c */
uint64_t lls_engine_device_bytes(const lls_engine_t *e);    /* [any] */

/* The one thread that may step, drain or run a batch; LLM_ERR_STATE for a second one. */
llm_status_t lls_engine_enter(lls_engine_t *e, llm_error_t *err);
void         lls_engine_leave(lls_engine_t *e);
/* LLM_ERR_DEVICE, with why it died. */
llm_status_t lls_engine_refuse_dead(const lls_engine_t *e, llm_error_t *err);

/* input.c.  With batch set its records go there; with beam it is a search, and sampling what its
 * beams ask for. */
llm_status_t lls_engine_admit(lls_engine_t *e, const llm_request_t *request,
                              const llm_sampling_params_t *sampling,
                              const llm_beam_params_t *beam, struct lls_batch_item *batch,
                              llm_request_id_t *id, llm_error_t *err);
/* What a slot of ours is called outside and in the scheduler. */
llm_request_id_t lls_engine_id(const lls_engine_t *e, uint32_t slot);

/* engine.c */
/* A step without enter and leave. */
llm_status_t lls_engine_turn(lls_engine_t *e, llm_error_t *err);
/* Ends a live completion: the scheduler forgets it, its last record becomes due. */
void         lls_engine_end(lls_engine_t *e, lls_completion_t *c, uint32_t finish);
/* Of its completions, none of which runs, only the first n are left. */
void         lls_engine_shrink(lls_engine_t *e, lls_request_t *req, uint32_t n);
/* All records of the request were handed over: the next step frees it. */
void         lls_engine_retire(lls_engine_t *e, lls_request_t *req);
/* Frees everything that was asked, finished or not; for destroy. */
void         lls_engine_drop_requests(lls_engine_t *e);
/* With the lock: the next turn ends it.  False if it has ended, or was aborted before. */
bool         lls_engine_mark_aborted(lls_engine_t *e, lls_request_t *req);

/* pause.c */
/* A turn begins and finds the pause as it is now. */
void         lls_engine_follow_pause(lls_engine_t *e, lls_pause_t now);
/* With the lock: it waits for the end of the pause that is on. */
static inline bool lls_engine_came_paused(const lls_engine_t *e, const lls_request_t *req)
{
    return atomic_load(&e->paused) != LLS_NOT_PAUSED && req->pause == e->pause_number;
}
/* As lls_engine_wait(), whatever records are due: for loops that do not drain. */
llm_status_t lls_engine_sleep(lls_engine_t *e, int64_t timeout_us);

/* output.c */
void lls_engine_take_results(lls_engine_t *e, const lls_step_result_t *result);
/* Puts a completion among the pending ones if a record is due. */
void lls_engine_news(lls_engine_t *e, lls_completion_t *c);
/* All log-probabilities of the prompt are there, or no more will come: records may go out. */
void lls_engine_end_prompt(lls_engine_t *e, lls_request_t *req);

/* batch.c: room for the outputs of n completions, or fewer than expected before; then each takes
 * its last record. */
llm_status_t lls_batch_expect(struct lls_batch_item *item, uint32_t n, llm_error_t *err);
void lls_batch_take(struct lls_batch_item *item, lls_completion_t *c);

#endif
