/* SPDX-License-Identifier: Apache-2.0 */
/*
 * beam - beam search: the completions of a request compete for its next tokens (vLLM's definition).
 *
 * A search is a request of beam_width completions.  While it runs, completion i is only a place: an
 * id, and the scheduler's request that runs live beam i for one token.  In a round every live beam
 * proposes its likeliest tokens.  Who has proposed is held with its KV until the last one has; then
 * the best candidates go on as forks of the beams that they continue, and these end.  So no token
 * is run twice unless blocks run out.  The beams' tokens are a tree: what they have in common
 * exists once.  In the end the best beams are written into the completions, best first, and these
 * end like any others.
 *
 * lls_beam_create() runs on the thread that adds the request, all else on the one that steps.
 */
#ifndef LLS_ENGINE_BEAM_H
#define LLS_ENGINE_BEAM_H

#include "engine/engine_int.h"

#define LLS_BEAM_MAX_WIDTH 1024

/* The parameters of a call; the error names the field. */
llm_status_t lls_beam_check(const lls_engine_t *e, const llm_beam_params_t *p, llm_error_t *err);
/* A request of a search says nothing about sampling. */
llm_status_t lls_beam_check_request(const llm_request_t *r, llm_error_t *err);
/* What one beam asks of the sampler in one round. */
void lls_beam_sampling(const lls_engine_t *e, const llm_beam_params_t *p,
                       llm_sampling_params_t *sampling);

/* root is copied: the first beam, which is the prompt; each later one is like it but longer. */
llm_status_t lls_beam_create(const lls_engine_t *e, lls_request_t *req, const llm_beam_params_t *p,
                             const lls_req_desc_t *root, llm_error_t *err);
void         lls_beam_destroy(struct lls_beam_search *s);

/* The beam of c has run: entry 0 is the token drawn, which does not count, then come the likeliest
 * ones. */
void lls_beam_propose(lls_engine_t *e, lls_completion_t *c, const lls_logprob_t *entries);
/* Before a completion ends: if it belongs to a search that runs, the whole search ends, with this
 * reason for beams that had not stopped, and true is returned. */
bool lls_beam_close(lls_engine_t *e, lls_completion_t *c, uint32_t finish);
/* Tokens of all live beams. */
uint64_t lls_beam_n_tokens(const struct lls_beam_search *s);

#endif
