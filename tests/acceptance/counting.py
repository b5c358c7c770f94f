"""Counts the calls of one request, in one process, at a gateway whose provider is in memory.

Everything of the gateway takes part, its own HTTP/1.1 transport too. The count does not depend on the
machine, nor on what else runs there, as a time does.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple

import uvloop
from standby.proxy.asgi import Message
from standby.proxy.config import Routes
from standby.proxy.gateway import Gateway
from standby.proxy.upstream.coarse_timer import GRANULARITY, LISTEN_DELAY
from typing_extensions import override

from tests.bench.gateways import stack_routes
from tests.bench.inside import scope_of
from tests.bench.payloads import (
    ANSWER,
    DONE,
    STREAM_HEAD,
    UNARY_HEAD,
    chat_body,
    chunk,
    stream_body,
)

__all__ = ["Call", "Calls", "Stack", "counted", "traced"]

_WARM: Final = 8
_COUNTED: Final = 4
_QUIET: Final = LISTEN_DELAY + 3 * GRANULARITY
"""Seconds in which the timers of earlier requests end, which would be counted otherwise."""
_OURS: Final = (__file__, "bench/inside.py")
"""Files whose calls are the test's own."""


class Stack(NamedTuple):
    """The middlewares of a gateway, from the outermost, and its store."""

    middlewares: tuple[str, ...]
    store: str = "memory:"

    @property
    def routes(self) -> Routes:
        """The configuration."""
        return stack_routes(1, self.middlewares, self.store)


class Calls(NamedTuple):
    """How often functions were called: those in Python, resumed coroutines among them, and those in C."""

    python: float
    c: float


def counted(stack: Stack, *, words: int | None = None) -> Calls:
    """The calls of one request, for a whole answer or a stream of so many words. The least of several."""
    found: list[Calls] = []
    loop = _Loop(words or 0)
    try:
        loop.run_until_complete(_requests(stack, words, found))
    finally:
        loop.close()
    return Calls(min(calls.python for calls in found), min(calls.c for calls in found))


class Call(NamedTuple):
    """One call of a function in Python: its file and qualified name, and the file of its caller."""

    file: str
    function: str
    caller: str


def traced(stack: Stack, *, words: int | None = None) -> list[Call]:
    """The functions in Python that one request calls, in order. A coroutine that goes on is no call."""
    loop = _Loop(words or 0)
    try:
        return loop.run_until_complete(_walk(stack, words))
    finally:
        loop.close()


async def _requests(stack: Stack, words: int | None, found: list[Calls]) -> None:
    body = chat_body() if words is None else stream_body(words, 0)
    async with Gateway(stack.routes) as gateway:
        await asyncio.to_thread(gateway.prepare)
        for _ in range(_WARM):
            await asyncio.create_task(_ask(gateway, body))
        for _ in range(_COUNTED):
            await asyncio.sleep(_QUIET)
            counter = _Counter()
            sys.setprofile(counter)
            await asyncio.create_task(_ask(gateway, body))
            sys.setprofile(None)
            found.append(Calls(counter.python, counter.c))


async def _walk(stack: Stack, words: int | None) -> list[Call]:
    body = chat_body() if words is None else stream_body(words, 0)
    async with Gateway(stack.routes) as gateway:
        await asyncio.to_thread(gateway.prepare)
        for _ in range(_WARM):
            await asyncio.create_task(_ask(gateway, body))
        counter = _Counter()
        sys.setprofile(counter)
        await asyncio.create_task(_ask(gateway, body))
        sys.setprofile(None)
    return counter.walk


class _Counter:
    """A profile function. A coroutine that goes on where it waited is counted, but is not in `walk` again."""

    def __init__(self) -> None:
        self.python = 0
        self.c = 0
        self.walk: list[Call] = []
        self._seen: set[FrameType] = set()

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        code = frame.f_code
        if code.co_filename.endswith(_OURS):
            return
        if event == "call":
            self.python += 1
            if frame not in self._seen:
                self._seen.add(frame)
                caller = "" if frame.f_back is None else frame.f_back.f_code.co_filename
                self.walk.append(Call(code.co_filename, code.co_qualname, caller))
        elif event == "c_call":
            self.c += 1


async def _ask(gateway: Gateway, body: bytes) -> None:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    answer: list[Message] = []

    async def receive() -> Message:
        if not messages:
            await asyncio.Event().wait()
        return messages.pop()

    async def send(message: Message) -> None:
        answer.append(message)

    await gateway(scope_of(body), receive, send)
    assert answer[0]["status"] == 200


class _Loop(uvloop.Loop):
    """An event loop whose connections all lead to a provider in memory."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self._words = words

    @override
    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *_: object, **__: object
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        protocol = protocol_factory()
        provider = _Provider(self, protocol, self._words)
        protocol.connection_made(provider)
        return provider, protocol


class _Provider(asyncio.Transport):
    """The transport of a connection to a provider, which answers each request in the next turn of the loop.

    Of a stream, each turn brings one chunk.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol, words: int) -> None:
        super().__init__()
        self._loop = loop
        self._protocol = protocol
        word = chunk({"content": " order"})
        parts = (
            chunk({"role": "assistant", "content": ""}),
            *words * (word,),
            chunk({}, finish="stop") + DONE,
        )
        self._stream = [STREAM_HEAD, *(b"%x\r\n%b\r\n" % (len(part), part) for part in parts), b"0\r\n\r\n"]
        self._sockets = socket.socketpair()

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sockets[0] if name == "socket" else default

    @override
    def is_closing(self) -> bool:
        return False

    @override
    def get_write_buffer_size(self) -> int:
        return 0

    @override
    def abort(self) -> None:
        for each in self._sockets:
            each.close()
        self._loop.call_soon(self._protocol.connection_lost, None)

    @override
    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        parts = self._stream if b'"stream":true' in bytes(data) else [UNARY_HEAD + ANSWER]
        self._loop.call_soon(self._answer, parts)

    def _answer(self, parts: list[bytes]) -> None:
        self._protocol.data_received(parts[0])
        if parts[1:]:
            self._loop.call_soon(self._answer, parts[1:])
