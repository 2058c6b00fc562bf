/* SPDX-License-Identifier: Apache-2.0 */
/*
 * json - jansson, used while parsing only: nothing that an engine keeps points into a json_t.
 */
#ifndef LLS_BASE_JSON_H
#define LLS_BASE_JSON_H

#include <jansson.h>

#include "base/mem.h"

/* The caller calls json_decref().  LLM_ERR_FORMAT says name, line, column and the reason. */
llm_status_t lls_json_parse(const char *name, const char *text, size_t len, json_t **out,
                            llm_error_t *err);
/* Whether a parse failed for want of memory: jansson then often says nothing at all.  *why was
 * zeroed before the call. */
bool lls_json_out_of_memory(const json_error_t *why);
/* As above for a file of at most `limit` bytes. */
llm_status_t lls_json_load(lls_mem_t *mem, const char *path, uint64_t limit, json_t **out,
                           llm_error_t *err);

#endif
