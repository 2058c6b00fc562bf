# SPDX-License-Identifier: Apache-2.0
"""One engine of the library: what LLM, LLMEngine and AsyncLLM share.

A request is known to the library by a key of ours, its user_data, which finds the State here.  A
record of the library is borrowed until the next step, so Core turns it into a RequestOutput at
once; logprobs are copied raw and turned into objects when somebody looks.

Threads: step(), run_batch() and what else the library wants from one thread at a time hold a lock.
add(), abort(), pause(), stats() and metrics() may be called from any thread beside them.
"""
from __future__ import annotations

import contextlib
import ctypes
import inspect
import itertools
import logging
import signal
import threading
import time
import weakref
from array import array
from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

from . import _ffi
from ._gate import Gate
from ._pack import Entry, Options, Packed, RequestArray, check_priority, check_timeout
from .exceptions import STATE, VLLMValidationError
from .inputs import TOKENS, parse
from .logprobs import Rows
from .outputs import CompletionOutput, RequestOutput, RequestStateStats
from .sampling_params import SamplingParams
from .tokenizer import Tokenizer

try:
    import numpy
except ImportError:
    numpy = None

logger = logging.getLogger("llmserve")

Record: Any = namedtuple("Record", [field[0] for field in _ffi.Output._fields_])
_OUTPUT = _ffi.codec(_ffi.Output)
_LEVELS = {1: logging.ERROR, 2: logging.WARNING, 3: logging.INFO, 4: logging.DEBUG}
_string_at = ctypes.string_at


# ---- Interrupts ---------------------------------------------------------------------------------

@contextlib.contextmanager
def interrupts_kept(raised: list[BaseException]) -> Iterator[None]:
    """While the library runs in the main thread, a Ctrl-C is put into raised instead of being
    raised, since an exception at the entry of a callback would be lost.  A second one is raised
    where it comes."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return

    def keep(number: int, frame: Any) -> None:
        if raised:
            handler(number, frame)
        raised.append(KeyboardInterrupt())

    signal.signal(signal.SIGINT, keep)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


# ---- Logits processors --------------------------------------------------------------------------

def _caller(processor: Callable[..., Any]) -> Callable[..., Any]:
    """The processor as f(prompt_ids, output_ids, logits, extra_args)."""
    parameters = inspect.signature(processor).parameters.values()
    extra = any(p.name == "extra_args" for p in parameters)
    n = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "extra_args" and
            p.default is p.empty for p in parameters)
    if n not in (2, 3):
        raise TypeError(f"a logits processor takes (output_ids, logits) or (prompt_ids, "
                        f"output_ids, logits), {processor!r} takes {n} arguments")

    def call(prompt_ids: list[int], output_ids: list[int], logits: Any, extra_args: Any) -> Any:
        ids = (output_ids,) if n == 2 else (prompt_ids, output_ids)
        return processor(*ids, logits, **({"extra_args": extra_args} if extra else {}))
    return call


def _logits_view(row: _ffi.Logits) -> Any:
    floats = (ctypes.c_float * row.n_vocab).from_address(row.logits)
    if numpy is not None:
        return numpy.frombuffer(floats, dtype=numpy.float32)
    return memoryview(floats).cast("B").cast("f")


def _copy_into(logits: Any, result: Any) -> None:
    if result is None or result is logits:
        return
    if len(result) != len(logits):
        raise ValueError(f"a logits processor gave back {len(result)} logits, the vocabulary has "
                         f"{len(logits)}")
    if numpy is not None:
        logits[:] = result
    else:
        logits[:] = array("f", result)


def _run_processors(state: "State", row: _ffi.Logits) -> None:
    ids = array("i", _string_at(row.tokens, 4 * row.n_tokens)).tolist()
    prompt_ids, output_ids = ids[:row.n_prompt], ids[row.n_prompt:]
    logits = _logits_view(row)
    for call in state.processors:
        _copy_into(logits, call(prompt_ids, output_ids, logits, state.extra_args))


def _logits_callback(states: dict[int, "State"], raised: list[BaseException]) -> Any:
    def on_row(user: Any, row: Any) -> int:
        state = states.get(row.contents.user_data)
        try:
            _run_processors(state, row.contents)
            return 0
        except Exception as error:      # ends this completion, and nothing else
            state.error = error
        except BaseException as error:  # KeyboardInterrupt: ends the call as well
            raised.append(error)
        return 1
    return _ffi.LogitsFn(on_row)


def _log_callback() -> Any:
    def on_line(user: Any, level: int, module: bytes, line: bytes) -> None:
        logger.log(_LEVELS.get(level, logging.DEBUG), "%s: %s", module.decode(errors="replace"),
                   line.decode(errors="replace"))
    return _ffi.LogFn(on_line)


# ---- Requests -----------------------------------------------------------------------------------

class State:
    """A request in the engine: what its outputs need and the library does not keep."""

    __slots__ = ("key", "id", "request_id", "entry", "prompt", "prompt_ids", "prompt_logprobs",
                 "parts", "error", "processors", "extra_args", "sink")

    def __init__(self, key: int, request_id: str, entry: Entry, sink: Any = None) -> None:
        self.key, self.request_id, self.entry, self.sink = key, request_id, entry, sink
        self.id = 0
        self.prompt, self.prompt_ids = entry.prompt.text, entry.prompt.ids
        self.prompt_logprobs: Rows | None = None
        self.parts: list[CompletionOutput] = []     # of a final output with n > 1
        self.error: Exception | None = None
        params = entry.packed.params if entry.packed else None
        self.processors = [_caller(p) for p in params.logits_processors or ()] if params else []
        self.extra_args = params.extra_args if params else None

    @property
    def params(self) -> SamplingParams | None:
        return self.entry.packed.params if self.entry.packed else None


def failed_output(request_id: str, prompt: str | None, error: Exception) -> RequestOutput:
    """The output of a request that was refused."""
    return RequestOutput(request_id, prompt, None, None,
                         [CompletionOutput(0, "", [], None, None, finish_reason="error")], True,
                         error=error)


class Reader:
    """Makes outputs from the library's records."""

    def __init__(self, decode: Callable[[int], str] | None) -> None:
        self._decode = decode
        self._size = 0
        self._to_monotonic = time.monotonic() - time.time()

    def record(self, address: int) -> Record:
        if self._size == 0:     # an older library's records are shorter
            self._size = min(_OUTPUT.size, ctypes.c_uint32.from_address(address).value)
        raw = _string_at(address, self._size)
        return Record._make(_OUTPUT.unpack(raw if self._size == _OUTPUT.size
                                           else raw.ljust(_OUTPUT.size, b"\0")))

    def _rows(self, address: int, n: int, width: int, state: State, is_prompt: bool) -> Rows:
        raw = _string_at(address, 12 * n * width) if address else b""
        flat = state.params is not None and state.params.flat_logprobs
        return Rows(raw, max(1, width), self._decode, flat, is_prompt)

    @staticmethod
    def _stop_reason(r: Record) -> int | str | None:
        if r.stop_string:
            return _string_at(r.stop_string).decode()
        if r.finish_reason == _ffi.FINISH_REPETITION:
            return "repetition_detected"
        return r.stop_token if r.stop_token >= 0 else None

    def completion(self, r: Record, state: State) -> CompletionOutput:
        params = state.params
        wants = params is None or params.num_logprobs is not None
        return CompletionOutput(
            r.index, _string_at(r.text, r.text_len).decode() if r.text_len else "",
            array("i", _string_at(r.tokens, 4 * r.n_tokens)).tolist() if r.n_tokens else [],
            r.cumulative_logprob if wants else None,
            self._rows(r.logprobs, r.n_tokens, r.n_logprobs, state, False) if wants else None,
            finish_reason=_ffi.finish_name(r.finish_reason), stop_reason=self._stop_reason(r))

    def _metrics(self, r: Record) -> RequestStateStats | None:
        if r.arrived_us == 0:       # refused before it came in
            return None
        arrived = r.arrived_us * 1e-6
        queued = arrived + self._to_monotonic

        def at(after_us: int) -> float:
            return queued + after_us * 1e-6 if after_us else 0.0
        return RequestStateStats(
            r.completion_tokens, arrived, queued, at(r.queue_us), at(r.first_token_us),
            at(r.elapsed_us), r.first_token_us * 1e-6, False, r.preemptions, r.itl_sum_us * 1e-6,
            r.itl_max_us * 1e-6, r.kv_block_steps, r.device_us * 1e-6, r.first_token_step,
            r.last_token_step)

    def _take_prompt(self, r: Record, state: State) -> None:
        """The library tells these once."""
        if r.prompt and state.prompt is None and state.entry.prompt.kind != TOKENS:
            state.prompt = _string_at(r.prompt, r.prompt_len).decode()
        if r.prompt_ids:
            state.prompt_ids = array("i", _string_at(r.prompt_ids, 4 * r.prompt_tokens)).tolist()
        if r.prompt_logprobs:
            state.prompt_logprobs = self._rows(r.prompt_logprobs, r.prompt_tokens,
                                               r.n_prompt_logprobs, state, True)

    def output(self, r: Record, state: State, completions: list[CompletionOutput],
               finished: bool) -> RequestOutput:
        error = state.error
        if error is None and r.error:
            error = _ffi.Error.from_address(r.error).exception()
        return RequestOutput(state.request_id, state.prompt, state.prompt_ids,
                             state.prompt_logprobs, completions, finished, self._metrics(r),
                             num_cached_tokens=r.cached_tokens, error=error)

    def read(self, r: Record, state: State) -> RequestOutput | None:
        """The output of one record, or None while a final output with n > 1 lacks others."""
        self._take_prompt(r, state)
        completion = self.completion(r, state)
        if state.entry.packed.output_kind != _ffi.OUTPUT_FINAL or state.params.n == 1:
            return self.output(r, state, [completion], bool(r.last))
        state.parts.append(completion)
        if r.error and state.error is None:
            state.error = _ffi.Error.from_address(r.error).exception()
        if not r.last:
            return None
        return self.output(r, state, sorted(state.parts, key=lambda c: c.index), True)


# ---- The engine ---------------------------------------------------------------------------------

def _destroy(gate: Gate, keep: Any) -> None:
    """A thread that still generates when the program ends keeps its engine."""
    handle = gate.close(timeout=10)
    if handle is not None:
        _ffi.lib().llm_engine_destroy(handle)


class Core:
    """Owns an llm_engine_t; it is destroyed by close(), or when nothing refers to the Core.

    Args:
        model: a directory or .gguf file.
        options: of the engine, by name.
        max_logprobs: what the option of that name is.

    Raises:
        ValueError, NotImplementedError, MemoryError, OSError: what the library says.
    """

    def __init__(self, model: str, options: dict[str, Any], max_logprobs: int = 20) -> None:
        self._lib, self._quick = _ffi.lib(), _ffi.quick()
        self._lock = threading.RLock()
        self._keys = itertools.count(1)
        self.states: dict[int, State] = {}
        self._raised: list[BaseException] = []
        self._has_processors = False
        self._logits_fn = _logits_callback(self.states, self._raised)
        self._log_fn = _log_callback()
        handle = self._create(model, options)
        self._gate = Gate(handle)
        self._closer = weakref.finalize(self, _destroy, self._gate,
                                        (self._logits_fn, self._log_fn))
        self.plan = _ffi.Plan()
        self._lib.llm_engine_plan(handle, ctypes.byref(self.plan))
        self.max_logprobs = max_logprobs
        address = self._lib.llm_engine_tokenizer(handle)
        self.tokenizer = Tokenizer(address, self._gate, model) if address else None
        self._reader = Reader(self.tokenizer.token_text if self.tokenizer else None)

    def _create(self, model: str, options: dict[str, Any]) -> int:
        made, error, handle = Options(_ffi.SCOPE_ENGINE, options), _ffi.Error(), ctypes.c_void_p()
        raised: list[BaseException] = []
        progress = _ffi.ProgressFn(lambda user, at: 1 if raised else 0)
        level = logger.getEffectiveLevel()
        config = _ffi.EngineConfig(
            model=str(model).encode(), options=made.address, n_options=made.n,
            log=ctypes.cast(self._log_fn, ctypes.c_void_p).value,
            progress=ctypes.cast(progress, ctypes.c_void_p).value,
            log_level=next((n for n in (4, 3, 2) if level <= _LEVELS[n]), 1))
        with interrupts_kept(raised):
            status = self._lib.llm_engine_create(ctypes.byref(config), ctypes.byref(handle),
                                                 ctypes.byref(error))
        if raised:
            self._lib.llm_engine_destroy(handle)
            raise raised[0]
        _ffi.check(status, error)
        return handle.value

    def close(self) -> None:
        """Destroys the engine and what is in it, when the calls that are in progress have
        returned.  A second call does nothing."""
        self._closer()
        self.states.clear()

    # ---- Requests in ------------------------------------------------------------------------

    def pack(self, params: SamplingParams, options: dict[str, Any]) -> Packed:
        """Raises ValueError for what the model does not allow."""
        params.verify(self.plan.vocab_size, self.max_logprobs)
        if params.logits_processors:
            self._has_processors = True
        return Packed(params, ctypes.cast(self._logits_fn, ctypes.c_void_p).value, options)

    def _check_ids(self, ids: array, options: Options | None) -> None:
        """What vLLM says of token ids; the library would say it in other words."""
        if len(ids) == 0:
            raise VLLMValidationError("The decoder prompt cannot be empty", parameter="prompt")
        if max(ids) >= self.plan.vocab_size or min(ids) < 0:
            bad = next(i for i in ids if not 0 <= i < self.plan.vocab_size)
            raise VLLMValidationError(f"Token id {bad} is out of vocabulary",
                                      parameter="prompt_token_ids", value=bad)
        if len(ids) > self.plan.max_model_len and not (options and options.n):
            raise VLLMValidationError(
                f"The decoder prompt (length {len(ids)}) is longer than the maximum model length "
                f"of {self.plan.max_model_len}. Make sure that `max_model_len` is no smaller than "
                "the number of text tokens.", parameter="prompt_token_ids", value=len(ids))

    def state(self, request_id: str, prompt: Any, packed: Packed | None, sink: Any = None,
              flags: int = 0, priority: int = 0, queue_timeout_ms: int = 0,
              timeout_ms: int = 0) -> State:
        """A request that is ready to be added.

        Raises:
            ValueError, TypeError, NotImplementedError: what is wrong with its prompt or numbers.
        """
        parsed = parse(prompt)
        if parsed.kind == TOKENS:
            self._check_ids(parsed.data, packed.options if packed else None)
        key = next(self._keys)
        entry = Entry(parsed, packed, key, flags | _ffi.REQUEST_ECHO, check_priority(priority),
                      check_timeout("queue_timeout_ms", queue_timeout_ms),
                      check_timeout("timeout_ms", timeout_ms))
        return State(key, request_id, entry, sink)

    def add(self, state: State) -> None:
        """Queues a request.  Raises EngineBusyError where there is no room."""
        error, number = _ffi.Error(), ctypes.c_uint64()
        requests = RequestArray([state.entry])
        with self._gate as handle:
            self.states[state.key] = state
            status = self._lib.llm_engine_add_request(handle, requests.first,
                                                      ctypes.byref(number), ctypes.byref(error))
            if status != 0:
                self.states.pop(state.key, None)
                _ffi.check(status, error)
            state.id = number.value

    def abort(self, state: State) -> None:
        """Ends a request within a step; that it has ended already does not matter."""
        if self._gate.is_open:
            with self._gate as handle:
                self._lib.llm_engine_abort(handle, state.id)

    # ---- Outputs ----------------------------------------------------------------------------

    def _raise_kept(self) -> None:
        if self._raised:
            first = self._raised[0]
            self._raised.clear()
            raise first

    def _drain(self, handle: int) -> list[tuple[State, RequestOutput]]:
        """What the steps since the last call have brought."""
        news, next_output = [], self._quick.llm_engine_next_output
        while address := next_output(handle):
            record = self._reader.record(address)
            state = self.states.get(record.user_data)
            if state is None:       # not one of ours
                continue
            output = self._reader.read(record, state)
            if record.last:
                del self.states[state.key]
            if output is not None:
                news.append((state, output))
        return news

    def step(self) -> list[tuple[State, RequestOutput]]:
        """One step and its outputs.

        Raises:
            EngineDeadError: the engine has failed and all outputs were handed over.
        """
        error = _ffi.Error()
        with self._lock, self._gate as handle:
            guard = interrupts_kept(self._raised) if self._has_processors else \
                contextlib.nullcontext()
            with guard:
                status = self._lib.llm_engine_step(handle, ctypes.byref(error))
            self._raise_kept()
            news = [] if status == STATE else self._drain(handle)
            if news and not self.states:    # the places of what has ended are free after a step
                self._lib.llm_engine_step(handle, None)
        if status != 0 and not news:
            _ffi.check(status, error)
        return news

    def wait(self, timeout_us: int) -> None:
        with self._gate as handle:
            self._lib.llm_engine_wait(handle, timeout_us)

    def notify(self) -> None:
        if self._gate.is_open:
            with self._gate as handle:
                self._lib.llm_engine_notify(handle)

    # ---- Batches ----------------------------------------------------------------------------

    def _batch_outputs(self, batch: int, i: int, state: State, n: int) -> RequestOutput:
        get, completions, record = self._quick.llm_batch_output, [], None
        for index in range(n):
            address = get(batch, i, index)
            if not address:
                break
            r = self._reader.record(address)
            self._reader._take_prompt(r, state)
            completions.append(self._reader.completion(r, state))
            if record is None or r.error:
                record = r
        return self._reader.output(record, state, completions, True)

    def run_batch(self, states: list[State], on_progress: Callable[[_ffi.Progress], None] | None,
                  beam: _ffi.BeamStruct | None = None) -> list[RequestOutput]:
        """Runs requests to their end, in the order given; a refused one has an output with an
        error.  With beam it is a beam search, and n of each is the beam width.

        Raises:
            KeyboardInterrupt: Ctrl-C; all were stopped.
            EngineDeadError: the engine failed.
        """
        error, batch, raised = _ffi.Error(), ctypes.c_void_p(), self._raised

        def progress(user: Any, at: Any) -> int:
            if on_progress is not None and not raised:
                try:
                    on_progress(at.contents)
                except BaseException as fault:  # of a bar that the caller gave
                    raised.append(fault)
            return 1 if raised else 0

        function = _ffi.ProgressFn(progress)
        requests = RequestArray([s.entry for s in states])
        call = self._lib.llm_generate_batch if beam is None else self._lib.llm_beam_search
        extra = () if beam is None else (ctypes.byref(beam),)
        with self._lock, self._gate as handle:
            self.states.update((s.key, s) for s in states)
            try:
                with interrupts_kept(raised):
                    status = call(handle, requests.address, requests.n, *extra,
                                  ctypes.cast(function, ctypes.c_void_p), None,
                                  ctypes.byref(batch), ctypes.byref(error))
                self._raise_kept()
                _ffi.check(status, error)
                return [self._batch_outputs(batch, i, s, s.params.n if beam is None
                                            else beam.beam_width)
                        for i, s in enumerate(states)]
            finally:
                self._lib.llm_batch_destroy(batch)
                for s in states:
                    self.states.pop(s.key, None)

    # ---- Care -------------------------------------------------------------------------------

    def default_params(self) -> SamplingParams:
        """SamplingParams() with the model's generation_config.json laid over it."""
        s = _ffi.SamplingStruct()
        with self._gate as handle:
            status = self._lib.llm_sampling_defaults(handle, ctypes.byref(s))
        if status != 0:
            raise _ffi.status_exception(status, "sampling defaults")

        def short(value: float) -> float:   # 0.7 and not 0.699999988079071
            return float(f"{value:.7g}")
        return SamplingParams(
            temperature=short(s.temperature), top_p=short(s.top_p) or 1.0, top_k=s.top_k,
            min_p=short(s.min_p), repetition_penalty=short(s.repetition_penalty) or 1.0,
            presence_penalty=short(s.presence_penalty),
            frequency_penalty=short(s.frequency_penalty), max_tokens=s.max_tokens or 16,
            min_tokens=s.min_tokens)

    def stats(self) -> _ffi.Stats:
        stats = _ffi.Stats()
        with self._gate as handle:
            status = self._lib.llm_engine_stats(handle, ctypes.byref(stats))
        if status != 0:
            raise _ffi.status_exception(status, "stats")
        return stats

    def metrics_text(self) -> str:
        """All metrics as Prometheus text."""
        n, size = ctypes.c_size_t(), 1 << 15
        while True:
            buffer = ctypes.create_string_buffer(size)
            with self._gate as handle:
                status = self._lib.llm_engine_metrics(handle, buffer, size, ctypes.byref(n))
            if n.value <= size:
                break
            size = n.value + 4096   # it grows while it is read
        if status != 0:
            raise _ffi.status_exception(status, "metrics")
        return buffer.raw[:n.value].decode()

    def reset_prefix_cache(self) -> bool:
        """False if some cached blocks were in use and stay."""
        with self._lock, self._gate as handle:
            return self._lib.llm_engine_reset_prefix_cache(handle) == 0

    def pause(self, mode: str) -> None:
        if mode not in _ffi.PAUSE:
            raise ValueError(f"mode must be one of {', '.join(_ffi.PAUSE)}, got {mode!r}")
        _ffi.need("llm_engine_pause", "pausing")
        error = _ffi.Error()
        with self._gate as handle:
            _ffi.check(self._lib.llm_engine_pause(handle, _ffi.PAUSE[mode], ctypes.byref(error)),
                       error)

    def resume(self) -> None:
        _ffi.need("llm_engine_resume", "resuming")
        error = _ffi.Error()
        with self._gate as handle:
            _ffi.check(self._lib.llm_engine_resume(handle, ctypes.byref(error)), error)
