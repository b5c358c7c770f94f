"""Callers who hang up: thousands of requests, most of them dropped at a moment drawn by lot."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from .caller import Caller
from .gateway import Served
from .provider import Line
from .soak_request import MOMENTS, Moment, Outcome, SoakRequest
from .words import number_in

__all__ = ["CALLERS", "Churn", "Tally"]

CALLERS: Final = 32
"""Callers at a time; connections to the provider are fewer, so that requests queue."""

_DROPPED: Final = 0.7
_QUEUED: Final = 0.02
"""Seconds until the last of those hang up that shall be dropped while they queue."""
_SOON: Final = 0.004
"""The same for every other moment, from that moment on."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How it went. `dropped` says where the requests were when their callers hung up."""

    outcomes: Counter[Outcome]
    dropped: Counter[Moment]
    connected: int
    seconds: float

    def __str__(self) -> str:
        total = self.outcomes.total()
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        dropped = ", ".join(f"{moment} {self.dropped[moment]}" for moment in MOMENTS)
        return (
            f"{total} requests over {self.connected} connections in {self.seconds:.1f} s"
            f" ({total / self.seconds:.0f}/s): {outcomes}; dropped by moment: {dropped}"
        )


class Churn:
    """So many requests, the same ones for the same seed, and the provider's answers to them.

    `prefix` is where the gateway is mounted.
    """

    def __init__(self, requests: int, *, seed: int, prefix: str = "") -> None:
        self._random = Random(seed)
        self._prefix = prefix
        self._leaving = self._lots(requests)
        self._sent_requests: list[SoakRequest] = []
        self._connected = 0

    def _lots(self, requests: int) -> Sequence[Moment | None]:
        dropped = round(requests * _DROPPED)
        lots: list[Moment | None] = [MOMENTS[i % len(MOMENTS)] for i in range(dropped)]
        lots += [None] * (requests - dropped)
        self._random.shuffle(lots)
        return lots

    def answer(self, line: Line, body: bytes) -> None:
        """The provider's part."""
        self._sent_requests[number_in(body)].answer(line)

    async def run(self, gateway: Served) -> Tally:
        """All of it, from first to last."""
        self._connected = 0
        began = time.perf_counter()
        sent_requests = map(self._drawn, self._leaving)
        first = len(self._sent_requests)
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(self._call(sent_requests, gateway))
        return self._tally(first, time.perf_counter() - began)

    async def together(self, requests: int, gateway: Served) -> Tally:
        """So many requests at once, none of which is dropped."""
        self._connected = 0
        began = time.perf_counter()
        first = len(self._sent_requests)
        async with asyncio.TaskGroup() as callers:
            for i in range(requests):
                callers.create_task(self._call(iter([self._made(streamed=i % 2 == 0)]), gateway))
        return self._tally(first, time.perf_counter() - began)

    async def _call(self, sent_requests: Iterator[SoakRequest], gateway: Served) -> None:
        """Run errands one after the other, over one connection for as long as it lasts."""
        caller: Caller | None = None
        for sent in sent_requests:
            if caller is None:
                caller = await gateway.caller()
                self._connected += 1
            await sent.run(caller, self._prefix)
            if sent.outcome != "whole":
                caller.hang_up()
                caller = None
        if caller is not None:
            caller.hang_up()

    def _drawn(self, leaves: Moment | None) -> SoakRequest:
        random = self._random
        return self._made(
            streamed=random.random() < 0.6,
            leaves=leaves,
            after=random.uniform(0, _QUEUED if leaves == "queued" else _SOON),
            reset=random.random() < 0.5,
        )

    def _made(
        self, *, streamed: bool, leaves: Moment | None = None, after: float = 0.0, reset: bool = False
    ) -> SoakRequest:
        sent = SoakRequest(len(self._sent_requests), streamed, leaves, after, reset)
        self._sent_requests.append(sent)
        return sent

    def _tally(self, first: int, seconds: float) -> Tally:
        sent_requests = self._sent_requests[first:]
        outcomes = Counter[Outcome](sent.outcome for sent in sent_requests if sent.outcome is not None)
        dropped = Counter[Moment](sent.where for sent in sent_requests if sent.outcome == "dropped")
        return Tally(outcomes, dropped, self._connected, seconds)
