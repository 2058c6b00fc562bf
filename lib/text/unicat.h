/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unicat - what characters are to the normalizers of HF tokenizers 0.23.3: marks to be stripped,
 * what BERT drops, grapheme clusters as far as a charsmap can tell, case, scripts.
 *
 * The tables are lists of runs; each tokenizer expands the first plane of the classes.
 */
#ifndef LLS_TEXT_UNICAT_H
#define LLS_TEXT_UNICAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ORDER unicat: make_unicode.py has the same bits. */
enum {
    LLS_CAT_ACCENT     = 1,     /* StripAccents drops it */
    LLS_CAT_NONSPACING = 2,     /* BertNormalizer's strip_accents drops it */
    LLS_CAT_OTHER      = 4,     /* BertNormalizer's clean_text drops it */
    LLS_CAT_EXTEND     = 8,     /* stays in one cluster with what is before it */
    LLS_CAT_PREPEND    = 16,    /* .. with what is behind it */
    LLS_CAT_CONTROL    = 32,    /* nothing stays with it */
    LLS_CAT_UPPER      = 64,    /* \p{Lu} or \p{Lt} of the regex engine */
    LLS_CAT_LOWER      = 128    /* \p{Ll} */
};

#define LLS_UNICAT_PLANE 0x10000u

typedef struct lls_cp_range {
    uint32_t from, to;
} lls_cp_range_t;

typedef struct lls_lower_run {  /* from, from + step, .. to */
    uint32_t from, to;
    int32_t  step, distance;
} lls_lower_run_t;

extern const uint32_t        lls_unicat_n_runs, lls_script_n_runs, lls_inert_n_runs;
extern const uint32_t        lls_lower_n_runs;
extern const uint32_t        lls_unicat_runs[];     /* first code point << 8 | class */
extern const uint32_t        lls_script_runs[];     /* first code point << 8 | script */
extern const lls_cp_range_t  lls_inert_runs[];
extern const lls_lower_run_t lls_lower_runs[];

typedef struct lls_unicat {
    uint8_t plane0[LLS_UNICAT_PLANE];
} lls_unicat_t;

void    lls_unicat_init(lls_unicat_t *u);
uint8_t lls_unicat_search(uint32_t cp);
/* A number for the script; 0 = any. */
uint8_t lls_script_of(uint32_t cp);
/* A character whose combining class and decomposition are newer than the data that is matched. */
bool    lls_is_inert(uint32_t cp);
/* The lower case of cp, one or two characters. */
size_t  lls_lower(uint32_t cp, uint32_t out[2]);

static inline uint8_t lls_unicat(const lls_unicat_t *u, uint32_t cp)
{
    return cp < LLS_UNICAT_PLANE ? u->plane0[cp] : lls_unicat_search(cp);
}

#endif
