/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_kv - how a block of the cache lies in memory.
 *
 * One layer's page of a block has, for each head, a K panel and a V panel:
 *   float32   K [D][block_tokens]         V [P / 32][block_tokens][32]
 *   bfloat16  K [D / 2][block_tokens][2]  V [P / 32][block_tokens / 2][32][2]
 * D is head_dim, even; P is D rounded up to 32, the dimensions behind D are never looked at.
 * Tokens lie along K's lanes and dimensions along V's, so that neither q k nor p v sums across
 * lanes; the pairs of bfloat16 widen to two vectors with a shift and a mask.
 *
 * Blocks may hold anything before they are written, NaNs included, and a weight of 0 must give 0.
 * So attention reads no token of V at or beyond the context, but one: the odd neighbour of the last
 * token in its pair.  Writing an even token clears it.
 */
#ifndef LLS_CPU_KV_H
#define LLS_CPU_KV_H

#include "cpu/cpu_int.h"

#define LLS_KV_V_DIMS 32u           /* dimensions of V that lie together */

typedef struct lls_kv_layout {
    uint32_t dtype, block_tokens, head_dim, padded_dim;
    size_t   v_offset;              /* from a head's K panel to its V panel */
    size_t   v_group;               /* from 32 dimensions of V to the next 32 */
    size_t   head_bytes;
} lls_kv_layout_t;

lls_kv_layout_t lls_kv_layout(uint32_t dtype, uint32_t block_tokens, uint32_t head_dim);

/* Where value d of token r of the block lies in the panels of a head. */
static inline size_t lls_kv_k_at(const lls_kv_layout_t *l, uint32_t r, uint32_t d)
{
    return l->dtype == LLS_F32 ? ((size_t)d * l->block_tokens + r) * 4
                               : ((size_t)(d / 2) * l->block_tokens + r) * 4 + d % 2 * 2;
}

static inline size_t lls_kv_v_at(const lls_kv_layout_t *l, uint32_t r, uint32_t d)
{
    size_t group = l->v_offset + d / LLS_KV_V_DIMS * l->v_group;

    d %= LLS_KV_V_DIMS;
    return l->dtype == LLS_F32 ? group + ((size_t)r * LLS_KV_V_DIMS + d) * 4
                               : group + ((size_t)(r / 2) * LLS_KV_V_DIMS + d) * 4 + r % 2 * 2;
}

static inline uint8_t *lls_kv_head(const lls_pages_t *pages, const lls_kv_layout_t *l,
                                   uint32_t block, uint32_t head)
{
    return pages->base + block * pages->block_bytes + head * l->head_bytes;
}

#endif
