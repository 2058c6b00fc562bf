# SPDX-License-Identifier: Apache-2.0
"""Structs against the committed layout, how the library is found, import in a bare interpreter."""
import ctypes
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import support

from llmserve import _ffi, exceptions

LAYOUT = os.path.join(support.ROOT, "tests", "abi", "layout")


def committed():
    with open(LAYOUT, encoding="utf-8") as f:
        return [line.split() for line in f]


def faults_of(structs, rows):
    """Differences between ctypes structs and lines of the layout."""
    mine = {}
    for s in structs:
        mine[s.c_name] = (ctypes.sizeof(s),)
        for name, kind in s._fields_:
            mine[f"{s.c_name}.{name}"] = (getattr(s, name).offset, ctypes.sizeof(kind))
    theirs = {name: tuple(map(int, numbers)) for name, *numbers in rows
              if name.split(".")[0] in {s.c_name for s in structs}}
    return [f"{name}: llm.h {theirs.get(name)}, _ffi.py {mine.get(name)}"
            for name in sorted(mine.keys() | theirs.keys()) if mine.get(name) != theirs.get(name)]


STRUCTS = [s for s in vars(_ffi).values() if isinstance(s, type) and hasattr(s, "c_name")]


class Layout(unittest.TestCase):
    def test_structs_are_those_of_the_header(self):
        self.assertGreaterEqual(len(STRUCTS), 13)
        self.assertEqual(faults_of(STRUCTS, committed()), [])

    def test_a_moved_field_would_be_seen(self):
        class Moved(_ffi.Sized):
            c_name = _ffi.Progress.c_name
            _fields_ = [*_ffi.Progress._fields_[:2], _ffi.Progress._fields_[3],
                        _ffi.Progress._fields_[2], *_ffi.Progress._fields_[4:]]
        self.assertEqual(len(faults_of([Moved], committed())), 2)

    def test_numbers_are_those_of_the_header(self):
        values = {name: int(numbers[0]) for name, *numbers in committed()
                  if name.startswith("LLM_")}
        pairs = {"LLM_SAMPLE_NO_TEXT": _ffi.SAMPLE_NO_TEXT, "LLM_SAMPLE_SEEDED": _ffi.SAMPLE_SEEDED,
                 "LLM_SAMPLE_KEEP_SPECIAL": _ffi.SAMPLE_KEEP_SPECIAL,
                 "LLM_SAMPLE_KEEP_STOP": _ffi.SAMPLE_KEEP_STOP,
                 "LLM_SAMPLE_IGNORE_EOS": _ffi.SAMPLE_IGNORE_EOS,
                 "LLM_REQUEST_ECHO": _ffi.REQUEST_ECHO,
                 "LLM_REQUEST_PREFILL_ONLY": _ffi.REQUEST_PREFILL_ONLY,
                 "LLM_REQUEST_NO_SPECIAL": _ffi.REQUEST_NO_SPECIAL,
                 "LLM_OUTPUT_FINAL": _ffi.OUTPUT_FINAL, "LLM_OUTPUT_DELTA": _ffi.OUTPUT_DELTA,
                 "LLM_OUTPUT_CUMULATIVE": _ffi.OUTPUT_CUMULATIVE,
                 "LLM_FINISH_REPETITION": _ffi.FINISH_REPETITION,
                 "LLM_FINISH_DEADLINE": _ffi.FINISH_DEADLINE,
                 "LLM_GUIDE_STRUCTURAL_TAG": _ffi.GUIDES["structural_tag"],
                 "LLM_GUIDE_CHOICE": _ffi.GUIDES["choice"], "LLM_GUIDE_REGEX": _ffi.GUIDES["regex"],
                 "LLM_PAUSE_KEEP": _ffi.PAUSE["keep"], "LLM_PAUSE_DRAIN": _ffi.PAUSE["drain"],
                 "LLM_TOKEN_EOS": _ffi.TOKEN_EOS, "LLM_SCOPE_REQUEST": _ffi.SCOPE_REQUEST,
                 "LLM_BEAM_NO_PENALTY": _ffi.BEAM_NO_PENALTY}
        pairs.update({"LLM_ERR_" + name: getattr(exceptions, name)
                      for name in ("INVALID", "UNSUPPORTED", "IO", "BUSY", "STATE", "DEVICE",
                                   "CLOSED", "TOO_LONG", "NO_SPACE")})
        self.assertEqual({name: values.get(name) for name in pairs}, pairs)

    def test_every_function_of_the_header_is_declared(self):
        with open(os.path.join(support.ROOT, "include", "llm.h"), encoding="utf-8") as f:
            names = set(re.findall(r"LLM_API [^;()]*?\b(llm_\w+)\(", f.read()))
        unused = {"llm_strerror"}       # err->message says more
        unused |= {name for name in names if name.startswith("llm_parser_")}    # vLLM's offline
                                        # classes do not tell calls and reasoning apart
        self.assertEqual(names - unused, set(_ffi._SIGNATURES))

    def test_packing_equals_the_fields(self):
        codec = _ffi.codec(_ffi.Stats)
        stats = _ffi.Stats(steps=7, paused=1)
        self.assertEqual(codec.unpack(bytes(stats))[9], 7)
        self.assertEqual(codec.size, ctypes.sizeof(stats))


class Statuses(unittest.TestCase):
    def test_each_becomes_the_exception_that_vllm_would_raise(self):
        table = {-1: ValueError, -2: MemoryError, -3: MemoryError, -6: NotImplementedError,
                 -7: OSError, -8: ValueError, -9: ValueError,
                 -10: exceptions.EngineBusyError, -13: RuntimeError,
                 -14: exceptions.EngineDeadError, -15: RuntimeError, -16: TimeoutError,
                 -99: RuntimeError}
        for status, kind in table.items():
            made = exceptions.from_status(status, "the text", "top_p", 250)
            self.assertIsInstance(made, kind, status)
            self.assertIn("the text", str(made))
        self.assertEqual(exceptions.from_status(-1, "x", "top_p").parameter, "top_p")
        self.assertEqual(exceptions.from_status(-10, "x", "", 250).retry_after_ms, 250)


def run(code, **env):
    env = {**os.environ, "PYTHONPATH": support.PACKAGE, **env}
    env = {name: value for name, value in env.items() if value is not None}
    return subprocess.run([sys.executable, "-W", "error", "-c", code], env=env,
                          capture_output=True, text=True, timeout=60)


class Import(unittest.TestCase):
    def test_without_numpy_tqdm_and_library(self):
        done = run("import sys\n"
                   "for name in ('numpy', 'tqdm', 'tqdm.auto'): sys.modules[name] = None\n"
                   "import llmserve, llmserve._core, llmserve.progress\n"
                   "assert llmserve._core.numpy is None and llmserve.progress.tqdm is None\n"
                   "print(llmserve.SamplingParams(temperature=0).temperature)",
                   LLMSERVE_LIBRARY="/nonexistent/libllmserve.so")
        self.assertEqual((done.stdout, done.stderr), ("0\n", ""))

    def test_a_missing_library_is_named(self):
        done = run("import llmserve\nllmserve.LLM('x')", LLMSERVE_LIBRARY="/nonexistent/lib.so")
        self.assertIn("libllmserve could not be loaded", done.stderr)
        self.assertIn("/nonexistent/lib.so", done.stderr)

    def test_it_is_found_in_the_tree(self):
        with tempfile.TemporaryDirectory() as tree:
            shutil.copytree(os.path.join(support.PACKAGE, "llmserve"),
                            os.path.join(tree, "bindings", "python", "llmserve"))
            os.mkdir(os.path.join(tree, "include"))
            open(os.path.join(tree, "include", "llm.h"), "w").close()
            for number, (name, flags, real) in enumerate((
                    ("plain", "LLS_SANITIZE:STRING=\n", True),
                    ("other", "LLS_SANITIZE:STRING=\n", False),
                    ("san", "LLS_SANITIZE:STRING=address\n", True))):
                folder = os.path.join(tree, "build", name)
                os.makedirs(folder)
                with open(os.path.join(folder, "CMakeCache.txt"), "w", encoding="utf-8") as f:
                    f.write(flags)
                library = os.path.join(folder, "libllmserve.so")
                if real:
                    shutil.copyfile(os.path.realpath(_ffi.find_library()), library)
                else:
                    open(library, "w").close()
                os.utime(library, (number, number))     # the last is the newest
            done = run("from llmserve import _ffi; print(_ffi.find_library())",
                       LLMSERVE_LIBRARY=None, PYTHONPATH=os.path.join(tree, "bindings", "python"))
            self.assertEqual(done.stdout.strip(),
                             os.path.join(tree, "build", "plain", "libllmserve.so"), done.stderr)

    def test_version_is_that_of_the_tree(self):
        import llmserve
        with open(os.path.join(support.ROOT, "CMakeLists.txt"), encoding="utf-8") as f:
            version = re.search(r"project\(llmserve VERSION ([\d.]+)", f.read()).group(1)
        self.assertEqual(llmserve.__version__, version)

    def test_every_example_is_run(self):
        names = {f[:-3] for f in os.listdir(os.path.join(support.ROOT, "examples", "python"))
                 if f.endswith(".py")}
        with open(os.path.join(support.HERE, "examples_test.py"), encoding="utf-8") as f:
            self.assertEqual(set(re.findall(r"def test_(\w+)", f.read())), names)

    def test_modules_have_vllms_names(self):
        done = run("import llmserve as vllm\n"
                   "from llmserve.sampling_params import (BeamSearchParams, RequestOutputKind,\n"
                   "    SamplingParams, StructuredOutputsParams)\n"
                   "from llmserve.inputs import TextPrompt, TokensPrompt\n"
                   "from llmserve.outputs import CompletionOutput, RequestOutput\n"
                   "from llmserve.logprobs import FlatLogprobs, Logprob\n"
                   "from llmserve.engine.arg_utils import AsyncEngineArgs, EngineArgs\n"
                   "from llmserve.engine.llm_engine import LLMEngine\n"
                   "from llmserve.distributed import cleanup_dist_env_and_memory\n"
                   "from llmserve.utils import FlexibleArgumentParser\n"
                   "cleanup_dist_env_and_memory()\n"
                   "from llmserve.v1.engine.async_llm import AsyncLLM\n"
                   "from llmserve.v1.metrics.reader import Counter, Gauge, Histogram, Vector\n"
                   "assert AsyncLLM is vllm.AsyncLLM\n"
                   "for name in vllm.__all__: getattr(vllm, name)\n")
        self.assertEqual(done.stderr, "")


if __name__ == "__main__":
    support.main()
