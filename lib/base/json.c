/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json.h"

#include "base/io.h"

bool lls_json_out_of_memory(const json_error_t *why)
{
    return why->text[0] == '\0' || json_error_code(why) == json_error_out_of_memory;
}

llm_status_t lls_json_parse(const char *name, const char *text, size_t len, json_t **out,
                            llm_error_t *err)
{
    json_error_t why = { 0 };

    *out = json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_ANY, &why);
    if (*out != NULL)
        return LLM_OK;
    if (lls_json_out_of_memory(&why))
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory while parsing", name);
    return lls_fail(err, LLM_ERR_FORMAT, "%s: line %d column %d: %s", name, why.line, why.column,
                    why.text);
}

llm_status_t lls_json_load(lls_mem_t *mem, const char *path, uint64_t limit, json_t **out,
                           llm_error_t *err)
{
    char        *text;
    size_t       len;
    llm_status_t st = lls_read_file(mem, path, limit, &text, &len, err);

    *out = NULL;
    if (st != LLM_OK)
        return st;
    st = lls_json_parse(path, text, len, out, err);
    lls_free(mem, text);
    return st;
}
