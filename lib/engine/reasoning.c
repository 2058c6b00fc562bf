/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/reasoning.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "sample/params.h"

#define OPTION "reasoning-config"

static llm_status_t fail_value(const char *key, const char *what, llm_error_t *err)
{
    return lls_fail_param(err, LLM_ERR_INVALID, OPTION, "%s: %s must be %s", OPTION, key, what);
}

static llm_status_t check_keys(json_t *j, llm_error_t *err)
{
    static const char *const known[] = { "reasoning_parser", "reasoning_start_str",
                                         "reasoning_end_str", "reasoning_start_token_ids",
                                         "reasoning_end_token_ids" };
    const char *key, *parser = json_string_value(json_object_get(j, known[0]));
    json_t     *value;
    size_t      at;

    json_object_foreach(j, key, value) {
        for (at = 0; at < LLS_ARRAY_LEN(known) && strcmp(key, known[at]) != 0;)
            at++;
        if (at == LLS_ARRAY_LEN(known))
            return lls_fail_param(err, LLM_ERR_INVALID, OPTION, "%s has no key \"%.60s\"", OPTION,
                                  key);
        if (at < 3 && !json_is_string(value) && !json_is_null(value))
            return fail_value(key, "a string", err);
    }
    if (parser != NULL && *parser != '\0')
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, OPTION,
                              "%s: reasoning_parser %.60s is not in this version; give "
                              "reasoning_start_str and reasoning_end_str", OPTION, parser);
    return LLM_OK;
}

static llm_status_t encode(lls_reasoning_t *r, const lls_tokenizer_t *tokenizer, const char *key,
                           const json_t *text, int32_t **ids, size_t *n, llm_error_t *err)
{
    if (tokenizer == NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, OPTION,
                              "%s: %s needs a tokenizer, and skip-tokenizer-init is set; give "
                              "token ids", OPTION, key);
    return lls_tokenizer_encode(tokenizer, r->mem, json_string_value(text),
                                json_string_length(text), LLM_ENCODE_NO_SPECIAL, ids, n, err);
}

static llm_status_t copy_ids(lls_reasoning_t *r, const char *key, const json_t *list, int32_t **ids,
                             size_t *n, llm_error_t *err)
{
    if (!json_is_array(list))
        return fail_value(key, "an array of token ids", err);
    *n = json_array_size(list);
    *ids = lls_calloc(r->mem, *n + 1, sizeof **ids);
    if (*ids == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s of %zu tokens", key, *n);
    for (size_t i = 0; i < *n; i++) {
        const json_t *id = json_array_get(list, i);
        json_int_t    v = json_integer_value(id);

        if (!json_is_integer(id) || v < 0 || v > INT32_MAX)
            return fail_value(key, "an array of token ids", err);
        (*ids)[i] = (int32_t)v;
    }
    return LLM_OK;
}

static llm_status_t check_ids(const char *key, const int32_t *ids, size_t n, uint32_t n_vocab,
                              llm_error_t *err)
{
    if (n == 0 || n > LLS_SAMPLE_MAX_THINK)
        return lls_fail_param(err, LLM_ERR_INVALID, OPTION,
                              "%s: %s is %zu tokens, it must be 1 to %d", OPTION, key, n,
                              LLS_SAMPLE_MAX_THINK);
    for (size_t i = 0; i < n; i++)
        if ((uint32_t)ids[i] >= n_vocab)
            return lls_fail_param(err, LLM_ERR_INVALID, OPTION,
                                  "%s: %s has token id %d, which is out of the vocabulary of %u",
                                  OPTION, key, ids[i], n_vocab);
    return LLM_OK;
}

/* side is "start" or "end".  *ids stays NULL if the object does not have it. */
static llm_status_t take(lls_reasoning_t *r, const json_t *j, const char *side,
                         const lls_tokenizer_t *tokenizer, uint32_t n_vocab, int32_t **ids,
                         uint32_t *n_ids, llm_error_t *err)
{
    char          text_key[32], ids_key[32];
    const json_t *text, *list;
    size_t        n = 0;
    llm_status_t  st;

    snprintf(text_key, sizeof text_key, "reasoning_%s_str", side);
    snprintf(ids_key, sizeof ids_key, "reasoning_%s_token_ids", side);
    text = json_object_get(j, text_key);
    list = json_object_get(j, ids_key);
    if (list != NULL && !json_is_null(list))
        st = copy_ids(r, ids_key, list, ids, &n, err);
    else if (json_string_length(text) > 0)
        st = encode(r, tokenizer, text_key, text, ids, &n, err);
    else
        return LLM_OK;
    if (st == LLM_OK)
        st = check_ids(ids_key, *ids, n, n_vocab, err);
    *n_ids = (uint32_t)n;
    return st;
}

llm_status_t lls_reasoning_open(lls_reasoning_t *r, lls_mem_t *mem, const char *text,
                                const lls_tokenizer_t *tokenizer, uint32_t n_vocab,
                                llm_error_t *err)
{
    json_t      *j = NULL;
    llm_status_t st = LLM_OK;

    r->mem = mem;
    if (text != NULL)
        st = lls_json_parse(OPTION, text, strlen(text), &j, err);
    if (st == LLM_OK)
        st = check_keys(j, err);
    if (st == LLM_OK)
        st = take(r, j, "start", tokenizer, n_vocab, &r->start, &r->n_start, err);
    if (st == LLM_OK)
        st = take(r, j, "end", tokenizer, n_vocab, &r->end, &r->n_end, err);
    if (st == LLM_OK && (r->start == NULL) != (r->end == NULL))
        st = lls_fail_param(err, LLM_ERR_INVALID, OPTION,
                            "%s says how a thought %s but not how it %s; give both", OPTION,
                            r->start != NULL ? "begins" : "ends",
                            r->start != NULL ? "ends" : "begins");
    json_decref(j);
    return st;
}

void lls_reasoning_deinit(lls_reasoning_t *r)
{
    if (r->mem == NULL)
        return;
    lls_free(r->mem, r->start);
    lls_free(r->mem, r->end);
    *r = (lls_reasoning_t){ 0 };
}
