#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Token ids for the tests on the demonstration model.

    make_smollm2.py FOLDER      FOLDER has SmolLM2-135M-Instruct.Q4_1.gguf, and hf/ with the same
                                weights in bfloat16; needs torch, transformers,
                                gguf; writes smollm2.json

cases: prompt ids and the greedy continuation of transformers in float32 on the dequantised weights
(gguf) and on the rounded ones (hf).  text: for the comparison of the quantised path with float32,
five conversations of 400 tokens, the answers drawn from the model itself at temperature 0.7.
"""
import json
import os
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPTS = ["The capital of France is", "Hello, my name is", "The president of the United States is",
           "The future of AI is"]
QUESTION = "What is the capital of France? Answer in one sentence."
QUESTIONS = ["Tell me the story of a lighthouse keeper.", "How does a bicycle stay upright?",
             "Write a letter to a friend about your garden.", "Explain how bread is made.",
             "What should I see on a week in Portugal?"]


def continuation(model, ids, end):
    out = []
    while len(out) < 24 and (not out or out[-1] != end):
        logits = model(torch.tensor([ids + out])).logits[0, -1]
        out.append(int(logits.argmax()))
    return out


def conversation(model, ids, n):
    model.generation_config.eos_token_id = None
    return model.generate(torch.tensor([ids]), do_sample=True, temperature=0.7, top_k=0, top_p=1.0,
                          max_new_tokens=n - len(ids), use_cache=True)[0].tolist()


def main(folder):
    tok = AutoTokenizer.from_pretrained(folder, gguf_file=NAME)
    exact = AutoModelForCausalLM.from_pretrained(folder, gguf_file=NAME, dtype=torch.float32).eval()
    hf = os.path.join(folder, "hf")
    rounded = AutoModelForCausalLM.from_pretrained(hf, dtype=torch.float32).eval()
    prompts = [tok.encode(p) for p in PROMPTS]
    chat = [[{"role": "user", "content": q}] for q in [QUESTION] + QUESTIONS]
    chat = [tok.encode(tok.apply_chat_template(c, tokenize=False, add_generation_prompt=True))
            for c in chat]
    prompts.append(chat[0])
    cases = []
    for ids in prompts:
        cases.append({"ids": ids, "gguf": continuation(exact, ids, 2),
                      "hf": continuation(rounded, ids, 2)})
        print(repr(tok.decode(ids)), "\n  ", repr(tok.decode(cases[-1]["gguf"])), "\n  ",
              repr(tok.decode(cases[-1]["hf"])))
    text = []
    torch.manual_seed(1)
    for ids in chat[1:]:
        text += conversation(exact, ids, 400)
        print(repr(tok.decode(text[-400:])))
    with open(os.path.join(HERE, "smollm2.json"), "w") as out:
        json.dump({"cases": cases, "text": text}, out, separators=(",", ":"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    with torch.no_grad():
        main(sys.argv[1])
