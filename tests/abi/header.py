# SPDX-License-Identifier: Apache-2.0
"""Reads llm.h: comments and the preprocessor's lines off, then structs, enums, functions.

Made for this header's own style (one declaration a statement, no nested types); what it cannot read
it refuses, so a new construct shows up as an error and not as a hole in the checks.
"""
import re


def strip(text):
    """The C declarations alone, as a C program sees them."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
    text = re.sub(r"template <class T>.*?\n\}\n", "", text, flags=re.S)
    text = re.sub(r'extern "C" \{', "", text)
    text = re.sub(r"\bLLM_API\b", "", text)
    return re.sub(r"\n\}\s*$", "\n", text.rstrip() + "\n")     # the brace of extern "C"


def statements(text):
    depth, start = 0, 0
    for i, c in enumerate(text):
        depth += (c == "{") - (c == "}")
        if c == ";" and depth == 0:
            yield " ".join(text[start:i].split())
            start = i + 1
    if text[start:].strip():
        raise ValueError("llm.h: cannot read: " + text[start:].strip()[:80])


def fields_of(body):
    for part in body.split(";"):
        part = part.strip()
        if not part:
            continue
        function = re.search(r"\(\*(\w+)\)", part)
        if function:
            yield function.group(1)
            continue
        for one in part.split(","):
            yield re.search(r"(\w+)\s*(?:\[\w+\])?$", one.strip()).group(1)


def read(path):
    """structs {typedef: [field]}, enums [name], functions {name: declaration}, handles, types."""
    with open(path, encoding="utf-8") as f:
        text = strip(f.read())
    structs, enums, functions, others = {}, [], {}, []
    for line in statements(text):
        record = re.fullmatch(r"typedef struct (\w+) \{(.*)\} (\w+)", line)
        values = re.fullmatch(r"enum \{(.*)\}", line)
        call = re.fullmatch(r"[\w *]+?(llm_\w+)\(.*\)", line)
        if record:
            structs[record.group(3)] = list(fields_of(record.group(2)))
        elif values:
            enums += [v.split("=")[0].strip() for v in values.group(1).split(",")]
        elif line.startswith("typedef "):
            others.append(line)
        elif call:
            functions[call.group(1)] = line
        else:
            raise ValueError("llm.h: cannot read: " + line[:80])
    return structs, enums, functions, others
