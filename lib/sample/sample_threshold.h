/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_threshold - the largest value that enough of a list reaches, without sorting.
 *
 * Buckets of value, then of the bits of an order-preserving key, narrow the list down; sums are
 * exact (counts, or weights that are multiples of 2^-35), so order does not matter.
 */
#ifndef LLS_SAMPLE_SAMPLE_THRESHOLD_H
#define LLS_SAMPLE_SAMPLE_THRESHOLD_H

#include "sample/sample_kernels.h"
#include "sample/sampler.h"

#define LLS_SAMPLE_BUCKETS 2048u

typedef struct lls_sample_list {
    const float *x;                 /* [n]; not s->x2 */
    const float *w;                 /* [n] weights; NULL = 1 each */
    uint32_t     n;
} lls_sample_list_t;

/* The largest t such that the weights of x >= t sum to at least target, or the smallest x if no t
 * does. n >= 1.  Uses s->sums, s->x2 and s->w2. */
float lls_sample_threshold(const lls_sample_list_t *list, double target,
                           const lls_sample_scale_t *scale, lls_sample_scratch_t *s);

#endif
