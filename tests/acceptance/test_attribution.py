"""Who is charged, for what, at whose price: one line for each attempt (case 14)."""

from __future__ import annotations

from typing import Final

import pytest
from standby.proxy.config import dollars
from standby.proxy.ops.ledger_totals import LedgerTotals
from standby.proxy.rehearsal.simulator import Content, Cut, Fault, Status

from tests.acceptance.money import CARDS, Shop, shop
from tests.acceptance.serving import Front
from tests.chaos.caller import PATHS, Path

__all__: list[str] = []

pytestmark = pytest.mark.anyio

streams: Final = pytest.mark.parametrize("streamed", [False, True])
paths: Final = pytest.mark.parametrize("path", PATHS)


@streams
@paths
async def test_headers_ledger_and_bill_agree(front: Front, path: Path, streamed: bool) -> None:
    """After a failover each attempt has its line, priced by the target that served, on the right key."""
    async with shop(front) as counted:
        counted.alpha.fault = Status(503)
        result = await counted.ask(path, "search", streamed=streamed, include_usage=_asks(path, streamed))
        suffix = "_claude" if path == "/v1/messages" else ""
        assert result.headers["x-standby-target"] == f"beta{suffix}"
        assert result.headers["x-standby-attempts"] == "2"
        assert result.headers["x-standby-degraded"] == "overloaded"

        first, second = await counted.settled()
        [(name, line)] = counted.billed()
        assert name == "beta"
        assert {first.request_id, second.request_id} == {result.request_id}
        assert [
            (each.attempt, each.target, each.provider, each.outcome, each.fault) for each in (first, second)
        ] == [
            (1, f"alpha{suffix}", f"alpha{suffix}", "failed", "overloaded"),
            (2, f"beta{suffix}", f"beta{suffix}", "served", None),
        ]
        for entry in (first, second):
            assert (entry.key, entry.team) == ("search", "shop")
            assert entry.pool == ("claude" if suffix else "gpt")
        assert (first.cost, first.charged) == (0, 0)
        assert (second.input, second.output, second.source) == (line.input, line.output, "provider")
        assert second.model == f"model-of-beta{suffix}"
        assert second.cost == second.charged == CARDS["beta"].cost(line.input, line.output) == counted.due()


def _asks(path: Path, streamed: bool) -> bool | None:
    return True if streamed and path == "/v1/chat/completions" else None


@streams
async def test_an_attempt_that_cost_something_before_it_failed_is_charged(
    front: Front, streamed: bool
) -> None:
    """What the first provider bills for an answer that nobody got is in the ledger, under its own target."""
    async with shop(front) as counted:
        counted.alpha.fault = Cut(after=0) if not streamed else Cut(after=Content(0))
        result = await counted.ask(streamed=streamed, include_usage=_asks("/v1/chat/completions", streamed))
        assert result.headers["x-standby-target"] == "beta"
        first, second = await counted.settled()
        bills = {name: CARDS[name].cost(line.input, line.output) for name, line in counted.billed()}
        assert set(bills) == {"alpha", "beta"}
        assert (first.source, first.outcome) == ("estimated", "failed")
        assert (first.cost or 0) >= bills["alpha"]
        assert second.cost == bills["beta"]
        assert await _spent_by_team(counted) == (first.cost or 0) + (second.cost or 0)


async def _spent_by_team(counted: Shop) -> int:
    found = LedgerTotals(("team",))
    found.extend(await counted.settled())
    return found.groups["shop",].charged


@pytest.mark.parametrize("fault", [Cut(after=0), Status(503)], ids=str)
async def test_charged_is_apart_from_cost(front: Front, fault: Fault) -> None:
    """With `charge = "served"` budgets count only what answered; the ledger has what providers charge too."""
    async with shop(front, budget='charge = "served"') as counted:
        counted.alpha.fault = fault
        await counted.ask()
        first, second = await counted.settled()
        assert first.charged == 0
        assert second.charged == second.cost == await counted.spent()
        assert (first.cost or 0) + (second.cost or 0) >= counted.due()


async def test_the_keys_of_a_team_share_its_budget_and_not_their_lines(front: Front) -> None:
    """Each key has its own lines, and the team's account has the sum of both."""
    async with shop(front, team='budget = [{ limit = "5.00", window = "month" }]') as counted:
        for key in ("checkout", "search", "search"):
            assert (await counted.ask(key=key)).status == 200
        entries = await counted.settled()
        assert sorted(entry.key or "" for entry in entries) == ["checkout", "search", "search"]
        found = LedgerTotals(("key",))
        found.extend(entries)
        assert found.groups["search",].requests == 2
        assert found.total.cost == counted.due()


async def test_a_caller_never_sees_what_it_cost_another(front: Front) -> None:
    """Neither a key's secret nor a prompt is in the ledger."""
    async with shop(front) as counted:
        await counted.ask(prompt="the canary of the prompt")
        [entry] = await counted.settled()
        assert "canary of the prompt" not in str(entry)
        assert "sk-standby" not in str(entry)
        assert dollars(entry.cost or 0) == dollars(counted.due())
