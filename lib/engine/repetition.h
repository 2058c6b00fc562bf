/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repetition - does the end of a completion repeat itself?
 *
 * A pattern of k tokens stands min_count times at the end if each of the last k * (min_count - 1)
 * tokens equals the one k before it.  For every size the number of such tokens in a row is kept, so
 * a new token costs one comparison a size and nothing is allocated.
 */
#ifndef LLS_ENGINE_REPETITION_H
#define LLS_ENGINE_REPETITION_H

#include "base/mem.h"

typedef struct lls_repetition_params {      /* vLLM's RepetitionDetectionParams */
    uint32_t max_pattern_size;      /* 0 = no detection */
    uint32_t min_pattern_size;      /* 0 = 1 */
    uint32_t min_count;
} lls_repetition_params_t;

typedef struct lls_repetition {
    uint32_t  min_size, max_size;   /* max_size 0 = off */
    uint32_t  min_count;
    uint32_t *streak;               /* [max_size + 1] by size: tokens at the end that equal the one
                                     * `size` before them */
} lls_repetition_t;

/* Sizes that cannot repeat within max_tokens tokens are left out.  Zeroed storage may be passed to
 * deinit. */
llm_status_t lls_repetition_init(lls_repetition_t *r, lls_mem_t *mem,
                                 const lls_repetition_params_t *p, uint32_t max_tokens,
                                 llm_error_t *err);
void         lls_repetition_deinit(lls_repetition_t *r, lls_mem_t *mem);
/* tokens[n - 1] is new; called for every n from 1 on.  True if a pattern now stands min_count times
 * at the end. */
bool         lls_repetition_push(lls_repetition_t *r, const int32_t *tokens, size_t n);

#endif
