/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unigram - the cut of a text into pieces whose scores have the largest sum (Viterbi).
 *
 * The order of the sums and of the comparisons is Hugging Face's, or SentencePiece's where
 * `sentencepiece` is set: scores in single precision, user-defined pieces preferred.  Of equal
 * paths the first found stays.  Built once, then read only; the work area belongs to one call.
 */
#ifndef LLS_TEXT_UNIGRAM_H
#define LLS_TEXT_UNIGRAM_H

#include "text/datrie.h"
#include "text/vocab.h"

/* Kinds of SentencePiece's pieces; control, unknown and byte pieces are reserved. */
enum { LLS_PIECE_NORMAL, LLS_PIECE_USER, LLS_PIECE_UNUSED, LLS_PIECE_RESERVED };

typedef struct lls_unigram {
    const lls_vocab_t *vocab;
    double            *scores;          /* [vocab n] */
    uint8_t           *kinds;           /* [vocab n], LLS_PIECE_*; NULL = all normal */
    lls_datrie_t       trie;
    lls_datrie_t       user;            /* user-defined pieces, for the normalizer */
    double             unk_score, max_score;
    int32_t            byte_id[256];
    int32_t            unk_id;          /* -1 = a character without a piece is an error */
    bool               byte_fallback;
    bool               sentencepiece;
} lls_unigram_t;

typedef struct lls_viterbi_node {
    double   score;                     /* of the best path that ends here */
    uint32_t from;                      /* where its last piece begins; LLS_NONE = no path */
    int32_t  id;
} lls_viterbi_node_t;

typedef struct lls_unigram_work {
    lls_mem_t          *mem;
    lls_viterbi_node_t *nodes;
    size_t              cap;
} lls_unigram_work_t;

/* scores, unk_id and the flags are set; vocab is whole. */
bool lls_unigram_seal(lls_unigram_t *u, lls_mem_t *mem, const lls_vocab_t *vocab);
void lls_unigram_deinit(lls_unigram_t *u, lls_mem_t *mem);
/* Appends the ids of one piece of text; LLM_ERR_INVALID where a character has no piece and there is
 * no unk_id. */
llm_status_t lls_unigram_encode(const lls_unigram_t *u, lls_unigram_work_t *w, const char *text,
                                size_t len, lls_ids_t *out, llm_error_t *err);

#endif
