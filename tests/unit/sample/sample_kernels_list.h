/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample_kernels_list - the sampler's kernels of each instruction set, for tests.
 */
#ifndef TESTS_UNIT_SAMPLE_KERNELS_LIST_H
#define TESTS_UNIT_SAMPLE_KERNELS_LIST_H

#include "sample/sample_kernels.h"

static const lls_sample_kernels_t *const all_kernels[] = {
    &lls_sample_kernels_plain,
#if defined(__x86_64__)
    &lls_sample_kernels_avx2, &lls_sample_kernels_avx512,
#endif
};

static inline bool can_run(size_t i)
{
    bool ok = i == 0;

#if defined(__x86_64__)
    ok |= i == 1 && __builtin_cpu_supports("avx2");
    ok |= i == 2 && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
          __builtin_cpu_supports("avx512vl");
#endif
    return ok;
}

/* The widest. */
static inline const lls_sample_kernels_t *best_kernels(void)
{
    size_t i = LLS_ARRAY_LEN(all_kernels) - 1;

    while (!can_run(i))
        i--;
    return all_kernels[i];
}

#endif
