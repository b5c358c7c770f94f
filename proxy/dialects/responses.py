"""`POST /v1/responses`, OpenAI's: some sixty kinds of named, numbered events.

A stream begins with `response.created`, and its own numbering and ids run through it, so events of two
providers never fit together. It ends with `response.completed` or `response.incomplete`, or with an error.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from typing_extensions import override

from .base import AnswerReader, Operation, RequestDocument, Signal
from .json_values import RESPONSE_NAMES, error_of, is_list, is_object, openai_usage, size, text, within
from .provider_state import names_state
from .request_shapes import check_responses

__all__ = ["OPERATION", "ResponsesReader"]

_loads: Final = orjson.loads
# An enum's member costs a descriptor call each time it is read from its class.
_NOTHING: Final = Signal.NOTHING
_CONTENT: Final = Signal.CONTENT


_LARGEST: Final = 2**53
"""No number that a client can hold exactly is larger."""


class ResponsesReader(AnswerReader):
    """Reads one response."""

    __slots__ = ("_created_at", "_sequence")

    def __init__(self) -> None:
        super().__init__()
        self._sequence: object = -1
        self._created_at: object = 0

    def event(self, name: bytes, data: bytes) -> Signal:
        try:
            event = _loads(data)
        except orjson.JSONDecodeError:
            return self._no_object(name)
        if event.__class__ is not dict:  # orjson makes no subclasses, and this is read for every token
            return self._no_object(name)
        self._sequence = event.get("sequence_number", self._sequence)
        kind = event.get("type")
        if not isinstance(kind, str):
            kind = name.decode("latin-1")
        if error := event.get("error"):
            return self._failed(error)
        if kind.endswith(".delta"):
            text_size = size(event.get("delta"))
            self.written += text_size
            return _CONTENT if text_size else _NOTHING
        return self._rare(kind, event)

    def document(self, value: object) -> Signal:
        if not is_object(value):
            return Signal.NOTHING
        self._identify(value)
        if (error := value.get("error")) or value.get("status") == "failed":
            return self._failed(error)
        output = value.get("output")
        if is_list(output):
            self.written += sum(map(_written, output))
        answered = is_list(output) or text(value.get("status")) is not None
        return Signal.CONTENT if answered else Signal.NOTHING

    @override
    def skim(self, piece: bytes) -> bool:
        if not super().skim(piece):
            return False
        if self._like is not None and self._like.number:
            self._sequence = int(self._like.number)
        return True

    @override
    def _text(self, data: bytes) -> tuple[bytes, object, int | None] | None:
        event = _loads(data)
        kind, number = event.get("type"), event.get("sequence_number")
        if not isinstance(kind, str) or not kind.endswith(".delta"):
            return None
        if "sequence_number" in event and type(number) is not int:
            return None
        return b"delta", event.get("delta"), number

    def restarted(self, reason: str, attempt: int) -> bytes:
        event = {
            "type": "standby.restart",
            "sequence_number": self._next(),
            "standby": {"restart": {"reason": reason, "attempt": attempt}},
        }
        return b"\n\nevent: standby.restart\ndata: " + orjson.dumps(event) + b"\n\n"

    def broken(self, code: str, message: str, request_id: str) -> bytes:
        response: dict[str, object] = {
            "id": self.answer_id or request_id,
            "object": "response",
            "created_at": self._created_at,
            "status": "failed",
            # Codes are a closed list here, and typed clients fail on one they do not know.
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
            "sequence_number": self._next(),
            "response": response,
            # The openai SDK raises at this member only, and would take the event for one like any other.
            "error": {
                "message": message,
                "type": "server_error",
                "param": None,
                "code": code,
                "request_id": request_id,
            },
        }
        # The blank line ends whatever event the provider left half-sent, which would swallow this one.
        return b"\n\nevent: response.failed\ndata: " + orjson.dumps(event) + b"\n\n"

    def _next(self) -> int:
        """The number of the event that follows the last one."""
        last = self._sequence
        return last + 1 if type(last) is int and -1 <= last < _LARGEST else 0

    def _rare(self, kind: str, event: dict[str, Any]) -> Signal:
        """What an event means that is no delta and has no error of its own."""
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
        return Signal.NOTHING

    def _item_added(self, item: object) -> Signal:
        # A call is an answer by having begun: its name is in here. An empty message or reasoning is not.
        called = text(within(item, "type"))
        if called is None or not called.endswith("_call"):
            return Signal.NOTHING
        self.written += size(within(item, "name"))
        return Signal.CONTENT

    def _item_done(self, item: object) -> Signal:
        if not is_object(item):
            return Signal.NOTHING
        if not self.written:  # else it came piece by piece
            self.written = _written(item)
        return Signal.CONTENT

    def _identify(self, response: object) -> None:
        if not is_object(response):
            return
        self.model = text(response.get("model")) or self.model
        self.answer_id = text(response.get("id")) or self.answer_id
        created_at = response.get("created_at")
        if type(created_at) in {int, float}:
            self._created_at = created_at
        self.usage = openai_usage(response.get("usage"), RESPONSE_NAMES) or self.usage
        status = text(response.get("status"))
        if status not in {None, "queued", "in_progress"}:
            self.finish = text(within(response.get("incomplete_details"), "reason")) or status

    def _no_object(self, name: bytes) -> Signal:
        return self._failed({}) if name == b"error" else Signal.NOTHING

    def _failed(self, error: object) -> Signal:
        self.error = error_of(error)
        return Signal.ERROR


def _written(item: object) -> int:
    """Bytes of what the model wrote in an item of its output; an image is none of its words."""
    return 1 if within(item, "type") == "image_generation_call" else size(item)


def _bound(document: RequestDocument) -> bool:
    """Whether the request continues, stores or refers to something that one provider keeps.

    A request that says nothing about `store` is free to move, though OpenAI stores by default: nothing in
    *this* request depends on what is stored. The one that does names it as `previous_response_id`.
    """
    value = document.value
    if value.get("previous_response_id") is not None or value.get("conversation") is not None:
        return True
    if value.get("store") is True or value.get("background") is True:
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


def _is_reference(item: object) -> bool:
    """Whether an input item stands for one the provider has stored; its type may be left out."""
    if not is_object(item):
        return False
    kind = item.get("type")
    return kind == "item_reference" or (kind is None and "id" in item and "content" not in item)


OPERATION: Final = Operation(
    name="responses",
    dialect="openai",
    path="/v1/responses",
    upstream_path="/responses",
    reader=ResponsesReader,
    check=check_responses,
    bound=_bound,
    answers_have_ids=True,
    limits=("max_output_tokens",),
)
