"""What became of a request, for spans, metrics and logs alike. No I/O."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from ..classify.faults import is_callers
from ..exchange import Attempt, Exchange, GuardrailResult

__all__ = ["KEPT", "Outcome", "error_type", "failed_over", "outcome_of"]

Outcome: TypeAlias = Literal[
    "served", "caller_error", "rejected", "failed", "broken", "blocked", "client_gone"
]
"""What became of a request:

* `served`: an answer, complete as far as is known.
* `caller_error`: a provider's answer that the request itself is wrong, passed on.
* `rejected`: refused by the gateway before any attempt, for a reason of the caller's or of policy.
* `failed`: no target answered, or the gateway could not.
* `broken`: the answer began, and broke off.
* `blocked`: the answer began, and a guardrail ended it.
* `client_gone`: the caller left first.
"""

KEPT: Final[frozenset[Outcome]] = frozenset({"rejected", "failed", "broken", "blocked"})
"""Outcomes whose traces are kept although they are not in the sample."""


def outcome_of(exchange: Exchange) -> Outcome:
    """Returns what became of a request that has ended."""
    if exchange.client_gone:
        return "client_gone"
    if exchange.broke:
        return "broken"
    if exchange.guardrails and any(map(_ends_answer, exchange.guardrails)):
        return "blocked"
    served = exchange.served
    if exchange.refusal is not None:
        # A guardrail that cannot decide says nothing of the pool.
        own = exchange.refusal == "guardrail_unavailable" and not exchange.attempts
        failed = not own and (bool(exchange.attempts) or exchange.status is None or exchange.status >= 500)
        return "failed" if failed else "rejected"
    if exchange.status is None:
        return "failed"
    if served is not None and served.fault is None and exchange.relayed and not _is_complete(served):
        return "broken"  # the server has cancelled it
    if served is None or served.fault is None:
        return "served" if exchange.status < 400 else "failed" if exchange.status >= 500 else "rejected"
    return "caller_error" if is_callers(served.fault) else "broken"


def error_type(exchange: Exchange, outcome: Outcome) -> str | None:
    """Returns the error code or the fault's kind, a name of a fixed list, or None without an error."""
    if outcome in {"served", "client_gone"}:
        return None
    if exchange.refusal is not None:
        return exchange.refusal
    if outcome == "blocked":
        return "guardrail_answer_blocked"
    served = exchange.served
    if served is None or exchange.broke:
        return "internal_error"
    return "gateway_draining" if served.fault is None else served.fault.kind


def _ends_answer(result: GuardrailResult) -> bool:
    return result.stage == "response" and result.outcome == "blocked"


def _is_complete(attempt: Attempt) -> bool:
    return attempt.answer is not None and attempt.answer.complete


def failed_over(exchange: Exchange) -> list[tuple[Attempt, Attempt]]:
    """Returns each attempt at another target together with the attempt that it replaces, or stands beside."""
    pairs = zip(exchange.attempts, exchange.attempts[1:], strict=False)
    return [(before, after) for before, after in pairs if after.kind in {"failover", "hedge"}]
