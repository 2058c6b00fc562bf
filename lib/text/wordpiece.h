/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wordpiece - the models WordPiece and WordLevel: the longest token that a word begins with, then
 * the longest that goes on with a prefix, or unk for the whole word; or the word as a whole.
 * Built once, then read only.
 */
#ifndef LLS_TEXT_WORDPIECE_H
#define LLS_TEXT_WORDPIECE_H

#include "text/datrie.h"
#include "text/vocab.h"

typedef struct lls_wordpiece {
    const lls_vocab_t *vocab;
    lls_datrie_t       head, tail;      /* tokens; those with the prefix, without it */
    char              *prefix;          /* "##" */
    size_t             prefix_len;
    uint64_t           max_chars;       /* of a word; longer ones are unk */
    int32_t            unk_id;          /* -1 = none: such a word is an error, or vanishes */
    bool               word_level;
} lls_wordpiece_t;

/* prefix and the numbers are set; vocab is whole. */
bool lls_wordpiece_seal(lls_wordpiece_t *m, lls_mem_t *mem, const lls_vocab_t *vocab);
void lls_wordpiece_deinit(lls_wordpiece_t *m, lls_mem_t *mem);
/* Appends the ids of one word. */
llm_status_t lls_wordpiece_encode(const lls_wordpiece_t *m, const char *text, size_t len,
                                  lls_ids_t *out, llm_error_t *err);

#endif
