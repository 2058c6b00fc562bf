/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forked - whether this process is a child forked off the one that made an object.
 *
 * Asked with one load instead of a system call: the mark is a page of the kernel's that a fork()
 * hands on as zeros.  Where the kernel has none of these, process ids are compared.
 */
#ifndef LLS_BASE_FORKED_H
#define LLS_BASE_FORKED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct lls_forked {
    const volatile char *mark;      /* NULL = compare pid */
    pid_t                pid;
} lls_forked_t;

void lls_forked_init(lls_forked_t *f);
/* Also of a zeroed one. */
void lls_forked_deinit(lls_forked_t *f);
bool lls_forked_compare(const lls_forked_t *f);

static inline bool lls_forked_is_child(const lls_forked_t *f)
{
    return f->mark != NULL ? *f->mark == 0 : lls_forked_compare(f);
}

#endif
