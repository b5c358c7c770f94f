"""Tests that docs/bridge.md says what the code does: what is carried, what is left out, what is refused."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import pytest
from hypothesis import given, settings
from standby.proxy.bridge import chat_request_as_messages, messages_request_as_chat, responses_request_as_chat
from standby.proxy.bridge.bridges import BRIDGES
from standby.proxy.bridge.translation import Members, TargetLimits, Untranslatable

from tests.proxy.bridge.answers import chat_answers, message_answers
from tests.proxy.bridge.conversations import as_responses, chat_requests, messages_requests

__all__: list[str] = []

Json: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[str, str]

PAGE: Final = Path(__file__).parents[3] / "docs" / "bridge.md"
LIMITS: Final = TargetLimits()
CHAT: Final = ("chat", "messages")
MESSAGES: Final = ("messages", "chat")
RESPONSES: Final = ("responses", "chat")
OVER: Final = ("responses", "messages")
TABLES: Final[Mapping[str, Members]] = MappingProxyType(
    {
        "Chat Completions to Messages": chat_request_as_messages.REQUEST,
        "Messages to Chat Completions": messages_request_as_chat.REQUEST,
        "Responses to either": responses_request_as_chat.REQUEST,
    }
)
QUICK: Final = settings(max_examples=25, deadline=None)
ASKED: Final = {"role": "user", "content": "hi"}
LEAST: Final[Mapping[str, Json]] = MappingProxyType(
    {
        "chat": {"model": "pool", "messages": [ASKED]},
        "messages": {"model": "pool", "max_tokens": 9, "messages": [ASKED]},
        "responses": {"model": "pool", "input": "hi"},
    }
)
"""The least that a request of each operation has."""


def table(title: str) -> Mapping[str, frozenset[str]]:
    """The members in each row of the table under a title of the page."""
    section = PAGE.read_text().partition(f"### {title}\n")[2].partition("\n###")[0]
    rows = re.findall(r"^\| ([a-z][^|]*) \| ([^|]*) \|$", section, re.MULTILINE)
    return {name: frozenset(re.findall(r"`([^`]+)`", members)) for name, members in rows}


@pytest.mark.parametrize("title", TABLES)
def test_the_tables_are_those_of_the_code(title: str) -> None:
    """Each table has the members that the code has, each in its row, and no others."""
    members, rows = TABLES[title], table(title)

    assert rows["carried"] == members.carried
    assert rows["left out"] == members.dropped
    assert rows["never carried, unless they ask for nothing"] == members.neutral.keys() - members.dropped
    assert len(rows) == 3


def asked(pair: Pair, given: Json) -> Json:
    """The least request of the caller's operation, with more members."""
    value = {**copy.deepcopy(LEAST[pair[0]]), **given}
    BRIDGES[pair].caller.check(value)
    return value


def turn(*blocks: Json, role: str = "user") -> Json:
    """Two turns, of which the first has these blocks."""
    return {"messages": [{"role": role, "content": [*blocks]}, ASKED]}


def items(*given: Json) -> Json:
    """The input of Responses: these items, and a turn after them."""
    return {"input": [*given, ASKED]}


def chat_call(arguments: str) -> Json:
    """A conversation with a call that has these arguments."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"messages": [ASKED, {"role": "assistant", "tool_calls": [call]}, ASKED]}


def part(url: str) -> Json:
    """An image of a chat."""
    return {"type": "image_url", "image_url": {"url": url}}


DOCX: Final = "data:application/msword;base64,AA=="
CUSTOM: Final = {"type": "custom", "custom": {"name": "f"}}
CONTINUED: Final = {"messages": [ASKED, {"role": "assistant", "content": "The answer is"}]}
RESULT: Final = {"type": "tool_result", "tool_use_id": "a"}
IMAGE: Final = {"type": "image", "source": {"type": "url", "url": "https://x.example"}}


def _call(arguments: str) -> Json:
    return {"type": "function_call", "call_id": "a", "name": "f", "arguments": arguments}


RESPONSES_REFUSED: Final[tuple[tuple[Json, str], ...]] = (
    ({"previous_response_id": "resp_1"}, "previous_response_id"),
    ({"conversation": "conv_1"}, "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt"),
    (items({"type": "item_reference", "id": "msg_1"}), "input[0].id"),
    (items({"id": "msg_1"}), "input[0].id"),
    (
        items({"type": "reasoning", "summary": [], "encrypted_content": "a"}),
        "input[0].encrypted_content",
    ),
    ({"context_management": [{"type": "compaction"}]}, "context_management"),
    ({"store": True}, "store"),
    ({"top_logprobs": 1}, "top_logprobs"),
    ({"include": ["message.output_text.logprobs"]}, "include"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
    (items(_call("{")), "input[0].arguments"),
    (
        items({"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}),
        "input[0].content[0].file_id",
    ),
    (items({"role": "user", "content": [{"type": "input_audio"}]}), "input[0].content[0].type"),
    ({"a_vendors_own": 1}, "a_vendors_own"),
)
REFUSED: Final[tuple[tuple[Pair, Json, str], ...]] = (
    (CHAT, {"response_format": {"type": "json_object"}}, "response_format"),
    (CHAT, {"stop": " \n"}, "stop"),
    (CHAT, {"stop": ["END", "\t"]}, "stop"),
    (CHAT, {"tools": [CUSTOM]}, "tools[0].type"),
    (CHAT, {"functions": [{"name": "f"}]}, "functions"),
    (CHAT, {"audio": {"voice": "a"}}, "audio"),
    (CHAT, {"modalities": ["text", "audio"]}, "modalities"),
    (CHAT, turn({"type": "input_audio", "input_audio": {}}), "messages[0].content[0].type"),
    (CHAT, turn({"type": "file", "file": {"file_id": "f"}}), "messages[0].content[0].file.file_id"),
    (CHAT, turn({"type": "file", "file": {"file_data": DOCX}}), "messages[0].content[0].file.file_data"),
    (CHAT, turn(part("http://x.example/a.png")), "messages[0].content[0].image_url.url"),
    (CHAT, turn(part("data:image/png,abc")), "messages[0].content[0].image_url.url"),
    (CHAT, chat_call("{"), "messages[1].tool_calls[0].function.arguments"),
    (CHAT, chat_call("[1]"), "messages[1].tool_calls[0].function.arguments"),
    (CHAT, CONTINUED, "messages[-1].role"),
    (CHAT, {"n": 2}, "n"),
    (CHAT, {"logprobs": True}, "logprobs"),
    (CHAT, {"top_logprobs": 2}, "top_logprobs"),
    (CHAT, {"store": True}, "store"),
    (CHAT, {"a_vendors_own": 1}, "a_vendors_own"),
    (CHAT, {"reasoning_effort": "huge"}, "reasoning_effort"),
    (CHAT, {"tool_choice": {"type": "custom", "custom": {"name": "f"}}}, "tool_choice"),
    (
        MESSAGES,
        turn({"type": "thinking", "thinking": "a", "signature": "b"}, role="assistant"),
        "messages[0].content[0].signature",
    ),
    (
        MESSAGES,
        turn({"type": "redacted_thinking", "data": "b"}, role="assistant"),
        "messages[0].content[0].type",
    ),
    (MESSAGES, {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
    (MESSAGES, {"container": "c"}, "container"),
    (MESSAGES, {"stop_sequences": ["a", "b", "c", "d", "e"]}, "stop_sequences"),
    (MESSAGES, turn({**RESULT, "content": [IMAGE]}), "messages[0].content[0].content[0].type"),
    (
        MESSAGES,
        turn({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}),
        "messages[0].content[0].source",
    ),
    (
        MESSAGES,
        turn({"type": "image", "source": {"type": "file", "file_id": "f"}}),
        "messages[0].content[0].source",
    ),
    (MESSAGES, CONTINUED, "messages[-1].role"),
    (MESSAGES, {"mcp_servers": [{"name": "m"}]}, "mcp_servers"),
    (MESSAGES, {"speed": "fast"}, "speed"),
    (MESSAGES, {"a_vendors_own": 1}, "a_vendors_own"),
    *((pair, given, field) for pair in (RESPONSES, OVER) for given, field in RESPONSES_REFUSED),
    (OVER, {"reasoning": {"effort": "huge"}}, "reasoning.effort"),
    (OVER, {"text": {"format": {"type": "json_object"}}}, "text.format"),
    (OVER, {"tools": [{"type": "function"}]}, "tools[0].name"),
    (OVER, {"input": [ASKED, {"role": "assistant", "content": "The answer is"}]}, "input[-1].role"),
    (
        OVER,
        items({"role": "user", "content": [{"type": "input_image", "image_url": "http://x.example"}]}),
        "input[0].content[0].image_url",
    ),
    (
        OVER,
        {
            "instructions": "Be brief.",
            **items(
                _call("{}"),
                {"role": "user", "content": [{"type": "input_image", "image_url": "http://x.example"}]},
            ),
        },
        "input[1].content[0].image_url",
    ),
    (OVER, items(ASKED, _call("{}"), _call("[1]")), "input[2].arguments"),
    (
        OVER,
        items({"role": "user", "content": [{"type": "input_file", "file_data": DOCX}]}),
        "input[0].content[0].file_data",
    ),
)


@pytest.mark.parametrize(("pair", "given", "field"), REFUSED)
def test_what_cannot_be_carried_is_named(pair: Pair, given: Json, field: str) -> None:
    """A request that cannot be carried raises Untranslatable with the path in the caller's own request."""
    value = asked(pair, given)
    before = copy.deepcopy(value)

    with pytest.raises(Untranslatable) as caught:
        BRIDGES[pair].request(value, LIMITS)

    assert caught.value.field == field
    assert value == before


SCHEMA: Final = {"name": "a", "schema": {"type": "object"}, "description": "b"}
FORM: Final = {"type": "json_schema", "json_schema": SCHEMA}
DETAILED: Final = {"type": "image_url", "image_url": {"url": "https://x.example", "detail": "low"}}
RESPONSES_LEFT_OUT: Final[tuple[tuple[Json, tuple[str, ...]], ...]] = (
    ({"max_tool_calls": 1, "metadata": {"a": "b"}}, ("max_tool_calls", "metadata")),
    (
        {"prompt_cache_diagnostics": True, "prompt_cache_key": "a"},
        ("prompt_cache_diagnostics", "prompt_cache_key"),
    ),
    (
        {"prompt_cache_options": {}, "prompt_cache_retention": "24h"},
        ("prompt_cache_options", "prompt_cache_retention"),
    ),
    ({"truncation": "auto", "service_tier": "flex"}, ("truncation", "service_tier")),
    ({"truncation": "disabled", "service_tier": "auto", "store": False, "background": False}, ()),
    ({"include": ["reasoning.encrypted_content"]}, ("include",)),
    ({"reasoning": {"effort": "low", "summary": "auto"}}, ("reasoning.summary",)),
    ({"text": {"verbosity": "low"}}, ("text.verbosity",)),
    (items({"type": "reasoning", "summary": []}), ("input[].reasoning",)),
)
LEFT_OUT: Final[tuple[tuple[Pair, Json, tuple[str, ...]], ...]] = (
    (CHAT, {"seed": 1, "logit_bias": {"5": 1}, "metadata": {"a": "b"}}, ("seed", "logit_bias", "metadata")),
    (CHAT, {"frequency_penalty": 1, "presence_penalty": -1}, ("frequency_penalty", "presence_penalty")),
    (CHAT, {"frequency_penalty": 0, "presence_penalty": 0, "logit_bias": {}, "metadata": {}, "n": 1}, ()),
    (CHAT, {"logprobs": False, "top_logprobs": 0, "store": False, "modalities": ["text"]}, ()),
    (CHAT, {"verbosity": "low", "prompt_cache_key": "a"}, ("verbosity", "prompt_cache_key")),
    (
        CHAT,
        {"prompt_cache_options": {}, "prompt_cache_retention": "24h"},
        ("prompt_cache_options", "prompt_cache_retention"),
    ),
    (CHAT, {"temperature": 1.5}, ("temperature",)),
    (CHAT, {"temperature": 0.5, "top_p": 0.5}, ("top_p",)),
    (CHAT, {"temperature": 0.5, "top_p": 1}, ()),
    (CHAT, {"service_tier": "flex"}, ("service_tier",)),
    (CHAT, {"user": "a", "safety_identifier": "b"}, ("user",)),
    (CHAT, {"messages": [{**ASKED, "name": "anna"}]}, ("messages[].name",)),
    (CHAT, {"messages": [ASKED, {"role": "system", "content": "Stop."}]}, ("messages[].role",)),
    (CHAT, turn(DETAILED, DETAILED), ("messages[].content[].image_url.detail",)),
    (CHAT, {"response_format": FORM}, ("response_format.json_schema.description",)),
    (MESSAGES, {"top_k": 5, "cache_control": {"type": "ephemeral"}}, ("top_k", "cache_control")),
    (MESSAGES, {"context_management": {}, "diagnostics": {}}, ("context_management", "diagnostics")),
    (MESSAGES, {"thinking": {"type": "enabled", "budget_tokens": 2_000}}, ("thinking",)),
    (MESSAGES, {"thinking": {"type": "adaptive"}}, ("thinking",)),
    (MESSAGES, {"thinking": {"type": "disabled"}, "mcp_servers": [], "speed": "standard"}, ()),
    (
        MESSAGES,
        {"system": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        ("system[].cache_control",),
    ),
    (MESSAGES, turn({**RESULT, "is_error": True}), ("messages[].content[].is_error",)),
    (MESSAGES, turn({**RESULT, "is_error": False}), ()),
    *((pair, given, dropped) for pair in (RESPONSES, OVER) for given, dropped in RESPONSES_LEFT_OUT),
    (OVER, {"temperature": 1.5}, ("temperature",)),
    (OVER, {"input": [ASKED, {"role": "developer", "content": "Stop."}]}, ("input[].role",)),
    (
        OVER,
        items(
            {
                "role": "user",
                "content": [{"type": "input_image", "image_url": "https://x.example", "detail": "low"}],
            }
        ),
        ("input[].content[].detail",),
    ),
)


@pytest.mark.parametrize(("pair", "given", "dropped"), LEFT_OUT)
def test_what_is_left_out_is_named(pair: Pair, given: Json, dropped: tuple[str, ...]) -> None:
    """What is left out is noted, by the path in the caller's own request; what asks for nothing is not."""
    value = asked(pair, given)
    before = copy.deepcopy(value)

    assert BRIDGES[pair].request(value, LIMITS).dropped == dropped
    assert value == before


@pytest.mark.parametrize("pair", BRIDGES, ids="-".join)
def test_null_asks_for_nothing(pair: Pair) -> None:
    """A member that is null is as one that is absent, whatever its name."""
    members = TABLES[next(title for title in TABLES if title.split()[0].lower() == pair[0])]
    names = {*members.carried, *members.dropped, *members.neutral, "a_vendors_own"} - LEAST[pair[0]].keys()
    bare, nulls = asked(pair, {}), asked(pair, dict.fromkeys(sorted(names)))

    assert BRIDGES[pair].request(nulls, LIMITS) == BRIDGES[pair].request(bare, LIMITS)


def test_the_limits_are_the_targets() -> None:
    """The target decides how a chat request names its limit, and what the limit of another is."""
    limits = TargetLimits(max_output=77, limit_member="max_tokens")

    assert BRIDGES[MESSAGES].request(asked(MESSAGES, {}), limits).value["max_tokens"] == 9
    assert BRIDGES[CHAT].request(asked(CHAT, {}), limits).value["max_tokens"] == 77
    assert BRIDGES[OVER].request(asked(OVER, {}), limits).value["max_tokens"] == 77
    assert "max_tokens" not in BRIDGES[RESPONSES].request(asked(RESPONSES, {}), limits).value
    given = asked(OVER, {"max_output_tokens": 5})
    assert BRIDGES[OVER].request(given, limits).value["max_tokens"] == 5


@given(chat_requests(), messages_requests())
@QUICK
def test_requests_stay_as_they_are(chat: Json, message: Json) -> None:
    """No translation changes the request, since the next target gets it too."""
    for pair, value in (
        (CHAT, chat),
        (MESSAGES, message),
        (RESPONSES, as_responses(chat)),
        (OVER, as_responses(chat)),
    ):
        before = copy.deepcopy(value)
        once = BRIDGES[pair].request(value, LIMITS)
        assert value == before
        assert BRIDGES[pair].request(value, LIMITS) == once


@given(chat_answers(), message_answers())
@QUICK
def test_answers_stay_as_they_are(chat: Json, message: Json) -> None:
    """No translation changes the answer, or the question."""
    for pair, bridge in BRIDGES.items():
        value = chat if pair[1] == "chat" else message
        asking = asked(pair, {})
        before = copy.deepcopy((value, asking))
        once = bridge.document(value, bridge.question(asking, "target", 7))
        assert (value, asking) == before
        assert bridge.document(value, bridge.question(asking, "target", 7)) == once
