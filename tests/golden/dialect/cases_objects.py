# SPDX-License-Identifier: Apache-2.0
"""cases_objects - calls that are JSON objects between markers."""

from dialect_case import CHAT, PARIS, TRICKY, Cases, call

cases = Cases()
case = cases.add

for name, open_, close in (
    ("hermes", "<tool_call>\n", "\n</tool_call>"),
    ("granite4", "<tool_call>", "</tool_call>"),
    ("longcat", "<longcat_tool_call>", "</longcat_tool_call>"),
    ("ernie45", "<tool_call>\n", "\n</tool_call>\n"),
    ("internlm", "<|action_start|><|plugin|>\n", "<|action_end|>\n"),
    ("xlam", "<tool_call>", "</tool_call>"),
    ("xlam", "```json\n", "\n```"),
):
    one = open_ + '{"name": "f", "arguments": %s}' + close
    case(name, one % PARIS, call("f", PARIS))
    case(name, "Let me see.\n" + one % PARIS, call("f", PARIS), content="Let me see.")
    case(
        name,
        one % PARIS + "\n" + one % "{}" + " Done, <b>all</b>.",
        call("f", PARIS),
        call("f", "{}"),
        content="Done, <b>all</b>.",
    )
    case(name, one % TRICKY, call("f", TRICKY))
    case(
        name,
        open_ + '{"arguments": {"a": 1}, "id": [1, "}"], "name": "late\\u00e9"}' + close,
        call("late\u00e9", '{"a": 1}'),
    )
    case(
        name,
        open_ + '{"name": "f", "arguments": {"a": 1' + close,
        call("f", '{"a": 1' + close[: len(close) - len(close.lstrip())]),
        broken=open_ + '{"name": "f", "arguments": {"a": 1' + close,
    )
    case(
        name,
        open_ + "no json" + close,
        content=(open_ + "no json" + close),
        broken=open_ + "no json" + close,
    )
    case(
        name,
        open_ + '{"name": "f"}' + close,
        content=open_ + '{"name": "f"}' + close,
        broken=open_ + '{"name": "f"}' + close,
    )

case("hermes", '<tool_call>{"name": "f", "arguments": {"a": 1}}', call("f", '{"a": 1}'))
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": {"a": "cu',
    call("f", '{"a": "cu'),
    broken='<tool_call>{"name": "f", "arguments": {"a": "cu',
)
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": ',
    content='<tool_call>{"name": "f", "arguments": ',
    broken='<tool_call>{"name": "f", "arguments": ',
)
case(
    "hermes",
    "plain < text <tool <tool_cal and <tool_response> \u65e5\u672c\n",
    content="plain < text <tool <tool_cal and <tool_response> \u65e5\u672c\n",
)
case("hermes", "ends in <tool_c", content="ends in <tool_c")
case("hermes", "", content="")
case("hermes", "  \n ", content="  \n ")
case("hermes", '<tool_call>{"name": "f", "arguments": [1, 2]}</tool_call>', call("f", "[1, 2]"))
case("hermes", '<tool_call>{"name": "f", "arguments": 12}</tool_call>', call("f", "12"))
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>',
    call("f", '{"a": 1}'),
)
case(
    "granite4",
    '<tool_call>{"arguments": "{\\"a\\": \\"x\\\\\\"y\\\\n\\u00e9\\/</tool_call>\\", \\n\\u0022b\\u0022: {}}", "name": "f"}'
    "</tool_call>",
    call("f", '{"a": "x\\"y\\n\\u00e9/</tool_call>", \n"b": {}}'),
)
case("hermes", '<tool_call>{"name": "f", "arguments": "x{}"}</tool_call>', call("f", '"x{}"'))
case("hermes", '<tool_call>{"name": "f", "arguments": ""}</tool_call>', call("f", '""'))
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": "{\\"a\\',
    call("f", '{"a'),
    broken='<tool_call>{"name": "f", "arguments": "{\\"a\\',
)
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
    chat={"messages": []},
    content='<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
)
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
    chat={**CHAT, "tool_choice": "none"},
    content='<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>',
)
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": {"a": tru}}</tool_call>',
    call("f", '{"a": tru}'),
    broken='<tool_call>{"name": "f", "arguments": {"a": tru}}</tool_call>',
)

for name, open_, close in (
    ("jamba", "<tool_calls>", "</tool_calls>"),
    ("hunyuan_a13b", "<tool_calls>", "</tool_calls>"),
    ("granite", "<|tool_call|>", ""),
    ("granite", "<tool_call>", ""),
    ("phi4_mini_json", "functools", ""),
    ("mistral", "[TOOL_CALLS] ", ""),
    ("xlam", "", ""),
    ("xlam", "[TOOL_CALLS]", ""),
):
    two = '[{"name": "f", "arguments": %s}, {"name": "g", "arguments": {}}]' % TRICKY
    case(name, open_ + two + close, call("f", TRICKY), call("g", "{}"))
    if open_:
        case(
            name,
            "I look.\n\n" + open_ + two + close,
            call("f", TRICKY),
            call("g", "{}"),
            content="I look.",
        )
    case(
        name,
        open_ + '[{"name": "f", "arguments": {"a": {"b": "c"}}}' + close,
        call("f", '{"a": {"b": "c"}}'),
    )
    case(
        name,
        open_ + "[1, 2]" + close,
        content=open_ + "[1, 2]" + close,
        broken=open_ + "[1, 2]" + close,
    )

case(
    "granite-20b-fc",
    '<function_call> {"name": "f", "arguments": {"a": 1}} <function_call> '
    '{"name": "g", "arguments": {"b": "}"}}',
    call("f", '{"a": 1}'),
    call("g", '{"b": "}"}'),
)
case(
    "gigachat3",
    'Hm.<|message_sep|>\n\nfunction call<|role_sep|>\n{"name": "f", "arguments": {"a": 1}}',
    call("f", '{"a": 1}'),
    content="Hm.",
)
case("gigachat3", '<|function_call|>{"name": "f", "arguments": {"a": 1}}', call("f", '{"a": 1}'))
case(
    "apertus",
    'So <|tools_prefix|>[{"f": {"a": "{"}}, {"g": {}}]<|tools_suffix|>',
    call("f", '{"a": "{"}'),
    call("g", "{}"),
    content="So",
)
case(
    "apertus",
    '<|tools_prefix|>[{"f": {"a": 1}, "g": {"b": 2}}]<|tools_suffix|>',
    call("f", '{"a": 1}'),
    call("g", '{"b": 2}'),
)
case(
    "apertus",
    "<|tools_prefix|>[]<|tools_suffix|>",
    content="<|tools_prefix|>[]<|tools_suffix|>",
    broken="<|tools_prefix|>[]<|tools_suffix|>",
)

case(
    "apertus",
    '<|tools_prefix|>[{"f": 1, "g": {}}]<|tools_suffix|>',
    call("f", "1"),
    call("g", "{}"),
)
case(
    "hermes",
    '<tool_call>{"name": "f", "arguments": , "x": 1}</tool_call>',
    content='<tool_call>{"name": "f", "arguments": , "x": 1}</tool_call>',
    broken='<tool_call>{"name": "f", "arguments": , "x": 1}</tool_call>',
)

for name in ("llama3_json", "llama4_json"):
    case(name, '{"name": "f", "parameters": {"a": "b"}}', call("f", '{"a": "b"}'))
    case(
        name,
        ' {"name": "f", "parameters": %s}; {"name": "g", "parameters": {"q": 1}}' % TRICKY,
        call("f", TRICKY),
        call("g", '{"q": 1}'),
    )
    case(
        name,
        '<|python_tag|>{"type": "function", "name": "f", "parameters": {"a": "b"}}',
        call("f", '{"a": "b"}'),
    )
    case(
        name,
        'Sure. {"name": "f", "parameters": {}}',
        content='Sure. {"name": "f", "parameters": {}}',
    )
    case(
        name,
        '{"name": "Alice", "age": 3} is JSON',
        content='{"name": "Alice", "age": 3} is JSON',
        broken='{"name": "Alice", "age": 3} is JSON',
    )
    case(
        name,
        "<|python_tag|>print(1)",
        content="<|python_tag|>print(1)",
        broken="<|python_tag|>print(1)",
    )
    case(
        name,
        '{"name": "f", "parameters": {"a": 1}} and more',
        call("f", '{"a": 1}'),
        content="and more",
    )
    case(name, "{", content="{", broken="{")
