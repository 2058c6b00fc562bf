/* SPDX-License-Identifier: Apache-2.0 */
#include "sample/params.h"

#include <math.h>
#include <string.h>

#include "base/utf8.h"

#define ALL_FLAGS (LLM_SAMPLE_SEEDED | LLM_SAMPLE_IGNORE_EOS | LLM_SAMPLE_KEEP_STOP | \
                   LLM_SAMPLE_KEEP_SPECIAL | LLM_SAMPLE_NO_TEXT)

/* ---- Checks --------------------------------------------------------------------------------- */

/* NaN is in no range. */
static llm_status_t check_range(const char *name, float value, float low, float high,
                                llm_error_t *err)
{
    if (value >= low && value <= high)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_INVALID, name, "%s must be in [%g, %g], got %g", name,
                          (double)low, (double)high, (double)value);
}

static llm_status_t check_array(const char *name, const void *items, size_t n, size_t max,
                                llm_error_t *err)
{
    if (n > 0 && items == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, name, "%s is NULL but its length is %zu", name,
                              n);
    if (n > max)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "%s has %zu entries, at most %zu are allowed", name, n, max);
    return LLM_OK;
}

static llm_status_t check_token(const char *name, int32_t token, const lls_sample_limits_t *lim,
                                llm_error_t *err)
{
    if (token >= 0 && (uint32_t)token < lim->n_vocab)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_INVALID, name,
                          "%s has token id %d, which is out of the vocabulary of %u", name, token,
                          lim->n_vocab);
}

static llm_status_t check_tokens(const char *name, const int32_t *ids, size_t n, size_t max,
                                 const lls_sample_limits_t *lim, llm_error_t *err)
{
    llm_status_t st = check_array(name, ids, n, max, err);

    for (size_t i = 0; i < n && st == LLM_OK; i++)
        st = check_token(name, ids[i], lim, err);
    return st;
}

static llm_status_t check_strings(const char *name, const char *const *texts, size_t n, size_t max,
                                  llm_error_t *err)
{
    llm_status_t st = check_array(name, texts, n, max, err);

    for (size_t i = 0; i < n && st == LLM_OK; i++) {
        if (texts[i] == NULL || texts[i][0] == '\0')
            st = lls_fail_param(err, LLM_ERR_INVALID, name,
                                "%s cannot contain an empty string, entry %zu is one", name, i);
        else if (lls_utf8_valid(texts[i], strlen(texts[i])) != strlen(texts[i]))
            st = lls_fail_param(err, LLM_ERR_INVALID, name, "%s entry %zu is not UTF-8", name, i);
    }
    return st;
}

static llm_status_t check_finite(const char *name, float value, llm_error_t *err)
{
    return isfinite(value) ? LLM_OK
                           : lls_fail_param(err, LLM_ERR_INVALID, name,
                                            "%s must be a finite number, got %g", name,
                                            (double)value);
}

static llm_status_t check_temperature(float t, llm_error_t *err)
{
    llm_status_t st = check_finite("temperature", t, err);

    if (st == LLM_OK && t < 0)
        st = lls_fail_param(err, LLM_ERR_INVALID, "temperature",
                            "temperature must be non-negative, got %g", (double)t);
    return st == LLM_OK ? check_range("temperature", t, 0, 2, err) : st;
}

static llm_status_t check_repetition(float r, llm_error_t *err)
{
    llm_status_t st = check_finite("repetition_penalty", r, err);

    if (st == LLM_OK && r < 0)
        st = lls_fail_param(err, LLM_ERR_INVALID, "repetition_penalty",
                            "repetition_penalty must be greater than zero, got %g", (double)r);
    return st;
}

static llm_status_t check_scalars(const llm_sampling_params_t *in, llm_error_t *err)
{
    llm_status_t st = check_temperature(in->temperature, err);

    if (st == LLM_OK && !(in->top_p >= 0 && in->top_p <= 1))
        st = lls_fail_param(err, LLM_ERR_INVALID, "top_p", "top_p must be in (0, 1], got %g",
                            (double)in->top_p);
    if (st == LLM_OK)
        st = check_range("min_p", in->min_p, 0, 1, err);
    if (st == LLM_OK)
        st = check_repetition(in->repetition_penalty, err);
    if (st == LLM_OK)
        st = check_range("presence_penalty", in->presence_penalty, -2, 2, err);
    if (st == LLM_OK)
        st = check_range("frequency_penalty", in->frequency_penalty, -2, 2, err);
    if (st == LLM_OK && in->n > LLS_SAMPLE_MAX_N)
        st = lls_fail_param(err, LLM_ERR_INVALID, "n", "n must be at most %d, got %u",
                            LLS_SAMPLE_MAX_N, in->n);
    return st;
}

static llm_status_t check_form(const llm_sampling_params_t *in, llm_error_t *err)
{
    if (in->flags & ~(uint32_t)ALL_FLAGS)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "flags",
                              "sampling flags 0x%x are not known",
                              in->flags & ~(uint32_t)ALL_FLAGS);
    if (in->reserved0 != 0)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "reserved0", "reserved0 must be 0, got %u",
                              in->reserved0);
    if (in->guide_kind < LLM_GUIDE_NONE || in->guide_kind > LLM_GUIDE_STRUCTURAL_TAG)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "guide_kind", "guide_kind %d is not known",
                              in->guide_kind);
    if (in->guide_kind != LLM_GUIDE_NONE)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "guide_kind",
                              "guides (guide_kind %d) are not in this version; use LLM_GUIDE_NONE",
                              in->guide_kind);
    if (in->guide != NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "guide",
                              "guide is set but guide_kind is LLM_GUIDE_NONE; set both or none");
    return LLM_OK;
}

static llm_status_t check_lists(const llm_sampling_params_t *in, const lls_sample_limits_t *lim,
                                llm_error_t *err)
{
    llm_status_t st = check_strings("stop", in->stop, in->n_stop, LLS_SAMPLE_MAX_N, err);

    if (st == LLM_OK && in->n_stop > 0 && (in->flags & LLM_SAMPLE_NO_TEXT))
        st =
            lls_fail_param(err, LLM_ERR_INVALID, "stop",
                           "stop strings need text; drop LLM_SAMPLE_NO_TEXT or use stop_token_ids");
    if (st == LLM_OK)
        st = check_strings("bad_words", in->bad_words, in->n_bad_words, LLS_SAMPLE_MAX_BAD, err);
    if (st == LLM_OK)
        st = check_tokens("stop_token_ids", in->stop_token_ids, in->n_stop_token_ids, lim->n_vocab,
                          lim, err);
    if (st == LLM_OK)
        st = check_tokens("allowed_token_ids", in->allowed_token_ids, in->n_allowed_token_ids,
                          LLS_SAMPLE_MAX_ALLOWED, lim, err);
    if (st == LLM_OK)
        st = check_array("logit_bias", in->logit_bias, in->n_logit_bias, LLS_SAMPLE_MAX_BIAS, err);
    for (size_t i = 0; i < in->n_logit_bias && st == LLM_OK; i++) {
        st = check_token("logit_bias", in->logit_bias[i].token, lim, err);
        if (st == LLM_OK && isnan(in->logit_bias[i].bias))
            st = lls_fail_param(err, LLM_ERR_INVALID, "logit_bias",
                                "logit_bias of token %d must be a number, got nan",
                                in->logit_bias[i].token);
    }
    return st;
}

static uint32_t max_logprobs(const lls_sample_limits_t *lim)
{
    return lim->max_logprobs < 0 ? lim->n_vocab : (uint32_t)lim->max_logprobs;
}

/* Entries a token from the field's count: 0 none, 1 + k, -1 all.  of: "sample" or "prompt". */
static llm_status_t check_logprobs(const char *name, const char *of, int32_t asked,
                                   const lls_sample_limits_t *lim, uint32_t *n_entries,
                                   llm_error_t *err)
{
    uint32_t max = max_logprobs(lim);
    uint32_t k = asked < 0 ? lim->n_vocab : (uint32_t)asked - (asked > 0);

    if (asked < -1)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "%s must be non-negative or -1, got %d", name, asked);
    if (k > max)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "Requested %s logprobs of %u, which is greater than max allowed: "
                              "%u; raise max-logprobs", of, k, max);
    *n_entries = asked == 0 ? 0 : 1 + lls_min_u32(k, lim->n_vocab);
    return LLM_OK;
}

static llm_status_t set_lengths(const llm_sampling_params_t *in, const lls_sample_limits_t *lim,
                                lls_sample_params_t *out, llm_error_t *err)
{
    uint32_t max = in->max_tokens == 0 ? 16 : in->max_tokens;

    if (in->min_tokens > max)
        return lls_fail_param(err, LLM_ERR_INVALID, "min_tokens",
                              "min_tokens must be less than or equal to max_tokens=%u, got %u", max,
                              in->min_tokens);
    out->max_tokens = lls_min_u32(max, lls_max_u32(lim->max_model_len, 1));
    out->min_tokens = lls_min_u32(in->min_tokens, out->max_tokens);
    return LLM_OK;
}

static llm_status_t set_scalars(const llm_sampling_params_t *in, const lls_sample_limits_t *lim,
                                lls_sample_params_t *out, llm_error_t *err)
{
    bool greedy = in->temperature < LLS_SAMPLE_GREEDY_BELOW;

    out->n = in->n == 0 ? 1 : in->n;
    if (greedy && out->n > 1)
        return lls_fail_param(err, LLM_ERR_INVALID, "n",
                              "n must be 1 when using greedy sampling, got %u; raise temperature",
                              out->n);
    out->temperature = greedy ? 0 : fmaxf(in->temperature, LLS_SAMPLE_MIN_TEMPERATURE);
    out->top_p = greedy || in->top_p == 0 ? 1 : in->top_p;
    out->min_p = greedy ? 0 : in->min_p;
    out->top_k = greedy || in->top_k >= lim->n_vocab ? 0 : in->top_k;
    out->repetition = in->repetition_penalty == 0 ? 1 : in->repetition_penalty;
    out->presence = in->presence_penalty;
    out->frequency = in->frequency_penalty;
    return LLM_OK;
}

static void borrow_lists(const llm_sampling_params_t *in, lls_sample_params_t *out)
{
    out->flags = in->flags;
    out->seed = in->seed;
    out->stop = in->stop;
    out->n_stop = (uint32_t)in->n_stop;
    out->bad_words = in->bad_words;
    out->n_bad_words = (uint32_t)in->n_bad_words;
    out->stop_token_ids = in->stop_token_ids;
    out->n_stop_token_ids = (uint32_t)in->n_stop_token_ids;
    out->allowed = in->allowed_token_ids;
    out->n_allowed = (uint32_t)in->n_allowed_token_ids;
    out->bias = in->logit_bias;
    out->n_bias = (uint32_t)in->n_logit_bias;
    out->logits_fn = in->logits_fn;
    out->logits_user = in->logits_user;
}

llm_status_t lls_sample_params_check(const llm_sampling_params_t *in,
                                     const lls_sample_limits_t *lim, lls_sample_params_t *out,
                                     llm_error_t *err)
{
    llm_status_t st = check_form(in, err);

    memset(out, 0, sizeof *out);
    if (st == LLM_OK)
        st = check_scalars(in, err);
    if (st == LLM_OK)
        st = check_lists(in, lim, err);
    if (st == LLM_OK)
        st = check_logprobs("n_logprobs", "sample", in->n_logprobs, lim, &out->n_logprobs, err);
    if (st == LLM_OK)
        st = check_logprobs("n_prompt_logprobs", "prompt", in->n_prompt_logprobs, lim,
                            &out->n_prompt_logprobs, err);
    if (st == LLM_OK)
        st = set_lengths(in, lim, out, err);
    if (st == LLM_OK)
        st = set_scalars(in, lim, out, err);
    if (st == LLM_OK)
        borrow_lists(in, out);
    else
        memset(out, 0, sizeof *out);
    return st;
}

/* ---- Options -------------------------------------------------------------------------------- */

/* The ids take the place of the likeliest; width is what the count asked for. */
static llm_status_t check_ids(const char *name, const char *count, const int32_t *ids, size_t n,
                              size_t max, const lls_sample_limits_t *lim, uint32_t *width,
                              llm_error_t *err)
{
    llm_status_t st;

    if (n > max)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "Requested %s of length %zu, which is greater than max allowed: %zu",
                              name, n, max);
    st = check_tokens(name, ids, n, max, lim, err);
    if (st == LLM_OK && *width != 0 && *width - 1 != n)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "when both %s and %s are set, %s must equal the length: it is %u, "
                              "%s has %zu ids", count, name, count, *width - 1, name, n);
    if (st == LLM_OK && n > 0)
        *width = 1 + (uint32_t)n;
    return st;
}

static bool has_repeats(const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (ids[i] == ids[j])
                return true;
    return false;
}

static llm_status_t check_prompt_ids(const lls_sample_options_t *in, const lls_sample_limits_t *lim,
                                     lls_sample_params_t *out, llm_error_t *err)
{
    static const char name[] = "prompt_logprob_token_ids";
    const int32_t    *ids = in->prompt_logprob_ids;
    size_t            n = in->n_prompt_logprob_ids;
    llm_status_t      st = LLM_OK;

    if (ids != NULL && n == 0)
        return lls_fail_param(err, LLM_ERR_INVALID, name, "%s must not be empty", name);
    if (ids != NULL)
        st = check_ids(name, "prompt_logprobs", ids, n,
                       lls_min_u32(max_logprobs(lim), LLS_SAMPLE_MAX_LOGPROB_IDS), lim,
                       &out->n_prompt_logprobs, err);
    if (st == LLM_OK && has_repeats(ids, n))
        return lls_fail_param(err, LLM_ERR_INVALID, name, "%s must not contain duplicates", name);
    return st;
}

llm_status_t lls_sample_options_check(const lls_sample_options_t *in,
                                      const lls_sample_limits_t *lim, lls_sample_params_t *out,
                                      llm_error_t *err)
{
    llm_status_t st = LLM_OK;

    if (in->think_limit > 0 && !lim->has_think)
        return lls_fail_param(err, LLM_ERR_INVALID, "thinking_token_budget",
                              "thinking_token_budget is set but reasoning-config is not "
                              "configured; set the engine option reasoning-config");
    if (in->logprob_ids != NULL)
        st = check_ids("logprob_token_ids", "logprobs", in->logprob_ids, in->n_logprob_ids,
                       LLS_SAMPLE_MAX_LOGPROB_IDS, lim, &out->n_logprobs, err);
    if (st == LLM_OK)
        st = check_prompt_ids(in, lim, out, err);
    if (st != LLM_OK)
        return st;
    out->think_limit = in->think_limit;
    out->logprob_ids = in->logprob_ids;
    out->n_logprob_ids = (uint32_t)in->n_logprob_ids;
    out->prompt_logprob_ids = in->prompt_logprob_ids;
    out->n_prompt_logprob_ids = (uint32_t)in->n_prompt_logprob_ids;
    out->prompt_logprob_start = in->n_prompt_logprob_ids > 0 ? in->prompt_logprob_start : 0;
    return LLM_OK;
}

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

static uint32_t word_of(float f)
{
    uint32_t w;

    memcpy(&w, &f, sizeof w);
    return w;
}

static float float_of(uint32_t w)
{
    float f;

    memcpy(&f, &w, sizeof f);
    return f;
}

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
    w[W_TEMPERATURE] = word_of(p->temperature);
    w[W_TOP_P] = word_of(p->top_p);
    w[W_MIN_P] = word_of(p->min_p);
    w[W_REPETITION] = word_of(p->repetition);
    w[W_PRESENCE] = word_of(p->presence);
    w[W_FREQUENCY] = word_of(p->frequency);
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
        *at++ = word_of(fminf(fmaxf(p->bias[i].bias, -100), 100));
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
        .temperature = float_of(w[W_TEMPERATURE]), .top_p = float_of(w[W_TOP_P]),
        .min_p = float_of(w[W_MIN_P]), .repetition = float_of(w[W_REPETITION]),
        .presence = float_of(w[W_PRESENCE]), .frequency = float_of(w[W_FREQUENCY]),
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
