/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detok_window - HF's DecodeStream as it is, with vLLM's restart, for decoders of the kind CHAIN.
 * The window is what was put out last and what came since; it is decoded whole for each token.
 */
#ifndef LLS_TEXT_DETOK_WINDOW_H
#define LLS_TEXT_DETOK_WINDOW_H

#include "text/detok.h"

typedef struct lls_detok_window lls_detok_window_t;

llm_status_t lls_detok_window_init(lls_detok_t *d, const int32_t *prompt, size_t n,
                                   llm_error_t *err);
llm_status_t lls_detok_window_push(lls_detok_t *d, int32_t id, llm_error_t *err);
/* NULL without memory. */
lls_detok_window_t *lls_detok_window_copy(const lls_detok_window_t *w);
void                lls_detok_window_destroy(lls_detok_window_t *w);

#endif
