"""The small tables by which a pool routes: what a target can do, what counts as slow, what is new."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, model_validator

from .table import Table
from .values import Duration, Remark, objection, seconds

__all__ = [
    "OPERATIONS",
    "Balance",
    "Capability",
    "Cause",
    "DegradeOn",
    "Hedge",
    "OnBreak",
    "Order",
    "Probe",
    "Share",
    "Slow",
    "Sticky",
    "WhenExhausted",
]

Cause: TypeAlias = Literal["outage", "slow", "rate_limited", "budget", "context", "refused", "truncated"]
"""Why a request may leave a pool's preferred targets."""

Balance: TypeAlias = Literal["weighted", "fastest", "cheapest", "least_busy", "priority"]
"""How the load is spread over preferred targets."""

Order: TypeAlias = Literal["cheapest"]
"""How the targets of a pool may be ordered once its budget runs low."""

WhenExhausted: TypeAlias = Literal["refuse", "degrade"]
"""What follows when no target of the wanted quality is left: a refusal, or the others after all."""

OnBreak: TypeAlias = Literal["terminate", "restart"]
"""What follows when a stream breaks after it began: its end, or the next target from the start for callers
that say they understand that."""

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
"""What a target may be able to do: operations, and what a request may ask for besides."""

OPERATIONS: Final[Mapping[str, frozenset[Capability]]] = MappingProxyType(
    {
        "openai": frozenset({"chat", "responses", "embeddings"}),
        "anthropic": frozenset({"messages", "count_tokens"}),
    }
)
"""The capabilities that are operations, by the dialect that has them."""

Share: TypeAlias = Annotated[float, Field(gt=0, le=1)]
"""A part of a whole, more than 0 and at most 1."""

_STICKY: Final = re.compile(r"user|header:[a-z0-9][a-z0-9-]{0,63}")
_PATH: Final = re.compile(r"/[A-Za-z0-9._~/-]{0,127}")


def _sticky(value: str) -> str:
    if _STICKY.fullmatch(value) is None:
        raise objection(Remark("not something to stick to", 'write "user" or "header:x-session"'))
    return value


def _path(value: str) -> str:
    if _PATH.fullmatch(value) is None:
        raise objection(Remark("not a path below base_url", 'write "/models"'))
    return value


def _after(value: object, info: ValidationInfo) -> object:
    return value if value == "p95" else seconds(value, info)


Sticky: TypeAlias = Annotated[str, AfterValidator(_sticky)]
"""`"user"` (the caller's user, key, or the request's own `user`) or `"header:NAME"`."""


class Slow(Table):
    """From when on a target counts as degraded: the p95 of its last minute, of at least 20 answers."""

    p95_first_token: Duration | None = None
    """Of streamed answers, until their first content."""
    p95_total: Duration | None = None
    """Of whole answers."""

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.p95_first_token is None and self.p95_total is None:
            raise objection(Remark("says nothing", 'write { p95_first_token = "4s" }'))
        return self


class DegradeOn(Table):
    """From which share of its answers of the last minute on, of at least 20, a target counts as degraded."""

    refusals: Share | None = None
    """Answers that refuse to say what was asked for: a content filter, a model's own refusal."""
    malformed: Share | None = None
    """Answers that are none: no JSON, no stream, nothing in them, or broken off."""

    @model_validator(mode="after")
    def _has_a_rule(self) -> Self:
        if self.refusals is None and self.malformed is None:
            raise objection(Remark("says nothing", "write { refusals = 0.2 }"))
        return self


class Hedge(Table):
    """A second attempt at the next target while the first has not begun to answer."""

    after: Annotated[Literal["p95"] | float, BeforeValidator(_after)] = "p95"
    """How long to wait for the first: its own p95 of the last minute (no hedge while that is unknown), or a
    duration."""
    share: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    """The most hedges, by requests to the pool."""


class Probe(Table):
    """A `GET` that tells whether a resting target can be reached again."""

    path: Annotated[str, AfterValidator(_path)] = "/models"
    """Below the provider's `base_url`."""
    every: Duration = 30.0
