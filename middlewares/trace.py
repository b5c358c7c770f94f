"""Makes every routing decision readable as one trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from typing import Annotated

from opentelemetry import context, trace
from opentelemetry.trace import ProxyTracerProvider, Tracer, TracerProvider
from pydantic import Field

from ..proxy.asgi import ASGIApp, Receive, Scope, Send
from ..proxy.exchange import Exchange
from ..proxy.telemetry.responses import Noting
from ..proxy.telemetry.sampling import Sampler
from ..proxy.telemetry.spans import RequestTrace, caller_context

__all__ = ["Trace"]


@dataclass(eq=False)
class Trace:
    """Makes every routing decision readable as one trace.

    The spans are described in `proxy/telemetry/spans.py`. They go to the OpenTelemetry provider of the
    process: in a host application that of the host, under `standby serve` one for `endpoint`. Without either
    nothing is traced.
    """

    app: ASGIApp
    _: KW_ONLY
    sample: Annotated[float, Field(ge=0, le=1)] = 1.0
    """The share of the traces that are kept. A trace that a caller began is kept if the caller keeps it."""
    keep: Annotated[int, Field(ge=0, le=100_000)] = 100
    """Traces a second kept beyond the share: of requests that failed over, were refused, or broke."""
    endpoint: Annotated[str, Field(pattern=r"^https?://[^\s]+$")] | None = None
    """The OTLP/HTTP collector of `standby serve`, as "http://127.0.0.1:4318". The standard OTEL_* variables
    have the last word."""
    metrics: bool = False
    """Whether metrics go to the collector too. Not all take them: Jaeger does not."""
    service: Annotated[str, Field(min_length=1, max_length=255)] = "standby"
    """The name of this service in the traces, unless OTEL_SERVICE_NAME is set."""
    provider: TracerProvider | None = field(default=None, metadata={"toml": False})
    """The provider of tracers. By default the one of the process."""
    chance: Callable[[], float] = field(default=random.random, repr=False, metadata={"toml": False})
    """A random number from 0 to 1, for `sample`."""
    _sampler: Sampler = field(init=False, repr=False)
    _tracer: Tracer | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._sampler = Sampler(self.sample, self.keep, self.chance)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tracer = self._tracer or self._find_tracer()
        if scope["type"] != "http" or tracer is None:
            await self.app(scope, receive, send)
            return
        exchange = Exchange.of(scope)
        traced = RequestTrace(tracer, self._sampler, caller_context(exchange), scope)
        exchange.trace = traced
        if exchange.relayed:
            # The gateway finishes it, since Hygiene may still answer after this returns.
            exchange.observers.append(self._finish)
            await self._inside(traced, exchange, scope, receive, send)
            return
        try:
            await self._inside(traced, exchange, scope, receive, Noting(exchange, send))
        except BaseException:
            exchange.broke = exchange.status is not None
            raise
        finally:
            self._finish(exchange)

    @property
    def not_kept(self) -> int:
        """The number of failed or refused requests whose traces were not kept, since there were too many."""
        return self._sampler.not_kept

    def inherit(self, before: Trace) -> None:
        """After a reload, go on counting."""
        self._sampler.not_kept, before._sampler.not_kept = before._sampler.not_kept, 0

    async def _inside(
        self, traced: RequestTrace, exchange: Exchange, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call the app. In a sampled trace, spans of others inside become children of the request's."""
        if not traced.sampled:
            await self.app(scope, receive, send)
            return
        token = context.attach(trace.set_span_in_context(traced.server(exchange)))
        try:
            await self.app(scope, receive, send)
        finally:
            context.detach(token)

    def _finish(self, exchange: Exchange) -> None:
        if isinstance(exchange.trace, RequestTrace):
            exchange.trace.finish(exchange, self._sampler)

    def _find_tracer(self) -> Tracer | None:
        """Returns the tracer, or None as long as the process has no provider."""
        provider = self.provider or trace.get_tracer_provider()
        if isinstance(provider, ProxyTracerProvider):
            return None
        self._tracer = provider.get_tracer("standby")
        return self._tracer
