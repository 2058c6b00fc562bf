# SPDX-License-Identifier: Apache-2.0
# The chat that is rendered: 20 messages, three tools, with templates of two kinds, and Jinja2 as transformers sets it up.
import os
import sys

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "golden")
sys.path[:0] = [os.path.join(GOLDEN, "chat"), os.path.join(GOLDEN, "text")]
import jinja_env
import requests_and_templates as golden
from templates import QWEN

TEMPLATES = {"Hermes": QWEN, "typed tools": golden.TOOLS}


def environment():
    return jinja_env.environment()


def tool(i):
    return {"type": "function", "function": {"name": f"tool_{i}", "description": f"Does the thing number {i} for a place and some days.", "parameters": {
        "type": "object", "required": ["city"], "properties": {
            "city": {"type": "string", "description": "The name of the city"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
            "days": {"type": "array", "items": {"type": "integer"}, "description": "Which days, counted from today"}}}}}


def request():
    """Twenty messages: a system message, then questions, answers, calls of tools and what they gave."""
    long = "The weather there is mild for most of the year, and rain falls on about every third day. " * 4
    call = {"id": "call_1", "type": "function", "function": {"name": "tool_1", "arguments": {"city": "Paris", "unit": "celsius", "days": [0, 1, 2]}}}
    turn = [{"role": "user", "content": "What about the weather in Paris?\nPlease be brief. " + long}, {"role": "assistant", "content": "", "tool_calls": [call, call]},
            {"role": "tool", "content": '{"temperature": 18.5, "rain": false}', "tool_call_id": "call_1"},
            {"role": "tool", "content": '{"temperature": 17.0, "rain": true}', "tool_call_id": "call_1"},
            {"role": "assistant", "content": "It is 18.5 degrees and dry. " + long}]
    messages = [{"role": "system", "content": "You are a helpful assistant. " + long}] + turn * 4
    return {"messages": messages[:19] + [{"role": "user", "content": "Thank you. And tomorrow?"}], "tools": [tool(i) for i in range(3)],
            "documents": None, "add_generation_prompt": True, "chat_template_kwargs": jinja_env.CONSTS, **jinja_env.CONSTS}
