"""The decision log is written beside the requests, is rotated, and counts what it loses."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from standby.proxy.telemetry.line_writer import LineWriter

from tests.middlewares.scene import Scene
from tests.proxy.harness import virtual_time

__all__ = ["virtual_time"]


def lines(path: Path) -> list[Any]:
    """The records of a file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_lines_are_appended_in_order(tmp_path: Path) -> None:
    """What was written before stays, and closing writes what waits."""
    path = tmp_path / "log"
    path.write_text('{"n":0}\n', encoding="utf-8")
    writer = LineWriter(path)
    for number in range(1, 1201):
        writer.write({"n": number})
    writer.close()
    assert lines(path) == [{"n": number} for number in range(1201)]
    assert writer.dropped == 0


def test_a_file_that_is_moved_away_is_opened_again(tmp_path: Path) -> None:
    """So that it can be rotated."""
    path = tmp_path / "log"
    writer = LineWriter(path)
    writer.write({"n": 1})
    writer.close()
    path.rename(tmp_path / "log.1")
    writer.write({"n": 2})
    writer.close()
    assert (lines(tmp_path / "log.1"), lines(path)) == ([{"n": 1}], [{"n": 2}])


def test_what_cannot_be_written_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A disk that fails loses lines, which are counted, and is told once until it works again."""
    writer = LineWriter(tmp_path)  # a folder
    for _ in range(2):
        writer.write({"n": 1})
        writer.close()
    assert writer.dropped == 2
    assert len(caplog.records) == 1


def test_nobody_waits_for_a_reader(tmp_path: Path) -> None:
    """While nobody reads the other end of a pipe, a bounded number waits and the rest is dropped."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = LineWriter(path, most=10)
    for number in range(100):
        writer.write({"n": number})
    assert 85 <= writer.dropped <= 90
    with path.open("rb") as reader:
        writer.close(5.0)
        assert reader.readline()


@pytest.mark.anyio
async def test_every_request_has_a_line(tmp_path: Path) -> None:
    """Each request is one line with its outcome, its attempts, and every candidate's reason."""
    scene = Scene(3, top=f'stack = ["route_select", "failover"]\n[decisions]\nto = "{tmp_path}/log"\n')
    scene["a"].say(b"", status=500)
    await scene.ask()
    await scene.ask(model="unknown")
    assert scene.gateway.observer.decisions is not None
    scene.gateway.observer.decisions.close(5.0)
    first, second = lines(tmp_path / "log")
    assert (first["outcome"], first["target"], first["degraded"]) == ("served", "b", "upstream_5xx")
    assert [(each["target"], each["fault"]) for each in first["attempts"]] == [
        ("a", "upstream_5xx"),
        ("b", None),
    ]
    assert [(each["target"], each["reason"]) for each in first["candidates"]] == [
        ("a", "tried"),
        ("b", "tried"),
        ("c", "not_needed"),
    ]
    assert (second["outcome"], second["error"], second["status"]) == ("rejected", "unknown_model", 404)
