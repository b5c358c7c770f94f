"""The anthropic SDK while OpenAI's dialect answers: it parses what its own provider would have given."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic.types import Message, MessageParam, RawMessageStreamEvent, ToolUseBlock

from tests.clients.bridged_demo import BOTH, FIRST, SAID
from tests.clients.bridging import Pair, http, plain, same
from tests.clients.weather import City, messages_tool

__all__: list[str] = []

pytest_plugins = ("tests.clients.bridge_scenes",)

Clients = tuple[anthropic.Anthropic, anthropic.Anthropic]


@pytest.fixture(scope="module")
def claudes(bridge: Pair) -> Iterator[Clients]:
    """The SDK at the native gateway, and at the one that translates."""
    with _client(bridge.native) as native, _client(bridge.translated) as translated:
        yield native, translated


def _client(address: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=address, api_key="unused", max_retries=0, http_client=http())


def asks(words: str = "hello") -> list[MessageParam]:
    """A conversation that begins."""
    return [{"role": "user", "content": words}]


def test_a_message(claudes: Clients, bridge: Pair) -> None:
    """A whole message is the same, and its model and headers say who gave it."""

    def ask(claude: anthropic.Anthropic) -> Message:
        return claude.messages.create(model="drafting", max_tokens=64, system="Be brief.", messages=asks())

    answer = same(ask, claudes)
    raw = claudes[1].messages.with_raw_response.create(model="drafting", max_tokens=64, messages=asks())

    assert [block.text for block in answer.content if block.type == "text"] == [SAID]
    assert answer.model == bridge.drafting
    assert raw.headers["x-standby-target"] == bridge.drafting
    assert plain(raw.parse()) == plain(answer)


def test_a_stream(claudes: Clients) -> None:
    """The events of a stream are the same, up to the first count of tokens, which is not known yet."""

    def ask(claude: anthropic.Anthropic) -> list[Any]:
        stream = claude.messages.create(model="drafting", max_tokens=64, messages=asks(), stream=True)
        return [_told(event) for event in stream]

    events = same(ask, claudes)
    assert [event["type"] for event in events] == [
        *("message_start", "content_block_start"),
        *["content_block_delta"] * 5,
        *("content_block_stop", "message_delta", "message_stop"),
    ]


def test_the_helper_for_streams(claudes: Clients) -> None:
    """The SDK's own accumulation of a stream comes to the same message."""

    def ask(claude: anthropic.Anthropic) -> tuple[list[str], Message]:
        with claude.messages.stream(model="drafting", max_tokens=64, messages=asks()) as stream:
            return list(stream.text_stream), stream.get_final_message()

    words, answer = same(ask, claudes)
    assert "".join(words) == SAID
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 5)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool(claudes: Clients, streamed: bool) -> None:
    """A call is the same, its result is taken, and the answer to it is the same."""
    first, last = same(lambda claude: _loop(claude, "hello", streamed=streamed), claudes)

    assert first.stop_reason == "tool_use"
    assert [use.input for use in _uses(first)] == [{"city": "Paris"}]
    assert [block.text for block in last.content if block.type == "text"] == [SAID]


@pytest.mark.parametrize("streamed", [False, True])
def test_parallel_tools(claudes: Clients, streamed: bool) -> None:
    """Words and two calls in one message are the same, and so is the answer to both results."""
    first, last = same(lambda claude: _loop(claude, BOTH, streamed=streamed), claudes)

    assert [block.text for block in first.content if block.type == "text"] == ["".join(FIRST)]
    assert [use.input for use in _uses(first)] == [{"city": "Paris"}, {"city": "Oslo"}]
    assert [block.text for block in last.content if block.type == "text"] == [SAID]


def test_structured_output(claudes: Clients) -> None:
    """A request for a type gets the same object of that type."""

    def ask(claude: anthropic.Anthropic) -> City | None:
        answer = claude.messages.parse(model="drafting", max_tokens=64, messages=asks(), output_format=City)
        return answer.parsed_output

    assert same(ask, claudes) == City(city=SAID)


@pytest.mark.anyio
async def test_the_asynchronous_client(bridge: Pair) -> None:
    """The asynchronous client streams the same words and message."""
    told: list[Any] = []
    for address in (bridge.native, bridge.translated):
        async with (
            anthropic.AsyncAnthropic(base_url=address, api_key="unused", max_retries=0) as client,
            client.messages.stream(model="drafting", max_tokens=64, messages=asks()) as stream,
        ):
            words = [word async for word in stream.text_stream]
            told.append((words, plain(await stream.get_final_message())))

    assert told[0] == told[1]
    assert "".join(told[1][0]) == SAID


def _told(event: RawMessageStreamEvent) -> Any:
    found = plain(event)
    if event.type == "message_start":
        del found["message"]["usage"]
    return found


def _uses(message: Message) -> list[ToolUseBlock]:
    return [block for block in message.content if isinstance(block, ToolUseBlock)]


def _loop(claude: anthropic.Anthropic, words: str, *, streamed: bool) -> tuple[Message, Message]:
    """The message with calls, and the one to their results."""
    tools = [messages_tool()]
    first: Message
    if streamed:
        with claude.messages.stream(
            model="drafting", max_tokens=64, messages=asks(words), tools=tools
        ) as stream:
            first = stream.get_final_message()
    else:
        first = claude.messages.create(model="drafting", max_tokens=64, messages=asks(words), tools=tools)
    turns: list[MessageParam] = [
        *asks(words),
        {"role": "assistant", "content": first.content},
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": use.id, "content": f"Rain: {use.input}."}
                for use in _uses(first)
            ],
        },
    ]
    return first, claude.messages.create(model="drafting", max_tokens=64, messages=turns, tools=tools)
