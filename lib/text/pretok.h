/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretok - pre-tokenizer steps: a text cut into pieces, each of which the model sees alone.
 *
 * Steps run in order over all pieces.  A ByteLevel step turns bytes into GPT-2's alphabet.  Where
 * the rest of the tokenizer allows it, the text stays bytes, and steps behind it (`mapped`) see
 * each byte as its character of that alphabet; else LLS_PRETOK_BYTES writes the alphabet out.
 */
#ifndef LLS_TEXT_PRETOK_H
#define LLS_TEXT_PRETOK_H

#include "text/pattern.h"

enum lls_pretok_kind {
    LLS_PRETOK_SPLIT,           /* also ByteLevel's regex, Digits and Punctuation */
    LLS_PRETOK_METASPACE,
    LLS_PRETOK_PREFIX_SPACE,    /* add_prefix_space of ByteLevel */
    LLS_PRETOK_BYTES,           /* each byte becomes its character of GPT-2's alphabet */
    LLS_PRETOK_FIXED,           /* `length` characters each */
    LLS_PRETOK_SCRIPTS          /* cuts where the script changes */
};

enum lls_split_behavior {
    LLS_SPLIT_REMOVED, LLS_SPLIT_ISOLATED, LLS_SPLIT_MERGED_WITH_PREVIOUS,
    LLS_SPLIT_MERGED_WITH_NEXT, LLS_SPLIT_CONTIGUOUS
};

enum lls_prepend_scheme { LLS_PREPEND_ALWAYS, LLS_PREPEND_FIRST, LLS_PREPEND_NEVER };

typedef struct lls_pretok {
    uint8_t       kind;         /* enum lls_pretok_kind */
    uint8_t       behavior;     /* enum lls_split_behavior */
    uint8_t       scheme;       /* enum lls_prepend_scheme */
    bool          invert;
    bool          mapped;       /* runs behind a ByteLevel step */
    bool          split;        /* METASPACE: also cuts before each replacement */
    uint64_t      length;       /* FIXED */
    lls_pattern_t pattern;      /* METASPACE: the replacement */
} lls_pretok_t;

/* The pieces of one text and room for the next step; all arrays grow and are kept for the next
 * text. */
typedef struct lls_pieces {
    lls_mem_t   *mem;
    const char  *text;          /* what the spans point into */
    size_t       len;
    size_t       lead;          /* pieces that begin before it begin what the user gave */
    lls_spans_t  spans, next;
    lls_spans_t  segments;      /* of one piece: matches and gaps, in turn as in `hits` */
    lls_buf_t    hits;          /* a byte a segment: 1 = match */
    lls_buf_t    made[2];       /* texts that steps have written */
    lls_buf_t    mapped;
} lls_pieces_t;

void lls_pieces_init(lls_pieces_t *p, lls_mem_t *mem);
void lls_pieces_deinit(lls_pieces_t *p);
/* Cuts text, of which `lead` bytes came from the first character that the user gave. */
llm_status_t lls_pretok_run(const lls_pretok_t *steps, size_t n_steps, const lls_pattern_ctx_t *ctx,
                            lls_pieces_t *p, const char *text, size_t len, size_t lead);

#endif
