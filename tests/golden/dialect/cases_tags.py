# SPDX-License-Identifier: Apache-2.0
"""cases_tags - calls with a tag for each argument."""

from dialect_case import CHAT, Cases, call

cases = Cases()
case = cases.add


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
