"""Which targets are eligible for a request."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.classify.faults import Fault, Rejection
from standby.proxy.config import Key, Pool, Target
from standby.proxy.dialects.registry import operation_named
from standby.proxy.health.target_health import Health, Permit
from standby.proxy.keys.principal import Principal
from standby.proxy.routing.eligibility import Eligibility
from standby.proxy.routing.requirements import Requirements
from standby.proxy.routing.route_inputs import RouteInputs

from tests.proxy.harness import price, rest, target_of

__all__: list[str] = []

NEEDS = Requirements("chat", frozenset({"chat", "tools"}), input_tokens=100, room=600, output_tokens=500)


def key(**grants: Any) -> Principal:
    fields: dict[str, Any] = {"pools": ("*",), **grants}
    return Principal.of(Key(name="k", hash=("sha256:" + "0" * 64,), **fields))


def rejection(target: Target, health: Health | None = None, **facts: Any) -> Rejection | None:
    facts.setdefault("needs", NEEDS)
    facts.setdefault("pool", Pool(name="support", prefer=(target_of("first"),)))
    inputs = RouteInputs(**facts)
    asked = operation_named(inputs.needs.operation)
    return Eligibility(inputs, health or Health(lambda: 0.0)).rejection(target, asked)


@pytest.mark.parametrize(
    ("target", "facts", "reason"),
    [
        ({"disabled": True}, {}, "disabled"),
        ({}, {"principal": key(pools=("other",))}, "policy.model_not_allowed"),
        ({}, {"principal": key(regions=("eu",))}, "policy.residency"),
        ({}, {"principal": key(providers=("other",))}, "policy.provider_denied"),
        ({}, {"holder": "other"}, "state.bound"),
        ({}, {"needs": NEEDS._replace(signatures=("sig",)), "home": "other"}, "state.signed"),
        ({"can": {"embeddings"}}, {}, "capability.endpoint"),
        ({"can": {"chat"}}, {}, "capability.tools"),
        ({"context": 599}, {}, "capability.context_window"),
        ({"max_output": 499}, {}, "capability.output_length"),
    ],
)
def test_a_reason_each(target: dict[str, Any], facts: dict[str, Any], reason: str) -> None:
    """Each filter has its stable code, and a permanent rejection has no time at which it ends."""
    assert rejection(target_of("a", **target), **facts) == Rejection(reason)


def test_nothing_stands_against_it() -> None:
    """A target that meets the requirements is eligible."""
    fit = target_of("a", can={"chat", "tools"}, context=600, max_output=500)
    assert rejection(fit, principal=key(providers=("at-a",)), holder="at-a") is None


def test_policy_comes_first() -> None:
    """A target that policy forbids is not reported as in cooldown, which would suggest trying it later."""
    health = Health(lambda: 0.0)
    rest(health, "a", Fault("rate_limited", 429, None, 7.0))
    assert rejection(target_of("a"), health) == Rejection("health.cooldown", 7.0)
    assert rejection(target_of("a"), health, principal=key(regions=("eu",))) == Rejection("policy.residency")


def test_health_is_that_of_the_operation() -> None:
    """A target that fails for embeddings is eligible for chat."""
    health = Health(lambda: 0.0)
    for _ in range(5):
        entry = health.enter("a", "at-a", "embeddings")
        assert isinstance(entry, Permit)
        health.record(entry, Fault("upstream_5xx", 500), proved=True)
    assert rejection(target_of("a"), health) is None
    embeddings = Requirements("embeddings", frozenset({"embeddings"}))
    result = rejection(target_of("a"), health, needs=embeddings)
    assert result is not None
    assert result.reason == "health.breaker_open"


def test_a_target_taken_for_dead() -> None:
    """`down` marks targets as unavailable in an explanation, and nobody's health changes."""
    health = Health(lambda: 0.0)
    result = rejection(target_of("a"), health, down=frozenset({"a"}))
    assert result is not None
    assert result.reason == "health.breaker_open"
    assert health.rejection("a", "at-a", "chat") is None


def test_a_caller_in_a_hurry() -> None:
    """A target that usually takes longer than the caller's deadline is not tried."""
    now = 0.0
    health = Health(lambda: now)
    for _ in range(20):
        entry = health.enter("a", "at-a", "chat")
        assert isinstance(entry, Permit)
        now += 2.0
        health.record(entry, None, proved=True)
    assert rejection(target_of("a"), health, seconds=1.0) == Rejection("deadline.too_short")
    assert rejection(target_of("a"), health, seconds=3.0) is None


def test_the_cost_is_reckoned_or_estimated() -> None:
    """The estimate of Budget is used. Without it, the probable size of the request is."""
    priced = target_of("a", price=price(input="1.00", output="2.00"))
    inputs = RouteInputs(Pool(name="support", prefer=(priced,)), NEEDS)
    assert Eligibility(inputs, Health()).cost(priced) == 100 * 1000 + 500 * 2000
    reckoned = RouteInputs(Pool(name="support", prefer=(priced,)), NEEDS, estimates={"a": 7})
    assert Eligibility(reckoned, Health()).cost(priced) == 7
    assert Eligibility(inputs, Health()).cost(target_of("b")) is None
