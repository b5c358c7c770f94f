"""Tests that translations fail in one way only: Untranslatable, UnreadableAnswer, or EventTooLarge."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from standby.proxy.bridge import chat_request_as_messages, messages_request_as_chat, responses_request_as_chat
from standby.proxy.bridge.answer_translator import UnreadableAnswer
from standby.proxy.bridge.bridges import BRIDGES
from standby.proxy.bridge.stream_translator import StreamTranslator
from standby.proxy.bridge.translation import TargetLimits, Untranslatable
from standby.proxy.dialects.json_values import is_list, is_object
from standby.proxy.dialects.sse import MAX_EVENT, EventTooLarge
from standby.proxy.errors import Refusal

from tests.proxy.bridge.answers import chat_answers, message_answers
from tests.proxy.bridge.conversations import as_responses, chat_requests, json_values, messages_requests
from tests.proxy.bridge.upstreams import STREAMS, rendered

__all__: list[str] = []

Json: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[str, str]

THOROUGH: Final = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MEMBERS: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        name: members.carried | members.dropped | members.neutral.keys()
        for name, members in (
            ("chat", chat_request_as_messages.REQUEST),
            ("messages", messages_request_as_chat.REQUEST),
            ("responses", responses_request_as_chat.REQUEST),
        )
    }
)
WORDS: Final = (
    "action",
    "allowed_tools",
    "annotations",
    "arguments",
    "assistant",
    "auto",
    "base64",
    "call_id",
    "citations",
    "content",
    "data",
    "delta",
    "detail",
    "disabled",
    "document",
    "effort",
    "enabled",
    "end_turn",
    "file",
    "file_data",
    "finish_reason",
    "format",
    "function",
    "function_call",
    "function_call_output",
    "id",
    "image",
    "image_url",
    "index",
    "input",
    "input_file",
    "input_image",
    "input_json_delta",
    "input_text",
    "item_reference",
    "json_schema",
    "media_type",
    "message",
    "mode",
    "name",
    "output",
    "output_text",
    "parameters",
    "partial_json",
    "reasoning",
    "redacted_thinking",
    "refusal",
    "required",
    "role",
    "schema",
    "source",
    "stop_reason",
    "strict",
    "system",
    "text",
    "thinking",
    "title",
    "tool",
    "tool_call_id",
    "tool_calls",
    "tool_result",
    "tool_use",
    "tool_use_id",
    "tools",
    "type",
    "url",
    "usage",
    "user",
)
"""Names and values that mean something to a translation."""
words: st.SearchStrategy[str] = st.sampled_from(WORDS)
wild: st.SearchStrategy[Any] = st.recursive(
    st.one_of(words, words, json_values),
    lambda inner: st.dictionaries(words, inner, max_size=4) | st.lists(inner, max_size=3),
    max_leaves=8,
)
"""JSON of names and values that translations know, in places where they do not belong."""
each_bridge = pytest.mark.parametrize("pair", BRIDGES, ids="-".join)
QUESTION: Final = {"model": "pool", "stream": True, "stream_options": {"include_usage": True}}


def keys_of(value: object) -> list[Any]:
    """The keys or indexes of an object or a list; nothing for other values."""
    if is_object(value):
        return list(value)
    return list(range(len(value))) if is_list(value) else []


def mutate(draw: st.DrawFn, value: Any) -> None:
    """Put something else into one place of the value."""
    while keys := keys_of(value):
        key = draw(st.sampled_from(keys))
        inner: Any = value[key]
        if not keys_of(inner) or draw(st.integers(0, 3)) == 0:
            value[key] = draw(wild)
            return
        value = inner


@st.composite
def damaged(draw: st.DrawFn, values: st.SearchStrategy[Json], names: frozenset[str]) -> Json:
    """A document with anything in one place or two, and perhaps in a member that it did not have."""
    value: Json = orjson.loads(orjson.dumps(draw(values)))
    for _ in range(draw(st.integers(1, 2))):
        mutate(draw, value)
    more = draw(st.booleans())
    if more and names:
        value[draw(st.sampled_from(sorted(names)))] = draw(wild)
    return value


REQUESTS: Final[Mapping[str, st.SearchStrategy[Json]]] = MappingProxyType(
    {
        "chat": damaged(chat_requests(), MEMBERS["chat"]),
        "messages": damaged(messages_requests(), MEMBERS["messages"]),
        "responses": damaged(chat_requests().map(as_responses), MEMBERS["responses"]),
    }
)
ANSWERS: Final[Mapping[str, st.SearchStrategy[Json]]] = MappingProxyType(
    {
        "chat": damaged(chat_answers(), frozenset({"choices", "usage", "id", "model"})),
        "messages": damaged(message_answers(), frozenset({"content", "usage", "id", "stop_reason"})),
    }
)


@each_bridge
@given(st.data())
@THOROUGH
def test_any_request_is_carried_or_refused(pair: Pair, data: st.DataObject) -> None:
    """A request with anything in any place is carried, or raises Untranslatable."""
    bridge = BRIDGES[pair]
    value = data.draw(REQUESTS[pair[0]])
    with contextlib.suppress(Refusal, Untranslatable):
        bridge.caller.check(value)
        made, dropped = bridge.request(value, TargetLimits())
        orjson.dumps(made)
        assert all(dropped)


@each_bridge
@given(st.data())
@THOROUGH
def test_any_answer_is_carried_or_unreadable(pair: Pair, data: st.DataObject) -> None:
    """A whole answer with anything in any place is carried, or raises UnreadableAnswer."""
    bridge = BRIDGES[pair]
    value = data.draw(st.one_of(ANSWERS[pair[1]], st.dictionaries(words, wild, max_size=4)))
    with contextlib.suppress(UnreadableAnswer):
        orjson.dumps(bridge.document(value, bridge.question(QUESTION, "target", 7)))


def fed(stream: StreamTranslator, chunks: list[bytes]) -> None:
    """Feed a whole stream, and end it in every way."""
    for chunk in chunks:
        stream.feed(chunk)
    stream.broken("upstream_error", "x", "req_1")
    stream.restarted("outage", 2)
    stream.end()
    assert stream.end() == b""
    stream.broken("upstream_error", "x", "req_1")


@each_bridge
@given(st.data())
@THOROUGH
def test_any_event_is_translated_or_left_out(pair: Pair, data: st.DataObject) -> None:
    """Events with anything in any place never raise."""
    bridge = BRIDGES[pair]
    streams = STREAMS[pair[1]]
    events = [
        each for each in streams[data.draw(st.sampled_from(sorted(streams)))].events if isinstance(each, dict)
    ]
    bad = damaged(
        st.sampled_from(events), frozenset({"type", "index", "delta", "content_block", "choices", "usage"})
    )
    mixed = data.draw(st.lists(st.one_of(st.sampled_from(events), bad, bad), max_size=8))
    chunks = [b"data: " + orjson.dumps(event) + b"\n\n" for event in mixed]

    fed(bridge.stream(bridge.question(QUESTION, "target", 7)), chunks)


@each_bridge
@given(st.data())
@THOROUGH
def test_any_bytes_are_translated_or_left_out(pair: Pair, data: st.DataObject) -> None:
    """Bytes of any kind never raise, at the beginning of a stream or in its middle."""
    bridge = BRIDGES[pair]
    named = pair[1] == "messages"
    good = [rendered([event], named=named) for event in STREAMS[pair[1]]["everything"].events]
    odd = st.binary(max_size=20) | st.sampled_from(
        [
            b"data:",
            b"event: error\n",
            b"\n\n",
            b"\r",
            b"{",
            b'{"type":"ping"}',
            b"[DONE]",
            b"\xef\xbb\xbf",
            b"NaN",
        ]
    )
    chunks = data.draw(st.lists(st.sampled_from(good) | odd, max_size=12))

    fed(bridge.stream(bridge.question(QUESTION, "target", 7)), chunks)


DEEP: Final = b'{"a":' * 900 + b"1" + b"}" * 900


@each_bridge
@pytest.mark.parametrize("odd", [DEEP, b"[" * 900 + b"]" * 900, b'"\\ud800"', b"1e308", b"1" * 400, b"NaN"])
def test_odd_json_in_every_place(pair: Pair, odd: bytes) -> None:
    """Values that parsers differ about never raise, wherever they are in an event."""
    bridge = BRIDGES[pair]
    mark = "\U000f0000"
    for event in STREAMS[pair[1]]["everything"].events:
        if isinstance(event, bytes):
            continue
        for at in range(len(leaves(event))):
            copy: Json = orjson.loads(orjson.dumps(event))
            holder, key = leaves(copy)[at]
            holder[key] = mark
            data = orjson.dumps(copy).replace(b'"' + mark.encode() + b'"', odd)
            fed(bridge.stream(bridge.question(QUESTION, "target", 7)), [b"data: " + data + b"\n\n"])


def leaves(value: Any) -> list[tuple[Any, Any]]:
    """Each object or list in a value, with each of its keys or indexes."""
    keys = keys_of(value)
    return [(value, key) for key in keys] + [each for key in keys for each in leaves(value[key])]


@each_bridge
def test_an_event_may_be_too_large(pair: Pair) -> None:
    """An event beyond the bound raises EventTooLarge, and nothing else does."""
    bridge = BRIDGES[pair]
    with pytest.raises(EventTooLarge):
        bridge.stream(bridge.question(QUESTION, "target", 7)).feed(b"data: " + b"x" * MAX_EVENT)
