# SPDX-License-Identifier: Apache-2.0
"""Progress bars: tqdm where it is installed, else a plain one with the part of its interface that
is used here."""
from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

try:
    from tqdm.auto import tqdm
except ImportError:
    tqdm = None

__all__ = ["PlainBar", "make_bar", "BatchBar"]


class PlainBar:
    """A line on stderr: drawn anew ten times a second on a terminal, and else once, at the end."""

    def __init__(self, total: int = 0, desc: str = "", postfix: str = "",
                 file: TextIO | None = None, **ignored: Any) -> None:
        self.total, self.desc, self.postfix, self.n = total, desc, postfix, 0
        self._file = file or sys.stderr
        self._start, self._drawn = time.monotonic(), 0.0
        self._width = 0
        self._draw()

    @property
    def format_dict(self) -> dict[str, Any]:
        return {"elapsed": time.monotonic() - self._start, "n": self.n, "total": self.total}

    def update(self, n: int = 1) -> None:
        self.n += n
        self.refresh()

    def refresh(self) -> None:
        if time.monotonic() - self._drawn >= 0.1:
            self._draw()

    def _draw(self, last: bool = False) -> None:
        self._drawn = time.monotonic()
        if not last and not (hasattr(self._file, "isatty") and self._file.isatty()):
            return
        elapsed = max(self._drawn - self._start, 1e-9)
        share = self.n / self.total if self.total else 1.0
        line = (f"{self.desc}: {share:4.0%}|{'#' * int(20 * share):<20}| {self.n}/{self.total} "
                f"[{elapsed:.1f} s, {self.n / elapsed:.2f} it/s, {self.postfix}]")
        self._file.write("\r" + line.ljust(self._width) + ("\n" if last else ""))
        self._file.flush()
        self._width = len(line)

    def close(self) -> None:
        self._draw(last=True)


def make_bar(use_tqdm: bool | Callable[..., Any], **arguments: Any) -> Any:
    """use_tqdm(...) if it is callable, else tqdm(...) or a plain bar."""
    make = use_tqdm if callable(use_tqdm) else tqdm or PlainBar
    return make(**arguments)


class BatchBar:
    """The bar of a batch: requests done, and tokens a second in and out."""

    SPEED = "est. speed input: {:.2f} toks/s, output: {:.2f} toks/s"

    def __init__(self, use_tqdm: bool | Callable[..., Any], total: int) -> None:
        self._bar = make_bar(use_tqdm, total=total, desc="Processed prompts", dynamic_ncols=True,
                             postfix=self.SPEED.format(0, 0))
        self._done = 0
        self._next = 0.0

    def __call__(self, progress: Any) -> None:
        """Takes an llm_progress_t."""
        now = time.monotonic()
        if progress.done == self._done and now < self._next:
            return
        self._next = now + 0.2
        seconds = max(progress.elapsed_us, 1) * 1e-6
        self._bar.postfix = self.SPEED.format(progress.prompt_tokens / seconds,
                                              progress.completion_tokens / seconds)
        news, self._done = progress.done - self._done, progress.done
        self._bar.update(news)

    def close(self) -> None:
        self._bar.close()
