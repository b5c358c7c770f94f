"""What the span of the route decision says: every candidate, with its reason. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..config import NANO
from ..exchange import Candidate, Exchange
from . import names

__all__ = ["candidate_events", "route_facts"]


def route_facts(exchange: Exchange, plan: Sequence[Candidate]) -> dict[str, Any]:
    """Returns the attributes of the decision, by name."""
    tried = _tried(exchange)
    facts: dict[str, Any] = {
        names.ROUTE_CANDIDATES: [f"{each.name}:{_reason(each, tried)}" for each in plan],
        names.ROUTE_ORDER: [each.name for each in plan if each.rejected is None],
        names.ROUTE_REJECTED: [f"{each.name}:{_rejection(each)}" for each in plan if each.rejected],
    }
    if exchange.pool is not None:
        facts |= {names.POOL: exchange.pool.name, names.ROUTE_STRATEGY: exchange.pool.balance}
    if exchange.attempts:
        facts[names.ROUTE_SELECTED] = exchange.attempts[0].candidate.name
    return facts


def candidate_events(exchange: Exchange, plan: Sequence[Candidate]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the name and the attributes of an event for each candidate that was tried or rejected."""
    tried = _tried(exchange)
    for rank, candidate in enumerate(plan, 1):
        facts: dict[str, Any] = {names.TARGET: candidate.name}
        if candidate.rejected is not None:
            facts |= {
                names.REASON: candidate.rejected,
                names.RETRY_IN_S: candidate.ready_in,
                names.DETAIL: candidate.field or candidate.limit,
            }
            name = names.CANDIDATE_REJECTED
        elif candidate.name in tried:
            facts |= {
                names.RANK: rank,
                names.SCORE: candidate.score,
                names.SCORE_COST_USD: None if candidate.cost is None else candidate.cost / NANO,
                names.REASON: candidate.degraded,
            }
            name = names.CANDIDATE_SELECTED
        else:
            continue
        yield name, {key: value for key, value in facts.items() if value is not None}


def _rejection(candidate: Candidate) -> str:
    return f"{candidate.rejected}:{candidate.field}" if candidate.field else str(candidate.rejected)


def _tried(exchange: Exchange) -> set[str]:
    return {attempt.candidate.name for attempt in exchange.attempts}


def _reason(candidate: Candidate, tried: set[str]) -> str:
    """Returns what became of a candidate, such as "health.cooldown"."""
    return candidate.rejected or ("tried" if candidate.name in tried else "not_needed")
