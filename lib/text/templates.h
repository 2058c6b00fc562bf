/* SPDX-License-Identifier: Apache-2.0 */
/*
 * templates - the chat templates of one tokenizer, by name, and the special tokens that they may
 * read.
 *
 * Loaders add; lls_templates_get() compiles a template when it is first asked for, once, whichever
 * thread asks, and keeps it.  A template that does not compile fails at each use, with its line.
 */
#ifndef LLS_TEXT_TEMPLATES_H
#define LLS_TEXT_TEMPLATES_H

#include <stdatomic.h>

#include "text/jinja.h"

typedef struct lls_chat_template {
    char                  *name; /* "default", "tool_use", "rag", ... */
    char                  *text;
    size_t                 len;
    _Atomic(lls_jinja_t *) compiled; /* NULL = not yet */
} lls_chat_template_t;

typedef struct lls_templates {
    lls_mem_t            *mem;
    lls_chat_template_t **items;
    size_t                n, cap;
    lls_chat_template_t **specials; /* "pad_token" and its text */
    size_t                n_specials, specials_cap;
    int64_t               now; /* < 0 = the clock */
} lls_templates_t;

void lls_templates_init(lls_templates_t *s, lls_mem_t *mem);
void lls_templates_deinit(lls_templates_t *s);
/* Copies both; a name that is there already keeps its text.  False without memory. */
bool lls_templates_add(lls_templates_t *s, const char *name, const char *text, size_t len);
bool lls_templates_add_special(lls_templates_t *s, const char *name, const char *text, size_t len);
/* Before others know the tokenizer. */
bool lls_templates_replace(lls_templates_t *s, const char *name, const char *text, size_t len);
/* NULL = there is none. */
lls_chat_template_t *lls_templates_find(const lls_templates_t *s, const char *name, size_t len);
/* *out lives as long as s. */
llm_status_t lls_templates_get(const lls_templates_t *s, lls_chat_template_t *t,
                               const lls_jinja_t **out, llm_error_t *err);

#endif
