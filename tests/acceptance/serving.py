"""A gateway behind a real socket: under uvicorn as `standby serve` runs it, or a server whose `send` raises.

One server lasts for a whole run, and each test puts its own gateway behind it: starting one costs more than
most tests take.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import h11
from standby.proxy.asgi import ASGIApp, Message, Receive, Scope, Send
from standby.proxy.exchange import Exchange
from standby.proxy.server import Parser, configuration
from uvicorn import Server

__all__ = ["Front", "bound", "raising", "until", "uvicorn_under"]


class Front:
    """The app that a server runs: whatever `app` is now, with what became of each request.

    `exchanges` are the facts of every request that came in, in order; `under_way` counts those not over.
    """

    def __init__(self) -> None:
        self.app: ASGIApp | None = None
        self.port = 0
        self.under_way = 0
        self.exchanges: list[Exchange] = []

    @property
    def origin(self) -> str:
        """The base URL for the anthropic SDK; the openai SDK's ends in `/v1`."""
        return f"http://127.0.0.1:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None, "no gateway stands behind this server"
        self.exchanges.append(Exchange.of(scope))
        self.under_way += 1
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way -= 1


async def until(condition: Callable[[], bool], within: float = 5.0) -> None:
    """Return as soon as `condition` holds. Else TimeoutError, after so many seconds."""
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


def bound() -> socket.socket:
    """A socket on a free loopback port, on which nobody listens yet."""
    # Named in full: the loops turn Nagle's algorithm off only for what says it is TCP.
    held = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    held.bind(("127.0.0.1", 0))
    return held


@asynccontextmanager
async def uvicorn_under(front: Front, parser: Parser) -> AsyncGenerator[Front]:
    """The server that `standby serve` runs, on the running loop. After a hang-up its `send` stays silent."""
    config = configuration(
        _without_lifespan(front), parser=parser, graceful_seconds=1, log_level="warning", log_config=None
    )
    config.load()
    server = Server(config)
    server.lifespan = config.lifespan_class(config)
    held = bound()
    front.port = held.getsockname()[1]
    # Not `serve`: that would take the signals away from pytest, and look ten times a second whether to end.
    await server.startup(sockets=[held])
    try:
        yield front
    finally:
        await server.shutdown(sockets=[held])


def _without_lifespan(front: Front) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await front(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return app


@asynccontextmanager
async def raising(front: Front) -> AsyncGenerator[Front]:
    """A server of ASGI 2.4's other kind: once the client has hung up, `send` raises OSError."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _Raising(front, reader, writer).answer()
        finally:
            tasks.discard(task)
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    held = bound()
    front.port = held.getsockname()[1]
    server = await asyncio.start_server(accept, sock=held)
    try:
        yield front
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _Raising:
    """One request on one connection."""

    def __init__(self, front: Front, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._front = front
        self._reader = reader
        self._writer = writer
        self._parser = h11.Connection(h11.SERVER)
        self._gone = asyncio.Event()

    async def answer(self) -> None:
        request = await self._event()
        if not isinstance(request, h11.Request):
            return
        body = b""
        while isinstance(part := await self._event(), h11.Data):
            body += part.data
        watcher = asyncio.create_task(self._watch())
        path = request.target.decode()
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method.decode(),
            "scheme": "http",
            "path": path,
            "raw_path": request.target,
            "query_string": b"",
            "root_path": "",
            "headers": list(request.headers),
            "client": self._writer.get_extra_info("peername"),
            "server": self._writer.get_extra_info("sockname"),
        }
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await self._gone.wait()
            return {"type": "http.disconnect"}

        try:
            await self._front(scope, receive, self._send)
        except OSError:
            assert self._gone.is_set()
        finally:
            watcher.cancel()

    async def _event(self) -> Any:
        while (event := self._parser.next_event()) is h11.NEED_DATA:
            self._parser.receive_data(await self._reader.read(65536))
        return event

    async def _watch(self) -> None:
        with suppress(OSError):
            while await self._reader.read(65536):
                pass
        self._gone.set()

    async def _send(self, message: Message) -> None:
        if self._gone.is_set():
            raise OSError("the client has hung up")
        event: h11.Event
        if message["type"] == "http.response.start":
            event = h11.Response(status_code=message["status"], headers=message.get("headers", []))
        else:
            event = h11.Data(data=message.get("body", b""))
        self._writer.write(self._parser.send(event) or b"")
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            self._writer.write(self._parser.send(h11.EndOfMessage()) or b"")
        await self._writer.drain()
