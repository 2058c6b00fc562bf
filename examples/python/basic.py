#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""basic.py MODEL - completes a few prompts, sampling each in the same way."""
import sys

from llmserve import LLM, SamplingParams

PROMPTS = [
    "Hello, my name is",
    "The president of the United States is",
    "The capital of France is",
    "The future of AI is",
]


def main(model):
    params = SamplingParams(temperature=0.8, top_p=0.95, seed=0, max_tokens=24)
    llm = LLM(model=model, max_model_len=512)
    for output in llm.generate(PROMPTS, params):
        print(f"Prompt:    {output.prompt!r}\nGenerated: {output.outputs[0].text!r}\n")


if __name__ == "__main__":
    main(sys.argv[1])
