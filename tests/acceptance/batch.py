"""Many requests, a few at a time, each with a body of its own."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

__all__ = ["AT_ONCE", "MANY", "Batch", "send_batch"]

MANY: Final = 100
AT_ONCE: Final = 10


@dataclass
class Batch:
    """What became of the requests: how often each answer came, and how long each took, in seconds."""

    answers: Counter[str] = field(default_factory=Counter[str])
    seconds: list[float] = field(default_factory=list[float])

    @property
    def worst(self) -> float:
        """The longest time, in milliseconds."""
        return max(self.seconds) * 1000


async def send_batch(
    ask: Callable[[str], Awaitable[str]], *, size: int = MANY, at_once: int = AT_ONCE
) -> Batch:
    """Ask `size` times, with a different prompt each time. An exception is an answer too."""
    found = Batch()
    prompts = iter([f"Say something, for the {number}. time: {'x' * number}" for number in range(size)])
    now = asyncio.get_running_loop().time

    async def one_after_the_other() -> None:
        for prompt in prompts:
            began = now()
            try:
                answer = await ask(prompt)
            except Exception as error:  # noqa: BLE001
                answer = repr(error)
            found.seconds.append(now() - began)
            found.answers[answer] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(at_once):
            tasks.create_task(one_after_the_other())
    return found
