"""The outages of a drill: which targets fail in which way, and what a configuration then allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from ...config import Cause, Pool, targets_of
from ..simulator import (
    Content,
    Cut,
    ErrorEvent,
    Fault,
    Html,
    Just,
    Malformed,
    Received,
    Slow,
    Status,
)

__all__ = ["SCENARIOS", "SLOW", "WAIT", "Failing", "Scenario"]

WAIT: Final = 0.6
"""Seconds that a drill waits where the configuration waits for a first token or an answer."""
SLOW: Final = 0.4 * WAIT
"""Seconds that an answer may take in a drill where the configuration has a threshold of `slow`."""

Failing = Literal["nobody", "preferred", "account", "region", "all"]
"""Which targets of a pool fail: none, the preferred ones, all behind the same keys as these, those in the
region of the first, or all."""

_WRITERS: Final = frozenset({"chat", "messages", "responses"})
"""Operations that are not those of `operation_down`."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One outage.

    `title` says it in words. `failing` fail, by the fault that `fault` returns for a request that arrives
    (None answers it well). `opens` are the causes for which alternates may then answer, and `later` those for
    which they may too, as once a target is ejected. `degraded` are the
    values that `x-standby-degraded` may have because of it. `breaks` is whether a stream breaks after its
    beginning, so that nobody may take over. `requests` are sent one after the other, after `at_once` at the
    same time. `intermittent` is whether preferred targets may answer nevertheless.
    """

    name: str
    title: str
    fault: Callable[[Received], Fault | None]
    failing: Failing = "preferred"
    opens: frozenset[Cause] = frozenset({"outage"})
    later: frozenset[Cause] = frozenset()
    degraded: frozenset[str] = frozenset()
    breaks: bool = False
    requests: int = 4
    at_once: int = 0
    intermittent: bool = False

    def fails(self, pool: Pool) -> frozenset[str]:
        """Returns the names of the targets of a pool that fail."""
        if self.failing == "nobody":
            return frozenset()
        every = targets_of(pool)
        if self.failing == "all":
            return frozenset(target.name for target in every)
        if self.failing == "region":
            region = pool.prefer[0].provider.region
            return frozenset(target.name for target in every if target.provider.region == region)
        if self.failing == "account":
            accounts = {target.provider.name for target in pool.prefer}
            return frozenset(target.name for target in every if target.provider.name in accounts)
        return frozenset(target.name for target in pool.prefer)

    def applies(self, pool: Pool) -> str | None:
        """Returns why the scenario means nothing for a pool, or None."""
        if self.failing == "region" and pool.prefer[0].provider.region is None:
            return "its first provider has no region"
        if self.name == "latency_creep" and (pool.slow is None or pool.slow.p95_first_token is None):
            return "it has no slow.p95_first_token"
        if self.name == "operation_down" and pool.prefer[0].operations.isdisjoint(_WRITERS):
            return "its first target has no other operation than those that fail"
        return None


def _always(fault: Fault) -> Callable[[Received], Fault | None]:
    return lambda _received: fault


def _fine(received: Received) -> Fault | None:
    del received
    return None


def _first_only(received: Received) -> Fault | None:
    return Status(429, retry_after=1) if received.number == 1 else None


def _every_other(received: Received) -> Fault | None:
    return Status(503) if received.number % 2 else None


def _other_operation(received: Received) -> Fault | None:
    return Status(503) if received.path.endswith(("/embeddings", "/count_tokens")) else None


def _broken_body(received: Received) -> Fault | None:
    streamed = received.is_object and received.json.get("stream") is True
    return Just(b"data: {\n\n") if streamed else Malformed()


def _empty(received: Received) -> Fault | None:
    del received
    return Just()


_REFUSED: Final = Status(
    400, type="content_policy_violation", error_code="content_policy_violation", message="declined"
)
_OVERLOADED: Final = frozenset({"overloaded", "upstream_5xx"})

SCENARIOS: Final[Mapping[str, Scenario]] = MappingProxyType(
    {
        scenario.name: scenario
        for scenario in (
            Scenario("healthy", "nothing fails", _fine, "nobody", frozenset()),
            Scenario(
                "outage", "the preferred targets answer 503", _always(Status(503)), degraded=_OVERLOADED
            ),
            Scenario(
                "unreachable",
                "connections to the preferred targets are reset",
                _always(Cut()),
                degraded=frozenset({"connect"}),
            ),
            Scenario(
                "slow_first_token",
                "the preferred targets do not begin to answer in time",
                _always(Slow(3 * WAIT, after=None)),
                opens=frozenset({"slow"}),
                later=frozenset({"outage"}),
                degraded=frozenset({"timeout_first_byte", "timeout"}),
            ),
            Scenario(
                "latency_creep",
                "the preferred targets answer slower than the pool's `slow` allows",
                _always(Slow(1.5 * SLOW, after=0)),
                opens=frozenset({"slow"}),
                degraded=frozenset({"latency.slo"}),
                requests=4,
                at_once=24,
                intermittent=True,
            ),
            Scenario(
                "rate_limit_once",
                "the first request meets a rate limit of the provider",
                _first_only,
                opens=frozenset({"rate_limited"}),
                later=frozenset({"outage"}),
                degraded=frozenset({"rate_limited"}),
                intermittent=True,
            ),
            Scenario(
                "rate_limit",
                "the preferred targets rate-limit every request",
                _always(Status(429, retry_after=30)),
                opens=frozenset({"rate_limited"}),
                later=frozenset({"outage"}),
                degraded=frozenset({"rate_limited"}),
            ),
            Scenario(
                "quota_gone",
                "the accounts of the preferred targets have no credit left",
                _always(Status(402)),
                "account",
                later=frozenset({"rate_limited"}),
                degraded=frozenset({"quota"}),
            ),
            Scenario(
                "credential_rejected",
                "the providers of the preferred targets reject the gateway's key",
                _always(Status(401)),
                "account",
                later=frozenset({"rate_limited"}),
                degraded=frozenset({"upstream_auth"}),
            ),
            Scenario(
                "region_down",
                "every target in the region of the first one answers 503",
                _always(Status(503)),
                "region",
                degraded=_OVERLOADED,
            ),
            Scenario(
                "operation_down",
                "another operation of the providers fails, such as embeddings",
                _other_operation,
                "nobody",
                frozenset(),
            ),
            Scenario(
                "in_band_error",
                "the preferred targets send an error inside a 200",
                _always(ErrorEvent(after=0)),
                degraded=frozenset({*_OVERLOADED, "bad_response"}),
            ),
            Scenario(
                "empty_answer",
                "the preferred targets send a 200 without an answer",
                _empty,
                later=frozenset({"truncated"}),
                degraded=frozenset({"bad_response", "stream_failed"}),
            ),
            Scenario(
                "refusals",
                "the preferred targets decline the content",
                _always(_REFUSED),
                opens=frozenset({"refused"}),
                degraded=frozenset({"content_refused"}),
            ),
            Scenario(
                "mid_stream_cut",
                "answers of the preferred targets break off",
                _always(Cut(after=Content(1))),
                opens=frozenset({"outage", "truncated"}),
                degraded=frozenset({"stream_failed", "stream_truncated"}),
                breaks=True,
            ),
            Scenario(
                "malformed_body",
                "the preferred targets send broken JSON",
                _broken_body,
                later=frozenset({"truncated"}),
                degraded=frozenset({"bad_response", "stream_failed"}),
            ),
            Scenario(
                "wrong_shape",
                "something else answers for the preferred targets, with HTML",
                _always(Html()),
                degraded=frozenset({"bad_response"}),
            ),
            Scenario(
                "flapping",
                "every other answer of the preferred targets is a 503",
                _every_other,
                degraded=_OVERLOADED,
                requests=6,
                intermittent=True,
            ),
            Scenario(
                "everything_down",
                "all targets of the pool answer 503",
                _always(Status(503)),
                "all",
                degraded=_OVERLOADED,
            ),
        )
    }
)
"""All outages, by name, in the order of a drill."""
