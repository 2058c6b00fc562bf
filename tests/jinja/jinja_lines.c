/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renders the requests on standard input, one JSON object {template, vars} a line, and answers each
 * with a line {"out": text} or {"error": message, "status": number}.  The clock stands still.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

static const lls_jinja_const_t consts[] = { { "bos_token", "<s>", 3 }, { "eos_token", "</s>", 4 } };

static json_t *answer(lls_mem_t *mem, const json_t *request)
{
    const json_t     *template = json_object_get(request, "template");
    lls_jinja_input_t in = { json_object_get(request, "vars"), consts, 2, 1718454896 };
    lls_jinja_t      *j;
    lls_jinja_text_t  out = { 0 };
    llm_error_t       err;
    json_t           *reply;
    llm_status_t      st = lls_jinja_compile(mem, json_string_value(template),
                                             json_string_length(template), &j, &err);

    if (st == LLM_OK)
        st = lls_jinja_render(j, mem, &in, &out, &err);
    lls_jinja_free(j);
    reply = st == LLM_OK ? json_pack("{s:s%}", "out", out.text, out.len)
                         : json_pack("{s:s,s:i}", "error", err.message, "status", (int)st);
    lls_jinja_text_free(mem, &out);
    return reply;
}

int main(void)
{
    lls_mem_t mem;
    char     *line = NULL;
    size_t    cap = 0;
    ssize_t   n;

    lls_mem_init(&mem, NULL);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, NULL);
        json_t *reply = request != NULL ? answer(&mem, request) : NULL;

        if (reply == NULL || json_dumpf(reply, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) != 0)
            return 1;
        putchar('\n');
        json_decref(reply);
        json_decref(request);
    }
    free(line);
    return mem.held != 0;
}
