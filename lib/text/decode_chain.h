/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode_chain - decoder steps as Hugging Face runs them: each turns a list of texts into another.
 *
 * This is the general way; decoder.h knows which chains come to something simpler.
 */
#ifndef LLS_TEXT_DECODE_CHAIN_H
#define LLS_TEXT_DECODE_CHAIN_H

#include "text/pattern.h"

enum lls_dec_step_kind {
    LLS_DSTEP_BYTE_LEVEL, LLS_DSTEP_REPLACE, LLS_DSTEP_BYTE_FALLBACK, LLS_DSTEP_FUSE,
    LLS_DSTEP_STRIP, LLS_DSTEP_METASPACE, LLS_DSTEP_WORDPIECE, LLS_DSTEP_BPE, LLS_DSTEP_CTC
};

typedef struct lls_dec_step {
    uint8_t       kind;         /* enum lls_dec_step_kind */
    bool          flag;         /* WORDPIECE, CTC: cleanup; METASPACE: the first text loses them */
    uint32_t      start, stop;  /* STRIP: characters at most */
    lls_pattern_t pattern;      /* REPLACE */
    char         *a, *b;        /* STRIP, METASPACE: the character; WORDPIECE: prefix; BPE: suffix;
                                   REPLACE: what to put in; CTC: pad and word delimiter */
    size_t        a_len, b_len;
} lls_dec_step_t;

/* A list of texts and room for the next one. */
typedef struct lls_chain {
    lls_buf_t   text[2];
    lls_spans_t list[2];
    uint32_t    at;             /* which of the two holds the texts */
} lls_chain_t;

void lls_dec_step_deinit(lls_dec_step_t *s, lls_mem_t *mem);

void lls_chain_init(lls_chain_t *c, lls_mem_t *mem);
void lls_chain_deinit(lls_chain_t *c);
void lls_chain_clear(lls_chain_t *c);
bool lls_chain_add(lls_chain_t *c, const char *text, size_t len);
/* The texts are in c->text[c->at], c->list[c->at] then. */
llm_status_t lls_chain_run(lls_chain_t *c, const lls_dec_step_t *steps, size_t n,
                           const lls_pattern_ctx_t *ctx);

/* The byte of a token <0xNN>, or -1. */
int lls_byte_of_token(const char *text, size_t len);

#endif
