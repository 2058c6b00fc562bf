/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every argument of every function of llm.h, out of range: NULL, wrong sizes, unknown flags and
 * enums, reserved fields, values beyond their bounds.  Each gives the status that llm.h names, says
 * which argument it was in one line, leaves outputs NULL or zero, and the engine as it was.
 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#define MODEL TEST_DIR "/golden/llama"
#define PAD 64

static llm_engine_t *engine;
static const int32_t prompt[] = { 3, 4, 5 };

static llm_engine_config_t valid_config(void)
{
    static const llm_option_t   options[] = { { "skip-tokenizer-init", "true" } };
    llm_engine_config_t         c = LLM_INIT(llm_engine_config_t);

    c.model = MODEL;
    c.device = "cpu";
    c.n_threads = 1;
    c.max_model_len = 64;
    c.max_num_seqs = 4;
    c.max_num_batched_tokens = 64;
    c.options = options;
    c.n_options = 1;
    return c;
}

static llm_request_t valid_request(void)
{
    llm_request_t r = LLM_INIT(llm_request_t);

    r.tokens = prompt;
    r.n_tokens = 3;
    return r;
}

static llm_sampling_params_t valid_sampling(void)
{
    llm_sampling_params_t s = LLM_INIT(llm_sampling_params_t);

    s.temperature = 1;
    s.max_tokens = 2;
    return s;
}

static int set_up(void **state)
{
    llm_engine_config_t c = valid_config();
    llm_error_t         err;

    if (llm_engine_create(&c, &engine, &err) == LLM_OK)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

static int tear_down(void **state)
{
    llm_engine_destroy(engine);
    return 0;
}

/* What every failure leaves behind. */
static void check_error(const llm_error_t *err, llm_status_t st, const char *param)
{
    assert_int_equal(err->status, st);
    if (param != NULL)
        assert_string_equal(err->param, param);
    assert_true(err->message[0] != '\0');
    assert_null(strchr(err->message, '\n'));
    assert_int_equal(err->retry_after_ms, 0);
}

/* ---- Static functions ----------------------------------------------------------------------- */

static void names_exist_for_every_number(void **state)
{
    for (int32_t i = -40; i < 40; i++) {
        assert_true(llm_strerror(i)[0] != '\0' && llm_status_name(i)[0] != '\0');
        assert_non_null(llm_finish_name(i));
    }
    assert_non_null(llm_strerror(INT32_MIN));
    assert_non_null(llm_status_name(INT32_MAX));
    assert_non_null(llm_finish_name(INT32_MIN));
    assert_string_equal(llm_status_name(LLM_ERR_BUSY), "LLM_ERR_BUSY");
    assert_string_equal(llm_finish_name(LLM_FINISH_STOP), "stop");
    assert_string_equal(llm_finish_name(LLM_FINISH_LENGTH), "length");
    assert_int_equal(llm_version_number(), LLM_VERSION_NUMBER);
    assert_int_equal(strncmp(llm_version_string(), "0.2.0", 5), 0);
}

static void options_end(void **state)
{
    size_t n = 0;

    while (llm_option_info(n) != NULL)
        n++;
    assert_true(n > 40);
    assert_null(llm_option_info(n + 1));
    assert_null(llm_option_info(SIZE_MAX));
}

/* ---- Sized structs -------------------------------------------------------------------------- */

typedef struct padded_config { llm_engine_config_t c; unsigned char tail[PAD]; } padded_config_t;
typedef struct padded_request { llm_request_t r; unsigned char tail[PAD]; } padded_request_t;
typedef struct padded_sampling {
    llm_sampling_params_t s;
    unsigned char         tail[PAD];
} padded_sampling_t;

static void plan_as(uint32_t size, unsigned char tail, llm_status_t expected)
{
    padded_config_t p = { .c = valid_config() };
    llm_plan_t      plan = LLM_INIT(llm_plan_t);
    llm_engine_t   *e = engine;
    llm_error_t     err = { 0 };

    p.c.struct_size = size;
    p.tail[PAD - 1] = tail;
    assert_int_equal(llm_plan(&p.c, &plan, &err), expected);
    assert_int_equal(llm_engine_create(&p.c, &e, NULL), expected);
    if (expected == LLM_OK) {
        llm_engine_destroy(e);
        return;
    }
    assert_null(e);
    check_error(&err, expected, "struct_size");
}

static void config_sizes(void **state)
{
    uint32_t size = sizeof(llm_engine_config_t);

    plan_as(size, 1, LLM_OK);               /* the tail is not part of it */
    plan_as(size + PAD, 0, LLM_OK);
    plan_as(size + PAD, 1, LLM_ERR_UNSUPPORTED);
    plan_as(0, 0, LLM_ERR_INVALID);
    plan_as(1, 0, LLM_ERR_INVALID);
    plan_as(size - 1, 0, LLM_ERR_INVALID);
    plan_as(UINT32_MAX, 0, LLM_ERR_INVALID);
}

static void add_as(uint32_t request_size, uint32_t sampling_size, unsigned char tail,
                   llm_status_t expected)
{
    padded_request_t  r = { .r = valid_request() };
    padded_sampling_t s = { .s = valid_sampling() };
    llm_request_id_t  id = 77;
    llm_error_t       err = { 0 };

    r.r.struct_size = request_size;
    s.s.struct_size = sampling_size;
    r.r.sampling = &s.s;
    r.tail[PAD - 1] = s.tail[PAD - 1] = tail;
    assert_int_equal(llm_engine_add_request(engine, &r.r, &id, &err), expected);
    if (expected == LLM_OK) {
        assert_int_equal(llm_engine_abort(engine, id), LLM_OK);
        while (llm_engine_unfinished(engine) > 0)
            assert_int_equal(llm_engine_step(engine, NULL), LLM_OK);
        while (llm_engine_next_output(engine) != NULL)
            ;
        return;
    }
    assert_true(id == 0);
    check_error(&err, expected, "struct_size");
}

static void request_and_sampling_sizes(void **state)
{
    uint32_t r = sizeof(llm_request_t), s = sizeof(llm_sampling_params_t);

    add_as(r, s, 1, LLM_OK);
    add_as(r + PAD, s + PAD, 0, LLM_OK);
    add_as(r + PAD, s, 1, LLM_ERR_UNSUPPORTED);
    add_as(r, s + PAD, 1, LLM_ERR_UNSUPPORTED);
    add_as(0, s, 0, LLM_ERR_INVALID);
    add_as(r, 0, 0, LLM_ERR_INVALID);
    add_as(r - 1, s, 0, LLM_ERR_INVALID);
    add_as(r, s - 1, 0, LLM_ERR_INVALID);
    add_as(r, UINT32_MAX, 0, LLM_ERR_INVALID);
}

/* Structs that the library fills: known bytes are filled, unknown ones zeroed. */
static void filled_sizes(void **state)
{
    struct { llm_plan_t p; unsigned char tail[PAD]; } plan;
    struct { llm_stats_t s; unsigned char tail[PAD]; } stats;
    struct { llm_sampling_params_t s; unsigned char tail[PAD]; } params;

    memset(&plan, 0xee, sizeof plan);
    memset(&stats, 0xee, sizeof stats);
    memset(&params, 0xee, sizeof params);
    plan.p.struct_size = sizeof plan;
    stats.s.struct_size = sizeof stats;
    params.s.struct_size = sizeof params;
    assert_int_equal(llm_engine_plan(engine, &plan.p), LLM_OK);
    assert_int_equal(llm_engine_stats(engine, &stats.s), LLM_OK);
    assert_int_equal(llm_sampling_defaults(engine, &params.s), LLM_OK);
    for (size_t i = 0; i < PAD; i++)
        assert_true(plan.tail[i] == 0 && stats.tail[i] == 0 && params.tail[i] == 0);
    assert_int_equal(plan.p.struct_size, sizeof plan);
    assert_int_equal(plan.p.fits, 1);
    assert_int_equal(plan.p.world_size, 1);
    assert_true(params.s.temperature > 0 && params.s.max_tokens == 16);
    plan.p.struct_size = stats.s.struct_size = params.s.struct_size = 0;
    assert_int_equal(llm_engine_plan(engine, &plan.p), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_stats(engine, &stats.s), LLM_ERR_INVALID);
    assert_int_equal(llm_sampling_defaults(engine, &params.s), LLM_ERR_INVALID);
    plan.p.struct_size = stats.s.struct_size = params.s.struct_size = 3;
    assert_int_equal(llm_engine_plan(engine, &plan.p), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_stats(engine, &stats.s), LLM_ERR_INVALID);
    assert_int_equal(llm_sampling_defaults(NULL, &params.s), LLM_ERR_INVALID);
}

/* ---- NULL ----------------------------------------------------------------------------------- */

static void null_where_something_must_be(void **state)
{
    llm_engine_config_t  c = valid_config();
    llm_plan_t           plan = LLM_INIT(llm_plan_t);
    llm_stats_t          stats = LLM_INIT(llm_stats_t);
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t        r = valid_request();
    const llm_request_t *rs[] = { &r };
    llm_engine_t        *e = engine;
    llm_batch_t         *batch = (llm_batch_t *)engine;
    llm_request_id_t     id = 5;
    llm_error_t          err = { 0 };
    size_t               n = 9;

#define INVALID(call, name)                                                                        \
    do {                                                                                           \
        memset(&err, 0, sizeof err);                                                               \
        assert_int_equal(call, LLM_ERR_INVALID);                                                   \
        check_error(&err, LLM_ERR_INVALID, name);                                                  \
    } while (0)
    INVALID(llm_plan(NULL, &plan, &err), "config");
    INVALID(llm_plan(&c, NULL, &err), "plan");
    INVALID(llm_engine_create(NULL, &e, &err), "config");
    assert_null(e);
    INVALID(llm_engine_create(&c, NULL, &err), "engine");
    INVALID(llm_engine_add_request(NULL, &r, &id, &err), "engine");
    assert_true(id == 0);
    id = 5;
    INVALID(llm_engine_add_request(engine, NULL, &id, &err), "request");
    assert_true(id == 0);
    INVALID(llm_engine_step(NULL, &err), "engine");
    INVALID(llm_generate_batch(NULL, rs, 1, NULL, NULL, &batch, &err), "engine");
    assert_null(batch);
    INVALID(llm_generate_batch(engine, NULL, 1, NULL, NULL, &batch, &err), "requests");
    INVALID(llm_generate_batch(engine, rs, 1, NULL, NULL, NULL, &err), "batch");
    assert_int_equal(llm_engine_plan(NULL, &plan), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_plan(engine, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_stats(NULL, &stats), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_stats(engine, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_sampling_defaults(engine, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_sampling_defaults(NULL, &params), LLM_OK);
    assert_int_equal(llm_engine_abort(NULL, 1), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_wait(NULL, 0), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_metrics(NULL, NULL, 0, &n), LLM_ERR_INVALID);
    assert_int_equal(n, 0);
    assert_int_equal(llm_engine_metrics(engine, NULL, 0, NULL), LLM_ERR_INVALID);
    assert_int_equal(llm_engine_reset_prefix_cache(NULL), LLM_ERR_INVALID);
    assert_true(llm_engine_unfinished(NULL) == 0);
    assert_null(llm_engine_next_output(NULL));
    assert_null(llm_engine_tokenizer(NULL));
    assert_null(llm_batch_output(NULL, 0, 0));
    llm_engine_abort_all(NULL);
    llm_engine_notify(NULL);
    llm_engine_destroy(NULL);
    llm_batch_destroy(NULL);
    llm_tokenizer_destroy(NULL);
}

static void tokenizer_arguments(void **state)
{
    llm_tokenizer_t *t = (llm_tokenizer_t *)engine;
    llm_allocator_t  no_hook = { NULL, NULL };
    llm_error_t      err = { 0 };
    size_t           n = 4;
    int32_t          ids[4];
    char             text[8];

    assert_null(llm_engine_tokenizer(engine));      /* skip-tokenizer-init */
    INVALID(llm_tokenizer_create(NULL, NULL, &t, &err), "path");
    assert_null(t);
    INVALID(llm_tokenizer_create("x", NULL, NULL, &err), "tokenizer");
    INVALID(llm_tokenizer_create("x", &no_hook, &t, &err), "allocator");
    assert_int_equal(llm_tokenizer_create("/nowhere/at all", NULL, &t, &err), LLM_ERR_IO);
    check_error(&err, LLM_ERR_IO, NULL);
    assert_null(t);
    INVALID(llm_tokenizer_encode(NULL, "a", 1, 0, ids, 4, &n, &err), "tokenizer");
    INVALID(llm_tokenizer_encode_chat(NULL, "{}", 2, ids, 4, &n, &err), "tokenizer");
    INVALID(llm_tokenizer_render_chat(NULL, "{}", 2, text, 8, &n, &err), "tokenizer");
    INVALID(llm_tokenizer_decode(NULL, ids, 1, 0, text, 8, &n, &err), "tokenizer");
    assert_true(n == 0);
    assert_null(llm_tokenizer_token(NULL, 0, &n));
}

/* The demonstration model, where it is. */
static const char *demo_model(char path[512])
{
    const char *given = getenv("LLM_DEMO_MODEL"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    if (given != NULL)
        snprintf(path, 512, "%s", given);
    else
        snprintf(path, 512, "%s%s/llmserve/SmolLM2-135M-Instruct.Q4_1.gguf",
                 cache != NULL ? cache : home != NULL ? home : "", cache != NULL ? "" : "/.cache");
    return access(path, R_OK) == 0 ? path : NULL;
}

static void tokenizer_calls(void **state)
{
    llm_tokenizer_t *t;
    llm_error_t      err = { 0 };
    size_t           n, m;
    int32_t          ids[16];
    char             text[64], path[512];

    if (demo_model(path) == NULL) {
        print_message("LLM_DEMO_MODEL names no model\n");
        skip();
    }
    if (llm_tokenizer_create(path, NULL, &t, &err) != LLM_OK)
        fail_msg("%s", err.message);
    INVALID(llm_tokenizer_encode(t, NULL, 1, 0, ids, 16, &n, &err), "text");
    assert_true(n == 0);
    INVALID(llm_tokenizer_encode(t, "a", 1, 0, ids, 16, NULL, &err), "n");
    INVALID(llm_tokenizer_encode(t, "\xff", 1, 0, ids, 16, &n, &err), NULL);
    assert_int_equal(llm_tokenizer_encode(t, "a", 1, 2, ids, 16, &n, &err), LLM_ERR_UNSUPPORTED);
    check_error(&err, LLM_ERR_UNSUPPORTED, "flags");
    INVALID(llm_tokenizer_encode_chat(t, NULL, 1, ids, 16, &n, &err), "chat");
    INVALID(llm_tokenizer_render_chat(t, NULL, 1, text, 64, &n, &err), "chat");
    assert_int_equal(llm_tokenizer_render_chat(t, "{", 1, text, 64, &n, &err), LLM_ERR_FORMAT);
    INVALID(llm_tokenizer_decode(t, NULL, 1, 0, text, 64, &n, &err), NULL);
    assert_int_equal(llm_tokenizer_decode(t, ids, 0, 4, text, 64, &n, &err), LLM_ERR_UNSUPPORTED);
    ids[0] = -1;                            /* unknown ids decode to nothing, as HF's do */
    ids[1] = INT32_MAX;
    assert_int_equal(llm_tokenizer_decode(t, ids, 2, 0, text, 64, &n, &err), LLM_OK);
    assert_true(n == 0);
    assert_null(llm_tokenizer_token(t, -1, &n));
    assert_null(llm_tokenizer_token(t, INT32_MAX, &n));
    assert_int_equal(llm_tokenizer_encode(t, "Hello there, all", LLM_CSTR, 0, NULL, 0, &n, NULL),
                     LLM_OK);
    assert_true(n > 1);
    assert_int_equal(llm_tokenizer_encode(t, "Hello there, all", LLM_CSTR, 0, ids, n - 1, &m, &err),
                     LLM_ERR_NO_SPACE);
    assert_true(m == n);
    assert_int_equal(llm_tokenizer_encode(t, "Hello there, all", LLM_CSTR, 0, ids, n, &m, &err),
                     LLM_OK);
    assert_int_equal(llm_tokenizer_decode(t, ids, n, 0, text, 3, &m, &err), LLM_ERR_NO_SPACE);
    assert_true(m == 16);
    assert_int_equal(llm_tokenizer_decode(t, ids, n, 0, text, 64, &m, NULL), LLM_OK);
    assert_string_equal(text, "Hello there, all");
    llm_tokenizer_destroy(t);
}

/* ---- Config --------------------------------------------------------------------------------- */

static void refuse_config(const llm_engine_config_t *c, llm_status_t expected, const char *param)
{
    llm_plan_t    plan = LLM_INIT(llm_plan_t);
    llm_engine_t *e = engine;
    llm_error_t   err = { 0 };

    if (llm_engine_create(c, &e, &err) != expected)
        fail_msg("%s: %d %s", param, err.status, err.message);
    assert_null(e);
    check_error(&err, expected, param);
    assert_int_equal(llm_plan(c, &plan, &err), expected);
    check_error(&err, expected, param);
}

#define REFUSE_CONFIG(field, value, status, param)                                                 \
    do {                                                                                           \
        llm_engine_config_t c_ = valid_config();                                                   \
        c_.field = value;                                                                          \
        refuse_config(&c_, status, param);                                                         \
    } while (0)

static void config_fields(void **state)
{
    static const llm_allocator_t no_hook = { NULL, NULL };

    REFUSE_CONFIG(model, NULL, LLM_ERR_INVALID, "model");
    REFUSE_CONFIG(model, "", LLM_ERR_INVALID, "model");
    REFUSE_CONFIG(model, "/nowhere/at all", LLM_ERR_IO, NULL);
    REFUSE_CONFIG(device, "abacus", LLM_ERR_INVALID, "device");
    REFUSE_CONFIG(device, "cuda:0", LLM_ERR_UNSUPPORTED, "device");
    REFUSE_CONFIG(dtype, "int3", LLM_ERR_INVALID, "dtype");
    REFUSE_CONFIG(log_level, 9, LLM_ERR_INVALID, "log_level");
    REFUSE_CONFIG(max_model_len, UINT32_MAX, LLM_ERR_INVALID, "max_model_len");
    REFUSE_CONFIG(max_num_seqs, UINT32_MAX, LLM_ERR_INVALID, "max_num_seqs");
    REFUSE_CONFIG(max_num_batched_tokens, UINT32_MAX, LLM_ERR_INVALID, "max_num_batched_tokens");
    REFUSE_CONFIG(n_threads, UINT32_MAX, LLM_ERR_INVALID, "n_threads");
    REFUSE_CONFIG(gpu_memory_utilization, 1.5f, LLM_ERR_INVALID, "gpu_memory_utilization");
    REFUSE_CONFIG(gpu_memory_utilization, -1, LLM_ERR_INVALID, "gpu_memory_utilization");
    REFUSE_CONFIG(gpu_memory_utilization, NAN, LLM_ERR_INVALID, "gpu_memory_utilization");
    REFUSE_CONFIG(kv_cache_memory_bytes, UINT64_MAX, LLM_ERR_INVALID, "kv_cache_memory_bytes");
    REFUSE_CONFIG(options, NULL, LLM_ERR_INVALID, "options");
    REFUSE_CONFIG(allocator, &no_hook, LLM_ERR_INVALID, NULL);
}

static void refuse_option(const char *name, const char *value, llm_status_t expected,
                          const char *param)
{
    llm_option_t option = { name, value };

    REFUSE_CONFIG(options, &option, expected, param);
}

static void config_options(void **state)
{
    refuse_option(NULL, "1", LLM_ERR_INVALID, "options");
    refuse_option("max-num-seqs", NULL, LLM_ERR_INVALID, NULL);
    refuse_option("", "1", LLM_ERR_INVALID, NULL);
    refuse_option("max-num-seq", "1", LLM_ERR_INVALID, "max-num-seq");
    refuse_option("max-num-seqs", "0", LLM_ERR_INVALID, "max-num-seqs");
    refuse_option("max-num-seqs", "many", LLM_ERR_INVALID, "max-num-seqs");
    refuse_option("block-size", "0", LLM_ERR_INVALID, "block-size");
    refuse_option("block-size", "1", LLM_ERR_UNSUPPORTED, "block-size");
    refuse_option("block-size", "1023", LLM_ERR_UNSUPPORTED, "block-size");
    refuse_option("tensor-parallel-size", "2", LLM_ERR_UNSUPPORTED, "tensor-parallel-size");
    refuse_option("kv-cache-dtype", "fp8", LLM_ERR_UNSUPPORTED, "kv-cache-dtype");
    refuse_option("cpu-isa", "sse1", LLM_ERR_INVALID, "cpu-isa");
    refuse_option("cpu-affinity", "0-", LLM_ERR_INVALID, "cpu-affinity");
    refuse_option("huge-pages", "madvise", LLM_ERR_INVALID, "huge-pages");
    refuse_option("tokenizer-mode", "gguf", LLM_ERR_INVALID, "tokenizer-mode");
    refuse_option("tokenizer-mode", "mistral", LLM_ERR_UNSUPPORTED, "tokenizer-mode");
    refuse_option("scheduling-policy", "random", LLM_ERR_INVALID, "scheduling-policy");
    refuse_option("hf-overrides", "[]", LLM_ERR_INVALID, "hf-overrides");
    refuse_option("temperature", "1", LLM_ERR_INVALID, "temperature");
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void refuse_request(const llm_request_t *r, llm_status_t expected, const char *param)
{
    llm_request_id_t id = 99;
    llm_error_t      err = { 0 };
    llm_status_t     st = llm_engine_add_request(engine, r, &id, &err);

    if (st != expected)
        fail_msg("%s: %d, not %d: %s", param != NULL ? param : "", st, expected, err.message);
    check_error(&err, expected, param);
    assert_true(id == 0);
    assert_int_equal(llm_engine_add_request(engine, r, NULL, NULL), expected);
    assert_true(llm_engine_unfinished(engine) == 0);
}

#define REFUSE(field, value, status, param)                                                        \
    do {                                                                                           \
        llm_request_t r_ = valid_request();                                                        \
        r_.field = value;                                                                          \
        refuse_request(&r_, status, param);                                                        \
    } while (0)

static void request_fields(void **state)
{
    static const int32_t below[] = { 1, -1 }, beyond[] = { 1, INT32_MAX };
    static int32_t       lengthy[1000];
    llm_request_t        r = valid_request();

    REFUSE(flags, 8, LLM_ERR_UNSUPPORTED, "flags");
    REFUSE(flags, UINT32_C(1) << 31, LLM_ERR_UNSUPPORTED, "flags");
    REFUSE(reserved0, 1, LLM_ERR_UNSUPPORTED, "reserved0");
    REFUSE(output_kind, 3, LLM_ERR_UNSUPPORTED, "output_kind");
    REFUSE(output_kind, -1, LLM_ERR_UNSUPPORTED, "output_kind");
    REFUSE(tokens, NULL, LLM_ERR_INVALID, "tokens");
    REFUSE(text, "both", LLM_ERR_INVALID, NULL);
    REFUSE(chat, "{}", LLM_ERR_INVALID, NULL);
    REFUSE(n_tokens, 0, LLM_ERR_INVALID, NULL);
    REFUSE(n_options, 1, LLM_ERR_INVALID, "options");
    REFUSE(cache_salt, "\xff", LLM_ERR_INVALID, "cache_salt");
    r.tokens = NULL;
    r.n_tokens = 0;
    refuse_request(&r, LLM_ERR_INVALID, NULL);      /* none of text, tokens, chat */
    r.text = "no tokenizer";
    r.text_len = LLM_CSTR;
    refuse_request(&r, LLM_ERR_INVALID, NULL);
    r = valid_request();
    r.tokens = below;
    r.n_tokens = 2;
    refuse_request(&r, LLM_ERR_INVALID, "tokens");
    r.tokens = beyond;
    refuse_request(&r, LLM_ERR_INVALID, "tokens");
    r.tokens = lengthy;
    r.n_tokens = 1000;
    refuse_request(&r, LLM_ERR_TOO_LONG, NULL);
}

static void refuse_sampling(const llm_sampling_params_t *s, llm_status_t expected,
                            const char *param)
{
    llm_request_t r = valid_request();

    r.sampling = s;
    refuse_request(&r, expected, param);
}

#define REFUSE_S(field, value, status, param)                                                      \
    do {                                                                                           \
        llm_sampling_params_t s_ = valid_sampling();                                               \
        s_.field = value;                                                                          \
        refuse_sampling(&s_, status, param);                                                       \
    } while (0)
#define BAD(field, value) REFUSE_S(field, value, LLM_ERR_INVALID, #field)

static void sampling_scalars(void **state)
{
    static const float wrong[] = { -0.01f, NAN, INFINITY, -INFINITY };

    for (size_t i = 0; i < 4; i++) {
        BAD(temperature, wrong[i]);
        BAD(top_p, wrong[i]);
        BAD(min_p, wrong[i]);
        BAD(repetition_penalty, wrong[i]);
    }
    for (size_t i = 1; i < 4; i++) {
        BAD(presence_penalty, wrong[i]);
        BAD(frequency_penalty, wrong[i]);
    }
    BAD(temperature, 2.01f);
    BAD(top_p, 1.01f);
    BAD(min_p, 1.01f);
    BAD(presence_penalty, 2.01f);
    BAD(presence_penalty, -2.01f);
    BAD(frequency_penalty, 2.01f);
    BAD(frequency_penalty, -2.01f);
    BAD(n, 16385);
    BAD(n, UINT32_MAX);
    BAD(min_tokens, 3);
    BAD(n_logprobs, 22);
    BAD(n_logprobs, -2);
    BAD(n_logprobs, -1);
    BAD(n_prompt_logprobs, 22);
    BAD(n_prompt_logprobs, INT32_MIN);
    REFUSE_S(flags, 32, LLM_ERR_UNSUPPORTED, "flags");
    REFUSE_S(reserved0, 1, LLM_ERR_UNSUPPORTED, "reserved0");
    REFUSE_S(guide_kind, 7, LLM_ERR_UNSUPPORTED, "guide_kind");
    REFUSE_S(guide_kind, -1, LLM_ERR_UNSUPPORTED, "guide_kind");
    REFUSE_S(guide_kind, LLM_GUIDE_JSON_OBJECT, LLM_ERR_UNSUPPORTED, "guide_kind");
}

static void greedy_takes_one_completion(void **state)
{
    llm_sampling_params_t s = valid_sampling();

    s.temperature = 0;
    s.n = 2;
    refuse_sampling(&s, LLM_ERR_INVALID, "n");
}

static void sampling_lists(void **state)
{
    static const char *const empty[] = {""}, *const null[] = {NULL}, *const bad[] = {"\xff"};
    static const int32_t          below[] = { -1 }, beyond[] = { INT32_MAX };
    static const llm_logit_bias_t bias_beyond[] = { { INT32_MAX, 1 } }, bias_nan[] = { { 1, NAN } };
    llm_sampling_params_t         s;

#define BAD_LIST(field, count, items)                                                              \
    do {                                                                                           \
        s = valid_sampling();                                                                      \
        s.field = items;                                                                           \
        s.count = 1;                                                                               \
        refuse_sampling(&s, LLM_ERR_INVALID, #field);                                              \
    } while (0)
    BAD_LIST(stop, n_stop, NULL);
    BAD_LIST(stop, n_stop, empty);
    BAD_LIST(stop, n_stop, null);
    BAD_LIST(stop, n_stop, bad);
    BAD_LIST(bad_words, n_bad_words, NULL);
    BAD_LIST(bad_words, n_bad_words, empty);
    BAD_LIST(bad_words, n_bad_words, null);
    BAD_LIST(stop_token_ids, n_stop_token_ids, NULL);
    BAD_LIST(stop_token_ids, n_stop_token_ids, below);
    BAD_LIST(stop_token_ids, n_stop_token_ids, beyond);
    BAD_LIST(allowed_token_ids, n_allowed_token_ids, NULL);
    BAD_LIST(allowed_token_ids, n_allowed_token_ids, below);
    BAD_LIST(allowed_token_ids, n_allowed_token_ids, beyond);
    BAD_LIST(logit_bias, n_logit_bias, NULL);
    BAD_LIST(logit_bias, n_logit_bias, bias_beyond);
    BAD_LIST(logit_bias, n_logit_bias, bias_nan);
}

static void request_options(void **state)
{
    static const struct { llm_option_t o; llm_status_t status; const char *param; } cases[] = {
        { { NULL, "1" }, LLM_ERR_INVALID, NULL },
        { { "top_p", NULL }, LLM_ERR_INVALID, NULL },
        { { "top_p", "0" }, LLM_ERR_INVALID, "top_p" },
        { { "top-p", "1.5" }, LLM_ERR_INVALID, "top_p" },
        { { "n", "0" }, LLM_ERR_INVALID, "n" },
        { { "max_tokens", "0" }, LLM_ERR_INVALID, "max_tokens" },
        { { "stop", "[" }, LLM_ERR_INVALID, "stop" },
        { { "temprature", "1" }, LLM_ERR_INVALID, "temprature" },
        { { "block-size", "16" }, LLM_ERR_INVALID, "block-size" },
        { { "structured_outputs", "{}" }, LLM_ERR_UNSUPPORTED, "structured_outputs" },
        { { "logprobs", "21" }, LLM_ERR_INVALID, "n_logprobs" },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        llm_request_t r = valid_request();
        r.options = &cases[i].o;
        r.n_options = 1;
        refuse_request(&r, cases[i].status, cases[i].param);
    }
}

/* ---- The rest ------------------------------------------------------------------------------- */

static void unknown_requests_and_idle_engines(void **state)
{
    assert_int_equal(llm_engine_step(engine, NULL), LLM_OK);        /* earlier tests' places */
    llm_engine_notify(engine);
    assert_int_equal(llm_engine_wait(engine, 1000), LLM_OK);        /* ended by the notify */
    assert_int_equal(llm_engine_wait(engine, 0), LLM_ERR_TIMEOUT);
    assert_int_equal(llm_engine_abort(engine, 0), LLM_ERR_NOT_FOUND);
    assert_int_equal(llm_engine_abort(engine, UINT64_MAX), LLM_ERR_NOT_FOUND);
    llm_engine_abort_all(engine);
    assert_int_equal(llm_engine_step(engine, NULL), LLM_OK);
    assert_null(llm_engine_next_output(engine));
    assert_int_equal(llm_engine_reset_prefix_cache(engine), LLM_OK);
}

static void metrics_buffers(void **state)
{
    size_t n, m;
    char  *text;

    assert_int_equal(llm_engine_metrics(engine, NULL, 0, &n), LLM_OK);
    assert_true(n > 100);
    text = calloc(1, 2 * n);
    assert_int_equal(llm_engine_metrics(engine, text, 10, &m), LLM_ERR_NO_SPACE);
    assert_true(m >= 100);
    assert_int_equal(text[10], 0);
    assert_int_equal(llm_engine_metrics(engine, text, 2 * n, &m), LLM_OK);
    assert_int_equal(text[m], '\0');
    free(text);
}

/* One bad request of a batch fails alone. */
static void batch_arguments(void **state)
{
    llm_sampling_params_t s = valid_sampling(), bad = valid_sampling();
    llm_request_t         good_one = valid_request(), bad_one = valid_request();
    const llm_request_t  *rs[] = { &good_one, &bad_one, NULL, &good_one };
    llm_batch_t          *batch;
    llm_error_t           err = { 0 };

    good_one.sampling = &s;
    bad.top_p = 1.5f;
    bad_one.sampling = &bad;
    assert_int_equal(llm_generate_batch(engine, NULL, 0, NULL, NULL, &batch, &err), LLM_OK);
    assert_null(llm_batch_output(batch, 0, 0));
    llm_batch_destroy(batch);
    if (llm_generate_batch(engine, rs, 4, NULL, NULL, &batch, &err) != LLM_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < 4; i++) {
        const llm_output_t *o = llm_batch_output(batch, i, 0);
        assert_non_null(o);
        assert_int_equal(o->last, 1);
        if (i == 0 || i == 3) {
            assert_int_equal(o->n_tokens, 2);
            assert_null(o->error);
            continue;
        }
        assert_int_equal(o->finish_reason, LLM_FINISH_ERROR);
        assert_non_null(o->error);
        check_error(o->error, LLM_ERR_INVALID, i == 1 ? "top_p" : NULL);
        assert_null(llm_batch_output(batch, i, 1));
    }
    assert_null(llm_batch_output(batch, 4, 0));
    assert_null(llm_batch_output(batch, SIZE_MAX, SIZE_MAX));
    llm_batch_destroy(batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_exist_for_every_number),
        cmocka_unit_test(options_end),
        cmocka_unit_test(config_sizes),
        cmocka_unit_test(request_and_sampling_sizes),
        cmocka_unit_test(filled_sizes),
        cmocka_unit_test(null_where_something_must_be),
        cmocka_unit_test(tokenizer_arguments),
        cmocka_unit_test(tokenizer_calls),
        cmocka_unit_test(config_fields),
        cmocka_unit_test(config_options),
        cmocka_unit_test(request_fields),
        cmocka_unit_test(sampling_scalars),
        cmocka_unit_test(greedy_takes_one_completion),
        cmocka_unit_test(sampling_lists),
        cmocka_unit_test(request_options),
        cmocka_unit_test(unknown_requests_and_idle_engines),
        cmocka_unit_test(metrics_buffers),
        cmocka_unit_test(batch_arguments),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
