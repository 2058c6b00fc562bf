/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus - which CPUs this process may use, and how much of them.
 */
#ifndef LLS_BASE_CPUS_H
#define LLS_BASE_CPUS_H

#include "base/cgroup.h"

/* Threads worth having, 1 or more: the CPUs that the calling thread may run on, or the quota of the
 * control groups, rounded, where that is less. */
uint32_t lls_n_cpus(const lls_cgroup_fs_t *fs);

#endif
