#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes small files of the kinds that are no tokenizer.json, and <name>.ids beside each: for each text of
# texts.json one more than the number of ids that sentencepiece 0.2.3 or tiktoken 0.14.0 gives, and the ids;
# 0 where the text spells a control token, which those packages never find.
# Usage: make_files.py SHARED_FOLDER
import base64
import json
import os
import sys

import sentencepiece
import tiktoken
from tiktoken._educational import bpe_train

from charsmap import charsmap
from corpus import old_only
from make_golden import varint
from make_kinds import LINES, TEKKEN

HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS = json.load(open(os.path.join(HERE, "texts.json"), encoding="utf-8"))
CL100K = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K_NEW = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s")


def write(name, encode, controls):
    out = b""
    for t in TEXTS:
        if any(c in t for c in controls) or "\0" in t or old_only(t) != t:
            out += varint(0)
            continue
        ids = encode(t)
        out += varint(len(ids) + 1) + b"".join(map(varint, ids))
    with open(os.path.join(HERE, name + ".ids"), "wb") as f:
        f.write(out)


def spm(name, path):
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    write(name, sp.encode, [sp.id_to_piece(i) for i in range(sp.get_piece_size()) if sp.is_control(i) or sp.is_unknown(i)])


def train(name, **kw):
    lines = [line.replace("\0", "").replace("\n", " ") for line in LINES]
    lines = ["".join(c for c in line if c < "\u0250" or c in "日本語東京한🙂") for line in lines]
    prefix = os.path.join(HERE, name)
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(lines), model_prefix=prefix, normalization_rule_name="identity", hard_vocab_limit=False,
                                             minloglevel=2, **kw)
    os.remove(prefix + ".vocab")
    spm(name + ".model", prefix + ".model")


train("spm_bpe", model_type="bpe", vocab_size=700, byte_fallback=True, user_defined_symbols=["<sep>", "of the", "\u2581language", "aa"])
train("spm_unigram", model_type="unigram", vocab_size=500, user_defined_symbols=["<sep>", "of the", "aa"], remove_extra_whitespaces=False, add_dummy_prefix=False)
for name in ("mistral.tokenizer.model.v1", "spm_unigram_test_model.model"):
    spm(name, os.path.join(sys.argv[1], "tokenizers", name))

ranks = bpe_train("\n".join(LINES[:120] + LINES[500:600]), 600, CL100K, visualise=None)
with open(os.path.join(HERE, "small.tiktoken"), "wb") as f:
    for token, rank in ranks.items():
        f.write(base64.b64encode(token) + b" %d\n" % rank)
enc = tiktoken.Encoding("small", pat_str=CL100K_NEW, mergeable_ranks=ranks, special_tokens={})
write("small.tiktoken", enc.encode_ordinary, ["<|"])

few = {t: r for t, r in ranks.items() if r < 560}
enc = tiktoken.Encoding("small", pat_str=TEKKEN, mergeable_ranks=few, special_tokens={})
data = {"config": {"pattern": TEKKEN, "num_vocab_tokens": len(ranks), "default_vocab_size": 580, "default_num_special_tokens": 20, "version": "v7"},
        "vocab": [{"rank": r, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for t, r in ranks.items()],
        "special_tokens": [{"rank": i, "token_str": s, "is_control": i != 3} for i, s in enumerate(["<unk>", "<s>", "</s>", "[THINK]", "[INST]"])]}
with open(os.path.join(HERE, "small_tekken.json"), "w") as f:
    json.dump(data, f, separators=(",", ":"))
write("small_tekken.json", lambda t: [i + 20 for i in enc.encode_ordinary(t)], ["<unk>", "<s>", "</s>", "[THINK]", "[INST]", "<SPECIAL"])


# ---- GGUF: the four kinds, for the fuzzer and the tests of loading ----

def gguf(name, kind, tokens, types, **more):
    import struct

    def text(s):
        s = s.encode()
        return struct.pack("<Q", len(s)) + s

    def value(v):
        if isinstance(v, bool):
            return struct.pack("<I?", 7, v)
        if isinstance(v, int):
            return struct.pack("<II", 4, v)
        if isinstance(v, str):
            return struct.pack("<I", 8) + text(v)
        if isinstance(v, bytes):
            return struct.pack("<IIQ", 9, 0, len(v)) + v
        of = {str: 8, int: 5, float: 6}[type(v[0])]
        body = b"".join(text(x) if of == 8 else struct.pack("<i" if of == 5 else "<f", x) for x in v)
        return struct.pack("<IIQ", 9, of, len(v)) + body

    keys = {"general.architecture": "llama", "tokenizer.ggml.model": kind, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types}
    keys.update({"tokenizer.ggml." + k: v for k, v in more.items()})
    with open(os.path.join(HERE, name), "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, 0, len(keys)) + b"".join(text(k) + value(v) for k, v in keys.items()))


B = "\u2581"
gguf("gpt2.gguf", "gpt2", ["a", "b", "1", "\u0120", "ab", "\u0120ab", "11", "<|end|>"], [1] * 7 + [3], merges=["a b", "\u0120 ab", "1 1"], pre="llama-bpe",
     eos_token_id=7, chat_template="{{ messages }}")
gguf("llama.gguf", "llama", ["<unk>", "<s>", "</s>", B, "a", "b", "ab", B + "a", "<0xC3>", "<0xA9>"], [2, 3, 3, 1, 1, 1, 1, 1, 6, 6],
     scores=[0.0, 0.0, 0.0, -1.0, -2.0, -3.0, -4.0, -5.0, 0.0, 0.0], bos_token_id=1, eos_token_id=2, unknown_token_id=0, add_space_prefix=True)
gguf("bert.gguf", "bert", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", B + "un", B + "a", "related", B + "!"], [3, 3, 3, 3, 1, 1, 1, 1], unknown_token_id=1,
     cls_token_id=2, seperator_token_id=3)
gguf("t5.gguf", "t5", ["<pad>", "</s>", "<unk>", B, "a", "b", "ab", B + "a", "uu"], [3, 3, 2, 1, 1, 1, 1, 1, 4],
     scores=[0.0, 0.0, 0.0, -2.0, -3.0, -3.0, -5.0, -9.0, 0.0], precompiled_charsmap=charsmap({"A": "a", "\u00e4": "a", "c": ""}), eos_token_id=1, unknown_token_id=2,
     remove_extra_whitespaces=True)
