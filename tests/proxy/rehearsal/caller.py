"""A client that exposes every byte, and the result of a strict parser."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import dataclass
from typing import Any, Final, Self

import h11
from standby.proxy.rehearsal.simulator import Simulator

__all__ = ["CHAT", "MESSAGES", "RESPONSES", "STREAMS", "Answer", "Caller", "ask", "good"]

CHAT: Final = "/v1/chat/completions"
MESSAGES: Final = "/v1/messages"
RESPONSES: Final = "/v1/responses"
STREAMS: Final = (CHAT, MESSAGES, RESPONSES)


@dataclass
class Answer:
    """An answer, as parsed by a strict HTTP/1.1 parser."""

    raw: bytes
    reset: bool  # the connection ended with RST rather than FIN
    status: int = 0
    headers: dict[str, str] | None = None
    body: bytes = b""
    whole: bool = False  # the framing says that nothing is missing
    after: bytes = b""  # what followed the answer

    def __post_init__(self) -> None:
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="POST", target="/", headers=[("host", "alpha")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(self.raw)
        parser.receive_data(b"")
        try:
            while True:
                match parser.next_event():
                    case h11.Response(status_code=status, headers=headers):
                        self.status = status
                        self.headers = {name.decode(): value.decode() for name, value in headers}
                    case h11.Data(data=data):
                        self.body += data
                    case h11.EndOfMessage():
                        self.whole = True
                        self.after = parser.trailing_data[0]
                        return
                    case _:
                        return
        except h11.RemoteProtocolError:
            return

    @property
    def json(self) -> Any:
        """The body as a JSON document."""
        return json.loads(self.body)

    @property
    def events(self) -> list[bytes]:
        """The body as server-sent events."""
        return self.body.split(b"\n\n")[:-1] if self.body.endswith(b"\n\n") else self.body.split(b"\n\n")


class Caller:
    """A client on a bare socket that sends and reads explicitly."""

    def __init__(self) -> None:
        self.socket = socket.socket()
        self.socket.setblocking(False)

    @classmethod
    async def to(cls, provider: Simulator) -> Self:
        """Connect to `provider`."""
        caller = cls()
        try:
            await asyncio.get_running_loop().sock_connect(caller.socket, ("127.0.0.1", provider.port))
        except BaseException:
            caller.hang_up()
            raise
        return caller

    async def send(self, path: str, *, close: bool = True, **fields: Any) -> None:
        """Send a JSON document by POST."""
        body = json.dumps({"model": "m", **fields}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: alpha\r\nX-Mark: One\r\ncontent-length: {len(body)}\r\n"
        closing = "connection: close\r\n" if close else ""
        await asyncio.get_running_loop().sock_sendall(self.socket, f"{head}{closing}\r\n".encode() + body)

    async def read(self, until: bytes | None = None) -> Answer:
        """Read up to the end of the connection, or to a mark."""
        raw = b""
        try:
            while data := await asyncio.get_running_loop().sock_recv(self.socket, 65536):
                raw += data
                if until is not None and until in raw:
                    break
        except ConnectionResetError:
            return Answer(raw, reset=True)
        return Answer(raw, reset=False)

    def hang_up(self) -> None:
        """Close the connection."""
        self.socket.close()


async def ask(provider: Simulator, path: str = CHAT, **fields: Any) -> Answer:
    """Send one request on a new connection, and read to its end."""
    caller = await Caller.to(provider)
    try:
        await caller.send(path, **fields)
        return await caller.read()
    finally:
        caller.hang_up()


async def good(path: str = CHAT, **fields: Any) -> Answer:
    """The answer of a healthy provider of the same name to the same request."""
    async with Simulator("alpha") as provider:
        return await ask(provider, path, **fields)
