/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decoder - ids to text: what each id gives, worked out once, and the rules between ids.
 *
 * The steps of the file come to one of four kinds.  BYTES (ByteLevel): tokens are bytes, made UTF-8
 * over the whole output.  FALLBACK (SentencePiece chains): tokens are text, and a run of byte
 * tokens <0xNN> is its text if that is well-formed, else one U+FFFD a token; up to strip_n leading
 * strip_char go.  PIECES (WordPiece, Metaspace, no decoder): a token gives one text where it is the
 * first, another where it is not.  CHAIN: all else, step by step as Hugging Face does it.
 */
#ifndef LLS_TEXT_DECODER_H
#define LLS_TEXT_DECODER_H

#include "text/added.h"
#include "text/buf.h"
#include "text/decode_chain.h"
#include "text/vocab.h"

#define LLS_REPLACEMENT "\xef\xbf\xbd"      /* U+FFFD */

enum lls_decoder_kind {
    LLS_DECODER_BYTES, LLS_DECODER_FALLBACK, LLS_DECODER_PIECES, LLS_DECODER_CHAIN
};

enum { LLS_DEC_USED = 1, LLS_DEC_SPECIAL = 2, LLS_DEC_BYTE = 4 };

typedef struct lls_dec_entry {
    uint32_t off, len;
    uint32_t flags;             /* LLS_DEC_* */
} lls_dec_entry_t;

typedef struct lls_decoder {
    lls_mem_t       *mem;
    lls_dec_step_t  *steps;     /* as in the file; none = join with blanks */
    size_t           n_steps, steps_cap;
    uint8_t          kind;      /* enum lls_decoder_kind, once sealed */
    uint32_t         strip_n;
    const char      *strip_char;
    size_t           strip_len;
    lls_dec_entry_t *entries;   /* [n]; PIECES: behind others; CHAIN: before the steps */
    lls_dec_entry_t *firsts;    /* [n]; PIECES only */
    lls_buf_t        bytes;
    uint32_t         n;
} lls_decoder_t;

void lls_decoder_init(lls_decoder_t *d, lls_mem_t *mem);
void lls_decoder_deinit(lls_decoder_t *d);
/* Zeroed, at the end; NULL without memory. */
lls_dec_step_t *lls_decoder_add(lls_decoder_t *d, uint8_t kind);
/* SentencePiece's chain: U+2581 is a blank, byte tokens, and strip_n (0 or 1) blanks at the start
 * go. */
bool lls_decoder_sentencepiece(lls_decoder_t *d, uint32_t strip_n);
/* Finds the kind and works out the bytes of every id. */
llm_status_t lls_decoder_seal(lls_decoder_t *d, const lls_vocab_t *vocab, const lls_added_t *added,
                              const lls_pattern_ctx_t *ctx);
/* Appends the text of the ids to out. */
llm_status_t lls_decoder_run(const lls_decoder_t *d, const lls_pattern_ctx_t *ctx,
                             const int32_t *ids, size_t n, bool skip_special, lls_buf_t *out);

static inline const lls_dec_entry_t *lls_decoder_entry(const lls_decoder_t *d, int32_t id)
{
    return id >= 0 && (uint32_t)id < d->n && (d->entries[id].flags & LLS_DEC_USED) != 0
               ? &d->entries[id] : NULL;
}

/* Appends bytes as UTF-8: one U+FFFD for each maximal ill-formed part, as Rust and Python do. */
bool   lls_put_lossy(lls_buf_t *out, const char *bytes, size_t len);
/* The length of the ill-formed part at p, which is no character: at least 1. */
size_t lls_ill_formed_len(const char *p, size_t len);

#endif
