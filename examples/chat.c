/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat MODEL [SYSTEM] - talk to a model; answers appear as they are made.
 *
 * The whole conversation goes into every request; the prefix cache makes sure that only what is new
 * is computed.  An empty line or end of input ends the program.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

static void append(json_t *messages, const char *role, const char *text, size_t len)
{
    json_array_append_new(messages,
                          json_pack("{s:s, s:s%}", "role", role, "content", text, len));
}

/* Adds what arrived to the answer and shows it. */
static void take(const llm_output_t *out, char **answer, size_t *len)
{
    char *grown = realloc(*answer, *len + out->text_len + 1);

    if (grown == NULL)
        return;
    *answer = grown;
    memcpy(grown + *len, out->text, out->text_len + 1);
    *len += out->text_len;
    fwrite(out->text, 1, out->text_len, stdout);
    fflush(stdout);
    if (out->finish_reason == LLM_FINISH_ERROR)
        fprintf(stderr, "%s\n", out->error->message);
}

static llm_status_t answer(llm_engine_t *engine, json_t *messages, llm_error_t *err)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    json_t               *body = json_pack("{s:O}", "messages", messages);
    char                 *chat = json_dumps(body, JSON_COMPACT);
    char                 *text = NULL;
    size_t                len = 0;
    const llm_output_t   *out;
    llm_status_t          st;

    params.max_tokens = 256;
    req.chat = chat;
    req.chat_len = LLM_CSTR;
    req.sampling = &params;
    st = llm_engine_add_request(engine, &req, NULL, err);
    free(chat);
    json_decref(body);
    while (st == LLM_OK && llm_engine_unfinished(engine) > 0) {
        st = llm_engine_step(engine, err);
        while ((out = llm_engine_next_output(engine)) != NULL)
            take(out, &text, &len);
    }
    printf("\n");
    if (text != NULL)
        append(messages, "assistant", text, len);
    free(text);
    return st;
}

int main(int argc, char **argv)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine;
    llm_status_t        st = LLM_OK;
    llm_error_t         err;
    json_t             *messages;
    char               *line = NULL;
    size_t              cap = 0;

    if (argc < 2)
        return fprintf(stderr, "usage: chat MODEL [SYSTEM]\n"), 2;
    cfg.model = argv[1];
    cfg.max_num_seqs = 1;
    if (llm_engine_create(&cfg, &engine, &err) != LLM_OK)
        return fprintf(stderr, "%s\n", err.message), 1;
    messages = json_array();
    if (argc > 2)
        append(messages, "system", argv[2], strlen(argv[2]));
    for (ssize_t n; st == LLM_OK && printf("> ") && fflush(stdout) == 0 &&
                    (n = getline(&line, &cap, stdin)) > 1;) {
        append(messages, "user", line, (size_t)n - (line[n - 1] == '\n'));
        st = answer(engine, messages, &err);
    }
    if (st != LLM_OK)
        fprintf(stderr, "%s\n", err.message);
    free(line);
    json_decref(messages);
    llm_engine_destroy(engine);
    return st != LLM_OK;
}
