#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the public interface with what is committed in tests/abi.

    abi.py layout              sizes, offsets and values of include/llm.h against tests/abi/layout
    abi.py baseline            every struct of an earlier header is a prefix of today's
    abi.py symbols LIBRARY.so  exported symbols against tests/abi/symbols and the header
    abi.py self-test           changes of several kinds to a copy of the header must be found
    abi.py update LIBRARY.so   writes layout, symbols and this version's copy of the header anew;
                               read the difference before a commit

The numbers come from a probe that the compiler builds from the header.  CC names the compiler.
"""
import difflib
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import header

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = os.path.join(HERE, "..", "..", "include", "llm.h")
MAP = os.path.join(HERE, "..", "..", "cmake", "llmserve.map")
FROZEN = ["llm_error_t", "llm_allocator_t", "llm_option_t", "llm_logit_bias_t", "llm_logprob_t"]


def probe_source(name, structs, enums):
    line = 'printf("%s %%zu\\n", %s);'
    body = []
    for struct, fields in structs.items():
        body.append(line % (struct, f"sizeof({struct})"))
        for field in fields:
            body.append('printf("%s.%s %%zu %%zu\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));'
                        % (struct, field, struct, field, struct, field))
    body += ['printf("%s %%d\\n", %s);' % (value, value) for value in enums]
    return f'#include <stdio.h>\n#include "{name}"\nint main(void)\n{{\n' + "\n".join(body) + \
        "\nreturn 0;\n}\n"


def layout(path):
    """Lines 'struct size', 'struct.field offset size', 'ENUM value', in the order of the header."""
    structs, enums, _, _ = header.read(path)
    with tempfile.TemporaryDirectory() as tmp:
        source, binary = os.path.join(tmp, "probe.c"), os.path.join(tmp, "probe")
        with open(source, "w", encoding="utf-8") as f:
            f.write(probe_source(os.path.abspath(path), structs, enums))
        subprocess.run([os.environ.get("CC", "cc"), "-std=c11", source, "-o", binary], check=True)
        return subprocess.run([binary], check=True, capture_output=True,
                              text=True).stdout.splitlines()


def symbols(library):
    out = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True,
                         text=True).stdout
    return sorted(line.split()[2] for line in out.splitlines() if line.split()[1] != "A")


def committed(name):
    with open(os.path.join(HERE, name), encoding="utf-8") as f:
        return f.read().splitlines()


def differences(wanted, got, what):
    return list(difflib.unified_diff(wanted, got, "committed " + what, what, lineterm="", n=1))


def prefix_faults(old_path, new_path):
    """Nothing of the old header has moved, shrunk, changed its value or gone."""
    new = dict(line.split(" ", 1) for line in layout(new_path))
    faults = []
    for line in layout(old_path):
        name, value = line.split(" ", 1)
        grows = name.startswith("llm_") and "." not in name and name not in FROZEN
        if name not in new:
            faults.append(f"{name} is gone")
        elif grows and int(new[name]) < int(value):
            faults.append(f"{name} shrank from {value} to {new[name]}")
        elif not grows and new[name] != value:
            faults.append(f"{name} was {value} and is {new[name]}")
    old_calls, new_calls = header.read(old_path)[2], header.read(new_path)[2]
    for name, line in old_calls.items():
        if new_calls.get(name) != line:
            faults.append(f"{name}: was '{line}', is '{new_calls.get(name)}'")
    return faults


def baselines():
    return sorted(os.path.join(HERE, f) for f in os.listdir(HERE)
                  if re.fullmatch(r"llm-\d+\.\d+\.\d+\.h", f))


def nodes():
    """The version that the linker's map gives to a name: the one that spells it, else the first."""
    with open(MAP, encoding="utf-8") as f:
        found = re.findall(r"^(LLMSERVE_[\d.]+) \{(.*?)^\}", f.read(), re.M | re.S)
    named = {name: node for node, body in found for name in re.findall(r"\b(llm_\w+);", body)}
    return lambda name: named.get(name, found[0][0])


def symbol_faults(library):
    got, node = symbols(library), nodes()
    declared = sorted(f"{name}@@{node(name)}" for name in header.read(HEADER)[2])
    return differences(committed("symbols"), got, "symbols") + \
        differences(declared, got, "symbols against llm.h")


PLANTED = [     # (what, pattern, replacement): one change of the header each
    ("a field inserted", "uint32_t               max_num_seqs;",
     "uint32_t reserved7; uint32_t reserved8;\n    uint32_t max_num_seqs;"),
    ("a field removed", "    uint64_t               seed;", "    "),
    ("two fields swapped", "requests_running;\n    uint32_t requests_waiting;",
     "requests_waiting;\n    uint32_t requests_running;"),
    ("a type widened", "int32_t token;\n    float   bias;", "int64_t token;\n    float   bias;"),
    ("an enum value moved", "LLM_ERR_TIMEOUT     = -16", "LLM_ERR_TIMEOUT     = -18"),
    ("an enum value gone", "LLM_LOG_DEBUG = 4", "LLM_LOG_TRACE = 4"),
    ("a frozen struct grown", "char         message[448];", "char         message[456];"),
    ("an argument added", "llm_engine_unfinished(const llm_engine_t *engine)",
     "llm_engine_unfinished(const llm_engine_t *engine, uint32_t flags)"),
]
GROWN = ("a field appended", "    uint32_t    world_size;",
         "    uint32_t    reserved9, reserved10;")


def planted(text, tmp, old, new):
    if text.count(old) == 0:
        raise SystemExit(f"self-test: '{old}' is not in llm.h")
    path = os.path.join(tmp, "llm.h")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace(old, new, 1))
    return path


def self_test():
    missed = 0
    with open(HEADER, encoding="utf-8") as f:
        text = f.read()
    with tempfile.TemporaryDirectory() as tmp:
        for what, old, new in PLANTED:
            if not prefix_faults(HEADER, planted(text, tmp, old, new)):
                print("not found:", what)
                missed += 1
        what, old, new = GROWN
        grown = planted(text, tmp, old, old + " /* was last */\n" + new)
        wrong = prefix_faults(HEADER, grown)
        if wrong or not differences(layout(HEADER), layout(grown), "layout"):
            print("an appended field is allowed by the baseline and shown by the layout:", wrong)
            missed += 1
    print(f"{len(PLANTED) + 1} planted changes, {missed} missed")
    return missed


def update(library):
    for name, lines in (("layout", layout(HEADER)), ("symbols", symbols(library))):
        with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")
    with open(HEADER, encoding="utf-8") as f:
        text = f.read()
    version = ".".join(re.search(rf"LLM_VERSION_{part}\s+(\d+)", text).group(1)
                       for part in ("MAJOR", "MINOR", "PATCH"))
    with open(os.path.join(HERE, f"llm-{version}.h"), "w", encoding="utf-8") as f:
        f.write(text)


def main(args):
    if args == ["layout"]:
        faults = differences(committed("layout"), layout(HEADER), "layout")
    elif args == ["baseline"]:
        faults = [f"{os.path.basename(p)}: {x}" for p in baselines()
                  for x in prefix_faults(p, HEADER)]
    elif len(args) == 2 and args[0] == "symbols":
        faults = symbol_faults(args[1])
    elif args == ["self-test"]:
        return self_test() != 0
    elif len(args) == 2 and args[0] == "update":
        return update(args[1])
    else:
        sys.exit(__doc__)
    print("\n".join(faults) or "no difference")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
