/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpus - which CPUs this process may use, and how much of them.
 */
#ifndef LLS_BASE_CPUS_H
#define LLS_BASE_CPUS_H

#include "base/cgroup.h"
#include "base/status.h"

/* Threads worth having, 1 or more: the CPUs that the calling thread may run on, or the quota of the
 * control groups, rounded, where that is less. */
uint32_t lls_n_cpus(const lls_cgroup_fs_t *fs);

/* Nodes with memory, as a file like LLS_NODES lists them; 1 if it cannot be read. */
#define LLS_NODES "/sys/devices/system/node/has_memory"
uint32_t lls_n_nodes(const char *path);

#define LLS_MAX_CPUS 4096u

typedef struct lls_cpu_list {
    uint32_t n;
    uint16_t id[LLS_MAX_CPUS];
} lls_cpu_list_t;

/* Numbers and ranges in the order given, as "0-3,8".  The message names the option. */
llm_status_t lls_cpu_list_parse(const char *option, const char *text, lls_cpu_list_t *list,
                                llm_error_t *err);

#endif
