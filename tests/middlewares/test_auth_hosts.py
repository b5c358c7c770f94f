"""Auth in the stack of a host, and hosts with their own authentication."""

from __future__ import annotations

import json

import pytest
from standby.middlewares.auth import Auth
from standby.proxy.asgi import Message, Receive, Scope, Send
from standby.proxy.config import Team
from standby.proxy.errors import ConfigError, Refusal
from standby.proxy.exchange import Exchange
from standby.proxy.gateway import Gateway
from standby.proxy.keys.credentials import digests
from standby.proxy.keys.principal import Principal
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import KeyRecord
from typing_extensions import override

from tests.middlewares.auth_helpers import (
    OFF,
    OWN,
    STORED,
    FlakyStore,
    answering,
    bearer,
    call,
    code,
    nothing,
    routes,
)
from tests.proxy.harness import ASK, Caller, scope_of

__all__: list[str] = []

pytestmark = pytest.mark.anyio


# ------------------------------------------------------------------------------------------ in a host's stack


async def test_around_a_foreign_app_it_asks_for_a_key() -> None:
    """Auth works with its own store, and does not read the body."""
    store = FlakyStore()
    await store.put_key(KeyRecord(name="k", hashes={digests(STORED)[0]: None}, table={"pools": ["*"]}))
    auth = Auth(nothing, store=store)
    opened = await call(auth, bearer(STORED), path="/anything")
    assert (opened.status, opened.received) == (204, 0)
    assert code(await call(auth, path="/anything")) == "invalid_api_key"
    assert code(await call(auth, bearer(STORED), (b"x-api-key", b"b"))) == "ambiguous_credentials"
    assert code(await call(auth, bearer(STORED), (b"connection", b"Authorization"))) == "invalid_header"


async def test_around_a_foreign_app_it_knows_the_routes_it_is_given() -> None:
    """Keys of the given routes work, and teams of the routes apply to keys of the store."""
    auth = Auth(nothing, routes=routes())
    assert (await call(auth, bearer(OWN), path="/anything")).status == 204
    assert code(await call(auth, bearer(OFF), path="/anything")) == "api_key_disabled"


class Shop(Memory):
    """A store that records when it is closed."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self._events = events

    @override
    async def aclose(self) -> None:
        self._events.append("closed")
        await super().aclose()


async def test_a_store_that_it_opened_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store URL is opened by the first request, and closed before the host's shutdown is complete."""
    events: list[str] = []

    def opening(url: str) -> Shop:
        events.append(f"opened {url}")
        return Shop(events)

    monkeypatch.setattr("standby.proxy.stores.store_source.open_store", opening)
    auth = Auth(_lifespan, store="sqlite:///keys.db")
    for _ in range(2):
        assert code(await call(auth, bearer("x"), path="/anything")) == "invalid_api_key"

    async def receive() -> Message:
        return {"type": "lifespan"}

    async def send(message: Message) -> None:
        events.append(message["type"])

    await auth({"type": "lifespan"}, receive, send)
    assert events == [
        "opened sqlite:///keys.db",
        "lifespan.startup.complete",
        "closed",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("tests.middlewares.auth_helpers:nobody", "cannot be imported"),
        ("no.such.module:caller", "cannot be imported"),
        ("who", "cannot be imported: not an import string"),
        ("tests.middlewares.auth_helpers:OWN", "cannot be called"),
    ],
)
def test_a_host_that_is_not_there_stops_the_start(named: str, problem: str) -> None:
    """A wrong import string is a ConfigError with its line at the start."""
    with pytest.raises(ConfigError, match=rf"routes\.toml:\d+: auth\.principal: {problem}"):
        Gateway(routes(f'principal = "{named}"'))


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def test_a_websocket_is_turned_away() -> None:
    """A WebSocket is closed, because Auth does not check its messages."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        messages.append(message)

    await Auth(nothing)({"type": "websocket", "headers": []}, receive, send)
    assert messages == [{"type": "websocket.close", "code": 1008}]


# -------------------------------------------------------------------------- a host with authentication


@pytest.fixture
def gateway() -> Gateway:
    """A gateway whose file names the host's own authentication."""
    return answering(Gateway(routes('principal = "tests.middlewares.auth_helpers:host_says"')))


@pytest.mark.parametrize(
    ("identity", "kinds"),
    [
        ("own", ["team", "user", "key"]),
        ("key/own", ["team", "user", "key"]),
        ("ann", ["team", "user"]),
        ("user/ann", ["team", "user"]),
        ("team/web", ["team"]),
        (Principal.of(Team(name="mine", pools=("support",))), ["team"]),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_a_host_may_say_who_calls(
    gateway: Gateway, identity: Principal | str, kinds: list[str], waits: bool
) -> None:
    """The host may return a principal or a name of the file, sync or async. No key is needed then."""

    async def later() -> Principal | str:
        return identity

    scope = scope_of(client=("192.0.2.1", 1), host_says=later if waits else identity)
    caller = Caller(json.dumps(ASK).encode())
    await gateway(scope, caller.receive, caller.send)
    principal = Exchange.of(scope).principal
    assert (caller.status, [each.kind for each in principal.scopes] if principal else []) == (200, kinds)


@pytest.mark.parametrize("identity", [None, "nobody", "team/ann", "pool/support", "", "key/own/x"])
async def test_whom_the_host_does_not_know_may_not_call(gateway: Gateway, identity: str | None) -> None:
    """None and unknown names are refused, even with a valid key."""
    assert code(await call(gateway, bearer(OWN), host_says=identity)) == "invalid_api_key"


async def test_the_rules_hold_for_whom_the_host_names(gateway: Gateway) -> None:
    """Grants, expiry and addresses apply as for a key."""
    assert code(await call(gateway, host_says="off")) == "api_key_disabled"
    assert code(await call(gateway, host_says="near")) == "ip_not_allowed"
    assert code(await call(gateway, host_says="own", model="writing")) == "model_not_allowed"


async def test_a_host_that_fails_lets_nobody_in(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    """An exception of the host is a 503 and its text, which may have a credential, is not logged.

    Its Refusal is used as it is.
    """

    def fails() -> str:
        raise RuntimeError("token-canary")

    def refuses() -> str:
        raise Refusal("rate_limited", retry_after=5)

    assert code(await call(gateway, host_says=fails)) == "auth_unavailable"
    assert "RuntimeError" in caplog.text
    assert "canary" not in caplog.text
    assert code(await call(gateway, host_says=refuses)) == "rate_limited"
