"""Faults of the connection: stalls, cuts, slow bytes, endless answers and bytes after the end."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from .answer import Answer, Last, Move, Place, event
from .bill import GeneratedText
from .connection import Received
from .faults import Fault

__all__ = ["Cut", "Drip", "Endless", "Garbage", "Pings", "Slow", "Stall", "stale_keep_alive"]


@dataclass(frozen=True)
class Stall(Fault):
    """Stops sending at `after` and keeps the connection open."""

    after: Place = None

    def play(self, answer: Answer) -> Iterator[Move]:
        if self.after is not None:
            yield answer.head()
            yield from answer.body(self.after)[0]
        yield math.inf


@dataclass(frozen=True)
class Cut(Fault):
    """Drops the connection at `after`, by a reset or by an orderly close."""

    after: Place = None
    reset: bool = True

    def play(self, answer: Answer) -> Iterator[Move]:
        if self.after is not None:
            yield answer.head()
            yield from answer.body(self.after)[0]
        yield Last.RESET if self.reset else Last.CLOSE


@dataclass(frozen=True)
class Slow(Fault):
    """Waits `seconds` at `after`, then continues normally."""

    seconds: float
    after: Place = 0

    def play(self, answer: Answer) -> Iterator[Move]:
        before, after = answer.body(self.after)
        if self.after is None:
            yield self.seconds
        yield answer.head()
        yield from before
        if self.after is not None:
            yield self.seconds
        yield from after


@dataclass(frozen=True)
class Drip(Fault):
    """Sends one byte every `seconds`: an endless header (`after` None), or the body from `after` on."""

    seconds: float
    after: Place = None

    def play(self, answer: Answer) -> Iterator[Move]:
        if self.after is None:
            yield answer.head()[:-2]
            yield from self.dripped(b"x-drip: ")
            while True:
                yield from self.dripped(answer.canary.encode())
        yield answer.head()
        before, after = answer.body(self.after)
        yield from before
        for move in after:
            if isinstance(move, bytes):
                yield from self.dripped(move)
            elif isinstance(move, Last):
                yield move

    def dripped(self, data: bytes) -> Iterator[Move]:
        first, *rest = (bytes((byte,)) for byte in data)
        for byte in (GeneratedText.like(data, first), *rest):
            yield byte
            yield self.seconds


@dataclass(frozen=True)
class Pings(Fault):
    """From `after` on, sends only comments, or only `ping` events, every `seconds` for ever."""

    seconds: float
    kind: Literal["comment", "event"] = "comment"
    after: Place = 0

    def play(self, answer: Answer) -> Iterator[Move]:
        yield answer.head()
        yield from answer.body(self.after)[0]
        ping = f": ping {answer.canary}\n\n".encode()
        if self.kind == "event":
            ping = event({"type": "ping", "canary": answer.canary}, named=True)
        while True:
            yield b"%x\r\n%b\r\n" % (len(ping), ping) if answer.framing == "chunked" else ping
            yield self.seconds


@dataclass(frozen=True)
class Endless(Fault):
    """Repeats its content for ever, as fast as it is read."""

    def play(self, answer: Answer) -> Iterator[Move]:
        yield answer.head()
        yield from answer.body(answer.preamble)[0]
        content = replace(answer, events=answer.events[answer.preamble : answer.ending])
        while True:
            yield from content.body(len(content.events))[0]


@dataclass(frozen=True)
class Garbage(Fault):
    """Sends extra bytes after a complete answer. By default they look like the answer to another request."""

    data: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\ngarbage"

    def play(self, answer: Answer) -> Iterator[Move]:
        *moves, last = (move for move in super().play(answer) if isinstance(move, bytes))
        yield from moves
        # In one write, so that a client that reads the end has the extra bytes in its buffer.
        yield GeneratedText.like(last, last + self.data)


def stale_keep_alive(received: Received) -> Fault | None:
    """For use as `Simulator.fault`: a second request on a connection gets a close instead of an answer."""
    return Cut(reset=False) if received.reused else None
