/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_messages - the messages of a chat request as vLLM hands them to a template.
 *
 * Content becomes one string, its parts joined by newlines, or stays a list of parts where the
 * template walks over it; the arguments of tool calls are parsed; keys that vLLM does not pass are
 * left out; reasoning has the three names that templates read.  What is made lies in the arena of
 * the run; the request stays as it is.  A mistake of the request sets r->st.
 */
#ifndef LLS_TEXT_CHAT_MESSAGES_H
#define LLS_TEXT_CHAT_MESSAGES_H

#include "text/jinja_val.h"

/* What a message that is to be gone on with ends with while it is rendered; transformers' words. */
#define LLS_CHAT_TAG "CONTINUE_FINAL_MESSAGE_TAG "

/* Whether messages, which may be NULL, is a list of at least one, and each has a role. */
bool lls_chat_check_messages(lls_jrun_t *r, const lls_jval_t *messages);
/* messages have been checked.  parts: content stays a list.  developer: the template knows this
 * role. */
lls_jval_t lls_chat_messages(lls_jrun_t *r, lls_jval_t messages, bool parts, bool developer);
/* Puts the tag behind the text of the last of messages, which lls_chat_messages() has made; gives
 * the text before. */
const lls_jstr_t *lls_chat_tag_last(lls_jrun_t *r, lls_jval_t messages);

#endif
