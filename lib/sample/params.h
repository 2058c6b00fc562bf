/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params - sampling parameters: checked, with defaults in place of zeros, and flat for a plan.
 *
 * lls_sample_params_check() is the only place that knows ranges and defaults (vLLM's
 * SamplingParams). lls_sample_params_t borrows the caller's arrays.  What the sampler of a row
 * needs is then packed into words, which are opaque to the scheduler (lls_new_row_t.params) and may
 * come from another process: lls_sample_unpack() believes nothing.  n, max_tokens, stop strings and
 * stop ids are the engine's and scheduler's business and are not packed, except the ids that
 * min_tokens bans.
 */
#ifndef LLS_SAMPLE_PARAMS_H
#define LLS_SAMPLE_PARAMS_H

#include "base/num.h"
#include "base/status.h"

enum {                              /* vLLM's limits */
    LLS_SAMPLE_MAX_N         = 16384,
    LLS_SAMPLE_MAX_BIAS      = 1024,
    LLS_SAMPLE_MAX_ALLOWED   = 1024,
    LLS_SAMPLE_MAX_BANNED    = 128,     /* EOS and stop ids, with min_tokens */
    LLS_SAMPLE_MAX_BAD       = 128,     /* sequences: words with and without a leading space */
    LLS_SAMPLE_MAX_BAD_TOKENS = 1024,   /* of all sequences */
    LLS_SAMPLE_MAX_LOGPROB_IDS = 128,
    LLS_SAMPLE_MAX_THINK     = 64,      /* tokens that begin or end a thought */
    LLS_SAMPLE_N_SCALARS     = 24,
    /* no packed request is longer */
    LLS_SAMPLE_MAX_WORDS = LLS_SAMPLE_N_SCALARS + LLS_SAMPLE_MAX_BANNED + LLS_SAMPLE_MAX_ALLOWED +
                           2 * LLS_SAMPLE_MAX_BIAS + LLS_SAMPLE_MAX_BAD +
                           LLS_SAMPLE_MAX_BAD_TOKENS + 2 * LLS_SAMPLE_MAX_LOGPROB_IDS +
                           2 * LLS_SAMPLE_MAX_THINK
};

/* Temperatures between 0, which is greedy, and this are raised to it (vLLM). */
#define LLS_SAMPLE_MIN_TEMPERATURE 0.01f

typedef struct lls_sample_limits {
    uint32_t n_vocab;
    uint32_t max_model_len;
    int32_t  max_logprobs;          /* the option; -1 = n_vocab */
    bool     has_think;             /* reasoning-config says what begins and ends a thought */
} lls_sample_limits_t;

/* What llm_sampling_params_t has no member for; zeroed = none of it. */
typedef struct lls_sample_options {
    const int32_t *logprob_ids;     /* NULL = not set, which an empty list is not */
    const int32_t *prompt_logprob_ids;
    size_t         n_logprob_ids, n_prompt_logprob_ids;
    uint32_t       prompt_logprob_start;    /* the first prompt token is 0 and tells of the next */
    uint32_t       think_limit;     /* 1 + thinking_token_budget; 0 = no limit */
} lls_sample_options_t;

typedef struct lls_sample_params {
    uint32_t    flags;              /* LLM_SAMPLE_* */
    float       temperature;        /* 0 = greedy, and then top_p 1, top_k 0, min_p 0 */
    float       top_p, min_p;       /* 1 and 0 = off */
    float       repetition, presence, frequency;    /* 1, 0 and 0 = off */
    uint32_t    top_k;              /* 0 = off; < n_vocab */
    uint32_t    n;                  /* >= 1 */
    uint32_t    max_tokens;         /* >= 1; at most max_model_len */
    uint32_t    min_tokens;         /* at most max_tokens */
    uint32_t    n_logprobs;         /* entries a token: 0, or 1 + k; all is 1 + n_vocab */
    uint32_t    n_prompt_logprobs;
    uint32_t    prompt_logprob_start;
    uint32_t    think_limit;        /* 1 + most thinking tokens; 0 = no limit */
    uint64_t    seed;               /* if flags has LLM_SAMPLE_SEEDED */
    /* Borrowed from what was checked. */
    const char *const      *stop;
    const char *const      *bad_words;
    const int32_t          *stop_token_ids;
    const int32_t          *allowed;
    const llm_logit_bias_t *bias;
    const int32_t *logprob_ids;     /* entries 1 .. of a token, in place of the likeliest */
    const int32_t *prompt_logprob_ids;
    uint32_t    n_stop, n_bad_words, n_stop_token_ids, n_allowed, n_bias;
    uint32_t    n_logprob_ids, n_prompt_logprob_ids;
    llm_logits_fn logits_fn;
    void       *logits_user;
} lls_sample_params_t;

/* in is of our size (the caller has settled struct_size).  Ranges are vLLM's; LLM_ERR_INVALID names
 * the field in err->param.  What no version or only a later one knows (flags, guides, reserved
 * fields) is LLM_ERR_UNSUPPORTED.  Allocates nothing. */
llm_status_t lls_sample_params_check(const llm_sampling_params_t *in,
                                     const lls_sample_limits_t *lim, lls_sample_params_t *out,
                                     llm_error_t *err);
/* Lays the options over parameters that were checked; err->param names the option. */
llm_status_t lls_sample_options_check(const lls_sample_options_t *in,
                                      const lls_sample_limits_t *lim, lls_sample_params_t *out,
                                      llm_error_t *err);

/* What packing needs besides the parameters. */
typedef struct lls_sample_extra {
    uint64_t        seed;           /* of this completion: see lls_sample_seed() */
    uint32_t        callback;       /* the runner's number for logits_fn, or LLS_NONE */
    const int32_t  *eos;            /* all EOS ids of the model: banned below min_tokens */
    uint32_t        n_eos;
    const int32_t  *bad_tokens;     /* bad_words, tokenised: sequences one after another */
    const uint32_t *bad_lens;       /* [n_bad], each >= 1 */
    uint32_t        n_bad;
    const int32_t  *think_start;    /* of reasoning-config: needed with think_limit */
    const int32_t  *think_end;
    uint32_t        n_think_start, n_think_end;     /* at most LLS_SAMPLE_MAX_THINK */
} lls_sample_extra_t;

/* The seed of completion `index` of request number `request` (1, 2, ...). */
uint64_t lls_sample_seed(const lls_sample_params_t *p, uint64_t engine_seed, uint64_t request,
                         uint32_t index);
/* LLM_ERR_INVALID where bad_words or banned ids are more than the limits above.  Call before
 * packing: the limits depend on the tokenizer. */
llm_status_t lls_sample_extra_check(const lls_sample_params_t *p, const lls_sample_extra_t *extra,
                                    llm_error_t *err);
/* Words that lls_sample_pack() writes; at most LLS_SAMPLE_MAX_WORDS. */
uint32_t lls_sample_pack_words(const lls_sample_params_t *p, const lls_sample_extra_t *extra);
void     lls_sample_pack(const lls_sample_params_t *p, const lls_sample_extra_t *extra,
                         uint32_t *words);

/* Packed words as the sampler reads them; pointers point into the words. */
typedef struct lls_sample_view {
    float    temperature;           /* 0 = greedy */
    float    top_p, min_p;
    float    repetition, presence, frequency;
    uint32_t top_k;
    uint32_t min_tokens;
    uint32_t n_logprobs, n_prompt_logprobs;     /* entries a token */
    uint32_t prompt_logprob_start;
    uint32_t think_limit;           /* 1 + most thinking tokens; 0 = no limit */
    uint32_t callback;              /* LLS_NONE = none */
    uint64_t seed;
    const int32_t          *banned; /* below min_tokens */
    const int32_t          *allowed;/* n_allowed 0 = all */
    const llm_logit_bias_t *bias;   /* clamped */
    const uint32_t         *bad_lens;
    const int32_t          *bad_tokens;
    const int32_t          *logprob_ids;        /* entries 1 .. where n_logprob_ids > 0 */
    const int32_t          *prompt_logprob_ids;
    const int32_t          *think_start, *think_end;
    uint32_t n_banned, n_allowed, n_bias, n_bad, n_logprob_ids, n_prompt_logprob_ids;
    uint32_t n_think_start, n_think_end;
} lls_sample_view_t;

/* False if the words are not what lls_sample_pack() makes for a vocabulary of n_vocab. */
bool lls_sample_unpack(const uint32_t *words, uint32_t n, uint32_t n_vocab,
                       lls_sample_view_t *view);

/* True if the row's tokens are wanted: penalties, bad words, a budget of thoughts. */
bool lls_sample_wants_history(const lls_sample_view_t *view);

#endif
