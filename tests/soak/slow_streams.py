"""Many callers of slow streams, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from . import words
from .caller import Caller
from .gateway import Served
from .provider import Line

__all__ = ["SlowStreams", "crowd", "vanish"]

_HEAD: Final = words.STREAM + words.chunked(words.event(role=True))
_WORD: Final = words.chunked(words.event(" on"))
_END: Final = words.chunked(words.FINISH) + words.LAST


class SlowStreams:
    """A provider's answers: a word every `pace` seconds, for as long as they are `held`."""

    def __init__(self, pace: float) -> None:
        self._pace = pace
        self.held = True

    def __call__(self, line: Line, body: bytes) -> None:
        """Answer one request."""
        line.write(_HEAD + _WORD)

        def on() -> None:
            if self.held:
                line.write(_WORD)
                line.later(self._pace, on)
            else:
                line.end(_END)

        line.later(self._pace, on)


async def crowd(size: int, gateway: Served) -> Sequence[Caller]:
    """So many callers, each with a stream of its own that has begun to arrive."""
    return await asyncio.gather(*(_caller(number, gateway) for number in range(size)))


async def _caller(number: int, gateway: Served) -> Caller:
    caller = await gateway.caller()
    begun = asyncio.Event()
    caller.ask(words.request(words.body(number, streamed=True)), begun.set)
    await begun.wait()
    return caller


def vanish(callers: Sequence[Caller]) -> None:
    """All of them hang up in the same instant, every other one with RST."""
    for i, caller in enumerate(callers):
        caller.hang_up(reset=i % 2 == 0)
