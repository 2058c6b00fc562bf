/* SPDX-License-Identifier: Apache-2.0 */
/* A small run with every feature of a request on, in which the n-th allocation fails, for every n:
 * one request bears it, its neighbours' outputs do not change, and nothing stays behind. */
#include "engine/support.h"

#include <stdbool.h>
#include <stdio.h>

#define MODEL   TEST_DIR "/golden/llama"
#define LETTERS TEST_DIR "/engine/letters"
#define N_BATCH 3
#define MAX_OUT 12

typedef struct seen {               /* of one completion */
    int32_t  finish, status;
    size_t   n_tokens, text_len;
    int32_t  tokens[MAX_OUT];
    char     text[256];
} seen_t;

typedef struct outcome {
    seen_t       neighbour, rich[2], batch[N_BATCH];
    llm_status_t added, ran;        /* of the rich request and the batch */
} outcome_t;

static const char *const stops[] = { "xyz", "qq" }, *const bad[] = { "ab", "c" };
static const llm_logit_bias_t biases[] = { { 4, 1.5f } };
static const int32_t          stop_ids[] = { 60 };
static const llm_option_t     options[] = {
    { "repetition_detection", "{\"max_pattern_size\": 5, \"min_count\": 6}" },
    { "truncate_prompt_tokens", "20" }, { "truncation_side", "right" },
    { "extra_args", "{\"a\": [1, 2]}" }, { "request_id", "walker" }, { "stop_token_ids", "[61]" },
};

static int32_t look(void *user, llm_logits_t *row)
{
    (*(int *)user)++;
    return row->extra_args == NULL;
}

static void make_rich(llm_request_t *r, llm_sampling_params_t *sp, int *calls)
{
    *sp = (llm_sampling_params_t)LLM_INIT(llm_sampling_params_t);
    sp->flags = LLM_SAMPLE_IGNORE_EOS | LLM_SAMPLE_SEEDED;
    sp->seed = 5;
    sp->temperature = 1;
    sp->top_p = 0.9f;
    sp->repetition_penalty = 1.2f;
    sp->n = 2;
    sp->max_tokens = MAX_OUT;
    sp->n_logprobs = sp->n_prompt_logprobs = 3;
    sp->stop = stops;
    sp->n_stop = 2;
    sp->stop_token_ids = stop_ids;
    sp->n_stop_token_ids = 1;
    sp->bad_words = bad;
    sp->n_bad_words = 2;
    sp->logit_bias = biases;
    sp->n_logit_bias = 1;
    sp->logits_fn = look;
    sp->logits_user = calls;
    *r = (llm_request_t)LLM_INIT(llm_request_t);
    r->text = "the quick brown fox jumps over the lazy dog";
    r->text_len = LLM_CSTR;
    r->flags = LLM_REQUEST_ECHO;
    r->sampling = sp;
    r->cache_salt = "salt";
    r->options = options;
    r->n_options = sizeof options / sizeof *options;
    r->output_kind = LLM_OUTPUT_CUMULATIVE;
    r->timeout_ms = 3600000;
}

static void look_at(seen_t *s, const llm_output_t *o)
{
    *s = (seen_t){ .finish = o->finish_reason, .status = o->error == NULL ? 0 : o->error->status,
                   .n_tokens = o->n_tokens, .text_len = o->text_len };
    assert_true(o->n_tokens <= MAX_OUT && o->text_len < sizeof s->text);
    if (o->n_tokens > 0)
        memcpy(s->tokens, o->tokens, o->n_tokens * sizeof *s->tokens);
    memcpy(s->text, o->text, o->text_len);
}

static void drain(llm_engine_t *e, outcome_t *w, const void *rich)
{
    const llm_output_t *o;

    while ((o = llm_engine_next_output(e)) != NULL)
        look_at(o->user_data == rich ? &w->rich[o->index] : &w->neighbour, o);
}

static void run_batch(llm_engine_t *e, outcome_t *w)
{
    const llm_request_t *list[N_BATCH];
    llm_batch_t         *b;
    llm_error_t          err;
    ask_t                a[N_BATCH];

    for (uint32_t i = 0; i < N_BATCH; i++) {
        make_ask(&a[i], 90, 20, 7 + i, 5);
        list[i] = &a[i].r;
    }
    w->ran = llm_generate_batch(e, list, N_BATCH, NULL, NULL, &b, &err);
    for (size_t i = 0; w->ran == LLM_OK && i < N_BATCH; i++)
        look_at(&w->batch[i], llm_batch_output(b, i, 0));
    llm_batch_destroy(b);
}

/* Allocation number fail_at of all but the neighbour's coming fails; 0 = none. */
static void run(llm_engine_t *e, test_alloc_t *t, uint64_t fail_at, outcome_t *w)
{
    llm_sampling_params_t sp;
    llm_request_t         r;
    llm_error_t           err;
    ask_t                 a;
    int                   calls = 0;

    memset(w, 0, sizeof *w);
    make_ask(&a, 90, 30, 3, MAX_OUT);
    a.r.output_kind = LLM_OUTPUT_CUMULATIVE;
    add_ask(e, &a);
    make_rich(&r, &sp, &calls);
    r.user_data = &r;
    t->n_calls = 0;
    t->fail_at = fail_at;
    w->added = llm_engine_add_request(e, &r, NULL, &err);
    while (llm_engine_unfinished(e) > 0) {
        assert_int_equal(llm_engine_step(e, &err), LLM_OK);
        drain(e, w, &r);
    }
    run_batch(e, w);
    t->fail_at = 0;
    assert_true(w->added != LLM_OK || calls > 0);
    assert_int_equal(llm_engine_step(e, &err), LLM_OK);     /* gives lent records back */
}

/* 1 if it was hit, 0 if it is as it should be. */
static int was_hit(const seen_t *s, const seen_t *should)
{
    if (s->finish == LLM_FINISH_ERROR) {
        assert_int_equal(s->status, LLM_ERR_NO_MEMORY);
        return 1;
    }
    assert_memory_equal(s, should, sizeof *s);
    return 0;
}

static void every_allocation_of_a_run_may_fail(void **state)
{
    test_alloc_t     t = { 0 };
    llm_allocator_t  hook = test_allocator(&t);
    static outcome_t good, w;
    llm_engine_t    *e = make_engine(MODEL, "float32",
                                     OPTIONS("tokenizer", LETTERS, "max-model-len", "128",
                                             "cpu-threads", "1", "max-num-seqs", "8",
                                             "max-num-queued-reqs", "16",
                                             "enable-prefix-caching", "false",
                                             "deadline-admission", "true",
                                             "max-num-queued-tokens", "1000"), &hook);
    int64_t          idle;
    uint64_t         n_hits = 0, n;

    run(e, &t, 0, &good);
    run(e, &t, 0, &good);
    idle = t.live_bytes;
    assert_int_equal(good.added, LLM_OK);
    assert_int_equal(good.neighbour.n_tokens, MAX_OUT);
    for (n = 1;; n++) {
        int hits = 0;
        run(e, &t, n, &w);
        if (t.n_calls < n)
            break;
        assert_int_equal(t.live_bytes, idle);
        assert_int_equal(was_hit(&w.neighbour, &good.neighbour), 0);
        if (w.added != LLM_OK) {
            assert_int_equal(w.added, LLM_ERR_NO_MEMORY);
            hits++;
        }
        for (int i = 0; w.added == LLM_OK && i < 2; i++)
            hits += was_hit(&w.rich[i], &good.rich[i]);
        assert_true(w.ran == LLM_OK || w.ran == LLM_ERR_NO_MEMORY);
        hits += w.ran != LLM_OK;
        for (int i = 0; w.ran == LLM_OK && i < N_BATCH; i++)
            hits += was_hit(&w.batch[i], &good.batch[i]);
        if (hits != 1)
            fail_msg("allocation %lu hit %d completions", (unsigned long)n, hits);
        n_hits++;
    }
    assert_true(n_hits > 50);
    llm_engine_destroy(e);
    assert_int_equal(t.live_bytes, 0);
    assert_int_equal(t.live_blocks, 0);
}

/* Destroy in the middle of it, with one request that has lost an allocation. */
static void destroy_finds_all_of_it(void **state)
{
    test_alloc_t    t = { 0 };
    llm_allocator_t hook = test_allocator(&t);

    for (uint64_t n = 0; n < 40; n += 3) {
        llm_engine_t         *e = make_engine(MODEL, "float32",
                                              OPTIONS("tokenizer", LETTERS, "max-model-len", "128",
                                                      "cpu-threads", "1"), &hook);
        llm_sampling_params_t sp;
        llm_request_t         r;
        llm_error_t           err;
        ask_t                 a;
        int                   calls = 0;
        make_rich(&r, &sp, &calls);
        make_ask(&a, 90, 30, 3, MAX_OUT);
        add_ask(e, &a);
        assert_int_equal(llm_engine_add_request(e, &r, NULL, &err), LLM_OK);
        for (uint64_t i = 0; i < n % 5; i++)
            step_engine(e);
        assert_int_equal(llm_engine_pause(e, (int32_t)(n % 3), &err), LLM_OK);
        t.n_calls = 0;
        t.fail_at = n;
        llm_engine_add_request(e, &r, NULL, &err);
        t.fail_at = 0;
        for (uint64_t i = 0; i < n % 4; i++)
            step_engine(e);
        llm_engine_destroy(e);
        assert_int_equal(t.live_bytes, 0);
        assert_int_equal(t.live_blocks, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_of_a_run_may_fail),
        cmocka_unit_test(destroy_finds_all_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
