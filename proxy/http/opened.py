"""Opening a request: what every middleware needs before it can decide anything.

The body is read and parsed once, its shape is checked, and its pool is found. The outermost middleware that
needs it opens the request; the others find the `Body` that it hands on as `receive`.
"""

from __future__ import annotations

from contextlib import nullcontext

from ..asgi import Receive, Scope
from ..errors import ClientGone, Refusal
from ..exchange import Exchange
from .body import Body

__all__ = ["opened", "resolve"]


async def opened(scope: Scope, receive: Receive) -> Body:
    """Read the request and fill in its `Exchange`; the body is the `receive` to hand on.

    Raises Refusal for a request that no provider may see, and ClientGone, after noting it in the exchange.
    """
    exchange = Exchange.of(scope)
    try:
        body = await Body.of(receive, exchange.max_body)
    except ClientGone:
        exchange.client_gone = True
        raise
    if body.is_large and exchange.operation is not None:
        async with exchange.large or nullcontext():
            await body.parse()
    resolve(exchange, body)
    return body


def resolve(exchange: Exchange, body: Body) -> None:
    """Write what the request asks for into `exchange`: pool, model, streamed, bound.

    Does nothing the second time. Without routes (a middleware of ours in a foreign app) only the shape is
    checked. Raises Refusal when the body is not what its path takes, and for a model that no pool serves.
    """
    operation, routes = exchange.operation, exchange.routes
    if operation is None or exchange.pool is not None:
        return
    document = body.document
    value = document.value
    operation.check(value)
    exchange.streamed = value.get("stream") is True
    exchange.bound = operation.bound(document)
    exchange.model = value["model"]
    if routes is None:
        return
    pool = routes.pool_for(value["model"])
    if pool is None:
        raise Refusal("unknown_model", param="model", detail=value["model"])
    if operation.dialect not in pool.dialects:
        path = "/v1/messages" if "anthropic" in pool.dialects else "/v1/chat/completions or /v1/responses"
        raise Refusal("operation_not_supported", param="model", detail=f"{value['model']} (call {path})")
    exchange.pool = pool
