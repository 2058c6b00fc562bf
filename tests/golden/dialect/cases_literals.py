# SPDX-License-Identifier: Apache-2.0
"""cases_literals - calls in the syntax of Python, and objects with bare keys."""

from dialect_case import CHAT, Cases, call

cases = Cases()
case = cases.add

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
