/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests - what all functions that take requests check first.
 */
#ifndef LLS_API_REQUESTS_H
#define LLS_API_REQUESTS_H

#include "engine/engine.h"

/* LLM_ERR_STATE in a child after fork(), LLM_ERR_INVALID for NULL. */
llm_status_t lls_api_check_engine(const llm_engine_t *engine, llm_error_t *err);
/* What a batch of any kind is called with; *batch is NULL afterwards. */
llm_status_t lls_api_check_batch(const llm_engine_t *engine, const llm_request_t *const *requests,
                                 size_t n, llm_batch_t **batch, llm_error_t *err);
/* requests[i] of user, an array of pointers, as an input of a batch. */
void lls_api_batch_input(void *user, size_t i, lls_batch_input_t *input);

#endif
