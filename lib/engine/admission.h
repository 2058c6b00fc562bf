/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admission - how much prompt waits, how fast prompts run, and who would come too late.
 *
 * Two counts of prompt tokens: those queued, of completions whose prefill has not ended, each with
 * its whole prompt; and those awaited, not computed yet, which shrink chunk by chunk.  The second
 * is kept by priority, so that a request counts only what goes before it.  Speed is that of the
 * prompts in the last LLS_MEASURED_STEPS steps, where steps with hardly any prompt say nothing; a
 * speed that has not been seen for a second is not known, lest a wrong one keep everybody out.
 *
 * The stepping thread counts down and measures; threads that add count up, with the engine's lock,
 * and read.  What they share are atomics.
 */
#ifndef LLS_ENGINE_ADMISSION_H
#define LLS_ENGINE_ADMISSION_H

#include <stdatomic.h>

#include "engine/completion.h"

#define LLS_MEASURED_STEPS 100u
#define LLS_PRIORITY_CLASSES 64u    /* priorities beyond [-32, 31] count as the nearest of these */

typedef struct lls_admission {
    _Atomic uint64_t queued;
    _Atomic uint64_t awaited[LLS_PRIORITY_CLASSES];
    _Atomic uint64_t ps_per_token;  /* 0 = not known */
    _Atomic uint64_t measured_us;   /* when the last step ended */
    /* the thread that steps */
    uint32_t         min_tokens;    /* of prompts in a step that is measured */
    uint32_t         at;            /* of the ring */
    struct {
        uint64_t tokens, ps;        /* of prompts, and the time that they took; 0 = not measured */
    } steps[LLS_MEASURED_STEPS], sum;
} lls_admission_t;

void lls_admission_init(lls_admission_t *a, uint32_t max_num_batched_tokens);

/* With the lock: the request comes in. */
void lls_admission_count(lls_admission_t *a, lls_request_t *req);
/* The first n tokens of the sequence are in the cache. */
void lls_admission_computed(lls_admission_t *a, lls_completion_t *c, uint32_t n);
/* It has ended. */
void lls_admission_forget(lls_admission_t *a, lls_completion_t *c);
/* A step of n_tokens, n_prompt of them of prompts. */
void lls_admission_measure(lls_admission_t *a, uint32_t n_prompt, uint32_t n_tokens,
                           uint64_t began_us, uint64_t now_us);

/* LLM_ERR_BUSY if its prompts and those queued are more than max; who comes alone may come. */
llm_status_t lls_admission_check_room(const lls_admission_t *a, const lls_request_t *req,
                                      uint32_t max, uint64_t now_us, llm_error_t *err);
/* LLM_ERR_BUSY if it would not be scheduled, or not give its first token, by its deadlines. */
llm_status_t lls_admission_check_deadlines(const lls_admission_t *a, const lls_request_t *req,
                                           uint64_t now_us, llm_error_t *err);

#endif
