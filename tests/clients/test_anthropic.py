"""Turns of a conversation, token counts, models and errors, by the anthropic SDK."""

from __future__ import annotations

from typing import Final

import anthropic
import pytest
from anthropic.types import Message, MessageParam, ToolUseBlock

from tests.clients.weather import City, messages_tool

__all__: list[str] = []

_SAID: Final = "gamma says: all is well."


def asks() -> list[MessageParam]:
    """A conversation that begins."""
    return [{"role": "user", "content": "hello"}]


def test_a_whole_message(claude: anthropic.Anthropic) -> None:
    """A whole message has the words, the reason for its end and the usage."""
    answer = claude.messages.create(model="drafting", max_tokens=64, system="Be brief.", messages=asks())

    assert [block.text for block in answer.content if block.type == "text"] == [_SAID]
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 5)


def test_a_stream(claude: anthropic.Anthropic) -> None:
    """A stream begins with the message, has the words as deltas, and ends with its stop."""
    events = list(claude.messages.create(model="drafting", max_tokens=64, messages=asks(), stream=True))
    deltas = [event.delta for event in events if event.type == "content_block_delta"]

    assert (events[0].type, events[-1].type) == ("message_start", "message_stop")
    assert "".join(delta.text for delta in deltas if delta.type == "text_delta") == _SAID


def test_the_helper_for_streams(claude: anthropic.Anthropic) -> None:
    """The SDK's own accumulation of a stream comes to the whole message."""
    with claude.messages.stream(model="drafting", max_tokens=64, messages=asks()) as stream:
        words = list(stream.text_stream)
        answer = stream.get_final_message()

    assert len(words) == 5
    assert "".join(words) == stream.get_final_text() == _SAID
    assert (answer.stop_reason, answer.usage.output_tokens) == ("end_turn", 5)


def test_the_beta_of_messages(claude: anthropic.Anthropic) -> None:
    """What the SDK asks as a beta, with a header and a query that say so, is answered as well."""
    answer = claude.beta.messages.create(
        model="drafting", max_tokens=64, messages=[{"role": "user", "content": "hello"}], betas=["any"]
    )

    assert [block.text for block in answer.content if block.type == "text"] == [_SAID]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_sent_back(able_claude: anthropic.Anthropic, streamed: bool) -> None:
    """The call's input is read, its result is sent back, and the answer is in words."""
    tools = [messages_tool()]
    called: Message
    if streamed:
        with able_claude.messages.stream(
            model="drafting", max_tokens=64, messages=asks(), tools=tools
        ) as stream:
            called = stream.get_final_message()
    else:
        called = able_claude.messages.create(model="drafting", max_tokens=64, messages=asks(), tools=tools)
    assert called.stop_reason == "tool_use"
    [call] = called.content
    assert isinstance(call, ToolUseBlock)
    assert (call.name, call.input) == ("weather", {"city": "Paris"})

    turns: list[MessageParam] = [
        *asks(),
        {"role": "assistant", "content": called.content},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}]},
    ]
    answer = able_claude.messages.create(model="drafting", max_tokens=64, messages=turns, tools=tools)
    assert [block.text for block in answer.content if block.type == "text"] == [_SAID]


def test_a_parsed_message(claude: anthropic.Anthropic) -> None:
    """A request for a type gets an object of that type."""
    answer = claude.messages.parse(model="drafting", max_tokens=64, messages=asks(), output_format=City)

    assert answer.parsed_output == City(city=_SAID)


def test_count_tokens(claude: anthropic.Anthropic) -> None:
    """A longer conversation counts more tokens."""
    short = claude.messages.count_tokens(model="drafting", messages=asks())
    long = claude.messages.count_tokens(model="drafting", messages=asks() * 9)

    assert 0 < short.input_tokens < long.input_tokens


def test_the_models_are_the_pools(claude: anthropic.Anthropic) -> None:
    """The list of models has the names that pools serve, and each can be asked for."""
    models = list(claude.models.list())

    assert [model.id for model in models] == ["support", "drafting"]
    assert claude.models.retrieve("drafting") == models[1]
    assert (models[1].display_name, models[1].type) == ("drafting", "model")


@pytest.mark.parametrize("streamed", [False, True])
def test_an_unknown_model_is_not_found(claude: anthropic.Anthropic, streamed: bool) -> None:
    """A name that no pool serves raises NotFoundError, which says so, for messages, counts and models."""
    with pytest.raises(anthropic.NotFoundError) as messages:
        claude.messages.create(model="nope", max_tokens=64, messages=asks(), stream=streamed)
    with pytest.raises(anthropic.NotFoundError) as counts:
        claude.messages.count_tokens(model="nope", messages=asks())
    with pytest.raises(anthropic.NotFoundError) as models:
        claude.models.retrieve("nope")

    for raised in (messages, counts, models):
        assert "There is no model of this name: nope." in str(raised.value)
        assert raised.value.type == "not_found_error"
        assert raised.value.request_id


def test_a_model_of_another_dialect_answers_translated(claude: anthropic.Anthropic) -> None:
    """A pool with a target of each dialect answers, also by the one of the OpenAI dialect."""
    answer = claude.messages.create(model="support", max_tokens=64, messages=asks())

    assert answer.content[0].type == "text"
    assert answer.content[0].text.startswith("alpha says")


def test_a_path_that_is_not_served_is_not_found(claude: anthropic.Anthropic) -> None:
    """A method of the SDK that the gateway has no path for raises NotFoundError, which says so."""
    with pytest.raises(anthropic.NotFoundError) as raised:
        claude.messages.batches.list()

    assert "There is no such path." in str(raised.value)
    assert raised.value.type == "not_found_error"


@pytest.mark.anyio
async def test_the_asynchronous_client(demo: str) -> None:
    """The asynchronous client streams the same words."""
    async with (
        anthropic.AsyncAnthropic(base_url=demo, api_key="unused", max_retries=0) as client,
        client.messages.stream(model="drafting", max_tokens=64, messages=asks()) as stream,
    ):
        words = [word async for word in stream.text_stream]

    assert "".join(words) == _SAID
