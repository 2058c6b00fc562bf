/* SPDX-License-Identifier: Apache-2.0 */
/*
 * log - lines for the host's log callback; nothing is ever printed by the library.
 */
#ifndef LLS_BASE_LOG_H
#define LLS_BASE_LOG_H

#include "base/status.h"

typedef struct lls_log {
    llm_log_fn fn;                  /* NULL = silence */
    void      *user;
    int32_t    level;               /* LLM_LOG_*: lines above it are not made */
} lls_log_t;

/* log may be NULL.  module is a static word: "engine", "model". */
void lls_log(const lls_log_t *log, int32_t level, const char *module, const char *fmt, ...)
    LLS_PRINTF(4, 5);

#endif
