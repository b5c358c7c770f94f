"""`POST /v1/messages`, Anthropic's: named events, each of which repeats its name as the `type` of its data.

A stream is `message_start`, then blocks of `content_block_start`, `_delta` and `_stop`, then `message_delta`
with the reason why it stopped, and ends with `message_stop`. `ping` may come at any time and proves nothing.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from typing_extensions import override

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import count, error_of, is_count, is_list, is_object, size, text, within
from .provider_state import names_state
from .request_shapes import check_messages
from .usage import Usage

__all__ = ["OPERATION", "MessagesReader", "names_provider_state"]

_loads: Final = orjson.loads
# An enum's member costs a descriptor call each time it is read from its class.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT
# tool_use, server_tool_use, mcp_tool_use, web_search_tool_result and others of their kind
_CONTENT_BLOCKS: Final = ("_use", "_result")
_DELTAS: Final = ("text", "partial_json", "thinking", "signature", "citation", "content")  # of a compaction
_BLOCK_TEXT: Final = ("text", "thinking", "data", "signature")
# What a message took, and what is meant where nothing is said of it.
_SIDES: Final = (
    ("input_tokens", None),
    ("output_tokens", None),
    ("cache_read_input_tokens", 0),
    ("cache_creation_input_tokens", 0),
)


class MessagesReader(AnswerReader):
    """Reads one message."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        super().__init__()
        self._tokens: dict[str, Any] = {}

    def event(self, name: bytes, data: bytes) -> Signal:
        try:
            event = _loads(data)
        except orjson.JSONDecodeError:
            return self._no_object(name)
        if event.__class__ is not dict:  # orjson makes no subclasses, and this is read for every token
            return self._no_object(name)
        kind = event.get("type")
        if kind == "content_block_delta":
            said = _said(event.get("delta"))
            self.written += said
            return _CONTENT if said else _NOTHING
        if kind == "error" or name == b"error" or event.get("error"):
            return self._failed(event.get("error") or event)
        if kind == "message_stop":
            return Signal.END
        if kind == "content_block_start":
            return self._begun(event.get("content_block"))
        if kind == "message_start":
            self._identify(event.get("message"))
        elif kind == "message_delta":
            self._count(event.get("usage"))
            if reason := text(within(event.get("delta"), "stop_reason")):
                return self._finished(reason, event.get("usage"))
        return Signal.NOTHING

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        if (error := value.get("error")) or value.get("type") == "error":
            return self._failed(error)
        self._identify(value)
        self.finish = text(value.get("stop_reason"))
        content = value.get("content")
        if value.get("type") != "message" or not is_list(content):
            return Signal.NOTHING
        self.written += sum(map(_written, content))
        return Signal.CONTENT

    @override
    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        event = _loads(data)
        delta = event.get("delta") if event.get("type") == "content_block_delta" else None
        if not is_object(delta):
            return None
        said = next((name for name in _DELTAS if delta.get(name)), "text")
        return said.encode(), delta.get(said), None

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        error = {"type": "api_error", "message": message, "code": code}
        event = {"type": "error", "error": error, "request_id": request_id}
        # The blank line ends whatever event the provider left half-sent, which would swallow this one.
        return b"\n\nevent: error\ndata: " + orjson.dumps(event) + b"\n\n"

    def restarted(self, reason: str, attempt: int) -> bytes:
        event = {"type": "standby.restart", "standby": {"restart": {"reason": reason, "attempt": attempt}}}
        return b"\n\nevent: standby.restart\ndata: " + orjson.dumps(event) + b"\n\n"

    def _begun(self, block: object) -> Signal:
        if not _is_content(block):
            return Signal.NOTHING
        self.written += _written(block)
        return Signal.CONTENT

    def _identify(self, message: object) -> None:
        if is_object(message):
            self.model = text(message.get("model")) or self.model
            self.answer_id = text(message.get("id")) or self.answer_id
            self._count(message.get("usage"))

    def _count(self, usage: object) -> None:
        """Take in a usage object: counts are cumulative, so a later one replaces what it names."""
        if not is_object(usage):
            return
        tokens = self._tokens
        tokens.update((key, value) for key, value in usage.items() if value is not None)
        if not all(is_count(tokens.get(name, other)) for name, other in _SIDES):
            self.usage = None  # half a figure would be booked as the whole
            return
        cached = count(tokens.get("cache_read_input_tokens"))
        cache_write = count(tokens.get("cache_creation_input_tokens"))
        # What was read from or written to the cache is not within `input_tokens`.
        self.usage = Usage(
            input=count(tokens.get("input_tokens")) + cached + cache_write,
            output=count(tokens.get("output_tokens")),
            cached=cached,
            cache_write=cache_write,
            reasoning=count(within(tokens.get("output_tokens_details"), "thinking_tokens")),
            cache_write_1h=count(within(tokens.get("cache_creation"), "ephemeral_1h_input_tokens")),
        )

    def _finished(self, reason: str, usage: object) -> Signal:
        if not is_count(within(usage, "output_tokens")):
            self._tokens.pop("output_tokens", None)  # what the beginning said is not what it came to
            self.usage = None
        self.finish = reason
        return Signal.FINISH

    def _no_object(self, name: bytes) -> Signal:
        # The official SDK raises at an event of this name, whatever it holds.
        return self._failed({}) if name == b"error" else Signal.NOTHING

    def _failed(self, error: object) -> Signal:
        self.error = error_of(error)
        return Signal.ERROR


def _said(delta: object) -> int:
    """Bytes of what a piece of a block says."""
    if not is_object(delta):
        return 0
    for name in _DELTAS:
        if value := delta.get(name):
            return size(value)
    return 0


def _written(block: object) -> int:
    """Bytes of what the model wrote in a block. A result is a tool's word."""
    kind = within(block, "type")
    return 0 if isinstance(kind, str) and kind.endswith("_result") else size(block)


def _is_content(block: object) -> bool:
    """Whether a block is an answer by having begun: a tool call is, an empty text is not."""
    kind = within(block, "type")
    if isinstance(kind, str) and kind.endswith(_CONTENT_BLOCKS):
        return True
    return any(within(block, member) for member in _BLOCK_TEXT)


def names_provider_state(document: RequestDocument) -> bool:
    """Whether the request refers to a container, a file or a skill of its own that a provider keeps.

    Without an id a container is only asked for, and a skill of Anthropic's exists for everyone: neither ties
    the request to one account. A tool call's `input` is the model's words, not ours to read names in.
    """
    container = document.value.get("container")
    if isinstance(container, str) or within(container, "id") is not None:
        return True
    skills = within(container, "skills")
    if is_list(skills) and any(within(skill, "type") == "custom" for skill in skills):
        return True
    return names_state(document, "messages", "system", opaque=frozenset({"input"}))


OPERATION: Final = Operation(
    name="messages",
    dialect="anthropic",
    path="/v1/messages",
    upstream_path="/messages",
    reader=MessagesReader,
    check=check_messages,
    bound=names_provider_state,
    limits=("max_tokens",),
)
