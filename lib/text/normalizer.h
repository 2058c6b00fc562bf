/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normalizer - steps that rewrite a text before it is cut: NFC, Replace, Prepend.
 *
 * Each byte of the new text carries the mark of what it came from.
 */
#ifndef LLS_TEXT_NORMALIZER_H
#define LLS_TEXT_NORMALIZER_H

#include "text/pattern.h"

enum lls_norm_kind { LLS_NORM_NFC, LLS_NORM_REPLACE, LLS_NORM_PREPEND };

typedef struct lls_norm {
    uint8_t       kind;         /* enum lls_norm_kind */
    lls_pattern_t pattern;      /* REPLACE */
    char         *text;         /* what to put in */
    size_t        len;
} lls_norm_t;

/* A text and its marks: mark is empty when the source had none. */
typedef struct lls_normed {
    const char    *text;
    const uint8_t *mark;        /* NULL = none */
    size_t         len;
} lls_normed_t;

typedef struct lls_norm_work {
    lls_mem_t *mem;
    lls_buf_t  text[2], mark[2];
    uint32_t  *chars;           /* NFC: code points of one stretch, and their classes */
    size_t     chars_cap;
} lls_norm_work_t;

void lls_norm_work_init(lls_norm_work_t *w, lls_mem_t *mem);
void lls_norm_work_deinit(lls_norm_work_t *w);
/* *t is replaced by its normalized form, which lives in w until the next run. */
llm_status_t lls_norm_run(const lls_norm_t *steps, size_t n_steps, const lls_pattern_ctx_t *ctx,
                          lls_norm_work_t *w, lls_normed_t *t);

/* Canonical composition of s, appended to out; see nfc.c for the data used. */
bool lls_nfc(lls_norm_work_t *w, const lls_normed_t *in, lls_buf_t *out, lls_buf_t *mark);
/* True if nothing in the text could change. */
bool lls_nfc_is_quick(const char *text, size_t len);

#endif
