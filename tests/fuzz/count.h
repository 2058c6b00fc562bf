/* SPDX-License-Identifier: Apache-2.0 */
/*
 * count - memory that is counted: what is live, and the most that was.
 */
#ifndef LLS_FUZZ_COUNT_H
#define LLS_FUZZ_COUNT_H

#include <stdlib.h>

#include "base/mem.h"

typedef struct fuzz_count {
    size_t live, peak;
} fuzz_count_t;

static inline void *fuzz_counting(void *user, void *ptr, size_t old_size, size_t new_size)
{
    fuzz_count_t *c = user;

    c->live += new_size - old_size;
    if (c->live > c->peak)
        c->peak = c->live;
    if (new_size > 0)
        return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

static inline void fuzz_count(fuzz_count_t *c, lls_mem_t *mem)
{
    const llm_allocator_t hook = { fuzz_counting, c };

    *c = (fuzz_count_t){ 0 };
    lls_mem_init(mem, &hook);
}

#endif
