"""What a request and a chunk cost, in calls. A change that needs more is in the wrong place, or says why.

The figures are of Python 3.11; later versions make fewer calls.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.counting import Calls, Stack, counted

__all__: list[str] = []

MONEY: Final = ("auth", "budget", "failover")
ALL: Final = ("trace", "auth", "guardrails", "budget", "route_select", "failover")
STACKS: Final = {
    "failover": Stack(("failover",)),
    "route_select": Stack(("route_select", "failover")),
    "trace": Stack(("trace", "failover")),
    "guardrails": Stack(("guardrails", "failover")),
    "money": Stack(MONEY),
    "all": Stack(ALL),
}
WHOLE: Final = {
    "failover": Calls(999, 999),
    "route_select": Calls(999, 999),
    "trace": Calls(999, 999),
    "guardrails": Calls(999, 999),
    "money": Calls(999, 999),
    "all": Calls(999, 999),
}
"""The most calls of a request whose answer is not streamed, in Python and in C."""
STREAMED: Final = {
    "failover": Calls(999, 999),
    "route_select": Calls(999, 999),
    "trace": Calls(999, 999),
    "guardrails": Calls(999, 999),
    "money": Calls(999, 999),
    "all": Calls(999, 999),
}
"""The same for a stream without any word."""
CHUNK: Final = {
    "failover": Calls(99, 99),
    "route_select": Calls(99, 99),
    "trace": Calls(99, 99),
    "guardrails": Calls(99, 99),
    "money": Calls(99, 99),
    "all": Calls(99, 99),
}
"""The most calls of a chunk after the commit."""


def within(calls: Calls, most: Calls) -> bool:
    """Whether there are no more calls of either kind."""
    return calls.python <= most.python and calls.c <= most.c


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
    assert within(chunk, CHUNK[name]), chunk


@pytest.mark.parametrize("stack", [MONEY, ALL], ids=["money", "all"])
def test_a_store_in_a_file(stack: tuple[str, ...], tmp_path: Path) -> None:
    """A request at a store in a file makes at most so many calls: its holds come from slices."""
    calls = counted(Stack(stack, f"sqlite:///{tmp_path / 'calls.db'}"))
    assert within(calls, WHOLE["money" if stack is MONEY else "all"]), calls
