#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutants.py [NUMBER...] - plants defects in the package, one at a time, in a copy of it, and runs
the tests until one fails.  Exit code 1 if a defect is not seen.  Not part of ctest: it takes
minutes.  LLMSERVE_LIBRARY, LLMSERVE_BATCH and LLM_SHARED are as in the tests."""
import os
import shutil
import subprocess
import sys
import tempfile

import support

TESTS = ("params", "text", "generate", "engine", "async")
COPIED = ("bindings/python", "tests/python", "examples/python")
LINKED = ("tests/golden", "tests/abi", "include", "CMakeLists.txt")

MUTANTS = [     # (file, what is there, what is planted)
    ("_pack.py", '2**31 - 2) + 1', '2**31 - 2)'),
    ("_pack.py", '_ffi.SAMPLE_SEEDED: p.seed is not None', '_ffi.SAMPLE_SEEDED: bool(p.seed)'),
    ("_pack.py", '_ffi.SAMPLE_KEEP_SPECIAL: not p.skip_special_tokens',
     '_ffi.SAMPLE_KEEP_SPECIAL: p.skip_special_tokens'),
    ("_pack.py", '_ffi.UINT32_MAX if p.max_tokens is None else', '16 if p.max_tokens is None else'),
    ("_pack.py", 's.seed = p.seed & (2**64 - 1)', 's.seed = abs(p.seed)'),
    ("_pack.py", 'at += len(prompt.cache_salt) + 1', 'at += len(prompt.cache_salt)'),
    ("_pack.py", 'ids_base + 4 * ids_at', 'ids_base + ids_at'),
    ("_pack.py", 'if any("\\0" in text for text in texts)', 'if False'),
    ("_pack.py", 's.bad_words, s.n_bad_words = self._strings("bad_words", p.bad_words)', 'pass'),
    ("_pack.py", 'flags = 0 if value else _ffi.REQUEST_NO_SPECIAL', 'flags = 0'),
    ("_core.py", 'array("i", _string_at(r.tokens, 4 * r.n_tokens)).tolist() if r.n_tokens else []',
     'array("i", _string_at(r.tokens, 4 * r.n_tokens)).tolist()[:-1] if r.n_tokens else []'),
    ("_core.py", 'return r.stop_token if r.stop_token >= 0 else None', 'return r.stop_token'),
    ("_core.py", '            if record.last:\n                del self.states[state.key]',
     '            pass'),
    ("_core.py", 'ids = (output_ids,) if n == 2', 'ids = (prompt_ids,) if n == 2'),
    ("_core.py", '            state.error = error\n', '            pass\n'),
    ("_core.py", '            raised.append(error)\n        return 1\n',
     '            pass\n        return 0\n'),
    ("_core.py", 'signal.signal(signal.SIGINT, handler)\n', 'pass\n'),
    ("_core.py", 'raised.append(KeyboardInterrupt())', 'pass'),
    ("_core.py", 'self.states.pop(s.key, None)', 'pass'),
    ("_core.py", 'sorted(state.parts, key=lambda c: c.index)', 'state.parts[:1]'),
    ("_core.py", 'raw if self._size == _OUTPUT.size', 'raw if True'),
    ("_core.py", '                self._lib.llm_engine_step(handle, None)', '                pass'),
    ("_core.py", 'self._lib.llm_batch_destroy(batch)', 'pass'),
    ("logprobs.py", 'rows[0] = None', 'pass'),
    ("logprobs.py", 'return _same, (self.make(),)', 'return object.__reduce__(self)'),
    ("inputs.py", 'if add_generation_prompt and continue_final_message', 'if False'),
    ("inputs.py", 'return Prompt(TOKENS, data, text, data.tolist(), salt)',
     'return Prompt(TOKENS, data, text, data.tolist(), None)'),
    ("llm.py", 'if failed and len(failed) == len(outputs)', 'if failed'),
    ("llm.py", 'made.output_kind, made.stream_interval = _ffi.OUTPUT_FINAL, 0', 'pass'),
    ("llm.py",
     '            except EngineBusyError:     # make room\n                self._take_step()',
     '            except ZeroDivisionError:\n                pass'),
    ("llm.py", '{"flags": _ffi.REQUEST_PREFILL_ONLY}', '{}'),
    ("llm.py", '            ids.pop()', '            pass'),
    ("outputs.py", 'self.token_ids = [*self.token_ids, *newer.token_ids]',
     'self.token_ids = newer.token_ids'),
    ("outputs.py", 'self.logprobs.extend(newer.logprobs)', 'pass'),
    ("outputs.py", 'self.finished |= next_output.finished', 'pass'),
    ("engine/async_llm.py",
     '            if not finished and state.id:\n                self.core.abort(state)',
     '            pass'),
    ("engine/async_llm.py", 'self._item.add(item, aggregate=self._delta)', 'self._item = item'),
    ("engine/async_llm.py", 'aggregate=self._delta', 'aggregate=True'),
    ("engine/async_llm.py", '                    self._core.abort(state)',
     '                    pass'),
    ("engine/async_llm.py", 'raise output.error', 'pass'),
    ("engine/async_llm.py", '        self._stop = weakref.finalize(self, self._pump.stop)',
     '        self._stop = weakref.finalize(self, lambda: None)'),
    ("engine/async_llm.py", '            raise self._pump.error', '            pass'),
    ("engine/llm_engine.py", '                self._running.pop(state.request_id, None)',
     '                pass'),
    ("engine/arg_utils.py", 'elif name in _HARMLESS or', 'elif True or'),
    ("engine/arg_utils.py", 'options["speculative_config"] =', 'options["x"] ='),
    ("tokenizer.py", 'flags = 0 if add_special_tokens else _ffi.ENCODE_NO_SPECIAL', 'flags = 0'),
    ("tokenizer.py", '            size = n.value\n', '            break\n'),
    ("tokenizer.py", 'return found if found >= 0 else None\n\n    def get_vocab',
     'return found\n\n    def get_vocab'),
    ("metrics.py", 'name = _strip(family, "_total")', 'name = family'),
    ("progress.py", 'news, self._done = progress.done - self._done, progress.done',
     'news = progress.done'),
    ("sampling_params.py", 'if not 0.0 < self.top_p <= 1.0', 'if not 0.0 <= self.top_p <= 1.0'),
    ("_gate.py", 'self._inside == 0, timeout', 'True, timeout'),
    ("_core.py", '                self.states.pop(state.key, None)\n                _ffi.check',
     '                _ffi.check'),
    ("llm.py", '                return error\n        one', '                raise\n        one'),
    ("sampling_params.py", '        self._check()\n        most', '        most'),
    ("_ffi.py", '("queue_us", c_uint64), ("first_token_us", c_uint64)',
     '("first_token_us", c_uint64), ("queue_us", c_uint64)'),
]


def seen_by(file, old, new):
    """The test that fails with new in the place of old, or None."""
    with tempfile.TemporaryDirectory() as root:
        for folder in COPIED:
            shutil.copytree(os.path.join(support.ROOT, folder), os.path.join(root, folder),
                            ignore=shutil.ignore_patterns("__pycache__"))
        for path in LINKED:
            os.symlink(os.path.join(support.ROOT, path), os.path.join(root, path))
        path = os.path.join(root, "bindings", "python", "llmserve", file)
        with open(path, encoding="utf-8") as f:
            text = f.read()
        if text.count(old) == 0:
            raise SystemExit(f"{file} does not have {old!r}")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text.replace(old, new, 1))
        for name in TESTS:
            test = os.path.join(root, "tests", "python", name + "_test.py")
            try:
                done = subprocess.run([sys.executable, test], capture_output=True, timeout=120)
            except subprocess.TimeoutExpired:
                return name
            if done.returncode != 0:
                return name
    return None


def main(numbers):
    chosen = [int(n) for n in numbers] or range(len(MUTANTS))
    missed = 0
    for number in chosen:
        name = seen_by(*MUTANTS[number])
        missed += name is None
        print(f"{number:3} {MUTANTS[number][0]:24} {name or 'NOT SEEN'}", flush=True)
    print(f"{len(chosen)} planted, {missed} not seen")
    return missed > 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
