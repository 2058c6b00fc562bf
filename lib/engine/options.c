/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/options.h"

#include <stdio.h>
#include <string.h>

#include "engine/options_int.h"
#include "base/json.h"
#include "base/num.h"
#include "base/utf8.h"

/* What options are laid onto; exactly one of engine and request is set. */
typedef struct target {
    int32_t                scope;
    lls_mem_t             *mem;
    void                  *base;
    lls_request_options_t *request;
} target_t;

typedef struct owned {              /* before each block that options made for a request */
    struct owned *next;
    uint64_t      pad;
} owned_t;

static llm_status_t no_memory(const char *what, llm_error_t *err)
{
    return lls_fail(err, LLM_ERR_NO_MEMORY, "value of option %s", what);
}

static void *own(lls_request_options_t *r, size_t bytes)
{
    owned_t *o = lls_zalloc(r->mem, sizeof *o + bytes);

    if (o == NULL)
        return NULL;
    o->next = r->owned;
    r->owned = o;
    return o + 1;
}

/* ---- Lists of a request --------------------------------------------------------------------- */

static llm_status_t fail_json(const lls_option_def_t *def, const char *what, llm_error_t *err)
{
    return lls_fail_param(err, LLM_ERR_INVALID, def->info.name, "%s must be %s", def->info.name,
                          what);
}

/* A string, or an array of strings. */
static llm_status_t put_strings(lls_request_options_t *r, const lls_option_def_t *def,
                                const json_t *json, const char *const **out, size_t *n_out,
                                llm_error_t *err)
{
    bool         one = json_is_string(json);
    size_t       n = one ? 1 : json_array_size(json);
    const char **texts = own(r, (n + 1) * sizeof *texts);

    if (texts == NULL)
        return no_memory(def->info.name, err);
    if (!one && !json_is_array(json))
        return fail_json(def, "a string or an array of strings", err);
    for (size_t i = 0; i < n; i++) {
        const json_t *item = one ? json : json_array_get(json, i);
        char         *copy;

        if (!json_is_string(item) || strlen(json_string_value(item)) != json_string_length(item))
            return fail_json(def, "strings without NUL: one, or an array of them", err);
        copy = own(r, json_string_length(item) + 1);
        if (copy == NULL)
            return no_memory(def->info.name, err);
        memcpy(copy, json_string_value(item), json_string_length(item) + 1);
        texts[i] = copy;
    }
    *out = texts;
    *n_out = n;
    return LLM_OK;
}

static bool token_of(const json_t *item, int32_t *token)
{
    json_int_t v = json_integer_value(item);

    *token = (int32_t)v;
    return json_is_integer(item) && v >= INT32_MIN && v <= INT32_MAX;
}

static llm_status_t put_tokens(lls_request_options_t *r, const lls_option_def_t *def,
                               const json_t *json, const int32_t **out, size_t *n_out,
                               llm_error_t *err)
{
    size_t   n = json_array_size(json);
    int32_t *ids = own(r, (n + 1) * sizeof *ids);

    if (ids == NULL)
        return no_memory(def->info.name, err);
    if (!json_is_array(json))
        return fail_json(def, "an array of token ids", err);
    for (size_t i = 0; i < n; i++)
        if (!token_of(json_array_get(json, i), &ids[i]))
            return fail_json(def, "an array of token ids", err);
    *out = ids;
    *n_out = n;
    return LLM_OK;
}

static bool bias_of(const char *key, const json_t *value, llm_logit_bias_t *out)
{
    long long token = 0;
    bool      negative = *key == '-';
    size_t    n = strspn(key += negative, "0123456789");

    if (n == 0 || n > 9 || key[n] != '\0' || !json_is_number(value))
        return false;
    for (; *key != '\0'; key++)
        token = token * 10 + (*key - '0');
    *out = (llm_logit_bias_t){ .token = (int32_t)(negative ? -token : token),
                               .bias = (float)json_number_value(value) };
    return true;
}

static llm_status_t put_bias(lls_request_options_t *r, const lls_option_def_t *def, json_t *json,
                             llm_error_t *err)
{
    size_t            n = json_object_size(json), i = 0;
    llm_logit_bias_t *bias = own(r, (n + 1) * sizeof *bias);
    const char       *key;
    json_t           *value;

    if (bias == NULL)
        return no_memory(def->info.name, err);
    if (!json_is_object(json))
        return fail_json(def, "an object of token id to a number", err);
    json_object_foreach(json, key, value)
        if (!bias_of(key, value, &bias[i++]))
            return lls_fail_param(err, LLM_ERR_INVALID, def->info.name,
                                  "%s contains \"%.60s\", which is not a token id with a number",
                                  def->info.name, key);
    r->sampling.logit_bias = bias;
    r->sampling.n_logit_bias = n;
    return LLM_OK;
}

static llm_status_t put_text(lls_request_options_t *r, const lls_option_def_t *def,
                             const char *text, const char **out, llm_error_t *err)
{
    char *copy = own(r, strlen(text) + 1);

    if (copy == NULL)
        return no_memory(def->info.name, err);
    memcpy(copy, text, strlen(text) + 1);
    *out = copy;
    return LLM_OK;
}

/* vLLM counts the likeliest, llm.h the entries; true is 1. */
static int32_t entries_of(const lls_option_value_t *v)
{
    if (v->is_special)
        return v->text[0] == 't' || v->text[0] == 'T' ? 2 : 0;
    return v->i < 0 ? -1 : (int32_t)v->i + 1;
}

static bool size_of_key(const json_t *value, uint32_t *size)
{
    json_int_t v = json_integer_value(value);

    *size = (uint32_t)v;
    return json_is_integer(value) && v >= 0 && v <= UINT32_MAX;
}

static llm_status_t check_repetition(const lls_repetition_params_t *p, const char *name,
                                     llm_error_t *err)
{
    if (p->min_pattern_size > p->max_pattern_size)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "max_pattern_size, min_pattern_size must be >=0, with "
                              "min_pattern_size <= max_pattern_size, got %u and %u; set both to 0 "
                              "to disable repetitive pattern detection", p->max_pattern_size,
                              p->min_pattern_size);
    if (p->max_pattern_size > 0 && p->min_count < 2)
        return lls_fail_param(err, LLM_ERR_INVALID, name,
                              "min_count must be >= 2 to detect repetitive patterns in engine "
                              "output, got %u; set max_pattern_size to 0 to detect none",
                              p->min_count);
    return LLM_OK;
}

static llm_status_t put_repetition(lls_request_options_t *r, const lls_option_def_t *def,
                                   json_t *json, llm_error_t *err)
{
    lls_repetition_params_t *p = &r->repetition;
    const char              *key;
    json_t                  *value;

    if (!json_is_object(json))
        return fail_json(def, "a JSON object", err);
    *p = (lls_repetition_params_t){ 0 };
    json_object_foreach(json, key, value) {
        uint32_t *to = strcmp(key, "max_pattern_size") == 0   ? &p->max_pattern_size
                       : strcmp(key, "min_pattern_size") == 0 ? &p->min_pattern_size
                       : strcmp(key, "min_count") == 0        ? &p->min_count
                                                              : NULL;
        if (to == NULL)
            return lls_fail_param(err, LLM_ERR_INVALID, def->info.name,
                                  "%s has max_pattern_size, min_pattern_size and min_count, not "
                                  "\"%.60s\"", def->info.name, key);
        if (!size_of_key(value, to))
            return lls_fail_param(err, LLM_ERR_INVALID, def->info.name,
                                  "%s.%s must be an integer >= 0 and below 2^32", def->info.name,
                                  key);
    }
    return check_repetition(p, def->info.name, err);
}

static llm_status_t put_list(lls_request_options_t *r, const lls_option_def_t *def,
                             const lls_option_value_t *v, llm_error_t *err)
{
    llm_sampling_params_t *s = &r->sampling;

    switch (def->arg) {
    case LLS_LIST_STOP:
        return put_strings(r, def, v->json, &s->stop, &s->n_stop, err);
    case LLS_LIST_BAD_WORDS:
        return put_strings(r, def, v->json, &s->bad_words, &s->n_bad_words, err);
    case LLS_LIST_STOP_IDS:
        return put_tokens(r, def, v->json, &s->stop_token_ids, &s->n_stop_token_ids, err);
    case LLS_LIST_ALLOWED:
        if (json_is_array(v->json) && json_array_size(v->json) == 0)
            return lls_fail_param(err, LLM_ERR_INVALID, def->info.name,
                                  "%s is not None and empty; give a token id or null",
                                  def->info.name);
        return put_tokens(r, def, v->json, &s->allowed_token_ids, &s->n_allowed_token_ids, err);
    case LLS_LIST_LOGPROB_IDS:
        return put_tokens(r, def, v->json, &r->more.logprob_ids, &r->more.n_logprob_ids, err);
    case LLS_LIST_PROMPT_LOGPROB_IDS:
        return put_tokens(r, def, v->json, &r->more.prompt_logprob_ids,
                          &r->more.n_prompt_logprob_ids, err);
    case LLS_LIST_THINK:
        r->more.think_limit = v->is_special || v->i < 0 ? 0 : (uint32_t)v->i + 1;
        return LLM_OK;
    case LLS_LIST_EXTRA_ARGS:
        if (!json_is_object(v->json))
            return fail_json(def, "a JSON object", err);
        return put_text(r, def, v->text, &r->extra_args, err);
    case LLS_LIST_BIAS:
        return put_bias(r, def, v->json, err);
    case LLS_LIST_SALT:
        return put_text(r, def, v->text, &r->cache_salt, err);
    case LLS_LIST_REPETITION:
        return put_repetition(r, def, v->json, err);
    case LLS_LIST_REQUEST_ID:
        return put_text(r, def, v->text, &r->request_id, err);
    case LLS_LIST_SEED:
        s->seed = v->is_special ? 0 : (uint64_t)(int64_t)v->i;
        s->flags = v->is_special ? s->flags & ~(uint32_t)LLM_SAMPLE_SEEDED
                                 : s->flags | LLM_SAMPLE_SEEDED;
        return LLM_OK;
    case LLS_LIST_LOGPROBS:
        s->n_logprobs = entries_of(v);
        return LLM_OK;
    case LLS_LIST_PROMPT_LOGPROBS:
        s->n_prompt_logprobs = entries_of(v);
        return LLM_OK;
    default:
        return lls_fail(err, LLM_ERR_INTERNAL, "option %s goes nowhere", def->info.name);
    }
}

/* Without its list: null stands for it in every json option of a request. */
static void drop_list(lls_request_options_t *r, uint32_t arg)
{
    switch (arg) {
    case LLS_LIST_STOP:               r->sampling.n_stop = 0; break;
    case LLS_LIST_BAD_WORDS:          r->sampling.n_bad_words = 0; break;
    case LLS_LIST_STOP_IDS:           r->sampling.n_stop_token_ids = 0; break;
    case LLS_LIST_ALLOWED:            r->sampling.n_allowed_token_ids = 0; break;
    case LLS_LIST_BIAS:               r->sampling.n_logit_bias = 0; break;
    case LLS_LIST_EXTRA_ARGS:         r->extra_args = NULL; break;
    case LLS_LIST_LOGPROB_IDS:
        r->more.logprob_ids = NULL;
        r->more.n_logprob_ids = 0;
        break;
    case LLS_LIST_PROMPT_LOGPROB_IDS:
        r->more.prompt_logprob_ids = NULL;
        r->more.n_prompt_logprob_ids = 0;
        break;
    case LLS_LIST_REPETITION:         r->repetition.max_pattern_size = 0; break;
    default:                          break;
    }
}

/* ---- Values into fields --------------------------------------------------------------------- */

static llm_status_t put_string(const target_t *t, const lls_option_def_t *def, const char *text,
                               llm_error_t *err)
{
    char **field = (char **)((char *)t->base + def->offset), *copy;

    if (strcmp(text, "half") == 0 && strcmp(def->info.name, "dtype") == 0)
        text = "float16";
    if (strcmp(text, "float") == 0 && strcmp(def->info.name, "dtype") == 0)
        text = "float32";
    copy = lls_strdup(t->mem, text);
    if (copy == NULL)
        return no_memory(def->info.name, err);
    lls_free(t->mem, *field);
    *field = copy;
    return LLM_OK;
}

static llm_status_t put_value(const target_t *t, const lls_option_def_t *def,
                              const lls_option_value_t *v, llm_error_t *err)
{
    void     *field = (char *)t->base + def->offset;
    uint32_t *bits = field;

    switch (def->put) {
    case LLS_PUT_IGNORE:     break;
    case LLS_PUT_U32:        *(uint32_t *)field = (uint32_t)v->i; break;
    case LLS_PUT_U64:        *(uint64_t *)field = (uint64_t)v->i; break;
    case LLS_PUT_I32:        *(int32_t *)field = (int32_t)v->i; break;
    case LLS_PUT_I64:        *(int64_t *)field = (int64_t)v->i; break;
    case LLS_PUT_F32:        *(float *)field = (float)v->f; break;
    case LLS_PUT_BOOL:       *(bool *)field = v->b; break;
    case LLS_PUT_WORD_INDEX: *(int32_t *)field = (int32_t)v->word; break;
    case LLS_PUT_WORD_BOOL:  *(bool *)field = v->word == 1; break;
    case LLS_PUT_FLAG:       *bits = v->b ? *bits | def->arg : *bits & ~def->arg; break;
    case LLS_PUT_NOT_FLAG:   *bits = v->b ? *bits & ~def->arg : *bits | def->arg; break;
    case LLS_PUT_STRING:     return put_string(t, def, v->text, err);
    default:                 return put_list(t->request, def, v, err);
    }
    return LLM_OK;
}

/* Rows that lead nowhere take their default, in any spelling, and null. */
static llm_status_t refuse_unless_default(const lls_option_def_t *def, const char *param,
                                          const lls_option_value_t *v, llm_error_t *err)
{
    lls_option_value_t d = { 0 };

    if (json_is_null(v->json) || v->is_special)
        return LLM_OK;
    if (def->info.default_value != NULL &&
        lls_option_parse(def, param, def->info.default_value, &d, NULL) == LLM_OK && d.i == v->i &&
        d.b == v->b && d.word == v->word)
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_UNSUPPORTED, param, "%s %.100s is not in this version (%s)",
                          def->info.name, v->text, def->info.help);
}

static llm_status_t apply(const target_t *t, const lls_option_def_t *def, const char *param,
                          const char *text, llm_error_t *err)
{
    lls_option_value_t v;
    llm_status_t       st = lls_option_parse(def, param, text, &v, err);

    if (st != LLM_OK)
        return st;
    if (def->put == LLS_PUT_NOWHERE)
        st = refuse_unless_default(def, param, &v, err);
    else if (json_is_null(v.json) && t->request != NULL)
        drop_list(t->request, def->arg);
    else if (v.json != NULL && t->request == NULL && !json_is_object(v.json))
        st = fail_json(def, "a JSON object", err);
    else
        st = put_value(t, def, &v, err);
    json_decref(v.json);
    return st;
}

/* ---- By name -------------------------------------------------------------------------------- */

static llm_status_t fail_unknown(const target_t *t, const char *name, llm_error_t *err)
{
    int32_t other = t->scope == LLM_SCOPE_ENGINE ? LLM_SCOPE_REQUEST : LLM_SCOPE_ENGINE;

    if (lls_option_find(other, name) != NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, name, "%.100s is an option of %s, not of %s",
                              name, other == LLM_SCOPE_ENGINE ? "the engine" : "a request",
                              other == LLM_SCOPE_ENGINE ? "a request" : "the engine");
    return lls_fail_param(err, LLM_ERR_INVALID, name,
                          "option %.100s is not known; the nearest is %s", name,
                          lls_option_nearest(t->scope, name)->info.name);
}

static llm_status_t apply_options(const target_t *t, const llm_option_t *options, size_t n,
                                  llm_error_t *err)
{
    if (n > 0 && options == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "options",
                              "options is NULL but n_options is %zu", n);
    for (size_t i = 0; i < n; i++) {
        const char             *name = options[i].name;
        const lls_option_def_t *def;
        llm_status_t            st;

        if (name == NULL || lls_utf8_valid(name, strlen(name)) != strlen(name))
            return lls_fail_param(err, LLM_ERR_INVALID, "options", "name of option %zu is %s", i,
                                  name == NULL ? "NULL" : "not UTF-8");
        def = lls_option_find(t->scope, name);
        if (def == NULL)
            return fail_unknown(t, name, err);
        if (options[i].value == NULL)
            return lls_fail_param(err, LLM_ERR_INVALID, def->info.name,
                                  "value of option %s is NULL", def->info.name);
        st = apply(t, def, def->info.name, options[i].value, err);
        if (st != LLM_OK)
            return st;
    }
    return LLM_OK;
}

static llm_status_t apply_defaults(const target_t *t, llm_error_t *err)
{
    const lls_option_def_t *def;
    llm_status_t            st = LLM_OK;

    for (size_t i = 0; st == LLM_OK && (def = lls_option_def(i)) != NULL; i++)
        if (def->info.scope == t->scope && def->info.default_value != NULL &&
            def->put != LLS_PUT_NOWHERE)
            st = apply(t, def, def->info.name, def->info.default_value, err);
    return st;
}

/* ---- Engine --------------------------------------------------------------------------------- */

/* Fields go through the text of their option, so that one place knows ranges and types. */
static llm_status_t apply_text_field(const target_t *t, const char *name, const char *option,
                                     const char *text, llm_error_t *err)
{
    return text == NULL ? LLM_OK : apply(t, lls_option_find(t->scope, option), name, text, err);
}

static llm_status_t apply_int_field(const target_t *t, const char *name, const char *option,
                                    uint64_t value, llm_error_t *err)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return apply_text_field(t, name, option, value == 0 ? NULL : text, err);
}

static llm_status_t apply_float_field(const target_t *t, const char *name, const char *option,
                                      float value, llm_error_t *err)
{
    const lls_option_def_t *def = lls_option_find(t->scope, option);
    lls_option_value_t      v = { .f = value };
    llm_status_t            st = LLM_OK;

    if (value == 0)
        return LLM_OK;
    st = lls_option_check_float(def, name, v.f, err);
    return st == LLM_OK ? put_value(t, def, &v, err) : st;
}

static llm_status_t apply_fields(const target_t *t, const llm_engine_config_t *c, llm_error_t *err)
{
    llm_status_t st = LLM_OK;

#define TEXT(field, option) \
    st = st != LLM_OK ? st : apply_text_field(t, #field, option, c->field, err)
#define INT(field, option) \
    st = st != LLM_OK ? st : apply_int_field(t, #field, option, c->field, err)
    TEXT(model, "model");
    TEXT(tokenizer, "tokenizer");
    TEXT(device, "device");
    TEXT(dtype, "dtype");
    INT(kv_cache_memory_bytes, "kv-cache-memory-bytes");
    INT(seed, "seed");
    INT(max_model_len, "max-model-len");
    INT(max_num_seqs, "max-num-seqs");
    INT(max_num_batched_tokens, "max-num-batched-tokens");
    INT(max_num_queued_reqs, "max-num-queued-reqs");
    INT(n_threads, "cpu-threads");
#undef TEXT
#undef INT
    return st != LLM_OK ? st
                        : apply_float_field(t, "gpu_memory_utilization", "gpu-memory-utilization",
                                            c->gpu_memory_utilization, err);
}

static llm_status_t check_device(const char *device, llm_error_t *err)
{
    if (strcmp(device, "auto") == 0 || strcmp(device, "cpu") == 0)
        return LLM_OK;
    if (strncmp(device, "cuda", 4) == 0 && (device[4] == '\0' || device[4] == ':'))
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "device",
                              "device %.100s: this build has no CUDA; use cpu", device);
    return lls_fail_param(err, LLM_ERR_INVALID, "device",
                          "device must be auto, cpu or cuda:N, got \"%.100s\"", device);
}

static llm_status_t check_engine(const llm_engine_config_t *c, const lls_engine_options_t *o,
                                 llm_error_t *err)
{
    if (c->log_level < 0 || c->log_level > LLM_LOG_DEBUG)
        return lls_fail_param(err, LLM_ERR_INVALID, "log_level",
                              "log_level must be in [0, %d], got %d", LLM_LOG_DEBUG, c->log_level);
    if (o->model == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "model",
                              "model is missing; give a directory or a .gguf file");
    return check_device(o->device, err);
}

llm_status_t lls_engine_options_resolve(const llm_engine_config_t *config, lls_mem_t *mem,
                                        lls_engine_options_t *out, llm_error_t *err)
{
    target_t     t = { .scope = LLM_SCOPE_ENGINE, .mem = mem, .base = out };
    llm_status_t st;

    memset(out, 0, sizeof *out);
    out->mem = mem;
    st = apply_defaults(&t, err);
    if (st == LLM_OK)
        st = apply_fields(&t, config, err);
    if (st == LLM_OK)
        st = apply_options(&t, config->options, config->n_options, err);
    if (st == LLM_OK)
        st = check_engine(config, out, err);
    if (st != LLM_OK) {
        lls_engine_options_deinit(out);
        return st;
    }
    out->log_level = config->log_level == 0 ? LLM_LOG_WARN : config->log_level;
    out->log = config->log;
    out->log_user = config->log_user;
    out->progress = config->progress;
    out->progress_user = config->progress_user;
    return LLM_OK;
}

void lls_engine_options_deinit(lls_engine_options_t *o)
{
    const lls_option_def_t *def;

    for (size_t i = 0; o->mem != NULL && (def = lls_option_def(i)) != NULL; i++)
        if (def->info.scope == LLM_SCOPE_ENGINE && def->put == LLS_PUT_STRING)
            lls_free(o->mem, *(char **)((char *)o + def->offset));
    memset(o, 0, sizeof *o);
}

/* ---- Request -------------------------------------------------------------------------------- */

llm_status_t lls_request_options_resolve(const llm_request_t *request,
                                         const llm_sampling_params_t *sampling, lls_mem_t *mem,
                                         lls_request_options_t *out, llm_error_t *err)
{
    target_t     t = { .scope = LLM_SCOPE_REQUEST, .mem = mem, .base = out, .request = out };
    const char  *salt = request->cache_salt;
    llm_status_t st;

    *out = (lls_request_options_t){
        .mem = mem, .sampling = *sampling, .cache_salt = salt,
        .priority = request->priority, .output_kind = request->output_kind,
        .stream_interval = lls_max_u32(request->stream_interval, 1),
        .truncate_prompt_tokens = LLS_NO_TRUNCATION
    };
    if (request->output_kind < LLM_OUTPUT_DELTA || request->output_kind > LLM_OUTPUT_FINAL)
        st = lls_fail_param(err, LLM_ERR_UNSUPPORTED, "output_kind",
                            "output_kind must be in [0, 2], got %d", request->output_kind);
    else if (salt != NULL && lls_utf8_valid(salt, strlen(salt)) != strlen(salt))
        st = lls_fail_param(err, LLM_ERR_INVALID, "cache_salt", "cache_salt is not UTF-8");
    else
        st = apply_options(&t, request->options, request->n_options, err);
    if (st != LLM_OK)
        lls_request_options_deinit(out);
    return st;
}

void lls_request_options_deinit(lls_request_options_t *o)
{
    owned_t *block = o->owned, *next;

    for (; block != NULL; block = next) {
        next = block->next;
        lls_free(o->mem, block);
    }
    memset(o, 0, sizeof *o);
}
