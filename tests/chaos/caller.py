"""One caller: it asks once, and may hang up in the middle of the answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import h11
import orjson

__all__ = ["PATHS", "Asked", "CallResult", "Path", "ask"]

Path: TypeAlias = Literal["/v1/chat/completions", "/v1/responses", "/v1/messages"]

PATHS: Final[tuple[Path, ...]] = ("/v1/chat/completions", "/v1/responses", "/v1/messages")

_RESETS: Final = struct.pack("ii", 1, 0)
_PATIENCE: Final = 60.0
"""Seconds after which a gateway counts as never answering."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and how long the caller stays: `leaves` seconds, or until the end if that is None.

    `include_usage` is `include_usage` of a stream, left out where it is None. `limit_ms` is the
    caller's time limit, and `more` are other fields.
    """

    ticket: str
    secret: str
    model: str = "cheap"
    prompt: str = "hello"
    path: Path = "/v1/chat/completions"
    streamed: bool = False
    include_usage: bool | None = None
    max_tokens: int | None = 16
    leaves: float | None = None
    reset: bool = False
    limit_ms: int | None = None
    more: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def document(self) -> dict[str, Any]:
        """The body, in the dialect of the path."""
        limit = "max_output_tokens" if self.path == "/v1/responses" else "max_tokens"
        document: dict[str, Any] = {"model": self.model, limit: self.max_tokens, "user": self.ticket}
        document["messages"] = [{"role": "user", "content": self.prompt}]
        if self.path == "/v1/responses":
            document["input"] = document.pop("messages")
        elif self.path == "/v1/messages":
            document["metadata"] = {"user_id": document.pop("user")}
        if self.max_tokens is None:
            del document[limit]
        if self.streamed:
            document["stream"] = True
        if self.include_usage is not None:
            document["stream_options"] = {"include_usage": self.include_usage}
        return {**document, **self.more}

    @property
    def request(self) -> bytes:
        """The request on the wire."""
        body = orjson.dumps(self.document)
        limit = "" if self.limit_ms is None else f"x-standby-timeout-ms: {self.limit_ms}\r\n"
        head = (
            f"POST {self.path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n"
            f"authorization: Bearer {self.secret}\r\ncontent-type: application/json\r\n"
            f"{limit}content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(slots=True)
class CallResult:
    """What came back. `status` is 0 where no head came; `whole`: nothing of the answer is missing."""

    asked: Asked
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    whole: bool = False
    left: bool = False

    @property
    def request_id(self) -> str | None:
        """The gateway's name for the request."""
        return self.headers.get("x-standby-request-id")

    @property
    def code(self) -> str | None:
        """The code of a refusal."""
        if self.status in {0, 200} or not self.whole:
            return None
        found: dict[str, Any] = orjson.loads(self.body)["error"]
        return found.get("code")

    @property
    def json(self) -> Any:
        """The body as a document."""
        return orjson.loads(self.body)


async def ask(port: int, asked: Asked) -> CallResult:
    """Ask once, on a connection of its own. A gateway that is killed meanwhile is no error."""
    result = CallResult(asked)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return result
    try:
        writer.write(asked.request)
        async with asyncio.timeout(_PATIENCE if asked.leaves is None else asked.leaves):
            await _read(reader, result)
    except TimeoutError:
        assert asked.leaves is not None, f"{asked.ticket} was never answered"
        result.left = True
        if asked.reset:
            connection: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):  # the gateway may have closed it meanwhile
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)
    except OSError:
        pass
    finally:
        writer.transport.abort()
    return result


async def _read(reader: asyncio.StreamReader, result: CallResult) -> None:
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="POST", target="/", headers=[("host", "gateway")]))
    parser.send(h11.EndOfMessage())
    while True:
        try:
            event = parser.next_event()
        except h11.RemoteProtocolError:
            return  # it ended in the middle
        if event is h11.NEED_DATA:
            parser.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            result.status = event.status_code
            result.headers = {name.decode(): value.decode() for name, value in event.headers}
        elif isinstance(event, h11.Data):
            result.body += event.data
        elif isinstance(event, h11.EndOfMessage):
            result.whole = True
            return
        elif isinstance(event, h11.ConnectionClosed):
            return
