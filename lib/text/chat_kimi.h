/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chat_kimi - the tools of a request as TypeScript, which the templates of Kimi K2.5 and its
 * successors read as `tools_ts_str`; in Python the model's own tokenizer class makes it.
 *
 * Keys of tools are sorted first, at every level, for the template too.  A schema that cannot be
 * written so leaves the variable out, and the template shows JSON.
 */
#ifndef LLS_TEXT_CHAT_KIMI_H
#define LLS_TEXT_CHAT_KIMI_H

#include "text/jinja_val.h"

/* tools with their keys in order, a copy. */
lls_jval_t lls_kimi_sort(lls_jrun_t *r, lls_jval_t tools);
/* MISSING: they cannot be written, or raised. */
lls_jval_t lls_kimi_tools(lls_jrun_t *r, lls_jval_t tools);

#endif
