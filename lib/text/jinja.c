/* SPDX-License-Identifier: Apache-2.0 */
#include "text/jinja_int.h"

#include "base/utf8.h"

#define MAX_TEMPLATE (16u << 20)

/* Newlines become \n and one at the end goes, as Jinja2 does. */
static bool take_source(lls_jinja_t *j, const char *text, size_t len)
{
    lls_buf_t *b = &j->text;

    if (!lls_buf_room(b, len + 1))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '\r') {
            i += i + 1 < len && text[i + 1] == '\n';
            c = '\n';
        }
        b->data[b->len++] = c;
    }
    if (b->len > 0 && b->data[b->len - 1] == '\n')
        b->len--;
    j->source_len = b->len;
    return true;
}

llm_status_t lls_jinja_compile(lls_mem_t *mem, const char *text, size_t len, lls_jinja_t **out,
                               llm_error_t *err)
{
    lls_jinja_t *j = lls_zalloc(mem, sizeof *j);
    llm_status_t st = LLM_OK;

    *out = NULL;
    if (j == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    j->mem = j->text.mem = mem;
    if (len > MAX_TEMPLATE || lls_utf8_valid(text, len) != len)
        st = lls_fail(err, LLM_ERR_FORMAT, "the chat template is not UTF-8 or larger than 16 MiB");
    else if (!take_source(j, text, len))
        st = lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a chat template");
    if (st == LLM_OK)
        st = lls_jinja_lex(j, err);
    if (st == LLM_OK)
        st = lls_jinja_parse(j, err);
    lls_free(mem, j->toks);
    j->toks = NULL;
    if (st == LLM_OK) {
        *out = j;
        j = NULL;
    }
    lls_jinja_free(j);
    return st;
}

void lls_jinja_free(lls_jinja_t *j)
{
    if (j == NULL)
        return;
    lls_free(j->mem, j->toks);
    lls_free(j->mem, j->nodes);
    lls_buf_deinit(&j->text);
    lls_free(j->mem, j);
}
