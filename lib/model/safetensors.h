/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors - the header of one .safetensors file as a table of tensors.
 *
 * The format: eight bytes of length, that many bytes of JSON, then data.  Data is covered by the
 * tensors without holes, overlap or rest, as the reference reader wants it; the length of the
 * header is checked against the file before anything is allocated.  F32, F16 and BF16 are read,
 * other types are refused by name.
 */
#ifndef LLS_MODEL_SAFETENSORS_H
#define LLS_MODEL_SAFETENSORS_H

#include "model/weights.h"

#define LLS_SAFETENSORS_MAX_HEADER 100000000u       /* bytes, as in the reference reader */

typedef struct lls_safetensors {
    lls_weight_t *items;            /* in the order of the header; data points into the file */
    char         *names;            /* of all items */
    uint32_t      n;
} lls_safetensors_t;

/* data[0 .. size) is the whole file and outlives the table; name stands in messages only. */
llm_status_t lls_safetensors_init(lls_mem_t *mem, lls_safetensors_t *file, const uint8_t *data,
                                  uint64_t size, const char *name, llm_error_t *err);
void         lls_safetensors_deinit(lls_mem_t *mem, lls_safetensors_t *file);

#endif
