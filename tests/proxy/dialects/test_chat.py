"""What each chunk of a chat completion means, as OpenAI and servers like it send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from standby.proxy.dialects.base import RequestDocument, Sign
from standby.proxy.dialects.chat import OPERATION, ChatReading
from standby.proxy.dialects.usage import Usage

__all__: list[str] = []

ERROR = {"message": "The server had an error.", "type": "server_error", "param": None, "code": "overloaded"}


def chunk(*choices: dict[str, Any], **members: Any) -> bytes:
    """A chunk as the SDK's own type writes it, every optional member present and null."""
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
    """A choice that brings this delta and goes on."""
    return {"delta": members, "finish_reason": None}


def finish(reason: str, **members: Any) -> dict[str, Any]:
    """A choice that ends for this reason."""
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
    "role only": (chunk(delta(role="assistant", content="")), Sign.NOTHING),
    "empty delta": (chunk(delta()), Sign.NOTHING),
    "null content": (chunk(delta(content=None)), Sign.NOTHING),
    "filter results first, as Azure": (AZURE_FIRST, Sign.NOTHING),
    "usage only": (
        chunk(usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}),
        Sign.NOTHING,
    ),
    "text": (chunk(delta(content="Hello")), Sign.CONTENT),
    "white space": (chunk(delta(content="\n")), Sign.CONTENT),
    "refusal": (chunk(delta(refusal="I cannot")), Sign.CONTENT),
    "tool call": (chunk(delta(role="assistant", content=None, tool_calls=[CALL])), Sign.CONTENT),
    "legacy function call": (chunk(delta(function_call={"name": "now", "arguments": ""})), Sign.CONTENT),
    "audio": (chunk(delta(audio={"id": "audio_1", "data": "UklGRg=="})), Sign.CONTENT),
    "reasoning, as DeepSeek": (b'{"choices":[{"delta":{"reasoning_content":"Hm"}}]}', Sign.CONTENT),
    "reasoning, as OpenRouter": (b'{"choices":[{"delta":{"reasoning":"Hm"}}]}', Sign.CONTENT),
    "content in parts, as Mistral": (
        b'{"choices":[{"delta":{"content":[{"type":"thinking","thinking":[]}]}}]}',
        Sign.CONTENT,
    ),
    "second choice only": (chunk(delta(), {"index": 1, **delta(content="B")}), Sign.CONTENT),
    "stop": (chunk(finish("stop")), Sign.FINISH),
    "length": (chunk(finish("length")), Sign.FINISH),
    "filtered": (chunk(finish("content_filter")), Sign.FINISH),
    "text and stop at once": (chunk(finish("stop", content="Hi")), Sign.FINISH),
    "one ends, another goes on": (chunk(finish("stop"), {"index": 1, **delta(content="B")}), Sign.FINISH),
    "empty finish reason": (b'{"choices":[{"delta":{"content":""},"finish_reason":""}]}', Sign.NOTHING),
    "end": (b"[DONE]", Sign.END),
    "end in spaces": (b"  [DONE] \r", Sign.END),
    "not quite the end": (b"[DONE] or not", Sign.NOTHING),
    "error object": (orjson.dumps({"error": ERROR}), Sign.ERROR),
    "error beside no choices, as vLLM": (orjson.dumps({"choices": [], "error": ERROR}), Sign.ERROR),
    "error as text": (b'{"error":"overloaded"}', Sign.ERROR),
    "error as finish reason": (b'{"choices":[{"delta":{},"finish_reason":"error"}]}', Sign.ERROR),
    "both errors, as OpenRouter": (OPENROUTER_FAILED, Sign.ERROR),
    "no error": (b'{"error":null,"choices":[{"delta":{"content":"x"}}]}', Sign.CONTENT),
    "broken JSON": (b'{"choices":[{"delta":{"content":"Hel', Sign.NOTHING),
    "nothing": (b"", Sign.NOTHING),
    "no object": (b'["choices"]', Sign.NOTHING),
    "wrong types": (b'{"choices":{"delta":1},"usage":[],"id":3,"model":{}}', Sign.NOTHING),
    "wrong types within": (b'{"choices":[1,null,{"delta":[],"finish_reason":null}]}', Sign.NOTHING),
}


@pytest.mark.parametrize(("data", "sign"), EVENTS.values(), ids=EVENTS)
def test_event(data: bytes, sign: Sign) -> None:
    """A chunk counts by what it holds."""
    assert sign is ChatReading().event(b"", data)


def test_event_named_error() -> None:
    """An event that is called an error is one, whether its data says so or is JSON at all."""
    reading = ChatReading()
    assert reading.event(b"error", b'{"message":"full","code":503}') is Sign.ERROR
    assert reading.error == {"message": "full", "code": 503}
    assert ChatReading().event(b"error", b"upstream full") is Sign.ERROR


def test_identity() -> None:
    """Model and id are the first ones that say something."""
    reading = ChatReading()
    reading.event(b"", AZURE_FIRST)
    reading.event(b"", chunk(delta(role="assistant")))
    reading.event(b"", b'{"id":"other","model":"other","choices":[]}')
    assert (reading.model, reading.answer_id) == ("gpt-4.1-2025-04-14", "chatcmpl-CQ1jT6")


@pytest.mark.parametrize("reason", ["stop", "length", "tool_calls", "content_filter", "function_call"])
def test_finish(reason: str) -> None:
    """The reason why the model stopped is kept."""
    reading = ChatReading()
    reading.event(b"", chunk(finish(reason)))
    assert reason == reading.finish


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
    """Usage is read wherever it stands."""
    reading = ChatReading()
    reading.event(b"", data)
    assert usage == reading.usage


def test_usage_stays() -> None:
    """A later chunk that has no usage takes none away."""
    reading = ChatReading()
    reading.event(b"", chunk(delta(content="a"), usage=PLAIN_USAGE))
    reading.event(b"", chunk(delta(content="b"), usage=None))
    assert reading.usage == PLAIN


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
DOCUMENTS: dict[str, tuple[object, Sign]] = {
    "completion": (COMPLETION, Sign.CONTENT),
    "no choices": ({**COMPLETION, "choices": []}, Sign.NOTHING),
    "choices of no list": ({**COMPLETION, "choices": {}}, Sign.NOTHING),
    "error": ({"error": ERROR}, Sign.ERROR),
    "error as text": ({"error": "full"}, Sign.ERROR),
    "null error": ({**COMPLETION, "error": None}, Sign.CONTENT),
    "error as finish reason": ({"choices": [{"message": {}, "finish_reason": "error"}]}, Sign.ERROR),
    "something else": ({"object": "list", "data": []}, Sign.NOTHING),
    "a list": ([COMPLETION], Sign.NOTHING),
    "nothing": (None, Sign.NOTHING),
}


@pytest.mark.parametrize(("value", "sign"), DOCUMENTS.values(), ids=DOCUMENTS)
def test_document(value: object, sign: Sign) -> None:
    """A whole answer has at least one choice."""
    assert sign is ChatReading().document(value)


def test_document_facts() -> None:
    """A whole answer says what it used, which model made it and why it stopped."""
    reading = ChatReading()
    reading.document(COMPLETION)
    assert reading.usage == Usage(1200, 300, cached=1024, cache_write=64, reasoning=200)
    assert (reading.model, reading.answer_id, reading.finish) == (
        "gpt-4.1-2025-04-14",
        "chatcmpl-1",
        "length",
    )


@pytest.mark.parametrize(
    ("error", "kept"),
    [(ERROR, ERROR), ("full", {"code": "full", "message": "full"}), (503, {}), ([1], {})],
)
def test_error_is_kept(error: object, kept: object) -> None:
    """The provider's error is kept as an object, whatever it came as."""
    reading = ChatReading()
    reading.event(b"", orjson.dumps({"error": error}))
    assert kept == reading.error


FILE = {"type": "file", "file": {"file_id": "file-abc"}}
BOUND: dict[str, tuple[dict[str, Any], bool]] = {
    "plain": ({"messages": [{"role": "user", "content": "hi"}]}, False),
    "stored": ({"store": True}, True),
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
    """A request is bound to one provider by what that provider keeps, and by nothing else."""
    assert bound is OPERATION.bound(parse(value))
