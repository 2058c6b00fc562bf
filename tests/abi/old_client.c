/* SPDX-License-Identifier: Apache-2.0 */
/*
 * old_client - a program built against the header of an earlier release (LLM_OLD_HEADER) that runs
 * on today's library: plan, create, add, step, batch, statistics, errors.  With a model in
 * LLM_DEMO_MODEL it generates; without one it goes as far as the refusal and exits with 77.
 */
#include LLM_OLD_HEADER

#include "check.h"

static void without_a_model(void)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine = (llm_engine_t *)&cfg;
    llm_error_t         err = { 0 };
    size_t              n = 0;

    CHECK(llm_version_number() >= LLM_VERSION_NUMBER);
    CHECK(strcmp(llm_status_name(LLM_ERR_BUSY), "LLM_ERR_BUSY") == 0);
    CHECK(strcmp(llm_finish_name(LLM_FINISH_LENGTH), "length") == 0);
    while (llm_option_info(n) != NULL)
        n++;
    CHECK(n > 0);
    cfg.model = "/nonexistent/model";
    CHECK(llm_engine_create(&cfg, &engine, &err) < 0);
    CHECK(engine == NULL && err.status < 0 && err.message[0] != '\0');
    llm_engine_destroy(NULL);
}

static void steps(llm_engine_t *engine, const llm_request_t *req)
{
    llm_request_id_t    id = 0;
    llm_error_t         err = { 0 };
    const llm_output_t *out;
    size_t              n_tokens = 0, n_last = 0;

    CHECK(llm_engine_add_request(engine, req, &id, &err) == LLM_OK && id != 0);
    while (llm_engine_unfinished(engine) > 0 && llm_engine_step(engine, &err) == LLM_OK)
        while ((out = llm_engine_next_output(engine)) != NULL) {
            CHECK(out->id == id && out->user_data == req->user_data);
            n_tokens += out->n_tokens;
            n_last += out->last;
        }
    CHECK(n_tokens == 8 && n_last == 1);
}

static void batch(llm_engine_t *engine, const llm_request_t *req)
{
    const llm_request_t *requests[3] = { req, req, req };
    llm_batch_t         *result = NULL;
    llm_error_t          err = { 0 };

    CHECK(llm_generate_batch(engine, requests, 3, NULL, NULL, &result, &err) == LLM_OK);
    for (size_t i = 0; i < 3; i++) {
        const llm_output_t *out = llm_batch_output(result, i, 0);

        CHECK(out != NULL && out->n_tokens == 8 && out->finish_reason == LLM_FINISH_LENGTH);
    }
    CHECK(llm_batch_output(result, 3, 0) == NULL);
    llm_batch_destroy(result);
}

static void with_a_model(const char *model)
{
    llm_engine_config_t   cfg = LLM_INIT(llm_engine_config_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_plan_t            plan = LLM_INIT(llm_plan_t);
    llm_stats_t           stats = LLM_INIT(llm_stats_t);
    llm_engine_t         *engine = NULL;
    llm_error_t           err = { 0 };

    cfg.model = model;
    cfg.max_model_len = 256;
    cfg.max_num_seqs = 4;
    CHECK(llm_plan(&cfg, &plan, &err) == LLM_OK && plan.weight_bytes > 0);
    if (llm_engine_create(&cfg, &engine, &err) != LLM_OK) {
        printf("create: %s\n", err.message);
        faults++;
        return;
    }
    params.max_tokens = 8;
    params.flags = LLM_SAMPLE_IGNORE_EOS;
    req.text = "The capital of France is";
    req.text_len = LLM_CSTR;
    req.sampling = &params;
    req.user_data = &req;
    steps(engine, &req);
    batch(engine, &req);
    CHECK(llm_engine_stats(engine, &stats) == LLM_OK && stats.steps > 0 && stats.dead == 0);
    llm_engine_destroy(engine);
}

int main(void)
{
    const char *model = getenv("LLM_DEMO_MODEL");

    without_a_model();
    if (model != NULL && model[0] != '\0')
        with_a_model(model);
    printf("%d faults\n", faults);
    if (faults != 0)
        return 1;
    if (model == NULL || model[0] == '\0') {
        printf("SKIPPED: generation; LLM_DEMO_MODEL names no model\n");
        return 77;
    }
    return 0;
}
