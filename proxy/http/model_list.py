"""Answers the list of models, which are the names of the pools that the caller may use."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

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
_MOST: Final = 1000
"""The most models on one page, as at Anthropic. Without a limit the page has as many."""


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
    pools = _by_name(routes, exchange.principal, exchange.dialect)
    if name and name not in pools:
        # As for a request to the model: a restricted caller does not learn whether the model exists.
        restricted = exchange.principal is not None and exchange.principal.pools is not None
        code = "model_not_allowed" if restricted else "unknown_model"
        await send_refusal(scope, send, Refusal(code, param="model", detail=name))
        return
    try:
        page = _Page.of(scope["query_string"]) if exchange.dialect == "anthropic" else _Page()
    except Refusal as refusal:
        await send_refusal(scope, send, refusal)
        return
    entry_of = _anthropic if exchange.dialect == "anthropic" else _openai
    entries = [entry_of(model, pool) for model, pool in pools.items() if not name or model == name]
    body = orjson.dumps(entries[0] if name else _envelope(entries, exchange.dialect, page))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


class _Page(NamedTuple):
    """Which part of the list an Anthropic caller asks for.

    `after` and `before` are ids of models; with both, `after` decides.
    """

    limit: int = _MOST
    after: str | None = None
    before: str | None = None

    @classmethod
    def of(cls, query: bytes) -> _Page:
        """Returns the page that a query string asks for; other parameters are ignored. Raises Refusal."""
        asked = dict(parse_qsl(query.decode("latin-1")))
        limit = asked.get("limit", str(_MOST))
        if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:6]) <= _MOST):
            raise Refusal(
                "invalid_value", param="limit", detail=f"limit must be a whole number from 1 to {_MOST}"
            )
        return cls(int(limit), asked.get("after_id"), asked.get("before_id"))

    def cut(self, entries: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
        """Returns the entries on this page, and whether there are more in its direction.

        After or before an id that is not in the list there is nothing.
        """
        ids = [entry["id"] for entry in entries]
        if self.after is not None:
            entries = entries[ids.index(self.after) + 1 :] if self.after in ids else []
        elif self.before is not None:
            entries = entries[: ids.index(self.before)] if self.before in ids else []
            return entries[-self.limit :], len(entries) > self.limit
        return entries[: self.limit], len(entries) > self.limit


def _by_name(routes: Routes, principal: Principal | None, dialect: str) -> Mapping[str, Pool]:
    """Returns the pools of the dialect by the model names that the caller may use.

    Without authentication these are all of them.
    """
    return {
        name: pool
        for pool in routes.pools.values()
        if dialect in pool.dialects
        and (principal is None or (principal.grants(pool.name) and principal.lacks(pool) is None))
        for name in pool.serves
    }


def _openai(model: str, pool: Pool) -> dict[str, Any]:
    return {"id": model, "object": "model", "created": _CREATED, "owned_by": pool.name}


def _anthropic(model: str, pool: Pool) -> dict[str, Any]:
    info = {"type": "model", "id": model, "display_name": pool.name, "created_at": _CREATED_AT}
    return {**info, "lifecycle": "active"}


def _envelope(entries: list[dict[str, Any]], dialect: str, page: _Page) -> dict[str, Any]:
    if dialect == "anthropic":
        entries, has_more = page.cut(entries)
        ends = {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]} if entries else {}
        return {"data": entries, "has_more": has_more, "first_id": None, "last_id": None, **ends}
    return {"object": "list", "data": entries}
