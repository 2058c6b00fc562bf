/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake - a runner whose model is a hash: the next token is a function of every token before it.
 *
 * A cache slot stores the hash of the whole prefix up to its token.  Reading context walks the
 * block table and verifies each visible slot: position, group, and that it continues the slot
 * before it.  Sampling uses only what was read from the cache and the row's own state, so a wrong
 * row, position, block, adapter, embedding, draft or stale slot is an error at once or a wrong
 * token.
 */
#ifndef LLS_SIM_FAKE_H
#define LLS_SIM_FAKE_H

#include "step/runner.h"

#define FAKE_VOCAB 64
/* control: the next plan is begun and stopped before the forward pass; execute says CANCELLED. */
#define FAKE_CANCEL 1000u

typedef struct lls_fake_config {
    lls_kv_config_t   kv;
    lls_step_limits_t lim;
    uint32_t          max_in_flight, max_loras;
    uint64_t          seed;         /* of drafts and of the fate of transfers */
    bool              verify;       /* read all context, not just the last slot */
    /* the hash of a request's first n tokens, for what a remote store would hold */
    uint64_t        (*truth)(void *user, uint64_t request, uint32_t n);
    /* if set, the token behind a prefix of hash h, instead of lls_fake_token() */
    int32_t         (*pick)(void *user, const lls_run_row_t *run, uint64_t h, uint64_t history);
    void             *user;
} lls_fake_config_t;

lls_runner_t *lls_fake_create(const lls_fake_config_t *config);

/* The model, for the oracle. */
uint64_t lls_fake_start(uint32_t adapter);
uint64_t lls_fake_step(uint64_t h, uint64_t input, uint32_t adapter);
uint64_t lls_fake_media(uint32_t blob, uint32_t off);
int32_t  lls_fake_token(uint64_t h, const uint32_t *params, uint64_t history, const uint32_t *mask);
uint64_t lls_fake_history(uint64_t history, int32_t token);
float    lls_fake_logprob(uint64_t h, int32_t next);

#endif
