"""Work that is done in steps, so that others can run between them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Generator
from typing import Final, TypeVar

from .text_scan import TooComplex

__all__ = ["finished", "finished_in_turns"]

T = TypeVar("T")

_LONGEST_WORK: Final = 3.0
"""Seconds of work on one request. Four megabytes of usual text take a fifth of that."""


def finished(steps: Generator[None, None, T]) -> T:
    """Returns what all steps lead to. Other threads can run between them."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


async def finished_in_turns(steps: Generator[None, None, T]) -> T:
    """Returns what all steps lead to. The event loop serves others between them. Raises TooComplex if they
    take too long."""
    left = _LONGEST_WORK
    while True:
        began = time.monotonic()
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
        left -= time.monotonic() - began
        if left < 0:
            raise TooComplex
        await asyncio.sleep(0)
