#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes lib/text/uniclass_tab.c: character classes as HF tokenizers 0.23.3 sees them.
# Usage: make_uniclass.py > lib/text/uniclass_tab.c   (needs the package tokenizers)
from tokenizers import Regex, pre_tokenizers as pt

CPS = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
BITS = dict(L=1, N=2, M=4, SPACE=8, NUMERIC=16, PUNCT=32, WORD=64)


def removed(step):
    left = set()
    for i in range(0, len(CPS), 4096):
        s = "".join(map(chr, CPS[i:i + 4096]))
        for piece, _ in step.pre_tokenize_str(s):
            left.update(piece)
    return {c for c in CPS if chr(c) not in left}


def numeric():
    out = set()
    for i in range(0, len(CPS), 4096):
        s = "".join("a" + chr(c) for c in CPS[i:i + 4096])
        for _, (b, e) in pt.Digits(individual_digits=True).pre_tokenize_str(s):
            if e - b == 1 and b % 2 == 1:
                out.add(CPS[i + b // 2])
    return out


def word():
    out = set()
    for i in range(0, len(CPS), 4096):
        s = "".join("a" + chr(c) + " " for c in CPS[i:i + 4096])
        for _, (b, e) in pt.Whitespace().pre_tokenize_str(s):
            if b % 3 == 0 and e - b == 2:
                out.add(CPS[i + b // 3])
    return out


classes = {k: removed(pt.Split(Regex(p), "removed")) for k, p in
           dict(L=r"\p{L}", N=r"\p{N}", M=r"\p{M}", SPACE=r"\s").items()}
classes["NUMERIC"] = numeric()
classes["PUNCT"] = removed(pt.Punctuation("removed"))
classes["WORD"] = word()

table = [0] * 0x110000
for name, members in classes.items():
    for c in members:
        table[c] |= BITS[name]
runs, last = [], None
for c, bits in enumerate(table):
    if bits != last:
        runs.append(c << 8 | bits)
        last = bits
print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Written by tests/golden/text/make_uniclass.py; do not edit. */")
print('#include "text/uniclass.h"\n')
print(f"const uint32_t lls_uniclass_n_runs = {len(runs)};")
print("const uint32_t lls_uniclass_runs[] = {")
for i in range(0, len(runs), 8):
    print("    " + " ".join(f"0x{r:x}," for r in runs[i:i + 8]))
print("};")
