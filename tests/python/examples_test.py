# SPDX-License-Identifier: Apache-2.0
"""examples/python on the demonstration model, as a user runs them, and what they print."""
import importlib.util
import json
import os
import re
import subprocess
import sys
import unittest

import support

from llmserve import _ffi

EXAMPLES = os.path.join(support.ROOT, "examples", "python")


def run(name, *before, after=()):
    env = {**os.environ, "PYTHONPATH": support.PACKAGE}
    done = subprocess.run([sys.executable, os.path.join(EXAMPLES, name + ".py"), *before,
                           support.demo_model(), *after], env=env, capture_output=True, text=True,
                          timeout=240)
    print(done.stdout, done.stderr, sep="\n--\n")
    assert done.returncode == 0, done.stderr
    return done.stdout


class Examples(unittest.TestCase):
    def test_basic(self):
        out = run("basic")
        self.assertEqual((out.count("Prompt:"), out.count("Generated: ''")), (4, 0))

    def test_chat(self):
        answers = re.findall(r"Generated: (.*)", run("chat"))
        self.assertEqual(len(answers), 5)
        self.assertIn("Paris", answers[0])

    def test_batch(self):
        out = run("batch")
        self.assertIn("0.0: ' Rome", out)
        self.assertIn("4: refused: Token id 1000000000 is out of vocabulary", out)
        self.assertEqual(out.count("1.0: ") + out.count("1.1: "), 2)
        self.assertRegex(out, r"2\.0: ' five, six, seven, ?' \(stop")

    def test_beam_search(self):
        support.need_symbol("llm_beam_search")
        out = run("beam_search")
        sums = [[float(n) for n in re.findall(r"beam +(-?[\d.]+)", part)]
                for part in out.split("greedy")[1:]]
        self.assertEqual([len(s) for s in sums], [4, 4])
        self.assertIn("The capital of France is Paris", out)

    def test_prefix_caching(self):
        out = run("prefix_caching")
        self.assertIn("the same texts: True", out)
        found = [json.loads(t) for t in re.findall(r"cache: (\[.*\])", out)]
        self.assertEqual((found[0], found[2][0]), ([0, 0, 0], 0))
        self.assertTrue(all(n > 0 for n in found[1]))

    def test_logprobs(self):
        out = run("logprobs")
        likelihoods = [float(n) for n in re.findall(r"^ +([\d.]+)  \w", out, re.M)]
        self.assertEqual(len(likelihoods), 3)
        self.assertLess(likelihoods[0], likelihoods[2])
        self.assertIn("' Paris'", out)

    def test_async_streaming(self):
        out = run("async_streaming")
        for name in ("france", "colour"):
            pieces = re.findall(rf"^{name}: ['\"]", out, re.M)
            self.assertGreater(len(pieces), 8)
            self.assertIn(f"{name}: length", out)
        self.assertNotIn("dropped: length", out)
        self.assertTrue(out.endswith("nothing is left in the engine\n"))

    def test_cffi_generate(self):
        if importlib.util.find_spec("cffi") is None:
            self.skipTest("this Python has no cffi")
        out = run("cffi_generate", _ffi.find_library(),
                  os.path.join(support.ROOT, "include", "llm.h"),
                  after=("The capital of France is", "Hello, my name is"))
        self.assertTrue(out.startswith("The capital of France is Paris"))


if __name__ == "__main__":
    support.main()
