/* SPDX-License-Identifier: Apache-2.0 */
#include "model/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- Names ---------------------------------------------------------------------------------- */

static const lls_name_t llama_names[] = {
    { "~embed_tokens", LLS_SLOT_EMBED, 0  },
    { "~norm", LLS_SLOT_FINAL_NORM, 0  },
    { "lm_head", LLS_SLOT_HEAD, 0 },
    { "~layers.#.input_layernorm", LLS_SLOT_NORM_IN, 0  },
    { "~layers.#.post_attention_layernorm", LLS_SLOT_NORM_MID, 0  },
    { NULL, 0, 0 },
};

static const lls_name_t llama_blocks[] = {
    { "~layers.#.self_attn.q_proj", LLS_SLOT_Q, 0  },
    { "~layers.#.self_attn.k_proj", LLS_SLOT_K, 0  },
    { "~layers.#.self_attn.v_proj", LLS_SLOT_V, 0  },
    { "~layers.#.self_attn.qkv_proj", LLS_SLOT_QKV, 0  },
    { "~layers.#.self_attn.q_norm", LLS_SLOT_Q_NORM, 0  },
    { "~layers.#.self_attn.k_norm", LLS_SLOT_K_NORM, 0  },
    { "~layers.#.self_attn.o_proj", LLS_SLOT_O, 0  },
    { "~layers.#.mlp.gate_proj", LLS_SLOT_GATE, 0  },
    { "~layers.#.mlp.up_proj", LLS_SLOT_UP, 0  },
    { "~layers.#.mlp.gate_up_proj", LLS_SLOT_GATE_UP, 0  },
    { "~layers.#.mlp.down_proj", LLS_SLOT_DOWN, 0  },
    { NULL, 0, 0 },
};

static const lls_name_t mixtral_moe[] = {
    { "~layers.#.block_sparse_moe.gate", LLS_SLOT_ROUTER, 0 },
    { "~layers.#.block_sparse_moe.experts.*.w1", LLS_SLOT_EXPERT_GATE, 0 },
    { "~layers.#.block_sparse_moe.experts.*.w3", LLS_SLOT_EXPERT_UP, 0 },
    { "~layers.#.block_sparse_moe.experts.*.w2", LLS_SLOT_EXPERT_DOWN, 0 },
    { "~layers.#.mlp.gate", LLS_SLOT_ROUTER, 0 },
    { "~layers.#.mlp.experts.gate_up_proj", LLS_SLOT_EXPERT_GATE_UP,
      LLS_NAME_STACKED | LLS_NAME_BARE },
    { "~layers.#.mlp.experts.down_proj", LLS_SLOT_EXPERT_DOWN, LLS_NAME_STACKED | LLS_NAME_BARE },
    { NULL, 0, 0 },
};

static const lls_name_t qwen_moe[] = {
    { "~layers.#.mlp.gate", LLS_SLOT_ROUTER, 0 },
    { "~layers.#.mlp.experts.*.gate_proj", LLS_SLOT_EXPERT_GATE, 0 },
    { "~layers.#.mlp.experts.*.up_proj", LLS_SLOT_EXPERT_UP, 0 },
    { "~layers.#.mlp.experts.*.down_proj", LLS_SLOT_EXPERT_DOWN, 0 },
    { "~layers.#.mlp.experts.gate_up_proj", LLS_SLOT_EXPERT_GATE_UP,
      LLS_NAME_STACKED | LLS_NAME_BARE },
    { "~layers.#.mlp.experts.down_proj", LLS_SLOT_EXPERT_DOWN, LLS_NAME_STACKED | LLS_NAME_BARE },
    { NULL, 0, 0 },
};

static const lls_name_t gemma_names[] = {
    { "~embed_tokens", LLS_SLOT_EMBED, 0  },
    { "~norm", LLS_SLOT_FINAL_NORM, LLS_NAME_PLUS_ONE  },
    { "lm_head", LLS_SLOT_HEAD, 0 },
    { "~layers.#.input_layernorm", LLS_SLOT_NORM_IN, LLS_NAME_PLUS_ONE  },
    { "~layers.#.post_attention_layernorm", LLS_SLOT_NORM_ATTN_OUT, LLS_NAME_PLUS_ONE  },
    { "~layers.#.pre_feedforward_layernorm", LLS_SLOT_NORM_MID, LLS_NAME_PLUS_ONE  },
    { "~layers.#.post_feedforward_layernorm", LLS_SLOT_NORM_FFN_OUT, LLS_NAME_PLUS_ONE  },
    { "~layers.#.self_attn.q_norm", LLS_SLOT_Q_NORM, LLS_NAME_PLUS_ONE  },
    { "~layers.#.self_attn.k_norm", LLS_SLOT_K_NORM, LLS_NAME_PLUS_ONE  },
    { NULL, 0, 0 },
};

static const lls_name_t gpt2_names[] = {
    { "~wte", LLS_SLOT_EMBED, 0  },
    { "~wpe", LLS_SLOT_POSITIONS, 0  },
    { "~ln_f", LLS_SLOT_FINAL_NORM, 0  },
    { "lm_head", LLS_SLOT_HEAD, 0 },
    { "~h.#.ln_1", LLS_SLOT_NORM_IN, 0  },
    { "~h.#.attn.c_attn", LLS_SLOT_QKV, LLS_NAME_TRANSPOSED  },
    { "~h.#.attn.c_proj", LLS_SLOT_O, LLS_NAME_TRANSPOSED  },
    { "~h.#.ln_2", LLS_SLOT_NORM_MID, 0  },
    { "~h.#.mlp.c_fc", LLS_SLOT_UP, LLS_NAME_TRANSPOSED  },
    { "~h.#.mlp.c_proj", LLS_SLOT_DOWN, LLS_NAME_TRANSPOSED  },
    { NULL, 0, 0 },
};

static const lls_name_t opt_names[] = {
    { "~embed_tokens", LLS_SLOT_EMBED, 0  },
    { "~embed_positions", LLS_SLOT_POSITIONS, 0  },
    { "~project_in", LLS_SLOT_PROJECT_IN, 0  },
    { "~project_out", LLS_SLOT_PROJECT_OUT, 0  },
    { "~final_layer_norm", LLS_SLOT_FINAL_NORM, 0  },
    { "lm_head", LLS_SLOT_HEAD, 0 },
    { "~layers.#.self_attn_layer_norm", LLS_SLOT_NORM_IN, 0  },
    { "~layers.#.self_attn.q_proj", LLS_SLOT_Q, 0  },
    { "~layers.#.self_attn.k_proj", LLS_SLOT_K, 0  },
    { "~layers.#.self_attn.v_proj", LLS_SLOT_V, 0  },
    { "~layers.#.self_attn.out_proj", LLS_SLOT_O, 0  },
    { "~layers.#.final_layer_norm", LLS_SLOT_NORM_MID, 0  },
    { "~layers.#.fc1", LLS_SLOT_UP, 0  },
    { "~layers.#.fc2", LLS_SLOT_DOWN, 0  },
    { NULL, 0, 0 },
};

/* Names of GGUF are common to all architectures; norms have their 1 added already. */
static const lls_name_t gguf_names[] = {
    { "token_embd", LLS_SLOT_EMBED, 0 },
    { "position_embd", LLS_SLOT_POSITIONS, 0 },
    { "output_norm", LLS_SLOT_FINAL_NORM, 0 },
    { "output", LLS_SLOT_HEAD, 0 },
    { "blk.#.attn_norm", LLS_SLOT_NORM_IN, 0 },
    { "blk.#.post_attention_norm", LLS_SLOT_NORM_ATTN_OUT, 0 },
    { "blk.#.ffn_norm", LLS_SLOT_NORM_MID, 0 },
    { "blk.#.post_ffw_norm", LLS_SLOT_NORM_FFN_OUT, 0 },
    { "blk.#.attn_q", LLS_SLOT_Q, 0 },
    { "blk.#.attn_k", LLS_SLOT_K, 0 },
    { "blk.#.attn_v", LLS_SLOT_V, 0 },
    { "blk.#.attn_qkv", LLS_SLOT_QKV, 0 },
    { "blk.#.attn_q_norm", LLS_SLOT_Q_NORM, 0 },
    { "blk.#.attn_k_norm", LLS_SLOT_K_NORM, 0 },
    { "blk.#.attn_output", LLS_SLOT_O, 0 },
    { "blk.#.ffn_gate", LLS_SLOT_GATE, 0 },
    { "blk.#.ffn_up", LLS_SLOT_UP, 0 },
    { "blk.#.ffn_down", LLS_SLOT_DOWN, 0 },
    { "blk.#.ffn_gate_inp", LLS_SLOT_ROUTER, 0 },
    { "blk.#.ffn_gate_exps", LLS_SLOT_EXPERT_GATE, LLS_NAME_STACKED },
    { "blk.#.ffn_up_exps", LLS_SLOT_EXPERT_UP, LLS_NAME_STACKED },
    { "blk.#.ffn_down_exps", LLS_SLOT_EXPERT_DOWN, LLS_NAME_STACKED },
    { NULL, 0, 0 },
};

/* Before gguf_names: converters reorder the rows of q and k for this architecture only. */
static const lls_name_t gguf_llama[] = {
    { "blk.#.attn_q", LLS_SLOT_Q, LLS_NAME_INTERLEAVED },
    { "blk.#.attn_k", LLS_SLOT_K, LLS_NAME_INTERLEAVED },
    { NULL, 0, 0 },
};

static const lls_name_t gguf_phi3[] = {
    { "blk.#.ffn_up", LLS_SLOT_GATE_UP, 0 },
    { NULL, 0, 0 },
};

/* ---- What is peculiar ----------------------------------------------------------------------- */

/* A number that null turns off, and that has a default where the key is absent. */
static double real_or_null(lls_config_t *c, const char *key, double fallback)
{
    double off = json_is_null(json_object_get(c->at, key)) ? 0 : fallback;

    return lls_config_real(c, key, off, 0, 1e9);
}

static void llama_fixup(lls_config_t *c, lls_traits_t *t)
{
    t->bias_qkv = t->bias_o = lls_config_bool(c, "attention_bias", false);
    t->bias_mlp = lls_config_bool(c, "mlp_bias", false);
}

static void qwen3_fixup(lls_config_t *c, lls_traits_t *t)
{
    t->bias_qkv = t->bias_o = lls_config_bool(c, "attention_bias", false);
}

static void gemma_scales(lls_config_t *c, lls_traits_t *t, double attn_cap, double final_cap)
{
    t->attn_scale = (float)pow(lls_config_real(c, "query_pre_attn_scalar", 256, 1e-6, 1e9), -0.5);
    t->attn_softcap = (float)real_or_null(c, "attn_logit_softcapping", attn_cap);
    t->final_softcap = (float)real_or_null(c, "final_logit_softcapping", final_cap);
    t->embed_scale = (float)sqrt(t->hidden);
    t->bias_qkv = t->bias_o = lls_config_bool(c, "attention_bias", false);
}

static void gemma2_fixup(lls_config_t *c, lls_traits_t *t) { gemma_scales(c, t, 50, 30); }

static void gemma3_fixup(lls_config_t *c, lls_traits_t *t) { gemma_scales(c, t, 0, 0); }

static void gpt2_fixup(lls_config_t *c, lls_traits_t *t)
{
    if (!lls_config_bool(c, "scale_attn_weights", true))
        t->attn_scale = 1;
}

static void opt_fixup(lls_config_t *c, lls_traits_t *t)
{
    bool before = lls_config_bool(c, "do_layer_norm_before", true);
    bool bias = lls_config_bool(c, "enable_bias", true);

    t->place = before ? LLS_PLACE_PRE : LLS_PLACE_POST;
    t->final_norm = before && !lls_config_bool(c, "_remove_final_layer_norm", false);
    t->embed_dim = lls_config_u32(c, "word_embed_proj_dim", t->hidden, 1, 1u << 20);
    t->bias_qkv = t->bias_o = t->bias_mlp = bias;
    t->position_offset = 2;         /* the table keeps fairseq's two rows of padding */
    if (!lls_config_bool(c, "layer_norm_elementwise_affine", true))
        lls_config_refuse(c, LLM_ERR_UNSUPPORTED, "layer_norm_elementwise_affine",
                          json_object_get(c->at, "layer_norm_elementwise_affine"),
                          "norms without weights are not supported");
}

static void read_experts(lls_config_t *c, lls_traits_t *t, bool renorm)
{
    t->route.n_experts = lls_config_u32(c, "num_local_experts|num_experts", LLS_NONE, 1, 4096);
    t->route.top_k = lls_config_u32(c, "num_experts_per_tok", LLS_NONE, 1, 128);
    t->route.renorm = renorm;
    if (c->status == LLM_OK && t->route.top_k > t->route.n_experts)
        lls_config_refuse(c, LLM_ERR_FORMAT, "num_experts_per_tok",
                          json_object_get(c->at, "num_experts_per_tok"),
                          "there are fewer experts than that");
}

static void mixtral_fixup(lls_config_t *c, lls_traits_t *t)
{
    read_experts(c, t, true);
    t->moe_intermediate = t->intermediate;
}

static void qwen3_moe_fixup(lls_config_t *c, lls_traits_t *t)
{
    const json_t *dense = lls_config_get(c, "mlp_only_layers"), *at;
    uint32_t      step = lls_config_u32(c, "decoder_sparse_step", 1, 1, 1u << 16);
    size_t        i;

    qwen3_fixup(c, t);
    read_experts(c, t, lls_config_bool(c, "norm_topk_prob", false));
    t->moe_intermediate = lls_config_u32(c, "moe_intermediate_size", LLS_NONE, 1, 1u << 24);
    for (uint32_t l = 0; l < t->n_layers; l++)
        t->layers[l].ffn = (l + 1) % step == 0 ? LLS_FFN_MOE : LLS_FFN_GLU;
    json_array_foreach((json_t *)dense, i, at)
        if (json_integer_value(at) >= 0 && json_integer_value(at) < (json_int_t)t->n_layers)
            t->layers[json_integer_value(at)].ffn = LLS_FFN_GLU;
}

/* ---- Rows ----------------------------------------------------------------------------------- */

#define ROTARY "rotary_emb.inv_freq|"
#define GGUF_ROPE "rope_freqs.weight|rope_factors_long.weight|rope_factors_short.weight|"
/* What the others do not say is 0: RMS norms before the blocks, rotary positions, a gated MLP. */
#define DECODER(act_, eps_, theta_)                                                                \
    .prefixes = "model.||", .ignore = ROTARY GGUF_ROPE, .act = act_, .eps = eps_, .theta = theta_

static const lls_family_t families[] = {
    { .model_type = "llama", DECODER("silu", 1e-6, 1e4), .names = { llama_names, llama_blocks },
      .gguf = { gguf_llama, gguf_names }, .fixup = llama_fixup },
    { .model_type = "mistral", DECODER("silu", 1e-6, 1e4), .names = { llama_names, llama_blocks },
      .window = 4096, .window_rule = LLS_WINDOW_ALL },
    { .model_type = "qwen2", DECODER("silu", 1e-6, 1e4), .names = { llama_names, llama_blocks },
      .gguf = { gguf_names }, .window = 4096, .window_rule = LLS_WINDOW_LATE, .bias_qkv = 1 },
    { .model_type = "qwen3", DECODER("silu", 1e-6, 1e4), .names = { llama_names, llama_blocks },
      .gguf = { gguf_names }, .head_dim = 128, .window = 4096, .window_rule = LLS_WINDOW_LATE,
      .qk_norm = 1, .fixup = qwen3_fixup },
    { .model_type = "gemma2", DECODER("gelu_pytorch_tanh", 1e-6, 1e4),
      .names = { gemma_names, llama_blocks }, .gguf = { gguf_names }, .place = LLS_PLACE_SANDWICH,
      .head_dim = 256, .window = 4096, .window_rule = LLS_WINDOW_EVEN, .tied = 1,
      .fixup = gemma2_fixup },
    { .model_type = "gemma3_text", DECODER("gelu_pytorch_tanh", 1e-6, 1e6),
      .names = { gemma_names, llama_blocks }, .place = LLS_PLACE_SANDWICH,
      .head_dim = 256, .window = 4096, .window_rule = LLS_WINDOW_PATTERN, .qk_norm = 1, .tied = 1,
      .fixup = gemma3_fixup },
    { .model_type = "phi3", DECODER("silu", 1e-5, 1e4), .names = { llama_names, llama_blocks },
      .gguf = { gguf_phi3, gguf_names }, .yarn_is_longrope = 1, .window_rule = LLS_WINDOW_ALL },
    { .model_type = "gpt2", .prefixes = "transformer.||", .names = { gpt2_names },
      .gguf = { gguf_names }, .ignore = ".attn.bias|.attn.masked_bias|", .act = "gelu_new",
      .eps = 1e-5, .norm = LLS_NORM_LAYER, .position = LLS_POS_LEARNED, .ffn = LLS_FFN_PLAIN,
      .tied = 1, .bias_qkv = 1, .bias_o = 1, .bias_mlp = 1, .fixup = gpt2_fixup },
    { .model_type = "opt", .prefixes = "model.decoder.|decoder.||", .names = { opt_names },
      .ignore = "", .act = "relu", .eps = 1e-5, .norm = LLS_NORM_LAYER, .position = LLS_POS_LEARNED,
      .ffn = LLS_FFN_PLAIN, .tied = 1, .fixup = opt_fixup },
    { .model_type = "mixtral", DECODER("silu", 1e-5, 1e6),
      .names = { llama_names, llama_blocks, mixtral_moe }, .gguf = { gguf_llama, gguf_names },
      .window_rule = LLS_WINDOW_ALL, .ffn = LLS_FFN_MOE, .fixup = mixtral_fixup },
    { .model_type = "qwen3_moe", DECODER("silu", 1e-6, 1e4),
      .names = { llama_names, llama_blocks, qwen_moe }, .window = 4096,
      .window_rule = LLS_WINDOW_FLAG, .qk_norm = 1, .ffn = LLS_FFN_MOE, .fixup = qwen3_moe_fixup },
};

const lls_family_t *lls_family_find(const char *model_type)
{
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(families); i++)
        if (strcmp(families[i].model_type, model_type) == 0)
            return &families[i];
    return NULL;
}

const char *lls_family_list(char *text, size_t size)
{
    size_t at = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < LLS_ARRAY_LEN(families) && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", i == 0 ? "" : ", ",
                               families[i].model_type);
    return text;
}
