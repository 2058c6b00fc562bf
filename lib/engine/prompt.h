/* SPDX-License-Identifier: Apache-2.0 */
/*
 * prompt - text, tokens or a chat become the token ids that a request begins with.
 *
 * Runs on the thread that adds the request.
 */
#ifndef LLS_ENGINE_PROMPT_H
#define LLS_ENGINE_PROMPT_H

#include "engine/engine_int.h"

/* Sets prompt_ids and n_prompt of req, and prompt where an echo is wanted. */
llm_status_t lls_prompt_take(lls_engine_t *e, const llm_request_t *in,
                             const lls_request_options_t *o, lls_request_t *req, llm_error_t *err);

#endif
