# SPDX-License-Identifier: Apache-2.0
"""Parameters of sampling and beam search: vLLM's names, defaults, ranges and messages.

What depends on the model (vocabulary, max_logprobs) is checked when a request is added, by
SamplingParams.verify(); the rest at construction.
"""
from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any

from .exceptions import VLLMValidationError

__all__ = ["SamplingParams", "BeamSearchParams", "StructuredOutputsParams",
           "RepetitionDetectionParams", "RequestOutputKind", "SamplingType"]

logger = logging.getLogger("llmserve")

_GREEDY_BELOW = 1e-5
_MIN_TEMPERATURE = 1e-2
_MAX_N = 16384
_MAX_LOGPROB_IDS = 128


class SamplingType(IntEnum):
    GREEDY = 0
    RANDOM = 1
    RANDOM_SEED = 2


class RequestOutputKind(Enum):
    """How much each RequestOutput holds."""

    CUMULATIVE = 0
    """All that was generated so far."""
    DELTA = 1
    """What is new since the one before."""
    FINAL_ONLY = 2
    """Everything, in one output at the end."""


@dataclass
class StructuredOutputsParams:
    """What the output must conform to: exactly one of the first six."""

    json: str | dict | None = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: bool | None = None
    disable_any_whitespace: bool = False
    disable_additional_properties: bool = False
    whitespace_pattern: str | None = None
    structural_tag: str | None = None

    KINDS = ("json", "regex", "choice", "grammar", "json_object", "structural_tag")

    def __post_init__(self) -> None:
        n_set = sum(getattr(self, kind) is not None for kind in self.KINDS)
        if n_set > 1:
            raise VLLMValidationError("You can only use one kind of structured outputs constraint "
                                      f"but multiple are specified: {self.__dict__}")
        if n_set < 1:
            raise VLLMValidationError("You must use one kind of structured outputs constraint "
                                      f"but none are specified: {self.__dict__}")

    def all_constraints_none(self) -> bool:
        return all(getattr(self, kind) is None for kind in self.KINDS)


@dataclass
class RepetitionDetectionParams:
    """Ends a completion whose last tokens are one pattern repeated.

    Attributes:
        max_pattern_size: longest pattern, in tokens; 0 turns it off.
        min_pattern_size: shortest pattern, in tokens; 0 stands for 1.
        min_count: how often the pattern must stand there, at least 2.
    """

    max_pattern_size: int = 0
    min_pattern_size: int = 0
    min_count: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.min_pattern_size <= self.max_pattern_size:
            raise VLLMValidationError(
                "max_pattern_size, min_pattern_size must be >=0, with min_pattern_size <= "
                "max_pattern_size. Set both to 0 to disable repetitive pattern detection.")
        if self.max_pattern_size > 0 and self.min_count < 2:
            raise VLLMValidationError(
                "min_count must be >= 2 to detect repetitive patterns in engine output. If you do "
                "not wish to detect repetitive patterns, set max_pattern_size to 0.")


def _refuse(message: str, parameter: str, value: Any) -> None:
    raise VLLMValidationError(message, parameter=parameter, value=value)


def _verify_count(value: Any, name: str) -> None:
    if not isinstance(value, int):
        _refuse(f"{name} must be an int, but is of type {type(value)}", name, value)
    if value < 1:
        _refuse(f"{name} must be at least 1, got {value}.", name, value)
    if value > _MAX_N:
        _refuse(f"{name} must be at most {_MAX_N}, got {value}.", name, value)


def _thinking_budget(value: Any) -> int | None:
    if value is None or (value == -1 and type(value) is int):
        return None
    if type(value) is not int or value < 0:
        _refuse("`thinking_token_budget` must be a non-negative integer or -1 for unlimited.",
                "thinking_token_budget", value)
    return value


def _bias_by_id(bias: dict[Any, float]) -> dict[int, float]:
    made, bad = {}, []
    for token, value in bias.items():
        try:
            made[int(token)] = min(100.0, max(-100.0, value))
        except (ValueError, TypeError):
            bad.append(token)
    if bad:
        _refuse("logit_bias contains key(s) that cannot be converted to integer token IDs: "
                f"{bad!r}", "logit_bias", bad)
    return made


def _unique(items: Any) -> list:
    return list(dict.fromkeys(items)) if items is not None else []


@dataclass
class SamplingParams:
    """How to sample the completions of one prompt, and when they end.

    Attributes:
        n: completions of a prompt, [1, 16384]; 1 when greedy.
        presence_penalty: [-2, 2], off the logit of each token that is in the output.
        frequency_penalty: [-2, 2], the same for each time it is in the output.
        repetition_penalty: > 0; divides positive and multiplies negative logits of tokens that
            are in the prompt or the output.
        temperature: [0, 2]; below 1e-5 the likeliest token is taken.
        top_p: (0, 1], least probability mass of the likeliest tokens that stay.
        top_k: how many likeliest tokens stay; 0 and -1 mean all.
        min_p: [0, 1], least probability of a token that stays, as a share of the likeliest's.
        seed: 64-bit; None and -1 take the engine's seed and the request's number.
        stop: strings that end the output; they are cut off.
        stop_token_ids: ids that end the output; they stay in token_ids.
        ignore_eos: go on past the end of sequence.
        max_tokens: most tokens of a completion, at least 1; None: to the end of the context.
        min_tokens: no end of sequence and no stop before so many tokens.
        logprobs: so many likeliest tokens a position, and the one taken; 0: only that one; -1: the
            whole vocabulary; None: nothing.
        prompt_logprobs: the same for each token of the prompt.
        logprob_token_ids: instead of the likeliest, these ids, at most 128.
        flat_logprobs: give logprobs as FlatLogprobs, which is a few flat lists.
        detokenize: False gives token ids only, and text is "".
        skip_special_tokens: leave special tokens out of the text.
        include_stop_str_in_output: leave the stop string in the text.
        output_kind: how much each RequestOutput of a stream holds; LLM has FINAL_ONLY always.
        stream_interval: tokens between two outputs of a stream, at least 1.
        structured_outputs: what the text must conform to.
        logit_bias: {token id: what is added to its logit, [-100, 100]}.
        allowed_token_ids: no other ids come.
        extra_args: for logits processors, any dict.
        bad_words: texts that may not come.
        skip_reading_prefix_cache: compute the whole prompt; None: only with prompt_logprobs.
        thinking_token_budget: most tokens of thought; None and -1: any number.
        repetition_detection: see there.
        logits_processors: functions that change a row of logits in place before it is sampled,
            called as f(output_ids, logits) or f(prompt_ids, output_ids, logits), with
            extra_args=... if they have a parameter of that name.  logits has one float32 per
            token of the vocabulary, a numpy array where numpy is installed, else a memoryview,
            and is valid during the call.  What is returned, unless None, is copied into it.
            An exception ends that request alone.  Not in vLLM today.

    Raises:
        ValueError: (VLLMValidationError) a value out of its range, with its name in .parameter.
        TypeError: a name that is not known.
    """

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int | None = None
    stop: str | list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    prompt_logprob_token_ids: list[int] | None = None
    prompt_logprob_start: int | None = None
    logprob_token_ids: list[int] | None = None
    flat_logprobs: bool = False
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True
    include_stop_str_in_output: bool = False
    output_kind: RequestOutputKind = RequestOutputKind.CUMULATIVE
    stream_interval: int | None = None
    skip_clone: bool = False
    output_text_buffer_length: int = 0
    structured_outputs: StructuredOutputsParams | None = None
    logit_bias: dict[int, float] | None = None
    allowed_token_ids: list[int] | None = None
    extra_args: dict[str, Any] | None = None
    bad_words: list[str] | None = None
    skip_reading_prefix_cache: bool | None = None
    thinking_token_budget: int | None = None
    repetition_detection: RepetitionDetectionParams | None = None
    routed_experts_prompt_start: int = 0
    trace_decode_token_ids: list[int] | None = None
    logits_processors: list[Callable[..., Any]] | None = field(default=None)

    @staticmethod
    def from_optional(**fields: Any) -> "SamplingParams":
        """SamplingParams where None stands for the default of a number."""
        for name in ("n", "presence_penalty", "frequency_penalty", "repetition_penalty",
                     "temperature", "top_p"):
            if fields.get(name, 0) is None:
                del fields[name]
        return SamplingParams(**fields)

    def __post_init__(self) -> None:
        if 0 < self.temperature < _MIN_TEMPERATURE:
            logger.warning("temperature %s is less than %s, which may cause numerical errors nan "
                           "or inf in tensors. We have maxed it out to %s.", self.temperature,
                           _MIN_TEMPERATURE, _MIN_TEMPERATURE)
            self.temperature = _MIN_TEMPERATURE
        self._check()
        if self.temperature < _GREEDY_BELOW:
            self.top_p, self.top_k, self.min_p = 1.0, 0, 0.0
            if self.n > 1:
                _refuse(f"n must be 1 when using greedy sampling, got {self.n}.", "n", self.n)

    def _check(self) -> None:
        self._normalise()
        self._verify_numbers()
        self._verify_lengths()
        self._verify_lists()

    def _normalise(self) -> None:
        if self.seed == -1:
            self.seed = None
        self.thinking_token_budget = _thinking_budget(self.thinking_token_budget)
        self.stop = [self.stop] if isinstance(self.stop, str) else list(self.stop or ())
        self.stop_token_ids = _unique(self.stop_token_ids)
        self.bad_words = _unique(self.bad_words)
        if self.logprobs is True:
            self.logprobs = 1
        if self.prompt_logprobs is True:
            self.prompt_logprobs = 1
        if self.logit_bias is not None:
            self.logit_bias = _bias_by_id(self.logit_bias)
        if self.stop and not self.include_stop_str_in_output:
            self.output_text_buffer_length = max(map(len, self.stop)) - 1
        if self.skip_reading_prefix_cache is None:
            self.skip_reading_prefix_cache = self.prompt_logprobs is not None or \
                self.prompt_logprob_token_ids is not None

    def _verify_numbers(self) -> None:
        _verify_count(self.n, "n")
        for name in ("presence_penalty", "frequency_penalty"):
            value = getattr(self, name)
            if not -2.0 <= value <= 2.0:
                _refuse(f"{name} must be in [-2, 2], got {value}.", name, value)
        for name in ("repetition_penalty", "temperature"):
            value = getattr(self, name)
            if not math.isfinite(value):
                _refuse(f"{name} must be a finite number, got {value}.", name, value)
        if self.repetition_penalty <= 0.0:
            _refuse(f"repetition_penalty must be greater than zero, got {self.repetition_penalty}.",
                    "repetition_penalty", self.repetition_penalty)
        if self.temperature < 0.0:
            _refuse(f"temperature must be non-negative, got {self.temperature}.", "temperature",
                    self.temperature)
        if self.temperature > 2.0:
            _refuse(f"temperature must be in [0, 2], got {self.temperature}.", "temperature",
                    self.temperature)
        if not 0.0 < self.top_p <= 1.0:
            _refuse(f"top_p must be in (0, 1], got {self.top_p}.", "top_p", self.top_p)
        if self.top_k < -1:
            _refuse(f"top_k must be 0 (disable), or at least 1, got {self.top_k}.", "top_k",
                    self.top_k)
        if not isinstance(self.top_k, int):
            _refuse(f"top_k must be an integer, got {type(self.top_k).__name__}", "top_k",
                    self.top_k)
        if not 0.0 <= self.min_p <= 1.0:
            _refuse(f"min_p must be in [0, 1], got {self.min_p}.", "min_p", self.min_p)

    def _verify_lengths(self) -> None:
        if self.max_tokens is not None and self.max_tokens < 1:
            _refuse(f"max_tokens must be at least 1, got {self.max_tokens}.", "max_tokens",
                    self.max_tokens)
        if self.min_tokens < 0:
            _refuse(f"min_tokens must be greater than or equal to 0, got {self.min_tokens}.",
                    "min_tokens", self.min_tokens)
        if self.max_tokens is not None and self.min_tokens > self.max_tokens:
            _refuse("min_tokens must be less than or equal to "
                    f"max_tokens={self.max_tokens}, got {self.min_tokens}.", "min_tokens",
                    self.min_tokens)
        if self.stream_interval is not None and self.stream_interval < 1:
            _refuse(f"stream_interval must be at least 1, got {self.stream_interval}.",
                    "stream_interval", self.stream_interval)
        for name in ("logprobs", "prompt_logprobs"):
            value = getattr(self, name)
            if value is not None and value < -1:
                _refuse(f"{name} must be non-negative or -1, got {value}.", name, value)

    def _verify_lists(self) -> None:
        if not all(isinstance(token, int) for token in self.stop_token_ids):
            _refuse(f"stop_token_ids must contain only integers, got {self.stop_token_ids}.",
                    "stop_token_ids", self.stop_token_ids)
        if not all(self.stop):
            _refuse("stop cannot contain an empty string.", "stop", self.stop)
        if self.stop and not self.detokenize:
            _refuse("stop strings are only supported when detokenize is True. Set detokenize=True "
                    "to use stop.", "stop", self.stop)
        if not all(self.bad_words):
            _refuse("bad_words cannot contain an empty string. Got bad_words="
                    f"{self.bad_words}", "bad_words", self.bad_words)
        for processor in self.logits_processors or ():
            if not callable(processor):
                _refuse(f"logits_processors must be callable, got {processor!r}",
                        "logits_processors", processor)

    # ---- With the model known ---------------------------------------------------------------

    def verify(self, vocab_size: int, max_logprobs: int) -> None:
        """Checks what depends on the model: ids against its vocabulary, logprobs against
        max_logprobs (-1: the vocabulary).  The rest again, since fields may have been set."""
        self._check()
        most = vocab_size if max_logprobs == -1 else max_logprobs
        for name, what in (("logprobs", "sample"), ("prompt_logprobs", "prompt")):
            value = getattr(self, name)
            value = vocab_size if value == -1 else value or 0
            if value > most:
                _refuse(f"Requested {what} logprobs of {value}, which is greater than max allowed: "
                        f"{most}", name, value)
        if self.logprob_token_ids is not None:
            self._verify_logprob_ids()
        for name in ("logprob_token_ids", "logit_bias", "stop_token_ids"):
            bad = [t for t in getattr(self, name) or () if not 0 <= t < vocab_size]
            if bad:
                _refuse(f"token_id(s) {bad} in {name} contain out-of-vocab token ids. Vocabulary "
                        f"size: {vocab_size}", name, bad)
        if self.allowed_token_ids is not None:
            self._verify_allowed(vocab_size)

    def _verify_allowed(self, vocab_size: int) -> None:
        if len(self.allowed_token_ids) == 0:
            _refuse("allowed_token_ids is not None and empty!", "allowed_token_ids",
                    self.allowed_token_ids)
        bad = [t for t in self.allowed_token_ids if not 0 <= t < vocab_size]
        if bad:
            _refuse("allowed_token_ids contains out-of-vocab token id!", "allowed_token_ids", bad)

    def _verify_logprob_ids(self) -> None:
        n = len(self.logprob_token_ids)
        if n > _MAX_LOGPROB_IDS:
            _refuse(f"Requested logprob_token_ids of length {n}, which is greater than max "
                    f"allowed: {_MAX_LOGPROB_IDS}", "logprob_token_ids", n)
        if self.logprobs is not None and self.logprobs != n:
            _refuse("When both logprobs and logprob_token_ids are set, logprobs must equal "
                    f"len(logprob_token_ids). Got logprobs={self.logprobs}, "
                    f"len(logprob_token_ids)={n}.", "logprob_token_ids", n)

    # ---- Views ------------------------------------------------------------------------------

    @property
    def sampling_type(self) -> SamplingType:
        if self.temperature < _GREEDY_BELOW:
            return SamplingType.GREEDY
        return SamplingType.RANDOM if self.seed is None else SamplingType.RANDOM_SEED

    @property
    def all_stop_token_ids(self) -> set[int]:
        return set(self.stop_token_ids or ())

    @property
    def num_logprobs(self) -> int | None:
        """Likeliest tokens a position, or the number of logprob_token_ids, or None."""
        if self.logprobs is not None:
            return self.logprobs
        return len(self.logprob_token_ids) if self.logprob_token_ids else None

    def clone(self) -> "SamplingParams":
        """A copy that shares nothing, or under skip_clone one that shares the lists."""
        return copy.copy(self) if self.skip_clone else copy.deepcopy(self)

    _SHOWN = ("n", "presence_penalty", "frequency_penalty", "repetition_penalty", "temperature",
              "top_p", "top_k", "min_p", "seed", "stop", "stop_token_ids", "bad_words",
              "thinking_token_budget", "include_stop_str_in_output", "ignore_eos", "max_tokens",
              "min_tokens", "logprobs", "prompt_logprobs", "skip_special_tokens",
              "spaces_between_special_tokens", "structured_outputs", "extra_args")

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in self._SHOWN)
        return f"SamplingParams({shown})"


@dataclass
class BeamSearchParams:
    """How to search the likeliest completions of one prompt.

    Attributes:
        beam_width: beams that are kept, and sequences that are returned.
        max_tokens: tokens of a completion.
        ignore_eos: the end of sequence ends no beam.
        temperature: counts where the engine's logprobs_mode is a processed one.
        length_penalty: a score is the sum of logprobs / length ** length_penalty.
        include_stop_str_in_output: keep the end-of-sequence token.
        structured_outputs: not in this version.

    Raises:
        ValueError: (VLLMValidationError) beam_width is not in [1, 16384].
    """

    beam_width: int
    max_tokens: int
    ignore_eos: bool = False
    temperature: float = 0.0
    length_penalty: float = 1.0
    include_stop_str_in_output: bool = False
    structured_outputs: StructuredOutputsParams | None = None

    def __post_init__(self) -> None:
        _verify_count(self.beam_width, "beam_width")
