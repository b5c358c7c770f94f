"""Builds the refusal for a request that no target answered. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ..classify.faults import RULES, FaultKind
from ..errors import Refusal
from ..exchange import Exchange

__all__ = ["exhausted"]

_MIN_RETRY_AFTER: Final = 1.0
"""The minimum of Retry-After in seconds. `Retry-After: 0` would cause immediate retries by every client."""

_GUARDRAILS: Final = MappingProxyType(
    {
        "guardrail.blocked": "guardrail_blocked",
        "guardrail.undecided": "guardrail_unavailable",
        "guardrail.not_scanned": "guardrail_not_scanned",
    }
)
_OTHER_REASONS: Final = ("capability.", "deadline.", "disabled", "health.")
"""The prefixes of rejection reasons that have nothing to do with policy, budgets or limits."""
_LASTING: Final = ("capability.", "disabled", "guardrail.", "policy.", "state.")
"""The prefixes of rejection reasons for which the same request is rejected later too."""


def exhausted(exchange: Exchange, *, deadline_passed: bool = False) -> Refusal:
    """Returns the refusal that summarises every attempt and rejection of `exchange`.

    If all attempts have the same status, that is its status; see `_status` for mixed ones. Retry-After is the
    shortest time after which a target may be available again. `deadline_passed` is whether the request's
    deadline ended the search.
    """
    kinds: list[FaultKind] = [
        attempt.fault.kind for attempt in exchange.attempts if attempt.fault is not None
    ]
    retry_after = _retry_after(exchange)
    if set(kinds) == {"local_overload"}:
        # Only the gateway itself is overloaded.
        return Refusal("overloaded", retry_after=_MIN_RETRY_AFTER, retryable=True)
    detail = ", ".join([_shown(row) for row in exchange.tried()])
    if deadline_passed:
        return Refusal("deadline_exceeded", retry_after=retry_after, detail=detail)
    if not kinds:
        return _not_cleared(exchange, retry_after, detail) or Refusal(
            "no_target_available",
            status=429 if _all_rate_limited(exchange) else None,
            retry_after=retry_after,
            detail=detail,
        )
    status = _status(kinds, exchange.dialect)
    if status == 400 and any((each.rejected or "").startswith("health.") for each in exchange.plan or ()):
        status = 503  # a translation was rejected, and the target that needs none rests
    return Refusal("all_attempts_failed", status=status, retry_after=retry_after, detail=detail)


def _not_cleared(exchange: Exchange, retry_after: float | None, detail: str) -> Refusal | None:
    """Returns the refusal if only policy, budgets and limits rejected the targets, else None.

    `detail` says what happened at each target.

    Policy and guardrails decide only if they reject every target; otherwise the budget or limit of the others
    does.
    """
    reasons = {candidate.rejected for candidate in exchange.plan or () if candidate.rejected is not None}
    if reasons and all(reason.startswith("state.") for reason in reasons):
        return Refusal("unknown_state", detail=detail)
    if reasons == {"capability.endpoint"}:
        return Refusal("operation_not_supported", param="model", detail=detail)
    if "capability.untranslatable" in reasons and all(reason.startswith(_LASTING) for reason in reasons):
        fields = (candidate.field for candidate in exchange.plan or ())
        return Refusal("untranslatable", param=next(filter(None, fields), None), detail=detail)
    reasons.discard("state.bound")  # a target without the request's state cannot serve it anyway
    if not reasons or any(reason.startswith(_OTHER_REASONS) for reason in reasons):
        return None
    budget_or_limit = {reason for reason in reasons if reason.startswith(("budget.", "limit."))}
    if not budget_or_limit:
        return _guarded(exchange) or Refusal("policy_no_eligible_target", detail=detail)
    if "budget.busy" in budget_or_limit:
        return Refusal("overloaded", retry_after=_MIN_RETRY_AFTER, retryable=True)
    if "budget.unavailable" in budget_or_limit:
        return Refusal("budget_unavailable", retry_after=_MIN_RETRY_AFTER)
    limited = sorted(reason for reason in budget_or_limit if reason.startswith("limit."))
    limit = next(
        (
            candidate.limit
            for candidate in exchange.plan or ()
            if candidate.rejected in (limited or budget_or_limit) and candidate.limit is not None
        ),
        None,
    )
    headers = () if limit is None else ((b"x-standby-limit", limit.encode()),)
    if not limited:
        return Refusal("budget_exceeded", param=limit, retry_after=retry_after, headers=headers)
    if set(limited) == {"limit.too_large"}:
        return Refusal("too_large_for_limit", param=limit, headers=headers)
    return Refusal(
        "rate_limited",
        param=limit,
        retry_after=retry_after,
        retryable=retry_after is not None,
        headers=headers,
    )


def _shown(row: Mapping[str, str]) -> str:
    """Returns what happened at one target, in words."""
    field = row.get("field")
    return f"{row['target']}: {row['fault']}" + ("" if field is None else f" ({field})")


def _all_rate_limited(exchange: Exchange) -> bool:
    """Whether every target that could take the request later rests because of its provider's rate limit."""
    health = exchange.health
    if health is None:
        return False
    reasons = [
        health.reason(candidate.name, candidate.target.provider.name, operation.name)
        for candidate in exchange.plan or ()
        if candidate.target is not None
        and (candidate.rejected or "").startswith("health.")
        and (operation := exchange.asked_of(candidate)) is not None
    ]
    return bool(reasons) and all(reason in {"rate_limited", "ramp_limited"} for reason in reasons)


def _guarded(exchange: Exchange) -> Refusal | None:
    """Returns the refusal of the first target that a guardrail rejected, or None."""
    for candidate in exchange.plan or ():
        code = None if candidate.rejected is None else _GUARDRAILS.get(candidate.rejected)
        if code is not None and (rule := candidate.limit) is not None:
            return Refusal(code, param=rule, headers=((b"x-standby-guardrail", rule.encode()),))
    return None


def _status(kinds: list[FaultKind], dialect: str) -> int:
    # A fault of the caller without a status to pass on is a bad request.
    statuses = {RULES[kind].status or 400 for kind in kinds}
    if dialect == "anthropic" and set(kinds) == {"overloaded"}:
        return 529
    if len(statuses) == 1:
        return statuses.pop()
    # Mixed causes: 503 means "later" and is used if any of them is temporary; otherwise it is 502.
    return 503 if statuses & {429, 503} else 502


def _retry_after(exchange: Exchange) -> float | None:
    """Returns the seconds until the first target may be available again, or None if that is unknown."""
    waits = [candidate.ready_in for candidate in exchange.plan or () if candidate.ready_in is not None]
    if (health := exchange.health) is not None:
        for attempt in exchange.attempts:
            target, operation = attempt.candidate.target, exchange.asked_of(attempt.candidate)
            if target is None or operation is None:
                continue
            rejection = health.rejection(target.name, target.provider.name, operation.name)
            if rejection is not None:
                waits.append(rejection.ready_in or _MIN_RETRY_AFTER)
    waits += [
        attempt.fault.retry_after
        for attempt in exchange.attempts
        if attempt.fault is not None and attempt.fault.retry_after is not None
    ]
    return max(_MIN_RETRY_AFTER, min(waits)) if waits else None
