# SPDX-License-Identifier: Apache-2.0
"""The wheel: its files, and that it works in a fresh environment; pip alone may be absent."""
import base64
import csv
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import zipfile

import support

BACKEND = os.path.join(support.PACKAGE, "build_backend")
sys.path.insert(0, BACKEND)
import llmserve_wheel

from llmserve import _ffi

CODE = ("import sys, os, llmserve\n"
        "from llmserve import _ffi\n"
        "here = os.path.dirname(llmserve.__file__)\n"
        "assert os.path.dirname(_ffi.find_library()) == here, _ffi.find_library()\n"
        "llm = llmserve.LLM(sys.argv[1], max_model_len=64, dtype='float32',\n"
        "                   kv_cache_memory_bytes=1 << 24)\n"
        "out = llm.generate([[5, 6]], llmserve.SamplingParams(max_tokens=3, ignore_eos=True),\n"
        "                   use_tqdm=False)\n"
        "print(here, len(out[0].outputs[0].token_ids))\n")


def library():
    path = os.path.realpath(_ffi.find_library())
    if not os.path.exists(path):
        raise unittest.SkipTest("the library was found by name only")
    return path


def run(*command, **env):
    env = {**os.environ, **env}
    for name in ("LLMSERVE_LIBRARY", "PYTHONPATH"):
        env.pop(name, None)
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


class Wheel(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.tmp = holder.name

    def test_contents(self):
        path = os.path.join(self.tmp, llmserve_wheel.make(library(), self.tmp))
        self.assertRegex(path, r"llmserve-[\d.]+-py3-none-(linux|macosx)_\w+\.whl$")
        with zipfile.ZipFile(path) as z:
            names = z.namelist()
            info = next(n for n in names if n.endswith("RECORD"))
            rows = list(csv.reader(io.StringIO(z.read(info).decode())))
            for name, digest, size in rows[:-1]:
                data = z.read(name)
                made = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
                self.assertEqual((digest, size), ("sha256=" + made.decode(), str(len(data))))
        self.assertEqual([row[0] for row in rows], names)
        for name in ("llmserve/__init__.py", "llmserve/libllmserve.so", "llmserve/py.typed",
                     "llmserve/engine/async_llm.py", "llmserve/v1/metrics/reader.py"):
            self.assertIn(name, names)
        self.assertEqual(llmserve_wheel.make(library(), self.tmp), os.path.basename(path))

    def test_it_is_used_from_an_installed_place(self):
        with zipfile.ZipFile(os.path.join(self.tmp, llmserve_wheel.make(library(), self.tmp))) as z:
            z.extractall(os.path.join(self.tmp, "site"))
        code = "import sys; sys.path.insert(0, sys.argv[2])\n" + CODE
        done = run(sys.executable, "-c", code, support.model_dir(), os.path.join(self.tmp, "site"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("site/llmserve 3", done.stdout)

    def test_pip_builds_and_installs_it(self):
        source = os.path.join(self.tmp, "python")
        shutil.copytree(support.PACKAGE, source, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copyfile(library(), os.path.join(source, "llmserve", "libllmserve.so"))
        pip = (sys.executable, "-m", "pip")
        if run(*pip, "--version").returncode != 0:
            self.skipTest("this Python has no pip")
        venv = os.path.join(self.tmp, "venv")
        if run(sys.executable, "-m", "venv", "--without-pip", venv).returncode != 0:
            self.skipTest("this Python makes no virtual environments")
        python = os.path.join(venv, "bin", "python")
        built = run(*pip, "wheel", "--no-deps", "--no-index", "-w", self.tmp, source)
        self.assertEqual(built.returncode, 0, built.stderr)
        wheel = next(f for f in os.listdir(self.tmp) if f.endswith(".whl"))
        done = run(*pip, "--python", python, "install", "--no-deps", "--no-index",
                   os.path.join(self.tmp, wheel))
        self.assertEqual(done.returncode, 0, done.stderr)
        done = run(python, "-c", CODE, support.model_dir())
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("site-packages/llmserve 3", done.stdout)

    def test_without_the_library_it_says_so(self):
        with self.assertRaisesRegex(SystemExit, "is not there; build the library"):
            llmserve_wheel.make(os.path.join(self.tmp, "none.so"), self.tmp)

    def test_source_archive(self):
        name = llmserve_wheel.build_sdist(self.tmp)
        self.assertGreater(os.path.getsize(os.path.join(self.tmp, name)), 10000)


if __name__ == "__main__":
    support.main()
