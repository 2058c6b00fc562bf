#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Random texts and ids through HF tokenizers and through ours: ids, pairs, decoded text, and text put
# out token by token must be equal.  Usage: oracle_fuzz.py DRIVER N FILE...; each FILE is a
# tokenizer.json, N texts each.  Exit code 77 where the package tokenizers is absent.
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import time

try:
    from tokenizers import Tokenizer
    from tokenizers.decoders import DecodeStream
except ImportError:
    print("the package tokenizers is absent")
    sys.exit(77)

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden", "text"))
from corpus import old_only, random_text                              # noqa: E402


def ints(ids):
    return struct.pack("<%di" % len(ids), *ids)


def stream(tok, prompt, ids, skip):
    """vLLM's use of a DecodeStream: a new one where the old text is no prefix any more."""
    s, out, lens = DecodeStream(ids=list(prompt), skip_special_tokens=skip), "", []
    for i in ids:
        try:
            piece = s.step(tok, i)
        except Exception as e:
            if "Invalid prefix" not in str(e):
                raise
            s = DecodeStream(skip_special_tokens=skip)
            piece = s.step(tok, i)
        out += piece or ""
        lens.append(len(out.encode()))
    return struct.pack("<%dI" % len(lens), *lens) + out.encode()


def random_ids(rng, tok, texts_ids, specials):
    n = tok.get_vocab_size()
    k = rng.random()
    if k < 0.3 and texts_ids:
        ids = list(rng.choice(texts_ids)[:40])
        for _ in range(rng.randint(0, 2)):
            ids.insert(rng.randint(0, len(ids)), rng.randrange(n))
        return ids
    pool = specials + [rng.randrange(n) for _ in range(8)]
    few = [t for t in (tok.token_to_id("<0x%02X>" % b) for b in (0x20, 0x41, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0xEF, 0xBF, 0xBD, 0xFF)) if t is not None]
    return [rng.choice(few) if few and rng.random() < 0.4 else rng.choice(pool) if rng.random() < 0.4 else rng.randrange(n)
            for _ in range(rng.randint(1, 30))]


def ends_replaced(tok, ids, skip):
    return tok.decode(list(ids), skip_special_tokens=skip).endswith("\ufffd")


def requests(tok, rng, n, strange_added):
    """(kind, payload, what the oracle says: None = an error) of n texts and n / 4 lists of ids."""
    specials = [t.content for t in tok.get_added_tokens_decoder().values()]
    special_ids = list(tok.get_added_tokens_decoder())
    texts = []
    for i in range(n):
        texts.append(old_only(random_text(rng, specials)))
    out, all_ids = [], []
    for flag, kind in ((True, b"E"), (False, b"N")):
        part = texts[:n * 4 // 5] if flag else texts[n * 4 // 5:]
        try:
            got = [e.ids for e in tok.encode_batch(part, add_special_tokens=flag)]
        except Exception:
            got = []
            for t in part:
                try:
                    got.append(tok.encode(t, add_special_tokens=flag).ids)
                except Exception:
                    got.append(None)
        for t, ids in zip(part, got):
            out.append((kind, t.encode(), None if ids is None else ints(ids), t))
        all_ids += [g for g in got if g]
    for i in range(n // 50):
        a, b = rng.choice(texts), rng.choice(texts)
        try:
            e = tok.encode(a, b)
            want = ints(e.ids) + ints(e.type_ids)
        except Exception:
            want = None
        out.append((b"P", struct.pack("<I", len(a.encode())) + a.encode() + b.encode(), want, (a, b)))
    for i in range(n // 4):
        ids = random_ids(rng, tok, all_ids, special_ids)
        if strange_added:
            ids = [x for x in ids if x not in strange_added]
        skip = rng.random() < 0.5
        out.append((b"D" if skip else b"K", ints(ids), tok.decode(ids, skip_special_tokens=skip).encode(), ids))
        k = rng.randint(0, min(3, len(ids)))
        if ends_replaced(tok, ids[:k], skip):       # the one known difference: see detok.h
            k = 0
        out.append((b"S" if skip else b"T", struct.pack("<I", k) + ints(ids), stream(tok, ids[:k], ids[k:], skip), (k, ids)))
    return out


def strange(tok):
    """Added tokens that decode to their normalized form in 0.23, and to their content in ours."""
    return {i for i, t in tok.get_added_tokens_decoder().items()
            if t.normalized and tok.normalizer is not None and tok.normalizer.normalize_str(t.content) != t.content}


def run(driver, path, items):
    with tempfile.TemporaryDirectory() as tmp:
        a, b = os.path.join(tmp, "in"), os.path.join(tmp, "out")
        with open(a, "wb") as f:
            for kind, payload, _, _ in items:
                f.write(kind + struct.pack("<I", len(payload)) + payload)
        subprocess.run([driver, path, a, b], check=True)
        with open(b, "rb") as f:
            data = f.read()
    at, bad = 0, 0
    for kind, _, want, source in items:
        status, size = struct.unpack_from("<iI", data, at)
        got = data[at + 8:at + 8 + size] if status == 0 else None
        at += 8 + size
        if got != want:
            bad += 1
            if bad <= 3:
                show = (lambda x: x) if kind in b"DK" else (lambda x: None if x is None else struct.unpack("<%di" % (len(x) // 4), x[:len(x) // 4 * 4]))
                print("%s, %s of %r:\n  ours %s\n  HF's %s" % (os.path.basename(path), kind.decode(), source, show(got), show(want)))
    return bad


def main():
    driver, n, total = sys.argv[1], int(sys.argv[2]), 0
    for path in sys.argv[3:]:
        start = time.time()
        with open(path, encoding="utf-8") as f:
            if "model" not in json.load(f):
                continue                                # no tokenizer
        tok = Tokenizer.from_file(path)
        tok.no_padding()
        tok.no_truncation()
        rng = random.Random(os.path.basename(path) + "1")
        done = bad = 0
        while done < n:
            part = min(n - done, 5000)
            bad += run(driver, path, requests(tok, rng, part, strange(tok)))
            done += part
        print("%s: %d texts, %d differences, %.0f s" % (os.path.basename(path), done, bad, time.time() - start), flush=True)
        total += bad
    sys.exit(1 if total else 0)


main()
