"""Filters the stream of a chat completion. No I/O."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from types import MappingProxyType
from typing import Any, Final, cast

import orjson
from typing_extensions import override

from ..dialects.json_values import is_list, is_object, within
from .answer_guard import AnswerGuard
from .stream_filter import StreamFilter

__all__ = ["ChatFilter"]

_HEAD: Final = ("id", "object", "created", "model")
_TEXTS: Final = frozenset({"content", "refusal", "reasoning_content", "reasoning", "thinking"})
"""Members of a delta whose pieces are put together."""

_LISTS: Final = MappingProxyType(
    {"tool_calls": ("function", "custom"), "reasoning_details": ("text", "summary")}
)
_OBJECTS: Final = MappingProxyType(
    {
        "function": ("arguments",),
        "function_call": ("arguments",),
        "custom": ("input",),
        "audio": ("transcript",),
    }
)
"""The same in the elements of lists, and in objects."""


class ChatFilter(StreamFilter):
    """Each choice has its texts, one for every member of its deltas that comes in pieces. The key of a text
    is the choice's index and the path to the member."""

    def __init__(self, guard: AnswerGuard) -> None:
        super().__init__(guard)
        self._head: dict[str, Any] = {}
        self._open: dict[Hashable, None] = {}

    @override
    def filter(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if not self._head and event.get("id"):
            self._head = {name: event[name] for name in _HEAD if name in event}
        before: list[dict[str, Any]] = self.flush() if event.get("error") else []
        choices = event.get("choices")
        for choice in choices if is_list(choices) else ():
            if is_object(choice):
                before += self._choice(choice)
        return before

    def _choice(self, choice: dict[str, Any]) -> list[dict[str, Any]]:
        index, last = self.place(choice.get("index")), bool(choice.get("finish_reason"))
        delta = choice.get("delta")
        if is_object(delta):
            self._delta(index, delta, last=last)
        self.remove(choice, "logprobs", None)
        if not last:
            return []
        own = [key for key in self.open_texts() if cast("tuple[Any, ...]", key)[0] == index]
        return self.flush(*own) if own else []

    def _delta(self, index: Hashable, delta: dict[str, Any], *, last: bool) -> None:
        for name, value in delta.items():
            if name in _TEXTS:
                self._text(index, delta, name, value, last=last)
            elif name in _LISTS and is_list(value):
                for position, each in enumerate(value):
                    if is_object(each):
                        path = (index, name, self.place(each.get("index", position)))
                        self._members(path, each, _LISTS[name], last=last)
            elif name in _OBJECTS and is_object(value):
                self._members((index, name), value, _OBJECTS[name], last=last)
                if name == "audio" and value.get("data"):
                    self.guard.not_scanned((name,))

    def _text(self, index: Hashable, delta: dict[str, Any], name: str, value: object, *, last: bool) -> None:
        """Read a text: one string, or a list of parts."""
        if isinstance(value, str):
            if value or last:
                self.change(delta, name, (index, name), last=last)
        elif is_list(value):
            parts: list[tuple[Any, Any]] = [
                (value, position) if isinstance(part, str) else (part, "text")
                for position, part in enumerate(value)
                if isinstance(part, str) or isinstance(within(part, "text"), str)
            ]
            for number, (holder, member) in enumerate(parts, 1):
                self.change(holder, member, (index, name), last=last and number == len(parts))

    def _members(
        self, path: tuple[Hashable, ...], holder: dict[str, Any], members: Iterable[str], *, last: bool
    ) -> None:
        """Read members of an object, or of the objects in it, whose pieces are put together."""
        for member in members:
            value = holder.get(member)
            if isinstance(value, str):
                self.change(holder, member, (*path, member), json=member == "arguments", last=last)
            elif member in _OBJECTS and is_object(value):
                self._members((*path, member), value, _OBJECTS[member], last=last)

    @override
    def sent(self, event: dict[str, Any]) -> None:
        choices = event.get("choices")
        for choice in choices if is_list(choices) else ():
            index = self.place(within(choice, "index"))
            if within(choice, "finish_reason"):
                self._open.pop(index, None)
            else:
                self._open[index] = None

    @override
    def text_event(self, key: Hashable, text: str) -> dict[str, Any]:
        index, *path = cast("tuple[Any, ...]", key)
        value: Any = text
        for step in reversed(path):
            # A number is the index of an element of the list that is named before it.
            value = {step: value} if isinstance(step, str) else [{"index": step or 0, **value}]
        return {**self._head, "choices": [{"index": index or 0, "delta": value, "finish_reason": None}]}

    @override
    def stopped(self, *, fresh: bool = False) -> bytes:
        del fresh  # a chunk stands for itself
        rule = self.guard.stopped_by
        choices: list[dict[str, Any]] = [
            {"index": 0 if index is None else index, "delta": {}, "finish_reason": "content_filter"}
            for index in self._open or (0,)
        ]
        note = {"standby": {"guardrail": None if rule is None else rule.name}}
        last: dict[str, Any] = {**self.guard.clean(self._head), "choices": choices, **note}
        return b"data: %b\n\ndata: [DONE]\n\n" % orjson.dumps(last)

    @override
    def answers(self) -> list[list[str]]:
        keys = cast("dict[tuple[Any, ...], list[str]]", self.sent_texts)
        return [["".join(parts)] for key, parts in keys.items() if key[1:] == ("content",)]

    @override
    def restart(self) -> None:
        self._head, self._open = {}, {}

    @override
    def event_name(self, event: dict[str, Any]) -> str | None:
        return None
