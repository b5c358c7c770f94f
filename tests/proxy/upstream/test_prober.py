"""Active probes: when a target is probed, and what follows."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.health.target_health import OPEN, Health, Permit
from standby.proxy.upstream.prober import TICK

from tests.middlewares.scene import Scene
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

PROBED: Final = 'probe = { path = "/models", every = "2s" }'


def scene_with_probes() -> Scene:
    """Two targets with probes, on the loop's clock; "a" fails."""
    scene = Scene(2, target=PROBED)
    scene.on_loop_time()
    scene["a"].say(b"", status=500)
    return scene


def probes(scene: Scene, name: str = "a") -> list[str]:
    """The URLs of the probes that a provider has had."""
    return [str(request.url) for request in scene[name].requests if request.method == "GET"]


async def test_a_healthy_target_is_not_probed() -> None:
    """However long, and also after single failures: a breaker has to be open."""
    scene = scene_with_probes()
    for _ in range(4):
        await scene.ask()
    await asyncio.sleep(60)
    assert probes(scene) == probes(scene, "b") == []
    await scene.gateway.aclose()


async def test_an_open_breaker_is_probed_until_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every 2 s, at the provider's address. A success lets the next request in before the time is over."""
    scene = scene_with_probes()
    monkeypatch.setattr(scene.gateway.health, "_jitter", lambda: 1.0)
    for _ in range(5):
        await scene.ask()
    await asyncio.sleep(OPEN)
    await scene.ask()  # the first request after it fails too: the breaker is open for twice as long
    before = len(probes(scene))
    await asyncio.sleep(2 + 2 * TICK)
    assert probes(scene)[before:] == ["http://127.0.0.1:9/v1/models"] * 2
    assert scene.rejection() is not None

    scene["a"].say(b"{}", headers=((b"content-type", b"application/json"),))
    await asyncio.sleep(2 + TICK)
    assert scene.rejection() is None
    count = len(probes(scene))
    await asyncio.sleep(60)
    assert len(probes(scene)) == count
    await scene.gateway.aclose()


async def test_a_cooldown_is_not_ended() -> None:
    """A provider that asked to be left alone for 60 s gets nothing for 60 s."""
    scene = Scene(2, target=PROBED)
    scene.on_loop_time()
    scene["a"].say(b"", status=429, headers=((b"retry-after", b"60"),))
    await scene.ask()
    await asyncio.sleep(50)
    assert probes(scene) == []
    assert scene.rejection() is not None
    await scene.gateway.aclose()


async def test_a_probe_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is left behind when the gateway is closed."""
    tasks = asyncio.all_tasks()
    scene = scene_with_probes()
    monkeypatch.setattr(scene.gateway.health, "_jitter", lambda: 1.0)
    for _ in range(5):
        await scene.ask()

    async def hang() -> None:
        await asyncio.Event().wait()

    scene["a"].before = hang
    await asyncio.sleep(3.5)
    assert len(probes(scene)) == 1
    await scene.gateway.aclose()
    assert asyncio.all_tasks() == tasks


def test_half_open_admits_one() -> None:
    """After a successful probe one request is admitted, and the others wait for its result."""
    now = 0.0
    health = Health(lambda: now)
    for _ in range(5):
        permit = health.enter("a", "at-a", "chat")
        assert isinstance(permit, Permit)
        health.record(permit, Fault("upstream_5xx", 500), proved=True)
    assert health.is_open("a")
    health.half_open("a")
    assert not health.is_open("a")
    assert isinstance(health.enter("a", "at-a", "chat"), Permit)
    assert not isinstance(health.enter("a", "at-a", "chat"), Permit)
