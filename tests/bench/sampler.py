#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the tables of sampler.md: sample_bench, and torch's sort-based sampling of the same logits beside it.

usage: sampler.py path/to/sample_bench [rows] [vocabulary] [threads] [repeats]

torch is timed where this Python has it: temperature, top_k, top_p and multinomial in the steps of vLLM's native
sampler (sort, mask by rank, softmax, cumsum, mask, scatter back, softmax, exponential noise).  Everything is CPU
time of the process, in passes: torch's of a maximum over the row by torch, ours of the sampler's first pass.
"""
import os
import subprocess
import sys
import tempfile
import time


def torch_sample(torch, logits, top_k, top_p):
    x, order = logits.sort(dim=-1, descending=False)
    if top_k:
        limit = x[:, x.size(1) - top_k].unsqueeze(1)
        x.masked_fill_(x < limit, -torch.inf)
    if top_p < 1:
        total = x.softmax(dim=-1)
        torch.cumsum(total, dim=-1, out=total)
        drop = total <= 1 - top_p
        drop[:, -1] = False
        x.masked_fill_(drop, -torch.inf)
    kept = torch.empty_like(x).scatter_(dim=-1, index=order, src=x)
    return torch.multinomial(kept.softmax(dim=-1), 1)


def timed(work):
    t0 = time.process_time()
    work()
    return 1e3 * (time.process_time() - t0)


def median(values):
    return sorted(values)[len(values) // 2]


def time_torch(path, rows, vocabulary, threads, repeats):
    try:
        import torch
    except ImportError:
        print("\ntorch is not here, so its way was not timed.")
        return
    torch.set_num_threads(threads)
    logits = torch.from_file(path, size=rows * vocabulary, dtype=torch.float32).reshape(rows, vocabulary).clone()
    logits.amax(dim=-1)
    print(f"\ntorch {torch.__version__}, threads {threads}, logits \"normal, sd 2\"\n")
    print("| | ms | passes (torch.amax) |\n| --- | --- | --- |")
    for name, top_k, top_p in [("top_k 50", 50, 1), ("top_k 1000", 1000, 1), ("top_p 0.9", 0, 0.9),
                               ("top_k 1000, top_p 0.95", 1000, 0.95)]:
        ms, ratio = [], []
        for _ in range(repeats):
            one = timed(lambda: logits.amax(dim=-1))
            ms.append(timed(lambda k=top_k, p=top_p: torch_sample(torch, logits, k, p)))
            ratio.append(ms[-1] / one)
        print(f"| {name} | {median(ms):.0f} | {median(ratio):.0f} |", flush=True)


def main():
    bench = sys.argv[1]
    rows, vocabulary, threads, repeats = ([int(v) for v in sys.argv[2:6]] + [256, 128000, 1, 5][len(sys.argv) - 2:])
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "logits")
        subprocess.run([bench, str(rows), str(vocabulary), str(threads), "", str(repeats)], check=True,
                       env=dict(os.environ, WRITE=path))
        time_torch(path, rows, vocabulary, threads, repeats)


main()
