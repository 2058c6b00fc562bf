#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What llm.h promises to every compiler and binding.

    header_check.py compile            alone, gcc and clang, C99 to C++20, pedantic and padded
    header_check.py style VERSION      no construct that bindings cannot carry; the version's number
    header_check.py example LIBRARY    the program in its comment compiles, and runs with the model
    header_check.py readme LIBRARY     so does the one in README.md
    header_check.py cffi LIBRARY       cffi reads it in ABI mode after trivial preprocessing

Exit code 77 means skipped, the last line says why.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
INCLUDE = os.path.abspath(os.path.join(HERE, "..", "..", "include"))
HEADER = os.path.join(INCLUDE, "llm.h")
sys.path.insert(0, os.path.join(HERE, "..", "abi"))
import header

FLAGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wpadded", "-Werror", "-fsyntax-only", "-I", INCLUDE]
USE = """#include "llm.h"
size_t use(void);
size_t use(void)
{
    llm_engine_config_t config = LLM_INIT(llm_engine_config_t);
    llm_request_t request = LLM_INIT(llm_request_t);
    return LLM_HAS(&config, progress_user) + request.struct_size + (LLM_VERSION_NUMBER > 0);
}
"""


def skip(why):
    print("SKIPPED:", why)
    sys.exit(77)


def compile_everywhere():
    faults, absent, done = [], [], 0
    for compiler in ("gcc", "clang"):
        if shutil.which(compiler) is None:
            absent.append(compiler)
            continue
        for language, standard in [("c", s) for s in ("c99", "c11", "c17")] + \
                                  [("c++", s) for s in ("c++11", "c++17", "c++20")]:
            command = [compiler, "-x", language, "-std=" + standard, *FLAGS, "-"]
            run = subprocess.run(command, input=USE, capture_output=True, text=True)
            done += 1
            if run.returncode != 0 or run.stderr:
                faults.append(f"{compiler} {standard}:\n{run.stderr}")
    print("\n".join(faults))
    print(f"{done} compilations, {len(faults)} failed" + "".join(f", no {c}" for c in absent))
    if absent:
        skip("no " + " and no ".join(absent))
    return bool(faults)


def by_value(structs, functions, others):
    """Declarations that pass or return a struct by value."""
    names = "|".join(structs)
    for line in [*functions.values(), *others]:
        if re.search(rf"\b(?:{names})\b(?!\s*(?:const\s*)?\*)", re.sub(r"\(\*llm_\w+\)", "", line)):
            yield line


def style(version):
    structs, enums, functions, others = header.read(HEADER)
    with open(HEADER, encoding="utf-8") as f:
        raw = f.read()
    text = header.strip(raw)
    faults = [f"by value: {line}" for line in by_value(structs, functions, others)]
    for what, pattern in (("variadic", r"\.\.\."), ("union", r"\bunion\b"),
                          ("bit field", r"\w\s*:\s*\d+\s*;"), ("nested type", r"\{[^{}]*\{"),
                          ("bool or long", r"\b(?:_Bool|bool|long|short|unsigned|wchar_t)\b"),
                          ("enum type", r"\benum\s+\w+\s+\w")):
        faults += [f"{what}: {m.group()[:60]}" for m in re.finditer(pattern, text)]
    numbers = [re.search(rf"LLM_VERSION_{p}\s+(\d+)", raw).group(1)
               for p in ("MAJOR", "MINOR", "PATCH")]
    if ".".join(numbers) != version:
        faults.append(f"llm.h is {'.'.join(numbers)}, the project is {version}")
    bad = [n for n in [*structs, *functions] if not n.startswith("llm_")] + \
          [n for n in enums if not n.startswith("LLM_")]
    faults += [f"name without prefix: {n}" for n in bad]
    print("\n".join(faults))
    print(f"{len(structs)} structs, {len(functions)} functions, {len(enums)} values, "
          f"{len(faults)} faults")
    return bool(faults)


def build_and_run(source, library):
    """A program whose last argument is the model; it must print something."""
    with tempfile.TemporaryDirectory() as tmp:
        path, binary = os.path.join(tmp, "example.c"), os.path.join(tmp, "example")
        with open(path, "w", encoding="utf-8") as f:
            f.write(source)
        there = os.path.dirname(os.path.abspath(library))
        subprocess.run(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-I", INCLUDE, path,
                        "-o", binary, "-L", there, "-lllmserve", "-Wl,-rpath," + there],
                       check=True)
        model = os.environ.get("LLM_DEMO_MODEL", "")
        if not os.path.exists(model):
            skip("compiled, not run: LLM_DEMO_MODEL names no model")
        run = subprocess.run([binary, model], capture_output=True, text=True, timeout=120)
        print(f"exit {run.returncode}: {run.stdout!r} {run.stderr!r}")
        return run.returncode != 0 or not run.stdout.strip()


def example(library):
    with open(HEADER, encoding="utf-8") as f:
        lines = re.findall(r"^ \*     (.*)$", f.read(), re.M)
    start = next(i for i, line in enumerate(lines) if line.startswith("llm_engine_config_t cfg"))
    end = lines.index("llm_engine_destroy(engine);") + 1
    code = "\n".join("    " + line for line in lines[start:end])
    return build_and_run('#include <stdio.h>\n#include "llm.h"\n'
                         "int main(int argc, char **argv)\n{\n    const char *model_path = argv[argc - 1];\n" + code +
                         "\n    return 0;\n}\n", library)


def readme(library):
    with open(os.path.join(HERE, "..", "..", "README.md"), encoding="utf-8") as f:
        return build_and_run(re.search(r"```c\n(.*?)```", f.read(), re.S).group(1), library)


def cffi(library):
    try:
        from cffi import FFI
    except ImportError:
        skip("python3 has no cffi")
    with open(HEADER, encoding="utf-8") as f:
        text = header.strip(f.read())
    ffi = FFI()
    ffi.cdef(text)
    with open(os.path.join(HERE, "..", "abi", "layout"), encoding="utf-8") as f:
        lines = [line.split() for line in f]
    wrong = [l[0] for l in lines if l[0].startswith("llm_") and "." not in l[0]
             and ffi.sizeof(l[0]) != int(l[1])]
    lib = ffi.dlopen(os.path.abspath(library))
    for name in header.read(HEADER)[2]:
        getattr(lib, name)
    print(ffi.string(lib.llm_version_string()).decode(), "sizes that differ:", wrong)
    return bool(wrong)


def main(args):
    if args == ["compile"]:
        return compile_everywhere()
    checks = {"style": style, "example": example, "readme": readme, "cffi": cffi}
    if len(args) == 2 and args[0] in checks:
        return checks[args[0]](args[1])
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
