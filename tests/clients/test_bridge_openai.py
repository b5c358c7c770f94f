"""The openai SDK while another dialect answers: what it parses is what its own provider would have given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai.types.chat import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatCompletionMessageFunctionToolCall,
    ChatCompletionMessageParam,
    ParsedChatCompletion,
)
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseInputParam

from tests.clients.bridged_demo import BOTH, CALLS, FIRST, SAID
from tests.clients.bridging import Pair, http, plain, same
from tests.clients.weather import City, chat_tool, responses_tool

__all__: list[str] = []

pytest_plugins = ("tests.clients.bridge_scenes",)

Clients = tuple[openai.OpenAI, openai.OpenAI]


@pytest.fixture(scope="module")
def gpts(bridge: Pair) -> Iterator[Clients]:
    """The SDK at the native gateway, and at the one that translates."""
    with _client(bridge.native) as native, _client(bridge.translated) as translated:
        yield native, translated


@pytest.fixture(scope="module")
def any_gpts(any_bridge: Pair) -> Iterator[Clients]:
    """The same at each gateway that translates Responses."""
    with _client(any_bridge.native) as native, _client(any_bridge.translated) as translated:
        yield native, translated


def _client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0, http_client=http())


def asks(words: str = "hello") -> list[ChatCompletionMessageParam]:
    """A conversation that begins."""
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": words}]


# -- Chat Completions -----------------------------------------------------------------------


def test_a_chat(gpts: Clients, bridge: Pair) -> None:
    """A whole answer is the same, and its model and headers say who gave it."""
    answer = same(lambda gpt: gpt.chat.completions.create(model="support", messages=asks()), gpts)
    raw = gpts[1].chat.completions.with_raw_response.create(model="support", messages=asks())

    assert answer.choices[0].message.content == SAID
    assert answer.model == bridge.support
    assert raw.headers["x-standby-target"] == bridge.support
    assert plain(raw.parse()) == plain(answer)


@pytest.mark.parametrize("include_usage", [False, True])
def test_a_streamed_chat(gpts: Clients, include_usage: bool) -> None:
    """The deltas of a stream, its end and its usage are the same."""

    def ask(gpt: openai.OpenAI) -> dict[str, Any]:
        chunks = list(
            gpt.chat.completions.create(
                model="support", messages=asks(), stream=True, stream_options={"include_usage": include_usage}
            )
        )
        return _told(chunks)

    told = same(ask, gpts)
    assert "".join(told["words"]) == SAID
    assert told["usage"] == [{"completion_tokens": 5}] * include_usage


def test_the_helper_for_streamed_chats(gpts: Clients) -> None:
    """The SDK's own accumulation of a stream comes to the same answer."""

    def ask(gpt: openai.OpenAI) -> tuple[list[str], ChatCompletion]:
        with gpt.chat.completions.stream(model="support", messages=asks()) as stream:
            deltas = [event.delta for event in stream if event.type == "content.delta"]
            return [delta for delta in deltas if delta], stream.get_final_completion()

    words, answer = same(ask, gpts)
    assert "".join(words) == answer.choices[0].message.content == SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_in_a_chat(gpts: Clients, streamed: bool) -> None:
    """A call is the same, its result is taken, and the answer to it is the same."""
    first, last = same(lambda gpt: _chat_loop(gpt, "hello", streamed=streamed), gpts)

    assert [call["function"]["name"] for call in plain(first)["choices"][0]["message"]["tool_calls"]] == [
        "weather"
    ]
    assert first.choices[0].finish_reason == "tool_calls"
    assert last.choices[0].message.content == SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_in_a_chat(gpts: Clients, streamed: bool) -> None:
    """Words and two calls in one answer are the same, and so is the answer to both results."""
    first, last = same(lambda gpt: _chat_loop(gpt, BOTH, streamed=streamed), gpts)

    assert first.choices[0].message.content == "".join(FIRST)
    assert [arguments for _, arguments in _chat_calls(first)] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert last.choices[0].message.content == SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_structured_output_in_a_chat(gpts: Clients, streamed: bool) -> None:
    """A request for a type gets the same object of that type."""

    def ask(gpt: openai.OpenAI) -> ParsedChatCompletion[City]:
        if not streamed:
            return gpt.chat.completions.parse(model="support", messages=asks(), response_format=City)
        with gpt.chat.completions.stream(model="support", messages=asks(), response_format=City) as stream:
            return stream.get_final_completion()

    assert same(ask, gpts).choices[0].message.parsed == City(city=SAID)


@pytest.mark.anyio
async def test_the_asynchronous_client(bridge: Pair) -> None:
    """The asynchronous client streams the same deltas."""
    told: list[dict[str, Any]] = []
    for address in (bridge.native, bridge.translated):
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="unused", max_retries=0) as client:
            stream = await client.chat.completions.create(model="support", messages=asks(), stream=True)
            told.append(_told([chunk async for chunk in stream]))

    assert told[0] == told[1]
    assert "".join(told[1]["words"]) == SAID


# -- Responses ------------------------------------------------------------------------------


def test_a_response(any_gpts: Clients, any_bridge: Pair) -> None:
    """A whole response is the same, and its model says who gave it."""

    def ask(gpt: openai.OpenAI) -> Response:
        return _content(gpt.responses.create(model="support", instructions="Be brief.", input="hello"))

    answer = same(ask, any_gpts)
    assert (answer.status, answer.output_text) == ("completed", SAID)
    assert answer.model == any_bridge.support


def test_a_streamed_response(any_gpts: Clients) -> None:
    """The events of a stream are the same, one by one."""

    def ask(gpt: openai.OpenAI) -> list[Any]:
        events = [*gpt.responses.create(model="support", input="hello", stream=True)]
        return [{**plain(event), **_response_of(event)} for event in events]

    events = same(ask, any_gpts)
    assert "".join(event["delta"] for event in events if "delta" in event) == SAID
    assert events[-1]["type"] == "response.completed"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_in_a_response(any_gpts: Clients, streamed: bool) -> None:
    """A call is the same, its result is taken, and the answer to it is the same."""
    first, last = same(lambda gpt: _response_loop(gpt, "hello", streamed=streamed), any_gpts)

    assert [arguments for _, arguments in _response_calls(first)] == [{"city": "Paris"}]
    assert last.output_text == SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools_in_a_response(any_gpts: Clients, streamed: bool) -> None:
    """Words and two calls in one response are the same, and so is the answer to both results."""
    first, last = same(lambda gpt: _response_loop(gpt, BOTH, streamed=streamed), any_gpts)

    assert first.output_text == "".join(FIRST)
    assert [arguments for _, arguments in _response_calls(first)] == [
        json.loads("".join(parts)) for parts in CALLS
    ]
    assert last.output_text == SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_structured_output_in_a_response(any_gpts: Clients, streamed: bool) -> None:
    """A request for a type gets the same object of that type."""

    def ask(gpt: openai.OpenAI) -> object:
        if not streamed:
            return gpt.responses.parse(model="support", input="hello", text_format=City).output_parsed
        with gpt.responses.stream(model="support", input="hello", text_format=City) as stream:
            return stream.get_final_response().output_parsed

    assert same(ask, any_gpts) == City(city=SAID)


# -- what the tests share -------------------------------------------------------------------


def _told(chunks: list[ChatCompletionChunk]) -> dict[str, Any]:
    """What a stream of chunks says: deltas of words, the end, the usage."""
    choices = [choice for chunk in chunks for choice in chunk.choices]
    return {
        "words": [choice.delta.content for choice in choices if choice.delta.content],
        "roles": [choice.delta.role for choice in choices if choice.delta.role],
        "finish": [choice.finish_reason for choice in choices if choice.finish_reason],
        "usage": [plain(chunk.usage) for chunk in chunks if chunk.usage],
    }


def _chat_calls(answer: ChatCompletion) -> list[tuple[str, Any]]:
    """The ids and arguments of all calls."""
    found: list[tuple[str, Any]] = []
    for call in answer.choices[0].message.tool_calls or []:
        assert isinstance(call, ChatCompletionMessageFunctionToolCall)
        found.append((call.id, json.loads(call.function.arguments)))
    return found


def _chat_loop(gpt: openai.OpenAI, words: str, *, streamed: bool) -> tuple[ChatCompletion, ChatCompletion]:
    """The answer with calls, and the one to their results. The arguments are compared as objects."""
    tools = [chat_tool()]
    first: ChatCompletion
    if streamed:
        with gpt.chat.completions.stream(model="support", messages=asks(words), tools=tools) as stream:
            first = stream.get_final_completion()
    else:
        first = gpt.chat.completions.create(model="support", messages=asks(words), tools=tools)
    message: Any = first.choices[0].message.model_dump(exclude_none=True)
    message.pop("parsed", None)
    turns: list[Any] = [*asks(words), message]
    turns += [
        {"role": "tool", "tool_call_id": identifier, "content": f"Rain in {arguments['city']}."}
        for identifier, arguments in _chat_calls(first)
    ]
    last = gpt.chat.completions.create(model="support", messages=turns, tools=tools)
    for call in first.choices[0].message.tool_calls or []:
        assert isinstance(call, ChatCompletionMessageFunctionToolCall)
        call.function.arguments = json.dumps(json.loads(call.function.arguments))
    return first, last


def _response_calls(response: Response) -> list[tuple[str, Any]]:
    """The ids and arguments of all calls."""
    return [
        (item.call_id, json.loads(item.arguments))
        for item in response.output
        if isinstance(item, ResponseFunctionToolCall)
    ]


def _response_loop(gpt: openai.OpenAI, words: str, *, streamed: bool) -> tuple[Response, Response]:
    """The response with calls, and the one to their results. The arguments are compared as objects."""
    tools = [responses_tool()]
    turns: ResponseInputParam = [{"role": "user", "content": words}]
    first: Response
    if streamed:
        with gpt.responses.stream(model="support", input=turns, tools=tools) as stream:
            first = stream.get_final_response()
    else:
        first = gpt.responses.create(model="support", input=turns, tools=tools)
    again: list[Any] = [*turns, *first.output]
    again += [
        {"type": "function_call_output", "call_id": identifier, "output": f"Rain in {arguments['city']}."}
        for identifier, arguments in _response_calls(first)
    ]
    last = gpt.responses.create(model="support", input=again, tools=tools)
    for item in first.output:
        if isinstance(item, ResponseFunctionToolCall):
            item.arguments = json.dumps(json.loads(item.arguments))
    return _content(first), _content(last)


def _content(response: Response) -> Response:
    """A response without the settings that tell how and where it was generated, not what."""
    for name in ("store", "service_tier", "top_logprobs"):
        setattr(response, name, None)
    if response.text is not None:
        response.text.verbosity = None
    return response


def _response_of(event: Any) -> dict[str, Any]:
    """The response in an event, if it has one."""
    response: Response | None = getattr(event, "response", None)
    return {} if response is None else {"response": plain(_content(response))}
