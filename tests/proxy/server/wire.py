"""Raw requests over sockets to a real uvicorn with the inbound protocol, and their answers."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import uvicorn
from standby.proxy.asgi import ASGIApp, Receive, Scope, Send
from standby.proxy.http.hygiene import Hygiene
from standby.proxy.server import Parser, ServerLimits, configuration
from typing_extensions import override

__all__ = ["CHAT", "JSON", "Answer", "Arrived", "Recorder", "Served", "post", "serving", "until_closed"]

JSON: Final = b"Content-Type: application/json"
CHAT: Final = b"POST /v1/chat/completions HTTP/1.1"

_PATIENCE: Final = 20.0  # seconds that a test waits for an answer before it fails


def post(*headers: bytes, line: bytes = CHAT, host: bytes = b"Host: gateway", body: bytes = b"{}") -> bytes:
    """A valid request with these additional headers, on a connection to be closed after it."""
    length = b"Content-Length: %d" % len(body)
    return b"\r\n".join([line, host, JSON, length, b"Connection: close", *headers, b"", body])


@dataclass(frozen=True)
class Arrived:
    """A request as received by the app behind the inbound protocol and hygiene."""

    method: str
    path: str
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    request_id: str

    def header(self, name: bytes) -> list[bytes]:
        """Every value of this header."""
        return [value for key, value in self.headers if key == name]


@dataclass
class Recorder:
    """An app that records every request that reaches it, reads its body and answers `{"ok":true}`.

    `instead`, if set, answers in its place; `gone` counts clients that left before their request was whole.
    """

    arrived: list[Arrived] = field(default_factory=list[Arrived])
    gone: int = 0
    instead: ASGIApp | None = None

    def forget(self) -> None:
        """Clear all records."""
        self.arrived.clear()
        self.gone = 0
        self.instead = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        if self.instead is not None:
            await self.instead(scope, receive, send)
            return
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                self.gone += 1
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        headers = tuple(scope["headers"])
        self.arrived.append(Arrived(scope["method"], scope["path"], headers, body, scope["standby"].id))
        answer = [(b"content-type", b"application/json"), (b"content-length", b"11")]
        await send({"type": "http.response.start", "status": 200, "headers": answer})
        await send({"type": "http.response.body", "body": b'{"ok":true}'})


@dataclass(frozen=True)
class Answer:
    """One answer as received over the socket."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @classmethod
    def parsed(cls, raw: bytes) -> Answer:
        """Parse `raw`, which must be exactly one answer."""
        head, _, body = raw.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        pairs = tuple((name.lower(), value) for name, _, value in (each.partition(": ") for each in lines))
        return cls(int(line.split(" ")[1]), pairs, body)

    def header(self, name: str) -> list[str]:
        """Every value of this header."""
        return [value for key, value in self.headers if key == name]

    @property
    def json(self) -> Any:
        """The JSON body."""
        assert self.header("content-type") == ["application/json"]
        assert self.header("content-length") == [str(len(self.body))]
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of the error answer."""
        code: str = self.json["error"]["code"]
        return code


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()


@dataclass
class Served:
    """A server of the recorder behind hygiene, with one parser."""

    parser: Parser
    port: int
    recorder: Recorder

    @contextmanager
    def connected(self) -> Generator[socket.socket]:
        """Open a connection to it."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE) as connection:
            yield connection

    def ask(self, *pieces: bytes) -> Answer:
        """Send the pieces separately, and return the answer after which the server closes."""
        with self.connected() as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for piece in pieces:
                connection.sendall(piece)
            return Answer.parsed(until_closed(connection))

    def raw(self, sent: bytes) -> bytes:
        """Everything the server sends in answer to `sent` until it closes."""
        with self.connected() as connection:
            connection.sendall(sent)
            return until_closed(connection)


def until_closed(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@contextmanager
def serving(parser: Parser, limits: ServerLimits) -> Generator[Served]:
    """A uvicorn configured as `standby serve` does, in a thread."""
    recorder = Recorder()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = configuration(Hygiene(recorder), parser=parser, limits=limits, log_config=None)
        server = _Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert server.up.wait(_PATIENCE)
        try:
            yield Served(parser, listener.getsockname()[1], recorder)
        finally:
            server.should_exit = True
            thread.join()
