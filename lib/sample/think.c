/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/think.h"

#include <string.h>

static bool begins(const int32_t *tokens, uint32_t n, const int32_t *sequence, uint32_t n_sequence)
{
    return n_sequence <= n && memcmp(tokens, sequence, n_sequence * sizeof *tokens) == 0;
}

static void search(lls_think_t *t, const lls_sample_view_t *p, const int32_t *tokens, uint32_t n)
{
    for (uint32_t i = t->n_searched; i < n; i++) {
        if (begins(tokens + i, n - i, p->think_start, p->n_think_start))
            t->start = i + 1;
        if (begins(tokens + i, n - i, p->think_end, p->n_think_end))
            t->end = i + 1;
    }
    t->n_searched = lls_sub_u32(n + 1, lls_max_u32(p->n_think_start, p->n_think_end));
}

/* How many of the end sequence's tokens, but the last one, the row ends with. */
static uint32_t n_ended(const lls_sample_view_t *p, const int32_t *tokens, uint32_t n)
{
    uint32_t k = lls_min_u32(p->n_think_end - 1, n);

    while (k > 0 && memcmp(tokens + n - k, p->think_end, k * sizeof *tokens) != 0)
        k--;
    return k;
}

uint32_t lls_think_next(lls_think_t *t, const lls_sample_view_t *p, const int32_t *tokens,
                        uint32_t n)
{
    if (p->think_limit == 0)
        return 0;
    lls_assert(tokens != NULL && p->n_think_start > 0 && p->n_think_end > 0);
    search(t, p, tokens, n);
    if (t->start <= t->end || n - (t->start - 1 + p->n_think_start) < p->think_limit - 1)
        return 0;
    return (uint32_t)p->think_end[n_ended(p, tokens, n)] + 1;
}
