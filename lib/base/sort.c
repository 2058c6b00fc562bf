/* SPDX-License-Identifier: Apache-2.0 */
#include "base/sort.h"

#include <string.h>

static void swap_ids(uint32_t *ids, uint32_t a, uint32_t b)
{
    uint32_t t = ids[a];

    ids[a] = ids[b];
    ids[b] = t;
}

/* Restores the heap below `at`, largest on top, in ids[0 .. n). */
static void sift_down(uint32_t *ids, uint64_t at, uint64_t n, lls_cmp_ids_fn *cmp, const void *ctx)
{
    for (uint64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && cmp(ctx, ids[child], ids[child + 1]) < 0)
            child++;
        if (cmp(ctx, ids[at], ids[child]) >= 0)
            return;
        swap_ids(ids, (uint32_t)at, (uint32_t)child);
    }
}

void lls_sort_ids(uint32_t *ids, uint32_t n, lls_cmp_ids_fn *cmp, const void *ctx)
{
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(ids, i, n, cmp, ctx);
    for (uint32_t end = n; end-- > 1;) {
        swap_ids(ids, 0, end);
        sift_down(ids, 0, end, cmp, ctx);
    }
}

int lls_cmp_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t n = a_len < b_len ? a_len : b_len;
    int    c = n == 0 ? 0 : memcmp(a, b, n);

    return c != 0 ? c : (a_len > b_len) - (a_len < b_len);
}
