"""Clocks that jump by an hour change neither windows nor holds (F48)."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import pytest
from standby.proxy.rehearsal.simulator import Simulator

from tests.acceptance.money import SECRETS, written
from tests.chaos.caller import Asked, CallResult, ask
from tests.chaos.process import GatewayProcess, serving_all
from tests.chaos.setting import Card
from tests.chaos.store_reader import STORES, Kind, reader_of

__all__: list[str] = []

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

DOLLAR: Final = 10**9
CARDS: Final = {"alpha": Card(0, 0, DOLLAR), "beta": Card(0, 0, 3 * DOLLAR)}
ROOM: Final = 5
HOUR: Final = 3600.0


async def asked(gateway: GatewayProcess) -> CallResult:
    """One request."""
    return await ask(gateway.port, Asked("t", SECRETS["checkout"], "gpt"))


@pytest.mark.parametrize("kind", STORES)
async def test_a_window_is_one_of_the_stores_time(kind: Kind, tmp_path: Path) -> None:
    """A budget of an hour has no more room when the clock of a gateway jumps to another hour and back."""
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(reader_of(kind, tmp_path))
        alpha = await stack.enter_async_context(Simulator("alpha"))
        path = tmp_path / "routes.toml"
        key = f'budget = [{{ limit = "{ROOM}.00", window = "hour", rolling = true }}]'
        path.write_text(written(alpha.url, alpha.url, store=reader.url, cards=CARDS, key=key))
        names = ("one",) if kind == "memory" else ("one", "two")
        gateways = await stack.enter_async_context(serving_all(names, path))
        results: list[CallResult] = []
        for ahead in (0.0, HOUR, -HOUR, 2 * HOUR, 0.0):
            gateways[0].move_clock(ahead)
            results += [await asked(gateway) for gateway in gateways for _ in range(2)]
        assert sum(each.status == 200 for each in results) == ROOM
        assert {each.status for each in results} == {200, 402}
        assert len(alpha.bill) == ROOM
