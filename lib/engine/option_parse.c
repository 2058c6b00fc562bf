/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "engine/options_int.h"
#include "base/json.h"
#include "base/num.h"
#include "base/utf8.h"

int32_t lls_option_word(const char *words, const char *word)
{
    size_t  len = strlen(word);
    int32_t index = 0;

    for (const char *at = words; at != NULL && *at != '\0'; index++) {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, word, n) == 0)
            return index;
        at += n + (at[n] == '|');
    }
    return -1;
}

/* ---- Numbers ------------------------------------------------------------------------------- */

/* A decimal number or inf; the C library's functions would follow the host's locale. */
static bool scan_number(const char *at, const char **end, long double *out)
{
    bool     negative = *at == '-', any = false, point = false;
    uint64_t m = 0;
    long     e = 0, sign, shift = 0;

    at += negative || *at == '+';
    if (strncmp(at, "inf", 3) == 0) {
        *out = negative ? -INFINITY : INFINITY;
        *end = at + 3;
        return true;
    }
    for (; (*at >= '0' && *at <= '9') || (*at == '.' && !point); at++) {
        if (*at == '.') {
            point = true;
            continue;
        }
        any = true;
        if (m > (UINT64_MAX - (uint64_t)(*at - '0')) / 10)
            shift += !point;
        else {
            m = m * 10 + (uint64_t)(*at - '0');
            shift -= point;
        }
    }
    if (any && (*at == 'e' || *at == 'E')) {
        at++;
        sign = *at == '-' ? -1 : 1;
        at += *at == '-' || *at == '+';
        any = *at >= '0' && *at <= '9';
        for (; *at >= '0' && *at <= '9'; at++)
            e = e < 1000 ? e * 10 + (*at - '0') : e;
        shift += sign * e;
    }
    *out = (negative ? -1 : 1) * (long double)m * powl(10, (long double)shift);
    *end = at;
    return any;
}

static bool is_in_range(const char *range, long double value)
{
    const char *end;
    long double low, high;

    if (range == NULL)
        return true;
    scan_number(range + 1, &end, &low);
    scan_number(end + 2, &end, &high);
    return (range[0] == '[' ? value >= low : value > low) &&
           (*end == ']' ? value <= high : value < high);
}

/* k, m, g, t are powers of 1000, K, M, G, T of 1024; 0 if it is none of them. */
static uint64_t multiplier_of(char c)
{
    static const char small[] = "kmgt", large[] = "KMGT";
    const char *s = c == '\0' ? NULL : strchr(small, c), *l = c == '\0' ? NULL : strchr(large, c);
    uint64_t    m = 1;

    for (ptrdiff_t i = 0; s != NULL && i <= s - small; i++)
        m *= 1000;
    for (ptrdiff_t i = 0; l != NULL && i <= l - large; i++)
        m *= 1024;
    return m == 1 ? 0 : m;
}

/* Digits of at most 20 places, a fraction only before a power of 1000: 25.6k. */
static bool parse_int(const char *text, __int128 *out)
{
    const char *at = text + (*text == '-');
    __int128    value = 0, unit = 1;
    uint64_t    multiplier;
    size_t      n = strspn(at, "0123456789"), n_fraction = 0;

    if (n == 0 || n > 20)
        return false;
    for (; n > 0; n--)
        value = value * 10 + (*at++ - '0');
    if (*at == '.') {
        n_fraction = strspn(++at, "0123456789");
        if (n_fraction == 0 || n_fraction > 6)
            return false;
        for (n = n_fraction; n > 0; n--, unit *= 10)
            value = value * 10 + (*at++ - '0');
    }
    multiplier = multiplier_of(*at);
    if (multiplier != 0)
        at++;
    if (*at != '\0' || (n_fraction > 0 && (multiplier == 0 || multiplier % 1000 != 0)))
        return false;
    value = value * (multiplier == 0 ? 1 : (__int128)multiplier) / unit;
    *out = *text == '-' ? -value : value;
    return true;
}

static bool parse_float(const char *text, double *out)
{
    const char *end;
    long double value;
    bool        ok = scan_number(text, &end, &value) && *end == '\0';

    *out = ok ? (double)value : 0;
    return ok && isfinite(*out);
}

static bool parse_bool(const char *text, bool *out)
{
    *out = strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "1") == 0;
    return *out || strcmp(text, "false") == 0 || strcmp(text, "False") == 0 ||
           strcmp(text, "0") == 0;
}

/* ---- Values -------------------------------------------------------------------------------- */

static llm_status_t fail_type(const lls_option_def_t *def, const char *param, const char *what,
                              const char *text, llm_error_t *err)
{
    if (def->info.range != NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be %s in %s, got \"%s\"",
                              def->info.name, what, def->info.range, text);
    return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be %s, got \"%s\"", def->info.name,
                          what, text);
}

/* vLLM's way: an integer is below or above a bound, other numbers are not in the range. */
static llm_status_t fail_range(const lls_option_def_t *def, const char *param, bool is_int,
                               long double value, const char *text, llm_error_t *err)
{
    const char *name = def->info.name, *low_text = def->info.range + 1;
    const char *high_text = strchr(low_text, ',') + 2, *end;
    long double low;
    bool        is_below;

    scan_number(low_text, &end, &low);
    is_below = value < low || (value == low && low_text[-1] == '(');
    if (is_below && def->below != NULL)
        return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be %s, got %s", name,
                              def->below, text);
    if (!is_int)
        return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be in %s, got %s", name,
                              def->info.range, text);
    if (is_below)
        return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be at least %.*s, got %s", name,
                              (int)strcspn(low_text, ","), low_text, text);
    return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be at most %.*s, got %s", name,
                          (int)strcspn(high_text, "])"), high_text, text);
}

static llm_status_t parse_number(const lls_option_def_t *def, const char *param, const char *text,
                                 lls_option_value_t *v, llm_error_t *err)
{
    bool        is_int = strcmp(def->info.type, "int") == 0;
    bool        ok = is_int ? parse_int(text, &v->i) : parse_float(text, &v->f);
    long double value = is_int ? (long double)v->i : (long double)v->f;

    if (ok && is_in_range(def->info.range, value))
        return LLM_OK;
    if (ok)
        return fail_range(def, param, is_int, value, text, err);
    return fail_type(def, param, is_int ? "an integer" : "a finite number", text, err);
}

static llm_status_t parse_word(const lls_option_def_t *def, const char *param, const char *text,
                               lls_option_value_t *v, llm_error_t *err)
{
    int32_t word = lls_option_word(def->info.type, text);

    if (word < 0 && lls_option_word(def->later, text) >= 0)
        return lls_fail_param(err, LLM_ERR_UNSUPPORTED, param,
                              "%s %s is not in this version; use one of %s", def->info.name, text,
                              def->info.type);
    if (word < 0)
        return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be one of %s, got \"%s\"",
                              def->info.name, def->info.type, text);
    v->word = (uint32_t)word;
    return LLM_OK;
}

static llm_status_t parse_json(const lls_option_def_t *def, const char *param, const char *text,
                               lls_option_value_t *v, llm_error_t *err)
{
    llm_error_t  why;
    llm_status_t st = lls_json_parse(def->info.name, text, strlen(text), &v->json, &why);

    if (st == LLM_ERR_NO_MEMORY)
        return lls_fail(err, st, "%s", why.message);
    return st == LLM_OK ? LLM_OK
                        : lls_fail_param(err, LLM_ERR_INVALID, param, "%.400s", why.message);
}

llm_status_t lls_option_check_float(const lls_option_def_t *def, const char *param, double value,
                                    llm_error_t *err)
{
    if (is_in_range(def->info.range, (long double)value))
        return LLM_OK;
    return lls_fail_param(err, LLM_ERR_INVALID, param, "%s must be in %s, got %g", def->info.name,
                          def->info.range, value);
}

llm_status_t lls_option_parse(const lls_option_def_t *def, const char *param, const char *text,
                              lls_option_value_t *v, llm_error_t *err)
{
    const char *type = def->info.type;

    *v = (lls_option_value_t){ .text = text };
    if (lls_utf8_valid(text, strlen(text)) != strlen(text))
        return lls_fail_param(err, LLM_ERR_INVALID, param, "%s is not UTF-8", def->info.name);
    if (def->special != NULL && lls_option_word(def->special, text) >= 0) {
        v->is_special = true;
        v->i = def->special_value;
        return LLM_OK;
    }
    if (strcmp(type, "int") == 0 || strcmp(type, "float") == 0)
        return parse_number(def, param, text, v, err);
    if (strcmp(type, "bool") == 0)
        return parse_bool(text, &v->b) ? LLM_OK : fail_type(def, param, "true or false", text, err);
    if (strcmp(type, "json") == 0)
        return parse_json(def, param, text, v, err);
    if (strcmp(type, "string") == 0)
        return *text != '\0' ? LLM_OK
                             : fail_type(def, param, "a string that is not empty", text, err);
    return parse_word(def, param, text, v, err);
}
