"""A pool of both dialects: what each target is asked for, and which requests it cannot take."""

from __future__ import annotations

from typing import Any

import pytest
from standby.proxy.bridge.bridges import BRIDGES
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Pool, Provider, Target
from standby.proxy.config.routing import CARRIED
from standby.proxy.exchange import Candidate
from standby.proxy.health.target_health import TRIP, Health, Permit
from standby.proxy.routing.balance import Balancer
from standby.proxy.routing.planning import plan
from standby.proxy.routing.requirements import Requirements
from standby.proxy.routing.route_inputs import RouteInputs

__all__: list[str] = []


def target(name: str, dialect: Any, *can: Any) -> Target:
    """A target of a dialect, that can do everything or what is named."""
    provider = Provider(name=f"at-{name}", dialect=dialect, base_url="http://127.0.0.1:9/v1")
    return Target(name=name, provider=provider, model="m", can=frozenset(can) if can else None)


GPT, CLAUDE = target("gpt", "openai"), target("claude", "anthropic")
PLAIN = target("plain", "anthropic", "messages", "stream")
CHAT_ONLY = target("chat-only", "openai", "chat")


def planned(*targets: Target, health: Health | None = None, **needs: Any) -> tuple[Candidate, ...]:
    """The plan of a request to a pool of these targets."""
    operation = needs.get("operation", "chat")
    wants = frozenset({operation, *needs.get("wants", ())})
    inputs = RouteInputs(Pool(name="support", prefer=targets), Requirements(operation, wants))
    return plan(inputs, health or Health(lambda: 0.0), Balancer(lambda: 0.5))


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("chat", {"gpt": None, "claude": "messages", "chat-only": None}),
        ("messages", {"gpt": "chat", "claude": None, "chat-only": "chat"}),
        ("responses", {"gpt": None, "claude": "messages", "chat-only": "chat"}),
    ],
)
def test_a_target_is_asked_for_what_it_has(operation: str, asked: dict[str, str | None]) -> None:
    """Its own operation if it has the caller's, else the one to which there is a bridge."""
    candidates = planned(GPT, CLAUDE, CHAT_ONLY, operation=operation)
    assert all(each.rejected is None for each in candidates)
    got = {each.name: None if each.operation is None else each.operation.name for each in candidates}
    assert got == asked


@pytest.mark.parametrize(
    ("operation", "rejected"),
    [("embeddings", {"claude", "chat-only"}), ("count_tokens", {"gpt", "chat-only"})],
)
def test_without_a_bridge_there_is_no_way(operation: str, rejected: set[str]) -> None:
    """Embeddings and counts of tokens go only to targets that have them."""
    candidates = planned(GPT, CLAUDE, CHAT_ONLY, operation=operation)
    assert {each.name for each in candidates if each.rejected == "capability.endpoint"} == rejected


def test_features_are_required_of_every_dialect() -> None:
    """`can` of a translated target decides on tools as elsewhere, and need not name the operation."""
    candidates = planned(CLAUDE, PLAIN, wants={"stream"})
    assert [each.rejected for each in candidates] == [None, None]
    candidates = planned(CLAUDE, PLAIN, wants={"tools"})
    assert {each.name: each.rejected for each in candidates} == {"claude": None, "plain": "capability.tools"}


def test_health_is_that_of_what_is_asked_for() -> None:
    """A target that fails for messages is out for translated chat requests; for chat, it is not."""
    for operation, rejected in (("messages", "health.breaker_open"), ("chat", None)):
        health = Health(lambda: 0.0)
        for _ in range(TRIP):
            permit = health.enter("claude", "at-claude", operation)
            assert isinstance(permit, Permit)
            health.record(permit, Fault("upstream_5xx", 500), proved=True)
        (candidate,) = planned(CLAUDE, health=health)
        assert candidate.rejected == rejected


def test_the_configuration_knows_the_bridges() -> None:
    """What `requires` of a pool takes as served by translation is what there is a bridge for."""
    known = {(caller, name) for caller, names in CARRIED.items() for name in names}
    assert known == set(BRIDGES)


def test_a_pool_may_require_an_operation_that_is_translated() -> None:
    """A target of the other dialect meets it, one without any bridge to it does not."""
    assert Pool(name="p", prefer=(GPT, PLAIN), requires=frozenset({"chat"})).prefer == (GPT, PLAIN)
    with pytest.raises(ValueError, match="cannot do tools"):
        Pool(name="p", prefer=(GPT, PLAIN), requires=frozenset({"chat", "tools"}))
