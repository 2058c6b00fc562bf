/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_kind - which earlier tokens a layer looks at, and how the cache is divided accordingly.
 *
 * Layers of one kind form a group; a group draws its blocks from a pool of blocks of equal size in
 * bytes.  One rule, lls_kv_first_needed(), serves the search for cached prefixes, the freeing of
 * blocks behind a window, and the mask of attention in the runner.  Integers only.
 */
#ifndef LLS_STEP_KV_KIND_H
#define LLS_STEP_KV_KIND_H

#include "base/num.h"

#define LLS_MAX_GROUPS 8

/* ORDER kv kind.  MLA is FULL with other pages. */
enum lls_kv_kind {
    LLS_KV_FULL,        /* every earlier token */
    LLS_KV_SLIDING,     /* the last `window` tokens, the token itself included */
    LLS_KV_CHUNKED,     /* the tokens of its own chunk of `window` tokens */
    LLS_KV_STATE        /* recurrent state: block j holds the state after the tokens of block j */
};

typedef struct lls_kv_group_config {
    uint8_t  kind;                  /* enum lls_kv_kind */
    uint8_t  pool;
    uint16_t zero;
    uint32_t block_tokens;          /* a power of two times the smallest of all groups */
    uint32_t window;
} lls_kv_group_config_t;

typedef struct lls_kv_config {
    uint32_t              n_groups;     /* 0: a model without cache */
    uint32_t              n_pools;
    lls_kv_group_config_t group[LLS_MAX_GROUPS];
    uint32_t              pool_blocks[LLS_MAX_GROUPS];  /* null block included */
    uint64_t              key[2];       /* of the hash; equal on all ranks and in a shared tier */
    bool                  caching;
    uint8_t               drop_last;    /* blocks to drop from a hit: EAGLE recomputes the last */
} lls_kv_config_t;

/* First token that the token at position `at` needs of a group. */
static inline uint32_t lls_kv_first_needed(const lls_kv_group_config_t *g, uint32_t at)
{
    switch (g->kind) {
    case LLS_KV_SLIDING: return lls_sub_u32(at + 1, g->window);
    case LLS_KV_CHUNKED: return at - at % g->window;
    case LLS_KV_STATE:   return lls_sub_u32(at, 1);
    default:             return 0;
    }
}

#endif
