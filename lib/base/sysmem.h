/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sysmem - how much memory this machine, or the control group around us, has and has left.
 */
#ifndef LLS_BASE_SYSMEM_H
#define LLS_BASE_SYSMEM_H

#include <stdint.h>

typedef struct lls_sysmem {
    uint64_t total;                 /* bytes: the least of the machine's and the group's limit */
    uint64_t available;             /* bytes to be had without swapping; as /proc/meminfo says */
    uint64_t huge;                  /* bytes in free huge pages of 2 MiB that were set aside: no
                                       part of what is available */
} lls_sysmem_t;

/* Never fails: what cannot be read counts as no limit. */
lls_sysmem_t lls_sysmem(void);

#endif
