"""The anthropic SDK before two simulators, the first of which fails."""

from __future__ import annotations

from typing import Final

import pytest

from tests.acceptance.clients import MESSAGES
from tests.acceptance.faults import BEFORE_CONTENT_ONCE
from tests.acceptance.serving import Front
from tests.acceptance.trials import between_simulators

__all__: list[str] = []

pytestmark = pytest.mark.anyio

GENEROUS: Final = 10_000.0
"""Milliseconds: what a request may take on a busy machine. `figures` tells what requests do take."""


CASES: Final = tuple(
    (name, stream)
    for name, stream in BEFORE_CONTENT_ONCE
    if name not in {"stall before the headers", "stall after the headers"}
)
"""The openai SDK waits for those that are left out, and a plain client for all of them."""


@pytest.mark.parametrize(("fault", "stream"), CASES)
async def test_a_hundred_messages_of_a_hundred_are_answered(front: Front, fault: str, stream: bool) -> None:
    """Whatever alpha does before content, every client gets beta's message and no byte of alpha's."""
    async with between_simulators(front, MESSAGES, fault, stream=stream) as (trial, set_up):
        await trial.run(set_up)

        trial.check()
        print(f"worst of {len(trial.batch.seconds)}: {trial.batch.worst:.0f} ms")
        assert trial.batch.worst < GENEROUS
