/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine - one model with its cache and scheduler: the loop behind llm.h.
 *
 * lib/api has checked struct sizes, flags and pointers before it calls these; what a value may be
 * is checked here.  Threads are as llm.h says: functions marked [any] may run beside a step.
 */
#ifndef LLS_ENGINE_ENGINE_H
#define LLS_ENGINE_ENGINE_H

#include "base/mem.h"
#include "text/tokenizer.h"

typedef struct llm_engine lls_engine_t;
typedef struct llm_batch lls_batch_result_t;

/* config is of this library's size.  With plan_only nothing is allocated on the device and no
 * weights are read; what remains is good for lls_engine_plan() and lls_engine_destroy() only. */
llm_status_t lls_engine_create(const llm_engine_config_t *config, bool plan_only,
                               lls_engine_t **out, llm_error_t *err);
void         lls_engine_destroy(lls_engine_t *e);
/* False in a child after fork(). [any] */
bool         lls_engine_is_here(const lls_engine_t *e);

const llm_plan_t            *lls_engine_plan(const lls_engine_t *e);        /* [any] */
const lls_tokenizer_t       *lls_engine_tokenizer(const lls_engine_t *e);   /* [any]; may be NULL */
const llm_sampling_params_t *lls_engine_defaults(const lls_engine_t *e);    /* [any] */
/* vLLM's SamplingParams(), without an engine. [any] */
void lls_sampling_defaults(llm_sampling_params_t *p);

/* request and sampling (NULL = defaults) are of this library's size. [any] */
llm_status_t lls_engine_add(lls_engine_t *e, const llm_request_t *request,
                            const llm_sampling_params_t *sampling, llm_request_id_t *id,
                            llm_error_t *err);
llm_status_t lls_engine_abort(lls_engine_t *e, llm_request_id_t id);        /* [any] */
void         lls_engine_abort_all(lls_engine_t *e);                         /* [any] */
size_t       lls_engine_unfinished(const lls_engine_t *e);                  /* [any] */

llm_status_t        lls_engine_step(lls_engine_t *e, llm_error_t *err);
const llm_output_t *lls_engine_next_output(lls_engine_t *e);
llm_status_t        lls_engine_wait(lls_engine_t *e, int64_t timeout_us);
void                lls_engine_notify(lls_engine_t *e);     /* [any], signal handlers too */

/* Element i of requests and samplings belong together; a sampling may be NULL.  Requests that
 * lib/api refused come with their error in refused[i]. */
typedef struct lls_batch_input {
    llm_request_t         request;
    llm_sampling_params_t sampling;
    bool                  has_sampling;
    llm_error_t           refused;  /* status LLM_OK = none */
} lls_batch_input_t;

/* Gives input number i; called once for each, in order, just before it is queued. */
typedef void (*lls_batch_input_fn)(void *user, size_t i, lls_batch_input_t *input);
llm_status_t lls_engine_generate_batch(lls_engine_t *e, lls_batch_input_fn input, void *input_user,
                                       size_t n, llm_progress_fn progress, void *progress_user,
                                       lls_batch_result_t **batch, llm_error_t *err);
/* params is of this library's size; inputs have no sampling. */
llm_status_t lls_engine_beam_search(lls_engine_t *e, lls_batch_input_fn input, void *input_user,
                                    size_t n, const llm_beam_params_t *params,
                                    llm_progress_fn progress, void *progress_user,
                                    lls_batch_result_t **batch, llm_error_t *err);
const llm_output_t *lls_batch_result_output(const lls_batch_result_t *b, size_t request,
                                            size_t index);
void                lls_batch_result_destroy(lls_batch_result_t *b);

void         lls_engine_stats(const lls_engine_t *e, llm_stats_t *stats);   /* [any] */
size_t       lls_engine_metrics(const lls_engine_t *e, char *text, size_t cap);     /* [any] */
llm_status_t lls_engine_reset_prefix_cache(lls_engine_t *e);
llm_status_t lls_engine_pause(lls_engine_t *e, int32_t mode, llm_error_t *err);     /* [any] */
llm_status_t lls_engine_resume(lls_engine_t *e, llm_error_t *err);                  /* [any] */

#endif
