#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes rows of the demonstration model multiples of 256, so that all its matrices can be K-quants.

    pad_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf PADDED.gguf      needs gguf, numpy

576 becomes 768 by zeros and 9 heads over 3 become 12 over 4; the mean of the norms is then over 768
values, which their weights and epsilon make good, so the model computes what it did.  PADDED is
float16; quantise it with the quantizer of your choice, then run smollm2_test with LLM_DEMO_MODEL
naming the result: its comparison with float32 holds for every file of this model.
"""
import sys

import gguf
import numpy as np

OLD, NEW, HEAD = 576, 768, 64
T = gguf.GGMLQuantizationType


def padded(name, t):
    if "norm" in name:
        t = t * np.float32(np.sqrt(OLD / NEW))
    shape = [{OLD: NEW, 3 * HEAD: 4 * HEAD}.get(n, n) for n in t.shape]
    return np.pad(t, [(0, new - old) for old, new in zip(t.shape, shape)])


def main(source, target):
    r = gguf.GGUFReader(source)
    w = gguf.GGUFWriter(target, "llama")
    changed = {"llama.embedding_length": NEW, "llama.attention.head_count": NEW // HEAD,
               "llama.attention.head_count_kv": 4, "general.file_type": 1,
               "llama.rope.dimension_count": HEAD}
    for key, field in r.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        value = changed.get(key, field.contents())
        if key == "llama.attention.layer_norm_rms_epsilon":
            value = value * OLD / NEW
        kind = field.types[0]
        w.add_key_value(key, value, kind, field.types[-1] if len(field.types) > 1 else None)
    for t in r.tensors:
        values = padded(t.name, gguf.quants.dequantize(t.data, t.tensor_type))
        kind = T.F32 if values.ndim == 1 else T.F16
        w.add_tensor(t.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


main(sys.argv[1], sys.argv[2])
