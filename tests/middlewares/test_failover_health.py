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


class Told(Health):
    """Remembers what it is told: who answered, and how attempts ended."""

    def __init__(self) -> None:
        super().__init__(clock=asyncio.get_running_loop().time)
        self.answers: list[tuple[str, bool, float]] = []
        self.ends: list[tuple[str, str | None, bool, bool]] = []

    @override
    def answered(self, entry: Permit, *, streamed: bool = True) -> None:
        self.answers.append((entry.target, streamed, self.clock()))
        super().answered(entry, streamed=streamed)

    @override
    def record(self, entry: Permit, fault: Fault | None, *, proved: bool, refused: bool = False) -> None:
        self.ends.append((entry.target, None if fault is None else fault.kind, proved, refused))
        super().record(entry, fault, proved=proved, refused=refused)


def scene_told(count: int = 2, **settings: str) -> tuple[Scene, Told]:
    """A gateway, and what its targets' health was told."""
    scene, told = Scene(count, **settings), Told()
    scene.gateway.health = told
    return scene, told


async def test_the_first_content() -> None:
    """Is told when it comes: not the preamble, and not the end."""
    scene, told = scene_told()
    scene["a"].say(*SPOKEN["chat"].preamble, 2.0, chunk("Hi"), 3.0, DONE)
    began = told.clock()
    await scene.ask()
    ((target, streamed, at),) = told.answers
    assert (target, streamed) == ("a", True)
    assert at == pytest.approx(began + 2.0)
    assert told.ends == [("a", None, True, False)]


async def test_a_whole_answer() -> None:
    """Has no first content."""
    scene, told = scene_told()
    scene["a"].say(WHOLE % b"stop", headers=JSON)
    await scene.ask(stream=False)
    assert [answer[:2] for answer in told.answers] == [("a", False)]
    assert told.ends == [("a", None, True, False)]


async def test_who_gave_no_answer() -> None:
    """Did not answer, and says why; the next one did."""
    scene, told = scene_told()
    scene["a"].say(b"", status=503)
    await scene.ask()
    assert [answer[0] for answer in told.answers] == ["b"]
    assert told.ends == [("a", "overloaded", True, False), ("b", None, True, False)]


async def test_a_callers_refusal_is_no_content() -> None:
    """It is an answer, and none whose time counts."""
    scene, told = scene_told()
    scene["a"].say(b'{"error": {}}', status=400)
    await scene.ask()
    assert [answer[:2] for answer in told.answers] == [("a", False)]
    assert told.ends == [("a", "bad_request", True, False)]


@pytest.mark.parametrize("finish", ["stop", "length", "content_filter"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_model_that_refuses(finish: str, stream: bool) -> None:
    """A filter's finish is a refusal, in a stream and in a document."""
    scene, told = scene_told()
    if stream:
        scene["a"].say(chunk("No"), chunk(index=0, delta={}, finish_reason=finish), DONE)
    else:
        scene["a"].say(WHOLE % finish.encode(), headers=JSON)
    await scene.ask(stream=stream)
    assert told.ends == [("a", None, True, finish == "content_filter")]


async def test_a_filter_that_refuses() -> None:
    """So is the fault of that name."""
    scene, told = scene_told()
    scene["a"].say(json.dumps({"error": {"code": "content_filter"}}).encode(), status=400)
    await scene.ask()
    assert told.ends == [("a", "content_refused", True, True)]


async def test_a_break_after_the_commit() -> None:
    """Is the target's fault, after an answer that had begun."""
    scene, told = scene_told()
    scene["a"].say(chunk("Hi"), httpx2.ReadError("reset"))
    await scene.ask()
    assert [answer[0] for answer in told.answers] == ["a"]
    assert told.ends == [("a", "stream_truncated", True, False)]


async def test_a_loser_proves_nothing() -> None:
    """Whoever was only slower than the one beside it has no fault, and no answer either."""
    scene, told = scene_told(pool='hedge = { after = "1s", share = 0.5 }')
    for _ in range(3):
        await scene.ask()
    told.answers.clear()
    told.ends.clear()
    scene["a"].say(9.0, chunk("slow"), DONE)
    await scene.ask()
    assert [answer[0] for answer in told.answers] == ["b"]
    assert sorted(told.ends) == [("a", None, False, False), ("b", None, True, False)]
