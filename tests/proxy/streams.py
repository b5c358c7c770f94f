"""Events of the three streamed dialects, each by what it is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from standby.proxy.dialects import chat, messages, responses
from standby.proxy.dialects.base import Operation

__all__ = ["EMPTY", "SPOKEN", "Spoken", "named"]

EMPTY: Final = b": ping\n\n"


def named(kind: str, **fields: Any) -> bytes:
    """One event of the dialects that name theirs."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def _chunk(choice: dict[str, Any] | None = None, **fields: Any) -> bytes:
    choices = [] if choice is None else [{"index": 0, **choice}]
    document = {"id": "c1", "object": "chat.completion.chunk", "model": "m", "choices": choices, **fields}
    return b"data: " + json.dumps(document).encode() + b"\n\n"


@dataclass(frozen=True)
class Spoken:
    """What can be said in one dialect. What is `idle` proves nothing, `refused` ends a bad stream."""

    operation: Operation
    preamble: tuple[bytes, ...]
    idle: tuple[bytes, ...]
    content: tuple[bytes, ...]
    finish: bytes
    done: bytes
    refused: bytes

    @property
    def document(self) -> dict[str, Any]:
        """A request for a stream."""
        if self.operation.name == "responses":
            return {"model": "support", "stream": True, "input": "Hi"}
        asked = {"model": "support", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
        return asked if self.operation.name == "chat" else {**asked, "max_tokens": 5}

    @property
    def whole(self) -> bytes:
        """A good stream from its beginning to its end."""
        return b"".join((*self.preamble, *self.content, self.finish, self.done))


_CALL: Final = {"index": 0, "id": "t1", "type": "function", "function": {"name": "f", "arguments": ""}}
_CHAT: Final = Spoken(
    operation=chat.OPERATION,
    preamble=(
        _chunk(prompt_filter_results=[{"prompt_index": 0}]),
        _chunk({"delta": {"role": "assistant", "content": ""}, "finish_reason": None}, usage=None),
    ),
    idle=(
        EMPTY,
        b"\n\n",
        _chunk({"delta": {}}),
        _chunk({"delta": {"content": ""}}),
        _chunk(),
        b"data: {broken\n\n",
    ),
    content=(
        _chunk({"delta": {"content": "Hi"}}),
        _chunk({"delta": {"tool_calls": [_CALL]}}),
        _chunk({"delta": {"reasoning_content": "Hm"}}),
        _chunk({"delta": {"refusal": "No"}}),
    ),
    finish=_chunk({"delta": {}, "finish_reason": "stop"}),
    done=b"data: [DONE]\n\n",
    refused=b'data: {"error": {"message": "No.", "type": "server_error", "code": "overloaded"}}\n\n',
)
_MESSAGE: Final[dict[str, Any]] = {
    "id": "m1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
}
_MESSAGES: Final = Spoken(
    operation=messages.OPERATION,
    preamble=(
        named("message_start", message={**_MESSAGE, "usage": {"input_tokens": 3, "output_tokens": 1}}),
        named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    ),
    idle=(
        EMPTY,
        named("ping"),
        named("content_block_delta", index=0, delta={"type": "text_delta", "text": ""}),
        named("something_new", value=1),
    ),
    content=(
        named("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"}),
        named(
            "content_block_start",
            index=1,
            content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}},
        ),
        named("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": "{"}),
        named("content_block_delta", index=2, delta={"type": "thinking_delta", "thinking": "Hm"}),
    ),
    finish=named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 5}),
    done=named("message_stop"),
    refused=named("error", error={"type": "overloaded_error", "message": "Overloaded"}),
)
_RESPONSE: Final[dict[str, Any]] = {
    "id": "r1",
    "object": "response",
    "model": "m",
    "status": "in_progress",
    "output": [],
}
_RESPONSES: Final = Spoken(
    operation=responses.OPERATION,
    preamble=(
        named("response.created", sequence_number=0, response=_RESPONSE),
        named("response.in_progress", sequence_number=1, response=_RESPONSE),
        named("response.output_item.added", sequence_number=2, item={"type": "message", "content": []}),
    ),
    idle=(EMPTY, named("response.output_text.delta", sequence_number=3, delta="")),
    content=(
        named("response.output_text.delta", sequence_number=3, delta="Hi"),
        named("response.output_item.added", sequence_number=4, item={"type": "function_call", "name": "f"}),
        named("response.function_call_arguments.delta", sequence_number=5, delta="{"),
    ),
    finish=named("response.output_item.done", sequence_number=6, item={"type": "message", "content": []}),
    done=named("response.completed", sequence_number=7, response={**_RESPONSE, "status": "completed"}),
    refused=named(
        "response.failed",
        sequence_number=3,
        response={
            **_RESPONSE,
            "status": "failed",
            "error": {"code": "server_is_overloaded", "message": "No."},
        },
    ),
)
SPOKEN: Final = MappingProxyType({"chat": _CHAT, "messages": _MESSAGES, "responses": _RESPONSES})
