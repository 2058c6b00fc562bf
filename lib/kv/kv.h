/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv - the KV cache as the scheduler sees it: sequences of blocks, found again by content.
 *
 * Integers only; the bytes live in the runner.  Groups and their kinds are those of step/kv_kind.h.
 * Groups of equal page size share a pool, a group with other pages (recurrent state, MLA beside
 * plain layers) has a pool of its own, so page sizes never need to be made equal.
 *
 * Only full blocks of known tokens can be found again.  Their hash covers everything before the
 * block (parent hash, salt, adapter, media), so equal hash means equal content; it is a keyed
 * 128-bit PRF.
 *
 * A sequence (lls_kv_seq_t) is what one request holds: per group a table that only grows, in which
 * entries left behind by a window become 0, the null block.
 *
 * Nothing allocates after create.  lls_kv_seq_bytes(), _seq_init(), _extend_hashes() and
 * _can_ever_fit() look only at the configuration and may be called from any thread; all else by the
 * scheduler's thread only.
 */
#ifndef LLS_KV_KV_H
#define LLS_KV_KV_H

#include "base/hash.h"
#include "base/mem.h"
#include "step/kv_kind.h"
#include "step/step.h"

typedef struct lls_kv_media {           /* tokens [first, first + n) stand for content `hash` */
    uint64_t hash;
    uint32_t first, n;
} lls_kv_media_t;

typedef struct lls_kv_ident {           /* what else makes two equal token prefixes differ */
    uint64_t              salt;         /* cache_salt: tenants do not see each other */
    uint64_t              adapter;      /* load generation of the LoRA, 0 = none; never its name */
    const lls_kv_media_t *media;        /* ascending */
    uint32_t              n_media;
} lls_kv_ident_t;

typedef struct lls_kv_seq {
    uint32_t      *table[LLS_MAX_GROUPS];
    uint32_t       n_blocks[LLS_MAX_GROUPS];    /* entries in use */
    uint32_t       n_hashed[LLS_MAX_GROUPS];    /* entries already published, or holes */
    uint32_t       n_gone[LLS_MAX_GROUPS];      /* leading entries that a window left behind */
    lls_hash128_t *hashes;                      /* of known full blocks; kept over preemption */
    uint32_t       hash_tokens;
    uint32_t       n_hashes;
    uint32_t       n_room;                      /* tokens that its blocks have room for */
    uint32_t       cap_tokens;
} lls_kv_seq_t;

typedef struct lls_kv lls_kv_t;

llm_status_t lls_kv_create(lls_mem_t *mem, const lls_kv_config_t *config, lls_kv_t **out,
                           llm_error_t *err);
void         lls_kv_destroy(lls_kv_t *kv);
const lls_kv_config_t *lls_kv_get_config(const lls_kv_t *kv);

/* ---- Of the configuration alone ------------------------------------------------------------- */

/* Tokens in the smallest block of any group: one hash covers as many. */
uint32_t lls_kv_hash_tokens(const lls_kv_config_t *config);
/* Storage for one sequence of up to cap_tokens; the caller hands it in, aligned as malloc would. */
size_t lls_kv_seq_bytes(const lls_kv_config_t *config, uint32_t cap_tokens);
void   lls_kv_seq_init(const lls_kv_config_t *config, lls_kv_seq_t *seq, void *storage,
                       uint32_t cap_tokens);
/* Extends the hash chain over all full blocks of tokens[0 .. n). */
void   lls_kv_extend_hashes(const lls_kv_config_t *config, lls_kv_seq_t *seq,
                            const lls_kv_ident_t *ident, const int32_t *tokens, uint32_t n);
/* The most blocks of a group held at once by a sequence of `end` tokens run `step` at a time. */
uint32_t lls_kv_peak_blocks(const lls_kv_group_config_t *group, uint32_t end, uint32_t step);
/* Whether a sequence of `end` tokens, run `step` at a time, could ever fit an empty cache.  If not,
 * the pool that is too small needs *need blocks and has *have. */
bool   lls_kv_can_ever_fit(const lls_kv_config_t *config, uint32_t end, uint32_t step,
                           uint32_t *need, uint32_t *have);

/* ---- Sequences ------------------------------------------------------------------------------ */

/* The longest usable cached prefix of at most `limit` tokens, for all groups together.  Its blocks
 * are noted in the table but not held until lls_kv_alloc() is called with the same n_hit. */
uint32_t lls_kv_lookup(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t limit);

/* Makes room for tokens [0, end): holds the n_hit tokens just looked up, then appends blocks.
 * Takes nothing and returns false if fewer than `spare` blocks of a pool would be left. */
bool lls_kv_alloc(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n_hit, uint32_t end, uint32_t spare);
/* The question alone, for a sequence that will be run to `end` tokens, at most `step` at a time. */
bool lls_kv_fits_whole(const lls_kv_t *kv, const lls_kv_seq_t *seq, uint32_t n_hit, uint32_t end,
                       uint32_t step, uint32_t spare);

/* Makes full blocks of tokens [0, n) findable; n_done of them were computed by earlier plans.  To
 * be called when nothing can withdraw the plan that computes them. */
void lls_kv_publish(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n, uint32_t n_done);
/* Takes back what was published of tokens from position n on: the plan was not carried out. */
void lls_kv_unpublish(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n);
/* Gives back what no token from position n on can see. */
void lls_kv_slide(lls_kv_t *kv, lls_kv_seq_t *seq, uint32_t n);
void lls_kv_release(lls_kv_t *kv, lls_kv_seq_t *seq);
/* Whether releasing this sequence would make a block allocatable now. */
bool lls_kv_would_free(const lls_kv_t *kv, const lls_kv_seq_t *seq);

/* dst shares src's full blocks below n tokens; partial ones are copied by the next plan.  Returns
 * false (dst holds nothing) if there is no room, if LLS_MAX_COPIES wait for the next plan, or if a
 * group keeps no history to share. */
bool lls_kv_fork(lls_kv_t *kv, lls_kv_seq_t *dst, const lls_kv_seq_t *src, uint32_t n);
/* Moves all pending copies into the plan: whichever fork runs in it finds its block.  Source and
 * target stay held until the next call, or until every plan that was made has been carried out. */
void lls_kv_emit_copies(lls_kv_t *kv, lls_step_plan_t *plan);
void lls_kv_end_copies(lls_kv_t *kv);

/* Cuts a chunk [at, at + n) so that it ends where a recurrent state will be kept. */
uint32_t lls_kv_cut(const lls_kv_t *kv, uint32_t at, uint32_t n);
/* Leading blocks of group g, at most `limit`, that both sequences hold. */
uint32_t lls_kv_common(const lls_kv_seq_t *a, const lls_kv_seq_t *b, uint32_t g, uint32_t limit);

/* Forgets every cached block; held ones become unfindable too. */
void lls_kv_reset(lls_kv_t *kv);

/* ---- Numbers and checks --------------------------------------------------------------------- */

uint32_t lls_kv_n_free(const lls_kv_t *kv, uint32_t pool);      /* free and cached */
bool     lls_kv_any_held(const lls_kv_t *kv);
uint64_t lls_kv_freed(const lls_kv_t *kv);                      /* grows whenever room can appear */

/* Verifies K1-K4, K6 and K8 in three parts: begin, each sequence that exists, end.  NULL or what is
 * wrong. */
const char *lls_kv_check_begin(lls_kv_t *kv);
const char *lls_kv_check_seq(lls_kv_t *kv, const lls_kv_seq_t *seq);
const char *lls_kv_check_end(lls_kv_t *kv);

#endif
