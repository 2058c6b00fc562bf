/* SPDX-License-Identifier: Apache-2.0 */
/* Where memory would lie on a machine with several nodes, found out on one with any: a pool that
 * plays its members one after the other, and pages that tell who comes to them first.  A page is
 * near who touched it first. */
#include "unit/test.h"

#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu/cpu_int.h"

#define N_MEMBERS 4u
#define BYTES     (48u << 20)
#define NOBODY    0xffu

/* ---- Pages that tell ------------------------------------------------------------------------- */

static uint8_t *memory;
static size_t   page, n_pages;
static uint32_t member;             /* whose turn it is */
static uint8_t  owner[BYTES / 4096];
static uint64_t n_reads, n_near;
static bool     reading;

static void come_to_page(int number, siginfo_t *info, void *context)
{
    size_t at = (size_t)((uint8_t *)info->si_addr - memory) / page;

    if ((uint8_t *)info->si_addr < memory || at >= n_pages)
        abort();
    mprotect(memory + at * page, page, PROT_READ | PROT_WRITE);
    if (!reading) {
        owner[at] = (uint8_t)member;
        return;
    }
    n_reads++;
    n_near += owner[at] == member;
}

static void hide_pages(void) { assert_int_equal(mprotect(memory, BYTES, PROT_NONE), 0); }

static int make_pages(void **state)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    n_pages = BYTES / page;
    memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED;
}

/* cmocka has a handler of its own in each test. */
static void forget_owners(void)
{
    struct sigaction sa = { .sa_sigaction = come_to_page, .sa_flags = SA_SIGINFO | SA_NODEFER };

    assert_int_equal(sigaction(SIGSEGV, &sa, NULL), 0);
    memset(owner, NOBODY, sizeof owner);
    reading = false;
    hide_pages();
}

/* ---- A pool that nobody helps ---------------------------------------------------------------- */

struct lls_pool { uint32_t n; };

llm_status_t lls_pool_create(lls_mem_t *mem, uint32_t n, lls_pool_t **out, llm_error_t *err)
{
    static lls_pool_t pool;

    pool.n = n;
    *out = &pool;
    return LLM_OK;
}

void     lls_pool_destroy(lls_pool_t *pool) { }
uint32_t lls_pool_n(const lls_pool_t *pool) { return pool->n; }

llm_status_t lls_pool_bind(lls_pool_t *pool, const char *option, const lls_cpu_list_t *cpus,
                           llm_error_t *err)
{
    return LLM_OK;
}

/* Each member does its own range; what it reads it comes to anew. */
void lls_pool_run(lls_pool_t *pool, uint32_t n_items, lls_pool_fn fn, void *arg)
{
    for (member = 0; member < pool->n; member++) {
        uint32_t begin, end;

        if (reading)
            hide_pages();
        lls_share(n_items, 1, member, pool->n, &begin, &end);
        for (; begin < end; begin++)
            fn(arg, begin, member);
    }
    member = 0;
}

void lls_pool_run_each(lls_pool_t *pool, lls_pool_fn fn, void *arg)
{
    lls_pool_run(pool, pool->n, fn, arg);
}

/* ---- Matrices -------------------------------------------------------------------------------- */

static lls_cpu_t *cpu_of(lls_mem_t *mem)
{
    lls_cpu_t *cpu;

    lls_mem_init(mem, NULL);
    assert_int_equal(lls_cpu_create(mem, N_MEMBERS, "auto", &cpu, NULL), LLM_OK);
    return cpu;
}

typedef struct matrix {
    uint32_t in, out, scheme;
    size_t   at;                    /* in memory, no multiple of a page */
} matrix_t;

static void multiply(lls_cpu_t *cpu, const matrix_t *m, const lls_wmat_t *w, uint32_t rows)
{
    lls_exec_t   x = { .ops = lls_cpu_ops(cpu), .backend = cpu, .planning = true };
    lls_linear_t p = { .w = w, .in = m->in, .out = m->out };
    lls_tensor_t in = { .dtype = LLS_F32, .n_dims = 2, .shape = { rows, m->in },
                        .stride = { m->in, 1 } };
    lls_tensor_t out = { .dtype = LLS_F32, .n_dims = 2, .shape = { rows, m->out },
                         .stride = { m->out, 1 } };

    in.data = calloc((size_t)rows * m->in, sizeof(float));
    out.data = calloc((size_t)rows * m->out, sizeof(float));
    x.ops->linear(&x, &out, &in, &p);
    x.planning = false;
    x.scratch_cap = x.scratch_peak;
    x.arena = aligned_alloc(64, lls_align_up(x.scratch_cap, 64));
    assert_true(in.data != NULL && out.data != NULL && x.arena != NULL);
    x.ops->linear(&x, &out, &in, &p);
    free(in.data);
    free(out.data);
    free(x.arena);
}

/* Of a matrix that is all there is, and an empty one. */
static size_t bytes_of(const void *user, size_t mat)
{
    return mat == 0 ? *(const size_t *)user : 0;
}

/* The share of a matrix's pages that are near who reads them.  With `place` its members touch them
 * first, else the thread that loads does, as it would by reading a file or clearing memory. */
static double near_share(const matrix_t *m, bool place)
{
    lls_mem_t    mem;
    lls_cpu_t   *cpu = cpu_of(&mem);
    uint8_t     *data = calloc(m->out, lls_scheme_row_bytes(m->scheme, m->in));
    lls_wpart_t  part = { .scheme = m->scheme, .out = m->out, .in = m->in, .data = data };
    lls_wspec_t  spec = { .parts = &part, .n_parts = 1, .use = LLS_USE_LINEAR,
                          .dtype = LLS_BF16 };
    size_t       bytes = lls_cpu_pack_size(&spec);
    lls_wmat_t  *w;

    assert_true(data != NULL && m->at + bytes <= BYTES);
    forget_owners();
    if (place)
        lls_cpu_place_shares(cpu, memory + m->at, 2, bytes_of, &bytes);
    else
        memset(memory + m->at, 0, bytes);
    w = lls_cpu_ops(cpu)->pack(cpu, &spec, memory + m->at);
    n_reads = n_near = 0;
    reading = true;
    multiply(cpu, m, w, 1);
    multiply(cpu, m, w, 7);
    assert_true(n_reads >= bytes / page);
    free(data);
    lls_cpu_destroy(cpu);
    return (double)n_near / (double)n_reads;
}

static void weights_are_near_who_multiplies_them(void **state)
{
    static const matrix_t matrices[] = {
        { 2048, 2048, LLS_W_BF16, 0 },
        { 1024, 3000, LLS_W_Q4_0, 64 },     /* panels that no number of members divides */
        { 4096, 4000, LLS_W_Q8_0, 4096 * 3 + 128 },
        { 2048, 1500, LLS_W_Q4_K, 1u << 20 },
    };

    for (uint32_t i = 0; i < LLS_ARRAY_LEN(matrices); i++) {
        double placed = near_share(&matrices[i], true);
        double loaded = near_share(&matrices[i], false);

        print_message("matrix %u: %.1f %% of the reads are near; touched by the loading thread "
                      "%.1f %%\n", i, 100 * placed, 100 * loaded);
        assert_true(placed > 0.93);
        assert_true(loaded < 0.5);          /* a test that cannot fail shows nothing */
    }
}

/* ---- The cache ------------------------------------------------------------------------------- */

/* Whoever attends to whatever part of the cache has its share of it near. */
static void the_cache_lies_near_all_alike(void **state)
{
    lls_mem_t  mem;
    lls_cpu_t *cpu = cpu_of(&mem);

    for (uint32_t again = 0; again < 3; again++) {
        size_t at = again * 12288, stretch = (16u << 20) / page;

        forget_owners();
        lls_cpu_place_in_turn(cpu, memory + at, BYTES - at);
        for (size_t i = 0; i < n_pages; i++)
            if ((owner[i] == NOBODY) != (i * page < at))
                fail_msg("page %zu belongs to %u", i, owner[i]);
        for (size_t first = at / page; first + stretch <= n_pages; first += 77) {
            size_t n[N_MEMBERS] = { 0 };

            for (size_t i = first; i < first + stretch; i++)
                n[owner[i]]++;
            for (uint32_t i = 0; i < N_MEMBERS; i++)
                if (n[i] != stretch / N_MEMBERS)
                    fail_msg("member %u has %zu of %zu pages from %zu on", i, n[i], stretch,
                             first);
        }
    }
    lls_cpu_destroy(cpu);
}

/* All of a stretch comes, no page of another's, and a huge page by one member. */
static void every_page_comes_once(void **state)
{
    const size_t piece = 2u << 20, at = 12288, bytes = BYTES - 3 * at;
    lls_mem_t    mem;
    lls_cpu_t   *cpu = cpu_of(&mem);
    uint32_t     seen = 0;

    forget_owners();
    lls_cpu_touch(cpu, memory + at, bytes);
    for (size_t i = 0; i < n_pages; i++) {
        bool   within = i * page >= at && i * page < at + bytes;
        bool   begins = (uintptr_t)(memory + i * page) % piece == 0;

        if ((owner[i] != NOBODY) != within)
            fail_msg("page %zu belongs to %u", i, owner[i]);
        if (!within)
            continue;
        seen |= 1u << owner[i];
        if (i * page > at && !begins)
            assert_int_equal(owner[i], owner[i - 1]);
    }
    assert_int_equal(seen, (1u << N_MEMBERS) - 1);
    lls_cpu_destroy(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_are_near_who_multiplies_them),
        cmocka_unit_test(the_cache_lies_near_all_alike),
        cmocka_unit_test(every_page_comes_once),
    };

    return cmocka_run_group_tests(tests, make_pages, NULL);
}
