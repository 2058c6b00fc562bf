#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_dialect.py - writes cases.json beside itself; make_tokenizer.py writes its tokenizer.json.

A case is an output of a model, written by hand from the syntax that the model was taught, and the
message that it stands for, written by hand as well: content, reasoning, calls with their arguments
as they are streamed.  What the arguments are for an output that is read as a whole comes from
Python's json.  A broken case names the content that is left of it as a whole.
"""

import json
import os

HERE = os.path.dirname(os.path.abspath(__file__))
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
cases = []


def call(name, args, id=None):
    return {"name": name, "arguments": args, **({"id": id} if id else {})}


def case(tools, text, *calls, content="", reasoning="", think=None, broken=None, **more):
    """broken: the content that is left where the output is read as a whole."""
    c = {
        "tools": tools,
        "thinking": think,
        "text": text,
        "content": content,
        "reasoning": reasoning,
        "calls": list(calls),
        **more,
    }
    if broken is None:
        c["whole"] = {
            "content": content,
            "calls": [json.dumps(json.loads(k["arguments"]), ensure_ascii=False) for k in calls],
        }
    else:
        c["whole"] = {"content": broken, "calls": []}
    cases.append(c)


PARIS = '{"city":"Paris",  "n": [1, 2.50, {"x": null}]}'
TRICKY = (
    '{"city": "a \\"quoted\\" </tool_call> } ] <|call|> \\u00e9\\n", "k": {"z": "[TOOL_CALLS]"}}'
)

# ---- JSON objects between markers -----------------------------------------------------------
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

# ---- A name, then JSON ----------------------------------------------------------------------
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


# ---- Tags -----------------------------------------------------------------------------------
def tags(f, **kw):
    return (
        "<function=%s>\n" % f
        + "".join("<parameter=%s>\n%s\n</parameter>\n" % kv for kv in kw.items())
        + "</function>"
    )


ALL = {
    "city": "Par\"is\n\n",
    "days": " 3 ",
    "temp": "5.0",
    "wet": "True",
    "where": '{"a":[1,2]}',
    "tags": "[1,",
    "maybe": "null",
    "either": "x7",
    "unit": "f",
    "any": '{"q":1.0}',
    "new": "12",
    "free": "1",
}
WANT = (
    '{"city": "Par\\"is\\n\\n", "days": 3, "temp": 5, "wet": true, "where": {"a": [1, 2]}, '
    '"tags": "[1,", "maybe": null, "either": "x7", "unit": "f", "any": {"q": 1.0}, '
    '"new": "12", "free": "1"}'
)
for name, b, e in [
    (n, "<tool_call>", "</tool_call>")
    for n in ("qwen3_coder", "qwen3_xml", "mimo", "nemotron_v3", "step3p5")
] + [("seed_oss", "<seed:tool_call>", "</seed:tool_call>")]:
    case(
        name,
        "I try.\n" + b + "\n" + tags("get_weather", **ALL) + "\n" + e,
        call("get_weather", WANT),
        content="I try.",
        chat=CHAT,
    )
    case(
        name,
        b + tags("f", a="x<y>&</b>\u00e9\t\\") + e + "\n" + b + tags("g") + e,
        call("f", '{"a": "x<y>&</b>\u00e9\\t\\\\"}'),
        call("g", "{}"),
    )
    case(name, tags("get_weather", days="-07"), call("get_weather", '{"days": -7}'), chat=CHAT)
    case(
        name,
        b + "<function=f><parameter=a>1<parameter=b>2</function>" + e,
        call("f", '{"a": "1", "b": "2"}'),
    )
    case(
        name,
        b + "\n<function=f>\n<parameter=a>\ncut sho",
        call("f", '{"a": "cut sho"}'),
        broken=b + "\n<function=f>\n<parameter=a>\ncut sho",
    )
    case(name, b + "hello" + e, content=b + "hello" + e, broken=b + "hello" + e)
    case(name, b + "\n<function=f", content=b + "\n<function=f", broken=b + "\n<function=f")
    case(name, "a <func b </parameter> c", content="a <func b </parameter> c")


def invoke(f, p="", attr="", **kw):
    return (
        '<%sinvoke name="%s">\n' % (p, f)
        + "".join(
            '<%sparameter name="%s"%s>%s</%sparameter>\n' % (p, k, attr, v, p)
            for k, v in kw.items()
        )
        + "</%sinvoke>" % p
    )


for name, b, e, p in (
    ("minimax_m2", "<minimax:tool_call>\n", "\n</minimax:tool_call>", ""),
    ("dots", "<dots_function_call>\n", "\n</dots_function_call>", ""),
    (
        "step3",
        "<｜tool_calls_begin｜><｜tool_call_begin｜>function<｜tool_sep｜>",
        "<｜tool_call_end｜><｜tool_calls_end｜>",
        "steptml:",
    ),
):
    case(
        name,
        "Hm. "
        + b
        + invoke("get_weather", p, **{**ALL, "city": "  New York \n"})
        + "\n"
        + invoke("g", p)
        + e,
        call("get_weather", WANT.replace('Par\\"is\\n\\n', "  New York \\n")),
        call("g", "{}"),
        content="Hm.",
        chat=CHAT,
    )
    case(
        name,
        b + invoke("f", p, a="a  b <i>\n c") + e + "x",
        call("f", '{"a": "a  b <i>\\n c"}'),
        content="x",
    )
    case(
        name,
        b + "<%sinvoke name='f'><%sparameter name=a>q" % (p, p),
        call("f", '{"a": "q"}'),
        broken=b + "<%sinvoke name='f'><%sparameter name=a>q" % (p, p),
    )
case(
    "step3",
    "<｜tool_calls_begin｜><｜tool_call_begin｜>"
    + invoke("f", "steptml:")
    + "<｜tool_call_end｜><｜tool_sep｜><｜tool_call_begin｜>"
    + invoke("g", "steptml:", a=" x\n")
    + "<｜tool_call_end｜><｜tool_calls_end｜>",
    call("f", "{}"),
    call("g", '{"a": " x\\n"}'),
)
D = "｜DSML｜"
for name, w in (("deepseek_v32", "function_calls"), ("deepseek_v4", "tool_calls")):
    b, e = "<%s%s>\n" % (D, w), "\n</%s%s>" % (D, w)
    case(
        name,
        "So:\n\n" + b + invoke("f", D, ' string="true"', city=" 杭州 ", n="5") + e,
        call("f", '{"city": " 杭州 ", "n": "5"}'),
        content="So:",
    )
    case(
        name,
        b + invoke("f", D, ' string="false"', n="5", m="[1,2]", o="nope") + e,
        call("f", '{"n": 5, "m": [1, 2], "o": "nope"}'),
    )
case(
    "minicpm5",
    'Go <function name="get_weather"><param name="days">4</param><param name="city">'
    '<![CDATA[ a</param> ]]></param></function>',
    call("get_weather", '{"days": 4, "city": " a</param> "}'),
    content="Go",
    chat=CHAT,
)
case(
    "minicpm5",
    '<function name="f"></function><function name="g"><param name="x"> 1 </param></function>',
    call("f", "{}"),
    call("g", '{"x": " 1 "}'),
)

for name in ("glm45", "glm47", "ling3", "poolside_v1"):
    g = "<tool_call>%s\n%s</tool_call>"
    kv = lambda d: "".join(
        "<arg_key>%s</arg_key>\n<arg_value>%s</arg_value>\n" % x for x in d.items()
    )
    case(
        name,
        "Ok\n" + g % ("get_weather", kv({"city": "Rome", "days": "2", "where": '{"k": 1}'})),
        call("get_weather", '{"city": "Rome", "days": 2, "where": {"k": 1}}'),
        content="Ok",
        chat=CHAT,
    )
    case(
        name,
        "<tool_call>f</tool_call>\n" + g % ("g", kv({"a": "<b>\n"})),
        call("f", "{}"),
        call("g", '{"a": "<b>\\n"}'),
    )
    case(
        name,
        "<tool_call>f<arg_key>a</arg_key><arg_value>1",
        call("f", '{"a": "1"}'),
        broken="<tool_call>f<arg_key>a</arg_key><arg_value>1",
    )
    case(
        name,
        "<tool_call></tool_call>",
        content="<tool_call></tool_call>",
        broken="<tool_call></tool_call>",
    )

case(
    "qwen3_coder",
    "<tool_call>" + tags("get_weather", city="", days="", where="") + "</tool_call>",
    call("get_weather", '{"city": "", "days": "", "where": ""}'),
    chat=CHAT,
)

# ---- Python ---------------------------------------------------------------------------------
PY = (
    "f(a=1, b=\"x\\\"y\\n\\u00e9\", c='it''s', d=[1, -2.50, 1e3, True, None], "
    "e={'k': (1, 2), \"z\": {}, 3: []})",
    '{"a": 1, "b": "x\\"y\\n\u00e9", "c": "its", "d": [1, -2.5, 1000.0, true, null], '
    '"e": {"k": [1, 2], "z": {}, "3": []}}',
)
TRIPLE = (
    'g(s="""a "b" \\\n\'c\'""", t="", u=0x1F, v=007, w=1_000, x=+5, y=-0)',
    '{"s": "a \\"b\\" \'c\'", "t": "", "u": 31, "v": 7, "w": 1000, "x": 5, "y": 0}',
)
for name, b, e, li in (
    ("pythonic", "", "", True),
    ("llama4_pythonic", "<|python_start|>", "<|python_end|>", True),
    ("llama4_pythonic", "", "", True),
    ("lfm2", "<|tool_call_start|>", "<|tool_call_end|>", True),
    ("olmo3", "<function_calls>", "</function_calls>", False),
):
    wrap = lambda *c: b + ("[" + ", ".join(c) + "]" if li else "\n".join(c)) + e
    case(name, wrap(PY[0]), call("f", PY[1]))
    case(name, wrap(TRIPLE[0], "a.b()"), call("g", TRIPLE[1]), call("a.b", "{}"))
    case(name, wrap("f(1, 'pos', x=2)"), call("f", '{"x": 2}'))
    case(
        name,
        wrap("f(s=']) <|tool_call_end|> </function_calls>')"),
        call("f", '{"s": "]) <|tool_call_end|> </function_calls>"}'),
    )
    if b:
        case(name, "Well, " + wrap("f()") + "\nthen", call("f", "{}"), content="Well,then")
        case(name, b + "x + y" + e, content=b + "x + y" + e, broken=b + "x + y" + e)
    cut = wrap("f(a=[1, {'k': \"v")[: -1 - len(e)] if li else wrap("f(a=[1, {'k': \"v")[: -len(e)]
    case(name, cut, call("f", '{"a": [1, {"k": "v"}]}'), broken=cut)
    case(
        name,
        "[1, 2] is a list",
        content="[1, 2] is a list",
        **({"broken": "[1, 2] is a list"} if not b or name == "llama4_pythonic" else {})
    )
case("pythonic", "[f(a=b)]", call("f", '{"a": null}'), content=")]", broken="[f(a=b)]")
case("pythonic", "I say [f(a=1)]", content="I say [f(a=1)]")

# ---- Bare keys ------------------------------------------------------------------------------
for name, b, q, e in (
    ("gemma4", "<|tool_call>", '<|"|>', "<tool_call|>"),
    ("functiongemma", "<start_function_call>", "<escape>", "<end_function_call>"),
):
    one = b + "call:%s{%s}" + e
    s = lambda text: q + text + q
    case(name, one % ("f", ""), call("f", "{}"))
    case(
        name,
        "Ok.\n" + one % ("get_weather", "city:" + s('R"o\\me, {x:1]}\n') + ",days:3,temp: 5.5 ,wet:true"),
        call("get_weather", '{"city": "R\\"o\\\\me, {x:1]}\\n", "days": 3, "temp": 5.5, "wet": true}'),
        content="Ok.",
    )
    case(
        name,
        one % ("a.b-c", "o:{p:{q:" + s("v") + "},r:[" + s("1") + ", 2,[null],{}]},n:-1,w:a b,e:[]")
        + one % ("g", s("k") + ":False"),
        call(
            "a.b-c",
            '{"o": {"p": {"q": "v"}, "r": ["1", 2, [null], {}]}, "n": -1, "w": "a b", "e": []}',
        ),
        call("g", '{"k": false}'),
    )
    case(
        name,
        one % ("get_weather", "days:%s,city:%s,where:%s,any:x" % (s(" 7 "), s("7"), s('{"a":[1]}'))),
        call("get_weather", '{"days": 7, "city": "7", "where": {"a": [1]}, "any": "x"}'),
        chat=CHAT,
    )
    case(name, one % ("f", "a:1") + " and so on", call("f", '{"a": 1}'), content="and so on")
    for cut, args in (
        ("a:" + q + "no e", '{"a": "no e"}'),
        ("a:{b:[1,2", '{"a": {"b": [1, 2]}}'),
        ("a:", '{"a": null}'),
        ("a:1,bc", '{"a": 1}'),
    ):
        case(name, b + "call:f{" + cut, call("f", args), broken=b + "call:f{" + cut)
        if q not in cut:
            case(
                name,
                b + "call:f{" + cut + e + "x",
                call("f", args),
                content="x",
                broken=b + "call:f{" + cut + e + "x",
            )
    case(name, one % ("f", "a:,b:1"), call("f", '{"a": null}'), content=",b:1}" + e,
         broken=one % ("f", "a:,b:1"))
    case(name, b + "hello" + e, content=b + "hello" + e, broken=b + "hello" + e)
    case(name, b + "call:f" + e, content=b + "call:f" + e, broken=b + "call:f" + e)
    case(name, b + "call:", content=b + "call:", broken=b + "call:")
    case(name, "call:f{a:1} is text", content="call:f{a:1} is text")

# ---- Command: objects with a key of their own -------------------------------------------------
for name, o, c in (
    ("cohere_command3", "<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    ("cohere_command4", "<|START_TEXT|>", "<|END_TEXT|>"),
):
    two = '[\n    {"tool_call_id": "0", "tool_name": "f", "parameters": %s},\n' % TRICKY
    two = "<|START_ACTION|>" + two + '    {"tool_name": "g", "parameters": {}}\n]<|END_ACTION|>'
    case(name, two, call("f", TRICKY), call("g", "{}"))
    case(
        name,
        "<|START_THINKING|>I will look.<|END_THINKING|>" + two,
        call("f", TRICKY),
        call("g", "{}"),
        reasoning="I will look.",
        think=name,
    )
    case(
        name,
        "<|START_THINKING|>Hm.<|END_THINKING|>" + o + "So <b>it</b> is." + c,
        content="So <b>it</b> is.",
        reasoning="Hm.",
        think=name,
    )
    case(name, o + "So." + c, content="So.")
    broken = '<|START_ACTION|>[{"name": "f", "parameters": {}}]<|END_ACTION|>'
    case(name, broken, content=broken, broken=broken)

# ---- Kimi K3 ----------------------------------------------------------------------------------
arg = lambda k, t, v: (
    '<|open|>argument key="%s" type="%s"<|sep|>%s<|close|>argument<|sep|>' % (k, t, v)
)
k3 = lambda f, i, *a: (
    '<|open|>call tool="%s" index="%d"<|sep|>' % (f, i) + "".join(a) + "<|close|>call<|sep|>"
)
o3, c3 = "<|open|>tools<|sep|>", "<|close|>tools<|sep|>"
r3 = "<|open|>response<|sep|>%s<|close|>response<|sep|>"
done3 = "<|close|>message<|sep|>"
case(
    "kimi_k3",
    "why<|close|>think<|sep|>"
    + r3 % "I look."
    + o3
    + k3("f", 1, arg("a", "string", ' 1 <b> "q"\n'), arg("n", "number", "1.50"))
    + k3("g", 2)
    + c3
    + done3,
    call("f", '{"a": " 1 <b> \\"q\\"\\n", "n": 1.5}'),
    call("g", "{}"),
    reasoning="why",
    content="I look.",
    think="kimi_k3",
)
case(
    "kimi_k3",
    o3 + k3("f", 1, arg("o", "object", '{"a":[1]}'), arg("b", "boolean", "true"),
            arg("z", "null", "null"), arg("l", "array", "[1,")) + c3,
    call("f", '{"o": {"a": [1]}, "b": true, "z": null, "l": "[1,"}'),
)
case("kimi_k3", r3 % "Just <|open|> text." + done3, content="Just <|open|> text.")
case(
    "kimi_k3",
    o3 + k3("f", 1, arg("a", "string", "cut")).split("t<|close|>")[0],
    call("f", '{"a": "cu"}'),
    broken=o3 + k3("f", 1, arg("a", "string", "cut")).split("t<|close|>")[0],
)
case("kimi_k3", o3 + "x" + c3, content=o3 + "x" + c3, broken=o3 + "x" + c3)
case(
    None,
    r3 % "No tools.",
    content="No tools.",
    think="kimi_k3",
    chat={**CHAT, "chat_template_kwargs": {"thinking": False}},
)

# ---- Hunyuan 3 --------------------------------------------------------------------------------
hy = lambda f, **kw: (
    "<tool_call>%s<tool_sep>\n" % f
    + "".join("<arg_key>%s</arg_key>\n<arg_value>%s</arg_value>\n" % x for x in kw.items())
    + "</tool_call>\n"
)
case(
    "hy_v3",
    "Ok\n<tool_calls>\n" + hy("get_weather", city=" Rome", days="2", tags="[1]") + hy("g")
    + "</tool_calls>",
    call("get_weather", '{"city": " Rome", "days": 2, "tags": [1]}'),
    call("g", "{}"),
    content="Ok",
    chat=CHAT,
)
case("hy_v3", "<tool_calls>" + hy("g") + "</tool_calls>\nx", call("g", "{}"), content="x")
case(
    "hy_v3",
    "<tool_calls><tool_call>f<tool_sep><arg_key>a</arg_key><arg_value>1",
    call("f", '{"a": "1"}'),
    broken="<tool_calls><tool_call>f<tool_sep><arg_key>a</arg_key><arg_value>1",
)
case("hy_v3", "<tool_call>f</tool_call>", content="<tool_call>f</tool_call>")
case("hy_v3", "<tool_calls>f</tool_calls>", content="<tool_calls>f</tool_calls>",
     broken="<tool_calls>f</tool_calls>")
case(None, "<think>a</think>b", content="b", reasoning="a", think="hy_v3")

# ---- Inkling: blocks of kinds -----------------------------------------------------------------
M, E = "<|message_model|>", "<|end_message|>"
I = "<|content_invoke_tool_json|>"
case(
    "inkling",
    "<|content_thinking|>hm" + E + M + "<|content_text|>I look. " + E + M + "get_weather" + I
    + '{"name":"f","args":%s}' % TRICKY + E + M + "<|content_thinking|>so" + E
    + M + I + '{"name": "g", "args": {}}' + E + M + "<|content_text|>Done." + E
    + "<|content_model_end_sampling|>",
    call("f", TRICKY),
    call("g", "{}"),
    reasoning="hmso",
    content="I look.Done.",
    think="inkling",
)
case("inkling", "<|content_text|> a " + E, content=" a ", think="inkling")
case("inkling", "no blocks", content="no blocks", broken="no blocks")
case("inkling", "text", content="text", prompt=M + "<|content_text|>")
case("inkling", "f" + I + "no json" + E, content=I + "no json", broken="f" + I + "no json" + E)

# ---- Llama 4 in JSON --------------------------------------------------------------------------
case(
    "llama4_json",
    '<|python_start|>{"name": "f", "parameters": {"a": 1}}<|python_end|>',
    call("f", '{"a": 1}'),
)

# ---- Harmony --------------------------------------------------------------------------------
A, F = "<|channel|>analysis<|message|>", "<|channel|>final<|message|>"
C = "<|channel|>commentary to=functions.%s <|constrain|>json<|message|>%s<|call|>"
N = "<|start|>assistant"
case(
    "openai",
    A + "Think.<|end|>" + N + F + "Hello\n<|return|>",
    content="Hello\n",
    reasoning="Think.",
)
case(
    "openai",
    A + "T<|end|>" + N + C % ("get_weather", PARIS),
    call("get_weather", PARIS),
    reasoning="T",
)
case(
    "openai",
    N
    + " to=functions.f<|channel|>commentary json<|message|>"
    + TRICKY.replace("<|call|>", "|")
    + "<|call|>",
    call("f", TRICKY.replace("<|call|>", "|")),
)
case(
    "openai",
    "<|channel|>commentary<|message|>I will look.<|end|>"
    + N
    + C % ("f", "{}")
    + N
    + C % ("g", "{}"),
    call("f", "{}"),
    call("g", "{}"),
    content="I will look.",
)
case(
    "openai",
    A + "one<|end|>" + N + "<|channel|>analysis to=python code<|message|>1+1<|call|>" + N + F + "2",
    content="2",
    reasoning="one1+1",
)
case(
    "openai",
    "<|channel|>commentary to=browser.search<|message|>q<|call|>" + N + F + "2",
    content="2",
    reasoning="q",
)
case("openai", F + "cut", content="cut")
case("openai", "<|channel|>ana", content="")
case("openai", "no header at all", content="no header at all", broken="no header at all")
case(
    "openai",
    C.replace("<|call|>", "") % ("f", '{"a": '),
    call("f", '{"a": '),
    broken=C.replace("<|call|>", "") % ("f", '{"a": '),
)
case("openai", F + "hi<|end|> there", content="hithere")
case(
    "openai",
    "<|channel|>commentary<|message|> I look. \n<|end|>" + N + C % ("f", "{}") + N + F + " so ",
    call("f", "{}"),
    content=" I look. \n so ",
)
case("openai", A + "T<|end|>\n" + N + F + "hi", content="hi", reasoning="T")
case(None, A + "T<|end|>" + N + F + "hi", content="hi", reasoning="T", think="openai_gptoss")

# ---- Gemma's channel --------------------------------------------------------------------------
case(None, "<|channel>thought\nhm\n<channel|>yes", content="yes", reasoning="hm\n", think="gemma4")
case(None, "<|channel>hm<channel|>yes", content="yes", reasoning="hm", think="gemma4")
case(None, "yes", content="yes", think="gemma4")
case(
    "gemma4",
    "<|channel>thought\nhm<|tool_call>call:f{}<tool_call|>",
    call("f", "{}"),
    reasoning="hm",
    think="gemma4",
)

# ---- Reasoning ------------------------------------------------------------------------------
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

with open(os.path.join(HERE, "cases.json"), "w", encoding="utf-8") as f:
    json.dump({"chat": CHAT, "cases": cases}, f, ensure_ascii=False, indent=0)
    f.write("\n")
print(len(cases), "cases")
