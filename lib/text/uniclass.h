/* SPDX-License-Identifier: Apache-2.0 */
/*
 * uniclass - what kind of character a code point is, as HF tokenizers 0.23.3 sees it: \p{L}, \p{N},
 * \p{M} and \s of its regex engine, numbers, punctuation and \w of its other steps.
 *
 * The table in the file is a list of runs; each tokenizer expands the first plane into bytes, so
 * that nothing is static but constants.
 */
#ifndef LLS_TEXT_UNICLASS_H
#define LLS_TEXT_UNICLASS_H

#include <stddef.h>
#include <stdint.h>

/* ORDER uniclass: make_uniclass.py has the same bits. */
enum {
    LLS_UC_LETTER  = 1,
    LLS_UC_NUMBER  = 2,
    LLS_UC_MARK    = 4,
    LLS_UC_SPACE   = 8,
    LLS_UC_NUMERIC = 16,        /* the step Digits */
    LLS_UC_PUNCT   = 32,        /* the step Punctuation */
    LLS_UC_WORD    = 64         /* single_word of added tokens */
};

#define LLS_UNICLASS_PLANE 0x10000u

extern const uint32_t lls_uniclass_n_runs;
extern const uint32_t lls_uniclass_runs[];      /* first code point << 8 | class */

typedef struct lls_uniclass {
    uint8_t plane0[LLS_UNICLASS_PLANE];
} lls_uniclass_t;

/* A list of runs, each its first code point << 8 | class: the class of cp, by bisection. */
uint8_t lls_runs_search(const uint32_t *runs, uint32_t n, uint32_t cp);
/* The classes of the first plane. */
void    lls_runs_expand(const uint32_t *runs, uint32_t n, uint8_t plane[LLS_UNICLASS_PLANE]);

/* Of n ranges in order the first that does not end before cp, or n.  Each has `size` bytes and
 * begins with its first and last character as uint32_t. */
static inline size_t lls_range_at(const void *ranges, size_t size, size_t n, uint32_t cp)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t          mid = (low + high) / 2;
        const uint32_t *ends = (const void *)((const char *)ranges + mid * size);

        if (ends[1] < cp)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void    lls_uniclass_init(lls_uniclass_t *u);
uint8_t lls_uniclass_search(uint32_t cp);       /* by bisection */

static inline uint8_t lls_uniclass(const lls_uniclass_t *u, uint32_t cp)
{
    return cp < LLS_UNICLASS_PLANE ? u->plane0[cp] : lls_uniclass_search(cp);
}

#endif
