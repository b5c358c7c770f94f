"""Translates an answer of OpenAI's Chat Completions into one of Responses."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from typing_extensions import override

from ..dialects.json_values import is_list, text, within
from .answer_translator import Question, UnreadableAnswer
from .chat_answer import CallPiece, said
from .chat_stages import ChatStage
from .usage_members import response_usage

__all__ = ["ChatAnswerAsResponses"]

_INCOMPLETE: Final = MappingProxyType({"length": "max_output_tokens", "content_filter": "content_filter"})
_REPEATED: Final = MappingProxyType[str, Any](
    {
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "user": None,
    }
)
"""The settings that a response repeats from its request, with the defaults of the API."""


class _Item:
    """An item of the output that has begun: a message, or a call of a function."""

    __slots__ = ("at", "part", "value", "written")

    def __init__(self, at: int, value: dict[str, Any], part: str = "") -> None:
        self.at = at
        self.value = value
        self.part = part  # of a message: "output_text" or "refusal"
        self.written: list[str] = []

    @property
    def place(self) -> dict[str, Any]:
        """Where the item is, as each of its events says it."""
        place: dict[str, Any] = {"item_id": self.value["id"], "output_index": self.at}
        return {**place, "content_index": 0} if self.part else place

    def done(self) -> dict[str, Any]:
        """Returns the finished item."""
        written = "".join(self.written)
        if self.part:
            return {**self.value, "status": "completed", "content": [_part(self.part, written)]}
        return {**self.value, "status": "completed", "arguments": written or "{}"}


class ChatAnswerAsResponses(ChatStage):
    """Translates one completion into one response. Reasoning is left out: no provider could read it again.

    The texts are kept until the end, since the events that end an item and the response repeat them.
    """

    PREFIX = "resp_"

    __slots__ = ("_calls", "_items", "_number", "_text")

    def __init__(self, question: Question) -> None:
        super().__init__(question)
        self._items: list[_Item] = []
        self._text: _Item | None = None  # the message that is written to
        self._calls: dict[int, _Item] = {}
        self._number = 0

    @override
    def document(self, value: dict[str, Any]) -> dict[str, Any]:
        message = self._message(value)
        for part, member in (("output_text", "content"), ("refusal", "refusal")):
            if written := said(message.get(member)):
                self._new_message(part).written.append(written)
        calls = message.get("tool_calls")
        for at, call in enumerate(calls if is_list(calls) else ()):
            name = text(within(within(call, "function"), "name"))
            if name is None:
                raise UnreadableAnswer("a tool call without a name")
            item = self._new_call(at, name, text(within(call, "id")))
            item.written.append(text(within(within(call, "function"), "arguments")) or "")
        return self._response(over=True)

    @override
    def _begin(self) -> list[dict[str, Any]]:
        begun = {"response": self._response(over=False)}
        return [self._event(kind, begun) for kind in ("response.created", "response.in_progress")]

    @override
    def _say(self, written: str, *, refuses: bool) -> list[dict[str, Any]]:
        part = "refusal" if refuses else "output_text"
        events: list[dict[str, Any]] = []
        item = self._text
        if item is None or item.part != part:
            events += self._end_message()
            item = self._text = self._new_message(part)
            events += self._added(item)
            events.append(self._event("response.content_part.added", {**item.place, "part": _part(part, "")}))
        item.written.append(written)
        extra: dict[str, Any] = {} if refuses else {"logprobs": []}
        events.append(self._event(f"response.{part}.delta", {**item.place, "delta": written, **extra}))
        return events

    @override
    def _call(self, piece: CallPiece) -> list[dict[str, Any]]:
        events: list[dict[str, Any]] = []
        if piece.name is not None:
            events += self._end_message()
            events += self._added(self._new_call(piece.at, piece.name, piece.identifier))
        item = self._calls[piece.at]
        if piece.arguments is not None:
            item.written.append(piece.arguments)
            kind = "response.function_call_arguments.delta"
            events.append(self._event(kind, {**item.place, "delta": piece.arguments}))
        return events

    @override
    def _end(self) -> list[dict[str, Any]]:
        events = self._end_message()
        for item in self._calls.values():
            events += self._end_call(item)
        response = self._response(over=True)
        return [*events, self._event(f"response.{response['status']}", {"response": response})]

    # -- items ------------------------------------------------------------------------------

    def _new_message(self, part: str) -> _Item:
        at = len(self._items)
        value = {"id": f"msg_{self._suffix}_{at}", "type": "message", "role": "assistant"}
        item = _Item(at, {**value, "status": "in_progress", "content": []}, part)
        self._items.append(item)
        return item

    def _new_call(self, index: int, name: str, call_id: str | None) -> _Item:
        at = len(self._items)
        identifier = f"fc_{self._suffix}_{at}"
        value = {
            "id": identifier,
            "type": "function_call",
            "status": "in_progress",
            "call_id": call_id or identifier,
            "name": name,
            "arguments": "",
        }
        item = self._calls[index] = _Item(at, value)
        self._items.append(item)
        return item

    @property
    def _suffix(self) -> str:
        return self._id.removeprefix(self.PREFIX)

    def _added(self, item: _Item) -> list[dict[str, Any]]:
        return [self._event("response.output_item.added", {"output_index": item.at, "item": item.value})]

    def _end_message(self) -> list[dict[str, Any]]:
        item, self._text = self._text, None
        if item is None:
            return []
        done = item.done()
        part = done["content"][0]
        ended: dict[str, Any] = {item.part.removeprefix("output_"): "".join(item.written)}
        if item.part == "output_text":
            ended["logprobs"] = []
        return [
            self._event(f"response.{item.part}.done", {**item.place, **ended}),
            self._event("response.content_part.done", {**item.place, "part": part}),
            self._event("response.output_item.done", {"output_index": item.at, "item": done}),
        ]

    def _end_call(self, item: _Item) -> list[dict[str, Any]]:
        done = item.done()
        ended = {**item.place, "name": done["name"], "arguments": done["arguments"]}
        return [
            self._event("response.function_call_arguments.done", ended),
            self._event("response.output_item.done", {"output_index": item.at, "item": done}),
        ]

    # -- the response -----------------------------------------------------------------------

    def _event(self, kind: str, members: dict[str, Any]) -> dict[str, Any]:
        event = {"type": kind, "sequence_number": self._number, **members}
        self._number += 1
        return event

    def _response(self, *, over: bool) -> dict[str, Any]:
        reason = _INCOMPLETE.get(self._finish or "")
        status = ("completed" if reason is None else "incomplete") if over else "in_progress"
        asked = self.question.value
        repeated = {
            name: default if asked.get(name) is None else asked[name] for name, default in _REPEATED.items()
        }
        return {
            "id": self._id,
            "object": "response",
            "created_at": self.question.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": reason} if over and reason is not None else None,
            "model": self._model,
            "output": [item.done() for item in self._items] if over else [],
            "store": False,
            "usage": response_usage(self._usage) if over and self._usage is not None else None,
            **repeated,
        }


def _part(kind: str, written: str) -> dict[str, Any]:
    if kind == "refusal":
        return {"type": "refusal", "refusal": written}
    return {"type": "output_text", "text": written, "annotations": [], "logprobs": []}
