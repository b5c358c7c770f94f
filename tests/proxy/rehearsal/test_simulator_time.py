"""The timing of the simulator, and its detection of callers that hang up."""

from __future__ import annotations

import pytest
from standby.proxy.rehearsal.simulator import (
    DONE,
    Byte,
    Content,
    Drip,
    Endless,
    Fault,
    Framed,
    Pings,
    Simulator,
    Slow,
    Stall,
)

from tests.proxy.rehearsal.caller import CHAT, Caller, ask, good

__all__: list[str] = []

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: the tests run on asyncio's own, the demo and the bench on uvicorn's."""
    return "asyncio", {"use_uvloop": bool(request.param)}


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        (Slow(5.0), [5.0]),
        (Slow(5.0, after=None), [5.0]),
        (Slow(5.0, after=Content(2)), [5.0]),
        (Drip(1.0, after=-1) & Framed("eof"), [1.0] * len(DONE)),
    ],
)
async def test_slow_answers_are_whole(fault: Fault, waits: list[float]) -> None:
    """A patient caller gets the good answer, and all waiting goes through the given `sleep`."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with Simulator("alpha", fault=fault, sleep=sleep) as provider:
        answer = await ask(provider, stream=True)

    assert answer.body == (await good(stream=True)).body
    assert slept == waits


async def test_a_paced_stream() -> None:
    """The pace applies between the events, not after the last."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with Simulator("alpha", pace=0.5, sleep=sleep) as provider:
        events = len((await ask(provider, stream=True)).events)

    assert slept == [0.5] * (events - 1)


@pytest.mark.parametrize(
    ("fault", "mark"),
    [
        (Stall(0), b"\r\n\r\n"),
        (Stall(Content(1)), b'"alpha "'),
        (Stall(Byte(40)), b"data: "),
        (Pings(0.001), b": ping canary"),
        (Pings(0.001, kind="event", after=Content(0)), b"event: ping"),
        (Drip(0.0), b"x-drip: canary-alpha"),
        (Drip(3600.0, after=Content(1)), b'"alpha "'),
        (Slow(3600.0), b"\r\n\r\n"),
        (Endless(), b'"well."'),
    ],
)
async def test_a_hang_up_is_heard_at_once(alpha: Simulator, fault: Fault, mark: bytes) -> None:
    """The provider detects that the caller has left in any state, and ends its work."""
    alpha.fault = fault
    caller = await Caller.to(alpha)
    await caller.send(CHAT, stream=True)
    answer = await caller.read(until=mark)
    assert mark in answer.raw
    caller.hang_up()
    await alpha.wait_for(lambda: alpha.requests[0].gone and not alpha.open)

    assert not alpha.requests[0].done


async def test_a_hang_up_before_any_byte(alpha: Simulator) -> None:
    """A provider that has sent nothing yet detects it as well, and records when."""
    alpha.fault, alpha.clock = Stall(), lambda: 42.0
    caller = await Caller.to(alpha)
    await caller.send(CHAT)
    await alpha.wait_for(lambda: len(alpha.requests) == 1)
    caller.hang_up()
    await alpha.wait_for(lambda: alpha.requests[0].gone_at == 42.0)

    assert (alpha.requests[0].sent, alpha.requests[0].at) == (0, 42.0)


async def test_a_caller_that_does_not_read_stops_it(alpha: Simulator) -> None:
    """An endless answer is sent no faster than it is read."""
    alpha.fault = Endless()
    caller = await Caller.to(alpha)
    await caller.send(CHAT, stream=True)
    await alpha.wait_for(lambda: any(not connection.flowing.is_set() for connection in alpha.connections))
    caller.hang_up()
    await alpha.wait_for(lambda: alpha.requests[0].gone)


async def test_a_caller_that_leaves_after_the_answer_is_not_gone(alpha: Simulator) -> None:
    """A hang-up counts only while something is still to be sent."""
    caller = await Caller.to(alpha)
    await caller.send(CHAT, close=False, stream=True)
    await caller.read(until=DONE)
    caller.hang_up()
    await alpha.wait_for(lambda: not alpha.open)

    assert (alpha.requests[0].done, alpha.requests[0].gone) == (True, False)


async def test_waiting_in_vain_says_what_was_seen(alpha: Simulator) -> None:
    """A condition that never becomes true raises TimeoutError with the last requests."""
    await ask(alpha)
    with pytest.raises(TimeoutError, match=r"alpha: not so within 0.01 s; .*path='/v1/chat/completions'"):
        await alpha.wait_for(lambda: False, within=0.01)
