"""Fifty at once with room for five: exactly five are let in, however many processes there are (case 9)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Simulator, Slow

from tests.acceptance.money import SECRETS, written
from tests.chaos.caller import Asked, CallResult, ask
from tests.chaos.process import GatewayProcess, serving_all
from tests.chaos.setting import Card
from tests.chaos.store_reader import Kind, reader_of

__all__: list[str] = []

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

ROOM: Final = 5
CALLERS: Final = 50
DOLLAR: Final = 10**9
CARDS: Final = {"alpha": Card(0, 0, DOLLAR), "beta": Card(0, 0, 3 * DOLLAR)}


async def rush(gateways: Sequence[GatewayProcess], alpha: Simulator, key: str) -> list[CallResult]:
    """Ask so often at once. Nobody is answered before everybody was let in or refused."""
    decided = asyncio.Event()
    refused = 0

    async def wait(seconds: float) -> None:
        await decided.wait()

    async def one(number: int) -> CallResult:
        nonlocal refused
        gateway = gateways[number % len(gateways)]
        result = await ask(gateway.port, Asked(f"{key}{number}", SECRETS[key], "gpt"))
        refused += result.status != 200
        if refused >= CALLERS - ROOM:
            decided.set()
        return result

    alpha.fault = Slow(1, after=None)
    alpha.sleep = wait
    return await asyncio.gather(*(one(number) for number in range(CALLERS)))


@pytest.mark.parametrize(
    ("kind", "escrow"),
    [("memory", "true"), *((kind, escrow) for kind in ("sqlite", "redis") for escrow in ("false", "true"))],
)
async def test_exactly_so_many_are_let_in_as_there_is_room_for(
    kind: Kind, escrow: str, tmp_path: Path
) -> None:
    """Through one process, two workers or two gateways, five get an answer; 45 learn which limit refused."""
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(reader_of(kind, tmp_path))
        alpha = await stack.enter_async_context(Simulator("alpha"))
        beta = await stack.enter_async_context(Simulator("beta"))
        path = tmp_path / "routes.toml"
        path.write_text(
            written(
                *(alpha.url, beta.url),
                store=reader.url,
                cards=CARDS,
                timeouts='{ first_token = "20s" }',
                key=f'budget = [{{ limit = "{ROOM}.99", window = "month" }}]',
                other=f"limits = {{ concurrent = {ROOM} }}",
                budget=f"escrow = {escrow}",
            )
        )
        names = ("one", "two") if kind == "redis" else ("one",)
        workers = 2 if kind == "sqlite" else 1
        gateways = await stack.enter_async_context(serving_all(names, path, workers=workers))
        for key, status, limit in (
            ("checkout", 402, "key/checkout cost per month"),
            ("search", 429, "key/search concurrent"),
        ):
            result = await rush(gateways, alpha, key)
            assert Counter(each.status for each in result) == {200: ROOM, status: CALLERS - ROOM}
            assert {each.headers.get("x-standby-limit") for each in result} == {None, limit}
            assert all("retry-after" in each.headers for each in result if each.status == 429)
        assert len(alpha.bill) == 2 * ROOM
        reader.port = gateways[0].port
        if kind != "memory":  # nobody else can look into that
            for gateway in gateways:
                await gateway.terminate()
            entries = await reader.entries()
            assert sum(entry.charged or 0 for entry in entries if entry.key == "checkout") == ROOM * DOLLAR
            assert await reader.held() == 0
