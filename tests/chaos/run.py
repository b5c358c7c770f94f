"""One run: callers, gateways, providers, and whatever happens to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from standby.proxy.budget.accounts import Account, Accounts
from standby.proxy.config import Routes, parse_routes
from standby.proxy.stores.records import LedgerEntry
from standby.proxy.stores.store import StoreDown

from .caller import Asked, CallResult, ask
from .process import GatewayProcess, serving_all
from .setting import KEYS, providers, routes, secret
from .store_reader import Kind, StoreReader, reader_of
from .verdict import Figures, judge

__all__ = ["Scale", "chaos"]

HOUR: Final = 3600.0

_LOOK: Final = 0.1
"""Seconds between two looks at the accounts."""
_PATIENCE: Final = 20.0
"""Seconds within which gateways must have settled everything that nobody killed."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much happens: requests, after how many of them something is killed, or a clock jumps, and callers
    at a time. `first_token` is the time limit of an attempt until its answer begins."""

    requests: int
    kill_every: int
    jump_every: int
    callers: int = 24
    first_token: str = "400ms"


class _Run:
    def __init__(self, reader: StoreReader, kind: Kind, scale: Scale, seed: int, *, escrow: bool) -> None:
        self.figures = Figures(requests=scale.requests, escrow=escrow)
        self.gateways: Sequence[GatewayProcess] = ()
        self._reader = reader
        self._kind = kind
        self._scale = scale
        self._random = Random(seed)
        self._results: list[CallResult] = []
        self._asked = 0
        self._repair: asyncio.Task[None] | None = None

    # -- what happens -----------------------------------------------------------------------

    async def drive(self, accounts: Sequence[Account]) -> None:
        """Have everything asked, and everything happen, while somebody looks at the accounts."""
        began = time.monotonic()
        eye = asyncio.create_task(self._watch(accounts))
        todo = self._todo()
        async with asyncio.TaskGroup() as callers:
            for _ in range(self._scale.callers):
                callers.create_task(self._call(todo))
        if self._repair is not None:
            await self._repair
        eye.cancel()
        await asyncio.gather(eye, return_exceptions=True)
        for gateway in self.gateways:
            gateway.move_clock(0.0)
        self.figures.seconds = time.monotonic() - began

    def _todo(self) -> Iterator[tuple[GatewayProcess, Asked]]:
        lots = self._random
        for number in range(self._scale.requests):
            streamed = lots.random() < 0.6
            yield (
                lots.choice(self.gateways),
                Asked(
                    ticket=f"t{number}",
                    secret=secret(lots.choice(KEYS)),
                    prompt="x" * lots.randint(1, 400),
                    streamed=streamed,
                    include_usage=True if streamed and lots.random() < 0.3 else None,
                    leaves=lots.random() * 0.06 if lots.random() < 0.2 else None,
                    reset=lots.random() < 0.5,
                ),
            )

    async def _call(self, todo: Iterator[tuple[GatewayProcess, Asked]]) -> None:
        for gateway, asked in todo:
            self._asked += 1
            if self._asked % self._scale.jump_every == 0:
                self._random.choice(self.gateways).move_clock(self._random.choice(_jumps()))
                self.figures.jumps += 1
            if self._asked % self._scale.kill_every == 0 and self._kind != "memory":
                self._kill()
            result = await ask(gateway.port, asked)
            self._results.append(result)
            if result.status == 0 and not result.left:
                # One that is being started again refuses at once.
                await (asyncio.sleep(0.3) if self._repair is None else asyncio.shield(self._repair))

    def _kill(self) -> None:
        """What is killed comes back: a worker by its supervisor, a gateway by us."""
        gateway = self._random.choice(self.gateways)
        if gateway.workers > 1:
            if len(gateway.pids) == gateway.workers:
                gateway.kill_worker(self._random.randrange(gateway.workers))
                self.figures.kills += 1
        elif self._repair is None or self._repair.done():
            self.figures.kills += 1
            self._repair = asyncio.create_task(self._restart(gateway))

    async def _restart(self, gateway: GatewayProcess) -> None:
        await gateway.kill()
        await gateway.start()

    async def _watch(self, accounts: Sequence[Account]) -> None:
        """At no moment is more spent and held than a limit allows."""
        lines = [account.line for account in accounts]
        while True:
            await asyncio.sleep(_LOOK)
            try:
                used = await self._reader.used(lines)
            except StoreDown:
                continue  # we are a neighbour like any other, and wait for our turn no longer than they do
            for line, amount in zip(lines, used, strict=True):
                if line.limit is not None:
                    self.figures.peak = max(self.figures.peak, amount - line.limit)

    # -- what became of it ------------------------------------------------------------------

    async def quiet(self) -> None:
        """Wait until everything is settled but what was killed, which expires as if its time had come."""
        due = time.monotonic() + _PATIENCE
        known = -1
        while (held := await self._reader.held()) and time.monotonic() < due:
            if held == known and self.figures.kills:
                break  # what does not change any more was left behind by the dead
            known = held
            await asyncio.sleep(1.0)
        await self._reader.expire()
        self.figures.stuck = await self._reader.held()

    def tickets(self) -> dict[str, str]:
        """Count what the callers were told; the tickets of the requests that they can name."""
        figures = self.figures
        tickets: dict[str, str] = {}
        for result in self._results:
            if result.request_id is not None:
                tickets[result.request_id] = result.asked.ticket
            if result.left:
                figures.hung_up += 1
            elif result.status == 200:
                figures.answered += 1
            elif result.code is not None:
                figures.refused[result.code] += 1
            else:
                figures.unanswered += 1
            figures.failovers += int(result.headers.get("x-standby-attempts", "0")) > 1
        return tickets

    async def audit(self, accounts: Sequence[Account], entries: Sequence[LedgerEntry]) -> None:
        """What is spent by the accounts is what the ledger says, and no more than they allow."""
        used = await self._reader.used([account.line for account in accounts])
        for account, amount in zip(accounts, used, strict=True):
            kind, _, name = account.scope.partition("/")
            own = [entry for entry in entries if getattr(entry, kind) == name]
            if account.line.limit is not None:
                self.figures.overshoot = max(self.figures.overshoot, amount - account.line.limit)
            if account.unit == "cost":
                booked = sum(entry.charged or 0 for entry in own)
                # A slice that a killed process held is booked whole, beside the requests that it paid for.
                spare = sum(entry.charged or 0 for entry in own if entry.source == "expired")
                self.figures.counted += abs(amount - booked)
                if not booked - (spare if self.figures.escrow else 0) <= amount <= booked:
                    self.figures.wrong.append(f"{account.label}: {amount} spent, {booked} in the ledger")


async def chaos(kind: Kind, scale: Scale, seed: int, folder: Path, *, escrow: bool = False) -> Figures:
    """Run it, and compare. Everything is drawn by `seed`; what the machine makes of it is not."""
    async with AsyncExitStack() as stack:
        reader = stack.enter_context(reader_of(kind, folder))
        vendors = await stack.enter_async_context(providers(seed))
        urls = {name: provider.url for name, provider in vendors.items()}
        text = routes(reader.url, urls, scale.requests, escrow=escrow, first_token=scale.first_token)
        path = folder / "routes.toml"
        path.write_text(text)
        accounts = _accounts(parse_routes(text))
        run = _Run(reader, kind, scale, seed, escrow=escrow)
        workers, count = (2, 1) if kind == "sqlite" else (1, 2) if kind == "redis" else (1, 1)
        names = [f"gateway{number}" for number in range(count)]
        run.gateways = await stack.enter_async_context(serving_all(names, path, workers=workers))
        reader.port = run.gateways[0].port
        await run.drive(accounts)
        await run.quiet()
        entries = await reader.entries()
        await run.audit(accounts, entries)
        judge(run.figures, entries, {name: each.bill for name, each in vendors.items()}, run.tickets())
        figures = run.figures
        figures.wrong += [
            f"{each.name} stumbled:\n{each.log}" for each in run.gateways if "Traceback" in each.log
        ]
        if figures.expired and not figures.kills:
            figures.wrong.append(f"holds of {figures.expired} nano-dollars expired, and nobody was killed")
        if figures.stuck:
            figures.wrong.append(f"{figures.stuck} holds are stuck")
        if figures.overshoot > 0 or figures.peak > 0:
            figures.wrong.append(f"limits were passed by {max(figures.overshoot, figures.peak)}")
        return figures


def _jumps() -> tuple[float, ...]:
    """How far a clock may be off without showing another month, where budgets begin anew."""
    now = time.time()
    return tuple(
        ahead for ahead in (HOUR, -HOUR, 0.0) if time.gmtime(now + ahead)[:2] == time.gmtime(now)[:2]
    )


def _accounts(known: Routes) -> list[Account]:
    """The budgets of every scope of these routes, as of now."""
    accounts = Accounts()
    found: list[Account] = []
    for kind, scopes in (("team", known.teams), ("key", known.keys)):
        for grants in scopes.values():
            found += [each for each in accounts.of(kind, grants, time.time()) if each.line.kind == "sum"]
    return found
