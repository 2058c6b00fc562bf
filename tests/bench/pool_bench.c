/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool_bench - what the thread pool costs: alone, beside processes that hog CPUs, idle, woken up.
 *
 * usage: pool_bench [THREADS] [HOGS]
 *   run      time of one run of 32 items that do nothing, workers awake
 *   step     a step of 250 runs of 32 items, each with WORK_NS of arithmetic: the time it takes and
 *            its share of what the threads could do; on all threads, and on one
 *   beside   the same step beside HOGS processes that never wait, one more than the CPUs have room
 *            for; fair is what the team may expect if every thread gets the same time
 *   idle     CPU time that a pool with nothing to do uses
 *   wake     from a run that finds the workers asleep to the first item on a worker
 *
 * Medians; a machine that others use shows in all of them.
 */
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/cpus.h"
#include "base/num.h"
#include "base/pool.h"

#include "median.h"

#define N_ITEMS  32u
#define N_RUNS   250u
#define WORK_NS  600.0              /* a panel of a small model */
#define MAX_HOGS 16u

typedef struct work {
    uint64_t         rounds;        /* of arithmetic in an item */
    _Atomic uint64_t first_ns;      /* when a worker came to an item first */
} work_t;

static double seconds_of(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void spend(uint64_t rounds)
{
    volatile uint64_t sink;
    uint64_t          x = rounds;

    for (uint64_t i = 0; i < rounds; i++)
        x = x * 6364136223846793005u + 1442695040888963407u;
    sink = x;
    (void)sink;
}

static void spend_item(void *arg, uint32_t item, uint32_t ith)
{
    const work_t *w = arg;

    spend(w->rounds);
}

static void note_item(void *arg, uint32_t item, uint32_t ith)
{
    work_t  *w = arg;
    uint64_t none = 0;

    if (ith > 0)
        atomic_compare_exchange_strong(&w->first_ns, &none, lls_clock_ns());
    spend(w->rounds);
}

/* ---- Cases ----------------------------------------------------------------------------------- */

static double time_of_run(lls_pool_t *pool)
{
    work_t w = { 0 };
    double v[51];

    for (size_t i = 0; i < LLS_ARRAY_LEN(v); i++) {
        double t = seconds_of(CLOCK_MONOTONIC);

        for (uint32_t r = 0; r < 1000; r++)
            lls_pool_run(pool, N_ITEMS, spend_item, &w);
        v[i] = (seconds_of(CLOCK_MONOTONIC) - t) / 1000;
    }
    return median(v, LLS_ARRAY_LEN(v));
}

/* Seconds of a step: of all of them, for a hog may take none of one and all of the next. */
static double time_of_step(lls_pool_t *pool, work_t *w, double seconds)
{
    double   begin = seconds_of(CLOCK_MONOTONIC), took;
    uint32_t n = 0;

    do {
        for (uint32_t r = 0; r < N_RUNS; r++)
            lls_pool_run(pool, N_ITEMS, spend_item, w);
        n++;
        took = seconds_of(CLOCK_MONOTONIC) - begin;
    } while (took < seconds);
    return took / n;
}

static double time_to_wake(lls_pool_t *pool, work_t *w)
{
    double v[51];

    for (size_t i = 0; i < LLS_ARRAY_LEN(v); i++) {
        uint64_t begin;

        usleep(5000);
        atomic_store(&w->first_ns, 0);
        begin = lls_clock_ns();
        lls_pool_run(pool, 4000, note_item, w);     /* milliseconds: nobody misses it */
        v[i] = atomic_load(&w->first_ns) == 0 ? 1e9 : (double)(atomic_load(&w->first_ns) - begin);
    }
    return median(v, LLS_ARRAY_LEN(v)) * 1e-9;
}

static double cpu_when_idle(void)
{
    double cpu, t;

    usleep(50000);
    cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    t = seconds_of(CLOCK_MONOTONIC);
    usleep(500000);
    return (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (seconds_of(CLOCK_MONOTONIC) - t);
}

static void start_hogs(pid_t *hogs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if ((hogs[i] = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                spend(1000000);
        }
}

static void end_hogs(const pid_t *hogs, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (hogs[i] > 0) {
            kill(hogs[i], SIGKILL);
            waitpid(hogs[i], NULL, 0);
        }
}

/* ---- The table ------------------------------------------------------------------------------- */

static uint64_t rounds_in(double ns)
{
    double best = 1e9;

    for (uint32_t i = 0; i < 20; i++) {
        double t = seconds_of(CLOCK_MONOTONIC);

        spend(1000000);
        t = seconds_of(CLOCK_MONOTONIC) - t;
        best = t < best ? t : best;
    }
    return (uint64_t)(ns * 1e-9 * 1000000 / best);
}

static lls_pool_t *pool_of(lls_mem_t *mem, uint32_t n)
{
    lls_pool_t *pool;
    llm_error_t err;

    if (lls_pool_create(mem, n, &pool, &err) != LLM_OK) {
        fprintf(stderr, "pool_bench: %s\n", err.message);
        exit(1);
    }
    return pool;
}

int main(int argc, char **argv)
{
    uint32_t    cpus = lls_n_cpus(&lls_cgroup_fs);
    uint32_t    n = argc > 1 ? (uint32_t)atoi(argv[1]) : cpus;
    uint32_t    n_hogs = argc > 2 ? (uint32_t)atoi(argv[2]) : 1;
    double      work = N_RUNS * N_ITEMS * WORK_NS * 1e-9, alone[2], beside[2];
    lls_mem_t   mem;
    lls_pool_t *pools[2];
    work_t      w = { .rounds = rounds_in(WORK_NS) };
    pid_t       hogs[MAX_HOGS];

    lls_mem_init(&mem, NULL);
    n_hogs = lls_min_u32(n_hogs, MAX_HOGS);
    pools[0] = pool_of(&mem, 1);
    pools[1] = pool_of(&mem, n);
    printf("run %.0f ns\n", time_of_run(pools[1]) * 1e9);
    printf("wake %.1f us\n", time_to_wake(pools[1], &w) * 1e6);
    printf("idle %.2f %% of a CPU\n", cpu_when_idle() * 100);
    for (uint32_t i = 0; i < 2; i++) {
        alone[i] = time_of_step(pools[i], &w, 1);
        printf("step %u threads %.2f ms, %.0f %%\n", lls_pool_n(pools[i]), alone[i] * 1e3,
               100 * work / lls_pool_n(pools[i]) / alone[i]);
    }
    start_hogs(hogs, n_hogs);
    for (uint32_t i = 0; i < 2; i++)
        beside[i] = time_of_step(pools[i], &w, 3);
    end_hogs(hogs, n_hogs);
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t threads = lls_pool_n(pools[i]), all = threads + n_hogs;

        printf("beside %u hogs, %u threads %.2f ms, %.2f of alone, fair %.2f\n", n_hogs, threads,
               beside[i] * 1e3, alone[i] / beside[i], all <= cpus ? 1.0 : (double)cpus / all);
    }
    lls_pool_destroy(pools[0]);
    lls_pool_destroy(pools[1]);
    return 0;
}
