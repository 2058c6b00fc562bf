/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu/cpu_row_kernels.h"

#define LLS_ROW_KERNELS lls_row_kernels_plain
#include "cpu/cpu_row_kernels_body.h"

#define WORTH_A_FORK 16384u         /* elements: a few microseconds on one thread */

/* ORDER isa */
const lls_row_kernels_t *lls_row_kernels(uint32_t isa)
{
#if defined(__x86_64__)
    if (isa >= LLS_ISA_AVX512)
        return &lls_row_kernels_avx512;
    if (isa >= LLS_ISA_AVX2)
        return &lls_row_kernels_avx2;
#elif defined(__aarch64__)
    if (isa != LLS_ISA_PLAIN)
        return &lls_row_kernels_neon;
#endif
    return &lls_row_kernels_plain;
}

#define ITEMS_PER_THREAD 4u

typedef struct rows_job {
    lls_cpu_rows_fn fn;
    const void     *arg;
    uint32_t        n, n_items;
} rows_job_t;

static void run_share(void *arg, uint32_t item, uint32_t ith)
{
    const rows_job_t *job = arg;
    uint32_t          begin, end;

    lls_share(job->n, 1, item, job->n_items, &begin, &end);
    job->fn(job->arg, begin, end);
}

void lls_cpu_each_rows(const lls_exec_t *x, uint32_t n, uint64_t cost, lls_cpu_rows_fn fn,
                       const void *arg)
{
    const lls_cpu_t *cpu = lls_cpu_of(x);
    rows_job_t       job = { fn, arg, n, lls_min_u32(n, ITEMS_PER_THREAD * cpu->n_threads) };

    if (n < 2 || n * cost < WORTH_A_FORK)
        fn(arg, 0, n);
    else
        lls_pool_run(cpu->pool, job.n_items, run_share, &job);
}
