"""Metrics in the form that OpenTelemetry's exporters take. No I/O."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from ..telemetry.metrics import Sample
from ..telemetry.names import METRICS

__all__ = ["metrics_data"]

_BEGAN: Final = time.time_ns()
"""When this process began to count, in nanoseconds since 1970."""
_ORDER: Final = tuple(metric.name for metric in METRICS)


def metrics_data(samples: Sequence[Sample], resource: Resource) -> MetricsData:
    """Returns the samples as data points of now. Counters and histograms are cumulative."""
    now = time.time_ns()
    ordered = sorted(samples, key=lambda sample: _ORDER.index(sample.metric.name))
    metrics = [
        _metric(list(group), now) for _, group in groupby(ordered, key=lambda sample: sample.metric.name)
    ]
    scope = ScopeMetrics(InstrumentationScope("standby"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def _metric(samples: list[Sample], now: int) -> Metric:
    metric = samples[0].metric
    data: Sum | Gauge | Histogram
    if metric.kind == "histogram":
        data = Histogram(list(_histograms(samples, now)), AggregationTemporality.CUMULATIVE)
    elif metric.kind == "counter":
        data = Sum(list(_numbers(samples, now)), AggregationTemporality.CUMULATIVE, is_monotonic=True)
    else:
        data = Gauge(list(_numbers(samples, now)))
    return Metric(metric.name, metric.help, metric.unit, data)


def _attributes(sample: Sample) -> dict[str, str]:
    """Returns the labels by name; those of the GenAI conventions by their names with dots."""
    names = [_dotted(name) for name in sample.metric.labels]
    attributes = dict(zip(names, sample.labels, strict=True))
    if attributes.get("error.type") == "none":
        del attributes["error.type"]  # by the convention, success is its absence
    return attributes


def _dotted(name: str) -> str:
    if name.startswith("gen_ai_"):
        return {
            "gen_ai_operation_name": "gen_ai.operation.name",
            "gen_ai_provider_name": "gen_ai.provider.name",
            "gen_ai_request_model": "gen_ai.request.model",
            "gen_ai_token_type": "gen_ai.token.type",
        }[name]
    return "error.type" if name == "error_type" else name


def _numbers(samples: list[Sample], now: int) -> Iterator[NumberDataPoint]:
    for sample in samples:
        yield NumberDataPoint(_attributes(sample), _BEGAN, now, sample.value)


def _histograms(samples: list[Sample], now: int) -> Iterator[HistogramDataPoint]:
    for sample in samples:
        yield HistogramDataPoint(
            _attributes(sample),
            _BEGAN,
            now,
            count=sum(sample.counts),
            sum=sample.value,
            bucket_counts=sample.counts,
            explicit_bounds=sample.metric.buckets,
            min=float("inf"),
            max=float("-inf"),
        )
