"""Reloading a gateway: what a request sees, what is kept, what is closed and when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
from standby.proxy.asgi import ASGIApp, Receive, Scope, Send
from standby.proxy.classify.faults import Fault
from standby.proxy.config import Routes, parse_routes
from standby.proxy.errors import ConfigError
from standby.proxy.exchange import Exchange
from standby.proxy.gateway import Gateway
from standby.proxy.keys.credentials import digests, new_secret
from standby.proxy.snapshot import Snapshot
from standby.proxy.stores.memory import Memory

from tests.proxy.harness import (
    SCRIPTED,
    Script,
    ask,
    chunk,
    rest,
    routes_to,
    scope_of,
    scripted,
    virtual_time,
)

__all__ = ["Looks", "virtual_time"]

pytestmark = pytest.mark.anyio

URL: Final = "http://127.0.0.1:9/v1"
DONE: Final = b"data: [DONE]\n\n"
WHOLE: Final = (chunk("Hi"), chunk(finish_reason="stop", delta={}, index=0), DONE)


class Looks:
    """A middleware that notes which configuration a request sees, before and after what is below."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.seen: list[tuple[str, object]] = []
        self.closed = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        self.seen.append(("in", exchange.routes))
        await self.app(scope, receive, send)
        self.seen.append(("out", exchange.routes))

    async def aclose(self) -> None:
        """Count it."""
        self.closed += 1


LOOKS: Final = """
[one]
use = "tests.proxy.test_snapshot:Looks"
[two]
use = "tests.proxy.test_snapshot:Looks"
"""


def looking(**more: str) -> Routes:
    """A configuration with two of them."""
    top = 'stack = ["one", "failover", "two"]'
    return routes_to(URL, provider=SCRIPTED, top=top, tables=LOOKS, **more)


class Held:
    """A script that begins to answer and goes on when told to."""

    def __init__(self, script: Script) -> None:
        self.go_on = asyncio.Event()
        self.begun = asyncio.Event()

        async def play() -> AsyncIterator[bytes]:
            yield chunk("Hi")
            self.begun.set()
            await self.go_on.wait()
            yield b"".join(WHOLE)

        script.play = play


def middlewares(gateway: Gateway) -> list[Any]:
    """Those of the current stack."""
    return list(getattr(gateway, "_snapshot")._middlewares.values())  # noqa: B009


async def turns(count: int = 20) -> None:
    """Let what runs in the background come to its end."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_every_middleware_of_a_request_sees_one_configuration() -> None:
    """The one that was in force when it began, whatever was loaded meanwhile (I21)."""
    gateway = Gateway(looking())
    first = gateway.routes
    held = Held(scripted(gateway)["a"])
    running = asyncio.create_task(ask(gateway))
    await held.begun.wait()
    old = middlewares(gateway)
    looks = [each for each in old if isinstance(each, Looks)]
    for number in range(5):
        await gateway.reload(looking(pool=f'serves = ["support", "v{number}"]'))
    held.go_on.set()
    assert (await running).complete
    assert [routes for each in looks for _, routes in each.seen] == [first] * 4
    assert gateway.routes is not first


async def test_a_bad_configuration_changes_nothing(tmp_path: Path) -> None:
    """Whether the text, the table of a middleware or an import string is wrong (F42)."""
    gateway = Gateway(routes_to(URL, provider=SCRIPTED))
    scripted(gateway)["a"].say(*WHOLE)
    before = gateway.routes, gateway.store, gateway.transports
    for wrong in (
        'stack = ["failover", "mine"]\n[mine]\nuse = "nowhere:Nothing"',
        "[failover]\nmax_attempts = 0",
        "[hygiene]\nmax_bodies = 2",
    ):
        top, _, tables = wrong.partition("\n") if wrong.startswith("stack") else ("", "", wrong)
        with pytest.raises(ConfigError):
            await gateway.reload(routes_to(URL, provider=SCRIPTED, top=top, tables=tables))
        assert gateway.reload_failed is not None
        assert (gateway.routes, gateway.store, gateway.transports) == before
        assert (await ask(gateway)).status == 200
    await gateway.reload(routes_to(URL, provider=SCRIPTED))
    assert gateway.reload_failed is None
    assert gateway.reloaded is not None


async def test_what_was_replaced_is_closed_after_its_last_request() -> None:
    """Its middlewares not before, and once; those of the next are not closed with it."""
    gateway = Gateway(looking())
    held = Held(scripted(gateway)["a"])
    running = asyncio.create_task(ask(gateway))
    await held.begun.wait()
    old = [each for each in middlewares(gateway) if isinstance(each, Looks)]
    await gateway.reload(looking())
    await turns()
    assert [each.closed for each in old] == [0, 0]
    held.go_on.set()
    await running
    await turns()
    assert [each.closed for each in old] == [1, 1]
    assert [each.closed for each in middlewares(gateway) if isinstance(each, Looks)] == [0, 0]


async def test_a_stream_of_a_target_that_is_removed_goes_on() -> None:
    """To its end; then the connections to it are closed, and no later request has used it (F43)."""
    gateway = Gateway(routes_to(URL, URL, provider=SCRIPTED))
    scripts = scripted(gateway)
    closed: list[str] = []
    for name, script in scripts.items():
        script.aclose = _closing(closed, name)  # type: ignore[method-assign]
    held = Held(scripts["a"])
    running = asyncio.create_task(ask(gateway))
    await held.begun.wait()
    text = gateway.routes.source.replace('prefer = ["a", "b"]', 'prefer = ["b"]')
    text = text.replace('[targets.a]\nprovider = "at-a"\nmodel = "model-a"\n', "")
    await gateway.reload(parse_routes(text))
    scripts["b"].say(*WHOLE)
    assert (await ask(gateway)).headers[b"x-standby-target"] == b"b"
    assert closed == []
    held.go_on.set()
    caller = await running
    assert caller.body.endswith(DONE)
    await turns()
    assert (closed, len(scripts["a"].requests)) == (["a"], 1)


def _closing(closed: list[str], name: str) -> Any:
    async def aclose() -> None:
        closed.append(name)

    return aclose


async def test_connections_are_kept_where_nothing_about_them_changed() -> None:
    """A price or a region makes no new ones; an address, a key or a header does."""
    gateway = Gateway(routes_to(URL, provider=SCRIPTED))
    target = gateway.routes.targets["a"]
    upstream = gateway.transports.to(target)
    for provider, target_keys, kept in (
        (f'{SCRIPTED}\nregion = "eu"', "", True),
        (SCRIPTED, 'price = { input = "2.00" }', True),
        (f'{SCRIPTED}\nheaders = {{ x-a = "1" }}', "", False),
        (SCRIPTED, "connections = 3", False),
    ):
        await gateway.reload(routes_to(URL, provider=provider, target=target_keys))
        again = gateway.transports.to(gateway.routes.targets["a"])
        assert (again is upstream) is kept
        upstream = again


async def test_health_goes_with_the_name() -> None:
    """A target that rests does so in the next configuration; one that is gone is forgotten."""
    gateway = Gateway(routes_to(URL, provider=SCRIPTED))
    scripted(gateway)["a"].say(b"", status=429)
    assert (await ask(gateway)).status == 429
    await gateway.reload(routes_to(URL, provider=SCRIPTED, pool='timeouts = { stall = "3s" }'))
    assert (await ask(gateway)).json["error"]["code"] == "no_target_available"
    other = routes_to(URL, provider=SCRIPTED).source.replace("[targets.a]", "[targets.z]")
    await gateway.reload(parse_routes(other.replace('["a"]', '["z"]')))
    await turns()
    await gateway.reload(routes_to(URL, provider=SCRIPTED))
    scripted(gateway)["a"].say(*WHOLE)
    assert (await ask(gateway)).status == 200


async def test_the_store_stays_while_its_address_does() -> None:
    """What was spent in memory is still known; another address opens another store, and closes the first."""
    gateway = Gateway(routes_to(URL, provider=SCRIPTED))
    store = gateway.store
    closed: list[str] = []
    store.aclose = _closing(closed, "first")  # type: ignore[method-assign]
    await gateway.reload(routes_to(URL, provider=SCRIPTED, pool='serves = ["b"]'))
    await turns()
    assert (gateway.store is store, closed) == (True, [])
    await gateway.reload(routes_to(URL, provider=SCRIPTED, top='store = "sqlite:///other.db"'))
    await turns()
    assert (gateway.store is store, closed) == (False, ["first"])


SECRET: Final = new_secret()
BUDGETED: Final = f"""
[keys.k]
hash = "{digests(SECRET)[0]}"
pools = ["*"]
limits = {{ requests_per_minute = 3 }}
[budget]
escrow = true
"""


async def test_limits_and_spending_go_on() -> None:
    """A reload gives nobody a new budget or rate, and what was held of it is settled."""
    top = 'stack = ["auth", "budget", "failover"]'
    routes = routes_to(URL, provider=SCRIPTED, top=top, tables=BUDGETED)
    gateway = Gateway(routes)
    scripted(gateway)["a"].say(*WHOLE)
    statuses: list[int] = []
    for _ in range(4):
        bearer = (b"authorization", f"Bearer {SECRET}".encode())
        statuses.append((await ask(gateway, scope=scope_of(headers=[bearer]))).status)
        await gateway.reload(parse_routes(routes.source))
        await turns()
    assert statuses == [200, 200, 200, 429]
    await asyncio.sleep(5)
    await gateway.aclose()
    assert isinstance(gateway.store, Memory)
    assert await gateway.store.held() == 0


async def test_closing_waits_for_nobody() -> None:
    """A gateway that is closed closes what it has replaced as well, requests or not."""
    gateway = Gateway(looking())
    held = Held(scripted(gateway)["a"])
    running = asyncio.create_task(ask(gateway))
    await held.begun.wait()
    old = [each for each in middlewares(gateway) if isinstance(each, Looks)]
    await gateway.reload(looking())
    await gateway.aclose()
    assert [each.closed for each in old] == [1, 1]
    held.go_on.set()
    await running


async def test_what_was_replaced_is_freed() -> None:
    """A snapshot, its routes and its middlewares, without the garbage collector's help (F44)."""
    gateway = Gateway(looking())
    seen: list[weakref.ref[Any]] = []
    scripted(gateway)["a"].say(*WHOLE)
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            assert (await ask(gateway)).status == 200
            snapshot: Snapshot | None = getattr(gateway, "_snapshot")  # noqa: B009
            assert snapshot is not None
            seen += [
                weakref.ref(snapshot),
                weakref.ref(snapshot.routes),
                weakref.ref(middlewares(gateway)[0]),
            ]
            snapshot = None
            await gateway.reload(looking())
            await turns()
    finally:
        gc.enable()
    assert sum(each() is not None for each in seen) == 0


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({}, True),
        ({"pool": 'serves = ["support", "other"]'}, True),
        ({"target": "quality = 3"}, True),
        ({"provider": 'headers = { x-account = "2" }'}, False),
    ],
)
async def test_a_corrected_account_is_tried_at_once(change: dict[str, str], known: bool) -> None:
    """A cooldown is of one account and model: a reload that names another one begins without it."""
    gateway = Gateway(routes_to(URL, provider=SCRIPTED))
    rest(gateway.health, "a", Fault("upstream_auth", 401))
    changed = {**change, "provider": f"{SCRIPTED}\n{change.get('provider', '')}"}
    await gateway.reload(routes_to(URL, **changed))
    assert (gateway.health.rejection("a", "at-a", "chat") is not None) is known
    await gateway.reload(routes_to("http://127.0.0.1:8/v1", provider=SCRIPTED))
    assert gateway.health.rejection("a", "at-a", "chat") is None
    await gateway.aclose()
