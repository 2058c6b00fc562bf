/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_runner - executes plans with a model on this process's backend.
 *
 * It owns the rows: block tables, the last token, sampling parameters, and the tokens of those rows
 * that want them (penalties, bad words, callbacks).  execute() applies a plan to the rows and runs
 * forward(); sample() turns logits into tokens and log-probabilities and fills the result.  Both
 * have finished when they return, and one plan is in flight at a time.
 *
 * All its memory is one workspace whose exact size lls_model_runner_bytes() finds by running the
 * same code with exec.planning; nothing allocates later.  One thread.
 */
#ifndef LLS_RUN_MODEL_RUNNER_H
#define LLS_RUN_MODEL_RUNNER_H

#include "model/model.h"
#include "step/runner.h"

/* A row's logits before penalties, for the host to change.  Non-zero fails the row, and the host
 * knows why. */
typedef int32_t (*lls_logits_hook_fn)(void *user, uint64_t request, const int32_t *tokens,
                                      uint32_t n_tokens, uint32_t n_prompt, float *logits,
                                      uint32_t n_vocab);

typedef struct lls_model_runner_config {
    const lls_model_t *model;       /* pages bound; while sizing without memory, and not loaded */
    const lls_ops_t   *ops;
    void              *backend;
    lls_step_limits_t  limits;
    lls_kv_config_t    kv;
    uint8_t           *pool_base[LLS_MAX_GROUPS];
    uint64_t           block_bytes[LLS_MAX_GROUPS];     /* of each pool */
    lls_logits_hook_fn hook;        /* NULL = no row has LLS_ROW_PROCESSOR */
    void              *hook_user;
    uint32_t           logprobs_mode;   /* LLS_RAW_LOGPROBS, ... of sample/logprobs.h */
    const _Atomic uint32_t *cancel; /* non-zero: execute stops between layers, LLM_ERR_CANCELLED */
} lls_model_runner_config_t;

/* The workspace, 64-byte aligned; 0 if a plan or result would be too large. */
size_t       lls_model_runner_bytes(const lls_model_runner_config_t *config);
llm_status_t lls_model_runner_create(lls_mem_t *mem, const lls_model_runner_config_t *config,
                                     void *workspace, lls_runner_t **out, llm_error_t *err);

#endif
