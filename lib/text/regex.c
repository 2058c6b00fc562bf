/* SPDX-License-Identifier: Apache-2.0 */
#include "text/regex.h"

#include <oniguruma.h>
#include <pthread.h>

#define MAX_STEPS 10000000u

struct lls_regex {
    lls_mem_t *mem;
    regex_t   *onig;
    char      *pattern;         /* its beginning, for errors */
};

#define SHOWN 120               /* bytes of a pattern in an error */

struct lls_regex_match {
    lls_mem_t      *mem;
    OnigRegion     *region;
    OnigMatchParam *param;
};

static pthread_once_t onig_once = PTHREAD_ONCE_INIT;

static void init_onig(void)
{
    OnigEncoding encodings[] = { ONIG_ENCODING_UTF8 };

    onig_initialize(encodings, 1);
}

static llm_status_t compile_error(const char *where, int code, OnigErrorInfo *info,
                                  llm_error_t *err)
{
    UChar text[ONIG_MAX_ERROR_MESSAGE_LEN + 1];

    if (code == ONIGERR_MEMORY)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the regex", where);
    text[onig_error_code_to_str(text, code, info)] = 0;
    return lls_fail(err, LLM_ERR_FORMAT, "%s: bad regex: %s", where, (char *)text);
}

/* At most SHOWN bytes, of whole characters. */
static size_t shown_len(const char *pattern, size_t len)
{
    if (len <= SHOWN)
        return len;
    len = SHOWN;
    while (len > 0 && ((uint8_t)pattern[len] & 0xc0) == 0x80)
        len--;
    return len;
}

llm_status_t lls_regex_compile(lls_mem_t *mem, const char *where, const char *pattern, size_t len,
                               lls_regex_t **out, llm_error_t *err)
{
    const UChar  *p = (const UChar *)pattern;
    OnigErrorInfo info = { 0 };
    lls_regex_t  *re;
    int           rc;

    *out = NULL;
    pthread_once(&onig_once, init_onig);
    re = lls_zalloc(mem, sizeof *re);
    if (re == NULL)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the regex", where);
    re->mem = mem;
    re->pattern = lls_strndup(mem, pattern, shown_len(pattern, len));
    if (re->pattern == NULL) {
        lls_regex_free(re);
        return lls_fail(err, LLM_ERR_NO_MEMORY, "%s: no memory for the regex", where);
    }
    rc = onig_new(&re->onig, p, p + len, ONIG_OPTION_NONE, ONIG_ENCODING_UTF8, ONIG_SYNTAX_RUBY,
                  &info);
    if (rc != ONIG_NORMAL) {
        re->onig = NULL;
        lls_regex_free(re);
        return compile_error(where, rc, &info, err);
    }
    *out = re;
    return LLM_OK;
}

void lls_regex_free(lls_regex_t *re)
{
    if (re == NULL)
        return;
    if (re->onig != NULL)
        onig_free(re->onig);
    lls_free(re->mem, re->pattern);
    lls_free(re->mem, re);
}

lls_regex_match_t *lls_regex_match_create(lls_mem_t *mem)
{
    lls_regex_match_t *m = lls_zalloc(mem, sizeof *m);

    if (m == NULL)
        return NULL;
    m->mem = mem;
    m->region = onig_region_new();
    m->param = onig_new_match_param();
    if (m->region == NULL || m->param == NULL) {
        lls_regex_match_destroy(m);
        return NULL;
    }
    onig_initialize_match_param(m->param);
    onig_set_retry_limit_in_match_of_match_param(m->param, MAX_STEPS);
    return m;
}

void lls_regex_match_destroy(lls_regex_match_t *m)
{
    if (m == NULL)
        return;
    if (m->region != NULL)
        onig_region_free(m->region, 1);
    if (m->param != NULL)
        onig_free_match_param(m->param);
    lls_free(m->mem, m);
}

int lls_regex_find(const lls_regex_t *re, lls_regex_match_t *m, const char *text, size_t len,
                   size_t from, size_t *begin, size_t *end, llm_error_t *err)
{
    const UChar *p = (const UChar *)text;
    int          rc;

    /* A search of a long text may try every place of it once. */
    onig_set_retry_limit_in_search_of_match_param(m->param, MAX_STEPS + 8 * (len - from));
    rc = onig_search_with_param(re->onig, p, p + len, p + from, p + len, m->region,
                                ONIG_OPTION_NONE, m->param);

    if (rc >= 0) {
        *begin = (size_t)m->region->beg[0];
        *end = (size_t)m->region->end[0];
        return 1;
    }
    if (rc == ONIG_MISMATCH)
        return 0;
    if (rc == ONIGERR_MEMORY)
        return lls_fail(err, LLM_ERR_NO_MEMORY, "no memory for a regex search");
    return lls_fail(err, LLM_ERR_INVALID,
                    "the tokenizer's regex %s needs more than %u steps for this text", re->pattern,
                    MAX_STEPS);
}
