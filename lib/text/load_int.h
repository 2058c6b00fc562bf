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

/* Where the two large tables of a model are in the text of a tokenizer.json; len 0 = absent. */
typedef struct lls_tables {
    const char *text;
    size_t      vocab, vocab_len, merges, merges_len;
    uint64_t    n_vocab, n_merges;      /* elements at most */
} lls_tables_t;

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

/* As above, a copy that the tokenizer owns. */
llm_status_t lls_load_copy(const lls_load_t *l, const json_t *o, const char *key, char **text,
                           size_t *len);
/* An integer in [0, max]; def -1: it must be there. */
llm_status_t lls_load_count(const lls_load_t *l, const json_t *o, const char *key, json_int_t def,
                            json_int_t max, uint64_t *out);
/* o.pattern: {"String": s} or {"Regex": s}; plain forbids the scanners. */
llm_status_t lls_load_pattern(lls_load_t *l, const json_t *o, bool plain, lls_pattern_t *out);

/* A step, by the name of its type. */
typedef llm_status_t lls_load_fn(lls_load_t *l, const json_t *o);
typedef struct lls_load_kind {
    const char  *type;
    lls_load_fn *load;
} lls_load_kind_t;
llm_status_t lls_load_dispatch(lls_load_t *l, const json_t *o, const lls_load_kind_t *kinds,
                               size_t n);
/* Every step of the array o.key. */
llm_status_t lls_load_sequence(lls_load_t *l, const json_t *o, const char *key, lls_load_fn *load);

/* prepend_scheme and the older add_prefix_space of a Metaspace. */
llm_status_t lls_load_scheme(const lls_load_t *l, const json_t *o, uint8_t *out);
/* Appends what base64 text stands for; false if it is none, or without memory. */
bool lls_base64(const char *text, size_t len, lls_buf_t *out);

/* Parts of tokenizer.json; each value may be null. */
llm_status_t lls_load_normalizer(lls_load_t *l, const json_t *o);
llm_status_t lls_load_pre_tokenizer(lls_load_t *l, const json_t *o);
/* Whether the text can stay bytes behind ByteLevel: one such step, and only cuts behind it. */
bool         lls_load_keeps_bytes(const json_t *pre_tokenizer);
llm_status_t lls_load_post_processor(lls_load_t *l, const json_t *o);
llm_status_t lls_load_decoder(lls_load_t *l, const json_t *o);
/* model is what is left of it without vocab and merges, which are read from the text. */
llm_status_t lls_load_model(lls_load_t *l, const json_t *model, const lls_tables_t *tables);
/* A vocabulary that is an object of ids. */
llm_status_t lls_load_vocab(lls_load_t *l, const lls_tables_t *tables);
/* The JSON object in dir/name; *out is NULL where there is no such file. */
llm_status_t lls_load_beside(const lls_tokenizer_t *t, const char *dir, const char *name,
                             json_t **out, llm_error_t *err);
/* An added token, with the content and the flags of a tokenizer.json. */
llm_status_t lls_load_added_token(lls_load_t *l, const json_t *o);

#endif
