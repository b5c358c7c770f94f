"""`POST /v1/messages`, Anthropic's Messages API: named events; the `type` in an event's data repeats its
name.

A stream is `message_start`, then blocks of `content_block_start`, `content_block_delta` and
`content_block_stop`, then `message_delta` with the stop reason, and last `message_stop`. A `ping` may occur
at any time; it is neither content nor progress.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from typing_extensions import override

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import error_of, is_list, is_object, lenient, number, served_tier, size, text, within
from .json_values import name as named
from .message_usage import MessageUsage
from .provider_state import names_state, stated_ids
from .request_shapes import check_messages
from .state_key import id_key

__all__ = ["OPERATION", "MessagesReader", "names_provider_state", "references"]

_loads: Final = orjson.loads
# Looking up an enum member on its class costs a descriptor call.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT
# Suffixes of the block types that count as content from their start: tool_use, server_tool_use, mcp_tool_use,
# web_search_tool_result and similar ones.
_WORK_BLOCKS: Final = frozenset(
    {
        "server_tool_use",
        "web_search_tool_result",
        "web_fetch_tool_result",
        "code_execution_tool_result",
        "bash_code_execution_tool_result",
        "text_editor_code_execution_tool_result",
    }
)
"""Blocks about what the provider does by itself before it answers."""
_CONTENT_BLOCKS: Final = ("_use", "_result")
# Members of a delta that hold its output; `content` is that of a compaction.
_DELTAS: Final = ("text", "partial_json", "thinking", "signature", "citation", "content")
_BLOCK_TEXT: Final = ("text", "thinking", "data", "signature")


class MessagesReader(AnswerReader):
    """Reads one message."""

    __slots__ = ("_counted",)

    def __init__(self) -> None:
        super().__init__()
        self._counted = MessageUsage()

    def event(self, name: bytes, data: bytes) -> Signal:
        try:
            event = _loads(data)
        except orjson.JSONDecodeError:
            event = lenient(data)
        if event.__class__ is not dict:  # orjson returns no subclasses; a hot path, run for every token
            return self._not_an_object(name)
        kind = event.get("type")
        if kind == "content_block_delta":
            return self._delta(event.get("delta"))
        if kind == "error" or name == b"error" or event.get("error"):
            return self._failed(event.get("error") or event)
        if kind == "message_stop":
            return Signal.END
        if kind == "content_block_start":
            return self._block_started(event.get("content_block"))
        if kind == "message_start":
            self._identify(event.get("message"))
        elif kind == "message_delta":
            self._count(event.get("usage"))
            self._issue_id(within(within(event.get("delta"), "container"), "id"))
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
        self.written += sum(map(_block_size, content))
        for block in content:
            self._issue_content(block)
        return Signal.CONTENT

    @override
    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        event = _loads(data)
        delta = event.get("delta") if event.get("type") == "content_block_delta" else None
        if not is_object(delta) or "signature" in delta:  # each signature is to be read
            return None
        member = next((name for name in _DELTAS if delta.get(name)), "text")
        return member.encode(), delta.get(member), None

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        error = {"type": "api_error", "message": message, "code": code}
        event = {"type": "error", "error": error, "request_id": request_id}
        # The leading blank line ends an incomplete event of the provider's, which would absorb this one.
        return b"\n\nevent: error\ndata: " + orjson.dumps(event) + b"\n\n"

    def restarted(self, reason: str, attempt: int) -> bytes:
        event = {"type": "standby.restart", "standby": {"restart": {"reason": reason, "attempt": attempt}}}
        return b"\n\nevent: standby.restart\ndata: " + orjson.dumps(event) + b"\n\n"

    def _delta(self, delta: object) -> Signal:
        if not is_object(delta):
            return _NOTHING
        output = _delta_size(delta)
        self.written += output
        if "signature" in delta:
            self._issue_content(delta)
        return _CONTENT if output else _NOTHING

    def _block_started(self, block: object) -> Signal:
        self._issue_content(block)
        if text(within(block, "type")) in _WORK_BLOCKS:
            self.written += _block_size(block)
            return Signal.WORK
        if not _is_content(block):
            return Signal.NOTHING
        self.written += _block_size(block)
        return Signal.CONTENT

    def _identify(self, message: object) -> None:
        if is_object(message):
            self._issue_id(within(message.get("container"), "id"))
            self.model = named(message.get("model")) or self.model
            self.answer_id = named(message.get("id")) or self.answer_id
            self._count(message.get("usage"))

    def _count(self, usage: object) -> None:
        """Merge a usage object, and what it tells of the tier."""
        if not is_object(usage):
            return
        tiers = (usage.get(name) for name in ("service_tier", "speed", "inference_geo"))
        self.tier = served_tier(*tiers) or self.tier
        self.counted_at = self.written
        self._counted.add(usage)
        self.usage = self._counted.usage or self.usage

    def _finished(self, reason: str, usage: object) -> Signal:
        if number(within(usage, "output_tokens")) is None:
            self._counted.forget_output()  # the count of message_start is not the final one
            self.usage = None
        self.finish = reason
        return Signal.FINISH

    def _not_an_object(self, name: bytes) -> Signal:
        # The official SDK raises an error for an event of this name, whatever its data.
        return self._failed({}) if name == b"error" else Signal.NOTHING

    def _failed(self, error: object) -> Signal:
        self.error = error_of(error)
        if self.finish is None:
            self._counted.forget_output()
            self.usage = None
        return Signal.ERROR


def _delta_size(delta: dict[str, Any]) -> int:
    """Bytes of model output in the delta of a block."""
    for name in _DELTAS:
        if value := delta.get(name):
            return size(value)
    return 0


def _block_size(block: object) -> int:
    """Bytes of model output in a block; 0 for a tool result, which the model does not generate."""
    kind = within(block, "type")
    return 0 if isinstance(kind, str) and kind.endswith("_result") else size(block)


def _is_content(block: object) -> bool:
    """Whether the start of a block counts as content: a tool call does, an empty text does not."""
    kind = within(block, "type")
    if isinstance(kind, str) and kind.endswith(_CONTENT_BLOCKS):
        return True
    return any(within(block, member) for member in _BLOCK_TEXT)


def names_provider_state(document: RequestDocument) -> bool:
    """Whether the request refers to a container, a file or a custom skill stored at a provider.

    A container without an id is a new one, and Anthropic's own skills exist in every account: neither binds
    the request to one account. A tool call's `input` is skipped, since its member names are those of the
    tool.
    """
    container = document.value.get("container")
    if isinstance(container, str) or within(container, "id") is not None:
        return True
    skills = within(container, "skills")
    if is_list(skills) and any(within(skill, "type") == "custom" for skill in skills):
        return True
    return names_state(document, "messages", "system", opaque=frozenset({"input"}))


def references(document: RequestDocument) -> tuple[tuple[str, str], ...]:
    """Returns the ids of the container and the files that the request names, each with its place."""
    container = document.value.get("container")
    key = container if isinstance(container, str) else within(container, "id")
    ids = [(key, "container")] if isinstance(key, str) else []
    ids += stated_ids(document, "messages", "system", opaque=frozenset({"input"}))
    return tuple([(id_key(text), place) for text, place in ids])


OPERATION: Final = Operation(
    name="messages",
    dialect="anthropic",
    path="/v1/messages",
    upstream_path="/messages",
    reader=MessagesReader,
    check=check_messages,
    bound=names_provider_state,
    references=references,
    limits=("max_tokens",),
)
