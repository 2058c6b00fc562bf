/* SPDX-License-Identifier: Apache-2.0 */
#include "text/datrie.h"

#include <string.h>

#include "base/sort.h"

static const lls_datrie_unit_t free_unit = { 0, 0, LLS_NONE };

/* Units up to `need`, and 256 more, so that a step needs no check of bounds. */
static bool grow(lls_datrie_t *t, lls_mem_t *mem, size_t need)
{
    need += 256;
    if (need < t->n)
        return true;
    if (need > UINT32_MAX / 2 ||
        !lls_reserve(mem, (void **)&t->units, &t->cap, need + 1, sizeof *t->units))
        return false;
    while (t->n <= need)
        t->units[t->n++] = free_unit;
    return true;
}

/* A base at which all of the bytes are free. */
static bool find_base(lls_datrie_t *t, lls_mem_t *mem, const uint8_t *bytes, size_t n,
                      uint32_t *base)
{
    size_t tried = 0;

    while (t->free_from < t->n && t->units[t->free_from].check != 0)
        t->free_from++;
    for (size_t at = t->free_from;; at++) {
        size_t b = at - bytes[0], k = 0;

        if (!grow(t, mem, at + 256))
            return false;
        if (at <= bytes[0] || t->units[at].check != 0)
            continue;
        while (k < n && t->units[b + bytes[k]].check == 0)
            k++;
        if (k == n) {
            *base = (uint32_t)b;
            break;
        }
        /* Where hardly anything fits the holes are given up, or building would take O(n^2). */
        if (++tried == 64)
            t->free_from = at;
    }
    return true;
}

/* The keys [lo, hi) share their first `depth` bytes, which lead to `node`. */
static bool place(lls_datrie_t *t, lls_mem_t *mem, uint32_t node, const lls_datrie_key_t *keys,
                  size_t lo, size_t hi, uint32_t depth)
{
    uint8_t  bytes[256];
    size_t   n = 0;
    uint32_t base;

    for (; lo < hi && keys[lo].len == depth; lo++)
        t->units[node].value = keys[lo].value;
    for (size_t i = lo; i < hi; i++) {
        uint8_t c = (uint8_t)keys[i].text[depth];

        if (n == 0 || bytes[n - 1] != c)
            bytes[n++] = c;
    }
    if (n == 0)
        return true;
    if (!find_base(t, mem, bytes, n, &base))
        return false;
    t->units[node].base = base;
    for (size_t k = 0; k < n; k++)
        t->units[base + bytes[k]].check = node + 1;
    return true;
}

static int by_text(const void *ctx, uint32_t a, uint32_t b)
{
    const lls_datrie_key_t *keys = ctx, *x = &keys[a], *y = &keys[b];
    int                     c = lls_cmp_text(x->text, x->len, y->text, y->len);

    return c != 0 ? c : (x->value > y->value) - (x->value < y->value);
}

static lls_datrie_key_t *sorted(lls_mem_t *mem, const lls_datrie_key_t *keys, uint32_t n)
{
    uint32_t         *order = lls_calloc(mem, n + 1u, sizeof *order);
    lls_datrie_key_t *out = lls_calloc(mem, n + 1u, sizeof *out);

    for (uint32_t i = 0; order != NULL && i < n; i++)
        order[i] = i;
    if (order != NULL && out != NULL)
        lls_sort_ids(order, n, by_text, keys);
    for (uint32_t i = 0; order != NULL && out != NULL && i < n; i++)
        out[i] = keys[order[i]];
    if (order == NULL) {
        lls_free(mem, out);
        out = NULL;
    }
    lls_free(mem, order);
    return out;
}

/* A node whose children are still to be placed; a list of them, so that a long key costs no
 * stack. */
typedef struct todo {
    uint32_t node, depth;
    size_t   lo, hi;
} todo_t;

static bool put_todos(lls_mem_t *mem, const lls_datrie_t *t, const lls_datrie_key_t *keys,
                      todo_t at, todo_t **list, size_t *n, size_t *cap)
{
    size_t lo = at.lo;

    while (lo < at.hi && keys[lo].len == at.depth)
        lo++;
    while (lo < at.hi) {
        uint8_t c = (uint8_t)keys[lo].text[at.depth];
        size_t  hi = lo + 1;

        while (hi < at.hi && (uint8_t)keys[hi].text[at.depth] == c)
            hi++;
        if (!lls_reserve(mem, (void **)list, cap, *n + 1, sizeof **list))
            return false;
        (*list)[(*n)++] = (todo_t){ t->units[at.node].base + c, at.depth + 1, lo, hi };
        lo = hi;
    }
    return true;
}

bool lls_datrie_build(lls_datrie_t *t, lls_mem_t *mem, const lls_datrie_key_t *unsorted, uint32_t n)
{
    lls_datrie_key_t *keys = sorted(mem, unsorted, n);
    todo_t           *list = NULL, at = { LLS_DATRIE_ROOT, 0, 0, n };
    size_t            n_list = 0, cap = 0;
    bool              ok;

    memset(t, 0, sizeof *t);
    ok = keys != NULL && grow(t, mem, 0);
    if (ok) {
        t->units[LLS_DATRIE_ROOT].check = UINT32_MAX;
        t->free_from = 1;
    }
    while (ok) {
        ok = place(t, mem, at.node, keys, at.lo, at.hi, at.depth) &&
             put_todos(mem, t, keys, at, &list, &n_list, &cap);
        if (!ok || n_list == 0)
            break;
        at = list[--n_list];
    }
    lls_free(mem, list);
    lls_free(mem, keys);
    return ok;
}

void lls_datrie_deinit(lls_datrie_t *t, lls_mem_t *mem)
{
    lls_free(mem, t->units);
    memset(t, 0, sizeof *t);
}

size_t lls_datrie_longest(const lls_datrie_t *t, const char *text, size_t len, int32_t *value)
{
    uint32_t node = LLS_DATRIE_ROOT;
    size_t   found = 0;

    for (size_t i = 0; i < len;) {
        node = lls_datrie_step(t, node, (uint8_t)text[i++]);
        if (node == LLS_NONE)
            break;
        if (t->units[node].value != LLS_NONE) {
            *value = (int32_t)t->units[node].value;
            found = i;
        }
    }
    return found;
}
