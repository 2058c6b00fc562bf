/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_pool - blocks of one size: who is free, who can be found again, who is evicted next.
 *
 * A block is free (ref 0, no hash), cached (ref 0, hashed) or held (ref = holders).  Free and
 * cached blocks are on one list in order of reuse: unhashed blocks first, then the longest unused,
 * tails of sequences before their heads.  Block 0 is the null block: it fills holes in tables, is
 * never read, and its links are the list's head.
 *
 * Inside lib/kv only.
 */
#ifndef LLS_KV_KV_POOL_H
#define LLS_KV_KV_POOL_H

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"

typedef struct lls_kv_block {
    lls_hash128_t hash;
    uint32_t      ref;
    uint32_t      prev, next;       /* list of reuse; block 0 is its head */
    uint32_t      chain;            /* next in the index bucket */
    uint32_t      left, index;      /* which release, which table entry: for the check only */
    uint32_t      seen;             /* holders counted by the check */
    uint8_t       hashed, group, listed, zero;
} lls_kv_block_t;

typedef struct lls_kv_pool {
    lls_kv_block_t *blocks;
    uint32_t       *buckets;        /* hash index: first block of a chain, 0 = empty */
    uint32_t        n_blocks, n_free, mask;
} lls_kv_pool_t;

bool lls_kv_pool_init(lls_kv_pool_t *p, lls_mem_t *mem, uint32_t n_blocks);
void lls_kv_pool_deinit(lls_kv_pool_t *p, lls_mem_t *mem);

/* The next in the line, forgotten by the index, with one holder.  There must be one. */
uint32_t lls_kv_pool_take(lls_kv_pool_t *p);
/* One more holder of a block that is held or cached. */
void     lls_kv_pool_hold(lls_kv_pool_t *p, uint32_t b);
/* One holder less; true if it was the last.  left and index order the check. */
bool     lls_kv_pool_drop(lls_kv_pool_t *p, uint32_t b, uint32_t left, uint32_t index);

/* 0 = no block has this content. */
uint32_t lls_kv_pool_find(const lls_kv_pool_t *p, lls_hash128_t h, uint32_t group);
/* Equal content may be findable more than once: tables only grow, so copies are never merged. */
void     lls_kv_pool_publish(lls_kv_pool_t *p, uint32_t b, lls_hash128_t h, uint32_t group);
/* A block that can be found is that no more; its holders keep it. */
void     lls_kv_pool_unpublish(lls_kv_pool_t *p, uint32_t b);
/* Nothing can be found any more. */
void     lls_kv_pool_forget(lls_kv_pool_t *p);

/* NULL or what is wrong with list and index; seen is cleared. */
const char *lls_kv_pool_check(lls_kv_pool_t *p);
/* To follow when every holder has counted itself in `seen`. */
const char *lls_kv_pool_check_refs(const lls_kv_pool_t *p);

#endif
