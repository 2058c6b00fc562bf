/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test - cmocka with its required headers, and what many tests share: an allocator that counts and
 * fails on purpose.
 */
#ifndef LLS_TEST_H
#define LLS_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm.h"

/* An emulator takes a hundred times as long: tests that would take minutes there do less. */
#ifndef EMULATED
#  define EMULATED 0
#endif

/* Fails the call number fail_at (1 = the next), once; 0 = never.  Balance must end at 0.  Not for
 * several threads. */
typedef struct test_alloc {
    int64_t  live_bytes, live_blocks;
    uint64_t n_calls, fail_at;
} test_alloc_t;

static inline void *counting_realloc(void *user, void *ptr, size_t old_size, size_t new_size)
{
    test_alloc_t *t = user;
    void         *p;

    if (new_size == 0) {
        if (ptr != NULL) {
            t->live_bytes -= (int64_t)old_size;
            t->live_blocks--;
        }
        free(ptr);
        return NULL;
    }
    t->n_calls++;
    if (t->fail_at != 0 && t->n_calls == t->fail_at)
        return NULL;
    p = realloc(ptr, new_size);
    if (p != NULL) {
        t->live_bytes += (int64_t)new_size - (int64_t)old_size;
        t->live_blocks += ptr == NULL;
    }
    return p;
}

static inline llm_allocator_t test_allocator(test_alloc_t *t)
{
    return (llm_allocator_t){ counting_realloc, t };
}

#endif
