/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch - llm_generate_batch() and llm_beam_search(): many requests to the end, in order, whatever
 * happens to some.
 *
 * A batch owns copies of its outputs and an accounting of its own, so that it may outlive the
 * engine.  Every request has an output at any moment, so running out of memory costs one request
 * its text and nothing else.  Requests are queued a window at a time; the loop is the engine's
 * ordinary one, and requests of others run along.
 */
#ifndef LLS_ENGINE_BATCH_H
#define LLS_ENGINE_BATCH_H

#include "engine/beam.h"

typedef struct lls_batch_out {
    llm_output_t record;
    llm_error_t  error;
    void        *block;             /* what record points at */
} lls_batch_out_t;

typedef struct lls_batch_item {
    struct llm_batch *batch;
    llm_request_id_t  id;           /* while it runs, else 0 */
    uint32_t          n;            /* completions */
    lls_batch_out_t  *more;         /* completions 1 .. n - 1 */
    lls_batch_out_t   first;
} lls_batch_item_t;

struct llm_batch {
    lls_mem_t         mem;
    size_t            n, n_queued, n_done;
    uint64_t          prompt_tokens, completion_tokens;
    lls_batch_item_t *items;        /* [n] */
};

#endif
