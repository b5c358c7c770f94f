"""A sampling profiler: what the main thread does, looked at hundreds of times a second.

Unlike under a tracing profiler small functions cost nothing extra, so shares can be read as they stand. The
timer runs on the wall clock, since CPU timers tick only as often as the kernel does; samples in which the
event loop itself is on top are mostly it sleeping.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import TypeAlias

import orjson

__all__ = ["Samples", "Stack", "read", "recording", "sampling"]

Stack: TypeAlias = tuple[tuple[str, int, str], ...]
"""File, line and function of every frame, innermost first."""


class Samples:
    """How often each stack was seen."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[tuple[CodeType, int], ...]] = Counter()

    def take(self, number: int, frame: FrameType | None) -> None:
        """Count the stack that a signal interrupted."""
        frames: list[tuple[CodeType, int]] = []
        while frame is not None:
            frames.append((frame.f_code, frame.f_lineno or 0))
            frame = frame.f_back
        self._seen[tuple(frames)] += 1

    def forget(self, number: int, frame: FrameType | None) -> None:
        """Count from nothing again."""
        self._seen.clear()

    def stacks(self) -> Counter[Stack]:
        """What was seen."""
        stacks: Counter[Stack] = Counter()
        for raw, count in self._seen.items():
            stacks[tuple((code.co_filename, line, code.co_qualname) for code, line in raw)] += count
        return stacks


@contextmanager
def sampling(samples: Samples, every: float = 0.002) -> Generator[None]:
    """Sample the main thread, every so many seconds."""
    signal.signal(signal.SIGALRM, samples.take)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, every, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def recording(file: Path) -> Generator[None]:
    """Sample a process until SIGTERM ends it, into `file`. On SIGUSR1, after the warm-up, begin anew."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    # The server raises the signal that ended it once more when it is done, and its default would end us too.
    signal.signal(signal.SIGTERM, leave)
    samples = Samples()
    signal.signal(signal.SIGUSR1, samples.forget)
    try:
        with sampling(samples):
            yield
    finally:
        file.write_bytes(orjson.dumps(list(samples.stacks().items())))


def read(file: Path) -> Counter[Stack]:
    """What `recording` wrote."""
    seen: Counter[Stack] = Counter()
    for frames, count in orjson.loads(file.read_bytes()):
        seen[tuple((name, line, function) for name, line, function in frames)] += count
    return seen
