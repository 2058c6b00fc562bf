/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

/* Waits spin, some 50 to 200 us at most: longer than the gap between two ops.  That is the best
 * while every member has a CPU, and the worst when one shares its CPU with a stranger: who spins
 * uses up his share and is interrupted when he is needed.  A member that keeps the others waiting
 * for LOST_NS has been interrupted; when that happens again and again the team stops spinning for a
 * number of waits, which doubles when it was not enough. */
#define SPIN_PAUSES 4000u
#define LOST_NS     1000000u
#define SOON_NS     25000000u       /* some time slices: what is closer belongs together */
#define CALM_NS     1000000000u     /* after so long it is another stranger */
#define N_LOST      3u
#define FEW_WAITS   2000u
#define MANY_WAITS  64000u

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
    _Alignas(64) _Atomic uint32_t n_no_spin;    /* waits that do not spin, from now on */
    _Atomic uint32_t n_waits;       /* their number, last time */
    _Atomic uint32_t n_lost;        /* interruptions in a row */
    _Atomic uint64_t lost_ns, stopped_ns;   /* the last one; the last time that spinning stopped */
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

static uint32_t spin_limit(lls_pool_t *pool)
{
    uint32_t left = atomic_load_explicit(&pool->n_no_spin, memory_order_relaxed);

    if (left == 0)
        return SPIN_PAUSES;
    atomic_store_explicit(&pool->n_no_spin, left - 1, memory_order_relaxed);
    return 1;
}

static bool spin(lls_pool_t *pool, const signal_word_t *w, uint32_t old)
{
    for (uint32_t i = spin_limit(pool); i > 0; i--) {
        if (atomic_load_explicit(&w->value, memory_order_acquire) != old)
            return true;
        cpu_relax();
    }
    return false;
}

static void sleep_until_change(signal_word_t *w, uint32_t old)
{
    atomic_fetch_add(&w->n_asleep, 1);
    while (atomic_load(&w->value) == old)
        syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    atomic_fetch_sub(&w->n_asleep, 1);
}

/* A member was interrupted.  Others may notice at once; one of them is enough. */
static void note_lost(lls_pool_t *pool, uint64_t now_ns)
{
    uint64_t since = now_ns - atomic_exchange(&pool->lost_ns, now_ns);
    uint32_t lost = since < SOON_NS ? atomic_load(&pool->n_lost) + 1 : 1, n;

    atomic_store(&pool->n_lost, lost % N_LOST);
    if (lost < N_LOST)
        return;
    since = now_ns - atomic_exchange(&pool->stopped_ns, now_ns);
    n = since > CALM_NS ? FEW_WAITS : lls_min_u32(atomic_load(&pool->n_waits) * 2, MANY_WAITS);
    atomic_store(&pool->n_waits, n);
    atomic_store(&pool->n_no_spin, n);
}

/* For what the others are doing, not for the next thing to do. */
static void await_others(lls_pool_t *pool, signal_word_t *w, uint32_t old)
{
    uint64_t began, now;

    if (spin(pool, w, old))
        return;
    began = lls_clock_ns();
    sleep_until_change(w, old);
    now = lls_clock_ns();
    if (now - began > LOST_NS && atomic_load(&pool->n_no_spin) == 0)
        note_lost(pool, now);
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
        if (!spin(pool, &pool->round, round))
            sleep_until_change(&pool->round, round);
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
    await_others(pool, &pool->done, done);
}

void lls_pool_barrier(lls_pool_t *pool)
{
    uint32_t passed = atomic_load_explicit(&pool->passed.value, memory_order_relaxed);

    if (pool->n_threads == 1)
        return;
    if (atomic_fetch_add(&pool->n_arrived, 1) + 1 < pool->n_threads) {
        await_others(pool, &pool->passed, passed);
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
