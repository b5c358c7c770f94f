"""Sets up OpenTelemetry for `standby serve`: traces and metrics to an OTLP/HTTP collector.

This is the only place that uses the SDK. Mounted in a host application, the host has set it up, or has not.
A collector that is down, slow or refuses costs no request anything: spans wait in a bounded queue for a
thread of its own, and what does not fit or is refused is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, Self

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from typing_extensions import override

from ..config import Routes
from ..telemetry.metrics import Sample
from .otlp_metrics import metrics_data

__all__ = ["OpenTelemetry", "is_wanted"]

_QUEUE: Final = 2048
"""Spans that may wait, as the SDK's own default. OTEL_BSP_MAX_QUEUE_SIZE sets another number."""
_BATCH: Final = 512
"""Spans of one export, as the SDK's default. It must not be larger than the queue."""
_EXPORT_INTERVAL: Final = 60.0
"""Seconds between two exports of metrics, as the SDK's default. OTEL_METRIC_EXPORT_INTERVAL is in ms."""
_EXPORT_TIMEOUT: Final = 5.0
"""Seconds for one export. OTEL_EXPORTER_OTLP_TIMEOUT sets another number."""

_log: Final = logging.getLogger("standby.telemetry")


def is_wanted(routes: Routes, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether `standby serve` exports anything: `trace` is in the stack, and there is a collector for it."""
    if "trace" not in routes.stack or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    return routes.tables["trace"].get("endpoint") is not None or any(
        environ.get(f"OTEL_EXPORTER_OTLP_{name}ENDPOINT") for name in ("", "TRACES_", "METRICS_")
    )


class _MetricsExporter(Protocol):
    def export(self, metrics_data: MetricsData) -> object: ...

    def shutdown(self, timeout_millis: float) -> None: ...


class OpenTelemetry:
    """The exports of one process, as a context manager. `samples` returns the metrics to export."""

    def __init__(
        self,
        routes: Routes,
        samples: Callable[[], Sequence[Sample]],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._samples = samples
        self._table = routes.tables["trace"]
        self._environ = environ
        name = environ.get("OTEL_SERVICE_NAME") or str(self._table.get("service", "standby"))
        self._resource = Resource.create(
            {"service.name": name, "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
        )
        self._spans: _CountedSpans | None = None
        self._metrics: _MetricsExporter | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def spans_dropped(self) -> int:
        """The number of spans that no collector took."""
        return 0 if self._spans is None else self._spans.dropped

    async def __aenter__(self) -> Self:
        environ = self._environ
        if (url := self._url("TRACES", "/v1/traces")) is not None:
            exporter = OTLPSpanExporter(endpoint=url, timeout=self._timeout("TRACES"))
            self._spans = _CountedSpans(exporter, int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE", _QUEUE)))
            # What is kept is decided by the middleware, unless the environment says otherwise.
            sampler = None if environ.get("OTEL_TRACES_SAMPLER") else ALWAYS_ON
            provider = TracerProvider(resource=self._resource, sampler=sampler, shutdown_on_exit=False)
            provider.add_span_processor(self._spans)
            trace.set_tracer_provider(provider)
        if self._wants_metrics() and (url := self._url("METRICS", "/v1/metrics")) is not None:
            self._metrics = OTLPMetricExporter(endpoint=url, timeout=self._timeout("METRICS"))
            self._task = asyncio.create_task(self._export_metrics(self._metrics))
        return self

    async def __aexit__(self, *_: object) -> None:
        """Export what is left, for a few seconds at most."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.to_thread(self._shut_down)

    def _shut_down(self) -> None:
        if self._spans is not None:
            self._spans.shut_down(int(_EXPORT_TIMEOUT * 1000))
        if self._metrics is not None:
            self._metrics.shutdown(timeout_millis=_EXPORT_TIMEOUT * 1000)

    def _wants_metrics(self) -> bool:
        environ = self._environ
        named = environ.get("OTEL_METRICS_EXPORTER") or environ.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT")
        return self._table.get("metrics") is True or named is not None

    def _url(self, signal: str, path: str) -> str | None:
        """Returns the URL for a signal, None if it is not exported. The environment has the last word."""
        environ = self._environ
        if environ.get(f"OTEL_{signal}_EXPORTER") == "none":
            return None
        if (own := environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")) is not None:
            return own
        base = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or self._table.get("endpoint")
        return None if base is None else f"{str(base).rstrip('/')}{path}"

    def _timeout(self, signal: str) -> float | None:
        names = (f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
        return None if any(self._environ.get(name) for name in names) else _EXPORT_TIMEOUT

    async def _export_metrics(self, exporter: _MetricsExporter) -> None:
        given = self._environ.get("OTEL_METRIC_EXPORT_INTERVAL")
        interval = _EXPORT_INTERVAL if given is None else float(given) / 1000
        while True:
            await asyncio.sleep(interval)
            try:
                data = metrics_data(self._samples(), self._resource)
                await asyncio.to_thread(exporter.export, data)
            except Exception:  # noqa: BLE001  logged; the next export may work
                _log.exception("metrics could not be exported")


class _CountedSpans(BatchSpanProcessor):
    """The SDK's processor, which also counts the spans that were dropped or that the collector refused."""

    def __init__(self, exporter: SpanExporter, queue: int) -> None:
        self._counted = _CountedExports(exporter)
        self._given = 0
        self._overflowed = 0
        self._queue = queue
        # None leaves it to the environment, or the SDK's default of 512.
        super().__init__(
            self._counted, max_queue_size=queue, max_export_batch_size=queue if queue < _BATCH else None
        )

    @property
    def dropped(self) -> int:
        """How many spans were dropped."""
        return self._overflowed + self._counted.refused

    @override
    def on_end(self, span: ReadableSpan) -> None:
        self._given += 1
        # All that was neither taken out nor fits into the queue is lost.
        self._overflowed = max(self._overflowed, self._given - self._counted.taken - self._queue)
        super().on_end(span)

    def shut_down(self, timeout_millis: int) -> None:
        """Export what is left within this time."""
        self._batch_processor.shutdown(timeout_millis)


class _CountedExports(SpanExporter):
    """Counts the spans that the collector did not take, and logs when it stops and begins to take them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._failing = False
        self.taken = 0
        self.refused = 0

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            failing = result is not SpanExportResult.SUCCESS
            if failing:
                self.refused += len(spans)
            if failing != self._failing:
                self._failing = failing
                _log.warning("the collector %s spans", "does not take" if failing else "takes")
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()

    @override
    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
