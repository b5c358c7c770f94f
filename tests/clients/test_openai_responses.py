"""Turns of the Responses API, by the openai SDK."""

from __future__ import annotations

import json
from typing import Final

import openai
import pytest
from openai.types.responses import ResponseFunctionToolCall, ResponseInputParam

from tests.clients.weather import City, responses_tool

__all__: list[str] = []

_SAID: Final = "alpha says: all is well."


def test_a_whole_response(gpt: openai.OpenAI) -> None:
    """A whole response is complete, and has the words and the usage."""
    answer = gpt.responses.create(model="support", instructions="Be brief.", input="hello")

    assert (answer.status, answer.output_text) == ("completed", _SAID)
    assert answer.usage is not None
    assert answer.usage.output_tokens == 5


def test_a_stream(gpt: openai.OpenAI) -> None:
    """A stream's deltas are the words, and its last event has the whole response."""
    events = list(gpt.responses.create(model="support", input="hello", stream=True))

    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == _SAID
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == _SAID


def test_a_second_turn_names_the_first(gpt: openai.OpenAI) -> None:
    """A turn that gives the first one's id, in place of its words, is answered, whole and streamed."""
    first = gpt.responses.create(model="support", input="hello")
    second = gpt.responses.create(model="support", input="and now?", previous_response_id=first.id)
    with gpt.responses.stream(model="support", input="so?", previous_response_id=second.id) as stream:
        third = stream.get_final_response()

    assert second.output_text == third.output_text == _SAID


@pytest.mark.parametrize("streamed", [False, True])
def test_a_tool_is_called_and_its_result_sent_back(able_gpt: openai.OpenAI, streamed: bool) -> None:
    """The call is read, its result is sent back after the response's items, and the answer is in words."""
    tools = [responses_tool()]
    call: object
    if streamed:
        with able_gpt.responses.stream(model="support", input="hello", tools=tools) as stream:
            [call] = stream.get_final_response().output
    else:
        [call] = able_gpt.responses.create(model="support", input="hello", tools=tools).output
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Paris"})

    turns: ResponseInputParam = [
        {"role": "user", "content": "hello"},
        {"type": "function_call", "call_id": call.call_id, "name": call.name, "arguments": call.arguments},
        {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."},
    ]
    assert able_gpt.responses.create(model="support", input=turns, tools=tools).output_text == _SAID


def test_a_result_is_sent_back_to_the_response_named(able_gpt: openai.OpenAI) -> None:
    """A tool's result alone, with the id of the response that called it, gets an answer in words."""
    tools = [responses_tool()]
    first = able_gpt.responses.create(model="support", input="hello", tools=tools)
    [call] = first.output
    assert isinstance(call, ResponseFunctionToolCall)
    result: ResponseInputParam = [
        {"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}
    ]
    second = able_gpt.responses.create(
        model="support", input=result, tools=tools, previous_response_id=first.id
    )

    assert second.output_text == _SAID


def test_a_parsed_response(gpt: openai.OpenAI) -> None:
    """A request for a type gets an object of that type."""
    answer = gpt.responses.parse(model="support", input="hello", text_format=City)

    assert answer.output_parsed == City(city=_SAID)
