#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Every code point, and random strings of marks, through each normalizer and each pre-tokenizer that tells them apart, in HF
# tokenizers and in ours.  The model knows only bytes, so ids are the text; a blank that ByteLevel puts
# before each piece shows where the cuts are.  Usage: oracle_steps.py DRIVER [PART_OF_A_NAME]
import base64
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

try:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers as nm, pre_tokenizers as pt
except ImportError:
    print("the package tokenizers is absent")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden", "text"))
from charsmap import charsmap                                         # noqa: E402
from corpus import random_text                                        # noqa: E402

NORMALIZERS = {
    "NFC": nm.NFC(), "NFD": nm.NFD(), "NFKC": nm.NFKC(), "NFKD": nm.NFKD(), "Lowercase": nm.Lowercase(), "StripAccents": nm.StripAccents(),
    "NFD+StripAccents": nm.Sequence([nm.NFD(), nm.StripAccents()]), "Nmt": nm.Nmt(), "Strip": nm.Strip(), "Bert": nm.BertNormalizer(),
    "Bert clean": nm.BertNormalizer(handle_chinese_chars=False, strip_accents=False, lowercase=False),
    "Bert accents": nm.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False),
}
PRE_TOKENIZERS = {
    "Bert": pt.BertPreTokenizer(), "Whitespace": pt.Whitespace(), "WhitespaceSplit": pt.WhitespaceSplit(), "Punctuation": pt.Punctuation("isolated"),
    "Digits": pt.Digits(individual_digits=True), "Digits together": pt.Digits(individual_digits=False), "UnicodeScripts": pt.UnicodeScripts(),
    "FixedLength": pt.FixedLength(3), "Metaspace": pt.Metaspace(), "Metaspace first": pt.Metaspace(prepend_scheme="first"),
    "Metaspace whole": pt.Metaspace(split=False), "CharDelimiterSplit": pt.CharDelimiterSplit("a"), "ByteLevel": pt.ByteLevel(add_prefix_space=True),
    "Split string": pt.Split("aa", "merged_with_next"), "Split empty": pt.Split("", "isolated"),
}
for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
    for invert in (False, True):
        PRE_TOKENIZERS["Split %s %s" % (behavior, invert)] = pt.Split(Regex("[0-9]|a+"), behavior, invert)
    PRE_TOKENIZERS["Punctuation " + behavior] = pt.Punctuation(behavior)


def tokenizer():
    alphabet = sorted(pt.ByteLevel.alphabet())
    tok = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tok.pre_tokenizer = pt.ByteLevel(add_prefix_space=False, use_regex=False)
    tok.decoder = decoders.ByteLevel()
    return tok


def tokenizers():
    for name, step in NORMALIZERS.items():
        tok = tokenizer()
        tok.normalizer = step
        yield "normalizer " + name, tok
    for name, step in PRE_TOKENIZERS.items():
        tok = tokenizer()
        tok.pre_tokenizer = pt.Sequence([step, pt.ByteLevel(add_prefix_space=True, use_regex=False)])
        yield "pre_tokenizer " + name, tok
    data = json.loads(tokenizer().to_str())
    rng, pairs = random.Random(5), {}
    for _ in range(400):
        c = chr(rng.choice([rng.randint(1, 0x17F), rng.randint(0x300, 0x3FF), rng.randint(0x600, 0x6DF), rng.randint(0x1100, 0x11FF)]))
        pairs[c + rng.choice(["", "", "\u0301", "\u0308\u0301", "a"])] = rng.choice(["", "x", "yz", "\u00e9", " "])
    data["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap(pairs)).decode()}
    yield "normalizer Precompiled", Tokenizer.from_str(json.dumps(data))


def texts(rng):
    cps = [c for c in range(1, 0x110000) if not 0xD800 <= c < 0xE000]
    marks = [c for c in cps if unicodedata.combining(chr(c)) or unicodedata.category(chr(c)) in ("Mn", "Mc")]
    odd = marks + list(range(0x1100, 0x1200)) + list(range(0x600, 0x606)) + [0x200D, 0x200C, 0x300, 0x301, 0x323, 0x345, 13, 10] + list(range(97, 123)) * 4
    out = []
    for i in range(0, len(cps), 300):
        out.append("".join(chr(c) for c in cps[i:i + 300]))
    for i in range(0, len(cps), 1999):
        out.append(" ".join("a" + chr(c) + "1" for c in cps[i:i + 40]))
    out += ["".join(chr(rng.choice(odd)) for _ in range(rng.randint(1, 12))) for _ in range(1500)]
    out += [random_text(rng) for _ in range(1500)]
    return out


def sees_classes(name):
    """Whether the step asks what a character is: then it is shown all of them."""
    return name.startswith("normalizer ") or name[14:] in ("Bert", "Whitespace", "WhitespaceSplit", "Punctuation", "Digits", "Digits together",
                                                          "UnicodeScripts", "ByteLevel")


def wanted(name):
    return len(sys.argv) < 3 or sys.argv[2] in name


def main():
    total, rng = 0, random.Random(9)
    everything = texts(rng)
    with tempfile.TemporaryDirectory() as tmp:
        path, a, b = (os.path.join(tmp, n) for n in ("tokenizer.json", "in", "out"))
        for name, tok in tokenizers():
            if not wanted(name):
                continue
            items = everything if sees_classes(name) else everything[-3000:]
            with open(a, "wb") as f:
                f.write(b"".join(b"E" + struct.pack("<I", len(t.encode())) + t.encode() for t in items))
            tok.save(path)
            subprocess.run([sys.argv[1], path, a, b], check=True)
            with open(b, "rb") as f:
                data = f.read()
            at = bad = 0
            for t, e in zip(items, tok.encode_batch(items)):
                size = struct.unpack_from("<iI", data, at)[1]
                if data[at + 8:at + 8 + size] != struct.pack("<%di" % len(e.ids), *e.ids):
                    bad += 1
                    if bad == 1:
                        got = struct.unpack("<%di" % (size // 4), data[at + 8:at + 8 + size])
                        print("%s, %r:\n  ours %r\n  HF's %r" % (name, t, tok.decode(list(got)), tok.decode(e.ids)))
                at += 8 + size
            print("%s: %d texts, %d differences" % (name, len(items), bad), flush=True)
            total += bad
    sys.exit(1 if total else 0)


main()
