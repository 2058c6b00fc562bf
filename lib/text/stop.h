/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stop - stop strings: where the text of a request ends, and what of it may be shown before.
 *
 * After each step the strings are searched in the text of which at least the last byte is new; the
 * match that ends first wins, ties go to the first in the list.  Text made while at most min_tokens
 * tokens were out is never searched.  A const lls_stop_t may be shared by the n completions of a
 * request; lls_stop_t owns copies of its strings.
 */
#ifndef LLS_TEXT_STOP_H
#define LLS_TEXT_STOP_H

#include "base/mem.h"

typedef struct lls_stop_string {
    char  *text;
    size_t len;
} lls_stop_string_t;

typedef struct lls_stop {
    lls_mem_t         *mem;
    lls_stop_string_t *strings;
    size_t             n;
    size_t             hold_chars;      /* characters kept back while the request runs */
    uint32_t           min_tokens;
    bool               include;         /* the string itself stays in the text */
} lls_stop_t;

/* Empty strings and strings that are not UTF-8 are LLM_ERR_INVALID with param "stop". */
llm_status_t lls_stop_init(lls_stop_t *s, lls_mem_t *mem, const char *const *strings, size_t n,
                           bool include, uint32_t min_tokens, llm_error_t *err);
void         lls_stop_deinit(lls_stop_t *s);

/* text[0, len) is all output, of which [0, seen) was there before this step's tokens; n_tokens is
 * the number of output tokens, this step's included.  True: the request ends with text[0, *keep),
 * and *which is the index of the string.  With several tokens a step call it after each. */
bool   lls_stop_find(const lls_stop_t *s, const char *text, size_t seen, size_t len,
                     uint32_t n_tokens, size_t *keep, size_t *which);
/* Bytes of text[0, len) that may be shown while the request runs on. */
size_t lls_stop_visible(const lls_stop_t *s, const char *text, size_t len);

#endif
