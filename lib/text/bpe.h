/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpe - byte-pair encoding: the lowest rank is merged first, of equal ones the leftmost.
 *
 * Three start alphabets share it: bytes (byte-level vocabularies), and characters with or without
 * byte fallback.  Pieces of up to 64 symbols are merged in an array, longer ones with a heap, so
 * time is O(n log n).  Built once, then read only; the work area belongs to one call.
 */
#ifndef LLS_TEXT_BPE_H
#define LLS_TEXT_BPE_H

#include "text/cuts.h"
#include "text/vocab.h"
#include "text/words.h"

typedef struct lls_bpe_pair {
    uint64_t key;               /* left << 32 | right, plus 1; 0 = free */
    uint32_t rank;
    int32_t  id;                /* of the merged token */
} lls_bpe_pair_t;

typedef struct lls_bpe {
    lls_mem_t         *mem;
    const lls_vocab_t *vocab;
    lls_bpe_pair_t    *pairs;
    uint64_t          *filter;          /* a bit of each key's hash: most pairs are no merge, and
                                           this is small enough to stay near */
    uint64_t           mask;
    uint32_t           n_pairs;
    int32_t            last_merged;     /* by the merge added last */
    int32_t            byte_id[256];    /* token of a byte, of <0xNN> under fallback; -1 = none */
    char              *prefix;          /* before every character but the first; NULL = none */
    char              *suffix;          /* behind the last */
    size_t             prefix_len, suffix_len;
    int32_t            ascii_id[128];   /* token of a character; -1 = none */
    int32_t            unk_id;          /* -1 = a character without a token vanishes */
    bool               byte_level;
    bool               byte_fallback;
    bool               fuse_unk;
    bool               ignore_merges;
    lls_cuts_t         cuts;
} lls_bpe_t;

typedef struct lls_bpe_work lls_bpe_work_t;

/* vocab is whole.  Then flags and affixes are set, then merges come. */
void lls_bpe_init(lls_bpe_t *b, lls_mem_t *mem, const lls_vocab_t *vocab);
/* Room for n merges; false without memory. */
bool lls_bpe_merges(lls_bpe_t *b, uint32_t n);
void lls_bpe_deinit(lls_bpe_t *b);
/* The last rank of a pair wins. */
void lls_bpe_add_merge(lls_bpe_t *b, int32_t left, int32_t right, uint32_t rank, int32_t merged);
/* The same for two spellings of the file; *why is set where a part or the result is no token.
 * False: no memory; `both` is for use inside. */
bool lls_bpe_read_merge(lls_bpe_t *b, const char *left, size_t left_len, const char *right,
                        size_t right_len, uint32_t rank, lls_buf_t *both, const char **why);
/* After the flags and merges are set: finds byte_id and where texts may be cut. */
llm_status_t lls_bpe_seal(lls_bpe_t *b, llm_error_t *err);

lls_bpe_work_t *lls_bpe_work_create(lls_mem_t *mem);
void            lls_bpe_work_destroy(lls_bpe_work_t *w);
/* Appends the ids of one piece; false when memory is out. */
bool lls_bpe_encode(const lls_bpe_t *b, lls_bpe_work_t *w, lls_words_t *words, const char *text,
                    size_t len, lls_ids_t *out);

#endif
