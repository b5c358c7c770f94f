"""The innermost app: one attempt, one upstream call, streamed back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field

from ..asgi import Receive, Scope, Send
from ..bridge.bridges import BRIDGES
from ..config import Target
from ..dialects.base import Operation
from ..errors import ClientGone, Refusal
from ..exchange import Attempt, Exchange
from ..http.body import Body
from ..http.exhausted import exhausted
from ..http.opened import opened
from ..http.refusal import send_refusal
from ..routing.issuers import find_issuers
from ..routing.written_order import written_order
from .coarse_timer import CoarseTimer
from .translated_call import TranslatedCall
from .transports import Transports
from .upstream_call import UpstreamCall

__all__ = ["Relay"]


@dataclass(eq=False)
class Relay:
    """Sends the request of one attempt to its target and the answer back, byte for byte.

    Under Failover it works on the attempt in its scope, and a failed attempt sends nothing: it has a fault.
    Without Failover it makes one attempt at the first target of the plan, and relays whatever answer comes.
    """

    transports: Transports
    _timer: CoarseTimer | None = field(default=None, init=False, repr=False)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        attempt, exchange = Attempt.of(scope), Exchange.of(scope)
        pool, operation = exchange.pool, exchange.operation
        target = None if attempt is None else attempt.candidate.target
        if (
            attempt is None
            or target is None
            or operation is None
            or pool is None
            or not isinstance(receive, Body)
        ):
            return self._prepared(scope, receive, send)
        # The usual way, under Failover. Another coroutine here would be resumed for every token.
        call = self._call(exchange, attempt, target, operation, send)
        return call.run(receive, pool.timeouts, self._shared_timer())

    async def _prepared(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        try:
            body = receive if isinstance(receive, Body) else await opened(scope, receive)
            if exchange.plan is None and exchange.bound:
                await find_issuers(exchange, body.document)
            attempt = Attempt.of(scope) or _only_attempt(exchange, body)
        except ClientGone:
            return
        except Refusal as refusal:
            await send_refusal(scope, send, refusal)
            return
        target, operation = attempt.candidate.target, exchange.operation
        if target is None or operation is None or exchange.pool is None:
            await send_refusal(scope, send, Refusal("unknown_route"))
            return
        call = self._call(exchange, attempt, target, operation, send)
        await call.run(body, exchange.pool.timeouts, self._shared_timer())
        if Attempt.of(scope) is None and not (call.started or exchange.client_gone):
            await send_refusal(scope, send, exhausted(exchange))

    def _call(
        self, exchange: Exchange, attempt: Attempt, target: Target, operation: Operation, send: Send
    ) -> UpstreamCall:
        asked = attempt.candidate.operation
        if asked is None:
            return UpstreamCall(self.transports, exchange, attempt, target, operation, send)
        bridge = BRIDGES[operation.name, asked.name]
        return TranslatedCall(self.transports, exchange, attempt, target, bridge, send)

    def _shared_timer(self) -> CoarseTimer:
        """The timer that calls on the running event loop share."""
        loop, timer = asyncio.get_running_loop(), self._timer
        if timer is None or timer.loop is not loop:
            timer = self._timer = CoarseTimer(loop)
        return timer


def _only_attempt(exchange: Exchange, body: Body) -> Attempt:
    """The attempt of a Relay with no Failover around it."""
    if exchange.pool is None or exchange.health is None:
        raise Refusal("unknown_route")
    if exchange.plan is None:
        exchange.plan = written_order(exchange, exchange.health, body)
    # The first one, unless what the request refers to is another's, or it does not have the operation.
    able = [each for each in exchange.plan if each.rejected != "capability.endpoint"]
    if not able:
        raise exhausted(exchange)
    candidate = next((each for each in able if not (each.rejected or "").startswith("state.")), able[0])
    exchange.plan = (candidate,)
    attempt = exchange.begin(candidate)
    exchange.served = attempt
    return attempt
