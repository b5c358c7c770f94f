"""Budget around an app that is not a gateway: rates and parallel requests of the caller."""

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

from tests.middlewares.budget_gateway import budget, key
from tests.proxy.failing_store import FailingStore
from tests.proxy.harness import Caller, ask, scope_of, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


class Foreign:
    """An app that answers once `free` is set."""

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
    """Send one request by this principal."""
    scope = scope_of("/hello")
    Exchange.of(scope).principal = principal
    return await ask(app, {"any": "thing"}, scope)


async def test_rates() -> None:
    """The rate of the caller applies, the refusal names it, and the app receives the body."""
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
    """The number of parallel requests is limited."""
    foreign, store = Foreign(), FailingStore()
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
    """A budget in requests works without a document; a budget in money is not applied."""
    app = Budget(Foreign(), store=Memory())
    principal = key(budget("2", "day", "requests"), budget("0.01"))
    assert [(await request(app, principal)).status for _ in range(3)] == [200, 200, 402]
    await app.aclose()


async def test_without_a_caller() -> None:
    """Without a principal nothing is limited, and the store is not called."""
    store = FailingStore()
    app = Budget(Foreign(), store=store)
    assert (await request(app, None)).status == 200
    await app.settled()
    assert store.calls == []
    await app.aclose()


async def test_observing() -> None:
    """In observe mode the app's response has the header with the limit."""
    app = Budget(Foreign(), mode="observe")
    principal = key(limits=Limits(requests_per_minute=1))
    callers = [await request(app, principal) for _ in range(2)]
    assert [b"x-standby-would-refuse" in each.headers for each in callers] == [False, True]
    assert [(each.status, each.headers[b"x-own"], each.body) for each in callers] == [
        (200, b"1", b"fine")
    ] * 2
    await app.aclose()


async def test_an_allowance_without_money() -> None:
    """While the store is down, limits are counted in the process."""
    store = FailingStore()
    store.down = True
    app = Budget(Foreign(), store=store, on_store_error=10**9)
    principal = key(limits=Limits(requests_per_minute=1))
    assert [(await request(app, principal)).status for _ in range(2)] == [200, 429]
    store.down = False
    await app.aclose()


async def test_other_scopes_pass() -> None:
    """Lifespan and WebSocket scopes are passed to the app."""
    caller = Caller()
    await Budget(Foreign())({"type": "websocket"}, caller.receive, caller.send)
    assert caller.messages[0]["status"] == 200


async def test_the_end_of_a_lifespan() -> None:
    """Pending settlements are sent before the shutdown is complete; only an own store is closed."""
    store = FailingStore()
    messages: list[tuple[str, int]] = []

    async def foreign(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await Foreign()(scope, receive, send)

    async def send(message: Any) -> None:
        messages.append((message["type"], await store.held()))

    app = Budget(foreign, store=store)
    assert (await request(app, key(limits=Limits(requests_per_minute=1)))).status == 200
    await app({"type": "lifespan"}, Caller().receive, send)
    assert messages[-1] == ("lifespan.shutdown.complete", 0)


async def test_closing_what_was_never_used() -> None:
    """Closing an unused Budget does nothing."""
    app = Budget(Foreign())
    await app.settled()
    await app.aclose()


async def test_a_store_by_its_url() -> None:
    """A store given as URL is opened with the first request and closed by Budget."""
    app = Budget(Foreign(), store="memory:")
    principal = key(limits=Limits(requests_per_minute=1))
    assert [(await request(app, principal)).status for _ in range(2)] == [200, 429]
    await app.aclose()
    assert (await request(app, principal)).status == 200
    await app.aclose()
