/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched_int - what the files of the scheduler share: sched_create.c (create, prepare), sched_req.c
 * (requests come and leave), sched_queue.c (they wait), sched.c (schedule), sched_update.c
 * (results, control) and sched_check.c.
 */
#ifndef LLS_SCHED_SCHED_INT_H
#define LLS_SCHED_SCHED_INT_H

#include "sched/sched.h"

struct lls_req_mem {                /* the arrays follow */
    lls_req_mem_t *next;
    lls_req_t      req;             /* as it will be in its slot */
};

typedef struct lls_flight_row {     /* what a plan in flight ran, by index of its run rows */
    uint32_t slot, epoch, n;
    uint16_t n_draft, flags;
} lls_flight_row_t;

typedef struct lls_flight {
    uint64_t          step;
    uint32_t          n;
    lls_flight_row_t *rows;
} lls_flight_t;

typedef struct lls_lora_slot {
    uint32_t adapter, holders;
    uint64_t gen, used_at;
} lls_lora_slot_t;

struct lls_sched {
    lls_mem_t         *mem;
    lls_sched_config_t cfg;
    lls_kv_t          *kv;
    lls_enc_t          enc;
    lls_req_t         *reqs;
    uint32_t          *free_slots, n_free_slots;
    uint32_t          *running, n_running;
    uint32_t           head[LLS_QUEUE_LEVELS], tail;    /* waiting */
    uint32_t           n_waiting, n_blocked, n_partial, n_jobs;
    uint32_t          *free_rows, n_free_rows;
    uint32_t          *gone_rows, n_gone_rows;      /* to be told to the runner */
    uint32_t          *done, n_done;        /* finished, slots to be given back */
    uint32_t          *saves, n_saves;
    lls_lora_slot_t   *loras;
    lls_flight_t      *flights;             /* ring */
    uint32_t           first_flight, n_flights;
    lls_sched_out_t   *outs;
    uint32_t           n_outs;
    uint64_t           step, n_added;
    uint32_t           budget;              /* tokens left of max_tokens in the step being made */
    uint32_t           reserve;             /* of these not for chunks, as the budget is lower */
    uint32_t           plps;                /* positions with prompt logprobs left in it */
    uint32_t           step_budget;         /* as set; 0 = max_tokens */
    uint32_t           n_preempted;         /* in the step being made */
    uint64_t           all_preempted, all_cached;
    lls_req_mem_t     *gone;
    bool               holders;             /* some that do not run may hold blocks */
    bool               paused;
};

static inline lls_req_t *req_at(const lls_sched_t *s, uint32_t slot) { return &s->reqs[slot]; }
static inline lls_req_t *running_at(const lls_sched_t *s, uint32_t i)
{
    return &s->reqs[s->running[i]];
}

/* A run from position `at` answers with logprobs of the prompt. */
static inline bool gives_plps(const lls_req_t *r, uint32_t at)
{
    return (r->row_flags & LLS_ROW_PROMPT_LOGPROBS) && at + 1 < r->n_prompt;
}

/* Runs all its tokens in one step: attention looks both ways, or chunks are off. */
static inline bool is_whole(const lls_sched_config_t *c, uint32_t options)
{
    return c->no_chunks || (options & LLS_REQ_WHOLE) != 0;
}

/* The queue's order, and of victims its reverse. */
bool lls_req_goes_before(const lls_req_t *a, const lls_req_t *b);
void lls_sched_enqueue(lls_sched_t *s, lls_req_t *r);
void lls_sched_dequeue(lls_sched_t *s, lls_req_t *r);
void lls_sched_block_req(lls_sched_t *s, lls_req_t *r, uint32_t reasons);
void lls_sched_unblock_req(lls_sched_t *s, lls_req_t *r, uint32_t reasons);
void lls_req_hash_tokens(const lls_kv_config_t *kv, lls_req_t *r);
/* Gives back the encoder entries of items that end by position `upto`. */
void lls_req_drop_media(lls_sched_t *s, lls_req_t *r, uint32_t upto);
/* Back to nothing computed; results in flight become strangers. */
void lls_req_forget_progress(lls_sched_t *s, lls_req_t *r);
/* running[i] goes back to the queue. */
void lls_sched_preempt(lls_sched_t *s, uint32_t i);
void lls_sched_report(lls_sched_t *s, const lls_req_t *r, uint32_t first, uint32_t run);
/* The caller has taken r out of its queue. */
void lls_sched_retire(lls_sched_t *s, lls_req_t *r, uint32_t finish);
void lls_sched_free_slot(lls_sched_t *s, lls_req_t *r);
/* What was charged is what the plan has, for tokens and for prompt logprobs. */
bool lls_sched_charges_add_up(const lls_sched_t *s, const lls_step_plan_t *plan);

#endif
