/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load_int - helpers of the loaders: where we are in a JSON file, and typed reading with errors
 * that name file, JSON path and reason.
 */
#ifndef LLS_TEXT_LOAD_INT_H
#define LLS_TEXT_LOAD_INT_H

#include "base/json.h"
#include "text/tokenizer_int.h"

#define LLS_LOAD_MAX_DEPTH 16

typedef struct lls_load {
    lls_tokenizer_t *t;
    const char      *path;          /* of the file */
    llm_error_t     *err;
    char             where[128];    /* JSON path of the object at hand */
    int              depth;
} lls_load_t;

/* "<file>: <where>.<key>: <reason>" */
llm_status_t lls_load_fail(const lls_load_t *l, llm_status_t status, const char *key,
                           const char *reason);
llm_status_t lls_load_no_memory(const lls_load_t *l);
/* Appends ".key" or "[i]" to where; leave() takes the length that enter() returned. */
size_t lls_load_enter(lls_load_t *l, const char *key, size_t index);
void   lls_load_leave(lls_load_t *l, size_t len);

/* An absent or null key gives the default. */
llm_status_t lls_load_bool(const lls_load_t *l, const json_t *o, const char *key, bool def,
                           bool *out);
/* *text is NULL when absent or null; it lives as long as o. */
llm_status_t lls_load_str(const lls_load_t *l, const json_t *o, const char *key, const char **text,
                          size_t *len);
/* As above, but must be there. */
llm_status_t lls_load_need_str(const lls_load_t *l, const json_t *o, const char *key,
                               const char **text, size_t *len);

/* Parts of tokenizer.json; each value may be null. */
llm_status_t lls_load_normalizer(lls_load_t *l, const json_t *o);
llm_status_t lls_load_pre_tokenizer(lls_load_t *l, const json_t *o);
llm_status_t lls_load_post_processor(lls_load_t *l, const json_t *o);
llm_status_t lls_load_decoder(lls_load_t *l, const json_t *o);
llm_status_t lls_load_model(lls_load_t *l, const json_t *o);

#endif
