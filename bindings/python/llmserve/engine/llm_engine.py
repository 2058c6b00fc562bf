# SPDX-License-Identifier: Apache-2.0
"""LLMEngine: an engine that its caller steps."""
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .. import metrics
from .._core import Core, State
from .._pack import Packed, tokenization
from ..outputs import RequestOutput
from ..sampling_params import SamplingParams
from ..tokenizer import Tokenizer
from .arg_utils import EngineArgs

__all__ = ["LLMEngine", "ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """What is known of the model.

    Attributes:
        model: its path.
        max_model_len: tokens of prompt and completion together.
        vocab_size: ids are below it.
        max_logprobs: most likeliest tokens that a request may ask for; -1: the vocabulary.
    """

    model: str
    max_model_len: int
    vocab_size: int
    hidden_size: int
    max_logprobs: int

    def get_vocab_size(self) -> int:
        return self.vocab_size

    def get_hidden_size(self) -> int:
        return self.hidden_size


def refuse_adapters(lora_request: Any) -> None:
    if lora_request is not None and lora_request != [] and \
            not (isinstance(lora_request, list) and all(r is None for r in lora_request)):
        raise NotImplementedError("lora_request is not supported by llmserve; merge the adapter "
                                  "into the model and leave lora_request at None")


NO_POOLING = "it generates text only, there are no pooling models"


def refused(name: str, way_out: str) -> Callable[..., Any]:
    """A method of vLLM's class that is not here."""
    def method(self: Any, *arguments: Any, **keywords: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.{name}() is not supported by llmserve: "
                                  f"{way_out}")
    method.__name__ = name
    method.__doc__ = f"Raises NotImplementedError: {way_out}."
    return method


def check_params(params: Any) -> SamplingParams:
    if not isinstance(params, SamplingParams):
        raise TypeError(f"params must be SamplingParams, got {type(params).__name__}")
    return params


class EngineBase:
    """What LLMEngine and AsyncLLM share: the Core and facts about the model."""

    def __init__(self, args: EngineArgs) -> None:
        model = args.model_path()
        self.core = Core(model, args.engine_options(), args.max_logprobs)
        self.engine_args = args
        plan = self.core.plan
        self.model_config = ModelConfig(model, plan.max_model_len, plan.vocab_size,
                                        plan.hidden_size, args.max_logprobs)

    def _state(self, request_id: str, prompt: Any, params: SamplingParams,
               tokenization_kwargs: Mapping[str, Any] | None, **rest: Any) -> State:
        flags, options = tokenization(tokenization_kwargs)
        packed: Packed = self.core.pack(check_params(params), options)
        return self.core.state(request_id, prompt, packed, flags=flags, **rest)

    @property
    def tokenizer(self) -> Tokenizer | None:
        return self.core.tokenizer

    def get_tokenizer(self) -> Tokenizer:
        """Raises ValueError under skip_tokenizer_init."""
        if self.core.tokenizer is None:
            raise ValueError("Tokenizer not available when `skip_tokenizer_init=True`")
        return self.core.tokenizer

    def get_model_config(self) -> ModelConfig:
        return self.model_config

    def get_metrics(self) -> list[metrics.Metric]:
        """All metrics as they are now."""
        return metrics.parse(self.core.metrics_text())

    def get_supported_tasks(self) -> tuple[str, ...]:
        return ("generate",)

    _ADAPTERS = "merge the adapter into the model"
    _MEMORY = "shutdown() frees all memory, a new engine takes it again"
    _PROFILE = "run the process under perf or another profiler"
    add_lora = refused("add_lora", _ADAPTERS)
    remove_lora = refused("remove_lora", _ADAPTERS)
    list_loras = refused("list_loras", _ADAPTERS)
    pin_lora = refused("pin_lora", _ADAPTERS)
    collective_rpc = refused("collective_rpc", "the model runs in this process, there are no "
                                               "workers to call")
    sleep = refused("sleep", _MEMORY)
    wake_up = refused("wake_up", _MEMORY)
    start_profile = refused("start_profile", _PROFILE)
    stop_profile = refused("stop_profile", _PROFILE)


class LLMEngine(EngineBase):
    """An engine that its caller steps, from one thread at a time.

    Args:
        args: an EngineArgs; from_engine_args() is the usual way.
    """

    def __init__(self, args: EngineArgs) -> None:
        super().__init__(args)
        self._running: dict[str, State] = {}

    @classmethod
    def from_engine_args(cls, engine_args: EngineArgs, usage_context: Any = None,
                         stat_loggers: Any = None,
                         enable_multiprocessing: bool = False) -> "LLMEngine":
        """Loads the model.  All but engine_args is accepted for vLLM's sake."""
        return cls(engine_args)

    def add_request(self, request_id: str, prompt: Any, params: SamplingParams,
                    arrival_time: float | None = None, lora_request: Any = None,
                    tokenization_kwargs: Mapping[str, Any] | None = None,
                    trace_headers: Mapping[str, str] | None = None, priority: int = 0,
                    session_id: str | None = None, prompt_text: str | None = None, *,
                    queue_timeout_ms: int | None = None, timeout_ms: int | None = None) -> str:
        """Queues a request; its outputs come from step().

        Args:
            request_id: comes back in every output.
            prompt: a str, token ids, a TextPrompt or a TokensPrompt.
            priority: lower runs first, under scheduling_policy="priority".
            queue_timeout_ms, timeout_ms: milliseconds until it is first scheduled and until it
                ends; past them it ends with finish_reason "deadline".  Not in vLLM.

        Raises:
            ValueError, TypeError, NotImplementedError: the request is not one that can run.
            EngineBusyError: the queue is full.
        """
        refuse_adapters(lora_request)
        if not isinstance(request_id, str):
            raise TypeError(f"request_id must be a string, got {type(request_id)}")
        if request_id in self._running:
            raise ValueError(f"Request id {request_id} already running.")
        state = self._state(request_id, prompt, params, tokenization_kwargs, priority=priority,
                            queue_timeout_ms=queue_timeout_ms, timeout_ms=timeout_ms)
        if state.prompt is None:
            state.prompt = prompt_text
        self.core.add(state)
        self._running[request_id] = state
        return request_id

    def step(self) -> list[RequestOutput]:
        """Runs one step; gives the outputs of all requests with news.

        Raises:
            EngineDeadError: the engine failed; all requests have ended.
        """
        outputs = []
        for state, output in self.core.step():
            outputs.append(output)
            if output.finished:
                self._running.pop(state.request_id, None)
        return outputs

    def abort_request(self, request_ids: str | Iterable[str], internal: bool = False) -> None:
        """Ends requests; the next step() gives their outputs with finish_reason "abort".
        Unknown ids do no harm."""
        for request_id in [request_ids] if isinstance(request_ids, str) else list(request_ids):
            if request_id in self._running:
                self.core.abort(self._running[request_id])

    def has_unfinished_requests(self) -> bool:
        return len(self.core.states) > 0

    def get_num_unfinished_requests(self) -> int:
        """Requests whose last output step() has not given yet."""
        return len(self.core.states)

    def reset_prefix_cache(self, reset_running_requests: bool = False,
                           reset_connector: bool = False) -> bool:
        """Forgets cached prefixes; False if some are in use by running requests and stay."""
        return self.core.reset_prefix_cache()

    def reset_mm_cache(self) -> None:
        """There is none."""

    def reset_encoder_cache(self) -> None:
        """There is none."""

    def do_log_stats(self) -> None:
        """Nothing is logged; see get_metrics()."""

    def is_sleeping(self) -> bool:
        return False

    def shutdown(self) -> None:
        """Destroys the engine and what is in it."""
        self.core.close()
        self._running.clear()
