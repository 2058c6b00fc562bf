#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes vectors.txt: what the Python package gguf (and numpy) make of blocks of each format.

    pip install gguf numpy && make.py > vectors.txt

One line a case: format, the bytes of its blocks in hex, the float32 values in hex, little-endian.
Each format has one case of quantised normal values, where the package can quantise to it, and one
of random bytes (all codes, scales of either sign, subnormal scales).
"""
import numpy as np
from gguf import GGMLQuantizationType as T, quants

BLOCKS = 3
rng = np.random.default_rng(20240607)

# where a block has its f16 scale and, if any, its f16 minimum
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.IQ4_NL: [0],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
          T.IQ4_XS: [0]}


def random_blocks(kind, n):
    _, size = quants.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
    halves = [0.0123, -1.5, 6e-8, 2.5e-6, -0.0, 61440.0]
    for b in range(n):
        for h, at in enumerate(HALVES[kind]):
            raw[b, at:at + 2] = np.array([halves[2 * b + h]], dtype="<f2").view(np.uint8)
    return raw.reshape(-1)


def emit(kind, raw, values):
    print(kind.name, raw.tobytes().hex(), np.ascontiguousarray(values, dtype="<f4").tobytes().hex())


for kind in (T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0):
    values = rng.standard_normal((1, 32 * BLOCKS), dtype=np.float32)
    normal = quants.quantize(values, kind).reshape(-1)
    for raw in (normal, random_blocks(kind, BLOCKS)):
        emit(kind, raw, quants.dequantize(raw, kind))

plain = np.array([0, -0.0, 1, -2.5, 1e-7, 6.1e-5, 65504, np.inf, -np.inf, 0.1, 1e-8, 3.14159274],
                 dtype="<f4")
emit(T.F32, plain, plain)
emit(T.F16, plain.astype("<f2"), plain.astype("<f2").astype("<f4"))
wide = (plain.view("<u4") >> 16).astype("<u2")
emit(T.BF16, wide, (wide.astype("<u4") << 16).view("<f4"))

for kind in (T.IQ4_NL, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_XS):
    raw = random_blocks(kind, BLOCKS)
    emit(kind, raw, quants.dequantize(raw, kind))
