"""What may go wrong with an attempt, and what follows from it: the decision table. No I/O.

* May another target be tried (`Rule.moves`), and which alternates does that open (`Rule.cause`)?
* What does it say about the target's health (`Rule.health`), and which status does the caller get when
  nothing else is left (`Rule.status`; None means the provider's own answer)?

Which fault a provider's answer is, `provider_errors` and `answer` tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from ..config import Cause

__all__ = ["RULES", "Fault", "FaultKind", "HealthEffect", "MayMove", "Rejection", "Rule", "is_callers"]

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
"""What can go wrong with an attempt. `RULES` says what follows from each."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one attempt gave no answer.

    `status` and `code` are the provider's own; `retry_after` is in seconds.
    """

    kind: FaultKind
    status: int | None = None
    code: str | None = None
    retry_after: float | None = None


class Rejection(NamedTuple):
    """Why a target is not tried: a stable reason code, and the seconds until it passes, where it will."""

    reason: str
    ready_in: float | None = None
    limit: str | None = None
    """The limit that refused, by scope and name."""


MayMove = Literal["yes", "no", "larger", "opt_in"]
"""To another target: always, never, only to one with a larger context, only where the pool asks for it."""

HealthEffect = Literal["failure", "cooldown", "long_cooldown", "alive", "none"]
"""What a fault says of its target: a `failure` counts towards the breaker; a `cooldown` rests it for as long
as it asked, a long one for minutes, since no waiting request will mend it; `alive` is the caller's fault, and
told by a target that works; `none` is ours, and tells nothing."""


class Rule(NamedTuple):
    """What follows from one kind of fault."""

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
        "bad_request": Rule("no", ("outage",), "alive", None),
        "incompatible": Rule("yes", ("outage",), "alive", None),
        "quota": Rule("yes", ("outage",), "long_cooldown", 503),
        # Never 401: the caller's own key was fine.
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
    """Whether the provider's own answer is for the caller to see, if nobody gives a better one.

    Never for an error that came with a 200: a client would take it for a success.
    """
    return RULES[fault.kind].status is None and (fault.status is None or not 200 <= fault.status <= 299)
