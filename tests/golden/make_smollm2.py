#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token ids for the tests on the demonstration model.

    make_smollm2.py FOLDER      FOLDER has SmolLM2-135M-Instruct.Q4_1.gguf, and hf/ with the same weights
                                in bfloat16; needs torch, transformers, gguf; writes smollm2.json

cases: prompt ids and the greedy continuation of transformers in float32 on the dequantised weights
(gguf) and on the rounded ones (hf).  text: 2,000 tokens of this repository for the comparison of the
quantised path with float32.
"""
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPTS = ["The capital of France is", "Hello, my name is", "The president of the United States is",
           "The future of AI is"]
QUESTION = "What is the capital of France? Answer in one sentence."
TEXTS = ["LICENSE", "lib/tensor/ops.h", "include/llm.h"]


def continuation(model, ids, end):
    out = []
    while len(out) < 24 and (not out or out[-1] != end):
        logits = model(torch.tensor([ids + out])).logits[0, -1]
        out.append(int(logits.argmax()))
    return out


def main(folder):
    tok = AutoTokenizer.from_pretrained(folder, gguf_file=NAME)
    exact = AutoModelForCausalLM.from_pretrained(folder, gguf_file=NAME, dtype=torch.float32).eval()
    rounded = AutoModelForCausalLM.from_pretrained(os.path.join(folder, "hf"), dtype=torch.float32).eval()
    prompts = [tok.encode(p) for p in PROMPTS]
    chat = tok.apply_chat_template([{"role": "user", "content": QUESTION}], add_generation_prompt=True,
                                   tokenize=False)
    prompts.append(tok.encode(chat))
    cases = []
    for ids in prompts:
        cases.append({"ids": ids, "gguf": continuation(exact, ids, 2), "hf": continuation(rounded, ids, 2)})
        print(repr(tok.decode(ids)), "\n  ", repr(tok.decode(cases[-1]["gguf"])), "\n  ",
              repr(tok.decode(cases[-1]["hf"])))
    text = []
    for file in TEXTS:
        text += tok.encode(open(os.path.join(ROOT, file)).read())[:700]
    with open(os.path.join(HERE, "smollm2.json"), "w") as out:
        json.dump({"cases": cases, "text": text[:2000]}, out, separators=(",", ":"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        main(sys.argv[1])
