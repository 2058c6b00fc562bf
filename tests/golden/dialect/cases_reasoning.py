# SPDX-License-Identifier: Apache-2.0
"""cases_reasoning - reasoning before content and calls."""

from dialect_case import CHAT, Cases, call
from cases_named import K, kb, ke

cases = Cases()
case = cases.add

H = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'
case(None, "hm\n</think>\n\nyes", content="\n\nyes", reasoning="hm\n", think="deepseek_r1")
case(None, "<think>\nhm</think>yes", content="yes", reasoning="\nhm", think="deepseek_r1")
case(None, "never ends", reasoning="never ends", think="deepseek_r1")
case(None, "plain", content="plain", think="deepseek_r1", prompt="<think>\n\n</think>\n\n")
case(
    "hermes",
    "a " + H + " b</think>" + H,
    call("f", '{"a": 1}'),
    reasoning="a " + H + " b",
    think="deepseek_r1",
)
case("hermes", "<think>a" + H, call("f", '{"a": 1}'), reasoning="a", think="qwen3")
case(
    "hermes",
    "<think>\na\n</think>\n\nsee\n" + H,
    call("f", '{"a": 1}'),
    reasoning="\na\n",
    content="\n\nsee",
    think="qwen3",
)
case(
    "hermes",
    "x <think> y",
    content="x <think> y",
    think="qwen3",
    chat={**CHAT, "chat_template_kwargs": {"enable_thinking": False}},
)
case(
    None,
    "on\n</think>off",
    reasoning="on\n",
    content="off",
    think="deepseek_v3",
    chat={**CHAT, "chat_template_kwargs": {"thinking": True}},
)
case(None, "off", content="off", think="deepseek_v3")
case(None, "off", content="off", think="ling3")
case(None, "m</think>n", content="n", reasoning="m", think="minimax_m2")
case(None, "m</think>n", content="<think>m</think>n", think="minimax_m2_append_think")
case(
    "mistral",
    "[THINK]a[/THINK]b[TOOL_CALLS]f[ARGS]{}",
    call("f", "{}"),
    reasoning="a",
    content="b",
    think="mistral",
)
case("seed_oss", "s</seed:think>t", reasoning="s", content="t", think="seed_oss")
case(
    None,
    "Here's my thought process: a b Here is my response: c",
    think="granite",
    reasoning=" a b ",
    content=" c",
)
case(None, "Here's my dog.", think="granite", content="Here's my dog.")
case(
    "hunyuan_a13b",
    "<think>\nwhy\n</think>\n<answer>\nso\n</answer>",
    think="hunyuan_a13b",
    reasoning="why",
    content="so",
)
case(
    "ernie45",
    "<think>why</think>\n\n<response>\nso\n</response>\n",
    think="ernie45",
    reasoning="why",
    content="\n\nso\n",
)
case(
    "kimi_k2",
    "why" + kb + K % ("functions.f:0", "{}") + ke,
    call("f", "{}", "functions.f:0"),
    reasoning="why",
    think="kimi_k2",
)
case(
    "glm45",
    "<think>a</think>\n<tool_call>f</tool_call>",
    call("f", "{}"),
    reasoning="a",
    think="glm45",
)
case(
    "hermes",
    "<think>a</think>" + '<tool_call>{"name": "f", "arguments": {"b',
    call("f", '{"b'),
    reasoning="a",
    think="qwen3",
    broken='<tool_call>{"name": "f", "arguments": {"b',
)

case(
    "hermes",
    '<think>a<tool_call>{"name": "f", "arguments": {"b',
    call("f", '{"b'),
    reasoning="a",
    think="qwen3",
    broken='<tool_call>{"name": "f", "arguments": {"b',
)
