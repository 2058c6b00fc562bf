/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/params.h"

#include <math.h>
#include <string.h>

#include "base/num.h"

/* ---- Packing -------------------------------------------------------------------------------- */

/* ORDER sample scalars: in lls_sample_pack() and lls_sample_unpack(). */
enum {
    W_TEMPERATURE,
    W_TOP_P,
    W_MIN_P,
    W_REPETITION,
    W_PRESENCE,
    W_FREQUENCY,
    W_TOP_K,
    W_MIN_TOKENS,
    W_LOGPROBS,
    W_PROMPT_LOGPROBS,
    W_CALLBACK,
    W_SEED_LO,
    W_SEED_HI,
    W_BANNED,
    W_ALLOWED,
    W_BIAS,
    W_BAD,
    W_BAD_TOKENS,
    W_LOGPROB_IDS,
    W_PROMPT_LOGPROB_IDS,
    W_PROMPT_LOGPROB_START,
    W_THINK_LIMIT,
    W_THINK_START,
    W_THINK_END
};

static bool is_eos(const lls_sample_extra_t *extra, int32_t token)
{
    for (uint32_t i = 0; i < extra->n_eos; i++)
        if (extra->eos[i] == token)
            return true;
    return false;
}

static uint32_t n_banned(const lls_sample_params_t *p, const lls_sample_extra_t *extra)
{
    uint32_t n = p->min_tokens > 0 ? extra->n_eos + p->n_stop_token_ids : 0;

    for (uint32_t i = 0; p->min_tokens > 0 && i < p->n_stop_token_ids; i++)
        n -= is_eos(extra, p->stop_token_ids[i]);
    return n;
}

static uint64_t n_bad_tokens(const lls_sample_extra_t *extra)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < extra->n_bad; i++)
        n += extra->bad_lens[i];
    return n;
}

uint64_t lls_sample_seed(const lls_sample_params_t *p, uint64_t engine_seed, uint64_t request,
                         uint32_t index)
{
    return ((p->flags & LLM_SAMPLE_SEEDED) ? p->seed : engine_seed + request) + index;
}

llm_status_t lls_sample_extra_check(const lls_sample_params_t *p, const lls_sample_extra_t *extra,
                                    llm_error_t *err)
{
    uint32_t banned = n_banned(p, extra);

    if (banned > LLS_SAMPLE_MAX_BANNED)
        return lls_fail_param(err, LLM_ERR_INVALID, "stop_token_ids",
                              "min_tokens holds back %u stop and EOS ids, at most %d are allowed",
                              banned, LLS_SAMPLE_MAX_BANNED);
    if (extra->n_bad > LLS_SAMPLE_MAX_BAD)
        return lls_fail_param(err, LLM_ERR_INVALID, "bad_words",
                              "bad_words are %u sequences after tokenization, at most %d are "
                              "allowed", extra->n_bad, LLS_SAMPLE_MAX_BAD);
    if (n_bad_tokens(extra) > LLS_SAMPLE_MAX_BAD_TOKENS)
        return lls_fail_param(err, LLM_ERR_INVALID, "bad_words",
                              "bad_words are %llu tokens, at most %d are allowed",
                              (unsigned long long)n_bad_tokens(extra), LLS_SAMPLE_MAX_BAD_TOKENS);
    return LLM_OK;
}

uint32_t lls_sample_pack_words(const lls_sample_params_t *p, const lls_sample_extra_t *extra)
{
    uint32_t n_think = p->think_limit > 0 ? extra->n_think_start + extra->n_think_end : 0;

    return LLS_SAMPLE_N_SCALARS + n_banned(p, extra) + p->n_allowed + 2 * p->n_bias + extra->n_bad +
           (uint32_t)n_bad_tokens(extra) + p->n_logprob_ids + p->n_prompt_logprob_ids + n_think;
}

static uint32_t *put(uint32_t *at, const void *items, uint32_t n_words)
{
    if (n_words > 0)
        memcpy(at, items, n_words * sizeof *at);
    return at + n_words;
}

static void pack_scalars(const lls_sample_params_t *p, const lls_sample_extra_t *extra, uint32_t *w)
{
    memset(w, 0, LLS_SAMPLE_N_SCALARS * sizeof *w);
    w[W_TEMPERATURE] = lls_bits_of(p->temperature);
    w[W_TOP_P] = lls_bits_of(p->top_p);
    w[W_MIN_P] = lls_bits_of(p->min_p);
    w[W_REPETITION] = lls_bits_of(p->repetition);
    w[W_PRESENCE] = lls_bits_of(p->presence);
    w[W_FREQUENCY] = lls_bits_of(p->frequency);
    w[W_TOP_K] = p->top_k;
    w[W_MIN_TOKENS] = p->min_tokens;
    w[W_LOGPROBS] = p->n_logprobs;
    w[W_PROMPT_LOGPROBS] = p->n_prompt_logprobs;
    w[W_CALLBACK] = extra->callback;
    w[W_SEED_LO] = (uint32_t)extra->seed;
    w[W_SEED_HI] = (uint32_t)(extra->seed >> 32);
    w[W_BANNED] = n_banned(p, extra);
    w[W_ALLOWED] = p->n_allowed;
    w[W_BIAS] = p->n_bias;
    w[W_BAD] = extra->n_bad;
    w[W_BAD_TOKENS] = (uint32_t)n_bad_tokens(extra);
    w[W_LOGPROB_IDS] = p->n_logprob_ids;
    w[W_PROMPT_LOGPROB_IDS] = p->n_prompt_logprob_ids;
    w[W_PROMPT_LOGPROB_START] = p->prompt_logprob_start;
    w[W_THINK_LIMIT] = p->think_limit;
    w[W_THINK_START] = p->think_limit > 0 ? extra->n_think_start : 0;
    w[W_THINK_END] = p->think_limit > 0 ? extra->n_think_end : 0;
}

static uint32_t *put_banned(uint32_t *at, const lls_sample_params_t *p,
                            const lls_sample_extra_t *extra)
{
    at = put(at, extra->eos, extra->n_eos);
    for (uint32_t i = 0; i < p->n_stop_token_ids; i++)
        if (!is_eos(extra, p->stop_token_ids[i]))
            *at++ = (uint32_t)p->stop_token_ids[i];
    return at;
}

void lls_sample_pack(const lls_sample_params_t *p, const lls_sample_extra_t *extra, uint32_t *words)
{
    uint32_t *at = words + LLS_SAMPLE_N_SCALARS;

    pack_scalars(p, extra, words);
    if (p->min_tokens > 0)
        at = put_banned(at, p, extra);
    at = put(at, p->allowed, p->n_allowed);
    for (uint32_t i = 0; i < p->n_bias; i++) {
        *at++ = (uint32_t)p->bias[i].token;
        *at++ = lls_bits_of(fminf(fmaxf(p->bias[i].bias, -100), 100));
    }
    at = put(at, extra->bad_lens, extra->n_bad);
    at = put(at, extra->bad_tokens, (uint32_t)n_bad_tokens(extra));
    at = put(at, p->logprob_ids, p->n_logprob_ids);
    at = put(at, p->prompt_logprob_ids, p->n_prompt_logprob_ids);
    at = put(at, extra->think_start, words[W_THINK_START]);
    at = put(at, extra->think_end, words[W_THINK_END]);
    lls_assert(at == words + lls_sample_pack_words(p, extra));
}

/* ---- Unpacking ------------------------------------------------------------------------------ */

static bool are_tokens(const int32_t *ids, uint32_t n, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n; i++)
        if ((uint32_t)ids[i] >= n_vocab)
            return false;
    return true;
}

static bool are_biases(const llm_logit_bias_t *bias, uint32_t n, uint32_t n_vocab)
{
    for (uint32_t i = 0; i < n; i++)
        if ((uint32_t)bias[i].token >= n_vocab || !(fabsf(bias[i].bias) <= 100))
            return false;
    return true;
}

static bool are_lengths(const uint32_t *lens, uint32_t n, uint32_t total)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (lens[i] == 0)
            return false;
        sum += lens[i];
    }
    return sum == total;
}

static bool is_sound_width(uint32_t n_entries, uint32_t n_ids, uint32_t n_vocab)
{
    return n_ids > 0 ? n_entries == 1 + n_ids : n_entries <= 1 + n_vocab;
}

static bool are_sound_counts(const lls_sample_view_t *v, uint32_t n_vocab)
{
    bool thinks = v->think_limit > 0;

    return v->n_banned <= LLS_SAMPLE_MAX_BANNED && v->n_allowed <= LLS_SAMPLE_MAX_ALLOWED &&
           v->n_bias <= LLS_SAMPLE_MAX_BIAS && v->n_bad <= LLS_SAMPLE_MAX_BAD &&
           v->n_logprob_ids <= LLS_SAMPLE_MAX_LOGPROB_IDS &&
           v->n_prompt_logprob_ids <= LLS_SAMPLE_MAX_LOGPROB_IDS &&
           is_sound_width(v->n_logprobs, v->n_logprob_ids, n_vocab) &&
           is_sound_width(v->n_prompt_logprobs, v->n_prompt_logprob_ids, n_vocab) &&
           (v->n_think_start > 0) == thinks && v->n_think_start <= LLS_SAMPLE_MAX_THINK &&
           (v->n_think_end > 0) == thinks && v->n_think_end <= LLS_SAMPLE_MAX_THINK;
}

static bool are_sound_scalars(const lls_sample_view_t *v, uint32_t n_vocab)
{
    return (v->temperature == 0 ||
            (v->temperature >= LLS_SAMPLE_MIN_TEMPERATURE && v->temperature <= 2)) &&
           v->top_p > 0 && v->top_p <= 1 && v->min_p >= 0 && v->min_p <= 1 && v->repetition > 0 &&
           isfinite(v->repetition) && fabsf(v->presence) <= 2 && fabsf(v->frequency) <= 2 &&
           v->top_k < n_vocab;
}

static void unpack_scalars(const uint32_t *w, lls_sample_view_t *v)
{
    *v = (lls_sample_view_t){
        .temperature = lls_float_of(w[W_TEMPERATURE]), .top_p = lls_float_of(w[W_TOP_P]),
        .min_p = lls_float_of(w[W_MIN_P]), .repetition = lls_float_of(w[W_REPETITION]),
        .presence = lls_float_of(w[W_PRESENCE]), .frequency = lls_float_of(w[W_FREQUENCY]),
        .top_k = w[W_TOP_K], .min_tokens = w[W_MIN_TOKENS], .n_logprobs = w[W_LOGPROBS],
        .n_prompt_logprobs = w[W_PROMPT_LOGPROBS], .callback = w[W_CALLBACK],
        .seed = w[W_SEED_LO] | (uint64_t)w[W_SEED_HI] << 32, .n_banned = w[W_BANNED],
        .n_allowed = w[W_ALLOWED], .n_bias = w[W_BIAS], .n_bad = w[W_BAD],
        .n_logprob_ids = w[W_LOGPROB_IDS], .n_prompt_logprob_ids = w[W_PROMPT_LOGPROB_IDS],
        .prompt_logprob_start = w[W_PROMPT_LOGPROB_START], .think_limit = w[W_THINK_LIMIT],
        .n_think_start = w[W_THINK_START], .n_think_end = w[W_THINK_END]
    };
}

bool lls_sample_unpack(const uint32_t *words, uint32_t n, uint32_t n_vocab, lls_sample_view_t *v)
{
    const uint32_t *at = words + LLS_SAMPLE_N_SCALARS;
    uint32_t        n_bad;

    if (n < LLS_SAMPLE_N_SCALARS)
        return false;
    unpack_scalars(words, v);
    n_bad = words[W_BAD_TOKENS];
    if (!are_sound_counts(v, n_vocab) || n_bad > LLS_SAMPLE_MAX_BAD_TOKENS ||
        n != LLS_SAMPLE_N_SCALARS + v->n_banned + v->n_allowed + 2 * v->n_bias + v->n_bad + n_bad +
                 v->n_logprob_ids + v->n_prompt_logprob_ids + v->n_think_start + v->n_think_end)
        return false;
    v->banned = (const int32_t *)at;
    v->allowed = v->banned + v->n_banned;
    v->bias = (const llm_logit_bias_t *)(v->allowed + v->n_allowed);
    v->bad_lens = (const uint32_t *)(v->bias + v->n_bias);
    v->bad_tokens = (const int32_t *)(v->bad_lens + v->n_bad);
    v->logprob_ids = v->bad_tokens + n_bad;
    v->prompt_logprob_ids = v->logprob_ids + v->n_logprob_ids;
    v->think_start = v->prompt_logprob_ids + v->n_prompt_logprob_ids;
    v->think_end = v->think_start + v->n_think_start;
    return are_sound_scalars(v, n_vocab) &&
           are_tokens(v->banned, v->n_banned + v->n_allowed, n_vocab) &&
           are_biases(v->bias, v->n_bias, n_vocab) && are_lengths(v->bad_lens, v->n_bad, n_bad) &&
           are_tokens(v->bad_tokens, n_bad + v->n_logprob_ids + v->n_prompt_logprob_ids +
                                         v->n_think_start + v->n_think_end, n_vocab);
}

bool lls_sample_wants_history(const lls_sample_view_t *v)
{
    return v->repetition != 1 || v->frequency != 0 || v->presence != 0 || v->n_bad > 0 ||
           v->think_limit > 0;
}
