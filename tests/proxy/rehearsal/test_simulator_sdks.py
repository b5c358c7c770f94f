"""The simulator's good answers and errors, read by the vendors' own SDKs.

The SDKs build what they receive without validating it, so each document is also held to their types.
"""

from __future__ import annotations

import json
from typing import Any, Final

import anthropic
import httpx2
import openai
import pytest
from anthropic.types import Message, MessageParam, MessageTokensCount, RawMessageStreamEvent, ToolParam
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseErrorEvent, ResponseFailedEvent, ResponseStreamEvent
from pydantic import TypeAdapter
from standby.proxy.rehearsal.simulator import DONE, Content, Cut, ErrorEvent, Fault, Simulator, Status

from tests.proxy.rehearsal.caller import CHAT, MESSAGES, RESPONSES, ask

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SAID: Final = "alpha says: all is well."
WEATHER: Final = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL: Final = {"name": "weather", "description": "The weather in a city."}


@pytest.mark.parametrize("calls_tools", [False, True])
@pytest.mark.parametrize(
    ("path", "kind", "tool"),
    [
        (CHAT, ChatCompletion, {"type": "function", "function": {**TOOL, "parameters": WEATHER}}),
        (RESPONSES, Response, {"type": "function", "strict": False, **TOOL, "parameters": WEATHER}),
        (MESSAGES, Message, {**TOOL, "input_schema": WEATHER}),
        ("/v1/messages/count_tokens", MessageTokensCount, {**TOOL, "input_schema": WEATHER}),
        ("/v1/embeddings", CreateEmbeddingResponse, {}),
    ],
)
async def test_a_unary_answer_has_the_vendors_type(
    alpha: Simulator, path: str, kind: type, tool: dict[str, Any], calls_tools: bool
) -> None:
    """Every unary document, with words or a tool call, matches the SDK's types."""
    alpha.calls_tools = calls_tools
    TypeAdapter(kind).validate_python((await ask(alpha, path, input="x", tools=[tool])).json)


@pytest.mark.parametrize("calls_tools", [False, True])
@pytest.mark.parametrize(
    ("path", "kind", "tool"),
    [
        (CHAT, ChatCompletionChunk, {"type": "function", "function": {**TOOL, "parameters": WEATHER}}),
        (
            RESPONSES,
            ResponseStreamEvent,
            {"type": "function", "strict": False, **TOOL, "parameters": WEATHER},
        ),
        (MESSAGES, RawMessageStreamEvent, {**TOOL, "input_schema": WEATHER}),
    ],
)
async def test_every_event_has_the_vendors_type(
    alpha: Simulator, path: str, kind: Any, tool: dict[str, Any], calls_tools: bool
) -> None:
    """Every event of a stream matches the SDK's types, and its name, if any, is its type."""
    alpha.calls_tools, declared = calls_tools, TypeAdapter(kind)
    answer = await ask(alpha, path, stream=True, stream_options={"include_usage": True}, tools=[tool])

    for event in answer.events:
        name, _, data = event.rpartition(b"data: ")
        if data == DONE.removeprefix(b"data: ").strip():
            continue
        document = json.loads(data)
        assert name == (b"" if path == CHAT else f"event: {document['type']}\n".encode())
        if document.get("type") != "ping":
            declared.validate_python(document)


async def test_chat(gpt: openai.AsyncOpenAI) -> None:
    """A chat completion has the words and the usage."""
    answer = await gpt.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

    assert answer.choices[0].message.content == SAID
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens > 0, answer.usage.completion_tokens) == (True, 5)


@pytest.mark.parametrize("include_usage", [False, True])
async def test_a_chat_stream(gpt: openai.AsyncOpenAI, include_usage: bool) -> None:
    """A chat stream has the words, the finish reason, and the usage only if requested."""
    stream = await gpt.chat.completions.create(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        stream=True,
        stream_options={"include_usage": include_usage},
    )
    chunks = [chunk async for chunk in stream]
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]

    assert "".join(choice.delta.content or "" for choice in choices) == SAID
    assert [choice.finish_reason for choice in choices][-2:] == [None, "stop"]
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == (
        [5] if include_usage else []
    )


async def test_a_chat_tool_call(alpha: Simulator, gpt: openai.AsyncOpenAI) -> None:
    """A tool call's arguments arrive in fragments that add up."""
    alpha.calls_tools = True
    async with gpt.chat.completions.stream(
        model="m",
        messages=[{"role": "user", "content": "hi"}],
        tools=[{"type": "function", "function": {"name": "weather", "parameters": dict(WEATHER)}}],
    ) as stream:
        choice = (await stream.get_final_completion()).choices[0]

    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.name == "weather"
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Paris"}


@pytest.mark.parametrize("calls_tools", [False, True])
async def test_responses(alpha: Simulator, gpt: openai.AsyncOpenAI, calls_tools: bool) -> None:
    """A streamed response ends with the same result as a unary one."""
    alpha.calls_tools = calls_tools
    tool: Any = {"type": "function", "name": "weather", "parameters": dict(WEATHER), "strict": False}
    once = await gpt.responses.create(model="m", input="hi", tools=[tool])
    async with gpt.responses.stream(model="m", input="hi", tools=[tool]) as stream:
        numbers = [event.sequence_number async for event in stream]
        streamed = await stream.get_final_response()

    assert numbers == list(range(len(numbers)))
    assert once.output_text == streamed.output_text == ("" if calls_tools else SAID)
    assert [item.type for item in streamed.output] == ["function_call" if calls_tools else "message"]
    assert streamed.usage is not None
    assert streamed.usage.output_tokens == (3 if calls_tools else 5)


async def test_embeddings(gpt: openai.AsyncOpenAI) -> None:
    """A text has one vector, in either encoding, and different texts have different vectors."""
    packed = await gpt.embeddings.create(model="m", input=["a", "b"])
    plain = await gpt.embeddings.create(model="m", input="a", encoding_format="float", dimensions=8)

    assert packed.data[0].embedding == plain.data[0].embedding
    assert packed.data[0].embedding != packed.data[1].embedding


@pytest.mark.parametrize("calls_tools", [False, True])
async def test_messages(alpha: Simulator, claude: anthropic.AsyncAnthropic, calls_tools: bool) -> None:
    """A streamed message ends with the same result as a unary one."""
    alpha.calls_tools = calls_tools
    messages: list[MessageParam] = [{"role": "user", "content": "hi"}]
    tool: ToolParam = {"name": "weather", "input_schema": dict(WEATHER)}
    once = await claude.messages.create(model="m", max_tokens=9, messages=messages, tools=[tool])
    async with claude.messages.stream(model="m", max_tokens=9, messages=messages, tools=[tool]) as stream:
        streamed = await stream.get_final_message()

    text, call = {"type": "text", "text": SAID}, {"type": "tool_use", "input": {"city": "Paris"}}
    for message in (once, streamed):
        [block] = message.content
        assert (call if calls_tools else text).items() <= block.to_dict().items()
        assert message.stop_reason == ("tool_use" if calls_tools else "end_turn")
        assert message.usage.output_tokens == (3 if calls_tools else 5)
        assert message.usage.input_tokens > 0


async def test_a_message_stream_ends_with_all_of_its_usage(claude: anthropic.AsyncAnthropic) -> None:
    """The last usage report of a message stream counts the input and the cache too, as a unary one does."""
    messages: list[MessageParam] = [{"role": "user", "content": "hi"}]
    once = await claude.messages.create(model="m", max_tokens=9, messages=messages)
    events = [
        event
        async for event in await claude.messages.create(
            model="m", max_tokens=9, messages=messages, stream=True
        )
    ]
    [delta] = [event for event in events if event.type == "message_delta"]

    assert delta.usage.to_dict() == once.usage.to_dict()
    assert set(delta.usage.to_dict()) == {
        *("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"),
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_text_without_citations_does_not_mention_them(alpha: Simulator, stream: bool) -> None:
    """A text block of a message has only its type and text. The null that the SDK shows is its own."""
    answer = await ask(alpha, MESSAGES, stream=stream)
    if stream:
        [start] = [event for event in answer.events if b"content_block_start" in event]
        assert json.loads(start.partition(b"data: ")[2])["content_block"] == {"type": "text", "text": ""}
    else:
        assert answer.json["content"] == [{"type": "text", "text": SAID}]


async def test_count_tokens(claude: anthropic.AsyncAnthropic) -> None:
    """Longer prompts count more tokens."""
    counts = [
        (
            await claude.messages.count_tokens(model="m", messages=[{"role": "user", "content": text}])
        ).input_tokens
        for text in ("hi", "hi" * 100)
    ]
    assert 0 < counts[0] < counts[1]


async def test_errors_are_the_sdks_own(
    alpha: Simulator, gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic
) -> None:
    """An error status becomes the SDK's exception for it, with the vendor's code or type."""
    alpha.fault = Status(429)
    with pytest.raises(openai.RateLimitError) as limited:
        await gpt.responses.create(model="m", input="hi")
    alpha.fault = Status(529)
    with pytest.raises(anthropic.APIStatusError) as overloaded:
        await claude.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}])

    assert limited.value.code == "rate_limit_exceeded"
    assert overloaded.value.type == "overloaded_error"


@pytest.mark.parametrize(
    ("fault", "raised"),
    [
        (ErrorEvent(Content(1)), anthropic.APIStatusError),
        (Cut(Content(1), reset=False), httpx2.RemoteProtocolError),
        (Cut(Content(1)), httpx2.ReadError),
    ],
)
async def test_a_failed_stream_raises(
    alpha: Simulator,
    gpt: openai.AsyncOpenAI,
    claude: anthropic.AsyncAnthropic,
    fault: Fault,
    raised: type[Exception],
) -> None:
    """Both SDKs raise at an error event and at a cut. anthropic's raises its transport's exception there."""
    alpha.fault = fault
    messages: Any = [{"role": "user", "content": "hi"}]
    chat = await gpt.chat.completions.create(model="m", messages=messages, stream=True)
    message = await claude.messages.create(model="m", max_tokens=9, messages=messages, stream=True)

    with pytest.raises(openai.APIError):
        _ = [chunk async for chunk in chat]
    with pytest.raises(raised):
        _ = [event async for event in message]


@pytest.mark.parametrize(("failed", "kind"), [(False, ResponseErrorEvent), (True, ResponseFailedEvent)])
async def test_a_failed_response_is_an_event(
    alpha: Simulator, gpt: openai.AsyncOpenAI, failed: bool, kind: type
) -> None:
    """A Responses stream has two ways to report a failure. The SDK returns both as ordinary events."""
    alpha.fault = ErrorEvent(Content(1), failed=failed)
    events = [event async for event in await gpt.responses.create(model="m", input="hi", stream=True)]

    assert isinstance(events[-1], kind)
