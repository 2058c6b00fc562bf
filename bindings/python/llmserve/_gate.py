# SPDX-License-Identifier: Apache-2.0
"""Who is inside an engine: it may be destroyed when nobody is."""
from __future__ import annotations

import threading

from .exceptions import EngineDeadError


class Gate:
    """Hands out a handle to any number of callers at once until it is closed; closing waits for
    those that are inside.

        with gate as handle:
            lib.llm_engine_abort(handle, ...)
    """

    __slots__ = ("_handle", "_inside", "_changed")

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle
        self._inside = 0
        self._changed = threading.Condition()

    @property
    def is_open(self) -> bool:
        return self._handle is not None

    def __enter__(self) -> int:
        """Raises EngineDeadError once it is closed."""
        with self._changed:
            if self._handle is None:
                raise EngineDeadError("the engine was shut down")
            self._inside += 1
            return self._handle

    def __exit__(self, *ignored: object) -> None:
        with self._changed:
            self._inside -= 1
            if self._inside == 0 and self._handle is None:
                self._changed.notify_all()

    def close(self, timeout: float) -> int | None:
        """The handle, for the caller to destroy; None if it was closed before, or if somebody is
        still inside after timeout seconds."""
        with self._changed:
            handle, self._handle = self._handle, None
            empty = self._changed.wait_for(lambda: self._inside == 0, timeout)
            return handle if empty else None
