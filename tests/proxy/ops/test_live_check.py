"""`standby check --live`: what it would send and cost, and what it says of each answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from standby.proxy import cli
from standby.proxy.config import Routes, parse_routes
from standby.proxy.ops.live_check import cost_of, run_trials, shown, trials
from standby.proxy.rehearsal.simulator import Answer, Content, Cut, Received, Simulator, Status
from typing_extensions import override

__all__ = ["alpha"]

pytestmark = pytest.mark.anyio

ROUTES: Final = """
[providers.o]
dialect = "openai"
base_url = "{url}"
[providers.a]
dialect = "anthropic"
base_url = "{url}"
[targets.gpt]
provider = "o"
model = "gpt"
price = {{ input = "2.00", output = "8.00" }}
[targets.small]
provider = "o"
model = "small"
can = ["chat", "stream"]
[targets.claude]
provider = "a"
model = "claude"
price = {{ input = "3.00", output = "15.00" }}
[pools.support]
prefer = ["gpt"]
alternates = [{{ target = "claude", for = ["outage"] }}, {{ target = "small", for = ["slow"] }}]
[pools.again]
prefer = ["gpt"]
"""


class Able(Simulator):
    """A provider that calls the tool it is offered, with arguments as the schema says."""

    @override
    def _good(self, received: Received) -> Answer:
        self.calls_tools = bool(received.json.get("tools"))
        self.arguments = ('{"answer": ', '"ok"}')
        return super()._good(received)


@pytest.fixture
async def alpha() -> AsyncIterator[Able]:
    """The provider behind all targets."""
    async with Able("alpha") as provider:
        yield provider


def routes_at(url: str) -> Routes:
    """Three targets of two dialects in one pool, and one of them in another."""
    return parse_routes(ROUTES.format(url=url), environ={})


def test_each_target_is_asked_once_for_what_it_claims() -> None:
    """In each dialect in which callers reach it, and for nothing that its `can` leaves out."""
    asked = [
        (trial.target.name, trial.operation.name, trial.feature)
        for trial in trials(routes_at("http://[::1]:1"))
    ]
    assert len(asked) == len(set(asked)) == 4 * 4 + 2 * 2
    assert [feature for name, operation, feature in asked if (name, operation) == ("small", "chat")] == [
        "plain",
        "stream",
    ]


def test_the_cost_is_said_before() -> None:
    """It counts every request at the target's own price, and names the targets without one."""
    requests = trials(routes_at("http://[::1]:1"))
    assert cost_of(requests).startswith("20 requests to 3 targets, at most $")
    assert cost_of(requests).endswith(", without the targets that have no price (small)")
    assert sum(trial.cost for trial in requests) >= 8 * 256 * (8_000 + 15_000)


async def test_good_answers_pass(alpha: Able) -> None:
    """Every target answers in the shape that callers of each dialect can use, also where it is translated."""
    routes = routes_at(alpha.url)
    requests = trials(routes)
    await run_trials(routes, requests)
    assert [trial for trial in requests if trial.problem is not None] == []
    table = shown(requests)
    assert "/v1/messages as chat" in table
    assert "/v1/chat/completions as messages" in table
    assert "not in can" in table
    assert len(alpha.requests) == 20


@pytest.mark.parametrize(
    ("change", "feature", "problem"),
    [
        ({"fault": Status(401)}, "plain", "upstream_auth 401 invalid_api_key"),
        ({"fault": Status(404)}, "stream", "target_missing 404 model_not_found"),
        ({"reports": "never"}, "plain", "tells no usage"),
        ({"keeps_formats": False}, "json_schema", "is not as the schema says"),
    ],
)
async def test_a_bad_answer_is_named(change: dict[str, Any], feature: str, problem: str) -> None:
    """What is wrong is said in the terms of docs/failover.md, or as what the answer lacks."""
    async with Simulator("alpha") as provider:
        for name, value in change.items():
            setattr(provider, name, value)
        routes = routes_at(provider.url)
        requests = [
            trial for trial in trials(routes) if (trial.target.name, trial.feature) == ("gpt", feature)
        ]
        await run_trials(routes, requests)
        assert requests[0].problem == problem


async def test_a_provider_that_breaks_off_takes_nothing_from_the_others(alpha: Able) -> None:
    """A large answer that breaks is that target's problem, and the others' results stand."""
    async with Able("beta", words=("word " * 100_000,), fault=Cut(after=Content(1))) as beta:
        routes = parse_routes(ROUTES.format(url=alpha.url).replace(alpha.url, beta.url, 1), environ={})
        requests = [trial for trial in trials(routes) if trial.feature == "plain"]
        await run_trials(routes, requests)
        problems = {(trial.target.name, trial.operation.name): trial.problem for trial in requests}
        assert problems["gpt", "chat"] == "stream_truncated 200"
        assert problems["claude", "messages"] is None


async def test_words_are_no_tool_call() -> None:
    """A target that answers a demand for a tool in words cannot call tools."""
    async with Simulator("alpha") as provider:
        routes = routes_at(provider.url)
        requests = [trial for trial in trials(routes) if trial.feature == "tools"]
        await run_trials(routes, requests)
        assert {trial.problem for trial in requests} == {"calls no tool"}


def test_nothing_is_sent_without_yes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--live` alone prints the cost and ends with 1."""
    file = tmp_path / "routes.toml"
    file.write_text(ROUTES.format(url="http://127.0.0.1:9"))
    assert cli.main(["check", str(file), "--live"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "nothing was sent; add --yes to send them"
