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
    bool greedy = in->temperature == 0;

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
