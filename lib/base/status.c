/* SPDX-License-Identifier: Apache-2.0 */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

/* One line of UTF-8, whatever a file or user put into it and wherever it was cut. */
static void clean(char *text)
{
    uint32_t cp;

    for (size_t left = strlen(text), n; left > 0; left -= n, text += n) {
        n = lls_utf8_decode(text, left, &cp);
        if (n == 0 || cp < ' ') {
            *text = n == 0 ? '?' : ' ';
            n = 1;
        }
    }
}

static llm_status_t set_error(llm_error_t *err, llm_status_t status, const char *param,
                              const char *fmt, va_list ap)
{
    if (err == NULL)
        return status;
    memset(err, 0, sizeof *err);
    err->status = status;
    snprintf(err->param, sizeof err->param, "%s", param);
    vsnprintf(err->message, sizeof err->message, fmt, ap);
    clean(err->param);
    clean(err->message);
    return status;
}

llm_status_t lls_fail(llm_error_t *err, llm_status_t status, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_error(err, status, "", fmt, ap);
    va_end(ap);
    return status;
}

llm_status_t lls_fail_param(llm_error_t *err, llm_status_t status, const char *param,
                            const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    set_error(err, status, param, fmt, ap);
    va_end(ap);
    return status;
}

#ifndef NDEBUG
/* Weak, so that a test can catch what it planted. */
__attribute__((weak)) void lls_panic(const char *file, int line, const char *what)
{
    (void)file, (void)line, (void)what;
    __builtin_trap();
}
#endif
