/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_case - tables of characters: upper, lower, title and folded case, what str.isalpha() and
 * the like say, the entities of HTML, all as Python has them.  The tables are made by
 * tests/golden/chat/make_jcase.py.
 */
#ifndef LLS_TEXT_JINJA_CASE_H
#define LLS_TEXT_JINJA_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* first, first + step, ... last; each maps to itself + delta.  title and fold have those only that
 * upper and lower map to something else. */
typedef struct lls_jcase_run {
    uint32_t first, last;
    int32_t  step, delta;
} lls_jcase_run_t;

typedef struct lls_jcase_long { /* a character that becomes several */
    uint32_t    cp;
    char        kind; /* U, L, T or F */
    const char *to;
} lls_jcase_long_t;

extern const lls_jcase_run_t lls_jcase_upper[], lls_jcase_lower[], lls_jcase_title[],
    lls_jcase_is_lower[], lls_jcase_is_upper[], lls_jcase_fold[];
extern const size_t lls_jcase_n_upper, lls_jcase_n_lower, lls_jcase_n_title, lls_jcase_n_is_lower,
    lls_jcase_n_is_upper, lls_jcase_n_fold;
extern const lls_jcase_long_t lls_jcase_long[];
extern const size_t           lls_jcase_n_long;

enum { /* ORDER jclass */
    LLS_JALPHA = 1,
    LLS_JDECIMAL = 2,
    LLS_JDIGIT = 4,
    LLS_JNUMERIC = 8,
    LLS_JPRINTABLE = 16,
    LLS_JNAME_START = 32,
    LLS_JNAME = 64,
    LLS_JALNUM = LLS_JALPHA | LLS_JDECIMAL | LLS_JDIGIT | LLS_JNUMERIC /* any of them */
};

typedef struct lls_jclass_run {
    uint32_t first, last;
    uint8_t  bits;
} lls_jclass_run_t;

extern const lls_jclass_run_t lls_jclass[];
extern const size_t           lls_jclass_n;

uint8_t lls_jclass_of(uint32_t cp);

typedef struct lls_jentity { /* of HTML, by name; most names end in ';' */
    const char *name, *to;
} lls_jentity_t;

extern const lls_jentity_t lls_jentities[]; /* in the order of names */
extern const size_t        lls_jentities_n;

#endif
