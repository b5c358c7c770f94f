"""How long a client waits while the first provider fails: the worst of a hundred requests, for each fault.

    python -m tests.acceptance.figures

Each trial of the failover tests runs twice: as the gateway is, where the breaker soon spares the clients a
provider that is down, and with a gateway that never learns, so that every request meets the fault. Clients,
gateway and simulators share one event loop and one CPU, so the figures hold the clients' own work too.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from typing import Final, NamedTuple

import uvloop

from tests.acceptance.batch import MANY
from tests.acceptance.clients import APIS, MESSAGES
from tests.acceptance.faults import BEFORE_CONTENT, LLMOCK, REFUSED, SIMULATED
from tests.acceptance.llmock_process import Llmock, llmock
from tests.acceptance.scene import Scene, scene
from tests.acceptance.serving import Front, uvicorn_under
from tests.acceptance.trials import Trial, against_llmock, between_simulators, simulator_before_llmock

__all__ = ["main"]

FIRST_TOKEN: Final = "300ms"
"""The pool's limit for the first token."""
LIMIT: Final = 600
"""Milliseconds that a request may take: 300 more."""


class Row(NamedTuple):
    """One line of the table."""

    who: str
    fault: str
    stream: bool
    trial: AbstractAsyncContextManager[tuple[Trial, Scene]]


def _rows(front: Front, mocks: tuple[Llmock, ...]) -> Iterator[Row]:
    for stream in (True, False):
        for behaviour in (None, *LLMOCK):
            if behaviour is None or behaviour.streams in {None, stream}:
                fault = behaviour.name if behaviour else REFUSED
                yield Row(
                    "openai, llmock",
                    fault,
                    stream,
                    against_llmock(front, mocks, behaviour, stream=stream, first_token=FIRST_TOKEN),
                )
    for fault, stream in SIMULATED:
        trial = simulator_before_llmock(front, mocks, fault, stream=stream, first_token=FIRST_TOKEN)
        yield Row("openai, simulator", fault, stream, trial)
    for fault, stream in BEFORE_CONTENT:
        trial = between_simulators(front, MESSAGES, fault, stream=stream, first_token=FIRST_TOKEN)
        yield Row("anthropic, simulator", fault, stream, trial)


async def _run() -> bool:
    within = True
    print(f"Worst and median of 100 requests, 10 at a time, in milliseconds; the limit is {LIMIT}.\n")
    print(f"{'':66}{'as it is':^16}{'every request':^16}")
    print(f"{'sdk, first provider':22}{'fault':34}{'':10}{'worst':>8}{'median':>8}{'worst':>8}{'median':>8}")
    with llmock("alpha", "beta") as mocks:
        async with uvicorn_under(Front(), "httptools") as front:
            async with scene(front, first_token="30s", stall="30s") as warming:
                for api in APIS:
                    for stream in (False, True):
                        await warming.sdks.say(api, stream=stream)
            for usual, always in zip(_rows(front, mocks), _rows(front, mocks), strict=True):
                line = f"{usual.who:22}{usual.fault:34}{'stream' if usual.stream else 'unary':10}"
                for row, forgetful in ((usual, False), (always, True)):
                    async with row.trial as (trial, set_up):
                        if forgetful:
                            set_up.forgetful()
                        await trial.run(set_up)
                    line += f"{trial.batch.worst:8.0f}{statistics.median(trial.batch.seconds) * 1000:8.0f}"
                    if (answered := trial.batch.answers[trial.good]) < MANY:
                        line += f"  ({answered} answered)"
                    within = within and trial.batch.worst <= LIMIT and answered == MANY
                print(line, flush=True)
    print(f"\n{'All' if within else 'NOT all'} requests were answered within the limit.")
    return within


def main() -> int:
    """Print the table. Returns 1 if a request took longer than it may."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(_run()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
