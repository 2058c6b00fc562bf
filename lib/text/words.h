/* SPDX-License-Identifier: Apache-2.0 */
/*
 * words - what short texts gave the model, kept over the calls of a tokenizer: a word that comes
 * again costs one look.
 *
 * A table has N slots of a cache line, one place for a text, and belongs to one call at a time: a
 * call borrows it from the tokenizer's pool and gives it back, so that threads never share one.  A
 * short first text goes without.  What is kept is what the model gives, so results do not depend on
 * it.
 */
#ifndef LLS_TEXT_WORDS_H
#define LLS_TEXT_WORDS_H

#include <stdatomic.h>

#include "text/buf.h"

#define LLS_WORD_BYTES 24u
#define LLS_WORD_IDS 8u
#define LLS_WORDS_IDLE 16u              /* tables that a pool keeps */

typedef struct lls_word {
    uint64_t text[LLS_WORD_BYTES / 8];  /* zero behind its end */
    uint32_t tag;                       /* length << 1 | part; 0 = free */
    uint32_t n;
    int32_t  ids[LLS_WORD_IDS];
} lls_word_t;

typedef struct lls_words_pool {
    lls_mem_t *mem;
    _Atomic(lls_word_t *) idle[LLS_WORDS_IDLE];
} lls_words_pool_t;

/* What one call has; without a pool it keeps nothing. */
typedef struct lls_words {
    lls_words_pool_t *pool;
    lls_word_t       *table;            /* NULL until it pays */
    uint32_t          n_looks;
} lls_words_t;

typedef struct lls_word_key {
    uint64_t text[LLS_WORD_BYTES / 8];
    uint32_t tag, slot;
} lls_word_key_t;

lls_words_pool_t *lls_words_pool_create(lls_mem_t *mem);
void              lls_words_pool_destroy(lls_words_pool_t *p);
void              lls_words_begin(lls_words_t *w, lls_words_pool_t *pool);
void              lls_words_end(lls_words_t *w);

/* Appends what the text gave before; false if that is not known.  part: of texts that are only a
 * part of what the model was asked for.  Then the key serves lls_words_keep(). */
bool lls_words_find(lls_words_t *w, const char *text, size_t len, bool part, lls_word_key_t *key,
                    lls_ids_t *out);
void lls_words_keep(lls_words_t *w, const lls_word_key_t *key, const int32_t *ids, size_t n);

#endif
