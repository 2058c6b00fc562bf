/* SPDX-License-Identifier: Apache-2.0 */
#include "api/random_request.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

uint32_t roll(dice_t *d, uint32_t n)
{
    uint64_t x = d->state += 0x9e3779b97f4a7c15u;

    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)(((x ^ (x >> 31)) >> 32) * n >> 32);
}

float random_float(dice_t *d)
{
    const float odd[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, FLT_MIN, -1.0f, 2.0001f };

    return one_in(d, 3) ? odd[roll(d, 8)] : (float)roll(d, 2001) / 1000.0f;
}

static float unit(dice_t *d) { return (float)(1 + roll(d, 1000)) / 1000.0f; }

size_t random_text(dice_t *d, char *text, size_t cap, bool valid)
{
    static const char *const pieces[] = { "a", "b", "the ", "quick", " ", "\n", "</s>", "\xc3\xa4",
                                          "\xe2\x82\xac", "\xf0\x9f\x98\x80", "{", "\"", "0", "." };
    static const char *const broken[] = { "\xff", "\xc3", "\xed\xa0\x80", "\xf5\x80\x80\x80" };
    size_t                   n = 0, most = roll(d, (uint32_t)cap - 7);

    while (n < most && n + 8 < cap) {
        const char *piece = pieces[roll(d, sizeof pieces / sizeof *pieces)];
        size_t      len = strlen(piece);
        memcpy(text + n, piece, len);
        n += len;
    }
    if (!valid) {
        const char *piece = broken[roll(d, 4)];
        size_t      len = strlen(piece);
        memcpy(text + n, piece, len);
        n += len;
    }
    text[n] = '\0';
    return n;
}

/* ---- Good ones ------------------------------------------------------------------------------- */

static void choose_ids(dice_t *d, int32_t ids[4], uint32_t n_vocab, const int32_t **list, size_t *n)
{
    *n = 1 + roll(d, 4);
    *list = ids;
    for (size_t i = 0; i < *n; i++)
        ids[i] = (int32_t)roll(d, n_vocab);
}

static void choose_words(dice_t *d, char words[3][8], const char *list[3], const char *const **out,
                         size_t *n)
{
    *n = 1 + roll(d, 3);
    *out = list;
    for (size_t i = 0; i < *n; i++) {
        size_t len = 1 + roll(d, 3);
        for (size_t k = 0; k < len; k++)
            words[i][k] = (char)('a' + roll(d, 26));
        list[i] = words[i];
    }
}

static void choose_prompt(dice_t *d, draft_t *q, uint32_t n_vocab, bool with_text)
{
    static const char chat[] = "{\"messages\": [{\"role\": \"user\", \"content\": \"hi there\"}],"
                               " \"chat_template\": \"{{ messages[0].content }}:\"}";
    uint32_t          kind = with_text ? roll(d, 10) : 9;

    if (kind == 0) {
        memcpy(q->text, chat, sizeof chat);
        q->r.chat = q->text;
        q->r.chat_len = one_in(d, 2) ? LLM_CSTR : sizeof chat - 1;
    } else if (kind < 4) {
        q->text[0] = 'a';           /* an empty prompt may be refused: it depends on BOS */
        q->r.text_len = 1 + random_text(d, q->text + 1, 30, true);
        q->r.text = q->text;
    } else {
        q->r.n_tokens = 1 + roll(d, one_in(d, 4) ? 50 : 12);
        q->r.tokens = q->tokens;
        for (size_t i = 0; i < q->r.n_tokens; i++)     /* few values: prefixes are shared */
            q->tokens[i] = (int32_t)roll(d, one_in(d, 4) ? n_vocab : 2);
    }
}

static void choose_numbers(dice_t *d, llm_sampling_params_t *s)
{
    s->flags = roll(d, 16) & ~(uint32_t)LLM_SAMPLE_NO_TEXT;
    s->seed = roll(d, 100);
    s->temperature = one_in(d, 3) ? 0.0f : unit(d) * 2;
    s->top_p = one_in(d, 2) ? unit(d) : 0.0f;
    s->min_p = one_in(d, 4) ? unit(d) : 0.0f;
    s->top_k = one_in(d, 3) ? roll(d, 200) : 0;
    s->repetition_penalty = one_in(d, 4) ? unit(d) * 2 : 0.0f;
    s->presence_penalty = one_in(d, 4) ? unit(d) * 4 - 2 : 0.0f;
    s->frequency_penalty = one_in(d, 4) ? unit(d) * 4 - 2 : 0.0f;
    s->n = s->temperature > 0 && one_in(d, 4) ? roll(d, 4) : roll(d, 2);
    s->max_tokens = one_in(d, 20) ? UINT32_MAX : roll(d, 12);
    if (one_in(d, 4) && s->max_tokens > 0)
        s->min_tokens = roll(d, s->max_tokens < 12 ? s->max_tokens : 12);
    s->n_logprobs = one_in(d, 3) ? (int32_t)roll(d, 8) : 0;
    s->n_prompt_logprobs = one_in(d, 6) ? (int32_t)roll(d, 8) : 0;
}

static void choose_lists(dice_t *d, draft_t *q, uint32_t n_vocab, bool with_text)
{
    llm_sampling_params_t *s = &q->s;

    if (one_in(d, 5))
        choose_ids(d, q->ids[0], n_vocab, &s->stop_token_ids, &s->n_stop_token_ids);
    if (one_in(d, 8) && s->min_tokens == 0)     /* not beside what could take the last of them */
        choose_ids(d, q->ids[1], n_vocab, &s->allowed_token_ids, &s->n_allowed_token_ids);
    if (one_in(d, 5)) {
        s->logit_bias = q->bias;
        s->n_logit_bias = 1 + roll(d, 3);
        for (size_t i = 0; i < s->n_logit_bias; i++)
            q->bias[i] = (llm_logit_bias_t){ (int32_t)(roll(d, n_vocab / 3) * 3 + i),
                                             unit(d) * 300 - 150 };
    }
    if (with_text && one_in(d, 4))
        choose_words(d, q->words, q->stop, &s->stop, &s->n_stop);
    if (with_text && one_in(d, 6) && s->n_allowed_token_ids == 0)
        choose_words(d, q->words + 3, q->bad, &s->bad_words, &s->n_bad_words);
    if (s->n_stop == 0 && one_in(d, 6))
        s->flags |= LLM_SAMPLE_NO_TEXT;
}

static void choose_options(dice_t *d, draft_t *q)
{
    static const llm_option_t good[] = {
        { "repetition_detection", "{\"max_pattern_size\": 3, \"min_count\": 4}" },
        { "truncate_prompt_tokens", "9" }, { "truncation-side", "right" },
        { "extra_args", "{\"a\": [1, {}]}" }, { "request_id", "random" },
        { "skip_reading_prefix_cache", "true" }, { "stream-interval", "3" },
        { "output_kind", "final_only" }, { "priority", "-3" },
        { "ignore_eos", "true" }, { "stop_token_ids", "[5]" },
        { "logprob_token_ids", "[3, 1, 2]" },   /* at the end: not beside logprobs */
    };
    uint32_t n_good = sizeof good / sizeof *good - (q->s.n_logprobs > 0);

    for (; q->r.n_options < 3 && one_in(d, 4); q->r.n_options++)
        q->options[q->r.n_options] = good[roll(d, n_good)];
    q->r.options = q->options;
}

static void choose_request(dice_t *d, draft_t *q)
{
    llm_request_t *r = &q->r;

    r->flags = roll(d, 8) & ~(uint32_t)LLM_REQUEST_PREFILL_ONLY;
    if (one_in(d, 12) && q->s.n <= 1)
        r->flags |= LLM_REQUEST_PREFILL_ONLY;
    if (one_in(d, 4))
        r->cache_salt = strcpy(q->salt, one_in(d, 2) ? "salt" : "pepper");
    r->priority = (int32_t)roll(d, 7) - 3;
    r->output_kind = (int32_t)roll(d, 3);
    r->stream_interval = roll(d, 4);
    r->queue_timeout_ms = one_in(d, 10) ? 1 + roll(d, 2) * 3600000 : 0;
    r->timeout_ms = one_in(d, 10) ? 1 + roll(d, 2) * 3600000 : 0;
}

/* ---- Spoilt ones ----------------------------------------------------------------------------- */

static const char *spoil_sampling(dice_t *d, draft_t *q, uint32_t n_vocab)
{
    static const float     wrong[] = { NAN, INFINITY, -INFINITY, -0.5f, 2.5f, FLT_MAX };
    llm_sampling_params_t *s = &q->s;
    float                  w = wrong[roll(d, 6)];
    int32_t                outside = one_in(d, 2) ? -1 - (int32_t)roll(d, 9) : INT32_MAX;

    q->r.sampling = s;
    q->ids[2][0] = outside;
    q->bias[0] = (llm_logit_bias_t){ outside, 1 };
    q->bad[0] = NULL;
    q->r.n_options = 0;             /* an option may set right what the field has wrong */
    switch (roll(d, 20)) {
    case 0: s->temperature = w; return "temperature";
    case 1: s->top_p = w; return "top_p";
    case 2: s->min_p = w; return "min_p";
    case 3: s->repetition_penalty = w > 0 ? -w : w; return "repetition_penalty";
    case 4: s->presence_penalty = w == -0.5f ? -2.5f : w; return "presence_penalty";
    case 5: s->frequency_penalty = w == -0.5f ? -2.5f : w; return "frequency_penalty";
    case 6: s->n = 16385 + roll(d, 2) * (UINT32_MAX - 16385); return "n";
    case 7: s->temperature = 0; s->n = 2; return "n beside greedy";
    case 8: s->max_tokens = 3; s->min_tokens = 4; return "min_tokens";
    case 9: s->n_logprobs = one_in(d, 2) ? 22 : -2; return "n_logprobs";
    case 10:
        s->n_prompt_logprobs = one_in(d, 2) ? INT32_MAX : INT32_MIN;
        return "n_prompt_logprobs";
    case 11: s->flags |= 32u << roll(d, 27); return "sampling flags";
    case 12: s->reserved0 = 1; return "reserved0 of sampling";
    case 13: s->guide_kind = 1 + (int32_t)roll(d, 9); return "guide_kind";
    case 14: s->stop = NULL; s->n_stop = one_in(d, 2) ? SIZE_MAX : 1; return "stop is NULL";
    case 15: s->bad_words = q->bad; s->n_bad_words = 1; return "bad_words[0] is NULL";
    case 16: s->stop_token_ids = &q->ids[2][0]; s->n_stop_token_ids = 1; return "stop_token_ids";
    case 17:
        s->allowed_token_ids = NULL;
        s->n_allowed_token_ids = SIZE_MAX;
        return "allowed_token_ids";
    case 18: s->logit_bias = q->bias; s->n_logit_bias = 1; return "logit_bias";
    default:
        s->struct_size = (const uint32_t[]){ 0, 3, sizeof *s - 1, 65537, UINT32_MAX }[roll(d, 5)];
        return "size of sampling";
    }
}

static const char *spoil_prompt(dice_t *d, draft_t *q)
{
    llm_request_t *r = &q->r;
    uint32_t       kind = roll(d, 8);

    r->text = r->chat = NULL;
    r->text_len = r->chat_len = 0;
    r->tokens = q->tokens;
    r->n_tokens = 3;
    r->n_options = 0;
    switch (kind) {
    case 0: r->tokens = NULL; r->n_tokens = SIZE_MAX; return "tokens is NULL";
    case 1: r->n_tokens = 0; return "no tokens";
    case 2: r->n_tokens = DRAFT_LEN + 1; return "a long prompt";
    case 3: q->tokens[1] = -1; return "a token below 0";
    case 4: q->tokens[2] = INT32_MAX; return "a token beyond the vocabulary";
    case 5: r->text = "text too"; r->text_len = LLM_CSTR; return "text and tokens";
    case 6: r->tokens = NULL; r->n_tokens = 0; return "no prompt";
    default:
        r->tokens = NULL;
        r->n_tokens = 0;
        r->text = q->text;
        r->text_len = random_text(d, q->text, DRAFT_TEXT, false);
        return "a text that is not UTF-8";
    }
}

static const char *spoil_request(dice_t *d, draft_t *q)
{
    static const llm_option_t bad[] = {
        { NULL, "1" }, { "top_p", NULL }, { "", "" }, { "top_p", "1.5" }, { "n", "0" },
        { "stop", "[" }, { "block-size", "16" }, { "nonsense", "1" }, { "logprobs", "99" },
        { "structured_outputs", "{}" }, { "temperature", "nan" }, { "max_tokens", "-1" },
        { "logit_bias", "{\"a\": 1}" }, { "repetition_detection", "[[[[" },
    };
    llm_request_t *r = &q->r;

    switch (roll(d, 7)) {
    case 0: r->flags |= 8u << roll(d, 29); return "flags";
    case 1: r->reserved0 = 1 + roll(d, 9); return "reserved0";
    case 2: r->output_kind = one_in(d, 2) ? 3 : -1; r->n_options = 0; return "output_kind";
    case 3: r->cache_salt = "\xff"; r->n_options = 0; return "cache_salt";
    case 4: r->options = NULL; r->n_options = SIZE_MAX; return "options is NULL";
    case 5:
        r->struct_size = (const uint32_t[]){ 0, 3, sizeof *r - 1, 65537, UINT32_MAX }[roll(d, 5)];
        return "size of request";
    default:
        r->n_options = 1;
        q->options[0] = bad[roll(d, sizeof bad / sizeof *bad)];
        return q->options[0].name == NULL ? "option" : q->options[0].name;
    }
}

/* ---- Both ------------------------------------------------------------------------------------ */

/* Sizes as of a newer header, with or without something set in what is newer. */
static const char *grow(dice_t *d, draft_t *q, bool spoil)
{
    unsigned char *tail = one_in(d, 2) ? q->r_tail : q->s_tail;

    q->r.struct_size += DRAFT_PAD;
    q->s.struct_size += DRAFT_PAD;
    q->r.sampling = &q->s;
    tail[roll(d, DRAFT_PAD)] = spoil;
    return spoil ? "newer fields are set" : NULL;
}

draft_t *draft_new(dice_t *d, uint32_t n_vocab, bool with_text, bool spoil, llm_logits_fn hook,
                   void *hook_user)
{
    draft_t *q = calloc(1, sizeof *q);

    q->r.struct_size = sizeof q->r;
    q->s.struct_size = sizeof q->s;
    choose_prompt(d, q, n_vocab, with_text);
    choose_numbers(d, &q->s);
    choose_lists(d, q, n_vocab, with_text);
    choose_options(d, q);
    choose_request(d, q);
    if (hook != NULL && one_in(d, 5)) {
        q->s.logits_fn = hook;
        q->s.logits_user = hook_user;
    }
    if (!one_in(d, 10) || q->s.n_stop + q->s.n_bad_words > 0)
        q->r.sampling = &q->s;
    if (one_in(d, 12))
        q->spoilt = grow(d, q, spoil);
    if (!spoil || q->spoilt != NULL)
        return q;
    switch (roll(d, 3)) {
    case 0: q->spoilt = spoil_sampling(d, q, n_vocab); break;
    case 1: q->spoilt = spoil_prompt(d, q); break;
    default: q->spoilt = spoil_request(d, q); break;
    }
    return q;
}
