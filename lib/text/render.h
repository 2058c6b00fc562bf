/* SPDX-License-Identifier: Apache-2.0 */
/*
 * render - the chat formats of models that vLLM renders by hand and not by a template of the model:
 * harmony (gpt-oss) and DeepSeek V3.2.
 *
 * Each is written as a template of ours, so that limits, marks of what came from the request, and
 * errors are those of any other template.  It takes the place of the model's "default"; a request's
 * own chat_template still wins.  Beside what any template reads, harmony reads `request_messages`:
 * the messages as the request had them, whose arguments of tool calls are still text.
 */
#ifndef LLS_TEXT_RENDER_H
#define LLS_TEXT_RENDER_H

#include <stddef.h>

extern const char lls_render_harmony[];
extern const char lls_render_deepseek_v32[];

/* By model_type of config.json or general.architecture of a GGUF; NULL = the model's own template
 * is the one to use. */
const char *lls_render_find(const char *architecture);

#endif
