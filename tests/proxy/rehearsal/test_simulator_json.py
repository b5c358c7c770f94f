"""Answers in JSON: what the request demands of their text, read by the vendors' own SDKs."""

from __future__ import annotations

import json
from typing import Any, Final, Literal

import anthropic
import jsonschema_rs
import openai
import pytest
from pydantic import BaseModel
from standby.proxy.rehearsal.simulator import Simulator
from standby.proxy.rehearsal.simulator.schema_example import SchemaExample

from tests.proxy.rehearsal.caller import CHAT, MESSAGES, RESPONSES, STREAMS, Answer, ask

__all__: list[str] = []

pytestmark = pytest.mark.anyio

SAID: Final = "alpha says: all is well."
HI: Final[list[Any]] = [{"role": "user", "content": "hi"}]
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
DEMANDS: Final[dict[str, dict[str, Any]]] = {
    CHAT: {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
    RESPONSES: {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}},
    MESSAGES: {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
}


class Place(BaseModel):
    """A part of an answer."""

    name: str
    kind: Literal["city", "village"]
    height: float


class Trip(BaseModel):
    """An answer with every simple kind of member."""

    places: list[Place]
    days: int
    booked: bool
    remark: str | None
    first: Place


def text_of(path: str, answer: Answer) -> str:
    """The text of an answer, whole or streamed."""
    if b"data: " not in answer.body:
        document = answer.json
        if path == CHAT:
            return str(document["choices"][0]["message"]["content"])
        blocks = document["content"] if path == MESSAGES else document["output"][0]["content"]
        return str(blocks[0]["text"])
    return "".join(deltas_of(path, answer))


def deltas_of(path: str, answer: Answer) -> list[str]:
    """The deltas of a streamed answer's text."""
    documents = [
        json.loads(event.partition(b"data: ")[2]) for event in answer.events if b"[DONE]" not in event
    ]
    if path == CHAT:
        deltas = [choice["delta"].get("content") for each in documents for choice in each["choices"]]
    elif path == MESSAGES:
        deltas = [each["delta"].get("text") for each in documents if each["type"] == "content_block_delta"]
    else:
        deltas = [each["delta"] for each in documents if each["type"] == "response.output_text.delta"]
    return [delta for delta in deltas if delta]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", STREAMS)
async def test_the_text_is_what_the_schema_demands(alpha: Simulator, path: str, stream: bool) -> None:
    """With a schema, the text of an answer is a JSON text that satisfies it, and says the words."""
    answer = await ask(alpha, path, stream=stream, **DEMANDS[path])
    assert json.loads(text_of(path, answer)) == {"city": SAID, "days": 1}


@pytest.mark.parametrize("path", STREAMS)
async def test_a_json_text_is_streamed_in_pieces(alpha: Simulator, path: str) -> None:
    """A JSON text has a delta for every few characters, each of which is on the bill and reported."""
    answer = await ask(alpha, path, stream=True, stream_options={"include_usage": True}, **DEMANDS[path])
    deltas = deltas_of(path, answer)

    assert len(deltas) > 5
    assert max(map(len, deltas)) <= 4
    assert [(line.output, line.reported) for line in alpha.bill] == [(len(deltas), True)]
    assert f'_tokens":{len(deltas)}'.encode() in answer.body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [CHAT, RESPONSES])
async def test_a_json_object_is_one(alpha: Simulator, path: str, stream: bool) -> None:
    """OpenAI's older mode, without a schema, gets an object."""
    mode: dict[str, Any] = {"type": "json_object"}
    demand = {"response_format": mode} if path == CHAT else {"text": {"format": mode}}
    answer = await ask(alpha, path, stream=stream, **demand)
    assert json.loads(text_of(path, answer)) == {"answer": SAID}


async def test_the_older_name_of_anthropics_format(alpha: Simulator) -> None:
    """`output_format` demands the same as `output_config.format`."""
    answer = await ask(alpha, MESSAGES, output_format={"type": "json_schema", "schema": SCHEMA})
    assert json.loads(text_of(MESSAGES, answer)) == {"city": SAID, "days": 1}


async def test_the_sdks_parse_an_answer(gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    """Each SDK makes an object of the class from an answer to the schema that it made from the class."""
    chat = await gpt.chat.completions.parse(model="m", messages=HI, response_format=Trip)
    response = await gpt.responses.parse(model="m", input="hi", text_format=Trip)
    message = await claude.messages.parse(model="m", max_tokens=9, messages=HI, output_format=Trip)

    place = Place(name=SAID, kind="city", height=1)
    trip = Trip(places=[place], days=1, booked=True, remark=SAID, first=place)
    assert chat.choices[0].message.parsed == trip
    assert response.output_parsed == trip
    assert message.parsed_output == trip


async def test_the_sdks_parse_a_stream(gpt: openai.AsyncOpenAI, claude: anthropic.AsyncAnthropic) -> None:
    """A streamed answer is parsed as a unary one is."""
    async with gpt.chat.completions.stream(model="m", messages=HI, response_format=Trip) as chat:
        parsed = (await chat.get_final_completion()).choices[0].message.parsed
    async with gpt.responses.stream(model="m", input="hi", text_format=Trip) as response:
        from_response = (await response.get_final_response()).output_parsed
    async with claude.messages.stream(model="m", max_tokens=9, messages=HI, output_format=Trip) as message:
        from_message = (await message.get_final_message()).parsed_output

    assert parsed is not None
    assert parsed == from_response == from_message
    assert parsed.first.kind == "city"


@pytest.mark.parametrize("path", STREAMS)
async def test_words_in_json_stay(alpha: Simulator, path: str) -> None:
    """Words that are a JSON object are answered as they are, even if the schema forbids them."""
    alpha.words = ('{"ci', 'ty": ', "7}")
    answer = await ask(alpha, path, stream=True, **DEMANDS[path])
    assert deltas_of(path, answer) == list(alpha.words)


@pytest.mark.parametrize("path", STREAMS)
async def test_a_number_is_a_word(alpha: Simulator, path: str) -> None:
    """A word that only happens to be JSON is put into the format like any other."""
    alpha.words = ("7",)
    answer = await ask(alpha, path, **DEMANDS[path])
    assert json.loads(text_of(path, answer)) == {"city": "7", "days": 1}


@pytest.mark.parametrize("path", STREAMS)
async def test_a_provider_may_ignore_the_demand(alpha: Simulator, path: str) -> None:
    """A provider that does not keep formats answers with its words."""
    alpha.keeps_formats = False
    assert text_of(path, await ask(alpha, path, **DEMANDS[path])) == SAID


@pytest.mark.parametrize("path", STREAMS)
@pytest.mark.parametrize(
    "form", [None, "json", [], {"type": "text"}, {"type": ["json_schema"]}, {"type": "haiku", "schema": {}}]
)
async def test_no_demand_leaves_the_words(alpha: Simulator, path: str, form: object) -> None:
    """A format that is free text, or is none, changes nothing."""
    name = {CHAT: "response_format", RESPONSES: "text", MESSAGES: "output_config"}[path]
    answer = await ask(alpha, path, **{name: form if path == CHAT else {"format": form}})
    assert text_of(path, answer) == SAID


async def test_a_tool_call_needs_no_format(alpha: Simulator) -> None:
    """A tool is called with its arguments, whatever the format of texts."""
    alpha.calls_tools = True
    tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    message = (await ask(alpha, tools=[tool], **DEMANDS[CHAT])).json["choices"][0]["message"]
    assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"city": "Paris"}


NODE: Final = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "next": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}]}},
    "required": ["name", "next"],
}
AB: Final = {"a": "said", "b": "said"}
TREE: Final = {
    "type": "object",
    "properties": {"children": {"type": "array", "items": {"$ref": "#"}}, "parent": {"$ref": "#"}},
    "required": ["children"],
}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (True, "said"),
        ({}, "said"),
        ({"type": "null"}, None),
        ({"type": "boolean"}, True),
        ({"enum": ["red", "blue"]}, "red"),
        ({"const": 7}, 7),
        ({"type": ["integer", "null"]}, 1),
        ({"type": ["null", "integer"]}, None),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"allOf": [{"$ref": "#/$defs/A"}, {"required": ["b"]}], "$defs": {"A": {"required": ["a"]}}}, AB),
        ({"type": "number", "minimum": 2.5}, 2.5),
        ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
        ({"type": "integer", "minimum": 5, "maximum": 9}, 5),
        ({"type": "integer", "exclusiveMaximum": -3}, -4),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, 5),
        ({"type": "string", "maxLength": 2}, "sa"),
        ({"type": "string", "minLength": 6}, "said.."),
        *(({"type": "string", "format": name}, None) for name in ("date", "date-time", "email", "ipv4")),
        *(({"type": "string", "format": name}, None) for name in ("ipv6", "time", "uri", "uuid", "hostname")),
        ({"type": "array"}, ["said"]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "maxItems": 0}, []),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}], "items": False},
            [1, None],
        ),
        ({"required": ["a"]}, {"a": "said"}),
        ({"properties": {"a": {"type": "object"}}}, {"a": {}}),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "integer"}}}, 1),
        ({"$ref": "#/$defs/N", "$defs": {"N": NODE}}, {"name": "said", "next": None}),
        (TREE, {"children": []}),
    ],
)
def test_a_value_satisfies_its_schema(schema: Any, expected: object) -> None:
    """A simple schema gets a simple value, the first alternative where there is a choice."""
    value = SchemaExample(schema, "said").value()
    jsonschema_rs.validate(schema, value, validate_formats=True)
    assert expected in (None, value)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"anyOf": [{"$ref": "#"}]},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
    ],
)
def test_a_schema_without_an_end_has_no_value(schema: Any) -> None:
    """A schema that only values without an end satisfy gets an empty object, and no error."""
    assert SchemaExample(schema, "said").value() == {}
