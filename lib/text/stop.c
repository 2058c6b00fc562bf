/* SPDX-License-Identifier: Apache-2.0 */
#include "text/stop.h"

#include <string.h>

#include "base/utf8.h"

#define FEW_BYTES 64u

static size_t count_chars(const char *text, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++)
        n += ((uint8_t)text[i] & 0xc0) != 0x80;
    return n;
}

static llm_status_t copy_strings(lls_stop_t *s, const char *const *strings, size_t n,
                                 llm_error_t *err)
{
    size_t longest = 0;

    for (size_t i = 0; i < n; i++) {
        size_t len = strings[i] != NULL ? strlen(strings[i]) : 0, chars;

        if (len == 0)
            return lls_fail_param(err, LLM_ERR_INVALID, "stop", "stop string %zu is empty", i);
        if (lls_utf8_valid(strings[i], len) != len)
            return lls_fail_param(err, LLM_ERR_INVALID, "stop", "stop string %zu is not UTF-8", i);
        s->strings[i] = (lls_stop_string_t){ lls_strndup(s->mem, strings[i], len), len };
        if (s->strings[i].text == NULL)
            return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for stop strings");
        chars = count_chars(strings[i], len);
        longest = chars > longest ? chars : longest;
    }
    s->hold_chars = s->include || longest == 0 ? 0 : longest - 1;
    return LLM_OK;
}

llm_status_t lls_stop_init(lls_stop_t *s, lls_mem_t *mem, const char *const *strings, size_t n,
                           bool include, uint32_t min_tokens, llm_error_t *err)
{
    llm_status_t st;

    memset(s, 0, sizeof *s);
    s->mem = mem;
    s->include = include;
    s->min_tokens = min_tokens;
    if (n == 0)
        return LLM_OK;
    s->strings = lls_calloc(mem, n, sizeof *s->strings);
    if (s->strings == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for %zu stop strings", n);
    s->n = n;
    st = copy_strings(s, strings, n, err);
    if (st != LLM_OK)
        lls_stop_deinit(s);
    return st;
}

void lls_stop_deinit(lls_stop_t *s)
{
    if (s->mem == NULL)
        return;
    for (size_t i = 0; i < s->n; i++)
        lls_free(s->mem, s->strings[i].text);
    lls_free(s->mem, s->strings);
    memset(s, 0, sizeof *s);
}

/* memmem() lays tables out first, which costs more than the search in what a token adds. */
static const char *find(const char *text, size_t n, const lls_stop_string_t *stop)
{
    if (n > FEW_BYTES)
        return memmem(text, n, stop->text, stop->len);
    for (; n >= stop->len; text++, n--)
        if (*text == *stop->text && memcmp(text, stop->text, stop->len) == 0)
            return text;
    return NULL;
}

bool lls_stop_find(const lls_stop_t *s, const char *text, size_t seen, size_t len,
                   uint32_t n_tokens, size_t *keep, size_t *which)
{
    size_t first_end = SIZE_MAX;

    if (len == seen || n_tokens <= s->min_tokens)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        const lls_stop_string_t *stop = &s->strings[i];
        size_t                   from = seen < stop->len - 1 ? 0 : seen - (stop->len - 1), end;
        const char              *at = find(text + from, len - from, stop);

        if (at == NULL)
            continue;
        end = (size_t)(at - text) + stop->len;
        if (end >= first_end)
            continue;
        first_end = end;
        *keep = s->include ? end : end - stop->len;
        *which = i;
    }
    return first_end != SIZE_MAX;
}

size_t lls_stop_visible(const lls_stop_t *s, const char *text, size_t len)
{
    for (size_t n = 0; n < s->hold_chars && len > 0; n++) {
        do
            len--;
        while (len > 0 && ((uint8_t)text[len] & 0xc0) == 0x80);
    }
    return len;
}
