"""What was answered is in the ledger after a stop in the middle of it (case 13)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Simulator, Slow

from tests.acceptance.money import CARDS, SECRETS, written
from tests.bench.processes import free_port
from tests.chaos.caller import Asked, CallResult, ask
from tests.chaos.process import serving
from tests.chaos.store_reader import Kind, reader_of

__all__: list[str] = []

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

CALLERS: Final = 10
REQUESTS: Final = 150


@pytest.mark.parametrize(
    ("kind", "workers", "hard", "escrow"),
    [
        ("sqlite", 2, False, True),
        ("redis", 1, False, True),
        ("sqlite", 1, True, False),
        ("sqlite", 1, True, True),
    ],
)
async def test_the_ledger_has_what_was_answered(
    kind: Kind, workers: int, hard: bool, escrow: bool, tmp_path: Path
) -> None:
    """Every answer given before the stop and after the restart is booked once, at what the provider bills.

    Of a process that is killed the last lines may be missing with escrow; its slices pay what they cost.
    """
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(reader_of(kind, tmp_path))
        alpha = await stack.enter_async_context(Simulator("alpha"))
        beta = await stack.enter_async_context(Simulator("beta"))
        alpha.fault = Slow(0.01, after=None)
        path = tmp_path / "routes.toml"
        # Where nothing is limited nothing is held, and a kill then loses what was under way.
        budget = 'budget = [{ limit = "1000.00", window = "month" }]' if hard else ""
        path.write_text(
            written(
                alpha.url,
                beta.url,
                store=reader.url,
                key=budget,
                budget=f"escrow = {str(escrow).lower()}",
                timeouts='{ first_token = "5s", total = "5s" }',  # so that leases are short
            )
        )
        gateway = await stack.enter_async_context(serving("one", path, free_port(), workers=workers))
        results: list[CallResult] = []
        numbers = iter(range(REQUESTS))
        up = asyncio.Event()
        up.set()

        async def call() -> None:
            for number in numbers:
                await up.wait()
                results.append(await ask(gateway.port, Asked(f"t{number}", SECRETS["checkout"], "gpt")))

        async def stop_in_the_middle() -> None:
            await alpha.wait_for(lambda: len(alpha.requests) >= REQUESTS // 3, within=30)
            up.clear()
            await (gateway.kill() if hard else gateway.terminate())
            await gateway.start()
            up.set()

        await asyncio.gather(stop_in_the_middle(), *(call() for _ in range(CALLERS)))
        await gateway.terminate()
        if hard:
            await reader.expire()
        entries = await reader.entries()
        assert await reader.held() == 0
        answered = {each.request_id for each in results if each.status == 200 and each.whole}
        assert len(answered) >= REQUESTS - 2 * CALLERS
        booked = [entry.request_id for entry in entries]
        assert len(booked) == len(set(booked))
        assert answered <= set(booked) or (hard and escrow)
        assert len(answered - set(booked)) <= 2 * CALLERS
        due = sum(CARDS["alpha"].cost(line.input, line.output) for line in alpha.bill)
        if hard:
            assert sum(entry.cost or 0 for entry in entries) >= due
        else:
            # A graceful stop lets everybody finish, so that everything is told.
            assert {entry.source for entry in entries} == {"provider"}
            assert sum(entry.cost or 0 for entry in entries) == due
