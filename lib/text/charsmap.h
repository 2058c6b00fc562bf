/* SPDX-License-Identifier: Apache-2.0 */
/*
 * charsmap - the compiled normalization rules of SentencePiece: a Darts double array from strings
 * to replacements.
 *
 * The bytes of the file are kept as they are; every walk checks its bounds, so a damaged map gives
 * wrong text at worst.
 */
#ifndef LLS_TEXT_CHARSMAP_H
#define LLS_TEXT_CHARSMAP_H

#include "base/mem.h"
#include "base/num.h"

typedef struct lls_charsmap {
    uint32_t *units;
    char     *texts;            /* replacements, a NUL behind each */
    size_t    n_units, n_texts;
    uint64_t  alone[0x10000 / 64];  /* a bit for each character of the first plane that is mapped
                                       where it is alone */
} lls_charsmap_t;

static inline bool lls_charsmap_has(const lls_charsmap_t *c, uint32_t cp)
{
    return cp >= 0x10000 || (c->alone[cp / 64] >> cp % 64 & 1) != 0;
}

/* data: u32 length of the array in bytes, the array, the replacements.  LLM_ERR_FORMAT names where
 * and the reason.  No bytes at all are an empty map. */
llm_status_t lls_charsmap_init(lls_charsmap_t *c, lls_mem_t *mem, const char *where,
                               const uint8_t *data, size_t n, llm_error_t *err);
void         lls_charsmap_deinit(lls_charsmap_t *c, lls_mem_t *mem);
/* The shortest (or longest) key that text begins with: its length, and the replacement; 0 if there
 * is none. */
size_t lls_charsmap_find(const lls_charsmap_t *c, const char *text, size_t len, bool longest,
                         const char **to, size_t *to_len);

#endif
