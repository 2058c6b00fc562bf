#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""python_overhead.py [N [TOKENS]] - what LLM.generate() adds of its own for a request, in us.

N requests (1,000) of TOKENS tokens (8) on the tiny model of tests/python.  The time of the C calls
is taken off; what is left is split into the part before the batch and the part after it, in CPU
time of this thread.  Repeated five times, the best is printed; and once more with what a user may
ask for beside it.  LLMSERVE_LIBRARY names the library.
"""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "python"))
import support

from llmserve import SamplingParams


class Timed:
    """Stands for the library in a Core: notes when its batch call begins and ends."""

    def __init__(self, lib):
        self._lib = lib
        self.began = self.ended = 0.0

    def __getattr__(self, name):
        return getattr(self._lib, name)

    def llm_generate_batch(self, *arguments):
        self.began = time.thread_time()
        try:
            return self._lib.llm_generate_batch(*arguments)
        finally:
            self.ended = time.thread_time()


def measure(llm, lib, prompts, params, look):
    best = (float("inf"),) * 3
    for _ in range(5):
        start = time.thread_time()
        outputs = llm.generate(prompts, params, use_tqdm=False)
        look(outputs)
        end = time.thread_time()
        before, after = lib.began - start, end - lib.ended
        best = min(best, (before + after, before, after))
    assert all(o.error is None for o in outputs)
    return [1e6 * seconds / len(prompts) for seconds in best]


def nothing(outputs):
    pass


def texts(outputs):
    return [o.prompt + o.outputs[0].text for o in outputs]


def logprobs(outputs):
    return [o.outputs[0].logprobs for o in outputs]


def main(n=1000, tokens=8):
    llm = support.llm()
    core = llm._core
    core._lib = lib = Timed(core._lib)
    strings = [f"number {i}" for i in range(n)]
    ids = [[1 + i % 1000, 5, 6, 7] for i in range(n)]
    plain = {"temperature": 0, "max_tokens": tokens, "ignore_eos": True}
    one = SamplingParams(**plain)
    cases = [("texts", strings, one, texts), ("token ids", ids, one, nothing),
             ("a SamplingParams each", strings, [SamplingParams(**plain) for _ in range(n)],
              nothing),
             ("logprobs 5, not looked at", strings, SamplingParams(**plain, logprobs=5), nothing),
             ("logprobs 5, looked at", strings, SamplingParams(**plain, logprobs=5), logprobs)]
    print(f"{n} requests of {tokens} tokens: us a request in Python (before + after the batch)")
    for name, prompts, params, look in cases:
        total, before, after = measure(llm, lib, prompts, params, look)
        print(f"  {name:28} {total:7.1f}  ({before:.1f} + {after:.1f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
