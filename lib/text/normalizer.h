/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normalizer - steps that rewrite a text before it is cut.
 *
 * Each byte of the new text carries the mark of what it came from.  BertNormalizer is several steps
 * here; the steps that look at one character at a time share one loop.
 */
#ifndef LLS_TEXT_NORMALIZER_H
#define LLS_TEXT_NORMALIZER_H

#include "text/charsmap.h"
#include "text/datrie.h"
#include "text/pattern.h"
#include "text/unicat.h"

enum lls_norm_kind {
    LLS_NORM_NFC, LLS_NORM_NFD, LLS_NORM_NFKC, LLS_NORM_NFKD,
    LLS_NORM_REPLACE, LLS_NORM_PREPEND, LLS_NORM_STRIP, LLS_NORM_PRECOMPILED,
    LLS_NORM_SENTENCEPIECE,     /* all that SentencePiece does: see norm_sentence.c */
    /* one character at a time: */
    LLS_NORM_LOWER, LLS_NORM_STRIP_ACCENTS, LLS_NORM_NMT, LLS_NORM_BYTES,
    LLS_NORM_BERT_CLEAN, LLS_NORM_BERT_CHINESE, LLS_NORM_BERT_ACCENTS
};

typedef struct lls_norm {
    uint8_t        kind;        /* enum lls_norm_kind */
    bool           left, right; /* STRIP */
    bool           dummy, trim, escape;     /* SENTENCEPIECE: a blank before the text; no blanks
                                               at the ends nor next to each other; U+2581 */
    const lls_datrie_t *user;   /* SENTENCEPIECE: user-defined pieces; NULL = none */
    lls_pattern_t  pattern;     /* REPLACE */
    lls_charsmap_t charsmap;    /* PRECOMPILED, SENTENCEPIECE */
    char          *text;        /* what to put in */
    size_t         len;
    uint8_t        ascii[128];  /* one character at a time: what ASCII becomes; 0xff = nothing */
} lls_norm_t;

/* A text and its marks: mark is NULL when the source had none. */
typedef struct lls_normed {
    const char    *text;
    const uint8_t *mark;
    size_t         len;
    size_t         lead;        /* bytes of text that the first character of the source became */
    size_t         next_lead;   /* a step leaves here what lead is in its output */
} lls_normed_t;

typedef struct lls_norm_work {
    lls_mem_t *mem;
    lls_buf_t  text[2], mark[2];
    uint32_t  *chars;           /* of one stretch of a normal form, and their classes */
    size_t     chars_cap;
} lls_norm_work_t;

/* The last thing that is done to a step. */
void lls_norm_seal(lls_norm_t *s, const lls_pattern_ctx_t *ctx);
void lls_norm_deinit(lls_norm_t *s, lls_mem_t *mem);
void lls_norm_work_init(lls_norm_work_t *w, lls_mem_t *mem);
void lls_norm_work_deinit(lls_norm_work_t *w);
/* *t is replaced by its normalized form, which lives in w until the next run. */
llm_status_t lls_norm_run(const lls_norm_t *steps, size_t n_steps, const lls_pattern_ctx_t *ctx,
                          lls_norm_work_t *w, lls_normed_t *t);

/* n bytes that came from what has this mark; false: no memory. */
bool lls_norm_emit(lls_buf_t *text, lls_buf_t *mark, const lls_normed_t *from, const char *p,
                   size_t n, uint8_t flag);
/* The same for bytes [begin, end) of `from` and their marks. */
bool lls_norm_copy(lls_buf_t *text, lls_buf_t *mark, const lls_normed_t *from, size_t begin,
                   size_t end);
static inline uint8_t lls_norm_mark(const lls_normed_t *t, size_t i)
{
    return t->mark != NULL && i < t->len ? t->mark[i] : 0;
}

/* One of the normal forms, LLS_NORM_NFC to NFKD, appended to out; see unorm.c for the data used. */
bool lls_unorm(lls_norm_work_t *w, uint8_t form, lls_normed_t *in, lls_buf_t *out,
               lls_buf_t *mark);
/* True if nothing in the text could change. */
bool lls_unorm_is_quick(uint8_t form, const char *text, size_t len);

/* A text as a whole source. */
lls_normed_t lls_normed(const char *text, const uint8_t *mark, size_t len);

/* The steps of norm_charsmap.c and norm_sentence.c. */
bool lls_norm_precompiled(const lls_charsmap_t *c, const lls_unicat_t *cats,
                          lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark);
bool lls_norm_sentence(const lls_norm_t *s, lls_normed_t *in, lls_buf_t *text, lls_buf_t *mark);

#endif
