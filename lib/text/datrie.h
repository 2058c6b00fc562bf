/* SPDX-License-Identifier: Apache-2.0 */
/*
 * datrie - a double-array trie from byte strings to ids: all keys that a text begins with, in one
 * load and one compare a byte.  Keys may hold any byte, NUL too.  Built once, then read only.
 */
#ifndef LLS_TEXT_DATRIE_H
#define LLS_TEXT_DATRIE_H

#include "base/mem.h"
#include "base/num.h"

typedef struct lls_datrie_unit {
    uint32_t base;          /* of its children: child of byte c is unit base + c; 0 = no children */
    uint32_t check;         /* index of its parent, plus 1; 0 = free */
    uint32_t value;         /* id of the key that ends here; LLS_NONE = none */
} lls_datrie_unit_t;

typedef struct lls_datrie {
    lls_datrie_unit_t *units;
    size_t             n, cap;
    size_t             free_from;       /* no free unit is before it */
} lls_datrie_t;

typedef struct lls_datrie_key {
    const char *text;
    uint32_t    len;
    uint32_t    value;
} lls_datrie_key_t;

/* Of equal keys that of the largest value counts.  False: no memory. */
bool lls_datrie_build(lls_datrie_t *t, lls_mem_t *mem, const lls_datrie_key_t *keys, uint32_t n);
void lls_datrie_deinit(lls_datrie_t *t, lls_mem_t *mem);

/* The longest key that text begins with: its length, 0 if there is none. */
size_t lls_datrie_longest(const lls_datrie_t *t, const char *text, size_t len, int32_t *value);

#define LLS_DATRIE_ROOT 0u

/* The node behind byte c, or LLS_NONE. */
static inline uint32_t lls_datrie_step(const lls_datrie_t *t, uint32_t node, uint8_t c)
{
    uint32_t at = t->units[node].base + c;

    return t->units[at].check == node + 1 ? at : LLS_NONE;
}

#endif
