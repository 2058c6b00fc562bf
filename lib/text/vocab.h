/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vocab - the tokens of a model: id to bytes and bytes to id.
 *
 * In a byte-level vocabulary a token that is spelled in GPT-2's alphabet is kept as the bytes it
 * stands for; other spellings (added tokens with spaces, say) are kept literally and never meet the
 * former. Filled once, then read only.
 */
#ifndef LLS_TEXT_VOCAB_H
#define LLS_TEXT_VOCAB_H

#include "text/buf.h"
#include "text/datrie.h"

typedef struct lls_vocab_entry {
    uint32_t off, len;
    uint8_t  used;              /* there is a token of this id */
    uint8_t  literal;           /* not in the alphabet of a byte-level vocabulary */
} lls_vocab_entry_t;

typedef struct lls_vocab {
    lls_mem_t         *mem;
    lls_buf_t          bytes;
    lls_vocab_entry_t *entries;
    size_t             cap;     /* of entries */
    uint32_t          *slots;   /* open addressing: id + 1, 0 = free */
    uint32_t           n;       /* largest id + 1 */
    uint32_t           n_used;
    uint32_t           mask;    /* slots - 1 */
    bool               byte_level;
    bool               any_double;  /* some spelling has two ids */
} lls_vocab_t;

/* Room for ids below n and no more tokens than that; bytes is a guess at the sum of their lengths.
 */
bool lls_vocab_init(lls_vocab_t *v, lls_mem_t *mem, uint32_t n, size_t bytes, bool byte_level);
/* Makes room for ids below n; no more tokens than before. */
bool lls_vocab_reach(lls_vocab_t *v, uint32_t n);
void lls_vocab_deinit(lls_vocab_t *v);
/* The spelling of the file.  A second token of the same spelling wins lookups.  False: no memory.
 */
bool lls_vocab_add(lls_vocab_t *v, uint32_t id, const char *text, size_t len);
/* The same for a token given by its bytes. */
bool lls_vocab_add_bytes(lls_vocab_t *v, uint32_t id, const char *bytes, size_t len);
/* By bytes as kept; -1 if there is none. */
int32_t lls_vocab_find(const lls_vocab_t *v, const char *bytes, size_t len, bool literal);
/* The same, quick where the token is `guess`, which may be any number, or the one behind it. */
int32_t lls_vocab_find_near(const lls_vocab_t *v, const char *bytes, size_t len, int32_t guess);
/* By the spelling of the file. */
int32_t lls_vocab_find_spelling(const lls_vocab_t *v, const char *text, size_t len);

/* The tokens <0x00> to <0xFF>; -1 = none. */
void lls_vocab_byte_ids(const lls_vocab_t *v, int32_t ids[256]);
/* A trie of what is behind `prefix` of the tokens that begin with it and have more.  kinds: [n],
 * NULL = all are of kind 0; those are taken whose bit is in `wanted`.  False: no memory. */
bool lls_vocab_trie(const lls_vocab_t *v, lls_mem_t *mem, const char *prefix, size_t prefix_len,
                    const uint8_t *kinds, uint32_t wanted, lls_datrie_t *out);

static inline const char *lls_vocab_bytes(const lls_vocab_t *v, uint32_t id, size_t *len)
{
    *len = v->entries[id].len;
    return v->bytes.data + v->entries[id].off;
}

/* GPT-2's alphabet: the character of a byte, and back (-1 if it is none of them). */
uint32_t lls_byte_to_char(uint8_t byte);
int      lls_char_to_byte(uint32_t cp);
/* out has room for len bytes; false if some character is not of the alphabet or not UTF-8. */
bool     lls_bytes_of_spelling(const char *text, size_t len, char *out, size_t *n);

#endif
