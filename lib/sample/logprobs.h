/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logprobs - log-probabilities of a row of logits, without a row of log-probabilities.
 *
 * Entry 0 is the given token with its rank, the number of logits >= its own (ties count, vLLM);
 * then come the k likeliest by descending logit, ties by lower id, with ranks 1 .. k.  A token may
 * be in both.  The row is only read, and must be the one that the mode asks for: raw logprobs are
 * those of the logits before constrain, penalise and truncate.
 */
#ifndef LLS_SAMPLE_LOGPROBS_H
#define LLS_SAMPLE_LOGPROBS_H

#include "sample/sampler.h"

typedef struct lls_logprob_job {
    const float   *logits;          /* [n_vocab] */
    int32_t        token;           /* sampled, or the next of the prompt */
    uint32_t       n_entries;       /* 1 + k; k <= n_vocab */
    lls_logprob_t *out;             /* [n_entries] */
    uint32_t       status;          /* out: LLS_ROW_OK or LLS_ROW_NAN (entries are then token -1) */
} lls_logprob_job_t;

void lls_logprobs_row(lls_logprob_job_t *job, lls_sample_scratch_t *s);

#endif
