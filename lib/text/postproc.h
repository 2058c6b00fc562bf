/* SPDX-License-Identifier: Apache-2.0 */
/*
 * postproc - the special tokens around one text or a pair of texts: TemplateProcessing,
 * BertProcessing and RobertaProcessing all come to a list of ids and places for the texts.
 */
#ifndef LLS_TEXT_POSTPROC_H
#define LLS_TEXT_POSTPROC_H

#include "text/buf.h"

/* Items that stand for a text; others are token ids. */
enum { LLS_POST_A = -1, LLS_POST_B = -2 };

typedef struct lls_template {
    lls_ids_t items;            /* ids, LLS_POST_A, LLS_POST_B */
    lls_ids_t types;            /* the segment of each item */
} lls_template_t;

typedef struct lls_postproc {
    lls_template_t single, pair;
    bool           set;         /* some processor has filled them */
} lls_postproc_t;

void lls_postproc_init(lls_postproc_t *p, lls_mem_t *mem);
void lls_postproc_deinit(lls_postproc_t *p);
bool lls_template_put(lls_template_t *t, int32_t item, int32_t type);
/* before A after, and before A after before B after, or with `once` before A after B after; -1 = no
 * such token. */
bool lls_postproc_wrap(lls_postproc_t *p, int32_t before, int32_t after, bool once);

#endif
