"""The probes of the platform that runs the process."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from standby.proxy.gateway import Gateway

from tests.proxy.harness import Caller, routes_to, scope_of
from tests.redis_server import RedisServer

__all__: list[str] = []

pytestmark = pytest.mark.anyio

URL = "http://127.0.0.1:9/v1"


async def probe(gateway: Gateway, path: str) -> tuple[int, bytes]:
    """The answer to one probe."""
    caller = Caller()
    await gateway(scope_of(path, method="GET"), caller.receive, caller.send)
    return caller.status, caller.body


async def test_ready_once_the_store_has_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """/readyz is 503 from the start until a shared store has answered, then 200 also while it is down."""
    monkeypatch.setattr("standby.proxy.gateway._STORE_RETRY", 0.02)
    server = RedisServer()
    routes = routes_to(URL, top=f'store = "{server.url}"\nstack = ["auth", "failover"]')
    gateway = Gateway(routes)
    async with gateway.lifespan(None):
        for _ in range(3):
            await asyncio.sleep(0.02)
            assert await probe(gateway, "/readyz") == (503, b'{"status":"the store has not answered yet"}')
            assert await probe(gateway, "/healthz") == (200, b'{"status":"ok"}')
        with server:
            async with asyncio.timeout(20):
                while (await probe(gateway, "/readyz"))[0] != 200:  # noqa: ASYNC110  (nobody says when)
                    await asyncio.sleep(0.02)
        assert await probe(gateway, "/readyz") == (200, b'{"status":"ok"}')


@pytest.mark.parametrize(
    "top",
    ['store = "redis://127.0.0.1:9/0"\nstack = ["failover"]', 'stack = ["auth", "failover"]'],
    ids=["no middleware uses it", "in memory"],
)
async def test_ready_without_a_store_to_wait_for(top: str) -> None:
    """Where no request needs a store of another process, /readyz is 200 at once."""
    gateway = Gateway(routes_to(URL, top=top))
    async with gateway.lifespan(None):
        assert await probe(gateway, "/readyz") == (200, b'{"status":"ok"}')


async def broken(asked: list[int]) -> int:
    """A store that fails in a way of its own."""
    asked.append(1)
    raise RuntimeError


async def test_ready_after_a_reload(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that a reload brings has to answer too; the one it replaces is asked no more."""
    monkeypatch.setattr("standby.proxy.gateway._STORE_RETRY", 0.02)
    stack = 'stack = ["auth", "failover"]'
    with RedisServer() as server:
        gateway = Gateway(routes_to(URL, top=f'store = "redis://127.0.0.1:9/0"\n{stack}'))
        async with gateway.lifespan(None), asyncio.timeout(20):
            asked: list[int] = []
            monkeypatch.setattr(first := gateway.store, "held", partial(broken, asked))
            while len(asked) < 3:  # noqa: ASYNC110  (nobody says when)
                await asyncio.sleep(0.02)
            await gateway.reload(routes_to(URL, top=f'store = "redis://127.0.0.1:7/0"\n{stack}'))
            assert (await probe(gateway, "/readyz"))[0] == 503
            count = len(asked)
            await gateway.reload(routes_to(URL, top=f'store = "{server.url}"\n{stack}'))
            while (await probe(gateway, "/readyz"))[0] != 200:  # noqa: ASYNC110  (nobody says when)
                await asyncio.sleep(0.02)
        assert (len(asked), first.is_ready) == (count, False)
