#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the golden models: tiny random checkpoints and what transformers says about them.

    make_models.py [FAMILY ...]     needs torch, transformers, safetensors; writes beside this file

A folder has config.json and model.safetensors (bfloat16) as a checkpoint has them, expected.json
(cases: overrides of the config, prompts, greedy continuation, KL divergence of transformers' own
bfloat16) and expected.safetensors (log-probabilities in float32 at every position of the prompts;
for long prompts of some columns).
"""
import json
import os
import sys

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
SMALL = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, vocab_size=128, max_position_embeddings=512,
             bos_token_id=1, eos_token_id=2, pad_token_id=0, initializer_range=0.15)


def factors(n, step):
    return [round(1 + step * i, 3) for i in range(n)]


PLAIN = ("default", {}, [(96, True), (300, False)])     # length of prompt, all columns


def rope(kind, **more):
    return {"rope_parameters": dict(rope_type=kind, rope_theta=10000.0, **more)}


# name: (model_type, settings, settings as an old checkpoint has them, [(case, overrides, prompts)])
FAMILIES = {
    "llama": ("llama", dict(SMALL, head_dim=32, rms_norm_eps=1e-5, intermediate_size=64), {}, [
        PLAIN,
        ("linear", rope("linear", factor=4.0), [(144, False)]),
        ("dynamic", dict(rope("dynamic", factor=2.0), max_position_embeddings=128), [(144, False)]),
        ("yarn", rope("yarn", factor=8.0, original_max_position_embeddings=64), [(144, False)]),
        ("llama3", rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                        original_max_position_embeddings=64), [(144, False)]),
        ("longrope", rope("longrope", short_factor=factors(16, 0.1), long_factor=factors(16, 0.5),
                          original_max_position_embeddings=128), [(144, False)]),
        ("old-names", {"rope_parameters": None, "rope_theta": 500000.0,
                       "rope_scaling": {"type": "linear", "factor": 2.0}}, [(144, False)]),
    ]),
    "llama_bias": ("llama", dict(SMALL, attention_bias=True, mlp_bias=True, num_key_value_heads=1,
                                 tie_word_embeddings=True), {}, [PLAIN]),
    "mistral": ("mistral", dict(SMALL, head_dim=16, sliding_window=37),
                {"rope_theta": 1000000.0}, [PLAIN]),
    "qwen2": ("qwen2", dict(SMALL, intermediate_size=100, use_sliding_window=True,
                            sliding_window=48, max_window_layers=1, tie_word_embeddings=True),
              {"rope_theta": 1000000.0}, [PLAIN]),
    "qwen3": ("qwen3", dict(SMALL, head_dim=64, num_attention_heads=2, num_key_value_heads=1),
              {}, [PLAIN]),
    "gemma2": ("gemma2", dict(SMALL, hidden_size=48, head_dim=32, sliding_window=40,
                              query_pre_attn_scalar=24, attn_logit_softcapping=5.0,
                              final_logit_softcapping=8.0), {"rope_theta": 10000.0},
               [PLAIN]),
    "gemma3": ("gemma3_text", dict(SMALL, hidden_size=48, head_dim=32, num_hidden_layers=3,
                                   sliding_window=40, query_pre_attn_scalar=32,
                                   sliding_window_pattern=3, rope_theta=1000000.0,
                                   rope_local_base_freq=10000.0),
               {"rope_theta": 1000000.0, "rope_local_base_freq": 10000.0,
                "sliding_window_pattern": 3, "rope_scaling": {"rope_type": "linear",
                "factor": 8.0}},
               [PLAIN]),
    "phi3": ("phi3", dict(SMALL, partial_rotary_factor=0.75, original_max_position_embeddings=128,
                          sliding_window=100, rope_parameters=dict(
                              rope_type="longrope", rope_theta=10000.0, partial_rotary_factor=0.75,
                              short_factor=factors(6, 0.05), long_factor=factors(6, 0.7))), {},
             [("short", {}, [(96, True)]), ("long", {}, [(300, False)])]),
    "gpt2": ("gpt2", dict(n_embd=60, n_head=3, n_layer=2, n_inner=160, n_positions=320,
                          vocab_size=131, bos_token_id=1, eos_token_id=2, initializer_range=0.15),
                          {},
             [PLAIN]),
    "opt": ("opt", dict(hidden_size=64, ffn_dim=128, num_hidden_layers=2, num_attention_heads=2,
                        vocab_size=128, max_position_embeddings=320, word_embed_proj_dim=64,
                        init_std=0.15, bos_token_id=2, eos_token_id=2, pad_token_id=1), {},
            [PLAIN]),
    "opt_post": ("opt", dict(hidden_size=64, ffn_dim=128, num_hidden_layers=2,
                             num_attention_heads=4, vocab_size=128, max_position_embeddings=320,
                             word_embed_proj_dim=32,
                             do_layer_norm_before=False, init_std=0.15, bos_token_id=2,
                             eos_token_id=2, pad_token_id=1), {}, [PLAIN]),
    "mixtral": ("mixtral", dict(SMALL, intermediate_size=40, num_local_experts=4,
                                num_experts_per_tok=2, head_dim=16),
                {"rope_theta": 1000000.0}, [PLAIN]),
    "qwen3_moe": ("qwen3_moe", dict(SMALL, head_dim=32, num_attention_heads=2,
                                    num_key_value_heads=1, num_hidden_layers=3,
                                    mlp_only_layers=[1], num_experts=6,
                                    num_experts_per_tok=3, moe_intermediate_size=16,
                                    intermediate_size=64,
                                    norm_topk_prob=True), {},
                  [PLAIN]),
}


def randomise(model, spread):
    """Norms and biases, which initialisation leaves at 1 and 0; and the ends of the model."""
    for name, p in model.named_parameters():
        if p.dim() == 1:
            p.data += torch.randn_like(p) * 0.1
        elif "embed" in name or "wte" in name or "lm_head" in name:
            p.data = torch.randn_like(p) * spread


def rewrite_config(folder, old):
    """A checkpoint as transformers 4 wrote it: old names only."""
    path = os.path.join(folder, "config.json")
    config = json.load(open(path))
    for key in ("transformers_version", "architectures", "use_cache", "initializer_range"):
        config.pop(key, None)
    if old:
        config.pop("rope_parameters", None)
        config.pop("layer_types", None)
        config["torch_dtype"] = config.pop("dtype")
        config.update(old)
    json.dump(config, open(path, "w"), indent=1)


def load(folder, overrides, dtype):
    config = json.load(open(os.path.join(folder, "config.json")))
    config.update(overrides)
    kind = config.pop("model_type")
    config.pop("dtype", None), config.pop("torch_dtype", None)
    config = AutoConfig.for_model(kind, **config)
    return AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype,
                                                attn_implementation="eager").eval()


def logprobs(model, ids):
    return model(torch.tensor([ids])).logits[0].float().log_softmax(-1)


def greedy(model, ids, n):
    out, gap = [], 1e9
    for _ in range(n):
        lp = logprobs(model, ids + out)[-1]
        top = lp.topk(2)
        gap = min(gap, float(top.values[0] - top.values[1]))
        out.append(int(top.indices[0]))
    return out, gap


def run_case(folder, name, overrides, prompts, vocab, tensors):
    exact, rounded = load(folder, overrides, torch.float32), load(folder, overrides, torch.bfloat16)
    case = {"name": name, "overrides": overrides, "prompts": []}
    kl, n = 0.0, 0
    gen = torch.Generator().manual_seed(len(name))
    for number, (length, full) in enumerate(prompts):
        ids = torch.randint(3, vocab, (length,), generator=gen).tolist()
        p, q = logprobs(exact, ids), logprobs(rounded, ids)
        kl += float((p.exp() * (p - q)).sum())
        n += length
        columns = list(range(vocab)) if full else list(range(0, vocab, 6 if length > 144 else 16))
        tensors[f"{name}.{number}"] = p[:, columns].contiguous()
        case["prompts"].append({"ids": ids, "columns": 0 if full else columns})
    full = prompts[0][1]
    case.update(bf16_kl=kl / n, vocab=vocab, brief=not full, greedy=[])
    gap = 0
    if full:
        case["greedy"], gap = greedy(exact, case["prompts"][0]["ids"], 24)
    print(f"{os.path.basename(folder)} {name}: bf16 KL {kl / n:.6f}, greedy gap {gap:.4f}, "
          f"entropy {float(-(p.exp() * p).sum(-1).mean()):.2f}")
    return case


def make(name):
    kind, settings, old, cases = FAMILIES[name]
    folder = os.path.join(HERE, name)
    torch.manual_seed(sum(map(ord, name)))
    config = AutoConfig.for_model(kind, **settings)
    model = AutoModelForCausalLM.from_config(config).to(torch.float32)
    randomise(model, 0.3)
    model.to(torch.bfloat16).save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    save_file(load_file(path), path)
    for extra in ("generation_config.json",):
        if os.path.exists(os.path.join(folder, extra)):
            os.remove(os.path.join(folder, extra))
    rewrite_config(folder, old)
    tensors = {}
    vocab = settings["vocab_size"]
    expected = [run_case(folder, *case, vocab, tensors) for case in cases]
    save_file(tensors, os.path.join(folder, "expected.safetensors"))
    for file in ("model.safetensors", "expected.safetensors"):
        os.chmod(os.path.join(folder, file), 0o644)
    with open(os.path.join(folder, "expected.json"), "w") as out:
        json.dump({"cases": expected}, out, separators=(",", ":"))
    size = sum(os.path.getsize(os.path.join(folder, f)) for f in os.listdir(folder))
    print(f"  {size} bytes: {sorted(load_file(path))[:3]} ...")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        for name in sys.argv[1:] or FAMILIES:
            make(name)
