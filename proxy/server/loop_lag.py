"""Measures for how long the event loop was busy with one thing, which delays everything else."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final, Self

__all__ = ["EVERY", "LoopLag"]

EVERY: Final = 0.5
"""Seconds between two measurements of a gateway that serves."""
_KEPT: Final = 15.0
"""Seconds for which a measurement is kept."""


class LoopLag:
    """Measures every so many seconds while the context is entered, in a task of the running event loop."""

    def __init__(self, every: float = EVERY) -> None:
        self._every = every
        self._lags: deque[float] = deque([0.0], round(_KEPT / every))
        self._task: asyncio.Task[None] | None = None

    @property
    def longest(self) -> float:
        """The longest delay of the last 15 seconds, in seconds."""
        return max(self._lags)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._every
            await asyncio.sleep(self._every)
            self._lags.append(max(0.0, loop.time() - due))
