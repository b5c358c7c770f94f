"""What Failover tells of each attempt to its target's health."""

from __future__ import annotations

import asyncio
import json
from typing import Final

import httpx2
import pytest
from standby.proxy.classify.faults import Fault
from standby.proxy.health.target_health import Health, Permit
from typing_extensions import override

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import chunk, virtual_time
from tests.proxy.streams import SPOKEN

__all__ = ["virtual_time"]

pytestmark = pytest.mark.anyio

JSON: Final = ((b"content-type", b"application/json"),)
WHOLE: Final = b'{"choices": [{"message": {"content": "Hi"}, "finish_reason": "%b"}]}'


class RecordingHealth(Health):
    """A Health that records the calls of `answered` and `record`."""

    def __init__(self) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.answers: list[tuple[str, bool, float]] = []
        self.ends: list[tuple[str, str | None, bool, bool]] = []

    @override
    def answered(self, permit: Permit, *, streamed: bool = True) -> None:
        self.answers.append((permit.target, streamed, self.clock()))
        super().answered(permit, streamed=streamed)

    @override
    def record(self, permit: Permit, fault: Fault | None, *, proved: bool, refused: bool = False) -> None:
        self.ends.append((permit.target, None if fault is None else fault.kind, proved, refused))
        super().record(permit, fault, proved=proved, refused=refused)


def recording_scene(count: int = 2, **settings: str) -> tuple[Scene, RecordingHealth]:
    """Returns a gateway, and the recording health of its targets."""
    scene, health = Scene(count, **settings), RecordingHealth()
    scene.gateway.health = health
    return scene, health


async def test_the_first_content() -> None:
    """`answered` is called at the first content, neither at the preamble nor at the end."""
    scene, health = recording_scene()
    scene["a"].say(*SPOKEN["chat"].preamble, 2.0, chunk("Hi"), 3.0, DONE)
    began = health.clock()
    await scene.ask()
    ((target, streamed, at),) = health.answers
    assert (target, streamed) == ("a", True)
    assert at == pytest.approx(began + 2.0)
    assert health.ends == [("a", None, True, False)]


async def test_a_whole_answer() -> None:
    """A document has no first content."""
    scene, health = recording_scene()
    scene["a"].say(WHOLE % b"stop", headers=JSON)
    await scene.ask(stream=False)
    assert [answer[:2] for answer in health.answers] == [("a", False)]
    assert health.ends == [("a", None, True, False)]


async def test_who_gave_no_answer() -> None:
    """A failed target is recorded with its fault, and the next one with its answer."""
    scene, health = recording_scene()
    scene["a"].say(b"", status=503)
    await scene.ask()
    assert [answer[0] for answer in health.answers] == ["b"]
    assert health.ends == [("a", "overloaded", True, False), ("b", None, True, False)]


async def test_a_callers_refusal_is_no_content() -> None:
    """A caller's refusal is an answer, but not one whose latency counts."""
    scene, health = recording_scene()
    scene["a"].say(b'{"error": {}}', status=400)
    await scene.ask()
    assert [answer[:2] for answer in health.answers] == [("a", False)]
    assert health.ends == [("a", "bad_request", True, False)]


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_refuses(finish: str, stream: bool) -> None:
    """The finish reason of a filter is a refusal, in a stream and in a document."""
    scene, health = recording_scene()
    if stream:
        scene["a"].say(chunk("No"), chunk(index=0, delta={}, finish_reason=finish), DONE)
    else:
        scene["a"].say(WHOLE % finish.encode(), headers=JSON)
    await scene.ask(stream=stream)
    assert health.ends == [("a", None, True, finish == "content_filter")]


async def test_a_filter_that_refuses() -> None:
    """A content filter's fault is recorded as a refusal."""
    scene, health = recording_scene()
    scene["a"].say(json.dumps({"error": {"code": "content_filter"}}).encode(), status=400)
    await scene.ask()
    assert health.ends == [("a", "content_refused", True, True)]


async def test_a_break_after_the_commit() -> None:
    """A break after the commit is recorded as an answer and as a fault of the target."""
    scene, health = recording_scene()
    scene["a"].say(chunk("Hi"), httpx2.ReadError("reset"))
    await scene.ask()
    assert [answer[0] for answer in health.answers] == ["a"]
    assert health.ends == [("a", "stream_truncated", True, False)]


async def test_a_loser_proves_nothing() -> None:
    """An attempt that lost to its hedge is recorded with neither fault nor answer."""
    scene, health = recording_scene(pool='hedge = { after = "1s", share = 0.5 }')
    for _ in range(3):
        await scene.ask()
    health.answers.clear()
    health.ends.clear()
    scene["a"].say(9.0, chunk("slow"), DONE)
    await scene.ask()
    assert [answer[0] for answer in health.answers] == ["b"]
    assert sorted(health.ends) == [("a", None, False, False), ("b", None, True, False)]
