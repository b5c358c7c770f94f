"""What a request and a chunk cost, in calls. A change that needs more is in the wrong place, or says why.

The figures are of Python 3.11; later versions make fewer calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.counting import Calls, Stack, counted
from tests.bench.gateways import ALL, MONEY

__all__: list[str] = []

STACKS: Final = {
    "failover": Stack(("failover",)),
    "route_select": Stack(("route_select", "failover")),
    "trace": Stack(("trace", "failover")),
    "guardrails": Stack(("guardrails", "failover")),
    "money": Stack(MONEY),
    "all": Stack(ALL),
}
WHOLE: Final = {
    "failover": Calls(319, 239),
    "route_select": Calls(397, 288),
    "trace": Calls(327, 242),
    "guardrails": Calls(454, 362),
    "money": Calls(546, 395),
    "all": Calls(764, 563),
}
"""The most calls of a request whose answer is not streamed, in Python and in C."""
STREAMED: Final = {
    "failover": Calls(365, 272),
    "route_select": Calls(446, 321),
    "trace": Calls(375, 275),
    "guardrails": Calls(505, 397),
    "money": Calls(608, 435),
    "all": Calls(837, 607),
}
"""The same for a stream without any word."""
CHUNK: Final = {
    "failover": Calls(18.3, 12.6),
    "route_select": Calls(19.3, 12.6),
    "trace": Calls(19.3, 12.6),
    "guardrails": Calls(19.3, 12.6),
    "money": Calls(20.3, 12.5),
    "all": Calls(23.3, 12.5),
}
"""The most calls of a chunk after the commit."""


SPARE: Final = 4
"""Calls that depend on the moment: where a window of time begins anew, and where the collector runs."""


def within(calls: Calls, most: Calls, spare: float = SPARE) -> bool:
    """Whether there are no more calls of either kind."""
    return calls.python <= most.python + spare and calls.c <= most.c + spare


@pytest.mark.parametrize("name", STACKS)
def test_a_request(name: str) -> None:
    """A request whose answer is whole makes at most so many calls."""
    calls = counted(STACKS[name])
    assert within(calls, WHOLE[name]), calls


@pytest.mark.parametrize("name", STACKS)
def test_a_stream(name: str) -> None:
    """A stream makes at most so many calls, and each of its chunks at most so many more."""
    empty, words = counted(STACKS[name], words=0), counted(STACKS[name], words=100)
    chunk = Calls((words.python - empty.python) / 100, (words.c - empty.c) / 100)
    assert within(empty, STREAMED[name]), empty
    assert within(chunk, CHUNK[name], SPARE / 20), chunk


@pytest.mark.parametrize("stack", [MONEY, ALL], ids=["money", "all"])
def test_a_store_in_a_file(stack: tuple[str, ...], tmp_path: Path) -> None:
    """A request at a store in a file makes at most so many calls: its holds come from slices."""
    calls = counted(Stack(stack, f"sqlite:///{tmp_path / 'calls.db'}"))
    assert within(calls, WHOLE["money" if stack is MONEY else "all"]), calls
