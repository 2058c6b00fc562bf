#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes processors.txt: logits before and after the logits processors of transformers.

One case a block of lines, in the order in which the sampler works: allowed tokens, bias, minimum length,
repetition penalty, frequency and presence penalties (torch expressions: transformers has none), bad words,
temperature, min_p, top_k, top_p.  Each alone, then all kinds of combinations.

Results are to be equal bit for bit, so rows are chosen on which the definitions agree: transformers' top_p cuts
between equal logits where ours keeps all of them, and a cumulative probability within 1e-5 of the limit hangs on
rounding; such rows are drawn again.  The same goes for min_p.  Ties at the edge of top_k are wanted: both keep
all.  transformers looks for bad words in the whole sequence, vLLM and we in the output: the output is all there is
in these cases.
"""
import os

import torch
from transformers import (MinNewTokensLengthLogitsProcessor, MinPLogitsWarper, NoBadWordsLogitsProcessor,
                          PrefixConstrainedLogitsProcessor, RepetitionPenaltyLogitsProcessor,
                          SequenceBiasLogitsProcessor, SuppressTokensLogitsProcessor, TemperatureLogitsWarper,
                          TopKLogitsWarper, TopPLogitsWarper)

V = 93
gen = torch.Generator().manual_seed(4)


def pick(n, high=V):
    return torch.randperm(high, generator=gen)[:n].tolist()


def coin(p=0.5):
    return torch.rand((), generator=gen).item() < p


def is_clear(scores, min_p, top_k, top_p):
    """False where the outcome of min_p or top_p hangs on rounding or ties; scores are over temperature."""
    s = scores[0].double()
    if min_p > 0:
        p = torch.softmax(s, -1)
        if ((p / p.max() - min_p).abs() < 1e-5).any():
            return False
        s = s.masked_fill(p < min_p * p.max(), -torch.inf)
    if top_k > 0:
        s = s.masked_fill(s < torch.topk(s, top_k)[0][-1], -torch.inf)
    if top_p < 1:
        x = torch.sort(s)[0]
        total = torch.softmax(x, -1).cumsum(-1)
        if ((total[:-1] - (1 - top_p)).abs() < 1e-5).any():
            return False
        cut = int((total <= 1 - top_p).sum())
        if 0 < cut < len(x) and x[cut - 1] == x[cut]:
            return False
    return True


def apply(c, scores):
    ids = torch.tensor([c["tokens"]])
    prompt = ids[:, :c["n_prompt"]]
    if c["allowed"]:
        scores = PrefixConstrainedLogitsProcessor(lambda b, s: c["allowed"], 1)(ids, scores)
    if c["bias"]:
        scores = SequenceBiasLogitsProcessor([[[t], b] for t, b in c["bias"]])(ids, scores)
    if c["min_tokens"]:
        scores = MinNewTokensLengthLogitsProcessor(c["n_prompt"], c["min_tokens"], c["banned"])(ids, scores)
    if c["repetition"] != 1:
        scores = RepetitionPenaltyLogitsProcessor(c["repetition"])(ids, scores)
    counts = torch.bincount(ids[0, c["n_prompt"]:], minlength=V).float()[None]
    scores = scores - c["frequency"] * counts
    scores = scores - c["presence"] * (counts > 0)
    if c["bad"]:
        single = [w[0] for w in c["bad"] if len(w) == 1]
        if single:                  # two ways to say the same
            assert torch.equal(SuppressTokensLogitsProcessor(single)(ids, scores),
                               NoBadWordsLogitsProcessor([[t] for t in single])(ids, scores))
        scores = NoBadWordsLogitsProcessor(c["bad"])(ids, scores)
    if c["temperature"] != 1:
        scores = TemperatureLogitsWarper(c["temperature"])(ids, scores)
    if not is_clear(scores, c["min_p"], c["top_k"], c["top_p"]):
        return None
    if c["min_p"] > 0:
        scores = MinPLogitsWarper(c["min_p"])(ids, scores)
    if c["top_k"] > 0:
        scores = TopKLogitsWarper(c["top_k"])(ids, scores)
    if c["top_p"] < 1:
        scores = TopPLogitsWarper(c["top_p"])(ids, scores)
    return scores


def draw_case(on):
    """A case with the named things turned on."""
    n = int(torch.randint(8, 40, (), generator=gen))
    tokens = torch.randint(0, V // 2, (n,), generator=gen).tolist()
    bad = [[t] for t in pick(2)] + [tokens[-2:] + [7], tokens[-1:] + [11], [91, 3, 12]]
    c = {"n_prompt": 0 if "bad" in on else n // 2, "tokens": tokens,
         "allowed": pick(60) if "allowed" in on else [],
         "bias": [(t, (i - 2) * 1.375) for i, t in enumerate(pick(5))] if "bias" in on else [],
         "min_tokens": n - n // 2 + (0 if coin(0.3) else 3) if "min_tokens" in on else 0,
         "banned": pick(3) if "min_tokens" in on else [],
         "repetition": 1.3 if "repetition" in on else 1,
         "frequency": 0.4 if "frequency" in on else 0, "presence": -0.7 if "presence" in on else 0,
         "bad": bad if "bad" in on else [],
         "temperature": [0.3, 0.7, 1.9][int(torch.randint(0, 3, (), generator=gen))] if "temperature" in on else 1,
         "min_p": 0.03 if "min_p" in on else 0, "top_k": 17 if "top_k" in on else 0,
         "top_p": [0.3, 0.9, 0.95][int(torch.randint(0, 3, (), generator=gen))] if "top_p" in on else 1}
    logits = torch.randn((1, V), generator=gen) * 3
    step = 4 if coin(0.4) else 1024     # coarse values tie
    logits = (logits * step).round() / step
    result = apply(c, logits.clone())
    return None if result is None else (c, logits, result)


def lines_of(name, c, logits, result):
    rows = [[c[k] for k in ("n_prompt", "temperature", "top_k", "top_p", "min_p", "repetition", "presence",
                            "frequency", "min_tokens")],
            [len(c[k]) for k in ("tokens", "allowed", "bias", "banned", "bad")], c["tokens"], c["allowed"],
            [v for pair in c["bias"] for v in pair], c["banned"],
            [v for word in c["bad"] for v in [len(word)] + word],
            [f"{v:.9g}" for v in logits[0].tolist()], [f"{v:.9g}" for v in result[0].tolist()]]
    return [name] + [" ".join(str(v) for v in row) for row in rows]


KINDS = ["allowed", "bias", "min_tokens", "repetition", "frequency", "presence", "bad", "temperature", "min_p",
         "top_k", "top_p"]


def main():
    wanted = [[k] for k in KINDS for _ in range(2)] + [["top_k", "top_p"], ["temperature", "top_p"]] * 3
    wanted += [[k for k in KINDS if coin()] for _ in range(24)] + [KINDS] * 2
    out = [str(len(wanted)) + " " + str(V)]
    for on in wanted:
        case = None
        while case is None:
            case = draw_case(on)
        out += lines_of("+".join(on) or "nothing", *case)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "processors.txt")
    with open(path, "w", encoding="ascii") as f:
        f.write("\n".join(out) + "\n")


main()
