"""Memory is bounded by what is under way, and given back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from . import words
from .gateway import Served, routes, served
from .process import Settings
from .provider import Line, Provider
from .resources import Resources
from .slow_streams import SlowStreams, crowd, vanish

__all__: list[str] = []

pytestmark = pytest.mark.anyio

MIB: Final = 2**20
STREAMS: Final = 500

LOST_OBJECTS: Final = 50
"""Objects that may be there after a crowd and were not before it: one for every ten streams, so that no
stream leaves as much as one. Counted are those the garbage collector follows; a stream holds some 200."""
LOST_BYTES: Final = 8 * MIB
"""Resident bytes that a second crowd may add to what the first left. The first leaves about 15 MiB, none of
it in use: arenas of the allocator, each kept for some object that has been there longer. The second finds
room in them and adds 1 to 3 MiB; streams that were not given back would add 40 KiB each, 20 MiB in all."""
HELD: Final = 48 * MIB
"""Bytes by which one answer may raise the memory of the process, however much of it there is. What is held
are an event (8 MiB at most) with a copy or two, and on either side what a socket gives at a time."""
POURED: Final = 200 * MIB

PROMPTS: Final = 20
PROMPT: Final = 2 * MIB
"""Bytes of each: half of what the gateway takes."""

_PREAMBLE: Final = words.chunked(words.event(role=True))
_EVENT: Final = words.chunked(words.event("x" * 60_000))
_REST: Final = words.chunked(words.FINISH) + words.LAST


class Pouring:
    """A provider's answers: one word to request 0; to others `begin`, and `piece` as fast as it is taken."""

    def __init__(self, begin: bytes, piece: bytes) -> None:
        self._begin = begin
        self._piece = piece
        self.line: Line | None = None

    def __call__(self, line: Line, body: bytes) -> None:
        """Answer one request."""
        if words.number_in(body) == 0:
            line.end(words.STREAM + words.chunked(words.event("so")) + _REST)
            return
        self.line = line
        line.write(words.STREAM + self._begin)
        line.pour(self._piece, POURED, lambda: line.end(_REST))


def _request(number: int) -> bytes:
    return words.request(words.body(number, streamed=True))


async def _warmed(gateway: Served) -> Resources:
    """The figures after a first request, which alone loads what every other one uses too."""
    caller = await gateway.caller()
    await caller.ask(_request(0))
    caller.hang_up()
    await gateway.collected()
    return await gateway.calm()


async def test_five_hundred_streams_give_back_what_they_took(tmp_path: Path) -> None:
    """After 500 slow streams, half of them abandoned, no object of theirs is left, and a second crowd finds
    room in the memory of the first."""
    streams = SlowStreams(0.25)
    async with (
        Provider(streams).serving() as provider,
        served(Settings(), routes(provider.url, connections=STREAMS), tmp_path) as gateway,
    ):

        async def nothing_under_way() -> Resources:
            """The figures with one connection to the provider, and nobody who asks."""
            streams.held = False
            for line in tuple(provider.lines):
                line.hang_up()
            (caller,) = await crowd(1, gateway)  # at this request the gateway looks after the others
            await caller.over
            caller.hang_up()
            await gateway.until(lambda now: now.idle and now.callers == 1)
            return await gateway.collected()

        found = [await nothing_under_way()]
        for _ in range(2):
            streams.held = True
            callers = await crowd(STREAMS, gateway)
            during = await gateway.collected()
            vanish(callers[::2])
            streams.held = False
            for caller in callers[1::2]:
                await caller.over
                assert caller.complete
            vanish(callers[1::2])
            found.append(await nothing_under_way())
            print(
                f"\n{STREAMS} streams: {during.resident / MIB:.1f} MiB, {during.objects} objects;"
                f" afterwards {found[-1].resident / MIB:.1f} MiB, {found[-1].objects} objects"
            )
        fresh, first, second = found

        assert first.objects is not None
        assert second.objects is not None
        assert second.objects - first.objects <= LOST_OBJECTS
        assert second.resident - first.resident <= LOST_BYTES
        assert fresh.tasks == first.tasks == second.tasks
        assert fresh.descriptors == first.descriptors == second.descriptors


@pytest.mark.parametrize(
    ("begin", "status"), [(b"", 502), (_PREAMBLE + _EVENT, 200)], ids=["at once", "after content"]
)
async def test_an_event_without_end_is_cut_off(begin: bytes, status: int, tmp_path: Path) -> None:
    """An event that never ends costs a few MiB, is kept from the caller, and ends the answer."""
    pouring = Pouring(begin + words.chunked(b"data: "), words.chunked(b"x" * 16_384))
    async with (
        Provider(pouring).serving() as provider,
        served(Settings(), routes(provider.url), tmp_path) as gateway,
    ):
        before = await _warmed(gateway)
        caller = await gateway.caller()
        await caller.ask(_request(1))
        after = await gateway.until(lambda now: now.idle)
        print(f"\nan event without end: {(after.peak - before.resident) / MIB:.1f} MiB at most")

        assert caller.status == status
        assert caller.complete
        assert b"error" in caller.body[-400:]
        assert words.DONE not in caller.body
        assert len(caller.body) < 100_000
        assert pouring.line is not None
        assert pouring.line.gone
        assert after.peak - before.resident < HELD


async def test_a_caller_who_stops_reading_holds_the_provider_back(tmp_path: Path) -> None:
    """Of 200 MiB for a caller who reads nothing the gateway holds a few, the provider has to wait with the
    rest, and is hung up on when the caller is gone."""
    pouring = Pouring(b"", _EVENT)
    async with (
        Provider(pouring).serving() as provider,
        served(Settings(), routes(provider.url), tmp_path) as gateway,
    ):
        before = await _warmed(gateway)
        caller = await gateway.caller(buffer=4096)
        caller.read(on=False)
        caller.ask(_request(1))
        during = await gateway.until(
            lambda now: now.clogged == 1 and pouring.line is not None and pouring.line.paused
        )
        assert pouring.line is not None
        print(
            f"\nunread: {(during.peak - before.resident) / MIB:.1f} MiB more in memory,"
            f" {pouring.line.sent / MIB:.1f} MiB sent by the provider, most of it in the system's buffers"
        )
        assert during.peak - before.resident < HELD
        assert pouring.line.sent < POURED / 2

        caller.hang_up()
        after = await gateway.until(lambda now: now.idle)
        assert pouring.line.gone
        assert after.tasks == before.tasks
        assert after.faults == {}


async def test_a_prompt_is_forgotten_with_its_answer(tmp_path: Path) -> None:
    """Nothing of a request stays in memory when it is answered, though both connections it used stay open."""
    answer = words.STREAM + words.chunked(words.event("so")) + _REST
    lines: list[Line] = []

    def answer_together(line: Line, body: bytes) -> None:
        lines.append(line)
        if words.number_in(body) == 0 or len(lines) == PROMPTS:
            while lines:
                lines.pop().end(answer)

    async with (
        Provider(answer_together).serving() as provider,
        served(Settings(), routes(provider.url, connections=PROMPTS), tmp_path) as gateway,
    ):
        before = await _warmed(gateway)
        callers = [await gateway.caller() for _ in range(PROMPTS)]
        for number, caller in enumerate(callers, 1):
            caller.ask(words.request(words.body(number, streamed=True, size=PROMPT)))
        for caller in callers:
            await caller.over
            assert caller.complete
        await gateway.until(lambda now: now.idle)
        after = await gateway.collected()
        print(f"\n{PROMPTS} prompts left {(after.resident - before.resident) / MIB:.1f} MiB")

        assert after.callers == PROMPTS + 1
        assert after.pooled == PROMPTS
        assert after.resident - before.resident < PROMPTS * PROMPT / 4


async def test_a_long_answer_passes_through_little_memory(tmp_path: Path) -> None:
    """200 MiB for a caller who reads them all pass through a few."""
    pouring = Pouring(b"", _EVENT)
    async with (
        Provider(pouring).serving() as provider,
        served(Settings(), routes(provider.url), tmp_path) as gateway,
    ):
        before = await _warmed(gateway)
        caller = await gateway.caller()
        await caller.ask(_request(1), caller.body.clear)
        after = await gateway.resources()
        print(f"\n200 MiB passed through {(after.peak - before.resident) / MIB:.1f} MiB")

        assert caller.complete
        assert after.peak - before.resident < HELD
