# SPDX-License-Identifier: Apache-2.0
"""cases_named - the name of a call, then its arguments as JSON."""

from dialect_case import PARIS, TRICKY, Cases, call

cases = Cases()
case = cases.add

V3 = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>%s\n```json\n%s\n```<｜tool▁call▁end｜>"
V31 = "<｜tool▁call▁begin｜>%s<｜tool▁sep｜>%s<｜tool▁call▁end｜>"
for name, shape in (("deepseek_v3", V3), ("deepseek_v31", V31)):
    b, e = "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"
    case(name, b + shape % ("f", PARIS) + e, call("f", PARIS))
    case(
        name,
        "Yes.\n" + b + shape % ("f", TRICKY) + "\n" + shape % ("g", "{}") + e,
        call("f", TRICKY),
        call("g", "{}"),
        content="Yes.",
    )
    case(name, b + shape % ("f", '{"a": 1}') + e + "after", call("f", '{"a": 1}'), content="after")
    case(name, b + "what?" + e, content=b + "what?" + e, broken=b + "what?" + e)
    case(
        name,
        b + shape % ("f", '{"a": ') + e,
        call("f", '{"a": ' + ("\n```" if "json" in shape else "")),
        broken=b + shape % ("f", '{"a": ') + e,
    )
    case(name, "2 < 3 and <｜ alone", content="2 < 3 and <｜ alone")

K = "<|tool_call_begin|>%s<|tool_call_argument_begin|>%s<|tool_call_end|>"
kb, ke = "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"
case(
    "kimi_k2",
    "ok " + kb + K % (" functions.get_weather:0 ", PARIS) + K % ("functions.a.b:12", TRICKY) + ke,
    call("get_weather", PARIS, "functions.get_weather:0"),
    call("a.b", TRICKY, "functions.a.b:12"),
    content="ok",
)
case("kimi_k2", kb + K % ("f", "{}") + ke, call("f", "{}", "f"))
case(
    "kimi_k2",
    kb + K % ("functions.f:0", "") + K % ("functions.g:1", "") + ke,
    call("f", "{}", "functions.f:0"),
    call("g", "{}", "functions.g:1"),
)
case(
    "kimi_k2",
    kb + "<|tool_call_begin|>functions.f:0<|tool_call_end|>" + ke,
    content=kb + "<|tool_call_begin|>functions.f:0<|tool_call_end|>" + ke,
    broken=kb + "<|tool_call_begin|>functions.f:0<|tool_call_end|>" + ke,
)
case("mistral", "[TOOL_CALLS]f[ARGS]" + PARIS, call("f", PARIS))
case(
    "mistral",
    "Now:[TOOL_CALLS]f[ARGS]" + TRICKY + '[TOOL_CALLS]g{"b": 2}',
    call("f", TRICKY),
    call("g", '{"b": 2}'),
    content="Now:",
)
case("mistral", '[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a": 1}', call("f", '{"a": 1}'))
case("mistral", '[TOOL_CALLS]{"name": "f", "arguments": {"a": 1}}', call("f", '{"a": 1}'))
case("mistral", "[TOOL_CALLS]", content="[TOOL_CALLS]", broken="[TOOL_CALLS]")
case("mistral", "[TOOL", content="[TOOL")
