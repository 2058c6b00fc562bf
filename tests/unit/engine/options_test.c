/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/test.h"

#include <math.h>
#include <stdio.h>

#include "engine/options.h"
#include "engine/options_int.h"
#include "sample/logprobs.h"

static lls_mem_t    mem;
static test_alloc_t counts;

static int set_up(void **state)
{
    llm_allocator_t hook = test_allocator(&counts);

    memset(&counts, 0, sizeof counts);
    lls_mem_init(&mem, &hook);
    return 0;
}

static int tear_down(void **state)
{
    assert_int_equal(counts.live_bytes, 0);
    assert_int_equal(counts.live_blocks, 0);
    return 0;
}

/* Resolves one option of the scope; the result is dropped. */
static llm_status_t try_option(int32_t scope, const char *name, const char *value, llm_error_t *err)
{
    llm_option_t          option = { name, value };
    llm_engine_config_t   config = { .struct_size = sizeof config, .model = "m", .options = &option,
                                     .n_options = 1 };
    llm_request_t         request = { .struct_size = sizeof request, .options = &option,
                                      .n_options = 1 };
    llm_sampling_params_t sampling = { .struct_size = sizeof sampling };
    lls_engine_options_t  e;
    lls_request_options_t r;
    llm_status_t          st;

    memset(err, 0, sizeof *err);
    if (scope == LLM_SCOPE_ENGINE) {
        st = lls_engine_options_resolve(&config, &mem, &e, err);
        lls_engine_options_deinit(&e);
    } else {
        st = lls_request_options_resolve(&request, &sampling, &mem, &r, err);
        lls_request_options_deinit(&r);
    }
    assert_int_equal(counts.live_bytes, 0);
    assert_int_equal(err->status, st);
    return st;
}

static void expect(const lls_option_def_t *def, const char *value, llm_status_t status)
{
    llm_error_t  err;
    llm_status_t st = try_option(def->info.scope, def->info.name, value, &err);

    if (st != status)
        fail_msg("%s=%s gives %d, not %d: %s", def->info.name, value, st, status, err.message);
    if (st == LLM_OK)
        return;
    assert_string_equal(err.param, def->info.name);
    if (strstr(err.message, def->info.name) == NULL)
        fail_msg("message does not name %s: %s", def->info.name, err.message);
}

/* ---- Every row of the table ----------------------------------------------------------------- */

static void check_bound(const lls_option_def_t *def, const char *bound, size_t len, bool closed,
                        int outward)
{
    bool      is_int = strcmp(def->info.type, "int") == 0, nowhere = def->put == LLS_PUT_NOWHERE;
    char      text[64], beyond[64];
    __int128  v = 0;
    char     *at = beyond + sizeof beyond - 1;

    snprintf(text, sizeof text, "%.*s", (int)len, bound);
    if (strcmp(text, "inf") == 0) {
        expect(def, "inf", LLM_ERR_INVALID);
        return;
    }
    if (!nowhere)
        expect(def, text, closed ? LLM_OK : LLM_ERR_INVALID);
    if (!is_int) {
        snprintf(beyond, sizeof beyond, "%.9g", strtod(text, NULL) + outward * 1e-6);
        expect(def, beyond, LLM_ERR_INVALID);
        return;
    }
    for (const char *c = text + (*text == '-'); *c != '\0'; c++)
        v = v * 10 + (*c - '0');
    v = (*text == '-' ? -v : v) + outward;
    *at = '\0';
    for (__int128 u = v < 0 ? -v : v; u > 0 || *at == '\0'; u /= 10)
        *--at = (char)('0' + (int)(u % 10));
    if (v < 0)
        *--at = '-';
    if (lls_option_word(def->special, at) < 0)
        expect(def, at, LLM_ERR_INVALID);
}

static void check_range_of(const lls_option_def_t *def)
{
    const char *range = def->info.range, *comma = strchr(range, ',');

    assert_non_null(comma);
    check_bound(def, range + 1, (size_t)(comma - range - 1), range[0] == '[', -1);
    check_bound(def, comma + 2, strlen(comma + 2) - 1, range[strlen(range) - 1] == ']', 1);
}

static void check_types_of(const lls_option_def_t *def)
{
    static const char *const not_int[] = { "", "x", "1.5", "1e3", "0x10", " 1", "1 ", "--1", "+1",
                                           "1kk", "1.5K", "99999999999999999999999" };
    static const char *const not_float[] = { "", "x", "nan", "0x1", " 1", "1,5", "1e", "inf" };
    static const char *const not_bool[] = { "", "yes", "2", "TRUE" };
    static const char *const not_json[] = { "", "{", "[1", "nope", "{} x" };
    const char *type = def->info.type;

#define ALL_INVALID(list)                                                                          \
    for (size_t i = 0; i < sizeof(list) / sizeof *(list); i++)                                     \
        expect(def, list[i], LLM_ERR_INVALID)
    if (strcmp(type, "int") == 0)
        ALL_INVALID(not_int);
    else if (strcmp(type, "float") == 0)
        ALL_INVALID(not_float);
    else if (strcmp(type, "bool") == 0)
        ALL_INVALID(not_bool);
    else if (strcmp(type, "json") == 0)
        ALL_INVALID(not_json);
    else if (strcmp(type, "string") == 0)
        expect(def, "", LLM_ERR_INVALID);
    else
        expect(def, "no-such-word", LLM_ERR_INVALID);
    expect(def, "\xff", LLM_ERR_INVALID);
}

static void every_option_has_its_type_and_range(void **state)
{
    const lls_option_def_t *def;

    for (size_t i = 0; (def = lls_option_def(i)) != NULL; i++) {
        const llm_option_info_t *info = llm_option_info(i);
        assert_ptr_equal(info, &def->info);
        assert_int_equal(info->struct_size, sizeof *info);
        assert_true(info->scope == LLM_SCOPE_ENGINE || info->scope == LLM_SCOPE_REQUEST);
        assert_true(info->help[0] != '\0' && strlen(info->name) <= 48);
        assert_ptr_equal(lls_option_find(info->scope, info->name), def);
        check_types_of(def);
        if (info->range != NULL)
            check_range_of(def);
        if (info->default_value != NULL)
            expect(def, info->default_value, LLM_OK);
    }
    assert_null(llm_option_info(1000));
    assert_null(llm_option_info(SIZE_MAX));
}

static void words_are_taken_and_later_ones_named(void **state)
{
    const lls_option_def_t *def;

    for (size_t i = 0; (def = lls_option_def(i)) != NULL; i++) {
        char words[256], *save = NULL;

        if (strchr(def->info.type, '|') != NULL && def->put != LLS_PUT_NOWHERE) {
            snprintf(words, sizeof words, "%s", def->info.type);
            for (char *w = strtok_r(words, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save))
                expect(def, w, LLM_OK);
        }
        if (def->later != NULL) {
            snprintf(words, sizeof words, "%s", def->later);
            for (char *w = strtok_r(words, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save))
                expect(def, w, LLM_ERR_UNSUPPORTED);
        }
        if (def->special != NULL) {
            snprintf(words, sizeof words, "%s", def->special);
            for (char *w = strtok_r(words, "|", &save); w != NULL; w = strtok_r(NULL, "|", &save))
                expect(def, w, LLM_OK);
        }
    }
}

static void what_is_not_there_yet_says_so(void **state)
{
    static const struct { const char *name, *value; int32_t scope; } later[] = {
        { "tensor-parallel-size", "2", LLM_SCOPE_ENGINE },
        { "pipeline-parallel-size", "2", LLM_SCOPE_ENGINE },
        { "data-parallel-size", "4", LLM_SCOPE_ENGINE },
        { "tokenizer-mode", "slow", LLM_SCOPE_ENGINE },
        { "quantization", "awq", LLM_SCOPE_ENGINE },
        { "enable-lora", "true", LLM_SCOPE_ENGINE },
        { "speculative-config", "{}", LLM_SCOPE_ENGINE },
        { "device", "cuda:1", LLM_SCOPE_ENGINE },
        { "structured_outputs", "{}", LLM_SCOPE_REQUEST },
    };
    llm_error_t err;

    for (size_t i = 0; i < sizeof later / sizeof *later; i++) {
        assert_int_equal(try_option(later[i].scope, later[i].name, later[i].value, &err),
                         LLM_ERR_UNSUPPORTED);
        assert_string_equal(err.param, later[i].name);
    }
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "structured_outputs", "null", &err), LLM_OK);
}

/* ---- Names ---------------------------------------------------------------------------------- */

static void unknown_names_get_the_nearest_known_one(void **state)
{
    static const struct { const char *name, *nearest; int32_t scope; } cases[] = {
        { "max-num-seq", "max-num-seqs", LLM_SCOPE_ENGINE },
        { "maxmodellen", "max-model-len", LLM_SCOPE_ENGINE },
        { "prefix-caching", "enable-prefix-caching", LLM_SCOPE_ENGINE },
        { "temprature", "temperature", LLM_SCOPE_REQUEST },
        { "topp", "top_p", LLM_SCOPE_REQUEST },
        { "max_token", "max_tokens", LLM_SCOPE_REQUEST },
    };
    llm_error_t err;
    char        lengthy[3000];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(try_option(cases[i].scope, cases[i].name, "1", &err), LLM_ERR_INVALID);
        assert_string_equal(err.param, cases[i].name);
        assert_non_null(strstr(err.message, cases[i].nearest));
    }
    assert_int_equal(try_option(LLM_SCOPE_ENGINE, "temperature", "1", &err), LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "of a request, not of the engine"));
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "block_size", "16", &err), LLM_ERR_INVALID);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "", "16", &err), LLM_ERR_INVALID);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, NULL, "16", &err), LLM_ERR_INVALID);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "\xc0", "16", &err), LLM_ERR_INVALID);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "top_k", NULL, &err), LLM_ERR_INVALID);
    assert_string_equal(err.param, "top_k");
    memset(lengthy, 'x', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    assert_int_equal(try_option(LLM_SCOPE_ENGINE, lengthy, "1", &err), LLM_ERR_INVALID);
}

static void dashes_equal_underscores(void **state)
{
    llm_error_t err;

    assert_int_equal(try_option(LLM_SCOPE_ENGINE, "max_num-seqs", "4", &err), LLM_OK);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "top-p", "0.5", &err), LLM_OK);
}

/* ---- Engine --------------------------------------------------------------------------------- */

static void resolve(const llm_engine_config_t *config, lls_engine_options_t *o)
{
    llm_error_t err;

    if (lls_engine_options_resolve(config, &mem, o, &err) != LLM_OK)
        fail_msg("%s", err.message);
}

static void an_empty_config_has_the_defaults(void **state)
{
    llm_engine_config_t  config = { .struct_size = sizeof config, .model = "dir" };
    lls_engine_options_t o;

    resolve(&config, &o);
    assert_string_equal(o.model, "dir");
    assert_null(o.tokenizer);
    assert_null(o.hf_overrides);
    assert_null(o.served_model_name);
    assert_string_equal(o.device, "auto");
    assert_string_equal(o.dtype, "auto");
    assert_string_equal(o.kv_cache_dtype, "auto");
    assert_string_equal(o.load_format, "auto");
    assert_string_equal(o.quantization, "none");
    assert_string_equal(o.cpu_isa, "auto");
    assert_null(o.cpu_affinity);
    assert_string_equal(o.huge_pages, "transparent");
    assert_string_equal(o.generation_config, "auto");
    assert_true(o.kv_cache_memory_bytes == 0 && o.seed == 0);
    assert_int_equal(o.max_model_len + o.max_num_seqs + o.max_num_batched_tokens + o.n_threads, 0);
    assert_int_equal(o.max_num_queued_reqs, 16384);
    assert_int_equal(o.block_size, 32);
    assert_int_equal(o.num_gpu_blocks_override + o.long_prefill_token_threshold, 0);
    assert_int_equal(o.stream_interval, 1);
    assert_int_equal(o.max_logprobs, 20);
    assert_true(o.gpu_memory_utilization == 0.92f);
    assert_true(o.enable_prefix_caching && o.enable_chunked_prefill);
    assert_false(o.skip_tokenizer_init || o.by_priority);
    assert_int_equal(o.log_level, LLM_LOG_WARN);
    lls_engine_options_deinit(&o);
}

static void options_beat_fields_and_the_last_wins(void **state)
{
    llm_option_t options[] = {
        { "max-num-seqs", "8" }, { "max_num_seqs", "9" }, { "dtype", "half" },
        { "max-model-len", "4k" }, { "max-num-batched-tokens", "8K" },
        { "kv-cache-memory-bytes", "1.5G" }, { "scheduling-policy", "priority" },
        { "enable-prefix-caching", "false" }, { "hf-overrides", "{\"a\": 1}" },
        { "max-logprobs", "-1" }, { "seed", "18446744073709551615" },
    };
    llm_engine_config_t config = {
        .struct_size = sizeof config, .model = "dir", .dtype = "bfloat16", .max_num_seqs = 3,
        .max_num_queued_reqs = 5, .n_threads = 2, .seed = 7, .gpu_memory_utilization = 0.1f,
        .device = "cpu", .tokenizer = "t", .kv_cache_memory_bytes = UINT64_C(1) << 40,
        .log_level = LLM_LOG_DEBUG, .options = options, .n_options = 11
    };
    lls_engine_options_t o;

    options[5].value = "1500M";
    resolve(&config, &o);
    assert_int_equal(o.max_num_seqs, 9);
    assert_string_equal(o.dtype, "float16");
    assert_int_equal(o.max_model_len, 4000);
    assert_int_equal(o.max_num_batched_tokens, 8192);
    assert_true(o.kv_cache_memory_bytes == UINT64_C(1500) << 20);
    assert_true(o.by_priority && !o.enable_prefix_caching);
    assert_string_equal(o.hf_overrides, "{\"a\": 1}");
    assert_int_equal(o.max_logprobs, -1);
    assert_true(o.seed == UINT64_MAX);
    assert_int_equal(o.max_num_queued_reqs, 5);
    assert_int_equal(o.n_threads, 2);
    assert_true(o.gpu_memory_utilization == 0.1f);
    assert_string_equal(o.tokenizer, "t");
    assert_int_equal(o.log_level, LLM_LOG_DEBUG);
    lls_engine_options_deinit(&o);

    options[3].value = "25.6k";
    options[5].value = "0.5g";
    options[4] = (llm_option_t){ "max-model-len", "auto" };
    resolve(&config, &o);
    assert_int_equal(o.max_model_len, 0);
    assert_true(o.kv_cache_memory_bytes == 500000000);
    lls_engine_options_deinit(&o);
}

#define REFUSE_FIELD(field_, value, status, param_)                                                \
    do {                                                                                           \
        llm_engine_config_t  c_ = { .struct_size = sizeof c_, .model = "m" };                      \
        lls_engine_options_t o_;                                                                   \
        llm_error_t          e_ = { 0 };                                                           \
        c_.field_ = value;                                                                         \
        assert_int_equal(lls_engine_options_resolve(&c_, &mem, &o_, &e_), status);                 \
        assert_string_equal(e_.param, param_);                                                     \
        assert_int_equal(counts.live_bytes, 0);                                                    \
    } while (0)

static void fields_have_the_ranges_of_their_options(void **state)
{
    REFUSE_FIELD(model, NULL, LLM_ERR_INVALID, "model");
    REFUSE_FIELD(model, "", LLM_ERR_INVALID, "model");
    REFUSE_FIELD(tokenizer, "", LLM_ERR_INVALID, "tokenizer");
    REFUSE_FIELD(device, "gpu", LLM_ERR_INVALID, "device");
    REFUSE_FIELD(device, "cuda:0", LLM_ERR_UNSUPPORTED, "device");
    REFUSE_FIELD(dtype, "int8", LLM_ERR_INVALID, "dtype");
    REFUSE_FIELD(kv_cache_memory_bytes, UINT64_MAX, LLM_ERR_INVALID, "kv_cache_memory_bytes");
    REFUSE_FIELD(max_model_len, UINT32_MAX, LLM_ERR_INVALID, "max_model_len");
    REFUSE_FIELD(max_num_seqs, 65537, LLM_ERR_INVALID, "max_num_seqs");
    REFUSE_FIELD(max_num_batched_tokens, UINT32_MAX, LLM_ERR_INVALID, "max_num_batched_tokens");
    REFUSE_FIELD(n_threads, 4097, LLM_ERR_INVALID, "n_threads");
    REFUSE_FIELD(gpu_memory_utilization, 1.01f, LLM_ERR_INVALID, "gpu_memory_utilization");
    REFUSE_FIELD(gpu_memory_utilization, -0.5f, LLM_ERR_INVALID, "gpu_memory_utilization");
    REFUSE_FIELD(gpu_memory_utilization, (float)NAN, LLM_ERR_INVALID, "gpu_memory_utilization");
    REFUSE_FIELD(log_level, 5, LLM_ERR_INVALID, "log_level");
    REFUSE_FIELD(log_level, -1, LLM_ERR_INVALID, "log_level");
    REFUSE_FIELD(n_options, 1, LLM_ERR_INVALID, "options");
}

/* A host may have set a locale in which 0,5 is a number and 0.5 is not. */
static void numbers_do_not_follow_the_locale(void **state)
{
    static const struct { const char *text; double value; } numbers[] = {
        { "0.5", 0.5 }, { "5e-1", 0.5 }, { ".25", 0.25 }, { "1.", 1 }, { "+1", 1 }, { "0.1", 0.1 },
        { "0.00000000000000000000000000000001", 1e-32 }, { "1.7999999999999999999999999", 1.8 },
        { "0.000001e6", 1 }, { "-0", 0 }, { "18e-1", 1.8 },
    };
    static const char *const wrong[] = { "0,5", ".", "e5", "1e", "1e+", "1..2", "0.5x", "-" };
    const lls_option_def_t  *def = lls_option_find(LLM_SCOPE_REQUEST, "temperature");
    lls_option_value_t       v;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        assert_int_equal(lls_option_parse(def, "t", numbers[i].text, &v, NULL), LLM_OK);
        assert_true((float)v.f == (float)numbers[i].value);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(lls_option_parse(def, "t", wrong[i], &v, NULL), LLM_ERR_INVALID);
}

/* ---- Requests ------------------------------------------------------------------------------- */

static void request_options_land_in_their_fields(void **state)
{
    static const llm_option_t options[] = {
        { "n", "2" }, { "temperature", "0.5" }, { "top_p", "0.25" }, { "top_k", "-1" },
        { "min_p", "0.125" }, { "repetition_penalty", "1.5" }, { "presence_penalty", "-2" },
        { "frequency_penalty", "2" }, { "seed", "-5" }, { "max_tokens", "none" },
        { "min_tokens", "3" }, { "logprobs", "4" }, { "prompt_logprobs", "-1" },
        { "stop", "[\"END\", \"\\n\"]" }, { "stop_token_ids", "[5, 6]" },
        { "allowed_token_ids", "[1,2,3]" }, { "bad_words", "\"darn\"" },
        { "logit_bias", "{\"17\": 1.5, \"3\": -100}" }, { "ignore_eos", "true" },
        { "include_stop_str_in_output", "1" }, { "skip_special_tokens", "false" },
        { "detokenize", "False" }, { "output_kind", "final_only" }, { "stream_interval", "7" },
        { "priority", "-3" }, { "cache_salt", "pepper" }, { "request_id", "r1" },
        { "truncate_prompt_tokens", "-1" }, { "skip_reading_prefix_cache", "true" },
    };
    llm_request_t         request = { .struct_size = sizeof request, .options = options,
                                      .n_options = sizeof options / sizeof *options };
    llm_sampling_params_t s = { .struct_size = sizeof s, .top_k = 40, .max_tokens = 9 };
    lls_request_options_t o;
    llm_error_t           err;

    if (lls_request_options_resolve(&request, &s, &mem, &o, &err) != LLM_OK)
        fail_msg("%s", err.message);
    s = o.sampling;
    assert_int_equal(s.n, 2);
    assert_true(s.temperature == 0.5f && s.top_p == 0.25f && s.min_p == 0.125f);
    assert_true(s.repetition_penalty == 1.5f && s.presence_penalty == -2 &&
                s.frequency_penalty == 2);
    assert_int_equal(s.top_k, 0);
    assert_true(s.seed == (uint64_t)-5);
    assert_int_equal(s.flags, LLM_SAMPLE_SEEDED | LLM_SAMPLE_IGNORE_EOS | LLM_SAMPLE_KEEP_STOP |
                              LLM_SAMPLE_KEEP_SPECIAL | LLM_SAMPLE_NO_TEXT);
    assert_true(s.max_tokens == UINT32_MAX && s.min_tokens == 3);
    assert_int_equal(s.n_logprobs, 5);
    assert_int_equal(s.n_prompt_logprobs, -1);
    assert_int_equal(s.n_stop, 2);
    assert_string_equal(s.stop[1], "\n");
    assert_true(s.n_stop_token_ids == 2 && s.stop_token_ids[1] == 6);
    assert_true(s.n_allowed_token_ids == 3 && s.allowed_token_ids[2] == 3);
    assert_int_equal(s.n_bad_words, 1);
    assert_string_equal(s.bad_words[0], "darn");
    assert_int_equal(s.n_logit_bias, 2);
    assert_true(s.logit_bias[0].token == 17 && s.logit_bias[0].bias == 1.5f);
    assert_int_equal(o.output_kind, LLM_OUTPUT_FINAL);
    assert_int_equal(o.stream_interval, 7);
    assert_int_equal(o.priority, -3);
    assert_string_equal(o.cache_salt, "pepper");
    assert_string_equal(o.request_id, "r1");
    assert_int_equal(o.truncate_prompt_tokens, -1);
    assert_true(o.skip_reading_prefix_cache);
    lls_request_options_deinit(&o);
}

static void fields_stay_where_no_option_is(void **state)
{
    static const char *const stops[] = { "x" };
    static const llm_option_t options[] = { { "logprobs", "none" }, { "seed", "-1" },
                                            { "stop", "null" }, { "cache_salt", "b" } };
    llm_request_t         request = { .struct_size = sizeof request, .options = options,
                                      .priority = 4, .cache_salt = "a", .output_kind = 1 };
    llm_sampling_params_t s = { .struct_size = sizeof s, .temperature = 0.3f, .n_logprobs = 3,
                                .seed = 9, .flags = LLM_SAMPLE_SEEDED, .stop = stops, .n_stop = 1 };
    lls_request_options_t o;

    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_memory_equal(&o.sampling, &s, sizeof s);
    assert_int_equal(o.priority, 4);
    assert_int_equal(o.stream_interval, 1);
    assert_int_equal(o.output_kind, LLM_OUTPUT_CUMULATIVE);
    assert_string_equal(o.cache_salt, "a");
    lls_request_options_deinit(&o);
    request.n_options = 4;
    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_int_equal(o.sampling.n_logprobs, 0);
    assert_int_equal(o.sampling.flags, 0);
    assert_int_equal(o.sampling.n_stop, 0);
    assert_string_equal(o.cache_salt, "b");
    lls_request_options_deinit(&o);
    request.output_kind = 3;
    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL),
                     LLM_ERR_UNSUPPORTED);
}

static void json_of_the_wrong_shape_is_refused(void **state)
{
    static const struct { const char *name, *value; } bad[] = {
        { "stop", "5" }, { "stop", "[1]" }, { "stop", "{}" }, { "stop", "\"a\\u0000b\"" },
        { "stop_token_ids", "7" }, { "stop_token_ids", "[\"7\"]" }, { "stop_token_ids", "[1.5]" },
        { "stop_token_ids", "[2147483648]" }, { "allowed_token_ids", "[]" },
        { "allowed_token_ids", "{}" }, { "bad_words", "[null]" }, { "logit_bias", "[]" },
        { "logit_bias", "{\"x\": 1}" }, { "logit_bias", "{\"--1\": 1}" },
        { "logit_bias", "{\"1\": \"2\"}" }, { "logit_bias", "{\"\": 1}" },
        { "logit_bias", "{\"99999999999\": 1}" }, { "logprob_token_ids", "5" },
        { "logprob_token_ids", "[\"5\"]" }, { "prompt_logprob_token_ids", "{}" },
        { "extra_args", "[]" }, { "extra_args", "1" }, { "repetition_detection", "[]" },
        { "repetition_detection", "{\"max_pattern_size\": 1.5}" },
        { "repetition_detection", "{\"max_pattern_size\": -1}" },
        { "repetition_detection", "{\"max_pattern_size\": 4294967296, \"min_count\": 2}" },
        { "repetition_detection", "{\"max_pattern\": 4}" },
    };
    llm_error_t err;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (try_option(LLM_SCOPE_REQUEST, bad[i].name, bad[i].value, &err) != LLM_ERR_INVALID)
            fail_msg("%s=%s: %s", bad[i].name, bad[i].value, err.message);
        assert_string_equal(err.param, bad[i].name);
    }
    assert_int_equal(try_option(LLM_SCOPE_ENGINE, "hf-overrides", "[1]", &err), LLM_ERR_INVALID);
}

static void repetition_detection_has_vllms_rules(void **state)
{
    static const llm_option_t option[] = {
        { "repetition_detection",
          "{\"max_pattern_size\": 20, \"min_pattern_size\": 3, \"min_count\": 4}" },
        { "repetition_detection", "null" } };
    llm_request_t         request = { .struct_size = sizeof request, .options = option,
                                      .n_options = 1 };
    llm_sampling_params_t s = { .struct_size = sizeof s };
    lls_request_options_t o;
    llm_error_t           err;

    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_int_equal(o.repetition.max_pattern_size, 20);
    assert_int_equal(o.repetition.min_pattern_size, 3);
    assert_int_equal(o.repetition.min_count, 4);
    lls_request_options_deinit(&o);
    request.n_options = 2;
    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_int_equal(o.repetition.max_pattern_size, 0);
    lls_request_options_deinit(&o);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "repetition_detection", "{}", &err), LLM_OK);
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "repetition_detection",
                                "{\"max_pattern_size\": 2, \"min_pattern_size\": 3}", &err),
                     LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "min_pattern_size <= max_pattern_size, got 2 and 3"));
    assert_int_equal(try_option(LLM_SCOPE_REQUEST, "repetition_detection",
                                "{\"max_pattern_size\": 2, \"min_count\": 1}", &err),
                     LLM_ERR_INVALID);
    assert_non_null(strstr(err.message, "min_count must be >= 2 to detect repetitive patterns"));
}

/* What params.c says of a field is said of the option with the same words. */
static void numbers_out_of_range_are_refused_in_vllms_words(void **state)
{
    static const struct { const char *name, *value, *message; } cases[] = {
        { "top_p", "1.5", "top_p must be in (0, 1], got 1.5" },
        { "top_p", "0", "top_p must be in (0, 1], got 0" },
        { "min_p", "-0.5", "min_p must be in [0, 1], got -0.5" },
        { "temperature", "-1", "temperature must be non-negative, got -1" },
        { "temperature", "2.5", "temperature must be in [0, 2], got 2.5" },
        { "temperature", "hot", "temperature must be a finite number in [0, 2], got \"hot\"" },
        { "repetition_penalty", "0", "repetition_penalty must be greater than zero, got 0" },
        { "presence_penalty", "3", "presence_penalty must be in [-2, 2], got 3" },
        { "n", "0", "n must be at least 1, got 0" },
        { "n", "16385", "n must be at most 16384, got 16385" },
        { "max_tokens", "0", "max_tokens must be at least 1, got 0" },
        { "min_tokens", "-1", "min_tokens must be greater than or equal to 0, got -1" },
        { "top_k", "-2", "top_k must be 0 (disable), or at least 1, got -2" },
        { "top_k", "1.5", "top_k must be an integer in" },
        { "stream_interval", "0", "stream_interval must be at least 1, got 0" },
        { "logprobs", "-2", "logprobs must be non-negative or -1, got -2" },
        { "prompt_logprobs", "-5", "prompt_logprobs must be non-negative or -1, got -5" },
        { "thinking_token_budget", "-2",
          "thinking_token_budget must be a non-negative integer or -1 for unlimited, got -2" },
        { "prompt_logprob_start", "-1", "prompt_logprob_start must be non-negative, got -1" },
        { "allowed_token_ids", "[]", "allowed_token_ids is not None and empty" },
        { "logit_bias", "{\"x\": 1}", "logit_bias contains \"x\", which is not a token id" },
    };
    llm_error_t err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(try_option(LLM_SCOPE_REQUEST, cases[i].name, cases[i].value, &err),
                         LLM_ERR_INVALID);
        assert_string_equal(err.param, cases[i].name);
        if (strstr(err.message, cases[i].message) != err.message)
            fail_msg("\"%s\", not \"%s\"", err.message, cases[i].message);
    }
    assert_int_equal(try_option(LLM_SCOPE_ENGINE, "max-logprobs", "-2", &err), LLM_ERR_INVALID);
    assert_string_equal(err.message, "max-logprobs must be at least -1, got -2");
}

static void what_has_no_member_lands_beside_them(void **state)
{
    static const llm_option_t options[] = {
        { "logprob_token_ids", "[4, 5, 4]" }, { "prompt_logprob_token_ids", "[7]" },
        { "prompt_logprob_start", "3" }, { "thinking_token_budget", "0" },
        { "extra_args", "{\"a\": [1]}" }, { "logprobs", "true" }, { "prompt_logprobs", "True" },
        { "thinking_token_budget", "-1" }, { "logprob_token_ids", "null" },
        { "prompt_logprob_token_ids", "null" }, { "extra_args", "null" },
    };
    llm_request_t         request = { .struct_size = sizeof request, .options = options,
                                      .n_options = 7 };
    llm_sampling_params_t s = { .struct_size = sizeof s, .n_logit_bias = 1 };
    llm_logit_bias_t      bias = { 1, 1 };
    lls_request_options_t o;

    s.logit_bias = &bias;
    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_true(o.more.n_logprob_ids == 3 && o.more.logprob_ids[2] == 4);
    assert_true(o.more.n_prompt_logprob_ids == 1 && o.more.prompt_logprob_ids[0] == 7);
    assert_int_equal(o.more.prompt_logprob_start, 3);
    assert_int_equal(o.more.think_limit, 1);
    assert_string_equal(o.extra_args, "{\"a\": [1]}");
    assert_int_equal(o.sampling.n_logprobs, 2);
    assert_int_equal(o.sampling.n_prompt_logprobs, 2);
    lls_request_options_deinit(&o);
    request.n_options = 11;
    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_true(o.more.logprob_ids == NULL && o.more.prompt_logprob_ids == NULL);
    assert_int_equal(o.more.n_logprob_ids + o.more.n_prompt_logprob_ids, 0);
    assert_int_equal(o.more.think_limit, 0);
    assert_null(o.extra_args);
    assert_int_equal(o.sampling.n_logit_bias, 1);       /* no null reaches another's list */
    lls_request_options_deinit(&o);
    request.n_options = 0;
    assert_int_equal(lls_request_options_resolve(&request, &s, &mem, &o, NULL), LLM_OK);
    assert_true(o.more.logprob_ids == NULL && o.more.think_limit == 0 && o.extra_args == NULL);
    lls_request_options_deinit(&o);
}

static void logprobs_modes_have_their_numbers(void **state)
{
    static const char *const words[] = { "raw_logprobs", "processed_logprobs", "raw_logits",
                                         "processed_logits" };
    llm_option_t         option = { "logprobs-mode", NULL };
    llm_engine_config_t  config = { .struct_size = sizeof config, .model = "m" };
    lls_engine_options_t o;

    resolve(&config, &o);
    assert_int_equal(o.logprobs_mode, LLS_RAW_LOGPROBS);
    lls_engine_options_deinit(&o);
    config.options = &option;
    config.n_options = 1;
    for (int32_t i = 0; i < 4; i++) {                   /* ORDER logprobs modes */
        option.value = words[i];
        resolve(&config, &o);
        assert_int_equal(o.logprobs_mode, i);
        lls_engine_options_deinit(&o);
    }
    assert_int_equal(LLS_PROCESSED_LOGITS, 3);
    assert_int_equal(LLS_RAW_LOGITS, 2);
}

/* ---- Memory --------------------------------------------------------------------------------- */

static void every_failed_allocation_is_survived(void **state)
{
    static const llm_option_t engine[] = { { "dtype", "float" }, { "hf-overrides", "{}" } };
    static const llm_option_t request[] = {{"stop", "[\"a\",\"b\"]"},
                                           {"logit_bias", "{\"1\":2}"},
                                           {"stop_token_ids", "[1]"},
                                           {"logprob_token_ids", "[1]"},
                                           {"prompt_logprob_token_ids", "[1]"},
                                           {"extra_args", "{}"},
                                           {"cache_salt", "s"}};
    llm_engine_config_t   config = { .struct_size = sizeof config, .model = "m", .options = engine,
                                     .n_options = 2 };
    llm_request_t         req = { .struct_size = sizeof req, .options = request, .n_options = 7 };
    llm_sampling_params_t s = { .struct_size = sizeof s };
    lls_engine_options_t  e;
    lls_request_options_t r;
    llm_status_t          st = LLM_ERR_NO_MEMORY;

    for (uint64_t n = 1; st != LLM_OK; n++) {
        counts.n_calls = 0;
        counts.fail_at = n;
        st = lls_engine_options_resolve(&config, &mem, &e, NULL);
        assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
        lls_engine_options_deinit(&e);
        assert_int_equal(counts.live_bytes, 0);
    }
    st = LLM_ERR_NO_MEMORY;
    for (uint64_t n = 1; st != LLM_OK; n++) {
        counts.n_calls = 0;
        counts.fail_at = n;
        st = lls_request_options_resolve(&req, &s, &mem, &r, NULL);
        assert_true(st == LLM_OK || st == LLM_ERR_NO_MEMORY);
        lls_request_options_deinit(&r);
        assert_int_equal(counts.live_bytes, 0);
    }
    counts.fail_at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_option_has_its_type_and_range, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_are_taken_and_later_ones_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_yet_says_so, set_up, tear_down),
        cmocka_unit_test_setup_teardown(unknown_names_get_the_nearest_known_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(dashes_equal_underscores, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_empty_config_has_the_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(options_beat_fields_and_the_last_wins, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_have_the_ranges_of_their_options, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_do_not_follow_the_locale, set_up, tear_down),
        cmocka_unit_test_setup_teardown(request_options_land_in_their_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(fields_stay_where_no_option_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_of_the_wrong_shape_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(repetition_detection_has_vllms_rules, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_out_of_range_are_refused_in_vllms_words, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_has_no_member_lands_beside_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(logprobs_modes_have_their_numbers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_failed_allocation_is_survived, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
