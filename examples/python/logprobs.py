#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""logprobs.py MODEL - how likely each token was, what else was likely, and how likely texts are."""
import math
import sys

from llmserve import LLM, SamplingParams


def main(model):
    llm = LLM(model=model, max_model_len=512)
    output = llm.generate("The capital of France is", SamplingParams(
        temperature=0, max_tokens=4, logprobs=3, prompt_logprobs=1), use_tqdm=False)[0]
    print("prompt:")
    for token, row in zip(output.prompt_token_ids[1:], output.prompt_logprobs[1:]):
        best = max(row.values(), key=lambda entry: entry.logprob)
        entry = row[token]
        print(f"  {entry.decoded_token!r:12} {entry.logprob:8.3f}  rank {entry.rank:5}  likeliest "
              f"{best.decoded_token!r}")
    print("completion:")
    for row in output.outputs[0].logprobs:
        print("  " + ", ".join(f"{e.decoded_token!r} {math.exp(e.logprob):.1%}"
                               for e in row.values()))
    print(f"  sum {output.outputs[0].cumulative_logprob:.3f}")
    texts = ["The cat sat on the mat.", "The mat sat on the cat.", "Cat the on sat mat the."]
    print("perplexity:")
    for text, scored in zip(texts, llm.score_prompts(texts, use_tqdm=False)):
        rows = scored.prompt_logprobs[1:]
        total = sum(row[t].logprob for t, row in zip(scored.prompt_token_ids[1:], rows))
        print(f"  {math.exp(-total / len(rows)):10.1f}  {text}")


if __name__ == "__main__":
    main(sys.argv[1])
