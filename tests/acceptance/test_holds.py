"""What is held always comes back, and what was used is booked once, however a request ends (case 10)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest
from standby.proxy.rehearsal.simulator import Content, Cut, ErrorEvent, Fault, Html, Just, Slow, Stall, Status

from tests.acceptance.money import CARDS, Shop, shop
from tests.acceptance.pairs import pairwise
from tests.acceptance.serving import Front
from tests.chaos.caller import PATHS, Path

__all__: list[str] = []

pytestmark = pytest.mark.anyio

FAULTS: Final[tuple[Fault | None, ...]] = (
    None,
    Status(400),
    Status(429, retry_after=1),
    Status(503),
    Html(),
    Just(),
    Cut(),
    Cut(after=0),
    Cut(after=Content(2)),
    Stall(),
    Stall(after=Content(2)),
    ErrorEvent(),
    ErrorEvent(Content(2)),
)


async def check(counted: Shop) -> None:
    """Nothing is held, every attempt is booked once, and the account, the ledger and the bills agree."""
    entries = await counted.settled()
    assert await counted.store.held() == 0
    assert len({(entry.request_id, entry.attempt) for entry in entries}) == len(entries)
    booked = sum(entry.cost or 0 for entry in entries)
    assert await counted.spent() == sum(entry.charged or 0 for entry in entries)
    assert booked >= counted.due()
    if all(entry.source == "provider" for entry in entries):
        assert booked == counted.due()
    for name, line in counted.billed():
        if line.reported and not line.aborted:
            [entry] = [entry for entry in entries if entry.target.removesuffix("_claude") == name]
            assert (entry.source, entry.input, entry.output) == ("provider", line.input, line.output)
            assert entry.cost == CARDS[name].cost(line.input, line.output)


@pytest.mark.parametrize(("path", "fault", "streamed"), pairwise(PATHS, FAULTS), ids=str)
async def test_a_fault_of_the_first_leaves_nothing_held(
    front: Front, path: Path, fault: Fault | None, streamed: bool
) -> None:
    """Whatever the first target does, the hold ends, and the ledger covers what both providers bill."""
    async with shop(front) as counted:
        counted.alpha.fault = fault
        result = await counted.ask(path, streamed=streamed)
        assert result.status != 0
        await check(counted)


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("fault", [each for each in FAULTS if each is not None], ids=str)
async def test_a_fault_of_all_leaves_nothing_held(front: Front, streamed: bool, fault: Fault) -> None:
    """When every target fails the same way, each attempt is booked by itself, and nothing stays held."""
    async with shop(front, timeouts='{ first_token = "100ms", stall = "100ms" }') as counted:
        counted.alpha.fault = counted.beta.fault = fault
        await counted.ask(streamed=streamed)
        await check(counted)


async def _before_the_head(counted: Shop) -> None:
    counted.alpha.fault = Slow(30, after=None)
    await _leaving(counted, lambda: bool(counted.alpha.requests))


async def _after_the_head(counted: Shop) -> None:
    counted.alpha.fault = Stall(after=0)
    await _leaving(counted, lambda: bool(counted.alpha.requests) and counted.alpha.requests[-1].sent > 0)


async def _after_content(counted: Shop) -> None:
    counted.alpha.fault = Stall(after=Content(3))
    await _leaving(counted, lambda: bool(counted.alpha.requests) and counted.alpha.requests[-1].output == 3)


async def _during_failover(counted: Shop) -> None:
    counted.alpha.fault = Status(503)
    counted.beta.fault = Slow(30, after=None)
    await _leaving(counted, lambda: bool(counted.beta.requests))


async def _leaving(counted: Shop, ready: Callable[[], bool]) -> None:
    """Ask for a stream, and hang up once `ready`."""
    call = asyncio.create_task(counted.ask(streamed=True))
    provider = counted.beta if isinstance(counted.beta.fault, Slow) else counted.alpha
    await provider.wait_for(ready)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


@pytest.mark.parametrize(
    "moment",
    [_before_the_head, _after_the_head, _after_content, _during_failover],
    ids=lambda each: each.__name__,
)
async def test_a_hang_up_leaves_nothing_held(front: Front, moment: Callable[[Shop], Awaitable[None]]) -> None:
    """Whenever the caller leaves, the hold ends, and what the provider generated until then is paid for."""
    async with shop(front, timeouts='{ first_token = "20s", stall = "20s" }') as counted:
        await moment(counted)
        await check(counted)


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"model": "nothing"}, 403, "model_not_allowed"),
        ({"max_tokens": -1}, 400, None),
        ({"max_tokens": 10**6}, 402, "budget_exceeded"),
    ],
)
async def test_a_refusal_of_ours_holds_and_books_nothing(
    front: Front, more: dict[str, Any], status: int, code: str | None
) -> None:
    """A request that the gateway itself refuses costs nothing, and has no line in the ledger."""
    async with shop(front) as counted:
        result = await counted.ask(**more)
        assert result.status == status, result.body
        assert code is None or result.code == code
        assert await counted.settled() == []
        assert await counted.spent() == 0
        assert not counted.alpha.requests


async def test_an_exception_of_a_middleware_leaves_nothing_held(front: Front) -> None:
    """When something inside the budget raises, the hold ends all the same."""
    parts = {
        "stack": 'stack = ["auth", "budget", "broken", "failover"]\n'
        '[broken]\nuse = "tests.acceptance.broken:Broken"',
    }
    async with shop(front, **parts) as counted:
        result = await counted.ask()
        assert result.status == 500
        assert await counted.settled() == []
        assert await counted.spent() == 0


async def test_many_at_once_leave_nothing_held(front: Front) -> None:
    """A hundred requests with every kind of end at once are each booked once."""
    async with shop(front) as counted:
        counted.forgetful()
        counted.alpha.faults.extend(fault for fault in FAULTS for _ in range(8))
        await asyncio.gather(*(counted.ask(streamed=number % 2 == 0) for number in range(104)))
        entries = await counted.settled()
        assert len({entry.request_id for entry in entries}) == 104
        assert await counted.spent() == sum(entry.charged or 0 for entry in entries)
        assert sum(entry.cost or 0 for entry in entries) >= counted.due()
