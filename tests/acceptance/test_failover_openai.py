"""The openai SDK before two llmock servers, the first of which fails."""

from __future__ import annotations

import asyncio
from typing import Final

import pytest

from tests.acceptance.clients import CHAT
from tests.acceptance.faults import LLMOCK, SIMULATED, VERDICTS, LlmockFault
from tests.acceptance.llmock_process import Llmock
from tests.acceptance.scene import scene
from tests.acceptance.serving import Front
from tests.acceptance.trials import against_llmock, simulator_before_llmock

__all__: list[str] = []

pytestmark = pytest.mark.anyio

GENEROUS: Final = 10_000.0
"""Milliseconds: what a request may take on a busy machine. `figures` tells what requests do take."""

CASES: Final = tuple(
    pytest.param(
        behaviour,
        stream,
        id=f"{behaviour.name if behaviour else 'connect refused'}-{'stream' if stream else 'unary'}",
    )
    for place, behaviour in enumerate((None, *LLMOCK))
    for stream in (True, False)
    if stream == (place % 2 == 0 if behaviour is None or behaviour.streams is None else behaviour.streams)
)
"""Every behaviour once: in turn streamed or not, where there is a choice."""


CANNOT: Final = tuple(
    (name, stream)
    for name, stream in dict(SIMULATED).items()
    if name not in {"comments only", "headers dripped for ever"}
)
"""What llmock cannot be told, once, streamed where it can be; for what never ends the anthropic SDK waits."""


@pytest.mark.parametrize(("behaviour", "stream"), CASES)
async def test_a_hundred_requests_of_a_hundred_are_answered(
    front: Front, mocks: tuple[Llmock, ...], behaviour: LlmockFault | None, stream: bool
) -> None:
    """Whatever llmock does before content, clients get the second's answer and no byte of the first's."""
    async with against_llmock(front, mocks, behaviour, stream=stream) as (trial, set_up):
        await trial.run(set_up)

        trial.check()
        print(f"worst of {len(trial.batch.seconds)}: {trial.batch.worst:.0f} ms")
        assert trial.batch.worst < GENEROUS
        if behaviour is not None:
            verdict = await asyncio.to_thread(mocks[0].verdict)
            assert verdict & VERDICTS == frozenset()
            assert await asyncio.to_thread(mocks[0].requests) > 0


@pytest.mark.parametrize(("fault", "stream"), CANNOT)
async def test_what_llmock_cannot_be_told(
    front: Front, mocks: tuple[Llmock, ...], fault: str, stream: bool
) -> None:
    """Whatever a simulator does before content, clients get llmock's answer and no byte of it."""
    async with simulator_before_llmock(front, mocks, fault, stream=stream) as (trial, set_up):
        await trial.run(set_up)

        trial.check()
        print(f"worst of {len(trial.batch.seconds)}: {trial.batch.worst:.0f} ms")
        assert trial.batch.worst < GENEROUS


async def test_a_retry_after_holds_for_the_next_request_too(front: Front, mocks: tuple[Llmock, ...]) -> None:
    """A call answered with Retry-After is not made again there, however often the caller repeats it."""
    first, second = mocks
    second.behave()
    first.behave({"type": "fail", "status": 429, "retry_after": 30})
    async with scene(front, urls=(first.url, second.url)) as set_up:
        for _ in range(20):
            assert await set_up.sdks.say(CHAT, stream=False) == second.words

    assert await asyncio.to_thread(first.requests) == 1
    assert await asyncio.to_thread(first.verdict) & VERDICTS == frozenset()
