#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""make_dialect.py - writes cases.json beside itself; make_tokenizer.py writes its tokenizer.json.

The cases are in the modules, by syntax; dialect_case.py says what a case is.
"""

import json
import os

import cases_families
import cases_literals
import cases_named
import cases_objects
import cases_reasoning
import cases_tags
from dialect_case import CHAT

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = (cases_objects, cases_named, cases_tags, cases_literals, cases_families, cases_reasoning)


def main():
    cases = [case for part in PARTS for case in part.cases]
    with open(os.path.join(HERE, "cases.json"), "w", encoding="utf-8") as f:
        json.dump({"chat": CHAT, "cases": cases}, f, ensure_ascii=False, indent=0)
        f.write("\n")
    print(len(cases), "cases")


main()
