"""Tests of the timeout and the circuit breaker of stores."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from standby.proxy.stores.store import StoreBusy, StoreDown
from standby.proxy.stores.store_breaker import LONGEST_REST, REST, TIMEOUT, TRIP, StoreBreaker, StoreCall

__all__: list[str] = []

pytestmark = pytest.mark.anyio


class Ward:
    """A breaker whose clock a test sets."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.now = 100.0
        self.breaker = StoreBreaker("test", lambda: self.now, timeout)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            call = self.breaker.begin()
            call.fail(StoreDown("no"))
            assert isinstance(call.future.exception(), StoreDown)

    def refuses(self) -> bool:
        try:
            self.breaker.begin().finish(None)
        except StoreDown:
            return True
        return False


async def test_a_call_ends_with_what_came_of_it() -> None:
    """A call returns its result, or raises the caller's own error."""
    call, mistaken = Ward().breaker.begin(), Ward().breaker.begin()
    call.finish(7)
    mistaken.fail(ValueError("mine"))
    assert await call.future == 7
    with pytest.raises(ValueError, match="mine"):
        await mistaken.future


async def test_no_answer_in_time_is_a_failure() -> None:
    """A call fails at its timeout if nothing happens, and is then marked as dropped."""
    call = Ward(timeout=0.0).breaker.begin()
    with pytest.raises(StoreDown, match="in time"):
        await call.future
    assert call.dropped
    call.finish("too late")
    call.fail(StoreDown("too late"))
    assert TIMEOUT == 0.25


async def test_a_loop_that_was_held_up_blames_no_store() -> None:
    """If the timer fires late because the loop was blocked, a result that arrives soon still counts."""
    call = Ward(timeout=0.0).breaker.begin()
    time.sleep(0.2)  # noqa: ASYNC251
    for _ in range(3):
        await asyncio.sleep(0)  # the timer has fired by now
    assert not call.future.done()
    call.finish("in time")
    assert await call.future == "in time"


class Busy:
    """An executor that goes on with other operations all the time."""

    @property
    def progressed(self) -> float:
        return time.monotonic()


async def test_waiting_behind_others_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the store goes on with other operations a call may wait, and too long a wait says nothing of the
    store."""
    monkeypatch.setattr("standby.proxy.stores.store_breaker.LONGEST_WAIT", 0.0)
    ward = Ward(timeout=0.01)
    for _ in range(TRIP + 1):
        call = ward.breaker.begin()
        call.executor = Busy()
        with pytest.raises(StoreBusy, match="too much to do"):
            await call.future
        assert call.dropped
    assert not ward.refuses()


async def test_a_result_that_is_on_its_way() -> None:
    """A call whose result has not reached its loop yet does not fail."""
    call = Ward(timeout=0.0).breaker.begin()
    call.answered = True
    await asyncio.sleep(0.01)
    call.finish(7)
    assert await call.future == 7


async def test_a_store_that_went_down_meanwhile() -> None:
    """Who waits behind others as the store goes down is told so, and does not wait any longer."""
    ward = Ward(timeout=0.01)
    call = ward.breaker.begin()
    call.executor = Busy()
    ward.fail(TRIP)
    with pytest.raises(StoreDown, match="in time"):
        await call.future


async def test_a_cancelled_caller_is_no_failure_and_drops_nothing() -> None:
    """Cancelling a caller is no failure; the outcome of its call still counts for the breaker."""
    ward = Ward()
    calls: list[StoreCall] = []
    for _ in range(TRIP):
        call = ward.breaker.begin()
        call.future.cancel()
        assert not call.dropped
        calls.append(call)
    assert not ward.refuses()
    for call in calls:
        call.fail(StoreDown("no"))
    assert ward.refuses()


async def test_failures_in_a_row_open_the_breaker() -> None:
    """TRIP consecutive failures open the breaker; a success in between resets the count."""
    ward = Ward()
    ward.fail(TRIP - 1)
    ward.breaker.begin().finish(None)
    ward.fail(TRIP - 1)
    assert not ward.refuses()
    ward.fail(TRIP)
    assert ward.refuses()


async def test_an_own_mistake_is_no_failure() -> None:
    """An error that is not StoreDown counts as a success."""
    ward = Ward()
    for _ in range(2 * TRIP):
        call = ward.breaker.begin()
        call.fail(ValueError("mine"))
        call.future.exception()
    assert not ward.refuses()


async def test_one_call_probes_when_the_rest_is_over() -> None:
    """While a probe is running all other calls are refused; its success closes the breaker."""
    ward = Ward()
    ward.fail(TRIP)
    ward.now += REST
    probe = ward.breaker.begin()
    assert ward.refuses()
    probe.finish(None)
    assert not ward.refuses()


async def test_the_rest_doubles_up_to_its_longest() -> None:
    """A failed probe doubles the waiting time up to LONGEST_REST; a success resets it."""
    ward = Ward()
    ward.fail(TRIP)
    rest = REST
    for _ in range(8):
        ward.now += rest / 2
        assert ward.refuses()
        ward.now += rest / 2
        ward.fail()
        rest = min(2 * rest, LONGEST_REST)
    assert rest == LONGEST_REST
    ward.now += rest
    assert not ward.refuses()
    ward.fail(TRIP)
    ward.now += REST
    assert not ward.refuses()


async def test_calls_from_before_change_no_rest() -> None:
    """Calls that were running when the breaker opened do not extend its waiting time."""
    ward = Ward()
    late = [ward.breaker.begin() for _ in range(50)]
    ward.fail(TRIP)
    for call in late:
        call.fail(StoreDown("no"))
        call.future.exception()
    ward.now += REST
    assert not ward.refuses()


async def test_a_probe_that_nobody_waits_for_still_ends() -> None:
    """A probe whose caller was cancelled still ends, so the breaker can close."""
    ward = Ward()
    ward.fail(TRIP)
    ward.now += REST
    probe = ward.breaker.begin()
    probe.future.cancel()
    assert ward.refuses()
    probe.finish(None)
    assert not ward.refuses()


async def test_each_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """One line is logged when the breaker opens and one when it closes."""
    ward = Ward()
    with caplog.at_level(logging.WARNING, "standby.store"):
        ward.fail(TRIP)
        for _ in range(3):
            ward.now += LONGEST_REST
            ward.fail()
        ward.now += LONGEST_REST
        assert not ward.refuses()
    assert [record.getMessage() for record in caplog.records] == [
        "the test store is down: it failed 5 times in a row",
        "the test store answers again",
    ]
