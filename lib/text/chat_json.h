/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_json - the JSON of a chat request, read faster than jansson does, which takes characters one
 * by one: most of the time of a render would be that.
 */
#ifndef LLS_TEXT_CHAT_JSON_H
#define LLS_TEXT_CHAT_JSON_H

#include "base/json.h"

/* The same value and the same errors as lls_json_parse("chat", ...). */
llm_status_t lls_chat_read_json(lls_mem_t *mem, const char *text, size_t len, json_t **out,
                                llm_error_t *err);

#endif
