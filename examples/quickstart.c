/* SPDX-License-Identifier: Apache-2.0 */
/* quickstart MODEL PROMPT... - one prompt in, text out as it is made. */
#include <stdio.h>

#include "llm.h"

int main(int argc, char **argv)
{
    llm_engine_config_t   cfg = LLM_INIT(llm_engine_config_t);
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t); /* all zero: greedy */
    llm_request_t         req = LLM_INIT(llm_request_t);
    llm_status_t          st = LLM_OK;
    llm_engine_t         *engine;
    const llm_output_t   *out;
    llm_error_t           err;

    if (argc < 3)
        return fprintf(stderr, "usage: quickstart MODEL PROMPT...\n"), 2;
    cfg.model = argv[1];
    if (llm_engine_create(&cfg, &engine, &err) != LLM_OK)
        return fprintf(stderr, "%s\n", err.message), 1;
    params.max_tokens = 24;
    req.text_len = LLM_CSTR;
    req.sampling = &params;
    for (int i = 2; i < argc && st == LLM_OK; i++) {
        req.text = argv[i];
        st = llm_engine_add_request(engine, &req, NULL, &err);
        printf("%s", argv[i]);
        while (st == LLM_OK && llm_engine_unfinished(engine) > 0) {
            st = llm_engine_step(engine, &err);
            while ((out = llm_engine_next_output(engine)) != NULL)
                fwrite(out->text, 1, out->text_len, stdout);
        }
        printf("\n");
    }
    if (st != LLM_OK)
        fprintf(stderr, "%s\n", err.message);
    llm_engine_destroy(engine);
    return st != LLM_OK;
}
