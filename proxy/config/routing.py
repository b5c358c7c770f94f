"""Types and tables of a pool's routing settings: capabilities, causes, degradation, hedging, probes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from .table import Table
from .values import Duration, Remark, objection, seconds

__all__ = [
    "CARRIED",
    "OPERATIONS",
    "Balance",
    "Capability",
    "Cause",
    "DegradeOn",
    "Hedge",
    "OnBreak",
    "Order",
    "Probe",
    "ReasoningState",
    "Share",
    "Slow",
    "Sticky",
    "WhenExhausted",
]

Cause: TypeAlias = Literal["outage", "slow", "rate_limited", "budget", "context", "refused", "truncated"]
"""The causes for which a request may leave a pool's preferred targets."""

Balance: TypeAlias = Literal["weighted", "fastest", "cheapest", "least_busy", "priority"]
"""How the load is distributed over preferred targets."""

Order: TypeAlias = Literal["cheapest"]
"""How the targets of a pool may be ordered when its budget runs low."""

WhenExhausted: TypeAlias = Literal["refuse", "degrade"]
"""What happens when no target of the required quality is left: `refuse` the request, or `degrade` to the
other targets."""

ReasoningState: TypeAlias = Literal["keep", "strip"]
"""What happens to signed or encrypted reasoning whose issuer cannot be asked: with `keep` the request goes
nowhere else, with `strip` the reasoning is left out."""

OnBreak: TypeAlias = Literal["terminate", "restart"]
"""What happens when a stream breaks after it has begun: `terminate` ends it with an error; `restart` starts
again at the next target, for callers that declare support for that."""

Capability: TypeAlias = Literal[
    "chat",
    "responses",
    "embeddings",
    "messages",
    "count_tokens",
    "stream",
    "tools",
    "parallel_tools",
    "vision",
    "audio",
    "documents",
    "json_schema",
    "reasoning",
]
"""What a target may be able to do: operations, and features that a request may use."""

OPERATIONS: Final[Mapping[str, frozenset[Capability]]] = MappingProxyType(
    {
        "openai": frozenset({"chat", "responses", "embeddings"}),
        "anthropic": frozenset({"messages", "count_tokens"}),
    }
)
"""The capabilities that are operations, by dialect."""

CARRIED: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "chat": frozenset({"messages"}),
        "messages": frozenset({"chat"}),
        "responses": frozenset({"chat", "messages"}),
    }
)
"""Operations that can be translated, and those to which they can be."""

Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]
"""A fraction of a whole, more than 0 and at most 1."""

_STICKY: Final = re.compile(r"user|key|header:[a-z0-9][a-z0-9-]{0,63}")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]{0,127}")


def _sticky(value: str) -> str:
    if _STICKY.fullmatch(value) is None:
        raise objection(Remark("not something to stick to", 'write "user", "key" or "header:x-session"'))
    return value


def _path(value: str) -> str:
    if _PATH.fullmatch(value) is None:
        raise objection(Remark("not a path below base_url", 'write "/models"'))
    return value


def _after(value: object, info: ValidationInfo) -> object:
    return value if value == "p95" else seconds(value, info)


Sticky: TypeAlias = Annotated[str, AfterValidator(_sticky)]
"""`"user"` (the caller's user, key, or the `user` in the request), `"key"` or `"header:NAME"`."""


class Slow(Table):
    """The p95 latencies, in the last minute and of at least 20 answers, from which a target is degraded."""

    p95_first_token: Duration | None = None
    """Seconds until the first content of a streamed answer."""
    p95_total: Duration | None = None
    """Seconds until the end of an answer."""

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.p95_first_token is None and self.p95_total is None:
            raise objection(Remark("says nothing", 'write { p95_first_token = "4s" }'))
        return self


class DegradeOn(Table):
    """The shares of bad answers, in the last minute and of at least 20, from which a target is degraded."""

    refusals: Share | None = None
    """Answers that refuse the content: by a content filter, or by the model itself."""
    malformed: Share | None = None
    """Answers that are invalid: not JSON, not a stream, without content, or truncated."""

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.refusals is None and self.malformed is None:
            raise objection(Remark("says nothing", "write { refusals = 0.2 }"))
        return self


class Hedge(Table):
    """Hedging: a second attempt at the next target if the first has not begun to answer in time."""

    after: Annotated[Literal["p95"] | float, BeforeValidator(_after)] = "p95"
    """The delay before the second attempt: the first target's p95 in the last minute (no hedging while that
    is unknown), or seconds."""
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The most hedged attempts, as a share of the requests to the pool."""


class Probe(Table):
    """A `GET` request that checks whether a target in cooldown can be reached again."""

    path: Annotated[str, AfterValidator(_path)] = "/models"
    """The path, relative to the provider's `base_url`."""
    every: Duration = 30.0
    """Seconds between two probes."""
