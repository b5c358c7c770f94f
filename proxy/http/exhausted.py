"""What the caller is told when no target gave an answer. No I/O."""

from __future__ import annotations

from typing import Final

from ..classify.faults import RULES, FaultKind
from ..errors import Refusal
from ..exchange import Exchange

__all__ = ["exhausted"]

_SOONEST: Final = 1.0
"""Seconds. `Retry-After: 0` invites the storm it should prevent."""

_OTHERS: Final = ("capability.", "deadline.", "disabled", "health.")
"""How reasons begin that are neither of policy nor of money."""


def exhausted(exchange: Exchange, *, deadline_passed: bool = False) -> Refusal:
    """The refusal that sums up every attempt and rejection of `exchange`.

    One status for all if the attempts agree on it, else the one that says most about what to do. Retry-After
    is the soonest time at which a target may recover.
    """
    kinds: list[FaultKind] = [
        attempt.fault.kind for attempt in exchange.attempts if attempt.fault is not None
    ]
    wait = _soonest(exchange)
    if set(kinds) == {"local_overload"}:
        return Refusal("overloaded", retry_after=_SOONEST, retryable=True)  # nobody but us is the matter
    if deadline_passed:
        return Refusal("deadline_exceeded", retry_after=wait)
    if not kinds:
        return _not_cleared(exchange, wait) or Refusal("no_target_available", retry_after=wait)
    return Refusal("all_attempts_failed", status=_status(kinds, exchange.dialect), retry_after=wait)


def _not_cleared(exchange: Exchange, wait: float | None) -> Refusal | None:
    """What to say where clearances refused every target; None if something else stood against one.

    What policy forbids is left aside as long as it allows another target: that one decides.
    """
    reasons = {candidate.rejected for candidate in exchange.plan or () if candidate.rejected is not None}
    reasons.discard("state.bound")  # nothing that this request could use stood there
    if not reasons or any(reason.startswith(_OTHERS) for reason in reasons):
        return None
    spent = {reason for reason in reasons if reason.startswith(("budget.", "limit."))}
    if not spent:
        return Refusal("policy_no_eligible_target")
    if "budget.unavailable" in spent:
        return Refusal("budget_unavailable", retry_after=_SOONEST)
    limited = sorted(reason for reason in spent if reason.startswith("limit."))
    limit = next(
        (
            candidate.limit
            for candidate in exchange.plan or ()
            if candidate.rejected in (limited or spent) and candidate.limit is not None
        ),
        None,
    )
    headers = () if limit is None else ((b"x-standby-limit", limit.encode()),)
    if not limited:
        return Refusal("budget_exceeded", param=limit, retry_after=wait, headers=headers)
    return Refusal("rate_limited", param=limit, retry_after=wait, retryable=wait is not None, headers=headers)


def _status(kinds: list[FaultKind], dialect: str) -> int:
    # A refusal that was the caller's, but came without a status to pass on, is a bad request.
    statuses = {RULES[kind].status or 400 for kind in kinds}
    if dialect == "anthropic" and set(kinds) == {"overloaded"}:
        return 529
    if len(statuses) == 1:
        return statuses.pop()
    # Mixed causes: 503 says "later" where any of them will pass by itself, 502 says that none will.
    return 503 if statuses & {429, 503} else 502


def _soonest(exchange: Exchange) -> float | None:
    waits = [candidate.ready_in for candidate in exchange.plan or () if candidate.ready_in is not None]
    health, operation = exchange.health, exchange.operation
    if health is not None and operation is not None:
        for attempt in exchange.attempts:
            target = attempt.candidate.target
            if target is not None and (
                rejection := health.rejection(target.name, target.provider.name, operation.name)
            ):
                waits.append(rejection.ready_in or _SOONEST)
    waits += [
        attempt.fault.retry_after
        for attempt in exchange.attempts
        if attempt.fault is not None and attempt.fault.retry_after is not None
    ]
    return max(_SOONEST, min(waits)) if waits else None
