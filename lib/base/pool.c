/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/num.h"

#define SPIN_LIMIT 4000u            /* some 50 to 200 us: longer than the gap between two ops */

/* A number that changes, and how many sleep until it does.  A cache line each. */
typedef struct signal_word {
    _Alignas(64) _Atomic uint32_t value;
    _Atomic uint32_t n_asleep;
} signal_word_t;

typedef struct member {
    lls_pool_t *pool;
    uint32_t    ith;
    pthread_t   thread;
} member_t;

struct lls_pool {
    signal_word_t    round;         /* a function to run */
    signal_word_t    done;          /* everybody has run it */
    signal_word_t    passed;        /* barriers passed */
    _Alignas(64) _Atomic uint32_t n_running;
    _Alignas(64) _Atomic uint32_t n_arrived;
    lls_pool_fn      fn;            /* NULL = leave */
    void            *arg;
    lls_mem_t       *mem;
    void            *block;         /* as allocated; the struct lies aligned in it */
    uint32_t         n_threads, n_started;
    member_t         members[];
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

static void await_change(signal_word_t *w, uint32_t old)
{
    for (uint32_t i = 0; i < SPIN_LIMIT; i++) {
        if (atomic_load_explicit(&w->value, memory_order_acquire) != old)
            return;
        cpu_relax();
    }
    atomic_fetch_add(&w->n_asleep, 1);
    while (atomic_load(&w->value) == old)
        syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&w->n_asleep, 1);
}

static void change(signal_word_t *w)
{
    atomic_fetch_add(&w->value, 1);
    if (atomic_load(&w->n_asleep) > 0)
        syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void *work(void *arg)
{
    member_t   *me = arg;
    lls_pool_t *pool = me->pool;

    for (uint32_t round = 0;; round++) {
        await_change(&pool->round, round);
        if (pool->fn == NULL)
            return NULL;
        pool->fn(pool->arg, me->ith, pool->n_threads);
        if (atomic_fetch_sub(&pool->n_running, 1) == 1)
            change(&pool->done);
    }
}

/* Starts a round; the workers see fn and arg through the change of `round`. */
static void start_round(lls_pool_t *pool, lls_pool_fn fn, void *arg)
{
    pool->fn = fn;
    pool->arg = arg;
    atomic_store(&pool->n_running, pool->n_started);
    change(&pool->round);
}

void lls_pool_run(lls_pool_t *pool, lls_pool_fn fn, void *arg)
{
    uint32_t done = atomic_load_explicit(&pool->done.value, memory_order_relaxed);

    if (pool->n_started == 0) {
        fn(arg, 0, 1);
        return;
    }
    start_round(pool, fn, arg);
    fn(arg, 0, pool->n_threads);
    await_change(&pool->done, done);
}

void lls_pool_barrier(lls_pool_t *pool)
{
    uint32_t passed = atomic_load_explicit(&pool->passed.value, memory_order_relaxed);

    if (pool->n_threads == 1)
        return;
    if (atomic_fetch_add(&pool->n_arrived, 1) + 1 < pool->n_threads) {
        await_change(&pool->passed, passed);
        return;
    }
    atomic_store(&pool->n_arrived, 0);
    change(&pool->passed);
}

llm_status_t lls_pool_create(lls_mem_t *mem, uint32_t n_threads, lls_pool_t **out, llm_error_t *err)
{
    size_t      bytes = sizeof(lls_pool_t) + n_threads * sizeof(member_t);
    void       *block = lls_zalloc(mem, bytes + 64);
    lls_pool_t *pool;

    *out = NULL;
    if (block == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "thread pool of %u", n_threads);
    pool = (lls_pool_t *)lls_align_up((uintptr_t)block, 64);
    pool->mem = mem;
    pool->block = block;
    pool->n_threads = n_threads;
    for (uint32_t i = 1; i < n_threads; i++) {
        member_t *m = &pool->members[i];
        *m = (member_t){ .pool = pool, .ith = i };
        if (pthread_create(&m->thread, NULL, work, m) != 0) {
            lls_pool_destroy(pool);
            return lls_fail(err, LLM_ERR_NO_MEMORY, "cannot start thread %u of %u", i + 1,
                            n_threads);
        }
        pool->n_started++;
    }
    *out = pool;
    return LLM_OK;
}

void lls_pool_destroy(lls_pool_t *pool)
{
    if (pool == NULL)
        return;
    if (pool->n_started > 0)
        start_round(pool, NULL, NULL);
    for (uint32_t i = 1; i <= pool->n_started; i++)
        pthread_join(pool->members[i].thread, NULL);
    lls_free(pool->mem, pool->block);
}

uint32_t lls_pool_n(const lls_pool_t *pool) { return pool->n_threads; }

uint32_t lls_n_cpus(void)
{
    cpu_set_t set;
    int       n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;

    return n > 0 ? (uint32_t)n : 1;
}
