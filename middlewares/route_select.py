"""Decides which targets may answer a request, in which order, and why the others may not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ..proxy.asgi import ASGIApp, Receive, Scope, Send
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import Exchange
from ..proxy.health.target_health import Health
from ..proxy.http.opened import opened
from ..proxy.http.refusal import send_refusal
from ..proxy.routing.balance import Balancer
from ..proxy.routing.planning import plan
from ..proxy.routing.route_inputs import route_inputs

__all__ = ["RouteSelect"]


@dataclass(eq=False)
class RouteSelect:
    """Decides which targets may answer a request, in which order, and why the others may not.

    The rules are in `proxy/routing`. Without this middleware, or around an app without pools, Failover uses
    the order of the file.
    """

    app: ASGIApp
    _health: Health = field(default_factory=Health, init=False, repr=False)
    _balancer: Balancer = field(default_factory=Balancer, init=False, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope) if scope["type"] == "http" else None
        if exchange is None or exchange.operation is None:
            await self.app(scope, receive, send)  # no request to a provider
            return
        began = time.perf_counter()
        try:
            receive = body = await opened(scope, receive)
        except ClientGone:
            return
        except Refusal as refusal:
            exchange.step("route", began, refusal.code)
            await send_refusal(scope, send, refusal)
            return
        if exchange.pool is not None:
            if exchange.health is None:
                exchange.health = self._health
            inputs = route_inputs(exchange, exchange.pool, body.document)
            exchange.plan = plan(inputs, exchange.health, self._balancer)
        exchange.step("route", began)
        await self.app(scope, receive, send)

    def inherit(self, before: RouteSelect) -> None:
        """After a reload, go on with the turns of the RouteSelect that this one replaces."""
        self._balancer = before._balancer
