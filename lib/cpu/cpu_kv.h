/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_kv - how a block of the cache lies in memory.
 *
 * One layer's page of a block has, for each head, a K panel, a V panel and, for int8, the scales:
 *   float32   K [D][T]             V [P / 32][T][32]
 *   float16   K [D][T]             V [P / 32][T][32]
 *   bfloat16  K [D / 2][T][2]      V [P / 32][T / 2][32][2]
 *   int8      K [D' / 4][T][4]     V [P / 32][T / 2][32][2]     scales of K [T], of V [T], float32
 * T is block_tokens; D is head_dim, even; P is D rounded up to 32 and D' to 4, the dimensions
 * behind D are never looked at or count for nothing.  Tokens lie along K's lanes and dimensions
 * along V's, so that neither q k nor p v sums across lanes; the pairs of bfloat16 widen to two
 * vectors with a shift and a mask, fours and pairs of bytes are what instructions multiply.
 *
 * int8: value = scale * q of a token and head, -127 <= q <= 127; K is stored as q + 128 (without
 * sign), V as q.  A scale is NaN if a value was not finite.  float16 saturates at 65504, and only
 * NaNs stay what they were: an infinity times a weight of 0 would be one.
 *
 * Blocks may hold anything before they are written, NaNs included, and a weight of 0 must give 0.
 * So attention reads no token of V at or beyond the context, but one: the odd neighbour of the last
 * token in its pair.  Writing an even token clears it in bfloat16; in int8 any byte will do.
 */
#ifndef LLS_CPU_KV_H
#define LLS_CPU_KV_H

#include "cpu/cpu_int.h"

#define LLS_KV_V_DIMS 32u           /* dimensions of V that lie together */
#define LLS_KV_MAX_DIM 4096u        /* of a head, as the model's traits have it */

typedef struct lls_kv_layout {
    uint32_t dtype, block_tokens, head_dim, padded_dim;
    uint32_t size;                  /* bytes of a value */
    uint32_t k_pack, v_pack;        /* dimensions of K, tokens of V that lie together */
    size_t   v_offset;              /* from a head's K panel to its V panel */
    size_t   v_group;               /* from 32 dimensions of V to the next 32 */
    size_t   scales;                /* from a head's K panel to the scales */
    size_t   head_bytes;
} lls_kv_layout_t;

lls_kv_layout_t lls_kv_layout(uint32_t dtype, uint32_t block_tokens, uint32_t head_dim);

/* Where value d of token r of the block lies in the panels of a head. */
static inline size_t lls_kv_k_at(const lls_kv_layout_t *l, uint32_t r, uint32_t d)
{
    return (((size_t)(d / l->k_pack) * l->block_tokens + r) * l->k_pack + d % l->k_pack) * l->size;
}

static inline size_t lls_kv_v_at(const lls_kv_layout_t *l, uint32_t r, uint32_t d)
{
    size_t at = (size_t)(r / l->v_pack) * LLS_KV_V_DIMS + d % LLS_KV_V_DIMS;

    at = at * l->v_pack + r % l->v_pack;
    return l->v_offset + d / LLS_KV_V_DIMS * l->v_group + at * l->size;
}

/* int8: the scales of K of all tokens of a block, then those of V. */
static inline float *lls_kv_scales(const lls_kv_layout_t *l, const uint8_t *head)
{
    return (float *)(head + l->scales);
}

static inline uint8_t *lls_kv_head(const lls_pages_t *pages, const lls_kv_layout_t *l,
                                   uint32_t block, uint32_t head)
{
    return pages->base + block * pages->block_bytes + head * l->head_bytes;
}

#endif
