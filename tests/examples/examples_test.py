#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""examples_test.py NAME BIN_DIR LIBRARY - runs one example on the demonstration model as a user
would, with scripted input, and looks at what it prints.  77 without LLM_DEMO_MODEL."""
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
EXAMPLES = os.path.join(ROOT, "examples")
MODEL = os.environ.get("LLM_DEMO_MODEL", "")


def run(*command, stdin="", expect=0):
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=280)
    print(done.stdout, done.stderr, sep="\n--\n")
    assert done.returncode == expect, f"exit {done.returncode}, wanted {expect}: {command}"
    return done


def refuses(program, *args):
    """An absent model: one line that names it, exit 1, no crash."""
    done = run(program, "/nonexistent/model", *args, expect=1)
    message = done.stderr.strip().splitlines()
    assert len(message) == 1 and "/nonexistent/model" in message[0], message


def quickstart(program):
    done = run(program, MODEL, "The capital of France is", "Hello, my name is")
    assert "The capital of France is Paris" in done.stdout
    assert "Hello, my name is" in done.stdout
    refuses(program, "x")


def generate(program):
    done = run(program, MODEL, "The capital of France is", "Hello, my name is")
    first, _, rest = done.stdout.partition("Hello, my name is")
    assert first.startswith("The capital of France is Paris")
    assert rest.strip().endswith(first.removeprefix("The capital of France is").strip())
    refuses(program, "x")


def chat(program):
    done = run(program, MODEL, stdin="What is the capital of France? Answer in one sentence.\n"
                                     "And of Italy?\n\n")
    turns = done.stdout.split("> ")
    assert "Paris" in turns[1] and "<|im_end|>" not in done.stdout
    assert "Rome" in turns[2] or len(turns[2].strip()) > 0
    refuses(program)


def tools(program):
    call = r"\[chatcmpl-tool-[0-9a-f]{32}\] get_weather\((.*)\)"
    found = re.search(call, run(program, MODEL, "hermes").stdout)
    assert json.loads(found.group(1)) == {"city": "Paris"}
    plain = run(program, MODEL).stdout          # the model's template knows no calls
    assert not re.search(call, plain) and plain.startswith("<tool_call>{")
    message = run(program, MODEL, "nobody", expect=1).stderr
    assert 'no tool_parser "nobody"' in message
    refuses(program)


def batch(program):
    with tempfile.TemporaryDirectory() as tmp:
        source, out = os.path.join(tmp, "in.jsonl"), os.path.join(tmp, "out.jsonl")
        lines = [{"id": f"p{i}", "prompt": f"The number after {i} is", "max_tokens": 8}
                 for i in range(12)]
        lines += [{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}]
        with open(source, "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in lines)
        run(program, MODEL, source, out, "max-model-len=256", "max-num-seqs=4")
        first = records(out)
        assert sorted(first) == sorted([f"p{i}" for i in range(12)] + ["13"])
        assert all(r["completion_tokens"] <= 8 and "text" in r for r in first.values())

        # interrupted: two lines are gone and the last one is cut; it goes on from there
        with open(out, encoding="utf-8") as f:
            text = f.read()
        kept = text.splitlines(keepends=True)[:10]
        with open(out, "w", encoding="utf-8") as f:
            f.write("".join(kept) + '{"id": "p1')
        run(program, MODEL, source, out, "max-model-len=256")
        assert records(out) == first, "resumed results differ"

        with open(source, "a", encoding="utf-8") as f:
            f.write('{"id": "bad", "prompt": ""}\nnot json\n')
        done = run(program, MODEL, source, out, "max-model-len=256", expect=1)
        again = records(out)
        assert "error" in again["bad"] and "error" in again["15"]
        assert "2 of 15 failed" in done.stderr
        done = run(program, MODEL, source, out, "no-such-option=1", expect=1)
        assert "no-such-option" in done.stderr


def records(path):
    with open(path, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    assert len(rows) == len({r["id"] for r in rows}), "an id twice"
    return {r["id"]: r for r in rows}


def frame_budget(program):
    done = run(program, MODEL, "20")
    assert "cancel: LLM_OK" in done.stdout and "abort after" in done.stdout
    assert "request 1: length after 48 tokens" in done.stdout


def two_engines(program):
    done = run(program, MODEL)
    assert done.stdout.count(" 0 bytes left") == 2


def memory_plan(program):
    done = run(program, MODEL, "max-model-len=512", "max-num-seqs=4")
    assert "fits" in done.stdout and "weights" in done.stdout
    free_mib = float(re.search(r"free on the device +([\d.]+)", done.stdout).group(1))
    done = run(program, MODEL, "max-model-len=512",
               f"kv-cache-memory-bytes={int(2 * free_mib) << 20}", expect=3)
    assert "does not fit" in done.stdout
    refuses(program)


def score(program):
    """A text is less surprising than its words in disorder, whole and in windows."""
    words = ("The sun rises in the east and sets in the west. Water boils at one hundred degrees. "
             "The capital of France is Paris, and the capital of Italy is Rome. ") * 2

    def perplexity(text, *window):
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as f:
            f.write(text)
            f.flush()
            done = run(program, MODEL, f.name, *window)
        found = re.search(r"(\d+) tokens in (\d+) windows: ([\d.]+) nats a token, "
                          r"perplexity ([\d.]+)", done.stdout)
        return int(found[1]), int(found[2]), float(found[4])

    whole, shuffled = perplexity(words), perplexity(" ".join(sorted(words.split())))
    assert whole[1] == 1 and 1 < whole[2] < 20 < shuffled[2], (whole, shuffled)
    parts = perplexity(words, "16")
    assert parts[0] == whole[0] and parts[1] == (whole[0] - 16 + 7) // 8 + 1, parts
    assert whole[2] < parts[2] < shuffled[2], (whole, parts)
    refuses(program, "x")


def ctypes_generate(library):
    script = os.path.join(EXAMPLES, "ctypes_generate.py")
    done = run(sys.executable, script, library, MODEL, "The capital of France is",
               "Hello, my name is")
    assert done.stdout.startswith("The capital of France is Paris")


def ctypes_speed(library):
    """1,000 requests of 8 tokens through one batch: what the wrapper itself takes for a request."""
    sys.path.insert(0, EXAMPLES)
    import ctypes_generate as wrapper

    lib = ctypes.CDLL(library)
    inside = [0.0]

    def timed(call):
        def wrapped(*args):
            start = time.perf_counter()
            result = call(*args)
            inside[0] += time.perf_counter() - start
            return result
        return wrapped

    class Timed:
        def __getattr__(self, name):
            call = getattr(lib, name)
            return timed(call) if name in ("llm_generate_batch", "llm_engine_create",
                                           "llm_engine_destroy") else call

    start = time.perf_counter()
    answers = wrapper.generate(Timed(), MODEL, [f"{i}" for i in range(1000)], max_tokens=8)
    own = time.perf_counter() - start - inside[0]
    print(f"{len(answers)} requests: {own * 1e6 / len(answers):.1f} us a request in the wrapper, "
          f"{inside[0]:.1f} s in the library")
    assert len(answers) == 1000 and all(isinstance(a, str) for a in answers)


def main(name, bin_dir, library):
    if not os.path.exists(MODEL):
        print("SKIPPED: LLM_DEMO_MODEL names no model")
        return 77
    by_library = name.startswith("ctypes")
    globals()[name](library if by_library else os.path.join(bin_dir, name))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
