#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""dialect_oracle.py DRIVER [N [SEED]] - the readers of arguments against Python's json and ast.

N random calls of each kind: JSON of any spelling, read as a whole, is what json.dumps(json.loads())
makes of it; literals of Python are what ast.literal_eval() reads; texts in tags are what a schema's
type makes of them by the rules of vLLM, written down here once more; values with bare keys are what
they were spelled from.  Where Python has the package openai_harmony and LLM_HARMONY_VOCAB names a
folder with o200k_base.tiktoken, the channels are what that package reads.
"""

import ast
import json
import os
import random
import subprocess
import sys

WORDS = [
    "",
    "a",
    "x y",
    "\u00e9",
    "日本",
    "🙂",
    "\"",
    "'",
    "\\",
    "\n",
    "\t",
    "\x01",
    "\x7f",
    "</tool_call>",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "<",
    ">",
    "null",
    "1",
    "\u2028",
    "\x0b",
    "\x0c",
    "\x08",
    "/",
    "#",
]
TYPES = [
    "string",
    "integer",
    "number",
    "boolean",
    "object",
    "array",
    "null",
    "int",
    "float",
    "whatever",
]


def text(r):
    return "".join(r.choice(WORDS) for _ in range(r.randrange(5)))


def value(r, depth=0):
    kind = r.randrange(9 if depth < 4 else 6)
    if kind < 2:
        return text(r)
    if kind == 2:
        return r.choice([0, 1, -7, 10**30, r.randrange(-(10**6), 10**6)])
    if kind == 3:
        return r.choice(
            [0.0, -0.0, 1.5, 1e16, 1e-7, 1e22, 123456789.125, r.uniform(-1, 1), r.random() * 1e300]
        )
    if kind < 6:
        return r.choice([True, False, None])
    if kind < 8:
        return {text(r): value(r, depth + 1) for _ in range(r.randrange(4))}
    return [value(r, depth + 1) for _ in range(r.randrange(4))]


def spell_json(r, v):
    """A spelling that json.loads() reads as v."""
    blank = lambda: r.choice(["", "", " ", "\n", "  \t"])
    if isinstance(v, dict):
        return (
            "{"
            + blank()
            + ",".join(
                blank() + spell_json(r, k) + blank() + ":" + blank() + spell_json(r, x) + blank()
                for k, x in v.items()
            )
            + "}"
        )
    if isinstance(v, list):
        return "[" + blank() + ",".join(blank() + spell_json(r, x) + blank() for x in v) + "]"
    if isinstance(v, float) and r.randrange(2):
        return "%.20e" % v
    return json.dumps(v, ensure_ascii=r.randrange(2) == 0)


def spell_python(r, v):
    blank = lambda: r.choice(["", "", " ", "\n"])
    if isinstance(v, dict):
        return (
            "{"
            + ",".join(
                blank() + repr(k) + blank() + ":" + blank() + spell_python(r, x) + blank()
                for k, x in v.items()
            )
            + "}"
        )
    if isinstance(v, list):
        return (
            "["
            + ",".join(blank() + spell_python(r, x) for x in v)
            + r.choice(["", ","] if v else [""])
            + "]"
        )
    if isinstance(v, str):
        cut = r.randrange(len(v) + 1)
        escaped = "".join("\\U%08x" % ord(c) for c in v)
        triple = '"""' + v.replace("\\", "\\\\").replace('"', '\\"') + '"""'
        return r.choice(
            [
                repr(v),
                repr(v),
                '"' + escaped + '"',
                triple.replace("\r", "\\r"),
                repr(v[:cut]) + " " + repr(v[cut:]),
            ]
        )
    if isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**40 and r.randrange(3) == 0:
        return r.choice([hex(v), oct(v), bin(v) if abs(v) < 2**12 else hex(v), f"{v:_}"])
    return repr(v)


def bare_value(r, depth=0):
    kind = r.randrange(8 if depth < 4 else 6)
    if kind < 2:
        return text(r)
    if kind == 2:
        return r.choice([0, 1, -7, 10**30, r.randrange(-(10**6), 10**6)])
    if kind == 3:
        return r.choice([1.5, -0.25, 1e-7, 1e22, 123456789.125, r.uniform(-1, 1)])
    if kind < 6:
        return r.choice([True, False, None])
    if kind == 6:
        return {bare_key(r, i): bare_value(r, depth + 1) for i in range(r.randrange(4))}
    return [bare_value(r, depth + 1) for _ in range(r.randrange(4))]


def bare_key(r, i):
    return r.choice(["a", "B_", "日本", "x y"]) + str(i)


def spell_bare(r, v):
    """Gemma's way to write a value."""
    blank = lambda: r.choice(["", "", "", " ", "\n"])
    if isinstance(v, dict):
        return "{" + ",".join(blank() + k + ":" + spell_bare(r, x) for k, x in v.items()) + "}"
    if isinstance(v, list):
        return "[" + ",".join(blank() + spell_bare(r, x) + blank() for x in v) + "]"
    if isinstance(v, str):
        return '<|"|>' + v + '<|"|>'
    return blank() + json.dumps(v) + blank()


def coerce(s, types):
    """vLLM's order of types."""
    alias = {"int": "integer", "float": "number"}
    types = [alias.get(t, t) for t in types]
    t = s.strip(" \n\t\r")
    if "null" in types and t.lower() == "null":
        return None
    digits = t[1:] if t[:1] in ("-", "+") else t
    if "integer" in types and digits.isascii() and digits.isdigit():
        return int(t)
    if "number" in types and t.isascii() and "_" not in t:
        try:
            v = float(t)
            if v == v and abs(v) != float("inf"):
                return int(v) if v == int(v) and abs(v) < 1e15 else v
        except ValueError:
            pass
    if "boolean" in types and t.lower() in ("true", "1", "false", "0"):
        return t.lower() in ("true", "1")
    if "object" in types or "array" in types or "whatever" in types:
        try:
            v = json.loads(s, parse_constant=lambda c: [][0])
            if (
                "whatever" in types
                or (isinstance(v, dict) and "object" in types)
                or (isinstance(v, list) and "array" in types)
            ):
                return v
        except (ValueError, IndexError):
            pass
    return s


def json_case(r):
    v = {text(r) + str(i): value(r) for i in range(r.randrange(4))}
    out = '<tool_call>{"name": "f", "arguments": %s}</tool_call>' % spell_json(r, v)
    return {"tools": "hermes", "text": out, "whole": True}, json.dumps(v, ensure_ascii=False)


def python_case(r):
    v = {r.choice("abcdefg_") + str(i): value(r) for i in range(r.randrange(4))}
    blank = r.choice(["", " ", "\n"])
    out = "[f(%s)]" % ("," + blank).join(
        k + blank + "=" + blank + spell_python(r, x) for k, x in v.items()
    )
    tree = ast.parse(out, mode="eval").body.elts[0]
    read = {k.arg: ast.literal_eval(k.value) for k in tree.keywords}
    assert read == v, (read, v)
    return {"tools": "pythonic", "text": out}, json.dumps(read, ensure_ascii=False)


def tags_case(r):
    schema, want, out = {}, {}, "<tool_call>\n<function=f>\n"
    for i in range(r.randrange(4)):
        key, types = f"k{i}", [r.choice(TYPES) for _ in range(r.randrange(1, 3))]
        v = value(r)
        s = r.choice([text(r), json.dumps(v), str(v), " 12 ", "-007", "1.50", "TRUE", "nan"])
        if any(m in s for m in ("</", "<function", "<tool_call", "<parameter")):
            s = "plain"
        want[key] = coerce(s, types)
        schema[key] = r.choice([{"type": types}, {"anyOf": [{"type": t} for t in types]}])
        out += f"<parameter={key}>\n{s}\n</parameter>\n"
    chat = {
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"properties": schema}}}
        ]
    }
    return {
        "tools": "qwen3_coder",
        "text": out + "</function>\n</tool_call>",
        "chat": chat,
    }, json.dumps(want, ensure_ascii=False)


def bare_case(r):
    v = {bare_key(r, i): bare_value(r) for i in range(r.randrange(4))}
    out = "<|tool_call>call:f%s<tool_call|>" % spell_bare(r, v)
    return {"tools": "gemma4", "text": out}, json.dumps(v, ensure_ascii=False)


def harmony_reader():
    """A function from an output to (content, calls), or None."""
    if not os.environ.get("LLM_HARMONY_VOCAB"):
        return None
    os.environ["TIKTOKEN_ENCODINGS_BASE"] = os.environ["LLM_HARMONY_VOCAB"]
    from openai_harmony import Role, StreamableParser, load_harmony_encoding

    encoding = load_harmony_encoding("HarmonyGptOss")

    def read(output):
        p, content, calls = StreamableParser(encoding, role=Role.ASSISTANT), "", []
        for token in encoding.encode(output, allowed_special="all"):
            p.process(token)
        for m in p.messages:
            if (m.recipient or "").startswith("functions."):
                calls.append([m.recipient[10:], m.content[0].text])
            elif m.channel != "analysis" and m.recipient is None:
                content += m.content[0].text
        return content, calls

    return read


def harmony_case(r, read):
    shapes = [
        "<|channel|>analysis<|message|>%s<|end|>",
        "<|channel|>final<|message|>%s<|end|>",
        "<|channel|>commentary<|message|>%s<|end|>",
        "<|channel|>analysis to=python code<|message|>%s<|call|>",
        "<|channel|>commentary to=functions.f <|constrain|>json<|message|>{\"a\": %s}<|call|>",
        "<|channel|>commentary to=functions.a.b json<|message|>{\"a\": %s}<|call|>",
        " to=functions.g<|channel|>commentary <|constrain|>json<|message|>{\"a\": %s}<|call|>",
    ]
    out = []
    for i in range(r.randrange(1, 5)):
        shape = r.choice(shapes[:-1] if i == 0 else shapes)
        out.append(
            shape
            % ("x" + text(r).strip() + "y" if "functions" not in shape else json.dumps(text(r)))
        )
    out = "<|start|>assistant".join(out)
    return {"tools": "openai", "text": out}, read(out)


def main(driver, n=2000, seed=1):
    r = random.Random(int(seed))
    process = subprocess.Popen([driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    faults = 0
    for make in (json_case, python_case, tags_case, bare_case):
        for _ in range(int(n)):
            case, want = make(r)
            case["piece"] = r.choice([1, 7, 10000])
            process.stdin.write(json.dumps(case).encode() + b"\n")
            process.stdin.flush()
            got = json.loads(process.stdout.readline())
            call = got["calls"][0] if len(got["calls"]) == 1 else {"arguments": None}
            if call["arguments"] != want or got["content"] != "":
                faults += 1
                if faults <= 10:
                    print(json.dumps(case, ensure_ascii=False), "\n  want", want, "\n  got ", got)
    read = harmony_reader()
    for _ in range(int(n) if read else 0):
        case, want = harmony_case(r, read)
        case["piece"] = r.choice([1, 7, 10000])
        process.stdin.write(json.dumps(case).encode() + b"\n")
        process.stdin.flush()
        got = json.loads(process.stdout.readline())
        if (got["content"], [[c["name"], c["arguments"]] for c in got["calls"]]) != want:
            faults += 1
            if faults <= 10:
                print(json.dumps(case, ensure_ascii=False), "\n  want", want, "\n  got ", got)
    process.stdin.close()
    print(
        f"{4 * int(n)} calls, {int(n) if read else 'no'} outputs of harmony, {faults} differences"
    )
    return faults != 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
