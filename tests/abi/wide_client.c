/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wide_client - a program of a later release: its structs end in bytes that this library does not
 * know.  Zeros are accepted, anything else is LLM_ERR_UNSUPPORTED; in structs that the library
 * fills the unknown bytes come back zero and nothing behind them is touched.  struct_size 0 is an
 * error.
 */
#include "llm.h"

#include "check.h"

#define WIDE(type) struct { type s; unsigned char tail[24]; }
#define FENCE 0xA5

static int all_are(const unsigned char *bytes, size_t n, unsigned char value)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != value)
            return 0;
    return 1;
}

/* The last bytes of the tail stay outside struct_size: the fence. */
#define PREPARE(wide, fill)                                                                        \
    do {                                                                                           \
        memset(&(wide), 0, sizeof(wide));                                                          \
        memset((wide).tail, (fill), 16);                                                           \
        memset((wide).tail + 16, FENCE, 8);                                                        \
        (wide).s.struct_size = (uint32_t)sizeof((wide).s) + 16;                                    \
    } while (0)

static void config(const char *model)
{
    WIDE(llm_engine_config_t) cfg;
    WIDE(llm_plan_t) plan;
    llm_engine_t *engine = NULL;
    llm_error_t   err = { 0 };

    PREPARE(cfg, 0);
    PREPARE(plan, 7);
    cfg.s.model = model;
    CHECK(llm_plan(&cfg.s, &plan.s, &err) != LLM_ERR_UNSUPPORTED);
    CHECK(all_are(plan.tail + 16, 8, FENCE));
    memset(cfg.tail + 9, 1, 1);
    CHECK(llm_plan(&cfg.s, &plan.s, &err) == LLM_ERR_UNSUPPORTED && err.message[0] != '\0');
    CHECK(llm_engine_create(&cfg.s, &engine, &err) == LLM_ERR_UNSUPPORTED && engine == NULL);
    cfg.s.struct_size = 0;
    CHECK(llm_engine_create(&cfg.s, &engine, &err) == LLM_ERR_INVALID && engine == NULL);
}

static void sampling(llm_engine_t *engine)
{
    WIDE(llm_sampling_params_t) params;

    PREPARE(params, 7);
    CHECK(llm_sampling_defaults(engine, &params.s) == LLM_OK);
    CHECK(params.s.max_tokens == 16);
    CHECK(all_are(params.tail, 16, 0) && all_are(params.tail + 16, 8, FENCE));
}

static llm_status_t add(llm_engine_t *engine, size_t request_byte, size_t params_byte)
{
    WIDE(llm_request_t) req;
    WIDE(llm_sampling_params_t) params;
    llm_error_t err;

    PREPARE(req, 0);
    PREPARE(params, 0);
    req.tail[request_byte] = request_byte < 16 ? 1 : FENCE;
    params.tail[params_byte] = params_byte < 16 ? 1 : FENCE;
    params.s.max_tokens = 4;
    req.s.text = "Hello";
    req.s.text_len = LLM_CSTR;
    req.s.sampling = &params.s;
    return llm_engine_add_request(engine, &req.s, NULL, &err);
}

static void filled(llm_engine_t *engine)
{
    WIDE(llm_stats_t) stats;
    WIDE(llm_plan_t) plan;

    PREPARE(stats, 7);
    PREPARE(plan, 7);
    CHECK(llm_engine_stats(engine, &stats.s) == LLM_OK && stats.s.kv_blocks_total > 0);
    CHECK(all_are(stats.tail, 16, 0) && all_are(stats.tail + 16, 8, FENCE));
    CHECK(llm_engine_plan(engine, &plan.s) == LLM_OK && plan.s.vocab_size > 0);
    CHECK(all_are(plan.tail, 16, 0) && all_are(plan.tail + 16, 8, FENCE));

    memset(&stats, FENCE, sizeof stats);
    stats.s.struct_size = 0;        /* forgotten: refused, and nothing is touched */
    CHECK(llm_engine_stats(engine, &stats.s) == LLM_ERR_INVALID);
    CHECK(all_are((const unsigned char *)&stats + 4, sizeof stats - 4, FENCE));
}

static void requests(const char *model)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine = NULL;
    llm_error_t         err = { 0 };

    cfg.model = model;
    cfg.max_model_len = 256;
    cfg.max_num_seqs = 4;
    if (llm_engine_create(&cfg, &engine, &err) != LLM_OK) {
        printf("create: %s\n", err.message);
        faults++;
        return;
    }
    CHECK(add(engine, 16, 16) == LLM_OK);
    CHECK(add(engine, 3, 16) == LLM_ERR_UNSUPPORTED);
    CHECK(add(engine, 16, 15) == LLM_ERR_UNSUPPORTED);
    CHECK(llm_engine_unfinished(engine) == 1);
    while (llm_engine_unfinished(engine) > 0 && llm_engine_step(engine, &err) == LLM_OK)
        continue;
    sampling(engine);
    filled(engine);
    llm_engine_destroy(engine);
}

int main(void)
{
    const char *model = getenv("LLM_DEMO_MODEL");
    int         there = model != NULL && model[0] != '\0';

    config(there ? model : "/nonexistent/model");
    sampling(NULL);
    if (there)
        requests(model);
    printf("%d faults\n", faults);
    if (faults == 0 && !there)
        printf("SKIPPED: requests and statistics; LLM_DEMO_MODEL names no model\n");
    return faults != 0 ? 1 : there ? 0 : 77;
}
