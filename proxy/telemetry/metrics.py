"""Counters and histograms of one process. No I/O.

They are counted here and not through OpenTelemetry's instruments, since a request needs about a dozen and
each of those costs as much as the whole of them does here. Gauges are read when somebody asks for them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from . import names
from .metric import Metric
from .names import METRICS

__all__ = ["Distribution", "Labels", "Metrics", "Sample", "as_json", "from_json"]

Labels: TypeAlias = tuple[str, ...]
"""The values of a metric's labels, in their order. Names of the configuration and of fixed lists only."""


class Distribution:
    """One histogram: how many values fell in each bucket, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.total = 0.0


class Sample(NamedTuple):
    """One value of a metric: a number, or the counts of the buckets and the sum of a histogram."""

    metric: Metric
    labels: Labels
    value: float
    counts: tuple[int, ...] = ()


class Metrics:
    """The counters and histograms of one process, by name and labels."""

    __slots__ = ("_counters", "_histograms")

    def __init__(self) -> None:
        self._counters: dict[str, dict[Labels, float]] = {
            # One without labels is there from the start: rates need the zero before the first count.
            metric.name: {} if metric.labels else {(): 0.0}
            for metric in METRICS
            if metric.kind == "counter" and metric.name not in _KEPT_ELSEWHERE
        }
        self._histograms: dict[str, dict[Labels, Distribution]] = {
            metric.name: {} for metric in METRICS if metric.kind == "histogram"
        }

    def count(self, metric: Metric, labels: Labels = (), by: float = 1) -> None:
        """Add to a counter."""
        values = self._counters[metric.name]
        values[labels] = values[labels] + by if labels in values else by

    def observe(self, metric: Metric, labels: Labels, value: float) -> None:
        """Add a value to a histogram."""
        values = self._histograms[metric.name]
        if labels in values:
            distribution = values[labels]
        else:
            distribution = values[labels] = Distribution(len(metric.buckets))
        distribution.counts[bisect_left(metric.buckets, value)] += 1
        distribution.total += value

    def samples(self) -> Iterator[Sample]:
        """Yields the values of all counters and histograms."""
        for metric in METRICS:
            if metric.name in self._counters:
                for labels, value in self._counters[metric.name].items():
                    yield Sample(metric, labels, value)
            elif metric.kind == "histogram":
                for labels, distribution in self._histograms[metric.name].items():
                    yield Sample(metric, labels, distribution.total, tuple(distribution.counts))


_KEPT_ELSEWHERE: Final = frozenset(
    {names.DECISIONS_DROPPED.name, names.SPANS_DROPPED.name, names.TRACES_NOT_KEPT.name}
)
"""Counters of which others keep the value."""
_BY_NAME: Final = MappingProxyType({metric.name: metric for metric in METRICS})


def as_json(samples: Iterator[Sample] | list[Sample]) -> list[list[Any]]:
    """Returns samples as plain data, for another process."""
    return [
        [sample.metric.name, list(sample.labels), sample.value, list(sample.counts)] for sample in samples
    ]


def from_json(data: list[list[Any]]) -> list[Sample]:
    """Returns the samples of another process. A metric that this version does not have is left out."""
    return [
        Sample(_BY_NAME[name], tuple(labels), value, tuple(counts))
        for name, labels, value, counts in data
        if name in _BY_NAME
    ]
