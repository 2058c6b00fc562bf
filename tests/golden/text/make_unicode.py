#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes lib/text/unicat_tab.c: what characters are to the normalizers of HF tokenizers 0.23.3, which
# uses data of several versions of Unicode.  Everything is asked of the package itself; unicodedata2
# (Unicode 16 or newer) only says which characters are worth asking about.
# Usage: make_unicode.py > lib/text/unicat_tab.c   (needs the packages tokenizers, unicodedata2)
import base64
import json

import unicodedata2 as ud
from tokenizers import Regex, Tokenizer, models, normalizers as nm, pre_tokenizers as pt

from charsmap import charsmap

CPS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
BITS = dict(ACCENT=1, NONSPACING=2, OTHER=4, EXTEND=8, PREPEND=16, CONTROL=32, UPPER=64, LOWER=128)


def precompiled(pairs):
    tok = Tokenizer(models.BPE())
    data = json.loads(tok.to_str())
    data["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap(pairs)).decode()}
    return Tokenizer.from_str(json.dumps(data)).normalizer


def bert(**kw):
    flags = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return nm.BertNormalizer(**{**flags, **kw})


def vanish(step):
    return {c for c in CPS if step.normalize_str(chr(c)) == ""}


classes = dict(ACCENT=vanish(nm.StripAccents()), NONSPACING=vanish(bert(strip_accents=True)), OTHER=vanish(bert(clean_text=True)))

for name, regex in (("UPPER", r"\p{Lu}|\p{Lt}"), ("LOWER", r"\p{Ll}")):
    split, left = pt.Split(Regex(regex), "removed"), set()
    for i in range(1, len(CPS), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, CPS[i:i + 4096]))):
            left.update(piece)
    classes[name] = {c for c in CPS[1:] if chr(c) not in left}

# Grapheme clusters, as far as the charsmap can tell: what stays with the character before, what keeps the
# one behind, and what nothing stays with.
step = precompiled({"a": "X"})
classes["EXTEND"] = {c for c in CPS if c != 0x61 and step.normalize_str("a" + chr(c)) == "X"}
asked = [c for c in CPS[1:] if ud.category(chr(c)) not in ("Cn", "Co") or 0xE0000 <= c < 0xE1000]
asked = [c for c in asked if not (0x3400 <= c < 0xA000 or 0xAC00 <= c < 0xD7A4 or 0x17000 <= c < 0x19000 or 0x20000 <= c < 0x40000)]
classes["PREPEND"], classes["CONTROL"] = set(), set()
for i in range(0, len(asked), 2048):
    part = asked[i:i + 2048]
    step = precompiled({chr(c): "\u2603" for c in part})
    for c in part:
        if c != 0x61 and step.normalize_str(chr(c) + "\x0e") != step.normalize_str(chr(c)) + step.normalize_str("\x0e"):
            raise SystemExit("U+%X keeps a control character" % c)
        if step.normalize_str(chr(c) + "!") == "\u2603":
            classes["PREPEND"].add(c)
        if len(chr(c).encode()) < 4 and len(step.normalize_str(chr(c) + "\u0327")) != 1:
            classes["CONTROL"].add(c)


def runs_of(value):
    out, last = [], None
    for c in range(0x110000):
        v = value(c)
        if v != last:
            out.append((c, v))
            last = v
    return out


table = [0] * 0x110000
for name, members in classes.items():
    for c in members:
        table[c] |= BITS[name]
cat_runs = runs_of(lambda c: table[c])

# Characters whose marks and decompositions are newer than HF's data: they stay as they are.
nfd, nfkd = nm.NFD(), nm.NFKD()
inert = set()
for c in CPS:
    ch, k = chr(c), ud.combining(chr(c))
    if ud.decomposition(ch) and nfkd.normalize_str(ch) == ch:
        inert.add(c)
    if k > 1 and nfd.normalize_str("q" + ch + "\u0334") == "q" + ch + "\u0334":
        inert.add(c)
    if k == 1 and nfd.normalize_str("q\u0301" + ch) == "q\u0301" + ch:
        inert.add(c)
inert_runs = []
for c in sorted(inert):
    if inert_runs and inert_runs[-1][1] == c - 1:
        inert_runs[-1][1] = c
    else:
        inert_runs.append([c, c])

# Lower case: runs of {first, last, step, distance}; U+0130 gives two characters and is in the code.
lower = nm.Lowercase()
lower_runs = []
for c in CPS:
    s = lower.normalize_str(chr(c))
    if s == chr(c) or c == 0x130:
        continue
    assert len(s) == 1, hex(c)
    d = ord(s) - c
    last = lower_runs[-1] if lower_runs else None
    if last and last[3] == d and last[0] == last[1] and c - last[0] <= 2:
        last[1], last[2] = c, c - last[0]
    elif last and last[3] == d and c == last[1] + last[2]:
        last[1] = c
    else:
        lower_runs.append([c, c, 1, d])
assert lower.normalize_str("\u0130") == "i\u0307"

# Scripts: numbers of our own; 0 = any.
scripts = pt.UnicodeScripts()
reps, script = [], {}


def together(a, b):
    return len(scripts.pre_tokenize_str(a + b)) == 1


for c in CPS:
    ch = chr(c)
    if ch == " " or (together("a", ch) and together("\u03b1", ch)):
        script[c] = 0
        continue
    if c - 1 in script and script[c - 1] and together(reps[script[c - 1] - 1], ch):
        script[c] = script[c - 1]
        continue
    for i, r in enumerate(reps):
        if together(r, ch):
            script[c] = i + 1
            break
    else:
        reps.append(ch)
        script[c] = len(reps)
assert len(reps) < 256
script_runs = runs_of(lambda c: script.get(c, 0))


def dump(name, type_, items, per_line):
    print(f"\nconst uint32_t {name.replace('_runs', '_n_runs')} = {len(items)};")
    print(f"const {type_} {name}[] = {{")
    for i in range(0, len(items), per_line):
        print("    " + " ".join(items[i:i + per_line]))
    print("};")


print("/* SPDX-License-Identifier: Apache-2.0 */")
print("/* Written by tests/golden/text/make_unicode.py; do not edit. */")
print('#include "text/unicat.h"')
dump("lls_unicat_runs", "uint32_t", ["0x%x," % (c << 8 | v) for c, v in cat_runs], 8)
dump("lls_script_runs", "uint32_t", ["0x%x," % (c << 8 | v) for c, v in script_runs], 8)
dump("lls_inert_runs", "lls_cp_range_t", ["{ 0x%x, 0x%x }," % (a, b) for a, b in inert_runs], 4)
dump("lls_lower_runs", "lls_lower_run_t", ["{ 0x%x, 0x%x, %d, %d }," % tuple(r) for r in lower_runs], 3)
