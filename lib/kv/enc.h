/* SPDX-License-Identifier: Apache-2.0 */
/*
 * enc - which encoder outputs (images, audio, encoder text) the runner keeps, and for whom.
 *
 * An entry is held (refs > 0) or idle (kept for the next request with the same content; the oldest
 * idle ones are dropped when room is needed).  It is filled once a plan says so: two requests that
 * need the same content in one step share one run, and withdrawing the first one from the plan does
 * not take it from the second.  Sizes are in embeddings.  Called by the scheduler's thread only.
 */
#ifndef LLS_KV_ENC_H
#define LLS_KV_ENC_H

#include "base/mem.h"
#include "step/step.h"

typedef struct lls_enc_entry {
    uint64_t hash, read_by;         /* the last step that uses it */
    uint32_t len, refs;
    uint32_t prev, next;            /* idle list, entry 0 is its head */
    bool     filled, used;
} lls_enc_entry_t;

typedef struct lls_enc {
    lls_mem_t       *mem;
    lls_enc_entry_t *entries;       /* 1 .. n_entries - 1; 0 heads the idle list */
    uint32_t         n_entries;
    uint32_t         cap, n_held, n_idle;   /* embeddings */
    uint32_t         budget;        /* embeddings that may still be computed this step */
} lls_enc_t;

bool lls_enc_init(lls_enc_t *enc, lls_mem_t *mem, uint32_t n_entries, uint32_t cap);
void lls_enc_deinit(lls_enc_t *enc);
/* Takes a reference; LLS_NONE if budget or room are missing.  Drops idle entries into the plan. */
uint32_t lls_enc_take(lls_enc_t *enc, uint64_t hash, uint32_t len, lls_step_plan_t *plan);
/* Gives a reference back; one never filled is undone, budget included. */
void     lls_enc_drop(lls_enc_t *enc, uint32_t entry);
/* The entry will be read by this step; returns whether this step must compute it first. */
bool     lls_enc_fill(lls_enc_t *enc, uint32_t entry, uint64_t step);
const char *lls_enc_check(const lls_enc_t *enc);

#endif
