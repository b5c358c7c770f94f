"""What one request adds to the metrics. No I/O."""

from __future__ import annotations

from typing import Final

from ..config import NANO
from ..exchange import Attempt, Exchange
from . import names
from .endpoint import endpoint_of
from .metrics import Metrics
from .outcome import Outcome, failed_over

__all__ = ["count_request"]

_NONE: Final = "none"
"""The label where there is no pool, no team, or no fault."""


def count_request(metrics: Metrics, exchange: Exchange, outcome: Outcome) -> None:
    """Count a request that has ended. Its labels are names of the configuration."""
    now = exchange.clock()
    pool = _NONE if exchange.pool is None else exchange.pool.name
    metrics.count(names.REQUESTS, (pool, outcome))
    metrics.observe(names.REQUEST_DURATION, (pool, outcome), now - exchange.began)
    attempts = exchange.attempts
    if attempts:
        metrics.observe(names.OVERHEAD, ("before",), attempts[0].began - exchange.began)
        finished = attempts[-1].finished
        if finished is not None:
            metrics.observe(names.OVERHEAD, ("after",), max(0.0, now - finished))
    team = _NONE if exchange.principal is None else exchange.principal.name("team") or _NONE
    operation = "" if exchange.operation is None else names.operation_name(exchange.operation.name)
    for attempt in attempts:
        _count_attempt(metrics, exchange, attempt, pool, team, operation)
    for candidate in exchange.plan or ():
        if candidate.rejected is not None:
            metrics.count(names.REJECTIONS, (pool, candidate.name, candidate.rejected))
    for result in exchange.guardrails:
        metrics.count(names.GUARDRAIL_RESULTS, (result.rule, result.stage, result.outcome))
    if len(attempts) > 1:
        for before, after in failed_over(exchange):
            if after.kind == "failover" and before.fault is not None:
                places = before.candidate.name, after.candidate.name
                metrics.count(names.FAILOVERS, (pool, *places, before.fault.kind))


def _count_attempt(
    metrics: Metrics, exchange: Exchange, attempt: Attempt, pool: str, team: str, operation: str
) -> None:
    name, target, fault = attempt.candidate.name, attempt.candidate.target, attempt.fault
    kind = _NONE if fault is None else fault.kind
    metrics.count(names.ATTEMPTS, (pool, name, kind))
    if attempt.cost:
        metrics.count(names.COST, (pool, team, name), attempt.cost / NANO)
    if target is None:
        return
    model = operation, endpoint_of(target.provider).vendor, target.model
    if attempt.finished is not None:
        metrics.observe(names.MODEL_DURATION, (*model, kind), attempt.finished - attempt.began)
    answer = attempt.answer
    if answer is None or answer.reader is None:
        return
    if fault is None and exchange.streamed and attempt.upstream_wait is not None:
        metrics.observe(names.FIRST_TOKEN, (pool, name), attempt.upstream_wait)
        metrics.observe(names.MODEL_FIRST_CHUNK, model, attempt.upstream_wait)
    if (usage := answer.reader.usage) is not None:
        for which, tokens in (("input", usage.input), ("output", usage.output)):
            metrics.count(names.TOKENS, (pool, team, name, which), tokens)
            metrics.observe(names.MODEL_TOKENS, (*model, which), tokens)
