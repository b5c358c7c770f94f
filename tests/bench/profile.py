"""Where Standby's time goes: the same load on a bare pass-through and on Standby, both sampled."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from standby import proxy

from .load import Load, Subject
from .meters import Window
from .processes import free_port, module, started
from .rounds import paced
from .sampler import Stack, read

__all__ = ["Profile", "functions", "lines", "taken"]

_ROOT: Final = Path(proxy.__path__[0]).parent
_OURS: Final = (f"{_ROOT / 'proxy'}/", f"{_ROOT / 'middlewares'}/")
_OWNERS: Final = MappingProxyType(
    {
        "/httpx2/": "transport",
        "/httpcore2/": "transport",
        "/h11/": "transport",
        "/anyio/": "transport",
        "/sniffio/": "transport",
        "/uvicorn/": "server",
        "/proxy/server/": "server",
        "/asyncio/runners.py": "loop",
    }
)
_SECONDS: Final = 8
_SHOWN: Final = 40


@dataclass(frozen=True, slots=True)
class Profile:
    """What was seen of one gateway under one load of so many units."""

    seen: Counter[Stack]
    window: Window
    units: int

    def owners(self) -> Counter[str]:
        """Samples by whose code ran. A loop that sleeps is nobody's."""
        owners: Counter[str] = Counter()
        for stack, count in self.seen.items():
            owners[_owner(stack)] += count
        asleep = round(owners.total() * max(0.0, 1 - self.window.cpu / self.window.seconds))
        owners["loop"] -= min(owners["loop"], asleep)
        return owners

    @property
    def scale(self) -> float:
        """µs of CPU a unit for one sample."""
        return self.window.cpu / self.units * 1e6 / max(1, self.owners().total())


def taken(
    name: str, kind: str, *, upstream: int, upstream_pid: int, cpu: int, load_cpu: int, folder: Path
) -> Profile:
    """Run one of our gateways under the profiler. `kind` is "unary" or "streams"."""
    load = Load(load_cpu, folder, upstream_pid)
    port, file = free_port(), folder / f"{name}-{kind}.profile"
    command = module("gateways", name, f"--port={port}", f"--upstream={upstream}", f"--profile={file}")
    with started(command, cpu, folder / f"{name}.log", port=port) as process:
        subject = Subject(port, process.pid)
        if kind == "unary":
            load.warm_up(subject, 16)
            os.kill(process.pid, signal.SIGUSR1)
            ran = load.unary(subject, 16, 1, _SECONDS)
            units, window = (0, Window(0, 1, 0)) if ran is None else (ran.requests, ran.window)
        else:
            load.streams(subject, paced(port, 1), 1)
            os.kill(process.pid, signal.SIGUSR1)
            streamed = load.streams(subject, paced(port, 2 * _SECONDS), 1)
            units, window = streamed.chunks, streamed.window
    return Profile(read(file), window, max(1, units))


def _owner(stack: Stack) -> str:
    """Whose code the innermost frame is, or called: the standard library works for whoever called it."""
    for file, _, _ in stack:
        for part, owner in _OWNERS.items():
            if part in file:
                return owner
        if file.startswith(_OURS):
            return "standby"
        if file.endswith("tests/bench/gateways.py"):
            return "bare"
    return "other"


def lines(profiles: dict[str, Profile], unit: str) -> Iterator[str]:
    """Who uses how much, side by side, and then Standby's own functions, dearest first."""
    owners = {name: profile.owners() for name, profile in profiles.items()}
    yield f"| CPU µs/{unit} | {' | '.join(profiles)} |"
    yield f"|---|{'---|' * len(profiles)}"
    for owner, _ in sum(owners.values(), Counter[str]()).most_common():
        cells = (f"{owners[name][owner] * profile.scale:.1f}" for name, profile in profiles.items())
        yield f"| {owner} | {' | '.join(cells)} |"

    yield ""
    standby = profiles["standby"]
    yield from functions(standby.seen, standby.scale, unit)


def functions(seen: Counter[Stack], scale: float, unit: str) -> Iterator[str]:
    """Standby's own functions, dearest first, at `scale` µs a sample."""
    own: Counter[tuple[str, str]] = Counter()
    hottest: dict[tuple[str, str], Counter[int]] = {}
    for stack, count in seen.items():
        frame = _innermost_of_ours(stack)
        if frame is not None:
            file, line, function = frame
            own[file, function] += count
            hottest.setdefault((file, function), Counter())[line] += count
    yield f"| CPU µs/{unit} | Standby's functions, what they call elsewhere included | dearest lines |"
    yield "|---|---|---|"
    for (file, function), count in own.most_common(_SHOWN):
        top = hottest[file, function].most_common(3)
        listed = ", ".join(f"{line} ({each * scale:.2f})" for line, each in top)
        yield f"| {count * scale:.2f} | {Path(file).relative_to(_ROOT)} {function} | {listed} |"


def _innermost_of_ours(stack: Stack) -> tuple[str, int, str] | None:
    """The frame of ours that runs or has called what runs, unless another library's stands between."""
    for frame in stack:
        if frame[0].startswith(_OURS):
            return frame
        if any(part in frame[0] for part in _OWNERS):
            return None
    return None
