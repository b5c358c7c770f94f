"""RouteSelect and Failover together, on a clock of their own."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

import pytest

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

ROUTED: Final = 'stack = ["route_select", "failover"]'
SLOW: Final = 'slow = { p95_first_token = "4s" }'
LIMITS: Final = 'timeouts = { first_token = "60s", stall = "60s", total = "120s" }'


def answers_after(scene: Scene, name: str, seconds: float) -> None:
    """Let a provider take so long until its first token."""
    scene[name].say(seconds, chunk(f"from {name}"), DONE)


async def traffic(scene: Scene, seconds: int) -> list[str]:
    """One request every half second. Returns the target of each, in the order in which they came."""
    tasks: list[asyncio.Task[str]] = []

    async def one() -> str:
        caller = await scene.ask()
        return dict(caller.headers)[b"x-standby-target"].decode()

    for _ in range(2 * seconds):
        tasks.append(asyncio.create_task(one()))
        await asyncio.sleep(0.5)
    return [await task for task in tasks]


async def test_latency_jumps_without_an_outage() -> None:
    """From 2 s to 30 s: within 10 s of traffic the others are asked first; after recovery it comes back."""
    scene = Scene(2, top=ROUTED, pool=f"{SLOW}\n{LIMITS}")
    scene.on_loop_time()
    answers_after(scene, "a", 2.0)
    answers_after(scene, "b", 2.0)
    assert set(await traffic(scene, 30)) == {"a"}

    answers_after(scene, "a", 30.0)
    during = await traffic(scene, 60)
    assert Counter(during[20:])["a"] <= 0.1 * len(during[20:])  # trials, which see the recovery
    assert Counter(during)["b"] >= 0.75 * len(during)

    answers_after(scene, "a", 2.0)
    after = await traffic(scene, 240)
    assert set(after[-20:]) == {"a"}


async def test_clients_that_do_not_wait() -> None:
    """A target that hangs is left also if every client hangs up before its first token."""
    scene = Scene(2, top=ROUTED, pool=f"{SLOW}\n{LIMITS}")
    scene.on_loop_time()
    answers_after(scene, "a", 2.0)
    await traffic(scene, 30)
    answers_after(scene, "a", 50.0)
    for _ in range(60):
        caller, running = scene.begin()
        await asyncio.sleep(6.0)
        caller.leave()
        await running
    assert set(await traffic(scene, 3)) == {"b"}


async def test_without_the_rule_it_stays_slow() -> None:
    """A pool that sets no limit keeps asking its preferred target, however slow."""
    scene = Scene(2, top=ROUTED, pool=LIMITS)
    scene.on_loop_time()
    answers_after(scene, "a", 30.0)
    assert set(await traffic(scene, 40)) == {"a"}
