/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mem - host memory: everything that an engine keeps comes from its llm_allocator_t.
 *
 * lls_mem_t wraps the host's hook and counts what is held, to the byte as the hook sees it.  Blocks
 * from lls_alloc() carry their size, so lls_free() needs none; lls_alloc_raw() has no header, for
 * the few large blocks whose size is part of the memory plan.  All functions may be called from any
 * thread.  A lls_mem_t outlives what was allocated through it.
 */
#ifndef LLS_BASE_MEM_H
#define LLS_BASE_MEM_H

#include <stdatomic.h>

#include "base/status.h"

typedef struct lls_mem {
    llm_allocator_t  hook;
    _Atomic uint64_t held;          /* bytes, as asked of the hook */
    _Atomic uint64_t n_calls;       /* allocations and growths so far: a warm step adds none */
} lls_mem_t;

/* hook NULL = malloc and free. */
void lls_mem_init(lls_mem_t *mem, const llm_allocator_t *hook);

/* NULL on failure and for overflow; aligned as malloc would (16 bytes).  n == 0 gives a block. */
void *lls_alloc(lls_mem_t *mem, size_t n);
void *lls_zalloc(lls_mem_t *mem, size_t n);
void *lls_calloc(lls_mem_t *mem, size_t count, size_t size);
/* Contents are kept; ptr may be NULL; on failure NULL, and ptr stays valid. */
void *lls_realloc(lls_mem_t *mem, void *ptr, size_t n);
void  lls_free(lls_mem_t *mem, void *ptr);
char *lls_strdup(lls_mem_t *mem, const char *text);
/* len bytes and a NUL. */
char *lls_strndup(lls_mem_t *mem, const char *text, size_t len);

void *lls_alloc_raw(lls_mem_t *mem, size_t n);
void  lls_free_raw(lls_mem_t *mem, void *ptr, size_t n);

/* Makes room for `need` elements in the array *items of *cap elements, doubling. */
bool lls_reserve(lls_mem_t *mem, void **items, size_t *cap, size_t need, size_t elem_size);

#endif
