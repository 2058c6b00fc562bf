/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reasoning - the option reasoning-config: the token sequences that begin and end a thought.
 *
 * A JSON object with vLLM's reasoning_start_str and reasoning_end_str, which are tokenised, or with
 * reasoning_start_token_ids and reasoning_end_token_ids, which need no tokenizer.  It never changes
 * after open.
 */
#ifndef LLS_ENGINE_REASONING_H
#define LLS_ENGINE_REASONING_H

#include "text/tokenizer.h"

typedef struct lls_reasoning {
    lls_mem_t *mem;
    int32_t   *start, *end;         /* NULL = the option names none */
    uint32_t   n_start, n_end;
} lls_reasoning_t;

/* text NULL = the option is not set; tokenizer may be NULL.  *r is zeroed before, and the caller
 * deinits it after a failure too. */
llm_status_t lls_reasoning_open(lls_reasoning_t *r, lls_mem_t *mem, const char *text,
                                const lls_tokenizer_t *tokenizer, uint32_t n_vocab,
                                llm_error_t *err);
void         lls_reasoning_deinit(lls_reasoning_t *r);

#endif
