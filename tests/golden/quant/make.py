#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes vectors.txt: what the Python package gguf (and numpy) make of blocks of each format.

    pip install gguf numpy && make.py > vectors.txt

One line a case: format, the bytes of its blocks in hex, the float32 values in hex, little-endian.
Each format has one case of quantised normal values and one of random bytes (all codes, scales of
either sign, subnormal scales).
"""
import numpy as np
from gguf import GGMLQuantizationType as T, quants

BLOCKS = 3
rng = np.random.default_rng(20240607)


def random_blocks(kind):
    _, size = quants.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    halves = [0.0123, -1.5, 6e-8, 2.5e-6, -0.0, 61440.0]
    n_halves = 2 if kind in (T.Q4_1, T.Q5_1) else 1
    for b in range(BLOCKS):
        for h in range(n_halves):
            raw[b, 2 * h:2 * h + 2] = np.array([halves[2 * b + h]], dtype="<f2").view(np.uint8)
    return raw.reshape(-1)


def emit(kind, raw, values):
    print(kind.name, raw.tobytes().hex(), np.ascontiguousarray(values, dtype="<f4").tobytes().hex())


for kind in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0):
    values = rng.standard_normal((1, 32 * BLOCKS), dtype=np.float32)
    normal = quants.quantize(values, kind).reshape(-1)
    for raw in (normal, random_blocks(kind)):
        emit(kind, raw, quants.dequantize(raw, kind))

plain = np.array([0, -0.0, 1, -2.5, 1e-7, 6.1e-5, 65504, np.inf, -np.inf, 0.1, 1e-8, 3.14159274],
                 dtype="<f4")
emit(T.F32, plain, plain)
emit(T.F16, plain.astype("<f2"), plain.astype("<f2").astype("<f4"))
wide = (plain.view("<u4") >> 16).astype("<u2")
emit(T.BF16, wide, (wide.astype("<u4") << 16).view("<f4"))
