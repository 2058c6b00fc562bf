/* SPDX-License-Identifier: Apache-2.0 */
/* Beam search: the same bits whatever room and company it has, no token run twice, and ends, faults
 * and bad input as in a batch.  What the beams must be is in golden/beams_test.c. */
#include "engine/support.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>

#define LLAMA TEST_DIR "/golden/llama"
#define MAX_PROMPTS 40

typedef llm_beam_params_t params_t;

static llm_request_t request_of(const int32_t *tokens, size_t n)
{
    llm_request_t r = LLM_INIT(llm_request_t);

    r.tokens = tokens;
    r.n_tokens = n;
    return r;
}

static llm_batch_t *search(llm_engine_t *e, const llm_request_t *const *list, size_t n,
                           const params_t *p)
{
    llm_batch_t *batch;
    llm_error_t  err;

    if (llm_beam_search(e, list, n, p, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s", err.message);
    return batch;
}

static llm_batch_t *search_one(llm_engine_t *e, const int32_t *tokens, size_t n, const params_t *p)
{
    llm_request_t        r = request_of(tokens, n);
    const llm_request_t *list[1] = { &r };

    return search(e, list, 1, p);
}

static params_t params_of(uint32_t width, uint32_t max_tokens, float penalty, uint32_t flags)
{
    params_t p = LLM_INIT(llm_beam_params_t);

    p.beam_width = width;
    p.max_tokens = max_tokens;
    p.length_penalty = penalty;
    p.flags = flags | (penalty == 0 ? LLM_BEAM_NO_PENALTY : 0);
    return p;
}

/* Everything that the caller sees of two outputs. */
static void same_output(const char *how, const llm_output_t *a, const llm_output_t *b)
{
    bool equal = a->finish_reason == b->finish_reason && a->n_tokens == b->n_tokens &&
                 a->cumulative_logprob == b->cumulative_logprob &&
                 a->n_logprobs == b->n_logprobs && a->text_len == b->text_len &&
                 memcmp(a->text, b->text, a->text_len) == 0 &&
                 memcmp(a->tokens, b->tokens, a->n_tokens * sizeof *a->tokens) == 0 &&
                 memcmp(a->logprobs, b->logprobs,
                        a->n_tokens * a->n_logprobs * sizeof *a->logprobs) == 0;

    if (!equal)
        fail_msg("%s: beam %u of %u tokens, %.9g; before %zu tokens, %.9g", how, a->index,
                 a->completion_tokens, a->cumulative_logprob, b->n_tokens, b->cumulative_logprob);
}

static void same_beams(const char *how, const llm_batch_t *a, size_t i, const llm_batch_t *b,
                       size_t j)
{
    const llm_output_t *x, *y;

    for (size_t k = 0; (y = llm_batch_output(b, j, k)) != NULL; k++) {
        x = llm_batch_output(a, i, k);
        if (x == NULL || (x->error != NULL && y->error == NULL))
            fail_msg("%s: request %zu beam %zu: %s", how, i, k,
                     x == NULL ? "missing" : x->error->message);
        same_output(how, x, y);
    }
    assert_null(llm_batch_output(a, i, llm_batch_output(b, j, 0)->error != NULL ? 1 : 1024));
}

/* ---- Circumstances --------------------------------------------------------------------------- */

typedef struct crowd {
    int32_t              tokens[MAX_PROMPTS][64];
    llm_request_t        r[MAX_PROMPTS];
    const llm_request_t *list[MAX_PROMPTS];
    size_t               n;
} crowd_t;

static void make_crowd(crowd_t *c, size_t n)
{
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        size_t len = 3 + i * 7 % 40;
        make_prompt(c->tokens[i], len, 100, (uint32_t)(i % 9));
        c->r[i] = request_of(c->tokens[i], len);
        c->list[i] = &c->r[i];
    }
}

static llm_engine_t *engine_of(const char *model, const char *name, const char *value,
                               const char *name2, const char *value2)
{
    return make_engine(model, "float32",
                       OPTIONS("skip-tokenizer-init", "true", "max-model-len", "96",
                               "cpu-threads", "1", "block-size", "16", name, value, name2, value2),
                       NULL);
}

static void add_foreign(llm_engine_t *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int32_t               tokens[30];
        llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
        llm_request_t         r = request_of(tokens, 30);
        make_prompt(tokens, 30, 100, 100 + i);
        sp.temperature = 1;
        sp.max_tokens = 40;
        sp.flags = LLM_SAMPLE_IGNORE_EOS;
        r.sampling = &sp;
        assert_int_equal(llm_engine_add_request(e, &r, NULL, NULL), LLM_OK);
    }
}

static uint64_t preemptions(const llm_engine_t *e)
{
    llm_stats_t stats = LLM_INIT(llm_stats_t);

    assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
    return stats.preemptions;
}

static void beams_are_the_same_bits_in_every_circumstance(void **state)
{
    static const struct {
        const char *name, *value, *name2, *value2;
        uint32_t    n_foreign;
    } how[] = {
        { "enable-prefix-caching", "false", "max-num-seqs", "64", 0 },
        { "enable-prefix-caching", "true", "max-num-seqs", "64", 5 },
        { "num-gpu-blocks-override", "8", "max-num-seqs", "16", 0 },
        { "num-gpu-blocks-override", "9", "enable-prefix-caching", "false", 3 },
        { "max-num-seqs", "3", "max-num-batched-tokens", "7", 2 },
        { "max-num-seqs", "1", "max-num-batched-tokens", "1", 0 },
    };
    static const char *const models[] = { LLAMA, TEST_DIR "/golden/mistral" };
    static crowd_t           c;
    const params_t           p = params_of(4, 12, 1, 0);
    size_t                   n = SANITIZED ? 6 : 20;
    uint64_t                 n_preempted = 0;

    make_crowd(&c, n);
    for (size_t m = 0; m < 2; m++) {
        llm_engine_t *e = engine_of(models[m], "max-num-seqs", "8", "seed", "1");
        llm_batch_t  *alone[MAX_PROMPTS];
        for (size_t i = 0; i < n; i++)
            alone[i] = search(e, &c.list[i], 1, &p);
        llm_engine_destroy(e);
        for (size_t k = 0; k < sizeof how / sizeof *how; k++) {
            bool         tight = strstr(how[k].name, "blocks") != NULL && m == 1;
            llm_batch_t *all;
            e = engine_of(models[m], how[k].name, tight ? "16" : how[k].value, how[k].name2,
                          how[k].value2);
            add_foreign(e, how[k].n_foreign);
            all = search(e, c.list, n, &p);
            for (size_t i = 0; i < n; i++)
                same_beams(how[k].name, all, i, alone[i], 0);
            n_preempted += preemptions(e);
            llm_batch_destroy(all);
            run_dry(e);
            llm_engine_destroy(e);
        }
        for (size_t i = 0; i < n; i++)
            llm_batch_destroy(alone[i]);
    }
    assert_true(n_preempted > 0);
}

static double metric(llm_engine_t *e, const char *name)
{
    static char text[200000];
    char       *at = text;
    size_t      n;

    assert_int_equal(llm_engine_metrics(e, text, sizeof text, &n), LLM_OK);
    while ((at = strstr(at, name)) != NULL && at != text && at[-1] != '\n')
        at++;
    assert_non_null(at);
    *strchr(at, '\n') = '\0';
    return atof(strrchr(at, ' '));
}

/* Children go on from the blocks of their parents without a cache, and wait for those of their
 * brothers that have no row yet. */
static void no_token_is_run_twice(void **state)
{
    const params_t p = params_of(4, 30, 1, LLM_BEAM_IGNORE_EOS);
    llm_engine_t  *e = make_engine(LLAMA, "float32",
                                   OPTIONS("skip-tokenizer-init", "true", "max-model-len", "96",
                                           "cpu-threads", "1", "enable-prefix-caching", "false",
                                           "max-num-seqs", "3", "num-gpu-blocks-override", "40"),
                                   NULL);
    int32_t        tokens[40];
    llm_stats_t    stats = LLM_INIT(llm_stats_t);

    make_prompt(tokens, 40, 100, 3);
    llm_batch_destroy(search_one(e, tokens, 40, &p));
    assert_int_equal((int)metric(e, "vllm:iteration_tokens_total_sum"), 40 + 4 * 29);
    assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
    assert_int_equal(stats.requests_finished, 1);
    assert_int_equal(stats.kv_blocks_used, 0);
    llm_engine_destroy(e);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void a_full_context_ends_it(void **state)
{
    params_t      p = params_of(3, UINT32_MAX, 1, LLM_BEAM_IGNORE_EOS);
    llm_engine_t *e = engine_of(LLAMA, "max-num-seqs", "8", "seed", "1");
    int32_t       tokens[95];
    llm_batch_t  *b;

    make_prompt(tokens, 95, 100, 3);
    for (size_t n = 90; n <= 95; n += 5) {
        b = search_one(e, tokens, n, &p);
        for (size_t i = 0; i < 3; i++) {
            const llm_output_t *o = llm_batch_output(b, 0, i);
            assert_non_null(o);
            assert_int_equal(o->finish_reason, LLM_FINISH_LENGTH);
            assert_int_equal(o->n_tokens, 96 - n);
            assert_int_equal(o->n_logprobs, 7);
            assert_int_equal(o->logprobs[0].token, o->tokens[0]);
            assert_int_equal(o->logprobs[1].rank, 1);
            assert_int_equal(o->prompt_tokens, n);
            assert_int_equal(o->last, i == 2);
        }
        llm_batch_destroy(b);
    }
    llm_engine_destroy(e);
}

typedef struct stopper {
    llm_engine_t *e;
    uint32_t      after, n;
    bool          abort;            /* not stop */
} stopper_t;

static int32_t stop_later(void *user, const llm_progress_t *p)
{
    stopper_t *s = user;

    assert_int_equal(p->stage, LLM_STAGE_BATCH);
    if (++s->n != s->after)
        return 0;
    if (s->abort)
        llm_engine_abort_all(s->e);
    return !s->abort;
}

/* Stopped or aborted after any number of steps each has what its best beams had. */
static void it_can_be_stopped_at_every_step(void **state)
{
    static crowd_t c;
    const params_t p = params_of(3, 8, 1, LLM_BEAM_IGNORE_EOS);
    llm_engine_t  *e = engine_of(LLAMA, "max-num-seqs", "6", "max-num-batched-tokens", "32");
    uint32_t       n_had = 0;

    make_crowd(&c, 4);
    for (uint32_t i = 0; i < 40; i++) {
        stopper_t    s = { .e = e, .after = 1 + i / 2, .abort = i % 2 };
        llm_batch_t *b;
        llm_error_t  err;
        llm_status_t st = llm_beam_search(e, c.list, c.n, &p, stop_later, &s, &b, &err);
        assert_non_null(b);
        assert_true(st == LLM_OK || (st == LLM_ERR_CANCELLED && !s.abort));
        for (size_t k = 0; k < c.n; k++) {
            const llm_output_t *o = llm_batch_output(b, k, 0);
            assert_non_null(o);
            assert_true(o->finish_reason == LLM_FINISH_ABORT ||
                        o->finish_reason == LLM_FINISH_LENGTH);
            assert_true(o->last || llm_batch_output(b, k, 1) != NULL);
            n_had += o->finish_reason == LLM_FINISH_ABORT && o->n_tokens > 0;
        }
        llm_batch_destroy(b);
        assert_int_equal(llm_engine_unfinished(e), 0);
    }
    assert_true(n_had > 0);
    llm_engine_destroy(e);
}

static void a_deadline_ends_it_with_what_it_has(void **state)
{
    llm_engine_t        *e = engine_of(LLAMA, "max-num-seqs", "1", "max-num-batched-tokens", "1");
    const params_t       p = params_of(8, 60, 1, LLM_BEAM_IGNORE_EOS);
    int32_t              tokens[30];
    llm_request_t        r = request_of(tokens, 30);
    const llm_request_t *list[1] = { &r };
    llm_batch_t         *b;

    make_prompt(tokens, 30, 100, 3);
    r.timeout_ms = 1;
    b = search(e, list, 1, &p);
    assert_int_equal(llm_batch_output(b, 0, 0)->finish_reason, LLM_FINISH_DEADLINE);
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

/* ---- Text ------------------------------------------------------------------------------------ */

static const llm_output_t *find_stopped(const llm_batch_t *b)
{
    const llm_output_t *o;

    for (size_t k = 0; (o = llm_batch_output(b, 0, k)) != NULL; k++)
        if (o->finish_reason == LLM_FINISH_STOP)
            return o;
    return NULL;
}

/* A closing EOS is among the tokens; in the text it is when that is wanted. */
static void the_text_has_its_eos_when_wanted(void **state)
{
    llm_engine_t *e = make_engine(LLAMA, "float32",
                                  OPTIONS("tokenizer", TEST_DIR "/engine/letters", "max-model-len",
                                          "64", "cpu-threads", "1", "max-logprobs", "-1"), NULL);
    uint32_t      n_seen = 0;

    for (uint32_t i = 0; i < 10; i++) {
        params_t            p = params_of(16, 6, 0, 0);
        int32_t             tokens[8];
        llm_batch_t        *plain, *kept;
        const llm_output_t *a, *b;
        make_prompt(tokens, 8, 26, i);
        plain = search_one(e, tokens, 8, &p);
        p.flags |= LLM_BEAM_KEEP_STOP;
        kept = search_one(e, tokens, 8, &p);
        a = find_stopped(plain);
        b = find_stopped(kept);
        if (a != NULL) {
            assert_int_equal(a->n_tokens, b->n_tokens);
            assert_int_equal(a->tokens[a->n_tokens - 1], 1);
            assert_int_equal(a->text_len + 4, b->text_len);
            assert_memory_equal(a->text, b->text, a->text_len);
            assert_string_equal(b->text + a->text_len, "</s>");
            n_seen++;
        }
        llm_batch_destroy(plain);
        llm_batch_destroy(kept);
    }
    assert_true(n_seen > 0);
    llm_engine_destroy(e);
}

/* ---- Faults and bad input -------------------------------------------------------------------- */

static void a_bad_request_fails_alone(void **state)
{
    const params_t        p = params_of(2, 4, 1, 0);
    llm_engine_t         *e = engine_of(LLAMA, "max-num-seqs", "8", "seed", "1");
    int32_t               tokens[120];
    llm_sampling_params_t sp = LLM_INIT(llm_sampling_params_t);
    llm_option_t          options[2] = { { "top_p", "0.5" }, { "priority", "3" } };
    llm_request_t         r[6];
    const llm_request_t  *list[7] = { &r[0], &r[1], NULL, &r[2], &r[3], &r[4], &r[5] };
    static const char *const param[] = { NULL, "text", "requests", "sampling", "flags", "top_p",
                                         NULL };
    llm_batch_t          *b;

    make_prompt(tokens, 120, 100, 3);
    for (size_t i = 0; i < 6; i++)
        r[i] = request_of(tokens, 10);
    r[1].n_tokens = 120;
    r[2].sampling = &sp;
    r[3].flags = LLM_REQUEST_PREFILL_ONLY;
    r[4].options = options;
    r[4].n_options = 2;
    r[5].options = options + 1;
    r[5].n_options = 1;
    b = search(e, list, 7, &p);
    for (size_t i = 0; i < 7; i++) {
        const llm_output_t *o = llm_batch_output(b, i, 0);
        if (param[i] == NULL) {
            assert_null(o->error);
            assert_non_null(llm_batch_output(b, i, 1));
            continue;
        }
        assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
        assert_string_equal(o->error->param, param[i]);
        assert_null(llm_batch_output(b, i, 1));
    }
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

static void bad_parameters_are_named(void **state)
{
    const params_t good = params_of(2, 4, 1, 0);
    params_t       p[9] = { good, good, good, good, good, good, good, good, good };
    static const char *const param[] = { "beam_width", "beam_width", "beam_width", "max_tokens",
                                         "temperature", "temperature", "length_penalty", "flags",
                                         "length_penalty" };
    llm_engine_t  *e = engine_of(LLAMA, "max-num-seqs", "8", "seed", "1");
    int32_t        tokens[4] = { 3, 4, 5, 6 };
    llm_request_t  r = request_of(tokens, 4);
    const llm_request_t *list[1] = { &r };
    llm_batch_t   *b;
    llm_error_t    err;

    p[0].beam_width = 0;
    p[1].beam_width = 1025;
    p[2].beam_width = 11;           /* max-logprobs is 20 */
    p[3].max_tokens = 0;
    p[4].temperature = -1;
    p[5].temperature = NAN;
    p[6].length_penalty = INFINITY;
    p[7].flags = 64;
    p[8].flags = LLM_BEAM_NO_PENALTY;
    for (size_t i = 0; i < 9; i++) {
        llm_status_t want = i == 7 ? LLM_ERR_UNSUPPORTED : LLM_ERR_INVALID;
        assert_int_equal(llm_beam_search(e, list, 1, &p[i], NULL, NULL, &b, &err), want);
        assert_string_equal(err.param, param[i]);
        assert_null(b);
    }
    assert_int_equal(llm_beam_search(e, NULL, 1, &good, NULL, NULL, &b, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_beam_search(e, list, 1, NULL, NULL, NULL, &b, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_beam_search(e, list, 1, &good, NULL, NULL, NULL, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_beam_search(NULL, list, 1, &good, NULL, NULL, &b, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_beam_search(e, NULL, 0, &good, NULL, NULL, &b, NULL), LLM_OK);
    llm_batch_destroy(b);
    llm_engine_destroy(e);
}

static void each_failed_allocation_costs_one_search(void **state)
{
    test_alloc_t    t = { 0 };
    llm_allocator_t hook = test_allocator(&t);
    const params_t  p = params_of(3, 5, 1, 0);
    llm_engine_t   *e = make_engine(LLAMA, "float32",
                                    OPTIONS("skip-tokenizer-init", "true", "max-model-len", "64",
                                            "cpu-threads", "1", "max-num-queued-reqs", "32"),
                                    &hook);
    static crowd_t  c;
    llm_batch_t    *whole, *b;
    int64_t         idle;
    uint64_t        n, n_failed = 0, step = SANITIZED ? 3 : 1;

    make_crowd(&c, 2);
    whole = search(e, c.list, 2, &p);
    assert_int_equal(llm_engine_step(e, NULL), LLM_OK);
    idle = t.live_blocks;
    for (n = 1;; n += step) {
        llm_error_t  err;
        llm_status_t st;
        t.n_calls = 0;
        t.fail_at = n;
        st = llm_beam_search(e, c.list, 2, &p, NULL, NULL, &b, &err);
        t.fail_at = 0;
        if (st != LLM_OK) {
            assert_int_equal(err.status, LLM_ERR_NO_MEMORY);
            assert_null(b);
        }
        for (size_t i = 0; st == LLM_OK && i < 2; i++) {
            const llm_output_t *o = llm_batch_output(b, i, 0), *o1 = llm_batch_output(b, i, 1);
            if (o->error == NULL && (o1 == NULL || o1->error == NULL) &&
                (llm_batch_output(b, i, 2) == NULL || llm_batch_output(b, i, 2)->error == NULL))
                same_beams("beside one without memory", b, i, whole, i);
            else
                n_failed++;
        }
        llm_batch_destroy(b);
        assert_int_equal(llm_engine_step(e, NULL), LLM_OK);
        assert_int_equal(llm_engine_unfinished(e), 0);
        assert_int_equal(t.live_blocks, idle);
        if (t.n_calls < n)
            break;
    }
    assert_true(n_failed > 30 / step);
    llm_batch_destroy(whole);
    llm_engine_destroy(e);
    assert_int_equal(t.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(beams_are_the_same_bits_in_every_circumstance),
        cmocka_unit_test(no_token_is_run_twice),
        cmocka_unit_test(a_full_context_ends_it),
        cmocka_unit_test(it_can_be_stopped_at_every_step),
        cmocka_unit_test(a_deadline_ends_it_with_what_it_has),
        cmocka_unit_test(the_text_has_its_eos_when_wanted),
        cmocka_unit_test(a_bad_request_fails_alone),
        cmocka_unit_test(bad_parameters_are_named),
        cmocka_unit_test(each_failed_allocation_costs_one_search),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
