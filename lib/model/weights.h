/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weights - one checkpoint on disk as a table of named tensors, whatever its container: a directory
 * with model.safetensors, or with model.safetensors.index.json and shards, or one .gguf file.
 *
 * open reads and checks headers only (against the lengths of the files, before anything is
 * allocated); data is mapped and is read when a matrix is packed.  Names must be unique, tensors
 * must not overlap.  A tensor of a type that we cannot read is an error at open that names both.
 * Read only after open, so any thread may use it.
 */
#ifndef LLS_MODEL_WEIGHTS_H
#define LLS_MODEL_WEIGHTS_H

#include "base/gguf.h"
#include "tensor/tensor.h"

typedef struct lls_weights lls_weights_t;

typedef struct lls_weight {
    const char    *name;            /* lives as long as the table */
    uint32_t       scheme;          /* enum lls_scheme: plain dtype or GGUF block format */
    uint32_t       n_dims;
    uint64_t       shape[4];        /* row-major as in PyTorch: shape[n_dims - 1] is contiguous */
    const uint8_t *data;            /* may be unaligned; little-endian */
    uint64_t       bytes;
} lls_weight_t;

/* path: a directory or a .gguf file.  load_format: "auto", "safetensors" or "gguf".  Of a directory
 * "auto" takes model.safetensors, else the shards of its index, else its only .gguf file. */
llm_status_t lls_weights_open(lls_mem_t *mem, const char *path, const char *load_format,
                              lls_weights_t **out, llm_error_t *err);
void         lls_weights_close(lls_weights_t *w);

uint32_t            lls_weights_n(const lls_weights_t *w);
const lls_weight_t *lls_weights_at(const lls_weights_t *w, uint32_t i);
/* NULL if there is no such tensor. */
const lls_weight_t *lls_weights_find(const lls_weights_t *w, const char *name);
/* The container of a .gguf checkpoint, else NULL. */
const lls_gguf_t   *lls_weights_gguf(const lls_weights_t *w);
/* Of the lengths of the files and of when they were written. */
uint64_t            lls_weights_stamp(const lls_weights_t *w);
/* Tells the kernel that a tensor's pages will be read soon, or not again (they leave this
 * process's memory; reading them again is allowed and brings them back).  Tensors of a table
 * only. */
void lls_weights_will_need(const lls_weight_t *t);
void lls_weights_done_with(const lls_weight_t *t);
/* The same for n bytes of a tensor; from any thread. */
void lls_weights_release(const void *data, size_t n);

#endif
