/* SPDX-License-Identifier: Apache-2.0 */
/*
 * utf8 - the one definition of well-formed UTF-8 (Unicode 15, table 3-7): no surrogates, no
 * overlong forms, nothing above U+10FFFF.
 */
#ifndef LLS_BASE_UTF8_H
#define LLS_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of the well-formed character at text[0 .. len), its code point in *cp; 0 if ill-formed or
 * cut off.  len >= 1. */
size_t lls_utf8_decode(const char *text, size_t len, uint32_t *cp);
/* Writes 1 to 4 bytes; cp is a scalar value. */
size_t lls_utf8_encode(uint32_t cp, char out[4]);
/* Bytes that are well-formed from the start: len if all are. */
size_t lls_utf8_valid(const char *text, size_t len);

#endif
