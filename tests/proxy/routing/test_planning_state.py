"""The plan of a request that refers to state at one provider, or to reasoning that one has signed."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.config import Pool, Portion
from standby.proxy.exchange import Candidate
from standby.proxy.health.target_health import Health
from standby.proxy.routing.balance import Balancer
from standby.proxy.routing.planning import plan
from standby.proxy.routing.requirements import Requirements
from standby.proxy.routing.route_inputs import RouteInputs

from tests.proxy.harness import pool_of, price, target_of

__all__: list[str] = []

A = target_of("a")
B = target_of("b")
MINI = target_of("mini", provider="at-a", price=price(input="1", output="1"))
DEAR = target_of("dear", provider="at-a", price=price(input="9", output="9"))
SIGNED = Requirements("chat", frozenset({"chat"}), signatures=("sig_1",))
PLAIN = Requirements("chat", frozenset({"chat"}))


def planned(pool: Pool, needs: Requirements = PLAIN, **facts: Any) -> list[Candidate]:
    return list(plan(RouteInputs(pool, needs, **facts), Health(lambda: 0.0), Balancer()))


def open_ones(candidates: list[Candidate]) -> list[str]:
    """The targets that may be tried at once, in order."""
    return [each.name for each in candidates if each.rejected is None and each.causes is None]


def test_an_alternate_that_issued_it() -> None:
    """It is tried at once, since nobody can stand in for it."""
    pool = pool_of(A, alternates={B: {"outage"}})
    assert open_ones(planned(pool, holder="at-b")) == ["b"]
    assert open_ones(planned(pool, SIGNED, home="at-b")) == ["b"]


def test_an_alternate_beside_a_preferred_target_of_the_issuer() -> None:
    """It waits for its causes as ever, and at a budget the cheapest of both goes first."""
    pool = pool_of(DEAR, alternates={MINI: {"budget"}}).model_copy(update={"at_budget": {0.8: "cheapest"}})
    assert open_ones(planned(pool, holder="at-a")) == ["dear"]
    assert open_ones(planned(pool, holder="at-a", share=0.9)) == ["mini", "dear"]


@pytest.mark.parametrize(("holder", "first"), [("at-b", "b"), ("at-a", "a")])
def test_a_canary_that_issued_it(holder: str, first: str) -> None:
    """A conversation that began at the canary goes on there, whoever the caller is."""
    pool = pool_of(A).model_copy(update={"canary": Portion(target=B, share=0.000001)})
    assert open_ones(planned(pool, holder=holder, caller="x")) == [first]


def test_reasoning_that_may_be_left_out() -> None:
    """Its issuer is asked first, and then the others in their order."""
    pool = pool_of(A, alternates={B: {"outage"}}).model_copy(update={"reasoning_state": "strip"})
    assert open_ones(planned(pool, SIGNED, home="at-b")) == ["b", "a"]
    assert open_ones(planned(pool, SIGNED, home="at-a")) == ["a"]


@pytest.mark.parametrize(("state", "presumed"), [("strip", [True, False]), ("keep", [False, False])])
def test_reasoning_of_unknown_origin(state: str, presumed: list[bool]) -> None:
    """Only where it may be left out is the rejection by a presumed issuer not the last word."""
    pool = pool_of(A, alternates={B: {"outage"}}).model_copy(update={"reasoning_state": state})
    candidates = planned(pool, SIGNED, home="at-a", presumed=True)
    assert [candidate.presumed for candidate in candidates] == presumed
    assert [candidate.strips for candidate in candidates] == [False, state == "strip"]
