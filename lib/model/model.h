/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model - a decoder as data, and the one function that runs it.
 *
 * open reads config.json (or GGUF metadata) into traits and the headers of the weights, binds every
 * tensor to its place and checks that none is missing, unused or misshapen; nothing is loaded.
 * load packs the weights into memory given by the caller and closes the files.  forward is a loop
 * over layers that reads traits; it touches nothing but exec's arena and the cache, so one loaded
 * model may serve several execs at once.
 */
#ifndef LLS_MODEL_MODEL_H
#define LLS_MODEL_MODEL_H

#include "base/log.h"
#include "base/mem.h"
#include "model/traits.h"
#include "tensor/ops.h"

typedef struct lls_model lls_model_t;

typedef struct lls_model_options {
    const char *path;               /* directory or .gguf file */
    const char *load_format;        /* "auto", "safetensors", "gguf"; NULL = auto */
    const char *dtype; /* "auto", "float32", "bfloat16", "float16", "half", "float"; NULL = auto */
    const char *quantization;       /* "none", "int8", "int4", "int4_g128"; NULL = none */
    const char *hf_overrides;       /* JSON object laid over config.json; NULL = none */
    const char *weights_cache_dir;  /* kept until load: packed weights are read from there, or left
                                       there for the next; NULL = none */
    uint32_t max_model_len; /* 0 = from the model; chooses tables of ropes that depend on length */
} lls_model_options_t;

llm_status_t lls_model_open(lls_mem_t *mem, const lls_log_t *log,
                            const lls_model_options_t *options, lls_model_t **out,
                            llm_error_t *err);
void         lls_model_close(lls_model_t *m);

const lls_traits_t *lls_model_traits(const lls_model_t *m);
uint32_t            lls_model_dtype(const lls_model_t *m); /* enum lls_dtype: what "auto" came to */

/* Exact size of the arena that load fills, 64-byte aligned. */
size_t lls_model_weight_bytes(const lls_model_t *m, const lls_ops_t *ops);
/* progress may be NULL; it gets bytes of the arena, and non-zero stops with LLM_ERR_CANCELLED. */
typedef int32_t (*lls_load_progress_fn)(void *user, uint64_t done, uint64_t total);
llm_status_t lls_model_load(lls_model_t *m, const lls_ops_t *ops, void *backend, void *arena,
                            lls_load_progress_fn progress, void *user, llm_error_t *err);

/* What load does at its end; for a model of which only the sizes are wanted. */
void         lls_model_close_files(lls_model_t *m);

/* Bytes of one block of a KV group over all its layers. */
uint64_t lls_model_block_bytes(const lls_model_t *m, const lls_ops_t *ops, uint32_t group,
                               uint32_t kv_dtype, uint32_t block_tokens);
/* Where a group's blocks lie: block b at base + b * block_bytes, layer after layer in it. */
void     lls_model_bind_pages(lls_model_t *m, const lls_ops_t *ops, uint32_t group, uint8_t *base,
                              uint64_t block_bytes, uint32_t kv_dtype, uint32_t block_tokens);

/* One step.  *logits = [n_logits, n_vocab] of the tokens batch->logit_token names, in exec's arena
 * until it is rewound; *peaks (may be NULL) = theirs as in sample/sample_kernels.h, n_dims 0 where
 * they are not known; *hidden (may be NULL) = [n_tokens, hidden] after the last norm, for prompt
 * logprobs: asked for, both are in the arena too.  With exec->planning the same call sizes it. */
void lls_model_forward(lls_exec_t *x, const lls_model_t *m, const lls_batch_t *batch,
                       lls_tensor_t *logits, lls_tensor_t *peaks, lls_tensor_t *hidden);
/* logits [n, n_vocab] of n hidden states, and perhaps peaks. */
void lls_model_head(lls_exec_t *x, const lls_model_t *m, const lls_tensor_t *hidden,
                    lls_tensor_t *logits, lls_tensor_t *peaks);

#endif
