/* SPDX-License-Identifier: Apache-2.0 */
/*
 * assemble - an engine is put together around a runner: sizes, cache, scheduler and tables.
 *
 * Whoever brings a runner brings its parts in three calls: what it can do, what it takes for the
 * sizes chosen here, and the runner itself.  lls_engine_create() is this with a model in the memory
 * of the process.  All time that an engine reads comes from its clock.
 */
#ifndef LLS_ENGINE_ASSEMBLE_H
#define LLS_ENGINE_ASSEMBLE_H

#include "engine/engine_int.h"

/* What the three leave in the engine is the engine's, also after a failure. */
typedef struct lls_engine_parts {
    void       *user;
    lls_clock_t clock;
    bool        plan_only;          /* start() takes no device memory; one that does not fit is no
                                     * error, and is not started */
    /* options are resolved: sets traits, group_bytes and, if there is one, tokenizer */
    llm_status_t (*open)(void *user, lls_engine_t *e, llm_error_t *err);
    /* kv_config but for the number of blocks, and limits are there: sets weight_bytes,
     * workspace_bytes and the device's bytes in the plan */
    llm_status_t (*measure)(void *user, lls_engine_t *e, llm_error_t *err);
    /* all else is there: sets runner, and the memory that it uses */
    llm_status_t (*start)(void *user, lls_engine_t *e, llm_error_t *err);
} lls_engine_parts_t;

/* config is of this library's size. */
llm_status_t lls_engine_assemble(const llm_engine_config_t *config,
                                 const lls_engine_parts_t *parts, lls_engine_t **out,
                                 llm_error_t *err);

/* A runner's lls_logits_hook_fn; user is the engine. */
int32_t lls_engine_call_hook(void *user, uint64_t request, const int32_t *tokens, uint32_t n_tokens,
                             uint32_t n_prompt, float *logits, uint32_t n_vocab);

#endif
