/* SPDX-License-Identifier: Apache-2.0 */
/*
 * heap - pairs of neighbours waiting to be merged, the one of the smallest key first.
 */
#ifndef LLS_TEXT_HEAP_H
#define LLS_TEXT_HEAP_H

#include "text/buf.h"

typedef struct lls_heap_item {
    uint64_t key;               /* what goes first << 32 | place of the left one, for ties */
    uint32_t value;             /* tells whether the pair is still what it was */
} lls_heap_item_t;

typedef struct lls_heap {
    lls_mem_t       *mem;
    lls_heap_item_t *items;
    size_t           n, cap;
} lls_heap_t;

/* False: no memory. */
bool            lls_heap_push(lls_heap_t *h, lls_heap_item_t item);
/* n > 0 */
lls_heap_item_t lls_heap_pop(lls_heap_t *h);

#endif
