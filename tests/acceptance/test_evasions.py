"""What a caller may do to pay less than a provider bills, and what a provider may send to be booked wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Just, Stall

from tests.acceptance.money import CARDS, shop
from tests.acceptance.serving import Front

__all__: list[str] = []

pytestmark = pytest.mark.anyio

LIMIT: Final = 1_000_000_000
"""The month's budget of the key, in nano-dollars."""


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty."""
    return "memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/standby.db"


def answer(content: str, **more: object) -> bytes:
    """A whole chat completion, with this JSON as the arguments of a tool call or the like."""
    usage = {"prompt_tokens": 9, "completion_tokens": 3, **more}
    return (
        b'{"id": "c1", "model": "model-of-alpha", "choices": [{"index": 0, "finish_reason": "stop", '
        b'"message": {"role": "assistant", "content": "good", "annotations": '
        + content.encode()
        + b'}}], "usage": '
        + json.dumps(usage).encode()
        + b"}"
    )


@pytest.mark.parametrize("depth", [255, 512, 1000])
async def test_a_deeply_nested_answer(front: Front, store: str, depth: int) -> None:
    """What the caller's SDK can read is passed on and booked, however deep it is."""
    async with shop(front, store=store) as counted:
        body = answer("[" * depth + "]" * depth)
        counted.alpha.fault = Just(body)
        result = await counted.ask()
        [entry] = await counted.settled()
        assert (result.status, result.body) == (200, body)
        assert (entry.source, entry.input, entry.output) == ("provider", 9, 3)


async def test_an_answer_too_deep_to_read(front: Front, store: str) -> None:
    """What no SDK can read is a fault of the provider, and the next target is asked."""
    async with shop(front, store=store) as counted:
        counted.alpha.fault = Just(answer("[" * 5_000 + "]" * 5_000))
        for _ in range(6):
            result = await counted.ask()
            assert (result.status, result.headers["x-standby-target"]) == (200, "beta")
        assert len(counted.alpha.requests) == 6  # its breaker is closed: callers may ask for such answers
        assert {entry.target for entry in await counted.settled()} == {"alpha", "beta"}


@pytest.mark.parametrize("figure", [2**63, 2**64 - 1, -1, 1e300, "9" * 40])
async def test_an_absurd_figure_is_none(front: Front, store: str, figure: object) -> None:
    """The request is settled with an estimate; no hold and no place for a request stays taken."""
    limits = 'budget = [{ limit = "1.00", window = "month" }]\nlimits = { concurrent = 1 }'
    async with shop(front, store=store, key=limits) as counted:
        counted.alpha.fault = Just(answer("[]", completion_tokens=figure))
        for _ in range(2):
            assert (await counted.ask()).status == 200
            assert await counted.store.held() == 0 or await counted.settled()
        entries = await counted.settled()
        assert [entry.source for entry in entries] == ["estimated"] * 2
        assert 0 < await counted.spent() < LIMIT


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
async def test_who_leaves_before_the_answer_pays(front: Front, store: str) -> None:
    """30 callers who leave after 150 ms get no more from a provider than the budget is worth."""
    async with shop(front, store=store) as counted:
        counted.alpha.fault = Stall()
        most = CARDS["alpha"].cost(0, 11_000)  # $0.088
        for _ in range(30):
            await counted.ask(max_tokens=11_000, leaves=0.15)
            await counted.settled()
        assert len(counted.alpha.requests) <= LIMIT // most
        assert LIMIT - 2 * most < await counted.spent() <= LIMIT


async def test_a_time_limit_of_ones_own_is_a_way_to_leave(front: Front, store: str) -> None:
    """A caller who lets its own limit run out is booked what was held at the target that was under way."""
    async with shop(front, store=store, pool="alternates = []") as counted:
        counted.alpha.fault = counted.beta.fault = Stall()
        result = await counted.ask(max_tokens=1_000, limit_ms=100)
        assert result.status == 504
        first = next(entry for entry in await counted.settled() if entry.target == "alpha")
        assert (first.source, first.output) == ("estimated", 1_000)


async def test_who_leaves_may_be_charged_the_input_alone(front: Front, store: str) -> None:
    """With `unheard = "input"` an answer that nobody heard costs its input."""
    async with shop(front, store=store, budget_table='[budget]\nunheard = "input"') as counted:
        counted.alpha.fault = Stall()
        await counted.ask(max_tokens=11_000, leaves=0.15)
        [entry] = await counted.settled()
        assert (entry.source, entry.output) == ("estimated", 0)
        assert entry.input > 0


@pytest.mark.parametrize("reports", ["asked", "never"])
async def test_hidden_reasoning_is_not_free(front: Front, store: str, reports: str) -> None:
    """Usage that the caller declines is asked for; untold, what may have been reasoned counts as held."""
    async with shop(front, store=store) as counted:
        counted.alpha.reports = "asked" if reports == "asked" else "never"
        passed = 0
        for _ in range(40):
            result = await counted.ask(
                streamed=True, include_usage=False, max_tokens=75_000, more={"reasoning_effort": "high"}
            )
            await counted.settled()
            assert b'"usage":{' not in result.body.replace(b" ", b"")
            passed += result.status == 200
        sources = {entry.source for entry in await counted.settled()}
        if reports == "asked":
            assert (passed, sources) == (40, {"provider"})
            assert await counted.spent() == counted.due()
        else:
            assert (passed, sources) == (1, {"estimated"})  # each may cost $0.60


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"models": ["a/dear-model"]}, "models"),
        ({"route": "fallback"}, "route"),
        ({"provider": {"order": ["x"]}}, "provider"),
        ({"preset": "p"}, "preset"),
        ({"plugins": [{"id": "web"}]}, "plugins"),
        ({"transforms": ["middle-out"]}, "transforms"),
        ({"extra_body": {"models": ["a/dear-model"]}}, "extra_body.models"),
        ({"tools": [{"type": "advisor_20260301", "name": "a", "model": "dear"}]}, "tools[0].model"),
        (
            {"tools": [{}, {"type": "openrouter:advisor", "parameters": {"model": "dear"}}]},
            "tools[1].parameters.model",
        ),
    ],
    ids=str,
)
async def test_a_providers_own_routing_is_refused(
    front: Front, store: str, more: dict[str, object], param: str
) -> None:
    """A key reaches only the models of its pools: no provider is asked, and nothing is booked."""
    async with shop(front, store=store) as counted:
        result = await counted.ask(more=more)
        assert (result.status, result.code, result.json["error"]["param"]) == (400, "forbidden_field", param)
        assert counted.alpha.requests == counted.beta.requests == []
        assert await counted.settled() == []


async def test_the_same_names_are_free_elsewhere(front: Front, store: str) -> None:
    """In `metadata` they are names like any other."""
    async with shop(front, store=store) as counted:
        assert (await counted.ask(more={"metadata": {"provider": "x", "route": "y"}})).status == 200


@pytest.mark.parametrize("tier", ["priority", "flex"])
async def test_a_tier_that_is_not_for_sale_is_refused(front: Front, store: str, tier: str) -> None:
    """A card with `tiers` names all that it sells; the usual one needs no name."""
    cards = {name: _with_tiers(name) for name in CARDS}
    async with shop(front, store=store, targets=cards) as counted:
        result = await counted.ask(more={"service_tier": tier})
        if tier == "flex":
            assert result.status == 200
            return
        assert (result.status, result.code, result.json["error"]["param"]) == (
            400,
            "invalid_value",
            "service_tier",
        )
        assert counted.alpha.requests == []
        assert (await counted.ask(more={"service_tier": "auto"})).status == 200


def _with_tiers(name: str) -> str:
    card = CARDS[name]
    tokens = f'input = "{card.input / 10**9}", output = "{card.output / 10**9}"'
    return f'price = {{ {tokens}, tiers = {{ flex = {{ factor = "0.5" }} }} }}'
