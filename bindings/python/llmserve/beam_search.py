# SPDX-License-Identifier: Apache-2.0
"""What a beam search gives back."""
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .logprobs import Logprob

__all__ = ["BeamSearchSequence", "BeamSearchOutput"]


@dataclass
class BeamSearchSequence:
    """One beam.

    Attributes:
        tokens: ids of prompt and completion.
        logprobs: for each token of the completion {id: Logprob}, where the library hands them out.
        cum_logprob: sum of the logprobs of the completion.
        text: of all tokens, prompt and special tokens included.
        finish_reason: "stop" or "length".
        stop_reason: the end-of-sequence id that ended it, or None.
    """

    tokens: list[int]
    logprobs: list[dict[int, Logprob]]
    lora_request: Any = None
    cum_logprob: float = 0.0
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    orig_prompt: Any = None


@dataclass
class BeamSearchOutput:
    """The beams of one prompt, the best first; at most beam_width of them."""

    sequences: list[BeamSearchSequence]
