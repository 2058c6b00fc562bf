/* SPDX-License-Identifier: Apache-2.0 */
/*
 * status - errors of the outside world and broken promises of our own.
 *
 * Bad input from outside (files, requests, users) is a status and one line in an llm_error_t.  A
 * broken promise between our own functions is lls_assert(): on in debug and test builds, nothing
 * otherwise.  The process may replace the handler (the simulation does); the default traps.
 * Everything here may be called from any thread.
 */
#ifndef LLS_BASE_STATUS_H
#define LLS_BASE_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llm.h"

#if defined(__GNUC__)
#  define LLS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#  define LLS_PRINTF(fmt, args)
#endif

/* Writes status and message into err, which may be NULL, and returns status. */
llm_status_t lls_fail(llm_error_t *err, llm_status_t status, const char *fmt, ...) LLS_PRINTF(3, 4);
/* As lls_fail(), and names the argument, field or option at fault. */
llm_status_t lls_fail_param(llm_error_t *err, llm_status_t status, const char *param,
                            const char *fmt, ...) LLS_PRINTF(4, 5);

#ifdef NDEBUG
#  define lls_assert(cond) ((void)sizeof((cond) ? 1 : 0))
#else
void lls_panic(const char *file, int line, const char *what);
#  define lls_assert(cond) ((cond) ? (void)0 : lls_panic(__FILE__, __LINE__, #cond))
#endif

#endif
