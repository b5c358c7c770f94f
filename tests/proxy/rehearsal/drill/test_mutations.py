"""The drill finds what is wrong: ten ways to break the gateway, each of which breaks a promise."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import pytest
from standby.middlewares import failover
from standby.proxy.budget.budget_store import BudgetStore
from standby.proxy.budget.estimate import Estimate
from standby.proxy.budget.request_budget import RequestBudget
from standby.proxy.classify.answer import Answer, Verdict
from standby.proxy.config import Routes, Target, load_routes
from standby.proxy.exchange import Exchange
from standby.proxy.guardrails.request_guard import RequestGuard
from standby.proxy.health.pool_state import PoolStates
from standby.proxy.keys.principal import Principal
from standby.proxy.rehearsal.drill import matrix
from standby.proxy.rehearsal.drill.matrix import cells, run
from standby.proxy.rehearsal.drill.record import Record
from standby.proxy.upstream.upstream_call import UpstreamCall

__all__ = ["silence"]

Patch = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture(autouse=True, scope="module")
def silence() -> Iterator[None]:
    """Every outage would be logged."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(before)


@cache
def routes() -> Routes:
    """The configuration with everything that a drill looks at."""
    return load_routes(Path(__file__).with_name("full.toml"), lenient=True)


def drilled(*faults: str, keys: tuple[str, ...] = ("anywhere",)) -> list[Record]:
    """The records of these outages."""
    return asyncio.run(run(routes(), cells(routes(), faults=faults, keys=keys)))


def broken(records: list[Record]) -> set[str]:
    """The promises that were not kept."""
    return {finding.promise for record in records for finding in record.findings if not finding.kept}


def skip_the_clearances(patch: pytest.MonkeyPatch) -> None:
    """Nothing is asked before a byte leaves."""
    send = UpstreamCall._send_request  # pyright: ignore[reportPrivateUsage]

    async def unchecked(self: UpstreamCall, *given: Any) -> Any:
        self._exchange.clearances.clear()  # pyright: ignore[reportPrivateUsage]
        return await send(self, *given)

    patch.setattr(UpstreamCall, "_send_request", unchecked)


def settle_on_the_wrong_key(patch: pytest.MonkeyPatch) -> None:
    """The ledger names another key."""
    entry = Estimate.entry

    def wrong(self: Estimate, *given: Any, **fields: Any) -> Any:
        return entry(self, *given, **fields)._replace(key="europe")

    patch.setattr(Estimate, "entry", wrong)


def commit_on_the_preamble(patch: pytest.MonkeyPatch) -> None:
    """An answer counts as good from its head on."""
    start = Answer.start

    def hasty(self: Answer, *given: Any) -> Verdict:
        verdict = start(self, *given)
        if verdict is Verdict.HOLD and 200 <= self.status <= 299:
            self.verdict = Verdict.COMMIT
        return self.verdict

    patch.setattr(Answer, "start", hasty)


def forget_the_release(patch: pytest.MonkeyPatch) -> None:
    """A request ends without a settlement."""

    async def forgets(self: RequestBudget) -> None:
        del self

    patch.setattr(RequestBudget, "leave", forgets)


def leave_the_hold(patch: pytest.MonkeyPatch) -> None:
    """The store never hears of the settlement."""

    async def nothing(self: BudgetStore, *given: Any, **fields: Any) -> None:
        del self, given, fields

    patch.setattr(BudgetStore, "settle", nothing)


def alert_never(patch: pytest.MonkeyPatch) -> None:
    """What becomes of requests changes no pool's state."""
    of = PoolStates.of

    def healthy(self: PoolStates, name: str) -> Any:
        state = of(self, name)
        return type(state)(state.pool, "healthy", state.since)

    patch.setattr(PoolStates, "of", healthy)


def give_a_wrong_header(patch: pytest.MonkeyPatch) -> None:
    """The header names a cause that is not true."""
    patch.setattr(Exchange, "degraded", property(_quota))


def guard_only_at_entry(patch: pytest.MonkeyPatch) -> None:
    """Rules that depend on the target are not applied."""

    async def passes(self: RequestGuard, *given: Any) -> None:
        del self, given

    patch.setattr(RequestGuard, "clear", passes)


def mix_two_providers(patch: pytest.MonkeyPatch) -> None:
    """The answer of one provider begins with bytes of another."""
    begin = UpstreamCall._begin  # pyright: ignore[reportPrivateUsage]

    async def mixed(self: UpstreamCall, status: int, headers: Any) -> None:
        headers = [pair for pair in headers if pair[0] != b"content-length"]
        await begin(self, status, headers)
        alien = b'data: {"canary": "canary-p9-0123456789ab"}\n\n'
        await self._send({"type": "http.response.body", "body": alien, "more_body": True})  # pyright: ignore[reportPrivateUsage]

    patch.setattr(UpstreamCall, "_begin", mixed)


def retry_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """A stream that breaks goes on with another target."""
    patch.setattr(failover, "is_requested", _yes)


def _yes(exchange: Exchange) -> bool:
    del exchange
    return True


def _quota(exchange: Exchange) -> str:
    del exchange
    return "quota"


def _none(principal: Principal, target: Target) -> None:
    del principal, target


def _name(mutation: Patch) -> str:
    return getattr(mutation, "__name__", "")


MUTATIONS: Final = MappingProxyType[Patch, tuple[str, str]](
    {
        skip_the_clearances: ("outage", "guardrails"),
        settle_on_the_wrong_key: ("healthy", "budget"),
        commit_on_the_preamble: ("in_band_error", "routing"),
        forget_the_release: ("healthy", "budget"),
        leave_the_hold: ("healthy", "budget"),
        alert_never: ("outage", "alert"),
        give_a_wrong_header: ("outage", "alert"),
        guard_only_at_entry: ("outage", "guardrails"),
        mix_two_providers: ("healthy", "routing"),
        retry_after_the_commit: ("mid_stream_cut", "routing"),
    }
)
"""Each way to break the gateway, the outage that shows it, and the promise that it breaks."""


@pytest.mark.timeout(120)
def test_a_sound_gateway_keeps_every_promise() -> None:
    """The whole matrix of the configuration, for both keys."""
    assert broken(drilled(keys=())) == set()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=_name)
def test_a_broken_gateway_breaks_a_promise(mutation: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    """The drill fails, and names the promise, which the sound gateway keeps."""
    fault, promise = MUTATIONS[mutation]
    mutation(monkeypatch)
    monkeypatch.setattr(matrix, "_SETTLING", 0.1)  # nothing settles later what a mutation leaves open
    assert promise in broken(drilled(fault))


def test_policy_that_is_not_asked_breaks_a_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the clearances and the filter, the data of a key for Europe goes elsewhere."""
    skip_the_clearances(monkeypatch)
    monkeypatch.setattr(Principal, "objection", _none)
    assert "routing" in broken(drilled("healthy", keys=("europe",)))
