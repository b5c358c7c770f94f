"""Runs the cells of a drill, several at once, each with a gateway of its own."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import httpx2

from ...config import Pool, Routes
from ...dialects.registry import operation_named
from ...gateway import Gateway
from ...guardrails.rules import Kind, Rule
from ...keys.principal import Principal
from ...ops.conditions import conditions
from ...ops.explain import usual_operation
from ...ops.settings import max_attempts
from ...server.loop_lag import LoopLag
from ...stores.records import LedgerEntry
from .client import PLANTED, ask
from .promises import findings
from .record import Cell, Record
from .replacement import replacement
from .scenarios import SCENARIOS
from .testbed import Testbed, testbed

__all__ = ["cells", "left_out", "run"]

_AT_ONCE: Final = 4
"""Cells that run at the same time. They mostly wait for timeouts."""
_TRIES: Final = 3
"""How often a cell may run, if this machine is too slow for its times."""
_TICK: Final = 0.02
"""Seconds between two looks at how late this process is."""
_SETTLING: Final = 3.0
"""Seconds that holds may take to be settled."""


def cells(
    routes: Routes,
    *,
    pools: Sequence[str] = (),
    faults: Sequence[str] = (),
    keys: Sequence[str] = (),
) -> list[Cell]:
    """Returns the cells of the matrix; each given list narrows it."""
    made: list[Cell] = []
    for pool in routes.pools.values():
        if pools and pool.name not in pools:
            continue
        operation = operation_named(usual_operation(pool))
        for scenario in SCENARIOS.values():
            if (faults and scenario.name not in faults) or scenario.applies(pool) is not None:
                continue
            for key, principal in _callers(routes, pool, keys):
                both = (False,) if operation.name == "embeddings" else (False, True)
                made += [Cell(pool, scenario, key, principal, operation, streamed) for streamed in both]
    return made


async def run(
    routes: Routes, todo: Sequence[Cell], *, seed: int = 0, done: Callable[[Record], None] | None = None
) -> list[Record]:
    """Run the cells, in an order by `seed`, and return what was seen, in the order of `todo`.

    `done` is called with each record when its cell is over.
    """
    _warm(routes)
    left = list(enumerate(todo))
    random.Random(seed).shuffle(left)
    records: dict[int, Record] = {}

    async def work() -> None:
        async with testbed(routes) as bed:
            while left:
                at, cell = left.pop()
                records[at] = await _in_time(bed, cell)
                if done is not None:
                    done(records[at])

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_AT_ONCE, len(left))):
            group.create_task(work())
    return [records[at] for at in sorted(records)]


def _warm(routes: Routes) -> None:
    """Load now what the first gateway would load while its request waits, and others'."""
    nowhere = dict.fromkeys(routes.providers, "http://127.0.0.1:9/v1")
    Gateway(replacement(routes, nowhere).routes).prepare()


def _callers(
    routes: Routes, pool: Pool, keys: Sequence[str]
) -> Iterator[tuple[str | None, Principal | None]]:
    if "auth" not in routes.stack:
        yield None, None
        return
    for name, key in routes.keys.items():
        principal = Principal.of(key)
        if (keys and name not in keys) or not principal.grants(pool.name) or principal.ended(time.time()):
            continue
        yield name, principal


async def _in_time(bed: Testbed, cell: Cell) -> Record:
    """Run one cell, again if it failed while this machine was busy with something else."""
    for _ in range(_TRIES - 1):
        record = await _run_cell(bed, cell)
        if record.kept or not record.is_late:
            return record
    return await _run_cell(bed, cell)


async def _run_cell(bed: Testbed, cell: Cell) -> Record:
    """Run one cell with a gateway of its own."""
    configured = bed.configured.routes
    bed.set(cell.scenario, configured.pools[cell.pool.name])
    secret = None if cell.key is None else bed.configured.secrets[cell.key]
    async with AsyncExitStack() as running:
        gateway = await running.enter_async_context(Gateway(configured))
        bed.app = gateway
        lag = await running.enter_async_context(LoopLag(every=_TICK))
        client = await running.enter_async_context(
            httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{bed.port}", verify=False, trust_env=False, timeout=30.0
            )
        )
        if cell.scenario.at_once:
            await asyncio.gather(*(ask(client, cell, secret) for _ in range(cell.scenario.at_once)))
        replies = [await ask(client, cell, secret) for _ in range(cell.scenario.requests)]
        rules = _rules(gateway, cell)
        planted: dict[Kind, str] = {rule.kind: PLANTED[rule.kind] for rule in rules if _can_plant(rule)}
        if planted:
            replies.append(await ask(client, cell, secret, " ".join(planted.values())))
        entries, held = await _settled(gateway)
        record = Record(
            cell,
            bed.configured.routes.targets,
            replies,
            bed.received(configured),
            entries,
            held,
            frozenset(
                each.alert
                for each in conditions(gateway.health, gateway.observer.pools, [cell.pool.name], time.time())
            ),
            dict(bed.busy),
            rules,
            planted,
            counts_money="budget" in configured.stack,
            max_attempts=max_attempts(configured),
            late=lag.longest,
        )
    record.findings = findings(record)
    return record


async def _settled(gateway: Gateway) -> tuple[list[LedgerEntry], int]:
    """Returns the ledger, and the holds that are left, once all are settled or the time is up."""
    store = gateway.store
    until = time.monotonic() + _SETTLING
    while (held := await store.held()) and time.monotonic() < until:  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    return [entry async for entry in store.entries()], held


def _rules(gateway: Gateway, cell: Cell) -> list[Rule]:
    """Returns the guardrails that read the requests of the cell's caller."""
    middleware: Any = gateway.middleware("guardrails")
    if middleware is None:
        return []
    rules = cast("Sequence[Rule]", middleware.rules)
    principal = cell.principal
    scopes = (("key", "keys"), ("user", "users"), ("team", "teams"), ("organisation", "organisations"))

    def reads(rule: Rule) -> bool:
        if rule.pools is not None and cell.pool.name not in rule.pools:
            return False
        return all(
            (names := getattr(rule, member)) is None
            or (principal is not None and principal.name(cast("Any", kind)) in names)
            for kind, member in scopes
        )

    return [rule for rule in rules if reads(rule)]


def _can_plant(rule: Rule) -> bool:
    """Whether the rule acts on what a drill can plant."""
    codes = {"secrets": "openai_key", "personal_data": "email"}
    return (
        rule.kind in PLANTED
        and rule.action != "observe"
        and rule.on != "response"
        and (rule.find is None or codes[rule.kind] in rule.find)
    )


def left_out(routes: Routes, todo: Sequence[Cell]) -> list[str]:
    """Returns what a whole drill does not try, and why."""
    tried = {cell.pool.name for cell in todo}
    lines: list[str] = []
    for pool in routes.pools.values():
        if pool.name not in tried:
            lines.append(f"pool {pool.name}: no key in the file may use it")
            continue
        reasons = ((scenario.name, scenario.applies(pool)) for scenario in SCENARIOS.values())
        lines += [f"pool {pool.name}, {name}: {reason}" for name, reason in reasons if reason is not None]
    return lines
