/* SPDX-License-Identifier: Apache-2.0 */
/*
 * completion - a request and its n completions: what was asked, what came out, what was given.
 *
 * A request is one block of memory made on the thread that adds it; its completions lie in it.  A
 * completion's text, tokens and log-probabilities are buffers that only grow, so the three output
 * kinds are views of them: DELTA starts where the last record ended, the others at 0.  Buffers
 * reserve room for LLS_RESERVE_TOKENS tokens at add and double later.
 *
 * What the stepping thread may touch is everything; what other threads may touch is marked [lock]
 * and belongs to the engine's lock.
 */
#ifndef LLS_ENGINE_COMPLETION_H
#define LLS_ENGINE_COMPLETION_H

#include "base/clock.h"
#include "engine/repetition.h"
#include "sample/params.h"
#include "sched/sched.h"
#include "text/detok.h"
#include "text/stop.h"

#define LLS_RESERVE_TOKENS 1024u
#define LLS_NO_HANDLE      UINT64_MAX

typedef struct lls_request lls_request_t;

typedef struct lls_completion {
    lls_request_t *req;
    uint32_t       index;           /* which of the n */
    uint32_t       slot;            /* in the engine's table */
    lls_req_mem_t *prepared;        /* the scheduler's description, until it is handed over */
    uint64_t       handle;          /* the scheduler's, while live; LLS_NO_HANDLE = none */
    bool           live;            /* the scheduler has it, and it has not ended */
    bool           in_step;         /* [lock] a row of the step now running */
    bool           refused;         /* its callback said no */
    bool           spoilt;          /* its callback left logits that nothing can be drawn from */
    /* what came out */
    int32_t       *tokens;
    size_t         n_tokens, cap_tokens;
    lls_detok_t    detok;
    size_t         visible;         /* bytes of text that may be shown */
    llm_logprob_t *logprobs;        /* [n_tokens][width] */
    size_t         cap_logprobs;
    double         cumulative;
    lls_repetition_t repetition;
    uint32_t       finish;          /* LLM_FINISH_* */
    const char    *stop_string;
    int32_t        stop_token;
    llm_error_t    error;
    uint32_t       n_cached, n_preempted;
    uint64_t       queue_us, first_token_us, last_us;   /* since add */
    /* what it has cost */
    uint64_t       itl_sum_us, itl_max_us;
    uint64_t       block_steps, device_ns;
    uint64_t       first_step, last_step;   /* of its tokens */
    uint32_t       n_awaited;       /* prompt tokens that admission.c counts as not computed */
    bool           in_prefill;      /* and whether it counts as queued */
    /* what was handed over */
    size_t         sent_text, sent_tokens;
    bool           sent_any, pending;
    bool           sealed;          /* the NUL behind lent text stands at sealed_at, in place of */
    char           sealed_byte;     /* this byte */
    size_t         sealed_at;
    struct lls_completion *next_pending;
    llm_output_t   record;
} lls_completion_t;

struct lls_request {
    lls_mem_t       *mem;
    llm_request_id_t id;
    void            *user_data;
    struct lls_request *next;       /* [lock] inbox, then the list of those alive */
    struct lls_request *prev;
    struct lls_request *next_abort; /* [lock] */
    struct lls_batch_item *batch;   /* of llm_generate_batch(); NULL = records go to the caller */
    struct lls_beam_search *search; /* NULL = completions are independent */
    bool             aborted;       /* [lock] */
    bool             done;          /* [lock] the last output was made */
    uint32_t         pause;         /* [lock] number of the pause that it came in; 0 = none */
    int32_t          priority;      /* 0 under fcfs */
    uint32_t         min_tokens;
    uint32_t         flags;         /* LLM_REQUEST_* */
    int32_t          output_kind;
    uint32_t         stream_interval;
    uint32_t         n, n_ended, n_handed;      /* completions: all ([lock] to change), ended,
                                                 * handed over */
    uint32_t         n_slots;       /* in the engine's table: n, or 2 n of a search */
    uint32_t         n_logprobs, n_prompt_logprobs;     /* entries a token */
    bool             has_text;
    bool             plps_done;     /* all prompt log-probabilities that will come are there */
    int32_t         *prompt_ids;
    uint32_t         n_prompt;
    char            *prompt;        /* LLM_REQUEST_ECHO */
    size_t           prompt_len;
    llm_logprob_t   *prompt_logprobs;           /* [n_prompt][n_prompt_logprobs] */
    uint32_t         n_plps;        /* rows of it that are filled */
    lls_stop_t       stop;
    llm_logits_fn    logits_fn;
    void            *logits_user;
    char            *extra_args;    /* JSON for the callback, or NULL */
    int32_t         *stop_ids;      /* those of the request, without end-of-sequence ids */
    uint32_t         n_stop_ids;
    uint64_t         added_us;      /* monotonic */
    int64_t          arrived_us;    /* wall clock */
    uint64_t         queue_deadline_us, deadline_us;    /* monotonic; 0 = none */
    lls_completion_t c[];           /* [n_slots]; those from n on are only slots */
};

/* Frees the request and everything that hangs on it; NULL and half-built ones as well. */
void lls_request_destroy(lls_request_t *req);

/* One more token; silent = without its text.  False when memory is out; c is as it was. */
bool lls_completion_push(lls_completion_t *c, int32_t token, bool silent,
                         const lls_logprob_t *logprobs);
/* What the scheduler has counted. */
void lls_completion_take_totals(lls_completion_t *c, const lls_req_t *r);
/* Of another completion that was scheduled with it. */
void lls_completion_copy_times(lls_completion_t *c, const lls_completion_t *from);
/* Ends it: what may be shown is decided, and why it ended is kept. */
void lls_completion_end(lls_completion_t *c, uint32_t finish);
/* Whether a record is due: news that the output kind and the interval let through. */
bool lls_completion_is_due(const lls_completion_t *c);
/* Fills c->record with what was not handed over yet, and counts it as handed over. */
const llm_output_t *lls_completion_record(lls_completion_t *c);

#endif
