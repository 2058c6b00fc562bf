/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jscan - reads JSON from front to back without building it: for the vocabulary and the merges of a
 * tokenizer.json, which are most of the file, hold more than a json_t should, and may have NUL in
 * their keys, which jansson refuses.
 *
 * A scan is a position in a text; what is read moves it.  After a false, at is where the text is
 * not what was wanted.
 */
#ifndef LLS_TEXT_JSCAN_H
#define LLS_TEXT_JSCAN_H

#include "text/buf.h"

#define LLS_JSCAN_MAX_DEPTH 64

typedef struct lls_jscan {
    const char *text;
    size_t      len, at;
    bool        no_memory;          /* the reason of a false */
} lls_jscan_t;

/* Behind blanks: the next byte, 0 at the end; it is not taken. */
char lls_jscan_peek(lls_jscan_t *s);
/* Takes c behind blanks. */
bool lls_jscan_take(lls_jscan_t *s, char c);
/* A string, its characters in out as UTF-8; half a surrogate pair is an error. */
bool lls_jscan_string(lls_jscan_t *s, lls_buf_t *out);
/* An integer in [-2^63, 2^63). */
bool lls_jscan_integer(lls_jscan_t *s, int64_t *out);
/* A number as serde_json reads it, which is not always the nearest double. */
bool lls_jscan_double(lls_jscan_t *s, double *out);
/* Any value. */
bool lls_jscan_skip(lls_jscan_t *s);
/* The same, and *n elements at most are in it if it is an object or an array. */
bool lls_jscan_count(lls_jscan_t *s, uint64_t *n);
/* Walks an object or an array: open is '{' or '[', and *first is true before the first call.  True:
 * there is an element at the scan, its key in *key if it is an object's.  False: the end, with
 * *end true, or an error. */
bool lls_jscan_next(lls_jscan_t *s, char open, bool *first, lls_buf_t *key, bool *end);

#endif
