"""A key that was revoked opens nothing any more after five seconds, in any process."""

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

from tests.programs import STANDBY, Program, running

__all__ = ["folder"]

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

ROUTES: Final = """
stack = ["auth", "failover"]
store = "sqlite:///keys.db"
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
        (tmp_path / "routes.toml").write_text(ROUTES.format(url=alpha.url))
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


async def opens(program: Program, secret: str) -> str:
    """What becomes of one request with this key: "200", or the code of the refusal."""
    async with httpx2.AsyncClient(base_url=await program.address(), trust_env=False) as client:
        answer = await client.get("/v1/models", headers={"x-api-key": secret})
        return "200" if answer.status_code == 200 else str(answer.json()["error"]["code"])


async def test_every_process_hears_of_it(folder: Path) -> None:
    """Of a disabled, a deleted and a replaced key; what was asked TTL after the command is never admitted."""
    command = (STANDBY, "serve", "--port", "0")
    off, gone, old = [
        await made(folder, "create", name, "--pools", "support") for name in ("off", "gone", "old")
    ]
    async with running(*command, folder=folder) as one, running(*command, folder=folder) as other:
        for program in (one, other):
            address = await program.address()
            async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key=off, max_retries=0) as client:
                answer = await client.chat.completions.create(
                    model="support", messages=[{"role": "user", "content": "hello"}]
                )
                assert answer.choices[0].message.content == "alpha says: all is well."
            assert [await opens(program, secret) for secret in (gone, old)] == ["200", "200"]

        await standby(folder, "keys", "disable", "off")
        await standby(folder, "keys", "delete", "gone")
        new = await made(folder, "rotate", "old", "--overlap", "0s")
        revoked = asyncio.get_running_loop().time()

        expected = {off: "api_key_revoked", gone: "invalid_api_key", old: "api_key_revoked"}
        pending = {(program, secret) for program in (one, other) for secret in expected}
        while pending:
            for program, secret in tuple(pending):
                asked = asyncio.get_running_loop().time()
                outcome = await opens(program, secret)
                assert outcome in {"200", expected[secret]}
                if outcome != "200":
                    pending.discard((program, secret))
                assert outcome != "200" or asked < revoked + TTL
            await asyncio.sleep(0.1)
        assert [await opens(program, new) for program in (one, other)] == ["200", "200"]
