"""Whatever a provider sends, it is an answer, or the next target gives one, and no defect shows."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standby.proxy.dialects.json_values import is_list, is_object
from standby.proxy.errors import Interrupted

from tests.middlewares.scene import Scene
from tests.proxy.harness import Caller, VirtualLoop

__all__: list[str] = []

PATHS: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "chat": ("/v1/chat/completions", "openai"),
        "responses": ("/v1/responses", "openai"),
        "messages": ("/v1/messages", "anthropic"),
    }
)
CARD: Final = 'price = { input = "1.00", output = "2.00" }'
GOOD: Final = "good, of the second target"
USAGE: Final = {
    "prompt_tokens": 9,
    "completion_tokens": 3,
    "input_tokens": 9,
    "output_tokens": 3,
    "total_tokens": 12,
    "prompt_tokens_details": {"cached_tokens": 1},
    "output_tokens_details": {"reasoning_tokens": 1},
    "iterations": [{"input_tokens": 1, "output_tokens": 1}],
    "service_tier": "default",
}
ERROR: Final = {"message": "x", "type": "x", "code": "x", "status": 1, "details": [{"reason": "x"}]}
CHOICE: Final = {
    "index": 0,
    "message": {"role": "assistant", "content": GOOD, "tool_calls": [{"function": {"arguments": "x"}}]},
    "finish_reason": "stop",
}
DELTA: Final = {"index": 0, "delta": {"content": GOOD, "tool_calls": [{"index": 0}]}, "finish_reason": None}
RESPONSE: Final = {
    "id": "r",
    "model": "m",
    "status": "completed",
    "output": [{"type": "message", "content": [{"type": "output_text", "text": GOOD}]}],
    "usage": USAGE,
}
MESSAGE: Final = {
    "id": "m",
    "type": "message",
    "model": "m",
    "content": [{"type": "text", "text": GOOD}],
    "stop_reason": "end_turn",
    "usage": USAGE,
}
WHOLE: Final[Mapping[str, dict[str, Any]]] = MappingProxyType(
    {
        "chat": {"id": "c", "model": "m", "choices": [CHOICE], "usage": USAGE},
        "responses": RESPONSE,
        "messages": MESSAGE,
    }
)
EVENTS: Final[Mapping[str, tuple[dict[str, Any], ...]]] = MappingProxyType(
    {
        "chat": (
            {"id": "c", "model": "m", "choices": [DELTA]},
            {"id": "c", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE},
        ),
        "responses": (
            {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "queued"}},
            {"type": "response.output_item.added", "item": {"type": "function_call", "name": "x"}},
            {"type": "response.output_text.delta", "sequence_number": 1, "delta": GOOD},
            {"type": "response.completed", "sequence_number": 2, "response": RESPONSE},
        ),
        "messages": (
            {"type": "message_start", "message": {**MESSAGE, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": GOOD}},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
            {"type": "message_stop"},
        ),
    }
)

NUMBERS: Final = (0, -1, 1.5, 2**63, 10**30, 1e308)
TEXTS: Final = ("", "x", "stop", "error", "content_filter", "\ud800", "\x00\x1b[2J")
SCALARS: Final[st.SearchStrategy[Any]] = st.sampled_from((None, True, *NUMBERS, *TEXTS))
VALUES: Final[st.SearchStrategy[Any]] = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("type", "error", "content", "x")), inner, max_size=3)
    ),
    max_leaves=8,
)
DEPTHS: Final = st.sampled_from((0, 0, 0, 0, 0, 0, 100, 255, 1_000, 1_023, 3_000))
_DEEP: Final = "a value in many arrays"


def holders(value: object) -> Iterator[tuple[Any, str | int]]:
    """Every place in a document: what holds it, and its key or index."""
    pairs = list(value.items()) if is_object(value) else list(enumerate(value)) if is_list(value) else []
    for place, inner in pairs:
        yield value, place
        yield from holders(inner)


@st.composite
def changed(draw: st.DrawFn, document: dict[str, Any]) -> str:
    """The JSON of a document in which one place holds something else, has an error beside it, or is deep."""
    mine = copy.deepcopy({**document, **({"error": ERROR} if draw(st.integers(0, 5)) == 0 else {})})
    holder, place = draw(st.sampled_from([*holders(mine)]))
    depth = draw(DEPTHS)
    holder[place] = _DEEP if depth else draw(VALUES)
    return json.dumps(mine).replace(json.dumps(_DEEP), "[" * depth + "]" * depth)


@st.composite
def answers(draw: st.DrawFn, api: str, *, streamed: bool) -> list[bytes]:
    """The pieces of an answer, of which some are changed."""
    if not streamed:
        return [draw(changed(WHOLE[api])).encode()]
    events = [draw(changed(event)) if draw(st.booleans()) else json.dumps(event) for event in EVENTS[api]]
    return [b"data: " + event.encode() + b"\n\n" for event in events]


async def asked(api: str, pieces: list[bytes], *, streamed: bool, status: int) -> tuple[Scene, Caller | None]:
    """One request whose first target answers with these pieces, and whose second one with a good answer."""
    path, dialect = PATHS[api]
    top = 'store = "memory:"\nstack = ["budget", "route_select", "failover"]'
    scene = Scene(2, top=top, target=CARD, dialect=dialect)
    kind = [(b"content-type", b"text/event-stream" if streamed else b"application/json")]
    scene["a"].say(*pieces, status=status, headers=kind)
    good = [b"data: %s\n\n" % json.dumps(event).encode() for event in EVENTS[api]]
    scene["b"].say(*(good if streamed else [json.dumps(WHOLE[api]).encode()]), headers=kind)
    fields = {"input": "Hi", "messages": None} if api == "responses" else {"max_tokens": 9}
    async with scene.gateway:
        try:
            return scene, await scene.ask(path=path, stream=streamed, **fields)
        except Interrupted:
            return scene, None  # the connection is cut: nothing else can show that an answer is incomplete


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("api", PATHS)
@given(data=st.data(), status=st.sampled_from([200, 200, 200, 200, 400, 429, 500]))
@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_an_answer_of_any_shape(
    caplog: pytest.LogCaptureFixture, data: st.DataObject, api: str, streamed: bool, status: int
) -> None:
    """There is no 500 of the gateway's and no traceback; another target is asked if nothing was sent yet."""
    pieces = data.draw(answers(api, streamed=streamed))
    caplog.clear()
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        scene, caller = runner.run(asked(api, pieces, streamed=streamed, status=status))
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]
    attempts = scene.exchanges[-1].attempts
    if caller is None:
        assert attempts[-1].fault is not None
        return
    fault = attempts[-1].fault
    if fault is not None and fault.kind == "content_refused" and len(attempts) == 1:
        assert caller.status in {400, status}  # an error in a 200 is an error, and nobody else is asked
        return
    assert caller.status == (status if len(attempts) == 1 else 200)
    if len(attempts) > 1:
        assert GOOD.encode() in caller.body
    else:
        assert scene["b"].requests == []
        assert status != 500
