/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cgroup - what the control groups around this process allow it, in version 1 and 2.
 *
 * A group's limits hold for all below it, so the least from the process's own group up to the root
 * counts.  What cannot be read is no limit: in a container the list may name groups that are seen
 * from outside only, and then the root of the mount is the group of this process.
 */
#ifndef LLS_BASE_CGROUP_H
#define LLS_BASE_CGROUP_H

#include <stddef.h>
#include <stdint.h>

typedef struct lls_cgroup_fs {
    const char *list, *mount;
} lls_cgroup_fs_t;

extern const lls_cgroup_fs_t lls_cgroup_fs;     /* of this process */

/* Thousandths of a CPU in every period; UINT64_MAX = no limit. */
uint64_t lls_cgroup_milli_cpus(const lls_cgroup_fs_t *fs);

typedef struct lls_cgroup_memory {
    uint64_t limit;                 /* bytes; UINT64_MAX = none */
    uint64_t available;             /* the limit less what is used and cannot be dropped */
} lls_cgroup_memory_t;

lls_cgroup_memory_t lls_cgroup_memory(const lls_cgroup_fs_t *fs);

/* The file's beginning as text, "" if it cannot be read; the number of bytes. */
size_t lls_read_text(const char *path, char *buf, size_t cap);

#endif
