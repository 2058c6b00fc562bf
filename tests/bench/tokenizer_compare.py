#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Ours beside HF tokenizers, one thread each, in the same run: MB/s of encode and decode in pieces of 4 KB,
# CPU time.  Usage: tokenizer_compare.py TOKENIZER_BENCH TEXT_FILE TOKENIZER.json...
import os
import re
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
from tokenizers import Tokenizer                                      # noqa: E402


def best(call, n_bytes):
    least = 1e9
    for _ in range(3):
        start = time.process_time()
        call()
        least = min(least, time.process_time() - start)
    return n_bytes / least / 1e6


def main():
    bench, path = sys.argv[1:3]
    with open(path, encoding="utf-8", newline="") as f:
        text = f.read()
    parts = [text[i:i + 4096] for i in range(0, min(len(text), 1 << 20), 4096)]
    n_bytes = sum(len(p.encode()) for p in parts)
    print("%-36s %18s %18s" % ("MB/s", "encode ours / HF", "decode ours / HF"))
    for name in sys.argv[3:]:
        tok = Tokenizer.from_file(name)
        tok.no_padding()
        tok.no_truncation()
        ids = [tok.encode(p).ids for p in parts]
        theirs = best(lambda: [tok.encode(p) for p in parts], n_bytes), best(lambda: [tok.decode(i) for i in ids], n_bytes)
        out = subprocess.run([bench, name, path], check=True, capture_output=True, text=True).stdout
        ours = [float(x) for x in re.search(r"encode ([\d.]+) .*decode ([\d.]+)", out).groups()]
        print("%-36s %7.1f / %4.1f %3.0fx %7.1f / %4.1f %3.0fx" % (os.path.basename(name)[:36], ours[0], theirs[0], ours[0] / theirs[0],
                                                                    ours[1], theirs[1], ours[1] / theirs[1]))


main()
