"""Tests of the meaning of each event of a response, in OpenAI's format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseFailedEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseImageGenCallPartialImageEvent,
    ResponseIncompleteEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseTextDeltaEvent,
)
from standby.proxy.dialects.base import RequestDocument, Signal
from standby.proxy.dialects.responses import OPERATION, ResponsesReader
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

USAGE = {
    "input_tokens": 1200,
    "input_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 64},
    "output_tokens": 300,
    "output_tokens_details": {"reasoning_tokens": 200},
    "total_tokens": 1500,
}
READ = Usage(input=1200, output=300, cached=1024, cache_write=64, reasoning=200)
ITEM: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
}
CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "now", "arguments": ""}


def response(status: str, **members: Any) -> dict[str, Any]:
    """A response object with every member the SDK's type has."""
    value: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1767225600,
        "model": "gpt-4.1-2025-04-14",
        "status": status,
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        **members,
    }
    return Response.model_validate(value).model_dump(mode="json")


def event(kind: type[Any], name: str, **members: Any) -> tuple[bytes, bytes]:
    """Name and data of an event in the form of the SDK's own type."""
    value = {"type": name, "sequence_number": 7, **members}
    return name.encode(), kind.model_validate(value).model_dump_json().encode()


def raw(name: str, **members: Any) -> tuple[bytes, bytes]:
    """Name and data of an event with exactly these members."""
    return name.encode(), orjson.dumps({"type": name, "sequence_number": 7, **members})


def text(delta: str) -> tuple[bytes, bytes]:
    """A text delta."""
    return event(
        ResponseTextDeltaEvent,
        "response.output_text.delta",
        item_id="msg_1",
        output_index=0,
        content_index=0,
        delta=delta,
        logprobs=[],
    )


CREATED = event(ResponseCreatedEvent, "response.created", response=response("in_progress"))
COMPLETED = event(
    ResponseCompletedEvent,
    "response.completed",
    response=response("completed", output=[ITEM], usage=USAGE),
)
INCOMPLETE = event(
    ResponseIncompleteEvent,
    "response.incomplete",
    response=response("incomplete", incomplete_details={"reason": "max_output_tokens"}, usage=USAGE),
)
FAILED = event(
    ResponseFailedEvent,
    "response.failed",
    response=response("failed", error={"code": "server_error", "message": "Sorry."}),
)


def added(**item: Any) -> tuple[bytes, bytes]:
    """`response.output_item.added`."""
    return event(ResponseOutputItemAddedEvent, "response.output_item.added", output_index=0, item=item)


EVENTS = {
    "created": (CREATED, Signal.NOTHING),
    "in progress": (raw("response.in_progress", response=response("in_progress")), Signal.NOTHING),
    "queued": (raw("response.queued", response=response("queued")), Signal.NOTHING),
    "keepalive": (raw("keepalive"), Signal.NOTHING),
    "message begins": (added(**{**ITEM, "status": "in_progress", "content": []}), Signal.NOTHING),
    "reasoning begins": (added(type="reasoning", id="rs_1", summary=[]), Signal.NOTHING),
    "tool call begins": (added(**CALL), Signal.CONTENT),
    "web search begins": (
        raw("response.output_item.added", item={"type": "web_search_call", "id": "ws_1"}),
        Signal.WORK,
    ),
    "part begins": (raw("response.content_part.added", part={"type": "output_text"}), Signal.NOTHING),
    "text": (text("Hello"), Signal.CONTENT),
    "empty text": (text(""), Signal.NOTHING),
    "refusal": (raw("response.refusal.delta", delta="I cannot"), Signal.CONTENT),
    "arguments": (
        event(
            ResponseFunctionCallArgumentsDeltaEvent,
            "response.function_call_arguments.delta",
            item_id="fc_1",
            output_index=0,
            delta='{"ci',
        ),
        Signal.CONTENT,
    ),
    "reasoning summary": (raw("response.reasoning_summary_text.delta", delta="Hm"), Signal.WORK),
    "reasoning": (raw("response.reasoning_text.delta", delta="Hm"), Signal.CONTENT),
    "audio": (raw("response.audio.delta", delta="UklGRg=="), Signal.CONTENT),
    "a delta of a kind to come": (raw("response.hologram.delta", delta={"x": 1}), Signal.CONTENT),
    "part of an image": (
        event(
            ResponseImageGenCallPartialImageEvent,
            "response.image_generation_call.partial_image",
            item_id="ig_1",
            output_index=0,
            partial_image_b64="UklGRg==",
            partial_image_index=0,
        ),
        Signal.CONTENT,
    ),
    "item ends": (
        event(ResponseOutputItemDoneEvent, "response.output_item.done", output_index=0, item=ITEM),
        Signal.CONTENT,
    ),
    "text ends": (raw("response.output_text.done", text="Hello"), Signal.NOTHING),
    "completed": (COMPLETED, Signal.END),
    "incomplete": (INCOMPLETE, Signal.END),
    "failed": (FAILED, Signal.ERROR),
    "error": (
        event(ResponseErrorEvent, "error", code="rate_limit_exceeded", message="Slow", param=None),
        Signal.ERROR,
    ),
    "error as an object": (raw("error", error={"type": "insufficient_quota"}), Signal.ERROR),
    "error of no type": ((b"", b'{"error":{"message":"full"}}'), Signal.ERROR),
    "error that is no JSON": ((b"error", b"upstream full"), Signal.ERROR),
    "type only in the name": ((b"response.completed", b'{"response":{}}'), Signal.END),
    "[DONE], which some servers add": ((b"", b"[DONE]"), Signal.NOTHING),
    "broken JSON": ((b"response.output_text.delta", b'{"type":"response.outp'), Signal.NOTHING),
    "nothing": ((b"response.completed", b""), Signal.NOTHING),
    "no object": ((b"response.completed", b"7"), Signal.NOTHING),
    "wrong types": ((b"response.created", b'{"response":[],"sequence_number":"x"}'), Signal.NOTHING),
    "wrong types within": ((b"", b'{"type":"response.output_item.added","item":[]}'), Signal.NOTHING),
    "no type": ((b"", b'{"type":7,"delta":"x"}'), Signal.NOTHING),
}


@pytest.mark.parametrize(("sent", "sign"), EVENTS.values(), ids=EVENTS)
def test_event(sent: tuple[bytes, bytes], sign: Signal) -> None:
    """An event is content only if it has output of the model; the start of a call is."""
    assert sign is ResponsesReader().event(*sent)


@pytest.mark.parametrize(
    ("sent", "usage", "finish"),
    [(CREATED, None, None), (COMPLETED, READ, "completed"), (INCOMPLETE, READ, "max_output_tokens")],
)
def test_facts(sent: tuple[bytes, bytes], usage: Usage | None, finish: str | None) -> None:
    """The response object in an event has the usage, the model and the finish reason."""
    reader = ResponsesReader()
    reader.event(*sent)
    assert (reader.usage, reader.finish) == (usage, finish)
    assert (reader.model, reader.answer_id) == ("gpt-4.1-2025-04-14", "resp_1")


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (FAILED, {"code": "server_error", "message": "Sorry."}),
        (raw("error", error={"type": "insufficient_quota"}), {"type": "insufficient_quota"}),
        (
            raw("error", code="rate_limit_exceeded", message="Slow"),
            {"type": "error", "sequence_number": 7, "code": "rate_limit_exceeded", "message": "Slow"},
        ),
        (raw("response.failed", response={"error": None}), {}),
    ],
)
def test_error_is_kept(sent: tuple[bytes, bytes], error: dict[str, Any]) -> None:
    """The provider's error is kept as an object, from every known place."""
    reader = ResponsesReader()
    reader.event(*sent)
    assert reader.error is not None
    assert error == {key: value for key, value in reader.error.items() if value is not None}


DOCUMENTS: dict[str, tuple[object, Signal]] = {
    "completed": (response("completed", output=[ITEM], usage=USAGE), Signal.CONTENT),
    "queued in the background": (response("queued"), Signal.CONTENT),
    "incomplete": (response("incomplete"), Signal.CONTENT),
    "failed": (response("failed", error={"code": "server_error", "message": "Sorry."}), Signal.ERROR),
    "failed without a reason": (response("failed"), Signal.ERROR),
    "error": ({"error": {"message": "full"}}, Signal.ERROR),
    "output only": ({"output": []}, Signal.CONTENT),
    "something else": ({"object": "list", "data": []}, Signal.NOTHING),
    "wrong types": ({"output": {}, "status": 1}, Signal.NOTHING),
    "a list": ([], Signal.NOTHING),
    "nothing": (None, Signal.NOTHING),
}


@pytest.mark.parametrize(("value", "sign"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_document(value: object, sign: Signal) -> None:
    """A whole answer has an output or a status, and has not failed."""
    assert sign is ResponsesReader().document(value)


def test_document_facts() -> None:
    """A whole answer has the usage, the model and the finish reason."""
    reader = ResponsesReader()
    reader.document(response("completed", output=[ITEM], usage=USAGE))
    assert reader.usage == READ
    assert (reader.model, reader.answer_id, reader.finish) == (
        "gpt-4.1-2025-04-14",
        "resp_1",
        "completed",
    )


def test_broken_goes_on_counting() -> None:
    """The event that ends a broken stream has the next sequence number and the id of its response."""
    reader = ResponsesReader()
    reader.event(*CREATED)
    reader.event(*raw("response.output_text.delta", delta="Hi", sequence_number=41))
    head, data = reader.broken("upstream_stall", "It stopped.", "req_1").rstrip().split(b"\ndata: ")
    assert head == b"\n\nevent: response.failed"
    value = ResponseFailedEvent.model_validate(orjson.loads(data))
    assert value.sequence_number == 42
    assert (value.response.id, value.response.status) == ("resp_1", "failed")
    assert value.response.created_at == 1767225600


def test_broken_before_anything() -> None:
    """For a stream that broke before its id was known, the id is our own request id."""
    data = ResponsesReader().broken("upstream_stall", "It stopped.", "req_1").split(b"data: ")[1]
    value = orjson.loads(data)
    assert value["sequence_number"] == 0
    assert value["response"]["id"] == "req_1"


def tool(**members: Any) -> dict[str, Any]:
    """A request with one tool."""
    return {"input": "hi", "tools": [members]}


BOUND: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({"input": "hi"}, False),
    "continues": ({"input": "hi", "previous_response_id": "resp_1"}, True),
    "continues nothing": ({"input": "hi", "previous_response_id": None}, False),
    "conversation": ({"input": "hi", "conversation": "conv_1"}, True),
    "conversation as an object": ({"input": "hi", "conversation": {"id": "conv_1"}}, True),
    "stored prompt": ({"prompt": {"id": "pmpt_1", "variables": {}}}, True),
    "no prompt": ({"input": "hi", "prompt": None}, False),
    "stored": ({"input": "hi", "store": True}, False),
    "not stored": ({"input": "hi", "store": False}, False),
    "store left open": ({"input": "hi", "store": None}, False),
    "a stored item": ({"input": [{"type": "item_reference", "id": "msg_1"}]}, True),
    "a stored item without a type": ({"input": [{"id": "msg_1"}]}, True),
    "an item that is all there": ({"input": [{"id": "msg_1", "role": "user", "content": "hi"}]}, False),
    "reasoning that is all there": (
        {"input": [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}]},
        False,
    ),
    "a file": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]},
        True,
    ),
    "an image by address": (
        {
            "input": [
                {
                    "role": "user",
                    "content": [{"type": "input_image", "image_url": "data:,", "file_id": None}],
                }
            ]
        },
        False,
    ),
    "vector store": (tool(type="file_search", vector_store_ids=["vs_1"]), True),
    "container": (tool(type="code_interpreter", container="cntr_1"), True),
    "new container": (tool(type="code_interpreter", container={"type": "auto"}), False),
    "new container, no files": (
        tool(type="code_interpreter", container={"type": "auto", "file_ids": []}),
        False,
    ),
    "new container with files": (
        tool(type="code_interpreter", container={"type": "auto", "file_ids": ["file-1"]}),
        True,
    ),
    "shell in a container": (
        tool(type="shell", environment={"type": "container_reference", "container_id": "cntr_1"}),
        True,
    ),
    "a tool's own argument": (
        tool(
            type="function",
            name="read",
            parameters={"required": ["file_id"], "properties": {"file_id": {"type": "string"}}},
        ),
        False,
    ),
    "metadata": ({"input": "hi", "metadata": {"file_id": "file-1"}}, False),
    "no lists": ({"input": 7, "tools": {}, "prompt": "p"}, False),
}


@pytest.mark.parametrize(("value", "bound"), BOUND.values(), ids=BOUND)
def test_bound(
    parse: Callable[[dict[str, Any]], RequestDocument], value: dict[str, Any], bound: bool
) -> None:
    """A request is bound to one provider only if it refers to state stored there."""
    assert bound is OPERATION.bound(parse(value))
