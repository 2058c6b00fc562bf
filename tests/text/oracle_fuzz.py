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
from corpus import mixer                              # noqa: E402


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


def random_ids(rng, n, n_vocab, seen, specials, few):
    """Lists of ids: what texts gave, with some put in; special ones and parts of characters; any."""
    out, odd = [], specials + few * 4 + rng.choices(range(n_vocab), k=16)
    for kind in rng.choices((0, 1, 2), k=n):
        if kind == 0 and seen:
            ids = list(rng.choice(seen)[:40])
            ids[rng.randrange(len(ids) + 1):1] = rng.choices(range(n_vocab), k=2)
        else:
            ids = rng.choices(odd if kind == 1 else range(n_vocab), k=rng.randrange(1, 16))
        out.append(ids)
    return out


def ends_replaced(tok, ids, skip):
    return tok.decode(list(ids), skip_special_tokens=skip).endswith("\ufffd")


def encode_each(tok, texts, flag):
    """As encode_batch, but a text that is refused gives None."""
    out = []
    for t in texts:
        try:
            out.append(tok.encode(t, add_special_tokens=flag).ids)
        except Exception:
            out.append(None)
    return out


def requests(tok, rng, make, n, strange_added):
    """(kind, payload, what the oracle says: None = an error, its source) of n texts, n / 50 pairs, n / 4 lists of
    ids and n / 20 streams."""
    texts, out, seen = make(n), [], []
    few = [t for t in (tok.token_to_id("<0x%02X>" % b) for b in (0x20, 0x41, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0xEF, 0xBF, 0xBD, 0xFF)) if t is not None]
    for flag, kind, part in ((True, b"E", texts[:n * 4 // 5]), (False, b"N", texts[n * 4 // 5:])):
        try:
            got = [e.ids for e in tok.encode_batch_fast(part, add_special_tokens=flag)]
        except Exception:
            got = encode_each(tok, part, flag)
        out += [(kind, t.encode(), None if ids is None else ints(ids), t) for t, ids in zip(part, got)]
        seen += [g for g in got if g]
    for a, b in zip(texts[:n // 50], texts[-(n // 50):]):
        try:
            e = tok.encode(a, b)
            want = ints(e.ids) + ints(e.type_ids)
        except Exception:
            want = None
        out.append((b"P", struct.pack("<I", len(a.encode())) + a.encode() + b.encode(), want, (a, b)))
    lists = random_ids(rng, n // 4, tok.get_vocab_size(), seen, list(tok.get_added_tokens_decoder()), few)
    if strange_added:
        lists = [[x for x in ids if x not in strange_added] for ids in lists]
    for skip, kind, part in ((True, b"D", lists[::2]), (False, b"K", lists[1::2])):
        out += [(kind, ints(ids), text.encode(), ids) for ids, text in zip(part, tok.decode_batch(part, skip_special_tokens=skip))]
    for i, ids in enumerate(lists[:n // 20]):
        skip, k = i % 2 == 0, min(rng.randrange(4), len(ids))
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
        start = time.process_time()
        with open(path, encoding="utf-8") as f:
            if "model" not in json.load(f):
                continue                                # no tokenizer
        tok = Tokenizer.from_file(path)
        tok.no_padding()
        tok.no_truncation()
        rng = random.Random(os.path.basename(path) + "1")
        make = mixer(rng, [t.content for t in tok.get_added_tokens_decoder().values()])
        done = bad = 0
        while done < n:
            part = min(n - done, 20000)
            bad += run(driver, path, requests(tok, rng, make, part, strange(tok)))
            done += part
        print("%s: %d texts, %d differences, %.0f s of CPU" % (os.path.basename(path), done, bad, time.process_time() - start), flush=True)
        total += bad
    sys.exit(1 if total else 0)


main()
