#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds each planted defect of a suite and runs its simulation and unit tests until one fails.

    mutants.py [--suite sim|engine] [--seeds N] [--only TEXT] [--list] [--lib libllmserve.a]

Suite sim has the scheduler and the cache, in tests/sim; engine has the engine, sampling parameters,
stops and the model runner, in tests/simengine, and needs a static library with assertions (a Debug
build) for all that is not mutated.  Without --only the table of results, mutants.md beside
mutants.txt, is written; the exit status is 0 if every defect was caught.  --list only says which
texts are not found exactly once."""
import argparse
import glob
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CC = ["gcc", "-std=c17", "-D_GNU_SOURCE", "-O1", "-w", f'-DTEST_DIR="{ROOT}/tests"',
      f'-DLLM_SHARED_DEFAULT="{ROOT}/../shared"'] + [
    f"-I{ROOT}/{d}" for d in ("lib", "include", "tests")]


def files(*patterns):
    """Without the files that want flags of their own."""
    return [os.path.relpath(p, ROOT) for w in patterns for p in sorted(glob.glob(f"{ROOT}/{w}"))
            if "_avx" not in p]


# home: of mutants.txt; mutable: what is compiled here; main and args: the simulation; tests: the
# sources of one test each, where it is silent; of what: for the table.
SUITES = {
    "sim": {
        "home": "tests/sim", "of": "the unit tests of the three folders",
        "mutable": files("lib/step/*.c", "lib/kv/*.c", "lib/sched/*.c"),
        "others": files("lib/base/mem.c", "lib/base/hash.c", "lib/base/status.c",
                        "lib/base/utf8.c"),
        "main": files("tests/sim/*.c"), "args": ["1", "{seeds}"], "seeds": 3400, "libs": [],
        "tests": [[f] for f in ("tests/unit/kv/kv_test.c", "tests/unit/sched/sched_test.c",
                                "tests/unit/sched/sched_fork_test.c",
                                "tests/unit/step/step_test.c")]},
    "engine": {
        "home": "tests/simengine", "of": "the tests of engine, sampling and text",
        "mutable": files("lib/engine/*.c", "lib/sample/*.c", "lib/text/stop.c",
                         "lib/text/detok.c", "lib/run/*.c"),
        "others": [], "main": files("tests/simengine/*.c", "tests/sim/fake.c"),
        "args": ["--seeds", "{seeds}"], "seeds": 3400,
        "libs": ["-lutf8proc", "-lonig", "-ljansson", "-lpthread", "-lm"],
        "tests": [[f] for f in files("tests/unit/text/stop_test.c",
                                     "tests/unit/text/detok_test.c")] +
                 [[f"tests/engine/{t}_test.c", "tests/engine/support.c"]
                  for t in ("logprob_modes", "record", "callbacks", "bad_words")]},
}


def parse(suite):
    for block in open(f"{ROOT}/{suite['home']}/mutants.txt").read().split("\n== ")[1:]:
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


def mutate(suite, name, edits):
    """{file: text} after the edits; each applies to the one file that has its text once."""
    src = {f: open(f"{ROOT}/{f}").read() for f in suite["mutable"]}
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


def build(suite, tmp, name, edits):
    """Object files of all modules with the edits in."""
    objs = {f: obj(tmp, f) for f in suite["mutable"]}
    for f, text in mutate(suite, name, edits).items():
        open(f"{tmp}/mutant.c", "w").write(text)
        objs[f] = obj(tmp, "mutant_" + f)
        subprocess.run(CC + ["-c", f"{tmp}/mutant.c", "-o", objs[f]], check=True)
    return list(objs.values()) + [obj(tmp, f) for f in suite["others"]]


def limit_cpu():
    """A sound simulation needs a fifth of it; wall-clock time would depend on what else runs."""
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def compile_once(tmp, sources):
    for f in sources:
        if not os.path.exists(obj(tmp, f)):
            subprocess.run(CC + ["-c", f"{ROOT}/{f}", "-o", obj(tmp, f)], check=True)


def run(suite, tmp, main, libs, objs, args):
    exe = f"{tmp}/exe"
    compile_once(tmp, main)
    subprocess.run(CC + objs + [obj(tmp, f) for f in main] + ["-o", exe] + suite["lib"] + libs +
                   suite["libs"], check=True)
    return subprocess.run(["nice", "-n", "10", exe] + args, capture_output=True, text=True,
                          errors="replace", preexec_fn=limit_cpu)


def try_sim(suite, tmp, objs, seeds):
    args = [a.replace("{seeds}", str(seeds)) for a in suite["args"]]
    p = run(suite, tmp, suite["main"], [], objs, args)
    if p.returncode == -signal.SIGKILL or p.returncode == -signal.SIGXCPU:
        return "hang (60 s of CPU)"
    m = re.search(r"FAIL seed (\d+) turn (\d+) total (\d+): (.*)", p.stdout)
    if m:
        return f"step {m[3]}, seed {m[1]}: {m[4]}"
    return f"crash {p.returncode}" if p.returncode else None


def try_tests(suite, tmp, objs):
    for t in suite["tests"]:
        p = run(suite, tmp, t, ["-lcmocka"], objs, [])
        if p.returncode not in (0, 77):
            m = re.search(r"\[  FAILED  \] (\w+)", p.stdout + p.stderr)
            return f"{os.path.basename(t[0])[:-2]}: {m[1] if m else 'crash or hang'}"
    return None


def write_table(suite, rows, seeds):
    caught = sum(how is not None for _, how in rows)
    option = "" if suite is SUITES["sim"] else " --suite engine"
    with open(f"{ROOT}/{suite['home']}/mutants.md", "w") as f:
        f.write(f"# Planted defects\n\n`tests/sim/mutants.py{option}` builds each defect of "
                f"`mutants.txt`, runs the simulation for up to {seeds} seeds\nand then "
                f"{suite['of']}.  **{caught} of {len(rows)} caught.**\n\n| Defect | Caught at |\n"
                "| --- | --- |\n")
        for name, how in rows:
            text = (how or "**not caught**").replace("|", "\\|")
            f.write(f"| {name} | {text} |\n")


def list_faults(suite, todo):
    for name, edits in todo:
        try:
            mutate(suite, name, edits)
        except ValueError as e:
            print(e)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--suite", default="sim", choices=SUITES)
    ap.add_argument("--seeds", type=int)
    ap.add_argument("--only", default="")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--lib", help="static library with assertions, for the suite engine")
    a = ap.parse_args()
    suite = SUITES[a.suite]
    seeds = a.seeds or suite["seeds"]
    suite["lib"] = [a.lib] if a.lib else []
    todo = [(n, e) for n, e in parse(suite) if a.only in n]
    if a.list:
        return list_faults(suite, todo)
    rows = []
    with tempfile.TemporaryDirectory() as tmp:
        compile_once(tmp, suite["mutable"] + suite["others"])
        for name, edits in todo:
            objs = build(suite, tmp, name, edits)
            rows.append((name, try_sim(suite, tmp, objs, seeds) or try_tests(suite, tmp, objs)))
            print("caught  " if rows[-1][1] else "SURVIVED", name, "--", rows[-1][1], flush=True)
    caught = sum(how is not None for _, how in rows)
    print(f"{caught} of {len(rows)} caught")
    if not a.only:
        write_table(suite, rows, seeds)
    return caught != len(rows)


if __name__ == "__main__":
    sys.exit(main())
