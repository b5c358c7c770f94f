"""Which workload a request belongs to: its shape checked, its pool found."""

from __future__ import annotations

from ..errors import Refusal
from ..exchange import Exchange
from .body import Body

__all__ = ["resolve"]


def resolve(exchange: Exchange, body: Body) -> None:
    """Write what the request asks for into `exchange`: pool, model, streamed, bound.

    Does nothing the second time, or where no routes are known (one of our middlewares on a foreign stack).
    Raises Refusal when the body is not what its path takes, and for a model that no pool serves.
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
        raise Refusal("unknown_model", param="model")
    if pool.dialect != operation.dialect:
        raise Refusal("operation_not_supported", param="model")
    exchange.pool = pool
