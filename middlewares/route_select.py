"""Decides which targets may answer a request, in which order, and why the others may not."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..proxy.asgi import ASGIApp, Receive, Scope, Send
from ..proxy.config import Pool
from ..proxy.dialects.base import Operation, RequestDocument
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import Exchange
from ..proxy.health.target_health import Health
from ..proxy.http.body import Body
from ..proxy.http.opened import opened
from ..proxy.http.refusal import send_refusal
from ..proxy.routing.balance import Balancer
from ..proxy.routing.issuers import find_issuers
from ..proxy.routing.planning import plan
from ..proxy.routing.reasoning_strip import ReasoningStrip
from ..proxy.routing.requirements import needs_of
from ..proxy.routing.route_inputs import domains_of, route_inputs

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
        began = exchange.clock()
        try:
            receive = body = receive if isinstance(receive, Body) else await opened(scope, receive)
            if exchange.pool is not None:
                await self._plan(exchange, exchange.operation, exchange.pool, body.document)
        except ClientGone:
            return
        except Refusal as refusal:
            exchange.step("route", began, refusal.code)
            await send_refusal(scope, send, refusal)
            return
        exchange.step("route", began)
        await self.app(scope, receive, send)

    async def _plan(
        self, exchange: Exchange, operation: Operation, pool: Pool, document: RequestDocument
    ) -> None:
        """Write the plan of the request into its exchange. Raises Refusal for state that is not the
        caller's."""
        if exchange.health is None:
            exchange.health = self._health
        needs = needs_of(document, operation.name)
        if exchange.bound or needs.signatures:
            await find_issuers(exchange, document, needs.signatures)
        inputs = route_inputs(exchange, pool, document, needs)
        exchange.plan = plan(inputs, exchange.health, self._balancer)
        if needs.signatures and pool.reasoning_state == "strip":
            domains = domains_of(exchange, needs)
            exchange.clearances.append(ReasoningStrip(document.value, domains, inputs.home))

    def inherit(self, before: RouteSelect) -> None:
        """After a reload, go on with the turns of the RouteSelect that this one replaces."""
        self._balancer = before._balancer
