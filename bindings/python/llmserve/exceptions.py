# SPDX-License-Identifier: Apache-2.0
"""What goes wrong, as vLLM names it, and which C status becomes which exception."""
from __future__ import annotations

from typing import Any

__all__ = ["VLLMValidationError", "EngineDeadError", "EngineGenerateError", "EngineBusyError"]


class VLLMValidationError(ValueError):
    """A value that is not allowed.

    Attributes:
        parameter: the name of the field or option, or None.
        value: what was given, or None where only its text is known.
    """

    def __init__(self, message: str, *, parameter: str | None = None, value: Any = None) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.value = value


class EngineGenerateError(RuntimeError):
    """A request failed; the engine lives on."""


class EngineDeadError(RuntimeError):
    """The engine failed for good: every request has ended, make a new engine."""


class EngineBusyError(RuntimeError):
    """The queue is full.

    Attributes:
        retry_after_ms: a sensible wait, in milliseconds.
    """

    def __init__(self, message: str, retry_after_ms: int = 0) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


# ORDER status: numbers of llm.h.
INVALID, NO_MEMORY, NO_DEVMEM, NOT_FOUND, EXISTS = -1, -2, -3, -4, -5
UNSUPPORTED, IO, FORMAT, TOO_LONG, BUSY = -6, -7, -8, -9, -10
CANCELLED, NO_SPACE, STATE, DEVICE, INTERNAL, TIMEOUT, CLOSED = -11, -12, -13, -14, -15, -16, -17

_TYPES: dict[int, type[Exception]] = {
    NO_MEMORY: MemoryError, NO_DEVMEM: MemoryError, UNSUPPORTED: NotImplementedError, IO: OSError,
    DEVICE: EngineDeadError, TIMEOUT: TimeoutError}
_BAD_INPUT = (INVALID, NOT_FOUND, EXISTS, FORMAT, TOO_LONG)


def from_status(status: int, message: str, param: str = "", retry_after_ms: int = 0) -> Exception:
    """The exception for a status of the C library; its text is the library's message."""
    if status == TOO_LONG:
        message = f"The decoder prompt is longer than the maximum model length: {message}"
    if status in _BAD_INPUT:
        return VLLMValidationError(message, parameter=param or None)
    if status == BUSY:
        return EngineBusyError(message, retry_after_ms)
    return _TYPES.get(status, RuntimeError)(message)
