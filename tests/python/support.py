# SPDX-License-Identifier: Apache-2.0
"""What the tests of the Python package share.

The model is a llama of two layers with random weights and a small byte-level tokenizer; so texts
are nonsense, but the same in every run.  LLMSERVE_LIBRARY names the
library, LLM_DEMO_MODEL a real model for the tests that want one.
"""
import functools
import json
import logging
import os
import random
import shutil
import struct
import sys
import tempfile
import unittest
from array import array

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKAGE = os.path.join(ROOT, "bindings", "python")
if PACKAGE not in sys.path:
    sys.path.insert(0, PACKAGE)

N_VOCAB = 1405
BOS, EOS = 1400, 1401
CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
          "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512,
          "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
          "tie_word_embeddings": False, "vocab_size": N_VOCAB, "bos_token_id": BOS,
          "eos_token_id": EOS, "torch_dtype": "float32"}
TEMPLATE = ("{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}"
            "<|end_header_id|>{{ m.content }}<|eot_id|>{% endfor %}"
            "{% if tools %}{{ tools[0].function.name }}{% endif %}"
            "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>"
            "{% endif %}{{ note }}")


def shapes():
    hidden, kv = CONFIG["hidden_size"], CONFIG["num_key_value_heads"] * CONFIG["head_dim"]
    made = {"model.embed_tokens.weight": [N_VOCAB, hidden], "lm_head.weight": [N_VOCAB, hidden],
            "model.norm.weight": [hidden]}
    for i in range(CONFIG["num_hidden_layers"]):
        layer = {"input_layernorm": [hidden], "post_attention_layernorm": [hidden],
                 "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [kv, hidden],
                 "self_attn.v_proj": [kv, hidden], "self_attn.o_proj": [hidden, hidden],
                 "mlp.gate_proj": [hidden, hidden], "mlp.up_proj": [hidden, hidden],
                 "mlp.down_proj": [hidden, hidden]}
        made.update((f"model.layers.{i}.{name}.weight", shape) for name, shape in layer.items())
    return made


def write_weights(path):
    """Weights in [-0.25, 0.25] from a fixed seed, norms of 1, as safetensors."""
    rng, header, data = random.Random(11), {}, array("f")
    for name, shape in shapes().items():
        begin = 4 * len(data)
        if len(shape) == 1:
            data.extend([1.0] * shape[0])
        else:
            data.extend(rng.random() / 2 - 0.25 for _ in range(shape[0] * shape[1]))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [begin, 4 * len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data.tobytes())


@functools.lru_cache(maxsize=None)
def model_dir():
    """The path of the tiny model, made once a process and removed at its end."""
    holder = tempfile.TemporaryDirectory(prefix="llmserve-model-")
    model_dir.holder = holder
    path = holder.name
    shutil.copyfile(os.path.join(ROOT, "tests", "golden", "text", "llama3.json"),
                    os.path.join(path, "tokenizer.json"))
    write_weights(os.path.join(path, "model.safetensors"))
    files = {"config.json": CONFIG,
             "tokenizer_config.json": {"bos_token": "<|begin_of_text|>",
                                       "eos_token": "<|end_of_text|>",
                                       "chat_template": TEMPLATE},
             "generation_config.json": {"temperature": 0.6, "top_p": 0.9, "eos_token_id": EOS}}
    for name, content in files.items():
        with open(os.path.join(path, name), "w", encoding="utf-8") as f:
            json.dump(content, f)
    return path


ENGINE = {"dtype": "float32", "max_model_len": 256, "max_num_seqs": 64,
          "kv_cache_memory_bytes": 32 << 20, "cpu_threads": 1}


def make_llm(**keywords):
    import llmserve
    return llmserve.LLM(model_dir(), **{**ENGINE, **keywords})


@functools.lru_cache(maxsize=None)
def llm():
    """One engine for the tests that do not need their own."""
    return make_llm()


def engine_args(cls, **keywords):
    return cls(model=model_dir(), **{**ENGINE, **keywords})


def demo_model():
    path = os.environ.get("LLM_DEMO_MODEL", "")
    if not os.path.exists(path):
        raise unittest.SkipTest("LLM_DEMO_MODEL names no model")
    return path


def need_symbol(name):
    from llmserve import _ffi
    if not _ffi.has(name):
        raise unittest.SkipTest(f"the library has no {name}()")


def main():
    """unittest.main(), with exit code 77 if everything was skipped."""
    logging.getLogger("llmserve").addHandler(logging.NullHandler())
    program = unittest.main(exit=False, verbosity=1)
    result = program.result
    if result.testsRun and len(result.skipped) == result.testsRun:
        print("SKIPPED:", result.skipped[0][1])
        sys.exit(77)
    sys.exit(not result.wasSuccessful())
