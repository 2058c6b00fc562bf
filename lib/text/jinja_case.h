/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jinja_case - upper, lower and title case of characters, as Python has them.  The tables are made
 * by tests/golden/chat/make_jcase.py.
 */
#ifndef LLS_TEXT_JINJA_CASE_H
#define LLS_TEXT_JINJA_CASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct lls_jcase_run { /* first, first + step, ... last; each maps to itself + delta */
    uint32_t first, last;
    int32_t  step, delta;
} lls_jcase_run_t;

typedef struct lls_jcase_long { /* a character that becomes several */
    uint32_t    cp;
    char        kind; /* U, L or T */
    const char *to;
} lls_jcase_long_t;

extern const lls_jcase_run_t lls_jcase_upper[], lls_jcase_lower[], lls_jcase_title[],
    lls_jcase_is_lower[], lls_jcase_is_upper[];
extern const size_t lls_jcase_n_upper, lls_jcase_n_lower, lls_jcase_n_title, lls_jcase_n_is_lower,
    lls_jcase_n_is_upper;
extern const lls_jcase_long_t lls_jcase_long[];
extern const size_t           lls_jcase_n_long;

#endif
