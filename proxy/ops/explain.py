"""Explains routing: where a request would go, and why not elsewhere. Nothing is sent to a provider."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final

import orjson

from ..asgi import Message
from ..bridge.bridges import BRIDGES
from ..bridge.target_request import request_for
from ..bridge.translation import Untranslatable
from ..budget.estimate import Estimate
from ..budget.metering.usage_meter import ASSUMED_OUTPUT, amend
from ..classify.faults import Fault, FaultKind
from ..config import Cause, Pool, Portion, Routes, dollars, nearest, spelled
from ..dialects.registry import OPERATIONS, operation_named
from ..errors import Refusal, StandbyError
from ..exchange import Candidate, Exchange
from ..health.target_health import Health
from ..http.body import Body
from ..http.exhausted import exhausted
from ..http.opened import resolve
from ..keys.principal import Principal
from ..routing.balance import Balancer
from ..routing.plan_walk import PlanWalk
from ..routing.planning import plan
from ..routing.route_inputs import RouteInputs, route_inputs
from ..routing.written_order import written_order
from .columns import columns
from .settings import max_attempts, setting

__all__ = ["Explanation", "Question", "Unanswerable", "explain", "usual_operation"]

_FAULTS: Final[Mapping[Cause, FaultKind]] = MappingProxyType(
    {
        "outage": "upstream_5xx",
        "slow": "timeout_first_byte",
        "rate_limited": "rate_limited",
        "context": "context_overflow",
        "refused": "content_refused",
        "truncated": "stream_failed",
    }
)
"""A representative fault for each cause, to see where a request fails over to. "budget" is no fault."""

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
"""The request body by operation if the question has none."""
_USUAL: Final = ("chat", "messages", "responses", "embeddings")


class Unanswerable(StandbyError):
    """The question is invalid, or names a pool, target or operation that does not exist."""


@dataclass(frozen=True, slots=True)
class Question:
    """A hypothetical request.

    `pool` is the name of a pool, or a model name that it `serves`. `request` is the body; without it, a short
    one of `operation` is used. The default operation is that of `usual_operation`. `down`
    names targets to treat as unavailable, `slow` targets to treat as slower than the pool's `slow` allows.
    `share` is the used share, from 0 to 1, of the caller's fullest budget; `over_budget` leaves money for the
    cheapest target only.
    """

    pool: str
    request: Mapping[str, Any] | None = None
    operation: str | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    down: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()
    share: float = 0.0
    over_budget: bool = False


@dataclass(frozen=True, slots=True)
class Explanation:
    """Where a request would go, and why.

    `plan` holds each candidate target once. `following` holds, by cause, the target that is tried after the
    first one failed, None if there is none. `key` is the name of the caller's key, None without one.
    `refusal` is what the caller gets instead of an answer, None if a target is tried. `dropped` has what a
    translation leaves out, by target.
    """

    inputs: RouteInputs
    operation: str
    key: str | None
    plan: tuple[Candidate, ...]
    max_attempts: int
    following: Mapping[Cause, str | None]
    refusal: Refusal | None
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def first(self) -> str | None:
        """The target that is tried first, or None if the request is refused."""
        if self.refusal is not None:
            return None
        first = PlanWalk(self.plan, self.max_attempts).next()
        return None if first is None else first.name

    def as_json(self) -> dict[str, Any]:
        """Returns the explanation as plain data for JSON."""
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
            "refusal": None if self.refusal is None else self.refusal.code,
            "plan": [
                {**_candidate_as_json(candidate), "dropped": list(self.dropped.get(candidate.name, ()))}
                for candidate in self.plan
            ],
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
        yield f"pool {pool.name} ({'/'.join(pool.dialects)}, {pool.balance}): {caller}; {about}{output}"
        ranks = {candidate.name: str(i) for i, candidate in enumerate(self._eligible(), 1)}
        rows: list[tuple[str, ...]] = [
            (
                ranks.get(candidate.name, "-"),
                candidate.name,
                candidate.role,
                _dollars(candidate.cost),
                _status(candidate, self.dropped.get(candidate.name, ())),
            )
            for candidate in self.plan
        ]
        rows += [("-", portion.target.name, role, "", why) for role, portion, why in self._excluded()]
        yield from (f"  {line}" for line in columns(rows))
        if self.refusal is not None:
            yield f"  refused: the caller gets {self.refusal.status} {self.refusal.code}"
            return
        targets_by: dict[str, list[str]] = {}
        for cause, name in self.following.items():
            targets_by.setdefault("nobody" if name is None else ranks.get(name, name), []).append(cause)
        words = "; ".join(f"{', '.join(causes)} -> {where}" for where, causes in targets_by.items())
        yield f"  if {ranks.get(self.first or '', '1')} fails: {words}"

    def _excluded(self) -> Iterator[tuple[str, Portion, str]]:
        """Yields targets of the pool that do not serve this caller, as role, portion and reason."""
        pool = self.inputs.pool
        if pool.canary is not None and all(candidate.role != "canary" for candidate in self.plan):
            yield "canary", pool.canary, f"for {pool.canary.share:.3g} of the callers, not for this one"

    def _eligible(self) -> Sequence[Candidate]:
        return [candidate for candidate in self.plan if candidate.rejected is None]


def explain(
    question: Question,
    routes: Routes,
    *,
    principal: Principal | None = None,
    health: Health | None = None,
    balancer: Balancer | None = None,
) -> Explanation:
    """Returns where the request would go, determined by the same code that routes real requests.

    `health` is the health of the targets, by default all healthy. Raises Unanswerable for an unknown pool,
    target or operation, and Refusal for a request that callers would be refused.
    """
    pool = _pool(routes, question.pool)
    for name in question.down | question.slow:
        if name not in routes.targets:
            raise Unanswerable(_unknown("target", name, routes.targets))
    operation = question.operation or usual_operation(pool)
    if operation not in OPERATIONS:
        raise Unanswerable(_unknown("operation", operation, OPERATIONS))
    value = dict(_SAMPLES[operation] if question.request is None else question.request)
    value["model"] = pool.serves[0]
    exchange = Exchange("explain", 0.0, question.headers, routes=routes)
    exchange.operation = operation_named(operation)
    exchange.principal = principal
    exchange.share = 1.0 if question.over_budget else question.share
    try:
        body = Body(orjson.dumps(value), _receive_disconnect)
    except TypeError:  # deeper than orjson can write
        raise Refusal("json_too_deep") from None
    resolve(exchange, body)
    if "budget" in routes.stack:
        amend(exchange, value)
    if "budget" in routes.stack and pool.at_budget:  # as Budget does
        assumed = setting(routes, "budget", "assume_output", ASSUMED_OUTPUT)
        exchange.estimates = Estimate(exchange, value, pool, assume_output=assumed).estimates()
    inputs = replace(route_inputs(exchange, pool, body.document), down=question.down, slow=question.slow)
    limit = max_attempts(routes)
    health = health or Health()
    if "route_select" in routes.stack:
        candidates = plan(inputs, health, balancer or Balancer(), dry=True)
    else:
        candidates = written_order(exchange, health, body)
    dropped = _translate(exchange, value, candidates)
    if question.over_budget:
        _reject_dearer(candidates)
    exchange.plan = candidates
    refusal = _refusal(principal, pool) or (
        exhausted(exchange) if PlanWalk(candidates, limit).next() is None else None
    )
    following: dict[Cause, str | None]
    following = {cause: _following(candidates, limit, kind) for cause, kind in _FAULTS.items()}
    following["budget"] = _following(candidates, limit, None)
    if "failover" not in routes.stack:
        following = dict.fromkeys(following)
    return Explanation(
        inputs,
        operation,
        None if principal is None else principal.name("key"),
        candidates,
        limit,
        MappingProxyType(following),
        refusal,
        dropped,
    )


def _pool(routes: Routes, name: str) -> Pool:
    pool = routes.pools.get(name) or routes.pool_for(name)
    if pool is None:
        raise Unanswerable(_unknown("pool", name, routes.pools))
    return pool


def _unknown(what: str, name: str, names: Mapping[str, object]) -> str:
    meant = nearest(name, names)
    return f"there is no {what} {name!r}" + (f"; did you mean {meant!r}?" if meant else "")


def usual_operation(pool: Pool) -> str:
    """Returns the operation that a pool is asked for as a rule: chat or messages if its first target can."""
    own = pool.prefer[0].operations
    usual = "chat" if pool.dialects[0] == "openai" else "messages"
    return next((name for name in (usual, *_USUAL) if name in own), usual)


def _refusal(principal: Principal | None, pool: Pool) -> Refusal | None:
    """Returns why Auth refuses this caller before any target is considered, or None."""
    if principal is None:
        return None
    code = principal.ended(time.time())
    if code is None:
        code = principal.lacks(pool) if principal.grants(pool.name) else "model_not_allowed"
    return None if code is None else Refusal(code)


async def _receive_disconnect() -> Message:
    """The ASGI `receive` of a request without a client: nothing follows the body."""
    return {"type": "http.disconnect"}


def _following(candidates: Sequence[Candidate], limit: int, kind: FaultKind | None) -> str | None:
    """Returns the target that is tried after the first one failed in this way, or None.

    Without `kind` the first one is refused by a budget.
    """
    walk = PlanWalk(candidates, limit)
    if (first := walk.next()) is None:
        return None
    if kind is None:
        walk.not_tried(replace(first, rejected="budget.exhausted"))
    elif walk.opens(first, fault := Fault(kind)):
        walk.failed(first, fault)
    else:
        return None
    second = walk.next()
    return None if second is None else second.name


def _translate(
    exchange: Exchange, value: dict[str, Any], candidates: Sequence[Candidate]
) -> dict[str, tuple[str, ...]]:
    """Reject every candidate for which the request cannot be translated, as its attempt would be.

    Returns what the translation for each of the others leaves out.
    """
    operation = exchange.operation
    dropped: dict[str, tuple[str, ...]] = {}
    for candidate in candidates:
        target, asked = candidate.target, candidate.operation
        if candidate.rejected is not None or target is None or asked is None or operation is None:
            continue
        try:
            bridge = BRIDGES[operation.name, asked.name]
            dropped[candidate.name] = request_for(bridge, value, target, exchange.pool).dropped
        except Untranslatable as lost:
            candidate.rejected, candidate.field = "capability.untranslatable", lost.field
    return dropped


def _reject_dearer(candidates: Sequence[Candidate]) -> None:
    """Reject every candidate that costs more than the cheapest one, as the hold of a spent budget would."""
    costs = [candidate.cost for candidate in candidates if candidate.cost is not None]
    for candidate in candidates:
        if candidate.rejected is None and candidate.cost is not None and candidate.cost > min(costs):
            candidate.rejected = "budget.exhausted"


def _candidate_as_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "target": candidate.name,
        "role": candidate.role,
        "causes": None if candidate.causes is None else sorted(candidate.causes),
        "rejected": candidate.rejected,
        "field": candidate.field,
        "asked_for": None if candidate.operation is None else candidate.operation.name,
        "ready_in": candidate.ready_in,
        "degraded": candidate.degraded,
        "score": candidate.score,
        "cost": candidate.cost,
    }


def _dollars(cost: int | None) -> str:
    return "" if cost is None else f"${dollars(cost)}"


def _status(candidate: Candidate, dropped: Sequence[str]) -> str:
    """Returns the status of a candidate as text."""
    if candidate.rejected is not None:
        wait = "" if candidate.ready_in is None else f", for {spelled(round(candidate.ready_in, 1) or 0.1)}"
        field = "" if candidate.field is None else f" ({candidate.field})"
        return f"rejected: {candidate.rejected}{field}{wait}"
    status = "asked" if candidate.causes is None else f"for {', '.join(sorted(candidate.causes))}"
    if candidate.role == "last":
        status = "when nobody else is left"
    if candidate.operation is not None:
        without = f" without {', '.join(dropped)}" if dropped else ""
        status += f"; translated to {candidate.operation.name}{without}"
    if candidate.score is not None:
        status += f"; score {candidate.score:.3g}"
    return status if candidate.degraded is None else f"{status}; degraded: {candidate.degraded}"
