/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Renders templates: the first line of standard input is a JSON object, the variables; each other
 * line is a JSON string, a template, and is answered by a line of JSON: the text, or null and the
 * message in a list.  The clock stands still.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"

static const lls_jinja_const_t consts[] = { { "bos_token", "<s>", 3 }, { "eos_token", "</s>", 4 } };

static json_t *answer(lls_mem_t *mem, const json_t *template, const lls_jdata_t *vars)
{
    lls_jinja_input_t in = { vars, consts, 2, 1718454896 };
    lls_jinja_t      *j;
    lls_jinja_text_t  out = { 0 };
    llm_error_t       err;
    json_t           *reply;
    llm_status_t      st = lls_jinja_compile(mem, json_string_value(template),
                                             json_string_length(template), &j, &err);

    if (st == LLM_OK)
        st = lls_jinja_render(j, mem, &in, &out, &err);
    lls_jinja_free(j);
    reply = st == LLM_OK ? json_stringn(out.text, out.len)
                         : json_pack("[ns]", err.message);
    lls_jinja_text_free(mem, &out);
    return reply;
}

static bool serve(lls_mem_t *mem, const lls_jdata_t *vars)
{
    char   *line = NULL;
    size_t  cap = 0;
    ssize_t n;
    bool    ok = true;

    while (ok && (n = getline(&line, &cap, stdin)) > 0) {
        json_t *template = json_loadb(line, (size_t)n, JSON_ALLOW_NUL | JSON_DECODE_ANY, NULL);
        json_t *reply = json_is_string(template) ? answer(mem, template, vars) : NULL;

        ok = reply != NULL && json_dumpf(reply, stdout, JSON_COMPACT | JSON_ENCODE_ANY) == 0;
        putchar('\n');
        json_decref(reply);
        json_decref(template);
    }
    free(line);
    return ok;
}

int main(void)
{
    lls_mem_t    mem;
    llm_error_t  err;
    lls_jdata_t *vars = NULL;
    char        *line = NULL;
    size_t       cap = 0;
    ssize_t      n = getline(&line, &cap, stdin);
    bool         ok;

    lls_mem_init(&mem, NULL);
    ok = n > 0 && lls_jdata_read(&mem, "variables", line, (size_t)n, &vars, &err) == LLM_OK &&
         serve(&mem, vars);
    lls_jdata_free(vars);
    free(line);
    return ok && mem.held == 0 ? 0 : 1;
}
