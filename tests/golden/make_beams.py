#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Beam search as vLLM defines it, and the loss of given texts, over transformers in float32.

    make_beams.py                   needs torch, transformers; reads the golden models, writes
                                    beams.json beside this file

Prompts are random and chosen so that no decision is near: what is kept and what is dropped differ
by MARGIN or more, in log-probability.
transformers' own beam search (length_penalty 0, early_stopping "never") is run beside it.  Where
EOS is ignored all beams are equal.  With EOS they need not be: transformers sets a beam aside only
if it is among the best beam_width candidates of its step, vLLM wherever an EOS is proposed; how
many are equal is written down.
"""
import json
from collections import Counter

import torch
from transformers.utils import logging

from make_models import HERE, load

MODELS = ("llama", "mistral", "gpt2")
WIDTHS, PENALTIES, N_TOKENS, MARGIN = (1, 2, 4, 8), (0.0, 0.5, 1.0, 2.0), 10, 1e-4
LENGTHS = (5, 45)     # one longer than the window of mistral


class NearTie(Exception):
    pass


def apart(a, b):
    if abs(a - b) < MARGIN:
        raise NearTie


def score(prompt, beam, eos, penalty):
    tokens, total = beam
    length = len(prompt) + len(tokens) - (tokens[-1] == eos)
    return total / length ** penalty


def proposals(model, sequences, width, eos):
    """Of each sequence the 2 * width likeliest tokens with their log-probabilities."""
    rows = model(torch.tensor(sequences)).logits[:, -1].double().log_softmax(-1)
    top = rows.topk(2 * width)
    for row, values in zip(rows, top.values):
        if row[eos] != values[-1]:
            apart(float(row[eos]), float(values[-1]))
    return [list(zip(t.tolist(), v.tolist())) for t, v in zip(top.indices, top.values)]


def beam_search(model, prompt, width, penalty, eos, ignore_eos, n_tokens):
    """[(tokens, sum of log-probabilities, stopped)], best first."""
    live, completed, unit = [([], 0.0)], [], len(prompt) ** penalty

    def key(beam):
        return score(prompt, beam, eos, penalty)

    for _ in range(n_tokens):
        candidates = []
        options = proposals(model, [prompt + tokens for tokens, _ in live], width, eos)
        for (tokens, total), row in zip(live, options):
            for token, logprob in row:
                beam = (tokens + [token], total + logprob)
                if token == eos and not ignore_eos:
                    completed.append(beam)
                else:
                    candidates.append(beam)
        candidates.sort(key=key, reverse=True)
        if len(candidates) > width:
            apart(key(candidates[width - 1]) * unit, key(candidates[width]) * unit)
        live = candidates[:width]
    stopped = len(completed)
    ranked = sorted(((key(b), b, i < stopped) for i, b in enumerate(completed + live)),
                    key=lambda r: r[0], reverse=True)
    for a, b in zip(ranked, ranked[1:width + 1]):
        apart(a[0], b[0])
    return [(*b, done) for _, b, done in ranked[:width]]


def transformers_own(model, prompt, width, eos, n_tokens):
    out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)).long(),
                         num_beams=width, num_return_sequences=width, max_new_tokens=n_tokens,
                         do_sample=False, length_penalty=0.0, early_stopping="never",
                         eos_token_id=eos, pad_token_id=0)
    beams = []
    for row in out[:, len(prompt):].tolist():
        if eos is not None and eos in row:
            row = row[:row.index(eos) + 1]
        beams.append(row)
    return beams


def check_transformers(model, prompt, width, eos, ignore_eos, beams):
    own = transformers_own(model, prompt, width, None if ignore_eos else eos, N_TOKENS)
    equal = sum(a == b[0] for a, b in zip(own, beams))
    assert equal == width or not ignore_eos, (own, beams)
    return equal


def cases_of(model, prompt, width, eos):
    for penalty in PENALTIES:
        for ignore_eos in (False, True) if penalty < 1 else (False,):
            beams = beam_search(model, prompt, width, penalty, eos, ignore_eos, N_TOKENS)
            case = {"penalty": penalty, "ignore_eos": ignore_eos,
                    "beams": [{"tokens": t, "logprob": round(s, 6), "stopped": d}
                              for t, s, d in beams]}
            if penalty == 0:
                case["as_transformers"] = check_transformers(model, prompt, width, eos,
                                                             ignore_eos, beams)
            yield case


def common_token(model, prompt):
    """The EOS of a prompt: what many beams have."""
    beams = beam_search(model, prompt, 8, 1.0, 2, True, N_TOKENS)
    return Counter(t for tokens, _, _ in beams for t in set(tokens[1:])).most_common(1)[0][0]


def good_prompt(model, n, width, generator):
    for _ in range(1000):
        prompt = torch.randint(3, 128, (n,), generator=generator).tolist()
        try:
            eos = common_token(model, prompt)
            cases = list(cases_of(model, prompt, width, eos))
        except NearTie:
            continue
        stopped = sum(b["stopped"] for c in cases for b in c["beams"])
        if stopped >= width:
            return {"prompt": prompt, "eos": eos, "width": width, "cases": cases}
    raise SystemExit(f"no prompt of {n} tokens keeps its distance at width {width}")


def losses(model, generator):
    for n in (2, 40, 150, 300):
        tokens = torch.randint(3, 128, (1, n), generator=generator)
        yield {"tokens": tokens[0].tolist(),
               "loss": round(float(model(tokens, labels=tokens).loss), 6)}


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    logging.set_verbosity_error()
    generator = torch.Generator().manual_seed(11)
    out = {}
    for name in MODELS:
        model = load(f"{HERE}/{name}", {}, torch.float32)
        model.generation_config.eos_token_id = None
        out[name] = {"max_tokens": N_TOKENS,
                     "prompts": [good_prompt(model, n, width, generator)
                                 for n in LENGTHS for width in WIDTHS],
                     "texts": list(losses(model, generator))}
        print(name, sum(c.get("as_transformers", 0) for p in out[name]["prompts"]
                        for c in p["cases"]))
    text = json.dumps(out, separators=(",", ":")).replace('{"prompt"', '\n{"prompt"')
    open(f"{HERE}/beams.json", "w").write(text + "\n")


if __name__ == "__main__":
    main()
