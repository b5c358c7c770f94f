"""A key that was revoked opens nothing any more after five seconds, in any process, and stays so (I23)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import httpx2
import openai
import pytest
from standby.proxy.keys.keyring import TTL
from standby.proxy.rehearsal.simulator import Simulator

from tests.chaos.process import GatewayProcess, serving_all
from tests.programs import STANDBY, running

__all__ = ["folder"]

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

HOUR: Final = 3600.0
ROUTES: Final = """
stack = ["auth", "failover"]
store = "sqlite:///{folder}/keys.db"
[providers.alpha]
dialect = "openai"
base_url = "{url}"
[targets.main]
provider = "alpha"
model = "m"
[pools.support]
prefer = ["main"]
"""


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A folder with a `routes.toml`, whose provider answers."""
    async with Simulator("alpha") as alpha:
        (tmp_path / "routes.toml").write_text(ROUTES.format(url=alpha.url, folder=tmp_path))
        yield tmp_path


async def standby(folder: Path, *words: str) -> str:
    """What one command says."""
    async with running(STANDBY, *words, folder=folder) as program:
        assert await program.ends() == 0, program.output
    return program.output


async def made(folder: Path, *words: str) -> str:
    """The secret of a new or rotated key."""
    secret: str = json.loads(await standby(folder, "keys", *words, "--json"))["key"]
    return secret


async def opens(gateway: GatewayProcess, secret: str) -> str:
    """What becomes of one request with this key: "200", or the code of the refusal."""
    async with httpx2.AsyncClient(base_url=gateway.origin, trust_env=False) as client:
        answer = await client.get("/v1/models", headers={"x-api-key": secret})
        return "200" if answer.status_code == 200 else str(answer.json()["error"]["code"])


async def test_every_process_hears_of_it(folder: Path) -> None:
    """Of a disabled, a deleted and a replaced key; what was asked TTL after the command is never admitted,
    whatever a gateway's clock does and also by one that was killed and started again."""
    off, gone, old = await asyncio.gather(
        *(made(folder, "create", name, "--pools", "support") for name in ("off", "gone", "old"))
    )
    async with serving_all(("one", "two"), folder / "routes.toml") as gateways:
        for gateway in gateways:
            async with openai.AsyncOpenAI(
                base_url=f"{gateway.origin}/v1", api_key=off, max_retries=0
            ) as client:
                answer = await client.chat.completions.create(
                    model="support", messages=[{"role": "user", "content": "hello"}]
                )
                assert answer.choices[0].message.content == "alpha says: all is well."
            assert [await opens(gateway, secret) for secret in (gone, old)] == ["200", "200"]

        _, _, new = await asyncio.gather(
            standby(folder, "keys", "disable", "off"),
            standby(folder, "keys", "delete", "gone"),
            made(folder, "rotate", "old", "--overlap", "0s"),
        )
        revoked = asyncio.get_running_loop().time()

        expected = {off: "api_key_disabled", gone: "invalid_api_key", old: "api_key_revoked"}
        pending = {(gateway, secret) for gateway in gateways for secret in expected}
        while pending:
            for gateway, secret in tuple(pending):
                asked = asyncio.get_running_loop().time()
                outcome = await opens(gateway, secret)
                assert outcome in {"200", expected[secret]}
                if outcome != "200":
                    pending.discard((gateway, secret))
                assert outcome != "200" or asked < revoked + TTL
            gateways[0].move_clock(-HOUR)  # a clock that goes back gives a key no more time
            await asyncio.sleep(0.1)
        for ahead in (-HOUR, HOUR, 0.0):
            for gateway in gateways:
                gateway.move_clock(ahead)
                assert [await opens(gateway, secret) for secret in expected] == [*expected.values()]
        assert [await opens(gateway, new) for gateway in gateways] == ["200", "200"]
        await gateways[0].kill()
        await gateways[0].start()
        assert [await opens(gateways[0], secret) for secret in expected] == [*expected.values()]
