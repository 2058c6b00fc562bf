#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Random templates, each rendered by Jinja2 and by us: what both accept is equal, what Jinja2 refuses we
# refuse, and what only we refuse is counted.  Usage: live.py jinja_lines   (LLM_JINJA_CASES, LLM_JINJA_SEED)
import collections
import json
import os
import random
import subprocess
import sys
import warnings

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "golden", "chat"))
try:
    import jinja2
    if not jinja2.__version__.startswith("3.1."):
        raise ImportError(f"jinja2 {jinja2.__version__}")
    import gen_jinja
    import jinja_env
except ImportError as e:
    print("skipped:", e)
    sys.exit(77)


def differ_in_place(got, want):
    """Whether they differ only in the digits of an object's place in memory, which are zeros in ours."""
    if jinja_env.tells_place(want) and jinja_env.tells_place(got):
        return True
    return len(got) == len(want) and all(a == b or a == "0" and b in "0123456789abcdefABCDEF" for a, b in zip(got, want))


def main():
    warnings.simplefilter("ignore")
    n, seed = int(os.environ.get("LLM_JINJA_CASES", "3000")), int(os.environ.get("LLM_JINJA_SEED", "1"))
    rng = random.Random(seed)
    templates = [gen_jinja.template(rng) for _ in range(n)]
    want = [jinja_env.expected(t, gen_jinja.DATA) for t in templates]
    lines = "".join(json.dumps({"template": t, "vars": gen_jinja.DATA}) + "\n" for t in templates)
    run = subprocess.run([sys.argv[1]], input=lines, capture_output=True, text=True)
    if run.returncode != 0:
        print("jinja_lines failed:", run.returncode, run.stderr[-2000:])
        return 1
    counts, refused, wrong = collections.Counter(), collections.Counter(), 0
    for t, w, line in zip(templates, want, run.stdout.splitlines()):
        got = json.loads(line)
        if w is not None and "out" not in got:
            refused[got["error"].split(": ", 1)[1]] += 1
        elif w is not None and got["out"] != w and differ_in_place(got["out"], w):
            counts["places in memory"] += 1
        elif got.get("out") != w:
            wrong += 1
            print(f"{t!r}\n  Jinja2 {w!r}\n  we     {got}")
        else:
            counts["equal" if w is not None else "errors in both"] += 1
    print(f"seed {seed}:", dict(counts), "refused by us only:", f"{sum(refused.values())} ({100 * sum(refused.values()) / n:.2f} %)")
    for why, k in refused.most_common():
        print(f"  {k:5} {why}")
    return 1 if wrong or counts["equal"] < n // 4 or sum(refused.values()) > n // 100 else 0


sys.exit(main())
