/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate - a deterministic mutator of small files: the same seed gives the same bytes anywhere.
 *
 * It knows nothing of a format but what most have: lengths and counts as little-endian words,
 * numbers as decimal digits, and nesting by brackets.
 */
#ifndef LLS_TEST_MUTATE_H
#define LLS_TEST_MUTATE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct mutator {
    uint64_t state;                 /* never 0 */
    uint8_t *data;                  /* room for cap bytes */
    size_t   n, cap;
} mutator_t;

static inline uint64_t mut_next(mutator_t *m)
{
    m->state ^= m->state >> 12;
    m->state ^= m->state << 25;
    m->state ^= m->state >> 27;
    return m->state * 0x2545f4914f6cdd1du;
}

/* 0 .. n - 1; 0 for n = 0 */
static inline size_t mut_below(mutator_t *m, size_t n)
{
    return n == 0 ? 0 : (size_t)((mut_next(m) >> 11) % n);
}

static inline uint64_t mut_number(mutator_t *m)
{
    static const uint64_t edges[] = {
        0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 1000, 32767,
        65535, 1u << 20, INT32_MAX, 1ull << 31, UINT32_MAX, 1ull << 32, 1ull << 40, 1ull << 61,
        1ull << 62, INT64_MAX, 1ull << 63, UINT64_MAX - 31, UINT64_MAX - 7, UINT64_MAX - 1,
        UINT64_MAX,
    };

    return edges[mut_below(m, sizeof edges / sizeof *edges)];
}

/* Replaces n bytes at `at` with others; nothing happens where there is no room. */
static inline void mut_splice(mutator_t *m, size_t at, size_t n, const void *with, size_t n_with)
{
    if (at > m->n || n > m->n - at || m->n - n + n_with > m->cap)
        return;
    memmove(m->data + at + n_with, m->data + at + n, m->n - at - n);
    if (n_with > 0)
        memmove(m->data + at, with, n_with);
    m->n += n_with - n;
}

static inline void mut_word(mutator_t *m)
{
    size_t   bytes = (size_t)1 << mut_below(m, 4), at;
    uint64_t v = mut_number(m);

    if (m->n < bytes)
        return;
    at = mut_below(m, m->n - bytes + 1);
    for (size_t i = 0; i < bytes; i++)
        m->data[at + i] = (uint8_t)(v >> (8 * i));
}

static inline void mut_decimal(mutator_t *m)
{
    size_t at = mut_below(m, m->n), end;
    char   text[24];

    while (at < m->n && (m->data[at] < '0' || m->data[at] > '9'))
        at++;
    for (end = at; end < m->n && m->data[end] >= '0' && m->data[end] <= '9';)
        end++;
    if (end > at)
        mut_splice(m, at, end - at, text,
                   (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)mut_number(m)));
}

static inline void mut_nest(mutator_t *m)
{
    static const char open[] = "[[[[[[[[{\"a\":", close[] = "]]]]]]]]}\"";
    size_t            which = mut_below(m, 2), at = mut_below(m, m->n + 1);
    size_t            n = 1 + mut_below(m, (which == 0 ? sizeof open : sizeof close) - 1);

    mut_splice(m, at, 0, which == 0 ? open : close, n);
}

/* A piece of the file moves, goes or comes twice. */
static inline void mut_piece(mutator_t *m)
{
    uint8_t piece[64];
    size_t  n = 1 + mut_below(m, sizeof piece), from, to;

    if (m->n < n)
        return;
    from = mut_below(m, m->n - n + 1);
    to = mut_below(m, m->n - n + 1);
    memcpy(piece, m->data + from, n);
    switch (mut_below(m, 3)) {
    case 0: mut_splice(m, to, n, piece, n); break;
    case 1: mut_splice(m, from, n, piece, 0); break;
    default: mut_splice(m, to, 0, piece, n); break;
    }
}

static inline void mut_once(mutator_t *m)
{
    size_t at = mut_below(m, m->n);

    switch (mut_below(m, 10)) {
    case 0: case 1: if (m->n > 0) m->data[at] ^= (uint8_t)(1u << mut_below(m, 8)); break;
    case 2: if (m->n > 0) m->data[at] = (uint8_t)mut_next(m); break;
    case 3: case 4: mut_word(m); break;
    case 5: case 6: mut_decimal(m); break;
    case 7: mut_piece(m); break;
    case 8: mut_nest(m); break;
    default: if (mut_below(m, 4) == 0) m->n = at; break;
    }
}

/* The seed file with one to six changes, mostly few. */
static inline void mutate(mutator_t *m, const uint8_t *seed, size_t n)
{
    size_t changes = 1 + mut_below(m, 1 + mut_below(m, 6));

    m->n = n <= m->cap ? n : m->cap;
    memcpy(m->data, seed, m->n);
    while (changes-- > 0)
        mut_once(m);
}

#endif
