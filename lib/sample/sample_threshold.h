/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_threshold - the largest value that enough of a list reaches, without sorting.
 *
 * Bit after bit of an order-preserving key is decided by one vectorised sum.  Sums are exact
 * (counts, or weights that are multiples of 2^-35), so order does not matter.
 */
#ifndef LLS_SAMPLE_SAMPLE_THRESHOLD_H
#define LLS_SAMPLE_SAMPLE_THRESHOLD_H

#include "sample/sample_kernels.h"
#include "sample/sampler.h"

typedef struct lls_sample_list {
    const float *x;                 /* [n], none above scale->max */
    const float *w;                 /* [n] weights; NULL = 1 each */
    uint32_t     n;
} lls_sample_list_t;

/* The largest t such that the weights of x >= t sum to at least target > 0; it is some x.  -inf if
 * those of all finite x do not. */
float lls_sample_threshold(const lls_sample_list_t *list, double target,
                           const lls_sample_scale_t *scale, const lls_sample_scratch_t *s);
/* Something near it and not above it, in half the time. */
float lls_sample_near_threshold(const lls_sample_list_t *list, double target,
                                const lls_sample_scale_t *scale, const lls_sample_scratch_t *s);
/* The smallest x with (x - max) * inv_t >= y_min, as rounded. */
float lls_sample_floor(const lls_sample_scale_t *scale, float y_min);
/* The smallest value above x; x is finite. */
float lls_sample_above(float x);

#endif
