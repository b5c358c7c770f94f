"""The line of each request, and those of targets that rest."""

from __future__ import annotations

import logging

import pytest
from standby.proxy.health.breaker import TRIP

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import chunk, virtual_time

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio


def told(caplog: pytest.LogCaptureFixture, logger: str) -> list[tuple[str, str]]:
    """Level and text of the lines of a logger, without the request's id and the time it took."""
    lines = [
        (record.levelname, record.getMessage().rpartition(" in ")[0].partition(": ")[2])
        for record in caplog.records
        if record.name == logger
    ]
    caplog.clear()
    return lines


async def test_each_request_has_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """Good ones for information, with who answered and after whom; failed and broken ones are warnings."""
    caplog.set_level(logging.INFO)
    scene = Scene(2)
    await scene.ask()
    assert told(caplog, "standby.access") == [("INFO", "200 chat pool support served by a")]
    scene["a"].say(b"", status=500)
    await scene.ask()
    expected = "200 chat pool support served by b degraded (upstream_5xx) after a: upstream_5xx"
    assert told(caplog, "standby.access") == [("INFO", expected)]
    scene["b"].say(b"", status=500)
    await scene.ask()
    expected = "502 chat pool support failed (all_attempts_failed) after a: upstream_5xx, b: upstream_5xx"
    assert told(caplog, "standby.access") == [("WARNING", expected)]
    scene["a"].say(chunk("Hi"), OSError("cut"))
    await scene.ask()
    expected = "200 chat pool support broken by a (stream_truncated) after a: stream_truncated"
    assert told(caplog, "standby.access") == [("WARNING", expected)]


async def test_nothing_that_a_caller_wrote(caplog: pytest.LogCaptureFixture) -> None:
    """A hostile model name, path or header is in no line."""
    caplog.set_level(logging.DEBUG)
    scene = Scene(2)
    hostile = "canary\n\x1b[2J${jndi:x}"
    await scene.ask(model=hostile)
    await scene.ask((b"user-agent", b"canary"), path="/canary")
    await scene.ask(messages=[{"role": "user", "content": hostile}])
    assert "canary" not in caplog.text


async def test_a_target_that_rests(caplog: pytest.LogCaptureFixture) -> None:
    """The begin and the end of a rest have one line each, with the reason and how long it lasts."""
    caplog.set_level(logging.INFO, "standby.health")
    scene = Scene(2)
    scene.on_loop_time()
    scene["a"].say(b"", status=500)
    for _ in range(TRIP + 3):
        await scene.ask()
    [line] = [record.getMessage() for record in caplog.records if record.name == "standby.health"]
    assert line.startswith("target a: circuit breaker open for chat (upstream_5xx), tried again in ")
    caplog.clear()
    scene["a"].say(chunk("Hi"), DONE)
    scene.gateway.health.clock = lambda: 1e6
    for _ in range(3):
        await scene.ask()
    assert [record.getMessage() for record in caplog.records] == ["target a: answers again for chat"]
