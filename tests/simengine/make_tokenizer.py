#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tokenizer/: 60 byte-level tokens that make detokenising hard, and a C table of them.

Words that share letters with stop strings, words longer than the room that a request reserves, and
single bytes that are characters only together."""
import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
SPECIAL = ["<|eos|>", "<|eot|>", "<|something that is special|>"]
WORDS = [c.encode() for c in "abcdefgh"] + [
    b" ", b"ab", b"abc", b"ba", b" a", b" b", b"cab", b"aa", b"aaa", b"\n", b".", b"END", b"EN",
    b"D",
    b"deadbeef" * 4, b"a word with spaces in it", b" longlonglonglonglonglonglong", b"0", b"1",
    "é".encode(), "€".encode(), "日本".encode(), "😀".encode(), "ab€".encode(), "\ufffd".encode()]
PIECES = [bytes([b]) for b in b"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff"] + [
    b"\xe2\x82", b"\xf0\x9f", b"\x98\x80", b"a\xc3", b"\xa9b", b"\xed\xa0"]


def byte_chars():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in keep]
    return {b: chr(b) for b in keep} | {b: chr(256 + i) for i, b in enumerate(rest)}


def main():
    chars = byte_chars()
    tokens = [s.encode() for s in SPECIAL] + WORDS
    tokens += [p for p in PIECES if p not in tokens]
    spell = ["".join(chars[b] for b in t) for t in tokens]
    spell[:len(SPECIAL)] = SPECIAL
    assert len(set(spell)) == len(spell) <= 62, spell
    os.makedirs(f"{HERE}/tokenizer", exist_ok=True)
    json.dump({"version": "1.0", "truncation": None, "padding": None,
               "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False,
                                 "rstrip": False, "normalized": False, "special": True}
                                for i, s in enumerate(SPECIAL)],
               "normalizer": None,
               "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False,
                                 "trim_offsets": True, "use_regex": False},
               "post_processor": None,
               "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                           "use_regex": True},
               "model": {"type": "BPE", "dropout": None, "unk_token": None,
                         "continuing_subword_prefix": None, "end_of_word_suffix": None,
                         "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                         "vocab": {s: i for i, s in enumerate(spell)},
                         "merges": [["a", "b"], ["ab", "c"], ["a", "a"]]}},
              open(f"{HERE}/tokenizer/tokenizer.json", "w"), ensure_ascii=True, indent=0)
    json.dump({"eos_token": SPECIAL[0]}, open(f"{HERE}/tokenizer/tokenizer_config.json", "w"))
    with open(f"{HERE}/esim_tokens.h", "w") as f:
        f.write("/* SPDX-License-Identifier: Apache-2.0 */\n"
                "/* esim_tokens - the bytes of tokenizer/, made by make_tokenizer.py. */\n"
                "#ifndef LLS_SIMENGINE_ESIM_TOKENS_H\n#define LLS_SIMENGINE_ESIM_TOKENS_H\n\n"
                f"#define N_SPECIAL {len(SPECIAL)}\n#define N_SPELLED {len(tokens)}\n\n"
                "static const struct { const char *bytes; uint32_t len; } spelled[N_SPELLED] = {\n")
        for t in tokens:
            plain = "".join(f"\\{b:03o}" if b < 32 or b > 126 or b in b'"\\?' else chr(b)
                            for b in t)
            f.write(f'    {{ "{plain}", {len(t)} }},\n')
        f.write("};\n\n#endif\n")


main()
