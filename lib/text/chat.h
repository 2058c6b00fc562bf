/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat - an OpenAI chat request, as JSON, to the text or the tokens of a prompt, as vLLM does it.
 *
 * Keys read: messages, tools, documents, add_generation_prompt (true when absent, but for
 * continue_final_message), continue_final_message, chat_template, chat_template_kwargs; others are
 * ignored.  chat_template is a template, or the name of one where the model has several; without it
 * a model's "tool_use" serves requests with tools, and "default" the others.
 *
 * A tokenizer's templates are compiled when the first request needs one and then shared by all
 * threads; one that a request brings is compiled for it.  Every byte of the rendered text knows
 * whether it came from the template or from the request: special tokens spelled by the request stay
 * text in lls_chat_encode(), while merges cross the border as in the whole text.  Any thread.
 */
#ifndef LLS_TEXT_CHAT_H
#define LLS_TEXT_CHAT_H

#include "text/tokenizer.h"

/* Another default template, before anybody else knows the tokenizer.  One that does not compile is
 * LLM_ERR_FORMAT or LLM_ERR_UNSUPPORTED. */
llm_status_t lls_chat_set_template(lls_tokenizer_t *t, const char *text, size_t len,
                                   llm_error_t *err);
/* The time that strftime_now() tells, in seconds since 1970; < 0 = the clock's.  As above. */
void lls_chat_set_time(lls_tokenizer_t *t, int64_t now);
/* *text is from scratch, the caller's to free, and has a NUL behind its *n bytes. */
llm_status_t lls_chat_render(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *chat,
                             size_t len, char **text, size_t *n, llm_error_t *err);
llm_status_t lls_chat_encode(const lls_tokenizer_t *t, lls_mem_t *scratch, const char *chat,
                             size_t len, int32_t **ids, size_t *n, llm_error_t *err);

#endif
