"""Filters the stream of an Anthropic message. No I/O."""

from __future__ import annotations

from collections.abc import Hashable
from types import MappingProxyType
from typing import Any, Final, cast

from typing_extensions import override

from ..dialects.json_values import is_object, within
from .answer_guard import AnswerGuard
from .stream_filter import StreamFilter

__all__ = ["MessagesFilter"]

_TEXTS: Final = MappingProxyType(
    {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}
)
"""The member with the text, by the type of the delta."""
_HEAD: Final = ("id", "type", "role", "model", "usage")
_OF_BLOCKS: Final = MappingProxyType({"text": "text_delta", "thinking": "thinking_delta"})


class MessagesFilter(StreamFilter):
    """Each block has its text. The key of a text is the block's index and the type of its deltas."""

    def __init__(self, guard: AnswerGuard) -> None:
        super().__init__(guard)
        self._open: dict[Hashable, None] = {}
        self._output_tokens: object = 0
        self._head: dict[str, Any] = {}
        self._begun = False  # message_start was sent

    @override
    def filter(self, event: dict[str, Any]) -> list[dict[str, Any]]:
        kind, index = event.get("type"), self.place(event.get("index"))
        if kind == "content_block_delta":
            self._delta(index, event.get("delta"))
        elif kind == "content_block_start":
            self._block(index, event.get("content_block"))
        elif kind == "content_block_stop":
            own = [key for key in self.open_texts() if cast("tuple[Any, ...]", key)[0] == index]
            return self.flush(*own) if own else []
        elif kind in ("message_delta", "message_stop", "error"):
            return self.flush()
        elif kind == "message_start":
            self._begin(event.get("message"))
        return []

    def _begin(self, message: object) -> None:
        if is_object(message):
            self._head = {name: message[name] for name in _HEAD if name in message}
            self._output_tokens = within(message.get("usage"), "output_tokens") or 0

    def _delta(self, index: Hashable, delta: object) -> None:
        if not is_object(delta):
            return
        kind = delta.get("type")
        member = _TEXTS.get(kind) if isinstance(kind, str) else None
        if member is not None and isinstance(delta.get(member), str):
            self.change(delta, member, (index, kind), json=kind == "input_json_delta")

    def _block(self, index: Hashable, block: object) -> None:
        kind = within(block, "type")
        delta = _OF_BLOCKS.get(kind) if isinstance(kind, str) else None
        if (
            delta is not None
            and is_object(block)
            and isinstance(kind, str)
            and isinstance(block.get(kind), str)
        ):
            self.change(block, kind, (index, delta))

    @override
    def sent(self, event: dict[str, Any]) -> None:
        kind, index = event.get("type"), self.place(event.get("index"))
        if kind == "message_start":
            self._begun = True
        elif kind == "content_block_start":
            self._open[index] = None
        elif kind == "content_block_stop":
            self._open.pop(index, None)

    @override
    def text_event(self, key: Hashable, text: str) -> dict[str, Any]:
        index, kind = cast("tuple[Any, str]", key)
        return {"type": "content_block_delta", "index": index, "delta": {"type": kind, _TEXTS[kind]: text}}

    @override
    def stopped(self, *, fresh: bool = False) -> bytes:
        rule = self.guard.stopped_by
        events: list[dict[str, Any]] = [
            {"type": "content_block_stop", "index": index} for index in self._open
        ]
        if fresh or not self._begun:
            head: dict[str, Any] = {
                **self.guard.clean(self._head),
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
            }
            events = [{"type": "message_start", "message": head}]
        events.append(
            {
                "type": "message_delta",
                "delta": {"stop_reason": "refusal", "stop_sequence": None},
                "usage": {"output_tokens": self._output_tokens},
                "standby": {"guardrail": None if rule is None else rule.name},
            }
        )
        events.append({"type": "message_stop"})
        return self.written(events)

    @override
    def answers(self) -> list[list[str]]:
        keys = cast("dict[tuple[Any, str], list[str]]", self.sent_texts)
        return [["".join(parts) for (_, kind), parts in keys.items() if kind == "text_delta"]]

    @override
    def restart(self) -> None:
        self._open, self._output_tokens, self._head, self._begun = {}, 0, {}, False
