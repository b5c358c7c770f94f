"""Reloading `standby serve`, in a process of its own, while the real SDK asks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import openai
import pytest
from standby.proxy.rehearsal.simulator import Content, Slow

from tests.acceptance.reloading import Churn, served

__all__ = ["churn"]

pytestmark = pytest.mark.anyio

GROWTH: Final = 16.0
"""MiB that memory may differ by after a short run; each snapshot that stayed would be a part of one."""


@pytest.fixture
async def churn(tmp_path: Path) -> AsyncIterator[Churn]:
    """A served configuration that prefers main, at alpha."""
    async with served(tmp_path) as set_up:
        yield set_up


async def say(churn: Churn) -> str:
    """One question through the real SDK; the answer, streamed."""
    address = await churn.program.address()
    async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="support", messages=[{"role": "user", "content": "hello"}], stream=True
        )
        return "".join([choice.delta.content or "" async for chunk in stream for choice in chunk.choices])


async def test_a_signal_and_a_change_of_the_file(churn: Churn) -> None:
    """Both take effect for the next request, and the log says what changed."""
    assert await say(churn) == "alpha says: all is well."
    await churn.reload(1)
    assert await say(churn) == "beta says: all is well."
    churn.write("main", version=3)  # and nobody is told
    await churn.program.says(r"reloaded: \d+ changes\n  pool support: spare is no longer preferred")
    assert await say(churn) == "alpha says: all is well."


async def test_a_bad_file_changes_nothing(churn: Churn) -> None:
    """It is told with its line; requests are answered as before (F42)."""
    await churn.program.address()
    churn.file.write_text(churn.file.read_text().replace("prefer =", "prefers ="))
    churn.program.hang_up()
    await churn.program.says(r'routes\.toml:\d+: pools\.support\.prefers: unknown key; did you mean "prefer"')
    assert await say(churn) == "alpha says: all is well."
    await churn.reload(1)
    assert await say(churn) == "beta says: all is well."
    assert "Traceback" not in churn.program.output


async def test_a_stream_goes_on_when_its_target_is_removed(churn: Churn) -> None:
    """It comes to its end, and the next request goes elsewhere (F43)."""
    churn.alpha.fault = Slow(2.0, after=Content(2))
    streaming = asyncio.create_task(say(churn))
    await churn.alpha.wait_for(lambda: len(churn.alpha.requests) == 1, within=20)
    await churn.reload(1)
    assert await say(churn) == "beta says: all is well."
    assert not streaming.done()
    assert await streaming == "alpha says: all is well."
    assert len(churn.alpha.requests) == 1


async def test_reloads_under_load(churn: Churn) -> None:
    """No request fails, and memory is what it was (F44); the module that this uses runs it for longer."""
    figures = await churn.run(150)
    assert figures.failures == []
    assert figures.reloads == 150
    assert figures.after - figures.before < GROWTH


async def test_every_worker_reloads(tmp_path: Path) -> None:
    """SIGHUP at the first process reaches all of them, and none is replaced."""
    async with served(tmp_path, "--workers", "2") as churn:
        await churn.program.says(r"(?:startup complete[\s\S]*){2}")
        churn.write("spare", version=2)
        churn.program.hang_up()
        await churn.program.says(r"(?:routes\.toml reloaded[\s\S]*){2}")
        for _ in range(8):
            assert await say(churn) == "beta says: all is well."
        assert "died" not in churn.program.output
        assert churn.program.output.count("startup complete") == 2
