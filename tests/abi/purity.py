#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What llm.h promises about the process: no globals, no output, no exit, no environment, and every
name of the static library has a prefix of ours.

    purity.py ARCHIVE.a     of a build without assertions and sanitizers
    purity.py --self-test   planted faults are found
"""
import os
import re
import subprocess
import sys
import tempfile

# A library without state of its own; the one exception initialises Oniguruma once.  A thread's own
# mask of signals may change (workers are started with all blocked), the process's ways with them not.
STATE = {"onig_once"}
FORBIDDEN = set("""printf vprintf puts putchar perror fprintf vfprintf fputs fputc fwrite stdout
    stderr __printf_chk __fprintf_chk __vfprintf_chk exit _exit _Exit quick_exit abort atexit
    __assert_fail
    getenv secure_getenv setenv putenv environ signal sigaction sigprocmask raise
    kill setlocale srand rand random fork system popen execve dup2 chdir umask""".split())
# in what objdump prints: section, size, name; tables with relocations are .data.rel.ro
WRITABLE = re.compile(r" (\.t?bss|\.t?data|\*COM\*)(?!\.rel\.ro)\S*\t\S+\s+(?:\.hidden )?(\S+)$")


def lines_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def check(archive):
    faults = []
    for line in lines_of("nm", "-g", "--defined-only", archive):
        words = line.split()
        if len(words) == 3 and not words[2].startswith(("lls_", "llm_")):
            faults.append(f"{words[2]}: a global name without lls_")
    for line in lines_of("nm", "-u", archive):
        words = line.split()
        if words and words[-1] in FORBIDDEN:
            faults.append(f"{words[-1]} is called")
    for line in lines_of("objdump", "-t", archive):
        found = WRITABLE.search(line)
        name = re.sub(r"\.\d+$", "", found.group(2)) if found else "."
        if name[0] != "." and name not in STATE:
            faults.append(f"{name}: writable and static, in {found.group(1)}")
    return sorted(set(faults))


PLANTED = {
    "static int n; int lls_next(void) { return ++n; }": "n: writable",
    "int lls_n = 7;": "lls_n: writable",
    "static _Thread_local int t; int *lls_t(void) { return &t; }": "t: writable",
    "int helper(void) { return 1; }": "helper: a global name",
    '#include <stdio.h>\nvoid lls_say(int n) { printf("%d", n); }': "printf is called",
    '#include <stdio.h>\nvoid lls_say(int n) { fprintf(stderr, "%d", n); }': "stderr is called",
    '#include <stdlib.h>\nchar *lls_env(void) { return getenv("HOME"); }': "getenv is called",
    "#include <stdlib.h>\nvoid lls_die(void) { abort(); }": "abort is called",
}
CLEAN = """static const char *const names[] = { "a" };
const char *lls_name(int i) { return names[i]; }"""


def self_test():
    missed = 0
    with tempfile.TemporaryDirectory() as tmp:
        source, obj, archive = (os.path.join(tmp, n) for n in ("a.c", "a.o", "a.a"))
        for text, wanted in [*PLANTED.items(), (CLEAN, None)]:
            with open(source, "w", encoding="utf-8") as f:
                f.write(text + "\n")
            lines_of(os.environ.get("CC", "cc"), "-O1", "-fPIC", "-c", source, "-o", obj)
            lines_of("ar", "rcs", archive, obj)
            found = check(archive)
            if (wanted is None and found) or \
                    (wanted and not any(f.startswith(wanted) for f in found)):
                print(f"wanted '{wanted}', found {found} in: {text}")
                missed += 1
    print(f"{len(PLANTED)} planted faults, {missed} missed")
    return missed


def main(args):
    if args == ["--self-test"]:
        return self_test() != 0
    faults = check(args[0])
    print("\n".join(faults) or "nothing found")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
