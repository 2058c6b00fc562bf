#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the shape of the tree: include edges between folders, file names, licence lines, columns.

    layers.py [ROOT]        check the tree; exit 1 and one line for each fault
    layers.py --self-test   plant faults in a small tree and see that each one is found
"""
import os
import re
import sys
import tempfile

# What a folder of lib/ may include, transitively closed below; a folder may always include itself.
ALLOWED = {
    "base": [],
    "text": ["base"],
    "grammar": ["text"],
    "step": ["base"],
    "sample": ["base", "step"],
    "tensor": ["sample"],
    "cpu": ["tensor"],
    "kv": ["step"],
    "sched": ["kv"],
    "dist": ["base"],
    "model": ["tensor", "step", "dist"],
    "spec": ["base", "step"],
    "run": ["model", "cpu", "step", "sample", "spec", "dist"],
    "engine": ["run", "sched", "text", "grammar"],
    "api": ["engine"],
    "serve": [],
    "cli": [],
}
MAY_SEE_LLM_H = {"base", "api", "engine", "serve", "cli"}   # and all that lies outside lib/
CLIENTS = ("lib/serve", "lib/cli", "examples", "bindings")  # llm.h and the system, nothing below
SOURCES = (".c", ".h", ".cpp", ".hpp", ".cu", ".cuh", ".py", ".sh", ".cmake", ".in")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def closure(folder):
    seen, todo = set(), [folder]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(ALLOWED.get(name, []))
    return seen


def tree_files(root):
    for folder, folders, names in os.walk(root):
        if "CMakeCache.txt" in names:
            folders[:] = []
            continue
        folders[:] = [d for d in folders if d not in (".git", "__pycache__")
                      and not d.startswith("build")]
        for name in sorted(names):
            yield os.path.relpath(os.path.join(folder, name), root)


def includes_of(path):
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), f.read(), flags=re.S)
    for found in INCLUDE.finditer(text):
        yield text.count("\n", 0, found.start()) + 1, found.group(1), found.group(2)


def edge_fault(root, path, quote, target):
    """What is wrong with one include, or None."""
    client = path.startswith(CLIENTS)
    if target == "llm.h":
        folder = path.split("/")[1] if path.startswith("lib/") else None
        if folder is not None and folder not in MAY_SEE_LLM_H:
            return f"lib/{folder} may not include llm.h; its types come through base/status.h"
        return None
    if quote == "<":
        return None
    if client:
        own = os.path.join(root, os.path.dirname(path), os.path.basename(target))
        return None if os.path.exists(own) else f"a client of llm.h includes {target}"
    if not path.startswith("lib/"):
        return None
    folder, there = path.split("/")[1], target.split("/")[0]
    if "/" not in target:
        return f"{target} is not written from lib/"
    if folder not in ALLOWED:
        return f"lib/{folder} has no line in tests/layers.py"
    if there not in closure(folder):
        return f"lib/{folder} may not include {target}"
    return None


def check(root):
    faults, owners = [], {}
    for path in tree_files(root):
        full = os.path.join(root, path)
        name = os.path.basename(path)
        if path.startswith(("lib/", "cuda/", "include/")) and name.endswith((".c", ".h", ".cu")):
            if name in owners:
                faults.append(f"{path}: {owners[name]} has the same name")
            owners.setdefault(name, path)
        if not name.endswith(SOURCES) and name != "CMakeLists.txt" or "tests/golden" in path:
            continue
        with open(full, encoding="utf-8") as f:
            lines = f.read().split("\n")
        if "SPDX-License-Identifier: Apache-2.0" not in "".join(lines[:3]):
            faults.append(f"{path}: no SPDX-License-Identifier line at its top")
        if path.startswith(("lib/", "cuda/", "include/")) and not name.endswith("_tab.c"):
            faults += [f"{path}:{i}: a line of {len(line)} columns"
                       for i, line in enumerate(lines, 1) if len(line) > 100]
        if not name.endswith((".c", ".h", ".cpp", ".hpp", ".cu", ".cuh")):
            continue
        for line, quote, target in includes_of(full):
            fault = edge_fault(root, path, quote, target)
            if fault:
                faults.append(f"{path}:{line}: {fault}")
    return faults


SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
GOOD = {
    "include/llm.h": SPDX,
    "lib/base/status.h": SPDX + '#include "llm.h"\n',
    "lib/sched/sched.c": SPDX + '#include "kv/kv_pool.h"\n/* #include "engine/engine.h" */\n',
    "lib/kv/kv_pool.h": SPDX + '#include "base/status.h"\n#include <stdint.h>\n',
    "lib/engine/engine.h": SPDX + '#include "sched/sched.h"\n#include "tensor/ops.h"\n',
    "lib/cli/cli.c": SPDX + '#include "cli.h"\n#include "llm.h"\n',
    "lib/cli/cli.h": SPDX,
    "examples/batch.c": SPDX + '#include "llm.h"\n',
    "tests/unit/kv/kv_pool_test.c": SPDX + '#include "kv/kv_pool.h"\n',
}
PLANTED = [     # a file, what is put into it, what the fault must name
    ("lib/kv/up.c", SPDX + '#include "sched/sched.h"\n', "lib/kv may not include sched/sched.h"),
    ("lib/base/up.h", SPDX + '  #  include "engine/engine.h"\n', "lib/base may not include"),
    ("lib/sched/clock.c", SPDX + '#include "model/model.h"\n', "lib/sched may not include model"),
    ("lib/cpu/llm.c", SPDX + '#include "llm.h"\n', "lib/cpu may not include llm.h"),
    ("lib/cli/deep.c", SPDX + '#include "engine/engine.h"\n', "a client of llm.h includes engine"),
    ("examples/deep.c", SPDX + '#include "base/mem.h"\n', "a client of llm.h includes base/mem.h"),
    ("lib/sched/near.c", SPDX + '#include "sched.h"\n', "is not written from lib/"),
    ("lib/novel/a.c", SPDX + '#include "base/mem.h"\n', "lib/novel has no line"),
    ("lib/kv/engine.h", SPDX, "has the same name"),
    ("lib/kv/bare.c", "int x;\n", "no SPDX-License-Identifier line"),
    ("lib/kv/wide.c", SPDX + "/*" + 97 * "-" + "*/\n", "a line of 101 columns"),
    ("examples/run.sh", "#!/bin/sh\ntrue\n", "no SPDX-License-Identifier line"),
]


def write_tree(root, files):
    for path, text in files.items():
        os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
        with open(os.path.join(root, path), "w", encoding="utf-8") as f:
            f.write(text)


def self_test():
    missed = 0
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, GOOD)
        clean = check(root)
        if clean:
            print("faults in a clean tree:", *clean, sep="\n  ")
            missed += 1
    for path, text, wanted in PLANTED:
        with tempfile.TemporaryDirectory() as root:
            write_tree(root, {**GOOD, path: text})
            found = check(root)
            if len(found) != 1 or wanted not in found[0]:
                print(f"planted {path}: wanted one fault with '{wanted}', found {found}")
                missed += 1
    print(f"{len(PLANTED)} planted faults, {missed} missed")
    return missed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test() != 0
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    faults = check(os.path.abspath(root))
    for fault in faults:
        print(fault)
    print(f"{len(faults)} faults")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
