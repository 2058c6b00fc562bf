# SPDX-License-Identifier: Apache-2.0
"""llm.h in ctypes: its structs, its functions, and where the library is found.

A struct has here the fields of llm.h in their order, so its size and offsets are those of C (a
test compares them with the committed layout).  Pointers are c_void_p, that is plain ints: whoever
stores an address keeps what is there alive.

The library is looked for, in this order: the path in LLMSERVE_LIBRARY, beside this file (a wheel
carries it there), the build folders of the source tree if this file lies in one, the system's
loader.  It is loaded at the first use, not at import.
"""
from __future__ import annotations

import ctypes
import functools
import glob
import os
import re
import struct
from ctypes import c_char, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32, \
    c_uint64, c_void_p

from . import exceptions

__all__ = ["lib", "quick", "has", "check", "find_library"]

UINT32_MAX = 0xFFFFFFFF
CSTR = ctypes.c_size_t(-1).value

# Enums and flags of llm.h.
SAMPLE_SEEDED, SAMPLE_IGNORE_EOS, SAMPLE_KEEP_STOP, SAMPLE_KEEP_SPECIAL, SAMPLE_NO_TEXT = \
    1, 2, 4, 8, 16
REQUEST_NO_SPECIAL, REQUEST_ECHO, REQUEST_PREFILL_ONLY = 1, 2, 4
OUTPUT_DELTA, OUTPUT_CUMULATIVE, OUTPUT_FINAL = 0, 1, 2
FINISH_NONE, FINISH_STOP, FINISH_LENGTH, FINISH_ABORT, FINISH_ERROR, FINISH_REPETITION, \
    FINISH_DEADLINE = range(7)
GUIDES = {"json": 1, "json_object": 2, "regex": 3, "choice": 4, "grammar": 5, "structural_tag": 6}
BEAM_IGNORE_EOS, BEAM_KEEP_STOP, BEAM_NO_PENALTY = 1, 2, 4
ENCODE_NO_SPECIAL, DECODE_KEEP_SPECIAL = 1, 2
TOKEN_BOS, TOKEN_EOS = 1, 2
PAUSE = {"abort": 0, "wait": 1, "keep": 2, "drain": 3}
SCOPE_ENGINE, SCOPE_REQUEST = 1, 2


class Sized(ctypes.Structure):
    """A struct that starts with struct_size, which is set here; the rest is zero or given."""

    def __init__(self, **fields: object) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class Error(ctypes.Structure):
    c_name = "llm_error_t"
    _fields_ = [("status", c_int32), ("retry_after_ms", c_uint32), ("param", c_char * 56),
                ("message", c_char * 448)]

    def exception(self) -> Exception:
        """What to raise for it."""
        return exceptions.from_status(self.status, self.message.decode("utf-8", "replace"),
                                      self.param.decode("utf-8", "replace"), self.retry_after_ms)


class Progress(Sized):
    c_name = "llm_progress_t"
    _fields_ = [("struct_size", c_uint32), ("stage", c_int32), ("done", c_uint64),
                ("total", c_uint64), ("elapsed_us", c_uint64), ("prompt_tokens", c_uint64),
                ("completion_tokens", c_uint64)]


class Option(ctypes.Structure):
    c_name = "llm_option_t"
    _fields_ = [("name", c_char_p), ("value", c_char_p)]


class OptionInfo(Sized):
    c_name = "llm_option_info_t"
    _fields_ = [("struct_size", c_uint32), ("scope", c_int32), ("name", c_char_p),
                ("type", c_char_p), ("default_value", c_char_p), ("range", c_char_p),
                ("help", c_char_p)]


class EngineConfig(Sized):
    c_name = "llm_engine_config_t"
    _fields_ = [("struct_size", c_uint32), ("log_level", c_int32), ("model", c_char_p),
                ("tokenizer", c_char_p), ("device", c_char_p), ("dtype", c_char_p),
                ("kv_cache_memory_bytes", c_uint64), ("seed", c_uint64),
                ("max_model_len", c_uint32), ("max_num_seqs", c_uint32),
                ("max_num_batched_tokens", c_uint32), ("max_num_queued_reqs", c_uint32),
                ("gpu_memory_utilization", c_float), ("n_threads", c_uint32),
                ("options", c_void_p), ("n_options", c_size_t), ("allocator", c_void_p),
                ("log", c_void_p), ("log_user", c_void_p), ("progress", c_void_p),
                ("progress_user", c_void_p)]


class Plan(Sized):
    c_name = "llm_plan_t"
    _fields_ = [("struct_size", c_uint32), ("fits", c_uint32), ("weight_bytes", c_uint64),
                ("workspace_bytes", c_uint64), ("kv_cache_bytes", c_uint64),
                ("kv_bytes_per_token", c_uint64), ("device_total_bytes", c_uint64),
                ("device_free_bytes", c_uint64), ("host_bytes", c_uint64), ("limit", c_char_p),
                ("kv_blocks", c_uint32), ("block_size", c_uint32), ("max_model_len", c_uint32),
                ("max_concurrency", c_uint32), ("max_num_seqs", c_uint32),
                ("max_num_batched_tokens", c_uint32), ("vocab_size", c_uint32),
                ("hidden_size", c_uint32), ("rank", c_uint32), ("world_size", c_uint32)]


class Logits(Sized):
    c_name = "llm_logits_t"
    _fields_ = [("struct_size", c_uint32), ("index", c_uint32), ("id", c_uint64),
                ("user_data", c_void_p), ("tokens", c_void_p), ("n_tokens", c_size_t),
                ("n_prompt", c_size_t), ("logits", c_void_p), ("n_vocab", c_size_t),
                ("extra_args", c_char_p)]


class LogitBias(ctypes.Structure):
    c_name = "llm_logit_bias_t"
    _fields_ = [("token", c_int32), ("bias", c_float)]


class SamplingStruct(Sized):
    c_name = "llm_sampling_params_t"
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("temperature", c_float),
                ("top_p", c_float), ("min_p", c_float), ("repetition_penalty", c_float),
                ("presence_penalty", c_float), ("frequency_penalty", c_float),
                ("top_k", c_uint32), ("n", c_uint32), ("max_tokens", c_uint32),
                ("min_tokens", c_uint32), ("n_logprobs", c_int32),
                ("n_prompt_logprobs", c_int32), ("seed", c_uint64), ("stop", c_void_p),
                ("n_stop", c_size_t), ("stop_token_ids", c_void_p),
                ("n_stop_token_ids", c_size_t), ("allowed_token_ids", c_void_p),
                ("n_allowed_token_ids", c_size_t), ("logit_bias", c_void_p),
                ("n_logit_bias", c_size_t), ("bad_words", c_void_p), ("n_bad_words", c_size_t),
                ("guide", c_void_p), ("guide_len", c_size_t), ("logits_fn", c_void_p),
                ("logits_user", c_void_p), ("guide_kind", c_int32), ("reserved0", c_uint32)]


class Request(Sized):
    c_name = "llm_request_t"
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("text", c_void_p),
                ("text_len", c_size_t), ("tokens", c_void_p), ("n_tokens", c_size_t),
                ("chat", c_void_p), ("chat_len", c_size_t), ("sampling", c_void_p),
                ("user_data", c_void_p), ("cache_salt", c_void_p), ("options", c_void_p),
                ("n_options", c_size_t), ("priority", c_int32), ("output_kind", c_int32),
                ("stream_interval", c_uint32), ("queue_timeout_ms", c_uint32),
                ("timeout_ms", c_uint32), ("reserved0", c_uint32)]


class LogprobStruct(ctypes.Structure):
    c_name = "llm_logprob_t"
    _fields_ = [("token", c_int32), ("rank", c_int32), ("logprob", c_float)]


class Output(Sized):
    c_name = "llm_output_t"
    _fields_ = [("struct_size", c_uint32), ("index", c_uint32), ("id", c_uint64),
                ("user_data", c_size_t), ("finish_reason", c_int32), ("last", c_uint32),
                ("text", c_size_t), ("text_len", c_size_t), ("tokens", c_size_t),
                ("n_tokens", c_size_t), ("logprobs", c_size_t), ("prompt_logprobs", c_size_t),
                ("n_logprobs", c_uint32), ("n_prompt_logprobs", c_uint32),
                ("cumulative_logprob", c_double), ("prompt", c_size_t), ("prompt_len", c_size_t),
                ("prompt_ids", c_size_t), ("stop_string", c_size_t), ("error", c_size_t),
                ("stop_token", c_int32), ("prompt_tokens", c_uint32),
                ("cached_tokens", c_uint32), ("completion_tokens", c_uint32),
                ("preemptions", c_uint32), ("reserved0", c_uint32), ("arrived_us", c_int64),
                ("queue_us", c_uint64), ("first_token_us", c_uint64), ("elapsed_us", c_uint64),
                ("itl_sum_us", c_uint64), ("itl_max_us", c_uint64),
                ("kv_block_steps", c_uint64), ("device_us", c_uint64),
                ("first_token_step", c_uint64), ("last_token_step", c_uint64)]


class BeamStruct(Sized):
    c_name = "llm_beam_params_t"
    _fields_ = [("struct_size", c_uint32), ("flags", c_uint32), ("beam_width", c_uint32),
                ("max_tokens", c_uint32), ("temperature", c_float), ("length_penalty", c_float)]


class Stats(Sized):
    c_name = "llm_stats_t"
    _fields_ = [("struct_size", c_uint32), ("requests_running", c_uint32),
                ("requests_waiting", c_uint32), ("kv_blocks_total", c_uint32),
                ("kv_blocks_used", c_uint32), ("dead", c_uint32), ("step_age_us", c_uint64),
                ("host_bytes", c_uint64), ("device_bytes", c_uint64), ("steps", c_uint64),
                ("requests_finished", c_uint64), ("prompt_tokens", c_uint64),
                ("cached_tokens", c_uint64), ("completion_tokens", c_uint64),
                ("preemptions", c_uint64), ("paused", c_uint32), ("reserved0", c_uint32)]


def codec(kind: type[ctypes.Structure]) -> struct.Struct:
    """Packs or unpacks all fields of a struct at once, which is faster than one by one."""
    made = struct.Struct("@" + "".join({"z": "P"}.get(t._type_, t._type_)
                                       for _, t in kind._fields_))
    assert made.size == ctypes.sizeof(kind), kind
    return made


LogFn = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_char_p, c_char_p)
ProgressFn = ctypes.CFUNCTYPE(c_int32, c_void_p, ctypes.POINTER(Progress))
LogitsFn = ctypes.CFUNCTYPE(c_int32, c_void_p, ctypes.POINTER(Logits))

_SIGNATURES = {     # name: (result, arguments); P is any pointer
    "llm_version_number": (c_uint32, ""), "llm_version_string": (c_char_p, ""),
    "llm_status_name": (c_char_p, "i"), "llm_finish_name": (c_char_p, "i"),
    "llm_option_info": (c_void_p, "z"),
    "llm_plan": (c_int32, "PPP"), "llm_engine_create": (c_int32, "PPP"),
    "llm_engine_destroy": (None, "P"), "llm_engine_plan": (c_int32, "PP"),
    "llm_engine_tokenizer": (c_void_p, "P"), "llm_tokenizer_create": (c_int32, "sPPP"),
    "llm_tokenizer_destroy": (None, "P"),
    "llm_tokenizer_encode": (c_int32, "PszuPzPP"),
    "llm_tokenizer_encode_chat": (c_int32, "PszPzPP"),
    "llm_tokenizer_render_chat": (c_int32, "PszPzPP"),
    "llm_tokenizer_decode": (c_int32, "PPzuPzPP"), "llm_tokenizer_token": (c_void_p, "PiP"),
    "llm_tokenizer_size": (c_size_t, "P"), "llm_tokenizer_special": (c_int32, "Pi"),
    "llm_tokenizer_find": (c_int32, "Psz"),
    "llm_sampling_defaults": (c_int32, "PP"), "llm_engine_add_request": (c_int32, "PPPP"),
    "llm_engine_abort": (c_int32, "PQ"), "llm_engine_abort_all": (None, "P"),
    "llm_engine_unfinished": (c_size_t, "P"), "llm_engine_step": (c_int32, "PP"),
    "llm_engine_next_output": (c_void_p, "P"), "llm_engine_wait": (c_int32, "Pq"),
    "llm_engine_notify": (None, "P"), "llm_generate_batch": (c_int32, "PPzPPPP"),
    "llm_batch_output": (c_void_p, "Pzz"), "llm_batch_destroy": (None, "P"),
    "llm_beam_search": (c_int32, "PPzPPPPP"), "llm_engine_stats": (c_int32, "PP"),
    "llm_engine_metrics": (c_int32, "PPzP"), "llm_engine_reset_prefix_cache": (c_int32, "P"),
    "llm_engine_pause": (c_int32, "PiP"), "llm_engine_resume": (c_int32, "PP"),
}
_TYPES = {"P": c_void_p, "s": c_char_p, "z": c_size_t, "i": c_int32, "u": c_uint32, "q": c_int64,
          "Q": c_uint64}


def _is_plain(path: str) -> bool:
    """Not built for a sanitizer, whose run time would end an interpreter that loads it."""
    cache = os.path.join(os.path.dirname(path), "CMakeCache.txt")
    if not os.path.exists(cache):
        return True
    with open(cache, encoding="utf-8", errors="replace") as f:
        return re.search(r"^LLS_SANITIZE:\w+=\S", f.read(), re.M) is None


def _candidates() -> list[str]:
    here = os.path.dirname(os.path.abspath(__file__))
    tree = os.path.dirname(os.path.dirname(os.path.dirname(here)))
    paths = [os.path.join(here, "libllmserve.so")]
    if os.path.exists(os.path.join(tree, "include", "llm.h")):
        folders = [os.path.join(tree, "build*", *["*"] * depth) for depth in range(3)]
        built = [path for folder in folders
                 for path in glob.glob(os.path.join(folder, "libllmserve.so")) if _is_plain(path)]
        paths += sorted(built, key=os.path.getmtime, reverse=True)     # the newest first
    return [p for p in paths if os.path.exists(p)] + ["libllmserve.so.0", "libllmserve.so"]


@functools.lru_cache(maxsize=None)
def find_library() -> str:
    """The path or name of the library that is used; OSError says where it was looked for."""
    named = os.environ.get("LLMSERVE_LIBRARY")
    tried = [named] if named else _candidates()
    faults = []
    for path in tried:
        try:
            ctypes.CDLL(path)
            return path
        except OSError as error:    # one for another machine, or of which something is missing
            faults.append(str(error))
    raise OSError("libllmserve could not be loaded; build it, or set LLMSERVE_LIBRARY to its "
                  "path: " + "; ".join(faults))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _SIGNATURES.items():
        call = getattr(library, name, None)
        if call is not None:    # an older library lacks some
            call.restype, call.argtypes = result, [_TYPES[a] for a in arguments]
    return library


@functools.lru_cache(maxsize=None)
def lib() -> ctypes.CDLL:
    """The library; a call of it lets other Python threads run."""
    return _declare(ctypes.CDLL(find_library()))


@functools.lru_cache(maxsize=None)
def quick() -> ctypes.PyDLL:
    """The same for calls of microseconds that neither wait nor call back: they keep the
    interpreter's lock, since handing it over costs more than they do."""
    return _declare(ctypes.PyDLL(find_library()))


def has(name: str) -> bool:
    """Whether the library has this function."""
    return hasattr(lib(), name)


def need(name: str, what: str) -> None:
    if not has(name):
        raise NotImplementedError(f"{what} needs {name}(), which libllmserve "
                                  f"{lib().llm_version_string().decode()} does not have")


def check(status: int, error: Error) -> None:
    """Raises what a failed call says."""
    if status != 0:
        error.status = status
        raise error.exception()


def status_exception(status: int, what: str) -> Exception:
    """For calls that have no llm_error_t."""
    return exceptions.from_status(status, f"{what}: {lib().llm_status_name(status).decode()}")


@functools.lru_cache(maxsize=None)
def option_names(scope: int) -> frozenset[str]:
    """Names of the library's options with '_' for '-', SCOPE_ENGINE or SCOPE_REQUEST."""
    names, index = set(), 0
    while address := quick().llm_option_info(index):
        info = OptionInfo.from_address(address)
        if info.scope == scope:
            names.add(info.name.decode().replace("-", "_"))
        index += 1
    return frozenset(names)


@functools.lru_cache(maxsize=None)
def finish_name(reason: int) -> str | None:
    """"stop", "length", ... or None while it runs."""
    return quick().llm_finish_name(reason).decode() if reason != FINISH_NONE else None
