"""The spans of one request, made from the facts in its `Exchange` when it has ended.

    SERVER   POST /v1/chat/completions
    +- INTERNAL standby.auth, standby.budget
    +- INTERNAL route POOL                      every candidate with its reason
    +- CLIENT   chat MODEL                      one for each target tried; a failover links to the one before

Making them at the end keeps them off the way of the answer: a request whose trace is not kept makes none,
and their number does not depend on that of the chunks. Two are made earlier because somebody has to know
their ids: the SERVER span of a request in the sample, and the CLIENT span of a target that is told the trace.
Parents are always given explicitly.
"""

from __future__ import annotations

import random
import re
import time
from typing import Any, Final, NamedTuple

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, StatusCode, TraceFlags, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from ..asgi import Headers, Scope
from ..config import NANO
from ..exchange import Attempt, Candidate, Exchange, Step
from . import names
from .answer_facts import answer_facts
from .endpoint import endpoint_of
from .names import operation_name
from .outcome import error_type, failed_over, outcome_of
from .request_facts import caller_facts, guardrail_facts, request_facts
from .route_facts import candidate_events, route_facts
from .sampling import Sampler

__all__ = ["RequestTrace", "caller_context"]

_W3C: Final = TraceContextTextMapPropagator()
_MEMBER: Final = rb"[ \t]*[a-z0-9][a-z0-9_\-*/@]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~][ \t]*"
_TRACESTATE: Final = re.compile(rb"(?:%b)(?:,(?:%b|[ \t]*)){0,31}" % (_MEMBER, _MEMBER))
"""W3C Trace Context, 3.3.1."""
_LONGEST: Final = 256
"""Characters of a text that somebody else chose, such as a user agent."""
_NO_CONTEXT: Final = Context()


def caller_context(exchange: Exchange) -> Context:
    """Returns the context to which the request belongs: of the host's span, or of the caller's headers."""
    ambient = trace.get_current_span()
    if ambient.get_span_context().is_valid:
        return trace.set_span_in_context(ambient, _NO_CONTEXT)
    carrier: dict[str, str] = {}
    for name, value in exchange.headers:
        # OpenTelemetry would write a malformed state into the log.
        if name == b"traceparent" or (name == b"tracestate" and _TRACESTATE.fullmatch(value)):
            carrier[name.decode()] = value.decode("latin-1")
    return _W3C.extract(carrier, _NO_CONTEXT) if carrier else _NO_CONTEXT


class _Http(NamedTuple):
    method: str
    scheme: str
    version: str
    host: str | None
    port: int | None


class RequestTrace:
    """The trace of one request. `finish` must be called once, after everything else about the request.

    It has no reference to the exchange or to its scope, which refer to it.
    """

    __slots__ = ("_began", "_clients", "_http", "_parent", "_sampled", "_server", "_tracer")

    def __init__(self, tracer: Tracer, sampler: Sampler, parent: Context, scope: Scope) -> None:
        self._tracer = tracer
        self._parent = parent
        self._http = _Http(
            scope["method"],
            scope.get("scheme", "http"),
            scope.get("http_version", "1.1"),
            *(scope.get("server") or (None, None)),
        )
        # Wall time minus that of the exchange's clock, in ns: spans use the first, the facts have the second.
        self._began = time.time_ns() - time.monotonic_ns()
        self._clients: dict[int, Span] = {}
        self._server: Span | None = None
        context = trace.get_current_span(parent).get_span_context()
        self._sampled = sampler.at_begin(context.trace_flags.sampled if context.is_valid else None)

    @property
    def sampled(self) -> bool:
        """Whether the trace is kept, whatever happens."""
        return self._sampled

    @property
    def trace_id(self) -> str | None:
        """The trace id in hexadecimal; None if it is not known, or not known yet."""
        if self._server is None:
            context = trace.get_current_span(self._parent).get_span_context()
        else:
            context = self._server.get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    # -- while the request runs -------------------------------------------------------------

    def server(self, exchange: Exchange) -> Span:
        """Returns the span of the whole request, and starts it the first time."""
        if self._server is None:
            http = self._http
            route = None if exchange.operation is None else exchange.operation.path
            attributes: dict[str, Any] = {
                names.HTTP_REQUEST_METHOD: http.method,
                names.HTTP_ROUTE: route,
                names.URL_PATH: exchange.path[:_LONGEST],
                names.URL_SCHEME: http.scheme,
                names.NETWORK_PROTOCOL_VERSION: http.version,
                names.SERVER_ADDRESS: http.host,
                names.SERVER_PORT: http.port,
                names.REQUEST_ID: exchange.id,
            }
            self._server = self._tracer.start_span(
                http.method if route is None else f"{http.method} {route}",
                context=self._parent,
                kind=SpanKind.SERVER,
                attributes={name: value for name, value in attributes.items() if value is not None},
                start_time=self._wall(exchange.began),
            )
        return self._server

    def outgoing(self, exchange: Exchange, attempt: Attempt) -> Headers:
        """Returns the W3C headers for the provider. If the trace is not kept so far, they say so."""
        carrier: dict[str, str] = {}
        if self._sampled:
            span = self._client(exchange, attempt)
        else:
            parent = trace.get_current_span(self._parent).get_span_context()
            identifier = parent.trace_id if parent.is_valid else random.getrandbits(128) or 1
            context = SpanContext(
                identifier,
                random.getrandbits(64) or 1,
                is_remote=False,
                trace_flags=TraceFlags(TraceFlags.DEFAULT),
                trace_state=parent.trace_state,
            )
            span = trace.NonRecordingSpan(context)
        _W3C.inject(carrier, trace.set_span_in_context(span, _NO_CONTEXT))
        return tuple([(name.encode(), value.encode()) for name, value in carrier.items()])

    def note(self, exchange: Exchange) -> Headers:
        """Returns the header with the trace id, if the trace is kept or probably will be."""
        if not (self._sampled or len(exchange.attempts) > 1 or exchange.refusal is not None):
            return ()
        identifier = trace.format_trace_id(self.server(exchange).get_span_context().trace_id)
        return ((b"x-standby-trace-id", identifier.encode()),)

    # -- at its end -------------------------------------------------------------------------

    def finish(self, exchange: Exchange, sampler: Sampler) -> None:
        """Make the spans that are missing and end all of them, or drop the trace."""
        now = exchange.clock()
        if not (self._sampled or sampler.at_end(exchange, now)):
            return
        server = self.server(exchange)
        if server.is_recording():
            context = trace.set_span_in_context(server, self._parent)
            for step in exchange.steps:
                if step.name != "route":
                    self._step(exchange, step, context)
            if exchange.plan is not None:
                self._route(exchange, exchange.plan, context)
            for attempt in exchange.attempts:
                self._end_client(self._client(exchange, attempt), exchange, attempt, now)
            self._end_server(server, exchange)
        server.end(self._wall(now))

    def _wall(self, moment: float) -> int:
        """Returns a time of the exchange's clock in nanoseconds since 1970."""
        return self._began + int(moment * 1e9)

    def _step(self, exchange: Exchange, step: Step, context: Context) -> None:
        attributes: dict[str, Any] = {names.OUTCOME: "passed" if step.refusal is None else "refused"}
        if step.refusal is not None:
            attributes[names.REASON] = step.refusal
        if step.name == "auth":
            attributes |= caller_facts(exchange)
        elif step.name == "budget":
            attributes[names.BUDGET_HELD_USD] = exchange.held / NANO
            attributes[names.BUDGET_SHARE] = exchange.share
        span = self._tracer.start_span(
            f"standby.{step.name}", context, attributes=attributes, start_time=self._wall(step.began)
        )
        if step.name == "guardrails":
            for result in exchange.guardrails:
                span.add_event(names.GUARDRAIL_RESULT, guardrail_facts(result), self._wall(step.ended))
        span.end(self._wall(step.ended))

    def _route(self, exchange: Exchange, plan: tuple[Candidate, ...], context: Context) -> None:
        """The span of the decision. Reasons that arose during the walk are in it as well."""
        step = next((each for each in exchange.steps if each.name == "route"), None)
        began = exchange.began if step is None else step.began
        at = self._wall(began if step is None else step.ended)
        pool = "" if exchange.pool is None else exchange.pool.name
        attributes = route_facts(exchange, plan)
        span = self._tracer.start_span(
            f"route {pool}".strip(), context, attributes=attributes, start_time=self._wall(began)
        )
        for name, facts in candidate_events(exchange, plan):
            span.add_event(name, facts, at)
        span.end(at)

    def _client(self, exchange: Exchange, attempt: Attempt) -> Span:
        """Returns the span of an attempt, and starts it the first time."""
        span = self._clients.get(attempt.number)
        if span is not None:
            return span
        target = attempt.candidate.target
        operation = operation_name("" if exchange.operation is None else exchange.operation.name)
        attributes: dict[str, Any] = {
            names.TARGET: attempt.candidate.name,
            names.ATTEMPT: attempt.number,
            names.ATTEMPT_KIND: attempt.kind,
        }
        if (asked := attempt.candidate.operation) is not None:
            attributes[names.ASKED_FOR] = asked.name
        model = attempt.candidate.name
        if target is not None:
            model = target.model
            endpoint = endpoint_of(target.provider)
            attributes |= {
                names.GEN_AI_OPERATION_NAME: operation,
                names.GEN_AI_PROVIDER_NAME: endpoint.vendor,
                names.GEN_AI_REQUEST_MODEL: model,
                names.SERVER_ADDRESS: endpoint.host,
                names.SERVER_PORT: endpoint.port,
                names.PROVIDER: target.provider.name,
            }
            if target.provider.region is not None:
                attributes[names.REGION] = target.provider.region
        links: list[Link] = []
        before = next((first for first, second in failed_over(exchange) if second is attempt), None)
        if before is not None:
            relation = "hedge_of" if attempt.kind == "hedge" else "failover_of"
            links.append(Link(self._client(exchange, before).get_span_context(), {names.LINK: relation}))
            attributes[names.REPLACES] = before.number  # Jaeger drops the attributes of links
        span = self._clients[attempt.number] = self._tracer.start_span(
            f"{operation} {model}".strip(),
            context=trace.set_span_in_context(self.server(exchange), self._parent),
            kind=SpanKind.CLIENT,
            attributes=attributes,
            links=links,
            start_time=self._wall(attempt.began),
        )
        return span

    def _end_client(self, span: Span, exchange: Exchange, attempt: Attempt, now: float) -> None:
        fault = attempt.fault
        finished = now if attempt.finished is None else attempt.finished
        span.set_attributes(answer_facts(attempt, exchange))
        if fault is not None:
            span.set_attribute(names.ERROR_TYPE, fault.kind)
            span.set_attribute(names.FAILURE_CLASS, fault.kind)
            if fault.retry_after is not None:
                span.set_attribute(names.RETRY_AFTER_MS, int(fault.retry_after * 1000))
            span.set_status(StatusCode.ERROR, fault.kind)
        elif attempt is not exchange.served:
            span.set_attribute(names.CANCELLED, _cancelled(exchange))
        wait = attempt.upstream_wait
        if wait is not None and attempt.answer is not None and fault is None and exchange.streamed:
            span.add_event(names.FIRST_CHUNK, timestamp=self._wall(attempt.began + wait))
        span.end(self._wall(finished))

    @staticmethod
    def _end_server(server: Span, exchange: Exchange) -> None:
        outcome = outcome_of(exchange)
        server.set_attributes(request_facts(exchange, outcome))
        # HTTP conventions: a status 4xx of a server is no error of the server.
        if outcome == "broken" or (outcome == "failed" and (exchange.status or 500) >= 500):
            server.set_status(StatusCode.ERROR, error_type(exchange, outcome))


def _cancelled(exchange: Exchange) -> str:
    """Returns why an attempt ended that neither failed nor is served."""
    if exchange.client_gone:
        return "client_gone"
    return "hedged" if exchange.served is not None else "stopped"
