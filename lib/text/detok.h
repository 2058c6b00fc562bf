/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detok - token ids to text, one at a time: whole characters only, O(1) a token.
 *
 * The text after each push equals what vLLM's detokenizer (a DecodeStream of HF tokenizers, primed
 * with the prompt) has put out so far: text that ends in U+FFFD is held back until a token follows
 * that ends otherwise, and what is held back when a request ends is dropped.  One difference: where
 * the prompt ends inside a character, vLLM puts out the whole prompt again; here only its last,
 * unfinished piece belongs to the output.
 *
 * Decoders of the kind CHAIN, which no language model is known to have, go by the stream's own
 * algorithm, which decodes the last few tokens again for each.
 *
 * One buffer holds the text and behind it the bytes held back.  Growing it is the only allocation;
 * lls_detok_reserve() does it ahead.  One thread at a time.
 */
#ifndef LLS_TEXT_DETOK_H
#define LLS_TEXT_DETOK_H

#include "text/tokenizer.h"

typedef struct lls_detok {
    const lls_tokenizer_t *tokenizer;
    lls_mem_t             *mem;
    char                  *text;            /* [0, len) is the output so far, without a NUL */
    size_t                 len;
    size_t                 cap;
    size_t                 held;            /* bytes held back, at text + len */
    uint32_t               n_run;           /* byte tokens at the end of what is held back */
    struct lls_detok_window *window;        /* of a CHAIN */
    bool                   skip_special;
    bool                   at_start;        /* nothing was decoded yet: a leading space may go */
    bool                   after_run; /* what was put out last ends in byte tokens, and no text
                                       * has come since */
    bool                   blank_run;       /* after_run, and that is only what the chain strips */
    bool                   broken; /* what was put out is no prefix any more: see detok.c */
} lls_detok_t;

/* prompt: its ids, of which only the last few are looked at.  Zeroed storage may be passed to
 * deinit. */
llm_status_t lls_detok_init(lls_detok_t *d, const lls_tokenizer_t *t, lls_mem_t *mem,
                            const int32_t *prompt, size_t n_prompt, bool skip_special,
                            llm_error_t *err);
void         lls_detok_deinit(lls_detok_t *d);
/* Room for the text of n more tokens of average length: `bytes` more bytes. */
llm_status_t lls_detok_reserve(lls_detok_t *d, size_t bytes, llm_error_t *err);
/* d->text, d->len grow by what became whole.  After LLM_ERR_NO_MEMORY nothing has changed. */
llm_status_t lls_detok_push(lls_detok_t *d, int32_t id, llm_error_t *err);
/* A copy that goes on by itself, in storage of its own: for n > 1. */
llm_status_t lls_detok_copy(lls_detok_t *to, const lls_detok_t *from, llm_error_t *err);

#endif
