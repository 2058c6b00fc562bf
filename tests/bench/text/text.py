#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Text speed beside Hugging Face's tokenizers and Jinja2: the same run, one thread, CPU time, by turns, the
# median of the rounds.  Texts are made from seeds, or given, and each round has a stretch of its own, so that
# neither side has seen it.  Needs tokenizers and jinja2.
# Usage: text.py text_bench [--write] [--shared DIR] [--rounds N] [--out text.md] [--english FILE] [--code FILE] [--cjk FILE]
import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import chat_inputs
import jinja2
import tokenizer_files
import tokenizers
import texts

PIECE = 4096
GOALS = {"byte-level BPE": {"English": 10, "code": 10, "CJK": 5}}        # times HF; others: 8
HF_LOAD = """
import sys, time
def resident():
    return int(open('/proc/self/statm').read().split()[1]) * 4096
import tokenizers
before, start = resident(), time.process_time()
t = tokenizers.Tokenizer.from_file(sys.argv[1])
print(time.process_time() - start, resident() - before)
"""


class Ours:
    """The other half: text_bench, a command at a time."""

    def __init__(self, program):
        self.run = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, command):
        self.run.stdin.write(command + "\n")
        self.run.stdin.flush()
        line = self.run.stdout.readline()
        if not line:
            sys.exit(f"text_bench gave up at {command!r}")
        return [int(x) for x in line.split()]

    def close(self):
        self.run.stdin.close()
        if self.run.wait() != 0:
            sys.exit("text_bench leaks or failed")


def cpu(fn, *args):
    start = time.process_time()
    out = fn(*args)
    return time.process_time() - start, out


def pieces_of(data):
    """As text_bench cuts them."""
    out, at = [], 0
    while at < len(data):
        end = min(at + PIECE, len(data))
        while end < len(data) and data[end] & 0xc0 == 0x80:
            end += 1
        out.append(data[at:end].decode())
        at = end
    return out


def encode_all(tok, pieces):
    return [e.ids for e in tok.encode_batch_fast(pieces, add_special_tokens=False)]


def decode_all(tok, ids):
    return [tok.decode(x, skip_special_tokens=False) for x in ids]


def by_turns(rounds, *fns):
    """The median seconds of each; every function is told the round."""
    times = [[] for _ in fns]
    for k in range(rounds):
        for fn, out in zip(fns, times):
            out.append(fn(k))
    return [statistics.median(t) for t in times]


class Stretches:
    """The stretches of a text, one a round and one to warm up, as files and as the pieces of HF's half."""

    def __init__(self, data, n, tmp, name):
        self.size, at, self.files, self.pieces = len(data) // (n + 1), 0, [], []
        for i in range(n + 1):
            part = data[at:at + self.size].decode("utf-8", "ignore").encode()
            while at + len(part) < len(data) and data[at + len(part)] & 0xc0 == 0x80:
                part = part[:-1]
            at += len(part)
            self.files.append(os.path.join(tmp, f"{name}_{i}"))
            self.pieces.append(pieces_of(part))
            with open(self.files[-1], "wb") as f:
                f.write(part)


def tokenizer_rows(args, files, inputs, tmp):
    rows = []
    for kind, name, path in files:
        ours, hf = Ours(args.program), tokenizers.Tokenizer.from_file(path)
        ours(f"open {path}")
        hf.no_truncation()
        hf.no_padding()
        for text, data in inputs:
            ids, tokens = None, 0

            def we_encode(k):
                nonlocal tokens
                ours(f"text {data.files[k]}")
                ns, tokens = ours("encode")
                return ns / 1e9

            def they_encode(k):
                nonlocal ids
                seconds, ids = cpu(encode_all, hf, data.pieces[k])
                if tokens != sum(map(len, ids)):
                    sys.exit(f"{name} on {text}: the numbers of tokens differ")
                return seconds
            both = (we_encode, they_encode, lambda k: ours("decode")[0] / 1e9, lambda k: cpu(decode_all, hf, ids)[0])
            for fn in both:
                fn(args.rounds)
            we, they, we_back, they_back = by_turns(args.rounds, *both)
            rows.append((kind, name, text, data.size, we, they, we_back, they_back))
            print(f"{name:12} {text:8} encode {data.size / we / 1e6:7.1f} MB/s, {they / we:5.1f} x HF; "
                  f"decode {data.size / we_back / 1e6:7.1f} MB/s, {they_back / we_back:5.1f} x HF", flush=True)
        ours.close()
    return rows


def chat_rows(args, any_tokenizer, tmp):
    """A conversation of 20 messages with tools: from JSON text to the prompt, and from values to the prompt."""
    rows = []
    env = chat_inputs.environment()
    for name, source in chat_inputs.TEMPLATES.items():
        ours, request = Ours(args.program), chat_inputs.request()
        template, text = env.from_string(source), json.dumps(request)
        for key, data in (("template", source), ("chat", text)):
            with open(os.path.join(tmp, key), "w") as f:
                f.write(data)
        ours(f"open {any_tokenizer}")
        compile_ns = ours(f"template {os.path.join(tmp, 'template')}")[0]
        ours(f"chat {os.path.join(tmp, 'chat')}")
        times = 200

        def theirs(parse):
            values = json.loads(text)
            start = time.process_time()
            for _ in range(times):
                out = template.render(**(json.loads(text) if parse else values))
            return (time.process_time() - start) / times, len(out.encode())
        if not theirs(True)[1] == ours("render 1")[1] == ours("values 1")[1]:
            sys.exit(f"template {name}: the prompts differ in length")
        a, b, c, d = by_turns(args.rounds, lambda _: ours(f"render {times}")[0] / 1e9, lambda _: theirs(True)[0],
                              lambda _: ours(f"values {times}")[0] / 1e9, lambda _: theirs(False)[0])
        they_compile = cpu(chat_inputs.environment().from_string, source)[0]
        rows.append((name, theirs(True)[1], a, b, c, d, compile_ns / 1e9, they_compile))
        print(f"chat {name}: {a * 1e6:.0f} us, {b / a:.1f} x Jinja2; parsed {c * 1e6:.0f} us, {d / c:.1f} x", flush=True)
        ours.close()
    return rows


def load_row(args, path):
    """Each load in a process of its own."""
    we, they = [], []
    for _ in range(args.rounds):
        ours = Ours(args.program)
        we.append(ours(f"open {path}"))
        ours.close()
        out = subprocess.run([sys.executable, "-c", HF_LOAD, path], capture_output=True, text=True, check=True).stdout.split()
        they.append((float(out[0]), int(out[1])))
    middle = lambda rows, i: statistics.median(r[i] for r in rows)
    row = (os.path.getsize(path), middle(we, 0) / 1e9, middle(we, 1), middle(we, 2), middle(they, 0), middle(they, 1))
    print("load {:.1f} MB: {:.0f} ms, {:.1f} MB held ({:.1f} MB resident); HF {:.0f} ms, {:.1f} MB resident".format(
        row[0] / 1e6, row[1] * 1e3, row[2] / 1e6, row[3] / 1e6, row[4] * 1e3, row[5] / 1e6), flush=True)
    return row


def worst_rows(args, path):
    rows = []
    ours = Ours(args.program)
    ours(f"open {path}")
    for what, unit in (("`a`", "a"), ("one CJK character", "\u4e00"), ("a combining mark", "\u0301"), ("`<|`", "<|")):
        rows.append((what, ours(f"worst {unit}")[0] / 1e9))
    ours.close()
    return rows


def report(args, rows, chats, load, worst):
    mb = lambda n, s: f"{n / s / 1e6:.1f}"
    out = ["# Text speed", "",
           f"Written by `text.py` on {datetime.date.today()}: {platform.processor() or platform.machine()}, {os.cpu_count()} CPUs, load "
           f"{os.getloadavg()[0]:.1f} at the end, Python {platform.python_version()}, tokenizers {tokenizers.__version__}, jinja2 {jinja2.__version__}.  "
           f"One thread, CPU time, medians of {args.rounds} rounds by turns.  Encoding and decoding are in pieces of 4 KB, HF's with `encode_batch_fast`; each round has {args.bytes >> 10} KB that neither side has seen.", "",
           "## Tokenizers", "",
           "| kind | file | text | encode MB/s | HF | times HF | goal | decode MB/s | HF |", "|---|---|---|---|---|---|---|---|---|"]
    for kind, name, text, n, we, they, we_back, they_back in rows:
        goal = GOALS.get(kind, {}).get(text, 8)
        out.append(f"| {kind} | {name} | {text} | {mb(n, we)} | {mb(n, they)} | {they / we:.1f} | {goal} | {mb(n, we_back)} | {mb(n, they_back)} |")
    out += ["", "## A chat of 20 messages with tools", "",
            "From JSON text: parse the request, check and convert its messages, render; Jinja2: `json.loads`, `render`.  "
            "From values: render only, of parsed JSON.", "",
            "| template | bytes | from JSON text, us | Jinja2 | times | from values, us | Jinja2 | times | compile, us | Jinja2 |", "|---|---|---|---|---|---|---|---|---|---|"]
    for name, n, a, b, c, d, e, f in chats:
        out.append(f"| {name} | {n} | {a * 1e6:.0f} | {b * 1e6:.0f} | {b / a:.1f} | {c * 1e6:.0f} | {d * 1e6:.0f} | {d / c:.1f} | {e * 1e6:.0f} | {f * 1e6:.0f} |")
    if load:
        out += ["", "## Loading a tokenizer.json of Llama 3's size", "",
                f"{load[0] / 1e6:.1f} MB, 128,256 tokens.  We: **{load[1] * 1e3:.0f} ms**, {load[2] / 1e6:.1f} MB held, resident set + {load[3] / 1e6:.1f} MB.  "
                f"HF: {load[4] * 1e3:.0f} ms, resident set + {load[5] / 1e6:.1f} MB.", "",
                "## 1 MB of one thing, the same tokenizer", "", "| text | ms |", "|---|---|"]
        out += [f"| {what} | {s * 1e3:.0f} |" for what, s in worst]
    with open(args.out, "w") as f:
        f.write("\n".join(out) + "\n")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--shared", default=os.environ.get("LLM_SHARED", ""))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--bytes", type=int, default=1 << 19, help="of each text and round")
    p.add_argument("--write", action="store_true", help="the tables to --out")
    p.add_argument("--out", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "text.md"))
    p.add_argument("--only", default="", help="tokens, chat or load")
    for name in ("english", "code", "cjk"):
        p.add_argument("--" + name, help="a file instead of the text made here")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as tmp:
        inputs = [(name, Stretches(texts.text(name, args.bytes * (args.rounds + 1), getattr(args, name.lower())), args.rounds, tmp, name))
                  for name in ("English", "code", "CJK")]
        files, llama = tokenizer_files.find(args.shared, tmp)
        rows = tokenizer_rows(args, files, inputs, tmp) if args.only in ("", "tokens") else []
        chats = chat_rows(args, files[0][2], tmp) if args.only in ("", "chat") else []
        load = load_row(args, llama) if llama and args.only in ("", "load") else None
        worst = worst_rows(args, llama) if load else []
        if args.write and not args.only:
            report(args, rows, chats, load, worst)


main()
