#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Random texts through sentencepiece, tiktoken and mistral_common, and through ours, from the files that
# they read.  Usage: oracle_files.py DRIVER N FILE...: *.model, *.model.v*, *.tiktoken, tekken*.json, or .gz.  A
# file whose package is absent is left out; with all of them out the exit code is 77.
import gzip
import os
import random
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden", "text"))
from corpus import mixer                              # noqa: E402


# Kimi K2's, from the script beside the model; its ranks here are the first of another file.
N_KIMI = 163584
KIMI = "|".join([
    r"[\p{Han}]+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])


def sentencepiece_of(path):
    import sentencepiece
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    controls = [sp.id_to_piece(i) for i in range(sp.get_piece_size()) if sp.is_control(i) or sp.is_unknown(i)]
    return lambda texts: sp.encode(texts, num_threads=1), controls, [sp.id_to_piece(i) for i in range(sp.get_piece_size()) if len(sp.id_to_piece(i)) > 3][:200]


def tiktoken_of(path):
    import base64
    import inspect
    import re
    import tiktoken
    import tiktoken_ext.openai_public as public
    ranks = {}
    for line in open(path, "rb"):
        if line.strip():
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
    if len(ranks) == N_KIMI:
        enc = tiktoken.Encoding("x", pat_str=KIMI, mergeable_ranks=ranks, special_tokens={})
        return lambda texts: enc.encode_ordinary_batch(texts, num_threads=1), ["<|"], []
    name = {199998: "o200k_base", 100256: "cl100k_base", 50256: "r50k_base"}.get(len(ranks), "cl100k_base")
    source = public.load_tiktoken_bpe, public.data_gym_to_mergeable_bpe_ranks
    public.load_tiktoken_bpe = public.data_gym_to_mergeable_bpe_ranks = lambda *a, **k: {}
    try:
        pattern = getattr(public, name)()["pat_str"]
    finally:
        public.load_tiktoken_bpe, public.data_gym_to_mergeable_bpe_ranks = source
    enc = tiktoken.Encoding("x", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    return lambda texts: enc.encode_ordinary_batch(texts, num_threads=1), ["<|"], []


def tekken_of(path):
    import warnings
    warnings.simplefilter("ignore")
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    t = Tekkenizer.from_file(path)
    return lambda texts: [t.encode(s, bos=False, eos=False) for s in texts], ["[", "<"], []


def oracle(path):
    name = os.path.basename(path)
    if "tekken" in name:
        return tekken_of(path)
    return tiktoken_of(path) if name.endswith(".tiktoken") else sentencepiece_of(path)


def plain(path, folder):
    """The file itself, or what is in it where it is packed."""
    if not path.endswith(".gz"):
        return path
    out = os.path.join(folder, os.path.basename(path)[:-3])
    with gzip.open(path) as f, open(out, "wb") as g:
        g.write(f.read())
    return out


def first_ranks(path, folder):
    out = os.path.join(folder, "kimi.tiktoken")
    with open(path, "rb") as f, open(out, "wb") as g:
        g.writelines(f.readlines()[:N_KIMI])
    return out


def main():
    driver, n, total, seen = sys.argv[1], int(sys.argv[2]), 0, 0
    folder = tempfile.TemporaryDirectory()
    paths = [plain(path, folder.name) for path in sys.argv[3:]]
    paths += [first_ranks(path, folder.name) for path in paths if os.path.basename(path).startswith("o200k")]
    for path in paths:
        try:
            encode, controls, words = oracle(path)
        except ImportError as e:
            print("%s is left out: %s" % (os.path.basename(path), e))
            continue
        seen += 1
        rng = random.Random(os.path.basename(path))
        texts, make = [], mixer(rng, words)
        while len(texts) < n:
            texts += [t for t in (x.replace("\0", "") for x in make(n)) if not any(c in t for c in controls)]
        del texts[n:]
        with tempfile.TemporaryDirectory() as tmp:
            a, b = os.path.join(tmp, "in"), os.path.join(tmp, "out")
            with open(a, "wb") as f:
                for t in texts:
                    f.write(b"N" + struct.pack("<I", len(t.encode())) + t.encode())
            subprocess.run([driver, path, a, b], check=True)
            with open(b, "rb") as f:
                data = f.read()
        at = bad = 0
        for t, want in zip(texts, encode(texts)):
            status, size = struct.unpack_from("<iI", data, at)
            got = list(struct.unpack_from("<%di" % (size // 4), data, at + 8))
            at += 8 + size
            if status != 0 or got != want:
                bad += 1
                if bad <= 3:
                    print("%s, %r:\n  ours    %s\n  theirs  %s" % (os.path.basename(path), t, got, want))
        print("%s: %d texts, %d differences" % (os.path.basename(path), len(texts), bad), flush=True)
        total += bad
    sys.exit(1 if total else 0 if seen else 77)


main()
