/* SPDX-License-Identifier: Apache-2.0 */
/*
 * regex - Oniguruma, with the syntax and options that Hugging Face's tokenizers give it.
 *
 * Used only for patterns that pattern.h has no scanner for.  Oniguruma takes its memory from
 * malloc: a compiled pattern keeps some kilobytes until it is freed, and its one-time
 * initialisation (guarded by a once flag, the only static of the library) keeps nothing that grows.
 * A compiled pattern may be searched by any thread; a match area belongs to one call.  A search
 * gives up after 10,000,000 steps.
 */
#ifndef LLS_TEXT_REGEX_H
#define LLS_TEXT_REGEX_H

#include "base/mem.h"

typedef struct lls_regex lls_regex_t;
typedef struct lls_regex_match lls_regex_match_t;

/* where names the pattern in errors: file and JSON path. */
llm_status_t lls_regex_compile(lls_mem_t *mem, const char *where, const char *pattern, size_t len,
                               lls_regex_t **out, llm_error_t *err);
void         lls_regex_free(lls_regex_t *re);

lls_regex_match_t *lls_regex_match_create(lls_mem_t *mem);
void               lls_regex_match_destroy(lls_regex_match_t *m);
/* The first match in text[from, len): 1 found, 0 not, or a negative llm_status_t. */
int lls_regex_find(const lls_regex_t *re, lls_regex_match_t *m, const char *text, size_t len,
                   size_t from, size_t *begin, size_t *end, llm_error_t *err);

#endif
