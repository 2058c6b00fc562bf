/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logprobs - log-probabilities of a row of logits, without a row of log-probabilities.
 *
 * Entry 0 is the given token with its rank, the number of logits >= its own (ties count, vLLM);
 * then come the k likeliest by descending logit, ties by lower id, with ranks 1 .. k, or else k
 * tokens that were asked for, in their order, each with its rank.  A token may be in both.
 *
 * The row is only read, and must be the one that the mode asks for: raw values are those before
 * constrain, penalise and truncate; processed ones are those of a row that truncate left dense,
 * over the temperature, with what was cut away at -inf.
 */
#ifndef LLS_SAMPLE_LOGPROBS_H
#define LLS_SAMPLE_LOGPROBS_H

#include "sample/sampler.h"

/* ORDER logprobs modes: bit 0 is processed, bit 1 logits. */
enum { LLS_RAW_LOGPROBS, LLS_PROCESSED_LOGPROBS, LLS_RAW_LOGITS, LLS_PROCESSED_LOGITS };

typedef struct lls_logprob_job {
    const float   *logits;          /* [n_vocab] */
    const int32_t *ids;             /* [n_entries - 1]: of which tokens; NULL = the likeliest */
    float          temperature;     /* logits are divided by it; 0 = as they are */
    bool           of_logits;       /* values are logits, not their log-probabilities */
    int32_t        token;           /* sampled, or the next of the prompt */
    uint32_t       n_entries;       /* 1 + k; k <= n_vocab */
    lls_logprob_t *out;             /* [n_entries] */
    uint32_t       status;          /* out: LLS_ROW_OK or LLS_ROW_NAN (entries are then token -1) */
} lls_logprob_job_t;

void lls_logprobs_row(lls_logprob_job_t *job, lls_sample_scratch_t *s);

#endif
