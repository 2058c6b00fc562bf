#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes texts.json and, for each tokenizer, what HF tokenizers 0.23.3 gives, as varints.  <name>.ids: for
# each text the number of ids, then the ids.  <name>.more: 100 lists of ids with 0 or 1 for keeping special
# tokens, and the bytes of their text; then pairs of texts by number with ids and segments.
# Usage: make_golden.py SHARED_FOLDER [DEMO_MODEL.gguf]
import json
import os
import random
import struct
import sys
import unicodedata

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from corpus import FIXED, random_text
from make_kinds import KINDS

HERE = os.path.dirname(os.path.abspath(__file__))
SHARED = ["gpt2", "falcon-7b", "mistral-7b-v0.3", "phi-3", "bert-base-uncased", "t5-small"]
SMALL = ["llama3", "qwen2", "regex", "added", "unk_fuse", "unk_each"] + list(KINDS)
ADDED = ["[M]", "a  [M] \n b", "a [M][M] b [M] [M]c", " [L] x [L]y", "x[R]  y [R]\n\n", "[W]", "a[W]", "[W]a", " [W] ", "-[W]-", "é[W]", "_[W]", "1[W]", "x [WL] y",
         "word", "words", "a word wordy swordy", "two words", "see two words here", "two  words", "norm", " norm", "a norm b", "abnorm", "\u2581x\u2581", " x ", "a  b",
         "a    b   c", "<s>", "</s> x</s>", "<unk>", "<0x41>", "[M", "[M]x[M", "[W][W]", "[L][R] [M]", "\u200d[W]", "\u0301[W]\u0301", "[R]\u3000\u00a0[L]",
         "aZb", "abéc", "ZZabZ", "éZè", "ZéZ", "a€b", "Zé€", "€Z", "\u00e8\u00e9Z\u00e8 ab", "<think>x</think>", "<tool_call>", "a<|im_start|>b <|endoftext|>", "<|eot_id|>\n"]


def gguf_strings(path):
    """tokenizer.ggml.* of a GGUF file."""
    f = open(path, "rb")
    assert f.read(4) == b"GGUF"
    _, _, n = struct.unpack("<IQQ", f.read(20))
    sizes = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

    def text():
        return f.read(struct.unpack("<Q", f.read(8))[0]).decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            of, count = struct.unpack("<IQ", f.read(12))
            return [value(of) for _ in range(count)]
        code = "<" + sizes[kind]
        return struct.unpack(code, f.read(struct.calcsize(code)))[0]

    out = {}
    for _ in range(n):
        key = text()
        out[key] = value(struct.unpack("<I", f.read(4))[0])
    return out


def demo(path):
    meta = gguf_strings(path)
    assert meta["tokenizer.ggml.pre"] == "smollm"
    tokens = meta["tokenizer.ggml.tokens"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tok = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    kinds = meta["tokenizer.ggml.token_type"]
    tok.add_tokens([AddedToken(t, special=k == 3, normalized=False) for t, k in zip(tokens, kinds) if k in (3, 4)])
    return tok


def varint(n):
    out = bytearray()
    while n >= 128:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + bytes([n]))


def numbers(ids):
    return varint(len(ids)) + b"".join(map(varint, ids))


def more(name, tok, texts):
    rng, out = random.Random(name), b""
    added = tok.get_added_tokens_decoder()
    # Added tokens that 0.23 decodes to their normalized form are left out: ours keep their content.
    strange = {i for i, t in added.items() if t.normalized and tok.normalizer and tok.normalizer.normalize_str(t.content) != t.content}
    special = [i for i in added if i not in strange]
    fallback = [i for i in (tok.token_to_id("<0x%02X>" % b) for b in (0x20, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xFF)) if i is not None]
    for k in range(100):
        ids = [rng.choice(fallback) if fallback and rng.random() < 0.4 else rng.choice(special) if special and rng.random() < 0.1
               else rng.randrange(tok.get_vocab_size()) for _ in range(rng.randint(1, 14))]
        ids = [i for i in ids if i not in strange]
        text = tok.decode(ids, skip_special_tokens=k % 2 == 0).encode()
        out += numbers(ids) + varint(k % 2) + varint(len(text)) + text
    for a, b in ((1, 9), (10, 0), (12, 30), (36, 5), (38, 37)):
        e = tok.encode(texts[a], texts[b])
        out += varint(a) + varint(b) + numbers(e.ids) + b"".join(map(varint, e.type_ids))
    return out


def main():
    rng = random.Random(11)
    # Letters newer than Unicode 14 only in the last text: Debian's Oniguruma does not know them, the scanners do.
    texts = FIXED + ADDED + ["".join(c for c in random_text(rng, ADDED) if unicodedata.category(c) != "Cn") for _ in range(200)]
    texts.append("x\U00010d45y\U000105e5 \U00010d45\U00010d46 \ua7da1\u1c89'\u1c8a \U00011bf0")
    with open(os.path.join(HERE, "texts.json"), "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(t, ensure_ascii=True) for t in texts) + "\n]\n")
    toks = {n: Tokenizer.from_file(os.path.join(sys.argv[1], "tokenizers", n + ".tokenizer.json")) for n in SHARED}
    toks.update({n: Tokenizer.from_file(os.path.join(HERE, n + ".json")) for n in SMALL})
    if len(sys.argv) > 2:
        toks["demo"] = demo(sys.argv[2])
        toks["demo"].save("/tmp/demo.tokenizer.json")
    for name, tok in toks.items():
        tok.no_truncation()
        tok.no_padding()
        out = b""
        for t in texts:
            out += numbers(tok.encode(t).ids)
        with open(os.path.join(HERE, name + ".more"), "wb") as f:
            f.write(more(name, tok, texts))
        with open(os.path.join(HERE, name + ".ids"), "wb") as f:
            f.write(out)


if __name__ == "__main__":
    main()
