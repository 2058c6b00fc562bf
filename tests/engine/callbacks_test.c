/* SPDX-License-Identifier: Apache-2.0 */
/* Logits callbacks: what they see, what they may do, and that their faults stay in their row. */
#include "engine/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#define MODEL    TEST_DIR "/golden/llama"
#define V        128
#define EOS      2
#define N_PROMPT 12
#define N_NEW    8
#define MAX_ASKS 24

static llm_engine_t *begin(const char *mode, const char *blocks)
{
    return make_engine(MODEL, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "64",
                               "cpu-threads", "2", "max-logprobs", "-1", "block-size", "4",
                               "logprobs-mode", mode, "num-gpu-blocks-override", blocks,
                               "max-num-seqs", "24"), NULL);
}

/* ---- What a callback sees -------------------------------------------------------------------- */

typedef struct witness {
    const ask_t *ask;
    const char  *extra_args;        /* expected */
    uint32_t     n_calls[3];        /* of each completion */
    float        seen[N_NEW][V];    /* logits of completion 0 */
} witness_t;

static int32_t look(void *user, llm_logits_t *row)
{
    witness_t *w = user;
    uint32_t   t = w->n_calls[row->index]++;

    assert_int_equal(row->struct_size, sizeof *row);
    assert_true(LLM_HAS(row, extra_args));
    if (w->extra_args == NULL)
        assert_null(row->extra_args);
    else
        assert_string_equal(row->extra_args, w->extra_args);
    assert_true(row->id != 0);
    assert_ptr_equal(row->user_data, w);
    assert_int_equal(row->n_vocab, V);
    assert_int_equal(row->n_prompt, N_PROMPT);
    assert_int_equal(row->n_tokens, N_PROMPT + t);
    assert_memory_equal(row->tokens, w->ask->tokens, N_PROMPT * sizeof *row->tokens);
    if (row->index == 0)
        memcpy(w->seen[t], row->logits, sizeof w->seen[t]);
    return 0;
}

static void a_callback_sees_constraints_but_no_penalties(void **state)
{
    static const llm_option_t     options[] = { { "extra_args", " {\"k\": [1, \"\\u00e9\"]} " } };
    static const llm_logit_bias_t bias[] = { { 7, 2.5f } };
    static const int32_t          allowed[] = { EOS, 5, 6, 7, 8, 9, 10 };
    llm_engine_t                 *e = begin("raw_logits", "400");
    static witness_t              w[2];
    ask_t                         asks[2];
    const ask_t                  *list[] = { &asks[0], &asks[1] };
    llm_batch_t                  *b;

    for (uint32_t i = 0; i < 2; i++) {
        w[i] = (witness_t){ .ask = &asks[i], .extra_args = i == 0 ? options->value : NULL };
        make_ask(&asks[i], V, N_PROMPT, i, N_NEW);
        asks[i].r.user_data = &w[i];
        asks[i].sp.logits_fn = look;
        asks[i].sp.logits_user = &w[i];
        asks[i].sp.temperature = 0.5f;
        asks[i].sp.top_k = 3;
        asks[i].sp.repetition_penalty = 1.7f;
        asks[i].sp.presence_penalty = 1;
        asks[i].sp.n_logprobs = -1;
    }
    asks[0].r.options = options;
    asks[0].r.n_options = 1;
    asks[0].sp.allowed_token_ids = allowed;
    asks[0].sp.n_allowed_token_ids = 7;
    asks[0].sp.logit_bias = bias;
    asks[0].sp.n_logit_bias = 1;
    asks[0].sp.min_tokens = 3;
    asks[1].sp.n = 3;
    b = generate_listed(e, list, 2);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(w[0].n_calls[i], i == 0 ? N_NEW : 0);
        assert_int_equal(w[1].n_calls[i], N_NEW);
    }
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t t = 0; t < N_NEW; t++) {
            const llm_output_t  *o = llm_batch_output(b, i, 0);
            const llm_logprob_t *raw = o->logprobs + t * (1 + V);
            for (uint32_t k = 1; k <= V; k++) {
                int32_t id = raw[k].token;
                bool    is_open = i == 1 || id == EOS || (id >= 5 && id <= 10);
                float   want = raw[k].logprob + (i == 0 && id == 7 ? 2.5f : 0);
                if (!is_open || (i == 0 && id == EOS && t < 3))
                    want = -INFINITY;
                assert_true(w[i].seen[t][id] == want);
            }
        }
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

/* ---- What it may do -------------------------------------------------------------------------- */

static int32_t only(void *user, llm_logits_t *row)
{
    const int32_t *token = user;

    for (size_t i = 0; i < row->n_vocab; i++)
        row->logits[i] = (int32_t)i == *token ? -5 : -INFINITY;
    return 0;
}

/* It comes behind allowed ids and the bans of min_tokens, and raw logprobs do not know it. */
static void a_callback_has_the_last_word_over_the_constraints(void **state)
{
    static const int32_t allowed[] = { 5, 6 };
    static int32_t       seven = 7, eos = EOS;
    llm_engine_t        *e = begin("raw_logprobs", "400");
    ask_t                asks[3];
    const ask_t         *list[] = { &asks[0], &asks[1], &asks[2] };
    llm_batch_t         *b;
    const llm_output_t  *o;

    for (uint32_t i = 0; i < 3; i++) {
        make_ask(&asks[i], V, N_PROMPT, 1, N_NEW);
        asks[i].sp.temperature = 1;
        asks[i].sp.n_logprobs = 1;
    }
    asks[0].sp.allowed_token_ids = allowed;
    asks[0].sp.n_allowed_token_ids = 2;
    asks[0].sp.logits_fn = only;
    asks[0].sp.logits_user = &seven;
    asks[1].sp.logits_fn = only;
    asks[1].sp.logits_user = &eos;
    asks[1].sp.flags = 0;
    asks[1].sp.min_tokens = 5;
    b = generate_listed(e, list, 3);
    o = llm_batch_output(b, 0, 0);
    assert_int_equal(o->n_tokens, N_NEW);
    for (uint32_t t = 0; t < N_NEW; t++)
        assert_int_equal(o->tokens[t], 7);
    assert_true(o->logprobs[0].logprob > -30 && o->logprobs[0].logprob < -0.01f);
    o = llm_batch_output(b, 1, 0);
    assert_int_equal(o->n_tokens, 5);       /* min_tokens holds four back, the fifth ends it */
    assert_int_equal(o->finish_reason, LLM_FINISH_STOP);
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

/* A function of the tokens that it is shown. */
static int32_t by_history(void *user, llm_logits_t *row)
{
    uint32_t h = 1;

    for (size_t i = 0; i < row->n_tokens; i++)
        h = h * 31 + (uint32_t)row->tokens[i];
    row->logits[h % row->n_vocab] += 6;
    return 0;
}

static void preemption_shows_a_callback_the_same_tokens(void **state)
{
    static const char *const blocks[] = { "400", "20" };
    int32_t  tokens[2][10][40];
    uint32_t n_preempted = 0;

    for (uint32_t w = 0; w < 2; w++) {
        llm_engine_t *e = begin("raw_logprobs", blocks[w]);
        ask_t         asks[10];
        const ask_t  *list[10];
        llm_batch_t  *b;
        for (uint32_t i = 0; i < 10; i++) {
            make_ask(&asks[i], V, N_PROMPT, i, 40);
            asks[i].sp.flags |= LLM_SAMPLE_SEEDED;
            asks[i].sp.temperature = 1;
            asks[i].sp.logits_fn = by_history;
            list[i] = &asks[i];
        }
        b = generate_listed(e, list, 10);
        for (uint32_t i = 0; i < 10; i++) {
            const llm_output_t *o = llm_batch_output(b, i, 0);
            assert_int_equal(o->n_tokens, 40);
            memcpy(tokens[w][i], o->tokens, sizeof tokens[w][i]);
            n_preempted += o->preemptions;
        }
        llm_batch_destroy(b);
        llm_engine_destroy(e);
    }
    assert_true(n_preempted > 0);
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
}

/* ---- Faults ---------------------------------------------------------------------------------- */

enum { ONE_NAN, ONE_INF, ALL_NAN, NOTHING_LEFT, REFUSAL, N_FAULTS };

typedef struct fault {
    int    kind;
    size_t at;                      /* tokens of the completion before it strikes */
} fault_t;

static int32_t strike(void *user, llm_logits_t *row)
{
    const fault_t *f = user;

    if (row->n_tokens - row->n_prompt < f->at)
        return 0;
    if (f->kind == ONE_NAN)
        row->logits[V - 1] = NAN;
    if (f->kind == ONE_INF)
        row->logits[0] = INFINITY;
    for (size_t i = 0; i < row->n_vocab && f->kind == ALL_NAN; i++)
        row->logits[i] = NAN;
    for (size_t i = 0; i < row->n_vocab && f->kind == NOTHING_LEFT; i++)
        row->logits[i] = -INFINITY;
    return f->kind == REFUSAL ? -7 : 0;
}

/* Every path of the sampler. */
static void make_path(ask_t *a, uint32_t i)
{
    make_ask(a, V, N_PROMPT, i, N_NEW);
    a->sp.flags |= LLM_SAMPLE_SEEDED;
    a->sp.seed = i;
    a->sp.temperature = i % 4 == 0 ? 0 : 0.9f;
    a->sp.top_k = i % 4 == 2 ? 5 : 0;
    a->sp.top_p = i % 4 == 3 ? 0.7f : 0;
    a->sp.min_p = i % 8 == 5 ? 0.01f : 0;
    a->sp.n_logprobs = i % 3 == 0 ? 0 : i % 3 == 1 ? 4 : -1;
    a->sp.n_prompt_logprobs = i % 5 == 0 ? 2 : 0;
    a->sp.repetition_penalty = i % 6 == 4 ? 1.2f : 0;
}

static void expect_fault(const llm_output_t *o, const fault_t *f)
{
    assert_int_equal(o->n_tokens, f->at);
    assert_int_equal(o->last, 1);
    if (f->kind == REFUSAL) {
        assert_int_equal(o->finish_reason, LLM_FINISH_ABORT);
        assert_null(o->error);
        return;
    }
    assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
    assert_int_equal(o->error->status, LLM_ERR_INVALID);
    assert_string_equal(o->error->param, "logits_fn");
    assert_non_null(strstr(o->error->message, "logits_fn left a NaN, +inf or nothing but -inf"));
}

static void expect_same(const llm_output_t *a, const llm_output_t *b)
{
    size_t n = a->n_tokens * a->n_logprobs;

    assert_int_equal(a->n_tokens, N_NEW);
    assert_int_equal(b->n_tokens, N_NEW);
    assert_int_equal(a->finish_reason, LLM_FINISH_LENGTH);
    assert_memory_equal(a->tokens, b->tokens, N_NEW * sizeof *a->tokens);
    assert_int_equal(a->n_logprobs, b->n_logprobs);
    if (n > 0)
        assert_memory_equal(a->logprobs, b->logprobs, n * sizeof *a->logprobs);
    assert_int_equal(a->n_prompt_logprobs, b->n_prompt_logprobs);
    if (a->n_prompt_logprobs > 0)
        assert_memory_equal(a->prompt_logprobs, b->prompt_logprobs,
                            N_PROMPT * a->n_prompt_logprobs * sizeof *a->prompt_logprobs);
}

/* 12 good rows of every kind beside 12 that fail, of every kind too; then the good ones alone. */
static void faults_stay_in_their_rows(void **state)
{
    static const char *const modes[] = { "raw_logprobs", "processed_logprobs", "raw_logits",
                                         "processed_logits" };

    for (uint32_t m = 0; m < 4; m++) {
        llm_engine_t *e = begin(modes[m], "400");
        for (uint32_t shift = 0; shift < N_FAULTS; shift++) {
            ask_t        asks[24];
            fault_t      faults[24];
            const ask_t *all[24], *good[12];
            llm_batch_t *together, *apart;
            for (uint32_t i = 0; i < 24; i++) {
                make_path(&asks[i], i / 2);
                all[i] = &asks[i];
                if (i % 2 == 0) {
                    good[i / 2] = &asks[i];
                    continue;
                }
                faults[i] = (fault_t){ (int)((i / 2 + shift) % N_FAULTS), i / 2 % 4 };
                asks[i].sp.logits_fn = strike;
                asks[i].sp.logits_user = &faults[i];
            }
            together = generate_listed(e, all, 24);
            apart = generate_listed(e, good, 12);
            for (uint32_t i = 0; i < 24; i++)
                if (i % 2 == 0)
                    expect_same(llm_batch_output(together, i, 0),
                                llm_batch_output(apart, i / 2, 0));
                else
                    expect_fault(llm_batch_output(together, i, 0), &faults[i]);
            llm_batch_destroy(together);
            llm_batch_destroy(apart);
        }
        llm_engine_destroy(e);
    }
}

static int32_t second_fails(void *user, llm_logits_t *row)
{
    if (row->index == 1)
        row->logits[3] = NAN;
    return 0;
}

static void one_completion_fails_alone(void **state)
{
    llm_engine_t *e = begin("raw_logprobs", "400");
    ask_t         a, plain;
    const ask_t  *list[] = { &a, &plain };
    llm_batch_t  *b;

    make_path(&a, 1);
    make_path(&plain, 1);
    a.sp.n = plain.sp.n = 3;
    a.sp.logits_fn = second_fails;
    b = generate_listed(e, list, 2);
    for (uint32_t i = 0; i < 3; i++) {
        const llm_output_t *o = llm_batch_output(b, 0, i);
        if (i != 1) {
            expect_same(o, llm_batch_output(b, 1, i));
            continue;
        }
        assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
        assert_int_equal(o->n_tokens, 0);
    }
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

static int32_t huge(void *user, llm_logits_t *row)
{
    row->logits[row->tokens[0]] = 3e38f;
    return 0;
}

/* Finite logits that the penalties behind the callback make infinite. */
static void what_only_overflows_later_is_named_too(void **state)
{
    llm_engine_t       *e = begin("processed_logprobs", "400");
    ask_t               a;
    const ask_t        *list[] = { &a };
    llm_batch_t        *b;
    const llm_output_t *o;

    for (uint32_t i = 0; i < 4; i++) {
        make_path(&a, i);
        a.sp.logits_fn = huge;
        a.sp.repetition_penalty = 0.5f;
        b = generate_listed(e, list, 1);
        o = llm_batch_output(b, 0, 0);
        assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
        assert_string_equal(o->error->param, "logits_fn");
        assert_non_null(strstr(o->error->message, "behind logits_fn"));
        llm_batch_destroy(b);
    }
    llm_engine_destroy(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_callback_sees_constraints_but_no_penalties),
        cmocka_unit_test(a_callback_has_the_last_word_over_the_constraints),
        cmocka_unit_test(preemption_shows_a_callback_the_same_tokens),
        cmocka_unit_test(faults_stay_in_their_rows),
        cmocka_unit_test(one_completion_fails_alone),
        cmocka_unit_test(what_only_overflows_later_is_named_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
