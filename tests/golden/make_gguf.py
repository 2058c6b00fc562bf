#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden models once more as GGUF, with the names and keys of the gguf package and what converters
do to the weights: reordered q and k of Llama, norms of Gemma with their 1, experts stacked.

    make_gguf.py                    needs torch, safetensors, gguf; writes gguf/NAME.gguf
"""
import json
import os

import gguf
import numpy as np
from safetensors.torch import load_file

HERE = os.path.dirname(os.path.abspath(__file__))
ARCH = {"llama": gguf.MODEL_ARCH.LLAMA, "mixtral": gguf.MODEL_ARCH.LLAMA,
        "gpt2": gguf.MODEL_ARCH.GPT2, "qwen2": gguf.MODEL_ARCH.QWEN2,
        "qwen3": gguf.MODEL_ARCH.QWEN3,
        "gemma2": gguf.MODEL_ARCH.GEMMA2, "phi3": gguf.MODEL_ARCH.PHI3}


def keys(w, c, name):
    heads = c.get("num_attention_heads", c.get("n_head"))
    w.add_block_count(c.get("num_hidden_layers", c.get("n_layer")))
    w.add_context_length(c.get("max_position_embeddings", c.get("n_positions")))
    w.add_embedding_length(c.get("hidden_size", c.get("n_embd")))
    w.add_feed_forward_length(c.get("intermediate_size", c.get("n_inner")))
    w.add_head_count(heads)
    w.add_head_count_kv(c.get("num_key_value_heads", heads))
    if "rms_norm_eps" in c:
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    else:
        w.add_layer_norm_eps(c["layer_norm_epsilon"])
    if c.get("head_dim"):
        w.add_key_length(c["head_dim"])
        w.add_value_length(c["head_dim"])
    rope = c.get("rope_parameters") or c
    if "rope_theta" in rope:
        w.add_rope_freq_base(rope["rope_theta"])
    if c.get("sliding_window"):
        w.add_sliding_window(c["sliding_window"])
    if name == "gemma2":
        w.add_attn_logit_softcapping(c["attn_logit_softcapping"])
        w.add_final_logit_softcapping(c["final_logit_softcapping"])
    if name == "mixtral":
        w.add_expert_count(c["num_local_experts"])
        w.add_expert_used_count(c["num_experts_per_tok"])
    if name == "phi3":
        dims = int(c["hidden_size"] // heads * rope["partial_rotary_factor"])
        w.add_rope_dimension_count(dims)
        w.add_rope_scaling_orig_ctx_len(c["original_max_position_embeddings"])
        original = c["original_max_position_embeddings"]
        scale = c["max_position_embeddings"] / original
        w.add_rope_scaling_attn_factors(float(np.sqrt(1 + np.log(scale) / np.log(original))))
        for kind in ("long", "short"):
            factors = np.array(rope[kind + "_factor"], dtype=np.float32)
            w.add_tensor(f"rope_factors_{kind}.weight", factors)


def permute(t, heads):
    halves = t.reshape(heads, 2, t.shape[0] // heads // 2, *t.shape[1:])
    return halves.swapaxes(1, 2).reshape(t.shape)


def tensors(state, c, name):
    if name == "mixtral":
        for i in range(c["num_hidden_layers"]):
            base = f"model.layers.{i}.block_sparse_moe.experts."
            for part in ("w1", "w2", "w3"):
                stack = [state.pop(f"{base}{e}.{part}.weight")
                         for e in range(c["num_local_experts"])]
                state[f"{base}{part}.weight"] = np.stack(stack)
    for key, t in state.items():
        if name in ("llama", "mixtral") and ".q_proj." in key:
            t = permute(t, c["num_attention_heads"])
        if name in ("llama", "mixtral") and ".k_proj." in key:
            t = permute(t, c["num_key_value_heads"])
        if name == "gpt2" and key.split(".")[-2] in ("c_attn", "c_proj", "c_fc") and t.ndim == 2:
            t = t.T
        if name == "gemma2" and key.endswith("norm.weight"):
            t = t + 1
        yield key, np.ascontiguousarray(t)


def make(name):
    c = json.load(open(f"{HERE}/{name}/config.json"))
    state = {k: v.float().numpy() for k, v in load_file(f"{HERE}/{name}/model.safetensors").items()}
    w = gguf.GGUFWriter(f"{HERE}/gguf/{name}.gguf", gguf.MODEL_ARCH_NAMES[ARCH[name]])
    names = gguf.get_tensor_name_map(ARCH[name], 8)
    keys(w, c, name)
    for key, t in tensors(state, c, name):
        new = names.get_name(key, try_suffixes=(".weight", ".bias"))
        assert new, key
        if t.ndim == 1:
            w.add_tensor(new, t)
        else:
            bf16 = gguf.GGMLQuantizationType.BF16
            w.add_tensor(new, gguf.quants.quantize(t, bf16), raw_dtype=bf16)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    os.makedirs(f"{HERE}/gguf", exist_ok=True)
    for name in ARCH:
        make(name)
