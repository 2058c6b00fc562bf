/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_int - what the files of a model share: its layers, and the plan of what load has to pack.
 *
 * bind.c makes the plan from names and traits; load.c sizes and carries it out; forward.c reads the
 * layers.  The plan and the open checkpoint are given back when loading is done.
 */
#ifndef LLS_MODEL_MODEL_INT_H
#define LLS_MODEL_MODEL_INT_H

#include "model/family.h"
#include "model/model.h"
#include "model/weights.h"
#include "tensor/quantise.h"

typedef struct lls_layer {
    lls_layer_traits_t traits;
    lls_norm_t   norm_in, norm_attn_out, norm_mid, norm_ffn_out, q_norm, k_norm;
    lls_linear_t       qkv, o, gate_up, down; /* gate_up: up alone without a gate; of all experts */
    lls_linear_t router;
    lls_rope_t   rope;
    lls_attend_t attend;
    lls_pages_t  pages;
} lls_layer_t;

typedef struct lls_bound_mat {      /* one pack() */
    const lls_wmat_t **target;
    uint32_t           first_part, n_parts;     /* n_parts of each expert */
    uint32_t           n_experts, use, dtype, quant;
} lls_bound_mat_t;

typedef struct lls_bound_vec {      /* float32 numbers; parts one after another, `add` onto each */
    const float **target;
    uint32_t      first_part, n_parts, width;
    float         add;
} lls_bound_vec_t;

typedef struct lls_bind {
    lls_wpart_t         *parts;     /* vectors have in 1 */
    const lls_weight_t **sources;   /* [n_parts] */
    lls_bound_mat_t     *mats;
    lls_bound_vec_t     *vecs;
    size_t               n_parts, cap_parts, cap_sources, n_mats, cap_mats, n_vecs, cap_vecs;
    uint32_t            *order; /* rows of q and k of a checkpoint that interleaves them, or NULL */
} lls_bind_t;

struct lls_model {
    lls_mem_t       *mem;
    const lls_log_t *log;
    const char      *cache_dir;     /* of packed weights, until loaded; or NULL */
    lls_traits_t     traits;
    uint32_t         dtype;         /* enum lls_dtype */
    uint32_t         quant;         /* enum lls_quant */
    bool             loaded;
    size_t           weight_bytes;  /* once loaded */
    lls_weights_t   *weights;       /* until loaded */
    lls_bind_t       bind;
    lls_layer_t     *layers;        /* [traits.n_layers] */
    const lls_wmat_t *embed, *positions;
    lls_linear_t     project_in, project_out, head;
    lls_norm_t       final_norm;
    lls_rope_table_t rope[LLS_MAX_ROPE_TABLES];
};

/* Names, shapes and places of all tensors; errors name the tensor. */
llm_status_t lls_model_bind(lls_model_t *m, llm_error_t *err);
void         lls_bind_deinit(lls_mem_t *mem, lls_bind_t *b);

#endif
