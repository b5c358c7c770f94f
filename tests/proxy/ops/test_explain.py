"""A decision without its consequences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Key, Routes, load_routes, targets_of
from standby.proxy.errors import Refusal
from standby.proxy.health.target_health import Health, Permit
from standby.proxy.keys.principal import Principal
from standby.proxy.ops.explain import Question, Unanswerable, explain

__all__: list[str] = []

EXAMPLE = Path(__file__).parents[3] / "routes.toml"
ENVIRON = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}


@pytest.fixture(scope="module")
def routes() -> Routes:
    return load_routes(EXAMPLE, ENVIRON)


def test_the_example_fits_one_screen(routes: Routes) -> None:
    """Every pool of it, in 24 lines of 100 characters; each target of a pool has one line with its reason."""
    said = [str(explain(Question(pool), routes)) for pool in routes.pools]
    lines = "\n\n".join(said).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    for text, pool in zip(said, routes.pools.values(), strict=True):
        rows = [line.split()[1] for line in text.splitlines()[1:-1]]
        assert sorted(rows) == sorted(target.name for target in targets_of(pool))


def test_what_follows_from_each_cause(routes: Routes) -> None:
    """Who would be next is told by the code that would send it there."""
    found = explain(Question("support"), routes)
    assert found.first == "gpt"
    assert dict(found.following) == {
        "outage": "gpt-mini",
        "slow": "gpt-mini",
        "rate_limited": "gpt-mini",
        "context": None,
        "refused": None,
    }


def test_a_target_taken_for_dead(routes: Routes) -> None:
    """The plan without it, with the reason why."""
    found = explain(Question("support", down=frozenset({"gpt"})), routes)
    assert found.first == "gpt-mini"
    assert [(each.name, each.rejected) for each in found.plan] == [
        ("gpt", "health.breaker_open"),
        ("gpt-mini", None),
    ]


def test_the_rules_of_a_key(routes: Routes) -> None:
    """What its key forbids is forbidden here too, and nobody left is said so."""
    bound = Principal.of(
        Key(name="bank", hash=("sha256:" + "0" * 64,), pools=("*",), providers=("anthropic",))
    )
    found = explain(Question("support"), routes, principal=bound)
    assert found.first is None
    assert {each.rejected for each in found.plan} == {"policy.provider_denied"}
    assert "nobody can be asked" in str(found)
    assert found.as_json()["key"] == "bank"


def test_a_request_of_ones_own(routes: Routes) -> None:
    """What it needs is read from it, and its model is the pool's."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    request: dict[str, Any] = {"messages": [{"role": "user", "content": [picture]}], "max_tokens": 9}
    said = explain(Question("gpt-4.1", request), routes).as_json()
    assert (said["pool"], said["wants"], said["streamed"]) == ("support", ["chat", "vision"], False)
    assert said["output_tokens"] == 9


def test_the_health_of_a_running_gateway(routes: Routes) -> None:
    """What it knows of its targets counts, and looking changes nothing of it."""
    health = Health(lambda: 0.0)
    for _ in range(5):
        entry = health.enter("gpt", "openai", "chat")
        assert isinstance(entry, Permit)
        health.record(entry, Fault("upstream_5xx", 500), proved=True)
    before = health.states()
    found = explain(Question("support"), routes, health=health)
    assert (found.plan[0].rejected, found.first) == ("health.breaker_open", "gpt-mini")
    assert health.states() == before


@pytest.mark.parametrize(
    ("question", "said"),
    [
        (Question("suport"), "there is no pool 'suport'; did you mean 'support'?"),
        (Question("support", down=frozenset({"gptt"})), "there is no target 'gptt'; did you mean 'gpt'?"),
        (Question("support", operation="chatt"), "there is no operation 'chatt'; did you mean 'chat'?"),
    ],
)
def test_what_is_not_there(routes: Routes, question: Question, said: str) -> None:
    """A name that leads nowhere is told, with the nearest one."""
    with pytest.raises(Unanswerable) as raised:
        explain(question, routes)
    assert str(raised.value) == said


def test_what_a_caller_would_be_refused(routes: Routes) -> None:
    """A body that no caller may send is refused here with the same code."""
    with pytest.raises(Refusal) as raised:
        explain(Question("support", {"messages": "Hello."}), routes)
    assert raised.value.code == "invalid_value"
    with pytest.raises(Refusal) as raised:
        explain(Question("support", operation="messages"), routes)
    assert raised.value.code == "operation_not_supported"
