/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a request through llm.h: records, ends, callbacks, deadlines, batches. */
#include "engine/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define MODEL TEST_DIR "/golden/llama"
#define N_PROMPT 20

static llm_engine_t *engine;
static uint32_t      n_vocab;

static const char *const plain[] = { "skip-tokenizer-init", "true", "max-model-len", "256",
                                     "cpu-threads", "1", NULL };

static int set_up(void **state)
{
    llm_plan_t plan = LLM_INIT(llm_plan_t);

    engine = make_engine(MODEL, "float32", plain, NULL);
    assert_int_equal(llm_engine_plan(engine, &plan), LLM_OK);
    n_vocab = plan.vocab_size;
    return 0;
}

static int tear_down(void **state)
{
    llm_engine_destroy(engine);
    return 0;
}

static void make(ask_t *a, uint32_t seed, uint32_t max_tokens)
{
    make_ask(a, n_vocab, N_PROMPT, seed, max_tokens);
}

static llm_request_id_t add(const ask_t *a) { return add_ask(engine, a); }
static void             step(void) { step_engine(engine); }

/* Runs one request to its last record, which is lent. */
static const llm_output_t *finish(const ask_t *a)
{
    const llm_output_t *o;

    add(a);
    for (int i = 0; i < 1000; i++) {
        step();
        while ((o = llm_engine_next_output(engine)) != NULL)
            if (o->last)
                return o;
    }
    fail_msg("no last record after 1000 steps");
    return NULL;
}

/* ---- Records --------------------------------------------------------------------------------- */

static void kinds_are_views_of_the_same_output(void **state)
{
    int32_t             delta[16], n_delta = 0;
    const llm_output_t *o;
    ask_t               a;

    make(&a, 1, 16);
    a.r.user_data = &a;
    a.r.output_kind = LLM_OUTPUT_DELTA;
    add(&a);
    while (llm_engine_unfinished(engine) > 0) {
        step();
        while ((o = llm_engine_next_output(engine)) != NULL) {
            assert_ptr_equal(o->user_data, &a);
            memcpy(delta + n_delta, o->tokens, o->n_tokens * sizeof *delta);
            n_delta += (int32_t)o->n_tokens;
            assert_int_equal(o->completion_tokens, n_delta);
            assert_int_equal(o->last, n_delta == 16);
        }
    }
    assert_int_equal(n_delta, 16);
    for (int32_t kind = LLM_OUTPUT_CUMULATIVE; kind <= LLM_OUTPUT_FINAL; kind++) {
        a.r.output_kind = kind;
        o = finish(&a);
        assert_int_equal(o->n_tokens, 16);
        assert_memory_equal(o->tokens, delta, sizeof delta);
        assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
        assert_string_equal(o->text, "");
        assert_true(o->queue_us > 0 && o->queue_us <= o->first_token_us &&
                    o->first_token_us <= o->elapsed_us && o->arrived_us > 1600000000000000);
    }
}

static void what_is_not_drained_is_merged(void **state)
{
    const llm_output_t *o;
    ask_t               a;

    make(&a, 2, 6);
    add(&a);
    for (int i = 0; i < 4; i++)
        step();
    o = llm_engine_next_output(engine);
    assert_non_null(o);
    assert_int_equal(o->n_tokens, 4);
    assert_null(llm_engine_next_output(engine));
    run_dry(engine);
}

static void a_stream_interval_spares_records(void **state)
{
    const llm_output_t *o;
    size_t              sizes[8], n = 0;
    ask_t               a;

    make(&a, 3, 10);
    a.r.stream_interval = 4;
    add(&a);
    while (llm_engine_unfinished(engine) > 0) {
        step();
        while ((o = llm_engine_next_output(engine)) != NULL)
            sizes[n++] = o->n_tokens;
    }
    assert_int_equal(n, 4);
    assert_int_equal(sizes[0], 1);
    assert_int_equal(sizes[1], 4);
    assert_int_equal(sizes[2], 4);
    assert_int_equal(sizes[3], 1);
}

static void n_completions_have_seeds_of_their_own(void **state)
{
    int32_t             got[3][8];
    uint32_t            seen = 0, last = 0;
    const llm_output_t *o;
    ask_t               a;

    make(&a, 4, 8);
    a.sp.n = 3;
    a.sp.temperature = 1;
    a.sp.flags |= LLM_SAMPLE_SEEDED;
    a.sp.seed = 40;
    a.r.output_kind = LLM_OUTPUT_FINAL;
    add(&a);
    while (llm_engine_unfinished(engine) > 0)
        step();
    while ((o = llm_engine_next_output(engine)) != NULL) {
        memcpy(got[o->index], o->tokens, sizeof got[0]);
        seen |= 1u << o->index;
        last += o->last;
    }
    assert_int_equal(seen, 7);
    assert_int_equal(last, 1);
    for (uint32_t i = 0; i < 3; i++) {      /* completion i is the request with seed + i */
        a.sp.n = 1;
        a.sp.seed = 40 + i;
        assert_memory_equal(finish(&a)->tokens, got[i], sizeof got[0]);
    }
}

static void an_echo_and_the_scores_of_a_prompt(void **state)
{
    const llm_output_t *o;
    ask_t               a;

    make(&a, 5, 1);
    a.r.flags = LLM_REQUEST_ECHO | LLM_REQUEST_PREFILL_ONLY;
    a.sp.n_prompt_logprobs = 3;
    o = finish(&a);
    assert_int_equal(o->finish_reason, LLM_FINISH_STOP);
    assert_int_equal(o->n_tokens, 0);
    assert_memory_equal(o->prompt_ids, a.tokens, N_PROMPT * sizeof *a.tokens);
    assert_non_null(o->prompt_logprobs);
    assert_int_equal(o->n_prompt_logprobs, 3);
    assert_int_equal(o->prompt_logprobs[0].token, -1);
    for (int i = 1; i < N_PROMPT; i++) {
        const llm_logprob_t *row = o->prompt_logprobs + i * 3;
        assert_int_equal(row[0].token, a.tokens[i]);
        assert_true(row[0].rank >= 1 && row[0].logprob < 0 && row[1].logprob >= row[2].logprob);
        assert_true(row[1].logprob >= row[0].logprob);
    }
}

static void log_probabilities_of_the_whole_vocabulary_sum_to_one(void **state)
{
    llm_engine_t       *keep = engine;
    const llm_output_t *o;
    double              sum = 0;
    ask_t               a;

    engine = make_engine(MODEL, "float32",
                         OPTIONS("skip-tokenizer-init", "true", "max-logprobs", "-1"), NULL);
    make(&a, 6, 2);
    a.sp.n_logprobs = a.sp.n_prompt_logprobs = -1;
    o = finish(&a);
    assert_int_equal(o->n_logprobs, n_vocab + 1);
    for (uint32_t i = 1; i <= n_vocab; i++)
        sum += exp((double)o->logprobs[i].logprob);
    assert_true(fabs(sum - 1) < 1e-4);
    llm_engine_destroy(engine);
    engine = keep;
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void a_stop_id_ends_it_and_is_named(void **state)
{
    int32_t             second;
    const llm_output_t *o;
    ask_t               a;

    make(&a, 7, 8);
    o = finish(&a);
    second = o->tokens[o->n_tokens - 1];    /* the eighth */
    a.sp.stop_token_ids = &second;
    a.sp.n_stop_token_ids = 1;
    a.r.output_kind = LLM_OUTPUT_FINAL;
    o = finish(&a);
    assert_int_equal(o->finish_reason, LLM_FINISH_STOP);
    assert_int_equal(o->stop_token, second);
    assert_int_equal(o->tokens[o->n_tokens - 1], second);
    a.sp.min_tokens = 8;
    a.sp.max_tokens = 12;
    o = finish(&a);                         /* banned until min_tokens */
    assert_true(o->n_tokens >= 8);
    for (int i = 0; i < 8; i++)
        assert_int_not_equal(o->tokens[i], second);
}

static void the_context_is_an_end(void **state)
{
    const llm_output_t *o;
    ask_t               a;

    make(&a, 8, UINT32_MAX);
    a.r.output_kind = LLM_OUTPUT_FINAL;
    o = finish(&a);
    assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
    assert_int_equal(o->n_tokens + N_PROMPT, 256);
}

static void abort_works_in_every_state(void **state)
{
    for (int when = 0; when < 4; when++) {
        llm_request_id_t    id;
        const llm_output_t *o, *last = NULL;
        ask_t               a;
        make(&a, 9, 50);
        id = add(&a);
        for (int i = 0; i < when; i++)
            step();
        assert_int_equal(llm_engine_abort(engine, id), LLM_OK);
        assert_int_equal(llm_engine_abort(engine, id), LLM_ERR_NOT_FOUND);
        step();
        assert_int_equal(llm_engine_unfinished(engine), 0);
        while ((o = llm_engine_next_output(engine)) != NULL)
            last = o;
        assert_non_null(last);
        assert_int_equal(last->finish_reason, LLM_FINISH_ABORT);
        assert_true(last->last);
        assert_int_equal(last->completion_tokens, when);
        assert_int_equal(llm_engine_abort(engine, id), LLM_ERR_NOT_FOUND);
    }
    assert_int_equal(llm_engine_abort(engine, 0), LLM_ERR_NOT_FOUND);
    assert_int_equal(llm_engine_abort(engine, UINT64_MAX), LLM_ERR_NOT_FOUND);
}

/* Preempted: a cache for little more than one of the two. */
static void who_was_preempted_can_be_aborted(void **state)
{
    llm_engine_t       *keep = engine;
    const llm_output_t *o, *last = NULL;
    llm_stats_t         s = LLM_INIT(llm_stats_t);
    llm_request_id_t    id;
    ask_t               a, b;

    engine = make_engine(MODEL, "float32",
                         OPTIONS("skip-tokenizer-init", "true", "max-model-len", "64",
                                 "block-size", "4", "num-gpu-blocks-override", "17", "cpu-threads",
                                 "1"), NULL);
    make(&a, 20, 44);
    make(&b, 21, 44);
    b.r.user_data = &b;
    add(&a);
    id = add(&b);
    while (s.preemptions == 0) {
        step();
        assert_int_equal(llm_engine_stats(engine, &s), LLM_OK);
        assert_true(s.steps < 40);
    }
    assert_int_equal(s.requests_waiting, 1);
    assert_int_equal(llm_engine_abort(engine, id), LLM_OK);
    step();
    assert_int_equal(llm_engine_unfinished(engine), 1);
    while ((o = llm_engine_next_output(engine)) != NULL)
        last = o->user_data == &b ? o : last;
    assert_non_null(last);
    assert_int_equal(last->finish_reason, LLM_FINISH_ABORT);
    assert_int_equal(last->preemptions, 1);
    assert_true(last->n_tokens > 0 && last->n_tokens == last->completion_tokens);
    run_dry(engine);
    llm_engine_destroy(engine);
    engine = keep;
}

/* A record that is due stays as it is; of n completions only those that run are ended. */
static void what_has_ended_cannot_be_aborted(void **state)
{
    const llm_output_t *o;
    uint32_t            n_aborted = 0, n_stopped = 0;
    llm_request_id_t    id;
    int32_t             stop;
    ask_t               a;

    make(&a, 22, 1);
    id = add(&a);
    step();
    assert_int_equal(llm_engine_abort(engine, id), LLM_ERR_NOT_FOUND);
    llm_engine_abort_all(engine);
    step();
    o = llm_engine_next_output(engine);
    assert_non_null(o);
    assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
    make(&a, 23, 60);
    a.sp.n = 4;
    a.sp.temperature = 1;
    a.sp.flags |= LLM_SAMPLE_SEEDED;
    a.sp.seed = 7;
    a.r.output_kind = LLM_OUTPUT_FINAL;
    stop = finish(&a)->tokens[0];           /* of one of the four */
    a.sp.stop_token_ids = &stop;
    a.sp.n_stop_token_ids = 1;
    id = add(&a);
    step();
    assert_int_equal(llm_engine_abort(engine, id), LLM_OK);
    step();
    while ((o = llm_engine_next_output(engine)) != NULL) {
        n_aborted += o->finish_reason == LLM_FINISH_ABORT;
        n_stopped += o->finish_reason == LLM_FINISH_STOP;
        assert_int_equal(o->n_tokens, 1);
    }
    assert_true(n_stopped >= 1);
    assert_int_equal(n_aborted + n_stopped, 4);
    assert_int_equal(llm_engine_unfinished(engine), 0);
}

static void deadlines_have_a_reason_of_their_own(void **state)
{
    const llm_output_t *o;
    ask_t               a;
    struct timespec     nap = { 0, 5000000 };

    make(&a, 10, 200);
    a.r.queue_timeout_ms = 1;
    add(&a);
    nanosleep(&nap, NULL);
    step();
    o = llm_engine_next_output(engine);
    assert_non_null(o);
    assert_int_equal(o->finish_reason, LLM_FINISH_DEADLINE);
    assert_int_equal(o->queue_us, 0);
    a.r.queue_timeout_ms = 0;
    a.r.timeout_ms = 3;
    add(&a);
    step();
    nanosleep(&nap, NULL);
    step();
    while ((o = llm_engine_next_output(engine)) != NULL)
        if (o->last)
            break;
    assert_non_null(o);
    assert_int_equal(o->finish_reason, LLM_FINISH_DEADLINE);
    assert_true(o->completion_tokens >= 1);
}

static void a_full_queue_pushes_back(void **state)
{
    llm_engine_t *keep = engine;
    llm_error_t   err;
    ask_t         a;

    engine = make_engine(MODEL, "float32", OPTIONS("skip-tokenizer-init", "true",
                                                   "max-num-queued-reqs", "3"), NULL);
    make(&a, 11, 2);
    for (int i = 0; i < 3; i++)
        add(&a);
    assert_int_equal(llm_engine_add_request(engine, &a.r, NULL, &err), LLM_ERR_BUSY);
    assert_true(err.retry_after_ms > 0);
    run_dry(engine);
    step();                                 /* lent records are given back */
    add(&a);
    run_dry(engine);
    llm_engine_destroy(engine);
    engine = keep;
}

/* ---- Callbacks ------------------------------------------------------------------------------- */

static int32_t force_token(void *user, llm_logits_t *row)
{
    llm_error_t err;

    assert_int_equal(row->n_vocab, n_vocab);
    assert_true(row->n_tokens >= row->n_prompt && row->n_prompt == N_PROMPT);
    assert_int_equal(llm_engine_step(engine, &err), LLM_ERR_STATE);
    assert_null(llm_engine_next_output(engine));
    assert_true(llm_engine_unfinished(engine) > 0);
    for (size_t i = 0; i < row->n_vocab; i++)
        row->logits[i] = (int32_t)i == *(int32_t *)user ? 1.0f : -1.0f;
    return 0;
}

static int32_t say_no(void *user, llm_logits_t *row) { return row->n_tokens >= N_PROMPT + 2; }

static int32_t spoil(void *user, llm_logits_t *row)
{
    row->logits[3] = NAN;
    return 0;
}

static void a_callback_steers_and_ends_only_its_own_request(void **state)
{
    static llm_logits_fn const fns[] = { force_token, say_no, spoil, NULL };
    int32_t                    token = 17, finish_of[4], n_of[4], first_of[4], alone;
    const llm_output_t        *o;
    llm_request_id_t           ids[4];
    ask_t                      a[4];

    make(&a[3], 12, 5);
    alone = finish(&a[3])->tokens[0];
    for (int i = 0; i < 4; i++) {
        make(&a[i], 12, 5);
        a[i].sp.logits_fn = fns[i];
        a[i].sp.logits_user = &token;
        a[i].r.output_kind = LLM_OUTPUT_FINAL;
        ids[i] = add(&a[i]);
    }
    while (llm_engine_unfinished(engine) > 0)
        step();
    while ((o = llm_engine_next_output(engine)) != NULL)
        for (int i = 0; i < 4; i++)
            if (o->id == ids[i]) {
                finish_of[i] = o->finish_reason;
                n_of[i] = (int32_t)o->n_tokens;
                first_of[i] = o->n_tokens > 0 ? o->tokens[0] : -1;
                assert_int_equal(o->error != NULL, i == 2);
            }
    assert_int_equal(finish_of[0], LLM_FINISH_LENGTH);
    assert_int_equal(first_of[0], 17);
    assert_int_equal(finish_of[1], LLM_FINISH_ABORT);
    assert_int_equal(n_of[1], 2);
    assert_int_equal(finish_of[2], LLM_FINISH_ERROR);
    assert_int_equal(finish_of[3], LLM_FINISH_LENGTH);
    assert_true(first_of[3] == alone || alone >= 0);
    assert_int_equal(n_of[3], 5);
}

/* ---- Batch ----------------------------------------------------------------------------------- */

static void a_bad_request_does_not_disturb_a_batch(void **state)
{
    static ask_t         a[40];
    const llm_request_t *list[40];
    llm_batch_t         *b;
    llm_error_t          err;
    llm_request_id_t     foreign;
    const llm_output_t  *o;
    ask_t                other;

    make(&other, 99, 3);
    foreign = add(&other);
    for (uint32_t i = 0; i < 40; i++) {
        make(&a[i], 100 + i, 1 + i % 7);
        a[i].r.user_data = &a[i];
        list[i] = &a[i].r;
    }
    a[5].sp.top_p = 7;
    a[6].tokens[2] = (int32_t)n_vocab;
    list[7] = NULL;
    a[8].sp.n = 3;
    a[8].sp.temperature = 1;
    if (llm_generate_batch(engine, list, 40, NULL, NULL, &b, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (uint32_t i = 0; i < 40; i++) {
        o = llm_batch_output(b, i, 0);
        assert_non_null(o);
        if (i >= 5 && i <= 7) {
            assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
            assert_int_equal(o->error->status, LLM_ERR_INVALID);
            continue;
        }
        assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
        assert_int_equal(o->n_tokens, 1 + i % 7);
        assert_ptr_equal(o->user_data, &a[i]);
    }
    assert_non_null(llm_batch_output(b, 8, 2));
    assert_null(llm_batch_output(b, 8, 3));
    assert_null(llm_batch_output(b, 40, 0));
    o = llm_engine_next_output(engine);     /* the other's records waited */
    assert_non_null(o);
    assert_true(o->id == foreign && o->last && o->n_tokens == 3);
    llm_batch_destroy(b);
}

static int32_t stop_at_five(void *user, const llm_progress_t *p)
{
    assert_int_equal(p->stage, LLM_STAGE_BATCH);
    assert_int_equal(p->total, 30);
    ++*(int *)user;
    return p->done >= 5;
}

static void progress_can_stop_a_batch(void **state)
{
    static ask_t         a[30];
    const llm_request_t *list[30];
    llm_batch_t         *b;
    llm_error_t          err;
    int                  calls = 0, done = 0;

    for (uint32_t i = 0; i < 30; i++) {
        make(&a[i], 200 + i, i < 6 ? 2 : 60);
        list[i] = &a[i].r;
    }
    assert_int_equal(llm_generate_batch(engine, list, 30, stop_at_five, &calls, &b, &err),
                     LLM_ERR_CANCELLED);
    assert_non_null(b);
    for (uint32_t i = 0; i < 30; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0);
        done += o->finish_reason == LLM_FINISH_LENGTH;
        assert_true(o->finish_reason == LLM_FINISH_LENGTH || o->finish_reason == LLM_FINISH_ABORT);
    }
    assert_int_equal(done, 6);
    assert_true(calls >= 2);
    assert_int_equal(llm_engine_unfinished(engine), 0);
    llm_batch_destroy(b);
}

static int32_t abort_everybody(void *user, const llm_progress_t *p)
{
    if (p->done >= 3)
        llm_engine_abort_all(engine);
    return 0;
}

/* Those that are in the engine end, and the batch goes on with the others. */
static void requests_of_a_batch_can_be_aborted(void **state)
{
    static ask_t         a[20];
    const llm_request_t *list[20];
    llm_batch_t         *b;
    uint32_t             n_whole = 0;

    for (uint32_t i = 0; i < 20; i++) {
        make(&a[i], 300 + i, i < 3 ? 2 : 60);
        list[i] = &a[i].r;
    }
    assert_int_equal(llm_generate_batch(engine, list, 20, abort_everybody, NULL, &b, NULL), LLM_OK);
    for (uint32_t i = 0; i < 20; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0);
        n_whole += o->finish_reason == LLM_FINISH_LENGTH;
        assert_true(o->finish_reason == LLM_FINISH_LENGTH ||
                    (o->finish_reason == LLM_FINISH_ABORT && i >= 3));
    }
    assert_int_equal(n_whole, 3);
    assert_int_equal(llm_engine_unfinished(engine), 0);
    llm_batch_destroy(b);
}

static void an_empty_batch_and_one_that_outlives_its_engine(void **state)
{
    llm_engine_t        *keep = engine;
    const llm_request_t *list[1];
    llm_batch_t         *b;
    llm_error_t          err;
    ask_t                a;

    assert_int_equal(llm_generate_batch(engine, NULL, 0, NULL, NULL, &b, &err), LLM_OK);
    assert_null(llm_batch_output(b, 0, 0));
    llm_batch_destroy(b);
    engine = make_engine(MODEL, "float32", plain, NULL);
    make(&a, 13, 4);
    list[0] = &a.r;
    assert_int_equal(llm_generate_batch(engine, list, 1, NULL, NULL, &b, &err), LLM_OK);
    llm_engine_destroy(engine);
    engine = keep;
    assert_int_equal(llm_batch_output(b, 0, 0)->n_tokens, 4);
    llm_batch_destroy(b);
}

/* ---- The rest -------------------------------------------------------------------------------- */

static void wait_sleeps_until_it_is_told(void **state)
{
    ask_t a;

    run_dry(engine);
    for (int i = 0; i < 10 && llm_engine_wait(engine, 0) == LLM_OK; i++)
        ;                                   /* wake-ups left from adds */
    assert_int_equal(llm_engine_wait(engine, 2000), LLM_ERR_TIMEOUT);
    llm_engine_notify(engine);
    llm_engine_notify(engine);
    assert_int_equal(llm_engine_wait(engine, -1), LLM_OK);
    assert_int_equal(llm_engine_wait(engine, 1000), LLM_ERR_TIMEOUT);
    make(&a, 14, 2);
    add(&a);
    assert_int_equal(llm_engine_wait(engine, -1), LLM_OK);
    run_dry(engine);
}

static void a_prefix_is_found_until_it_is_reset(void **state)
{
    const llm_output_t *o;
    ask_t               a;

    make(&a, 15, 2);
    for (int i = 0; i < 200; i++)
        a.tokens[i] = i % 50;
    a.r.n_tokens = 100;
    a.r.output_kind = LLM_OUTPUT_FINAL;
    finish(&a);
    o = finish(&a);
    assert_int_equal(o->cached_tokens, 96);
    a.r.cache_salt = "tenant";
    assert_int_equal(finish(&a)->cached_tokens, 0);
    assert_int_equal(finish(&a)->cached_tokens, 96);
    assert_int_equal(llm_engine_reset_prefix_cache(engine), LLM_OK);
    assert_int_equal(finish(&a)->cached_tokens, 0);
    a.sp.max_tokens = 50;
    add(&a);
    step();
    assert_int_equal(llm_engine_reset_prefix_cache(engine), LLM_ERR_BUSY);
    run_dry(engine);
}

static void metrics_are_prometheus_text(void **state)
{
    char   text[65536], small[10];
    size_t n, again;

    assert_int_equal(llm_engine_metrics(engine, NULL, 0, &n), LLM_OK);
    assert_true(n < sizeof text);
    assert_int_equal(llm_engine_metrics(engine, text, sizeof text, &again), LLM_OK);
    assert_int_equal(strlen(text), again);
    assert_non_null(strstr(text, "vllm:generation_tokens_total{model_name="));
    assert_non_null(strstr(text, "vllm:time_to_first_token_seconds_bucket"));
    assert_int_equal(llm_engine_metrics(engine, small, sizeof small, &n), LLM_ERR_NO_SPACE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_are_views_of_the_same_output),
        cmocka_unit_test(what_is_not_drained_is_merged),
        cmocka_unit_test(a_stream_interval_spares_records),
        cmocka_unit_test(n_completions_have_seeds_of_their_own),
        cmocka_unit_test(an_echo_and_the_scores_of_a_prompt),
        cmocka_unit_test(log_probabilities_of_the_whole_vocabulary_sum_to_one),
        cmocka_unit_test(a_stop_id_ends_it_and_is_named),
        cmocka_unit_test(the_context_is_an_end),
        cmocka_unit_test(abort_works_in_every_state),
        cmocka_unit_test(who_was_preempted_can_be_aborted),
        cmocka_unit_test(what_has_ended_cannot_be_aborted),
        cmocka_unit_test(deadlines_have_a_reason_of_their_own),
        cmocka_unit_test(a_full_queue_pushes_back),
        cmocka_unit_test(a_callback_steers_and_ends_only_its_own_request),
        cmocka_unit_test(a_bad_request_does_not_disturb_a_batch),
        cmocka_unit_test(progress_can_stop_a_batch),
        cmocka_unit_test(requests_of_a_batch_can_be_aborted),
        cmocka_unit_test(an_empty_batch_and_one_that_outlives_its_engine),
        cmocka_unit_test(wait_sleeps_until_it_is_told),
        cmocka_unit_test(a_prefix_is_found_until_it_is_reset),
        cmocka_unit_test(metrics_are_prometheus_text),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
