/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options_int - a row of the option table, and a value parsed by it.
 */
#ifndef LLS_ENGINE_OPTIONS_INT_H
#define LLS_ENGINE_OPTIONS_INT_H

#include "engine/options.h"

struct json_t;

enum {                              /* where a value goes, at offset in the result */
    LLS_PUT_NOWHERE,                /* only the default is supported */
    LLS_PUT_IGNORE,                 /* any value; it changes nothing here */
    LLS_PUT_U32, LLS_PUT_U64, LLS_PUT_I32, LLS_PUT_I64, LLS_PUT_F32, LLS_PUT_BOOL,
    LLS_PUT_STRING,                 /* char *, ours */
    LLS_PUT_WORD_INDEX,             /* int32_t: which word of the type */
    LLS_PUT_WORD_BOOL,              /* bool: true for the second word */
    LLS_PUT_FLAG, LLS_PUT_NOT_FLAG, /* bit `arg` of a uint32_t */
    LLS_PUT_LIST                    /* by arg, LLS_LIST_* */
};

enum {
    LLS_LIST_STOP = 1,
    LLS_LIST_STOP_IDS,
    LLS_LIST_ALLOWED,
    LLS_LIST_BAD_WORDS,
    LLS_LIST_BIAS,
    LLS_LIST_SEED,
    LLS_LIST_LOGPROBS,
    LLS_LIST_PROMPT_LOGPROBS,
    LLS_LIST_SALT,
    LLS_LIST_REPETITION,
    LLS_LIST_REQUEST_ID,
    LLS_LIST_LOGPROB_IDS,
    LLS_LIST_PROMPT_LOGPROB_IDS,
    LLS_LIST_THINK,
    LLS_LIST_EXTRA_ARGS
};

typedef struct lls_option_def {
    llm_option_info_t info;         /* type and range are what parsing follows */
    uint32_t          put, arg;
    size_t            offset;
    const char       *special;      /* "a|b": words that stand for special_value */
    int64_t           special_value;
    const char       *later;        /* "a|b": words of vLLM that this library does not have */
    const char       *below;        /* what a number below the range must be; NULL = by the range */
} lls_option_def_t;

typedef struct lls_option_value {
    __int128       i;               /* "int" */
    double         f;               /* "float" */
    bool           b;
    bool           is_special;
    uint32_t       word;            /* index in "a|b|c" */
    const char    *text;            /* as given */
    struct json_t *json;            /* "json": ours to release */
} lls_option_value_t;

/* Row by number, NULL past the end; by name in one scope, or NULL. */
const lls_option_def_t *lls_option_def(size_t index);
const lls_option_def_t *lls_option_find(int32_t scope, const char *name);
/* The row of the scope whose name is nearest. */
const lls_option_def_t *lls_option_nearest(int32_t scope, const char *name);

/* Index of `word` in "a|b|c" (len bytes of it), or -1. */
int32_t lls_option_word(const char *words, const char *word);
/* By the row's type, range and special words; param is what err->param says.  On success the caller
 * releases value->json. */
llm_status_t lls_option_parse(const lls_option_def_t *def, const char *param, const char *text,
                              lls_option_value_t *value, llm_error_t *err);
/* Of a field: its value against the range of its option. */
llm_status_t lls_option_check_float(const lls_option_def_t *def, const char *param, double value,
                                    llm_error_t *err);

#endif
