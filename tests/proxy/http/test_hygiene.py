"""The outermost step over plain ASGI: what it lets in and how, under any server and any host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from standby.proxy.asgi import Message, Receive, Scope, Send
from standby.proxy.errors import ClientGone, Interrupted, Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.http.hygiene import Hygiene
from standby.proxy.http.refusal import render
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.proxy.harness import Caller, ask, scope_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class _Inside:
    """An app that keeps the scope it was given and says "yes", or does as told."""

    def __init__(self, instead: Callable[[Send], Any] | None = None) -> None:
        self.scopes: list[Scope] = []
        self.instead = instead

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if self.instead is not None:
            await self.instead(send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"yes"})

    @property
    def exchange(self) -> Exchange:
        """The facts of the one request that came in."""
        [scope] = self.scopes
        return Exchange.of(scope)


def _bare(headers: Iterable[tuple[bytes, bytes]]) -> Scope:
    return {**scope_of(), "headers": list(headers)}


async def test_what_stands_inside_finds_the_facts() -> None:
    """The exchange says what is asked, in which dialect, where, within how long, and how much may come."""
    inside = _Inside()
    scope = scope_of("/v1/messages", headers=[(b"x-standby-timeout-ms", b"1500"), (b"x-mine", b"1")])

    await ask(Hygiene(inside, max_body=1000), scope=scope)

    exchange = inside.exchange
    assert exchange.operation is not None
    assert (exchange.operation.name, exchange.dialect, exchange.path) == (
        "messages",
        "anthropic",
        "/v1/messages",
    )
    assert (exchange.time_limit, exchange.max_body) == (1.5, 1000)
    assert exchange.headers == tuple(inside.scopes[0]["headers"])
    assert exchange is scope["standby"]


async def test_the_scope_outside_stays_as_it_was() -> None:
    """The server and the host's own middlewares still find the headers that came."""
    came = [
        (b"host", b"a"),
        (b"content-type", b"application/json"),
        (b"connection", b"close"),
        (b"x_a", b"1"),
    ]
    scope = _bare(came)
    inside = _Inside()

    await ask(Hygiene(inside), scope=scope)

    assert scope["headers"] == came
    assert [name for name, _ in inside.scopes[0]["headers"]] == [b"host", b"content-type"]


async def test_headers_that_come_late_never_count() -> None:
    """S1: httptools appends trailers to the list of headers while the body is read."""
    inside = _Inside()
    scope = scope_of()

    await ask(Hygiene(inside), scope=scope)
    scope["headers"].append((b"authorization", b"Bearer evil"))

    assert inside.exchange.headers == tuple(inside.scopes[0]["headers"])
    assert b"authorization" not in dict(inside.exchange.headers)


async def test_an_exchange_that_began_outside_is_kept() -> None:
    """Whoever stands outside and looks at the same request sees the same facts, without what was dropped."""
    inside = _Inside()
    scope = scope_of(headers=[(b"x_a", b"1")])
    began = Exchange.of(scope)

    await ask(Hygiene(inside), scope=scope)

    assert inside.exchange is began
    assert b"x_a" not in dict(began.headers)


@pytest.mark.parametrize(
    ("path", "headers", "dialect"),
    [
        ("/v1/messages", [], "anthropic"),
        ("/v1/messages/batches", [], "anthropic"),
        ("/v1/models", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        ("/v1/models", [], "openai"),
        ("/v1/chat/completions", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        ("/nowhere", [], "openai"),
    ],
)
@pytest.mark.parametrize("root", ["", "/llm"])
async def test_a_refusal_speaks_the_callers_dialect(
    root: str, path: str, headers: list[tuple[bytes, bytes]], dialect: str
) -> None:
    """Whom a refusal is for shows in the path or in a header, wherever we are mounted."""
    scope = scope_of(root + path, method="PATCH", headers=headers, root_path=root)

    caller = await ask(Hygiene(_Inside()), scope=scope)

    assert ("type" in caller.json) is (dialect == "anthropic")


async def test_a_refusal_from_inside_is_answered() -> None:
    """Whatever stands inside may raise a refusal instead of answering."""

    async def refuse(_send: Send) -> None:
        raise Refusal("unknown_model", param="model")

    scope = scope_of()
    caller = await ask(Hygiene(_Inside(refuse)), scope=scope)

    told = Exchange.of(scope).id
    assert caller.body == render(Refusal("unknown_model", param="model"), told, "openai")[2]
    assert caller.status == 404
    assert caller.headers[b"x-standby-request-id"] == told.encode()


async def test_a_refusal_after_the_answer_began_travels_on() -> None:
    """There is one answer: what has begun is not begun again."""

    async def begin_and_refuse(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise Refusal("overloaded")

    caller = Caller()
    with pytest.raises(Refusal):
        await Hygiene(_Inside(begin_and_refuse))(scope_of(), caller.receive, caller.send)

    assert len(caller.messages) == 1


@pytest.mark.parametrize("error", [ValueError("sk-secret"), Interrupted(), ExceptionGroup("a", [OSError()])])
async def test_a_crash_is_answered_and_travels_on(error: Exception) -> None:
    """The client gets a documented code, and the server the exception to log."""

    async def crash(_send: Send) -> None:
        raise error

    caller = Caller()
    with pytest.raises(type(error)) as raised:
        await Hygiene(_Inside(crash))(scope_of(), caller.receive, caller.send)

    assert raised.value is error
    assert (caller.status, caller.json["error"]["code"]) == (500, "internal_error")
    assert b"secret" not in caller.body
    assert caller.headers[b"connection"] == b"close"


async def test_a_crash_that_cannot_be_answered_is_still_the_crash() -> None:
    """Where `send` raises because the client has gone, what travels on is the first trouble."""

    async def crash(_send: Send) -> None:
        raise ValueError

    async def gone(message: Message) -> None:
        raise OSError

    caller = Caller()
    with pytest.raises(ValueError):
        await Hygiene(_Inside(crash))(scope_of(), caller.receive, gone)


async def test_silence_inside_is_an_internal_error() -> None:
    """An app that returns without an answer does not leave the caller with the server's bare 500."""

    async def nothing(_send: Send) -> None:
        return

    caller = await ask(Hygiene(_Inside(nothing)))

    assert (caller.status, caller.json["error"]["code"]) == (500, "internal_error")


async def test_a_client_that_left_is_nobodys_error() -> None:
    """When there is no one to answer, nothing is answered and nothing raised."""

    async def left(_send: Send) -> None:
        raise ClientGone

    caller = await ask(Hygiene(_Inside(left)))

    assert caller.messages == []


async def test_every_answer_names_its_request_once() -> None:
    """An answer from inside gets our report, whatever it claims of itself under our names."""

    async def claim(send: Send) -> None:
        headers = [(b"x-standby-request-id", b"req_forged"), (b"x-standby-target", b"forged"), (b"x-a", b"b")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    scope = scope_of()
    caller = await ask(Hygiene(_Inside(claim)), scope=scope)

    names = [name for name, _ in caller.messages[0]["headers"]]
    assert names.count(b"x-standby-request-id") == 1
    assert caller.headers[b"x-standby-request-id"] == Exchange.of(scope).id.encode()
    assert caller.headers[b"x-a"] == b"b"
    assert b"x-standby-target" not in names


async def test_the_lifespan_passes() -> None:
    """What is no request is not judged."""
    inside = _Inside(instead=None)
    messages: list[Message] = []

    async def lifespan(_send: Send) -> None:
        messages.append({"type": "seen"})

    inside.instead = lifespan
    caller = Caller()
    await Hygiene(inside)({"type": "lifespan"}, caller.receive, caller.send)

    assert messages == [{"type": "seen"}]
    assert caller.messages == []


async def test_a_websocket_is_turned_away() -> None:
    """Nothing inside would judge it."""
    inside = _Inside()
    caller = Caller()

    await Hygiene(inside)({"type": "websocket", "path": "/v1/responses"}, caller.receive, caller.send)

    assert inside.scopes == []
    assert [message["type"] for message in caller.messages] == ["websocket.close"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/llm/v1/chat/completions", 200), ("/llm/v1/nothing", 404), ("/v1/chat/completions", 404)],
)
async def test_a_host_may_mount_it(path: str, status: int) -> None:
    """Under Starlette's mount the paths are the same, below the mount."""
    host = Starlette(routes=[Mount("/llm", app=Hygiene(_Inside()))])

    caller = await ask(host, scope=scope_of(path))

    assert caller.status == status
