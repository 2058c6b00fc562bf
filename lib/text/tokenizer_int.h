/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_int - the inside of a tokenizer, shared by its loaders, encoder and decoder.
 *
 * A loader fills vocab, model, steps, post-processor, decoder and added tokens, then
 * lls_tokenizer_seal() builds what is derived: the tables of the model, the tries and the decoded
 * bytes of each id.
 */
#ifndef LLS_TEXT_TOKENIZER_INT_H
#define LLS_TEXT_TOKENIZER_INT_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/decoder.h"
#include "text/normalizer.h"
#include "text/postproc.h"
#include "text/pretok.h"
#include "text/spm.h"
#include "text/templates.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

enum lls_model_kind { LLS_MODEL_BPE, LLS_MODEL_UNIGRAM, LLS_MODEL_WORDPIECE, LLS_MODEL_SPM };

struct lls_tokenizer {
    lls_mem_t     *mem;
    lls_vocab_t    vocab;
    uint8_t        model;               /* enum lls_model_kind: which of the four is in use */
    lls_bpe_t      bpe;
    lls_unigram_t  unigram;
    lls_wordpiece_t wordpiece;
    lls_spm_t      spm;
    lls_words_pool_t *words;            /* the one part that changes; see words.h */
    lls_added_t    added;
    lls_norm_t    *norms;
    size_t         n_norms, norms_cap;
    lls_pretok_t  *pretoks;
    size_t         n_pretoks, pretoks_cap;
    lls_postproc_t post;
    lls_decoder_t  decoder;
    lls_ids_t      eos_ids;
    lls_templates_t templates;          /* of chats */
    int32_t        bos, eos;            /* -1 = none */
    uint32_t       reserved;            /* ids behind the vocabulary that have names by default */
    bool           byte_level;          /* the text stays bytes behind a ByteLevel step */
    bool           literal_bytes;       /* .. becomes GPT-2's alphabet: set before the steps */
    bool           has_regex;
    lls_uniclass_t classes;
    lls_unicat_t   cats;
};

lls_tokenizer_t *lls_tokenizer_alloc(lls_mem_t *mem);
llm_status_t lls_tokenizer_seal(lls_tokenizer_t *t, llm_error_t *err);
/* The id that Hugging Face would give, which is not always the file's; content is copied. */
llm_status_t lls_tokenizer_add_token(lls_tokenizer_t *t, lls_added_token_t token, llm_error_t *err);
bool         lls_tokenizer_add_eos(lls_tokenizer_t *t, int32_t id);
lls_norm_t   *lls_tokenizer_new_norm(lls_tokenizer_t *t);       /* zeroed; NULL without memory */
lls_pretok_t *lls_tokenizer_new_pretok(lls_tokenizer_t *t);
/* GPT-2's byte-level step: the split, if any, and the mapping. */
llm_status_t lls_tokenizer_add_bytelevel(lls_tokenizer_t *t, const char *where, bool prefix_space,
                                         bool split, llm_error_t *err);
llm_status_t lls_tokenizer_add_split(lls_tokenizer_t *t, const char *where, const char *regex,
                                     uint8_t behavior, bool invert, llm_error_t *err);
llm_status_t lls_tokenizer_add_class(lls_tokenizer_t *t, uint32_t class_bits, uint8_t behavior,
                                     llm_error_t *err);
/* BERT's words: without white space, and each punctuation mark is one. */
llm_status_t lls_tokenizer_add_bert(lls_tokenizer_t *t, llm_error_t *err);

/* Kimi K2's regex: words of other scripts between runs of Han. */
#define LLS_KIMI_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LLS_KIMI_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}&&[^\\p{Han}]]"
#define LLS_KIMI_TAIL "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
#define LLS_REGEX_KIMI                                                                             \
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" LLS_KIMI_UPPER "*" LLS_KIMI_LOWER "+" LLS_KIMI_TAIL       \
    "|[^\\r\\n\\p{L}\\p{N}]?" LLS_KIMI_UPPER "+" LLS_KIMI_LOWER "*" LLS_KIMI_TAIL                  \
    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The steps that tokenizer.ggml.pre names; *whole: pieces are looked up whole first. */
llm_status_t lls_tokenizer_add_pre(lls_tokenizer_t *t, const char *path, const char *name,
                                   size_t len, bool *whole, llm_error_t *err);

/* Loaders. */
llm_status_t lls_tokenizer_load_json(lls_tokenizer_t *t, const char *path, llm_error_t *err);
llm_status_t lls_tokenizer_load_tekken(lls_tokenizer_t *t, const char *path, llm_error_t *err);
llm_status_t lls_tokenizer_load_tiktoken(lls_tokenizer_t *t, const char *path, llm_error_t *err);
/* Names the reserved ids that no other file has named. */
llm_status_t lls_tokenizer_fill_reserved(lls_tokenizer_t *t, llm_error_t *err);
/* vocab.txt of BERT; vocab.json and merges.txt of a directory. */
llm_status_t lls_tokenizer_load_wordpiece(lls_tokenizer_t *t, const char *path, llm_error_t *err);
llm_status_t lls_tokenizer_load_vocab(lls_tokenizer_t *t, const char *dir, llm_error_t *err);
llm_status_t lls_tokenizer_load_spm(lls_tokenizer_t *t, const char *path, llm_error_t *err);
llm_status_t lls_tokenizer_load_gguf(lls_tokenizer_t *t, const char *path, llm_error_t *err);
/* tokenizer_config.json, generation_config.json and chat templates beside tokenizer.json; before
 * seal for the first function, after it for the second. */
llm_status_t lls_tokenizer_load_added(lls_tokenizer_t *t, const char *dir, llm_error_t *err);
llm_status_t lls_tokenizer_load_config(lls_tokenizer_t *t, const char *dir, llm_error_t *err);

#endif
