"""Filters the stream of the Responses API. No I/O."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from types import MappingProxyType
from typing import Any, Final, cast

from typing_extensions import override

from ..dialects.json_values import is_object
from .answer_guard import AnswerGuard
from .stream_filter import StreamFilter

__all__ = ["ResponsesFilter"]

_PLACES: Final = ("item_id", "output_index", "content_index", "summary_index")
_HEAD: Final = ("id", "created_at", "model", "usage")
_BEGUN: Final[Mapping[str, object]] = MappingProxyType({"status": "in_progress", "incomplete_details": None})
_BEGINS: Final = frozenset({"response.created", "response.in_progress", "response.queued"})
_BINARY: Final = ("response.audio.delta", "response.image_generation_call.partial_image")


class ResponsesFilter(StreamFilter):
    """The key of a text is the type of its deltas and their place in the response.

    Events are numbered, so those after one that was added have the numbers that follow.
    """

    def __init__(self, guard: AnswerGuard) -> None:
        super().__init__(guard)
        self._head: dict[str, Any] = {}
        self._begun = False  # response.created was sent
        self._templates: dict[Hashable, dict[str, Any]] = {}
        self._added = 0
        self._last = -1

    @override
    def filter(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        kind = event.get("type")
        before: list[dict[str, Any]] = []
        if not isinstance(kind, str):
            return before
        if kind in _BINARY:
            self.guard.not_scanned((kind,))
        elif kind.endswith(".delta") and isinstance(event.get("delta"), str):
            key = self._key(kind, event)
            if key not in self._templates:
                self._templates[key] = {name: event[name] for name in ("type", *_PLACES) if name in event}
            self.remove(event, "logprobs", [])
            self.change(event, "delta", key, json="arguments" in kind)
        elif kind.endswith(".done"):
            self.remove(event, "logprobs", [])
            before = self.flush(self._key(f"{kind.removesuffix('.done')}.delta", event))
        elif kind == "error":
            before = self.flush()
        elif is_object(response := event.get("response")):
            self._head = {name: response[name] for name in _HEAD if name in response}
            if kind not in _BEGINS:
                before = self.flush()
        self._number([*before, event])
        return before

    def _key(self, kind: str, event: dict[str, Any]) -> tuple[Hashable, ...]:
        return (kind, *[self.place(event.get(place)) for place in _PLACES])

    def _number(self, events: list[dict[str, Any]]) -> None:
        """Give the events their numbers: those added before an event come between the others."""
        *added, event = events
        number = event.get("sequence_number")
        if type(number) is not int:
            return
        for position, each in enumerate(added):
            each["sequence_number"] = number + self._added + position
        self._added += len(added)
        if self._added:
            event["sequence_number"] = number + self._added
            self.touched()
        self._last = event["sequence_number"]

    @override
    def sent(self, event: dict[str, Any]) -> None:
        self._begun = self._begun or event.get("type") == "response.created"

    @override
    def text_event(self, key: Hashable, text: str) -> dict[str, Any]:
        event = {**self._templates.get(key, {}), "delta": text}
        if event.get("type") == "response.output_text.delta":
            event["logprobs"] = []
        self._last += 1
        event["sequence_number"] = self._last
        return event

    @override
    def stopped(self, *, fresh: bool = False) -> bytes:
        rule, fresh = self.guard.stopped_by, fresh or not self._begun
        response: dict[str, Any] = {
            "object": "response",
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            **self.guard.clean(self._head),
            "status": "incomplete",
            "incomplete_details": {"reason": "content_filter"},
            "output": [],
        }
        begin = {"type": "response.created", "sequence_number": 0, "response": {**response, **_BEGUN}}
        event: dict[str, Any] = {
            "type": "response.incomplete",
            "sequence_number": 1 if fresh else self._last + 1,
            "response": response,
            "standby": {"guardrail": None if rule is None else rule.name},
        }
        return self.written([begin, event] if fresh else [event])

    @override
    def answers(self) -> list[list[str]]:
        keys = cast("dict[tuple[str, Any], list[str]]", self.sent_texts)
        return [["".join(parts) for key, parts in keys.items() if key[0] == "response.output_text.delta"]]

    @override
    def restart(self) -> None:
        self._head, self._templates, self._begun = {}, {}, False
        self._added, self._last = 0, -1
