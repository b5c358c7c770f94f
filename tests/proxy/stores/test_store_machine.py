"""Tests each kind of store against the reference model, with random sequences of operations."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Final, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from standby.proxy.stores.records import LedgerEntry, Line

from tests.proxy.stores.model import Model
from tests.proxy.stores.scenes import BEGAN, KINDS, scene_of
from tests.redis_server import RedisServer

__all__: list[str] = []

T = TypeVar("T")

AMOUNTS: Final = st.one_of(st.integers(0, 12), st.sampled_from([10**9, 10**15 + 1, 2**53 + 1]))
LIMITS: Final = st.one_of(st.none(), st.integers(0, 40), st.sampled_from([2**53 + 1, 2**54 + 3, 10**18]))
BUCKETS: Final = MappingProxyType({0: int(BEGAN), 1: int(BEGAN) + 60, 2: int(BEGAN) + 120})
REFILLS: Final = MappingProxyType({"r1": 0.25, "r2": 4.0})


def _sum(account: str, amount: int, limit: int | None, bucket: int, back: int, rolling: bool) -> Line:
    since = BUCKETS[max(0, bucket - back)]
    return Line(account, "sum", amount, limit, BUCKETS[bucket], since, rolling, keep=10**6)


def _rate(account: str, amount: int, limit: int | None) -> Line:
    return Line(account, "rate", amount, limit, per_second=REFILLS[account])


def _lease(account: str, amount: int, limit: int | None) -> Line:
    return Line(account, "lease", amount, limit)


def _entry(name: str) -> LedgerEntry:
    return LedgerEntry(at=BEGAN, request_id=name, attempt=1)


SUMS: Final = st.builds(
    _sum, st.sampled_from(["a", "b"]), AMOUNTS, LIMITS, st.integers(0, 2), st.integers(0, 2), st.booleans()
)
RATES: Final = st.builds(
    _rate, st.sampled_from(["r1", "r2"]), st.integers(0, 12), st.one_of(st.none(), st.integers(0, 24))
)
LEASES: Final = st.builds(
    _lease, st.sampled_from(["l1", "l2"]), st.integers(0, 2), st.one_of(st.none(), st.integers(0, 4))
)
LINES: Final = st.lists(st.one_of(SUMS, RATES, LEASES), max_size=5)
IDS: Final = st.integers(0, 9).map(str)
ENTRIES: Final = st.lists(st.builds(_entry, st.sampled_from("xyz")), max_size=2)
LOOKED_AT: Final = (
    *[
        _sum(account, 0, None, bucket, 2, rolling)
        for account in "ab"
        for bucket in range(3)
        for rolling in (False, True)
    ],
    *[Line(account, "rate", 0, None, per_second=refill) for account, refill in REFILLS.items()],
    *[Line(account, "lease", 0, None) for account in ("l1", "l2")],
)


class Machine(RuleBasedStateMachine):
    """Ten holds on six accounts, while time passes and clocks jump."""

    kind: ClassVar[str]
    server: ClassVar[RedisServer | None]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.scene = scene_of(self.kind, Path(self.folder.name) / "store.db", self.server)
        self.store = self.scene.store
        self.model = Model()

    def do(self, work: Awaitable[T]) -> T:
        async def run() -> T:
            return await work

        return self.runner.run(run())

    @rule(
        hold_id=IDS, lines=LINES, lease=st.sampled_from([10.0, 20.0]), entries=ENTRIES, enforce=st.booleans()
    )
    def hold(
        self, hold_id: str, lines: list[Line], lease: float, entries: list[LedgerEntry], enforce: bool
    ) -> None:
        assert self.do(
            self.store.hold(hold_id, lines, lease=lease, entries=entries, enforce=enforce)
        ) == self.model.hold(hold_id, lines, lease, entries, enforce)

    @rule(hold_id=IDS, lines=LINES, entries=ENTRIES)
    def settle(self, hold_id: str, lines: list[Line], entries: list[LedgerEntry]) -> None:
        assert self.do(self.store.settle(hold_id, lines, entries)) == self.model.settle(
            hold_id, lines, entries
        )

    @rule()
    def sweep(self) -> None:
        assert self.do(self.store.sweep()) == self.model.sweep()

    @rule(quarters=st.integers(1, 60))
    def pass_time(self, quarters: int) -> None:
        self.scene.pass_time(quarters / 4)
        self.model.pass_time(quarters / 4)

    @rule(seconds=st.sampled_from([-3600, 3600]))
    def jump(self, seconds: float) -> None:
        """Sets the wall clock. Rates in Redis depend on it, so it is not set once there are any."""
        if self.kind == "redis" and self.model.levels:
            return
        self.scene.jump(seconds)
        self.sweep()  # gateways sweep every few seconds, which reads the clock

    @rule()
    def reopen(self) -> None:
        self.do(self.store.aclose())

    @invariant()
    def counts_the_same(self) -> None:
        assert self.do(self.store.used(LOOKED_AT)) == tuple(
            [-int(-self.model.used(line) // 1) for line in LOOKED_AT]
        )
        assert self.do(self.store.held()) == len(self.model.open)

    def teardown(self) -> None:
        async def written() -> list[str]:
            return [f"{entry.request_id} {entry.outcome}" async for entry in self.store.entries()]

        try:
            # The entries of one sweep are written in any order.
            assert sorted(self.do(written())) == sorted(self.model.ledger)
        finally:
            self.do(self.store.aclose())
            self.runner.close()
            self.folder.cleanup()


@pytest.fixture(params=KINDS)
def machine(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The class attributes of the machine for this kind of store."""
    server = request.getfixturevalue("redis_server") if request.param == "redis" else None
    return {"kind": request.param, "server": server}


@pytest.mark.timeout(300)
def test_a_store_does_what_the_model_does(machine: dict[str, Any]) -> None:
    """Results, totals, holds and the ledger equal those of the model."""
    run_state_machine_as_test(
        type("Machine", (Machine,), machine),
        settings=settings(
            max_examples=20,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
