#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes rows.txt: logits, penalised logits and surviving tokens as vLLM's sampler makes them.

Every step is the float32 arithmetic of the torch expression that the comment names, in the order of
vLLM's model runner V2: repetition, frequency, presence, temperature, min_p, top_k, top_p.  Cases whose
outcome hangs on rounding (a cumulative probability within 1e-5 of the limit) are drawn again.
"""
import os

import numpy as np

f32 = np.float32
rng = np.random.default_rng(20)


def penalise(x, tokens, n_prompt, rep, presence, frequency):
    x = x.copy()
    seen = np.zeros(len(x), bool)
    seen[tokens] = True
    count = np.bincount(tokens[n_prompt:], minlength=len(x)).astype(f32)
    # logits = where(mask, where(logits > 0, logits / r, logits * r), logits)
    x = np.where(seen, np.where(x > 0, x / f32(rep), x * f32(rep)), x).astype(f32)
    x = (x - f32(frequency) * count).astype(f32)        # logits -= frequency * output_bin_counts
    return (x - f32(presence) * (count > 0)).astype(f32)  # logits -= presence * (counts > 0)


def softmax(x):
    e = np.exp((x - x.max()).astype(np.float64))
    return e / e.sum()


def truncate(x, temperature, min_p, top_k, top_p):
    """Kept tokens, and whether the outcome is clear of rounding."""
    x = (x / f32(temperature)).astype(f32)              # logits.div_(temperature)
    clear = True
    if min_p > 0:                                       # logits < max + log(min_p) -> -inf
        limit = x.max() + np.log(f32(min_p))
        clear &= np.abs(x - limit).min() > 1e-5
        x = np.where(x < limit, -np.inf, x).astype(f32)
    if top_k > 0:                                       # logits < sorted[-k] -> -inf
        x = np.where(x < np.sort(x)[-top_k], -np.inf, x).astype(f32)
    if top_p < 1:                                       # ascending cumsum <= 1 - p -> -inf, keep one
        order = np.argsort(x, kind="stable")
        total = np.cumsum(softmax(x)[order])
        clear &= np.abs(total[:-1] - (1 - top_p)).min() > 1e-5 if len(x) > 1 else True
        drop = total <= 1 - top_p
        drop[-1] = False
        x[order[drop]] = -np.inf
    return x > -np.inf, clear


def case():
    v = int(rng.choice([5, 40, 130]))
    n_tokens = int(rng.integers(1, 60))
    n_prompt = int(rng.integers(0, n_tokens + 1))
    tokens = rng.integers(0, max(2, v // 2), n_tokens)
    x = np.round(rng.normal(0, 3, v), 3).astype(f32)
    x += np.arange(v, dtype=f32) * f32(1e-4)            # no ties: torch's top-k may keep either
    x = np.array([f32(f"{t:.7g}") for t in x])
    rep = float(rng.choice([1, 1.2, 0.8]))
    presence, frequency = (float(rng.choice([0, 0.5, -1])) for _ in range(2))
    temperature = float(rng.choice([0.2, 0.7, 1, 1.7]))
    min_p = float(rng.choice([0, 0.02, 0.3]))
    top_k = int(rng.choice([0, 1, 3, v - 1]))
    top_p = float(rng.choice([1, 0.9, 0.3]))
    y = penalise(x, tokens, n_prompt, rep, presence, frequency)
    kept, clear = truncate(y, temperature, min_p, top_k, top_p)
    if not clear or len(np.unique(y)) < v:
        return None
    head = [v, n_tokens]
    scalars = [n_prompt, temperature, top_p, min_p, rep, presence, frequency, top_k]
    lines = [head, scalars, tokens.tolist(), [f"{t:.9g}" for t in x], [f"{t:.9g}" for t in y],
             kept.astype(int).tolist()]
    return "\n".join(" ".join(str(t) for t in line) for line in lines)


cases = []
while len(cases) < 40:
    c = case()
    if c is not None:
        cases.append(c)
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "rows.txt")
with open(path, "w", encoding="ascii") as out:
    out.write(f"{len(cases)}\n" + "\n".join(cases) + "\n")
