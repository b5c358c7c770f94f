"""Budget around an app that is no gateway: the caller's rates and concurrent requests."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from standby.middlewares.budget import Budget
from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.config import Limits
from standby.proxy.exchange import Exchange
from standby.proxy.keys.principal import Principal
from standby.proxy.stores.memory import Memory

from tests.middlewares.purses import budget, key
from tests.proxy.harness import Caller, ask, scope_of, virtual_time
from tests.proxy.shaky import Shaky

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


class Foreign:
    """An app of somebody's own, that answers once it may."""

    def __init__(self) -> None:
        self.free = asyncio.Event()
        self.free.set()
        self.read: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.read.append((await receive())["body"])
            await self.free.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"fine"})


async def request(app: Budget, principal: Principal | None) -> Caller:
    """One request by this caller."""
    scope = scope_of("/hello")
    Exchange.of(scope).principal = principal
    return await ask(app, {"any": "thing"}, scope)


async def test_rates() -> None:
    """The caller's rate holds, and the refusal says which it is; the body is left to the app."""
    foreign = Foreign()
    app = Budget(foreign)
    principal = key(limits=Limits(requests_per_minute=2, tokens_per_minute=1))
    statuses = [(await request(app, principal)).status for _ in range(2)]
    refused = await request(app, principal)
    assert (statuses, refused.status, foreign.read) == ([200, 200], 429, [b'{"any": "thing"}'] * 2)
    assert refused.headers[b"x-standby-limit"] == b"key/checkout requests_per_minute"
    assert int(refused.headers[b"retry-after"]) >= 1
    await app.aclose()


async def test_requests_under_way() -> None:
    """As many at once as are allowed."""
    foreign, store = Foreign(), Shaky()
    app = Budget(foreign, store=store)
    foreign.free.clear()
    principal = key(limits=Limits(concurrent=1))
    first = asyncio.create_task(request(app, principal))
    await asyncio.sleep(0.1)
    assert (await request(app, principal)).status == 429
    foreign.free.set()
    assert (await first).status == 200
    await app.settled()
    assert await store.held() == 0
    assert (await request(app, principal)).status == 200
    await app.aclose()
    assert store.closed == 0


async def test_a_budget_of_requests() -> None:
    """Requests can be counted without knowing what they ask; money cannot, and is not."""
    app = Budget(Foreign(), store=Memory())
    principal = key(budget("2", "day", "requests"), budget("0.01"))
    assert [(await request(app, principal)).status for _ in range(3)] == [200, 200, 402]
    await app.aclose()


async def test_without_a_caller() -> None:
    """Nothing is limited, and nothing asked of the store."""
    store = Shaky()
    app = Budget(Foreign(), store=store)
    assert (await request(app, None)).status == 200
    await app.settled()
    assert store.calls == []
    await app.aclose()


async def test_observing() -> None:
    """The app's own answer says what would have been refused."""
    app = Budget(Foreign(), mode="observe")
    principal = key(limits=Limits(requests_per_minute=1))
    told = [await request(app, principal) for _ in range(2)]
    assert [b"x-standby-would-refuse" in each.headers for each in told] == [False, True]
    assert [(each.status, each.headers[b"x-own"], each.body) for each in told] == [(200, b"1", b"fine")] * 2
    await app.aclose()


async def test_an_allowance_without_money() -> None:
    """While the store is down the limits are counted in the process."""
    store = Shaky()
    store.down = True
    app = Budget(Foreign(), store=store, on_store_error=10**9)
    principal = key(limits=Limits(requests_per_minute=1))
    assert [(await request(app, principal)).status for _ in range(2)] == [200, 429]
    store.down = False
    await app.aclose()


async def test_other_scopes_pass() -> None:
    """A lifespan or a WebSocket is the app's own."""
    caller = Caller()
    await Budget(Foreign())({"type": "websocket"}, caller.receive, caller.send)
    assert caller.messages[0]["status"] == 200


async def test_the_end_of_a_lifespan() -> None:
    """What is left is settled before the app says that it has ended, and the store closed if it is ours."""
    store = Shaky()
    told: list[tuple[str, int]] = []

    async def foreign(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await Foreign()(scope, receive, send)

    async def send(message: Any) -> None:
        told.append((message["type"], await store.held()))

    app = Budget(foreign, store=store)
    assert (await request(app, key(limits=Limits(requests_per_minute=1)))).status == 200
    await app({"type": "lifespan"}, Caller().receive, send)
    assert told[-1] == ("lifespan.shutdown.complete", 0)


async def test_closing_what_was_never_used() -> None:
    """Nothing was opened, and nothing is closed."""
    app = Budget(Foreign())
    await app.settled()
    await app.aclose()


async def test_a_store_by_its_url() -> None:
    """It is opened with the first request, and ours to close."""
    app = Budget(Foreign(), store="memory:")
    principal = key(limits=Limits(requests_per_minute=1))
    assert [(await request(app, principal)).status for _ in range(2)] == [200, 429]
    await app.aclose()
    assert (await request(app, principal)).status == 200
    await app.aclose()
