#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Writes lib/text/jinja_case_tab.c, jinja_class_tab.c and jinja_entity_tab.c: the entities of HTML, what str.upper(), lower(), title(), casefold()
# and the questions isalpha() ... isprintable() of this Python say of each character, in runs.
# Usage: make_jcase.py DIR   (lib/text; Python 3.11 has Unicode 14)
import contextlib
import html.entities
import os
import sys
import unicodedata

SCALARS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def runs(fn, other=lambda c: c):
    """[first, last, step, delta] of characters that map to one, which is not what `other` gives."""
    out = []
    for c in SCALARS:
        to = fn(chr(c))
        if len(to) != 1 or to == other(chr(c)):
            continue
        d = ord(to) - c
        if out and out[-1][3] == d:
            last = out[-1]
            if last[0] == last[1] and c - last[1] in (1, 2):
                last[1], last[2] = c, c - last[0]
                continue
            if c - last[1] == last[2]:
                last[1] = c
                continue
        out.append([c, c, 1, d])
    return out


def title(c):
    return c.title()


def lowercase(c):
    return c.islower()


def uppercase(c):
    return c.isupper()


def ranges(fn):
    out = []
    for c in SCALARS:
        if fn(chr(c)):
            if out and out[-1][1] == c - 1:
                out[-1][1] = c
            else:
                out.append([c, c])
    return out


def extra(fn):
    """Cased letters that the mapping's runs do not tell: the runs of the property itself, with step 2 where letters alternate."""
    out = []
    for a, b in ranges(fn):
        for c in range(a, b + 1):
            if out and c - out[-1][1] == out[-1][2]:
                out[-1][1] = c
            elif out and out[-1][0] == out[-1][1] and c - out[-1][1] == 2:
                out[-1][1], out[-1][2] = c, 2
            else:
                out.append([c, c, 1])
    return out


def emit_rows(declaration, items):
    """An array of initialisers, as many on a line as fit."""
    print(f"{declaration} = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) > 99:
            print(line)
            line = "   "
        line += item
    print(line + "\n};")


def emit(name, rows):
    emit_rows(f"const lls_jcase_run_t lls_jcase_{name}[]",
              (" { 0x%x, 0x%x, %d, %d }," % tuple(r) for r in rows))
    print(f"const size_t lls_jcase_n_{name} = {len(rows)};\n")


def head():
    print("/* SPDX-License-Identifier: Apache-2.0 */")
    print(f"/* Made by tests/golden/chat/make_jcase.py from Unicode {unicodedata.unidata_version}; do not edit. */")


def case_tables():
    head()
    print('#include "text/jinja_case.h"\n')
    emit("upper", runs(str.upper))
    emit("lower", runs(str.lower))
    emit("title", runs(title, str.upper))
    emit("is_lower", [r + [0] for r in extra(lowercase)])
    emit("is_upper", [r + [0] for r in extra(uppercase)])
    emit("fold", runs(str.casefold, str.lower))
    rows = []
    for kind, fn in (("U", str.upper), ("L", str.lower), ("T", title), ("F", str.casefold)):
        for c in SCALARS:
            to = fn(chr(c))
            if len(to) > 1:
                rows.append((c, kind, to))
    print("const lls_jcase_long_t lls_jcase_long[] = {")
    for c, kind, to in rows:
        text = "".join("\\x%02x" % b for b in to.encode())
        print("    { 0x%x, '%s', \"%s\" }," % (c, kind, text))
    print("};")
    print(f"const size_t lls_jcase_n_long = {len(rows)};")


QUESTIONS = [str.isalpha, str.isdecimal, str.isdigit, str.isnumeric, str.isprintable, str.isidentifier, lambda c: ("a" + c).isidentifier()]  # ORDER jclass


def class_table():
    rows = []
    for c in SCALARS:
        bits = sum(1 << i for i, ask in enumerate(QUESTIONS) if ask(chr(c)))
        if rows and rows[-1][2] == bits and rows[-1][1] == c - 1:
            rows[-1][1] = c
        else:
            rows.append([c, c, bits])
    rows = [r for r in rows if r[2]]
    head()
    print('#include "text/jinja_case.h"\n')
    emit_rows("const lls_jclass_run_t lls_jclass[]",
              (" { 0x%x, 0x%x, %d }," % tuple(r) for r in rows))
    print(f"const size_t lls_jclass_n = {len(rows)};")


def entity_table():
    head()
    print('#include "text/jinja_case.h"\n')
    entities = sorted(html.entities.html5.items(), key=lambda e: e[0].encode())
    emit_rows("const lls_jentity_t lls_jentities[]",
              (' { "%s", "%s" },' % (name, "".join("\\%03o" % b for b in to.encode()))
               for name, to in entities))
    print(f"const size_t lls_jentities_n = {len(html.entities.html5)};")


for name, make in (("jinja_case_tab.c", case_tables), ("jinja_class_tab.c", class_table), ("jinja_entity_tab.c", entity_table)):
    with open(os.path.join(sys.argv[1], name), "w") as f, contextlib.redirect_stdout(f):
        make()
