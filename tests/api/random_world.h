/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random_world - what the random calls of llm.h share: the engines, batches and the tokenizer that
 * are there, and what is known of them.  random_calls_test.c makes the calls of engines,
 * random_tokens.c those of tokenizers.
 */
#ifndef LLS_TEST_RANDOM_WORLD_H
#define LLS_TEST_RANDOM_WORLD_H

#include "api/random_request.h"
#include "unit/test.h"

#define N_ENGINES  3
#define N_BATCHES  4
#define N_LENT     8
#define MAX_BATCH  5
#define VOCAB      128
#define A_SEED     5000             /* calls: then everything is torn down and begun anew */

typedef struct asked {
    llm_request_id_t id;
    uint32_t         n;             /* completions; 0 = not known, the draft's default */
    uint64_t         ended;         /* bits of completions */
    bool             last, aborted;
} asked_t;

typedef struct lent {               /* a record that stays until a step, batch or destroy */
    const llm_output_t *o;
    uint64_t            sum;
} lent_t;

typedef struct slot {
    llm_engine_t *e;
    test_alloc_t  mem;
    int64_t       idle_bytes;
    bool          with_text, paused, draining;
    uint32_t      n_asked, n_alive, n_lent, n_batches;
    uint64_t      steps;
    asked_t      *asked;            /* [A_SEED]; user_data is index + 1 */
    lent_t        lent[N_LENT];
} slot_t;

typedef struct batch {
    llm_batch_t *b;
    slot_t      *s;
    size_t       n;
    uint64_t     sum;
} batch_t;

typedef struct world {
    uint64_t         seed, call;
    const char      *what;          /* the call that is made */
    dice_t           d;
    slot_t           slots[N_ENGINES];
    batch_t          batches[N_BATCHES];
    llm_tokenizer_t *tokenizer;
    test_alloc_t     tokenizer_mem;
    uint64_t         n_added, n_refused, n_records, n_busy, n_failed, n_created, n_tokens;
} world_t;

extern world_t *now_in;             /* for CHECK, which callbacks use as well */

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            fail_msg("seed %lu, call %lu, %s: %s", (unsigned long)now_in->seed,                    \
                     (unsigned long)now_in->call, now_in->what, #cond);                            \
    } while (0)

/* What every failure leaves behind. */
void random_check_error(const llm_error_t *err, llm_status_t st);

static inline slot_t *any_slot(world_t *w) { return &w->slots[roll(&w->d, N_ENGINES)]; }

void random_tokenizer_comes_or_goes(world_t *w);
void random_encode(world_t *w);
void random_decode(world_t *w);
void random_chat(world_t *w);
void random_vocabulary(world_t *w);

#endif
