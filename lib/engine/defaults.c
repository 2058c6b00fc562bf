/* SPDX-License-Identifier: Apache-2.0 */
/* What requests get that do not say otherwise: generation_config.json, what lies over it, and the
 * chat template. */
#include "engine/engine_int.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/io.h"
#include "base/json.h"
#include "engine/options_int.h"
#include "text/chat.h"

#define GENERATION_CONFIG_MAX (1u << 20)
#define TEMPLATE_MAX          (16u << 20)

/* The keys that vLLM takes over from a generation_config.json. */
static const struct {
    const char *key, *option;       /* option: of a request, whose range holds */
    size_t      offset;
    bool        is_count;           /* uint32_t, else float */
} fields[] = {
    { "temperature", "temperature", offsetof(llm_sampling_params_t, temperature), false },
    { "top_p", "top_p", offsetof(llm_sampling_params_t, top_p), false },
    { "min_p", "min_p", offsetof(llm_sampling_params_t, min_p), false },
    { "repetition_penalty", "repetition_penalty",
      offsetof(llm_sampling_params_t, repetition_penalty), false },
    { "top_k", "top_k", offsetof(llm_sampling_params_t, top_k), true },
    { "max_new_tokens", "max_tokens", offsetof(llm_sampling_params_t, max_tokens), true },
};

void lls_sampling_defaults(llm_sampling_params_t *p)
{
    *p = (llm_sampling_params_t){ .struct_size = sizeof *p, .temperature = 1, .top_p = 1,
                                  .repetition_penalty = 1, .n = 1, .max_tokens = 16 };
}

/* False, and nothing is changed, if the value is of another type. */
static bool put(llm_sampling_params_t *d, size_t i, const json_t *v)
{
    void      *to = (char *)d + fields[i].offset;
    json_int_t n = json_integer_value(v);

    if (n == -1 && strcmp(fields[i].key, "top_k") == 0)
        n = 0;                      /* both are all tokens (vLLM) */
    if (fields[i].is_count && json_is_integer(v) && n >= 0 && n < UINT32_MAX)
        *(uint32_t *)to = (uint32_t)n;
    else if (!fields[i].is_count && json_is_number(v) && isfinite(json_number_value(v)))
        *(float *)to = (float)json_number_value(v);
    else
        return false;
    return true;
}

static llm_status_t lay_file_over(lls_engine_t *e, llm_error_t *err)
{
    const lls_engine_options_t *o = &e->options;
    const char                 *folder = strcmp(o->generation_config, "auto") == 0
                                             ? o->model : o->generation_config;
    llm_status_t                st = LLM_OK;
    json_t                     *j = NULL;
    char                       *path;

    if (strcmp(o->generation_config, "vllm") == 0 || !lls_path_is_dir(folder))
        return LLM_OK;
    path = lls_path_join(&e->mem, folder, "generation_config.json");
    if (path == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "generation_config.json");
    if (lls_path_exists(path))
        st = lls_json_load(&e->mem, path, GENERATION_CONFIG_MAX, &j, err);
    for (size_t i = 0; i < LLS_ARRAY_LEN(fields); i++)
        put(&e->defaults, i, json_object_get(j, fields[i].key));    /* files say null, and worse */
    json_decref(j);
    lls_free(&e->mem, path);
    return st;
}

static llm_status_t override(llm_sampling_params_t *d, size_t i, const json_t *v, llm_error_t *err)
{
    static const char       name[] = "override-generation-config";
    const lls_option_def_t *def = lls_option_find(LLM_SCOPE_REQUEST, fields[i].option);

    if (v == NULL || json_is_null(v))
        return LLM_OK;
    if (!put(d, i, v))
        return lls_fail_param(err, LLM_ERR_INVALID, name, "%s.%s must be %s", name, fields[i].key,
                              fields[i].is_count ? "an integer of at least 0" : "a number");
    return fields[i].is_count && json_integer_value(v) < 0
               ? LLM_OK
               : lls_option_check_float(def, name, json_number_value(v), err);
}

static llm_status_t lay_options_over(lls_engine_t *e, llm_error_t *err)
{
    const char  *text = e->options.override_generation_config;
    llm_status_t st;
    json_t      *j;

    if (text == NULL)
        return LLM_OK;
    st = lls_json_parse("override-generation-config", text, strlen(text), &j, err);
    for (size_t i = 0; st == LLM_OK && i < LLS_ARRAY_LEN(fields); i++)
        st = override(&e->defaults, i, json_object_get(j, fields[i].key), err);
    json_decref(j);
    return st;
}

/* A file, or the template itself (vLLM: what could be a path and is none is a mistake). */
static llm_status_t take_template(lls_engine_t *e, llm_error_t *err)
{
    const char  *given = e->options.chat_template;
    char        *text = NULL;
    size_t       len = 0;
    llm_status_t st = LLM_OK;

    if (e->tokenizer != NULL)
        lls_chat_set_time(e->tokenizer, e->options.template_time);
    if (given == NULL)
        return LLM_OK;
    if (e->tokenizer == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "chat-template",
                              "chat-template needs a tokenizer, and skip-tokenizer-init is set");
    if (lls_path_exists(given))
        st = lls_read_file(&e->mem, given, TEMPLATE_MAX, &text, &len, err);
    else if (strpbrk(given, "{}\n") == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "chat-template",
                              "chat-template %.200s is neither a file nor a template", given);
    if (st == LLM_OK)
        st = lls_chat_set_template(e->tokenizer, text != NULL ? text : given,
                                   text != NULL ? len : strlen(given), err);
    lls_free(&e->mem, text);
    return st;
}

llm_status_t lls_engine_lay_defaults(lls_engine_t *e, llm_error_t *err)
{
    llm_status_t st = lay_file_over(e, err);

    if (st == LLM_OK)
        st = lay_options_over(e, err);
    return st == LLM_OK ? take_template(e, err) : st;
}
