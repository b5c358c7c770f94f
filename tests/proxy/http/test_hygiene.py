"""Hygiene over plain ASGI: which requests it passes and how, under any server and host."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import ip_network
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
    """An app that records its scopes and answers "yes", or calls `instead`."""

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
        """The exchange of the only request."""
        [scope] = self.scopes
        return Exchange.of(scope)


def _bare(headers: Iterable[tuple[bytes, bytes]]) -> Scope:
    return {**scope_of(), "headers": list(headers)}


async def test_what_stands_inside_finds_the_facts() -> None:
    """The exchange has the operation, dialect, path, time limit and maximum body size."""
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
    """The server's and the host's scope keeps its original headers."""
    original = [
        (b"host", b"a"),
        (b"content-type", b"application/json"),
        (b"connection", b"close"),
        (b"x_a", b"1"),
    ]
    scope = _bare(original)
    inside = _Inside()

    await ask(Hygiene(inside), scope=scope)

    assert scope["headers"] == original
    assert [name for name, _ in inside.scopes[0]["headers"]] == [b"host", b"content-type"]


async def test_headers_that_come_late_never_count() -> None:
    """S1: httptools appends trailers to the list of headers while the body is read, and they are ignored."""
    inside = _Inside()
    scope = scope_of()

    await ask(Hygiene(inside), scope=scope)
    scope["headers"].append((b"authorization", b"Bearer evil"))

    assert inside.exchange.headers == tuple(inside.scopes[0]["headers"])
    assert b"authorization" not in dict(inside.exchange.headers)


async def test_an_exchange_that_began_outside_is_kept() -> None:
    """An exchange created by an outer app is used, with the cleaned headers."""
    inside = _Inside()
    scope = scope_of(headers=[(b"x_a", b"1")])
    existing = Exchange.of(scope)

    await ask(Hygiene(inside), scope=scope)

    assert inside.exchange is existing
    assert b"x_a" not in dict(existing.headers)


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
    """The dialect of a refusal comes from the path below the mount, or from a header."""
    scope = scope_of(root + path, method="PATCH", headers=headers, root_path=root)

    caller = await ask(Hygiene(_Inside()), scope=scope)

    assert ("type" in caller.json) is (dialect == "anthropic")


async def test_a_refusal_from_inside_is_answered() -> None:
    """A Refusal raised by the inner app becomes the response."""

    async def refuse(_send: Send) -> None:
        raise Refusal("unknown_model", param="model")

    scope = scope_of()
    caller = await ask(Hygiene(_Inside(refuse)), scope=scope)

    request_id = Exchange.of(scope).id
    assert caller.body == render(Refusal("unknown_model", param="model"), request_id, "openai")[2]
    assert caller.status == 404
    assert caller.headers[b"x-standby-request-id"] == request_id.encode()


async def test_a_refusal_after_the_answer_began_travels_on() -> None:
    """After the start of a response a Refusal is raised again, and no second response is sent."""

    async def begin_and_refuse(send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise Refusal("overloaded")

    caller = Caller()
    with pytest.raises(Refusal):
        await Hygiene(_Inside(begin_and_refuse))(scope_of(), caller.receive, caller.send)

    assert len(caller.messages) == 1


@pytest.mark.parametrize("error", [ValueError("sk-secret"), Interrupted(), ExceptionGroup("a", [OSError()])])
async def test_a_crash_is_answered_and_travels_on(error: Exception) -> None:
    """The client gets a documented code, and the exception is raised again for the server's log."""

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
    """If the refusal cannot be sent, the original exception is raised."""

    async def crash(_send: Send) -> None:
        raise ValueError

    async def gone(message: Message) -> None:
        raise OSError

    caller = Caller()
    with pytest.raises(ValueError):
        await Hygiene(_Inside(crash))(scope_of(), caller.receive, gone)


async def test_silence_inside_is_an_internal_error() -> None:
    """An app that returns without a response causes a documented error instead of the server's 500."""

    async def nothing(_send: Send) -> None:
        return

    caller = await ask(Hygiene(_Inside(nothing)))

    assert (caller.status, caller.json["error"]["code"]) == (500, "internal_error")


async def test_a_client_that_left_is_nobodys_error() -> None:
    """ClientGone causes no response and no exception."""

    async def left(_send: Send) -> None:
        raise ClientGone

    caller = await ask(Hygiene(_Inside(left)))

    assert caller.messages == []


async def test_every_answer_names_its_request_once() -> None:
    """A response gets the gateway's report, and the app's own `x-standby-*` headers are removed."""

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
    """A lifespan scope is passed on."""
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
    """A WebSocket is closed, because no middleware checks WebSockets."""
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
    """Under Starlette's mount the paths are relative to the mount point."""
    host = Starlette(routes=[Mount("/llm", app=Hygiene(_Inside()))])

    caller = await ask(host, scope=scope_of(path))

    assert caller.status == status


ORIGIN = "https://app.example"


async def test_pages_of_other_origins() -> None:
    """A page's script may call only from an origin in `cors`, and may read refusals too."""
    hygiene = Hygiene(_Inside(), cors=(ORIGIN,))
    asks = [(b"origin", ORIGIN.encode()), (b"access-control-request-method", b"POST")]
    asked = [*asks, (b"access-control-request-headers", b"authorization, x-stainless-os")]
    allowed = await ask(hygiene, scope=scope_of(method="OPTIONS", headers=asked))
    assert allowed.status == 200
    assert allowed.headers[b"access-control-allow-origin"] == ORIGIN.encode()
    assert allowed.headers[b"access-control-allow-headers"] == b"authorization, x-stainless-os"
    refused = await ask(hygiene, scope=scope_of("/nowhere", headers=[asks[0]]))
    assert (refused.status, refused.headers[b"access-control-allow-origin"]) == (404, ORIGIN.encode())
    other = [(b"origin", b"https://evil.example"), asks[1]]
    assert (await ask(hygiene, scope=scope_of(method="OPTIONS", headers=other))).status == 400


async def test_without_cors_no_page_may_call() -> None:
    """By default a preflight is a method that the path does not take, and no answer names an origin."""
    headers = [(b"origin", ORIGIN.encode()), (b"access-control-request-method", b"POST")]
    assert (await ask(Hygiene(_Inside()), scope=scope_of(method="OPTIONS", headers=headers))).status == 405
    answer = await ask(Hygiene(_Inside()), scope=scope_of(headers=headers[:1]))
    assert b"access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("client", "forwarded", "seen"),
    [
        ("10.1.2.3", b"203.0.113.7", "203.0.113.7"),
        ("::ffff:10.1.2.3", b"203.0.113.7", "203.0.113.7"),
        ("10.1.2.3", b"6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("10.1.2.3", b"203.0.113.7, 10.9.9.9", "203.0.113.7"),
        ("10.1.2.3", b"nonsense", "nonsense"),
        ("192.0.2.1", b"203.0.113.7", "192.0.2.1"),
    ],
)
async def test_whose_address_it_is(client: str, forwarded: bytes, seen: str) -> None:
    """Behind trusted proxies the caller is the nearest address that is none of theirs; the header of anybody
    else means nothing."""
    inside = _Inside()
    hygiene = Hygiene(inside, trusted_proxies=(ip_network("10.0.0.0/8"),))
    scope = {**scope_of(headers=[(b"x-forwarded-for", forwarded)]), "client": (client, 1)}
    await ask(hygiene, scope=scope)
    await ask(Hygiene(inside), scope=scope)
    assert [each["client"][0] for each in inside.scopes] == [seen, client]
    assert scope["client"] == (client, 1)
