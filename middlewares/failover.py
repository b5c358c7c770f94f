"""Walks the plan until one answer proves good."""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from typing import Annotated, Final

from pydantic import Field

from ..proxy.asgi import ASGIApp, Message, Receive, Scope, Send
from ..proxy.classify.faults import RULES, Fault, is_callers
from ..proxy.config import Duration
from ..proxy.errors import ClientGone, Refusal
from ..proxy.exchange import Attempt, Break, Candidate, Exchange, Kind
from ..proxy.health.target_health import Health, Permit
from ..proxy.http.body import Body
from ..proxy.http.exhausted import exhausted
from ..proxy.http.opened import opened
from ..proxy.http.refusal import send_refusal
from ..proxy.http.stream_restart import StreamRestart, is_requested
from ..proxy.routing.attempt_run import AttemptRun
from ..proxy.routing.hedge import Hedges, Race
from ..proxy.routing.issuers import find_issuers
from ..proxy.routing.plan_walk import PlanWalk
from ..proxy.routing.retry import pause
from ..proxy.routing.written_order import written_order

__all__ = ["Failover"]

log: Final = logging.getLogger("standby.failover")


@dataclass(eq=False)
class Failover:
    """Walks the plan until one answer proves good.

    The plan is RouteSelect's; without RouteSelect it is the order of the request's pool, and around an app
    without pools it is `targets`. The app finds the target of each attempt in `scope["standby.attempt"]`.
    """

    app: ASGIApp
    _: KW_ONLY
    max_attempts: Annotated[int, Field(ge=1, le=10)] = 3
    """Attempts for one request. Client SDKs multiply this by their own three."""
    deadline: Duration = 300.0
    """Seconds for all attempts until one is committed. A caller may lower it with `x-standby-timeout-ms`."""
    retries: Annotated[int, Field(ge=0, le=1)] = 0
    """Retries of the last target when no other is left. By default each target is tried once."""
    first_token: float | None = field(default=None, metadata={"toml": False})
    """Seconds until an attempt must prove good, around an app without timeouts. Pools have `timeouts`."""
    targets: tuple[str, ...] = field(default=(), metadata={"toml": False})
    """Names of the candidates, in order, for an app that has no pools."""
    chance: Callable[[], float] = field(default=random.random, repr=False, metadata={"toml": False})
    """A random number from 0 to 1, for the jitter of retries."""
    _health: Health = field(default_factory=Health, init=False, repr=False)
    _hedges: Hedges = field(default_factory=Hedges, init=False, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange.of(scope)
        if exchange.relayed and exchange.operation is None:
            await self.app(scope, receive, send)  # no request to a provider
            return
        try:
            body = receive if isinstance(receive, Body) else await opened(scope, receive)
            if exchange.plan is None and exchange.bound:
                await find_issuers(exchange, body.document)
        except ClientGone:
            return
        except Refusal as refusal:
            await send_refusal(scope, send, refusal)
            return
        if exchange.health is None:
            exchange.health = self._health
        if exchange.plan is None:
            exchange.plan = written_order(exchange, exchange.health, body, self.targets)
        if exchange.pool is not None and exchange.pool.hedge is not None:
            self._hedges.request(exchange.pool, exchange.clock())
        await _Walk(self, self._hedges, exchange, exchange.health, exchange.plan, body).run(scope, send)


class _Walk:
    """One request's walk along its plan."""

    __slots__ = (
        "_body",
        "_break",
        "_broken",
        "_claim",
        "_deadline",
        "_exchange",
        "_failover",
        "_health",
        "_hedge",
        "_hedges",
        "_last",
        "_original",
        "_over",
        "_race",
        "_refused_by",
        "_restarts",
        "_retries",
        "_walk",
    )

    def __init__(
        self,
        failover: Failover,
        hedges: Hedges,
        exchange: Exchange,
        health: Health,
        plan: tuple[Candidate, ...],
        body: Body,
    ) -> None:
        limit = (
            failover.deadline if exchange.time_limit is None else min(failover.deadline, exchange.time_limit)
        )
        self._failover = failover
        self._hedges = hedges
        self._exchange = exchange
        self._health = health
        self._walk = PlanWalk(plan, failover.max_attempts)
        self._body = body
        self._deadline = exchange.deadline = exchange.clock() + limit
        self._retries = failover.retries
        self._restarts = is_requested(exchange)
        self._over = False  # the caller has its answer, or has left
        self._last: AttemptRun | None = None  # the last attempt that failed
        self._race: Race | None = None
        self._hedge: AttemptRun | None = None
        self._claim: tuple[Candidate, Permit | None] | None = None
        self._broken: Attempt | None = None  # broke after commit, and is to be restarted
        self._break = Break("", b"")
        self._original: tuple[Message, ...] = ()
        self._refused_by: Candidate | None = None  # whose answer that is

    async def run(self, scope: Scope, send: Send) -> None:
        """Try candidates until one is committed, or send one error for all of them."""
        exchange, app = self._exchange, self._failover.app
        onward: StreamRestart | None = None
        try:
            while (run := self._next(send) or await self._retry(send)) is not None:
                after = self._hedge_delay(run)
                if after is None:
                    # Inline: another coroutine would be resumed for every token.
                    with run:
                        await run.inside(app, scope, self._body.rewind())
                    self._apply(run)
                else:
                    await self._run_race(scope, send, run, after)
                if self._over:
                    break
                if self._broken is not None and onward is None:
                    send = onward = StreamRestart(send, exchange, self._broken, self._break)
        except BaseException as error:
            if onward is not None:
                await onward.close("gateway_draining" if isinstance(error, asyncio.CancelledError) else None)
            raise
        finally:
            self._release()
        if onward is not None:
            await onward.close()
        elif not self._over:
            await self._give_up(scope, send)

    async def _give_up(self, scope: Scope, send: Send) -> None:
        refused_by = self._refused_by
        if refused_by is not None and not self._may_be_right_elsewhere(refused_by):
            # No other target did better: the first error that was the caller's fault is the answer.
            for message in self._original:
                await send(message)
        else:
            passed = self._exchange.clock() >= self._deadline
            await send_refusal(scope, send, exhausted(self._exchange, deadline_passed=passed))

    # -- who is next ------------------------------------------------------------------------

    def _next(self, send: Send) -> AttemptRun | None:
        """An attempt at the next candidate that its health permits now; None if there is no other."""
        claim, self._claim = self._claim, None
        if claim is None and self._exchange.clock() < self._deadline:
            claim = self._claim_next(self._walk.next)
            if claim is None and not self._exchange.attempts:
                claim = self._claim_resting()
        if claim is None:
            return None
        return self._begin(*claim, send, "failover" if self._exchange.attempts else "primary")

    def _claim_next(self, choose: Callable[[], Candidate | None]) -> tuple[Candidate, Permit | None] | None:
        while (candidate := choose()) is not None:
            target, operation = candidate.target, candidate.operation or self._exchange.operation
            if target is None or operation is None:
                return candidate, None
            entered = self._health.enter(
                target.name, target.provider.name, operation.name, streamed=self._exchange.streamed
            )
            if isinstance(entered, Permit):
                if self._failover.retries:
                    self._health.retries(target.name, operation.name).request(self._health.clock())
                return candidate, entered
            candidate.rejected, candidate.ready_in = entered.reason, entered.ready_in
            self._walk.not_tried(candidate)
        return None

    def _claim_resting(self) -> tuple[Candidate, Permit] | None:
        """If nobody can be tried, one request at a time may try a target whose breaker is open, the one that
        closes first. So callers need not wait for the end of its time once it is well again."""
        resting = [each for each in self._walk.passed_over if each.rejected == "health.breaker_open"]
        if any(self._health.is_probed(each.name, self._asked_of(each)) for each in resting):
            return None
        for candidate in sorted(resting, key=lambda each: each.ready_in or math.inf):
            target = candidate.target
            if target is None:
                continue
            permit = self._health.enter_early(
                target.name, target.provider.name, self._asked_of(candidate), streamed=self._exchange.streamed
            )
            if permit is not None:
                candidate.rejected = candidate.ready_in = None
                self._walk.again()
                return candidate, permit
        return None

    def _asked_of(self, candidate: Candidate) -> str:
        operation = self._exchange.asked_of(candidate)
        return "" if operation is None else operation.name

    def _begin(self, candidate: Candidate, permit: Permit | None, send: Send, kind: Kind) -> AttemptRun:
        run = AttemptRun(
            self._exchange,
            self._health,
            permit,
            candidate,
            send,
            kind=kind,
            moves=self._may_go_on,
            first=self._failover.first_token,
            deadline=self._deadline,
        )
        if self._restarts:
            run.attempt.continues = self._broken is not None
            run.attempt.takes_over = partial(self._take_over, run)
        return run

    def _may_go_on(self, candidate: Candidate, fault: Fault) -> bool:
        """Whether the walk can go on after this fault: to another candidate, or with the hedge beside it."""
        if self._broken is not None or self._walk.opens(candidate, fault):
            return True
        if is_callers(fault) and (self._original or self._may_be_right_elsewhere(candidate)):
            return True  # to the end of the walk, where the first such answer is sent, or none
        beside = self._race is not None and self._race.running > 1
        moves = RULES[fault.kind].moves
        is_hedge = self._hedge is not None and candidate is self._hedge.candidate
        return beside and (moves in {"yes", "larger"} or (moves == "if_failed" and is_hedge))

    def _may_be_right_elsewhere(self, candidate: Candidate) -> bool:
        """Whether a request that `candidate` rejects was translated for it, and another target, which is
        unavailable now, could take it."""
        return candidate.operation is not None and (
            any(each.fault is not None and not is_callers(each.fault) for each in self._exchange.attempts)
            or any((each.rejected or "").startswith("health.") for each in self._walk.passed_over)
        )

    def _apply(self, run: AttemptRun) -> None:
        """Apply the outcome of an attempt that has ended to the walk."""
        exchange, candidate, fault = self._exchange, run.candidate, run.attempt.fault
        if run.attempt is self._broken or run.lost:
            return
        if run.committed or exchange.client_gone or fault is None:
            self._over = True
            return
        if candidate.rejected is not None:  # by a clearance: nothing was sent
            log.debug("%s: %s passed over (%s)", exchange.id, candidate.name, candidate.rejected)
            self._walk.not_tried(candidate)
            if run is self._hedge:
                self._hedge = None
            return
        log.debug("%s: %s failed (%s)", exchange.id, candidate.name, fault.kind)
        self._last = run
        self._walk.failed(candidate, fault)
        if self._broken is not None:
            self._over = RULES[fault.kind].moves == "no"
        elif is_callers(fault) and not self._original:
            self._original, self._refused_by = run.gate.held, candidate

    def _release(self) -> None:
        """Return the permit of a candidate that was claimed and never tried."""
        if self._claim is not None and (permit := self._claim[1]) is not None:
            self._health.record(permit, None, proved=False)

    # -- retries of the same target ---------------------------------------------------------

    async def _retry(self, send: Send) -> AttemptRun | None:
        """A retry of the last target after a pause, when no other target is left; None if it may not be
        retried."""
        last, health = self._last, self._health
        if last is None or not self._retries or self._broken is not None:
            return None
        candidate, fault = last.candidate, last.attempt.fault
        operation = self._exchange.asked_of(candidate)
        if operation is None:
            return None
        wait = None if fault is None else pause(fault, self._failover.chance())
        if wait is None or candidate.target is None or self._exchange.clock() + wait >= self._deadline:
            return None
        target = candidate.target
        rejection = health.rejection(target.name, target.provider.name, operation.name)
        if rejection is not None and (rejection.ready_in is None or rejection.ready_in > wait):
            return None
        budget = health.retries(target.name, operation.name)
        if not budget.allows(health.clock()) or not self._walk.again():
            return None
        self._retries -= 1
        if await self._client_leaves_within(wait):
            self._exchange.client_gone = self._over = True
            return None
        if not budget.allows(health.clock()):
            return None  # others were faster
        budget.take(health.clock())
        entered = health.enter(
            target.name, target.provider.name, operation.name, streamed=self._exchange.streamed
        )
        return self._begin(candidate, entered, send, "retry") if isinstance(entered, Permit) else None

    async def _client_leaves_within(self, seconds: float) -> bool:
        """Wait. Returns True at once if the client hangs up meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._body.disconnected()
        except TimeoutError:
            return False
        return True

    # -- hedges -----------------------------------------------------------------------------

    def _hedge_delay(self, run: AttemptRun) -> float | None:
        """Seconds after which the first attempt is late and a hedge may begin; None for no hedge."""
        pool = self._exchange.pool
        if pool is None or pool.hedge is None or run.attempt.kind != "primary":
            return None
        return self._hedges.after(self._exchange, self._health, run)

    async def _run_race(self, scope: Scope, send: Send, run: AttemptRun, after: float) -> None:
        def inside(run: AttemptRun) -> Awaitable[None]:
            hedge = run.attempt.kind == "hedge"
            body = self._body.copy() if hedge else self._body.rewind()
            return run.inside(self._failover.app, scope, body)

        self._race = Race(
            self._exchange, inside=inside, hedge=partial(self._begin_hedge, send), ended=self._apply
        )
        try:
            await self._race.run(run, after)
        finally:
            self._race = None

    def _begin_hedge(self, send: Send) -> AttemptRun | None:
        """Begin a hedge, unless there was one already or the hedge budget or the deadline forbids it."""
        pool, now = self._exchange.pool, self._exchange.clock()
        if pool is None or self._hedge is not None or now >= self._deadline:
            return None
        if not self._hedges.allows(pool, now) or (claim := self._claim_next(self._walk.besides)) is None:
            return None
        self._hedges.take(pool, now)
        self._hedge = self._begin(*claim, send, "hedge")
        return self._hedge

    # -- restart of a broken stream ---------------------------------------------------------

    def _take_over(self, run: AttemptRun, broken: Break) -> bool:
        """Claim the next target for a restart of this broken answer. Once per request; whether there is
        one."""
        fault = run.attempt.fault
        if self._broken is not None or fault is None or self._exchange.clock() >= self._deadline:
            return False
        self._walk.failed(run.candidate, fault)
        self._claim = self._claim_next(self._walk.next)
        if self._claim is None:
            return False
        log.debug("%s: %s broke (%s), begun anew", self._exchange.id, run.candidate.name, broken.code)
        self._broken, self._break = run.attempt, broken
        return True
