# SPDX-License-Identifier: Apache-2.0
"""cases_families - syntax that one family of models has alone."""

from dialect_case import CHAT, PARIS, TRICKY, Cases, call

cases = Cases()
case = cases.add

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
