"""The kinds of fault of an attempt, and the table of what the gateway does about each. No I/O.

For each kind of fault, `RULES` answers these questions:

* May another target be tried (`Rule.moves`), and which alternates become available (`Rule.opens`)?
* How does the fault affect the target's health (`Rule.health`)?
* Which status does the caller get if no target is left (`Rule.status`; None means the provider's own answer)?

`provider_errors` and `answer` decide which kind of fault an answer is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from ..config import Cause

__all__ = [
    "RULES",
    "Fault",
    "FaultKind",
    "HealthEffect",
    "MayMove",
    "Rejection",
    "Rests",
    "Rule",
    "is_callers",
]

FaultKind = Literal[
    "connect",
    "local_overload",
    "timeout_first_byte",
    "timeout",
    "conflict",
    "context_overflow",
    "content_refused",
    "bad_request",
    "incompatible",
    "quota",
    "upstream_auth",
    "target_missing",
    "rate_limited",
    "ramp_limited",
    "upstream_5xx",
    "overloaded",
    "bad_response",
    "stream_failed",
    "stream_truncated",
    "policy",
]
"""The kinds of fault of an attempt. `RULES` has the policy for each."""


Rests = Literal["nothing", "operation", "target", "provider"]
"""What is left alone after a fault: nothing, one operation of the target, the target, or every target behind
the same key."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one attempt failed.

    `status` and `code` are the provider's HTTP status and error code. `retry_after` is the delay that the
    provider asks for, in seconds. `rests` is what the fault rests, None for what its kind does. `is_answer`
    is whether the provider's answer can be passed on as it came although it counts as a fault.
    """

    kind: FaultKind
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None
    rests: Rests | None = None
    is_answer: bool = False


class Rejection(NamedTuple):
    """Why a target is skipped: a stable reason code, and the seconds until the reason passes, if known."""

    reason: str
    ready_in: float | None = None
    limit: str | None = None
    """The scope and name of the limit that rejected the request, or the name of the guardrail."""
    field: str | None = None
    """The path of what the target's wire format cannot carry."""


MayMove = Literal["yes", "no", "if_failed", "larger", "opt_in"]
"""Whether the request may move to another target: `yes`, `no`, only if another one failed before
(`if_failed`), only to one with a `larger` context window, or only if the pool opts in (`opt_in`)."""

HealthEffect = Literal["failure", "cooldown", "long_cooldown", "alive", "none"]
"""How a fault affects its target's health. A `failure` counts towards the circuit breaker. A `cooldown` takes
the target out of rotation for as long as it asks; a `long_cooldown` for minutes, since a short wait does not
remove the cause. `alive` is an error of the caller's, which shows that the target works. `none` is an error
of the gateway's own and shows nothing about the target."""


class Rule(NamedTuple):
    """The policy for one kind of fault. The module docstring explains the fields."""

    moves: MayMove
    opens: tuple[Cause, ...]
    health: HealthEffect
    status: int | None


RULES: Final[Mapping[FaultKind, Rule]] = MappingProxyType(
    {
        "connect": Rule("yes", ("outage",), "failure", 503),
        "local_overload": Rule("yes", ("outage",), "none", 503),
        "timeout_first_byte": Rule("yes", ("slow",), "failure", 504),
        "timeout": Rule("yes", ("slow",), "failure", 504),
        "conflict": Rule("yes", ("outage",), "alive", 409),
        "context_overflow": Rule("larger", ("context",), "alive", None),
        "content_refused": Rule("opt_in", ("refused",), "alive", None),
        # The first target's word is the API's. A fallback may have a rule of its own.
        "bad_request": Rule("if_failed", ("outage",), "alive", None),
        "incompatible": Rule("yes", ("outage",), "alive", None),
        "quota": Rule("yes", ("outage",), "long_cooldown", 503),
        # Never 401: the caller's own key is valid, the provider rejects the gateway's.
        "upstream_auth": Rule("yes", ("outage",), "long_cooldown", 502),
        "target_missing": Rule("yes", ("outage",), "long_cooldown", 502),
        "rate_limited": Rule("yes", ("rate_limited",), "cooldown", 429),
        "ramp_limited": Rule("yes", ("rate_limited",), "cooldown", 429),
        "upstream_5xx": Rule("yes", ("outage",), "failure", 502),
        "overloaded": Rule("yes", ("outage",), "failure", 503),
        "bad_response": Rule("yes", ("outage",), "failure", 502),
        "stream_failed": Rule("yes", ("outage", "truncated"), "failure", 502),
        "stream_truncated": Rule("no", ("truncated",), "failure", 502),
        "policy": Rule("yes", ("outage",), "none", 503),
    }
)


def is_callers(fault: Fault) -> bool:
    """Whether to pass the provider's own error answer on to the caller, if no other target succeeds.

    False for an error under a status 2xx: a client would mistake it for a success.
    """
    if fault.is_answer:
        return True
    return RULES[fault.kind].status is None and (fault.status is None or not 200 <= fault.status <= 299)
