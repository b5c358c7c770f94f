"""Streams of providers, each with the whole answer that says the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

import orjson

__all__ = ["AFTER_THE_END", "GARBAGE", "LINE_ENDS", "STREAMS", "Stream", "rendered"]

Json: TypeAlias = dict[str, Any]

LINE_ENDS: Final = (b"\n", b"\r\n", b"\r")
_USAGE: Final = MappingProxyType(
    {
        "prompt_tokens": 30,
        "completion_tokens": 9,
        "total_tokens": 39,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
)
_DONE: Final = b"data: [DONE]\n\n"


class Stream(NamedTuple):
    """What a provider sends, event by event, and the whole answer that says the same."""

    events: tuple[Json | bytes, ...]
    whole: Json


def rendered(
    events: Iterable[Json | bytes], *, named: bool, line_end: bytes = b"\n", between: bytes = b""
) -> bytes:
    """The bytes of a stream. `between` stands before each event."""
    pieces: list[bytes] = []
    for event in events:
        pieces.append(between)
        if isinstance(event, bytes):
            pieces.append(event)
            continue
        if named:
            pieces.append(b"event: " + str(event["type"]).encode() + b"\n")
        pieces.append(b"data: " + orjson.dumps(event) + b"\n\n")
    return b"".join(pieces).replace(b"\n", line_end)


def _chunk(delta: Json | None, finish: str | None = None, **members: object) -> Json:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "model": "gpt",
        "choices": choices,
        **members,
    }


def _call(at: int, arguments: str, identifier: str | None = None, name: str | None = None) -> Json:
    function: Json = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    begun: Json = {} if identifier is None else {"id": identifier, "type": "function"}
    return _chunk({"tool_calls": [{"index": at, **begun, "function": function}]})


def _completion(message: Json, finish: str, usage: object = None) -> Json:
    choices = [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}]
    made: Json = {"id": "chatcmpl-1", "object": "chat.completion", "model": "gpt", "choices": choices}
    return made if usage is None else {**made, "usage": usage}


def _called(identifier: str, name: str, arguments: str) -> Json:
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


_BEGIN: Final = _chunk({"role": "assistant", "content": ""})
_AZURE: Final[Json] = {"id": "", "object": "", "model": "", "choices": [], "prompt_filter_results": []}
_COUNTED: Final = dict(_USAGE)
_SAID: Final = (_chunk({"content": "Grü"}), _chunk({"content": "ße \U0001f600\u2028\n"}))
_TEXT: Final = "Grüße \U0001f600\u2028\n"
_STOP: Final = _chunk({}, "stop")
_TOOLS: Final = (
    _call(0, "", "call_a", "f"),
    _call(1, '{"b"', "call_b", "g"),
    _call(0, '{"a": "ü'),
    _call(1, ": 2}"),
    _call(0, '"}'),
)
_CALLED: Final = [_called("call_a", "f", '{"a": "ü"}'), _called("call_b", "g", '{"b": 2}')]

_CHAT: Final[Mapping[str, Stream]] = MappingProxyType(
    {
        "everything": Stream(
            (
                _AZURE,
                _BEGIN,
                *_SAID,
                *_TOOLS,
                _chunk({}, "tool_calls"),
                _chunk(None, usage=_COUNTED),
                _DONE,
            ),
            _completion({"content": _TEXT, "tool_calls": _CALLED}, "tool_calls", _COUNTED),
        ),
        "text": Stream(
            (_BEGIN, *_SAID, _STOP, _chunk(None, usage=_COUNTED), _DONE),
            _completion({"content": _TEXT}, "stop", _COUNTED),
        ),
        "usage in the last chunk": Stream(
            (_BEGIN, *_SAID, _chunk({}, "length", usage=_COUNTED), _DONE),
            _completion({"content": _TEXT}, "length", _COUNTED),
        ),
        "usage in x_groq": Stream(
            (_BEGIN, *_SAID, _chunk({}, "stop", x_groq={"id": "req_1", "usage": _COUNTED}), _DONE),
            _completion({"content": _TEXT}, "stop", _COUNTED),
        ),
        "usage in the choice": Stream(
            (
                _BEGIN,
                *_SAID,
                {**_STOP, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": _COUNTED}]},
                _DONE,
            ),
            _completion({"content": _TEXT}, "stop", _COUNTED),
        ),
        "no usage": Stream((_BEGIN, *_SAID, _STOP, _DONE), _completion({"content": _TEXT}, "stop")),
        "no [DONE]": Stream((_BEGIN, *_SAID, _STOP), _completion({"content": _TEXT}, "stop")),
        "lists of Mistral": Stream(
            (
                _BEGIN,
                _chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}),
                _chunk({"content": [{"type": "text", "text": "Grü"}]}),
                _chunk({"content": "ße"}),
                _STOP,
                _DONE,
            ),
            _completion({"content": [{"type": "text", "text": "Grüße"}]}, "stop"),
        ),
        "a call without arguments": Stream(
            (_BEGIN, _call(0, "", "call_a", "f"), _chunk({}, "tool_calls"), _DONE),
            _completion({"content": None, "tool_calls": [_called("call_a", "f", "")]}, "tool_calls"),
        ),
        'calls without an index, and then "stop"': Stream(
            (
                _chunk({"tool_calls": [{"id": "a", "function": {"name": "f", "arguments": '{"a":1}'}}]}),
                _chunk({"tool_calls": [{"id": "b", "function": {"name": "f", "arguments": "{}"}}]}),
                _STOP,
                _DONE,
            ),
            _completion(
                {"content": None, "tool_calls": [_called("a", "f", '{"a":1}'), _called("b", "f", "{}")]},
                "stop",
            ),
        ),
        "a refusal": Stream(
            (_BEGIN, _chunk({"refusal": "I can"}), _chunk({"refusal": "not."}), _STOP, _DONE),
            _completion({"content": None, "refusal": "I cannot."}, "stop"),
        ),
        "a filter": Stream(
            (_BEGIN, *_SAID, _chunk({}, "content_filter"), _DONE),
            _completion({"content": _TEXT}, "content_filter"),
        ),
        "reasoning": Stream(
            (_BEGIN, _chunk({"reasoning_content": "hm"}), *_SAID, _STOP, _DONE),
            _completion({"content": _TEXT, "reasoning_content": "hm"}, "stop"),
        ),
        "nothing at all": Stream((_BEGIN, _STOP, _DONE), _completion({"content": ""}, "stop")),
    }
)


def _delta(at: int, kind: str, member: str, written: str) -> Json:
    return {"type": "content_block_delta", "index": at, "delta": {"type": kind, member: written}}


def _started(at: int, block: Json) -> Json:
    return {"type": "content_block_start", "index": at, "content_block": block}


def _stopped(at: int) -> Json:
    return {"type": "content_block_stop", "index": at}


def _use(identifier: str, name: str, given: Json) -> Json:
    return {"type": "tool_use", "id": identifier, "name": name, "input": given}


def _message(content: list[Json], reason: str, usage: Json) -> Json:
    made: Json = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": content,
    }
    return {**made, "stop_reason": reason, "stop_sequence": None, "usage": usage}


_READ: Final = {"input_tokens": 6, "cache_creation_input_tokens": 4, "cache_read_input_tokens": 20}
_WROTE: Final = {**_READ, "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 2}}
_START: Final[Json] = {
    "type": "message_start",
    "message": {**_message([], "", {**_READ, "output_tokens": 1}), "stop_reason": None},
}
_TEXT_BLOCK: Final = (
    _started(0, {"type": "text", "text": ""}),
    _delta(0, "text_delta", "text", "Grü"),
    _delta(0, "text_delta", "text", "ße \U0001f600\u2028\n"),
    _stopped(0),
)
_THOUGHT: Final = (
    _started(0, {"type": "thinking", "thinking": "", "signature": ""}),
    _delta(0, "thinking_delta", "thinking", "hm"),
    _delta(0, "signature_delta", "signature", "c2ln"),
    _stopped(0),
)
_THINKING: Final = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def _ending(reason: str) -> tuple[Json, Json]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": _WROTE}, {"type": "message_stop"}


_MESSAGES: Final[Mapping[str, Stream]] = MappingProxyType(
    {
        "everything": Stream(
            (
                _START,
                *_THOUGHT,
                _started(1, {"type": "text", "text": ""}),
                _delta(1, "text_delta", "text", _TEXT),
                _stopped(1),
                _started(2, _use("toolu_a", "f", {})),
                _started(3, _use("toolu_b", "g", {})),
                _delta(2, "input_json_delta", "partial_json", ""),
                _delta(2, "input_json_delta", "partial_json", '{"a":'),
                _delta(3, "input_json_delta", "partial_json", '{"b":2}'),
                _delta(2, "input_json_delta", "partial_json", '"ü"}'),
                _stopped(3),
                _stopped(2),
                *_ending("tool_use"),
            ),
            _message(
                [
                    _THINKING,
                    {"type": "text", "text": _TEXT},
                    _use("toolu_a", "f", {"a": "ü"}),
                    _use("toolu_b", "g", {"b": 2}),
                ],
                "tool_use",
                _WROTE,
            ),
        ),
        "text": Stream(
            (_START, *_TEXT_BLOCK, *_ending("end_turn")),
            _message([{"type": "text", "text": _TEXT}], "end_turn", _WROTE),
        ),
        "no message_stop": Stream(
            (_START, *_TEXT_BLOCK, _ending("max_tokens")[0]),
            _message([{"type": "text", "text": _TEXT}], "max_tokens", _WROTE),
        ),
        "a call without arguments": Stream(
            (_START, _started(0, _use("toolu_a", "f", {})), _stopped(0), *_ending("tool_use")),
            _message([_use("toolu_a", "f", {})], "tool_use", _WROTE),
        ),
        "a call at once": Stream(
            (_START, _started(0, _use("toolu_a", "f", {"a": 1})), _stopped(0), *_ending("tool_use")),
            _message([_use("toolu_a", "f", {"a": 1})], "tool_use", _WROTE),
        ),
        "a refusal": Stream(
            (_START, *_TEXT_BLOCK, *_ending("refusal")),
            _message([{"type": "text", "text": _TEXT}], "refusal", _WROTE),
        ),
        "two texts": Stream(
            (
                _START,
                *_TEXT_BLOCK,
                _started(1, {"type": "text", "text": "b"}),
                _stopped(1),
                *_ending("stop_sequence"),
            ),
            _message(
                [{"type": "text", "text": _TEXT}, {"type": "text", "text": "b"}], "stop_sequence", _WROTE
            ),
        ),
        "nothing at all": Stream((_START, *_ending("end_turn")), _message([], "end_turn", _WROTE)),
    }
)

STREAMS: Final[Mapping[str, Mapping[str, Stream]]] = MappingProxyType({"chat": _CHAT, "messages": _MESSAGES})
"""By the operation of the target, and by what is special."""

AFTER_THE_END: Final[Mapping[str, bytes]] = MappingProxyType(
    {
        "chat": rendered([_SAID[0], _DONE], named=False) + b"\x00\xff",
        "messages": rendered([*_TEXT_BLOCK, {"type": "message_stop"}], named=True) + b"\x00\xff",
    }
)
"""What a provider may send after the end, by operation."""

GARBAGE: Final = (
    b"data: {\n\n",
    b"data: []\n\n",
    b"data: 5\n\n",
    b"data: null\n\n",
    b"data\n\n",
    b"data: \xff\xfe\n\n",
    b"event: nothing\n\n",
    b"retry: 5\nid: 7\n\n",
    b'data: {"type":"no_such_event","choices":[[]]}\n\n',
    b'data: {"type":5,"choices":{"a":1},"usage":"x"}\n\n',
    b'data: {"type":"content_block_delta","index":"x","delta":5,"choices":[{"delta":[],"index":"x"}]}\n\n',
    (
        b'data: {"type":"content_block_delta","index":77,"delta":{"partial_json":"x"},"choices":[{"delta":'
        b'{"tool_calls":[5,{"index":77},{"index":77,"function":{"arguments":"x"}}]}}]}\n\n'
    ),
)
"""Events that make no sense, in either format."""
