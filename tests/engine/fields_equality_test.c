/* SPDX-License-Identifier: Apache-2.0 */
/* Requests with every combination of fields, drawn at random, have the same tokens, texts, reasons
 * and log-probabilities, bit for bit: one after another, all at once, with hardly any KV blocks, in
 * chunks of any size, with the prefix cache and without, whatever records they ask for. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>

#define LLAMA      TEST_DIR "/golden/llama"
#define LETTERS    TEST_DIR "/engine/letters"
#define REASONING  "{\"reasoning_start_token_ids\": [7], \"reasoning_end_token_ids\": [9, 12]}"
#define N_REQUESTS (SANITIZED ? 40u : 200u)
#define MAX_N      3
#define MAX_PROMPT 70
#define MAX_TOKENS 24
#define MAX_WIDTH  8
#define N_VOCAB    128u

/* ---- What is asked --------------------------------------------------------------------------- */

typedef struct draw {               /* a request, a function of its number */
    uint64_t              rng;
    int32_t               tokens[MAX_PROMPT], stop_ids[3], allowed[40];
    char                  text[MAX_PROMPT], words[4][4], ids[64];
    const char           *stop[2], *bad[2];
    llm_logit_bias_t      bias[3];
    llm_option_t          options[8];
    llm_sampling_params_t sp;
    llm_request_t         r;
} draw_t;

static uint32_t rnd(draw_t *d, uint32_t n)
{
    d->rng = d->rng * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(d->rng >> 33) % n;
}

static bool chance(draw_t *d, uint32_t percent) { return rnd(d, 100) < percent; }

static float pick(draw_t *d, const float *from, uint32_t n) { return from[rnd(d, n)]; }
#define PICK(d, ...)                                                                             \
    pick(d, (const float[]){ __VA_ARGS__ }, sizeof((const float[]){ __VA_ARGS__ }) / sizeof(float))

static void add_option(draw_t *d, const char *name, const char *value)
{
    d->options[d->r.n_options++] = (llm_option_t){ name, value };
}

static const char *draw_word(draw_t *d, uint32_t i)
{
    uint32_t n = 1 + rnd(d, 2);

    for (uint32_t k = 0; k < n; k++)
        d->words[i][k] = (char)('a' + rnd(d, 26));
    return d->words[i];
}

/* A third share their beginning, a quarter is text. */
static void draw_prompt(draw_t *d, uint32_t number)
{
    uint32_t n = 1 + rnd(d, MAX_PROMPT - 1), shared = rnd(d, n + 1);

    if (chance(d, 25)) {
        for (uint32_t i = 0; i < n; i++)
            d->text[i] = (char)('a' + rnd(d, 26));
        d->r.text = d->text;
        d->r.text_len = n;
        return;
    }
    make_prompt(d->tokens, n, N_VOCAB, chance(d, 33) ? 1 : 1000 + number);
    for (uint32_t i = shared; i < n; i++)
        d->tokens[i] = (int32_t)rnd(d, N_VOCAB);
    d->r.tokens = d->tokens;
    d->r.n_tokens = n;
}

static void draw_truncation(draw_t *d)
{
    d->sp.temperature = PICK(d, 0, 0, 0.4f, 1, 1, 1.8f);
    d->sp.top_p = PICK(d, 0, 0, 0.5f, 0.9f);
    d->sp.top_k = (uint32_t)PICK(d, 0, 0, 1, 5, 40);
    d->sp.min_p = PICK(d, 0, 0, 0.02f, 0.3f);
    d->sp.repetition_penalty = PICK(d, 0, 0, 0.8f, 1.3f);
    d->sp.presence_penalty = PICK(d, 0, 0, -0.5f, 1);
    d->sp.frequency_penalty = PICK(d, 0, 0, -0.2f, 0.7f);
    d->sp.n = d->sp.temperature > 0 ? 1 + rnd(d, MAX_N) : 1;
    d->sp.flags |= chance(d, 60) ? LLM_SAMPLE_SEEDED : 0;
    d->sp.seed = rnd(d, 1000);
}

static void draw_constraints(draw_t *d)
{
    for (uint32_t i = 0, n = chance(d, 30) ? 1 + rnd(d, 3) : 0; i < n; i++)
        d->bias[d->sp.n_logit_bias++] = (llm_logit_bias_t){ (int32_t)rnd(d, N_VOCAB),
                                                            PICK(d, -100, -2, 1.5f, 4) };
    for (uint32_t i = 0, n = chance(d, 40) ? 40 : 0; i < n; i++)
        d->allowed[d->sp.n_allowed_token_ids++] = (int32_t)(i < 32 ? i : rnd(d, N_VOCAB));
    for (uint32_t i = 0, n = chance(d, 30) ? 1 + rnd(d, 2) : 0; i < n; i++)
        d->bad[d->sp.n_bad_words++] = draw_word(d, i);
    d->sp.logit_bias = d->bias;
    d->sp.allowed_token_ids = d->allowed;
    d->sp.bad_words = d->bad;
}

static void draw_ends(draw_t *d)
{
    bool no_text = chance(d, 10);

    d->sp.flags |= no_text ? LLM_SAMPLE_NO_TEXT : 0;
    for (uint32_t i = 0, n = !no_text && chance(d, 40) ? 1 + rnd(d, 2) : 0; i < n; i++)
        d->stop[d->sp.n_stop++] = draw_word(d, 2 + i);
    for (uint32_t i = 0, n = chance(d, 40) ? 1 + rnd(d, 3) : 0; i < n; i++)
        d->stop_ids[d->sp.n_stop_token_ids++] = (int32_t)rnd(d, N_VOCAB);
    d->sp.stop = d->stop;
    d->sp.stop_token_ids = d->stop_ids;
    d->sp.max_tokens = 1 + rnd(d, MAX_TOKENS);
    d->sp.min_tokens = chance(d, 30) ? rnd(d, d->sp.max_tokens + 1) : 0;
    d->sp.flags |= (chance(d, 30) ? LLM_SAMPLE_IGNORE_EOS : 0) |
                   (chance(d, 30) ? LLM_SAMPLE_KEEP_STOP : 0) |
                   (chance(d, 30) ? LLM_SAMPLE_KEEP_SPECIAL : 0);
}

static void draw_logprobs(draw_t *d)
{
    uint32_t n = 1 + rnd(d, 4);

    d->sp.n_logprobs = (int32_t)PICK(d, 0, 1, 2, MAX_WIDTH);
    d->sp.n_prompt_logprobs = chance(d, 25) ? 1 + (int32_t)rnd(d, 5) : 0;
    if (!chance(d, 20))
        return;
    snprintf(d->ids, sizeof d->ids, "[%u, %u, %u, %u", rnd(d, 32), 32 + rnd(d, 32),
             64 + rnd(d, 32), 96 + rnd(d, 32));
    d->ids[0] = '[';
    for (char *at = d->ids; n > 0; at++)
        if (*at == ',' || *at == '\0') {
            n--;
            if (n == 0)
                strcpy(at, "]");
        }
    d->sp.n_logprobs = 0;
    add_option(d, "logprob_token_ids", d->ids);
}

/* Looks at the row only, as it must. */
static int32_t push_logits(void *user, llm_logits_t *row)
{
    uint32_t step = (uint32_t)(row->n_tokens - row->n_prompt);

    for (uint32_t k = 0; k < 3; k++)
        row->logits[(row->n_tokens * 7 + (size_t)row->tokens[row->n_tokens - 1] + k * 31) %
                    row->n_vocab] += 2.5f;
    return *(const uint32_t *)user > 0 && step == *(const uint32_t *)user;
}

static void draw_rest(draw_t *d)
{
    static const uint32_t refuse_at[] = { 0, 0, 0, 5 };
    static const char *const budgets[] = { "0", "2", "5" };

    if (chance(d, 20)) {
        d->sp.logits_fn = push_logits;
        d->sp.logits_user = (void *)(uintptr_t)&refuse_at[rnd(d, 4)];
    }
    if (chance(d, 20))
        add_option(d, "thinking_token_budget", budgets[rnd(d, 3)]);
    if (chance(d, 20))
        add_option(d, "repetition_detection", "{\"max_pattern_size\": 4, \"min_count\": 2}");
    if (chance(d, 10))
        add_option(d, "skip_reading_prefix_cache", "true");
    if (chance(d, 10))
        add_option(d, "truncate_prompt_tokens", "20");
    d->r.cache_salt = chance(d, 10) ? "salt" : NULL;
    d->r.priority = (int32_t)rnd(d, 5);
    d->r.output_kind = (int32_t)rnd(d, 3);
    d->r.stream_interval = rnd(d, 5);
    d->r.flags = (chance(d, 20) ? LLM_REQUEST_ECHO : 0) |
                 (chance(d, 20) ? LLM_REQUEST_NO_SPECIAL : 0) |
                 (chance(d, 5) ? LLM_REQUEST_PREFILL_ONLY : 0);
}

static void draw_request(draw_t *d, uint32_t number)
{
    memset(d, 0, sizeof *d);
    d->rng = 77 + number * 7919ull;
    for (uint32_t i = 0; i < 4; i++)
        rnd(d, 2);
    d->sp = (llm_sampling_params_t)LLM_INIT(llm_sampling_params_t);
    d->r = (llm_request_t)LLM_INIT(llm_request_t);
    draw_prompt(d, number);
    draw_truncation(d);
    draw_constraints(d);
    draw_ends(d);
    draw_logprobs(d);
    draw_rest(d);
    d->r.sampling = &d->sp;
    d->r.options = d->options;
}

/* ---- What comes ------------------------------------------------------------------------------ */

typedef struct answer {             /* of one completion, put together from its records */
    int32_t       finish, stop_token, status;
    size_t        n_tokens, text_len, n_prompt, n_logprobs, n_plps;
    double        cumulative;
    char          stop_string[8];
    int32_t       tokens[MAX_TOKENS], prompt_ids[MAX_PROMPT + 2];
    char          text[MAX_TOKENS * 8];
    llm_logprob_t logprobs[MAX_TOKENS * MAX_WIDTH], plps[(MAX_PROMPT + 2) * MAX_WIDTH];
} answer_t;

static void take_first(answer_t *a, const llm_output_t *o)
{
    if (o->prompt_logprobs != NULL) {
        a->n_plps = (size_t)o->prompt_tokens * o->n_prompt_logprobs;
        memcpy(a->plps, o->prompt_logprobs, a->n_plps * sizeof *a->plps);
    }
    if (o->prompt_ids != NULL)
        memcpy(a->prompt_ids, o->prompt_ids, o->prompt_tokens * sizeof *a->prompt_ids);
}

static void take_record(answer_t *a, const llm_output_t *o, int32_t kind)
{
    size_t width = o->n_logprobs;

    if (kind != LLM_OUTPUT_DELTA)
        a->n_tokens = a->text_len = 0;
    take_first(a, o);
    assert_true(a->n_tokens + o->n_tokens <= MAX_TOKENS && width <= MAX_WIDTH);
    assert_true(a->text_len + o->text_len <= sizeof a->text);
    if (o->n_tokens > 0)
        memcpy(a->tokens + a->n_tokens, o->tokens, o->n_tokens * sizeof *a->tokens);
    if (o->n_tokens > 0 && width > 0)
        memcpy(a->logprobs + a->n_tokens * width, o->logprobs,
               o->n_tokens * width * sizeof *a->logprobs);
    memcpy(a->text + a->text_len, o->text, o->text_len);
    a->n_tokens += o->n_tokens;
    a->text_len += o->text_len;
    a->n_logprobs = width;
    a->n_prompt = o->prompt_tokens;
    a->finish = o->finish_reason;
    a->stop_token = o->stop_token;
    a->cumulative = o->cumulative_logprob;
    if (o->stop_string != NULL)
        snprintf(a->stop_string, sizeof a->stop_string, "%s", o->stop_string);
    a->status = o->error == NULL ? LLM_OK : o->error->status;
}

typedef struct crowd {
    draw_t   draw[200];
    answer_t answer[200][MAX_N], alone[200][MAX_N];
} crowd_t;

static void drain(llm_engine_t *e, crowd_t *c)
{
    const llm_output_t *o;

    while ((o = llm_engine_next_output(e)) != NULL) {
        const draw_t *d = o->user_data;
        take_record(&c->answer[d - c->draw][o->index], o, d->r.output_kind);
    }
}

static void add(llm_engine_t *e, crowd_t *c, uint32_t i)
{
    llm_error_t  err;
    llm_status_t st;

    c->draw[i].r.user_data = &c->draw[i];
    st = llm_engine_add_request(e, &c->draw[i].r, NULL, &err);
    if (st != LLM_OK)
        fail_msg("request %u is refused: %s", i, err.message);
}

static void run(llm_engine_t *e, crowd_t *c)
{
    llm_error_t err;

    do {
        if (llm_engine_step(e, &err) != LLM_OK)
            fail_msg("%s", err.message);
        drain(e, c);
    } while (llm_engine_unfinished(e) > 0);
}

static void same(const char *how, uint32_t i, uint32_t index, const answer_t *a, const answer_t *b)
{
    if (memcmp(a, b, sizeof *a) == 0)
        return;
    for (size_t k = 0; k < b->n_tokens && k < a->n_tokens; k++)
        if (a->tokens[k] != b->tokens[k] ||
            memcmp(a->logprobs + k * a->n_logprobs, b->logprobs + k * a->n_logprobs,
                   a->n_logprobs * sizeof *a->logprobs) != 0)
            fail_msg("%s: request %u.%u: token %zu is %d, alone %d, or its log-probabilities "
                     "differ", how, i, index, k, a->tokens[k], b->tokens[k]);
    fail_msg("%s: request %u.%u: %zu tokens, '%.*s', finish %d, status %d, %.9g; alone %zu tokens, "
             "'%.*s', finish %d, status %d, %.9g; prompt log-probabilities %s", how, i, index,
             a->n_tokens, (int)a->text_len, a->text, a->finish, a->status, a->cumulative,
             b->n_tokens, (int)b->text_len, b->text, b->finish, b->status, b->cumulative,
             memcmp(a->plps, b->plps, sizeof a->plps) == 0 ? "agree" : "differ");
}

static llm_engine_t *make(const char *seqs, const char *budget, const char *blocks,
                          const char *caching, const char *places)
{
    return make_engine(LLAMA, "float32",
                       OPTIONS("tokenizer", LETTERS, "max-model-len", "128", "block-size", "16",
                               "cpu-threads", "1", "reasoning-config", REASONING, "max-num-seqs",
                               seqs, "max-num-batched-tokens", budget, "num-gpu-blocks-override",
                               blocks, "enable-prefix-caching", caching, "max-num-queued-reqs",
                               places), NULL);
}

static llm_engine_t *engine_of(const char *seqs, const char *budget, const char *blocks,
                               const char *caching)
{
    return make(seqs, budget, blocks, caching, "1000");
}

/* The engine's number of a request, which seeds those without a seed, is the same in all runs. */
static void run_alone(crowd_t *c)
{
    llm_engine_t *e = engine_of("4", "256", "64", "false");

    memset(c->answer, 0, sizeof c->answer);
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        add(e, c, i);
        run(e, c);
    }
    llm_engine_destroy(e);
    memcpy(c->alone, c->answer, sizeof c->alone);
}

static void compare(const crowd_t *c, const char *how)
{
    for (uint32_t i = 0; i < N_REQUESTS; i++)
        for (uint32_t k = 0; k < MAX_N; k++)
            same(how, i, k, &c->answer[i][k], &c->alone[i][k]);
}

/* Through a queue of few places: those that find it full come again. */
static void run_batch(crowd_t *c, const char *how, llm_engine_t *e)
{
    static const llm_request_t *list[200];
    llm_batch_t                *batch;
    llm_error_t                 err;

    memset(c->answer, 0, sizeof c->answer);
    for (uint32_t i = 0; i < N_REQUESTS; i++)
        list[i] = &c->draw[i].r;
    if (llm_generate_batch(e, list, N_REQUESTS, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < N_REQUESTS; i++)
        for (uint32_t k = 0; llm_batch_output(batch, i, k) != NULL; k++)
            take_record(&c->answer[i][k], llm_batch_output(batch, i, k), LLM_OUTPUT_FINAL);
    compare(c, how);
    llm_batch_destroy(batch);
    llm_engine_destroy(e);
}

static uint64_t run_together(crowd_t *c, const char *how, llm_engine_t *e)
{
    llm_stats_t stats = LLM_INIT(llm_stats_t);

    memset(c->answer, 0, sizeof c->answer);
    for (uint32_t i = 0; i < N_REQUESTS; i++)
        add(e, c, i);
    run(e, c);
    compare(c, how);
    assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
    llm_engine_destroy(e);
    return stats.preemptions;
}

/* Nothing is shown by requests that all end the same way. */
static void check_variety(const crowd_t *c)
{
    uint32_t n[7] = { 0 }, n_strings = 0, n_ids = 0;

    for (uint32_t i = 0; i < N_REQUESTS; i++)
        for (uint32_t k = 0; k < MAX_N; k++) {
            const answer_t *a = &c->alone[i][k];
            n[a->finish]++;
            n_strings += a->stop_string[0] != '\0';
            n_ids += a->finish == LLM_FINISH_STOP && a->stop_token >= 0;
        }
    print_message("%u stop (%u by string, %u by id), %u length, %u repetition, %u abort, "
                  "%u error\n", n[LLM_FINISH_STOP], n_strings, n_ids, n[LLM_FINISH_LENGTH],
                  n[LLM_FINISH_REPETITION], n[LLM_FINISH_ABORT], n[LLM_FINISH_ERROR]);
    if (SANITIZED)
        return;
    assert_true(n_strings > 5 && n_ids > 5 && n[LLM_FINISH_LENGTH] > 30);
    assert_true(n[LLM_FINISH_REPETITION] > 3 && n[LLM_FINISH_ABORT] > 1);
    assert_true(n[LLM_FINISH_ERROR] < 10);
}

static void all_fields_keep_their_bits(void **state)
{
    crowd_t *c = calloc(1, sizeof *c);

    for (uint32_t i = 0; i < N_REQUESTS; i++)
        draw_request(&c->draw[i], i);
    run_alone(c);
    check_variety(c);
    run_together(c, "all at once", engine_of("256", "8192", "2000", "false"));
    run_together(c, "all at once, cached", engine_of("256", "8192", "2000", "true"));
    run_batch(c, "in a batch", make("8", "64", "100", "true", "7"));
    if (run_together(c, "4 blocks to spare", engine_of("64", "64", "13", "false")) == 0)
        fail_msg("nobody gave way");
    if (run_together(c, "4 blocks to spare, cached", engine_of("64", "64", "13", "true")) == 0)
        fail_msg("nobody gave way");
    run_together(c, "chunks of 1", engine_of("1", "1", "64", "true"));
    run_together(c, "chunks of 7", engine_of("7", "7", "200", "false"));
    run_together(c, "chunks of 7, cached", engine_of("5", "7", "200", "true"));
    run_together(c, "chunks of 64", engine_of("32", "64", "200", "true"));
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(all_fields_keep_their_bits) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
