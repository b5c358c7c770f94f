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


def test_the_walk_passes_through_every_file_on_its_way() -> None:
    """Every file of proxy/, proxy/server/ and middlewares/ is in the walk, but those that serve the start."""
    start = {"__init__.py", "cli.py", "farewell.py", "limits.py", "serve.py", "settings.py"}
    start |= {"keys.py", "keys_command.py", "toml.py"}  # a command's own
    way = [
        path.relative_to(ROOT).as_posix()
        for folder in ("proxy", "proxy/server", "middlewares")
        for path in (ROOT / folder).glob("*.py")
        if path.name not in start
    ]
    assert sorted(file for file in way if f"`{file}`" not in LIFE) == []
