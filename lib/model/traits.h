/* SPDX-License-Identifier: Apache-2.0 */
/*
 * traits - what a config.json says, as numbers that forward() reads.
 *
 * A generic reader maps the common keys (old names and transformers 5's), a row of the family table
 * sets defaults and fixes up what is peculiar.  A new family is one row, a name map and a golden
 * test.  Keys of the must-understand list that nobody read are errors.
 *
 * Ropes whose angles depend on the length (dynamic, longrope) are decided once, for max_model_len,
 * so that cached keys stay valid: longrope takes the long factors iff max_model_len is larger than
 * original_max_position_embeddings (as vLLM does); dynamic takes its plain base up to
 * max_position_embeddings, else the base of a sequence of max_model_len tokens.
 */
#ifndef LLS_MODEL_TRAITS_H
#define LLS_MODEL_TRAITS_H

#include "base/json.h"
#include "step/kv_kind.h"
#include "tensor/ops.h"

enum lls_place { LLS_PLACE_PRE, LLS_PLACE_POST, LLS_PLACE_SANDWICH }; /* of norms around a block */
enum lls_ffn { LLS_FFN_GLU, LLS_FFN_PLAIN, LLS_FFN_MOE };
enum lls_position { LLS_POS_ROPE, LLS_POS_LEARNED };

#define LLS_MAX_ROPE_TABLES 4

typedef struct lls_layer_traits {
    uint8_t  ffn, rope_table, group;    /* group: index into traits.groups */
    uint32_t window;                    /* 0 = full attention */
} lls_layer_traits_t;

typedef struct lls_rope_traits {
    uint32_t rot_dim;
    float    factor;
    float   *inv_freq;                  /* [rot_dim / 2] */
} lls_rope_traits_t;

struct lls_family;

typedef struct lls_traits {
    const struct lls_family *family;
    char     model_type[32];
    uint32_t n_layers, hidden, n_vocab, n_heads, n_kv, head_dim;
    uint32_t max_positions;             /* the longest context that the config promises */
    uint32_t n_positions;               /* rows of the table of learned positions, else 0 */
    uint32_t intermediate, moe_intermediate, embed_dim; /* embed_dim != hidden: projections (OPT) */
    uint8_t  place, norm, qk_norm, position, act, tied;
    uint8_t  bias_qkv, bias_o, bias_mlp, interleaved_rope, final_norm;
    float    norm_eps, attn_scale, attn_softcap, final_softcap;
    float    embed_scale;               /* exact; the model rounds it to its dtype */
    uint32_t position_offset;
    lls_route_t route;                  /* n_experts 0 = dense */
    uint32_t n_rope_tables;
    lls_rope_traits_t rope[LLS_MAX_ROPE_TABLES];
    uint32_t n_groups;                  /* KV groups that the layers form: kind and window */
    struct { uint8_t kind; uint32_t window, n_layers; } groups[LLS_MAX_GROUPS];
    lls_layer_traits_t *layers;         /* [n_layers] */
    int32_t  bos_id, eos_ids[8];        /* -1 = none */
    uint32_t n_eos_ids;
    char     dtype[16];                 /* what the checkpoint says, "" = nothing */
} lls_traits_t;

/* config is a parsed config.json or its likeness; file names it in messages.  max_model_len 0 =
 * from the config.  On failure *t is as after deinit. */
llm_status_t lls_traits_read(lls_mem_t *mem, const json_t *config, const char *file,
                             uint32_t max_model_len, lls_traits_t *t, llm_error_t *err);
void         lls_traits_deinit(lls_mem_t *mem, lls_traits_t *t);

#endif
