"""Tests that what is translated and back is the same, up to the differences that docs/bridge.md lists."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from standby.proxy.bridge.bridges import BRIDGES, Bridge
from standby.proxy.bridge.translation import TargetLimits
from standby.proxy.dialects import chat, messages, responses

from tests.proxy.bridge.answers import chat_answers, message_answers
from tests.proxy.bridge.conversations import as_responses, chat_requests, messages_requests
from tests.proxy.bridge.normal_forms import chat_form, messages_form, same

__all__: list[str] = []

Json: TypeAlias = dict[str, Any]

LIMITS: Final = TargetLimits()
TO_MESSAGES: Final = BRIDGES["chat", "messages"]
TO_CHAT: Final = BRIDGES["messages", "chat"]
QUICK: Final = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example],
)


def there_and_back(value: Json, there: Bridge, back: Bridge) -> Json:
    """A request after two translations, each of which was written and read."""
    middle = orjson.loads(orjson.dumps(there.request(value, LIMITS).value))
    there.target.check(middle)
    made: Json = orjson.loads(orjson.dumps(back.request(middle, LIMITS).value))
    back.target.check(made)
    return made


def equal(one: object, other: object) -> None:
    """Assert that two documents are equal, also in the types of their numbers."""
    assert same(one, other), f"\n{one}\n{other}"


@given(chat_requests())
@QUICK
def test_a_chat_request_comes_back(value: Json) -> None:
    """A request of Chat Completions is the same after Messages, up to the list."""
    chat.OPERATION.check(value)

    equal(there_and_back(value, TO_MESSAGES, TO_CHAT), chat_form(value))


@given(messages_requests())
@QUICK
def test_a_messages_request_comes_back(value: Json) -> None:
    """A request of Messages is the same after Chat Completions, up to the list."""
    messages.OPERATION.check(value)

    equal(there_and_back(value, TO_CHAT, TO_MESSAGES), messages_form(value))


@given(chat_requests())
@QUICK
def test_the_second_way_changes_nothing(value: Json) -> None:
    """What was there and back once is the same after the second time."""
    once = there_and_back(value, TO_MESSAGES, TO_CHAT)

    equal(there_and_back(once, TO_MESSAGES, TO_CHAT), once)


@given(chat_requests())
@QUICK
def test_a_response_request_says_what_the_chat_request_says(value: Json) -> None:
    """A conversation in the form of Responses comes to the same request of Messages as in that of a chat."""
    asked = as_responses(value)
    responses.OPERATION.check(asked)
    plain: Json = {**chat_form(value), "metadata": {}}
    for name in ("stop", "service_tier"):  # Responses has no stop sequences, and a tier is left out
        plain.pop(name, None)

    over_chat = BRIDGES["responses", "chat"].request(asked, LIMITS).value
    chat.OPERATION.check(over_chat)
    at_once = BRIDGES["responses", "messages"].request(asked, LIMITS).value

    equal(TO_MESSAGES.request(over_chat, LIMITS).value, at_once)
    equal(messages_form(at_once), messages_form(TO_MESSAGES.request(plain, LIMITS).value))


TURNS: Final = ({"role": "user", "content": "hi"},)
CALLER: Final = {"role": "user", "content": "go on"}
BARE_TOOL: Final = {"type": "function", "function": {"name": "f"}}
OTHER_TOOL: Final = {"type": "function", "function": {"name": "g", "parameters": {"type": "object"}}}
NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}}
FILLED: Final[Json] = {"type": "function", "function": {"name": "f", "parameters": NO_PARAMETERS}}


NEAREST: Final[tuple[tuple[Json, Json], ...]] = (
    ({"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
    ({"tools": [BARE_TOOL]}, {"tools": [FILLED]}),
    (
        {
            "tools": [BARE_TOOL, OTHER_TOOL],
            "tool_choice": {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [BARE_TOOL]},
            },
        },
        {"tools": [FILLED], "tool_choice": "required"},
    ),
    ({"stream": True}, {"stream": True, "stream_options": {"include_usage": True}}),
    ({"response_format": {"type": "text"}}, {}),
    ({"tools": [FILLED], "parallel_tool_calls": True}, {"tools": [FILLED]}),
    (
        {"tools": [FILLED], "parallel_tool_calls": False},
        {"tools": [FILLED], "parallel_tool_calls": False, "tool_choice": "auto"},
    ),
    (
        {"messages": [*TURNS, {"role": "assistant", "refusal": "no"}, CALLER]},
        {"messages": [*TURNS, {"role": "assistant", "content": "no"}, CALLER]},
    ),
    (
        {
            "messages": [
                *TURNS,
                {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
                CALLER,
            ]
        },
        {"messages": [*TURNS, {"role": "assistant", "content": "no"}, CALLER]},
    ),
)


@pytest.mark.parametrize(("given", "becomes"), NEAREST)
def test_the_nearest_that_messages_has(given: Json, becomes: Json) -> None:
    """What Messages has no word for becomes what means the same there."""
    value: Json = {"model": "pool", "messages": [*TURNS], **given}

    made = there_and_back(value, TO_MESSAGES, TO_CHAT)

    expected = {"model": "pool", "messages": [*TURNS], "max_completion_tokens": 8_192, **becomes}
    assert made == expected


# -- answers ----------------------------------------------------------------------------------


def answer_back(value: Json, there: Bridge, back: Bridge) -> Json:
    """An answer after two translations, each of which was written and read."""
    for bridge in (there, back):
        value = bridge.document(value, bridge.question({"model": "pool"}, "target", 7))
        value = orjson.loads(orjson.dumps(value))
    return value


def chat_answer_form(value: Json) -> Json:
    """A completion after it was a message: a refusal is text, and a call is the reason why it stopped."""
    choice = value["choices"][0]
    message, finish = choice["message"], choice["finish_reason"]
    calls = [
        {**call, "function": {**call["function"], "arguments": compact(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    written = (message["content"] or "") + (message["refusal"] or "")
    said: Json = {"role": "assistant", "content": written or (None if calls else ""), "refusal": None}
    if calls:
        said["tool_calls"] = calls
        finish = "tool_calls" if finish == "stop" else finish
    if finish == "function_call":
        finish = "tool_calls"
    if message["refusal"]:
        finish = "content_filter"
    made = {name: given for name, given in value.items() if name != "system_fingerprint"}
    choices = [{"index": 0, "message": said, "logprobs": None, "finish_reason": finish}]
    return {**made, "created": 7, "choices": choices}


def compact(arguments: str) -> str:
    """Arguments without spaces."""
    return orjson.dumps(orjson.loads(arguments)).decode()


def message_answer_form(value: Json) -> Json:
    """A message after it was a completion: one text, no thinking, then the calls."""
    written = "".join([block["text"] for block in value["content"] if block["type"] == "text"])
    calls = [block for block in value["content"] if block["type"] == "tool_use"]
    reason = {"stop_sequence": "end_turn", "model_context_window_exceeded": "max_tokens"}.get(
        value["stop_reason"], value["stop_reason"]
    )
    if calls and reason == "end_turn":
        reason = "tool_use"
    blocks = [{"type": "text", "text": written}] if written else []
    return {**value, "content": blocks + calls, "stop_reason": reason, "stop_sequence": None}


@given(chat_answers())
@QUICK
def test_a_chat_answer_comes_back(value: Json) -> None:
    """A completion is the same after it was a message, its usage included."""
    equal(answer_back(value, TO_CHAT, TO_MESSAGES), chat_answer_form(value))


@given(message_answers())
@QUICK
def test_a_message_comes_back(value: Json) -> None:
    """A message is the same after it was a completion, its usage included."""
    equal(answer_back(value, TO_MESSAGES, TO_CHAT), message_answer_form(value))


def output_of(response: Json) -> list[tuple[str, ...]]:
    """What a response says, without its ids."""
    said: list[tuple[str, ...]] = []
    for item in response["output"]:
        if item["type"] == "function_call":
            said.append((item["call_id"], item["name"], item["arguments"]))
        else:
            said += [(part["type"], part.get("text", part.get("refusal"))) for part in item["content"]]
    return said


@given(chat_answers())
@QUICK
def test_a_chat_answer_as_a_response(value: Json) -> None:
    """A response says what the completion said, has its usage, and is incomplete if it was cut."""
    bridge = BRIDGES["responses", "chat"]
    made = bridge.document(value, bridge.question({"model": "pool", "input": "hi"}, "target", 7))
    message, finish = value["choices"][0]["message"], value["choices"][0]["finish_reason"]

    texts = [("output_text", message["content"]), ("refusal", message["refusal"])]
    calls = [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls", ())
    ]
    assert output_of(made) == [each for each in texts if each[1]] + calls
    assert made["usage"]["input_tokens"] == value["usage"]["prompt_tokens"]
    assert made["usage"]["output_tokens"] == value["usage"]["completion_tokens"]
    assert made["usage"]["total_tokens"] == value["usage"]["total_tokens"]
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(finish)
    assert made["status"] == ("completed" if reason is None else "incomplete")
    assert made["incomplete_details"] == (None if reason is None else {"reason": reason})
