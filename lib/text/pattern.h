/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern - what a tokenizer step looks for: a literal, a class of characters, one of the common
 * split regexes by a scanner of ours, or any other regex by Oniguruma.
 *
 * The scanners know these regexes by their exact text and give what HF's engine gives for every
 * code point; their matches cover the whole text.
 */
#ifndef LLS_TEXT_PATTERN_H
#define LLS_TEXT_PATTERN_H

#include "text/buf.h"
#include "text/regex.h"
#include "text/unicat.h"
#include "text/uniclass.h"

enum lls_pattern_kind {
    LLS_PAT_LITERAL,
    LLS_PAT_REGEX,
    LLS_PAT_CLASS,              /* one character of class `param` */
    LLS_PAT_WORDS,              /* \w+|[^\w\s]+ */
    LLS_PAT_GPT2,
    LLS_PAT_CL100K,             /* Llama-3 and Qwen; `param` digits at most */
    LLS_PAT_O200K,              /* gpt-oss, 3 digits, and tekken, one and no contractions */
    LLS_PAT_DIGITS3             /* [0-9][0-9][0-9] */
};

typedef struct lls_pattern {
    uint8_t      kind;          /* enum lls_pattern_kind */
    uint32_t     param;
    char        *text;          /* of a literal */
    size_t       len;
    lls_regex_t *regex;
} lls_pattern_t;

/* What a search needs: made once a call, shared by its searches. */
typedef struct lls_pattern_ctx {
    const lls_uniclass_t *classes;
    const lls_unicat_t   *cats;
    lls_regex_match_t    *match;    /* NULL if no pattern is a regex */
    llm_error_t          *err;
} lls_pattern_ctx_t;

/* where: file and JSON path, for errors.  plain forbids the scanners. */
llm_status_t lls_pattern_regex(lls_pattern_t *p, lls_mem_t *mem, const char *where,
                               const char *regex, size_t len, bool plain, llm_error_t *err);
llm_status_t lls_pattern_literal(lls_pattern_t *p, lls_mem_t *mem, const char *text, size_t len,
                                 llm_error_t *err);
void         lls_pattern_deinit(lls_pattern_t *p, lls_mem_t *mem);

/* The next match in text[from, len): 1 found, perhaps empty; 0 none; or a negative
 * llm_status_t. */
int lls_pattern_find(const lls_pattern_t *p, const lls_pattern_ctx_t *ctx, const char *text,
                     size_t len, size_t from, size_t *begin, size_t *end);
/* True if matches cover every text; then lls_pattern_scan() gives the length of the one at text. */
bool   lls_pattern_is_total(const lls_pattern_t *p);
size_t lls_pattern_scan(const lls_pattern_t *p, const lls_pattern_ctx_t *ctx, const char *text,
                        size_t len);

#endif
