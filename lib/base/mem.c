/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define HEADER 16u                  /* keeps what follows aligned as malloc would */

static void *malloc_hook(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user, (void)old_size;
    if (new_size == 0) {
        free(ptr);
        return NULL;
    }
    return realloc(ptr, new_size);
}

void lls_mem_init(lls_mem_t *mem, const llm_allocator_t *hook)
{
    mem->hook = hook != NULL && hook->realloc_fn != NULL ? *hook
                                                         : (llm_allocator_t){ malloc_hook, NULL };
    atomic_init(&mem->held, 0);
    atomic_init(&mem->n_calls, 0);
}

static void *count(lls_mem_t *mem, void *p, size_t n)
{
    atomic_fetch_add_explicit(&mem->n_calls, 1, memory_order_relaxed);
    if (p != NULL)
        atomic_fetch_add_explicit(&mem->held, n, memory_order_relaxed);
    return p;
}

void *lls_alloc_raw(lls_mem_t *mem, size_t n)
{
    return count(mem, mem->hook.realloc_fn(mem->hook.user, NULL, 0, n), n);
}

/* malloc knows which of its pages are zero as they come, and so does not bring them in. */
static void *zalloc_raw(lls_mem_t *mem, size_t n)
{
    void *p;

    if (mem->hook.realloc_fn == malloc_hook)
        return count(mem, calloc(1, n), n);
    p = lls_alloc_raw(mem, n);
    return p == NULL ? NULL : memset(p, 0, n);
}

void lls_free_raw(lls_mem_t *mem, void *ptr, size_t n)
{
    if (ptr == NULL)
        return;
    mem->hook.realloc_fn(mem->hook.user, ptr, n, 0);
    atomic_fetch_sub_explicit(&mem->held, n, memory_order_relaxed);
}

static void *alloc_with(lls_mem_t *mem, size_t n, void *(*raw)(lls_mem_t *, size_t))
{
    size_t *p = n > SIZE_MAX - HEADER ? NULL : raw(mem, n + HEADER);

    if (p == NULL)
        return NULL;
    *p = n + HEADER;
    return (char *)p + HEADER;
}

void *lls_alloc(lls_mem_t *mem, size_t n) { return alloc_with(mem, n, lls_alloc_raw); }
void *lls_zalloc(lls_mem_t *mem, size_t n) { return alloc_with(mem, n, zalloc_raw); }

void *lls_calloc(lls_mem_t *mem, size_t count, size_t size)
{
    size_t n;

    return __builtin_mul_overflow(count, size, &n) ? NULL : lls_zalloc(mem, n);
}

void *lls_realloc(lls_mem_t *mem, void *ptr, size_t n)
{
    size_t *old = ptr == NULL ? NULL : (size_t *)((char *)ptr - HEADER), old_size, *p;

    if (old == NULL)
        return lls_alloc(mem, n);
    if (n > SIZE_MAX - HEADER)
        return NULL;
    old_size = *old;
    atomic_fetch_add_explicit(&mem->n_calls, 1, memory_order_relaxed);
    p = mem->hook.realloc_fn(mem->hook.user, old, old_size, n + HEADER);
    if (p == NULL)
        return NULL;
    atomic_fetch_add_explicit(&mem->held, n + HEADER - old_size, memory_order_relaxed);
    *p = n + HEADER;
    return (char *)p + HEADER;
}

void lls_free(lls_mem_t *mem, void *ptr)
{
    size_t *p;

    if (ptr == NULL)
        return;
    p = (size_t *)((char *)ptr - HEADER);
    lls_free_raw(mem, p, *p);
}

char *lls_strndup(lls_mem_t *mem, const char *text, size_t len)
{
    char *copy = len == SIZE_MAX ? NULL : lls_alloc(mem, len + 1);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *lls_strdup(lls_mem_t *mem, const char *text) { return lls_strndup(mem, text, strlen(text)); }

bool lls_reserve(lls_mem_t *mem, void **items, size_t *cap, size_t need, size_t elem_size)
{
    size_t n = *cap < 8 ? 8 : *cap, bytes;
    void  *grown;

    if (need <= *cap)
        return true;
    while (n < need)
        n = n > SIZE_MAX / 2 ? need : n * 2;
    grown = __builtin_mul_overflow(n, elem_size, &bytes) ? NULL : lls_realloc(mem, *items, bytes);
    if (grown == NULL)
        return false;
    *items = grown;
    *cap = n;
    return true;
}
