"""Whatever a provider sends, it is an answer, or the next target gives one, and no defect shows."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standby.proxy.errors import Interrupted

from tests.middlewares.scene import DONE, Scene
from tests.proxy.harness import Caller, VirtualLoop, chunk

__all__: list[str] = []

NUMBERS: Final = (0, -1, 1.5, 2**63, 10**30, 1e308)
TEXTS: Final = ("", "x", "stop", "error", "content_filter", "\ud800", "\x00\x1b[2J")
SCALARS: Final[st.SearchStrategy[Any]] = st.sampled_from((None, True, *NUMBERS, *TEXTS))
MEMBERS: Final = """
choices delta message content finish_reason usage prompt_tokens completion_tokens total_tokens error code type
status details id model service_tier tool_calls function arguments index prompt_tokens_details
"""
NAMES: Final = st.sampled_from(tuple(MEMBERS.split()))
VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
GOOD: Final = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
CARD: Final = 'price = { input = "1.00", output = "2.00" }'


def shaped(value: object, other: object) -> st.SearchStrategy[object]:
    """Values where a good answer has others."""
    return st.sampled_from(
        [
            value,
            {"choices": value},
            {"choices": [value]},
            {"choices": [{"index": 0, "message": value, "finish_reason": other}]},
            {"choices": [{"index": 0, "delta": value, "finish_reason": other}]},
            {"choices": [{"index": 0, "delta": {"content": value}}], "usage": other},
            {
                "id": value,
                "model": other,
                "choices": [{"index": 0, "message": {"content": "x"}}],
                "usage": value,
            },
            {"error": value, "usage": other},
            {"type": value, "output": other},
        ]
    )


DEPTHS: Final = st.sampled_from((0, 0, 0, 0, 0, 0, 100, 255, 1_000, 1_023, 3_000))


def nested(value: object, depth: int) -> str:
    """A value as JSON, in this many arrays."""
    return "[" * depth + json.dumps(value) + "]" * depth


ANSWERS: Final = st.builds(nested, st.tuples(VALUES, VALUES).flatmap(lambda both: shaped(*both)), DEPTHS)


async def asked(pieces: list[bytes], *, streamed: bool, status: int) -> tuple[Scene, Caller | None]:
    """One request whose first target answers with these pieces."""
    kind = b"text/event-stream" if streamed else b"application/json"
    scene = Scene(2, top='store = "memory:"\nstack = ["budget", "route_select", "failover"]', target=CARD)
    scene["a"].say(*pieces, status=status, headers=[(b"content-type", kind)])
    if not streamed:
        good = {"id": "c", "model": "m", "choices": [GOOD]}
        scene["b"].say(json.dumps(good).encode(), headers=[(b"content-type", b"application/json")])
    async with scene.gateway:
        try:
            return scene, await scene.ask(stream=streamed)
        except Interrupted:
            return scene, None  # the connection is cut: nothing else can show that an answer is incomplete


@given(
    st.lists(ANSWERS, min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([200, 200, 200, 200, 400, 429, 500]),
)
@settings(
    deadline=None,
    max_examples=500,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_an_answer_of_any_shape(
    caplog: pytest.LogCaptureFixture, answers: list[str], streamed: bool, status: int
) -> None:
    """There is no 500 of the gateway's and no traceback; another target is asked if nothing was sent yet."""
    pieces = [b"data: " + each.encode() + b"\n\n" for each in answers] if streamed else [answers[0].encode()]
    caplog.clear()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        scene, caller = runner.run(asked(pieces, streamed=streamed, status=status))
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    if caller is None:
        return
    attempts: list[Any] = scene.exchanges[-1].attempts
    assert caller.status == status if len(attempts) == 1 else caller.status == 200
    if len(attempts) > 1:
        assert caller.body.startswith((chunk("from b"), b'{"id": "c"'))
    elif streamed and status == 200:
        assert attempts[0].answer.complete or b"error" in caller.body or DONE in caller.body
