"""Filters the stream of a chat completion. No I/O."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final, cast

import orjson
from typing_extensions import override

from ..dialects.json_values import is_list, is_object
from .answer_guard import AnswerGuard
from .stream_filter import StreamFilter

__all__ = ["ChatFilter"]

_HEAD: Final = ("id", "object", "created", "model", "system_fingerprint", "service_tier")
_USUAL: Final = frozenset(
    {*_HEAD, "choices", "usage", "obfuscation", "provider", "x_groq", "prompt_filter_results", "p"}
)
_NAMES: Final = frozenset({"role", "id", "type", "name", "index", "format", "expires_at", "signature"})
"""Members of a delta that hold no text of the model's."""


class ChatFilter(StreamFilter):
    """Each choice has its texts, one for every member of its deltas. The key of a text is the choice's index
    and the path to the member."""

    def __init__(self, guard: AnswerGuard) -> None:
        super().__init__(guard)
        self._head: dict[str, Any] = {}
        self._open: dict[object, None] = {}

    @override
    def filter(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        if not self._head and event.get("id"):
            self._head = {name: event[name] for name in _HEAD if name in event}
        before: list[dict[str, Any]] = []
        choices = event.get("choices")
        for choice in choices if is_list(choices) else ():
            if is_object(choice):
                before += self._choice(choice)
        if not event.keys() <= _USUAL:
            for name in event.keys() - _USUAL:
                self._other(event, name)
        return before

    def _choice(self, choice: dict[str, Any]) -> list[dict[str, Any]]:
        index = choice.get("index", 0)
        self._open[index] = None
        delta = choice.get("delta")
        if is_object(delta):
            self._walk(index, delta, ())
        self.remove(choice, "logprobs", None)
        if isinstance(choice.get("message"), dict):
            self._other(choice, "message")
        if not choice.get("finish_reason"):
            return []
        self._open.pop(index, None)
        return self.flush(
            *[key for key in self.open_texts() if cast("tuple[Any, ...]", key)[0] == index] or [None]
        )

    def _walk(self, index: object, holder: dict[str, Any], path: tuple[object, ...]) -> None:
        for name, value in holder.items():
            if value.__class__ is str:
                if name == "data" and path:
                    self.guard.not_scanned(("audio",))
                elif value and name not in _NAMES:
                    self.change(holder, name, (index, *path, name), json=name == "arguments")
            elif value.__class__ is dict:
                self._walk(index, value, (*path, name))
            elif value.__class__ is list:
                for position, each in enumerate(value):
                    if each.__class__ is dict:
                        self._walk(index, each, (*path, name, each.get("index", position)))

    def _other(self, holder: dict[str, Any], name: str) -> None:
        part = {name: holder[name]}
        self.document(part)
        holder[name] = part[name]

    @override
    def text_event(self, key: Hashable, text: str) -> dict[str, Any]:
        index, *path = cast("tuple[Any, ...]", key)
        value: Any = text
        at = len(path)
        while at:
            at -= 1
            step = path[at]
            # A number is the index of an element of the list that is named before it.
            value = {step: value} if isinstance(step, str) else [{"index": step, **value}]
        return {**self._head, "choices": [{"index": index, "delta": value, "finish_reason": None}]}

    @override
    def stopped(self) -> bytes:
        rule = self.guard.stopped_by
        choices: list[dict[str, Any]] = [
            {"index": index, "delta": {}, "finish_reason": "content_filter"}
            for index in self._open or {0: None}
        ]
        last: dict[str, Any] = {
            **self._head,
            "choices": choices,
            "standby": {"guardrail": None if rule is None else rule.name},
        }
        return b"data: %b\n\ndata: [DONE]\n\n" % orjson.dumps(last)

    @override
    def restart(self) -> None:
        self._head, self._open = {}, {}

    @override
    def event_name(self, event: dict[str, Any]) -> str | None:
        return None
