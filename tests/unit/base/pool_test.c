/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/pool.h"

#define MAX_ITEMS 300u

static lls_pool_t *pool_of(lls_mem_t *mem, uint32_t n)
{
    lls_pool_t *pool;
    llm_error_t err;

    lls_mem_init(mem, NULL);
    assert_int_equal(lls_pool_create(mem, n, &pool, &err), LLM_OK);
    assert_int_equal(lls_pool_n(pool), n);
    return pool;
}

typedef struct team {
    uint32_t         n_threads;
    uint32_t         times[MAX_ITEMS];  /* plain: two threads at one item would be a race */
    uint32_t         busy[8];           /* plain likewise: two threads of one number */
    _Atomic uint32_t n_wrong;
} team_t;

static void count_item(void *arg, uint32_t item, uint32_t ith)
{
    team_t *t = arg;

    if (ith >= t->n_threads || t->busy[ith] != 0)
        atomic_fetch_add(&t->n_wrong, 1);
    t->busy[ith] = 1;
    t->times[item]++;
    t->busy[ith] = 0;
}

static void every_item_is_done_once_before_run_returns(void **state)
{
    for (uint32_t n = 1; n <= 5; n++) {
        lls_mem_t   mem;
        team_t      t = { .n_threads = n };
        lls_pool_t *pool = pool_of(&mem, n);
        uint32_t    total = 0, turns = 0;

        for (uint32_t items = 0; items <= MAX_ITEMS; items += 1 + items / 7, turns++)
            for (uint32_t again = 0; again < 20; again++) {
                memset(t.times, 0, sizeof t.times);
                lls_pool_run(pool, items, count_item, &t);
                for (uint32_t i = 0; i < MAX_ITEMS; i++)
                    assert_int_equal(t.times[i], i < items);
                total += items;
            }
        assert_true(turns > 20 && total > 10000);
        assert_int_equal(atomic_load(&t.n_wrong), 0);
        lls_pool_destroy(pool);
        assert_int_equal(atomic_load(&mem.held), 0);
    }
}

/* ---- A member that is held up ---------------------------------------------------------------- */

typedef struct held_up {
    uint32_t         by;            /* the thread that stands still in its first item */
    _Atomic uint32_t n_others;      /* items done by the rest */
    _Atomic uint32_t stood_still;
    uint32_t         n_items;
} held_up_t;

/* Whoever is held up waits until all other items are done: without taking items from each other the
 * threads would wait for ever. */
static void wait_for_others(void *arg, uint32_t item, uint32_t ith)
{
    held_up_t *h = arg;

    if (ith != h->by || atomic_fetch_add(&h->stood_still, 1) > 0) {
        atomic_fetch_add(&h->n_others, 1);
        return;
    }
    while (atomic_load(&h->n_others) + 1 < h->n_items)
        sched_yield();
}

static void a_member_that_stands_still_keeps_one_item(void **state)
{
    lls_mem_t   mem;
    lls_pool_t *pool = pool_of(&mem, 3);

    for (uint32_t by = 0; by < 3; by++)
        for (uint32_t again = 0; again < 100; again++) {
            held_up_t h = { .by = by, .n_items = 64 };

            lls_pool_run(pool, h.n_items, wait_for_others, &h);
            assert_int_equal(atomic_load(&h.n_others) + (atomic_load(&h.stood_still) > 0), 64);
        }
    lls_pool_destroy(pool);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static double cpu_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void idle_workers_use_no_cpu(void **state)
{
    lls_mem_t     mem;
    team_t        t = { .n_threads = 4 };
    lls_pool_t   *pool = pool_of(&mem, 4);
    struct rusage before, after;
    double        cpu;

    lls_pool_run(pool, 100, count_item, &t);
    usleep(100000);                 /* they spin for far less */
    cpu = cpu_seconds();
    getrusage(RUSAGE_SELF, &before);
    usleep(400000);
    getrusage(RUSAGE_SELF, &after);
    cpu = cpu_seconds() - cpu;
    assert_true(cpu < 0.1);         /* three that spin would take 0.4 at the least, and 1.2 */
    assert_true(after.ru_nvcsw - before.ru_nvcsw < 20);
    lls_pool_run(pool, 100, count_item, &t);
    assert_int_equal(atomic_load(&t.n_wrong), 0);
    lls_pool_destroy(pool);
}

static void do_nothing(void *arg, uint32_t item, uint32_t ith) { }

/* The caller does all items before the worker is there, and ends the pool while it looks. */
static void late_workers_meet_the_end(void **state)
{
    for (uint32_t i = 0; i < 2000; i++) {
        lls_mem_t    mem;
        lls_pool_t  *pool = pool_of(&mem, 2);
        volatile int wait = 0;

        lls_pool_run(pool, 2, do_nothing, NULL);
        usleep(1);                  /* the worker starts, and spins */
        for (uint32_t round = 0; round < 20; round++)
            lls_pool_run(pool, 2, do_nothing, NULL);
        while (wait < (int)(i % 300))
            wait++;
        lls_pool_destroy(pool);
    }
}

/* Items so long that the caller, which has none of them left, goes to sleep over the last one. */
static void take_a_nap(void *arg, uint32_t item, uint32_t ith)
{
    _Atomic uint32_t *n = arg;

    usleep(ith == 0 ? 10 : 3000);
    atomic_fetch_add(n, 1);
}

static void a_caller_that_sleeps_is_woken(void **state)
{
    lls_mem_t        mem;
    lls_pool_t      *pool = pool_of(&mem, 3);
    _Atomic uint32_t n = 0;

    for (uint32_t i = 0; i < 20; i++) {
        usleep(i % 3 * 1000);       /* workers awake or asleep */
        lls_pool_run(pool, 4, take_a_nap, &n);
        assert_int_equal(atomic_load(&n), 4 * (i + 1));
    }
    lls_pool_destroy(pool);
}

/* Gaps about as long as the time after which a worker sleeps: so that some fall asleep just when a
 * round opens.  One that is not woken would hang the end. */
static void nobody_sleeps_through_a_round(void **state)
{
    for (uint32_t again = 0; again < 10; again++) {
        lls_mem_t   mem;
        team_t      t = { .n_threads = 4 };
        lls_pool_t *pool = pool_of(&mem, 4);

        for (uint32_t i = 0; i < 100; i++) {
            lls_pool_run(pool, 50, count_item, &t);
            usleep(100 + i % 10 * 20);
        }
        assert_int_equal(t.times[49], 100);
        lls_pool_destroy(pool);
    }
}

/* ---- CPUs ------------------------------------------------------------------------------------ */

typedef struct cpus {
    cpu_set_t        wide;
    _Atomic uint32_t n_here, n_widened, n_changed;
} cpus_t;

/* Three items, and nobody leaves his before all three members have one. */
static void widen(void *arg, uint32_t item, uint32_t ith)
{
    cpus_t *c = arg;

    if (ith > 0 && sched_setaffinity(0, sizeof c->wide, &c->wide) == 0)
        atomic_fetch_add(&c->n_widened, 1);
    atomic_fetch_add(&c->n_here, 1);
    while (atomic_load(&c->n_here) < 3)
        sched_yield();
}

static void compare(void *arg, uint32_t item, uint32_t ith)
{
    cpus_t   *c = arg;
    cpu_set_t mine;

    usleep(200);
    if (ith > 0 && sched_getaffinity(0, sizeof mine, &mine) == 0)
        atomic_fetch_add(&c->n_changed, !CPU_EQUAL(&mine, &c->wide));
}

/* The workers begin on the caller's only CPU, so some will leave it. */
static void workers_keep_the_cpus_they_are_allowed(void **state)
{
    lls_mem_t   mem;
    lls_pool_t *pool;
    cpus_t      c = { 0 };
    cpu_set_t   one;
    int         first = 0;

    assert_int_equal(sched_getaffinity(0, sizeof c.wide, &c.wide), 0);
    while (!CPU_ISSET(first, &c.wide))
        first++;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    pool = pool_of(&mem, 3);
    lls_pool_run(pool, 3, widen, &c);
    for (uint32_t i = 0; i < 60; i++)
        lls_pool_run(pool, 12, compare, &c);
    lls_pool_destroy(pool);
    assert_int_equal(sched_setaffinity(0, sizeof c.wide, &c.wide), 0);
    assert_int_equal(atomic_load(&c.n_widened), 2);
    assert_int_equal(atomic_load(&c.n_changed), 0);
}

static void note_item_of_member(void *arg, uint32_t item, uint32_t ith)
{
    _Atomic uint32_t *first = arg;      /* [4]: item + 1 that a member did first */
    uint32_t          none = 0, n = 0;

    atomic_compare_exchange_strong(&first[ith], &none, item + 1);
    while (n < 4)                   /* until each member has come to one */
        for (uint32_t i = n = 0; i < 4; i++)
            n += atomic_load(&first[i]) != 0;
}

/* Memory that a member touches first is near the CPU that reads it later: matrices are packed by
 * the ranges that multiply them. */
static void each_member_begins_with_its_own_range(void **state)
{
    lls_mem_t   mem;
    lls_pool_t *pool = pool_of(&mem, 4);

    for (uint32_t again = 0; again < 50; again++) {
        _Atomic uint32_t first[4] = { 0 };
        uint32_t         begin, end;

        lls_pool_run(pool, 50 + again, note_item_of_member, first);
        for (uint32_t i = 0; i < 4; i++) {
            lls_share(50 + again, 1, i, 4, &begin, &end);
            assert_int_equal(atomic_load(&first[i]), begin + 1);
        }
    }
    lls_pool_destroy(pool);
}

typedef struct each {
    uint32_t  times[5];             /* plain: two threads at one member's item would be a race */
    pthread_t thread[5];
} each_t;

static void note_member(void *arg, uint32_t item, uint32_t ith)
{
    each_t *e = arg;

    e->times[item] += item == ith;
    e->thread[item] = pthread_self();
}

/* Nobody takes the item of a member that is late: memory would lie with the wrong one. */
static void an_item_for_each_is_its_own(void **state)
{
    for (uint32_t n = 1; n <= 5; n++) {
        lls_mem_t   mem;
        lls_pool_t *pool = pool_of(&mem, n);
        pthread_t   first[5];
        each_t      e = { .times = { 0 } };

        for (uint32_t again = 0; again < 100; again++) {
            if (again % 10 == 9)
                usleep(200);        /* they fall asleep */
            lls_pool_run_each(pool, note_member, &e);
            for (uint32_t i = 0; i < n; i++) {
                assert_int_equal(e.times[i], again + 1);
                if (again == 0)
                    first[i] = e.thread[i];
                assert_true(pthread_equal(first[i], e.thread[i]));
            }
            lls_pool_run(pool, 3 * n, do_nothing, NULL);
        }
        assert_true(pthread_equal(first[0], pthread_self()));
        lls_pool_destroy(pool);
    }
}

static void see_cpus(void *arg, uint32_t item, uint32_t ith)
{
    _Atomic int *cpu_of = arg;      /* [3]: the only CPU of a member, -1 if it may use several */
    cpu_set_t    mine;
    int          cpu = 0;

    sched_getaffinity(0, sizeof mine, &mine);
    while (cpu < CPU_SETSIZE && !CPU_ISSET(cpu, &mine))
        cpu++;
    atomic_store(&cpu_of[ith], CPU_COUNT(&mine) == 1 ? cpu : -1);
    usleep(1000);
}

static void workers_are_bound_to_cpus(void **state)
{
    lls_mem_t      mem;
    lls_pool_t    *pool = pool_of(&mem, 3);
    lls_cpu_list_t list = { .n = 0 };
    _Atomic int    cpu_of[3] = { -1, -1, -1 };
    cpu_set_t      mine, after;
    llm_error_t    err;

    assert_int_equal(sched_getaffinity(0, sizeof mine, &mine), 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && list.n < 2; cpu++)
        if (CPU_ISSET(cpu, &mine))
            list.id[list.n++] = (uint16_t)cpu;
    assert_int_equal(lls_pool_bind(pool, "o", &list, &err), LLM_OK);
    while (atomic_load(&cpu_of[1]) < 0 || atomic_load(&cpu_of[2]) < 0)
        lls_pool_run(pool, 30, see_cpus, cpu_of);
    assert_int_equal(atomic_load(&cpu_of[1]), list.id[1 % list.n]);
    assert_int_equal(atomic_load(&cpu_of[2]), list.id[2 % list.n]);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&mine, &after));
    list = (lls_cpu_list_t){ .n = 1, .id = { LLS_MAX_CPUS - 1 } };
    assert_int_equal(lls_pool_bind(pool, "o", &list, &err), LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "CPU 4095"));
    lls_pool_destroy(pool);
}

/* ---- The host's program ---------------------------------------------------------------------- */

static void see_signal(void *arg, uint32_t item, uint32_t ith)
{
    _Atomic uint32_t *n_open = arg;
    sigset_t          blocked;

    usleep(1000);                   /* so that workers come to an item too */
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    atomic_fetch_add(n_open, ith > 0 && !sigismember(&blocked, SIGALRM));
    atomic_fetch_add(n_open, ith == 0 && sigismember(&blocked, SIGALRM) ? 1000 : 0);
}

static void signals_stay_with_the_host(void **state)
{
    lls_mem_t        mem;
    lls_pool_t      *pool = pool_of(&mem, 4);
    _Atomic uint32_t n_open = 0;

    lls_pool_run(pool, 40, see_signal, &n_open);
    assert_int_equal(atomic_load(&n_open), 0);
    lls_pool_destroy(pool);
}

static void a_pool_without_memory_is_refused(void **state)
{
    test_alloc_t    t = { .fail_at = 1 };
    llm_allocator_t hook = test_allocator(&t);
    lls_mem_t       mem;
    lls_pool_t     *pool;
    llm_error_t     err;

    lls_mem_init(&mem, &hook);
    assert_int_equal(lls_pool_create(&mem, 2, &pool, &err), LLM_ERR_NO_MEMORY);
    assert_null(pool);
    lls_pool_destroy(NULL);
    assert_int_equal(t.live_blocks, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_done_once_before_run_returns),
        cmocka_unit_test(a_member_that_stands_still_keeps_one_item),
        cmocka_unit_test(idle_workers_use_no_cpu),
        cmocka_unit_test(late_workers_meet_the_end),
        cmocka_unit_test(a_caller_that_sleeps_is_woken),
        cmocka_unit_test(nobody_sleeps_through_a_round),
        cmocka_unit_test(workers_keep_the_cpus_they_are_allowed),
        cmocka_unit_test(each_member_begins_with_its_own_range),
        cmocka_unit_test(an_item_for_each_is_its_own),
        cmocka_unit_test(workers_are_bound_to_cpus),
        cmocka_unit_test(signals_stay_with_the_host),
        cmocka_unit_test(a_pool_without_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
