/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/arena.h"

#define BYTES     ((8u << 20) + LLS_ARENA_ALIGN)
#define SETTING   "/proc/sys/vm/nr_hugepages"
#define ADVISED   "AnonHugePages:"
#define SET_ASIDE "Private_Hugetlb:"

/* KiB that /proc/self/smaps tells for the mapping around p; 0 if it tells nothing. */
static size_t kib_of(const void *p, const char *key)
{
    FILE  *f = fopen("/proc/self/smaps", "r");
    char   line[512];
    bool   inside = false;
    size_t kib = 0;

    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        unsigned long begin, end;

        if (sscanf(line, "%lx-%lx ", &begin, &end) == 2)
            inside = (uintptr_t)p >= begin && (uintptr_t)p < end;
        else if (inside && strncmp(line, key, strlen(key)) == 0)
            kib = strtoul(line + strlen(key), NULL, 10);
    }
    if (f != NULL)
        fclose(f);
    return kib;
}

/* What the kernel gives to a mapping that is only advised, and nothing else. */
static size_t kib_of_a_plain_mapping(void)
{
    uint8_t *p = mmap(NULL, 8u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t   kib;

    assert_true(p != MAP_FAILED);
    madvise(p, 8u << 20, MADV_HUGEPAGE);
    memset(p, 1, 8u << 20);
    kib = kib_of(p + (4u << 20), ADVISED);
    munmap(p, 8u << 20);
    return kib;
}

static size_t kib_of_arena(uint32_t huge_pages)
{
    lls_mem_t   mem;
    lls_arena_t a;
    size_t      kib;

    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_arena_init(&a, &mem, BYTES, huge_pages, "o", NULL), LLM_OK);
    assert_int_equal((uintptr_t)a.base % LLS_ARENA_ALIGN, 0);
    assert_int_equal(lls_arena_room(&a), 8u << 20);
    assert_int_equal(atomic_load(&mem.held), BYTES);
    memset(a.base, 1, lls_arena_room(&a));
    kib = kib_of(a.base + (4u << 20), ADVISED);
    lls_arena_deinit(&a, &mem);
    lls_arena_deinit(&a, &mem);
    assert_int_equal(atomic_load(&mem.held), 0);
    return kib;
}

static void off_means_off(void **state)
{
    assert_int_equal(kib_of_arena(LLS_HUGE_OFF), 0);
}

/* Of 8 MiB at any address three whole ones are huge, if the kernel has them. */
static void transparent_ones_are_used(void **state)
{
    size_t kib = kib_of_a_plain_mapping();

    if (kib < 6144) {
        print_message("the kernel gave %zu KiB of transparent huge pages to 8 MiB\n", kib);
        skip();
    }
    assert_true(kib_of_arena(LLS_HUGE_TRANSPARENT) >= 4096);
}

/* ---- Explicit ones ----------------------------------------------------------------------------*/

/* No machine has so many. */
static void more_than_there_are_is_refused_or_not(void **state)
{
    size_t      bytes = (size_t)1 << 46;
    lls_mem_t   mem;
    lls_arena_t a;
    llm_error_t err;

    lls_mem_init(&mem, NULL);
    assert_int_equal(lls_arena_init(&a, &mem, bytes, LLS_HUGE_EXPLICIT, "huge-pages", &err),
                     LLM_ERR_NO_DEVMEM);
    assert_null(a.base);
    assert_string_equal(err.param, "huge-pages");
    assert_non_null(strstr(err.message, "has not 33554432 free huge pages"));
    assert_non_null(strstr(err.message, SETTING));
    assert_int_equal(lls_arena_init(&a, &mem, SIZE_MAX, LLS_HUGE_EXPLICIT, "o", &err),
                     LLM_ERR_NO_DEVMEM);
    lls_arena_deinit(&a, &mem);
    assert_int_equal(kib_of_arena(LLS_HUGE_AUTO) % 2048, 0);
    assert_int_equal(atomic_load(&mem.held), 0);
}

static void a_host_without_memory_is_an_error(void **state)
{
    test_alloc_t    t = { .fail_at = 1 };
    llm_allocator_t hook = test_allocator(&t);
    lls_mem_t       mem;
    lls_arena_t     a;
    llm_error_t     err;

    lls_mem_init(&mem, &hook);
    assert_int_equal(lls_arena_init(&a, &mem, BYTES, LLS_HUGE_TRANSPARENT, "o", &err),
                     LLM_ERR_NO_DEVMEM);
    assert_non_null(strstr(err.message, "no memory for 8392704 bytes"));
    lls_arena_deinit(&a, &mem);
    assert_int_equal(t.live_bytes, 0);
}

/* The setting before, or -1 if it cannot be read. */
static long set_aside(long n)
{
    FILE *f = fopen(SETTING, "r");
    long  before = -1;

    if (f == NULL || fscanf(f, "%ld", &before) != 1)
        before = -1;
    if (f != NULL)
        fclose(f);
    f = before >= 0 && n >= 0 ? fopen(SETTING, "w") : NULL;
    if (f != NULL) {
        fprintf(f, "%ld\n", n);
        fclose(f);
    }
    return before;
}

static void those_set_aside_are_used(void **state)
{
    long            before = set_aside(-1);
    test_alloc_t    t = { 0 };
    llm_allocator_t hook = test_allocator(&t);
    lls_mem_t       mem;
    lls_arena_t     a;
    llm_error_t     err = { 0 };
    llm_status_t    st;
    size_t          kib = 0;

    set_aside(before + 5);
    lls_mem_init(&mem, &hook);
    st = lls_arena_init(&a, &mem, BYTES, LLS_HUGE_EXPLICIT, "o", &err);
    if (st == LLM_OK) {
        memset(a.base, 1, lls_arena_room(&a));
        kib = kib_of(a.base + (4u << 20), SET_ASIDE);
        assert_int_equal(t.n_calls, 0);
        assert_int_equal(atomic_load(&mem.held), BYTES);
        lls_arena_deinit(&a, &mem);
        assert_int_equal(atomic_load(&mem.held), 0);
    }
    set_aside(before);
    if (st != LLM_OK) {
        print_message("none to be had: %s\n", err.message);
        skip();
    }
    assert_int_equal(kib, 8192);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(off_means_off),
        cmocka_unit_test(transparent_ones_are_used),
        cmocka_unit_test(more_than_there_are_is_refused_or_not),
        cmocka_unit_test(a_host_without_memory_is_an_error),
        cmocka_unit_test(those_set_aside_are_used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
