"""`POST /v1/responses`, OpenAI's Responses API: about sixty kinds of named, numbered events.

A stream begins with `response.created` and ends with `response.completed`, `response.incomplete` or an error.
All its events share one sequence numbering and one set of ids, so events of two providers cannot be combined
into one stream.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from typing_extensions import override

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import (
    RESPONSE_NAMES,
    error_of,
    is_list,
    is_object,
    lenient,
    openai_usage,
    served_tier,
    size,
    text,
    within,
)
from .json_values import name as named
from .provider_state import names_state, stated_ids
from .request_shapes import check_responses
from .state_key import id_key

__all__ = ["OPERATION", "ResponsesReader"]

_loads: Final = orjson.loads
# Looking up an enum member on its class costs a descriptor call.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT


_MAX_SEQUENCE: Final = 2**53
"""The largest sequence number that is continued: the largest integer exact in a double, as in JavaScript."""


_SUMMARIES: Final = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_summary.delta"})
_WORK: Final = (
    "response.web_search_call",
    "response.file_search_call",
    "response.code_interpreter_call",
    "response.image_generation_call",
    "response.mcp_call",
    "response.mcp_list_tools",
    "response.reasoning_summary",
)
"""Begins of the types of events about what the provider does by itself before it answers."""


class ResponsesReader(AnswerReader):
    """Reads one response."""

    __slots__ = ("_created_at", "_is_stored", "_sequence")

    def __init__(self) -> None:
        super().__init__()
        self._sequence: object = -1
        self._created_at: object = 0
        self._is_stored = True

    def event(self, name: bytes, data: bytes) -> Signal:
        try:
            event = _loads(data)
        except orjson.JSONDecodeError:
            event = lenient(data)
        if event.__class__ is not dict:  # orjson returns no subclasses; a hot path, run for every token
            return self._not_an_object(name)
        self._sequence = event.get("sequence_number", self._sequence)
        kind = event.get("type")
        if not isinstance(kind, str):
            kind = name.decode("latin-1")
        if error := event.get("error"):
            return self._failed(error)
        if kind.endswith(".delta"):
            text_size = size(event.get("delta"))
            self.written += text_size
            if kind in _SUMMARIES:
                return Signal.WORK if text_size else _NOTHING
            return _CONTENT if text_size else _NOTHING
        return self._other_event(kind, event)

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        self._identify(value)
        if (error := value.get("error")) or value.get("status") == "failed":
            return self._failed(error)
        output = value.get("output")
        if is_list(output):
            self.written += sum(map(_output_size, output))
            for item in output:
                self._issue_item(item)
        answered = is_list(output) or text(value.get("status")) is not None
        return Signal.CONTENT if answered else Signal.NOTHING

    @override
    def skim(self, piece: bytes) -> bool:
        if not super().skim(piece):
            return False
        if self._template is not None and self._template.number:
            self._sequence = int(self._template.number)
        return True

    @override
    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        event = _loads(data)
        kind, number = event.get("type"), event.get("sequence_number")
        if not isinstance(kind, str) or not kind.endswith(".delta") or kind in _SUMMARIES:
            return None
        if "sequence_number" in event and type(number) is not int:
            return None
        return b"delta", event.get("delta"), number

    def restarted(self, reason: str, attempt: int) -> bytes:
        event = {
            "type": "standby.restart",
            "sequence_number": self._next_sequence(),
            "standby": {"restart": {"reason": reason, "attempt": attempt}},
        }
        return b"\n\nevent: standby.restart\ndata: " + orjson.dumps(event) + b"\n\n"

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        response: dict[str, object] = {
            "id": self.answer_id or request_id,
            "object": "response",
            "created_at": self._created_at,
            "status": "failed",
            # The codes are a closed list here, and typed clients fail on an unknown one.
            "error": {"code": "server_error", "message": message},
            "incomplete_details": None,
            "model": self.model or "",
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
        }
        event: dict[str, object] = {
            "type": "response.failed",
            "sequence_number": self._next_sequence(),
            "response": response,
            # The openai SDK raises an error only if this member is present.
            "error": {
                "message": message,
                "type": "server_error",
                "param": None,
                "code": code,
                "request_id": request_id,
            },
        }
        # The leading blank line ends an incomplete event of the provider's, which would absorb this one.
        return b"\n\nevent: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"

    def _next_sequence(self) -> int:
        """Returns the sequence number that follows the last event's; 0 if that one is not usable."""
        last = self._sequence
        return last + 1 if type(last) is int and -1 <= last < _MAX_SEQUENCE else 0

    def _other_event(self, kind: str, event: dict[str, Any]) -> Signal:
        """Returns the meaning of an event that is not a delta and has no `error` member."""
        if kind in {"response.created", "response.in_progress", "response.queued"}:
            self._identify(event.get("response"))
            return Signal.NOTHING
        if kind in {"response.completed", "response.incomplete"}:
            self._identify(event.get("response"))
            return Signal.END
        if kind == "response.failed":
            self._identify(event.get("response"))
            return self._failed(within(event.get("response"), "error"))
        if kind == "error":
            return self._failed(event)
        if kind == "response.output_item.done":
            return self._item_done(event.get("item"))
        if kind == "response.output_item.added":
            return self._item_added(event.get("item"))
        if event.get("partial_image_b64"):
            return Signal.CONTENT
        return Signal.WORK if kind.startswith(_WORK) else Signal.NOTHING

    def _item_added(self, item: object) -> Signal:
        # The start of a call is content, since it has the call's name. An empty message or reasoning is not.
        kind = text(within(item, "type"))
        if kind is None or not kind.endswith("_call"):
            return Signal.NOTHING
        if f"response.{kind}" in _WORK:
            return Signal.WORK  # the provider makes this call itself
        self.written += size(within(item, "name"))
        return Signal.CONTENT

    def _item_done(self, item: object) -> Signal:
        if not is_object(item):
            return Signal.NOTHING
        if not self.written:  # otherwise its deltas have been counted
            self.written = _output_size(item)
        self._issue_item(item)
        return Signal.CONTENT

    def _issue_item(self, item: object) -> None:
        """Tell what a later request may contain of an output item that only this provider can use."""
        self._issue_content(item)
        if self._is_stored:
            self._issue_id(within(item, "id"))

    def _identify(self, response: object) -> None:
        if not is_object(response):
            return
        self.model = named(response.get("model")) or self.model
        if response.get("store") is False:
            self._is_stored = False
        answer_id = named(response.get("id"))
        if answer_id is not None and answer_id != self.answer_id:
            self.answer_id = answer_id
            if self._is_stored:
                self._issue_id(answer_id)
        created_at = response.get("created_at")
        if type(created_at) in {int, float}:
            self._created_at = created_at
        if (counted := openai_usage(response.get("usage"), RESPONSE_NAMES)) is not None:
            self.usage = counted.larger(self.usage)
            self.counted_at = self.written
        self.tier = served_tier(response.get("service_tier")) or self.tier
        status = text(response.get("status"))
        if status not in {None, "queued", "in_progress"}:
            self.finish = text(within(response.get("incomplete_details"), "reason")) or status

    def _not_an_object(self, name: bytes) -> Signal:
        return self._failed({}) if name == b"error" else Signal.NOTHING

    def _failed(self, error: object) -> Signal:
        self.error = error_of(error)
        return Signal.ERROR


def _output_size(item: object) -> int:
    """Bytes of model output in an output item. An image counts 1, since its data is not generated text."""
    return 1 if within(item, "type") == "image_generation_call" else size(item)


def _bound(document: RequestDocument) -> bool:
    """Whether the request continues or refers to state at one provider.

    One that is stored is not bound, since nothing in *it* depends on what is stored. A later request that
    does names the answer or one of its items.
    """
    value = document.value
    if value.get("previous_response_id") is not None or value.get("conversation") is not None:
        return True
    if within(value.get("prompt"), "id") is not None:
        return True
    items = value.get("input")
    if is_list(items) and any(_is_reference(item) for item in items):
        return True
    tools = value.get("tools")
    if is_list(tools) and any(isinstance(within(tool, "container"), str) for tool in tools):
        return True
    return names_state(document, "input", "tools", "prompt")


def _references(document: RequestDocument) -> tuple[tuple[str, str], ...]:
    """Returns the ids of the earlier response, of items, containers and files that the request names."""
    value = document.value
    named: list[tuple[object, str]] = [(value.get("previous_response_id"), "previous_response_id")]
    items = value.get("input")
    for at, item in enumerate(items if is_list(items) else ()):
        if _is_reference(item) or within(item, "type") == "reasoning":
            named.append((within(item, "id"), f"input[{at}].id"))
    tools = value.get("tools")
    for at, tool in enumerate(tools if is_list(tools) else ()):
        named.append((within(tool, "container"), f"tools[{at}].container"))
    named += stated_ids(document, "input", "tools")
    return tuple([(id_key(key), place) for key, place in named if isinstance(key, str) and key])


def _is_reference(item: object) -> bool:
    """Whether an input item is a reference to a stored one. The `type` of a reference is optional."""
    if not is_object(item):
        return False
    kind = item.get("type")
    if kind == "image_generation_call":
        return item.get("result") is None  # as in a follow-up that changes the image
    return kind == "item_reference" or (
        kind is None and item.get("id") is not None and item.get("content") is None
    )


OPERATION: Final = Operation(
    name="responses",
    dialect="openai",
    path="/v1/responses",
    upstream_path="/responses",
    reader=ResponsesReader,
    check=check_responses,
    bound=_bound,
    references=_references,
    limits=("max_output_tokens",),
)
