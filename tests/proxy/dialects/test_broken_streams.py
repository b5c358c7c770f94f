"""Tests that the official SDKs raise an error for a stream that breaks after content, over a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import TypeVar

import pytest
from anthropic import APIStatusError, AsyncAnthropic
from anthropic.types import RawMessageStreamEvent
from openai import APIError, AsyncOpenAI
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from standby.proxy.dialects.registry import operation_named

__all__: list[str] = []

pytestmark = pytest.mark.anyio

Part = TypeVar("Part")

CHAT = (
    b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
    b'[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}\n\n'
)
RESPONSES = (
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":4,'
    b'"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hel","logprobs":[]}\n\n'
)
MESSAGES = (
    b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
    b'"role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,'
    b'"usage":{"input_tokens":1,"output_tokens":1}}}\n\n'
    b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
    b'"content_block":{"type":"text","text":""}}\n\n'
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
    b'"delta":{"type":"text_delta","text":"Hel"}}\n\n'
)


def broken(name: str) -> bytes:
    """The error event that ends a broken stream of this operation."""
    return operation_named(name).reader().broken("upstream_stall", "It stopped.", "req_1")


async def collect(stream: Awaitable[AsyncIterable[Part]], into: list[Part]) -> None:
    """Read a stream to its end, and return what was read before an error."""
    async for part in await stream:
        into.append(part)  # noqa: PERF401


async def test_chat(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """The caller of a chat completion gets the received content and then an APIError with our code."""
    client = await openai_of(CHAT + broken("chat"))
    seen: list[ChatCompletionChunk] = []
    with pytest.raises(APIError, match="It stopped") as raised:
        await collect(client.chat.completions.create(model="m", messages=[], stream=True), seen)
    assert [part.choices[0].delta.content for part in seen] == ["Hel"]
    assert (raised.value.code, raised.value.type) == ("upstream_stall", "server_error")


async def test_responses(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """The caller of a response gets the received content and then an APIError with our code."""
    client = await openai_of(RESPONSES + broken("responses"))
    seen: list[ResponseStreamEvent] = []
    with pytest.raises(APIError, match="It stopped") as raised:
        await collect(client.responses.create(model="m", input="hi", stream=True), seen)
    assert [event.type for event in seen] == ["response.output_text.delta"]
    assert (raised.value.code, raised.value.type) == ("upstream_stall", "server_error")


async def test_messages(anthropic_of: Callable[[bytes], Awaitable[AsyncAnthropic]]) -> None:
    """The caller of a message gets the received content and then an APIStatusError of our type."""
    client = await anthropic_of(MESSAGES + broken("messages"))
    seen: list[RawMessageStreamEvent] = []
    with pytest.raises(APIStatusError, match="It stopped") as raised:
        await collect(client.messages.create(model="m", max_tokens=9, messages=[], stream=True), seen)
    assert [event.type for event in seen] == ["message_start", "content_block_start", "content_block_delta"]
    assert raised.value.type == "api_error"


async def test_chat_cut_anywhere(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """An incomplete chunk does not absorb the error event: wherever it was cut, the SDK raises."""
    for cut in range(len(CHAT)):
        client = await openai_of(CHAT + CHAT[:cut] + broken("chat"))
        with pytest.raises((APIError, ValueError)):
            await collect(client.chat.completions.create(model="m", messages=[], stream=True), [])


async def test_responses_cut_anywhere(openai_of: Callable[[bytes], Awaitable[AsyncOpenAI]]) -> None:
    """An incomplete event of a response absorbs no error event: wherever it was cut, the SDK raises."""
    for cut in range(len(RESPONSES)):
        client = await openai_of(RESPONSES + RESPONSES[:cut] + broken("responses"))
        with pytest.raises((APIError, ValueError)):
            await collect(client.responses.create(model="m", input="hi", stream=True), [])


async def test_messages_cut_anywhere(anthropic_of: Callable[[bytes], Awaitable[AsyncAnthropic]]) -> None:
    """An incomplete event of a message absorbs no error event: wherever it was cut, the SDK raises."""
    for cut in range(len(MESSAGES)):
        client = await anthropic_of(MESSAGES[:cut] + broken("messages"))
        with pytest.raises((APIStatusError, ValueError)):
            await collect(client.messages.create(model="m", max_tokens=9, messages=[], stream=True), [])
