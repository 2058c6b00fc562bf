/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/kv_pool.h"

/* ---- List of reuse -------------------------------------------------------------------------- */

static void list_insert(lls_kv_pool_t *p, uint32_t b, uint32_t before)
{
    uint32_t prev = p->blocks[before].prev;

    lls_assert(!p->blocks[b].listed && b != 0);
    p->blocks[b].prev = prev;
    p->blocks[b].next = before;
    p->blocks[prev].next = b;
    p->blocks[before].prev = b;
    p->blocks[b].listed = 1;
    p->n_free++;
}

static void list_remove(lls_kv_pool_t *p, uint32_t b)
{
    lls_kv_block_t *blk = &p->blocks[b];

    lls_assert(blk->listed && b != 0);
    p->blocks[blk->prev].next = blk->next;
    p->blocks[blk->next].prev = blk->prev;
    blk->listed = 0;
    p->n_free--;
}

/* ---- Prefix index --------------------------------------------------------------------------- */

static uint32_t bucket_of(const lls_kv_pool_t *p, lls_hash128_t h, uint32_t group)
{
    return (uint32_t)(h.lo ^ (h.hi + group * 0x9e3779b9u)) & p->mask;
}

uint32_t lls_kv_pool_find(const lls_kv_pool_t *p, lls_hash128_t h, uint32_t group)
{
    uint32_t b = p->buckets[bucket_of(p, h, group)];

    while (b != 0) {
        const lls_kv_block_t *blk = &p->blocks[b];
        if (blk->hash.lo == h.lo && blk->hash.hi == h.hi && blk->group == group)
            break;
        b = blk->chain;
    }
    return b;
}

void lls_kv_pool_publish(lls_kv_pool_t *p, uint32_t b, lls_hash128_t h, uint32_t group)
{
    lls_kv_block_t *blk = &p->blocks[b];
    uint32_t        bucket = bucket_of(p, h, group);

    lls_assert(!blk->hashed && b != 0);
    blk->hash = h;
    blk->group = (uint8_t)group;
    blk->hashed = 1;
    blk->chain = p->buckets[bucket];
    p->buckets[bucket] = b;
}

static void index_remove(lls_kv_pool_t *p, uint32_t b)
{
    lls_kv_block_t *blk = &p->blocks[b];
    uint32_t       *at = &p->buckets[bucket_of(p, blk->hash, blk->group)];

    while (*at != b)
        at = &p->blocks[*at].chain;
    *at = blk->chain;
    blk->hashed = 0;
}

void lls_kv_pool_unpublish(lls_kv_pool_t *p, uint32_t b) { index_remove(p, b); }

void lls_kv_pool_forget(lls_kv_pool_t *p)
{
    for (uint32_t b = 1; b < p->n_blocks; b++)
        if (p->blocks[b].hashed)
            index_remove(p, b);
}

/* ---- Holders -------------------------------------------------------------------------------- */

uint32_t lls_kv_pool_take(lls_kv_pool_t *p)
{
    uint32_t b = p->blocks[0].next;

    lls_assert(b != 0);
    list_remove(p, b);
    if (p->blocks[b].hashed)
        index_remove(p, b);         /* the eviction */
    p->blocks[b].ref = 1;
    return b;
}

void lls_kv_pool_hold(lls_kv_pool_t *p, uint32_t b)
{
    if (p->blocks[b].ref++ == 0)
        list_remove(p, b);
}

bool lls_kv_pool_drop(lls_kv_pool_t *p, uint32_t b, uint32_t left, uint32_t index)
{
    lls_assert(p->blocks[b].ref > 0);
    if (--p->blocks[b].ref > 0)
        return false;
    p->blocks[b].left = left;
    p->blocks[b].index = index;
    /* Unhashed: worth nothing, so reuse it first.  Hashed: last in the line. */
    list_insert(p, b, p->blocks[b].hashed ? 0 : p->blocks[0].next);
    return true;
}

/* ---- Create --------------------------------------------------------------------------------- */

bool lls_kv_pool_init(lls_kv_pool_t *p, lls_mem_t *mem, uint32_t n_blocks)
{
    size_t n_buckets = 16;

    while (n_buckets < n_blocks)
        n_buckets *= 2;
    p->n_blocks = n_blocks;
    p->mask = (uint32_t)(n_buckets - 1);
    p->blocks = lls_calloc(mem, n_blocks, sizeof *p->blocks);
    p->buckets = lls_calloc(mem, n_buckets, sizeof *p->buckets);
    if (p->blocks == NULL || p->buckets == NULL)
        return false;
    for (uint32_t b = 1; b < n_blocks; b++)
        list_insert(p, b, 0);
    return true;
}

void lls_kv_pool_deinit(lls_kv_pool_t *p, lls_mem_t *mem)
{
    lls_free(mem, p->blocks);
    lls_free(mem, p->buckets);
    p->blocks = NULL;
    p->buckets = NULL;
}

/* ---- Check ---------------------------------------------------------------------------------- */

/* K8: unhashed before hashed, those by age, and of one release the tail before the head. */
static bool in_order(const lls_kv_block_t *a, const lls_kv_block_t *b)
{
    if (!a->hashed || !b->hashed)
        return !a->hashed;
    if (a->left != b->left)
        return (int32_t)(a->left - b->left) < 0;
    return a->group != b->group || a->index == 0 || a->index > b->index;
}

static const char *check_list(const lls_kv_pool_t *p)
{
    uint32_t n = 0, b, last = 0;

    for (b = p->blocks[0].next; b != 0; last = b, b = p->blocks[b].next) {
        if (p->blocks[b].prev != last || !p->blocks[b].listed || ++n > p->n_free)
            return "K3 free list broken";
        if (p->blocks[b].ref != 0)
            return "K1 a held block is on the free list";
        if (last != 0 && !in_order(&p->blocks[last], &p->blocks[b]))
            return "K8 wrong order of reuse";
    }
    return n == p->n_free ? NULL : "K3 free count";
}

static const char *check_index(const lls_kv_pool_t *p)
{
    uint32_t n_hashed = 0, n_found = 0;

    for (uint32_t b = 1; b < p->n_blocks; b++)
        n_hashed += p->blocks[b].hashed;
    for (uint32_t i = 0; i <= p->mask; i++)
        for (uint32_t b = p->buckets[i]; b != 0; b = p->blocks[b].chain) {
            if (!p->blocks[b].hashed || ++n_found > n_hashed)
                return "K4 index lists an unhashed block";
            if (bucket_of(p, p->blocks[b].hash, p->blocks[b].group) != i)
                return "K4 block in the wrong bucket";
        }
    return n_found == n_hashed ? NULL : "K4 a hashed block is not in the index";
}

const char *lls_kv_pool_check(lls_kv_pool_t *p)
{
    const char *bad = check_list(p);

    for (uint32_t b = 0; b < p->n_blocks; b++)
        p->blocks[b].seen = 0;
    return bad != NULL ? bad : check_index(p);
}

const char *lls_kv_pool_check_refs(const lls_kv_pool_t *p)
{
    for (uint32_t b = 1; b < p->n_blocks; b++) {
        if (p->blocks[b].ref != p->blocks[b].seen)
            return "K2 ref is not the number of holders";
        if ((p->blocks[b].seen == 0) != p->blocks[b].listed)
            return "K1 block neither held nor listed";
    }
    return NULL;
}
