"""A middleware that meters, and does nothing else: what Budget does, without any budget."""

from __future__ import annotations

from dataclasses import dataclass

from standby.proxy.asgi import ASGIApp, Receive, Scope, Send
from standby.proxy.budget.metering.token_estimate import measure
from standby.proxy.budget.metering.usage_meter import (
    ActualUsage,
    Requested,
    actual_usage,
    amend,
    expected_usage,
)
from standby.proxy.exchange import Exchange
from standby.proxy.http.body import Body
from standby.proxy.http.opened import resolve

__all__ = ["Metered", "took"]


@dataclass(eq=False)
class Metered:
    """Asks for usage where its caller did not."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        body = await Body.of(receive, exchange.max_body)
        resolve(exchange, body)
        amend(exchange, body.document.value)
        await self.app(scope, body, send)


def took(exchange: Exchange, document: dict[str, object]) -> list[ActualUsage]:
    """What each attempt of a request took."""
    assert exchange.operation is not None
    name = exchange.operation.name
    prompt, requested = measure(document, name), Requested.of(document, name)
    targets = [(attempt, attempt.candidate.target) for attempt in exchange.attempts]
    return [
        actual_usage(attempt, expected_usage(prompt, requested, target, pool=exchange.pool))
        for attempt, target in targets
        if target is not None
    ]
