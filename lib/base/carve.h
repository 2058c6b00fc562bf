/* SPDX-License-Identifier: Apache-2.0 */
/*
 * carve - lays arrays out one after another in one piece of memory.
 *
 * With base NULL it only counts, so that the code that lays out is the code that says how many
 * bytes it takes.  Every array begins at a multiple of `align`, a power of two, from base, which is
 * aligned as much.  Sizes come from limits that were checked before.
 */
#ifndef LLS_BASE_CARVE_H
#define LLS_BASE_CARVE_H

#include "base/num.h"

typedef struct lls_carver {
    uint8_t *base;
    size_t   align, used;
} lls_carver_t;

/* NULL while counting. */
static inline void *lls_carve(lls_carver_t *c, size_t count, size_t size)
{
    uint8_t *p = c->base == NULL ? NULL : c->base + c->used;

    c->used += lls_align_up(count * size, c->align);
    return p;
}

#endif
