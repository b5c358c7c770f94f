"""A middleware that reports what its gateway's store holds: nobody else can open the memory of a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2
import orjson
from standby.proxy.asgi import ASGIApp, Receive, Scope, Send, header
from standby.proxy.exchange import Exchange
from standby.proxy.stores.records import LedgerEntry, Line

__all__ = ["StoreProbe", "StoreState", "read_store"]

_NAME: Final = "store-probe-of-the-chaos-run"


@dataclass(frozen=True, slots=True)
class StoreState:
    """How many holds there are, what is used of the accounts that were asked for, and the ledger."""

    held: int
    used: tuple[int, ...]
    entries: tuple[LedgerEntry, ...]


@dataclass(eq=False)
class StoreProbe:
    """Answers requests that send its token, and passes all others on."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or header(tuple(scope["headers"]), b"user-agent") != _NAME.encode():
            await self.app(scope, receive, send)
            return
        store = Exchange.of(scope).store
        assert store is not None
        asked: dict[str, Any] = orjson.loads((await receive())["body"])
        entries = [entry async for entry in store.entries()] if asked["ledger"] else []
        document = {
            "held": await store.held(),
            "used": await store.used([Line(*line) for line in asked["lines"]]),
            "entries": [entry._asdict() for entry in entries],
        }
        body = orjson.dumps(document)
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})


async def read_store(port: int, lines: Sequence[Line] = (), *, ledger: bool = False) -> StoreState:
    """Ask the gateway at `port`."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        reply = await client.post(
            "/v1/chat/completions",
            json={
                "model": "cheap",
                "messages": [],
                "lines": [list(line) for line in lines],
                "ledger": ledger,
            },
            headers={"user-agent": _NAME},
        )
    document = reply.raise_for_status().json()
    return StoreState(
        document["held"],
        tuple(document["used"]),
        tuple([LedgerEntry(**entry) for entry in document["entries"]]),
    )
