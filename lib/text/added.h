/* SPDX-License-Identifier: Apache-2.0 */
/*
 * added - added tokens: spellings that are cut out of a text before the model sees it.
 *
 * Two tries, one for tokens that are looked for in the raw text and one for those looked for after
 * normalizing; the longest match at the leftmost place counts.  Ids are given as Hugging Face gives
 * them: the model's id of that spelling, else the next free one.
 */
#ifndef LLS_TEXT_ADDED_H
#define LLS_TEXT_ADDED_H

#include "text/buf.h"
#include "text/uniclass.h"

typedef struct lls_added_token {
    int32_t  id;
    uint32_t len;
    char    *content;
    bool     single_word, lstrip, rstrip, normalized, special;
} lls_added_token_t;

typedef struct lls_trie_node {
    uint32_t child, sibling;        /* LLS_NONE = none */
    uint32_t token;                 /* index of the token that ends here */
    uint8_t  byte;
} lls_trie_node_t;

typedef struct lls_trie {
    lls_trie_node_t *nodes;
    size_t           n, cap;
    uint32_t         root[256];
    bool             any;
} lls_trie_t;

typedef struct lls_added {
    lls_mem_t         *mem;
    lls_added_token_t *tokens;
    size_t             n, cap;
    lls_trie_t         raw, normal;
} lls_added_t;

typedef struct lls_added_match {
    size_t   begin, end;            /* with the blanks that the token swallows */
    size_t   next;                  /* where the search goes on */
    uint32_t token;
} lls_added_match_t;

void lls_added_init(lls_added_t *a, lls_mem_t *mem);
void lls_added_deinit(lls_added_t *a);
/* Copies content.  The same content again: the attributes given last count. */
bool lls_added_put(lls_added_t *a, const lls_added_token_t *token);
/* Once all are put: pattern is the spelling to look for, content or its normalized form. */
bool lls_added_index(lls_added_t *a, lls_trie_t *trie, uint32_t token, const char *pattern,
                     size_t len);
/* The token of this content, or NULL. */
const lls_added_token_t *lls_added_by_content(const lls_added_t *a, const char *text, size_t len);
/* The first match at or after `from`; blanks are swallowed back to `floor` at most.  Special tokens
 * are not found where a byte of them is marked; mark may be NULL. */
bool lls_added_find(const lls_added_t *a, const lls_trie_t *trie, const lls_uniclass_t *classes,
                    const char *text, const uint8_t *mark, size_t len, size_t floor, size_t from,
                    lls_added_match_t *match);

#endif
