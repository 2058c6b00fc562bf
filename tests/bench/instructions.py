#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instruction counts beside those of instructions.md, so that a slip is seen without a timer.

usage: instructions.py BUILD [--write] [--objdump PROGRAM]

BUILD is a Release build by gcc.  Two kinds of count: what small programs with a fixed load execute, by callgrind
(needs sched_bench, text_bench, sample_bench and engine_bench; valgrind knows AVX2 at most), and the
instructions of each loop of the kernels, from the object files.  A count that has grown by more than GROWTH of the
recorded one is a failure.  Counts of another compiler or C library are not compared; exit code 77: none was.
--write records what this build gives and leaves the rest of the table as it is.
"""
import argparse
import array
import glob
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile

import loops

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "instructions.md")
GROWTH = {"runs": 0.03, "loops": 0.05}      # of a count; a loop of less than 20 instructions may not grow at all
RUNS = "What programs execute"
ISAS = "avx2 avxvnni avx512 avx512bf16 amx neon neondotprod neoni8mm".split()
INTRO = """# Instruction counts

Written by `tests/bench/instructions.py BUILD --write` and compared by the test `instructions`, which fails where a count has
grown: by more than 3 % for programs, 5 % for loops. After a change that is worth it, record anew.

Programs: callgrind, one thread, inside the named functions only. Loops: from the disassembly of the Release object files, a
line for each kernel, a number for each of its loops, by the work in one pass: dot products (an instruction that multiplies
and adds integers or pairs, a tile or a vector of them) or else multiplications with addition (fma). A kernel of the linear
ops has a loop for each number of rows; an attention kernel stands for all its sizes. `each` is instructions by work; loads
and stores include those that meet the stack, which are spills or what does not fit into registers.
"""


# ---- Programs ----------------------------------------------------------------------------------------------------------

def words_of(n, items):
    """About n bytes of text that is the same everywhere: the k-th of items comes about 1/k as often as the first."""
    state, out, size = 1, [], 0
    while size < n:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append(items[min(len(items) - 1, int(len(items) ** ((state >> 33) / 2**31)) - 1)])
        size += len(out[-1].encode()) + 1
    return " ".join(out)


def write(path, text):
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    return path


def text_runs(scratch):
    sys.path[:0] = [os.path.join(HERE, "text"), os.path.join(HERE, "..", "golden", "text")]
    import templates
    import texts
    text = write(os.path.join(scratch, "text"), words_of(32768, texts.WORDS) + words_of(4096, list(texts.HAN)))
    chat = {"add_generation_prompt": True, "messages": [{"role": "user", "content": "How is the weather? " * 20}, {"role": "assistant", "content": "Mild. " * 40}] * 8}
    request = write(os.path.join(scratch, "chat"), json.dumps(chat))
    template = write(os.path.join(scratch, "template"), templates.QWEN)
    toggle = ["lls_tokenizer_encode", "lls_tokenizer_decode", "lls_chat_render"]
    golden = os.path.join(HERE, "..", "golden", "text")
    for kind, file in [("byte-level BPE", "llama3"), ("BPE of SentencePiece", "gemma"), ("unigram", "t5"), ("WordPiece", "bert")]:
        yield f"text, {kind}", "text_bench", [], toggle, os.path.getsize(text), "bytes both ways", \
            f"open {golden}/{file}.json\ntext {text}\nencode\ndecode\n"
    yield "text, chat template", "text_bench", [], toggle, 16 * 4, "messages", \
        f"open {golden}/llama3.json\ntemplate {template}\nchat {request}\nrender 4\n"


def model(scratch):
    """A Llama of 140,000 weights, which repeat: valgrind takes long for each multiplication with addition."""
    n, wide, vocab, kv = 64, 128, 512, 32
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": n, "intermediate_size": wide,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": vocab,
              "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
              "tie_word_embeddings": False, "torch_dtype": "float32"}
    shapes = {"model.embed_tokens.weight": [vocab, n], "model.norm.weight": [n], "lm_head.weight": [vocab, n]}
    layer = {"input_layernorm": [n], "post_attention_layernorm": [n], "self_attn.q_proj": [n, n], "self_attn.k_proj": [kv, n],
             "self_attn.v_proj": [kv, n], "self_attn.o_proj": [n, n], "mlp.gate_proj": [wide, n], "mlp.up_proj": [wide, n],
             "mlp.down_proj": [n, wide]}
    shapes.update({f"model.layers.{i}.{name}.weight": shape for i in range(2) for name, shape in layer.items()})
    header, at = {}, 0
    for name, shape in shapes.items():
        end = at + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, end]}
        at = end
    text = json.dumps(header).encode()
    some = array.array("f", ((i * 2654435761 % 2**32 / 2**31 - 1) / 8 for i in range(8191))).tobytes()
    write(os.path.join(scratch, "config.json"), json.dumps(config))
    with open(os.path.join(scratch, "model.safetensors"), "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + (some * (at // len(some) + 1))[:at])
    return scratch


def all_runs(scratch):
    """(name, program, arguments, functions, units, unit, input)"""
    toggle = ["lls_sched_schedule", "lls_sched_update"]
    for kind, steps in [("decode", 92), ("mixed", 496), ("spec", 92)]:      # with those that warm it up
        yield f"scheduler, {kind}, 64 rows", "sched_bench", [kind, "64", "40"], toggle, steps, "steps", ""
    yield from text_runs(scratch)
    yield "sampler, avx2, vocabulary of 32,000", "sample_bench", ["1", "32000", "1", "avx2", "1"], ["lls_cpu_draw"], 77, "rows", ""
    for name, options in [("float32", []), ("int8", ["--quantization", "int8"]),
                          ("int4", ["--quantization", "int4"]), ("int8 cache", ["--kv-cache-dtype", "int8_per_token_head"])]:
        yield f"engine, avx2, {name}", "engine_bench", [model(scratch), "--threads", "1", "--cases", "1", "--max-model-len", "512", "--cpu-isa", "avx2",
            "--skip-tokenizer-init", "true", "--num-gpu-blocks-override", "64", *options], \
            ["llm_engine_step"], 2 * (128 + 3) + 128 + 128 + 64, "tokens", ""


def execute(program, args, functions, stdin):
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", *(f"--toggle-collect={f}" for f in functions), program, *args]
    run = subprocess.run(command, input=stdin, capture_output=True, text=True)
    found = re.search(r"Collected : (\d+)", run.stderr)
    if run.returncode != 0 or not found or int(found[1]) == 0:
        sys.exit(f"{' '.join(command)}: exit code {run.returncode}\n{run.stderr[-2000:]}")
    return int(found[1])


def count_runs(build):
    """{name: (instructions, units, unit)}"""
    out = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, program, args, functions, units, unit, stdin in all_runs(scratch):
            out[name] = execute(os.path.join(build, "tests", "bench", program), args, functions, stdin), units, unit
    return out


def cannot_run():
    if shutil.which("valgrind") is None:
        return "valgrind is not there"
    with open("/proc/cpuinfo", encoding="ascii", errors="ignore") as f:
        return None if " avx2 " in f.read() else "this CPU has no AVX2"


# ---- Loops -------------------------------------------------------------------------------------------------------------

def compiler_of(path):
    """"gcc 12", as the object file says."""
    text = subprocess.run(["readelf", "-p", ".comment", path], capture_output=True, text=True).stdout
    found = re.search(r"(GCC): \([^)]*\) (\d+)|(clang) version (\d+)", text)
    return "unknown" if not found else f"gcc {found[2]}" if found[1] else f"clang {found[4]}"


def family(name):
    """Kernels that differ by the size of their tile are one."""
    return re.sub(r"_\d+x\d+", "", name)


def objects_of(build):
    for path in sorted(glob.glob(os.path.join(build, "CMakeFiles", "lls_*.dir", "lib", "*", "*.c.o"))):
        name = os.path.basename(path)[:-4]
        if name.rsplit("_", 1)[-1] in ISAS:
            yield name, path


def count_loops(build, objdump):
    """{object: {kernel: [counts]}}"""
    out = {}
    for name, path in objects_of(build):
        kernels = {}
        for function, counts in loops.loops_of(objdump, path).items():
            kernels.setdefault(family(function), []).extend(counts)
        if kernels:
            out[name] = {k: sorted(v, key=lambda c: (loops.work(c), c["instructions"])) for k, v in sorted(kernels.items())}
    return out


# ---- The table ---------------------------------------------------------------------------------------------------------

def run_section(runs):
    lines = ["| run | instructions | of | each |", "| --- | --- | --- | --- |"]
    for name, (n, units, unit) in runs.items():
        lines.append(f"| {name} | {n:,} | {units:,} {unit} | {n / units:,.1f} |")
    return lines


def loop_section(kernels):
    lines = ["| kernel | work | instructions | each | loads | stores | stack |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, counts in kernels.items():
        works = [loops.work(c) for c in counts]
        unit = "dots" if any(c["dots"] for c in counts) else "fma" if any(works) else "-"
        cells = [" ".join(map(str, works)) + " " + unit if any(works) else "-", " ".join(str(c["instructions"]) for c in counts),
                 " ".join(f"{c['instructions'] / w:.1f}" if w else "-" for c, w in zip(counts, works))]
        cells += [" ".join(str(c[k]) for c in counts) for k in ("loads", "stores", "stack")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def read_table():
    """{section: lines}; a section's title ends with what made it: "cpu_linear_avx2 (gcc 12)"."""
    sections = {}
    if os.path.exists(TABLE):
        with open(TABLE, encoding="utf-8") as f:
            for part in f.read().split("\n## ")[1:]:
                title, rest = part.split("\n", 1)
                sections[title] = [line for line in rest.splitlines() if line]
    return sections


def write_table(sections):
    def order(title):
        name = title.split(" (")[0]
        return (0, 0, "") if name == RUNS else (1, ISAS.index(name.rsplit("_", 1)[-1]), name)
    with open(TABLE, "w", encoding="utf-8") as f:
        f.write(INTRO)
        for title in sorted(sections, key=order):
            f.write(f"\n## {title}\n\n" + "\n".join(sections[title]) + "\n")


def numbers_of(lines):
    """{first cell: [numbers of the second cell of runs, of the third of loops]}"""
    column = 2 if lines[0].startswith("| run") else 3
    rows = [line.split(" | ") for line in lines[2:]]
    return {row[0][2:]: [int(n) for n in row[column - 1].replace(",", "").split()] for row in rows}


def faults_of(title, lines, recorded):
    growth = GROWTH["runs" if title.startswith(RUNS) else "loops"]
    now, then = numbers_of(lines), numbers_of(recorded)
    out = [f"{title}: {name} is gone" for name in then if name not in now]
    out += [f"{title}: {name} is not in the table" for name in now if name not in then]
    for name in now.keys() & then.keys():
        if len(now[name]) != len(then[name]):
            out.append(f"{title}: {name} has {len(now[name])} loops, not {len(then[name])}")
        out += [f"{title}: {name}: {a:,} instructions, {b:,} recorded ({100 * (a / b - 1):+.1f} %)"
                for a, b in zip(now[name], then[name]) if a > b * (1 + growth)]
    return out


def check_checker(title, lines):
    """A table with one count that is a tenth too small must not pass."""
    name, numbers = next(iter(numbers_of(lines).items()))
    column = 1 if title.startswith(RUNS) else 2
    row = next(i for i, line in enumerate(lines) if line.startswith(f"| {name} |"))
    cells = lines[row].split(" | ")
    cells[column] = " ".join(str(n * 9 // 10 if i == 0 else n) for i, n in enumerate(numbers))
    if len(faults_of(title, lines, lines[:row] + [" | ".join(cells)] + lines[row + 1:])) != 1:
        sys.exit(f"{title}: a count that grew by a tenth would not be seen")


def measure(build, objdump):
    """{title: lines}, and why there is no more."""
    out, notes = {}, []
    compilers = {name: compiler_of(path) for name, path in objects_of(build)}
    for name, kernels in count_loops(build, objdump).items():
        out[f"{name} ({compilers[name]})"] = loop_section(kernels)
    native = any("avx2" in title for title in out)
    if native and (why := cannot_run()) is None:
        title = f"{RUNS} ({next(iter(compilers.values()))}, {' '.join(platform.libc_ver())})"
        out[title] = run_section(count_runs(build))
    elif native:
        notes.append(why)
    return out, notes


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("build")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--objdump", default="objdump")
    args = parser.parse_args()
    if shutil.which(args.objdump) is None or shutil.which("readelf") is None:
        print("objdump or readelf is not there")
        return 77
    sections, notes = measure(args.build, args.objdump)
    table = read_table()
    if args.write:
        names = {title.split(" (")[0] for title in sections}
        write_table({**{t: v for t, v in table.items() if t.split(" (")[0] not in names}, **sections})
        return 0
    common = [title for title in sections if title in table]
    notes += [f"{title}: not in the table" for title in sections if title not in table]
    faults = [fault for title in common for fault in faults_of(title, sections[title], table[title])]
    for title in common:
        check_checker(title, sections[title])
    print("\n".join(notes + faults))
    print(f"{len(common)} tables compared, {len(faults)} faults")
    if faults:
        print(f"if that is as it should be: {sys.executable} {os.path.relpath(__file__)} {args.build} --write")
    return 1 if faults else 0 if common else 77


if __name__ == "__main__":
    sys.exit(main())
