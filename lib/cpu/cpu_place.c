/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who touches memory first.  The kernel puts a page on the node of the thread that writes to it
 * first, so where members of the pool keep to their CPUs (cpu-affinity) these functions choose the
 * node.  A page is the business of the member that has its first byte.
 *
 * With one node pages are touched before as well: to clear them is all that some take long for, as
 * in a virtual machine whose memory the host has yet to find.  All members do it side by side,
 * while in packing they would wait for each other's.
 */
#include <unistd.h>

#include "base/cpus.h"
#include "cpu/cpu_int.h"

#define PIECE     (2u << 20)        /* a transparent huge page is one member's */
#define MAX_ITEMS 4096u

static size_t page_size(void) { return (size_t)sysconf(_SC_PAGESIZE); }

/* Pages that begin in [begin, end). */
static void touch(uint8_t *begin, uint8_t *end, size_t page)
{
    for (uintptr_t p = lls_align_up((uintptr_t)begin, page); p < (uintptr_t)end; p += page)
        *(volatile uint8_t *)p = 0;
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

typedef struct stretch {
    uint8_t *begin, *end;
    size_t   page;
    uint32_t n_pieces, n_members;
} stretch_t;

static stretch_t stretch_of(const lls_cpu_t *cpu, uint8_t *begin, size_t bytes)
{
    size_t ends = (uintptr_t)begin % PIECE + bytes;

    return (stretch_t){ .begin = begin, .end = begin + bytes, .page = page_size(),
                        .n_pieces = (uint32_t)((ends + PIECE - 1) / PIECE),
                        .n_members = cpu->n_threads };
}

static void touch_piece(const stretch_t *s, uint32_t p)
{
    uint8_t *at = s->begin - (uintptr_t)s->begin % PIECE + (size_t)p * PIECE;

    touch(p == 0 ? s->begin : at, p + 1 == s->n_pieces ? s->end : at + PIECE, s->page);
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

void lls_cpu_place_shares(lls_cpu_t *cpu, void *at, size_t n, lls_mat_bytes_fn bytes_of,
                          const void *user)
{
    matrices_t m = { .at = at, .n = n, .page = page_size(), .bytes_of = bytes_of, .user = user,
                     .n_members = cpu->n_threads };

    lls_pool_run_each(cpu->pool, touch_shares, &m);
}

void lls_cpu_place(void *backend, void *at, size_t n, lls_mat_bytes_fn bytes_of, const void *user)
{
    size_t bytes = 0;

    if (lls_n_nodes(LLS_NODES) > 1) {
        lls_cpu_place_shares(backend, at, n, bytes_of, user);
        return;
    }
    for (size_t i = 0; i < n; i++)
        bytes += bytes_of(user, i);
    lls_cpu_touch(backend, at, bytes);
}

/* ---- What is nobody's own -------------------------------------------------------------------- */

static void touch_in_turn(void *arg, uint32_t item, uint32_t ith)
{
    const stretch_t *s = arg;

    for (uint32_t p = ith; p < s->n_pieces; p += s->n_members)
        touch_piece(s, p);
}

void lls_cpu_place_in_turn(lls_cpu_t *cpu, void *at, size_t bytes)
{
    stretch_t s = stretch_of(cpu, at, bytes);

    lls_pool_run_each(cpu->pool, touch_in_turn, &s);
}

static void touch_some(void *arg, uint32_t item, uint32_t ith)
{
    const stretch_t *s = arg;
    uint32_t         begin, end;

    lls_share(s->n_pieces, 1, item, lls_min_u32(s->n_pieces, MAX_ITEMS), &begin, &end);
    for (; begin < end; begin++)
        touch_piece(s, begin);
}

void lls_cpu_touch(lls_cpu_t *cpu, void *at, size_t bytes)
{
    stretch_t s = stretch_of(cpu, at, bytes);

    lls_pool_run(cpu->pool, lls_min_u32(s.n_pieces, MAX_ITEMS), touch_some, &s);
}

/* ---- Work that is no op ---------------------------------------------------------------------- */

void lls_cpu_run(void *backend, uint32_t n, lls_pool_fn fn, void *arg)
{
    const lls_cpu_t *cpu = backend;

    lls_pool_run(cpu->pool, n, fn, arg);
}
