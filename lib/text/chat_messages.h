/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_messages - the messages of a chat request as vLLM hands them to a template.
 *
 * Content becomes one string, its parts joined by newlines, or stays a list of parts where the
 * template walks over it; the arguments of tool calls are parsed; keys that vLLM does not pass are
 * left out; reasoning has the three names that templates read.  Any thread.
 */
#ifndef LLS_TEXT_CHAT_MESSAGES_H
#define LLS_TEXT_CHAT_MESSAGES_H

#include "base/json.h"

/* What a message that is to be gone on with ends with while it is rendered; transformers' words. */
#define LLS_CHAT_TAG "CONTINUE_FINAL_MESSAGE_TAG "

/* Whether messages is a list of at least one, and each has a role. */
llm_status_t lls_chat_check_messages(const json_t *messages, llm_error_t *err);
/* messages have been checked.  parts: content stays a list.  developer: the template knows this
 * role.  *out is the caller's to release. */
llm_status_t lls_chat_messages(lls_mem_t *mem, const json_t *messages, bool parts, bool developer,
                               json_t **out, llm_error_t *err);
/* Puts the tag behind the text of the last message.  *text: the text before, the caller's to
 * release. */
llm_status_t lls_chat_tag_last(lls_mem_t *mem, json_t *messages, json_t **text, llm_error_t *err);

#endif
