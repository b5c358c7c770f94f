"""Tests of how the official SDKs handle a restarted stream, over a real socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from standby.proxy.dialects.base import Signal
from standby.proxy.dialects.registry import operation_named

from tests.proxy.streams import SPOKEN, named

__all__: list[str] = []

pytestmark = pytest.mark.anyio

ASKS: list[Any] = [{"role": "user", "content": "hi"}]
RESTART = {"restart": {"reason": "upstream_interrupted", "attempt": 2}}
CHAT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"%b"},"finish_reason":null}]}\n\n'
)
END = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


def restarted(name: str) -> bytes:
    """The restart event between the two streams of this operation."""
    return operation_named(name).reader().restarted("upstream_interrupted", 2)


def message(text: str) -> bytes:
    """The events of a message up to this text."""
    spoken = SPOKEN["messages"]
    delta = named("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
    return b"".join(spoken.preamble) + delta


def ended() -> bytes:
    """The last events of a message."""
    spoken = SPOKEN["messages"]
    return named("content_block_stop", index=0) + spoken.finish + spoken.done


def response(text: str, *, whole: bool) -> bytes:
    """A response, complete or up to this text."""
    item: dict[str, Any] = {"id": "i", "type": "message", "role": "assistant", "content": []}
    item["status"] = "in_progress"
    shell: dict[str, Any] = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": []}
    shell |= {"parallel_tool_calls": True, "tool_choice": "auto", "tools": [], "status": "in_progress"}
    part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": []}
    place = {"item_id": "i", "output_index": 0, "content_index": 0}
    events = [
        named("response.created", sequence_number=0, response=shell),
        named("response.output_item.added", sequence_number=1, output_index=0, item=item),
        named("response.content_part.added", sequence_number=2, part=part, **place),
        named("response.output_text.delta", sequence_number=3, delta=text, logprobs=[], **place),
    ]
    if whole:
        text_size = {**item, "status": "completed", "content": [{**part, "text": text}]}
        done = {**shell, "status": "completed", "output": [text_size]}
        events.append(named("response.completed", sequence_number=4, response=done))
    return b"".join(events)


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_it_means_nothing_to_ourselves(name: str) -> None:
    """A gateway behind a gateway reads the restart event as neither content, nor an end, nor an error."""
    *_, data = restarted(name).strip().split(b"data: ")
    assert operation_named(name).reader().event(b"standby.restart", data) is Signal.NOTHING
    assert restarted(name).startswith(b"\n\n")
    assert restarted(name).endswith(b"\n\n")


def test_only_streams_have_one() -> None:
    """An operation without streams has no restart event."""
    assert restarted("embeddings") == b""


async def test_chat(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """The event is a chunk without choices; an incomplete chunk before it does not absorb it."""
    for half in (b"", b": a comm", b"dat"):
        client = await openai_of(CHAT % b"Hel" + half + restarted("chat") + CHAT % b"Good" + END)
        texts: list[str] = []
        async for part in await client.chat.completions.create(model="m", messages=ASKS, stream=True):
            if getattr(part, "standby", None) == RESTART:
                texts.clear()
            elif part.choices:
                texts.append(part.choices[0].delta.content or "")
        assert "".join(texts) == "Good"


async def test_responses(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """The event has a type of its own."""
    anew = response("Hel", whole=False) + restarted("responses") + response("Good", whole=True)
    client = await openai_of(anew)
    texts: list[str] = []
    types: list[str] = []
    async for event in await client.responses.create(model="m", input="hi", stream=True):
        types.append(event.type)
        if types[-1] == "standby.restart":
            assert getattr(event, "standby", None) == RESTART
            texts.clear()
        elif event.type == "response.output_text.delta":
            texts.append(event.delta)
    assert "".join(texts) == "Good"
    assert types.count("standby.restart") == 1


async def test_messages(anthropic_of: Callable[[bytes], Awaitable[AsyncAnthropic]]) -> None:
    """The event has a type of its own, and is followed by a second message_start."""
    client = await anthropic_of(message("Hel") + restarted("messages") + message("Good") + ended())
    texts: list[str] = []
    types: list[str] = []
    async for event in await client.messages.create(model="m", max_tokens=9, messages=ASKS, stream=True):
        types.append(event.type)
        if types[-1] == "standby.restart":
            assert getattr(event, "standby", None) == RESTART
            texts.clear()
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            texts.append(event.delta.text)
    assert "".join(texts) == "Good"
    assert types.count("message_start") == 2


async def test_the_helper_for_chat(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """OpenAI's accumulating helper does not discard: this is why clients must declare support."""
    client = await openai_of(CHAT % b"Hel" + restarted("chat") + CHAT % b"Good" + END)
    async with client.chat.completions.stream(model="m", messages=ASKS) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].message.content == "HelGood"


async def test_the_helper_for_messages(anthropic_of: Callable[[bytes], Awaitable[AsyncAnthropic]]) -> None:
    """Anthropic's helper does not discard either."""
    client = await anthropic_of(message("Hel") + restarted("messages") + message("Good") + ended())
    async with client.messages.stream(model="m", max_tokens=9, messages=ASKS) as stream:
        final = await stream.get_final_message()
    assert "".join(block.text for block in final.content if block.type == "text") == "HelGood"


async def test_the_helper_for_responses(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """This helper raises at the second beginning."""
    anew = response("Hel", whole=False) + restarted("responses") + response("Good", whole=True)
    client = await openai_of(anew)
    async with client.responses.stream(model="m", input="hi") as stream:
        with pytest.raises(RuntimeError):
            await stream.get_final_response()
