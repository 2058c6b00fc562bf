/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_config - GGUF metadata as the config.json that the same model would have, so that one reader
 * serves both.  Architectures whose keys and names are not known for certain are refused by name.
 */
#ifndef LLS_MODEL_GGUF_CONFIG_H
#define LLS_MODEL_GGUF_CONFIG_H

#include "base/gguf.h"
#include "base/json.h"

/* The caller calls json_decref(*out). */
llm_status_t lls_gguf_config(const lls_gguf_t *gguf, const char *file, json_t **out,
                             llm_error_t *err);

#endif
