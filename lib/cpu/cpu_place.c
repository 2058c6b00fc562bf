/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who touches memory first.  The kernel puts a page on the node of the thread that writes to it
 * first, so where members of the pool keep to their CPUs (cpu-affinity) these functions choose the
 * node.  A page is the business of the member that has its first byte.
 */
#include <unistd.h>

#include "cpu/cpu_int.h"

#define PIECE (2u << 20)            /* a transparent huge page is one member's */

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Pages that begin in [begin, end). */
static void touch(uint8_t *begin, uint8_t *end, size_t page)
{
    for (uintptr_t p = lls_align_up((uintptr_t)begin, page); p < (uintptr_t)end; p += page)
        *(volatile uint8_t *)p = 0;
}

/* ---- Matrices -------------------------------------------------------------------------------- */

typedef struct matrices {
    uint8_t         *at;
    size_t           n, page;
    lls_mat_bytes_fn bytes_of;
    const void      *user;
    uint32_t         n_members;
} matrices_t;

/* Panels are dealt out in ranges, each member's being its share of the matrix. */
static void touch_shares(void *arg, uint32_t item, uint32_t ith)
{
    const matrices_t *m = arg;
    uint8_t          *at = m->at;

    for (size_t i = 0; i < m->n; i++) {
        size_t bytes = m->bytes_of(m->user, i);

        touch(at + (size_t)((__uint128_t)bytes * ith / m->n_members),
              at + (size_t)((__uint128_t)bytes * (ith + 1) / m->n_members), m->page);
        at += bytes;
    }
}

void lls_cpu_place(void *backend, void *at, size_t n, lls_mat_bytes_fn bytes_of, const void *user)
{
    const lls_cpu_t *cpu = backend;
    matrices_t       m = { .at = at, .n = n, .page = page_size(), .bytes_of = bytes_of,
                           .user = user, .n_members = cpu->n_threads };

    lls_pool_run_each(cpu->pool, touch_shares, &m);
}

/* ---- What is nobody's own -------------------------------------------------------------------- */

typedef struct stretch {
    uint8_t *begin, *end;
    size_t   page;
    uint32_t n_members;
} stretch_t;

static void touch_in_turn(void *arg, uint32_t item, uint32_t ith)
{
    const stretch_t *s = arg;
    uint8_t         *first = s->begin - (uintptr_t)s->begin % PIECE;
    size_t           n = ((size_t)(s->end - first) + PIECE - 1) / PIECE;

    for (size_t p = ith; p < n; p += s->n_members)
        touch(p == 0 ? s->begin : first + p * PIECE, p + 1 == n ? s->end : first + (p + 1) * PIECE,
              s->page);
}

void lls_cpu_place_in_turn(lls_cpu_t *cpu, void *at, size_t bytes)
{
    stretch_t s = { .begin = at, .end = (uint8_t *)at + bytes, .page = page_size(),
                    .n_members = cpu->n_threads };

    lls_pool_run_each(cpu->pool, touch_in_turn, &s);
}

/* ---- Work that is no op ---------------------------------------------------------------------- */

void lls_cpu_run(void *backend, uint32_t n, lls_pool_fn fn, void *arg)
{
    const lls_cpu_t *cpu = backend;

    lls_pool_run(cpu->pool, n, fn, arg);
}
