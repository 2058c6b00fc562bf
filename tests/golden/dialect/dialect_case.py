# SPDX-License-Identifier: Apache-2.0
"""dialect_case - a case of cases.json, and what many of them say.

A case is an output of a model, written by hand from the syntax that the model was taught, and the
message that it stands for, written by hand as well: content, reasoning, calls with their arguments
as they are streamed.  What the arguments are for an output that is read as a whole comes from
Python's json.  A broken case names the content that is left of it as a whole.
"""

import json

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "$defs": {"unit": {"enum": ["c", "f"]}},
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "temp": {"type": "number"},
                "wet": {"type": "boolean"},
                "where": {"type": "object"},
                "tags": {"type": "array"},
                "maybe": {"type": ["string", "null"]},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
                "unit": {"$ref": "#/$defs/unit"},
                "any": {"type": "whatever"},
                "free": {},
            },
        },
    },
}
CHAT = {"messages": [{"role": "user", "content": "x"}], "tools": [WEATHER]}

PARIS = '{"city":"Paris",  "n": [1, 2.50, {"x": null}]}'
TRICKY = (
    '{"city": "a \\"quoted\\" </tool_call> } ] <|call|> \\u00e9\\n", "k": {"z": "[TOOL_CALLS]"}}'
)


def call(name, args, id=None):
    return {"name": name, "arguments": args, **({"id": id} if id else {})}


def whole(content, calls, broken):
    if broken is not None:
        return {"content": broken, "calls": []}
    read = [json.dumps(json.loads(k["arguments"]), ensure_ascii=False) for k in calls]
    return {"content": content, "calls": read}


class Cases(list):
    def add(self, tools, text, *calls, content="", reasoning="", think=None, broken=None, **more):
        """broken: the content that is left where the output is read as a whole."""
        self.append({
            "tools": tools,
            "thinking": think,
            "text": text,
            "content": content,
            "reasoning": reasoning,
            "calls": list(calls),
            **more,
            "whole": whole(content, calls, broken),
        })
