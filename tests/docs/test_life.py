"""docs/life-of-a-request.md walks through the files that there are."""

from __future__ import annotations

import re

from tests.docs.documents import ROOT, named

__all__: list[str] = []

LIFE = named("docs/life-of-a-request.md")


def test_every_step_names_a_file() -> None:
    """The steps are counted without a gap, and each names at least one file, which exists."""
    steps = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |^## |\Z)", LIFE, re.MULTILINE | re.DOTALL)
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    for number, step in steps:
        files = re.findall(r"`((?:proxy|middlewares)/[\w/]+\.py)`", step)
        assert files, f"step {number} names no file"
        assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_walk_passes_through_every_room() -> None:
    """Each folder of `proxy/` that holds code, and each middleware, is named by a file of its own."""
    commands = {"proxy/ops"}  # what an operator types is no part of a request's walk
    rooms = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "proxy").glob("*/**/*.py")}
    rooms = {room for room in rooms - commands if not room.startswith("proxy/rehearsal")}
    named_rooms = {
        file.rpartition("/")[0] for file in re.findall(r"`((?:proxy|middlewares)/[\w/]+\.py)`", LIFE)
    }
    assert sorted(rooms - named_rooms) == []
    middlewares = {path.relative_to(ROOT).as_posix() for path in (ROOT / "middlewares").glob("[a-z]*.py")}
    assert sorted(file for file in middlewares if f"`{file}`" not in LIFE) == []
