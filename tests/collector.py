"""A collector that takes OTLP over HTTP on a loopback port, and can refuse or keep silent."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

__all__ = ["Behaviour", "Collector", "attributes_of", "collecting"]

Behaviour: TypeAlias = Literal["takes", "refuses", "silent"]


class Collector:
    """What was received: spans with the name of their service, and metrics. `raw` is every byte of it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.url = ""
        self.raw = b""
        self.spans: list[tuple[str, Span]] = []
        self.metrics: dict[str, Metric] = {}
        self._news = asyncio.Condition()

    async def until_spans(self, count: int) -> list[Span]:
        """Wait for this many spans, and return them."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: len(self.spans) >= count)
        return [span for _, span in self.spans]

    async def until_metric(self, name: str) -> Metric:
        """Wait for a metric, and return it."""
        async with asyncio.timeout(30), self._news:
            await self._news.wait_for(lambda: name in self.metrics)
        return self.metrics[name]

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length:")[2].partition("\r\n")[0])
                body = await reader.readexactly(length)
                if self.behaviour == "silent":
                    await asyncio.Event().wait()
                await self._take(head, gzip.decompress(body) if "content-encoding: gzip" in head else body)
                status = b"200 OK" if self.behaviour == "takes" else b"400 Bad Request"
                writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)
                await writer.drain()

    async def _take(self, head: str, body: bytes) -> None:
        self.raw += body
        if self.behaviour != "takes":
            return
        if "/v1/traces" in head.partition("\r\n")[0]:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = attributes_of(resource.resource)["service.name"]
                self.spans += [(str(service), span) for scope in resource.scope_spans for span in scope.spans]
        else:
            for each in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in each.scope_metrics:
                    self.metrics |= {metric.name: metric for metric in scope.metrics}
        async with self._news:
            self._news.notify_all()


def attributes_of(holder: object) -> dict[str, object]:
    """The attributes of a span, an event or a resource."""
    found: dict[str, object] = {}
    for pair in getattr(holder, "attributes"):  # noqa: B009  generated classes share no base that has it
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind)
        if kind == "array_value":
            value = [each.string_value for each in value.values]
        found[pair.key] = value
    return found


@asynccontextmanager
async def collecting(behaviour: Behaviour = "takes") -> AsyncGenerator[Collector]:
    """A collector, until the block ends."""
    collector = Collector(behaviour)
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(collector.accept(reader, writer))
        tasks.add(task)
        task.add_done_callback(lambda _: writer.close())

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    collector.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield collector
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
