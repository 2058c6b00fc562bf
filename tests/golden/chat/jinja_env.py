# SPDX-License-Identifier: Apache-2.0
# Jinja2 as transformers sets it up for chat templates, with a fixed clock.
import datetime
import json
import pickle
import re

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1718454896
CONSTS = {"bos_token": "<s>", "eos_token": "</s>"}


class Generation(jinja2.ext.Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    @jinja2.pass_eval_context
    def _body(self, context, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


class Dict:
    def __call__(self, *args, **kwargs):
        return dict(*args, **kwargs)

    def __repr__(self):
        return "<class 'dict'>"


class Namespace(jinja2.utils.Namespace):
    __module__ = "jinja2.utils"

    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attrs = dict(*args, **kwargs)
        for name in attrs:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attrs)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals.update(raise_exception=refuse, dict=Dict(), namespace=Namespace)
    env.globals["strftime_now"] = lambda f: datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(f)
    return env


ENV = environment()


def tells_place(text):
    """Whether the text may hold an object's place in memory, perhaps reversed, cut or as a list: no two runs agree."""
    return re.search("0x7|7x0", re.sub("[^a-z0-9]", "", text.lower())) is not None


PICKLED = {}


def variables(data):
    """A copy of data, quicker than copy.deepcopy()."""
    if PICKLED.get("of") is not data:
        PICKLED.update(of=data, bytes=pickle.dumps({**CONSTS, **data}))
    return pickle.loads(PICKLED["bytes"])


def expected(template, data):
    """The text, or None where rendering raises; places in memory are all the one that we write.

    The filter indent changes lists, so each template gets its own; and what raises need not be told in the template's lines."""
    try:
        compiled = ENV.from_string(template)
        out = "".join(compiled.root_render_func(compiled.new_context(variables(data))))
        out.encode()
        return re.sub(r"0([xX])[0-9a-fA-F]{12}\b", r"0\g<1>7f0000000000", out)
    except Exception:
        return None
