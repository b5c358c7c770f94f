"""The decision log's record of one request: names, numbers and reasons, none of its content. No I/O."""

from __future__ import annotations

from typing import Any

from ..config import NANO
from ..exchange import Attempt, Candidate, Exchange
from .outcome import Outcome, error_type

__all__ = ["decision"]


def decision(exchange: Exchange, outcome: Outcome, at: float) -> dict[str, Any]:
    """Returns the record of a request that ended `at` this time, in seconds since 1970.

    Durations are in milliseconds. `candidates` has every target that was considered, with the reason if it
    was not tried.
    """
    principal, served = exchange.principal, exchange.served
    costs = [attempt.cost for attempt in exchange.attempts if attempt.cost is not None]
    return {
        "time": at,
        "request_id": exchange.id,
        "trace_id": None if exchange.trace is None else exchange.trace.trace_id,
        "outcome": outcome,
        "status": exchange.status,
        "error": error_type(exchange, outcome),
        "operation": None if exchange.operation is None else exchange.operation.name,
        "pool": None if exchange.pool is None else exchange.pool.name,
        "key": None if principal is None else principal.name("key"),
        "team": None if principal is None else principal.name("team"),
        "organisation": None if principal is None else principal.name("organisation"),
        "target": None if served is None else served.candidate.name,
        "degraded": exchange.degraded,
        "dropped": [] if served is None else list(served.dropped),
        "streamed": exchange.streamed,
        "duration_ms": _ms(exchange.clock() - exchange.began),
        "cost_usd": sum(costs) / NANO if costs else None,
        "config": None if exchange.routes is None else exchange.routes.version,
        "guardrails": [result._asdict() for result in exchange.guardrails],
        "attempts": [_attempt(attempt) for attempt in exchange.attempts],
        "candidates": [_candidate(candidate, exchange) for candidate in exchange.plan or ()],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    answer, fault = attempt.answer, attempt.fault
    usage = None if answer is None or answer.reader is None else answer.reader.usage
    return {
        "target": attempt.candidate.name,
        "kind": attempt.kind,
        "asked_for": None if attempt.candidate.operation is None else attempt.candidate.operation.name,
        "fault": None if fault is None else fault.kind,
        "status": None if answer is None else answer.status or None,
        "wait_ms": _ms(attempt.upstream_wait or 0.0),
        "duration_ms": None if attempt.finished is None else _ms(attempt.finished - attempt.began),
        "input_tokens": None if usage is None else usage.input,
        "output_tokens": None if usage is None else usage.output,
    }


def _candidate(candidate: Candidate, exchange: Exchange) -> dict[str, Any]:
    tried = any(attempt.candidate is candidate for attempt in exchange.attempts)
    return {
        "target": candidate.name,
        "role": candidate.role,
        "reason": candidate.rejected or ("tried" if tried else "not_needed"),
        "field": candidate.field,
        "degraded": candidate.degraded,
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 3)
