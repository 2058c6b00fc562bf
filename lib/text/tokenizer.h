/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer - text to token ids and back, as Hugging Face's tokenizers 0.23.3 does it.
 *
 * A tokenizer is data: arrays of small tagged steps (added tokens, normalizers, pre-tokenizers,
 * model, post-processors, decoders) filled from tokenizer.json, a SentencePiece .model, *.tiktoken,
 * tekken.json, vocab.json with merges.txt, vocab.txt or GGUF metadata.  It never changes after
 * open, so any thread may use it; what a call needs for itself comes from the `scratch` it is
 * given.  What short texts gave is kept over calls, from the tokenizer's own memory: 1 MB for each
 * of as many calls as have run at once, 16 at most (words.h).
 *
 * Truncation and padding of a file are not applied, as vLLM switches them off.  Known differences:
 * an added token decodes to its content and not to its normalized form; Oniguruma as installed may
 * not know the newest letters, which matters to regexes that have no scanner of ours; control
 * pieces of a .model, tiktoken and tekken file that are spelled in a text are found there.
 */
#ifndef LLS_TEXT_TOKENIZER_H
#define LLS_TEXT_TOKENIZER_H

#include "base/mem.h"

typedef struct lls_tokenizer lls_tokenizer_t;

/* Beside LLM_ENCODE_*: special tokens that are spelled in the text stay text. */
#define LLS_ENCODE_PLAIN 0x80000000u

/* The memory that it was opened with. */
lls_mem_t     *lls_tokenizer_mem(const lls_tokenizer_t *t);

/* path: a model directory, or a file of one of the kinds above; names decide between those that
 * bytes do not tell apart. */
llm_status_t lls_tokenizer_open(lls_mem_t *mem, const char *path, lls_tokenizer_t **out,
                                llm_error_t *err);
void         lls_tokenizer_close(lls_tokenizer_t *t);

/* *ids is from scratch and the caller's to free; it is NULL on failure, and may be a block of no
 * ids. Text that is not UTF-8 is LLM_ERR_INVALID with the offset of the first bad byte. */
llm_status_t lls_tokenizer_encode(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *text,
                                  size_t len, uint32_t flags, int32_t **ids, size_t *n,
                                  llm_error_t *err);
/* As above; where mark[i] is set, byte i came from a user and is part of no special token.  mark
 * may be NULL. */
llm_status_t lls_tokenizer_encode_marked(const lls_tokenizer_t *t, lls_mem_t *scratch,
                                         const char *text, const uint8_t *mark, size_t len,
                                         uint32_t flags, int32_t **ids, size_t *n,
                                         llm_error_t *err);
/* Two texts as one input, for reranking; *types, of the same length, are the segments 0 and 1 as
 * the template has them, and types may be NULL.  Both are the caller's to free. */
llm_status_t lls_tokenizer_encode_pair(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *a,
                                       size_t a_len, const char *b, size_t b_len, uint32_t flags,
                                       int32_t **ids, int32_t **types, size_t *n,
                                       llm_error_t *err);
/* flags: LLM_DECODE_*.  Unknown ids give nothing; bytes that are no UTF-8 become U+FFFD.  *text is
 * from scratch and has a NUL behind its *len bytes. */
llm_status_t lls_tokenizer_decode(const lls_tokenizer_t *t, lls_mem_t *scratch, const int32_t *ids,
                                  size_t n, uint32_t flags, char **text, size_t *len,
                                  llm_error_t *err);

/* The bytes that an id stands for, perhaps not whole UTF-8; NULL if there is no such id.  Lives as
 * long as t. */
const char    *lls_tokenizer_token(const lls_tokenizer_t *t, int32_t id, size_t *len);
bool           lls_tokenizer_is_special(const lls_tokenizer_t *t, int32_t id);
/* One more than the largest id, added tokens included. */
uint32_t       lls_tokenizer_n_vocab(const lls_tokenizer_t *t);
/* The id of a token by its spelling in the file; -1 if there is none. */
int32_t        lls_tokenizer_find(const lls_tokenizer_t *t, const char *text, size_t len);
int32_t        lls_tokenizer_bos(const lls_tokenizer_t *t);             /* -1 = none */
int32_t        lls_tokenizer_eos(const lls_tokenizer_t *t);             /* eos_token; -1 = none */
/* eos_token and the ids of generation_config.json or of the GGUF, without repeats. */
const int32_t *lls_tokenizer_eos_ids(const lls_tokenizer_t *t, size_t *n);
/* The default chat template; NULL = none. */
const char    *lls_tokenizer_chat_template(const lls_tokenizer_t *t, size_t *len);

#endif
