"""Requests walk as docs/life-of-a-request.md says: from step to step, and not back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.acceptance.counting import Call, Stack, traced
from tests.bench.gateways import ALL
from tests.docs.documents import ROOT, named

__all__: list[str] = []

LIFE: Final = named("docs/life-of-a-request.md")
STEPS: Final = {
    file: int(number)
    for number, file in re.findall(r"^(\d+)\. \*\*[^*]+\*\* in `([\w/]+\.py)`", LIFE, re.MULTILINE)
}
"""The file in which each step begins."""
CALLED_BACK: Final = {
    (file, int(step))
    for file, steps in re.findall(r"^\| `([\w/]+\.py)` \| ([\d, ]+) \|", LIFE, re.MULTILINE)
    for step in steps.split(", ")
}
"""The files that are called again from a later step, with that step."""
SERVED_BY_HOST: Final = {1}
"""The steps of a server, which is not in the process of these requests."""


def walked(calls: list[Call]) -> tuple[list[int], set[tuple[str, int]]]:
    """The steps in the order in which they begin, and the files that are called again from a later one.

    A constructor begins nothing, and neither does a function that another one of the same file calls.
    """
    order: list[int] = []
    back: set[tuple[str, int]] = set()
    for call in calls:
        file, caller = _short(call.file), _short(call.caller)
        step = STEPS.get(file)
        if step is None or file == caller or call.function.endswith("__init__"):
            continue
        if step not in order:
            order.append(step)
        elif step < order[-1]:
            back.add((file, order[-1]))
    return order, back


def _short(file: str) -> str:
    """The file relative to the repository."""
    path = Path(file).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else file


@pytest.mark.parametrize("words", [None, 3], ids=["whole", "streamed"])
def test_the_walk_of_a_request(words: int | None) -> None:
    """Every step begins once and in its order, and a later one calls back only what the last table names."""
    order, back = walked(traced(Stack(ALL), words=words))
    assert order == sorted(set(STEPS.values()) - SERVED_BY_HOST)
    assert back <= CALLED_BACK
    if words is not None:
        assert back == CALLED_BACK


def test_the_walk_is_short() -> None:
    """There are at most 16 steps, each in a file of its own."""
    assert len(STEPS) == len(set(STEPS.values())) == max(STEPS.values())
    assert len(STEPS) <= 16
