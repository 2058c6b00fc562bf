/* SPDX-License-Identifier: Apache-2.0 */
/*
 * median - order and middle of measured values.
 */
#ifndef LLS_BENCH_MEDIAN_H
#define LLS_BENCH_MEDIAN_H

#include <stddef.h>
#include <stdlib.h>

static inline int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Sorts v; 0 of nothing. */
static inline double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n > 0 ? v[n / 2] : 0;
}

#endif
