#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds each defect of mutants.txt and runs simulation and unit tests until one fails.

    mutants.py [--seeds N] [--only TEXT] [--list]

Without --only it writes mutants.md beside itself; the exit status is 0 if every defect was caught.
--list only says which texts are not found exactly once."""
import argparse
import glob
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
CC = ["gcc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-w"] + [
    f"-I{ROOT}/{d}" for d in ("lib", "include", "tests")]
MODULES = [os.path.relpath(p, ROOT) for d in ("step", "kv", "sched")
           for p in sorted(glob.glob(f"{ROOT}/lib/{d}/*.c"))]
OTHERS = ["lib/base/mem.c", "lib/base/hash.c", "lib/base/status.c", "lib/base/utf8.c"]
SIM = [os.path.relpath(p, ROOT) for p in sorted(glob.glob(f"{HERE}/*.c"))]
TESTS = ["tests/unit/kv/kv_test.c", "tests/unit/sched/sched_test.c", "tests/unit/step/step_test.c"]


def parse():
    for block in open(f"{HERE}/mutants.txt").read().split("\n== ")[1:]:
        lines = block.rstrip("\n").split("\n")
        edits, mode = [], ""
        for line in lines[1:]:
            if line[:1] == "-":
                if mode != "-":
                    edits.append(([], []))
                edits[-1][0].append(line[1:])
            elif line[:1] == "+":
                edits[-1][1].append(line[1:])
            mode = line[:1]
        yield lines[0], [("\n".join(o), "\n".join(n)) for o, n in edits]


def mutate(name, edits):
    """{file: text} after the edits; each applies to the one file that has its text once."""
    src = {f: open(f"{ROOT}/{f}").read() for f in MODULES}
    changed = set()
    for old, new in edits:
        where = [f for f in src if old in src[f]]
        if len(where) != 1 or src[where[0]].count(old) != 1:
            raise ValueError(f"{name}: text found in {where}: {old!r}")
        src[where[0]] = src[where[0]].replace(old, new)
        changed.add(where[0])
    return {f: src[f] for f in changed}


def obj(tmp, f):
    return f"{tmp}/{f.replace('/', '_')}.o"


def build(tmp, name, edits):
    """Object files of all modules with the edits in."""
    objs = {f: obj(tmp, f) for f in MODULES}
    for f, text in mutate(name, edits).items():
        open(f"{tmp}/mutant.c", "w").write(text)
        objs[f] = obj(tmp, "mutant_" + f)
        subprocess.run(CC + ["-c", f"{tmp}/mutant.c", "-o", objs[f]], check=True)
    return list(objs.values()) + [obj(tmp, f) for f in OTHERS]


def limit_cpu():
    """A sound simulation needs a fifth of it; wall-clock time would depend on what else runs."""
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def run(tmp, main, libs, objs, args):
    exe = f"{tmp}/exe"
    subprocess.run(CC + objs + [obj(tmp, f) for f in main] + ["-o", exe] + libs, check=True)
    return subprocess.run(["nice", "-n", "10", exe] + args, capture_output=True, text=True,
                          errors="replace", preexec_fn=limit_cpu)


def try_sim(tmp, objs, seeds):
    p = run(tmp, SIM, [], objs, ["1", str(seeds)])
    if p.returncode == -signal.SIGKILL or p.returncode == -signal.SIGXCPU:
        return "hang (60 s of CPU)"
    m = re.search(r"FAIL seed (\d+) turn (\d+) total (\d+): (.*)", p.stdout)
    if m:
        return f"step {m[3]}, seed {m[1]}: {m[4]}"
    return f"crash {p.returncode}" if p.returncode else None


def try_tests(tmp, objs):
    for t in TESTS:
        p = run(tmp, [t], ["-lcmocka"], objs, [])
        if p.returncode:
            m = re.search(r"\[  FAILED  \] (\w+)", p.stdout + p.stderr)
            return f"{os.path.basename(t)[:-2]}: {m[1] if m else 'crash or hang'}"
    return None


def write_table(rows, seeds):
    caught = sum(how is not None for _, how in rows)
    with open(f"{HERE}/mutants.md", "w") as f:
        f.write("# Planted defects\n\n`tests/sim/mutants.py` builds each defect of `mutants.txt`, "
                f"runs the simulation for up to {seeds} seeds\nand then the unit tests of the three "
                f"folders.  **{caught} of {len(rows)} caught.**\n\n| Defect | Caught at |\n"
                "| --- | --- |\n")
        for name, how in rows:
            text = (how or "**not caught**").replace("|", "\\|")
            f.write(f"| {name} | {text} |\n")
    return caught


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--seeds", type=int, default=3400)
    ap.add_argument("--only", default="")
    ap.add_argument("--list", action="store_true")
    a = ap.parse_args()
    todo = [(n, e) for n, e in parse() if a.only in n]
    if a.list:
        for name, edits in todo:
            try:
                mutate(name, edits)
            except ValueError as e:
                print(e)
        return 0
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        for f in MODULES + OTHERS + SIM + TESTS:
            subprocess.run(CC + ["-c", f"{ROOT}/{f}", "-o", obj(tmp, f)], check=True)
        for name, edits in todo:
            objs = build(tmp, name, edits)
            rows.append((name, try_sim(tmp, objs, a.seeds) or try_tests(tmp, objs)))
            print("caught  " if rows[-1][1] else "SURVIVED", name, "--", rows[-1][1], flush=True)
    caught = sum(how is not None for _, how in rows)
    print(f"{caught} of {len(rows)} caught")
    if not a.only:
        write_table(rows, a.seeds)
    return caught != len(rows)


if __name__ == "__main__":
    sys.exit(main())
