#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""prefix_caching.py MODEL - prompts with one long beginning, which is computed once."""
import sys
import time

from llmserve import LLM, SamplingParams

BEGINNING = ("You are an expert school principal, skilled in effectively managing faculty and "
             "staff. Draft 10-15 questions for a potential first grade Head Teacher for my K-12, "
             "all-girls', independent school that emphasizes community, joyful discovery, and "
             "life-long learning. The candidate is coming in for a first-round panel interview. ")
PROMPTS = ["The first question is", "A question on discipline is", "The last question is"]


def run(llm, title):
    start = time.perf_counter()
    outputs = llm.generate([BEGINNING + p for p in PROMPTS],
                           SamplingParams(temperature=0, max_tokens=12), use_tqdm=False)
    seconds = time.perf_counter() - start
    cached = [output.num_cached_tokens for output in outputs]
    print(f"{title}: {seconds:.2f} s, tokens found in the cache: {cached}")
    return [output.outputs[0].text for output in outputs]


def main(model):
    plain = run(LLM(model=model, max_model_len=512, enable_prefix_caching=False), "without cache")
    llm = LLM(model=model, max_model_len=512, enable_prefix_caching=True)
    llm.generate(BEGINNING, SamplingParams(max_tokens=1), use_tqdm=False)    # warms it
    cached = run(llm, "with cache   ")
    print("the same texts:", plain == cached)
    llm.reset_prefix_cache()
    run(llm, "after a reset")


if __name__ == "__main__":
    main(sys.argv[1])
