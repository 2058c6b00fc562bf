#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cli_test.py LLMSERVE PART - the command llmserve as a user sees it.

Parts: arguments (no model needed), run, chat, text (scripted standard input), terminal (through a pty:
line editing, Ctrl-C while answering and at the prompt, Ctrl-D).  77 without LLM_DEMO_MODEL.
"""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

CLI = sys.argv[1]
MODEL = os.environ.get("LLM_DEMO_MODEL", "")
SMALL = ["--max-model-len", "1024", "--max-num-seqs", "4"]


def run(*args, stdin="", code=0):
    done = subprocess.run([CLI, *args], input=stdin, capture_output=True, text=True, timeout=280)
    print("$ llmserve", *args, f"-> {done.returncode}\n{done.stdout}--\n{done.stderr}")
    assert done.returncode == code, f"exit {done.returncode}, wanted {code}"
    return done


def arguments():
    text = run("--help").stdout
    for name in ("max-model-len", "max-num-seqs", "scheduling-policy", "enable-prefix-caching",
                 "cpu-threads", "max_tokens", "temperature"):
        assert re.search(rf"^  --{name.replace('_', '[-_]')} ", text, re.M), f"no {name} in --help"
    assert max(map(len, text.splitlines())) <= 100
    assert run("run", "--help").stdout == text
    assert re.match(r"llmserve \d+\.\d+\.\d+", run("--version").stdout)
    run(code=2)
    run("dance", code=2)
    run("run", code=2)
    assert "--no-such" in run("run", "m", "--no-such", "1", "x", code=2).stderr
    assert "--max-model-len" in run("run", "m", "--max-model-len", code=2).stderr
    run("chat", "m", "words", code=2)
    assert "/nonexistent/model" in run("run", "/nonexistent/model", "x", code=1).stderr
    assert "/nonexistent/file" in run("run", "m", "--file", "/nonexistent/file", code=1).stderr


def run_prompts():
    done = run("run", MODEL, *SMALL, "--max-tokens", "8", "--temperature=0",
               "The capital of France is")
    assert "Paris" in done.stdout and "8 new tokens" in done.stderr
    done = run("run", "--model", MODEL, *SMALL, "--max-tokens=8", "--temperature", "0", "--quiet",
               "--no-enable-prefix-caching", "The capital of France is", "Hello, my name is")
    assert done.stdout.startswith("> The capital of France is\n Paris") and done.stderr == ""
    assert "\n> Hello, my name is\n" in done.stdout
    done = run("run", MODEL, *SMALL, "--max-tokens", "8", "--temperature", "0",
               stdin="The capital of France is\n\nThe capital of Italy is\n")
    assert done.stdout.count("> The capital") == 2
    done = run("run", MODEL, *SMALL, "--chat", "--temperature", "0",
               "What is the capital of France? Answer in one sentence.")
    assert "Paris" in done.stdout and "<|im" not in done.stdout
    assert run("run", MODEL, "--temperature", "hot", "x", code=1).stderr.count("temperature") >= 1
    assert "max-model-len" in run("run", MODEL, "--max-model-len", "-3", "x", code=1).stderr


def chat():
    done = run("chat", MODEL, *SMALL, "--temperature", "0", "--max-tokens", "32",
               stdin="What is the capital of France? Answer in one sentence.\n/help\n/reset\n"
                     "/system You speak like a pirate.\nHello\n/quit\nnever read\n")
    assert "Paris" in done.stdout and "/reset" in done.stderr and "forgotten" in done.stderr
    assert "system message set" in done.stderr and done.stderr.count("prompt tokens") == 2


def text():
    hello = "Hello, w\u00f6rld \U0001f642"
    ids = run("tokenize", MODEL, stdin=hello).stdout
    assert re.fullmatch(r"\d+( \d+)+\n", ids)
    assert run("detokenize", MODEL, stdin=ids).stdout == hello
    assert run("detokenize", MODEL, stdin=f"[{ids.strip().replace(' ', ', ')}]").stdout == hello
    assert run("tokenize", MODEL, "--no-special", stdin="").stdout == "\n"
    end = run("tokenize", MODEL, stdin="<|im_end|>").stdout
    assert run("detokenize", MODEL, stdin=end).stdout == ""
    assert run("detokenize", MODEL, "--keep-special", stdin=end).stdout == "<|im_end|>"
    chat = '{"messages": [{"role": "user", "content": "Hi"}], "add_generation_prompt": true}'
    prompt = run("render", MODEL, stdin=chat).stdout
    assert prompt.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    ids = run("render", MODEL, "--ids", stdin=chat).stdout
    assert run("detokenize", MODEL, "--keep-special", stdin=ids).stdout == prompt
    assert "/nonexistent" in run("tokenize", MODEL, "/nonexistent", code=1).stderr
    assert "not a token id" in run("detokenize", MODEL, stdin="1 two", code=1).stderr
    assert run("render", MODEL, stdin="{", code=1).stderr.count("\n") == 1


class Terminal:
    def __init__(self, *args):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm"
            os.execv(CLI, [CLI, *args])
        self.seen = ""

    def expect(self, pattern, seconds=60):
        end = time.monotonic() + seconds
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, f"no {pattern!r} in {self.seen!r}"
            if select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += os.read(self.fd, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"ended before {pattern!r}: {self.seen!r}") from None
        matched = re.search(pattern, self.seen)
        print(repr(self.seen[:matched.end()]))
        self.seen = self.seen[matched.end():]

    def send(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        for _ in range(600):
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    time.sleep(0.05)    # its terminal is closed, it ends soon
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError("does not end")


def terminal():
    t = Terminal("chat", MODEL, *SMALL, "--temperature", "0", "--ignore-eos", "true")
    t.expect("> ")
    t.send("half a line")
    t.expect("half a line")
    t.send("\x03")                      # drops the line, the program stays
    t.expect("> ")
    t.send("Tell me a very long story about the sea\n")
    t.expect(r"sea\s+\S+")
    time.sleep(0.3)
    t.send("\x03")                      # stops the answer, the program stays
    t.expect(r"\[stopped\]", 30)
    t.expect("> ")
    t.send("/reset\n")
    t.expect("forgotten")
    t.expect("> ")
    t.send("\x04")
    assert t.end() == 0


def main(part):
    if part == "arguments":
        arguments()
        return 0
    if not os.path.exists(MODEL):
        print("SKIPPED: LLM_DEMO_MODEL names no model")
        return 77
    {"run": run_prompts, "chat": chat, "text": text, "terminal": terminal}[part]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[2]))
