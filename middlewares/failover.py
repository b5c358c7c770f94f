"""Walk the plan until one answer proves good."""

from __future__ import annotations

import asyncio
import logging
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
from ..proxy.routing.plan_walk import PlanWalk
from ..proxy.routing.retry import pause
from ..proxy.routing.written_order import written_order

__all__ = ["Failover"]

log: Final = logging.getLogger("standby.failover")


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
    retries: Annotated[int, Field(ge=0, le=1)] = 0
    """Times that the last target is asked again where no other is left. By default each is asked once."""
    first_token: float | None = field(default=None, metadata={"toml": False})
    """Seconds one attempt may take to prove good, for an app without clocks. Pools have `timeouts`."""
    targets: tuple[str, ...] = field(default=(), metadata={"toml": False})
    """Names of the candidates, in order, for an app that has no pools."""
    chance: Callable[[], float] = field(default=random.random, repr=False, metadata={"toml": False})
    """From 0 to 1: what spreads retries over time."""
    _health: Health = field(default_factory=Health, init=False, repr=False)
    _hedges: Hedges = field(default_factory=Hedges, init=False, repr=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange.of(scope)
        if exchange.relayed and exchange.operation is None:
            await self.app(scope, receive, send)  # nothing that a provider is asked
            return
        try:
            body = await opened(scope, receive)
        except ClientGone:
            return
        except Refusal as refusal:
            await send_refusal(scope, send, refusal)
            return
        if exchange.health is None:
            exchange.health = self._health
        if exchange.plan is None:
            exchange.plan = written_order(exchange, exchange.health, body, self.targets)
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
        "_loop",
        "_original",
        "_over",
        "_race",
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
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + limit
        self._retries = failover.retries
        self._restarts = is_requested(exchange)
        self._over = False  # the caller has its answer, or wants none any more
        self._last: AttemptRun | None = None  # of those that failed
        self._race: Race | None = None
        self._hedge: AttemptRun | None = None
        self._claim: tuple[Candidate, Permit | None] | None = None
        self._broken: Attempt | None = None  # after commit, and to be begun anew
        self._break = Break("", b"")
        self._original: tuple[Message, ...] = ()

    async def run(self, scope: Scope, send: Send) -> None:
        """Try candidates until one is committed, and answer for all of them if none is."""
        exchange, app = self._exchange, self._failover.app
        onward: StreamRestart | None = None
        try:
            while (run := self._next(send) or await self._again(send)) is not None:
                after = self._lateness(run)
                if after is None:
                    # Here and not in a method: a coroutine more would be entered for every token.
                    with run:
                        await run.inside(app, scope, self._body.rewind())
                    self._note(run)
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
        if self._original:
            # Nobody did better than the first refusal that was meant for the caller.
            for message in self._original:
                await send(message)
        else:
            passed = self._loop.time() >= self._deadline
            await send_refusal(scope, send, exhausted(self._exchange, deadline_passed=passed))

    # -- who is next ------------------------------------------------------------------------

    def _next(self, send: Send) -> AttemptRun | None:
        """An attempt at the next candidate whose health, now, lets it be tried."""
        claim, self._claim = self._claim, None
        if claim is None and self._loop.time() < self._deadline:
            claim = self._enter(self._walk.next)
        if claim is None:
            return None
        return self._begin(*claim, send, "failover" if self._exchange.attempts else "primary")

    def _enter(self, choose: Callable[[], Candidate | None]) -> tuple[Candidate, Permit | None] | None:
        operation = self._exchange.operation
        while (candidate := choose()) is not None:
            target = candidate.target
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

    def _begin(self, candidate: Candidate, entry: Permit | None, send: Send, kind: Kind) -> AttemptRun:
        run = AttemptRun(
            self._exchange,
            self._health,
            entry,
            candidate,
            send,
            self._loop,
            kind=kind,
            moves=self._moves,
            first=self._failover.first_token,
            deadline=self._deadline,
        )
        if self._restarts:
            run.attempt.continues = self._broken is not None
            run.attempt.takes_over = partial(self._take_over, run)
        return run

    def _moves(self, candidate: Candidate, fault: Fault) -> bool:
        """Whether a fault lets the walk go on: to another candidate, or with the one beside it."""
        if self._broken is not None or self._walk.opens(candidate, fault):
            return True
        beside = self._race is not None and self._race.running > 1
        return beside and RULES[fault.kind].moves in {"yes", "larger"}

    def _note(self, run: AttemptRun) -> None:
        """An attempt has ended: what follows for the walk."""
        exchange, candidate, fault = self._exchange, run.candidate, run.attempt.fault
        if run.attempt is self._broken or run.lost:
            return
        if run.committed or exchange.client_gone or fault is None:
            self._over = True
            return
        if candidate.rejected is not None:  # by a clearance: nothing was sent
            log.info("%s: %s passed over (%s)", exchange.id, candidate.name, candidate.rejected)
            self._walk.not_tried(candidate)
            if run is self._hedge:
                self._hedge = None
            return
        log.info("%s: %s failed (%s)", exchange.id, candidate.name, fault.kind)
        self._last = run
        self._walk.failed(candidate, fault)
        if self._broken is not None:
            self._over = RULES[fault.kind].moves == "no"
        elif is_callers(fault) and not self._original:
            self._original = run.gate.held

    def _release(self) -> None:
        """What was claimed and never tried leaves no trace."""
        if self._claim is not None and (entry := self._claim[1]) is not None:
            self._health.record(entry, None, proved=False)

    # -- the same target again --------------------------------------------------------------

    async def _again(self, send: Send) -> AttemptRun | None:
        """Another attempt at the last target, after a pause, where nobody else is left."""
        last, operation, health = self._last, self._exchange.operation, self._health
        if last is None or not self._retries or self._broken is not None or operation is None:
            return None
        candidate, fault = last.candidate, last.attempt.fault
        wait = None if fault is None else pause(fault, self._failover.chance())
        if wait is None or candidate.target is None or self._loop.time() + wait >= self._deadline:
            return None
        target = candidate.target
        rejection = health.rejection(target.name, target.provider.name, operation.name)
        if rejection is not None and (rejection.ready_in is None or rejection.ready_in > wait):
            return None
        budget = health.retries(target.name, operation.name)
        if not budget.allows(health.clock()) or not self._walk.again():
            return None
        budget.take(health.clock())
        self._retries -= 1
        if await self._is_left_within(wait):
            self._exchange.client_gone = self._over = True
            return None
        entered = health.enter(
            target.name, target.provider.name, operation.name, streamed=self._exchange.streamed
        )
        return self._begin(candidate, entered, send, "retry") if isinstance(entered, Permit) else None

    async def _is_left_within(self, seconds: float) -> bool:
        """Wait, and return at once if the client hangs up meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                await self._body.disconnected()
        except TimeoutError:
            return False
        return True

    # -- one beside another -----------------------------------------------------------------

    def _lateness(self, run: AttemptRun) -> float | None:
        """Seconds after which the first attempt is late, so that another one may begin beside it."""
        pool = self._exchange.pool
        if pool is None or pool.hedge is None or run.attempt.kind != "primary":
            return None
        return self._hedges.after(self._exchange, self._health, run, self._loop.time())

    async def _run_race(self, scope: Scope, send: Send, run: AttemptRun, after: float) -> None:
        def inside(run: AttemptRun) -> Awaitable[None]:
            hedge = run.attempt.kind == "hedge"
            body = self._body.copy() if hedge else self._body.rewind()
            return run.inside(self._failover.app, scope, body)

        self._race = Race(self._exchange, inside=inside, hedge=partial(self._beside, send), ended=self._note)
        try:
            await self._race.run(run, after)
        finally:
            self._race = None

    def _beside(self, send: Send) -> AttemptRun | None:
        """Begin a hedge, unless there was one or there is no room for it."""
        pool, now = self._exchange.pool, self._loop.time()
        if pool is None or self._hedge is not None or now >= self._deadline:
            return None
        if not self._hedges.allows(pool, now) or (claim := self._enter(self._walk.besides)) is None:
            return None
        self._hedges.take(pool, now)
        self._hedge = self._begin(*claim, send, "hedge")
        return self._hedge

    # -- a broken stream begun anew ---------------------------------------------------------

    def _take_over(self, run: AttemptRun, broken: Break) -> bool:
        """Claim somebody to begin this broken answer anew, once in a request."""
        fault = run.attempt.fault
        if self._broken is not None or fault is None or self._loop.time() >= self._deadline:
            return False
        self._walk.failed(run.candidate, fault)
        self._claim = self._enter(self._walk.next)
        if self._claim is None:
            return False
        log.info("%s: %s broke (%s), begun anew", self._exchange.id, run.candidate.name, broken.code)
        self._broken, self._break = run.attempt, broken
        return True
