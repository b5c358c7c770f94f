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
    """Every file that a request passes is in the walk: of all rooms but those named here."""
    away = {"config", "dialects", "rehearsal", "stores"}  # read at the start, or told as a whole
    events = {"requested_usage.py", "similar_events.py", "sse.py"}  # of `dialects`, and seen by every stream
    start = {"__init__.py", "asgi.py", "cli.py", "limits.py", "lingering_close.py", "serve.py", "settings.py"}
    start |= {"describe.py", "key_store.py", "keys_command.py", "toml.py"}  # a command's own
    way = [
        path.relative_to(ROOT).as_posix()
        for folder in ("proxy", "middlewares")
        for path in (ROOT / folder).glob("**/*.py")
        if path.name not in start and (away.isdisjoint(path.relative_to(ROOT).parts) or path.name in events)
    ]
    assert sorted(file for file in way if f"`{file}`" not in LIFE) == []
