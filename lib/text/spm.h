/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spm - SentencePiece's byte-pair encoding, which has no list of merges: of two neighbours whose
 * texts together are a piece, those of the highest score become it, of equal ones the leftmost.
 *
 * User-defined pieces are taken whole and never merged; pieces that are unused are taken apart
 * again.  Built once, then read only; the work area belongs to one call.
 */
#ifndef LLS_TEXT_SPM_H
#define LLS_TEXT_SPM_H

#include "text/cuts.h"
#include "text/datrie.h"
#include "text/heap.h"
#include "text/unigram.h"
#include "text/vocab.h"
#include "text/words.h"

typedef struct lls_spm {
    const lls_vocab_t *vocab;
    float             *scores;          /* [vocab n] */
    uint8_t           *kinds;           /* [vocab n], LLS_PIECE_* */
    lls_datrie_t       user;            /* user-defined pieces */
    int32_t            byte_id[256];
    int32_t            unk_id;          /* -1 = a character without a piece vanishes */
    size_t             max_piece;       /* bytes of the longest */
    bool               byte_fallback;
    bool               any_unused;
    lls_cuts_t         cuts;
} lls_spm_t;

typedef struct lls_spm_symbol {
    uint32_t begin, len;                /* of the text; len 0 = merged into the one before */
    uint32_t prev, next;                /* LLS_NONE = none */
    bool     frozen;
} lls_spm_symbol_t;

typedef struct lls_spm_work {
    lls_mem_t        *mem;
    lls_spm_symbol_t *symbols;
    lls_heap_t        heap;
    uint32_t         *left_len;         /* [vocab n]: how an unused piece was made */
    lls_spans_t       stack;
    size_t            symbols_cap, left_cap;
    bool              met_unk;          /* the word has an unk, which the one before decides on */
} lls_spm_work_t;

/* scores, kinds and unk_id are set; vocab is whole. */
bool lls_spm_seal(lls_spm_t *m, lls_mem_t *mem, const lls_vocab_t *vocab);
void lls_spm_deinit(lls_spm_t *m, lls_mem_t *mem);
void lls_spm_work_deinit(lls_spm_work_t *w);
/* Appends the ids of a text; false when memory is out. */
bool lls_spm_encode(const lls_spm_t *m, lls_spm_work_t *w, lls_words_t *words, const char *text,
                    size_t len, lls_ids_t *out);

#endif
