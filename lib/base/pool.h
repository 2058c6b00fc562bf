/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - a fixed team of threads that run one function together.
 *
 * lls_pool_run() is a fork and join: the caller is member 0, the workers are 1 .. n - 1.  Within a
 * step the next call comes within microseconds, so members wait by spinning for a bounded time and
 * then sleep: a member that lost its CPU to another process costs a wake-up and not a collapse, and
 * an idle engine uses no CPU.  Threads are started by create and joined by destroy.  One thread at
 * a time calls run; a function run by the pool must not call run.
 */
#ifndef LLS_BASE_POOL_H
#define LLS_BASE_POOL_H

#include "base/mem.h"

typedef struct lls_pool lls_pool_t;
typedef void (*lls_pool_fn)(void *arg, uint32_t ith, uint32_t nth);

/* n_threads >= 1, the caller included. */
llm_status_t lls_pool_create(lls_mem_t *mem, uint32_t n_threads, lls_pool_t **out,
                             llm_error_t *err);
void         lls_pool_destroy(lls_pool_t *pool);
uint32_t     lls_pool_n(const lls_pool_t *pool);
void         lls_pool_run(lls_pool_t *pool, lls_pool_fn fn, void *arg);
/* Inside a function that run has called, by every member: nobody passes before all have come. */
void         lls_pool_barrier(lls_pool_t *pool);

/* CPUs that this process may use. */
uint32_t lls_n_cpus(void);

/* The share of member ith in n items, in whole multiples of `unit`: [*begin, *end). */
static inline void lls_share(uint32_t n, uint32_t unit, uint32_t ith, uint32_t nth, uint32_t *begin,
                             uint32_t *end)
{
    uint64_t units = ((uint64_t)n + unit - 1) / unit;
    uint64_t b = units * ith / nth * unit, e = units * (ith + 1) / nth * unit;

    *begin = (uint32_t)(b < n ? b : n);
    *end = (uint32_t)(e < n ? e : n);
}

#endif
