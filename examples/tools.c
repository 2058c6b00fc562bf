/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools MODEL [TOOL_PARSER [QUESTION]] - ask a model that may call a function, and read its answer
 * as it is made: what it thinks, what it says, what it wants to have called.
 *
 * Without a parser the model's chat template tells which one it is.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "llm.h"

/* A model that was taught no tools learns the syntax of hermes from one question. */
static const char request_format[] =
    "{\"messages\": ["
    "{\"role\": \"system\", \"content\": \"Answer with a call of get_weather.\"},"
    "{\"role\": \"user\", \"content\": \"What is the weather in Rome?\"},"
    "{\"role\": \"assistant\", \"content\": \"<tool_call>{\\\"name\\\": \\\"get_weather\\\", "
    "\\\"arguments\\\": {\\\"city\\\": \\\"Rome\\\"}}</tool_call>\"},"
    "{\"role\": \"user\", \"content\": \"%s\"}],"
    " \"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"get_weather\","
    " \"description\": \"The weather of a city\", \"parameters\": {\"type\": \"object\","
    " \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}]}";

static void show(llm_parser_t *parser)
{
    const llm_event_t *event;

    while ((event = llm_parser_next(parser)) != NULL) {
        switch (event->kind) {
        case LLM_EVENT_CONTENT:    printf("%s", event->text); break;
        case LLM_EVENT_REASONING:  printf("\033[2m%s\033[0m", event->text); break;
        case LLM_EVENT_TOOL_START: printf("\n[%s] %s(", event->id, event->text); break;
        case LLM_EVENT_ARGUMENTS:  printf("%s", event->text); break;
        case LLM_EVENT_TOOL_END:   printf(")\n"); break;
        default:                   break;
        }
    }
    fflush(stdout);
}

/* Each output's text goes through the parser, which holds back what may become a call. */
static llm_status_t answer(llm_engine_t *engine, const char *chat, llm_parser_t *parser,
                           llm_error_t *err)
{
    llm_sampling_params_t params = LLM_INIT(llm_sampling_params_t);
    llm_request_t         req = LLM_INIT(llm_request_t);
    const llm_output_t   *out;
    llm_status_t          st;

    params.max_tokens = 64;
    params.flags = LLM_SAMPLE_KEEP_SPECIAL;     /* markers may be special tokens */
    req.chat = chat;
    req.chat_len = LLM_CSTR;
    req.sampling = &params;
    st = llm_engine_add_request(engine, &req, NULL, err);
    while (st == LLM_OK && llm_engine_unfinished(engine) > 0) {
        st = llm_engine_step(engine, err);
        while (st == LLM_OK && (out = llm_engine_next_output(engine)) != NULL) {
            st = llm_parser_feed(parser, out->text, out->text_len, out->tokens, out->n_tokens,
                                 out->last, err);
            show(parser);
        }
    }
    printf("\n");
    return st;
}

/* The prompt's last tokens tell the parser whether the template has begun a thought. */
static llm_status_t create_parser(const llm_tokenizer_t *tokenizer, const char *name,
                                  const char *chat, llm_parser_t **parser, llm_error_t *err)
{
    llm_parser_config_t config = LLM_INIT(llm_parser_config_t);
    size_t              n = 0;
    char               *prompt = NULL;
    llm_status_t        st;

    *parser = NULL;
    st = llm_tokenizer_render_chat(tokenizer, chat, LLM_CSTR, NULL, 0, &n, err);
    if (st == LLM_OK)
        prompt = malloc(n + 1);
    if (prompt != NULL)
        st = llm_tokenizer_render_chat(tokenizer, chat, LLM_CSTR, prompt, n + 1, &n, err);
    config.tool_parser = name;
    config.reasoning_parser = "auto";
    config.chat = chat;
    config.chat_len = LLM_CSTR;
    config.prompt = prompt;
    config.prompt_len = n;
    config.seed = 1;                            /* another for each completion */
    if (st == LLM_OK)
        st = llm_parser_create(tokenizer, &config, parser, err);
    free(prompt);
    return st;
}

int main(int argc, char **argv)
{
    llm_engine_config_t cfg = LLM_INIT(llm_engine_config_t);
    llm_engine_t       *engine = NULL;
    llm_parser_t       *parser = NULL;
    llm_status_t        st;
    llm_error_t         err;
    char                chat[2048];

    if (argc < 2)
        return fprintf(stderr, "usage: tools MODEL [TOOL_PARSER [QUESTION]]\n"), 2;
    snprintf(chat, sizeof chat, request_format,
             argc > 3 ? argv[3] : "What is the weather in Paris?");
    cfg.model = argv[1];
    st = llm_engine_create(&cfg, &engine, &err);
    if (st == LLM_OK)
        st = create_parser(llm_engine_tokenizer(engine), argc > 2 ? argv[2] : "auto", chat,
                           &parser, &err);
    if (st == LLM_OK)
        st = answer(engine, chat, parser, &err);
    if (st != LLM_OK)
        fprintf(stderr, "%s\n", err.message);
    llm_parser_destroy(parser);
    llm_engine_destroy(engine);
    return st != LLM_OK;
}
