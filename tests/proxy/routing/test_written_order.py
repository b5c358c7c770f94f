"""The plan in the order of the file."""

from __future__ import annotations

from typing import Any

import orjson
from standby.proxy.asgi import Message
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Pool, Routes
from standby.proxy.dialects.registry import operation_named
from standby.proxy.dialects.state_key import id_key
from standby.proxy.exchange import Candidate, Exchange
from standby.proxy.health.state_affinity import StateAffinity
from standby.proxy.health.target_health import Health
from standby.proxy.http.body import Body
from standby.proxy.routing.written_order import written_order

from tests.proxy.harness import pool_of, rest, target_of

__all__: list[str] = []

A, B, C, D = (target_of(name) for name in "abcd")


def in_order(
    pool: Pool, health: Health | None = None, /, issuer: str | None = None, **facts: Any
) -> tuple[Candidate, ...]:
    """The plan of a request to the pool, which continues an answer of `issuer` if one is given."""

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    exchange = Exchange("req_1", 0.0, (), operation=operation_named("responses"), pool=pool, **facts)
    exchange.bound = issuer is not None
    exchange.affinity = StateAffinity()
    exchange.affinity.remember(id_key("resp_1"), issuer or "")
    providers = {target.provider.name: target.provider for target in (A, B, C)}
    exchange.routes = Routes("", "", (), providers, {}, {}, {})
    body = Body(orjson.dumps({"previous_response_id": "resp_1"}), nothing)
    return written_order(exchange, health or Health(), body)


def test_the_order_is_the_one_that_is_written() -> None:
    """Preferred targets come first, then the alternates with the causes that open them, and known as such."""
    plan = in_order(pool_of(B, A, alternates={D: {"slow", "outage"}, C: {"context"}}))
    assert [(candidate.name, candidate.causes, candidate.role) for candidate in plan] == [
        ("b", None, "prefer"),
        ("a", None, "prefer"),
        ("d", {"slow", "outage"}, "alternate"),
        ("c", {"context"}, "alternate"),
    ]
    assert [candidate.target for candidate in plan] == [B, A, D, C]
    assert all(candidate.rejected is None and candidate.ready_in is None for candidate in plan)


def test_who_is_resting_is_rejected_but_stays_in_the_plan() -> None:
    """A plan holds every candidate, with the reason why it is not tried and how long that lasts."""
    health = Health(lambda: 0.0)
    rest(health, "b", Fault("rate_limited", 429, None, 7.0))
    first, second = in_order(pool_of(A, B), health)
    assert (first.rejected, first.ready_in) == (None, None)
    assert (second.rejected, second.ready_in) == ("health.cooldown", 7.0)


def test_planning_takes_no_probe() -> None:
    """To look at a target's health is not to try it."""
    now = 0.0
    health = Health(lambda: now)
    rest(health, "a", Fault("rate_limited", 429, None, 7.0))
    now = 7.0
    for _ in range(3):
        assert in_order(pool_of(A), health)[0].rejected is None


def test_a_bound_request_stays_with_its_provider() -> None:
    """Only targets of the provider that holds its state are candidates; nothing will change that."""
    twin = target_of("twin", provider="at-a")
    plan = in_order(pool_of(B, A, alternates={twin: {"outage"}, C: {"outage"}}), issuer="at-a")
    assert [(candidate.name, candidate.rejected) for candidate in plan] == [
        ("b", "state.bound"),
        ("a", None),
        ("twin", None),
        ("c", "state.bound"),
    ]
    assert all(candidate.ready_in is None for candidate in plan)


def test_at_budget() -> None:
    """From its share on the cheapest go first, alternates for "budget" among them; unpriced ones last."""
    pool = pool_of(A, B, alternates={C: {"budget", "slow"}, D: {"outage"}}).model_copy(
        update={"at_budget": {0.8: "cheapest"}}
    )
    estimates = {"a": 5, "c": 3, "d": 1}

    def order(share: float) -> list[tuple[str, bool]]:
        plan = in_order(pool, share=share, estimates=estimates)
        return [(candidate.name, candidate.causes is None) for candidate in plan]

    assert order(0.79) == [("a", True), ("b", True), ("c", False), ("d", False)]
    assert order(0.8) == [("c", True), ("a", True), ("b", True), ("d", False)]


def test_equal_estimates_keep_the_order() -> None:
    """Where targets cost the same they are asked as written."""
    pool = pool_of(B, A).model_copy(update={"at_budget": {0.5: "cheapest"}})
    plan = in_order(pool, share=1.0, estimates={"a": 1, "b": 1})
    assert [candidate.name for candidate in plan] == ["b", "a"]


def test_names_stand_for_targets_where_there_is_no_pool() -> None:
    """Around an app that has no pools the candidates are the names given, and no body is looked at."""

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    plan = written_order(Exchange("req_1", 0.0, ()), Health(), Body(b"not JSON", nothing), ("x", "y"))
    assert [(candidate.name, candidate.target, candidate.rejected) for candidate in plan] == [
        ("x", None, None),
        ("y", None, None),
    ]
