"""How a connection is opened: names, addresses, TLS, and failures."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

import httpx2
import pytest
from standby.proxy.upstream.http1.connection import Connection
from standby.proxy.upstream.http1.dialing import dial
from standby.proxy.upstream.http1.pool import Pool

from tests.proxy.upstream.http1.peer import (
    CERTIFICATE,
    OK,
    Cancelling,
    Peer,
    fetch,
    inside,
    open_response,
    peer,
    pool_to,
    respond_with,
    turn_until,
    until_idle,
)

__all__: list[str] = []

pytestmark = pytest.mark.anyio


def _names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name resolve to these addresses. Returns the list of the names that are resolved."""
    resolved: list[str] = []

    async def getaddrinfo(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        resolved.append(host)
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (address, port, 0, 0) if ":" in address else (address, port),
            )
            for address in addresses
        ]

    monkeypatch.setattr("standby.proxy.upstream.http1.dialing.resolve", getaddrinfo)
    return resolved


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """An address that accepts no connection, because its backlog is full."""
    with ExitStack() as held:
        listener = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        address = listener.getsockname()
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(address)
        yield address


async def test_tls() -> None:
    """Requests work over TLS, and HTTP/1.1 is negotiated even if the provider offers HTTP/2."""
    protocols: list[str | None] = []

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while True:
            await listening.read_request(reader)
            writer.write(OK)

    async with peer(serve, tls=True) as listening, pool_to(listening) as pool:
        for _ in range(3):
            assert await fetch(pool, listening) == (200, b"ok")
        assert (protocols, listening.accepted) == (["http/1.1"], 1)


async def test_the_name_of_a_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate must match the name in the URL, which is sent as SNI."""
    resolved = _names(monkeypatch, "127.0.0.1")
    async with peer(respond_with(OK), tls=True) as listening:
        good = httpx2.URL(f"https://provider.test:{listening.port}/")
        async with pool_to(listening, url=good) as pool:
            assert await fetch(pool, listening, url=good) == (200, b"ok")
        bad = httpx2.URL(f"https://other.test:{listening.port}/")
        async with pool_to(listening, url=bad) as pool:
            with pytest.raises(httpx2.ConnectError):
                await fetch(pool, listening, url=bad)
            await until_idle(pool)
    assert resolved == ["provider.test", "other.test"]


async def test_a_certificate_that_nobody_vouches_for() -> None:
    """Nothing is sent to a provider whose certificate is not trusted."""
    async with peer(respond_with(OK), tls=True) as listening:
        pool = Pool(listening.url, context=ssl.create_default_context(), connections=1, keep_alive=1)
        with pytest.raises(httpx2.ConnectError):
            await fetch(pool, listening)
        assert (listening.requests, pool.slots.busy) == (0, 0)
        await pool.aclose()


async def test_no_tls_where_it_is_expected() -> None:
    """Nothing is sent in plain text to a provider that does not speak TLS."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        listening.received = await reader.read(100)
        writer.write(OK)
        writer.close()

    async with peer(serve) as listening:
        url = httpx2.URL(f"https://127.0.0.1:{listening.port}/")
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
        pool = Pool(url, context=context, connections=1, keep_alive=1)
        with pytest.raises(httpx2.ConnectError):
            await fetch(pool, listening, url=url)
        assert b"POST" not in listening.received
        await pool.aclose()


@pytest.mark.parametrize("leave", [False, True], ids=["limit", "cancelled"])
@pytest.mark.parametrize("name", [False, True], ids=["address", "name"])
async def test_a_handshake_that_stalls(leave: bool, name: bool) -> None:
    """The connection is closed at the timeout, or when the request is cancelled."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        await listening.notify()

    async with peer(serve) as listening:
        url = httpx2.URL(f"https://{'localhost' if name else '127.0.0.1'}:{listening.port}/")
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
        pool = Pool(url, context=context, connections=1, keep_alive=1)
        asking = asyncio.create_task(fetch(pool, listening, url=url, connect=5.0 if leave else 0.05))
        await listening.wait_for(lambda: listening.open == 1)
        if leave:
            asking.cancel()
        with pytest.raises(asyncio.CancelledError if leave else httpx2.ConnectTimeout):
            await asking
        await listening.wait_for(lambda: listening.open == 0)
        await until_idle(pool)
        await pool.aclose()


async def test_closing_while_connecting(silent: tuple[str, int]) -> None:
    """Closing the pool cancels the attempts to connect."""
    url = httpx2.URL(f"http://{silent[0]}:{silent[1]}/")
    pool = Pool(url, context=None, connections=1, keep_alive=1)
    listening = Peer(respond_with(OK))
    asking = asyncio.create_task(open_response(pool, listening, url=url))
    await turn_until(lambda: inside(pool.slots)._connecting)
    slots = pool.slots
    await pool.aclose()
    with pytest.raises(httpx2.ConnectError):
        await asking
    assert (slots.busy, slots.connections) == (0, 0)


async def test_nobody_takes_it(silent: tuple[str, int]) -> None:
    """The timeout ends an attempt to connect that would otherwise wait for minutes."""
    url = httpx2.URL(f"http://{silent[0]}:{silent[1]}/")
    pool = Pool(url, context=None, connections=1, keep_alive=1)
    with pytest.raises(httpx2.ConnectTimeout):
        await open_response(pool, Peer(respond_with(OK)), url=url, connect=0.05)
    await until_idle(pool)


async def test_one_address_of_several_is_dead(
    monkeypatch: pytest.MonkeyPatch, silent: tuple[str, int]
) -> None:
    """The next address is tried while the first one does not respond."""
    host, port = silent
    _names(monkeypatch, host, "127.0.0.2")
    async with peer(respond_with(OK), host="127.0.0.2", port=port) as listening:
        url = httpx2.URL(f"http://provider.test:{port}/")
        async with pool_to(listening, url=url) as pool:
            assert await fetch(pool, listening, url=url) == (200, b"ok")


async def test_one_address_of_several_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a refused connection the next address is tried."""
    _names(monkeypatch, "127.0.0.3", "127.0.0.2")
    async with peer(respond_with(OK), host="127.0.0.2") as listening:
        url = httpx2.URL(f"http://provider.test:{listening.port}/")
        async with pool_to(listening, url=url) as pool:
            assert await fetch(pool, listening, url=url) == (200, b"ok")


@pytest.mark.parametrize("addresses", [(), ("127.0.0.3",), ("127.0.0.3", "127.0.0.2")])
async def test_no_address_serves(monkeypatch: pytest.MonkeyPatch, addresses: tuple[str, ...]) -> None:
    """A name without an address, or without one that accepts connections, is a ConnectError."""
    _names(monkeypatch, *addresses)
    listening = Peer(respond_with(OK))
    url = httpx2.URL("http://provider.test:9/")
    pool = Pool(url, context=None, connections=1, keep_alive=1)
    with pytest.raises(httpx2.ConnectError):
        await open_response(pool, listening, url=url)
    await until_idle(pool)


async def test_a_name_that_does_not_resolve() -> None:
    """A name that does not resolve is a ConnectError."""
    url = httpx2.URL("http://nowhere.localhost.invalid/")
    pool = Pool(url, context=None, connections=1, keep_alive=1)
    with pytest.raises(httpx2.ConnectError):
        await open_response(pool, Peer(respond_with(OK)), url=url)
    await until_idle(pool)


async def test_a_name_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The timeout includes name resolution."""

    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr("standby.proxy.upstream.http1.dialing.resolve", never)
    url = httpx2.URL("http://provider.test/")
    pool = Pool(url, context=None, connections=1, keep_alive=1)
    with pytest.raises(httpx2.ConnectTimeout):
        await open_response(pool, Peer(respond_with(OK)), url=url, connect=0.02)
    await until_idle(pool)


async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An IP address is not resolved."""
    resolved = _names(monkeypatch)
    async with peer(respond_with(OK)) as listening, pool_to(listening) as pool:
        assert await fetch(pool, listening) == (200, b"ok")
    assert resolved == []


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
async def test_an_ipv6_address() -> None:
    """An IPv6 address has brackets in the URL, and none when connecting."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            pass
    except OSError:
        pytest.skip("no IPv6")
    async with peer(respond_with(OK), host="::1") as listening, pool_to(listening) as pool:
        assert await fetch(pool, listening) == (200, b"ok")


@pytest.mark.parametrize("name", [False, True], ids=["address", "name"])
async def test_small_writes_are_not_held_back(name: bool) -> None:
    """TCP_NODELAY is set under both event loops, for addresses and names."""
    async with peer(respond_with(OK)) as listening:
        host = "localhost" if name else "127.0.0.1"
        url = httpx2.URL(f"http://{host}:{listening.port}/")
        async with pool_to(listening, url=url) as pool:
            await fetch(pool, listening, url=url)
            [connection] = inside(pool.slots)._idle
            sock = connection._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_without_a_pool() -> None:
    """`dial` returns the created connection, and `on_lost` is called at its end."""
    lost: list[object] = []
    async with peer(respond_with(OK)) as listening:
        connection = await dial(listening.host, listening.port, None, partial(Connection, lost.append), 5.0)
        assert lost == []
        connection.abort()
        await listening.wait_for(lambda: listening.open == 0)
    assert lost == [connection]


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "as_it_comes"])
@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("name", [False, True], ids=["address", "name"])
async def test_given_up_at_every_wait(
    monkeypatch: pytest.MonkeyPatch, tls: bool, name: bool, late: bool
) -> None:
    """Wherever an attempt to connect is cancelled, nothing is left, and the pool can be closed."""
    numbers: list[int] = []
    cancelling: list[Cancelling] = []

    async def cancelled(*arguments: Any) -> Any:
        cancelling.append(Cancelling(dial(*arguments), numbers[-1], late=late))
        return await cancelling[-1]

    monkeypatch.setattr("standby.proxy.upstream.http1.pool.dial", cancelled)
    async with peer(respond_with(OK), tls=tls) as listening:
        host = "localhost" if name else "127.0.0.1"
        url = httpx2.URL(f"{listening.scheme}://{host}:{listening.port}/")
        for number in range(50):
            numbers.append(number)
            async with pool_to(listening, connections=1, url=url) as pool:
                with suppress(httpx2.ConnectError):
                    await fetch(pool, listening, url=url)
                    assert not cancelling[-1].reached or late
                await until_idle(pool)
            await listening.wait_for(lambda: listening.open == 0)
            if not cancelling[-1].reached:
                break
        assert len(numbers) > 1
