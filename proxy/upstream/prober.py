"""Active probes: a `GET` to each target whose breaker is open, to see its recovery without a request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextvars import Context
from typing import Final

import httpx2

from ..config import Target
from ..health.target_health import Health
from .transports import Transports

__all__ = ["TICK", "TIMEOUT", "Prober"]

TICK: Final = 1.0
"""Seconds between two looks for open breakers. Healthy targets are never probed."""
TIMEOUT: Final = 5.0
"""Seconds until a probe counts as failed."""

_log: Final = logging.getLogger("standby.health")


class Prober:
    """Probes the targets that have a `probe`, in one background task of the running event loop.

    A success makes an open breaker half-open: the next request is admitted and decides. It does not end a
    cooldown, since a provider that asked to be left alone means it. A failed probe changes nothing.
    """

    def __init__(self, targets: Iterable[Target], transports: Transports, health: Health) -> None:
        self._targets = tuple(targets)
        self._transports = transports
        self._health = health
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._task is None:
            # An empty context: the task must not keep the request that started it.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())

    async def aclose(self) -> None:
        """Stop probing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        now = asyncio.get_running_loop().time
        due: dict[str, float] = {}
        while True:
            await asyncio.sleep(TICK)
            for target in self._targets:
                if target.probe is None or not self._health.is_open(target.name):
                    due.pop(target.name, None)
                elif target.name not in due:
                    due[target.name] = now() + target.probe.every  # the failure itself was the first look
                elif now() >= due[target.name]:
                    due[target.name] = now() + target.probe.every
                    if await self._answers(target, target.probe.path):
                        _log.info("%s answers its probe; the next request may try it", target.name)
                        self._health.half_open(target.name)

    async def _answers(self, target: Target, path: str) -> bool:
        try:
            async with asyncio.timeout(TIMEOUT):
                return 200 <= await self._transports.to(target).get(path) <= 299
        except (TimeoutError, OSError, httpx2.HTTPError):
            return False
