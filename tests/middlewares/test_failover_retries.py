"""Retries of the last target, if no other target is left."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest
from standby.middlewares.failover import Failover
from standby.proxy.health.retry_budget import FLOOR
from standby.proxy.health.target_health import TRIP
from standby.proxy.routing.retry import LEAST, MOST

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

ONCE: Final = "[failover]\nretries = 1\n"
GOOD: Final = chunk("at last")


class Recovering(Scene):
    """The first provider fails this many times, and then answers successfully."""

    def __init__(
        self,
        times: int = 1,
        count: int = 1,
        *,
        status: int = 500,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        tables: str = ONCE,
        **settings: str,
    ) -> None:
        super().__init__(count, tables=tables, **settings)
        self.on_loop_time()
        script = self["a"]

        async def before() -> None:
            if len(script.requests) > times:
                script.say(GOOD, DONE)
            else:
                script.say(b"", status=status, headers=headers)

        script.before = before


async def test_by_default_each_target_is_asked_once() -> None:
    """By default a provider receives a request at most once."""
    scene = Recovering(tables="")
    assert Failover(scene.gateway).retries == 0
    caller = await scene.ask()
    assert (caller.status, scene.asked) == (502, {"a": 1})


async def test_the_last_target_is_asked_again() -> None:
    """With `retries` the last target is tried again after a pause, and its answer is not degraded."""
    scene, began = Recovering(), asyncio.get_running_loop().time()
    caller = await scene.ask()
    assert (caller.status, caller.body) == (200, GOOD + DONE)
    assert LEAST <= asyncio.get_running_loop().time() - began <= MOST + 0.1
    assert scene.attempts == [("a", "primary"), ("a", "retry")]
    assert caller.headers[b"x-standby-attempts"] == b"2"
    assert b"x-standby-degraded" not in caller.headers


async def test_once() -> None:
    """There is only one retry."""
    scene = Recovering(times=5)
    caller = await scene.ask()
    assert (caller.status, scene.asked) == (502, {"a": 2})
    assert caller.headers[b"x-should-retry"] == b"false"


async def test_others_come_first() -> None:
    """There is no retry while another target is left, and then the last target is retried."""
    scene = Recovering(times=9, count=2)
    assert (await scene.ask()).body == chunk("from b") + DONE
    scene["b"].say(b"", status=503)
    await scene.ask()
    assert scene.attempts == [("a", "primary"), ("b", "failover"), ("b", "retry")]


async def test_within_the_limit_of_attempts() -> None:
    """A retry counts towards `max_attempts`."""
    scene = Recovering(times=9, tables=ONCE + "max_attempts = 1")
    await scene.ask()
    assert scene.asked == {"a": 1}


async def test_within_the_deadline() -> None:
    """There is no retry after the deadline."""
    scene = Recovering(tables=ONCE + 'deadline = "50ms"')
    began = asyncio.get_running_loop().time()
    assert (await scene.ask()).status == 502
    assert scene.asked == {"a": 1}
    assert asyncio.get_running_loop().time() == pytest.approx(began)


@pytest.mark.parametrize(("seconds", "asked"), [(b"1", 2), (b"2", 2), (b"3", 1), (None, 1)])
async def test_a_retry_after(seconds: bytes | None, asked: int) -> None:
    """A rate limit with a short Retry-After is retried after that time, a longer or unknown one is not."""
    headers = () if seconds is None else ((b"retry-after", seconds),)
    scene, began = Recovering(status=429, headers=headers), asyncio.get_running_loop().time()
    caller = await scene.ask()
    assert scene.asked == {"a": asked}
    assert caller.status == (200 if asked == 2 else 429)
    if seconds is not None and asked == 2:
        assert asyncio.get_running_loop().time() - began >= float(seconds)
        assert scene.rejection() is None


async def test_a_target_that_was_just_ejected() -> None:
    """A target that this fault has ejected is not retried."""
    scene = Recovering(times=99, tables="")
    for _ in range(TRIP - 1):
        await scene.ask()
    again = Recovering(times=99)
    again.gateway.health = scene.gateway.health
    await again.ask()
    assert again.asked == {"a": 1}
    assert again.rejection() is not None


@pytest.mark.parametrize("status", [400, 401, 402, 404, 413])
async def test_what_a_retry_would_not_mend(status: int) -> None:
    """Refusals of the request, the account or the model are not retried."""
    scene = Recovering(status=status)
    await scene.ask()
    assert scene.asked == {"a": 1}


async def test_never_after_the_commit() -> None:
    """A stream that broke after its commit is not retried."""
    scene = Scene(1, tables=ONCE)
    scene["a"].say(chunk("one"))
    await scene.ask()
    assert scene.asked == {"a": 1}


async def test_the_retry_budget() -> None:
    """The number of retries is limited in relation to the number of requests."""
    scene = Recovering(times=10_000, tables=ONCE)
    scene.gateway.health.rejection = lambda *_: None  # type: ignore[method-assign]
    for _ in range(10):
        await scene.ask()
    kinds = [attempt.kind for exchange in scene.exchanges for attempt in exchange.attempts]
    assert kinds.count("retry") == FLOOR


async def test_a_hang_up_ends_the_pause() -> None:
    """After a disconnect during the pause there is no retry."""
    scene = Recovering(status=503, headers=((b"retry-after", b"2"),))
    caller, running = scene.begin()
    await asyncio.sleep(0.5)
    began = asyncio.get_running_loop().time()
    caller.leave()
    await running
    assert asyncio.get_running_loop().time() == began
    assert (scene.asked, caller.messages) == ({"a": 1}, [])
