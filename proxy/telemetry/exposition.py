"""The text format of Prometheus, and the sum over several processes. No I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector
from typing_extensions import override

from . import names
from .metric import Metric
from .metrics import Labels, Sample
from .names import METRICS

__all__ = ["CONTENT_TYPE", "exposition", "merged"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_WORST: Final = frozenset(
    metric.name
    for metric in (
        *(names.TARGET_STATE, names.POOL_STATE, names.TARGET_FIRST_TOKEN, names.TARGET_TOTAL),
        *(names.EVENT_LOOP_LAG, names.RELOAD_FAILED),
    )
)
"""Gauges of which the largest of all processes counts."""
_LEAST: Final = frozenset({names.REMAINING.name, names.LIMIT.name})
"""Gauges of which the smallest of all processes counts. All others are summed up."""


def merged(processes: Iterable[Iterable[Sample]]) -> list[Sample]:
    """Returns the samples of several processes as one: sums, except for gauges that cannot be added."""
    values: dict[tuple[str, Labels], Sample] = {}
    for samples in processes:
        for sample in samples:
            key = (sample.metric.name, sample.labels)
            known = values.get(key)
            values[key] = sample if known is None else _both(known, sample)
    return list(values.values())


def _both(one: Sample, other: Sample) -> Sample:
    name = one.metric.name
    if one.metric.kind == "gauge" and name in _WORST:
        return max(one, other, key=lambda sample: sample.value)
    if one.metric.kind == "gauge" and name in _LEAST:
        return min(one, other, key=lambda sample: sample.value)
    counts = tuple(map(sum, zip(one.counts, other.counts, strict=True)))
    return one._replace(value=one.value + other.value, counts=counts)


def exposition(samples: Sequence[Sample]) -> bytes:
    """Returns the samples as text for a Prometheus server."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(samples))
    return generate_latest(registry)


class _Samples(Collector):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def describe(self) -> Iterable[Family]:
        return ()

    @override
    def collect(self) -> Iterator[Family]:
        by_name: dict[str, list[Sample]] = {}
        for sample in self._samples:
            by_name.setdefault(sample.metric.name, []).append(sample)
        for metric in METRICS:
            if (found := by_name.get(metric.name)) is not None:
                yield _family(metric, found)


def _family(metric: Metric, samples: Sequence[Sample]) -> Family:
    if metric.kind == "histogram":
        histogram = HistogramMetricFamily(metric.prometheus, metric.help, labels=metric.labels)
        bounds = [*(repr(bound) for bound in metric.buckets), "+Inf"]
        for sample in samples:
            buckets = list(zip(bounds, map(float, accumulate(sample.counts)), strict=True))
            histogram.add_metric(sample.labels, buckets=buckets, sum_value=sample.value)
        return histogram
    make = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = make(metric.prometheus, metric.help, labels=metric.labels)
    for sample in samples:
        family.add_metric(sample.labels, sample.value)
    return family
