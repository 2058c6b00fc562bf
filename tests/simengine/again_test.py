#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""again_test.py ENGINE_SIM: a failure is noticed, and the command that it prints finds it again.

One wrong token a seed is planted, early or late; each run must fail, and its "again" line, run by
itself, must fail at the same turn of the same seed for the same reason."""
import re
import subprocess
import sys


def fail_of(args):
    p = subprocess.run([sys.argv[1]] + args, capture_output=True, text=True)
    fail = re.search(r"FAIL (seed \d+ turn \d+) total \d+: (.*)", p.stdout)
    again = re.search(r"again: engine_sim (.*)", p.stdout)
    if p.returncode == 0 or not fail or not again:
        sys.exit(f"{args}: no failure, or none that says where: {p.stdout}")
    return fail.groups(), again[1].split()


for token in (1, 200, 900):
    first, again = fail_of(["--steps", "100000", "--spoil", str(token)])
    second, _ = fail_of(again)
    print(f"token {token}: {first[0]}: {first[1]}; again: {' '.join(again)}")
    if first != second:
        sys.exit(f"not reproduced: {second}")
