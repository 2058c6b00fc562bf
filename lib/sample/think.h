/* SPDX-License-Identifier: Apache-2.0 */
/*
 * think - thinking_token_budget: which token must come once a row has thought long enough.
 *
 * A row thinks behind the last start sequence among its tokens, prompt included, until an end
 * sequence begins behind that start.  Tokens behind the start sequence count; when they are as
 * many as the budget, the end sequence is forced token by token, beginning with what the row's
 * last tokens already have of it (vLLM's runner V2).
 *
 * The answer is a function of the row's tokens alone.  lls_think_t only remembers how far they
 * were searched, so that a row's whole life costs one walk over them.
 */
#ifndef LLS_SAMPLE_THINK_H
#define LLS_SAMPLE_THINK_H

#include "sample/params.h"

typedef struct lls_think {          /* of one row; zeroed = nothing was searched */
    uint32_t n_searched;            /* no sequence that begins before it can still become whole */
    uint32_t start, end;            /* 1 + where the last start and end begin; 0 = none */
} lls_think_t;

/* 1 + the token that must follow tokens[0 .. n); 0 = any may.  From call to call tokens are only
 * appended. */
uint32_t lls_think_next(lls_think_t *t, const lls_sample_view_t *p, const int32_t *tokens,
                        uint32_t n);

#endif
