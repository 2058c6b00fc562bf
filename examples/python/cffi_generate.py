#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cffi_generate.py LIBRARY HEADER MODEL PROMPT... - a batch through cffi, which reads llm.h."""
import re
import sys

from cffi import FFI


def load(library, header):
    """llm.h without comments and preprocessor is what cffi reads."""
    text = re.sub(r"/\*.*?\*/", " ", open(header, encoding="utf-8").read(), flags=re.S)
    text = re.sub(r"#ifdef __cplusplus.*?#(?:else|endif)", "", text, flags=re.S)
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M).replace("LLM_API", "")
    ffi = FFI()
    ffi.cdef(text)
    return ffi, ffi.dlopen(library)


def generate(ffi, lib, model, prompts):
    def sized(name, **fields):
        return ffi.new(f"{name} *", {"struct_size": ffi.sizeof(name), **fields})

    path, error = ffi.new("char[]", model.encode()), ffi.new("llm_error_t *")
    engine, batch = ffi.new("llm_engine_t **"), ffi.new("llm_batch_t **")
    config = sized("llm_engine_config_t", model=path, max_model_len=512)
    params = sized("llm_sampling_params_t", max_tokens=16)
    if lib.llm_engine_create(config, engine, error) != lib.LLM_OK:
        raise SystemExit(ffi.string(error.message).decode())
    texts = [ffi.from_buffer(p.encode()) for p in prompts]
    requests = [sized("llm_request_t", text=t, text_len=len(t), sampling=params) for t in texts]
    if lib.llm_generate_batch(engine[0], requests, len(requests), ffi.NULL, ffi.NULL, batch,
                              error) != lib.LLM_OK:
        raise SystemExit(ffi.string(error.message).decode())
    outputs = [lib.llm_batch_output(batch[0], i, 0) for i in range(len(prompts))]
    answers = [ffi.unpack(o.text, o.text_len).decode() for o in outputs]
    lib.llm_batch_destroy(batch[0])
    lib.llm_engine_destroy(engine[0])
    return answers


if __name__ == "__main__":
    ffi_and_lib = load(*sys.argv[1:3])
    for prompt, answer in zip(sys.argv[4:], generate(*ffi_and_lib, sys.argv[3], sys.argv[4:])):
        print(prompt + answer)
