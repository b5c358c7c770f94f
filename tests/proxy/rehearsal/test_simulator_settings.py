"""What an OpenAI response repeats from its request."""

from __future__ import annotations

from typing import Any, Final

import openai
import pytest
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseInProgressEvent,
)
from pydantic import TypeAdapter
from standby.proxy.rehearsal.simulator import Simulator

from tests.proxy.rehearsal.caller import RESPONSES, ask

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SCHEMA: Final[dict[str, Any]] = {"type": "object", "properties": {"city": {"type": "string"}}}
SETTINGS: Final[dict[str, Any]] = {
    "background": True,
    "instructions": "Be brief.",
    "max_output_tokens": 99,
    "max_tool_calls": 3,
    "metadata": {"team": "blue"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp_before",
    "prompt_cache_key": "a-key",
    "safety_identifier": "ada",
    "service_tier": "flex",
    "store": False,
    "temperature": 0.2,
    "tool_choice": {"type": "function", "name": "weather"},
    "top_logprobs": 2,
    "top_p": 0.5,
    "truncation": "auto",
    "user": "ada",
}
DEFAULTS: Final[dict[str, Any]] = {
    "background": False,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
}


@pytest.mark.parametrize(("name", "value"), SETTINGS.items(), ids=SETTINGS)
async def test_a_response_repeats_the_request(alpha: Simulator, name: str, value: object) -> None:
    """A setting of the request is in the response, which still has the SDK's type."""
    document = (await ask(alpha, RESPONSES, **{name: value})).json
    assert document[name] == value
    TypeAdapter(Response).validate_python(document)


@pytest.mark.parametrize("fields", [{}, dict.fromkeys(DEFAULTS)], ids=["left out", "null"])
async def test_a_response_states_the_defaults(alpha: Simulator, fields: dict[str, None]) -> None:
    """A setting that the request left out, or set to null, has the vendor's default."""
    document = (await ask(alpha, RESPONSES, **fields)).json
    assert {name: document[name] for name in DEFAULTS} == DEFAULTS


async def test_a_response_repeats_the_format_of_its_text(gpt: openai.AsyncOpenAI) -> None:
    """Every response object, also those of a stream, has the text format that was demanded."""
    form: Any = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}
    once = await gpt.responses.create(model="m", input="hi", text={"format": form, "verbosity": "low"})
    events = await gpt.responses.create(model="m", input="hi", text={"format": form}, stream=True)
    streamed = [
        event.response
        async for event in events
        if isinstance(event, (ResponseCreatedEvent, ResponseInProgressEvent, ResponseCompletedEvent))
    ]

    assert once.text is not None
    assert once.text.verbosity == "low"
    assert len(streamed) == 3
    for response in (once, *streamed):
        assert response.text is not None
        assert response.text.format is not None
        assert response.text.format.to_dict() == {"description": None, **form}


async def test_an_object_is_completed(alpha: Simulator) -> None:
    """Of an object the given members are repeated, and the others have their defaults."""
    reasoning, text = {"effort": "low"}, {"verbosity": "high"}
    tool = {"type": "function", "name": "weather", "parameters": SCHEMA}
    document = (await ask(alpha, RESPONSES, reasoning=reasoning, text=text, tools=[tool])).json

    assert document["reasoning"] == {"effort": "low", "summary": None}
    assert document["text"] == {"format": {"type": "text"}, "verbosity": "high"}
    assert document["tools"] == [{"description": None, "strict": True, **tool}]


async def test_a_wrong_kind_of_setting_is_repeated_as_it_is(alpha: Simulator) -> None:
    """The simulator does not check a request, and an odd one is still answered."""
    odd = {"text": "x", "reasoning": [1], "tools": {"a": 1}, "metadata": 5}
    answer = await ask(alpha, RESPONSES, **odd)
    assert {name: answer.json[name] for name in odd} == odd
