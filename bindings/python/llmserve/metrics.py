# SPDX-License-Identifier: Apache-2.0
"""Metrics as objects, read from the library's Prometheus text; names are vLLM's."""
from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Metric", "Counter", "Vector", "Gauge", "Histogram", "parse"]


@dataclass
class Metric:
    """One series: a name with one set of labels."""

    name: str
    labels: dict[str, str]


@dataclass
class Counter(Metric):
    """A number that only grows; its name has no _total."""

    value: int


@dataclass
class Vector(Metric):
    """An ordered list of counters."""

    values: list[int]


@dataclass
class Gauge(Metric):
    """A number that goes up and down."""

    value: float


@dataclass
class Histogram(Metric):
    """Observations by size.

    Attributes:
        count, sum: of all observations.
        buckets: {upper bound: observations up to it}, "+Inf" the last.
    """

    count: int
    sum: float
    buckets: dict[str, int]


_SAMPLE = re.compile(r'([\w:]+)(?:\{(.*)\})? (\S+)$')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_ESCAPES = {r"\\": "\\", r'\"': '"', r"\n": "\n"}


def _labels(text: str | None) -> dict[str, str]:
    return {name: re.sub(r"\\.", lambda m: _ESCAPES.get(m.group(), m.group()), value)
            for name, value in _LABEL.findall(text or "")}


def _strip(name: str, suffix: str) -> str:
    return name[:-len(suffix)] if name.endswith(suffix) else name


def _add_histogram(found: dict, family: str, sample: str, labels: dict[str, str],
                   value: str) -> None:
    bound = labels.pop("le", None)
    made = found.setdefault((family, *sorted(labels.items())),
                            Histogram(family, labels, 0, 0.0, {}))
    if bound is not None:
        made.buckets[bound] = int(float(value))
    elif sample.endswith("_sum"):
        made.sum = float(value)
    else:
        made.count = int(float(value))


def parse(text: str) -> list[Metric]:
    """Metrics of a Prometheus page, in its order."""
    kinds: dict[str, str] = {}
    found: dict[tuple, Metric] = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split()
            kinds[family] = kind
        match = _SAMPLE.match(line)
        if line.startswith("#") or not match:
            continue
        sample, labels, value = match.group(1), _labels(match.group(2)), match.group(3)
        family = sample if sample in kinds else re.sub("_(bucket|sum|count|total)$", "", sample)
        kind = kinds.get(family)
        if kind == "histogram":
            _add_histogram(found, family, sample, labels, value)
        elif kind == "counter":
            name = _strip(family, "_total")
            found[(name, *sorted(labels.items()))] = Counter(name, labels, int(float(value)))
        elif kind == "gauge":
            found[(family, *sorted(labels.items()))] = Gauge(family, labels, float(value))
    return list(found.values())
