"""A provider that sends exactly the bytes it is told to, and those who ask it."""

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
    "OK",
    "Cancelling",
    "Peer",
    "ask",
    "begin",
    "inside",
    "peer",
    "pool_to",
    "said",
    "turn_until",
    "until",
]

BODY: Final = b'{"model": "m"}'
OK: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CERTIFICATE: Final = Path(__file__).with_name("certificate.pem")
"""For localhost, provider.test and 127.0.0.1, with its key, signed by itself for a hundred years."""

Serve: TypeAlias = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A listening provider. `open` are the connections it has not seen the end of."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._news = asyncio.Condition()
        self.host, self.port, self.scheme = "127.0.0.1", 0, "http"
        self.accepted = 0
        self.open = 0
        self.asked = 0
        self.received = b""

    @property
    def url(self) -> httpx2.URL:
        """Where it is asked."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return httpx2.URL(f"{self.scheme}://{host}:{self.port}/v1/chat")

    async def hear(self, reader: asyncio.StreamReader, body: bytes = BODY) -> int:
        """Read one request, and say the how manyeth it is. Raises IncompleteReadError at the end."""
        self.received = await reader.readuntil(b"\r\n\r\n")
        if body:
            self.received += await reader.readexactly(len(body))
        self.asked += 1
        await self.tell()
        return self.asked

    async def tell(self) -> None:
        """Something has happened."""
        async with self._news:
            self._news.notify_all()

    async def wait_for(self, truth: Callable[[], bool]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(truth)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until either side ends it."""
        self.accepted += 1
        self.open += 1
        try:
            await self._serve(self, reader, writer)
            if not writer.is_closing():
                await reader.read()  # until the other side has gone
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError, TimeoutError):
            pass
        except RuntimeError:
            assert writer.is_closing()  # uvloop's word for it
        finally:
            writer.transport.abort()
            self.open -= 1
            await self.tell()


@asynccontextmanager
async def peer(
    serve: Serve, *, host: str = "127.0.0.1", port: int = 0, tls: bool = False
) -> AsyncGenerator[Peer]:
    """A provider that serves every connection so."""
    listening = Peer(serve)
    context = None
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        context.set_alpn_protocols(["h2", "http/1.1"])
        listening.scheme = "https"
    server = await asyncio.start_server(listening, host, port, ssl=context)
    listening.host, listening.port = server.sockets[0].getsockname()[:2]
    try:
        yield listening
        await listening.wait_for(lambda: listening.open == 0)
    finally:
        server.close()  # without waiting: after a failure it may have connections, and would wait for those


def said(answer: bytes | Callable[[int], bytes | None]) -> Serve:
    """Answer the nth request with these bytes; after None, and after what is not OK, hang up."""

    async def serve(listening: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            number = await listening.hear(reader)
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
    """Connections to it, closed in the end."""
    context = None
    if listening.scheme == "https":
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
    pool = Pool(url or listening.url, context=context, connections=connections, keep_alive=keep_alive)
    try:
        yield pool
    finally:
        await pool.aclose()


async def begin(
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
    """One request and the head of its answer."""
    told = [(b"host", b"x"), (b"content-length", b"%d" % len(body))] if headers is None else headers
    request = httpx2.Request(
        method,
        url or listening.url,
        headers=told,
        stream=stream or httpx2.ByteStream(body),
        extensions={"timeout": {"pool": wait, "connect": connect, "read": None, "write": None}},
    )
    return await pool.handle_async_request(request)


async def ask(pool: Pool, listening: Peer, **more: Any) -> tuple[int, bytes]:
    """One request and its whole answer."""
    response = await begin(pool, listening, **more)
    stream: Any = response.stream
    try:
        return response.status_code, b"".join([part async for part in stream])
    finally:
        await stream.aclose()


def inside(thing: object) -> Any:
    """Its private parts too, which a test may look at."""
    return thing


async def turn_until(truth: Callable[[], object]) -> None:
    """Let the loop turn until it is so."""
    async with asyncio.timeout(20):
        while not truth():  # noqa: ASYNC110  (nobody tells: the room has no need to)
            await asyncio.sleep(0)


async def until(pool: Pool) -> None:
    """Wait until nothing is left of any request but idle connections."""
    slots = inside(pool.slots)
    await turn_until(
        lambda: not (slots.busy or slots.waiting or slots._dialling) and slots.connections == slots.idle
    )


def _cancel(task: asyncio.Task[Any], _: object) -> None:
    task.cancel()


class Cancelling:
    """Awaits something, and cancels the task at the nth time that it waits: while it does, or as it ends.

    `reached` says whether it ever came to that.
    """

    def __init__(self, what: Awaitable[object], number: int, *, late: bool) -> None:
        self._what = what
        self._left = number
        self._late = late
        self.reached = False

    def __await__(self) -> Generator[Any, Any, object]:
        task = asyncio.current_task()
        assert task is not None
        steps = self._what.__await__()
        try:
            waited = next(steps)
            while True:
                if self._left == 0 and not self.reached:
                    self.reached = True
                    if self._late and waited is not None:
                        waited.add_done_callback(partial(_cancel, task))
                    else:
                        task.cancel()
                self._left -= 1
                try:
                    sent = yield waited
                except BaseException as error:  # noqa: BLE001  (passed on)
                    waited = steps.throw(error)
                else:
                    waited = steps.send(sent)
        except StopIteration as stop:
            return stop.value
