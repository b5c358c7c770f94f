"""One request of a caller who may hang up, told from both its ends."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, Literal

from . import words
from .caller import Caller
from .provider import Line

__all__ = ["MOMENTS", "Moment", "Outcome", "SoakRequest"]

Moment = Literal["queued", "waiting", "headers", "content", "end"]
"""Where a request is: not yet at the provider; there, unanswered; its answer begun, but nothing of it at the
caller; under way to the caller; ended by the provider."""
Outcome = Literal["dropped", "whole", "no_room", "broken"]
"""How it went for the caller. `no_room` is the gateway's own 503, when no connection was free in time."""

MOMENTS: Final[tuple[Moment, ...]] = ("queued", "waiting", "headers", "content", "end")

_LARGE: Final = words.document("x" * 300_000)
"""Much more than the gateway holds back of an unstreamed answer, so that its caller sees the middle of it."""
_GAP: Final = 0.001
"""Seconds between the events of a stream."""


@dataclass(slots=True, eq=False)
class SoakRequest:
    """A request to be asked by `run` and answered by `answer`, which know of each other.

    `leaves` is when its caller hangs up, `after` so many seconds, with RST or FIN; without it the caller
    stays, and is answered after as many seconds. What is dropped before its end is never finished by the
    provider: only the gateway can free its connection.
    """

    number: int
    streamed: bool = True
    leaves: Moment | None = None
    after: float = 0.0
    reset: bool = False
    where: Moment = field(default="queued", init=False)
    outcome: Outcome | None = field(default=None, init=False)
    _left: int = field(default=3, init=False)  # events that are still to be sent
    _caller: Caller = field(init=False)
    _line: Line = field(init=False)

    # -- the caller's end -------------------------------------------------------------------

    async def run(self, caller: Caller, prefix: str = "") -> None:
        """Ask, and take the whole answer or hang up."""
        self._caller = caller
        over = caller.ask(words.request(words.body(self.number, streamed=self.streamed), prefix), self._saw)
        if self.leaves == "queued":
            self._leave()
        await over
        if self.leaves == "end" and self.where == "end":
            await caller.lost.wait()
        if self.outcome is None:
            self.outcome = self._judge(caller)

    def _judge(self, caller: Caller) -> Outcome:
        if caller.complete and caller.status == 503 and b"local_overload" in caller.body:
            return "no_room"
        whole = caller.complete and caller.status == 200 and bytes(caller.body) == self._whole
        return "whole" if whole else "broken"

    def _saw(self) -> None:
        if self.where == "headers":
            self.where = "content"
            if self.leaves == "content":
                self._leave()

    def _leave(self) -> None:
        asyncio.get_running_loop().call_later(self.after, self._hang_up)

    def _hang_up(self) -> None:
        if self.outcome is None:
            self.outcome = "dropped"
            self._caller.hang_up(reset=self.reset)

    # -- the provider's end -----------------------------------------------------------------

    def answer(self, line: Line) -> None:
        """Answer as far as the caller is there to see."""
        self._line = line
        self.where = "waiting"
        if self.leaves == "waiting":
            self._leave()
        elif self.leaves == "headers":
            self._begin()
            self._leave()
        elif self.leaves != "queued":
            line.later(self.after, self._begin)

    def _begin(self) -> None:
        line = self._line
        self.where = "headers"
        if self.streamed:
            line.write(words.STREAM + words.chunked(words.event(role=True)))
            if self.leaves != "headers":
                self._next()
        elif self.leaves == "headers":
            line.write(words.UNARY % len(self._whole) + self._whole[:-1])
        elif self.leaves == "content":
            line.write(words.UNARY % len(_LARGE) + _LARGE[:-1])
        else:
            self._end(words.UNARY % len(self._whole) + self._whole)

    def _next(self) -> None:
        if self._left or self.leaves == "content":
            self._left -= 1
            self._line.write(words.chunked(words.event(self._text)))
            self._line.later(_GAP, self._next)
        else:
            self._end(words.chunked(words.FINISH) + words.LAST)

    def _end(self, data: bytes) -> None:
        self.where = "end"
        self._line.end(data)
        if self.leaves == "end":
            self._leave()

    @property
    def _text(self) -> str:
        # With the number, so that the answer to another request cannot pass for the one to this.
        return f"so much for {self.number}"

    @property
    def _whole(self) -> bytes:
        """The body of the whole answer."""
        if not self.streamed:
            return words.document(self._text)
        return words.event(role=True) + 3 * words.event(self._text) + words.FINISH
