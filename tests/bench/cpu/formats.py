#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/bench/formats.md: what each weight format costs, and how close to float32 it stays.

  formats.py BUILD

BUILD is a Release build of this tree with formats_test, linear_pack_test and floor_bench; the
demonstration model is where formats_test looks for it.  Takes minutes.  The floor of loading is
reading the file's bytes from the page cache and writing as many fresh pages as the packed weights
have, each at the rate measured in this run with one thread a CPU.
"""
import concurrent.futures
import ctypes
import datetime
import mmap
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
REPORT = ROOT / "tests/bench/formats.md"
THREADS = len(os.sched_getaffinity(0))
SIZES = re.compile(r"^(\w+): ([\d.]+) bytes per weight, ([\d.]+) in the file")
WRITTEN = re.compile(r"^(\w+): ([\d.]+) MB, ([\d.]+) of the weights' norm lost")
LOADED = re.compile(r"^loaded as (\w+): ([\d.]+) MB of weights, ([\d.]+) MB at the peak, ([\d.]+) s")
CLOSE = re.compile(r"^(\S+), (.+): mean KL to float32 ([\d.]+), top-1 agreement ([\d.]+) %")
PACKED_AS = {"int8": "Q8_0", "int4": "Q4_1", "int4_g128": "INT4_G128"}        # quantised at load


def lines(*command):
    result = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0 or "skipped" in result.stdout:
        sys.exit(f"{command[0]} did not pass:\n{result.stdout}")
    return result.stdout.splitlines()


def write_gbs(megabytes):
    """Fresh pages, best of five."""
    part = (megabytes << 20) // THREADS

    def fill(_):
        pages = mmap.mmap(-1, part)
        ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(pages)), 1, part)

    best = 1e9
    with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(fill, range(THREADS)))
            best = min(best, time.perf_counter() - start)
    return part * THREADS / best * 1e-9


def read_gbs(build, megabytes):
    text = "\n".join(lines(build / "tests/bench/floor_bench", THREADS, megabytes))
    return float(re.search(r"^read@\S+\s+([\d.]+)", text, re.M)[1])


def measurements(output):
    """A dictionary for each format, in the order of formats_test."""
    rows, name, file_mb = {}, None, 0
    for line in output:
        if m := WRITTEN.match(line):
            name, file_mb, lost = m[1], float(m[2]), float(m[3])
            rows[name] = {"file": file_mb, "lost": lost, "packed_as": name}
        elif m := LOADED.match(line):
            row = rows[name]
            if m[1] != "none":
                row = rows[f"{name} as {m[1]}"] = {"file": file_mb, "packed_as": PACKED_AS[m[1]]}
            row.update(packed=float(m[2]), peak=float(m[3]), seconds=float(m[4]))
        elif m := CLOSE.match(line):
            row = rows[m[2].replace("bfloat16", "BF16")]
            row.update(isa=m[1], kl=float(m[3]), same=float(m[4]))
    return rows


def row_of(name, r, sizes, read, write):
    packed, file = sizes[r["packed_as"]], sizes.get(name.split()[0], ("", ""))
    floor = r["file"] * 1e-3 / read + r["packed"] * 1e-3 / write
    lost = f"{100 * r['lost']:.2f} %" if "lost" in r else ""
    close = (f"{r['kl']:.5f} | {r['same']:.2f} %" if "kl" in r else " | ")
    return (f"| {name} | {file[1]} | {packed[0]} | {lost} | {close} | "
            f"{r['file'] * 1e-3 / r['seconds']:.2f} | {r['packed'] * 1e-3 / r['seconds']:.2f} | "
            f"{floor / r['seconds']:.2f} | {r['peak'] - r['packed']:.1f} |")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    read, write = read_gbs(build, 128), write_gbs(128)
    packed = map(SIZES.match, lines(build / "tests/linear_pack_test"))
    sizes = {m[1]: (m[2], m[3]) for m in packed if m}
    rows = measurements(lines(build / "tests/golden/formats_test"))
    isa = next(r["isa"] for r in rows.values() if "isa" in r)
    commit = "\n".join(lines("git", "-C", ROOT, "rev-parse", "--short", "HEAD"))
    text = ["# Weight formats", "",
            "`tests/bench/cpu/formats.py BUILD` writes this file: the demonstration model in each "
            "format by",
            "`tests/golden/formats_test.c`, against the same weights in float32, over 2,000 tokens.",
            "",
            f"{datetime.date.today()}, commit {commit}, {isa}, {THREADS} threads; this run read "
            f"{read:.1f} GB/s and wrote",
            f"{write:.1f} GB/s of fresh pages. Bytes are those of a weight in a matrix; loading is "
            "from the page cache,",
            "its floor the reading and the writing of the bytes alone. The demonstration model is "
            "Q4_1, whose values",
            "int4 finds again: what it loses on other weights does not show here.", "",
            "| format | bytes in the file | packed | weights' norm lost | mean KL | top-1 | "
            "load, GB/s of the file | GB/s packed | of the floor | peak over packed, MB |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    text += [row_of(name, r, sizes, read, write) for name, r in rows.items()]
    REPORT.write_text("\n".join(text) + "\n")
    print(f"{REPORT}: {len(rows)} formats")


if __name__ == "__main__":
    main()
