# SPDX-License-Identifier: Apache-2.0
# Small random templates that use what Jinja2 has: expressions with values of fitting types (mostly),
# filters, tests, methods, statements, scopes, whitespace control.
DATA = {
    "s": "Hello, World", "e": "", "u": "naïve Straße ΣΑΣ 日本語 🙂 ǆ", "m": " a\tb \n\nc\u3000", "q": "it's \"q\" \\ <b>&amp;",
    "i": 7, "z": 0, "n": -3, "big": 9007199254740993, "f": 2.5, "g": -0.001, "h": 1e16, "t": True, "no": False, "none_": None, "huge": 123456789012345678901234567890,
    "l": [3, 1, 2, 1], "ls": ["b", "A", "c", "a"], "el": [], "mix": [1, "a", None, 2.0, True, [1], {"k": "v"}],
    "d": {"a": 1, "b": "two", "items": [1, 2], "c": {"x": [10, 20], "y": None}}, "ed": {},
    "users": [{"name": "Zoe", "age": 30, "tags": ["x", "y"]}, {"name": "adam", "age": 25, "tags": []}, {"name": "Bob", "age": 30, "extra": {"k": 1}}],
    "messages": [{"role": "system", "content": "Be nice"}, {"role": "user", "content": "Hi\nthere "},
                 {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": {"x": 1, "y": [True, None, 1.5, "é"]}}}]},
                 {"role": "tool", "content": "42", "tool_call_id": "c1"}],
}
STR = ["s", "e", "u", "m", "q", "'abc'", "'a b c'", "'x'", "\"it's\"", "'é\\n'", "'1,2,,3'", "'42'", "' 3.7 '", "'0x1f'", "'ab' 'cd'", "messages[0].content", "d.b", "'%s-%d'", "'{} {}'", "'<a>&'", "'tEST word-two (x'", "'see http://a.com/x?y=1&z, (www.b.org) or me@c.de.'", "'one two-three well-known--yes a/b 100%'", "'<p>a &amp; b</p> <!-- c --> d'", "'Straße ΣΑΣ ﬁ ǅ'"]
INT = ["i", "z", "n", "0", "1", "2", "3", "-1", "10", "100", "l[0]", "l|length", "big % 10", "1_000", "0x10", "huge", "-huge", "2 ** 70", "18446744073709551616", "0xffffffffffffffffff"]
FLT = ["f", "g", "h", "1.0", "0.5", "2.675", "1e3", "1e-7", "3.14159", "-2.5"]
LST = ["l", "ls", "el", "mix", "users", "messages", "[1, 2, 3]", "['x', 'y']", "[[1, 'a'], [2, 'b']]", "(1, 2)", "('a',)", "()", "range(4)", "range(5, 0, -2)", "d.c.x", "d['items']", "l[1:]", "ls[::-1]", "s.split()", "'a,b,c'.split(',')", "users|map(attribute='age')|list"]
DCT = ["d", "ed", "{'k': 1}", "{'a': [1], 'b': none}", "users[0]", "messages[1]", "dict(a=1, b=2)", "{1: 'x', 'y': 2, none: 3}", "d.c"]
MISC = ["none", "true", "false", "none_", "t", "no", "missing", "d.nope", "d['no']", "l[99]", "bos_token", "(d.items is callable)", "(range is callable)", "namespace(a=1)", "loop", "dict"]
STR_FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "string", "safe", "escape", "e", "reverse", "list", "first", "last", "wordcount", "tojson", "int", "float", "default('d')",
               "replace('l', 'L')", "replace('a', '', 1)", "indent", "indent(2, true)", "indent('> ', first=true, blank=true)", "truncate(5)", "truncate(8, true, '!')", "center(20)", "join('-')", "format(1, 'x')", "format('a')", "forceescape",
               "trim('ab ')", "urlencode", "striptags", "urlize", "urlize(12, true)", "wordwrap(5)", "wordwrap(4, false)", "wordwrap(6, wrapstring='|')", "pprint", "int(5)", "int(base=16)", "float(1.5)", "random|length", "sort|join", "unique|join", "batch(3)|list", "slice(2)|list", "d('x', true)", "count", "select|list", "map('upper')|join(',')", "replace(old='o', new='0')", "indent(width=3)", "indent(s)"]
INT_FILTERS = ["abs", "string", "float", "int", "round", "round(1)", "round(2, 'floor')", "round(0, 'ceil')", "tojson", "filesizeformat", "filesizeformat(true)", "default(3)", "upper", "round(-1)", "center(6)", "trim", "pprint", "urlencode"]
LST_FILTERS = ["length", "list", "first", "last", "join", "join(', ')", "join('|', attribute='name')", "sort", "sort(reverse=true)", "sort(attribute='age')", "sort(attribute='age,name')", "sort(case_sensitive=true)", "unique|list", "min", "max", "sum", "sum(attribute='age')", "reverse|list",
               "tojson", "tojson(indent=2)", "map('upper')|list", "map(attribute='name')|list", "map(attribute='name', default='?')|join(',')", "selectattr('age')|list", "selectattr('age', 'equalto', 30)|map(attribute='name')|list", "rejectattr('role', '==', 'user')|list|length",
               "select('odd')|list", "reject('none')|list", "select('string')|list", "batch(2, 0)|list", "slice(2, 'z')|list", "groupby('age')|list", "groupby('role', default='x')|map('first')|list", "string", "count", "max(attribute='age')", "map('length')|list", "map('string')|join('/')", "select|list", "reject|list",
               "items|list", "dictsort", "tojson(separators=(',', ':'))", "tojson(ensure_ascii=true)", "map(attribute='tags.0')|list", "unique(attribute='age')|list|length", "sum(start=10)", "default([])", "groupby('age')|map(attribute='list')|map('length')|list", "map('int')|sum", "last|string", "first|string", "pprint", "random is defined", "map(attribute=0)|list", "select('in', [1, 2])|list", "selectattr('extra.k', 'defined')|list|length"]
DCT_FILTERS = ["length", "list", "items|list", "dictsort", "dictsort(reverse=true)", "dictsort(by='value')", "tojson", "tojson(indent=4)", "tojson(sort_keys=true)", "tojson(indent=1, separators=(', ', ' = '))", "first", "last", "join(',')", "urlencode", "xmlattr", "xmlattr(false)", "pprint", "string", "map('upper')|list", "default({})", "attr('a')", "count", "tojson(2)", "reverse|list", "items|map('join', ':')|list", "items|first", "sort", "max", "dictsort(false, 'value')|first"]
STR_METHODS = ["upper()", "lower()", "strip()", "lstrip()", "rstrip()", "strip('Hd')", "split()", "split(',')", "split(' ', 1)", "split('o', maxsplit=1)", "rsplit(None, 1)", "rsplit('l', 1)", "replace('l', 'L')", "replace('l', '', 1)", "startswith('He')", "endswith(('d', 'x'))", "find('o')", "rfind('o')", "find('zz')",
               "count('l')", "index('W')", "title()", "capitalize()", "swapcase()", "splitlines()", "splitlines(true)", "join(ls)", "join(l)", "removeprefix('He')", "removesuffix('ld')", "zfill(20)", "ljust(15, '.')", "rjust(15)", "center(15, '*')", "partition(' ')", "rpartition('l')", "isdigit()", "isalpha()", "isalnum()", "isupper()",
               "islower()", "isspace()", "istitle()", "format(1, 'b')", "expandtabs(4)", "startswith('l', 2)", "count('')", "replace('', '-')", "find('l', -3)", "isascii()", "casefold()", "isidentifier()", "isprintable()", "isdecimal()", "isnumeric()", "nope()", "strip(1)", "__class__", "format(a=1)", "split('')"]
DCT_METHODS = ["items()", "keys()", "values()", "get('a')", "get('zz')", "get('zz', 5)", "items()|list", "keys()|list", "values()|list", "copy()", "a", "b", "nope", "update({'x': 1})", "pop('a')", "setdefault('k', 1)", "get(['x'])", "items()|length", "keys()|join(',')", "__class__", "clear", "get('a', default=1)"]
LST_METHODS = ["append(1)", "index(1)", "count(1)", "copy()", "pop()", "0", "1", "extend([1])", "nope", "__len__", "index('zzz')"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "true", "false", "mapping", "sequence", "iterable", "callable", "odd", "even", "divisibleby(3)", "divisibleby 2", "eq(1)", "equalto('x')", "ne 1", "gt(1)", "lt 5", "ge(2)", "le 2", "in([1, 2, 'abc'])", "in l", "upper", "lower", "sameas(none)", "sameas(true)", "escaped",
         "filter", "test", "greaterthan(2)", "lessthan 2.5", "not defined", "not none", "not in ['x']"]
FORMATS = ["'%s' % s", "'%d' % i", "'%5.2f|%-5s|%05d' % (f, 'x', i)", "'%r %r' % (q, l)", "'%x %X %o' % (255, 255, 8)", "'%e %g %G' % (f, h, g)", "'%s %s' % (1,)", "'%(a)s' % {'a': 1}", "'%%' % ()", "'%c' % 'x'", "'%+d % d' % (1, 2)", "'%s' % (l,)", "'%s' % none", "'%d' % 2.7", "'%#x' % 255", "'%.3s|' % s", "'%*d' % (5, 3)",
           "'{0} {1} {0}'.format(1, 2)", "'{a} {b!r}'.format(a=1, b='x')", "'{:>5}|{:<5}|{:^5}'.format(1, 'a', 'b')", "'{:05d} {:+.2f} {:,}'.format(42, 3.14159, 1234567)", "'{0[a]} {0.b}'.format({'a': 1})", "'{:x} {:#b} {:.1%}'.format(255, 5, 0.256)", "'{{}} {}'.format(1)", "'{:e} {:g} {:.3g}'.format(12345.678, 0.0001, 1234.5)", "'{:*^9}'.format('mid')"]


class Gen:
    def __init__(self, rng):
        self.rng = rng
        self.names = []
        self.macros = 0

    def pick(self, items):
        return self.rng.choice(items)

    def atom(self, kind):
        return self.pick({"s": STR, "i": INT, "f": FLT, "l": LST, "d": DCT, "m": MISC}[kind])

    def kind(self):
        return self.pick("sssssiiifflllllddddm")

    def expr(self, depth=0, kind=None):
        rng = self.rng
        kind = kind or self.kind()
        if self.names and rng.random() < 0.12:
            return self.pick(self.names)
        if depth > 2 or rng.random() < 0.25:
            return self.atom(kind)
        r = rng.random()
        if r < 0.3:
            base = self.expr(depth + 1, kind)
            table = {"s": STR_FILTERS, "i": INT_FILTERS, "f": INT_FILTERS, "l": LST_FILTERS, "d": DCT_FILTERS, "m": STR_FILTERS + LST_FILTERS + DCT_FILTERS + INT_FILTERS}[kind]
            if rng.random() < 0.05:
                table = STR_FILTERS + LST_FILTERS + DCT_FILTERS + INT_FILTERS
            return self.paren(base) + "|" + self.pick(table)
        if r < 0.45:
            base = self.paren(self.expr(depth + 1, kind))
            if kind == "s":
                return base + "." + self.pick(STR_METHODS)
            if kind == "d":
                return base + "." + self.pick(DCT_METHODS)
            if kind == "l":
                return self.index(base, depth) if rng.random() < 0.75 else base + "." + self.pick(LST_METHODS)
            return base
        if r < 0.52:
            return self.index(self.paren(self.expr(depth + 1, self.pick("slld"))), depth)
        if r < 0.64:
            a, b = self.pick(["ii", "if", "fi", "ff", "ss", "ll", "si", "li", "is", "sm", "mi"])
            ops = "+-*/%" if rng.random() < 0.05 or a + b in ("ii", "if", "fi", "ff") else "+" if a == b else "*~"
            op = self.pick(ops)
            op = op * 2 if op in "*/" and a in "if" and rng.random() < 0.3 else op
            if op == "**":      # negative numbers have complex powers, which are not built
                return f"({self.expr(depth + 1, a)})|abs ** {self.pick(INT[3:10] + FLT[3:7])}"
            return f"{self.paren(self.expr(depth + 1, a))} {op} {self.paren(self.expr(depth + 1, b))}"
        if r < 0.70:
            return f"{self.paren(self.expr(depth + 1))} ~ {self.paren(self.expr(depth + 1))}"
        if r < 0.78:
            k = self.pick("ssiifll")
            op = self.pick(["==", "!=", "<", "<=", ">", ">=", "in", "not in"])
            k2 = "l" if "in" in op and rng.random() < 0.7 else k if rng.random() < 0.9 else self.kind()
            out = f"{self.paren(self.expr(depth + 1, k))} {op} {self.paren(self.expr(depth + 1, k2))}"
            return out + (f" {self.pick(['<', '==', '>='])} {self.expr(depth + 1, k)}" if rng.random() < 0.15 else "")
        if r < 0.86:
            return f"{self.paren(self.expr(depth + 1))} is {self.pick(TESTS)}"
        if r < 0.90:
            sign = self.pick(["not ", "-", "+", "not not "])
            return sign + self.brackets(self.expr(depth + 1, self.pick("if") if sign in "-+" and rng.random() < 0.9 else None))
        if r < 0.95:
            return f"{self.paren(self.expr(depth + 1))} {self.pick(['and', 'or'])} {self.paren(self.expr(depth + 1))}"
        if r < 0.98:
            return f"{self.expr(depth + 1)} if {self.expr(depth + 1)}" + (f" else {self.expr(depth + 1)}" if rng.random() < 0.8 else "")
        return self.pick(FORMATS)

    def paren(self, e):
        """In brackets, mostly: a name behind a filter or test would become part of its name."""
        return e if e.replace("_", "").replace(".", "").isalnum() and not e[0].isdigit() or " is " not in e and "|" not in e and self.rng.random() < 0.02 else f"({e})"

    def brackets(self, e):
        return e if e.replace("_", "").isalnum() else f"({e})"

    def index(self, base, depth):
        def part():
            return self.pick(["", "0", "1", "-1", "2", "-2", "5", "none", "i", "-100"])
        r = self.rng.random()
        if r < 0.45:
            return f"{base}[{self.expr(depth + 2, self.pick('is'))}]"
        if r < 0.8:
            return f"{base}[{part()}:{part()}]"
        return f"{base}[{part()}:{part()}:{self.pick(['', '1', '-1', '2', '-2', '0'])}]"

    def tag(self, text):
        """Signs at random."""
        return "{%" + self.pick(["", "", "-", "-", "+"]) + " " + text + " " + self.pick(["", "", "-", "-", "+"]) + "%}"

    def out(self, depth=0):
        return "{{" + self.pick(["", "", "-"]) + " " + self.expr(depth) + " " + self.pick(["", "", "-"]) + "}}"

    def text(self):
        return self.pick(["", " ", "\n", "\n  ", "x", " text ", "\n\n", "  \n", "<b>", "\t", "é\n", "{ x }", "\r\n", "{# c #}", "{#- c\n -#}", "\n  {# c #}\n", "{#-#}"])

    def target(self):
        name = self.pick(["a", "b", "v", "s", "l", "x"])
        return name

    def body(self, depth):
        return "".join(self.part(depth + 1) for _ in range(self.rng.randint(1, 2)))

    def part(self, depth=0):
        rng = self.rng
        r = rng.random()
        if depth > 2 or r < 0.22:
            return self.text()
        if r < 0.5:
            return self.out(depth)
        if r < 0.6:
            name = self.target()
            self.names.append(name)
            if rng.random() < 0.2:
                return self.tag(f"set {name}" + self.pick(["", "|upper", "|trim|length"])) + self.body(depth) + self.tag("endset")
            if rng.random() < 0.1:
                return self.tag(f"set {name}, b = {self.pick(['1, 2', 'l', '(1, 2)', 's', '[1, [2]]', 'd.items()|first'])}")
            return self.tag(f"set {name} = {self.expr()}")
        if r < 0.7:
            out = self.tag(f"if {self.expr()}") + self.body(depth)
            if rng.random() < 0.3:
                out += self.tag(f"elif {self.expr()}") + self.body(depth)
            if rng.random() < 0.5:
                out += self.tag("else") + self.body(depth)
            return out + self.tag("endif")
        if r < 0.84:
            return self.loop(depth)
        if r < 0.90:
            return self.macro(depth)
        if r < 0.93:
            return self.tag(f"with {self.target()} = {self.expr()}" + self.pick(["", ", y = 1", ", b = a"])) + self.body(depth) + self.tag("endwith")
        if r < 0.95:
            return self.tag(f"filter {self.pick(STR_FILTERS)}") + self.body(depth) + self.tag("endfilter")
        if r < 0.965:
            return self.tag("generation") + self.body(depth) + self.tag("endgeneration")
        if r < 0.985:
            return self.tag("set ns = namespace(n=0, s='')") + self.tag(f"for x in {self.atom('l')}") + self.tag(self.pick(["set ns.n = ns.n + 1", "set ns.s = ns.s ~ x", "set ns.last = x", "set ns.n, ns.s = loop.index, x"])) + self.tag("endfor") + "{{ ns.n }}{{ ns.s }}{{ ns.last }}" + self.pick(["", "{{ ns }}"])
        return "{% raw %}" + self.pick([" {{ x }} ", "{% if %}", "\n {# #}"]) + self.tag("endraw")

    def loop(self, depth):
        rng = self.rng
        r = rng.random()
        if r < 0.15:
            head = "for k, v in " + self.pick(["d.items()", "d|items", "d|dictsort", "ed.items()", "users|groupby('age')", "[[1, 2], [3, 4]]", "ls|map('upper')|batch(2)", "l"])
            self.names += ["k", "v"]
        else:
            over = self.expr(1, self.pick("llllds"))
            head = f"for {self.target()} in {over if rng.random() < 0.1 else self.brackets(over)}"
        if rng.random() < 0.2:
            head += f" if {self.paren(self.expr(1))}"
        inner = self.body(depth)
        r = rng.random()
        if r < 0.5:
            inner += "{{ loop." + self.pick(["index", "index0", "first", "last", "length", "revindex", "revindex0", "depth", "previtem", "nextitem", "cycle('a', 'b')", "changed(loop.index // 2)"]) + " }}"
        elif r < 0.7:
            inner = self.tag(f"if {self.pick(['loop.index > 2', 'loop.last', self.expr(1), 'loop.first'])}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif") + inner
        out = self.tag(head) + inner
        if rng.random() < 0.2:
            out += self.tag("else") + self.body(depth)
        return out + self.tag("endfor")

    def macro(self, depth):
        rng = self.rng
        self.macros += 1
        name = f"m{self.macros}"
        params, call = self.pick([("", ""), ("a", "1"), ("a", ""), ("a, b=2", "s"), ("a, b=2", "1, b=l"), ("a='x', b=a", ""), ("a", "a=3"), ("a", "1, b"), ("a", "1, zz=2"), ("a", "i"), ("b", "l"), ("", "*l"), ("a=1", "**{'a': 5}"), ("s", "l")])
        inner = self.body(depth) + self.pick(["{{ a }}", "{{ b }}", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller else '' }}", "{{ a }}{{ s }}", ""])
        out = self.tag(f"macro {name}({params})") + inner + self.tag("endmacro")
        if rng.random() < 0.3:
            return out + self.tag(f"call {name}({call})") + self.body(depth) + self.tag("endcall")
        return out + "{{ " + name + f"({call}) }}}}" + self.pick(["", "{{ %s }}" % name, "{{ %s.name }}" % name])


def template(rng):
    g = Gen(rng)
    if rng.random() < 0.6:
        return "{{ " + g.expr() + " }}"
    return "".join(g.part() for _ in range(rng.randint(1, 3)))
