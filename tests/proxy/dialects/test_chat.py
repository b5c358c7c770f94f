"""Tests of the meaning of each chunk of a chat completion, for OpenAI and compatible servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from standby.proxy.dialects.base import RequestDocument, Signal
from standby.proxy.dialects.chat import OPERATION, ChatReader
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

ERROR = {"message": "The server had an error.", "type": "server_error", "param": None, "code": "overloaded"}


def chunk(*choices: dict[str, Any], **members: Any) -> bytes:
    """A chunk in the form of the SDK's own type, with every optional member present and null."""
    value = {
        "id": "chatcmpl-CQ1jT6",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": "gpt-4.1-2025-04-14",
        "choices": [{"index": 0, **choice} for choice in choices],
        **members,
    }
    return ChatCompletionChunk.model_validate(value).model_dump_json().encode()


def delta(**members: Any) -> dict[str, Any]:
    """A choice with this delta and without a finish reason."""
    return {"delta": members, "finish_reason": None}


def finish(reason: str, **members: Any) -> dict[str, Any]:
    """A choice with this finish reason."""
    return {"delta": members, "finish_reason": reason}


CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "now", "arguments": ""}}
AZURE_FIRST = (
    b'{"choices":[],"created":0,"id":"","model":"","object":"",'
    b'"prompt_filter_results":[{"prompt_index":0,"content_filter_results":{"hate":{"filtered":false}}}]}'
)
OPENROUTER_FAILED = (
    b'{"id":"gen-1","object":"chat.completion.chunk","created":1,"model":"m","provider":"p",'
    b'"error":{"code":"server_error","message":"Provider disconnected"},'
    b'"choices":[{"index":0,"delta":{"content":""},"finish_reason":"error"}]}'
)
EVENTS = {
    "role only": (chunk(delta(role="assistant", content="")), Signal.NOTHING),
    "empty delta": (chunk(delta()), Signal.NOTHING),
    "null content": (chunk(delta(content=None)), Signal.NOTHING),
    "filter results first, as Azure": (AZURE_FIRST, Signal.NOTHING),
    "usage only": (
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
        Signal.NOTHING,
    ),
    "text": (chunk(delta(content="Hello")), Signal.CONTENT),
    "white space": (chunk(delta(content="\n")), Signal.CONTENT),
    "refusal": (chunk(delta(refusal="I cannot")), Signal.CONTENT),
    "tool call": (chunk(delta(role="assistant", content=None, tool_calls=[CALL])), Signal.CONTENT),
    "legacy function call": (chunk(delta(function_call={"name": "now", "arguments": ""})), Signal.CONTENT),
    "audio": (chunk(delta(audio={"id": "audio_1", "data": "UklGRg=="})), Signal.CONTENT),
    "reasoning, as DeepSeek": (b'{"choices":[{"delta":{"reasoning_content":"Hm"}}]}', Signal.CONTENT),
    "reasoning, as OpenRouter": (b'{"choices":[{"delta":{"reasoning":"Hm"}}]}', Signal.CONTENT),
    "content in parts, as Mistral": (
        b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[]}]}}]}',
        Signal.CONTENT,
    ),
    "second choice only": (chunk(delta(), {"index": 1, **delta(content="B")}), Signal.CONTENT),
    "stop": (chunk(finish("stop")), Signal.FINISH),
    "length": (chunk(finish("length")), Signal.FINISH),
    "filtered": (chunk(finish("content_filter")), Signal.FINISH),
    "text and stop at once": (chunk(finish("stop", content="Hi")), Signal.FINISH),
    "one ends, another goes on": (chunk(finish("stop"), {"index": 1, **delta(content="B")}), Signal.FINISH),
    "empty finish reason": (b'{"choices":[{"delta":{"content":""},"finish_reason":""}]}', Signal.NOTHING),
    "end": (b"[DONE]", Signal.END),
    "end in spaces": (b"  [DONE] \r", Signal.END),
    "not quite the end": (b"[DONE] or not", Signal.NOTHING),
    "error object": (orjson.dumps({"error": ERROR}), Signal.ERROR),
    "error beside no choices, as vLLM": (orjson.dumps({"choices": [], "error": ERROR}), Signal.ERROR),
    "error as text": (b'{"error":"overloaded"}', Signal.ERROR),
    "error as finish reason": (b'{"choices":[{"delta":{},"finish_reason":"error"}]}', Signal.ERROR),
    "both errors, as OpenRouter": (OPENROUTER_FAILED, Signal.ERROR),
    "no error": (b'{"error":null,"choices":[{"delta":{"content":"x"}}]}', Signal.CONTENT),
    "broken JSON": (b'{"choices":[{"delta":{"content":"Hel', Signal.NOTHING),
    "nothing": (b"", Signal.NOTHING),
    "no object": (b'["choices"]', Signal.NOTHING),
    "wrong types": (b'{"choices":{"delta":1},"usage":[],"id":3,"model":{}}', Signal.NOTHING),
    "wrong types within": (b'{"choices":[1,null,{"delta":[],"finish_reason":null}]}', Signal.NOTHING),
}


@pytest.mark.parametrize(("data", "sign"), EVENTS.values(), ids=EVENTS)
def test_event(data: bytes, sign: Signal) -> None:
    """A chunk is classified by its content."""
    assert sign is ChatReader().event(b"", data)


def test_event_named_error() -> None:
    """An event named "error" is an error, even if its data does not say so or is not JSON."""
    reader = ChatReader()
    assert reader.event(b"error", b'{"message":"full","code":503}') is Signal.ERROR
    assert reader.error == {"message": "full", "code": 503}
    assert ChatReader().event(b"error", b"upstream full") is Signal.ERROR


def test_identity() -> None:
    """Model and id are the first values that are not empty."""
    reader = ChatReader()
    reader.event(b"", AZURE_FIRST)
    reader.event(b"", chunk(delta(role="assistant")))
    reader.event(b"", b'{"id":"other","model":"other","choices":[]}')
    assert (reader.model, reader.answer_id) == ("gpt-4.1-2025-04-14", "chatcmpl-CQ1jT6")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_finish(reason: str) -> None:
    """The finish reason is kept."""
    reader = ChatReader()
    reader.event(b"", chunk(finish(reason)))
    assert reason == reader.finish


FULL_USAGE = {
    "prompt_tokens": 1200,
    "completion_tokens": 300,
    "total_tokens": 1500,
    "prompt_tokens_details": {"cached_tokens": 1024, "cache_write_tokens": 64, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 200},
}
PLAIN_USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
PLAIN = Usage(input=9, output=3)
USAGES: dict[str, tuple[bytes, Usage | None]] = {
    "last chunk": (chunk(usage=FULL_USAGE), Usage(1200, 300, cached=1024, cache_write=64, reasoning=200)),
    "with the finish": (chunk(finish("stop"), usage=PLAIN_USAGE), PLAIN),
    "with an empty delta": (chunk(delta(), usage=PLAIN_USAGE), PLAIN),
    "zero": (
        chunk(usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}),
        Usage(input=0, output=0),
    ),
    "in the choice, as Moonshot": (
        orjson.dumps({"choices": [{"delta": {}, "finish_reason": "stop", "usage": PLAIN_USAGE}]}),
        PLAIN,
    ),
    "under its own name, as Groq": (
        orjson.dumps({"choices": [finish("stop")], "x_groq": {"usage": PLAIN_USAGE}}),
        PLAIN,
    ),
    "reasoning beside the completion, as xAI": (
        orjson.dumps(
            {
                "choices": [],
                "usage": {
                    "prompt_tokens": 10,
                    "completion_tokens": 5,
                    "total_tokens": 115,
                    "completion_tokens_details": {"reasoning_tokens": 100},
                },
            }
        ),
        Usage(input=10, output=105, reasoning=100),
    ),
    "null": (chunk(usage=None), None),
    "wrong types": (b'{"usage":{"prompt_tokens":"9","completion_tokens":true}}', None),
    "null details": (
        b'{"usage":{"prompt_tokens":9,"completion_tokens":0,"prompt_tokens_details":null}}',
        Usage(input=9, output=0),
    ),
    "half": (b'{"usage":{"prompt_tokens":9,"completion_tokens":null}}', None),
}


@pytest.mark.parametrize(("data", "usage"), USAGES.values(), ids=USAGES)
def test_usage(data: bytes, usage: Usage | None) -> None:
    """Usage is read from every known place."""
    reader = ChatReader()
    reader.event(b"", data)
    assert usage == reader.usage


def test_usage_stays() -> None:
    """A later chunk without usage does not remove the usage."""
    reader = ChatReader()
    reader.event(b"", chunk(delta(content="a"), usage=PLAIN_USAGE))
    reader.event(b"", chunk(delta(content="b"), usage=None))
    assert reader.usage == PLAIN


COMPLETION = ChatCompletion.model_validate(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1767225600,
        "model": "gpt-4.1-2025-04-14",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "length"}
        ],
        "usage": FULL_USAGE,
    }
).model_dump(mode="json")
DOCUMENTS: dict[str, tuple[object, Signal]] = {
    "completion": (COMPLETION, Signal.CONTENT),
    "no choices": ({**COMPLETION, "choices": []}, Signal.NOTHING),
    "choices of no list": ({**COMPLETION, "choices": {}}, Signal.NOTHING),
    "error": ({"error": ERROR}, Signal.ERROR),
    "error as text": ({"error": "full"}, Signal.ERROR),
    "null error": ({**COMPLETION, "error": None}, Signal.CONTENT),
    "error as finish reason": ({"choices": [{"message": {}, "finish_reason": "error"}]}, Signal.ERROR),
    "something else": ({"object": "list", "data": []}, Signal.NOTHING),
    "a list": ([COMPLETION], Signal.NOTHING),
    "nothing": (None, Signal.NOTHING),
}


@pytest.mark.parametrize(("value", "sign"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_document(value: object, sign: Signal) -> None:
    """A whole answer needs at least one choice."""
    assert sign is ChatReader().document(value)


def test_document_facts() -> None:
    """A whole answer has the usage, the model and the finish reason."""
    reader = ChatReader()
    reader.document(COMPLETION)
    assert reader.usage == Usage(1200, 300, cached=1024, cache_write=64, reasoning=200)
    assert (reader.model, reader.answer_id, reader.finish) == (
        "gpt-4.1-2025-04-14",
        "chatcmpl-1",
        "length",
    )


@pytest.mark.parametrize(
    ("error", "kept"),
    [(ERROR, ERROR), ("full", {"code": "full", "message": "full"}), (503, {}), ([1], {})],
)
def test_error_is_kept(error: object, kept: object) -> None:
    """The provider's error is kept as an object, for any type of error."""
    reader = ChatReader()
    reader.event(b"", orjson.dumps({"error": error}))
    assert kept == reader.error


FILE = {"type": "file", "file": {"file_id": "file-abc"}}
BOUND: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({"messages": [{"role": "user", "content": "hi"}]}, False),
    "stored": ({"store": True}, False),
    "not stored": ({"store": False}, False),
    "store left open": ({"store": None}, False),
    "a file": ({"messages": [{"role": "user", "content": [FILE]}]}, True),
    "a file inline": (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_data": "x"}}]}]},
        False,
    ),
    "null file": (
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": None}}]}]},
        False,
    ),
    "audio the provider keeps": ({"messages": [{"role": "assistant", "audio": {"id": "audio_1"}}]}, True),
    "asks for audio": ({"audio": {"voice": "alloy", "format": "wav"}, "messages": []}, False),
    "a tool's own argument": (
        {
            "messages": [],
            "tools": [
                {
                    "type": "function",
                    "function": {"parameters": {"properties": {"file_id": {"type": "string"}}}},
                }
            ],
        },
        False,
    ),
    "metadata": ({"messages": [], "metadata": {"file_id": "file-abc"}}, False),
    "no list": ({"messages": {"file_id": 1}}, False),
}


@pytest.mark.parametrize(("value", "bound"), BOUND.values(), ids=BOUND)
def test_bound(
    parse: Callable[[dict[str, Any]], RequestDocument], value: dict[str, Any], bound: bool
) -> None:
    """A request is bound to one provider only if it refers to state stored there."""
    assert bound is OPERATION.bound(parse(value))
