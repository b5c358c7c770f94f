"""The timeouts of one attempt, on a virtual event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standby.proxy.config import Timeouts
from standby.proxy.upstream.coarse_timer import LISTEN_DELAY
from standby.proxy.upstream.timeouts import DRAIN, AttemptTimeouts, Ended

from tests.proxy.harness import VirtualLoop, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

LIMITS: Final = Timeouts(connect=3, first_token=10, stall=20, total=100)
FIRST: Final = 10.0


def loop() -> VirtualLoop:
    """Returns the event loop of this test."""
    running = asyncio.get_running_loop()
    assert isinstance(running, VirtualLoop)
    return running


async def ends(*steps: tuple[float, Callable[[AttemptTimeouts], object]]) -> tuple[Ended | None, float]:
    """Returns which timeout ends a block with these steps, and after how many seconds.

    Each step is (seconds, call).
    """
    began = loop().time()
    clocks = AttemptTimeouts(LIMITS, FIRST)
    try:
        with clocks:
            for seconds, step in steps:
                await asyncio.sleep(seconds)
                step(clocks)
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    return clocks.ended, round(loop().time() - began, 3)


async def test_first_token() -> None:
    """Without content the block ends at the first-token limit."""
    assert await ends() == ("first_token", 10.0)


async def test_connect() -> None:
    """Connecting has its own, shorter limit from its start."""
    assert await ends((1, AttemptTimeouts.connecting)) == ("connect", 4.0)


async def test_connected_in_time() -> None:
    """Once connected, only the first-token limit applies."""
    assert await ends((1, AttemptTimeouts.connecting), (2, AttemptTimeouts.connected)) == (
        "first_token",
        10.0,
    )


async def test_connecting_does_not_extend_the_first_limit() -> None:
    """A late attempt to connect has only the rest of the first-token limit."""
    assert await ends((9, AttemptTimeouts.connecting)) == ("first_token", 10.0)


async def test_a_second_connection() -> None:
    """The one retry on a new connection has the full connect limit again."""
    steps = [
        (0.0, AttemptTimeouts.connecting),
        (2.0, AttemptTimeouts.connected),
        (1.0, AttemptTimeouts.connecting),
    ]
    assert await ends(*steps) == ("connect", 6.0)


async def test_stall() -> None:
    """After content the stall limit applies, from the last content on."""
    assert await ends((9, AttemptTimeouts.progress), (19, AttemptTimeouts.progress)) == ("stall", 48.0)


async def test_content_at_the_last_moment() -> None:
    """Content shortly before each limit continues the answer."""
    assert await ends((9.9, AttemptTimeouts.progress), *[(19.9, AttemptTimeouts.progress)] * 4) == (
        "total",
        100.0,
    )


async def test_a_stall_shorter_than_what_is_left_of_the_first_limit() -> None:
    """The stall limit applies from the first content, even if it ends before the first-token limit."""
    clocks = AttemptTimeouts(Timeouts(first_token=60, stall=1, total=100), 60)
    began = loop().time()
    try:
        with clocks:
            await asyncio.sleep(2)
            clocks.progress()
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    assert (clocks.ended, round(loop().time() - began, 3)) == ("stall", 3.0)


async def test_total() -> None:
    """An answer that never stalls ends at the total limit."""
    assert await ends(*[(5, AttemptTimeouts.progress)] * 50) == ("total", 100.0)


async def test_drain() -> None:
    """After the terminal marker the end of the body is awaited for DRAIN seconds only."""
    assert await ends((5, AttemptTimeouts.progress), (5, AttemptTimeouts.drain)) == ("drain", 10 + DRAIN)


async def ends_at(deadline: float, *progress: float) -> tuple[Ended | None, float]:
    """Returns which timeout ends a block with this deadline (seconds from now) and content at these times."""
    began = loop().time()
    clocks = AttemptTimeouts(LIMITS, FIRST, deadline)
    try:
        with clocks:
            for moment in progress:
                await asyncio.sleep(began + moment - loop().time())
                clocks.progress()
            await asyncio.Event().wait()
    except TimeoutError:
        pass
    return clocks.ended, round(loop().time() - began, 3)


async def test_a_deadline() -> None:
    """A deadline before the first-token limit replaces it, until there is content."""
    assert await ends_at(4) == ("deadline", 4.0)
    assert await ends_at(40) == ("first_token", 10.0)
    assert await ends_at(4, 3) == ("stall", 23.0)
    assert await ends_at(-1) == ("deadline", 0.0)


@pytest.mark.parametrize(("seconds", "calls"), [(LISTEN_DELAY / 2, 0), (LISTEN_DELAY * 2, 1), (9.0, 1)])
async def test_who_waits_is_told_once(seconds: float, calls: int) -> None:
    """A long block calls `on_wait` once, a short one does not."""
    waits: list[float] = []
    began = loop().time()
    with AttemptTimeouts(LIMITS, FIRST, on_wait=lambda: waits.append(loop().time() - began)) as clocks:
        clocks.connecting()
        clocks.connected()
        await asyncio.sleep(seconds)
        clocks.progress()
    await asyncio.sleep(1)
    assert waits == [pytest.approx(LISTEN_DELAY)] * calls
    assert clocks.ended is None


async def test_a_client_that_takes_nothing() -> None:
    """A stall while sending to the client is `client_stalled`."""

    def sending(clocks: AttemptTimeouts) -> None:
        clocks.progress()
        clocks.sending = True

    assert await ends((5, sending)) == ("client_stalled", 25.0)


async def test_a_client_that_took_it_in_the_end() -> None:
    """Once the client has read its chunk, a stall is the provider's again."""

    def sending(clocks: AttemptTimeouts) -> None:
        clocks.progress()
        clocks.sending = True

    def sent(clocks: AttemptTimeouts) -> None:
        clocks.sending = False

    assert await ends((5, sending), (1, sent)) == ("stall", 25.0)


async def test_interrupt() -> None:
    """`interrupt` ends the block at once and sets its reason."""
    assert await ends((5, lambda clocks: clocks.interrupt("client_gone"))) == ("client_gone", 5.0)


async def test_the_first_reason_counts() -> None:
    """A block ends once, and later reasons are ignored."""

    def twice(clocks: AttemptTimeouts) -> None:
        clocks.interrupt("client_gone")
        clocks.interrupt("stall")

    assert await ends((5, twice)) == ("client_gone", 5.0)


async def test_an_interrupt_after_the_end() -> None:
    """An interrupt after the end does nothing."""
    with (clocks := AttemptTimeouts(LIMITS, FIRST)):
        pass
    clocks.interrupt("client_gone")
    await asyncio.sleep(1)
    assert clocks.ended is None


async def test_nothing_is_left_behind() -> None:
    """However a block ends, no timer is left."""
    before = loop().timers
    with AttemptTimeouts(LIMITS, FIRST) as clocks:
        clocks.connecting()
        clocks.connected()
        clocks.progress()
        clocks.drain()
    assert loop().timers == before
    with pytest.raises(ZeroDivisionError), AttemptTimeouts(LIMITS, FIRST):
        raise ZeroDivisionError
    assert loop().timers == before
    await ends()
    assert loop().timers == before


async def test_chunks_do_not_move_timers() -> None:
    """However much content arrives, one timer is used and not replaced."""
    with AttemptTimeouts(LIMITS, FIRST) as clocks:
        clocks.progress()
        before = loop().armed
        for _ in range(1000):
            clocks.progress()
        assert loop().armed == before


async def test_an_error_inside_passes() -> None:
    """An error raised inside is not a timeout, even if it is a TimeoutError."""
    clocks = AttemptTimeouts(LIMITS, FIRST)
    with pytest.raises(TimeoutError, match="of somebody else"), clocks:
        raise TimeoutError("of somebody else")
    assert clocks.ended is None


async def test_a_cancelled_task_stays_cancelled() -> None:
    """A cancellation from outside is not suppressed, even if a timeout occurs at the same time."""
    for seconds in (5.0, FIRST):
        clocks = AttemptTimeouts(LIMITS, FIRST)

        async def block(clocks: AttemptTimeouts = clocks) -> None:
            with clocks:
                await asyncio.Event().wait()

        task = asyncio.create_task(block())
        loop().call_later(seconds, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()


async def test_the_block_is_over_for_its_task() -> None:
    """After a timeout has ended a block, its task can continue normally."""
    task = asyncio.current_task()
    assert task is not None
    await ends()
    assert task.cancelling() == 0
    await asyncio.sleep(1)


@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.sampled_from(["progress", "connecting", "connected"])), max_size=8
    )
)
async def test_what_is_due_first_ends_it(steps: list[tuple[float, str]]) -> None:
    """The earliest limit ends a block, compared with a simple model of the limits."""
    now, due, why = 0.0, FIRST, "first_token"
    connects: list[tuple[float, str]] = []
    expected: tuple[str, float] | None = None
    for seconds, name in [*steps, (1000.0, "")]:
        at, first = min((due, why), (100.0, "total"), *connects)
        now += seconds
        if abs(at - now) <= 1e-6:
            return  # either may come first
        if at < now:
            expected = (first, at)
            break
        if name == "progress":
            due, why = now + 20, "stall"
        else:
            connects = [(now + 3, "connect")] * (name == "connecting")
    assert expected is not None
    ended, when = await ends(*[(seconds, getattr(AttemptTimeouts, name)) for seconds, name in steps])
    assert ended == expected[0]
    assert when == pytest.approx(expected[1], abs=0.01)
