/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cpus.h"

#include <sched.h>

#include "base/num.h"

/* CPUs of the machine may be more than a cpu_set_t has room for. */
static uint32_t n_allowed(void)
{
    cpu_set_t set[16];
    int       n = sched_getaffinity(0, sizeof set, set) == 0 ? CPU_COUNT_S(sizeof set, set) : 0;

    return n > 0 ? (uint32_t)n : 1;
}

uint32_t lls_n_cpus(const lls_cgroup_fs_t *fs)
{
    uint64_t milli = lls_cgroup_milli_cpus(fs);
    uint64_t quota = milli > UINT64_MAX - 500 ? UINT64_MAX : (milli + 500) / 1000;

    return (uint32_t)lls_max_u64(1, lls_min_u64(n_allowed(), quota));
}
