# SPDX-License-Identifier: Apache-2.0
"""Log-probabilities, as a list of {token id: Logprob} or as FlatLogprobs.

Both are made when they are looked at, from the library's rows of (token, rank, logprob).
"""
from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, MutableSequence
from dataclasses import dataclass, field
from typing import Any, Union, overload

__all__ = ["Logprob", "LogprobsOnePosition", "FlatLogprobs", "PromptLogprobs", "SampleLogprobs"]


@dataclass
class Logprob:
    """One token at one position.

    Attributes:
        logprob: natural logarithm of its probability.
        rank: how many tokens are as likely or likelier, itself included: 1 is the likeliest.
        decoded_token: its text, or None without a tokenizer.
    """

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


LogprobsOnePosition = dict[int, Logprob]


@dataclass
class FlatLogprobs(MutableSequence):
    """The same as a list of dicts, in flat lists: position i has the entries start_indices[i] to
    end_indices[i] of the other four."""

    start_indices: list[int] = field(default_factory=list)
    end_indices: list[int] = field(default_factory=list)
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    ranks: list[int | None] = field(default_factory=list)
    decoded_tokens: list[str | None] = field(default_factory=list)

    def append(self, position: LogprobsOnePosition | None) -> None:
        """Adds a position; None adds an empty one."""
        entries = position or {}
        self.append_fast(list(entries), [e.logprob for e in entries.values()],
                         [e.rank for e in entries.values()],
                         [e.decoded_token for e in entries.values()])

    def append_fast(self, token_ids: Iterable[int], logprobs: Iterable[float],
                    ranks: Iterable[int | None], decoded_tokens: Iterable[str | None]) -> None:
        """Adds a position by its columns."""
        self.start_indices.append(len(self.token_ids))
        for token, logprob, rank, text in zip(token_ids, logprobs, ranks, decoded_tokens):
            self.token_ids.append(token)
            self.logprobs.append(logprob)
            self.ranks.append(rank)
            self.decoded_tokens.append(text)
        self.end_indices.append(len(self.token_ids))

    def extend(self, positions: Iterable[LogprobsOnePosition | None]) -> None:
        for position in positions:
            self.append(position)

    def __len__(self) -> int:
        return len(self.start_indices)

    @overload
    def __getitem__(self, index: int) -> LogprobsOnePosition: ...
    @overload
    def __getitem__(self, index: slice) -> "FlatLogprobs": ...

    def __getitem__(self, index: int | slice) -> "LogprobsOnePosition | FlatLogprobs":
        if isinstance(index, slice):
            part = FlatLogprobs()
            part.extend(self[i] for i in range(*index.indices(len(self))))
            return part
        return {self.token_ids[i]: Logprob(self.logprobs[i], self.ranks[i], self.decoded_tokens[i])
                for i in range(self.start_indices[index], self.end_indices[index])}

    def __iter__(self) -> Iterator[LogprobsOnePosition]:
        return (self[i] for i in range(len(self)))

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("FlatLogprobs can be appended to, not changed")

    def __delitem__(self, index: Any) -> None:
        raise TypeError("FlatLogprobs can be appended to, not changed")

    def insert(self, index: int, value: Any) -> None:
        raise TypeError("FlatLogprobs can be appended to, not changed")


PromptLogprobs = Union[FlatLogprobs, list]
SampleLogprobs = Union[FlatLogprobs, list]

_ENTRY = struct.Struct("=iif")


def _same(value: Any) -> Any:
    return value


class Rows:
    """Rows of llm_logprob_t, copied from the library and not yet looked at.

    Args:
        raw: [rows][width] entries of 12 bytes.
        width: entries a row; those with token -1 are absent.
        decode: token id to text, or None.
        flat: make FlatLogprobs.
        is_prompt: the first row is None in a list, as in vLLM.
    """

    __slots__ = ("raw", "width", "decode", "flat", "is_prompt")

    def __init__(self, raw: bytes, width: int, decode: Callable[[int], str] | None, flat: bool,
                 is_prompt: bool = False) -> None:
        self.raw, self.width, self.decode, self.flat, self.is_prompt = \
            raw, width, decode, flat, is_prompt

    def _text(self, token: int) -> str | None:
        return self.decode(token) if self.decode is not None else None

    def _row(self, at: int) -> LogprobsOnePosition:
        end = at + self.width * _ENTRY.size
        row: LogprobsOnePosition = {}
        for token, rank, logprob in _ENTRY.iter_unpack(self.raw[at:end]):
            if token >= 0:
                row[token] = Logprob(logprob, rank, self._text(token))
        return row

    def make(self) -> FlatLogprobs | list:
        """What users see."""
        rows = [self._row(at) for at in range(0, len(self.raw), self.width * _ENTRY.size)]
        if self.flat:
            made = FlatLogprobs()
            made.extend(rows)
            return made
        if self.is_prompt and rows:
            rows[0] = None
        return rows

    def __reduce__(self) -> tuple:
        """A copy, or what is pickled, is what users see."""
        return _same, (self.make(),)
