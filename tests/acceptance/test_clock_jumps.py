"""Clocks that jump by an hour change neither windows nor holds (F48), and what is revoked stays so (I23)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import orjson
import pytest
from standby.proxy.rehearsal.simulator import Simulator

from tests.acceptance.money import SECRETS, written
from tests.bench.processes import free_port
from tests.chaos.caller import Asked, CallResult, ask
from tests.chaos.process import GatewayProcess, serving
from tests.chaos.setting import Card
from tests.chaos.store_reader import STORES, Kind, reader_of
from tests.programs import STANDBY, running

__all__: list[str] = []

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

DOLLAR: Final = 10**9
CARDS: Final = {"alpha": Card(0, 0, DOLLAR), "beta": Card(0, 0, 3 * DOLLAR)}
ROOM: Final = 5
HOUR: Final = 3600.0
LATEST: Final = 5.0
"""Seconds after which no gateway may let in a key that has been disabled."""


async def asked(gateway: GatewayProcess, key: str = SECRETS["checkout"]) -> CallResult:
    """One request."""
    return await ask(gateway.port, Asked("t", key, "gpt"))


@pytest.mark.parametrize("kind", STORES)
async def test_a_window_is_one_of_the_stores_time(kind: Kind, tmp_path: Path) -> None:
    """A budget of an hour has no more room when the clock of a gateway jumps to another hour and back."""
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(reader_of(kind, tmp_path))
        alpha = await stack.enter_async_context(Simulator("alpha"))
        path = tmp_path / "routes.toml"
        key = f'budget = [{{ limit = "{ROOM}.00", window = "hour", rolling = true }}]'
        path.write_text(written(alpha.url, alpha.url, store=reader.url, cards=CARDS, key=key))
        gateways = [
            await stack.enter_async_context(serving(name, path, free_port()))
            for name in (("one",) if kind == "memory" else ("one", "two"))
        ]
        results: list[CallResult] = []
        for ahead in (0.0, HOUR, -HOUR, 2 * HOUR, 0.0):
            gateways[0].move_clock(ahead)
            results += [await asked(gateway) for gateway in gateways for _ in range(2)]
        assert sum(each.status == 200 for each in results) == ROOM
        assert {each.status for each in results} == {200, 402}
        assert len(alpha.bill) == ROOM


async def test_a_disabled_key_is_let_in_nowhere(tmp_path: Path) -> None:
    """Five seconds after `standby keys disable`, and at once after a restart, no gateway takes the key."""
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(reader_of("redis", tmp_path))
        alpha = await stack.enter_async_context(Simulator("alpha"))
        path = tmp_path / "routes.toml"
        path.write_text(written(alpha.url, alpha.url, store=reader.url, cards=CARDS))

        async def keys(*words: str) -> str:
            command = (STANDBY, "keys", words[0], "--routes", str(path), *words[1:])
            async with running(*command, folder=tmp_path) as program:
                assert await program.ends() == 0, program.output
            return program.output

        made = await keys("create", "mobile", "--pools", "gpt", "--json")
        secret = _secret_in(made)
        gateways = [
            await stack.enter_async_context(serving(name, path, free_port())) for name in ("one", "two")
        ]
        assert [(await asked(gateway, secret)).status for gateway in gateways] == [200, 200]
        await keys("disable", "mobile")
        loop = asyncio.get_running_loop()
        due = loop.time() + LATEST
        while loop.time() < due:
            late = [loop.time() >= due - 0.01 for _ in gateways]
            statuses = [(await asked(gateway, secret)).status for gateway in gateways]
            assert set(statuses) <= {200, 401}
            if statuses == [401, 401]:
                break
            assert not any(late)
            gateways[0].move_clock(-HOUR)  # a clock that goes back gives the key no more time
            await asyncio.sleep(0.1)
        for gateway in gateways:
            for ahead in (-HOUR, HOUR, 0.0):
                gateway.move_clock(ahead)
                refused = await asked(gateway, secret)
                assert (refused.status, refused.code) == (401, "api_key_revoked")
        await gateways[0].kill()
        await gateways[0].start()
        assert (await asked(gateways[0], secret)).status == 401


def _secret_in(made: str) -> str:
    found: dict[str, str] = orjson.loads(made)
    return found["key"]
