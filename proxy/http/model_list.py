"""Answers the list of models, which are the names of the pools that the caller may use."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ..asgi import ASGIApp, Receive, Scope, Send
from ..config import Pool, Routes
from ..errors import Refusal
from ..exchange import Exchange
from ..keys.principal import Principal
from .paths import MODELS
from .refusal import send_refusal

__all__ = ["ModelList"]

_CREATED: Final = 0
"""A pool has no creation date, but both SDKs require one."""
_CREATED_AT: Final = "1970-01-01T00:00:00Z"


@dataclass(eq=False)
class ModelList:
    """Answers `GET /v1/models` and `/v1/models/{name}`, and passes every other request to `app`."""

    app: ASGIApp

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        exchange = Exchange.of(scope)
        if exchange.operation is None and exchange.routes is not None:
            return _list(scope, send, exchange, exchange.routes)
        return self.app(scope, receive, send)


async def _list(scope: Scope, send: Send, exchange: Exchange, routes: Routes) -> None:
    name = exchange.path.removeprefix(MODELS).removeprefix("/")
    pools = _by_name(routes, exchange.principal)
    if name and name not in pools:
        # As for a request to the model: a restricted caller does not learn whether the model exists.
        restricted = exchange.principal is not None and exchange.principal.pools is not None
        await send_refusal(scope, send, Refusal("model_not_allowed" if restricted else "unknown_model"))
        return
    entry_of = _anthropic if exchange.dialect == "anthropic" else _openai
    entries = [entry_of(model, pool) for model, pool in pools.items() if not name or model == name]
    body = orjson.dumps(entries[0] if name else _envelope(entries, exchange.dialect))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def _by_name(routes: Routes, principal: Principal | None) -> Mapping[str, Pool]:
    """Returns the pools by the model names that the caller may use: all of them without authentication."""
    return {
        name: pool
        for pool in routes.pools.values()
        if principal is None or (principal.grants(pool.name) and principal.lacks(pool) is None)
        for name in pool.serves
    }


def _openai(model: str, pool: Pool) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": _CREATED, "owned_by": pool.name}


def _anthropic(model: str, pool: Pool) -> dict[str, Any]:
    info = {"type": "model", "id": model, "display_name": pool.name, "created_at": _CREATED_AT}
    return {**info, "lifecycle": "active"}


def _envelope(entries: list[dict[str, Any]], dialect: str) -> dict[str, Any]:
    if dialect == "anthropic":
        ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
        return {"data": entries, "has_more": False, "first_id": None, "last_id": None, **ends}
    return {"object": "list", "data": entries}
