#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up what tests/run.sh left behind: ctest's JUnit files and the file "steps".

    summary.py REPORT_DIR

Prints failures with the end of their output, every skip with its reason, slow tests, and as its
last line "N passed, N failed[, N skipped]".  Exit code 1 if anything failed or nothing ran.
"""
import glob
import os
import re
import sys
import xml.etree.ElementTree as xml

TAIL = 40       # lines of output shown of a failed test


def reason(output):
    """Why a whole binary was skipped: its last line that says so."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = [line for line in lines if re.search(r"skip", line, re.I)
            and not re.match(r"\[ *SKIPPED *\]|\[ *PASSED", line)]
    return re.sub(r"^SKIPPED: ", "", (said or lines or ["no reason given"])[-1])


def inner_skips(output):
    """cmocka's skipped tests in a binary that passed: (name, the line printed before it)."""
    before, seen = "", set()
    for line in output.splitlines():
        found = re.match(r"\[ *SKIPPED *\] (?!\d+ test)(\S+)", line)
        if found and found.group(1) not in seen:
            seen.add(found.group(1))
            yield found.group(1), before or "no reason given"
        if line.strip():
            before = "" if re.match(r"\[[ =\-A-Z]*\]", line) else line.strip()


def read_junit(path, build, total):
    for case in xml.parse(path).getroot().iter("testcase"):
        name, output = f"{build}: {case.get('name')}", case.findtext("system-out") or ""
        total["times"].append((float(case.get("time") or 0), name))
        if case.get("status") == "run":
            total["passed"].append(name)
            total["skipped"] += [(f"{name}: {n}", why) for n, why in inner_skips(output)]
        elif case.find("skipped") is not None and "SKIP_RETURN_CODE" in \
                (case.find("skipped").get("message") or ""):
            total["skipped"].append((name, reason(output)))
        else:
            total["failed"].append((name, output))


def read_steps(path, total):
    if not os.path.exists(path):
        return
    with open(path, encoding="utf-8") as f:
        for line in f:
            verdict, what = line.rstrip("\n").split(" ", 1)
            what, _, why = what.partition(": ") if verdict == "skipped" else (what, "", "")
            total[verdict].append(what if verdict == "passed" else (what, why))


def main(folder):
    total = {"passed": [], "failed": [], "skipped": [], "times": []}
    read_steps(os.path.join(folder, "steps"), total)
    for path in sorted(glob.glob(os.path.join(folder, "*.xml"))):
        read_junit(path, os.path.splitext(os.path.basename(path))[0], total)
    for name, output in total["failed"]:
        print(f"\nFAILED {name}")
        print("\n".join("    " + line for line in output.splitlines()[-TAIL:]))
    print("\nslowest tests:")
    for seconds, name in sorted(total["times"], reverse=True)[:8]:
        print(f"  {seconds:7.1f} s  {name}")
    if total["skipped"]:
        print("\nskipped:")
        for name, why in total["skipped"]:
            print(f"  {name}: {why}")
    for name, _ in total["failed"]:
        print("failed:", name)
    counts = [len(total[k]) for k in ("passed", "failed", "skipped")]
    print("%d passed, %d failed" % tuple(counts[:2]) +
          (f", {counts[2]} skipped" if counts[2] else ""))
    return counts[1] > 0 or not total["times"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
