/* SPDX-License-Identifier: Apache-2.0 */
/* llm.h, the engine: pointers, sizes, flags and enums are checked here, meanings below. */
#include <string.h>

#include "api/requests.h"
#include "api/sized.h"
#include "engine/engine.h"

#define REQUEST_FLAGS (LLM_REQUEST_NO_SPECIAL | LLM_REQUEST_ECHO | LLM_REQUEST_PREFILL_ONLY)

llm_status_t lls_api_check_engine(const llm_engine_t *engine, llm_error_t *err)
{
    if (engine == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "engine", "engine is NULL");
    if (!lls_engine_is_here(engine))
        return lls_fail(err, LLM_ERR_STATE,
                        "this engine belongs to the parent process; a child after "
                        "fork() makes its own");
    return LLM_OK;
}

static llm_status_t is_null(const char *name, llm_error_t *err)
{
    return lls_fail_param(err, LLM_ERR_INVALID, name, "%s is NULL", name);
}

/* ---- Config ---------------------------------------------------------------------------------- */

static llm_status_t check_options(const llm_option_t *options, size_t n, llm_error_t *err)
{
    if (n > 0 && options == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, "options", "options is NULL, n_options is %zu",
                              n);
    for (size_t i = 0; i < n; i++)
        if (options[i].name == NULL || options[i].value == NULL)
            return lls_fail_param(err, LLM_ERR_INVALID, "options",
                                  "options[%zu].%s is NULL", i,
                                  options[i].name == NULL ? "name" : "value");
    return LLM_OK;
}

static llm_status_t take_config(const llm_engine_config_t *in, llm_engine_config_t *out,
                                llm_error_t *err)
{
    llm_status_t st;

    if (in == NULL)
        return is_null("config", err);
    st = lls_sized_take(out, sizeof *out, sizeof *out, in, "llm_engine_config_t", err);
    if (st != LLM_OK)
        return st;
    if (out->allocator != NULL && out->allocator->realloc_fn == NULL)
        return is_null("allocator->realloc_fn", err);
    return check_options(out->options, out->n_options, err);
}

LLM_API llm_status_t llm_plan(const llm_engine_config_t *config, llm_plan_t *plan, llm_error_t *err)
{
    llm_engine_config_t c;
    llm_engine_t       *e;
    llm_status_t        st;

    if (plan == NULL)
        return is_null("plan", err);
    st = take_config(config, &c, err);
    if (st != LLM_OK)
        return st;
    st = lls_engine_create(&c, true, &e, err);
    if (st == LLM_OK)
        st = lls_sized_give(plan, lls_engine_plan(e), sizeof *plan, sizeof *plan, "llm_plan_t",
                            err);
    lls_engine_destroy(e);
    return st;
}

LLM_API llm_status_t llm_engine_create(const llm_engine_config_t *config, llm_engine_t **engine,
                                       llm_error_t *err)
{
    llm_engine_config_t c;
    llm_status_t        st;

    if (engine == NULL)
        return is_null("engine", err);
    *engine = NULL;
    st = take_config(config, &c, err);
    return st == LLM_OK ? lls_engine_create(&c, false, engine, err) : st;
}

LLM_API void llm_engine_destroy(llm_engine_t *engine)
{
    if (engine != NULL && lls_engine_is_here(engine))
        lls_engine_destroy(engine);
}

LLM_API llm_status_t llm_engine_plan(const llm_engine_t *engine, llm_plan_t *plan)
{
    llm_status_t st = lls_api_check_engine(engine, NULL);

    if (st == LLM_OK && plan == NULL)
        st = LLM_ERR_INVALID;
    return st == LLM_OK ? lls_sized_give(plan, lls_engine_plan(engine), sizeof *plan, sizeof *plan,
                                         "llm_plan_t", NULL)
                        : st;
}

LLM_API const llm_tokenizer_t *llm_engine_tokenizer(const llm_engine_t *engine)
{
    if (lls_api_check_engine(engine, NULL) != LLM_OK)
        return NULL;
    return (const void *)lls_engine_tokenizer(engine);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static llm_status_t check_array(const char *name, const void *array, size_t n, llm_error_t *err)
{
    return n > 0 && array == NULL ? lls_fail_param(err, LLM_ERR_INVALID, name,
                                                   "%s is NULL, its length is %zu", name, n)
                                  : LLM_OK;
}

static llm_status_t check_strings(const char *name, const char *const *strings, size_t n,
                                  llm_error_t *err)
{
    llm_status_t st = check_array(name, strings, n, err);

    for (size_t i = 0; st == LLM_OK && i < n; i++)
        if (strings[i] == NULL)
            st = lls_fail_param(err, LLM_ERR_INVALID, name, "%s[%zu] is NULL", name, i);
    return st;
}

static llm_status_t take_sampling(const llm_sampling_params_t *in, llm_sampling_params_t *out,
                                  llm_error_t *err)
{
    llm_status_t st = lls_sized_take(out, sizeof *out, sizeof *out, in, "llm_sampling_params_t",
                                     err);

    if (st != LLM_OK || (st = check_strings("stop", out->stop, out->n_stop, err)) != LLM_OK ||
        (st = check_strings("bad_words", out->bad_words, out->n_bad_words, err)) != LLM_OK ||
        (st = check_array("stop_token_ids", out->stop_token_ids, out->n_stop_token_ids,
                          err)) != LLM_OK ||
        (st = check_array("allowed_token_ids", out->allowed_token_ids, out->n_allowed_token_ids,
                          err)) != LLM_OK)
        return st;
    return check_array("logit_bias", out->logit_bias, out->n_logit_bias, err);
}

static llm_status_t take_request(const llm_request_t *in, llm_request_t *out, llm_error_t *err)
{
    llm_status_t st = lls_sized_take(out, sizeof *out, sizeof *out, in, "llm_request_t", err);

    if (st == LLM_OK)
        st = lls_sized_check_flags(out->flags, REQUEST_FLAGS, err);
    if (st != LLM_OK)
        return st;
    if (out->reserved0 != 0)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, "reserved0",
                              "reserved0 is %u; it must be 0", out->reserved0);
    if (out->text != NULL && out->text_len == LLM_CSTR)
        out->text_len = strlen(out->text);
    if (out->chat != NULL && out->chat_len == LLM_CSTR)
        out->chat_len = strlen(out->chat);
    st = check_array("tokens", out->tokens, out->n_tokens, err);
    return st == LLM_OK ? check_options(out->options, out->n_options, err) : st;
}

LLM_API llm_status_t llm_sampling_defaults(const llm_engine_t *engine,
                                           llm_sampling_params_t *params)
{
    llm_sampling_params_t p;
    llm_status_t          st = engine == NULL ? LLM_OK : lls_api_check_engine(engine, NULL);

    if (st != LLM_OK || params == NULL)
        return st != LLM_OK ? st : LLM_ERR_INVALID;
    if (engine != NULL)
        p = *lls_engine_defaults(engine);
    else
        lls_sampling_defaults(&p);
    return lls_sized_give(params, &p, sizeof p, sizeof p, "llm_sampling_params_t", NULL);
}

LLM_API llm_status_t llm_engine_add_request(llm_engine_t *engine, const llm_request_t *request,
                                            llm_request_id_t *id, llm_error_t *err)
{
    llm_request_t         r;
    llm_sampling_params_t s;
    llm_status_t          st = lls_api_check_engine(engine, err);

    if (id != NULL)
        *id = 0;
    if (st == LLM_OK && request == NULL)
        st = is_null("request", err);
    if (st == LLM_OK)
        st = take_request(request, &r, err);
    if (st == LLM_OK && r.sampling != NULL)
        st = take_sampling(r.sampling, &s, err);
    return st == LLM_OK ? lls_engine_add(engine, &r, r.sampling == NULL ? NULL : &s, id, err) : st;
}

LLM_API llm_status_t llm_engine_abort(llm_engine_t *engine, llm_request_id_t id)
{
    llm_status_t st = lls_api_check_engine(engine, NULL);

    return st == LLM_OK ? lls_engine_abort(engine, id) : st;
}

LLM_API void llm_engine_abort_all(llm_engine_t *engine)
{
    if (lls_api_check_engine(engine, NULL) == LLM_OK)
        lls_engine_abort_all(engine);
}

LLM_API size_t llm_engine_unfinished(const llm_engine_t *engine)
{
    return lls_api_check_engine(engine, NULL) == LLM_OK ? lls_engine_unfinished(engine) : 0;
}

/* ---- Stepping -------------------------------------------------------------------------------- */

LLM_API llm_status_t llm_engine_step(llm_engine_t *engine, llm_error_t *err)
{
    llm_status_t st = lls_api_check_engine(engine, err);

    return st == LLM_OK ? lls_engine_step(engine, err) : st;
}

LLM_API const llm_output_t *llm_engine_next_output(llm_engine_t *engine)
{
    return lls_api_check_engine(engine, NULL) == LLM_OK ? lls_engine_next_output(engine) : NULL;
}

LLM_API llm_status_t llm_engine_wait(llm_engine_t *engine, int64_t timeout_us)
{
    llm_status_t st = lls_api_check_engine(engine, NULL);

    return st == LLM_OK ? lls_engine_wait(engine, timeout_us) : st;
}

LLM_API void llm_engine_notify(llm_engine_t *engine)
{
    if (lls_api_check_engine(engine, NULL) == LLM_OK)
        lls_engine_notify(engine);
}

/* ---- Batch ----------------------------------------------------------------------------------- */

void lls_api_batch_input(void *user, size_t i, lls_batch_input_t *input)
{
    const llm_request_t *in = ((const llm_request_t *const *)user)[i];
    llm_status_t         st;

    memset(input, 0, sizeof *input);
    if (in == NULL) {
        lls_fail_param(&input->refused, LLM_ERR_INVALID, "requests", "requests[%zu] is NULL", i);
        return;
    }
    st = take_request(in, &input->request, &input->refused);
    input->has_sampling = st == LLM_OK && input->request.sampling != NULL;
    if (input->has_sampling)
        take_sampling(input->request.sampling, &input->sampling, &input->refused);
}

llm_status_t lls_api_check_batch(const llm_engine_t *engine, const llm_request_t *const *requests,
                                 size_t n, llm_batch_t **batch, llm_error_t *err)
{
    llm_status_t st = lls_api_check_engine(engine, err);

    if (batch == NULL)
        return is_null("batch", err);
    *batch = NULL;
    return st == LLM_OK ? check_array("requests", requests, n, err) : st;
}

LLM_API llm_status_t llm_generate_batch(llm_engine_t *engine, const llm_request_t *const *requests,
                                        size_t n, llm_progress_fn progress, void *progress_user,
                                        llm_batch_t **batch, llm_error_t *err)
{
    llm_status_t st = lls_api_check_batch(engine, requests, n, batch, err);

    return st == LLM_OK ? lls_engine_generate_batch(engine, lls_api_batch_input,
                                                    (void *)(uintptr_t)requests, n, progress,
                                                    progress_user, batch, err)
                        : st;
}

LLM_API const llm_output_t *llm_batch_output(const llm_batch_t *batch, size_t request, size_t index)
{
    return batch == NULL ? NULL : lls_batch_result_output(batch, request, index);
}

LLM_API void llm_batch_destroy(llm_batch_t *batch) { lls_batch_result_destroy(batch); }

/* ---- Care ------------------------------------------------------------------------------------ */

LLM_API llm_status_t llm_engine_stats(const llm_engine_t *engine, llm_stats_t *stats)
{
    llm_stats_t  s;
    llm_status_t st = lls_api_check_engine(engine, NULL);

    if (st != LLM_OK || stats == NULL)
        return st != LLM_OK ? st : LLM_ERR_INVALID;
    lls_engine_stats(engine, &s);
    return lls_sized_give(stats, &s, sizeof s, offsetof(llm_stats_t, paused), "llm_stats_t", NULL);
}

LLM_API llm_status_t llm_engine_metrics(const llm_engine_t *engine, char *text, size_t cap,
                                        size_t *n)
{
    llm_status_t st = lls_api_check_engine(engine, NULL);

    if (n != NULL)
        *n = 0;
    if (st != LLM_OK || n == NULL)
        return st != LLM_OK ? st : LLM_ERR_INVALID;
    *n = lls_engine_metrics(engine, text, text == NULL ? 0 : cap);
    return text != NULL && *n > cap ? LLM_ERR_NO_SPACE : LLM_OK;
}

LLM_API llm_status_t llm_engine_reset_prefix_cache(llm_engine_t *engine)
{
    llm_status_t st = lls_api_check_engine(engine, NULL);

    return st == LLM_OK ? lls_engine_reset_prefix_cache(engine) : st;
}

LLM_API llm_status_t llm_engine_pause(llm_engine_t *engine, int32_t mode, llm_error_t *err)
{
    llm_status_t st = lls_api_check_engine(engine, err);

    return st == LLM_OK ? lls_engine_pause(engine, mode, err) : st;
}

LLM_API llm_status_t llm_engine_resume(llm_engine_t *engine, llm_error_t *err)
{
    llm_status_t st = lls_api_check_engine(engine, err);

    return st == LLM_OK ? lls_engine_resume(engine, err) : st;
}
