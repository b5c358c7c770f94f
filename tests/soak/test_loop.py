"""The event loop stays alive, whoever leaves, and the process ends when it is told to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from . import words
from .gateway import routes, served
from .process import Settings
from .provider import Line, Provider
from .slow_streams import SlowStreams, crowd, vanish

__all__: list[str] = []

pytestmark = pytest.mark.anyio

ROUNDS: Final = 10
CROWD: Final = 100
PACE: Final = 0.2
"""Seconds between the words of a stream. So slow that a gateway which had to wait for a CPU has little to
catch up on: the work of relaying is not what is measured."""
LONGEST_STALL: Final = 0.05
"""Seconds of CPU time, see `LoopMonitor`: on a busy machine a loop is late for reasons that are not its own,
and a limit on lateness would fail there at random. The worst of ten rounds is about 0.015, BEAT included."""


async def test_a_hundred_callers_who_vanish_at_once_hold_up_nobody(tmp_path: Path) -> None:
    """While 100 callers vanish in the middle of their streams the loop is not held for 50 ms, and once they
    are gone SIGTERM has nobody to wait for."""
    settings = Settings(graceful_seconds=20)
    async with (
        Provider(SlowStreams(PACE)).serving() as provider,
        served(settings, routes(provider.url, connections=CROWD), tmp_path) as gateway,
    ):
        stalls: list[float] = []
        lateness: list[float] = []
        for _ in range(ROUNDS):
            callers = await crowd(CROWD, gateway)
            await gateway.calm()
            vanish(callers)
            after = await gateway.until(lambda now: now.idle)
            stalls.append(after.stall)
            lateness.append(after.lateness)
            assert not provider.lines
            assert after.faults == {}
        seconds = await gateway.terminate()
        print(
            f"\n{CROWD} callers vanished {ROUNDS} times: the loop was held for {1000 * max(stalls):.1f} ms at"
            f" most and late by {1000 * max(lateness):.1f}; SIGTERM took {seconds:.2f} s"
        )

        assert max(stalls) < LONGEST_STALL
        assert seconds < settings.graceful_seconds / 2


async def test_streams_that_go_on_do_not_outlive_the_drain(tmp_path: Path) -> None:
    """On SIGTERM the process ends within its drain limit, though streams go on and a caller reads nothing."""
    settings = Settings(graceful_seconds=1)
    slow = SlowStreams(PACE)

    def answer(line: Line, body: bytes) -> None:
        if words.number_in(body) == 0:
            line.write(words.STREAM)
            line.pour(words.chunked(words.event("x" * 60_000)), 200 * 2**20)
        else:
            slow(line, body)

    async with (
        Provider(answer).serving() as provider,
        served(settings, routes(provider.url, connections=CROWD), tmp_path) as gateway,
    ):
        callers = await crowd(CROWD, gateway)
        callers[0].read(on=False)
        await gateway.until(lambda now: now.clogged == 1)
        seconds = await gateway.terminate()
        print(f"\nSIGTERM with {CROWD} streams under way took {seconds:.2f} s")

        assert settings.graceful_seconds <= seconds < settings.graceful_seconds + 5
