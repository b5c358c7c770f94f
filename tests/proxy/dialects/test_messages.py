"""Tests of the meaning of each event of a message, in Anthropic's format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from anthropic.types import (
    Message,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
)
from standby.proxy.dialects.base import RequestDocument, Signal
from standby.proxy.dialects.messages import OPERATION, MessagesReader
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

MESSAGE: dict[str, Any] = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {
        "input_tokens": 25,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 1000,
        "output_tokens": 1,
    },
}
ERROR = {"type": "overloaded_error", "message": "Overloaded"}

START = RawMessageStartEvent.model_validate({"type": "message_start", "message": MESSAGE}).model_dump_json()


def begin(**block: Any) -> bytes:
    """`content_block_start`, in the form of the SDK's own type."""
    value = {"type": "content_block_start", "index": 0, "content_block": block}
    return RawContentBlockStartEvent.model_validate(value).model_dump_json().encode()


def delta(**members: Any) -> bytes:
    """`content_block_delta`, in the form of the SDK's own type."""
    value = {"type": "content_block_delta", "index": 0, "delta": members}
    return RawContentBlockDeltaEvent.model_validate(value).model_dump_json().encode()


def stop(reason: str | None, **usage: Any) -> bytes:
    """`message_delta`, in the form of the SDK's own type."""
    value = {
        "type": "message_delta",
        "delta": {"stop_reason": reason, "stop_sequence": None},
        "usage": {"output_tokens": 15, **usage},
    }
    return RawMessageDeltaEvent.model_validate(value).model_dump_json().encode()


CITATION = {
    "type": "char_location",
    "cited_text": "x",
    "document_index": 0,
    "document_title": None,
    "start_char_index": 0,
    "end_char_index": 1,
}
EVENTS = {
    "start": (b"message_start", START.encode(), Signal.NOTHING),
    "ping": (b"ping", b'{"type": "ping"}', Signal.NOTHING),
    "text begins": (b"content_block_start", begin(type="text", text=""), Signal.NOTHING),
    "text begins with text": (b"content_block_start", begin(type="text", text="Hi"), Signal.CONTENT),
    "thinking begins": (
        b"content_block_start",
        begin(type="thinking", thinking="", signature=""),
        Signal.NOTHING,
    ),
    "hidden thinking": (b"content_block_start", begin(type="redacted_thinking", data="Em=="), Signal.CONTENT),
    "tool call begins": (
        b"content_block_start",
        begin(type="tool_use", id="toolu_1", name="now", input={}),
        Signal.CONTENT,
    ),
    "server tool begins": (
        b"content_block_start",
        begin(type="server_tool_use", id="srvtoolu_1", name="web_search", input={}),
        Signal.WORK,
    ),
    "server tool answers": (
        b"content_block_start",
        begin(type="web_search_tool_result", tool_use_id="srvtoolu_1", content=[]),
        Signal.WORK,
    ),
    "text": (b"content_block_delta", delta(type="text_delta", text="Hello"), Signal.CONTENT),
    "empty text": (b"content_block_delta", delta(type="text_delta", text=""), Signal.NOTHING),
    "arguments": (
        b"content_block_delta",
        delta(type="input_json_delta", partial_json='{"ci'),
        Signal.CONTENT,
    ),
    "empty arguments": (
        b"content_block_delta",
        delta(type="input_json_delta", partial_json=""),
        Signal.NOTHING,
    ),
    "thinking": (b"content_block_delta", delta(type="thinking_delta", thinking="Hm"), Signal.CONTENT),
    "signature": (b"content_block_delta", delta(type="signature_delta", signature="Eq=="), Signal.CONTENT),
    "citation": (b"content_block_delta", delta(type="citations_delta", citation=CITATION), Signal.CONTENT),
    "block ends": (b"content_block_stop", b'{"type":"content_block_stop","index":0}', Signal.NOTHING),
    "stop reason": (b"message_delta", stop("end_turn"), Signal.FINISH),
    "refusal": (b"message_delta", stop("refusal"), Signal.FINISH),
    "no stop reason yet": (b"message_delta", stop(None), Signal.NOTHING),
    "end": (b"message_stop", b'{"type":"message_stop"}', Signal.END),
    "error": (b"error", orjson.dumps({"type": "error", "error": ERROR}), Signal.ERROR),
    "error without a name": (b"", orjson.dumps({"type": "error", "error": ERROR}), Signal.ERROR),
    "error of another dialect": (b"", orjson.dumps({"error": ERROR}), Signal.ERROR),
    "error that is no JSON": (b"error", b"upstream connect error", Signal.ERROR),
    "unknown event": (b"future", b'{"type":"future","delta":{"text":"x"}}', Signal.NOTHING),
    "broken JSON": (b"content_block_delta", b'{"type":"content_block_delta","delta":{"te', Signal.NOTHING),
    "nothing": (b"message_stop", b"", Signal.NOTHING),
    "no object": (b"message_stop", b"[]", Signal.NOTHING),
    "wrong types": (b"", b'{"type":"message_start","message":[]}', Signal.NOTHING),
    "wrong types within": (b"", b'{"type":"content_block_delta","delta":"x"}', Signal.NOTHING),
    "no block": (b"", b'{"type":"content_block_start","content_block":7}', Signal.NOTHING),
    "no reason": (b"", b'{"type":"message_delta","delta":{"stop_reason":7},"usage":7}', Signal.NOTHING),
    "no type": (b"", b'{"type":{}}', Signal.NOTHING),
}


@pytest.mark.parametrize(("name", "data", "sign"), EVENTS.values(), ids=EVENTS)
def test_event(name: bytes, data: bytes, sign: Signal) -> None:
    """An event is content only if it has output of the model."""
    assert sign is MessagesReader().event(name, data)


def test_usage_of_start() -> None:
    """The input is the sum of uncached tokens, tokens read from the cache, and tokens written to it."""
    reader = MessagesReader()
    reader.event(b"message_start", START.encode())
    assert reader.usage == Usage(input=1125, output=1, cached=1000, cache_write=100)
    assert (reader.model, reader.answer_id) == (MESSAGE["model"], MESSAGE["id"])
    assert reader.finish is None


def test_usage_of_the_whole() -> None:
    """`message_delta` has cumulative counts: they replace earlier ones, and missing ones stay."""
    reader = MessagesReader()
    reader.event(b"message_start", START.encode())
    reader.event(b"message_delta", stop("tool_use", output_tokens_details={"thinking_tokens": 12}))
    assert reader.usage == Usage(input=1125, output=15, cached=1000, cache_write=100, reasoning=12)
    reader.event(b"message_delta", stop("end_turn", output_tokens=40, input_tokens=30))
    assert reader.usage == Usage(input=1130, output=40, cached=1000, cache_write=100, reasoning=12)
    assert reader.finish == "end_turn"


ANSWER = Message.model_validate(
    {**MESSAGE, "content": [{"type": "text", "text": "Hi"}], "stop_reason": "max_tokens"}
).model_dump(mode="json")
DOCUMENTS: dict[str, tuple[object, Signal]] = {
    "message": (ANSWER, Signal.CONTENT),
    "empty message": ({**ANSWER, "content": []}, Signal.CONTENT),
    "content of no list": ({**ANSWER, "content": "Hi"}, Signal.NOTHING),
    "no type": ({"content": []}, Signal.NOTHING),
    "error": ({"type": "error", "error": ERROR, "request_id": "req_1"}, Signal.ERROR),
    "error of another dialect": ({"error": ERROR}, Signal.ERROR),
    "error of no kind": ({"type": "error"}, Signal.ERROR),
    "something else": ({"input_tokens": 3}, Signal.NOTHING),
    "a list": ([ANSWER], Signal.NOTHING),
    "nothing": (None, Signal.NOTHING),
}


@pytest.mark.parametrize(("value", "sign"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_document(value: object, sign: Signal) -> None:
    """A whole answer is a message with a list of content."""
    assert sign is MessagesReader().document(value)


@pytest.mark.parametrize(
    "usage", [None, {}, {"output_tokens": None}, {"output_tokens": -5}, {"output_tokens": "five"}]
)
def test_an_end_without_usage(usage: dict[str, Any] | None) -> None:
    """The output count of `message_start` is not the final one, and is not used if there is no later one."""
    reader = MessagesReader()
    reader.event(b"message_start", START.encode())
    event = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}
    assert reader.event(b"message_delta", orjson.dumps(event)) is Signal.FINISH
    assert reader.usage is None
    reader.event(b"message_delta", b'{"type":"message_delta","usage":{"input_tokens":30}}')
    assert reader.usage is None
    reader.event(b"message_delta", b'{"type":"message_delta","usage":{"output_tokens":40}}')
    assert reader.usage == Usage(input=1130, output=40, cached=1000, cache_write=100)


@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "cache_read_input_tokens"])
def test_half_a_usage_is_none(name: str) -> None:
    """If one part of the usage is invalid, there is no usage, since the rest would be billed as the whole."""
    reader = MessagesReader()
    reader.document({**MESSAGE, "usage": {**MESSAGE["usage"], name: "seven"}})
    assert reader.usage is None


def test_document_facts() -> None:
    """A whole answer has the usage, the model and the stop reason."""
    reader = MessagesReader()
    reader.document(ANSWER)
    assert reader.usage == Usage(input=1125, output=1, cached=1000, cache_write=100)
    assert (reader.model, reader.answer_id) == (MESSAGE["model"], MESSAGE["id"])
    assert reader.finish == "max_tokens"


def test_error_is_kept() -> None:
    """The provider's error object is kept."""
    reader = MessagesReader()
    reader.event(b"error", orjson.dumps({"type": "error", "error": ERROR}))
    assert reader.error == ERROR


def user(*blocks: dict[str, Any]) -> dict[str, Any]:
    """A request with one turn of these blocks."""
    return {"messages": [{"role": "user", "content": list(blocks)}]}


SOURCE = {"type": "file", "file_id": "file_011CNha8iCJcU1wXNR6q4V8w"}
BOUND: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({"messages": [{"role": "user", "content": "hi"}]}, False),
    "a document by id": (user({"type": "document", "source": SOURCE}), True),
    "an image by id": (user({"type": "image", "source": SOURCE}), True),
    "an image by address": (
        user({"type": "image", "source": {"type": "url", "url": "https://a.example/x.png"}}),
        False,
    ),
    "a file for the container": (user({"type": "container_upload", "file_id": "file_1"}), True),
    "a file in a tool's result": (
        user(
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "content": [{"type": "document", "source": SOURCE}],
            }
        ),
        True,
    ),
    "a tool's own argument": (
        user({"type": "tool_use", "id": "toolu_1", "name": "read", "input": {"file_id": "abc"}}),
        False,
    ),
    "a tool's schema": (
        {
            **user(),
            "tools": [{"name": "read", "input_schema": {"properties": {"file_id": {"type": "string"}}}}],
        },
        False,
    ),
    "a container": ({**user(), "container": "container_011"}, True),
    "a container with skills": (
        {**user(), "container": {"id": "container_011", "skills": []}},
        True,
    ),
    "a new container": (
        {**user(), "container": {"skills": [{"type": "anthropic", "skill_id": "pptx"}]}},
        False,
    ),
    "a skill of one's own": (
        {**user(), "container": {"id": None, "skills": [{"type": "custom", "skill_id": "skill_01"}]}},
        True,
    ),
    "no container": ({**user(), "container": None}, False),
    "no list": ({"messages": None, "container": 3}, False),
}


@pytest.mark.parametrize(("value", "bound"), BOUND.values(), ids=BOUND)
def test_bound(
    parse: Callable[[dict[str, Any]], RequestDocument], value: dict[str, Any], bound: bool
) -> None:
    """A request is bound to one provider only if it refers to state stored there."""
    assert bound is OPERATION.bound(parse(value))
