#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes templates.json: [template, data, expected text or null where Jinja2 3.1.6 as transformers sets
# it up raises].  Usage: make_templates.py
import json
import os

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from templates import CHATS, DATA, REAL, SMALL


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[jinja2.ext.loopcontrols, Generation])
env.filters["tojson"] = tojson
env.globals.update(raise_exception=refuse, strftime_now=lambda f: "now")


def expected(template, data):
    try:
        return env.from_string(template).render(bos_token="<s>", eos_token="</s>", **data)
    except Exception:
        return None


data = CHATS + [DATA]
templates = REAL + SMALL
cases = [[t, d, expected(REAL[t], CHATS[d])] for t in range(len(REAL)) for d in range(len(CHATS))]
cases += [[len(REAL) + t, len(CHATS), expected(SMALL[t], DATA)] for t in range(len(SMALL))]
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "templates.json"), "w", encoding="utf-8") as f:
    f.write(json.dumps({"templates": templates, "data": data}, ensure_ascii=True)[:-1] + ',\n"cases": [\n')
    f.write(",\n".join(json.dumps(c, ensure_ascii=True) for c in cases) + "\n]}\n")
