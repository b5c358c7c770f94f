"""Turns of a chat, by the openai SDK."""

from __future__ import annotations

import json
from typing import Final

import openai
import pytest
from openai.types.chat import ChatCompletionMessageFunctionToolCall, ChatCompletionMessageParam
from openai.types.chat.chat_completion import Choice

from tests.clients.weather import City, chat_tool

__all__: list[str] = []

_SAID: Final = "alpha says: all is well."


def asks() -> list[ChatCompletionMessageParam]:
    """A conversation that begins."""
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]


def test_a_whole_answer(gpt: openai.OpenAI) -> None:
    """A whole answer has the words, the reason for its end and the usage."""
    answer = gpt.chat.completions.create(model="support", messages=asks())

    assert answer.choices[0].message.content == _SAID
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5


def test_the_headers_are_readable(gpt: openai.OpenAI) -> None:
    """The raw answer of the SDK has the gateway's headers, and parses to the same words."""
    raw = gpt.chat.completions.with_raw_response.create(model="support", messages=asks())

    assert raw.headers["x-standby-target"] == "alpha-large"
    assert raw.parse().choices[0].message.content == _SAID


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_stream(gpt: openai.OpenAI, include_usage: bool) -> None:
    """A stream has the words, ends with `stop`, and reports usage if it is asked to."""
    chunks = list(
        gpt.chat.completions.create(
            model="support", messages=asks(), stream=True, stream_options={"include_usage": include_usage}
        )
    )
    choices = [choice for chunk in chunks for choice in chunk.choices]

    assert "".join(choice.delta.content or "" for choice in choices) == _SAID
    assert choices[-1].finish_reason == "stop"
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [5] * include_usage


def test_the_helper_for_streams(gpt: openai.OpenAI) -> None:
    """The SDK's own accumulation of a stream comes to the whole answer."""
    with gpt.chat.completions.stream(model="support", messages=asks()) as stream:
        kinds = {event.type for event in stream}
        answer = stream.get_final_completion()

    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert answer.choices[0].message.content == _SAID


def test_an_offered_tool_need_not_be_called(gpt: openai.OpenAI) -> None:
    """A request that offers a tool may be answered in words."""
    answer = gpt.chat.completions.create(
        model="support", messages=asks(), tools=[chat_tool()], tool_choice="auto"
    )

    assert answer.choices[0].message.content == _SAID
    assert answer.choices[0].message.tool_calls is None


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_sent_back(able_gpt: openai.OpenAI, streamed: bool) -> None:
    """The call's arguments are read, its result is sent back, and the answer is in words."""
    tools = [chat_tool()]
    choice: Choice
    if streamed:
        with able_gpt.chat.completions.stream(model="support", messages=asks(), tools=tools) as stream:
            choice = stream.get_final_completion().choices[0]
    else:
        choice = able_gpt.chat.completions.create(model="support", messages=asks(), tools=tools).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert isinstance(call, ChatCompletionMessageFunctionToolCall)
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})

    turns: list[ChatCompletionMessageParam] = [
        *asks(),
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
            ],
        },
        {"role": "tool", "tool_call_id": call.id, "content": "Rain."},
    ]
    answer = able_gpt.chat.completions.create(model="support", messages=turns, tools=tools)
    assert answer.choices[0].message.content == _SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_two_choices(gpt: openai.OpenAI, streamed: bool) -> None:
    """Two choices, as `n` asks, come whole, and in turns in a stream."""
    said = ["", ""]
    if streamed:
        for chunk in gpt.chat.completions.create(model="support", messages=asks(), n=2, stream=True):
            for part in chunk.choices:
                said[part.index] += part.delta.content or ""
    else:
        for choice in gpt.chat.completions.create(model="support", messages=asks(), n=2).choices:
            said[choice.index] = choice.message.content or ""

    assert said == [_SAID, _SAID]


def test_a_json_object(gpt: openai.OpenAI) -> None:
    """A request for a JSON object gets one."""
    answer = gpt.chat.completions.create(
        model="support", messages=asks(), response_format={"type": "json_object"}
    )

    assert json.loads(answer.choices[0].message.content or "") == {"answer": _SAID}


def test_a_parsed_answer(gpt: openai.OpenAI) -> None:
    """A request for a type gets an object of that type."""
    answer = gpt.chat.completions.parse(model="support", messages=asks(), response_format=City)

    assert answer.choices[0].message.parsed == City(city=_SAID)


@pytest.mark.anyio
async def test_the_asynchronous_client(demo: str) -> None:
    """The asynchronous client streams the same words."""
    async with openai.AsyncOpenAI(base_url=f"{demo}/v1", api_key="unused", max_retries=0) as client:
        stream = await client.chat.completions.create(model="support", messages=asks(), stream=True)
        words = [choice.delta.content or "" async for chunk in stream for choice in chunk.choices]

    assert "".join(words) == _SAID
