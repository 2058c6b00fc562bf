/* SPDX-License-Identifier: Apache-2.0 */
#include "kv/kv.h"

#include <string.h>

#include "kv/kv_pool.h"

typedef struct pending_copy {
    lls_block_copy_t copy;
    bool             sent;          /* in a plan: release at the next emit */
} pending_copy_t;

struct lls_kv {
    lls_mem_t      *mem;
    lls_kv_config_t cfg;
    lls_kv_pool_t   pool[LLS_MAX_GROUPS];
    uint32_t        per_hash[LLS_MAX_GROUPS];   /* hashes under one block of the group */
    uint32_t        align;          /* hits end at a multiple: the largest block */
    bool            moves;          /* some group leaves blocks behind */
    uint64_t        n_freed;
    uint32_t        n_released;     /* releases and slides so far */
    pending_copy_t *copies;         /* [LLS_MAX_COPIES] */
    uint32_t        n_copies;
};

static lls_kv_pool_t *pool_of(lls_kv_t *kv, uint32_t g) { return &kv->pool[kv->cfg.group[g].pool]; }
static uint32_t bt(const lls_kv_t *kv, uint32_t g) { return kv->cfg.group[g].block_tokens; }

/* ---- Create --------------------------------------------------------------------------------- */

static llm_status_t check_group(const lls_kv_config_t *c, uint32_t g, llm_error_t *err)
{
    const lls_kv_group_config_t *k = &c->group[g];
    uint32_t                     small = lls_kv_hash_tokens(c), ratio;
    bool                         window = k->kind == LLS_KV_SLIDING || k->kind == LLS_KV_CHUNKED;

    if (k->kind > LLS_KV_STATE || k->pool >= c->n_pools || (window && k->window == 0))
        return lls_fail(err, LLM_ERR_INVALID, "KV group %u: kind %u, pool %u of %u, window %u", g,
                        k->kind, k->pool, c->n_pools, k->window);
    ratio = small == 0 ? 0 : k->block_tokens / small;
    if (ratio == 0 || ratio * small != k->block_tokens || (ratio & (ratio - 1)) != 0)
        return lls_fail_param(err, LLM_ERR_INVALID, "block-size",
                              "KV group %u: a block of %u tokens is not a power of two times %u", g,
                              k->block_tokens, small);
    return LLM_OK;
}

static llm_status_t check_config(const lls_kv_config_t *c, llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    if (c->n_groups > LLS_MAX_GROUPS || c->n_pools > LLS_MAX_GROUPS)
        return lls_fail(err, LLM_ERR_INVALID, "%u KV groups on %u pools; at most %d of each",
                        c->n_groups, c->n_pools, LLS_MAX_GROUPS);
    for (uint32_t i = 0; i < c->n_pools; i++)
        if (c->pool_blocks[i] < 2)
            return lls_fail_param(err, LLM_ERR_INVALID, "num-gpu-blocks-override",
                                  "KV pool of %u blocks; at least 2 are needed", c->pool_blocks[i]);
    for (uint32_t g = 0; g < c->n_groups && st == LLM_OK; g++)
        st = check_group(c, g, err);
    return st;
}

static bool init_parts(lls_kv_t *kv)
{
    uint32_t hash_tokens = lls_kv_hash_tokens(&kv->cfg);

    kv->align = 1;
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        kv->align = lls_max_u32(kv->align, bt(kv, g));
        kv->per_hash[g] = bt(kv, g) / hash_tokens;
        kv->moves |= kv->cfg.group[g].kind != LLS_KV_FULL;
    }
    for (uint32_t i = 0; i < kv->cfg.n_pools; i++)
        if (!lls_kv_pool_init(&kv->pool[i], kv->mem, kv->cfg.pool_blocks[i]))
            return false;
    kv->copies = lls_calloc(kv->mem, LLS_MAX_COPIES, sizeof *kv->copies);
    return kv->copies != NULL;
}

llm_status_t lls_kv_create(lls_mem_t *mem, const lls_kv_config_t *config, lls_kv_t **out,
                           llm_error_t *err)
{
    llm_status_t st = check_config(config, err);
    lls_kv_t    *kv;

    *out = NULL;
    if (st != LLM_OK)
        return st;
    kv = lls_zalloc(mem, sizeof *kv);
    if (kv != NULL) {
        kv->mem = mem;
        kv->cfg = *config;
    }
    if (kv == NULL || !init_parts(kv)) {
        lls_kv_destroy(kv);
        return lls_fail(err, LLM_ERR_NO_MEMORY, "book-keeping of %u KV blocks",
                        config->pool_blocks[0]);
    }
    *out = kv;
    return LLM_OK;
}

void lls_kv_destroy(lls_kv_t *kv)
{
    if (kv == NULL)
        return;
    for (uint32_t i = 0; i < LLS_MAX_GROUPS; i++)
        lls_kv_pool_deinit(&kv->pool[i], kv->mem);
    lls_free(kv->mem, kv->copies);
    lls_free(kv->mem, kv);
}

/* ---- Lookup --------------------------------------------------------------------------------- */

/* Block j of group g has the hash of everything up to its end. */
static const lls_hash128_t *group_hash(const lls_kv_t *kv, const lls_kv_seq_t *seq, uint32_t g,
                                       uint32_t j)
{
    uint32_t last = (j + 1) * kv->per_hash[g] - 1;

    return last < seq->n_hashes ? &seq->hashes[last] : NULL;
}

static bool note_cached(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t g, uint32_t j)
{
    const lls_hash128_t *h = group_hash(kv, seq, g, j);
    uint32_t             b = h == NULL ? 0 : lls_kv_pool_find(pool_of(kv, g), *h, g);

    seq->table[g][j] = b;
    return b != 0;
}

/* Left to right: the first miss ends it. */
static uint32_t longest_full(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t g, uint32_t limit)
{
    uint32_t j = 0;

    while ((j + 1) * bt(kv, g) <= limit && note_cached(kv, seq, g, j))
        j++;
    return j * bt(kv, g) / kv->align * kv->align;
}

/* Right to left: an end is good if all that its next token needs is there.  After a miss the end
 * moves before the missing block, so each block is looked at twice at most. */
static uint32_t longest_windowed(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t g, uint32_t limit)
{
    uint32_t end = limit, j, first;

    while (end > 0) {
        first = lls_kv_first_needed(&kv->cfg.group[g], end) / bt(kv, g);
        for (j = end / bt(kv, g); j > first; j--)
            if (!note_cached(kv, seq, g, j - 1))
                break;
        if (j <= first)
            return end;
        end = (j - 1) * bt(kv, g) / kv->align * kv->align;
    }
    return 0;
}

static uint32_t longest_hit(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t g, uint32_t limit)
{
    if (kv->cfg.group[g].kind == LLS_KV_FULL)
        return longest_full(kv, seq, g, limit);
    return longest_windowed(kv, seq, g, limit);
}

/* A shorter end for one group can be a worse end for another, so repeat until all agree. */
static uint32_t common_hit(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t limit)
{
    uint32_t end = limit / kv->align * kv->align, before;

    do {
        before = end;
        for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
            end = longest_hit(kv, seq, g, end);
    } while (end != before);
    return end;
}

uint32_t lls_kv_lookup(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t limit)
{
    uint32_t end;

    if (!kv->cfg.caching || kv->cfg.n_groups == 0)
        return 0;
    end = common_hit(kv, seq, limit);
    if (kv->cfg.drop_last > 0 && end > 0)
        end = common_hit(kv, seq, lls_sub_u32(end, kv->cfg.drop_last * kv->align));
    return end;
}

/* ---- Allocation ----------------------------------------------------------------------------- */

/* Table entries of a hit that are really needed: [*first, *end). */
static void hit_range(const lls_kv_t *kv, uint32_t g, uint32_t n_hit, uint32_t *first,
                      uint32_t *end)
{
    *end = n_hit / bt(kv, g);
    *first = n_hit == 0 ? 0 : lls_kv_first_needed(&kv->cfg.group[g], n_hit) / bt(kv, g);
}

/* A recurrent group keeps one state at the end of the chunk, the others one block per block. */
static uint32_t new_blocks(const lls_kv_t *kv, uint32_t g, uint32_t have, uint32_t end)
{
    uint32_t need = lls_ceil_div(end, bt(kv, g));

    if (need <= have)
        return 0;
    return kv->cfg.group[g].kind == LLS_KV_STATE ? 1 : need - have;
}

/* Blocks that leave the free list: new ones, and hits that nobody holds. */
static void count_needs(const lls_kv_t *kv, const lls_kv_seq_t *seq, uint32_t n_hit, uint32_t end,
                        uint32_t need[LLS_MAX_GROUPS])
{
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        uint32_t             j, hit_end, pool = kv->cfg.group[g].pool;
        const lls_kv_pool_t *p = &kv->pool[pool];
        hit_range(kv, g, n_hit, &j, &hit_end);
        for (; j < hit_end; j++)
            need[pool] += p->blocks[seq->table[g][j]].ref == 0;
        need[pool] += new_blocks(kv, g, lls_max_u32(seq->n_blocks[g], hit_end), end);
    }
}

static bool pools_have(const lls_kv_t *kv, const uint32_t need[LLS_MAX_GROUPS], uint32_t spare)
{
    for (uint32_t i = 0; i < kv->cfg.n_pools; i++)
        if (need[i] > 0 && need[i] + spare > kv->pool[i].n_free)
            return false;
    return true;
}

bool lls_kv_fits_whole(const lls_kv_t *kv, const lls_kv_seq_t *seq, uint32_t n_hit, uint32_t end,
                       uint32_t step, uint32_t spare)
{
    uint32_t need[LLS_MAX_GROUPS] = { 0 };

    count_needs(kv, seq, n_hit, 0, need);
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        const lls_kv_group_config_t *c = &kv->cfg.group[g];
        uint32_t first, last, have = seq->n_blocks[g] - seq->n_gone[g];
        hit_range(kv, g, n_hit, &first, &last);
        have = lls_max_u32(have, last - first);
        need[c->pool] += lls_sub_u32(lls_kv_peak_blocks(c, end, step), have);
    }
    return pools_have(kv, need, spare);
}

static void hold_hits(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t g, uint32_t n_hit)
{
    uint32_t first, end;

    hit_range(kv, g, n_hit, &first, &end);
    for (uint32_t j = 0; j < first; j++)
        seq->table[g][j] = 0;
    for (uint32_t j = first; j < end; j++)
        lls_kv_pool_hold(pool_of(kv, g), seq->table[g][j]);
    seq->n_blocks[g] = seq->n_hashed[g] = end;
    seq->n_gone[g] = first;
}

static void append_blocks(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t g, uint32_t end)
{
    uint32_t need = lls_ceil_div(end, bt(kv, g));
    bool     state = kv->cfg.group[g].kind == LLS_KV_STATE;

    for (uint32_t j = seq->n_blocks[g]; j < need; j++)
        seq->table[g][j] = state && j + 1 < need ? 0 : lls_kv_pool_take(pool_of(kv, g));
    seq->n_blocks[g] = lls_max_u32(seq->n_blocks[g], need);
}

/* So that a decoding row asks one question until its last block is full. */
static void note_room(const lls_kv_t *kv, lls_kv_seq_t *seq)
{
    seq->n_room = seq->cap_tokens;
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
        seq->n_room = lls_min_u32(seq->n_room, seq->n_blocks[g] * bt(kv, g));
}

bool lls_kv_alloc(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n_hit, uint32_t end, uint32_t spare)
{
    uint32_t need[LLS_MAX_GROUPS] = { 0 };

    lls_assert(end <= seq->cap_tokens);
    if (n_hit == 0 && end <= seq->n_room)
        return true;
    count_needs(kv, seq, n_hit, end, need);
    if (!pools_have(kv, need, spare))
        return false;
    /* Hold the hits of all groups first: taking a block for one could evict a hit of another. */
    if (n_hit > 0)
        for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
            hold_hits(kv, seq, g, n_hit);
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
        append_blocks(kv, seq, g, end);
    note_room(kv, seq);
    return true;
}

/* ---- Publish, slide, release ---------------------------------------------------------------- */

/* A state may be read only by a later plan: in one forward pass nothing orders two rows. */
void lls_kv_publish(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n, uint32_t n_done)
{
    if (!kv->cfg.caching)
        return;
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        uint32_t upto = kv->cfg.group[g].kind == LLS_KV_STATE ? lls_min_u32(n, n_done) : n;
        for (; (seq->n_hashed[g] + 1) * bt(kv, g) <= upto; seq->n_hashed[g]++) {
            uint32_t b = seq->table[g][seq->n_hashed[g]];
            if (b != 0 && !pool_of(kv, g)->blocks[b].hashed)    /* a fork may share it */
                lls_kv_pool_publish(pool_of(kv, g), b, *group_hash(kv, seq, g, seq->n_hashed[g]),
                                    g);
        }
    }
}

void lls_kv_unpublish(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n)
{
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        uint32_t keep = n / bt(kv, g);
        for (uint32_t j = keep; j < seq->n_hashed[g]; j++)
            if (seq->table[g][j] != 0 && pool_of(kv, g)->blocks[seq->table[g][j]].hashed)
                lls_kv_pool_unpublish(pool_of(kv, g), seq->table[g][j]);
        seq->n_hashed[g] = lls_min_u32(seq->n_hashed[g], keep);
    }
}

static void drop_block(lls_kv_t *kv, uint32_t g, uint32_t b, uint32_t index)
{
    kv->n_freed += lls_kv_pool_drop(pool_of(kv, g), b, kv->n_released, index);
}

void lls_kv_slide(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n)
{
    if (!kv->moves)
        return;
    kv->n_released++;
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        uint32_t keep, *table = seq->table[g];
        if (kv->cfg.group[g].kind == LLS_KV_FULL)
            continue;
        keep = lls_min_u32(lls_kv_first_needed(&kv->cfg.group[g], n) / bt(kv, g), seq->n_blocks[g]);
        for (uint32_t j = keep; j > seq->n_gone[g]; j--)    /* tails first */
            if (table[j - 1] != 0) {
                drop_block(kv, g, table[j - 1], j);
                table[j - 1] = 0;
            }
        seq->n_gone[g] = lls_max_u32(seq->n_gone[g], keep);
    }
}

void lls_kv_release(lls_kv_t *kv, lls_kv_seq_t *seq)
{
    kv->n_released++;
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++) {
        for (uint32_t j = seq->n_blocks[g]; j > seq->n_gone[g]; j--)    /* tails first */
            if (seq->table[g][j - 1] != 0)
                drop_block(kv, g, seq->table[g][j - 1], j);
        seq->n_blocks[g] = seq->n_hashed[g] = seq->n_gone[g] = 0;
    }
    seq->n_room = 0;
}

/* From the end: what a sequence shares is its beginning. */
bool lls_kv_would_free(const lls_kv_t *kv, const lls_kv_seq_t *seq)
{
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
        for (uint32_t j = seq->n_blocks[g]; j > seq->n_gone[g]; j--)
            if (kv->pool[kv->cfg.group[g].pool].blocks[seq->table[g][j - 1]].ref == 1)
                return true;
    return false;
}

/* ---- Fork ----------------------------------------------------------------------------------- */

static bool copy_partial(lls_kv_t *kv, lls_kv_seq_t *dst, uint32_t g, uint32_t from)
{
    lls_kv_pool_t *p = pool_of(kv, g);
    uint32_t       to;

    if (p->n_free == 0 || kv->n_copies == LLS_MAX_COPIES)
        return false;
    to = lls_kv_pool_take(p);
    dst->table[g][dst->n_blocks[g]++] = to;
    lls_kv_pool_hold(p, from);      /* both stay until the copy is done, whoever leaves */
    lls_kv_pool_hold(p, to);
    kv->copies[kv->n_copies++] = (pending_copy_t){ .copy = { g, from, to } };
    return true;
}

static bool fork_group(lls_kv_t *kv, lls_kv_seq_t *dst, const lls_kv_seq_t *src, uint32_t g,
                       uint32_t n)
{
    uint32_t full = n / bt(kv, g);

    for (uint32_t j = 0; j < full; j++)
        if ((dst->table[g][j] = src->table[g][j]) != 0)
            lls_kv_pool_hold(pool_of(kv, g), dst->table[g][j]);
    dst->n_gone[g] = lls_min_u32(src->n_gone[g], full);
    dst->n_blocks[g] = full;
    dst->n_hashed[g] = lls_min_u32(full, src->n_hashed[g]);
    return n % bt(kv, g) == 0 || copy_partial(kv, dst, g, src->table[g][full]);
}

bool lls_kv_fork(lls_kv_t *kv, lls_kv_seq_t *dst, const lls_kv_seq_t *src, uint32_t n)
{
    /* Where a state or window has moved past n already, the fork starts from the cache instead. */
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
        if (kv->cfg.group[g].kind == LLS_KV_STATE ||
            lls_kv_first_needed(&kv->cfg.group[g], n) / bt(kv, g) < src->n_gone[g])
            return false;
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
        if (!fork_group(kv, dst, src, g, n)) {
            lls_kv_release(kv, dst);
            return false;
        }
    note_room(kv, dst);
    return true;
}

void lls_kv_end_copies(lls_kv_t *kv)
{
    uint32_t kept = 0;

    if (kv->n_copies == 0)
        return;
    for (uint32_t i = 0; i < kv->n_copies; i++) {
        pending_copy_t *c = &kv->copies[i];
        if (c->sent) {
            drop_block(kv, c->copy.group, c->copy.src, 0);
            drop_block(kv, c->copy.group, c->copy.dst, 0);
            continue;
        }
        kv->copies[kept++] = *c;
    }
    kv->n_copies = kept;
    kv->n_released++;
}

void lls_kv_emit_copies(lls_kv_t *kv, lls_step_plan_t *plan)
{
    lls_kv_end_copies(kv);
    for (uint32_t i = 0; i < kv->n_copies; i++) {
        *lls_plan_push_copies(plan, 1) = kv->copies[i].copy;
        kv->copies[i].sent = true;
    }
}

/* ---- Odds and ends -------------------------------------------------------------------------- */

uint32_t lls_kv_cut(const lls_kv_t *kv, uint32_t at, uint32_t n)
{
    for (uint32_t g = 0; kv->moves && g < kv->cfg.n_groups; g++) {
        uint32_t size = bt(kv, g), end = at + n;
        if (kv->cfg.group[g].kind != LLS_KV_STATE)
            continue;
        /* A block begun must be finished alone, or its state would be that of an earlier token. */
        end = at % size != 0 ? at - at % size + size : end / size * size;
        if (end > at)
            n = lls_min_u32(n, end - at);
    }
    return n;
}

uint32_t lls_kv_common(const lls_kv_seq_t *a, const lls_kv_seq_t *b, uint32_t g, uint32_t limit)
{
    uint32_t j = 0, n = lls_min_u32(limit, lls_min_u32(a->n_blocks[g], b->n_blocks[g]));

    while (j < n && a->table[g][j] == b->table[g][j] && a->table[g][j] != 0)
        j++;
    return j;
}

void lls_kv_reset(lls_kv_t *kv)
{
    for (uint32_t i = 0; i < kv->cfg.n_pools; i++)
        lls_kv_pool_forget(&kv->pool[i]);
    kv->n_freed++;
}

bool lls_kv_any_held(const lls_kv_t *kv)
{
    for (uint32_t i = 0; i < kv->cfg.n_pools; i++)
        if (kv->pool[i].n_free != kv->pool[i].n_blocks - 1)
            return true;
    return false;
}

uint32_t lls_kv_n_free(const lls_kv_t *kv, uint32_t pool) { return kv->pool[pool].n_free; }
uint64_t lls_kv_freed(const lls_kv_t *kv) { return kv->n_freed; }
const lls_kv_config_t *lls_kv_get_config(const lls_kv_t *kv) { return &kv->cfg; }

/* ---- Check ---------------------------------------------------------------------------------- */

const char *lls_kv_check_begin(lls_kv_t *kv)
{
    const char *bad = NULL;

    for (uint32_t i = 0; bad == NULL && i < kv->cfg.n_pools; i++)
        bad = lls_kv_pool_check(&kv->pool[i]);
    return bad;
}

const char *lls_kv_check_seq(lls_kv_t *kv, const lls_kv_seq_t *seq)
{
    for (uint32_t g = 0; g < kv->cfg.n_groups; g++)
        for (uint32_t j = 0; j < seq->n_blocks[g]; j++) {
            uint32_t b = seq->table[g][j];
            if (b >= pool_of(kv, g)->n_blocks)
                return "K1 block id out of range";
            if (b != 0 && j < seq->n_gone[g])
                return "K6 a block behind the window is still held";
            pool_of(kv, g)->blocks[b].seen++;
        }
    return NULL;
}

const char *lls_kv_check_end(lls_kv_t *kv)
{
    const char *bad = NULL;

    for (uint32_t i = 0; i < kv->n_copies; i++) {
        const lls_block_copy_t *c = &kv->copies[i].copy;
        pool_of(kv, c->group)->blocks[c->src].seen++;
        pool_of(kv, c->group)->blocks[c->dst].seen++;
    }
    for (uint32_t i = 0; bad == NULL && i < kv->cfg.n_pools; i++)
        bad = lls_kv_pool_check_refs(&kv->pool[i]);
    return bad;
}
