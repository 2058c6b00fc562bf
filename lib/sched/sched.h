/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched - requests, the queues they wait in, and who runs next.
 *
 * A request has n_tokens known tokens and n_computed positions given to the runner; a step hands
 * out a budget of tokens so that the second chases the first.  While results are outstanding n_hold
 * says how many tokens they stand for (1 + drafts each), so the chase goes on before they come:
 *
 *     decoding:   n_computed == n_tokens + n_hold - 1   between schedule calls
 *     judged:     n_computed -= rejected drafts         in update
 *
 * States: BLOCKED (waits for a named event, in no queue), WAITING (in the queue, ordered by
 * priority, fairness key, arrival; may already hold blocks), RUNNING (owns a row), FINISHED
 * (reported; its blocks stay while a transfer still uses them).  A live request is in exactly one.
 *
 * Every plan in flight remembers what it ran, by slot and epoch.  Preemption and finish change the
 * epoch, so results of a former life are ignored; nothing else is needed for aborts, preemptions
 * and cache resets while plans are in flight.
 *
 * A pure function of its inputs: no clock, no addresses, no iteration in hash order.  Replicated
 * ranks feed it the same calls and get the same plans.
 *
 * Nothing allocates after create but lls_req_prepare(), which copies a description into one block
 * with room for all that the request will ever need (tokens, block tables, hashes) and works out
 * the hashes of the prompt; it looks at configurations only and may be called from any thread.  All
 * else is called by one thread.  Memory of requests that are gone is handed back, not freed.
 */
#ifndef LLS_SCHED_SCHED_H
#define LLS_SCHED_SCHED_H

#include "kv/enc.h"
#include "kv/kv.h"

enum lls_req_state {
    LLS_REQ_FREE, LLS_REQ_BLOCKED, LLS_REQ_WAITING, LLS_REQ_RUNNING, LLS_REQ_FINISHED
};

enum lls_finish {
    LLS_FINISH_NONE, LLS_FINISH_STOP, LLS_FINISH_LENGTH, LLS_FINISH_ABORT, LLS_FINISH_ERROR,
    LLS_FINISH_DEADLINE, LLS_FINISH_POOLED, LLS_FINISH_REPETITION
};

enum {                              /* why a request is blocked; all must be cleared */
    LLS_BLOCKED_GRAMMAR = 1u << 0,  /* still compiling */
    LLS_BLOCKED_REMOTE  = 1u << 1,  /* KV on its way; cleared by the transfer's completion */
    LLS_BLOCKED_INPUT   = 1u << 2,  /* streaming input, or media still being prepared */
    LLS_BLOCKED_PAUSE   = 1u << 3   /* came during a pause */
};

enum {                              /* lls_req_desc_t.options, beside lls_new_row_t.flags */
    LLS_REQ_NO_CACHE_READ = 1u << 0,    /* prompt_logprobs, mean pooling: every position must run */
    LLS_REQ_WHOLE         = 1u << 1,    /* bidirectional: all tokens in one step */
    LLS_REQ_DRAFTS        = 1u << 2,
    LLS_REQ_SAVE          = 1u << 3     /* hand the KV to the connector at the end */
};

#define LLS_QUEUE_LEVELS 6          /* of shortcuts in the queue, enough for 10^4 who wait */

typedef struct lls_media {          /* tokens [at.first, + n) stand for the embeddings of blob */
    lls_kv_media_t at;
    uint32_t       blob;
    uint32_t       entry;           /* encoder entry held, or LLS_NONE; the scheduler's */
} lls_media_t;

typedef struct lls_req_desc {       /* copied; pointers are borrowed for the call */
    uint64_t           id;
    const int32_t     *tokens;
    uint32_t           n_tokens;
    uint32_t           max_tokens;  /* UINT32_MAX: to the end of the context */
    uint32_t           min_tokens;
    int32_t            priority;    /* smaller first; 0 for all = first come first served */
    uint64_t           fair_key;    /* smaller first among equals: virtual start of the tenant */
    uint32_t           row_flags, options;
    uint32_t           adapter;     /* LoRA id, 0 = none */
    uint64_t           adapter_gen, salt;
    const lls_media_t *media;
    uint32_t           n_media;
    const int32_t     *stop_ids;    /* end-of-sequence ids included, unless they are ignored */
    uint32_t           n_stop_ids;
    const uint32_t    *params;      /* opaque words for the sampler */
    uint32_t           n_params;
    uint32_t           positions, embeds;   /* blobs or LLS_NONE */
    uint32_t           blocked;     /* LLS_BLOCKED_* to begin with */
} lls_req_desc_t;

typedef struct lls_req {
    /* what every step touches */
    uint8_t     state, finish;
    uint8_t     blocked, n_jobs;    /* transfers in flight */
    uint32_t    epoch;
    uint32_t    row;
    uint32_t    n_tokens, n_computed, n_hold;
    uint32_t    len_cap;            /* n_tokens at which it ends */
    uint16_t    slack;              /* drafts in flight, not judged yet */
    uint8_t     n_flying;           /* steps in flight that will return a token */
    uint8_t     n_drafts;           /* valid when n_hold == 0 */
    uint32_t    n_sched;            /* of the step being made */
    uint32_t    options, row_flags;
    int32_t    *tokens;             /* [len_cap] */
    lls_kv_seq_t kv;
    uint32_t    n_sent[LLS_MAX_GROUPS]; /* table entries the runner has */
    int32_t     drafts[LLS_MAX_DRAFTS];
    /* what admission and the end touch */
    uint64_t    id, seq, fair_key;
    int32_t     priority;
    uint32_t    slot, gen, prev, next[LLS_QUEUE_LEVELS];
    uint32_t    n_prompt, min_tokens, adapter, lora, load_to, skips;
    uint64_t    salt, adapter_gen, failed_at;
    lls_media_t *media;
    lls_kv_media_t *media_at;
    int32_t    *stop_ids;
    uint32_t   *params;
    uint32_t    n_media, n_stop_ids, n_params, positions, embeds;
    uint32_t    n_cached, n_preempted;
    uint64_t    n_run, block_steps; /* cost: tokens run, blocks held summed over steps */
    struct lls_req_mem *mem;
} lls_req_t;

typedef struct lls_req_mem lls_req_mem_t;   /* a prepared request, or the memory of one gone */

typedef struct lls_sched_out {      /* one line per request that has news */
    uint64_t id;
    uint32_t slot;
    uint32_t first, n;              /* new tokens are req->tokens[first .. first + n) */
    uint32_t finish;                /* enum lls_finish */
    uint32_t run;                   /* index of its row in the result, or LLS_NONE */
} lls_sched_out_t;

/* The scheduler half of a connector; the worker half executes the plan's xfers. */
typedef struct lls_sched_connector {
    void *user;
    /* tokens beyond n_local that can be loaded, n_local + answer <= limit; LLS_NONE = ask later */
    uint32_t (*matched)(void *user, const lls_req_t *req, uint32_t n_local, uint32_t limit);
} lls_sched_connector_t;

typedef struct lls_sched_config {
    uint32_t max_reqs, max_rows, max_tokens, max_model_len;
    uint32_t max_in_flight;         /* plans executed and not updated; 1 = synchronous */
    uint32_t run_ahead;             /* results a row may be ahead of; 0 = wait for its token (PP) */
    uint32_t max_drafts;
    bool     drafts_on_device;      /* drafts for the next step need not be known to be scheduled */
    bool     no_chunks;
    uint32_t long_prefill;          /* 0 = off: cap on n */
    uint32_t max_partial;           /* 0 = off: rows in the middle of their prompt */
    uint32_t watermark;             /* blocks kept free at admission */
    uint32_t max_loras, max_skips;
    uint32_t lookahead;             /* slots behind the last token for a drafter's own KV */
    uint32_t enc_budget, enc_cache, enc_entries;
    uint32_t max_params, max_jobs, max_floats;
    uint32_t max_logprobs;          /* elements for one token */
    uint32_t max_plp_logprobs;      /* elements for one position of a prompt */
    uint32_t max_plps;              /* positions with prompt logprobs in a step; 0 = max_tokens */
    bool     cascade;
    bool     lockstep;              /* DP with experts: an empty step is a dummy plan, not none */
    lls_sched_connector_t connector;
} lls_sched_config_t;

typedef struct lls_sched lls_sched_t;

llm_status_t lls_sched_create(lls_mem_t *mem, const lls_sched_config_t *config, lls_kv_t *kv,
                              lls_sched_t **out, llm_error_t *err);
/* Frees what was added and prepared requests that were; kv stays the caller's. */
void         lls_sched_destroy(lls_sched_t *s);
const lls_sched_config_t *lls_sched_get_config(const lls_sched_t *s);
/* The sizes of plans and results that follow from the configurations. */
void         lls_sched_config_limits(const lls_sched_config_t *config, const lls_kv_config_t *kv,
                                     lls_step_limits_t *lim);
void         lls_sched_step_limits(const lls_sched_t *s, lls_step_limits_t *lim);

/* ---- Requests come and go ------------------------------------------------------------------- */

/* Refuses what could never run, and makes the one allocation of a request. */
llm_status_t lls_req_prepare(lls_mem_t *mem, const lls_sched_config_t *config,
                             const lls_kv_config_t *kv, const lls_req_desc_t *desc,
                             lls_req_mem_t **out, llm_error_t *err);
/* Frees a prepared request that was not added, or the list that lls_sched_take_gone() gave. */
void lls_req_discard(lls_mem_t *mem, lls_req_mem_t *list);

/* Takes the prepared request over; LLM_ERR_BUSY (then it stays the caller's) is the only failure.
 * Handles are slot (low 32 bits) and generation; a stale one is harmless. */
llm_status_t lls_sched_add(lls_sched_t *s, lls_req_mem_t *prepared, uint64_t *handle);
/* As add, in the parent's place in the queue; and as far as its tokens are those of a running or
 * held parent it shares the parent's blocks (n > 1, beams); blocked, it is a snapshot that keeps
 * them until they are needed elsewhere. */
llm_status_t lls_sched_fork(lls_sched_t *s, uint64_t parent, lls_req_mem_t *prepared,
                            uint64_t *handle);
/* A running request gives up its row and is blocked.  If it decodes and awaits no result it keeps
 * its blocks, to go on from or to be forked, until they are needed elsewhere. */
void lls_sched_hold(lls_sched_t *s, uint64_t handle, uint32_t reasons);
void lls_sched_unblock(lls_sched_t *s, uint64_t handle, uint32_t reasons);
/* A waiting request leaves the queue until it is unblocked; one that runs is left alone. */
void lls_sched_block(lls_sched_t *s, uint64_t handle, uint32_t reasons);
/* Ends a request in any state: abort, deadline, stop string, grammar error. */
void lls_sched_finish(lls_sched_t *s, uint64_t handle, uint32_t finish);
/* Memory of requests whose slots were given back since the last call, for lls_req_discard(). */
lls_req_mem_t *lls_sched_take_gone(lls_sched_t *s);

/* ---- Steps ---------------------------------------------------------------------------------- */

/* Tokens for each further step, at most max_tokens; 0 = max_tokens.  Decoding rows and requests
 * that must run whole are not held back by it. */
void lls_sched_set_budget(lls_sched_t *s, uint32_t n_tokens);
/* Fills the plan; false if it has nothing in it (never with lockstep). */
bool lls_sched_schedule(lls_sched_t *s, lls_step_plan_t *plan);
/* Applies the oldest outstanding result.  Lines, and the tokens they point at, stay valid until the
 * next schedule. */
void lls_sched_update(lls_sched_t *s, const lls_step_result_t *result);
/* The one plan in flight was not carried out: what it published is taken back, and its requests go
 * back to the queue.  For a runner that began its rows and stopped half way because nobody wants
 * the step any more; requests of it are ended after this call, not before. */
void lls_sched_withdraw(lls_sched_t *s);
const lls_sched_out_t *lls_sched_outs(const lls_sched_t *s, uint32_t *n);

/* Preempts everybody and forgets the prefix cache: weights changed, sleep. */
void lls_sched_reset_cache(lls_sched_t *s);
void lls_sched_pause(lls_sched_t *s, bool paused);

/* ---- Numbers and checks --------------------------------------------------------------------- */

typedef struct lls_sched_stats {
    uint32_t n_running, n_waiting, n_blocked;
    uint32_t blocks_total, blocks_held;     /* all pools */
    uint64_t n_steps, n_preempted;
    uint64_t n_cached;              /* tokens that admitted requests found in the cache */
} lls_sched_stats_t;

void       lls_sched_stats(const lls_sched_t *s, lls_sched_stats_t *stats);
lls_req_t *lls_sched_get(lls_sched_t *s, uint64_t handle);      /* NULL if gone */
uint32_t   lls_sched_n_live(const lls_sched_t *s);              /* not finished */
uint32_t   lls_sched_n_in_flight(const lls_sched_t *s);
uint32_t   lls_sched_n_blocked(const lls_sched_t *s);

/* S2-S5, S10, S11, S14 and the lower layers' checks; NULL or what is wrong. */
const char *lls_sched_check(lls_sched_t *s);
/* As above, and nothing is held; for when nothing is live or in flight. */
const char *lls_sched_check_idle(lls_sched_t *s);

#endif
