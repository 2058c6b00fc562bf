/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv_hash - the chain of block hashes of a sequence, and where its storage lies: what needs the
 * configuration only.
 */
#include "kv/kv.h"

#include <string.h>

uint32_t lls_kv_hash_tokens(const lls_kv_config_t *c)
{
    uint32_t n = 16;

    for (uint32_t g = 0; g < c->n_groups; g++)
        n = g == 0 ? c->group[g].block_tokens : lls_min_u32(n, c->group[g].block_tokens);
    return n;
}

size_t lls_kv_seq_bytes(const lls_kv_config_t *c, uint32_t cap_tokens)
{
    size_t bytes = ((size_t)cap_tokens / lls_kv_hash_tokens(c) + 1) * sizeof(lls_hash128_t);

    for (uint32_t g = 0; g < c->n_groups; g++)
        bytes += ((size_t)cap_tokens / c->group[g].block_tokens + 2) * sizeof(uint32_t);
    return bytes;
}

void lls_kv_seq_init(const lls_kv_config_t *c, lls_kv_seq_t *seq, void *storage,
                     uint32_t cap_tokens)
{
    uint32_t *at;

    memset(seq, 0, sizeof *seq);
    seq->cap_tokens = cap_tokens;
    seq->hash_tokens = lls_kv_hash_tokens(c);
    seq->hashes = storage;
    at = (uint32_t *)(seq->hashes + cap_tokens / seq->hash_tokens + 1);
    for (uint32_t g = 0; g < c->n_groups; g++) {
        seq->table[g] = at;
        at += cap_tokens / c->group[g].block_tokens + 2;
    }
}

/* How many come first, then each with its place: no choice of tokens can imitate an item. */
static void feed_media(lls_sip_t *s, const lls_kv_ident_t *id, uint32_t first, uint32_t end)
{
    uint32_t i = 0, last;

    while (i < id->n_media && id->media[i].first + id->media[i].n <= first)
        i++;
    for (last = i; last < id->n_media && id->media[last].first < end; last++)
        ;
    lls_sip_word(s, last - i);
    for (; i < last; i++) {
        lls_sip_word(s, id->media[i].hash);
        lls_sip_word(s, (uint64_t)id->media[i].first - first);
    }
}

static lls_hash128_t hash_block(const lls_kv_config_t *c, uint32_t n, lls_hash128_t parent,
                                const lls_kv_ident_t *id, const int32_t *tokens, uint32_t first)
{
    const uint32_t *t = (const uint32_t *)tokens + first;
    lls_sip_t       s = lls_sip_begin(c->key);

    lls_sip_word(&s, parent.lo);
    lls_sip_word(&s, parent.hi);
    lls_sip_word(&s, first == 0 ? id->salt : 0);
    lls_sip_word(&s, id->adapter);
    feed_media(&s, id, first, first + n);
    for (uint32_t i = 0; i + 1 < n; i += 2)
        lls_sip_word(&s, t[i] | (uint64_t)t[i + 1] << 32);
    if (n % 2 != 0)
        lls_sip_word(&s, t[n - 1]);
    return lls_sip_end(&s);
}

void lls_kv_extend_hashes(const lls_kv_config_t *c, lls_kv_seq_t *seq, const lls_kv_ident_t *ident,
                          const int32_t *tokens, uint32_t n)
{
    uint32_t size = seq->hash_tokens;

    if (!c->caching)
        return;
    for (; (uint64_t)(seq->n_hashes + 1) * size <= n; seq->n_hashes++) {
        lls_hash128_t parent = { 0, 0 };
        if (seq->n_hashes > 0)
            parent = seq->hashes[seq->n_hashes - 1];
        seq->hashes[seq->n_hashes] = hash_block(c, size, parent, ident, tokens,
                                                seq->n_hashes * size);
    }
}

/* A window is slid before each chunk of `step`. */
uint32_t lls_kv_peak_blocks(const lls_kv_group_config_t *g, uint32_t end, uint32_t step)
{
    uint32_t all = lls_ceil_div(end, g->block_tokens);

    switch (g->kind) {
    case LLS_KV_SLIDING:
    case LLS_KV_CHUNKED:
        return lls_min_u32(all, lls_ceil_div(g->window + step, g->block_tokens) + 1);
    case LLS_KV_STATE:
        return lls_min_u32(all, 2);
    default:
        return all;
    }
}

bool lls_kv_can_ever_fit(const lls_kv_config_t *c, uint32_t end, uint32_t step, uint32_t *need,
                         uint32_t *have)
{
    uint32_t peak[LLS_MAX_GROUPS] = { 0 };

    for (uint32_t g = 0; g < c->n_groups; g++)
        peak[c->group[g].pool] += lls_kv_peak_blocks(&c->group[g], end, step);
    for (uint32_t i = 0; i < c->n_pools; i++) {
        *need = peak[i];
        *have = c->pool_blocks[i] - 1;
        if (*need > *have)
            return false;
    }
    return true;
}
