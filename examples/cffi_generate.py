#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cffi_generate.py HEADER LIBRARY MODEL PROMPT... - a stream from Python, with cffi and llm.h."""
import re
import sys

from cffi import FFI


def load(header, library):
    """llm.h is plain C: what is left without comments, directives and C++ is what cffi reads."""
    with open(header, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    text = re.sub(r"template <class T>.*?\n\}\n", "", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:.*\\\n)*.*", "", text, flags=re.M)
    text = re.sub(r'LLM_API|extern "C" \{|\}\s*\Z', "", text)
    ffi = FFI()
    ffi.cdef(text)
    return ffi, ffi.dlopen(library)


def stream(header, library, model, prompts):
    ffi, lib = load(header, library)
    sized = lambda kind, **more: ffi.new(kind + " *", dict(more, struct_size=ffi.sizeof(kind)))
    error, engine = ffi.new("llm_error_t *"), ffi.new("llm_engine_t **")
    check = lambda status: status and sys.exit(ffi.string(error.message).decode())
    path = ffi.new("char[]", model.encode())
    check(lib.llm_engine_create(sized("llm_engine_config_t", model=path), engine, error))
    engine = ffi.gc(engine[0], lib.llm_engine_destroy)
    params = sized("llm_sampling_params_t", max_tokens=24)
    for prompt in prompts:
        text = ffi.new("char[]", prompt.encode())
        request = sized("llm_request_t", text=text, text_len=len(text) - 1, sampling=params)
        check(lib.llm_engine_add_request(engine, request, ffi.NULL, error))
    while lib.llm_engine_unfinished(engine):
        check(lib.llm_engine_step(engine, error))
        while out := lib.llm_engine_next_output(engine):
            print(out.id & 0xffffffff, ffi.buffer(out.text, out.text_len)[:].decode(), flush=True)


if __name__ == "__main__":
    stream(*sys.argv[1:4], sys.argv[4:])
