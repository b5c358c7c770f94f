"""Walk the plan until one answer proves good."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from ..proxy.asgi import ASGIApp, Message, Receive, Scope, Send
from ..proxy.classify.faults import Fault, is_callers
from ..proxy.config import Duration
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import Attempt, Candidate, Exchange
from ..proxy.health.target_health import Entry, Health
from ..proxy.http.body import Body
from ..proxy.http.exhausted import exhausted
from ..proxy.http.gate import Gate, State
from ..proxy.http.refusal import answer
from ..proxy.http.workload import resolve
from ..proxy.routing.ordering import in_order
from ..proxy.routing.plan_walk import PlanWalk

__all__ = ["Failover"]

log: Final = logging.getLogger("standby.failover")

_COMMITTED: Final = State.COMMITTED  # reading an enum's member from its class costs a descriptor call


@dataclass(eq=False)
class Failover:
    """Walk the plan until one answer proves good.

    The plan is RouteSelect's; in its absence the order of the request's pool; around an app that has no
    pools, `targets`. The app finds the target of each attempt in `scope["standby.attempt"]`.
    """

    app: ASGIApp
    _: KW_ONLY
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Targets tried for one request. Client SDKs multiply this by their own three."""
    deadline: Duration = 300.0
    """Seconds over all attempts, until one is committed; `x-standby-timeout-ms` of a caller may lower it."""
    first_token: float | None = field(default=None, metadata={"toml": False})
    """Seconds one attempt may take to prove good, for an app without clocks. Pools have `timeouts`."""
    targets: tuple[str, ...] = field(default=(), metadata={"toml": False})
    """Names of the candidates, in order, for an app that has no pools."""
    _health: Health = field(default_factory=Health, init=False, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange.of(scope)
        if exchange.relayed and exchange.operation is None:
            await self.app(scope, receive, send)  # nothing that a provider is asked
            return
        try:
            body = await Body.of(receive, exchange.max_body)
            resolve(exchange, body)
        except ClientGone:
            exchange.client_gone = True
            return
        except Refusal as refusal:
            await answer(scope, send, refusal)
            return
        if exchange.health is None:
            exchange.health = self._health
        if exchange.plan is None:
            exchange.plan = self._plan(exchange, exchange.health, body)
        await _Walk(self, exchange, exchange.health, exchange.plan, body).run(scope, send)

    def _plan(self, exchange: Exchange, health: Health, body: Body) -> tuple[Candidate, ...]:
        pool, operation = exchange.pool, exchange.operation
        if pool is None or operation is None:
            return tuple(Candidate(name) for name in self.targets)
        provider: str | None = None
        if exchange.bound:
            provider = pool.prefer[0].provider.name
            issuer = body.document.value.get("previous_response_id")
            if exchange.affinity is not None and isinstance(issuer, str):
                provider = exchange.affinity.provider_of(issuer) or provider
        share, estimates = exchange.share, exchange.estimates
        return in_order(pool, health, operation.name, provider=provider, share=share, estimates=estimates)


class _Walk:
    """One request's walk along its plan."""

    __slots__ = (
        "_body",
        "_deadline",
        "_entry",
        "_exchange",
        "_failover",
        "_health",
        "_limit",
        "_now",
        "_original",
        "_walk",
    )

    def __init__(
        self, failover: Failover, exchange: Exchange, health: Health, plan: tuple[Candidate, ...], body: Body
    ) -> None:
        limit = (
            failover.deadline if exchange.time_limit is None else min(failover.deadline, exchange.time_limit)
        )
        self._failover = failover
        self._exchange = exchange
        self._health = health
        self._walk = PlanWalk(plan, failover.max_attempts)
        self._body = body
        self._now = asyncio.get_running_loop().time
        self._deadline = self._now() + limit
        self._entry: Entry | None = None
        self._limit: asyncio.Timeout | None = None
        self._original: tuple[Message, ...] = ()

    async def run(self, scope: Scope, send: Send) -> None:
        """Try candidates until one is committed, and answer for all of them if none is."""
        exchange, walk, now = self._exchange, self._walk, self._now
        while now() < self._deadline and (candidate := self._enter()) is not None:
            attempt = exchange.begin(candidate, now())
            gate = Gate(send, exchange, attempt, moves=partial(walk.opens, candidate), on_commit=self._lift)
            try:
                try:
                    await self._inside(scope, attempt, gate)
                except Exception as error:
                    if self._is_ours(error, attempt, gate):
                        raise
                self._explain(attempt, gate)
            finally:
                self._record(attempt, gate)
            if gate.state is _COMMITTED or exchange.client_gone or (fault := attempt.fault) is None:
                return
            if candidate.rejected is not None:  # by a clearance: nothing was sent
                log.info("%s: %s passed over (%s)", exchange.id, candidate.name, candidate.rejected)
                walk.not_tried(candidate)
                continue
            log.info("%s: %s failed (%s)", exchange.id, candidate.name, fault.kind)
            walk.failed(candidate, fault)
            if is_callers(fault) and not self._original:
                self._original = gate.held
        if self._original:
            # Nobody did better than the first refusal that was meant for the caller.
            for message in self._original:
                await send(message)
        else:
            await answer(scope, send, exhausted(exchange, deadline_passed=now() >= self._deadline))

    def _enter(self) -> Candidate | None:
        """The next candidate whose health, now, lets it be tried."""
        operation = self._exchange.operation
        while (candidate := self._walk.next()) is not None:
            target = candidate.target
            if target is None or operation is None:
                return candidate
            entered = self._health.enter(target.name, target.provider.name, operation.name)
            if isinstance(entered, Entry):
                self._entry = entered
                return candidate
            candidate.rejected, candidate.ready_in = entered.reason, entered.ready_in
            self._walk.not_tried(candidate)
        return None

    def _inside(self, scope: Scope, attempt: Attempt, gate: Gate) -> Awaitable[None]:
        """One attempt. Around one that keeps clocks is no coroutine of ours to be entered for every token."""
        own = {**scope, "headers": list(scope["headers"]), "standby.attempt": attempt}
        receive = self._body.rewind()
        if self._exchange.relayed:
            attempt.deadline = self._deadline  # Relay keeps it, with its other clocks
            return self._failover.app(own, receive, gate.send)
        return self._timed(own, receive, gate.send, self._due(attempt))

    async def _timed(self, scope: Scope, receive: Receive, send: Send, due: float) -> None:
        async with asyncio.timeout_at(due) as self._limit:
            await self._failover.app(scope, receive, send)

    def _is_ours(self, error: Exception, attempt: Attempt, gate: Gate) -> bool:
        """Whether another target would not mend it.

        The gate's state judges: a layer inside may wrap or swallow exceptions.
        """
        unexplained = attempt.fault is None and not self._timed_out
        if gate.state is _COMMITTED or (unexplained and self._exchange.relayed):
            return True
        if attempt.fault is None:
            log.warning("%s: %s: %r", self._exchange.id, attempt.candidate.name, error)
        return False

    def _explain(self, attempt: Attempt, gate: Gate) -> None:
        """An attempt that ended without a word of why."""
        if gate.state is not _COMMITTED and attempt.fault is None and not self._exchange.client_gone:
            attempt.fault = Fault("timeout_first_byte" if self._timed_out else "bad_response")

    @property
    def _timed_out(self) -> bool:
        return self._limit is not None and self._limit.expired()

    def _due(self, attempt: Attempt) -> float:
        limit = self._failover.first_token
        return self._deadline if limit is None else min(self._deadline, attempt.started + limit)

    def _lift(self) -> None:
        """A committed attempt is bound by its own clocks alone."""
        if self._limit is not None and not self._limit.expired():
            self._limit.reschedule(None)

    def _record(self, attempt: Attempt, gate: Gate) -> None:
        entry, self._entry = self._entry, None
        if entry is None:
            return
        cut_short = gate.state is not _COMMITTED and self._now() >= self._deadline
        # A hang-up, or a deadline that we set, says nothing of the target.
        heard = attempt.answer is not None or attempt.fault is not None
        proved = heard and not (self._exchange.client_gone or cut_short)
        self._health.record(entry, attempt.fault if proved else None, proved=proved)
