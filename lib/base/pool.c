/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

#define SPINS_PER_LOOK 16u          /* at the clock: a microsecond or less */
#define ROUNDS_PER_LOOK 16u         /* at the CPU that the caller is on */
#define SPIN_NS   100000u           /* longer than most gaps between two steps */
#define OFFER_NS  1000000u          /* less than the least time after which a kernel takes a CPU */

/* A member's range in a round, in one word: round | items << 32 | items taken << 48.  So a thread
 * takes an item of the round that it knows of or none, however late it comes. */
typedef _Atomic uint64_t ticket_t;

#define ONE_TAKEN (1ull << 48)

typedef struct member {
    _Alignas(64) ticket_t ticket;
    _Atomic uint32_t      slept_in; /* the last round that it fell asleep in; its own to write */
    uint32_t              first;    /* item of the range; for whoever holds one of it */
    uint32_t              ith;
    lls_pool_t           *pool;
    pthread_t             thread;
    uint64_t              offered_ns;   /* when it last yielded */
    _Atomic int           cpu;          /* that it was seen on */
} member_t;

struct lls_pool {
    _Alignas(64) _Atomic uint32_t n_left;   /* items not known to be done */
    _Alignas(64) _Atomic uint32_t asleep;   /* the caller waits for the last of them */
    _Atomic uint32_t closing;
    _Atomic uint32_t reach;         /* ranges that a member takes items of, its own first; who is
                                       late may see that of a round in which it takes none */
    /* written between rounds; whoever holds an item may read them */
    lls_pool_fn      fn;
    void            *arg;
    uint32_t         round, n_threads, n_started;
    lls_mem_t       *mem;
    void            *block;         /* as allocated; the struct lies aligned in it */
    member_t         members[];
};

_Static_assert(LLS_POOL_MAX_ITEMS < 1u << 16, "items of a range are counted in 16 bits");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "a round is the first half of its ticket");

static uint32_t round_of(uint64_t ticket) { return (uint32_t)ticket; }
static uint32_t items_of(uint64_t ticket) { return (uint32_t)(ticket >> 32) & 0xffffu; }
static uint32_t taken_of(uint64_t ticket) { return (uint32_t)(ticket >> 48); }

/* ---- Waiting --------------------------------------------------------------------------------- */

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

typedef struct patience {
    uint64_t since_ns;
    uint32_t spins;
} patience_t;

/* Waits a little; false when it is time to sleep.  To yield first would be no favour: a scheduler
 * that counts time takes the rest of its slice from a thread that yields, not from one that
 * sleeps. */
static bool wait_more(patience_t *p)
{
    uint64_t now;

    cpu_relax();
    if (++p->spins % SPINS_PER_LOOK != 0)
        return true;
    now = lls_clock_ns();
    if (p->since_ns == 0)
        p->since_ns = now;
    return now - p->since_ns < SPIN_NS;
}

/* Who sleeps looks again by itself in the end: a pause is better than a host that stands still. */
static void sleep_while(void *word, uint32_t value)
{
    const struct timespec most = { 1, 0 };

    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, &most, NULL, 0);
}

static void wake(void *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }

/* Returns the round after the old one, or a later one. */
static uint32_t await_round(member_t *m, uint32_t old)
{
    patience_t p = { 0, 0 };
    uint32_t   round;

    while ((round = round_of(atomic_load_explicit(&m->ticket, memory_order_acquire))) == old)
        if (!wait_more(&p)) {
            atomic_store(&m->slept_in, old);
            while (round_of(atomic_load(&m->ticket)) == old)
                sleep_while(&m->ticket, old);
        }
    return round;
}

static void await_items(lls_pool_t *pool)
{
    patience_t p = { 0, 0 };
    uint32_t   n;

    while (atomic_load_explicit(&pool->n_left, memory_order_acquire) > 0)
        if (!wait_more(&p)) {
            atomic_store(&pool->asleep, 1);
            while ((n = atomic_load(&pool->n_left)) > 0)
                sleep_while(&pool->n_left, n);
            atomic_store(&pool->asleep, 0);
        }
}

/* ---- Items ----------------------------------------------------------------------------------- */

static bool take(lls_pool_t *pool, uint32_t of, uint32_t round, uint32_t *item)
{
    ticket_t *ticket = &pool->members[of].ticket;
    uint64_t  t = atomic_load_explicit(ticket, memory_order_relaxed);

    do {
        if (round_of(t) != round || taken_of(t) == items_of(t))
            return false;
    } while (!atomic_compare_exchange_weak_explicit(ticket, &t, t + ONE_TAKEN, memory_order_acq_rel,
                                                    memory_order_relaxed));
    *item = pool->members[of].first + taken_of(t);
    return true;
}

/* True if these were the last. */
static bool report(lls_pool_t *pool, uint32_t n_done)
{
    if (n_done == 0 || atomic_fetch_sub(&pool->n_left, n_done) > n_done)
        return false;
    if (atomic_load(&pool->asleep) != 0)
        wake(&pool->n_left);
    return true;
}

/* The member's own items, then what others have left; reported before it looks at theirs, for these
 * looks are slow. */
static void do_items(lls_pool_t *pool, uint32_t ith, uint32_t round)
{
    uint32_t reach = atomic_load_explicit(&pool->reach, memory_order_relaxed);

    for (uint32_t i = 0; i < reach; i++) {
        uint32_t of = ith + i < pool->n_threads ? ith + i : ith + i - pool->n_threads;
        uint32_t n_done = 0, item;

        while (take(pool, of, round, &item)) {
            pool->fn(pool->arg, item, ith);
            n_done++;
        }
        if (report(pool, n_done))
            return;
    }
}

/* ---- Beside others --------------------------------------------------------------------------- */

static void note_cpu(member_t *me)
{
    atomic_store_explicit(&me->cpu, sched_getcpu(), memory_order_relaxed);
}

/* CPUs that no member was seen on. */
static void drop_taken(const lls_pool_t *pool, cpu_set_t *set)
{
    for (uint32_t i = 0; i < pool->n_threads; i++) {
        int cpu = atomic_load_explicit(&pool->members[i].cpu, memory_order_relaxed);

        if (cpu >= 0 && cpu < CPU_SETSIZE)
            CPU_CLR(cpu, set);
    }
}

static bool shares_cpu(const lls_pool_t *pool, const member_t *me)
{
    int cpu = atomic_load_explicit(&me->cpu, memory_order_relaxed);

    for (uint32_t i = 0; i < me->ith; i++)
        if (atomic_load_explicit(&pool->members[i].cpu, memory_order_relaxed) == cpu)
            return true;
    return false;
}

/* To a scheduler it is all one whether two members share a CPU or each shares one with a stranger,
 * and it leaves them there; to a team it is half of its speed. */
static void leave_shared_cpu(const lls_pool_t *pool, member_t *me)
{
    cpu_set_t allowed, vacant;

    note_cpu(me);
    if (!shares_cpu(pool, me) || sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        return;
    vacant = allowed;
    drop_taken(pool, &vacant);
    if (CPU_COUNT(&vacant) == 0)
        return;
    sched_setaffinity(0, sizeof vacant, &vacant);
    sched_setaffinity(0, sizeof allowed, &allowed);
    note_cpu(me);
}

/* Whose turn others are waiting for loses its CPU here, between two items, and not in one. */
static void offer_cpu(const lls_pool_t *pool, member_t *me)
{
    uint64_t now = lls_clock_ns();

    if (now - me->offered_ns < OFFER_NS)
        return;
    leave_shared_cpu(pool, me);
    sched_yield();
    me->offered_ns = now;
}

/* ---- Rounds ---------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    member_t   *me = arg;
    lls_pool_t *pool = me->pool;

    for (uint32_t round = 0;;) {
        round = await_round(me, round);
        if (atomic_load_explicit(&pool->closing, memory_order_relaxed) != 0)
            return NULL;
        do_items(pool, me->ith, round);
        offer_cpu(pool, me);
    }
}

/* Opens the round for a member.  Who fell asleep in the last round is woken by this one, and by no
 * later one: a thread takes a while to wake up. */
static void deal(lls_pool_t *pool, uint32_t n_items, uint32_t ith)
{
    member_t *m = &pool->members[ith];
    uint32_t  end;

    lls_share(n_items, 1, ith, pool->n_threads, &m->first, &end);
    lls_assert(end - m->first <= LLS_POOL_MAX_ITEMS);
    atomic_store(&m->ticket, pool->round | (uint64_t)(end - m->first) << 32);
    if (atomic_load(&m->slept_in) == pool->round - 1)
        wake(&m->ticket);
}

static void open_round(lls_pool_t *pool, uint32_t n_items)
{
    pool->round++;
    atomic_store_explicit(&pool->n_left, n_items, memory_order_relaxed);
    for (uint32_t i = 0; i <= pool->n_started; i++)
        deal(pool, n_items, i);
}

static void run(lls_pool_t *pool, uint32_t n_items, uint32_t reach, lls_pool_fn fn, void *arg)
{
    if (pool->n_started == 0 || n_items < 2) {
        for (uint32_t i = 0; i < n_items; i++)
            fn(arg, i, 0);
        return;
    }
    if (pool->round % ROUNDS_PER_LOOK == 0)
        note_cpu(&pool->members[0]);
    pool->fn = fn;
    pool->arg = arg;
    atomic_store_explicit(&pool->reach, reach, memory_order_relaxed);
    open_round(pool, n_items);
    do_items(pool, 0, pool->round);
    await_items(pool);
}

void lls_pool_run(lls_pool_t *pool, uint32_t n_items, lls_pool_fn fn, void *arg)
{
    run(pool, n_items, pool->n_threads, fn, arg);
}

void lls_pool_run_each(lls_pool_t *pool, lls_pool_fn fn, void *arg)
{
    run(pool, pool->n_threads, 1, fn, arg);
}

/* ---- Create and destroy ---------------------------------------------------------------------- */

/* Handlers of the host run on the host's threads. */
static int start(member_t *m)
{
    sigset_t all, old;
    int      failed;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    failed = pthread_create(&m->thread, NULL, work, m);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return failed;
}

llm_status_t lls_pool_create(lls_mem_t *mem, uint32_t n_threads, lls_pool_t **out, llm_error_t *err)
{
    size_t      bytes = sizeof(lls_pool_t) + n_threads * sizeof(member_t);
    void       *block = lls_zalloc(mem, bytes + 64);
    lls_pool_t *pool;

    *out = NULL;
    lls_assert(n_threads >= 1 && n_threads <= LLS_POOL_MAX_THREADS);
    if (block == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "thread pool of %u", n_threads);
    pool = (lls_pool_t *)lls_align_up((uintptr_t)block, 64);
    pool->mem = mem;
    pool->block = block;
    pool->n_threads = n_threads;
    for (uint32_t i = 1; i < n_threads; i++) {
        member_t *m = &pool->members[i];

        m->pool = pool;
        m->ith = i;
        atomic_init(&m->cpu, -1);
        if (start(m) != 0) {
            lls_pool_destroy(pool);
            return lls_fail(err, LLM_ERR_NO_MEMORY, "cannot start thread %u of %u", i + 1,
                            n_threads);
        }
        pool->n_started++;
    }
    *out = pool;
    return LLM_OK;
}

llm_status_t lls_pool_bind(lls_pool_t *pool, const char *option, const lls_cpu_list_t *cpus,
                           llm_error_t *err)
{
    for (uint32_t i = 1; i < pool->n_threads; i++) {
        cpu_set_t set[LLS_MAX_CPUS / CPU_SETSIZE];
        uint32_t  id = cpus->id[i % cpus->n];

        CPU_ZERO_S(sizeof set, set);
        CPU_SET_S(id, sizeof set, set);
        if (pthread_setaffinity_np(pool->members[i].thread, sizeof set, set) != 0)
            return lls_fail_param(err, LLM_ERR_INVALID, option,
                                  "%s: CPU %u is not there, or not for this process", option, id);
    }
    return LLM_OK;
}

void lls_pool_destroy(lls_pool_t *pool)
{
    if (pool == NULL)
        return;
    atomic_store(&pool->closing, 1);
    open_round(pool, 0);
    for (uint32_t i = 1; i <= pool->n_started; i++)
        pthread_join(pool->members[i].thread, NULL);
    lls_free(pool->mem, pool->block);
}

uint32_t lls_pool_n(const lls_pool_t *pool) { return pool->n_threads; }
