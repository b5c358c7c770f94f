"""A pulse inside an event loop, to tell how long anything kept it from beating."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["BEAT", "LoopMonitor"]

BEAT: Final = 0.005
"""Seconds between two beats."""


class LoopMonitor:
    """Beats while it is asked to. `stall` and `lateness` are the worst since the calm, in seconds.

    Two clocks, since a late beat has two causes. `lateness` is by the wall clock, what a caller suffers; it
    grows whenever another process has the CPU. `stall` is the CPU time that the loop's thread itself used
    from one beat to the next. Whatever blocks a loop by computing shows in it in full (with up to one BEAT of
    honest work besides, as a stall may begin anywhere between two beats), and waiting for the CPU does not.
    So `stall` is the one to set a limit to.
    """

    def __init__(self) -> None:
        self._due = 0.0
        self._used = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.stall = 0.0
        self.lateness = 0.0

    @contextmanager
    def beating(self) -> Generator[None]:
        """Beat in the running loop."""
        loop = asyncio.get_running_loop()
        self._due = loop.time()
        self._used = time.thread_time()
        self._beat(loop)
        try:
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def calm(self) -> None:
        """Forget the worst."""
        self._used = time.thread_time()
        self.stall = self.lateness = 0.0

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now, used = loop.time(), time.thread_time()
        self.stall = max(self.stall, used - self._used)
        self.lateness = max(self.lateness, now - self._due)
        self._used = used
        self._due = now + BEAT
        self._timer = loop.call_at(self._due, self._beat, loop)
