#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Random templates, each rendered by Jinja2 and by us: both put out the same, or both refuse.
# Usage: live.py jinja_lines [-v]   (LLM_JINJA_CASES, LLM_JINJA_SEED; -v lists what is refused most)
import collections
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
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
SHARE = 1000        # templates of one seed: what fails can be run alone


def again(template):
    """The same in another process, where objects have other places in memory, which Python shows."""
    code = f"import sys; sys.path[:0] = {sys.path!r}; import gen_jinja, jinja_env; print(ascii(jinja_env.expected({template!r}, gen_jinja.DATA)))"
    return subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def compare(templates, want, got, counts, why):
    for t, w, g in zip(templates, want, got):
        refused = isinstance(g, list)
        if w is None and refused:
            counts["refused by both"] += 1
            why[g[1].split(": ", 1)[-1]] += 1
        elif w is not None and not refused and w == g:
            counts["equal"] += 1
        elif "|random" in t:
            counts["by chance"] += 1
        elif w is not None and not refused and again(t) != ascii(w):
            counts["Jinja2 differs from itself"] += 1
        else:
            counts["different"] += 1
            print(f"{t!r}\n  Jinja2 {w!r}\n  we     {g!r}")


def share(program, seed, n, counts, why):
    """Ours runs while Jinja2 does; files between, so that neither waits for the other."""
    rng = random.Random(seed)
    templates = [gen_jinja.template(rng) for _ in range(n)]
    with tempfile.TemporaryFile("w+") as asked, tempfile.TemporaryFile("w+") as told:
        asked.write("\n".join([json.dumps(gen_jinja.DATA)] + [json.dumps(t) for t in templates]) + "\n")
        asked.seek(0)
        run = subprocess.Popen([program], stdin=asked, stdout=told)
        want = [jinja_env.expected(t, gen_jinja.DATA) for t in templates]
        if run.wait() != 0:
            print(f"seed {seed}: jinja_lines ended with {run.returncode}")
            counts["different"] += 1
        told.seek(0)
        compare(templates, want, [json.loads(line) for line in told], counts, why)


def main():
    warnings.simplefilter("ignore")
    gc.disable()        # Jinja2's trees have no cycles to speak of
    n, seed = int(os.environ.get("LLM_JINJA_CASES", "3000")), int(os.environ.get("LLM_JINJA_SEED", "1"))
    counts, why = collections.Counter(), collections.Counter()
    for i in range(0, n, SHARE):
        share(sys.argv[1], f"{seed}.{i}", min(SHARE, n - i), counts, why)
        gc.collect()
    print(f"seed {seed}, {n} templates:", dict(counts), f"{sum(os.times()[:4]):.0f} s of CPU")
    for reason, k in why.most_common(40 if "-v" in sys.argv else 0):
        print(f"  {k:5} {reason}")
    return 1 if counts["different"] or counts["equal"] < n // 3 else 0


sys.exit(main())
