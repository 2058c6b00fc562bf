#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/bench/cpu.md: this library beside other engines, interleaved in one run.

  run.py SCRATCH [--tables smol-q4_1,...] [--rounds 5] [--threads 2] [--peers llama.cpp,openvino,...]
  run.py SCRATCH --report

Builds or installs in SCRATCH what is missing: a Release build of this tree, llama.cpp, OpenVINO
GenAI, and the models (the demonstration model; others by llama-quantize and with random weights:
4 GB for those of 1.1B parameters).  Needs the reference folder (LLM_SHARED, ../shared by default)
and python3 with venv.  vllm is measured where SCRATCH/vllm is a venv that has it.

Decoding of one stream is measured with max-num-seqs 1, all else with the defaults.

A round runs every engine once on every table, and measures what the machine can do beside them;
each figure is appended to SCRATCH/cpu.jsonl as it comes, and all of the present commit and machine
go into the report: medians, ratios, shares of the floor, and the targets.  --report writes it again
from what is there.  Run it when nothing else runs: what others took of the CPUs is kept for each run
and shown.  NO_AMX=1 builds llama.cpp without AMX, where its native build meets an illegal
instruction.

The floor of a decoding step is the time to read the weights once at the bandwidth measured on as
many bytes, or the linear layers' arithmetic at the measured peak if that is longer; of prefill, the
arithmetic alone.  Attention, and reading the KV cache, are left out.
"""
import argparse
import datetime
import json
import os
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
SHARED = pathlib.Path(os.environ.get("LLM_SHARED", ROOT / "../shared")).resolve()
PEERS = SHARED / "peers"
REPORT = ROOT / "tests/bench/cpu.md"
SMALLER = ["to_first_token", "rss"]     # is better: seconds, and megabytes at most
STREAMS = [1, 8, 32, 64]
DEPTH = 2048

# Weights of the linear layers without the head, of the head.
SHAPES = {"smol": (106_168_320, 28_311_552), "one": (968_884_224, 65_536_000)}

# table: (title, model, peers, cases, {case: (peer, least ratio to it)})
SHORT = ["1", "8", "32", "64", "batch64", "pp512", "tg"]
DEEP = [f"pp512@{DEPTH}", f"tg@{DEPTH}"]
TABLES = {
    "smol-q4_1": ("SmolLM2-135M, Q4_1 (the demonstration model)", "q4_1",
                  ["llama.cpp", "openvino"], SHORT + DEEP,
                  {"B1.tg": ("llama.cpp", 2.8), "B8.tg": ("openvino", 2), "B32.tg": ("openvino", 1.6),
                   "batch64.total": ("openvino", 1.4), "pp512": ("openvino", 1.25),
                   "pp512@2048": ("llama.cpp", 3.3), "tg@2048": ("llama.cpp", 3)}),
    "smol-q4_0": ("SmolLM2-135M, Q4_0", "q4_0", ["llama.cpp"], SHORT,
                  {"B1.tg": ("llama.cpp", 2.3), "batch64.total": ("llama.cpp", 3.6)}),
    "smol-q8_0": ("SmolLM2-135M, Q8_0", "q8_0", ["llama.cpp", "openvino"], SHORT,
                  {"pp512": ("openvino", 1.6)}),
    "smol-bf16": ("SmolLM2-135M shape, bfloat16, random weights", "bf16", ["llama.cpp", "vllm"],
                  SHORT, {"batch64.total": ("vllm", 1.28)}),
    "smol-start": ("From the start of the process to the first token, SmolLM2-135M, Q4_1", "q4_1",
                   ["llama-cpp-python"], ["start"], {"to_first_token": ("llama-cpp-python", 2)}),
    "one-bf16": ("TinyLlama-1.1B shape, bfloat16, random weights", "bf16", ["llama.cpp"],
                 ["1", "8", "32", "pp512", "tg"],
                 {"tg": ("llama.cpp", 1.05), "B8.tg": ("llama.cpp", 2), "B32.tg": ("llama.cpp", 1.8),
                  "pp512": ("llama.cpp", 1.4)}),
    "one-q8_0": ("TinyLlama-1.1B shape, Q8_0, random weights", "q8_0", ["llama.cpp", "openvino"],
                 ["1", "8", "32", "pp512", "tg"],
                 {"tg": ("llama.cpp", 1.1), "B8.tg": ("llama.cpp", 3), "B32.tg": ("llama.cpp", 3),
                  "pp512": ("openvino", 1.4)}),
    "one-q4_0": ("TinyLlama-1.1B shape, Q4_0, random weights", "q4_0", ["llama.cpp"],
                 ["1", "8", "32", "pp512", "tg"],
                 {"tg": ("llama.cpp", 1.1), "B8.tg": ("llama.cpp", 2.5), "B32.tg": ("llama.cpp", 2.4),
                  "pp512": ("llama.cpp", 2.3)}),
}


def sh(*command, **kw):
    kw.setdefault("check", True)
    return subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, **kw).stdout


# ---- What is compared ------------------------------------------------------------------------------

class Machine:
    """The programs and models in SCRATCH; each is made when it is first asked for."""

    def __init__(self, scratch, threads):
        self.dir = scratch.resolve()
        self.threads = str(threads)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.llama_paths = None

    def build(self):
        build = self.dir / "build"
        sh("cmake", "-S", ROOT, "-B", build, "-DCMAKE_BUILD_TYPE=Release")
        sh("cmake", "--build", build, "--target", "engine_bench", "floor_bench", "-j", os.cpu_count())
        return build / "tests/bench"

    def llama(self):
        if self.llama_paths is None:
            off = "-mno-amx-tile -mno-amx-int8 -mno-amx-bf16" if os.environ.get("NO_AMX") else ""
            text = sh("bash", PEERS / "llama_cpp.sh", self.dir / "llama",
                      env={**os.environ, "CFLAGS": off, "CXXFLAGS": off})
            self.llama_paths = dict(line.split("=", 1) for line in text.split())
        return self.llama_paths

    def venv(self, name, *packages):
        python = self.dir / name / "bin/python"
        if not python.exists():
            sh(sys.executable, "-m", "venv", self.dir / name)
            sh(python, "-m", "pip", "install", "-q", *packages)
        return python

    def random_weights(self, shape):
        name = {"smol": "smollm2-135m", "one": "tinyllama-1.1b"}[shape]
        path = self.dir / "random" / f"{name}.bf16.gguf"
        if not path.exists():
            sh(self.venv("py", "numpy"), SHARED / "roofline/mkmodel.py", name, path.parent, "gguf", "hf")
        return path

    def model(self, table):
        shape, kind = table.split("-")[0], TABLES[table][1]
        if kind == "bf16":
            return self.random_weights(shape)
        if shape == "smol":
            base = pathlib.Path(sh("sh", ROOT / "examples/fetch_model.sh").strip())
        else:
            base = self.random_weights(shape)
        if (shape, kind) == ("smol", "q4_1"):
            return base
        path = self.dir / f"{shape}-{kind}.gguf"
        if not path.exists():
            sh(self.llama()["LLAMA_QUANTIZE"], "--allow-requantize", "--pure", base, path,
               kind.upper(), self.threads, stderr=subprocess.DEVNULL)
        return path

    def commands(self, who, table):
        """Of one engine: lists of arguments, run one after another."""
        model, cases = self.model(table), TABLES[table][3]
        streams = [c for c in cases if c.isdigit()]
        depths = "0" if not any("@" in c for c in cases) else f"0,{DEPTH}"
        if who == "ours":
            bench = [self.build() / "engine_bench", model, "--threads", self.threads, "--cases"]
            if cases == ["start"]:
                return [bench + ["start"]]
            bench = bench[:-1] + ["--kv-cache-memory-bytes", 1 << 29, "--cases"]
            one = [c for c in cases if c == "1" or c.startswith("tg")]
            return [bench + [",".join(one), "--max-num-seqs", 1],
                    bench + [",".join(c for c in cases if c not in one)]]
        if who == "llama.cpp":
            tools, t = self.llama(), self.threads
            return [[tools["LLAMA_BATCHED_BENCH"], "-m", model, "-c", 16384, "-b", 2048, "-ub", 512,
                     "-npp", 128, "-ntg", 64, "-npl", ",".join(streams), "-t", t, "-tb", t,
                     "--output-format", "jsonl"],
                    [tools["LLAMA_BENCH"], "-m", model, "-p", 512, "-n", 128, "-d", depths, "-r", 1,
                     "-t", t, "-o", "jsonl"]]
        if who == "openvino":
            python = self.venv("ov", "openvino-genai==2026.4.1.0")
            return [[python, PEERS / "openvino_bench.py", model, self.threads]]
        if who == "llama-cpp-python":
            tools, python = self.llama(), self.venv("lpy", "numpy", "typing-extensions", "diskcache",
                                                    "jinja2")
            return [["env", f"LLAMA_CPP_LIB_PATH={tools['LLAMA_CPP_LIB_PATH']}",
                     f"PYTHONPATH={tools['LLAMA_CPP_PY']}", python, PEERS / "llama_py_bench.py",
                     model]]
        python = self.dir / "vllm/bin/python"
        if who == "vllm" and python.exists():
            return [[python, PEERS / "vllm_bench.py", str(model).removesuffix(".bf16.gguf"),
                     "bfloat16"]]
        return []


def figures(text):
    """{case: value} of what any of the engines prints."""
    got = {}
    for line in text.splitlines():
        if line.startswith("{"):
            row = json.loads(line)
            if "pl" in row:                                 # llama-batched-bench
                for part, key in (("pp", "speed_pp"), ("tg", "speed_tg"), ("total", "speed")):
                    got[f"B{row['pl']}.{part}"] = row[key]
            else:                                           # llama-bench
                name = "pp512" if row["n_prompt"] else "tg"
                got[name + (f"@{row['n_depth']}" if row["n_depth"] else "")] = row["avg_ts"]
            continue
        m = re.match(r"([A-Za-z][\w.@/-]*)\s+([\d.]+)", line)
        if m:
            got[m[1].replace("tg@d", "tg@")] = float(m[2])
    if "B64.total" in got:                                  # the others' batch is their only way
        got.setdefault("batch64.total", got["B64.total"])
    return got


# ---- Running ---------------------------------------------------------------------------------------

def busy_seconds():
    v = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (sum(v[:3]) + sum(v[5:])) / os.sysconf("SC_CLK_TCK")


def children_seconds():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def run(commands, env):
    """Output of all, and the CPUs that others took meanwhile."""
    began, busy, own, text = time.time(), busy_seconds(), children_seconds(), ""
    for command in commands:
        text += sh(*command, stderr=subprocess.DEVNULL, env=env)
    own = children_seconds() - own
    return text, max(0.0, (busy_seconds() - busy - own) / (time.time() - began))


def commit():
    return sh("git", "-C", ROOT, "rev-parse", "--short", "HEAD").strip()


def cpu_name():
    text = open("/proc/cpuinfo").read()
    field = lambda k: re.search(rf"^{k}\s*: (.*)$", text, re.M)[1]
    flags = [f for f in field("flags").split()
             if re.match(r"avx2$|avx512(f|_vnni|_bf16)$|avx_vnni|amx", f)]
    return (f"{field('model name')}, family {field('cpu family')}, model {field('model')}, "
            f"{os.cpu_count()} CPUs; {' '.join(flags)}")


def measure(machine, args):
    tools, here = machine.build(), {"commit": commit(), "machine": cpu_name()}
    log = open(machine.dir / "cpu.jsonl", "a")
    env = {**os.environ, "NS": " ".join(map(str, STREAMS)), "DEEP": str(DEPTH)}
    for turn in range(args.rounds):
        for table in args.tables:
            mb = machine.model(table).stat().st_size >> 20
            todo = [("floor", [[tools / "floor_bench", machine.threads, mb]])]
            todo += [(who, machine.commands(who, table)) for who in ["ours"] + TABLES[table][2]
                     if who == "ours" or who in args.peers]
            for who, commands in todo[turn % len(todo):] + todo[:turn % len(todo)]:
                text, others = run(commands, env)
                row = {**here, "table": table, "who": who, "others": round(others, 2),
                       "figures": figures(text)}
                print(json.dumps(row), file=log, flush=True)
                print(f"round {turn + 1}: {table} {who}, others {others:.2f}", flush=True)


# ---- The report ------------------------------------------------------------------------------------

def floor_of(table, case, floors, weight_bytes):
    """Tokens a second that the machine allows, or None."""
    linear, head = SHAPES[table.split("-")[0]]
    peak = floors.get("amx.gops", floors["int8.gops"])
    if table.endswith("bf16"):          # tiles of it have half as many values
        peak = max(floors["fma.gflops"], floors.get("amx.gops", 0) / 2)
    if "pp" in case:
        return peak * 1e9 / (2 * linear)
    m = re.match(r"B(\d+)\.tg|(tg)", case)
    if m is None:
        return None
    n, read = int(m[1] or 1), next(v for k, v in floors.items() if k.startswith("read@"))
    return n / max(weight_bytes / (read * 1e9), n * 2 * (linear + head) / (peak * 1e9))


def medians(rows):
    """{who: {case: (median, all)}}"""
    values = {}
    for row in rows:
        for case, value in row["figures"].items():
            values.setdefault(row["who"], {}).setdefault(case, []).append(value)
    return {who: {c: (statistics.median(v), v) for c, v in cases.items()}
            for who, cases in values.items()}


def cell(x, form="{:.4g}"):
    return "" if x is None else form.format(x)


def table_lines(table, rows, weight_bytes):
    _, _, peers, _, targets = TABLES[table]
    got = medians(rows)
    peers = [p for p in peers if p in got]
    floors = {k: v[0] for k, v in got["floor"].items()}
    columns = ["case", "ours", *peers, *[f"x {p}" for p in peers], "of the floor", "target"]
    yield "| " + " | ".join(columns) + " |"
    yield "| " + " | ".join("---" for _ in columns) + " |"
    for case, (ours, all_ours) in got["ours"].items():
        if not re.match(r"B\d+\.(pp|tg|total)|batch|pp|tg|to_first_token|rss", case):
            continue
        theirs = [got[p].get(case, (None,))[0] for p in peers]
        ratios = [ours / t if t else None for t in theirs]
        if case in SMALLER:
            ratios = [r and 1 / r for r in ratios]
        floor = floor_of(table, case, floors, weight_bytes)
        target = targets.get(case)
        if target is not None and target[0] in peers and ratios[peers.index(target[0])]:
            met = ratios[peers.index(target[0])] >= target[1]
            target = f"{target[1]} x {target[0]}: {'met' if met else 'missed'}"
        else:
            target = ""
        cells = [case, f"{ours:.4g} ({min(all_ours):.4g} to {max(all_ours):.4g})",
                 *[cell(t) for t in theirs], *[cell(r, "{:.2f}") for r in ratios],
                 cell(ours / floor if floor else None, "{:.0%}"), target]
        yield "| " + " | ".join(cells) + " |"
    yield ""
    others = [r["others"] for r in rows]
    yield (f"Rounds: {len(all_ours)}. The machine: " +
           ", ".join(f"{k} {v:.4g}" for k, v in floors.items()) +
           f". Others took {statistics.median(others):.2f} CPUs (most {max(others):.2f}).")


def report(machine, args):
    rows = [json.loads(line) for line in open(machine.dir / "cpu.jsonl")]
    here = {"commit": args.commit or commit(), "machine": cpu_name()}
    rows = [r for r in rows if all(r[k] == v for k, v in here.items())]
    out = [f"Measured {datetime.date.today()} at {here['commit']}, {machine.threads} threads, on",
           f"{here['machine']}.", ""]
    for table in TABLES:
        mine = [r for r in rows if r["table"] == table]
        if {"ours", "floor"} <= {r["who"] for r in mine}:
            size = machine.model(table).stat().st_size
            out += [f"## {TABLES[table][0]}", "", *table_lines(table, mine, size), ""]
    text = REPORT.read_text()
    head, rest = text.split("<!-- tables -->\n", 1)
    tail = rest.split("<!-- end of tables -->\n", 1)[1]
    REPORT.write_text(head + "<!-- tables -->\n" + "\n".join(out) + "<!-- end of tables -->\n" + tail)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("scratch", type=pathlib.Path)
    p.add_argument("--tables", type=lambda s: s.split(","), default=list(TABLES))
    p.add_argument("--peers", type=lambda s: s.split(","), 
                   default=["llama.cpp", "openvino", "vllm", "llama-cpp-python"])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--report", action="store_true", help="write the report from SCRATCH/cpu.jsonl")
    p.add_argument("--commit", help="with --report: of this commit instead of the present one")
    args = p.parse_args()
    machine = Machine(args.scratch, args.threads)
    if not args.report:
        measure(machine, args)
    report(machine, args)


if __name__ == "__main__":
    main()
