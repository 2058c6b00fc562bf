#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""beam_search.py MODEL - the likeliest completions, beside the one that greedy choice finds."""
import sys

from llmserve import LLM, SamplingParams
from llmserve.sampling_params import BeamSearchParams


def main(model):
    llm = LLM(model=model, max_model_len=512)
    prompts = [{"prompt": "The capital of France is"}, {"prompt": "The best way to learn is"}]
    params = BeamSearchParams(beam_width=4, max_tokens=8)
    beams = llm.beam_search(prompts, params)
    greedy = llm.generate(prompts, SamplingParams(temperature=0, max_tokens=8, logprobs=0),
                          use_tqdm=False)
    for found, chosen in zip(beams, greedy):
        print(f"greedy  {chosen.outputs[0].cumulative_logprob:8.3f} "
              f"{chosen.prompt + chosen.outputs[0].text!r}")
        for sequence in found.sequences:
            print(f"beam    {sequence.cum_logprob:8.3f} {sequence.text!r}")


if __name__ == "__main__":
    main(sys.argv[1])
