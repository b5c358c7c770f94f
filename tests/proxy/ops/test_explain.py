"""Explanations of routing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.cli import main
from standby.proxy.config import Key, Routes, load_routes, targets_of
from standby.proxy.errors import Refusal
from standby.proxy.health.target_health import Health, Permit
from standby.proxy.keys.principal import Principal
from standby.proxy.ops.explain import Question, Unanswerable, explain

from tests.proxy.harness import routes_to

__all__: list[str] = []

EXAMPLE = Path(__file__).parents[3] / "routes.toml"
ENVIRON = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b"}


@pytest.fixture(scope="module")
def routes() -> Routes:
    return load_routes(EXAMPLE, ENVIRON)


def test_the_example_fits_one_screen(routes: Routes) -> None:
    """Every pool, in 24 lines of 100 characters. Each target of a pool has one line with its reason."""
    texts = [str(explain(Question(pool), routes)) for pool in routes.pools]
    lines = "\n\n".join(texts).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    for text, pool in zip(texts, routes.pools.values(), strict=True):
        rows = [line.split()[1] for line in text.splitlines()[1:-1]]
        assert sorted(rows) == sorted(target.name for target in targets_of(pool))


def test_what_follows_from_each_cause(routes: Routes) -> None:
    """The next target is determined by the code that would fail over to it."""
    explanation = explain(Question("support"), routes)
    assert explanation.first == "gpt"
    assert dict(explanation.following) == {
        "outage": "gpt-mini",
        "slow": "gpt-mini",
        "rate_limited": "gpt-mini",
        "context": None,
        "refused": None,
        "truncated": "gpt-mini",
        "budget": "gpt-mini",
    }


def test_a_target_taken_for_dead(routes: Routes) -> None:
    """The plan without the target, with the reason."""
    explanation = explain(Question("support", down=frozenset({"gpt"})), routes)
    assert explanation.first == "gpt-mini"
    assert [(candidate.name, candidate.rejected) for candidate in explanation.plan] == [
        ("gpt", "health.breaker_open"),
        ("gpt-mini", None),
    ]


def test_a_target_taken_for_slow(routes: Routes) -> None:
    """A pool with a `slow` rule asks others first; a pool without one is not affected."""
    explanation = explain(Question("support", slow=frozenset({"gpt"})), routes)
    assert [(candidate.name, candidate.degraded) for candidate in explanation.plan] == [
        ("gpt-mini", None),
        ("gpt", "latency.slo"),
    ]
    assert explain(Question("writing", slow=frozenset({"claude"})), routes).first == "claude"


def test_a_budget_that_is_used_up(routes: Routes) -> None:
    """Only the cheapest target of the pool is left."""
    explanation = explain(Question("support", over_budget=True), routes)
    assert explanation.first == "gpt-mini"
    assert {candidate.name: candidate.rejected for candidate in explanation.plan} == {
        "gpt": "budget.exhausted",
        "gpt-mini": None,
    }


def test_the_stack_decides(routes: Routes) -> None:
    """Without RouteSelect the order is the file's, and without Failover there is one attempt."""
    alone = replace(routes, stack=("route_select",))
    assert set(explain(Question("support"), alone).following.values()) == {None}
    long = Question("support", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2_000_000})
    written = explain(long, replace(routes, stack=("failover",)))
    assert (written.first, written.plan[0].rejected) == ("gpt", None)
    routed = explain(long, replace(routes, stack=("route_select", "failover")))
    assert routed.plan[0].rejected == "capability.output_length"


def test_a_key_that_is_refused_by_itself(routes: Routes) -> None:
    """An expired key, or one that is not granted the pool, never reaches a target."""
    digest = ("sha256:" + "0" * 64,)
    expired = Key(name="old", hash=digest, pools=("*",), expires=datetime(2020, 1, 1, tzinfo=UTC))
    other = Key(name="other", hash=digest, pools=("writing",))
    for key, code in ((expired, "api_key_expired"), (other, "model_not_allowed")):
        explanation = explain(Question("support"), routes, principal=Principal.of(key))
        assert explanation.refusal is not None
        assert (explanation.refusal.code, explanation.first) == (code, None)


def test_more_output_than_the_pool_allows(routes: Routes) -> None:
    """With Budget in the stack it is refused, as a caller's request would be."""
    request: dict[str, Any] = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 2_000_000}
    with pytest.raises(Refusal) as raised:
        explain(Question("support", request), routes)
    assert (raised.value.code, raised.value.param) == ("invalid_value", "max_tokens")


def test_a_body_too_deep_to_be_written(routes: Routes) -> None:
    """It is refused as a caller's would be."""
    messages: list[Any] = []
    for _ in range(500):
        messages = [messages]
    with pytest.raises(Refusal) as raised:
        explain(Question("support", {"messages": messages}), routes)
    assert raised.value.code == "json_too_deep"


def test_no_secret_is_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command runs where the secrets are not, and names every target of the pool once, on one screen."""
    for name in ENVIRON:
        monkeypatch.delenv(name, raising=False)
    assert main(["explain", str(EXAMPLE), "--pool", "support", "--slow", "gpt", "--over-budget"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert sorted(line.split()[1] for line in lines[1:-1]) == ["gpt", "gpt-mini", "gpt-next"]


def test_pools_that_the_request_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    """They are named with the code of the refusal, and the others are explained."""
    assert main(["explain", str(EXAMPLE), "--operation", "chat"]) == 0
    output = capsys.readouterr().out
    assert "pool support (openai" in output
    assert "pool writing: refused: 400 operation_not_supported" in output
    assert main(["explain", str(EXAMPLE), "--operation", "chat", "--pool", "writing"]) == 1


@pytest.mark.parametrize("share", ["nan", "-1", "1.5", "x"])
def test_a_share_that_is_none(share: str) -> None:
    """The used share of a budget is a number from 0 to 1."""
    with pytest.raises(SystemExit) as raised:
        main(["explain", str(EXAMPLE), f"--budget-used={share}"])
    assert raised.value.code == 2


def test_the_rules_of_a_key(routes: Routes) -> None:
    """What the key forbids is rejected, and an empty plan is stated."""
    bound = Principal.of(
        Key(name="bank", hash=("sha256:" + "0" * 64,), pools=("*",), providers=("anthropic",))
    )
    explanation = explain(Question("support"), routes, principal=bound)
    assert explanation.first is None
    assert {candidate.rejected for candidate in explanation.plan} == {"policy.provider_denied"}
    assert "refused: the caller gets 403 provider_not_allowed" in str(explanation)
    assert explanation.as_json()["key"] == "bank"


def test_a_request_of_ones_own(routes: Routes) -> None:
    """Its requirements are read from the body, and its model is the pool's."""
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    request: dict[str, Any] = {"messages": [{"role": "user", "content": [picture]}], "max_tokens": 9}
    document = explain(Question("gpt-4.1", request), routes).as_json()
    assert (document["pool"], document["wants"], document["streamed"]) == (
        "support",
        ["chat", "vision"],
        False,
    )
    assert document["output_tokens"] == 9


def test_the_health_of_a_running_gateway(routes: Routes) -> None:
    """The health of a running gateway is used, and explaining does not change it."""
    health = Health(lambda: 0.0)
    for _ in range(5):
        entry = health.enter("gpt", "openai", "chat")
        assert isinstance(entry, Permit)
        health.record(entry, Fault("upstream_5xx", 500), proved=True)
    before = health.states()
    explanation = explain(Question("support"), routes, health=health)
    assert (explanation.plan[0].rejected, explanation.first) == ("health.breaker_open", "gpt-mini")
    assert health.states() == before


def test_the_scores_of_a_balanced_pool() -> None:
    """Each target that was balanced shows the score by which it stands where it does."""
    balanced = routes_to("http://127.0.0.1:9/v1", "http://127.0.0.1:8/v1", pool='balance = "weighted"')
    explanation = explain(Question("support"), balanced)
    scores = [candidate.score for candidate in explanation.plan]
    assert scores == [-1.0, -1.0]
    assert str(explanation).count("asked; score -1\n") == 2


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (Question("suport"), "there is no pool 'suport'; did you mean 'support'?"),
        (Question("support", down=frozenset({"gptt"})), "there is no target 'gptt'; did you mean 'gpt'?"),
        (Question("support", operation="chatt"), "there is no operation 'chatt'; did you mean 'chat'?"),
    ],
)
def test_what_is_not_there(routes: Routes, question: Question, message: str) -> None:
    """An unknown name is reported with the nearest valid one."""
    with pytest.raises(Unanswerable) as raised:
        explain(question, routes)
    assert str(raised.value) == message


def test_what_a_caller_would_be_refused(routes: Routes) -> None:
    """A body that no caller may send is refused with the same code."""
    with pytest.raises(Refusal) as raised:
        explain(Question("support", {"messages": "Hello."}), routes)
    assert raised.value.code == "invalid_value"
    with pytest.raises(Refusal) as raised:
        explain(Question("support", operation="messages"), routes)
    assert raised.value.code == "operation_not_supported"
