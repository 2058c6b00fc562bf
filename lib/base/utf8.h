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

static inline bool lls_utf8_is_tail(unsigned char c) { return (c & 0xc0) == 0x80; }

/* Bytes of the well-formed character at text[0 .. len), its code point in *cp; 0 if ill-formed or
 * cut off.  len >= 1. */
static inline size_t lls_utf8_decode(const char *text, size_t len, uint32_t *cp)
{
    const unsigned char *s = (const unsigned char *)text;

    *cp = s[0];
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xe0) {
        if (s[0] < 0xc2 || len < 2 || !lls_utf8_is_tail(s[1]))
            return 0;
        *cp = (s[0] & 0x1fu) << 6 | (s[1] & 0x3fu);
        return 2;
    }
    if (s[0] < 0xf0) {
        if (len < 3 || !lls_utf8_is_tail(s[1]) || !lls_utf8_is_tail(s[2]))
            return 0;
        *cp = (s[0] & 0x0fu) << 12 | (s[1] & 0x3fu) << 6 | (s[2] & 0x3fu);
        return *cp < 0x800 || (*cp >= 0xd800 && *cp < 0xe000) ? 0 : 3;
    }
    if (len < 4 || !lls_utf8_is_tail(s[1]) || !lls_utf8_is_tail(s[2]) || !lls_utf8_is_tail(s[3]))
        return 0;
    *cp = (s[0] & 0x07u) << 18 | (s[1] & 0x3fu) << 12 | (s[2] & 0x3fu) << 6 | (s[3] & 0x3fu);
    return s[0] > 0xf4 || *cp < 0x10000 || *cp > 0x10ffff ? 0 : 4;
}
/* Writes 1 to 4 bytes; cp is a scalar value. */
size_t lls_utf8_encode(uint32_t cp, char out[4]);
/* Bytes that are well-formed from the start: len if all are. */
size_t lls_utf8_valid(const char *text, size_t len);

#endif
