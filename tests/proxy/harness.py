"""What the tests of the core share.

Callers that see every message, a loop whose time can be moved, providers made of code, small configurations.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import httpx2
import pytest
from standby.proxy.asgi import ASGIApp, Message, Scope
from standby.proxy.classify.faults import Fault
from standby.proxy.config import (
    Alternate,
    Cause,
    Pool,
    Price,
    Provider,
    Routes,
    Target,
    Timeouts,
    parse_routes,
)
from standby.proxy.gateway import Gateway
from standby.proxy.health.target_health import Health, Permit
from typing_extensions import override

__all__ = [
    "ASK",
    "CHAT",
    "SCRIPTED",
    "SSE",
    "Caller",
    "Script",
    "VirtualLoop",
    "alone",
    "ask",
    "chunk",
    "pool_of",
    "rest",
    "routes_to",
    "scope_of",
    "scripted",
    "target_of",
    "virtual_time",
]

CHAT: Final = "/v1/chat/completions"
ASK: Final = {"model": "support", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
SSE: Final = ((b"content-type", b"text/event-stream"),)


def chunk(text: str | None = None, **choice: object) -> bytes:
    """One event of a chat stream: with this text, or with this choice."""
    if text is not None:
        choice = {"index": 0, "delta": {"content": text}}
    return b"data: " + json.dumps({"id": "c1", "model": "m", "choices": [choice]}).encode() + b"\n\n"


# ------------------------------------------------------------------------------------------------------- time


class _Jumping(selectors.DefaultSelector):
    """Never waits: when nothing is ready, it is later."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("everybody waits for what will never come")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which waiting takes no time. For code that opens no sockets."""

    def __init__(self) -> None:
        self._selector_with_time = _Jumping()
        super().__init__(self._selector_with_time)

    @override
    def time(self) -> float:
        return self._selector_with_time.now

    @property
    def timers(self) -> int:
        """How many timers are set."""
        return sum(not handle.cancelled() for handle in self._all())

    @property
    def armed(self) -> int:
        """How many timers have been set in this turn of the loop, and before if they are still set."""
        return len(self._all())

    def _all(self) -> list[asyncio.TimerHandle]:
        scheduled: list[asyncio.TimerHandle] = getattr(self, "_scheduled")  # noqa: B009
        return scheduled


@pytest.fixture(scope="module", name="anyio_backend")
def virtual_time() -> Iterator[tuple[str, dict[str, Any]]]:
    """A module that imports this has a loop on which waiting takes no time, and the clock of its requests is
    that of the loop."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("standby.proxy.exchange.monotonic", lambda: asyncio.get_running_loop().time())
        yield "asyncio", {"loop_factory": VirtualLoop}


# ----------------------------------------------------------------------------------------------------- caller


def scope_of(
    path: str = CHAT, *, method: str = "POST", headers: Iterable[tuple[bytes, bytes]] = (), **more: Any
) -> Scope:
    """The scope of a request as a server makes it, with what a well-behaved client sends."""
    usual = [(b"host", b"standby.test"), (b"content-type", b"application/json")]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [*usual, *headers],
        **more,
    }


class Caller:
    """One client of an ASGI app: says what it was given, records what it is sent, leaves when told to."""

    def __init__(self, *parts: bytes) -> None:
        self.messages: list[Message] = []
        self.chunks: list[bytes] = []
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.received = 0
        self._parts = list(parts) or [b""]
        self._left = asyncio.Event()
        self._news = asyncio.Condition()

    async def receive(self) -> Message:
        """The request's body part by part, then nothing until the client leaves."""
        self.received += 1
        if self._parts:
            body = self._parts.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._parts)}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Record a message, once the client takes any."""
        await self.flowing.wait()
        self.messages.append(message)
        if message["type"] == "http.response.body":
            self.chunks.append(bytes(message.get("body", b"")))
        async with self._news:
            self._news.notify_all()

    def leave(self) -> None:
        """Hang up."""
        self._left.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds; it is asked after each message."""
        async with self._news:
            await self._news.wait_for(condition)

    @property
    def started(self) -> bool:
        """Whether the answer's head has come."""
        return bool(self.messages)

    @property
    def complete(self) -> bool:
        """Whether the answer has come to its end."""
        return bool(self.chunks) and not self.messages[-1].get("more_body", False)

    @property
    def status(self) -> int:
        """The answer's status. There is exactly one head, and it is first."""
        kinds = [message["type"] for message in self.messages]
        assert kinds[0] == "http.response.start"
        assert set(kinds[1:]) <= {"http.response.body"}
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The answer's headers."""
        return dict(self.messages[0]["headers"])

    @property
    def body(self) -> bytes:
        """The answer's body, as far as it has come."""
        return b"".join(self.chunks)

    @property
    def json(self) -> Any:
        """The answer's body as a document."""
        return json.loads(self.body)


async def ask(app: ASGIApp, document: object = None, scope: Scope | None = None) -> Caller:
    """One request, from its beginning to the end of the app's call."""
    caller = Caller(json.dumps(ASK if document is None else document).encode())
    await app(scope_of() if scope is None else scope, caller.receive, caller.send)
    return caller


# -------------------------------------------------------------------------------------------------- providers


class Script(httpx2.AsyncBaseTransport):
    """A provider made of code: `play` is what its next answers send, each an iterator that may wait or raise.

    `requests` and `bodies` are what it was asked; `closed` counts the answers that were released.
    """

    def __init__(self) -> None:
        self.status = 200
        self.headers: list[tuple[bytes, bytes]] = list(SSE)
        self.play: Callable[[], AsyncIterator[bytes]] = self._nothing
        self.before: Callable[[], Awaitable[None]] | None = None
        self.requests: list[httpx2.Request] = []
        self.bodies: list[bytes] = []
        self.closed = 0

    def say(
        self,
        *pieces: bytes | BaseException | float,
        status: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = SSE,
    ) -> None:
        """Answer with these pieces: bytes are sent, exceptions raised, numbers are seconds of silence."""

        async def play() -> AsyncIterator[bytes]:
            for piece in pieces:
                if isinstance(piece, BaseException):
                    raise piece
                if isinstance(piece, bytes):
                    yield piece
                else:
                    await asyncio.sleep(piece)

        self.status, self.headers, self.play = status, list(headers), play

    async def _nothing(self) -> AsyncIterator[bytes]:
        return
        yield b""

    @override
    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        assert isinstance(request.stream, httpx2.AsyncByteStream)
        self.bodies.append(b"".join([part async for part in request.stream]))
        if self.before is not None:
            await self.before()
        return httpx2.Response(self.status, headers=self.headers, stream=_Playing(self))


class _Playing(httpx2.AsyncByteStream):
    def __init__(self, script: Script) -> None:
        self._script = script
        self._pieces = script.play()

    @override
    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    @override
    async def aclose(self) -> None:
        self._script.closed += 1


SCRIPTED: Final = 'transport = "tests.proxy.harness:Script"'
"""The TOML that puts a Script in place of the connections to a provider's target."""


def scripted(gateway: Gateway) -> dict[str, Script]:
    """The scripts of a gateway whose providers are SCRIPTED, by the target's name."""
    scripts: dict[str, Script] = {}
    for name, target in gateway.routes.targets.items():
        script = gateway.transports.to(target).transport
        assert isinstance(script, Script)
        scripts[name] = script
    return scripts


def alone(dialect: str = "openai") -> tuple[Gateway, Script]:
    """A gateway without middlewares, and what stands for its only target."""
    times = 'timeouts = { connect = "3s", first_token = "10s", stall = "20s", total = "100s" }'
    url = "http://127.0.0.1:9/v1"
    gateway = Gateway(routes_to(url, dialect=dialect, top="stack = []", provider=SCRIPTED, pool=times))
    return gateway, scripted(gateway)["a"]


# ---------------------------------------------------------------------------------------------- configuration


def price(**dollars: str) -> Price:
    """A card in dollars by a million tokens, as it is written in `routes.toml`."""
    return Price.model_validate(dollars)


def target_of(name: str = "a", *, provider: str | None = None, **fields: Any) -> Target:
    """A target, alone at its provider unless one is named."""
    account = Provider(name=provider or f"at-{name}", dialect="openai", base_url="http://127.0.0.1:9/v1")
    return Target(name=name, provider=account, model=f"model-{name}", **fields)


def pool_of(*prefer: Target, alternates: dict[Target, set[Cause]] | None = None, **fields: Any) -> Pool:
    """A pool called "support"."""
    others = [
        Alternate(target=target, causes=frozenset(causes)) for target, causes in (alternates or {}).items()
    ]
    return Pool(name="support", prefer=prefer, alternates=tuple(others), timeouts=Timeouts(**fields))


def routes_to(
    *urls: str,
    dialect: str = "openai",
    top: str = "",
    provider: str = "",
    target: str = "",
    pool: str = "",
    tables: str = "",
) -> Routes:
    """Routes with targets "a", "b", ... at these base URLs, all preferred by the pool "support", in order.

    The rest is TOML: keys at the top, of every provider, of every target, of the pool, and tables.
    """
    names = [chr(ord("a") + number) for number in range(len(urls))]
    lines = [top]
    for name, url in zip(names, urls, strict=True):
        lines += [f'[providers.at-{name}]\ndialect = "{dialect}"\nbase_url = "{url}"\n{provider}']
        lines += [f'[targets.{name}]\nprovider = "at-{name}"\nmodel = "model-{name}"\n{target}']
    lines += [f"[pools.support]\nprefer = {json.dumps(names)}\n{pool}", tables]
    return parse_routes("\n".join(lines), environ={})


def rest(health: Health, name: str, fault: Fault) -> None:
    """End an attempt at the target `name` (of `target_of`) with a fault."""
    entry = health.enter(name, f"at-{name}", "chat")
    assert isinstance(entry, Permit)
    health.record(entry, fault, proved=True)
