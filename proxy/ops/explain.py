"""A decision without its consequences: where a request would go, and why nobody else. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..asgi import Message
from ..budget.estimate import Estimate
from ..budget.metering.usage_meter import ASSUMED_OUTPUT
from ..classify.faults import Fault, FaultKind
from ..config import Cause, Pool, Portion, Routes, dollars, nearest, spelled
from ..dialects.registry import OPERATIONS, operation_named
from ..errors import StandbyError
from ..exchange import Candidate, Exchange
from ..health.target_health import Health
from ..http.body import Body
from ..http.workload import resolve
from ..keys.principal import Principal
from ..routing.balance import Balancer
from ..routing.plan_walk import PlanWalk
from ..routing.planning import plan
from ..routing.route_inputs import RouteInputs, route_inputs

__all__ = ["Explanation", "Question", "Unanswerable", "explain"]

_FAULTS: Final[Mapping[Cause, FaultKind]] = MappingProxyType(
    {
        "outage": "upstream_5xx",
        "slow": "timeout_first_byte",
        "rate_limited": "rate_limited",
        "context": "context_overflow",
        "refused": "content_refused",
    }
)
"""A fault that stands for each cause, to see what would follow from it."""

_SAMPLES: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "chat": {"messages": [{"role": "user", "content": "Hello."}], "stream": True},
        "responses": {"input": "Hello.", "stream": True, "store": False},
        "embeddings": {"input": "Hello."},
        "messages": {
            "messages": [{"role": "user", "content": "Hello."}],
            "max_tokens": 1024,
            "stream": True,
        },
        "count_tokens": {"messages": [{"role": "user", "content": "Hello."}]},
    }
)
"""What is asked where nobody says what to ask."""


class Unanswerable(StandbyError):
    """The question names what is not there, or is none."""


@dataclass(frozen=True, slots=True)
class Question:
    """Where a request would go, if somebody sent it.

    `pool` is its name, or one that it `serves`; `request` its body, else a short one of `operation`, which is
    "chat" or "messages" unless it is said. `down` names targets to take for dead, and `share` is how much of
    its fullest budget the caller has used.
    """

    pool: str
    request: Mapping[str, Any] | None = None
    operation: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    down: frozenset[str] = frozenset()
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a request would go, and why.

    `plan` holds each target that may answer it once; `following` is who is next after the first, by cause,
    None for nobody.
    """

    inputs: RouteInputs
    operation: str
    key: str | None
    plan: tuple[Candidate, ...]
    max_attempts: int
    following: Mapping[Cause, str | None]

    @property
    def first(self) -> str | None:
        """The target that is asked first, or None: nobody is."""
        first = PlanWalk(self.plan, self.max_attempts).next()
        return None if first is None else first.name

    def as_json(self) -> dict[str, Any]:
        """The same, as plain data."""
        needs = self.inputs.needs
        return {
            "pool": self.inputs.pool.name,
            "key": self.key,
            "operation": self.operation,
            "streamed": self.inputs.streamed,
            "wants": sorted(needs.wants),
            "input_tokens": needs.input_tokens,
            "output_tokens": needs.output_tokens,
            "first": self.first,
            "plan": [_plain(candidate) for candidate in self.plan],
            "next": dict(self.following),
            "text": str(self),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        pool, needs = self.inputs.pool, self.inputs.needs
        caller = "anybody" if self.key is None else f"key {self.key}"
        wants = ", ".join(sorted(needs.wants - {self.operation}))
        output = "" if needs.output_tokens is None else f", up to {needs.output_tokens} out"
        about = f"{self.operation}{f' with {wants}' if wants else ''}, about {needs.input_tokens} tokens in"
        yield f"pool {pool.name} ({pool.dialect}, {pool.balance}): {caller}; {about}{output}"
        ranks = {each.name: str(i) for i, each in enumerate(self._open(), 1)}
        rows: list[tuple[str, ...]] = [
            (ranks.get(each.name, "-"), each.name, each.role, _dollars(each.cost), _words(each))
            for each in self.plan
        ]
        rows += [("-", portion.target.name, role, "", why) for role, portion, why in self._aside()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            yield f"  {'  '.join(cells)}".rstrip()
        if self.first is None:
            yield "  nobody can be asked: the caller gets 503 with these reasons"
            return
        targets_by: dict[str, list[str]] = {}
        for cause, name in self.following.items():
            targets_by.setdefault("nobody" if name is None else ranks.get(name, name), []).append(cause)
        words = "; ".join(f"{', '.join(causes)} -> {where}" for where, causes in targets_by.items())
        yield f"  if {ranks.get(self.first, '1')} fails: {words}"

    def _aside(self) -> Iterator[tuple[str, Portion, str]]:
        """Targets of the pool that do not answer this caller."""
        pool = self.inputs.pool
        if pool.canary is not None and all(each.role != "canary" for each in self.plan):
            yield "canary", pool.canary, f"for {pool.canary.share:.3g} of the callers, not for this one"

    def _open(self) -> Sequence[Candidate]:
        return [each for each in self.plan if each.rejected is None]


def explain(
    question: Question,
    routes: Routes,
    *,
    principal: Principal | None = None,
    health: Health | None = None,
    balancer: Balancer | None = None,
) -> Explanation:
    """Where the request would go, by the same code that decides it. `health` is what is known of the targets.

    Raises Unanswerable for a pool, a target or a body that is none, and Refusal for what callers are refused.
    """
    pool = _pool(routes, question.pool)
    for name in question.down:
        if name not in routes.targets:
            raise Unanswerable(_unknown("target", name, routes.targets))
    operation = question.operation or ("chat" if pool.dialect == "openai" else "messages")
    if operation not in OPERATIONS:
        raise Unanswerable(_unknown("operation", operation, OPERATIONS))
    value = dict(_SAMPLES[operation] if question.request is None else question.request)
    value["model"] = pool.serves[0]
    exchange = Exchange("explain", 0.0, question.headers, routes=routes)
    exchange.operation = operation_named(operation)
    exchange.principal, exchange.share = principal, question.share
    body = Body(orjson.dumps(value), _nothing)
    resolve(exchange, body)
    assumed = _setting(routes, "budget", "assume_output", ASSUMED_OUTPUT)
    exchange.estimates = Estimate(exchange, value, pool, assume_output=assumed).estimates()
    wanted = replace(route_inputs(exchange, pool, body.document), down=question.down)
    max_attempts = _setting(routes, "failover", "max_attempts", 3)
    candidates = plan(wanted, health or Health(), balancer or Balancer(), dry=True)
    return Explanation(
        wanted,
        operation,
        None if principal is None else principal.name("key"),
        candidates,
        max_attempts,
        MappingProxyType(
            {cause: _following(candidates, max_attempts, kind) for cause, kind in _FAULTS.items()}
        ),
    )


def _pool(routes: Routes, name: str) -> Pool:
    pool = routes.pools.get(name) or routes.pool_for(name)
    if pool is None:
        raise Unanswerable(_unknown("pool", name, routes.pools))
    return pool


def _unknown(what: str, name: str, names: Mapping[str, object]) -> str:
    meant = nearest(name, names)
    return f"there is no {what} {name!r}" + (f"; did you mean {meant!r}?" if meant else "")


def _setting(routes: Routes, table: str, key: str, default: int) -> int:
    """What the file says for a middleware, whose table is checked by now."""
    value = routes.tables.get(table, {}).get(key, default)
    return value if isinstance(value, int) else default


async def _nothing() -> Message:
    """There is no client, so nothing comes after the body."""
    return {"type": "http.disconnect"}


def _following(candidates: Sequence[Candidate], max_attempts: int, kind: FaultKind) -> str | None:
    """Who is asked after the first failed in this way."""
    itinerary = PlanWalk(candidates, max_attempts)
    first = itinerary.next()
    if first is None or not itinerary.opens(first, fault := Fault(kind)):
        return None
    itinerary.failed(first, fault)
    second = itinerary.next()
    return None if second is None else second.name


def _plain(candidate: Candidate) -> dict[str, Any]:
    return {
        "target": candidate.name,
        "role": candidate.role,
        "causes": None if candidate.causes is None else sorted(candidate.causes),
        "rejected": candidate.rejected,
        "ready_in": candidate.ready_in,
        "degraded": candidate.degraded,
        "score": candidate.score,
        "cost": candidate.cost,
    }


def _dollars(cost: int | None) -> str:
    return "" if cost is None else f"${dollars(cost)}"


def _words(candidate: Candidate) -> str:
    """Where it stands, in words."""
    if candidate.rejected is not None:
        wait = "" if candidate.ready_in is None else f", for {spelled(round(candidate.ready_in, 1) or 0.1)}"
        return f"rejected: {candidate.rejected}{wait}"
    entered = "asked" if candidate.causes is None else f"for {', '.join(sorted(candidate.causes))}"
    if candidate.role == "last":
        entered = "when nobody else is left"
    return entered if candidate.degraded is None else f"{entered}; degraded: {candidate.degraded}"
