/* SPDX-License-Identifier: Apache-2.0 */
/*
 * support - engines on the golden models and requests of token ids, for tests that use llm.h only.
 */
#ifndef LLS_TEST_ENGINE_SUPPORT_H
#define LLS_TEST_ENGINE_SUPPORT_H

#include "unit/test.h"

#define MAX_MODELS 32
#define MAX_BATCH  64                 /* requests of one generate_all() */

/* Under a sanitizer the largest cases are left to the other builds. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#  define SANITIZED 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#    define SANITIZED 1
#  endif
#endif
#ifndef SANITIZED
#  define SANITIZED 0
#endif

/* Options of an engine as name, value, ..., NULL. */
typedef const char *const *options_t;
#define OPTIONS(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* Folders with a config.json under tests/golden, sorted; returns how many. */
size_t find_models(char paths[MAX_MODELS][256]);
/* The demonstration model, or NULL. */
const char *demo_model(void);

/* Fails the test with the library's message. */
llm_engine_t *make_engine(const char *model, const char *dtype, options_t options,
                          const llm_allocator_t *allocator);
llm_status_t  try_engine(const char *model, const char *dtype, options_t options,
                         const llm_allocator_t *allocator, llm_engine_t **out, llm_error_t *err);

/* n token ids below n_vocab, a function of seed. */
void make_prompt(int32_t *tokens, size_t n, uint32_t n_vocab, uint32_t seed);

typedef struct ask {                /* a greedy request on the test's stack, end of sequence ignored */
    int32_t               tokens[200];
    llm_sampling_params_t sp;
    llm_request_t         r;
} ask_t;

void make_ask(ask_t *a, uint32_t n_vocab, uint32_t n_prompt, uint32_t seed, uint32_t max_tokens);

/* These fail the test with the library's message. */
llm_request_id_t add_ask(llm_engine_t *e, const ask_t *a);
void             step_engine(llm_engine_t *e);
/* Steps until nothing is unfinished; records are thrown away. */
void run_dry(llm_engine_t *e);
/* One batch of the n requests; fails the test with the library's message. */
llm_batch_t *generate_listed(llm_engine_t *e, const ask_t *const *asks, size_t n);
llm_batch_t *generate_all(llm_engine_t *e, const ask_t *asks, size_t n);
/* The n tokens of one greedy request to an idle engine of 64 tokens or more; always the same. */
void run_tokens(llm_engine_t *e, uint32_t n, int32_t *tokens);

#endif
