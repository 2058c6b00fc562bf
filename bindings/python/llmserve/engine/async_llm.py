# SPDX-License-Identifier: Apache-2.0
"""AsyncLLM: requests as async generators.

One thread steps the engine and turns the records of a step into outputs, and hands these to the
event loop in one call.  Everything else, the collectors too, belongs to the event loop's thread.
"""
from __future__ import annotations

import asyncio
import logging
import threading
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Any

from .._core import Core, State
from ..exceptions import EngineDeadError
from ..outputs import RequestOutput
from ..sampling_params import RequestOutputKind, SamplingParams
from .arg_utils import AsyncEngineArgs
from .llm_engine import NO_POOLING, EngineBase, check_params, refuse_adapters, refused

__all__ = ["AsyncLLM", "AsyncLLMEngine"]

logger = logging.getLogger("llmserve")

_LONG_PROMPT = 1 << 15      # bytes; longer ones are encoded beside the event loop


class _Collector:
    """The newest output of a request, until its generator takes it: an older one is merged, so a
    slow reader holds up nobody and no memory grows but its own."""

    __slots__ = ("loop", "_delta", "_item", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop, delta: bool) -> None:
        self.loop, self._delta = loop, delta
        self._item: RequestOutput | Exception | None = None
        self._waiter: asyncio.Future | None = None

    def put(self, item: RequestOutput | Exception) -> None:
        if not isinstance(self._item, RequestOutput):
            self._item = item
        elif isinstance(item, RequestOutput):
            self._item.add(item, aggregate=self._delta)
        elif not self._item.finished:
            self._item = item
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def get(self) -> RequestOutput:
        while self._item is None:
            self._waiter = self.loop.create_future()
            await self._waiter
        item, self._item = self._item, None
        if isinstance(item, Exception):
            raise item
        return item


def _deliver(news: list[tuple[_Collector, Any]]) -> None:
    for collector, item in news:
        collector.put(item)


class _Pump(threading.Thread):
    """Steps the engine while there is something to do, and sleeps in the library otherwise."""

    def __init__(self, core: Core) -> None:
        super().__init__(name="llmserve", daemon=True)
        self._core = core
        self._calls: deque[Callable[[], None]] = deque()
        self._stopping = False
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while not self._stopping:
                while self._calls:
                    self._calls.popleft()()
                self._core.wait(-1)
                if not self._stopping:
                    self._hand_over(self._core.step())
        except Exception as error:
            self.error = error if isinstance(error, EngineDeadError) else \
                EngineDeadError(f"the engine failed: {error}")
            logger.error("%s", self.error)
            self._hand_over([(state, self.error) for state in list(self._core.states.values())])
            self._core.states.clear()

    def _hand_over(self, news: list[tuple[State, Any]]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[_Collector, Any]]] = {}
        for state, item in news:
            by_loop.setdefault(state.sink.loop, []).append((state.sink, item))
        for loop, items in by_loop.items():
            try:
                loop.call_soon_threadsafe(_deliver, items)
            except RuntimeError:    # the loop was closed with requests in it
                for state in [s for s in self._core.states.values() if s.sink.loop is loop]:
                    self._core.abort(state)

    def call(self, function: Callable[[], None]) -> None:
        """Has function called on this thread between two steps."""
        self._calls.append(function)
        self._core.notify()

    def stop(self) -> None:
        """Ends after the step that runs, and destroys the engine."""
        self._stopping = True
        self._core.notify()
        if threading.current_thread() is not self and self.ident is not None:
            self.join()
        self._core.close()


class AsyncLLM(EngineBase):
    """An engine for one event loop; generate() may be called any number of times at once.

    Args:
        args: an EngineArgs or AsyncEngineArgs; from_engine_args() is the usual way.
    """

    def __init__(self, args: AsyncEngineArgs) -> None:
        super().__init__(args)
        self._log_requests = getattr(args, "enable_log_requests", False)
        self._running: dict[str, State] = {}
        self._paused = False
        self._pump = _Pump(self.core)
        self._stop = weakref.finalize(self, self._pump.stop)
        self._pump.start()

    @classmethod
    def from_engine_args(cls, engine_args: AsyncEngineArgs, start_engine_loop: bool = True,
                         usage_context: Any = None, stat_loggers: Any = None) -> "AsyncLLM":
        """Loads the model and starts the thread that steps it.  All but engine_args is accepted
        for vLLM's sake."""
        return cls(engine_args)

    # ---- Requests ---------------------------------------------------------------------------

    async def generate(self, prompt: Any, sampling_params: SamplingParams, request_id: str, *,
                       lora_request: Any = None,
                       tokenization_kwargs: Mapping[str, Any] | None = None,
                       trace_headers: Mapping[str, str] | None = None, priority: int = 0,
                       prompt_text: str | None = None, data_parallel_rank: int | None = None,
                       queue_timeout_ms: int | None = None,
                       timeout_ms: int | None = None) -> AsyncGenerator[RequestOutput, None]:
        """Yields a request's outputs as they come.  Cancelling the task, or leaving the loop over
        the generator, aborts the request within one step.

        Args:
            prompt: a str, token ids, a TextPrompt or a TokensPrompt.
            sampling_params: output_kind says what each output holds.
            request_id: no other running request may have it.
            priority: lower runs first, under scheduling_policy="priority".
            queue_timeout_ms, timeout_ms: milliseconds until it is first scheduled and until it
                ends; past them it ends with finish_reason "deadline".  Not in vLLM.

        Raises:
            ValueError, TypeError, NotImplementedError: the request is not one that can run.
            EngineBusyError: the queue is full.
            EngineDeadError: the engine failed.
            Exception: what a logits processor of this request raised.
        """
        refuse_adapters(lora_request)
        self._check_alive()
        if request_id in self._running:
            raise ValueError(f"Request id {request_id} already running.")
        collector = _Collector(asyncio.get_running_loop(),
                               check_params(sampling_params).output_kind is
                               RequestOutputKind.DELTA)
        state = self._state(request_id, prompt, sampling_params, tokenization_kwargs,
                            sink=collector, priority=priority, queue_timeout_ms=queue_timeout_ms,
                            timeout_ms=timeout_ms)
        if state.prompt is None:
            state.prompt = prompt_text
        if self._log_requests:
            logger.info("request %s: %s", request_id, sampling_params)
        self._running[request_id] = state
        finished = False
        try:
            await self._add(state)
            while not finished:
                output = await collector.get()
                finished = output.finished
                if output.error is not None:
                    raise output.error
                yield output
        finally:
            del self._running[request_id]
            if not finished and state.id:
                self.core.abort(state)

    async def _add(self, state: State) -> None:
        if len(state.entry.prompt.data) < _LONG_PROMPT:
            self.core.add(state)
            return
        added = asyncio.get_running_loop().run_in_executor(None, self.core.add, state)
        try:
            await asyncio.shield(added)
        except asyncio.CancelledError:
            added.add_done_callback(lambda done: done.exception() or self.core.abort(state))
            raise

    encode = refused("encode", NO_POOLING)

    async def abort(self, request_id: str | Iterable[str], internal: bool = False) -> None:
        """Ends requests; their generators yield a last output with finish_reason "abort".
        Unknown ids do no harm."""
        for one in [request_id] if isinstance(request_id, str) else list(request_id):
            if one in self._running:
                self.core.abort(self._running[one])

    # ---- Pausing ----------------------------------------------------------------------------

    async def pause_generation(self, *, mode: str = "abort",
                               wait_for_inflight_requests: bool | None = None,
                               clear_cache: bool = True) -> None:
        """Starts nothing new until resume_generation(); returns when nothing runs.

        Args:
            mode: what happens to the requests that run: "abort" ends them, "wait" lets them run
                to their end, "keep" has them stand still with their KV cache.
            wait_for_inflight_requests: an older name of mode="wait".
            clear_cache: forget cached prefixes, unless mode is "keep".
        """
        mode = "wait" if wait_for_inflight_requests else mode
        if mode not in ("abort", "wait", "keep"):
            raise ValueError(f"Invalid pause mode: {mode}")
        self.core.pause(mode)
        self._paused = True
        while mode != "keep" and self.core.stats().requests_running > 0:
            await asyncio.sleep(0.001)
        if clear_cache and mode != "keep":
            await self.reset_prefix_cache()

    async def resume_generation(self) -> None:
        """Goes on.  Does nothing if it is not paused."""
        self.core.resume()
        self._paused = False

    async def is_paused(self) -> bool:
        return self._paused

    async def wait_for_requests_to_drain(self, drain_timeout: float = 300) -> None:
        """Returns when no request is unfinished.

        Raises:
            TimeoutError: after drain_timeout seconds.
        """
        end = asyncio.get_running_loop().time() + drain_timeout
        while self.core.states:
            if asyncio.get_running_loop().time() > end:
                raise TimeoutError(f"Timeout reached after {drain_timeout} seconds waiting for "
                                   "requests to drain.")
            await asyncio.sleep(0.005)

    # ---- Care -------------------------------------------------------------------------------

    async def reset_prefix_cache(self, reset_running_requests: bool = False,
                                 reset_connector: bool = False) -> bool:
        """Forgets cached prefixes; False if some are in use by running requests and stay."""
        self._check_alive()
        loop = asyncio.get_running_loop()
        result = loop.create_future()

        def settle(value: bool) -> None:
            if not result.done():
                result.set_result(value)

        self._pump.call(lambda: loop.call_soon_threadsafe(settle, self.core.reset_prefix_cache()))
        return await result

    async def reset_mm_cache(self) -> None:
        """There is none."""

    async def do_log_stats(self) -> None:
        """Nothing is logged; see get_metrics()."""

    async def is_tracing_enabled(self) -> bool:
        return False

    async def is_sleeping(self) -> bool:
        return False

    def _check_alive(self) -> None:
        if self._pump.error is not None:
            raise self._pump.error
        if not self._stop.alive:
            raise EngineDeadError("the engine was shut down")

    async def check_health(self) -> None:
        """Raises EngineDeadError if the engine has failed or was shut down."""
        self._check_alive()

    @property
    def is_running(self) -> bool:
        return self._stop.alive and self._pump.error is None

    @property
    def is_stopped(self) -> bool:
        return not self.is_running

    @property
    def errored(self) -> bool:
        return self._pump.error is not None

    @property
    def dead_error(self) -> BaseException:
        return self._pump.error or EngineDeadError("the engine has not failed")

    def shutdown(self, timeout: float | None = None) -> None:
        """Waits for the step that runs, and destroys the engine with what is in it; generators
        that still wait raise EngineDeadError.

        Args:
            timeout: accepted for vLLM's sake.
        """
        waiting = list(self.core.states.values())
        self._stop()
        for state in waiting:
            loop = state.sink.loop
            if not loop.is_closed():
                loop.call_soon_threadsafe(state.sink.put,
                                          EngineDeadError("the engine was shut down"))


AsyncLLMEngine = AsyncLLM
