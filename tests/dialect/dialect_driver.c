/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dialect_driver - one JSON object a line, {"tools", "text", "chat", "whole", "piece"}; for each
 * a line with the message: {"content", "calls": [{"name", "arguments"}]}.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/dialect.h"

static lls_mem_t        mem;
static lls_tokenizer_t *tokenizer;

static void append(json_t *owner, const char *key, const llm_event_t *e)
{
    const char *old = json_string_value(json_object_get(owner, key));
    size_t      n = old == NULL ? 0 : json_string_length(json_object_get(owner, key));
    char       *text = malloc(n + e->text_len + 1);

    if (text == NULL)
        exit(1);
    memcpy(text, old == NULL ? "" : old, n);
    memcpy(text + n, e->text, e->text_len);
    json_object_set_new(owner, key, json_stringn(text, n + e->text_len));
    free(text);
}

static void drain(lls_dparse_t *p, json_t *message)
{
    json_t            *calls = json_object_get(message, "calls");
    const llm_event_t *e;

    while ((e = lls_dparse_next(p)) != NULL) {
        if (e->kind == LLM_EVENT_CONTENT)
            append(message, "content", e);
        else if (e->kind == LLM_EVENT_TOOL_START)
            json_array_append_new(calls, json_pack("{s:s, s:s}", "name", e->text, "arguments", ""));
        else if (e->kind == LLM_EVENT_ARGUMENTS)
            append(json_array_get(calls, e->index), "arguments", e);
    }
}

static json_t *answer(const json_t *q)
{
    const char         *text = json_string_value(json_object_get(q, "text"));
    const json_t       *chat_json = json_object_get(q, "chat");
    char               *chat = chat_json == NULL ? NULL : json_dumps(chat_json, 0);
    size_t              n = json_string_length(json_object_get(q, "text"));
    size_t              most = (size_t)json_integer_value(json_object_get(q, "piece"));
    json_t             *message = json_pack("{s:s, s:[]}", "content", "", "calls");
    lls_dparse_config_t c = { .whole = json_is_true(json_object_get(q, "whole")), .chat = chat,
                              .chat_len = chat == NULL ? 0 : strlen(chat) };
    lls_dparse_t       *p;
    llm_error_t         err;

    if (lls_dialect_find(tokenizer, json_string_value(json_object_get(q, "tools")), &c.tools,
                         &err) != LLM_OK ||
        lls_dparse_create(&mem, tokenizer, &c, &p, &err) != LLM_OK) {
        fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    for (size_t at = 0; at < n; at += most) {
        lls_dparse_feed(p, text + at, n - at < most ? n - at : most, NULL, 0, false, NULL);
        drain(p, message);
    }
    lls_dparse_feed(p, NULL, 0, NULL, 0, true, NULL);
    drain(p, message);
    lls_dparse_destroy(p);
    free(chat);
    return message;
}

int main(void)
{
    char        *line = NULL, *text;
    size_t       cap = 0;
    ssize_t      n;
    json_t      *q, *a;
    llm_error_t  err;

    lls_mem_init(&mem, NULL);
    if (lls_tokenizer_open(&mem, TEST_DIR "/golden/dialect/tokenizer.json", &tokenizer, &err) !=
        LLM_OK)
        return fprintf(stderr, "%s\n", err.message), 1;
    while ((n = getline(&line, &cap, stdin)) > 0) {
        q = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        a = answer(q);
        text = json_dumps(a, JSON_COMPACT);
        puts(text);
        fflush(stdout);
        free(text);
        json_decref(a);
        json_decref(q);
    }
    free(line);
    lls_tokenizer_close(tokenizer);
    return 0;
}
