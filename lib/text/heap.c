/* SPDX-License-Identifier: Apache-2.0 */
#include "text/heap.h"

bool lls_heap_push(lls_heap_t *h, lls_heap_item_t item)
{
    size_t i = h->n;

    if (!lls_reserve(h->mem, (void **)&h->items, &h->cap, i + 1, sizeof *h->items))
        return false;
    for (; i > 0 && item.key < h->items[(i - 1) / 2].key; i = (i - 1) / 2)
        h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = item;
    h->n++;
    return true;
}

lls_heap_item_t lls_heap_pop(lls_heap_t *h)
{
    lls_heap_item_t top = h->items[0], last = h->items[--h->n];
    size_t          i = 0;

    for (;;) {
        size_t kid = 2 * i + 1;

        if (kid >= h->n)
            break;
        if (kid + 1 < h->n && h->items[kid + 1].key < h->items[kid].key)
            kid++;
        if (last.key <= h->items[kid].key)
            break;
        h->items[i] = h->items[kid];
        i = kid;
    }
    h->items[i] = last;
    return top;
}
