/* SPDX-License-Identifier: Apache-2.0 */
/* logprobs-mode, whole vocabularies and chosen tokens, against a slow reference that starts from
 * the raw logits of the whole vocabulary and does what vLLM's runner V2 does, one step after
 * another, by sorting. */
#include "engine/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#define MODEL   TEST_DIR "/golden/llama"
#define V       128
#define EOS     2
#define N_NEW   10
#define N_ASKS  12
#define N_PROMPT 30

enum { RAW_LOGPROBS, PROCESSED_LOGPROBS, RAW_LOGITS, PROCESSED_LOGITS, N_MODES };

static const char *const mode_names[] = { "raw_logprobs", "processed_logprobs", "raw_logits",
                                          "processed_logits" };
static llm_engine_t *engines[N_MODES];

static int set_up(void **state)
{
    for (size_t i = 0; i < N_MODES; i++)
        engines[i] = make_engine(MODEL, "float32",
                                 OPTIONS("skip-tokenizer-init", "true", "max-logprobs", "-1",
                                         "max-model-len", "128", "cpu-threads", "1",
                                         "max-num-seqs", "40", "block-size", "4", "logprobs-mode",
                                         mode_names[i]), NULL);
    return 0;
}

static int tear_down(void **state)
{
    for (size_t i = 0; i < N_MODES; i++)
        llm_engine_destroy(engines[i]);
    return 0;
}

/* ---- Requests -------------------------------------------------------------------------------- */

static const int32_t          allowed[] = { 3, 9, 17, 40, 41, 99, EOS, 5 };
static const int32_t          stops[] = { 9, 10 };
static const llm_logit_bias_t biases[] = { { 9, 3.5f }, { 17, -100 }, { 90, 1.25f } };

static void make_request(ask_t *a, uint32_t i)
{
    llm_sampling_params_t *s = &a->sp;

    make_ask(a, V, N_PROMPT, i, N_NEW);
    s->flags |= LLM_SAMPLE_SEEDED;
    s->seed = 7 * i;
    s->temperature = i % 4 == 0 ? 0 : i % 4 == 1 ? 1 : i % 4 == 2 ? 0.35f : 1.8f;
    s->top_k = i % 3 == 1 ? 7 : 0;
    s->top_p = i % 5 == 2 ? 0.6f : i % 5 == 3 ? 0.95f : 0;
    s->min_p = i % 6 == 5 ? 0.02f : 0;
    s->repetition_penalty = i % 4 == 2 ? 1.3f : 0;
    s->frequency_penalty = i % 4 == 3 ? 0.7f : 0;
    s->presence_penalty = i % 5 == 1 ? -0.4f : 0;
    s->n_logprobs = -1;
    if (i % 3 == 2) {
        s->logit_bias = biases;
        s->n_logit_bias = 3;
        s->stop_token_ids = stops;
        s->n_stop_token_ids = 2;
        s->min_tokens = N_NEW;
    }
    if (i == 11) {
        s->allowed_token_ids = allowed;
        s->n_allowed_token_ids = 8;
    }
}

/* ---- Reference ------------------------------------------------------------------------------- */

/* Entries 1 .. of a token that has all of the vocabulary, by id. */
static void by_id(const llm_output_t *o, size_t token, float x[V])
{
    const llm_logprob_t *row = o->logprobs + token * o->n_logprobs;

    assert_int_equal(o->n_logprobs, 1 + V);
    for (uint32_t i = 1; i <= V; i++)
        x[row[i].token] = row[i].logprob;
}

static void constrain(const llm_sampling_params_t *s, float x[V], size_t n_out)
{
    for (uint32_t i = 0; i < V && s->n_allowed_token_ids > 0; i++) {
        bool is_allowed = false;
        for (size_t k = 0; k < s->n_allowed_token_ids; k++)
            is_allowed |= s->allowed_token_ids[k] == (int32_t)i;
        x[i] = is_allowed ? x[i] : -INFINITY;
    }
    for (size_t k = 0; k < s->n_logit_bias; k++)
        x[s->logit_bias[k].token] += s->logit_bias[k].bias;
    if (n_out >= s->min_tokens)
        return;
    for (size_t k = 0; k < s->n_stop_token_ids; k++)
        x[s->stop_token_ids[k]] = -INFINITY;
    x[EOS] = -INFINITY;                     /* also where it ends nothing */
}

static void penalise(const ask_t *a, float x[V], const int32_t *out, size_t n_out)
{
    const llm_sampling_params_t *s = &a->sp;

    for (int32_t t = 0; t < V; t++) {
        uint32_t count = 0;
        bool     seen = false;
        for (size_t i = 0; i < n_out; i++)
            count += out[i] == t;
        for (size_t i = 0; i < N_PROMPT; i++)
            seen |= a->tokens[i] == t;
        if (s->repetition_penalty != 0 && (seen || count > 0))
            x[t] = x[t] > 0 ? x[t] / s->repetition_penalty : x[t] * s->repetition_penalty;
        x[t] -= s->frequency_penalty * (float)count;
        x[t] -= s->presence_penalty * (float)(count > 0);
    }
}

static int descending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* What is below the limit goes; ties with it stay. */
static void cut(float x[V], float limit)
{
    for (uint32_t i = 0; i < V; i++)
        x[i] = x[i] >= limit ? x[i] : -INFINITY;
}

static void truncate_row(const llm_sampling_params_t *s, float x[V])
{
    float  sorted[V];
    double sum = 0, part = 0;

    if (s->temperature == 0)
        return;
    for (uint32_t i = 0; i < V; i++)
        x[i] /= s->temperature;
    memcpy(sorted, x, sizeof sorted);
    qsort(sorted, V, sizeof *sorted, descending);
    if (s->min_p > 0)
        cut(x, sorted[0] + logf(s->min_p));
    if (s->top_k > 0)
        cut(x, sorted[s->top_k - 1]);
    if (s->top_p == 0)
        return;
    memcpy(sorted, x, sizeof sorted);
    qsort(sorted, V, sizeof *sorted, descending);
    for (uint32_t i = 0; i < V; i++)
        sum += exp((double)sorted[i] - (double)sorted[0]);
    for (uint32_t i = 0; i < V; i++) {
        part += exp((double)sorted[i] - (double)sorted[0]);
        if (part >= (double)s->top_p * sum) {
            cut(x, sorted[i]);
            return;
        }
    }
}

static double log_sum(const float x[V])
{
    double max = -INFINITY, sum = 0;

    for (uint32_t i = 0; i < V; i++)
        max = fmax(max, (double)x[i]);
    for (uint32_t i = 0; i < V; i++)
        sum += exp((double)x[i] - max);
    return max + log(sum);
}

static void check_value(float got, float x, double sum)
{
    if (x == -INFINITY)
        assert_true(got == -INFINITY);
    else if (sum == 0)                      /* logits: to the bit */
        assert_true(got == x);
    else
        assert_true(fabs((double)got - ((double)x - sum)) < 4e-6 + 1e-6 * fabs((double)x));
}

/* Entry 0 is the token with its rank, then come all tokens by descending value and ascending id. */
static void check_entries(const llm_logprob_t *row, int32_t token, const float x[V], bool logits)
{
    double   sum = logits ? 0 : log_sum(x);
    uint32_t rank = 0;

    for (uint32_t i = 0; i < V; i++)
        rank += x[i] >= x[token];
    assert_int_equal(row[0].token, token);
    assert_int_equal(row[0].rank, rank);
    for (uint32_t i = 0; i <= V; i++)
        check_value(row[i].logprob, x[row[i].token], sum);
    for (uint32_t i = 1; i <= V; i++) {
        assert_int_equal(row[i].rank, i);
        if (i > 1)
            assert_true(x[row[i].token] < x[row[i - 1].token] ||
                        (x[row[i].token] == x[row[i - 1].token] &&
                         row[i].token > row[i - 1].token));
    }
}

/* ---- Tests ----------------------------------------------------------------------------------- */

static void every_mode_is_what_v2_takes_a_snapshot_of(void **state)
{
    ask_t        asks[N_ASKS];
    llm_batch_t *b[N_MODES];
    uint32_t     n_cut = 0;

    for (uint32_t i = 0; i < N_ASKS; i++)
        make_request(&asks[i], i);
    for (uint32_t m = 0; m < N_MODES; m++)
        b[m] = generate_all(engines[m], asks, N_ASKS);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        const llm_output_t *raw = llm_batch_output(b[RAW_LOGITS], i, 0);

        assert_int_equal(raw->n_tokens, N_NEW);
        for (size_t t = 0; t < N_NEW; t++) {
            float x[V], y[V];

            by_id(raw, t, x);
            memcpy(y, x, sizeof y);
            constrain(&asks[i].sp, y, t);
            penalise(&asks[i], y, raw->tokens, t);
            truncate_row(&asks[i].sp, y);
            for (uint32_t k = 0; k < V; k++)
                n_cut += y[k] == -INFINITY;
            for (uint32_t m = 0; m < N_MODES; m++) {
                const llm_output_t *o = llm_batch_output(b[m], i, 0);
                assert_int_equal(o->tokens[t], raw->tokens[t]);     /* a mode changes no draw */
                check_entries(o->logprobs + t * (1 + V), raw->tokens[t], m % 2 ? y : x, m >= 2);
            }
        }
    }
    assert_true(n_cut > 1000);
    for (uint32_t m = 0; m < N_MODES; m++)
        llm_batch_destroy(b[m]);
}

static void assert_same_row(const llm_logprob_t *a, const llm_logprob_t *b, size_t n)
{
    assert_memory_equal(a, b, n * sizeof *a);
}

/* Widths of 0, 1, 1 + k and all beside each other: each begins as the widest does. */
static void narrow_rows_are_the_beginning_of_wide_ones(void **state)
{
    static const int32_t widths[] = { -1, 0, 1, 2, 6, 1 + V };

    for (uint32_t m = 0; m < N_MODES; m++) {
        ask_t               asks[6];
        llm_batch_t        *b;
        const llm_output_t *all;

        for (uint32_t i = 0; i < 6; i++) {
            make_request(&asks[i], 5);
            asks[i].sp.n_logprobs = asks[i].sp.n_prompt_logprobs = widths[i];
        }
        b = generate_all(engines[m], asks, 6);
        all = llm_batch_output(b, 0, 0);
        assert_int_equal(all->n_logprobs, 1 + V);
        for (uint32_t i = 1; i < 6; i++) {
            const llm_output_t *o = llm_batch_output(b, i, 0);
            assert_int_equal(o->n_logprobs, widths[i]);
            assert_int_equal(o->n_prompt_logprobs, widths[i]);
            assert_int_equal(o->logprobs == NULL, widths[i] == 0);
            assert_int_equal(o->prompt_logprobs == NULL, widths[i] == 0);
            for (size_t t = 0; t < N_NEW && widths[i] > 0; t++)
                assert_same_row(o->logprobs + t * o->n_logprobs, all->logprobs + t * (1 + V),
                                o->n_logprobs);
            for (size_t t = 0; t < N_PROMPT && widths[i] > 0; t++)
                assert_same_row(o->prompt_logprobs + t * o->n_logprobs,
                                all->prompt_logprobs + t * (1 + V), o->n_logprobs);
        }
        llm_batch_destroy(b);
    }
}

/* The prompt's are of the raw distribution in every mode, in the mode's unit. */
static void the_prompt_is_raw_in_the_unit_of_the_mode(void **state)
{
    const llm_output_t *o[N_MODES];
    llm_batch_t        *b[N_MODES];
    ask_t               a;

    make_request(&a, 3);
    a.sp.n_prompt_logprobs = -1;
    for (uint32_t m = 0; m < N_MODES; m++) {
        b[m] = generate_all(engines[m], &a, 1);
        o[m] = llm_batch_output(b[m], 0, 0);
        assert_int_equal(o[m]->n_prompt_logprobs, 1 + V);
    }
    for (size_t t = 0; t < N_PROMPT; t++) {
        const llm_logprob_t *row = o[RAW_LOGITS]->prompt_logprobs + t * (1 + V);
        float                x[V];
        if (t == 0) {
            assert_int_equal(row[0].token, -1);
            continue;
        }
        for (uint32_t i = 1; i <= V; i++)
            x[row[i].token] = row[i].logprob;
        for (uint32_t m = 0; m < N_MODES; m++)
            check_entries(o[m]->prompt_logprobs + t * (1 + V), a.tokens[t], x, m >= 2);
    }
    for (uint32_t m = 0; m < N_MODES; m++)
        llm_batch_destroy(b[m]);
}

/* Chosen tokens have the values and ranks of the whole vocabulary's entries. */
static void expect_chosen(const llm_logprob_t *row, const llm_logprob_t *all, const int32_t *ids,
                          size_t n)
{
    assert_same_row(row, all, 1);
    for (size_t k = 0; k < n; k++) {
        uint32_t at = 1, rank = 0;
        while (all[at].token != ids[k])
            at++;
        for (uint32_t i = 1; i <= V; i++)
            rank += all[i].logprob >= all[at].logprob;
        assert_int_equal(row[1 + k].token, ids[k]);
        assert_int_equal(row[1 + k].rank, rank);
        assert_true(row[1 + k].logprob == all[at].logprob);
    }
}

static void chosen_tokens_come_in_place_of_the_likeliest(void **state)
{
    static const llm_option_t options[] = {
        { "logprob_token_ids", "[100, 3, 3, 127, 0]" }, { "prompt_logprob_token_ids", "[9, 2]" },
        { "prompt_logprob_start", "4" }, { "logprobs", "5" }, { "prompt_logprobs", "2" } };
    static const int32_t ids[] = { 100, 3, 3, 127, 0 }, prompt_ids[] = { 9, 2 };

    for (uint32_t m = 0; m < N_MODES; m++)
        for (uint32_t variant = 0; variant < 4; variant++) {
            ask_t               a[2];
            llm_batch_t        *b;
            const llm_output_t *all, *o;

            make_request(&a[0], 4 + variant);
            a[0].sp.n_prompt_logprobs = -1;
            a[1] = a[0];
            a[1].r.sampling = &a[1].sp;
            a[1].r.tokens = a[1].tokens;
            a[1].sp.n_logprobs = variant % 2 ? 6 : 0;
            a[1].sp.n_prompt_logprobs = 0;
            a[1].r.options = options;
            a[1].r.n_options = variant == 3 ? 5 : 3;
            b = generate_all(engines[m], a, 2);
            all = llm_batch_output(b, 0, 0);
            o = llm_batch_output(b, 1, 0);
            assert_null(o->error);
            assert_int_equal(o->n_tokens, N_NEW);
            assert_int_equal(o->n_logprobs, 6);
            assert_int_equal(o->n_prompt_logprobs, 3);
            assert_memory_equal(o->tokens, all->tokens, N_NEW * sizeof *o->tokens);
            for (size_t t = 0; t < N_NEW; t++)
                expect_chosen(o->logprobs + t * 6, all->logprobs + t * (1 + V), ids, 5);
            for (size_t t = 0; t < N_PROMPT; t++)
                if (t < 5)                  /* prompt token 4 is the first that tells of the next */
                    assert_true(o->prompt_logprobs[t * 3].token == -1 &&
                                o->prompt_logprobs[t * 3 + 2].token == -1 &&
                                o->prompt_logprobs[t * 3].rank == 0);
                else
                    expect_chosen(o->prompt_logprobs + t * 3, all->prompt_logprobs + t * (1 + V),
                                  prompt_ids, 2);
            llm_batch_destroy(b);
        }
}

/* As many as are allowed, in rows that fill a step, with max-logprobs below their number; and a
 * start behind the prompt's end. */
static void the_result_has_room_for_the_most(void **state)
{
    llm_engine_t       *e = make_engine(MODEL, "float32",
                                        OPTIONS("skip-tokenizer-init", "true", "max-logprobs", "1",
                                                "max-model-len", "128", "cpu-threads", "1",
                                                "max-num-seqs", "6", "max-num-batched-tokens",
                                                "64"), NULL);
    char                list[600] = "[";
    llm_option_t        options[] = { { "logprob_token_ids", list },
                                      { "prompt_logprob_token_ids", "[77]" },
                                      { "prompt_logprob_start", "29" } };
    ask_t               asks[N_ASKS];
    llm_batch_t        *b;
    int                 at = 1;

    for (int i = 0; i < 128; i++)
        at += snprintf(list + at, sizeof list - (size_t)at, "%s%d", i > 0 ? "," : "", 127 - i);
    strcat(list, "]");
    for (uint32_t i = 0; i < N_ASKS; i++) {
        make_request(&asks[i], i);
        asks[i].sp.n_logprobs = 0;
        asks[i].r.options = options;
        asks[i].r.n_options = i % 2 ? 2 : 3;
    }
    b = generate_all(e, asks, N_ASKS);
    for (uint32_t i = 0; i < N_ASKS; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0);
        if (o->error != NULL)
            fail_msg("%s", o->error->message);
        assert_int_equal(o->n_tokens, N_NEW);
        assert_int_equal(o->n_logprobs, 129);
        assert_int_equal(o->n_prompt_logprobs, 2);
        assert_int_equal(o->logprobs[128].token, 0);
        assert_int_equal(o->prompt_logprobs[29 * 2 + 1].token, i % 2 ? 77 : -1);
    }
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

/* Chunks of 7 tokens and a cache for a third of the requests give the same bits. */
static void chunks_and_preemption_change_nothing(void **state)
{
    static const llm_option_t options[] = { { "logprob_token_ids", "[100, 3, 127]" },
                                            { "prompt_logprob_token_ids", "[9, 2]" },
                                            { "prompt_logprob_start", "11" } };

    for (uint32_t k = 0; k < 2 * N_MODES; k++) {
        uint32_t      m = k / 2;
        const char   *budget = k % 2 ? "7" : "64", *blocks = k % 2 ? "400" : "33";
        llm_engine_t *tight = make_engine(MODEL, "float32",
                                          OPTIONS("skip-tokenizer-init", "true", "max-logprobs",
                                                  "-1", "max-model-len", "128", "cpu-threads", "2",
                                                  "max-num-seqs", "7", "max-num-batched-tokens",
                                                  budget, "block-size", "4", "logprobs-mode",
                                                  mode_names[m], "num-gpu-blocks-override",
                                                  blocks), NULL);
        ask_t         asks[N_ASKS];
        llm_batch_t  *a, *b;
        uint32_t      n_preempted = 0;

        for (uint32_t i = 0; i < N_ASKS; i++) {
            make_request(&asks[i], i);
            asks[i].sp.n_prompt_logprobs = i % 3 == 0 ? 4 : 0;
            asks[i].sp.n_logprobs = i % 2 ? -1 : 4;
            asks[i].r.options = options;
            asks[i].r.n_options = i % 2 ? 0 : i % 3 == 0 ? 1 : 3;
        }
        a = generate_all(engines[m], asks, N_ASKS);
        b = generate_all(tight, asks, N_ASKS);
        for (uint32_t i = 0; i < N_ASKS; i++) {
            const llm_output_t *x = llm_batch_output(a, i, 0), *y = llm_batch_output(b, i, 0);
            assert_int_equal(x->n_tokens, N_NEW);
            assert_memory_equal(x->tokens, y->tokens, N_NEW * sizeof *x->tokens);
            assert_int_equal(x->n_logprobs, y->n_logprobs);
            assert_same_row(x->logprobs, y->logprobs, N_NEW * x->n_logprobs);
            assert_int_equal(x->n_prompt_logprobs, y->n_prompt_logprobs);
            if (x->n_prompt_logprobs > 0)
                assert_same_row(x->prompt_logprobs, y->prompt_logprobs,
                                N_PROMPT * x->n_prompt_logprobs);
            n_preempted += y->preemptions;
        }
        assert_int_equal(n_preempted > 0, k % 2 == 0);
        llm_batch_destroy(a);
        llm_batch_destroy(b);
        llm_engine_destroy(tight);
    }
}

/* The plan, to the byte, where logprobs make results large and options keep memory. */
static void plans_are_exact(void **state)
{
    static const char *const configs[][4] = {
        { "max-logprobs", "-1", "logprobs-mode", "processed_logits" },
        { "max-logprobs", "0", "logprobs-mode", "raw_logits" },
        { "max-logprobs", "3000", "logprobs-mode", "processed_logprobs" },
        { "max-logprobs", "127", "reasoning-config",
          "{\"reasoning_start_token_ids\": [4, 5], \"reasoning_end_token_ids\": [6]}" },
        { "max-logprobs", "129", "reasoning-config", "{}" },
    };

    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        test_alloc_t        t = { 0 };
        llm_allocator_t     hook = test_allocator(&t);
        llm_option_t        opts[] = { { configs[i][0], configs[i][1] },
                                       { configs[i][2], configs[i][3] },
                                       { "skip-tokenizer-init", "true" }, { "cpu-threads", "1" } };
        llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
        llm_plan_t          plan = LLM_INIT(llm_plan_t);
        llm_stats_t         stats = LLM_INIT(llm_stats_t);
        llm_engine_t       *e = NULL;
        llm_error_t         err;

        cfg.model = MODEL;
        cfg.options = opts;
        cfg.n_options = 4;
        cfg.allocator = &hook;
        cfg.max_model_len = 64;
        cfg.max_num_seqs = 5;
        cfg.max_num_queued_reqs = 16;
        if (llm_plan(&cfg, &plan, &err) != LLM_OK || llm_engine_create(&cfg, &e, &err) != LLM_OK)
            fail_msg("%s", err.message);
        assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
        assert_int_equal(stats.device_bytes,
                         plan.weight_bytes + plan.workspace_bytes + plan.kv_cache_bytes);
        assert_int_equal(stats.host_bytes, plan.host_bytes);
        assert_int_equal(t.live_bytes, stats.host_bytes + stats.device_bytes);
        llm_engine_destroy(e);
        assert_int_equal(t.live_bytes, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mode_is_what_v2_takes_a_snapshot_of),
        cmocka_unit_test(narrow_rows_are_the_beginning_of_wide_ones),
        cmocka_unit_test(the_prompt_is_raw_in_the_unit_of_the_mode),
        cmocka_unit_test(chosen_tokens_come_in_place_of_the_likeliest),
        cmocka_unit_test(the_result_has_room_for_the_most),
        cmocka_unit_test(chunks_and_preemption_change_nothing),
        cmocka_unit_test(plans_are_exact),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
