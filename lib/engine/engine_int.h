/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_int - what the files of the engine share: setup.c (parts are made), input.c (requests come
 * in), engine.c (the loop), output.c (news go out), batch.c.
 *
 * Two kinds of state.  What is marked [lock] is shared between the threads that call [any] functions and
 * the stepping thread; the lock is held for a few instructions, never over a step.  Everything else
 * belongs to the thread that steps, of which `busy` admits one at a time.
 */
#ifndef LLS_ENGINE_ENGINE_INT_H
#define LLS_ENGINE_ENGINE_INT_H

#include <pthread.h>
#include <sys/types.h>

#include "engine/completion.h"
#include "engine/engine.h"
#include "engine/metrics.h"
#include "model/model.h"
#include "run/model_runner.h"

typedef struct lls_slot {           /* of the table that ids point into */
    lls_completion_t *c;            /* NULL = free */
    uint32_t          gen;
} lls_slot_t;

struct lls_engine {
    lls_mem_t       mem;
    lls_log_t       log;
    pid_t           pid;            /* a child after fork() is refused */
    lls_settings_t  settings;
    llm_plan_t      plan;
    /* parts */
    lls_tokenizer_t *tokenizer;     /* NULL under skip-tokenizer-init */
    lls_model_t     *model;
    lls_cpu_t       *cpu;
    lls_runner_t    *runner;
    lls_kv_t        *kv;
    lls_sched_t     *sched;
    lls_step_plan_t *step_plan;
    void            *weights, *cache[LLS_MAX_GROUPS];
    size_t           weights_bytes, cache_bytes[LLS_MAX_GROUPS];
    llm_sampling_params_t defaults; /* SamplingParams() under generation_config.json */
    int32_t         *eos_ids;
    uint32_t         n_eos_ids;
    /* the threads that add, abort and ask */
    pthread_mutex_t  lock;
    int              wake_fd;       /* eventfd: llm_engine_notify() and arrivals */
    lls_slot_t      *slots;         /* [lock] [max_num_queued_reqs] */
    uint32_t        *free_slots, n_free_slots;  /* [lock] */
    lls_request_t   *inbox, **inbox_end;        /* [lock] */
    lls_request_t   *aborts;        /* [lock] */
    uint64_t         n_added;       /* [lock] requests so far: seeds of unseeded ones */
    uint32_t         step_live;     /* [lock] rows of the step now running that have not ended */
    _Atomic uint32_t cancel;        /* the step now running is for nobody */
    _Atomic uint32_t busy;          /* a thread is inside step, drain or batch */
    _Atomic uint32_t dead;
    _Atomic uint64_t n_unfinished;  /* requests whose last output was not yet made */
    llm_error_t      death;         /* why; set before dead */
    /* the thread that steps */
    lls_request_t   *alive;         /* all requests that it knows of */
    lls_completion_t *pending, **pending_end;   /* records due, oldest first */
    lls_request_t   *retired;       /* their last record was lent; freed by the next step */
    uint64_t         next_deadline_us;          /* no deadline is earlier; 0 = none */
    double           ns_per_token;  /* of steps with prompts: smoothed */
    lls_metrics_t    metrics;
};

/* Completion of the scheduler's slot number. */
lls_completion_t *lls_engine_owner(lls_engine_t *e, uint64_t label);

/* engine.c: what a request's end and news mean for the loop. */
void lls_engine_end(lls_engine_t *e, lls_completion_t *c, uint32_t finish);
void lls_engine_abort_request(lls_engine_t *e, lls_request_t *req, uint32_t finish);
void lls_engine_news(lls_engine_t *e, lls_completion_t *c);
/* The request is over and out of every list: frees it and its slots. */
void lls_engine_forget(lls_engine_t *e, lls_request_t *req);

/* output.c */
void lls_engine_apply_results(lls_engine_t *e, const lls_step_result_t *result);

#endif
