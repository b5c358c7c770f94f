"""A gateway whose spans are kept in memory, and their tree as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from standby.middlewares.trace import Trace
from standby.proxy.gateway import Gateway

__all__ = ["Spans", "tree"]


class Spans:
    """The spans of a gateway with `trace` in its stack, or of a Trace around a foreign app."""

    def __init__(self, traced: Gateway | Trace, *, sampler: object = None) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(**({} if sampler is None else {"sampler": sampler}))  # type: ignore[arg-type]
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        if isinstance(traced, Gateway):
            middleware = traced.middleware("trace")
            assert isinstance(middleware, Trace)
            traced = middleware
        self.trace = traced
        traced.provider = self.provider

    def take(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended since the last call, in the order in which they ended."""
        spans = self._exporter.get_finished_spans()
        self._exporter.clear()
        return spans


def tree(spans: Sequence[ReadableSpan], *facts: str) -> list[str]:
    """Each span as a line, indented below its parent, in the order of their begin.

    A line has the kind, the name, ERROR if the span is one, the number of the attempts that it links to, and
    those of the attributes `facts` that it has.
    """
    known = {span.context.span_id: span for span in spans if span.context is not None}

    def lines(parent: int | None, depth: int) -> Iterator[str]:
        for span in sorted(spans, key=lambda span: span.start_time or 0):
            above = None if span.parent is None else span.parent.span_id
            if (above if above in known else None) != parent or span.context is None:
                continue
            attributes = span.attributes or {}
            words = [span.kind.name, span.name]
            if not span.status.is_ok and span.status.is_unset is False:
                words.append("ERROR")
            for link in span.links:
                other = known[link.context.span_id].attributes or {}
                words.append(f"-> {other['standby.attempt']!s}")
            words += [f"{fact}={attributes[fact]!s}" for fact in facts if fact in attributes]
            yield "  " * depth + " ".join(words)
            yield from lines(span.context.span_id, depth + 1)

    return list(lines(None, 0))
