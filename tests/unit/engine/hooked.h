/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooked - an engine between whose steps and runner a test puts functions of its own.  For one test
 * program; include unit/test.h first.
 */
#ifndef LLS_TEST_HOOKED_H
#define LLS_TEST_HOOKED_H

#include "engine/engine_int.h"

static const lls_runner_ops_t *real;

/* ops: becomes a copy of the runner's, for the test to change; must live as long as the engine. */
static inline llm_engine_t *open_hooked(const llm_option_t *options, size_t n,
                                        lls_runner_ops_t *ops)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *e;
    llm_error_t         err;

    cfg.model = TEST_DIR "/golden/llama";
    cfg.options = options;
    cfg.n_options = n;
    if (lls_engine_create(&cfg, false, &e, &err) != LLM_OK)
        fail_msg("%s", err.message);
    real = e->runner->ops;
    *ops = *real;
    e->runner->ops = ops;
    return e;
}

static inline void close_hooked(llm_engine_t *e)
{
    e->runner->ops = real;
    lls_engine_destroy(e);
}

#endif
