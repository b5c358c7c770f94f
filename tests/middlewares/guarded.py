"""What the tests of Auth share: a gateway with many keys, a store that can be down, and calls."""

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
    "Frail",
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
    """A pool "support" with a in the EU and b in the US, and a pool each in other hands."""
    pool = '[pools.support]\nserves = ["support", "gpt"]\nprefer = ["a", "b"]\n'
    text = f'stack = ["auth", "failover"]\n{PROVIDERS}{pool}{KEYS}\n[auth]\n{auth}'
    return parse_routes(text, environ={"PEPPER": "salt"})


def answering(gateway: Gateway) -> Gateway:
    """The gateway, every provider of which answers."""
    for name, target in gateway.routes.targets.items():
        if name != "d":
            script = gateway.transports.to(target).transport
            assert isinstance(script, Script)
            script.say(chunk("Hello"), chunk(delta={}, finish_reason="stop"), b"data: [DONE]\n\n")
    return gateway


def bearer(secret: str) -> tuple[bytes, bytes]:
    """The header of OpenAI's SDK."""
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
    """One request."""
    caller = Caller(json.dumps({**ASK, "model": model}).encode() if method == "POST" else b"")
    made = scope_of(path, method=method, headers=headers, client=client, **scope)
    await app(made, caller.receive, caller.send)
    return caller


def code(caller: Caller) -> str:
    """The code of an error, which has the status that is documented."""
    found: str = caller.json["error"]["code"]
    assert caller.status == CODES[found].status
    return found


def sent(gateway: Gateway) -> dict[str, int]:
    """How many requests each provider has got."""
    counts: dict[str, int] = {}
    for name, target in gateway.routes.targets.items():
        transport = gateway.transports.to(target).transport
        if isinstance(transport, Script) and transport.requests:
            counts[name] = len(transport.requests)
    return counts


def scripted_as(gateway: Gateway, name: str) -> Script:
    """What stands for one target."""
    script = gateway.transports.to(gateway.routes.targets[name]).transport
    assert isinstance(script, Script)
    return script


class Frail(Memory):
    """A store that can be down."""

    down = False

    @override
    async def key_by_hash(self, digest: str) -> KeyRecord | None:
        if self.down:
            raise StoreDown("down")
        return await super().key_by_hash(digest)


async def with_store(gateway: Gateway, **table: Any) -> Frail:
    """The gateway's store, with one key in it."""
    store = Frail()
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
    """What a host's own authentication has found out, as a test has put it into the scope."""
    said = scope["host_says"]
    return said() if callable(said) else said
