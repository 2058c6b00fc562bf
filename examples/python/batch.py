#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""batch.py MODEL - prompts of every form with parameters of their own, and one that is wrong."""
import sys

from llmserve import LLM, SamplingParams


def main(model):
    llm = LLM(model=model, max_model_len=512)
    ids = llm.get_tokenizer().encode("One, two, three, four,")
    jobs = [
        ("The capital of Italy is", SamplingParams(temperature=0, max_tokens=8)),
        ("Once upon a time", SamplingParams(n=2, temperature=0.9, seed=1, max_tokens=16)),
        ({"prompt_token_ids": ids}, SamplingParams(temperature=0, max_tokens=12, stop=["eight"])),
        ({"prompt": "Yes or no? Is water wet?"}, SamplingParams(
            temperature=0, max_tokens=1, allowed_token_ids=[
                llm.get_tokenizer().encode(word)[-1] for word in (" Yes", " No")])),
        ([10**9], SamplingParams()),
        ("A list of colours: red,", SamplingParams(temperature=0.7, top_k=20, min_p=0.05, seed=3,
                                                   presence_penalty=0.5, max_tokens=16)),
    ]
    outputs = llm.generate([prompt for prompt, _ in jobs], [params for _, params in jobs])
    for output in outputs:
        if output.error is not None:
            print(f"{output.request_id}: refused: {output.error}")
            continue
        for completion in output.outputs:
            print(f"{output.request_id}.{completion.index}: {completion.text!r} "
                  f"({completion.finish_reason}, {len(completion.token_ids)} tokens)")


if __name__ == "__main__":
    main(sys.argv[1])
