"""Connections to providers over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest
from standby.proxy.config import Timeouts
from standby.proxy.rehearsal.simulator import (
    Cut,
    Garbage,
    Headers,
    Redirect,
    Simulator,
    Stall,
    Status,
    stale_keep_alive,
)
from standby.proxy.upstream.timeouts import AttemptTimeouts
from standby.proxy.upstream.transports import Received, Transports, Unreachable, Upstream

from tests.proxy.harness import routes_to

__all__: list[str] = []

pytestmark = pytest.mark.anyio

BODY: Final = b'{"model": "m"}'
CALLER: Final = ((b"user-agent", b"sdk"), (b"cookie", b"the caller's"))
TRACED: Final = ((b"traceparent", b"00-1"),)


@dataclass
class Line:
    """An upstream, and helpers to send requests to it."""

    upstream: Upstream

    async def ask(self, clocks: AttemptTimeouts | None = None) -> tuple[int, bytes]:
        """Send one request and return its status and whole body."""
        response = await self.begin(clocks)
        try:
            body = b"".join([part async for part in response])
        finally:
            await response.release()
        return response.status, body

    async def begin(self, clocks: AttemptTimeouts | None = None) -> Received:
        """Send one request and return its response once the head has arrived."""
        clocks = clocks or AttemptTimeouts(Timeouts(), 15.0)
        return await self.upstream.send("/chat/completions", CALLER, TRACED, BODY, clocks)


@pytest.fixture
async def transports() -> AsyncIterator[Transports]:
    """Transports that are closed at the end."""
    made = Transports()
    yield made
    await made.aclose()


def _seen(provider: Simulator, count: int) -> bool:
    return len(provider.requests) == count


@pytest.fixture(params=["", 'transport = "httpx2:AsyncHTTPTransport"'], ids=["own", "httpx2"])
def over(request: pytest.FixtureRequest) -> str:
    """The provider's transport setting. Tests without this fixture hold for the built-in one only."""
    return str(request.param)


def line_to(transports: Transports, url: str, **more: Any) -> Line:
    """Returns the upstream of the provider at this URL."""
    return Line(transports.to(routes_to(url, **more).targets["a"]))


@pytest.fixture
async def provider() -> AsyncIterator[Callable[[Callable[[int], bytes | None]], Awaitable[str]]]:
    """Starts providers that answer the nth request with these bytes and close, or close at once for None.

    A connection serves further requests as long as the bytes end with "whole".
    """
    async with AsyncExitStack() as running:

        async def start(answer_to: Callable[[int], bytes | None]) -> str:
            count = 0

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                nonlocal count
                try:
                    while True:
                        await reader.readuntil(b"\r\n\r\n" + BODY)
                        count += 1
                        answer = answer_to(count)
                        writer.write(answer or b"")
                        if answer is None or not answer.endswith(b"whole"):
                            return
                except asyncio.IncompleteReadError:
                    pass
                finally:
                    writer.close()

            server = await running.enter_async_context(await asyncio.start_server(serve, "127.0.0.1", 0))
            host, port = server.sockets[0].getsockname()
            return f"http://{host}:{port}/v1"

        yield start


WHOLE: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole"


async def test_a_request(transports: Transports, over: str, alpha: Simulator) -> None:
    """Method, path, headers and body arrive as they were chosen, and nothing is added."""
    line = line_to(transports, alpha.url, provider=over)
    alpha.fault = Status(200, body=b"answer")
    assert await line.ask() == (200, b"answer")
    [seen] = alpha.requests
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/chat/completions", BODY)
    assert [(name.lower(), value) for name, value in seen.headers] == [
        *line.upstream.headers,
        (b"content-length", b"14"),
        (b"user-agent", b"sdk"),
        *TRACED,
    ]


async def test_addresses_are_the_operators(transports: Transports) -> None:
    """A path is appended to the base URL unchanged, and each URL is created once."""
    upstream = line_to(transports, "http://127.0.0.1:9/some/v1/").upstream
    url = upstream.url("/messages")
    assert str(url) == "http://127.0.0.1:9/some/v1/messages"
    assert upstream.url("/messages") is url


async def test_connections_are_reused(transports: Transports, over: str, alpha: Simulator) -> None:
    """Sequential requests share a connection, and each target has its own."""
    routes = routes_to(alpha.url, alpha.url, provider=over)
    first, second = (Line(transports.to(routes.targets[name])) for name in "ab")
    for line in (first, first, second):
        await line.ask()
    assert [request.connection for request in alpha.requests] == [1, 1, 2]
    assert transports.to(routes.targets["a"]) is first.upstream


async def test_a_refused_connection(transports: Transports, over: str, alpha: Simulator) -> None:
    """A refused connection is the fault `connect`."""
    line = line_to(transports, alpha.url, provider=over)
    await alpha.down()
    with pytest.raises(Unreachable) as caught:
        await line.ask()
    assert caught.value.kind == "connect"


async def test_a_name_that_does_not_resolve(transports: Transports, over: str) -> None:
    """A host name that does not resolve is the fault `connect`."""
    unknown = "http://nowhere.localhost.invalid/v1"
    with pytest.raises(Unreachable) as caught:
        await line_to(transports, unknown, provider=f"insecure = true\n{over}").ask()
    assert caught.value.kind == "connect"


async def test_more_requests_than_connections(transports: Transports, alpha: Simulator) -> None:
    """A request without a connection within half a second is `local_overload`, not a fault of the target."""
    line = line_to(transports, alpha.url, target="connections = 2")
    alpha.fault = Stall(after=0)
    held = [await line.begin() for _ in range(2)]
    with pytest.raises(Unreachable) as caught:
        await line.ask()
    assert caught.value.kind == "local_overload"
    assert len(alpha.requests) == 2
    alpha.fault = None
    await held[0].release()
    assert (await line.ask())[0] == 200
    await held[1].release()


async def test_a_connection_is_freed_by_a_cancelled_request(
    transports: Transports, over: str, alpha: Simulator
) -> None:
    """After many cancelled requests the connections stay usable, and none is left open."""
    line = line_to(transports, alpha.url, provider=over, target="connections = 1")
    alpha.fault = Stall()
    for number in range(5):
        task = asyncio.create_task(line.ask())
        await alpha.wait_for(partial(_seen, alpha, number + 1))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await alpha.wait_for(lambda: alpha.open == 0)
    alpha.fault = None
    assert (await line.ask())[0] == 200


async def test_a_stale_connection_is_replaced_once(transports: Transports, alpha: Simulator) -> None:
    """If a provider closes a reused idle connection, the request is repeated on a new one."""
    alpha.fault = stale_keep_alive
    line = line_to(transports, alpha.url)
    for _ in range(4):
        assert (await line.ask())[0] == 200
    assert [request.reused for request in alpha.requests] == [False, True, False] * 2


async def test_a_new_connection_that_closes_is_not_replaced(
    transports: Transports, over: str, alpha: Simulator
) -> None:
    """If a provider closes a new connection, the request fails and is not repeated."""
    line = line_to(transports, alpha.url, provider=over)
    alpha.fault = Cut(reset=False)
    with pytest.raises(Unreachable) as caught:
        await line.ask()
    assert caught.value.kind == "connect"
    assert len(alpha.requests) == 1


async def test_the_second_try_is_the_last(
    transports: Transports, provider: Callable[[Callable[[int], bytes | None]], Awaitable[str]]
) -> None:
    """If the new connection closes as well, the request fails."""
    line = line_to(transports, await provider(lambda count: WHOLE if count == 1 else None))
    assert await line.ask() == (200, b"whole")
    with pytest.raises(Unreachable) as caught:
        await line.ask()
    assert caught.value.kind == "connect"


@pytest.mark.parametrize("first_bytes", [b"HTTP/1.1 200 OK\r\nx: ", b"H"], ids=["head", "byte"])
async def test_an_answer_that_had_begun_is_not_asked_for_again(
    transports: Transports,
    over: str,
    provider: Callable[[Callable[[int], bytes | None]], Awaitable[str]],
    first_bytes: bytes,
) -> None:
    """After the first byte a request is not repeated, because it may have been carried out."""
    counts: list[int] = []

    def answer_to(count: int) -> bytes:
        counts.append(count)
        return first_bytes if count == 2 else WHOLE

    line = line_to(transports, await provider(answer_to), provider=over)
    assert await line.ask() == (200, b"whole")
    with pytest.raises(Unreachable):
        await line.ask()
    assert counts == [1, 2]


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
        b"\x00" * 200,
    ],
)
async def test_an_answer_that_is_none(
    transports: Transports,
    over: str,
    provider: Callable[[Callable[[int], bytes | None]], Awaitable[str]],
    garbage: bytes,
) -> None:
    """A response that is not HTTP is `bad_response`, not an unreachable target."""
    with pytest.raises(Unreachable) as caught:
        await line_to(transports, await provider(lambda _: garbage), provider=over).ask()
    assert caught.value.kind == "bad_response"


async def test_bytes_after_an_answer(transports: Transports, alpha: Simulator) -> None:
    """Data after a response is not taken for the next one; the connection is closed."""
    alpha.faults.append(Garbage())
    line = line_to(transports, alpha.url)
    await line.ask()
    status, body = await line.ask()
    assert (status, alpha.canary.encode() in body) == (200, True)
    assert [request.reused for request in alpha.requests] == [False, False]


async def test_a_redirect_is_an_answer(transports: Transports, over: str, alpha: Simulator) -> None:
    """Redirects are not followed."""
    alpha.fault = Redirect()
    assert (await line_to(transports, alpha.url, provider=over).ask())[0] == 307
    assert len(alpha.requests) == 1


async def test_cookies_are_not_kept(transports: Transports, over: str, alpha: Simulator) -> None:
    """A cookie from one caller's response is not sent with the next request."""
    alpha.fault = Headers(("set-cookie", "session=1"))
    line = line_to(transports, alpha.url, provider=over)
    await line.ask()
    await line.ask()
    assert alpha.requests[1].header("cookie") is None


async def test_no_proxy_from_the_environment(
    transports: Transports, over: str, alpha: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxy settings of the environment are ignored, so that keys go only where the file says."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert (await line_to(transports, alpha.url, provider=over).ask())[0] == 200


async def test_clocks_know_when_it_connects(transports: Transports, over: str, alpha: Simulator) -> None:
    """The connect limit applies until there is a connection, new or reused."""
    events: list[str] = []

    class Recording(AttemptTimeouts):
        __slots__ = ()

        def connecting(self) -> None:
            events.append("connecting")

        def connected(self) -> None:
            events.append("connected")

    line = line_to(transports, alpha.url, provider=over)
    await line.ask(Recording(Timeouts(), 15.0))
    assert events == ["connecting", "connected"]
    await line.ask(Recording(Timeouts(), 15.0))
    assert events == ["connecting", "connected"] * 2


async def test_a_connection_that_is_never_made(transports: Transports, over: str, alpha: Simulator) -> None:
    """A host that does not respond ends the attempt at the connect limit."""

    class Unarmed(AttemptTimeouts):
        __slots__ = ()

        def connecting(self) -> None:
            """Leaves the limit to the transport: a busy machine cannot tell which is first."""

    line = line_to(transports, alpha.url, provider=over)
    await alpha.down(silent=True)
    clocks = Unarmed(Timeouts(connect=0.5), 15.0)
    with pytest.raises(Unreachable) as caught, clocks:
        await line.ask(clocks)
    assert caught.value.kind == "connect"


async def test_a_transport_of_the_operators(transports: Transports) -> None:
    """A provider can use any httpx2 transport, named by import string."""
    line = line_to(transports, "http://127.0.0.1:9/v1", provider='transport = "tests.proxy.custom:Canned"')
    status, body = await line.ask()
    assert (status, b"canned" in body) == (200, True)


async def test_closed_and_used_again(transports: Transports, over: str, alpha: Simulator) -> None:
    """`aclose` closes every connection, and a later request opens new ones."""
    routes = routes_to(alpha.url, provider=over)
    await Line(transports.to(routes.targets["a"])).ask()
    assert alpha.open == 1
    await transports.aclose()
    await alpha.wait_for(lambda: alpha.open == 0)
    assert (await Line(transports.to(routes.targets["a"])).ask())[0] == 200
    await transports.aclose()
    await transports.aclose()
    await alpha.wait_for(lambda: alpha.open == 0)


async def test_somebody_elses_transport_is_asked_once(transports: Transports, alpha: Simulator) -> None:
    """With a foreign transport a stale connection cannot be recognised, so no request is repeated."""
    alpha.fault = stale_keep_alive
    line = line_to(transports, alpha.url, provider='transport = "httpx2:AsyncHTTPTransport"')
    assert (await line.ask())[0] == 200
    with pytest.raises(Unreachable) as caught:
        await line.ask()
    assert (caught.value.kind, len(alpha.requests)) == ("connect", 2)


async def test_the_fresh_connection_is_closed_too(transports: Transports, alpha: Simulator) -> None:
    """The connection of a repeated request is not kept idle."""
    alpha.fault = stale_keep_alive
    line = line_to(transports, alpha.url)
    await line.ask()
    await line.ask()
    await alpha.wait_for(lambda: alpha.open == 0)
