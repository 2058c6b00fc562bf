# SPDX-License-Identifier: Apache-2.0
"""Requests as the library's structs, many at once.

All texts of a call lie in one bytes object and all token ids in one array, and every request is
written with one pack_into(): a request costs a few microseconds whatever the size of the call.
"""
from __future__ import annotations

import ctypes
import json
from array import array
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from . import _ffi
from .exceptions import VLLMValidationError
from .inputs import CHAT, TEXT, TOKENS, Prompt
from .sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams

_KINDS = {RequestOutputKind.DELTA: _ffi.OUTPUT_DELTA,
          RequestOutputKind.CUMULATIVE: _ffi.OUTPUT_CUMULATIVE,
          RequestOutputKind.FINAL_ONLY: _ffi.OUTPUT_FINAL}
_REQUEST = _ffi.codec(_ffi.Request)


# ---- Options ------------------------------------------------------------------------------------

def option_text(value: Any) -> str:
    """A value as the library's options take it: as on a command line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)


class Options:
    """An array of llm_option_t.  Names that the library does not know are refused by name."""

    def __init__(self, scope: int, values: Mapping[str, Any]) -> None:
        known = _ffi.option_names(scope)
        for name in values:
            if name not in known:
                raise NotImplementedError(f"{name} is not supported by this version of llmserve; "
                                          "leave it out")
        pairs = [(name.encode(), option_text(value).encode()) for name, value in values.items()]
        self._array = (_ffi.Option * len(pairs))(*pairs)
        self.address = ctypes.addressof(self._array) if pairs else 0
        self.n = len(pairs)


def _request_options(params: SamplingParams) -> dict[str, Any]:
    given: dict[str, Any] = {
        name: getattr(params, name)
        for name in ("prompt_logprob_token_ids", "prompt_logprob_start", "logprob_token_ids",
                     "thinking_token_budget", "trace_decode_token_ids")
        if getattr(params, name) is not None}
    if not params.spaces_between_special_tokens:
        given["spaces_between_special_tokens"] = False
    if params.skip_reading_prefix_cache and params.prompt_logprobs is None:
        given["skip_reading_prefix_cache"] = True
    if params.routed_experts_prompt_start:
        given["routed_experts_prompt_start"] = params.routed_experts_prompt_start
    detect = params.repetition_detection
    if detect is not None:
        given["repetition_detection"] = detect if isinstance(detect, dict) else vars(detect)
    return given


# ---- Sampling parameters ------------------------------------------------------------------------

def _count(k: int | None) -> int:
    """vLLM's number of likeliest tokens as llm.h's number of entries."""
    return 0 if k is None else -1 if k == -1 else min(k, 2**31 - 2) + 1


def _guide(given: StructuredOutputsParams) -> tuple[int, bytes]:
    kind = next(k for k in given.KINDS if getattr(given, k) is not None)
    value = getattr(given, kind)
    if kind == "json_object":
        value = ""
    text = value if isinstance(value, str) else json.dumps(value)
    return _ffi.GUIDES[kind], text.encode()


class Packed:
    """A SamplingParams as llm_sampling_params_t and options, with all that they point to.

    Attributes:
        params: what it was made from.
        address: of the struct.
        options: an Options.
        output_kind, stream_interval: as in llm_request_t.
    """

    def __init__(self, params: SamplingParams, logits_fn: int,
                 more_options: Mapping[str, Any]) -> None:
        self.params = params
        self.options = Options(_ffi.SCOPE_REQUEST, {**_request_options(params), **more_options})
        self.output_kind = _KINDS[params.output_kind]
        self.stream_interval = min(params.stream_interval or 0, _ffi.UINT32_MAX)
        self._keep: list[Any] = []
        self._struct = _ffi.SamplingStruct()
        self._set_numbers(params)
        self._set_lists(params)
        if params.logits_processors:
            self._struct.logits_fn = logits_fn
        self.address = ctypes.addressof(self._struct)

    def _set_numbers(self, p: SamplingParams) -> None:
        s = self._struct
        for name in ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty",
                     "frequency_penalty", "n"):
            setattr(s, name, getattr(p, name))
        s.top_k = min(max(p.top_k, 0), _ffi.UINT32_MAX)
        s.max_tokens = _ffi.UINT32_MAX if p.max_tokens is None else \
            min(p.max_tokens, _ffi.UINT32_MAX)
        s.min_tokens = min(p.min_tokens, _ffi.UINT32_MAX)
        s.n_logprobs, s.n_prompt_logprobs = _count(p.logprobs), _count(p.prompt_logprobs)
        flags = {_ffi.SAMPLE_IGNORE_EOS: p.ignore_eos,
                 _ffi.SAMPLE_KEEP_STOP: p.include_stop_str_in_output,
                 _ffi.SAMPLE_KEEP_SPECIAL: not p.skip_special_tokens,
                 _ffi.SAMPLE_NO_TEXT: not p.detokenize, _ffi.SAMPLE_SEEDED: p.seed is not None}
        s.flags = sum(flag for flag, is_set in flags.items() if is_set)
        if p.seed is not None:
            if not -2**63 <= p.seed < 2**64:
                raise VLLMValidationError(f"seed must be a 64-bit integer, got {p.seed}.",
                                          parameter="seed", value=p.seed)
            s.seed = p.seed & (2**64 - 1)

    def _set_lists(self, p: SamplingParams) -> None:
        s = self._struct
        s.stop, s.n_stop = self._strings("stop", p.stop)
        s.bad_words, s.n_bad_words = self._strings("bad_words", p.bad_words)
        s.stop_token_ids, s.n_stop_token_ids = self._ids(p.stop_token_ids)
        s.allowed_token_ids, s.n_allowed_token_ids = self._ids(p.allowed_token_ids)
        if p.logit_bias:
            pairs = (_ffi.LogitBias * len(p.logit_bias))(*p.logit_bias.items())
            self._keep.append(pairs)
            s.logit_bias, s.n_logit_bias = ctypes.addressof(pairs), len(pairs)
        if p.structured_outputs is not None:
            s.guide_kind, text = _guide(p.structured_outputs)
            s.guide, s.guide_len = self._address_of(text), len(text)

    def _address_of(self, data: bytes) -> int:
        self._keep.append(data)
        return _address(data)

    def _strings(self, name: str, texts: list[str] | None) -> tuple[int, int]:
        if not texts:
            return 0, 0
        if any("\0" in text for text in texts):
            raise VLLMValidationError(f"{name} cannot contain a NUL character", parameter=name,
                                      value=texts)
        array_ = (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])
        self._keep.append(array_)
        return ctypes.addressof(array_), len(texts)

    def _ids(self, ids: Iterable[int] | None) -> tuple[int, int]:
        if not ids:
            return 0, 0
        made = array("i", ids)
        self._keep.append(made)
        return made.buffer_info()


# ---- Requests -----------------------------------------------------------------------------------

def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value


class Entry(NamedTuple):
    """One request: a prompt, its packed parameters (None: no sampling, for beam search) and the
    rest of llm_request_t."""

    prompt: Prompt
    packed: Packed | None
    key: int                        # user_data, finds its state again
    flags: int = _ffi.REQUEST_ECHO
    priority: int = 0
    queue_timeout_ms: int = 0
    timeout_ms: int = 0


class RequestArray:
    """An array of pointers to llm_request_t, and all that these point to."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries
        texts, ids = self._gather()
        text_base, ids_base = _address(texts), ids.buffer_info()[0]
        self._keep = (texts, ids)
        self._buffer = bytearray(len(entries) * _REQUEST.size)
        for i, (entry, (text_at, ids_at, salt_at)) in enumerate(zip(entries, self._places)):
            self._write(i, entry, text_base + text_at, ids_base + 4 * ids_at,
                        text_base + salt_at if salt_at >= 0 else 0)
        view = (ctypes.c_char * max(1, len(self._buffer))).from_buffer(self._buffer) \
            if entries else None
        first = ctypes.addressof(view) if view is not None else 0
        self._pointers = array("Q", range(first, first + len(self._buffer), _REQUEST.size))
        self._view = view
        self.n = len(entries)
        self.address = self._pointers.buffer_info()[0]
        self.first = first

    def _gather(self) -> tuple[bytes, array]:
        """Joins texts and ids; _places is where each request's begin."""
        parts: list[bytes] = []
        ids, at = array("i"), 0
        self._places: list[tuple[int, int, int]] = []
        for entry in self._entries:
            prompt, salt_at, text_at, ids_at = entry.prompt, -1, at, len(ids)
            if prompt.kind == TOKENS:
                ids.extend(prompt.data)
            else:
                parts.append(prompt.data)
                at += len(prompt.data)
            if prompt.cache_salt is not None:
                salt_at = at
                parts.append(prompt.cache_salt + b"\0")
                at += len(prompt.cache_salt) + 1
            self._places.append((text_at, ids_at, salt_at))
        ids.append(0)               # so that there is an address where no request has ids
        return b"".join(parts), ids

    def _write(self, i: int, entry: Entry, text: int, ids: int, salt: int) -> None:
        prompt, packed = entry.prompt, entry.packed
        kind, size = prompt.kind, len(prompt.data)
        _REQUEST.pack_into(
            self._buffer, i * _REQUEST.size, _REQUEST.size, entry.flags,
            text if kind == TEXT else 0, size if kind == TEXT else 0,
            ids if kind == TOKENS else 0, size if kind == TOKENS else 0,
            text if kind == CHAT else 0, size if kind == CHAT else 0,
            packed.address if packed else 0, entry.key, salt,
            packed.options.address if packed else 0, packed.options.n if packed else 0,
            entry.priority, packed.output_kind if packed else 0,
            packed.stream_interval if packed else 0, entry.queue_timeout_ms, entry.timeout_ms, 0)


def _check_number(name: str, value: Any, allowed: range) -> int:
    """For fields of 32 bits, where another number would wrap around."""
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {type(value).__name__}")
    if value not in allowed:
        raise VLLMValidationError(f"{name} must be in [{allowed.start}, {allowed.stop - 1}], got "
                                  f"{value}", parameter=name, value=value)
    return value


def check_priority(value: Any) -> int:
    return _check_number("priority", value, range(-2**31, 2**31))


def check_timeout(name: str, value: Any) -> int:
    """Milliseconds; 0 and None are none."""
    return _check_number(name, value or 0, range(2**32))


def tokenization(kwargs: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
    """tokenization_kwargs as request flags and options."""
    flags, options = 0, {}
    for name, value in (kwargs or {}).items():
        if name == "add_special_tokens":
            flags = 0 if value else _ffi.REQUEST_NO_SPECIAL
        elif value is None or (name == "truncation" and isinstance(value, bool)):
            continue                # max_length and truncate_prompt_tokens truncate by themselves
        elif name in ("truncate_prompt_tokens", "max_length"):
            options["truncate_prompt_tokens"] = value
        elif name == "truncation_side":
            if value not in ("left", "right"):
                raise VLLMValidationError(f"truncation_side must be left or right, got {value!r}",
                                          parameter=name, value=value)
            if value == "right" or name in _ffi.option_names(_ffi.SCOPE_REQUEST):
                options[name] = value
        else:
            raise NotImplementedError(f"{name} in tokenization_kwargs is not supported by "
                                      "llmserve; leave it out")
    return flags, options
