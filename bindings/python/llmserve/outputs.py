# SPDX-License-Identifier: Apache-2.0
"""What comes back: RequestOutput with one CompletionOutput for each of its n completions."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .logprobs import PromptLogprobs, Rows, SampleLogprobs

__all__ = ["RequestOutput", "CompletionOutput", "RequestStateStats"]

logger = logging.getLogger("llmserve")


@dataclass
class RequestStateStats:
    """Times and costs of a request, of its completion 0 where n > 1.

    Attributes:
        num_generation_tokens: tokens so far.
        arrival_time: seconds since 1970.
        queued_ts, scheduled_ts, first_token_ts, last_token_ts: seconds on time.monotonic()'s
            clock, 0.0 if it has not happened.
        first_token_latency: seconds from arrival to the first token.
        is_corrupted: always False: rows that are not finite end with an error instead.
        num_preemptions: how often it gave up its KV blocks and was computed again.
        inter_token_sum, inter_token_max: seconds between its tokens.
        kv_block_steps: KV blocks held, summed over steps.
        device_time: seconds of the steps it ran in, its share by tokens.
        first_token_step, last_token_step: numbers of the engine's steps, 0: no token yet.
    """

    num_generation_tokens: int = 0
    arrival_time: float = 0.0
    queued_ts: float = 0.0
    scheduled_ts: float = 0.0
    first_token_ts: float = 0.0
    last_token_ts: float = 0.0
    first_token_latency: float = 0.0
    is_corrupted: bool = False
    num_preemptions: int = 0
    inter_token_sum: float = 0.0
    inter_token_max: float = 0.0
    kv_block_steps: int = 0
    device_time: float = 0.0
    first_token_step: int = 0
    last_token_step: int = 0


def _made(value: Any) -> Any:
    return value.make() if isinstance(value, Rows) else value


class CompletionOutput:
    """One completion.

    Attributes:
        index: which of the n.
        text: whole characters; "" under detokenize=False.
        token_ids: ids, the one that ended it included.
        cumulative_logprob: sum over all tokens so far; None without logprobs.
        logprobs: for each token {id: Logprob}, the one taken first, or FlatLogprobs; or None.
        finish_reason: "stop", "length", "abort", "error", "repetition" or "deadline"; None while
            it runs.
        stop_reason: the stop string or the id of stop_token_ids that ended it, else None.
    """

    __slots__ = ("index", "text", "token_ids", "cumulative_logprob", "_logprobs",
                 "routed_experts", "finish_reason", "stop_reason", "lora_request")

    def __init__(self, index: int, text: str, token_ids: Sequence[int],
                 cumulative_logprob: float | None, logprobs: SampleLogprobs | None,
                 routed_experts: Any = None, finish_reason: str | None = None,
                 stop_reason: int | str | None = None, lora_request: Any = None) -> None:
        self.index = index
        self.text = text
        self.token_ids = token_ids
        self.cumulative_logprob = cumulative_logprob
        self._logprobs = logprobs
        self.routed_experts = routed_experts
        self.finish_reason = finish_reason
        self.stop_reason = stop_reason
        self.lora_request = lora_request

    @property
    def logprobs(self) -> SampleLogprobs | None:
        self._logprobs = _made(self._logprobs)
        return self._logprobs

    @logprobs.setter
    def logprobs(self, value: SampleLogprobs | None) -> None:
        self._logprobs = value

    def finished(self) -> bool:
        return self.finish_reason is not None

    def _append(self, newer: "CompletionOutput") -> None:
        self.text += newer.text
        self.token_ids = [*self.token_ids, *newer.token_ids]
        if newer._logprobs is not None:
            if self._logprobs is None:
                self._logprobs = newer._logprobs
            else:
                self.logprobs.extend(newer.logprobs)
        self.cumulative_logprob = newer.cumulative_logprob
        self.finish_reason = newer.finish_reason
        self.stop_reason = newer.stop_reason

    def _key(self) -> tuple:
        return (self.index, self.text, list(self.token_ids), self.cumulative_logprob,
                self.logprobs, self.finish_reason, self.stop_reason)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, CompletionOutput) \
            else NotImplemented

    __hash__ = None

    def __repr__(self) -> str:
        return (f"CompletionOutput(index={self.index}, text={self.text!r}, "
                f"token_ids={self.token_ids}, routed_experts={self.routed_experts}, "
                f"cumulative_logprob={self.cumulative_logprob}, logprobs={self.logprobs}, "
                f"finish_reason={self.finish_reason}, stop_reason={self.stop_reason})")


class RequestOutput:
    """A prompt and its completions.

    Attributes:
        request_id: as given to add_request() or counted by LLM.
        prompt: text of the prompt; None for one given as ids without a text.
        prompt_token_ids: its ids, as the model saw them.
        prompt_logprobs: None for the first token and {id: Logprob} for each other one, or
            FlatLogprobs; None where not asked for.
        outputs: the completions; in a stream those with news.
        finished: nothing more comes for this request.
        metrics: times and costs.
        num_cached_tokens: tokens of the prompt that were found in the prefix cache.
        error: why a completion has finish_reason "error", or what a logits processor raised
            ("abort"); else None.  Not in vLLM.
    """

    def __init__(self, request_id: str, prompt: str | None, prompt_token_ids: list[int] | None,
                 prompt_logprobs: PromptLogprobs | None, outputs: list[CompletionOutput],
                 finished: bool, metrics: RequestStateStats | None = None,
                 lora_request: Any = None, encoder_prompt: str | None = None,
                 encoder_prompt_token_ids: list[int] | None = None,
                 num_cached_tokens: int | None = None, *, error: Exception | None = None,
                 **ignored: Any) -> None:
        if ignored:
            logger.warning("RequestOutput: Ignoring extra arguments: %s", ignored)
        self.request_id = request_id
        self.prompt = prompt
        self.prompt_token_ids = prompt_token_ids
        self._prompt_logprobs = prompt_logprobs
        self.outputs = outputs
        self.finished = finished
        self.metrics = metrics
        self.lora_request = lora_request
        self.encoder_prompt = encoder_prompt
        self.encoder_prompt_token_ids = encoder_prompt_token_ids
        self.num_cached_tokens = num_cached_tokens
        self.error = error

    kv_transfer_params = None
    num_cache_creation_tokens = None

    @property
    def prompt_logprobs(self) -> PromptLogprobs | None:
        self._prompt_logprobs = _made(self._prompt_logprobs)
        return self._prompt_logprobs

    @prompt_logprobs.setter
    def prompt_logprobs(self, value: PromptLogprobs | None) -> None:
        self._prompt_logprobs = value

    def add(self, next_output: "RequestOutput", aggregate: bool) -> None:
        """Takes a newer output of the same request into this one: its completions are appended
        to those of the same index (aggregate, for deltas) or replace them."""
        self.finished |= next_output.finished
        self.metrics = next_output.metrics or self.metrics
        self.error = next_output.error or self.error
        for newer in next_output.outputs:
            at = next((i for i, o in enumerate(self.outputs) if o.index == newer.index), None)
            if at is None:
                self.outputs.append(newer)
            elif aggregate:
                self.outputs[at]._append(newer)
            else:
                self.outputs[at] = newer

    def __repr__(self) -> str:
        return (f"RequestOutput(request_id={self.request_id}, prompt={self.prompt!r}, "
                f"prompt_token_ids={self.prompt_token_ids}, "
                f"encoder_prompt={self.encoder_prompt!r}, "
                f"encoder_prompt_token_ids={self.encoder_prompt_token_ids}, "
                f"prompt_logprobs={self.prompt_logprobs}, outputs={self.outputs}, "
                f"finished={self.finished}, metrics={self.metrics}, "
                f"lora_request={self.lora_request}, "
                f"num_cached_tokens={self.num_cached_tokens})")
