"""What operators name by import string in these tests: transports and middlewares of their own."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import httpx2
from standby.proxy.asgi import ASGIApp, Message, Receive, Scope, Send
from standby.proxy.config import Duration
from typing_extensions import override

__all__ = ["NOT_CALLABLE", "Canned", "Crashes", "Marks", "Named", "Refuses", "RefusesLater", "shouting"]

NOT_CALLABLE = "a text"


class Canned(httpx2.AsyncBaseTransport):
    """A transport that says the same to everybody, and remembers nothing."""

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = b'{"id": "c1", "choices": [{"message": {"content": "canned"}}], "model": "m"}'
        headers = {"content-type": "application/json", "x-request-id": request.url.path}
        return httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(body))


@dataclass(eq=False)
class Marks:
    """A middleware that is a dataclass: adds a header to every answer."""

    app: ASGIApp
    _: KW_ONLY
    word: str
    wait: Duration = 1.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                mark = (b"x-mark", f"{self.word} {self.wait}".encode())
                message = {**message, "headers": [*message["headers"], mark]}
            await send(message)

        await self.app(scope, receive, marked)


class Named:
    """A middleware that is a plain class: adds its name to the headers of every answer."""

    def __init__(self, app: ASGIApp, name: str = "nobody") -> None:
        self.app = app
        self.name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"x-named", self.name.encode())]}
            await send(message)

        await self.app(scope, receive, named)


class Crashes:
    """A middleware with a bug."""

    def __init__(self, app: ASGIApp) -> None:
        del app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError


class Refuses:
    """A middleware that answers everything itself, like a firewall of the operator's."""

    def __init__(self, app: ASGIApp) -> None:
        del app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 451, "headers": []})
        await send({"type": "http.response.body", "body": b"ours"})


class RefusesLater(Refuses):
    """A middleware that lets the first attempt through, and answers what follows itself."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self._app = app
        self._calls = 0

    @override
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._calls += 1
        await (self._app if self._calls == 1 else super().__call__)(scope, receive, send)


def shouting(app: ASGIApp) -> ASGIApp:
    """A middleware that is a function: makes every answer upper case."""

    async def shout(scope: Scope, receive: Receive, send: Send) -> None:
        async def loudly(message: Message) -> None:
            if "body" in message:
                message = {**message, "body": bytes(message["body"]).upper()}
            await send(message)

        await app(scope, receive, loudly)

    return shout
