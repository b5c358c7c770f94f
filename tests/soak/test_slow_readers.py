"""A caller who reads nothing is let go, and no provider is blamed for it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import pytest

from . import words
from .gateway import Served, routes, served
from .process import Settings
from .provider import Line, Provider

__all__: list[str] = []

pytestmark = pytest.mark.anyio

BUFFER: Final = 4096
"""Bytes that the caller's system takes in unread. The gateway's takes in some MiB more."""
MORE_THAN_FITS: Final = 200 * 2**20


def _subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


async def _ask_and_read_nothing(gateway: Served, *, streamed: bool) -> None:
    caller = await gateway.caller(buffer=BUFFER)
    caller.read(on=False)
    caller.ask(words.request(words.body(0, streamed=streamed)))


async def test_a_caller_who_reads_nothing_is_let_go(tmp_path: Path) -> None:
    """The clock that runs out while a caller does not read ends its stream, its connection and the
    provider's, and no breaker counts it."""
    # Long enough for the connection to fill up before, also on a busy machine: a tenth of a second does.
    await asyncio.gather(
        _let_go("2s", "240s", _subfolder(tmp_path, "stall")),
        _let_go("20s", "3s", _subfolder(tmp_path, "total")),
    )


async def _let_go(stall: str, total: str, folder: Path) -> None:
    piece = words.chunked(words.event("x" * 60_000))

    def answer(line: Line, body: bytes) -> None:
        line.write(words.STREAM)
        line.pour(piece, MORE_THAN_FITS)

    async with (
        Provider(answer).serving() as provider,
        served(Settings(), routes(provider.url, stall=stall, total=total), folder) as gateway,
    ):
        before = await gateway.resources()
        await _ask_and_read_nothing(gateway, streamed=True)
        await gateway.until(lambda now: now.clogged == 1)
        after = await gateway.until(lambda now: now.idle and now.callers == 1)

        assert not provider.lines
        assert after.tasks == before.tasks
        assert after.descriptors == before.descriptors
        assert after.faults == {}
        assert after.marked == 0


async def test_an_answer_that_has_ended_does_not_wait_for_its_reader(tmp_path: Path) -> None:
    """A caller who does not read the end of its answer, whole or cut off by the provider, is let go too."""
    await asyncio.gather(
        _ended(_subfolder(tmp_path, "whole"), cut=False), _ended(_subfolder(tmp_path, "cut"), cut=True)
    )


async def _ended(folder: Path, *, cut: bool) -> None:
    lines: list[Line] = []
    head = words.STREAM if cut else words.STREAM.replace(b"text/event-stream", b"application/json")
    piece = words.chunked(words.event("x" * 50_000) if cut else b" " * 50_000)

    def answer(line: Line, body: bytes) -> None:
        lines.append(line)
        line.write(head + piece)

    async with (
        Provider(answer).serving() as provider,
        served(Settings(), routes(provider.url, stall="2s"), folder) as gateway,
    ):
        before = await gateway.resources()
        await _ask_and_read_nothing(gateway, streamed=cut)
        await gateway.until(lambda now: bool(lines))
        (line,) = lines
        # Piece by piece, so that the gateway has no more to pass on once its caller's connection is full.
        while not (await gateway.resources()).clogged:
            line.write(piece)
        if cut:
            line.hang_up()
        else:
            line.end(words.LAST)
        after = await gateway.until(lambda now: now.idle and now.callers == 1)

        assert after.tasks == before.tasks
        assert set(after.faults) <= ({"stream_truncated"} if cut else set())
