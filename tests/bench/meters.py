"""Reads what processes cost, from /proc. Linux only."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Memory", "Window", "cpu_seconds", "memory", "window_closed", "window_opened"]

_PROC: Final = Path("/proc")
_TICK: Final = 1 / os.sysconf("SC_CLK_TCK")
_KIB_PER_MB: Final = 1e6 / 1024


def _tree(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for children in _PROC.glob(f"{parent}/task/*/children"):
            with suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time that a process tree has used, all its threads included.

    From schedstat, which counts nanoseconds; the usual counters count the ticks that happened to hit.
    """
    total = 0
    for each in _tree(pid):
        for thread in _PROC.glob(f"{each}/task/*/schedstat"):
            with suppress(OSError):  # a thread may end as we look
                total += int(thread.read_text().split()[0])
    return total / 1e9


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory of a process tree, in MB (10^6 bytes). `now` and `peak` count shared pages for each process."""

    now: float
    peak: float
    pss: float


def memory(pid: int) -> Memory:
    """What a process tree holds now, and the most that each of its processes has held since it started."""
    now = peak = pss = 0
    for each in _tree(pid):
        with suppress(OSError):
            status = _fields(_PROC / str(each) / "status")
            now += status["VmRSS"]
            peak += status["VmHWM"]
            pss += _fields(_PROC / str(each) / "smaps_rollup")["Pss"]
    return Memory(now / _KIB_PER_MB, peak / _KIB_PER_MB, pss / _KIB_PER_MB)


def _fields(path: Path) -> dict[str, int]:
    """The lines `Name:  123 kB` of a file of /proc."""
    fields: dict[str, int] = {}
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            fields[name] = int(value[:-3])
    return fields


@dataclass(frozen=True, slots=True)
class Window:
    """What was used between two moments: CPU seconds of the process under test, and the cores, on average,
    that processes foreign to the benchmark kept busy or that the hypervisor gave to somebody else."""

    cpu: float
    seconds: float
    noise: float


@dataclass(frozen=True, slots=True)
class _Opened:
    subject: int
    ours: tuple[int, ...]
    cpu: float
    ours_cpu: float
    busy: float
    began: float


def window_opened(subject: int | None, ours: Iterable[int]) -> _Opened:
    """Begin to measure the tree of `subject` (None: nothing is under test) beside the benchmark's own trees.

    Processes of ours that end inside the window must have been waited for before it is closed.
    """
    subject, ours = subject or 0, tuple(ours)
    return _Opened(subject, ours, cpu_seconds(subject), _ours(ours), _busy(), time.perf_counter())


def window_closed(opened: _Opened) -> Window:
    """What was used since `opened`."""
    seconds = time.perf_counter() - opened.began
    cpu = cpu_seconds(opened.subject) - opened.cpu
    foreign = _busy() - opened.busy - (_ours(opened.ours) - opened.ours_cpu) - cpu
    return Window(cpu, seconds, foreign / seconds)


def _ours(pids: tuple[int, ...]) -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(cpu_seconds, pids))


def _busy() -> float:
    """CPU seconds of the whole machine that were not idle, stolen time included."""
    user, nice, system, _, _, irq, softirq, steal = map(
        int, (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) * _TICK
