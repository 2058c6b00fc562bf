/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuts - where a text may be taken apart before pairs of it are merged: between two characters that
 * stand next to each other in no token.  No merge crosses such a place, so the parts give the ids
 * that the whole gives, and they are short and come again.
 *
 * Pairs are bits, those of ASCII each its own, others by hash: a bit that several pairs share only
 * makes longer parts.  Filled once, then read only.
 */
#ifndef LLS_TEXT_CUTS_H
#define LLS_TEXT_CUTS_H

#include "text/buf.h"

typedef struct lls_cuts {
    uint64_t  ascii[128][2];            /* [a] bit b: b stands behind a in a token */
    uint64_t *bits;                     /* NULL = nothing is cut */
    uint32_t  shift;                    /* 64 - log2 of their number */
    bool      torn;                     /* some token begins or ends inside a character */
} lls_cuts_t;

/* n_tokens: how many are to come, for the number of bits.  False: no memory. */
bool lls_cuts_init(lls_cuts_t *c, lls_mem_t *mem, uint32_t n_tokens);
void lls_cuts_deinit(lls_cuts_t *c, lls_mem_t *mem);
/* The bytes of a token that merges make. */
void lls_cuts_add(lls_cuts_t *c, const char *text, size_t len);
/* The length of the part at text; len >= 1. */
size_t lls_cuts_part(const lls_cuts_t *c, const char *text, size_t len);

#endif
