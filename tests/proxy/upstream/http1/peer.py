"""A scripted provider that sends exact bytes, and helpers that send requests to it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2
from standby.proxy.upstream.http1.pool import Pool

__all__ = [
    "BODY",
    "CERTIFICATE",
    "EXPIRED",
    "OK",
    "Cancelling",
    "Peer",
    "fetch",
    "inside",
    "open_response",
    "peer",
    "pool_to",
    "respond_with",
    "turn_until",
    "until_idle",
]

BODY: Final = b'{"model": "m"}'
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CERTIFICATE: Final = Path(__file__).with_name("certificate.pem")
"""A self-signed certificate with its key for localhost, provider.test and 127.0.0.1, valid for a hundred
years."""

EXPIRED: Final = Path(__file__).with_name("expired.pem")
"""The same, for January 2020."""

Serve: TypeAlias = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A listening provider.

    `open` is the number of its open connections, `requests` that of the requests it has read.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._changed = asyncio.Condition()
        self.host, self.port, self.scheme = "127.0.0.1", 0, "http"
        self.accepted = 0
        self.open = 0
        self.requests = 0
        self.received = b""

    @property
    def url(self) -> httpx2.URL:
        """Its URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return httpx2.URL(f"{self.scheme}://{host}:{self.port}/v1/chat")

    async def read_request(self, reader: asyncio.StreamReader, body: bytes = BODY) -> int:
        """Read one request and return its number, from 1.

        Raises IncompleteReadError at the end of the connection.
        """
        self.received = await reader.readuntil(b"\r\n\r\n")
        if body:
            self.received += await reader.readexactly(len(body))
        self.requests += 1
        await self.notify()
        return self.requests

    async def notify(self) -> None:
        """Wake the tasks in `wait_for`."""
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Wait until the condition is true, for 20 seconds at most."""
        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(condition)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side closes it."""
        self.accepted += 1
        self.open += 1
        try:
            await self._serve(self, reader, writer)
            if not writer.is_closing():
                await reader.read()  # until the client closes the connection
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, TimeoutError):
            pass
        except RuntimeError:
            assert writer.is_closing()  # uvloop raises this for a closed connection
        finally:
            writer.transport.abort()
            self.open -= 1
            await self.notify()


@asynccontextmanager
async def peer(
    serve: Serve,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: bool = False,
    certificate: Path = CERTIFICATE,
) -> AsyncGenerator[Peer]:
    """A provider that serves every connection with `serve`.

    At the end it waits until every connection is closed.
    """
    listening = Peer(serve)
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.set_alpn_protocols(["h2", "http/1.1"])
        listening.scheme = "https"
    server = await asyncio.start_server(listening, host, port, ssl=context)
    listening.host, listening.port = server.sockets[0].getsockname()[:2]
    try:
        yield listening
        await listening.wait_for(lambda: listening.open == 0)
    finally:
        server.close()  # not wait_closed: after a failed test it would wait for open connections


def respond_with(answer: bytes | Callable[[int], bytes | None]) -> Serve:
    """Answer the nth request with these bytes.

    Closes the connection after None, and after anything that does not end with OK.
    """

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            number = await listening.read_request(reader)
            data = answer if isinstance(answer, bytes) else answer(number)
            writer.write(data or b"")
            if data is None or not data.endswith(OK):
                await writer.drain()
                writer.close()
                return

    return serve


@asynccontextmanager
async def pool_to(
    listening: Peer, *, connections: int = 10, keep_alive: float = 30.0, url: httpx2.URL | None = None
) -> AsyncGenerator[Pool]:
    """A pool of connections to this provider, closed at the end."""
    context = None
    if listening.scheme == "https":
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
    pool = Pool(url or listening.url, context=context, connections=connections, keep_alive=keep_alive)
    try:
        yield pool
    finally:
        await pool.aclose()


async def open_response(
    pool: Pool,
    listening: Peer,
    *,
    method: str = "POST",
    body: bytes = BODY,
    stream: httpx2.AsyncByteStream | None = None,
    headers: list[tuple[bytes, bytes]] | None = None,
    wait: float | None = 5.0,
    connect: float | None = 5.0,
    url: httpx2.URL | None = None,
) -> httpx2.Response:
    """Send one request and return its response once the head has arrived."""
    sent_headers = [(b"host", b"x"), (b"content-length", b"%d" % len(body))] if headers is None else headers
    request = httpx2.Request(
        method,
        url or listening.url,
        headers=sent_headers,
        stream=stream or httpx2.ByteStream(body),
        extensions={"timeout": {"pool": wait, "connect": connect, "read": None, "write": None}},
    )
    return await pool.handle_async_request(request)


async def fetch(pool: Pool, listening: Peer, **more: Any) -> tuple[int, bytes]:
    """Send one request and return its status and whole body."""
    response = await open_response(pool, listening, **more)
    stream: Any = response.stream
    try:
        return response.status_code, b"".join([part async for part in stream])
    finally:
        await stream.aclose()


def inside(thing: object) -> Any:
    """Returns the object as Any, so that a test may access private attributes."""
    return thing


async def turn_until(condition: Callable[[], object]) -> None:
    """Let the event loop run until the condition is true, for 20 seconds at most."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  (nobody tells: the room has no need to)
            await asyncio.sleep(0)


async def until_idle(pool: Pool) -> None:
    """Wait until the pool has nothing but idle connections."""
    slots = inside(pool.slots)
    await turn_until(
        lambda: not (slots.busy or slots.waiting or slots._connecting) and slots.connections == slots.idle
    )


def _cancel(task: asyncio.Task[Any], _: object) -> None:
    task.cancel()


class Cancelling:
    """Awaits something, and cancels the task at its nth wait: during that wait, or with `late` as it ends.

    `reached` is whether there was an nth wait.
    """

    def __init__(self, awaitable: Awaitable[object], number: int, *, late: bool) -> None:
        self._awaitable = awaitable
        self._remaining = number
        self._late = late
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._awaitable.__await__()
        try:
            waited = next(steps)
            while True:
                if self._remaining == 0 and not self.reached:
                    self.reached = True
                    if self._late and waited is not None:
                        waited.add_done_callback(partial(_cancel, task))
                    else:
                        task.cancel()
                self._remaining -= 1
                try:
                    sent = yield waited
                except BaseException as error:  # noqa: BLE001  (passed on)
                    waited = steps.throw(error)
                else:
                    waited = steps.send(sent)
        except StopIteration as stop:
            return stop.value
