/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rows - what a runner keeps for each of its rows, and the memory of a step's batch.
 *
 * A row (plan's `row`, 0 .. max_rows - 1) has a block table per KV group and the token it sampled
 * last.  Plans change rows in the order of step.h (P2); lls_rows_apply() does so for tables and
 * last tokens, build_inputs calls it before it looks at the runs.  Entries of a table that the plan
 * never set are 0, the null block.  All integers, and plain memory here: a backend whose memory is
 * elsewhere has its own copy of what it needs.  Not for several threads.
 */
#ifndef LLS_TENSOR_ROWS_H
#define LLS_TENSOR_ROWS_H

#include "step/step.h"
#include "tensor/ops.h"

typedef struct lls_rows_limits {    /* upper bounds of all steps */
    uint32_t max_rows, max_tokens;
    uint32_t max_logits;            /* max_rows * (1 + max_drafts) */
    uint32_t max_context;           /* tokens of one row: max_model_len */
    uint32_t n_groups;
    uint32_t max_blocks[LLS_MAX_GROUPS];    /* of one row: ceil(max_context / block_tokens) */
} lls_rows_limits_t;

typedef struct lls_rows {
    lls_rows_limits_t limits;
    uint32_t         *table[LLS_MAX_GROUPS];    /* [max_rows][max_blocks[g]] */
    int32_t          *last_token;   /* [max_rows]: what LLS_ON_DEVICE stands for; -1 = none */
} lls_rows_t;

/* Bytes, and the layout of mem (aligned as malloc would): no row holds anything. */
size_t lls_rows_bytes(const lls_rows_limits_t *limits);
void   lls_rows_init(lls_rows_t *rows, void *mem, const lls_rows_limits_t *limits);
/* Sections freed, added and tables of a plan, in this order.  False, and nothing more is applied,
 * if a row, group or table entry is out of bounds: the plan is not for this runner. */
bool   lls_rows_apply(lls_rows_t *rows, const lls_step_plan_t *plan);

/* The arrays of a batch for any step within the limits of rows, whose tables it shows. */
size_t lls_batch_bytes(const lls_rows_limits_t *limits);
void   lls_batch_init(lls_batch_t *batch, void *mem, const lls_rows_t *rows);
/* Sets the numbers, not the arrays: n_logits etc. to their upper bounds, for planning. */
void   lls_batch_bound(lls_batch_t *batch, const lls_rows_limits_t *limits);

/* What build_inputs does where the batch is plain memory: tokens, positions, rows and logits rows
 * of the plan's runs.  A sampling run has 1 + n_draft logits rows, its last tokens, from row
 * run->logit on; others have none.  False if a run is out of bounds or its token is not known. */
bool   lls_batch_fill(lls_batch_t *batch, const lls_rows_t *rows, const lls_step_plan_t *plan);

#endif
