#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes jinja.json: 2,000 random templates with what Jinja2 3.1.6 makes of them, the variables that they
# read and the lines of their errors, and chats.json: chat
# requests with the text that transformers makes of them after vLLM's treatment of messages; null
# where it raises.  Usage: make_chat.py   (needs transformers and jinja2)
import copy
import itertools
import json
import os
import random
import traceback

import jinja2.meta

from transformers.utils.chat_template_utils import render_jinja_template

import gen_jinja
import jinja_env
from requests_and_templates import CONVERSATIONS, EXTRAS, TEMPLATES

HERE = os.path.dirname(os.path.abspath(__file__))
N = 2000


def dump(name, head, rows):
    with open(os.path.join(HERE, name), "w", encoding="ascii") as f:
        f.write(json.dumps(head)[:-1] + ',\n"cases": [\n' + ",\n".join(json.dumps(r) for r in rows) + "\n]}\n")


def undeclared(template):
    """What find_undeclared_variables() says; null where the template does not parse."""
    try:
        return sorted(jinja2.meta.find_undeclared_variables(jinja_env.ENV.parse(template)))
    except jinja2.TemplateError:
        return None


def error_line(template):
    """The line that Jinja2 names.  It has none of their own for with and for filters of blocks."""
    if "filter" in template or "with" in template:
        return None
    try:
        jinja_env.ENV.from_string(template).render(**jinja_env.variables(gen_jinja.DATA))
    except jinja2.TemplateSyntaxError as e:
        return e.lineno
    except Exception as e:
        lines = [f.lineno for f in traceback.extract_tb(e.__traceback__) if f.filename == "<template>"]
        return lines[-1] if lines else None
    return None


def random_cases():
    rng = random.Random(2026)
    out, errors = [], 0
    while len(out) < N:
        t = gen_jinja.template(rng)
        if len(t) > 260:
            continue
        want = jinja_env.expected(t, gen_jinja.DATA)
        if want is None and errors > N // 4 or want is not None and (jinja_env.tells_place(want) or len(want) > 400):
            continue
        errors += want is None
        out.append([t, want, undeclared(t), None if want is not None else error_line(t)])
    return out


# ---- What vLLM does with messages before a template sees them

def part_text(part):
    if isinstance(part, str):
        return part
    kind = part["type"]
    key = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal", "thinking": "thinking"}[kind]
    return part.get(key)


def one_message(m, parts):
    content = m.get("content")
    if content is None:
        content = []
    elif isinstance(content, str):
        content = [{"type": "text", "text": content}]
    texts = [t for t in map(part_text, content) if t is not None]
    role = m["role"]
    as_list = parts and role != "tool"
    out = {"role": role, "content": [{"type": "text", "text": t} for t in texts] if as_list else "\n".join(texts)}
    if role == "assistant":
        calls = copy.deepcopy(m.get("tool_calls")) or []
        for c in calls:
            a = c["function"].get("arguments")
            if isinstance(a, str):
                try:
                    c["function"]["arguments"] = json.loads(a)
                except json.JSONDecodeError:
                    c["function"]["arguments"] = {}
            elif not isinstance(a, (dict, list)):
                c["function"]["arguments"] = {}
        if calls:
            out["tool_calls"] = calls
        if m.get("reasoning") is not None:
            out["reasoning"] = out["reasoning_content"] = m["reasoning"]
    if role == "tool" and "tool_call_id" in m:
        out["tool_call_id"] = m["tool_call_id"]
    if isinstance(m.get("name"), str):
        out["name"] = m["name"]
    if role == "developer":
        out["tools"] = m.get("tools")
    return out


def without_developers(messages):
    if not any(m["role"] == "developer" for m in messages):
        return messages
    for m in messages:
        if m["role"] == "developer":
            m["role"] = "system"
            del m["tools"]
    system = [m for m in messages if m["role"] == "system"]
    first = system[0]
    for m in system[1:]:
        first["content"] = first["content"] + m["content"] if isinstance(first["content"], list) else first["content"] + "\n\n" + m["content"]
    return [first] + [m for m in messages if m["role"] != "system"]


def render(template, parts, request):
    messages = [one_message(m, parts) for m in request["messages"]]
    if "developer" not in template:
        messages = without_developers(messages)
    go_on = request.get("continue_final_message", False)
    kwargs = {"documents": request.get("documents"), **request.get("chat_template_kwargs", {})}
    try:
        out, _ = render_jinja_template([messages], tools=request.get("tools"), chat_template=template, continue_final_message=go_on,
                                       add_generation_prompt=request.get("add_generation_prompt", not go_on), **jinja_env.CONSTS, **kwargs)
        return out[0]
    except Exception:
        return None


def chat_cases():
    rows = []
    for (t, (template, parts)), (c, messages), (e, extra) in itertools.product(enumerate(TEMPLATES), enumerate(CONVERSATIONS), enumerate(EXTRAS)):
        rows.append([t, c, e, render(template, parts, {"messages": messages, **extra})])
    return rows


if __name__ == "__main__":
    dump("jinja.json", {"data": json.dumps(gen_jinja.DATA)}, random_cases())
    dump("chats.json", {"templates": [t for t, _ in TEMPLATES], "conversations": CONVERSATIONS, "extras": EXTRAS}, chat_cases())
