#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ctypes_generate.py LIBRARY MODEL PROMPT... - a batch from Python, with nothing but ctypes."""
import ctypes as c
import sys

P, S, F, U32, I32 = c.c_void_p, c.c_size_t, c.c_float, c.c_uint32, c.c_int32
ref = c.byref


class Sized(c.Structure):
    def __init__(self, **fields):
        super().__init__(struct_size=c.sizeof(self), **fields)


class Error(c.Structure):
    _fields_ = [("codes", I32 * 2), ("param", c.c_char * 56), ("message", c.c_char * 448)]


class Config(Sized):    # "rest": fields that stay zero here
    _fields_ = [("struct_size", U32), ("log_level", I32), ("model", c.c_char_p), ("rest", P * 15)]


class Sampling(Sized):
    _fields_ = [("struct_size", U32), ("flags", U32), ("temperature", F), ("top_p", F),
                ("min_p", F), ("penalties", F * 3), ("top_k", U32), ("n", U32), ("max_tokens", U32),
                ("rest", U32 * 35)]


class Request(Sized):
    _fields_ = [("struct_size", U32), ("flags", U32), ("text", c.c_char_p), ("text_len", S),
                ("tokens", P), ("n_tokens", S), ("chat", c.c_char_p), ("chat_len", S),
                ("sampling", c.POINTER(Sampling)), ("rest", P * 7)]


class Output(c.Structure):
    _fields_ = [("struct_size", U32), ("index", U32), ("id", c.c_uint64), ("user_data", P),
                ("finish_reason", I32), ("last", U32), ("text", P), ("text_len", S)]


def generate(lib, model, prompts, **sampling):
    lib.llm_batch_output.restype = c.POINTER(Output)
    lib.llm_batch_output.argtypes = [P, S, S]
    error, engine, batch, params = Error(), P(), P(), Sampling(**sampling)
    failed = lib.llm_engine_create(ref(Config(model=model.encode())), ref(engine), ref(error))
    assert not failed, error.message.decode()
    texts = [p.encode() for p in prompts]
    reqs = [Request(text=t, text_len=len(t), sampling=c.pointer(params)) for t in texts]
    array = (c.POINTER(Request) * len(reqs))(*map(c.pointer, reqs))
    failed = lib.llm_generate_batch(engine, array, S(len(reqs)), None, None, ref(batch), ref(error))
    outputs = [lib.llm_batch_output(batch, i, 0) for i in range(len(reqs)) if not failed]
    answers = [c.string_at(o[0].text, o[0].text_len).decode() for o in outputs]
    lib.llm_batch_destroy(batch)
    lib.llm_engine_destroy(engine)
    assert not failed, error.message.decode()
    return answers


if __name__ == "__main__":
    lib, path, *words = sys.argv[1:]
    for word, answer in zip(words, generate(c.CDLL(lib), path, words, max_tokens=24)):
        print(word + answer)
