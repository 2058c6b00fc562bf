/* SPDX-License-Identifier: Apache-2.0 */
/*
 * random_request - requests with random fields, good ones and spoilt ones.
 *
 * A draft lies in memory of its own, which its maker frees after the call: a library that kept a
 * pointer into it is found out.  A spoilt draft has one thing wrong that must be refused.
 */
#ifndef LLS_TEST_RANDOM_REQUEST_H
#define LLS_TEST_RANDOM_REQUEST_H

#include <stdbool.h>

#include "llm.h"

#define DRAFT_PAD    32             /* bytes behind a struct that its size may claim */
#define DRAFT_PROMPT 64
#define DRAFT_TEXT   600
#define DRAFT_LEN    64             /* max-model-len of the engines */

typedef struct dice { uint64_t state; } dice_t;

uint32_t roll(dice_t *d, uint32_t n);           /* [0, n) */
static inline bool one_in(dice_t *d, uint32_t n) { return roll(d, n) == 0; }

typedef struct draft {
    llm_request_t         r;
    unsigned char         r_tail[DRAFT_PAD];
    llm_sampling_params_t s;
    unsigned char         s_tail[DRAFT_PAD];
    int32_t               tokens[DRAFT_PROMPT + 1];
    char                  text[DRAFT_TEXT], salt[8];
    const char           *stop[3], *bad[3];
    char                  words[6][8];
    int32_t               ids[3][4];
    llm_logit_bias_t      bias[3];
    llm_option_t          options[3];
    const char           *spoilt;   /* what is wrong with it; NULL = it is good */
} draft_t;

/* hook may be NULL.  With text, prompts and stops may be text as well. */
draft_t *draft_new(dice_t *d, uint32_t n_vocab, bool with_text, bool spoil, llm_logits_fn hook,
                   void *hook_user);
/* Letters, other characters, now and then what is not UTF-8; a NUL behind it.  Returns its length;
 * cap >= 8. */
size_t random_text(dice_t *d, char *text, size_t cap, bool valid);
float  random_float(dice_t *d);     /* NaN, infinities, limits and numbers near 0 to 2 */

#endif
