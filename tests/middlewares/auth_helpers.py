"""Helpers for the tests of Auth: a gateway with several keys, a store that can be down, and requests."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from standby.proxy.asgi import Receive, Scope, Send
from standby.proxy.config import Routes, parse_routes
from standby.proxy.errors import CODES
from standby.proxy.gateway import Gateway
from standby.proxy.keys.credentials import digests
from standby.proxy.stores.memory import Memory
from standby.proxy.stores.records import KeyRecord
from standby.proxy.stores.store import StoreDown
from typing_extensions import override

from tests.proxy.harness import ASK, CHAT, SCRIPTED, Caller, Script, chunk, scope_of

__all__ = [
    "LATE",
    "LOST",
    "NARROW",
    "NEAR",
    "OFF",
    "OWN",
    "ROOT",
    "STORED",
    "FlakyStore",
    "answering",
    "bearer",
    "call",
    "code",
    "host_says",
    "nothing",
    "routes",
    "scripted_as",
    "sent",
    "with_store",
]

ROOT: Final = "root-canary"
OWN: Final = "own-canary"
NARROW: Final = "narrow-canary"
OFF: Final = "off-canary"
LATE: Final = "late-canary"
NEAR: Final = "near-canary"
LOST: Final = "lost-canary"
STORED: Final = "stored-canary"
KEYS: Final = f"""
[teams.web]
[users.ann]
team = "web"
[keys.root]
hash = "{digests(ROOT)[0]}"
pools = ["*"]
[keys.own]
hash = "{digests(OWN)[0]}"
pools = ["support"]
user = "ann"
[keys.narrow]
hash = "{digests(NARROW)[0]}"
pools = ["support"]
regions = ["us"]
[keys.off]
hash = "{digests(OFF)[0]}"
pools = ["support"]
disabled = true
[keys.late]
hash = "{digests(LATE)[0]}"
pools = ["support"]
expires = 2020-01-01T00:00:00Z
[keys.near]
hash = "{digests(NEAR)[0]}"
pools = ["support"]
ips = ["10.0.0.0/8"]
[keys.lost]
hash = "{digests(LOST)[0]}"
pools = ["support"]
providers = ["at-c"]
[pools.writing]
prefer = ["c"]
[pools.claude]
prefer = ["d"]
[providers.at-d]
dialect = "anthropic"
base_url = "http://127.0.0.1:9/v1"
[targets.d]
provider = "at-d"
model = "d"
"""


PROVIDERS: Final = "".join(
    f"""
[providers.at-{name}]
dialect = "openai"
base_url = "http://127.0.0.1:9/v1"
{SCRIPTED}
{region}
[targets.{name}]
provider = "at-{name}"
model = "model-{name}"
"""
    for name, region in (("a", 'region = "eu"'), ("b", 'region = "us"'), ("c", ""))
)


def routes(auth: str = "") -> Routes:
    """Returns routes with a pool "support" of "a" in the EU and "b" in the US, and two pools of other
    targets."""
    pool = '[pools.support]\nserves = ["support", "gpt"]\nprefer = ["a", "b"]\n'
    text = f'stack = ["auth", "failover"]\n{PROVIDERS}{pool}{KEYS}\n[auth]\n{auth}'
    return parse_routes(text, environ={"PEPPER": "salt"})


def answering(gateway: Gateway) -> Gateway:
    """Make every provider of the gateway answer successfully."""
    for name, target in gateway.routes.targets.items():
        if name != "d":
            script = gateway.transports.to(target).transport
            assert isinstance(script, Script)
            script.say(chunk("Hello"), chunk(delta={}, finish_reason="stop"), b"data: [DONE]\n\n")
    return gateway


def bearer(secret: str) -> tuple[bytes, bytes]:
    """Returns the authorization header of OpenAI's SDK."""
    return b"authorization", f"Bearer {secret}".encode()


async def call(
    app: Callable[[Scope, Receive, Send], Awaitable[None]],
    *headers: tuple[bytes, bytes],
    model: str = "support",
    path: str = CHAT,
    method: str = "POST",
    client: tuple[str, int] | None = ("192.0.2.1", 5000),
    **scope: Any,
) -> Caller:
    """Send one request and wait for the response."""
    caller = Caller(json.dumps({**ASK, "model": model}).encode() if method == "POST" else b"")
    request_scope = scope_of(path, method=method, headers=headers, client=client, **scope)
    await app(request_scope, caller.receive, caller.send)
    return caller


def code(caller: Caller) -> str:
    """Returns the error code of a response, and checks that it has the documented status."""
    error_code: str = caller.json["error"]["code"]
    assert caller.status == CODES[error_code].status
    return error_code


def sent(gateway: Gateway) -> dict[str, int]:
    """Returns the number of requests that each provider has received."""
    counts: dict[str, int] = {}
    for name, target in gateway.routes.targets.items():
        transport = gateway.transports.to(target).transport
        if isinstance(transport, Script) and transport.requests:
            counts[name] = len(transport.requests)
    return counts


def scripted_as(gateway: Gateway, name: str) -> Script:
    """Returns the script of a target."""
    script = gateway.transports.to(gateway.routes.targets[name]).transport
    assert isinstance(script, Script)
    return script


class FlakyStore(Memory):
    """A store that can be down."""

    down = False

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        if self.down:
            raise StoreDown("down")
        return await super().key_by_hash(digest)


async def with_store(gateway: Gateway, **table: Any) -> FlakyStore:
    """Give the gateway a store with one key. Returns the store."""
    store = FlakyStore()
    gateway.store = store
    await store.put_key(
        KeyRecord(name="stored", hashes={digests(STORED)[0]: None}, table={"pools": ["support"], **table})
    )
    return store


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """A foreign app that answers 204."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def host_says(scope: Scope) -> Any:
    """The result of the host's own authentication, which a test has put into the scope."""
    identity = scope["host_says"]
    return identity() if callable(identity) else identity
