/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations and requests from the seed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "simengine/esim.h"

#define ENGINE_SEED 77u

static const char *const salts[] = { NULL, NULL, "", "a", "tenant b" };
static const char *const strings[] = { "a", "ab", "b", "END", "EN", "bab", "\n", " a", "é", "€",
                                       "b€", "\ufffd", "beefdead", "aaaa", "日", "cabcab" };

/* ---- The configuration ----------------------------------------------------------------------- */

static uint32_t one_of(esim_t *m, const uint32_t *values, uint32_t n) { return values[rnd(m, n)]; }
#define ONE_OF(m, ...) \
    one_of(m, (const uint32_t[]){ __VA_ARGS__ }, sizeof((uint32_t[]){ __VA_ARGS__ }) / 4)

static void choose_groups(esim_t *m)
{
    lls_traits_t *t = &m->traits;
    uint32_t      kind = rnd(m, 8);

    t->n_vocab = FAKE_VOCAB;
    t->hidden = 8;
    t->max_positions = m->max_len;
    t->eos_ids[0] = 0;
    t->eos_ids[1] = 1;
    t->n_eos_ids = 2;
    t->n_groups = kind == 0 || kind == 1 ? 2 : 1;
    t->groups[0].kind = kind == 2 ? LLS_KV_SLIDING : LLS_KV_FULL;
    t->groups[1].kind = LLS_KV_SLIDING;
    t->groups[0].window = t->groups[1].window = 0;
    for (uint32_t g = 0; g < t->n_groups; g++)
        if (t->groups[g].kind == LLS_KV_SLIDING)
            t->groups[g].window = between(m, 2, m->max_len);  /* the fake reads one back */
    m->group_scale = chance(m, 50) ? 1 : 2;     /* of unequal size they have pools of their own */
}

/* Room for the longest request, and often for little more. */
static void choose_blocks(esim_t *m)
{
    uint32_t peak[2] = { 0, 0 }, most;

    for (uint32_t g = 0; g < m->traits.n_groups; g++) {
        lls_kv_group_config_t c = { .kind = m->traits.groups[g].kind,
                                    .block_tokens = m->block,
                                    .window = m->traits.groups[g].window };
        peak[g > 0 && m->group_scale > 1] += lls_kv_peak_blocks(&c, m->max_len, m->max_tokens);
    }
    most = lls_max_u32(peak[0], peak[1]);
    m->blocks = 1 + most + rnd(m, chance(m, 70) ? most + 2 : 3 * most + 8);
}

static void choose_events(esim_t *m)
{
    m->arrivals = ONE_OF(m, 3, 10, 25, 60);
    m->burst = ONE_OF(m, 1, 2, 6, 15);
    m->aborts = chance(m, 60) ? rnd(m, 12) : 0;
    m->batches = chance(m, 40) ? between(m, 50, 400) : 0;
    m->resets = chance(m, 30) ? between(m, 20, 300) : 0;
    m->deadlines = chance(m, 50) ? between(m, 5, 60) : 0;
    m->hooks = chance(m, 40) ? between(m, 5, 50) : 0;
    m->drains = ONE_OF(m, 100, 100, 50, 10, 3);
    m->row_faults = chance(m, 30) ? between(m, 5, 150) : 0;
    m->deaths = chance(m, 15) ? between(m, 10, 60) : 0;
    m->oom = chance(m, 25) ? between(m, 1, 15) : 0;
    m->sneaks = chance(m, 50) ? between(m, 2, 30) : 0;
    m->scores = ONE_OF(m, 3, 10, 40);
    m->pauses = chance(m, 25) ? between(m, 1, 8) : 0;
    m->n_total = between(m, 10, 90);
}

/* A letter among any six tokens: what a prompt leaves unfinished is in its last few, which is as
 * far as the detokeniser looks. */
static void add_letters(int32_t *tokens, uint32_t n)
{
    for (uint32_t i = 0, since = 0; i < n; i++) {
        since = tokens[i] >= 3 && tokens[i] <= 10 ? 0 : since + 1;
        if (since == 6)
            tokens[i] = 3 + (int32_t)(i % 8);
        since %= 6;
    }
}

void esim_choose(esim_t *m)
{
    m->max_len = between(m, 10, MAX_LEN);
    m->block = ONE_OF(m, 1, 2, 4, 4, 8, 16);
    m->rows = ONE_OF(m, 1, 2, 3, 4, 6, 8, 16);
    m->chunks = !chance(m, 20);
    m->max_tokens = chance(m, 15) ? between(m, 150, 400) : between(m, m->rows, m->rows + 40);
    if (!m->chunks)
        m->max_tokens = lls_max_u32(m->max_tokens, m->max_len);
    m->queued = between(m, 2, 40);
    m->interval = ONE_OF(m, 1, 1, 1, 2, 5);
    m->queued_tokens = chance(m, 25) ? between(m, 5, 300) : 0;
    m->long_prefill = chance(m, 20) ? between(m, 1, 20) : 0;
    m->max_logprobs = (int32_t)ONE_OF(m, 0, 1, 5, 20) - (chance(m, 5) ? 21 : 0);
    m->max_logprobs = m->max_logprobs < 0 ? -1 : m->max_logprobs;
    m->token_ns = ONE_OF(m, 1000, 1000000, 3000000, 20000000);
    m->caching = !chance(m, 20);
    m->by_priority = chance(m, 40);
    m->has_tokenizer = !chance(m, 20);
    m->eos_id = 0;
    choose_groups(m);
    choose_blocks(m);
    choose_events(m);
    m->wall_ahead = 1700000000000000u + rnd(m, 1000000);
    m->now = 1 + rnd(m, 1000000);
    for (uint32_t i = 0; i < N_BASES; i++) {
        for (uint32_t k = 0; k < MAX_LEN + 8; k++)
            m->base[i][k] = (int32_t)rnd(m, FAKE_VOCAB);
        add_letters(m->base[i], MAX_LEN + 8);
    }
}

static void put(esim_t *m, llm_engine_config_t *c, const char *name, const char *value)
{
    (void)m;
    ((llm_option_t *)(uintptr_t)c->options)[c->n_options++] = (llm_option_t){ name, value };
}

/* config->options has room for 16, and each number for its text. */
void esim_options(esim_t *m, llm_engine_config_t *c)
{
    static char block[12], blocks[12], interval[12], prefill[12], logprobs[12], tokens[12];

    c->model = "simulated";
    c->seed = ENGINE_SEED;
    c->max_model_len = m->max_len;
    c->max_num_seqs = m->rows;
    c->max_num_batched_tokens = m->max_tokens;
    c->max_num_queued_reqs = m->queued;
    snprintf(block, sizeof block, "%u", m->block);
    snprintf(blocks, sizeof blocks, "%u", m->blocks);
    snprintf(interval, sizeof interval, "%u", m->interval);
    snprintf(prefill, sizeof prefill, "%u", m->long_prefill);
    snprintf(logprobs, sizeof logprobs, "%d", m->max_logprobs);
    snprintf(tokens, sizeof tokens, "%u", m->queued_tokens);
    put(m, c, "block-size", block);
    put(m, c, "num-gpu-blocks-override", blocks);
    put(m, c, "stream-interval", interval);
    put(m, c, "max-logprobs", logprobs);
    put(m, c, "enable-prefix-caching", m->caching ? "true" : "false");
    put(m, c, "enable-chunked-prefill", m->chunks ? "true" : "false");
    put(m, c, "scheduling-policy", m->by_priority ? "priority" : "fcfs");
    put(m, c, "skip-tokenizer-init", m->has_tokenizer ? "false" : "true");
    if (m->queued_tokens > 0)
        put(m, c, "max-num-queued-tokens", tokens);
    if (m->long_prefill > 0)
        put(m, c, "long-prefill-token-threshold", prefill);
}

/* ---- Prompts --------------------------------------------------------------------------------- */

/* Heavy-tailed, and one in some too long. */
static uint32_t choose_length(esim_t *m, bool prefill_only)
{
    uint32_t most = prefill_only ? m->max_len : m->max_len - 1, kind = rnd(m, 100);

    if (kind < 3)
        return most + rnd(m, 3);
    if (kind < 10)
        return between(m, lls_max_u32(1, most - 3), most);
    return between(m, 1, lls_min_u32(most, kind < 70 ? 12 : most / 2 + 1));
}

static void choose_tokens(esim_t *m, es_req_t *q)
{
    const int32_t *base = m->base[rnd(m, N_BASES)];
    uint32_t       shared = chance(m, 60) ? rnd(m, q->n_prompt + 1) : 0;

    for (uint32_t i = 0; i < q->n_prompt; i++)
        q->prompt[i] = i < shared ? base[i] : (int32_t)rnd(m, FAKE_VOCAB);
    add_letters(q->prompt, q->n_prompt);
    if (rarely(m, 100))
        q->prompt[rnd(m, q->n_prompt)] = chance(m, 50) ? -1 : FAKE_VOCAB;
    for (uint32_t i = 0; i < q->n_prompt; i++)
        if (q->prompt[i] < 0 || q->prompt[i] >= FAKE_VOCAB)
            q->refusal = LLM_ERR_INVALID;
    q->r.tokens = q->prompt;
    q->r.n_tokens = q->n_prompt;
}

static void choose_text(esim_t *m, es_req_t *q)
{
    static const char letters[] = "abcdefgh abc .01";
    size_t            n;

    for (uint32_t i = 0; i < q->n_prompt; i++)
        q->text[i] = letters[rnd(m, sizeof letters - 1)];
    MUST(llm_tokenizer_encode(llm_engine_tokenizer(m->e), q->text, q->n_prompt, 0, q->prompt,
                              MAX_LEN + 8, &n, NULL) == LLM_OK, "the text does not encode");
    q->r.text = q->text;
    q->r.text_len = q->n_prompt;
    q->n_prompt = (uint32_t)n;
    q->is_text = true;
}

static void choose_prompt(esim_t *m, es_req_t *q)
{
    bool prefill_only = chance(m, 6);

    q->r.flags = (prefill_only ? LLM_REQUEST_PREFILL_ONLY : 0) |
                 (chance(m, 15) ? LLM_REQUEST_ECHO : 0);
    q->n_prompt = choose_length(m, prefill_only);
    if (m->has_tokenizer && chance(m, 15))
        choose_text(m, q);
    else
        choose_tokens(m, q);
    if (q->refusal == LLM_OK && q->n_prompt > m->max_len - !prefill_only)
        q->refusal = LLM_ERR_TOO_LONG;
}

/* ---- Sampling -------------------------------------------------------------------------------- */

static int32_t logits_fn(void *user, llm_logits_t *row)
{
    esim_t          *m = user;
    es_req_t        *q = row->user_data;
    const es_comp_t *c = &q->c[row->index];
    uint32_t         n = (uint32_t)row->n_tokens - q->n_prompt;
    int32_t          says = esim_hook_says(c->hash[row->n_tokens]);

    MUST(row->id == q->id && row->n_prompt == q->n_prompt && row->n_vocab == FAKE_VOCAB,
         "a callback gets another's row");
    MUST(n == c->made && memcmp(row->tokens, q->prompt, q->n_prompt * 4) == 0 &&
             memcmp(row->tokens + q->n_prompt, c->tokens, n * 4) == 0,
         "a callback gets other tokens");
    esim_total.hooks++;
    esim_sneak(m);
    if (says < 0)
        return 7;
    row->logits[says] = 1e6f;
    return 0;
}

static void choose_stops(esim_t *m, es_req_t *q)
{
    q->n_stop = has_text(m, q) && chance(m, 40) ? between(m, 1, 3) : 0;
    for (uint32_t i = 0; i < q->n_stop; i++)
        q->stop[i] = strings[rnd(m, sizeof strings / sizeof *strings)];
    q->n_stop_ids = chance(m, 30) ? between(m, 1, 3) : 0;
    for (uint32_t i = 0; i < q->n_stop_ids; i++)
        q->stop_ids[i] = (int32_t)rnd(m, chance(m, 30) ? 3 : FAKE_VOCAB);
    q->s.stop = q->stop;
    q->s.n_stop = q->n_stop;
    q->s.stop_token_ids = q->stop_ids;
    q->s.n_stop_token_ids = q->n_stop_ids;
}

static int32_t choose_width(esim_t *m)
{
    if (m->max_logprobs < 0 && chance(m, 30))
        return -1;
    return 1 + (int32_t)rnd(m, m->max_logprobs < 0 ? 4 : (uint32_t)m->max_logprobs + 1);
}

static void choose_logits(esim_t *m, es_req_t *q)
{
    q->s.temperature = chance(m, 40) ? 0 : chance(m, 50) ? 1 : 0.5f;
    q->s.top_k = chance(m, 30) ? between(m, 1, FAKE_VOCAB - 1) : 0;
    q->s.n = q->s.temperature > 0 && chance(m, 30) ? between(m, 2, MAX_N) : rnd(m, 2);
    q->s.repetition_penalty = chance(m, 15) ? 1.5f : 0;
    q->penalised = q->s.repetition_penalty != 0;
    q->n_allowed = chance(m, 8) ? between(m, 1, 5) : 0;
    for (uint32_t i = 0; i < q->n_allowed; i++)
        q->allowed[i] = (int32_t)(i * 12 + rnd(m, 12));
    q->s.allowed_token_ids = q->allowed;
    q->s.n_allowed_token_ids = q->n_allowed;
    q->n_bias = chance(m, 10);
    q->bias = (llm_logit_bias_t){ (int32_t)rnd(m, FAKE_VOCAB), (float)rnd(m, 200) - 100 };
    q->s.logit_bias = &q->bias;
    q->s.n_logit_bias = q->n_bias;
    q->hooked = m->hooks > 0 && chance(m, m->hooks);
    q->s.logits_fn = q->hooked ? logits_fn : NULL;
    q->s.logits_user = m;
}

static void choose_sampling(esim_t *m, es_req_t *q, bool for_batch)
{
    llm_sampling_params_t *s = &q->s;

    s->struct_size = sizeof *s;
    s->flags = (chance(m, 25) ? LLM_SAMPLE_IGNORE_EOS : 0) |
               (chance(m, 25) ? LLM_SAMPLE_KEEP_STOP : 0) |
               (chance(m, 25) ? LLM_SAMPLE_KEEP_SPECIAL : 0) |
               (chance(m, 10) ? LLM_SAMPLE_NO_TEXT : 0) |
               (for_batch || chance(m, 50) ? LLM_SAMPLE_SEEDED : 0);
    s->seed = rnd(m, 1000);
    s->max_tokens = chance(m, 10) ? UINT32_MAX : chance(m, 15) ? 0 : between(m, 1, 40);
    s->min_tokens = chance(m, 20) ? rnd(m, lls_min_u32(s->max_tokens == 0 ? 16 : s->max_tokens, 9) +
                                               1) : 0;
    s->n_logprobs = chance(m, 15) ? choose_width(m) : 0;
    s->n_prompt_logprobs = chance(m, m->scores) ? choose_width(m) : 0;
    choose_logits(m, q);
    choose_stops(m, q);
    q->wide = s->n_logprobs < 0 ? MAX_WIDE : (uint32_t)s->n_logprobs;
    q->prompt_wide = s->n_prompt_logprobs < 0 ? MAX_WIDE : (uint32_t)s->n_prompt_logprobs;
}

/* ---- Requests -------------------------------------------------------------------------------- */

es_req_t *esim_new_request(esim_t *m, bool for_batch)
{
    es_req_t *q = calloc(1, sizeof *q);

    q->number = m->n_reqs;
    m->reqs[m->n_reqs++] = q;
    q->r.struct_size = sizeof q->r;
    choose_prompt(m, q);
    choose_sampling(m, q, for_batch);
    q->r.sampling = &q->s;
    q->r.user_data = q;
    q->salt = q->r.cache_salt = salts[rnd(m, sizeof salts / sizeof *salts)];
    q->r.priority = chance(m, 50) ? (int32_t)rnd(m, 4) - 2 : 0;
    q->r.output_kind = (int32_t)rnd(m, 3);
    q->r.stream_interval = chance(m, 30) ? rnd(m, 6) : 0;
    q->r.queue_timeout_ms = m->deadlines > 0 && chance(m, m->deadlines) ? between(m, 1, 60) : 0;
    q->r.timeout_ms = m->deadlines > 0 && chance(m, m->deadlines) ? between(m, 1, 150) : 0;
    q->in_batch = for_batch;
    q->s.n = q->r.flags & LLM_REQUEST_PREFILL_ONLY && chance(m, 80) ? 1 : q->s.n;
    return q;
}

void esim_settle_request(esim_t *m, es_req_t *q, uint64_t number)
{
    uint32_t max = q->s.max_tokens == 0 ? 16 : q->s.max_tokens;

    max = lls_min_u32(max, m->max_len);
    q->min_tokens = lls_min_u32(q->s.min_tokens, max);
    q->len_cap = lls_min_u32(m->max_len, q->n_prompt + max);
    q->first_seed = q->s.flags & LLM_SAMPLE_SEEDED ? q->s.seed : ENGINE_SEED + number;
    q->s.n = lls_max_u32(q->s.n, 1);
    for (uint32_t i = 0; i < q->s.n; i++) {
        q->c[i].req = q;
        q->c[i].index = i;
        esim_run_alone(m, q, &q->c[i]);
    }
}

void esim_free_requests(esim_t *m)
{
    for (uint32_t i = 0; i < m->n_reqs; i++) {
        for (uint32_t k = 0; k < MAX_N; k++)
            esim_free_solo(&m->reqs[i]->c[k]);
        free(m->reqs[i]);
    }
    m->n_reqs = 0;
}
