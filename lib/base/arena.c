/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"

#include <sys/mman.h>

#include "base/num.h"

#ifndef MAP_HUGE_SHIFT
#  define MAP_HUGE_SHIFT 26
#endif
#define MAP_2M (21 << MAP_HUGE_SHIFT)

static bool map_explicit(lls_arena_t *a, lls_mem_t *mem)
{
    size_t bytes = lls_align_up(a->bytes, LLS_HUGE_PAGE);
    void  *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_2M, -1, 0);

    if (p == MAP_FAILED)
        return false;
    a->base = a->block = p;
    a->mapped = bytes;
    atomic_fetch_add_explicit(&mem->held, a->bytes, memory_order_relaxed);
    return true;
}

static void advise(const lls_arena_t *a, int advice)
{
    madvise(a->base, lls_arena_room(a) / LLS_ARENA_ALIGN * LLS_ARENA_ALIGN, advice);
}

static llm_status_t allocate(lls_arena_t *a, lls_mem_t *mem, uint32_t huge_pages, llm_error_t *err)
{
    a->block = lls_alloc_raw(mem, a->bytes);
    if (a->block == NULL)
        return lls_fail(err, LLM_ERR_NO_DEVMEM, "no memory for %zu bytes", a->bytes);
    a->base = (uint8_t *)lls_align_up((uintptr_t)a->block, LLS_ARENA_ALIGN);
    advise(a, huge_pages == LLS_HUGE_OFF ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
    return LLM_OK;
}

llm_status_t lls_arena_init(lls_arena_t *a, lls_mem_t *mem, size_t bytes, uint32_t huge_pages,
                            const char *option, llm_error_t *err)
{
    bool wanted = huge_pages == LLS_HUGE_AUTO || huge_pages == LLS_HUGE_EXPLICIT;

    lls_assert(bytes >= LLS_ARENA_ALIGN);
    *a = (lls_arena_t){ .bytes = bytes };
    if (wanted && bytes <= SIZE_MAX - LLS_HUGE_PAGE && map_explicit(a, mem))
        return LLM_OK;
    if (huge_pages == LLS_HUGE_EXPLICIT)
        return lls_fail_param(err, LLM_ERR_NO_DEVMEM, option,
                              "%s explicit: the kernel has not %zu free huge pages of 2 MiB; raise "
                              "/proc/sys/vm/nr_hugepages by so many, or use auto or transparent",
                              option, bytes / LLS_HUGE_PAGE + (bytes % LLS_HUGE_PAGE != 0));
    return allocate(a, mem, huge_pages, err);
}

void lls_arena_deinit(lls_arena_t *a, lls_mem_t *mem)
{
    if (a->mapped > 0) {
        munmap(a->block, a->mapped);
        atomic_fetch_sub_explicit(&mem->held, a->bytes, memory_order_relaxed);
    } else {
        lls_free_raw(mem, a->block, a->bytes);
    }
    *a = (lls_arena_t){ 0 };
}
