"""Traffic during a slowdown: when it leaves a target that became slow, and when it comes back.

    python -m tests.bench.slowdown docs/slowdown.png     # needs matplotlib

The real gateway with RouteSelect and Failover runs on an injected clock, so that five minutes take a second.
Two providers made of code answer after a number of seconds. The same traffic is sent twice, with the pool's
`slow` rule and without.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from standby.proxy.gateway import Gateway

from tests.proxy.harness import (
    ASK,
    SCRIPTED,
    Caller,
    Script,
    VirtualLoop,
    chunk,
    routes_to,
    scope_of,
    scripted,
)

__all__ = ["LIMIT", "Request", "Slowdown", "main"]

LIMIT: Final = 4.0
"""Seconds: the pool's limit on the p95 of the first token. A request that takes longer counts as slow."""
_USUAL: Final = 2.0
_SLOW: Final = 30.0
_RATE: Final = 4
"""Requests a second."""
_BEGINS: Final = 60
_ENDS: Final = 180
_UNTIL: Final = 300
_DONE: Final = b"data: [DONE]\n\n"


@dataclass(frozen=True)
class Request:
    """One request: when it began, which target answered, and after how many seconds its first token came."""

    at: float
    target: str | None
    first_token: float
    status: int


class _Timed(Caller):
    """Notes when the first bytes of the body come."""

    def __init__(self, body: bytes) -> None:
        super().__init__(body)
        self.first: float | None = None

    async def send(self, message: Any) -> None:
        if self.first is None and message.get("body"):
            self.first = asyncio.get_running_loop().time()
        await super().send(message)


class Slowdown:
    """One run. Target "a" is preferred and slow for two minutes; "b" is as fast as "a" was."""

    def __init__(self, *, rule: bool) -> None:
        slow = f'slow = {{ p95_first_token = "{LIMIT:g}s" }}\n' if rule else ""
        timeouts = 'timeouts = { first_token = "60s", stall = "60s", total = "120s" }'
        url = "http://127.0.0.1:9/v1"
        top = 'stack = ["route_select", "failover"]'
        self.gateway = Gateway(routes_to(url, url, top=top, provider=SCRIPTED, pool=slow + timeouts))
        self.scripts: dict[str, Script] = scripted(self.gateway)
        self.requests: list[Request] = []

    async def run(self) -> None:
        """Send the traffic of five minutes."""
        self.gateway.health.clock = asyncio.get_running_loop().time
        began = asyncio.get_running_loop().time()
        self._answers("b", _USUAL)
        running: list[asyncio.Task[None]] = []
        for number in range(_UNTIL * _RATE):
            second = number / _RATE
            self._answers("a", _SLOW if _BEGINS <= second < _ENDS else _USUAL)
            running.append(asyncio.create_task(self._ask(began)))
            await asyncio.sleep(1 / _RATE)
        await asyncio.gather(*running)
        await self.gateway.aclose()

    @property
    def left(self) -> float | None:
        """Seconds of slow traffic after which less than a tenth of the next 20 requests went to "a"."""
        during = [request for request in self.requests if _BEGINS <= request.at < _ENDS]
        for i, request in enumerate(during):
            following = during[i : i + 20]
            if sum(each.target == "a" for each in following) < 0.1 * len(following):
                return request.at - _BEGINS
        return None

    @property
    def returned(self) -> float | None:
        """Seconds after the recovery from which on every request went to "a"."""
        after = [request for request in self.requests if request.at >= _ENDS]
        others = [request.at for request in after if request.target != "a"]
        last = max(others, default=_ENDS)
        return None if last >= after[-1].at else last - _ENDS

    @property
    def slow(self) -> int:
        """How many requests waited longer than LIMIT for their first token."""
        return sum(request.first_token > LIMIT for request in self.requests)

    @property
    def failed(self) -> int:
        """How many requests got no answer."""
        return sum(request.status != 200 for request in self.requests)

    def _answers(self, name: str, seconds: float) -> None:
        self.scripts[name].say(seconds, chunk("Hi"), _DONE)

    async def _ask(self, began: float) -> None:
        now = asyncio.get_running_loop().time
        caller, at = _Timed(json.dumps(ASK).encode()), now()
        await self.gateway(scope_of(), caller.receive, caller.send)
        target = dict(caller.headers).get(b"x-standby-target", b"").decode() or None
        first = (caller.first or now()) - at
        self.requests.append(Request(at - began, target, first, caller.status))
        self.requests.sort(key=lambda request: request.at)


def measure(*, rule: bool) -> Slowdown:
    """One run on a clock of its own."""
    run = Slowdown(rule=rule)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(run.run())
    return run


def draw(runs: dict[str, Slowdown], path: Path) -> None:
    """The first-token latency of each request over time, by target, with and without the rule."""
    plots: Any = import_module("matplotlib.pyplot")
    figure, axes = plots.subplots(len(runs), 1, figsize=(9, 6), sharex=True, sharey=True)
    for axis, (title, run) in zip(axes, runs.items(), strict=True):
        axis.axvspan(_BEGINS, _ENDS, color="0.92", label=f"target a takes {_SLOW:g} s")
        axis.axhline(LIMIT, color="0.6", linewidth=0.8)
        for target, color in (("a", "tab:blue"), ("b", "tab:orange")):
            dots = [(each.at, each.first_token) for each in run.requests if each.target == target]
            axis.scatter(
                *zip(*dots, strict=True), s=5, color=color, label=f"answered by {target}"
            ) if dots else None
        axis.set_title(
            f"{title}: {run.slow} slow, {run.failed} failed of {len(run.requests)} requests", fontsize=10
        )
        axis.set_ylabel("first token, s")
    axes[0].legend(loc="center right", fontsize=8)
    axes[-1].set_xlabel("seconds (injected clock)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Print the figures, and draw them if a path is given."""
    runs = {
        f"slow = {{ p95_first_token = {LIMIT:g} s }}": measure(rule=True),
        "without the rule": measure(rule=False),
    }
    for title, run in runs.items():
        print(
            f"{title}: {len(run.requests)} requests, {run.slow} slow, {run.failed} failed;"
            f" left after {run.left} s, back {run.returned} s after recovery"
        )
    if len(sys.argv) > 1:
        draw(runs, Path(sys.argv[1]))


if __name__ == "__main__":
    main()
