/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - a fixed team of threads that share the items of one function.
 *
 * lls_pool_run() calls the function once for each item and returns when all are done.  The caller
 * is member 0, the workers are 1 .. n - 1.  Each member has a range of neighbouring items, the same
 * one for the same number of items, so that it meets the same memory again; who has done its own
 * takes from the ranges of others.  So a member that has lost its CPU to another process holds up
 * the one item that it is at, and nothing if it is between two: that is why workers offer their CPU
 * to others there, from time to time.  They also leave a CPU that another member works on, within
 * their affinity.
 *
 * Who waits spins for a tenth of a millisecond and then sleeps: a step that follows another finds
 * the workers awake, and an idle engine uses no CPU.  Threads are started by create and
 * joined by destroy; signals of the host are blocked in them.  One thread at a time calls run; a
 * function that is run must not call run.
 */
#ifndef LLS_BASE_POOL_H
#define LLS_BASE_POOL_H

#include "base/cpus.h"
#include "base/mem.h"

#define LLS_POOL_MAX_THREADS 4096u
#define LLS_POOL_MAX_ITEMS   32768u /* of one run, for each member */

typedef struct lls_pool lls_pool_t;
/* Item `item` on member ith: memory that only one thread may use at a time is found by ith. */
typedef void (*lls_pool_fn)(void *arg, uint32_t item, uint32_t ith);

/* n_threads >= 1, the caller included. */
llm_status_t lls_pool_create(lls_mem_t *mem, uint32_t n_threads, lls_pool_t **out,
                             llm_error_t *err);
void         lls_pool_destroy(lls_pool_t *pool);
uint32_t     lls_pool_n(const lls_pool_t *pool);
/* Keeps worker i on CPU number i of the list, which begins anew at its end.  The first one is meant
 * for the caller, whose thread is not ours to move.  The message names the option. */
llm_status_t lls_pool_bind(lls_pool_t *pool, const char *option, const lls_cpu_list_t *cpus,
                           llm_error_t *err);
void         lls_pool_run(lls_pool_t *pool, uint32_t n_items, lls_pool_fn fn, void *arg);
/* Item i by member i and by no other. */
void         lls_pool_run_each(lls_pool_t *pool, lls_pool_fn fn, void *arg);

/* The share of item ith of nth in n things, in whole multiples of `unit`: [*begin, *end). */
static inline void lls_share(uint32_t n, uint32_t unit, uint32_t ith, uint32_t nth, uint32_t *begin,
                             uint32_t *end)
{
    uint64_t units = ((uint64_t)n + unit - 1) / unit;
    uint64_t b = units * ith / nth * unit, e = units * (ith + 1) / nth * unit;

    *begin = (uint32_t)(b < n ? b : n);
    *end = (uint32_t)(e < n ? e : n);
}

#endif
