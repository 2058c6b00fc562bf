/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: the plan is exact, nothing stays behind, a warm step allocates nothing, and every failed
 * allocation is an error and not an end. */
#include "engine/support.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>

#define MODEL TEST_DIR "/golden/llama"
#define N_PROMPT 40

static const char *const options[] = { "skip-tokenizer-init", "true", "max-model-len", "256",
                                       "cpu-threads", "1", "max-num-queued-reqs", "64",
                                       "max-num-seqs", "16", NULL };

static llm_engine_config_t config_of(const llm_allocator_t *hook, llm_option_t opts[16])
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);

    for (size_t i = 0; options[i] != NULL; i += 2)
        opts[cfg.n_options++] = (llm_option_t){ options[i], options[i + 1] };
    cfg.model = MODEL;
    cfg.options = opts;
    cfg.allocator = hook;
    return cfg;
}

static void make_request(int32_t tokens[N_PROMPT], llm_sampling_params_t *sp, llm_request_t *r,
                         uint32_t seed, uint32_t max_tokens)
{
    make_prompt(tokens, N_PROMPT, 96, seed);
    *sp = (llm_sampling_params_t)LLM_INIT(llm_sampling_params_t);
    sp->max_tokens = max_tokens;
    sp->n_logprobs = 2;
    sp->n_prompt_logprobs = 2;
    sp->n = 2;
    sp->temperature = 1;
    sp->repetition_penalty = 1.1f;
    sp->flags = LLM_SAMPLE_IGNORE_EOS;
    *r = (llm_request_t)LLM_INIT(llm_request_t);
    r->tokens = tokens;
    r->n_tokens = N_PROMPT;
    r->sampling = sp;
}

static void serve(llm_engine_t *e, uint32_t n);

static void the_plan_is_exact(void **state)
{
    test_alloc_t        t = { 0 };
    llm_allocator_t     hook = test_allocator(&t);
    llm_option_t        opts[16];
    llm_engine_config_t cfg = config_of(&hook, opts);
    llm_plan_t          plan = LLM_INIT(llm_plan_t), real = LLM_INIT(llm_plan_t);
    llm_stats_t         stats = LLM_INIT(llm_stats_t);
    llm_engine_t       *e;
    llm_error_t         err;

    assert_int_equal(llm_plan(&cfg, &plan, &err), LLM_OK);
    assert_int_equal(t.live_bytes, 0);
    assert_int_equal(plan.fits, 1);
    assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_OK);
    assert_int_equal(llm_engine_plan(e, &real), LLM_OK);
    assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
    assert_int_equal(stats.device_bytes,
                     plan.weight_bytes + plan.workspace_bytes + plan.kv_cache_bytes);
    assert_int_equal(t.live_bytes, stats.device_bytes + stats.host_bytes);
    assert_int_equal(stats.host_bytes, plan.host_bytes);
    assert_int_equal(real.host_bytes, plan.host_bytes);
    assert_int_equal(real.weight_bytes, plan.weight_bytes);
    assert_int_equal(real.kv_blocks, plan.kv_blocks);
    assert_true(plan.max_concurrency >= 1 && plan.kv_bytes_per_token > 0 && plan.limit != NULL);
    llm_engine_destroy(e);
    assert_int_equal(t.live_bytes, 0);
    assert_int_equal(t.live_blocks, 0);
}

static void the_plan_knows_what_quantising_saves(void **state)
{
    static const char *const words[] = { "none", "int8", "int4" };
    uint64_t                 last = UINT64_MAX;

    for (size_t i = 0; i < 3; i++) {
        test_alloc_t        t = { 0 };
        llm_allocator_t     hook = test_allocator(&t);
        llm_option_t        opts[16];
        llm_engine_config_t cfg = config_of(&hook, opts);
        llm_plan_t          plan = LLM_INIT(llm_plan_t);
        llm_stats_t         stats = LLM_INIT(llm_stats_t);
        llm_engine_t       *e;
        llm_error_t         err;

        opts[cfg.n_options++] = (llm_option_t){ "quantization", words[i] };
        assert_int_equal(llm_plan(&cfg, &plan, &err), LLM_OK);
        assert_true(plan.weight_bytes < last);
        last = plan.weight_bytes;
        assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_OK);
        assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
        assert_int_equal(stats.device_bytes,
                         plan.weight_bytes + plan.workspace_bytes + plan.kv_cache_bytes);
        assert_int_equal(t.live_bytes, stats.device_bytes + stats.host_bytes);
        serve(e, 20);
        llm_engine_destroy(e);
        assert_int_equal(t.live_bytes, 0);
    }
}

static void a_plan_that_does_not_fit_says_so(void **state)
{
    llm_plan_t          plan = LLM_INIT(llm_plan_t);
    llm_option_t        opts[16];
    llm_engine_config_t cfg = config_of(NULL, opts);
    llm_engine_t       *e;
    llm_error_t         err;

    cfg.kv_cache_memory_bytes = 1ull << 50;
    assert_int_equal(llm_plan(&cfg, &plan, &err), LLM_OK);
    assert_int_equal(plan.fits, 0);
    assert_string_equal(plan.limit, "kv-cache-memory-bytes");
    assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_ERR_NO_DEVMEM);
    assert_null(e);
    cfg.kv_cache_memory_bytes = 0;
    opts[cfg.n_options++] = (llm_option_t){ "num-gpu-blocks-override", "5" };
    assert_int_equal(llm_plan(&cfg, &plan, &err), LLM_OK);
    assert_int_equal(plan.fits, 0);
    assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_ERR_NO_DEVMEM);
    assert_non_null(strstr(err.message, "max-model-len 256"));
}

static void serve(llm_engine_t *e, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        int32_t               tokens[N_PROMPT];
        llm_sampling_params_t sp;
        llm_request_t         r;
        llm_error_t           err;
        make_request(tokens, &sp, &r, i % 10, 1 + i % 9);
        if (llm_engine_add_request(e, &r, NULL, &err) != LLM_OK)
            fail_msg("%s", err.message);
        if (i % 8 == 7)
            run_dry(e);
        if (i % 13 == 12)
            llm_engine_abort_all(e);
    }
    run_dry(e);
    assert_int_equal(llm_engine_step(e, NULL), LLM_OK);     /* gives lent records back */
}

static void a_hundred_requests_leave_nothing_behind(void **state)
{
    test_alloc_t        t = { 0 };
    llm_allocator_t     hook = test_allocator(&t);
    llm_option_t        opts[16];
    llm_engine_config_t cfg = config_of(&hook, opts);
    llm_engine_t       *e[2];
    llm_error_t         err;

    for (int round = 0; round < 3; round++) {
        int64_t idle;
        assert_int_equal(llm_engine_create(&cfg, &e[0], &err), LLM_OK);
        idle = t.live_bytes;
        serve(e[0], 100);
        assert_int_equal(t.live_bytes, idle);
        llm_engine_destroy(e[0]);
        assert_int_equal(t.live_bytes, 0);
    }
    assert_int_equal(llm_engine_create(&cfg, &e[0], &err), LLM_OK);
    assert_int_equal(llm_engine_create(&cfg, &e[1], &err), LLM_OK);
    serve(e[0], 20);
    serve(e[1], 20);
    llm_engine_destroy(e[0]);
    serve(e[1], 20);
    llm_engine_destroy(e[1]);
    assert_int_equal(t.live_bytes, 0);
}

static void destroy_drops_what_is_unfinished(void **state)
{
    test_alloc_t          t = { 0 };
    llm_allocator_t       hook = test_allocator(&t);
    llm_option_t          opts[16];
    llm_engine_config_t   cfg = config_of(&hook, opts);
    llm_engine_t         *e;
    int32_t               tokens[N_PROMPT];
    llm_sampling_params_t sp;
    llm_request_t         r;
    llm_error_t           err;

    for (int steps = 0; steps < 4; steps++) {
        assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_OK);
        make_request(tokens, &sp, &r, 1, 20);
        for (int i = 0; i < 5; i++)
            assert_int_equal(llm_engine_add_request(e, &r, NULL, &err), LLM_OK);
        for (int i = 0; i < steps; i++)
            assert_int_equal(llm_engine_step(e, &err), LLM_OK);
        llm_engine_next_output(e);
        llm_engine_destroy(e);
        assert_int_equal(t.live_bytes, 0);
    }
}

static void a_warm_step_allocates_nothing(void **state)
{
    test_alloc_t          t = { 0 };
    llm_allocator_t       hook = test_allocator(&t);
    llm_option_t          opts[16];
    llm_engine_config_t   cfg = config_of(&hook, opts);
    llm_engine_t         *e;
    int32_t               tokens[N_PROMPT];
    llm_sampling_params_t sp;
    llm_request_t         r;
    llm_error_t           err;
    uint64_t              calls;

    assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_OK);
    for (int i = 0; i < 5; i++) {
        make_request(tokens, &sp, &r, (uint32_t)i, 30);
        assert_int_equal(llm_engine_add_request(e, &r, NULL, &err), LLM_OK);
    }
    calls = t.n_calls;
    while (llm_engine_unfinished(e) > 0) {  /* admission, prefill, decode and the ends */
        assert_int_equal(llm_engine_step(e, &err), LLM_OK);
        while (llm_engine_next_output(e) != NULL)
            ;
    }
    assert_int_equal(t.n_calls, calls);
    llm_engine_destroy(e);
}

/* Page faults of the steps that serve six requests. */
static long faults_of_a_load(llm_engine_t *e)
{
    ask_t         a[6];
    struct rusage before, after;
    long          faults = 0;

    for (uint32_t i = 0; i < 6; i++) {
        make_ask(&a[i], 90, 20 + 10 * i, i, 40);
        a[i].sp.temperature = i % 2 == 0 ? 0 : 1;
        add_ask(e, &a[i]);
    }
    while (llm_engine_unfinished(e) > 0) {
        getrusage(RUSAGE_SELF, &before);
        assert_int_equal(llm_engine_step(e, NULL), LLM_OK);
        getrusage(RUSAGE_SELF, &after);
        faults += after.ru_minflt - before.ru_minflt;
        while (llm_engine_next_output(e) != NULL)
            ;
    }
    return faults;
}

/* Behind a first load of the same kind everything that a step touches is there: weights, workspace,
 * the cache, which kv-cache-memory-bytes has filled, and the stacks of the workers.  The system may
 * take a page away at any time, so one load of several must do without. */
static void nor_does_it_fault_pages_in(void **state)
{
    llm_engine_t *e = make_engine(MODEL, "float32",
                                  OPTIONS("skip-tokenizer-init", "true", "max-model-len", "256",
                                          "cpu-threads", "3", "max-num-seqs", "8",
                                          "kv-cache-memory-bytes", "4000000"), NULL);
    long          least = LONG_MAX;

    for (uint32_t load = 0; load < 20 && least > 0; load++) {
        long faults = faults_of_a_load(e);
        least = faults < least ? faults : least;
    }
    if (!SANITIZED)                 /* their shadow memory has pages of its own */
        assert_int_equal(least, 0);
    llm_engine_destroy(e);
}

/* ---- Failures -------------------------------------------------------------------------------- */

/* Text, stop strings, all kinds of records, log-probabilities, and who asks meanwhile. */
static void nor_does_one_with_text(void **state)
{
    static const char *const kinds[] = { "delta", "cumulative", "final_only" };
    static const char *const stops[] = { "qqqq", "zz top" };
    test_alloc_t             t = { 0 };
    llm_allocator_t          hook = test_allocator(&t);
    llm_engine_t            *e = make_engine(MODEL, "float32",
                                             OPTIONS("tokenizer", TEST_DIR "/engine/letters",
                                                     "max-model-len", "256", "cpu-threads", "1",
                                                     "max-num-queued-reqs", "64", "max-num-seqs",
                                                     "8"), &hook);
    ask_t                    a[6];
    llm_option_t             kind[6];
    llm_stats_t              stats = LLM_INIT(llm_stats_t);
    const llm_output_t      *o;
    char                     text[2000];
    uint64_t                 calls, n_bytes = 0;
    size_t                   n;

    for (uint32_t i = 0; i < 6; i++) {
        make_ask(&a[i], 90, 20, i, 40);
        a[i].sp.stop = stops;
        a[i].sp.n_stop = 2;
        a[i].sp.n_logprobs = i % 2 == 0 ? 6 : 0;
        kind[i] = (llm_option_t){ "output_kind", kinds[i % 3] };
        a[i].r.options = &kind[i];
        a[i].r.n_options = 1;
        add_ask(e, &a[i]);
    }
    calls = t.n_calls;
    while (llm_engine_unfinished(e) > 0) {
        step_engine(e);
        while ((o = llm_engine_next_output(e)) != NULL)
            n_bytes += o->text_len;
        assert_int_equal(llm_engine_stats(e, &stats), LLM_OK);
        llm_engine_metrics(e, text, sizeof text, &n);
    }
    assert_int_equal(t.n_calls, calls);
    assert_true(n_bytes > 100);
    llm_engine_destroy(e);
}

static void every_failure_of_create_is_an_error(void **state)
{
    test_alloc_t        t = { 0 };
    llm_allocator_t     hook = test_allocator(&t);
    llm_option_t        opts[16];
    llm_engine_config_t cfg = config_of(&hook, opts);
    llm_plan_t          plan = LLM_INIT(llm_plan_t);
    llm_engine_t       *e = NULL;
    llm_error_t         err;
    llm_status_t        st = LLM_ERR_NO_MEMORY;
    uint64_t            n;

    for (n = 1; st != LLM_OK; n++) {
        t.n_calls = 0;
        t.fail_at = n;
        st = llm_engine_create(&cfg, &e, &err);
        if (st != LLM_OK) {
            assert_true(st == LLM_ERR_NO_MEMORY || st == LLM_ERR_NO_DEVMEM);
            assert_true(err.message[0] != '\0');
            assert_null(e);
            assert_int_equal(t.live_bytes, 0);
        }
    }
    assert_true(n > 30);
    llm_engine_destroy(e);
    for (n = 1, st = LLM_ERR_NO_MEMORY; st != LLM_OK; n++) {
        t.n_calls = 0;
        t.fail_at = n;
        st = llm_plan(&cfg, &plan, &err);
        assert_int_equal(t.live_bytes, 0);
    }
}

static void every_failure_of_a_request_is_its_own(void **state)
{
    test_alloc_t          t = { 0 };
    llm_allocator_t       hook = test_allocator(&t);
    llm_option_t          opts[16];
    llm_engine_config_t   cfg = config_of(&hook, opts);
    llm_engine_t         *e;
    int32_t               tokens[N_PROMPT];
    llm_sampling_params_t sp;
    llm_request_t         r;
    llm_error_t           err;
    llm_status_t          st = LLM_ERR_NO_MEMORY;
    int64_t               idle;

    assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_OK);
    idle = t.live_bytes;
    make_request(tokens, &sp, &r, 3, 4);
    for (uint64_t n = 1; st != LLM_OK; n++) {
        t.n_calls = 0;
        t.fail_at = n;
        st = llm_engine_add_request(e, &r, NULL, &err);
        assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
        assert_true(st == LLM_OK || t.live_bytes == idle);
    }
    t.fail_at = 0;
    run_dry(e);
    llm_engine_destroy(e);
    assert_int_equal(t.live_bytes, 0);
}

/* Outputs longer than what was reserved at add grow inside the step. */
static void growth_that_fails_ends_one_request(void **state)
{
    test_alloc_t          t = { 0 };
    llm_allocator_t       hook = test_allocator(&t);
    llm_engine_t         *e;
    int32_t               tokens[N_PROMPT];
    llm_sampling_params_t sp;
    llm_request_t         r;
    llm_error_t           err;
    const llm_output_t   *o;
    int                   n_error = 0, n_length = 0;

    if (try_engine(TEST_DIR "/golden/opt", "float32",
                   OPTIONS("skip-tokenizer-init", "true", "max-logprobs", "-1",
                           "max-num-seqs", "4"),
                   &hook, &e, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (int i = 0; i < 3; i++) {           /* 65,536 entries are reserved, 300 such tokens */
        make_request(tokens, &sp, &r, (uint32_t)i, 400);
        sp.n = 1;
        sp.n_logprobs = -1;
        sp.n_prompt_logprobs = 0;
        r.output_kind = LLM_OUTPUT_FINAL;
        if (llm_engine_add_request(e, &r, NULL, &err) != LLM_OK)
            fail_msg("%s", err.message);
    }
    t.n_calls = 0;
    t.fail_at = 1;
    while (llm_engine_unfinished(e) > 0)
        assert_int_equal(llm_engine_step(e, &err), LLM_OK);
    while ((o = llm_engine_next_output(e)) != NULL) {
        n_error += o->finish_reason == LLM_FINISH_ERROR && o->error->status == LLM_ERR_NO_MEMORY;
        n_length += o->finish_reason == LLM_FINISH_LENGTH;
    }
    assert_int_equal(n_error, t.n_calls > 0 ? 1 : 0);
    assert_int_equal(n_length, 3 - n_error);
    llm_engine_destroy(e);
    assert_int_equal(t.live_bytes, 0);
}

static void every_failure_in_a_batch_costs_one_output_at_most(void **state)
{
    test_alloc_t          t = { 0 };
    llm_allocator_t       hook = test_allocator(&t);
    llm_option_t          opts[16];
    llm_engine_config_t   cfg = config_of(&hook, opts);
    llm_engine_t         *e;
    int32_t               tokens[3][N_PROMPT];
    llm_sampling_params_t sp[3];
    llm_request_t         r[3];
    const llm_request_t  *list[3] = { &r[0], &r[1], &r[2] };
    llm_batch_t          *b;
    llm_error_t           err;
    bool                  failed = true;

    assert_int_equal(llm_engine_create(&cfg, &e, &err), LLM_OK);
    for (uint32_t i = 0; i < 3; i++)
        make_request(tokens[i], &sp[i], &r[i], i, 3);
    for (uint64_t n = 1; failed; n++) {
        llm_status_t st;
        int          bad = 0;
        t.n_calls = 0;
        t.fail_at = n;
        st = llm_generate_batch(e, list, 3, NULL, NULL, &b, &err);
        failed = t.n_calls >= n;
        for (size_t i = 0; st == LLM_OK && i < 3; i++) {
            const llm_output_t *o = llm_batch_output(b, i, 0), *o1 = llm_batch_output(b, i, 1);
            bad += o->finish_reason == LLM_FINISH_ERROR ||
                   (o1 != NULL && o1->finish_reason == LLM_FINISH_ERROR);
        }
        assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
        assert_true(bad <= 1);
        llm_batch_destroy(b);
    }
    llm_engine_destroy(e);
    assert_int_equal(t.live_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_is_exact),
        cmocka_unit_test(the_plan_knows_what_quantising_saves),
        cmocka_unit_test(a_plan_that_does_not_fit_says_so),
        cmocka_unit_test(a_hundred_requests_leave_nothing_behind),
        cmocka_unit_test(destroy_drops_what_is_unfinished),
        cmocka_unit_test(a_warm_step_allocates_nothing),
        cmocka_unit_test(nor_does_it_fault_pages_in),
        cmocka_unit_test(nor_does_one_with_text),
        cmocka_unit_test(every_failure_of_create_is_an_error),
        cmocka_unit_test(every_failure_of_a_request_is_its_own),
        cmocka_unit_test(growth_that_fails_ends_one_request),
        cmocka_unit_test(every_failure_in_a_batch_costs_one_output_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
