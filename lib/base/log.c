/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

void lls_log(const lls_log_t *log, int32_t level, const char *module, const char *fmt, ...)
{
    char    line[512];
    va_list ap;

    if (log == NULL || log->fn == NULL || level > log->level)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    log->fn(log->user, level, module, line);
}
