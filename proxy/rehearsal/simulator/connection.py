"""One caller's connection and its requests.

HTTP/1.1 is written by hand, since servers refuse invalid output.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from .answer import Document, Last, Move
from .bill import Billed, GeneratedText
from .faults import Fault

__all__ = ["Connection", "Owner", "Received"]


@dataclass(eq=False)
class Received:
    """One request as received, and its outcome."""

    number: int  # from 1, in order of arrival
    connection: int  # from 1; two requests with the same number shared a connection
    reused: bool  # the connection had served a request before
    method: str
    path: str
    headers: list[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(repr=False)
    json: Any = field(repr=False)
    at: float  # by the simulator's clock
    fault: Fault | None = None
    sent: int = 0  # bytes handed to the socket in answer
    done: bool = False  # the complete answer has been sent
    gone_at: float | None = None
    input: int = 0  # input tokens, if tokens are generated for the request
    output: int = 0  # output tokens sent so far
    reported: bool = False  # the answer has reported its complete usage
    generates: bool = False  # it is on the bill

    @property
    def is_object(self) -> bool:
        """Whether the body is a JSON object."""
        return isinstance(self.json, dict)

    @property
    def gone(self) -> bool:
        """Whether the caller hung up before the answer was complete."""
        return self.gone_at is not None

    @property
    def billed(self) -> Billed | None:
        """Its line on the bill, None if nothing was generated."""
        if not self.generates:
            return None
        request: Document = self.json if self.is_object else {}
        metadata: Any = request.get("metadata")
        named: Document = cast("Document", metadata) if isinstance(metadata, dict) else {}
        user: object = request.get("user") or named.get("user_id")
        return Billed(
            number=self.number,
            model=str(request.get("model", "unnamed")),
            user=None if user is None else str(user),
            input=self.input,
            output=self.output,
            reported=self.reported,
            aborted=self.gone,
        )

    def header(self, name: str) -> str | None:
        """Returns the first value of a header, or None."""
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == wanted), None)


class Owner(Protocol):
    """The part of the provider that its connections use."""

    accepted: int
    connections: set[Connection]

    @property
    def clock(self) -> Callable[[], float]: ...

    @property
    def sleep(self) -> Callable[[float], Awaitable[None]]: ...

    @property
    def listening(self) -> bool: ...

    def notice(self) -> None: ...

    def respond(
        self, connection: Connection, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[Iterator[Move], Received | None]: ...


class Connection(asyncio.Protocol):
    """One caller's connection. End of input counts as a hang-up, as with real servers."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        owner.accepted += 1
        self.number = owner.accepted
        self.served = 0
        self.reader = asyncio.StreamReader(limit=2**26)
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.answering: Received | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of another class
        self.task = asyncio.get_running_loop().create_task(self.serve())
        self.owner.connections.add(self)
        self.owner.notice()
        if not self.owner.listening:  # it was accepted just before
            self.drop()

    def data_received(self, data: bytes) -> None:
        self.reader.feed_data(data)

    def eof_received(self) -> None:
        self.reader.feed_eof()
        self.on_hang_up()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self.reader.feed_eof()
        self.on_hang_up()
        self.owner.connections.discard(self)
        self.owner.notice()

    def pause_writing(self) -> None:
        self.flowing.clear()

    def resume_writing(self) -> None:
        self.flowing.set()

    def on_hang_up(self) -> None:
        """Record that the caller hung up, and cancel the answer."""
        if self.answering is not None and self.answering.gone_at is None:
            self.answering.gone_at = self.owner.clock()
            self.task.cancel()
            self.owner.notice()

    def end(self, how: Last) -> None:
        """Close the connection from this side. A reset discards data that has not been sent yet."""
        self.answering = None
        if how is Last.CLOSE:
            self.transport.close()
            return
        with contextlib.suppress(OSError):  # it may be closed already
            raw = socket.dup(self.transport.get_extra_info("socket").fileno())
            with socket.socket(fileno=raw) as held:
                held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def drop(self) -> None:
        """Reset the connection and cancel its task."""
        self.end(Last.RESET)
        self.task.cancel()

    async def serve(self) -> None:
        """Answer one request after the other, until either side ends the connection."""
        try:
            while await self.answer_next():
                self.served += 1
        finally:
            self.transport.close()

    async def answer_next(self) -> bool:
        """Answer the next request. Returns whether the connection stays open."""
        try:
            method, path, headers, body = await self.read()
        except (asyncio.IncompleteReadError, ValueError):
            return False  # the caller left between requests, or does not speak HTTP
        moves, received = self.owner.respond(self, method, path, headers, body)
        self.answering = received
        for move in moves:
            if isinstance(move, Last):
                await asyncio.sleep(0)  # uvloop writes at the end of a loop iteration
                self.complete(received)
                self.end(move)
                return False
            await self.perform(move, received)
        self.complete(received)
        return not any(name.lower() == b"connection" and value.lower() == b"close" for name, value in headers)

    async def perform(self, move: bytes | float, received: Received | None) -> None:
        """Perform one move that does not end the connection."""
        if isinstance(move, bytes):
            if received is not None:
                received.sent += len(move)
                if isinstance(move, GeneratedText):
                    received.output += move.tokens
                    received.reported = received.reported or move.reports
            self.transport.write(move)
            self.owner.notice()
            await self.flowing.wait()
        elif move == math.inf:
            await asyncio.Event().wait()
        elif move:
            await self.owner.sleep(move)
        else:
            await asyncio.sleep(0)

    def complete(self, received: Received | None) -> None:
        """Record that the answer is complete, so that hanging up no longer counts as an abort."""
        self.answering = None
        if received is not None:
            received.done = True
            self.owner.notice()

    async def read(self) -> tuple[str, str, list[tuple[bytes, bytes]], bytes]:
        """Read the next request. Returns its method, path, headers and body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].split(b"\r\n")
        method, path, _ = first.decode("latin-1").split(" ")
        pairs = [line.split(b":", 1) for line in lines]
        headers = [(name, value.strip()) for name, value in pairs]
        framing = {name.lower(): value for name, value in headers}
        if framing.get(b"transfer-encoding", b"").lower() == b"chunked":
            body = bytearray()
            while size := int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            while await self.reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return method, path, headers, bytes(body)
        return method, path, headers, await self.reader.readexactly(int(framing.get(b"content-length", b"0")))
